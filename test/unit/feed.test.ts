import { Readable, Writable } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { feed } from '../../src/host/feed.ts';

test('a source that never waits, into a command that takes all at once, leaves time for the rest', async () => {
  let read = 0;
  let over = false;
  function* endless() {
    const piece = Buffer.alloc(512 * 1024);
    // Far more than is taken meanwhile; an end, so that a feed that lets nobody in fails in time.
    for (; !over && read < 2_000_000; read++) yield piece;
  }
  const sink = new Writable({ write: (_chunk, _encoding, done) => done() });
  const feeding = feed(Readable.from(endless()), sink, 'a command');
  await setTimeout(20);
  over = true;
  const seen = read;
  await feeding;
  expect(seen).toBeGreaterThan(0);
  expect(seen).toBeLessThan(2_000_000);
});
