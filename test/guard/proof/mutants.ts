import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Fault } from './faults.ts';
import { stepFailed } from './life.ts';
import { mutants } from './mutant-list.ts';
import { runTask } from './pool.ts';
import type { Share, Violation } from './tally.ts';
import type { Task } from './task.ts';

/** A copy of the guard with one thing taken out, or put in another order. */
export interface Mutant {
  name: string;
  /** Exact texts of the guard that occur once, and what stands there instead. */
  edits: readonly (readonly [find: string, put: string])[];
  /** Where it should show, cheapest first; sample sizes are per step. */
  tries: readonly Try[];
  /** Why no sweep can see it, for the few where none can. A trace assertion then holds the order. */
  unseen?: string;
}

export interface Try {
  sweep: 'kill' | 'power' | 'fault' | 'full disk' | 'race';
  scenario: string;
  fs: Task['fs'];
  /** Of a fault: which; EIO by default. */
  fault?: Fault;
  /** The program whose calls can tell, when no other's can. */
  program?: string;
}

export interface Caught {
  mutant: Mutant;
  /** The first violation that it caused; none when every try was clean. */
  by?: Violation;
  /** Lives it took. */
  runs: number;
}

/** Gives the text of a mutant. @throws Error when the guard no longer holds what is to be edited. */
export function mutate(guard: string, mutant: Mutant): string {
  let text = guard;
  for (const [find, put] of mutant.edits) {
    const times = text.split(find).length - 1;
    if (times !== 1) throw new Error(`mutant '${mutant.name}': '${find}' occurs ${times} times`);
    text = text.replace(find, () => put);
  }
  return text;
}

/** Tries each mutant until something notices it. */
export async function tryMutant(
  guard: string,
  mutant: Mutant,
  dir: string,
  seed: number,
  signal: AbortSignal,
): Promise<Caught> {
  const file = join(dir, `${mutant.name.replaceAll(/[^a-z]+/gi, '-')}.sh`);
  writeFileSync(file, mutate(readFileSync(guard, 'utf8'), mutant));
  let runs = 0;
  for (const attempt of mutant.tries) {
    // What no sweep can see is looked for all the same, at a sample of the points.
    const sample = mutant.unseen ? 12 : undefined;
    const task = taskOf(attempt, file, seed, sample);
    const tally = await runTask(task, signal).catch((error: Error) => error);
    signal.throwIfAborted();
    if (tally instanceof Error) {
      // A mutant so broken that a life cannot even be prepared has been noticed; a worker that
      // could not do its own work has noticed nothing.
      if (!tally.message.includes(stepFailed)) throw tally;
      const [said = ''] = tally.message.slice(tally.message.indexOf(stepFailed)).split('\n');
      return { mutant, runs, by: { where: 'the undisturbed life', problems: [said], trace: [] } };
    }
    runs += tally.runs;
    const by = tally.violations[0];
    if (by) return { mutant, by, runs };
  }
  return { mutant, runs };
}

function taskOf(
  { sweep, scenario, fs, fault = 'EIO', program }: Try,
  guard: string,
  seed: number,
  sample?: number,
): Task {
  const place = { guard, shell: 'dash', fs, scenario } as const;
  const share: Share = {
    ...{ part: 0, parts: 1, seed, stopAtFirst: true },
    thin: program === undefined ? 50 : 1,
    ...(sample !== undefined && { sample }),
    ...(program !== undefined && { program }),
  };
  switch (sweep) {
    case 'kill':
      return { ...place, sweep, plan: { ...share, bothWays: false, again: 0 } };
    case 'power':
      return { ...place, sweep, plan: share };
    case 'fault':
      return { ...place, sweep, plan: { ...share, fault, lasting: false } };
    case 'full disk':
      return { ...place, sweep, plan: { seed, sample: 40 } };
    case 'race':
      return { ...place, sweep, plan: { times: 200, seed, stopAtFirst: true } };
  }
}

export { mutants };
