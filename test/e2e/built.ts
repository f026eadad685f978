import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

let folder: string | undefined;

/**
 * The action as the runner gets it: action.yml and dist/, built from the sources as they are now.
 * That the committed dist/ has the same bytes is a check of its own (scripts/check-dist.sh).
 */
export function actionFolder(): string {
  if (folder === undefined) {
    const made = mkdtempSync(join(tmpdir(), 'savepoint-action-'));
    process.once('exit', () => rmSync(made, { recursive: true, force: true }));
    folder = made;
    execFileSync('node', ['scripts/build.mjs', '--out', join(folder, 'dist')], { stdio: 'pipe' });
    cpSync('action.yml', join(folder, 'action.yml'));
  }
  return folder;
}

export function cliFile(): string {
  return join(actionFolder(), 'dist', 'cli.cjs');
}
