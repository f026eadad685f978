import { parseBackend } from './backend-name.ts';
import { localPath } from './context.ts';
import type { BackendHostConfig, HostConfig, SshHostConfig } from './host-config.ts';
import { type HostInput, readable, resolveLogin } from './host-login.ts';
import type { RawHost } from './schema.ts';
import { hostNameProblem, parseSshUrl, sshUrlForm } from './ssh-url.ts';

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
