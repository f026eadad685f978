/** Exit statuses of the loader, none of which a guard has. */
export const loaderExit = { notInstalled: 90, mismatch: 91, noSudo: 92, refused: 93 } as const;

// Where the guard keeps its state, as guard.sh itself decides it.
const STATE = `
state=$root/var/lib/savepoint
[ -n "$root" ] || [ "$(id -u)" = 0 ] || [ "$sudo" = yes ] || state=\${XDG_STATE_HOME:-$HOME/.local/state}/savepoint`;

// The login may not do what it must by sudo. Where sudoers names a guard by digest, the host pins its own.
const REFUSE = `{
  list=$(sudo -n -l 2>&1); printf '%s\\n' "$list" >&2
  case $list in *sha256:*/guard/*) exit 93 ;; *) exit 92 ;; esac
}`;

/**
 * Runs one verb of the installed guard, in one command: `sh -c LOADER savepoint ROOT DIGEST SUDO VERB`.
 * As root, or by sudo as root, it checks the digest of the bytes on the host before it runs them.
 * Where sudo allows nothing but the guard, sudo itself checks the digest (sudoers(5), digest_spec).
 */
const LOADER = `root=$1 digest=$2 sudo=$3 verb=$4${STATE}
guard=$state/guard/$digest/guard
check='[ -f "$1" ] || exit 90; [ "$(sha256sum <"$1")" = "$2  -" ] || exit 91; exec /bin/sh "$1" "$3"'
[ "$sudo" = yes ] && [ "$(id -u)" != 0 ] || { set -- "$guard" "$digest" "$verb"; eval "$check"; }
if sudo -n -l /bin/sh -c "$check" >/dev/null 2>&1; then
  exec sudo -n /bin/sh -c "$check" sh "$guard" "$digest" "$verb"
fi
if sudo -n -l "$guard" "$verb" >/dev/null 2>&1; then exec sudo -n "$guard" "$verb"; fi
${REFUSE}`;

/**
 * The command that runs one verb. Its last four words, behind `savepoint`, are all that the gate of
 * a host reads of it (guard/gate.sh): they keep their place and meaning.
 */
export function loaderLine(words: {
  root: string;
  guard: { sha256: string };
  sudo: boolean;
  verb: string;
}): [string, ...string[]] {
  const { root, guard, sudo, verb } = words;
  return ['/bin/sh', '-c', LOADER, 'savepoint', root, guard.sha256, sudo ? 'yes' : 'no', verb];
}

/**
 * Puts the bytes on standard input in the guard's place, if they have the digest:
 * `sh -c INSTALLER sh ROOT DIGEST SUDO`. Atomic, durable, and harmless when run twice at once.
 */
export const INSTALLER = `root=$1 digest=$2 sudo=$3${STATE}
install='umask 077; d=$1/guard/$2
mkdir -p "$d" && cat >"$d/guard.$$" && [ "$(sha256sum <"$d/guard.$$")" = "$2  -" ] || { rm -f "$d/guard.$$"; exit 91; }
chmod 755 "$d/guard.$$" && sync "$d/guard.$$" && mv -f "$d/guard.$$" "$d/guard" && sync "$d"'
[ "$(id -u)" != 0 ] && [ "$sudo" = yes ] || exec /bin/sh -c "$install" sh "$state" "$digest"
sudo -n -l /bin/sh -c "$install" >/dev/null 2>&1 || ${REFUSE}
exec sudo -n /bin/sh -c "$install" sh "$state" "$digest"`;
