import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Manifest } from '../guard/manifest.ts';
import { type JobOptions, startJob } from './controller.ts';
import { labImage } from './image.ts';
import { bootKernel, type KernelMachine } from './kernel.ts';
import { expectRestored, look } from './protected.ts';
import { lossTable } from './times.ts';
import { endOf } from './transactions.ts';

// Machines boot and leases run out, on a busy machine too.
vi.setConfig({ testTimeout: 600_000 });

/** What only a machine with a kernel of its own can lose: its date, and pages no disk has seen. */
describe('a host with a kernel of its own', () => {
  const losses = lossTable('clock');
  const tracked = '/etc/tracked.conf';
  let machine: KernelMachine;
  let before: Manifest;

  beforeAll(async () => {
    await labImage();
    machine = await bootKernel({
      furnish: (root) => {
        writeFileSync(join(root, tracked), 'old\n', { mode: 0o640 });
        before = look(root);
      },
    });
  }, 900_000);
  afterAll(() => machine.destroy());

  const job = (lease: number): JobOptions => ({
    user: 'root',
    lease,
    phases: { test: `echo new > ${tracked}; echo ready; sleep 1000` },
    fields: { track: [tracked], files: undefined },
  });
  const folderOf = (id: string) => `/var/lib/savepoint/tx/${id}`;

  test('a clock that is set by days neither ends nor prolongs a lease', async () => {
    const day = 86_400;
    const lease = 10;
    await using controller = await startJob(machine, job(lease));
    const id = await controller.id();
    await controller.says('ready');
    // The host itself notes when it decided, by the clock that nobody can set.
    const decided = '/root/decided';
    await machine.exec(`systemd-run --quiet sh -c '
      until test -e ${folderOf(id)}/decision; do sleep 0.1; done; cat /proc/uptime > ${decided}'`);
    controller.kill('SIGSTOP');
    const lost = performance.now();
    await machine.moveClock(day);
    // The watchdog looks every second; one that goes by the date now thinks that it is late.
    await delay(3000);
    await machine.moveClock(-2 * day);
    const outcome = `cat ${folderOf(id)}/outcome ${tracked} 2> /dev/null || true`;
    await vi.waitFor(async () => expect(await machine.exec(outcome)).toBe('rolled-back\nold\n'), {
      timeout: 300_000,
      interval: 500,
    });
    const seconds = (performance.now() - lost) / 1000;
    losses.add({ what: 'controller stopped, clock set by days', seconds, of: `lease ${lease} s` });
    expect(await machine.exec(`cat ${folderOf(id)}/decision`)).toBe('rollback watchdog\n');
    const [due = Number.NaN, at] = (
      await machine.exec(`cut -d ' ' -f 2 ${folderOf(id)}/lease; cat ${decided}`)
    )
      .split('\n')
      .map(Number.parseFloat);
    expect(at).toBeGreaterThanOrEqual(due);
    expect(at).toBeLessThan(due + 60);
  });

  test('power cut in a phase, and again as soon as somebody could log in', async () => {
    await using controller = await startJob(machine, job(120));
    const id = await controller.id();
    await controller.says('ready');
    const lost = Date.now();
    await machine.powerOff();
    controller.kill('SIGKILL');
    await machine.boot();
    await machine.powerOff();
    const root = await machine.disk();
    expectRestored(root, before);
    const end = await endOf(root, id);
    expect(end).toMatchObject({ outcome: 'rolled-back', by: 'boot' });
    expect(end.at).toBeGreaterThan(lost);
    losses.add({
      what: 'power cut in a phase, own kernel',
      seconds: (end.at - lost) / 1000,
      of: 'boot',
    });
  });
});
