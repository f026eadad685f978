import type { Command } from 'commander';
import { SavepointError } from '../errors.ts';
import { promote, release } from '../releasing/checkout.ts';
import { answer, type Io, screenOf } from './io.ts';

const releaseHelp = `
Copies guard/guard.sh to guard/releases/VERSION, provided that docs/proof.json records a whole run of
the proof on these very bytes, without a violation. The pin does not move: that is \`promote\`.

Examples:
  npm run proof && savepoint guard release 1.1.0`;

const promoteHelp = `
Writes guard/pin.json and nothing else. The release must be committed, and so must the candidate: a
change that moves the pin contains nothing that it would protect from.

Examples:
  savepoint guard promote 1.1.0`;

/** \`savepoint guard release\` and \`promote\`, for a checkout of Savepoint itself. */
export function addReleaseCommands(guard: Command, io: Io, done: (exit: number) => void): void {
  const add = (name: 'release' | 'promote', about: string, help: string): void => {
    guard
      .command(name)
      .description(about)
      .argument('<VERSION>', 'such as 1.1.0')
      .option('--in <DIR>', 'checkout of Savepoint (default: here)', '.')
      .option('--json', 'print the answer as a line of JSON')
      .addHelpText('after', help)
      .action((version: string, flags: { in: string; json?: boolean }) => {
        checkVersion(version);
        const made = name === 'release' ? release(flags.in, version) : promote(flags.in, version);
        if (flags.json) answer(io, made);
        const what = name === 'release' ? `Released in ${made.path}` : 'Pinned in guard/pin.json';
        screenOf(io, flags.json).line(`${what}: guard ${version} sha256:${made.sha256}.`);
        done(0);
      });
  };
  add('release', 'make the candidate a release that may be pinned', releaseHelp);
  add('promote', 'pin a release', promoteHelp);
}

function checkVersion(version: string): void {
  if (/^\d+\.\d+\.\d+$/.test(version)) return;
  throw new SavepointError('bad-usage', {
    message: 'That is no version.',
    place: { field: 'VERSION' },
    details: { found: version, allowed: 'three numbers, such as 1.1.0' },
  });
}
