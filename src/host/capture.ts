import type { Readable } from 'node:stream';
import { SavepointError } from '../errors.ts';
import type { Exit, Running } from './host.ts';

export interface Captured {
  readonly exit: Exit;
  readonly stdout: string;
  readonly stderr: string;
}

/** More than any answer that is read as a whole; output without end must not fill the memory. */
const limit = 16 * 1024 * 1024;

/**
 * Reads all that a command writes, as UTF-8, and waits for its end.
 * @throws SavepointError `defect` for more than 16 MiB; whatever `exit` rejects with
 */
export async function capture(running: Running): Promise<Captured> {
  const [stdout, stderr, exit] = await Promise.all([
    text(running.stdout),
    text(running.stderr),
    running.exit,
  ]);
  return { exit, stdout, stderr };
}

async function text(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > limit) {
      throw new SavepointError('defect', {
        message: `A command that was to give a short answer wrote more than ${limit} bytes.`,
      });
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
