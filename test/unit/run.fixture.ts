import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openLocal } from '../../src/host/local.ts';
import type { Job, JobPhase, PhaseName } from '../../src/job/job.ts';
import { startOnController } from '../../src/run/controller.ts';
import type { EventOf, RunEvent } from '../../src/run/events.ts';
import { newLedger } from '../../src/run/ledger.ts';
import { masker } from '../../src/run/mask.ts';
import type { Run } from '../../src/run/phases.ts';
import { runJob } from '../../src/run/run.ts';
import { News } from '../../src/transaction/news.ts';
import type { Decided, Outcome, Transaction } from '../../src/transaction/types.ts';

type PhaseOverride = string | Partial<JobPhase>;

/** A job with every default; phases may be given as a command alone. */
export function job(
  overrides: Partial<Omit<Job, 'phases'>> & {
    phases?: Partial<Record<PhaseName, PhaseOverride>>;
  } = {},
): Job {
  const { phases = {}, ...rest } = overrides;
  return {
    name: 'try-it',
    directory: tmpdir(),
    host: { type: 'local', sudo: false },
    root: '/',
    track: [{ path: '/etc/apt' }],
    presets: [],
    remove: [],
    onSuccess: 'commit',
    onConflict: 'backup',
    degraded: false,
    lease: 120,
    renew: 15,
    deadline: 21_600,
    lockTimeout: 0,
    refresh: [],
    probe: [],
    env: {},
    extensions: {},
    ...rest,
    phases: Object.entries(phases).map(([name, given]): JobPhase => {
      const command = typeof given === 'string' ? { run: given } : given;
      return { name: name as PhaseName, run: 'true', env: {}, where: 'host', ...command };
    }),
  };
}

export interface Recorded {
  /** The verbs that were asked for, in order. */
  verbs: string[];
  transaction: Transaction;
}

/**
 * A transaction on no host: it decides nothing, while its phases are real processes. For what the
 * run does around the verbs; what the verbs do to a host is tested with the real guard.
 */
export function recorded(overrides: Partial<Transaction> = {}): Recorded {
  const verbs: string[] = [];
  const local = openLocal();
  const decided = (decision: Decided['decision'], outcome: Outcome): Decided => ({
    decision,
    outcome,
    by: 'controller',
    paths: [],
    diff: '',
    packages: '',
    warnings: [],
  });
  const own: Transaction = {
    news: new News(),
    record: {
      version: 1,
      id: 'tx-1',
      token: 'token-of-the-test',
      fence: 1,
      host: { type: 'local', sudo: false },
      root: '/',
      guard: { version: '1.0.0', sha256: '0'.repeat(64) },
      request: {
        holder: 'a test',
        track: ['/etc/apt'],
        lease: 120,
        deadline: 21_600,
        renew: 15,
        lockTimeout: 0,
        onConflict: 'backup',
        degraded: false,
        refresh: [],
        probe: [],
      },
    },
    login: local,
    begin: async () => ({ entries: 1, bytes: 1, bootId: 'boot', warnings: [] }),
    apply: async () => ({ changed: [], diff: '' }),
    exec: (command) => startOnController(local, command, tmpdir()),
    renew: async () => undefined,
    running: async () => undefined,
    commit: async () => decided('commit', 'committed'),
    rollback: async () => decided('rollback', 'rolled-back'),
  };
  const merged = { ...own, ...overrides };
  const noting = <K extends 'begin' | 'apply' | 'commit' | 'rollback'>(verb: K) =>
    ((...args: []) => {
      verbs.push(verb);
      return (merged[verb] as (...args: []) => unknown)(...args);
    }) as Transaction[K];
  const transaction: Transaction = {
    ...merged,
    begin: noting('begin'),
    apply: noting('apply'),
    commit: noting('commit'),
    rollback: noting('rollback'),
  };
  return { verbs, transaction };
}

export function run(it: Job, transaction: Transaction, overrides: Partial<Run> = {}): Run {
  return {
    job: it,
    transaction,
    controller: openLocal(),
    output: join(tmpdir(), 'savepoint-no-output'),
    masker: masker([]),
    ledger: newLedger(),
    cancel: new AbortController().signal,
    abandon: new AbortController().signal,
    ...overrides,
  };
}

/** Runs a whole job on a recorded transaction. */
export async function outcomeOf(
  it: Job,
  options: { transaction?: Partial<Transaction>; run?: Partial<Run> } = {},
): Promise<{ events: RunEvent[]; names: string[]; verbs: string[]; end: EventOf<'job_end'> }> {
  const { verbs, transaction } = recorded(options.transaction);
  const events = await collect(
    runJob(run(it, transaction, options.run), { overlay: [], remove: [] }),
  );
  const end = events.at(-1);
  if (end?.kind !== 'job_end') throw new Error('the job has no end');
  return { events, names: namesOf(events), verbs, end };
}

export async function collect(events: AsyncIterable<RunEvent>): Promise<RunEvent[]> {
  const all: RunEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

/** The names of all events but output. */
export function namesOf(events: RunEvent[]): string[] {
  return events.filter(({ kind }) => kind !== 'output').map(({ event }) => event);
}

export function outputOf(events: RunEvent[], phase: string): string[] {
  return events.flatMap((it) => (it.kind === 'output' && it.phase === phase ? [it.line] : []));
}
