import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Result } from '../../src/report/result.ts';
import { startSshd } from '../host/sshd.ts';
import { folder } from '../unit/job-fixture.ts';
import {
  scene as actionScene,
  eventNames,
  resultFile,
  stage,
  savepoint as step,
} from './action-scene.ts';
import { cliFile } from './built.ts';
import { savepoint, start } from './command.ts';
import { ORIGINAL, patchFiles, testRoot } from './root.ts';

/** A root with a patch, and a job file for it with two attachments, in a folder to run it from. */
function scene(job: string, host = '{ type: local, sudo: false }') {
  const cwd = folder({ 'tests/smoke': '#!/bin/sh\necho "smoke of $1"\n', 'data.txt': 'data' });
  execFileSync('chmod', ['755', join(cwd, 'tests/smoke')]);
  const root = testRoot();
  patchFiles(cwd);
  writeFileSync(
    join(cwd, 'job.yml'),
    `root: ${root.path}\nhost: ${host}\ntrack: [/etc/apt]\nfiles: files\n${job}`,
  );
  return { cwd, root, before: root.snapshot(), output: join(cwd, 'out') };
}

function resultIn({ output }: { output: string }): Result {
  return JSON.parse(readFileSync(join(output, 'result.json'), 'utf8'));
}

function workDirIn({ output }: { output: string }): string {
  const events = readFileSync(join(output, 'events.ndjson'), 'utf8').trim().split('\n');
  return events.map((line) => JSON.parse(line)).find(({ kind }) => kind === 'work_dir').path;
}

const both = `
attachments: [tests, { local: data.txt, agent: in/data }]
artifacts: [out]
phases:
  test: |
    cd "$SAVEPOINT_WORK_DIR"
    tests/smoke "$(cat in/data)"
    mkdir out && cp in/data out/copy
`;

