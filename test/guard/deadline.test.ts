import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { pack } from 'tar-stream';
import { describe, expect, test } from 'vitest';
import { Conversation } from './spoken.ts';
import { guards } from './which.ts';

/** Far more than any machine needs; what hangs is ended by it. */
const patience = 120_000;

async function until(holds: () => boolean): Promise<void> {
  for (const end = Date.now() + patience; !holds(); await sleep(200))
    if (Date.now() > end) throw new Error(`not within ${patience / 1000} s: ${holds}`);
}

async function changed(it: Conversation): Promise<void> {
  const archive = pack();
  archive.entry({ name: 'etc/lab/file', mode: 0o644 }, 'new\n');
  archive.finalize();
  expect(it.ask('apply', [], await buffer(archive)).ok).toBe(true);
}

/** Seconds until the lease would end, by the host's monotonic clock. */
function leaseLeft(it: Conversation): number {
  const [, end] = it.file(`var/lib/savepoint/tx/${it.id}/lease`).trim().split(' ');
  const [now] = readFileSync('/proc/uptime', 'utf8').split(' ');
  return Number(end) - Number(now);
}

describe.each(guards)('%s: a renewed lease does not outlive the deadline', (_which, file) => {
  test('the watchdog rolls back, and the controller learns that it is over', async () => {
    using it = new Conversation(file);
    expect(it.begin('lease 3600', 'deadline 8').ok).toBe(true);
    await changed(it);
    // Each of them begins the lease anew, until there is none to renew.
    await until(() => it.ask('renew').error === 'not-open');
    const ended = it.ask('commit');
    expect(ended.head).toEqual(
      expect.arrayContaining(['decision rollback', 'by watchdog', 'outcome rolled-back']),
    );
    expect(it.file('etc/lab/file')).toBe('old\n');
    expect(leaseLeft(it)).toBeGreaterThan(0);
  });

  test('what is left of it is what the host says is left of the lease', () => {
    using it = new Conversation(file);
    it.begin('lease 3600', 'deadline 1800');
    const of = (head: readonly string[]) => head.find((line) => line.startsWith('lease_left '));
    const renewed = Number(of(it.ask('renew').head)?.slice('lease_left '.length));
    expect(renewed).toBeGreaterThan(0);
    expect(renewed).toBeLessThanOrEqual(1800);
    const { head } = it.guard.call('status', { headers: it.site });
    expect(Number(of(head)?.slice('lease_left '.length))).toBeLessThanOrEqual(1800);
  });

  test('the next begin rolls back where no watchdog is left', async () => {
    using it = new Conversation(file);
    it.begin('lease 3600', 'deadline 8');
    await changed(it);
    const watchdog = execFileSync('pgrep', ['-f', `watch ${it.root} .* ${it.id}`], {
      encoding: 'utf8',
    });
    for (const pid of watchdog.trim().split('\n')) process.kill(Number(pid), 'SIGKILL');
    it.ask('renew');
    const next = ['id next', 'lease 60'];
    await until(() => it.begin(...next).ok);
    expect(it.file('etc/lab/file')).toBe('old\n');
    const { head } = it.guard.call('status', { headers: it.site });
    expect(head.find((line) => line.startsWith(`past ${it.id} `))).toContain(' rolled-back ');
    it.ask('rollback', next);
  });
});
