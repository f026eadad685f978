import type { WriteStream } from 'node:tty';
import type { Screen } from '../report/console.ts';
import type { Environment } from './github.ts';

/** Lines for a person at a terminal, or in the log of any CI. */
export function terminal(stream: NodeJS.WriteStream | WriteStream, env: Environment): Screen {
  return { line: (text) => void stream.write(`${text}\n`), color: hasColor(stream, env) };
}

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
