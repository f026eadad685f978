import { connect, createServer, type Socket } from 'node:net';

export interface RelayOptions {
  /** Port that connections are passed on to. */
  to: number;
  /** Address that it is on; 127.0.0.1 unless told. */
  host?: string;
  /** Milliseconds that every byte is late, each way: half of the round-trip time it adds. */
  delayMs?: number;
}

/** A TCP link with a delay, which can break or go silent. */
export interface Relay extends AsyncDisposable {
  readonly port: number;
  /** Bytes passed on so far. */
  readonly bytes: { up: number; down: number };
  /**
   * How often the client began to send after it had last heard the server: the round trips that
   * a conversation needed, however long each took.
   */
  readonly turns: number;
  /** Connections accepted so far. */
  readonly connections: number;
  /** Resets so many of the connections that are made from now on. */
  refuse(next: number): void;
  /** Resets every connection, at both ends. New ones are accepted. */
  cut(): void;
  /** Passes on nothing any more and tells nobody: a half-open link. */
  stall(): void;
  /** Passes on what was held back, in order, and all that follows. */
  resume(): void;
  /** Resets every connection, and each new one too: the host is gone. */
  down(): void;
  /** New connections are passed on again. */
  up(): void;
  stop(): Promise<void>;
}

/** Who spoke last on a connection. */
interface Talk {
  last: 'up' | 'down';
}

export async function startRelay({
  to,
  host = '127.0.0.1',
  delayMs = 0,
}: RelayOptions): Promise<Relay> {
  const state = {
    bytes: { up: 0, down: 0 },
    turns: 0,
    connections: 0,
    stalled: false,
    refused: 0,
    down: false,
  };
  const sockets = new Set<Socket>();
  const lines = new Set<DelayLine>();

  const keep = (socket: Socket) => {
    sockets.add(socket);
    // A reset of one end is passed on to the other by the 'close' below.
    socket.on('error', () => undefined).once('close', () => sockets.delete(socket));
  };
  const pass = (from: Socket, into: Socket, direction: 'up' | 'down', talk: Talk) => {
    const line = new DelayLine(delayMs, (chunk) => {
      if (direction === 'up' && talk.last === 'down') state.turns++;
      talk.last = direction;
      if (chunk === 'end') return void into.end();
      state.bytes[direction] += chunk.length;
      into.write(chunk);
    });
    line.held = state.stalled;
    lines.add(line);
    from.on('data', (chunk) => line.add(chunk));
    from.once('end', () => line.add('end'));
    from.once('close', (hadError) => {
      lines.delete(line);
      if (hadError) into.resetAndDestroy();
    });
  };

  const server = createServer({ noDelay: true, allowHalfOpen: true }, (client) => {
    if (state.down) {
      client.on('error', () => undefined).resetAndDestroy();
      return;
    }
    state.connections++;
    if (state.refused > 0) {
      state.refused--;
      client.on('error', () => undefined).resetAndDestroy();
      return;
    }
    const target = connect({ port: to, host, noDelay: true, allowHalfOpen: true });
    keep(client);
    keep(target);
    const talk: Talk = { last: 'down' };
    pass(client, target, 'up', talk);
    pass(target, client, 'down', talk);
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('No port was given.');

  const cut = () => {
    for (const socket of sockets) socket.resetAndDestroy();
  };
  const hold = (held: boolean) => {
    state.stalled = held;
    for (const line of lines) line.hold(held);
  };
  const stop = async () => {
    cut();
    await new Promise((resolve) => server.close(resolve));
  };
  return {
    port: address.port,
    bytes: state.bytes,
    get turns() {
      return state.turns;
    },
    get connections() {
      return state.connections;
    },
    refuse: (next) => {
      state.refused = next;
    },
    cut,
    stall: () => hold(true),
    resume: () => hold(false),
    down: () => {
      state.down = true;
      cut();
    },
    up: () => {
      state.down = false;
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** Gives out what was put in, in order, each piece a fixed time later. */
class DelayLine {
  held = false;
  readonly #delay: number;
  readonly #give: (chunk: Buffer | 'end') => void;
  readonly #waiting: { chunk: Buffer | 'end'; due: number }[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(delay: number, give: (chunk: Buffer | 'end') => void) {
    this.#delay = delay;
    this.#give = give;
  }

  add(chunk: Buffer | 'end'): void {
    this.#waiting.push({ chunk, due: performance.now() + this.#delay });
    if (!this.#timer) this.#flush();
  }

  hold(held: boolean): void {
    this.held = held;
    if (!held) this.#flush();
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.held) return;
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const wait = next.due - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.#flush(), wait);
        return;
      }
      this.#waiting.shift();
      this.#give(next.chunk);
    }
  }
}
