/*
 * A name of a file is bytes, not text: any but `/` and NUL. Here such a name is a string of one
 * character per byte (Latin-1), which no name is lost in and which can be split and compared.
 */

/** The bytes of a name that is text. */
export function byteName(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** The name as the file system takes it. */
export function rawName(name: string): Buffer {
  return Buffer.from(name, 'latin1');
}

/** The name as people read it: UTF-8 where it is, U+FFFD for bytes that are not. */
export function shownName(name: string): string {
  return rawName(name).toString('utf8');
}
