import { describe, expect, test } from 'vitest';
import { type BadInput, expectRefused, load, refusal } from './job-fixture.ts';

const cases: BadInput[] = [
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
    says: ['run, env, timeout, where, reboot', 'Did you mean "timeout"?'],
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
    what: 'a root and a scratch root',
    yaml: 'track: [apt]\nroot: /srv\nscratch: .\n',
    name: 'job-bad-value',
    line: 3,
    field: 'scratch',
    says: ['one of them'],
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
  test.each(cases)('$what', expectRefused);
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

test('a job file that is not there is named as it was given', async () => {
  const error = await refusal(
    load('track: [apt]', { files: {}, context: { cwd: '/nonexistent' } }),
  );
  expect(error).toMatchObject({ name: 'job-file-missing', place: { file: 'job.yml' } });
});
