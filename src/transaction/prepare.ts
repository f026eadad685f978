import { randomBytes } from 'node:crypto';
import type { Guard } from '../guard/releases.ts';
import { type HostTarget, withoutKeyText } from '../host/target.ts';
import type { Job } from '../job/job.ts';
import type { TransactionRecord } from './types.ts';

/**
 * The record of a transaction that is about to be opened for a job. Touches no host: save it first,
 * then begin, so that whatever dies in between, somebody can still end it.
 * @param host how the job's host is reached.
 * @param holder who asks, in one line, for those who are refused the host meanwhile.
 */
export function prepare(
  job: Omit<Job, 'host'>,
  host: HostTarget,
  guard: Guard,
  holder: string,
): TransactionRecord {
  return {
    version: 1,
    id: newId(),
    token: randomBytes(32).toString('hex'),
    fence: 1,
    host: withoutKeyText(host),
    root: job.root,
    guard: { version: guard.version, sha256: guard.sha256 },
    request: {
      holder: holder.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 500),
      track: job.track.map(({ path }) => path),
      lease: job.lease,
      deadline: job.deadline,
      renew: job.renew,
      lockTimeout: job.lockTimeout,
      onConflict: job.onConflict,
      degraded: job.degraded,
      refresh: job.refresh.map(({ script }) => script),
      probe: job.probe.map(({ script }) => script),
    },
  };
}

/** Sorts by time and is a name of a unit, a folder and a URL: `20261120t120000-1a2b3c4d`. */
function newId(): string {
  const now = new Date().toISOString().slice(0, 19).replace(/[-:]/g, '').toLowerCase();
  return `${now}-${randomBytes(4).toString('hex')}`;
}
