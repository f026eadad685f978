import { Transform, type TransformCallback } from 'node:stream';

/**
 * Passes a phase's standard error through and takes out what the guard says in it: a line with the
 * nonce when the command has started, another with its exit status when it has ended. The job does
 * not know the nonce, so it cannot say either. Bytes are held back only while they may be such a line.
 */
export class Trailer extends Transform {
  /** Resolves to true when the command runs, to false if the stream ends before. */
  readonly started: Promise<boolean>;
  /** The exit status, or undefined when the stream ended without one. */
  readonly status: Promise<number | undefined>;
  readonly #marker: Buffer;
  #held: Buffer = Buffer.alloc(0);
  #start: (started: boolean) => void = () => undefined;
  #end: (status: number | undefined) => void = () => undefined;

  constructor(nonce: string) {
    super();
    this.#marker = Buffer.from(`\n${nonce} `);
    this.started = new Promise((resolve) => {
      this.#start = resolve;
    });
    this.status = new Promise((resolve) => {
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
      if (at > 0) this.push(this.#held.subarray(0, at));
      this.#held = this.#held.subarray(end + 1);
      if (word === 'started') this.#start(true);
      else this.#end(Number(word));
    }
    this.#emit(this.#held.length - this.#mayBegin());
    done();
  }

  override _flush(done: TransformCallback): void {
    this.#emit(this.#held.length);
    this.#ended();
    done();
  }

  #ended(): void {
    this.#start(false);
    this.#end(undefined);
  }

  #emit(length: number): void {
    if (length > 0) this.push(this.#held.subarray(0, length));
    this.#held = this.#held.subarray(length);
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
