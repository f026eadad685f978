import { describe, expect, test } from 'vitest';
import { loadJobs } from '../../src/job/load.ts';
import { context, folder, load, loadOne } from './job-fixture.ts';

test('a job that says little gets every default', async () => {
  const job = await loadOne('track: [/etc/foo.conf]\n');
  expect(job).toMatchObject({
    name: 'job',
    file: 'job.yml',
    host: { type: 'local', sudo: true },
    root: '/',
    track: [{ path: '/etc/foo.conf' }],
    presets: [],
    remove: [],
    onSuccess: 'commit',
    onConflict: 'backup',
    degraded: false,
    lease: 120,
    renew: 15,
    deadline: 21_600,
    lockTimeout: 0,
    refresh: [],
    probe: [],
    env: {},
    phases: [],
    extensions: {},
  });
  expect(job).not.toHaveProperty('check');
  expect(job).not.toHaveProperty('files');
});

test('phases run in the order of the design, however they are written', async () => {
  const job = await loadOne(
    'track: [apt]\nphases: { cleanup: c, test: t, provision: p, setup: { run: s, timeout: 2m } }\n',
  );
  expect(job.phases).toEqual([
    { name: 'setup', run: 's', env: {}, where: 'host', timeout: 120 },
    { name: 'provision', run: 'p', env: {}, where: 'host' },
    { name: 'test', run: 't', env: {}, where: 'host' },
    { name: 'cleanup', run: 'c', env: {}, where: 'host', timeout: 120 },
  ]);
});

test.each([
  ['90', 90],
  ['90s', 90],
  ['5m', 300],
  ['2h', 7200],
  ['1d', 86_400],
])('a lease of %s is %d seconds', async (written, lease) => {
  expect((await loadOne(`track: [apt]\nlease: ${written}\n`)).lease).toBe(lease);
});

test('a short lease shortens the time between signs of life', async () => {
  expect(await loadOne('track: [apt]\nlease: 6s\n')).toMatchObject({ lease: 6, renew: 3 });
});

test('a file with several documents is several jobs, in order', async () => {
  const jobs = await load('track: [apt]\n---\nname: second\ntrack: [pip]\n---\ntrack: [npm]\n');
  expect(jobs.map(({ name }) => name)).toEqual(['job-1', 'second', 'job-3']);
});

test('variables stay as they are written', async () => {
  const job = await loadOne(
    'track: [apt]\nenv: { A: 1.10, B: 0o17, C: true, D: "x y", E: 007 }\nphases:\n  test: { run: make, env: { F: 1e3 } }\n',
  );
  expect(job.env).toEqual({ A: '1.10', B: '0o17', C: 'true', D: 'x y', E: '007' });
  expect(job.phases[0]?.env).toEqual({ F: '1e3' });
});

test('keys that start with x- are carried through, and may hold what is shared', async () => {
  const job = await loadOne(
    'x-note: hello\nx-common: &common { timeout: 5m }\ntrack: [apt]\nhost: { x-rack: 7 }\nphases:\n  test: { <<: *common, run: make, x-owner: lab }\n',
  );
  expect(job.extensions).toEqual({
    'x-note': 'hello',
    'x-common': { timeout: '5m' },
    'host.x-rack': 7,
    'phases.test.x-owner': 'lab',
  });
  expect(job.phases[0]?.timeout).toBe(300);
});

describe('tracked paths', () => {
  test('a path below another one is left out, and presets may overlap', async () => {
    const job = await loadOne('track: [/etc/apt/sources.list, dnf, yum, apt, /etc/apt-old]\n');
    const paths = job.track.map(({ path }) => path);
    expect(paths).toContain('/etc/apt');
    expect(paths).toContain('/etc/apt-old');
    expect(paths).not.toContain('/etc/apt/sources.list');
    expect(paths).toEqual([...new Set(paths)].sort());
    expect(job.presets).toEqual(['dnf', 'yum', 'apt']);
  });

  test('what is removed is removed once', async () => {
    const job = await loadOne(
      'track: [/etc/apt]\nremove: [/etc/apt/b/c, /etc/apt/b, /etc/apt/b, /etc/apt/a]\n',
    );
    expect(job.remove).toEqual(['/etc/apt/a', '/etc/apt/b']);
  });
});

describe('what runs on the host after a rollback', () => {
  const froms = (commands: { from: string }[]) => commands.map(({ from }) => from);

  test('is what the presets say', async () => {
    const job = await loadOne('track: [apt, pip]\n');
    expect(froms(job.refresh)).toEqual(['apt', 'pip']);
    expect(froms(job.probe)).toEqual(['apt', 'pip']);
  });

  test('is nothing below another root, whose mirrors the host does not use', async () => {
    const job = await loadOne('track: [apt]\nroot: /srv/chroot\n');
    expect([...job.refresh, ...job.probe]).toEqual([]);
  });

  test('is what the job says where it says something', async () => {
    const job = await loadOne('track: [apt]\nroot: /srv/chroot\nrefresh: ""\nprobe: curl -f x\n');
    expect(job.refresh).toEqual([]);
    expect(job.probe).toEqual([{ from: 'job', script: 'curl -f x' }]);
  });
});

