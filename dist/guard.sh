#!/bin/sh
# Savepoint guard: makes changes to the tracked paths of this host a transaction.
#
# The only program that ever touches a tracked path. It reads one request on standard input, takes the steps of one
# verb, each durable before the next, and answers on standard output (docs/guard-protocol.md). It may be killed at
# any point: whoever runs it next, the watchdog, the boot or a person, brings the transaction to its end. Anything but
# a durable `commit` in the decision file means that every tracked path goes back to what it was.
#
# State in /var/lib/savepoint (0700), or below the root it was given, or in a directory of their own for other users:
#   guard/<sha256>/guard   this program        open         id of the open transaction
#   tx/<id>/               a transaction       quarantine   why no transaction may begin
# shellcheck disable=SC2015 # in "a && b || fail" the failure of either is meant
set -u
job_path=$PATH job_umask=$(umask)
LC_ALL=C TZ=UTC PATH=/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL TZ PATH
umask 077
unset SAVEPOINT_RUN CDPATH ENV BASH_ENV IFS TMPDIR TAR_OPTIONS POSIXLY_CORRECT LD_PRELOAD LD_LIBRARY_PATH
VERSION=1.0.2 PROTOCOL=1
LOCK_WAIT=600                             # seconds to wait for another guard: rolling back very many files takes minutes
GRACE=5                                   # seconds a job's process has between TERM and KILL
KEEP=20 KEEP_DAYS=30 KEEP_KIB=262144      # ended transactions kept for audit: at most so many, so old, so large together
# shellcheck disable=SC2034 # read_request uses it in eval
NL='
'
SOH=$(printf '\001') TAB=$(printf '\t')

# ---- requests and answers --------------------------------------------------------------------------------------------

# read_request: lines "key value" up to an empty one; what follows is the verb's to read, and none of it is lost:
# `read` takes a byte at a time from a pipe.
read_request() {
  id='' token='' fence=0 guard='' root='' state_dir='' holder='' lease=120 deadline=21600 on_conflict=backup degraded=no
  reason='' running='' nonce='' track='' remove='' refresh='' probe=''
  IFS= read -r line || fail guard-protocol 'no request on standard input'
  [ "$line" = "savepoint $PROTOCOL" ] || fail guard-protocol "the request begins '$line', not 'savepoint $PROTOCOL'"
  while IFS= read -r line && [ -n "$line" ]; do
    case ${line%% *} in
      track | remove | refresh | probe) eval "${line%% *}=\$${line%% *}\${line#* }\$NL" ;;
      id | token | fence | guard | root | state_dir | holder | lease | deadline | on_conflict | degraded | reason | \
        running | nonce) eval "${line%% *}=\${line#* }" ;;
    esac
  done
  case $id in *[!a-z0-9-]*) fail guard-protocol "the id '$id' has other characters than a-z, 0-9 and -" ;; esac
  case $guard in *[!a-f0-9]*) fail guard-protocol "'$guard' is not a digest" ;; esac
  case $fence.$lease.$deadline in *[!0-9.]* | *..* | .* | *.) fail guard-protocol 'fence, lease, deadline: whole numbers' ;; esac
  case $root in '' | /*) root=${root%/} ;; *) fail guard-protocol "the root '$root' is not absolute" ;; esac
  state=$root/var/lib/savepoint
  if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then state=${state_dir:-${XDG_STATE_HOME:-${HOME:-}/.local/state}/savepoint}; fi
  place
}

# place: all work is done from the root, by relative names ("./etc/apt"), which never begin with a dash.
place() {
  cd "$root/" || fail host-file-missing "the root $root is not there"
  tx=$state/tx/$id work=$state/tx/$id/work
}

# ok KEY VALUE...: the verb was done, and what there is to say about it.
ok() {
  printf 'savepoint %s ok\n' "$PROTOCOL"
  while [ $# -gt 1 ]; do printf '%s %s\n' "$1" "$2"; shift 2; done
}

# fail NAME TEXT: the verb is refused, by a name of the error catalogue.
fail() {
  unlock
  printf 'savepoint %s error %s\nmessage %s\n\n' "$PROTOCOL" "$1" "$(printf %s "$2" | tr '\n\001' '  ')"
  exit 1
}

# mine: this verb may act on the transaction: it is here, the token is right, and nobody came later.
mine() {
  if [ -z "$id" ] || [ ! -e "$tx/token" ]; then fail not-open "there is no transaction '$id' on this host"; fi
  [ "$(printf %s "$token" | sha256sum)" = "$(cat "$tx/token")" ] || fail bad-token "the token is not that of transaction $id"
  read -r seen <"$tx/fence" || seen=0
  [ "$fence" -ge "$seen" ] || fail fenced "a later controller (fence $seen) has taken transaction $id over"
  [ "$fence" -eq "$seen" ] || echo "$fence" | put "$tx/fence" || fail host-write-failed "cannot write $tx/fence"
  tools=$(cat "$tx/tools" 2>/dev/null) || tools=gnu
}

# undecided: the transaction may still be changed.
undecided() {
  [ -e "$tx/armed" ] || fail not-open "transaction $id was never armed"
  [ ! -e "$tx/decision" ] || fail not-open "transaction $id is decided: $(cat "$tx/decision")"
}

# ---- durable primitives ----------------------------------------------------------------------------------------------

# put FILE: standard input becomes FILE, whole and durable, or FILE stays as it was.
put() { cat >"$1.$$" && sync "$1.$$" && mv -f "$1.$$" "$1" && sync "${1%/*}"; }

# flush PATH...: makes the file systems of these paths durable. A sync that knows no -f flushes them all.
flush() {
  [ -n "${sync_f:-}" ] || case $(sync --help 2>&1) in *-f*) sync_f=yes ;; *) sync_f=no ;; esac
  if [ "$sync_f" = yes ]; then sync -f "$@"; else sync; fi
}

# flush_tracked: every tracked path, and the directory that holds its name.
flush_tracked() {
  set --
  while IFS= read -r path; do
    nearest "$path"
    set -- "$@" "$dir/"
    if [ -d ".$path" ] && [ ! -L ".$path" ]; then set -- "$@" ".$path/"; fi
  done <"$tx/tracked"
  flush "$@"
}

# nearest PATH: sets dir to the closest directory above PATH that is there.
nearest() {
  dir=${1%/*}
  while [ -n "$dir" ] && [ ! -d ".$dir" ]; do dir=${dir%/*}; done
  dir=.$dir
}

# straight DIR: DIR is where its name says, not behind a symbolic link. Sets real.
straight() { real=$(cd -P "$1/" 2>/dev/null && pwd -P) && here=$(pwd -P) && [ "${real%/}" = "${here%/}${1#.}" ]; }

# In our lists a name is a line, and \001 stands for a line break within it. names: to NUL-ended ones; lines: back;
# named LINE: sets name to the one name that LINE stands for.
names() { tr '\n\001' '\000\n'; }
lines() { tr '\n\000' '\001\n'; }
named() {
  name=$1
  case $1 in *"$SOH"*) name=$(printf '%s.' "$1" | tr '\001' '\n') && name=${name%.} ;; esac
}

boot_id() { cat /proc/sys/kernel/random/boot_id; }

# uptime: whole seconds of the monotonic clock, which setting the date does not move.
uptime() { read -r up _ </proc/uptime && echo "${up%%.*}"; }

# started PID: start time of a living process (proc(5), field 22); nothing for one that is dead.
started() {
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
  # shellcheck disable=SC2086 # the fields behind the command's name are split on purpose
  set -- ${stat##*) }
  case $1 in Z | X) return 0 ;; esac
  shift 19
  echo "$1"
}

# lock: one guard at a time changes anything. Each first puts its own name down, then looks for others, so two can
# never both find nobody. The name of a dead process counts for nothing.
lock() {
  mkdir -p "$state/lock" || fail host-write-failed "cannot write below $state"
  locked=$state/lock/$$.$(started $$).$(boot_id) tries=0 since=$(uptime)
  while true >"$locked" || fail host-write-failed "cannot write $locked"; do
    holds=''
    for other in "$state/lock"/*; do
      if [ "$other" = "$locked" ] || [ ! -e "$other" ]; then continue; fi
      pid=${other##*/} && name=${pid#*.} && pid=${pid%%.*}
      if [ "$(started "$pid").$(boot_id)" = "$name" ]; then holds=$pid; break; fi
      rm -f "$other"
    done
    [ -n "$holds" ] || return 0
    rm -f "$locked"
    [ $(($(uptime) - since)) -lt $LOCK_WAIT ] || fail host-busy "guard process $holds is at work for over $LOCK_WAIT s"
    tries=$((tries + 1))
    sleep "0.$(((($$ + tries * 7) % 20) + 10))"
  done
}

