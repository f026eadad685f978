import { constants } from 'node:os';
import type {
  ErrorRecord,
  EventOf,
  JobStatus,
  PhaseStatus,
  ProcessEnd,
  RunEvent,
} from '../run/events.ts';
import type { Outcome, PathChange } from '../transaction/types.ts';
import { Tail } from './tail.ts';

/** How much of a phase's output and of a diff the result holds, in characters: the end of it. */
const LONGEST_TEXT = 1024 * 1024;

export interface PhaseResult extends ProcessEnd {
  name: string;
  status: PhaseStatus | 'running';
  where?: string;
  /** ISO 8601; missing for a phase that was skipped. */
  start?: string;
  end?: string;
  /** Seconds. */
  duration?: number;
  /** What it sent or fetched: files, directories and links, and the bytes in the files. */
  transferred?: { entries: number; bytes: number };
  /** Why it was skipped. */
  reason?: string;
  error?: ErrorRecord;
}

/** What is left of a run: ours, and beside it Testflinger's flat keys. */
export interface Result {
  version: 1;
  job: string;
  /** `running` until the job has ended. */
  status: JobStatus | 'running';
  outcome?: Outcome;
  /** A transaction was open, and nobody could learn how it ends. */
  undecided?: true;
  exit?: number;
  transaction: { id: string; host: string; root: string; track: string[] };
  started?: string;
  ended?: string;
  /** What the change did to the tracked paths. */
  changed: PathChange[];
  /** What the decision did to each, and who made it and why. */
  paths: EventOf<'transaction_commit'>['paths'];
  decision?: { by: string; reason: string };
  diffs: { change?: string; commit?: string; rollback?: string };
  /** Difference of the installed packages between begin and end. */
  packages?: string;
  phases: PhaseResult[];
  warnings: string[];
  /** Everything that went wrong, in order; the error that decides the exit status is `error`. */
  errors: ErrorRecord[];
  error?: ErrorRecord;
  /** `<phase>_status` (exit status) and `<phase>_output`, as Testflinger names them. */
  [flat: `${string}_status`]: number;
  [flat: `${string}_output`]: string;
}

/** Folds events into the result; events of several processes of one run may be noted in turn. */
export class ResultFold {
  readonly #result: Result = {
    version: 1,
    job: '',
    status: 'running',
    transaction: { id: '', host: '', root: '/', track: [] },
    changed: [],
    paths: [],
    diffs: {},
    phases: [],
    warnings: [],
    errors: [],
  };
  readonly #output = new Map<string, Tail>();

  note(event: RunEvent): void {
    const result = this.#result;
    switch (event.kind) {
      case 'job_start': {
        const { job, transaction: id, host, root, track, time } = event;
        Object.assign(result, { job, started: time, transaction: { id, host, root, track } });
        break;
      }
      case 'transaction_applied':
        result.changed = event.changed;
        result.diffs.change = bounded(event.diff);
        break;
      case 'transaction_commit':
      case 'transaction_rollback':
        this.#noteDecision(event);
        break;
      case 'phase_start':
      case 'phase_success':
      case 'phase_fail':
      case 'phase_skipped':
        this.#notePhase(event);
        break;
      case 'progress': {
        const phase = result.phases.findLast(({ name }) => name === event.phase);
        if (phase) phase.transferred = { entries: event.entries, bytes: event.bytes };
        break;
      }
      case 'output':
        this.#tail(event.phase).add(event.partial ? event.line : `${event.line}\n`);
        break;
      case 'warning':
        result.warnings.push(event.message);
        break;
      case 'connection_lost':
        result.warnings.push(event.reason);
        break;
      case 'error':
        result.errors.push(event.error);
        break;
      case 'job_end': {
        const { status, outcome, undecided, error, exit, time } = event;
        Object.assign(result, { status, exit, ended: time }, outcome && { outcome });
        Object.assign(result, undecided && { undecided });
        if (error) result.error = error;
        break;
      }
      default:
    }
  }

  result(): Result {
    const flat: Record<string, number | string> = {};
    for (const phase of this.#result.phases) {
      if (phase.status === 'skipped' || phase.status === 'running') continue;
      flat[`${phase.name}_status`] = statusOf(phase);
      flat[`${phase.name}_output`] = this.output(phase.name);
    }
    return { ...this.#result, ...flat };
  }

  /** The end of what a phase printed, standard output and error as they came. */
  output(phase: string): string {
    return this.#tail(phase).text();
  }

  #tail(phase: string): Tail {
    const tail = this.#output.get(phase) ?? new Tail(LONGEST_TEXT);
    this.#output.set(phase, tail);
    return tail;
  }

  #noteDecision(event: EventOf<'transaction_commit' | 'transaction_rollback'>): void {
    const { outcome, by, reason, paths, diff, packages } = event;
    Object.assign(this.#result, { outcome, paths, decision: { by, reason } });
    if (packages !== '') this.#result.packages = bounded(packages);
    const kind = event.kind === 'transaction_commit' ? 'commit' : 'rollback';
    this.#result.diffs[kind] = bounded(diff);
  }

  #notePhase(
    event: EventOf<'phase_start' | 'phase_success' | 'phase_fail' | 'phase_skipped'>,
  ): void {
    const { phases, errors } = this.#result;
    const { phase: name, time } = event;
    if (event.kind === 'phase_start') {
      phases.push({ name, status: 'running', where: event.where, start: time });
      return;
    }
    if (event.kind === 'phase_skipped') {
      phases.push({ name, status: 'skipped', reason: event.reason });
      return;
    }
    const phase = phases.findLast((it) => it.name === name);
    if (!phase) return;
    const { duration } = event;
    if (event.kind === 'phase_success') {
      Object.assign(phase, { status: 'success', end: time, duration, exit: event.exit });
      return;
    }
    const { exit, signal, error } = event;
    errors.push(error);
    Object.assign(phase, { status: 'failure', end: time, duration, error });
    if (exit !== undefined) phase.exit = exit;
    if (signal !== undefined) phase.signal = signal;
  }
}

/** A shell's number for how the phase ended; 124 for a time-out, as timeout(1) has it. */
function statusOf({ exit, signal, status, error }: PhaseResult): number {
  if (error?.name === 'phase-timeout') return 124;
  if (exit !== undefined && (status === 'success' || exit !== 0)) return exit;
  const number = signal && constants.signals[signal as NodeJS.Signals];
  return number ? 128 + number : 1;
}

function bounded(text: string): string {
  const tail = new Tail(LONGEST_TEXT);
  tail.add(text);
  return tail.text();
}
