import { describe, expect, test } from 'vitest';
import { requestFromFlags, requestFromInputs } from '../../src/job/flags.ts';
import { loadJobs } from '../../src/job/load.ts';
import { context, folder, refusal } from './job-fixture.ts';

const agent = { SSH_AUTH_SOCK: '/run/agent' };

async function fromFlags(...[flags, what, where]: Parameters<typeof requestFromFlags>) {
  const [job] = await loadJobs(requestFromFlags(flags, what, where ?? context({ env: agent })));
  if (!job) throw new Error('expected a job');
  return job;
}

async function fromInputs(...[inputs, where]: Parameters<typeof requestFromInputs>) {
  const [job] = await loadJobs(requestFromInputs(inputs, where ?? context({ env: agent })));
  if (!job) throw new Error('expected a job');
  return job;
}

describe('a job made of options', () => {
  test('tracks, lays and runs what they say', async () => {
    const cwd = folder({ 'patch/': '' });
    const job = await fromFlags(
      { track: ['apt,pip', '/etc/foo'], files: 'patch', onSuccess: 'rollback', env: ['A=b=c'] },
      { command: ['/usr/bin/make', 'check', "it's", 'A=1', ''] },
      context({ cwd }),
    );
    expect(job).toMatchObject({
      name: 'make',
      directory: cwd,
      files: `${cwd}/patch`,
      presets: ['apt', 'pip'],
      onSuccess: 'rollback',
      env: { A: 'b=c' },
      phases: [{ name: 'test', run: `/usr/bin/make check 'it'\\''s' 'A=1' ''` }],
    });
    expect(job.track.map(({ path }) => path)).toContain('/etc/foo');
    expect(job).not.toHaveProperty('file');
  });

  test('names the option that is to blame', async () => {
    const error = await refusal(fromFlags({ track: ['apt'], lease: 'soon' }));
    expect(error).toMatchObject({
      name: 'job-bad-value',
      place: { field: 'lease' },
      details: { 'set by': '--lease' },
    });
    expect(error.place).not.toHaveProperty('file');
  });

  test('passes over options of the command itself', async () => {
    await expect(fromFlags({ track: 'apt', json: true, output: 'x' })).resolves.toBeDefined();
  });

  test('switches are on when they are there', async () => {
    expect(await fromFlags({ track: 'apt', degraded: true })).toMatchObject({ degraded: true });
  });

  test('a variable without a value is refused', async () => {
    const error = await refusal((async () => fromFlags({ track: 'apt', env: ['TOKEN'] }))());
    expect(error).toMatchObject({ name: 'bad-usage', place: { field: '--env' } });
  });
});

describe('the host', () => {
  test.each([
    ['local', { type: 'local' }],
    ['lab-07', { type: 'ssh', name: 'lab-07' }],
    ['backend:/bin/sh', { type: 'backend', use: '/bin/sh' }],
    ['root@lab-07', { name: 'lab-07', user: 'root' }],
    ['ssh://root@lab-07:2222', { name: 'lab-07', user: 'root', port: 2222 }],
  ])('may be %s', async (host, parts) => {
    expect((await fromFlags({ track: 'apt', host })).host).toMatchObject(parts);
  });

  test('of an option fills in what the job file leaves open', async () => {
    const cwd = folder({ 'job.yml': 'track: [apt]\nhost: { user: root, agent: /run/a }\n' });
    const where = context({ cwd });
    const job = await fromFlags({ host: 'lab-07', port: '23' }, { job: 'job.yml' }, where);
    expect(job.host).toMatchObject({ name: 'lab-07', user: 'root', port: 23, agent: '/run/a' });
  });

  test.each([
    ['another name', 'host: ssh://lab-07', { host: 'lab-08' }, 'host.name'],
    ['this machine', 'host: ssh://lab-07', { host: 'local' }, 'host.type'],
    ['another machine', 'host: local', { host: 'lab-08' }, 'host.type'],
    ['another port', 'host: { name: lab-07, port: 22 }', { port: '23' }, 'host.port'],
    ['another user', 'host: ssh://root@lab-07', { host: 'ci@lab-07' }, 'host.user'],
  ])('is refused when the job file says %s', async (_, line, flags, field) => {
    const cwd = folder({ 'job.yml': `track: [apt]\n${line}\n` });
    const error = await refusal(fromFlags(flags, { job: 'job.yml' }, context({ cwd, env: agent })));
    expect(error).toMatchObject({
      name: 'host-conflict',
      place: { file: 'job.yml', line: 2, field },
    });
  });

  test('is refused when two options contradict each other', async () => {
    const error = await refusal(fromFlags({ track: 'apt', host: 'ssh://lab:22', port: '23' }));
    expect(error).toMatchObject({ name: 'host-conflict', details: { 'set by': '--port' } });
  });

  test('may be named twice when it is the same', async () => {
    const cwd = folder({ 'job.yml': 'track: [apt]\nhost: ssh://lab-07:22\n' });
    const where = context({ cwd, env: agent });
    const job = await fromFlags({ host: 'lab-07', port: '22' }, { job: 'job.yml' }, where);
    expect(job.host).toMatchObject({ name: 'lab-07' });
  });

  test('of the job file can be replaced on purpose', async () => {
    const cwd = folder({ 'job.yml': 'track: [apt]\nhost: ssh://lab-07\n' });
    const job = await fromFlags({ set: ['host=local'] }, { job: 'job.yml' }, context({ cwd }));
    expect(job.host.type).toBe('local');
  });
});

describe('a job made of inputs', () => {
  const key = '-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----';

  test('takes lists by line or comma, and ignores what is empty', async () => {
    const job = await fromInputs({
      track: 'apt, pip\n/etc/foo\n',
      host: '',
      'on-success': '',
      env: 'A=1\nB=2\n',
      set: 'lease=9\nphases.test.timeout=5m',
      run: 'make check\nmake install\n',
      degraded: 'false',
      sudo: 'true',
    });
    expect(job).toMatchObject({
      presets: ['apt', 'pip'],
      host: { type: 'local', sudo: true },
      env: { A: '1', B: '2' },
      lease: 9,
      phases: [{ name: 'test', run: 'make check\nmake install\n', timeout: 300 }],
    });
  });

  test('has the key as text, with the line end that secrets lose', async () => {
    const job = await fromInputs({ track: 'apt', host: 'lab', 'ssh-key': key });
    expect(job.host).toMatchObject({ keyText: `${key}\n` });
    expect(job.host).not.toHaveProperty('agent');
  });

  test('refuses a key that is none, without showing it', async () => {
    const error = await refusal(
      (async () => fromInputs({ track: 'apt', host: 'lab', 'ssh-key': 'hunter2' }))(),
    );
    expect(error).toMatchObject({ name: 'key-bad', place: { field: 'ssh-key' } });
    expect(JSON.stringify(error)).not.toContain('hunter2');
  });

  test.each([
    [{ track: 'apt', degraded: 'yes' }, 'job-wrong-type', 'input degraded'],
    [{ track: 'apt', 'on-success': 'keep' }, 'job-bad-value', 'input on-success'],
    [{ track: 'apt', host: 'lab', port: 'ssh' }, 'job-wrong-type', 'input port'],
  ])('%o is refused, naming the input', async (inputs, name, setBy) => {
    const error = await refusal(fromInputs(inputs));
    expect(error).toMatchObject({ name, details: { 'set by': setBy } });
  });
});
