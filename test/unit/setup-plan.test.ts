import { describe, expect, test } from 'vitest';
import { scriptField } from '../../src/guard/protocol.ts';
import { digestOf, type Guard, guardInUse } from '../../src/guard/releases.ts';
import { presetOf } from '../../src/job/presets.ts';
import type { HostFacts, UserFacts } from '../../src/setup/facts.ts';
import { gateText } from '../../src/setup/host-programs.ts';
import { overviewLines, overviewOf } from '../../src/setup/overview.ts';
import { planSetup, type SetupWish } from '../../src/setup/plan.ts';
import { policyText } from '../../src/setup/policy.ts';
import { forcedLine, type PublicKey } from '../../src/setup/public-key.ts';
import { planRemoval } from '../../src/setup/removal.ts';
import { sudoersText } from '../../src/setup/sudo-rules.ts';

const guard = guardInUse();
const old = 'd'.repeat(64);
const policy = { track: ['/etc/lab'], refresh: [], probe: [] };
const key: PublicKey = { type: 'ssh-ed25519', base64: 'AAAAkey', comment: '', fingerprint: 'F' };

function facts(changes: Partial<HostFacts> = {}): HostFacts {
  return {
    guards: [],
    sudoers: '',
    policy: '',
    boot: { starts: [] },
    unfinished: [],
    remains: [],
    tools: { sudo: true, visudo: true },
    ...changes,
  };
}

/** A host that is set up already, with these guards. */
function pinned(...guards: string[]): HostFacts {
  const rules = { user: 'ci', guards };
  return facts({
    guards: guards.map((sha256) => ({ sha256, actual: sha256 })),
    sudoers: sudoersText(rules),
    rules,
    policy: policyText(policy),
    boot: { starts: ['unit'], guard: guards.at(-1) ?? '' },
  });
}

const user: UserFacts = {
  name: 'ci',
  uid: 1000,
  groups: ['ci'],
  guards: [old, guard.sha256],
  otherRules: [],
  keys: [],
};

function wish(changes: Partial<SetupWish> = {}): SetupWish {
  return { holder: 'test', guards: [guard] as [Guard], only: false, keys: [], ...changes };
}

function told(host: HostFacts, asked: SetupWish, who = user): string[] {
  return planSetup(host, who, asked).steps.map(({ action, what, detail }) =>
    action === 'keep' ? `keep ${what}` : `${action} ${what}: ${detail}`,
  );
}

test('a new host gets everything, the rules when all they allow is there', () => {
  const steps = planSetup(facts(), user, wish({ policy, keys: [key] })).steps;
  expect(steps.map(({ action, what }) => `${action} ${what}`)).toEqual([
    `install guard ${guard.version}`,
    'write policy',
    'write gate',
    'try recovery at boot',
    'write sudo rules',
    'add forced command',
  ]);
});

test('on a host that is as it should be nothing is done', () => {
  const host = { ...pinned(guard.sha256), gate: digestOf(gateText()) };
  const who = { ...user, keys: [forcedLine(key)] };
  const steps = planSetup(host, who, wish({ policy, keys: [key] })).steps;
  expect(new Set(steps.map(({ action }) => action))).toEqual(new Set(['keep']));
});

describe('while the pin moves', () => {
  test('the guard before stays allowed beside the new one', () => {
    const steps = told(pinned(old), wish());
    expect(steps[0]).toBe('keep guard');
    expect(steps[1]).toContain(`install guard ${guard.version}`);
    expect(steps.find((step) => step.startsWith('write sudo rules'))).toContain(
      `ci may run guard ${old}, guard ${guard.version}`,
    );
    expect(steps.some((step) => step.startsWith('remove'))).toBe(false);
    // Recovery at boot has to be started by a guard that stays.
    expect(steps.some((step) => step.startsWith('try recovery at boot'))).toBe(true);
  });

  test('--only takes the one before away', () => {
    const steps = told(pinned(old, guard.sha256), wish({ only: true }));
    expect(steps.find((step) => step.startsWith('write sudo rules'))).toMatch(
      new RegExp(`ci may run guard ${guard.version}$`),
    );
    expect(steps.at(-1)).toContain(`remove guard: /var/lib/savepoint/guard/${old}`);
  });

  test('--only keeps the one whose transaction is open', () => {
    const host = { ...pinned(old, guard.sha256), unfinished: [{ id: 'x', guard: old }] };
    const steps = told(host, wish({ only: true }));
    expect(new Set(steps.map((step) => step.split(' ')[0]))).toEqual(new Set(['keep']));
  });
});

