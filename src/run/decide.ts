import { asSavepointError, SavepointError, sentenceOf } from '../errors.ts';
import { hostArgument } from '../host/target.ts';
import { rebooted } from '../transaction/fate.ts';
import type { Decided } from '../transaction/types.ts';
import { errorRecord } from './error-record.ts';
import type { EventBody } from './events.ts';
import { meanwhile } from './meanwhile.ts';
import type { Run } from './phases.ts';
import type { Verdict } from './verdict.ts';

/** Commits or rolls back, and tells what the host made of it. */
export async function* decide(run: Run, verdict: Verdict): AsyncGenerator<EventBody> {
  try {
    const decided = yield* ask(run, verdict);
    const { decision, warnings, ...rest } = decided;
    yield { kind: `transaction_${decision}`, ...rest, reason: verdict.reason };
    for (const message of warnings) yield { kind: 'warning', message };
    const error = outcomeError(decided, verdict);
    if (error) yield { kind: 'error', error: errorRecord(error) };
  } catch (thrown) {
    const error = asSavepointError(thrown);
    // Begin never got as far as opening it: there is nothing to undo.
    if (error.name === 'not-open' && !run.ledger.opened) return;
    yield { kind: 'error', error: errorRecord(undecided(run, error)) };
  }
}

/**
 * A commit that failed may be decided all the same, and the decision is write-once: asking for a
 * rollback either undoes everything or learns that the commit stands.
 */
async function* ask(
  { transaction }: Run,
  { decision, reason }: Verdict,
): AsyncGenerator<EventBody, Decided> {
  const { news } = transaction;
  if (decision === 'rollback') return yield* meanwhile(news, transaction.rollback(reason));
  try {
    return yield* meanwhile(news, transaction.commit());
  } catch (error) {
    yield { kind: 'error', error: errorRecord(error) };
    const why = `the commit failed: ${sentenceOf(error)}`;
    return yield* meanwhile(news, transaction.rollback(why));
  }
}

/** The error that an outcome is; undefined where the host ended as it was meant to. */
function outcomeError(decided: Decided, verdict: Verdict): SavepointError | undefined {
  const { outcome, decision, by, warnings } = decided;
  const details = { outcome, by, found: warnings };
  switch (outcome) {
    case 'rollback-failed':
      return new SavepointError('rollback-failed', {
        details,
        hint: 'Mend the host by hand; it refuses further transactions until then.',
      });
    case 'rolled-back-unhealthy':
      return new SavepointError('rolled-back-unhealthy', { details });
    case 'conflict':
      return new SavepointError('edited-by-others', { details });
    default:
  }
  if (verdict.decision === 'commit' && decision === 'rollback') {
    if (by === 'boot') return rebooted();
    return new SavepointError('lease-expired', {
      message: `The change was to be committed, but ${by} had rolled it back.`,
      details: { by },
    });
  }
  if (verdict.decision === 'rollback' && decision === 'commit') {
    return new SavepointError('rollback-failed', {
      message: `The change was to be rolled back, but ${by} had committed it.`,
      details: { by },
    });
  }
  return undefined;
}

/** Nobody knows how the transaction ended; says what to do about it. */
function undecided({ transaction }: Run, cause: SavepointError): SavepointError {
  const { id, host } = transaction.record;
  const where = host.type === 'ssh' ? ` ${hostArgument(host)}` : '';
  return new SavepointError(cause.name, {
    message: `Transaction ${id} could not be decided: ${cause.reason}`,
    details: cause.details,
    hint: cause.hint ?? `When the host answers again, run \`savepoint recover${where}\`.`,
    cause,
    ...(cause.place && { place: cause.place }),
  });
}
