/**
 * The list that docs/ssh.md promises and the issue asks for, line for line: each row is one item
 * of it, tried with the product's own way from a job's host to a connection, on a real sshd.
 */
import { execFile, spawn } from 'node:child_process';
import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { capture } from '../../src/host/capture.ts';
import { locate } from '../../src/host/locate.ts';
import { openHost } from '../../src/host/open.ts';
import type { Trust } from '../../src/host/trust.ts';
import type { SshHostConfig } from '../../src/job/host-config.ts';
import { configFolder } from './config-folder.ts';
import { startRelay } from './relay.ts';
import { type KeyType, makeKey, type Sshd, startSshd } from './sshd.ts';

const execute = promisify(execFile);
const folder = configFolder();
const passphrase = 'correct horse battery staple';
const isRoot = process.getuid?.() === 0;
const names = ['gate', 'hall', 'stairs', 'device'] as const;
type Name = (typeof names)[number];

let servers: Record<Name, Sshd>;
/** Socket of an agent that has one key, which `device` accepts and which is in no file. */
let agent: string;
let stopAgent: () => void;

beforeAll(async () => {
  const [gate, hall, stairs, device] = await Promise.all([
    startSshd(),
    startSshd({ hostKeys: ['ecdsa'], clientKey: 'ecdsa' }),
    startSshd({ hostKeys: ['rsa'], clientKey: 'rsa' }),
    // SHA-1 signatures are what "rsa with SHA-2" is not.
    startSshd({
      hostKeys: ['ed25519', 'ecdsa', 'rsa'],
      config: ['PubkeyAcceptedAlgorithms -ssh-rsa', 'HostKeyAlgorithms -ssh-rsa'],
    }),
  ]);
  servers = { gate, hall, stairs, device };
  agent = join(folder.path, 'agent');
  const child = spawn('ssh-agent', ['-D', '-a', agent], { stdio: ['ignore', 'pipe', 'inherit'] });
  stopAgent = () => child.kill();
  await new Promise((resolve) => child.stdout.once('data', resolve));
  const inAgent = await acceptedKey('ed25519');
  await execute('ssh-add', ['-q', inAgent], { env: { ...process.env, SSH_AUTH_SOCK: agent } });
  await execute('rm', [inAgent, `${inAgent}.pub`]);
});
afterAll(async () => {
  stopAgent();
  for (const sshd of Object.values(servers)) await sshd.stop();
});

let made = 0;
async function acceptedKey(type: KeyType, secret = ''): Promise<string> {
  const path = join(folder.path, `key-${++made}`);
  const line = await makeKey(path, type, secret);
  await appendFile(servers.device.authorizedKeysFile, `${line}\n`);
  return path;
}

/** What the words in capitals of the tables stand for. */
function fill(text: string): string {
  const { device } = servers;
  const words: Record<string, string> = {
    PORT: `${device.port}`,
    USER: device.user,
    KEY: device.keyPath,
    KNOWN: device.knownHostsFile,
    ADDRESS: `[127.0.0.1]:${device.port}`,
    ED25519: device.hostKey('ed25519'),
    ECDSA: device.hostKey('ecdsa'),
    RSA: device.hostKey('rsa'),
    OTHERRSA: servers.stairs.hostKey('rsa'),
    STRANGER: servers.gate.hostKey('ed25519'),
    AGENT: agent,
    FOLDER: folder.path,
    GATE: `${servers.gate.user}@127.0.0.1:${servers.gate.port}`,
  };
  return text.replace(/\b[A-Z][A-Z0-9]{2,}\b/g, (word) => words[word] ?? word);
}

/** Everything that reaches the device but one thing, which the row says. */
const base = (...without: string[]) =>
  [
    'HostName 127.0.0.1',
    'Port PORT',
    'User USER',
    'IdentityFile KEY',
    'UserKnownHostsFile KNOWN',
    'GlobalKnownHostsFile none',
    'IdentityAgent none',
  ]
    .filter((line) => !without.some((keyword) => line.startsWith(`${keyword} `)))
    .map((line) => `  ${line}\n`)
    .join('');

interface Asked extends Trust {
  host?: Partial<SshHostConfig>;
  secret?: string;
}

