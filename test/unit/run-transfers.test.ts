import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { SavepointError } from '../../src/errors.ts';
import { openLocal } from '../../src/host/local.ts';
import type { JobFiles } from '../../src/job/job.ts';
import type { EventOf, RunEvent } from '../../src/run/events.ts';
import { finishJob, openJob, runBetween } from '../../src/run/run.ts';
import { folder } from './job-fixture.ts';
import { collect, job, namesOf, outcomeOf, outputOf, recorded, run } from './run.fixture.ts';

// The transaction of these tests always has the same id, so each run of them has a place of its own.
const place = realpathSync(mkdtempSync(join(tmpdir(), 'savepoint-work-')));
beforeAll(() => void vi.stubEnv('TMPDIR', place));
afterAll(() => {
  vi.unstubAllEnvs();
  rmSync(place, { recursive: true });
});

const limits = { size: 1024 ** 2, entries: 100 };

function transfers(changes: Partial<JobFiles> = {}): JobFiles {
  return { attachments: [], artifacts: [], limits, ...changes };
}

function attachment(text = 'from the controller'): JobFiles['attachments'] {
  return [{ local: join(folder({ f: text }), 'f'), agent: 'sent/f' }];
}

/** A job and where its output goes; SAVEPOINT_WORK_DIR is a real one. */
function scene(it: Parameters<typeof job>[0]) {
  const output = folder();
  return { output, job: job(it), run: { output } };
}

function workDirOf(events: RunEvent[]): string {
  const event = events.find((one): one is EventOf<'work_dir'> => one.kind === 'work_dir');
  if (!event) throw new Error('there was no work directory');
  return event.path;
}

