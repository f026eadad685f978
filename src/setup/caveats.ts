import { SavepointError } from '../errors.ts';
import { type Guard, releasedGuards } from '../guard/releases.ts';
import type { UserFacts } from './facts.ts';
import { policyValues } from './policy.ts';
import { isForced } from './public-key.ts';

/** Groups whose members can become root without sudo. */
const powerful = ['disk', 'docker', 'incus-admin', 'libvirt', 'lxd', 'root', 'shadow'];

/**
 * Refuses a user for whom a pin would mean nothing.
 * @throws SavepointError `bad-usage`
 */
export function checkUser(
  name: string,
  user: UserFacts | undefined,
  option: '--ci-user' | '--job-user',
  otherRulesAllowed: boolean,
): UserFacts {
  const refuse = (message: string, found: unknown, hint?: string) =>
    new SavepointError('bad-usage', {
      message,
      place: { field: option },
      details: { found, allowed: 'a user of the host who is not root and may not become root' },
      ...(hint !== undefined && { hint }),
    });
  if (!user) throw refuse('The host has no such user.', name);
  if (user.uid === 0) throw refuse('This user is root.', name);
  const groups = user.groups.filter((group) => powerful.includes(group));
  if (groups.length > 0 && !otherRulesAllowed) {
    throw refuse(
      `${name} can become root as a member of ${groups.join(', ')}, so a pinned guard would protect nothing.`,
      user.groups,
      'Take the user out of these groups, or accept it with --despite-rights.',
    );
  }
  if (user.otherRules.length > 0 && !otherRulesAllowed) {
    throw refuse(
      `${name} may run other things by sudo, so a pinned guard would protect nothing.`,
      user.otherRules,
      'Remove these rules, or accept them with --despite-rights.',
    );
  }
  return user;
}

/** Whether a guard reads the host's policy at all; the first release did not. */
export function enforcesPolicy(guard: Guard): boolean {
  return /\/var\/lib\/savepoint\/policy|\$state\/policy/.test(guard.text);
}

/** Directories from which root's programs take commands to run. */
const hooks = ['/etc/apt', '/etc/dnf', '/etc/yum', '/etc/pacman.d', '/etc/docker', '/etc/systemd'];

/** What a person should know about a host that pins these guards so, a sentence each. */
export function caveats(
  guards: readonly string[],
  policy: string,
  { name, keys }: Pick<UserFacts, 'name' | 'keys'>,
): string[] {
  const found: string[] = [];
  for (const guard of releasedGuards()) {
    if (!guards.includes(guard.sha256) || enforcesPolicy(guard)) continue;
    found.push(
      `guard ${guard.version} does not read the policy: through it ${name} can change any file of the host`,
    );
  }
  const risky = policyValues(policy, 'track').filter((path) => hooks.includes(path));
  if (risky.length > 0) {
    found.push(
      `root's programs take commands from ${risky.join(' and ')}: a committed change there can become root (narrower: /etc/apt/sources.list.d)`,
    );
  }
  if (!keys.some(isForced)) return found;
  if (keys.some((line) => /^[^#\s]/.test(line) && !isForced(line))) {
    found.push(`${name} has other keys in ~/.ssh/authorized_keys, which may do more`);
  }
  if (policyValues(policy, 'user').length === 0) {
    found.push(
      `phases run as ${name}, who can change ~/.ssh/authorized_keys: name another user with --job-user`,
    );
  }
  return found;
}
