import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { loaderLine } from '../../src/guard/bootstrap.ts';
import { commandLine } from '../../src/host/quote.ts';
import { shells } from '../guard/guard.ts';

const gate = resolve('guard/gate.sh');
const root = process.getuid?.() === 0;
const asGuard = '#!/bin/sh\necho "guard $1 of $SUDO_USER as $(id -un)"\ncat\n';
const sha256 = createHash('sha256').update(asGuard).digest('hex');

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'savepoint-gate-'));
  chmodSync(folder, 0o755);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The line that sshd hands over for a verb of the guard. */
function line(verb: string, changes: { root?: string; sha256?: string } = {}): string {
  const { root = '', sha256: digest = sha256 } = changes;
  return commandLine({ argv: loaderLine({ root, guard: { sha256: digest }, sudo: true, verb }) });
}

/**
 * Runs the gate as a user `ci` who exists, as do the guard and its sudo rule, only in namespaces
 * of its own; sudo is the real one.
 */
function knock(shell: readonly string[], asked: string | undefined, allowed = sha256) {
  const path = `/var/lib/savepoint/guard/${allowed}/guard`;
  writeFileSync(join(folder, 'guard'), asGuard);
  writeFileSync(
    join(folder, 'sudoers'),
    `ci ALL=(root) NOPASSWD: sha256:${allowed} ${path} begin, sha256:${allowed} ${path} status\n`,
    { mode: 0o440 },
  );
  const script = `mount --make-rprivate / && mkdir -p /var/lib/savepoint || exit 99
mount -t tmpfs -o mode=700 tmpfs /var/lib/savepoint && mkdir -p "$2" || exit 99
cp "$1/guard" "$2/guard" && chmod 755 "$2/guard" || exit 99
{ cat /etc/passwd; echo 'ci:*:47112:47112::/:/bin/sh'; } >"$1/passwd" || exit 99
mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/sudoers" /etc/sudoers || exit 99
shift 2
exec setpriv --reuid 47112 --regid 47112 --clear-groups "$@"`;
  const words = ['sh', folder, path.replace(/\/guard$/, ''), ...shell, gate];
  const { status, stdout, stderr } = spawnSync(
    'unshare',
    ['--mount', 'sh', '-c', script, ...words],
    {
      encoding: 'utf8',
      input: 'the request\n',
      env: { PATH: process.env.PATH, ...(asked !== undefined && { SSH_ORIGINAL_COMMAND: asked }) },
    },
  );
  return { status, stdout, stderr };
}

test('the gate is clean shell', () => {
  const { stdout, status } = spawnSync('shellcheck', ['--shell=sh', gate], { encoding: 'utf8' });
  expect(stdout).toBe('');
  expect(status).toBe(0);
});

describe.runIf(root).each(Object.entries(shells))('the gate under %s', (_name, shell) => {
  test('runs the verb that is asked for, as root, with its input', () => {
    expect(knock(shell, line('begin'))).toEqual({
      status: 0,
      stdout: 'guard begin of ci as root\nthe request\n',
      stderr: '',
    });
  });

  test('also where the controller marks its command', () => {
    const marked = line('status').replace('exec ', 'exec env SAVEPOINT_MARK=abc ');
    expect(knock(shell, marked)).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^guard status of ci as root/),
    });
  });

  test('tells which guard the host allows when it is asked for another', () => {
    const { status, stdout, stderr } = knock(shell, line('begin'), 'a'.repeat(64));
    expect({ status, stdout }).toEqual({ status: 93, stdout: '' });
    expect(stderr).toContain(`sha256:${'a'.repeat(64)}`);
  });
});

describe('the gate runs nothing', () => {
  const canary = () => join(tmpdir(), `savepoint-gate-canary-${process.pid}`);
  const last = (words: string) => `exec /bin/sh -c : savepoint ${words}`;

  test.each<[string, string | undefined]>([
    ['for a login without a command', undefined],
    ['for an empty command', ''],
    ['for any other command', 'id'],
    ['for a command that only names it', 'savepoint'],
    ['for a verb that takes a state folder', last(`'' ${sha256} yes finish`)],
    ['for a verb of a person', last(`'' ${sha256} yes clear`)],
    ['for more words than there are', last(`'' ${sha256} yes begin begin`)],
    ['for fewer words', last(`'' ${sha256} begin`)],
    ['below another root', line('begin', { root: '/tmp/evil' })],
    ['below a root with a blank', line('begin', { root: "/tmp/'' x" })],
    ['for a digest that leads elsewhere', last(`'' ../../../../tmp/x/${sha256} yes begin`)],
    ['for a digest that is too short', last(`'' ${sha256.slice(1)} yes begin`)],
    ['for a pattern', last("'' * yes begin")],
    ['for a verb that is an option', last(`'' ${sha256} yes --help`)],
    ['for a substitution', last(`'' ${sha256} yes $(touch ${canary()})`)],
    ['for a command behind it', `${line('begin')}; touch ${canary()}`],
    ['for a command on the next line', `${line('begin')}\ntouch ${canary()}`],
  ])('%s', (_what, asked) => {
    for (const [program, ...words] of Object.values(shells)) {
      const { status, stdout, stderr } = spawnSync(program, [...words, gate], {
        encoding: 'utf8',
        env: {
          PATH: process.env.PATH,
          ...(asked !== undefined && { SSH_ORIGINAL_COMMAND: asked }),
        },
      });
      expect({ status, stdout }).toEqual({ status: 93, stdout: '' });
      expect(stderr).toMatch(/^savepoint gate: [^\n]+\n$/);
    }
    expect(spawnSync('test', ['-e', canary()]).status).toBe(1);
  });
});
