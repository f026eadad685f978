import { once } from 'node:events';
import { Readable, type Writable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { SavepointError, sentenceOf } from '../errors.ts';
import type { Command } from './host.ts';

const batchSize = 128 * 1024;

/**
 * Gives a command its standard input, then the end of file. A command that ends, or closes its
 * input, before it has read everything is no error: the source is let go.
 * @throws SavepointError `host-write-failed` when the source breaks off. The end of file is not
 *   given then: the command must not take a part for the whole.
 */
export async function feed(from: Command['stdin'], to: Writable, what: string): Promise<void> {
  const gone = new AbortController();
  const leave = () => {
    gone.abort();
    if (from instanceof Readable) from.destroy();
  };
  // A command that has gone away shows as EPIPE or ECONNRESET here; its exit says the rest.
  to.on('error', leave).once('close', leave);
  if (!(from instanceof Readable)) {
    to.end(from);
    return;
  }
  try {
    const batch = new Batch(to);
    for await (const chunk of from) {
      const full = batch.add(chunk);
      if (to.writableNeedDrain) await roomOrGone(to, gone.signal);
      // A source that never waits and a command that takes all at once would let nobody else in.
      if (full) await nextTurn();
    }
    batch.flush();
  } catch (error) {
    // Letting the source go ends the loop with an error of its own.
    if (gone.signal.aborted) return;
    if (error instanceof SavepointError) throw error;
    throw new SavepointError('host-write-failed', {
      message: `The input of ${what} broke off: ${sentenceOf(error)}`,
      cause: error,
    });
  }
  to.end();
}

/**
 * Makes large writes of small pieces: over SSH each write is a packet, and 10,000 of them take
 * longer than what they carry. Nothing waits longer than until the event loop comes round.
 */
class Batch {
  readonly #to: Writable;
  #pieces: Uint8Array[] = [];
  #size = 0;
  #flushing: NodeJS.Immediate | undefined;

  constructor(to: Writable) {
    this.#to = to;
  }

  /** Whether it was written at once, being large enough. */
  add(chunk: Uint8Array | string): boolean {
    const piece = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    this.#pieces.push(piece);
    this.#size += piece.length;
    if (this.#size >= batchSize) {
      this.flush();
      return true;
    }
    this.#flushing ??= setImmediate(() => this.flush());
    return false;
  }

  flush(): void {
    clearImmediate(this.#flushing);
    this.#flushing = undefined;
    const [first, ...rest] = this.#pieces;
    this.#pieces = [];
    this.#size = 0;
    if (!first || !this.#to.writable) return;
    this.#to.write(rest.length === 0 ? first : Buffer.concat([first, ...rest]));
  }
}

async function roomOrGone(to: Writable, gone: AbortSignal): Promise<void> {
  if (gone.aborted) return;
  try {
    await once(to, 'drain', { signal: gone });
  } catch (error) {
    if (!gone.aborted) throw error;
  }
}
