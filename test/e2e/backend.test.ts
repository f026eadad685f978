import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startRelay } from '../host/relay.ts';
import { type Sshd, startSshd } from '../host/sshd.ts';
import { labImage } from '../lab/image.ts';
import { folder } from '../unit/job-fixture.ts';
import { scene as actionScene, resultFile, stage, savepoint as step } from './action-scene.ts';
import { backendFile } from './backend-scene.ts';
import { savepoint, start } from './command.ts';
import { PATCHED, patchFiles, testRoot } from './root.ts';

let sshd: Sshd;
beforeAll(async () => {
  sshd = await startSshd();
});
afterAll(() => sshd.stop());

function scene() {
  const cwd = folder();
  const root = testRoot();
  patchFiles(cwd);
  const options = ['--root', root.path, '--track', '/etc/apt', '--files', 'files'];
  return { cwd, root, before: root.snapshot(), options };
}

describe('a backend that is a program', () => {
  test('makes the host ready for run, and takes it back', async () => {
    const it = scene();
    const box = backendFile(sshd);
    const host = ['--host', `backend:${box.path}`, '--set', 'host.with.rack=[1, two]'];
    const said = await savepoint(['run', ...it.options, ...host, '--json', '--', 'true'], it);
    expect(said.exit).toBe(0);
    expect(JSON.parse(said.stdout)).toMatchObject({ outcome: 'committed' });
    expect(it.root.read('etc/apt/sources.list')).toBe(PATCHED);
    expect(said.stderr).toContain('backend: ::error::open says so');
    expect(box.verbs()).toEqual(['open', 'close']);
    const [open, close] = box.calls().filter(({ verb }) => verb !== 'capabilities');
    const request = { protocol: 1, id: open?.request.id, with: { rack: [1, 'two'] } };
    expect(open?.request).toEqual(request);
    expect(open?.request.id).toMatch(/^savepoint-[0-9a-f]{12}$/);
    expect(close?.request).toEqual({ ...request, state: { rack: 7 } });
  });

  test('is loaded by name from the job file, and takes back a host whose job failed', async () => {
    const it = scene();
    const box = backendFile(sshd, join(it.cwd, 'box'));
    const job = `root: ${it.root.path}\ntrack: [/etc/apt]\nfiles: files\nphases: { test: exit 3 }\n`;
    writeFileSync(join(it.cwd, 'job.yml'), `${job}host: { use: ./box, with: { rack: 2 } }\n`);
    expect(await savepoint(['run', 'job.yml'], it)).toMatchObject({ exit: 1 });
    expect(it.root.snapshot()).toEqual(it.before);
    expect(box.verbs()).toEqual(['open', 'close']);
  });

  test('serves begin, exec and finish, each a process of its own', async () => {
    const it = scene();
    const box = backendFile(sshd);
    const begin = ['begin', ...it.options, '--host', `backend:${box.path}`];
    expect(await savepoint([...begin, '--while', `${process.pid}`], it)).toMatchObject({ exit: 0 });
    expect(await savepoint(['exec', '--', 'true'], it)).toMatchObject({ exit: 0 });
    expect(box.verbs()).toEqual(['open']);
    expect(await savepoint(['finish', '--status', 'success'], it)).toMatchObject({ exit: 0 });
    expect(box.verbs()).toEqual(['open', 'close']);
    expect(it.root.read('etc/apt/sources.list')).toBe(PATCHED);
  });

  test('that was changed meanwhile is not run; the host is rolled back, and the failure told', async () => {
    const it = scene();
    const box = backendFile(sshd);
    const begin = ['begin', ...it.options, '--host', `backend:${box.path}`];
    await savepoint([...begin, '--while', `${process.pid}`], it);
    appendFileSync(box.path, '# changed\n');
    const said = await savepoint(['finish', '--status', 'failure', '--json'], it);
    expect(said.exit).toBe(3);
    expect(JSON.parse(said.stdout)).toMatchObject({
      outcome: 'rolled-back',
      error: { name: 'backend-failed', reason: expect.stringContaining('not what it was') },
    });
    expect(it.root.snapshot()).toEqual(it.before);
    expect(box.verbs()).toEqual(['open']);
  });

  test('that fails to open is closed, and says why', async () => {
    const it = scene();
    const box = backendFile(sshd);
    box.break('open');
    const said = await savepoint(['run', ...it.options, '--host', `backend:${box.path}`], it);
    expect(said).toMatchObject({ exit: 3 });
    expect(said.stderr).toMatch(/backend-failed[\s\S]*::error::open says so/);
    expect(box.verbs()).toEqual(['open', 'close']);
    const begun = await savepoint(['begin', ...it.options, '--host', `backend:${box.path}`], it);
    expect(begun).toMatchObject({ exit: 3 });
    expect(existsSync(join(it.cwd, '.savepoint-state.json'))).toBe(false);
  });

  test('that is waited for can be cancelled, and closes what it had begun', async () => {
    const it = scene();
    const path = join(it.cwd, 'box');
    const verbs = `echo $1 >> ${path}.log
case $1 in capabilities) echo '{"capabilities":["close"]}';; open) echo opening >&2; exec sleep 600;; esac`;
    writeFileSync(path, `#!/bin/sh\n${verbs}\n`, { mode: 0o755 });
    const running = start(['run', ...it.options, '--host', 'backend:box', '--', 'true'], it);
    await running.seen('opening');
    running.child.kill('SIGINT');
    expect(await running.ended).toMatchObject({ exit: 130 });
    expect(readFileSync(`${path}.log`, 'utf8').trim().split('\n').at(-1)).toBe('close');
  });

  test('that fails to close fails the job, whose outcome stands', async () => {
    const it = scene();
    const box = backendFile(sshd);
    box.break('close');
    const words = ['run', ...it.options, '--host', `backend:${box.path}`, '--json'];
    const said = await savepoint([...words, '--', 'true'], it);
    expect(said.exit).toBe(3);
    expect(JSON.parse(said.stdout)).toMatchObject({
      outcome: 'committed',
      error: { name: 'backend-failed', details: { verb: 'close' } },
    });
  });

  test.each([
    ['no JSON', 'hello', 'no object of JSON'],
    ['a list', '[]', 'no object of JSON'],
    ['an endpoint without a host', '{"endpoint":{}}', 'endpoint.host'],
    ['an option in place of a host', '{"endpoint":{"host":"-oProxyCommand=x"}}', 'endpoint.host'],
    [
      'lines in a host key',
      '{"endpoint":{"host":"a","hostKey":"ssh-rsa AA\\n* ssh-rsa BB"}}',
      'endpoint.hostKey',
    ],
    ['a relative key', '{"endpoint":{"host":"a","key":"id"}}', 'endpoint.key'],
    ['something unknown', '{"endpoint":{"host":"a"},"run":"x"}', 'no endpoint'],
    ['nothing at all', '{}', 'gave no endpoint'],
  ])('that answers with %s is refused', async (_, answer, complaint) => {
    const it = scene();
    const path = join(it.cwd, 'box');
    const say = (text: string) => `printf '%s' '${text}'`;
    const verbs = `case $1 in open) ${say(answer)};; *) ${say('{"capabilities":[]}')};; esac`;
    writeFileSync(path, `#!/bin/sh\n${verbs}\n`, { mode: 0o755 });
    const said = await savepoint(['run', ...it.options, '--host', `backend:${path}`], it);
    expect(said).toMatchObject({ exit: 3 });
    expect(said.stderr).toContain('backend-failed');
    expect(said.stderr).toContain(complaint);
  });

  test('serves commands about a host, too', async () => {
    const it = scene();
    const box = backendFile(sshd);
    const said = await savepoint(['status', `backend:${box.path}`, '--root', it.root.path], it);
    expect(said.stdout).toContain('nothing is open');
    expect(box.verbs()).toEqual(['open', 'close']);
  });
});

