import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { takeEnvironment } from '../../src/ci/environment.ts';
import { appendVariable } from '../../src/ci/file-commands.ts';
import { githubActions } from '../../src/ci/github.ts';
import { annotations } from '../../src/ci/github-report.ts';
import { holderOf } from '../../src/ci/holder.ts';
import { WorkflowLog } from '../../src/ci/workflow-commands.ts';
import type { ErrorRecord, RunEvent } from '../../src/run/events.ts';
import { CommandReader } from '../e2e/workflow-commands.ts';
import { folder } from './job-fixture.ts';

/** What a runner makes of what is written to the log. */
function logged(write: (log: WorkflowLog) => void): CommandReader {
  const reader = new CommandReader(new Set());
  const log = new WorkflowLog((text) => reader.push(text));
  write(log);
  log.close();
  return reader;
}

describe('the log of a step', () => {
  test('takes our commands, and none out of text', () => {
    const reader = logged((log) => {
      log.command('group', 'one');
      log.line('::error::no');
      log.line('x ##[error]no');
      log.command('endgroup');
      log.line('::set-env name=A::b');
    });
    const ours = reader.commands.filter(({ name }) => name !== 'stop-commands');
    expect(ours.map(({ name }) => name)).toEqual(['group', 'endgroup']);
    expect(reader.stopped).toBe(false);
    expect(reader.log).toEqual(['::error::no', 'x ##[error]no', '::set-env name=A::b']);
  });

  test('lets no text end the stop, even when it knows the mark', () => {
    let written = '';
    const log = new WorkflowLog((text) => {
      written += text;
    });
    log.line('first');
    const token = /::stop-commands::(\S+)/.exec(written)?.[1] ?? '';
    log.line(`::${token.toUpperCase()}::\n::error::escaped`);
    log.close();
    const reader = new CommandReader(new Set());
    reader.push(written);
    expect(reader.commands.map(({ name }) => name)).toEqual(['stop-commands']);
    expect(reader.log).toEqual(['first', ':::: ::error::escaped']);
  });

  test('uses another mark each time', () => {
    const marks = logged((log) => {
      log.line('a');
      log.command('debug', 'b');
      log.line('c');
    }).commands.filter(({ name }) => name === 'stop-commands');
    expect(new Set(marks.map(({ message }) => message)).size).toBe(2);
  });

  test('escapes what a command carries', () => {
    const reader = logged((log) => log.command('error', 'a\n::b%', { title: 'x,y:z', file: '' }));
    expect(reader.commands).toEqual([
      { name: 'error', message: 'a\n::b%', properties: { title: 'x,y:z' } },
    ]);
  });
});

describe('annotations', () => {
  const error: ErrorRecord = {
    code: 201,
    name: 'phase-failed',
    class: 'job',
    reason: 'x'.repeat(9000),
    details: {},
    causes: [],
  };
  const event: RunEvent = { kind: 'error', seq: 1, time: '', event: 'error', error };

  test('are at most ten, and no longer than a step shows', () => {
    const reader = logged((log) => {
      const listener = annotations(log);
      for (let index = 0; index < 15; index++) listener.on(event);
    });
    expect(reader.commands).toHaveLength(10);
    expect(reader.commands[0]?.message).toHaveLength(4096);
    expect(reader.commands[0]?.properties).toEqual({ title: 'Savepoint: phase-failed (201)' });
  });
});

describe('what the runner gives', () => {
  test('is read once, and the inputs that are empty count as absent', () => {
    const env = { 'INPUT_SSH-KEY': 'key\n', INPUT_TRACK: ' ', STATE_savepoint: '{}', PATH: '/bin' };
    const github = githubActions(env, () => undefined);
    expect(github.inputs).toEqual({ 'ssh-key': 'key\n' });
    expect(github.savedState('savepoint')).toBe('{}');
    expect(github.savedState('other')).toBeUndefined();
  });

  test('is taken out of what commands inherit', () => {
    const env = {
      'INPUT_SSH-KEY': 'x',
      STATE_savepoint: 'x',
      GITHUB_ENV: 'x',
      GITHUB_STATE: 'x',
      ACTIONS_RUNTIME_TOKEN: 'x',
      SAVEPOINT_KEY_PASSPHRASE: 'x',
      GITHUB_WORKSPACE: '/w',
      RUNNER_TRACKING_ID: 'id',
      PATH: '/bin',
    };
    expect(takeEnvironment(env)['INPUT_SSH-KEY']).toBe('x');
    expect(Object.keys(env)).toEqual(['GITHUB_WORKSPACE', 'RUNNER_TRACKING_ID', 'PATH']);
  });

  test('takes a value with any text in it', () => {
    const file = join(folder(), 'state');
    writeFileSync(file, '');
    appendVariable(file, 'a', 'line\nb<<EOF\nEOF\n');
    const [, delimiter = ''] = /^a<<(.*)\n/.exec(readFileSync(file, 'utf8')) ?? [];
    expect(readFileSync(file, 'utf8')).toBe(`a<<${delimiter}\nline\nb<<EOF\nEOF\n\n${delimiter}\n`);
  });
});

test.each([
  {
    env: {
      GITHUB_SERVER_URL: 'https://github.com',
      GITHUB_REPOSITORY: 'o/r',
      GITHUB_RUN_ID: '7',
    },
    holder: 'job (https://github.com/o/r/actions/runs/7)',
  },
  { env: { CI_JOB_URL: 'https://gitlab/-/jobs/1' }, holder: 'job (https://gitlab/-/jobs/1)' },
  { env: { BUILD_URL: 'https://jenkins/1/' }, holder: 'job (https://jenkins/1/)' },
])('who holds a host is told by the address of the run: $holder', ({ env, holder }) => {
  expect(holderOf('job', env)).toBe(holder);
});
