import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { openLocal } from '../local.ts';
import type { Backend, BackendContext, Verb } from './backend.ts';
import { ProgramRunner } from './program-runner.ts';

/** Bytes of an answer; nothing an endpoint needs comes near it. */
const largest = 1024 * 1024;

/**
 * A backend that is a program: `PROGRAM VERB`, run once for each verb, with the request as a line
 * of JSON on standard input and an object of JSON as its answer on standard output. What it writes
 * to standard error is for people. Any exit status but 0 is a failure. One that runs the host's
 * commands itself has the verb `run`: see `ProgramRunner`.
 */
export function executableBackend(use: string): Backend {
  return {
    capabilities: async (request) => {
      const { capabilities } = await ask(use, 'capabilities', request);
      if (Array.isArray(capabilities) && capabilities.every((one) => typeof one === 'string')) {
        return capabilities;
      }
      throw new Error('its answer has no list "capabilities"');
    },
    call: (verb, request) => ask(use, verb, request),
    connect: async (request) => {
      const runner = new ProgramRunner(use, told(request));
      await runner.check(request.signal);
      return runner;
    },
  };
}

function told({ signal: _signal, log: _log, ...request }: BackendContext): string {
  return JSON.stringify({ protocol: 1, ...request });
}

async function ask(
  use: string,
  verb: Verb | 'capabilities',
  request: BackendContext,
): Promise<Record<string, unknown>> {
  const { signal, log } = request;
  await using local = openLocal();
  const { stdout, stderr, exit } = local.run({
    argv: [use, verb],
    stdin: `${told(request)}\n`,
    cwd: '/',
    signal,
  });
  const [answer, , end] = await Promise.all([limited(stdout), eachLine(stderr, log), exit]);
  if (end.code !== 0) throw new Error(`it ended with ${end.code ?? end.signal}`);
  return objectOf(answer);
}

/** @throws Error when there is more than an answer can be, of which the rest is read and dropped. */
async function limited(stream: Readable): Promise<string> {
  let size = 0;
  const kept: Buffer[] = [];
  for await (const chunk of stream) {
    size += chunk.length;
    if (size <= largest) kept.push(chunk);
  }
  if (size <= largest) return Buffer.concat(kept).toString('utf8');
  throw new Error(`its answer has ${size} bytes, and ${largest} are allowed`);
}

async function eachLine(stream: Readable, tell: (line: string) => void): Promise<void> {
  for await (const line of createInterface({ input: stream })) tell(line);
}

/** Nothing is an empty object: only `open` has something to say. */
function objectOf(answer: string): Record<string, unknown> {
  const value = answer.trim() === '' ? {} : parsed(answer);
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>;
  }
  throw new Error('its answer is no object of JSON');
}

function parsed(answer: string): unknown {
  try {
    return JSON.parse(answer);
  } catch {
    return undefined;
  }
}
