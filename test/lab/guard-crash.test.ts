import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { differences, type Manifest } from '../guard/manifest.ts';
import { bootContainer, type Container } from './container.ts';
import { type Controller, type JobOptions, startJob } from './controller.ts';
import { labImage } from './image.ts';
import { bePatient } from './patience.ts';
import { expectRestored, furnishMuch, look, mess } from './protected.ts';
import { lossTable } from './times.ts';
import { folderOf, isOpen, recordOf, transactionWith, until } from './transactions.ts';

bePatient();

const losses = lossTable('crash');

/** How often a moment that is soon over may be missed before it is given up. */
const tries = 20;

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
  });
  afterAll(() => machine.destroy());

  const job: JobOptions = { user: 'root', lease: 120, phases: { test: `${mess}\necho ready` } };
  const waits: JobOptions = { ...job, phases: { test: `${mess}\necho ready; sleep 1000` } };
  const has = (id: string, name: string) => existsSync(join(folderOf(machine.root, id), name));
  const stages = (id: string) => existsSync(join(machine.root, 'etc', `.savepoint.${id}`));

  /** Pulls the plug; with the power goes what was not durable. */
  async function crash(): Promise<number> {
    const lost = Date.now();
    await machine.powerOff();
    return lost;
  }
  const losePower = async () => {
    if (unsynced === 'lost') await machine.loseUnsynced();
  };
  async function reboot(): Promise<void> {
    await losePower();
    await machine.boot();
  }

  /**
   * Pulls the plug while `isSo`, and boots. A moment may be over before anybody has looked: then
   * the host died later than it should have, has to come back all the same, and the next job is tried.
   * @returns the id of the transaction that was hit, and the time of the loss.
   */
  async function crashWhile(
    options: JobOptions,
    isSo: (id: string) => boolean,
  ): Promise<[id: string, lost: number]> {
    for (let attempt = 0; attempt < tries; attempt++) {
      await using controller = await startJob(machine, options);
      const id = await controller.id();
      await until('the moment, or its end', () => isSo(id) || isOver(controller, id));
      const lost = await crash();
      const hit = isSo(id);
      controller.kill('SIGKILL');
      await reboot();
      // What the first begin left may lie there until the next one; nothing is changed.
      expect(differences(before, look(machine.root))).toEqual([]);
      if (hit) return [id, lost];
    }
    throw new Error(`The moment was missed ${tries} times.`);
  }

  const isOver = ({ printed }: Controller, id: string) =>
    has(id, 'outcome') || printed().includes('ready');

  /** Lets a phase begin and wait, and pulls the plug. */
  async function crashInPhase(controller: Controller): Promise<[id: string, lost: number]> {
    const id = await controller.id();
    await controller.says('ready');
    return [id, await crash()];
  }

  /** Lets a job end as its own controller wants it: the host is fit for work. */
  async function expectFit(): Promise<void> {
    const fields = { 'on-success': 'rollback' };
    await using controller = await startJob(machine, { ...job, fields });
    expect(await controller.ended, controller.printed()).toBe(0);
    expectRestored(machine.root, before);
  }

  /** The host has brought itself back before anybody could log in. */
  async function expectRecovered(id: string, what: string, lost: number): Promise<void> {
    expectRestored(machine.root, before);
    const end = recordOf(machine.root, id);
    expect(end.outcome).toBe('rolled-back');
    expect(end.at).toBeGreaterThan(lost);
    losses.add({ what, seconds: (end.at - lost) / 1000, of: 'boot' });
    await expectRecoveryBeforeSshd(machine);
  }

  test('in its very first begin', async () => {
    // Before anything starts recovery at boot: the next begin clears what is left of it.
    await crashWhile(waits, (id) => isOpen(machine.root) && !has(id, 'armed'));
    await expectFit();
  });

  test('in begin, while the tracked paths are copied', async () => {
    const copies = (id: string) => has(id, 'backup.tar') && !has(id, 'armed');
    const [id, lost] = await crashWhile(waits, copies);
    expectRestored(machine.root, before);
    expect(existsSync(folderOf(machine.root, id))).toBe(false);
    losses.add({ what: `host ${how} in begin`, seconds: (Date.now() - lost) / 1000, of: 'boot' });
    await expectRecoveryBeforeSshd(machine);
  });

  test('in a phase, while its controller lives', async () => {
    // Nobody else edits anything: whatever the job wrote is undone, also half written.
    const fields = { 'on-conflict': 'keep' };
    await using controller = await startJob(machine, { ...waits, fields });
    const [id, lost] = await crashInPhase(controller);
    await reboot();
    await expectRecovered(id, `host ${how} in a phase`, lost);
    expect(await controller.ended, controller.printed()).not.toBe(0);
    expectRestored(machine.root, before);
  });

  test('in a phase, and again as soon as somebody could log in', async () => {
    await using controller = await startJob(machine, waits);
    const [id, lost] = await crashInPhase(controller);
    controller.kill('SIGKILL');
    await reboot();
    await crash();
    await reboot();
    await expectRecovered(id, `host ${how} in a phase, and again when it was up`, lost);
  });

  test('in rollback, while the old files are put back', async () => {
    const restores = (id: string) => has(id, 'decision') && stages(id);
    const [id, lost] = await crashWhile(failing(job), restores);
    await expectRecovered(id, `host ${how} in rollback, restoring`, lost);
  });

  test('in rollback, while the package caches are refreshed', async () => {
    const [once, hangs] = ['/root/refreshed', '/root/hangs'];
    const refresh = `test -e ${once} || { touch ${once}; sync; touch ${hangs}; sleep 1000; }`;
    await using controller = await startJob(machine, { ...failing(job), fields: { refresh } });
    const id = await controller.id();
    await until('a refresh', () => existsSync(join(machine.root, hangs)));
    const lost = await crash();
    controller.kill('SIGKILL');
    await reboot();
    await expectRecovered(id, `host ${how} in rollback, refreshing`, lost);
    for (const path of [once, hangs]) rmSync(join(machine.root, path), { force: true });
  });

  test('in a phase, and again in the recovery from that', async () => {
    for (let hit = false, attempt = 0; !hit; attempt++) {
      expect(attempt).toBeLessThan(tries);
      await using controller = await startJob(machine, waits);
      const [id] = await crashInPhase(controller);
      controller.kill('SIGKILL');
      await losePower();
      const first = machine.boot().catch(() => 'it died');
      await until('a stage, or its end', () => stages(id) || has(id, 'outcome'));
      const lost = await crash();
      hit = stages(id) && !has(id, 'outcome');
      await first;
      await reboot();
      await expectRecovered(id, `host ${how} in recovery`, lost);
    }
  });

  test('nothing of this is in the way of a job', async () => {
    await expectFit();
    expect(transactionWith(machine.root, 'work')).toBeUndefined();
  });
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
