import { spawnSync } from 'node:child_process';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type Shell, shells } from './guard.ts';
import { Conversation } from './spoken.ts';
import { guardsSince } from './which.ts';

describe.each(guardsSince('1.2.0'))('%s', (_which, file) => {
  describe.each(Object.keys(shells) as Shell[])('under %s', (shell) => {
    test('runs a phase whose text is longer than an argument may be', () => {
      using it = new Conversation(file, shell);
      expect(it.begin()).toMatchObject({ ok: true });
      const phase = `${'# a line of a long script\n'.repeat(10_000)}exit 7\n`;
      const { end, started } = it.exec(phase);
      expect({ end, started }).toEqual({ end: '7', started: true });
    });

    test('shows the token to nobody who lists processes', () => {
      using it = new Conversation(file, shell);
      symlinkSync('lab', join(it.root, 'etc/link'));
      // Refused when the token is recorded already, so that no watchdog stays.
      const track = ['track /etc/link/file', 'track /etc/lab'];
      const headers = [`id ${it.id}`, 'token hush-hush', 'fence 3', ...it.site, ...track];
      const { argv, input } = it.guard.commandOf('begin', { headers });
      const strace = ['-f', '-qq', '-e', 'trace=execve', '-s', '999', '--', ...argv];
      const { stdout, stderr } = spawnSync('strace', strace, { input, encoding: 'utf8' });
      expect(stdout).toContain('error path-under-symlink');
      expect(stderr).toContain('execve("/usr/bin/sha256sum"');
      expect(stderr).not.toContain('hush');
    });
  });
});
