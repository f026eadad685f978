import { join } from 'node:path';
import type { GitHub } from '../ci/github.ts';
import { annotations, logGroups } from '../ci/github-report.ts';
import type { BackendOptions } from '../host/backend/open.ts';
import { consoleReport } from '../report/console.ts';
import { diffFiles, fileNames, ndjsonFile, resultFile } from '../report/folder.ts';
import type { Listener } from '../report/listener.ts';
import { plain } from '../report/plain.ts';
import type { ResultFold } from '../report/result.ts';
import type { Masker } from '../run/mask.ts';
import { phasesOf } from '../run/phases.ts';
import type { ActionState } from './state.ts';

/** Everybody who follows a stage of the action; the fold may know an earlier stage's events. */
export function reports(github: GitHub, output: string, fold: ResultFold): Listener[] {
  const { log } = github;
  return [
    logGroups(log),
    consoleReport({ line: (text) => log.line(text), color: false }),
    annotations(log),
    ndjsonFile(output),
    diffFiles(output),
    resultFile(output, fold),
  ];
}

/** Where what a backend says goes, without what nobody may read. */
export function backendOptions({ log }: GitHub, masker: Masker): BackendOptions {
  return {
    log: (line) => log.line(plain(`backend: ${line}`)),
    mask: (text) => masker.text(text),
  };
}

/** The outputs that are known before the host is touched: they are there whatever happens. */
export function setFirstOutputs(github: GitHub, { record, job, output }: ActionState): void {
  github.setOutput('transaction', record.id);
  github.setOutput('output-dir', output);
  github.setOutput('result-file', join(output, fileNames.result));
  github.setOutput('events-file', join(output, fileNames.events));
  for (const phase of phasesOf(job)) github.setOutput(`${phase}-status`, 'skipped');
}

/** Sets `<phase>-status` as phases end, and `outcome` when the transaction is open. */
export function outputListener(github: GitHub): Listener {
  return {
    on: (event) => {
      switch (event.kind) {
        case 'transaction_begin':
          github.setOutput('outcome', 'open');
          break;
        case 'phase_success':
          github.setOutput(`${event.phase}-status`, 'success');
          break;
        case 'phase_fail':
          github.setOutput(`${event.phase}-status`, 'failure');
          break;
        default:
      }
    },
  };
}
