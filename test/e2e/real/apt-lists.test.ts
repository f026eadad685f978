import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { aptEnv, change, update } from './apt-host.ts';
import { type AptLab, startAptLab } from './apt-lab.ts';
import { packageName } from './apt-repository.ts';
import { deadMirror, type Mirror } from './mirror.ts';
import type { JobFields, ScratchHost } from './scratch-host.ts';

let lab: AptLab;

beforeAll(async () => {
  lab = await startAptLab();
});

afterAll(() => lab[Symbol.asyncDispose]());

/** The lists that apt has from a mirror, named after its address. */
function lists(host: ScratchHost, { port }: Mirror): string[] {
  const names = readdirSync(join(host.root, 'var/lib/apt/lists'));
  return names.filter((name) => name.startsWith(`127.0.0.1:${port}_`));
}

/** A good mirror whose lists apt has when the test fails. */
function failsLate(host: ScratchHost, more: JobFields): JobFields {
  const phases = { test: `apt-cache policy ${packageName} | grep Candidate && false` };
  return { ...change(host, lab.good.url), env: aptEnv(host), check: update, phases, ...more };
}

/** As the preset has it for the host's own root, with all that quoting can get wrong. */
function refresh(host: ScratchHost): string {
  return `set -eu
export APT_CONFIG='${host.root}/var/apt.conf'
apt-get clean
find "$SAVEPOINT_ROOT/var/lib/apt/lists" -mindepth 1 ! -path '*/lists/partial' -delete # it's "100%" \\n
rm -f "$SAVEPOINT_ROOT"/var/cache/apt/*.bin`;
}

const probe = (host: ScratchHost) => `APT_CONFIG=${host.root}/var/apt.conf ${update}`;

test('after a rollback with `refresh:` apt has no list of the mirror that was tried', async () => {
  using host = await lab.host();
  const before = host.look();
  const ended = await host.run(failsLate(host, { refresh: refresh(host) }));

  expect(ended.json).toMatchObject({
    outcome: 'rolled-back',
    warnings: [],
    test_output: '  Candidate: 2.0\n',
  });
  expect(lists(host, lab.good)).toEqual([]);
  expect(host.changesSince(before)).toEqual([]);
});

test('with `probe:` as well, it has those of the mirror of before', async () => {
  using host = await lab.host();
  const job = failsLate(host, { refresh: refresh(host), probe: probe(host) });
  expect((await host.run(job)).json).toMatchObject({ outcome: 'rolled-back', warnings: [] });

  expect(lists(host, lab.good)).toEqual([]);
  expect(lists(host, lab.old)).toContainEqual(expect.stringMatching(/_Packages$/));
});

test('without `refresh:` the lists stay, for nothing but tracked paths is rolled back', async () => {
  using host = await lab.host();
  await host.run(failsLate(host, {}));

  expect(lists(host, lab.good)).toContainEqual(expect.stringMatching(/_Packages$/));
});

test('a probe that fails after the rollback makes the host unhealthy, restored all the same', async () => {
  using host = await lab.host();
  host.put('etc/apt/sources.list.d/dead.list', { text: `deb [trusted=yes] ${deadMirror} ./\n` });
  await host.settle();
  const before = host.look();
  const remove = ['/etc/apt/sources.list.d/dead.list'];
  const job = failsLate(host, { files: undefined, remove, probe: probe(host) });
  const ended = await host.run(job);

  expect(ended.json).toMatchObject({
    outcome: 'rolled-back-unhealthy',
    error: { name: 'rolled-back-unhealthy', class: 'recovery' },
    warnings: [expect.stringContaining('probe failed')],
  });
  expect(ended.code).toBe(46);
  expect(host.changesSince(before)).toEqual([]);
});
