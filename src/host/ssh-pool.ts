import { ChannelRefused, openConnection, type SshConnection } from './ssh-connection.ts';
import type { Login } from './ssh-login.ts';

/** What OpenSSH allows on one connection unless told otherwise (sshd_config(5), MaxSessions). */
const usualLimit = 10;

/** Refusals of a channel that may be due to others that have only just ended. */
const patience = 2;

/** A connection and how much of it is in use. */
interface Slot {
  readonly connection: Promise<SshConnection>;
  inUse: number;
  limit: number;
  /** Takes nothing new: it is over, or could not be made. */
  spent: boolean;
}

/**
 * The connections to one host. There is one as long as that is enough; when the server allows no
 * more channels on it there is another, and when it broke the next command makes a new one.
 */
export class ConnectionPool {
  readonly #route: readonly Login[];
  readonly #slots = new Set<Slot>();

  constructor(route: readonly Login[]) {
    this.#route = route;
  }

  /** Makes the first connection, so that what is wrong with the host is known at once. */
  async open(signal?: AbortSignal): Promise<void> {
    await this.#add(signal).connection;
  }

  /** Does something that needs a channel, on a connection that has room for it. */
  async with<T>(use: (connection: SshConnection) => Promise<T>): Promise<T> {
    for (let refusals = 1, alone = 1; ; refusals++) {
      const slot = [...this.#slots].find(hasRoom) ?? this.#add();
      slot.inUse++;
      try {
        return await use(await slot.connection);
      } catch (error) {
        if (!(error instanceof ChannelRefused)) throw error;
        const others = slot.inUse - 1;
        if (others === 0 && alone++ > patience) throw error;
        // The others have all there is; more must not be asked of this connection.
        if (others > 0 && refusals > patience) slot.limit = others;
        // A channel that has ended counts for the server until it has tidied up.
        await (await slot.connection).roundTrip();
      } finally {
        slot.inUse--;
      }
    }
  }

  async close(): Promise<void> {
    const slots = [...this.#slots];
    this.#slots.clear();
    await Promise.all(
      slots.map(async ({ connection }) => {
        const open = await connection.catch(() => undefined);
        await open?.end();
      }),
    );
  }

  #add(signal?: AbortSignal): Slot {
    const slot: Slot = {
      connection: openConnection(this.#route, signal),
      inUse: 0,
      limit: usualLimit,
      spent: false,
    };
    this.#slots.add(slot);
    const drop = () => {
      slot.spent = true;
      this.#slots.delete(slot);
    };
    slot.connection.then((connection) => connection.over.then(drop), drop);
    return slot;
  }
}

function hasRoom(slot: Slot): boolean {
  return !slot.spent && slot.inUse < slot.limit;
}
