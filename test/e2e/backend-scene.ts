import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Sshd } from '../host/sshd.ts';
import { folder } from '../unit/job-fixture.ts';
import { patchFiles, testRoot } from './root.ts';

/** A backend that is a program, and what it was asked. */
export interface BackendFile {
  path: string;
  /** Verb and request of each call, in order. */
  calls(): { verb: string; request: Record<string, unknown> }[];
  verbs(): string[];
  /** While there is a file of this name beside it, the verb fails. */
  break(verb: string): void;
}

/** Writes a backend whose host is a running sshd. What it says would be a command to a CI. */
export function backendFile(sshd: Sshd, path = join(folder(), 'box')): BackendFile {
  const notes = folder();
  const log = join(notes, 'log');
  const endpoint = {
    host: '127.0.0.1',
    port: sshd.port,
    user: sshd.user,
    key: sshd.keyPath,
    hostKey: sshd.hostKey('ed25519'),
    sudo: false,
  };
  const script = `#!/bin/sh
printf '%s ' "$1" >> '${log}'
case $1 in
  capabilities) echo >> '${log}'; echo '{"capabilities":["close","revert","reboot"]}'; exit ;;
  *) cat >> '${log}' ;;
esac
echo "::error::$1 says so" >&2
echo "token $LAB_TOKEN" >&2
test ! -e '${notes}'/broken-"$1" || exit 7
case $1 in
  open) echo '${JSON.stringify({ endpoint, state: { rack: 7 } })}' ;;
esac
`;
  writeFileSync(path, script, { mode: 0o755 });
  const calls = () => {
    if (!existsSync(log)) return [];
    const lines = readFileSync(log, 'utf8').trim().split('\n');
    return lines.map((line) => {
      const [verb = '', ...rest] = line.split(' ');
      return { verb, request: JSON.parse(rest.join(' ').trim() || '{}') };
    });
  };
  return {
    path,
    calls,
    verbs: () =>
      calls()
        .map(({ verb }) => verb)
        .filter((verb) => verb !== 'capabilities'),
    break: (verb) => writeFileSync(join(notes, `broken-${verb}`), ''),
  };
}

/** A root to protect, and options that make a transaction on it. */
export function scene() {
  const cwd = folder();
  const root = testRoot();
  patchFiles(cwd);
  const options = ['--root', root.path, '--track', '/etc/apt', '--files', 'files'];
  return { cwd, root, before: root.snapshot(), options };
}
