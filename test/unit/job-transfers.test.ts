import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { requestFromFlags, requestFromInputs } from '../../src/job/flags.ts';
import { loadJobs } from '../../src/job/load.ts';
import { type BadInput, context, expectRefused, folder, loadOne } from './job-fixture.ts';

const files = { 'tests/smoke': 'x', image: 'y' };
const limits = { size: 1024 ** 3, entries: 100_000 };

test('attachments have their own name on the host, or the one they are given', async () => {
  const { transfers, directory } = await loadOne(
    `
track: [apt]
attachments:
  - ./tests
  - tests/smoke
  - { local: image, agent: ./images//new }`,
    { files },
  );
  expect(transfers).toEqual({
    attachments: [
      { local: join(directory, 'tests'), agent: 'tests' },
      { local: join(directory, 'tests/smoke'), agent: 'smoke' },
      { local: join(directory, 'image'), agent: 'images/new' },
    ],
    artifacts: [],
    limits,
  });
});

test('artifacts are taken once, in their plain form, with the limits that are set', async () => {
  const { transfers } = await loadOne(`
track: [apt]
artifacts: [logs/, ./logs/x, logs2, /var/log//syslog, /var/log]
artifacts-max-size: 3G
artifacts-max-entries: 5`);
  expect(transfers?.artifacts).toEqual(['logs', 'logs2', '/var/log']);
  expect(transfers?.limits).toEqual({ size: 3 * 1024 ** 3, entries: 5 });
});

test('a job that sends and fetches nothing has no place on the host', async () => {
  expect(await loadOne('track: [apt]\nartifacts: []')).not.toHaveProperty('transfers');
});

test('attachments make an unpack phase, in its place among the others', async () => {
  const yaml = 'track: [apt]\nattachments: [image]\nphases: { setup: "true", test: "true" }';
  const { phases } = await loadOne(yaml, { files });
  expect(phases.map(({ name, run }) => [name, run])).toEqual([
    ['setup', 'true'],
    ['unpack', ''],
    ['test', 'true'],
  ]);
});

test('an attachment may have keys that start with x-', async () => {
  const yaml = 'track: [apt]\nattachments: [{ local: image, x-note: mine }]';
  const { extensions } = await loadOne(yaml, { files });
  expect(extensions).toEqual({ 'attachments.0.x-note': 'mine' });
});

describe('options and inputs', () => {
  const cwd = (): string => folder(files);

  test('of the command are relative to the working directory', async () => {
    const at = context({ cwd: cwd() });
    const flags = { track: ['apt'], attachments: ['tests'], artifacts: ['logs', '/var/log/x'] };
    const [job] = await loadJobs(requestFromFlags(flags, { command: ['true'] }, at));
    expect(job?.transfers).toMatchObject({
      attachments: [{ local: join(at.cwd, 'tests'), agent: 'tests' }],
      artifacts: ['logs', '/var/log/x'],
    });
  });

  test('of the action are lists', async () => {
    const at = context({ cwd: cwd() });
    const inputs = {
      track: 'apt',
      attachments: 'tests\nimage',
      artifacts: 'logs, out',
      'artifacts-max-size': '512M',
      'artifacts-max-entries': '7',
    };
    const [job] = await loadJobs(requestFromInputs(inputs, at));
    expect(job?.transfers?.attachments.map(({ agent }) => agent)).toEqual(['tests', 'image']);
    expect(job?.transfers).toMatchObject({
      artifacts: ['logs', 'out'],
      limits: { size: 512 * 1024 ** 2, entries: 7 },
    });
  });
});

const bad: BadInput[] = [
  {
    what: 'an attachment that is not there',
    yaml: 'track: [apt]\nattachments:\n  - image\n  - nothing',
    name: 'files-missing',
    line: 4,
    field: 'attachments[1]',
    says: ['nothing', 'a file or a directory'],
  },
  {
    what: 'an attachment that is a device',
    yaml: 'track: [apt]\nattachments: [/dev/null]',
    name: 'files-missing',
    line: 2,
    field: 'attachments[0]',
    says: ['/dev/null'],
  },
  ...['../up', '/', 'a/../../b', 'a\\nb'].map((agent) => ({
    what: `a place on the host that is ${agent}`,
    yaml: `track: [apt]\nattachments: [{ local: image, agent: "${agent}" }]`,
    name: 'job-bad-value' as const,
    line: 2,
    field: 'attachments[0].agent',
    says: ['place on the host'],
  })),
  {
    what: 'two attachments of which one is in the other',
    yaml: 'track: [apt]\nattachments: [tests, { local: image, agent: tests/image }]',
    name: 'job-bad-value',
    line: 2,
    field: 'attachments[1]',
    says: ['tests/image', 'the same place'],
  },
  {
    what: 'an attachment with a misspelled key',
    yaml: 'track: [apt]\nattachments: [{ local: image, agnet: x }]',
    name: 'job-unknown-key',
    line: 2,
    field: 'attachments[0].agnet',
    says: ['Did you mean "agent"?'],
  },
  {
    what: 'an artifact with ..',
    yaml: 'track: [apt]\nartifacts: [logs/../../x]',
    name: 'job-bad-value',
    line: 2,
    field: 'artifacts[0]',
    says: ['..'],
  },
  ...['10 MB', '-1', '1.5G'].map((size) => ({
    what: `a limit of ${size}`,
    yaml: `track: [apt]\nartifacts: [x]\nartifacts-max-size: ${size}`,
    name: 'job-bad-value' as const,
    line: 3,
    field: 'artifacts-max-size',
    says: size === '-1' ? ['0 or more'] : ['512M'],
  })),
];

test.each(bad)('$what is refused', (it) => expectRefused({ ...it, files }));
