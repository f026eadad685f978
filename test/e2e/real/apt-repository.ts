import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../../lab/command.ts';

/** The only package of the repositories here. */
export const packageName = 'savepoint-lab-tools';

/**
 * Makes a flat apt repository (sources.list(5), "exact path") with one package in `folder`: a .deb
 * built by dpkg-deb and the indexes that name it.
 */
export async function makeAptRepository(folder: string, version: string): Promise<void> {
  const tree = join(folder, 'tree');
  const deb = `${packageName}_${version}_all.deb`;
  mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
  mkdirSync(join(tree, 'usr/share', packageName), { recursive: true });
  writeFileSync(join(tree, 'usr/share', packageName, 'version'), `${version}\n`);
  const control = `Package: ${packageName}
Version: ${version}
Architecture: all
Maintainer: Lab <lab@example.com>
Description: what a lab host needs
`;
  writeFileSync(join(tree, 'DEBIAN/control'), control);
  await must(['dpkg-deb', '--root-owner-group', '--build', tree, join(folder, deb)]);
  const { size } = statSync(join(folder, deb));
  const entry = `${control}Filename: ./${deb}\nSize: ${size}\nSHA256: ${digest(join(folder, deb))}\n`;
  writeFileSync(join(folder, 'Packages'), entry);
  const packages = `${digest(join(folder, 'Packages'))} ${Buffer.byteLength(entry)} Packages`;
  const release = `Origin: Lab\nDate: ${new Date().toUTCString()}\nSHA256:\n ${packages}\n`;
  writeFileSync(join(folder, 'Release'), release);
}

function digest(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex');
}
