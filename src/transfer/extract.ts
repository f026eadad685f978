import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  futimesSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  symlinkSync,
  unlinkSync,
} from 'node:fs';
import { SavepointError, sentenceOf } from '../errors.ts';
import { rawName, shownName } from './byte-names.ts';
import { GatheredWrites } from './gathered-writes.ts';
import { leavesFolder, partsOf } from './inside.ts';
import type { Header } from './tar-format.ts';
import { typeFlag } from './tar-format.ts';
import type { Sink } from './tar-reader.ts';

export interface ExtractOptions {
  /** Absolute; made when it is not there. */
  folder: string;
  /** Leading directories that are taken off a name that has them, without a slash at either end. */
  strip?: string;
  limits: Limits;
  /** Told which pieces of content are written; whoever gave the archive may still be looking at them. */
  written?: (pieces: readonly Buffer[]) => void;
}

export interface Limits {
  /** Of all files together, in bytes. */
  size: number;
  entries: number;
}

/** Whoever may read what was fetched must be able to, and to remove it. */
const OWNER_READS = 0o400;
const OWNER_ENTERS = 0o700;

/** Kinds of entries that never come out, as people call them. */
const refusedKinds: Record<string, string> = {
  '3': 'a device',
  '4': 'a device',
  '6': 'a named pipe',
};

/**
 * Writes the entries of an archive below a folder and nowhere else. It never follows a symbolic
 * link, whoever made it: every directory on the way to an entry is a real one. Files that are
 * there already are replaced. Owners and set-user-id bits are not taken over.
 */
export class Extractor implements Sink {
  entries = 0;
  /** Of the files' contents. */
  bytes = 0;
  readonly #options: ExtractOptions;
  /** Directories known to be real ones. Nothing here ever removes a directory. */
  readonly #directories = new Set<string>();
  #file: { descriptor: number; path: Buffer; header: Header; writes: GatheredWrites } | undefined;
  #announced = 0;

  constructor(options: ExtractOptions) {
    this.#options = options;
    this.#directory([]);
  }

  /**
   * @throws SavepointError `artifact-refused` with the entry named; `output-unwritable` when it
   *   cannot be written here.
   */
  entry(header: Header): void {
    const { limits, strip } = this.#options;
    this.entries++;
    if (this.entries > limits.entries) {
      throw refused(header, `is more than the ${limits.entries} entries that may be fetched`, {
        allowed: `${limits.entries} entries`,
        hint: 'Name less in `artifacts`, or raise `artifacts-max-entries`.',
      });
    }
    this.#announced += header.size;
    if (this.#announced > limits.size) {
      throw refused(header, `makes it more than the ${limits.size} bytes that may be fetched`, {
        found: `${this.#announced} bytes`,
        allowed: `${limits.size} bytes`,
        hint: 'Name less in `artifacts`, or raise `artifacts-max-size`.',
      });
    }
    const parts = placeOf(header, header.name, strip);
    this.#written(header, () => this.#make(header, parts));
  }

  content(piece: Buffer): void {
    const file = this.#file;
    if (!file) return;
    this.#written(file.header, () => file.writes.add(piece));
    this.bytes += piece.length;
  }

