import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { SavepointError } from '../../src/errors.ts';
import { masker } from '../../src/run/mask.ts';
import { finishJob, openAndRun, runJob } from '../../src/run/run.ts';
import { folder } from './job-fixture.ts';
import { collect, job, namesOf, outcomeOf, outputOf, recorded, run } from './run.fixture.ts';

const opening = ['job_start', 'transaction_begin', 'transaction_applied'];

describe('a job', () => {
  test('that passes is committed', async () => {
    const { names, verbs, end, events } = await outcomeOf(
      job({ phases: { setup: 'echo one; echo two >&2', test: 'printf three' } }),
    );
    expect(names).toEqual([
      ...opening,
      ...['setup_start', 'setup_success', 'test_start', 'test_success'],
      ...['transaction_commit', 'job_end'],
    ]);
    expect(verbs).toEqual(['begin', 'apply', 'commit']);
    expect(end).toMatchObject({ status: 'success', outcome: 'committed', exit: 0 });
    expect(outputOf(events, 'setup').sort()).toEqual(['one', 'two']);
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index + 1));
  });

  test('that asks for a rollback on success gets one', async () => {
    const { verbs, end } = await outcomeOf(
      job({ onSuccess: 'rollback', phases: { test: 'true' } }),
    );
    expect(verbs).toEqual(['begin', 'apply', 'rollback']);
    expect(end).toMatchObject({ status: 'success', outcome: 'rolled-back', exit: 0 });
  });

  test('that fails skips its later phases, cleans up and is rolled back', async () => {
    const { names, verbs, end, events } = await outcomeOf(
      job({ phases: { setup: 'exit 3', test: 'true', cleanup: 'echo swept' } }),
    );
    expect(names).toEqual([
      ...opening,
      ...['setup_start', 'setup_fail', 'test_skipped', 'cleanup_start', 'cleanup_success'],
      ...['transaction_rollback', 'job_end'],
    ]);
    expect(verbs.at(-1)).toBe('rollback');
    expect(end).toMatchObject({ status: 'failure', outcome: 'rolled-back', exit: 1 });
    expect(end.error).toMatchObject({ name: 'phase-failed', details: { phase: 'setup', exit: 3 } });
    expect(events.find(({ event }) => event === 'test_skipped')).toMatchObject({
      reason: 'setup failed',
    });
  });

  test('whose first command fails does not go on to the second', async () => {
    const { events } = await outcomeOf(job({ phases: { test: 'false\necho reached' } }));
    expect(outputOf(events, 'test')).toEqual([]);
  });

  test('whose script names its interpreter is run by it', async () => {
    const { events } = await outcomeOf(job({ phases: { test: '#!/usr/bin/env cat\nas it is' } }));
    expect(outputOf(events, 'test')).toEqual(['#!/usr/bin/env cat', 'as it is']);
  });

  test('whose check fails runs no phase but cleanup', async () => {
    const check = { run: 'exit 100', env: {}, where: 'host' } as const;
    const { names, end } = await outcomeOf(
      job({ check, phases: { test: 'true', cleanup: 'true' } }),
    );
    expect(names).toEqual([
      ...opening,
      ...['check_start', 'check_fail', 'test_skipped', 'cleanup_start', 'cleanup_success'],
      ...['transaction_rollback', 'job_end'],
    ]);
    expect(end.error).toMatchObject({ name: 'check-failed', details: { exit: 100 } });
  });

  test('whose cleanup fails has failed', async () => {
    const { end } = await outcomeOf(job({ phases: { test: 'true', cleanup: 'exit 4' } }));
    expect(end).toMatchObject({ status: 'failure', outcome: 'rolled-back', exit: 1 });
    expect(end.error?.details).toMatchObject({ phase: 'cleanup', exit: 4 });
  });

  test('whose transaction was not opened runs nothing and decides nothing', async () => {
    const busy = async () => {
      throw new SavepointError('host-busy');
    };
    const { names, verbs, end } = await outcomeOf(
      job({ phases: { test: 'true', cleanup: 'true' } }),
      {
        transaction: { begin: busy },
      },
    );
    expect(names).toEqual(['job_start', 'error', 'test_skipped', 'cleanup_skipped', 'job_end']);
    expect(verbs).toEqual(['begin']);
    expect(end).toMatchObject({ status: 'failure', exit: 3 });
    expect(end.outcome).toBeUndefined();
  });

  test.each([
    ['fell silent during begin', 'host-lost'],
    ['could not tell what begin had done', 'host-read-failed'],
  ] as const)('whose host %s is rolled back all the same', async (_what, name) => {
    const lost = async () => {
      throw new SavepointError(name);
    };
    const { verbs, end } = await outcomeOf(job(), { transaction: { begin: lost } });
    expect(verbs).toEqual(['begin', 'rollback']);
    expect(end.exit).toBe(3);
  });

  test('whose change cannot be applied is rolled back', async () => {
    const full = async () => {
      throw new SavepointError('host-no-space');
    };
    const { names, verbs } = await outcomeOf(job({ phases: { test: 'true' } }), {
      transaction: { apply: full },
    });
    expect(names).toContain('test_skipped');
    expect(verbs).toEqual(['begin', 'apply', 'rollback']);
  });

  test('whose commit fails is rolled back', async () => {
    const commit = async () => {
      throw new SavepointError('host-write-failed');
    };
    const { verbs, end } = await outcomeOf(job({ phases: { test: 'true' } }), {
      transaction: { commit },
    });
    expect(verbs).toEqual(['begin', 'apply', 'commit', 'rollback']);
    expect(end).toMatchObject({ outcome: 'rolled-back', exit: 3 });
  });

  test('whose rollback fails says so above everything else', async () => {
    const rollback = async () => {
      throw new SavepointError('rollback-failed');
    };
    const { end } = await outcomeOf(job({ phases: { test: 'false' } }), {
      transaction: { rollback },
    });
    expect(end).toMatchObject({ status: 'failure', exit: 46 });
    expect(end.error?.name).toBe('rollback-failed');
  });
});

