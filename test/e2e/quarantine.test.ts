import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { isSince } from '../guard/which.ts';
import { LabHost, leavesLink, leavesMount, names } from './lab-host.ts';
import { type Ended, savepoint } from './real/savepoint.ts';
import { isRoot } from './real/scratch-host.ts';

const holder = expect.stringMatching(/^try-mirror \(/);

describe.runIf(isRoot)('a rollback that cannot succeed', () => {
  let host: LabHost;
  let failed: Ended;
  let id: string;
  beforeAll(async () => {
    host = new LabHost();
    failed = await host.run(host.changing(leavesLink));
    id = failed.json.transaction?.id ?? '';
  });
  afterAll(() => host[Symbol.dispose]());

  // Guards before 1.2.0 do not say what was in the way.
  const cause = isSince('1.2.0') ? '/etc is not where it was, but .*/away;$' : '';
  const why = () =>
    expect.stringMatching(new RegExp(`^transaction ${id} could not be rolled back: ${cause}`, 'i'));

  test('ends as `rollback-failed`, with the reason', () => {
    expect(failed).toMatchObject({
      code: 46,
      json: {
        outcome: 'rollback-failed',
        error: {
          code: 401,
          name: 'rollback-failed',
          class: 'recovery',
          details: { found: [why()] },
        },
      },
    });
  });

  test('quarantines the host, which says why and whose transaction it was', async () => {
    const { json } = await host.ask('status');
    expect(json).toMatchObject({
      quarantine: why(),
      past: [{ id, outcome: 'rollback-failed', holder }],
    });
    expect(json).not.toHaveProperty('open');
  });

  test.each(['run', 'begin'])(
    'the next `%s` is refused with the reason, and touches nothing',
    async (verb) => {
      const before = host.look();
      const { code, json } = await host.split(verb, host.job(host.changing('true')));
      const error = { code: 309, name: 'host-quarantined', class: 'host', reason: why() };
      expect({ code, json }).toMatchObject({ code: 3, json: { error } });
      expect(json).not.toHaveProperty('outcome');
      expect(host.changesSince(before)).toEqual([]);
      expect(existsSync(join(host.folder, '.savepoint-state.json'))).toBe(false);
    },
  );

  test('`recover` does not help while nobody has mended it', async () => {
    const { json } = await host.ask('recover');
    expect(json).toMatchObject({ ended: [{ id, outcome: 'rollback-failed' }] });
    expect((await host.ask('status')).json).toMatchObject({ quarantine: why() });
  });

  describe('after a person mended the host and cleared it', () => {
    let cleared: Ended;
    beforeAll(async () => {
      await host.mend();
      cleared = await host.ask('host', 'clear');
    });

    test('it is in quarantine no more, and its past tells of the transaction', async () => {
      expect(cleared).toMatchObject({ code: 0, json: { cleared: true } });
      const { json } = await host.ask('status');
      expect(json).not.toHaveProperty('quarantine');
      expect(json.past).toMatchObject([{ id, outcome: 'rollback-failed, cleared', holder }]);
    });

    test('so it does for people', async () => {
      const words = ['status', 'local', '--root', host.root, '--sudo', 'false'];
      const { stdout } = await savepoint(words, { cwd: host.folder });
      expect(stdout).toMatch(/^local: nothing is open$/m);
      expect(stdout).toMatch(`\n  before     ${id} rollback-failed, cleared try-mirror (`);
      expect(stdout).not.toContain('quarantine');
    });

    test('`recover` finds nothing to end', async () => {
      expect(await host.ask('recover')).toMatchObject({ code: 0, json: { ended: [] } });
    });

    test('the next run works', async () => {
      const next = await host.run(host.changing('grep new "$SAVEPOINT_ROOT/etc/lab/sources"'));
      expect(next, next.stderr).toMatchObject({ code: 0, json: { outcome: 'committed' } });
      expect((await host.ask('status')).json.past).toMatchObject([
        { id, outcome: 'rollback-failed, cleared', holder },
        { id: next.json.transaction?.id, outcome: 'committed', holder },
      ]);
    });
  });
});

test.runIf(isRoot && isSince('1.2.0')).each(['/etc/lab', '/etc/lab/deep', '/etc/lab/new'])(
  'what a job mounted on %s is taken away, and what lay below it brought back',
  async (path) => {
    using host = new LabHost();
    const { code, json } = await host.run(host.changing(leavesMount(path)));
    expect({ code, json }).toMatchObject({ code: 1, json: { outcome: 'rolled-back' } });
    expect(host.unmount(path)).toBe(false);
    expect(names.map((name) => host.read(name))).toEqual(['old\n', 'old\n']);
    expect(existsSync(join(host.root, 'etc/lab/new'))).toBe(false);
  },
);

describe.runIf(isRoot)('what is recorded of a rollback that failed', () => {
  /** The rollback of a transaction in the split form has failed, asked for by one command or another. */
  async function failedBy(command: 'rollback' | 'recover'): Promise<LabHost> {
    const host = new LabHost();
    onTestFinished(() => host[Symbol.dispose]());
    const job = host.job(host.changing(leavesLink));
    const begun = await host.split('begin', job, '--while', '0');
    expect(begun, begun.stderr).toMatchObject({ code: 0 });
    expect(await host.split('exec')).toMatchObject({ code: 1 });
    await (command === 'rollback' ? host.split('rollback') : host.ask('recover'));
    expect((await host.ask('status')).json).toHaveProperty('quarantine');
    return host;
  }

  test('`recover` on the mended host brings everything back, and lifts the quarantine', async () => {
    const host = await failedBy('rollback');
    await host.mend();
    const recovered = await host.ask('recover');
    expect(recovered).toMatchObject({ code: 0, json: { ended: [{ outcome: 'rolled-back' }] } });
    expect(names.map((name) => host.read(name))).toEqual(['old\n', 'old\n']);
    expect((await host.ask('status')).json).not.toHaveProperty('quarantine');
  });

  test('`rollback` after a person cleared the host still says that it failed', async () => {
    const host = await failedBy('recover');
    await host.mend();
    await host.ask('host', 'clear');
    expect(await host.split('rollback')).toMatchObject({
      code: 46,
      json: { outcome: 'rollback-failed', error: { name: 'rollback-failed' } },
    });
  });

  test('`rollback` given again on the mended host brings everything back', async () => {
    const host = await failedBy('rollback');
    await host.mend();
    expect(await host.split('rollback')).toMatchObject({
      code: 0,
      json: { outcome: 'rolled-back' },
    });
  });

  test('`rollback` given again while nobody has mended it fails again', async () => {
    const host = await failedBy('rollback');
    expect(await host.split('rollback')).toMatchObject({ code: 46 });
  });
});
