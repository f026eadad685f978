import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { setInterval } from 'node:timers/promises';
import { withKeyText } from '../host/target.ts';
import { keepLease } from '../transaction/keeper.ts';
import { connect } from './connect.ts';
import { KEEPER } from './keeper-word.ts';
import { parseSaved, type SavedRun } from './saved.ts';

/** Milliseconds between two looks at whether the lease is still wanted. */
const LOOK = 1000;

export interface KeeperOrder {
  saved: SavedRun;
  /** Text of the SSH key, where it is in no file: the order goes through a pipe, never to disk. */
  key?: string | undefined;
  passphrase?: string | undefined;
  /** Keep the lease only while this process lives. */
  whileAlive?: number | undefined;
  /** And only while this file is there. */
  whileThere?: string | undefined;
}

/**
 * Starts a process of its own that renews the lease between two processes of a run, so that the
 * host learns within the lease when the machine is lost. It ends with the transaction, when a
 * later controller takes over, or with the job: CIs kill what carries their mark in its
 * environment (GitHub's RUNNER_TRACKING_ID, Jenkins' JENKINS_NODE_COOKIE).
 * @returns Its process id.
 */
export async function startKeeper(order: KeeperOrder): Promise<number | undefined> {
  const [, entry] = process.argv;
  if (entry === undefined) return undefined;
  const child = spawn(process.execPath, [...process.execArgv, entry, KEEPER], {
    detached: true,
    cwd: '/',
    // An open output would make the CI wait for it.
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  await once(child, 'spawn');
  child.stdin.end(JSON.stringify(order));
  await once(child.stdin, 'finish');
  child.unref();
  return child.pid;
}

/** What the keeper does, from its order on standard input. */
export async function keepUntilOver(input: AsyncIterable<Uint8Array>): Promise<void> {
  const order = JSON.parse(await text(input)) as KeeperOrder;
  const { record } = parseSaved(JSON.stringify(order.saved), 'the order of the keeper');
  const { key, passphrase } = order;
  const host = key === undefined ? record.host : withKeyText(record.host, key);
  await using connection = await connect(record, { host, passphrase, fence: record.fence });
  const over = new AbortController();
  using _lease = keepLease(connection.transaction, () => over.abort());
  for await (const _ of setInterval(LOOK)) {
    if (over.signal.aborted || !isWanted(order)) return;
  }
}

function isWanted({ whileAlive, whileThere }: KeeperOrder): boolean {
  if (whileThere !== undefined && !existsSync(whileThere)) return false;
  if (whileAlive === undefined) return true;
  try {
    return process.kill(whileAlive, 0);
  } catch (error) {
    // A process of another user cannot be signaled, but it lives.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
