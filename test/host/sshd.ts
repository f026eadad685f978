import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { SshTarget } from '../../src/host/ssh-target.ts';

const execute = promisify(execFile);

export type KeyType = 'ed25519' | 'ecdsa' | 'rsa';

export interface SshdOptions {
  /**
   * Who logs in. `self` is the user the tests run as. `lab` is a user without any right that
   * exists only inside this sshd (a private mount namespace with its own passwd; needs root).
   */
  user?: 'self' | 'lab';
  /** Keys the server has; ed25519 alone unless told. */
  hostKeys?: readonly KeyType[];
  /** Kind of the client's key. */
  clientKey?: KeyType;
  /** Put before the client's key in authorized_keys, such as `command="/bin/date"`. */
  keyOptions?: string;
  /** Lines of sshd_config. They come first, and in sshd_config the first value wins. */
  config?: readonly string[];
  /** Environment of every session (SetEnv). */
  env?: Readonly<Record<string, string>>;
  /** All of the sudoers file that `lab` finds; that of the machine unless told. */
  sudoers?: string;
  /** Files that only this sshd and its children see in the place of others; needs root. */
  instead?: Readonly<Record<string, string>>;
}

/** A real sshd on a free loopback port, all of its files in one temporary folder. */
export interface Sshd extends AsyncDisposable {
  /** Of the process that listens. */
  readonly pid: number;
  readonly port: number;
  readonly user: string;
  /** Home of the user in these sessions. */
  readonly home: string;
  readonly folder: string;
  readonly keyPath: string;
  readonly publicKey: string;
  /** One line per host key, for `[127.0.0.1]:port`. */
  readonly knownHostsLine: string;
  readonly knownHostsFile: string;
  readonly authorizedKeysFile: string;
  /** Public part of a host key: type and base64. */
  hostKey(type: KeyType): string;
  /** A configuration that reaches it, with changes. */
  config(changes?: Partial<SshTarget>): SshTarget;
  /** What sshd logged so far (LogLevel VERBOSE). */
  logs(): string;
  /** Kills the processes that serve connections, as when the host dies under them. */
  dropSessions(): Promise<number>;
  stop(): Promise<void>;
}

