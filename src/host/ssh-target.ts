import type { SshHostConfig } from '../job/host-config.ts';

/**
 * Everything that decides how a host is reached: what the job says and, beneath it, what
 * ssh_config says. Plain data, so that it can be kept with the transaction: a later step must
 * not depend on files that have changed since.
 */
export interface SshTarget extends Omit<SshHostConfig, 'sshConfig'> {
  port: number;
  user: string;
  agent?: string;
  knownHostsFiles: string[];
  hostKeyCheck: 'strict' | 'accept-any';
  sudo: boolean;
  connectTimeout: number;
  /** What the host was asked for as, when ssh_config made another name of it. */
  alias?: string;
  /** The name that known_hosts lists the host by, without a port, when it is another. */
  hostKeyAlias?: string;
  /** Further key files, in the order in which they are tried; those that are absent are skipped. */
  keyFiles?: string[];
  /** Offer only keys that are named here, though the agent may sign with them. */
  identitiesOnly?: boolean;
  /** Hosts to go through, nearest first. Each has its own keys and its own known_hosts. */
  jumps?: SshTarget[];
  /** Seconds between questions to a host that has not been heard; default 5. */
  aliveInterval?: number;
  /** Unanswered questions until the link counts as dead; default 3. */
  aliveCountMax?: number;
  /** Algorithms in the order in which they are offered; each list replaces the default one. */
  ciphers?: string[];
  macs?: string[];
  kexAlgorithms?: string[];
  hostKeyAlgorithms?: string[];
  /** Kind of addresses to connect to; 0 for both. */
  addressFamily?: 0 | 4 | 6;
  /** A file of keys that no host may have. */
  revokedHostKeys?: string;
  /** A program on this machine whose standard streams lead to the host, in place of TCP. */
  proxyCommand?: string;
  /** A program on this machine that writes further lines of known_hosts. */
  knownHostsCommand?: string;
  /** A program that is run on this machine once the host is connected to. */
  localCommand?: string;
}

/** `user@name:port`, for people and logs. */
export function targetName({ user, name, port }: SshTarget): string {
  return `${user}@${name.includes(':') ? `[${name}]` : name}:${port}`;
}
