import { type Command, Option } from 'commander';
import type { Environment } from '../ci/environment.ts';
import { SavepointError } from '../errors.ts';
import { processContext } from '../job/context.ts';
import { type Flags, requestFromFlags } from '../job/flags.ts';
import { keyTextOf } from '../job/host-config.ts';
import type { Job } from '../job/job.ts';
import { loadJobs } from '../job/load.ts';
import { type SettingName, settingNames, settingOf } from '../job/settings.ts';
import type { Io } from './io.ts';
import { addTrustOptions } from './trust-options.ts';

/** The settings that say which host, and how to reach it. */
export const hostSettings: SettingName[] = [
  'host',
  'port',
  'user',
  'key',
  'key-env',
  'agent',
  'known-hosts',
  'host-key-check',
  'sudo',
  'connect-timeout',
  'ssh-config',
];

const repeatable: ReadonlySet<string> = new Set(['list', 'paths', 'variables']);

/** Adds an option for each setting, as the action has an input for each. */
export function addSettings(command: Command, names: readonly SettingName[] = settingNames): void {
  for (const name of names) {
    const { kind, argument, about } = settingOf(name);
    const option = new Option(argument ? `--${name} <${argument}>` : `--${name}`, about);
    command.addOption(repeatable.has(kind) ? option.argParser(collect) : option);
  }
}

/** What every command that runs jobs takes besides. */
export function addJobOptions(command: Command): void {
  addSettings(command);
  addTrustOptions(command, collect);
  command
    .option('--set <FIELD=VALUE>', 'override a field of the job by its dotted path', collect)
    .option('--mask-env <NAME>', 'variable whose value nothing may show', collect)
    .option('--guard <SHA256>', 'released guard to use instead of the pinned one')
    .option('--output <DIR>', 'folder for the result, events and diffs')
    .option('--json', 'print the result as a line of JSON');
}

/** Gathers what is given several times. */
export function collect(value: string, earlier: string[] | undefined): string[] {
  return [...(earlier ?? []), value];
}

/**
 * The jobs that are asked for, and what none of their commands may see or show.
 * @throws SavepointError of class usage.
 */
export async function jobsOf(
  flags: Flags,
  io: Io,
  file: string | undefined,
): Promise<{ jobs: Job[]; secrets: string[] }> {
  const context = { ...processContext(), env: io.env };
  const words = { job: file, command: io.command };
  const jobs = await loadJobs(requestFromFlags(flags, words, context));
  const keys = jobs.flatMap(({ host }) => keyTextOf(host) ?? []);
  // Commands on the controller inherit the environment, and the key is none of theirs.
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && keys.includes(value)) delete process.env[name];
  }
  return { jobs, secrets: [...keys, ...maskedVariables(flags.maskEnv, io.env)] };
}

/** Values that no output, event or result may show. */
export function maskedVariables(names: Flags[string], env: Environment): string[] {
  const passphrase = env.SAVEPOINT_KEY_PASSPHRASE;
  const listed = [names ?? []].flat().map((name) => {
    const value = env[String(name)];
    if (value) return value;
    throw new SavepointError('bad-usage', {
      message: `The variable ${name} to mask is not set.`,
      place: { field: '--mask-env' },
      details: { found: name, allowed: 'the name of a variable with a value' },
    });
  });
  return [...(passphrase ? [passphrase] : []), ...listed];
}
