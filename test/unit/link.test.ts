import { describe, expect, test } from 'vitest';
import { type ErrorName, SavepointError } from '../../src/errors.ts';
import { Link, type LinkOptions } from '../../src/transaction/link.ts';
import { News } from '../../src/transaction/news.ts';

/** A link whose probes end as listed, the last one for all that follow. */
function link(probes: (ErrorName | 'ok')[], options: Partial<LinkOptions> = {}) {
  const news = new News();
  let asked = 0;
  const probe = async () => {
    const end = probes[Math.min(asked++, probes.length - 1)] ?? 'ok';
    if (end !== 'ok') throw new SavepointError(end);
  };
  const it = new Link({ lease: 60, probe, news, name: 'lab-07', ...options });
  return { it, news, asked: () => asked };
}

/** Fails as listed, then gives `done`. */
function attempts(...failures: ErrorName[]) {
  const left = [...failures];
  return async () => {
    const name = left.shift();
    if (name) throw new SavepointError(name);
    return 'done';
  };
}

const kinds = (news: News) => news.take().map(({ kind }) => kind);

describe('what crosses the link to a host', () => {
  test('is done again once the host answers, and both are told', async () => {
    const { it, news, asked } = link(['host-unreachable', 'host-lost', 'ok']);
    expect(await it.again(attempts('host-lost'))).toBe('done');
    expect(asked()).toBe(3);
    expect(kinds(news)).toEqual(['connection_lost', 'connection_resumed']);
  });

  test('waits in one loop, however many wait', async () => {
    const { it, news, asked } = link(['ok']);
    const all = ['a', 'b', 'c'].map(() => it.again(attempts('host-lost')));
    expect(await Promise.all(all)).toEqual(['done', 'done', 'done']);
    expect(asked()).toBe(1);
    expect(kinds(news)).toEqual(['connection_lost', 'connection_resumed']);
  });

  test('is not sent twice where that may do harm, but is when it was never sent', async () => {
    const { it, news } = link(['ok']);
    const once = { repeatable: false };
    await expect(it.again(attempts('host-lost'), once)).rejects.toMatchObject({
      name: 'host-lost',
    });
    expect(kinds(news)).toEqual([]);
    expect(await it.again(attempts('host-unreachable'), once)).toBe('done');
  });

  test('is asked itself when the host answers anything, for the answer is its own', async () => {
    const { it, news } = link(['not-open']);
    await expect(it.again(attempts('host-lost', 'not-open'))).rejects.toMatchObject({
      name: 'not-open',
    });
    expect(kinds(news)).toEqual(['connection_lost', 'connection_resumed']);
  });

  test.each(['host-auth-failed', 'host-key-changed', 'key-bad'] as const)(
    'is given up at once when the login fails: %s',
    async (name) => {
      const { it, news, asked } = link([name]);
      await expect(it.again(attempts('host-lost'))).rejects.toMatchObject({ name });
      expect(asked()).toBe(1);
      expect(kinds(news)).toEqual(['connection_lost']);
    },
  );

  test('is given up when the lease must be over, counted from the last renewal', async () => {
    const { it } = link(['host-unreachable'], { lease: 1 });
    const began = performance.now();
    it.renewed();
    await expect(it.again(attempts('host-lost'))).rejects.toMatchObject({
      name: 'host-unreachable',
      message: expect.stringContaining('lab-07 did not come back within'),
    });
    expect(performance.now() - began).toBeGreaterThanOrEqual(1000);
    const later = it.again(attempts('host-unreachable'));
    await expect(later).rejects.toMatchObject({
      message: expect.not.stringContaining('come back'),
    });
  });

  test('is given up then although the host leaves the question open', async () => {
    const { it } = link([], { lease: 1, probe: () => new Promise(() => undefined) });
    await expect(it.again(attempts('host-lost'))).rejects.toMatchObject({
      name: 'host-lost',
      message: expect.stringContaining('did not come back'),
    });
  });

  test('is waited for longer than the lease while the host may be away', async () => {
    const { it, asked } = link(['host-unreachable', 'host-unreachable', 'ok'], { lease: 0 });
    await expect(it.again(attempts('host-lost'))).rejects.toMatchObject({ name: 'host-lost' });
    const away = it.allowAway(60);
    expect(await it.again(attempts('host-lost'))).toBe('done');
    expect(asked()).toBe(3);
    away[Symbol.dispose]();
    await expect(it.again(attempts('host-lost'))).rejects.toMatchObject({ name: 'host-lost' });
  });

  test('is not waited for by whoever is told to stop', async () => {
    const { it } = link([], { probe: () => new Promise(() => undefined) });
    const stop = new AbortController();
    const waiting = it.again(attempts('host-lost'), { signal: stop.signal });
    stop.abort(new SavepointError('job-cancelled'));
    await expect(waiting).rejects.toMatchObject({ name: 'job-cancelled' });
  });
});

describe('news', () => {
  const lost = { kind: 'connection_lost', reason: 'x', patience: 1 } as const;

  test('comes while something is waited for, and ends with it, each item once', async () => {
    const news = new News();
    news.push(lost);
    let settle = (): void => undefined;
    const waited = new Promise<void>((resolve) => {
      settle = resolve;
    });
    const seen: string[] = [];
    for await (const { kind } of news.until(waited)) {
      seen.push(kind);
      if (seen.length === 1) setTimeout(() => news.push({ kind: 'connection_resumed', after: 1 }));
      else settle();
    }
    expect(seen).toEqual(['connection_lost', 'connection_resumed']);
    expect(news.take()).toEqual([]);
  });

  test('ends too when what is waited for fails', async () => {
    const news = new News();
    news.push(lost);
    const seen = [];
    for await (const item of news.until(Promise.reject(new Error('no')))) seen.push(item);
    expect(seen).toEqual([lost]);
  });
});
