import { SavepointError } from '../errors.ts';
import type { Decided } from './types.ts';

/**
 * Why a transaction that was open is over, when the host ended it by itself.
 * @param error What the host answered when it was asked for something else.
 * @param fate What it says of the end; where it says nothing the error stands.
 * @returns `lease-expired`, `host-rebooted`, or the error as it was.
 */
export async function explained(
  error: SavepointError,
  fate: Promise<Decided>,
  lease: number,
): Promise<SavepointError> {
  const decided = await fate.catch(() => undefined);
  if (decided?.decision !== 'rollback') return error;
  const { by } = decided;
  if (by === 'watchdog') {
    return new SavepointError('lease-expired', {
      message: `The host heard nothing for longer than the lease of ${lease} s, or met the deadline, and rolled back.`,
      details: { by },
      cause: error,
    });
  }
  return by === 'boot' ? rebooted(error) : error;
}

/** The host restarted, and recovery at boot rolled back. */
export function rebooted(cause?: unknown): SavepointError {
  return new SavepointError('host-rebooted', {
    message: 'The host restarted, which no phase had announced, and rolled the change back.',
    details: { by: 'boot' },
    hint: 'A phase that restarts its host says `reboot: expected`.',
    ...(cause !== undefined && { cause }),
  });
}
