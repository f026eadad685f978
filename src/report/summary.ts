import { plain, plainLines } from './plain.ts';
import type { PhaseResult, Result } from './result.ts';
import { duration, failure } from './words.ts';

/** GitHub drops a step's summary whole above 1 MiB; room is left for what else a step writes. */
const LARGEST_SUMMARY = 1024 * 1024 - 16 * 1024;

/** Characters of one diff or output in the summary. */
const LONGEST_BLOCK = 200 * 1024;

/** Lines of a failed phase's output that are shown. */
const LAST_LINES = 50;

/** The result as GitHub-flavored Markdown, below the size that a step's summary may have. */
export function summaryOf(result: Result, output: (phase: string) => string): string {
  const { transaction, diffs } = result;
  const parts = [
    `### Savepoint: ${headline(result)}`,
    [
      `Job ${code(result.job)} on ${code(transaction.host)}`,
      transaction.root === '/' ? '' : ` below ${code(transaction.root)}`,
      `, transaction ${code(transaction.id)}.`,
      result.decision ? ` Decided because ${text(result.decision.reason)}.` : '',
    ].join(''),
    phaseTable(result.phases),
    ...result.errors.map((error) => `- **${error.name}** (${error.code}): ${text(error.reason)}`),
    ...result.warnings.map((warning) => `- Warning: ${text(warning)}`),
    pathTable(result),
    block('What was changed', diffs.change, 'diff'),
    block('What was undone', diffs.rollback, 'diff'),
    block('Installed packages that differ (not undone)', result.packages, 'diff'),
    ...result.phases
      .filter(({ status }) => status === 'failure')
      .map(({ name }) => block(`Last output of ${name}`, lastLines(output(name)), 'text')),
  ];
  return truncated(parts.filter((part) => part !== ''));
}

function headline({ outcome, undecided, status, error }: Result): string {
  const job = status === 'running' ? 'still running' : `job ${status}`;
  const why = error ? `: ${text(failure(error, error.details))}` : '';
  const none = status === 'running' ? 'open' : undecided ? 'undecided' : 'no transaction';
  return `${outcome ?? none}, ${job}${why}`;
}

function phaseTable(phases: PhaseResult[]): string {
  if (phases.length === 0) return '';
  const rows = phases.map((phase) => {
    const { name, status, reason, error } = phase;
    const note = reason ?? (error ? failure(error, phase) : '');
    const time = phase.duration === undefined ? '' : duration(phase.duration);
    return `| ${text(name)} | ${status} | ${time} | ${text(note)} |`;
  });
  return ['| phase | status | time | |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

function pathTable({ paths }: Result): string {
  const touched = paths.filter(({ state }) => state !== 'unchanged');
  if (touched.length === 0) return '';
  const rows = touched.map(
    ({ path, state, note }) => `| ${code(path)} | ${text(state)} | ${text(note ?? '')} |`,
  );
  return ['| path | now | |', '| --- | --- | --- |', ...rows].join('\n');
}

function block(title: string, content: string | undefined, language: string): string {
  if (!content) return '';
  const whole = plainLines(content).join('\n');
  const shown = whole.slice(0, LONGEST_BLOCK);
  const note =
    shown.length < whole.length ? '\n\nCut here; the whole is in the output folder.' : '';
  // A fence longer than any run of backticks inside (CommonMark §4.5).
  const runs = [...shown.matchAll(/`+/g)].map(([run]) => run.length);
  const fence = '`'.repeat(Math.max(3, ...runs.map((length) => length + 1)));
  const body = `${fence}${language}\n${shown}\n${fence}${note}`;
  return `<details><summary>${title}</summary>\n\n${body}\n\n</details>`;
}

function lastLines(output: string): string {
  return output.trimEnd().split('\n').slice(-LAST_LINES).join('\n');
}

/** Text in which no character means anything to Markdown or HTML. */
function text(value: string): string {
  return plain(value.replaceAll('\n', ' ')).replace(/[\\`*_{}[\]()<>#+!|~&@:-]/g, (character) => {
    return `&#${character.codePointAt(0)};`;
  });
}

function code(value: string): string {
  return `<code>${text(value)}</code>`;
}

function truncated(parts: string[]): string {
  const note = '_The summary is longer than GitHub shows; the rest is in the output folder._';
  const kept: string[] = [];
  let size = Buffer.byteLength(note) + 2;
  for (const part of parts) {
    size += Buffer.byteLength(part) + 2;
    if (size > LARGEST_SUMMARY) return [...kept, note, ''].join('\n\n');
    kept.push(part);
  }
  return [...kept, ''].join('\n\n');
}
