import { spawnSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { Conversation } from './spoken.ts';
import { guardsSince } from './which.ts';

/** A change: files by their bytes, directories by a name that ends with a slash, links by `->`. */
async function change(entries: Record<string, string>): Promise<Buffer> {
  const archive = pack();
  for (const [name, text] of Object.entries(entries)) {
    if (name.endsWith('/')) archive.entry({ name, type: 'directory', mode: 0o755 });
    else if (text.startsWith('-> ')) {
      archive.entry({ name, type: 'symlink', linkname: text.slice(3) });
    } else archive.entry({ name, mode: 0o644 }, text);
  }
  archive.finalize();
  return await buffer(archive);
}

/** What the controller would not ask for; who comes by sudo speaks to the guard without it. */
describe.each(guardsSince('1.2.0'))('%s, asked for what it must not do', (_which, file) => {
  const speak = () => {
    const it = new Conversation(file);
    mkdirSync(join(it.root, 'etc/other'));
    writeFileSync(join(it.root, 'etc/other/file'), 'theirs\n');
    const at = (name: string) => join(it.root, name);
    return { it, at, read: (name: string) => readFileSync(at(name), 'utf8') };
  };
  const begun = (...lines: string[]) => {
    const host = speak();
    expect(host.it.begin(...lines)).toMatchObject({ ok: true });
    return host;
  };

  test.each(['/etc/lab/../other/file', '/etc/lab/./file', '/etc/lab//file', '/etc/lab/..'])(
    'removes nothing by the name %s',
    async (name) => {
      const { it, read } = begun();
      using _ = it;
      const answer = it.ask('apply', [`remove ${name}`], await change({}));
      expect(answer.error).toBe('remove-outside-tracked');
      expect([read('etc/other/file'), read('etc/lab/file')]).toEqual(['theirs\n', 'old\n']);
    },
  );

  test('removes nothing behind a link, also one that the change brings', async () => {
    const { it, at, read } = begun();
    using _ = it;
    symlinkSync('../other', at('etc/lab/there'));
    const lines = ['remove /etc/lab/there/file'];
    expect(it.ask('apply', lines, await change({}))).toMatchObject({ ok: false });
    const laid = await change({ 'etc/lab/brought': '-> ../other' });
    expect(it.ask('apply', ['remove /etc/lab/brought/file'], laid)).toMatchObject({ ok: false });
    expect(read('etc/other/file')).toBe('theirs\n');
  });

  test('makes no directory outside of the tracked paths', async () => {
    const { it, at } = begun();
    using _ = it;
    const answer = it.ask('apply', [], await change({ 'etc/evil.d/': '' }));
    expect(answer.error).toBe('files-outside-tracked');
    expect(existsSync(at('etc/evil.d'))).toBe(false);
    const above = await change({ 'etc/': '', 'etc/lab/': '', 'etc/lab/new.d/': '' });
    expect(it.ask('apply', [], above)).toMatchObject({ ok: true });
    expect(statSync(at('etc/lab/new.d')).isDirectory()).toBe(true);
  });

  test('leaves nothing behind a link that is in the way of the change', async () => {
    const { it, at } = speak();
    using _ = it;
    mkdirSync(at('etc/other/sub'));
    symlinkSync('../other', at('etc/lab/there'));
    expect(it.begin()).toMatchObject({ ok: true });
    const through = await change({ 'etc/lab/there/sub/new': 'new\n' });
    expect(it.ask('apply', [], through).error).toBe('path-under-symlink');
    expect(readdirSync(at('etc/other/sub'))).toEqual([]);
  });

  test('tracks no name with a tab, and counts in whole numbers', () => {
    const { it, at } = speak();
    using _ = it;
    expect(it.begin('track /etc/lab/a\tb').error).toBe('guard-protocol');
    expect(it.begin('lease 1.5').error).toBe('guard-protocol');
    expect(readdirSync(at('var/lib/savepoint')).includes('open')).toBe(false);
  });
});

/** What a host or a job may look like. */
describe.each(guardsSince('1.2.0'))('%s', (_which, file) => {
  const speak = () => {
    const it = new Conversation(file);
    const at = (name: string) => join(it.root, 'etc/lab', name);
    return { it, at, read: (name: string) => readFileSync(at(name), 'utf8') };
  };

  test('tracks what is not there yet, alone', async () => {
    const { it, at } = speak();
    using _ = it;
    rmSync(join(it.root, 'etc/lab'), { recursive: true });
    expect(it.begin()).toMatchObject({ ok: true });
    const laid = await change({ 'etc/lab/': '', 'etc/lab/new': 'new\n' });
    expect(it.ask('apply', [], laid)).toMatchObject({ ok: true });
    expect(it.ask('rollback').head).toContain('outcome rolled-back');
    expect(existsSync(at('.'))).toBe(false);
  });

  test('gives two names of one file what each of them is to have', async () => {
    const { it, at, read } = speak();
    using _ = it;
    linkSync(at('file'), at('second'));
    expect(it.begin()).toMatchObject({ ok: true });
    const laid = await change({ 'etc/lab/file': 'one\n', 'etc/lab/second': 'two\n' });
    expect(it.ask('apply', [], laid)).toMatchObject({ ok: true });
    expect([read('file'), read('second')]).toEqual(['one\n', 'two\n']);
    expect(it.ask('rollback').head).toContain('outcome rolled-back');
    expect([read('file'), read('second')]).toEqual(['old\n', 'old\n']);
    expect(statSync(at('file')).ino).toBe(statSync(at('second')).ino);
  });

  test('takes away pipes that the job has made, also where a directory was', () => {
    const { it, at, read } = speak();
    using _ = it;
    mkdirSync(at('deep'));
    writeFileSync(at('deep/file'), 'deep\n');
    spawnSync('mkfifo', [at('there before')]);
    expect(it.begin()).toMatchObject({ ok: true });
    rmSync(at('deep'), { recursive: true });
    spawnSync('mkfifo', [at('deep'), at('added')]);
    expect(it.ask('rollback').head).toContain('outcome conflict');
    expect(read('deep/file')).toBe('deep\n');
    expect(existsSync(at('added'))).toBe(false);
    expect(lstatSync(at('there before')).isFIFO()).toBe(true);
  });

  test.each([
    ['in it', 'etc/lab/closed', 'etc/lab/closed', []],
    ['above it', 'etc/closed', 'etc/closed/tracked', ['track /etc/closed/tracked']],
  ])(
    'shows nothing of a file that a directory %s closes',
    async (_where, closed, folder, lines) => {
      const { it } = speak();
      using _ = it;
      mkdirSync(join(it.root, folder), { recursive: true });
      spawnSync('chmod', ['700', join(it.root, closed)]);
      writeFileSync(join(it.root, folder, 'login'), 'password old\n', { mode: 0o644 });
      expect(it.begin(...lines)).toMatchObject({ ok: true });
      const laid = await change({ [`${folder}/login`]: 'password new\n' });
      const applied = it.ask('apply', [], laid);
      expect(applied).toMatchObject({ ok: true });
      expect(applied.body).toContain('not everyone may read it');
      expect(applied.body).not.toContain('password');
      expect(it.ask('rollback').body).not.toContain('password');
    },
  );

  test('does not take a change for the backup when begin is asked again and cannot answer', () => {
    const { it, at, read } = speak();
    using _ = it;
    expect(it.begin()).toMatchObject({ ok: true });
    writeFileSync(at('file'), 'new\n');
    const full = openSync('/dev/full', 'w');
    const request = ['savepoint 1', `id ${it.id}`, 'token secret', 'fence 3', ...it.site];
    const input = [...request, 'track /etc/lab', 'track /etc/absent', 'holder a test', '', ''];
    spawnSync('dash', [it.guard.path, 'begin'], {
      input: input.join('\n'),
      stdio: ['pipe', full, 'ignore'],
    });
    expect(it.ask('rollback').head).toContain('outcome conflict');
    expect(read('file')).toBe('old\n');
  });

  test('carries out nothing of an ended transaction that was half removed', () => {
    const { it, at, read } = speak();
    using _ = it;
    expect(it.begin()).toMatchObject({ ok: true });
    expect(it.ask('rollback')).toMatchObject({ ok: true });
    writeFileSync(at('file'), 'later\n');
    // What is left of it when the power fails while it is removed for its age.
    const kept = join(it.guard.state, 'tx', it.id);
    for (const name of ['token', 'outcome']) rmSync(join(kept, name));
    const words = ['boot', it.root, it.guard.state];
    spawnSync('dash', [it.guard.path, ...words]);
    expect(read('file')).toBe('later\n');
    expect(existsSync(kept)).toBe(false);
  });

  test('does not say that it has rolled back what it could not', () => {
    const { it, at } = speak();
    using _ = it;
    expect(it.begin()).toMatchObject({ ok: true });
    writeFileSync(at('file'), 'new\n');
    const decision = join(it.guard.state, 'tx', it.id, 'decision');
    mkdirSync(decision);
    const { head } = it.guard.call('recover', { headers: it.site });
    expect(head).toContain(`ended ${it.id} rollback-failed`);
    rmSync(decision, { recursive: true });
  });

  test('frees a host whose open transaction is not there', () => {
    const { it } = speak();
    using _ = it;
    expect(it.begin()).toMatchObject({ ok: true });
    expect(it.ask('rollback')).toMatchObject({ ok: true });
    writeFileSync(join(it.guard.state, 'open'), 'gone\n');
    expect(it.begin('id another')).toMatchObject({ ok: true });
    expect(it.ask('rollback', ['id another'])).toMatchObject({ ok: true });
  });
});
