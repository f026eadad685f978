import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { workspaceOf } from '../../src/ci/workspace.ts';
import { locate } from '../../src/host/locate.ts';
import { withKeyText, withoutKeyText } from '../../src/host/target.ts';
import { programsNamed, type Trust } from '../../src/host/trust.ts';

const folder = mkdtempSync(join(tmpdir(), 'savepoint-locate-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string, text = '', mode = 0o600): string => {
  writeFileSync(join(folder, name), text, { mode });
  return join(folder, name);
};

describe('an SSH host', () => {
  test('without any key is refused before anything else happens', async () => {
    const sshConfig = file('no-key', `IdentityFile ${folder}/absent\nIdentityAgent none\n`);
    await expect(locate({ type: 'ssh', name: 'lab', sshConfig })).rejects.toMatchObject({
      name: 'key-missing',
      class: 'usage',
      place: { field: 'host' },
      details: { found: expect.stringContaining('absent'), allowed: 'key, key-env or agent' },
    });
  });

  test('needs sudo unless the user is root, whoever says so', async () => {
    const sudo = async (text: string, host = {}) => {
      const sshConfig = file('sudo', text);
      const target = await locate({ type: 'ssh', name: 'a', keyText: 'x', sshConfig, ...host });
      return target.type === 'ssh' && target.sudo;
    };
    expect(await sudo('User root\n')).toBe(false);
    expect(await sudo('User ci\n')).toBe(true);
    expect(await sudo('User ci\n', { user: 'root' })).toBe(false);
    expect(await sudo('User ci\n', { sudo: false })).toBe(false);
  });

  test('is recorded without the text of a key, which comes back for all that had it', async () => {
    const sshConfig = file(
      'jumps',
      `Host own\n IdentityFile ${folder}/id\nHost device\n ProxyJump own,other\n`,
    );
    const target = await locate({ type: 'ssh', name: 'device', keyText: 'secret', sshConfig });
    const record = withoutKeyText(target);
    expect(JSON.stringify(record)).not.toContain('secret');
    expect(withKeyText(record, 'secret')).toEqual(target);
    expect(target).toMatchObject({
      keyText: 'secret',
      jumps: [
        { name: 'own', keyFiles: [`${folder}/id`] },
        { name: 'other', keyText: 'secret' },
      ],
    });
  });
});

describe('a backend', () => {
  const at = (use: string, trust: Trust = {}) => locate({ type: 'backend', use, with: {} }, trust);

  test('of a workspace is refused, by whatever link it is named, unless it is allowed', async () => {
    const box = file('box', '#!/bin/sh\n', 0o700);
    const outside = mkdtempSync(join(tmpdir(), 'savepoint-outside-'));
    symlinkSync(box, join(outside, 'link'));
    const refusal = { name: 'backend-refused', class: 'usage' };
    for (const use of [
      box,
      join(outside, 'link'),
      `${outside}/../${folder.split('/').at(-1)}/box`,
    ]) {
      await expect(at(use, { workspace: folder })).rejects.toMatchObject(refusal);
      await expect(at(use, { workspace: folder, backends: ['other'] })).rejects.toMatchObject(
        refusal,
      );
      for (const name of ['box', './box', box]) {
        expect(await at(use, { workspace: folder, backends: [name] })).toMatchObject({
          backend: { use: box, opened: false },
        });
      }
      expect(await at(use, { workspace: outside })).toMatchObject({ backend: { use: box } });
      expect(await at(use)).toMatchObject({ backend: { use: box } });
    }
    rmSync(outside, { recursive: true });
  });

  test('that is neither a module nor an executable is refused', async () => {
    await expect(at(file('plain'))).rejects.toMatchObject({ name: 'backend-bad' });
    await expect(at(join(folder, 'absent'))).rejects.toMatchObject({ name: 'backend-bad' });
    expect(await at(file('some.mjs'))).toMatchObject({ type: 'backend' });
  });
});

test.each([
  [{ GITHUB_WORKSPACE: '/w' }, '/w'],
  [{ CI_PROJECT_DIR: '/w' }, '/w'],
  [{ WORKSPACE: '/w', BUILD_URL: 'http://jenkins.example/1' }, '/w'],
  [{ WORKSPACE: '/w' }, undefined],
  [{}, undefined],
])('the workspace of %j is %s', (env, workspace) => {
  expect(workspaceOf(env)).toBe(workspace);
});

test('programs are allowed by their names, in any case of letters', () => {
  expect(programsNamed(['proxycommand', 'MatchExec', 'match exec'], 'x', 'bad-input')).toEqual([
    'ProxyCommand',
    'Match exec',
    'Match exec',
  ]);
  expect(() => programsNamed(['all'], 'allow-program', 'bad-input')).toThrow(
    expect.objectContaining({ name: 'bad-input', place: { field: 'allow-program' } }),
  );
});
