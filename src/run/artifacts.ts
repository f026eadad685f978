import { SavepointError } from '../errors.ts';
import type { EventBody } from './events.ts';
import { type PhaseRun, runPhase } from './phase.ts';
import type { Run } from './phases.ts';
import { startFetching } from './transfers.ts';

/** Seconds that fetching may take after a cancel, when cleanup and rollback need what time is left. */
const FETCH_AFTER_CANCEL = 60;

/**
 * Fetches what the job wants of the host, once, whatever became of its phases: a failure is what
 * its logs are for. After one, what is not there is no failure more.
 */
export async function* fetchArtifacts(run: Run): AsyncGenerator<EventBody> {
  const { job, ledger, abandon, cancel, cleanupLimit } = run;
  if (!job.transfers?.artifacts.length || ledger.phases.artifacts) return;
  const reason = skipReason(run);
  if (reason) {
    yield { kind: 'phase_skipped', phase: 'artifacts', reason };
    return;
  }
  const hurried = cancel.aborted || cleanupLimit !== undefined;
  const phase: PhaseRun = {
    name: 'artifacts',
    where: 'host',
    commands: 1,
    ...(hurried && { timeout: FETCH_AFTER_CANCEL }),
    start: async () => startFetching(run),
    // A transfer that fails throws why; only one that was killed has no status.
    failed: () => new SavepointError('transfer-failed'),
  };
  // A cancel stops what it meets; what begins after it is for whoever wants to know why.
  yield* runPhase(phase, {
    masker: run.masker,
    cancel: cancel.aborted ? abandon : cancel,
    news: run.transaction.news,
  });
}

function skipReason({ ledger, abandon }: Run): string | undefined {
  if (!ledger.opened) return 'no transaction was opened';
  if (ledger.workDir === undefined) return 'there is no work directory';
  return abandon.aborted ? 'the transaction ended early' : undefined;
}
