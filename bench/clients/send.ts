// send.cjs HOST FROM TO: sends one file.
import { createReadStream } from 'node:fs';
import { hostOfArguments } from './client.ts';

void (async () => {
  const [from, to] = process.argv.slice(3) as [string, string];
  await using host = await hostOfArguments();
  await host.send(createReadStream(from, { highWaterMark: 1024 * 1024 }), to);
})();
