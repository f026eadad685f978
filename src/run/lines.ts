import type { Masker } from './mask.ts';

/** Longest piece of a line in one event, in UTF-16 units. */
export const LONGEST_LINE = 64 * 1024;

export interface Line {
  line: string;
  /** More of this line follows, or the stream ended without a newline. */
  partial?: true;
}

/**
 * Lines of a process's output, in batches as they come: UTF-8 (bytes that are not become U+FFFD),
 * whole characters even where chunks cut through them, secrets masked, `\n` or `\r\n` taken off.
 */
export async function* lines(
  chunks: AsyncIterable<Uint8Array>,
  masker: Masker,
): AsyncGenerator<Line[]> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  const mask = masker.stream();
  const splitter = new Splitter();
  for await (const chunk of chunks) {
    const batch = splitter.push(mask.push(decoder.decode(chunk, { stream: true })));
    if (batch.length > 0) yield batch;
  }
  const rest = splitter.push(mask.push(decoder.decode()) + mask.end());
  rest.push(...splitter.end());
  if (rest.length > 0) yield rest;
}

class Splitter {
  #open = '';

  push(text: string): Line[] {
    if (!text.includes('\n') && this.#open.length + text.length <= LONGEST_LINE) {
      this.#open += text;
      return [];
    }
    const pieces = (this.#open + text).split('\n');
    this.#open = pieces.pop() ?? '';
    const batch = pieces.flatMap((piece) => {
      const parts = cut(piece.endsWith('\r') ? piece.slice(0, -1) : piece);
      return parts.map((line, index): Line => {
        return index < parts.length - 1 ? { line, partial: true } : { line };
      });
    });
    // Kept open, an endless line would fill the memory.
    const parts = cut(this.#open);
    this.#open = parts.pop() ?? '';
    for (const line of parts) batch.push({ line, partial: true });
    return batch;
  }

  end(): Line[] {
    const line = this.#open;
    this.#open = '';
    return line === '' ? [] : [{ line, partial: true }];
  }
}

/** Pieces of at most the longest length that do not cut a surrogate pair; at least one. */
function cut(line: string): string[] {
  const parts: string[] = [];
  let at = 0;
  while (line.length - at > LONGEST_LINE) {
    let end = at + LONGEST_LINE;
    if (isHighSurrogate(line.charCodeAt(end - 1))) end--;
    parts.push(line.slice(at, end));
    at = end;
  }
  parts.push(line.slice(at));
  return parts;
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdbff;
}
