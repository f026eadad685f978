import { SavepointError } from '../errors.ts';
import type { Host } from '../host/host.ts';
import { openLocal } from '../host/local.ts';
import { openHost } from '../host/open.ts';
import type { HostTarget } from '../host/target.ts';
import { News } from '../transaction/news.ts';
import { attach } from '../transaction/transaction.ts';
import type { Transaction, TransactionRecord } from '../transaction/types.ts';

export interface ConnectOptions {
  /**
   * Given by a process that takes up what an earlier one began; when it is higher than that one's, that
   * one is refused from then on. A host that is away is then waited for, as long as the lease.
   */
  fence?: number;
  /** The record's host with what a record never holds: the text of a key. */
  host?: HostTarget;
  /** Of an encrypted key. */
  passphrase?: string | undefined;
  /** Brings back a host that cannot be reached, which is then tried once more. */
  restart?: () => Promise<void>;
  /** Gives up connecting, and waiting for a host that somebody else holds. */
  signal?: AbortSignal;
}

/** A transaction within reach, and the controller's own commands. */
export interface Connection extends AsyncDisposable {
  transaction: Transaction;
  controller: Host;
}

/**
 * Takes up a transaction on its host. Never throws: where the host cannot be reached, every verb
 * of the transaction fails with the reason, so that it is told where all failures are.
 */
export async function connect(
  record: TransactionRecord,
  options: ConnectOptions = {},
): Promise<Connection> {
  const { host: config = record.host, passphrase, restart, ...attaching } = options;
  const controller = openLocal();
  let host: Host | undefined;
  let transaction: Transaction;
  try {
    const open = () =>
      openHost(config, {
        ...(passphrase !== undefined && { passphrase }),
        ...(options.signal && { signal: options.signal }),
        // One that can be restarted is not waited for.
        later: options.fence !== undefined && restart === undefined,
      });
    host = await open().catch(async (error: unknown) => {
      const isAway = error instanceof SavepointError && error.name === 'host-unreachable';
      if (!isAway || !restart) throw error;
      await restart();
      return open();
    });
    transaction = attach(record, host, attaching);
  } catch (error) {
    transaction = outOfReach(record, error);
  }
  return {
    transaction,
    controller,
    [Symbol.asyncDispose]: async () => {
      await controller.close();
      await host?.close();
    },
  };
}

function outOfReach(record: TransactionRecord, error: unknown): Transaction {
  const fail = () => Promise.reject(error);
  const run = () => {
    throw error;
  };
  return {
    record,
    news: new News(),
    begin: fail,
    apply: fail,
    exec: fail,
    renew: fail,
    running: fail,
    commit: fail,
    rollback: fail,
    login: { name: 'the host', run },
  };
}
