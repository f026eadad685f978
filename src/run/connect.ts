import type { Host } from '../host/host.ts';
import { openLocal } from '../host/local.ts';
import { openHost } from '../host/open.ts';
import type { HostConfig } from '../job/host-config.ts';
import { attach } from '../transaction/transaction.ts';
import type { Transaction, TransactionRecord } from '../transaction/types.ts';

export interface ConnectOptions {
  /** Higher than that of the process before, which is refused from then on. */
  fence?: number;
  /** The record's host with what a record never holds: the text of a key. */
  host?: HostConfig;
  /** Of an encrypted key. */
  passphrase?: string | undefined;
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
  const { host: config = record.host, passphrase, ...attaching } = options;
  const controller = openLocal();
  let host: Host | undefined;
  let transaction: Transaction;
  try {
    host = await openHost(config, {
      ...(passphrase !== undefined && { passphrase }),
      ...(options.signal && { signal: options.signal }),
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