describe('a job with files', () => {
  test('has its attachments from unpack on, its artifacts before cleanup, and its directory gone at the end', async () => {
    const it = scene({
      transfers: transfers({ attachments: attachment(), artifacts: ['out'] }),
      phases: {
        setup: '[ -d "$SAVEPOINT_WORK_DIR" ] && [ ! -e "$SAVEPOINT_WORK_DIR/sent" ]',
        unpack: 'cat "$SAVEPOINT_WORK_DIR/sent/f"; echo; echo too >&2',
        test: 'cd "$SAVEPOINT_WORK_DIR" && mkdir out && echo made >out/log',
        cleanup: 'rm -r "$SAVEPOINT_WORK_DIR/out"',
      },
    });
    const { events, names, end } = await outcomeOf(it.job, it);
    expect(names).toEqual([
      ...['job_start', 'transaction_begin', 'work_dir', 'transaction_applied'],
      ...['setup_start', 'setup_success', 'unpack_start', 'progress', 'unpack_success'],
      ...['test_start', 'test_success', 'artifacts_start', 'progress', 'artifacts_success'],
      ...['cleanup_start', 'cleanup_success', 'transaction_commit', 'job_end'],
    ]);
    expect(events[0]).toMatchObject({
      phases: ['setup', 'unpack', 'test', 'artifacts', 'cleanup'],
    });
    expect(outputOf(events, 'unpack').sort()).toEqual(['from the controller', 'too']);
    expect(readFileSync(join(it.output, 'artifacts/out/log'), 'utf8')).toBe('made\n');
    expect(existsSync(workDirOf(events))).toBe(false);
    expect(end.exit).toBe(0);
  });

  test('that fails still gives its artifacts, and what is not there is no second failure', async () => {
    const it = scene({
      transfers: transfers({ artifacts: ['log', 'never-made'] }),
      phases: { test: 'echo why >"$SAVEPOINT_WORK_DIR/log"; exit 7' },
    });
    const { events, names, end } = await outcomeOf(it.job, it);
    expect(names).toContain('artifacts_success');
    expect(readFileSync(join(it.output, 'artifacts/log'), 'utf8')).toBe('why\n');
    expect(outputOf(events, 'artifacts')).toEqual([
      expect.stringMatching(/\/never-made is not there$/),
    ]);
    expect(end.error).toMatchObject({ name: 'phase-failed', details: { exit: 7 } });
    expect(end.outcome).toBe('rolled-back');
  });

  test('that passes but did not make its artifact has failed, and is rolled back', async () => {
    const it = scene({ transfers: transfers({ artifacts: ['log'] }), phases: { test: 'true' } });
    const { names, verbs, end } = await outcomeOf(it.job, it);
    expect(names).toContain('artifacts_fail');
    expect(verbs.at(-1)).toBe('rollback');
    expect(end).toMatchObject({ status: 'failure', exit: 1, error: { name: 'artifact-missing' } });
  });

  test('whose artifact leaves the folder has failed, with the entry named', async () => {
    const it = scene({
      transfers: transfers({ artifacts: ['out'] }),
      phases: {
        test: 'mkdir "$SAVEPOINT_WORK_DIR/out"; ln -s /etc "$SAVEPOINT_WORK_DIR/out/evil"',
      },
    });
    const { end } = await outcomeOf(it.job, it);
    expect(end).toMatchObject({
      outcome: 'rolled-back',
      error: { name: 'artifact-refused', reason: expect.stringContaining('out/evil is a link') },
    });
  });

  test('whose attachment is gone when its turn comes fails in unpack, and runs nothing after it', async () => {
    const attachments = attachment();
    const [first] = attachments;
    const it = scene({
      transfers: transfers({ attachments }),
      phases: { setup: `rm ${first?.local}`, unpack: 'echo ran', test: 'echo ran' },
    });
    const { events, names, end } = await outcomeOf(it.job, it);
    expect(names.slice(-5)).toEqual([
      ...['unpack_start', 'unpack_fail', 'test_skipped', 'transaction_rollback', 'job_end'],
    ]);
    expect(outputOf(events, 'unpack')).toEqual([]);
    expect(end.error).toMatchObject({
      name: 'attachment-changed',
      details: { found: first?.local },
    });
    expect(existsSync(workDirOf(events))).toBe(false);
  });

  test('whose unpack command fails has that exit status', async () => {
    const it = scene({
      transfers: transfers({ attachments: attachment() }),
      phases: { unpack: 'exit 5', test: 'true' },
    });
    const { end } = await outcomeOf(it.job, it);
    expect(end.error).toMatchObject({
      name: 'phase-failed',
      details: { phase: 'unpack', exit: 5 },
    });
  });

  test('is not begun where the login can transfer nothing', async () => {
    const it = scene({ transfers: transfers({ artifacts: ['x'] }), phases: { test: 'true' } });
    const local = openLocal();
    const login = {
      name: 'ci@lab',
      run: () =>
        local.run({
          argv: ['sh', '-c', 'echo "savepoint gate: this key runs nothing else" >&2; exit 93'],
        }),
    };
    const { names, verbs, end } = await outcomeOf(it.job, { ...it, transaction: { login } });
    expect(names).toEqual([
      ...['job_start', 'error', 'test_skipped', 'artifacts_skipped', 'job_end'],
    ]);
    expect(verbs).toEqual([]);
    expect(end).toMatchObject({ exit: 3, error: { name: 'transfer-refused' } });
  });

  test('is not begun where its directory would be below a tracked path', async () => {
    const it = scene({
      transfers: transfers({ artifacts: ['x'] }),
      track: [{ path: place }],
      phases: { test: 'true' },
    });
    const { verbs, end } = await outcomeOf(it.job, it);
    expect(verbs).toEqual([]);
    expect(end.error).toMatchObject({ name: 'transfer-refused', details: { tracked: place } });
  });

  test('that is cancelled while it unpacks runs no command, and is rolled back', async () => {
    const cancel = new AbortController();
    const local = openLocal();
    const attachments = attachment('x'.repeat(1000));
    // The host takes nothing of what it is sent, so only a cancel ends it.
    const login = {
      name: local.name,
      run: (command: Parameters<typeof local.run>[0]) => {
        if (command.stdin === undefined) return local.run(command);
        setTimeout(() => cancel.abort(new SavepointError('job-cancelled')), 50);
        return local.run({ ...command, argv: ['sleep', '1000'] });
      },
    };
    const it = scene({
      transfers: transfers({ attachments }),
      phases: { unpack: 'echo ran', test: 'true' },
    });
    const { events, names, end } = await outcomeOf(it.job, {
      transaction: { login },
      run: { ...it.run, cancel: cancel.signal },
    });
    expect(names).toContain('unpack_fail');
    expect(outputOf(events, 'unpack')).toEqual([]);
    expect(end).toMatchObject({ status: 'cancelled', outcome: 'rolled-back' });
  });
});

