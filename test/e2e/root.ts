import { createHash } from 'node:crypto';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';

/** A host's root below a temporary folder, with a configuration to protect. */
export interface TestRoot {
  path: string;
  /** Every path but the guard's own, with all that a rollback has to bring back. */
  snapshot(): Record<string, string>;
  read(path: string): string | undefined;
}

export const ORIGINAL = 'deb http://good.example/debian stable main\n';
export const PATCHED = 'deb http://patched.example/debian stable main\n';

export function testRoot(): TestRoot {
  const path = mkdtempSync(join(tmpdir(), 'savepoint-root-'));
  onTestFinished(() => rmSync(path, { recursive: true, force: true, maxRetries: 5 }));
  const write = (name: string, text: string, mode = 0o644): void => {
    const file = join(path, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text, { mode });
    utimesSync(file, 1_600_000_000.125, 1_600_000_000.125);
  };
  write('etc/apt/sources.list', ORIGINAL);
  write('etc/apt/auth.conf', 'machine good.example password none\n', 0o640);
  write('etc/apt/apt.conf.d/99 odd name', 'APT::Get::Assume-Yes "true";\n');
  symlinkSync('sources.list', join(path, 'etc/apt/link'));
  write('etc/motd', 'not tracked\n');
  return {
    path,
    snapshot: () => snapshot(path),
    read: (name) => {
      const file = join(path, name);
      return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
    },
  };
}

function snapshot(root: string): Record<string, string> {
  const entries: Record<string, string> = {};
  const walk = (name: string): void => {
    const file = join(root, name);
    const stat = lstatSync(file, { bigint: true });
    // Directories above a tracked path are not tracked: the guard works in them.
    const time = name === 'etc' ? '' : stat.mtimeNs;
    const what = stat.isSymbolicLink()
      ? readlinkSync(file)
      : stat.isFile()
        ? createHash('sha256').update(readFileSync(file)).digest('hex')
        : '';
    entries[name] = `${stat.mode.toString(8)} ${stat.uid}:${stat.gid} ${time} ${what}`;
    if (stat.isDirectory()) for (const child of readdirSync(file).sort()) walk(join(name, child));
  };
  for (const name of readdirSync(root).sort()) if (name !== 'var') walk(name);
  return entries;
}

/** A workspace's directory of files to lay over the root. */
export function patchFiles(workspace: string, text = PATCHED): string {
  const folder = join(workspace, 'files');
  mkdirSync(join(folder, 'etc/apt/sources.list.d'), { recursive: true });
  writeFileSync(join(folder, 'etc/apt/sources.list'), text);
  writeFileSync(join(folder, 'etc/apt/sources.list.d/new.list'), '# added\n');
  return folder;
}
