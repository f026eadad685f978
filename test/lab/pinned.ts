import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cliFile } from '../e2e/built.ts';
import { type Ended, savepoint } from '../e2e/real/savepoint.ts';
import type { Machine, User } from './machine.ts';

/** What jobs protect here: what the overlay of a lab job changes, and no more. */
export const protectedPaths = [
  '/etc/absent.conf',
  '/etc/absent.d',
  '/etc/apt',
  '/etc/link.conf',
  '/etc/single.conf',
];

/** Gives a machine a configuration without anything unusual. */
export function furnishPlainly(root: string): void {
  mkdirSync(join(root, 'etc/apt/sources.list.d'), { recursive: true });
  writeFileSync(join(root, 'etc/apt/sources.list'), 'deb http://good.example/debian stable main\n');
  writeFileSync(join(root, 'etc/single.conf'), 'old\n', { mode: 0o600 });
  symlinkSync('single.conf', join(root, 'etc/link.conf'));
}

/** A sudoers line that gives the user ci nothing. */
export const noSudo = '# ci may do nothing';

/** Runs a command of the built `savepoint` that is about a machine, and reads its JSON. */
export function ask(
  machine: Machine,
  words: readonly string[],
  { user = 'root', cli = cliFile() }: { user?: User; cli?: string } = {},
): Promise<Ended> {
  const host = `ssh://${user}@${machine.address}`;
  const login = ['--host', host, '--key', machine.sshKey, '--known-hosts', machine.knownHosts];
  return savepoint([...words, ...login, '--json'], { cwd: '/', cli });
}

/** `savepoint host setup`, which must succeed. */
export async function setUp(machine: Machine, ...options: string[]): Promise<Ended> {
  const ended = await ask(machine, ['host', 'setup', ...options]);
  if (ended.code !== 0) throw new Error(`host setup: ${ended.stderr}`);
  return ended;
}

/** Options that name the CI user and the paths above. */
export const ciOptions = [
  '--ci-user',
  'ci',
  ...protectedPaths.flatMap((path) => ['--track', path]),
];

/** What each step of a set-up or removal did: `kept guard 1.0.0`. */
export function steps({ json }: Ended): string[] {
  return (json.steps as { action: string; what: string }[]).map(
    ({ action, what }) => `${action} ${what}`,
  );
}
