import type { Readable } from 'node:stream';
import type { Exit } from '../host/host.ts';
import type { HostConfig } from '../job/host-config.ts';
import type { OverlayEntry } from '../job/job.ts';

/** Everything a later process needs to decide the transaction; saved before the host is touched. */
export interface TransactionRecord {
  version: 1;
  id: string;
  /** Secret: whoever has it may decide. Never in argv, never in an event. */
  token: string;
  /** A controller with a lower number than the last one seen is refused. */
  fence: number;
  host: HostConfig;
  root: string;
  guard: { version: string; sha256: string };
}

export interface Begun {
  entries: number;
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
  diff: string;
}

/** A phase's command on the host; the guard starts it. */
export interface PhaseCommand {
  phase: string;
  script: string;
  env: Record<string, string>;
}

export interface PhaseProcess {
  readonly stdout: Readable;
  readonly stderr: Readable;
  readonly exit: Promise<Exit>;
  /** TERM, grace, KILL for the whole tree; resolves when all of it is gone. */
  kill(): Promise<void>;
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
  diff: string;
  packages: string;
  warnings: string[];
}

export interface Transaction {
  readonly record: TransactionRecord;
  begin(): Promise<Begun>;
  apply(change: Change): Promise<Applied>;
  exec(command: PhaseCommand): Promise<PhaseProcess>;
  renew(): Promise<void>;
  commit(): Promise<Decided>;
  rollback(reason: string): Promise<Decided>;
}
