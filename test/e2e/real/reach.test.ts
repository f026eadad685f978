import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { catalogue, type ErrorName, exitCodes } from '../../../src/errors.ts';
import { differences, snapshot } from '../../guard/manifest.ts';
import { makeKey, type Sshd, startSshd } from '../../host/sshd.ts';
import { type Mirror, serve } from './mirror.ts';
import { untilQuiet } from './processes.ts';
import { hostFields, isRoot, type JobFields, ScratchHost } from './scratch-host.ts';

let sshd: Sshd;
let lab: Sshd | undefined;
let website: Mirror;
let folder: string;

beforeAll(async () => {
  sshd = await startSshd();
  await untilQuiet(sshd);
  if (isRoot) lab = await startSshd({ user: 'lab' });
  folder = sshd.folder;
  website = await serve(folder);
  const otherKey = await makeKey(join(folder, 'other'), 'ed25519');
  await makeKey(join(folder, 'locked'), 'ed25519', 'a passphrase');
  writeFileSync(join(folder, 'empty_known_hosts'), '');
  writeFileSync(
    join(folder, 'changed_known_hosts'),
    `# ours\n[127.0.0.1]:${sshd.port} ${otherKey}\n`,
  );
  writeFileSync(join(folder, 'no_key'), 'not a key\n', { mode: 0o600 });
  await makeKey(join(folder, 'open'), 'ed25519');
  chmodSync(join(folder, 'open'), 0o644);
});

afterAll(async () => {
  await website[Symbol.asyncDispose]();
  await sshd.stop();
  await lab?.stop();
});

interface Refusal {
  what: string;
  name: ErrorName;
  /** What the `host:` of the job has instead. */
  host?: () => JobFields;
  options?: string[];
  /** All of these are in what the person reads. */
  says: (string | RegExp)[];
}

const inFolder = (name: string) => join(folder, name);

