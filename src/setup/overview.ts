import { digestOf, releasedGuards, versionOf } from '../guard/releases.ts';
import { caveats, enforcesPolicy } from './caveats.ts';
import { commandShown } from './commands.ts';
import type { HostFacts, UserFacts } from './facts.ts';
import { gateText } from './host-programs.ts';
import { places } from './places.ts';
import { policyValues } from './policy.ts';
import { isForced } from './public-key.ts';

/** How a host pins its guard, for people and scripts. */
export interface Overview {
  /** No guard but the intact ones below, and nothing else as root, for the CI user. */
  pinned: boolean;
  guards: {
    version?: string;
    sha256: string;
    /** The bytes have the digest that they are installed by. */
    intact: boolean;
    /** The CI user may run it, as sudo itself says. */
    allowed: boolean;
    /** It reads the host's policy; unknown for a guard that this version does not carry. */
    enforcesPolicy?: boolean;
  }[];
  ciUser?: { name: string; otherRules: string[]; forcedKeys: number; otherKeys: number };
  policy?: { track: string[]; refresh: string[]; probe: string[]; user?: string };
  bootRecovery?: {
    starts: string;
    guard?: string;
    /** The guard that it starts is there. */
    intact: boolean;
  };
  /** `other` has not the bytes of this version's gate. */
  gate?: 'current' | 'other';
  open?: string;
  quarantine?: string;
  unfinished: string[];
  caveats: string[];
}

export function overviewOf(facts: HostFacts, user: UserFacts | undefined): Overview {
  const written = facts.rules?.guards ?? [];
  const allowed = written.filter((sha256) => user?.guards.includes(sha256));
  const isIntact = (sha256: string) =>
    facts.guards.some((guard) => guard.sha256 === sha256 && guard.actual === sha256);
  const installed = facts.guards.map(({ sha256 }) => sha256);
  const guards = [...new Set([...installed, ...written])].map((sha256) => {
    const version = versionOf(sha256);
    const release = releasedGuards().find((guard) => guard.sha256 === sha256);
    return {
      ...(version !== undefined && { version }),
      sha256,
      intact: isIntact(sha256),
      allowed: allowed.includes(sha256),
      ...(release && { enforcesPolicy: enforcesPolicy(release) }),
    };
  });
  const [starts] = facts.boot.starts;
  const [phaseUser] = policyValues(facts.policy, 'user');
  const keys = user?.keys.filter((line) => /^[^#\s]/.test(line)) ?? [];
  const forced = keys.filter(isForced).length;
  return {
    pinned:
      allowed.length > 0 &&
      user?.otherRules.length === 0 &&
      guards.every((guard) => !guard.allowed || guard.intact),
    guards,
    ...(user && {
      ciUser: {
        name: user.name,
        otherRules: user.otherRules,
        forcedKeys: forced,
        otherKeys: keys.length - forced,
      },
    }),
    ...(facts.policy !== '' && {
      policy: {
        track: policyValues(facts.policy, 'track'),
        refresh: policyValues(facts.policy, 'refresh'),
        probe: policyValues(facts.policy, 'probe'),
        ...(phaseUser !== undefined && { user: phaseUser }),
      },
    }),
    ...(starts !== undefined && {
      bootRecovery: {
        starts,
        ...(facts.boot.guard && { guard: facts.boot.guard }),
        intact: isIntact(facts.boot.guard ?? ''),
      },
    }),
    ...(facts.gate && { gate: facts.gate === digestOf(gateText()) ? 'current' : 'other' }),
    ...(facts.open && { open: facts.open }),
    ...(facts.quarantine && { quarantine: facts.quarantine }),
    unfinished: facts.unfinished.map(({ id }) => id),
    caveats: [
      ...(allowed.length < written.length
        ? [`sudo does not read ${places.sudoers}, or something after it takes the rules back`]
        : []),
      ...(user ? caveats(allowed, facts.policy, user) : []),
    ],
  };
}

/** The overview as labels and texts, a line each. */
export function overviewLines(overview: Overview): [label: string, text: string][] {
  const { ciUser, policy, bootRecovery } = overview;
  const lines: [string, string][] = [];
  for (const { version, sha256, intact, allowed } of overview.guards) {
    const state = `${intact ? 'installed' : 'NOT INTACT'}${allowed ? ', allowed' : ''}`;
    lines.push(['guard', `${version ?? 'unknown'} sha256:${sha256}, ${state}`]);
  }
  if (overview.guards.length === 0) lines.push(['guard', 'none']);
  lines.push(['pinned', overview.pinned ? 'yes' : 'no']);
  if (ciUser) {
    lines.push(['ci user', ciUser.name]);
    for (const rule of ciUser.otherRules) lines.push(['may also', rule]);
    lines.push(['keys', `${ciUser.forcedKeys} forced to the gate, ${ciUser.otherKeys} others`]);
  }
  if (policy) {
    lines.push(['policy', `track ${policy.track.join(' ')}`]);
    for (const kind of ['refresh', 'probe'] as const) {
      for (const command of policy[kind])
        lines.push(['', `${kind} ${commandShown(kind, command)}`]);
    }
    if (policy.user !== undefined) lines.push(['', `phases run as ${policy.user}`]);
  } else {
    lines.push(['policy', 'none']);
  }
  if (overview.gate) lines.push(['gate', overview.gate]);
  const boot = bootRecovery
    ? `${bootRecovery.starts}, guard ${versionOf(bootRecovery.guard ?? '') ?? bootRecovery.guard ?? 'unknown'}${
        bootRecovery.intact ? '' : ', NOT INTACT: `host setup` mends it'
      }`
    : 'not set up (the first transaction does)';
  lines.push(['boot', boot]);
  lines.push(['open', overview.open ?? 'nothing']);
  for (const id of overview.unfinished) if (id !== overview.open) lines.push(['not ended', id]);
  if (overview.quarantine) lines.push(['quarantine', overview.quarantine]);
  for (const caveat of overview.caveats) lines.push(['caveat', caveat]);
  return lines;
}
