import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, realpathSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Shell, shells } from '../guard.ts';

/**
 * The parts of a machine that a test has to move: the boot id, the monotonic clock and /bin/sh.
 * They are bind mounts in the worker's own mount namespace, so the machine itself never sees them.
 */
export class Machine {
  readonly #uptime: string;
  readonly #boot: string;
  #seconds = 1000;
  #id: string = randomUUID();

  constructor(dir: string, shell: Shell) {
    const own = mkdtempSync(join(dir, 'machine-'));
    this.#uptime = join(own, 'uptime');
    this.#boot = join(own, 'boot_id');
    writeFileSync(this.#uptime, this.#clock());
    writeFileSync(this.#boot, `${this.#id}\n`);
    bind(this.#uptime, '/proc/uptime');
    bind(this.#boot, '/proc/sys/kernel/random/boot_id');
    const program = execFileSync('sh', ['-c', `command -v ${shells[shell][0]}`], {
      encoding: 'utf8',
    });
    const here = realpathSync('/bin/sh');
    if (realpathSync(program.trim()) !== here) bind(realpathSync(program.trim()), here);
  }

  /** What a snapshot of the disk has to be put back with, or a lease on it would mean another thing. */
  get state(): { seconds: number; boot: string } {
    return { seconds: this.#seconds, boot: this.#id };
  }

  set state({ seconds, boot }: { seconds: number; boot: string }) {
    this.#seconds = seconds;
    this.#id = boot;
    this.#overwrite(this.#uptime, this.#clock());
    this.#overwrite(this.#boot, `${boot}\n`);
  }

  /** Lets seconds pass on the monotonic clock. */
  pass(seconds: number): void {
    this.state = { ...this.state, seconds: this.#seconds + seconds };
  }

  /** The next boot: another id, the clock near zero. What runs is the caller's to kill. */
  reboot(): void {
    this.state = { seconds: 1000, boot: randomUUID() };
  }

  /** Always of one length, so that it can be overwritten in place. */
  #clock(): string {
    return `${1_000_000 + this.#seconds}.00 0.00\n`;
  }

  /** In place and in one call: a reader sees the one or the other. */
  #overwrite(file: string, text: string): void {
    const fd = openSync(file, 'r+');
    writeSync(fd, text);
    closeSync(fd);
  }
}

function bind(from: string, to: string): void {
  execFileSync('mount', ['--bind', from, to]);
}
