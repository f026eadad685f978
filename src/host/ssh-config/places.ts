import { join, resolve } from 'node:path';
import type { SshTarget } from '../ssh-target.ts';
import type { AskedFor, Standing } from './asked.ts';
import type { Setting, Settings } from './read.ts';
import { expandHome, expandTokens, expandVariables, type Tokens } from './tokens.ts';
import { unlessNone, yesOrNo } from './values.ts';

/** ssh_config(5), IdentityFile, those kinds that ssh2 signs with. */
const usualKeys = ['id_rsa', 'id_ecdsa', 'id_ed25519'];

/**
 * The keys to offer: that of the job, or those of the configuration, or those that OpenSSH looks
 * for by itself. On the way to the host, where the job's is a guess, the configuration goes first.
 */
export function identitiesOf(
  asked: AskedFor,
  standing: Standing,
  settings: Settings,
  tokens: Tokens,
): Partial<Pick<SshTarget, 'key' | 'keyText' | 'keyFiles' | 'agent' | 'identitiesOnly'>> {
  const only = settings.single.get('identitiesonly');
  const agent =
    asked.agent === false
      ? undefined
      : (asked.agent ?? agentOf(asked, settings.single.get('identityagent'), tokens));
  const common = {
    ...(agent !== undefined && { agent }),
    ...(only && { identitiesOnly: yesOrNo(only) }),
  };
  const { key, keyText } = asked;
  const named = settings.identityFiles;
  const guessed = standing === 'inherited' && named.length > 0;
  if (!guessed && key !== undefined) return { ...common, key };
  if (!guessed && keyText !== undefined) return { ...common, keyText };
  const keyFiles =
    named.length > 0
      ? named.filter(unlessNone).map((setting) => pathOf(setting.words[0] ?? '', setting, tokens))
      : usualKeys.map((name) => join(tokens.local.home, '.ssh', name));
  return { ...common, keyFiles };
}

/** A job that names its key does not mean whatever else an agent has, unless it says so. */
function agentOf(
  asked: AskedFor,
  setting: Setting | undefined,
  tokens: Tokens,
): string | undefined {
  if (asked.key !== undefined || asked.keyText !== undefined) return undefined;
  const { env } = tokens.local;
  const written = setting?.words[0] ?? 'SSH_AUTH_SOCK';
  if (setting && !unlessNone(setting)) return undefined;
  if (written === 'SSH_AUTH_SOCK') return env.SSH_AUTH_SOCK || undefined;
  if (/^\$\w+$/.test(written)) return env[written.slice(1)] || undefined;
  return setting && pathOf(written, setting, tokens);
}

/** Where the keys of hosts are known from: what the job gives, or else the files. */
export function hostKeySources(
  asked: AskedFor,
  standing: Standing,
  { single }: Settings,
  tokens: Tokens,
): Pick<SshTarget, 'knownHostsFiles' | 'knownHosts' | 'revokedHostKeys'> {
  const revoked = unlessNone(single.get('revokedhostkeys'));
  const common = revoked && {
    revokedHostKeys: pathOf(revoked.words[0] ?? '', revoked, tokens),
  };
  const { knownHosts, knownHostsFiles } = asked;
  const lines = knownHosts === undefined ? {} : { knownHosts };
  const isAnswered = knownHosts !== undefined || knownHostsFiles !== undefined;
  if (isAnswered && standing === 'own') {
    return { ...common, ...lines, knownHostsFiles: knownHostsFiles ?? [] };
  }
  const own = filesOf(single.get('userknownhostsfile'), tokens) ?? [
    join(tokens.local.home, '.ssh', 'known_hosts'),
    join(tokens.local.home, '.ssh', 'known_hosts2'),
  ];
  const global = filesOf(single.get('globalknownhostsfile'), tokens) ?? [
    '/etc/ssh/ssh_known_hosts',
    '/etc/ssh/ssh_known_hosts2',
  ];
  return { ...common, ...lines, knownHostsFiles: [...(knownHostsFiles ?? []), ...own, ...global] };
}

function filesOf(setting: Setting | undefined, tokens: Tokens): string[] | undefined {
  if (!setting) return undefined;
  if (!unlessNone(setting)) return [];
  return setting.words.map((word) => pathOf(word, setting, tokens));
}

function pathOf(word: string, { place }: Setting, tokens: Tokens): string {
  const path = expandHome(word, tokens.local, place);
  // A later process of the same run may be in another directory.
  return resolve(expandTokens(expandVariables(path, tokens.local, place), tokens, place));
}
