import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, statfsSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tool } from '../tools.ts';
import { stateDirectory } from '../world.ts';

/** What a host's root is on; with two, the guard's state is on a file system of its own. */
export const fileSystems = ['ext4', 'xfs', 'ext4+xfs', 'xfs+ext4'] as const;
export type FileSystem = (typeof fileSystems)[number];

/** Size of an image; xfs below 300 MB needs --unsupported, which only means what it says. */
const mebibytes = { ext4: 40, xfs: 72 };

function sh(name: string, ...args: string[]): void {
  execFileSync(name, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/**
 * File systems of our own, mounted at `root`, that can be snapshotted with their inodes and change
 * times (which a guard may rely on), put back in milliseconds, and have their power cut.
 * Needs root and its own mount namespace: when the worker dies the mounts go with it.
 */
export class Ground {
  readonly root: string;
  readonly #dir: string;
  readonly #volumes: readonly { kind: 'ext4' | 'xfs'; image: string; at: string }[];
  #mounted = false;

  constructor(dir: string, kind: FileSystem) {
    this.#dir = dir;
    this.root = join(dir, 'root');
    mkdirSync(this.root, { recursive: true });
    const kinds = kind.split('+') as ('ext4' | 'xfs')[];
    this.#volumes = kinds.map((each, index) => ({
      kind: each,
      image: join(dir, `image${index}`),
      at: index === 0 ? this.root : join(this.root, stateDirectory),
    }));
  }

  /** Empty file systems. */
  make(): void {
    this.unmount();
    for (const { kind, image, at } of this.#volumes) {
      rmSync(image, { force: true });
      writeFileSync(image, '');
      truncateSync(image, mebibytes[kind] << 20);
      if (kind === 'ext4') sh('mkfs.ext4', '-q', '-F', '-b', '4096', '-m', '0', image);
      else sh('mkfs.xfs', '-q', '--unsupported', '-d', 'agcount=1', image);
      this.#mountOne(kind, image, at);
    }
    this.#mounted = true;
  }

  mount(): void {
    if (this.#mounted) return;
    for (const { kind, image, at } of this.#volumes) this.#mountOne(kind, image, at);
    this.#mounted = true;
  }

  unmount(): void {
    if (!this.#mounted) return;
    for (const { at } of [...this.#volumes].reverse()) sh('umount', at);
    this.#mounted = false;
  }

  /** Keeps the present state under a name. */
  keep(name: string): void {
    this.unmount();
    for (const { image } of this.#volumes) copy(image, `${image}.${name}.kept`);
    this.mount();
  }

  has(name: string): boolean {
    return existsSync(`${this.#volumes[0]?.image}.${name}.kept`);
  }

  /** Goes back to a state that was kept. */
  restore(name: string): void {
    this.unmount();
    for (const { image } of this.#volumes) copy(`${image}.${name}.kept`, image);
    this.mount();
  }

  forget(name: string): void {
    for (const { image } of this.#volumes) rmSync(`${image}.${name}.kept`, { force: true });
  }

  /** The program, for `tracer stop`, that cuts the power; what was not flushed is gone. */
  powerCut(commitFirst: boolean): string {
    return this.#volumes
      .map(({ at }) => {
        const first = commitFirst ? `--commit-first '${join(at, 'unrelated')}'` : '';
        return `'${tool('tracer')}' shutdown ${first} '${at}'`;
      })
      .join(' && ');
  }

  /** Power comes back: the log is replayed, the page cache is gone. */
  powerOn(): void {
    this.unmount();
    this.mount();
    for (const { at } of this.#volumes) rmSync(join(at, 'unrelated'), { force: true });
  }

  /** Room on the root's file system. */
  freeBytes(): number {
    const fs = statfsSync(this.root);
    return fs.bavail * fs.bsize;
  }

  [Symbol.dispose](): void {
    this.unmount();
    rmSync(this.#dir, { recursive: true, force: true });
  }

  #mountOne(kind: 'ext4' | 'xfs', image: string, at: string): void {
    // Nothing may reach the disk by chance: no periodic commit, no flush on rename over a file.
    const options = kind === 'ext4' ? 'loop,commit=3600,noauto_da_alloc' : 'loop';
    mkdirSync(at, { recursive: true, mode: 0o700 });
    sh('mount', '-o', options, image, at);
  }
}

/** cp leaves the holes out, which are nearly all of an image. */
function copy(from: string, to: string): void {
  sh('cp', '--sparse=auto', from, to);
}
