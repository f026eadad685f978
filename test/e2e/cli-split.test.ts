import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { folder } from '../unit/job-fixture.ts';
import { cliFile } from './built.ts';
import { type CommandOptions, savepoint } from './command.ts';
import { ORIGINAL, PATCHED, patchFiles, testRoot } from './root.ts';

const STATE = '.savepoint-state.json';

function scene(more = '') {
  const cwd = folder();
  const root = testRoot();
  patchFiles(cwd);
  writeFileSync(
    join(cwd, 'job.yml'),
    `root: ${root.path}\nhost: {type: local, sudo: false}\ntrack: [/etc/apt]\nfiles: files\n${more}`,
  );
  return { cwd, root, before: root.snapshot() };
}

/** Begins, with the lease renewed while this test process lives. */
function begin(it: CommandOptions, ...more: string[]) {
  return savepoint(['begin', 'job.yml', '--while', String(process.pid), ...more], it);
}

describe('the split form', () => {
  test('begins, runs commands and commits, each in a process of its own', async () => {
    const it = scene();
    const begun = await begin(it);
    expect(begun).toMatchObject({ exit: 0, stderr: '' });
    expect(it.root.read('etc/apt/sources.list')).toBe(PATCHED);
    expect(statSync(join(it.cwd, STATE)).mode & 0o777).toBe(0o600);
    const first = await savepoint(['exec', '--', 'echo', "it's", '$HOME'], it);
    expect(first).toMatchObject({ exit: 0 });
    expect(first.stdout).toContain("exec     | it's $HOME");
    expect((await savepoint(['exec', '--', 'true'], it)).exit).toBe(0);
    const finished = await savepoint(['finish', '--status', 'SUCCESS', '--json'], it);
    expect(finished.exit).toBe(0);
    const result = JSON.parse(finished.stdout);
    expect(result).toMatchObject({ outcome: 'committed', status: 'success', exec_status: 0 });
    expect(result.phases.map(({ name }: { name: string }) => name)).toEqual(['exec', 'exec-2']);
    expect(it.root.read('etc/apt/sources.list')).toBe(PATCHED);
    expect(existsSync(join(it.cwd, STATE))).toBe(false);
  });

  test.each(['failure', 'FAILED', 'UNSTABLE', 'cancelled', 'canceled', 'ABORTED', '', 'odd'])(
    'rolls back when it finishes with status "%s"',
    async (status) => {
      const it = scene();
      await begin(it);
      expect((await savepoint(['finish', '--status', status], it)).exit).toBe(0);
      expect(it.root.snapshot()).toEqual(it.before);
    },
  );

  test('rolls back after a command that failed, whatever the status', async () => {
    const it = scene();
    await begin(it);
    const failed = await savepoint(['exec', '--', 'sh', '-c', 'exit 5'], it);
    expect(failed.exit).toBe(1);
    expect(failed.stdout).toContain('exit status 5');
    expect((await savepoint(['finish', '--status', 'success'], it)).exit).toBe(0);
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test("runs the job's own phases, and its cleanup when it finishes", async () => {
    const it = scene('phases: {setup: echo one, test: echo two, cleanup: echo three}\n');
    await begin(it);
    const ran = await savepoint(['exec'], it);
    expect(ran.stdout).toContain('test     | two');
    expect(ran.stdout).not.toContain('three');
    const finished = await savepoint(['finish', '--status', 'success'], it);
    expect(finished.stdout).toContain('cleanup  | three');
    expect(finished.stdout).toContain('committed');
  });

  test('commits nothing while a phase of the job has not run', async () => {
    const it = scene('phases: {test: echo two}\n');
    await begin(it);
    const finished = await savepoint(['finish', '--status', 'success'], it);
    expect(finished.stdout).toContain('because test did not run');
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('rolls back when it is asked to', async () => {
    const it = scene();
    await begin(it);
    const { exit, stdout } = await savepoint(['rollback', '--reason', 'wanted'], it);
    expect(exit).toBe(0);
    expect(stdout).toContain('because wanted');
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('leaves a failed check for finish to roll back', async () => {
    const it = scene('check: exit 4\n');
    expect((await begin(it)).exit).toBe(1);
    expect((await savepoint(['finish', '--status', 'failure'], it)).exit).toBe(0);
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('keeps the lease while the process it watches lives, and no longer', async () => {
    const it = scene('lease: 3\nrenew: 1\n');
    // The shell lives five seconds after begin: longer than the lease.
    const script = `node ${cliFile()} begin job.yml; sleep 5; cat ${it.root.path}/etc/apt/sources.list`;
    const env = { PATH: process.env.PATH, HOME: it.cwd };
    const shell = spawnSync('bash', ['-c', script], { cwd: it.cwd, env, encoding: 'utf8' });
    expect(shell.stdout.endsWith(PATCHED)).toBe(true);
    await expect
      .poll(() => it.root.read('etc/apt/sources.list'), { timeout: 30_000, interval: 200 })
      .toBe(ORIGINAL);
    const late = await savepoint(['finish', '--status', 'success'], it);
    expect(late.exit).toBe(3);
    expect(late.stdout).toContain('lease-expired');
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('asks the host of the recorded transaction for its status', async () => {
    const it = scene();
    await begin(it);
    const status = JSON.parse((await savepoint(['status', '--json'], it)).stdout);
    const { record } = JSON.parse(readFileSync(join(it.cwd, STATE), 'utf8'));
    expect(status.open.id).toBe(record.id);
    await savepoint(['rollback'], it);
  });

  test.each([
    { words: ['exec', '--', 'true'], name: 'state-missing' },
    { words: ['finish', '--status', 'success'], name: 'state-missing' },
    { words: ['rollback', '--state', 'elsewhere'], name: 'state-missing' },
  ])('$words without a transaction is refused as $name', async ({ words, name }) => {
    const { exit, stderr } = await savepoint(words, { cwd: folder() });
    expect(exit).toBe(2);
    expect(stderr).toContain(name);
  });

  test('trusts no state that others could have written', async () => {
    const it = scene();
    await begin(it);
    chmodSync(join(it.cwd, STATE), 0o644);
    const { exit, stderr } = await savepoint(['finish', '--status', 'success'], it);
    expect(exit).toBe(2);
    expect(stderr).toContain('state-bad');
    chmodSync(join(it.cwd, STATE), 0o600);
    expect((await savepoint(['rollback'], it)).exit).toBe(0);
  });

  test('begins no second transaction over a recorded one', async () => {
    const it = scene();
    await begin(it);
    const again = await begin(it);
    expect(again.exit).toBe(2);
    expect(again.stderr).toContain('recorded there already');
    expect((await savepoint(['rollback'], it)).exit).toBe(0);
  });
});