describe('a job that expects an outcome', () => {
  test.each([
    { expects: 'rolled-back', phases: { test: 'false' }, exit: 0, error: undefined },
    { expects: 'rolled-back', phases: { test: 'true' }, exit: 1, error: 'outcome-unexpected' },
    { expects: 'committed', phases: { test: 'true' }, exit: 0, error: undefined },
    { expects: 'committed', phases: { test: 'false' }, exit: 1, error: 'phase-failed' },
    {
      expects: 'rolled-back',
      phases: { test: 'false', cleanup: 'false' },
      exit: 1,
      error: 'phase-failed',
    },
  ] as const)(
    '$expects, with $phases, ends with $exit',
    async ({ expects, phases, exit, error }) => {
      const { end } = await outcomeOf(job({ expect: expects, phases }));
      expect(end.exit).toBe(exit);
      expect(end.error?.name).toBe(error);
    },
  );
});

describe('a phase', () => {
  test('that takes too long is killed with all it started', async () => {
    const marker = join(folder(), 'late');
    const script = `(trap '' TERM; sleep 5; touch ${marker}) & echo $!; wait`;
    const { names, end, events } = await outcomeOf(
      job({ phases: { test: { run: script, timeout: 0.3 } } }),
    );
    expect(names).toContain('test_fail');
    expect(end.error).toMatchObject({ name: 'phase-timeout', details: { timeout: 0.3 } });
    const child = Number(outputOf(events, 'test')[0]);
    expect(isRunning(child)).toBe(false);
    expect(existsSync(marker)).toBe(false);
  });

  test('that a signal ended fails by it', async () => {
    const { end } = await outcomeOf(job({ phases: { test: 'kill -KILL $$' } }));
    expect(end.error?.details).toMatchObject({ phase: 'test', signal: 'SIGKILL' });
  });

  test('on the controller gets to know the transaction', async () => {
    const run =
      'echo "$SAVEPOINT_HOST $SAVEPOINT_ROOT $SAVEPOINT_TRANSACTION $A $B"; pwd; echo "$SAVEPOINT_JOB_DIR"';
    const directory = folder();
    const { events } = await outcomeOf(
      job({
        directory,
        env: { A: 'job', B: 'job' },
        phases: { test: { run, env: { B: 'phase' }, where: 'controller' } },
      }),
    );
    expect(outputOf(events, 'test')).toEqual(['local / tx-1 job phase', directory, directory]);
  });

  test('that cannot be started fails', async () => {
    const exec = async () => {
      throw new SavepointError('host-lost');
    };
    const { names, end } = await outcomeOf(job({ phases: { test: 'true' } }), {
      transaction: { exec },
    });
    expect(names).toEqual([
      ...opening,
      ...['test_start', 'test_fail', 'transaction_rollback', 'job_end'],
    ]);
    expect(end.exit).toBe(3);
  });

  test('prints no secret, nor does any event hold one', async () => {
    const { events } = await outcomeOf(
      job({ name: 'uses s3cret', phases: { test: 'printf s3c; sleep 0.1; echo ret' } }),
      { run: { masker: masker(['s3cret']) } },
    );
    expect(outputOf(events, 'test')).toEqual(['***']);
    expect(JSON.stringify(events)).not.toContain('s3cret');
  });
});

