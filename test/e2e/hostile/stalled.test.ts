import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import { encodeRequest, type Fields } from '../../../src/guard/protocol.ts';
import { guardInUse } from '../../../src/guard/releases.ts';
import { bareHost, guardOf, install, pinned } from '../real/pinned-guard.ts';
import { until } from '../real/processes.ts';
import { endedAlone } from './ended.ts';

/** These read the change while they hold the lock; they go on when the link is known to be dead. */
const waitsUnderLock = ['1.0.0', '1.0.1', '1.0.2'].includes(guardInUse().version);

test('a controller that stalls in the middle of its change does not keep the host from rolling back', async () => {
  using host = bareHost();
  install(host, pinned);
  const before = host.look();
  const credentials: Fields = [
    ['id', 'stalled'],
    ['token', 'a'.repeat(64)],
    ['root', host.root],
  ];
  const start = (verb: string, fields: Fields) => {
    const child = spawn('/bin/sh', [guardOf(host), verb], { stdio: ['pipe', 'pipe', 'inherit'] });
    child.stdin.on('error', () => undefined);
    child.stdin.write(encodeRequest([...credentials, ...fields]));
    return child;
  };
  const begin = start('begin', [
    ['lease', '2'],
    ['track', '/etc/lab.conf'],
  ]);
  begin.stdin.end();
  expect(await text(begin.stdout)).toMatch(/^savepoint 1 ok/);

  // The first half of an archive's header, and then nothing more, as over a link that is half-open.
  const apply = start('apply', []);
  const exited = once(apply, 'exit');
  onTestFinished(() => void apply.kill('SIGKILL'));
  apply.stdin.write(Buffer.alloc(256, 'x'));
  const folder = join(host.root, 'var/lib/savepoint/tx/stalled');
  await until('it has begun to read', () => readdirSync(folder).some((n) => n.startsWith('new')));

  // Before 1.1.0 only as long as nobody notices that the link is half-open.
  if (waitsUnderLock) apply.stdin.end();
  expect(await endedAlone(host)).toEqual({ outcome: 'rolled-back', by: 'watchdog' });
  expect(host.changesSince(before)).toEqual([]);
  apply.stdin.end();
  await exited;
  expect(host.changesSince(before)).toEqual([]);
  expect(existsSync(join(host.root, 'var/lib/savepoint/open'))).toBe(false);
});