unlock() { [ -z "${locked:-}" ] || rm -f "$locked"; }

# ---- what is there ---------------------------------------------------------------------------------------------------

# present COMMAND...: runs COMMAND with the tracked paths that are there, if any are.
present() {
  given=$#
  while IFS= read -r path; do
    if [ -e ".$path" ] || [ -L ".$path" ]; then set -- "$@" ".$path"; fi
  done <"$tx/tracked"
  [ $# -eq $given ] || "$@"
}

# look FILE: lists every entry of the tracked paths, sorted, tab-separated:
#   type mode uid gid size mtime | inode ctime | path
# A rollback brings back the first six. The next two tell that nobody has touched a file: no one can set a change time.
# Directories go without, since it moves with their entries. Sockets, pipes and devices are not ours to restore.
look() { true >"$1" && present list_into "$1"; }
list_into() {
  list=$1
  shift
  if [ "$tools" = gnu ]; then
    find "$@" -xdev \( -type d -printf 'd\t%m\t%U\t%G\t0\t%T@\t0\t0\t%p\0' \) -o \( -type f -o -type l \) \
      -printf '%y\t%m\t%U\t%G\t%s\t%T@\t%i\t%C@\t%p\0' >"$list.raw" && lines <"$list.raw" | sort >"$list"
  else
    find "$@" -xdev \( -type d -o -type f -o -type l \) -print0 >"$list.names" &&
      xargs -0 stat -c "%f$TAB%f$TAB%u$TAB%g$TAB%s$TAB%Y$TAB%i$TAB%z$TAB%n" <"$list.names" >"$list.raw" &&
      awk -F "$TAB" -v OFS="$TAB" '{ t = substr($1, 1, 1); $1 = t == "4" ? "d" : t == "a" ? "l" : "f"
        if ($1 == "d") $5 = $7 = $8 = 0; if ($1 == "l") $6 = 0; print }' "$list.raw" | sort >"$list"
  fi && rm -f "$list.raw" "$list.names"
}

# Of such a list: the paths, in the archive's order; what must come back; the lines of one type (== "d").
paths_of() { cut -f9- | sort; }
state_of() { cut -f1-6,9- | sort; }
only() { awk -F "$TAB" "\$1 $1"; }

# attributes FILE: where links point, and extended attributes, ACLs, labels and capabilities as far as this host can
# tell (getfattr), one entry a line, sorted.
attributes() { true >"$1" && present attributes_into "$1"; }
attributes_into() {
  list=$1
  shift
  true >"$list.links" && true >"$list.raw"
  [ "$tools" != gnu ] || find "$@" -xdev -type l -printf 'link %p -> %l\0' >"$list.links" || return 1
  ! command -v getfattr >/dev/null || getfattr -R -P -h -d -m - -e hex -- "$@" >"$list.raw" 2>/dev/null || return 1
  { lines <"$list.links"; awk 'BEGIN { RS = ""; FS = "\n"; OFS = "\t" } { $1 = $1; print }' "$list.raw"; } | sort >"$list" &&
    rm -f "$list.links" "$list.raw"
}

# sums LIST: the SHA-256 of each file of LIST, in its order.
sums() {
  if [ "$tools" = gnu ]; then
    names <"$1" | xargs -0 -r sha256sum -z -- >"$work/hashed" && lines <"$work/hashed"
  else
    names <"$1" | xargs -0 -r sha256sum --
  fi
}

# pack LIST FILE: archives the listed entries with all their metadata, but for access times, which move by reading,
# and change times, which cannot be set.
pack() {
  if [ "$tools" = gnu ]; then
    names <"$1" >"$work/pack" && tar -cf "$2" --format=posix --pax-option=delete=atime,delete=ctime --numeric-owner \
      --sparse --xattrs --xattrs-include='*' --acls --selinux --no-recursion --null -T "$work/pack"
  else
    true >"$2" && present tar -cf "$2"
  fi
}

# unpack DIR LIST: the listed entries of the backup appear below DIR, with all their metadata. LIST has the archive's
# order, so one pass is enough however long it is (tar --same-order).
unpack() {
  if [ ! -s "$2" ]; then
    return 0
  elif [ "$tools" = gnu ]; then
    names <"$2" >"$work/unpack" && tar -xpf "$tx/backup.tar" -C "$1" --numeric-owner --same-owner --xattrs \
      --xattrs-include='*' --acls --selinux --no-recursion --same-order --null -T "$work/unpack"
  else
    tar -xpf "$tx/backup.tar" -C "$1"
  fi
}

# packages: what is installed. A transaction does not roll packages back; it shows how they differ.
packages() {
  if [ -d "$root/var/lib/dpkg" ] && command -v dpkg-query >/dev/null; then
    dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${Package}:${Architecture} ${Version} ${db:Status-Abbrev}\n'
  elif [ -n "$root" ]; then :
  elif command -v rpm >/dev/null; then rpm -qa
  elif command -v apk >/dev/null; then apk info -v
  elif command -v pacman >/dev/null; then pacman -Q
  fi 2>/dev/null | sort
}

# ---- begin -----------------------------------------------------------------------------------------------------------

begin() {
  read_request
  if [ -z "$id" ] || [ -z "$token" ] || [ -z "$track" ]; then fail guard-protocol 'begin needs id, token and track'; fi
  mkdir -p "$state/tx" || fail host-write-failed "cannot write below $state"
  lock
  not_quarantined
  claim
  preflight
  back_up
  watchdog_start && boot_recovery_install && lease_write && boot_id | put "$tx/armed" ||
    abandon host-write-failed 'the watchdog, or recovery at boot, could not be set up'
  begun
}

