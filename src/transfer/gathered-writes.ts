import { writevSync } from 'node:fs';

/** Bytes that are gathered for one write: by the packet, writing takes twice as long. */
const ENOUGH = 256 * 1024;

/** Writes to a file in large steps what comes in small pieces, without putting those together. */
export class GatheredWrites {
  readonly #descriptor: number;
  readonly #written: ((pieces: readonly Buffer[]) => void) | undefined;
  #pieces: Buffer[] = [];
  #size = 0;

  /** @param written is told which pieces are not needed here any more */
  constructor(descriptor: number, written?: (pieces: readonly Buffer[]) => void) {
    this.#descriptor = descriptor;
    this.#written = written;
  }

  /** @param piece must stay as it is until `flush` was called */
  add(piece: Buffer): void {
    this.#pieces.push(piece);
    this.#size += piece.length;
    if (this.#size >= ENOUGH) this.flush();
  }

  /** Writes what there is. After an error no more can be written. */
  flush(): void {
    const all = this.#pieces;
    this.#pieces = [];
    this.#size = 0;
    let left = all;
    while (left.length > 0) left = after(left, writevSync(this.#descriptor, left));
    this.#written?.(all);
  }
}

/** What is left of some pieces once so many bytes of them are written: a full disk takes a part. */
function after(pieces: readonly Buffer[], written: number): Buffer[] {
  let at = 0;
  return pieces.flatMap((piece) => {
    const rest = piece.subarray(Math.max(0, written - at));
    at += piece.length;
    return rest.length > 0 ? [rest] : [];
  });
}