describe('a host that cannot be brought back', () => {
  test('is restarted when it does not answer, and asked again', async () => {
    const it = scene();
    await using relay = await startRelay({ to: sshd.port });
    const box = backendFile({ ...sshd, port: relay.port });
    const begin = ['begin', ...it.options, '--host', `backend:${box.path}`];
    expect(await savepoint([...begin, '--while', '0'], it)).toMatchObject({ exit: 0 });
    // The link is there again after the restart: here, at the first connection after one failed.
    relay.refuse(1);
    const said = await savepoint(['finish', '--status', 'success'], it);
    expect(box.verbs()).toEqual(['open', 'reboot', 'close']);
    expect(said).toMatchObject({ exit: 0 });
  });

  test('is reverted when the rollback fails, and taken back', async () => {
    const it = scene();
    const box = backendFile(sshd);
    // What the guard would restore from is gone: a phase that runs as root can do that.
    const spoil = `rm -rf ${it.root.path}/var/lib/savepoint/tx/*/copy ${it.root.path}/var/lib/savepoint/tx/*/backup*; exit 1`;
    const words = ['run', ...it.options, '--host', `backend:${box.path}`, '--json'];
    const said = await savepoint([...words, '--', 'sh', '-c', spoil], it);
    expect(said.exit).toBe(46);
    expect(JSON.parse(said.stdout)).toMatchObject({ outcome: 'rollback-failed' });
    expect(box.verbs()).toEqual(['open', 'revert', 'close']);
  });
});

