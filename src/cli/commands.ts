import type { Command } from 'commander';
import type { Io } from './io.ts';

/** Adds commands to the program; `done` takes their exit status. */
type Add = (program: Command, io: Io, done: (exit: number) => void) => void;

/** Commands in the order that help lists them, by what adds them, and how that is loaded. */
const groups: { names: string[]; load: () => Promise<Add> }[] = [
  { names: ['run'], load: async () => (await import('./run-command.ts')).addRunCommand },
  { names: ['begin'], load: async () => (await import('./begin-command.ts')).addBeginCommand },
  { names: ['exec'], load: async () => (await import('./exec-command.ts')).addExecCommand },
  {
    names: ['finish', 'rollback'],
    load: async () => (await import('./finish-commands.ts')).addFinishCommands,
  },
  {
    names: ['status', 'recover', 'host'],
    load: async () => (await import('./host-commands.ts')).addHostCommands,
  },
  { names: ['guard'], load: async () => (await import('./guard-commands.ts')).addGuardCommands },
  {
    names: ['validate', 'schema', 'errors'],
    load: async () => (await import('./about-commands.ts')).addAboutCommands,
  },
];

/** Every command there is. */
export const commandNames: readonly string[] = groups.flatMap(({ names }) => names);

/**
 * What adds the command of this name. Loading all that the others need takes longer than many a command
 * itself, so only help and complaints about a word that is no command, which list them, do that.
 */
export async function commandsFor(name: string | undefined): Promise<Add[]> {
  const named = groups.filter(({ names }) => name !== undefined && names.includes(name));
  return Promise.all((named.length > 0 ? named : groups).map(({ load }) => load()));
}
