import { SavepointError } from '../errors.ts';
import { shownName } from './byte-names.ts';
import { BLOCK, type Header, padding, readHeader, readPax, typeFlag } from './tar-format.ts';

/** Who takes what is in an archive. Each call may throw, which ends the reading. */
export interface Sink {
  /** An entry begins. Its content, if its size is not 0, follows. */
  entry(header: Header): void;
  /** A piece of the content, which nobody changes any more. */
  content(piece: Buffer): void;
  /** The entry is complete. */
  done(): void;
}

/** Names longer than any file system has: more would only fill the memory. */
const LONGEST_EXTENSION = 1024 * 1024;

/** GNU tar writes records of 20 blocks, some write more; what goes on for longer is no padding. */
const LONGEST_END = 1024 * 1024;

/** An entry has at most a pax header, a long name and a long link before it. */
const MOST_EXTENSIONS = 8;

/**
 * Reads a tar archive as it comes, in pieces of any size, and keeps no more of it than a header.
 * What comes from the host may be made to harm: nothing in it is believed.
 */
export class TarReader {
  readonly #sink: Sink;
  readonly #block = Buffer.alloc(BLOCK);
  #held = 0;
  /** Bytes of the current content that are still to come, and of the padding behind it. */
  #content = 0;
  #padding = 0;
  /** An extended header that is being read. */
  #extension: { type: string; pieces: Buffer[] } | undefined;
  #extensions = 0;
  #inEntry = false;
  /** What the next entry is called instead. */
  #override: { name?: string; link?: string; size?: number } = {};
  #zeros = 0;
  #afterEnd = 0;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /**
   * @param bytes must stay as they are: the sink may keep them
   * @throws SavepointError `artifact-refused` for what is no archive; whatever the sink throws.
   */
  push(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) {
      if (this.#ended) {
        this.#afterEnd += bytes.length - at;
        if (this.#afterEnd > LONGEST_END) throw broken('it goes on after its end');
        return;
      }
      if (this.#content > 0) {
        const piece = bytes.subarray(at, at + this.#content);
        at += piece.length;
        this.#content -= piece.length;
        if (this.#extension) this.#extension.pieces.push(Buffer.from(piece));
        else this.#sink.content(piece);
        if (this.#content === 0) this.#contentDone();
      } else if (this.#padding > 0) {
        const skipped = Math.min(this.#padding, bytes.length - at);
        at += skipped;
        this.#padding -= skipped;
      } else {
        const part = bytes.subarray(at, at + BLOCK - this.#held);
        part.copy(this.#block, this.#held);
        at += part.length;
        this.#held += part.length;
        if (this.#held === BLOCK) this.#header();
      }
    }
  }

  /** @throws SavepointError `transfer-failed` when the archive did not come to its end. */
  end(): void {
    if (this.#ended) return;
    throw new SavepointError('transfer-failed', {
      message: 'What the host sent was cut off before its end.',
    });
  }

  get #ended(): boolean {
    return this.#zeros === 2;
  }

  #header(): void {
    this.#held = 0;
    const header = readHeader(this.#block);
    if (header === undefined) throw broken('a header in it is damaged');
    if (header === 'zero') {
      this.#zeros++;
      return;
    }
    this.#zeros = 0;
    const { longLink, longName, pax, globalPax } = typeFlag;
    if ([longLink, longName, pax, globalPax].some((type) => type === header.type)) {
      if (header.size > LONGEST_EXTENSION)
        throw broken('a name in it is longer than a name can be');
      if (++this.#extensions > MOST_EXTENSIONS) throw broken('headers in it belong to no entry');
      this.#extension = { type: header.type, pieces: [] };
    } else {
      const { name = header.name, link = header.link, size = header.size } = this.#override;
      this.#override = {};
      const whole = { ...header, name, link, size };
      // Only files have content, whatever the size says (POSIX.1-2001, pax, "size").
      if (whole.type !== typeFlag.file && whole.type !== '7') whole.size = 0;
      this.#extensions = 0;
      this.#inEntry = true;
      this.#sink.entry(whole);
      header.size = whole.size;
    }
    this.#content = header.size;
    this.#padding = padding(header.size);
    if (this.#content === 0) this.#contentDone();
  }

  #contentDone(): void {
    if (this.#extension) {
      this.#extend(this.#extension.type, Buffer.concat(this.#extension.pieces));
      this.#extension = undefined;
    } else if (this.#inEntry) {
      this.#inEntry = false;
      this.#sink.done();
    }
  }

  #extend(type: string, bytes: Buffer): void {
    const text = bytes.toString('latin1').replace(/\0.*$/s, '');
    if (type === typeFlag.longName) this.#override.name = text;
    if (type === typeFlag.longLink) this.#override.link = text;
    if (type !== typeFlag.pax) return;
    const records = readPax(bytes);
    if (!records) throw broken('an extended header in it is damaged');
    const [name, link, size] = ['path', 'linkpath', 'size'].map((key) => records.get(key));
    if (name !== undefined) this.#override.name = name;
    if (link !== undefined) this.#override.link = link;
    if (size === undefined) return;
    const value = /^[0-9]{1,16}$/.test(size) ? Number(size) : Number.NaN;
    if (!Number.isSafeInteger(value)) throw broken(`a size in it is ${shownName(size)}`);
    this.#override.size = value;
  }
}

function broken(why: string): SavepointError {
  return new SavepointError('artifact-refused', {
    message: `What the host sent is no archive that can be used: ${why}.`,
  });
}
