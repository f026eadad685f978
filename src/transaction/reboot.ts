import { SavepointError } from '../errors.ts';
import type { LastWord } from './trailer.ts';
import type { PhaseCommand, PhaseExit } from './types.ts';

/** Looks until a host that let go of a command is not going down. */
const LOOKS = 60;

/** Where a command ran, and since which boot. */
export interface Booted {
  name: string;
  /** Boot id when the command was started; undefined when the host has not told it. */
  before: string | undefined;
  /** Asks for the boot id as it is now; a host that is away is waited for. */
  now(): Promise<string | undefined>;
  /** A second between two looks. */
  pause(): Promise<unknown>;
}

/**
 * How a command ended, from the guard's last word.
 * @throws SavepointError `host-lost` for a command without a status whose host did not restart as
 *   expected; what became of the transaction
 */
export async function exitOf(
  word: LastWord,
  { phase, reboot }: Pick<PhaseCommand, 'phase' | 'reboot'>,
  host: Booted,
): Promise<PhaseExit> {
  if (word !== 'lost') return { code: word };
  // The host may still be on its way down.
  for (let look = 0; reboot !== undefined && look < LOOKS; look++) {
    const now = await host.now();
    if (now && now !== host.before) return { rebooted: now };
    await host.pause();
  }
  throw new SavepointError('host-lost', {
    message: `What watched over the command of phase ${phase} on ${host.name} was killed: nobody knows how it ended.`,
    details: { host: host.name, phase },
  });
}
