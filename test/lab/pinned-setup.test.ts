import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { guardInUse } from '../../src/guard/releases.ts';
import { differences, snapshot } from '../guard/manifest.ts';
import { bootContainer, type Container } from './container.ts';
import { startJob } from './controller.ts';
import { labImage } from './image.ts';
import { bePatient, eventually } from './patience.ts';
import { ask, ciOptions, furnishPlainly, noSudo, protectedPaths, setUp, steps } from './pinned.ts';
import { expectRestored, look } from './protected.ts';
import { endOf, folderOf } from './transactions.ts';

bePatient();

const guard = guardInUse();

/** All that a set-up may change: nothing else on the machine has a reason to. */
function everything(machine: Container) {
  const parts = ['etc', 'var/lib/savepoint', 'usr/local', 'home/ci'].map((part) => `/${part}`);
  return snapshot(machine.root, (path) =>
    parts.some((part) => part === path || path.startsWith(`${part}/`) || part.startsWith(path)),
  );
}

beforeAll(async () => {
  await labImage();
});

describe('a host that is set up to pin its guard', () => {
  let machine: Container;

  beforeAll(async () => {
    machine = await bootContainer({ sudo: noSudo, furnish: furnishPlainly });
  });
  afterAll(() => machine.destroy());

  test('a dry run tells what would be done, and does nothing', async () => {
    const before = everything(machine);
    const ended = await setUp(machine, ...ciOptions, '--dry-run');
    expect(steps(ended)).toEqual([
      `install guard ${guard.version}`,
      'write policy',
      'try recovery at boot',
      'write sudo rules',
    ]);
    expect(differences(before, everything(machine))).toEqual([]);
  });

  test('everything is installed, for nobody but root to change', async () => {
    const ended = await setUp(machine, ...ciOptions);
    expect(ended.json).toMatchObject({ changed: true, dryRun: false });
    const file = (path: string) => join(machine.root, path);
    const owner = (path: string) => {
      const { uid, mode } = statSync(file(path));
      return `${uid} ${(mode & 0o7777).toString(8)}`;
    };
    const installed = `/var/lib/savepoint/guard/${guard.sha256}/guard`;
    expect(readFileSync(file(installed), 'utf8')).toBe(guard.text);
    expect(owner(installed)).toBe('0 755');
    expect(owner('/var/lib/savepoint')).toBe('0 700');
    expect(owner('/var/lib/savepoint/policy')).toBe('0 600');
    expect(owner('/etc/sudoers.d/savepoint')).toBe('0 440');
    expect(await machine.exec('visudo -c -f /etc/sudoers.d/savepoint')).toContain('parsed OK');
    expect(await machine.exec('systemctl is-enabled savepoint-recover.service')).toBe('enabled\n');
    expect(await machine.exec('cat /var/lib/savepoint/boot')).toContain(guard.sha256);
  });

  test('a second time nothing is left to do', async () => {
    const before = everything(machine);
    const ended = await setUp(machine, ...ciOptions);
    expect(ended.json.changed).toBe(false);
    expect(differences(before, everything(machine))).toEqual([]);
    // The host knows by now who its CI is and what it may do.
    expect((await setUp(machine)).json.changed).toBe(false);
  });

  test('show tells it, to people and scripts', async () => {
    const { json, stderr } = await ask(machine, ['host', 'show']);
    expect(json).toMatchObject({
      pinned: true,
      guards: [{ version: guard.version, sha256: guard.sha256, intact: true, allowed: true }],
      ciUser: { name: 'ci', otherRules: [] },
      policy: { track: expect.arrayContaining(['/etc/apt']), refresh: [], probe: [] },
      bootRecovery: { guard: guard.sha256 },
    });
    expect(stderr).toContain(
      `guard      ${guard.version} sha256:${guard.sha256}, installed, allowed`,
    );
    expect(stderr).toContain('pinned     yes');
  });

  test('the CI user runs whole jobs, and nothing else as root', async () => {
    const before = look(machine.root);
    const phases = { test: 'id -un; sudo -n true || echo no more' };
    await using job = await startJob(machine, {
      user: 'ci',
      phases,
      fields: { 'on-success': 'rollback', track: protectedPaths },
    });
    expect(await job.ended, job.printed()).toBe(0);
    expect(job.printed()).toMatch(/test +\| ci\n.*no more/s);
    expect(await endOf(machine.root, await job.id())).toMatchObject({ outcome: 'rolled-back' });
    // The watchdog looks once more, under the lock, before it goes.
    await vi.waitFor(() => expectRestored(machine.root, before), eventually);
  });

  test.each([
    ['another verb', 'clear'],
    ['the verbs that take a state folder', 'finish "" /tmp/state id ci'],
    ['a variable beside', 'begin x'],
  ])('sudo refuses %s', async (_what, words) => {
    const path = `/var/lib/savepoint/guard/${guard.sha256}/guard`;
    expect((await machine.ssh('ci', `sudo -n ${path} ${words}`)).code).not.toBe(0);
    expect((await machine.ssh('ci', `sudo -n ENV=/tmp/x ${path} begin`)).code).not.toBe(0);
  });

  test('a person has to lift a quarantine: the CI user may not', async () => {
    const ended = await ask(machine, ['host', 'clear'], { user: 'ci' });
    expect(ended.json.error).toMatchObject({ name: 'guard-refused-by-host' });
    expect(ended.stderr).toContain('but not to clear');
    expect(ended.code).toBe(3);
  });

  test('one byte of the guard is another: the host refuses it, shows it, and is mended by setup', async () => {
    const file = join(machine.root, `/var/lib/savepoint/guard/${guard.sha256}/guard`);
    writeFileSync(file, guard.text.replace('# Savepoint guard:', '# savepoint guard:'));
    const before = look(machine.root);
    const job = {
      user: 'ci',
      phases: { test: 'true' },
      fields: { track: protectedPaths },
    } as const;
    await using refused = await startJob(machine, job);
    expect(await refused.ended).toBe(3);
    expect(refused.printed()).toContain('guard-refused-by-host');
    expect(refused.printed()).toMatch(
      new RegExp(`allowed.*${guard.version} sha256:${guard.sha256}`),
    );
    expect(differences(before, look(machine.root))).toEqual([]);

    const { json } = await ask(machine, ['host', 'show']);
    expect(json).toMatchObject({ pinned: false, guards: [{ intact: false, allowed: true }] });
    expect(steps(await setUp(machine))).toContain(`install guard ${guard.version}`);
    await using allowed = await startJob(machine, job);
    expect(await allowed.ended, allowed.printed()).toBe(0);
    expect(readFileSync(join(machine.root, 'etc/absent.conf'), 'utf8')).toBe('laid\n');
  });

  test('it is not taken away under an open transaction', async () => {
    await using job = await startJob(machine, {
      user: 'ci',
      lease: 60,
      phases: { test: 'echo ready; sleep 1000' },
      fields: { track: protectedPaths },
    });
    const id = await job.id();
    await job.says('ready');
    const refused = await ask(machine, ['host', 'remove']);
    expect(refused.json.error).toMatchObject({ name: 'host-busy' });
    expect(refused.stderr).toContain(id);
    expect(refused.code).toBe(3);
    expect(statSync(folderOf(machine.root, id)).isDirectory()).toBe(true);
    job.kill('SIGTERM');
    await job.ended;
  });

  test('remove takes everything away again, and twice is no error', async () => {
    const ended = await ask(machine, ['host', 'remove']);
    expect(ended.code, ended.stderr).toBe(0);
    const named = "-name '*savepoint*' -o -name '.savepoint*'";
    const left = await machine.exec(`find / -xdev ! -path '/var/log/*' \\( ${named} \\)`);
    expect(left).toBe('');
    expect(await machine.exec('systemctl is-system-running --wait')).toBe('running\n');
    expect(steps(await ask(machine, ['host', 'remove']))).toEqual([]);
    expect((await ask(machine, ['host', 'show'])).json).toMatchObject({
      pinned: false,
      guards: [],
    });
  });
});

