import { createHash } from 'node:crypto';
import { homedir, hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { badConfig, type ConfigPlace } from './problem.ts';

/** What the `%` tokens of ssh_config(5) stand for. */
export interface Tokens {
  /** As it was asked for. */
  readonly original: string;
  /** After HostName. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** HostKeyAlias, or the original name. */
  readonly keyName: string;
  readonly jumps: string;
  readonly local: LocalUser;
}

/** Who runs this, on which machine. */
export interface LocalUser {
  readonly name: string;
  readonly home: string;
  readonly uid: number;
  readonly machine: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

export function localUser(env: LocalUser['env'] = process.env): LocalUser {
  const { username, uid } = userInfo();
  return { name: username, home: homedir(), uid, machine: hostname(), env };
}

/** Replaces the tokens in a value. */
export function expandTokens(value: string, tokens: Tokens, place: ConfigPlace): string {
  const { local } = tokens;
  const meanings: Record<string, string> = {
    '%': '%',
    C: connectionHash(tokens),
    d: local.home,
    h: tokens.host,
    i: String(local.uid),
    j: tokens.jumps,
    k: tokens.keyName,
    L: local.machine.split('.')[0] ?? '',
    l: local.machine,
    n: tokens.original,
    p: String(tokens.port),
    r: tokens.user,
    u: local.name,
  };
  return value.replace(/%(.?)/g, (token, letter: string) => {
    const meaning = meanings[letter];
    if (meaning !== undefined) return meaning;
    throw badConfig(place, `The token ${token} has no meaning here.`, {
      found: value,
      allowed: Object.keys(meanings)
        .map((known) => `%${known}`)
        .join(' '),
    });
  });
}

/** Only `%h` and `%%` have a meaning in HostName. */
export function expandHostName(value: string, original: string, place: ConfigPlace): string {
  return value.replace(/%(.?)/g, (token, letter: string) => {
    if (letter === 'h') return original;
    if (letter === '%') return '%';
    throw badConfig(place, `The token ${token} has no meaning in HostName.`, {
      found: value,
      allowed: '%h, %%',
    });
  });
}

/** `~` at the beginning of a path is one's own home; those of others are not looked up. */
export function expandHome(path: string, local: LocalUser, place: ConfigPlace): string {
  if (!path.startsWith('~')) return path;
  const [user = '', ...rest] = path.slice(1).split('/');
  if (user !== '' && user !== local.name) {
    throw badConfig(place, 'Only your own home can be written as ~.', { found: path });
  }
  return join(local.home, ...rest);
}

/** `${NAME}` stands for a variable of the environment, which must be set. */
export function expandVariables(value: string, local: LocalUser, place: ConfigPlace): string {
  return value.replace(/\$\{([^}]*)\}/g, (_, name: string) => {
    const set = local.env[name];
    if (set !== undefined) return set;
    throw badConfig(place, `The variable ${name} is not set.`, { found: value });
  });
}

/** ssh_config(5), %C. */
function connectionHash({ local, host, port, user, jumps }: Tokens): string {
  return createHash('sha1').update(`${local.machine}${host}${port}${user}${jumps}`).digest('hex');
}
