import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test, vi } from 'vitest';
import { bootContainer } from './container.ts';
import { startJob } from './controller.ts';
import { labImage } from './image.ts';
import { expectRestored, furnish, look, owned } from './protected.ts';
import { endOf } from './transactions.ts';

// Machines boot, on a busy machine too.
vi.setConfig({ testTimeout: 180_000 });

beforeAll(async () => {
  await labImage();
}, 900_000);

const settings = `${owned}/settings`;

/** Asks systemd for a restart, as people do, and ends before the host does. */
const restart = 'sudo -n systemctl reboot';

test.each(['root', 'ci'] as const)(
  'a phase restarts its host by systemd and goes on in the same transaction: logged in as %s',
  async (user) => {
    await using machine = await bootContainer({ furnish });
    const boot = await machine.bootId();
    await using controller = await startJob(machine, {
      user,
      lease: 20,
      fields: {
        phases: {
          test: {
            reboot: '120s',
            run: [`echo ours > ${settings}`, restart, `echo "now $(cat ${settings})"`],
          },
        },
      },
    });
    const id = await controller.id();
    await machine.wentOff();
    await machine.boot();
    expect(await machine.bootId()).not.toBe(boot);
    expect(await controller.ended, controller.printed()).toBe(0);
    expect(controller.printed()).toContain('now ours');
    expect(controller.printed()).toContain('the host has restarted');
    expect(await endOf(machine.root, id)).toMatchObject({ outcome: 'committed' });
    expect(readFileSync(join(machine.root, settings), 'utf8')).toBe('ours\n');
  },
);

test('a command that the restart ends by TERM is no failure of the phase', async () => {
  await using machine = await bootContainer({ furnish });
  const before = look(machine.root);
  await using controller = await startJob(machine, {
    user: 'root',
    lease: 20,
    fields: {
      'on-success': 'rollback',
      phases: {
        test: { reboot: '120s', run: [`${restart}; sleep 600`, 'echo went on'] },
      },
    },
  });
  const id = await controller.id();
  await machine.wentOff();
  await machine.boot();
  expect(await controller.ended, controller.printed()).toBe(0);
  expect(controller.printed()).toContain('went on');
  expect(await endOf(machine.root, id)).toMatchObject({ outcome: 'rolled-back' });
  expectRestored(machine.root, before);
});

test('a restart that no phase announced is rolled back at boot, and told', async () => {
  await using machine = await bootContainer({ furnish });
  const before = look(machine.root);
  await using controller = await startJob(machine, {
    user: 'root',
    lease: 60,
    phases: { test: `${restart}; sleep 600` },
  });
  const id = await controller.id();
  await machine.wentOff();
  await machine.boot();
  expect(await controller.ended, controller.printed()).toBe(3);
  expect(controller.printed()).toContain('host-rebooted');
  expect(await endOf(machine.root, id)).toMatchObject({ outcome: 'rolled-back', by: 'boot' });
  expectRestored(machine.root, before);
});
