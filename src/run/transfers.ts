import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { SavepointError, sentenceOf } from '../errors.ts';
import type { Job, JobCommand } from '../job/job.ts';
import { isWithin } from '../job/tracked-paths.ts';
import type { PhaseProcess } from '../transaction/types.ts';
import { again } from '../transfer/again.ts';
import { download } from '../transfer/download.ts';
import { type Transfer, upload } from '../transfer/upload.ts';
import { type Source, survey } from '../transfer/walk.ts';
import { findWorkDir, makeWorkDir, removeWorkDir } from '../transfer/work-dir.ts';
import type { EventBody } from './events.ts';
import type { PhaseRun } from './phase.ts';
import type { Run } from './phases.ts';

/** Where artifacts are, in the folder of what the run leaves. */
export const ARTIFACTS = 'artifacts';

/**
 * Looks at everything the job would send, before any host is touched.
 * @throws SavepointError `files-missing`, `files-bad-entry`
 */
export function checkAttachments(job: Job): void {
  survey(sourcesOf(job));
}

function sourcesOf({ transfers }: Job): Source[] {
  return transfers?.attachments.map(({ local, agent }) => ({ local, as: agent })) ?? [];
}

/**
 * Where on the host the work directory will be, for a job that needs one. Changes nothing there.
 * @throws SavepointError `transfer-refused`
 */
export async function findPlace({ job, transaction }: Run): Promise<string | undefined> {
  if (!job.transfers) return undefined;
  const { login, record } = transaction;
  const place = await findWorkDir(login, record.id);
  const below = record.root === '/' ? '' : record.root;
  const tracked = job.track.find(({ path }) => isWithin(place, `${below}${path}`));
  if (!tracked) return place;
  throw new SavepointError('transfer-refused', {
    message: `The work directory would be ${place}, which is below the tracked path ${tracked.path}.`,
    details: { host: login.name, place, tracked: tracked.path },
    hint: 'Set TMPDIR for the login to another directory, or do not track this one.',
  });
}

/** Makes the work directory; the transaction is open. */
export async function* takePlace(
  { transaction }: Run,
  path: string | undefined,
): AsyncGenerator<EventBody> {
  if (path === undefined) return;
  await makeWorkDir(transaction.login, path);
  yield { kind: 'work_dir', path };
}

/** Removes the work directory, once no process of the job can be at work in it. */
export async function* leavePlace({ ledger, transaction }: Run): AsyncGenerator<EventBody> {
  if (ledger.workDir === undefined || ledger.outcome === undefined) return;
  try {
    await removeWorkDir(transaction.login, ledger.workDir);
  } catch (error) {
    yield { kind: 'warning', message: sentenceOf(error) };
  }
}

/** The phase as it is, or, where it is the one to do so, with the attachments placed before its command. */
export function withAttachments(run: Run, command: JobCommand, phase: PhaseRun): PhaseRun {
  if (phase.name !== 'unpack' || sourcesOf(run.job).length === 0) return phase;
  let placed = false;
  return {
    ...phase,
    start: async (...given) => {
      if (placed) return phase.start(...given);
      placed = true;
      const sending = startSending(run);
      return command.run === '' ? alone(sending) : followedBy(sending, () => phase.start(...given));
    },
  };
}

function startSending(run: Run): Transfer {
  const { login, record } = run.transaction;
  const into = workDirOf(run);
  const begin = () => upload(login, sourcesOf(run.job), { into, transaction: record.id });
  return again(begin, record.request.lease);
}

/** Fetches the artifacts into the folder of what the run leaves. */
export function startFetching(run: Run): PhaseProcess {
  const { transaction, job, ledger, output } = run;
  const { artifacts: wanted = [], limits = { size: 0, entries: 0 } } = job.transfers ?? {};
  const workDir = workDirOf(run);
  const paths = wanted.map((path) => (path.startsWith('/') ? path : `${workDir}/${path}`));
  const required = ledger.troubles.length === 0 && !run.cancel.aborted;
  const begin = () =>
    download(transaction.login, {
      paths,
      workDir,
      folder: join(output, ARTIFACTS),
      limits,
      transaction: transaction.record.id,
      required,
    });
  return alone(again(begin, transaction.record.request.lease));
}

function workDirOf({ ledger }: Run): string {
  if (ledger.workDir !== undefined) return ledger.workDir;
  throw new SavepointError('transfer-failed', { message: 'There is no work directory.' });
}

function alone({ stderr, exit, progress, kill }: Transfer): PhaseProcess {
  return { stdout: Readable.from([]), stderr, exit, progress, kill };
}

/** A transfer and the command after it as one process to who watches it. */
function followedBy(sending: Transfer, command: () => Promise<PhaseProcess>): PhaseProcess {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  sending.stderr.pipe(stderr, { end: false });
  let stopped = false;
  let current: Pick<PhaseProcess, 'kill'> = sending;
  const start = async (): Promise<PhaseProcess | undefined> => {
    try {
      await sending.exit;
      return stopped ? undefined : await command();
    } finally {
      await finished(sending.stderr, { writable: false });
    }
  };
  const proceed = async (): Promise<Awaited<PhaseProcess['exit']>> => {
    const process = await start().catch((error: unknown) => {
      stdout.end();
      stderr.end();
      throw error;
    });
    if (!process) {
      stdout.end();
      stderr.end();
      return { signal: 'SIGTERM' };
    }
    current = process;
    if (stopped) await process.kill();
    process.stdout.on('error', (error) => stdout.destroy(error)).pipe(stdout);
    process.stderr.on('error', (error) => stderr.destroy(error)).pipe(stderr);
    return await process.exit;
  };
  const exit = proceed();
  exit.catch(() => undefined);
  return {
    stdout,
    stderr,
    exit,
    progress: sending.progress,
    kill: async () => {
      stopped = true;
      await current.kill();
    },
  };
}
