#!/bin/sh
# Savepoint guard: makes changes to the tracked paths of this host a transaction.
# The only program that ever touches a tracked path. It reads one request on standard input, takes the steps of one
# verb, each durable before the next, and answers on standard output (docs/guard-protocol.md). It may be killed at
# any point: whoever runs it next, the watchdog, the boot or a person, brings the transaction to its end. Anything but
# a durable `commit` in the decision file means that every tracked path goes back to what it was.
# State in /var/lib/savepoint (0700), or below the root it was given, or in a directory of their own for other users:
#   guard/<sha256>/guard   this program        open         id of the open transaction
#   tx/<id>/               a transaction       quarantine   why no transaction may begin
# shellcheck disable=SC2012,SC2015,SC2034 # in "a && b || fail" either is meant; eval uses what seems unused; ids are plain
set -u
job_path=$PATH job_umask=$(umask)
umask 077
export LC_ALL=C TZ=UTC PATH=/usr/sbin:/usr/bin:/sbin:/bin
unset SAVEPOINT_RUN CDPATH ENV BASH_ENV IFS TMPDIR TAR_OPTIONS POSIXLY_CORRECT LD_PRELOAD LD_LIBRARY_PATH
VERSION=1.1.0 PROTOCOL=1 POLICY=/var/lib/savepoint/policy
LOCK_WAIT=600 GRACE=5 PATIENCE=300   # seconds: for another guard at work; from TERM to KILL; for a refresh or a probe
KEEP=20 KEEP_DAYS=30 KEEP_KIB=262144 # ended transactions kept for audit: so many, so old, so large together
NL='
' TAB=$(printf '\t') ODD=$(printf '\001\002\003')

# ---- requests and answers --------------------------------------------------------------------------------------------
read_request() { # lines "key value" up to an empty one; `read` takes single bytes, so the verb can read all that follows
  id='' token='' fence=0 guard='' root='' state_dir='' holder='' lease=120 deadline=21600 on_conflict=backup degraded=no
  reason='' running='' nonce='' phase=$$ out=0 err=0 reboot=0 track='' remove='' refresh='' probe=''
  IFS= read -r line && [ "$line" = "savepoint $PROTOCOL" ] || fail guard-protocol "the request begins '${line:-}', not 'savepoint $PROTOCOL'"
  while IFS= read -r line || fail guard-protocol 'the request ends within its header'; do
    key=${line%% *} value=${line#* }
    case $key in
      '') break ;;
      track | remove | refresh | probe) eval "$key=\$$key\$value\$NL" ;;
      id | token | fence | guard | root | state_dir | holder | lease | deadline | on_conflict | degraded | reason | \
        running | nonce | phase | out | err | reboot) eval "$key=\$value" ;;
    esac
  done
  case $id in *[!a-z0-9-]*) fail guard-protocol "the id '$id' has other characters than a-z, 0-9 and -" ;; esac
  case $guard:$phase in *[!a-f0-9]*:* | *: | *:.* | *:*[!A-Za-z0-9._-]*) fail guard-protocol "'$guard', '$phase': no digest, no key" ;; esac
  case .$fence.$lease.$deadline.$out.$err.$reboot. in *[!0-9.]* | *..*) fail guard-protocol 'numbers have to be whole' ;; esac
  case $root in '' | /*) root=${root%/} ;; *) fail guard-protocol "the root '$root' is not absolute" ;; esac
  admit root "$root$state_dir"
  state=$root/var/lib/savepoint
  if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then state=${state_dir:-${XDG_STATE_HOME:-${HOME:-}/.local/state}/savepoint}; fi
  place
}
place() { # all work is done from the root, by relative names ("./etc/apt"), which never begin with a dash
  cd "$root/" || fail host-file-missing "the root $root is not there"
  tx=$state/tx/$id work=$state/tx/$id/work && read -r tools 2>/dev/null <"$tx/tools" || tools=gnu
}
# admit WHAT WORD...: where root has put a policy of the host's own there, it is asked about whoever comes by sudo.
bound() { [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ] && [ -e $POLICY ]; }
admit() { ! bound || said=$(/bin/sh $POLICY "$@" 2>&1) || fail guard-refused-by-host "the policy of this host: $said"; }
echo() { printf '%s\n' "$*"; } # some shells' own would read \c or \n in what a request says
# ok KEY VALUE...: the verb was done, and what there is to say; fail NAME TEXT: it is refused, by a name of the catalogue.
ok() { printf 'savepoint %s ok\n' "$PROTOCOL" && while [ $# -gt 1 ]; do printf '%s %s\n' "$1" "$2" && shift 2; done; }
fail() {
  unlock
  printf 'savepoint %s error %s\nmessage %s\n\n' "$PROTOCOL" "$1" "$(printf %s "$2" | tr '\n\001' '  ')"
  exit 1
}
unwritten() { fail host-write-failed "cannot write ${1:-below $state}"; }
mine() { # this verb may act on the transaction: it is here, the token is right, and nobody came later
  [ -n "$id" ] && [ -e "$tx/token" ] || fail not-open "there is no transaction '$id' on this host"
  [ "$(printf %s "$token" | sha256sum)" = "$(cat "$tx/token")" ] || fail bad-token "the token is not that of transaction $id"
  read -r seen <"$tx/fence" || fail host-read-failed "cannot read $tx/fence"
  [ "$fence" -ge "$seen" ] || fail fenced "a later controller (fence $seen) has taken transaction $id over"
  [ "$fence" -eq "$seen" ] || echo "$fence" | put "$tx/fence" || [ "${1:-}" = full ] || unwritten "$tx/fence"
}
undecided() { # the transaction may still be changed
  [ -e "$tx/armed" ] && [ ! -e "$tx/decision" ] || fail not-open "transaction $id is $(sed 's/^/decided: /' "$tx/decision" 2>/dev/null || echo 'not armed')"
}

# ---- durable primitives ----------------------------------------------------------------------------------------------
# put FILE: standard input becomes FILE, whole and durable, or FILE stays as it was.
put() { cat >"$1.$$" && sync "$1.$$" && mv -f "$1.$$" "$1" && sync "${1%/*}" || { rm -f "$1.$$"; return 1; }; }
# flush PATH...: makes the file systems of these paths durable. A sync that knows no -f flushes them all.
flush() { case ${sync_f:=$(sync --help 2>&1)} in *-f*) sync -f "$@" ;; *) sync ;; esac; }
flush_tracked() { # the file systems of the tracked paths. nearest PATH: sets dir to the closest directory above PATH
  set -- && last='' && while IFS= read -r path; do
    nearest "$path" && { [ "$dir" = "$last" ] || set -- "$@" "$dir/"; } && last=$dir
  done <"$tx/tracked"
  flush "$@"
}
nearest() { dir=.${1%/*} && while [ ! -d "$dir" ]; do dir=${dir%/*}; done; }
# straight DIR: DIR is where its name says, not behind a symbolic link. Sets real.
straight() { real=$(cd -P "$1/" 2>/dev/null && pwd -P) && here=$(pwd -P) && [ "${real%/}" = "${here%/}${1#.}" ]; }
is_dir() { [ -d "$1" ] && [ ! -L "$1" ]; }
# In our lists a name is a line; \001 stands for a line break in it, \002 for a tab, and \003 for the tabs that part
# fields until they are there. lines: from NUL-ended names to such lines; names: and back.
lines() { tr '\n\000\t\003' '\001\n\002\t'; }
names() { tr '\n\001\002' '\000\n\t'; }
each() { # LIST COMMAND...: runs COMMAND with every name of LIST
  list=$1 && shift && while IFS= read -r name; do
    case $name in *[$ODD]*) name=$(printf '%s.' "$name" | tr '\001\002' '\n\t') && name=${name%.} ;; esac
    "$@" "$name" || return 1
  done <"$list"
}
boot_id() { read -r boot </proc/sys/kernel/random/boot_id && echo "$boot"; }
# uptime: whole seconds of the monotonic clock, which setting the date does not move.
uptime() { read -r up _ </proc/uptime && echo "${up%%.*}"; }
# life_of PID: what no other process ever has: its number, its start (proc(5), field 22), the boot; nothing for a dead one.
life_of() {
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
  # shellcheck disable=SC2086 # the fields behind the command's name are split on purpose
  set -- "$1" ${stat##*) }
  case $2 in Z | X) ;; *) echo "$1.${21}.$(boot_id)" ;; esac
}
alive() { [ -n "$1" ] && [ "$(life_of "${1%%.*}")" = "$1" ]; }
lock() { # one guard at a time. Each puts its own name down, then looks for others: two can never both find nobody
  mkdir -p "$state/lock" || unwritten
  locked=$state/lock/$(life_of $$) tries=0 since=$(uptime)
  while true >"$locked" || unwritten "$locked"; do
    holds='' && for other in "$state/lock"/*; do
      if [ "$other" = "$locked" ] || [ ! -e "$other" ]; then continue; fi
      if alive "${other##*/}"; then holds=${other##*/} && break; else rm -f "$other"; fi
    done
    [ -n "$holds" ] || return 0
    rm -f "$locked"
    [ $(($(uptime) - since)) -lt $LOCK_WAIT ] || fail host-busy "guard process ${holds%%.*} is at work for over $LOCK_WAIT s"
    tries=$((tries + 1)) && sleep "0.$(((($$ + tries * 7) % 20) + 10))"
  done
}
unlock() { [ -z "${locked:-}" ] || rm -f "$locked" || :; }

