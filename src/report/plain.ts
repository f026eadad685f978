import { stripVTControlCharacters } from 'node:util';

/** Marks that turn the direction of the text around them, so that it reads as what it is not. */
const DIRECTIONS = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/**
 * Text of a host as one line that can do nothing to a terminal or a log: without escape
 * sequences and control characters. Of a line that was overwritten by carriage returns the
 * last version stays, as on a terminal.
 */
export function plain(text: string): string {
  const stripped = stripVTControlCharacters(text);
  const shown = stripped.split(/[\r\n]/).findLast((part) => part.trim() !== '') ?? '';
  return shown.replace(/[^\P{Cc}\t]/gu, '').replace(DIRECTIONS, '');
}

/** The same for text of several lines. */
export function plainLines(text: string): string[] {
  return text.replace(/\n$/, '').split('\n').map(plain);
}