const refusals: Refusal[] = [
  {
    what: 'a host key that nobody knows',
    name: 'host-key-unknown',
    host: () => ({ 'known-hosts': inFolder('empty_known_hosts') }),
    says: ['empty_known_hosts', /ssh-keyscan -p \d+ 127\.0\.0\.1/, /shown: ssh-ed25519 SHA256:/],
  },
  {
    what: 'a host key that is another than the known one',
    name: 'host-key-changed',
    host: () => ({ 'known-hosts': inFolder('changed_known_hosts') }),
    says: [/changed_known_hosts:2/, /shown: ssh-ed25519 SHA256:/, /known: .*SHA256:/],
  },
  {
    what: 'a key that the host does not take',
    name: 'host-auth-failed',
    host: () => ({ key: inFolder('other') }),
    says: [/127\.0\.0\.1:\d+ refused every key/, /tried: .*other \(/, 'authorized_keys'],
  },
  {
    what: 'a port where nothing listens',
    name: 'host-unreachable',
    host: () => ({ port: 1 }),
    says: ['127.0.0.1:1', 'ECONNREFUSED'],
  },
  {
    what: 'a port where something else than SSH listens',
    name: 'host-unreachable',
    host: () => ({ port: website.port }),
    says: [/127\.0\.0\.1:\d+ cannot be reached/],
  },
  {
    what: 'two hosts: one in the job file, another by option',
    name: 'host-conflict',
    options: ['--host', 'ssh://root@lab-07'],
    says: [/job-\d+\.yml:\d+/, 'field host', '127.0.0.1', 'lab-07', 'allowed'],
  },
  {
    what: 'two hosts: this machine, with fields of another',
    name: 'host-conflict',
    host: () => ({ type: 'local' }),
    says: [/job-\d+\.yml:\d+/, 'field host.name', 'allowed', 'type, sudo'],
  },
  {
    what: 'a key file that is not there',
    name: 'key-unreadable',
    host: () => ({ key: './nowhere' }),
    says: [/job-\d+\.yml:\d+/, 'field host.key', '/nowhere', 'a readable file'],
  },
  {
    what: 'a key file that holds none',
    name: 'key-bad',
    host: () => ({ key: inFolder('no_key') }),
    says: [/no_key .*begin as a private key/],
  },
  {
    what: 'a key file that others may read',
    name: 'key-unreadable',
    host: () => ({ key: inFolder('open') }),
    says: [/open may be read by others/, '0644', 'chmod 600'],
  },
  {
    what: 'an encrypted key without its passphrase',
    name: 'key-bad',
    host: () => ({ key: inFolder('locked') }),
    says: ['locked', 'SAVEPOINT_KEY_PASSPHRASE'],
  },
  {
    what: 'a variable for the key that is not set',
    name: 'key-missing',
    host: () => ({ key: undefined, 'key-env': 'LAB_KEY' }),
    says: [/job-\d+\.yml:\d+/, 'field host.key-env', 'LAB_KEY', 'key, key-env or agent'],
  },
  {
    what: 'a known_hosts file that is not there',
    name: 'known-hosts-missing',
    host: () => ({ 'known-hosts': './nowhere' }),
    says: [/job-\d+\.yml:\d+/, 'field host.known-hosts', '/nowhere', 'a readable file, or lines'],
  },
  {
    what: 'a way to check host keys that does not exist',
    name: 'job-bad-value',
    host: () => ({ 'host-key-check': 'no' }),
    says: [/job-\d+\.yml:\d+/, 'field host.host-key-check', 'strict', 'accept-any'],
  },
];

function host(): ScratchHost {
  return new ScratchHost({ 'etc/lab.conf': { text: 'old\n' } }, ['/etc/lab.conf'], [], sshd);
}

const newFile = (scratch: ScratchHost) =>
  scratch.overlay('files', { 'etc/lab.conf': { text: 'new\n' } });

describe('what cannot be reached is refused by name, and nothing is touched:', () => {
  test.each(refusals.map((it) => [it.what, it.name, it] as const))(
    '%s (%s)',
    async (_what, name, it) => {
      const { host: changes, options = [], says } = it;
      using scratch = host();
      const before = snapshot(scratch.root);
      const logged = sshd.logs().length;
      const fields = hostFields(sshd, changes?.());
      const job = { host: fields, files: newFile(scratch), phases: { test: 'echo it ran' } };
      const ended = await scratch.run(job, ...options);

      const { class: kind, code } = catalogue[name];
      expect(ended.json.error).toMatchObject({ name, class: kind, code });
      expect(ended.code).toBe(exitCodes[kind]);
      for (const text of says) expect(ended.stderr).toMatch(text);
      expect(differences(before, snapshot(scratch.root))).toEqual([]);
      const server = sshd.logs().slice(logged);
      if (kind === 'usage') expect(server).toBe('');
      else expect(server).not.toContain('Starting session');
    },
  );

  test.runIf(isRoot)('a login that may not become root (no-sudo)', async () => {
    if (!lab) throw new Error('There is no sshd for the lab user.');
    using scratch = host();
    const before = snapshot(scratch.root);
    const fields = hostFields(lab, { sudo: undefined });
    const job = { host: fields, files: newFile(scratch), phases: { test: 'echo it ran' } };
    const ended = await scratch.run(job);

    expect(ended.json.error).toMatchObject({ name: 'no-sudo', class: 'host' });
    expect(ended.code).toBe(3);
    for (const text of ['127.0.0.1', /password/, 'sudo: false', 'root']) {
      expect(ended.stderr).toMatch(text);
    }
    expect(differences(before, snapshot(scratch.root))).toEqual([]);
  });
});

test('the checks are what refuses: the same job commits with the key and host key it needs', async () => {
  using scratch = host();
  const job = { files: newFile(scratch), phases: { test: 'echo it ran' } };
  expect(await scratch.run(job)).toMatchObject({ code: 0, json: { outcome: 'committed' } });
});

test('a person may opt out of host key checks, by name', async () => {
  using scratch = host();
  const unknown = { 'known-hosts': inFolder('empty_known_hosts'), 'host-key-check': 'accept-any' };
  const job = { host: hostFields(sshd, unknown), files: newFile(scratch) };
  expect(await scratch.run(job)).toMatchObject({ code: 0, json: { outcome: 'committed' } });
});
