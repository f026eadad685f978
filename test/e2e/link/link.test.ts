import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Relay, startRelay } from '../../host/relay.ts';
import { type Sshd, startSshd } from '../../host/sshd.ts';
import { savepoint, start } from '../real/savepoint.ts';
import { hostFields, type ScratchHost } from '../real/scratch-host.ts';
import {
  breakOften,
  counts,
  eventsIn,
  faults,
  labHost,
  letGo,
  long,
  relayed,
  TIMES,
} from './lines.ts';

let sshd: Sshd;
beforeAll(async () => {
  sshd = await startSshd();
});
afterAll(() => sshd.stop());

const limit = 60_000 + 2 * long * 1000;

function job(host: ScratchHost, relay: Relay, more: Record<string, unknown> = {}) {
  return {
    host: hostFields(sshd, relayed(relay, sshd)),
    files: host.overlay('files', { 'etc/lab.conf': { text: 'new\n' } }),
    phases: { test: counts },
    ...more,
  };
}

const output = (host: ScratchHost) => join(host.folder, 'output');

describe('a phase survives its connection', () => {
  test(
    'that is cut five times: every line once, in order, and its own exit status',
    async () => {
      await using relay = await startRelay({ to: sshd.port });
      using host = labHost();
      await using running = host.start(job(host, relay), '--output', output(host));
      const events = () => eventsIn(output(host));
      await breakOften(events, () => relay.cut());
      letGo(host);
      const ended = await running.ended;
      expect(faults(events())).toEqual([]);
      expect(ended).toMatchObject({ code: 1, json: { outcome: 'rolled-back', test_status: 7 } });
      expect(ended.json.warnings).toHaveLength(TIMES);
      expect(ended.stderr).toMatch(/warning .* broke/);
      expect(readFileSync(join(host.root, 'etc/lab.conf'), 'utf8')).toBe('old\n');
    },
    limit,
  );

  test(
    'that is stalled five times: every line once, in order, and its own exit status',
    async () => {
      await using relay = await startRelay({ to: sshd.port });
      using host = labHost();
      const cwd = host.folder;
      const begun = await savepoint(
        ['begin', host.job(job(host, relay)), '--while', '0', '--output', output(host)],
        { cwd },
      );
      expect(begun, begun.stderr).toMatchObject({ code: 0 });
      beImpatient(join(cwd, '.savepoint-state.json'));
      await using running = start(['exec'], { cwd });
      const events = () => eventsIn(output(host));
      await breakOften(events, async (isLost) => {
        relay.stall();
        await isLost();
        relay.resume();
      });
      letGo(host);
      expect(await running.ended).toMatchObject({ code: 1 });
      expect(faults(events())).toEqual([]);
      const { code, json } = await savepoint(['finish', '--status', 'failure', '--json'], { cwd });
      expect({ code, json }).toMatchObject({
        code: 0,
        json: { outcome: 'rolled-back', test_status: 7 },
      });
    },
    limit,
  );
});

/** A half-open link is noticed in seconds; here in one, so that the suite need not wait. */
function beImpatient(state: string): void {
  const saved = JSON.parse(readFileSync(state, 'utf8'));
  Object.assign(saved.record.host, { aliveInterval: 0.3, aliveCountMax: 2 });
  writeFileSync(state, JSON.stringify(saved));
}
