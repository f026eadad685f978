import type { Duplex } from 'node:stream';
import { setTimeout } from 'node:timers/promises';
import type { Client, ClientChannel } from 'ssh2';
import { SavepointError } from '../errors.ts';
import type { Exit } from './host.ts';
import { dial } from './ssh-dial.ts';
import { clauseOf, lost, unreachable } from './ssh-errors.ts';
import { openSession, requestExec, roundTrip } from './ssh-internals.ts';
import { watchLink } from './ssh-liveness.ts';
import { type Login, logIn } from './ssh-login.ts';
import { dialThrough, runLocally } from './ssh-programs.ts';
import { type SshTarget, targetName } from './ssh-target.ts';

/** How long a goodbye may take until it is on its way; a dead link takes nothing any more. */
const farewell = 1000;

/** The server will not open another channel on this connection (RFC 4254 §5.1). */
export class ChannelRefused extends Error {}

/**
 * Connects to the last of the hosts, through all that come before it.
 * @throws SavepointError `host-unreachable`, `host-auth-failed`, `host-key-*`; `job-cancelled`
 *   when the signal came first
 */
export async function openConnection(
  route: readonly Login[],
  signal?: AbortSignal,
): Promise<SshConnection> {
  let previous: SshConnection | undefined;
  for (const login of route) {
    try {
      const sock = await (previous?.forward(login.target) ?? begin(login.target, signal));
      const client = await logIn(login, sock, signal);
      previous = new SshConnection(login.target, client, sock, previous);
    } catch (error) {
      await previous?.end();
      if (!signal?.aborted) throw error;
      throw new SavepointError('job-cancelled', {
        message: `Connecting to ${targetName(login.target)} was given up.`,
        cause: signal.reason,
      });
    }
  }
  if (!previous) throw new RangeError('A route has at least one host.');
  previous.expectCommand();
  const { target } = previous;
  if (target.localCommand !== undefined) await runLocally(target, target.localCommand);
  return previous;
}

async function begin(target: SshTarget, signal: AbortSignal | undefined): Promise<Duplex> {
  const { proxyCommand } = target;
  return proxyCommand === undefined ? dial(target, signal) : dialThrough(target, proxyCommand);
}

/** A channel that opens only after that is closed again. */
async function withinSeconds(
  seconds: number,
  opening: Promise<ClientChannel>,
): Promise<ClientChannel> {
  const inTime = new AbortController();
  const timeout = setTimeout(seconds * 1000, undefined, { signal: inTime.signal });
  const late = timeout.then(() => {
    opening.then((channel) => channel.destroy()).catch(() => undefined);
    throw new ChannelRefused(`no answer within ${seconds} s`);
  });
  try {
    return await Promise.race([opening, late]);
  } finally {
    inTime.abort();
    late.catch(() => undefined);
  }
}

export interface Execution {
  readonly channel: ClientChannel;
  /** How the command ended; undefined when the channel was closed without a word about it. */
  readonly ending: Promise<Exit | undefined>;
  /** Milliseconds that the way to the host and back takes, about. */
  readonly roundTrip: number;
}

function endOf(channel: ClientChannel): Promise<Exit | undefined> {
  return new Promise((resolve) => {
    channel.once('exit', (code: number | null, signal?: string) => {
      resolve(code === null ? { signal: signal ?? 'SIGKILL' } : { code });
    });
    channel.once('close', () => resolve(undefined));
  });
}

/** One authenticated connection. */
export class SshConnection {
  readonly target: SshTarget;
  readonly client: Client;
  /** Resolves when the connection is over, whoever ended it. */
  readonly over: Promise<void>;
  readonly #sock: Duplex;
  readonly #via: SshConnection | undefined;
  /** A channel that is open, or being opened, for the next command. */
  #spare: Promise<ClientChannel> | undefined;
  #roundTrip = 0;
  #over = false;
  #why = 'the other side closed it';

