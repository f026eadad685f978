import { setTimeout as delay } from 'node:timers/promises';
import { SavepointError } from '../errors.ts';
import type { News } from './news.ts';

/** Milliseconds before the first new try, and at most between two. */
const FIRST_PAUSE = 250;
const LONGEST_PAUSE = 5_000;

export interface LinkOptions {
  /** Seconds for which the host waits for a sign of life: after that there is nothing to come back to. */
  lease: number;
  /** Asks the host for a sign of life, once. Whatever it answers, it is there. */
  probe: () => Promise<void>;
  news: News;
  /** Of the host, for messages. */
  name: string;
}

export interface Attempts {
  /** False for what must not be sent twice: then only what was never sent is tried again. */
  repeatable?: boolean;
  /** Gives up waiting for the host; what is under way by then ends by itself. */
  signal?: AbortSignal;
}

/**
 * What crosses the network to a host whose lease is kept. When the connection breaks, one loop tries
 * to reach the host again, with growing pauses, until the lease must be over; everybody else waits
 * for it and then goes on. A host that refuses the login is not asked again.
 */
export class Link {
  readonly #options: LinkOptions;
  /** When the host was last known to have heard us, in milliseconds of this process. */
  #heard = performance.now();
  #away = 0;
  #outage: Promise<void> | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** The host has just renewed the lease. */
  renewed(): void {
    this.#heard = performance.now();
  }

  /** While this is held the host may be gone for so many seconds, whatever the lease. */
  allowAway(seconds: number): Disposable {
    const before = this.#away;
    this.#away = Math.max(before, seconds);
    return {
      [Symbol.dispose]: () => {
        this.#away = before;
      },
    };
  }

  /**
   * Does something over the link, and does it again when the connection broke meanwhile.
   * @throws what it throws; `host-lost`, `host-unreachable` when the host did not come back in time
   */
  async again<T>(
    attempt: () => Promise<T>,
    { repeatable = true, signal }: Attempts = {},
  ): Promise<T> {
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        if (!isOutage(error) || (!repeatable && error.name === 'host-lost')) throw error;
        await unless(signal, this.#restored(error));
      }
    }
  }

  /** Resolves when the host is there again; there is one loop, however many wait for it. */
  #restored(first: Outage): Promise<void> {
    if (!this.#outage) {
      const outage = this.#restore(first).finally(() => {
        this.#outage = undefined;
      });
      // Those who wait are told; it may be that none does any more.
      outage.catch(() => undefined);
      this.#outage = outage;
    }
    return this.#outage;
  }

  async #restore(first: Outage): Promise<void> {
    const lost = performance.now();
    const { news, lease, probe, name } = this.#options;
    const end = () => Math.max(this.#heard + lease * 1000, lost + this.#away * 1000);
    const patience = (end() - lost) / 1000;
    if (patience <= 0) throw first;
    news.push({ kind: 'connection_lost', reason: first.reason, patience: rounded(patience) });
    let last = first;
    for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 2, LONGEST_PAUSE)) {
      // Jitter: hosts that went together are not to be asked together.
      const wait = Math.min(pause * (0.5 + Math.random() / 2), end() - performance.now());
      if (wait > 0) await delay(wait);
      const left = end() - performance.now();
      if (left <= 0) throw givenUp(name, last, patience);
      const trouble = await within(left, probe());
      if (trouble === 'late') throw givenUp(name, last, patience);
      if (trouble === undefined || !isAboutLink(trouble)) break;
      if (!isOutage(trouble)) throw trouble;
      last = trouble;
    }
    news.push({
      kind: 'connection_resumed',
      after: rounded((performance.now() - lost) / 1000),
    });
  }
}

type Outage = SavepointError & { name: 'host-lost' | 'host-unreachable' };

/** The host may be there again in a moment. */
export function isOutage(error: unknown): error is Outage {
  return (
    error instanceof SavepointError &&
    (error.name === 'host-lost' || error.name === 'host-unreachable')
  );
}

/** No answer of the host's guard, but what kept it from being asked. */
function isAboutLink(error: unknown): boolean {
  if (isOutage(error)) return true;
  return error instanceof SavepointError && linkErrors.has(error.name);
}

const linkErrors: ReadonlySet<string> = new Set([
  'host-auth-failed',
  'host-key-unknown',
  'host-key-changed',
  'host-key-revoked',
  'key-missing',
  'key-unreadable',
  'key-bad',
  'known-hosts-missing',
]);

/** What the promise was rejected with, `late` when it took longer, undefined when all is well. */
async function within(milliseconds: number, asked: Promise<void>): Promise<unknown> {
  const timer = new AbortController();
  try {
    return await Promise.race([
      asked.then(
        () => undefined,
        (error: unknown) => error,
      ),
      delay(milliseconds, 'late', { signal: timer.signal }),
    ]);
  } finally {
    timer.abort();
  }
}

/** Waits, unless the signal ends the waiting with its reason. */
async function unless(signal: AbortSignal | undefined, waited: Promise<void>): Promise<void> {
  if (!signal) return waited;
  signal.throwIfAborted();
  const ended = new AbortController();
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { signal: ended.signal });
  });
  try {
    await Promise.race([waited, aborted]);
  } finally {
    ended.abort();
  }
}

function givenUp(name: string, last: Outage, patience: number): SavepointError {
  return new SavepointError(last.name, {
    message: `${name} did not come back within ${rounded(patience)} s, after which it rolls back by itself. ${last.reason}`,
    details: { ...last.details, waited: rounded(patience) },
    cause: last,
  });
}

function rounded(seconds: number): number {
  return Math.round(seconds * 10) / 10;
}
