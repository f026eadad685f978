import { SavepointError } from '../errors.ts';
import type { Host } from '../host/host.ts';
import type { HostTarget } from '../host/target.ts';
import type { Flags } from '../job/flags.ts';
import type { Job } from '../job/job.ts';
import type { Io } from './io.ts';
import { jobsOf } from './options.ts';
import { reach } from './reach.ts';

/**
 * Opens the host that the options name, this machine without any, for a command that is about the
 * host and not about a job.
 * @param name wins over `--host`.
 */
export async function withHost(
  name: string | undefined,
  flags: Flags,
  io: Io,
  act: (host: Host, job: Job, target: HostTarget) => Promise<void>,
): Promise<void> {
  // A job has to track something; without --track only its host is of interest.
  const track = flags.track ?? ['/etc'];
  const asked = { ...flags, ...(name !== undefined && { host: name }), track };
  const { jobs } = await jobsOf(asked, io, undefined);
  const [job] = jobs;
  if (!job) throw new SavepointError('defect', { message: 'Options made no job.' });
  await using reached = await reach(job.host, flags, io);
  await act(reached.host, job, reached.target);
}