describe('savepoint run', () => {
  test('sends, uses and fetches files over SSH', async () => {
    await using sshd = await startSshd();
    const host = `{ name: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, key: ${sshd.keyPath}, known-hosts: ${sshd.knownHostsFile}, sudo: false }`;
    const it = scene(both, host);
    const { exit, stdout, stderr } = await savepoint(['run', 'job.yml', '--output', 'out'], it);
    expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
    expect(stdout).toMatch(/unpack +4 entries \(33 B\)/);
    expect(stdout).toContain('test      | smoke of data');
    expect(readFileSync(join(it.output, 'artifacts/out/copy'), 'utf8')).toBe('data');
    expect(existsSync(workDirIn(it))).toBe(false);
    expect(resultIn(it)).toMatchObject({
      outcome: 'committed',
      unpack_status: 0,
      artifacts_status: 0,
    });
    const phases = resultIn(it).phases.map(({ name, transferred }) => [name, transferred?.entries]);
    expect(phases).toEqual([
      ['unpack', 4],
      ['test', undefined],
      ['artifacts', 2],
    ]);
  });

  test('tells why the host could not take the attachments, and rolls it back', async () => {
    const it = scene(both);
    writeFileSync(join(it.cwd, 'tests/large'), Buffer.alloc(1_000_000, 'x'));
    const small = join(it.cwd, 'small');
    mkdirSync(small);
    // A disk that is full after 100 KB, which only this command sees.
    const script = `mount -t tmpfs -o size=100k tmpfs "$TMPDIR" && exec node "$@"`;
    const words = ['sh', '-c', script, 'sh', cliFile(), 'run', 'job.yml', '--output', 'out'];
    const { status, stdout } = spawnSync('unshare', ['--mount', ...words], {
      cwd: it.cwd,
      encoding: 'utf8',
      env: { PATH: process.env.PATH, HOME: it.cwd, TMPDIR: small },
    });
    expect(status).toBe(3);
    expect(stdout).toMatch(
      /unpack +failed after .*No space left on device.* \[352 transfer-failed\]/,
    );
    expect(stdout).toMatch(/test +skipped: unpack failed/);
    expect(it.root.snapshot()).toEqual(it.before);
    expect(resultIn(it)).toMatchObject({
      outcome: 'rolled-back',
      error: { name: 'transfer-failed', class: 'host' },
      unpack_output: expect.stringContaining('No space left on device'),
    });
  });

  test('tells which artifact the disk here had no room for, and rolls the host back', async () => {
    const it = scene(
      'artifacts: [log]\nphases: { test: "head -c 2000000 /dev/zero >$SAVEPOINT_WORK_DIR/log" }\n',
    );
    mkdirSync(it.output);
    // A disk that is full after 1 MB, which only this command sees; what it leaves is copied off it.
    const script = `mount -t tmpfs -o size=1m tmpfs out && node "$@"; status=$?
mkdir kept && cp -r out/. kept && exit $status`;
    const words = ['sh', '-c', script, 'sh', cliFile(), 'run', 'job.yml', '--output', 'out'];
    const { status, stdout } = spawnSync('unshare', ['--mount', ...words], {
      cwd: it.cwd,
      encoding: 'utf8',
      env: { PATH: process.env.PATH, HOME: it.cwd },
    });
    expect(status).toBe(2);
    expect(stdout).toMatch(/artifacts +failed after .*no space left.* \[129 output-unwritable\]/i);
    expect(it.root.snapshot()).toEqual(it.before);
    const kept = { output: join(it.cwd, 'kept') };
    expect(resultIn(kept)).toMatchObject({
      outcome: 'rolled-back',
      error: { name: 'output-unwritable', details: { entry: expect.stringMatching(/\/log$/) } },
    });
    // Of a file that has no room nothing is left.
    expect(readdirSync(join(kept.output, 'artifacts'))).toEqual([]);
  });

  test('refuses an attachment that cannot be sent before it touches the host', async () => {
    const it = scene(both);
    execFileSync('mkfifo', [join(it.cwd, 'tests/pipe')]);
    const { exit, stderr } = await savepoint(['run', 'job.yml'], it);
    expect(exit).toBe(2);
    expect(stderr).toContain('files-bad-entry');
    expect(stderr).toContain('tests/pipe');
    expect(existsSync(join(it.root.path, 'var'))).toBe(false);
  });

  test('refuses a login that runs the guard alone before it touches the host', async () => {
    await using sshd = await startSshd({ keyOptions: `command="sh ${resolve('guard/gate.sh')}"` });
    const host = `{ name: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, key: ${sshd.keyPath}, known-hosts: ${sshd.knownHostsFile}, sudo: false }`;
    const it = scene(both, host);
    const { exit, stdout } = await savepoint(['run', 'job.yml'], it);
    expect(exit).toBe(3);
    expect(stdout).toContain('[351 transfer-refused]');
    expect(stdout).toContain('leave out `attachments` and `artifacts`');
    expect(existsSync(join(it.root.path, 'var'))).toBe(false);
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('fetches after a cancel too, and leaves nothing on the host', async () => {
    const it = scene(`
attachments: [tests]
artifacts: [log]
phases:
  test: cd "$SAVEPOINT_WORK_DIR" && echo so far >log && echo ready && sleep 600
`);
    const { child, ended, seen } = start(['run', 'job.yml', '--output', 'out'], it);
    await seen('| ready');
    child.kill('SIGINT');
    expect((await ended).exit).toBe(130);
    expect(readFileSync(join(it.output, 'artifacts/log'), 'utf8')).toBe('so far\n');
    expect(existsSync(workDirIn(it))).toBe(false);
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('takes what to send and fetch from options', async () => {
    const it = scene('');
    const options = ['--root', it.root.path, '--track', '/etc/apt', '--sudo', 'false'];
    const files = ['--attachments', 'tests', '--attachments', 'data.txt', '--artifacts', 'out'];
    const command = ['sh', '-c', 'cp "$SAVEPOINT_WORK_DIR/data.txt" "$SAVEPOINT_WORK_DIR/out"'];
    const words = ['run', ...options, ...files, '--output', 'out', '--', ...command];
    expect((await savepoint(words, it)).exit).toBe(0);
    expect(readFileSync(join(it.output, 'artifacts/out'), 'utf8')).toBe('data');
  });

  test('needs no more memory for 300 MiB than for nothing', async () => {
    await using sshd = await startSshd();
    const host = `{ name: 127.0.0.1, port: ${sshd.port}, user: ${sshd.user}, key: ${sshd.keyPath}, known-hosts: ${sshd.knownHostsFile}, sudo: false }`;
    const it = scene('attachments: [large]\nartifacts: [large]\nphases: { test: "true" }\n', host);
    const size = 300 * 1024 ** 2;
    execFileSync('truncate', ['-s', String(size), join(it.cwd, 'large')]);
    const peak = join(it.cwd, 'peak');
    const hook = join(it.cwd, 'hook.cjs');
    writeFileSync(
      hook,
      `process.on('exit', () => require('node:fs').writeFileSync(${JSON.stringify(peak)}, String(process.resourceUsage().maxRSS)));`,
    );
    const { exit } = await savepoint(['run', 'job.yml', '--output', 'out'], {
      ...it,
      env: { NODE_OPTIONS: `--require ${hook} --max-old-space-size=64` },
    });
    expect(exit).toBe(0);
    expect(statSync(join(it.output, 'artifacts/large')).size).toBe(size);
    // What passed through was 600 MiB; Node alone takes 60.
    expect(Number(readFileSync(peak, 'utf8')) / 1024).toBeLessThan(280);
  });
});

test('the split form places attachments at its first command and fetches when it finishes', async () => {
  const it = scene('attachments: [tests]\nartifacts: [out]\n');
  const begun = await savepoint(
    ['begin', 'job.yml', '--while', String(process.pid), '--output', 'out'],
    it,
  );
  expect(begun.exit).toBe(0);
  const command = 'cd "$SAVEPOINT_WORK_DIR" && tests/smoke split >out';
  expect(
    (await savepoint(['exec', '--name', 'artifacts', '--', 'sh', '-c', command], it)).exit,
  ).toBe(0);
  expect((await savepoint(['finish', '--status', 'success'], it)).exit).toBe(0);
  expect(readFileSync(join(it.output, 'artifacts/out'), 'utf8')).toBe('smoke of split\n');
  // Nobody takes the name of the phase that fetches.
  expect(resultIn(it).phases.map(({ name }) => name)).toEqual([
    'unpack',
    'artifacts-2',
    'artifacts',
  ]);
  expect(resultIn(it)).toMatchObject({ outcome: 'committed' });
  expect(existsSync(workDirIn(it))).toBe(false);
});

describe('the action', () => {
  test('takes attachments and artifacts as inputs, and fetches in main', async () => {
    const it = actionScene();
    writeFileSync(join(it.runner.workspace, 'data.txt'), 'data');
    const result = await it.runner.run([
      step(it, {
        attachments: 'data.txt',
        artifacts: 'out',
        run: 'cp "$SAVEPOINT_WORK_DIR/data.txt" "$SAVEPOINT_WORK_DIR/out"; exit 3',
      }),
    ]);
    const { outputs } = stage(result, 'main');
    expect(outputs).toMatchObject({ 'unpack-status': 'success', 'artifacts-status': 'success' });
    const kept = join(outputs['output-dir'] ?? '', 'artifacts');
    expect(readdirSync(kept)).toEqual(['out']);
    expect(readFileSync(join(kept, 'out'), 'utf8')).toBe('data');
    expect(eventNames(result).filter((name) => name === 'artifacts_start')).toHaveLength(1);
    expect(it.root.snapshot()).toEqual(it.before);
    expect(resultFile(result)).toMatchObject({ outcome: 'rolled-back', test_status: 3 });
  });

  test('fetches in post when main was killed', async () => {
    const it = actionScene();
    const run = 'echo so far >"$SAVEPOINT_WORK_DIR/log"; echo ready; sleep 600';
    const job = it.runner.run([step(it, { artifacts: 'log', run })]);
    await it.runner.seen('ready');
    it.runner.killStep();
    const result = await job;
    const { outputs } = stage(result, 'main');
    const kept = join(outputs['output-dir'] ?? '', 'artifacts/log');
    expect(readFileSync(kept, 'utf8')).toBe('so far\n');
    expect(eventNames(result).slice(-5)).toEqual([
      ...['artifacts_start', 'progress', 'artifacts_success', 'transaction_rollback', 'job_end'],
    ]);
    expect(it.root.read('etc/apt/sources.list')).toBe(ORIGINAL);
  });
});
