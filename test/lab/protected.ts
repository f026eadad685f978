import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';
import { differences, type Manifest, snapshot } from '../guard/manifest.ts';
import { buildWorld, tracked as worldPaths } from '../guard/world.ts';

/** Where root's jobs change many files. */
export const bulk = '/etc/bulk';

/** A directory that the user ci may write to. */
export const owned = '/etc/owned';

/** What jobs in the lab protect; absent.conf and absent.d are not there to begin with. */
export const tracked = [...worldPaths, bulk, owned];

/** Gives a machine a configuration with everything that a restore can lose. */
export function furnish(root: string): void {
  buildWorld(root);
  fill(root, 20);

  mkdirSync(join(root, owned));
  writeFileSync(join(root, owned, 'settings'), 'old\n');
  for (const path of [join(root, owned), join(root, owned, 'settings')])
    chownSync(path, 1000, 1000);
  chmodSync(join(root, owned), 0o750);
}

/** The same with so many files that a guard is caught in the middle of its work. */
export function furnishMuch(root: string): void {
  furnish(root);
  fill(root, 1500);
}

function fill(root: string, files: number): void {
  mkdirSync(join(root, bulk), { recursive: true });
  for (let file = 0; file < files; file++) {
    writeFileSync(join(root, bulk, `file-${file}`), `old ${file}\n`.repeat(100));
  }
}

/** Shell script of a job that runs as root and does to the tracked paths all that it should not. */
export const mess = `
cd /etc/apt
echo more >> sources.list
setfattr -x user.binary sources.list
setfattr -n user.new -v x big
setfacl -b sources.list.d/debian.sources
chmod 600 sources.list.d/debian.sources
chown 5:5 empty
touch -d 2000-01-01 empty.d
mv nested elsewhere
ln -s elsewhere nested
rm -rf gone.d
mkdir -p new.d/deep
echo new > new.d/deep/file
rm /etc/single.conf
echo more > /etc/absent.conf
for file in ${bulk}/*; do echo changed > "$file"; done
rm ${bulk}/file-1*
`;

/** A directory for `files:` that changes, adds and replaces. */
export function layFiles(folder: string): string {
  const files = join(folder, 'files');
  const lay = (path: string, content: string) => {
    mkdirSync(dirname(join(files, path)), { recursive: true });
    writeFileSync(join(files, path), content);
  };
  lay('etc/absent.conf', 'laid\n');
  lay('etc/absent.d/one/file', 'laid in a new directory\n');
  lay('etc/apt/sources.list', 'deb http://patched.example/debian bookworm main\n');
  lay('etc/apt/sources.list.d/new.sources', 'Types: deb\nURIs: http://patched.example\n');
  lay('etc/link.conf', 'a file instead of a link\n');
  lay('etc/single.conf', 'laid\n');
  return files;
}

/**
 * Everything below /etc: what is not tracked must not change either. Only the unit for recovery at
 * boot may come, the directory itself shows that it did, and the lab notes its address there.
 */
export function look(root: string): Manifest {
  const manifest = snapshot(join(root, 'etc'), (path) => !/^\/(systemd|lab-address)/.test(path));
  manifest.delete('');
  return manifest;
}

/** Holds that a machine's root directory is as it was, and that the guard left nothing undone. */
export function expectRestored(root: string, before: Manifest): void {
  expect(differences(before, look(root)).slice(0, 20)).toEqual([]);
  const state = join(root, 'var/lib/savepoint');
  for (const name of ['open', 'quarantine']) expect(existsSync(join(state, name))).toBe(false);
}
