import { Readable } from 'node:stream';
import { SavepointError } from '../errors.ts';
import { capture } from './capture.ts';
import type { Command, Exit, Host } from './host.ts';

/*
 * Files go through the standard streams of a shell: every host has one, it takes one round trip,
 * and it is faster than SFTP.
 */

const missing = 44;
const notCreated = 45;

/**
 * `set -C` makes creating the file exclusive, so nothing that is there, be it a link, is written
 * to. It has to be in a shell of its own: some shells leave at once when it fails.
 */
const sendScript = `
umask 077
(set -C && : >"$1") || exit ${notCreated}
cat >"$1" && chmod "$2" "$1"
`;

const fetchScript = `[ -e "$1" ] || exit ${missing}; exec cat <"$1"`;

/** `Host.send` for any host that runs commands. */
export async function sendThrough(
  host: Pick<Host, 'run'>,
  from: Readable | Uint8Array,
  to: string,
  mode = 0o600,
): Promise<void> {
  const permissions = mode.toString(8).padStart(4, '0');
  const argv: Command['argv'] = ['sh', '-c', sendScript, 'sh', plain(to), permissions];
  const sent = capture(host.run({ argv, stdin: from }));
  const { exit, stderr } = await sent.catch(async (error: unknown) => {
    await removePart(host, to);
    throw error;
  });
  if (exit.code === 0) return;
  if (exit.code !== notCreated) await removePart(host, to);
  throw new SavepointError('host-write-failed', {
    message: `The file ${to} cannot be ${exit.code === notCreated ? 'created' : 'written'}.`,
    details: { path: to, exit, said: stderr.trim() },
  });
}

/** Half a file must not be taken for a whole one. What led to it is what gets reported. */
async function removePart(host: Pick<Host, 'run'>, path: string): Promise<void> {
  await capture(host.run({ argv: ['rm', '-f', plain(path)] })).catch(() => undefined);
}

/** `Host.fetch` for any host that runs commands. */
export async function fetchThrough(host: Pick<Host, 'run'>, from: string): Promise<Readable> {
  const unwanted = new AbortController();
  const running = host.run({
    argv: ['sh', '-c', fetchScript, 'sh', plain(from)],
    signal: unwanted.signal,
  });
  let said = '';
  running.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const check = async () => checkFetched(from, await running.exit, said.trim());
  const pieces = running.stdout[Symbol.asyncIterator]();
  const first: IteratorResult<Buffer> = await pieces.next();
  if (first.done) await check();
  const contents = Readable.from(verified(first, pieces, check), { objectMode: false });
  // A reader that has seen enough does not have to wait for the rest.
  return contents.once('close', () => {
    unwanted.abort();
    running.stdout.destroy();
  });
}

/** The pieces, and at the end an error instead of the end when they are not all there is. */
async function* verified(
  first: IteratorResult<Buffer>,
  pieces: AsyncIterator<Buffer>,
  check: () => Promise<void>,
): AsyncGenerator<Buffer> {
  for (let piece = first; !piece.done; piece = await pieces.next()) yield piece.value;
  await check();
}

function checkFetched(path: string, exit: Exit, said: string): void {
  if (exit.code === 0) return;
  const name = exit.code === missing ? 'host-file-missing' : 'host-read-failed';
  throw new SavepointError(name, {
    message:
      exit.code === missing
        ? `The host has no file ${path}.`
        : `The file ${path} of the host cannot be read.`,
    details: { path, ...(said && { said }) },
  });
}

/** A relative path that begins with a dash must not be taken for an option. */
function plain(path: string): string {
  return path.startsWith('-') ? `./${path}` : path;
}
