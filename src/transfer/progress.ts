import { setTimeout as delay } from 'node:timers/promises';

/** How far a transfer is. */
export interface Progress {
  /** Of the files' contents. */
  bytes: number;
  entries: number;
  /** Of all files; of what comes from the host an estimate, by what it takes on the disk there. */
  total?: number;
  /** Seconds since it began. */
  elapsed: number;
  /** Bytes a second, lately. */
  rate: number;
  /** Seconds, where it can be told. */
  remaining?: number;
  /** It has come to its end: these are the last numbers. */
  done?: true;
}

export interface Counter {
  bytes: number;
  entries: number;
  total?: number;
}

/** Nobody has to be told about what is over before. */
const FIRST = 2000;
const EVERY = 1000;

/** The rate is that of the last so many samples. */
const LATELY = 5;

/**
 * Looks at a transfer: every second once it has lasted two, and at its end. A transfer that fails
 * has no end here, its error tells.
 * @param counter is read each time; somebody else counts it up
 */
export async function* progressOf(
  counter: Readonly<Counter>,
  over: Promise<unknown>,
): AsyncGenerator<Progress> {
  const began = performance.now();
  const ended = over.then(
    () => true,
    () => undefined,
  );
  const seen = [{ at: began, bytes: 0 }];
  const sample = (): Progress => {
    const now = performance.now();
    const from = seen[0] as (typeof seen)[number];
    const { bytes, entries, total } = counter;
    const rate = (bytes - from.bytes) / Math.max((now - from.at) / 1000, 0.001);
    seen.push({ at: now, bytes });
    if (seen.length > LATELY) seen.shift();
    const left = total === undefined ? undefined : Math.max(0, total - bytes);
    return {
      bytes,
      entries,
      ...(total !== undefined && { total }),
      elapsed: Math.round(now - began) / 1000,
      rate: Math.round(rate),
      ...(left !== undefined && rate > 0 && { remaining: Math.round(left / rate) }),
    };
  };
  for (let wait = FIRST; ; wait = EVERY) {
    const timer = new AbortController();
    const late = delay(wait, false as const, { signal: timer.signal }).catch(() => false as const);
    const end = await Promise.race([ended, late]);
    timer.abort();
    if (end === undefined) return;
    if (!end) {
      yield sample();
      continue;
    }
    const last = sample();
    const { remaining: _over, ...rest } = last;
    const average = Math.round(last.bytes / Math.max(last.elapsed, 0.001));
    yield { ...rest, rate: average, done: true };
    return;
  }
}
