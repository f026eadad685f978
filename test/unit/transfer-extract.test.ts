import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SavepointError } from '../../src/errors.ts';
import { BLOCK, readHeader, writeHeader } from '../../src/transfer/tar-format.ts';
import { folder } from './job-fixture.ts';
import { archiveOf, type Entry, type Extracting, extract, treeOf } from './transfer-archives.ts';

/** What extracting was refused with, in a folder whose neighbors must stay as they are. */
async function refusalOf(
  entries: readonly Entry[] | Buffer,
  options: Omit<Extracting, 'folder'> & { before?: (folder: string) => void } = {},
) {
  const above = folder({ outside: 'untouched', 'dir/inner': 'untouched' });
  const inside = join(above, 'artifacts');
  options.before?.(inside);
  const archive = Buffer.isBuffer(entries) ? entries : await archiveOf(entries);
  let thrown: unknown;
  try {
    extract(archive, { ...options, folder: inside });
  } catch (error) {
    thrown = error;
  }
  expect(readFileSync(join(above, 'outside'), 'utf8')).toBe('untouched');
  expect(readFileSync(join(above, 'dir/inner'), 'utf8')).toBe('untouched');
  const neighbors = Object.keys(treeOf(above)).filter((name) => !name.startsWith('artifacts/'));
  expect(neighbors).toEqual(['dir/', 'dir/inner', 'outside']);
  if (!(thrown instanceof SavepointError)) throw new Error('not refused', { cause: thrown });
  return { error: thrown, inside };
}

const good: Entry = { name: 'good', text: 'kept' };

