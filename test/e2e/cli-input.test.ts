import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { startSshd } from '../host/sshd.ts';
import { folder } from '../unit/job-fixture.ts';
import { savepoint } from './command.ts';
import { patchFiles, testRoot } from './root.ts';

function scene() {
  const cwd = folder();
  const root = testRoot();
  patchFiles(cwd);
  mkdirSync(join(cwd, 'stray/etc/yum.repos.d'), { recursive: true });
  writeFileSync(join(cwd, 'stray/etc/yum.repos.d/x.repo'), '');
  return { cwd, root, before: root.snapshot() };
}

interface Case {
  /** What is put into the job file, over a job that is fine. */
  job?: string;
  words?: string[];
  name: string;
  /** What the message must name. */
  says: string[];
}

const cases: Case[] = [
  { job: 'trck: [apt]', name: 'job-unknown-key', says: ['job.yml:5', 'trck', 'track'] },
  { job: 'lease: [1]', name: 'job-wrong-type', says: ['job.yml:5', 'lease'] },
  { job: 'lease: soon', name: 'job-bad-value', says: ['job.yml:5', 'lease', 'soon'] },
  { job: 'on-success: maybe', name: 'job-bad-value', says: ['on-success', 'commit', 'rollback'] },
  { job: 'expect: fine', name: 'job-bad-value', says: ['expect', 'rolled-back'] },
  { job: 'phases: {tset: x}', name: 'job-unknown-key', says: ['tset', 'test'] },
  { job: 'phases: {test: {run: x, where: moon}}', name: 'job-bad-value', says: ['controller'] },
  { job: 'a: [', name: 'job-file-syntax', says: ['job.yml'] },
  { job: 'remove: [/etc/dnf/x]', name: 'remove-outside-tracked', says: ['/etc/dnf/x'] },
  { words: ['run', 'nowhere.yml'], name: 'job-file-missing', says: ['nowhere.yml'] },
  {
    words: ['run', 'job.yml', '--track', 'etc/apt'],
    name: 'track-relative',
    says: ['etc/apt', 'absolute'],
  },
  { words: ['run', 'job.yml', '--track', '/'], name: 'track-root', says: ['/'] },
  {
    words: ['run', 'job.yml', '--track', 'aptt'],
    name: 'track-unknown-preset',
    says: ['aptt', 'apt'],
  },
  { words: ['run', 'job.yml', '--files', 'no'], name: 'files-missing', says: ['no'] },
  {
    words: ['run', 'job.yml', '--files', 'stray'],
    name: 'files-outside-tracked',
    says: ['/etc/yum.repos.d', '/etc/apt'],
  },
  { words: ['run', 'job.yml', '--set', 'lease'], name: 'set-bad', says: ['lease'] },
  { words: ['run', 'job.yml', '--set', 'x.y=1'], name: 'job-unknown-key', says: ['x'] },
  { words: ['run', 'job.yml', '--speed', '3'], name: 'bad-usage', says: ['--speed'] },
  { words: ['run', 'job.yml', 'other.yml'], name: 'bad-usage', says: ['arguments'] },
  { words: ['run'], name: 'job-missing-field', says: ['track'] },
  { words: ['finish'], name: 'bad-usage', says: ['--status'] },
  { words: ['begin', 'job.yml', '--while', 'me'], name: 'bad-usage', says: ['--while', 'me'] },
  { words: ['run', 'job.yml', '--mask-env', 'NOPE'], name: 'bad-usage', says: ['NOPE'] },
  { words: ['run', 'job.yml', '--guard', 'abc'], name: 'guard-unavailable', says: ['abc'] },
  { words: ['status', '--', 'x'], name: 'bad-usage', says: ['run', 'exec'] },
  {
    words: ['run', 'job.yml', '--host', 'ssh://a@b', '--user', 'c', '--key', 'files'],
    name: 'host-conflict',
    says: ['a', 'c'],
  },
  {
    words: ['run', 'job.yml', '--host', 'ssh://a@b', '--key', 'no-key'],
    name: 'key-unreadable',
    says: ['no-key'],
  },
  {
    words: ['run', 'job.yml', '--host', 'ssh://a@b', '--key-env', 'NO_KEY'],
    name: 'key-missing',
    says: ['NO_KEY'],
  },
  {
    words: [
      'run',
      'job.yml',
      '--host',
      'ssh://a@b',
      '--key',
      'job.yml',
      '--known-hosts',
      'no-known',
    ],
    name: 'known-hosts-missing',
    says: ['no-known'],
  },
];

