import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Caught, Mutant } from './mutants.ts';
import type { Tally, Violation } from './tally.ts';
import type { Task } from './task.ts';

/** What came of one part: a task's tally, or what a mutant was noticed by. */
type Entry = { guard: string; part: string; seconds: number } & (
  | { tally: Tally }
  | { by?: Violation; runs: number }
);

/**
 * What a whole proof has found so far, a JSON line for each part that was done, so that a run that
 * was ended goes on where it was: hours on a small machine need not be in one piece. An entry counts
 * only for the very guard, and the very part, that it was written for; another guard's go with the first.
 */
export class Journal {
  readonly #file: string | undefined;
  readonly #guard: string;
  readonly #known = new Map<string, Entry>();
  #stale = false;

  /**
   * @param file need not be there; without one nothing is kept.
   * @param guard digest of the guard that is tried
   * @throws SyntaxError when a line, other than a last one that was cut off, is no JSON
   */
  constructor(file: string | undefined, guard: string) {
    this.#file = file;
    this.#guard = guard;
    if (file === undefined || !existsSync(file)) return;
    const text = readFileSync(file, 'utf8');
    const lines = text.split('\n');
    // What a run that was ended had begun to write.
    this.#stale = lines.pop() !== '';
    for (const line of lines) {
      const entry = JSON.parse(line) as Entry;
      if (entry.guard === guard) this.#known.set(entry.part, entry);
      else this.#stale = true;
    }
  }

  tally(task: Task): { tally: Tally; seconds: number } | undefined {
    const entry = this.#known.get(partOf(task));
    return entry && 'tally' in entry ? entry : undefined;
  }

  caught(mutant: Mutant): Caught | undefined {
    const entry = this.#known.get(partOf(mutant));
    if (!entry || !('runs' in entry)) return undefined;
    return { mutant, runs: entry.runs, ...(entry.by && { by: entry.by }) };
  }

  keep(task: Task, tally: Tally, seconds: number): void {
    this.#append({ guard: this.#guard, part: partOf(task), seconds, tally });
  }

  keepCaught({ mutant, by, runs }: Caught, seconds: number): void {
    this.#append({ guard: this.#guard, part: partOf(mutant), seconds, runs, ...(by && { by }) });
  }

  #append(entry: Entry): void {
    if (this.#file === undefined) return;
    const line = (each: Entry) => `${JSON.stringify(each)}\n`;
    if (this.#stale) writeFileSync(this.#file, [...this.#known.values()].map(line).join(''));
    this.#stale = false;
    appendFileSync(this.#file, line(entry));
  }
}

/** Everything that says what was tried, but not where the guard's file lies. */
function partOf(part: Task | Mutant): string {
  return JSON.stringify({ ...part, guard: undefined });
}
