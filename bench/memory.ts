import { readdirSync, readFileSync } from 'node:fs';

const interval = 250;

/**
 * Measures the most memory that some processes had together, looking four times a second: all
 * whose command line has a certain word in it, so that those which went to the background are
 * found too. It is their proportional set size (proc(5), smaps_rollup): pages that processes share
 * are counted once, so that forks are not charged for what they never copied.
 */
export class MemoryMeter {
  readonly #timer: NodeJS.Timeout;
  readonly #word: string;
  #most = 0;

  constructor(word: string) {
    this.#word = word;
    this.#timer = setInterval(() => this.#look(), interval);
  }

  /** @returns MB */
  stop(): number {
    clearInterval(this.#timer);
    return this.#most;
  }

  #look(): void {
    let sum = 0;
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
      if (read(`/proc/${pid}/cmdline`)?.includes(this.#word)) sum += sizeOf(pid);
    }
    this.#most = Math.max(this.#most, sum);
  }
}

function sizeOf(pid: string): number {
  const kibibytes = /^Pss:\s+(\d+) kB/m.exec(read(`/proc/${pid}/smaps_rollup`) ?? '')?.[1] ?? '0';
  return (Number(kibibytes) * 1024) / 1e6;
}

/** Undefined for a process that ended in between. */
function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}
