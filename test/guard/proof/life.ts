import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Answer, type Call, Guard, type Shell } from '../guard.ts';
import type { Manifest } from '../manifest.ts';
import { tool } from '../tools.ts';
import { buildOverlay, buildWorld, lookAt, removed, tracked } from '../world.ts';
import { type FileSystem, Ground } from './ground.ts';
import type { Versions } from './invariant.ts';
import type { Machine } from './machine.ts';

/**
 * What can happen in the life of a transaction. `job edits` is a phase that writes to tracked
 * paths and syncs nothing, `job overwrites` one that writes in place, with the bytes
 * on the disk before the times; `expire` and `reboot` are what makes a host finish by itself;
 * `watchdog` and `boot` are that host doing so, `recover` is a person or a controller asking for it.
 */
export type Step =
  | 'begin'
  | 'apply'
  | 'job edits'
  | 'job overwrites'
  | 'commit'
  | 'rollback'
  | 'expire'
  | 'reboot'
  | 'watchdog'
  | 'boot'
  | 'recover'
  | 'next begin'
  | 'next watchdog';

/** How the tracer is to be run: its mode and options; see tracer.c. */
export interface Trace {
  mode: readonly string[];
  options?: readonly string[];
}

export interface Traced {
  answer: Answer;
  /** Points passed, and whether the one asked for was reached. */
  points: number;
  reached: boolean;
  processes: number;
}

/** What the step `job edits` writes without syncing: until a commit its fate is the job's own affair. */
export const jobWrites: readonly string[] = [
  '/etc/apt/sources.list.d/new.sources',
  '/etc/apt/apt.conf.d/01proxy',
  '/etc/apt/written-by-the-job',
];

const token = 'b0a7c0ffee';

/** How an error begins that says: this guard cannot even lead an undisturbed life. */
export const stepFailed = 'undisturbed, a step failed';

/** One host on a file system of its own, with the world on it, and a transaction that can be led. */
export class Life implements Disposable {
  readonly ground: Ground;
  readonly guard: Guard;
  readonly machine: Machine;
  /** Old is the world; new is what begin, apply and the job's edits make of it undisturbed. */
  readonly versions: Versions;
  readonly #dir: string;
  readonly #overlay: Buffer;
  readonly #kept = new Map<string, Machine['state']>();

  constructor(dir: string, machine: Machine, file: string, shell: Shell, fs: FileSystem) {
    this.#dir = dir;
    this.machine = machine;
    this.ground = new Ground(join(dir, 'ground'), fs);
    this.guard = new Guard(this.ground.root, file, shell);
    this.ground.make();
    buildWorld(this.ground.root);
    this.guard.install();
    this.#overlay = buildOverlay(dir);
    this.keep('world');
    const old = this.look();
    this.#overwrite();
    const overwritten = this.look();
    this.liveThrough(['begin', 'apply']);
    const applied = this.look();
    this.#edit();
    this.versions = { old, between: [overwritten, applied], new: this.look() };
  }

  /** The state after these steps, from a snapshot when there is one: on disk and clean. */
  startAfter(steps: readonly Step[]): void {
    const name = `after ${steps.join(', ')}`;
    if (this.ground.has(name)) this.restore(name);
    else {
      this.liveThrough(steps);
      this.keep(name);
    }
  }

  /** Keeps the disk, and the clock and boot that belong to it. */
  keep(name: string): void {
    this.ground.keep(name);
    this.#kept.set(name, this.machine.state);
  }

  restore(name: string): void {
    this.ground.restore(name);
    const state = this.#kept.get(name);
    if (state) this.machine.state = state;
  }

  /** The same state, but reached in one go on a mounted file system where nobody synced for us. */
  liveThrough(steps: readonly Step[]): void {
    this.restore('world');
    for (const step of steps) {
      // A begin leaves its watchdog.
      const { answer } = this.perform(step, step === 'begin' ? undefined : 'untraced');
      if (answer.status !== 0) {
        throw new Error(
          `${stepFailed}: ${step}: ${answer.error} ${answer.head.join(' ')} ${answer.stderr}`,
        );
      }
    }
  }

