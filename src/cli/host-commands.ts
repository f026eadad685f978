import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import type { GuardSite } from '../guard/client.ts';
import { guardInUse } from '../guard/releases.ts';
import { plain } from '../report/plain.ts';
import { duration } from '../report/words.ts';
import { clearHost, type HostState, hostState, recoverHost } from '../transaction/host-state.ts';
import { addHostSetupCommands } from './host-setup-commands.ts';
import { answer, type Io, screenOf } from './io.ts';
import { addSettings, collect, hostSettings, jobsOf } from './options.ts';
import { opened, type Reached, reach } from './reach.ts';
import { hostWithKey, type SplitFlags } from './split-run.ts';
import { readState, statePath } from './state-file.ts';
import { addTrustOptions } from './trust-options.ts';

type HostFlags = SplitFlags & { root?: string };

/** The verbs that a person asks a host for, whoever opened what is there. */
export function addHostCommands(program: Command, io: Io, done: (exit: number) => void): void {
  const which = `
Without HOST it is the host of the recorded transaction, if there is one here, else this machine.`;
  const add = (
    parent: Command,
    name: string,
    about: string,
    act: (site: GuardSite, flags: HostFlags) => Promise<void>,
  ): void => {
    const path = parent === program ? name : `${parent.name()} ${name}`;
    const command = parent
      .command(name)
      .description(about)
      .argument('[HOST]', 'local, ssh://user@name:port, or a name')
      .option('--state <FILE>', 'where a transaction is recorded')
      .option('--json', 'print the answer as a line of JSON')
      .addHelpText(
        'after',
        `${which}\n\nExamples:\n  savepoint ${path}\n  savepoint ${path} ssh://root@lab-07 --json`,
      );
    addSettings(command, [...hostSettings, 'root']);
    addTrustOptions(command, collect);
    command.action(async (host: string | undefined, flags: HostFlags) => {
      const { root, ...found } = await siteOf(host, flags, io);
      await using reached = await found.reach();
      const { sudo } = reached.target;
      await act({ host: reached.host, guard: guardInUse(), root, sudo }, flags);
      done(0);
    });
  };

  add(program, 'status', 'tell what is open on a host, and who holds it', async (site, flags) => {
    const state = await hostState(site);
    if (flags.json) answer(io, { host: site.host.name, root: site.root, ...state });
    else for (const line of stateLines(site.host.name, state)) screenOf(io, false).line(line);
  });
  add(program, 'recover', 'roll back whatever is open on a host, now', async (site, flags) => {
    const recovered = await recoverHost(site);
    if (flags.json) answer(io, { host: site.host.name, root: site.root, ...recovered });
    const screen = screenOf(io, flags.json);
    const { ended, paths, warnings } = recovered;
    if (ended.length === 0) screen.line(`Nothing is open on ${site.host.name}.`);
    for (const { id, outcome } of ended) screen.line(`${id}: ${outcome}`);
    for (const { path, state } of paths) screen.line(plain(`  ${state} ${path}`));
    for (const warning of warnings) screen.line(plain(`warning: ${warning}`));
  });
  const host = program.command('host').description('look after a host');
  addHostSetupCommands(host, io, done);
  add(
    host,
    'clear',
    'let transactions begin again on a host that you mended',
    async (site, flags) => {
      await clearHost(site);
      if (flags.json) answer(io, { host: site.host.name, root: site.root, cleared: true });
      else screenOf(io, false).line(`${site.host.name} takes transactions again.`);
    },
  );
}

async function siteOf(
  host: string | undefined,
  flags: HostFlags,
  io: Io,
): Promise<{ root: string; reach: () => Promise<Reached> }> {
  const asked = host ?? flags.host;
  const path = statePath(flags.state, io.env);
  if (asked === undefined && (flags.state !== undefined || existsSync(path))) {
    const state = readState(path);
    const target = hostWithKey(state, flags, io);
    return { root: state.record.root, reach: () => opened(target, io) };
  }
  // A job needs something to track; here only its host is of interest.
  const flagsOfJob = { ...flags, ...(asked !== undefined && { host: asked }), track: ['/etc'] };
  const { jobs } = await jobsOf(flagsOfJob, io, undefined);
  const [job] = jobs;
  const config = job?.host ?? { type: 'local', sudo: false };
  return { root: job?.root ?? '/', reach: () => reach(config, flags, io) };
}

function stateLines(name: string, { open, quarantine, past, guardVersion }: HostState): string[] {
  const lines: string[] = [];
  if (open) {
    lines.push(
      `${name}: transaction ${open.id} is open`,
      `  held by    ${open.holder}`,
      `  since      ${open.since}`,
      `  protects   ${open.track.join(' ')}`,
      open.decision
        ? `  decided    ${open.decision}, not finished yet`
        : `  lease      rolls back by itself in ${duration(open.leaseLeft)} without a sign of life`,
    );
  } else {
    lines.push(`${name}: nothing is open`);
  }
  if (quarantine) lines.push(`  quarantine ${quarantine}`);
  lines.push(`  guard      ${guardVersion}`);
  for (const { id, outcome, holder } of past) lines.push(`  before     ${id} ${outcome} ${holder}`);
  return lines.map(plain);
}
