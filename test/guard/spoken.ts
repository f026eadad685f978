import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Call, Guard, type Shell } from './guard.ts';

const nonce = 'a-word-the-phase-does-not-know';

/** What `exec` gave, without the guard's marks. */
export interface Spoken {
  /** The phase's status; undefined when the guard said none. */
  readonly end: string | undefined;
  readonly started: boolean;
  readonly out: string;
  readonly err: string;
}

/** A host of its own below a temporary root, and a guard that is spoken to as the document says. */
export class Conversation implements Disposable {
  readonly guard: Guard;
  readonly root = mkdtempSync(join(tmpdir(), 'savepoint-protocol-'));
  /** Nobody else's: its processes are found by it. */
  readonly id = `spoken-${randomBytes(6).toString('hex')}`;
  readonly #credentials: readonly string[];

  constructor(file: string, shell: Shell = 'dash') {
    mkdirSync(join(this.root, 'etc/lab'), { recursive: true });
    writeFileSync(join(this.root, 'etc/lab/file'), 'old\n', { mode: 0o644 });
    writeFileSync(join(this.root, 'etc/lab/gone'), 'old\n', { mode: 0o644 });
    this.guard = new Guard(this.root, file, shell);
    this.guard.install();
    this.#credentials = [`id ${this.id}`, 'token secret', 'fence 3', ...this.site];
  }

  get site(): readonly string[] {
    return [`root ${this.root}`, `guard ${this.guard.sha256}`];
  }

  /** One call with the right credentials; further lines come behind, and so win. */
  ask(verb: string, lines: readonly string[] = [], payload?: Buffer) {
    return this.guard.call(verb, this.#call(lines, payload));
  }

  begin(...lines: string[]) {
    return this.ask('begin', ['track /etc/lab', 'track /etc/absent', 'holder a test', ...lines]);
  }

  /** One call of `exec`, to its end. */
  exec(script: string, ...lines: string[]): Spoken {
    const { argv, input } = this.#exec(script, lines);
    const [program = '', ...words] = argv;
    const { stdout, stderr } = spawnSync(program, words, { input, env, encoding: 'latin1' });
    return heard(stdout, stderr);
  }

  /** Starts a call of `exec` and leaves it running. */
  start(script: string, ...lines: string[]): ChildProcessWithoutNullStreams {
    const { argv, input } = this.#exec(script, lines);
    const [program = '', ...words] = argv;
    const child = spawn(program, words, { env });
    child.stdin.end(input);
    return child;
  }

  file(path: string): string {
    return readFileSync(join(this.root, path), 'utf8');
  }

  /** Processes of the job and of what watches it, by the mark in their environment. */
  processes(): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && environmentOf(name).includes(`=${this.id}\0`))
      .map(Number);
  }

  /** Kills them all at once, as a crash of the host does. */
  crash(): void {
    for (const pid of this.processes()) process.kill(pid, 'SIGKILL');
  }

  /** Takes the guard off the host. */
  remove(): void {
    rmSync(this.guard.path);
  }

  [Symbol.dispose](): void {
    this.ask('rollback');
    rmSync(this.root, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }

  #exec(script: string, lines: readonly string[]) {
    return this.guard.commandOf(
      'exec',
      this.#call([`nonce ${nonce}`, ...lines], Buffer.from(script)),
    );
  }

  #call(lines: readonly string[], payload?: Buffer): Call {
    return { headers: [...this.#credentials, ...lines], ...(payload && { payload }) };
  }
}

function environmentOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1');
  } catch {
    return ''; // It has ended meanwhile.
  }
}

/** Takes the guard's two marks out of what a call of `exec` printed. */
export function heard(stdout: string, stderr: string): Spoken {
  const first = `\n${nonce} started\n`;
  const started = stderr.startsWith(first);
  const rest = started ? stderr.slice(first.length) : stderr;
  const [mark = '', end] = new RegExp(`\\n${nonce} (\\S+)\\n$`).exec(rest) ?? [];
  return { started, end, out: stdout, err: rest.slice(0, rest.length - mark.length) };
}

const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', HOME: '/root' };
