import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { guardInUse } from '../../src/guard/releases.ts';
import { differences, type Manifest } from '../guard/manifest.ts';
import { attempt } from './command.ts';
import { bootContainer, type Container } from './container.ts';
import { startJob } from './controller.ts';
import { labImage } from './image.ts';
import { bePatient, eventually } from './patience.ts';
import { ask, ciOptions, furnishPlainly, noSudo, protectedPaths, setUp, steps } from './pinned.ts';
import { expectRestored, look } from './protected.ts';
import { endOf } from './transactions.ts';

bePatient();

const guard = guardInUse();
const track = protectedPaths;

describe("a key whose forced command is the host's gate", () => {
  let machine: Container;
  let before: Manifest;
  const keysFile = () => join(machine.root, 'home/ci/.ssh/authorized_keys');

  beforeAll(async () => {
    await labImage();
    machine = await bootContainer({ sudo: noSudo, furnish: furnishPlainly });
    expect((await machine.ssh('ci', 'id -un')).stdout).toBe('ci\n');
    const key = ['--forced-command', `${machine.sshKey}.pub`];
    const ended = await setUp(machine, ...ciOptions, ...key);
    expect(steps(ended)).toContain('add forced command');
    before = look(machine.root);
  });
  afterAll(() => machine.destroy());

  test('takes the place of the line that allowed more, and twice changes nothing', async () => {
    const lines = readFileSync(keysFile(), 'utf8').trim().split('\n');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^restrict,command="\/usr\/local\/lib\/savepoint\/gate" ssh-ed25519 /);
    const again = await setUp(machine, '--forced-command', `${machine.sshKey}.pub`);
    expect(again.json.changed).toBe(false);
  });

  test.each([
    ['a command', ['id']],
    ['a shell', []],
    ['a guard command with more behind it', [`x savepoint '' ${guard.sha256} yes begin; id`]],
    ['a guard with a verb of its own', [`x savepoint '' ${guard.sha256} yes boot`]],
  ])('gives nobody %s', async (_what, command) => {
    const refused = await attempt(machine.sshArgv('ci', ...command), { input: 'id\n' });
    expect(refused).toMatchObject({ code: 93, stdout: '' });
    expect(refused.stderr).toContain('savepoint gate: ');
  });

  test('forwards nothing', async () => {
    const argv = machine.sshArgv('ci');
    const forward = [...argv.slice(0, -1), '-W', '127.0.0.1:22', argv.at(-1) ?? ''];
    const { stdout, code } = await attempt(forward);
    expect(stdout).toBe('');
    expect(code).not.toBe(0);
  });

  test('runs whole jobs: begin, apply, check, phases, rollback', async () => {
    await using job = await startJob(machine, {
      user: 'ci',
      phases: { setup: 'echo one; exit 0', test: 'id -un; echo err >&2' },
      fields: { 'on-success': 'rollback', check: 'test -s /etc/absent.conf', track },
    });
    expect(await job.ended, job.printed()).toBe(0);
    expect(job.printed()).toMatch(/test +\| ci\n/);
    await vi.waitFor(() => expectRestored(machine.root, before), eventually);
  });

  test('a phase that fails ends with its own status', async () => {
    await using job = await startJob(machine, {
      user: 'ci',
      phases: { test: 'exit 7' },
      fields: { track },
    });
    expect(await job.ended).toBe(1);
    expect(job.printed()).toContain('exit status 7');
    await vi.waitFor(() => expectRestored(machine.root, before), eventually);
  });

  test('a controller that is killed is noticed as ever', async () => {
    await using job = await startJob(machine, {
      user: 'ci',
      phases: { test: 'echo ready; sleep 1000' },
      fields: { track },
    });
    const id = await job.id();
    await job.says('ready');
    job.kill('SIGKILL');
    expect(await endOf(machine.root, id)).toMatchObject({ outcome: 'rolled-back', by: 'watchdog' });
  });

  test('a person is told that this login is not for that', async () => {
    for (const words of [
      ['host', 'show'],
      ['host', 'setup', '--track', '/etc'],
    ]) {
      const ended = await ask(machine, words, { user: 'ci' });
      expect(ended.json.error).toMatchObject({ name: 'no-sudo' });
      expect(ended.stderr).toContain('this key is for the guard of Savepoint');
      expect(ended.code).toBe(3);
    }
    const status = await ask(machine, ['status'], { user: 'ci' });
    expect(status.code, status.stderr).toBe(0);
  });

  test('another root is refused by name', async () => {
    const ended = await ask(machine, ['status', '--root', '/srv/chroot'], { user: 'ci' });
    expect(ended.json.error).toMatchObject({ name: 'guard-refused-by-host' });
    expect(ended.stderr).toContain('the host itself only');
    expect(ended.code).toBe(3);
  });

  test('remove takes the gate and the key away', async () => {
    const ended = await ask(machine, ['host', 'remove']);
    expect(steps(ended)).toEqual(
      expect.arrayContaining(['remove forced command', 'remove gate', 'remove sudo rules']),
    );
    expect(readFileSync(keysFile(), 'utf8')).toBe('');
    expect((await machine.ssh('ci', 'id')).code).toBe(255);
    const changed = differences(before, look(machine.root));
    expect(changed.filter((line) => !line.includes('/sudoers.d'))).toEqual([]);
  });
});
