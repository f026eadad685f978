import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { capture } from '../../src/host/capture.ts';
import { openHost } from '../../src/host/open.ts';
import type { SshTarget } from '../../src/host/ssh-target.ts';
import { makeKey, type Sshd, startSshd } from './sshd.ts';

const execute = promisify(execFile);

let sshd: Sshd;
/** What the lines of the tables below stand for. */
let words: Record<string, string>;

beforeAll(async () => {
  sshd = await startSshd({ hostKeys: ['ed25519', 'ecdsa', 'rsa'] });
  words = {
    HOST: `[127.0.0.1]:${sshd.port}`,
    PORT: `${sshd.port}`,
    ED25519: sshd.hostKey('ed25519'),
    ECDSA: sshd.hostKey('ecdsa'),
    RSA: sshd.hostKey('rsa'),
    OTHER_ED25519: await makeKey(join(sshd.folder, 'other_ed25519'), 'ed25519'),
    OTHER_RSA: await makeKey(join(sshd.folder, 'other_rsa'), 'rsa'),
  };
});
afterAll(() => sshd.stop());

const fill = (text: string) =>
  text.replace(/[A-Z][A-Z0-9_]{2,}/g, (word) => words[word] ?? word).replaceAll('HASHED', '');

async function login(changes: Partial<SshTarget>): Promise<string> {
  const target: SshTarget = { ...sshd.config({ knownHosts: '' }), ...changes };
  await using host = await openHost(target);
  return (await capture(host.run({ argv: ['echo', 'in'] }))).stdout;
}

/** The exit status of OpenSSH's own client with the same known_hosts. */
async function openSsh(file: string): Promise<boolean> {
  const options = {
    BatchMode: 'yes',
    StrictHostKeyChecking: 'yes',
    UserKnownHostsFile: file,
    GlobalKnownHostsFile: '/dev/null',
    UpdateHostKeys: 'no',
  };
  const words = Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
  try {
    await execute('ssh', [
      ...['-F', 'none', ...words, '-i', sshd.keyPath, '-p', `${sshd.port}`],
      ...[`${sshd.user}@127.0.0.1`, 'true'],
    ]);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 255) return false;
    throw error;
  }
}

describe('a host key is accepted, as OpenSSH accepts it, when known_hosts has', () => {
  test.each([
    ['the host with its port', 'HOST ED25519'],
    ['a key of another type, which is asked for then', 'HOST RSA'],
    ['another one of several types', 'HOST ECDSA'],
    ['several keys, one of which is right', 'HOST OTHER_ED25519\nHOST ED25519'],
    ['a right key of one type and a wrong one of another', 'HOST OTHER_RSA\nHOST ED25519'],
    ['the name without the port', '127.0.0.1 ED25519'],
    ['a list of names', 'lab-1,lab-2,HOST,10.0.0.1 ED25519'],
    ['a pattern', '[127.0.0.*]:* ED25519'],
    ['a pattern with a question mark', '[127.?.0.1]:PORT ED25519'],
    ['a negated pattern for another host', '!lab-1,[127.*]:PORT ED25519'],
    ['blanks, tabs, comments and a comment after the key', '# lab\n\n \t HOST\tED25519 root@lab'],
    ['lines that make no sense beside the right one', 'what is this\n@what HOST x\nHOST ED25519'],
    ['another key that is revoked', '@revoked HOST OTHER_ED25519\nHOST ED25519'],
    ['a certificate authority beside the key itself', '@cert-authority * OTHER_RSA\nHOST ED25519'],
    ['Windows line ends', 'HOST ED25519\r'],
  ])('%s', async (_, lines) => {
    const file = join(sshd.folder, 'known_hosts_table');
    await writeFile(file, `${fill(lines)}\n`);
    expect(await openSsh(file)).toBe(true);
    expect(await login({ knownHostsFiles: [file] })).toBe('in\n');
    expect(await login({ knownHosts: fill(lines) })).toBe('in\n');
  });

  test('a hashed name', async () => {
    const file = join(sshd.folder, 'known_hosts_hashed');
    await writeFile(file, fill('lab-1 OTHER_ED25519\nHOST ED25519\n'));
    await execute('ssh-keygen', ['-q', '-H', '-f', file]);
    expect(await openSsh(file)).toBe(true);
    expect(await login({ knownHostsFiles: [file] })).toBe('in\n');
  });

  test('the name that stands for it (HostKeyAlias)', async () => {
    const knownHosts = fill('device-7 ED25519');
    expect(await login({ knownHosts, hostKeyAlias: 'device-7' })).toBe('in\n');
  });
});

