import { SavepointError } from '../errors.ts';
import type { Host } from '../host/host.ts';
import { openHost } from '../host/open.ts';
import type { Flags } from '../job/flags.ts';
import type { Job } from '../job/job.ts';
import type { Io } from './io.ts';
import { jobsOf } from './options.ts';

/**
 * Opens the host that the options name, this machine without any, for a command that is about the
 * host and not about a job.
 * @param name wins over `--host`.
 */
export async function withHost(
  name: string | undefined,
  flags: Flags,
  io: Io,
  act: (host: Host, job: Job) => Promise<void>,
): Promise<void> {
  // A job has to track something; without --track only its host is of interest.
  const track = flags.track ?? ['/etc'];
  const asked = { ...flags, ...(name !== undefined && { host: name }), track };
  const { jobs } = await jobsOf(asked, io, undefined);
  const [job] = jobs;
  if (!job) throw new SavepointError('defect', { message: 'Options made no job.' });
  const passphrase = io.env.SAVEPOINT_KEY_PASSPHRASE;
  await using host = await openHost(job.host, passphrase === undefined ? {} : { passphrase });
  await act(host, job);
}
