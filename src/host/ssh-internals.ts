import { createSecretKey, type KeyObject } from 'node:crypto';
import type { Client, ClientChannel, ParsedKey } from 'ssh2';

/*
 * What ssh2 can do but does not offer. Its version is pinned exactly in package.json, and
 * test/host covers each of these, so an upgrade that moves them shows at once.
 */

interface ClientInternals {
  _protocol: {
    ping(): void;
    signal(channel: number, name: string): void;
    channelWindowAdjust(channel: number, bytes: number): void;
    session(channel: number, window: number, packet: number): void;
    exec(channel: number, line: string, wantReply: boolean): void;
    authPK: OfferKey;
    /** Only where ssh2 encrypts by Node's own AES-GCM have these a key. */
    _cipher: { _encKey?: Buffer | KeyObject };
    _decipher: { _decipherKey?: Buffer | KeyObject };
  };
  _callbacks: ((failed: unknown) => void)[];
  _chanMgr: { add(opened: Opened): number };
}

type Opened = ((error: Error | undefined, channel: ClientChannel) => void) & { type?: 'session' };

type Sign = (data: Buffer, done: (signature: Buffer) => void) => void;
type OfferKey = (user: string, key: ParsedKey, algorithm?: string, sign?: Sign) => void;

interface ChannelInternals {
  subtype: 'exec';
  allowHalfOpen: boolean;
  _callbacks: ((failed: unknown) => void)[];
  outgoing: { id: number; state: string };
  incoming: { window: number; state: 'open' | 'eof' | 'closed' };
}

/**
 * Has the keys of AES-GCM parsed once and not for every packet: ssh2 makes a new cipher for each,
 * which from bytes takes Node 24 longer than the encryption of the packet. Keys are new after each
 * handshake, of which a long connection has several.
 */
export function parseKeysOnce(client: Client): void {
  client.on('handshake', () => {
    const { _cipher, _decipher } = (client as unknown as ClientInternals)._protocol;
    if (Buffer.isBuffer(_cipher._encKey)) _cipher._encKey = createSecretKey(_cipher._encKey);
    if (Buffer.isBuffer(_decipher._decipherKey)) {
      _decipher._decipherKey = createSecretKey(_decipher._decipherKey);
    }
  });
}

/**
 * Most bytes that may be under way to us on one channel once it has proved to be a bulk one, and
 * how many for each millisecond of a round trip: what we can take in that time. More does not come
 * any sooner but costs sshd, which keeps in memory what it may send.
 */
const bulkWindow = 8 * 1024 * 1024;
const bulkWindowEach = 320 * 1024;

/** ssh2 itself lets this much be under way, and more once it is down to half. */
const usualWindow = 2 * 1024 * 1024;

/** What ssh2 takes in one packet (its Channel.js). */
const packetSize = 32 * 1024;

/** A channel that brought this much is a bulk one. */
const bulkAfter = 4 * 1024 * 1024;

/**
 * Asks the server something it must answer and waits for the answer, whatever it is. All that
 * the server sent before it has arrived then. Never resolves once the connection is lost.
 */
export function roundTrip(client: Client): Promise<void> {
  const internals = client as unknown as ClientInternals;
  return new Promise((resolve) => {
    internals._callbacks.push(() => resolve());
    internals._protocol.ping();
  });
}

/**
 * Opens a channel for a command that is named later. ssh2 names it as soon as the channel is open,
 * and opens none before.
 * @throws Error when the server refuses
 */
export function openSession(client: Client): Promise<ClientChannel> {
  const { _chanMgr, _protocol } = client as unknown as ClientInternals;
  return new Promise((resolve, reject) => {
    const opened: Opened = (error, channel) => (error ? reject(error) : resolve(channel));
    opened.type = 'session';
    const id = _chanMgr.add(opened);
    if (id === -1) reject(new Error('there are no free channels'));
    else _protocol.session(id, usualWindow, packetSize);
  });
}

/**
 * Asks for a command line to be run in an open session.
 * @returns whether the server runs it. Never resolves once the connection is lost.
 */
export function requestExec(
  client: Client,
  channel: ClientChannel,
  line: string,
): Promise<boolean> {
  const internals = channel as unknown as ChannelInternals;
  internals.subtype = 'exec';
  internals.allowHalfOpen = true;
  return new Promise((resolve) => {
    internals._callbacks.push((failed) => resolve(!failed));
    (client as unknown as ClientInternals)._protocol.exec(internals.outgoing.id, line, true);
  });
}

/** Hash of each kind of RSA signature (RFC 8332 §3); the other keys have only one. */
const hashes: Record<string, string> = { 'rsa-sha2-256': 'sha256', 'rsa-sha2-512': 'sha512' };

/**
 * Makes a login offer each key with a signature. ssh2 first asks whether the key would do, which
 * RFC 4252 §7 leaves to the client and which costs one round trip more. A key in an agent is
 * still asked about: signing may need a person. Call it once the client is connecting.
 */
export function signAtOnce(client: Client): void {
  const protocol = (client as unknown as ClientInternals)._protocol;
  const offer = protocol.authPK.bind(protocol);
  protocol.authPK = (user, key, algorithm, sign) => {
    if (sign || !key.isPrivateKey()) return offer(user, key, algorithm, sign);
    const signNow: Sign = (data, done) => {
      const signature: unknown = key.sign(data, algorithm && hashes[algorithm]);
      if (signature instanceof Error) offer(user, key, algorithm);
      else done(signature as Buffer);
    };
    offer(user, key, algorithm, signNow);
  };
}

/**
 * Sends a signal to a command. ssh2's own method does nothing once standard input has ended,
 * though RFC 4254 §6.9 allows it as long as the channel is open.
 */
export function sendSignal(client: Client, channel: ClientChannel, name: string): void {
  const { outgoing } = channel as unknown as ChannelInternals;
  if (outgoing.state !== 'open' && outgoing.state !== 'eof') return;
  (client as unknown as ClientInternals)._protocol.signal(outgoing.id, name);
}

/**
 * Lets a channel that brings much bring it faster: with 2 MiB under way, a link with a round
 * trip of 50 ms carries 40 MB/s at the most. Call what it gives for every piece that arrives.
 * @param roundTrip milliseconds, about
 */
export function windowGrower(
  client: Client,
  channel: ClientChannel,
  roundTrip: number,
): (bytes: number) => void {
  const most = Math.min(bulkWindow, roundTrip * bulkWindowEach);
  if (most < usualWindow) return () => undefined;
  const { incoming, outgoing } = channel as unknown as ChannelInternals;
  const protocol = (client as unknown as ClientInternals)._protocol;
  let received = 0;
  return (bytes) => {
    received += bytes;
    if (received < bulkAfter || incoming.window > most / 2) return;
    if (outgoing.state !== 'open' && outgoing.state !== 'eof') return;
    const more = Math.floor(most) - incoming.window;
    incoming.window += more;
    protocol.channelWindowAdjust(outgoing.id, more);
  };
}

/**
 * Tells, at any later time, whether the server announced the end of a command's output itself,
 * rather than the output having ended because the connection broke.
 */
export function endWasSent(client: Client, channel: ClientChannel): () => boolean {
  const { incoming } = channel as unknown as ChannelInternals;
  let broke = false;
  // ssh2 announces the loss before it marks the channels as closed.
  const onClose = () => {
    broke = incoming.state === 'open';
  };
  client.once('close', onClose);
  channel.once('close', () => client.off('close', onClose));
  return () => !broke;
}
