import { expect, test } from 'vitest';
import { exitOf } from '../../src/transaction/reboot.ts';

/** A host that was on its first boot when the command was started; how often it was asked since. */
function host(...boots: (string | undefined)[]) {
  let asked = 0;
  const now = async () => boots[Math.min(asked++, boots.length - 1)];
  const pause = async () => undefined;
  return { name: 'lab-07', before: 'boot-1', now, pause, asked: () => asked };
}

test('a status is the end of a command, and the host is not asked', async () => {
  const it = host('boot-2');
  expect(await exitOf(7, { phase: 'test', reboot: 600 }, it)).toEqual({ code: 7 });
  expect(it.asked()).toBe(0);
});

test('a command without a status whose host has another boot, as expected, ended with it', async () => {
  const it = host('boot-2');
  expect(await exitOf('lost', { phase: 'test', reboot: 600 }, it)).toEqual({ rebooted: 'boot-2' });
});

test('a host that is still on its way down is asked until it has another boot', async () => {
  const it = host('boot-1', 'boot-1', 'boot-2');
  expect(await exitOf('lost', { phase: 'test', reboot: 600 }, it)).toEqual({ rebooted: 'boot-2' });
});

test.each([
  ['the boot stays the same', { phase: 'test', reboot: 600 }, 'boot-1'],
  ['the host does not tell its boot', { phase: 'test', reboot: 600 }, undefined],
  ['no restart was expected', { phase: 'test' }, 'boot-1'],
])('a command without a status is an error when %s', async (_, command, now) => {
  await expect(exitOf('lost', command, host(now))).rejects.toMatchObject({
    name: 'host-lost',
    message: expect.stringContaining('nobody knows how it ended'),
  });
});
