#!/bin/sh
# Savepoint guard: makes changes to the tracked paths of this host a transaction.
# The only program that ever touches a tracked path. It reads one request on standard input, takes the steps of one
# verb, each durable before the next, and answers on standard output (docs/guard-protocol.md). It may be killed at
# any point: whoever runs it next, the watchdog, the boot or a person, brings the transaction to its end. Anything but
# a durable `commit` in the decision file means that every tracked path goes back to what it was.
# State in /var/lib/savepoint (0700), or below the root it was given, or in a directory of their own for other users:
#   guard/<sha256>/guard   this program        open         id of the open transaction
#   tx/<id>/               a transaction       quarantine   why no transaction may begin
# shellcheck disable=SC2012,SC2013 # ids of transactions and numbers of processes are plain words
# shellcheck disable=SC2015,SC2034 # in "a && b || fail" either is meant; eval sets what seems unused
set -u && case ${1:-} in exec | supervise) job_umask=$(umask) ;; esac
job_path=$PATH && umask 077
export LC_ALL=C TZ=UTC PATH=/usr/sbin:/usr/bin:/sbin:/bin
unset SAVEPOINT_RUN CDPATH ENV BASH_ENV IFS TMPDIR TAR_OPTIONS POSIXLY_CORRECT LD_PRELOAD LD_LIBRARY_PATH uid
VERSION=1.2.2 PROTOCOL=1 POLICY=/var/lib/savepoint/policy
LOCK_WAIT=600 GRACE=5 PATIENCE=300   # seconds: for another guard at work; from TERM to KILL; for a refresh or a probe
KEEP=20 KEEP_DAYS=30 KEEP_KIB=262144 # ended transactions kept for audit: so many, so old, so large together
ODD=$(printf '\001\002\003\t') && TAB=${ODD#???} && ODD=${ODD%?} NL='
'
# ---- requests and answers --------------------------------------------------------------------------------------------
read_request() { # lines "key value" up to an empty one; `read` takes single bytes, so the verb can read all that follows
  id='' token='' fence=0 guard='' root='' state_dir='' holder='' lease=120 deadline=21600 on_conflict=backup degraded=no
  reason='' running='' nonce='' phase=$$ out=0 err=0 reboot=0 track='' remove='' refresh='' probe=''
  IFS= read -r line && [ "$line" = "savepoint $PROTOCOL" ] || fail guard-protocol "the request begins '${line:-}', not 'savepoint $PROTOCOL'"
  while IFS= read -r line || fail guard-protocol 'the request ends within its header'; do
    key=${line%% *} value=${line#* } && case $key in
      '') break ;;
      track | remove | refresh | probe) eval "$key=\$$key\$value\$NL" ;;
      id | token | fence | guard | root | state_dir | holder | lease | deadline | on_conflict | degraded | reason | \
        running | nonce | phase | out | err | reboot) eval "$key=\$value" ;;
    esac
  done
  case $id in *[!a-z0-9-]*) fail guard-protocol "the id '$id' has other characters than a-z, 0-9 and -" ;; esac
  case $guard:$phase in *[!a-f0-9]*:* | *: | *:.* | *:*[!A-Za-z0-9._-]*) fail guard-protocol "'$guard', '$phase': no digest, no key" ;; esac
  case :$fence:$lease:$deadline:$out:$err:$reboot: in *[!0-9:]* | *::*) fail guard-protocol 'numbers have to be whole' ;; esac
  case $root in '' | /*) root=${root%/} ;; *) fail guard-protocol "the root '$root' is not absolute" ;; esac
  admit root "$root$state_dir"; state=$root/var/lib/savepoint
  if [ -z "$root" ] && ! is_root; then state=${state_dir:-${XDG_STATE_HOME:-${HOME:-}/.local/state}/savepoint}; fi; place
}
is_root() { [ -n "${uid:=$(id -u)}" ] && [ "$uid" = 0 ]; }
place() { # all work is done from the root, by relative names ("./etc/apt"), which never begin with a dash
  find='' doubted='' kept='' && cd -P "$root/" && here=$PWD && read -r boot </proc/sys/kernel/random/boot_id || fail host-file-missing "the root $root is not there, or no /proc"
  tx=$state/tx/$id work=$state/tx/$id/work && read -r tools sync_f 2>/dev/null <"$tx/tools" || tools=gnu sync_f=''
}
# admit WHAT WORD...: where root has put a policy of the host's own there, it is asked about whoever comes by sudo.
bound() { [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ] && [ -e $POLICY ]; }
admit() { ! bound || said=$(/bin/sh $POLICY "$@" 2>&1) || fail guard-refused-by-host "the policy of this host: $said"; }
case ${KSH_VERSION:-} in *MIRBSD* | *LEGACY*) say() { print -rn -- "$1"; } ;; *) say() { printf %s "$1"; } ;; esac # a program to mksh: others see its words
echo() { printf '%s\n' "$*"; } # some shells' own would read \c or \n in what a request says
# ok KEY VALUE...: the verb was done, and what there is to say; fail NAME TEXT: it is refused, by a name of the catalogue.
ok() { printf 'savepoint %s ok\n' "$PROTOCOL" && while [ $# -gt 1 ]; do printf '%s %s\n' "$1" "$2" && shift 2; done; }
fail() { unlock; printf 'savepoint %s error %s\nmessage %s\n\n' "$PROTOCOL" "$1" "$(say "$2" | tr '\n\001' '  ')"; exit 1; }
unwritten() { fail host-write-failed "cannot write ${1:-below $state}"; }
mine() { # this verb may act on the transaction: it is here, and the token is right
  [ -n "$id" ] && [ -e "$tx/token" ] || fail not-open "there is no transaction '$id' on this host"
  read -r known <"$tx/token" && [ "$(say "$token" | sha256sum)" = "$known" ] || fail bad-token "the token is not that of transaction $id"
  latest && [ "$fence" -eq "$seen" ] || put "$tx/fence" "$fence" || [ "${1:-}" = full ] || unwritten "$tx/fence"
}
latest() { # nobody came later
  read -r seen <"$tx/fence" || fail host-read-failed "cannot read $tx/fence"
  [ "$fence" -ge "$seen" ] || fail fenced "a later controller (fence $seen) has taken transaction $id over"
}
undecided() { # the transaction may still be changed
  [ -e "$tx/armed" ] && [ ! -e "$tx/decision" ] || fail not-open "transaction $id is $(sed 's/^/decided: /' "$tx/decision" 2>/dev/null || echo 'not armed')"
}
# ---- durable primitives ----------------------------------------------------------------------------------------------
# put FILE TEXT: FILE holds the text, whole and durable, or stays as it was.
put() { printf '%s\n' "$2" >"$1.$$" && sync "$1.$$" && mv -f "$1.$$" "$1" && sync "${1%/*}" || { rm -f "$1.$$"; return 1; }; }
# flush PATH...: makes the file systems of these paths durable. A sync that knows no -f flushes them all.
flush() { if [ -n "$sync_f" ]; then sync -f "$@"; else sync; fi; }
flush_tracked() { # [PATH]: the file systems of the tracked paths, and of PATH
  last='' && while IFS= read -r path; do nearest "$path" && { [ "$dir" = "$last" ] || set -- "$@" "$dir/"; } && last=$dir; done <"$tx/tracked"
  flush "$@"
}
nearest() { dir=.${1%/*} && while [ ! -d "$dir" ]; do dir=${dir%/*}; done; } # PATH: sets dir to the closest directory above it
# straight DIR: DIR is where its name says, not behind a symbolic link. Sets real.
straight() { real='' && cd -P "$1/" 2>/dev/null && real=$PWD; cd "${here%/}/." || fail host-file-missing "the root $here is gone"; [ "${real%/}" = "${here%/}${1#.}" ]; }
is_dir() { [ -d "$1" ] && [ ! -L "$1" ]; }
# In our lists a name is a line; \001 stands for a line break in it, \002 for a tab, and \003 for the tabs that part
# fields until they are there. lines: from NUL-ended names to such lines; names: and back.
lines() { exec tr '\n\000\t\003' '\001\n\002\t'; }
names() { tr '\n\001\002' '\000\n\t'; }
plain() { case $1 in *[$ODD]*) name=$(printf '%s.' "$1" | tr '\001\002' '\n\t') && name=${name%.} ;; *) name=$1 ;; esac; } # LINE: sets name
each() { list=$1 && shift && while IFS= read -r line; do plain "$line" && "$@" "$name" || return 1; done <"$list"; } # LIST COMMAND...: with every name
on() { # LIST COMMAND...: runs COMMAND once with all names of LIST, if there are any; COMMAND is a program where they are many
  if few "$1"; then
    from=$1 && shift && while IFS= read -r line; do plain "$line" && set -- "$@" "$name"; done <"$from"
    [ "$n" -eq 0 ] || "$@"
  else names <"$1" >"$work/names" && shift && xargs -0 "$@" <"$work/names"; fi
}
few() { n=0 && while [ $n -le 100 ] && IFS= read -r _; do n=$((n + 1)); done <"$1"; [ $n -le 100 ]; } # LIST
clock() { read -r now _ </proc/uptime && now=${now%%.*}; } # now: seconds of the monotonic clock, which setting the date does not move
life_of() { # PID: sets life to what no other process ever has, number, start (proc(5), field 22) and boot, or to nothing
  life='' && read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
  # shellcheck disable=SC2086 # the fields behind the command's name are split on purpose
  set -- "$1" ${stat##*) }
  case $2 in Z | X) ;; *) life=$1.${21}.$boot ;; esac
}
alive() { life_of "${1%%.*}" && [ -n "$1" ] && [ "$life" = "$1" ]; }
lock() { # one guard at a time. Each puts its own name down, then looks for others: two can never both find nobody
  [ -d "$state/lock" ] || mkdir -p "$state/lock" || unwritten
  life_of $$ && locked=$state/lock/$life tries=0 && clock && since=$now
  while true >"$locked" || unwritten "$locked"; do
    holds='' listed='' && for other in "$state/lock"/*; do # a list without its own name is none: it could not be read
      if [ "$other" = "$locked" ]; then listed=yes && continue; elif [ ! -e "$other" ]; then continue; fi
      if alive "${other##*/}"; then holds=${life%%.*} && break; else rm -f "$other"; fi
    done
    [ -n "$holds" ] || [ -z "$listed" ] || return 0
    rm -f "$locked" && clock && [ $((now - since)) -lt $LOCK_WAIT ] || fail host-busy "guard process ${holds:-unknown ($state/lock cannot be listed)} is at work for over $LOCK_WAIT s"
    tries=$((tries + 1)) && sleep "0.$(((($$ + tries * 7) % 20) + 10))"
  done
}
unlock() { [ -z "${locked:-}" ] || rm -f "$locked" || :; locked=''; }
# ---- what is there ---------------------------------------------------------------------------------------------------
present() { # COMMAND...: runs COMMAND with the tracked paths that are there, if any are
  given=$# && while IFS= read -r path; do if [ -e ".$path" ] || [ -L ".$path" ]; then set -- "$@" ".$path"; fi; done <"$tx/tracked"
  [ $# -eq $given ] || "$@"; }
# look FILE: lists every entry of the tracked paths, in the order in which they lie there, tab-separated:
#   type mode uid gid size mtime inode ctime | target of a link | path
# All but inode and ctime comes back. These tell that nobody has touched an entry, since no one can set a change time.
# FILE.paths gets the paths alone, FILE.odd the names that such a list cannot hold, FILE.other what is none of these types.
look() { true >"$1" && no_more "$1" && present look_into "$1"; }
no_more() { true >"$1.paths" && true >"$1.odd" && true >"$1.other"; }
look_into() { # FILE PATH...
  list=$1 && shift && if [ "$tools" = gnu ]; then
    { find "$@" -xdev \( \( -path "*[$ODD]*" -o -lname "*[$ODD]*" \) -printf 'odd\003%p\0' -o ! -type d ! -type f ! -type l \
      -printf 'other\003%p\0' -o -printf '%y\003%m\003%U\003%G\003%s\003%T@\003%i\003%C@\003%l\003%p\0' \) && printf 'whole\0'; } | lines | tabulate
  else
    { find "$@" -xdev -name "*[$ODD$TAB$NL]*" | sed "s/^/odd$TAB/" && find "$@" -xdev ! -type d ! -type f ! -type l | sed "s/^/other$TAB/" &&
      find "$@" -xdev \( -type d -o -type f -o -type l \) -exec stat -c "%F$TAB%a$TAB%u$TAB%g$TAB%s$TAB%Y$TAB%i$TAB%Z$TAB$TAB%n" {} + && echo whole; } | tabulate; fi
}
tabulate() { # in a pipe
  exec awk -F "$TAB" -v OFS="$TAB" -v tools="$tools" -v list="$list" '$1 == "whole" { whole = 1; next }
    $1 == "odd" { print $2 >(list ".odd"); next } $1 == "other" { print $2 >(list ".other"); next }
    { t = substr($1, 1, 1); $1 = t == "r" ? "f" : t == "s" ? "l" : t } $1 == "d" { $5 = 0 }
    $1 == "l" && tools == "plain" { $6 = 0 } { print; print $10 >(list ".paths") } END { exit !whole }' >"$list"
}
# attributes LIST FILE: extended attributes, ACLs, labels and capabilities of these entries, as far as this host can tell
attributes() { # (getfattr), a line an entry. It passes over what it cannot read or could not write: so names, and a pipe
  { { ! command -v getfattr >/dev/null || on "$1" getfattr -P -h -d -m - -e hex -- 2>/dev/null; } && echo whole; } |
    awk -v RS='' -F '\n' -v OFS="$TAB" '$1 == "whole" { whole = 1; next } { gsub(/\t/, "\002"); sub(/^# file: /, "./", $1)
    gsub(/\\012/, "\001", $1); gsub(/\\015/, "\r", $1); gsub(/\\134/, "\\\\", $1); print } END { exit !whole }' >"$2"
}
digests() { on "$1" sha256sum --; } # LIST: the SHA-256 of each, in their order
# otherwise LIST HASHES: those of LIST that do not hash as they did at the backup. Fails when a hash is missing.
otherwise() {
  awk 'function sum() { return substr($0, /^\\/ ? 2 : 1, 64) } pass == 1 { name[++names] = $0 } pass == 2 { was[name[++sums]] = sum() }
    pass == 3 { asked[++all] = $0 } pass == 4 && was[asked[++given]] != sum() { print asked[given] }
    END { exit given != all }' pass=1 "$tx/files" pass=2 "$tx/sums" pass=3 "$1" pass=4 "$2"
}
# pack LIST FILE: archives these entries with all metadata but access times, which move by reading, and change times,
# which cannot be set. unpack DIR LIST: entries of the backup appear below DIR. Of a short LIST tar looks for all until it
# has them; of a long one, which has the archive's order, for the next one only, but through the whole archive.
metadata='--numeric-owner --xattrs --xattrs-include=* --acls --selinux --no-recursion --no-unquote'
posix='--format=posix --pax-option=delete=atime,delete=ctime --sparse'
# shellcheck disable=SC2086 # words of a command
pack() {
  true >"$2" || return 1; if [ "$tools" != gnu ]; then present tar -cf "$2"; elif few "$1"; then on "$1" tar -cf "$2" $posix $metadata --
  else names <"$1" >"$work/names" && tar -cf "$2" $posix $metadata --null -T "$work/names"; fi
}
# shellcheck disable=SC2086
unpack() {
  set -- "$2" tar -xpf "$tx/backup.tar" -C "$1"
  if [ "$tools" != gnu ]; then case $(tar --version 2>/dev/null) in *'GNU tar'*) set -- "$@" --no-recursion ;; esac; on "$@"
  elif few "$1"; then on "$@" --same-owner --occurrence=1 $metadata --
  else names <"$1" >"$work/names" && shift && "$@" --same-owner --same-order $metadata --null -T "$work/names"; fi
}
packages() { # what is installed. A transaction does not roll packages back; it shows how they differ
  if [ -d "$root/var/lib/dpkg" ] && command -v dpkg-query >/dev/null; then
    dpkg-query --admindir="$root/var/lib/dpkg" -W -f '${Package}:${Architecture} ${Version} ${db:Status-Abbrev}\n'
  else for query in 'rpm -qa' 'apk info -v' 'pacman -Q'; do [ -n "$root" ] || ! command -v "${query%% *}" >/dev/null || $query; done
  fi 2>/dev/null || :
}
# ---- begin -----------------------------------------------------------------------------------------------------------
begin() {
  read_request && [ -n "$id" ] && [ -n "$token" ] && [ -n "$track" ] || fail guard-protocol 'begin needs id, token and track'
  for tool in awk cat chmod chown cmp cp date df du env find grep head id ln ls mkdir mkfifo mv rm rmdir sed setsid sha256sum sleep \
    sort stat sync tail tar touch tr wc xargs; do command -v $tool >/dev/null || fail host-tools-missing "this host has no $tool, which the guard needs"; done
  admit begin "$track" "$refresh" "$probe" # apart from each other (T), since ext4 makes files slowly where many were just removed:
  [ -d "$state/lock" ] || { mkdir -p "$state/tx" && { chattr +T "$state/tx" 2>/dev/null || :; } && mkdir -p "$state/lock"; } || unwritten
  lock && not_quarantined && claim && boot_recovery_install && preflight && back_up && watchdog_start && lease_write && put "$tx/armed" "$boot" ||
    abandon host-write-failed 'the watchdog, or recovery at boot, could not be set up'; begun
}
not_quarantined() { [ ! -e "$state/quarantine" ] || fail host-quarantined "$(cat "$state/quarantine")"; }
begun() { # the answer, also for a controller that asks again because it lost the first one
  read -r entries bytes <"$tx/size" && read -r armed <"$tx/armed" && ok id "$id" guard_version "$VERSION" tools "$tools" \
    boot "$armed" entries "$entries" bytes "$bytes" && warnings "$tx" && echo || fail host-read-failed "cannot tell what is in $tx"
}
warnings() { while IFS= read -r line; do echo "warning $line"; done <"$1/warnings"; } # TX
claim() { # makes this the one open transaction of the host, or says who holds it. One whose time is over is ended first
  read -r held 2>/dev/null <"$state/open" || held='' && other=$state/tx/$held
  if [ "$held" = "$id" ] && [ -e "$tx/armed" ]; then
    mine && undecided && begun && unlock && exit 0
  elif [ -n "$held" ] && [ "$held" != "$id" ]; then
    lease_left "$other" && [ -e "$other/decision" ] || [ "$left" -eq 0 ] ||
      fail host-busy "held by $(cat "$other/holder") since $(cat "$other/since"), lease ends in $left s"
    unlock; by_its_guard "$held" 'the next begin' >/dev/null 2>&1; lock && not_quarantined
    [ ! -e "$state/open" ] || fail host-busy "transaction $held could not be finished"
  fi
  { [ ! -e "$tx" ] || forget "$tx"; } && mkdir -p "$work" && say "$track" >"$tx/tracked" && say "$token" | sha256sum >"$tx/token" &&
    echo "$fence" >"$tx/fence" && printf '%s\n' "$holder" >"$tx/holder" && echo "$guard" >"$tx/guard" &&
    date '+%Y-%m-%dT%H:%M:%SZ' >"$tx/since" && say "$refresh" >"$tx/refresh" && say "$probe" >"$tx/probe" &&
    echo "$on_conflict" >"$tx/on_conflict" && true >"$tx/warnings" && true >"$tx/absent" && true >"$tx/mounts" &&
    echo "$lease" >"$tx/seconds" && clock && echo "$boot $((now + deadline))" >"$tx/deadline" &&
    echo "$boot $((now + lease))" >"$tx/lease" && sync "$tx/tracked" && put "$state/open" "$id" ||
    abandon host-write-failed "cannot write below $state"
}
abandon() { discard; fail "$1" "$2"; } # ends a begin that did not come as far as `armed`: nothing was changed
discard() { clear_stages; leave; rm -rf "$tx"; }
forget() { rm -f "$1/token" && sync "$1" && rm -rf "$1"; } # what lost its token is never carried out any more
leave() { leftovers "$state" && { [ ! -e "$state/open" ] || { read -r held <"$state/open" && { [ "$held" != "$id" ] || rm -f "$state/open"; }; }; }; }
leftovers() { # DIR PATH...: removes these, and what guards that were killed have left in DIR
  from=$1 && shift && set -- "$from"/*.[0-9]* "$@" && [ -e "$1" ] || { shift && set -- "$from"/*.[0-9]* "$@"; }
  [ ! -e "$1" ] && [ $# -eq 1 ] || rm -rf -- "$@"
}
preflight() { # whatever would stop a rollback later is found now, while nothing is changed
  tools=gnu lost='extended attributes, ACLs, labels, capabilities, hard links and fractions of a second'
  case $(find / -maxdepth 0 -printf '%y' 2>/dev/null)$(tar --version 2>/dev/null) in d*'GNU tar'*) ;; *)
    tools=plain && [ "$degraded" = yes ] || abandon host-degraded \
      "the find or tar of this host would lose $lost: install GNU tar and findutils, or ask for degraded mode"
    echo "degraded: $lost are not kept" >>"$tx/warnings" ;;
  esac
  case $(sync --help 2>&1) in *-f*) sync_f=-f ;; esac && echo "$tools $sync_f" >"$tx/tools" && true >"$tx/above" || unwritten "$tx/tools"
  checked='' && while IFS= read -r path; do check_place "$path"; done <"$tx/tracked"
  point=$(mounted) && [ -z "$point" ] || abandon path-not-replaceable "$point is a mount point"
  stuck=$(present frozen) && [ -z "$stuck" ] || abandon path-not-replaceable "${stuck#.} is immutable or append-only (see lsattr)"
  look "$tx/before" || abandon host-write-failed 'the tracked paths cannot be listed'
  ! IFS= read -r odd <"$tx/before.odd" ||
    abandon path-not-replaceable "the name $(say "${odd#.}" | tr "$ODD" '???') holds a character that the guard cannot keep"
  ! [ -s "$tx/before.other" ] || sed 's|^\./|left alone (socket, pipe or device): /|' "$tx/before.other" >>"$tx/warnings"
  room || abandon host-write-failed "cannot write below $tx"
}
mounted() { here=${here%/} && export here && exec awk 'NR == FNR { tracked[$0]; next } { point = $5; gsub(/\\040/, " ", point) }
    index(point, ENVIRON["here"] "/") == 1 { p = substr(point, length(ENVIRON["here"]) + 1)
      for (; p != ""; sub(/\/[^\/]*$/, "", p)) if (p in tracked) { print point; exit } }' "$tx/tracked" /proc/self/mountinfo; } # in a subshell: the first that is a tracked path or lies in one
frozen() { lsattr -aR -- "$@" 2>/dev/null | awk '$1 ~ /^[-a-zA-Z]*[ia]/ && $2 ~ /^\.\// { print $2; exit }'; }
check_place() { # PATH: it could be renamed over, and it is where its name says
  case $1/ in *//* | */./* | */../* | *"$TAB"*) abandon guard-protocol "'$1' is no plain absolute path" ;; esac
  dir=.${1%/*} && while [ ! -e "$dir" ] && [ ! -L "$dir" ]; do printf '%s\n' "$dir" >>"$tx/absent" && dir=${dir%/*} || abandon host-write-failed "cannot write below $tx"; done
  if [ "$dir" != "$checked" ]; then
    straight "$dir" || abandon path-under-symlink "$1 is not below a directory of its own name but below '$real'; track that"
    mkdir "$dir/.savepoint.$id" 2>/dev/null && rmdir "$dir/.savepoint.$id" ||
      abandon path-not-replaceable "$1 cannot be replaced: ${dir#.}/ is read-only, immutable or not yours"
    if [ "$tools" = gnu ]; then mount=$(stat -c %m "$dir/"); else mount=$dir/; fi && checked=$dir
    set -- "$1" && while [ "$dir" != . ]; do set -- "$@" "$dir" && dir=${dir%/*}; done
    path=$1 && shift && { [ $# -eq 0 ] || find "$@" -prune ! -perm -001 >>"$tx/above"; } || abandon host-write-failed "cannot write below $tx"
  fi
  printf '%s\n' "$mount" >>"$tx/mounts" || abandon host-write-failed "cannot write below $tx"
}
room() { # for the backup and a reserve of its size, and for a staged copy beside the targets
  true >"$tx/files" && awk -F "$TAB" -v list="$tx/files" '{ n += $5 + 1536 } $1 == "f" { files++; print $10 >list } $1 != "d" && $8 > coarse && $8 == int($8) { coarse = $8 }
    END { printf "%d %d %d %d\n", n / 512 + 4096, NR, files, coarse }' "$tx/before" >"$work/size" && read -r needed entries count coarse <"$work/size" || return 1
  set -- "$state" && last='' && while IFS= read -r mount; do [ "$mount" = "$last" ] || set -- "$@" "$mount"; last=$mount; done <"$tx/mounts"
  full=$(df -Pk "$@" 2>/dev/null | while read -r _ _ _ free _ point; do case $free in *[!0-9]* | '') ;; *) [ "$free" -ge "$needed" ] ||
    echo "$point has $free KiB free; $needed are needed" ;; esac; done) && [ -z "$full" ] || abandon host-no-space "${full%%"$NL"*}"
}
back_up() { # a copy with hashes and manifest, proved to be what is there. It is made durable, and so are the originals
  for tries in 1 2 3 4 5; do
    [ "$coarse" -eq 0 ] || [ $((coarse + 2)) -le "$(date +%s)" ] || sleep 2 # change times of whole seconds, or two: later ones will differ
    pack "$tx/before.paths" "$tx/backup.tar" && digests "$tx/files" >"$tx/sums" && attributes "$tx/before.paths" "$tx/attributes" &&
      look "$work/again" && changing=$(differing "$tx/before" "$work/again") || abandon host-write-failed 'the backup could not be written'
    [ -n "$changing" ] || break
    look "$tx/before" && room && [ $tries -lt 5 ] || abandon path-changing "someone is changing ${changing#.} as it is copied"
  done
  verify_backup || abandon host-write-failed 'the backup does not read back as what was copied'
  bytes=$(wc -c <"$tx/backup.tar") && echo "$entries $bytes" >"$tx/size" && set_aside ||
    abandon host-no-space 'there is no room for the reserve that a rollback on a full disk needs'
  packages >"$tx/packages" && flush_tracked "$state" || abandon host-write-failed 'the backup could not be made durable'
}
differing() { # LIST LIST, in a subshell: a path that is not the same in both. Fails when a file has no hash
  exec awk -F "$TAB" -v count="$count" 'pass == 0 { sums++; next } pass == 1 { seen[$0] = $10; next } $0 in seen { delete seen[$0]; next }
    !other++ { print $10 } END { if (!other) for (line in seen) { print seen[line]; break }
      exit sums != count }' pass=0 "$tx/sums" pass=1 "$1" pass=2 "$2"
}
verify_backup() { # the archive holds the bytes that were hashed, for nothing has changed since
  if [ ! -s "$tx/before" ]; then return; elif [ "$tools" = gnu ]; then tar -df "$tx/backup.tar" >/dev/null 2>&1; return; fi
  mkdir "$work/check" && unpack "$work/check" "$tx/files" && (cd "$work/check" && digests "$tx/files") | cmp -s - "$tx/sums"
}
set_aside() { # the blocks and inodes that a rollback needs when the job has filled the disk. Freed first thing then
  mkdir "$tx/reserve" && head -c "$((bytes + 1048576))" /dev/zero >"$tx/reserve/bytes" || return 1
  inodes=$((entries < 3968 ? entries + 128 : 4096)) && while [ $inodes -gt 0 ]; do true >"$tx/reserve/$inodes" && inodes=$((inodes - 1)) || return 1; done
}
# ---- apply, compare --------------------------------------------------------------------------------------------------
apply() { # lays the tar archive that follows over the tracked paths: staged beside its targets, durable, then renamed
  read_request && mine && undecided
  new=$tx/new.$$ && mkdir -p "$work" "$new" && cd "$new" || unwritten "below $tx"
  said=$(tar -xpmf - --no-same-owner 2>&1) || fail host-write-failed "the change cannot be unpacked: ${said%%"$NL"*}"
  lock && latest && undecided # not before: a controller that stalls in the middle of its change must not hold the lock
  no_more "$work/change" && look_into "$work/change" . && place && say "$remove" >"$work/remove" && true >"$work/stages" ||
    unwritten "below $tx"
  refused=$(bound && strict=yes || strict=''; permitted "$strict") || fail host-write-failed 'the change could not be listed'
  [ -z "$refused" ] || fail "${refused%% *}" "${refused#* }"
  clear_stages; echo yes >"$tx/stages" && each "$work/new.dirs" need_stage && on "$work/stages" mkdir -- && each "$work/new.dirs" stage_new &&
    flush_tracked || fail host-write-failed 'the change could not be staged'
  echo yes >"$tx/running" && each "$work/new.dirs" rename_new && remove_old && on "$work/stages" rmdir -- && true >"$tx/stages" &&
    flush_tracked && wrote && compare "$tx/written" changed removed added || fail host-write-failed 'the change could not be put into place'
  ok id "$id" && sort "$work/report" && echo; show_diff a b; rm -rf "$new"
}
permitted() { # STRICT, in a subshell: the first thing that a change may not have, by the name of the refusal; lists its directories
  true >"$work/new.dirs" && exec awk -F "$TAB" -v strict="$1" -v dirs="$work/new.dirs" '
    function refuse(name, words) { print name " " words; exit }
    function inside(name, p, q) { for (q = p; q != ""; sub(/\/?[^\/]*$/, "", q)) if (q in tracked) return
      refuse(name, substr(p, 2) " is in none of the tracked paths:" all) }
    pass == "t" { tracked["." $0]; all = all " " $0; for (q = "." $0; q != ""; sub(/\/?[^\/]*$/, "", q)) above[q]; next }
    pass == "r" { if ($0 "/" ~ /\/\.?\.?\//) refuse("remove-outside-tracked", $0 " is no plain path"); inside("remove-outside-tracked", "." $0); next }
    pass == "o" || strict && $1 != "l" && ($2 ~ /^[2-7]...$/ || $2 ~ /[2367]$/) {
      refuse("files-bad-entry", substr($NF, 2) " has a kind, rights or a name that nothing in a change may have") }
    $1 == "d" { print $10 >dirs; if ($10 in above) next } { inside("files-outside-tracked", $10) }' \
    pass=t "$tx/tracked" pass=o "$work/change.odd" "$work/change.other" pass=c "$work/change" pass=r "$work/remove"
}
remove_old() { sed 's/^/./' "$work/remove" >"$work/removed" && each "$work/removed" remove_one; }
remove_one() { [ ! -d "${1%/*}" ] || { straight "${1%/*}" && rm -rf -- "$1"; }; } # PATH: not through a link, also one that the change brought
# stage_new DIR: its new entries, in a stage inside it, so that they get its label and default ACL. What replaces a file
stage_new() { # keeps owner, mode, ACL, label and attributes: the new bytes go into a full copy of the old file
  under=$1 stage=$1/.savepoint.$id && if [ "$tools" = gnu ]; then whole='cp -a --preserve=xattr --no-preserve=links'; else whole='cp -p'; fi
  [ "$under" = . ] || [ ! -d "$under" ] || straight "$under" || fail path-under-symlink "${under#.} lies behind a symbolic link on this host"
  # All three find as many, or a list could not be read: the shell takes such a directory for empty.
  [ ! -d "$under" ] || { stage over "$whole" && many=$found && stage bytes 'cp -P' && [ "$found" = "$many" ] && stage fresh 'cp -RPp' && [ "$found" = "$many" ]; }
}
need_stage() { under=$1 && [ ! -d "$1" ] || ! straight "$1" || stage need ''; } # DIR: notes a stage if there is anything for it
stage() { # need, or over|bytes|fresh COMMAND: for the files that are replaced, their new bytes, all that is new
  what=$1 copy=$2 found=0 && set -- && for entry in "$new/$under"/* "$new/$under"/.[!.]* "$new/$under"/..?*; do
    old=$under/${entry##*/} kind=fresh
    if [ ! -e "$entry" ] && [ ! -L "$entry" ] || { is_dir "$old" && is_dir "$entry"; }; then continue; fi
    ! is_dir "$old" || fail files-bad-entry "${old#.} is a directory on this host"
    ! is_dir "$entry" || [ ! -e "$old" ] || [ -L "$old" ] || fail files-bad-entry "${old#.} is no directory on this host"
    if [ -f "$old" ] && [ ! -L "$old" ] && [ -f "$entry" ] && [ ! -L "$entry" ]; then kind=over; fi
    found=$((found + 1)) && case $what.$kind in need.*) echo "$line/.savepoint.$id" >>"$work/stages"; return ;; over.over) set -- "$@" "$old" ;; bytes.over | fresh.fresh) set -- "$@" "$entry" ;; esac
    [ $# -lt 100 ] || { $copy -- "$@" "$stage/" && set --; } || return 1; done
  [ $# -eq 0 ] || $copy -- "$@" "$stage/"
}
rename_new() { [ ! -d "$1/.savepoint.$id" ] || move_entries all "$1/.savepoint.$id" "$1"; }
move_entries() { # all|files FROM TO: renames the entries of one directory into another, over what is there
  which=$1 from=$2 to=$3 && set -- && for entry in "$from"/* "$from"/.[!.]* "$from"/..?*; do
    if [ ! -e "$entry" ] && [ ! -L "$entry" ] || { [ "$which" = files ] && is_dir "$entry"; }; then continue; fi
    set -- "$@" "$entry" && [ $# -lt 100 ] || { mv -f -- "$@" "$to/" && set --; } || return 1; done
  [ $# -eq 0 ] || mv -f -- "$@" "$to/"
}
clear_stages() { # what an interrupted guard left beside and below the tracked paths. A note tells, unless the power was cut
  if [ ! -s "$tx/stages" ] && same_boot; then return; fi
  while IFS= read -r path; do nearest "$path" && [ ! -e "$dir/.savepoint.$id" ] || rm -rf "$dir/.savepoint.$id"; done <"$tx/tracked"
  present stages_within && true >"$tx/stages"
} 2>/dev/null
stages_within() { find "$@" -xdev -type d -name ".savepoint.$id" -prune -exec rm -rf -- {} +; }
same_boot() { read -r armed 2>/dev/null <"$tx/armed" && [ "$armed" = "$boot" ]; }
# compare NOW CHANGED GONE ADDED: what differs between the backup and NOW, and how to undo it, as lists in work/:
#   report  "path WORD PATH": what changed, is gone, was added   edited  by someone else; only looked for where $find is set
#   text.a text.b  what to show of then and of now   secret  what not to   same  files nobody touched, unless they are doubted
#   way.files way.dirs  what must go   need.N files.N  what must come from the backup, through the stage.N of the Nth mount
#   whole.N  directories moved whole   parents.N  of moved entries   spare.N  hard links that stay   dirs  with moved times
compare() {
  [ ! -e "$work/stage.1" ] || rm -f "$work"/*.[0-9]* || return 1
  for name in report edited secret text.a text.b same way.files way.dirs dirs; do true >"$work/$name" || return 1; done
  written=$tx/written && [ -e "$written" ] || written=$tx/before; keeping
  awk -F "$TAB" -v to="$work/" -v find="$find" -v keep="$keep" -v changed="$2" -v gone="$3" -v added="$4" -v stage="/.savepoint.$id" '
    function put(list, p) { print p >(to list) } function up(p) { sub(/\/?[^\/]*$/, "", p); return p }
    function secret(line, f, q) { split(line, f, FS); for (q = up(f[10]); q != ""; q = up(q)) if (q in closed) return 1
      return f[1] == "f" && f[2] !~ /[4-7]$/ }
    function text(line, f) { split(line, f, FS); return line == "" || f[1] == "f" && f[5] <= 1048576 }
    function show(p, a, b) { if (shown++ >= 100) return; if (secret(a) || secret(b)) put("secret", substr(p, 2))
      else if (text(a) && text(b)) { if (a) put("text.a", p); if (b) put("text.b", p) } }
    function theirs(p) { if (find && p in edited) put("edited", p); return keep && p in edited }
    function clear(p) { put((p in dir) ? "way.dirs" : "way.files", p); moved[up(p)] }
    function additions() { for (p in now) if (!(p in was)) {
      put("report", "path " added " " substr(p, 2)); if (!(p in dir)) show(p, "", now[p])
      if (!theirs(p)) clear(p) } }
    function bring(p, spare, q, m) {
      for (q = p; q != "" && !(q in mount); q = up(q));
      if (!((m = mount[q]) in nth)) { nth[m] = ++mounts; put("stage." mounts, up(q) stage) }
      m = nth[m]; put("need." m, p); if ($1 == "f") put("files." m, p)
      if (spare) { put("spare." m, p); return }
      if (p in lost) put("whole." m, p)
      if (!(up(p) in got)) { got[up(p)]; put("parents." m, up(p)) } }
    pass == "c" && changed != "restored" { exit }
    pass == "t" { root[FNR] = "." $0; next } pass == "m" { mount[root[FNR]] = $0; next } pass == "h" { closed[$0]; next }
    (pass == "n" || pass == "b") && $1 == "d" && $2 !~ /[1357]$/ { closed[$10] } pass == "w" { wrote[$10] = $0; next }
    pass == "d" { doubted[$0]; next } pass == "e" { edited[$0]; next }
    pass == "n" { now[$10] = $0; if ($1 == "d") dir[$10]
      if (find && !($10 in wrote && ($1 == "d" ? wrote[$10] ~ /^d/ : wrote[$10] == $0))) edited[$10]; next }
    pass == "b" { p = $10; was[p]; same = p in now && now[p] == $0; there = p in now && !(p in dir)
      if (find && same) delete edited[p]; else if (find && p in wrote && !(p in now)) edited[p]
      if ($1 == "d" && p in dir) { if (!same) moved[p]; next }
      if ($1 == "d") { if (theirs(p)) next; wanted[p]; lost[p]; moved[up(p)]; if (there) { show(p, "", now[p]); clear(p) }; next }
      if (same && !(p in doubted)) { if ($1 == "f") put("same", p); next }
      if (!same) { put("report", "path " (p in now ? changed : gone) " " substr(p, 2)); show(p, $0, there ? now[p] : "") }
      if (!theirs(p)) { wanted[p]; moved[up(p)]; if ($1 == "f") link[$7, $8]; if (p in dir) clear(p) }; next }
    !done++ { additions() } $10 in wanted { bring($10) } !($10 in wanted) && $1 == "f" && ($7, $8) in link { bring($10, 1) }
    $1 == "d" && ($10 in moved || $10 in lost) { put("dirs", $10) }
    END { if (!done) additions() }' pass=t "$tx/tracked" pass=m "$tx/mounts" pass=h "$tx/above" ${find:+pass=w "$written"} \
    ${doubted:+pass=d "$work/doubted"} ${kept:+pass=e "$tx/edited"} pass=n "$1" pass=b "$tx/before" pass=c "$tx/before"
}
copy_parents() { cp --parents -- "$@" "$work/b/"; }
# show_diff FROM TO: what the job changed (a to b), or what a rollback undoes (b to a): 100 files of 1 MiB at most. The
show_diff() { # bytes of a file that not everyone may read are never shown: they may hold a password
  command -v diff >/dev/null || return 0
  while IFS= read -r path; do echo "diff $path: not everyone may read it, so it is not shown"; done <"$work/secret"
  if [ ! -s "$work/text.a" ] && [ ! -s "$work/text.b" ]; then return; fi; { [ ! -e "$work/a" ] || rm -rf "$work/a" "$work/b"; } && mkdir "$work/a" "$work/b" && unpack "$work/a" "$work/text.a" &&
    on "$work/text.b" copy_parents && (cd "$work" && diff -ruN "$1" "$2") |
    awk 'NR > 20000 { exit } /^diff -ruN / { next } /^(---|\+\+\+) [ab]\// { sub(/\t.*/, "") } { print }'
  rm -rf "$work/a" "$work/b" # or it would take the room that a rollback needs
} 2>/dev/null
# ---- decide ----------------------------------------------------------------------------------------------------------
decide() { # WORD WHO: a record made once: linking a synced file makes it, whole, or finds that someone was first
  if [ ! -e "$tx/decision" ]; then
    echo "$1 $2" >"$tx/decision.$$" && sync "$tx/decision.$$" || return 1
    ln "$tx/decision.$$" "$tx/decision" 2>/dev/null || [ -e "$tx/decision" ] || return 1
  fi
  sync "$tx" && decision='' && { read -r decision by <"$tx/decision" || [ -n "$decision" ]; } && { [ "$decision" = commit ] || decision=rollback; }
}
commit() { # what the tracked paths hold by now, whoever wrote it, is made durable, then decided for
  read_request && lock && mine && { [ -e "$tx/armed" ] || undecided; }
  [ -e "$tx/decision" ] || { clear_stages && flush_tracked; } || fail host-write-failed 'the tracked paths are not durable'
  settle commit
}
rollback() {
  read_request && mine full; kill_job; rm -rf "$tx/reserve"; lock # the job that filled the disk goes before the reserve is freed
  [ -e "$tx/armed" ] || { discard; ok id "$id" decision rollback by "${reason:-controller}" outcome rolled-back; echo; return; }
  settle rollback
}
settle() { # WORD: decides, carries out what is decided, and answers
  decide "$1" "${reason:-controller}" || fail host-write-failed 'the decision could not be recorded'
  conclude || fail host-write-failed "$decision is decided, but could not be carried out yet; the watchdog goes on trying"
  ok id "$id" decision "$decision" by "$by" outcome "$outcome" && tell "$tx"; echo; cat "$tx/diff" 2>/dev/null
}
conclude() { # anyone may run it, again, after it was killed anywhere. The marker goes last: the rest is found by it
  outcome_of "$tx" && case $outcome in '' | rollback-failed)
    { [ ! -e "$tx/reserve" ] || rm -rf "$tx/reserve"; } && { [ -d "$work" ] || mkdir -p "$work"; }
    if [ "$decision" = rollback ]; then restore || return 1
    else outcome=committed && look "$work/now" && compare "$work/now" changed removed added && sort "$work/report" >"$tx/report" &&
      show_diff a b >"$tx/diff"; fi
    packages >"$work/packages" && packages_changed >"$tx/packages.changed"; put "$tx/outcome" "$outcome" || return 1 ;;
  esac
  clear_stages; leftovers "$tx" "$work" "$tx/reserve" "$tx/run" && { prune; leave; } && sync "$tx" "$state"
}
outcome_of() { read -r outcome 2>/dev/null <"$1/outcome" || outcome=''; }
packages_changed() { cmp -s "$tx/packages" "$work/packages" || awk 'pass == 1 { was[$0]; next } $0 in was { delete was[$0]; next }
  { print "package + " $0 } END { for (one in was) print "package - " one }' pass=1 "$tx/packages" pass=2 "$work/packages" | sort -k 3; }
tell() { cat "$1/report" "$1/packages.changed"; warnings "$1"; } 2>/dev/null
prune() { # ended transactions are kept for audit up to a number, an age and a size
  set -- "$state"/tx/* && [ $# -gt 1 ] || return 0
  left=$# kib=$(du -sk "$state/tx") && kib=${kib%%[!0-9]*}; old=$(find "$state/tx" -mindepth 2 -maxdepth 2 -name outcome -mtime +$KEEP_DAYS)
  [ $left -gt $KEEP ] || [ "${kib:-0}" -gt $KEEP_KIB ] || [ -n "$old" ] || return 0
  ls -tr "$state/tx" | while IFS= read -r past; do past=$state/tx/$past && outcome_of "$past"
    case $past:$outcome in "$tx":* | *: | *:rollback-failed) continue ;; esac
    case $NL$old$NL in *"$NL$past/outcome$NL"*) ;; *) [ "$left" -gt $KEEP ] || [ "${kib:-0}" -gt $KEEP_KIB ] || continue ;; esac
    forget "$past" && left=$((left - 1)); [ "${kib:-0}" -le $KEEP_KIB ] || { kib=$(du -sk "$state/tx") && kib=${kib%%[!0-9]*}; }; done
}
# ---- restore ---------------------------------------------------------------------------------------------------------
restore() { # every tracked path as it was, proved. After a reboot, or a failed attempt, times prove nothing of bytes
  for attempt in 1 2 3; do
    kill_job; clear_stages; unmount; look "$work/now" && remove_odd && find_edits && compare "$work/now" restored restored removed || continue
    [ -e "$tx/diff" ] || { keep_edits && sort "$work/report" >"$tx/report" &&
      show_diff b a >"$work/diff" && mv -f "$work/diff" "$tx/diff"; } || continue
    { [ $attempt = 1 ] && same_boot; } || doubt || continue
    put_back 2>"$work/errors" && restore_directories && { verify || { each "$work/extra" drop && restore_directories && verify; }; } && flush_tracked || continue
    if [ -s "$tx/edited" ]; then outcome=conflict; else outcome=rolled-back; fi; refresh_and_probe
    ! read -r _ held _ 2>/dev/null <"$state/quarantine" || [ "$held" != "$id" ] || rm -f "$state/quarantine"; return
  done; outcome=rollback-failed why="transaction $id could not be rolled back: $(cat "$work/differences" "$work/errors" 2>/dev/null | head -n 3 | tr '\n\t\001' ';  ')"
  echo "$why" >>"$tx/warnings"; put "$state/quarantine" "$why"
}
keeping() { keep='' && read -r resolve <"$tx/on_conflict" && { [ "$resolve" != keep ] || keep=yes; }; }
# remove_odd: names that no list can hold cannot have been there at the backup; pipes, sockets and devices are removed unless they were.
remove_odd() {
  [ ! -s "$work/now.odd" ] || { present remove_named && look "$work/now"; } || return 1
  if [ ! -s "$work/now.other" ]; then return; fi; awk 'pass == 1 { was[$0]; next } !($0 in was)' pass=1 "$tx/before.other" pass=2 "$work/now.other" >"$work/other"
  [ ! -s "$work/other" ] || { each "$work/other" rm -f -- && look "$work/now"; }
}
unmount() { while point=$(mounted) && [ -n "$point" ]; do killed=yes && umount "$point" || umount -l "$point" || break; done; } 2>/dev/null # what the job left
remove_named() { if [ "$tools" != gnu ]; then find "$@" -xdev -depth -name "*[$ODD$TAB$NL]*" -exec rm -rf -- {} +; return; fi
  find "$@" -xdev -depth \( -name "*[$ODD]*" -o -lname "*[$ODD]*" \) -exec rm -rf -- {} +
}
# find_edits: what is neither in the backup nor the transaction's was edited by someone else, and is kept in theirs/. After
find_edits() { # a crash what was written last may be lost: nobody can say whose an edit was; nor while the job is at work
  kept='' find='' && if [ -e "$tx/diff" ]; then kept=yes; elif [ ! -s "$tx/running" ] && [ -z "${killed:-}" ] && same_boot; then find=yes; fi
}
keep_edits() { # with a warning each
  true >"$tx/edited" || return 1; [ -s "$work/edited" ] || return 0
  sort "$work/edited" >"$work/all" && rm -rf "$tx/theirs" && mkdir "$tx/theirs" || return 1
  awk 'pass == 1 { edited[$0]; next } $0 in edited' pass=1 "$work/all" pass=2 "$work/now.paths" >"$work/theirs"
  said="their version is $tx/theirs" && { [ ! -s "$work/theirs" ] || { [ "$tools" = gnu ] && pack "$work/theirs" "$work/theirs.tar" &&
    tar -xpf "$work/theirs.tar" -C "$tx/theirs"; }; } || { rm -rf "$tx/theirs" && said='their version could not be kept'; }
  rm -f "$work/theirs.tar" && said=$said awk 'pass == 1 { there[$0]; next } { p = substr($0, 2); print "edited by someone else: " p "; " \
    (!($0 in there) ? "they removed it" : ENVIRON["said"] (ENVIRON["said"] ~ /kept$/ ? "" : p)) }' \
    pass=1 "$work/theirs" pass=2 "$work/all" >>"$tx/warnings" && mv -f "$work/all" "$tx/edited"
}
doubt() { # files that hash otherwise than they did are taken for touched, and nothing stays immutable
  present thaw 2>/dev/null
  find='' doubted='' kept=yes && look "$work/now" && compare "$work/now" restored restored removed &&
    digests "$work/same" >"$work/hashes" && otherwise "$work/same" "$work/hashes" >"$work/doubted" &&
    doubted=yes && compare "$work/now" restored restored removed
}
thaw() { [ -z "$(frozen "$@")" ] || find "$@" -xdev \( -type f -o -type d \) -exec chattr -f -ia -- {} +; }
put_back() { # what was touched is staged on its own mount, proved by hash, made durable and renamed into place
  while IFS= read -r path && parent=.${path%/*}; do
    [ -d "$parent" ] || grep -q -x -F -e "$parent" "$tx/absent" || (umask 022 && mkdir -p "$parent") || return 1
    [ ! -d "$parent" ] || straight "$parent" || { echo "${parent#.} is not where it was, but $real" >&2; return 1; }
  done <"$tx/tracked"
  clear_way && nth=1 && while [ -e "$work/stage.$nth" ]; do put_back_on "$nth" || return 1; nth=$((nth + 1)); done
}
clear_way() {
  on "$work/way.files" rm -f -- 2>/dev/null; each "$work/way.dirs" remove_tree || return 1; on "$tx/absent" rmdir -- 2>/dev/null || :
}
remove_tree() { ! is_dir "$1" || { find "$1" -xdev ! -type d -exec rm -f -- {} + && find "$1" -xdev -depth -exec rmdir -- {} +; }; }
put_back_on() { # N: from one stage on the Nth mount, since a rename cannot leave it
  IFS= read -r stage <"$work/stage.$1" && echo yes >"$tx/stages" && { [ ! -e "$stage" ] || rm -rf "$stage"; } || return 1
  mkdir "$stage" && unpack "$stage" "$work/need.$1" && staged_well "$work/files.$1" && flush "$stage/" || return 1
  [ ! -e "$work/spare.$1" ] || (cd "$stage" && on "$work/spare.$1" rm -f --) || return 1
  [ ! -e "$work/whole.$1" ] || each "$work/whole.$1" move_whole || return 1
  each "$work/parents.$1" move_back && find "$stage" -depth -exec rmdir -- {} + && true >"$tx/stages" # a file in it would have been passed over
}
move_whole() { [ ! -d "$stage/$1" ] || is_dir "$1" || mv -f -T "$stage/$1" "$1"; }
move_back() { [ ! -d "$stage/$1" ] || move_entries files "$stage/$1" "$1"; }
staged_well() { # FILES: what came out of the backup has the bytes that went in
  [ ! -e "$1" ] || { (cd "$stage" && digests "$1") >"$work/hashes" && otherwise "$1" "$work/hashes" >"$work/wrong" && [ ! -s "$work/wrong" ]; }
}
restore_directories() { # last, since a rename inside one moves its times
  if [ "$tools" = gnu ]; then unpack . "$work/dirs"; return; fi
  awk -F "$TAB" 'NR == FNR { dir[$0]; next } $1 == "d" && $10 in dir { print $2, $3 ":" $4, $6, $10 }' "$work/dirs" "$tx/before" |
    while read -r mode owner time name; do chown "$owner" "$name" && chmod "$mode" "$name" && touch -d "@$time" "$name"; done
}
# drop ATTRIBUTE-TAB-NAME: an archive can only add attributes to directories that are there: others go.
drop() { ! is_dir "${1#*"$TAB"}" || setfattr -h -x "${1%%"$TAB"*}" -- "${1#*"$TAB"}"; }
verify() { # bytes were hashed before they were renamed, and those of what was not restored when they were doubted
  point=$(mounted) && [ -z "$point" ] || { echo "$point is a mount point" >"$work/differences"; return 1; }
  keeping; true >"$work/dirs" && true >"$work/extra" && look "$work/now" && attributes "$work/now.paths" "$work/attributes" && awk -F "$TAB" -v keep="$keep" -v dirs="$work/dirs" -v extra="$work/extra" '
    function key() { return $1 " " $2 " " $3 " " $4 " " $5 " " $6 " " $9 }
    function differs(p, text) { if (keep && (p in edited || p in dir)) return; bad = 1; print substr(p, 2) ": " text; if (p in dir) print p >dirs }
    pass == "e" { edited[$0]; next } pass == "a" { had[$1] = $0; next } pass == "b" { if ($1 == "d") dir[$10]; was[$10] = key(); next }
    pass == "n" { if (!($10 in was)) differs($10, "was not there"); else if (was[$10] != key()) differs($10, key() ", not " was[$10])
      delete was[$10]; next }
    had[$1] != $0 { differs($1, "other attributes"); if ($1 in dir) for (i = 2; i <= NF; i++) { sub(/=.*/, "", $i); print $i FS $1 >extra } }
    { delete had[$1] }
    END { for (p in was) differs(p, "is gone"); for (p in had) differs(p, "has lost its attributes"); exit bad }' pass=e "$tx/edited" \
    pass=b "$tx/before" pass=a "$tx/attributes" pass=n "$work/now" pass=x "$work/attributes" >"$work/differences" && [ ! -s "$work/differences" ]
}
refresh_and_probe() { # caches must keep nothing from the patch's mirror; at boot, with no network, a probe says nothing
  for what in refresh probe; do while IFS= read -r command; do
    if [ -z "$command" ] || [ "$what$by" = probeboot ] || in_time sh -c "$command" </dev/null >"$work/log" 2>&1; then continue; fi
    outcome=rolled-back-unhealthy && echo "$what failed: $command: $(tail -n 1 "$work/log" | tr -d '\r\001')" >>"$tx/warnings"
  done <"$tx/$what"; done
}
in_time() { ! command -v timeout >/dev/null || set -- timeout $PATIENCE "$@"; SAVEPOINT_ROOT=${root:-/} "$@"; }
# ---- lease, watchdog, recovery ---------------------------------------------------------------------------------------
# lease_write: until when the host waits for a sign of life. Another boot id means it is over, so it need not survive.
lease_write() { read -r seconds <"$tx/seconds" && until_in "$seconds" lease; }
until_in() { clock && echo "$boot $((now + $1))" >"$tx/$2.$$" && mv -f "$tx/$2.$$" "$tx/$2"; }
lease_left() { # TX: sets left to the seconds until the lease or the deadline ends, whichever is first, or 0
  read -r since end 2>/dev/null <"$1/lease" && read -r _ last 2>/dev/null <"$1/deadline" && [ "$since" = "$boot" ] && clock &&
    left=$(((end < last ? end : last) - now)) && [ "$left" -gt 0 ] || left=0
}
renew() { # a sign of life; `running` says that a phase on the controller, which may write here too, begins or ended
  read_request && mine && undecided && lease_write || unwritten "$tx/lease"
  case $running in yes) echo yes >"$tx/running" ;; no) wrote ;; esac
  lease_left "$tx" && ok id "$id" lease_left "$left" boot "$boot" && echo
}
wrote() { look "$tx/written.$$" && mv -f "$tx/written.$$" "$tx/written" && true >"$tx/running"; } # what is there now is the job's, not someone else's
own_path() { self=$state/guard/$guard/guard && [ -e "$self" ] || self=$0; } # sudo runs this as /dev/fd/N, so $0 is the last resort
systemd() { [ -d /run/systemd/system ] && is_root; }
watchdog_start() { # PID 1 owns it where there is systemd: logind kills what a session leaves behind
  own_path && set -- "$self" watch "$root" "$state" "$id"
  if systemd; then
    systemd-run --quiet --collect --unit="savepoint-$id" -p DefaultDependencies=no -p Restart=on-failure -p RestartSec=1 \
      -p StartLimitIntervalSec=0 -p RestartForceExitStatus='SIGTERM SIGHUP SIGINT SIGPIPE' /bin/sh "$@" >/dev/null 2>&1
  else (cd / && exec setsid env -i PATH="$PATH" HOME="${HOME:-/}" /bin/sh "$@" </dev/null >/dev/null 2>&1 &); fi
}
boot_recovery_install() { # for the host's own root: ends open transactions before the network is up and anyone can log in
  if [ -n "$root" ] || ! is_root; then return 0; fi
  own_path && wanted="exec /bin/sh $self boot \"\" $state"
  { IFS= read -r line 2>/dev/null <"$state/boot" && [ "$line" = "$wanted" ]; } || put "$state/boot" "$wanted" || return 1
  units=/etc/systemd/system unit=savepoint-recover.service
  if systemd; then [ ! -e $units/sysinit.target.wants/$unit ] || return 0
    mkdir -p $units/sysinit.target.wants && put $units/$unit "$(printf '%s\n' '[Unit]' 'Description=End Savepoint transactions open when the host went down' \
      'DefaultDependencies=no' 'After=local-fs.target systemd-remount-fs.service' 'Before=sysinit.target network-pre.target ssh.service sshd.service' \
      '[Service]' 'Type=oneshot' "ExecStart=/bin/sh $state/boot" '[Install]' 'WantedBy=sysinit.target')" &&
      chmod 644 $units/$unit && ln -sf ../$unit $units/sysinit.target.wants/$unit && sync $units $units/sysinit.target.wants
  elif [ -e /etc/runlevels/default/local ]; then # OpenRC runs what is in local.d
    put /etc/local.d/savepoint.start "#!/bin/sh$NL/bin/sh $state/boot" && chmod 755 /etc/local.d/savepoint.start
  elif [ -d /etc/cron.d ] && { command -v cron || command -v crond; } >/dev/null; then
    put /etc/cron.d/savepoint "@reboot root /bin/sh $state/boot" && chmod 644 /etc/cron.d/savepoint
  else echo 'nothing here starts recovery at boot: after a power loss it waits for the next begin or a person' >>"$tx/warnings"; fi
}
watch() { # the watchdog. Ends with its transaction
  while [ -e "$tx/token" ] && [ ! -e "$tx/outcome" ]; do
    if lease_left "$tx" && [ "$left" -eq 0 ] || [ -e "$tx/decision" ]; then (finish watchdog); fi; sleep 1; done
}
finish() { # WHO: brings the transaction to its end without its controller. A lease that is over is over: the job goes
  if [ "$1" = boot ] && resume; then return; fi
  kill_job; rm -rf "$tx/reserve"; lock; outcome_of "$tx" # a watchdog that waited for a rollback that failed does not try it again
  if [ ! -e "$tx/armed" ] || [ ! -e "$tx/token" ]; then discard; elif [ "$1.$outcome" != watchdog.rollback-failed ]; then decide rollback "$1" && conclude; fi; unlock
}
resume() { # a phase has said that the host may reboot: the lease runs from here, for as long as it said
  [ -e "$tx/armed" ] && [ ! -e "$tx/decision" ] && read -r away left 2>/dev/null <"$tx/reboot" &&
    put "$tx/reboot" "$away $((left - away))" && until_in "$left" deadline && until_in "$away" lease && watchdog_start
}
by_its_guard() { # ID WHO: a transaction is always ended by the very guard that opened it
  read -r opener 2>/dev/null <"$state/tx/$1/guard" && opener=$state/guard/$opener/guard && [ -f "$opener" ] || opener=$0
  /bin/sh "$opener" finish "$root" "$state" "$1" "$2"
}
unfinished() { # the ids of transactions that have not come to their end
  read -r held 2>/dev/null <"$state/open" || held=''
  set -- "$state"/tx/* && [ -e "$1" ] || set -- "$state"/tx/*; for one; do outcome_of "$one" && case $outcome:$held in
    :* | rollback-failed:* | *:"${one##*/}") [ ! -d "$one" ] || echo "${one##*/}" ;; esac; done
}
boot() { for one in $(unfinished); do by_its_guard "$one" boot; done; }
recover() { # what a person asks for: end whatever is open here, whoever holds it
  read_request && ended=$(unfinished) && { [ "$reason" != boot ] || reason=recover; }
  for one in $ended; do by_its_guard "$one" "${reason:-recover}" >/dev/null 2>&1; done
  ok && for one in $ended; do outcome_of "$state/tx/$one"; [ -n "$outcome" ] || [ ! -e "$state/tx/$one/armed" ] || outcome=rollback-failed; echo "ended $one ${outcome:-rolled-back}" && tell "$state/tx/$one"; done
  echo && for one in $ended; do cat "$state/tx/$one/diff" 2>/dev/null; done
}
status() { # what is here. Needs no token and changes nothing
  read_request && ok guard_version "$VERSION"
  if read -r held 2>/dev/null <"$state/open"; then
    lease_left "$state/tx/$held" && printf 'open %s\nlease_left %s\n' "$held" "$left"
    for what in holder since decision; do sed "s/^/$what /" "$state/tx/$held/$what"; done 2>/dev/null
    sed 's/^/track /' "$state/tx/$held/tracked" 2>/dev/null
  fi
  sed 's/^/quarantine /' "$state/quarantine" 2>/dev/null
  for one in "$state"/tx/*; do [ ! -e "$one/outcome" ] || echo "past ${one##*/} $(cat "$one/since") $(cat "$one/outcome") $(cat "$one/holder")"; done
  echo
}
clear() { # a person has looked at the host; it may be used again
  read_request && for one in "$state"/tx/*; do outcome_of "$one" && [ "$outcome" != rollback-failed ] || put "$one/outcome" 'rollback-failed, cleared'; done
  rm -f "$state/quarantine" && sync "$state" && ok && echo || unwritten
}
# ---- the job's processes ---------------------------------------------------------------------------------------------
run_phase() { # starts the shell text that follows, unless it was before; passes on its output from a byte onwards
  read_request && lock && mine && undecided; spool=$tx/run/$phase
  if [ ! -d "$spool" ]; then
    { [ ! -e "$spool.new" ] || rm -rf "$spool.new"; } && mkdir -p "$spool.new" && true >"$spool.new/out" && true >"$spool.new/err" &&
      printf '%4096s' '' >"$spool.new/ended" && echo yes >"$tx/running" && read -r _ last <"$tx/deadline" && clock || unwritten "$spool"
    [ "$reboot" -eq 0 ] || put "$tx/reboot" "$reboot $((last - now))" || unwritten "$tx/reboot"
    mv "$spool.new" "$spool" && exec 3<&0 || unwritten "$spool"
    own_path && set -- /bin/sh "$self" supervise "$root" "$state" "$id" "$phase" "$job_path"
    if systemd; then set -- systemd-run --quiet --scope --collect --unit="savepoint-$id-job-$$" -p TimeoutStopSec=$GRACE "$@"
    elif command -v setsid >/dev/null; then set -- setsid "$@"; fi
    (umask "$job_umask" && export SAVEPOINT_TRANSACTION="$id" && exec "$@" <&3 3<&- >/dev/null 2>>"$spool/err") &
    life_of $! && echo "$life" >"$spool/life" && exec 3<&-
  fi; unlock; follow
}
follow() { # its status comes behind a nonce that the job does not know; `lost` with its host or its supervisor
  printf '\n%s started\n' "$nonce" >&2
  exec 3<"$spool/out" 4<"$spool/err" && naps=0 && echo $$ >"$spool/follower"
  [ "$out.$err" = 0.0 ] || { tail -c "+$((out + 1))" <&3 && tail -c "+$((err + 1))" <&4 >&2; } || return
  while [ ! -e "$spool/status" ] && read -r lead <"$spool/life" && alive "$lead" && leads; do
    naps=$((naps + 1)) && if [ $naps -lt 9 ]; then sleep 0.004; elif [ $naps -lt 40 ]; then sleep 0.01; else sleep 0.2; fi
    pass_on || return; done
  leads && pass_on || return
  read -r code 2>/dev/null <"$spool/status" || code=lost
  printf '\n%s %s\n' "$nonce" "$code" >&2
}
pass_on() { { [ ! -s "$spool/out" ] || cat <&3; } && { [ ! -s "$spool/err" ] || cat <&4 >&2; }; }
leads() { read -r follower <"$spool/follower" && [ "$follower" = $$ ]; } # nobody came later to follow
supervise() { # PHASE PATH: runs it as the job's user, marked so that all its descendants can be found
  trap : TERM
  spool=$tx/run/$1 job_path=$2 && life_of $$ && { read -r lead 2>/dev/null <"$spool/life" && [ "$lead" = "$life" ] ||
    { echo "$life" >"$spool/life.new" && mv -f "$spool/life.new" "$spool/life"; }; } && text=$(cat && echo .) && [ ! -e "$tx/decision" ] || return 1
  me='' user='' && [ -z "${SUDO_USER:-}" ] || { me=$(id -un) && user=$me && [ "$user" != root ] || user=$SUDO_USER; }
  ! bound || { admit user && user=${said:-$user}; }
  mkfifo "$spool/1" "$spool/2" && { [ "$user" = "$me" ] || chown "$user" "$spool/1" "$spool/2"; } || return 1
  (trap '' TERM && exec cat <"$spool/1" >>"$spool/out") & one=$!
  (trap '' TERM && exec cat <"$spool/2" >>"$spool/err") & two=$!
  set -- env SAVEPOINT_TRANSACTION="$id" SAVEPOINT_ROOT="${root:-/}" PATH="$job_path" /bin/sh -s
  # Not through PAM where that can be had: it would move the phase out of its scope into a session's.
  if [ "$user" = "$me" ]; then :; elif command -v runuser >/dev/null; then set -- runuser -u "$user" -- "$@"
  else set -- su -s /bin/sh "$user" -c "exec env SAVEPOINT_TRANSACTION=$id SAVEPOINT_ROOT='${root:-/}' /bin/sh -s"; fi
  (umask "$job_umask" && cd / && say "${text%.}" | "$@" >"$spool/1" 2>"$spool/2")
  code=$? naps=0 # when the host goes down with it, which it may, it has no status and is not over
  ! systemd || [ ! -e "$tx/reboot" ] || case $(trap '' TERM && systemctl is-system-running 2>/dev/null) in
    initializing | starting | running | degraded | maintenance) ;; *) return ;; esac
  while life_of $one && [ -n "$life" ] || { life_of $two && [ -n "$life" ]; } && [ $naps -lt 40 ]; do naps=$((naps + 1)) && sleep 0.02; done
  [ -e "$tx/decision" ] || [ $code -gt 128 ] || wrote 2>/dev/null
  [ ! -e "$tx/reboot" ] || { rm -f "$tx/reboot" && sync "$tx"; } && echo $code 1<>"$spool/ended" && mv -f "$spool/ended" "$spool/status" # in its room
}
kill_job() { # nothing of the job may go on writing. TERM, a grace, then KILL, until none is left
  unit="savepoint-$id-job-*.scope" && ! systemd || [ -z "$(systemctl list-units --no-legend "$unit")" ] || { killed=yes; systemctl stop "$unit"; }
  for signal in TERM KILL; do
    waited=0 && while job_pids && [ $waited -lt $((GRACE * 10)) ]; do
      # shellcheck disable=SC2086 # one word a process
      [ $((waited % 10)) -ne 0 ] || kill -s $signal $pids 2>/dev/null; killed=yes waited=$((waited + 1)) && sleep 0.1
    done
    [ -n "$pids" ] || return 0; done
}
job_pids() { # sets pids to those that have the mark of this transaction. With -F busybox looks no further than the first NUL
  set -- /proc/[0-9]*/environ && [ -e "$1" ] || set -- /proc/[0-9]*/environ # a list that could not be read looks like none
  pids='' && for pid in $(grep -l "SAVEPOINT_TRANSACTION=$id" "$@" 2>/dev/null); do
    pid=${pid#/proc/} && pid=${pid%/environ} && [ "$pid" = $$ ] || pids="$pids $pid"; done
  [ -n "$pids" ]
}
# ---- verbs -----------------------------------------------------------------------------------------------------------
case ${1:-} in
  begin | apply | renew | commit | rollback | status | recover | clear) "$1" ;;
  exec) run_phase ;;
  kill) read_request && mine && kill_job && ok id "$id" && echo ;;
  watch | finish | boot | supervise) guard='' root=$2 state=$3 id=${4:-} && place && "$1" "${5:-}" "${6:-}" ;;
  version) echo $VERSION ;;
  *) fail guard-protocol "unknown verb '${1:-}': begin apply exec kill renew commit rollback status recover clear are known" ;;
esac
unlock
