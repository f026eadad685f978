import { finished, type Readable } from 'node:stream';
import { SavepointError } from '../errors.ts';
import { giveBack } from '../host/give-back.ts';
import type { Exit, Running } from '../host/host.ts';
import { Output } from '../host/output.ts';
import { byteName } from './byte-names.ts';
import { Extractor, type Limits } from './extract.ts';
import { asJobUser, LastWords, type Login } from './login.ts';
import { type Counter, progressOf } from './progress.ts';
import { TarReader } from './tar-reader.ts';
import type { Transfer } from './upload.ts';

export interface DownloadOptions {
  /** Absolute paths of the host. */
  paths: readonly string[];
  /** On the host: what is below it comes out at the top of the folder. */
  workDir: string;
  /** Here; absolute. */
  folder: string;
  limits: Limits;
  transaction: string;
  /** True when what is not there makes the transfer fail; asked when all else has been fetched. */
  required: boolean;
}

/**
 * First says which of its words are not there and about how much the others take, then sends them.
 * GNU tar's own format is asked for, where names are bytes, in pieces as large as a pipe is; its
 * status 1 says that a file changed while it was read, which a log may, and what was read of it has
 * come. What a host's tar says of itself is read no further than it may matter: it may be anything,
 * without an end.
 */
const PACK = `
cd / || exit
count=$# number=0
printf 'savepoint-files 1\\n'
while [ $number -lt $count ]; do
  path=$1 number=$((number + 1)); shift
  if [ -e "$path" ] || [ -L "$path" ]; then set -- "$@" ".$path"; else printf 'missing %s\\n' $number; fi
done
if [ $# -eq 0 ]; then printf '\\n'; exit 0; fi
printf 'total %s\\n\\n' "$(du -sk "$@" 2>/dev/null | { sum=0; while read -r kib _; do sum=$((sum + kib)); done; echo $sum; })"
case $(tar --version 2>/dev/null | head -c 200) in *GNU*) ;; *) exec tar -cf - "$@" ;; esac
tar --format=gnu -b 128 -cf - "$@"
status=$?
[ $status -ne 1 ] || status=0
exit $status`;

const FIRST_LINE = 'savepoint-files 1';
const LONGEST_OPENING = 64 * 1024;

/**
 * Fetches files and directories of the host into a folder as one stream, into which it writes them
 * as they come. What was fetched before a failure stays.
 */
export function download(login: Login, options: DownloadOptions): Transfer {
  const stop = new AbortController();
  const running = login.run({
    argv: asJobUser(PACK, options.paths),
    env: { SAVEPOINT_TRANSACTION: options.transaction },
    signal: stop.signal,
  });
  const stderr = new LastWords(running);
  const received: Counter = { entries: 0, bytes: 0 };
  const opening = new Opening(login);
  const exit = fetched(running, stderr, login, { received, opening, ...options }).finally(() => {
    // Whoever has seen enough does not have to wait for the rest; what is there must be read.
    stop.abort();
    running.stdout.resume();
    return stderr.close(opening.missingOf(options.paths).map((path) => `${path} is not there`));
  });
  exit.catch(() => undefined);
  return {
    stderr,
    exit,
    progress: progressOf(received, exit),
    kill: async () => {
      stop.abort();
      await Promise.allSettled([exit, running.exit]);
    },
  };
}

async function fetched(
  running: Running,
  stderr: LastWords,
  login: Login,
  { received, opening, ...options }: DownloadOptions & { received: Counter; opening: Opening },
): Promise<Exit> {
  const { folder, limits, workDir, paths, required } = options;
  const strip = byteName(workDir.slice(1));
  let written: Buffer[] = [];
  using extractor = new Extractor({
    ...{ folder, limits, strip },
    written: (pieces) => written.push(...pieces),
  });
  const reader = new TarReader(extractor);
  await eachPiece(running.stdout, (piece) => {
    reader.push(opening.take(piece));
    received.entries = extractor.entries;
    received.bytes = extractor.bytes;
    if (opening.total !== undefined) received.total = opening.total;
    // What a stream of ours brings is nobody else's; another backend's may be kept there.
    if (running.stdout instanceof Output) written.forEach(giveBack);
    written = [];
  });
  const exit = await running.exit;
  if (exit.code !== 0) {
    throw new SavepointError('transfer-failed', {
      message: `The artifacts cannot be read on ${login.name}: ${await stderr.of(exit)}`,
      details: { host: login.name, exit },
    });
  }
  const missing = opening.missingOf(paths);
  if (missing.length < paths.length) reader.end();
  if (missing.length > 0 && required) {
    throw new SavepointError('artifact-missing', {
      message: `The host has no ${missing[0]}, which is to be fetched.`,
      details: { host: login.name, missing },
    });
  }
  return { code: 0 };
}

/**
 * Gives out what comes as it comes. An iterator would make one piece of all that there is, by a copy.
 * The stream of a command that still has to be stopped must not be destroyed by an error of `take`.
 */
function eachPiece(from: Readable, take: (piece: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const onData = (piece: Buffer) => {
      try {
        take(piece);
      } catch (error) {
        from.off('data', onData);
        reject(error);
      }
    };
    from.on('data', onData);
    finished(from, { writable: false }, (error) => (error ? reject(error) : resolve()));
  });
}

/** What the host says before the archive begins. */
class Opening {
  /** Bytes, about. */
  total: number | undefined;
  readonly #login: Login;
  /** Which of the paths are not there, counted from 1. */
  readonly #missing = new Set<number>();
  #held: Buffer | undefined = Buffer.alloc(0);

  constructor(login: Login) {
    this.#login = login;
  }

  /** Which of the paths the host does not have. */
  missingOf(paths: readonly string[]): string[] {
    return paths.filter((_, index) => this.#missing.has(index + 1));
  }

  /** What of a chunk belongs to the archive. */
  take(chunk: Buffer): Buffer {
    if (!this.#held) return chunk;
    this.#held = Buffer.concat([this.#held, chunk]);
    const end = this.#held.indexOf('\n\n');
    if (end < 0 && this.#held.length < LONGEST_OPENING) return Buffer.alloc(0);
    const [first, ...lines] = this.#held.subarray(0, Math.max(end, 0)).toString().split('\n');
    if (first !== FIRST_LINE) {
      throw new SavepointError('transfer-failed', {
        message: `What ${this.#login.name} sent instead of the artifacts cannot be understood.`,
        details: { host: this.#login.name, said: this.#held.subarray(0, 400).toString() },
        hint: 'The login shell must print nothing of its own for commands.',
      });
    }
    for (const line of lines) {
      const [key, value] = line.split(' ');
      if (key === 'missing') this.#missing.add(Number(value));
      if (key === 'total') this.total = Number(value) * 1024;
    }
    const rest = this.#held.subarray(end + 2);
    this.#held = undefined;
    return rest;
  }
}
