import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { guardInUse } from '../../src/guard/releases.ts';
import { capture } from '../../src/host/capture.ts';
import { openHost } from '../../src/host/open.ts';
import { prepare } from '../../src/transaction/prepare.ts';
import { attach } from '../../src/transaction/transaction.ts';
import { job } from '../unit/run.fixture.ts';
import { startRelay } from './relay.ts';
import { type Sshd, startSshd } from './sshd.ts';

let sshd: Sshd;
beforeAll(async () => {
  sshd = await startSshd();
});
afterAll(() => sshd.stop());

/**
 * A host behind a link that is slow enough for the order of what passes to be that of the
 * conversation, with a count of the round trips that something takes there.
 */
async function slowHost() {
  const root = mkdtempSync(join(tmpdir(), 'savepoint-trips-'));
  mkdirSync(join(root, 'etc'));
  writeFileSync(join(root, 'etc/lab.conf'), 'old\n');
  const relay = await startRelay({ to: sshd.port, delayMs: 20 });
  const config = sshd.config({
    port: relay.port,
    knownHosts: `[127.0.0.1]:${relay.port} ${sshd.hostKey('ed25519')}`,
  });
  const host = await openHost(config);
  const it = { ...job(), host: config, root, track: [{ path: '/etc/lab.conf' }] };
  return {
    open: () => attach(prepare(it, config, guardInUse(), 'a test'), host),
    plain: () => capture(host.run({ argv: ['true'] })),
    fed: () => capture(host.run({ argv: ['cat'], stdin: Buffer.from('a request') })),
    trips: async (act: () => Promise<unknown>) => {
      const before = relay.turns;
      await act();
      return relay.turns - before;
    },
    [Symbol.asyncDispose]: async () => {
      await host.close();
      await relay.stop();
      rmSync(root, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

const verbs = ['begin', 'renew', 'commit', 'rollback'] as const;
type Counted = (typeof verbs)[number] | 'plain' | 'fed';

/**
 * The round trips of each. The last answer of a command may still be on its way when the next one
 * begins, so each is counted behind another. A busy machine makes it look like more, never like
 * less: the least of several counts.
 */
async function counted(): Promise<Record<Counted, number>> {
  await using slow = await slowHost();
  const { open, plain, fed, trips } = slow;
  const installing = open();
  await installing.begin();
  await installing.rollback('it has put the guard there');
  const least = { plain: 99, fed: 99, begin: 99, renew: 99, commit: 99, rollback: 99 };
  const count = async (what: Counted, act: () => Promise<unknown>) => {
    least[what] = Math.min(least[what], await trips(act));
  };
  for (let attempt = 0; attempt < 5; attempt++) {
    await count('plain', plain);
    await count('fed', fed);
    for (const end of ['commit', 'rollback'] as const) {
      const transaction = open();
      await count('begin', () => transaction.begin());
      await count('renew', () => transaction.renew());
      await count(end, () => transaction[end]('the test is over'));
    }
  }
  return least;
}

describe('on an open connection, to a host that has the guard', () => {
  let trips: Record<Counted, number>;
  beforeAll(async () => {
    trips = await counted();
  });

  test.each(verbs)('%s takes no more round trips than a plain command with an input', (verb) => {
    expect(trips[verb]).toBeLessThanOrEqual(trips.fed);
  });

  test('a plain command takes one, on a channel that is open before it is asked for', () => {
    expect(trips.plain).toBe(1);
  });

  // OpenSSH takes nothing for a command before it has said that it runs.
  test('an input costs one more', () => {
    expect(trips.fed).toBe(2);
  });
});

test('a host that has no guard yet takes no more than three commands for it', async () => {
  const least = { fed: 99, begin: 99 };
  for (let attempt = 0; attempt < 3; attempt++) {
    await using slow = await slowHost();
    const { open, fed, trips } = slow;
    const transaction = open();
    least.fed = Math.min(least.fed, await trips(fed));
    least.begin = Math.min(least.begin, await trips(() => transaction.begin()));
    await transaction.rollback('the test is over');
  }
  expect(least.begin).toBeGreaterThan(least.fed);
  // Asked, told that there is none, given one, asked again.
  expect(least.begin).toBeLessThanOrEqual(3 * least.fed);
});
