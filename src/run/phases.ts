import { SavepointError } from '../errors.ts';
import type { Host } from '../host/host.ts';
import { shortName } from '../host/target.ts';
import type { Job, JobCommand } from '../job/job.ts';
import type { PhaseProcess, Transaction } from '../transaction/types.ts';
import { fetchArtifacts } from './artifacts.ts';
import type { RunBackend } from './backend.ts';
import { startOnController } from './controller.ts';
import { errorRecord } from './error-record.ts';
import type { EventBody, ProcessEnd } from './events.ts';
import { type Ledger, wasCancelled } from './ledger.ts';
import type { Masker } from './mask.ts';
import { cancellation, type PhaseOptions, type PhaseRun, runPhase } from './phase.ts';
import { withAttachments } from './transfers.ts';

/** One run of a job and all it works with. */
export interface Run {
  job: Job;
  transaction: Transaction;
  /** Runs the phases that belong on the controller. */
  controller: Host;
  /** Absolute path of the folder for what the run leaves. */
  output: string;
  masker: Masker;
  ledger: Ledger;
  /** Takes the host back once nothing is open there. */
  backend?: RunBackend;
  /** Stops the phase that runs and skips the others; cleanup still runs. */
  cancel: AbortSignal;
  /** Stops cleanup too. */
  abandon: AbortSignal;
  /** Leave cleanup to a later process: after a cancel, when that has more time, or always. */
  leaveCleanup?: 'cancelled' | 'always';
  /** Seconds that cleanup may take at most, where the process itself has no more. */
  cleanupLimit?: number;
}

/** The phases that a job's events name, in the order they run. */
export function phasesOf(job: Job): string[] {
  const names: string[] = job.phases.map(({ name }) => name);
  // Fetched when the phases are over, but before cleanup takes anything away.
  const last = names.at(-1) === 'cleanup' ? -1 : names.length;
  if (job.transfers?.artifacts.length) names.splice(last, 0, 'artifacts');
  return [...(job.check ? ['check'] : []), ...names];
}

/** Runs the check on the changed configuration, if the job has one. */
export async function* runCheck(run: Run): AsyncGenerator<EventBody> {
  const { check } = run.job;
  if (!check) return;
  const reason = skipReason(run);
  if (reason) yield { kind: 'phase_skipped', phase: 'check', reason };
  else yield* runPhase(phaseRun(run, 'check', check), optionsOf(run));
}

/**
 * Runs the job's phases. The first failure skips the later ones; cleanup runs whenever the
 * transaction was opened, with its own time budget, and a cancel does not stop it.
 */
export async function* runPhases(run: Run): AsyncGenerator<EventBody> {
  for (const phase of run.job.phases) {
    if (phase.name === 'cleanup' || wasPlaced(run, phase.name)) continue;
    const reason = skipReason(run);
    if (reason) yield { kind: 'phase_skipped', phase: phase.name, reason };
    else yield* runPhase(phaseRun(run, phase.name, phase), optionsOf(run));
  }
  yield* noteCancel(run);
  if (run.leaveCleanup === 'always') return;
  if (run.leaveCleanup === 'cancelled' && wasCancelled(run.ledger)) return;
  yield* fetchArtifacts(run);
  yield* runCleanup(run);
}

/**
 * What follows it, with the job's attachments placed first, unless that was done. Of a run whose
 * phases are in processes of their own, or are none of the job's, the first one places them.
 */
export async function* afterAttachments(
  run: Run,
  name: string,
  following: AsyncIterable<EventBody>,
): AsyncGenerator<EventBody> {
  const unpack = run.job.phases.find((phase) => phase.name === 'unpack');
  if (unpack && run.job.transfers?.attachments.length && !wasPlaced(run, 'unpack')) {
    const reason = skipReason(run);
    if (reason) yield { kind: 'phase_skipped', phase: 'unpack', reason };
    else yield* runPhase(phaseRun(run, 'unpack', unpack), optionsOf(run));
  }
  if (run.ledger.phases.unpack !== 'failure') yield* following;
  else yield { kind: 'phase_skipped', phase: name, reason: 'unpack failed' };
}

/** True for an unpack phase that a command between the halves has run already. */
function wasPlaced({ ledger }: Run, name: string): boolean {
  return name === 'unpack' && ledger.phases.unpack !== undefined;
}

