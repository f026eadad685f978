import { Transform, type TransformCallback } from 'node:stream';
import { finished } from 'node:stream/promises';
import type { Command, Exit, Host, Running } from '../host/host.ts';

/** What runs commands on a host as its login, without the guard. */
export type Login = Pick<Host, 'run' | 'name'>;

/**
 * Phases run as the login, or as who became root by sudo to start them (guard.sh, run_phase); what
 * is placed for them must be theirs.
 */
const AS_JOB_USER = `
if [ "$(id -u)" = 0 ] && [ "\${SUDO_USER:-root}" != root ]; then
  if command -v runuser >/dev/null; then exec runuser -u "$SUDO_USER" -- /bin/sh -c "$@"; fi
  script=$1; shift
  exec su -s /bin/sh "$SUDO_USER" -c "$script" "$@"
fi
exec /bin/sh -c "$@"`;

/** The command that runs a shell script, with its words as $1, $2, ..., as the job's user. */
export function asJobUser(script: string, words: readonly string[]): Command['argv'] {
  return ['/bin/sh', '-c', AS_JOB_USER, 'sh', script, 'sh', ...words];
}

/** GNU tar ends with one of these after what it had to say. */
const noNews = /(due to|delayed from) previous errors$/;

/**
 * A command's standard error, passed through, whose last line can be told. It goes on after the
 * command's end until it is ended, so that something can be added to it.
 */
export class LastWords extends Transform {
  readonly #whole: Promise<void>;
  #tail = Buffer.alloc(0);

  constructor({ stderr }: Running) {
    super();
    this.#whole = finished(stderr, { writable: false }).catch(() => undefined);
    stderr.pipe(this, { end: false });
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#tail = Buffer.concat([this.#tail, chunk]).subarray(-4096);
    done(null, chunk);
  }

  /** The last line that says something; without one, how the command ended. */
  async of({ code, signal }: Exit): Promise<string> {
    await this.#whole;
    const lines = this.#tail.toString('utf8').split('\n');
    const line = lines.findLast((one) => one.trim() !== '' && !noNews.test(one))?.trim();
    return line || (code === undefined ? `it was ended by ${signal}` : `exit status ${code}`);
  }

  /** Adds lines, and is at its end. */
  async close(lines: readonly string[] = []): Promise<void> {
    await this.#whole;
    this.end(lines.map((line) => `${line}\n`).join(''));
  }
}
