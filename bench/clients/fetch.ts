// fetch.cjs HOST FROM TO: fetches one file as an artifact is fetched.
import { rename, rmdir } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { download } from '../../src/transfer/download.ts';
import { hostOfArguments, over } from './client.ts';

void (async () => {
  const [from, to] = process.argv.slice(3) as [string, string];
  await using host = await hostOfArguments();
  const folder = `${to}.artifacts`;
  await over(
    download(host, {
      paths: [from],
      workDir: dirname(from),
      folder,
      limits: { size: Number.MAX_SAFE_INTEGER, entries: 1 },
      transaction: 'bench',
      required: true,
    }),
  );
  await rename(join(folder, basename(from)), to);
  await rmdir(folder);
})();