  /**
   * Takes one step, under the tracer. What it leaves running is killed, as if power had failed.
   * `untraced` is for steps that leave nothing running: it takes two thirds of the time.
   */
  perform(step: Step, trace: Trace | 'untraced' = { mode: ['count'] }): Traced {
    const nothing = { points: 0, reached: false, processes: 0 };
    const done: Answer = { status: 0, ok: true, head: [], body: '', stderr: '' };
    if (step === 'job edits') this.#edit();
    else if (step === 'job overwrites') this.#overwrite();
    else if (step === 'expire') this.machine.pass(100_000);
    else if (step === 'reboot') this.machine.reboot();
    else if (trace === 'untraced') {
      const [verb, call] = this.#request(step);
      return { answer: this.guard.call(verb, call), ...nothing };
    } else {
      const summary = join(this.#dir, 'summary');
      const options = [
        '--summary',
        summary,
        '--log',
        this.log,
        '--under',
        this.ground.root,
        '--timeout',
        '120',
      ];
      const through = [tool('tracer'), ...options, ...(trace.options ?? []), ...trace.mode, '--'];
      const [verb, call] = this.#request(step);
      const answer = this.guard.call(verb, { ...call, through });
      const said = existsSync(summary) ? readFileSync(summary, 'utf8') : '';
      const number = (key: string) => Number(new RegExp(`${key}=(\\d+)`).exec(said)?.[1] ?? -1);
      return {
        answer,
        points: number('points'),
        reached: number('reached') === 1,
        processes: number('processes'),
      };
    }
    return { answer: done, ...nothing };
  }

  /** The command line and input of a step of the guard's, for those who start it themselves. */
  command(step: Step): { argv: string[]; input: Buffer } {
    return this.guard.commandOf(...this.#request(step));
  }

  /** The calls of the last traced step, one a line. */
  get log(): string {
    return join(this.#dir, 'log');
  }

  /** What the guard recorded as decided, if anything. */
  decision(id = 't1'): string {
    const file = join(this.guard.state, 'tx', id, 'decision');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  /** What the guard recorded as the end of it, if anything. */
  outcome(id = 't1'): string {
    const file = join(this.guard.state, 'tx', id, 'outcome');
    return existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
  }

  /**
   * Kills whatever else runs in this process namespace, as a power failure would, and waits until it
   * is gone: a watchdog that a begin without the tracer left would keep the file system busy.
   */
  killAll(): void {
    // Anywhere else these would be the machine's own processes.
    if (process.pid !== 1)
      throw new Error('only the first process of a namespace may kill the rest');
    for (let left = livingProcesses(); left.length > 0; left = livingProcesses()) {
      spawnSync('kill', ['-KILL', ...left]);
    }
  }

  look(): Manifest {
    return lookAt(this.ground.root);
  }

  [Symbol.dispose](): void {
    this.ground[Symbol.dispose]();
  }

  #request(step: Step): [verb: string, call: Call] {
    const { root } = this.ground;
    const id = step === 'next begin' ? 't2' : 't1';
    const mine = [
      `id ${id}`,
      `token ${token}`,
      'fence 1',
      `root ${root}`,
      `guard ${this.guard.sha256}`,
    ];
    switch (step) {
      case 'begin':
      case 'next begin':
        return [
          'begin',
          {
            headers: [
              ...mine,
              'holder the proof',
              'lease 120',
              'deadline 21600',
              ...tracked.map((path) => `track ${path}`),
            ],
          },
        ];
      case 'apply':
        return [
          'apply',
          {
            headers: [...mine, ...removed.map((path) => `remove ${path}`)],
            payload: this.#overlay,
          },
        ];
      case 'recover':
        return ['recover', { headers: [`root ${root}`] }];
      case 'watchdog':
        return ['finish', { args: [root, this.guard.state, 't1', 'watchdog'] }];
      case 'next watchdog':
        return ['finish', { args: [root, this.guard.state, 't2', 'watchdog'] }];
      case 'boot':
        return ['boot', { args: [root, this.guard.state] }];
      default:
        return [step, { headers: mine }];
    }
  }

  /** A job that goes on writing where the change was laid: to the paths in `jobWrites`. */
  #edit(): void {
    const [added = '', old = '', fresh = ''] = jobWrites.map((p) => join(this.ground.root, p));
    appendFileSync(added, 'Enabled: no\n');
    writeFileSync(old, 'Acquire::http::Proxy "DIRECT";\n');
    writeFileSync(fresh, 'j'.repeat(20_000));
  }

  #overwrite(): void {
    const file = join(this.ground.root, jobWrites[1] ?? '');
    const fd = openSync(file, 'r+');
    writeSync(fd, 'Overwritten');
    closeSync(fd);
    const run = spawnSync(tool('tracer'), ['writeback', file], { encoding: 'utf8' });
    if (run.status !== 0) throw new Error(run.stderr);
  }
}

/** Other processes of this namespace that are not dead yet. */
function livingProcesses(): string[] {
  const found = spawnSync(
    'cat',
    readdirSync('/proc')
      .filter((n) => /^\d+$/.test(n))
      .map((n) => `/proc/${n}/stat`),
    {
      encoding: 'latin1',
    },
  );
  const own = new Set([String(process.pid), String(found.pid)]);
  return found.stdout
    .split('\n')
    .map((line) => /^(\d+) .*\) (\w) /s.exec(line))
    .flatMap((m) => (m?.[1] && m[2] !== 'Z' && m[2] !== 'X' && !own.has(m[1]) ? [m[1]] : []));
}
