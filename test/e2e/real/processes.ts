import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import type { Sshd } from '../../host/sshd.ts';
import type { Running } from './savepoint.ts';

/**
 * Shell text that leaves two processes behind, one in a session of its own, says so and does nothing
 * for longer than any test.
 */
export const staysBusy = `
sleep 600 & one=$!
setsid sleep 600 & two=$!
echo "busy $one $two in $0"
wait`;

/** What it said, and what of it is still there. */
export interface Busy {
  pids: string[];
  /** Its own file on the host. */
  script: string;
}

/** Waits until a phase that `staysBusy` does; its processes end with the test at the latest. */
export async function saysBusy(running: Running): Promise<Busy> {
  const [, one = '', two = '', script = ''] = await running.said(/busy (\d+) (\d+) in (\S+)/);
  const pids = [one, two];
  onTestFinished(() => {
    for (const pid of alive(pids)) process.kill(Number(pid), 'SIGKILL');
  });
  return { pids, script };
}

/** What is left of it on this machine. */
export function remains({ pids, script }: Busy): string[] {
  return [...alive(pids), ...(existsSync(script) ? [script] : [])];
}

/** Those of the processes that still live. */
function alive(pids: readonly string[]): string[] {
  return pids.filter((pid) => {
    if (!existsSync(`/proc/${pid}`)) return false;
    // One that has ended stays as a zombie until its parent looks.
    return !/^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  });
}

/**
 * Waits until an sshd has told of the connection by which its start was noticed, so that what it
 * tells from now on is about others.
 */
export async function untilQuiet({ logs }: Pick<Sshd, 'logs'>): Promise<void> {
  await until('sshd has told of the first connection', () =>
    logs().includes('Connection closed by'),
  );
}

/** Seconds that no machine is too slow for. */
const PATIENCE = 50;

/** Waits for what another process is about to do. Rejects when it can be slowness no more. */
export async function until(what: string, happened: () => boolean): Promise<void> {
  const end = Date.now() + PATIENCE * 1000;
  while (!happened()) {
    if (Date.now() > end) throw new Error(`Waited ${PATIENCE} s in vain until ${what}.`);
    await delay(20);
  }
}