# begun: the answer, also for a controller that asks again because it lost the first one.
begun() {
  ok id "$id" guard_version "$VERSION" tools "$tools" boot "$(cat "$tx/armed")" \
    entries "$(wc -l <"$tx/before")" bytes "$(wc -c <"$tx/backup.tar")"
  sed 's/^/warning /' "$tx/warnings"
  echo
}

not_quarantined() { [ ! -e "$state/quarantine" ] || fail host-quarantined "$(cat "$state/quarantine")"; }

# claim: makes this the one open transaction of the host, or says who holds it.
claim() {
  read -r held 2>/dev/null <"$state/open" || held=''
  other=$state/tx/$held
  if [ "$held" = "$id" ] && [ -e "$tx/armed" ]; then
    mine
    undecided
    begun
    unlock
    exit 0
  elif [ -n "$held" ] && [ "$held" != "$id" ]; then
    left=$(lease_left "$other")
    if [ ! -e "$other/decision" ] && [ "$left" -gt 0 ]; then
      fail host-busy "held by $(cat "$other/holder") since $(cat "$other/since"), lease ends in $left s"
    fi
    unlock
    by_its_guard "$held" 'the next begin' >/dev/null 2>&1
    lock
    not_quarantined
    [ ! -e "$state/open" ] || fail host-busy "transaction $held could not be finished"
  fi
  rm -rf "$tx"
  mkdir -p "$work" && printf %s "$track" >"$tx/tracked" && printf %s "$token" | sha256sum >"$tx/token" &&
    echo "$fence" >"$tx/fence" && printf '%s\n' "$holder" >"$tx/holder" && echo "$guard" >"$tx/guard" &&
    date '+%Y-%m-%dT%H:%M:%SZ' >"$tx/since" && printf %s "$refresh" >"$tx/refresh" && printf %s "$probe" >"$tx/probe" &&
    echo "$on_conflict" >"$tx/on_conflict" && true >"$tx/warnings" && true >"$tx/absent" && echo "$lease" >"$tx/seconds" &&
    echo "$(boot_id) $(($(uptime) + deadline))" >"$tx/deadline" && lease_write &&
    echo "$id" | put "$state/open" || abandon host-write-failed "cannot write below $state"
}

# abandon NAME TEXT: ends a begin that did not come as far as `armed`: nothing was changed.
abandon() {
  discard
  fail "$1" "$2"
}

discard() {
  clear_stages
  [ "$(cat "$state/open" 2>/dev/null)" != "$id" ] || rm -f "$state/open"
  rm -rf "$tx"
}

# preflight: whatever would stop a rollback later is found now, while nothing is changed.
preflight() {
  for tool in awk cat chmod chown cmp comm cp cut date df find grep head mkdir mv rm rmdir sed sha256sum sleep sort \
    stat sync tail tar touch tr wc xargs; do
    command -v $tool >/dev/null || abandon host-tools-missing "this host has no $tool, which the guard needs"
  done
  tools=gnu lost='extended attributes, ACLs, labels, capabilities, hard links and fractions of a second'
  if ! find / -maxdepth 0 -printf '' 2>/dev/null || ! tar --version 2>/dev/null | grep -q 'GNU tar'; then
    tools=plain
    [ "$degraded" = yes ] || abandon host-degraded \
      "the find or tar of this host would lose $lost: install GNU tar and findutils, or ask for degraded mode"
    echo "degraded: $lost are not kept" >>"$tx/warnings"
  fi
  echo $tools >"$tx/tools"
  while IFS= read -r path; do check_place "$path"; done <"$tx/tracked"
  look "$tx/before" || abandon host-write-failed 'the tracked paths cannot be listed'
  [ "$tools" = gnu ] || ! grep -q "$SOH" "$tx/before" || abandon host-degraded 'a tracked name holds a line break'
  needed=$(awk -F "$TAB" '{ n += $5 + 1536 } END { printf "%d", n / 512 + 4096 }' "$tx/before")
  enough "$state"
  while IFS= read -r path; do nearest "$path"; enough "$dir/"; done <"$tx/tracked"
}

# enough DIR: room for the backup and a reserve of its size, or for a staged copy beside the targets.
enough() {
  free=$(df -Pk "$1" 2>/dev/null | awk 'NR == 2 { print $4 }')
  [ -z "$free" ] || [ "$free" -ge "$needed" ] ||
    abandon host-no-space "$needed KiB are needed on the file system of ${1#.}, $free KiB are free"
}