/** Starts sshd and waits until it answers. */
export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  const folder = await mkdtemp(join(tmpdir(), 'savepoint-sshd-'));
  const lab = options.user === 'lab';
  const user = lab ? 'lab' : userInfo().username;
  // A home of its own for either: what the real one's shell files do is none of our business.
  const home = join(folder, 'home');
  await mkdir(home);
  const hostKeyTypes = options.hostKeys ?? ['ed25519'];
  const keyPath = join(folder, 'id');
  await makeKey(keyPath, options.clientKey ?? 'ed25519');
  const hostKeys = new Map<KeyType, string>();
  for (const type of hostKeyTypes) {
    hostKeys.set(type, await makeKey(join(folder, `host_${type}`), type));
  }
  const publicKey = (await readFile(`${keyPath}.pub`, 'utf8')).trim();
  const authorizedKeysFile = join(folder, 'authorized_keys');
  await writeFile(authorizedKeysFile, `${options.keyOptions ?? ''} ${publicKey}\n`.trimStart());
  // The login user must get through to its home and to authorized_keys.
  await chmod(folder, 0o755);

  const port = await freePort();
  const sshdConfig = [
    ...(options.config ?? []),
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    ...hostKeyTypes.map((type) => `HostKey ${join(folder, `host_${type}`)}`),
    `AuthorizedKeysFile ${authorizedKeysFile}`,
    'PidFile none',
    'StrictModes no',
    'UsePAM no',
    'PermitRootLogin yes',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'LogLevel VERBOSE',
    // Many connections at once are normal here and no attack.
    'MaxStartups 200',
    `SetEnv ${Object.entries({ HOME: home, ...options.env })
      .map(setEnv)
      .join(' ')}`,
  ];
  const configFile = join(folder, 'sshd_config');
  await writeFile(configFile, `${sshdConfig.join('\n')}\n`);
  const instead = {
    ...options.instead,
    ...(lab && (await labFiles(folder, home, options.sudoers))),
  };
  const child = spawnInstead(instead, configFile);
  let log = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    log += text;
  });
  // Not 'close': what a session left behind may hold the log open.
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await untilAnswers(port, child, () => log);

  const knownHostsLine = [...hostKeys.values()]
    .map((key) => `[127.0.0.1]:${port} ${key}`)
    .join('\n');
  const knownHostsFile = join(folder, 'known_hosts');
  await writeFile(knownHostsFile, `${knownHostsLine}\n`);

  const stop = async () => {
    if (child.pid !== undefined) await killAll(await serving(child.pid));
    child.kill('SIGTERM');
    await ended;
    child.stderr?.destroy();
    await rm(folder, { recursive: true, force: true });
  };
  return {
    pid: child.pid ?? 0,
    port,
    user,
    home,
    folder,
    keyPath,
    publicKey,
    knownHostsLine,
    knownHostsFile,
    authorizedKeysFile,
    hostKey(type) {
      const key = hostKeys.get(type);
      if (!key) throw new Error(`This sshd has no ${type} key.`);
      return key;
    },
    config: (changes = {}) => ({
      type: 'ssh',
      name: '127.0.0.1',
      port,
      user,
      key: keyPath,
      knownHosts: knownHostsLine,
      knownHostsFiles: [],
      hostKeyCheck: 'strict',
      sudo: false,
      connectTimeout: 10,
      ...changes,
    }),
    logs: () => log,
    dropSessions: async () => killAll(child.pid === undefined ? [] : await serving(child.pid)),
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Makes a key pair without a passphrase; returns type and base64 of the public part. */
export async function makeKey(path: string, type: KeyType, passphrase = ''): Promise<string> {
  const size = type === 'rsa' ? ['-b', '2048'] : [];
  await execute('ssh-keygen', ['-q', '-t', type, ...size, '-N', passphrase, '-C', '', '-f', path]);
  return (await readFile(`${path}.pub`, 'utf8')).trim();
}

const setEnv = ([name, value]: [string, string]) => `"${name}=${value}"`;

function spawnSshd(command: string, args: string[]): ChildProcess {
  // sshd refuses to start without this directory, which its service file makes.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
  // It must not outlive a test run that was killed.
  return spawn('setpriv', ['--pdeathsig', 'TERM', command, ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
}

/** The user `lab`, and its sudoers: the files that make them. */
async function labFiles(
  folder: string,
  home: string,
  sudoers = '',
): Promise<Record<string, string>> {
  const uid = 47_111;
  const passwd = join(folder, 'passwd');
  const system = await readFile('/etc/passwd', 'utf8');
  // `*` is no password at all; with `x` su and sudo would look for one in /etc/shadow.
  await writeFile(passwd, `${system}lab:*:${uid}:${uid}::${home}:/bin/sh\n`, { mode: 0o644 });
  await chown(home, uid, uid);
  if (!sudoers) return { '/etc/passwd': passwd };
  const rules = join(folder, 'sudoers');
  await writeFile(rules, sudoers, { mode: 0o440 });
  return { '/etc/passwd': passwd, '/etc/sudoers': rules };
}

/** Starts sshd where it and its children see other files in the place of some. */
function spawnInstead(instead: Readonly<Record<string, string>>, configFile: string): ChildProcess {
  const pairs = Object.entries(instead).map(([path, file]) => [file, path]);
  if (pairs.length === 0) return spawnSshd('/usr/sbin/sshd', ['-D', '-e', '-f', configFile]);
  const script = `config=$1 && shift && mount --make-rprivate / || exit
while [ $# -gt 0 ]; do mount --bind "$1" "$2" && shift 2 || exit; done
exec /usr/sbin/sshd -D -e -f "$config"`;
  const words = ['--mount', 'sh', '-c', script, 'sh', configFile, ...pairs.flat()];
  return spawnSshd('unshare', words);
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('No port was given.');
  return address.port;
}

async function untilAnswers(port: number, child: ChildProcess, log: () => string): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    if (child.exitCode !== null) throw new Error(`sshd ended with ${child.exitCode}: ${log()}`);
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
        .once('data', () => socket.destroy(resolve(true) as undefined))
        .once('error', () => resolve(false))
        .once('close', () => resolve(false));
    });
    if (open) return;
    await delay(25);
  }
  throw new Error(`sshd does not answer: ${log()}`);
}

/** Every sshd process below the listener: those that serve connections, not their commands. */
async function serving(listener: number): Promise<number[]> {
  const found: number[] = [];
  const waiting = [listener];
  for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
    const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
    for (const child of children.split(' ').filter(Boolean).map(Number)) {
      const name = await readFile(`/proc/${child}/comm`, 'utf8').catch(() => '');
      if (!name.startsWith('sshd')) continue;
      found.push(child);
      waiting.push(child);
    }
  }
  return found;
}

function killAll(pids: number[]): number {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      // It ended by itself in the meantime.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  return pids.length;
}
