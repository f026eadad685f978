import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));

/**
 * Path of one of the two C programs beside this file, built with `cc` into `test/.cache` when
 * there is no build of the present source.
 * @throws Error with the compiler's own words when it cannot be built.
 */
export function tool(name: 'tracer' | 'xattrs'): string {
  const source = join(here, `${name}.c`);
  const built = join(here, '..', '.cache', name);
  if (existsSync(built) && statSync(built).mtimeMs >= statSync(source).mtimeMs) return built;
  mkdirSync(dirname(built), { recursive: true });
  // Not by pid: workers of the proof have process namespaces of their own, so they have the same one.
  const fresh = `${built}.${randomUUID()}`;
  const cc = spawnSync('cc', ['-O2', '-Wall', '-Wextra', '-o', fresh, source], {
    encoding: 'utf8',
  });
  if (cc.status !== 0) throw new Error(`cc ${source}: ${cc.error?.message ?? cc.stderr}`);
  renameSync(fresh, built); // two test processes may build at once
  return built;
}