# check_place PATH: it could be renamed over, and it is where its name says.
check_place() {
  dir=${1%/*} flags=-a
  while [ -n "$dir" ] && [ ! -e ".$dir" ] && [ ! -L ".$dir" ]; do
    printf '%s\n' ".$dir" >>"$tx/absent"
    dir=${dir%/*}
  done
  straight ".$dir" || abandon path-under-symlink "$1 is not below a directory of its own name but below '$real'; track that"
  mkdir ".$dir/.savepoint.$id" 2>/dev/null && rmdir ".$dir/.savepoint.$id" ||
    abandon path-not-replaceable "$1 cannot be replaced: $dir/ is read-only, immutable or not yours"
  while read -r _ _ _ _ point _; do
    case $point in *\\*) point=$(printf %b "$point") ;; esac
    case $point in "${here%/}$1" | "${here%/}$1"/*) abandon path-not-replaceable "$point is a mount point" ;; esac
  done </proc/self/mountinfo
  if ! command -v lsattr >/dev/null || [ ! -e ".$1" ] || [ -L ".$1" ]; then return; fi
  [ ! -d ".$1" ] || flags=-aR
  frozen=$(lsattr $flags ".$1" 2>/dev/null | awk '$1 ~ /^[-a-zA-Z]*[ia]/ && $2 ~ /^\.\// { print $2; exit }')
  [ -z "$frozen" ] || abandon path-not-replaceable "${frozen#.} is immutable or append-only (see lsattr)"
}

# back_up: the copy, its hashes and the manifest, proved to be what is there and made durable. So are the originals:
# after a power loss, what nobody touched must still be what was there.
back_up() {
  tries=0
  while [ $tries -lt 5 ]; do
    tries=$((tries + 1))
    paths_of <"$tx/before" >"$tx/paths" && only '== "f"' <"$tx/before" | paths_of >"$tx/files" &&
      pack "$tx/paths" "$tx/backup.tar" && sums "$tx/files" >"$tx/sums" && attributes "$tx/attributes" &&
      look "$work/again" || abandon host-write-failed 'the backup could not be written'
    ! cmp -s "$tx/before" "$work/again" || tries=9
    changing=$(comm -3 "$tx/before" "$work/again" | tr -d '\t' | sed -n '1s|^[^/]*\./|/|p')
    mv -f "$work/again" "$tx/before"
  done
  [ $tries -eq 9 ] || abandon path-changing "someone is changing $changing while it is being copied"
  verify_backup || abandon host-write-failed 'the backup does not read back as what was copied'
  set_aside || abandon host-no-space 'there is no room for the reserve that a rollback on a full disk needs'
  present left_alone >>"$tx/warnings"
  cp "$tx/before" "$tx/written" && packages >"$tx/packages" && flush "$state" && flush_tracked ||
    abandon host-write-failed 'the backup could not be made durable'
}

# set_aside: the blocks and inodes that a rollback needs when the job has filled the disk. Freed first thing then.
set_aside() {
  mkdir "$tx/reserve" && head -c "$(($(wc -c <"$tx/backup.tar") + 1048576))" /dev/zero >"$tx/reserve/bytes" || return 1
  inodes=$(($(wc -l <"$tx/before") + 128))
  [ $inodes -lt 4096 ] || inodes=4096
  while [ $inodes -gt 0 ]; do
    true >"$tx/reserve/$inodes" || return 1
    inodes=$((inodes - 1))
  done
}

# verify_backup: the archive holds the bytes of the files, by hash; of hard links, those of the first.
verify_backup() {
  if [ ! -s "$tx/files" ]; then
    return 0
  elif [ "$tools" = gnu ]; then
    cut -f1,7- "$tx/before" | sort -t "$TAB" -k4 | awk -F "$TAB" '$1 == "f" && !seen[$2, $3]++' | cut -f4- >"$work/firsts"
    [ "$(names <"$work/firsts" | xargs -0 cat -- | sha256sum)" = "$(tar -xOf "$tx/backup.tar" | sha256sum)" ]
  else
    mkdir "$work/check" && unpack "$work/check" "$tx/files" && (cd "$work/check" && sums "$tx/files") | cmp -s - "$tx/sums"
  fi
}

left_alone() {
  find "$@" -xdev \( -type s -o -type p -o -type b -o -type c \) -print0 | lines |
    sed 's|^\.|left alone (socket, pipe or device): |'
}

# ---- apply -----------------------------------------------------------------------------------------------------------

# apply: lays the tree that follows the request (a tar archive) over the tracked paths, and removes what it was told
# to. New files are staged beside their targets, whole and durable, then renamed.
apply() {
  read_request
  lock
  mine
  undecided
  rm -rf "$tx/new" && mkdir -p "$work" "$tx/new" && cd "$tx/new" || fail host-write-failed "cannot write below $tx"
  tar -xpmf - --no-same-owner 2>"$work/log" || fail host-write-failed "the change cannot be unpacked: $(head -n 1 "$work/log")"
  find . -type d -print0 >"$work/new.d" && lines <"$work/new.d" | sort >"$work/new.dirs" &&
    find . ! -type d -print0 >"$work/new.f" && lines <"$work/new.f" | sort >"$work/new.files" || fail host-write-failed "cannot list $tx/new"
  odd=$(find . ! -type d ! -type f ! -type l | head -n 1)
  place
  [ -z "$odd" ] || fail files-bad-entry "${odd#.} is neither file, directory nor symbolic link"
  printf %s "$remove" | sed 's/^/./' >"$work/removed"
  within "$work/new.files" files-outside-tracked
  within "$work/removed" remove-outside-tracked
  clear_stages
  each_new_directory stage_new && flush_tracked || fail host-write-failed 'the change could not be staged'
  each_new_directory rename_new && names <"$work/removed" | xargs -0 -r rm -rf -- && clear_stages && flush_tracked &&
    look "$tx/written" && compare "$tx/written" || fail host-write-failed 'the change could not be put into place'
  rm -rf "$tx/new"
  ok id "$id"
  report changed added
  echo
  show_diff "$tx/written" a b
}

# within LIST NAME: refuses entries that no tracked path covers.
within() {
  outside=$(awk 'FILENAME == ARGV[1] { t["." $0]; next } { for (p in t) if ($0 == p || index($0, p "/") == 1) next
    print; exit }' "$tx/tracked" "$1")
  [ -z "$outside" ] || fail "$2" "${outside#.} is in none of the tracked paths: $(tr '\n' ' ' <"$tx/tracked")"
}

# each_new_directory DO: for every directory of the change that is on the host already.
each_new_directory() {
  while IFS= read -r line; do
    named "$line"
    if [ "$name" != . ] && [ -L "$name" ]; then fail path-under-symlink "${name#.} is a symbolic link on this host"; fi
    [ ! -d "$name" ] || "$1" "$name" || return 1
  done <"$work/new.dirs"
}

# stage_new DIR: the new entries of DIR, in a stage inside it, so that they get its label and default ACL. One that
# replaces a file keeps that file's owner, mode, ACL, label and attributes: its bytes are written into a full copy.
stage_new() {
  stage=$1/.savepoint.$id under=$1
  set --
  for new in "$tx/new/$under"/* "$tx/new/$under"/.[!.]* "$tx/new/$under"/..?*; do
    name=${new##*/} old=$under/${new##*/}
    if [ ! -e "$new" ] && [ ! -L "$new" ]; then continue; fi
    if [ -d "$old" ] && [ ! -L "$old" ]; then
      [ ! -d "$new" ] || [ -L "$new" ] || continue
      fail files-bad-entry "${old#.} is a directory on this host"
    fi
    mkdir -p "$stage" || return 1
    if [ -f "$new" ] && [ ! -L "$new" ] && [ -f "$old" ] && [ ! -L "$old" ]; then set -- "$@" "$name"
    else cp -RPp "$new" "$stage/$name" || return 1; fi
  done
  [ $# -gt 0 ] || return 0
  for each; do printf '%s\0' "$under/$each"; done | into "$stage" cp -a &&
    for each; do printf '%s\0' "$tx/new/$under/$each"; done | into "$stage" cp -P
}

rename_new() { [ ! -d "$1/.savepoint.$id" ] || move_entries "$1/.savepoint.$id" "$1"; }

# into DIR COMMAND OPTION: COMMAND for the NUL-ended names on standard input, with DIR as their target.
# shellcheck disable=SC2016 # the inner shell expands these
into() {
  target=$1
  shift
  xargs -0 -r sh -c 'd=$1 c=$2 o=$3; shift 3; exec "$c" "$o" -- "$@" "$d"' sh "$target/" "$@"
}

# move_entries FROM TO [TEST...]: renames the entries of one directory into another, over what is there.
move_entries() {
  from=$1 to=$2
  shift 2
  find "$from" -mindepth 1 -maxdepth 1 "$@" -print0 >"$work/moving" && into "$to" mv -f <"$work/moving"
}

# clear_stages: removes what an interrupted guard left beside and below the tracked paths.
clear_stages() {
  while IFS= read -r path; do
    nearest "$path"
    rm -rf "$dir/.savepoint.$id"
  done <"$tx/tracked"
  present clear_stages_in
} 2>/dev/null
clear_stages_in() { find "$@" -xdev -type d -name ".savepoint.$id" -prune -exec rm -rf -- {} +; }

# ---- comparing -------------------------------------------------------------------------------------------------------

# compare NOW: what differs between the backup and NOW, each a sorted list of paths:
#   touched   files and links that are no longer the very ones of then, or are gone
#   added     entries that were not there        lost   directories that are gone, or not one now
compare() {
  comm -23 "$tx/before" "$1" | only '!= "d"' | paths_of >"$work/touched" &&
    paths_of <"$1" >"$work/now.paths" && comm -13 "$tx/paths" "$work/now.paths" >"$work/added" &&
    only '== "d"' <"$1" | paths_of >"$work/now.dirs" &&
    only '== "d"' <"$tx/before" | paths_of | comm -23 - "$work/now.dirs" >"$work/lost"
}

# report TOUCHED ADDED: a line a path, for the answer. What nobody touched is not listed.
report() {
  sed "s|^\.|path $1 |" "$work/touched"
  sed "s|^\.|path $2 |" "$work/added"
}

# show_diff NOW FROM TO: what the job changed (a to b), or what a rollback undoes (b to a). The bytes of a file that
# not everyone may read are never shown: they may hold a password. At most 200 files.
show_diff() {
  command -v diff >/dev/null || return 0
  comm -3 "$tx/before" "$1" | sed "s/^$TAB//" | awk -F "$TAB" '$1 != "d" {
    path = $0; for (i = 1; i < 9; i++) path = substr(path, index(path, FS) + 1)
    seen[path]; if ($2 !~ /[4-7c-f]$/) secret[path] }
    END { for (path in seen) print (path in secret ? "-" : "+") path }' | sort -k 1.2 | head -n 200 >"$work/shown"
  sed -n 's/^+//p' "$work/shown" | comm -12 - "$tx/paths" >"$work/shown.before"
  rm -rf "$work/a" && mkdir "$work/a" && unpack "$work/a" "$work/shown.before" || return 0
  while IFS= read -r path; do
    named "${path#??}"
    case $path in -*) echo "diff ${path#??}: not everyone may read it, so it is not shown"; continue ;; esac
    readable "$work/a/$name" "$work/link.a" && old=$readable && readable "./$name" "$work/link.b" || continue
    if [ "$2" = a ]; then set -- "$1" a b "$old" "$readable"; else set -- "$1" b a "$readable" "$old"; fi
    diff -u -L "$2${path#??}" -L "$3${path#??}" -- "$4" "$5" 2>/dev/null | head -n 400
  done <"$work/shown"
}

