import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Manifest, snapshot } from './manifest.ts';
import { stateDirectory } from './world.ts';

/**
 * A mount namespace of its own, for root. What is mounted in it nobody else sees, and it is gone
 * with the process that keeps it, which ends with this one.
 */
export class Mounts implements Disposable {
  readonly #keeper: ChildProcess;

  private constructor(keeper: ChildProcess) {
    this.#keeper = keeper;
  }

  /** Runs `script` with `words` as $1 and on, in a new namespace. */
  static async made(script: string, ...words: string[]): Promise<Mounts> {
    const keeper = spawn('unshare', ['--mount', 'sh', '-c', 'echo kept; exec cat'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    await once(keeper.stdout, 'data');
    const mounts = new Mounts(keeper);
    mounts.run(script, ...words);
    return mounts;
  }

  /** The words before a command that runs in it. */
  get through(): readonly string[] {
    return ['nsenter', `--mount=/proc/${this.#keeper.pid}/ns/mnt`, '--'];
  }

  run(script: string, ...words: string[]): void {
    const [program = '', ...rest] = [...this.through, 'sh', '-euc', script, 'sh', ...words];
    execFileSync(program, rest, { stdio: ['ignore', 'ignore', 'inherit'] });
  }

  /** How a path that lies in it is reached from outside. */
  at(path: string): string {
    return `/proc/${this.#keeper.pid}/root${path}`;
  }

  /** All below a host's root but what the guard keeps for itself. */
  lookAt(root: string): Manifest {
    return snapshot(this.at(root), (path) => path !== stateDirectory);
  }

  [Symbol.dispose](): void {
    this.#keeper.kill('SIGKILL');
  }
}

/**
 * Makes $1 a root of its own for chroot: the tools are the machine's, /usr/sbin holds what is
 * in $1/managers only, and the path that $1 has outside leads to the same place inside.
 */
export const ownRoot = `cd "$1" && mkdir usr proc dev managers && mkdir -p ".\${1%/*}" && ln -s / ".$1"
  for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$dir"; done
  cp "$(command -v awk)" managers/awk # /usr/bin/awk is a link into /etc
  mount --bind /usr usr && mount --bind managers usr/sbin
  mount --bind /proc proc && mount --bind /dev dev`;

/**
 * All tools of the host, its shell too, are busybox's; $1 is a folder of our own. But for comm,
 * which guards before 1.2.0 ask for and not every busybox has.
 */
export const onlyBusybox = `mkdir "$1/applets" && cp "$(command -v busybox)" "$(command -v comm)" "$1/applets"
  busybox --install -s "$1/applets" 2>/dev/null || true
  mount --bind "$1/applets" /usr/sbin && mount --bind "$1/applets" /usr/bin`;
