import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import type { Complaint } from './complaints.ts';
import { type LoadContext, localPath } from './context.ts';
import type { FieldPath } from './document.ts';
import { parseDuration } from './durations.ts';
import type { SshLoginConfig } from './host-config.ts';
import type { RawHost, RawJob } from './schema.ts';
import { userProblem } from './ssh-url.ts';

export interface HostInput {
  raw: RawJob['host'];
  /** Directory that relative paths of the job are relative to. */
  directory: string;
  context: LoadContext;
  /** The private key itself, where an input gives it; wins over the job's. */
  sshKey?: string | undefined;
  /** Throw-away roots belong to whoever runs the job, so they never need sudo. */
  scratch: boolean;
  /** Look for keys and other files now, so that a missing one is refused with its line. */
  credentials: boolean;
  fail: (complaint: Complaint) => never;
}

/** What the job says about logging in. What it leaves out is left out here. */
export async function resolveLogin(raw: RawHost, input: HostInput): Promise<SshLoginConfig> {
  const { port, user, sudo, 'host-key-check': hostKeyCheck } = raw;
  const refuse = (field: string, message: string, found: unknown, allowed: string): never =>
    input.fail({ name: 'job-bad-value', path: ['host', field], message, found, allowed });
  const problem = user === undefined ? undefined : userProblem(user);
  if (problem) refuse('user', problem, user, 'a login name');
  const limit = raw['connect-timeout'];
  const connectTimeout = limit === undefined ? undefined : parseDuration(String(limit));
  if (connectTimeout === 0) {
    refuse('connect-timeout', 'Connecting needs some time.', 0, '1s or more');
  }
  return {
    ...(port !== undefined && { port }),
    ...(user !== undefined && { user }),
    ...(await resolveKey(raw, input)),
    ...(await resolveKnownHosts(raw, input)),
    ...(hostKeyCheck && { hostKeyCheck }),
    ...(sudo !== undefined && { sudo }),
    ...(connectTimeout && { connectTimeout }),
    ...(await resolveConfig(raw, input)),
  };
}

type Key = Pick<SshLoginConfig, 'key' | 'keyText' | 'agent'>;

async function resolveKey(raw: RawHost, input: HostInput): Promise<Key> {
  const { context, directory, fail } = input;
  const missing = (path: FieldPath, message: string): never =>
    fail({ name: 'key-missing', path, message, allowed: 'key, key-env or agent' });
  const key: Key = {};
  if (raw.agent === true) {
    const socket = context.env.SSH_AUTH_SOCK;
    if (socket) key.agent = socket;
    else if (input.credentials) missing(['host', 'agent'], 'SSH_AUTH_SOCK names no SSH agent.');
  } else if (raw.agent !== undefined) {
    key.agent = raw.agent && localPath(raw.agent, directory, context);
  }
  if (input.sshKey !== undefined) return { ...key, keyText: input.sshKey };
  if (raw.key !== undefined && raw['key-env'] !== undefined) {
    fail({
      name: 'job-bad-value',
      path: ['host', 'key-env'],
      message: 'There are two keys, one by "key" and one by "key-env".',
      found: raw['key-env'],
      allowed: 'one of them',
    });
  }
  if (raw['key-env'] !== undefined) {
    const keyText = context.env[raw['key-env']];
    if (keyText) return { ...key, keyText };
    if (!input.credentials) return key;
    return missing(['host', 'key-env'], `The variable ${raw['key-env']} is not set.`);
  }
  return raw.key === undefined ? key : { ...key, key: await givenKey(raw.key, input) };
}

async function givenKey(key: string, { fail, directory, context, credentials }: HostInput) {
  const path: FieldPath = ['host', 'key'];
  if (key.includes('PRIVATE KEY')) {
    // The text itself is not named: it is a secret.
    const message = '"host.key" holds a key; it must be the path of a key file.';
    fail({ name: 'job-bad-value', path, message, hint: 'Use key-env for a key in a variable.' });
  }
  const file = localPath(key, directory, context);
  if (credentials && !(await readable(file))) {
    const message = 'The SSH key file cannot be read.';
    fail({ name: 'key-unreadable', path, message, found: file, allowed: 'a readable file' });
  }
  return file;
}

async function resolveKnownHosts(
  raw: RawHost,
  { context, directory, credentials, fail }: HostInput,
): Promise<Pick<SshLoginConfig, 'knownHosts' | 'knownHostsFiles'>> {
  const given = raw['known-hosts'];
  if (given === undefined) return {};
  if (looksLikeKnownHosts(given)) return { knownHosts: given };
  const file = localPath(given, directory, context);
  if (credentials && !(await readable(file))) {
    const message = 'The known_hosts file cannot be read.';
    const path: FieldPath = ['host', 'known-hosts'];
    const allowed = 'a readable file, or lines like those of known_hosts';
    fail({ name: 'known-hosts-missing', path, message, found: file, allowed });
  }
  return { knownHostsFiles: [file] };
}

async function resolveConfig(
  raw: RawHost,
  { context, directory, credentials, fail }: HostInput,
): Promise<Pick<SshLoginConfig, 'sshConfig'>> {
  const given = raw['ssh-config'];
  if (given === undefined || given === 'none') return given ? { sshConfig: given } : {};
  const file = localPath(given, directory, context);
  if (credentials && !(await readable(file))) {
    const message = 'The SSH configuration cannot be read.';
    const path: FieldPath = ['host', 'ssh-config'];
    fail({ name: 'ssh-config-bad', path, message, found: file, allowed: 'a file, or none' });
  }
  return { sshConfig: file };
}

/** A line is "name keytype base64": no path of a file has such a middle. */
export function looksLikeKnownHosts(text: string): boolean {
  return /\n|\s(ssh|ecdsa|sk)-\S+\s/.test(text);
}

export async function readable(file: string): Promise<boolean> {
  try {
    await access(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
