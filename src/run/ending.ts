import { constants } from 'node:os';
import { exitCodes } from '../errors.ts';
import type { Job } from '../job/job.ts';
import type { ErrorRecord, EventBody, JobStatus } from './events.ts';
import { type Ledger, mayBeOpen, type Trouble, wasCancelled } from './ledger.ts';

/** What runs whatever became of the job, so that its failure is always one. */
const ownPhases: ReadonlySet<string> = new Set(['artifacts', 'cleanup']);

/** The outcomes that are errors themselves, by the error that stands for each. */
const outcomeErrors: ReadonlySet<string> = new Set([
  'edited-by-others',
  'rolled-back-unhealthy',
  'rollback-failed',
]);

/**
 * The last event of a job: how it went, the error that decides, and the exit status: that of
 * the error's class, or 128 plus the signal's number for a job that a signal cancelled.
 * @param told What the CI says of the whole job, steps outside Savepoint included.
 */
export function jobEnd(
  job: Job,
  ledger: Ledger,
  told: JobStatus,
): Extract<EventBody, { kind: 'job_end' }> {
  const worst = worstOf(job, ledger, ledger.troubles);
  const own = !worst ? 'success' : wasCancelled(ledger) ? 'cancelled' : 'failure';
  return {
    kind: 'job_end',
    status: own === 'success' ? told : own,
    ...(ledger.outcome ? { outcome: ledger.outcome } : mayBeOpen(ledger) && { undecided: true }),
    ...(ledger.outcome && ledger.outcome === job.expect && { expected: true }),
    ...(worst && { error: worst.error }),
    exit: worst ? exitOf(worst.error) : told === 'success' ? 0 : exitCodes.job,
  };
}

/**
 * The exit status of a process that took over a run: it answers for its own troubles alone.
 * @param before How many troubles there were when it took over.
 */
export function exitSince(job: Job, ledger: Ledger, before: number): number {
  const worst = worstOf(job, ledger, ledger.troubles.slice(before));
  return worst ? exitOf(worst.error) : 0;
}

/** The same for the process that ends the run: phases that had failed are not its failure. */
export function exitOfFinish(job: Job, ledger: Ledger, before: number): number {
  const own = ledger.troubles
    .slice(before)
    .filter(({ phase }) => phase === undefined || ownPhases.has(phase));
  const worst = worstOf(job, ledger, own);
  return worst ? exitOf(worst.error) : 0;
}

function worstOf(job: Job, ledger: Ledger, troubles: Trouble[]): Trouble | undefined {
  return troubles
    .filter((trouble) => !isPardoned(job, ledger, trouble))
    .sort((a, b) => severity(a) - severity(b))[0];
}

/**
 * True when the job's `expect:` foresaw this: a check or phase that had to fail for the outcome
 * the job names, or the error that stands for that outcome. Cleanup and cancels have no pardon.
 */
function isPardoned(job: Job, ledger: Ledger, { error, phase }: Trouble): boolean {
  if (job.expect === undefined || wasCancelled(ledger)) return false;
  if (ledger.outcome !== undefined && ledger.outcome !== job.expect) return false;
  if (outcomeErrors.has(error.name)) return ledger.outcome === job.expect;
  const failsJob = error.class === 'job' && phase !== undefined && !ownPhases.has(phase);
  return failsJob && job.expect !== 'committed';
}

/** Lowest is worst: a host that needs a person comes before anything the job did. */
function severity({ error }: Trouble): number {
  if (error.name === 'job-cancelled') return 4;
  return { recovery: 0, internal: 1, host: 2, usage: 3, job: 5 }[error.class];
}

/** That of the error's class, or 128 plus the number of the signal that cancelled the job. */
export function exitOf(error: ErrorRecord): number {
  const { signal } = error.details;
  if (error.name === 'job-cancelled' && typeof signal === 'string') {
    const number = constants.signals[signal as NodeJS.Signals];
    if (number !== undefined) return 128 + number;
  }
  return exitCodes[error.class];
}