# ---- what is there ---------------------------------------------------------------------------------------------------
present() { # COMMAND...: runs COMMAND with the tracked paths that are there, if any are
  given=$# && while IFS= read -r path; do
    if [ -e ".$path" ] || [ -L ".$path" ]; then set -- "$@" ".$path"; fi
  done <"$tx/tracked"
  [ $# -eq $given ] || "$@"
}
# look FILE: lists every entry of the tracked paths, sorted, tab-separated:
#   type mode uid gid size mtime | inode ctime | target of a link | path
# All but inode and ctime comes back. These tell that nobody has touched a file, since no one can set a change time.
look() { true >"$1" && present look_into "$1"; }
look_into() {
  list=$1 && shift && set -- "$@" -xdev \( -type d -o -type f -o -type l \)
  if [ "$tools" = gnu ]; then
    find "$@" -printf '%y\003%m\003%U\003%G\003%s\003%T@\003%i\003%C@\003%l\003%p\0' >"$list.raw" && lines <"$list.raw" >"$list.lines"
  else find "$@" -exec stat -c "%F$TAB%a$TAB%u$TAB%g$TAB%s$TAB%Y$TAB%i$TAB%Z$TAB$TAB%n" {} + >"$list.lines"; fi &&
    awk -F "$TAB" -v OFS="$TAB" -v tools="$tools" '{ t = substr($1, 1, 1); $1 = t == "r" ? "f" : t == "s" ? "l" : t }
    $1 == "d" { $5 = $7 = $8 = 0 } $1 == "l" && tools == "plain" { $6 = 0 } { print }' "$list.lines" >"$list.raw" &&
    sort -u "$list.raw" >"$list" && rm -f "$list.raw" "$list.lines"
}
paths_of() { cut -f10 | sort -u; }
only() { awk -F "$TAB" "\$1 $1"; }
# standing FILE: all that a rollback must bring back, sorted: of such a list all but inodes and change times, then
# extended attributes, ACLs, labels and capabilities as far as this host can tell (getfattr), a line an entry.
standing() { # getfattr passes over a directory it cannot read, and what it could not write: it gets names, and a pipe
  look "$1.list" && cut -f1-6,9,10 "$1.list" >"$1.raw" && cut -f10 "$1.list" >"$1.paths" && names <"$1.paths" >"$1.names" &&
    { { ! command -v getfattr >/dev/null || xargs -0 -r getfattr -P -h -d -m - -e hex -- <"$1.names" 2>/dev/null; } && echo whole; } |
    cat >"$1.attr" && [ "$(tail -n 1 "$1.attr")" = whole ] &&
    awk 'FILENAME == ARGV[1] { print; next } { gsub(/\n/, "\t"); print }' "$1.raw" RS='' "$1.attr" >"$1.all" && sort "$1.all" >"$1" && rm -f "$1".*
}
sums() { # LIST: the SHA-256 of each file of LIST, in its order
  names <"$1" >"$work/names" || return 1
  if [ "$tools" != gnu ]; then xargs -0 -r sha256sum -- <"$work/names"; return; fi
  xargs -0 -r sha256sum -z -- <"$work/names" >"$work/hashed" && lines <"$work/hashed"
}
# pack LIST FILE: archives the listed entries with all metadata but access times, which move by reading, and change times,
# which cannot be set. unpack DIR LIST: entries of the backup appear below DIR; LIST has the archive's order (one pass).
metadata='--numeric-owner --xattrs --xattrs-include=* --acls --selinux --no-recursion --null'
# shellcheck disable=SC2086 # words of a command
pack() {
  if [ "$tools" != gnu ]; then true >"$2" && present tar -cf "$2"; return; fi
  names <"$1" >"$work/pack" && tar -cf "$2" --format=posix --pax-option=delete=atime,delete=ctime --sparse $metadata -T "$work/pack"
}
# shellcheck disable=SC2086
unpack() {
  [ -s "$2" ] || return 0
  names <"$2" >"$work/unpack" || return 1
  if [ "$tools" != gnu ]; then xargs -0 tar -xpf "$tx/backup.tar" -C "$1" <"$work/unpack"; return; fi
  tar -xpf "$tx/backup.tar" -C "$1" --same-owner --same-order $metadata -T "$work/unpack"
}
packages() { # what is installed. A transaction does not roll packages back; it shows how they differ
  if [ -d "$root/var/lib/dpkg" ] && command -v dpkg-query >/dev/null; then
    dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${Package}:${Architecture} ${Version} ${db:Status-Abbrev}\n'
  else for query in 'rpm -qa' 'apk info -v' 'pacman -Q'; do
    [ -n "$root" ] || ! command -v "${query%% *}" >/dev/null || $query; done; fi 2>/dev/null | sort
}

# ---- begin -----------------------------------------------------------------------------------------------------------
begin() {
  read_request
  [ -n "$id" ] && [ -n "$token" ] && [ -n "$track" ] || fail guard-protocol 'begin needs id, token and track'
  admit begin "$track" "$refresh" "$probe"
  mkdir -p "$state/tx" && lock && not_quarantined || unwritten
  claim
  preflight
  back_up
  watchdog_start && boot_recovery_install && lease_write && boot_id | put "$tx/armed" ||
    abandon host-write-failed 'the watchdog, or recovery at boot, could not be set up'
  begun
}
not_quarantined() { [ ! -e "$state/quarantine" ] || fail host-quarantined "$(cat "$state/quarantine")"; }
begun() { # the answer, also for a controller that asks again because it lost the first one
  ok id "$id" guard_version "$VERSION" tools "$tools" boot "$(cat "$tx/armed")" \
    entries "$(wc -l <"$tx/before")" bytes "$(wc -c <"$tx/backup.tar")"
  sed 's/^/warning /' "$tx/warnings" && echo
}
claim() { # makes this the one open transaction of the host, or says who holds it. One whose time is over is ended first
  read -r held 2>/dev/null <"$state/open" || held='' && other=$state/tx/$held
  if [ "$held" = "$id" ] && [ -e "$tx/armed" ]; then
    mine && undecided && begun && unlock && exit 0
  elif [ -n "$held" ] && [ "$held" != "$id" ]; then
    left=$(lease_left "$other") && [ -e "$other/decision" ] || [ "$left" -eq 0 ] ||
      fail host-busy "held by $(cat "$other/holder") since $(cat "$other/since"), lease ends in $left s"
    unlock
    by_its_guard "$held" 'the next begin' >/dev/null 2>&1
    lock && not_quarantined
    [ ! -e "$state/open" ] || fail host-busy "transaction $held could not be finished"
  fi
  rm -rf "$tx" && mkdir -p "$work" && printf %s "$track" >"$tx/tracked" && printf %s "$token" | sha256sum >"$tx/token" &&
    echo "$fence" >"$tx/fence" && printf '%s\n' "$holder" >"$tx/holder" && echo "$guard" >"$tx/guard" &&
    date '+%Y-%m-%dT%H:%M:%SZ' >"$tx/since" && printf %s "$refresh" >"$tx/refresh" && printf %s "$probe" >"$tx/probe" &&
    echo "$on_conflict" >"$tx/on_conflict" && true >"$tx/warnings" && true >"$tx/absent" && true >"$tx/mounts" &&
    echo "$lease" >"$tx/seconds" && until_in "$deadline" deadline && lease_write &&
    sync "$tx/tracked" && echo "$id" | put "$state/open" || abandon host-write-failed "cannot write below $state"
}
# abandon NAME TEXT: ends a begin that did not come as far as `armed`: nothing was changed.
abandon() { discard; fail "$1" "$2"; }
discard() { clear_stages; leave; rm -rf "$tx"; }
leave() { rm -f "$state"/*.[0-9]*; [ "$(cat "$state/open" 2>/dev/null)" != "$id" ] || rm -f "$state/open"; }
preflight() { # whatever would stop a rollback later is found now, while nothing is changed
  for tool in awk cat chmod chown cmp comm cp cut date df find grep head mkdir mkfifo mv rm rmdir sed sha256sum sleep \
    sort stat sync tail tar touch tr uniq wc xargs; do command -v $tool >/dev/null ||
    abandon host-tools-missing "this host has no $tool, which the guard needs"; done
  tools=gnu lost='extended attributes, ACLs, labels, capabilities, hard links and fractions of a second'
  if ! find / -maxdepth 0 -printf '' 2>/dev/null || ! tar --version 2>/dev/null | grep -q 'GNU tar'; then
    tools=plain && [ "$degraded" = yes ] || abandon host-degraded \
      "the find or tar of this host would lose $lost: install GNU tar and findutils, or ask for degraded mode"
    echo "degraded: $lost are not kept" >>"$tx/warnings"
  fi
  echo $tools >"$tx/tools" && checked='' && while IFS= read -r path; do check_place "$path"; done <"$tx/tracked"
  point=$(here=${here%/} awk 'NR == FNR { tracked[$0]; next } { point = $5; gsub(/\\040/, " ", point) }
    index(point, ENVIRON["here"] "/") == 1 { p = substr(point, length(ENVIRON["here"]) + 1)
      for (; p != ""; sub(/\/[^\/]*$/, "", p)) if (p in tracked) { print point; exit } }' "$tx/tracked" /proc/self/mountinfo)
  [ -z "$point" ] || abandon path-not-replaceable "$point is a mount point"
  stuck=$(present frozen)
  [ -z "$stuck" ] || abandon path-not-replaceable "${stuck#.} is immutable or append-only (see lsattr)"
  odd=$(present odd_names | tr "$ODD" '???' | head -n 1)
  [ -z "$odd" ] || abandon path-not-replaceable "the name ${odd#.} holds a character that the guard cannot keep"
  look "$tx/before" || abandon host-write-failed 'the tracked paths cannot be listed'
  needed=$(awk -F "$TAB" '{ n += $5 + 1536 } END { printf "%d", n / 512 + 4096 }' "$tx/before")
  sort -u "$tx/mounts" >"$work/mounts" && enough "$state" && while IFS= read -r path; do enough "$path"; done <"$work/mounts"
}
frozen() { lsattr -aR -- "$@" 2>/dev/null | awk '$1 ~ /^[-a-zA-Z]*[ia]/ && $2 ~ /^\.\// { print $2; exit }'; }
# odd_names: names that our lists cannot hold. None may be tracked; a rollback removes those that came.
odd_names() { pattern="*[$ODD]*" && [ "$tools" = gnu ] || pattern="*[$ODD$TAB$NL]*"; find "$@" -xdev -name "$pattern"; }
check_place() { # PATH: it could be renamed over, and it is where its name says
  case $1/ in *//* | */./* | */../*) abandon guard-protocol "'$1' is no plain absolute path" ;; esac
  dir=.${1%/*}
  while [ ! -e "$dir" ] && [ ! -L "$dir" ]; do printf '%s\n' "$dir" >>"$tx/absent" && dir=${dir%/*}; done
  if [ "$dir" != "$checked" ]; then
    straight "$dir" || abandon path-under-symlink "$1 is not below a directory of its own name but below '$real'; track that"
    mkdir "$dir/.savepoint.$id" 2>/dev/null && rmdir "$dir/.savepoint.$id" ||
      abandon path-not-replaceable "$1 cannot be replaced: ${dir#.}/ is read-only, immutable or not yours"
    if [ "$tools" = gnu ]; then mount=$(stat -c %m "$dir/"); else mount=$dir/; fi && checked=$dir
  fi
  printf '%s\n' "$mount" >>"$tx/mounts" || abandon host-write-failed "cannot write below $tx"
}
enough() { # DIR: room for the backup and a reserve of its size, or for a staged copy beside the targets
  free=$(df -Pk "$1" 2>/dev/null | awk 'NR == 2 { print $4 }')
  [ "${free:-$needed}" -ge "$needed" ] || abandon host-no-space "$1 has $free KiB free on its file system; $needed are needed"
}
back_up() { # a copy with hashes and manifest, proved to be what is there. It is made durable, and so are the originals
  for tries in 1 2 3 4 5; do
    paths_of <"$tx/before" >"$tx/paths" && only '== "f"' <"$tx/before" | paths_of >"$tx/files" &&
      pack "$tx/paths" "$tx/backup.tar" && sums "$tx/files" >"$tx/sums" && standing "$tx/standing" &&
      look "$work/again" || abandon host-write-failed 'the backup could not be written'
    ! cmp -s "$tx/before" "$work/again" || break
    changing=$(comm -3 "$tx/before" "$work/again" | sed -n '1s|^.*\./|/|p')
    mv -f "$work/again" "$tx/before" && [ $tries -lt 5 ] || abandon path-changing "someone is changing $changing as it is copied"
  done
  verify_backup || abandon host-write-failed 'the backup does not read back as what was copied'
  set_aside || abandon host-no-space 'there is no room for the reserve that a rollback on a full disk needs'
  present left_alone >>"$tx/warnings" && cp "$tx/before" "$tx/written" && packages >"$tx/packages" &&
    flush "$state" && flush_tracked || abandon host-write-failed 'the backup could not be made durable'
}
left_alone() { find "$@" -xdev ! -type d ! -type f ! -type l | sed -n 's|^\./|left alone (socket, pipe or device): /|p'; }
verify_backup() { # the archive holds the bytes of the files, by hash; of hard links, those of the first
  [ -s "$tx/files" ] || return 0
  if [ "$tools" = gnu ]; then
    sort -t "$TAB" -k 10 "$tx/before" | awk -F "$TAB" '$1 == "f" && !seen[$7, $8]++ { print $10 }' >"$work/firsts"
    [ "$(names <"$work/firsts" | xargs -0 cat -- | sha256sum)" = "$(tar -xOf "$tx/backup.tar" | sha256sum)" ]
  else mkdir "$work/check" && unpack "$work/check" "$tx/files" && (cd "$work/check" && sums "$tx/files") | cmp -s - "$tx/sums"; fi
}
set_aside() { # the blocks and inodes that a rollback needs when the job has filled the disk. Freed first thing then
  mkdir "$tx/reserve" && head -c "$(($(wc -c <"$tx/backup.tar") + 1048576))" /dev/zero >"$tx/reserve/bytes" || return 1
  inodes=$(($(wc -l <"$tx/before") + 128)) && inodes=$((inodes < 4096 ? inodes : 4096))
  while [ $inodes -gt 0 ]; do true >"$tx/reserve/$inodes" && inodes=$((inodes - 1)) || return 1; done
}

# ---- apply, compare --------------------------------------------------------------------------------------------------
apply() { # lays the tar archive that follows over the tracked paths: staged beside its targets, durable, then renamed
  read_request && mine && undecided
  mkdir "$tx/new.$$" && cd "$tx/new.$$" || unwritten "below $tx"
  said=$(tar -xpmf - --no-same-owner 2>&1) || fail host-write-failed "the change cannot be unpacked: ${said%%"$NL"*}"
  lock && mine && undecided # not before: a controller that stalls in the middle of its change must not hold the lock
  rm -rf "$tx/new" && mkdir -p "$work" && mv "$tx/new.$$" "$tx/new" && cd "$tx/new" || unwritten "below $tx"
  find . -type d -print0 >"$work/raw.dirs" && lines <"$work/raw.dirs" | sort >"$work/new.dirs" &&
    find . ! -type d -print0 >"$work/raw.files" && lines <"$work/raw.files" | sort >"$work/new.files" || unwritten "below $tx"
  odd=$(find . \( ! -type d ! -type f ! -type l \) -o -name "*[$ODD]*" | head -n 1)
  [ -n "$odd" ] || ! bound || odd=$(find . ! -type l \( -perm -4000 -o -perm -2000 -o -perm -0002 \) | head -n 1)
  place
  [ -z "$odd" ] || fail files-bad-entry "${odd#.} has a kind, rights or a name that nothing in a change may have"
  printf %s "$remove" | sed 's/^/./' >"$work/removed"
  within "$work/new.files" files-outside-tracked && within "$work/removed" remove-outside-tracked
  clear_stages
  each "$work/new.dirs" stage_new && flush_tracked || fail host-write-failed 'the change could not be staged'
  true >"$tx/running" && each "$work/new.dirs" rename_new && names <"$work/removed" >"$work/names" &&
    xargs -0 -r rm -rf -- <"$work/names" && clear_stages && flush_tracked && wrote && compare "$tx/written" || fail host-write-failed 'the change could not be put into place'
  rm -rf "$tx/new"; ok id "$id" && report changed removed added && echo
  show_diff "$tx/written" a b
}
within() { # LIST NAME: refuses entries that no tracked path covers
  outside=$(awk 'FILENAME == ARGV[1] { tracked["." $0]; next }
    { for (p = $0; p != "" && !(p in tracked); sub(/\/?[^\/]*$/, "", p)); if (p == "") { print; exit } }' "$tx/tracked" "$1")
  [ -z "$outside" ] || fail "$2" "${outside#.} is in none of the tracked paths: $(tr '\n' ' ' <"$tx/tracked")"
}
# stage_new DIR: its new entries, in a stage inside it, so that they get its label and default ACL. What replaces a file
stage_new() { # keeps owner, mode, ACL, label and attributes: the new bytes go into a full copy of the old file
  under=$1 stage=$1/.savepoint.$id && if [ "$tools" = gnu ]; then copy='cp -a --preserve=xattr'; else copy='cp -a'; fi
  [ "$under" = . ] || [ ! -L "$under" ] || fail path-under-symlink "${under#.} is a symbolic link on this host"
  [ -d "$under" ] || return 0
  true >"$work/over" && true >"$work/bytes" && true >"$work/fresh" || return 1
  for new in "$tx/new/$under"/* "$tx/new/$under"/.[!.]* "$tx/new/$under"/..?*; do
    old=$under/${new##*/}
    if [ ! -e "$new" ] && [ ! -L "$new" ] || { is_dir "$old" && is_dir "$new"; }; then continue; fi
    ! is_dir "$old" || fail files-bad-entry "${old#.} is a directory on this host"
    if [ -f "$old" ] && [ ! -L "$old" ] && [ -f "$new" ] && [ ! -L "$new" ]; then
      printf '%s\0' "$old" >>"$work/over" && printf '%s\0' "$new" >>"$work/bytes"
    else printf '%s\0' "$new" >>"$work/fresh"; fi || return 1
  done
  if [ ! -s "$work/over" ] && [ ! -s "$work/fresh" ]; then return 0; fi
  mkdir -p "$stage" && into "$stage" "$copy" <"$work/over" && into "$stage" 'cp -P' <"$work/bytes" && into "$stage" 'cp -RPp' <"$work/fresh"
}
rename_new() { [ ! -d "$1/.savepoint.$id" ] || move_entries "$1/.savepoint.$id" "$1"; }
# into DIR COMMAND: COMMAND, of some words, for the NUL-ended names on standard input, with DIR as their target.
# shellcheck disable=SC2016 # the inner shell expands these
into() { xargs -0 -r sh -c 'to=$1 do=$2; shift 2; exec $do -- "$@" "$to"' sh "$1/" "$2"; }
move_entries() { # FROM TO [TEST...]: renames the entries of one directory into another, over what is there
  from=$1 to=$2 && shift 2
  find "$from" -mindepth 1 -maxdepth 1 "$@" -print0 >"$work/moving" && into "$to" 'mv -f' <"$work/moving"
}
clear_stages() { # removes what an interrupted guard left beside and below the tracked paths
  while IFS= read -r path; do nearest "$path" && [ ! -e "$dir/.savepoint.$id" ] || rm -rf "$dir/.savepoint.$id"; done <"$tx/tracked"
  present stages_within
} 2>/dev/null
stages_within() { find "$@" -xdev -type d -name ".savepoint.$id" -prune -exec rm -rf -- {} +; }
# compare NOW: what differs between the backup and NOW, each a sorted list of paths:
#   touched   files and links that are no longer the very ones of then, or are gone
#   added     entries that were not there        lost   directories that are gone, or not one now
compare() {
  comm -23 "$tx/before" "$1" | only '!= "d"' | paths_of >"$work/touched" && paths_of <"$1" >"$work/now.paths" &&
    comm -13 "$tx/paths" "$work/now.paths" >"$work/added" && only '== "d"' <"$1" | paths_of >"$work/now.dirs" &&
    only '== "d"' <"$tx/before" | paths_of | comm -23 - "$work/now.dirs" >"$work/lost"
}
report() { # CHANGED GONE ADDED: a line a path, for the answer. What nobody touched is not listed
  comm -12 "$work/touched" "$work/now.paths" | sed "s|^\.|path $1 |"
  comm -23 "$work/touched" "$work/now.paths" | sed "s|^\.|path $2 |"
  sed "s|^\.|path $3 |" "$work/added"
}
# show_diff NOW FROM TO: what the job changed (a to b), or what a rollback undoes (b to a): 200 files of 1 MiB at most.
# The bytes of a file that not everyone may read are never shown: they may hold a password.
show_diff() {
  command -v diff >/dev/null || return 0
  sort "$tx/before" "$1" | uniq -u | awk -F "$TAB" '$1 == "d" { next } { seen[$10] } $1 == "f" && $2 !~ /[4-7]$/ { secret[$10] }
    $1 == "l" || $5 > 1048576 { other[$10] } END { for (p in seen) print (p in secret ? "s" : p in other ? "o" : "f") p }' |
    sort -k 1.2 | head -n 200 >"$work/shown"
  sed -n 's/^s\.\(.*\)/diff \1: not everyone may read it, so it is not shown/p' "$work/shown"
  sed -n 's/^f//p' "$work/shown" >"$work/text" && rm -rf "$work/a" "$work/b" && mkdir "$work/a" "$work/b" &&
    comm -12 "$work/text" "$tx/paths" >"$work/text.a" && comm -12 "$work/text" "$work/now.paths" >"$work/text.b" &&
    unpack "$work/a" "$work/text.a" && names <"$work/text.b" | into "$work/b" 'cp --parents' && (cd "$work" && diff -ruN "$2" "$3") |
    head -n 20000 | sed "/^diff -ruN /d; s/^\([-+][-+][-+] [ab]\/[^$TAB]*\)$TAB.*/\1/"
  rm -rf "$work/a" "$work/b" # nothing of it may take the room that a rollback needs
} 2>/dev/null

