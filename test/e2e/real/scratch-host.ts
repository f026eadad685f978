import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { differences, type Manifest, snapshot } from '../../guard/manifest.ts';
import type { Sshd } from '../../host/sshd.ts';
import { must } from '../../lab/command.ts';
import { type Ended, type Running, savepoint, start } from './savepoint.ts';

export const isRoot = process.getuid?.() === 0;

/** What lies somewhere below a root: text, or where a link points; owners only as root. */
export interface Item {
  text?: string;
  link?: string;
  mode?: number;
  owner?: [uid: number, gid: number];
}

/** A job as its YAML has it; JSON is YAML. */
export type JobFields = Record<string, unknown>;

/**
 * A host root in a temporary folder, its tracked paths, and a person who runs jobs on it. Jobs reach
 * it through `sshd`, or as the local host without one.
 */
export class ScratchHost implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'savepoint-real-'));
  readonly root = join(this.folder, 'host');
  readonly sshd: Sshd | undefined;
  readonly #track: readonly string[];
  readonly #tracked: readonly string[];
  #jobs = 0;

  /**
   * @param track What jobs protect, presets among it.
   * @param tracked The paths which that comes to, as far as tests care.
   */
  constructor(
    items: Record<string, Item>,
    track: readonly string[],
    tracked: readonly string[],
    sshd?: Sshd,
  ) {
    this.#track = track;
    this.#tracked = tracked;
    this.sshd = sshd;
    mkdirSync(this.root);
    for (const [path, item] of Object.entries(items)) this.put(path, item);
  }

  put(path: string, item: Item): void {
    lay(join(this.root, path), item);
  }

  /** Gives everything a time long ago with nanoseconds, which no rewriting brings back by chance. */
  async settle(): Promise<void> {
    const when = '2011-05-06 07:08:09.123456789';
    await must(['find', this.root, '-depth', '-exec', 'touch', '-h', '-d', when, '{}', '+']);
  }

  /** A directory `name` beside the job files, to be laid over the host. */
  overlay(name: string, items: Record<string, Item>): string {
    for (const [path, item] of Object.entries(items)) lay(join(this.folder, name, path), item);
    return `./${name}`;
  }

  /** Writes a job file; what it does not say is this host and what is tracked here. */
  job(fields: JobFields): string {
    const file = join(this.folder, `job-${++this.#jobs}.yml`);
    const { sshd, root } = this;
    const host = sshd ? hostFields(sshd) : { type: 'local', sudo: false };
    const job = { name: 'try-mirror', host, root, track: this.#track, ...fields };
    writeFileSync(file, JSON.stringify(job, null, 2));
    return file;
  }

  /** Runs a job to its end. */
  run(fields: JobFields, ...options: string[]): Promise<Ended> {
    return savepoint(['run', this.job(fields), '--json', ...options], { cwd: this.folder });
  }

  start(fields: JobFields, ...options: string[]): Running {
    return start(['run', this.job(fields), '--json', ...options], { cwd: this.folder });
  }

  /** A command about the host itself: status, recover. */
  ask(...words: string[]): Promise<Ended> {
    const { sshd, root } = this;
    const ssh = sshd ? [`ssh://${sshd.user}@127.0.0.1:${sshd.port}`] : ['local'];
    const login = sshd ? ['--key', sshd.keyPath, '--known-hosts', sshd.knownHostsFile] : [];
    const args = [...words, ...ssh, '--json', '--root', root, '--sudo', 'false', ...login];
    return savepoint(args, { cwd: this.folder });
  }

  /** Everything below the root but what the guard and the package managers keep for themselves. */
  look(): Manifest {
    return snapshot(this.root, (path) => path !== '/var');
  }

  /**
   * How the host differs from what it was, in words. Times of directories that are not tracked may
   * move: files beside tracked ones are renamed there.
   */
  changesSince(before: Manifest): string[] {
    return differences(before, this.look(), (path, field) => {
      return (
        field === 'mtime' && !this.#tracked.some((t) => path === t || path.startsWith(`${t}/`))
      );
    });
  }

  [Symbol.dispose](): void {
    // A guard may still be putting its own files away.
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** The `host:` of a job that reaches an sshd; its login owns all that is tracked, or is root. */
export function hostFields(sshd: Sshd, changes: JobFields = {}): JobFields {
  return {
    name: '127.0.0.1',
    port: sshd.port,
    user: sshd.user,
    key: sshd.keyPath,
    'known-hosts': sshd.knownHostsFile,
    agent: false,
    sudo: false,
    ...changes,
  };
}

function lay(path: string, { text, link, mode, owner }: Item): void {
  mkdirSync(text === undefined && link === undefined ? path : dirname(path), { recursive: true });
  if (link !== undefined) symlinkSync(link, path);
  if (text !== undefined) writeFileSync(path, text);
  if (owner && isRoot) chownSync(path, ...owner);
  if (mode !== undefined) chmodSync(path, mode);
}
