#!/bin/sh
# Savepoint gate: all that an SSH key can do whose line in authorized_keys has it as its forced command.
#
# sshd runs it, as the CI user, whatever the key's holder asks for. It reads that command line, never runs it, and
# starts one verb of a guard by sudo, which checks the guard's digest. `savepoint host setup --forced-command` puts it
# where only root can change it. Exit 92 and 93 as the loader's (src/guard/bootstrap.ts).
set -u
set -f
PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
export PATH LC_ALL
unset IFS

refuse() {
  printf 'savepoint gate: %s\n' "$1" >&2
  exit 93
}

asked=${SSH_ORIGINAL_COMMAND-}
case $asked in
  *' savepoint '*) ;;
  *) refuse 'this key is for the guard of Savepoint and runs nothing else' ;;
esac

# ROOT DIGEST SUDO VERB, as the controller's command line ends.
# shellcheck disable=SC2086 # to be split at blanks; nothing is expanded, see set -f
set -- ${asked##*' savepoint '}
[ $# -eq 4 ] || refuse 'the command line does not end as that of the guard does'
[ "$1" = "''" ] || refuse 'this key works on the host itself only, not below another root'
case $2 in *[!0-9a-f]*) refuse 'that is no digest of a guard' ;; esac
[ ${#2} -eq 64 ] || refuse 'that is no digest of a guard'
case $4 in
  begin | apply | exec | kill | renew | commit | rollback | status | recover) ;;
  *) refuse 'this key may not ask the guard for that' ;;
esac

guard=/var/lib/savepoint/guard/$2/guard
if sudo -n -l "$guard" "$4" >/dev/null 2>&1; then exec sudo -n "$guard" "$4"; fi
list=$(sudo -n -l 2>&1)
printf '%s\n' "$list" >&2
case $list in *sha256:*/guard/*) exit 93 ;; *) exit 92 ;; esac
