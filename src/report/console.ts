import type { EventOf, RunEvent } from '../run/events.ts';
import type { Listener } from './listener.ts';
import { painter } from './paint.ts';
import { plain, plainLines } from './plain.ts';
import { progressView } from './progress.ts';
import { bytes, count, duration, failure } from './words.ts';

/** Where the lines of a person's view go. */
export interface Screen {
  /** One line, without its newline; never more than one. */
  line(text: string): void;
  /**
   * Where text can be written over: shows it until the next line, or the next text, takes its place.
   * @param width is given the columns there are
   */
  status?(text: (width: number) => string): void;
  color: boolean;
}

/** Longest diff that is shown; the rest is in the file. */
const DIFF_LINES = 200;

/** Labels are as wide as the longest phase of the job, and at least as these. */
const ownLabels = ['rollback', 'warning'];

/** What a person watches: a label, what happened; the host's own output behind a bar. */
export function consoleReport(screen: Screen): Listener {
  const paint = painter(screen.color);
  let width = widest(ownLabels);
  const say = (label: string, text: string): void =>
    screen.line(`${paint.bold(label.padEnd(width))}   ${text}`);
  const quote = (label: string, text: string): void =>
    screen.line(`${paint.dim(`${label.padEnd(width)} |`)} ${text}`);
  const more = (text: string): void => screen.line(`${' '.repeat(width)}   ${text}`);

  const showDiff = (label: string, text: string, file: string): void => {
    const lines = text === '' ? [] : plainLines(text);
    for (const line of lines.slice(0, DIFF_LINES)) quote(label, paint.diff(line));
    const hidden = lines.length - DIFF_LINES;
    if (hidden > 0) quote(label, `... ${count(hidden, 'more line')}, see ${file}`);
  };

  const showDecision = (event: EventOf<'transaction_commit' | 'transaction_rollback'>): void => {
    const label = event.kind === 'transaction_commit' ? 'commit' : 'rollback';
    say(label, `because ${plain(event.reason)}`);
    for (const { path, state, note } of event.paths) {
      if (state === 'unchanged') continue;
      more(plain(`${state} ${path}${note ? `: ${note}` : ''}`));
    }
    if (label === 'rollback') showDiff(label, event.diff, 'rollback.diff');
    if (event.packages !== '') {
      more('installed packages differ, which is not undone:');
      showDiff(label, event.packages, 'packages.diff');
    }
  };

  const showProgress = progressView(screen, say, (label) => label.padEnd(width));

  const on = (event: RunEvent): void => {
    switch (event.kind) {
      case 'job_start':
        width = widest([...ownLabels, ...event.phases]);
        say('job', plain(`${event.job} on ${event.host}${below(event.root)}`));
        more(`transaction ${event.transaction}`);
        break;
      case 'transaction_begin':
        say('begin', `copied ${count(event.entries, 'entry', 'entries')} (${bytes(event.bytes)})`);
        break;
      case 'transaction_applied':
        say('apply', event.changed.length === 0 ? 'nothing to change' : 'the change is in place');
        for (const { path, change } of event.changed) more(plain(`${change} ${path}`));
        showDiff('apply', event.diff, 'change.diff');
        break;
      case 'phase_start':
        say(event.phase, event.where === 'controller' ? 'started on the controller' : 'started');
        break;
      case 'output':
        quote(event.phase, plain(event.line));
        break;
      case 'work_dir':
        more(plain(`work directory ${event.path}`));
        break;
      case 'progress':
        showProgress(event);
        break;
      case 'phase_success':
        say(event.phase, `${paint.good('passed')} after ${duration(event.duration)}`);
        break;
      case 'phase_fail': {
        const why = failure(event.error, event);
        say(event.phase, `${paint.bad('failed')} after ${duration(event.duration)}: ${why}`);
        break;
      }
      case 'phase_skipped':
        say(event.phase, `${paint.dim('skipped')}: ${plain(event.reason)}`);
        break;
      case 'transaction_commit':
      case 'transaction_rollback':
        showDecision(event);
        break;
      case 'warning':
        say('warning', plain(event.message));
        break;
      case 'host_busy':
        say('begin', `waits, for at most ${duration(event.patience)}: ${plain(event.reason)}`);
        break;
      case 'connection_lost':
        say('warning', plain(event.reason));
        more(`trying again for ${duration(event.patience)}`);
        break;
      case 'connection_resumed':
        say('warning', `connected again after ${duration(event.after)}`);
        break;
      case 'host_rebooted':
        say(event.phase, `the host has restarted (${count(event.count, 'time')})`);
        break;
      case 'error':
        say('error', paint.bad(failure(event.error)));
        for (const [key, value] of Object.entries(event.error.details)) {
          more(`${key}: ${plain(typeof value === 'string' ? value : JSON.stringify(value))}`);
        }
        if (event.error.hint) more(`hint: ${plain(event.error.hint)}`);
        break;
      case 'job_end':
        say(
          'result',
          `${event.outcome ?? (event.undecided ? 'undecided' : 'no transaction')}${ending(event)}`,
        );
        break;
    }
  };

  const ending = ({ status, error, expected }: EventOf<'job_end'>): string => {
    const as = expected ? ' as expected' : '';
    if (status === 'success') return `${as}, ${paint.good('job succeeded')}`;
    const how = status === 'cancelled' ? 'job was cancelled' : 'job failed';
    return `${as}, ${paint.bad(how)}${error ? `: ${failure(error, error.details)}` : ''}`;
  };

  return { on };
}

function widest(labels: readonly string[]): number {
  return Math.max(...labels.map(({ length }) => length));
}

function below(root: string): string {
  return root === '/' ? '' : `, below ${root}`;
}