/** Opens `device` by a configuration and gives the port that the login came in at. */
async function reach(config: string, { host, secret, ...trust }: Asked = {}): Promise<number> {
  const sshConfig = await folder.write(fill(config));
  const target = await locate({ type: 'ssh', name: 'device', sshConfig, ...host }, trust);
  await using opened = await openHost(target, secret === undefined ? {} : { passphrase: secret });
  const { stdout } = await capture(
    opened.run({ argv: ['sh', '-c', 'echo "${SSH_CONNECTION##* }"'] }),
  );
  return Number(stdout);
}
const reaches = async (config: string, asked?: Asked) =>
  expect(await reach(config, asked)).toBe(servers.device.port);

describe('configuration that people have', () => {
  test.each<[string, string]>([
    ['Host patterns', `Host dev?ce !gate\n${base()}`],
    ['Host patterns, one of several', `Host lab-* *vice\n${base()}Host *\n  Port 1\n`],
    ['Match host', `Match host dev*\n${base()}Match all\n  Port 1\n`],
    ['HostName', `Host *\n${base('HostName')}Host device\n  HostName 127.0.0.1\n`],
    ['Port', `Host device\n${base()}Host *\n  Port 1\n`],
    ['IdentityFile', `Host device\n${base('IdentityFile')}  IdentityFile KEY\n`],
    ['IdentityFile, several', `Host device\n  IdentityFile FOLDER/absent\n${base()}`],
    [
      'IdentitiesOnly',
      `Host device\n${base('IdentityAgent')}  IdentityAgent AGENT\n  IdentitiesOnly yes\n`,
    ],
    [
      'HostKeyAlias',
      `Host device\n${base('UserKnownHostsFile')}  HostKeyAlias rack-7\n  UserKnownHostsFile FOLDER/alias\n`,
    ],
    [
      'UserKnownHostsFile, several',
      `Host device\n${base('UserKnownHostsFile')}  UserKnownHostsFile FOLDER/absent KNOWN\n`,
    ],
    [
      'ServerAliveInterval',
      `Host device\n${base()}  ServerAliveInterval 1\n  ServerAliveCountMax 2\n`,
    ],
    ['ciphers', `Host device\n${base()}  Ciphers aes256-ctr\n`],
  ])('%s', async (_, config) => {
    await writeFile(join(folder.path, 'alias'), fill('rack-7 ED25519\n'));
    await reaches(config);
  });

  // The user of the tests is who logs in by default, so it takes another one.
  test.runIf(isRoot)('User', async () => {
    await using other = await startSshd({ user: 'lab' });
    const { user, port, keyPath, knownHostsFile } = other;
    const without = base('User', 'Port', 'IdentityFile', 'UserKnownHostsFile');
    const way = `  Port ${port}\n  IdentityFile ${keyPath}\n  UserKnownHostsFile ${knownHostsFile}\n${without}`;
    const reached = reach(`Host dev*\n  User ${user}\nMatch user ${user}\n${way}`);
    expect(await reached).toBe(port);
    await expect.poll(other.logs).toContain(`Accepted publickey for ${user} `);
  });

  test('Include', async () => {
    await mkdir(join(folder.path, 'conf.d'), { recursive: true });
    await writeFile(join(folder.path, 'conf.d/lab.conf'), fill(`Host device\n${base()}`));
    await reaches('Include conf.d/*.conf\n');
  });

  test('IdentitiesOnly offers nothing else, though the agent has what is accepted', async () => {
    await makeKey(join(folder.path, 'stranger'), 'ed25519');
    const config = `Host device\n${base('IdentityFile', 'IdentityAgent')}  IdentityAgent AGENT\n  IdentityFile FOLDER/stranger\n`;
    await reaches(config);
    await expect(reach(`${config}  IdentitiesOnly yes\n`)).rejects.toMatchObject({
      name: 'host-auth-failed',
      details: { tried: [expect.stringContaining('stranger')] },
    });
  });

  test('ConnectTimeout', async () => {
    await using silent = await silentServer();
    const config = `Host device\n${base('Port')}  Port ${silent.port}\n  ConnectTimeout 1\n`;
    await expect(reach(config)).rejects.toMatchObject({
      name: 'host-unreachable',
      message: expect.stringContaining('within 1 s'),
    });
  });

  test('ServerAliveInterval is how soon a dead link is noticed', async () => {
    await using relay = await startRelay({ to: servers.device.port });
    const config = `Host device\n${base('Port')}  Port ${relay.port}\n  HostKeyAlias ADDRESS\n  ServerAliveInterval 1\n  ServerAliveCountMax 1\n`;
    const sshConfig = await folder.write(fill(config));
    await using host = await openHost(await locate({ type: 'ssh', name: 'device', sshConfig }));
    const running = host.run({ argv: ['sleep', '600'] });
    await delay(100);
    relay.stall();
    await expect(running.exit).rejects.toMatchObject({
      name: 'host-lost',
      message: expect.stringContaining('nothing was heard for 2 s'),
    });
  });

  test('ciphers the server does not have are no way in', async () => {
    await using old = await startSshd({ config: ['Ciphers aes128-ctr'] });
    const config = `Host device\n${base('Port', 'UserKnownHostsFile')}  Port ${old.port}\n  UserKnownHostsFile ${old.knownHostsFile}\n`;
    await expect(reach(`${config}  Ciphers aes256-gcm@openssh.com\n`)).rejects.toMatchObject({
      name: 'host-unreachable',
    });
  });

  const way = (name: Name, more = '') => {
    const { port, user, keyPath, knownHostsFile } = servers[name];
    return `Host ${name}\n  HostName 127.0.0.1\n  Port ${port}\n  User ${user}\n  IdentityFile ${keyPath}\n  UserKnownHostsFile ${knownHostsFile}\n${more}`;
  };

  test('ProxyJump, a chain of three', async () => {
    const chain = `${way('gate')}${way('hall')}${way('stairs')}${way('device', '  ProxyJump gate,hall,stairs\n')}`;
    await reaches(chain);
    for (const name of ['gate', 'hall', 'stairs'] as const) {
      expect(servers[name].logs()).toContain('Accepted publickey');
    }
  });

  test('ProxyJump of a jump, three deep', async () => {
    await reaches(
      way('gate') +
        way('hall', '  ProxyJump gate\n') +
        way('stairs', '  ProxyJump hall\n') +
        way('device', '  ProxyJump stairs\n'),
    );
  });

  test('what a job or option says wins over the file', async () => {
    const host = { port: servers.device.port, user: servers.device.user };
    await reaches(`Host device\n${base('Port', 'User')}  Port 1\n  User nobody\n`, { host });
  });
});