test('local paths of a job file are relative to the file', async () => {
  const cwd = folder({ 'ci/job.yml': 'track: [apt]\nfiles: ../files\n', 'files/': '' });
  const [job] = await loadJobs({ file: 'ci/job.yml', context: context({ cwd }) });
  expect(job).toMatchObject({ directory: `${cwd}/ci`, files: `${cwd}/files`, file: 'ci/job.yml' });
});

test('a scratch root needs no sudo, and until it is made no host can be hurt', async () => {
  const job = await loadOne('track: [apt]\nscratch: ./host\n', { files: { 'host/': '' } });
  expect(job).toMatchObject({ root: '/nonexistent', host: { type: 'local', sudo: false } });
  expect(job.scratch).toMatch(/\/host$/);
  expect(job.refresh).toEqual([]);
});

describe('an SSH host', () => {
  test('may be an address, and what that leaves out stays open for ssh_config', async () => {
    const job = await loadOne('track: [apt]\nhost: ssh://root@lab-07:2222\n');
    expect(job.host).toEqual({
      type: 'ssh',
      name: 'lab-07',
      port: 2222,
      user: 'root',
    });
  });

  test.each([
    ['ssh://[2001:db8::1]:2222', { name: '2001:db8::1', port: 2222 }],
    ['ssh://lab', { type: 'ssh', name: 'lab' }],
    ['ssh://a%40b@lab/', { name: 'lab', user: 'a@b' }],
  ])('%s has its parts told apart', async (address, parts) => {
    const job = await loadOne(`track: [apt]\nhost: "${address}"\n`);
    expect(job.host).toMatchObject(parts);
  });

  test('may have an address of one link, by name', async () => {
    const job = await loadOne('track: [apt]\nhost: { name: "fe80::1%eth0" }\n');
    expect(job.host).toMatchObject({ name: 'fe80::1%eth0' });
  });

  test('may have its key in a variable, and its host keys in the job', async () => {
    const line = 'lab ssh-ed25519 AAAA';
    const job = await loadOne(
      `track: [apt]\nhost: { name: lab, key-env: LAB_KEY, known-hosts: ${line} x }\n`,
      { context: { env: { LAB_KEY: 'secret' } } },
    );
    expect(job.host).toMatchObject({ keyText: 'secret', knownHosts: `${line} x` });
  });

  test.each([
    ['none', 'none'],
    ['/etc/lab', '/etc/lab'],
    ['~/lab', '/home/ci/lab'],
  ])('may have an ssh_config of its own: %s', async (given, sshConfig) => {
    const yaml = `track: [apt]\nhost: { name: lab, ssh-config: ${given} }\n`;
    const [job] = await load(yaml, { credentials: false });
    expect(job?.host).toEqual({ type: 'ssh', name: 'lab', sshConfig });
  });

  test('needs no key on a machine that only validates the job', async () => {
    const yaml = 'track: [apt]\nhost: { name: lab, key-env: LAB_KEY, known-hosts: ./k }\n';
    await expect(load(yaml, { credentials: false })).resolves.toHaveLength(1);
  });
});

describe('a host of a backend', () => {
  test('is named by its file, and what it is told is its own business', async () => {
    const job = await loadOne(
      'track: [apt]\nhost: { type: backend, use: ./b.mjs, with: { x-a: 1, b: [c] }, user: ci }\n',
      { files: { 'b.mjs': '' } },
    );
    expect(job.host).toMatchObject({ with: { 'x-a': 1, b: ['c'] }, user: 'ci' });
    expect(job.host).toHaveProperty('use', expect.stringMatching(/^\/.*\/b\.mjs$/));
    const short = await loadOne('track: [apt]\nhost: backend:./b.mjs\n', {
      files: { 'b.mjs': '' },
      sets: ['host.with.size=2'],
    });
    expect(short.host).toMatchObject({ type: 'backend', with: { size: 2 } });
  });
});

describe('--set', () => {
  test('wins over the file, in every document of it', async () => {
    const jobs = await load('track: [apt]\nlease: 5m\n---\ntrack: [pip]\n', { sets: ['lease=9'] });
    expect(jobs.map(({ lease }) => lease)).toEqual([9, 9]);
  });

  test('reaches into short forms, lists and what is not there yet', async () => {
    const job = await loadOne('track: [apt, pip]\nphases: { test: make }\ncheck: "true"\n', {
      sets: [
        'phases.test.timeout=5m',
        'phases.setup.run=prepare',
        'check.timeout=1m',
        'track.1=npm',
        'env.VERSION=1.10',
        'degraded=true',
        'refresh=',
      ],
    });
    expect(job.phases).toMatchObject([
      { name: 'setup', run: 'prepare' },
      { name: 'test', run: 'make', timeout: 300 },
    ]);
    expect(job).toMatchObject({
      check: { run: 'true', timeout: 60 },
      presets: ['apt', 'npm'],
      env: { VERSION: '1.10' },
      degraded: true,
      refresh: [],
    });
  });

  test('sets one field of a host that is an address', async () => {
    const job = await loadOne('track: [apt]\nhost: ssh://root@lab-07\n', {
      sets: ['host.name=lab-08', 'host.agent=/run/agent'],
    });
    expect(job.host).toMatchObject({ name: 'lab-08', user: 'root' });
  });

  test('makes a key named __proto__ a key like any other', async () => {
    await expect(loadOne('track: [apt]\n', { sets: ['__proto__.lease=5'] })).rejects.toMatchObject({
      name: 'job-unknown-key',
    });
  });
});
