#!/bin/sh
# Savepoint policy: what those who reach the guard of this host by sudo may ask it for; everything else is refused.
#
# The guard runs it as root, as `policy root ROOT`, `policy begin TRACK REFRESH PROBE` (a line each) and `policy user`:
# what it prints before it exits with another status than 0 is why the guard refuses. `savepoint host setup` writes it,
# and below its last line what it allows; root may edit that. Lines: track PATH, refresh COMMAND, probe COMMAND, and
# user NAME, who phases run as instead of the login.
set -u
allowed() { sed -n "s/^$1 //p" "$0"; }
refuse() {
  printf '%s\n' "$1"
  exit 1
}

# unnamed: the first of the lines on standard input that no line of that kind allows, behind a dot; a tracked path is
# allowed with all below it.
unnamed() {
  while IFS= read -r asked; do
    allowed "$1" | while IFS= read -r may; do
      if [ "$asked" = "$may" ]; then echo yes; fi
      case $1:$asked/ in
        *//* | */./* | */../*) ;;
        track:"$may"/*) echo yes ;;
      esac
    done | grep -q yes || { printf '.%s\n' "$asked" && return; }
  done
}

# loose: a directory in, at or above the paths on standard input that others than root may change.
loose() {
  while IFS= read -r path; do
    set -- "$path"
    above=$path
    while above=${above%/*} && [ -n "$above" ]; do set -- "$@" "$above"; done
    find "$@" -maxdepth 0 -type d \( ! -user 0 -o -perm -020 -o -perm -002 \)
    find "$path" -xdev -type d \( ! -user 0 -o -perm -020 -o -perm -002 \)
  done 2>/dev/null | head -n 1
}

case ${1:-} in
  root) [ -z "$2" ] || refuse "the host's own root is all that may be asked for, not '$2'" ;;
  user) allowed user | head -n 1 ;;
  begin)
    for kind in track refresh probe; do
      shift
      other=$(printf %s "$1" | unnamed "$kind")
      [ -z "$other" ] || refuse "$kind '${other#.}' is not allowed; it allows $(allowed "$kind" | tr '\n' ';')"
      [ "$kind" != track ] || open=$(printf %s "$1" | loose)
      [ -z "$open" ] || refuse "$open can be written to by others"
    done
    ;;
  *) refuse "'${1:-}' is not known to it" ;;
esac
exit 0
