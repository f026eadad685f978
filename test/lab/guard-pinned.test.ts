import { chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { guardInUse } from '../../src/guard/releases.ts';
import { differences, type Manifest } from '../guard/manifest.ts';
import { bootContainer, type Container } from './container.ts';
import { type JobOptions, startJob } from './controller.ts';
import { labImage } from './image.ts';
import { expectRestored, furnish, look, owned } from './protected.ts';
import { endOf } from './transactions.ts';

// Machines boot and leases run out, on a busy machine too.
vi.setConfig({ testTimeout: 180_000 });

const guard = guardInUse();
const installed = `/var/lib/savepoint/guard/${guard.sha256}/guard`;

describe('a host whose sudo allows ci nothing but the guard, by its digest', () => {
  let machine: Container;
  let before: Manifest;

  beforeAll(async () => {
    await labImage();
    machine = await bootContainer({
      sudo: `ci ALL=(root) NOPASSWD: sha256:${guard.sha256} ${installed}`,
      furnish: (root) => {
        furnish(root);
        install(root);
      },
    });
    before = look(machine.root);
  }, 900_000);
  afterAll(() => machine.destroy());

  const job: JobOptions = {
    user: 'ci',
    phases: {
      test: `echo "as $(id -un)"; echo new > ${owned}/settings; sudo -n true || echo no more`,
    },
    fields: { 'on-success': 'rollback', check: 'test -s /etc/absent.conf' },
  };

  test('runs a whole job and rolls it back', async () => {
    await using controller = await startJob(machine, job);
    expect(await controller.ended, controller.printed()).toBe(0);
    for (const said of ['as ci', 'no more', 'rolled-back']) {
      expect(controller.printed()).toContain(said);
    }
    expectRestored(machine.root, before);
  });

  test('brings itself back when the controller is killed', async () => {
    const phases = { test: `echo new > ${owned}/settings; echo ready; sleep 1000` };
    await using controller = await startJob(machine, { ...job, phases });
    const id = await controller.id();
    await controller.says('ready');
    controller.kill('SIGKILL');
    expect(await endOf(machine.root, id)).toMatchObject({ outcome: 'rolled-back', by: 'watchdog' });
    expectRestored(machine.root, before);
  });

  test('refuses a guard with one byte changed, and says what it allows', async () => {
    const file = join(machine.root, installed);
    writeFileSync(file, guard.text.replace('# Savepoint guard:', '# savepoint guard:'));
    await using controller = await startJob(machine, job);
    expect(await controller.ended, controller.printed()).toBe(3);
    expect(controller.printed()).toContain('guard-refused-by-host');
    expect(controller.printed()).toContain(guard.sha256);
    expect(differences(before, look(machine.root))).toEqual([]);
    // Nor can it be replaced: putting it there is not allowed either.
    expect(readFileSync(file, 'utf8')).toContain('# savepoint guard:');
    install(machine.root);
  });

  test('commits', async () => {
    await using controller = await startJob(machine, { ...job, fields: {} });
    expect(await controller.ended, controller.printed()).toBe(0);
    expect(readFileSync(join(machine.root, 'etc/absent.conf'), 'utf8')).toBe('laid\n');
    expect(readFileSync(join(machine.root, owned, 'settings'), 'utf8')).toBe('new\n');
  });
});

/** As the host's owner does it: root's, in a place that nobody else may enter. */
function install(root: string): void {
  const file = join(root, installed);
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, guard.text, { mode: 0o755 });
  chownSync(file, 0, 0);
}
