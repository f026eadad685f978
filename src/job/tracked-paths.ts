import type { ErrorName } from '../errors.ts';
import type { TrackedPath } from './job.ts';
import { nearest } from './nearest.ts';
import { isPresetName, presetNames, presetOf } from './presets.ts';

/** Where the guard keeps what it needs to bring a host back. Never part of a transaction. */
export const guardStateDir = '/var/lib/savepoint';

/** Why a text cannot be a path on the host, with the catalogue's name for it. */
export interface PathProblem {
  name: ErrorName;
  message: string;
  allowed: string;
  hint?: string;
}

const plainForm = 'an absolute path with no empty, "." or ".." part and no control character';

/** What is wrong with a path that the transaction is to protect or remove, if anything is. */
export function pathProblem(path: string, root: string): PathProblem | undefined {
  const about = { allowed: plainForm };
  if (!path.startsWith('/')) {
    const message = `"${path}" is not an absolute path.`;
    return { name: 'track-relative', message, ...about };
  }
  if (/^\/+$/.test(path)) {
    const message = 'The root directory itself cannot be tracked.';
    return { name: 'track-root', message, ...about, hint: 'Track what the change touches.' };
  }
  const wrong = path.slice(1).split('/').find(isNotPlain);
  if (wrong !== undefined) {
    const message = `"${path}" has a part that is not plain: ${JSON.stringify(wrong)}.`;
    return { name: 'track-bad-path', message, ...about };
  }
  const onHost = root === '/' ? path : root + path;
  if ([path, onHost].some((one) => isWithin(one, guardStateDir) || isWithin(guardStateDir, one))) {
    const message = `"${path}" would take in ${guardStateDir}, which is how the host is brought back.`;
    return { name: 'track-reserved', message, ...about };
  }
  return undefined;
}

function isNotPlain(part: string): boolean {
  return part === '' || part === '.' || part === '..' || /\p{Cc}/u.test(part);
}

/** Is the path the directory itself, or anything below it? */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

export type Tracked =
  | { paths: TrackedPath[]; preset?: string }
  | { problem: PathProblem; paths?: undefined };

/** What one item of `track:` stands for: a path, or all paths of a preset. */
export function resolveTracked(item: string, root: string): Tracked {
  if (isPresetName(item)) {
    return { preset: item, paths: presetOf(item).paths.map((path) => ({ path, preset: item })) };
  }
  if (item.startsWith('/') || /[/.]/.test(item)) {
    const problem = pathProblem(item, root);
    return problem ? { problem } : { paths: [{ path: item }] };
  }
  const meant = nearest(item, presetNames);
  return {
    problem: {
      name: 'track-unknown-preset',
      message: `There is no preset "${item}".`,
      allowed: `${presetNames.join(', ')}, or an absolute path`,
      ...(meant && { hint: `Did you mean "${meant}"?` }),
    },
  };
}

/** Sorted by path, with everything left out that is the same as, or below, another one. */
export function outermost(tracked: readonly TrackedPath[]): TrackedPath[] {
  const kept: TrackedPath[] = [];
  for (const one of [...tracked].sort((a, b) => comparePaths(a.path, b.path))) {
    if (!kept.some(({ path }) => isWithin(one.path, path))) kept.push(one);
  }
  return kept;
}

/** Order by code units: the same on every machine, and a directory comes before what it holds. */
export function comparePaths(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
