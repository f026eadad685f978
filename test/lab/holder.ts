import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, open } from 'node:fs/promises';
import { networkInterfaces, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { needs } from './command.ts';

const script = join(dirname(fileURLToPath(import.meta.url)), 'holder.sh');

/** One machine's folder, namespaces, link and control group, whether it is up or not. */
export interface Holder {
  /** Folder of the machine on this side: `disk`, its image, and `root`, where it is mounted. */
  readonly folder: string;
  /** A process in the machine's mount and network namespaces. */
  readonly pid: number;
  /** `root` of the folder, seen from here: the machine's root directory while it is mounted. */
  readonly root: string;
  /** The machine's address. */
  readonly address: string;
  /** Control group of all the machine's processes, as a path inside the namespaces. */
  readonly group: string;
  /** Words that run a command in the machine's mount and network namespaces. */
  enter(...argv: string[]): string[];
  /** Starts a process of the machine's own, in its group, writing to `console`. */
  launch(argv: readonly string[], env?: Readonly<Record<string, string>>): Promise<Launched>;
  /** Kills the machine and leaves nothing of it; may be called twice. */
  end(): Promise<void>;
}

export interface Launched {
  /** Resolves when the process has ended. */
  readonly ended: Promise<unknown>;
}

/**
 * Makes a machine's surroundings from a copy of a disk image. They end with `end()` or with this
 * process, whichever comes first, even if it is killed.
 */
export async function hold(disk: string): Promise<Holder> {
  await needs('ip', 'unshare', 'nsenter');
  const folder = await mkdtemp(join(tmpdir(), 'savepoint-lab-'));
  const { link, outside, inside } = freePair();
  const child = spawn(script, [folder, disk, link, `${outside}/31`, `${inside}/31`], {
    stdio: ['pipe', 'pipe', 'pipe'],
    // A signal to the test's process group must not reach the one that takes the machine away.
    detached: true,
  });
  const errors = text(child.stderr);
  const closed = once(child, 'close');
  const pid = await new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.stdout.on('data', (line) => resolve(Number(/^ready (\d+)/.exec(String(line))?.[1])));
    closed.then(async () => reject(new Error(`The machine has no surroundings: ${await errors}`)));
  });
  const group = `/sys/fs/cgroup/savepoint-lab-${link}`;
  const enter = (...argv: string[]) => [
    'nsenter',
    `--target=${pid}`,
    ...['--mount', '--net', '--'],
    ...argv,
  ];
  return {
    folder,
    pid,
    root: join('/proc', String(pid), 'root', folder, 'root'),
    address: inside,
    group,
    enter,
    launch: async (argv, env) => {
      const console = await open(join(folder, 'console'), 'a');
      const [program = '', ...words] = enter('sh', '-euc', inGroup, 'sh', group, ...argv);
      const machine = spawn(program, words, {
        stdio: ['ignore', console.fd, console.fd],
        env: { ...process.env, ...env },
      });
      await console.close();
      return { ended: once(machine, 'close') };
    },
    end: async () => {
      child.stdin.end();
      await closed;
    },
  };
}

/** A leaf of its own: what nspawn adds beside it is the machine's too. */
const inGroup = 'mkdir -p "$1/boot"; echo 0 > "$1/boot/cgroup.procs"; shift; exec "$@"';

/**
 * Two addresses for the ends of a link, out of the network set aside for tests between
 * networks (RFC 2544: 198.18.0.0/15), and a name for our end, at most 15 characters.
 */
function freePair(): { link: string; outside: string; inside: string } {
  for (;;) {
    const pair = randomInt(0x10000);
    const link = `svl${pair.toString(16).padStart(4, '0')}`;
    if (networkInterfaces()[link] !== undefined) continue;
    const [high, low] = [pair >> 7, (pair & 0x7f) * 2];
    const address = (end: number) => `198.${18 + (high >> 8)}.${high & 0xff}.${low + end}`;
    return { link, outside: address(0), inside: address(1) };
  }
}
