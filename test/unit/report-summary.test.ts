import { expect, test } from 'vitest';
import { ResultFold } from '../../src/report/result.ts';
import { summaryOf } from '../../src/report/summary.ts';
import type { Transaction } from '../../src/transaction/types.ts';
import { job, outcomeOf } from './run.fixture.ts';

async function summary(
  it: Parameters<typeof job>[0],
  transaction: Partial<Transaction> = {},
): Promise<string> {
  const { events } = await outcomeOf(job(it), { transaction });
  const fold = new ResultFold();
  for (const event of events) fold.note(event);
  return summaryOf(fold.result(), (phase) => fold.output(phase));
}

test('the summary has outcome, phases, reasons and the last output', async () => {
  const text = await summary({ phases: { setup: 'true', test: 'echo no mirror; exit 3' } });
  expect(text).toContain('### Savepoint: rolled-back, job failure: exit status 3');
  expect(text).toMatch(/\| setup \| success \| [\d.]+ s \| {2}\|/);
  expect(text).toMatch(/\| test \| failure \| [\d.]+ s \| exit status 3 \|/);
  expect(text).toContain('<summary>Last output of test</summary>\n\n```text\nno mirror\n```');
});

test('nothing the host says becomes Markdown or HTML', async () => {
  const hostile = '<img src=x> | `x` [a](http://b) @team #1';
  const text = await summary({
    name: hostile,
    phases: { test: "printf '```\\n</details>\\n'; exit 1" },
  });
  const outside = text.replace(/(`{3,})text\n[\s\S]*?\n\1/g, '');
  expect(outside).not.toMatch(/<img|\]\(http|@team|`x`/);
  expect(text).toContain('````text\n```\n</details>\n````');
});

test('a summary that would be too large says so and stays below the limit', async () => {
  const diff = `+${'x'.repeat(998)}\n`.repeat(3000);
  const paths = Array.from({ length: 20_000 }, (_, index) => ({
    path: `/etc/apt/a-rather-long-name-${index}`,
    state: 'restored',
  }));
  const text = await summary(
    { phases: { test: 'exit 1' } },
    {
      apply: async () => ({ changed: [], diff }),
      rollback: async () => ({
        decision: 'rollback',
        outcome: 'rolled-back',
        by: 'controller',
        paths,
        diff,
        packages: '',
        warnings: [],
      }),
    },
  );
  expect(Buffer.byteLength(text)).toBeLessThan(1024 * 1024);
  expect(text).toContain('The summary is longer than GitHub shows');
  expect(text).toContain('### Savepoint: rolled-back');
});
