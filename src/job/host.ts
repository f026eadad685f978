import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { parseBackend } from './backend-name.ts';
import type { Complaint } from './complaints.ts';
import { type LoadContext, localPath } from './context.ts';
import type { FieldPath } from './document.ts';
import { parseDuration } from './durations.ts';
import type {
  BackendHostConfig,
  HostConfig,
  SshHostConfig,
  SshLoginConfig,
} from './host-config.ts';
import type { RawHost, RawJob } from './schema.ts';
import { hostNameProblem, parseSshUrl, sshUrlForm, userProblem } from './ssh-url.ts';

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

/** Which host a job is for, as it was asked for: what is left out is for ssh_config to say. */
export async function resolveHost(input: HostInput): Promise<HostConfig> {
  const raw = asMapping(input);
  const { type: asked, sudo, use, with: _told, ...ssh } = raw;
  const given = Object.keys(ssh);
  const type = asked ?? (use !== undefined ? 'backend' : given.length > 0 ? 'ssh' : 'local');
  const strangers = strangersTo(type, raw);
  if (strangers[0] !== undefined) {
    input.fail({
      name: 'host-conflict',
      path: ['host', strangers[0]],
      message: `Two hosts are asked for: type is ${type}, but ${strangers.join(', ')} is for ${type === 'local' ? 'SSH' : 'another'}.`,
      found: type,
      allowed: type === 'local' ? 'type, sudo' : `the fields of type ${type}`,
      hint: 'Use another type, or leave these fields out.',
    });
  }
  if (type === 'ssh') return resolveSsh(raw, input);
  if (type === 'backend') return resolveBackend(raw, input);
  return { type: 'local', sudo: sudo ?? !(input.context.isRoot || input.scratch) };
}

/** The fields that say something about another type of host. */
function strangersTo(type: HostConfig['type'], raw: RawHost): string[] {
  const given = Object.keys(raw).filter((field) => field !== 'type' && field !== 'sudo');
  if (type === 'local') return given;
  const others = type === 'ssh' ? ['use', 'with'] : ['name', 'port'];
  return given.filter((field) => others.includes(field));
}

function asMapping({ raw = 'local', fail }: HostInput): RawHost {
  if (typeof raw !== 'string') return raw;
  if (raw === 'local') return { type: 'local' };
  const backend = parseBackend(raw);
  if (backend) return backend;
  const problem = (message: string, hint?: string) =>
    fail({
      name: 'job-bad-value',
      path: ['host'],
      message: `"host" does not name a host. ${message}`,
      found: raw.replace(/:[^:@/]*@/, ':…@'),
      allowed: `local, ${sshUrlForm}, backend:FILE, or a mapping`,
      hint,
    });
  if (!raw.includes('://')) {
    const named = hostNameProblem(raw.replace(/^[^@]*@/, '')) === undefined;
    return problem('It is not an address.', named ? `Did you mean "ssh://${raw}"?` : undefined);
  }
  const address = parseSshUrl(raw);
  return typeof address === 'string' ? problem(address) : { type: 'ssh', ...address };
}

async function resolveSsh(raw: RawHost, input: HostInput): Promise<SshHostConfig> {
  const { fail } = input;
  if (raw.name === undefined) {
    return fail({
      name: 'job-missing-field',
      path: ['host', 'name'],
      message: 'An SSH host needs its name or address.',
      allowed: `name: lab-07, or host: ${sshUrlForm}`,
    });
  }
  const name = raw.name.replace(/^\[(.*)\]$/, '$1');
  const message = hostNameProblem(name);
  if (message) {
    const allowed = 'a host name or an address';
    fail({ name: 'job-bad-value', path: ['host', 'name'], message, found: raw.name, allowed });
  }
  return { type: 'ssh', name, ...(await resolveLogin(raw, input)) };
}

async function resolveBackend(raw: RawHost, input: HostInput): Promise<BackendHostConfig> {
  const { directory, context, credentials, fail } = input;
  if (raw.use === undefined) {
    return fail({
      name: 'job-missing-field',
      path: ['host', 'use'],
      message: 'A backend is an ES module or an executable, which is to be named.',
      allowed: 'use: ./my-backend.mjs',
    });
  }
  const use = localPath(raw.use, directory, context);
  if (credentials && !(await readable(use))) {
    const message = 'The backend cannot be read.';
    const allowed = 'an ES module (.mjs) or an executable';
    fail({ name: 'backend-bad', path: ['host', 'use'], message, found: use, allowed });
  }
  const login = await resolveLogin(raw, input);
  return { type: 'backend', use, with: raw.with ?? {}, ...login };
}

async function resolveLogin(raw: RawHost, input: HostInput): Promise<SshLoginConfig> {
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

async function readable(file: string): Promise<boolean> {
  try {
    await access(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
