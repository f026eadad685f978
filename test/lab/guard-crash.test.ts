import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Manifest } from '../guard/manifest.ts';
import { bootContainer, type Container } from './container.ts';
import { type JobOptions, startJob } from './controller.ts';
import { labImage } from './image.ts';
import { expectRestored, furnishMuch, look, mess } from './protected.ts';
import { lossTable } from './times.ts';
import { endOf, folderOf, isOpen, transactionWith, until } from './transactions.ts';

// Machines boot and leases run out, on a busy machine too.
vi.setConfig({ testTimeout: 180_000 });

const losses = lossTable('crash');

/** One machine dies over and over; each time it has to come back as it was the first time. */
describe.each([
  ['dies', 'dead', 'kept'],
  ['loses power', 'without power', 'lost'],
] as const)('a host that %s and is booted again', (_, how, unsynced) => {
  let machine: Container;
  let before: Manifest;

  beforeAll(async () => {
    await labImage();
    machine = await bootContainer({ furnish: furnishMuch });
    before = look(machine.root);
  }, 900_000);
  afterAll(() => machine.destroy());

  const job: JobOptions = { user: 'root', lease: 120, phases: { test: `${mess}\necho ready` } };
  const waits: JobOptions = { ...job, phases: { test: `${mess}\necho ready; sleep 1000` } };
  const stage = (id: string) => join(machine.root, 'etc', `.savepoint.${id}`);

  /** Pulls the plug as soon as it is so, and puts it back: the time of the loss. */
  async function crashWhen(what: string, isSo: () => boolean): Promise<number> {
    await until(what, isSo);
    const lost = Date.now();
    await machine.powerOff();
    expect(isSo(), `${what}, when it died`).toBe(true);
    if (unsynced === 'lost') await machine.loseUnsynced();
    return lost;
  }

  /** The host has brought itself back before anybody could log in. */
  async function expectRecovered(id: string, what: string, lost: number): Promise<void> {
    expectRestored(machine.root, before);
    const end = await endOf(machine.root, id);
    expect(end.outcome).toBe('rolled-back');
    expect(end.at).toBeGreaterThan(lost);
    losses.add({ what, seconds: (end.at - lost) / 1000, of: 'boot' });
    await expectRecoveryBeforeSshd(machine);
  }

  /** Lets a job end as its own controller wants it: the host is fit for work. */
  async function expectFit(): Promise<void> {
    await using controller = await startJob(machine, {
      ...job,
      fields: { 'on-success': 'rollback' },
    });
    expect(await controller.ended, controller.printed()).toBe(0);
    expectRestored(machine.root, before);
  }

  test('in its very first begin', async () => {
    await using controller = await startJob(machine, job);
    await crashWhen('a claim', () => isOpen(machine.root));
    controller.kill('SIGKILL');
    await machine.boot();
    // Nothing was armed, so nothing was changed, and the next one may begin.
    await expectFit();
  });

  test('in begin, while the tracked paths are copied', async () => {
    await using controller = await startJob(machine, job);
    const id = await controller.id();
    const folder = folderOf(machine.root, id);
    const copying = () =>
      existsSync(join(folder, 'backup.tar')) && !existsSync(join(folder, 'armed'));
    const lost = await crashWhen('a copy', copying);
    controller.kill('SIGKILL');
    await machine.boot();
    expectRestored(machine.root, before);
    expect(existsSync(folder)).toBe(false);
    losses.add({ what: `host ${how} in begin`, seconds: (Date.now() - lost) / 1000, of: 'boot' });
    await expectRecoveryBeforeSshd(machine);
  });

  test('in a phase, while its controller lives', async () => {
    // Nobody else edits anything: whatever the job wrote is undone, also half written.
    const fields = { 'on-conflict': 'keep' };
    await using controller = await startJob(machine, { ...waits, fields });
    const id = await controller.id();
    await controller.says('ready');
    const lost = await crashWhen('a phase', () => isOpen(machine.root));
    await machine.boot();
    await expectRecovered(id, `host ${how} in a phase`, lost);
    expect(await controller.ended, controller.printed()).not.toBe(0);
    expectRestored(machine.root, before);
  });

  test('in rollback, while the old files are put back', async () => {
    await using controller = await startJob(machine, failing(job));
    const id = await controller.id();
    const lost = await crashWhen('a stage', () => isDecided(id) && existsSync(stage(id)));
    controller.kill('SIGKILL');
    await machine.boot();
    await expectRecovered(id, `host ${how} in rollback, restoring`, lost);
  });

  test('in rollback, while the package caches are refreshed', async () => {
    const [once, hangs] = ['/root/refreshed', '/root/hangs'];
    const refresh = `test -e ${once} || { touch ${once}; sync; touch ${hangs}; sleep 1000; }`;
    await using controller = await startJob(machine, { ...failing(job), fields: { refresh } });
    const id = await controller.id();
    const lost = await crashWhen('a refresh', () => existsSync(join(machine.root, hangs)));
    controller.kill('SIGKILL');
    await machine.boot();
    await expectRecovered(id, `host ${how} in rollback, refreshing`, lost);
    for (const path of [once, hangs]) rmSync(join(machine.root, path), { force: true });
  });

  test('in a phase, and again in the recovery from that', async () => {
    await using controller = await startJob(machine, waits);
    const id = await controller.id();
    await controller.says('ready');
    await crashWhen('a phase', () => isOpen(machine.root));
    controller.kill('SIGKILL');
    const first = machine.boot().catch(() => 'it died');
    const lost = await crashWhen('a stage', () => existsSync(stage(id)));
    expect(await first).toBe('it died');
    await machine.boot();
    await expectRecovered(id, `host ${how} in recovery`, lost);
  });

  test('nothing of this is in the way of a job', async () => {
    await expectFit();
    expect(transactionWith(machine.root, 'work')).toBeUndefined();
  });

  function isDecided(id: string): boolean {
    return existsSync(join(folderOf(machine.root, id), 'decision'));
  }
});

/** A job whose phase changes everything and then fails. */
function failing(job: JobOptions): JobOptions {
  return { ...job, phases: { test: `${mess}\nexit 1` } };
}

/** By the stamps of systemd, in microseconds since the kernel started. */
async function expectRecoveryBeforeSshd(machine: Container): Promise<void> {
  const shown = await machine.exec(`
    show() { systemctl show --value -p "$1" "$2"; }
    show Result savepoint-recover.service
    show ExecMainExitTimestampMonotonic savepoint-recover.service
    show ExecMainStartTimestampMonotonic ssh.service`);
  const [result, recovered, sshd] = shown.split('\n');
  expect(result).toBe('success');
  expect(Number(recovered)).toBeGreaterThan(0);
  expect(Number(recovered)).toBeLessThanOrEqual(Number(sshd));
}
