import { SavepointError } from '../errors.ts';
import type { Exit, Host } from '../host/host.ts';
import { loaderExit } from './bootstrap.ts';
import { type Guard, versionOf } from './releases.ts';

/** Who was to run which guard, and what of it. */
interface Attempt {
  host: Host;
  guard: Guard;
  root: string;
  verb: string;
}

/**
 * Tells why the loader or the installer ran no guard; any other exit passes.
 * @throws SavepointError `guard-mismatch`, `guard-refused-by-host`, `no-sudo`.
 */
export function refuseLoaderExit(attempt: Attempt, exit: Exit, stderr: string): void {
  const { host, guard } = attempt;
  if (exit.code === loaderExit.mismatch) {
    throw new SavepointError('guard-mismatch', {
      message: `The guard on ${host.name} does not have the bytes of the pinned ${guard.version} (SHA-256 ${guard.sha256}); the host did not run it.`,
      details: { host: host.name, pinned: guard.sha256 },
      hint: `Find out who changed it, then remove the folder guard/${guard.sha256} below the host's state directory; the next begin puts it there again.`,
    });
  }
  if (exit.code === loaderExit.refused) throw refusedByHost(attempt, stderr);
  if (exit.code === loaderExit.noSudo) {
    const last = stderr.trimEnd().split('\n').at(-1);
    throw new SavepointError('no-sudo', {
      message: `The login on ${host.name} is not root, and \`sudo -n\` does not let it run the guard${
        last ? `: ${last}` : '.'
      }`,
      details: { host: host.name },
      hint: 'Log in as root, give the user passwordless sudo, or set `sudo: false` to track only what the user owns.',
    });
  }
}

/** One rule of sudo: a guard by its digest, at its place, for one verb or any. */
export interface GuardRule {
  sha256: string;
  path: string;
  verb?: string;
}

/** The guards that a login may run by digest, in what `sudo -l` prints (it may wrap at blanks). */
export function guardsInSudoList(list: string): GuardRule[] {
  const rule = /sha256:([0-9a-f]{64}) (\S+\/guard\/[0-9a-f]{64}\/guard)(?: ([a-z]+)(?![^\s,]))?/g;
  return [...list.replace(/\s+/g, ' ').matchAll(rule)].map(([, sha256 = '', path = '', verb]) => ({
    sha256,
    path,
    ...(verb !== undefined && { verb }),
  }));
}

function refusedByHost({ host, guard, root, verb }: Attempt, stderr: string): SavepointError {
  const rules = guardsInSudoList(stderr);
  const asked = nameOf(guard.sha256);
  const refuse = (message: string, hint: string, more: Record<string, unknown> = {}) => {
    const allowed = [...new Set(rules.map(({ sha256 }) => nameOf(sha256)))];
    const details = { host: host.name, allowed, asked, ...more };
    return new SavepointError('guard-refused-by-host', { message, details, hint });
  };
  if (rules.length === 0) {
    return refuse(
      `${host.name} did not run the guard: ${stderr.trimEnd().split('\n').at(-1)}`,
      'This login is for the guard alone; log in as root for anything else.',
    );
  }
  const same = rules.filter(({ sha256 }) => sha256 === guard.sha256);
  if (same.length === 0) {
    return refuse(
      `${host.name} pins its guard itself, and this is another one.`,
      'Ask for one that it allows by `guard`, or have its owner run `savepoint host setup` for this one.',
    );
  }
  const below = root === '/' ? '' : root;
  if (!same.some(({ path }) => path.startsWith(`${below}/var/lib/savepoint/`))) {
    return refuse(
      `${host.name} lets this login work on the host itself only, not below another root.`,
      'Leave `root` out, or log in as root.',
      { root },
    );
  }
  const verbs = same.flatMap((rule) => rule.verb ?? []);
  if (verbs.length > 0 && !verbs.includes(verb)) {
    return refuse(
      `${host.name} lets this login run the guard, but not to ${verb}.`,
      'Log in as root for that.',
      { verbs },
    );
  }
  return refuse(
    `The guard on ${host.name} is missing, or has other bytes than its sudoers allow: sudo did not run it.`,
    'Find out who changed it; then have the owner of the host run `savepoint host setup` again.',
  );
}

/** `1.0.0 sha256:…` where this version carries that guard. */
function nameOf(sha256: string): string {
  const version = versionOf(sha256);
  return `${version === undefined ? '' : `${version} `}sha256:${sha256}`;
}
