import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';

const cache = 'test/.cache';

/** All that the bundles are made of. */
const sources = [
  'action.yml',
  'package-lock.json',
  'scripts/build.mjs',
  'scripts/bundle-options.mjs',
  'scripts/carried-guards.mjs',
  'guard',
  'src',
];

let folder: string | undefined;

/**
 * The action as the runner gets it: action.yml and dist/, built from the sources as they are now,
 * once for all test files. That the committed dist/ has the same bytes is a check of its own
 * (scripts/check-dist.sh).
 */
export function actionFolder(): string {
  folder ??= built(join(process.cwd(), cache, `action-${digest()}`));
  return folder;
}

export function cliFile(): string {
  return join(actionFolder(), 'dist', 'cli.cjs');
}

/** Several test files may build at once: the first that is done is the one they use. */
function built(wanted: string): string {
  if (existsSync(wanted)) return wanted;
  mkdirSync(cache, { recursive: true });
  const made = mkdtempSync(join(cache, 'making-'));
  execFileSync('node', ['scripts/build.mjs', '--out', join(made, 'dist')], { stdio: 'pipe' });
  cpSync('action.yml', join(made, 'action.yml'));
  try {
    renameSync(made, wanted);
  } catch (error) {
    if (!existsSync(wanted)) throw error;
    rmSync(made, { recursive: true });
  }
  return wanted;
}

function digest(): string {
  const hash = createHash('sha256');
  for (const source of sources.flatMap(files)) hash.update(source).update(readFileSync(source));
  return hash.digest('hex').slice(0, 16);
}

function files(path: string): string[] {
  if (path.includes('.')) return [path];
  const found = readdirSync(path, { recursive: true, withFileTypes: true });
  return found
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name))
    .sort();
}
