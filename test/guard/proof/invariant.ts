import { existsSync, readdirSync } from 'node:fs';
import { differences, type Entry, type Field, type Manifest, shown } from '../manifest.ts';
import { isTracked } from '../world.ts';

/** What the world looks like before the change, at moments in between, and in the end. */
export interface Versions {
  old: Manifest;
  between: readonly Manifest[];
  new: Manifest;
}

const stage = /(^|\/)\.savepoint/;

/** Fields that a version must have at every instant; times of directories move with any rename. */
function sameNow(a: Entry | undefined, b: Entry | undefined, strictTime: boolean): boolean {
  if (!a || !b) return a === b;
  const fields: Field[] = ['type', 'mode', 'owner', 'content', 'xattrs'];
  if (strictTime && a.type !== 'directory') fields.push('mtime');
  return fields.every((field) => a[field] === b[field]);
}

/**
 * At the instant of a crash: every tracked path is wholly old or wholly new, what is not tracked
 * is as it was, and only the guard's own stages may be there besides.
 */
export function brokenNow(now: Manifest, versions: Versions): string[] {
  const found: string[] = [];
  const all = [now, versions.old, ...versions.between, versions.new];
  for (const path of new Set(all.flatMap((manifest) => [...manifest.keys()]))) {
    if (stage.test(path)) continue;
    const entry = now.get(path);
    if (sameNow(entry, versions.old.get(path), true)) continue;
    const later = [...versions.between, versions.new].map((version) => version.get(path));
    if (isTracked(path) && later.some((version) => sameNow(entry, version, false))) continue;
    found.push(`${shown(path)}: neither old nor new: ${describe(entry)}`);
  }
  return found;
}

/** After recovery: everything old, to the last field. */
export function notOld(now: Manifest, versions: Versions): string[] {
  return [...differences(versions.old, now, movedByOthers), ...leftBehind(now)];
}

/** After a commit: the tracked paths new (files written by the change have a time of their own). */
export function notNew(now: Manifest, versions: Versions): string[] {
  const written = (path: string, field: Field): boolean => {
    if (movedByOthers(path, field)) return true;
    if (field !== 'mtime' || !isTracked(path)) return false;
    const entry = versions.new.get(path);
    return entry?.type === 'directory' || entry?.mtime !== versions.old.get(path)?.mtime;
  };
  return [...differences(versions.new, now, written), ...leftBehind(now)];
}

/** The time of an untracked directory moves when a tracked path in it is renamed over. */
function movedByOthers(path: string, field: Field): boolean {
  return field === 'mtime' && !isTracked(path);
}

function leftBehind(now: Manifest): string[] {
  return [...now.keys()].filter((p) => stage.test(p)).map((p) => `${shown(p)}: left behind`);
}

function describe(entry: Entry | undefined): string {
  return entry
    ? `${entry.type} ${entry.mode} ${entry.owner} ${entry.content.slice(0, 12)} ${entry.mtime} ${entry.xattrs}`
    : 'absent';
}

/** What only an unfinished transaction has: scratch files, the reserve, temporaries of a writer. */
const unfinished = /^(work|new|reserve|applying)$|\.\d+$|\.nul$/;

/**
 * What is left in the state directory that should not be, once every transaction has ended. The
 * name of a dead process below lock/ counts for nothing and goes with the next lock.
 */
export function stateLeft(state: string): string[] {
  if (!existsSync(state)) return [];
  const found: string[] = [];
  for (const name of readdirSync(state)) {
    if (!/^(guard|tx|lock|lost\+found)$/.test(name)) found.push(`state: ${name} is there`);
  }
  const list = (dir: string) =>
    existsSync(`${state}/${dir}`) ? readdirSync(`${state}/${dir}`) : [];
  for (const id of list('tx')) {
    const names = list(`tx/${id}`);
    if (!names.includes('outcome')) found.push(`state: tx/${id} has no outcome`);
    for (const name of names.filter((n) => unfinished.test(n))) {
      found.push(`state: tx/${id}/${name} is left`);
    }
  }
  return found;
}
