import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { guardInUse } from '../../../src/guard/releases.ts';
import { openHost } from '../../../src/host/open.ts';
import { prepare } from '../../../src/transaction/prepare.ts';
import { attach } from '../../../src/transaction/transaction.ts';
import { startRelay } from '../../host/relay.ts';
import { type Sshd, startSshd } from '../../host/sshd.ts';
import { job } from '../../unit/run.fixture.ts';
import { labHost } from './lines.ts';

let sshd: Sshd;
beforeAll(async () => {
  sshd = await startSshd();
});
afterAll(() => sshd.stop());

const MEBIBYTE = 2 ** 20;

test('much output of any bytes, on both streams at once, is whole though the link is cut again and again', async () => {
  await using relay = await startRelay({ to: sshd.port });
  using lab = labHost();
  const config = sshd.config({
    port: relay.port,
    knownHosts: `[127.0.0.1]:${relay.port} ${sshd.hostKey('ed25519')}`,
  });
  const it = { ...job(), host: config, root: lab.root, track: [{ path: '/etc/lab.conf' }] };
  await using host = await openHost(config);
  const transaction = attach(prepare(it, config, guardInUse(), 'a test'), host);
  await transaction.begin();
  try {
    const sent = { out: randomBytes(24 * MEBIBYTE), err: randomBytes(8 * MEBIBYTE) };
    for (const [name, bytes] of Object.entries(sent)) writeFileSync(join(lab.folder, name), bytes);
    const script = `cd '${lab.folder}'; cat err >&2 & cat out; wait $!; exit 5`;
    const process = await transaction.exec({ phase: 'test', script, env: {} });
    let next = 0;
    const cutting = setInterval(() => {
      if (relay.bytes.down < next) return;
      next = relay.bytes.down + 5 * MEBIBYTE;
      relay.cut();
    }, 1);
    const [out, err] = await Promise.all([buffer(process.stdout), buffer(process.stderr)]);
    clearInterval(cutting);
    expect(await process.exit).toEqual({ code: 5 });
    expect([out.length, err.length]).toEqual([sent.out.length, sent.err.length]);
    expect(out.equals(sent.out) && err.equals(sent.err)).toBe(true);
    const cuts = transaction.news.take().filter(({ kind }) => kind === 'connection_lost');
    expect(cuts.length).toBeGreaterThanOrEqual(5);
  } finally {
    await transaction.rollback('the test is over');
  }
});
