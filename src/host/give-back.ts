/** Smaller memory is found again quickly; below 4 KiB it is part of a pool of Node's. */
const worthwhile = 16 * 1024;

/** What may lie around the data of a packet: its head, and its padding. */
const around = 64;

/** Node 20 has no such method; there the garbage collector does it, as it does with all else. */
interface Transferable {
  transfer?(length: number): unknown;
}

/**
 * Gives memory back at once. The garbage collector does not look before tens of megabytes have
 * piled up, each of which the system had to provide anew; given back, the next packet gets the same
 * memory again, which is still in the processor's cache. Only for bytes that nobody else has and
 * that nobody looks at any more, for they are gone. Memory of which they are a part is left alone.
 */
export function giveBack(bytes: Uint8Array): void {
  const { buffer, length } = bytes;
  if (length < worthwhile || buffer.byteLength - length > around) return;
  (buffer as Transferable).transfer?.(0);
}
