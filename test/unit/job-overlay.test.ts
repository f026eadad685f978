import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readChange, walkOverlay } from '../../src/job/overlay.ts';
import { folder, loadOne, refusal } from './job-fixture.ts';

const tracked = [{ path: '/etc/apt' }, { path: '/etc/foo.conf' }];

test('everything below the directory is laid at the same place on the host, sorted', async () => {
  const files = folder({
    'etc/apt/sources.list.d/b.list': 'b',
    'etc/apt/sources.list': 'a',
    'etc/apt/empty/': '',
    'etc/apt/link': '-> ../nowhere',
    'etc/foo.conf': 'f',
  });
  chmodSync(join(files, 'etc/foo.conf'), 0o755);
  expect(await walkOverlay(files, tracked)).toEqual([
    { path: '/etc/apt', kind: 'directory', source: `${files}/etc/apt` },
    { path: '/etc/apt/empty', kind: 'directory', source: `${files}/etc/apt/empty` },
    {
      path: '/etc/apt/link',
      kind: 'symlink',
      source: `${files}/etc/apt/link`,
      target: '../nowhere',
    },
    {
      path: '/etc/apt/sources.list',
      kind: 'file',
      executable: false,
      source: `${files}/etc/apt/sources.list`,
    },
    {
      path: '/etc/apt/sources.list.d',
      kind: 'directory',
      source: `${files}/etc/apt/sources.list.d`,
    },
    {
      path: '/etc/apt/sources.list.d/b.list',
      kind: 'file',
      executable: false,
      source: `${files}/etc/apt/sources.list.d/b.list`,
    },
    { path: '/etc/foo.conf', kind: 'file', executable: true, source: `${files}/etc/foo.conf` },
  ]);
});

test('names with spaces, quotes, dashes and letters of any script are laid as they are', async () => {
  const names = ['-rf', "it's", 'a b', 'ü', '"'];
  const files = folder(Object.fromEntries(names.map((name) => [`etc/apt/${name}`, 'x'])));
  const paths = (await walkOverlay(files, tracked)).map(({ path }) => path);
  expect(paths.slice(1)).toEqual(names.map((name) => `/etc/apt/${name}`).sort());
});

describe('refused is, with the entry and the tracked paths:', () => {
  test.each([
    ['a file outside of them', { 'etc/passwd': 'x' }, '/etc/passwd'],
    ['a file beside one of the same beginning', { 'etc/apt-x': 'x' }, '/etc/apt-x'],
    ['an empty directory outside of them', { 'usr/': '' }, '/usr'],
    ['a link above one of them', { etc: '-> /tmp' }, '/etc'],
    ['a file above one of them', { etc: 'x' }, '/etc'],
  ])('%s', async (_, content, entry) => {
    const error = await refusal(walkOverlay(folder(content), tracked));
    expect(error.name).toBe('files-outside-tracked');
    expect(error.message).toContain(`"${entry}"`);
    expect(error.details.allowed).toEqual(['/etc/apt', '/etc/foo.conf']);
  });
});

describe('refused is, since it could not be laid as it is:', () => {
  test('a named pipe', async () => {
    const files = folder({ 'etc/apt/': '' });
    execFileSync('mkfifo', [join(files, 'etc/apt/pipe')]);
    const error = await refusal(walkOverlay(files, tracked));
    expect(error).toMatchObject({ name: 'files-bad-entry' });
    expect(error.message).toContain('named pipe');
  });

  test('a name with a line end', async () => {
    const error = await refusal(walkOverlay(folder({ 'etc/apt/a\nb': 'x' }), tracked));
    expect(error).toMatchObject({ name: 'files-bad-entry' });
  });

  test('a name that is no UTF-8', async () => {
    const files = folder({ 'etc/apt/': '' });
    writeFileSync(Buffer.concat([Buffer.from(join(files, 'etc/apt/')), Buffer.from([0xff])]), 'x');
    const error = await refusal(walkOverlay(files, tracked));
    expect(error).toMatchObject({ name: 'files-bad-entry' });
  });

  test('a link to a name with a control character', async () => {
    const error = await refusal(walkOverlay(folder({ 'etc/apt/l': '-> a\tb' }), tracked));
    expect(error).toMatchObject({ name: 'files-bad-entry' });
  });
});

describe('the change of a job', () => {
  const files = { 'files/etc/apt/sources.list': 'new' };

  test('is what is laid and what is removed', async () => {
    const job = await loadOne('track: [/etc/apt]\nfiles: ./files\nremove: [/etc/apt/old.list]\n', {
      files,
    });
    const change = await readChange(job);
    expect(change.remove).toEqual(['/etc/apt/old.list']);
    expect(change.overlay.map(({ path }) => path)).toEqual(['/etc/apt', '/etc/apt/sources.list']);
  });

  test('may be nothing', async () => {
    expect(await readChange(await loadOne('track: [apt]\n'))).toEqual({ overlay: [], remove: [] });
  });

  test('is refused when the same path is laid and removed', async () => {
    const yaml = 'track: [/etc/apt]\nfiles: ./files\nremove: [/etc/apt/sources.list]\n';
    const error = await refusal(readChange(await loadOne(yaml, { files })));
    expect(error).toMatchObject({ name: 'track-overlap', place: { file: 'job.yml' } });
  });
});
