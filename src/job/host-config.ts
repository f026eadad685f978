/** The machine that this process runs on. */
export interface LocalHostConfig {
  type: 'local';
  /** Run the guard through `sudo -n`. */
  sudo: boolean;
}

/** A machine reached over SSH. */
export interface SshHostConfig {
  type: 'ssh';
  /** Name or address to connect to; an IPv6 address has no brackets. */
  name: string;
  port: number;
  user: string;
  /** Absolute path of a private key file. */
  key?: string;
  /** The private key itself, from the environment or an input. Never stored, never printed. */
  keyText?: string;
  /** Path of an SSH agent's socket. */
  agent?: string;
  /** Lines in the format of known_hosts, as given in the job or an input. */
  knownHosts?: string;
  /** Absolute paths of known_hosts files; those that nobody asked for by name may be absent. */
  knownHostsFiles: string[];
  /** `strict` refuses a host whose key is unknown; `accept-any` checks nothing. */
  hostKeyCheck: 'strict' | 'accept-any';
  /** Run the guard through `sudo -n`. */
  sudo: boolean;
  /** Seconds until a connection that was not made is given up. */
  connectTimeout: number;
}

/** Which host a transaction is on and how to reach it. */
export type HostConfig = LocalHostConfig | SshHostConfig;
