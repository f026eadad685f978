import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Journal } from '../guard/proof/journal.ts';
import type { Mutant } from '../guard/proof/mutants.ts';
import { emptyTally } from '../guard/proof/tally.ts';
import type { Task } from '../guard/proof/task.ts';

const guard = 'a'.repeat(64);
let dir: string;
let file: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'savepoint-journal-'));
  file = join(dir, 'journal.jsonl');
});
afterEach(() => rmSync(dir, { recursive: true }));

const task = (path: string, thin = 1): Task => ({
  ...{ sweep: 'power', guard: path, shell: 'dash', fs: 'ext4', scenario: 'begin' },
  plan: { part: 0, parts: 2, seed: 1, thin },
});
const mutant: Mutant = { name: 'no lock', edits: [['a', 'b']], tries: [] };
const tally = { ...emptyTally(), points: 7, runs: 9 };

test('a part that was done is known to the next run, wherever the guard lies', () => {
  new Journal(file, guard).keep(task('/here'), tally, 3);
  expect(new Journal(file, guard).tally(task('/there'))).toMatchObject({ tally, seconds: 3 });
});

test('a part of another plan, or of another guard, is not', () => {
  new Journal(file, guard).keep(task('/here'), tally, 3);
  expect(new Journal(file, guard).tally(task('/here', 2))).toBeUndefined();
  expect(new Journal(file, 'b'.repeat(64)).tally(task('/here'))).toBeUndefined();
});

test('a mutant is known by what it edits, noticed or not', () => {
  const by = { where: 'begin', problems: ['gone'], trace: [] };
  const journal = new Journal(file, guard);
  journal.keepCaught({ mutant, by, runs: 2 }, 1);
  journal.keepCaught({ mutant: { ...mutant, name: 'quiet' }, runs: 5 }, 1);
  const later = new Journal(file, guard);
  expect(later.caught(mutant)).toEqual({ mutant, by, runs: 2 });
  expect(later.caught({ ...mutant, name: 'quiet' })).toMatchObject({ runs: 5 });
  expect(later.caught({ ...mutant, edits: [['a', 'c']] })).toBeUndefined();
});

test('a line that was cut off is a part that was not done', () => {
  new Journal(file, guard).keep(task('/here'), tally, 3);
  writeFileSync(file, `${readFileSync(file, 'utf8')}{"guard":"`);
  const journal = new Journal(file, guard);
  expect(journal.tally(task('/here'))).toBeDefined();
  journal.keep(task('/here', 2), tally, 3);
  expect(new Journal(file, guard).tally(task('/here', 2))).toBeDefined();
});

test("what is of another guard goes with this guard's first part", () => {
  new Journal(file, 'b'.repeat(64)).keep(task('/here'), tally, 3);
  const journal = new Journal(file, guard);
  journal.keep(task('/here'), tally, 3);
  journal.keep(task('/here', 2), tally, 3);
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line).guard)).toEqual([guard, guard]);
});
