import { dirname } from 'node:path';
import type { SshTarget } from '../ssh-target.ts';
import type { AskedFor } from './asked.ts';
import type { ConfigProgram } from './problem.ts';
import { resolveTarget } from './resolve.ts';

/**
 * How a host is reached, by the configuration that was asked for.
 * @param config path of the file to read, as `ssh -F` does; `none` for no file; the usual ones of
 *   OpenSSH unless told. Relative paths of its Include are in the file's own folder.
 * @throws SavepointError `ssh-config-bad`, `ssh-config-program`
 */
export function resolveConfigured(
  asked: AskedFor,
  config: string | undefined,
  allow: readonly ConfigProgram[] = [],
): Promise<SshTarget> {
  if (config === undefined) return resolveTarget(asked, { allow });
  if (config === 'none') return resolveTarget(asked, { allow, files: [] });
  const file = { path: config, includeFolder: dirname(config), required: true };
  return resolveTarget(asked, { allow, files: [file] });
}
