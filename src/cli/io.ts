import type { Environment } from '../ci/environment.ts';
import { terminal } from '../ci/terminal.ts';
import { asSavepointError, describe } from '../errors.ts';
import type { Screen } from '../report/console.ts';
import { exitOf } from '../run/ending.ts';
import { errorRecord } from '../run/error-record.ts';

/** What a command of the command line has of the process it runs in. */
export interface Io {
  stdout: NodeJS.WriteStream;
  stderr: NodeJS.WriteStream;
  env: Environment;
  /** Words after `--`. */
  command: string[];
}

/** Where a person reads: standard output, unless a script reads the answer there. */
export function screenOf({ stdout, stderr, env }: Io, json: boolean | undefined): Screen {
  return terminal(json ? stderr : stdout, env);
}

/** One line of JSON for the script that asked. */
export function answer({ stdout }: Io, value: unknown): void {
  stdout.write(`${JSON.stringify(value)}\n`);
}

/**
 * Tells an error: `savepoint: what happened [number name]`, then where, what and what to do.
 * @returns The exit status.
 */
export function complain(io: Io, thrown: unknown, json: boolean | undefined): number {
  const error = asSavepointError(thrown);
  const [first = '', ...facts] = describe(error).split('\n');
  const what = first.slice(first.indexOf(': ') + 2);
  const label = `savepoint: ${what} [${error.code} ${error.name}]`;
  io.stderr.write(`${[label, ...facts].join('\n')}\n`);
  if (json) answer(io, { error });
  return exitOf(errorRecord(error));
}

/** The words of a command line before `--`, and those after it. */
export function splitWords(argv: readonly string[]): { words: string[]; command: string[] } {
  const at = argv.indexOf('--');
  if (at < 0) return { words: [...argv], command: [] };
  return { words: argv.slice(0, at), command: argv.slice(at + 1) };
}
