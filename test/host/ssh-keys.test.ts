import { execFile, spawn } from 'node:child_process';
import { appendFile, chmod, copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { capture } from '../../src/host/capture.ts';
import { openHost } from '../../src/host/open.ts';
import type { SshTarget } from '../../src/host/ssh-target.ts';
import { publicLine } from './public-line.ts';
import { makeKey, type Sshd, startSshd } from './sshd.ts';

const execute = promisify(execFile);
const passphrase = 'correct horse battery staple';

let sshd: Sshd;
beforeAll(async () => {
  sshd = await startSshd({ config: ['MaxAuthTries 3'] });
});
afterAll(() => sshd.stop());

let keys = 0;
/** A new key that may log in. */
async function acceptedKey(type: 'ed25519' | 'ecdsa' | 'rsa', secret = ''): Promise<string> {
  const path = join(sshd.folder, `client_${++keys}`);
  await appendFile(sshd.authorizedKeysFile, `${await makeKey(path, type, secret)}\n`);
  return path;
}

async function login(changes: Partial<SshTarget>, secret?: string): Promise<string> {
  const { key: _, ...base } = sshd.config();
  const target = { ...base, ...changes };
  await using host = await openHost(target, secret === undefined ? {} : { passphrase: secret });
  return (await capture(host.run({ argv: ['echo', 'in'] }))).stdout;
}

describe('a key logs in', () => {
  const types = ['ed25519', 'ecdsa', 'rsa'] as const;

  test.each(types)("of type %s in OpenSSH's format", async (type) => {
    expect(await login({ key: await acceptedKey(type) })).toBe('in\n');
  });

  test.each(types)("of type %s in OpenSSH's format, encrypted", async (type) => {
    expect(await login({ key: await acceptedKey(type, passphrase) }, passphrase)).toBe('in\n');
  });

  test.each([
    ['rsa', 'PEM'],
    ['ecdsa', 'PEM'],
    ['rsa', 'PKCS8'],
    ['ecdsa', 'PKCS8'],
  ] as const)('of type %s as %s, encrypted and not', async (type, format) => {
    const key = await acceptedKey(type);
    const convert = (secret: string) =>
      execute('ssh-keygen', ['-q', '-p', '-m', format, '-P', '', '-N', secret, '-f', key]);
    await convert('');
    expect(await readFile(key, 'utf8')).not.toContain('OPENSSH');
    expect(await login({ key })).toBe('in\n');
    await convert(passphrase);
    expect(await readFile(key, 'utf8')).toContain('ENCRYPTED');
    expect(await login({ key }, passphrase)).toBe('in\n');
  });

  test('of type ed25519 as PKCS#8, encrypted and not', async () => {
    const key = join(sshd.folder, 'ed25519.pem');
    await execute('openssl', ['genpkey', '-algorithm', 'ed25519', '-out', key]);
    await chmod(key, 0o600);
    await appendFile(sshd.authorizedKeysFile, `${publicLine(await readFile(key, 'utf8'))}\n`);
    expect(await login({ key })).toBe('in\n');
    const encrypted = `${key}.enc`;
    const encrypt = ['pkcs8', '-topk8', '-in', key, '-out', encrypted, '-passout'];
    await execute('openssl', [...encrypt, `pass:${passphrase}`]);
    await chmod(encrypted, 0o600);
    expect(await login({ key: encrypted }, passphrase)).toBe('in\n');
  });

  test('from the environment, as CI secrets arrive: Windows line ends, no last newline', async () => {
    const text = (await readFile(sshd.keyPath, 'utf8')).trim().replaceAll('\n', '\r\n');
    expect(await login({ keyText: text })).toBe('in\n');
  });

  test('from a list in which some are absent, encrypted or refused', async () => {
    const keyFiles = [
      join(sshd.folder, 'absent'),
      await acceptedKey('ed25519', passphrase),
      sshd.keyPath,
    ];
    expect(await login({ keyFiles })).toBe('in\n');
  });
});

describe('an agent', () => {
  let agent: string;
  let stopAgent: () => void;
  beforeAll(async () => {
    agent = join(sshd.folder, 'agent');
    const child = spawn('ssh-agent', ['-D', '-a', agent], { stdio: ['ignore', 'pipe', 'inherit'] });
    stopAgent = () => child.kill();
    await new Promise((resolve) => child.stdout.once('data', resolve));
  });
  afterAll(() => stopAgent());

  const inAgent = (...words: string[]) =>
    execute('ssh-add', words, { env: { ...process.env, SSH_AUTH_SOCK: agent } });
  const withKeys = async (...paths: string[]) => {
    await inAgent('-D');
    for (const path of paths) await inAgent('-q', path);
  };

  test.each(['ed25519', 'ecdsa', 'rsa'] as const)('signs with a key of type %s', async (type) => {
    await withKeys(await acceptedKey(type));
    expect(await login({ agent })).toBe('in\n');
  });

  test('has the key for a file that is encrypted, and only that one is offered', async () => {
    const key = await acceptedKey('ed25519');
    const others = [1, 2, 3, 4].map((number) => join(sshd.folder, `stranger_${number}`));
    for (const path of others) await makeKey(path, 'ed25519');
    await withKeys(...others, key);
    await execute('ssh-keygen', ['-q', '-p', '-P', '', '-N', passphrase, '-f', key]);
    expect(await login({ agent, key, identitiesOnly: true })).toBe('in\n');
    expect(await login({ agent, keyFiles: [`${key}.pub`], identitiesOnly: true })).toBe('in\n');
  });

  test('with too many keys: all that were tried are named', async () => {
    const strangers = [1, 2, 3, 4].map((number) => join(sshd.folder, `stranger_${number}`));
    await withKeys(...strangers);
    const error = await login({ agent }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      name: 'host-auth-failed',
      details: {
        tried: expect.arrayContaining([expect.stringMatching(/^agent .*ssh-ed25519 SHA256:/)]),
      },
    });
  });

  test('that does not answer is named when there is no other key', async () => {
    await expect(login({ agent: `${agent}-not` })).rejects.toMatchObject({
      name: 'key-missing',
      details: { passedOver: [expect.stringContaining(`${agent}-not`)] },
    });
    expect(await login({ agent: `${agent}-not`, key: sshd.keyPath })).toBe('in\n');
  });
});