describe('what a host sends is refused when it', () => {
  const cases: [string, Entry[], string, string][] = [
    ['has an absolute path', [{ name: '/etc/evil', text: 'x' }], '/etc/evil', 'absolute path'],
    ['has .. in its path', [{ name: 'a/../../outside', text: 'x' }], 'a/../../outside', '".."'],
    ['ends in ..', [{ name: 'a/..', type: 'directory' }], 'a/..', '".."'],
    ['is an absolute link', [{ name: 'l', type: 'symlink', linkname: '/etc/passwd' }], 'l', 'link'],
    ['is a link up', [{ name: 'l', type: 'symlink', linkname: '../outside' }], 'l', 'link'],
    [
      'is a link that goes up behind a name, which may be a link',
      [
        { name: 'p/q/d', type: 'symlink', linkname: '../..' },
        { name: 'x', type: 'symlink', linkname: 'p/q/d/..' },
      ],
      'x',
      'link out of the folder',
    ],
    ['is a link to nothing', [{ name: 'l', type: 'symlink', linkname: '' }], 'l', 'link'],
    [
      'is written through a link',
      [
        { name: 'real', type: 'directory' },
        { name: 'l', type: 'symlink', linkname: 'real' },
        { name: 'l/x', text: 'x' },
      ],
      'l/x',
      'goes through l, which is a link',
    ],
    [
      'makes a directory where a link is',
      [
        { name: 'l', type: 'symlink', linkname: 'somewhere' },
        { name: 'l', type: 'directory' },
      ],
      'l',
      'which is a link',
    ],
    [
      'takes the place of a directory',
      [
        { name: 'd', type: 'directory' },
        { name: 'd', type: 'symlink', linkname: 'x' },
      ],
      'd',
      'place of a directory',
    ],
    [
      'is a hard link to a path outside',
      [{ name: 'h', type: 'link', linkname: '../outside' }],
      'h',
      '".."',
    ],
    [
      'is a hard link to an absolute path',
      [{ name: 'h', type: 'link', linkname: '/etc/passwd' }],
      'h',
      'absolute path',
    ],
    [
      'is a hard link to a link',
      [
        { name: 'l', type: 'symlink', linkname: 'x' },
        { name: 'h', type: 'link', linkname: 'l' },
      ],
      'h',
      'not sent as a file',
    ],
    [
      'is a hard link through a link',
      [
        { name: 'd', type: 'directory' },
        { name: 'd/f', text: 'x' },
        { name: 'l', type: 'symlink', linkname: 'd' },
        { name: 'h', type: 'link', linkname: 'l/f' },
      ],
      'h',
      'no directory',
    ],
    ['is a character device', [{ name: 'dev', type: 'character-device' }], 'dev', 'a device'],
    ['is a block device', [{ name: 'dev', type: 'block-device' }], 'dev', 'a device'],
    ['is a named pipe', [{ name: 'pipe', type: 'fifo' }], 'pipe', 'a named pipe'],
    [
      'is the folder itself',
      [{ name: './', text: '', type: 'symlink', linkname: 'x' }],
      './',
      'itself',
    ],
  ];
  test.each(cases)('%s', async (_, entries, entry, says) => {
    const { error, inside } = await refusalOf([good, ...entries, { name: 'later', text: 'x' }]);
    expect(error.name).toBe('artifact-refused');
    expect(error.details.entry).toBe(entry);
    expect(error.reason).toContain(says);
    // What came before it stays, what comes after it does not come.
    expect(readFileSync(join(inside, 'good'), 'utf8')).toBe('kept');
    expect(existsSync(join(inside, 'later'))).toBe(false);
  });

  test('makes more entries than it may', async () => {
    const entries = Array.from({ length: 4 }, (_, index) => ({ name: `f${index}`, text: 'x' }));
    const { error } = await refusalOf(entries, { limits: { entries: 3 } });
    expect(error).toMatchObject({ name: 'artifact-refused', details: { entry: 'f3' } });
    expect(error.hint).toContain('artifacts-max-entries');
  });

  test('is larger than it may be, before a byte of the entry is written', async () => {
    const entries = [
      { name: 'small', text: 'xxxx' },
      { name: 'large', text: 'x'.repeat(97) },
    ];
    const { error, inside } = await refusalOf(entries, { limits: { size: 100 } });
    expect(error).toMatchObject({
      name: 'artifact-refused',
      details: { entry: 'large', found: '101 bytes', allowed: '100 bytes' },
    });
    expect(existsSync(join(inside, 'large'))).toBe(false);
  });

  test('has a damaged header', async () => {
    const archive = await archiveOf([good, { name: 'other' }]);
    archive.write('1', 2 * BLOCK + 150);
    const { error } = await refusalOf(archive);
    expect(error.name).toBe('artifact-refused');
    expect(error.reason).toContain('damaged');
  });

  test('has a name too long to be one, which is not kept in memory', async () => {
    const header = { name: '././@LongLink', type: 'L', size: 2 ** 40, mode: 0, mtime: 0, link: '' };
    const { error } = await refusalOf(blockOf(header));
    expect(error.reason).toContain('longer than a name can be');
  });

  test('has headers without end that belong to no entry', async () => {
    const header = { name: 'pax', type: 'x', size: 0, mode: 0, mtime: 0, link: '' };
    const { error } = await refusalOf(Buffer.concat(Array(20).fill(blockOf(header))));
    expect(error.reason).toContain('belong to no entry');
  });

  test.each(['-1', '99999999999999999', '1e3'])(
    'says in an extended header that it has %s bytes',
    async (size) => {
      const { error } = await refusalOf([{ name: 'f', pax: { size } }]);
      expect(error.name).toBe('artifact-refused');
    },
  );

  test('goes on without end behind its end', async () => {
    const { error } = await refusalOf(
      Buffer.concat([await archiveOf([good]), Buffer.alloc(2 ** 21)]),
    );
    expect(error.reason).toContain('goes on after its end');
  });

  test('goes through a link that was in the folder before', async () => {
    const { error } = await refusalOf([{ name: 'l/x', text: 'x' }], {
      before: (inside) => {
        mkdirSync(inside);
        symlinkSync('../dir', join(inside, 'l'));
      },
    });
    expect(error.reason).toContain('goes through l, which is a link');
  });

  test('would go to a folder that is a link', async () => {
    const above = folder({ elsewhere: 'x' });
    symlinkSync('/tmp', join(above, 'artifacts'));
    const archive = await archiveOf([good]);
    expect(() => extract(archive, { folder: join(above, 'artifacts') })).toThrow('it is a link');
  });
});

