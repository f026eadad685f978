import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, expect, test, vi } from 'vitest';
import { bootContainer, type Container } from './container.ts';
import { startCommand, startJob, writeJob } from './controller.ts';
import { labImage } from './image.ts';
import { bePatient, eventually } from './patience.ts';
import { expectRestored, furnish, look, mess, owned } from './protected.ts';
import { lossTable } from './times.ts';
import { endOf, folderOf, transactionWith, until } from './transactions.ts';

bePatient();

const losses = lossTable('lost');

/** The log of a phase that lives: seconds since 1970, a line each. It says nothing to anybody. */
const beats = '/var/tmp/beats';
const live = `while :; do date +%s.%N >> ${beats}; sleep 0.2; done`;

beforeAll(async () => {
  await labImage();
});

test.concurrent.each(['root', 'ci'] as const)(
  'a controller that is killed in a phase: logged in as %s',
  async (user) => {
    await using machine = await bootContainer({ furnish });
    const before = look(machine.root);
    const change = user === 'root' ? mess : `echo new > ${owned}/settings; rm -f ${owned}/../x`;
    await using controller = await startJob(machine, {
      user,
      phases: { test: `${change}\necho ready\n${live}` },
    });
    const id = await controller.id();
    await controller.says('ready');
    controller.kill('SIGKILL');
    const lost = Date.now();
    const end = await endOf(machine.root, id);
    expect(end).toMatchObject({ outcome: 'rolled-back', decision: 'rollback', by: 'watchdog' });
    expectRestored(machine.root, before);
    losses.add({
      what: `controller killed in a phase, as ${user}`,
      seconds: (end.at - lost) / 1000,
      of: 'lease 15 s',
    });
    // logind had ended the login by then, and with it all that belonged to the login; the phase
    // lived on until the guard ended it.
    const loggedOut = Number(
      await machine.exec(`journalctl --sync; journalctl -u systemd-logind -o short-unix -g 'Removed session [0-9]' |
        head -n 1 | cut -d ' ' -f 1`),
    );
    expect(loggedOut).toBeGreaterThan(lost / 1000);
    const alive = readFileSync(join(machine.root, beats), 'utf8').trim().split('\n');
    expect(Number(alive.at(-1))).toBeGreaterThan(loggedOut);
    await expectNothingRuns(machine);
  },
);

test.concurrent('a login that is frozen: half-open, as after a crash of its network', async () => {
  await using machine = await bootContainer({ furnish });
  const before = look(machine.root);
  await using controller = await startJob(machine, {
    user: 'root',
    phases: { test: `${mess}\necho ready\n${live}` },
  });
  const id = await controller.id();
  await controller.says('ready');
  await machine.freezeSessions();
  const lost = Date.now();
  const end = await endOf(machine.root, id);
  expect(end).toMatchObject({ outcome: 'rolled-back', by: 'watchdog' });
  expectRestored(machine.root, before);
  losses.add({ what: 'login frozen', seconds: (end.at - lost) / 1000, of: 'lease 15 s' });
  // The controller notices by itself, reaches the host anew and tells what became of the job.
  expect(await controller.ended).not.toBe(0);
  expect(controller.printed()).toContain('rolled-back');
  await expectNothingRuns(machine);
});

test.concurrent('a cable that is pulled', async () => {
  await using machine = await bootContainer({ furnish });
  const before = look(machine.root);
  await using controller = await startJob(machine, {
    user: 'root',
    phases: { test: `${mess}\necho ready\n${live}` },
    fields: { 'on-success': 'commit' },
  });
  const id = await controller.id();
  await controller.says('ready');
  await machine.link('down');
  const lost = Date.now();
  const end = await endOf(machine.root, id);
  expect(end).toMatchObject({ outcome: 'rolled-back', by: 'watchdog' });
  expectRestored(machine.root, before);
  losses.add({ what: 'cable pulled', seconds: (end.at - lost) / 1000, of: 'lease 15 s' });
  // Trouble with the host; nothing that the controller does later can change it.
  expect(await controller.ended).toBe(3);
  await machine.link('up');
  expectRestored(machine.root, before);
  await expectNothingRuns(machine);
});

test.concurrent('a transaction that is begun, and then nobody comes', async () => {
  await using machine = await bootContainer({ furnish });
  const before = look(machine.root);
  await using job = await writeJob(machine, { user: 'ci' });
  const state = job.beside('state.json');
  const words = ['begin', job.path, '--state', state, '--output', job.beside('output')];
  await using controller = startCommand([...words, '--while', '0']);
  const id = await controller.id();
  expect(await controller.ended).toBe(0);
  const lost = Date.now();
  const end = await endOf(machine.root, id);
  expect(end).toMatchObject({ outcome: 'rolled-back', by: 'watchdog' });
  expectRestored(machine.root, before);
  losses.add({ what: 'nobody after begin', seconds: (end.at - lost) / 1000, of: 'lease 15 s' });
  // Whoever comes too late is told.
  await using late = startCommand(['finish', '--state', state, '--status', 'success']);
  expect(await late.ended).not.toBe(0);
  expect(late.printed()).toMatch(/lease-expired/);
  await expectNothingRuns(machine);
});

test.concurrent('a keeper whose runner dies, and a watchdog that is killed', async ({
  onTestFinished,
}) => {
  await using machine = await bootContainer({ furnish });
  const before = look(machine.root);
  await using job = await writeJob(machine, { user: 'ci' });
  const runner = spawn('sleep', ['infinity'], { stdio: 'ignore' });
  onTestFinished(() => void runner.kill('SIGKILL'));
  const words = ['--state', job.beside('state.json'), '--output', job.beside('output')];
  await using controller = startCommand([
    'begin',
    job.path,
    ...words,
    '--while',
    String(runner.pid),
  ]);
  const id = await controller.id();
  expect(await controller.ended).toBe(0);
  // The keeper renews, again and again.
  const renewed = () =>
    Number(readFileSync(join(folderOf(machine.root, id), 'lease'), 'utf8').split(' ')[1]);
  const first = renewed();
  await until(
    'renewals',
    () => renewed() > first + 2,
    () => delay(50),
  );
  expect(transactionWith(machine.root, 'decision')).toBeUndefined();
  const unit = `savepoint-${id}.service`;
  await machine.exec(`systemctl kill --signal=KILL ${unit}`);
  runner.kill('SIGKILL');
  const lost = Date.now();
  const end = await endOf(machine.root, id);
  expect(end).toMatchObject({ outcome: 'rolled-back', by: 'watchdog' });
  expectRestored(machine.root, before);
  losses.add({
    what: 'runner dead between begin and finish, watchdog killed too',
    seconds: (end.at - lost) / 1000,
    of: 'lease 15 s',
  });
  await expectNothingRuns(machine);
});

/** Neither a unit nor a process of a transaction is there any more. */
async function expectNothingRuns(machine: Container): Promise<void> {
  const left = `systemctl list-units --all --plain --no-legend 'savepoint-2*'
    grep -l -z '^SAVEPOINT_TRANSACTION=' /proc/[0-9]*/environ 2> /dev/null || true`;
  await vi.waitFor(async () => expect(await machine.exec(left)).toBe(''), eventually);
}
