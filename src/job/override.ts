import { parse } from 'yaml';
import { type Place, SavepointError, sentenceOf } from '../errors.ts';
import { expandHost } from './ssh-url.ts';

/** One field that is set from outside the job file. Laid over it before anything is checked. */
export interface Override {
  /** Components of the field: mapping keys, or indexes of a list. */
  path: string[];
  value: unknown;
  /** What the person wrote or which option or input it was, for messages. */
  from: string;
  /** Says which host is meant: where the job file says another, that is `host-conflict`. */
  identity?: boolean;
}

type Locate = (path: readonly string[]) => Place;

/**
 * Reads `--set phases.test.timeout=5m`. The value is YAML, so `true`, `[apt, pip]` and `5` mean
 * what they would in the job file; an empty one is empty text, and one for `env` is taken as it is.
 * @throws SavepointError `set-bad`
 */
export function parseSet(text: string): Override {
  const at = text.indexOf('=');
  const path = text.slice(0, Math.max(at, 0)).split('.');
  if (at < 1 || path.includes('')) throw setBad(text, 'It is not of the form field=value.');
  const value = text.slice(at + 1);
  const from = `--set ${text}`;
  if (value === '' || path.at(-2) === 'env') return { path, value, from };
  try {
    return { path, value: parse(value), from };
  } catch (cause) {
    throw setBad(text, `The value is not YAML: ${firstLine(cause)}`, cause);
  }
}

/**
 * Lays overrides over what a job file says, making the mappings that are missing on the way.
 * @throws SavepointError `set-bad` when the way leads through something that has no fields,
 *   `host-conflict` when an option and the job file, or two options, name different hosts.
 */
export function override(data: unknown, overrides: readonly Override[], locate: Locate): unknown {
  return overrides.reduce((laid, one) => {
    const intoHost = one.path[0] === 'host' && one.path.length > 1;
    return setAt(intoHost ? expandHost(laid) : laid, one.path, one, locate);
  }, data);
}

/** A command written as one text, with the same command as a mapping. */
function expandCommand(node: unknown, { path }: Override, rest: readonly string[]): unknown {
  const at = path.slice(0, path.length - rest.length - 1);
  const isCommand = at[0] === 'check' || (at[0] === 'phases' && at.length === 2);
  return typeof node === 'string' && isCommand ? { run: node } : node;
}

function setAt(node: unknown, path: string[], override: Override, locate: Locate): unknown {
  const [key, ...rest] = path;
  if (key === undefined) {
    if (override.identity && node !== undefined && node !== override.value) {
      throw hostConflict(node, override, locate);
    }
    return override.value;
  }
  const parent = expandCommand(node ?? {}, override, rest);
  if (Array.isArray(parent)) {
    if (!/^\d+$/.test(key) || Number(key) > parent.length) {
      throw setBad(override.from, `"${key}" is not a place in a list of ${parent.length}.`);
    }
    const copy = [...parent];
    copy[Number(key)] = setAt(parent[Number(key)], rest, override, locate);
    return copy;
  }
  if (typeof parent !== 'object' || parent === null) {
    throw setBad(override.from, `There is no field "${key}" in ${JSON.stringify(parent)}.`);
  }
  // Entries define properties, so a key named __proto__ is one like any other.
  const entries = new Map<string, unknown>(Object.entries(parent));
  entries.set(key, setAt(entries.get(key), rest, override, locate));
  return Object.fromEntries(entries);
}

function hostConflict(node: unknown, override: Override, locate: Locate): SavepointError {
  const place = locate(override.path);
  const field = override.path.join('.');
  return new SavepointError('host-conflict', {
    message: `Two different hosts were asked for: ${field} is ${node}, and ${override.value}.`,
    place: { ...place, field },
    details: { found: `${node}`, 'set by': override.from, allowed: 'one host' },
    hint: 'Name the host in one place, or replace the one of the job file with --set host=….',
  });
}

function setBad(found: string, why: string, cause?: unknown): SavepointError {
  return new SavepointError('set-bad', {
    message: `Cannot use this override. ${why}`,
    details: { found, allowed: 'field=value, with dots between the parts of the field' },
    place: { field: '--set' },
    cause,
  });
}

function firstLine(error: unknown): string {
  return sentenceOf(error).split('\n', 1)[0] ?? '';
}