# readable FILE LINK: sets readable to FILE, to its target's name in LINK, or to nothing at all.
readable() {
  readable=/dev/null
  if [ -L "$1" ]; then readlink "$1" >"$2" && readable=$2; elif [ -f "$1" ]; then readable=$1; fi
}

# ---- decide ----------------------------------------------------------------------------------------------------------

# decide WORD WHO: the one write-once record. Linking a synced file either makes it, whole, or finds that someone was
# first. Sets decision and by to what holds. Only exactly `commit` is a commit.
decide() {
  if [ ! -e "$tx/decision" ]; then
    echo "$1 $2" >"$tx/decision.$$" && sync "$tx/decision.$$" || return 1
    ln "$tx/decision.$$" "$tx/decision" 2>/dev/null || [ -e "$tx/decision" ] || return 1
    rm -f "$tx/decision.$$"
  fi
  sync "$tx" && read -r decision by <"$tx/decision" || return 1
  [ "$decision" = commit ] || decision=rollback
}

# commit: what the tracked paths hold by now, whoever wrote it, is made durable, then decided for.
commit() {
  read_request
  lock
  mine
  [ -e "$tx/armed" ] || undecided
  [ -e "$tx/decision" ] || { clear_stages && flush_tracked; } || fail host-write-failed 'the tracked paths are not durable'
  decide commit "${reason:-controller}" || fail host-write-failed 'the decision could not be recorded'
  conclude
  answer
}

rollback() {
  read_request
  rm -rf "$tx/reserve"
  mine
  kill_job
  lock
  if [ ! -e "$tx/armed" ]; then
    discard
    ok id "$id" decision rollback by "${reason:-controller}" outcome rolled-back
    echo
    return
  fi
  decide rollback "${reason:-controller}" || fail host-write-failed 'the decision could not be recorded'
  conclude
  answer
}

