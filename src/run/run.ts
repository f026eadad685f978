import { SavepointError } from '../errors.ts';
import { hostName } from '../host/target.ts';
import type { JobCommand } from '../job/job.ts';
import { keepLease } from '../transaction/keeper.ts';
import type { Change } from '../transaction/types.ts';
import { fetchArtifacts } from './artifacts.ts';
import { releaseBackend } from './backend.ts';
import { decide } from './decide.ts';
import { jobEnd } from './ending.ts';
import { errorRecord } from './error-record.ts';
import { type EventBody, eventName, type JobStatus, type RunEvent } from './events.ts';
import { mayBeOpen, note } from './ledger.ts';
import { meanwhile } from './meanwhile.ts';
import {
  afterAttachments,
  phasesOf,
  type Run,
  runCheck,
  runCleanup,
  runCommand,
  runPhases,
} from './phases.ts';
import { findPlace, leavePlace, takePlace } from './transfers.ts';
import { type Verdict, verdictOf } from './verdict.ts';

/** A whole job in one process: open, run, decide. What fails is in the events, never thrown. */
export async function* runJob(run: Run, change: Change): AsyncGenerator<RunEvent> {
  let ended = false;
  try {
    yield* openAndRun(run, change);
    if (mayBeOpen(run.ledger)) yield* published(run, end(run, 'success'));
    ended = true;
  } finally {
    // Whoever stops listening still owes the host its old state.
    if (!ended && run.ledger.opened && run.ledger.outcome === undefined) {
      await run.transaction.rollback('nobody waited for the end of the job');
    }
  }
}

/**
 * The first half, for callers with a later process that decides: begin, apply, check, and the
 * phases. Where no transaction came to be there is no second half, and the job ends here.
 */
export async function* openAndRun(run: Run, change: Change): AsyncGenerator<RunEvent> {
  yield* published(run, begin(run));
  using lease = hold(run);
  yield* published(run, applyAndCheck(lease.run, change));
  yield* published(run, runPhases(lease.run));
  if (!mayBeOpen(run.ledger)) yield* published(run, end(run, 'failure'));
}

/** The first half without phases, for callers that run commands of their own. */
export async function* openJob(run: Run, change: Change): AsyncGenerator<RunEvent> {
  yield* published(run, begin(run));
  using lease = hold(run);
  yield* published(run, applyAndCheck(lease.run, change));
  if (!mayBeOpen(run.ledger)) yield* published(run, end(run, 'failure'));
}

/** A command between the halves, as a phase of its own. */
export async function* runBetween(
  run: Run,
  name: string,
  command: JobCommand,
): AsyncGenerator<RunEvent> {
  using lease = hold(run);
  const events = runCommand(lease.run, name, command);
  yield* published(run, afterAttachments(lease.run, name, events));
}

/** The job's own phases, between the halves; cleanup is the second half's. */
export async function* runPhasesBetween(run: Run): AsyncGenerator<RunEvent> {
  using lease = hold(run);
  yield* published(run, runPhases({ ...lease.run, leaveCleanup: 'always' }));
}

/**
 * The second half, in a later process: ends what an interrupted first half left unended, runs
 * the cleanup it owes, decides, and ends the job.
 * @param status What the CI says of the whole job.
 * @param asked A rollback that somebody asked for, whatever the status.
 */
export async function* finishJob(
  run: Run,
  status: JobStatus,
  asked?: Verdict,
): AsyncGenerator<RunEvent> {
  yield* published(run, closeInterrupted(run));
  using lease = hold(run);
  yield* published(run, fetchArtifacts(lease.run));
  yield* published(run, runCleanup(lease.run));
  yield* published(run, end(run, status, asked));
}

/** Numbers, dates and masks what happens, and takes it into account in the ledger. */
export async function* published(
  run: Pick<Run, 'ledger' | 'masker'>,
  bodies: AsyncIterable<EventBody>,
): AsyncGenerator<RunEvent> {
  for await (const raw of bodies) {
    // Output was masked as a stream, where a secret may lie across two lines.
    const body = raw.kind === 'output' ? raw : run.masker.value(raw);
    const seq = run.ledger.seq + 1;
    const time = new Date().toISOString();
    const event: RunEvent = { seq, time, event: eventName(body), ...body };
    note(run.ledger, event);
    yield event;
  }
}

async function* begin(run: Run): AsyncGenerator<EventBody> {
  const { job, transaction } = run;
  const { id, host, root } = transaction.record;
  yield {
    kind: 'job_start',
    job: job.name,
    transaction: id,
    host: hostName(host),
    root,
    track: job.track.map(({ path }) => path),
    phases: phasesOf(job),
  };
  try {
    const place = await findPlace(run);
    const begun = yield* meanwhile(transaction.news, transaction.begin());
    const { entries, bytes, warnings } = begun;
    yield { kind: 'transaction_begin', entries, bytes };
    for (const message of warnings) yield { kind: 'warning', message };
    yield* takePlace(run, place);
  } catch (error) {
    yield { kind: 'error', error: errorRecord(error) };
  }
}

async function* applyAndCheck(run: Run, change: Change): AsyncGenerator<EventBody> {
  try {
    if (run.ledger.opened && !run.cancel.aborted) {
      const { transaction } = run;
      const applied = yield* meanwhile(transaction.news, transaction.apply(change));
      yield { kind: 'transaction_applied', ...applied };
    }
  } catch (error) {
    yield { kind: 'error', error: errorRecord(error) };
  }
  yield* runCheck(run);
}

/** Renews the lease while the job runs; a host that ended the transaction by itself cancels it. */
function hold(run: Run): Disposable & { run: Run } {
  if (!run.ledger.opened) return { run, [Symbol.dispose]: () => undefined };
  const over = new AbortController();
  const lease = keepLease(run.transaction, (error) => over.abort(error));
  const either = (signal: AbortSignal) => AbortSignal.any([signal, over.signal]);
  return {
    run: { ...run, cancel: either(run.cancel), abandon: either(run.abandon) },
    [Symbol.dispose]: () => lease[Symbol.dispose](),
  };
}

async function* end(run: Run, status: JobStatus, asked?: Verdict): AsyncGenerator<EventBody> {
  if (mayBeOpen(run.ledger)) {
    yield* decide(run, asked ?? verdictOf(run.job, run.ledger, status));
    yield* leavePlace(run);
  }
  yield* releaseBackend(run);
  const { expect } = run.job;
  const { outcome } = run.ledger;
  if (expect && outcome && outcome !== expect) {
    const error = new SavepointError('outcome-unexpected', {
      message: `The job expects the outcome ${expect}, but ended with ${outcome}.`,
      details: { expected: expect, outcome },
    });
    yield { kind: 'error', error: errorRecord(error) };
  }
  yield jobEnd(run.job, run.ledger, status);
}

/** A process that was killed wrote no end for its phase and no word on the later ones. */
async function* closeInterrupted({ job, ledger }: Run): AsyncGenerator<EventBody> {
  const { running } = ledger;
  if (running) {
    const { phase, since } = running;
    const error = new SavepointError('job-cancelled', {
      message: `Phase ${phase} was cut off: the process that ran it ended before it did.`,
      details: { phase },
    });
    const duration = Math.max(0, Date.now() - Date.parse(since)) / 1000;
    yield { kind: 'phase_fail', phase, duration, error: errorRecord(error) };
  }
  for (const phase of phasesOf(job)) {
    if (phase === 'cleanup' || phase === 'artifacts' || ledger.phases[phase]) continue;
    yield { kind: 'phase_skipped', phase, reason: 'nothing had run it when the job ended' };
  }
}
