import type { Dirent } from 'node:fs';
import { readdir, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type ErrorName, type ErrorOptions, SavepointError } from '../errors.ts';
import type { Job, OverlayEntry, TrackedPath } from './job.ts';
import { comparePaths, isWithin } from './tracked-paths.ts';

/** What a job changes on its host. */
export interface Change {
  /** Sorted by path; parents come before what they hold. */
  overlay: OverlayEntry[];
  /** Absolute paths on the host, without `root`. */
  remove: string[];
}

/**
 * Reads what the job lays over its host, and what it removes.
 * @throws SavepointError `files-bad-entry`, `files-outside-tracked`, `files-missing`,
 *   `track-overlap` when the same path is laid and removed.
 */
export async function readChange(job: Job): Promise<Change> {
  const { files, track, remove } = job;
  const overlay = files === undefined ? [] : await walkOverlay(files, track);
  for (const { path } of overlay) {
    const removed = remove.find((one) => isWithin(path, one));
    if (removed === undefined) continue;
    throw new SavepointError('track-overlap', {
      message: `"${removed}" is to be removed, but "files" lays ${path}.`,
      place: { ...(job.file !== undefined && { file: job.file }), field: 'remove' },
      details: { found: removed, allowed: 'paths that "files" does not lay' },
      hint: 'To replace a file, lay the new one; it need not be removed.',
    });
  }
  return { overlay, remove };
}

/**
 * Everything below a local directory as it is to be on the host: `DIR/etc/apt/x` is `/etc/apt/x`.
 * Directories above a tracked path only lead there and are no entries themselves.
 * @throws SavepointError `files-missing`, `files-bad-entry`, `files-outside-tracked`
 */
export async function walkOverlay(
  directory: string,
  tracked: readonly TrackedPath[],
): Promise<OverlayEntry[]> {
  const entries: OverlayEntry[] = [];
  await walk(directory, '', tracked, entries);
  return entries.sort((a, b) => comparePaths(a.path, b.path));
}

async function walk(
  local: string,
  above: string,
  tracked: readonly TrackedPath[],
  entries: OverlayEntry[],
): Promise<void> {
  for (const found of await list(local)) {
    const name = nameOf(found, local);
    const path = `${above}/${name}`;
    const source = join(local, name);
    const leadsThere = found.isDirectory() && tracked.some((one) => isWithin(one.path, path));
    const isTracked = tracked.some((one) => isWithin(path, one.path));
    if (!isTracked && !leadsThere) {
      throw bad('files-outside-tracked', source, `"${path}" would be laid, but is not tracked.`, {
        allowed: tracked.map((one) => one.path),
        hint: `Add ${path} to "track", or take it out of the files.`,
      });
    }
    if (isTracked) entries.push(await entryOf(found, path, source));
    if (found.isDirectory()) await walk(source, path, tracked, entries);
  }
}

async function list(local: string): Promise<Dirent<Buffer>[]> {
  try {
    return await readdir(local, { withFileTypes: true, encoding: 'buffer' });
  } catch (cause) {
    throw new SavepointError('files-missing', {
      message: 'A directory of the files to lay over the host cannot be read.',
      place: { field: 'files' },
      details: { found: local, allowed: 'a readable directory' },
      cause,
    });
  }
}

/** File names are bytes; those that are no UTF-8 could not be sent as they are. */
function nameOf(found: Dirent<Buffer>, local: string): string {
  const name = found.name.toString('utf8');
  const source = join(local, name);
  if (!Buffer.from(name, 'utf8').equals(found.name)) {
    throw bad('files-bad-entry', source, 'A name is not valid UTF-8.', { allowed: 'UTF-8 names' });
  }
  if (/\p{Cc}/u.test(name)) {
    const allowed = 'names without control characters';
    throw bad('files-bad-entry', source, 'A name holds a control character.', { allowed });
  }
  return name;
}

async function entryOf(found: Dirent<Buffer>, path: string, source: string): Promise<OverlayEntry> {
  if (found.isDirectory()) return { path, kind: 'directory', source };
  if (found.isSymbolicLink()) {
    const target = await readlink(source);
    if (/\p{Cc}/u.test(target)) {
      const allowed = 'targets without control characters';
      throw bad('files-bad-entry', source, 'A link has a control character.', { allowed });
    }
    return { path, kind: 'symlink', source, target };
  }
  if (found.isFile()) {
    const { mode } = await stat(source);
    return { path, kind: 'file', executable: (mode & 0o111) !== 0, source };
  }
  const allowed = 'files, directories and symbolic links';
  throw bad('files-bad-entry', source, `"${path}" is ${kindOf(found)}.`, { allowed });
}

function kindOf(found: Dirent<Buffer>): string {
  if (found.isFIFO()) return 'a named pipe';
  if (found.isSocket()) return 'a socket';
  return 'a device';
}

function bad(
  name: ErrorName,
  found: string,
  message: string,
  { allowed, ...options }: ErrorOptions & { allowed: unknown },
): SavepointError {
  const details = { found, allowed };
  return new SavepointError(name, { ...options, message, place: { field: 'files' }, details });
}
