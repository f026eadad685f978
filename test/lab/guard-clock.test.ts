import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { startCommand, writeJob } from './controller.ts';
import { labImage } from './image.ts';
import { bootKernel, type KernelMachine } from './kernel.ts';
import { bePatient, eventually } from './patience.ts';
import { lossTable } from './times.ts';

bePatient();

const losses = lossTable('clock');
const day = 86_400;
const tracked = '/etc/absent.conf';
let machine: KernelMachine;

// One machine for all: a kernel of its own is slow to boot.
beforeAll(async () => {
  await labImage();
  machine = await bootKernel({
    furnish: (root) => writeFileSync(join(root, 'etc/single.conf'), 'old\n', { mode: 0o640 }),
  });
});
afterAll(() => machine.destroy());

test('a machine with a kernel of its own has its own date', async () => {
  const skew = async () => Number(await machine.exec('date +%s')) - Date.now() / 1000;
  await machine.moveClock(day);
  expect(Math.round((await skew()) / day)).toBe(1);
  await machine.moveClock(-2 * day);
  expect(Math.round((await skew()) / day)).toBe(-1);
  await machine.moveClock(day);
});

test('a clock that is set by days neither ends nor prolongs a lease', async () => {
  const lease = 20;
  const fields = { track: [tracked, '/etc/single.conf'], files: undefined };
  await using job = await writeJob(machine, { user: 'root', lease, fields });
  const state = job.beside('state.json');
  await using controller = startCommand(
    // Nobody renews: what comes next may take its time.
    ['begin', job.path, '--state', state, '--output', job.beside('output'), '--while', '0'],
  );
  const id = await controller.id();
  expect(await controller.ended, controller.printed()).toBe(0);
  const lost = performance.now();
  const folder = `/var/lib/savepoint/tx/${id}`;
  // The host itself notes when it decided, by the clock that nobody can set.
  const decided = '/root/decided';
  await machine.exec(`
    echo new > ${tracked}; echo new > /etc/single.conf
    systemd-run --quiet sh -c '
      until test -e ${folder}/decision; do sleep 0.1; done; cat /proc/uptime > ${decided}'`);
  await machine.moveClock(day);
  // The watchdog looks every second; one that goes by the date now thinks that it is late.
  await delay(3000);
  await machine.moveClock(-2 * day);
  const ended = `ls ${folder}/outcome ${tracked} 2> /dev/null || true; cat /etc/single.conf`;
  await vi.waitFor(
    async () => expect(await machine.exec(ended)).toBe(`${folder}/outcome\nold\n`),
    eventually,
  );
  const seconds = (performance.now() - lost) / 1000;
  losses.add({ what: 'nobody after begin, clock set by days', seconds, of: `lease ${lease} s` });
  expect(await machine.exec(`cat ${folder}/decision`)).toBe('rollback watchdog\n');
  const [due = Number.NaN, at] = (
    await machine.exec(`cut -d ' ' -f 2 ${folder}/lease; cat ${decided}`)
  )
    .split('\n')
    .map(Number.parseFloat);
  expect(at).toBeGreaterThanOrEqual(due);
  // Not by what the clock was set.
  expect(at).toBeLessThan(due + day / 2);
});
