import { execFile } from 'node:child_process';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { usualConfigFiles } from '../../src/host/ssh-config/files.ts';
import { resolveTarget } from '../../src/host/ssh-config/resolve.ts';
import { configFolder, local } from './config-folder.ts';

const execute = promisify(execFile);
const folder = configFolder();

describe('a configuration that OpenSSH refuses is refused, with file and line', () => {
  test.each([
    ['a quote that is not closed', 'Host a\n User "ci\n', 2],
    ['a keyword without a value', 'Port 22\nUser\n', 2],
    ['a port that is none', 'Port many\n', 1],
    ['a time that is none', 'ConnectTimeout soon\n', 1],
    ['a token without a meaning', '\n\nUserKnownHostsFile /x/%Z\n', 3],
    ['a variable that is not set', 'UserKnownHostsFile /x/${SAVEPOINT_NOT_SET}\n', 1],
    ['Match without a value', 'Match host\n', 1],
    ['Match with an unknown criterion', 'Match colour red\n', 1],
    ['Match all with others', 'Match all host a\n', 1],
    ['a ProxyJump that is none', 'ProxyJump a:b:c\n', 1],
    ['ciphers of which none is known', 'Ciphers rot13\n', 1],
  ])('%s', async (_, text, line) => {
    const path = await folder.write(text);
    await expect(execute('ssh', ['-G', '-F', path, 'a'])).rejects.toMatchObject({ code: 255 });
    await expect(folder.read(path, 'a')).rejects.toMatchObject({
      name: 'ssh-config-bad',
      place: { file: path, line },
    });
  });

  test('what would depend on the network', async () => {
    const path = await folder.write('CanonicalizeHostname yes\n');
    await expect(folder.read(path, 'a')).rejects.toMatchObject({ name: 'ssh-config-bad' });
  });

  test('a file that must be there and is not', async () => {
    await expect(folder.read(join(folder.path, 'absent'), 'a')).rejects.toMatchObject({
      name: 'ssh-config-bad',
    });
  });

  test('a jump that leads through itself', async () => {
    const path = await folder.write('Host *\n ProxyJump bastion\n');
    await expect(folder.read(path, 'a')).rejects.toMatchObject({
      name: 'ssh-config-bad',
      message: expect.stringContaining('more than 10 hosts'),
    });
  });

  test('one that includes itself', async () => {
    const path = join(folder.path, 'circle');
    await writeFile(path, `Include ${path}\n`);
    await expect(folder.read(path, 'a')).rejects.toMatchObject({ name: 'ssh-config-bad' });
  });
});

describe('algorithms', () => {
  test.each([
    ['Ciphers aes256-ctr,aes128-ctr', ['aes256-ctr', 'aes128-ctr']],
    ['Ciphers rot13,aes256-ctr', ['aes256-ctr']],
    ['Ciphers -*gcm*,chacha*', ['aes128-ctr', 'aes192-ctr', 'aes256-ctr']],
  ])('%s', async (text, ciphers) => {
    expect((await folder.read(await folder.write(`${text}\n`), 'a')).ciphers).toEqual(ciphers);
  });

  test('are added behind or put in front', async () => {
    const added = await folder.read(
      await folder.write('Ciphers +aes256-cbc\nHostKeyAlgorithms ^ssh-rsa\n'),
      'a',
    );
    expect(added.ciphers?.at(-1)).toBe('aes256-cbc');
    expect(added.ciphers?.[0]).toBe('aes128-gcm@openssh.com');
    expect(added.hostKeyAlgorithms?.[0]).toBe('ssh-rsa');
  });
});

