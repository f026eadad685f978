import type { Command } from 'commander';
import { holderOf } from '../ci/holder.ts';
import { onSignals } from '../ci/signals.ts';
import { SavepointError } from '../errors.ts';
import { withoutKeyText } from '../host/target.ts';
import { keyTextOf } from '../job/host-config.ts';
import { createFolder } from '../report/folder.ts';
import { readyHost } from '../run/backend.ts';
import { connect } from '../run/connect.ts';
import { exitSince } from '../run/ending.ts';
import { startKeeper } from '../run/keeper-process.ts';
import { mayBeOpen, newLedger } from '../run/ledger.ts';
import { masker } from '../run/mask.ts';
import { planRun } from '../run/plan.ts';
import { openJob } from '../run/run.ts';
import { removeScratchRoot } from '../run/scratch.ts';
import { backendOptions } from './backend-options.ts';
import { follow, outputFolder } from './follow.ts';
import { type Io, screenOf } from './io.ts';
import { addJobOptions, jobsOf } from './options.ts';
import type { SplitFlags } from './split-run.ts';
import {
  createState,
  removeState,
  type SplitState,
  stateListener,
  statePath,
  writeState,
} from './state-file.ts';
import { trustOf } from './trust-options.ts';

const help = `
The transaction is recorded in the state file, which the other commands read; keep it to yourself.
A process in the background renews the lease while the one that ran this command lives (see
--while), so a machine that is lost is noticed. Under Jenkins it lives as long as the build.

Examples:
  savepoint begin ci/savepoint.yml --host ssh://root@lab-07
  savepoint begin --track apt --files ./files && savepoint exec -- make check
  savepoint finish --status "$CI_JOB_STATUS"`;

interface BeginFlags extends SplitFlags {
  while?: string;
  output?: string;
  guard?: string;
}

export function addBeginCommand(program: Command, io: Io, done: (exit: number) => void): void {
  const command = program
    .command('begin')
    .usage('[JOB] [options]')
    .description('open a transaction, apply the change and check it; `finish` decides later')
    .argument('[JOB]', 'job file (YAML, one document)')
    .option('--state <FILE>', 'where to record it (SAVEPOINT_STATE, .savepoint-state.json)')
    .option('--while <PID>', 'renew the lease while this process lives, 0 for no renewal')
    .addHelpText('after', help);
  addJobOptions(command);
  command.action(async (file: string | undefined, flags: BeginFlags) =>
    done(await begin(file, flags, io)),
  );
}

async function begin(file: string | undefined, flags: BeginFlags, io: Io): Promise<number> {
  const whileAlive = watched(flags.while, io);
  const { jobs, secrets } = await jobsOf(flags, io, file);
  const [asked] = jobs;
  if (!asked || jobs.length > 1) {
    throw new SavepointError('bad-usage', {
      message: 'begin opens one transaction.',
      place: { ...(file !== undefined && { file }) },
      details: { found: `${jobs.length} documents`, allowed: 'a job file with one document' },
    });
  }
  const { job, host, change, saved } = await planRun(asked, {
    holder: holderOf(asked.name, io.env),
    output: outputFolder(flags.output),
    guard: flags.guard,
    trust: trustOf(flags, io),
  });
  const ledger = newLedger();
  const key = keyTextOf(asked.host);
  const keyEnv = key && Object.keys(io.env).find((name) => io.env[name] === key);
  const state: SplitState = { ...saved, ledger, ...(keyEnv && { keyEnv }) };
  const path = statePath(flags.state, io.env);
  createFolder(saved.output);
  createState(path, state);

  const screen = screenOf(io, flags.json);
  using signals = onSignals((message) => screen.line(message));
  const passphrase = io.env.SAVEPOINT_KEY_PASSPHRASE;
  const { record } = saved;
  const masked = masker([...secrets, record.token]);
  const options = { ...backendOptions(screen, masked), signal: signals.cancel };
  const ready = await readyHost(host, options, (target, backend) => {
    record.host = withoutKeyText(target);
    state.backend = saved.backend = backend;
    writeState(path, state);
  }).catch((error: unknown) => {
    removeState(path);
    throw error;
  });
  await using connection = await connect(record, {
    host: ready.host,
    passphrase,
    signal: signals.cancel,
  });
  const run = {
    job,
    transaction: connection.transaction,
    controller: connection.controller,
    output: saved.output,
    masker: masked,
    ledger,
    ...(ready.backend && { backend: ready.backend }),
    cancel: signals.cancel,
    abandon: signals.abandon,
  };
  const unwritten = await follow(io, openJob(run, change), saved.output, {
    json: flags.json,
    first: [stateListener(path, state)],
  });
  if (mayBeOpen(ledger)) {
    if (whileAlive !== 0) {
      await startKeeper({ saved, key, passphrase, whileAlive, whileThere: path });
    }
    const lives = whileAlive ? `, while process ${whileAlive} lives` : '';
    screen.line(
      `Recorded in ${path}; the lease is ${whileAlive === 0 ? 'not ' : ''}renewed${lives}.`,
    );
  } else {
    removeState(path);
    await removeScratchRoot(saved.scratch);
  }
  return exitSince(job, ledger, 0) || unwritten;
}

/**
 * The process whose end is the job's: the shell that ran this command, unless the CI finds what a
 * build leaves behind by itself (Jenkins: by its cookie), where a shell ends with each step.
 */
function watched(given: string | undefined, { env }: Io): number | undefined {
  if (given === undefined) return env.JENKINS_NODE_COOKIE ? undefined : process.ppid;
  if (/^\d{1,10}$/.test(given)) return Number(given);
  throw new SavepointError('bad-usage', {
    message: 'There is no such process id.',
    place: { field: '--while' },
    details: { found: given, allowed: 'the id of a process, or 0' },
  });
}
