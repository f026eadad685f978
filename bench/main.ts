// npm run bench [-- --pairs N] [--only GROUP] [--cli FILE] [--out DIR] [--mebibytes N] [--files N]
// Measures Savepoint beside what people use now and writes RESULTS.md and results.svg. To see that it
// works: --pairs 1 --mebibytes 1 --files 100 --out of some other folder.
import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { bundleClients } from './clients/bundle.ts';
import { type Comparison, compare, type Result, summary } from './compare.ts';
import { startBenchHost } from './host.ts';
import { requirePeers } from './peers.ts';
import { plot } from './plot.ts';
import { page, two } from './report.ts';
import { connect } from './rows/connect.ts';
import { many } from './rows/many.ts';
import { transfer } from './rows/transfer.ts';
import { wholeJob } from './rows/whole-job.ts';
import { versions } from './versions.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const { values } = parseArgs({
  options: {
    /** Pairs of runs for each comparison. */
    pairs: { type: 'string', default: '5' },
    /** One of the groups below. */
    only: { type: 'string' },
    cli: { type: 'string', default: join(here, '../dist/cli.cjs') },
    out: { type: 'string', default: here },
    /** Of the large file, and how many small ones. */
    mebibytes: { type: 'string', default: '256' },
    files: { type: 'string', default: '10000' },
  },
});
requirePeers();
const [load = 0] = loadavg();
await using bench = await startBenchHost();
const client = await bundleClients(bench.folder);
const several = many(bench, client);
const groups: Record<string, () => Comparison[] | Promise<Comparison[]>> = {
  job: () => wholeJob(bench, values.cli),
  connect: () => connect(bench, client),
  transfer: () =>
    transfer(bench, client, {
      mebibytes: Number(values.mebibytes),
      files: Number(values.files),
    }),
  many: () => several.comparisons,
};
if (values.only !== undefined && !(values.only in groups)) {
  throw new Error(`--only takes one of ${Object.keys(groups).join(', ')}.`);
}
const results: Result[] = [];
for (const [name, group] of Object.entries(groups)) {
  if (name !== (values.only ?? name)) continue;
  for (const comparison of await group()) {
    const result = await compare(comparison, Number(values.pairs));
    results.push(result);
    tell(result);
  }
}
const isMany = (values.only ?? 'many') === 'many';
const report = {
  results,
  ...(isMany && { memory: await several.memory() }),
  versions: await versions(bench),
  command: 'npm run bench',
  load,
  date: new Date().toISOString().slice(0, 10),
};
writeFileSync(join(values.out, 'RESULTS.md'), page(report));
writeFileSync(join(values.out, 'results.svg'), plot(results));

function tell(result: Result): void {
  const { ours, peer, speed, met } = summary(result);
  const goal = met === undefined ? '' : ` ${met ? 'met' : 'MISSED'}: ${result.target?.words}`;
  console.log(
    `${result.task}, ${result.roundTrip} ms: ${result.ours} ${Math.round(ours)} ms, ${result.peer} ${Math.round(peer)} ms, speed ${two(speed)}${goal}`,
  );
}
