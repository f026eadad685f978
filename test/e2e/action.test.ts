import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { eventNames, resultFile, savepoint, scene, stage } from './action-scene.ts';
import { ORIGINAL, PATCHED, testRoot } from './root.ts';

describe('the action', () => {
  test('commits when every phase and the rest of the job succeed', async () => {
    const it = scene();
    const result = await it.runner.run([
      savepoint(it, { run: 'cat "$SAVEPOINT_ROOT/etc/apt/sources.list"' }),
      { run: 'test -f files/etc/apt/sources.list' },
    ]);
    expect(result.status).toBe('success');
    expect(it.root.read('etc/apt/sources.list')).toBe(PATCHED);
    const main = stage(result, 'main');
    expect(main.outputs).toMatchObject({ outcome: 'open', 'test-status': 'success' });
    expect(main.log.join('\n')).toContain(`test     | ${PATCHED.trim()}`);
    const left = resultFile(result);
    expect(left).toMatchObject({ status: 'success', outcome: 'committed', test_status: 0 });
    expect(left.transaction.id).toBe(main.outputs.transaction);
    expect(eventNames(result).slice(-2)).toEqual(['transaction_commit', 'job_end']);
    const { summary } = stage(result, 'post');
    expect(summary).toContain('committed, job success');
    expect(summary).toContain('-deb http://good.example/debian');
  });

  test('rolls back when the phase fails, and so does the step', async () => {
    const it = scene();
    const result = await it.runner.run([
      savepoint(it, { run: 'echo trying\nexit 7' }),
      { name: 'later', run: 'true' },
    ]);
    expect(result.status).toBe('failure');
    expect(stage(result, 'main').outputs['test-status']).toBe('failure');
    expect(stage(result, 'main', 'later').conclusion).toBe('skipped');
    expect(stage(result, 'post').conclusion).toBe('success');
    expect(it.root.snapshot()).toEqual(it.before);
    const errors = stage(result, 'main').commands.filter(({ name }) => name === 'error');
    expect(errors.map(({ message }) => message)).toEqual(['test: exit status 7']);
    expect(resultFile(result)).toMatchObject({ outcome: 'rolled-back', test_status: 7 });
    expect(stage(result, 'post').summary).toContain('trying');
  });

  test('rolls back when a later step fails', async () => {
    const it = scene();
    const result = await it.runner.run([savepoint(it, { run: 'true' }), { run: 'exit 1' }]);
    expect(stage(result, 'main').conclusion).toBe('success');
    expect(it.root.snapshot()).toEqual(it.before);
    expect(resultFile(result)).toMatchObject({ status: 'failure', outcome: 'rolled-back' });
  });

  test('rolls back a successful job that asks for it', async () => {
    const it = scene();
    const result = await it.runner.run([savepoint(it, { 'on-success': 'rollback', run: 'true' })]);
    expect(result.status).toBe('success');
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('rolls back when its own step failed, though the job was told to go on', async () => {
    const it = scene();
    const result = await it.runner.run([
      { ...savepoint(it, { run: 'false' }), continueOnError: true },
      { run: 'true' },
    ]);
    expect(result.status).toBe('success');
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('rolls back a cancelled job, with the cleanup done in post', async () => {
    const it = scene();
    const swept = join(it.runner.workspace, 'swept');
    const set = `phases.cleanup.run=echo swept >${swept}`;
    const run = `trap '' TERM\necho ready\nsleep 600 &\nwait`;
    const job = it.runner.run([savepoint(it, { run, set }), { run: 'true' }]);
    await it.runner.seen('ready');
    await it.runner.cancel();
    const result = await job;
    expect(result.status).toBe('cancelled');
    expect(it.root.snapshot()).toEqual(it.before);
    expect(readFileSync(swept, 'utf8')).toBe('swept\n');
    expect(eventNames(result)).toEqual([
      ...['job_start', 'transaction_begin', 'transaction_applied', 'test_start', 'test_fail'],
      ...['cleanup_start', 'cleanup_success', 'transaction_rollback', 'job_end'],
    ]);
    expect(resultFile(result)).toMatchObject({ status: 'cancelled', outcome: 'rolled-back' });
  });

  test('rolls back when a later step is cancelled', async () => {
    const it = scene();
    const job = it.runner.run([savepoint(it, { run: 'true' }), { run: 'echo ready; sleep 600' }]);
    await it.runner.seen('ready');
    await it.runner.cancel();
    expect((await job).status).toBe('cancelled');
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('rolls back when main is killed, and says which phase it was in', async () => {
    const it = scene();
    const job = it.runner.run([savepoint(it, { run: 'echo ready; sleep 600' })]);
    await it.runner.seen('ready');
    it.runner.killStep();
    const result = await job;
    expect(stage(result, 'main').exit).toBe('SIGKILL');
    expect(stage(result, 'post').conclusion).toBe('success');
    expect(it.root.snapshot()).toEqual(it.before);
    expect(eventNames(result)).toEqual([
      ...['job_start', 'transaction_begin', 'transaction_applied', 'test_start', 'test_fail'],
      ...['transaction_rollback', 'job_end'],
    ]);
  });

  test('rolls back when its step takes too long', async () => {
    const it = scene();
    const result = await it.runner.run([
      { ...savepoint(it, { run: 'echo ready; sleep 600' }), timeout: 1500 },
    ]);
    expect(result.status).toBe('failure');
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('rolls back with nothing of the workspace left', async () => {
    const it = scene();
    const { workspace } = it.runner;
    const result = await it.runner.run([
      savepoint(it, { run: `rm -rf ${workspace}/* ${workspace}/.??*; exit 1` }),
    ]);
    expect(readdirSync(workspace)).toEqual([]);
    expect(stage(result, 'post').conclusion).toBe('success');
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('rolls back when the pipes of its post step are broken', async () => {
    const it = scene();
    const set = 'phases.cleanup.run=echo in-cleanup; sleep 1';
    const job = it.runner.run([savepoint(it, { run: 'echo ready; sleep 600', set })]);
    await it.runner.seen('ready');
    await it.runner.cancel();
    await it.runner.seen('in-cleanup');
    it.runner.breakPipes();
    await job;
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('keeps the lease between its two steps, and no process after the job', async () => {
    const it = scene();
    const result = await it.runner.run([
      savepoint(it, { run: 'true', lease: '3', renew: '1' }),
      { run: 'sleep 5' },
    ]);
    expect(resultFile(result)).toMatchObject({ status: 'success', outcome: 'committed' });
    expect(it.runner.leftovers()).toEqual([]);
  });

  test('is rolled back by the host alone when the runner is lost', async () => {
    const it = scene();
    const job = it.runner.run([
      savepoint(it, { run: 'true', lease: '3', renew: '1' }),
      { run: 'echo ready; sleep 600' },
    ]);
    await it.runner.seen('ready');
    expect(it.root.read('etc/apt/sources.list')).toBe(PATCHED);
    await it.runner.lose();
    await job;
    await expect
      .poll(() => it.root.snapshot(), { timeout: 30_000, interval: 200 })
      .toEqual(it.before);
    expect(it.root.read('etc/apt/sources.list')).toBe(ORIGINAL);
  });

  test('gives each of two steps its own transaction', async () => {
    const one = scene();
    const other = { ...one, root: testRoot() };
    const result = await one.runner.run([
      { ...savepoint(one, { run: 'true' }), name: 'one' },
      { ...savepoint(other, { run: 'true', 'on-success': 'rollback' }), name: 'other' },
    ]);
    expect(result.steps.map(({ name, stage }) => `${stage} of ${name}`)).toEqual([
      ...['main of one', 'main of other', 'post of other', 'post of one'],
    ]);
    expect(one.root.read('etc/apt/sources.list')).toBe(PATCHED);
    expect(other.root.read('etc/apt/sources.list')).toBe(ORIGINAL);
  });
});
