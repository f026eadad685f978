import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Guard } from './guard.ts';
import { mutants } from './proof/mutant-list.ts';
import { mutate } from './proof/mutants.ts';
import { orderProblems } from './proof/order.ts';
import { tool } from './tools.ts';
import { buildOverlay, buildWorld, removed, tracked } from './world.ts';

const released = join(dirname(fileURLToPath(import.meta.url)), '../../guard/guard.sh');
let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'savepoint-order-'));
});
afterEach(() => rmSync(dir, { recursive: true, force: true }));

/** Leads a transaction to its end under the tracer and gives the trace of each verb. */
function tracesOf(file: string, end: 'commit' | 'rollback'): Record<string, string> {
  const root = join(dir, `root-${end}`);
  buildWorld(root);
  const guard = new Guard(root, file, 'dash');
  guard.install();
  const own = ['id t1', 'token t', 'fence 1', `root ${root}`, `guard ${guard.sha256}`];
  const log = join(dir, 'log');
  const through = [tool('tracer'), '--log', log, '--under', root, 'count', '--'];
  const traces: Record<string, string> = {};
  const calls = {
    begin: { headers: [...own, 'holder order', ...tracked.map((path) => `track ${path}`)] },
    apply: {
      headers: [...own, ...removed.map((path) => `remove ${path}`)],
      payload: buildOverlay(dir),
    },
    [end]: { headers: own },
  };
  for (const [verb, call] of Object.entries(calls)) {
    const answer = guard.call(verb, { ...call, through });
    if (!answer.ok) throw new Error(`${verb}: ${answer.error} ${answer.head} ${answer.stderr}`);
    traces[verb] = readFileSync(log, 'latin1');
  }
  return traces;
}

const problems = (file: string, end: 'commit' | 'rollback') =>
  Object.entries(tracesOf(file, end)).flatMap(([verb, log]) =>
    orderProblems(log).map((problem) => `${verb}: ${problem}`),
  );

describe('every step of the guard is durable before the next', () => {
  test.each(['commit', 'rollback'] as const)('in a life that ends with %s', (end) => {
    expect(problems(released, end)).toEqual([]);
  });

  test.each(mutants.filter((m) => m.unseen))('and the trace shows it when $name', (mutant) => {
    const file = join(dir, 'mutant.sh');
    writeFileSync(file, mutate(readFileSync(released, 'utf8'), mutant));
    expect([...problems(file, 'commit'), ...problems(file, 'rollback')]).not.toEqual([]);
  });
});
