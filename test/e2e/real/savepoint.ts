import { type ChildProcess, spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Result } from '../../../src/report/result.ts';
import { cliFile } from '../built.ts';

/**
 * The machine's own Node, which is what people run the command with: npm puts the newer one of the
 * action before it in PATH.
 */
export const systemNode = (() => {
  const folders = (process.env.PATH ?? '').split(delimiter);
  const own = folders.filter((folder) => !folder.endsWith('node_modules/.bin'));
  const found = own.map((folder) => join(folder, 'node')).find(isExecutable);
  if (found === undefined) throw new Error('There is no node in PATH.');
  return found;
})();

/** An error as the command prints it in JSON. */
export type PrintedError = NonNullable<Result['error']> & {
  place?: { file?: string; line?: number; field?: string };
};

/** What `--json` printed: a result, the answer of a host command, or an error. */
export type Printed = Partial<Result> & { error?: PrintedError; [key: string]: unknown };

export interface Ended {
  code: number | null;
  signal: NodeJS.Signals | null;
  stdout: string;
  stderr: string;
  /** The last line of standard output as JSON; nothing where it is none. */
  json: Printed;
}

export interface CommandOptions {
  /** On top of a PATH, a HOME that does not exist and nothing else. */
  env?: Record<string, string>;
  cwd: string;
  /** Another build than the one under test. */
  cli?: string;
}

/** The command, running. */
export interface Running extends AsyncDisposable {
  readonly pid: number;
  readonly ended: Promise<Ended>;
  /** Resolves with the match once both outputs together have it; rejects if the command ends before. */
  said(pattern: RegExp): Promise<RegExpExecArray>;
  kill(signal: NodeJS.Signals): void;
}

/** Starts `savepoint ...args` from the built command. It is killed when its scope ends. */
export function start(args: readonly string[], options: CommandOptions): Running {
  const child = spawn(systemNode, [options.cli ?? cliFile(), ...args], {
    cwd: options.cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/nonexistent', ...options.env },
  });
  const output = { stdout: '', stderr: '' };
  const waiting = new Set<() => void>();
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
      for (const look of waiting) look();
    });
  }
  const ended = endOf(child, output);
  const said = async (pattern: RegExp): Promise<RegExpExecArray> => {
    const found = () => pattern.exec(output.stdout) ?? pattern.exec(output.stderr);
    const seen = new Promise<RegExpExecArray>((done) => {
      const look = () => {
        const match = found();
        if (match) done(match);
      };
      waiting.add(look);
      look();
    });
    const match = await Promise.race([seen, ended]);
    if (Array.isArray(match)) return match;
    throw new Error(`It ended without saying ${pattern}: ${JSON.stringify(match)}`);
  };
  return {
    pid: child.pid ?? 0,
    ended,
    said,
    kill: (signal) => void child.kill(signal),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** Runs `savepoint ...args` to its end. */
export function savepoint(args: readonly string[], options: CommandOptions): Promise<Ended> {
  return start(args, options).ended;
}

function endOf(child: ChildProcess, output: { stdout: string; stderr: string }): Promise<Ended> {
  return new Promise((done, failed) => {
    child.once('error', failed);
    child.once('close', (code, signal) => {
      const last = output.stdout.trimEnd().split('\n').at(-1) ?? '';
      done({ code, signal, ...output, json: last.startsWith('{') ? JSON.parse(last) : {} });
    });
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
