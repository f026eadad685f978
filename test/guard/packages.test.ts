import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Mounts, ownRoot } from './mounts.ts';
import { Conversation } from './spoken.ts';
import { guards } from './which.ts';

let built: string;
beforeAll(() => {
  built = mkdtempSync(join(tmpdir(), 'savepoint-packages-'));
  for (const [name, version] of [
    ['gone', '1.0'],
    ['stays', '1.0'],
    ['moves', '1.0'],
    ['moves', '1.1'],
    ['comes', '2:3-4'],
  ] as const)
    build(name, version);
});
afterAll(() => rmSync(built, { recursive: true }));

function build(name: string, version: string): void {
  const tree = join(built, `${name}-${version}`);
  mkdirSync(join(tree, 'DEBIAN'), { recursive: true });
  const fields = { Package: name, Version: version, Architecture: 'all', Maintainer: 'a test' };
  const lines = Object.entries({ ...fields, Description: 'nothing' });
  writeFileSync(join(tree, 'DEBIAN/control'), lines.map((line) => `${line.join(': ')}\n`).join(''));
  // A umask of 077 would leave rights that dpkg-deb refuses.
  for (const path of [tree, join(tree, 'DEBIAN')]) chmodSync(path, 0o755);
  execFileSync('dpkg-deb', ['--build', tree, `${tree}.deb`]);
}

/** dpkg on the database below a root; its log would be the machine's own. */
function dpkg(it: Conversation, ...words: string[]): void {
  const argv = [`--root=${it.root}`, `--log=${join(built, 'log')}`, ...words];
  execFileSync('dpkg', argv, { stdio: ['ignore', 'ignore', 'pipe'] });
}
const deb = (name: string) => join(built, `${name}.deb`);

/** A host that has three packages. */
function debian(file: string): Conversation {
  const it = new Conversation(file);
  const database = join(it.root, 'var/lib/dpkg');
  for (const dir of ['info', 'updates']) mkdirSync(join(database, dir), { recursive: true });
  for (const name of ['status', 'available']) writeFileSync(join(database, name), '');
  dpkg(it, '--install', deb('gone-1.0'), deb('stays-1.0'), deb('moves-1.0'));
  return it;
}

const packagesOf = (head: readonly string[]) => head.filter((line) => line.startsWith('package '));

/** Where there is no dpkg, and only for the host's own root. A program of ours answers. */
const others: [manager: string, question: string][] = [
  ['rpm', '-qa'],
  ['apk', 'info -v'],
  ['pacman', '-Q'],
];

describe.each(guards)('%s', (_which, file) => {
  test.each(['commit', 'rollback'])(
    '%s tells the packages that came, went or have another version',
    (verb) => {
      using it = debian(file);
      expect(it.begin().ok).toBe(true);
      dpkg(it, '--purge', 'gone');
      dpkg(it, '--install', deb('moves-1.1'), deb('comes-2:3-4'));
      const told = [
        'package + comes:all 2:3-4 ii ',
        'package - gone:all 1.0 ii ',
        'package + moves:all 1.1 ii ',
        'package - moves:all 1.0 ii ',
      ].sort();
      expect(packagesOf(it.ask(verb).head).sort()).toEqual(told);
      // Whoever asks again is told the same, though nothing is looked at again.
      expect(packagesOf(it.ask(verb).head).sort()).toEqual(told);
    },
  );

  test('a package that is half installed is told with its state', () => {
    using it = debian(file);
    it.begin();
    dpkg(it, '--unpack', deb('moves-1.1'));
    expect(packagesOf(it.ask('rollback').head).sort()).toEqual([
      'package + moves:all 1.1 iU ',
      'package - moves:all 1.0 ii ',
    ]);
  });

  test.each(['commit', 'rollback'])('%s tells none where none differ', (verb) => {
    using it = debian(file);
    it.begin();
    expect(packagesOf(it.ask(verb).head)).toEqual([]);
  });

  test('who recovers the host is told, and so is a controller that comes back', () => {
    using it = debian(file);
    it.begin();
    dpkg(it, '--purge', 'gone');
    const recovered = it.guard.call('recover', { headers: it.site });
    expect(packagesOf(recovered.head)).toEqual(['package - gone:all 1.0 ii ']);
    expect(packagesOf(it.ask('commit').head)).toEqual(['package - gone:all 1.0 ii ']);
  });

  test.each(others)('%s is asked where there is no dpkg', async (manager, question) => {
    using it = new Conversation(file);
    using mounts = await Mounts.made(ownRoot, it.root);
    const installed = (...packages: string[]) =>
      writeFileSync(join(it.root, 'installed'), packages.map((one) => `${one}\n`).join(''));
    const program = `#!/bin/sh\n[ "$*" = '${question}' ] && cat /installed\n`;
    writeFileSync(join(it.root, 'managers', manager), program, { mode: 0o755 });
    const ask = (verb: string) =>
      it.guard.call(verb, {
        headers: [`id ${it.id}`, 'token secret', `guard ${it.guard.sha256}`, 'track /etc/lab'],
        through: [...mounts.through, 'chroot', it.root],
      });
    installed('gone-1.0-1', 'stays-1.0-1');
    expect(ask('begin')).toMatchObject({ ok: true });
    installed('comes-2.0-1', 'stays-1.0-1');
    const { head } = ask('rollback');
    expect(packagesOf(head)).toEqual(['package + comes-2.0-1', 'package - gone-1.0-1']);
  });
});
