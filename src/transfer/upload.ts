import { Readable } from 'node:stream';
import { SavepointError } from '../errors.ts';
import type { Exit, Running } from '../host/host.ts';
import { asJobUser, LastWords, type Login } from './login.ts';
import { pack } from './pack.ts';
import { type Progress, progressOf } from './progress.ts';
import { type Source, survey } from './walk.ts';

/** A transfer under way; ends as a process does. */
export interface Transfer {
  readonly stderr: Readable;
  /** @throws SavepointError why it failed; status 0 otherwise. */
  readonly exit: Promise<Exit>;
  readonly progress: AsyncIterable<Progress>;
  /** Resolves when nothing of it runs any more, here and on the host. */
  kill(): Promise<void>;
}

export interface UploadOptions {
  /** On the host, where the names in the archive are relative to. */
  into: string;
  /** The guard ends what carries the id of a transaction (guard.sh, kill_job). */
  transaction: string;
}

/**
 * Modes as they are sent, owners as the login's own: both GNU tar and busybox know these. busybox
 * takes the umask off all the same unless it is root; only its user may enter the directory. GNU tar
 * is told to read as much as a pipe holds; by itself it reads 10 KiB at a time.
 */
const UNPACK = `
cd "$1" || exit
umask 0
case $(tar --version 2>/dev/null | head -c 200) in *GNU*) exec tar -b 128 -xpof - ;; esac
exec tar -xpof -`;

/**
 * Puts files into a directory of the host as one stream: no copy on either side, one command.
 * @throws SavepointError `attachment-changed` when something cannot be sent, which `survey` would
 *   have told before the job began
 */
export function upload(
  login: Login,
  sources: readonly Source[],
  { into, transaction }: UploadOptions,
): Transfer {
  const total = totalOf(sources);
  const sent = { entries: 0, bytes: 0, total };
  const stop = new AbortController();
  const running = login.run({
    argv: asJobUser(UNPACK, [into]),
    // Piece by piece, as objects: from a stream of bytes an iterator gets copies.
    stdin: Readable.from(pack(sources, sent)),
    env: { SAVEPOINT_TRANSACTION: transaction },
    signal: stop.signal,
  });
  running.stdout.resume();
  const stderr = new LastWords(running);
  const exit = unpacked(running, stderr, login)
    .catch((error: unknown) => {
      throw changedMeanwhile(error);
    })
    .finally(() => stderr.close());
  exit.catch(() => undefined);
  return {
    stderr,
    exit,
    progress: progressOf(sent, exit),
    kill: async () => {
      stop.abort();
      await Promise.allSettled([exit]);
    },
  };
}

function totalOf(sources: readonly Source[]): number {
  try {
    return survey(sources).bytes;
  } catch (error) {
    throw changedMeanwhile(error);
  }
}

/** Bad input is no longer what it is once the job runs: something took it away. */
function changedMeanwhile(error: unknown): unknown {
  if (!(error instanceof SavepointError) || error.class !== 'usage') return error;
  const { message, details } = error;
  return new SavepointError('attachment-changed', { message, details, cause: error });
}

async function unpacked(running: Running, stderr: LastWords, login: Login): Promise<Exit> {
  const exit = await running.exit;
  if (exit.code === 0) return exit;
  throw new SavepointError('transfer-failed', {
    message: `The attachments cannot be placed on ${login.name}: ${await stderr.of(exit)}`,
    details: { host: login.name, exit },
  });
}
