import { SavepointError } from '../errors.ts';
import { type Guard, guardInUse } from '../guard/releases.ts';
import { locate } from '../host/locate.ts';
import type { HostTarget } from '../host/target.ts';
import type { Trust } from '../host/trust.ts';
import type { Job } from '../job/job.ts';
import { type Change, readChange } from '../job/overlay.ts';
import { keepsPhases } from '../transaction/phase-process.ts';
import { prepare } from '../transaction/prepare.ts';
import type { SavedRun } from './saved.ts';
import { withScratchRoot } from './scratch.ts';
import { checkAttachments } from './transfers.ts';

/** A job that is ready to begin; nothing of the host was touched yet. */
export interface Plan {
  job: Job;
  /** How its host is reached, with what a record never holds: the text of a key. */
  host: HostTarget;
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
  /** What may run on this machine, whatever the job says. */
  trust?: Trust;
}

/**
 * Reads the rest of what the job needs and names its transaction.
 * @throws SavepointError of class usage.
 */
export async function planRun(asked: Job, options: PlanOptions): Promise<Plan> {
  const guard = guardInUse(options.guard);
  refuseReboots(asked, guard);
  const host = await locate(asked.host, options.trust);
  const change = await readChange(asked);
  checkAttachments(asked);
  const job = await withScratchRoot(asked);
  const record = prepare(job, host, guard, options.holder);
  return {
    job,
    host,
    change,
    saved: {
      version: 1,
      record,
      job: withoutKey(job),
      ...(host.type === 'backend' && { backend: host.backend }),
      output: options.output(record.id),
      ...(job.scratch !== undefined && { scratch: job.root }),
    },
  };
}

/** What is written to disk has no private key in it. */
function withoutKey(job: Job): Job {
  if (job.host.type === 'local') return job;
  const { keyText: _secret, ...host } = job.host;
  return { ...job, host };
}

/** A guard that knows nothing of expected reboots would roll back at boot, in the middle of the job. */
function refuseReboots({ check, phases }: Job, { version }: Guard): void {
  const named = [...(check ? [{ ...check, name: 'check' }] : []), ...phases];
  const phase = named.find(({ reboot }) => reboot !== undefined);
  if (!phase || keepsPhases(version)) return;
  throw new SavepointError('guard-unavailable', {
    message: `Phase ${phase.name} expects its host to restart, which guard ${version} does not allow for.`,
    details: { phase: phase.name, guard: version, allowed: 'guard 1.1.0 or later' },
  });
}
