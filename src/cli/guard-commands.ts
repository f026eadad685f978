import type { Command } from 'commander';
import { holderOf } from '../ci/holder.ts';
import { SavepointError } from '../errors.ts';
import { guardInUse } from '../guard/releases.ts';
import { loginShell, rootShell } from '../host/shell.ts';
import type { Flags } from '../job/flags.ts';
import type { Abilities } from '../rehearsal/abilities.ts';
import { checkGuard, guardFromFile } from '../rehearsal/check.ts';
import { protect, unprotected } from '../rehearsal/protection.ts';
import type { Check } from '../rehearsal/rehearse.ts';
import { plain } from '../report/plain.ts';
import { answer, type Io, screenOf } from './io.ts';
import { addSettings, collect, hostSettings } from './options.ts';
import { addReleaseCommands } from './release-commands.ts';
import { addTrustOptions } from './trust-options.ts';
import { withHost } from './with-host.ts';

const checkHelp = `
The guard is run with the host's own shell and tools below a scratch root: whole transactions, then
each verb killed at some moments and recovered, everything compared by a manifest that the guard has
no part in. Where the login is root, the host's own apt and dnf configuration is meanwhile in a
transaction of the pinned guard. Exit status 0 when everything held, else 3.

Examples:
  savepoint guard check guard/guard.sh
  savepoint guard check guard/guard.sh --host ssh://root@lab-07 --points 10 --json`;

interface CheckFlags extends Flags {
  points?: string;
  json?: boolean;
}

/** \`savepoint guard check\`, and what moves a guard on in a checkout of Savepoint. */
export function addGuardCommands(program: Command, io: Io, done: (exit: number) => void): void {
  const guard = program.command('guard').description('try, release and promote a guard');
  addReleaseCommands(guard, io, done);
  const check = guard
    .command('check')
    .description('rehearse a guard on a host, in a scratch root')
    .argument('<FILE>', 'the guard, such as guard/guard.sh')
    .option('--points <NUMBER>', 'moments at which each verb is killed (default 3)')
    .option('--json', 'print the report as a line of JSON')
    .addHelpText('after', checkHelp);
  addSettings(check, hostSettings);
  addTrustOptions(check, collect);
  check.action(async (file: string, flags: CheckFlags) => {
    const candidate = guardFromFile(file);
    const points = pointsOf(flags.points);
    await withHost(undefined, flags, io, async (host, job, target) => {
      const login = loginShell(host);
      const isRoot = (await login.run('id -u')).trim() === '0';
      const shell = isRoot || !target.sudo ? login : await rootShell(host, true);
      const protection = isRoot
        ? await protect(shell, guardInUse(), { job, target }, holderOf('guard check', io.env))
        : unprotected('the login is not root');
      const screen = screenOf(io, flags.json);
      screen.line(plain(`guard ${candidate.version} sha256:${candidate.sha256} on ${host.name}`));
      screen.line(plain(`  protected meanwhile: ${protection.about}`));
      const report = await checkGuard(shell, candidate, { points, protection }, (found) => {
        for (const line of linesOf(found)) screen.line(plain(`  ${line}`));
      });
      const failed = report.checks.filter(({ held }) => !held).length;
      screen.line(
        failed === 0 ? 'Everything held.' : `${failed} of ${report.checks.length} did not hold.`,
      );
      if (flags.json) answer(io, { ...report, name: host.name });
      done(report.held ? 0 : 3);
    });
  });
}

function linesOf(found: Check | Abilities): string[] {
  if ('held' in found) {
    const { held, what, detail } = found;
    return [`${held ? 'held  ' : 'FAILED'} ${what}${detail ? `: ${detail}` : ''}`];
  }
  return found.found.map(([what, is]) => `${what.padEnd(11)} ${is}`);
}

function pointsOf(given: string | undefined): number {
  if (given === undefined) return 3;
  if (/^\d{1,3}$/.test(given)) return Number(given);
  throw new SavepointError('bad-usage', {
    message: 'That is no number of moments.',
    place: { field: '--points' },
    details: { found: given, allowed: '0 to 999' },
  });
}
