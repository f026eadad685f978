import { execFileSync } from 'node:child_process';
import { linkSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { pack } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { Conversation } from './spoken.ts';
import { guardsSince } from './which.ts';

/** A file with two names, another one, and a change that replaces what `changes` names. */
async function edited(file: string, changes: string, ...lines: string[]) {
  const it = new Conversation(file);
  const at = (name: string) => join(it.root, 'etc/lab', name);
  writeFileSync(at('one'), 'old\n');
  linkSync(at('one'), at('two'));
  expect(it.begin(...lines)).toMatchObject({ ok: true });
  const archive = pack();
  archive.entry({ name: `etc/lab/${changes}`, mode: 0o644 }, 'new\n');
  archive.finalize();
  expect(it.ask('apply', [], await buffer(archive))).toMatchObject({ ok: true });
  return { it, at, read: (name: string) => readFileSync(at(name), 'utf8') };
}

const inode = (path: string) => statSync(path).ino;

/** What someone else does to one of the two names. */
const edits: [how: string, edit: (one: string) => void][] = [
  ['in place', (one) => writeFileSync(one, 'theirs\n')],
  [
    'by a rename',
    (one) => {
      writeFileSync(`${one}.new`, 'theirs\n');
      renameSync(`${one}.new`, one);
    },
  ],
];

describe.each(guardsSince('1.2.0'))(
  '%s, when someone else edited a name of a file that has two',
  (_which, file) => {
    test.each(edits)('%s: the backup wins by default, links and all', async (_how, edit) => {
      const { it, at, read } = await edited(file, 'file');
      using _ = it;
      edit(at('one'));
      const { head } = it.ask('rollback');
      expect(head).toContain('outcome conflict');
      expect(['file', 'one', 'two'].map(read)).toEqual(['old\n', 'old\n', 'old\n']);
      expect(inode(at('one'))).toBe(inode(at('two')));
      const kept = head.find((line) =>
        line.startsWith('warning edited by someone else: /etc/lab/one'),
      );
      const theirs = kept?.replace(/.*their version is /, '') ?? '';
      expect(readFileSync(theirs, 'utf8')).toBe('theirs\n');
    });

    test.each(edits)('%s: theirs stays where it is to be kept', async (how, edit) => {
      const { it, at, read } = await edited(file, 'file', 'on_conflict keep');
      using _ = it;
      edit(at('one'));
      const theirs = inode(at('one'));
      expect(it.ask('rollback').head).toContain('outcome conflict');
      // In place, the edit has both names.
      const other = how === 'in place' ? 'theirs\n' : 'old\n';
      expect(['file', 'one', 'two'].map(read)).toEqual(['old\n', 'theirs\n', other]);
      expect(inode(at('one'))).toBe(theirs);
    });

    test.each(edits)(
      '%s: theirs stays where the change replaced the other name',
      async (_how, edit) => {
        const { it, at, read } = await edited(file, 'two', 'on_conflict keep');
        using _ = it;
        edit(at('one'));
        expect(it.ask('rollback').head).toContain('outcome conflict');
        expect(['file', 'one', 'two'].map(read)).toEqual(['old\n', 'theirs\n', 'old\n']);
      },
    );
  },
);

describe.each(guardsSince('1.2.0'))('%s, when theirs is to be kept', (_which, file) => {
  const hosts: [what: string, edit: string, look: string, theirs: string][] = [
    [
      'a directory in the place of a file',
      'rm gone; mkdir -p gone/deep; echo theirs >gone/deep/f',
      'cat gone/deep/f',
      'theirs\n',
    ],
    [
      'a new directory',
      'mkdir -p more/deep; echo theirs >more/deep/f',
      'cat more/deep/f',
      'theirs\n',
    ],
    ['a file in the place of a directory', 'rm -r dir; echo theirs >dir', 'cat dir', 'theirs\n'],
    ['the absence of a directory', 'rm -r dir', 'ls -d dir 2>/dev/null || echo none', 'none\n'],
    ['an empty directory', 'mkdir empty', 'ls -A empty', ''],
  ];
  test.each(hosts)('%s stays, and the change goes', async (_what, edit, look, theirs) => {
    using it = new Conversation(file);
    const sh = (script: string) =>
      execFileSync('sh', ['-ec', script], { cwd: join(it.root, 'etc/lab'), encoding: 'utf8' });
    sh('mkdir dir; echo old >dir/f');
    expect(it.begin('on_conflict keep')).toMatchObject({ ok: true });
    const archive = pack();
    archive.entry({ name: 'etc/lab/file', mode: 0o644 }, 'new\n');
    archive.finalize();
    expect(it.ask('apply', [], await buffer(archive))).toMatchObject({ ok: true });
    sh(edit);
    expect(it.ask('rollback').head).toContain('outcome conflict');
    expect(sh(look)).toBe(theirs);
    expect(it.file('etc/lab/file')).toBe('old\n');
  });
});