/** Runs the job's cleanup, unless it has run before or there is no transaction to clean up in. */
export async function* runCleanup(run: Run): AsyncGenerator<EventBody> {
  const cleanup = run.job.phases.find(({ name }) => name === 'cleanup');
  if (!cleanup || run.ledger.phases.cleanup) return;
  if (!run.ledger.opened) {
    yield { kind: 'phase_skipped', phase: 'cleanup', reason: 'no transaction was opened' };
    return;
  }
  // Jobs that were loaded always have a time-out here: what no cancel stops must end by itself.
  const { timeout = Number.POSITIVE_INFINITY } = cleanup;
  const limit = Math.min(timeout, run.cleanupLimit ?? timeout);
  const timed = Number.isFinite(limit) ? { ...cleanup, timeout: limit } : cleanup;
  yield* runPhase(phaseRun(run, 'cleanup', timed), { ...optionsOf(run), cancel: run.abandon });
}

/** Runs a command that is none of the job's phases as one of its own. */
export function runCommand(run: Run, name: string, command: JobCommand): AsyncGenerator<EventBody> {
  return runPhase(phaseRun(run, name, command), optionsOf(run));
}

function optionsOf({ masker, cancel, transaction }: Run): PhaseOptions {
  return { masker, cancel, news: transaction.news };
}

/** A cancel that met no running phase has no phase to be the error of. */
async function* noteCancel({ cancel, ledger }: Run): AsyncGenerator<EventBody> {
  if (!cancel.aborted) return;
  const error = cancellation(cancel);
  if (ledger.troubles.some((trouble) => trouble.error.name === error.name)) return;
  yield { kind: 'error', error: errorRecord(error) };
}

/** Why a phase cannot run now; undefined when it can. */
function skipReason({ ledger, cancel }: Run): string | undefined {
  if (!ledger.opened) return 'no transaction was opened';
  const [trouble] = ledger.troubles;
  const name = trouble?.error.name ?? (cancel.aborted ? cancellation(cancel).name : undefined);
  if (name === 'job-cancelled') return 'the job was cancelled';
  if (trouble) return trouble.phase ? `${trouble.phase} failed` : 'the change was not applied';
  return cancel.aborted ? 'the transaction ended early' : undefined;
}

function phaseRun(run: Run, name: string, command: JobCommand): PhaseRun {
  return withAttachments(run, command, commandRun(run, name, command));
}

function commandRun(run: Run, name: string, command: JobCommand): PhaseRun {
  const { job, transaction, controller } = run;
  const scripts = [command.run].flat();
  const { where, timeout, reboot } = command;
  return {
    name,
    where,
    ...(timeout !== undefined && { timeout }),
    commands: scripts.length,
    start: (index, reboots, signal) => {
      const count = reboot === undefined ? {} : { SAVEPOINT_REBOOTS: String(reboots) };
      const start = {
        phase: name,
        script: scripts[index] as string,
        env: { ...job.env, ...command.env, ...ownEnvironment(run), ...count },
        ...(reboot !== undefined && { reboot }),
      };
      return where === 'controller'
        ? bracketed(transaction, () => startOnController(controller, start, job.directory))
        : transaction.exec(start, signal);
    },
    failed: (end) => commandFailed(name, end),
  };
}

/** The host learns that what changes from now on is the job's doing, though not by its guard. */
async function bracketed(
  transaction: Transaction,
  start: () => Promise<PhaseProcess>,
): Promise<PhaseProcess> {
  await transaction.running(true);
  const process = await start();
  const exit = process.exit.finally(() => transaction.running(false));
  return { ...process, exit };
}

/** What every phase is told; the directory of the job file exists only on the controller. */
function ownEnvironment({ job, transaction, ledger }: Run): Record<string, string> {
  const { record } = transaction;
  const { workDir } = ledger;
  return {
    SAVEPOINT_HOST: shortName(record.host),
    SAVEPOINT_ROOT: record.root,
    SAVEPOINT_TRANSACTION: record.id,
    SAVEPOINT_JOB_DIR: job.directory,
    ...(workDir !== undefined && { SAVEPOINT_WORK_DIR: workDir }),
  };
}

function commandFailed(phase: string, end: ProcessEnd): SavepointError {
  const how = end.signal ? `was ended by ${end.signal}` : `failed with exit status ${end.exit}`;
  return phase === 'check'
    ? new SavepointError('check-failed', {
        message: `The check of the changed configuration ${how}.`,
        details: { phase, ...end },
      })
    : new SavepointError('phase-failed', {
        message: `Phase ${phase} ${how}.`,
        details: { phase, ...end },
      });
}
