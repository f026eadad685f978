import type { HostShell } from '../host/shell.ts';

/** What a tree on a host looks like, by the host's own tools but without the guard's help. */
export interface Manifest {
  /** By path, each byte a character (latin1). */
  entries: Map<string, Entry>;
  /** Extended attributes and ACLs, as getfattr prints them; empty where it is missing. */
  attributes: string;
}

export interface Entry {
  type: string;
  /** Permission bits, owner and group. */
  access: string;
  /** Modification time; with its fraction where the host's find tells it. */
  time: string;
  /** SHA-256 of a file, target of a link. */
  content: string;
  /** Other names of the same file in the tree. */
  links: string;
}

// Names may hold any byte, so everything comes as hex, a line for each list.
const script = `
cd "$1"
hex() { od -An -v -tx1 | tr -d ' \\n'; echo; }
if find . -maxdepth 0 -printf '' 2>/dev/null; then
  find ./etc -printf '%y %m:%U:%G %T@ %i %n\\0%p\\0%l\\0' | hex
else
  find ./etc -print0 | xargs -0 -n 1 sh -c '
    stat -c "%f %a:%u:%g %Y %i %h" "$1" | tr "\\n" "\\000"; printf "%s\\000" "$1"
    if [ -L "$1" ]; then readlink "$1" | tr "\\n" "\\000"; else printf "\\000"; fi' sh | hex
fi
find ./etc -type f -print0 | hex
find ./etc -type f -print0 | xargs -0 sha256sum -- | hex
{ ! command -v getfattr >/dev/null || getfattr -R -P -h -d -m - -e hex ./etc 2>/dev/null || :; } | hex
`;

/** Takes the manifest of everything below `etc` of a root. */
export async function manifestOf(shell: HostShell, root: string): Promise<Manifest> {
  const lines = (await shell.run(script, [root])).split('\n');
  const [listing = '', names = '', sums = '', attributes = ''] = lines.map((line) =>
    Buffer.from(line, 'hex').toString('latin1'),
  );
  const hashes = [...sums.matchAll(/^\\?([0-9a-f]{64}) /gm)].map(([, hash = '']) => hash);
  const content = new Map(split(names).map((name, index) => [name, hashes[index] ?? '']));
  const entries = new Map<string, Entry>();
  const inodes = new Map<string, string[]>();
  const fields = split(listing);
  for (let at = 0; at + 2 < fields.length; at += 3) {
    const [stat = '', path = '', target = ''] = fields.slice(at, at + 3);
    const [kind = '', access = '', time = '', inode = '', count = ''] = stat.split(' ');
    const type = typeOf(kind);
    if (type === 'f' && Number(count) > 1) inodes.set(inode, [...(inodes.get(inode) ?? []), path]);
    entries.set(path, {
      type,
      // A link's own bits say nothing.
      access: type === 'l' ? access.replace(/^[^:]*/, '') : access,
      // The guard works in the directory above what is tracked.
      time: path === './etc' ? '' : time,
      content: type === 'l' ? target : (content.get(path) ?? ''),
      links: '',
    });
  }
  for (const same of inodes.values()) {
    for (const path of same) {
      const entry = entries.get(path);
      if (entry) entry.links = same.filter((other) => other !== path).join(' ');
    }
  }
  return { entries, attributes };
}

/** How one manifest differs from another in all that a rollback has to bring back, in words. */
export function differences(before: Manifest, now: Manifest): string[] {
  const found: string[] = [];
  for (const path of new Set([...before.entries.keys(), ...now.entries.keys()])) {
    const old = before.entries.get(path);
    const entry = now.entries.get(path);
    if (!old || !entry) {
      found.push(`${shown(path)}: ${old ? 'is gone' : 'was not there'}`);
      continue;
    }
    for (const field of Object.keys(old) as (keyof Entry)[]) {
      if (old[field] !== entry[field]) {
        found.push(`${shown(path)}: ${field} is ${shown(entry[field])}, was ${shown(old[field])}`);
      }
    }
  }
  if (before.attributes !== now.attributes) found.push('extended attributes or ACLs differ');
  return found;
}

/** What of a tree is neither wholly of one manifest nor wholly of another, in words. */
export function mixed(one: Manifest, other: Manifest, now: Manifest): string[] {
  const whole = (manifest: Manifest, path: string) => {
    const entry = manifest.entries.get(path);
    return entry ? `${entry.type} ${entry.content}` : '';
  };
  return [...new Set([one, other, now].flatMap(({ entries }) => [...entries.keys()]))]
    .filter((path) => !/\/\.savepoint\.[^/]*(\/|$)/.test(path))
    .filter((path) => {
      const is = whole(now, path);
      return is !== whole(one, path) && is !== whole(other, path);
    })
    .map((path) => `${shown(path)}: neither wholly old nor wholly new`);
}

function split(text: string): string[] {
  return text.split('\0').slice(0, -1);
}

/** The letter of find, or the type bits of a mode in hex (inode(7)). */
function typeOf(kind: string): string {
  const bits: Record<string, string> = { '4': 'd', '8': 'f', a: 'l' };
  return kind.length === 4 ? (bits[kind[0] ?? ''] ?? '?') : kind;
}

function shown(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}
