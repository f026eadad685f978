import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Sshd, startSshd } from '../../host/sshd.ts';
import { aptHost } from './apt-host.ts';
import { makeAptRepository } from './apt-repository.ts';
import { type Mirror, serve } from './mirror.ts';
import type { ScratchHost } from './scratch-host.ts';

/** An sshd, and two mirrors with a version each of the same package. */
export interface AptLab extends AsyncDisposable {
  readonly sshd: Sshd;
  /** What hosts are configured with; has version 1.0. */
  readonly old: Mirror;
  /** What the change under test brings; has version 2.0. */
  readonly good: Mirror;
  /** A host of its own for a test, reached through the sshd. */
  host(): Promise<ScratchHost>;
}

export async function startAptLab(): Promise<AptLab> {
  const folder = mkdtempSync(join(tmpdir(), 'savepoint-mirrors-'));
  const mirror = async (version: string): Promise<Mirror> => {
    mkdirSync(join(folder, version));
    await makeAptRepository(join(folder, version), version);
    return await serve(join(folder, version));
  };
  const [old, good, sshd] = await Promise.all([mirror('1.0'), mirror('2.0'), startSshd()]);
  return {
    sshd,
    old,
    good,
    host: () => aptHost(sshd, old.url),
    [Symbol.asyncDispose]: async () => {
      for (const each of [sshd, old, good]) await each[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
