const bytesPer: Record<string, number> = { K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };

/** How a size is written, as text: a whole number and a unit, which is a power of 1024. */
export const sizePattern = /^(0|[1-9][0-9]*)(K|M|G|T)?$/;

/** For messages: what a size may look like. */
export const sizeForms = 'whole bytes (4096), or a whole number with K, M, G or T (512M, 4G)';

/** A size in bytes, or undefined when the text is not one or is too large to count. */
export function parseSize(text: string): number | undefined {
  const match = sizePattern.exec(text);
  if (!match) return undefined;
  const bytes = Number(match[1]) * (bytesPer[match[2] ?? ''] ?? 1);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