describe('a backend that is a module', () => {
  test('boots a machine for run, and ends it', async () => {
    const it = scene();
    const module = resolve('examples/backends/nspawn.mjs');
    const { disk } = await labImage();
    const job = `track: [/etc/motd.d]\nphases: { test: 'hostname; mkdir /etc/motd.d; exit 5' }\n`;
    const host = `host: { use: ${module}, with: { image: ${disk} } }\n`;
    writeFileSync(join(it.cwd, 'job.yml'), job + host);
    const said = await savepoint(['run', 'job.yml', '--json'], it);
    expect(said.exit).toBe(1);
    expect(JSON.parse(said.stdout)).toMatchObject({
      outcome: 'rolled-back',
      test_output: 'lab\n',
      test_status: 5,
    });
    expect(said.stderr).toMatch(/backend: savepoint-\w+ answers on port/);
  });

  test('runs the commands itself, in every process of the run', async () => {
    const it = scene();
    const path = join(it.cwd, 'own.mjs');
    writeFileSync(path, ownModule);
    const options = [...it.options, '--host', `backend:${path}`];
    const run = await savepoint(['run', ...options, '--json', '--', 'echo', 'there'], it);
    expect(run.exit).toBe(0);
    expect(JSON.parse(run.stdout)).toMatchObject({ outcome: 'committed', test_output: 'there\n' });
    const again = scene();
    const begin = ['begin', ...again.options, '--host', `backend:${path}`];
    expect(await savepoint([...begin, '--while', `${process.pid}`], again)).toMatchObject({
      exit: 0,
    });
    expect(await savepoint(['exec', '--', 'true'], again)).toMatchObject({ exit: 0 });
    expect(await savepoint(['finish', '--status', 'failure'], again)).toMatchObject({ exit: 0 });
    expect(again.root.snapshot()).toEqual(again.before);
  });

  test.each([
    ['that exports nothing', 'export const x = 1;', 'does not export the function open'],
    ['that cannot be loaded', 'import "./absent.mjs";', 'cannot be loaded'],
  ])('%s is refused', async (_, text, complaint) => {
    const it = scene();
    writeFileSync(join(it.cwd, 'bad.mjs'), text);
    const said = await savepoint(['run', ...it.options, '--host', 'backend:bad.mjs'], it);
    expect(said).toMatchObject({ exit: 2 });
    expect(said.stderr).toContain(complaint);
  });
});

