import { randomBytes } from 'node:crypto';
import { ask, type GuardSite } from '../guard/client.ts';
import type { Guard } from '../guard/releases.ts';
import type { HostShell } from '../host/shell.ts';
import { guardPlace, places } from './places.ts';
import { forcedLine, type PublicKey } from './public-key.ts';
import { type SudoRules, sudoersText } from './sudo-rules.ts';

/** One thing that set-up does, or finds done. */
export interface Step {
  action: 'keep' | 'install' | 'write' | 'add' | 'try' | 'remove';
  /** For people: `guard 1.0.0`, `sudo rules`. */
  what: string;
  /** Where, or what of it. */
  detail: string;
  perform(shell: HostShell): Promise<void>;
}

export function kept(what: string, detail: string): Step {
  return { action: 'keep', what, detail, perform: async () => undefined };
}

/** The guard in its place, whatever was there. */
export function installGuard(guard: Guard): Step {
  const path = guardPlace(guard.sha256);
  return {
    action: 'install',
    what: `guard ${guard.version}`,
    detail: path,
    perform: async (shell) => {
      await shell.run('rm -rf "$1"', [path.replace(/\/guard$/, '')]);
      await ask(siteOf(shell, guard), 'status', []);
    },
  };
}

// Sudo reads no file whose name has a dot, so a half-written one is never in force.
const replaceFile = `
path=$1 mode=$2 check=$3 dir=\${1%/*} new=\${1%/*}/.\${1##*/}.new
[ -d "$dir" ] || (umask 022; mkdir -p "$dir")
cat >"$new"
chmod "$mode" "$new"
chown 0:0 "$new"
if [ "$check" = yes ] && ! why=$(visudo -cf "$new" 2>&1); then rm -f "$new"; echo "visudo: $why" >&2; exit 1; fi
sync "$new"
mv -f "$new" "$path"
sync "$dir"
`;

/** A file of root's, whole and durable. */
export function writeFile(what: string, path: string, mode: string, text: string): Step {
  return {
    action: 'write',
    what,
    detail: path,
    perform: async (shell) => void (await shell.run(replaceFile, [path, mode, 'no'], text)),
  };
}

const rulesInForce = `
list=$(sudo -n -l -U "$1" 2>&1 | tr -s ' \\n' ' ')
case $list in *"sha256:$2 "*) ;; *)
  echo "sudo does not read ${places.sudoers}: does /etc/sudoers have @includedir /etc/sudoers.d?" >&2
  exit 1
esac
`;

/** The sudo rules, checked by visudo before they are in force, and by sudo itself afterwards. */
export function writeSudoRules(rules: SudoRules, versions: string): Step {
  return {
    action: 'write',
    what: 'sudo rules',
    detail: `${places.sudoers}: ${rules.user} may run ${versions}`,
    perform: async (shell) => {
      await shell.run(replaceFile, [places.sudoers, '440', 'yes'], sudoersText(rules));
      await shell.run(rulesInForce, [rules.user, rules.guards.at(-1) ?? '']);
    },
  };
}

/**
 * A transaction that protects a path nobody has: it shows that the guard works there and, as every
 * first begin does, sets up recovery at boot.
 */
export function tryGuard(guard: Guard, holder: string): Step {
  return {
    action: 'try',
    what: 'recovery at boot',
    detail: `a transaction of guard ${guard.version} that changes nothing sets it up`,
    perform: async (shell) => {
      const site = siteOf(shell, guard);
      const id = `setup-${randomBytes(6).toString('hex')}`;
      const credentials = [
        ['id', id] as const,
        ['token', randomBytes(32).toString('hex')] as const,
      ];
      await ask(site, 'begin', [
        ...credentials,
        ['holder', holder],
        ['degraded', 'yes'],
        ['track', `/var/lib/${id}`],
      ]);
      await ask(site, 'rollback', [...credentials, ['reason', 'host-setup']]);
    },
  };
}

// As the user, in the user's own folder: what links there lead to is then only what the user may
// write anyway. A key that was allowed more loses that.
const replaceKey = `
exec su -s /bin/sh "$1" -c 'umask 077; cd "$HOME" && mkdir -p .ssh && cd .ssh || exit
{ [ ! -f authorized_keys ] || grep -v -F -e "$1" authorized_keys || [ $? -eq 1 ]; } >.authorized_keys.new &&
{ [ -z "$2" ] || printf "%s\\n" "$2" >>.authorized_keys.new; } &&
sync .authorized_keys.new && mv -f .authorized_keys.new authorized_keys' sh "$2" "$3"
`;

/** The line of authorized_keys that leads a key to the gate and nowhere else. */
export function addKey(user: string, key: PublicKey): Step {
  return {
    action: 'add',
    what: 'forced command',
    detail: `${key.fingerprint} of ${user}, in ~/.ssh/authorized_keys`,
    perform: async (shell) =>
      void (await shell.run(replaceKey, [user, ` ${key.base64}`, forcedLine(key)])),
  };
}

/** Takes away every line that leads to the gate. */
export function removeKeys(user: string, count: number): Step {
  return {
    action: 'remove',
    what: 'forced command',
    detail: `${count === 1 ? 'one key' : `${count} keys`} of ${user}, in ~/.ssh/authorized_keys`,
    perform: async (shell) =>
      void (await shell.run(replaceKey, [user, `restrict,command="${places.gate}" `, ''])),
  };
}

export function removeGuard(sha256: string, version: string | undefined): Step {
  const folder = guardPlace(sha256).replace(/\/guard$/, '');
  return {
    action: 'remove',
    what: `guard ${version ?? ''}`.trim(),
    detail: folder,
    perform: async (shell) => void (await shell.run('rm -rf "$1"', [folder])),
  };
}

function siteOf(shell: HostShell, guard: Guard): GuardSite {
  return { host: shell.host, guard, root: '/', sudo: shell.sudo };
}
