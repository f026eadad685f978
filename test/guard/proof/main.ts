/**
 * The proof that the guard survives everything. `npm run proof`, as root; see docs/proof.md.
 *
 *   node test/guard/proof/main.ts [--quick | --every] [--guard FILE] [--seed N] [--jobs N]
 *     [--sweep kill,power,fault,...] [--shell dash,...] [--fs ext4,...] [--scenario NAME,...]
 *     [--sample N] [--mutants all|none|WORDS] [--docs FILE] [--json FILE]
 *     [--journal FILE] [--minutes N]
 *
 * With --journal each part that is done is kept there, and a later run of the same guard goes on from
 * it; with --minutes no part is begun later than that, and what is left to do is for the next run. With
 * --sample N points of each kind of task. With --quick a seeded sample, without mutants and scale. With
 * --every no samples at all, which takes days: narrow it, or give it --journal and --minutes. A part of
 * it for one violation again: the same --sweep, --shell, --fs, --scenario and --seed. Exit 1 when
 * something does not hold.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { shells } from '../guard.ts';
import { fileSystems } from './ground.ts';
import { Journal } from './journal.ts';
import type { KillPlan } from './kill.ts';
import { type Caught, mutants, tryMutant } from './mutants.ts';
import { page } from './page.ts';
import { type Choice, samplePlan, sweepNames, wholePlan } from './plan.ts';
import { inLanes, runTasks } from './pool.ts';
import { digestOfFile, proofRecord } from './record.ts';
import { Results, sweepOf } from './table.ts';
import type { Violation } from './tally.ts';
import type { Task } from './task.ts';

const here = dirname(fileURLToPath(import.meta.url));
const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    every: { type: 'boolean', default: false },
    guard: { type: 'string', default: join(here, '../../../guard/guard.sh') },
    seed: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '2' },
    sweep: { type: 'string' },
    shell: { type: 'string' },
    fs: { type: 'string' },
    sample: { type: 'string' },
    scenario: { type: 'string', default: '' },
    mutants: { type: 'string' },
    docs: { type: 'string' },
    record: { type: 'string' },
    json: { type: 'string' },
    journal: { type: 'string' },
    minutes: { type: 'string', default: 'Infinity' },
  },
});

// Ending by a signal takes the workers, and with them their mounts, along; folders are then removed.
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.once(signal, () => stop.abort(new Error(`ended by ${signal}`)));

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** The words of a list on the command line. @throws Error naming one that is not allowed. */
function list<T extends string>(given: string | undefined, allowed: readonly T[]): readonly T[] {
  if (given === undefined) return allowed;
  return given.split(',').map((word) => {
    const found = allowed.find((a) => a === word);
    if (!found) throw new Error(`'${word}' is none of ${allowed.join(', ')}`);
    return found;
  });
}

function describe(violation: Violation): string {
  const lines = [`VIOLATION: ${violation.where}`, ...violation.problems.map((p) => `    ${p}`)];
  return [...lines, '  after the calls', ...violation.trace.map((t) => `    ${t}`)].join('\n');
}

function tell(task: Task, found: readonly Violation[], points: number, seconds: number): void {
  const { scenario, shell, fs } = task;
  say(
    `${sweepOf(task)}: ${scenario}, ${shell}, ${fs}: ${points} points, ${found.length} violations (${seconds.toFixed(0)} s)`,
  );
  for (const violation of found.slice(0, 5)) say(describe(violation));
}

/** What --sample makes of the plan of a task: one part, so many points, each crash once. */
function thinner(sample: string | undefined): Partial<KillPlan> | undefined {
  if (sample === undefined) return undefined;
  return { sample: Number(sample), part: 0, parts: 1, bothWays: false };
}

async function sweepAll(choice: Choice, jobs: number): Promise<Results> {
  const results = new Results();
  const plan = values.quick ? samplePlan(choice) : wholePlan(choice, thinner(values.sample));
  const left = plan.filter((task) => {
    const known = journal.tally(task);
    if (known) results.add(task, known.tally, known.seconds);
    return !known;
  });
  if (left.length < plan.length)
    say(`${plan.length - left.length} of ${plan.length} parts are in the journal`);
  const alone = left.filter((task) => task.sweep === 'scale');
  const others = left.filter((task) => task.sweep !== 'scale');
  for (const [tasks, lanes] of [
    [alone, 1],
    [others, jobs],
  ] as const) {
    undone += await runTasks(tasks, lanes, stop.signal, isTime, (task, tally, seconds) => {
      results.add(task, tally, seconds);
      journal.keep(task, tally, seconds);
      tell(task, tally.violations, tally.points, seconds);
    });
  }
  return results;
}

