/*
 * What it takes for a name and a link to stay inside of a folder. Names are bytes, one a character.
 */

/**
 * The parts of a relative name, or why it is none that may be used.
 * `./a//b/` is `a`, `b`.
 */
export function partsOf(name: string): string[] | string {
  if (name.startsWith('/')) return 'has an absolute path';
  if (name.includes('\0')) return 'has a name with a NUL';
  const parts = name.split('/').filter((part) => part !== '' && part !== '.');
  return parts.includes('..') ? 'has ".." in its path' : parts;
}

/**
 * True unless a symbolic link stays inside of the folder whatever else is in it.
 *
 * `..` may only stand at the beginning of the target: the link itself lies in a real directory, so
 * going up from there is going up by names. Behind a name, which may be a link, `..` goes up from
 * wherever that leads (`a/..` is not here when `a` is a link). Without those, and without absolute
 * targets, each link leads from a directory inside to one inside, and so does any chain of them.
 * @param depth how many directories below the folder the link lies in
 */
export function leavesFolder(target: string, depth: number): boolean {
  if (target.startsWith('/') || target === '') return true;
  const parts = target.split('/').filter((part) => part !== '' && part !== '.');
  const named = parts.findIndex((part) => part !== '..');
  const up = named < 0 ? parts.length : named;
  return up > depth || parts.slice(up).includes('..');
}
