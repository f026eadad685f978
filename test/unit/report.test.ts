import { appendFileSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { consoleReport } from '../../src/report/console.ts';
import { createFolder, diffFiles, ndjsonFile, resultFile } from '../../src/report/folder.ts';
import { deliver, type Listener } from '../../src/report/listener.ts';
import { plain } from '../../src/report/plain.ts';
import { replay } from '../../src/report/replay.ts';
import { ResultFold } from '../../src/report/result.ts';
import type { RunEvent } from '../../src/run/events.ts';
import { folder } from './job-fixture.ts';
import { job, outcomeOf } from './run.fixture.ts';

/** The events of a job that fails in its test phase and is rolled back with a diff. */
async function failingRun(): Promise<RunEvent[]> {
  const { events } = await outcomeOf(
    job({ phases: { setup: 'echo ready', test: 'echo "no mirror" >&2; exit 3', cleanup: 'true' } }),
    {
      transaction: {
        apply: async () => ({
          changed: [{ path: '/etc/apt/sources.list', change: 'changed' }],
          diff: '--- a\n+++ b\n-old\n+new\n',
        }),
        rollback: async () => ({
          decision: 'rollback',
          outcome: 'rolled-back',
          by: 'controller',
          paths: [{ path: '/etc/apt/sources.list', state: 'restored' }],
          diff: '--- b\n+++ a\n-new\n+old\n',
          packages: '+ hello 1.0\n',
          warnings: ['left alone: /etc/apt/socket'],
        }),
      },
    },
  );
  return events;
}

async function* from(events: RunEvent[]): AsyncGenerator<RunEvent> {
  yield* events;
}

describe('the result', () => {
  test("has Testflinger's flat keys beside ours", async () => {
    const fold = new ResultFold();
    for (const event of await failingRun()) fold.note(event);
    const result = fold.result();
    expect(result).toMatchObject({
      version: 1,
      job: 'try-it',
      status: 'failure',
      outcome: 'rolled-back',
      exit: 1,
      setup_status: 0,
      setup_output: 'ready\n',
      test_status: 3,
      test_output: 'no mirror\n',
      cleanup_status: 0,
      changed: [{ path: '/etc/apt/sources.list', change: 'changed' }],
      paths: [{ path: '/etc/apt/sources.list', state: 'restored' }],
      decision: { by: 'controller', reason: 'test failed' },
      packages: '+ hello 1.0\n',
      warnings: ['left alone: /etc/apt/socket'],
      error: { name: 'phase-failed', code: 201, details: { phase: 'test', exit: 3 } },
    });
    const [setup, failed] = result.phases;
    expect(setup).toMatchObject({ name: 'setup', status: 'success', exit: 0, where: 'host' });
    expect(failed).toMatchObject({ name: 'test', status: 'failure', exit: 3 });
    expect(Date.parse(failed?.end ?? '')).toBeGreaterThanOrEqual(Date.parse(failed?.start ?? ''));
  });

  test('of a skipped phase has its reason and no flat key', async () => {
    const { events } = await outcomeOf(job({ phases: { setup: 'false', test: 'true' } }));
    const fold = new ResultFold();
    for (const event of events) fold.note(event);
    expect(fold.result().phases[1]).toEqual({
      name: 'test',
      status: 'skipped',
      reason: 'setup failed',
    });
    expect(fold.result()).not.toHaveProperty('test_status');
  });

  test.each([
    { script: { run: 'sleep 9', timeout: 0.2 }, status: 124 },
    { script: 'kill -KILL $$', status: 137 },
    { script: 'exit 77', status: 77 },
  ])('numbers the end of $script as a shell does', async ({ script, status }) => {
    const { events } = await outcomeOf(job({ phases: { test: script } }));
    const fold = new ResultFold();
    for (const event of events) fold.note(event);
    expect(fold.result().test_status).toBe(status);
  });

  test('keeps the end of an output that is very long', async () => {
    const run =
      'i=0; while [ $i -lt 40 ]; do head -c 65536 /dev/zero | tr "\\0" x; echo; i=$((i+1)); done; echo last';
    const { events } = await outcomeOf(job({ phases: { test: run } }));
    const fold = new ResultFold();
    for (const event of events) fold.note(event);
    const output = fold.output('test');
    expect(output.length).toBeLessThan(1024 * 1024 + 100);
    expect(output.startsWith('[the beginning was left out]\n')).toBe(true);
    expect(output.endsWith('xxx\nlast\n')).toBe(true);
  });
});

describe('the output folder', () => {
  test('holds events, result and diffs, for its owner alone', async () => {
    const out = createFolder(join(folder(), 'out'));
    const events = await failingRun();
    await deliver(from(events), [
      ndjsonFile(out),
      diffFiles(out),
      resultFile(out, new ResultFold()),
    ]);
    expect(statSync(out).mode & 0o777).toBe(0o700);
    expect(readdirSync(out).sort()).toEqual([
      ...['change.diff', 'events.ndjson', 'packages.diff', 'result.json', 'rollback.diff'],
    ]);
    const lines = readFileSync(join(out, 'events.ndjson'), 'utf8').trim().split('\n');
    expect(lines.map((line) => JSON.parse(line))).toEqual(events);
    expect(readFileSync(join(out, 'rollback.diff'), 'utf8')).toBe('--- b\n+++ a\n-new\n+old\n');
  });

  test('lets a later process know the events of an earlier one, but for a torn last line', async () => {
    const out = createFolder(join(folder(), 'out'));
    const events = await failingRun();
    const whole = events.slice(0, 6);
    await deliver(from(whole), [ndjsonFile(out)]);
    appendFileSync(join(out, 'events.ndjson'), '{"kind":"phase_st');
    const replayed = new ResultFold();
    expect(await replay(out, replayed)).toBe(true);
    const direct = new ResultFold();
    for (const event of whole) direct.note(event);
    expect(replayed.result()).toEqual(direct.result());
    expect(await replay(join(out, 'no'), replayed)).toBe(false);
  });
});

test('a listener that fails stops neither the run nor the other listeners', async () => {
  const events = await failingRun();
  const seen: RunEvent[] = [];
  let told = 0;
  const broken: Listener = {
    on: () => {
      told++;
      throw new Error('ENOSPC: no space left on device');
    },
  };
  const failures = await deliver(from(events), [broken, { on: (event) => void seen.push(event) }]);
  expect(seen).toEqual(events);
  expect(told).toBe(1);
  expect(failures.map(({ name }) => name)).toEqual(['output-unwritable']);
  expect(failures[0]?.message).toContain('ENOSPC');
});

describe('the console', () => {
  async function shown(events: RunEvent[], color = false): Promise<string[]> {
    const lines: string[] = [];
    const report = consoleReport({ line: (text) => lines.push(text), color });
    for (const event of events) await report.on(event);
    return lines;
  }

  test('tells a run in order, aligned, the host behind a bar', async () => {
    const text = (await shown(await failingRun())).join('\n').replace(/\d+\.\d+ s/g, 'N s');
    expect(text).toBe(
      [
        'job        try-it on local',
        '           transaction tx-1',
        'begin      copied 1 entry (1 B)',
        'apply      the change is in place',
        '           changed /etc/apt/sources.list',
        'apply    | --- a',
        'apply    | +++ b',
        'apply    | -old',
        'apply    | +new',
        'setup      started',
        'setup    | ready',
        'setup      passed after N s',
        'test       started',
        'test     | no mirror',
        'test       failed after N s: exit status 3',
        'cleanup    started',
        'cleanup    passed after N s',
        'rollback   because test failed',
        '           restored /etc/apt/sources.list',
        'rollback | --- b',
        'rollback | +++ a',
        'rollback | -new',
        'rollback | +old',
        '           installed packages differ, which is not undone:',
        'rollback | + hello 1.0',
        'warning    left alone: /etc/apt/socket',
        'result     rolled-back, job failed: exit status 3',
      ].join('\n'),
    );
  });

  test('writes no escape sequence where there is no color', async () => {
    expect((await shown(await failingRun())).join('')).not.toContain('\u001b');
    expect((await shown(await failingRun(), true)).join('')).toContain('\u001b[31mfailed');
  });
});

test.each([
  { what: 'colors', text: '\u001b[31mred\u001b[0m', shown: 'red' },
  { what: 'titles', text: '\u001b]0;title\u0007text', shown: 'text' },
  { what: 'cursor moves', text: 'a\u001b[2Jb\u001b[1;1Hc', shown: 'abc' },
  { what: 'bells and nulls', text: 'a\u0007\u0000b', shown: 'ab' },
  { what: 'C1 controls', text: 'a\u009b31mb\u0085c', shown: 'abc' },
  { what: 'overwritten text', text: '10%\r50%\r100%\r', shown: '100%' },
  { what: 'turned directions', text: 'a\u202eb\u2066c', shown: 'abc' },
  { what: 'tabs stay', text: 'a\tb', shown: 'a\tb' },
  { what: 'other scripts stay', text: 'öΩ漢😀', shown: 'öΩ漢😀' },
])('host text is made harmless: $what', ({ text, shown }) => {
  expect(plain(text)).toBe(shown);
});
