import { type ErrorName, SavepointError } from '../../errors.ts';

/** Where something in an ssh_config file is. */
export interface ConfigPlace {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
}

/** Programs that ssh_config can have run on this machine, by the names that allow them. */
export const configPrograms = [
  'ProxyCommand',
  'LocalCommand',
  'Match exec',
  'KnownHostsCommand',
] as const;

export type ConfigProgram = (typeof configPrograms)[number];

export function badConfig(
  place: ConfigPlace,
  message: string,
  more: { found?: string; allowed?: string; hint?: string; cause?: unknown } = {},
): SavepointError {
  return problem('ssh-config-bad', place, message, more);
}

/** A program that nobody allowed. A patch that can edit a file must not thereby run things here. */
export function refusedProgram(place: ConfigPlace, program: ConfigProgram, found: string) {
  return problem('ssh-config-program', place, `${program} would run a program on this machine.`, {
    found,
    hint: `Allow it by its name (--allow-program '${program}', or the input allow-program), or reach the host without it (ProxyJump needs no program).`,
  });
}

function problem(
  name: ErrorName,
  { file, line }: ConfigPlace,
  message: string,
  more: { found?: string; allowed?: string; hint?: string; cause?: unknown },
): SavepointError {
  const { found, allowed, hint, cause } = more;
  return new SavepointError(name, {
    message: `${file}:${line}: ${message}`,
    place: { file, line },
    details: { ...(found !== undefined && { found }), ...(allowed && { allowed }) },
    ...(hint && { hint }),
    ...(cause !== undefined && { cause }),
  });
}