describe('keys', () => {
  const types = ['ed25519', 'ecdsa', 'rsa'] as const;
  const config = `Host device\n${base('IdentityFile')}`;
  const rsaSha2 = () => servers.device.logs().includes('RSA SHA256:');

  test.each(types)("OpenSSH's format, %s", async (type) => {
    await reaches(`${config}  IdentityFile ${await acceptedKey(type)}\n`);
    if (type === 'rsa') expect(rsaSha2()).toBe(true);
  });

  test.each(types)("OpenSSH's format, %s, encrypted with a passphrase", async (type) => {
    const key = await acceptedKey(type, passphrase);
    await reaches(`${config}  IdentityFile ${key}\n`, { secret: passphrase });
    await expect(reach(config, { host: { key } })).rejects.toMatchObject({ name: 'key-bad' });
  });

  test.each(['ecdsa', 'rsa'] as const)('PEM, %s, encrypted and not', async (type) => {
    const key = await acceptedKey(type);
    const convert = (secret: string) =>
      execute('ssh-keygen', ['-q', '-p', '-m', 'PEM', '-P', '', '-N', secret, '-f', key]);
    await convert('');
    await reaches(`${config}  IdentityFile ${key}\n`);
    await convert(passphrase);
    expect(await readFile(key, 'utf8')).toContain('ENCRYPTED');
    await reaches(`${config}  IdentityFile ${key}\n`, { secret: passphrase });
  });

  test('an agent', async () => {
    const anyAgent = `Host device\n${base('IdentityFile', 'IdentityAgent')}  IdentityFile none\n`;
    await reaches(`${anyAgent}  IdentityAgent AGENT\n`);
    await reaches(anyAgent, { host: { agent } });
  });
});

