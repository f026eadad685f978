import { createHash } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface TreeFile {
  /** Below the directory. */
  path: string;
  bytes: number;
}

/** Makes a directory with these files. Their text depends on `seed` and their names alone. */
export function makeTree(directory: string, files: readonly TreeFile[], seed: string): void {
  mkdirSync(directory, { recursive: true });
  for (const { path, bytes } of files) {
    const file = join(directory, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, contents(`${seed} ${path}`, bytes));
  }
}

/** Text that does not compress to nothing, with lines of 64 characters. */
function contents(seed: string, bytes: number): string {
  let text = '';
  for (let block = 0; text.length < bytes; block++) {
    text += `${createHash('sha256').update(`${seed} ${block}`).digest('hex').slice(1)}\n`;
  }
  return text.slice(0, bytes);
}

/** Changes when a name, kind, mode, owner, time or byte below a directory does. */
export function fingerprint(directory: string): string {
  const hash = createHash('sha256');
  for (const name of readdirSync(directory, { recursive: true }).map(String).sort()) {
    const file = join(directory, name);
    const { mode, uid, gid, mtimeNs } = lstatSync(file, { bigint: true });
    hash.update(`${name} ${mode} ${uid} ${gid} ${mtimeNs}\n`);
    if (lstatSync(file).isFile()) hash.update(readFileSync(file));
  }
  return hash.digest('hex');
}
