/** What stands where a secret stood. */
const MASK = '***';

/** A line of a multi-line secret that is shorter tells nothing and would mask half the output. */
const SHORTEST_LINE = 4;

/** Replaces secrets in text that comes in pieces of any size. */
export interface MaskStream {
  /** The text that can be shown now; what may be the start of a secret is held back. */
  push(text: string): string;
  /** The rest, when no more text comes. */
  end(): string;
}

export interface Masker {
  stream(): MaskStream;
  text(text: string): string;
  /** A copy of a JSON value with every string masked, keys left as they are. */
  value<T>(value: T): T;
}

/**
 * Masks by literal comparison, never by pattern. Each line of a multi-line secret counts as a
 * secret too. Where secrets overlap, all that any of them covers is masked.
 */
export function masker(secrets: readonly string[]): Masker {
  const literals = expand(secrets);
  const text = (whole: string): string => {
    const stream = new Holder(literals);
    return stream.push(whole) + stream.end();
  };
  const value = <T>(it: T): T => walk(it, text) as T;
  return { stream: () => new Holder(literals), text, value };
}

function expand(secrets: readonly string[]): string[] {
  const all = new Set<string>();
  for (const secret of secrets) {
    if (secret.trim() === '') continue;
    all.add(secret);
    const trimmed = secret.replace(/[\r\n]+$/, '');
    all.add(trimmed);
    const lines = trimmed.split(/\r?\n/);
    if (lines.length === 1) continue;
    for (const line of lines) if (line.trim().length >= SHORTEST_LINE) all.add(line);
  }
  return [...all].sort((a, b) => b.length - a.length);
}

function walk(value: unknown, text: (it: string) => string): unknown {
  if (typeof value === 'string') return text(value);
  if (Array.isArray(value)) return value.map((item) => walk(item, text));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, walk(item, text)]));
}

class Holder implements MaskStream {
  readonly #literals: readonly string[];
  #held = '';
  /** How much of the start of `#held` belongs to a secret whose mask is already out. */
  #covered = 0;

  constructor(literals: readonly string[]) {
    this.#literals = literals;
  }

  push(text: string): string {
    if (this.#literals.length === 0) return text;
    this.#held += text;
    return this.#release(this.#held.length - this.#possibleStart());
  }

  end(): string {
    return this.#release(this.#held.length);
  }

  /** Length of the longest tail that is the beginning of a secret but not all of it. */
  #possibleStart(): number {
    let longest = 0;
    for (const literal of this.#literals) {
      const limit = Math.min(literal.length - 1, this.#held.length);
      for (let length = limit; length > longest; length--) {
        if (this.#held.endsWith(literal.slice(0, length))) longest = length;
      }
    }
    return longest;
  }

  /** Gives out the text before `cut`, masked, and keeps the rest. */
  #release(cut: number): string {
    if (cut === 0) return '';
    let out = '';
    let at = 0;
    for (const [start, end] of this.#intervals()) {
      if (start >= cut) break;
      if (start > at) out += this.#held.slice(at, start);
      // A secret that began in text already given out has its mask there.
      if (start > 0 || this.#covered === 0) out += MASK;
      at = end;
    }
    if (at < cut) out += this.#held.slice(at, cut);
    this.#held = this.#held.slice(cut);
    this.#covered = Math.max(0, at - cut);
    return out;
  }

  /** Where secrets are, as merged ranges in order. */
  #intervals(): [number, number][] {
    const found: [number, number][] = this.#covered > 0 ? [[0, this.#covered]] : [];
    for (const literal of this.#literals) {
      for (
        let at = this.#held.indexOf(literal);
        at >= 0;
        at = this.#held.indexOf(literal, at + 1)
      ) {
        found.push([at, at + literal.length]);
      }
    }
    found.sort(([a], [b]) => a - b);
    const merged: [number, number][] = [];
    for (const [start, end] of found) {
      const last = merged.at(-1);
      if (last && start <= last[1]) last[1] = Math.max(last[1], end);
      else merged.push([start, end]);
    }
    return merged;
  }
}
