import { describe, expect, test } from 'vitest';
import { keptFiles, savepoint, scene, stage } from './action-scene.ts';
import { patchFiles } from './root.ts';

describe('what the host prints', () => {
  const hostile = [
    '::set-output name=a::b',
    '::add-mask::deb',
    '::error::not yours',
    '::stop-commands::mine',
    '  ::group::x',
    '##[add-mask]deb',
    'before ##[set-env name=LD_PRELOAD;]evil',
    '::set-env name=PATH::/evil',
    '::save-state name=ledger::{}',
    '\\033[31mred\\033[0m\\r::warning::w',
  ];

  test.each([
    { what: 'its output', target: '' },
    { what: 'its error output', target: ' >&2' },
  ])('never becomes a command of the runner: $what', async ({ target }) => {
    const it = scene();
    const printed = hostile.map((line) => `printf '${line}\\n'${target}`).join('\n');
    const result = await it.runner.run([savepoint(it, { run: `${printed}\nexit 1` })]);
    const taken = [...stage(result, 'main').commands, ...stage(result, 'post').commands];
    expect(new Set(taken.map(({ name }) => name))).toEqual(
      new Set(['stop-commands', 'group', 'endgroup', 'error']),
    );
    expect(taken.filter(({ name }) => name === 'error').map(({ message }) => message)).toEqual([
      'test: exit status 1',
    ]);
    expect(result.masks).toEqual([]);
    expect(stage(result, 'main').log.join('\n')).toContain('test     | ::error::not yours');
    expect(stage(result, 'main').log.join('\n')).not.toContain('\u001b');
    expect(result.steps.every(({ endedStopped }) => !endedStopped)).toBe(true);
  });

  test('is no command where it stands in a file that is shown', async () => {
    const it = scene();
    patchFiles(it.runner.workspace, '::error::from a diff\n##[add-mask]x\n');
    const result = await it.runner.run([savepoint(it, { run: 'true', 'on-success': 'rollback' })]);
    const errors = result.steps.flatMap(({ commands }) => commands.map(({ message }) => message));
    expect(errors.filter((message) => message.includes('from a diff'))).toEqual([]);
    expect(result.masks).toEqual([]);
  });
});

describe('what the job may know', () => {
  test('has neither inputs nor the channels of the runner', async () => {
    const it = scene();
    const set = 'phases.setup={run: "env | sort", where: controller}';
    const result = await it.runner.run([savepoint(it, { run: 'env | sort', set })]);
    const log = stage(result, 'main').log.join('\n');
    expect(log).toContain('SAVEPOINT_TRANSACTION=');
    expect(log).toContain('GITHUB_WORKSPACE=');
    expect(log).not.toMatch(/INPUT_|STATE_|GITHUB_(ENV|OUTPUT|STATE|PATH|STEP_SUMMARY)=/);
  });

  test('masks what it is told to, in logs and files alike', async () => {
    const it = scene();
    const result = await it.runner.run([
      savepoint(it, {
        run: 'printf "pw s3c"; sleep 0.1; echo "ret-word"; exit 1',
        mask: 's3cret-word\nother',
      }),
    ]);
    expect(result.masks).toEqual(['s3cret-word', 'other']);
    expect(keptFiles(result)).toContain('pw ***');
    const everything = [
      keptFiles(result),
      ...result.steps.flatMap(({ log, summary }) => [...log, summary]),
    ];
    expect(everything.join('\n')).not.toContain('s3cret-word');
  });

  test('has no token of the transaction in any file or log', async () => {
    const it = scene();
    const result = await it.runner.run([savepoint(it, { run: 'true' })]);
    const { token } = JSON.parse(stage(result, 'main').state.savepoint ?? '').record;
    const all = [
      keptFiles(result),
      ...result.steps.flatMap(({ log, summary }) => [...log, summary]),
    ];
    expect(token).toMatch(/^[0-9a-f]{64}$/);
    expect(all.join('\n')).not.toContain(token);
  });
});