test('an archive that was cut off is no success, and leaves no part of a file', async () => {
  const archive = await archiveOf([good, { name: 'cut', text: 'x'.repeat(5000) }]);
  const cuts = [
    { length: archive.length - 2 * BLOCK, left: ['cut', 'good'] },
    { length: archive.length - 3 * BLOCK, left: ['good'] },
    { length: 3 * BLOCK + 100, left: ['good'] },
    { length: 2 * BLOCK, left: ['good'] },
  ];
  for (const { length, left } of cuts) {
    const inside = join(folder(), 'artifacts');
    expect(() => extract(archive.subarray(0, length), { folder: inside })).toThrow('cut off');
    expect(Object.keys(treeOf(inside))).toEqual(left);
  }
});

test.each([1, 7, 512, 100_000])('pieces of %i bytes make no difference', async (piece) => {
  const long = `${'d'.repeat(120)}/${'n'.repeat(200)}`;
  const archive = await archiveOf([
    { name: 'd', type: 'directory', mode: 0o555 },
    { name: 'd/x', text: 'abc', mode: 0o4711 },
    { name: 'up', type: 'symlink', linkname: './d//x' },
    { name: 'd/back', type: 'symlink', linkname: '../up' },
    { name: long, text: 'y'.repeat(1025), mode: 0o200 },
    { name: 'hard', type: 'link', linkname: 'd/x' },
  ]);
  const inside = join(folder(), 'artifacts');
  const { entries, bytes } = extract(archive, { folder: inside, piece });
  expect({ entries, bytes }).toEqual({ entries: 6, bytes: 1028 });
  const tree = treeOf(inside);
  // Set-user-id is not taken over; the owner can always read a file and enter a directory.
  expect(tree).toMatchObject({
    'd/': 'directory 755',
    'd/x': expect.stringMatching(/^file 711 \d+ abc$/),
    up: 'link ./d//x',
    'd/back': 'link ../up',
    [long]: expect.stringMatching(/^file 600 \d+ y{1025}$/),
  });
  expect(lstatSync(join(inside, 'hard')).ino).toBe(lstatSync(join(inside, 'd/x')).ino);
});

test('the leading directories of the work directory are taken off', async () => {
  const archive = await archiveOf([
    { name: './var/tmp/w/logs/x', text: 'x' },
    { name: './var/tmp/w2/y', text: 'y' },
    { name: './var/tmp/w/hard', type: 'link', linkname: './var/tmp/w/logs/x' },
  ]);
  const inside = join(folder(), 'artifacts');
  extract(archive, { folder: inside, strip: 'var/tmp/w' });
  expect(Object.keys(treeOf(inside)).filter((name) => !name.endsWith('/'))).toEqual([
    'hard',
    'logs/x',
    'var/tmp/w2/y',
  ]);
});

test('files of an earlier run are replaced, not written into', async () => {
  const inside = folder({ f: 'old', target: 'old' });
  symlinkSync('target', join(inside, 'l'));
  writeFileSync(join(inside, 'f'), 'old');
  extract(
    await archiveOf([
      { name: 'f', text: 'new' },
      { name: 'l', text: 'new' },
    ]),
    { folder: inside },
  );
  expect(readFileSync(join(inside, 'f'), 'utf8')).toBe('new');
  expect(readFileSync(join(inside, 'l'), 'utf8')).toBe('new');
  expect(readFileSync(join(inside, 'target'), 'utf8')).toBe('old');
});

test('a header holds sizes of any file', () => {
  for (const size of [0, 8 ** 11 - 1, 8 ** 11, 2 ** 50]) {
    const header = { name: 'n', type: '0', size, mode: 0o640, mtime: 12, link: '' };
    expect(readHeader(blockOf(header))).toEqual(header);
  }
});

function blockOf(header: Parameters<typeof writeHeader>[1]): Buffer {
  const block = Buffer.alloc(BLOCK);
  writeHeader(block, header);
  return block;
}
