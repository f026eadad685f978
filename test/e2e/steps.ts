import type { WorkflowCommand } from './workflow-commands.ts';

export type Status = 'success' | 'failure' | 'cancelled';

export interface StepCommon {
  name?: string;
  /** `always()` runs after a failure and a cancel too. */
  if?: 'success()' | 'always()';
  env?: Record<string, string>;
  continueOnError?: boolean;
  /** Milliseconds. */
  timeout?: number;
}

export interface ActionStep extends StepCommon {
  uses: 'savepoint';
  with?: Record<string, string>;
}

export interface RunStep extends StepCommon {
  run: string;
}

export type Step = ActionStep | RunStep;

/** What a step, or its post, left. */
export interface StepResult {
  name: string;
  stage: 'main' | 'post';
  conclusion: Status | 'skipped';
  exit: number | string | undefined;
  commands: WorkflowCommand[];
  log: string[];
  outputs: Record<string, string>;
  state: Record<string, string>;
  summary: string;
  env: Record<string, string>;
  endedStopped: boolean;
}

export interface JobResult {
  status: Status;
  steps: StepResult[];
  masks: string[];
  workspace: string;
  temp: string;
}

export function skipped(name: string): StepResult {
  return {
    name,
    stage: 'main',
    conclusion: 'skipped',
    exit: undefined,
    commands: [],
    log: [],
    outputs: {},
    state: {},
    summary: '',
    env: {},
    endedStopped: false,
  };
}
