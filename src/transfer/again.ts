import { PassThrough } from 'node:stream';
import { finished } from 'node:stream/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { SavepointError } from '../errors.ts';
import type { Exit } from '../host/host.ts';
import type { Progress } from './progress.ts';
import type { Transfer } from './upload.ts';

/** Between two tries to reach a host that does not answer, in milliseconds. */
const PAUSE = 1000;

/** A link that breaks again and again will not carry it. */
const MOST_BREAKS = 5;

/** One try, and what came after it. */
interface Try {
  transfer: Transfer;
  /** The next try; undefined when this was the last. */
  following: Promise<Try | undefined>;
}

/**
 * A transfer that begins again when the connection breaks under it: files are replaced, so half of
 * one hurts nobody.
 * @param begin starts a try
 * @param patience seconds for which a host may be out of reach
 */
export function again(begin: () => Transfer, patience: number): Transfer {
  const stderr = new PassThrough();
  let stopped = false;
  let lostSince: number | undefined;
  let breaks = 0;
  let current = begin();

  const follow = (transfer: Transfer): { exit: Promise<Exit>; one: Try } => {
    transfer.stderr.pipe(stderr, { end: false });
    let setFollowing: (next: Try | undefined) => void = () => undefined;
    const following = new Promise<Try | undefined>((resolve) => {
      setFollowing = resolve;
    });
    const attempt = async (): Promise<Exit> => {
      try {
        return await transfer.exit;
      } catch (error) {
        await finished(transfer.stderr, { writable: false });
        if (stopped || !mayPass(error)) throw error;
        stderr.write('the connection broke: beginning again\n');
        await delay(PAUSE);
        if (stopped) throw error;
        current = begin();
        const next = follow(current);
        setFollowing(next.one);
        return await next.exit;
      } finally {
        setFollowing(undefined);
      }
    };
    return { exit: attempt(), one: { transfer, following } };
  };

  const mayPass = (error: unknown): boolean => {
    const name = error instanceof SavepointError ? error.name : undefined;
    // Lost means that it had been reached.
    if (name === 'host-lost') {
      lostSince = performance.now();
      breaks++;
    }
    if (name !== 'host-lost' && name !== 'host-unreachable') return false;
    if (lostSince === undefined || breaks > MOST_BREAKS) return false;
    return performance.now() - lostSince < patience * 1000;
  };

  const first = follow(current);
  const exit = first.exit.finally(() => stderr.end());
  exit.catch(() => undefined);
  return {
    stderr,
    exit,
    progress: progressOfAll(first.one),
    kill: async () => {
      stopped = true;
      await current.kill();
    },
  };
}

async function* progressOfAll(first: Try): AsyncGenerator<Progress> {
  for (let one: Try | undefined = first; one; one = await one.following)
    yield* one.transfer.progress;
}
