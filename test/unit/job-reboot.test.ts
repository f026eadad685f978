import { describe, expect, test } from 'vitest';
import { releasedGuards } from '../../src/guard/releases.ts';
import { planRun } from '../../src/run/plan.ts';
import { type BadInput, expectRefused, loadOne, refusal } from './job-fixture.ts';
import { job } from './run.fixture.ts';

const remote =
  'host: {name: lab-07, key-env: KEY, known-hosts: "lab-07 ssh-ed25519 AAAA"}\ntrack: [apt]\n';
const context = { env: { KEY: '-----BEGIN OPENSSH PRIVATE KEY-----' } };
const load = (phase: string) => loadOne(`${remote}phases:\n  provision:\n${phase}`, { context });

describe('a phase', () => {
  test.each([
    ['expected', 600],
    ['15m', 900],
    ['90', 90],
  ])('may expect its host to restart: reboot: %s', async (reboot, seconds) => {
    const { phases } = await load(`    run: [a, b]\n    reboot: ${reboot}\n`);
    expect(phases).toMatchObject([{ run: ['a', 'b'], reboot: seconds }]);
  });

  test('does not unless it says so', async () => {
    const { phases } = await load('    run: a\n');
    expect(phases[0]).not.toHaveProperty('reboot');
  });
});

const cases: BadInput[] = [
  {
    what: 'a restart of the machine that would not survive it',
    yaml: 'track: [apt]\nphases:\n  test:\n    run: a\n    reboot: expected\n',
    name: 'job-bad-value',
    line: 5,
    field: 'phases.test.reboot',
    says: ['reached over SSH'],
  },
  {
    what: 'a restart that is neither expected nor a duration',
    yaml: 'track: [apt]\nphases:\n  test:\n    run: a\n    reboot: maybe\n',
    name: 'job-bad-value',
    line: 5,
    field: 'phases.test.reboot',
    says: ['expected', '5m'],
  },
  {
    what: 'a restart that takes no time',
    yaml: `${remote}phases:\n  test:\n    run: a\n    reboot: 0s\n`,
    name: 'job-bad-value',
    line: 6,
    context,
    field: 'phases.test.reboot',
    says: ['1s to 30d'],
  },
  {
    what: 'a list without a command',
    yaml: 'track: [apt]\nphases:\n  test:\n    run: []\n',
    name: 'job-bad-value',
    line: 4,
    field: 'phases.test.run',
    says: ['not empty'],
  },
];

describe('is refused, naming place and allowed values:', () => {
  test.each(cases.map((it) => [it.what, it] as const))('%s', async (_, it) => {
    await expectRefused(it);
  });
});

test('a guard that would roll back at the restart is refused before the host is touched', async () => {
  const old = releasedGuards().find(({ version }) => version === '1.0.2')?.sha256;
  const it = job({ phases: { provision: { run: 'a', reboot: 600 } } });
  const error = await refusal(
    planRun(it, { holder: 'a test', output: (id) => id, ...(old && { guard: old }) }),
  );
  expect(error).toMatchObject({ name: 'guard-unavailable', details: { guard: '1.0.2' } });
});
