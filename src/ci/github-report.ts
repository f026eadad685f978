import type { Listener } from '../report/listener.ts';
import { plain } from '../report/plain.ts';
import { failure } from '../report/words.ts';
import type { ErrorRecord } from '../run/events.ts';
import type { WorkflowLog } from './workflow-commands.ts';

/** A step shows 10 errors and 10 warnings, of 4096 characters each (runner: ExecutionContext.cs). */
const MOST_ANNOTATIONS = 10;
const LONGEST_ANNOTATION = 4096;

/** Folds the log by phase; comes before the console, so that its lines fall into the groups. */
export function logGroups(log: WorkflowLog): Listener {
  return {
    on: (event) => {
      if (event.kind === 'phase_start') log.command('group', `savepoint: ${event.phase}`);
      if (event.kind === 'phase_success' || event.kind === 'phase_fail') log.command('endgroup');
    },
  };
}

/** Shows what went wrong on the page of the run. */
export function annotations(log: WorkflowLog): Listener {
  const left = { error: MOST_ANNOTATIONS, warning: MOST_ANNOTATIONS };
  const annotate = (level: 'error' | 'warning', title: string, message: string): void => {
    if (left[level]-- <= 0) return;
    log.command(level, message.slice(0, LONGEST_ANNOTATION), { title });
  };
  const sentence = ({ reason, hint }: ErrorRecord): string =>
    [plain(reason), hint && plain(hint)].filter(Boolean).join(' ');
  return {
    on: (event) => {
      if (event.kind === 'warning') annotate('warning', 'Savepoint', plain(event.message));
      if (event.kind === 'error') annotate('error', titleOf(event.error), sentence(event.error));
      if (event.kind === 'phase_fail') {
        const message = `${event.phase}: ${failure(event.error, event)}`;
        annotate('error', titleOf(event.error), message);
      }
    },
  };
}

export function titleOf({ name, code }: ErrorRecord): string {
  return `Savepoint: ${name} (${code})`;
}
