import { homedir, userInfo } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

/** What a job may take from the machine that reads it. Given as data, so tests can set it. */
export interface LoadContext {
  /** Absolute; what relative paths of options are relative to. */
  cwd: string;
  /** Absolute; what `~/` stands for. */
  home: string;
  /** Name of the user, who also logs in over SSH unless the job says otherwise. */
  user: string;
  /** Does this process run as root? */
  isRoot: boolean;
  env: Readonly<Record<string, string | undefined>>;
}

/** This process, as the context jobs are loaded in. */
export function processContext(): LoadContext {
  const { username, uid } = userInfo();
  const { env } = process;
  return { cwd: process.cwd(), home: homedir(), user: username, isRoot: uid === 0, env };
}

/** A local path as an absolute one; `~/` is the home, anything relative is below the base. */
export function localPath(path: string, base: string, context: LoadContext): string {
  if (path === '~' || path.startsWith('~/')) return join(context.home, path.slice(1));
  return isAbsolute(path) ? resolve(path) : resolve(base, path);
}
