import type { Readable } from 'node:stream';
import type { Exit, Host } from '../host/host.ts';
import type { HostTarget } from '../host/target.ts';
import type { OverlayEntry } from '../job/job.ts';
import type { Progress } from '../transfer/progress.ts';
import type { News } from './news.ts';

/** Everything a later process needs to decide the transaction; saved before the host is touched. */
export interface TransactionRecord {
  version: 1;
  id: string;
  /** Secret: whoever has it may decide. Never in argv, never in an event. */
  token: string;
  /** A controller with a lower number than the last one seen is refused. */
  fence: number;
  host: HostTarget;
  /** Directory on the host that all tracked paths are below; `/` for the host itself. */
  root: string;
  guard: { version: string; sha256: string };
  request: BeginRequest;
}

/** What the guard is told at begin, frozen: no later process can ask for anything else. */
export interface BeginRequest {
  /** Who holds the host, for those who are refused it: one line. */
  holder: string;
  track: string[];
  /** Seconds, as `renew` and `lockTimeout` are. */
  lease: number;
  deadline: number;
  renew: number;
  /** How long to wait for a host that another transaction holds. */
  lockTimeout: number;
  onConflict: 'backup' | 'keep';
  degraded: boolean;
  /** Shell scripts that the guard runs as root after a rollback. */
  refresh: string[];
  probe: string[];
}

export interface Begun {
  entries: number;
  /** Size of the backup on the host. */
  bytes: number;
  bootId: string;
  warnings: string[];
}

export interface PathChange {
  path: string;
  change: 'added' | 'changed' | 'removed';
}

export interface Change {
  overlay: OverlayEntry[];
  remove: string[];
}

export interface Applied {
  changed: PathChange[];
  /** Unified diff from before to now. */
  diff: string;
}

/** A phase's command on the host; the guard starts it. */
export interface PhaseCommand {
  phase: string;
  /** A shell script (run with `set -e`), or one for the interpreter that its `#!` line names. */
  script: string;
  env: Record<string, string>;
  /** The host may reboot while this runs, and be gone for so many seconds. */
  reboot?: number;
}

/** How a phase's command ended: as any command, or with its host, which is there again. */
export type PhaseExit =
  | (Exit & { readonly rebooted?: undefined })
  | {
      readonly code?: undefined;
      readonly signal?: undefined;
      /** The boot id that the host has now. */
      readonly rebooted: string;
    };

export interface PhaseProcess {
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** @throws SavepointError `host-lost`, `host-unreachable`; why the transaction is over. */
  readonly exit: Promise<PhaseExit>;
  /** TERM, grace, KILL for the whole tree; resolves when all of it is gone. */
  kill(): Promise<void>;
  /** Of one that transfers files. */
  readonly progress?: AsyncIterable<Progress>;
}

export type Outcome =
  | 'committed'
  | 'rolled-back'
  | 'rolled-back-unhealthy'
  | 'conflict'
  | 'rollback-failed';

export interface Decided {
  decision: 'commit' | 'rollback';
  outcome: Outcome;
  /** Who made the decision: this controller, the watchdog, boot recovery, a person. */
  by: string;
  paths: { path: string; state: string; note?: string }[];
  /** Unified diff of what was committed, or of what was undone. */
  diff: string;
  /** Packages that came (`+`) and went (`-`) meanwhile, one a line: they are not rolled back. */
  packages: string;
  warnings: string[];
}

export interface Transaction {
  readonly record: TransactionRecord;
  /** What happens to the connection meanwhile. */
  readonly news: News;
  begin(): Promise<Begun>;
  apply(change: Change): Promise<Applied>;
  /** @param signal Gives up starting it, also while the host is away. */
  exec(command: PhaseCommand, signal?: AbortSignal): Promise<PhaseProcess>;
  /** Tells the host that this controller lives, or throws what became of the transaction. */
  renew(): Promise<void>;
  /** Brackets what a phase on the controller does, so that its changes count as the job's. */
  running(phase: boolean): Promise<void>;
  commit(): Promise<Decided>;
  rollback(reason: string): Promise<Decided>;
  /** The host as its login has it, without the guard: for what is sent and fetched. */
  readonly login: Pick<Host, 'run' | 'name'>;
}