test('a guard whose bytes were changed is installed anew', () => {
  const host = { ...pinned(guard.sha256), guards: [{ sha256: guard.sha256, actual: old }] };
  expect(told(host, wish())[0]).toContain(`install guard ${guard.version}`);
});

test('an allowed guard that nobody has the bytes of is named', () => {
  const host = { ...pinned(old), guards: [] };
  expect(() => told(host, wish())).toThrow(
    expect.objectContaining({ name: 'guard-unavailable', details: { wanted: old } }),
  );
  expect(told(host, wish({ only: true }))[0]).toContain('install guard');
});

test('a key that was allowed more is not any more', () => {
  const who = { ...user, keys: [`${key.type} ${key.base64} me`, forcedLine(key)] };
  expect(told(pinned(guard.sha256), wish({ keys: [key] }), who)).toContain(
    'add forced command: F of ci, in ~/.ssh/authorized_keys',
  );
});

test('what a person should know is told', () => {
  const other = 'ssh-ed25519 AAAAother';
  const apt = { ...policy, track: ['/etc/apt'] };
  const { caveats } = planSetup(
    facts(),
    { ...user, keys: [other, '# note', ''] },
    wish({ policy: apt, keys: [key] }),
  );
  const said = caveats.join('\n');
  expect(said).toContain('/etc/apt: a committed change there can become root');
  expect(said).toContain('ci has other keys');
  expect(said).toContain('name another user with --job-user');
  const { caveats: none } = planSetup(
    facts(),
    user,
    wish({ policy, keys: [key], jobUser: 'builder' }),
  );
  expect(none.filter((text) => !text.includes('does not read the policy'))).toEqual([]);
});

describe('removing', () => {
  test('is refused while it could be needed', () => {
    const open = { ...pinned(guard.sha256), open: 'tx-1' };
    expect(() => planRemoval('lab', open, user)).toThrow(
      expect.objectContaining({ name: 'host-busy' }),
    );
    const undecided = { ...pinned(guard.sha256), unfinished: [{ id: 'tx-1', guard: old }] };
    expect(() => planRemoval('lab', undecided, user)).toThrow(
      expect.objectContaining({ name: 'host-busy' }),
    );
    const quarantined = { ...open, quarantine: 'why' };
    expect(() => planRemoval('lab', quarantined, user)).toThrow(
      expect.objectContaining({ name: 'host-quarantined' }),
    );
  });

  test('takes keys that lead to the gate away, and no other', () => {
    const who = { ...user, keys: [forcedLine(key), 'ssh-ed25519 AAAAother'] };
    const steps = planRemoval('lab', { ...facts(), remains: ['/etc/sudoers.d/savepoint'] }, who);
    expect(steps.map(({ what, detail }) => `${what}: ${detail}`)).toEqual([
      'forced command: one key of ci, in ~/.ssh/authorized_keys',
      'sudo rules: /etc/sudoers.d/savepoint',
    ]);
  });
});

test('rules that sudo does not read are written again, and are told to be no pin', () => {
  const unread = { ...user, guards: [] };
  expect(told(pinned(guard.sha256), wish(), unread)).toContainEqual(
    expect.stringMatching(/^write sudo rules/),
  );
  const overview = overviewOf(pinned(guard.sha256), unread);
  expect(overview).toMatchObject({ pinned: false, guards: [{ intact: true, allowed: false }] });
  expect(overview.caveats[0]).toContain('sudo does not read /etc/sudoers.d/savepoint');
  expect(overviewOf(pinned(guard.sha256), user)).toMatchObject({ pinned: true });
});

test('recovery at boot that starts nothing is told, and mended', () => {
  const broken = { ...pinned(guard.sha256), boot: { starts: ['unit'] } };
  const lines = overviewLines(overviewOf(broken, user));
  expect(lines.find(([label]) => label === 'boot')?.[1]).toContain('NOT INTACT');
  expect(told(broken, wish())).toContainEqual(expect.stringMatching(/^try recovery at boot/));
});

test('the commands of a policy are told so that people can read them', () => {
  const script = 'set -eu\nprintf \'%s\\n\' "a\\b"\n';
  const refresh = [scriptField(presetOf('apt').refresh ?? ''), scriptField(script), 'true'];
  const shown = overviewLines(
    overviewOf({ ...facts(), policy: policyText({ ...policy, refresh }) }, undefined),
  ).filter(([label]) => label === '');
  expect(shown.map(([, text]) => text)).toEqual([
    'refresh that of the preset apt',
    'refresh set -eu … (2 lines)',
    'refresh true',
  ]);
});
