import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import ssh2, {
  type AnyAuthMethod,
  type AuthenticationType,
  type CipherAlgorithm,
  type Client,
  type ClientErrorExtensions,
  type ConnectConfig,
  type KexAlgorithm,
  type MacAlgorithm,
} from 'ssh2';
import { type SavepointError, sentenceOf } from '../errors.ts';
import { type HostKeyCheck, loadHostKeyCheck } from './host-key.ts';
import { ciphers, kexAlgorithms, macs } from './ssh-algorithms.ts';
import { authFailed, clauseOf, unreachable } from './ssh-errors.ts';
import { type Identities, loadIdentities } from './ssh-identities.ts';
import { parseKeysOnce, signAtOnce } from './ssh-internals.ts';
import { reusePackets } from './ssh-packets.ts';
import { keepNothingLent } from './ssh-reading.ts';
import type { SshTarget } from './ssh-target.ts';
import { askAtOnce } from './ssh-userauth.ts';
import { writeInLargeSteps, writeTogether } from './ssh-writing.ts';

/** All that is needed to log in, read once: reconnecting must not depend on files. */
export interface Login {
  readonly target: SshTarget;
  readonly identities: Identities;
  readonly hostKeys: HostKeyCheck;
}

/**
 * @throws SavepointError for keys and known_hosts that cannot be used, before anything is
 *   connected to
 */
export async function prepareLogin(target: SshTarget, passphrase?: string): Promise<Login> {
  const hostKeys = await loadHostKeyCheck(target);
  return { target, hostKeys, identities: await loadIdentities(target, passphrase) };
}

/**
 * Does the key exchange, checks the host's key and authenticates.
 * @throws SavepointError `host-unreachable`, `host-key-unknown`, `host-key-changed`,
 *   `host-key-revoked`, `host-auth-failed`
 */
export function logIn(login: Login, sock: Duplex, signal?: AbortSignal): Promise<Client> {
  const { target, hostKeys } = login;
  const client = new ssh2.Client();
  const keys = new KeyOffers(login);
  let keyRefusal: SavepointError | undefined;
  let authenticating = false;
  return new Promise((resolve, reject) => {
    const giveUp = () => fail(signal?.reason);
    const fail = (error: unknown) => {
      signal?.removeEventListener('abort', giveUp);
      sock.destroy();
      reject(error);
    };
    signal?.addEventListener('abort', giveUp);
    client.once('ready', () => {
      signal?.removeEventListener('abort', giveUp);
      resolve(client);
    });
    client.once('handshake', () => {
      authenticating = true;
    });
    client.on('error', (error: Error & ClientErrorExtensions) => {
      // An agent that will not sign with one key may do so with the next.
      if (error.level === 'agent') keys.agentRefused(error);
      else if (keyRefusal) fail(keyRefusal);
      else if (error.level === 'client-authentication') fail(keys.failure());
      // Too many keys: the server hangs up, with a reason as a number (RFC 4253 §11.1).
      else if (authenticating && typeof errorCode(error) === 'number') fail(keys.failure(error));
      else fail(unreachable(target, handshakeTrouble(error, target), { cause: error }));
    });
    client.once('close', () => {
      fail(keyRefusal ?? unreachable(target, 'the server hung up before the login was complete'));
    });
    try {
      if (sock instanceof Socket) writeInLargeSteps(sock);
      else writeTogether(sock);
      client.connect({
        sock: sock as NonNullable<ConnectConfig['sock']>,
        username: target.user,
        readyTimeout: target.connectTimeout * 1000,
        algorithms: algorithms(login),
        hostVerifier: (key: Buffer) => {
          keyRefusal = hostKeys.refuse(key);
          return keyRefusal === undefined;
        },
        // ssh2's types do not know that `false` means that there is nothing left to offer.
        authHandler: ((accepts: AuthenticationType[] | null, partial: boolean | null) =>
          keys.next(accepts, partial)) as never,
      });
      askAtOnce(client);
      signAtOnce(client);
      parseKeysOnce(client);
      keepNothingLent(client);
      if (sock instanceof Socket) reusePackets(client);
    } catch (error) {
      fail(unreachable(target, sentenceOf(error), { cause: error }));
    }
  });
}

/** Offers one key after the other and remembers what came of it. */
class KeyOffers {
  readonly #login: Login;
  readonly #tried: string[] = [];
  readonly #passedOver: string[];
  #accepts: readonly string[] = [];
  #partial = false;

  constructor(login: Login) {
    this.#login = login;
    this.#passedOver = [...login.identities.passedOver];
  }

  /** The next method; false when nothing is left that the host would take. */
  next(accepts: readonly string[] | null, partial: boolean | null): AnyAuthMethod | false {
    // Nothing yet on the first call: a key is offered without asking what the host accepts.
    if (accepts) this.#accepts = accepts;
    if (partial) this.#partial = true;
    const identity = this.#login.identities.offered[this.#tried.length];
    if (!identity || (accepts && !accepts.includes('publickey'))) return false;
    this.#tried.push(identity.label);
    return identity.method(this.#login.target.user);
  }

  agentRefused(error: Error): void {
    this.#passedOver.push(`${this.#tried.at(-1)}: ${error.message}`);
  }

  failure(cause?: Error): SavepointError {
    return authFailed(
      this.#login.target,
      {
        tried: this.#tried,
        passedOver: this.#passedOver,
        accepts: this.#accepts,
        partial: this.#partial,
      },
      cause,
    );
  }
}

function algorithms({ target, hostKeys }: Login): NonNullable<ConnectConfig['algorithms']> {
  return {
    kex: [...(target.kexAlgorithms ?? kexAlgorithms.usual)] as KexAlgorithm[],
    cipher: [...(target.ciphers ?? ciphers.usual)] as CipherAlgorithm[],
    hmac: [...(target.macs ?? macs.usual)] as MacAlgorithm[],
    serverHostKey: hostKeys.algorithms,
    compress: ['none'],
  };
}

function errorCode(error: Error): unknown {
  return 'code' in error ? error.code : undefined;
}

function handshakeTrouble(error: Error & ClientErrorExtensions, target: SshTarget): string {
  switch (error.level) {
    case 'client-timeout':
      return `it accepts connections but did not complete the login within ${target.connectTimeout} s`;
    case 'handshake':
    case 'protocol':
      return `what answers there and we do not understand each other: ${error.message}`;
    default:
      return clauseOf(error);
  }
}
