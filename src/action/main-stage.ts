import { join } from 'node:path';
import type { GitHub } from '../ci/github.ts';
import { holderOf } from '../ci/holder.ts';
import { onSignals } from '../ci/signals.ts';
import { SavepointError } from '../errors.ts';
import { programsNamed, type Trust } from '../host/trust.ts';
import type { LoadContext } from '../job/context.ts';
import { requestFromInputs } from '../job/flags.ts';
import { keyTextOf } from '../job/host-config.ts';
import type { Job } from '../job/job.ts';
import { loadJobs } from '../job/load.ts';
import { lines } from '../job/setting-overrides.ts';
import { createFolder } from '../report/folder.ts';
import { deliver } from '../report/listener.ts';
import { ResultFold } from '../report/result.ts';
import { readyHost } from '../run/backend.ts';
import { connect } from '../run/connect.ts';
import { jobEnd } from '../run/ending.ts';
import { startKeeper } from '../run/keeper-process.ts';
import { newLedger } from '../run/ledger.ts';
import { masker } from '../run/mask.ts';
import type { Run } from '../run/phases.ts';
import { type Plan, planRun } from '../run/plan.ts';
import { openAndRun } from '../run/run.ts';
import { withoutScripts } from '../run/saved.ts';
import { freezeCredentials } from './credentials.ts';
import { backendOptions, outputListener, reports, setFirstOutputs } from './reports.ts';
import { secretsOf } from './secrets.ts';
import { type ActionState, ledgerState, saveRun } from './state.ts';

/**
 * The action's first half: reads the inputs, saves what post needs, then opens the transaction,
 * applies the change and runs the phases. What becomes of the transaction is post's to decide,
 * also after a cancel: here a signal only stops the phases.
 * @returns The exit status of the step.
 * @throws SavepointError of class usage; the host was not touched.
 */
export async function mainStage(github: GitHub, context: LoadContext): Promise<number> {
  const { inputs, log } = github;
  const passphrase = context.env.SAVEPOINT_KEY_PASSPHRASE;
  const asked = await readJob(github, context);
  const key = keyTextOf(asked.host);
  const masked = secretsOf(github, context.env, key);
  for (const secret of masked) maskInLog(github, secret);

  const planned = await planRun(asked, {
    holder: holderOf(asked.name, context.env),
    output: (id) => join(github.temp, `savepoint-${id}`),
    guard: inputs.guard,
    trust: trustFrom(github),
  });
  const state = keep(github, planned);
  const { record, output } = state;
  const ledger = newLedger();

  using signals = onSignals((message) => log.line(message));
  const masking = masker([...masked, record.token]);
  const options = { ...backendOptions(github, masking), signal: signals.cancel };
  const ready = await readyHost(planned.host, options, (target, backend) => {
    record.host = freezeCredentials(target, state.credentials);
    state.backend = backend;
    saveRun(github, state);
  });
  await using connection = await connect(record, {
    signal: signals.cancel,
    passphrase,
  });
  const run: Run = {
    job: planned.job,
    transaction: connection.transaction,
    controller: connection.controller,
    output,
    masker: masking,
    ledger,
    ...(ready.backend && { backend: ready.backend }),
    cancel: signals.cancel,
    abandon: signals.abandon,
    leaveCleanup: 'cancelled',
  };
  const fold = new ResultFold();
  const failures = await deliver(openAndRun(run, planned.change), [
    ledgerState(github, ledger),
    ...reports(github, output, fold),
    outputListener(github),
  ]);
  for (const { message } of failures) log.command('error', message);
  if (ledger.opened) await startKeeper({ saved: state, passphrase });
  log.line(
    ledger.opened
      ? 'The transaction stays open until the end of the job; the post step decides.'
      : 'No transaction is open.',
  );
  log.close();
  return jobEnd(planned.job, ledger, 'success').exit || (failures[0]?.exitCode ?? 0);
}

async function readJob({ inputs }: GitHub, context: LoadContext): Promise<Job> {
  const [job, ...others] = await loadJobs(requestFromInputs(inputs, context));
  if (job && others.length === 0) return job;
  throw new SavepointError('bad-input', {
    message: 'A step of the action runs one job, for a transaction lasts until the end of it.',
    place: { field: 'job', ...(inputs.job && { file: inputs.job }) },
    details: { found: `${others.length + 1} documents`, allowed: '1 document' },
    hint: 'Put each document into a file and a step of its own.',
  });
}

/** What the workflow allows: nothing that is tested can say so. */
function trustFrom({ inputs, workspace }: GitHub): Trust {
  const named = lines(inputs['allow-program'] ?? '');
  return {
    programs: programsNamed(named, 'allow-program', 'bad-input'),
    backends: lines(inputs['allow-backend'] ?? ''),
    workspace,
  };
}

/** Post must find all it needs even when this process is killed at the first touch of the host. */
function keep(github: GitHub, { host: found, saved }: Plan): ActionState {
  const credentials = join(github.temp, `savepoint-${saved.record.id}-credentials`);
  const host = freezeCredentials(found, credentials);
  const record = { ...saved.record, host };
  const state = { ...saved, record, job: withoutScripts(saved.job), credentials };
  createFolder(state.output);
  saveRun(github, state);
  setFirstOutputs(github, state);
  return state;
}

/** The runner masks whole values; it is told each line of one with several. */
function maskInLog({ log }: GitHub, secret: string): void {
  for (const line of secret.split(/\r?\n/)) if (line.trim()) log.command('add-mask', line);
}
