import type { Complaint } from './complaints.ts';
import type { FieldPath } from './document.ts';
import { formatDuration, parseDuration } from './durations.ts';
import type { Job } from './job.ts';
import type { RawJob } from './schema.ts';

type Fail = (complaint: Complaint) => never;

/** FACTS: what a runner's sign of life may cost, and how long one may be missing. */
const defaults = { lease: 120, renew: 15, deadline: 6 * 3600, lockTimeout: 0 };

/** Longer than any job; keeps the arithmetic of a 32-bit shell on the host exact. */
const longest = 30 * 86_400;

/** A duration of the job in seconds, refused when it is outside of what makes sense there. */
export function seconds(
  value: number | string,
  path: FieldPath,
  limits: { least: number; most?: number },
  fail: Fail,
): number {
  const { least, most = longest } = limits;
  const result = parseDuration(String(value)) ?? Number.NaN;
  if (result >= least && result <= most) return result;
  return fail({
    name: 'job-bad-value',
    path,
    message: `"${path.join('.')}" is outside of what it can be.`,
    found: value,
    allowed: `${formatDuration(least)} to ${formatDuration(most)}`,
  });
}

/** How long the host waits for what. A lease must outlive at least one lost sign of life. */
export function resolveTiming(
  raw: RawJob,
  fail: Fail,
): Pick<Job, 'lease' | 'renew' | 'deadline' | 'lockTimeout'> {
  const { lease: rawLease = defaults.lease } = raw;
  const lease = seconds(rawLease, ['lease'], { least: 2 }, fail);
  const most = Math.floor(lease / 2);
  return {
    lease,
    renew:
      raw.renew === undefined
        ? Math.min(defaults.renew, most)
        : seconds(raw.renew, ['renew'], { least: 1, most }, fail),
    deadline: seconds(raw.deadline ?? defaults.deadline, ['deadline'], { least: 1 }, fail),
    lockTimeout: seconds(
      raw['lock-timeout'] ?? defaults.lockTimeout,
      ['lock-timeout'],
      { least: 0 },
      fail,
    ),
  };
}
