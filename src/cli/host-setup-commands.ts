import type { Command } from 'commander';
import { holderOf } from '../ci/holder.ts';
import { SavepointError } from '../errors.ts';
import { type Guard, guardInUse } from '../guard/releases.ts';
import { type HostShell, rootShell } from '../host/shell.ts';
import type { Flags } from '../job/flags.ts';
import type { Job } from '../job/job.ts';
import type { SettingName } from '../job/settings.ts';
import { plain } from '../report/plain.ts';
import { checkUser } from '../setup/caveats.ts';
import { hostFacts, userFacts } from '../setup/facts.ts';
import { overviewLines, overviewOf } from '../setup/overview.ts';
import { planSetup, type SetupWish } from '../setup/plan.ts';
import { readPublicKey } from '../setup/public-key.ts';
import { planRemoval } from '../setup/removal.ts';
import { tell } from './host-setup-report.ts';
import { answer, type Io, screenOf } from './io.ts';
import { addSettings, collect, hostSettings } from './options.ts';
import { addTrustOptions } from './trust-options.ts';
import { withHost } from './with-host.ts';

interface HostFlags extends Flags {
  json?: boolean;
  dryRun?: boolean;
}

interface SetupFlags extends HostFlags {
  ciUser?: string;
  jobUser?: string;
  guard?: string;
  also?: string[];
  only?: boolean;
  forcedCommand?: string[];
  despiteRights?: boolean;
}

const setupHelp = `
Needs a login as root, or one that may do everything by \`sudo -n\`. From then on the CI user may run
the released guards named here, checked by sudo byte for byte, and nothing else; the guard keeps to
the policy made of --track, --refresh and --probe. Guards that were allowed before stay allowed
until --only, so that both releases work while the pin moves. Again with other options it changes
what they say and keeps the rest.

Examples:
  savepoint host setup ssh://root@lab-07 --ci-user ci --track apt --dry-run
  savepoint host setup ssh://root@lab-07 --ci-user ci --track /etc/apt/sources.list.d
  savepoint host setup ssh://root@lab-07 --job-user builder --forced-command ci_key.pub
  savepoint host setup ssh://root@lab-07 --only`;

/** \`savepoint host setup\`, \`show\` and \`remove\`: a host that pins its guard itself. */
export function addHostSetupCommands(host: Command, io: Io, done: (exit: number) => void): void {
  const setup = command(
    host,
    'setup',
    'let a CI user run the released guard as root, and no more',
    ['track', 'refresh', 'probe'],
  )
    .option('--ci-user <NAME>', 'who the CI logs in as')
    .option('--job-user <NAME>', 'who phases run as, instead of the CI user')
    .option('--guard <SHA256>', 'released guard to use instead of the pinned one')
    .option('--also <SHA256>', 'released guard to allow besides', collect)
    .option('--only', 'allow no guard but these, also not those allowed before')
    .option('--forced-command <FILE>', 'public key of the CI that may do nothing else', collect)
    .option('--despite-rights', 'accept a user who can become root otherwise')
    .option('--dry-run', 'tell what would be done')
    .addHelpText('after', setupHelp);
  setup.action((name: string | undefined, flags: SetupFlags) =>
    asRoot(name, flags, io, async (shell, job) => {
      const facts = await hostFacts(shell);
      const wish = wishOf(flags, job, io);
      const ciUser = flags.ciUser ?? facts.rules?.user ?? missingUser();
      const user = checkUser(
        ciUser,
        await userFacts(shell, ciUser),
        '--ci-user',
        flags.despiteRights === true,
      );
      if (flags.jobUser !== undefined) {
        checkUser(flags.jobUser, await userFacts(shell, flags.jobUser), '--job-user', false);
      }
      if (!facts.tools.sudo || !facts.tools.visudo) {
        throw new SavepointError('host-tools-missing', {
          message: `${shell.host.name} has no sudo and visudo, which check the guard's digest.`,
          details: { host: shell.host.name },
        });
      }
      const plan = planSetup(facts, user, wish);
      await tell(io, shell, plan.steps, plan.caveats, flags);
      done(0);
    }),
  );

  command(host, 'show', 'tell how a host pins its guard, and what is open there')
    .addHelpText('after', '\nExamples:\n  savepoint host show ssh://root@lab-07 --json')
    .action((name: string | undefined, flags: HostFlags) =>
      asRoot(name, flags, io, async (shell) => {
        const facts = await hostFacts(shell);
        const user = facts.rules && (await userFacts(shell, facts.rules.user));
        const overview = overviewOf(facts, user);
        if (flags.json) answer(io, { host: shell.host.name, ...overview });
        const screen = screenOf(io, flags.json);
        screen.line(`${shell.host.name}:`);
        for (const [label, text] of overviewLines(overview)) {
          screen.line(plain(`  ${label.padEnd(10)} ${text}`));
        }
        done(0);
      }),
    );

  command(host, 'remove', 'take guards, rules, recovery at boot and history off a host')
    .option('--dry-run', 'tell what would be done')
    .addHelpText('after', '\nExamples:\n  savepoint host remove ssh://root@lab-07 --dry-run')
    .action((name: string | undefined, flags: HostFlags) =>
      asRoot(name, flags, io, async (shell) => {
        const facts = await hostFacts(shell);
        const user = facts.rules && (await userFacts(shell, facts.rules.user));
        await tell(io, shell, planRemoval(shell.host.name, facts, user), [], flags);
        done(0);
      }),
    );
}

function command(host: Command, name: string, about: string, more: SettingName[] = []): Command {
  const made = host
    .command(name)
    .description(about)
    .argument('[HOST]', 'local (default), ssh://user@name:port, or a name')
    .option('--json', 'print the answer as a line of JSON');
  addSettings(made, [...hostSettings, ...more]);
  addTrustOptions(made, collect);
  return made;
}

/** Runs something as root on the host that is named. */
function asRoot(
  name: string | undefined,
  flags: HostFlags,
  io: Io,
  act: (shell: HostShell, job: Job) => Promise<void>,
): Promise<void> {
  return withHost(name, flags, io, async (host, job, { sudo }) => {
    await act(await rootShell(host, sudo), job);
  });
}

function wishOf(flags: SetupFlags, job: Job, io: Io): SetupWish {
  const also = (flags.also ?? []).map((digest): Guard => guardInUse(digest));
  if (flags.track === undefined && (flags.refresh !== undefined || flags.probe !== undefined)) {
    throw new SavepointError('bad-usage', {
      message:
        'A policy is made as a whole: what may run after a rollback goes with what may be tracked.',
      place: { field: flags.refresh === undefined ? '--probe' : '--refresh' },
      details: { allowed: 'together with --track' },
    });
  }
  return {
    holder: holderOf('host setup', io.env),
    guards: [guardInUse(flags.guard), ...also],
    only: flags.only === true,
    ...(flags.track !== undefined && {
      policy: {
        track: job.track.map(({ path }) => path),
        refresh: job.refresh.map(({ script }) => script),
        probe: job.probe.map(({ script }) => script),
      },
    }),
    ...(flags.jobUser !== undefined && { jobUser: flags.jobUser }),
    keys: (flags.forcedCommand ?? []).map(readPublicKey),
  };
}

function missingUser(): never {
  throw new SavepointError('bad-usage', {
    message: 'The host does not know yet who its CI logs in as.',
    place: { field: '--ci-user' },
    details: { allowed: 'a user of the host who is not root and may not become root' },
  });
}
