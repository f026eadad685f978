import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { guardsInSudoList } from '../../src/guard/refusal.ts';
import { policyText, policyValues, withUser } from '../../src/setup/policy.ts';
import { forcedLine, isFor, isForced, parsePublicKey } from '../../src/setup/public-key.ts';
import { otherRules, parseSudoers, sudoersText, verbs } from '../../src/setup/sudo-rules.ts';

const digest = (letter: string) => letter.repeat(64);
const rules = { user: 'ci', guards: [digest('a'), digest('b')] };

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'savepoint-setup-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

describe('the sudo rules', () => {
  test('are what visudo takes, and are read back as they were', () => {
    const file = join(temporary(), 'sudoers');
    writeFileSync(file, sudoersText(rules));
    expect(execFileSync('/usr/sbin/visudo', ['-cf', file], { encoding: 'utf8' })).toContain('OK');
    expect(parseSudoers(readFileSync(file, 'utf8'))).toEqual(rules);
  });

  test('allow each guard each verb with no argument, and nothing else', () => {
    const lines = sudoersText(rules)
      .split('\n')
      .filter((line) => line.startsWith('ci '));
    expect(lines).toHaveLength(2 * verbs.length);
    const shape =
      /^ci ALL=\(root\) NOPASSWD: sha256:([0-9a-f]{64}) \/var\/lib\/savepoint\/guard\/\1\/guard [a-z]+$/;
    for (const line of lines) expect(line).toMatch(shape);
    for (const verb of ['clear', 'watch', 'finish', 'boot', 'version']) {
      expect(verbs as readonly string[]).not.toContain(verb);
    }
  });

  test('a file that allows nothing has none', () => {
    expect(parseSudoers('# nothing\n')).toBeUndefined();
  });
});

describe("sudo's own list", () => {
  const guard = (letter: string) => `/var/lib/savepoint/guard/${digest(letter)}/guard`;
  const wrapped = `User ci may run the following commands on lab:
    (root) NOPASSWD:
        sha256:${digest('a')}
        ${guard('a')} begin
    (root) NOPASSWD: sha256:${digest('b')} ${guard('b')}
    (ALL : ALL) NOPASSWD:
        /usr/bin/apt-get update, /usr/bin/id
`;

  test('tells the guards that are allowed, also where it is wrapped', () => {
    expect(guardsInSudoList(wrapped)).toEqual([
      { sha256: digest('a'), path: guard('a'), verb: 'begin' },
      { sha256: digest('b'), path: guard('b') },
    ]);
  });

  test('tells what else is allowed', () => {
    expect(otherRules(wrapped)).toEqual([
      `(root) NOPASSWD: sha256:${digest('b')} ${guard('b')}`,
      '(ALL : ALL) NOPASSWD: /usr/bin/apt-get update, /usr/bin/id',
    ]);
  });

  test('a command that hides behind a guard in one rule is not overlooked', () => {
    const list = `User ci may run the following commands on lab:
    (root) NOPASSWD: sha256:${digest('a')} ${guard('a')} begin, /bin/sh\n`;
    expect(otherRules(list)).toHaveLength(1);
  });

  test('nothing is allowed where sudo says so', () => {
    expect(otherRules('User ci is not allowed to run sudo on lab.\n')).toEqual([]);
  });
});

describe('the policy', () => {
  const script = "set -eu\nprintf '%s\\n' \"it's\"\n# \\t\n";

  test('has a word and a value a line below its program, whatever a script holds', () => {
    const text = policyText({ track: ['/etc/apt', '/opt/a b'], refresh: [script], probe: [] });
    const lines = text
      .slice(text.lastIndexOf('\nexit 0\n') + 8)
      .trimEnd()
      .split('\n');
    expect(lines.map((line) => line.split(' ')[0])).toEqual(['track', 'track', 'refresh']);
    expect(policyValues(text, 'track')).toEqual(['/etc/apt', '/opt/a b']);
  });

  test.each(['dash', 'bash', 'mksh', 'busybox sh'])('a script in it is the same to %s', (shell) => {
    const [line = ''] = policyValues(
      policyText({ track: [], refresh: [script], probe: [] }),
      'refresh',
    );
    const [program = '', ...words] = shell.split(' ');
    const { stdout } = spawnSync(program, [...words, '-c', line], { encoding: 'utf8' });
    expect(stdout).toBe("it's\n");
  });

  test('another user for the phases changes nothing else', () => {
    const text = policyText({ track: ['/etc/apt'], refresh: [], probe: [], user: 'one' });
    const changed = withUser(text, 'two');
    expect(policyValues(changed, 'user')).toEqual(['two']);
    expect(changed.replace('user two', 'user one')).toBe(text);
  });
});

describe('a key with a forced command', () => {
  const folder = () => {
    const made = temporary();
    execFileSync('ssh-keygen', [
      '-q',
      '-t',
      'ed25519',
      '-N',
      '',
      '-C',
      'ci key',
      '-f',
      join(made, 'id'),
    ]);
    return made;
  };

  test('is known by the fingerprint that ssh-keygen prints', () => {
    const made = folder();
    const key = parsePublicKey(readFileSync(join(made, 'id.pub'), 'utf8').trim());
    const said = execFileSync('ssh-keygen', ['-l', '-f', join(made, 'id.pub')], {
      encoding: 'utf8',
    });
    expect(said.split(' ')[1]).toBe(key?.fingerprint);
    expect(key?.comment).toBe('ci key');
  });

  test('has a line that sshd can read, and is recognized in any other', () => {
    const made = folder();
    const key = parsePublicKey(readFileSync(join(made, 'id.pub'), 'utf8').trim());
    if (!key) throw new Error('no key');
    const line = forcedLine(key);
    expect(line).toMatch(/^restrict,command="\/usr\/local\/lib\/savepoint\/gate" ssh-ed25519 /);
    expect(isForced(line)).toBe(true);
    expect(isFor(line, key)).toBe(true);
    expect(isFor(`no-pty ${key.type} ${key.base64}`, key)).toBe(true);
    expect(
      isForced(`${key.type} ${key.base64} restrict,command="/usr/local/lib/savepoint/gate" `),
    ).toBe(false);
    writeFileSync(join(made, 'authorized_keys'), `${line}\n`);
    expect(
      execFileSync('ssh-keygen', ['-l', '-f', join(made, 'authorized_keys')], { encoding: 'utf8' }),
    ).toContain(key.fingerprint);
  });

  test.each([
    ['options before it', (line: string) => `command="sh" ${line}`],
    ['a second line', (line: string) => `${line}\n${line}`],
    ['another type than its bytes have', (line: string) => line.replace('ssh-ed25519', 'ssh-rsa')],
    ['an end that is cut off', (line: string) => line.slice(0, 30)],
    ['a control character in its comment', (line: string) => `${line}\u001b[2J`],
  ])('is refused with %s', (_what, spoil) => {
    const line = readFileSync(join(folder(), 'id.pub'), 'utf8').trim();
    expect(parsePublicKey(line)).toBeDefined();
    expect(parsePublicKey(spoil(line))).toBeUndefined();
  });
});
