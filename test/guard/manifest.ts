import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { type BigIntStats, lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { tool } from './tools.ts';

/**
 * What a tree looks like, taken without any help of the guard: it is the judge of the guard.
 * Names are bytes; the keys are those bytes as latin1 text, relative to the root of the snapshot.
 */
export type Manifest = Map<string, Entry>;

export interface Entry {
  type: 'file' | 'directory' | 'symlink' | 'socket' | 'fifo' | 'device';
  /** Permission bits with set-uid, set-gid and sticky, octal. */
  mode: string;
  owner: string;
  /** SHA-256 of a file, target of a link (latin1), numbers of a device. */
  content: string;
  mtime: bigint;
  /** Names, attributes, ACLs, labels, capabilities: `name=hex` joined by spaces. */
  xattrs: string;
  /** The other names of the same inode inside the snapshot. */
  links: string;
  /** A file that takes less than three quarters of the blocks its size needs. */
  sparse: boolean;
}

export type Field = keyof Entry;

const slash = Buffer.from('/');

/**
 * Takes the manifest of everything below `root` that `wanted` lets through (all by default); a
 * directory that is left out is not entered. The root itself is the entry ''.
 */
export function snapshot(root: string, wanted: (path: string) => boolean = () => true): Manifest {
  const found = new Map<string, { full: Buffer; stat: BigIntStats }>();
  const visit = (full: Buffer, path: string): void => {
    const stat = lstatSync(full, { bigint: true });
    found.set(path, { full, stat });
    if (!stat.isDirectory()) return;
    for (const name of readdirSync(full, { encoding: 'buffer' })) {
      const below = `${path}/${name.toString('latin1')}`;
      if (wanted(below)) visit(Buffer.concat([full, slash, name]), below);
    }
  };
  visit(Buffer.from(root), '');
  const xattrs = attributes([...found.values()].map((f) => f.full));
  const names = sameInode(found);
  const manifest: Manifest = new Map();
  for (const [path, { full, stat }] of [...found].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const others = names.get(inode(stat)) ?? [];
    manifest.set(path, {
      type: typeOf(stat),
      mode: (stat.mode & 0o7777n).toString(8),
      owner: `${stat.uid}:${stat.gid}`,
      content: contentOf(full, stat),
      mtime: stat.mtimeNs,
      xattrs: xattrs.get(full.toString('latin1')) ?? '',
      links: others.length > 1 ? others.join(' ') : '',
      sparse: stat.isFile() && stat.blocks * 512n * 4n < stat.size * 3n,
    });
  }
  return manifest;
}

/** Every difference in words, path first; nothing when the two are the same in all fields. */
export function differences(
  expected: Manifest,
  actual: Manifest,
  ignore: (path: string, field: Field) => boolean = () => false,
): string[] {
  const found: string[] = [];
  for (const path of new Set([...expected.keys(), ...actual.keys()])) {
    const a = expected.get(path);
    const b = actual.get(path);
    if (!a) found.push(`${shown(path)}: is there (${b?.type}), should be absent`);
    else if (!b) found.push(`${shown(path)}: is absent, should be a ${a.type}`);
    else {
      const fields = (Object.keys(a) as Field[]).filter((f) => a[f] !== b[f] && !ignore(path, f));
      for (const f of fields) found.push(`${shown(path)}: ${f} is ${b[f]}, should be ${a[f]}`);
    }
  }
  return found;
}

/** Names that hold bytes a terminal would not show, quoted. */
export function shown(path: string): string {
  return JSON.stringify(path === '' ? '/' : path).slice(1, -1);
}

function inode(stat: BigIntStats): string {
  return `${stat.dev}:${stat.ino}`;
}

function sameInode(found: Map<string, { stat: BigIntStats }>): Map<string, string[]> {
  const names = new Map<string, string[]>();
  for (const [path, { stat }] of found) {
    if (stat.isDirectory() || stat.nlink < 2n) continue;
    names.set(inode(stat), [...(names.get(inode(stat)) ?? []), path].sort());
  }
  return names;
}

function typeOf(stat: BigIntStats): Entry['type'] {
  if (stat.isFile()) return 'file';
  if (stat.isDirectory()) return 'directory';
  if (stat.isSymbolicLink()) return 'symlink';
  if (stat.isSocket()) return 'socket';
  return stat.isFIFO() ? 'fifo' : 'device';
}

function contentOf(full: Buffer, stat: BigIntStats): string {
  if (stat.isFile()) return createHash('sha256').update(readFileSync(full)).digest('hex');
  if (stat.isSymbolicLink()) return readlinkSync(full, { encoding: 'buffer' }).toString('latin1');
  return stat.isBlockDevice() || stat.isCharacterDevice() ? String(stat.rdev) : '';
}

/** One process for the whole tree, however large. */
function attributes(paths: Buffer[]): Map<string, string> {
  const input = Buffer.concat(paths.flatMap((p) => [p, Buffer.from([0])]));
  const run = spawnSync(tool('xattrs'), { input, maxBuffer: 1 << 30 });
  if (run.status !== 0) throw new Error(`xattrs: ${run.error?.message ?? run.stderr}`);
  const found = new Map<string, string>();
  for (const line of run.stdout.toString('latin1').split('\n')) {
    const [path, ...list] = line.split('\t');
    if (path) found.set(Buffer.from(path, 'hex').toString('latin1'), list.join(' '));
  }
  return found;
}
