import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Job } from '../job/job.ts';

/** The job with its throw-away root made and filled, for a job that asks for one. */
export async function withScratchRoot(job: Job): Promise<Job> {
  if (job.scratch === undefined) return job;
  const root = await mkdtemp(join(tmpdir(), 'savepoint-scratch-'));
  await cp(job.scratch, root, {
    recursive: true,
    preserveTimestamps: true,
    verbatimSymlinks: true,
  });
  return { ...job, root };
}

/** Removes the throw-away root of a job that has one. */
export async function removeScratchRoot(root: string | undefined): Promise<void> {
  if (root !== undefined) await rm(root, { recursive: true, force: true });
}
