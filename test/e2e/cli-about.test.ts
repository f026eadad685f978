import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { catalogue } from '../../src/errors.ts';
import { jobJsonSchema } from '../../src/job/schema.ts';
import { folder } from '../unit/job-fixture.ts';
import { savepoint } from './command.ts';
import { testRoot } from './root.ts';

describe('savepoint', () => {
  test.each([
    ...['run', 'begin', 'exec', 'finish', 'rollback', 'status', 'recover', 'host clear'],
    ...['validate', 'schema', 'errors'],
  ])('%s --help tells how, with examples', async (name) => {
    const words = name.split(' ');
    const { exit, stdout, stderr } = await savepoint([...words, '--help'], { cwd: folder() });
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
    expect(stdout).toContain(`Usage: savepoint ${name}`);
    expect(stdout).toContain('Examples:');
    expect(stdout).toContain(`  savepoint ${name}`);
  });

  test.each([
    { words: [], says: 'A command is missing' },
    { words: ['rnu'], says: 'Did you mean run?' },
    { words: ['run', '--trck', 'apt'], says: 'Did you mean --track?' },
    { words: ['host'], says: 'A command is missing' },
  ])('refuses $words as wrong usage', async ({ words, says }) => {
    const { exit, stdout, stderr } = await savepoint(words, { cwd: folder() });
    expect({ exit, stdout }).toEqual({ exit: 2, stdout: '' });
    expect(stderr).toContain(says);
    expect(stderr).toContain('[101 bad-usage]');
  });

  test('tells its version, its errors and the schema of its jobs', async () => {
    const cwd = folder();
    expect((await savepoint(['--version'], { cwd })).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    const errors = JSON.parse((await savepoint(['errors', '--json'], { cwd })).stdout);
    expect(errors.map(({ name }: { name: string }) => name)).toEqual(Object.keys(catalogue));
    expect((await savepoint(['errors'], { cwd })).stdout).toContain('308  host-busy');
    const schema = JSON.parse((await savepoint(['schema'], { cwd })).stdout);
    expect(schema).toEqual(JSON.parse(JSON.stringify(jobJsonSchema())));
  });

  test('validates a job file without the keys of its host', async () => {
    const cwd = folder();
    writeFileSync(join(cwd, 'job.yml'), 'host: ssh://ci@lab-07\ntrack: [apt]\n---\ntrack: [npm]\n');
    const { exit, stdout } = await savepoint(['validate', 'job.yml'], { cwd });
    expect({ exit, stdout }).toEqual({ exit: 0, stdout: 'job.yml: 2 jobs, valid.\n' });
    const { jobs } = JSON.parse(
      (await savepoint(['validate', 'job.yml', '--json'], { cwd })).stdout,
    );
    expect(jobs.map(({ host }: { host: { type: string } }) => host.type)).toEqual(['ssh', 'local']);
  });

  test('takes a host out of quarantine, and says what it holds', async () => {
    const root = testRoot();
    const site = ['--root', root.path, '--sudo', 'false', '--json'];
    const cwd = folder();
    const cleared = await savepoint(['host', 'clear', ...site], { cwd });
    expect(JSON.parse(cleared.stdout)).toMatchObject({ host: 'local', cleared: true });
    const status = await savepoint(['status', ...site], { cwd });
    expect(JSON.parse(status.stdout)).toMatchObject({ root: root.path, past: [] });
    expect(JSON.parse(status.stdout).open).toBeUndefined();
  });
});
