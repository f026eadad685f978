import { SavepointError } from '../errors.ts';
import type { BackendUse } from '../host/target.ts';
import type { Job } from '../job/job.ts';
import type { TransactionRecord } from '../transaction/types.ts';

/** All that a later process of the same run needs, frozen before the host was touched. */
export interface SavedRun {
  version: 1;
  record: TransactionRecord;
  /** Without the text of a key. */
  job: Job;
  /** Absolute: where the run's files are. */
  output: string;
  /** What has to take the host back at the end. */
  backend?: BackendUse;
  /** A throw-away root to remove at the end. */
  scratch?: string;
}

/** The job as the process that decides needs it: of the phases only cleanup has its command. */
export function withoutScripts({ check, phases, ...rest }: Job): Job {
  return {
    ...rest,
    ...(check && { check: { ...check, run: '', env: {} } }),
    phases: phases.map((phase) =>
      phase.name === 'cleanup' ? phase : { ...phase, run: '', env: {} },
    ),
    refresh: [],
    probe: [],
    extensions: {},
  };
}

/**
 * Reads back what an earlier process saved.
 * @param where it was read from, for messages.
 * @throws SavepointError `state-bad`.
 */
export function parseSaved(text: string, where: string): SavedRun {
  const bad = (message: string, cause?: unknown): SavepointError =>
    new SavepointError('state-bad', {
      message: `What is recorded in ${where} ${message}.`,
      details: { recorded: where },
      hint: 'The host rolls back by itself when its lease is over; `savepoint recover` does at once.',
      ...(cause !== undefined && { cause }),
    });
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw bad('is not JSON', error);
  }
  if (typeof value !== 'object' || value === null) throw bad('is not a transaction');
  if (!('version' in value) || value.version !== 1) {
    throw bad('was written by another version of Savepoint');
  }
  if (!('record' in value && 'job' in value && 'output' in value)) {
    throw bad('is not a transaction');
  }
  return value as SavedRun;
}
