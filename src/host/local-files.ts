import { type FileHandle, open, unlink } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { SavepointError, sentenceOf } from '../errors.ts';

const chunkSize = 256 * 1024;

/** `Host.send` on this machine: a new file, private while it is being written. */
export async function sendLocal(
  from: Readable | Uint8Array,
  to: string,
  mode = 0o600,
): Promise<void> {
  const file = await open(to, 'wx', 0o600).catch((error: unknown) => {
    throw writeFailed(to, error);
  });
  try {
    await copy(from, file);
    // Whatever the umask took away.
    await file.chmod(mode);
    await file.close();
  } catch (error) {
    await file.close().catch(() => undefined);
    // Half a file must not be taken for a whole one.
    await unlink(to).catch(() => undefined);
    throw error instanceof SavepointError ? error : writeFailed(to, error);
  }
}

/** `Host.fetch` on this machine. */
export async function fetchLocal(from: string): Promise<Readable> {
  const file = await open(from, 'r').catch((error: unknown) => {
    throw readFailed(from, error);
  });
  if ((await file.stat()).isDirectory()) {
    await file.close();
    throw readFailed(from, new Error('It is a directory.'));
  }
  return file.createReadStream({ highWaterMark: chunkSize });
}

async function copy(from: Readable | Uint8Array, file: FileHandle): Promise<void> {
  if (!(from instanceof Readable)) return file.writeFile(from);
  for await (const chunk of from) await file.writeFile(chunk);
}

function writeFailed(path: string, cause: unknown): SavepointError {
  return new SavepointError('host-write-failed', {
    message: `The file ${path} cannot be written: ${sentenceOf(cause)}`,
    details: { path },
    cause,
  });
}

function readFailed(path: string, cause: unknown): SavepointError {
  const missing = cause instanceof Error && 'code' in cause && cause.code === 'ENOENT';
  return new SavepointError(missing ? 'host-file-missing' : 'host-read-failed', {
    message: missing
      ? `There is no file ${path}.`
      : `The file ${path} cannot be read: ${sentenceOf(cause)}`,
    details: { path },
    cause,
  });
}