describe('a host key is refused, as OpenSSH refuses it, when known_hosts has', () => {
  test.each([
    ['nothing', '', 'host-key-unknown'],
    ['only other hosts', 'lab-1,10.0.0.1 ED25519', 'host-key-unknown'],
    ['the host with another port', '[127.0.0.1]:1 ED25519', 'host-key-unknown'],
    ['the host negated', '[127.0.0.*]:*,!HOST ED25519', 'host-key-unknown'],
    ['another key', 'HOST OTHER_ED25519', 'host-key-changed'],
    [
      'another key with the port, the right one without',
      'HOST OTHER_RSA\n127.0.0.1 ED25519',
      'host-key-changed',
    ],
    ['another key without the port', '127.0.0.1 OTHER_ED25519', 'host-key-unknown'],
    ['the key as revoked', 'HOST ED25519\n@revoked HOST ED25519', 'host-key-revoked'],
    ['the key as revoked for all', 'HOST ED25519\n@revoked * ED25519', 'host-key-revoked'],
    ['only a certificate authority', '@cert-authority HOST ED25519', 'host-key-unknown'],
    ['the key under a wrong type', 'HOST ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAA', 'host-key-unknown'],
  ])('%s', async (_, lines, name) => {
    const file = join(sshd.folder, 'known_hosts_table');
    await writeFile(file, `${fill(lines)}\n`);
    expect(await openSsh(file)).toBe(false);
    await expect(login({ knownHostsFiles: [file] })).rejects.toMatchObject({ name });
  });
});

describe('a refusal says what to do', () => {
  test('an unknown key: what was shown, where was looked, how to get the line', async () => {
    const file = join(sshd.folder, 'known_hosts_other');
    await writeFile(file, fill('lab-1 ED25519\nthis is not understood\n'));
    const absent = join(sshd.folder, 'known_hosts_absent');
    const { stdout } = await execute('ssh-keygen', ['-lf', join(sshd.folder, 'host_ed25519.pub')]);
    await expect(login({ knownHostsFiles: [file, absent] })).rejects.toMatchObject({
      name: 'host-key-unknown',
      details: {
        shown: `ssh-ed25519 ${stdout.split(' ')[1]}`,
        lookedIn: [
          'the known-hosts lines given',
          `${file} (not understood: line 2)`,
          `${absent} (absent)`,
        ],
      },
      hint: expect.stringContaining(`ssh-keyscan -p ${sshd.port} 127.0.0.1`),
    });
  });

  test('a changed key: the line that has another one', async () => {
    const file = join(sshd.folder, 'known_hosts_changed');
    await writeFile(file, fill('# comment\nHOST OTHER_RSA\nHOST OTHER_ED25519\n'));
    await expect(login({ knownHostsFiles: [file] })).rejects.toMatchObject({
      name: 'host-key-changed',
      message: expect.stringContaining(`${file}:3`),
      details: { offending: [`${file}:3`] },
    });
  });

  test('a certificate authority: that it is not supported', async () => {
    const knownHosts = fill('@cert-authority HOST OTHER_RSA');
    await expect(login({ knownHosts })).rejects.toMatchObject({
      name: 'host-key-unknown',
      message: expect.stringMatching(/certificate authority.*not supported/),
    });
  });

  test('a known_hosts that cannot be read', async () => {
    await expect(login({ knownHostsFiles: [sshd.folder] })).rejects.toMatchObject({
      name: 'known-hosts-missing',
    });
  });

  test('only accept-any, by its name, checks nothing', async () => {
    expect(await login({ hostKeyCheck: 'accept-any' })).toBe('in\n');
  });
});
