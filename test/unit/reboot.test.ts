import { expect, test } from 'vitest';
import { exitOf } from '../../src/transaction/reboot.ts';

/** A host that was on its first boot when the command was started; how often it was asked since. */
function host(now: string | undefined) {
  let asked = 0;
  const ask = async () => {
    asked++;
    return now;
  };
  return { name: 'lab-07', before: 'boot-1', now: ask, asked: () => asked };
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

test.each([
  ['the boot is the same', { phase: 'test', reboot: 600 }, 'boot-1'],
  ['the host does not tell its boot', { phase: 'test', reboot: 600 }, undefined],
  ['no restart was expected', { phase: 'test' }, 'boot-1'],
])('a command without a status is an error when %s', async (_, command, now) => {
  await expect(exitOf('lost', command, host(now))).rejects.toMatchObject({
    name: 'host-lost',
    message: expect.stringContaining('nobody knows how it ended'),
  });
});
