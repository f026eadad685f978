import { basename } from 'node:path';
import { SavepointError } from '../errors.ts';
import { type LoadContext, processContext } from './context.ts';
import type { JobRequest } from './load.ts';
import { parseSet } from './override.ts';
import { lines, type Origin, type SettingValue, settingOverrides } from './setting-overrides.ts';

/** Options as a command line parser gives them: `onSuccess` or `on-success`, undefined if absent. */
export type Flags = Readonly<Record<string, SettingValue | undefined>>;

/**
 * What the command line asks for: `run JOB --set …`, or `run --track apt --files DIR -- COMMAND…`.
 * Options that are not fields of a job are passed over: they belong to the command itself.
 * @throws SavepointError `bad-usage`, `set-bad`
 */
export function requestFromFlags(
  flags: Flags,
  { job, command = [] }: { job?: string | undefined; command?: readonly string[] } = {},
  context: LoadContext = processContext(),
): JobRequest {
  const origin: Origin = { nameOf: (name) => `--${name}`, problem: 'bad-usage', context };
  const sets = [flags.set ?? []].flat().filter((text) => typeof text === 'string');
  const given = new Map<string, SettingValue>();
  for (const [name, value] of Object.entries(flags)) {
    if (value !== undefined) given.set(kebab(name), value);
  }
  const overrides = [...sets.map(parseSet), ...settingOverrides(given, origin)];
  if (command.length > 0) {
    const value = command.map(quoteWord).join(' ');
    overrides.push({ path: ['phases', 'test', 'run'], value, from: 'the command after --' });
  }
  const name = command[0] === undefined ? undefined : basename(command[0]);
  return { ...requestFor(job, name), overrides, context };
}

/**
 * What the action's inputs ask for. An empty input counts as absent: GitHub cannot tell them apart.
 * @throws SavepointError `bad-input`, `set-bad`, `key-bad`
 */
export function requestFromInputs(
  inputs: Readonly<Record<string, string | undefined>>,
  context: LoadContext = processContext(),
): JobRequest {
  const nameOf = (name: string) => `input ${name}`;
  const origin: Origin = { nameOf, problem: 'bad-input', context };
  const given = new Map<string, string>();
  for (const [name, value] of Object.entries(inputs)) if (value?.trim()) given.set(name, value);
  const sets = lines(given.get('set') ?? '').map(parseSet);
  const overrides = [...sets, ...settingOverrides(given, origin)];
  const run = given.get('run');
  if (run) overrides.push({ path: ['phases', 'test', 'run'], value: run, from: nameOf('run') });
  const sshKey = given.get('ssh-key');
  if (sshKey && !sshKey.includes('PRIVATE KEY')) {
    throw new SavepointError('key-bad', {
      message: 'The input ssh-key does not hold a private key.',
      place: { field: 'ssh-key' },
      details: { allowed: 'the text of a private key, with its BEGIN and END lines' },
    });
  }
  return {
    ...requestFor(given.get('job')),
    overrides,
    context,
    // The last line end is easily lost on the way through a secret, and parsers insist on it.
    ...(sshKey && { sshKey: sshKey.endsWith('\n') ? sshKey : `${sshKey}\n` }),
  };
}

function requestFor(file?: string, name?: string): JobRequest {
  return { ...(file !== undefined && { file }), ...(name !== undefined && { name }) };
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** A word of a command line as the shell will read it back. */
function quoteWord(word: string): string {
  return /^[A-Za-z0-9_@%+:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
