import type { Host } from './host.ts';
import { openLocal } from './local.ts';
import type { HostTarget } from './target.ts';

export interface OpenOptions {
  /** For keys that are encrypted; the entries take it from SAVEPOINT_KEY_PASSPHRASE. */
  passphrase?: string;
  /** Gives up connecting. */
  signal?: AbortSignal;
  /** The first command makes the connection, not this: then that fails when the host is away. */
  later?: boolean;
}

/**
 * Opens a host as it is configured.
 * @throws SavepointError what `openSsh` and `connectBackend` throw
 */
export async function openHost(config: HostTarget, options: OpenOptions = {}): Promise<Host> {
  if (config.type === 'local') return openLocal();
  if (config.type === 'backend') {
    const { connectBackend } = await import('./backend/open.ts');
    return connectBackend(config, options.signal ? { signal: options.signal } : {});
  }
  // Loading ssh2 takes as long as a short job: only when a host is remote.
  const { openSsh } = await import('./ssh.ts');
  return openSsh(config, options);
}
