import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LabTimes } from './lab-page.ts';

// Records what the last run of test/lab measured, for docs/lab.md (npm run docs). Run with Node 24: npm run lab
const folder = join(import.meta.dirname, '../test/.cache/lab-times');
const runs = readdirSync(folder)
  .sort()
  .map((name): LabTimes => JSON.parse(readFileSync(join(folder, name), 'utf8')));
const [last] = runs.toSorted((a, b) => b.date.localeCompare(a.date));
if (!last) throw new Error(`${folder} is empty: run test/lab first.`);
for (const { date, guard } of runs) {
  if (date !== last.date || guard.sha256 !== last.guard.sha256)
    throw new Error(`Parts were measured apart (${date}, guard ${guard.version}): run test/lab.`);
}
const times: LabTimes = {
  ...last,
  load: Math.max(...runs.map(({ load }) => load)),
  losses: runs.flatMap(({ losses }) => losses),
};
writeFileSync(join(import.meta.dirname, '../docs/lab.json'), `${JSON.stringify(times, null, 2)}\n`);
