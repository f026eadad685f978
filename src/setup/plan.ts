import { SavepointError } from '../errors.ts';
import { digestOf, type Guard, releasedGuards, versionOf } from '../guard/releases.ts';
import { caveats } from './caveats.ts';
import type { HostFacts, UserFacts } from './facts.ts';
import { gateText } from './host-programs.ts';
import { guardPlace, places } from './places.ts';
import { type Policy, policyText, policyValues, withUser } from './policy.ts';
import { forcedLine, isFor, type PublicKey } from './public-key.ts';
import {
  addKey,
  installGuard,
  kept,
  removeGuard,
  type Step,
  tryGuard,
  writeFile,
  writeSudoRules,
} from './steps.ts';
import { sudoersText } from './sudo-rules.ts';

/** What a host is to become. */
export interface SetupWish {
  /** Who asks, for the audit. */
  holder: string;
  /** Guards to allow; the first is the one in use. */
  guards: [Guard, ...Guard[]];
  /** Allow no others, also those that were allowed before. */
  only: boolean;
  /** The paths and commands to allow; without it the policy that is there stays. */
  policy?: Omit<Policy, 'user'>;
  /** Who phases run as; without it what the policy says stays. */
  jobUser?: string;
  keys: PublicKey[];
}

export interface SetupPlan {
  /** Each done already or to be done; in this order nobody is allowed what is not yet there. */
  steps: Step[];
  /** What a person should know about the host as it will be, a sentence each. */
  caveats: string[];
}

/**
 * The steps from what a host is to what it is to become.
 * @throws SavepointError `bad-usage` when there is no policy and none is asked for;
 *   `guard-unavailable` for an allowed guard that neither the host nor this version has.
 */
export function planSetup(facts: HostFacts, user: UserFacts, wish: SetupWish): SetupPlan {
  const [inUse] = wish.guards;
  const guards = guardsToAllow(facts, wish);
  const names = guards.map((sha256) => `guard ${versionOf(sha256) ?? sha256}`).join(', ');
  const policy = policyAfter(facts, wish);
  const steps = [
    ...guards.map((sha256) => guardStep(facts, sha256)),
    policyStep(facts, policy),
    gateStep(facts, wish),
    bootStep(facts, inUse, wish.holder),
    facts.sudoers === sudoersText({ user: user.name, guards }) &&
    guards.every((sha256) => user.guards.includes(sha256))
      ? kept('sudo rules', `${places.sudoers}: ${user.name} may run ${names}`)
      : writeSudoRules({ user: user.name, guards }, names),
    ...wish.keys.map((key) => keyStep(user, key)),
    ...(wish.only ? facts.guards : [])
      .filter(({ sha256 }) => !guards.includes(sha256))
      .map(({ sha256 }) => removeGuard(sha256, versionOf(sha256))),
  ].filter((step) => step !== undefined);
  const others = user.keys.filter((line) => !wish.keys.some((key) => isFor(line, key)));
  const keys = [...others, ...wish.keys.map(forcedLine)];
  return { steps, caveats: caveats(guards, policy, { name: user.name, keys }) };
}

/** Digests, the one in use last. A guard whose transaction is open stays until that has ended. */
function guardsToAllow(facts: HostFacts, { guards, only }: SetupWish): string[] {
  const wanted = guards.map(({ sha256 }) => sha256).reverse();
  const needed = facts.unfinished.map(({ guard }) => guard);
  const before = facts.rules?.guards ?? [];
  const earlier = before.filter((sha256) => !only || needed.includes(sha256));
  return [...new Set(earlier)].filter((sha256) => !wanted.includes(sha256)).concat(wanted);
}

function guardStep(facts: HostFacts, sha256: string): Step {
  const found = facts.guards.find((guard) => guard.sha256 === sha256);
  const carried = releasedGuards().find((guard) => guard.sha256 === sha256);
  const name = `guard ${carried?.version ?? ''}`.trim();
  if (found?.actual === sha256) return kept(name, guardPlace(sha256));
  if (carried) return installGuard(carried);
  throw new SavepointError('guard-unavailable', {
    message: `The host allows a guard that it does not have, and neither does this version of Savepoint.`,
    details: { wanted: sha256, found: found?.actual },
    hint: 'Leave it out with --only, or use a version of Savepoint that carries it.',
  });
}

function policyAfter({ policy: before }: HostFacts, { policy, jobUser }: SetupWish): string {
  if (!policy && before === '') {
    throw new SavepointError('bad-usage', {
      message:
        'The host has no policy yet: whoever reaches the guard by sudo could change any file.',
      place: { field: '--track' },
      details: { allowed: 'presets and absolute paths that jobs may change' },
      hint: 'Name what jobs on this host may change, such as --track apt.',
    });
  }
  const user = jobUser ?? policyValues(before, 'user')[0];
  if (!policy) return user === undefined ? before : withUser(before, user);
  return policyText({ ...policy, ...(user !== undefined && { user }) });
}

function policyStep({ policy: before }: HostFacts, policy: string): Step {
  const [user] = policyValues(policy, 'user');
  const phases = user === undefined ? '' : `; phases run as ${user}`;
  const detail = `${places.policy}: ${policyValues(policy, 'track').join(' ')}${phases}`;
  if (policy === before) return kept('policy', detail);
  return { ...writeFile('policy', places.policy, '600', policy), detail };
}

function gateStep({ gate }: HostFacts, { keys }: SetupWish): Step | undefined {
  if (keys.length === 0 && gate === undefined) return undefined;
  const text = gateText();
  return gate === digestOf(text)
    ? kept('gate', places.gate)
    : writeFile('gate', places.gate, '755', text);
}

function bootStep({ boot, unfinished }: HostFacts, inUse: Guard, holder: string): Step {
  const [starts] = boot.starts;
  if (starts !== undefined && boot.guard === inUse.sha256) return kept('recovery at boot', starts);
  if (unfinished.length > 0) {
    return kept('recovery at boot', 'of the open transaction; the next one sets it up anew');
  }
  return tryGuard(inUse, holder);
}

function keyStep(user: UserFacts, key: PublicKey): Step {
  const lines = user.keys.filter((line) => isFor(line, key));
  return lines.length === 1 && lines[0] === forcedLine(key)
    ? kept('forced command', `${key.fingerprint} of ${user.name}, in ~/.ssh/authorized_keys`)
    : addKey(user.name, key);
}