describe('known_hosts', () => {
  const known = async (lines: string) => {
    await writeFile(join(folder.path, 'known'), fill(`${lines}\n`));
    return `Host device\n${base('UserKnownHostsFile')}  UserKnownHostsFile FOLDER/known\n`;
  };

  test.each<[string, string]>([
    ['plain', '127.0.0.1 ED25519'],
    ['[host]:port', 'ADDRESS ED25519'],
    ['patterns', '[127.0.?.*]:PORT ED25519'],
    ['several key types, any of which will do', 'ADDRESS RSA\nADDRESS ECDSA'],
    ['several key types, one of which is wrong', 'ADDRESS OTHERRSA\nADDRESS ECDSA'],
    ['@revoked, another key', '@revoked ADDRESS STRANGER\nADDRESS ED25519'],
    ['@cert-authority beside the key itself', '@cert-authority * STRANGER\nADDRESS ED25519'],
  ])('%s', async (_, lines) => reaches(await known(lines)));

  test('hashed', async () => {
    const config = await known('ADDRESS ED25519');
    const file = join(folder.path, 'known');
    await execute('ssh-keygen', ['-q', '-H', '-f', file]);
    expect(await readFile(file, 'utf8')).toMatch(/^\|1\|/);
    await reaches(config);
  });

  test('@revoked is refused, and the line named', async () => {
    await expect(reach(await known('ADDRESS ED25519\n@revoked * ED25519'))).rejects.toMatchObject({
      name: 'host-key-revoked',
      message: expect.stringContaining('known:2'),
    });
  });

  test('@cert-authority alone is refused clearly, and the line named', async () => {
    await expect(reach(await known('@cert-authority ADDRESS STRANGER'))).rejects.toMatchObject({
      name: 'host-key-unknown',
      message: expect.stringMatching(/certificate authority \(.*known:1\).*not supported/),
    });
  });
});

describe('programs on this machine', () => {
  const proxy = `bash -c 'exec 3<>/dev/tcp/%h/%p; cat <&3 & exec cat >&3'`;

  test.each([
    ['ProxyCommand', `Host device\n${base()}  ProxyCommand ${proxy}\n`],
    [
      'LocalCommand',
      `Host device\n${base()}  PermitLocalCommand yes\n  LocalCommand touch FOLDER/local\n`,
    ],
    ['Match exec', `Match host device exec "touch FOLDER/exec"\n${base()}`],
    [
      'KnownHostsCommand',
      `Host device\n${base('UserKnownHostsFile')}  UserKnownHostsFile none\n  KnownHostsCommand /bin/cat KNOWN\n`,
    ],
  ] as const)('%s is refused, unless it is allowed by its name', async (program, config) => {
    await expect(reach(config)).rejects.toMatchObject({
      name: 'ssh-config-program',
      place: { file: expect.any(String), line: expect.any(Number) },
      hint: expect.stringContaining(`--allow-program '${program}'`),
    });
    const others = (
      ['ProxyCommand', 'LocalCommand', 'Match exec', 'KnownHostsCommand'] as const
    ).filter((name) => name !== program);
    await expect(reach(config, { programs: others })).rejects.toMatchObject({
      name: 'ssh-config-program',
    });
    await reaches(config, { programs: [program] });
  });
});

describe('an error says what was tried:', () => {
  test('addresses', async () => {
    const gone = await startSshd();
    await gone.stop();
    await expect(
      reach(`Host device\n${base('HostName', 'Port')}  HostName localhost\n  Port ${gone.port}\n`),
    ).rejects.toMatchObject({
      name: 'host-unreachable',
      details: {
        tried: expect.arrayContaining([
          `127.0.0.1 port ${gone.port}: nothing listens there (ECONNREFUSED)`,
        ]),
      },
    });
  });

  test('methods and keys, at once: a refusal is not tried again', async () => {
    await makeKey(join(folder.path, 'unknown'), 'ed25519');
    const connections = () => servers.device.logs().split('Connection from').length;
    const before = connections();
    const config = `Host device\n${base('IdentityFile')}  IdentityFile FOLDER/unknown\n  IdentityFile FOLDER/absent\n`;
    await expect(reach(config)).rejects.toMatchObject({
      name: 'host-auth-failed',
      details: {
        method: 'publickey',
        accepts: ['publickey'],
        tried: [expect.stringMatching(/unknown \(ssh-ed25519 SHA256:/)],
        passedOver: [expect.stringContaining('absent')],
      },
    });
    // The next login is the next connection that the server has to tell of.
    await reaches(`Host device\n${base()}`);
    await expect.poll(connections).toBe(before + 2);
  });

  test('the line of known_hosts', async () => {
    await writeFile(join(folder.path, 'wrong'), fill('# a comment\nADDRESS STRANGER\n'));
    const config = `Host device\n${base('UserKnownHostsFile')}  UserKnownHostsFile FOLDER/wrong\n`;
    await expect(reach(config)).rejects.toMatchObject({
      name: 'host-key-changed',
      details: { offending: [expect.stringMatching(/wrong:2$/)] },
    });
  });
});

/** Accepts connections and says nothing. */
async function silentServer(): Promise<AsyncDisposable & { port: number }> {
  const server = createServer((socket) => socket.on('error', () => undefined));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('No port was given.');
  return {
    port: address.port,
    [Symbol.asyncDispose]: async () => void server.close(),
  };
}
