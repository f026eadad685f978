import { expect, test } from 'vitest';
import { remains, saysBusy, staysBusy } from './processes.ts';
import type { JobFields, ScratchHost } from './scratch-host.ts';

/** A package manager whose mirror a job changes, on hosts of one kind. */
export interface MirrorWorld {
  /** A host of its own for a test. */
  host(): Promise<ScratchHost>;
  /** The fields of a job whose change is that mirror; its check asks the mirror. */
  job(host: ScratchHost, mirror: 'good' | 'dead', more: JobFields): JobFields;
  /** Every path that the change touches, sorted. */
  touched: readonly string[];
  /** Shell text that prints the version of the package that the host's mirrors offer. */
  offered: string;
  /** Shell text that changes what is tracked by itself, in every way. */
  mess: string;
  /** In what a check prints when the mirror is dead. */
  complaint: RegExp;
}

/** What a job around a change of mirrors comes to, whatever the package manager and the host. */
export function mainCases(world: () => MirrorWorld): void {
  test('a good mirror is committed, and nothing but what was laid is different', async () => {
    const { job, touched, offered, ...lab } = world();
    using host = await lab.host();
    const before = host.look();
    const ended = await host.run(job(host, 'good', { phases: { test: offered } }));

    expect(ended.json).toMatchObject({
      outcome: 'committed',
      status: 'success',
      check_status: 0,
      test_status: 0,
      test_output: expect.stringContaining('2.0'),
    });
    expect(ended.code).toBe(0);
    const different = host.changesSince(before).map((line) => line.split(': ')[0]);
    expect([...new Set(different)].sort()).toEqual(touched);
  });

  test('a dead mirror fails the check, no phase runs, and everything is as it was', async () => {
    const { job, complaint, ...lab } = world();
    using host = await lab.host();
    const before = host.look();
    const ended = await host.run(job(host, 'dead', { phases: { test: 'echo it ran' } }));

    expect(ended.json).toMatchObject({
      outcome: 'rolled-back',
      status: 'failure',
      error: { name: 'check-failed', class: 'job' },
      check_output: expect.stringMatching(complaint),
    });
    const skipped = { name: 'test', status: 'skipped', reason: 'check failed' };
    expect(ended.json.phases).toContainEqual(skipped);
    expect(ended.code).toBe(1);
    expect(host.changesSince(before)).toEqual([]);
  });

  test('a failing test rolls back, also what the test itself did to tracked paths', async () => {
    const { job, mess, ...lab } = world();
    using host = await lab.host();
    const before = host.look();
    const ended = await host.run(job(host, 'good', { phases: { test: `${mess}\nexit 7` } }));

    expect(ended.json).toMatchObject({
      outcome: 'rolled-back',
      error: { name: 'phase-failed' },
      check_status: 0,
      test_status: 7,
    });
    expect(ended.code).toBe(1);
    expect(host.changesSince(before)).toEqual([]);
  });

  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('a job cancelled by %s rolls back and exits with %i', async (signal, status) => {
    const { job, mess, ...lab } = world();
    using host = await lab.host();
    const before = host.look();
    const phases = { test: `${mess}${staysBusy}`, cleanup: 'echo cleaned up' };
    await using running = host.start(job(host, 'good', { phases }));
    const left = await saysBusy(running);
    expect(host.changesSince(before)).not.toEqual([]);
    expect(remains(left)).toEqual([...left.pids, left.script]);
    running.kill(signal);
    const ended = await running.ended;

    expect(ended.json).toMatchObject({
      outcome: 'rolled-back',
      status: 'cancelled',
      error: { name: 'job-cancelled', details: { signal } },
      cleanup_output: 'cleaned up\n',
    });
    expect(ended.code).toBe(status);
    expect(remains(left)).toEqual([]);
    expect(host.changesSince(before)).toEqual([]);
  });

  test('after its controller was killed, `savepoint recover` rolls back and ends its processes', async () => {
    const { job, mess, ...lab } = world();
    using host = await lab.host();
    const before = host.look();
    const phases = { test: `${mess}${staysBusy}` };
    await using running = host.start(job(host, 'good', { phases }));
    const left = await saysBusy(running);
    running.kill('SIGKILL');
    expect(await running.ended).toMatchObject({ signal: 'SIGKILL' });
    expect(host.changesSince(before)).not.toEqual([]);
    const status = await host.ask('status');
    expect(status.json.open).toMatchObject({ holder: expect.stringContaining('try-mirror (') });

    const recovered = await host.ask('recover');
    expect(recovered).toMatchObject({ code: 0, json: { ended: [{ outcome: 'rolled-back' }] } });
    expect(remains(left)).toEqual([]);
    expect(host.changesSince(before)).toEqual([]);

    const again = await host.ask('recover');
    expect(again).toMatchObject({ code: 0, json: { ended: [] } });
  });

  test('with `on-success: rollback` a good mirror passes and leaves no trace', async () => {
    const { job, mess, ...lab } = world();
    using host = await lab.host();
    const before = host.look();
    const more = { 'on-success': 'rollback', phases: { test: mess } };
    const ended = await host.run(job(host, 'good', more));

    expect(ended.json).toMatchObject({ outcome: 'rolled-back', status: 'success', test_status: 0 });
    expect(ended.code).toBe(0);
    expect(host.changesSince(before)).toEqual([]);
  });
}
