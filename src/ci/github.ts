import { tmpdir } from 'node:os';
import { append, appendVariable } from './file-commands.ts';
import { WorkflowLog, type Write } from './workflow-commands.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

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

/** What is ours alone: no command of a job may see it, or speak to the runner through it. */
const ours =
  /^(INPUT_.*|STATE_.*|ACTIONS_.*|GITHUB_(STATE|OUTPUT|ENV|PATH|STEP_SUMMARY)|SAVEPOINT_KEY_PASSPHRASE)$/i;

/** A copy of the environment; what is left in the given one is what commands may inherit. */
export function takeEnvironment(env: NodeJS.ProcessEnv): Environment {
  const all = { ...env };
  for (const name of Object.keys(all)) if (ours.test(name)) delete env[name];
  return all;
}
