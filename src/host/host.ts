import type { Readable, Writable } from 'node:stream';

/**
 * Where a transaction happens: the machine itself, or lab hardware over SSH.
 * Every backend gives this one interface; nothing above it knows which one it has.
 */
export interface Host extends AsyncDisposable {
  /** For people and logs: `local`, or `user@name:port`. */
  readonly name: string;
  /** `local` runs children of this process; anything else crosses a network. */
  readonly kind: string;
  /**
   * Starts a command. Never rejects because the command failed: that is its exit.
   * @throws SavepointError `host-unreachable`, `host-lost` when the link is gone (on `exit`).
   */
  run(command: Command): Running;
  /**
   * Writes a stream or bytes to a new file on the host; parents must exist. Mode defaults to 0600.
   * @throws SavepointError `host-write-failed`, also when there is such a file already
   */
  send(from: Readable | Uint8Array, to: string, mode?: number): Promise<void>;
  /**
   * Reads a file of the host as a stream, which ends with an error when it was cut short.
   * @throws SavepointError `host-file-missing`, `host-read-failed`
   */
  fetch(from: string): Promise<Readable>;
  /** Stops what still runs, then ends every connection. May be called twice. */
  close(): Promise<void>;
}

export interface Command {
  /** Words, quoted for the host's shell by the backend; never joined by the caller. */
  argv: readonly [string, ...string[]];
  /** Bytes for standard input, then end of file. Without it standard input is empty. */
  stdin?: Readable | Uint8Array | string;
  /** Added to the environment of the command. Never secrets over SSH: they would be in argv. */
  env?: Readonly<Record<string, string>>;
  cwd?: string;
  /**
   * Aborting ends the command and all its descendants (TERM, then KILL after 2 s), those that
   * left its process group included: a variable SAVEPOINT_RUN in their environment, which is set
   * for this only when there is a signal, tells them. What is to outlive it must unset that.
   */
  signal?: AbortSignal;
}

export interface Running {
  readonly stdout: Readable;
  readonly stderr: Readable;
  /**
   * Resolves when the command has ended and both streams were given their last byte, so they
   * have to be read (or resumed). A background process that keeps them open is not waited for.
   */
  readonly exit: Promise<Exit>;
}

/** What the command left: a status of 0 to 255, or the signal that ended it. */
export type Exit =
  | { readonly code: number; readonly signal?: undefined }
  | { readonly code?: undefined; readonly signal: string };

export type { Readable, Writable };
