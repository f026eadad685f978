import { Readable } from 'node:stream';
import { setImmediate, setTimeout } from 'node:timers/promises';

/** Enough to keep a fast reader busy; beyond it the command waits. */
const highWaterMark = 256 * 1024;

/**
 * How long nothing may come, once a command has ended, until its output counts as complete
 * although something it left behind still holds it open. GitHub's runner waits 5 s in the same
 * case (actions/runner, ProcessInvoker.cs); a quarter of a second is enough where each wait
 * follows a proof that what was written before has arrived.
 */
const quietMilliseconds = 250;

/**
 * What a command writes to one of its streams: kept until it is read, however late the reader
 * comes, and held back at the source while the reader is slow.
 */
export class Output extends Readable {
  #source: Readable | undefined;
  #heldBack = false;
  /** Chunks so far, to tell quiet from busy. */
  chunks = 0;
  finished = false;

  constructor() {
    super({ highWaterMark });
  }

  /** Starts taking from the source; `seen` is told the size of each piece. */
  attach(source: Readable, seen?: (bytes: number) => void): void {
    this.#source = source;
    source.on('data', (chunk: Buffer) => {
      this.chunks++;
      seen?.(chunk.length);
      // A reader that has gone away does not stop the command; the rest is thrown away.
      if (this.destroyed || this.finished) return;
      if (!this.push(chunk)) {
        this.#heldBack = true;
        source.pause();
      }
    });
    source.once('end', () => this.finish());
    source.once('close', () => this.finish());
    // Whatever broke the stream ended the command or the connection, and is reported there.
    source.once('error', () => this.finish());
  }

  /** True while the reader, not the command, is what everybody waits for. */
  get heldBack(): boolean {
    return this.#heldBack && !this.finished;
  }

  /** Nothing more comes. */
  finish(): void {
    if (this.finished) return;
    this.finished = true;
    this.push(null);
    this.emit('finished');
  }

  override _read(): void {
    if (!this.#heldBack) return;
    this.#heldBack = false;
    this.#source?.resume();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#heldBack = false;
    this.#source?.resume();
    done(error);
  }
}

/**
 * Waits until the outputs of a command that has ended are complete: each at its end, or all of
 * them quiet although a background process holds them open. Output that the reader has not yet
 * made room for is not cut, except when the command was stopped: then its reader may have left.
 * @param fence resolves when what the host wrote before the call has arrived here
 */
export async function drained(
  outputs: readonly Output[],
  stop: AbortSignal,
  fence: () => Promise<void>,
): Promise<void> {
  const complete = () => outputs.every((output) => output.finished);
  const count = () => outputs.reduce((sum, output) => sum + output.chunks, 0);
  while (!complete()) {
    const before = count();
    await fence();
    await quietOr(outputs, complete);
    // A timer that is late because this process was busy fires before what has arrived is read.
    await setImmediate();
    const waitsForReader = !stop.aborted && outputs.some((output) => output.heldBack);
    if (count() === before && !waitsForReader) {
      for (const output of outputs) output.finish();
    }
  }
}

async function quietOr(outputs: readonly Output[], complete: () => boolean): Promise<void> {
  const over = new AbortController();
  const check = () => complete() && over.abort();
  for (const output of outputs) output.on('finished', check);
  check();
  try {
    await setTimeout(quietMilliseconds, undefined, { signal: over.signal });
  } catch (error) {
    if (!over.signal.aborted) throw error;
  } finally {
    for (const output of outputs) output.off('finished', check);
  }
}
