import type { Command } from 'commander';
import { SavepointError } from '../errors.ts';
import { quoteWord } from '../host/quote.ts';
import { parseDuration } from '../job/durations.ts';
import type { JobCommand } from '../job/job.ts';
import { replay } from '../report/replay.ts';
import { ResultFold } from '../report/result.ts';
import { exitSince } from '../run/ending.ts';
import { runBetween, runPhasesBetween } from '../run/run.ts';
import { keepsPhases } from '../transaction/phase-process.ts';
import { follow } from './follow.ts';
import type { Io } from './io.ts';
import { addSplitOptions } from './split-options.ts';
import { type SplitFlags, takeUp } from './split-run.ts';
import { readState, type SplitState, stateListener, statePath } from './state-file.ts';

const help = `
Without a command the job's own phases run, but cleanup, which finish runs. A command that fails
makes finish roll back, whatever --status says. The exit status is 1 when the command failed; its
own is shown, and in the result.

Examples:
  savepoint exec -- make -C /srv/job check
  savepoint exec --name smoke --timeout 5m -- ./smoke-test --all
  savepoint exec`;

interface ExecFlags extends SplitFlags {
  name?: string;
  timeout?: string;
  where?: string;
  reboot?: string;
}

export function addExecCommand(program: Command, io: Io, done: (exit: number) => void): void {
  const command = program
    .command('exec')
    .usage('[options] [-- COMMAND...]')
    .description('run a command, or the phases of the job, in the transaction that begin opened')
    .option('--name <PHASE>', 'name of the phase in events and result (default "exec")')
    .option('--timeout <TIME>', 'how long the command may take, such as 10m')
    .option('--where <WHERE>', 'host (default) or controller')
    .option('--reboot <TIME>', 'the command may restart the host, which is then away for so long')
    .addHelpText('after', help);
  addSplitOptions(command);
  command.action(async (flags: ExecFlags) => done(await exec(flags, io)));
}

async function exec(flags: ExecFlags, io: Io): Promise<number> {
  const path = statePath(flags.state, io.env);
  const state = readState(path);
  const command = io.command.length > 0 ? commandOf(flags, io, state) : undefined;
  const name = phaseName(flags.name ?? 'exec', state);
  const before = state.ledger.troubles.length;
  await using taken = await takeUp(state, flags, io, { fence: state.record.fence });
  const fold = new ResultFold();
  await replay(state.output, fold);
  const events = command ? runBetween(taken.run, name, command) : runPhasesBetween(taken.run);
  const unwritten = await follow(io, events, state.output, {
    json: flags.json,
    fold,
    first: [stateListener(path, state)],
  });
  return exitSince(state.job, state.ledger, before) || unwritten;
}

function commandOf(
  { timeout, where = 'host', reboot }: ExecFlags,
  { command }: Io,
  { record }: SplitState,
): JobCommand {
  if (where !== 'host' && where !== 'controller') {
    throw new SavepointError('bad-usage', {
      message: 'A command runs on the host or on the controller.',
      place: { field: '--where' },
      details: { found: where, allowed: 'host, controller' },
    });
  }
  const limit = secondsOf('--timeout', timeout);
  const away = secondsOf('--reboot', reboot);
  const restarts =
    where === 'host' && record.host.type === 'ssh' && keepsPhases(record.guard.version);
  if (away && !restarts) {
    throw new SavepointError('bad-usage', {
      message: 'The machine that this command runs on cannot restart meanwhile.',
      place: { field: '--reboot' },
      details: {
        found: reboot,
        allowed: 'a host that is reached over SSH, with guard 1.1.0 or later',
      },
    });
  }
  const run = command.map(quoteWord).join(' ');
  return { run, env: {}, where, ...(limit && { timeout: limit }), ...(away && { reboot: away }) };
}

function secondsOf(field: string, found: string | undefined): number | undefined {
  if (found === undefined) return undefined;
  const seconds = parseDuration(found);
  if (seconds) return seconds;
  throw new SavepointError('bad-usage', {
    message: 'That is no duration.',
    place: { field },
    details: { found, allowed: '90, 90s, 5m, 2h' },
  });
}

/** Phases of the job that are not among its `phases`. */
const ownNames = ['check', 'artifacts'];

/** A name that no phase before had: `exec`, `exec-2`, `exec-3`. */
function phaseName(asked: string, { ledger, job }: SplitState): string {
  if (!/^[a-z][a-z0-9_-]{0,39}$/.test(asked)) {
    throw new SavepointError('bad-usage', {
      message: 'That is no name of a phase.',
      place: { field: '--name' },
      details: { found: asked, allowed: 'a-z, 0-9, _ and -, beginning with a letter' },
    });
  }
  const taken = (name: string): boolean =>
    name in ledger.phases ||
    ownNames.includes(name) ||
    job.phases.some((phase) => phase.name === name);
  let name = asked;
  for (let number = 2; taken(name); number++) name = `${asked}-${number}`;
  return name;
}
