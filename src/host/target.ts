import type { LocalHostConfig, SshLoginConfig } from '../job/host-config.ts';
import { type SshTarget, targetName } from './ssh-target.ts';

/** A backend as a later process of the same run finds it again. Plain data. */
export interface BackendUse {
  /** Absolute path of the module or executable, with no symbolic link in it. */
  use: string;
  /** SHA-256 of that file: what changed since is not run. */
  sha256: string;
  /** Chosen before it is opened, so that it can be closed whatever became of opening it. */
  id: string;
  /** What the job tells it. */
  with: Record<string, unknown>;
  /** It has said that the host is there. */
  opened: boolean;
  /** What it said at open and wants to be told again. */
  state?: unknown;
  /** Of `close`, `revert` and `reboot` those it has. */
  can: string[];
}

/** A host that a backend makes ready, or one that it runs the commands of itself. */
export interface BackendTarget {
  type: 'backend';
  sudo: boolean;
  backend: BackendUse;
  /** What an endpoint leaves out. */
  login: SshLoginConfig;
}

/** Which host it is and all that is needed to reach it, whatever files say by then. */
export type HostTarget = LocalHostConfig | SshTarget | BackendTarget;

/** `local`, `user@name:port`, or the backend's id; for people and logs. */
export function hostName(target: HostTarget): string {
  if (target.type === 'local') return 'local';
  return target.type === 'ssh' ? targetName(target) : target.backend.id;
}

/** What a person calls it: the name that was asked for, whatever ssh_config made of it. */
export function shortName(target: HostTarget): string {
  return target.type === 'ssh' ? (target.alias ?? target.name) : hostName(target);
}

/** How a person names it on a command line; undefined where only a record leads to it. */
export function hostArgument(target: HostTarget): string | undefined {
  if (target.type === 'local') return 'local';
  if (target.type === 'backend') return undefined;
  return `ssh://${target.alias ?? targetName(target)}`;
}

/** The target as it may be written to disk, of which a private key is never part. */
export function withoutKeyText<Target extends HostTarget>(target: Target): Target;
export function withoutKeyText(target: HostTarget): HostTarget {
  if (target.type === 'local') return target;
  if (target.type === 'backend') {
    const { keyText: _secret, ...login } = target.login;
    return { ...target, login };
  }
  const { keyText: _secret, jumps, ...rest } = target;
  return { ...rest, ...(jumps && { jumps: jumps.map((jump) => withoutKeyText(jump)) }) };
}

/** Puts a key's text back, also for the hosts on the way that had none of their own. */
export function withKeyText(target: HostTarget, keyText: string): HostTarget {
  return target.type === 'ssh' ? sshWithKeyText(target, keyText) : target;
}

function sshWithKeyText(target: SshTarget, keyText: string): SshTarget {
  const { jumps, ...rest } = target;
  const hasOwn = rest.key !== undefined || rest.keyFiles !== undefined;
  return {
    ...rest,
    ...(!hasOwn && { keyText }),
    ...(jumps && { jumps: jumps.map((jump) => sshWithKeyText(jump, keyText)) }),
  };
}
