import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Sshd, startSshd } from '../host/sshd.ts';
import { folder } from '../unit/job-fixture.ts';
import { scene as actionScene, resultFile, stage, savepoint as step } from './action-scene.ts';
import { savepoint, start } from './command.ts';
import { PATCHED, patchFiles, testRoot } from './root.ts';

let gate: Sshd;
let device: Sshd;
beforeAll(async () => {
  [gate, device] = await Promise.all([startSshd({ clientKey: 'ecdsa' }), startSshd()]);
});
afterAll(() => Promise.all([gate.stop(), device.stop()]));

/** What a person has who reaches lab-07 through a gate by `ssh lab-07`. */
function config(more = ''): string {
  const block = (name: string, { port, user, keyPath, knownHostsFile }: Sshd) =>
    `Host ${name}\n HostName 127.0.0.1\n Port ${port}\n User ${user}\n IdentityFile ${keyPath}\n UserKnownHostsFile ${knownHostsFile}\n`;
  return `${block('gate', gate)}${block('lab-07', device)} ProxyJump gate\n${more}`;
}

function scene(text = config(), where = '.ssh/config') {
  const cwd = folder();
  const root = testRoot();
  patchFiles(cwd);
  mkdirSync(join(cwd, '.ssh'), { mode: 0o700 });
  writeFileSync(join(cwd, where), text, { mode: 0o600 });
  writeFileSync(
    join(cwd, 'job.yml'),
    `root: ${root.path}\nhost: ssh://lab-07\ntrack: [/etc/apt]\nfiles: files\n`,
  );
  return { cwd, root, before: root.snapshot() };
}

