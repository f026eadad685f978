import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { SavepointError } from '../../src/errors.ts';
import { News } from '../../src/transaction/news.ts';
import type { PhaseCommand, PhaseExit, PhaseProcess } from '../../src/transaction/types.ts';
import { job, outcomeOf, outputOf } from './run.fixture.ts';

/** A host on which each command prints itself and ends as listed; what it was given is kept. */
function host(...exits: (PhaseExit | SavepointError)[]) {
  const commands: PhaseCommand[] = [];
  const exec = async (command: PhaseCommand): Promise<PhaseProcess> => {
    const end = exits[commands.length] ?? { code: 0 };
    commands.push(command);
    const exit = end instanceof SavepointError ? Promise.reject(end) : Promise.resolve(end);
    return {
      stdout: Readable.from([Buffer.from(`ran ${command.script}\n`)]),
      stderr: Readable.from([]),
      exit,
      kill: async () => undefined,
    };
  };
  return { commands, exec };
}

const rebooted: PhaseExit = { rebooted: 'boot-2' };

describe('a phase that is a list of commands', () => {
  test('runs them in order, as one phase', async () => {
    const { exec } = host();
    const it = job({ phases: { test: { run: ['a', 'b'] } } });
    const { events, names, end } = await outcomeOf(it, { transaction: { exec } });
    expect(outputOf(events, 'test')).toEqual(['ran a', 'ran b']);
    expect(names.filter((name) => name.startsWith('test'))).toEqual(['test_start', 'test_success']);
    expect(end.exit).toBe(0);
  });

  test('ends with the first that fails', async () => {
    const { exec } = host({ code: 4 });
    const it = job({ phases: { test: { run: ['a', 'b'] } } });
    const { events, end } = await outcomeOf(it, { transaction: { exec } });
    expect(outputOf(events, 'test')).toEqual(['ran a']);
    expect(events.find(({ kind }) => kind === 'phase_fail')).toMatchObject({ exit: 4 });
    expect(end).toMatchObject({ exit: 1, outcome: 'rolled-back' });
  });

  test('runs on the controller too', async () => {
    const it = job({
      phases: { test: { run: ['echo a', 'echo b; exit 3', 'c'], where: 'controller' } },
    });
    const { events } = await outcomeOf(it);
    expect(outputOf(events, 'test')).toEqual(['a', 'b']);
    expect(events.find(({ kind }) => kind === 'phase_fail')).toMatchObject({ exit: 3 });
  });

  test('starts no further command when it is cancelled', async () => {
    const cancel = new AbortController();
    const { exec, commands } = host();
    const cancelling = async (command: PhaseCommand) => {
      const process = await exec(command);
      cancel.abort(new SavepointError('job-cancelled'));
      return process;
    };
    const it = job({ phases: { test: { run: ['a', 'b'] } } });
    const { events } = await outcomeOf(it, {
      transaction: { exec: cancelling },
      run: { cancel: cancel.signal },
    });
    expect(commands).toHaveLength(1);
    expect(events.find(({ kind }) => kind === 'phase_fail')).toMatchObject({
      error: { name: 'job-cancelled' },
    });
  });
});

describe('a phase whose host restarts as expected', () => {
  test('goes on with the next command of its list', async () => {
    const { exec, commands } = host({ code: 0 }, rebooted);
    const it = job({ phases: { test: { run: ['a', 'reboot', 'b'], reboot: 600 } } });
    const { events, names, end } = await outcomeOf(it, { transaction: { exec } });
    expect(outputOf(events, 'test')).toEqual(['ran a', 'ran reboot', 'ran b']);
    expect(names).toContain('host_rebooted');
    expect(events.find(({ kind }) => kind === 'host_rebooted')).toMatchObject({
      phase: 'test',
      count: 1,
      boot: 'boot-2',
    });
    expect(commands.map(({ env, reboot }) => [env.SAVEPOINT_REBOOTS, reboot])).toEqual([
      ['0', 600],
      ['0', 600],
      ['1', 600],
    ]);
    expect(end.outcome).toBe('committed');
  });

  test('has passed when the restart was its last command', async () => {
    const { exec } = host(rebooted);
    const it = job({ phases: { test: { run: ['reboot', 'true'], reboot: 600 }, cleanup: 'c' } });
    const { end } = await outcomeOf(it, { transaction: { exec } });
    expect(end).toMatchObject({ exit: 0, outcome: 'committed' });
  });

  test('is run again from its beginning when it is one script, and is told how often', async () => {
    const { exec, commands } = host(rebooted, rebooted, { code: 5 });
    const it = job({ phases: { test: { run: 'flash', reboot: 600 } } });
    const { events } = await outcomeOf(it, { transaction: { exec } });
    expect(commands.map(({ script, env }) => [script, env.SAVEPOINT_REBOOTS])).toEqual([
      ['flash', '0'],
      ['flash', '1'],
      ['flash', '2'],
    ]);
    expect(events.find(({ kind }) => kind === 'phase_fail')).toMatchObject({ exit: 5 });
  });

  test('and which expects none is told nothing of them', async () => {
    const { exec, commands } = host();
    await outcomeOf(job({ phases: { test: 'a' } }), { transaction: { exec } });
    expect(commands[0]).not.toHaveProperty('reboot');
    expect(commands[0]?.env).not.toHaveProperty('SAVEPOINT_REBOOTS');
  });
});

describe('a host that rolled back because it restarted', () => {
  const error = new SavepointError('host-rebooted');

  test('fails the phase by that name', async () => {
    const { exec } = host(error);
    const { end } = await outcomeOf(job({ phases: { test: 'a' } }), { transaction: { exec } });
    expect(end).toMatchObject({ exit: 3, error: { name: 'host-rebooted', class: 'host' } });
  });

  test('is told by that name when it is to commit', async () => {
    const commit = async () => ({
      decision: 'rollback' as const,
      outcome: 'rolled-back' as const,
      by: 'boot',
      paths: [],
      diff: '',
      packages: '',
      warnings: [],
    });
    const { end } = await outcomeOf(job({ phases: { test: 'true' } }), { transaction: { commit } });
    expect(end).toMatchObject({ exit: 3, error: { name: 'host-rebooted' } });
  });
});

test('what happens to the connection is told while a phase waits, and while the host decides', async () => {
  const news = new News();
  const lost = { kind: 'connection_lost', reason: 'it broke', patience: 90 } as const;
  const resumed = { kind: 'connection_resumed', after: 2 } as const;
  const { exec } = host();
  const { names, verbs } = await outcomeOf(job({ phases: { test: 'a' } }), {
    transaction: {
      news,
      exec: async (command) => {
        news.push(lost);
        news.push(resumed);
        return exec(command);
      },
      commit: async () => {
        news.push(lost);
        throw new SavepointError('host-lost');
      },
    },
  });
  expect(names).toEqual([
    ...['job_start', 'transaction_begin', 'transaction_applied', 'test_start'],
    ...['connection_lost', 'connection_resumed', 'test_success'],
    ...['connection_lost', 'error', 'transaction_rollback', 'error', 'job_end'],
  ]);
  expect(verbs.at(-1)).toBe('rollback');
});