# conclude: what follows from the decision. Anyone may run it, again, after it was killed anywhere.
conclude() {
  case $(cat "$tx/outcome" 2>/dev/null) in
    '' | rollback-failed)
      mkdir -p "$work"
      if [ "$decision" = rollback ]; then restore; else settle; fi
      packages | comm -3 "$tx/packages" - | sed "s/^$TAB/package + /; t
        s/^/package - /" >"$tx/packages.changed"
      echo "$outcome" | put "$tx/outcome" || return 1
      ;;
  esac
  clear_stages
  # The marker goes last: whatever is left behind until then is found by it.
  rm -rf "$work" "$tx/new" "$tx/reserve" && rm -f "$tx"/*.[0-9]* && prune && sync "$tx" || return 1
  [ "$(cat "$state/open" 2>/dev/null)" != "$id" ] || rm -f "$state/open"
  sync "$state"
}

settle() {
  outcome=committed
  look "$work/now" && compare "$work/now" && report changed added >"$tx/report" && show_diff "$work/now" a b >"$tx/diff"
}

answer() {
  ok id "$id" decision "$decision" by "$by" outcome "$(cat "$tx/outcome")"
  cat "$tx/report" "$tx/packages.changed" 2>/dev/null
  sed 's/^/warning /' "$tx/warnings"
  echo
  cat "$tx/diff" 2>/dev/null
}

# prune: ended transactions are kept for audit up to a number, an age and a size.
prune() {
  count=0
  # shellcheck disable=SC2012 # the names are ids: a-z, 0-9 and -
  ls -t "$state/tx" | while IFS= read -r each; do
    each=$state/tx/$each count=$((count + 1))
    case $(cat "$each/outcome" 2>/dev/null) in '' | rollback-failed) continue ;; esac
    if [ $count -gt $KEEP ] || [ -n "$(find "$each/outcome" -mtime +$KEEP_DAYS)" ] ||
      [ "$(du -sk "$state/tx" | cut -f1)" -gt $KEEP_KIB ]; then [ "$each" = "$tx" ] || rm -rf "$each"; fi
  done
}

# ---- restore ---------------------------------------------------------------------------------------------------------

# restore: every tracked path as it was, proved by hash and metadata. Sets outcome.
restore() {
  outcome=rollback-failed attempt=0
  while [ $attempt -lt 3 ]; do
    attempt=$((attempt + 1))
    kill_job
    clear_stages
    look "$work/now" || continue
    [ -e "$tx/diff" ] || { compare "$work/now" && find_edits && report restored removed >"$tx/report" &&
      show_diff "$work/now" b a >"$work/diff" && mv -f "$work/diff" "$tx/diff"; } || continue
    [ "$(cat "$tx/armed")" = "$(boot_id)" ] && [ $attempt -eq 1 ] && [ -z "${thorough:-}" ] || distrust || continue
    put_back && restore_directories && flush_tracked && verify || continue
    outcome=rolled-back
    [ ! -s "$tx/edited" ] || outcome=conflict
    refresh_and_probe
    [ "$(cut -d ' ' -f 2 2>/dev/null <"$state/quarantine")" != "$id" ] || rm -f "$state/quarantine"
    return
  done
  why="transaction $id could not be rolled back: $(head -n 3 "$work/differences" 2>/dev/null | tr '\n\t' '; ')"
  echo "$why" >>"$tx/warnings"
  echo "$why" | put "$state/quarantine"
}

# find_edits: what is neither in the backup nor what the transaction wrote was edited by someone else while no phase
# ran. Their version is kept in tx/<id>/theirs; the backup wins unless the job said otherwise.
find_edits() {
  true >"$tx/edited"
  [ ! -e "$tx/running" ] || return 0
  # What was written last before a crash may be lost, so after one nobody can say whose an edit was.
  [ "$(cat "$tx/armed")" = "$(boot_id)" ] || return 0
  {
    comm -13 "$tx/written" "$work/now" | comm -23 - "$tx/before" | only '!= "d"' | paths_of
    paths_of <"$tx/written" | comm -23 - "$work/now.paths" | comm -12 - "$tx/paths"
  } | sort -u >"$work/edited"
  [ -s "$work/edited" ] || return 0
  rm -rf "$tx/theirs" && mkdir "$tx/theirs" && comm -12 "$work/edited" "$work/now.paths" >"$work/theirs" || return 1
  [ "$tools" != gnu ] || { pack "$work/theirs" "$work/theirs.tar" && tar -xpf "$work/theirs.tar" -C "$tx/theirs"; } || return 1
  sed "s|^\.\(.*\)|edited by someone else: \1; their version is $tx/theirs\1|" "$work/edited" >>"$tx/warnings"
  mv -f "$work/edited" "$tx/edited"
}

# distrust: after a reboot, or a failed attempt, what a file's times say is no proof of its bytes. Files that hash
# otherwise than they did are taken for touched. Nothing stays immutable.
distrust() {
  ! command -v chattr >/dev/null || present thaw 2>/dev/null
  look "$work/now" && comm -12 "$tx/before" "$work/now" | only '== "f"' | paths_of >"$work/trusted" &&
    sums "$work/trusted" >"$work/trusted.now" && sort "$work/trusted.now" >"$work/trusted.sums" && sort "$tx/sums" | comm -13 - "$work/trusted.sums" | cut -c67- >"$work/rotten" &&
    awk -F "$TAB" 'FILENAME == ARGV[1] { rotten[$0]; next } { path = $0; for (i = 1; i < 9; i++) path = substr(path, index(path, FS) + 1)
      if (!(path in rotten)) print }' "$work/rotten" "$work/now" >"$work/sound" && mv -f "$work/sound" "$work/now"
}
thaw() {
  ! find "$@" -xdev \( -type f -o -type d \) -exec lsattr -d -- {} + | grep -q '^[-a-zA-Z]*[ia][-a-zA-Z]* \./' ||
    find "$@" -xdev \( -type f -o -type d \) -exec chattr -f -ia -- {} + || :
}

# put_back: the old version of what was touched is staged beside each tracked path, proved by hash, made durable and
# renamed into place; only then what was not there before is removed.
put_back() {
  compare "$work/now" || return 1
  if [ "$(cat "$tx/on_conflict")" = keep ] && [ -s "$tx/edited" ]; then
    for list in touched added; do comm -23 "$work/$list" "$tx/edited" >"$work/kept" && mv -f "$work/kept" "$work/$list"; done
  fi
  # Hard links come back together, or not at all: with one of them touched, so are the others.
  sort "$work/touched" "$work/lost" >"$work/wanted"
  awk -F "$TAB" 'pass == 1 { wanted[$0]; next }
    { path = $0; for (i = 1; i < 9; i++) path = substr(path, index(path, FS) + 1) }
    pass == 2 { if (path in wanted && $1 == "f") inode[$7, $8]; next }
    path in wanted || ($1 == "f" && ($7, $8) in inode) { print path }' \
    pass=1 "$work/wanted" pass=2 "$tx/before" pass=3 "$tx/before" | sort >"$work/needed"
  true >"$work/groups" || return 1
  while IFS= read -r path; do
    awk -v p=".$path" '$0 == p || index($0, p "/") == 1' "$work/needed" >"$work/need"
    [ -s "$work/need" ] || continue
    (umask 022 && mkdir -p ".${path%/*}") && nearest "$path" && straight "$dir" || return 1
    if [ "$tools" = gnu ]; then key=$(stat -c %m "$dir/"); else key=$path; fi
    printf '%s\t%s\t%s\n' "$key" "$dir" "$path" >>"$work/groups" || return 1
  done <"$tx/tracked"
  cut -f1 "$work/groups" | sort -u >"$work/keys"
  while IFS= read -r key; do put_back_group || return 1; done <"$work/keys"
  remove_added
}

# put_back_group: what is on one mount, from one stage, since a rename cannot leave it.
put_back_group() {
  awk -F "$TAB" -v k="$key" '$1 == k { print "." $3 }' "$work/groups" >"$work/group" &&
    awk 'FILENAME == ARGV[1] { t[$0]; next } { for (p in t) if ($0 == p || index($0, p "/") == 1) { print; next } }' \
      "$work/group" "$work/needed" >"$work/need" &&
    stage=$(awk -F "$TAB" -v k="$key" '$1 == k { print $2; exit }' "$work/groups")/.savepoint.$id &&
    rm -rf "$stage" && mkdir "$stage" && unpack "$stage" "$work/need" && staged_well && flush "$stage/" && make_way &&
    move_back && rm -rf "$stage"
}

# staged_well: what came out of the backup has the bytes that went in.
staged_well() {
  comm -12 "$work/need" "$tx/files" >"$work/staged" && sort "$tx/sums" >"$work/sums" &&
    (cd "$stage" && sums "$work/staged") | sort | comm -12 - "$work/sums" >"$work/good" &&
    [ "$(wc -l <"$work/good")" -eq "$(wc -l <"$work/staged")" ]
}

# make_way: what is of another kind than it was (a directory where a file was, a link where a directory was) cannot be
# renamed over. It is moved into the stage, and goes with it.
make_way() {
  { comm -12 "$work/touched" "$work/now.dirs"; comm -12 "$work/lost" "$work/now.paths"; } | sort | comm -12 - "$work/need" >"$work/odd"
  count=0
  while IFS= read -r line; do
    count=$((count + 1))
    named "$line"
    if [ -e "$name" ] || [ -L "$name" ]; then mv -f -T "$name" "$stage/.aside.$count" || return 1; fi
  done <"$work/odd"
}

# move_back: renames directories that were lost as a whole, then the files of every other one.
move_back() {
  comm -12 "$work/need" "$work/lost" >"$work/whole"
  while IFS= read -r line; do
    named "$line"
    [ ! -d "$stage/$name" ] || [ -d "$name" ] || mv -f -T "$stage/$name" "$name" || return 1
  done <"$work/whole"
  sed 's|/[^/]*$||' "$work/need" | sort -u >"$work/parents"
  while IFS= read -r line; do
    named "$line"
    [ ! -d "$stage/$name" ] || move_entries "$stage/$name" "$name" ! -type d || return 1
  done <"$work/parents"
}

# remove_added: what was not there before goes: files, then directories from the inside out.
remove_added() {
  # shellcheck disable=SC2016 # the inner shell expands this
  if [ -s "$work/added" ]; then
    comm -23 "$work/added" "$work/now.dirs" | names | xargs -0 -r rm -f -- 2>/dev/null
    comm -12 "$work/added" "$work/now.dirs" | sort -r | while IFS= read -r line; do
      named "$line"
      if [ -d "$name" ] && [ ! -L "$name" ]; then printf '%s\0' "$name"; fi
    done >"$work/added.dirs"
    xargs -0 -r sh -c 'exec find "$@" -xdev ! -type d -exec rm -f -- {} +' sh <"$work/added.dirs" &&
      xargs -0 -r rmdir -- <"$work/added.dirs" || return 1
  fi
  sort -r "$tx/absent" | names | xargs -0 -r rmdir -- 2>/dev/null
  :
}

# restore_directories: their owner, mode, times and attributes, last, since a rename inside one moves its times.
# Attributes that were not there are taken off (an archive can only add).
restore_directories() {
  look "$work/now" && state_of <"$work/now" >"$work/now.state" && attributes "$work/now.attributes" &&
    state_of <"$tx/before" | comm -23 - "$work/now.state" | only '== "d"' | cut -f7- >"$work/dirs"
  comm -13 "$tx/attributes" "$work/now.attributes" |
    awk -F "$TAB" '/^# file: / { for (i = 2; i <= NF; i++) { sub(/=.*/, "", $i); print $i, substr($1, 9) } }' |
    while read -r attribute line; do
      [ ! -d "$(printf %b "$line")" ] || setfattr -h -x "$attribute" "$(printf %b "$line")"
    done
  comm -23 "$tx/attributes" "$work/now.attributes" | awk -F "$TAB" '/^# file: / { print "./" substr($1, 9) }' >>"$work/dirs"
  if [ "$tools" = gnu ]; then
    sort -u "$work/dirs" | comm -12 - "$tx/paths" >"$work/changed" && unpack . "$work/changed"
  else
    while IFS= read -r path; do
      awk -F "$TAB" -v p="$path" '$1 == "d" && $9 == p { print $2, $3 ":" $4, $6 }' "$tx/before" >"$work/dir" &&
        read -r mode owner time <"$work/dir" && chown "$owner" "$path" &&
        chmod "$(printf %o $((0x$mode & 07777)))" "$path" && touch -d "@$time" "$path" || return 1
    done <"$work/dirs"
  fi
}

