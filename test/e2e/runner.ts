import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { actionFolder } from './built.ts';
import { FileCommands } from './runner-files.ts';
import {
  type ActionStep,
  type JobResult,
  type RunStep,
  type Status,
  type Step,
  type StepResult,
  skipped,
} from './steps.ts';
import { CommandReader } from './workflow-commands.ts';

interface Description {
  inputs: Record<string, { default?: string }>;
  runs: { main: string; post: string };
}

interface Post {
  step: ActionStep;
  name: string;
  state: Record<string, string>;
}

/** Of the runner's own 7.5 s between SIGINT and SIGTERM, and 2.5 s until SIGKILL. */
const CANCEL_SCALE = 0.4;

const node = resolve('node_modules/.bin/node');

/**
 * Runs a job as GitHub's runner does (actions/runner as of 2026-08): inputs
 * evaluated anew for each stage, commands by files and by output, posts last in first out after
 * whatever happened, signals to the entry process only, and at the end a kill of all that
 * carries the job's mark.
 */
export class Runner {
  readonly workspace: string;
  readonly temp: string;
  readonly #tracking = `github_${randomUUID()}`;
  readonly #masks = new Set<string>();
  readonly #results: StepResult[] = [];
  readonly #posts: Post[] = [];
  readonly #description: Description;
  readonly #action: string;
  #env: Record<string, string> = {};
  #status: Status = 'success';
  #stopped = false;
  #current: ChildProcess | undefined;
  #watchers: { text: string; found: () => void }[] = [];

  constructor() {
    const folder = mkdtempSync(join(tmpdir(), 'savepoint-runner-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
    this.workspace = join(folder, 'work');
    this.temp = join(folder, 'temp');
    for (const each of [this.workspace, this.temp]) mkdirSync(each);
    this.#action = actionFolder();
    this.#description = parse(readFileSync(join(this.#action, 'action.yml'), 'utf8'));
  }

  async run(steps: Step[]): Promise<JobResult> {
    for (const [index, step] of steps.entries()) {
      const name = step.name ?? `step-${index + 1}`;
      const wanted = step.if === 'always()' || this.#status === 'success';
      if (!wanted || this.#stopped) {
        this.#results.push(skipped(name));
        continue;
      }
      if ('run' in step) await this.#command(step, name);
      else await this.#main(step, name);
    }
    for (const post of this.#posts.reverse()) if (!this.#stopped) await this.#post(post);
    await this.#killLeftovers();
    const { workspace, temp } = this;
    return { status: this.#status, steps: this.#results, masks: [...this.#masks], workspace, temp };
  }

  /** Resolves when the text has come in the output of the step that runs now, or a later one. */
  seen(text: string): Promise<void> {
    return new Promise((found) => {
      this.#watchers.push({ text, found });
    });
  }

  /** Somebody cancels the job: SIGINT to the step's process alone, then SIGTERM, then SIGKILL. */
  async cancel(): Promise<void> {
    this.#status = 'cancelled';
    await this.#interrupt(this.#current);
  }

  /** The step's process is killed, by the kernel when memory runs out, say. */
  killStep(): void {
    this.#current?.kill('SIGKILL');
  }

  /** The machine is gone: nothing of the job lives on, no post runs. */
  async lose(): Promise<void> {
    this.#stopped = true;
    await this.#killLeftovers();
  }

  /** The pipes of the step break, as when the worker dies while a post goes on. */
  breakPipes(): void {
    this.#current?.stdout?.destroy();
    this.#current?.stderr?.destroy();
  }

  async #main(step: ActionStep, name: string): Promise<void> {
    const post: Post = { step, name, state: {} };
    // Registered before main starts.
    this.#posts.push(post);
    const script = join(this.#action, this.#description.runs.main);
    const result = await this.#process([node, script], step, name, 'main', this.#inputs(step));
    post.state = result.state;
  }

  async #post({ step, name, state }: Post): Promise<void> {
    const script = join(this.#action, this.#description.runs.post);
    const variables = Object.entries(state).map(([key, value]) => [`STATE_${key}`, value]);
    const env = { ...this.#inputs(step), ...Object.fromEntries(variables) };
    await this.#process([node, script], step, name, 'post', env);
  }

  async #command(step: RunStep, name: string): Promise<void> {
    await this.#process(['bash', '-e', '-c', step.run], step, name, 'main', {});
  }

  /** Defaults may hold an expression; it is evaluated now, not when the job began. */
  #inputs(step: ActionStep): Record<string, string> {
    const values: Record<string, string> = {};
    for (const [name, input] of Object.entries(this.#description.inputs)) {
      const value = step.with?.[name] ?? String(input?.default ?? '');
      const evaluated = value.replaceAll('${{ job.status }}', this.#status);
      values[`INPUT_${name.replaceAll(' ', '_').toUpperCase()}`] = evaluated;
    }
    return values;
  }

  async #process(
    [file, ...args]: [string, ...string[]],
    step: Step,
    name: string,
    stage: 'main' | 'post',
    extra: Record<string, string>,
  ): Promise<StepResult> {
    const files = new FileCommands(this.temp);
    const child = spawn(file, args, {
      cwd: this.workspace,
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        CI: 'true',
        GITHUB_ACTIONS: 'true',
        GITHUB_WORKSPACE: this.workspace,
        RUNNER_TEMP: this.temp,
        RUNNER_TRACKING_ID: this.#tracking,
        ...this.#env,
        ...step.env,
        ...files.variables,
        ...extra,
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#current = child;
    const reader = new CommandReader(this.#masks);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => {
        reader.push(chunk);
        for (const { text, found } of this.#watchers) if (chunk.includes(text)) found();
      });
    }
    let late = false;
    const timer =
      step.timeout !== undefined && stage === 'main'
        ? setTimeout(() => {
            late = true;
            void this.#interrupt(child);
          }, step.timeout)
        : undefined;
    const closed = once(child, 'close');
    const [code, signal] = (await once(child, 'exit')) as [number | null, string | null];
    clearTimeout(timer);
    // A child that still holds the output delays the step by 5 s, no more.
    await within(closed, 5000);
    this.#current = undefined;
    reader.end();

    const failed = code !== 0 || late;
    const conclusion: Status =
      this.#status === 'cancelled' && failed ? 'cancelled' : failed ? 'failure' : 'success';
    const result: StepResult = {
      name,
      stage,
      conclusion,
      exit: code ?? signal ?? undefined,
      commands: reader.commands,
      log: reader.log,
      endedStopped: reader.stopped,
      ...files.read(),
    };
    this.#results.push(result);
    Object.assign(this.#env, result.env);
    if (failed && !step.continueOnError && this.#status === 'success') this.#status = 'failure';
    return result;
  }

  async #interrupt(child: ChildProcess | undefined): Promise<void> {
    if (!child) return;
    const gone = once(child, 'exit');
    child.kill('SIGINT');
    if (await within(gone, 7500)) return;
    child.kill('SIGTERM');
    if (await within(gone, 2500)) return;
    child.kill('SIGKILL');
  }

  async #killLeftovers(): Promise<void> {
    for (const pid of this.leftovers()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
    await delay(50);
  }

  /** Processes with the job's mark in their environment. */
  leftovers(): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .filter((pid) => environmentOf(pid).includes(`RUNNER_TRACKING_ID=${this.#tracking}`));
  }
}

function environmentOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0');
  } catch {
    return [];
  }
}

async function within(gone: Promise<unknown>, milliseconds: number): Promise<boolean> {
  const late = Symbol('late');
  const first = await Promise.race([gone, delay(milliseconds * CANCEL_SCALE, late)]);
  return first !== late;
}
