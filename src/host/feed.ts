import { once } from 'node:events';
import { Readable, type Writable } from 'node:stream';
import { SavepointError, sentenceOf } from '../errors.ts';
import type { Command } from './host.ts';

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
    // Each turn takes all that the source has ready, so small pieces become large writes.
    for await (const chunk of from) {
      if (!to.write(chunk)) await roomOrGone(to, gone.signal);
    }
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

async function roomOrGone(to: Writable, gone: AbortSignal): Promise<void> {
  if (gone.aborted) return;
  try {
    await once(to, 'drain', { signal: gone });
  } catch (error) {
    if (!gone.aborted) throw error;
  }
}
