import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { resolve, sep } from 'node:path';
import { SavepointError } from '../errors.ts';
import type { BackendHostConfig, HostConfig } from '../job/host-config.ts';
import { inspectBackend } from './backend/load.ts';
import { resolveConfigured } from './ssh-config/configured.ts';
import { type SshTarget, targetName } from './ssh-target.ts';
import type { BackendTarget, HostTarget } from './target.ts';
import type { Trust } from './trust.ts';

/**
 * Finds out how a host is reached. Nothing is connected to; a backend is not run yet.
 * @throws SavepointError `ssh-config-bad`, `ssh-config-program`, `key-missing`, `backend-bad`, `backend-refused`
 */
export async function locate(host: HostConfig, trust: Trust = {}): Promise<HostTarget> {
  switch (host.type) {
    case 'local':
      return host;
    case 'ssh': {
      const { type: _ssh, sshConfig, ...asked } = host;
      const target = await resolveConfigured(asked, sshConfig, trust.programs);
      mustHaveKey(target);
      return target;
    }
    case 'backend':
      return locateBackend(host, trust);
  }
}

/** Told before anything else happens; whether the keys are of use is seen when they are read. */
function mustHaveKey(target: SshTarget): void {
  const { key, keyText, agent, keyFiles = [] } = target;
  if (key !== undefined || keyText !== undefined || agent !== undefined) return;
  if (keyFiles.some((file) => existsSync(file))) return;
  throw new SavepointError('key-missing', {
    message: `There is no SSH key to log in to ${targetName(target)} with.`,
    place: { field: 'host' },
    details: { found: `none of ${keyFiles.join(', ')}`, allowed: 'key, key-env or agent' },
    hint: 'Name a key file with "key", or start an agent that has it.',
  });
}

async function locateBackend(host: BackendHostConfig, trust: Trust): Promise<BackendTarget> {
  const { type, use, with: told, ...login } = host;
  const found = await inspectBackend(use);
  await mustBeTrusted(found.use, trust);
  const id = `savepoint-${randomBytes(6).toString('hex')}`;
  return {
    type,
    // Until an endpoint says who logs in.
    sudo: host.sudo ?? false,
    backend: { ...found, id, with: told, opened: false, can: [] },
    login,
  };
}

/** What a patch can change must not run on this machine unless a person named it. */
async function mustBeTrusted(file: string, { backends = [], workspace }: Trust): Promise<void> {
  if (workspace === undefined) return;
  const folder = await realpath(workspace).catch(() => resolve(workspace));
  if (!file.startsWith(folder + sep)) return;
  for (const name of backends) {
    for (const path of [resolve(folder, name), resolve(name)]) {
      if ((await realpath(path).catch(() => undefined)) === file) return;
    }
  }
  throw new SavepointError('backend-refused', {
    message: `The backend ${file} lies in the workspace, where a patch can change it.`,
    place: { field: 'host.use' },
    details: {
      found: file,
      allowed: `a file outside of ${folder}, or one that is allowed by name`,
    },
    hint: 'Keep it elsewhere, or allow it with --allow-backend or the input allow-backend.',
  });
}
