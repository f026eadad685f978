import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Tally } from './tally.ts';
import type { Task } from './task.ts';

const worker = join(dirname(fileURLToPath(import.meta.url)), 'worker.ts');

const namespaces = ['--mount', '--pid', '--fork', '--mount-proc', '--kill-child'];

/** Images and scratch files are fastest, and nobody else's disk is worn, in memory. */
function scratchParent(): string {
  return existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
}

/**
 * Runs tasks, so many at a time, each in a worker with mount and process namespaces of its own.
 * `done` gets each tally as it comes. Whatever happens, no mount, process or folder is left:
 * the namespaces end with their worker, and the workers with this process or `signal`.
 * @param isTime asked before each: none is begun once it says no.
 * @returns how many were not begun
 * @throws Error with the worker's own words when one ends without a tally.
 */
export async function runTasks(
  tasks: readonly Task[],
  jobs: number,
  signal: AbortSignal,
  isTime: () => boolean,
  done: (task: Task, tally: Tally, seconds: number) => void,
): Promise<number> {
  return await inLanes(tasks, jobs, isTime, async (task) => {
    const began = performance.now();
    done(task, await runTask(task, signal), (performance.now() - began) / 1000);
  });
}

/** Works a list off, so many at a time; the first error ends it. Gives how many were not begun. */
export async function inLanes<T>(
  list: readonly T[],
  lanes: number,
  isTime: () => boolean,
  work: (item: T) => Promise<void>,
): Promise<number> {
  const queue = [...list];
  const lane = async (): Promise<void> => {
    while (queue.length > 0 && isTime()) {
      const item = queue.shift() as T;
      await work(item).catch((error: unknown) => {
        queue.length = 0;
        throw error;
      });
    }
  };
  // All lanes are waited for, or what they clean up at their end would be left.
  const ends = await Promise.allSettled(Array.from({ length: lanes }, lane));
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return queue.length;
}

/** One task in a worker of its own. */
export async function runTask(task: Task, signal: AbortSignal): Promise<Tally> {
  const scratch = mkdtempSync(join(scratchParent(), 'savepoint-proof-'));
  try {
    const child = spawn(
      // Whatever happens to this process, the kernel ends the worker, and the worker's namespaces.
      'setpriv',
      ['--pdeathsig', 'KILL', 'unshare', ...namespaces, process.execPath].concat([
        '--disable-warning=ExperimentalWarning',
        worker,
        JSON.stringify(task),
        scratch,
      ]),
      { stdio: ['ignore', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' },
    );
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    // An abort is an 'error' event too, but only 'close' says that the worker is gone.
    const code = await new Promise<number | null>((resolve) => {
      child.on('error', (error) => {
        stderr += error.message;
      });
      child.on('close', resolve);
    });
    signal.throwIfAborted();
    if (code !== 0)
      throw new Error(`worker for ${JSON.stringify(task)} ended with ${code}: ${stderr}`);
    return JSON.parse(stdout) as Tally;
  } finally {
    rmSync(scratch, { recursive: true, force: true, maxRetries: 5 });
  }
}