# ---- decide ----------------------------------------------------------------------------------------------------------
decide() { # WORD WHO: a record made once: linking a synced file makes it, whole, or finds that someone was first
  if [ ! -e "$tx/decision" ]; then
    echo "$1 $2" >"$tx/decision.$$" && sync "$tx/decision.$$" || return 1
    ln "$tx/decision.$$" "$tx/decision" 2>/dev/null || [ -e "$tx/decision" ] || return 1
  fi
  rm -f "$tx/decision.$$" && sync "$tx" && decision='' && { read -r decision by <"$tx/decision" || [ -n "$decision" ]; } || return 1
  [ "$decision" = commit ] || decision=rollback
}
commit() { # what the tracked paths hold by now, whoever wrote it, is made durable, then decided for
  read_request && lock && mine && { [ -e "$tx/armed" ] || undecided; }
  [ -e "$tx/decision" ] || { clear_stages && flush_tracked; } || fail host-write-failed 'the tracked paths are not durable'
  decide commit "${reason:-controller}" || fail host-write-failed 'the decision could not be recorded'
  conclude || fail host-write-failed "$decision is decided, but could not be carried out yet; the watchdog goes on trying"
  answer
}
rollback() {
  read_request && mine full # the job that filled the disk goes before the reserve is freed
  kill_job; rm -rf "$tx/reserve"; lock
  if [ ! -e "$tx/armed" ]; then discard; ok id "$id" decision rollback by "${reason:-controller}" outcome rolled-back; echo; return; fi
  decide rollback "${reason:-controller}" || fail host-write-failed 'the decision could not be recorded'
  conclude || fail host-write-failed "$decision is decided, but could not be carried out yet; the watchdog goes on trying"
  answer
}
conclude() { # anyone may run it, again, after it was killed anywhere. The marker goes last: the rest is found by it
  case $(cat "$tx/outcome" 2>/dev/null) in '' | rollback-failed)
    rm -rf "$tx/reserve" && mkdir -p "$work"
    if [ "$decision" = rollback ]; then restore
    else outcome=committed && look "$work/now" && compare "$work/now" && report changed removed added >"$tx/report" &&
      show_diff "$work/now" a b >"$tx/diff"; fi
    packages | comm -3 "$tx/packages" - | sed "s/^/package - /; s/^package - $TAB/package + /" >"$tx/packages.changed"
    echo "$outcome" | put "$tx/outcome" || return 1 ;;
  esac
  clear_stages; rm -rf "$work" "$tx/new" "$tx/reserve" "$tx/run" "$tx"/*.[0-9]* && prune && sync "$tx" && leave && sync "$state"
}
answer() {
  ok id "$id" decision "$decision" by "$by" outcome "$(cat "$tx/outcome")"
  tell "$tx"; echo; cat "$tx/diff" 2>/dev/null
}
tell() { cat "$1/report" "$1/packages.changed"; sed 's/^/warning /' "$1/warnings"; } 2>/dev/null
prune() { # ended transactions are kept for audit up to a number, an age and a size
  left=$(ls "$state/tx" | wc -l) kib=$(du -sk "$state/tx" | cut -f1)
  old=$(find "$state/tx" -mindepth 2 -maxdepth 2 -name outcome -mtime +$KEEP_DAYS)
  ls -tr "$state/tx" | while IFS= read -r past; do
    past=$state/tx/$past && read -r ended 2>/dev/null <"$past/outcome" || ended=''
    case $past:$ended in "$tx":* | *: | *:rollback-failed) continue ;; esac
    case $NL$old$NL in *"$NL$past/outcome$NL"*) ;; *) [ "$left" -gt $KEEP ] || [ "${kib:-0}" -gt $KEEP_KIB ] || continue ;; esac
    rm -rf "$past" && left=$((left - 1)) kib=$(du -sk "$state/tx" | cut -f1)
  done
}

# ---- restore ---------------------------------------------------------------------------------------------------------
restore() { # every tracked path as it was, proved. After a reboot, or a failed attempt, times prove nothing of bytes
  for attempt in 1 2 3; do
    kill_job; clear_stages
    present remove_odd && look "$work/now" && compare "$work/now" || continue
    [ -e "$tx/diff" ] || { find_edits && report restored restored removed >"$tx/report" &&
      show_diff "$work/now" b a >"$work/diff" && mv -f "$work/diff" "$tx/diff"; } || continue
    { [ $attempt = 1 ] && same_boot; } || doubt || continue
    put_back && restore_directories && flush_tracked && verify || continue
    if [ -s "$tx/edited" ]; then outcome=conflict; else outcome=rolled-back; fi
    refresh_and_probe
    [ "$(cut -d ' ' -f 2 2>/dev/null <"$state/quarantine")" != "$id" ] || rm -f "$state/quarantine"
    return
  done
  outcome=rollback-failed
  echo "transaction $id could not be rolled back: $(head -n 3 "$work/differences" 2>/dev/null | tr '\n\t' '; ')" >"$work/why"
  cat "$work/why" >>"$tx/warnings" && put "$state/quarantine" <"$work/why"
}
same_boot() { [ "$(cat "$tx/armed")" = "$(boot_id)" ]; }
keeping() { [ "$(cat "$tx/on_conflict")" = keep ] && [ -s "$tx/edited" ]; }
remove_odd() { odd_names "$@" >"$work/odd" && if [ -s "$work/odd" ]; then find "$@" -xdev -depth -name "$pattern" -exec rm -rf -- {} +; fi; }
# find_edits: what is neither in the backup nor the transaction's was edited by someone else, and is kept in theirs/. After
find_edits() { # a crash what was written last may be lost: nobody can say whose an edit was; nor while the job is at work
  true >"$tx/edited"
  if [ -e "$tx/running" ] || [ -n "${killed:-}" ] || ! same_boot; then return 0; fi
  { comm -13 "$tx/written" "$work/now" | comm -23 - "$tx/before" | only '!= "d"' | paths_of &&
    paths_of <"$tx/written" | comm -23 - "$work/now.paths" | comm -12 - "$tx/paths"; } | sort -u >"$work/edited"
  [ -s "$work/edited" ] || return 0
  comm -12 "$work/edited" "$work/now.paths" >"$work/theirs" && rm -rf "$tx/theirs" && mkdir "$tx/theirs" || return 1
  kept="; their version is $tx/theirs\\1" && [ "$tools" = gnu ] && pack "$work/theirs" "$work/theirs.tar" &&
    tar -xpf "$work/theirs.tar" -C "$tx/theirs" || { rm -rf "$tx/theirs" && kept='; their version could not be kept'; }
  rm -f "$work/theirs.tar" && sed "s|^\.\(.*\)|edited by someone else: \1$kept|" "$work/edited" >>"$tx/warnings"
  mv -f "$work/edited" "$tx/edited"
}
doubt() { # files that hash otherwise than they did are taken for touched, and nothing stays immutable
  present thaw 2>/dev/null
  look "$work/now" && compare "$work/now" && comm -12 "$tx/files" "$work/now.paths" | comm -23 - "$work/touched" >"$work/same" &&
    sums "$work/same" >"$work/same.sums" && sort "$work/same.sums" >"$work/sorted" && sort "$tx/sums" >"$work/sums" &&
    comm -23 "$work/sorted" "$work/sums" | cut -c67- | sort - "$work/touched" >"$work/all" && mv -f "$work/all" "$work/touched"
}
thaw() { [ -z "$(frozen "$@")" ] || find "$@" -xdev \( -type f -o -type d \) -exec chattr -f -ia -- {} +; }
put_back() { # what was touched is staged on its own mount, proved by hash, made durable and renamed into place
  ! keeping || for list in touched added; do comm -23 "$work/$list" "$tx/edited" >"$work/all" && mv -f "$work/all" "$work/$list"; done
  # Hard links come back together, or not at all: with one of them touched, so are the others.
  sort "$work/touched" "$work/lost" >"$work/wanted" && awk -F "$TAB" 'pass == 1 { wanted[$0]; next }
    pass == 2 { if ($10 in wanted && $1 == "f") inode[$7, $8]; next }
    $10 in wanted || ($1 == "f" && ($7, $8) in inode) { print $10 }' \
    pass=1 "$work/wanted" pass=2 "$tx/before" pass=3 "$tx/before" >"$work/needed" || return 1
  while IFS= read -r path && parent=.${path%/*}; do
    [ -d "$parent" ] || grep -q -x -F -e "$parent" "$tx/absent" || (umask 022 && mkdir -p "$parent") || return 1
    [ ! -d "$parent" ] || straight "$parent" || return 1
  done <"$tx/tracked"
  clear_way && sort -u "$tx/mounts" >"$work/mounts" || return 1
  while IFS= read -r mount; do put_back_on "$mount" || return 1; done <"$work/mounts"
}
clear_way() {
  { cat "$work/added" && comm -12 "$work/touched" "$work/now.dirs" && comm -12 "$work/lost" "$work/now.paths"; } | sort >"$work/way"
  comm -23 "$work/way" "$work/now.dirs" | names | xargs -0 -r rm -f -- 2>/dev/null
  comm -12 "$work/way" "$work/now.dirs" >"$work/way.dirs" && each "$work/way.dirs" remove_tree || return 1
  [ ! -s "$tx/absent" ] || sort -r "$tx/absent" | names | xargs -0 -r rmdir -- 2>/dev/null || :
}
remove_tree() { ! is_dir "$1" || { find "$1" -xdev ! -type d -exec rm -f -- {} + && find "$1" -xdev -depth -exec rmdir -- {} +; }; }
put_back_on() { # MOUNT: from one stage on that mount, since a rename cannot leave it
  mount="$1" awk 'FNR == 1 { file++ } file == 1 { path[FNR] = "." $0; next } file == 2 { at[path[FNR]] = $0; next }
    { for (p = $0; p != "" && !(p in at); sub(/\/?[^\/]*$/, "", p)); if (at[p] == ENVIRON["mount"]) print p "\t" $0 }' \
    "$tx/tracked" "$tx/mounts" "$work/needed" >"$work/on" && cut -f2 "$work/on" | sort >"$work/need" || return 1
  [ -s "$work/need" ] || return 0
  stage=$(head -n 1 "$work/on" | cut -f1) && stage=${stage%/*}/.savepoint.$id
  rm -rf "$stage" && mkdir "$stage" && unpack "$stage" "$work/need" && staged_well && flush "$stage/" &&
    comm -12 "$work/need" "$work/lost" >"$work/whole" && sed 's|/[^/]*$||' "$work/need" | sort -u >"$work/parents" &&
    each "$work/whole" move_whole && each "$work/parents" move_back && rm -rf "$stage"
}
move_whole() { [ ! -d "$stage/$1" ] || is_dir "$1" || mv -f -T "$stage/$1" "$1"; }
move_back() { [ ! -d "$stage/$1" ] || move_entries "$stage/$1" "$1" ! -type d; }
staged_well() { # what came out of the backup has the bytes that went in
  comm -12 "$work/need" "$tx/files" >"$work/staged" && sort "$tx/sums" >"$work/sums" && (cd "$stage" && sums "$work/staged") |
    sort | comm -12 - "$work/sums" >"$work/good" && [ "$(wc -l <"$work/good")" -eq "$(wc -l <"$work/staged")" ]
}
restore_directories() { # last, since a rename inside one moves its times. An archive can only add attributes: others go
  standing "$work/standing" && comm -13 "$tx/standing" "$work/standing" |
    awk -F "$TAB" '/^# file: / { for (i = 2; i <= NF; i++) { sub(/=.*/, "", $i); print $i, substr($1, 9) } }' |
    while read -r attribute name; do ! is_dir "$(printf %b "$name")" || setfattr -h -x "$attribute" "$(printf %b "$name")"; done
  comm -23 "$tx/standing" "$work/standing" | awk -F "$TAB" '$1 == "d" { print $8 } /^# file: / { print "./" substr($1, 9) }' |
    sort -u | comm -12 - "$tx/paths" >"$work/dirs"
  if [ "$tools" = gnu ]; then unpack . "$work/dirs"; return; fi
  awk -F "$TAB" 'NR == FNR { dir[$0]; next } $1 == "d" && $10 in dir { print $2, $3 ":" $4, $6, $10 }' "$work/dirs" "$tx/before" |
    while read -r mode owner time name; do chown "$owner" "$name" && chmod "$mode" "$name" && touch -d "@$time" "$name"; done
}
verify() { # bytes were hashed before they were renamed, and those of what was not restored when they were doubted
  standing "$work/standing" && comm -3 "$tx/standing" "$work/standing" >"$work/differences" || return 1
  ! keeping || { sed "s/^$TAB//" "$work/differences" | awk -F "$TAB" 'FILENAME == ARGV[1] { kept[$0]; next } $1 != "d" && !($8 in kept) &&
    !("./" substr($1, 9) in kept)' "$tx/edited" - >"$work/all" && mv -f "$work/all" "$work/differences"; }
  [ ! -s "$work/differences" ]
}
refresh_and_probe() { # caches must keep nothing from the patch's mirror; at boot, with no network, a probe says nothing
  for what in refresh probe; do while IFS= read -r command; do
    if [ -z "$command" ] || [ "$what$by" = probeboot ] || in_time sh -c "$command" </dev/null >"$work/log" 2>&1; then continue; fi
    outcome=rolled-back-unhealthy
    echo "$what failed: $command: $(tail -n 1 "$work/log" | tr -d '\r\001')" >>"$tx/warnings"
  done <"$tx/$what"; done
}
in_time() { ! command -v timeout >/dev/null || set -- timeout $PATIENCE "$@"; SAVEPOINT_ROOT=${root:-/} "$@"; }

# ---- lease, watchdog, recovery ---------------------------------------------------------------------------------------
# lease_write: until when the host waits for a sign of life. Another boot id means it is over, so it need not survive.
lease_write() { read -r seconds <"$tx/seconds" && until_in "$seconds" lease; }
until_in() { echo "$(boot_id) $(($(uptime) + $1))" >"$tx/$2.$$" && mv -f "$tx/$2.$$" "$tx/$2"; }
lease_left() { # TX: seconds until the lease or the deadline ends, whichever is first, or 0
  read -r until end 2>/dev/null <"$1/lease" && read -r _ last 2>/dev/null <"$1/deadline" && [ "$until" = "$(boot_id)" ] &&
    left=$(((end < last ? end : last) - $(uptime))) || left=0
  echo $((left > 0 ? left : 0))
}
renew() { # a sign of life; `running` says that a phase on the controller, which may write here too, begins or ended
  read_request && mine && undecided
  lease_write || unwritten "$tx/lease"
  case $running in yes) true >"$tx/running" ;; no) wrote ;; esac
  ok id "$id" lease_left "$(lease_left "$tx")" boot "$(boot_id)" && echo
}
# wrote: what the tracked paths hold now was written by the job, not by someone else.
wrote() { look "$tx/written.$$" && mv -f "$tx/written.$$" "$tx/written" && rm -f "$tx/running"; }
# own_path: where this guard lies. sudo runs it as /dev/fd/N, so $0 is the last resort.
own_path() { if [ -e "$state/guard/$guard/guard" ]; then echo "$state/guard/$guard/guard"; else echo "$0"; fi; }
systemd() { [ -d /run/systemd/system ] && [ "$(id -u)" = 0 ]; }
watchdog_start() { # PID 1 owns it where there is systemd: logind kills what a session leaves behind
  set -- "$(own_path)" watch "$root" "$state" "$id"
  if systemd; then
    systemd-run --quiet --collect --unit="savepoint-$id" -p DefaultDependencies=no -p Restart=on-failure -p RestartSec=1 \
      -p StartLimitIntervalSec=0 -p RestartForceExitStatus='SIGTERM SIGHUP SIGINT SIGPIPE' /bin/sh "$@" >/dev/null 2>&1
  else (cd / && exec setsid env -i PATH="$PATH" HOME="${HOME:-/}" /bin/sh "$@" </dev/null >/dev/null 2>&1 &); fi
}
boot_recovery_install() { # for the host's own root: ends open transactions before the network is up and anyone can log in
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
  else echo 'nothing here starts recovery at boot: after a power loss it waits for the next begin or a person' >>"$tx/warnings"; fi
}
watch() { # the watchdog. Ends with its transaction
  read -r nap <"$tx/seconds" && nap=$((nap < 20 ? 1 : nap > 100 ? 5 : nap / 20)) || nap=5
  while [ -e "$tx/token" ] && [ ! -e "$tx/outcome" ]; do
    if [ -e "$tx/decision" ] || [ "$(lease_left "$tx")" -eq 0 ]; then (finish watchdog); fi
    sleep "$nap"
  done
}
finish() { # WHO: brings the transaction to its end without its controller. A lease that is over is over: the job goes
  if [ "$1" = boot ] && resume; then return; fi
  kill_job; rm -rf "$tx/reserve"; lock
  if [ ! -e "$tx/armed" ] || [ ! -e "$tx/token" ]; then [ ! -d "$tx" ] || discard; else decide rollback "$1" && conclude; fi
  unlock
}
resume() { # a phase has said that the host may reboot: the lease runs from here, for as long as it said
  [ -e "$tx/armed" ] && [ ! -e "$tx/decision" ] && read -r away left 2>/dev/null <"$tx/reboot" &&
    echo "$away $((left - away))" | put "$tx/reboot" && until_in "$left" deadline && until_in "$away" lease && watchdog_start
}
by_its_guard() { # ID WHO: a transaction is always ended by the very guard that opened it
  opener=$state/guard/$(cat "$state/tx/$1/guard" 2>/dev/null)/guard && [ -f "$opener" ] || opener=$0
  /bin/sh "$opener" finish "$root" "$state" "$1" "$2"
}
unfinished() { # the ids of transactions that have not come to their end
  for one in "$state"/tx/*; do case $(cat "$one/outcome" 2>/dev/null):$(cat "$state/open" 2>/dev/null) in
    :* | rollback-failed:* | *:"${one##*/}") [ ! -d "$one" ] || echo "${one##*/}" ;;
  esac; done
}
boot() { for one in $(unfinished); do by_its_guard "$one" boot; done; }
recover() { # what a person asks for: end whatever is open here, whoever holds it
  read_request && ended=$(unfinished)
  for one in $ended; do by_its_guard "$one" "${reason:-recover}" >/dev/null 2>&1; done
  ok && for one in $ended; do
    echo "ended $one $(cat "$state/tx/$one/outcome" 2>/dev/null || echo rolled-back)" && tell "$state/tx/$one"
  done
  echo && for one in $ended; do cat "$state/tx/$one/diff" 2>/dev/null; done
}
status() { # what is here. Needs no token and changes nothing
  read_request && ok guard_version "$VERSION"
  if read -r held 2>/dev/null <"$state/open"; then
    printf 'open %s\nlease_left %s\n' "$held" "$(lease_left "$state/tx/$held")"
    for what in holder since decision; do sed "s/^/$what /" "$state/tx/$held/$what" 2>/dev/null; done
    sed 's/^/track /' "$state/tx/$held/tracked" 2>/dev/null
  fi
  sed 's/^/quarantine /' "$state/quarantine" 2>/dev/null
  for one in "$state"/tx/*; do [ ! -e "$one/outcome" ] ||
    echo "past ${one##*/} $(cat "$one/since") $(cat "$one/outcome") $(cat "$one/holder")"; done
  echo
}
clear() { # a person has looked at the host; it may be used again
  read_request
  for one in "$state"/tx/*; do [ "$(cat "$one/outcome" 2>/dev/null)" != rollback-failed ] ||
    echo 'rollback-failed, cleared' | put "$one/outcome"; done
  rm -f "$state/quarantine" && sync "$state" && ok && echo || unwritten
}

# ---- the job's processes ---------------------------------------------------------------------------------------------
run_phase() { # starts the shell text that follows, unless it was before; passes on its output from a byte onwards
  read_request && lock && mine && undecided
  spool=$tx/run/$phase
  if [ ! -d "$spool" ]; then
    rm -rf "$spool.new" && mkdir -p "$spool.new" && true >"$spool.new/out" && true >"$spool.new/err" &&
      head -c 4096 /dev/zero >"$spool.new/ended" && true >"$tx/running" && read -r _ last <"$tx/deadline" || unwritten "$spool"
    [ "$reboot" -eq 0 ] || echo "$reboot $((last - $(uptime)))" | put "$tx/reboot" || unwritten "$tx/reboot"
    mv "$spool.new" "$spool" && exec 3<&0 || unwritten "$spool"
    set -- /bin/sh "$(own_path)" supervise "$root" "$state" "$id" "$phase"
    if systemd; then set -- systemd-run --quiet --scope --collect --unit="savepoint-$id-job-$$" -p TimeoutStopSec=$GRACE "$@"
    elif command -v setsid >/dev/null; then set -- setsid "$@"; fi
    (umask "$job_umask" && exec env SAVEPOINT_TRANSACTION="$id" PATH="$job_path" "$@" <&3 3<&- >/dev/null 2>>"$spool/err") &
    life_of $! >"$spool/life" && exec 3<&-
  fi
  unlock; follow
}
follow() { # its status comes behind a nonce that the job does not know; `lost` with its host or its supervisor
  printf '\n%s started\n' "$nonce" >&2
  exec 3<"$spool/out" 4<"$spool/err" && naps=0 && echo $$ >"$spool/follower"
  tail -c "+$((out + 1))" <&3 && tail -c "+$((err + 1))" <&4 >&2
  while [ ! -e "$spool/status" ] && alive "$(cat "$spool/life")" && [ "$(cat "$spool/follower")" = $$ ]; do
    naps=$((naps + 1)) && if [ $naps -lt 20 ]; then sleep 0.02; else sleep 0.2; fi
    cat <&3 && cat <&4 >&2 || return
  done
  [ "$(cat "$spool/follower")" = $$ ] && cat <&3 && cat <&4 >&2 || return
  read -r code 2>/dev/null <"$spool/status" || code=lost
  printf '\n%s %s\n' "$nonce" "$code" >&2
}
supervise() { # PHASE: runs it as the job's user, marked so that all its descendants can be found
  trap : TERM
  spool=$tx/run/$1 && life_of $$ >"$spool/life.new" && mv -f "$spool/life.new" "$spool/life" && text=$(cat && echo .) || return 1
  me=$(id -un) && user=$me && [ "$user" != root ] || user=${SUDO_USER:-root}
  ! bound || { admit user && user=${said:-$user}; }
  mkfifo "$spool/1" "$spool/2" && { [ "$user" = "$me" ] || chown "$user" "$spool/1" "$spool/2"; } || return 1
  (trap '' TERM && exec cat <"$spool/1" >>"$spool/out") & one=$!
  (trap '' TERM && exec cat <"$spool/2" >>"$spool/err") & two=$!
  set -- env SAVEPOINT_TRANSACTION="$id" SAVEPOINT_ROOT="${root:-/}" PATH="$job_path" /bin/sh -s
  # Not through PAM where that can be had: it would move the phase out of its scope into a session's.
  if [ "$user" = "$me" ]; then :
  elif command -v runuser >/dev/null; then set -- runuser -u "$user" -- "$@"
  else set -- su -s /bin/sh "$user" -c "exec env SAVEPOINT_TRANSACTION=$id SAVEPOINT_ROOT='${root:-/}' /bin/sh -s"; fi
  (umask "$job_umask" && cd / && printf %s "${text%.}" | "$@" >"$spool/1" 2>"$spool/2")
  code=$? naps=0 # when the host goes down with it, which it may, it has no status and is not over
  ! systemd || [ ! -e "$tx/reboot" ] || case $(trap '' TERM && systemctl is-system-running 2>/dev/null) in
    initializing | starting | running | degraded | maintenance) ;; *) return ;; esac
  while [ -n "$(life_of $one)$(life_of $two)" ] && [ $naps -lt 40 ]; do naps=$((naps + 1)) && sleep 0.02; done
  [ -e "$tx/decision" ] || [ $code -gt 128 ] || wrote 2>/dev/null
  [ ! -e "$tx/reboot" ] || { rm -f "$tx/reboot" && sync "$tx"; } && echo $code 1<>"$spool/ended" && mv -f "$spool/ended" "$spool/status" # in its room
}
kill_job() { # nothing of the job may go on writing. TERM, a grace, then KILL, until none is left
  unit="savepoint-$id-job-*.scope" && ! systemd || [ -z "$(systemctl list-units --no-legend "$unit")" ] || { killed=yes; systemctl stop "$unit"; }
  for signal in TERM KILL; do
    waited=0 && while pids=$(grep -l -F "SAVEPOINT_TRANSACTION=$id" /proc/[0-9]*/environ 2>/dev/null | tr -dc '0-9\n' | grep -v -x $$) &&
      [ -n "$pids" ] && [ $waited -lt $((GRACE * 10)) ]; do
      # shellcheck disable=SC2086 # one word a process
      [ $((waited % 10)) -ne 0 ] || kill -s $signal $pids 2>/dev/null
      killed=yes waited=$((waited + 1)) && sleep 0.1
    done
  done
}

# ---- verbs -----------------------------------------------------------------------------------------------------------
case ${1:-} in
  begin | apply | renew | commit | rollback | status | recover | clear) "$1" ;;
  exec) run_phase ;;
  kill) read_request && mine && kill_job && ok id "$id" && echo ;;
  watch | finish | boot | supervise) guard='' root=$2 state=$3 id=${4:-} && place && "$1" "${5:-}" ;;
  version) echo $VERSION ;;
  *) fail guard-protocol "unknown verb '${1:-}': begin apply exec kill renew commit rollback status recover clear are known" ;;
esac
unlock
