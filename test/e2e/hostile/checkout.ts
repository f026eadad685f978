import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { onTestFinished } from 'vitest';

/** A checkout of Savepoint that a patch under test may do anything to. */
export interface Checkout {
  readonly folder: string;
  read(path: string): string;
  write(path: string, text: string): void;
  /** Builds its dist/; standard error when that is refused. */
  build(): { cli: string; refused?: string };
}

export function checkout(): Checkout {
  const folder = mkdtempSync(join(tmpdir(), 'savepoint-patched-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  for (const part of ['scripts', 'guard', 'src', 'package.json']) {
    cpSync(part, join(folder, part), { recursive: true });
  }
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  return {
    folder,
    read: (path) => readFileSync(join(folder, path), 'utf8'),
    write: (path, text) => {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    },
    build: () => {
      const words = ['scripts/build.mjs', '--out', join(folder, 'dist')];
      const { status, stderr } = spawnSync('node', words, { cwd: folder, encoding: 'utf8' });
      const cli = join(folder, 'dist/cli.cjs');
      return status === 0 ? { cli } : { cli, refused: stderr };
    },
  };
}

/** A guard that does nothing and says yes to everything. */
export const yesGuard = `#!/bin/sh
VERSION=9.9.9
trace=/tmp/savepoint-yes-guard
cat >/dev/null
: >$trace
printf 'savepoint 1 ok\\nid x\\nentries 0\\nbytes 0\\nboot x\\ndecision commit\\nby x\\noutcome committed\\n\\n'
`;

/** Where that guard leaves a trace, should it ever run. */
export const yesTrace = '/tmp/savepoint-yes-guard';
