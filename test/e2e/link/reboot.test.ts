import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { endedAlone } from '../hostile/ended.ts';
import { hostFields, isRoot, type ScratchHost } from '../real/scratch-host.ts';
import { eventsIn, labHost, relayed } from './lines.ts';
import { type RebootingHost, rebootingHost } from './rebooting.ts';

const output = (host: ScratchHost) => join(host.folder, 'output');

/** Starts a job whose test phase says `ready` before the host is to restart. */
function started(host: ScratchHost, { sshd, relay }: RebootingHost, test: Record<string, unknown>) {
  const job = {
    host: hostFields(sshd, relayed(relay, sshd)),
    files: host.overlay('files', { 'etc/lab.conf': { text: 'new\n' } }),
    phases: { test, cleanup: 'echo swept' },
  };
  return host.start(job, '--output', output(host));
}

const tracked = (host: ScratchHost) => readFileSync(join(host.root, 'etc/lab.conf'), 'utf8');

const lines = (host: ScratchHost) =>
  eventsIn(output(host)).flatMap((event) => (event.kind === 'output' ? [event.line] : []));

const names = (host: ScratchHost) =>
  eventsIn(output(host)).flatMap(({ kind, event }) => (kind === 'output' ? [] : [event]));

describe.runIf(isRoot)('a host that restarts in the middle of a phase', () => {
  test('as expected goes on with the next command, on the changed configuration', async () => {
    using host = labHost();
    await using machine = await rebootingHost(host);
    await using running = started(host, machine, {
      reboot: '60s',
      run: ['echo before', 'echo ready; sleep 600', 'cat "$SAVEPOINT_ROOT/etc/lab.conf"'],
    });
    await running.said(/\| ready/);
    await machine.restart();
    const ended = await running.ended;
    expect(ended, ended.stderr).toMatchObject({ code: 0, json: { outcome: 'committed' } });
    expect(lines(host)).toEqual(['before', 'ready', 'new', 'swept']);
    expect(names(host)).toEqual([
      ...['job_start', 'transaction_begin', 'transaction_applied', 'test_start'],
      ...['connection_lost', 'connection_resumed', 'host_rebooted', 'test_success'],
      ...['cleanup_start', 'cleanup_success', 'transaction_commit', 'job_end'],
    ]);
    expect(tracked(host)).toBe('new\n');
  });

  test('as expected runs a single script again, which finds its place', async () => {
    using host = labHost();
    await using machine = await rebootingHost(host);
    await using running = started(host, machine, {
      reboot: 'expected',
      run: 'echo "boot $SAVEPOINT_REBOOTS"; [ "$SAVEPOINT_REBOOTS" = 2 ] || { echo ready; sleep 600; }; exit 4',
    });
    await running.said(/\| ready/);
    await machine.restart();
    await running.said(/\| boot 1[\s\S]*\| ready/);
    await machine.restart();
    expect(await running.ended).toMatchObject({
      code: 1,
      json: { outcome: 'rolled-back', test_status: 4 },
    });
    expect(lines(host)).toEqual(['boot 0', 'ready', 'boot 1', 'ready', 'boot 2', 'swept']);
    expect(tracked(host)).toBe('old\n');
  });

  test('unannounced has rolled back before anybody can log in, and that is told', async () => {
    using host = labHost();
    await using machine = await rebootingHost(host);
    await using running = started(host, machine, { run: 'echo ready; sleep 600' });
    await running.said(/\| ready/);
    await machine.restart();
    expect(tracked(host)).toBe('old\n');
    const ended = await running.ended;
    expect(ended, ended.stderr).toMatchObject({
      code: 3,
      json: {
        outcome: 'rolled-back',
        decision: { by: 'boot' },
        error: { name: 'host-rebooted', class: 'host' },
      },
    });
    expect(ended.json.error?.hint).toContain('reboot: expected');
  });

  test('as expected, in a phase before, rolls back: what a phase announced ends with it', async () => {
    using host = labHost();
    await using machine = await rebootingHost(host);
    const { sshd, relay } = machine;
    const job = {
      host: hostFields(sshd, relayed(relay, sshd)),
      files: host.overlay('files', { 'etc/lab.conf': { text: 'new\n' } }),
      phases: { setup: { run: 'true', reboot: '60s' }, test: 'echo ready; sleep 600' },
    };
    await using running = host.start(job);
    await running.said(/\| ready/);
    await machine.restart();
    expect(await running.ended).toMatchObject({
      code: 3,
      json: { outcome: 'rolled-back', error: { name: 'host-rebooted' } },
    });
  });

  test('as expected, but to which nobody comes back, rolls back by itself', async () => {
    using host = labHost();
    await using machine = await rebootingHost(host);
    await using running = started(host, machine, { reboot: '3s', run: 'echo ready; sleep 600' });
    await running.said(/\| ready/);
    running.kill('SIGKILL');
    await running.ended;
    await machine.restart();
    // Not by recovery at boot, but when the time was over.
    expect(await endedAlone(host)).toEqual({ outcome: 'rolled-back', by: 'watchdog' });
    expect(tracked(host)).toBe('old\n');
  });
});
