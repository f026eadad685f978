import { type ErrorName, SavepointError } from '../errors.ts';
import { type ConfigProgram, configPrograms } from './ssh-config/problem.ts';

/** What somebody other than the job says about what may run on this machine. */
export interface Trust {
  /** Programs that ssh_config may have run. */
  programs?: readonly ConfigProgram[];
  /** Files of the workspace that may be used as a backend. */
  backends?: readonly string[];
  /** Absolute path of the folder that a CI puts what it tests into. */
  workspace?: string | undefined;
}

/**
 * Programs of ssh_config by their names, in any case of letters and with or without a blank.
 * @param field the option or input that names them
 * @throws SavepointError of the kind given
 */
export function programsNamed(
  names: readonly string[],
  field: string,
  problem: ErrorName,
): ConfigProgram[] {
  const plain = (name: string) => name.toLowerCase().replace(/\s/g, '');
  return names.map((name) => {
    const found = configPrograms.find((program) => plain(program) === plain(name));
    if (found) return found;
    throw new SavepointError(problem, {
      message: 'ssh_config has no such keyword that would run a program.',
      place: { field },
      details: { found: name, allowed: configPrograms },
    });
  });
}
