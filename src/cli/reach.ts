import type { Host } from '../host/host.ts';
import { locate } from '../host/locate.ts';
import { openHost } from '../host/open.ts';
import type { HostTarget } from '../host/target.ts';
import type { Flags } from '../job/flags.ts';
import type { HostConfig } from '../job/host-config.ts';
import { plain } from '../report/plain.ts';
import { type Io, screenOf } from './io.ts';
import { trustOf } from './trust-options.ts';

/** A host that is open, for a command that is about the host and not about a job. */
export interface Reached extends AsyncDisposable {
  host: Host;
  target: HostTarget;
}

/**
 * Opens a host that somebody named. One of a backend is made ready, and taken back at the end.
 * @throws SavepointError as `locate`, `openBackend` and `openHost`
 */
export async function reach(config: HostConfig, flags: Flags, io: Io): Promise<Reached> {
  const target = await locate(config, trustOf(flags, io));
  if (target.type !== 'backend') return opened(target, io);
  const { callBackend, openBackend } = await import('../host/backend/open.ts');
  const log = (line: string) => screenOf(io, true).line(plain(`backend: ${line}`));
  const ready = await openBackend(target, { log });
  const close = async () => void (await callBackend(ready.backend, 'close', { log }));
  try {
    const reached = await opened(ready.target, io);
    return {
      ...reached,
      [Symbol.asyncDispose]: async () => {
        await reached[Symbol.asyncDispose]();
        await close();
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Opens a host that is known already. @throws SavepointError as `openHost` */
export async function opened(target: HostTarget, { env }: Io): Promise<Reached> {
  const passphrase = env.SAVEPOINT_KEY_PASSPHRASE;
  const host = await openHost(target, passphrase === undefined ? {} : { passphrase });
  return { host, target, [Symbol.asyncDispose]: () => host.close() };
}
