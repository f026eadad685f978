import { readFile } from 'node:fs/promises';
import type { ServerHostKeyAlgorithm } from 'ssh2';
import { SavepointError, sentenceOf } from '../errors.ts';
import {
  fingerprint,
  type KnownHost,
  keyType,
  knownHostName,
  matchesHost,
  parseKnownHosts,
} from './known-hosts.ts';
import { hostKeyAlgorithms } from './ssh-algorithms.ts';
import { askForKnownHosts } from './ssh-programs.ts';
import { type SshTarget, targetName } from './ssh-target.ts';

/** Decides whether the key that a host shows is the one that is known for it. */
export interface HostKeyCheck {
  /** Signature algorithms to ask for, those of known keys first, as OpenSSH does. */
  readonly algorithms: ServerHostKeyAlgorithm[];
  /** What is wrong with the key, if anything. */
  refuse(key: Buffer): SavepointError | undefined;
}

/**
 * Reads all that is known about the host.
 * @throws SavepointError `known-hosts-missing` for a file that is there but cannot be read.
 */
export async function loadHostKeyCheck(target: SshTarget): Promise<HostKeyCheck> {
  if (target.hostKeyCheck === 'accept-any') {
    return { algorithms: accepted(target), refuse: () => undefined };
  }
  const hosts: KnownHost[] = [];
  const lookedIn: string[] = [];
  const take = (text: string, source: string) => {
    const { hosts: found, unreadable } = parseKnownHosts(text, source);
    hosts.push(...found);
    const bad = unreadable.length > 0 ? ` (not understood: line ${unreadable.join(', ')})` : '';
    lookedIn.push(`${source}${bad}`);
  };
  if (target.knownHosts !== undefined) take(target.knownHosts, 'the known-hosts lines given');
  for (const file of target.knownHostsFiles) {
    const text = await readKnownHosts(file);
    if (text === undefined) lookedIn.push(`${file} (absent)`);
    else take(text, file);
  }
  if (target.knownHostsCommand !== undefined) {
    take(await askForKnownHosts(target.knownHostsCommand), 'the output of KnownHostsCommand');
  }
  if (target.revokedHostKeys !== undefined) {
    hosts.push(...(await readRevoked(target.revokedHostKeys)));
  }
  return checkAgainst(target, hosts, lookedIn);
}

async function readKnownHosts(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw new SavepointError('known-hosts-missing', {
      message: `The known_hosts file ${file} cannot be read: ${sentenceOf(error)}`,
      details: { file },
      cause: error,
    });
  }
}

