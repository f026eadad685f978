import type { Command } from 'commander';
import { replay } from '../report/replay.ts';
import { ResultFold } from '../report/result.ts';
import { exitOfFinish } from '../run/ending.ts';
import type { JobStatus } from '../run/events.ts';
import { tryAgain } from '../run/ledger.ts';
import { finishJob } from '../run/run.ts';
import { removeScratchRoot } from '../run/scratch.ts';
import type { Verdict } from '../run/verdict.ts';
import { follow } from './follow.ts';
import { type Io, screenOf } from './io.ts';
import { addSplitOptions } from './split-options.ts';
import { type SplitFlags, takeUp } from './split-run.ts';
import { readState, removeState, stateListener, statePath, writeState } from './state-file.ts';

const finishHelp = `
Commits only when the status is success, every phase and command passed, and the job does not ask
for a rollback. The exit status tells whether the host is as it should be, not how the job went.

Examples:
  savepoint finish --status "$CI_JOB_STATUS"                      GitLab: success, failed, canceled
  savepoint finish --status "\${currentBuild.currentResult}"       Jenkins: SUCCESS, FAILURE, ...
  savepoint finish --status success --json`;

const rollbackHelp = `
Examples:
  savepoint rollback
  savepoint rollback --reason 'the device is needed'`;

interface FinishFlags extends SplitFlags {
  status?: string;
  reason?: string;
}

export function addFinishCommands(program: Command, io: Io, done: (exit: number) => void): void {
  const finish = program
    .command('finish')
    .description('end the transaction that begin opened: commit or roll back')
    .requiredOption('--status <STATUS>', 'how the job went: success, failure or cancelled')
    .addHelpText('after', finishHelp);
  addSplitOptions(finish);
  finish.action(async (flags: FinishFlags) => {
    const status = statusOf(flags.status ?? '', io);
    done(await end(flags, io, status));
  });

  const rollback = program
    .command('rollback')
    .description('roll back the transaction that begin opened')
    .option('--reason <TEXT>', 'why, for the result')
    .addHelpText('after', rollbackHelp);
  addSplitOptions(rollback);
  rollback.action(async (flags: FinishFlags) => {
    const reason = flags.reason ?? 'it was asked for';
    done(await end(flags, io, 'failure', { decision: 'rollback', reason }));
  });
}

/** The words of GitHub, GitLab and Jenkins; any other is a failure, for a rollback hurts nobody. */
function statusOf(word: string, io: Io): JobStatus {
  switch (word.toLowerCase()) {
    case 'success':
      return 'success';
    case 'cancelled':
    case 'canceled':
    case 'aborted':
      return 'cancelled';
    case 'failure':
    case 'failed':
    case 'unstable':
      return 'failure';
    default:
      io.stderr.write(`savepoint: --status ${JSON.stringify(word)} is not known: a failure.\n`);
      return 'failure';
  }
}

async function end(
  flags: FinishFlags,
  io: Io,
  status: JobStatus,
  asked?: Verdict,
): Promise<number> {
  const path = statePath(flags.state, io.env);
  const state = readState(path);
  const { job, record, ledger, output } = state;
  const before = ledger.troubles.length;
  tryAgain(ledger);
  // Recorded first: should this process be killed, the next one must be newer still.
  record.fence++;
  writeState(path, state);
  await using taken = await takeUp(state, flags, io, {
    fence: record.fence,
    away: 'restart',
  });
  const fold = new ResultFold();
  if (!(await replay(output, fold))) {
    screenOf(io, flags.json).line(`The events of the job are not in ${output} any more.`);
  }
  const unwritten = await follow(io, finishJob(taken.run, status, asked), output, {
    json: flags.json,
    fold,
    first: [stateListener(path, state)],
  });
  const exit = exitOfFinish(job, ledger, before);
  const ended = ledger.outcome !== undefined && ledger.outcome !== 'rollback-failed';
  // Otherwise it stays recorded, so that the command can be given again.
  if (ended || exit === 0) {
    removeState(path);
    await removeScratchRoot(state.scratch);
  }
  return exit || unwritten;
}
