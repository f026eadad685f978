import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { freezeCredentials } from '../../src/action/credentials.ts';
import type { SshTarget } from '../../src/host/ssh-target.ts';

const folder = mkdtempSync(join(tmpdir(), 'savepoint-credentials-'));
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const target = (changes: Partial<SshTarget>): SshTarget => ({
  type: 'ssh',
  name: 'lab-07',
  port: 22,
  user: 'root',
  knownHostsFiles: [],
  hostKeyCheck: 'strict',
  sudo: false,
  connectTimeout: 10,
  ...changes,
});
const read = (path: string | undefined) => readFileSync(path ?? '', 'utf8');

test('keys, known hosts and revoked keys of a host and its jumps outlive their files', () => {
  const absent = join(folder, 'absent');
  const originals = [
    file('own', 'own key'),
    file('own.pub', 'own public key'),
    file('in-agent.pub', 'public key'),
    file('jump', 'jump key'),
    file('known', 'lab-07 key'),
    file('jump-known', 'gate key\n'),
    file('revoked', 'lost key'),
  ];
  const [own = '', , inAgent = '', jump = '', known = '', jumpKnown = '', revoked = ''] = originals;
  const frozen = freezeCredentials(
    target({
      keyFiles: [absent, own, inAgent.slice(0, -4)],
      knownHostsFiles: [known, absent],
      revokedHostKeys: revoked,
      jumps: [target({ name: 'gate', keyFiles: [jump], knownHostsFiles: [jumpKnown] })],
    }),
    join(folder, 'frozen'),
  );
  for (const original of originals) rmSync(original);

  expect(frozen.keyFiles?.map(read)).toEqual(['own key', 'public key']);
  expect(read(`${frozen.keyFiles?.[0]}.pub`)).toBe('own public key');
  expect(frozen.knownHostsFiles.map(read)).toEqual(['lab-07 key\n']);
  expect(read(frozen.revokedHostKeys)).toBe('lost key');
  const [gate] = frozen.jumps ?? [];
  expect(gate?.keyFiles?.map(read)).toEqual(['jump key']);
  expect(gate?.knownHostsFiles.map(read)).toEqual(['gate key\n']);
  expect(statSync(gate?.keyFiles?.[0] ?? '').mode & 0o777).toBe(0o600);
});

test('a list of revoked keys that is not there is refused, as it must not count as empty', () => {
  const revokedHostKeys = join(folder, 'no-such-list');
  expect(() => freezeCredentials(target({ revokedHostKeys }), join(folder, 'refused'))).toThrow(
    expect.objectContaining({ name: 'known-hosts-missing' }),
  );
});
