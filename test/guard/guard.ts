import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stateDirectory } from './world.ts';

/** The shells a guard has to be right under, and how each is started. */
export const shells = {
  dash: ['dash'],
  bash: ['bash'],
  busybox: ['busybox', 'sh'],
  mksh: ['mksh'],
} as const;
export type Shell = keyof typeof shells;

export interface Answer {
  /** Of the guard itself; 137 when the tracer stopped it. */
  status: number;
  /** Name of the catalogue error that the guard gave; absent when it said ok. */
  error?: string;
  /** True when the guard said ok and all of the answer arrived. */
  ok: boolean;
  /** Lines of the answer, `key value`. */
  head: string[];
  /** What follows the answer's empty line. */
  body: string;
  stderr: string;
}

export interface Call {
  /** Header lines of the request, without its first. */
  headers?: readonly string[];
  payload?: Buffer;
  /** Further words on the command line. */
  args?: readonly string[];
  /** A command in front of the guard: the tracer with its options. */
  through?: readonly string[];
}

/** One guard, installed below a root as the controller installs it, under one shell. */
export class Guard {
  readonly root: string;
  readonly shell: Shell;
  readonly sha256: string;
  readonly #bytes: Buffer;

  constructor(root: string, file: string, shell: Shell) {
    this.root = root;
    this.shell = shell;
    this.#bytes = readFileSync(file);
    this.sha256 = createHash('sha256').update(this.#bytes).digest('hex');
  }

  get state(): string {
    return join(this.root, stateDirectory);
  }

  get path(): string {
    return join(this.state, 'guard', this.sha256, 'guard');
  }

  /** Puts the guard where the controller would put it, durable like everything before a begin. */
  install(): void {
    mkdirSync(join(this.path, '..'), { recursive: true, mode: 0o700 });
    writeFileSync(this.path, this.#bytes);
    chmodSync(this.path, 0o700);
  }

  commandOf(verb: string, call: Call = {}): { argv: string[]; input: Buffer } {
    const head = ['savepoint 1', ...(call.headers ?? []), '', ''].join('\n');
    return {
      argv: [...shells[this.shell], this.path, verb, ...(call.args ?? [])],
      input: Buffer.concat([Buffer.from(head), call.payload ?? Buffer.alloc(0)]),
    };
  }

  call(verb: string, call: Call = {}): Answer {
    const { argv, input } = this.commandOf(verb, call);
    const [program = '', ...words] = [...(call.through ?? []), ...argv];
    const run = spawnSync(program, words, {
      input,
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' },
      cwd: '/',
      maxBuffer: 1 << 28,
      timeout: 600_000,
    });
    // A guard that was stopped before it read its request leaves a broken pipe: not an error here.
    if (run.error && (run.error as NodeJS.ErrnoException).code !== 'EPIPE') throw run.error;
    return parse(run.status ?? 255, run.stdout.toString('latin1'), run.stderr.toString('latin1'));
  }
}

function parse(status: number, stdout: string, stderr: string): Answer {
  const end = stdout.indexOf('\n\n');
  const head = (end < 0 ? stdout : stdout.slice(0, end)).split('\n');
  const first = head.shift() ?? '';
  const body = end < 0 ? '' : stdout.slice(end + 2);
  const error = /^savepoint \d+ error (\S+)/.exec(first)?.[1];
  const ok =
    /^savepoint \d+ ok$/.test(first) && (end >= 0 || stdout.endsWith('\n')) && status === 0;
  return { status, ok, head, body, stderr, ...(error ? { error } : {}) };
}
