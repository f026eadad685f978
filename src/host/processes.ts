import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';

/**
 * Set in the environment of a command that may have to be stopped. Its descendants inherit it,
 * so they can be found even when they left its process group (setsid, nohup, a daemon), as
 * Jenkins finds what a build left behind by BUILD_ID.
 */
export const markVariable = 'SAVEPOINT_RUN';

/** Milliseconds between TERM and KILL. */
export const killGrace = 2000;

/** How long a killed process may take to disappear until that is given up. */
const vanishLimit = 2000;

const pollInterval = 50;

export function newMark(): string {
  return randomBytes(8).toString('hex');
}

/**
 * Ends a process group and, given a mark, everything that carries it: TERM, then KILL after a grace,
 * and resolves when all are gone (or cannot be killed, as in uninterruptible sleep).
 */
export async function killTree(group: number, mark?: string): Promise<void> {
  const living = () => members(group, mark);
  signalAll(await living(), 'SIGTERM');
  if (await goneWithin(living, killGrace)) return;
  // Again and again, for a tree that forks faster than it is listed.
  for (let spent = 0; spent < vanishLimit; spent += pollInterval) {
    const left = await living();
    if (left.length === 0) return;
    signalAll(left, 'SIGKILL');
    await setTimeout(pollInterval);
  }
}

async function goneWithin(living: () => Promise<number[]>, limit: number): Promise<boolean> {
  const end = performance.now() + limit;
  while ((await living()).length > 0) {
    if (performance.now() > end) return false;
    await setTimeout(pollInterval);
  }
  return true;
}

/** Processes of the group or with the mark, zombies left out. Negative numbers are groups. */
async function members(group: number, mark: string | undefined): Promise<number[]> {
  const entries = await readdir('/proc').catch(absent);
  // Without /proc (macOS, BSD) the group is all that can be known.
  if (entries === undefined) return groupExists(group) ? [-group] : [];
  const pids = entries.filter((entry) => /^\d+$/.test(entry)).map(Number);
  const matches = await Promise.all(pids.map((pid) => belongs(pid, group, mark)));
  return pids.filter((_, index) => matches[index]);
}

async function belongs(pid: number, group: number, mark: string | undefined): Promise<boolean> {
  const [stat, environment] = await Promise.all([
    readFile(`/proc/${pid}/stat`, 'latin1').catch(absent),
    readFile(`/proc/${pid}/environ`, 'latin1').catch(absent),
  ]);
  if (stat === undefined) return false;
  // proc(5): `pid (name) state ppid pgrp`; the name may hold blanks and parentheses.
  const [state, , pgrp] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (state === 'Z') return false;
  return Number(pgrp) === group || hasMark(environment, mark);
}

function hasMark(environment: string | undefined, mark: string | undefined): boolean {
  if (mark === undefined || environment === undefined) return false;
  return environment.split('\0').includes(`${markVariable}=${mark}`);
}

/** What ended meanwhile or belongs to somebody else reads as nothing. */
function absent(): undefined {
  return undefined;
}

function groupExists(group: number): boolean {
  return signal(-group, 0);
}

function signalAll(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) signal(pid, name);
}

/** False when there is no such process any more, or it may not be signaled by this user. */
function signal(pid: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ESRCH' || code === 'EPERM') return false;
    throw error;
  }
}
