import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { RunEvent } from '../../../src/run/events.ts';
import type { Relay } from '../../host/relay.ts';
import { until } from '../real/processes.ts';
import { ScratchHost } from '../real/scratch-host.ts';

/**
 * Seconds that the phase of a test lasts at least: SAVEPOINT_LONG=600 for a phase as long as those in a
 * lab. The suite's is as long as it takes.
 */
export const long = Number(process.env.SAVEPOINT_LONG ?? 0);

/** How often the connection breaks in one phase. */
export const TIMES = 5;

/** A host with one tracked file; its jobs keep their events in `events`. */
export function labHost(): ScratchHost {
  return new ScratchHost({ 'etc/lab.conf': { text: 'old\n' }, var: {} }, ['/etc/lab.conf'], []);
}

/** The `host:` of a job that goes through a relay. */
export function relayed(relay: Relay, sshd: { hostKey(type: 'ed25519'): string }) {
  const known = `[127.0.0.1]:${relay.port} ${sshd.hostKey('ed25519')}`;
  return { port: relay.port, 'known-hosts': known };
}

/** Prints numbered lines on both streams until it is let go, then ends with 7. */
export const counts = `n=0
while [ ! -e "$SAVEPOINT_ROOT/var/go" ] && [ -d "$SAVEPOINT_ROOT/var" ]; do
  echo "out $n"; echo "err $n" >&2; n=$((n + 1)); sleep 0.02
done
echo "total $n"
exit 7`;

export const letGo = (host: ScratchHost) => host.put('var/go', { text: '' });

/** The events of a job so far. */
export function eventsIn(folder: string): RunEvent[] {
  const file = join(folder, 'events.ndjson');
  if (!existsSync(file)) return [];
  const whole = readFileSync(file, 'utf8').split('\n').slice(0, -1);
  return whole.map((line) => JSON.parse(line) as RunEvent);
}

/** Breaks the connection so often, each time with new output before and the connection back after. */
export async function breakOften(
  events: () => RunEvent[],
  breakIt: (isLost: () => Promise<void>) => unknown,
): Promise<void> {
  const count = (kind: RunEvent['kind']) => events().filter((event) => event.kind === kind).length;
  for (let time = 0; time < TIMES; time++) {
    const before = count('output');
    await until('the phase has printed more', () => count('output') > before + 10);
    await delay((long * 1000) / (TIMES + 1));
    const lost = count('connection_lost');
    await breakIt(() => until('it is noticed', () => count('connection_lost') > lost));
    await until('it is connected again', () => count('connection_resumed') > lost);
  }
  const before = count('output');
  await until('the phase has printed more', () => count('output') > before + 10);
  await delay((long * 1000) / (TIMES + 1));
}

/** What is wrong with the output of `counts`: each line of each stream has to be there once, in order. */
export function faults(events: readonly RunEvent[]): string[] {
  const outputs = events.filter((event) => event.kind === 'output');
  const of = (stream: string) =>
    outputs.filter((event) => event.stream === stream).map(({ line }) => line);
  const out = of('stdout');
  const total = Number(/^total (\d+)$/.exec(out.at(-1) ?? '')?.[1]);
  const numbered = (name: string) => Array.from({ length: total }, (_, n) => `${name} ${n}`);
  return [
    ...(total > 10 * TIMES ? [] : [`the last line is ${out.at(-1)}`]),
    ...differing([...numbered('out'), `total ${total}`], out),
    ...differing(numbered('err'), of('stderr')),
    ...outputs.flatMap((event) => (event.partial ? [`part of a line: ${event.line}`] : [])),
  ];
}

function differing(wanted: string[], found: string[]): string[] {
  const at = wanted.findIndex((line, index) => line !== found[index]);
  if (at < 0 && wanted.length === found.length) return [];
  return [`line ${at}: ${wanted[at]} is ${found[at]}; ${wanted.length} lines are ${found.length}`];
}