  done(): void {
    const file = this.#file;
    if (!file) return;
    const { descriptor, header, writes } = file;
    this.#written(header, () => {
      writes.flush();
      // The mode last: until then only its owner sees a part of it.
      fchmodSync(descriptor, header.mode | OWNER_READS);
      futimesSync(descriptor, header.mtime, header.mtime);
      closeSync(descriptor);
      this.#file = undefined;
    });
  }

  /** Lets go of a file that was not completed: a part must not be taken for the whole. */
  [Symbol.dispose](): void {
    if (!this.#file) return;
    closeSync(this.#file.descriptor);
    unlinkSync(this.#file.path);
    this.#file = undefined;
  }

  #make(header: Header, parts: string[]): void {
    const { type, name, link } = header;
    if (type === typeFlag.directory || (type === typeFlag.file && name.endsWith('/'))) {
      this.#directory(parts, header);
      if (parts.length > 0) chmodSync(this.#path(parts), header.mode | OWNER_ENTERS);
      return;
    }
    const last = parts.at(-1);
    if (last === undefined) throw refused(header, 'would take the place of the folder itself');
    const above = parts.slice(0, -1);
    this.#directory(above, header);
    const path = this.#path(parts);
    if (type === typeFlag.file || type === '7') {
      this.#vacate(path, header);
      const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
      const descriptor = openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      const writes = new GatheredWrites(descriptor, this.#options.written);
      this.#file = { descriptor, path, header, writes };
    } else if (type === typeFlag.symlink) {
      if (leavesFolder(link, above.length)) {
        throw refused(header, `is a link out of the folder, to ${shownName(link)}`, {
          allowed: 'targets in the folder, with .. only at the beginning',
        });
      }
      this.#vacate(path, header);
      symlinkSync(rawName(link), path);
    } else if (type === typeFlag.hardLink) {
      const target = placeOf(header, link, this.#options.strip);
      this.#real(target.slice(0, -1), header);
      const original = this.#path(target);
      if (original.equals(path)) throw refused(header, 'is a link to itself');
      if (kindAt(original) !== 'file') {
        throw refused(header, `is a link to ${shownName(link)}, which was not sent as a file`);
      }
      this.#vacate(path, header);
      linkSync(original, path);
    } else {
      const kind = refusedKinds[type] ?? `of a kind that is not fetched (${shownName(type)})`;
      throw refused(header, `is ${kind}`, { allowed: 'files, directories and links' });
    }
  }

  /** Makes the directories that lead to a place, all of them real ones. */
  #directory(parts: string[], header?: Header): void {
    for (let depth = 0; depth <= parts.length; depth++) {
      const key = parts.slice(0, depth).join('/');
      if (this.#directories.has(key)) continue;
      const path = this.#path(parts.slice(0, depth));
      const kind = kindAt(path);
      if (kind !== undefined && kind !== 'directory') {
        throw header && depth > 0
          ? refused(header, `goes through ${shownName(key)}, which is ${article(kind)}`)
          : unwritable(this.#options.folder, `it is ${article(kind)}`);
      }
      if (kind === undefined) mkdirSync(path);
      this.#directories.add(key);
    }
  }

  /** Refuses a place that is reached through anything but real directories. */
  #real(parts: string[], header: Header): void {
    for (let depth = 1; depth <= parts.length; depth++) {
      const key = parts.slice(0, depth).join('/');
      if (this.#directories.has(key)) continue;
      if (kindAt(this.#path(parts.slice(0, depth))) !== 'directory') {
        throw refused(header, `is a link through ${shownName(key)}, which is no directory`);
      }
    }
  }

  /** Takes away what an earlier run left in a file's place; never a directory. */
  #vacate(path: Buffer, header: Header): void {
    const kind = kindAt(path);
    if (kind === 'directory') throw refused(header, 'would take the place of a directory');
    if (kind !== undefined) unlinkSync(path);
  }

  #path(parts: string[]): Buffer {
    const below = parts.map((part) => `/${part}`).join('');
    return Buffer.concat([Buffer.from(this.#options.folder), rawName(below)]);
  }

  #written(header: Header, act: () => void): void {
    try {
      act();
    } catch (error) {
      if (error instanceof SavepointError) throw error;
      throw unwritable(this.#options.folder, sentenceOf(error), error, shownName(header.name));
    }
  }
}

/** Where an entry comes out, as parts below the folder. */
function placeOf(header: Header, name: string, strip = ''): string[] {
  const parts = partsOf(name);
  if (typeof parts === 'string') throw refused(header, parts);
  const above = strip === '' ? [] : strip.split('/');
  const has = above.every((part, index) => parts[index] === part);
  return has ? parts.slice(above.length) : parts;
}

type Kind = 'file' | 'directory' | 'link' | 'other';

function kindAt(path: Buffer): Kind | undefined {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (!stats) return undefined;
  if (stats.isFile()) return 'file';
  if (stats.isDirectory()) return 'directory';
  return stats.isSymbolicLink() ? 'link' : 'other';
}

function article(kind: Kind): string {
  return { file: 'a file', directory: 'a directory', link: 'a link', other: 'no directory' }[kind];
}

function refused(
  { name }: Header,
  why: string,
  { hint, ...details }: Record<string, string> & { hint?: string } = {},
): SavepointError {
  const entry = shownName(name);
  return new SavepointError('artifact-refused', {
    message: `The artifact ${entry} ${why}; nothing after it was fetched.`,
    details: { entry, ...details },
    ...(hint !== undefined && { hint }),
  });
}

function unwritable(folder: string, why: string, cause?: unknown, entry?: string): SavepointError {
  return new SavepointError('output-unwritable', {
    message: `Artifacts cannot be written to ${folder}: ${why}`,
    details: { folder, ...(entry !== undefined && { entry }) },
    ...(cause !== undefined && { cause }),
  });
}
