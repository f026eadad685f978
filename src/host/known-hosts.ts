import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/** One usable line of a known_hosts file (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). */
export interface KnownHost {
  /** The file, or what else the line came from. */
  readonly source: string;
  /** Counted from 1. */
  readonly line: number;
  readonly marker: 'none' | 'revoked' | 'cert-authority';
  /** Names, addresses and patterns, separated by commas, or one hashed name. */
  readonly hosts: string;
  /** Type of the key as its own bytes say it, such as `ssh-ed25519`. */
  readonly type: string;
  /** The public key as the host sends it. */
  readonly key: Buffer;
}

export interface KnownHostsFile {
  readonly hosts: KnownHost[];
  /** Lines that are neither blank nor a comment and yet say nothing that can be used. */
  readonly unreadable: number[];
}

/** Reads the text of a known_hosts file. As in OpenSSH, a line that makes no sense is passed over. */
export function parseKnownHosts(text: string, source: string): KnownHostsFile {
  const hosts: KnownHost[] = [];
  const unreadable: number[] = [];
  for (const [index, raw] of text.split('\n').entries()) {
    const content = raw.trim();
    if (content === '' || content.startsWith('#')) continue;
    const entry = parseLine(content, source, index + 1);
    if (entry) hosts.push(entry);
    else unreadable.push(index + 1);
  }
  return { hosts, unreadable };
}

function parseLine(content: string, source: string, line: number): KnownHost | undefined {
  const words = content.split(/[ \t]+/);
  const marker = markers.get(words[0] ?? '');
  if (words[0]?.startsWith('@')) {
    if (!marker) return undefined;
    words.shift();
  }
  const [hosts, type, base64] = words;
  if (!hosts || !type || !base64 || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined;
  const key = Buffer.from(base64, 'base64');
  if (keyType(key) !== type) return undefined;
  return { source, line, marker: marker ?? 'none', hosts, type, key };
}

const markers = new Map([
  ['@revoked', 'revoked'],
  ['@cert-authority', 'cert-authority'],
] as const satisfies [string, KnownHost['marker']][]) as Map<string, KnownHost['marker']>;

/** The type that a public key in SSH's format starts with (RFC 4253 §6.6); '' when it is none. */
export function keyType(key: Buffer): string {
  if (key.length < 4) return '';
  const length = key.readUInt32BE(0);
  return length < key.length - 4 ? key.toString('latin1', 4, 4 + length) : '';
}

/** The fingerprint as OpenSSH shows it: `SHA256:` and base64 without padding. */
export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`;
}

/** The name under which known_hosts lists a host: with its port unless that is 22. */
export function knownHostName(name: string, port: number): string {
  const lower = name.toLowerCase();
  return port === 22 ? lower : `[${lower}]:${port}`;
}

/** Whether the line is about the host, given as `knownHostName` writes it. */
export function matchesHost(entry: KnownHost, name: string): boolean {
  return entry.hosts.startsWith('|')
    ? matchesHash(entry.hosts, name)
    : matchesPatterns(entry.hosts.split(','), name);
}

/** `|1|salt|hash`: HMAC-SHA1 of the name, salt and hash in base64. */
function matchesHash(hashed: string, name: string): boolean {
  const [, method, salt, hash] = hashed.split('|');
  if (method !== '1' || !salt || !hash) return false;
  const expected = Buffer.from(hash, 'base64');
  const actual = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest();
  return expected.length === actual.length && timingSafeEqual(expected, actual);
}

/**
 * Pattern lists of ssh_config(5): `*` is anything, `?` one character, and a negated pattern
 * that matches overrules all others. The case of letters matters only when it is `exact`.
 */
export function matchesPatterns(
  patterns: readonly string[],
  name: string,
  letters: 'any-case' | 'exact' = 'any-case',
): boolean {
  let matched = false;
  for (const pattern of patterns) {
    const negated = pattern.startsWith('!');
    if (!matchesPattern(negated ? pattern.slice(1) : pattern, name, letters)) continue;
    if (negated) return false;
    matched = true;
  }
  return matched;
}

function matchesPattern(pattern: string, name: string, letters: 'any-case' | 'exact'): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, letters === 'exact' ? 's' : 'is').test(name);
}
