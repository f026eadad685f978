import type { Command } from 'commander';
import { workspaceOf } from '../ci/workspace.ts';
import { programsNamed, type Trust } from '../host/trust.ts';
import type { Flags } from '../job/flags.ts';
import type { Io } from './io.ts';

/** Options that no job file has: what it may make run on this machine is not for it to say. */
export function addTrustOptions(
  command: Command,
  collect: (value: string, earlier: string[] | undefined) => string[],
): void {
  command
    .option('--allow-program <NAME>', 'let ssh_config run it: ProxyCommand, …', collect)
    .option('--allow-backend <FILE>', 'let a backend in the workspace of a CI run', collect);
}

/** What these options allow. @throws SavepointError `bad-usage` */
export function trustOf({ allowProgram, allowBackend }: Flags, { env }: Io): Trust {
  return {
    programs: programsNamed(words(allowProgram), '--allow-program', 'bad-usage'),
    backends: words(allowBackend),
    workspace: workspaceOf(env),
  };
}

function words(value: Flags[string]): string[] {
  return [value ?? []].flat().map(String);
}