describe('programs on this machine', () => {
  const refused = async (text: string, message: RegExp) => {
    const path = await folder.write(text);
    await expect(folder.read(path, 'a')).rejects.toMatchObject({
      name: 'ssh-config-program',
      message: expect.stringMatching(message),
      place: { file: path },
    });
  };

  test.each([
    ['ProxyCommand', 'Host a\n ProxyCommand nc %h %p\n'],
    ['LocalCommand', 'PermitLocalCommand yes\nLocalCommand touch FOLDER/ran\n'],
    ['KnownHostsCommand', 'KnownHostsCommand /bin/cat /etc/hosts\n'],
    ['Match exec', 'Match host a exec "touch FOLDER/ran"\n Port 1\n'],
  ])('%s is refused by its name', async (program, text) => {
    await refused(text, new RegExp(`${program} would run a program`));
    const { stdout } = await execute('ls', [folder.path]);
    expect(stdout).not.toContain('ran');
  });

  test('what does not apply to the host is nobody’s business', async () => {
    const text = [
      'Host b\n ProxyCommand nc %h %p',
      'Match host b exec "touch FOLDER/ran"\n Port 1',
      'Host a\n ProxyCommand none\n LocalCommand not permitted',
      'Host *\n ProxyCommand nc %h %p\n Port 5',
    ].join('\n');
    expect(await folder.read(await folder.write(text), 'a')).toMatchObject({ name: 'a', port: 5 });
  });

  test('each can be allowed by its name', async () => {
    const path = await folder.write(
      [
        'Match host a exec "test %h = a && test %n = a"\n Port 77',
        'Match exec false\n User wrong',
        'Host *\n ProxyCommand nc %h %p\n KnownHostsCommand cat /kh/%r',
      ].join('\n'),
    );
    const target = await resolveTarget(
      { name: 'a', sudo: false, user: 'ci' },
      {
        local,
        files: [{ path, includeFolder: folder.path }],
        allow: ['Match exec', 'ProxyCommand', 'KnownHostsCommand'],
      },
    );
    expect(target).toMatchObject({
      port: 77,
      user: 'ci',
      proxyCommand: 'nc a 77',
      knownHostsCommand: 'cat /kh/ci',
    });
  });
});

describe('what was asked for', () => {
  test('wins over the files', async () => {
    const path = await folder.write(
      'Host a\n User u\n Port 1\n IdentityFile /k\n UserKnownHostsFile /kh\n ConnectTimeout 3\n',
    );
    const target = await resolveTarget(
      {
        name: 'a',
        sudo: true,
        user: 'me',
        port: 2,
        key: '/mine',
        knownHosts: 'x',
        connectTimeout: 4,
      },
      { local, files: [{ path, includeFolder: folder.path }] },
    );
    expect(target).toEqual({
      type: 'ssh',
      name: 'a',
      user: 'me',
      port: 2,
      key: '/mine',
      knownHosts: 'x',
      knownHostsFiles: [],
      connectTimeout: 4,
      hostKeyCheck: 'strict',
      sudo: true,
    });
  });

  test('an earlier file wins over a later one', async () => {
    const first = await folder.write('Host a\n Port 1\n');
    const second = await folder.write('Host a\n Port 2\n User u\n');
    const target = await resolveTarget(
      { name: 'a', sudo: false },
      { local, files: [first, second].map((path) => ({ path, includeFolder: folder.path })) },
    );
    expect(target).toMatchObject({ port: 1, user: 'u' });
  });

  test('host key checking is not switched off by a file', async () => {
    const path = await folder.write('StrictHostKeyChecking no\n');
    expect(await folder.read(path, 'a')).toMatchObject({ hostKeyCheck: 'strict' });
  });
});

describe('the usual files', () => {
  test('those of the home are read, Include is relative to them, and others may not write', async () => {
    const home = join(folder.path, 'home');
    await mkdir(join(home, '.ssh'), { recursive: true });
    const own = join(home, '.ssh/config');
    await writeFile(own, 'Include more\nHost *\n User u\n', { mode: 0o600 });
    await writeFile(join(home, '.ssh/more'), 'Port 41\nIdentityFile ~/.ssh/%r_key\n', {
      mode: 0o600,
    });
    const options = { local: { ...local, home }, files: usualConfigFiles(home).slice(0, 1) };
    expect(await resolveTarget({ name: 'a', sudo: false }, options)).toMatchObject({
      port: 41,
      user: 'u',
      keyFiles: [join(home, '.ssh/u_key')],
      knownHostsFiles: [
        join(home, '.ssh/known_hosts'),
        join(home, '.ssh/known_hosts2'),
        '/etc/ssh/ssh_known_hosts',
        '/etc/ssh/ssh_known_hosts2',
      ],
    });
    await chmod(own, 0o622);
    await expect(resolveTarget({ name: 'a', sudo: false }, options)).rejects.toMatchObject({
      name: 'ssh-config-bad',
      hint: `chmod 600 ${own}`,
    });
  });

  test('none has to be there', async () => {
    const home = join(folder.path, 'empty-home');
    const target = await resolveTarget(
      { name: 'a', sudo: false },
      { local: { ...local, home, env: {} }, files: usualConfigFiles(home).slice(0, 1) },
    );
    expect(target).toMatchObject({ port: 22, user: local.name });
  });
});
