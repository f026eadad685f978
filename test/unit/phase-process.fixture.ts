import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type ErrorName, SavepointError } from '../../src/errors.ts';
import type { GuardSite } from '../../src/guard/client.ts';
import type { Command, Exit, Host } from '../../src/host/host.ts';
import { Link } from '../../src/transaction/link.ts';
import { News } from '../../src/transaction/news.ts';
import { startPhase } from '../../src/transaction/phase-process.ts';

/** What a scripted guard makes of one `exec`: what it writes, and how the connection ends. */
export interface Wire {
  stdout: Buffer;
  stderr: Buffer;
  end: Exit | ErrorName;
}

/** A request as the guard reads it. */
export interface Asked {
  verb: string;
  fields: Record<string, string>;
  script: string;
}

/** Answers each verb; the host that it is on keeps what it was asked. */
export type Scripted = (asked: Asked, time: number) => Wire;

export function scriptedSite(answer: Scripted, version = '1.1.0') {
  const asked: Asked[] = [];
  const host = {
    name: 'lab-07',
    kind: 'scripted',
    run: ({ argv, stdin }: Command) => {
      const [header = '', ...script] = String(stdin).split('\n\n');
      const lines = header.split('\n').slice(1);
      const fields = Object.fromEntries(
        lines.map((line) => [line.split(' ')[0], line.replace(/^\S+ /, '')]),
      );
      const request = { verb: argv.at(-1) ?? '', fields, script: script.join('\n\n') };
      asked.push(request);
      const time = asked.filter(({ verb }) => verb === request.verb).length;
      const { stdout, stderr, end } = answer(request, time);
      const streams = [stdout, stderr].map((bytes) => Readable.from(pieces(bytes)));
      const [out, err] = streams as [Readable, Readable];
      // As every backend has it: the exit comes when both streams were read to their end.
      const read = streams.map((stream) => new Promise((done) => stream.once('end', done)));
      const exit = Promise.all(read).then(() => {
        if (typeof end === 'string') throw new SavepointError(end);
        return end;
      });
      exit.catch(() => undefined);
      return { stdout: out, stderr: err, exit };
    },
  } as unknown as Host;
  const guard = { version, sha256: '0'.repeat(64), text: '' };
  const site: GuardSite = { host, guard, root: '/', sudo: false };
  return { site, asked };
}

/** Cuts bytes at odd places, so that lines of the guard's own are cut through too. */
function* pieces(bytes: Buffer): Generator<Buffer> {
  for (let at = 0, size = 1; at < bytes.length; at += size, size = (size % 7) + 1) {
    yield bytes.subarray(at, at + size);
  }
}

export const nothing = Buffer.alloc(0);

/** What the guard says of a phase of these outputs, from the bytes that are asked for. */
export function phaseOf(out: Buffer, err: Buffer, last: string) {
  return ({ fields }: Asked): Wire => {
    const said = (word: string) => Buffer.from(`\n${fields.nonce} ${word}\n`);
    return {
      stdout: out.subarray(Number(fields.out)),
      stderr: Buffer.concat([said('started'), err.subarray(Number(fields.err)), said(last)]),
      end: { code: 0 },
    };
  };
}

/** An answer of the guard to a verb. */
export function answered(...words: string[]): Wire {
  return {
    stdout: Buffer.from(`savepoint 1 ${words.join(' ')}\n\n`),
    stderr: nothing,
    end: { code: 0 },
  };
}

export async function runScripted(
  { site }: ReturnType<typeof scriptedSite>,
  { signal, reboot }: { signal?: AbortSignal; reboot?: number } = {},
) {
  const news = new News();
  const link = new Link({ lease: 60, probe: async () => undefined, news, name: 'lab-07' });
  const command = { phase: 'test', script: 'true', env: {}, ...(reboot && { reboot }) };
  const process = await startPhase(site, [['id', 'tx']], command, link, signal);
  const output = Promise.all([buffer(process.stdout), buffer(process.stderr)]);
  return { ...process, output, news };
}
