import { existsSync, writeFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { attempt, must, type Output } from './command.ts';
import { type Holder, hold, type Launched } from './holder.ts';
import { type LabImage, labImage } from './image.ts';

export type User = 'root' | 'ci';

export interface MachineOptions {
  /** sudoers line about `ci`; without it everything is allowed without a password. */
  readonly sudo?: string;
  /** Shell script run as root in the machine's root directory before its first boot. */
  readonly prepare?: string;
  /** Fills the machine's root directory, seen from here, before its first boot. */
  readonly furnish?: (root: string) => void;
}

/** A Debian with systemd as PID 1, logind that kills what a login leaves, sshd and sudo. */
export interface Machine extends AsyncDisposable {
  readonly address: string;
  readonly port: 22;
  /** Private key file of `root` and `ci`. */
  readonly sshKey: string;
  /** known_hosts file that names the machine's key. */
  readonly knownHosts: string;
  /** Starts the machine and waits until its sshd answers. */
  boot(): Promise<void>;
  /** Everything in it is gone at once, as when the plug is pulled; its disk stays. */
  powerOff(): Promise<void>;
  /** Resolves when it has gone off by itself: also for a restart, after which `boot` starts it. */
  wentOff(): Promise<void>;
  /** Runs a shell script in it as root; its output, when it succeeds. */
  exec(script: string): Promise<string>;
  /** Logs in with ssh(1) and runs a shell script; never rejects for its status. */
  ssh(user: User, script: string): Promise<Output>;
  /** Words that log in with ssh(1), for a test that wants the process itself. */
  sshArgv(user: User, ...command: string[]): string[];
  /** Pulls the network cable (nothing is told to either side), or puts it back. */
  link(state: 'down' | 'up'): Promise<void>;
  /** The random id of this boot. */
  bootId(): Promise<string>;
  /** Leaves nothing of the machine. */
  destroy(): Promise<void>;
}

/** What the kinds of machine differ in. */
export interface Kind {
  /** Starts it, without waiting until it is up. */
  start(holder: Holder): Promise<Launched>;
  /** How a script runs inside as root: argv that reads the script from standard input. */
  shell(machine: Machine, holder: Holder): Promise<string[]>;
}

/** Longest time a boot may take; user-mode Linux on a busy machine is the slow one. */
const bootLimit = 300_000;

/** Makes a machine of a kind, prepares its disk and boots it. */
export async function makeMachine(kind: Kind, options: MachineOptions): Promise<[Machine, Holder]> {
  const image = await labImage();
  const holder = await hold(image.disk);
  const machine = describe(kind, image, holder);
  try {
    await prepare(holder, options);
    await writeFile(machine.knownHosts, `${holder.address} ${image.hostKey}\n`);
    await machine.boot();
  } catch (error) {
    await machine.destroy();
    throw error;
  }
  return [machine, holder];
}

async function prepare(holder: Holder, options: MachineOptions): Promise<void> {
  const root = join(holder.folder, 'root');
  const sudo = options.sudo ?? 'ci ALL=(ALL) NOPASSWD: ALL';
  const script = `
    umask 277
    printf '%s\\n' "$SUDO" > /etc/sudoers.d/lab
    umask 22
    ${options.prepare ?? ''}`;
  await must(holder.enter('chroot', root, 'sh', '-eu'), { input: script, env: { SUDO: sudo } });
  options.furnish?.(holder.root);
  // What it has from before its first boot no power cut can take.
  await must(holder.enter('sync', '--file-system', root));
}

function describe(kind: Kind, image: LabImage, holder: Holder): Machine {
  let ended: Promise<unknown> = Promise.resolve();
  const machine: Machine = {
    address: holder.address,
    port: 22,
    sshKey: image.key,
    knownHosts: join(holder.folder, 'known_hosts'),
    boot: async () => {
      ({ ended } = await kind.start(holder));
      await answers(machine, ended, join(holder.folder, 'console'));
    },
    powerOff: async () => {
      // At once: a test pulls the plug at a moment that is over when a command has been started.
      const plug = join('/proc', String(holder.pid), 'root', holder.group, 'cgroup.kill');
      if (existsSync(plug)) writeFileSync(plug, '1');
      await must(holder.enter('sh', '-euc', killGroup, 'sh', holder.group));
      await ended;
    },
    wentOff: async () => {
      await ended;
      await machine.powerOff();
    },
    exec: async (script) => must(await kind.shell(machine, holder), { input: script }),
    ssh: (user, script) => attempt(machine.sshArgv(user, 'sh', '-s'), { input: script }),
    sshArgv: (user, ...command) => [
      'ssh',
      '-F/dev/null',
      `-i${image.key}`,
      `-oUserKnownHostsFile=${machine.knownHosts}`,
      '-oGlobalKnownHostsFile=/dev/null',
      '-oBatchMode=yes',
      '-oIdentitiesOnly=yes',
      '-oLogLevel=ERROR',
      `${user}@${holder.address}`,
      ...command,
    ],
    link: async (state) => {
      // At the machine's end: ours would lose its route, and what we send would go elsewhere.
      await must(holder.enter('ip', 'link', 'set', 'host0', state));
    },
    bootId: async () => (await machine.exec('cat /proc/sys/kernel/random/boot_id')).trim(),
    destroy: () => holder.end(),
    [Symbol.asyncDispose]: () => holder.end(),
  };
  return machine;
}

/** Kills all processes of a control group and removes its tree, so that a boot finds none. */
const killGroup = `
  test -d "$1" || exit 0
  echo 1 > "$1/cgroup.kill"
  until grep -q '^populated 0' "$1/cgroup.events"; do sleep 0.01; done
  find "$1" -depth -type d -exec rmdir {} +`;

/** Resolves when sshd greets; rejects when the machine ends first or the limit has passed. */
async function answers(machine: Machine, ended: Promise<unknown>, console: string): Promise<void> {
  const limit = Date.now() + bootLimit;
  let up = true;
  ended.then(() => {
    up = false;
  });
  while (!(await greets(machine.address, machine.port))) {
    if (!up || Date.now() > limit) {
      const why = up ? `no sshd after ${bootLimit} ms` : 'it ended';
      throw new Error(`The machine did not boot: ${why}\n${await readFile(console, 'utf8')}`);
    }
    await delay(20);
  }
}

function greets(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, timeout: 1000 });
    // Whoever listens greets, if late: on a busy machine not within a second.
    socket.once('connect', () => socket.setTimeout(60_000));
    const end = (heard: boolean) => {
      socket.destroy();
      resolve(heard);
    };
    socket.once('data', (greeting) => end(String(greeting).startsWith('SSH-')));
    for (const event of ['error', 'close', 'timeout'] as const)
      socket.once(event, () => end(false));
  });
}
