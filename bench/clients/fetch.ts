// fetch.cjs HOST FROM TO: fetches one file.
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { hostOfArguments } from './client.ts';

void (async () => {
  const [from, to] = process.argv.slice(3) as [string, string];
  await using host = await hostOfArguments();
  await pipeline(await host.fetch(from), createWriteStream(to));
})();
