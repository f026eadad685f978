/** The machine that this process runs on. */
export interface LocalHostConfig {
  type: 'local';
  /** Run the guard through `sudo -n`. */
  sudo: boolean;
}

/** How to log in, as far as somebody said so; what is left out ssh_config says, or OpenSSH's defaults. */
export interface SshLoginConfig {
  port?: number;
  user?: string;
  /** Absolute path of a private key file. */
  key?: string;
  /** The private key itself, from the environment or an input. Never stored, never printed. */
  keyText?: string;
  /** Path of an SSH agent's socket; false for none, whatever SSH_AUTH_SOCK says. */
  agent?: string | false;
  /** Lines in the format of known_hosts, as given in the job or an input. */
  knownHosts?: string;
  /** Absolute paths of known_hosts files; those that nobody asked for by name may be absent. */
  knownHostsFiles?: string[];
  /** `strict`, the default, refuses a host whose key is unknown; `accept-any` checks nothing. */
  hostKeyCheck?: 'strict' | 'accept-any';
  /** Run the guard through `sudo -n`; unless the user is root when nothing is said. */
  sudo?: boolean;
  /** Seconds until a connection that was not made is given up. */
  connectTimeout?: number;
  /** Absolute path of an ssh_config file instead of OpenSSH's usual ones; `none` for no file. */
  sshConfig?: string;
}

/** A machine reached over SSH. */
export interface SshHostConfig extends SshLoginConfig {
  type: 'ssh';
  /** Name or address to connect to, or what ssh_config calls it; an IPv6 address has no brackets. */
  name: string;
}

/** A machine that a program of the lab makes ready and takes back (docs/backends.md). */
export interface BackendHostConfig extends SshLoginConfig {
  type: 'backend';
  /** Absolute path of the ES module or executable. */
  use: string;
  /** What it is told, as it is: its own business. */
  with: Record<string, unknown>;
}

/** Which host a transaction is on and how to reach it, as it was asked for. */
export type HostConfig = LocalHostConfig | SshHostConfig | BackendHostConfig;

/** The private key that was given as text, if one was. */
export function keyTextOf(host: HostConfig): string | undefined {
  return host.type === 'local' ? undefined : host.keyText;
}
