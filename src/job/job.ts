import type { HostConfig } from './host-config.ts';

/** Every phase there is, in the order they run (Testflinger's). */
export const phaseNames = [
  'setup',
  'unpack',
  'provision',
  'firmware_update',
  'test',
  'allocate',
  'reserve',
  'cleanup',
] as const;

export type PhaseName = (typeof phaseNames)[number];

/** One file, directory or symbolic link to lay over the host. */
export interface OverlayEntry {
  /** Absolute path on the host, without `root`. */
  path: string;
  kind: 'file' | 'directory' | 'symlink';
  /** Of a file: any of its execute bits is set. */
  executable?: boolean;
  /** Absolute local path it was found at. */
  source: string;
  /** Of a symbolic link: what it points to, as it is written in the link. */
  target?: string;
}

/** A path the transaction protects, and the preset that brought it, if one did. */
export interface TrackedPath {
  /** Absolute, without `root`; no `.`, `..`, empty component or control character. */
  path: string;
  preset?: string;
}

export type PhaseWhere = 'host' | 'controller';

/** A command of the job: a phase, or the check. */
export interface JobCommand {
  /**
   * A shell script, or one for the interpreter that its `#!` line names; or several, which run one
   * after the other until one fails.
   */
  run: string | string[];
  /** Added to the job's own `env`; wins over it. */
  env: Record<string, string>;
  /** Seconds; none means the transaction's deadline is the only limit. */
  timeout?: number;
  where: PhaseWhere;
  /** The host may restart meanwhile, and be away for so many seconds. */
  reboot?: number;
}

export interface JobPhase extends JobCommand {
  name: PhaseName;
}

/** A command the guard runs on the host, as root, in the environment of the transaction. */
export interface HostCommand {
  /** Where it comes from: a preset's name, or `job`. */
  from: string;
  /** For `sh -c`; SAVEPOINT_ROOT is set in its environment. */
  script: string;
}

/** A local file or directory that is placed on the host for the phases. */
export interface Attachment {
  /** Absolute. */
  local: string;
  /** Where it goes in the work directory on the host; relative, no `.` or `..`. */
  agent: string;
}

/** What is sent to the host for the phases, and fetched from it after them. */
export interface JobFiles {
  attachments: Attachment[];
  /** Paths of the host as they were written: relative ones are in the work directory. */
  artifacts: string[];
  /** What may be fetched at the most: bytes of all files together, and entries. */
  limits: { size: number; entries: number };
}

/** How a job may be expected to end; `expect:` names one of these. */
export const outcomes = [
  'committed',
  'rolled-back',
  'rolled-back-unhealthy',
  'conflict',
  'rollback-failed',
] as const;

export type JobOutcome = (typeof outcomes)[number];

/** Never exists (Debian Policy 9.2.3), so a throw-away root that nobody made hurts no host. */
export const unfilledRoot = '/nonexistent';

/**
 * One transaction that is asked for: validated, defaults filled in, presets resolved, durations
 * in seconds, local paths absolute. Everything below the entries works from this alone.
 */
export interface Job {
  name: string;
  /** What it was read from, for messages; absent for a job made of flags or inputs. */
  file?: string;
  /** Directory of the job file, or the working directory; SAVEPOINT_JOB_DIR in every phase. */
  directory: string;
  host: HostConfig;
  /**
   * Directory on the host that all tracked paths are below; `/` for the host itself. With
   * `scratch` it is `unfilledRoot` until somebody makes the throw-away root.
   */
  root: string;
  /** Local directory to fill a throw-away root from. */
  scratch?: string;
  /** Sorted by path; none is below another. */
  track: TrackedPath[];
  /** Names of the presets that were asked for, in the order they were. */
  presets: string[];
  /** Local directory to lay over the tracked paths. */
  files?: string;
  /** Tracked paths that the change removes, sorted. */
  remove: string[];
  check?: JobCommand;
  onSuccess: 'commit' | 'rollback';
  /** Which version stays when somebody else edited a tracked path. */
  onConflict: 'backup' | 'keep';
  /** Accept tools on the host that lose metadata. */
  degraded: boolean;
  /** Seconds the host waits for a sign of life before it rolls back by itself. */
  lease: number;
  /** Seconds between signs of life; less than half of the lease. */
  renew: number;
  /** Seconds after which the host rolls back, renewed or not. */
  deadline: number;
  /** Seconds to wait for a host that another transaction holds; 0 refuses at once. */
  lockTimeout: number;
  /** Run after a rollback, so that nothing from the change's mirrors is left in a cache. */
  refresh: HostCommand[];
  /** Must succeed after a rollback; otherwise the outcome is `rolled-back-unhealthy`. */
  probe: HostCommand[];
  /** Environment of every phase and of the check. */
  env: Record<string, string>;
  /** The phases the job has, in the order they run. */
  phases: JobPhase[];
  /** Absent when nothing is sent or fetched. */
  transfers?: JobFiles;
  expect?: JobOutcome;
  /** Keys that start with `x-`, carried through as they were. */
  extensions: Record<string, unknown>;
}
