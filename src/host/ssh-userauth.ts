import type { Client } from 'ssh2';

interface ClientInternals {
  /** What the server calls itself, without what the protocol puts before it (RFC 4253 §4.2). */
  _remoteVer?: string;
  _protocol: { _handlers: Handlers };
}

interface Handlers {
  SERVICE_ACCEPT(protocol: unknown, name: string): void;
  EXT_INFO(protocol: unknown, extensions: unknown): void;
}

const service = 'ssh-userauth';

/**
 * Makes a login offer its first key together with the request for the service that takes it, which
 * saves a round trip. Nothing is offered before the host's key has been checked and keys are
 * exchanged. OpenSSH reads one message after the other (sshd, auth2.c) and tells first which
 * signatures it takes (RFC 8308); with any other server the answer is waited for. Call it once the
 * client is connecting.
 */
export function askAtOnce(client: Client): void {
  const internals = client as unknown as ClientInternals;
  const handlers = internals._protocol._handlers;
  const { SERVICE_ACCEPT: accepted, EXT_INFO: told } = handlers;
  let requested = false;
  let begun = false;
  // ssh2 requests the service right after this event.
  client.once('handshake', () => {
    requested = true;
  });
  handlers.EXT_INFO = (protocol, extensions) => {
    told(protocol, extensions);
    if (!requested || begun || !internals._remoteVer?.startsWith('OpenSSH_')) return;
    begun = true;
    accepted(protocol, service);
  };
  handlers.SERVICE_ACCEPT = (protocol, name) => {
    if (begun) return;
    begun = true;
    accepted(protocol, name);
  };
}
