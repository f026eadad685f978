import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Sshd, startSshd } from '../../host/sshd.ts';
import { aptHost } from './apt-host.ts';
import { deadMirror } from './mirror.ts';
import { until } from './processes.ts';
import type { ScratchHost } from './scratch-host.ts';

let sshd: Sshd;

beforeAll(async () => {
  sshd = await startSshd();
});

afterAll(() => sshd.stop());

/** A job that has the host until `letGo`, or until the host is gone with a test that failed. */
function holds(host: ScratchHost) {
  const test = `echo held
while [ ! -e "$SAVEPOINT_ROOT/var/go" ] && [ -d "$SAVEPOINT_ROOT/var" ]; do sleep 0.1; done`;
  return { name: 'first-job', phases: { test }, files: host.overlay('first', laid('first')) };
}

function comesSecond(host: ScratchHost, more: Record<string, unknown> = {}) {
  return { name: 'second-job', files: host.overlay('second', laid('second')), ...more };
}

const laid = (text: string) => ({ 'etc/absent.conf': { text } });

const letGo = (host: ScratchHost) => host.put('var/go', { text: '' });

const held = (host: ScratchHost) => readFileSync(join(host.root, 'etc/absent.conf'), 'utf8');

test('a second transaction is refused and learns who holds the host; the first is not disturbed', async () => {
  using host = await aptHost(sshd, deadMirror);
  await using first = host.start(holds(host));
  await first.said(/held/);
  const during = host.look();
  const second = await host.run(comesSecond(host, { phases: { test: 'echo it ran' } }));

  expect(second.json).toMatchObject({ error: { name: 'host-busy', class: 'host' } });
  expect(second.json.error?.reason).toMatch(/first-job \(.*process \d+\).*lease ends in \d+ s/);
  expect(second.json.error?.reason).toContain(`process ${first.pid})`);
  expect(second.json).not.toHaveProperty('outcome');
  expect(second.json.phases).toMatchObject([{ name: 'test', status: 'skipped' }]);
  expect(second.code).toBe(3);
  expect(host.changesSince(during)).toEqual([]);

  letGo(host);
  expect(await first.ended).toMatchObject({ code: 0, json: { outcome: 'committed' } });
  expect(held(host)).toBe('first');
});

test('with `lock-timeout:` a second transaction waits until the host is free', async () => {
  using host = await aptHost(sshd, deadMirror);
  await using first = host.start(holds(host));
  await first.said(/held/);
  const tries = () => sshd.logs().split('Starting session: command').length;
  const before = tries();
  await using second = host.start(comesSecond(host, { 'lock-timeout': '60s' }));
  // It asked twice, so it was refused once and did not give up.
  await until('the second job has asked twice', () => tries() >= before + 2);
  expect(held(host)).toBe('first');
  letGo(host);

  expect(await first.ended).toMatchObject({ code: 0, json: { outcome: 'committed' } });
  expect(await second.ended).toMatchObject({ code: 0, json: { outcome: 'committed' } });
  expect(held(host)).toBe('second');
});

test('a `lock-timeout:` that runs out refuses, and a cancelled wait ends at once', async () => {
  using host = await aptHost(sshd, deadMirror);
  await using first = host.start(holds(host));
  await first.said(/held/);
  const during = host.look();
  const second = await host.run(comesSecond(host, { 'lock-timeout': '1s' }));
  expect(second).toMatchObject({ code: 3, json: { error: { name: 'host-busy' } } });

  const tries = () => sshd.logs().split('Starting session: command').length;
  const before = tries();
  await using third = host.start(comesSecond(host, { 'lock-timeout': '1h' }));
  await until('the third job has asked', () => tries() > before);
  third.kill('SIGTERM');
  expect(await third.ended).toMatchObject({ code: 143 });
  expect(host.changesSince(during)).toEqual([]);
  letGo(host);
  expect(await first.ended).toMatchObject({ code: 0 });
});