  constructor(target: SshTarget, client: Client, sock: Duplex, via?: SshConnection) {
    this.target = target;
    this.client = client;
    this.#sock = sock;
    this.#via = via;
    // Every command listens for the end of the connection.
    client.setMaxListeners(0);
    client.on('error', (error: Error) => {
      this.#why = clauseOf(error);
    });
    const stopWatching = watchLink(target, client, sock, (why) => {
      this.#why = why;
      sock.destroy();
    });
    this.over = new Promise((resolve) => {
      client.once('close', () => {
        this.#over = true;
        stopWatching();
        resolve();
      });
    });
  }

  get isOver(): boolean {
    return this.#over;
  }

  /** Why the connection is over. */
  get why(): string {
    return this.#via?.isOver
      ? `that to ${targetName(this.#via.target)} on the way did (${this.#via.why})`
      : this.#why;
  }

  /**
   * Starts a command line in the login shell.
   * @throws ChannelRefused
   * @throws SavepointError `host-lost`
   */
  async exec(line: string): Promise<Execution> {
    const channel = await this.#session(line);
    // At once: the exit of a short command comes with the answer to the request.
    const ending = endOf(channel);
    const runs = requestExec(this.client, channel, line);
    this.expectCommand();
    // OpenSSH takes no input for a command that does not run yet.
    const started = await Promise.race([runs, ending.then((exit) => exit !== undefined)]);
    if (started) return { channel, ending, roundTrip: this.#roundTrip };
    channel.close();
    if (this.#over) throw lost(this.target, line, this.why);
    throw new ChannelRefused('the command was not started');
  }

  /** Has a channel ready for the next command, which then takes a round trip less. */
  expectCommand(): void {
    const asked = performance.now();
    const spare = openSession(this.client);
    this.#spare = spare;
    spare.then(
      (channel) => {
        this.#roundTrip = performance.now() - asked;
        channel.once('close', () => this.#forget(spare));
      },
      // Whether the server allows another is for the next command to find out.
      () => this.#forget(spare),
    );
  }

  /**
   * A TCP connection from this host to another one.
   * @throws SavepointError `host-unreachable`
   */
  async forward(to: SshTarget): Promise<Duplex> {
    try {
      const opening = this.#open<ClientChannel>(`a connection to ${to.name}`, (done) =>
        this.client.forwardOut('127.0.0.1', 0, to.name, to.port, done),
      );
      return await withinSeconds(to.connectTimeout, opening);
    } catch (error) {
      if (!(error instanceof ChannelRefused)) throw error;
      const hop = targetName(this.target);
      throw unreachable(to, `${hop} did not get through to it (${error.message})`, {
        details: { via: hop },
        cause: error,
      });
    }
  }

  /** Resolves when all that the server sent so far is here, or the connection is over. */
  async roundTrip(): Promise<void> {
    if (this.#over) return;
    await Promise.race([roundTrip(this.client), this.over]);
  }

  /** Says goodbye, also to the hosts on the way. It does not wait for their answers. */
  async end(): Promise<void> {
    if (!this.#over) {
      this.#why = 'it was closed from this side';
      const sent = new Promise((resolve) => this.#sock.once('finish', resolve));
      this.client.end();
      const late = new AbortController();
      await Promise.race([
        sent,
        this.over,
        setTimeout(farewell, undefined, { signal: late.signal }).catch(() => undefined),
      ]);
      late.abort();
      this.#sock.destroy();
    }
    await this.#via?.end();
  }

  #forget(spare: Promise<ClientChannel>): void {
    if (this.#spare === spare) this.#spare = undefined;
  }

  /** The channel that is ready, or a new one. */
  async #session(what: string): Promise<ClientChannel> {
    const ready = this.#spare;
    this.#spare = undefined;
    const channel = await ready?.catch(() => undefined);
    if (channel?.writable) return channel;
    return this.#open<ClientChannel>(what, (done) => {
      openSession(this.client).then((opened) => done(undefined, opened), done);
    });
  }

  #open<T>(
    what: string,
    start: (done: (error: Error | undefined, channel?: T) => void) => unknown,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      const fail = (error: Error) => {
        if (this.#over || !this.#sock.writable) reject(lost(this.target, what, this.why));
        else reject(new ChannelRefused(error.message, { cause: error }));
      };
      try {
        start((error, channel) => (error ? fail(error) : resolve(channel as T)));
      } catch (error) {
        fail(error instanceof Error ? error : new Error(String(error)));
      }
    });
  }
}
