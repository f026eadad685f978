import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import { patience } from './patience.ts';

/** How a transaction ended on its machine, as the machine's disk tells. */
export interface Ending {
  readonly outcome: string;
  /** Who decided. */
  readonly by: string;
  readonly decision: string;
  /** What it warns of, a line each. */
  readonly warnings: string[];
  /** When the outcome was recorded, milliseconds since 1970. */
  readonly at: number;
}

/** The guard's own record of a transaction. */
export function folderOf(root: string, id: string): string {
  return join(root, 'var/lib/savepoint/tx', id);
}

/** Waits until the host has ended the transaction, is free for another and its guard has gone. */
export async function endOf(root: string, id: string): Promise<Ending> {
  await until(
    `the end of ${id}`,
    () => existsSync(join(folderOf(root, id), 'outcome')) && isFree(root),
    () => delay(20),
  );
  return recordOf(root, id);
}

/** How a transaction that has ended did so. */
export function recordOf(root: string, id: string): Ending {
  const outcome = join(folderOf(root, id), 'outcome');
  const [decision = '', ...by] = readFileSync(join(folderOf(root, id), 'decision'), 'utf8')
    .trim()
    .split(' ');
  return {
    outcome: readFileSync(outcome, 'utf8').trim(),
    decision,
    by: by.join(' '),
    warnings: readFileSync(join(folderOf(root, id), 'warnings'), 'utf8')
      .split('\n')
      .slice(0, -1),
    at: statSync(outcome).mtimeMs,
  };
}

export function isOpen(root: string): boolean {
  return existsSync(join(root, 'var/lib/savepoint/open'));
}

function isFree(root: string): boolean {
  return !isOpen(root) && readdirSync(join(root, 'var/lib/savepoint/lock')).length === 0;
}

/** Looks as often as it can: what it waits for may be over soon. */
export async function until(
  what: string,
  isSo: () => boolean,
  pause: () => Promise<unknown> = turn,
): Promise<void> {
  const since = Date.now();
  while (!isSo()) {
    if (Date.now() - since > patience) throw new Error(`Not after ${patience / 1000} s: ${what}`);
    await pause();
  }
}

/** The one transaction that has a file of this name on a machine; undefined while none has. */
export function transactionWith(root: string, name: string): string | undefined {
  const all = join(root, 'var/lib/savepoint/tx');
  if (!existsSync(all)) return undefined;
  return readdirSync(all).find((id) => existsSync(join(all, id, name)));
}
