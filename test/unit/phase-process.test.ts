import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { SavepointError } from '../../src/errors.ts';
import { keepsPhases } from '../../src/transaction/phase-process.ts';
import {
  answered,
  nothing,
  phaseOf,
  runScripted,
  scriptedSite,
  type Wire,
} from './phase-process.fixture.ts';

const out = Buffer.from('one\ntwo\n\nlast');
// Looks like what the guard says, as far as a phase can know it.
const err = Buffer.from(`\n\n${'0'.repeat(32)} 7\nerror\n`);
const whole = phaseOf(out, err, '3');

/** The first so many bytes of both streams, then the connection is gone. */
function cut({ stdout, stderr }: Wire, atOut: number, atErr: number): Wire {
  return { stdout: stdout.subarray(0, atOut), stderr: stderr.subarray(0, atErr), end: 'host-lost' };
}

const said = Buffer.byteLength(`\n${'0'.repeat(32)} started\n`);

describe('a phase whose connection breaks', () => {
  const ends = Array.from({ length: said * 2 + err.length }, (_, at) => at);

  test('at any byte of its standard error: each byte once, and the status', async () => {
    await Promise.all(
      ends.map(async (at) => {
        const guard = scriptedSite((asked, time) =>
          time === 1 ? cut(whole(asked), at % (out.length + 1), at) : whole(asked),
        );
        const process = await runScripted(guard);
        expect(await process.exit, `cut at ${at}`).toBe(3);
        expect(await process.output, `cut at ${at}`).toEqual([out, err]);
        const [first, second] = guard.asked;
        expect(second?.fields.phase).toBe(first?.fields.phase);
        expect(second?.script).toBe(first?.script);
      }),
    );
  });

  test('at any byte of its standard output: each byte once', async () => {
    await Promise.all(
      Array.from(out, async (_, at) => {
        const guard = scriptedSite((asked, time) =>
          time === 1 ? cut(whole(asked), at, said + (at % err.length)) : whole(asked),
        );
        const process = await runScripted(guard);
        expect(await process.exit).toBe(3);
        expect(await process.output, `cut at ${at}`).toEqual([out, err]);
      }),
    );
  });

  test('again and again, and in the middle of much output', async () => {
    const much = [randomBytes(700_000), randomBytes(300_000)] as const;
    const phase = phaseOf(...much, '0');
    const guard = scriptedSite((asked, time) =>
      time < 6 ? cut(phase(asked), time * 40_000, time * 10_000) : phase(asked),
    );
    const process = await runScripted(guard);
    expect(await process.exit).toBe(0);
    const [stdout, stderr] = await process.output;
    expect(stdout.equals(much[0]) && stderr.equals(much[1])).toBe(true);
    expect(process.news.take().map(({ kind }) => kind)).toEqual(
      Array.from({ length: 5 }, () => ['connection_lost', 'connection_resumed']).flat(),
    );
  });

  test('is over when the host says so meanwhile, and the answer is no output', async () => {
    const guard = scriptedSite((asked, time) =>
      time === 1 ? cut(whole(asked), 4, said) : answered('error not-open\nmessage it is over'),
    );
    const process = await runScripted(guard);
    await expect(process.exit).rejects.toMatchObject({ name: 'not-open', message: 'It is over' });
    expect(await process.output).toEqual([out.subarray(0, 4), nothing]);
  });

  test('and whose host restarted has no status', async () => {
    const lost = phaseOf(out, err, 'lost');
    const guard = scriptedSite((asked, time) =>
      time === 1 ? cut(lost(asked), 4, said) : lost(asked),
    );
    const process = await runScripted(guard, { reboot: 600 });
    expect(await process.exit).toBe('lost');
    expect(guard.asked[0]?.fields.reboot).toBe('600');
  });

  test('is not taken up again where the guard keeps nothing of it', async () => {
    const guard = scriptedSite((asked) => cut(whole(asked), 4, said + 2), '1.0.2');
    const process = await runScripted(guard);
    await expect(process.exit).rejects.toMatchObject({ name: 'host-lost' });
    expect(await process.output).toEqual([out.subarray(0, 4), err.subarray(0, 2)]);
    expect(guard.asked).toHaveLength(1);
  });

  test('is followed anew when only its follower was killed, but not for ever', async () => {
    const killed = (wire: Wire): Wire => ({ ...cut(wire, 4, said + 2), end: { code: 137 } });
    const once = scriptedSite((asked, time) => (time === 1 ? killed(whole(asked)) : whole(asked)));
    const survivor = await runScripted(once);
    expect(await survivor.exit).toBe(3);
    expect(await survivor.output).toEqual([out, err]);

    const always = scriptedSite((asked) => ({ ...cut(whole(asked), 0, said), end: { code: 137 } }));
    const process = await runScripted(always);
    await expect(process.exit).rejects.toMatchObject({
      name: 'guard-protocol',
      message: expect.stringContaining('exit 137'),
    });
    expect(always.asked).toHaveLength(3);
  });
});

describe('a phase that is cancelled', () => {
  test('while its connection is broken is killed once the host is back', async () => {
    const guard = scriptedSite((asked, time) => {
      if (asked.verb === 'kill') return time === 1 ? cut(nothingYet, 0, 0) : answered('ok');
      return time === 1 ? cut(whole(asked), 4, said) : phaseOf(out, err, '143')(asked);
    });
    const process = await runScripted(guard);
    await process.kill();
    expect(guard.asked.filter(({ verb }) => verb === 'kill')).toHaveLength(2);
    expect(await process.exit).toBe(143);
  });

  test('before anybody knows whether it runs is killed, for it may', async () => {
    const cancel = new AbortController();
    const guard = scriptedSite(({ verb }) => {
      if (verb === 'kill') return answered('ok');
      cancel.abort(new SavepointError('job-cancelled'));
      return cut(nothingYet, 0, 0);
    });
    await expect(runScripted(guard, { signal: cancel.signal })).rejects.toMatchObject({
      name: 'job-cancelled',
    });
    expect(guard.asked.map(({ verb }) => verb)).toEqual(['exec', 'kill']);
  });

  const nothingYet: Wire = { stdout: nothing, stderr: nothing, end: 'host-lost' };
});

test.each([
  ['1.0.2', false],
  ['1.1.0', true],
  ['1.10.3', true],
  ['2.0.0', true],
  ['0.9.0', false],
])('a guard %s keeps what a phase prints: %s', (version, keeps) => {
  expect(keepsPhases(version)).toBe(keeps);
});

test('what is said before a phase starts is shown once, and is no part of what is counted', async () => {
  const noise = Buffer.from('sudo: unable to resolve host\n');
  const guard = scriptedSite((asked, time) => {
    const wire = whole(asked);
    const noisy = { ...wire, stderr: Buffer.concat([noise, wire.stderr]) };
    return time === 1 ? cut(noisy, 4, noise.length + said + 5) : noisy;
  });
  const process = await runScripted(guard);
  expect(await process.exit).toBe(3);
  expect(await process.output).toEqual([out, Buffer.concat([noise, err])]);
});