describe('a login that is refused', () => {
  test('says at once which key was tried and what the host would take', async () => {
    const key = join(sshd.folder, 'unknown');
    await makeKey(key, 'ed25519');
    const { stdout } = await execute('ssh-keygen', ['-lf', key]);
    const error = await login({ key }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({
      name: 'host-auth-failed',
      details: {
        user: sshd.user,
        method: 'publickey',
        tried: [`${key} (ssh-ed25519 ${stdout.split(' ')[1]})`],
        accepts: ['publickey'],
      },
    });
  });

  test('says so when the host takes no keys at all', async () => {
    await using passwords = await startSshd({
      config: ['PubkeyAuthentication no', 'PasswordAuthentication yes'],
    });
    await expect(openHost(passwords.config())).rejects.toMatchObject({
      name: 'host-auth-failed',
      details: { accepts: ['password'] },
      hint: expect.stringContaining('keys only'),
    });
  });

  test('says so when the host wants more than the key', async () => {
    await using strict = await startSshd({
      config: ['AuthenticationMethods publickey,password', 'PasswordAuthentication yes'],
    });
    await expect(openHost(strict.config())).rejects.toMatchObject({
      name: 'host-auth-failed',
      message: expect.stringContaining('wants more'),
      details: { accepts: ['password'] },
    });
  });
});

describe('a key that cannot be used is refused before anything is connected to', () => {
  const refused = async (changes: Partial<SshTarget>, secret?: string) => {
    const error = await login({ name: 'no-such-host.invalid', ...changes }, secret).catch(
      (thrown: unknown) => thrown,
    );
    return error;
  };
  const file = async (name: string, content: string, mode = 0o600) => {
    const path = join(sshd.folder, name);
    await writeFile(path, content, { mode });
    await chmod(path, mode);
    return path;
  };

  test('none at all', async () => {
    expect(await refused({})).toMatchObject({ name: 'key-missing' });
  });
  test('a file that is not there', async () => {
    const key = join(sshd.folder, 'absent');
    expect(await refused({ key })).toMatchObject({ name: 'key-missing', details: { file: key } });
  });
  test('a file that others may read', async () => {
    const key = await file('open', await readFile(sshd.keyPath, 'utf8'), 0o644);
    expect(await refused({ key })).toMatchObject({
      name: 'key-unreadable',
      details: { mode: '0644' },
      hint: `chmod 600 ${key}`,
    });
  });
  test('a directory', async () => {
    await chmod(sshd.folder, 0o700);
    expect(await refused({ key: sshd.folder })).toMatchObject({ name: 'key-unreadable' });
    await chmod(sshd.folder, 0o755);
  });
  test('a public key', async () => {
    const key = join(sshd.folder, 'public');
    await copyFile(`${sshd.keyPath}.pub`, key);
    await chmod(key, 0o600);
    expect(await refused({ key })).toMatchObject({
      name: 'key-bad',
      message: expect.stringContaining('public key'),
    });
  });
  test('an encrypted one without a passphrase, or with a wrong one', async () => {
    for (const key of [await acceptedKey('ed25519', passphrase), await encryptedPem()]) {
      expect(await refused({ key })).toMatchObject({
        name: 'key-bad',
        message: expect.stringContaining('encrypted'),
        hint: expect.stringContaining('SAVEPOINT_KEY_PASSPHRASE'),
      });
      expect(await refused({ key }, 'wrong')).toMatchObject({
        name: 'key-bad',
        message: expect.stringContaining('cannot be decrypted'),
      });
    }
  });
  test.each([
    ['nothing', ''],
    ['no key', 'hello'],
    ['a key cut short', '-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n'],
    ['a PEM cut short', '-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n'],
  ])('%s', async (name, content) => {
    const key = await file(name.replaceAll(' ', '-'), content);
    const error = await refused({ key });
    expect(error).toMatchObject({ name: 'key-bad', message: expect.stringContaining(key) });
  });
  test('a key whose line breaks became \\n on the way', async () => {
    const text = (await readFile(sshd.keyPath, 'utf8')).replaceAll('\n', '\\n');
    const error = await refused({ keyText: text });
    expect(error).toMatchObject({ name: 'key-bad' });
    expect(JSON.stringify(error)).not.toContain(text.slice(60, 100));
  });

  async function encryptedPem(): Promise<string> {
    const key = await acceptedKey('rsa');
    await execute('ssh-keygen', [
      ...['-q', '-p', '-m', 'PEM', '-P', '', '-N', passphrase, '-f', key],
    ]);
    return key;
  }
});
