import { tmpdir } from 'node:os';
import type { Environment } from './environment.ts';
import { append, appendVariable } from './file-commands.ts';
import { WorkflowLog, type Write } from './workflow-commands.ts';

/** What GitHub's runner gives to a step of an action and takes from it. */
export interface GitHub {
  /** Every input that is not empty, by its name in action.yml. */
  inputs: Record<string, string>;
  /** What an earlier stage of the same action saved; undefined when it saved nothing. */
  savedState(name: string): string | undefined;
  /** Keeps a value for the post step; the last one of a name counts. */
  saveState(name: string, value: string): void;
  setOutput(name: string, value: string): void;
  /** Adds Markdown to the step's summary. */
  summarize(markdown: string): void;
  log: WorkflowLog;
  /** For files that are to go with the job. */
  temp: string;
  workspace: string;
}

/**
 * Everything is read from the environment given, once: the process's own is emptied of it before
 * children are started (`takeEnvironment`). @actions/core would read it anew at each call.
 */
export function githubActions(env: Environment, write: Write): GitHub {
  const inputs: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    // The runner upper-cases names and turns blanks into underscores, nothing else.
    if (name.startsWith('INPUT_') && value?.trim()) inputs[name.slice(6).toLowerCase()] = value;
  }
  const file = (name: string): string | undefined => env[`GITHUB_${name}`] || undefined;
  const variable = (kind: string) => (name: string, value: string) => {
    const path = file(kind);
    if (path) appendVariable(path, name, value);
  };
  return {
    inputs,
    savedState: (name) => env[`STATE_${name}`] || undefined,
    saveState: variable('STATE'),
    setOutput: variable('OUTPUT'),
    summarize: (markdown) => {
      const path = file('STEP_SUMMARY');
      if (path) append(path, markdown);
    },
    log: new WorkflowLog(write),
    temp: env.RUNNER_TEMP || tmpdir(),
    workspace: env.GITHUB_WORKSPACE || process.cwd(),
  };
}
