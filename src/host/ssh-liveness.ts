import type { Duplex } from 'node:stream';
import type { Client } from 'ssh2';
import { roundTrip } from './ssh-internals.ts';
import type { SshTarget } from './ssh-target.ts';

const usualInterval = 5;
const usualCountMax = 3;

/**
 * Asks a host that has not been heard for an interval for a sign of life, and tells when several
 * such questions in a row were not answered: a half-open link, on which TCP itself would wait
 * for a quarter of an hour.
 * @returns a function that ends the watch
 */
export function watchLink(
  target: SshTarget,
  client: Client,
  sock: Duplex,
  isDead: (why: string) => void,
): () => void {
  const { aliveInterval: interval = usualInterval, aliveCountMax = usualCountMax } = target;
  if (interval <= 0) return () => undefined;
  let heard = true;
  let unanswered = 0;
  // Any byte is a sign of life: on a busy slow link an answer may be a long time in the queue.
  sock.on('data', () => {
    heard = true;
  });
  // Intervals are counted, not compared with a clock: a process that was suspended has not
  // listened either.
  const timer = setInterval(() => {
    if (heard) {
      heard = false;
      unanswered = 0;
    } else if (unanswered < aliveCountMax) {
      unanswered++;
      void roundTrip(client);
    } else {
      isDead(`nothing was heard for ${interval * (aliveCountMax + 1)} s`);
    }
  }, interval * 1000);
  return () => clearInterval(timer);
}