async function tryMutants(choice: Choice, jobs: number): Promise<Caught[]> {
  const words = values.mutants ?? (values.quick || values.sweep ? 'none' : 'all');
  if (words === 'none') return [];
  const chosen = mutants.filter((m) => words === 'all' || m.name.includes(words));
  const known = chosen.flatMap((mutant) => journal.caught(mutant) ?? []);
  const dir = mkdtempSync(join(tmpdir(), 'savepoint-mutants-'));
  const caught: Caught[] = known;
  const left = chosen.filter((mutant) => !known.some((c) => c.mutant === mutant));
  try {
    undone += await inLanes(left, jobs, isTime, async (mutant) => {
      const start = performance.now();
      const result = await tryMutant(choice.guard, mutant, dir, choice.seed, stop.signal);
      caught.push(result);
      journal.keepCaught(result, (performance.now() - start) / 1000);
      say(
        `mutant: ${mutant.name}: ${result.by ? `caught: ${result.by.where}: ${result.by.problems[0]}` : 'NOT SEEN'} (${result.runs} lives)`,
      );
    });
  } finally {
    rmSync(dir, { recursive: true });
  }
  return chosen.flatMap((mutant) => caught.filter((c) => c.mutant === mutant));
}

if (values.every && (values.quick || values.sample !== undefined))
  throw new Error('--every tries all: it goes with neither --quick nor --sample');
if (process.getuid?.() !== 0)
  throw new Error('the proof mounts file systems of its own, which needs root');
const choice: Choice = {
  guard: resolve(values.guard),
  seed: Number(values.seed),
  sweeps: list(values.sweep, sweepNames),
  shells: list(values.shell, Object.keys(shells) as (keyof typeof shells)[]),
  fileSystems: list(values.fs, fileSystems),
  scenarios: values.scenario ? values.scenario.split(',') : [],
  every: values.every,
};
// What a run is narrowed by; where its results go says nothing of it.
const narrowing = process.argv
  .slice(2)
  .filter(
    (word, n, all) =>
      ![word, all[n - 1]].some((w) => /^--(docs|record|json|journal|minutes|jobs)$/.test(w ?? '')),
  );
const began = performance.now();
const sha256 = digestOfFile(choice.guard);
const journal = new Journal(values.journal, sha256);
/** Parts that there was no time for. */
let undone = 0;
const isTime = () => performance.now() - began < Number(values.minutes) * 60_000;
const results = await sweepAll(choice, Number(values.jobs));
const caught = await tryMutants(choice, Number(values.jobs));
if (undone > 0) {
  say(`${undone} parts are left; the same command goes on with them`);
  process.exit(results.total.violations.length > 0 ? 1 : 75);
}
// Of a run in pieces nobody took the time from the first to the last.
const minutes = values.journal
  ? results.seconds / 60 / Number(values.jobs)
  : (performance.now() - began) / 60_000;
const text = page(choice.guard, results, caught, minutes, narrowing);
say(`\n${text}`);
if (values.docs) writeFileSync(values.docs, text);
if (values.record) {
  const { quick, sweep, shell, fs, scenario, sample, mutants: some } = values;
  const all = !quick && !(sweep || shell || fs || scenario || sample || (some && some !== 'all'));
  // A guard that was edited meanwhile is proved by nothing.
  const whole = all && digestOfFile(choice.guard) === sha256;
  const record = proofRecord(sha256, results, caught, { whole, args: narrowing });
  writeFileSync(values.record, `${JSON.stringify(record, null, 2)}\n`);
}
if (values.json) {
  const { violations } = results.total;
  writeFileSync(
    values.json,
    JSON.stringify({ violations, rows: [...results.rows.values()], caught }, null, 1),
  );
}
const slow = results.scaleProblems();
for (const problem of slow) say(`SCALE: ${problem}`);
const escaped = caught.filter((c) => !c.by && !c.mutant.unseen);
process.exitCode = results.total.violations.length + slow.length + escaped.length > 0 ? 1 : 0;
