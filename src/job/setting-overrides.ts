import { type ErrorName, SavepointError } from '../errors.ts';
import { parseBackend } from './backend-name.ts';
import { type LoadContext, localPath } from './context.ts';
import { looksLikeKnownHosts } from './host-login.ts';
import type { Override } from './override.ts';
import { type SettingName, settingNames, settingOf } from './settings.ts';
import { parseSshUrl, sshUrlForm } from './ssh-url.ts';

/** What was given for one option or input; several when it was repeated. */
export type SettingValue = string | readonly string[] | boolean;

/** Who is asking, which decides how options are named in messages. */
export interface Origin {
  nameOf: (setting: string) => string;
  problem: ErrorName;
  context: LoadContext;
}

/**
 * The settings that were given as fields of a job. What is no setting is passed over.
 * @throws SavepointError of the origin's kind, for what cannot be told from the field alone.
 */
export function settingOverrides(
  given: ReadonlyMap<string, SettingValue>,
  origin: Origin,
): Override[] {
  // In the table's order, so that the host comes before its port whoever wrote them how.
  return settingNames.flatMap((name) => {
    const value = given.get(name);
    return value === undefined ? [] : overridesOf(name, value, origin);
  });
}

function overridesOf(name: SettingName, value: SettingValue, origin: Origin): Override[] {
  const { kind, path } = settingOf(name);
  const { context } = origin;
  const from = origin.nameOf(name);
  const identity = path[0] === 'host' && (name === 'user' || name === 'port');
  const one = (converted: unknown): Override[] => [
    { path: [...path], value: converted, from, identity },
  ];
  const text = String(value);
  switch (kind) {
    case 'number':
      return one(/^\d+$/.test(text) ? Number(text) : text);
    case 'boolean':
      return one(asBoolean(text));
    case 'path':
      return one(localPath(text, context.cwd, context));
    case 'known-hosts':
      return one(looksLikeKnownHosts(text) ? text : localPath(text, context.cwd, context));
    case 'ssh-config':
      return one(text === 'none' ? text : localPath(text, context.cwd, context));
    case 'agent':
      return one(
        /^(true|false)$/.test(text) ? text === 'true' : localPath(text, context.cwd, context),
      );
    case 'list':
      return one(itemsOf(value));
    case 'paths':
      return one(itemsOf(value).map((item) => localPath(item, context.cwd, context)));
    case 'variables':
      return [value].flat().flatMap((item) => variables(String(item), path, from, origin));
    case 'host':
      return hostOverrides(text, from, origin);
    case 'text':
      return one(text);
  }
}

function itemsOf(value: SettingValue): string[] {
  return [value].flat().flatMap((item) => lines(String(item).replaceAll(',', '\n')));
}

function variables(text: string, path: readonly string[], from: string, origin: Origin) {
  return lines(text).map((line): Override => {
    const at = line.indexOf('=');
    if (at > 0) return { path: [...path, line.slice(0, at)], value: line.slice(at + 1), from };
    throw new SavepointError(origin.problem, {
      message: 'A variable lacks its value.',
      place: { field: from },
      // Anything but a name may be a part of somebody's secret.
      details: { found: /^\w+$/.test(line) ? line : undefined, allowed: 'NAME=VALUE' },
    });
  });
}

function hostOverrides(text: string, from: string, origin: Origin): Override[] {
  const set = (field: string, value: unknown): Override[] =>
    value === undefined ? [] : [{ path: ['host', field], value, from, identity: true }];
  if (text === 'local') return set('type', 'local');
  const backend = parseBackend(text);
  if (backend) {
    const { cwd } = origin.context;
    return [...set('type', 'backend'), ...set('use', localPath(backend.use, cwd, origin.context))];
  }
  const address = parseSshUrl(text.includes('://') ? text : `ssh://${text}`);
  if (typeof address === 'string') {
    throw new SavepointError(origin.problem, {
      message: `"${from}" does not name a host. ${address}`,
      place: { field: from },
      details: {
        found: text.replace(/:[^:@/]*@/, ':…@'),
        allowed: `local, ${sshUrlForm}, a name, or backend:FILE`,
      },
    });
  }
  const { name, user, port } = address;
  return [...set('type', 'ssh'), ...set('name', name), ...set('user', user), ...set('port', port)];
}

function asBoolean(text: string): boolean | string {
  return text === 'true' || (text === 'false' ? false : text);
}

/** The lines of a text that hold something, trimmed. */
export function lines(text: string): string[] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
}
