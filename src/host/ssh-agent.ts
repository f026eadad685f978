import ssh2, { type AnyAuthMethod, type BaseAgent, type ParsedKey } from 'ssh2';
import { SavepointError } from '../errors.ts';
import { describeKey } from './ssh-keys.ts';

/** A key that an agent signs with; its private part never leaves the agent. */
export interface AgentKey {
  readonly label: string;
  readonly publicKey: Buffer;
  method(user: string): AnyAuthMethod;
}

/**
 * The keys of the agent behind a socket.
 * @throws SavepointError `key-missing` when it does not answer
 */
export async function agentKeys(path: string): Promise<AgentKey[]> {
  const agent = ssh2.createAgent(path);
  const found = await new Promise<unknown[]>((resolve, reject) => {
    agent.getIdentities((error, keys) => {
      if (!error) return resolve(keys ?? []);
      reject(
        new SavepointError('key-missing', {
          message: `The SSH agent at ${path} does not answer.`,
          cause: error,
        }),
      );
    });
  });
  return found.map(asParsedKey).flatMap((key) => (key ? [agentKey(agent, path, key)] : []));
}

/** Undefined for kinds of key that ssh2 does not know, such as those of hardware tokens. */
function asParsedKey(key: unknown): ParsedKey | undefined {
  const parsed = ssh2.utils.parseKey(key as ParsedKey);
  return parsed instanceof Error ? undefined : parsed;
}

function agentKey(agent: BaseAgent, path: string, key: ParsedKey): AgentKey {
  return {
    label: `agent ${path} (${describeKey(key)})`,
    publicKey: key.getPublicSSH(),
    method: (username) => ({ type: 'agent', username, agent: reducedTo(agent, key) }),
  };
}

/** The agent with one of its keys only, so that each try has its name in an error. */
function reducedTo(agent: BaseAgent, key: ParsedKey): BaseAgent {
  return Object.assign(Object.create(agent), {
    getIdentities: (done: (error: undefined, keys: ParsedKey[]) => void) => done(undefined, [key]),
  });
}
