import {
  appendFileSync,
  existsSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startRelay } from '../host/relay.ts';
import { type Sshd, startSshd } from '../host/sshd.ts';
import { backendFile, scene } from './backend-scene.ts';
import { savepoint, start } from './command.ts';
import { PATCHED } from './root.ts';

let sshd: Sshd;
beforeAll(async () => {
  sshd = await startSshd();
});
afterAll(() => sshd.stop());

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

  test.each(['open', 'close'])('that tells a secret at %s is not repeated', async (verb) => {
    const it = { ...scene(), env: { LAB_TOKEN: 'hunter2-hunter2' } };
    const box = backendFile(sshd);
    box.break(verb);
    const words = ['run', ...it.options, '--host', `backend:${box.path}`, '--json'];
    const said = await savepoint([...words, '--mask-env', 'LAB_TOKEN', '--', 'true'], it);
    expect(said.exit).toBe(3);
    const kept = readdirSync(join(it.cwd, 'savepoint-results'), { recursive: true })
      .map((name) => join(it.cwd, 'savepoint-results', String(name)))
      .filter((path) => statSync(path).isFile())
      .map((path) => readFileSync(path, 'utf8'));
    const all = [said.stdout, said.stderr, ...kept].join('\n');
    expect(all).toContain('token ***');
    expect(all).not.toContain('hunter2');
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

  test('runs the commands itself, in every process of the run', async () => {
    const it = scene();
    const host = ['--host', `backend:${resolve('test/host/backends/program')}`];
    const words = ['sh', '-c', 'echo there; exit 4'];
    const run = await savepoint(['run', ...it.options, ...host, '--json', '--', ...words], it);
    expect(run.exit).toBe(1);
    expect(JSON.parse(run.stdout)).toMatchObject({
      outcome: 'rolled-back',
      test_output: 'there\n',
      test_status: 4,
    });
    expect(it.root.snapshot()).toEqual(it.before);
    const begin = ['begin', ...it.options, ...host, '--while', `${process.pid}`];
    expect(await savepoint(begin, it)).toMatchObject({ exit: 0 });
    expect(await savepoint(['exec', '--', 'true'], it)).toMatchObject({ exit: 0 });
    expect(await savepoint(['finish', '--status', 'success'], it)).toMatchObject({ exit: 0 });
    expect(it.root.read('etc/apt/sources.list')).toBe(PATCHED);
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
    // A link in the place of a directory above: the guard writes nothing behind it.
    const spoil = `cd "$SAVEPOINT_ROOT"; mv etc moved; mkdir trap; ln -s trap etc; exit 1`;
    const words = ['run', ...it.options, '--host', `backend:${box.path}`, '--json'];
    const said = await savepoint([...words, '--', 'sh', '-c', spoil], it);
    expect(said.exit).toBe(46);
    expect(JSON.parse(said.stdout)).toMatchObject({ outcome: 'rollback-failed' });
    expect(box.verbs()).toEqual(['open', 'revert', 'close']);
  });
});