describe('a user for whom a pin would mean nothing is refused, and nothing is changed:', () => {
  let machine: Container;

  beforeAll(async () => {
    machine = await bootContainer({
      furnish: furnishPlainly,
      prepare: 'useradd --groups disk tester; useradd builder',
    });
  });
  afterAll(() => machine.destroy());

  test.each([
    ['one who may do everything by sudo', ['--ci-user', 'ci'], 'other things by sudo'],
    ['one in a group that can become root', ['--ci-user', 'tester'], 'member of disk'],
    ['root', ['--ci-user', 'root'], 'This user is root'],
    ['one who is not there', ['--ci-user', 'nobody-here'], 'no such user'],
    ['no user at all', [], 'who its CI logs in as'],
    ['a root for the phases', ['--ci-user', 'builder', '--job-user', 'root'], 'This user is root'],
  ])('%s', async (_what, options, says) => {
    const before = everything(machine);
    const ended = await ask(machine, ['host', 'setup', '--track', '/etc/apt', ...options]);
    expect(ended.json.error).toMatchObject({ name: 'bad-usage' });
    expect(ended.stderr).toContain(says);
    expect(ended.code).toBe(2);
    expect(differences(before, everything(machine))).toEqual([]);
  });

  test('a host without a policy, when none is asked for', async () => {
    const ended = await ask(machine, ['host', 'setup', '--ci-user', 'builder']);
    expect(ended.json.error).toMatchObject({ name: 'bad-usage', place: { field: '--track' } });
    expect(ended.code).toBe(2);
  });

  test('rights that are accepted by name are told by show', async () => {
    await setUp(machine, '--ci-user', 'ci', '--track', '/etc/apt', '--despite-rights');
    const { json } = await ask(machine, ['host', 'show']);
    expect(json).toMatchObject({
      pinned: false,
      ciUser: { otherRules: ['(ALL) NOPASSWD: ALL'] },
    });
  });

  test('a set-up by a login that may do everything by sudo', async () => {
    const ended = await ask(machine, ['host', 'setup', '--ci-user', 'builder', '--track', 'apt'], {
      user: 'ci',
    });
    expect(ended.code, ended.stderr).toBe(0);
    const { json } = await ask(machine, ['host', 'show'], { user: 'ci' });
    expect(json).toMatchObject({ pinned: true, ciUser: { name: 'builder' } });
    const policy = json.policy as { track: string[]; refresh: string[]; probe: string[] };
    expect(policy.track).toEqual(['/etc/apt', '/usr/share/keyrings']);
    expect([policy.refresh.length, policy.probe.length]).toEqual([1, 1]);
  });
});
