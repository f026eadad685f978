import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { cliFile } from '../e2e/built.ts';
import type { Machine, User } from './machine.ts';
import { layFiles, tracked } from './protected.ts';

export interface JobOptions {
  readonly user: User;
  /** Seconds; a sign of life comes every second, later only from a busy machine. */
  readonly lease?: number;
  /** Scripts by the name of their phase. */
  readonly phases?: Readonly<Record<string, string>>;
  /** Further fields of the job file. */
  readonly fields?: Readonly<Record<string, unknown>>;
}

/** The built command at work on a machine; killed when it is disposed of. */
export interface Controller extends AsyncDisposable {
  readonly pid: number;
  /** All that it has printed so far. */
  readonly printed: () => string;
  /** Resolves when it has printed the text; rejects when it ends without. */
  says(text: string | RegExp): Promise<string>;
  /** Id of its transaction, as soon as it tells. */
  id(): Promise<string>;
  kill(signal: NodeJS.Signals): void;
  /** Its exit status, 128 + n when signal n killed it. */
  readonly ended: Promise<number>;
}

/** A job file for a machine, in a folder of its own. */
export interface JobFile extends AsyncDisposable {
  readonly path: string;
  /** A file of this name beside it. */
  beside(name: string): string;
}

export async function writeJob(
  machine: Machine,
  { user, lease = 15, phases = {}, fields = {} }: JobOptions,
): Promise<JobFile> {
  const folder = await mkdtemp(join(tmpdir(), 'savepoint-lab-job-'));
  const { address, sshKey, knownHosts } = machine;
  const job = {
    name: 'lab',
    host: { name: address, user, key: sshKey, agent: false, 'known-hosts': knownHosts },
    track: tracked,
    files: layFiles(folder),
    lease,
    renew: 1,
    phases,
    ...fields,
  };
  const path = join(folder, 'job.yml');
  await writeFile(path, JSON.stringify(job));
  return {
    path,
    beside: (name) => join(folder, name),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

/** Starts `savepoint run` of a job over SSH. */
export async function startJob(machine: Machine, options: JobOptions): Promise<Controller> {
  const job = await writeJob(machine, options);
  const controller = startCommand(['run', job.path, '--output', job.beside('output')]);
  return {
    ...controller,
    [Symbol.asyncDispose]: async () => {
      await controller[Symbol.asyncDispose]();
      await job[Symbol.asyncDispose]();
    },
  };
}

/** Starts the command with these words. */
export function startCommand(words: readonly string[]): Controller {
  const child = spawn(process.execPath, [cliFile(), ...words], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let printed = '';
  const more: (() => void)[] = [];
  const heard = (chunk: Buffer) => {
    printed += chunk;
    for (const look of more) look();
  };
  child.stdout.on('data', heard);
  child.stderr.on('data', heard);
  const ended = new Promise<number>((resolve) => {
    child.on('close', (code, signal) =>
      resolve(code ?? 128 + constants.signals[signal ?? 'SIGKILL']),
    );
  });
  const says = (text: string | RegExp) =>
    new Promise<string>((resolve, reject) => {
      const look = () => {
        const [found] = printed.match(text) ?? [];
        if (found !== undefined) resolve(found);
      };
      more.push(look);
      look();
      void ended.then((code) =>
        reject(new Error(`It ended (${code}) before ${text}:\n${printed}`)),
      );
    });
  return {
    pid: child.pid ?? 0,
    printed: () => printed,
    says,
    id: async () =>
      (await says(/transaction \d{8}t\d{6}-[0-9a-f]{8}/)).slice('transaction '.length),
    kill: (signal) => void child.kill(signal),
    ended,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}
