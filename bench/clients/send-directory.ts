// send-directory.cjs HOST FROM TO: sends what is in a directory as attachments are sent.
import { upload } from '../../src/transfer/upload.ts';
import { hostOfArguments, over } from './client.ts';

void (async () => {
  const [from, to] = process.argv.slice(3) as [string, string];
  await using host = await hostOfArguments();
  await over(upload(host, [{ local: from, as: '.' }], { into: to, transaction: 'bench' }));
})();