describe('a cancelled job', () => {
  const cancelled = (signal: string) =>
    new SavepointError('job-cancelled', { details: { signal } });

  test('stops its phase, cleans up and is rolled back', async () => {
    const cancel = new AbortController();
    const { verbs, transaction } = recorded();
    const it = job({
      phases: { setup: 'echo ready; sleep 60', test: 'true', cleanup: 'echo swept' },
    });
    const events = [];
    for await (const event of runJob(run(it, transaction, { cancel: cancel.signal }), nothing)) {
      events.push(event);
      if (event.kind === 'output' && event.line === 'ready') cancel.abort(cancelled('SIGTERM'));
    }
    expect(namesOf(events)).toEqual([
      ...opening,
      ...['setup_start', 'setup_fail', 'test_skipped', 'cleanup_start', 'cleanup_success'],
      ...['transaction_rollback', 'job_end'],
    ]);
    expect(verbs.at(-1)).toBe('rollback');
    expect(events.at(-1)).toMatchObject({ status: 'cancelled', exit: 143 });
  });

  test('before its first phase runs none', async () => {
    const { names, end } = await outcomeOf(job({ phases: { test: 'true', cleanup: 'true' } }), {
      run: { cancel: AbortSignal.abort(cancelled('SIGINT')) },
    });
    expect(names).toEqual([
      ...['job_start', 'transaction_begin', 'test_skipped', 'error'],
      ...['cleanup_start', 'cleanup_success', 'transaction_rollback', 'job_end'],
    ]);
    expect(end).toMatchObject({ status: 'cancelled', exit: 130 });
  });

  test('can leave its cleanup to a later process, which does it once', async () => {
    const { transaction, verbs } = recorded();
    const place = folder();
    const cleanup = `echo swept >>${join(place, 'log')}`;
    const it = run(job({ phases: { test: 'true', cleanup } }), transaction, {
      cancel: AbortSignal.abort(cancelled('SIGINT')),
      leaveCleanup: 'cancelled',
    });
    const first = await collect(openAndRun(it, nothing));
    expect(namesOf(first)).not.toContain('cleanup_start');
    const later = { ...it, cancel: new AbortController().signal };
    const second = await collect(finishJob(later, 'cancelled'));
    expect(namesOf(second)).toEqual([
      ...['cleanup_start', 'cleanup_success', 'transaction_rollback', 'job_end'],
    ]);
    expect(readFileSync(join(place, 'log'), 'utf8')).toBe('swept\n');
    expect(verbs.at(-1)).toBe('rollback');
  });
});

test('a phase whose process was killed gets its one end from the later process', async () => {
  const { transaction, verbs } = recorded();
  const it = run(job({ phases: { setup: 'true', test: 'true', cleanup: 'true' } }), transaction);
  it.ledger.opened = true;
  it.ledger.seq = 4;
  it.ledger.running = { phase: 'setup', since: new Date().toISOString() };
  const events = await collect(finishJob(it, 'failure'));
  expect(namesOf(events)).toEqual([
    ...['setup_fail', 'test_skipped', 'cleanup_start', 'cleanup_success'],
    ...['transaction_rollback', 'job_end'],
  ]);
  expect(events[0]?.seq).toBe(5);
  expect(verbs).toEqual(['rollback']);
});

test('a run that nobody listens to any more is rolled back', async () => {
  const { transaction, verbs } = recorded();
  for await (const event of runJob(
    run(job({ phases: { test: 'sleep 60' } }), transaction),
    nothing,
  )) {
    if (event.event === 'test_start') break;
  }
  expect(verbs).toEqual(['begin', 'apply', 'rollback']);
});

const nothing = { overlay: [], remove: [] };

/** A zombie has ended; nobody has asked for its status yet. */
function isRunning(pid: number): boolean {
  const stat = `/proc/${pid}/stat`;
  return existsSync(stat) && !/\) Z /.test(readFileSync(stat, 'utf8'));
}
