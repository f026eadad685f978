import type { WriteStream } from 'node:tty';
import type { Screen } from '../report/console.ts';
import type { Environment } from './environment.ts';

/** Lines for a person at a terminal, or in the log of any CI. */
export function terminal(stream: NodeJS.WriteStream | WriteStream, env: Environment): Screen {
  const line = (text: string): void => {
    const over = withStatus.delete(stream) ? CLEAR : '';
    stream.write(`${over}${text}\n`);
  };
  const color = hasColor(stream, env);
  if (stream.isTTY !== true || env.TERM === 'dumb' || env.CI) return { line, color };
  const status: Screen['status'] = (text) => {
    withStatus.add(stream);
    const { columns } = stream as WriteStream;
    stream.write(`${CLEAR}${text(columns > 0 ? columns : 80)}`);
  };
  return { line, color, status };
}

/** Goes to the beginning of the line and erases it (ECMA-48 §8.3.41). */
const CLEAR = '\r\u001b[K';

/** Streams whose last line is a status, which the next line takes the place of. */
const withStatus = new WeakSet<object>();

/** Color where there is someone to see it and nobody refused it (https://no-color.org). */
function hasColor(stream: { isTTY?: boolean }, env: Environment): boolean {
  return stream.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
}

/**
 * A reader that went away must not end a process that still owes a host its old state: after a
 * cancel GitHub's runner closes the pipes of a post step that goes on (runner: ProcessInvoker.cs).
 * What could not be shown is in the event file all the same.
 */
export function ignoreClosedOutput(streams: NodeJS.WriteStream[]): void {
  for (const stream of streams) stream.on('error', () => undefined);
}