describe('input that is wrong is refused before anything is touched', () => {
  test.each(cases.map((each) => ({ ...each, what: each.job ?? each.words?.join(' ') })))(
    '$name: $what',
    async ({ job = '', words, name, says }) => {
      const it = scene();
      writeFileSync(
        join(it.cwd, 'job.yml'),
        `root: ${it.root.path}\ntrack: [/etc/apt]\nfiles: files\ncheck: 'true'\n${job}\n`,
      );
      const asked = words ?? ['run', 'job.yml'];
      const { exit, stdout, stderr } = await savepoint(
        [...asked.slice(0, 1), '--json', ...asked.slice(1)],
        it,
      );
      expect(JSON.parse(stdout).error).toMatchObject({ name, class: 'usage' });
      expect(exit).toBe(2);
      expect(stderr).toMatch(new RegExp(`^savepoint: .+ \\[1\\d\\d ${name}\\]\\n`));
      for (const word of says) expect(stderr).toContain(word);
      expect(it.root.snapshot()).toEqual(it.before);
      expect(existsSync(join(it.root.path, 'var'))).toBe(false);
      expect(existsSync(join(it.cwd, 'savepoint-results'))).toBe(false);
    },
  );
});

describe('a host that refuses is left alone', () => {
  test('nobody listens there', async () => {
    await using sshd = await startSshd();
    await using closed = await startSshd();
    await closed.stop();
    await refused(['--host', `ssh://root@127.0.0.1:${closed.port}`, '--key', sshd.keyPath], {
      name: 'host-unreachable',
      says: [`127.0.0.1:${closed.port}`],
      knownHosts: sshd.knownHostsLine,
    });
  });

  test('it does not know the key', async () => {
    await using sshd = await startSshd();
    await using other = await startSshd();
    await refused(['--host', `ssh://${sshd.user}@127.0.0.1:${sshd.port}`, '--key', other.keyPath], {
      name: 'host-auth-failed',
      says: [`${sshd.user}@127.0.0.1`],
      knownHosts: sshd.knownHostsLine,
    });
  });

  test('its key is not known', async () => {
    await using sshd = await startSshd();
    await refused(['--host', `ssh://${sshd.user}@127.0.0.1:${sshd.port}`, '--key', sshd.keyPath], {
      name: 'host-key-unknown',
      says: ['known_hosts'],
      knownHosts: sshd.knownHostsLine.replace('127.0.0.1', '127.0.0.9'),
    });
  });

  test('its key is another than before', async () => {
    await using sshd = await startSshd();
    await using other = await startSshd();
    const [, ...theirs] = other.knownHostsLine.split(' ');
    const [name] = sshd.knownHostsLine.split(' ');
    await refused(['--host', `ssh://${sshd.user}@127.0.0.1:${sshd.port}`, '--key', sshd.keyPath], {
      name: 'host-key-changed',
      says: ['SHA256:'],
      knownHosts: [name, ...theirs].join(' '),
    });
  });

  test.runIf(process.getuid?.() === 0)('its user may not become root', async () => {
    await using sshd = await startSshd({ user: 'lab' });
    await refused(
      ['--host', `ssh://lab@127.0.0.1:${sshd.port}`, '--key', sshd.keyPath, '--sudo', 'true'],
      { name: 'no-sudo', says: ['sudo'], knownHosts: sshd.knownHostsLine },
    );
  });
});

async function refused(
  words: string[],
  { name, says, knownHosts }: { name: string; says: string[]; knownHosts: string },
): Promise<void> {
  const it = scene();
  chmodSync(it.root.path, 0o755);
  writeFileSync(join(it.cwd, 'known'), `${knownHosts}\n`);
  const options = ['--root', it.root.path, '--track', '/etc/apt', '--files', 'files'];
  const { exit, stdout, stderr } = await savepoint(
    ['run', ...options, ...words, '--known-hosts', 'known', '--json', '--', 'true'],
    it,
  );
  const { error, outcome, phases } = JSON.parse(stdout);
  expect(error).toMatchObject({ name, class: 'host' });
  expect(exit).toBe(3);
  for (const word of says) expect(stderr).toContain(word);
  expect(outcome).toBeUndefined();
  expect(phases).toMatchObject([{ name: 'test', status: 'skipped' }]);
  expect(it.root.snapshot()).toEqual(it.before);
  expect(existsSync(join(it.root.path, 'var'))).toBe(false);
}
