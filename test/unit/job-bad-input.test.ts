import { describe, expect, test } from 'vitest';
import { type ErrorName, describe as explain } from '../../src/errors.ts';
import { type Loading, load, refusal } from './job-fixture.ts';

interface Case extends Loading {
  what: string;
  yaml: string;
  name: ErrorName;
  /** Line of job.yml; none where an option is to blame. */
  line?: number;
  field?: string;
  /** All of these are in what the person reads. */
  says: string[];
}

const cases: Case[] = [
  {
    what: 'an unknown key, with the one that was meant',
    yaml: 'track: [apt]\nlaese: 90s\n',
    name: 'job-unknown-key',
    line: 2,
    field: 'laese',
    says: ['"laese"', 'lease', 'lock-timeout', 'Did you mean "lease"?'],
  },
  {
    what: 'an unknown phase',
    yaml: 'track: [apt]\nphases:\n  setup: "true"\n  tests: make\n',
    name: 'job-unknown-key',
    line: 4,
    field: 'phases.tests',
    says: ['setup, unpack', 'Did you mean "test"?'],
  },
  {
    what: 'an unknown key of a phase',
    yaml: 'track: [apt]\nphases:\n  test:\n    run: make\n    time-out: 5m\n',
    name: 'job-unknown-key',
    line: 5,
    field: 'phases.test.time-out',
    says: ['run, env, timeout, where', 'Did you mean "timeout"?'],
  },
  {
    what: 'an unknown key of a host',
    yaml: 'track: [apt]\nhost:\n  name: lab\n  identity: k\n',
    name: 'job-unknown-key',
    line: 4,
    field: 'host.identity',
    says: ['known-hosts', 'key-env'],
  },
  {
    what: 'a list that is text',
    yaml: 'track: apt\n',
    name: 'job-wrong-type',
    line: 1,
    field: 'track',
    says: ['must be a list, not text', 'apt'],
  },
  {
    what: 'a phase that is a list',
    yaml: 'track: [apt]\nphases:\n  test: [make, check]\n',
    name: 'job-wrong-type',
    line: 3,
    field: 'phases.test',
    says: ['text or a mapping', 'a list'],
  },
  {
    what: 'an answer that is yes',
    yaml: 'track: [apt]\ndegraded: yes\n',
    name: 'job-wrong-type',
    line: 2,
    field: 'degraded',
    says: ['true or false', 'yes'],
  },
  {
    what: 'a field left empty',
    yaml: 'track: [apt]\nfiles:\n',
    name: 'job-wrong-type',
    line: 2,
    field: 'files',
    says: ['must be text, not empty'],
  },
  {
    what: 'no tracked path at all',
    yaml: 'name: x\nphases: { test: make }\n',
    name: 'job-missing-field',
    line: 1,
    field: 'track',
    says: ['"track" is missing', 'a list'],
  },
  {
    what: 'an empty list of tracked paths',
    yaml: 'track: []\n',
    name: 'job-bad-value',
    line: 1,
    field: 'track',
    says: ['not empty'],
  },
  {
    what: 'a phase without its command',
    yaml: 'track: [apt]\nphases:\n  test:\n    timeout: 5m\n',
    name: 'job-missing-field',
    line: 3,
    field: 'phases.test.run',
    says: ['"phases.test.run" is missing'],
  },
  {
    what: 'a value that is none of the allowed',
    yaml: 'track: [apt]\non-success: commmit\n',
    name: 'job-bad-value',
    line: 2,
    field: 'on-success',
    says: ['commit, rollback', 'commmit', 'Did you mean "commit"?'],
  },
  {
    what: 'a duration that is none',
    yaml: 'track: [apt]\nlease: soon\n',
    name: 'job-bad-value',
    line: 2,
    field: 'lease',
    says: ['soon', '90s, 5m, 2h'],
  },
  {
    what: 'a negative duration',
    yaml: 'track: [apt]\ndeadline: -5\n',
    name: 'job-bad-value',
    line: 2,
    field: 'deadline',
    says: ['-5'],
  },
  {
    what: 'a lease that no sign of life can keep',
    yaml: 'track: [apt]\nlease: 20s\nrenew: 15s\n',
    name: 'job-bad-value',
    line: 3,
    field: 'renew',
    says: ['15s', '1s to 10s'],
  },
  {
    what: 'a phase with no time',
    yaml: 'track: [apt]\nphases:\n  test: { run: make, timeout: 0 }\n',
    name: 'job-bad-value',
    line: 3,
    field: 'phases.test.timeout',
    says: ['1s to 30d'],
  },
  {
    what: 'a variable with an impossible name',
    yaml: 'track: [apt]\nenv:\n  GOOD: 1\n  NOT-GOOD: 1\n',
    name: 'job-bad-value',
    line: 4,
    field: 'env.NOT-GOOD',
    says: ['"NOT-GOOD"', 'letters, digits and _'],
  },
  {
    what: 'a tracked path that is relative',
    yaml: 'track:\n  - apt\n  - etc/foo.conf\n',
    name: 'track-relative',
    line: 3,
    field: 'track[1]',
    says: ['etc/foo.conf', 'absolute'],
  },
  {
    what: 'the root directory tracked',
    yaml: 'track: [apt, /]\n',
    name: 'track-root',
    line: 1,
    field: 'track[1]',
    says: ['absolute path'],
  },
  {
    what: 'a tracked path that climbs',
    yaml: 'track: [/etc/../root]\n',
    name: 'track-bad-path',
    line: 1,
    field: 'track[0]',
    says: ['".."'],
  },
  {
    what: 'a tracked path with a line end',
    yaml: 'track: ["/etc/a\\nb"]\n',
    name: 'track-bad-path',
    line: 1,
    field: 'track[0]',
    says: ['control character', 'a\\nb'],
  },
  {
    what: "the guard's own state tracked",
    yaml: 'track: [/var/lib]\n',
    name: 'track-reserved',
    line: 1,
    field: 'track[0]',
    says: ['/var/lib/savepoint'],
  },
  {
    what: 'a preset that does not exist',
    yaml: 'track: [atp]\n',
    name: 'track-unknown-preset',
    line: 1,
    field: 'track[0]',
    says: ['apt, dnf, yum, zypper, apk, pacman, pip, npm, docker', 'Did you mean "apt"?'],
  },
  {
    what: 'files that are not there',
    yaml: 'track: [apt]\nfiles: ./files\n',
    name: 'files-missing',
    line: 2,
    field: 'files',
    says: ['a directory', 'files'],
  },
  {
    what: 'files that are a file',
    yaml: 'track: [apt]\nfiles: ./patch.diff\n',
    files: { 'patch.diff': '' },
    name: 'files-missing',
    line: 2,
    field: 'files',
    says: ['patch.diff', 'a directory'],
  },
  {
    what: 'a path to remove that is not tracked',
    yaml: 'track: [apt]\nremove:\n  - /etc/apt/sources.list\n  - /etc/aptly.conf\n',
    name: 'remove-outside-tracked',
    line: 4,
    field: 'remove[1]',
    says: ['/etc/aptly.conf', '/etc/apt, /usr/share/keyrings'],
  },
  {
    what: 'a host that is no address',
    yaml: 'track: [apt]\nhost: lab-07\n',
    name: 'job-bad-value',
    line: 2,
    field: 'host',
    says: ['lab-07', 'ssh://user@name:port', 'Did you mean "ssh://lab-07"?'],
  },
  {
    what: 'a password in an address',
    yaml: 'track: [apt]\nhost: ssh://root:hunter2@lab-07\n',
    name: 'job-bad-value',
    line: 2,
    field: 'host',
    says: ['holds a password', 'ssh://root:…@lab-07'],
  },
  {
    what: 'a port that does not exist',
    yaml: 'track: [apt]\nhost: { name: lab, port: 70000 }\n',
    name: 'job-bad-value',
    line: 2,
    field: 'host.port',
    says: ['70000', '1 to 65535'],
  },
  {
    what: 'an SSH host without a name',
    yaml: 'track: [apt]\nhost: { user: root }\n',
    name: 'job-missing-field',
    line: 2,
    field: 'host.name',
    says: ['name or address'],
  },
  {
    what: "two hosts' worth of input in one mapping",
    yaml: 'track: [apt]\nhost:\n  type: local\n  name: lab-07\n',
    name: 'host-conflict',
    line: 4,
    field: 'host.name',
    says: ['type is local, but name is for SSH', 'type, sudo'],
  },
  {
    what: 'a key file that is not there',
    yaml: 'track: [apt]\nhost: { name: lab, key: ./id }\n',
    name: 'key-unreadable',
    line: 2,
    field: 'host.key',
    says: ['/id', 'a readable file'],
  },
  {
    what: 'a key where its file should be named',
    yaml: 'track: [apt]\nhost:\n  name: lab\n  key: |\n    -----BEGIN PRIVATE KEY-----\n',
    name: 'job-bad-value',
    line: 4,
    field: 'host.key',
    says: ['path of a key file', 'key-env'],
  },
  {
    what: 'a variable that holds no key',
    yaml: 'track: [apt]\nhost: { name: lab, key-env: LAB_KEY }\n',
    name: 'key-missing',
    line: 2,
    field: 'host.key-env',
    says: ['LAB_KEY is not set'],
  },
  {
    what: 'no key of any kind',
    yaml: 'track: [apt]\nhost: ssh://lab\n',
    name: 'key-missing',
    line: 2,
    field: 'host',
    says: ['key, key-env or agent'],
  },
  {
    what: 'a known_hosts file that is not there',
    yaml: 'track: [apt]\nhost: { name: lab, agent: /run/agent, known-hosts: ./known }\n',
    name: 'known-hosts-missing',
    line: 2,
    field: 'host.known-hosts',
    says: ['/known', 'a readable file, or lines'],
  },
  {
    what: 'a root and a scratch root',
    yaml: 'track: [apt]\nroot: /srv\nscratch: .\n',
    name: 'job-bad-value',
    line: 3,
    field: 'scratch',
    says: ['one of them'],
  },
  {
    what: 'a scratch root on another machine',
    yaml: 'track: [apt]\nscratch: .\nhost: { name: lab, agent: /run/agent }\n',
    name: 'job-bad-value',
    line: 2,
    field: 'scratch',
    says: ['host: local'],
  },
  {
    what: 'a root that is relative',
    yaml: 'track: [apt]\nroot: srv/chroot\n',
    name: 'job-bad-value',
    line: 2,
    field: 'root',
    says: ['srv/chroot', 'an absolute path'],
  },
  {
    what: 'YAML that is none',
    yaml: 'track: [apt\nphases:\n',
    name: 'job-file-syntax',
    line: 2,
    says: ['not valid YAML'],
  },
  {
    what: 'a key that is there twice',
    yaml: 'track: [apt]\ntrack: [pip]\n',
    name: 'job-file-syntax',
    line: 2,
    says: ['unique'],
  },
  {
    what: 'a tag that means nothing here',
    yaml: 'track: !list [apt]\n',
    name: 'job-file-syntax',
    line: 1,
    says: ['!list'],
  },
  { what: 'an empty file', yaml: '', name: 'job-file-syntax', says: ['empty'] },
  {
    what: 'a mistake in the second document',
    yaml: 'track: [apt]\n---\ntrack: [apt]\nexpect: commited\n',
    name: 'job-bad-value',
    line: 4,
    field: 'expect',
    says: ['committed, rolled-back', 'Did you mean "committed"?'],
  },
  {
    what: 'an override that is none',
    yaml: 'track: [apt]\n',
    sets: ['lease'],
    name: 'set-bad',
    field: '--set',
    says: ['lease', 'field=value'],
  },
  {
    what: 'an override of something that has no fields',
    yaml: 'track: [apt]\nlease: 5m\n',
    sets: ['lease.unit=s'],
    name: 'set-bad',
    field: '--set',
    says: ['--set lease.unit=s', 'no field "unit"'],
  },
  {
    what: 'an override with a bad value',
    yaml: 'track: [apt]\nlease: 5m\n',
    sets: ['lease=never'],
    name: 'job-bad-value',
    field: 'lease',
    says: ['--set lease=never', 'never'],
  },
];

