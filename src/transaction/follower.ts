import { randomBytes } from 'node:crypto';
import { PassThrough, type Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { SavepointError } from '../errors.ts';
import { type GuardSite, load, siteFields } from '../guard/client.ts';
import { decodeAnswer, encodeRequest, type Fields } from '../guard/protocol.ts';
import { refuseLoaderExit } from '../guard/refusal.ts';
import type { Running } from '../host/host.ts';
import { type LastWord, Trailer } from './trailer.ts';

/** Followers in a row that may end without a byte and without a word, although the link holds. */
const FRUITLESS = 3;

export interface Followed {
  phase: string;
  /** What the guard runs, if it has not begun to. */
  script: string;
  fields: Fields;
  /** The guard's word in the phase's standard error. */
  nonce: string;
  /** The guard keeps the output, and goes on with it from any byte. */
  resumable: boolean;
}

/**
 * Starts a phase's command through the guard and passes on what it prints. Each attempt goes on at the
 * byte where the one before broke off, so that both streams are whole whatever the connections did.
 */
export class Follower {
  readonly stdout = new PassThrough();
  readonly stderr = new PassThrough();
  /** Resolves when the command is known to run. */
  readonly started: Promise<void>;
  readonly #site: GuardSite;
  readonly #followed: Followed;
  /** The command's name on the host: whoever asks again with it starts nothing a second time. */
  readonly #key: string;
  #begin: () => void = () => undefined;
  #isStarted = false;
  #sent = { stdout: 0, stderr: 0 };
  #fruitless = 0;

  constructor(site: GuardSite, followed: Followed) {
    this.#site = site;
    this.#followed = followed;
    this.#key = `${followed.phase}.${randomBytes(8).toString('hex')}`;
    this.started = new Promise((resolve) => {
      this.#begin = resolve;
    });
  }

  get isStarted(): boolean {
    return this.#isStarted;
  }

  /**
   * Follows the command to its end, over one connection.
   * @throws SavepointError `host-lost` when the connection broke; what the guard answered instead.
   */
  async attempt(): Promise<LastWord> {
    const { script, nonce, resumable } = this.#followed;
    const { stdout: out, stderr: err } = this.#sent;
    const fields: Fields = [
      ...this.#followed.fields,
      ...siteFields(this.#site),
      ['nonce', nonce],
      ['phase', this.#key],
      ['out', String(out)],
      ['err', String(err)],
    ];
    const running = load(this.#site, 'exec', Buffer.from(encodeRequest(fields) + script));
    const trailer = new Trailer(nonce, resumable);
    running.stderr.on('error', (error) => trailer.destroy(error)).pipe(trailer);
    const started = await Promise.race([trailer.started, running.exit.then(() => false)]);
    if (!started) throw await this.#refusal(running, trailer);
    if (!this.#isStarted) this.stderr.write(trailer.preamble);
    this.#isStarted = true;
    this.#begin();
    await Promise.all([this.#pass(running.stdout, 'stdout'), this.#pass(trailer, 'stderr')]);
    const end = await running.exit;
    const word = await trailer.lastWord;
    if (word !== undefined) return word;
    const moved = this.#sent.stdout > out || this.#sent.stderr > err;
    this.#fruitless = moved ? 0 : this.#fruitless + 1;
    const how = end.code === undefined ? end.signal : `exit ${end.code}`;
    throw new SavepointError(this.#fruitless < FRUITLESS ? 'host-lost' : 'guard-protocol', {
      message: `The phase's command was cut off (${how}) and left no status.`,
      details: { end },
    });
  }

  /** Nothing more comes. */
  end(): void {
    this.stdout.end();
    this.stderr.end();
  }

  async #pass(from: Readable, name: 'stdout' | 'stderr'): Promise<void> {
    const into = this[name];
    for await (const chunk of from) {
      this.#sent[name] += chunk.length;
      // A reader that has gone away does not stop the command.
      if (!into.destroyed && !into.write(chunk)) await roomIn(into);
    }
  }

  async #refusal(running: Running, { preamble }: Trailer): Promise<Error> {
    const [stdout, exit] = await Promise.all([buffer(running.stdout), running.exit]);
    refuseLoaderExit({ ...this.#site, verb: 'exec' }, exit, preamble);
    if (stdout.length > 0) {
      try {
        decodeAnswer(stdout, 'exec');
      } catch (error) {
        if (error instanceof Error) return error;
      }
    }
    const { name } = this.#site.host;
    return new SavepointError('guard-protocol', {
      message: `The guard on ${name} did not start the phase: ${preamble.trim() || 'it said nothing'}`,
      details: { stderr: preamble },
    });
  }
}

/** Waits until the stream takes more, or is closed. */
function roomIn(into: PassThrough): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      into.off('drain', done).off('close', done);
      resolve();
    };
    into.on('drain', done).on('close', done);
  });
}
