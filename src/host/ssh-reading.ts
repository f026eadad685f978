import type { OnReadOpts } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Client } from 'ssh2';

/*
 * Node reads a socket 64 KiB at a time into memory that is new each time, and new memory costs more
 * than what is read into it. Here it is one buffer for a connection, large enough to hold several
 * packets whole: one that comes in two reads is decrypted in two pieces and put together by a copy.
 */

/** Eight packets of the largest size, which is 32 KiB of data; more is not faster. */
const readSize = 256 * 1024;

/**
 * Has a socket read into memory that is used again: what its listeners for `data` get holds only
 * during the call. The socket must be paused until the one that takes the data listens.
 */
export function lendingReads(socket: () => Duplex): OnReadOpts {
  // What is never read into is never taken from the system's memory.
  const buffer = Buffer.allocUnsafeSlow(readSize);
  const callback = (length: number) => {
    socket().emit('data', buffer.subarray(0, length));
    return true;
  };
  return { buffer, callback };
}

interface Parser {
  _protocol: {
    parse(chunk: Buffer, from: number, to: number): void;
    /** Takes one or more packets and tells where the next one begins. */
    _parse(chunk: Buffer, from: number, to: number): number;
    /** Only that for AES-GCM by Node's own cipher has this key. */
    _decipher?: { _decipherKey?: unknown };
  };
}

/**
 * Makes a client keep nothing of the memory it is lent. Its decipher for AES-GCM does not anyway:
 * what comes out of it is in memory of its own. What is not encrypted, and what other ciphers
 * decrypt, is copied first. Call it once the client is connecting.
 */
export function keepNothingLent(client: Client): void {
  const protocol = (client as unknown as Parser)._protocol;
  protocol.parse = (chunk, from, to) => {
    for (let at = from; at < to; ) {
      // Asked for each time, as it changes at the end of a key exchange, in the midst of a chunk.
      if (protocol._decipher?._decipherKey !== undefined) {
        at = protocol._parse(chunk, at, to);
      } else {
        const own = Buffer.from(chunk.subarray(at, to));
        at += protocol._parse(own, 0, own.length);
      }
    }
  };
}
