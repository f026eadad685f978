import { describe, expect, test } from 'vitest';
import type { Subject } from './subject.ts';

/** What a command is given: its words, its environment and its directory. */
export function words(subject: Subject): void {
  describe('words, environment and directory', () => {
    test.each([
      'plain',
      '',
      ' ',
      'two words',
      "it's",
      '"double"',
      "'",
      "''",
      '\\',
      '\\n',
      'new\nline',
      'tab\tand\rreturn',
      '$HOME ${HOME} $(id) `id`',
      '* ? [a-z] {a,b} ~ ~root',
      '# ; & | < > ( )',
      '!history !!',
      'a=b',
      '-n',
      '--',
      '%s %d',
      'größe-日本語-🚀',
      '\u0001\u001b[31m\u007f',
      'mixed \'single\' "double" $x `y` \\z\n',
    ])('a word arrives as it is: %j', async (word) => {
      const { stdout } = await subject.run(['printf', '%s|', 'first', word, word, 'last']);
      expect(stdout).toBe(`first|${word}|${word}|last|`);
    });

    test('a command whose name needs quoting is found', async () => {
      const path = `${subject.folder}/a b'c=d`;
      await subject.host.send(Buffer.from('#!/bin/sh\necho "run $1"\n'), path, 0o755);
      expect((await subject.run([path, 'it'])).stdout).toBe('run it\n');
    });

    test('the environment is added to, with any value', async () => {
      const env = { SAVEPOINT_TEST: `a 'b' "c" $d\n\\e`, EMPTY_ONE: '', ÜBER: 'x' };
      const { ÜBER: _, ...allowed } = env;
      const { stdout } = await subject.sh(
        'printf "%s|%s|%s" "$SAVEPOINT_TEST" "$EMPTY_ONE" "$PATH"',
        {
          env: allowed,
        },
      );
      expect(stdout).toMatch(/^a 'b' "c" \$d\n\\e\|\|.*\/bin/);
    });

    test('a name that is none for a variable is refused', async () => {
      const running = subject.host.run({ argv: ['true'], env: { 'A B': '1' } });
      await expect(running.exit).rejects.toThrow('cannot be the name');
    });

    test('a word with a NUL is refused', async () => {
      await expect(subject.host.run({ argv: ['echo', 'a\0b'] }).exit).rejects.toThrow('NUL');
    });

    test('a command runs in the directory that is asked for', async () => {
      const odd = `${subject.folder}/-odd 'name' $x`;
      await subject.run(['mkdir', '--', odd]);
      expect((await subject.run(['pwd'], { cwd: odd })).stdout).toBe(`${odd}\n`);
    });

    test('a directory that does not exist ends the command with 126', async () => {
      const { exit, stderr, stdout } = await subject.sh('echo ran', {
        cwd: `${subject.folder}/no-such-dir`,
      });
      expect({ exit, stdout }).toEqual({ exit: { code: 126 }, stdout: '' });
      expect(stderr).toContain('no-such-dir');
    });
  });
}