/** Keys that no host may have, one a line (ssh_config(5), RevokedHostKeys). */
async function readRevoked(file: string): Promise<KnownHost[]> {
  const text = await readKnownHosts(file);
  // A list that cannot be read must not count as an empty one.
  if (text === undefined || text.startsWith('SSHKRL')) {
    throw new SavepointError('known-hosts-missing', {
      message: text
        ? `RevokedHostKeys ${file} is a binary revocation list, which is not supported; list the keys as text.`
        : `RevokedHostKeys ${file} does not exist.`,
      details: { file },
    });
  }
  const marked = text.replace(/^(?=[^\s#])/gm, '@revoked * ');
  return parseKnownHosts(marked, file).hosts;
}

function checkAgainst(target: SshTarget, hosts: KnownHost[], lookedIn: string[]): HostKeyCheck {
  const name = target.hostKeyAlias ?? knownHostName(target.name, target.port);
  const known = hosts.filter((entry) => matchesHost(entry, name));
  // OpenSSH also takes a key that is listed for the name alone when the one with the port is
  // not listed at all (sshconnect.c, "checking without port identifier").
  const bare = target.name.toLowerCase();
  const fallback =
    target.hostKeyAlias === undefined && target.port !== 22 && !known.some(isPlain)
      ? hosts.filter((entry) => matchesHost(entry, bare))
      : [];
  return {
    algorithms: knownFirst(accepted(target), [...known, ...fallback].filter(isPlain)),
    refuse: (key) => {
      const shown = `${keyType(key)} ${fingerprint(key)}`;
      const facts: Facts = { target, name, shown, lookedIn };
      const same = (entry: KnownHost) => entry.key.equals(key);
      const revoked = [...known, ...fallback].find((entry) => isRevoked(entry) && same(entry));
      if (revoked) return revokedKey(facts, revoked);
      if (known.some((entry) => isPlain(entry) && same(entry))) return undefined;
      if (fallback.some((entry) => isPlain(entry) && same(entry))) return undefined;
      const other = known.filter(isPlain);
      if (other.length > 0) return changedKey(facts, other);
      return unknownKey(facts, known.find(isAuthority), fallback.filter(isPlain));
    },
  };
}

const isPlain = (entry: KnownHost) => entry.marker === 'none';
const isRevoked = (entry: KnownHost) => entry.marker === 'revoked';
const isAuthority = (entry: KnownHost) => entry.marker === 'cert-authority';

function accepted(target: SshTarget): ServerHostKeyAlgorithm[] {
  return [...(target.hostKeyAlgorithms ?? hostKeyAlgorithms.usual)] as ServerHostKeyAlgorithm[];
}

function knownFirst(
  algorithms: ServerHostKeyAlgorithm[],
  known: readonly KnownHost[],
): ServerHostKeyAlgorithm[] {
  const types = new Set(known.map((entry) => entry.type));
  const isKnown = (algorithm: string) =>
    types.has(algorithm.startsWith('rsa-sha2-') ? 'ssh-rsa' : algorithm);
  return [...algorithms.filter(isKnown), ...algorithms.filter((algorithm) => !isKnown(algorithm))];
}

interface Facts {
  target: SshTarget;
  name: string;
  /** Type and fingerprint of the key that the host showed. */
  shown: string;
  lookedIn: string[];
}

const at = ({ source, line }: KnownHost) => `${source}:${line}`;
const described = (entry: KnownHost) => `${entry.type} ${fingerprint(entry.key)} (${at(entry)})`;

function unknownKey(
  { target, name, shown, lookedIn }: Facts,
  authority: KnownHost | undefined,
  withoutPort: KnownHost[],
): SavepointError {
  const port = target.port === 22 ? '' : `-p ${target.port} `;
  const scan = `\`ssh-keyscan ${port}${target.name}\``;
  return new SavepointError('host-key-unknown', {
    message: authority
      ? `${targetName(target)} is trusted through a certificate authority (${at(authority)}), but host certificates are not supported; its own key is not known.`
      : `The key of ${targetName(target)} is not in any known_hosts that was looked at.`,
    details: {
      host: targetName(target),
      name,
      shown,
      lookedIn: lookedIn.length > 0 ? lookedIn : ['nothing: neither lines nor files were given'],
      ...(withoutPort.length > 0 && { knownWithoutPort: withoutPort.map(described) }),
    },
    hint: `Get the line with ${scan}, compare its fingerprint with one read on the host itself (\`ssh-keygen -lf\` on /etc/ssh/ssh_host_*_key.pub), and add it to known_hosts.`,
  });
}

function changedKey({ target, name, shown }: Facts, known: KnownHost[]): SavepointError {
  const ofSameType = known.filter((entry) => shown.startsWith(`${entry.type} `));
  const offending = (ofSameType.length > 0 ? ofSameType : known).map(at);
  return new SavepointError('host-key-changed', {
    message: `The key of ${targetName(target)} is not the one that ${offending.join(', ')} has for it.`,
    details: {
      host: targetName(target),
      name,
      shown,
      known: known.map(described),
      offending,
    },
    hint: 'Either the host was installed anew, or somebody is in between. Find out which before you replace that line.',
  });
}

function revokedKey({ target, name, shown }: Facts, revoked: KnownHost): SavepointError {
  return new SavepointError('host-key-revoked', {
    message: `The key of ${targetName(target)} is marked as revoked in ${at(revoked)}.`,
    details: { host: targetName(target), name, shown, revoked: at(revoked) },
  });
}
