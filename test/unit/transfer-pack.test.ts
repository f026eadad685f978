import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  renameSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { pack } from '../../src/transfer/pack.ts';
import { survey } from '../../src/transfer/walk.ts';
import { folder, refusal } from './job-fixture.ts';
import { extract, packed, treeOf } from './transfer-archives.ts';

const tars = [['tar'], ['busybox', 'tar']];

/** A directory with everything that may be in one. */
function tree(): string {
  const root = folder({ 'plain.txt': 'text', 'empty/': '', zero: '', 'to-plain': '-> plain.txt' });
  const long = join(root, 'l'.repeat(100), 'm'.repeat(255));
  mkdirSync(long, { recursive: true });
  writeFileSync(join(long, `${'n'.repeat(250)}`), 'deep');
  symlinkSync(`/nowhere/${'t'.repeat(300)}`, join(long, 'link'));
  writeFileSync(join(root, 'größe-文.txt'), 'UTF-8');
  writeFileSync(Buffer.concat([Buffer.from(`${root}/latin-`), Buffer.from([0xe9, 0xff])]), 'bytes');
  writeFileSync(join(root, 'a new\nline and -dash'), 'odd');
  writeFileSync(join(root, 'block'), 'b'.repeat(512));
  writeFileSync(join(root, 'large'), Buffer.alloc(1_200_001, 'x'));
  for (const [name, mode] of [
    ['plain.txt', 0o754],
    ['zero', 0o400],
    ['block', 0o666],
  ] as const) {
    chmodSync(join(root, name), mode);
    utimesSync(join(root, name), 1_000_000_000, 1_000_000_000);
  }
  mkdirSync(join(root, 'read-only'));
  writeFileSync(join(root, 'read-only/inner'), 'x');
  chmodSync(join(root, 'read-only'), 0o555);
  onTestFinished(() => chmodSync(join(root, 'read-only'), 0o755));
  return root;
}

describe('what is packed', () => {
  test.each(tars)('comes out of %s %s as it was', (...words) => {
    const [program = '', ...args] = words.filter((word) => typeof word === 'string');
    const root = tree();
    const out = folder();
    const input = packed([{ local: root, as: 'in/side' }]);
    const said = execFileSync(program, [...args, '-xpof', '-'], { cwd: out, input, stdio: 'pipe' });
    expect(said.toString()).toBe('');
    expect(treeOf(join(out, 'in/side'))).toEqual(treeOf(root));
    chmodSync(join(out, 'in/side/read-only'), 0o755);
  });

  test.each([
    { words: ['tar'], readOnly: 'directory 555' },
    // busybox lets nobody but root take the owner's rights off a directory that is there.
    { words: ['busybox', 'tar'], readOnly: 'directory 755' },
  ])('comes out of $words that is not root as it was', ({ words, readOnly }) => {
    const root = tree();
    const out = folder();
    chmodSync(out, 0o777);
    const user = ['--reuid=65534', '--regid=65534', '--clear-groups'];
    const line = ['sh', '-c', 'umask 0; exec "$@" -xpof -', 'sh', ...words];
    const input = packed([{ local: root, as: 'in' }]);
    execFileSync('setpriv', [...user, ...line], { cwd: out, input });
    expect(treeOf(join(out, 'in'))).toEqual({ ...treeOf(root), 'read-only/': readOnly });
  });

  test('comes out of our own extractor as it was', () => {
    const root = tree();
    const inside = join(folder(), 'artifacts');
    // The one link that leaves the folder is for the host alone.
    execFileSync('sh', ['-c', 'find . -type l -lname "/nowhere/*" -delete'], { cwd: root });
    const limits = { size: 2 ** 30 };
    extract(packed([{ local: root, as: '.' }]), { folder: inside, limits, piece: 65_536 });
    const expected = treeOf(root);
    expect(treeOf(inside)).toEqual({ ...expected, 'read-only/': 'directory 755' });
  });

  test('is made of whole records, as GNU tar makes them', () => {
    for (const size of [0, 1, 511, 512, 513, 524_288, 524_289]) {
      const root = folder({ f: 'x'.repeat(size) });
      expect(packed([{ local: join(root, 'f'), as: 'f' }]).length % 10_240).toBe(0);
    }
  });

  test('counts what it packs, as the survey has it', () => {
    const sources = [{ local: tree(), as: 'x' }];
    const counted = { entries: 0, bytes: 0 };
    for (const _ of pack(sources, counted));
    expect(counted).toEqual(survey(sources));
    expect(counted.bytes).toBeGreaterThan(1_200_000);
  });

  test('is a file under another name, and what a link that was named leads to', () => {
    const root = folder({ real: 'text', link: '-> real' });
    const out = folder();
    const input = packed([{ local: join(root, 'link'), as: 'deep/named' }]);
    execFileSync('tar', ['-xf', '-'], { cwd: out, input });
    expect(treeOf(join(out, 'deep'))).toEqual({ named: treeOf(root).real });
  });
});

test('a socket is refused by its name before anything is sent', async () => {
  const root = folder({ 'dir/': '' });
  const server = createServer();
  await new Promise<void>((done) => server.listen(join(root, 'dir/socket'), done));
  onTestFinished(() => void server.close());
  const error = await refusal((async () => survey([{ local: root, as: 'x' }]))());
  expect(error).toMatchObject({
    name: 'files-bad-entry',
    details: { found: `${root}/dir/socket` },
  });
});

test('a file that becomes shorter while it is sent ends the stream, not as a whole one', async () => {
  const root = folder({ f: 'x'.repeat(2_000_000) });
  const pieces = pack([{ local: join(root, 'f'), as: 'f' }], { entries: 0, bytes: 0 });
  pieces.next();
  truncateSync(join(root, 'f'), 600_000);
  const error = await refusal((async () => [...pieces])());
  expect(error).toMatchObject({
    name: 'attachment-changed',
    details: { path: join(root, 'f'), expected: '2000000 bytes' },
  });
});

test('a file that is gone when its turn comes is told by its path', async () => {
  const root = folder({ a: 'x'.repeat(600_000), b: 'y' });
  const pieces = pack([{ local: root, as: 'r' }], { entries: 0, bytes: 0 });
  pieces.next();
  renameSync(join(root, 'b'), join(root, 'c'));
  const error = await refusal((async () => [...pieces])());
  expect(error).toMatchObject({ name: 'files-missing', details: { found: join(root, 'b') } });
});
