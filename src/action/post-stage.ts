import { existsSync, readFileSync } from 'node:fs';
import type { Environment } from '../ci/environment.ts';
import type { GitHub } from '../ci/github.ts';
import { deliver } from '../report/listener.ts';
import { replay } from '../report/replay.ts';
import { ResultFold } from '../report/result.ts';
import { summaryOf } from '../report/summary.ts';
import { restartOf } from '../run/backend.ts';
import { connect } from '../run/connect.ts';
import { exitOfFinish } from '../run/ending.ts';
import type { JobStatus } from '../run/events.ts';
import { mayBeOpen } from '../run/ledger.ts';
import { masker } from '../run/mask.ts';
import type { Run } from '../run/phases.ts';
import { finishJob } from '../run/run.ts';
import { removeScratchRoot } from '../run/scratch.ts';
import { removeCredentials } from './credentials.ts';
import { backendOptions, reports } from './reports.ts';
import { secretsOf } from './secrets.ts';
import { type ActionState, loadLedger, loadRun } from './state.ts';

/**
 * Seconds for cleanup after a cancel, of which the runner leaves 285 for everything (runner:
 * JobExtension.cs); the rollback needs the rest.
 */
const CLEANUP_AFTER_CANCEL = 120;

/**
 * The action's second half, at the end of the job: cleans up where main could not, commits or
 * rolls back, and writes the summary. It reads nothing of the workspace.
 * @returns The exit status of the step: not 0 when the host is not as it should be.
 * @throws SavepointError `state-bad`.
 */
export async function postStage(github: GitHub, env: Environment): Promise<number> {
  const { log } = github;
  const state = loadRun(github);
  if (!state) {
    log.line('No transaction was opened, so there is nothing to finish.');
    log.close();
    return 0;
  }
  const fold = new ResultFold();
  if (!(await replay(state.output, fold))) {
    log.line(`The events of the main step are not in ${state.output} any more.`);
  }
  try {
    return await finish(github, env, state, fold);
  } finally {
    github.summarize(summaryOf(fold.result(), (phase) => fold.output(phase)));
    removeCredentials(state.credentials);
    await removeScratchRoot(state.scratch);
    log.close();
  }
}

async function finish(
  github: GitHub,
  env: Environment,
  { record, job, output, backend: use }: ActionState,
  fold: ResultFold,
): Promise<number> {
  const { log } = github;
  const ledger = loadLedger(github);
  if (!mayBeOpen(ledger)) {
    log.line('No transaction is open, so there is nothing to finish.');
    return 0;
  }
  const before = ledger.troubles.length;
  const status = jobStatus(github);
  const key = record.host.type === 'ssh' ? keyText(record.host.key) : undefined;
  const masking = masker([...secretsOf(github, env, key), record.token]);
  const backend = use && { use, options: backendOptions(github, masking) };
  await using connection = await connect(record, {
    ...restartOf(backend),
    fence: record.fence + 1,
    passphrase: env.SAVEPOINT_KEY_PASSPHRASE,
  });
  const never = new AbortController().signal;
  const run: Run = {
    job,
    transaction: connection.transaction,
    controller: connection.controller,
    output,
    masker: masking,
    ledger,
    ...(backend && { backend }),
    cancel: never,
    abandon: never,
    ...(status === 'cancelled' && { cleanupLimit: CLEANUP_AFTER_CANCEL }),
  };
  const failures = await deliver(finishJob(run, status), reports(github, output, fold));
  for (const { message } of failures) log.command('error', message);
  return exitOfFinish(job, ledger, before) || (failures[0]?.exitCode ?? 0);
}

/** The only input that post takes: in nested composites the others can be wrong by now. */
function jobStatus({ inputs, log }: GitHub): JobStatus {
  const status = inputs['job-status'];
  if (status === 'success' || status === 'failure' || status === 'cancelled') return status;
  log.line(`The job's status is not known ("${status ?? ''}"), which counts as failure.`);
  return 'failure';
}

function keyText(file: string | undefined): string | undefined {
  return file !== undefined && existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}
