/** The end of a text that may be far longer than what is kept of it. */
export class Tail {
  readonly #limit: number;
  #pieces: string[] = [];
  #length = 0;
  #dropped = false;

  /** @param limit Characters to keep. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  add(piece: string): void {
    this.#pieces.push(piece);
    this.#length += piece.length;
    // Trimmed rarely, so that each piece costs the same however many there were.
    if (this.#length > 2 * this.#limit || this.#pieces.length > this.#limit) this.#trim();
  }

  /** What is kept; when that is not all, its first line says so. */
  text(): string {
    this.#trim();
    return (this.#dropped ? '[the beginning was left out]\n' : '') + this.#pieces.join('');
  }

  #trim(): void {
    let text = this.#pieces.join('');
    if (text.length > this.#limit) {
      text = text.slice(-this.#limit);
      this.#dropped = true;
    }
    this.#pieces = [text];
    this.#length = text.length;
  }
}
