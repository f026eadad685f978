import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { differences, type Manifest } from '../../guard/manifest.ts';
import { isSince } from '../../guard/which.ts';
import { type Ended, savepoint } from './savepoint.ts';
import { type JobFields, ScratchHost } from './scratch-host.ts';

/** An edit that is made outside any phase, by a process that is not the job's. */
interface Edit {
  what: string;
  script: string;
  /** Which path the host tells of. */
  at: string;
  /** What is there then. */
  theirs?: string;
}

const edits: Edit[] = [
  { what: 'changes', script: 'echo theirs >edited', at: '/etc/lab/edited', theirs: 'theirs\n' },
  { what: 'removes', script: 'rm removed', at: '/etc/lab/removed' },
  { what: 'adds', script: 'echo added >more', at: '/etc/lab/more', theirs: 'added\n' },
];
const directory: Edit = {
  what: 'makes a directory of',
  script: 'rm replaced && mkdir replaced && echo inside >replaced/file',
  at: '/etc/lab/replaced/file',
  theirs: 'inside\n',
};
const all = [...edits, directory];
const rows = (of: Edit[]) => of.map((edit) => [edit.what, edit] as const);

interface Scene {
  host: ScratchHost;
  before: Manifest;
  /** The host when somebody had edited it, before the rollback. */
  edited: Manifest;
  exec: Ended;
  finish: Ended;
}

/** A phase fails, somebody edits what the change did not touch, and then the job ends. */
async function scene(fields: JobFields = {}): Promise<Scene> {
  const items = Object.fromEntries(
    ['laid', 'edited', 'removed', 'replaced'].map((name) => [`etc/lab/${name}`, { text: 'old\n' }]),
  );
  const host = new ScratchHost(items, ['/etc/lab'], ['/etc/lab']);
  await host.settle();
  const before = host.look();
  const files = host.overlay('files', {
    'etc/lab/laid': { text: 'new\n' },
    'etc/lab/new': { text: 'new\n' },
  });
  const job = host.job({ files, phases: { test: 'exit 3' }, ...fields });
  const it = { cwd: host.folder };
  const begun = await savepoint(['begin', job, '--while', String(process.pid)], it);
  expect(begun, begun.stderr).toMatchObject({ code: 0 });
  const exec = await savepoint(['exec'], it);
  // Only now: what happens while a phase is at work is taken for the job's own.
  const script = all.map((edit) => edit.script).join('\n');
  const somebody = spawnSync('sh', ['-e'], { cwd: join(host.root, 'etc/lab'), input: script });
  expect(somebody).toMatchObject({ status: 0 });
  const edited = host.look();
  const finish = await savepoint(['finish', '--status', 'failure', '--json'], it);
  return { host, before, edited, exec, finish };
}

/** Where the transaction keeps what lay at a path. */
const keptAt = ({ host, finish }: Scene, at: string) =>
  join(host.root, 'var/lib/savepoint/tx', finish.json.transaction?.id ?? '', 'theirs', at);

/** How one path differs. */
function difference(wanted: Manifest, found: Manifest, path: string): string[] {
  const only = (manifest: Manifest) => new Map([...manifest].filter(([name]) => name === path));
  return differences(only(wanted), only(found));
}

describe.each([
  ['by default the backup wins', {}],
  ['with `on-conflict: keep` theirs stays', { 'on-conflict': 'keep' }],
])('somebody else edits tracked paths between the phase and the end: %s', (_title, fields) => {
  const keep = 'on-conflict' in fields;
  let it: Scene;
  beforeAll(async () => {
    it = await scene(fields);
  });
  afterAll(() => it.host[Symbol.dispose]());

  test('the phase failed, and the end is a conflict: the host needs a look, not a repair', () => {
    expect(it.exec).toMatchObject({ code: 1 });
    const error = { code: 321, name: 'edited-by-others', class: 'host' };
    expect(it.finish).toMatchObject({ code: 3, json: { outcome: 'conflict', error } });
    expect(it.finish.json).toMatchObject({ status: 'failure', test_status: 3 });
  });

  test.each(rows(all))(
    'who %s a file is told of, and what lies there is kept',
    (_what, { at, theirs }) => {
      const { warnings = [], error } = it.finish.json;
      const told = warnings.find((line) => line.startsWith(`edited by someone else: ${at};`));
      expect(told, String(warnings)).toBeDefined();
      expect(error?.details.found).toContain(told);
      const kept = keptAt(it, at);
      expect(existsSync(kept)).toBe(theirs !== undefined);
      if (theirs === undefined) return;
      expect(told).toContain(`; their version is ${kept}`);
      expect(readFileSync(kept, 'utf8')).toBe(theirs);
    },
  );

  test('no path is named that nobody else has edited', () => {
    // Of a directory in the place of a file two are: it (since 1.2.0), and the file in it.
    expect(it.finish.json.warnings).toHaveLength(all.length + (isSince('1.2.0') ? 1 : 0));
  });

  if (!keep) {
    test('everything is as it was at begin', () => {
      expect(it.host.changesSince(it.before)).toEqual([]);
    });
  } else {
    test.each(rows(edits))('the edit of who %s a file is as it was left', (_what, { at }) => {
      expect(difference(it.edited, it.host.look(), at)).toEqual([]);
    });

    test.runIf(isSince('1.2.0'))('so is that of who makes a directory of a file', () => {
      expect(difference(it.edited, it.host.look(), directory.at)).toEqual([]);
    });

    test.each(['/etc/lab/laid', '/etc/lab/new'])('the change of %s is undone', (path) => {
      expect(difference(it.before, it.edited, path)).not.toEqual([]);
      expect(difference(it.before, it.host.look(), path)).toEqual([]);
    });
  }

  test('the host takes the next job, which finds nothing to tell', async () => {
    const next = await it.host.run({ phases: { test: 'exit 0' } });
    expect(next).toMatchObject({ code: 0, json: { outcome: 'committed', warnings: [] } });
  });
});
