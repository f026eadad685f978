import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { resultFile, scene, stage, savepoint as step } from '../action-scene.ts';
import { actionFolder } from '../built.ts';
import { bareHost } from '../real/pinned-guard.ts';
import { savepoint } from '../real/savepoint.ts';
import { PATCHED } from '../root.ts';
import { endedAlone } from './ended.ts';

/** A phase on the controller, where the workspace and the patch are. */
const onController = (script: string) =>
  `phases.test={where: controller, run: ${JSON.stringify(script)}}`;

describe('a phase that runs where the controller is', () => {
  test.each([
    ['deletes the workspace', 'cd / && find "$GITHUB_WORKSPACE" -mindepth 1 -delete'],
    ['makes the job commit what it was to try', "echo 'on-success: commit' >job.yml"],
    ['lays other files', 'echo evil >files/etc/apt/sources.list'],
    [
      'leaves a guard and a command of its own where a checkout has them',
      'mkdir -p guard dist; echo "exit 0" | tee guard/guard.sh dist/cli.cjs dist/post.cjs',
    ],
    [
      'leaves settings for the tools of the post step',
      'printf "%s" "--require=/nonexistent" >.npmrc',
    ],
  ])('%s: it is rolled back all the same', async (_what, script) => {
    const it = scene();
    writeFileSync(
      join(it.runner.workspace, 'job.yml'),
      'track: [/etc/apt]\non-success: rollback\n',
    );
    const set = onController(`grep -q patched "$SAVEPOINT_ROOT/etc/apt/sources.list"\n${script}`);
    const result = await it.runner.run([step(it, { set, job: 'job.yml', track: '' })]);
    expect(stage(result, 'main').conclusion, stage(result, 'main').log.join('\n')).toBe('success');
    expect(stage(result, 'post').conclusion).toBe('success');
    expect(resultFile(result)).toMatchObject({ outcome: 'rolled-back', test_status: 0 });
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('writes to the channels of the runner: it has none of them', async () => {
    const it = scene();
    const script = `
for channel in GITHUB_ENV GITHUB_OUTPUT GITHUB_STATE GITHUB_PATH; do
  eval "test -z \\"\\\${$channel:-}\\""
done
echo '::save-state name=savepoint::{}'
echo '::set-env name=NODE_OPTIONS::--require=/evil'
echo '::stop-commands::forever'
exit 1`;
    const result = await it.runner.run([step(it, { set: onController(script) })]);
    expect(stage(result, 'main').log.join('\n')).toContain('::save-state');
    expect(stage(result, 'main').env).toEqual({});
    expect(result.steps.every(({ endedStopped }) => !endedStopped)).toBe(true);
    expect(resultFile(result)).toMatchObject({ outcome: 'rolled-back' });
    expect(it.root.snapshot()).toEqual(it.before);
  });
});

describe('when the controller itself is gone, the host rolls back alone:', () => {
  /** Shell text: kills the nearest process above with this name. */
  const killAbove = (name: string) => `
pid=$$
until [ "$(cat "/proc/$pid/comm")" = ${name} ]; do pid=$(sed -n 's/^PPid:\\t//p' "/proc/$pid/status"); done
kill -9 "$pid"
sleep 600`;

  test.each(['host', 'controller'])('a phase on the %s kills it', async (where) => {
    using host = bareHost();
    const before = host.look();
    const files = host.overlay('files', { 'etc/lab.conf': { text: 'new\n' } });
    const ended = await host.run({
      files,
      lease: '2s',
      renew: '1s',
      phases: { test: { where, run: killAbove('node') } },
    });
    expect(ended.signal).toBe('SIGKILL');
    expect(await endedAlone(host)).toEqual({ outcome: 'rolled-back', by: 'watchdog' });
    expect(host.changesSince(before)).toEqual([]);
  });

  test('a phase edits the command between begin and finish', async () => {
    using host = bareHost();
    const folder = join(host.folder, 'action');
    cpSync(actionFolder(), folder, { recursive: true });
    const cli = join(folder, 'dist/cli.cjs');
    const before = host.look();
    const files = host.overlay('files', { 'etc/lab.conf': { text: 'new\n' } });
    const job = host.job({ files, lease: '2s', renew: '1s' });
    const options = { cwd: host.folder, cli };
    const begun = await savepoint(['begin', job, '--while', '0'], options);
    expect(begun.code, begun.stderr).toBe(0);
    expect(readFileSync(join(host.root, 'etc/lab.conf'), 'utf8')).toBe('new\n');
    const spoil = ['sh', '-c', `echo 'process.exit(0)' >'${cli}'`];
    const phase = await savepoint(['exec', '--where', 'controller', '--', ...spoil], options);
    expect(phase.code, phase.stderr).toBe(0);
    const finished = await savepoint(['finish', '--status', 'success', '--json'], options);
    expect(finished).toMatchObject({ code: 0, stdout: '' });
    expect(await endedAlone(host)).toEqual({ outcome: 'rolled-back', by: 'watchdog' });
    expect(host.changesSince(before)).toEqual([]);
  });
});

test('a patch that changes nothing but the tracked files commits: the tests above can fail', async () => {
  const it = scene();
  const result = await it.runner.run([step(it, { set: onController('true') })]);
  expect(resultFile(result)).toMatchObject({ outcome: 'committed' });
  expect(it.root.read('etc/apt/sources.list')).toBe(PATCHED);
});
