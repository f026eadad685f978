import { randomFillSync } from 'node:crypto';
import type { Client } from 'ssh2';
import { giveBack } from './give-back.ts';

/** Of ssh2's ciphers; only that for AES-GCM by Node's own has a key under this name. */
interface Cipher {
  _encKey?: unknown;
  allocPacket(payload: number): Buffer;
  /** Gets length, contents and tag one by one, and is the last to. */
  _onWrite(bytes: Uint8Array): void;
}

/** In front of the payload: the length of the packet and that of the padding (RFC 4253 §6). */
const head = 4 + 1;
const leastPadding = 4;
/** The length itself is not encrypted; all that is fills blocks (RFC 5647 §7.2). */
const unencrypted = 4;
const block = 16;

/** Payloads from here on are data of a channel, which ssh2 encrypts in the call that it makes them in. */
const large = 16 * 1024;
/** More than a payload ever takes: 32 KiB of data and what goes before and after. */
const largest = 34 * 1024;

/** Random bytes that are fetched at once: for some thousands it takes as long as for four. */
const poolSize = 4096;

/**
 * Makes packets in one place, and pads them from a store of random bytes: to fetch some for each,
 * and to have new memory for it, takes longer than to encrypt it. Other ciphers than AES-GCM are
 * left alone: they look at what they have written for the checksum. Whatever takes the packets to
 * the network must copy them.
 */
export function reusePackets(client: Client): void {
  const { _protocol } = client as unknown as { _protocol: { _cipher: Cipher } };
  // What is never written to is never taken from the system's memory.
  const place = Buffer.allocUnsafeSlow(largest);
  const random = Buffer.alloc(poolSize);
  let used = poolSize;

  const pad = (padding: Buffer) => {
    if (used + padding.length > poolSize) {
      randomFillSync(random);
      used = 0;
    }
    used += random.copy(padding, 0, used, used + padding.length);
  };
  const allocPacket = (payload: number): Buffer => {
    const least = head - unencrypted + payload + leastPadding;
    const encrypted = Math.ceil(least / block) * block;
    const length = unencrypted + encrypted;
    const fits = payload >= large && length <= largest;
    const packet = fits ? place.subarray(0, length) : Buffer.allocUnsafe(length);
    packet.writeUInt32BE(encrypted);
    packet.writeUInt8(length - head - payload, unencrypted);
    pad(packet.subarray(head + payload));
    return packet;
  };
  // Each key exchange makes a new cipher.
  client.on('handshake', () => {
    const { _cipher: cipher } = _protocol;
    if (cipher._encKey === undefined) return;
    cipher.allocPacket = allocPacket;
    const { _onWrite: write } = cipher;
    cipher._onWrite = (bytes) => {
      write(bytes);
      giveBack(bytes);
    };
  });
}
