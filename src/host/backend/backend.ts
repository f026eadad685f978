import type { Command, Running } from '../host.ts';

/** What a backend is told with each verb (docs/backends.md). */
export interface BackendRequest {
  /** Of this host; the same from `open` to `close`, and no other's. */
  readonly id: string;
  /** `with` of the job, as it is. */
  readonly with: Readonly<Record<string, unknown>>;
  /** What `open` gave to be kept; undefined until then. */
  readonly state?: unknown;
}

/** Where a module can tell how it gets on, and learns that nobody waits for it any more. */
export interface BackendContext extends BackendRequest {
  readonly signal: AbortSignal;
  /** One line for people. */
  log(line: string): void;
}

/** What runs commands on a host; files go through these. See `Host` for what each must do. */
export interface CommandRunner {
  run(command: Command): Running;
  /** Ends what still runs. */
  close?(): Promise<void>;
}

/**
 * An ES module that is a backend exports these. `open` gives `{ endpoint }`, or the module has
 * `connect` and runs the commands itself. The names are those of autopkgtest's test beds.
 */
export interface BackendModule {
  open(request: BackendContext): Promise<unknown>;
  /** In each process of a run, after `open`, where that gave no endpoint. */
  connect?(request: BackendContext): Promise<CommandRunner>;
  /** Takes the host away. Also what a broken `open` left; no error when there is nothing. */
  close?(request: BackendContext): Promise<unknown>;
  /** Puts the host back to what it was when it was opened; ends when it can be reached. */
  revert?(request: BackendContext): Promise<unknown>;
  /** Restarts the host as if its power had gone; ends when it can be reached. */
  reboot?(request: BackendContext): Promise<unknown>;
}

export const optionalVerbs = ['close', 'revert', 'reboot'] as const;
export type OptionalVerb = (typeof optionalVerbs)[number];
export type Verb = 'open' | OptionalVerb;

/**
 * A backend of either kind, loaded. What its verbs answer is data that nobody has checked, and
 * what they throw is their own.
 */
export interface Backend {
  /** The optional verbs it has, and `run` when it runs the commands of its hosts itself. */
  capabilities(request: BackendContext): Promise<string[]>;
  call(verb: Verb, request: BackendContext): Promise<unknown>;
  /** For what has `run`. */
  connect?(request: BackendContext): Promise<CommandRunner>;
}
