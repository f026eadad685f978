import { relative } from 'node:path';
import type { Command } from 'commander';
import { holderOf } from '../ci/holder.ts';
import { onSignals } from '../ci/signals.ts';
import { SavepointError } from '../errors.ts';
import { withoutKeyText } from '../host/target.ts';
import type { Flags } from '../job/flags.ts';
import type { Job } from '../job/job.ts';
import { readChange } from '../job/overlay.ts';
import { createFolder } from '../report/folder.ts';
import { readyHost } from '../run/backend.ts';
import { connect } from '../run/connect.ts';
import { jobEnd } from '../run/ending.ts';
import { newLedger } from '../run/ledger.ts';
import { masker } from '../run/mask.ts';
import { planRun } from '../run/plan.ts';
import { runJob } from '../run/run.ts';
import { removeScratchRoot } from '../run/scratch.ts';
import { checkAttachments } from '../run/transfers.ts';
import { backendOptions } from './backend-options.ts';
import { follow, outputFolder } from './follow.ts';
import { type Io, screenOf } from './io.ts';
import { addJobOptions, jobsOf } from './options.ts';
import { trustOf } from './trust-options.ts';

const help = `
Without a job file the options are the whole job, and its test phase is the command after --.
A file with several documents has several jobs: they run in order, and the first that fails ends it.
SIGINT, SIGTERM and SIGHUP stop the running phase, clean up and roll back; the exit status is then
128 plus the signal's number.

Examples:
  savepoint run examples/quickstart/savepoint.yml
  savepoint run job.yml --host ssh://root@lab-07 --set on-success=rollback
  savepoint run --track apt --files ./files --check 'apt-get update' -- make check`;

export function addRunCommand(program: Command, io: Io, done: (exit: number) => void): void {
  const command = program
    .command('run')
    .usage('[JOB] [options] [-- COMMAND...]')
    .description('run a job in a transaction: begin, apply, check, phases, commit or roll back')
    .argument('[JOB]', 'job file (YAML)')
    .addHelpText('after', help);
  addJobOptions(command);
  command.action(async (file: string | undefined, flags: Flags & { json?: boolean }) =>
    done(await runJobs(file, flags, io)),
  );
}

async function runJobs(
  file: string | undefined,
  flags: Flags & { json?: boolean },
  io: Io,
): Promise<number> {
  const { jobs, secrets } = await jobsOf(flags, io, file);
  if (jobs.length > 1 && flags.output !== undefined) {
    throw new SavepointError('bad-usage', {
      message: 'Several jobs cannot share one output folder.',
      place: { field: '--output' },
      details: { found: `${jobs.length} jobs`, allowed: 'one job, or no --output' },
    });
  }
  // All of them are read before the first touches its host.
  for (const job of jobs) {
    await readChange(job);
    checkAttachments(job);
  }
  const screen = screenOf(io, flags.json);
  using signals = onSignals((message) => screen.line(message));
  for (const [index, job] of jobs.entries()) {
    const exit = await runOne(job, secrets, flags, io, signals);
    const left = jobs.length - index - 1;
    if (exit !== 0) {
      if (left > 0) screen.line(`${left} of ${jobs.length} jobs did not run.`);
      return exit;
    }
    if (left > 0) screen.line('');
  }
  return 0;
}

async function runOne(
  asked: Job,
  secrets: string[],
  flags: Flags & { json?: boolean },
  io: Io,
  { cancel, abandon }: { cancel: AbortSignal; abandon: AbortSignal },
): Promise<number> {
  const { job, host, change, saved } = await planRun(asked, {
    holder: holderOf(asked.name, io.env),
    output: outputFolder(flags.output),
    guard: typeof flags.guard === 'string' ? flags.guard : undefined,
    trust: trustOf(flags, io),
  });
  try {
    const output = createFolder(saved.output);
    const masked = masker([...secrets, saved.record.token]);
    const options = { ...backendOptions(screenOf(io, flags.json), masked), signal: cancel };
    const ready = await readyHost(host, options, (target) => {
      saved.record.host = withoutKeyText(target);
    });
    await using connection = await connect(saved.record, {
      host: ready.host,
      passphrase: io.env.SAVEPOINT_KEY_PASSPHRASE,
      signal: cancel,
    });
    const ledger = newLedger();
    const run = {
      job,
      transaction: connection.transaction,
      controller: connection.controller,
      output,
      masker: masked,
      ledger,
      ...(ready.backend && { backend: ready.backend }),
      cancel,
      abandon,
    };
    const unwritten = await follow(io, runJob(run, change), output, flags);
    screenOf(io, flags.json).line(`Kept in ${nearest(output)}: result, events and diffs.`);
    return jobEnd(job, ledger, 'success').exit || unwritten;
  } finally {
    await removeScratchRoot(saved.scratch);
  }
}

/** A path as a person would write it from here. */
function nearest(path: string): string {
  const relation = relative('', path);
  return relation.startsWith('..') ? path : relation;
}
