import { readdirSync, readFileSync } from 'node:fs';

/** The guards of this version; sources read them from the repository, a bundle carries them. */
export interface Carried {
  pin: { version: string; sha256: string };
  /** Texts by version. */
  releases: Record<string, string>;
}

/** What scripts/carried-guards.mjs made of the texts. */
export interface Guards {
  /** Every version, in the order of `releases`. */
  order: string[];
  /** Of the pinned version. */
  text: string;
  /** New lines, and runs of those of `text` and the others before: the first, and how many. */
  others: Record<string, (string | [number, number])[]>;
}

// Put in by scripts/build.mjs.
declare const __SAVEPOINT__: { pin: Carried['pin']; guards: Guards } | undefined;

export function carried(): Carried {
  if (typeof __SAVEPOINT__ !== 'undefined') {
    const { pin, guards } = __SAVEPOINT__;
    return { pin, releases: releasedTexts(pin.version, guards) };
  }
  const folder = new URL('../../guard/', import.meta.url);
  const read = (path: string) => readFileSync(new URL(path, folder), 'utf8');
  const versions = readdirSync(new URL('releases/', folder)).sort();
  return {
    pin: JSON.parse(read('pin.json')),
    releases: Object.fromEntries(versions.map((v) => [v, read(`releases/${v}/guard.sh`)])),
  };
}

/** The texts again. Whoever takes one checks its digest, so a mistake here could only refuse it. */
export function releasedTexts(
  pinned: string,
  { order, text, others }: Guards,
): Record<string, string> {
  const texts: Record<string, string> = { [pinned]: text };
  const known = text.split('\n');
  for (const [version, parts] of Object.entries(others)) {
    const lines = parts.flatMap((part) =>
      typeof part === 'string' ? part : known.slice(part[0], part[0] + part[1]),
    );
    texts[version] = lines.join('\n');
    known.push(...lines);
  }
  return Object.fromEntries(order.map((version) => [version, texts[version] ?? '']));
}
