import { setTimeout as delay } from 'node:timers/promises';
import { type Captured, capture } from '../../../src/host/capture.ts';
import type { Command, Host } from '../../../src/host/host.ts';
import { bytesOf } from './bytes.ts';

type More = Omit<Command, 'argv'>;

/** How the end of a command by a signal is told: as one, or as a shell does. */
export type Signals = 'told' | 'as a status';

/** The host under test and what every part of the suite does with it. */
export class Subject {
  readonly open: () => Promise<Host>;
  readonly signals: Signals;
  #host: Host | undefined;
  #folder = '';

  constructor(open: () => Promise<Host>, signals: Signals) {
    this.open = open;
    this.signals = signals;
  }

  async begin(): Promise<void> {
    this.#host = await this.open();
    this.#folder = (await this.sh('mktemp -d')).stdout.trim();
  }

  async end(): Promise<void> {
    if (this.#folder) await this.run(['rm', '-rf', this.#folder]);
    await this.#host?.close();
  }

  get host(): Host {
    if (!this.#host) throw new Error('The host has not been opened.');
    return this.#host;
  }

  /** A new folder on the host. */
  get folder(): string {
    return this.#folder;
  }

  run(argv: Command['argv'], more: More = {}): Promise<Captured> {
    return capture(this.host.run({ argv, ...more }));
  }

  sh(script: string, more: More = {}): Promise<Captured> {
    return this.run(['sh', '-c', script], more);
  }

  async read(path: string): Promise<Buffer> {
    return bytesOf(await this.host.fetch(path));
  }

  /** Waits for something on the host that a command there brings about. */
  async until(condition: string): Promise<void> {
    for (let attempt = 0; attempt < 100; attempt++) {
      if ((await this.sh(condition)).exit.code === 0) return;
      await delay(50);
    }
    throw new Error(`This did not come true within 5 s: ${condition}`);
  }
}
