import { Transform, type TransformCallback } from 'node:stream';

/** Characters of the preamble that are kept: the end of it. */
const LONGEST_PREAMBLE = 64 * 1024;

/** What the guard said last: the exit status, or that there can be none any more. */
export type LastWord = number | 'lost';

/**
 * Passes a phase's standard error through and takes out what the guard says in it: a line with the
 * nonce when the command has started, another with its exit status when it has ended. The job does
 * not know the nonce, so it cannot say either. Bytes are held back only while they may be such a line.
 */
export class Trailer extends Transform {
  /** Resolves to true when the command runs, to false if the stream ends before. */
  readonly started: Promise<boolean>;
  /** Undefined when the stream ended without one. */
  readonly lastWord: Promise<LastWord | undefined>;
  /** What was said before the command started, by whatever starts it: none of it is the phase's own. */
  preamble = '';
  readonly #marker: Buffer;
  readonly #comesAgain: boolean;
  #held: Buffer = Buffer.alloc(0);
  #isStarted = false;
  #start: (started: boolean) => void = () => undefined;
  #end: (word: LastWord | undefined) => void = () => undefined;

  /** @param comesAgain What is held back when the stream breaks off is dropped: it will be sent again. */
  constructor(nonce: string, comesAgain: boolean) {
    super();
    this.#comesAgain = comesAgain;
    this.#marker = Buffer.from(`\n${nonce} `);
    this.started = new Promise((resolve) => {
      this.#start = resolve;
    });
    this.lastWord = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.once('close', () => this.#ended());
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#held = Buffer.concat([this.#held, chunk]);
    for (;;) {
      const at = this.#held.indexOf(this.#marker);
      if (at < 0) break;
      const after = at + this.#marker.length;
      const end = this.#held.indexOf('\n', after);
      if (end < 0) {
        this.#emit(at);
        done();
        return;
      }
      const word = this.#held.subarray(after, end).toString();
      this.#emit(at);
      this.#held = this.#held.subarray(end + 1 - at);
      this.#isStarted = true;
      this.#start(true);
      if (word !== 'started') this.#end(word === 'lost' ? word : Number(word));
    }
    this.#emit(this.#held.length - this.#mayBegin());
    done();
  }

  override _flush(done: TransformCallback): void {
    if (!(this.#isStarted && this.#comesAgain)) this.#emit(this.#held.length);
    this.#ended();
    done();
  }

  #ended(): void {
    this.#start(false);
    this.#end(undefined);
  }

  #emit(length: number): void {
    if (length === 0) return;
    const bytes = this.#held.subarray(0, length);
    this.#held = this.#held.subarray(length);
    if (this.#isStarted) this.push(bytes);
    else this.preamble = (this.preamble + bytes.toString()).slice(-LONGEST_PREAMBLE);
  }

  /** How many bytes at the end of what is held could be the beginning of the marker. */
  #mayBegin(): number {
    const longest = Math.min(this.#marker.length - 1, this.#held.length);
    for (let length = longest; length > 0; length--) {
      const tail = this.#held.subarray(this.#held.length - length);
      if (tail.equals(this.#marker.subarray(0, length))) return length;
    }
    return 0;
  }
}
