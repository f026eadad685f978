import type { Readable } from 'node:stream';
import { SavepointError } from '../../errors.ts';
import type { Command, Exit, Host, Running } from '../host.ts';
import { fetchThrough, sendThrough } from '../ssh-files.ts';
import type { CommandRunner } from './backend.ts';

/** A host whose commands a backend runs itself. Files go through its commands. */
export class CommandHost implements Host {
  readonly name: string;
  readonly kind = 'backend';
  readonly #runner: CommandRunner;
  readonly #running = new Map<Promise<Exit>, AbortController>();
  #closed = false;

  constructor(name: string, runner: CommandRunner) {
    this.name = name;
    this.#runner = runner;
  }

  run(command: Command): Running {
    if (this.#closed) {
      throw new SavepointError('defect', { message: 'A command was started on a closed host.' });
    }
    // Only what may be stopped early is told how: see `Command.signal`.
    if (!command.signal) return this.#runner.run(command);
    const stop = new AbortController();
    const signal = AbortSignal.any([command.signal, stop.signal]);
    const running = this.#runner.run({ ...command, signal });
    this.#running.set(running.exit, stop);
    const forget = () => this.#running.delete(running.exit);
    running.exit.then(forget, forget);
    return running;
  }

  send(from: Readable | Uint8Array, to: string, mode?: number): Promise<void> {
    return sendThrough(this, from, to, mode);
  }

  fetch(from: string): Promise<Readable> {
    return fetchThrough(this, from);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    for (const stop of this.#running.values()) stop.abort();
    await Promise.allSettled(this.#running.keys());
    await this.#runner.close?.();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