describe('host: ssh://lab-07 and ~/.ssh/config', () => {
  test('run', async () => {
    const it = scene();
    const said = await savepoint(
      ['run', 'job.yml', '--json', '--', 'sh', '-c', 'echo "on $SAVEPOINT_HOST"'],
      it,
    );
    expect(said.exit).toBe(0);
    expect(JSON.parse(said.stdout)).toMatchObject({
      outcome: 'committed',
      test_output: 'on lab-07\n',
      transaction: { host: `${device.user}@127.0.0.1:${device.port}` },
    });
    expect(it.root.read('etc/apt/sources.list')).toBe(PATCHED);
    await expect.poll(() => gate.logs()).toContain('Accepted publickey');
  });

  test("run, with the job's own file, and none of the usual ones", async () => {
    const it = scene(config(), 'lab.ssh_config');
    writeFileSync(join(it.cwd, '.ssh/config'), 'Host *\n Port 1\n', { mode: 0o600 });
    const own = ['--ssh-config', 'lab.ssh_config', '--on-success', 'rollback'];
    const said = await savepoint(['run', 'job.yml', ...own, '--', 'true'], it);
    expect(said).toMatchObject({ exit: 0 });
    expect(it.root.snapshot()).toEqual(it.before);
    const inJob = await savepoint(
      ['run', 'job.yml', '--set', 'host.ssh-config=lab.ssh_config', '--', 'true'],
      it,
    );
    expect(inJob).toMatchObject({ exit: 0 });
  });

  test('begin, exec and finish, though the file is gone after begin', async () => {
    const it = scene();
    const begun = await savepoint(['begin', 'job.yml', '--while', `${process.pid}`], it);
    expect(begun).toMatchObject({ exit: 0, stderr: '' });
    rmSync(join(it.cwd, '.ssh/config'));
    expect((await savepoint(['status'], it)).stdout).toContain('is open');
    expect(await savepoint(['exec', '--', 'true'], it)).toMatchObject({ exit: 0 });
    expect(await savepoint(['finish', '--status', 'failure'], it)).toMatchObject({ exit: 0 });
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('status, recover and host', async () => {
    const it = scene();
    const where = ['ssh://lab-07', '--root', it.root.path];
    const running = start(['run', 'job.yml', '--', 'sleep', '600'], it);
    await running.seen('transaction');
    await expect
      .poll(async () => (await savepoint(['status', ...where], it)).stdout, { timeout: 30_000 })
      .toContain('is open');
    expect((await savepoint(['recover', ...where], it)).stdout).toContain('rolled-back');
    await running.ended;
    expect(it.root.snapshot()).toEqual(it.before);
    expect(await savepoint(['host', 'clear', ...where], it)).toMatchObject({ exit: 0 });
    expect((await savepoint(['host', 'show', 'lab-07'], it)).stdout).toContain('127.0.0.1');
  });

  test('a program that the file would run is refused, unless an option allows it', async () => {
    const it = scene(
      `Match host lab-07 exec "touch ${'ran'}"\n ServerAliveInterval 7\n${config()}`,
    );
    const refused = await savepoint(['run', 'job.yml', '--', 'true'], it);
    expect(refused).toMatchObject({ exit: 2 });
    expect(refused.stderr).toContain('ssh-config-program');
    expect(refused.stderr).toContain('.ssh/config:1');
    expect(readdirSync(it.cwd)).not.toContain('ran');
    const allow = ['--allow-program', 'match exec'];
    expect(await savepoint(['run', 'job.yml', ...allow, '--', 'true'], it)).toMatchObject({
      exit: 0,
    });
    expect(readdirSync(it.cwd)).toContain('ran');
    const wrong = await savepoint(['run', 'job.yml', '--allow-program', 'anything'], it);
    expect(wrong).toMatchObject({ exit: 2 });
    expect(wrong.stderr).toContain('ProxyCommand');
  });
});

describe('the action', () => {
  test('reaches its host by a file of the runner, and post by what was then', async () => {
    const it = actionScene();
    const home = folder();
    mkdirSync(join(home, '.ssh'), { mode: 0o700 });
    // Keys of the runner that a step may well take away.
    const keys = [gate, device].map(({ keyPath }, index) => {
      const copy = join(home, `key-${index}`);
      writeFileSync(copy, readFileSync(keyPath), { mode: 0o600 });
      return copy;
    });
    const text = config()
      .replace(gate.keyPath, keys[0] ?? '')
      .replace(device.keyPath, keys[1] ?? '');
    writeFileSync(join(home, '.ssh/config'), text, { mode: 0o600 });
    const result = await it.runner.run([
      { ...step(it, { host: 'ssh://lab-07', run: 'echo over ssh' }), env: { HOME: home } },
      { run: `rm -r ${home}/.ssh ${keys.join(' ')}` },
      { run: 'exit 1' },
    ]);
    expect(stage(result, 'main').log.join('\n')).toContain('test     | over ssh');
    expect(stage(result, 'post')).toMatchObject({ exit: 0 });
    expect(resultFile(result)).toMatchObject({ outcome: 'rolled-back' });
    expect(it.root.snapshot()).toEqual(it.before);
  });

  test('gives the key of the input to a host on the way, and to post', async () => {
    await using same = await startSshd();
    writeFileSync(same.authorizedKeysFile, `${device.publicKey}\n`);
    const it = actionScene();
    const file = join(it.runner.workspace, 'ssh_config');
    const known = join(it.runner.workspace, 'known');
    writeFileSync(known, `${same.knownHostsLine}\n${device.knownHostsLine}\n`);
    const all = `Host *\n HostName 127.0.0.1\n User ${device.user}\n UserKnownHostsFile ${known}\n`;
    writeFileSync(
      file,
      `Host gate\n Port ${same.port}\nHost lab-07\n Port ${device.port}\n ProxyJump gate\n${all}`,
    );
    const key = readFileSync(device.keyPath, 'utf8');
    const given = { host: 'lab-07', 'ssh-config': 'ssh_config', 'ssh-key': key, run: 'true' };
    const result = await it.runner.run([step(it, given), { run: `rm ${file} ${known}` }]);
    expect(stage(result, 'post')).toMatchObject({ exit: 0 });
    expect(resultFile(result)).toMatchObject({ outcome: 'committed' });
    expect(JSON.stringify(stage(result, 'main').state)).not.toContain(key.split('\n')[2]);
  });

  test('a program that the file would run is refused, unless an input allows it', async () => {
    const it = actionScene();
    const file = join(it.runner.workspace, 'ssh_config');
    writeFileSync(file, `KnownHostsCommand cat ${device.knownHostsFile}\n${config()}`);
    const given = { host: 'lab-07', 'ssh-config': 'ssh_config', run: 'true' };
    const refused = await it.runner.run([step(it, given)]);
    expect(stage(refused, 'main')).toMatchObject({ exit: 2 });
    expect(stage(refused, 'main').log.join('\n')).toContain('ssh-config-program');
    const again = actionScene();
    writeFileSync(join(again.runner.workspace, 'ssh_config'), readFileSync(file));
    const allowed = step(again, { ...given, 'allow-program': 'KnownHostsCommand' });
    expect(stage(await again.runner.run([allowed]), 'post')).toMatchObject({ exit: 0 });
    expect(again.root.read('etc/apt/sources.list')).toBe(PATCHED);
  });
});
