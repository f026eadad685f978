import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { Complaint } from './complaints.ts';
import { type LoadContext, localPath } from './context.ts';
import type { FieldPath } from './document.ts';
import { parseDuration } from './durations.ts';
import type { HostConfig, SshHostConfig } from './host-config.ts';
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
  /** Look for keys and known_hosts files now, so that a missing one is refused with its line. */
  credentials: boolean;
  fail: (complaint: Complaint) => never;
}

const defaultConnectTimeout = 10;

/** Which host a job is for, with every default filled in. */
export async function resolveHost(input: HostInput): Promise<HostConfig> {
  const raw = asMapping(input);
  const { type, sudo, ...ssh } = raw;
  const given = Object.keys(ssh);
  if ((type ?? (given.length > 0 ? 'ssh' : 'local')) === 'ssh') return resolveSsh(raw, input);
  if (given.length > 0) {
    input.fail({
      name: 'host-conflict',
      path: ['host', given[0] ?? 'name'],
      message: `Two hosts are asked for: type is local, but ${given.join(', ')} is for SSH.`,
      found: 'local',
      allowed: 'type, sudo',
      hint: 'Use type: ssh, or leave the fields for SSH out.',
    });
  }
  return { type: 'local', sudo: sudo ?? !(input.context.isRoot || input.scratch) };
}

function asMapping({ raw = 'local', fail }: HostInput): RawHost {
  if (typeof raw !== 'string') return raw;
  if (raw === 'local') return { type: 'local' };
  const problem = (message: string, hint?: string) =>
    fail({
      name: 'job-bad-value',
      path: ['host'],
      message: `"host" does not name a host. ${message}`,
      found: raw.replace(/:[^:@/]*@/, ':…@'),
      allowed: `local, ${sshUrlForm}, or a mapping`,
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
  const { context, fail } = input;
  const refuse = (field: string, message: string, found?: unknown, allowed?: string): never =>
    fail({ name: 'job-bad-value', path: ['host', field], message, found, allowed });
  if (raw.name === undefined) {
    return fail({
      name: 'job-missing-field',
      path: ['host', 'name'],
      message: 'An SSH host needs its name or address.',
      allowed: `name: lab-07, or host: ${sshUrlForm}`,
    });
  }
  const name = raw.name.replace(/^\[(.*)\]$/, '$1');
  const user = raw.user ?? context.user;
  const problem = hostNameProblem(name);
  if (problem) refuse('name', problem, raw.name, 'a host name or an address');
  const userTrouble = userProblem(user);
  if (userTrouble) refuse('user', userTrouble, user, 'a login name');
  const timeout = parseDuration(String(raw['connect-timeout'] ?? defaultConnectTimeout));
  if (!timeout) refuse('connect-timeout', 'Connecting needs some time.', 0, '1s or more');
  return {
    type: 'ssh',
    name,
    port: raw.port ?? 22,
    user,
    ...(await resolveKey(raw, input)),
    ...(await resolveKnownHosts(raw, input)),
    hostKeyCheck: raw['host-key-check'] ?? 'strict',
    sudo: raw.sudo ?? user !== 'root',
    connectTimeout: timeout ?? defaultConnectTimeout,
  };
}

type Key = Pick<SshHostConfig, 'key' | 'keyText' | 'agent'>;

async function resolveKey(raw: RawHost, input: HostInput): Promise<Key> {
  const { context, directory, fail } = input;
  const missing = (path: FieldPath, message: string, hint?: string): never =>
    fail({ name: 'key-missing', path, message, hint, allowed: 'key, key-env or agent' });
  const key: Key = {};
  if (raw.agent === true) {
    const socket = context.env.SSH_AUTH_SOCK;
    if (socket) key.agent = socket;
    else if (input.credentials) missing(['host', 'agent'], 'SSH_AUTH_SOCK names no SSH agent.');
  } else if (raw.agent) {
    key.agent = localPath(raw.agent, directory, context);
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
  if (raw.key !== undefined) return { ...key, key: await givenKey(raw.key, input) };
  if (raw.agent) return key;
  const found = raw.agent === false ? {} : agentOf(context);
  const file = await firstReadable(defaultKeys.map((base) => join(context.home, '.ssh', base)));
  if (!found.agent && !file && input.credentials) {
    missing(['host'], 'There is no SSH key to log in with.', 'Name a key file with "key".');
  }
  return { ...found, ...(file && { key: file }) };
}

/** The files OpenSSH looks for without being told (ssh_config(5), IdentityFile). */
const defaultKeys = ['id_ed25519', 'id_ecdsa', 'id_rsa'];

function agentOf({ env }: LoadContext): Key {
  return env.SSH_AUTH_SOCK ? { agent: env.SSH_AUTH_SOCK } : {};
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

/** Without known-hosts, the files OpenSSH looks at (ssh_config(5)); those may well be absent. */
async function resolveKnownHosts(
  raw: RawHost,
  { context, directory, credentials, fail }: HostInput,
): Promise<Pick<SshHostConfig, 'knownHosts' | 'knownHostsFiles'>> {
  const given = raw['known-hosts'];
  if (given === undefined) {
    const own = join(context.home, '.ssh', 'known_hosts');
    return { knownHostsFiles: [own, '/etc/ssh/ssh_known_hosts'] };
  }
  if (looksLikeKnownHosts(given)) return { knownHosts: given, knownHostsFiles: [] };
  const file = localPath(given, directory, context);
  if (credentials && !(await readable(file))) {
    const message = 'The known_hosts file cannot be read.';
    const path: FieldPath = ['host', 'known-hosts'];
    const allowed = 'a readable file, or lines like those of known_hosts';
    fail({ name: 'known-hosts-missing', path, message, found: file, allowed });
  }
  return { knownHostsFiles: [file] };
}

/** A line is "name keytype base64": no path of a file has such a middle. */
export function looksLikeKnownHosts(text: string): boolean {
  return /\n|\s(ssh|ecdsa|sk)-\S+\s/.test(text);
}

async function firstReadable(files: string[]): Promise<string | undefined> {
  for (const file of files) if (await readable(file)) return file;
  return undefined;
}

async function readable(file: string): Promise<boolean> {
  try {
    await access(file, constants.R_OK);
    return true;
  } catch {
    return false;
  }
}