describe('bad input is refused, naming place and allowed values:', () => {
  test.each(cases)('$what', async ({ yaml, name, line, field, says, ...options }) => {
    const error = await refusal(load(yaml, options));
    expect(error.name).toBe(name);
    expect(error.exitCode).toBe(2);
    expect(error.place?.line).toBe(line);
    expect(error.place?.field).toBe(field);
    if (line !== undefined) expect(error.place?.file).toBe('job.yml');
    for (const words of says) expect(explain(error)).toContain(words);
  });
});

test('all mistakes of a job are named at once, in the order of the file', async () => {
  const yaml = 'lease: x\ntrack: [apt]\nfoo: 1\nrenew: y\n';
  const error = await refusal(load(yaml));
  expect(error.place?.line).toBe(1);
  expect(error.details.also).toEqual([
    'line 3: There is no key "foo"',
    'line 4: "renew" has a value it cannot have',
  ]);
});

test('a key that was put in the job file is not repeated in the message', async () => {
  const yaml = 'track: [apt]\nhost: { name: lab, key: "-----BEGIN PRIVATE KEY----- c2VjcmV0" }\n';
  expect(explain(await refusal(load(yaml)))).not.toContain('c2VjcmV0');
});

test('a job file that is not there is named as it was given', async () => {
  const error = await refusal(
    load('track: [apt]', { files: {}, context: { cwd: '/nonexistent' } }),
  );
  expect(error).toMatchObject({ name: 'job-file-missing', place: { file: 'job.yml' } });
});