# verify: kind, owner, mode, size and times of everything, link targets and attributes. The bytes of what was restored
# were hashed before they were renamed, those of the rest when they were doubted.
verify() {
  state_of <"$tx/before" >"$work/before.state" && look "$work/now" && state_of <"$work/now" >"$work/now.state" &&
    attributes "$work/now.attributes" && comm -3 "$work/before.state" "$work/now.state" >"$work/all" &&
    comm -3 "$tx/attributes" "$work/now.attributes" >>"$work/all" || return 1
  if [ "$(cat "$tx/on_conflict")" = keep ] && [ -s "$tx/edited" ]; then
    grep -v -F -f "$tx/edited" "$work/all" | sed "s/^$TAB//" | only '!= "d"' >"$work/differences"
  else
    mv -f "$work/all" "$work/differences"
  fi
  [ ! -s "$work/differences" ]
}

# refresh_and_probe: package caches must keep nothing from the patch's mirror, and the mirrors of the restored
# configuration should answer.
refresh_and_probe() {
  for what in refresh probe; do
    while IFS= read -r command; do
      # Before the network is up a probe would only say so.
      if [ $what = probe ] && [ "$by" = boot ]; then continue; fi
      if [ -n "$command" ] && ! SAVEPOINT_ROOT=${root:-/} sh -c "$command" </dev/null >"$work/log" 2>&1; then
        outcome=rolled-back-unhealthy
        echo "$what failed: $command: $(tail -n 1 "$work/log" | tr -d '\r\001')" >>"$tx/warnings"
      fi
    done <"$tx/$what"
  done
}

# ---- lease, watchdog, recovery ---------------------------------------------------------------------------------------

# lease_write: until when the host waits for a sign of life. Another boot id means it is over, so it need not survive.
lease_write() { echo "$(boot_id) $(($(uptime) + $(cat "$tx/seconds")))" >"$tx/lease.$$" && mv -f "$tx/lease.$$" "$tx/lease"; }

# lease_left TX: seconds until the lease or the deadline ends, whichever is first, or 0.
lease_left() {
  left=0
  if read -r lease_boot lease_end 2>/dev/null <"$1/lease" && read -r _ last 2>/dev/null <"$1/deadline" && [ "$lease_boot" = "$(boot_id)" ]; then
    [ "$lease_end" -lt "$last" ] || lease_end=$last
    left=$((lease_end - $(uptime)))
    [ $left -gt 0 ] || left=0
  fi
  echo $left
}

# renew: a sign of life. With `running` it also says that a phase on the controller, which may change tracked paths
# too, begins or has ended.
renew() {
  read_request
  mine
  undecided
  lease_write || fail host-write-failed "cannot write $tx/lease"
  case $running in yes) true >"$tx/running" ;; no) wrote ;; esac
  ok id "$id" lease_left "$(lease_left "$tx")"
  echo
}

# wrote: what the tracked paths hold now was written by the job, not by someone else.
wrote() { look "$tx/written.$$" && mv -f "$tx/written.$$" "$tx/written" && rm -f "$tx/running"; }

# own_path: where this guard lies. sudo runs it as /dev/fd/N, so $0 is the last resort.
own_path() { if [ -e "$state/guard/$guard/guard" ]; then echo "$state/guard/$guard/guard"; else echo "$0"; fi; }

# watchdog_start: PID 1 owns it where there is systemd, since logind kills what a session leaves behind; elsewhere it
# is a process of a session of its own.
watchdog_start() {
  set -- "$(own_path)" watch "$root" "$state" "$id"
  if systemd; then
    systemd-run --quiet --collect --unit="savepoint-$id" -p Restart=on-failure -p RestartSec=1 -p StartLimitIntervalSec=0 \
      -p RestartForceExitStatus='SIGTERM SIGHUP SIGINT SIGPIPE' /bin/sh "$@" >/dev/null 2>&1
  else
    (cd / && exec setsid env -i PATH="$PATH" HOME="${HOME:-/}" /bin/sh "$@" </dev/null >/dev/null 2>&1 &)
  fi
}

systemd() { [ -d /run/systemd/system ] && [ "$(id -u)" = 0 ]; }

# boot_recovery_install: what ends open transactions when the host starts, before the network is up and anyone can log
# in. For the host's own root only; it stays for the next transaction.
boot_recovery_install() {
  if [ -n "$root" ] || [ "$(id -u)" != 0 ]; then return 0; fi
  printf 'exec /bin/sh %s boot "" %s\n' "$(own_path)" "$state" | put "$state/boot" || return 1
  units=/etc/systemd/system unit=savepoint-recover.service
  if systemd; then
    [ ! -L $units/sysinit.target.wants/$unit ] || return 0
    mkdir -p $units/sysinit.target.wants && printf '%s\n' '[Unit]' 'Description=End Savepoint transactions open when the host went down' \
      'DefaultDependencies=no' 'After=local-fs.target systemd-remount-fs.service' 'Before=sysinit.target network-pre.target ssh.service sshd.service' \
      '[Service]' 'Type=oneshot' "ExecStart=/bin/sh $state/boot" '[Install]' 'WantedBy=sysinit.target' | put $units/$unit &&
      chmod 644 $units/$unit && ln -sf ../$unit $units/sysinit.target.wants/$unit && sync $units $units/sysinit.target.wants
  elif [ -d /etc/local.d ]; then
    printf '#!/bin/sh\n/bin/sh %s/boot\n' "$state" | put /etc/local.d/savepoint.start && chmod 755 /etc/local.d/savepoint.start
  elif [ -d /etc/cron.d ]; then
    printf '@reboot root /bin/sh %s/boot\n' "$state" | put /etc/cron.d/savepoint && chmod 644 /etc/cron.d/savepoint
  else
    echo 'nothing here starts recovery at boot: after a power loss it waits for the next begin or a person' >>"$tx/warnings"
  fi
}

