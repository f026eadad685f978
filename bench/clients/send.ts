// send.cjs HOST FROM TO: sends one file as an attachment is sent.
import { basename, dirname } from 'node:path';
import { upload } from '../../src/transfer/upload.ts';
import { hostOfArguments, over } from './client.ts';

void (async () => {
  const [from, to] = process.argv.slice(3) as [string, string];
  await using host = await hostOfArguments();
  const sources = [{ local: from, as: basename(to) }];
  await over(upload(host, sources, { into: dirname(to), transaction: 'bench' }));
})();
