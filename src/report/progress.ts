import type { EventOf } from '../run/events.ts';
import type { Screen } from './console.ts';
import { bytes, count, duration } from './words.ts';

type Told = EventOf<'progress'>;

/** In a log that keeps every line, one every few seconds is enough: so many, in milliseconds. */
const LINE_EVERY = 5000;

const LONGEST_BAR = 30;
const SHORTEST_BAR = 8;

/** The bar keeps its length while the numbers behind it do not. */
const USUAL_WORDS = 54;

/**
 * Shows transfers: a bar that is drawn over where that can be done, elsewhere a line now and then,
 * and at the end a line of what was transferred.
 * @param say a line behind a label
 * @param label gives a label as wide as those of the lines
 */
export function progressView(
  screen: Screen,
  say: (label: string, text: string) => void,
  label: (phase: string) => string,
): (event: Told) => void {
  let shown: { phase: string; at: number } | undefined;
  return (event) => {
    if (event.done) {
      shown = undefined;
      say(event.phase, whole(event));
    } else if (screen.status) {
      screen.status((width) => bar(event, `${label(event.phase)}   `, width));
    } else {
      const at = Date.parse(event.time);
      if (shown?.phase === event.phase && at - shown.at < LINE_EVERY) return;
      shown = { phase: event.phase, at };
      say(event.phase, [portion(event), pace(event)].join(', '));
    }
  };
}

/** `212 entries (30 MiB) in 4.0 s, 7.5 MiB/s`; how fast what took no time was tells nothing. */
function whole({ entries, bytes: size, elapsed, rate }: Told): string {
  const speed = elapsed < 1 ? '' : ` in ${duration(elapsed)}, ${bytes(rate)}/s`;
  return `${count(entries, 'entry', 'entries')} (${bytes(size)})${speed}`;
}

/** `12 MiB of 64 MiB (18 %)`. */
function portion({ bytes: size, total, entries }: Told): string {
  if (!total) return `${bytes(size)} in ${count(entries, 'entry', 'entries')}`;
  return `${bytes(size)} of ${bytes(Math.max(total, size))} (${percent(size, total)} %)`;
}

function pace({ rate, remaining }: Told): string {
  const left = !remaining
    ? ''
    : `, ${remaining < 120 ? `${remaining} s` : duration(remaining)} left`;
  return `${bytes(rate)}/s${left}`;
}

/** `unpack   [##----------] 12 MiB of 64 MiB (18 %), 4.0 MiB/s, 13 s left`, if there is room. */
function bar(event: Told, label: string, width: number): string {
  const words = [portion(event), pace(event)].join(', ');
  // The last column stays free: some terminals go to the next line once it is written.
  const rest = label.length + Math.max(words.length, USUAL_WORDS) + 3;
  const room = Math.min(LONGEST_BAR, width - 1 - rest);
  if (!event.total || room < SHORTEST_BAR)
    return `${label}${words}`.slice(0, Math.max(0, width - 1));
  const full = Math.round((percent(event.bytes, event.total) / 100) * room);
  return `${label}[${'#'.repeat(full)}${'-'.repeat(room - full)}] ${words}`;
}

/** Never 100 before the end: the total may be an estimate. */
function percent(size: number, total: number): number {
  return Math.min(99, Math.floor((size / total) * 100));
}
