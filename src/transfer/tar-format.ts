/*
 * The tar format: 512-byte blocks (POSIX.1-1988 ustar) with GNU's long names and large numbers,
 * which GNU tar, busybox, toybox and bsdtar all read. busybox reads no pax names, so what we write
 * has none; what we read may.
 */

export const BLOCK = 512;

/** What kind of thing a header announces, by its type flag. */
export const typeFlag = {
  file: '0',
  hardLink: '1',
  symlink: '2',
  directory: '5',
  longLink: 'K',
  longName: 'L',
  pax: 'x',
  globalPax: 'g',
} as const;

export interface Header {
  /** Bytes, one a character. */
  name: string;
  type: string;
  size: number;
  /** Permission bits alone. */
  mode: number;
  /** Seconds since the epoch, whole. */
  mtime: number;
  link: string;
}

/** The longest name a header has room for. Longer ones go before it. */
export const LONGEST_NAME = 100;

/** Numbers of twelve bytes are octal up to here; larger ones are binary (GNU, star). */
const LARGEST_OCTAL = 8 ** 11 - 1;

/** Writes a header whose names fit into `block`, which must be BLOCK bytes. */
export function writeHeader(block: Buffer, header: Header): void {
  block.fill(0);
  block.write(header.name, 0, LONGEST_NAME, 'latin1');
  octal(block, 100, 8, header.mode);
  octal(block, 108, 8, 0);
  octal(block, 116, 8, 0);
  octal(block, 124, 12, header.size);
  octal(block, 136, 12, Math.max(0, header.mtime));
  block.fill(0x20, 148, 156);
  block.write(header.type, 156, 1, 'latin1');
  block.write(header.link, 157, LONGEST_NAME, 'latin1');
  block.write('ustar  \0', 257, 8, 'latin1');
  octal(block, 148, 7, checksum(block));
}

/** Bytes that fill up the last block of a content of this size. */
export function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

/** The header in a block; `zero` for an empty one, undefined for what is no header. */
export function readHeader(block: Buffer): Header | 'zero' | undefined {
  if (block.every((byte) => byte === 0)) return 'zero';
  const sum = number(block, 148, 8);
  if (sum !== checksum(block)) return undefined;
  const size = number(block, 124, 12);
  const mode = number(block, 100, 8);
  const mtime = number(block, 136, 12);
  if (size === undefined || mode === undefined) return undefined;
  const posix = block.toString('latin1', 257, 263) === 'ustar\0';
  const prefix = posix ? text(block, 345, 155) : '';
  const name = text(block, 0, LONGEST_NAME);
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    type: block[156] === 0 ? typeFlag.file : block.toString('latin1', 156, 157),
    size,
    mode: mode & 0o777,
    mtime: mtime ?? 0,
    link: text(block, 157, LONGEST_NAME),
  };
}

/** The records of a pax header (POSIX.1-2001): `LENGTH KEY=VALUE\n`. Undefined when malformed. */
export function readPax(bytes: Buffer): Map<string, string> | undefined {
  const records = new Map<string, string>();
  let at = 0;
  while (at < bytes.length) {
    const space = bytes.indexOf(0x20, at);
    const digits = space < 0 ? '' : bytes.toString('latin1', at, space);
    const length = /^[0-9]{1,9}$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    if (length === 0 || end > bytes.length || bytes[end - 1] !== 0x0a) return undefined;
    const record = bytes.toString('latin1', space + 1, end - 1);
    const equals = record.indexOf('=');
    if (equals < 1) return undefined;
    records.set(record.slice(0, equals), record.slice(equals + 1));
    at = end;
  }
  return records;
}

/** Sum of a header's bytes, its own checksum taken as blanks. */
function checksum(block: Buffer): number {
  let sum = 8 * 0x20;
  for (let at = 0; at < BLOCK; at++) if (at < 148 || at >= 156) sum += block[at] as number;
  return sum;
}

function octal(block: Buffer, at: number, length: number, value: number): void {
  if (length === 12 && value > LARGEST_OCTAL) {
    block[at] = 0x80;
    block.writeBigUInt64BE(BigInt(value), at + 4);
    return;
  }
  block.write(value.toString(8).padStart(length - 1, '0'), at, length - 1, 'latin1');
}

/** A number of a header; undefined for what is none, or too large to be true. */
function number(block: Buffer, at: number, length: number): number | undefined {
  const first = block[at] as number;
  if (first & 0x80) {
    // GNU's base 256; 0xff would be a negative one.
    if (first !== 0x80) return undefined;
    let value = 0;
    for (let index = at + 1; index < at + length; index++) {
      value = value * 256 + (block[index] as number);
    }
    return Number.isSafeInteger(value) ? value : undefined;
  }
  const digits = text(block, at, length).trim();
  if (digits === '') return 0;
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : undefined;
}

function text(block: Buffer, at: number, length: number): string {
  const end = block.indexOf(0, at);
  return block.toString('latin1', at, end < 0 ? at + length : Math.min(end, at + length));
}
