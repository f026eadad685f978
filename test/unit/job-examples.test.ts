import { spawnSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { loadJobs } from '../../src/job/load.ts';
import { readChange } from '../../src/job/overlay.ts';
import { folder } from './job-fixture.ts';

const examples = join(import.meta.dirname, '../../examples');

const jobFiles = readdirSync(examples, { recursive: true, encoding: 'utf8' }).filter((path) =>
  path.endsWith('savepoint.yml'),
);

test('there is an example of each kind', () => {
  expect(jobFiles.sort()).toEqual([
    'check-patch/savepoint.yml',
    'device-test/savepoint.yml',
    'mirror-update/savepoint.yml',
    'quickstart/savepoint.yml',
  ]);
});

test.each(jobFiles)('%s is a job file whose change could be made', async (path) => {
  const jobs = await loadJobs({ file: join(examples, path), credentials: false });
  for (const job of jobs) {
    const { overlay } = await readChange(job);
    expect(overlay.some(({ kind }) => kind === 'file')).toBe(true);
  }
});

test.each(['github-workflow.yml', 'gitlab-ci.yml'])('%s is YAML', (name) => {
  expect(parse(readFileSync(join(examples, name), 'utf8'))).toBeTypeOf('object');
});

describe('the quickstart', () => {
  const quickstart = join(examples, 'quickstart');

  test('is a bad patch that must be rolled back, then a good one that must be committed', async () => {
    const jobs = await loadJobs({ file: join(quickstart, 'savepoint.yml') });
    expect(jobs.map(({ name, expect: outcome, host }) => [name, outcome, host])).toEqual([
      ['bad-patch', 'rolled-back', { type: 'local', sudo: false }],
      ['good-patch', 'committed', { type: 'local', sudo: false }],
    ]);
  });

  // The real apt-get, by an ordinary user: the tests may run as root, so that is given up first.
  const asNobody = process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--clear-groups'] : [];
  const hasApt = spawnSync('apt-get', ['--version']).status === 0;

  test.skipIf(!hasApt).each([
    ['./host', 0, '1.0'],
    ['./bad-patch', 100, 'Could not connect to 127.0.0.1:9'],
    ['./good-patch', 0, 'Candidate: 2.0'],
  ])('with %s apt-get exits with %d', (patch, status, says) => {
    const root = folder();
    cpSync(join(quickstart, 'host'), join(root, 'host'), { recursive: true });
    cpSync(join(quickstart, patch), join(root, 'host'), { recursive: true, force: true });
    cpSync(quickstart, join(root, 'job'), { recursive: true });
    if (asNobody.length > 0) spawnSync('chown', ['-R', '65534', root]);
    const before = readdirSync(join(root, 'job'), { recursive: true }).length;
    const [program = 'sh', ...words] = [...asNobody, 'sh', join(root, 'job/update.sh')];
    const result = spawnSync(program, words, {
      encoding: 'utf8',
      env: {
        PATH: process.env.PATH,
        SAVEPOINT_ROOT: join(root, 'host'),
        SAVEPOINT_JOB_DIR: join(root, 'job'),
        // Somebody's proxy must not be asked for a mirror on this machine.
        http_proxy: 'http://127.0.0.1:9',
      },
    });
    expect(result.stdout + result.stderr).toContain(says);
    expect(result.status).toBe(status);
    expect(readdirSync(join(root, 'job'), { recursive: true })).toHaveLength(before);
  });
});
