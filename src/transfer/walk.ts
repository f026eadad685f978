import { lstatSync, readdirSync, readlinkSync, type Stats, statSync } from 'node:fs';
import { SavepointError } from '../errors.ts';
import { byteName, rawName, shownName } from './byte-names.ts';

/** A local file or directory, and what it is called in the archive. */
export interface Source {
  /** Absolute. A link here is followed; those inside of a directory stay links. */
  local: string;
  /** Relative, with `/`. */
  as: string;
}

/** One thing to send. */
export interface Found {
  /** Local path, as bytes. */
  path: Buffer;
  /** Name in the archive, one character a byte. */
  name: string;
  kind: 'file' | 'directory' | 'symlink';
  /** Permission bits alone: what is on the host gets no set-user-id bit by us. */
  mode: number;
  /** Of a file: bytes. */
  size: number;
  /** Seconds since the epoch, whole. */
  mtime: number;
  /** Of a symbolic link: its target, one character a byte. */
  target: string;
  /** Of a directory: everything in it has been given. */
  left?: true;
}

/** How much there is to send. */
export interface Survey {
  entries: number;
  bytes: number;
}

/**
 * Everything below the sources in the order it is sent: a directory, what it holds by name, and
 * the directory once more. Keeps no more in memory than the names of the directories it is in.
 * @throws SavepointError `files-missing`, `files-bad-entry`, both with the entry named
 */
export function* walk(sources: readonly Source[]): Generator<Found> {
  for (const { local, as } of sources) {
    const path = Buffer.from(local);
    yield* ancestors(path, byteName(as));
    yield* descend(
      path,
      byteName(as),
      look(path, () => statSync(path)),
    );
  }
}

/** Reads all names and sizes, so that what cannot be sent is known before anything is. */
export function survey(sources: readonly Source[]): Survey {
  const total = { entries: 0, bytes: 0 };
  for (const found of walk(sources)) {
    if (found.left) continue;
    total.entries++;
    total.bytes += found.size;
  }
  return total;
}

/** The directories that lead to a place, which are nobody's here. */
function* ancestors(path: Buffer, name: string): Generator<Found> {
  const above = name.split('/').slice(0, -1);
  const mtime = Math.floor(Date.now() / 1000);
  for (const [depth] of above.entries()) {
    const leading = above.slice(0, depth + 1).join('/');
    yield { path, name: leading, kind: 'directory', mode: 0o755, size: 0, mtime, target: '' };
  }
}

function* descend(path: Buffer, name: string, stats: Stats): Generator<Found> {
  const mode = stats.mode & 0o777;
  const mtime = Math.floor(stats.mtimeMs / 1000);
  const common = { path, name, mode, mtime, size: 0, target: '' };
  if (stats.isFile()) {
    yield { ...common, kind: 'file', size: stats.size };
  } else if (stats.isSymbolicLink()) {
    const target = look(path, () => readlinkSync(path, 'latin1'));
    yield { ...common, kind: 'symlink', target };
  } else if (stats.isDirectory()) {
    yield { ...common, kind: 'directory' };
    for (const inner of look(path, () => readdirSync(path, 'latin1')).sort()) {
      const below = Buffer.concat([path, rawName(`/${inner}`)]);
      yield* descend(
        below,
        `${name}/${inner}`,
        look(below, () => lstatSync(below)),
      );
    }
    yield { ...common, kind: 'directory', left: true };
  } else {
    throw new SavepointError('files-bad-entry', {
      message: `The attachment ${shownName(name)} is neither a file, a directory nor a link.`,
      place: { field: 'attachments' },
      details: { found: path.toString(), allowed: 'files, directories and symbolic links' },
    });
  }
}

function look<T>(path: Buffer, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw unreadable(path, cause);
  }
}

export function unreadable(path: Buffer, cause: unknown): SavepointError {
  return new SavepointError('files-missing', {
    message: `The attachment ${path} cannot be read.`,
    place: { field: 'attachments' },
    details: { found: path.toString(), allowed: 'files and directories that can be read' },
    cause,
  });
}
