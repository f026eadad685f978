import type { Job } from '../job/job.ts';
import type { JobStatus } from './events.ts';
import { type Ledger, wasCancelled } from './ledger.ts';

export interface Verdict {
  decision: 'commit' | 'rollback';
  /** For people: why. */
  reason: string;
}

/**
 * What is to become of the transaction. Only a job whose every phase passed, whose CI says
 * success and which asks for it is committed; anything unknown is a rollback.
 * @param status What the CI says of the whole job, steps outside Savepoint included.
 */
export function verdictOf(job: Job, ledger: Ledger, status: JobStatus): Verdict {
  const rollback = (reason: string): Verdict => ({ decision: 'rollback', reason });
  if (status === 'cancelled' || wasCancelled(ledger)) return rollback('the job was cancelled');
  const [trouble] = ledger.troubles;
  if (trouble) return rollback(trouble.phase ? `${trouble.phase} failed` : trouble.error.reason);
  const missing = unfinished(job, ledger);
  if (missing) return rollback(`${missing} did not run`);
  if (status === 'failure') return rollback('the job failed');
  if (job.onSuccess === 'rollback') return rollback('the job asks for it: on-success is rollback');
  return { decision: 'commit', reason: 'the job succeeded' };
}

/** The first part of the job that has no success to show. */
function unfinished(job: Job, ledger: Ledger): string | undefined {
  if (!ledger.opened) return 'the transaction';
  const names = [...(job.check ? ['check'] : []), ...job.phases.map(({ name }) => name)];
  return names.find((name) => ledger.phases[name] !== 'success');
}