test('a cancel stops fetching from a host that sends nothing, and cleanup runs all the same', async () => {
  const cancel = new AbortController();
  const local = openLocal();
  const login = {
    name: local.name,
    run: (command: Parameters<typeof local.run>[0]) => {
      const fetches = command.argv.some((word) => word.includes('savepoint-files'));
      if (!fetches) return local.run(command);
      setTimeout(() => cancel.abort(new SavepointError('job-cancelled')), 50);
      return local.run({ ...command, argv: ['sleep', '1000'] });
    },
  };
  const it = scene({
    transfers: transfers({ artifacts: ['log'] }),
    phases: { test: 'true', cleanup: 'echo swept' },
  });
  const { events, end } = await outcomeOf(it.job, {
    transaction: { login },
    run: { ...it.run, cancel: cancel.signal },
  });
  expect(events.find(({ event }) => event === 'artifacts_fail')).toMatchObject({
    error: { name: 'job-cancelled' },
  });
  expect(outputOf(events, 'cleanup')).toEqual(['swept']);
  expect(end).toMatchObject({ status: 'cancelled', outcome: 'rolled-back' });
});

test('a run in several processes places attachments before its first command, and fetches in its last', async () => {
  const output = folder();
  const { transaction } = recorded();
  const it = job({
    transfers: transfers({ attachments: attachment(), artifacts: ['out'] }),
    phases: { unpack: { run: '' } },
  });
  const first = run(it, transaction, { output });
  const opened = await collect(openJob(first, { overlay: [], remove: [] }));
  const workDir = workDirOf(opened);
  onTestFinished(() => expect(existsSync(workDir)).toBe(false));
  const later = () => run(it, transaction, { output, ledger: first.ledger });
  const command = (text: string) => ({ run: text, env: {}, where: 'host' as const });
  const copy = command('cp -r "$SAVEPOINT_WORK_DIR/sent" "$SAVEPOINT_WORK_DIR/out"');
  expect(namesOf(await collect(runBetween(later(), 'exec', copy)))).toEqual([
    ...['unpack_start', 'progress', 'unpack_success', 'exec_start', 'exec_success'],
  ]);
  expect(namesOf(await collect(runBetween(later(), 'exec-2', command('true'))))).toEqual([
    ...['exec-2_start', 'exec-2_success'],
  ]);
  expect(namesOf(await collect(finishJob(later(), 'success')))).toEqual([
    ...['artifacts_start', 'progress', 'artifacts_success', 'transaction_commit', 'job_end'],
  ]);
  expect(readFileSync(join(output, 'artifacts/out/f'), 'utf8')).toBe('from the controller');
});

test('a directory that cannot be removed is told, and hides no outcome', async () => {
  const it = scene({ transfers: transfers({ artifacts: ['log'] }), phases: { test: 'true' } });
  const local = openLocal();
  const login = {
    name: local.name,
    run: (command: Parameters<typeof local.run>[0]) => {
      const removes = command.argv.some((word) => word.startsWith('rm -rf'));
      return local.run(removes ? { argv: ['sh', '-c', 'echo stays >&2; exit 1'] } : command);
    },
  };
  mkdirSync(join(it.output, 'x'));
  writeFileSync(join(it.output, 'x/y'), '');
  const { events, end } = await outcomeOf(it.job, { ...it, transaction: { login } });
  const workDir = workDirOf(events);
  expect(events).toContainEqual(
    expect.objectContaining({
      kind: 'warning',
      message: `The work directory ${workDir} cannot be removed: stays`,
    }),
  );
  expect(end.outcome).toBe('rolled-back');
  await local.run({ argv: ['rm', '-r', workDir] }).exit;
});
