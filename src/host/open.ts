import type { LocalHostConfig } from '../job/host-config.ts';
import type { Host } from './host.ts';
import { openLocal } from './local.ts';
import type { SshTarget } from './ssh-target.ts';

export interface OpenOptions {
  /** For keys that are encrypted; the entries take it from SAVEPOINT_KEY_PASSPHRASE. */
  passphrase?: string;
  /** Gives up connecting. */
  signal?: AbortSignal;
}

/**
 * Opens a host as it is configured.
 * @throws SavepointError what `openSsh` throws
 */
export async function openHost(
  config: LocalHostConfig | SshTarget,
  options: OpenOptions = {},
): Promise<Host> {
  if (config.type === 'local') return openLocal();
  // Loading ssh2 takes as long as a short job: only when a host is remote.
  const { openSsh } = await import('./ssh.ts');
  return openSsh(config, options);
}
