import { readFile } from 'node:fs/promises';
import ssh2, { type AnyAuthMethod, type ParsedKey } from 'ssh2';
import { SavepointError } from '../errors.ts';
import { type AgentKey, agentKeys } from './ssh-agent.ts';
import { describeKey, parsePrivateKey, readKeyFile } from './ssh-keys.ts';
import { type SshTarget, targetName } from './ssh-target.ts';

/** One key that can be offered to a host. */
export interface Identity {
  /** For people: where it is from, its type and fingerprint. */
  readonly label: string;
  method(user: string): AnyAuthMethod;
}

export interface Identities {
  /** In the order in which they are offered. */
  readonly offered: Identity[];
  /** What could not be used, and why. */
  readonly passedOver: string[];
}

/**
 * Collects the keys for a host: the one named by the job, those of ssh_config, then the agent's.
 * A file that cannot be used by itself, such as an encrypted one or only a public key, stands for
 * the same key in the agent.
 * @throws SavepointError `key-missing`, `key-unreadable`, `key-bad` for a key that was named by
 *   the job; `key-missing` when there is none at all.
 */
export async function loadIdentities(target: SshTarget, passphrase?: string): Promise<Identities> {
  const passedOver: string[] = [];
  const agent = await askAgent(target, passedOver);
  const offered: Identity[] = [];
  const takeFile = async (file: string) => {
    try {
      offered.push(ownKey(parsePrivateKey(await readKeyFile(file), file, passphrase), file));
    } catch (error) {
      const inAgent = agent.find(same(await publicPart(file)));
      if (!inAgent) throw error;
      offered.push(inAgent);
    }
  };
  if (target.keyText !== undefined) {
    const source = 'the environment';
    offered.push(ownKey(parsePrivateKey(target.keyText, source, passphrase), source));
  }
  if (target.key !== undefined) await takeFile(target.key);
  for (const file of target.keyFiles ?? []) {
    await takeFile(file).catch((error: unknown) => {
      // A list of keys that may be there, as in ssh_config: what cannot be used is not offered.
      if (!(error instanceof SavepointError)) throw error;
      passedOver.push(error.message);
    });
  }
  if (!target.identitiesOnly) offered.push(...agent.filter((key) => !offered.includes(key)));
  if (offered.length > 0) return { offered, passedOver };
  throw new SavepointError('key-missing', {
    message: `There is no key to log in to ${targetName(target)} with.`,
    details: { host: targetName(target), ...(passedOver.length > 0 && { passedOver }) },
    hint: 'Name a key file, give the key in the environment, or start an agent that has it.',
  });
}

async function askAgent(target: SshTarget, passedOver: string[]): Promise<AgentKey[]> {
  if (target.agent === undefined) return [];
  try {
    return await agentKeys(target.agent);
  } catch (error) {
    if (!(error instanceof SavepointError)) throw error;
    passedOver.push(error.message);
    return [];
  }
}

function ownKey(key: ParsedKey, source: string): Identity {
  return {
    label: `${source} (${describeKey(key)})`,
    method: (username) => ({ type: 'publickey', username, key }),
  };
}

/** The public key that lies beside a private one, or in its place. */
async function publicPart(file: string): Promise<Buffer | undefined> {
  for (const candidate of [`${file}.pub`, file]) {
    const text = await readFile(candidate, 'utf8').catch(() => undefined);
    if (text === undefined || text.includes('PRIVATE KEY')) continue;
    const key = ssh2.utils.parseKey(text);
    if (!(key instanceof Error)) return key.getPublicSSH();
  }
  return undefined;
}

function same(publicKey: Buffer | undefined): (key: AgentKey) => boolean {
  return (key) => publicKey?.equals(key.publicKey) ?? false;
}
