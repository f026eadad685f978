import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Result } from '../../src/report/result.ts';
import { folder } from '../unit/job-fixture.ts';
import { savepoint, start } from './command.ts';
import { ORIGINAL, PATCHED, patchFiles, testRoot } from './root.ts';

interface Scene {
  cwd: string;
  root: ReturnType<typeof testRoot>;
  before: Record<string, string>;
  /** Options that make a transaction on the root. */
  options: string[];
}

function scene(): Scene {
  const cwd = folder();
  const root = testRoot();
  patchFiles(cwd);
  const options = [
    '--root',
    root.path,
    '--track',
    '/etc/apt',
    '--files',
    'files',
    '--sudo',
    'false',
  ];
  return { cwd, root, before: root.snapshot(), options };
}

function result({ cwd }: Scene): Result {
  const [id = ''] = readdirSync(join(cwd, 'savepoint-results'));
  return JSON.parse(readFileSync(join(cwd, 'savepoint-results', id, 'result.json'), 'utf8'));
}

describe('savepoint run', () => {
  test('shows the quickstart without any installation', async () => {
    const cwd = folder();
    const { exit, stdout, stderr } = await savepoint(
      ['run', resolve('examples/quickstart/savepoint.yml')],
      { cwd },
    );
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
    expect(stdout).toContain('exit status 100');
    expect(stdout).toContain('result     rolled-back as expected, job succeeded');
    expect(stdout).toContain('result     committed as expected, job succeeded');
    expect(stdout).toContain('Where to look next:');
  });

  test('commits when its command succeeds', async () => {
    const it = scene();
    const { exit, stdout } = await savepoint(
      ['run', ...it.options, '--', 'sh', '-c', 'cat "$SAVEPOINT_ROOT/etc/apt/sources.list"'],
      it,
    );
    expect(exit).toBe(0);
    expect(stdout).toContain(`test     | ${PATCHED.trim()}`);
    expect(it.root.read('etc/apt/sources.list')).toBe(PATCHED);
    expect(result(it)).toMatchObject({ status: 'success', outcome: 'committed', test_status: 0 });
  });

  test('rolls back when its command fails, and shows its exit status', async () => {
    const it = scene();
    const { exit, stdout } = await savepoint(
      ['run', ...it.options, '--', 'sh', '-c', 'exit 9'],
      it,
    );
    expect(exit).toBe(1);
    expect(stdout).toContain('failed after');
    expect(stdout).toContain('exit status 9');
    expect(it.root.snapshot()).toEqual(it.before);
    expect(result(it)).toMatchObject({ outcome: 'rolled-back', test_status: 9 });
  });

  test('rolls back when the check fails, and runs no phase', async () => {
    const it = scene();
    const words = ['run', ...it.options, '--check', 'false', '--', 'touch', 'ran'];
    expect((await savepoint(words, it)).exit).toBe(1);
    expect(it.root.snapshot()).toEqual(it.before);
    expect(result(it).phases.map(({ name, status }) => [name, status])).toEqual([
      ['check', 'failure'],
      ['test', 'skipped'],
    ]);
    expect(existsSync(join(it.cwd, 'ran'))).toBe(false);
  });

  test('gives the result as JSON where a script asks for it', async () => {
    const it = scene();
    const words = ['run', ...it.options, '--json', '--', 'echo', 'hello'];
    const { stdout, stderr } = await savepoint(words, it);
    expect(JSON.parse(stdout)).toMatchObject({ outcome: 'committed', test_output: 'hello\n' });
    expect(stderr).toContain('test     | hello');
  });

  test('stops after the first job of a file that fails', async () => {
    const it = scene();
    const common = `root: ${it.root.path}\ntrack: [/etc/apt]\nhost: {type: local, sudo: false}`;
    writeFileSync(
      join(it.cwd, 'jobs.yml'),
      `${common}\nphases: {test: 'false'}\n---\n${common}\nphases: {test: touch ${it.cwd}/ran}\n`,
    );
    const { exit, stdout } = await savepoint(['run', 'jobs.yml'], it);
    expect(exit).toBe(1);
    expect(stdout).toContain('1 of 2 jobs did not run');
    expect(existsSync(join(it.cwd, 'ran'))).toBe(false);
  });

  test.each([
    { signal: 'SIGTERM', exit: 143 },
    { signal: 'SIGINT', exit: 130 },
    { signal: 'SIGHUP', exit: 129 },
  ] as const)('cleans up and rolls back on $signal', async ({ signal, exit }) => {
    const it = scene();
    const cleanup = `phases.cleanup.run=touch ${it.cwd}/swept`;
    const run = ['run', ...it.options, '--set', cleanup, '--', 'sh', '-c', 'echo ready; sleep 600'];
    const { child, ended, seen } = start(run, it);
    await seen('| ready');
    child.kill(signal);
    expect((await ended).exit).toBe(exit);
    expect(it.root.snapshot()).toEqual(it.before);
    expect(existsSync(join(it.cwd, 'swept'))).toBe(true);
    expect(result(it)).toMatchObject({ status: 'cancelled', outcome: 'rolled-back' });
  });

  test('skips a cleanup that hangs on the second signal, never the rollback', async () => {
    const it = scene();
    const cleanup = 'phases.cleanup.run=echo sweeping; sleep 600';
    const run = ['run', ...it.options, '--set', cleanup, '--', 'sh', '-c', 'echo ready; sleep 600'];
    const { child, ended, seen } = start(run, it);
    await seen('| ready');
    child.kill('SIGINT');
    await seen('| sweeping');
    child.kill('SIGINT');
    expect((await ended).exit).toBe(130);
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('that is killed leaves a host that a person can recover at once', async () => {
    const it = scene();
    const { child, ended, seen } = start(
      ['run', ...it.options, '--', 'sh', '-c', 'echo ready; sleep 600'],
      it,
    );
    await seen('| ready');
    child.kill('SIGKILL');
    expect((await ended).exit).toBe('SIGKILL');
    expect(it.root.read('etc/apt/sources.list')).toBe(PATCHED);
    const site = ['--root', it.root.path, '--sudo', 'false'];
    const status = await savepoint(['status', ...site, '--json'], it);
    const { open } = JSON.parse(status.stdout);
    expect(open).toMatchObject({ track: ['/etc/apt'] });
    expect(open.holder).toContain('process');
    const recovered = await savepoint(['recover', ...site], it);
    expect(recovered).toMatchObject({ exit: 0, stderr: '' });
    expect(recovered.stdout).toContain(`${open.id}: rolled-back`);
    expect(it.root.snapshot()).toEqual(it.before);
    expect((await savepoint(['status', ...site], it)).stdout).toContain('nothing is open');
  });

  test('is refused a host that another holds, and learns who', async () => {
    const it = scene();
    const first = start(
      ['run', '--name', 'first', ...it.options, '--', 'sh', '-c', 'echo ready; sleep 600'],
      it,
    );
    await first.seen('| ready');
    const second = await savepoint(['run', ...it.options, '--json', '--', 'true'], it);
    expect(second.exit).toBe(3);
    expect(JSON.parse(second.stdout).error).toMatchObject({ name: 'host-busy', class: 'host' });
    expect(JSON.parse(second.stdout).error.reason).toContain('first (');
    first.child.kill('SIGTERM');
    await first.ended;
    expect(it.root.read('etc/apt/sources.list')).toBe(ORIGINAL);
  });

  test('masks the variables it is told to, and gives no command its passphrase', async () => {
    const it = scene();
    const words = ['run', ...it.options, '--mask-env', 'PASSWORD', '--', 'env'];
    const env = { PASSWORD: 'correct horse', SAVEPOINT_KEY_PASSPHRASE: 'battery staple' };
    const { stdout } = await savepoint(words, { ...it, env });
    expect(stdout).toContain('PASSWORD=***');
    expect(stdout).not.toContain('SAVEPOINT_KEY_PASSPHRASE');
    expect(JSON.stringify(result(it))).not.toContain('correct horse');
  });
});
