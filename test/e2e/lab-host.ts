import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { until } from './real/processes.ts';
import { type Ended, savepoint } from './real/savepoint.ts';
import { type JobFields, ScratchHost } from './real/scratch-host.ts';

/** No rollback writes behind a link, wherever it leads. */
export const leavesLink =
  'mv "$SAVEPOINT_ROOT/etc" "$SAVEPOINT_ROOT/away" && ln -s away "$SAVEPOINT_ROOT/etc"\nexit 1';

/** An empty directory over another one, or over a new one. */
export const leavesMount = (path: string) =>
  `mkdir -p "$SAVEPOINT_ROOT${path}"
mount -t tmpfs -o size=64k savepoint-test "$SAVEPOINT_ROOT${path}"
exit 1`;

/** The files that its jobs change. */
export const names = ['etc/lab/sources', 'etc/lab/deep/file'];

/** A host with a directory to protect. */
export class LabHost extends ScratchHost {
  constructor() {
    super(
      Object.fromEntries(names.map((name) => [name, { text: 'old\n' }])),
      ['/etc/lab'],
      ['/etc/lab'],
    );
  }

  /** A job that changes both files, then does this. */
  changing(test: string): JobFields {
    const laid = Object.fromEntries(names.map((name) => [name, { text: 'new\n' }]));
    return { files: this.overlay('files', laid), phases: { test } };
  }

  /**
   * What a person does about a link in the place of a directory. A watchdog that saw the decision
   * while another rollback was under way tries once more after that, up to guard 1.2.0. It must not
   * find the host mended.
   */
  async mend(): Promise<void> {
    await until('the watchdog is gone', () => !this.#watched());
    rmSync(join(this.root, 'etc'));
    renameSync(join(this.root, 'away'), join(this.root, 'etc'));
  }

  #watched(): boolean {
    const all = execFileSync('ps', ['-e', '-ww', '-o', 'args'], { encoding: 'utf8' });
    return all.includes(` watch ${this.root} `);
  }

  /** Whether there was something to be unmounted. */
  unmount(path: string): boolean {
    return spawnSync('umount', [join(this.root, path)]).status === 0;
  }

  read(path: string): string {
    return readFileSync(join(this.root, path), 'utf8');
  }

  /** A command of the split form. */
  split(...words: string[]): Promise<Ended> {
    return savepoint([...words, '--json'], { cwd: this.folder });
  }

  /** A mount that a failed test left would keep the folder. */
  override [Symbol.dispose](): void {
    for (const path of ['/etc/lab/new', '/etc/lab/deep', '/etc/lab']) this.unmount(path);
    super[Symbol.dispose]();
  }
}