describe('the action', () => {
  test('keeps the endpoint for post, which takes the host back', async () => {
    const it = actionScene();
    const box = backendFile(sshd);
    const result = await it.runner.run([
      step(it, { host: `backend:${box.path}`, run: 'echo there' }),
      { run: 'exit 1' },
    ]);
    expect(stage(result, 'main').log.join('\n')).toContain('backend: ::error::open says so');
    expect(
      result.steps.flatMap(({ commands }) => commands).filter(({ name }) => name === 'error'),
    ).toEqual([]);
    expect(stage(result, 'post')).toMatchObject({ exit: 0 });
    expect(resultFile(result)).toMatchObject({ outcome: 'rolled-back' });
    expect(box.verbs()).toEqual(['open', 'close']);
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('takes the host back in post when main was killed', async () => {
    const it = actionScene();
    const box = backendFile(sshd);
    const running = it.runner.run([
      step(it, { host: `backend:${box.path}`, run: 'echo in phase; sleep 600' }),
    ]);
    await it.runner.seen('in phase');
    it.runner.killStep();
    expect(stage(await running, 'post')).toMatchObject({ exit: 0 });
    expect(box.verbs()).toEqual(['open', 'close']);
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('takes back in post what main was killed over opening', async () => {
    const it = actionScene();
    const path = join(folder(), 'box');
    const log = `${path}.log`;
    const verbs = `echo $1 >> ${log}
case $1 in capabilities) echo '{"capabilities":["close"]}';; open) echo opening >&2; sleep 600;; esac`;
    writeFileSync(path, `#!/bin/sh\n${verbs}\n`, { mode: 0o755 });
    const running = it.runner.run([step(it, { host: `backend:${path}`, run: 'true' })]);
    await it.runner.seen('opening');
    it.runner.killStep();
    const post = stage(await running, 'post');
    expect(post).toMatchObject({ exit: 0 });
    expect(readFileSync(log, 'utf8').trim().split('\n').at(-1)).toBe('close');
    expect(existsSync(join(it.root.path, 'var'))).toBe(false);
  });

  test('refuses a backend in the workspace, unless an input allows it by name', async () => {
    const given = { host: 'backend:ci/box', run: 'true' };
    const it = actionScene();
    mkdirSync(join(it.runner.workspace, 'ci'));
    const box = backendFile(sshd, join(it.runner.workspace, 'ci/box'));
    const refused = await it.runner.run([step(it, given)]);
    expect(stage(refused, 'main')).toMatchObject({ exit: 2 });
    expect(stage(refused, 'main').log.join('\n')).toContain('backend-refused');
    expect(box.calls()).toEqual([]);

    const again = actionScene();
    mkdirSync(join(again.runner.workspace, 'ci'));
    const allowed = backendFile(sshd, join(again.runner.workspace, 'ci/box'));
    const result = await again.runner.run([step(again, { ...given, 'allow-backend': 'ci/box' })]);
    expect(stage(result, 'post')).toMatchObject({ exit: 0 });
    expect(allowed.verbs()).toEqual(['open', 'close']);
  });

  test('runs nothing in post that the job changed, and decides all the same', async () => {
    const it = actionScene();
    const box = backendFile(sshd, join(it.runner.workspace, 'box'));
    const result = await it.runner.run([
      step(it, { host: 'backend:box', 'allow-backend': 'box', run: 'true' }),
      { run: `printf '#!/bin/sh\\ntouch ${it.runner.temp}/ran\\n' > box` },
      { run: 'exit 1' },
    ]);
    const post = stage(result, 'post');
    expect(post.exit).toBe(3);
    expect(post.log.join('\n')).toContain('is not what it was when the run began');
    expect(existsSync(join(it.runner.temp, 'ran'))).toBe(false);
    expect(box.verbs()).toEqual(['open']);
    expect(it.root.snapshot()).toEqual(it.before);
  });
});

/** All that a module needs that runs commands itself, without a line of Savepoint's. */
const ownModule = `
import { spawn } from 'node:child_process';
export const open = async () => ({ state: { here: true } });
export const connect = async ({ state }) => ({
  run: ({ argv: [file, ...args], stdin, env, cwd }) => {
    if (!state.here) throw new Error('not here');
    const child = spawn(file, args, { cwd, env: { ...process.env, ...env } });
    if (typeof stdin?.pipe === 'function') stdin.pipe(child.stdin);
    else child.stdin.end(stdin);
    child.stdin.on('error', () => undefined);
    const exit = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve(signal ? { signal } : { code }));
    });
    return { stdout: child.stdout, stderr: child.stderr, exit };
  },
});
`;
