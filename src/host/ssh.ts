import type { Readable } from 'node:stream';
import { SavepointError } from '../errors.ts';
import type { Command, Exit, Host, Running } from './host.ts';
import { Output } from './output.ts';
import { ChannelRefused } from './ssh-connection.ts';
import { unreachable } from './ssh-errors.ts';
import { execute } from './ssh-exec.ts';
import { fetchThrough, sendThrough } from './ssh-files.ts';
import { prepareLogin } from './ssh-login.ts';
import { ConnectionPool } from './ssh-pool.ts';
import { type SshTarget, targetName } from './ssh-target.ts';

export interface SshOptions {
  /** For keys that are encrypted. */
  passphrase?: string;
  /** Gives up connecting. */
  signal?: AbortSignal;
  /** Leaves connecting to the first command. */
  later?: boolean;
}

/**
 * Connects to a host over SSH and logs in with a key.
 * @throws SavepointError `key-*` and `known-hosts-missing` before anything is connected to;
 *   `host-unreachable`, `host-key-*`, `host-auth-failed`
 */
export async function openSsh(target: SshTarget, options: SshOptions = {}): Promise<Host> {
  const hops = [...(target.jumps ?? []), target];
  const route = await Promise.all(hops.map((hop) => prepareLogin(hop, options.passphrase)));
  const pool = new ConnectionPool(route);
  if (!options.later) await pool.open(options.signal);
  return new SshHost(target, pool);
}

class SshHost implements Host {
  readonly name: string;
  readonly kind = 'ssh';
  readonly #target: SshTarget;
  readonly #pool: ConnectionPool;
  readonly #running = new Map<Promise<Exit>, AbortController>();
  #closed = false;

  constructor(target: SshTarget, pool: ConnectionPool) {
    this.name = targetName(target);
    this.#target = target;
    this.#pool = pool;
  }

  run(command: Command): Running {
    if (this.#closed) {
      throw new SavepointError('defect', { message: 'A command was started on a closed host.' });
    }
    const stdout = new Output();
    const stderr = new Output();
    const stop = new AbortController();
    const exit = this.#execute(command, stdout, stderr, stop).finally(() => {
      stdout.finish();
      stderr.finish();
      this.#running.delete(exit);
    });
    // Whoever awaits it is told; until then a reader may still be busy with the output.
    exit.catch(() => undefined);
    this.#running.set(exit, stop);
    return { stdout, stderr, exit };
  }

  send(from: Readable | Uint8Array, to: string, mode?: number): Promise<void> {
    return sendThrough(this, from, to, mode);
  }

  fetch(from: string): Promise<Readable> {
    return fetchThrough(this, from);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const stop of this.#running.values()) stop.abort();
    await Promise.allSettled(this.#running.keys());
    await this.#pool.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #execute(
    command: Command,
    stdout: Output,
    stderr: Output,
    stop: AbortController,
  ): Promise<Exit> {
    const abort = () => stop.abort();
    command.signal?.addEventListener('abort', abort);
    if (command.signal?.aborted) stop.abort();
    const task = { command, stdout, stderr, stop: stop.signal, beside: this.#beside };
    try {
      return await this.#pool.with(async (connection) => {
        // What was stopped before it was started never starts.
        if (stop.signal.aborted) return { signal: 'SIGTERM' };
        return execute(connection, task);
      });
    } catch (error) {
      if (!(error instanceof ChannelRefused)) throw error;
      throw unreachable(this.#target, `it runs no commands (${error.message})`, { cause: error });
    } finally {
      command.signal?.removeEventListener('abort', abort);
    }
  }

  /** Also while the host is being closed, when nobody else may start anything. */
  readonly #beside = async (command: Command): Promise<Exit> => {
    const stdout = new Output().resume() as Output;
    const stderr = new Output().resume() as Output;
    return this.#execute(command, stdout, stderr, new AbortController());
  };
}
