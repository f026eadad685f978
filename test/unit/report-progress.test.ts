import { expect, test } from 'vitest';
import { terminal } from '../../src/ci/terminal.ts';
import { consoleReport, type Screen } from '../../src/report/console.ts';
import type { EventOf, RunEvent } from '../../src/run/events.ts';

const MiB = 1024 ** 2;

/** A sample of a transfer of 100 MiB at 10 MiB/s, after so many seconds. */
function sample(seconds: number, changes: Partial<EventOf<'progress'>> = {}): RunEvent {
  return {
    seq: seconds,
    time: new Date(1_700_000_000_000 + seconds * 1000).toISOString(),
    event: 'progress',
    kind: 'progress',
    phase: 'unpack',
    bytes: seconds * 10 * MiB,
    entries: seconds,
    total: 100 * MiB,
    elapsed: seconds,
    rate: 10 * MiB,
    remaining: 10 - seconds,
    ...changes,
  };
}

const end = sample(10, { done: true, entries: 12 });

function shown(events: RunEvent[], width?: number): { lines: string[]; statuses: string[] } {
  const lines: string[] = [];
  const statuses: string[] = [];
  const screen: Screen = {
    line: (text) => lines.push(text),
    color: false,
    ...(width !== undefined && { status: (text) => void statuses.push(text(width)) }),
  };
  const report = consoleReport(screen);
  for (const event of events) report.on(event);
  return { lines, statuses };
}

test('a log gets a line at once, then one every five seconds, and one for the whole', () => {
  const events = [2, 3, 4, 5, 6, 7, 8, 9].map((seconds) => sample(seconds));
  expect(shown([...events, end]).lines).toEqual([
    'unpack     20 MiB of 100 MiB (20 %), 10 MiB/s, 8 s left',
    'unpack     70 MiB of 100 MiB (70 %), 10 MiB/s, 3 s left',
    'unpack     12 entries (100 MiB) in 10 s, 10 MiB/s',
  ]);
});

test('a terminal gets a bar that is drawn over, and the same last line', () => {
  const { lines, statuses } = shown([sample(2), sample(9), end], 100);
  expect(statuses).toEqual([
    `unpack     [${'#'.repeat(6)}${'-'.repeat(24)}] 20 MiB of 100 MiB (20 %), 10 MiB/s, 8 s left`,
    `unpack     [${'#'.repeat(27)}${'-'.repeat(3)}] 90 MiB of 100 MiB (90 %), 10 MiB/s, 1 s left`,
  ]);
  expect(lines).toEqual(['unpack     12 entries (100 MiB) in 10 s, 10 MiB/s']);
});

test.each([10, 40, 60, 70, 80, 200])('a bar fits into %i columns', (width) => {
  const { statuses } = shown([sample(2)], width);
  expect(statuses[0]?.length).toBeLessThan(width);
});

test('what was over at once has no rate', () => {
  const { lines } = shown([sample(0, { done: true, elapsed: 0.1, entries: 1, bytes: 4 })]);
  expect(lines).toEqual(['unpack     1 entry (4 B)']);
});

test('a transfer that brings more than was estimated is not done before its end', () => {
  const { total: _, remaining: __, ...rest } = sample(3) as EventOf<'progress'>;
  const over = sample(9, { bytes: 120 * MiB, remaining: 0 });
  expect(shown([over]).lines[0]).toContain('120 MiB of 120 MiB (99 %)');
  expect(shown([rest]).lines).toEqual(['unpack     30 MiB in 3 entries, 10 MiB/s']);
});

test('a bar goes when the next line comes, whoever writes it', () => {
  const written: string[] = [];
  const stream = { isTTY: true, columns: 80, write: (text: string) => written.push(text) };
  const one = terminal(stream as never, {});
  const other = terminal(stream as never, {});
  one.status?.((width) => `bar of ${width}`);
  other.line('a line');
  other.line('another');
  expect(written).toEqual(['\r\u001b[Kbar of 80', '\r\u001b[Ka line\n', 'another\n']);
});

test.each([
  ['a pipe', { isTTY: undefined }, {}],
  ['a dumb terminal', { isTTY: true }, { TERM: 'dumb' }],
  ['the log of a CI with a terminal', { isTTY: true }, { CI: 'true' }],
])('%s gets lines', (_, stream, env) => {
  expect(terminal({ ...stream, write: () => true } as never, env).status).toBeUndefined();
});
