import type { Outcome } from '../transaction/types.ts';
import type { ErrorRecord, PhaseStatus, RunEvent } from './events.ts';

/** An error and the phase it belongs to, if it belongs to one. */
export interface Trouble {
  error: ErrorRecord;
  phase?: string;
}

/** What is known of a run so far: a fold over its events, and plain JSON. */
export interface Ledger {
  /** Number of the last event. */
  seq: number;
  /** The host said that the transaction is open. */
  opened: boolean;
  /** Nobody can tell whether begin was done: the host fell silent in the middle of it. */
  unclear?: true;
  /** The phase that has started and not ended, and when it did (ISO 8601). */
  running?: { phase: string; since: string };
  /** Each phase that has ended or was skipped. */
  phases: Record<string, PhaseStatus>;
  troubles: Trouble[];
  /** On the host; there from begin to the end of the run, where the job sends or fetches files. */
  workDir?: string;
  outcome?: Outcome;
}

export function newLedger(): Ledger {
  return { seq: 0, opened: false, phases: {}, troubles: [] };
}

/** Failures of begin after which the transaction may be open all the same. */
const unclearBegins: ReadonlySet<string> = new Set([
  'host-lost',
  'host-read-failed',
  'guard-protocol',
  'defect',
]);

/** True unless the host certainly has no open transaction of this run. */
export function mayBeOpen({ opened, unclear, troubles, outcome }: Ledger): boolean {
  if (outcome !== undefined) return false;
  return opened || unclear === true || troubles.length === 0;
}

/** A rollback that failed may be asked for again: somebody may have mended the host. */
export function tryAgain(ledger: Ledger): void {
  if (ledger.outcome === 'rollback-failed') delete ledger.outcome;
}

/** Takes one event into account. */
export function note(ledger: Ledger, event: RunEvent): void {
  ledger.seq = event.seq;
  switch (event.kind) {
    case 'transaction_begin':
      ledger.opened = true;
      break;
    case 'work_dir':
      ledger.workDir = event.path;
      break;
    case 'phase_start':
      ledger.running = { phase: event.phase, since: event.time };
      break;
    case 'phase_success':
      delete ledger.running;
      ledger.phases[event.phase] = 'success';
      break;
    case 'phase_fail':
      delete ledger.running;
      ledger.phases[event.phase] = 'failure';
      ledger.troubles.push({ error: event.error, phase: event.phase });
      break;
    case 'phase_skipped':
      ledger.phases[event.phase] = 'skipped';
      break;
    case 'error':
      if (!ledger.opened && unclearBegins.has(event.error.name)) ledger.unclear = true;
      ledger.troubles.push({ error: event.error });
      break;
    case 'transaction_commit':
    case 'transaction_rollback':
      ledger.outcome = event.outcome;
      break;
    default:
      break;
  }
}

export function wasCancelled(ledger: Ledger): boolean {
  return ledger.troubles.some(({ error }) => error.name === 'job-cancelled');
}
