import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/*
 * ssh2 writes a packet in three pieces (length, contents, checksum), each of which would be a system
 * call, and a segment of its own, as nothing is held back.
 */

/** Eight packets of the largest size, which is 32 KiB of data. */
const size = 256 * 1024;

/** Together what sshd lets be under way on a channel; a second busy one may take new memory. */
const mostSpare = 8;

/**
 * Makes one write to the network of what is written in one turn of the event loop, in memory that
 * is used again once the system has taken what is in it: to keep a buffer for each piece, and have
 * it collected, takes longer than to copy it. What is given to it may be changed after the call.
 * Only for ssh2, which writes bytes and does not ask when they are gone.
 */
export function writeInLargeSteps(socket: Socket): Socket {
  const write = socket.write.bind(socket);
  const end = socket.end.bind(socket);
  const spare: Buffer[] = [];
  let filling: Buffer | undefined;
  let filled = 0;
  let turnEnds = false;

  const flush = () => {
    if (!filling || filled === 0) return;
    const full = filling;
    const bytes = full.subarray(0, filled);
    filling = undefined;
    filled = 0;
    if (socket.destroyed) return;
    write(bytes, (error) => {
      if (!error && spare.length < mostSpare) spare.push(full);
    });
  };
  socket.write = ((data: Uint8Array) => {
    for (let at = 0; at < data.length; ) {
      filling ??= spare.pop() ?? Buffer.allocUnsafeSlow(size);
      const part = data.subarray(at, at + size - filled);
      filling.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled === size) flush();
    }
    if (!turnEnds) {
      turnEnds = true;
      process.nextTick(() => {
        turnEnds = false;
        flush();
      });
    }
    return !socket.writableNeedDrain;
  }) as Socket['write'];
  socket.end = (() => {
    flush();
    return end();
  }) as Socket['end'];
  return socket;
}

/**
 * The same for a stream that may keep what is written to it for longer than it says, such as a
 * program's or another connection's.
 */
export function writeTogether(stream: Duplex): Duplex {
  const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
  let held = false;
  const together = (...args: unknown[]): boolean => {
    if (!held) {
      held = true;
      stream.cork();
      process.nextTick(() => {
        held = false;
        stream.uncork();
      });
    }
    return write(...args);
  };
  stream.write = together as Duplex['write'];
  return stream;
}
