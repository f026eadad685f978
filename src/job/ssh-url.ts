import { parseBackend } from './backend-name.ts';

/** What an ssh:// address names; what it leaves out is for others to fill in. */
export interface SshAddress {
  name: string;
  user?: string;
  port?: number;
}

export const sshUrlForm = 'ssh://user@name:port';

/**
 * Reads `ssh://user@name:port` (the form of draft-ietf-secsh-scp-sftp-ssh-uri-04 without a path).
 * Gives a sentence about what is wrong with it when it is not one.
 */
export function parseSshUrl(text: string): SshAddress | string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return 'It is not an address.';
  }
  if (url.protocol !== 'ssh:') return `It is an address of another kind (${url.protocol}).`;
  if (url.password !== '') return 'It holds a password, which would be readable by everybody.';
  if (!['', '/'].includes(url.pathname) || url.search || url.hash) {
    return 'It has something after the name and port.';
  }
  const user = decode(url.username);
  const name = decode(url.hostname.replace(/^\[(.*)\]$/, '$1'));
  if (user === undefined || name === undefined) return 'It has a broken %-escape.';
  const problem = hostNameProblem(name) ?? (user === '' ? undefined : userProblem(user));
  if (problem) return problem;
  const port = url.port === '' ? undefined : Number(url.port);
  if (port === 0) return 'Port 0 cannot be connected to.';
  return { name, ...(user && { user }), ...(port && { port }) };
}

/**
 * A job whose `host:` is one text, with the same host as a mapping, so that single fields of it
 * can be set. A text that names no host is left for the schema's reader to complain about.
 */
export function expandHost(job: unknown): unknown {
  if (typeof job !== 'object' || job === null || !('host' in job)) return job;
  const { host } = job;
  if (host === 'local') return { ...job, host: { type: 'local' } };
  if (typeof host === 'object' && host !== null && 'name' in host && !('type' in host)) {
    return { ...job, host: { type: 'ssh', ...host } };
  }
  const backend = typeof host === 'string' ? parseBackend(host) : undefined;
  if (backend) return { ...job, host: backend };
  const address = typeof host === 'string' ? parseSshUrl(host) : '';
  return typeof address === 'string' ? job : { ...job, host: { type: 'ssh', ...address } };
}

/** What keeps a text from being the name or address of a host, if anything does. */
export function hostNameProblem(name: string): string | undefined {
  if (name === '') return 'It names no host.';
  if (/^[A-Za-z0-9_.:%][A-Za-z0-9_.:%-]*$/.test(name)) return undefined;
  return `"${name}" cannot be the name of a host.`;
}

/** What keeps a text from being a login name, if anything does. */
export function userProblem(user: string): string | undefined {
  return /^[^-\s\p{Cc}][^\s\p{Cc}]*$/u.test(user) ? undefined : `"${user}" cannot log in.`;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
