import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A program to be timed as a whole process. Its environment is `env` and nothing else. */
export interface Program {
  argv: readonly [string, ...string[]];
  env: Readonly<Record<string, string>>;
  /** Files that its standard input is read from and its standard output is written to. */
  stdin?: string;
  stdout?: string;
}

/**
 * Runs a program and gives the milliseconds from its start to its exit.
 * @param folder where its output goes: a pipe would make the reader part of what is measured, and
 *   wait for whatever the program leaves behind
 * @throws Error with all that it said, unless it ends with 0
 */
export async function time(program: Program, folder: string): Promise<number> {
  const [command, ...args] = program.argv;
  const log = join(folder, 'log');
  const stdin = openSync(program.stdin ?? '/dev/null', 'r');
  const stderr = openSync(log, 'w');
  const stdout = program.stdout === undefined ? stderr : openSync(program.stdout, 'w');
  try {
    const start = performance.now();
    const child = spawn(command, args, { env: program.env, stdio: [stdin, stdout, stderr] });
    const end = await new Promise<number | string | null>((resolve, reject) => {
      child.once('error', reject).once('exit', (code, signal) => resolve(code ?? signal));
    });
    const milliseconds = performance.now() - start;
    if (end === 0) return milliseconds;
    throw new Error(`${program.argv.join(' ')} ended with ${end}:\n${readFileSync(log, 'utf8')}`);
  } finally {
    for (const file of new Set([stdin, stdout, stderr])) closeSync(file);
  }
}

/** What a program prints; it must end with 0. */
export async function output(program: Program, folder: string): Promise<string> {
  const stdout = join(folder, 'output');
  await time({ ...program, stdout }, folder);
  return readFileSync(stdout, 'utf8');
}