# watch: the watchdog. Ends with its transaction.
watch() {
  interval=$(($(cat "$tx/seconds") / 20))
  [ $interval -gt 0 ] || interval=1
  [ $interval -lt 5 ] || interval=5
  while [ -e "$tx/token" ] && [ ! -e "$tx/outcome" ]; do
    if [ -e "$tx/decision" ] || [ "$(lease_left "$tx")" -eq 0 ]; then finish watchdog; fi
    sleep $interval
  done
}

# finish WHO: brings the transaction to its end without its controller.
finish() {
  rm -rf "$tx/reserve"
  tools=$(cat "$tx/tools" 2>/dev/null) thorough=yes
  lock
  if [ -e "$tx/armed" ] && [ -e "$tx/token" ]; then
    # Before we had the lock someone may have renewed.
    if [ "$1" = watchdog ] && [ ! -e "$tx/decision" ] && [ "$(lease_left "$tx")" -gt 0 ]; then unlock; return; fi
    decide rollback "$1" && conclude
  elif [ -d "$tx" ]; then
    discard
  fi
  unlock
}

# by_its_guard ID WHO: a transaction is always ended by the very guard that opened it.
by_its_guard() {
  opener=$state/guard/$(cat "$state/tx/$1/guard" 2>/dev/null)/guard
  [ -f "$opener" ] || opener=$0
  /bin/sh "$opener" finish "$root" "$state" "$1" "$2"
}

# unfinished: the ids of transactions that have not come to their end.
unfinished() {
  for each in "$state"/tx/*; do
    case $(cat "$each/outcome" 2>/dev/null) in
      '' | rollback-failed) [ ! -d "$each" ] || echo "${each##*/}" ;;
      *) [ "$(cat "$state/open" 2>/dev/null)" != "${each##*/}" ] || echo "${each##*/}" ;;
    esac
  done
}

# recover: what a person asks for: end whatever is open here, whoever holds it.
recover() {
  read_request
  ended=$(unfinished)
  for each in $ended; do by_its_guard "$each" "${reason:-recover}" >/dev/null 2>&1; done
  ok
  for each in $ended; do
    echo "ended $each $(cat "$state/tx/$each/outcome" 2>/dev/null || echo rolled-back)"
    cat "$state/tx/$each/report" 2>/dev/null
    sed 's/^/warning /' "$state/tx/$each/warnings" 2>/dev/null
  done
  echo
  for each in $ended; do cat "$state/tx/$each/diff" 2>/dev/null; done
}

# status: what is here. Needs no token and changes nothing.
status() {
  read_request
  read -r held 2>/dev/null <"$state/open" || held=''
  ok guard_version "$VERSION"
  if [ -n "$held" ]; then
    printf 'open %s\nlease_left %s\n' "$held" "$(lease_left "$state/tx/$held")"
    for what in holder since decision; do sed "s/^/$what /" "$state/tx/$held/$what" 2>/dev/null; done
    sed 's/^/track /' "$state/tx/$held/tracked" 2>/dev/null
  fi
  sed 's/^/quarantine /' "$state/quarantine" 2>/dev/null
  for each in "$state"/tx/*; do
    [ ! -e "$each/outcome" ] || echo "past ${each##*/} $(cat "$each/since") $(cat "$each/outcome") $(cat "$each/holder")"
  done
  echo
}

# clear: a person has looked at the host; it may be used again.
clear() {
  read_request
  for each in "$state"/tx/*; do
    [ "$(cat "$each/outcome" 2>/dev/null)" != rollback-failed ] || echo 'rollback-failed, cleared' | put "$each/outcome"
  done
  rm -f "$state/quarantine" && sync "$state" || fail host-write-failed "cannot write below $state"
  ok && echo
}

# ---- the job's processes ---------------------------------------------------------------------------------------------

# run_phase: runs the shell text that follows the request as the job's user (root only if the login is root), marked so
# that all its descendants can be found. Its output passes through untouched; that it runs and how it ended is said on
# standard error, behind a nonce that the job does not know. Where there is systemd it gets a scope of its own, which
# logind leaves alone when the session ends.
run_phase() {
  read_request
  lock
  mine
  undecided
  true >"$tx/running"
  exec 3<&0
  cd / || exit 1
  umask "$job_umask"
  user=$(id -un)
  if [ "$user" = root ]; then user=${SUDO_USER:-root}; fi
  set -- env SAVEPOINT_TRANSACTION="$id" SAVEPOINT_ROOT="${root:-/}" PATH="$job_path" /bin/sh -s
  if [ "$user" != "$(id -un)" ]; then
    # Not through PAM where that can be had: it would move the phase out of its scope into a session's.
    if command -v runuser >/dev/null; then set -- runuser -u "$user" --; else set -- su -s /bin/sh "$user"; fi
    [ "$1" = su ] || set -- "$@" /bin/sh
    set -- "$@" -c "exec env SAVEPOINT_TRANSACTION=$id SAVEPOINT_ROOT='${root:-/}' /bin/sh -s"
  fi
  if systemd; then set -- systemd-run --quiet --scope --collect --unit="savepoint-$id-job-$$" -p TimeoutStopSec=$GRACE "$@"; fi
  printf '\n%s started\n' "$nonce" >&2
  "$@" <&3 3<&- &
  child=$!
  exec 3<&-
  unlock
  wait $child
  code=$?
  umask 077
  place
  if [ ! -e "$tx/decision" ]; then wrote; fi
  printf '\n%s %s\n' "$nonce" $code >&2
}

# kill_job: nothing of the job may go on writing. TERM, a grace, then KILL, until none is left.
kill_job() {
  if systemd; then systemctl stop "savepoint-$id-job-*.scope" 2>/dev/null; fi
  for signal in TERM KILL; do
    waited=0
    while pids=$(grep -l -F "SAVEPOINT_TRANSACTION=$id" /proc/[0-9]*/environ 2>/dev/null | tr -dc '0-9\n' | grep -v -x $$) &&
      [ -n "$pids" ] && [ $waited -lt $((GRACE * 10)) ]; do
      # shellcheck disable=SC2086 # one word a process
      [ $((waited % 10)) -ne 0 ] || kill -s $signal $pids 2>/dev/null
      waited=$((waited + 1))
      sleep 0.1
    done
  done
}

# ---- verbs -----------------------------------------------------------------------------------------------------------

case ${1:-} in
  begin | apply | renew | commit | rollback | status | recover | clear) "$1" ;;
  exec) run_phase ;;
  kill) read_request && mine && kill_job && ok id "$id" && echo ;;
  watch | finish | boot)
    guard='' root=$2 state=$3 id=${4:-}
    place
    case $1 in
      watch) watch ;;
      finish) finish "$5" ;;
      boot) for each in $(unfinished); do by_its_guard "$each" boot; done ;;
    esac
    ;;
  version) echo $VERSION ;;
  *) fail guard-protocol "unknown verb '${1:-}': begin apply exec kill renew commit rollback status recover clear are known" ;;
esac
unlock
