import { lookup } from 'node:dns/promises';
import { once } from 'node:events';
import { connect, isIP, type Socket } from 'node:net';
import { clauseOf, unreachable } from './ssh-errors.ts';
import { lendingReads } from './ssh-reading.ts';
import type { SshTarget } from './ssh-target.ts';

/**
 * Opens a TCP connection, trying the addresses of the name one after the other. Each may take
 * its share of the time that is left.
 * @throws SavepointError `host-unreachable` with every address and what came of it
 */
export async function dial(target: SshTarget, signal?: AbortSignal): Promise<Socket> {
  const deadline = performance.now() + target.connectTimeout * 1000;
  const addresses = await addressesOf(target);
  const tried: string[] = [];
  for (const [index, address] of addresses.entries()) {
    const share = (deadline - performance.now()) / (addresses.length - index);
    try {
      return await dialAddress(address, target.port, share, signal);
    } catch (error) {
      signal?.throwIfAborted();
      tried.push(`${address} port ${target.port}: ${clauseOf(error)}`);
    }
  }
  throw unreachable(target, tried.join('; '), { details: { tried } });
}

async function addressesOf(target: SshTarget): Promise<string[]> {
  if (isIP(target.name) !== 0) return [target.name];
  try {
    const found = await lookup(target.name, { all: true, family: target.addressFamily ?? 0 });
    return found.map(({ address }) => address);
  } catch (error) {
    throw unreachable(target, clauseOf(error), { cause: error });
  }
}

async function dialAddress(
  host: string,
  port: number,
  milliseconds: number,
  signal: AbortSignal | undefined,
): Promise<Socket> {
  // Without Nagle's algorithm: it would hold back the second part of nearly every request.
  const onread = lendingReads(() => socket);
  const socket: Socket = connect({ host, port, noDelay: true, onread });
  // Whoever takes what comes lets it come.
  socket.pause();
  const timeout = AbortSignal.timeout(Math.max(1, Math.ceil(milliseconds)));
  try {
    await once(socket, 'connect', {
      signal: signal ? AbortSignal.any([timeout, signal]) : timeout,
    });
    return socket;
  } catch (error) {
    socket.destroy();
    if (!timeout.aborted) throw error;
    throw Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' });
  }
}
