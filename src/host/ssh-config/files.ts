import { readdir, readFile, stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { SavepointError, sentenceOf } from '../../errors.ts';

/** A file to read, and how. */
export interface ConfigFile {
  readonly path: string;
  /** Relative paths of Include are in this folder: `~/.ssh`, or `/etc/ssh` for the system's. */
  readonly includeFolder: string;
  /** OpenSSH's own places may be empty; a file that was asked for must be there. */
  readonly required?: boolean;
  /** Refused when others may write to it, as OpenSSH refuses `~/.ssh/config`. */
  readonly checkPermissions?: boolean;
}

/** The files that OpenSSH reads by itself, in its order (ssh_config(5)). */
export function usualConfigFiles(home: string): ConfigFile[] {
  const own = join(home, '.ssh');
  return [
    { path: join(own, 'config'), includeFolder: own, checkPermissions: true },
    { path: '/etc/ssh/ssh_config', includeFolder: '/etc/ssh' },
  ];
}

/**
 * The text of a configuration file; undefined when it is not there and need not be.
 * @throws SavepointError `ssh-config-bad`
 */
export async function readConfigFile(file: ConfigFile): Promise<string | undefined> {
  try {
    if (file.checkPermissions) await checkOwner(file.path);
    return await readFile(file.path, 'utf8');
  } catch (error) {
    if (error instanceof SavepointError) throw error;
    const absent = error instanceof Error && 'code' in error && error.code === 'ENOENT';
    if (absent && !file.required) return undefined;
    throw new SavepointError('ssh-config-bad', {
      message: `The SSH configuration ${file.path} cannot be read: ${sentenceOf(error)}`,
      place: { file: file.path },
      cause: error,
    });
  }
}

/** readconf.c: the owner must be root or oneself, and nobody else may write. */
async function checkOwner(path: string): Promise<void> {
  const { uid, mode } = await stat(path);
  if ((uid === 0 || uid === process.getuid?.()) && (mode & 0o022) === 0) return;
  throw new SavepointError('ssh-config-bad', {
    message: `The SSH configuration ${path} may be written to by others, so it is not used.`,
    place: { file: path },
    details: { owner: uid, mode: (mode & 0o777).toString(8).padStart(4, '0') },
    hint: `chmod 600 ${path}`,
  });
}

/** The existing files that a pattern of Include stands for, sorted as glob(7) sorts them. */
export async function includedFiles(pattern: string, folder: string): Promise<string[]> {
  const absolute = isAbsolute(pattern) ? pattern : join(folder, pattern);
  const [, ...segments] = absolute.split('/');
  let found = ['/'];
  for (const segment of segments) {
    const step = await Promise.all(found.map((path) => matching(path, segment)));
    found = step.flat();
  }
  return found;
}

async function matching(folder: string, segment: string): Promise<string[]> {
  if (!/[*?[]/.test(segment)) {
    const path = join(folder, segment);
    return (await stat(path).catch(() => undefined)) ? [path] : [];
  }
  const entries = await readdir(folder).catch((): string[] => []);
  const name = globExpression(segment);
  return entries
    .filter((entry) => name.test(entry) && (segment.startsWith('.') || !entry.startsWith('.')))
    .sort()
    .map((entry) => join(folder, entry));
}

/** `*`, `?` and bracket expressions of glob(7), for one segment of a path. */
function globExpression(segment: string): RegExp {
  const source = segment.replace(/\[(!?)([^\]]+)\]|[\s\S]/g, (part, not, set) => {
    if (set !== undefined) return `[${not ? '^' : ''}${set.replace(/[\\^]/g, '\\$&')}]`;
    if (part === '*') return '.*';
    if (part === '?') return '.';
    return part.replace(/[.+^${}()|[\]\\]/, '\\$&');
  });
  return new RegExp(`^${source}$`, 's');
}
