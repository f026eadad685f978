import { guardInUse } from '../guard/releases.ts';
import type { Job } from '../job/job.ts';
import { type Change, readChange } from '../job/overlay.ts';
import { prepare } from '../transaction/prepare.ts';
import type { SavedRun } from './saved.ts';
import { withScratchRoot } from './scratch.ts';
import { checkAttachments } from './transfers.ts';

/** A job that is ready to begin; nothing of the host was touched yet. */
export interface Plan {
  job: Job;
  change: Change;
  /** To be kept before anything else happens. */
  saved: SavedRun;
}

export interface PlanOptions {
  /** Who asks, for those who find the host taken. */
  holder: string;
  /** Absolute path of the output folder, from the transaction's id. */
  output: (id: string) => string;
  /** SHA-256 of the guard to use instead of the pinned one. */
  guard?: string | undefined;
}

/**
 * Reads the rest of what the job needs and names its transaction.
 * @throws SavepointError of class usage.
 */
export async function planRun(asked: Job, options: PlanOptions): Promise<Plan> {
  const guard = guardInUse(options.guard);
  const change = await readChange(asked);
  checkAttachments(asked);
  const job = await withScratchRoot(asked);
  const record = prepare(job, guard, options.holder);
  return {
    job,
    change,
    saved: {
      version: 1,
      record,
      job: { ...job, host: record.host },
      output: options.output(record.id),
      ...(job.scratch !== undefined && { scratch: job.root }),
    },
  };
}
