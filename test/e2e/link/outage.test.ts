import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { releasedGuards } from '../../../src/guard/releases.ts';
import { type Relay, startRelay } from '../../host/relay.ts';
import { type Sshd, startSshd } from '../../host/sshd.ts';
import { endedAlone } from '../hostile/ended.ts';
import { remains, saysBusy, staysBusy, until } from '../real/processes.ts';
import { savepoint, start } from '../real/savepoint.ts';
import { hostFields, type ScratchHost } from '../real/scratch-host.ts';
import { eventsIn, labHost, relayed } from './lines.ts';

let sshd: Sshd;
beforeAll(async () => {
  sshd = await startSshd();
});
afterAll(() => sshd.stop());

function job(host: ScratchHost, relay: Relay, more: Record<string, unknown> = {}) {
  return {
    host: hostFields(sshd, relayed(relay, sshd)),
    files: host.overlay('files', { 'etc/lab.conf': { text: 'new\n' } }),
    phases: { test: staysBusy },
    ...more,
  };
}

const output = (host: ScratchHost) => join(host.folder, 'output');
const tracked = (host: ScratchHost) => readFileSync(join(host.root, 'etc/lab.conf'), 'utf8');
const kinds = (host: ScratchHost) => eventsIn(output(host)).map(({ kind }) => kind);
const isLost = (host: ScratchHost) =>
  until('the loss is noticed', () => kinds(host).includes('connection_lost'));

describe('while the connection to a host is broken', () => {
  test('a cancel waits for the host, kills all that runs there and rolls back', async () => {
    await using relay = await startRelay({ to: sshd.port });
    using host = labHost();
    await using running = host.start(job(host, relay), '--output', output(host));
    const busy = await saysBusy(running);
    relay.down();
    await isLost(host);
    running.kill('SIGTERM');
    await running.said(/SIGTERM: stopping/);
    expect(remains(busy)).not.toEqual([]);
    relay.up();
    const ended = await running.ended;
    expect(remains(busy)).toEqual([]);
    expect(ended, ended.stderr).toMatchObject({
      code: 143,
      json: { status: 'cancelled', outcome: 'rolled-back' },
    });
    expect(kinds(host)).toContain('connection_resumed');
    expect(tracked(host)).toBe('old\n');
  });

  test('a cancel right after it is back does the same', async () => {
    await using relay = await startRelay({ to: sshd.port });
    using host = labHost();
    await using running = host.start(job(host, relay), '--output', output(host));
    const busy = await saysBusy(running);
    relay.cut();
    await until('it is back', () => kinds(host).includes('connection_resumed'));
    running.kill('SIGTERM');
    expect(await running.ended).toMatchObject({ code: 143, json: { outcome: 'rolled-back' } });
    expect(remains(busy)).toEqual([]);
  });

  test('a host that does not come back is given up with its lease, and rolls back by itself', async () => {
    await using relay = await startRelay({ to: sshd.port });
    using host = labHost();
    await using running = host.start(
      job(host, relay, { lease: '4s', renew: '1s' }),
      ...['--output', output(host)],
    );
    const busy = await saysBusy(running);
    relay.down();
    const ended = await running.ended;
    expect(ended, ended.stderr).toMatchObject({
      code: 3,
      json: { error: { name: 'host-unreachable', class: 'host' } },
    });
    expect(ended.json.error?.reason).toMatch(/did not come back within .* rolls back by itself/);
    expect(ended.stderr).toMatch(/hint: .*savepoint recover ssh:/);
    expect(ended.json).not.toHaveProperty('outcome');
    expect(await endedAlone(host)).toEqual({ outcome: 'rolled-back', by: 'watchdog' });
    expect(tracked(host)).toBe('old\n');
    expect(remains(busy)).toEqual([]);
  });

  test('a host that comes back when its lease is over tells what it did', async () => {
    await using relay = await startRelay({ to: sshd.port });
    using host = labHost();
    // Waited for longer than its lease, since it might have restarted; but it has not.
    const phases = { test: { run: staysBusy, reboot: '60s' } };
    const fields = job(host, relay, { lease: '4s', renew: '1s', phases });
    await using running = host.start(fields, '--output', output(host));
    const busy = await saysBusy(running);
    relay.down();
    expect(await endedAlone(host)).toEqual({ outcome: 'rolled-back', by: 'watchdog' });
    expect(remains(busy)).toEqual([]);
    relay.up();
    const ended = await running.ended;
    expect(ended, ended.stderr).toMatchObject({
      code: 3,
      json: {
        outcome: 'rolled-back',
        decision: { by: 'watchdog' },
        error: { name: 'lease-expired' },
      },
    });
  });

  test('the process that is to decide waits for the host', async () => {
    await using relay = await startRelay({ to: sshd.port });
    using host = labHost();
    const cwd = host.folder;
    const file = host.job(job(host, relay, { phases: {} }));
    const begun = await savepoint(['begin', file, '--while', '0'], { cwd });
    expect(begun, begun.stderr).toMatchObject({ code: 0 });
    relay.down();
    await using finishing = start(['finish', '--status', 'success', '--json'], { cwd });
    await finishing.said(/trying again/);
    relay.up();
    const ended = await finishing.ended;
    expect(ended, ended.stderr).toMatchObject({ code: 0, json: { outcome: 'committed' } });
    expect(tracked(host)).toBe('new\n');
  });

  test('a host that refuses the login then is not asked again', async () => {
    await using own = await startSshd();
    await using relay = await startRelay({ to: own.port });
    using host = labHost();
    const login = { host: hostFields(own, relayed(relay, own)) };
    await using running = host.start(job(host, relay, login), '--output', output(host));
    await saysBusy(running);
    relay.down();
    await isLost(host);
    writeFileSync(own.authorizedKeysFile, '');
    relay.up();
    const ended = await running.ended;
    expect(ended, ended.stderr).toMatchObject({
      code: 3,
      json: { error: { name: 'host-auth-failed' } },
    });
    const { phases } = ended.json;
    expect(phases).toMatchObject([{ name: 'test', error: { name: 'host-auth-failed' } }]);
    const recovered = await savepoint(
      ['recover', 'local', '--root', host.root, '--sudo', 'false', '--json'],
      { cwd: host.folder },
    );
    expect(recovered, recovered.stderr).toMatchObject({ code: 0 });
    expect(tracked(host)).toBe('old\n');
  });
});

test('a guard that keeps nothing of a phase loses it with the connection, and the host is rolled back', async () => {
  const old = releasedGuards().find(({ version }) => version === '1.0.2');
  if (!old) throw new Error('There is no guard 1.0.2.');
  await using relay = await startRelay({ to: sshd.port });
  using host = labHost();
  await using running = host.start(
    job(host, relay),
    ...['--guard', old.sha256, '--output', output(host)],
  );
  const busy = await saysBusy(running);
  relay.cut();
  const ended = await running.ended;
  expect(ended, ended.stderr).toMatchObject({
    code: 3,
    json: { outcome: 'rolled-back', error: { name: 'host-lost' } },
  });
  expect(remains(busy)).toEqual([]);
  expect(tracked(host)).toBe('old\n');
});
