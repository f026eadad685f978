import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { SavepointError } from '../../errors.ts';
import { openLocal } from '../local.ts';
import type { Backend, BackendContext, Verb } from './backend.ts';

/** Of what a backend said last, so many lines are in an error. */
const LAST_LINES = 5;

/** Bytes of an answer; nothing an endpoint needs comes near it. */
const LARGEST = 1024 * 1024;

/**
 * A backend that is a program: `PROGRAM VERB`, run once for each verb, with the request as a line
 * of JSON on standard input and an object of JSON as its answer on standard output. What it writes
 * to standard error is for people. Any exit status but 0 is a failure.
 */
export function executableBackend(use: string): Backend {
  return {
    capabilities: async () => {
      const silent = new AbortController();
      const request = { id: '', with: {}, signal: silent.signal, log: () => undefined };
      const { capabilities } = await ask(use, 'capabilities', request);
      if (Array.isArray(capabilities) && capabilities.every((one) => typeof one === 'string')) {
        return capabilities;
      }
      throw failed(use, 'capabilities', 'its answer has no list "capabilities"');
    },
    call: (verb, request) => ask(use, verb, request),
  };
}

async function ask(
  use: string,
  verb: Verb | 'capabilities',
  request: BackendContext,
): Promise<Record<string, unknown>> {
  const { signal, log, ...told } = request;
  await using local = openLocal();
  const running = local.run({
    argv: [use, verb],
    stdin: `${JSON.stringify({ protocol: 1, ...told })}\n`,
    cwd: '/',
    signal,
  });
  const last: string[] = [];
  const [answer, , exit] = await Promise.all([
    limited(running.stdout),
    eachLine(running.stderr, (line) => {
      last.push(line);
      if (last.length > LAST_LINES) last.shift();
      log(line);
    }),
    running.exit,
  ]);
  if (signal.aborted) throw failed(use, verb, 'it was stopped before it had ended', last);
  if (exit.code !== 0) {
    throw failed(use, verb, `it ended with ${exit.code ?? exit.signal}`, last);
  }
  return objectOf(answer) ?? failWith(use, verb, 'its answer is no object of JSON', last);
}

async function limited(stream: Readable): Promise<string> {
  let size = 0;
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size > LARGEST) stream.destroy(new RangeError(`more than ${LARGEST} bytes`));
  });
  return text(stream).catch(() => '');
}

async function eachLine(stream: Readable, tell: (line: string) => void): Promise<void> {
  for await (const line of createInterface({ input: stream })) tell(line);
}

/** Nothing is an empty object: only `open` has something to say. */
function objectOf(answer: string): Record<string, unknown> | undefined {
  if (answer.trim() === '') return {};
  try {
    const value: unknown = JSON.parse(answer);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function failWith(...facts: Parameters<typeof failed>): never {
  throw failed(...facts);
}

function failed(use: string, verb: string, why: string, said: string[] = []): SavepointError {
  return new SavepointError('backend-failed', {
    message: `The backend ${use} failed at ${verb}: ${why}.`,
    details: { backend: use, verb, ...(said.length > 0 && { said }) },
  });
}
