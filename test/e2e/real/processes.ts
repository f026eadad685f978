import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Sshd } from '../../host/sshd.ts';

/**
 * Shell text that leaves two processes behind, one in a session of its own, says `busy PID PID` and
 * then does nothing for longer than any test.
 */
export const staysBusy = `
sleep 600 & one=$!
setsid sleep 600 & two=$!
echo "busy $one $two"
wait`;

/** What `staysBusy` says. */
export const busy = /busy (\d+) (\d+)/;

/** Those of the processes that still live. */
export function alive(pids: readonly string[]): string[] {
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

/** Waits for what another process is about to do. Rejects after ten seconds. */
export async function until(what: string, happened: () => boolean): Promise<void> {
  const end = Date.now() + 10_000;
  while (!happened()) {
    if (Date.now() > end) throw new Error(`Waited ten seconds in vain until ${what}.`);
    await delay(20);
  }
}
