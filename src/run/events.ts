import type { ErrorClass } from '../errors.ts';
import type { PhaseWhere } from '../job/job.ts';
import type { LinkNews } from '../transaction/news.ts';
import type { Decided, Outcome, PathChange } from '../transaction/types.ts';
import type { Progress } from '../transfer/progress.ts';

/** A SavepointError as it stands in events and results. */
export interface ErrorRecord {
  code: number;
  name: string;
  class: ErrorClass;
  reason: string;
  details: Record<string, unknown>;
  hint?: string;
  place?: Record<string, unknown>;
  causes: unknown[];
}

/** How the job itself went, apart from what became of the transaction. */
export type JobStatus = 'success' | 'failure' | 'cancelled';

/** What a phase left. `check` counts as a phase. */
export type PhaseStatus = 'success' | 'failure' | 'skipped';

/** The end of a process as events tell it: an exit status, or the signal that ended it. */
export interface ProcessEnd {
  exit?: number;
  signal?: string;
}

interface JobStart {
  kind: 'job_start';
  job: string;
  transaction: string;
  host: string;
  root: string;
  track: string[];
  /** In the order they run, `check` first where there is one. */
  phases: string[];
}

interface TransactionBegin {
  kind: 'transaction_begin';
  /** Files, directories and links that were copied, and their bytes. */
  entries: number;
  bytes: number;
}

/** Where attachments are placed and artifacts are looked for: on the host, for this run alone. */
interface WorkDir {
  kind: 'work_dir';
  path: string;
}

/** How far a phase that sends or fetches files is. Its end says so; one that lasts, every second. */
interface Transferred extends Progress {
  kind: 'progress';
  phase: string;
}

interface TransactionApplied {
  kind: 'transaction_applied';
  changed: PathChange[];
  /** Unified diff of what the change did to the tracked paths. */
  diff: string;
}

/** The transaction is over: the host's own decision, which may differ from what was asked. */
interface TransactionDecided extends Omit<Decided, 'decision' | 'warnings'> {
  /** Why this was asked for. */
  reason: string;
}

interface TransactionCommit extends TransactionDecided {
  kind: 'transaction_commit';
}

interface TransactionRollback extends TransactionDecided {
  kind: 'transaction_rollback';
}

interface PhaseStart {
  kind: 'phase_start';
  phase: string;
  where: PhaseWhere;
}

interface PhaseSuccess {
  kind: 'phase_success';
  phase: string;
  /** Seconds. */
  duration: number;
  exit: 0;
}

interface PhaseFail extends ProcessEnd {
  kind: 'phase_fail';
  phase: string;
  /** Seconds. */
  duration: number;
  error: ErrorRecord;
}

/** A phase that did not run has this one event, neither a start nor an end. */
interface PhaseSkipped {
  kind: 'phase_skipped';
  phase: string;
  reason: string;
}

export interface Output {
  kind: 'output';
  phase: string;
  stream: 'stdout' | 'stderr';
  /** Without its newline; secrets are masked, anything else is as the host printed it. */
  line: string;
  /** The line did not end here: it was longer than 64 KiB, or the stream had no last newline. */
  partial?: true;
}

interface Warning {
  kind: 'warning';
  message: string;
}

/** The host restarted in a phase that expected it, and the phase goes on. */
interface HostRebooted {
  kind: 'host_rebooted';
  phase: string;
  /** Reboots of this phase so far. */
  count: number;
  /** The boot id it has now. */
  boot: string;
}

/** Something outside any phase went wrong. */
interface Failure {
  kind: 'error';
  error: ErrorRecord;
}

interface JobEnd {
  kind: 'job_end';
  status: JobStatus;
  /** Missing when no transaction was opened, or when nobody could learn how it ended. */
  outcome?: Outcome;
  /** A transaction was, or may be, open, and nobody could learn how it ends. */
  undecided?: true;
  /** The job names this outcome as the one it must end with. */
  expected?: true;
  /** The error that decides the exit status. */
  error?: ErrorRecord;
  exit: number;
}

/** What happened, before it is numbered and dated. */
export type EventBody =
  | JobStart
  | TransactionBegin
  | WorkDir
  | Transferred
  | TransactionApplied
  | TransactionCommit
  | TransactionRollback
  | PhaseStart
  | PhaseSuccess
  | PhaseFail
  | PhaseSkipped
  | Output
  | LinkNews
  | HostRebooted
  | Warning
  | Failure
  | JobEnd;

/** One event of a run. `kind` tells TypeScript what it is, `event` is its public name. */
export type RunEvent = EventBody & {
  /** Counts from 1; goes on where the earlier process of the same transaction stopped. */
  seq: number;
  /** ISO 8601 in UTC, milliseconds. */
  time: string;
  /** `test_start`, `transaction_commit`, `output`, … */
  event: string;
};

export type EventKind = EventBody['kind'];
export type EventOf<K extends EventKind> = Extract<RunEvent, { kind: K }>;

/** The public name: a phase's own events carry the phase's name (Testflinger's names). */
export function eventName(body: EventBody): string {
  switch (body.kind) {
    case 'phase_start':
    case 'phase_success':
    case 'phase_fail':
    case 'phase_skipped':
      return body.kind.replace('phase', body.phase);
    default:
      return body.kind;
  }
}
