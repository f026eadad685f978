import { allOf } from '../guard/protocol.ts';
import type { HostShell } from '../host/shell.ts';

/** What a host's shell, tools and file system can do, as far as a guard cares. */
export interface Abilities {
  /** For people: what it is about, and what was found. */
  found: [what: string, is: string][];
  root: boolean;
  /** GNU find and tar: metadata survives whole. */
  gnu: boolean;
  attributes: boolean;
  acls: boolean;
}

const script = `
scratch=$1
say() { printf '%s\\t%s\\n' "$1" "$2"; }
version() { "$@" --version 2>/dev/null </dev/null | head -n 1; }
say system "$(uname -sr)"
say user "$(id -un)"
say shell "$(readlink -f /bin/sh 2>/dev/null || echo /bin/sh)"
for tool in find tar; do
  said=$(version $tool)
  case $said in *GNU*) ;; *) said="not GNU: \${said:-$(readlink -f "$(command -v $tool)")}" ;; esac
  say $tool "$said"
done
case $(sync --help 2>&1) in *-f*) say sync 'one file system at a time' ;; *) say sync 'all file systems at once' ;; esac
if [ -d /run/systemd/system ]; then say watchdog 'systemd'; else say watchdog 'a process of its own'; fi
say 'file system' "$(stat -f -c %T "$scratch" 2>/dev/null || echo unknown)"
cd "$scratch"
: >probe
if command -v setfattr >/dev/null && command -v getfattr >/dev/null && setfattr -n user.savepoint -v x probe 2>/dev/null
then say attributes kept; else say attributes 'cannot be tested here'; fi
if command -v setfacl >/dev/null && command -v getfattr >/dev/null && setfacl -m u:1:r probe 2>/dev/null
then say ACLs kept; else say ACLs 'cannot be tested here'; fi
rm -f probe
for tool in lsattr diff setsid; do
  if command -v $tool >/dev/null; then say $tool there; else say $tool missing; fi
done
`;

export async function abilitiesOf(shell: HostShell, scratch: string): Promise<Abilities> {
  const lines = (await shell.run(script, [scratch])).split('\n').slice(0, -1);
  const found = lines.map((line): [string, string] => {
    const [what = '', is = ''] = line.split('\t');
    return [what, is];
  });
  const is = (what: string) => allOf(found, what)[0] ?? '';
  return {
    found,
    root: is('user') === 'root',
    gnu: is('find').includes('GNU find') && is('tar').includes('GNU tar'),
    attributes: is('attributes') === 'kept',
    acls: is('ACLs') === 'kept',
  };
}
