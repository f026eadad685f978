const __importMetaUrl = require("node:url").pathToFileURL(__filename).href;
"use strict";var __create=Object.create;var __defProp=Object.defineProperty;var __getOwnPropDesc=Object.getOwnPropertyDescriptor;var __getOwnPropNames=Object.getOwnPropertyNames;var __getProtoOf=Object.getPrototypeOf,__hasOwnProp=Object.prototype.hasOwnProperty;var __knownSymbol=(name,symbol)=>(symbol=Symbol[name])?symbol:Symbol.for("Symbol."+name),__typeError=msg=>{throw TypeError(
msg)};var __esm=(fn,res,err)=>function(){if(err)throw err[0];try{return fn&&(res=(0,fn[__getOwnPropNames(fn)[0]])(fn=0)),res}catch(e){
throw err=[e],e}};var __commonJS=(cb,mod)=>function(){try{return mod||(0,cb[__getOwnPropNames(cb)[0]])((mod={exports:{}}).exports,mod),mod.
exports}catch(e){throw mod=0,e}};var __export=(target,all)=>{for(var name in all)__defProp(target,name,{get:all[name],enumerable:!0})},__copyProps=(to,from,except,desc)=>{
if(from&&typeof from=="object"||typeof from=="function")for(let key of __getOwnPropNames(from))!__hasOwnProp.call(to,key)&&
key!==except&&__defProp(to,key,{get:()=>from[key],enumerable:!(desc=__getOwnPropDesc(from,key))||desc.enumerable});return to};var __toESM=(mod,isNodeMode,target)=>(target=mod!=null?__create(__getProtoOf(mod)):{},__copyProps(isNodeMode||!mod||!mod.
__esModule?__defProp(target,"default",{value:mod,enumerable:!0}):target,mod));var __using=(stack,value,async)=>{if(value!=null){typeof value!="object"&&typeof value!="function"&&__typeError("Object \
expected");var dispose,inner;async&&(dispose=value[__knownSymbol("asyncDispose")]),dispose===void 0&&(dispose=value[__knownSymbol(
"dispose")],async&&(inner=dispose)),typeof dispose!="function"&&__typeError("Object not disposable"),inner&&(dispose=function(){
try{inner.call(this)}catch(e){return Promise.reject(e)}}),stack.push([async,dispose,value])}else async&&stack.push([async]);
return value},__callDispose=(stack,error2,hasError)=>{var E=typeof SuppressedError=="function"?SuppressedError:function(e,s,m,_){
return _=Error(m),_.name="SuppressedError",_.error=e,_.suppressed=s,_},fail=e=>error2=hasError?new E(e,error2,"An error \
was suppressed during disposal"):(hasError=!0,e),next=it=>{for(;it=stack.pop();)try{var result=it[1]&&it[1].call(it[2]);
if(it[0])return Promise.resolve(result).then(next,e=>(fail(e),next()))}catch(e){fail(e)}if(hasError)throw error2};return next()};var define_SAVEPOINT_default,init_define_SAVEPOINT=__esm({"<define:__SAVEPOINT__>"(){define_SAVEPOINT_default={version:"\
0.1.0",pin:{version:"1.2.2",sha256:"ee407193b8d745c2c6f5525b880beb4d725ab56d587e127119a1fc91fa0b1ec3"},guards:{order:["1\
.0.0","1.0.1","1.0.2","1.1.0","1.2.0","1.2.1","1.2.2"],text:`#!/bin/sh
# Savepoint guard: makes changes to the tracked paths of this host a transaction.
# The only program that ever touches a tracked path. It reads one request on standard input, takes the steps of one
# verb, each durable before the next, and answers on standard output (docs/guard-protocol.md). It may be killed at
# any point: whoever runs it next, the watchdog, the boot or a person, brings the transaction to its end. Anything but
# a durable \`commit\` in the decision file means that every tracked path goes back to what it was.
# State in /var/lib/savepoint (0700), or below the root it was given, or in a directory of their own for other users:
#   guard/<sha256>/guard   this program        open         id of the open transaction
#   tx/<id>/               a transaction       quarantine   why no transaction may begin
# shellcheck disable=SC2012,SC2013 # ids of transactions and numbers of processes are plain words
# shellcheck disable=SC2015,SC2034 # in "a && b || fail" either is meant; eval sets what seems unused
set -u && case \${1:-} in exec | supervise) job_umask=$(umask) ;; esac
job_path=$PATH && umask 077
export LC_ALL=C TZ=UTC PATH=/usr/sbin:/usr/bin:/sbin:/bin
unset SAVEPOINT_RUN CDPATH ENV BASH_ENV IFS TMPDIR TAR_OPTIONS POSIXLY_CORRECT LD_PRELOAD LD_LIBRARY_PATH uid
VERSION=1.2.2 PROTOCOL=1 POLICY=/var/lib/savepoint/policy
LOCK_WAIT=600 GRACE=5 PATIENCE=300   # seconds: for another guard at work; from TERM to KILL; for a refresh or a probe
KEEP=20 KEEP_DAYS=30 KEEP_KIB=262144 # ended transactions kept for audit: so many, so old, so large together
ODD=$(printf '\\001\\002\\003\\t') && TAB=\${ODD#???} && ODD=\${ODD%?} NL='
'
# ---- requests and answers --------------------------------------------------------------------------------------------\

read_request() { # lines "key value" up to an empty one; \`read\` takes single bytes, so the verb can read all that follow\
s
  id='' token='' fence=0 guard='' root='' state_dir='' holder='' lease=120 deadline=21600 on_conflict=backup degraded=no\

  reason='' running='' nonce='' phase=$$ out=0 err=0 reboot=0 track='' remove='' refresh='' probe=''
  IFS= read -r line && [ "$line" = "savepoint $PROTOCOL" ] || fail guard-protocol "the request begins '\${line:-}', not '\
savepoint $PROTOCOL'"
  while IFS= read -r line || fail guard-protocol 'the request ends within its header'; do
    key=\${line%% *} value=\${line#* } && case $key in
      '') break ;;
      track | remove | refresh | probe) eval "$key=\\$$key\\$value\\$NL" ;;
      id | token | fence | guard | root | state_dir | holder | lease | deadline | on_conflict | degraded | reason | \\
        running | nonce | phase | out | err | reboot) eval "$key=\\$value" ;;
    esac
  done
  case $id in *[!a-z0-9-]*) fail guard-protocol "the id '$id' has other characters than a-z, 0-9 and -" ;; esac
  case $guard:$phase in *[!a-f0-9]*:* | *: | *:.* | *:*[!A-Za-z0-9._-]*) fail guard-protocol "'$guard', '$phase': no dig\
est, no key" ;; esac
  case :$fence:$lease:$deadline:$out:$err:$reboot: in *[!0-9:]* | *::*) fail guard-protocol 'numbers have to be whole' ;\
; esac
  case $root in '' | /*) root=\${root%/} ;; *) fail guard-protocol "the root '$root' is not absolute" ;; esac
  admit root "$root$state_dir"; state=$root/var/lib/savepoint
  if [ -z "$root" ] && ! is_root; then state=\${state_dir:-\${XDG_STATE_HOME:-\${HOME:-}/.local/state}/savepoint}; fi; plac\
e
}
is_root() { [ -n "\${uid:=$(id -u)}" ] && [ "$uid" = 0 ]; }
place() { # all work is done from the root, by relative names ("./etc/apt"), which never begin with a dash
  find='' doubted='' kept='' && cd -P "$root/" && here=$PWD && read -r boot </proc/sys/kernel/random/boot_id || fail hos\
t-file-missing "the root $root is not there, or no /proc"
  tx=$state/tx/$id work=$state/tx/$id/work && read -r tools sync_f 2>/dev/null <"$tx/tools" || tools=gnu sync_f=''
}
# admit WHAT WORD...: where root has put a policy of the host's own there, it is asked about whoever comes by sudo.
bound() { [ -n "\${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ] && [ -e $POLICY ]; }
admit() { ! bound || said=$(/bin/sh $POLICY "$@" 2>&1) || fail guard-refused-by-host "the policy of this host: $said"; }\

case \${KSH_VERSION:-} in *MIRBSD* | *LEGACY*) say() { print -rn -- "$1"; } ;; *) say() { printf %s "$1"; } ;; esac # a p\
rogram to mksh: others see its words
echo() { printf '%s\\n' "$*"; } # some shells' own would read \\c or \\n in what a request says
# ok KEY VALUE...: the verb was done, and what there is to say; fail NAME TEXT: it is refused, by a name of the catalogu\
e.
ok() { printf 'savepoint %s ok\\n' "$PROTOCOL" && while [ $# -gt 1 ]; do printf '%s %s\\n' "$1" "$2" && shift 2; done; }
fail() { unlock; printf 'savepoint %s error %s\\nmessage %s\\n\\n' "$PROTOCOL" "$1" "$(say "$2" | tr '\\n\\001' '  ')"; exit \
1; }
unwritten() { fail host-write-failed "cannot write \${1:-below $state}"; }
mine() { # this verb may act on the transaction: it is here, and the token is right
  [ -n "$id" ] && [ -e "$tx/token" ] || fail not-open "there is no transaction '$id' on this host"
  read -r known <"$tx/token" && [ "$(say "$token" | sha256sum)" = "$known" ] || fail bad-token "the token is not that of\
 transaction $id"
  latest && [ "$fence" -eq "$seen" ] || put "$tx/fence" "$fence" || [ "\${1:-}" = full ] || unwritten "$tx/fence"
}
latest() { # nobody came later
  read -r seen <"$tx/fence" || fail host-read-failed "cannot read $tx/fence"
  [ "$fence" -ge "$seen" ] || fail fenced "a later controller (fence $seen) has taken transaction $id over"
}
undecided() { # the transaction may still be changed
  [ -e "$tx/armed" ] && [ ! -e "$tx/decision" ] || fail not-open "transaction $id is $(sed 's/^/decided: /' "$tx/decisio\
n" 2>/dev/null || echo 'not armed')"
}
# ---- durable primitives ----------------------------------------------------------------------------------------------\

# put FILE TEXT: FILE holds the text, whole and durable, or stays as it was.
put() { printf '%s\\n' "$2" >"$1.$$" && sync "$1.$$" && mv -f "$1.$$" "$1" && sync "\${1%/*}" || { rm -f "$1.$$"; return 1\
; }; }
# flush PATH...: makes the file systems of these paths durable. A sync that knows no -f flushes them all.
flush() { if [ -n "$sync_f" ]; then sync -f "$@"; else sync; fi; }
flush_tracked() { # [PATH]: the file systems of the tracked paths, and of PATH
  last='' && while IFS= read -r path; do nearest "$path" && { [ "$dir" = "$last" ] || set -- "$@" "$dir/"; } && last=$di\
r; done <"$tx/tracked"
  flush "$@"
}
nearest() { dir=.\${1%/*} && while [ ! -d "$dir" ]; do dir=\${dir%/*}; done; } # PATH: sets dir to the closest directory a\
bove it
# straight DIR: DIR is where its name says, not behind a symbolic link. Sets real.
straight() { real='' && cd -P "$1/" 2>/dev/null && real=$PWD; cd "\${here%/}/." || fail host-file-missing "the root $here\
 is gone"; [ "\${real%/}" = "\${here%/}\${1#.}" ]; }
is_dir() { [ -d "$1" ] && [ ! -L "$1" ]; }
# In our lists a name is a line; \\001 stands for a line break in it, \\002 for a tab, and \\003 for the tabs that part
# fields until they are there. lines: from NUL-ended names to such lines; names: and back.
lines() { exec tr '\\n\\000\\t\\003' '\\001\\n\\002\\t'; }
names() { tr '\\n\\001\\002' '\\000\\n\\t'; }
plain() { case $1 in *[$ODD]*) name=$(printf '%s.' "$1" | tr '\\001\\002' '\\n\\t') && name=\${name%.} ;; *) name=$1 ;; esac;\
 } # LINE: sets name
each() { list=$1 && shift && while IFS= read -r line; do plain "$line" && "$@" "$name" || return 1; done <"$list"; } # L\
IST COMMAND...: with every name
on() { # LIST COMMAND...: runs COMMAND once with all names of LIST, if there are any; COMMAND is a program where they ar\
e many
  if few "$1"; then
    from=$1 && shift && while IFS= read -r line; do plain "$line" && set -- "$@" "$name"; done <"$from"
    [ "$n" -eq 0 ] || "$@"
  else names <"$1" >"$work/names" && shift && xargs -0 "$@" <"$work/names"; fi
}
few() { n=0 && while [ $n -le 100 ] && IFS= read -r _; do n=$((n + 1)); done <"$1"; [ $n -le 100 ]; } # LIST
clock() { read -r now _ </proc/uptime && now=\${now%%.*}; } # now: seconds of the monotonic clock, which setting the date\
 does not move
life_of() { # PID: sets life to what no other process ever has, number, start (proc(5), field 22) and boot, or to nothin\
g
  life='' && read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
  # shellcheck disable=SC2086 # the fields behind the command's name are split on purpose
  set -- "$1" \${stat##*) }
  case $2 in Z | X) ;; *) life=$1.\${21}.$boot ;; esac
}
alive() { life_of "\${1%%.*}" && [ -n "$1" ] && [ "$life" = "$1" ]; }
lock() { # one guard at a time. Each puts its own name down, then looks for others: two can never both find nobody
  [ -d "$state/lock" ] || mkdir -p "$state/lock" || unwritten
  life_of $$ && locked=$state/lock/$life tries=0 && clock && since=$now
  while true >"$locked" || unwritten "$locked"; do
    holds='' listed='' && for other in "$state/lock"/*; do # a list without its own name is none: it could not be read
      if [ "$other" = "$locked" ]; then listed=yes && continue; elif [ ! -e "$other" ]; then continue; fi
      if alive "\${other##*/}"; then holds=\${life%%.*} && break; else rm -f "$other"; fi
    done
    [ -n "$holds" ] || [ -z "$listed" ] || return 0
    rm -f "$locked" && clock && [ $((now - since)) -lt $LOCK_WAIT ] || fail host-busy "guard process \${holds:-unknown ($\
state/lock cannot be listed)} is at work for over $LOCK_WAIT s"
    tries=$((tries + 1)) && sleep "0.$(((($$ + tries * 7) % 20) + 10))"
  done
}
unlock() { [ -z "\${locked:-}" ] || rm -f "$locked" || :; locked=''; }
# ---- what is there ---------------------------------------------------------------------------------------------------\

present() { # COMMAND...: runs COMMAND with the tracked paths that are there, if any are
  given=$# && while IFS= read -r path; do if [ -e ".$path" ] || [ -L ".$path" ]; then set -- "$@" ".$path"; fi; done <"$\
tx/tracked"
  [ $# -eq $given ] || "$@"; }
# look FILE: lists every entry of the tracked paths, in the order in which they lie there, tab-separated:
#   type mode uid gid size mtime inode ctime | target of a link | path
# All but inode and ctime comes back. These tell that nobody has touched an entry, since no one can set a change time.
# FILE.paths gets the paths alone, FILE.odd the names that such a list cannot hold, FILE.other what is none of these typ\
es.
look() { true >"$1" && no_more "$1" && present look_into "$1"; }
no_more() { true >"$1.paths" && true >"$1.odd" && true >"$1.other"; }
look_into() { # FILE PATH...
  list=$1 && shift && if [ "$tools" = gnu ]; then
    { find "$@" -xdev \\( \\( -path "*[$ODD]*" -o -lname "*[$ODD]*" \\) -printf 'odd\\003%p\\0' -o ! -type d ! -type f ! -typ\
e l \\
      -printf 'other\\003%p\\0' -o -printf '%y\\003%m\\003%U\\003%G\\003%s\\003%T@\\003%i\\003%C@\\003%l\\003%p\\0' \\) && printf 'wh\
ole\\0'; } | lines | tabulate
  else
    { find "$@" -xdev -name "*[$ODD$TAB$NL]*" | sed "s/^/odd$TAB/" && find "$@" -xdev ! -type d ! -type f ! -type l | se\
d "s/^/other$TAB/" &&
      find "$@" -xdev \\( -type d -o -type f -o -type l \\) -exec stat -c "%F$TAB%a$TAB%u$TAB%g$TAB%s$TAB%Y$TAB%i$TAB%Z$TA\
B$TAB%n" {} + && echo whole; } | tabulate; fi
}
tabulate() { # in a pipe
  exec awk -F "$TAB" -v OFS="$TAB" -v tools="$tools" -v list="$list" '$1 == "whole" { whole = 1; next }
    $1 == "odd" { print $2 >(list ".odd"); next } $1 == "other" { print $2 >(list ".other"); next }
    { t = substr($1, 1, 1); $1 = t == "r" ? "f" : t == "s" ? "l" : t } $1 == "d" { $5 = 0 }
    $1 == "l" && tools == "plain" { $6 = 0 } { print; print $10 >(list ".paths") } END { exit !whole }' >"$list"
}
# attributes LIST FILE: extended attributes, ACLs, labels and capabilities of these entries, as far as this host can tel\
l
attributes() { # (getfattr), a line an entry. It passes over what it cannot read or could not write: so names, and a pip\
e
  { { ! command -v getfattr >/dev/null || on "$1" getfattr -P -h -d -m - -e hex -- 2>/dev/null; } && echo whole; } |
    awk -v RS='' -F '\\n' -v OFS="$TAB" '$1 == "whole" { whole = 1; next } { gsub(/\\t/, "\\002"); sub(/^# file: /, "./", $\
1)
    gsub(/\\\\012/, "\\001", $1); gsub(/\\\\015/, "\\r", $1); gsub(/\\\\134/, "\\\\\\\\", $1); print } END { exit !whole }' >"$2"
}
digests() { on "$1" sha256sum --; } # LIST: the SHA-256 of each, in their order
# otherwise LIST HASHES: those of LIST that do not hash as they did at the backup. Fails when a hash is missing.
otherwise() {
  awk 'function sum() { return substr($0, /^\\\\/ ? 2 : 1, 64) } pass == 1 { name[++names] = $0 } pass == 2 { was[name[++s\
ums]] = sum() }
    pass == 3 { asked[++all] = $0 } pass == 4 && was[asked[++given]] != sum() { print asked[given] }
    END { exit given != all }' pass=1 "$tx/files" pass=2 "$tx/sums" pass=3 "$1" pass=4 "$2"
}
# pack LIST FILE: archives these entries with all metadata but access times, which move by reading, and change times,
# which cannot be set. unpack DIR LIST: entries of the backup appear below DIR. Of a short LIST tar looks for all until \
it
# has them; of a long one, which has the archive's order, for the next one only, but through the whole archive.
metadata='--numeric-owner --xattrs --xattrs-include=* --acls --selinux --no-recursion --no-unquote'
posix='--format=posix --pax-option=delete=atime,delete=ctime --sparse'
# shellcheck disable=SC2086 # words of a command
pack() {
  true >"$2" || return 1; if [ "$tools" != gnu ]; then present tar -cf "$2"; elif few "$1"; then on "$1" tar -cf "$2" $p\
osix $metadata --
  else names <"$1" >"$work/names" && tar -cf "$2" $posix $metadata --null -T "$work/names"; fi
}
# shellcheck disable=SC2086
unpack() {
  set -- "$2" tar -xpf "$tx/backup.tar" -C "$1"
  if [ "$tools" != gnu ]; then case $(tar --version 2>/dev/null) in *'GNU tar'*) set -- "$@" --no-recursion ;; esac; on \
"$@"
  elif few "$1"; then on "$@" --same-owner --occurrence=1 $metadata --
  else names <"$1" >"$work/names" && shift && "$@" --same-owner --same-order $metadata --null -T "$work/names"; fi
}
packages() { # what is installed. A transaction does not roll packages back; it shows how they differ
  if [ -d "$root/var/lib/dpkg" ] && command -v dpkg-query >/dev/null; then
    dpkg-query --admindir="$root/var/lib/dpkg" -W -f '\${Package}:\${Architecture} \${Version} \${db:Status-Abbrev}\\n'
  else for query in 'rpm -qa' 'apk info -v' 'pacman -Q'; do [ -n "$root" ] || ! command -v "\${query%% *}" >/dev/null || \
$query; done
  fi 2>/dev/null || :
}
# ---- begin -----------------------------------------------------------------------------------------------------------\

begin() {
  read_request && [ -n "$id" ] && [ -n "$token" ] && [ -n "$track" ] || fail guard-protocol 'begin needs id, token and t\
rack'
  for tool in awk cat chmod chown cmp cp date df du env find grep head id ln ls mkdir mkfifo mv rm rmdir sed setsid sha2\
56sum sleep \\
    sort stat sync tail tar touch tr wc xargs; do command -v $tool >/dev/null || fail host-tools-missing "this host has \
no $tool, which the guard needs"; done
  admit begin "$track" "$refresh" "$probe" # apart from each other (T), since ext4 makes files slowly where many were ju\
st removed:
  [ -d "$state/lock" ] || { mkdir -p "$state/tx" && { chattr +T "$state/tx" 2>/dev/null || :; } && mkdir -p "$state/lock\
"; } || unwritten
  lock && not_quarantined && claim && boot_recovery_install && preflight && back_up && watchdog_start && lease_write && \
put "$tx/armed" "$boot" ||
    abandon host-write-failed 'the watchdog, or recovery at boot, could not be set up'; begun
}
not_quarantined() { [ ! -e "$state/quarantine" ] || fail host-quarantined "$(cat "$state/quarantine")"; }
begun() { # the answer, also for a controller that asks again because it lost the first one
  read -r entries bytes <"$tx/size" && read -r armed <"$tx/armed" && ok id "$id" guard_version "$VERSION" tools "$tools"\
 \\
    boot "$armed" entries "$entries" bytes "$bytes" && warnings "$tx" && echo || fail host-read-failed "cannot tell what\
 is in $tx"
}
warnings() { while IFS= read -r line; do echo "warning $line"; done <"$1/warnings"; } # TX
claim() { # makes this the one open transaction of the host, or says who holds it. One whose time is over is ended first\

  read -r held 2>/dev/null <"$state/open" || held='' && other=$state/tx/$held
  if [ "$held" = "$id" ] && [ -e "$tx/armed" ]; then
    mine && undecided && begun && unlock && exit 0
  elif [ -n "$held" ] && [ "$held" != "$id" ]; then
    lease_left "$other" && [ -e "$other/decision" ] || [ "$left" -eq 0 ] ||
      fail host-busy "held by $(cat "$other/holder") since $(cat "$other/since"), lease ends in $left s"
    unlock; by_its_guard "$held" 'the next begin' >/dev/null 2>&1; lock && not_quarantined
    [ ! -e "$state/open" ] || fail host-busy "transaction $held could not be finished"
  fi
  { [ ! -e "$tx" ] || forget "$tx"; } && mkdir -p "$work" && say "$track" >"$tx/tracked" && say "$token" | sha256sum >"$\
tx/token" &&
    echo "$fence" >"$tx/fence" && printf '%s\\n' "$holder" >"$tx/holder" && echo "$guard" >"$tx/guard" &&
    date '+%Y-%m-%dT%H:%M:%SZ' >"$tx/since" && say "$refresh" >"$tx/refresh" && say "$probe" >"$tx/probe" &&
    echo "$on_conflict" >"$tx/on_conflict" && true >"$tx/warnings" && true >"$tx/absent" && true >"$tx/mounts" &&
    echo "$lease" >"$tx/seconds" && clock && echo "$boot $((now + deadline))" >"$tx/deadline" &&
    echo "$boot $((now + lease))" >"$tx/lease" && sync "$tx/tracked" && put "$state/open" "$id" ||
    abandon host-write-failed "cannot write below $state"
}
abandon() { discard; fail "$1" "$2"; } # ends a begin that did not come as far as \`armed\`: nothing was changed
discard() { clear_stages; leave; rm -rf "$tx"; }
forget() { rm -f "$1/token" && sync "$1" && rm -rf "$1"; } # what lost its token is never carried out any more
leave() { leftovers "$state" && { [ ! -e "$state/open" ] || { read -r held <"$state/open" && { [ "$held" != "$id" ] || r\
m -f "$state/open"; }; }; }; }
leftovers() { # DIR PATH...: removes these, and what guards that were killed have left in DIR
  from=$1 && shift && set -- "$from"/*.[0-9]* "$@" && [ -e "$1" ] || { shift && set -- "$from"/*.[0-9]* "$@"; }
  [ ! -e "$1" ] && [ $# -eq 1 ] || rm -rf -- "$@"
}
preflight() { # whatever would stop a rollback later is found now, while nothing is changed
  tools=gnu lost='extended attributes, ACLs, labels, capabilities, hard links and fractions of a second'
  case $(find / -maxdepth 0 -printf '%y' 2>/dev/null)$(tar --version 2>/dev/null) in d*'GNU tar'*) ;; *)
    tools=plain && [ "$degraded" = yes ] || abandon host-degraded \\
      "the find or tar of this host would lose $lost: install GNU tar and findutils, or ask for degraded mode"
    echo "degraded: $lost are not kept" >>"$tx/warnings" ;;
  esac
  case $(sync --help 2>&1) in *-f*) sync_f=-f ;; esac && echo "$tools $sync_f" >"$tx/tools" && true >"$tx/above" || unwr\
itten "$tx/tools"
  checked='' && while IFS= read -r path; do check_place "$path"; done <"$tx/tracked"
  point=$(mounted) && [ -z "$point" ] || abandon path-not-replaceable "$point is a mount point"
  stuck=$(present frozen) && [ -z "$stuck" ] || abandon path-not-replaceable "\${stuck#.} is immutable or append-only (se\
e lsattr)"
  look "$tx/before" || abandon host-write-failed 'the tracked paths cannot be listed'
  ! IFS= read -r odd <"$tx/before.odd" ||
    abandon path-not-replaceable "the name $(say "\${odd#.}" | tr "$ODD" '???') holds a character that the guard cannot k\
eep"
  ! [ -s "$tx/before.other" ] || sed 's|^\\./|left alone (socket, pipe or device): /|' "$tx/before.other" >>"$tx/warnings\
"
  room || abandon host-write-failed "cannot write below $tx"
}
mounted() { here=\${here%/} && export here && exec awk 'NR == FNR { tracked[$0]; next } { point = $5; gsub(/\\\\040/, " ", \
point) }
    index(point, ENVIRON["here"] "/") == 1 { p = substr(point, length(ENVIRON["here"]) + 1)
      for (; p != ""; sub(/\\/[^\\/]*$/, "", p)) if (p in tracked) { print point; exit } }' "$tx/tracked" /proc/self/mount\
info; } # in a subshell: the first that is a tracked path or lies in one
frozen() { lsattr -aR -- "$@" 2>/dev/null | awk '$1 ~ /^[-a-zA-Z]*[ia]/ && $2 ~ /^\\.\\// { print $2; exit }'; }
check_place() { # PATH: it could be renamed over, and it is where its name says
  case $1/ in *//* | */./* | */../* | *"$TAB"*) abandon guard-protocol "'$1' is no plain absolute path" ;; esac
  dir=.\${1%/*} && while [ ! -e "$dir" ] && [ ! -L "$dir" ]; do printf '%s\\n' "$dir" >>"$tx/absent" && dir=\${dir%/*} || a\
bandon host-write-failed "cannot write below $tx"; done
  if [ "$dir" != "$checked" ]; then
    straight "$dir" || abandon path-under-symlink "$1 is not below a directory of its own name but below '$real'; track \
that"
    mkdir "$dir/.savepoint.$id" 2>/dev/null && rmdir "$dir/.savepoint.$id" ||
      abandon path-not-replaceable "$1 cannot be replaced: \${dir#.}/ is read-only, immutable or not yours"
    if [ "$tools" = gnu ]; then mount=$(stat -c %m "$dir/"); else mount=$dir/; fi && checked=$dir
    set -- "$1" && while [ "$dir" != . ]; do set -- "$@" "$dir" && dir=\${dir%/*}; done
    path=$1 && shift && { [ $# -eq 0 ] || find "$@" -prune ! -perm -001 >>"$tx/above"; } || abandon host-write-failed "c\
annot write below $tx"
  fi
  printf '%s\\n' "$mount" >>"$tx/mounts" || abandon host-write-failed "cannot write below $tx"
}
room() { # for the backup and a reserve of its size, and for a staged copy beside the targets
  true >"$tx/files" && awk -F "$TAB" -v list="$tx/files" '{ n += $5 + 1536 } $1 == "f" { files++; print $10 >list } $1 !\
= "d" && $8 > coarse && $8 == int($8) { coarse = $8 }
    END { printf "%d %d %d %d\\n", n / 512 + 4096, NR, files, coarse }' "$tx/before" >"$work/size" && read -r needed entr\
ies count coarse <"$work/size" || return 1
  set -- "$state" && last='' && while IFS= read -r mount; do [ "$mount" = "$last" ] || set -- "$@" "$mount"; last=$mount\
; done <"$tx/mounts"
  full=$(df -Pk "$@" 2>/dev/null | while read -r _ _ _ free _ point; do case $free in *[!0-9]* | '') ;; *) [ "$free" -ge\
 "$needed" ] ||
    echo "$point has $free KiB free; $needed are needed" ;; esac; done) && [ -z "$full" ] || abandon host-no-space "\${fu\
ll%%"$NL"*}"
}
back_up() { # a copy with hashes and manifest, proved to be what is there. It is made durable, and so are the originals
  for tries in 1 2 3 4 5; do
    [ "$coarse" -eq 0 ] || [ $((coarse + 2)) -le "$(date +%s)" ] || sleep 2 # change times of whole seconds, or two: lat\
er ones will differ
    pack "$tx/before.paths" "$tx/backup.tar" && digests "$tx/files" >"$tx/sums" && attributes "$tx/before.paths" "$tx/at\
tributes" &&
      look "$work/again" && changing=$(differing "$tx/before" "$work/again") || abandon host-write-failed 'the backup co\
uld not be written'
    [ -n "$changing" ] || break
    look "$tx/before" && room && [ $tries -lt 5 ] || abandon path-changing "someone is changing \${changing#.} as it is c\
opied"
  done
  verify_backup || abandon host-write-failed 'the backup does not read back as what was copied'
  bytes=$(wc -c <"$tx/backup.tar") && echo "$entries $bytes" >"$tx/size" && set_aside ||
    abandon host-no-space 'there is no room for the reserve that a rollback on a full disk needs'
  packages >"$tx/packages" && flush_tracked "$state" || abandon host-write-failed 'the backup could not be made durable'\

}
differing() { # LIST LIST, in a subshell: a path that is not the same in both. Fails when a file has no hash
  exec awk -F "$TAB" -v count="$count" 'pass == 0 { sums++; next } pass == 1 { seen[$0] = $10; next } $0 in seen { delet\
e seen[$0]; next }
    !other++ { print $10 } END { if (!other) for (line in seen) { print seen[line]; break }
      exit sums != count }' pass=0 "$tx/sums" pass=1 "$1" pass=2 "$2"
}
verify_backup() { # the archive holds the bytes that were hashed, for nothing has changed since
  if [ ! -s "$tx/before" ]; then return; elif [ "$tools" = gnu ]; then tar -df "$tx/backup.tar" >/dev/null 2>&1; return;\
 fi
  mkdir "$work/check" && unpack "$work/check" "$tx/files" && (cd "$work/check" && digests "$tx/files") | cmp -s - "$tx/s\
ums"
}
set_aside() { # the blocks and inodes that a rollback needs when the job has filled the disk. Freed first thing then
  mkdir "$tx/reserve" && head -c "$((bytes + 1048576))" /dev/zero >"$tx/reserve/bytes" || return 1
  inodes=$((entries < 3968 ? entries + 128 : 4096)) && while [ $inodes -gt 0 ]; do true >"$tx/reserve/$inodes" && inodes\
=$((inodes - 1)) || return 1; done
}
# ---- apply, compare --------------------------------------------------------------------------------------------------\

apply() { # lays the tar archive that follows over the tracked paths: staged beside its targets, durable, then renamed
  read_request && mine && undecided
  new=$tx/new.$$ && mkdir -p "$work" "$new" && cd "$new" || unwritten "below $tx"
  said=$(tar -xpmf - --no-same-owner 2>&1) || fail host-write-failed "the change cannot be unpacked: \${said%%"$NL"*}"
  lock && latest && undecided # not before: a controller that stalls in the middle of its change must not hold the lock
  no_more "$work/change" && look_into "$work/change" . && place && say "$remove" >"$work/remove" && true >"$work/stages"\
 ||
    unwritten "below $tx"
  refused=$(bound && strict=yes || strict=''; permitted "$strict") || fail host-write-failed 'the change could not be li\
sted'
  [ -z "$refused" ] || fail "\${refused%% *}" "\${refused#* }"
  clear_stages; echo yes >"$tx/stages" && each "$work/new.dirs" need_stage && on "$work/stages" mkdir -- && each "$work/\
new.dirs" stage_new &&
    flush_tracked || fail host-write-failed 'the change could not be staged'
  echo yes >"$tx/running" && each "$work/new.dirs" rename_new && remove_old && on "$work/stages" rmdir -- && true >"$tx/\
stages" &&
    flush_tracked && wrote && compare "$tx/written" changed removed added || fail host-write-failed 'the change could no\
t be put into place'
  ok id "$id" && sort "$work/report" && echo; show_diff a b; rm -rf "$new"
}
permitted() { # STRICT, in a subshell: the first thing that a change may not have, by the name of the refusal; lists its\
 directories
  true >"$work/new.dirs" && exec awk -F "$TAB" -v strict="$1" -v dirs="$work/new.dirs" '
    function refuse(name, words) { print name " " words; exit }
    function inside(name, p, q) { for (q = p; q != ""; sub(/\\/?[^\\/]*$/, "", q)) if (q in tracked) return
      refuse(name, substr(p, 2) " is in none of the tracked paths:" all) }
    pass == "t" { tracked["." $0]; all = all " " $0; for (q = "." $0; q != ""; sub(/\\/?[^\\/]*$/, "", q)) above[q]; next \
}
    pass == "r" { if ($0 "/" ~ /\\/\\.?\\.?\\//) refuse("remove-outside-tracked", $0 " is no plain path"); inside("remove-ou\
tside-tracked", "." $0); next }
    pass == "o" || strict && $1 != "l" && ($2 ~ /^[2-7]...$/ || $2 ~ /[2367]$/) {
      refuse("files-bad-entry", substr($NF, 2) " has a kind, rights or a name that nothing in a change may have") }
    $1 == "d" { print $10 >dirs; if ($10 in above) next } { inside("files-outside-tracked", $10) }' \\
    pass=t "$tx/tracked" pass=o "$work/change.odd" "$work/change.other" pass=c "$work/change" pass=r "$work/remove"
}
remove_old() { sed 's/^/./' "$work/remove" >"$work/removed" && each "$work/removed" remove_one; }
remove_one() { [ ! -d "\${1%/*}" ] || { straight "\${1%/*}" && rm -rf -- "$1"; }; } # PATH: not through a link, also one t\
hat the change brought
# stage_new DIR: its new entries, in a stage inside it, so that they get its label and default ACL. What replaces a file\

stage_new() { # keeps owner, mode, ACL, label and attributes: the new bytes go into a full copy of the old file
  under=$1 stage=$1/.savepoint.$id && if [ "$tools" = gnu ]; then whole='cp -a --preserve=xattr --no-preserve=links'; el\
se whole='cp -p'; fi
  [ "$under" = . ] || [ ! -d "$under" ] || straight "$under" || fail path-under-symlink "\${under#.} lies behind a symbol\
ic link on this host"
  # All three find as many, or a list could not be read: the shell takes such a directory for empty.
  [ ! -d "$under" ] || { stage over "$whole" && many=$found && stage bytes 'cp -P' && [ "$found" = "$many" ] && stage fr\
esh 'cp -RPp' && [ "$found" = "$many" ]; }
}
need_stage() { under=$1 && [ ! -d "$1" ] || ! straight "$1" || stage need ''; } # DIR: notes a stage if there is anythin\
g for it
stage() { # need, or over|bytes|fresh COMMAND: for the files that are replaced, their new bytes, all that is new
  what=$1 copy=$2 found=0 && set -- && for entry in "$new/$under"/* "$new/$under"/.[!.]* "$new/$under"/..?*; do
    old=$under/\${entry##*/} kind=fresh
    if [ ! -e "$entry" ] && [ ! -L "$entry" ] || { is_dir "$old" && is_dir "$entry"; }; then continue; fi
    ! is_dir "$old" || fail files-bad-entry "\${old#.} is a directory on this host"
    ! is_dir "$entry" || [ ! -e "$old" ] || [ -L "$old" ] || fail files-bad-entry "\${old#.} is no directory on this host\
"
    if [ -f "$old" ] && [ ! -L "$old" ] && [ -f "$entry" ] && [ ! -L "$entry" ]; then kind=over; fi
    found=$((found + 1)) && case $what.$kind in need.*) echo "$line/.savepoint.$id" >>"$work/stages"; return ;; over.ove\
r) set -- "$@" "$old" ;; bytes.over | fresh.fresh) set -- "$@" "$entry" ;; esac
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
clear_stages() { # what an interrupted guard left beside and below the tracked paths. A note tells, unless the power was\
 cut
  if [ ! -s "$tx/stages" ] && same_boot; then return; fi
  while IFS= read -r path; do nearest "$path" && [ ! -e "$dir/.savepoint.$id" ] || rm -rf "$dir/.savepoint.$id"; done <"\
$tx/tracked"
  present stages_within && true >"$tx/stages"
} 2>/dev/null
stages_within() { find "$@" -xdev -type d -name ".savepoint.$id" -prune -exec rm -rf -- {} +; }
same_boot() { read -r armed 2>/dev/null <"$tx/armed" && [ "$armed" = "$boot" ]; }
# compare NOW CHANGED GONE ADDED: what differs between the backup and NOW, and how to undo it, as lists in work/:
#   report  "path WORD PATH": what changed, is gone, was added   edited  by someone else; only looked for where $find is\
 set
#   text.a text.b  what to show of then and of now   secret  what not to   same  files nobody touched, unless they are d\
oubted
#   way.files way.dirs  what must go   need.N files.N  what must come from the backup, through the stage.N of the Nth mo\
unt
#   whole.N  directories moved whole   parents.N  of moved entries   spare.N  hard links that stay   dirs  with moved ti\
mes
compare() {
  [ ! -e "$work/stage.1" ] || rm -f "$work"/*.[0-9]* || return 1
  for name in report edited secret text.a text.b same way.files way.dirs dirs; do true >"$work/$name" || return 1; done
  written=$tx/written && [ -e "$written" ] || written=$tx/before; keeping
  awk -F "$TAB" -v to="$work/" -v find="$find" -v keep="$keep" -v changed="$2" -v gone="$3" -v added="$4" -v stage="/.sa\
vepoint.$id" '
    function put(list, p) { print p >(to list) } function up(p) { sub(/\\/?[^\\/]*$/, "", p); return p }
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
    pass == "t" { root[FNR] = "." $0; next } pass == "m" { mount[root[FNR]] = $0; next } pass == "h" { closed[$0]; next \
}
    (pass == "n" || pass == "b") && $1 == "d" && $2 !~ /[1357]$/ { closed[$10] } pass == "w" { wrote[$10] = $0; next }
    pass == "d" { doubted[$0]; next } pass == "e" { edited[$0]; next }
    pass == "n" { now[$10] = $0; if ($1 == "d") dir[$10]
      if (find && !($10 in wrote && ($1 == "d" ? wrote[$10] ~ /^d/ : wrote[$10] == $0))) edited[$10]; next }
    pass == "b" { p = $10; was[p]; same = p in now && now[p] == $0; there = p in now && !(p in dir)
      if (find && same) delete edited[p]; else if (find && p in wrote && !(p in now)) edited[p]
      if ($1 == "d" && p in dir) { if (!same) moved[p]; next }
      if ($1 == "d") { if (theirs(p)) next; wanted[p]; lost[p]; moved[up(p)]; if (there) { show(p, "", now[p]); clear(p)\
 }; next }
      if (same && !(p in doubted)) { if ($1 == "f") put("same", p); next }
      if (!same) { put("report", "path " (p in now ? changed : gone) " " substr(p, 2)); show(p, $0, there ? now[p] : "")\
 }
      if (!theirs(p)) { wanted[p]; moved[up(p)]; if ($1 == "f") link[$7, $8]; if (p in dir) clear(p) }; next }
    !done++ { additions() } $10 in wanted { bring($10) } !($10 in wanted) && $1 == "f" && ($7, $8) in link { bring($10, \
1) }
    $1 == "d" && ($10 in moved || $10 in lost) { put("dirs", $10) }
    END { if (!done) additions() }' pass=t "$tx/tracked" pass=m "$tx/mounts" pass=h "$tx/above" \${find:+pass=w "$written\
"} \\
    \${doubted:+pass=d "$work/doubted"} \${kept:+pass=e "$tx/edited"} pass=n "$1" pass=b "$tx/before" pass=c "$tx/before"
}
copy_parents() { cp --parents -- "$@" "$work/b/"; }
# show_diff FROM TO: what the job changed (a to b), or what a rollback undoes (b to a): 100 files of 1 MiB at most. The
show_diff() { # bytes of a file that not everyone may read are never shown: they may hold a password
  command -v diff >/dev/null || return 0
  while IFS= read -r path; do echo "diff $path: not everyone may read it, so it is not shown"; done <"$work/secret"
  if [ ! -s "$work/text.a" ] && [ ! -s "$work/text.b" ]; then return; fi; { [ ! -e "$work/a" ] || rm -rf "$work/a" "$wor\
k/b"; } && mkdir "$work/a" "$work/b" && unpack "$work/a" "$work/text.a" &&
    on "$work/text.b" copy_parents && (cd "$work" && diff -ruN "$1" "$2") |
    awk 'NR > 20000 { exit } /^diff -ruN / { next } /^(---|\\+\\+\\+) [ab]\\// { sub(/\\t.*/, "") } { print }'
  rm -rf "$work/a" "$work/b" # or it would take the room that a rollback needs
} 2>/dev/null
# ---- decide ----------------------------------------------------------------------------------------------------------\

decide() { # WORD WHO: a record made once: linking a synced file makes it, whole, or finds that someone was first
  if [ ! -e "$tx/decision" ]; then
    echo "$1 $2" >"$tx/decision.$$" && sync "$tx/decision.$$" || return 1
    ln "$tx/decision.$$" "$tx/decision" 2>/dev/null || [ -e "$tx/decision" ] || return 1
  fi
  sync "$tx" && decision='' && { read -r decision by <"$tx/decision" || [ -n "$decision" ]; } && { [ "$decision" = commi\
t ] || decision=rollback; }
}
commit() { # what the tracked paths hold by now, whoever wrote it, is made durable, then decided for
  read_request && lock && mine && { [ -e "$tx/armed" ] || undecided; }
  [ -e "$tx/decision" ] || { clear_stages && flush_tracked; } || fail host-write-failed 'the tracked paths are not durab\
le'
  settle commit
}
rollback() {
  read_request && mine full; kill_job; rm -rf "$tx/reserve"; lock # the job that filled the disk goes before the reserve\
 is freed
  [ -e "$tx/armed" ] || { discard; ok id "$id" decision rollback by "\${reason:-controller}" outcome rolled-back; echo; r\
eturn; }
  settle rollback
}
settle() { # WORD: decides, carries out what is decided, and answers
  decide "$1" "\${reason:-controller}" || fail host-write-failed 'the decision could not be recorded'
  conclude || fail host-write-failed "$decision is decided, but could not be carried out yet; the watchdog goes on tryin\
g"
  ok id "$id" decision "$decision" by "$by" outcome "$outcome" && tell "$tx"; echo; cat "$tx/diff" 2>/dev/null
}
conclude() { # anyone may run it, again, after it was killed anywhere. The marker goes last: the rest is found by it
  outcome_of "$tx" && case $outcome in '' | rollback-failed)
    { [ ! -e "$tx/reserve" ] || rm -rf "$tx/reserve"; } && { [ -d "$work" ] || mkdir -p "$work"; }
    if [ "$decision" = rollback ]; then restore || return 1
    else outcome=committed && look "$work/now" && compare "$work/now" changed removed added && sort "$work/report" >"$tx\
/report" &&
      show_diff a b >"$tx/diff"; fi
    packages >"$work/packages" && packages_changed >"$tx/packages.changed"; put "$tx/outcome" "$outcome" || return 1 ;;
  esac
  clear_stages; leftovers "$tx" "$work" "$tx/reserve" "$tx/run" && { prune; leave; } && sync "$tx" "$state"
}
outcome_of() { read -r outcome 2>/dev/null <"$1/outcome" || outcome=''; }
packages_changed() { cmp -s "$tx/packages" "$work/packages" || awk 'pass == 1 { was[$0]; next } $0 in was { delete was[$\
0]; next }
  { print "package + " $0 } END { for (one in was) print "package - " one }' pass=1 "$tx/packages" pass=2 "$work/package\
s" | sort -k 3; }
tell() { cat "$1/report" "$1/packages.changed"; warnings "$1"; } 2>/dev/null
prune() { # ended transactions are kept for audit up to a number, an age and a size
  set -- "$state"/tx/* && [ $# -gt 1 ] || return 0
  left=$# kib=$(du -sk "$state/tx") && kib=\${kib%%[!0-9]*}; old=$(find "$state/tx" -mindepth 2 -maxdepth 2 -name outcome\
 -mtime +$KEEP_DAYS)
  [ $left -gt $KEEP ] || [ "\${kib:-0}" -gt $KEEP_KIB ] || [ -n "$old" ] || return 0
  ls -tr "$state/tx" | while IFS= read -r past; do past=$state/tx/$past && outcome_of "$past"
    case $past:$outcome in "$tx":* | *: | *:rollback-failed) continue ;; esac
    case $NL$old$NL in *"$NL$past/outcome$NL"*) ;; *) [ "$left" -gt $KEEP ] || [ "\${kib:-0}" -gt $KEEP_KIB ] || continue\
 ;; esac
    forget "$past" && left=$((left - 1)); [ "\${kib:-0}" -le $KEEP_KIB ] || { kib=$(du -sk "$state/tx") && kib=\${kib%%[!0\
-9]*}; }; done
}
# ---- restore ---------------------------------------------------------------------------------------------------------\

restore() { # every tracked path as it was, proved. After a reboot, or a failed attempt, times prove nothing of bytes
  for attempt in 1 2 3; do
    kill_job; clear_stages; unmount; look "$work/now" && remove_odd && find_edits && compare "$work/now" restored restor\
ed removed || continue
    [ -e "$tx/diff" ] || { keep_edits && sort "$work/report" >"$tx/report" &&
      show_diff b a >"$work/diff" && mv -f "$work/diff" "$tx/diff"; } || continue
    { [ $attempt = 1 ] && same_boot; } || doubt || continue
    put_back 2>"$work/errors" && restore_directories && { verify || { each "$work/extra" drop && restore_directories && \
verify; }; } && flush_tracked || continue
    if [ -s "$tx/edited" ]; then outcome=conflict; else outcome=rolled-back; fi; refresh_and_probe
    ! read -r _ held _ 2>/dev/null <"$state/quarantine" || [ "$held" != "$id" ] || rm -f "$state/quarantine"; return
  done; outcome=rollback-failed why="transaction $id could not be rolled back: $(cat "$work/differences" "$work/errors" \
2>/dev/null | head -n 3 | tr '\\n\\t\\001' ';  ')"
  echo "$why" >>"$tx/warnings"; put "$state/quarantine" "$why"
}
keeping() { keep='' && read -r resolve <"$tx/on_conflict" && { [ "$resolve" != keep ] || keep=yes; }; }
# remove_odd: names that no list can hold cannot have been there at the backup; pipes, sockets and devices are removed u\
nless they were.
remove_odd() {
  [ ! -s "$work/now.odd" ] || { present remove_named && look "$work/now"; } || return 1
  if [ ! -s "$work/now.other" ]; then return; fi; awk 'pass == 1 { was[$0]; next } !($0 in was)' pass=1 "$tx/before.othe\
r" pass=2 "$work/now.other" >"$work/other"
  [ ! -s "$work/other" ] || { each "$work/other" rm -f -- && look "$work/now"; }
}
unmount() { while point=$(mounted) && [ -n "$point" ]; do killed=yes && umount "$point" || umount -l "$point" || break; \
done; } 2>/dev/null # what the job left
remove_named() { if [ "$tools" != gnu ]; then find "$@" -xdev -depth -name "*[$ODD$TAB$NL]*" -exec rm -rf -- {} +; retur\
n; fi
  find "$@" -xdev -depth \\( -name "*[$ODD]*" -o -lname "*[$ODD]*" \\) -exec rm -rf -- {} +
}
# find_edits: what is neither in the backup nor the transaction's was edited by someone else, and is kept in theirs/. Af\
ter
find_edits() { # a crash what was written last may be lost: nobody can say whose an edit was; nor while the job is at wo\
rk
  kept='' find='' && if [ -e "$tx/diff" ]; then kept=yes; elif [ ! -s "$tx/running" ] && [ -z "\${killed:-}" ] && same_bo\
ot; then find=yes; fi
}
keep_edits() { # with a warning each
  true >"$tx/edited" || return 1; [ -s "$work/edited" ] || return 0
  sort "$work/edited" >"$work/all" && rm -rf "$tx/theirs" && mkdir "$tx/theirs" || return 1
  awk 'pass == 1 { edited[$0]; next } $0 in edited' pass=1 "$work/all" pass=2 "$work/now.paths" >"$work/theirs"
  said="their version is $tx/theirs" && { [ ! -s "$work/theirs" ] || { [ "$tools" = gnu ] && pack "$work/theirs" "$work/\
theirs.tar" &&
    tar -xpf "$work/theirs.tar" -C "$tx/theirs"; }; } || { rm -rf "$tx/theirs" && said='their version could not be kept'\
; }
  rm -f "$work/theirs.tar" && said=$said awk 'pass == 1 { there[$0]; next } { p = substr($0, 2); print "edited by someon\
e else: " p "; " \\
    (!($0 in there) ? "they removed it" : ENVIRON["said"] (ENVIRON["said"] ~ /kept$/ ? "" : p)) }' \\
    pass=1 "$work/theirs" pass=2 "$work/all" >>"$tx/warnings" && mv -f "$work/all" "$tx/edited"
}
doubt() { # files that hash otherwise than they did are taken for touched, and nothing stays immutable
  present thaw 2>/dev/null
  find='' doubted='' kept=yes && look "$work/now" && compare "$work/now" restored restored removed &&
    digests "$work/same" >"$work/hashes" && otherwise "$work/same" "$work/hashes" >"$work/doubted" &&
    doubted=yes && compare "$work/now" restored restored removed
}
thaw() { [ -z "$(frozen "$@")" ] || find "$@" -xdev \\( -type f -o -type d \\) -exec chattr -f -ia -- {} +; }
put_back() { # what was touched is staged on its own mount, proved by hash, made durable and renamed into place
  while IFS= read -r path && parent=.\${path%/*}; do
    [ -d "$parent" ] || grep -q -x -F -e "$parent" "$tx/absent" || (umask 022 && mkdir -p "$parent") || return 1
    [ ! -d "$parent" ] || straight "$parent" || { echo "\${parent#.} is not where it was, but $real" >&2; return 1; }
  done <"$tx/tracked"
  clear_way && nth=1 && while [ -e "$work/stage.$nth" ]; do put_back_on "$nth" || return 1; nth=$((nth + 1)); done
}
clear_way() {
  on "$work/way.files" rm -f -- 2>/dev/null; each "$work/way.dirs" remove_tree || return 1; on "$tx/absent" rmdir -- 2>/\
dev/null || :
}
remove_tree() { ! is_dir "$1" || { find "$1" -xdev ! -type d -exec rm -f -- {} + && find "$1" -xdev -depth -exec rmdir -\
- {} +; }; }
put_back_on() { # N: from one stage on the Nth mount, since a rename cannot leave it
  IFS= read -r stage <"$work/stage.$1" && echo yes >"$tx/stages" && { [ ! -e "$stage" ] || rm -rf "$stage"; } || return \
1
  mkdir "$stage" && unpack "$stage" "$work/need.$1" && staged_well "$work/files.$1" && flush "$stage/" || return 1
  [ ! -e "$work/spare.$1" ] || (cd "$stage" && on "$work/spare.$1" rm -f --) || return 1
  [ ! -e "$work/whole.$1" ] || each "$work/whole.$1" move_whole || return 1
  each "$work/parents.$1" move_back && find "$stage" -depth -exec rmdir -- {} + && true >"$tx/stages" # a file in it wou\
ld have been passed over
}
move_whole() { [ ! -d "$stage/$1" ] || is_dir "$1" || mv -f -T "$stage/$1" "$1"; }
move_back() { [ ! -d "$stage/$1" ] || move_entries files "$stage/$1" "$1"; }
staged_well() { # FILES: what came out of the backup has the bytes that went in
  [ ! -e "$1" ] || { (cd "$stage" && digests "$1") >"$work/hashes" && otherwise "$1" "$work/hashes" >"$work/wrong" && [ \
! -s "$work/wrong" ]; }
}
restore_directories() { # last, since a rename inside one moves its times
  if [ "$tools" = gnu ]; then unpack . "$work/dirs"; return; fi
  awk -F "$TAB" 'NR == FNR { dir[$0]; next } $1 == "d" && $10 in dir { print $2, $3 ":" $4, $6, $10 }' "$work/dirs" "$tx\
/before" |
    while read -r mode owner time name; do chown "$owner" "$name" && chmod "$mode" "$name" && touch -d "@$time" "$name";\
 done
}
# drop ATTRIBUTE-TAB-NAME: an archive can only add attributes to directories that are there: others go.
drop() { ! is_dir "\${1#*"$TAB"}" || setfattr -h -x "\${1%%"$TAB"*}" -- "\${1#*"$TAB"}"; }
verify() { # bytes were hashed before they were renamed, and those of what was not restored when they were doubted
  point=$(mounted) && [ -z "$point" ] || { echo "$point is a mount point" >"$work/differences"; return 1; }
  keeping; true >"$work/dirs" && true >"$work/extra" && look "$work/now" && attributes "$work/now.paths" "$work/attribut\
es" && awk -F "$TAB" -v keep="$keep" -v dirs="$work/dirs" -v extra="$work/extra" '
    function key() { return $1 " " $2 " " $3 " " $4 " " $5 " " $6 " " $9 }
    function differs(p, text) { if (keep && (p in edited || p in dir)) return; bad = 1; print substr(p, 2) ": " text; if\
 (p in dir) print p >dirs }
    pass == "e" { edited[$0]; next } pass == "a" { had[$1] = $0; next } pass == "b" { if ($1 == "d") dir[$10]; was[$10] \
= key(); next }
    pass == "n" { if (!($10 in was)) differs($10, "was not there"); else if (was[$10] != key()) differs($10, key() ", no\
t " was[$10])
      delete was[$10]; next }
    had[$1] != $0 { differs($1, "other attributes"); if ($1 in dir) for (i = 2; i <= NF; i++) { sub(/=.*/, "", $i); prin\
t $i FS $1 >extra } }
    { delete had[$1] }
    END { for (p in was) differs(p, "is gone"); for (p in had) differs(p, "has lost its attributes"); exit bad }' pass=e\
 "$tx/edited" \\
    pass=b "$tx/before" pass=a "$tx/attributes" pass=n "$work/now" pass=x "$work/attributes" >"$work/differences" && [ !\
 -s "$work/differences" ]
}
refresh_and_probe() { # caches must keep nothing from the patch's mirror; at boot, with no network, a probe says nothing\

  for what in refresh probe; do while IFS= read -r command; do
    if [ -z "$command" ] || [ "$what$by" = probeboot ] || in_time sh -c "$command" </dev/null >"$work/log" 2>&1; then co\
ntinue; fi
    outcome=rolled-back-unhealthy && echo "$what failed: $command: $(tail -n 1 "$work/log" | tr -d '\\r\\001')" >>"$tx/war\
nings"
  done <"$tx/$what"; done
}
in_time() { ! command -v timeout >/dev/null || set -- timeout $PATIENCE "$@"; SAVEPOINT_ROOT=\${root:-/} "$@"; }
# ---- lease, watchdog, recovery ---------------------------------------------------------------------------------------\

# lease_write: until when the host waits for a sign of life. Another boot id means it is over, so it need not survive.
lease_write() { read -r seconds <"$tx/seconds" && until_in "$seconds" lease; }
until_in() { clock && echo "$boot $((now + $1))" >"$tx/$2.$$" && mv -f "$tx/$2.$$" "$tx/$2"; }
lease_left() { # TX: sets left to the seconds until the lease or the deadline ends, whichever is first, or 0
  read -r since end 2>/dev/null <"$1/lease" && read -r _ last 2>/dev/null <"$1/deadline" && [ "$since" = "$boot" ] && cl\
ock &&
    left=$(((end < last ? end : last) - now)) && [ "$left" -gt 0 ] || left=0
}
renew() { # a sign of life; \`running\` says that a phase on the controller, which may write here too, begins or ended
  read_request && mine && undecided && lease_write || unwritten "$tx/lease"
  case $running in yes) echo yes >"$tx/running" ;; no) wrote ;; esac
  lease_left "$tx" && ok id "$id" lease_left "$left" boot "$boot" && echo
}
wrote() { look "$tx/written.$$" && mv -f "$tx/written.$$" "$tx/written" && true >"$tx/running"; } # what is there now is\
 the job's, not someone else's
own_path() { self=$state/guard/$guard/guard && [ -e "$self" ] || self=$0; } # sudo runs this as /dev/fd/N, so $0 is the \
last resort
systemd() { [ -d /run/systemd/system ] && is_root; }
watchdog_start() { # PID 1 owns it where there is systemd: logind kills what a session leaves behind
  own_path && set -- "$self" watch "$root" "$state" "$id"
  if systemd; then
    systemd-run --quiet --collect --unit="savepoint-$id" -p DefaultDependencies=no -p Restart=on-failure -p RestartSec=1\
 \\
      -p StartLimitIntervalSec=0 -p RestartForceExitStatus='SIGTERM SIGHUP SIGINT SIGPIPE' /bin/sh "$@" >/dev/null 2>&1
  else (cd / && exec setsid env -i PATH="$PATH" HOME="\${HOME:-/}" /bin/sh "$@" </dev/null >/dev/null 2>&1 &); fi
}
boot_recovery_install() { # for the host's own root: ends open transactions before the network is up and anyone can log \
in
  if [ -n "$root" ] || ! is_root; then return 0; fi
  own_path && wanted="exec /bin/sh $self boot \\"\\" $state"
  { IFS= read -r line 2>/dev/null <"$state/boot" && [ "$line" = "$wanted" ]; } || put "$state/boot" "$wanted" || return \
1
  units=/etc/systemd/system unit=savepoint-recover.service
  if systemd; then [ ! -e $units/sysinit.target.wants/$unit ] || return 0
    mkdir -p $units/sysinit.target.wants && put $units/$unit "$(printf '%s\\n' '[Unit]' 'Description=End Savepoint transa\
ctions open when the host went down' \\
      'DefaultDependencies=no' 'After=local-fs.target systemd-remount-fs.service' 'Before=sysinit.target network-pre.tar\
get ssh.service sshd.service' \\
      '[Service]' 'Type=oneshot' "ExecStart=/bin/sh $state/boot" '[Install]' 'WantedBy=sysinit.target')" &&
      chmod 644 $units/$unit && ln -sf ../$unit $units/sysinit.target.wants/$unit && sync $units $units/sysinit.target.w\
ants
  elif [ -e /etc/runlevels/default/local ]; then # OpenRC runs what is in local.d
    put /etc/local.d/savepoint.start "#!/bin/sh$NL/bin/sh $state/boot" && chmod 755 /etc/local.d/savepoint.start
  elif [ -d /etc/cron.d ] && { command -v cron || command -v crond; } >/dev/null; then
    put /etc/cron.d/savepoint "@reboot root /bin/sh $state/boot" && chmod 644 /etc/cron.d/savepoint
  else echo 'nothing here starts recovery at boot: after a power loss it waits for the next begin or a person' >>"$tx/wa\
rnings"; fi
}
watch() { # the watchdog. Ends with its transaction
  while [ -e "$tx/token" ] && [ ! -e "$tx/outcome" ]; do
    if lease_left "$tx" && [ "$left" -eq 0 ] || [ -e "$tx/decision" ]; then (finish watchdog); fi; sleep 1; done
}
finish() { # WHO: brings the transaction to its end without its controller. A lease that is over is over: the job goes
  if [ "$1" = boot ] && resume; then return; fi
  kill_job; rm -rf "$tx/reserve"; lock; outcome_of "$tx" # a watchdog that waited for a rollback that failed does not tr\
y it again
  if [ ! -e "$tx/armed" ] || [ ! -e "$tx/token" ]; then discard; elif [ "$1.$outcome" != watchdog.rollback-failed ]; the\
n decide rollback "$1" && conclude; fi; unlock
}
resume() { # a phase has said that the host may reboot: the lease runs from here, for as long as it said
  [ -e "$tx/armed" ] && [ ! -e "$tx/decision" ] && read -r away left 2>/dev/null <"$tx/reboot" &&
    put "$tx/reboot" "$away $((left - away))" && until_in "$left" deadline && until_in "$away" lease && watchdog_start
}
by_its_guard() { # ID WHO: a transaction is always ended by the very guard that opened it
  read -r opener 2>/dev/null <"$state/tx/$1/guard" && opener=$state/guard/$opener/guard && [ -f "$opener" ] || opener=$0\

  /bin/sh "$opener" finish "$root" "$state" "$1" "$2"
}
unfinished() { # the ids of transactions that have not come to their end
  read -r held 2>/dev/null <"$state/open" || held=''
  set -- "$state"/tx/* && [ -e "$1" ] || set -- "$state"/tx/*; for one; do outcome_of "$one" && case $outcome:$held in
    :* | rollback-failed:* | *:"\${one##*/}") [ ! -d "$one" ] || echo "\${one##*/}" ;; esac; done
}
boot() { for one in $(unfinished); do by_its_guard "$one" boot; done; }
recover() { # what a person asks for: end whatever is open here, whoever holds it
  read_request && ended=$(unfinished) && { [ "$reason" != boot ] || reason=recover; }
  for one in $ended; do by_its_guard "$one" "\${reason:-recover}" >/dev/null 2>&1; done
  ok && for one in $ended; do outcome_of "$state/tx/$one"; [ -n "$outcome" ] || [ ! -e "$state/tx/$one/armed" ] || outco\
me=rollback-failed; echo "ended $one \${outcome:-rolled-back}" && tell "$state/tx/$one"; done
  echo && for one in $ended; do cat "$state/tx/$one/diff" 2>/dev/null; done
}
status() { # what is here. Needs no token and changes nothing
  read_request && ok guard_version "$VERSION"
  if read -r held 2>/dev/null <"$state/open"; then
    lease_left "$state/tx/$held" && printf 'open %s\\nlease_left %s\\n' "$held" "$left"
    for what in holder since decision; do sed "s/^/$what /" "$state/tx/$held/$what"; done 2>/dev/null
    sed 's/^/track /' "$state/tx/$held/tracked" 2>/dev/null
  fi
  sed 's/^/quarantine /' "$state/quarantine" 2>/dev/null
  for one in "$state"/tx/*; do [ ! -e "$one/outcome" ] || echo "past \${one##*/} $(cat "$one/since") $(cat "$one/outcome"\
) $(cat "$one/holder")"; done
  echo
}
clear() { # a person has looked at the host; it may be used again
  read_request && for one in "$state"/tx/*; do outcome_of "$one" && [ "$outcome" != rollback-failed ] || put "$one/outco\
me" 'rollback-failed, cleared'; done
  rm -f "$state/quarantine" && sync "$state" && ok && echo || unwritten
}
# ---- the job's processes ---------------------------------------------------------------------------------------------\

run_phase() { # starts the shell text that follows, unless it was before; passes on its output from a byte onwards
  read_request && lock && mine && undecided; spool=$tx/run/$phase
  if [ ! -d "$spool" ]; then
    { [ ! -e "$spool.new" ] || rm -rf "$spool.new"; } && mkdir -p "$spool.new" && true >"$spool.new/out" && true >"$spoo\
l.new/err" &&
      printf '%4096s' '' >"$spool.new/ended" && echo yes >"$tx/running" && read -r _ last <"$tx/deadline" && clock || un\
written "$spool"
    [ "$reboot" -eq 0 ] || put "$tx/reboot" "$reboot $((last - now))" || unwritten "$tx/reboot"
    mv "$spool.new" "$spool" && exec 3<&0 || unwritten "$spool"
    own_path && set -- /bin/sh "$self" supervise "$root" "$state" "$id" "$phase" "$job_path"
    if systemd; then set -- systemd-run --quiet --scope --collect --unit="savepoint-$id-job-$$" -p TimeoutStopSec=$GRACE\
 "$@"
    elif command -v setsid >/dev/null; then set -- setsid "$@"; fi
    (umask "$job_umask" && export SAVEPOINT_TRANSACTION="$id" && exec "$@" <&3 3<&- >/dev/null 2>>"$spool/err") &
    life_of $! && echo "$life" >"$spool/life" && exec 3<&-
  fi; unlock; follow
}
follow() { # its status comes behind a nonce that the job does not know; \`lost\` with its host or its supervisor
  printf '\\n%s started\\n' "$nonce" >&2
  exec 3<"$spool/out" 4<"$spool/err" && naps=0 && echo $$ >"$spool/follower"
  [ "$out.$err" = 0.0 ] || { tail -c "+$((out + 1))" <&3 && tail -c "+$((err + 1))" <&4 >&2; } || return
  while [ ! -e "$spool/status" ] && read -r lead <"$spool/life" && alive "$lead" && leads; do
    naps=$((naps + 1)) && if [ $naps -lt 9 ]; then sleep 0.004; elif [ $naps -lt 40 ]; then sleep 0.01; else sleep 0.2; \
fi
    pass_on || return; done
  leads && pass_on || return
  read -r code 2>/dev/null <"$spool/status" || code=lost
  printf '\\n%s %s\\n' "$nonce" "$code" >&2
}
pass_on() { { [ ! -s "$spool/out" ] || cat <&3; } && { [ ! -s "$spool/err" ] || cat <&4 >&2; }; }
leads() { read -r follower <"$spool/follower" && [ "$follower" = $$ ]; } # nobody came later to follow
supervise() { # PHASE PATH: runs it as the job's user, marked so that all its descendants can be found
  trap : TERM
  spool=$tx/run/$1 job_path=$2 && life_of $$ && { read -r lead 2>/dev/null <"$spool/life" && [ "$lead" = "$life" ] ||
    { echo "$life" >"$spool/life.new" && mv -f "$spool/life.new" "$spool/life"; }; } && text=$(cat && echo .) && [ ! -e \
"$tx/decision" ] || return 1
  me='' user='' && [ -z "\${SUDO_USER:-}" ] || { me=$(id -un) && user=$me && [ "$user" != root ] || user=$SUDO_USER; }
  ! bound || { admit user && user=\${said:-$user}; }
  mkfifo "$spool/1" "$spool/2" && { [ "$user" = "$me" ] || chown "$user" "$spool/1" "$spool/2"; } || return 1
  (trap '' TERM && exec cat <"$spool/1" >>"$spool/out") & one=$!
  (trap '' TERM && exec cat <"$spool/2" >>"$spool/err") & two=$!
  set -- env SAVEPOINT_TRANSACTION="$id" SAVEPOINT_ROOT="\${root:-/}" PATH="$job_path" /bin/sh -s
  # Not through PAM where that can be had: it would move the phase out of its scope into a session's.
  if [ "$user" = "$me" ]; then :; elif command -v runuser >/dev/null; then set -- runuser -u "$user" -- "$@"
  else set -- su -s /bin/sh "$user" -c "exec env SAVEPOINT_TRANSACTION=$id SAVEPOINT_ROOT='\${root:-/}' /bin/sh -s"; fi
  (umask "$job_umask" && cd / && say "\${text%.}" | "$@" >"$spool/1" 2>"$spool/2")
  code=$? naps=0 # when the host goes down with it, which it may, it has no status and is not over
  ! systemd || [ ! -e "$tx/reboot" ] || case $(trap '' TERM && systemctl is-system-running 2>/dev/null) in
    initializing | starting | running | degraded | maintenance) ;; *) return ;; esac
  while life_of $one && [ -n "$life" ] || { life_of $two && [ -n "$life" ]; } && [ $naps -lt 40 ]; do naps=$((naps + 1))\
 && sleep 0.02; done
  [ -e "$tx/decision" ] || [ $code -gt 128 ] || wrote 2>/dev/null
  [ ! -e "$tx/reboot" ] || { rm -f "$tx/reboot" && sync "$tx"; } && echo $code 1<>"$spool/ended" && mv -f "$spool/ended"\
 "$spool/status" # in its room
}
kill_job() { # nothing of the job may go on writing. TERM, a grace, then KILL, until none is left
  unit="savepoint-$id-job-*.scope" && ! systemd || [ -z "$(systemctl list-units --no-legend "$unit")" ] || { killed=yes;\
 systemctl stop "$unit"; }
  for signal in TERM KILL; do
    waited=0 && while job_pids && [ $waited -lt $((GRACE * 10)) ]; do
      # shellcheck disable=SC2086 # one word a process
      [ $((waited % 10)) -ne 0 ] || kill -s $signal $pids 2>/dev/null; killed=yes waited=$((waited + 1)) && sleep 0.1
    done
    [ -n "$pids" ] || return 0; done
}
job_pids() { # sets pids to those that have the mark of this transaction. With -F busybox looks no further than the firs\
t NUL
  set -- /proc/[0-9]*/environ && [ -e "$1" ] || set -- /proc/[0-9]*/environ # a list that could not be read looks like n\
one
  pids='' && for pid in $(grep -l "SAVEPOINT_TRANSACTION=$id" "$@" 2>/dev/null); do
    pid=\${pid#/proc/} && pid=\${pid%/environ} && [ "$pid" = $$ ] || pids="$pids $pid"; done
  [ -n "$pids" ]
}
# ---- verbs -----------------------------------------------------------------------------------------------------------\

case \${1:-} in
  begin | apply | renew | commit | rollback | status | recover | clear) "$1" ;;
  exec) run_phase ;;
  kill) read_request && mine && kill_job && ok id "$id" && echo ;;
  watch | finish | boot | supervise) guard='' root=$2 state=$3 id=\${4:-} && place && "$1" "\${5:-}" "\${6:-}" ;;
  version) echo $VERSION ;;
  *) fail guard-protocol "unknown verb '\${1:-}': begin apply exec kill renew commit rollback status recover clear are kn\
own" ;;
esac
unlock
`,others:{"1.0.0":[[0,2],"#",[2,4],"#",[6,3],'# shellcheck disable=SC2015 # in "a && b || fail" the failure of either is\
 meant',"set -u","job_path=$PATH job_umask=$(umask)","LC_ALL=C TZ=UTC PATH=/usr/sbin:/usr/bin:/sbin:/bin","export LC_ALL\
 TZ PATH","umask 077","unset CDPATH ENV BASH_ENV IFS TMPDIR TAR_OPTIONS POSIXLY_CORRECT LD_PRELOAD LD_LIBRARY_PATH","VER\
SION=1.0.0 PROTOCOL=1","LOCK_WAIT=600                             # seconds to wait for another guard: rolling back very\
 many files takes minutes","GRACE=5                                   # seconds a job's process has between TERM and KIL\
L","KEEP=20 KEEP_DAYS=30 KEEP_KIB=262144      # ended transactions kept for audit: at most so many, so old, so large tog\
ether","# shellcheck disable=SC2034 # read_request uses it in eval","NL='",[19,1],"SOH=$(printf '\\001') TAB=$(printf '\\t\
')",[700,1],[20,1],[700,1],`# read_request: lines "key value" up to an empty one; what follows is the verb's to read, an\
d none of it is lost:`,"# `read` takes a byte at a time from a pipe.","read_request() {",[22,1],"  reason='' running='' \
nonce='' track='' remove='' refresh='' probe=''","  IFS= read -r line || fail guard-protocol 'no request on standard inp\
ut'",`  [ "$line" = "savepoint $PROTOCOL" ] || fail guard-protocol "the request begins '$line', not 'savepoint $PROTOCOL\
'"`,'  while IFS= read -r line && [ -n "$line" ]; do',"    case ${line%% *} in",'      track | remove | refresh | probe)\
 eval "${line%% *}=\\$${line%% *}\\${line#* }\\$NL" ;;',[29,1],'        running | nonce) eval "${line%% *}=\\${line#* }" \
;;',[31,3],`  case $guard in *[!a-f0-9]*) fail guard-protocol "'$guard' is not a digest" ;; esac`,"  case $fence.$lease.\
$deadline in *[!0-9.]* | *..* | .* | *.) fail guard-protocol 'fence, lease, deadline: whole numbers' ;; esac",[36,1],"  \
state=$root/var/lib/savepoint",'  if [ -z "$root" ] && [ "$(id -u)" != 0 ]; then state=${state_dir:-${XDG_STATE_HOME:-${\
HOME:-}/.local/state}/savepoint}; fi',"  place",[39,1],[700,1],'# place: all work is done from the root, by relative nam\
es ("./etc/apt"), which never begin with a dash.',"place() {",'  cd "$root/" || fail host-file-missing "the root $root i\
s not there"',"  tx=$state/tx/$id work=$state/tx/$id/work",[39,1],[700,1],"# ok KEY VALUE...: the verb was done, and wha\
t there is to say about it.","ok() {",`  printf 'savepoint %s ok\\n' "$PROTOCOL"`,`  while [ $# -gt 1 ]; do printf '%s %\
s\\n' "$1" "$2"; shift 2; done`,[39,1],[700,1],"# fail NAME TEXT: the verb is refused, by a name of the error catalogue.",
"fail() {","  unlock",`  printf 'savepoint %s error %s\\nmessage %s\\n\\n' "$PROTOCOL" "$1" "$(printf %s "$2" | tr '\\n\\001'\
 '  ')"`,"  exit 1",[39,1],[700,1],"# mine: this verb may act on the transaction: it is here, the token is right, and no\
body came later.","mine() {",`  if [ -z "$id" ] || [ ! -e "$tx/token" ]; then fail not-open "there is no transaction '$i\
d' on this host"; fi`,'  [ "$(printf %s "$token" | sha256sum)" = "$(cat "$tx/token")" ] || fail bad-token "the token is \
not that of transaction $id"','  read -r seen <"$tx/fence" || seen=0',[61,1],'  [ "$fence" -eq "$seen" ] || echo "$fence\
" | put "$tx/fence" || fail host-write-failed "cannot write $tx/fence"','  tools=$(cat "$tx/tools" 2>/dev/null) || tools\
=gnu',[39,1],[700,1],"# undecided: the transaction may still be changed.","undecided() {",'  [ -e "$tx/armed" ] || fail \
not-open "transaction $id was never armed"','  [ ! -e "$tx/decision" ] || fail not-open "transaction $id is decided: $(c\
at "$tx/decision")"',[39,1],[700,1],[66,1],[700,1],"# put FILE: standard input becomes FILE, whole and durable, or FILE \
stays as it was.",'put() { cat >"$1.$$" && sync "$1.$$" && mv -f "$1.$$" "$1" && sync "${1%/*}"; }',[700,1],[69,1],"flus\
h() {",'  [ -n "${sync_f:-}" ] || case $(sync --help 2>&1) in *-f*) sync_f=yes ;; *) sync_f=no ;; esac','  if [ "$sync_f\
" = yes ]; then sync -f "$@"; else sync; fi',[39,1],[700,1],"# flush_tracked: every tracked path, and the directory that\
 holds its name.","flush_tracked() {","  set --","  while IFS= read -r path; do",'    nearest "$path"','    set -- "$@" \
"$dir/"','    if [ -d ".$path" ] && [ ! -L ".$path" ]; then set -- "$@" ".$path/"; fi',[497,1],[73,2],[700,1],"# nearest\
 PATH: sets dir to the closest directory above PATH that is there.","nearest() {","  dir=${1%/*}",'  while [ -n "$dir" ]\
 && [ ! -d ".$dir" ]; do dir=${dir%/*}; done',"  dir=.$dir",[39,1],[700,1],[76,1],'straight() { real=$(cd -P "$1/" 2>/de\
v/null && pwd -P) && here=$(pwd -P) && [ "${real%/}" = "${here%/}${1#.}" ]; }',[700,1],"# In our lists a name is a line,\
 and \\001 stands for a line break within it. names: to NUL-ended ones; lines: back;","# named LINE: sets name to the on\
e name that LINE stands for.","names() { tr '\\n\\001' '\\000\\n'; }","lines() { tr '\\n\\000' '\\001\\n'; }","named() {",
"  name=$1",`  case $1 in *"$SOH"*) name=$(printf '%s.' "$1" | tr '\\001' '\\n') && name=\${name%.} ;; esac`,[39,1],[700,
1],"boot_id() { cat /proc/sys/kernel/random/boot_id; }",[700,1],"# uptime: whole seconds of the monotonic clock, which s\
etting the date does not move.",'uptime() { read -r up _ </proc/uptime && echo "${up%%.*}"; }',[700,1],"# started PID: s\
tart time of a living process (proc(5), field 22); nothing for one that is dead.","started() {",'  read -r stat 2>/dev/n\
ull <"/proc/$1/stat" || return 0',[95,1],"  set -- ${stat##*) }","  case $1 in Z | X) return 0 ;; esac","  shift 19",'  \
echo "$1"',[39,1],[700,1],"# lock: one guard at a time changes anything. Each first puts its own name down, then looks f\
or others, so two can","# never both find nobody. The name of a dead process counts for nothing.","lock() {",'  mkdir -p\
 "$state/lock" || fail host-write-failed "cannot write below $state"',"  locked=$state/lock/$$.$(started $$).$(boot_id) \
tries=0 since=$(uptime)",'  while : >"$locked" || fail host-write-failed "cannot write $locked"; do',"    holds=''",'   \
 for other in "$state/lock"/*; do','      if [ "$other" = "$locked" ] || [ ! -e "$other" ]; then continue; fi',"      pi\
d=${other##*/} && name=${pid#*.} && pid=${pid%%.*}",'      if [ "$(started "$pid").$(boot_id)" = "$name" ]; then holds=$\
pid; break; fi','      rm -f "$other"',[107,1],'    [ -n "$holds" ] || return 0','    rm -f "$locked"','    [ $(($(uptim\
e) - since)) -lt $LOCK_WAIT ] || fail host-busy "guard process $holds is at work for over $LOCK_WAIT s"',"    tries=$((t\
ries + 1))",'    sleep "0.$(((($$ + tries * 7) % 20) + 10))"',[111,2],[700,1],'unlock() { [ -z "${locked:-}" ] || rm -f \
"$locked"; }',[700,1],[114,1],[700,1],"# present COMMAND...: runs COMMAND with the tracked paths that are there, if any \
are.","present() {","  given=$#","  while IFS= read -r path; do",'    if [ -e ".$path" ] || [ -L ".$path" ]; then set --\
 "$@" ".$path"; fi',[497,1],'  [ $# -eq $given ] || "$@"',[39,1],[700,1],"# look FILE: lists every entry of the tracked \
paths, sorted, tab-separated:","#   type mode uid gid size mtime | device:inode ctime | path","# A rollback brings back \
the first six. The next two tell that nobody has touched a file: no one can set a change time.","# Directories go withou\
t, since it moves with their entries. Sockets, pipes and devices are not ours to restore.",'look() { : >"$1" && present \
list_into "$1"; }',"list_into() {","  list=$1","  shift",'  if [ "$tools" = gnu ]; then',`    find "$@" -xdev \\( -type d\
 -printf 'd\\t%m\\t%U\\t%G\\t0\\t%T@\\t0\\t0\\t%p\\0' \\) -o \\( -type f -o -type l \\) \\`,`      -printf '%y\\t%m\\t%U\\t\
%G\\t%s\\t%T@\\t%D:%i\\t%C@\\t%p\\0' >"$list.raw" && lines <"$list.raw" | sort >"$list"`,[128,1],'    find "$@" -xdev \\(\
 -type d -o -type f -o -type l \\) -print0 >"$list.raw" &&','      xargs -0 stat -c "%f$TAB%f$TAB%u$TAB%g$TAB%s$TAB%Y$TA\
B%d:%i$TAB%z$TAB%n" <"$list.raw" |',`      awk -F "$TAB" -v OFS="$TAB" '{ t = substr($1, 1, 1); $1 = t == "4" ? "d" : t \
== "a" ? "l" : "f"`,`        if ($1 == "d") $5 = $7 = $8 = 0; if ($1 == "l") $6 = 0; print }' | sort >"$list"`,'  fi && \
rm -f "$list.raw"',[39,1],[700,1],`# Of such a list: the paths, in the archive's order; what must come back; the lines o\
f one type (== "d").`,"paths_of() { cut -f9- | sort; }","state_of() { cut -f1-6,9- | sort; }",'only() { awk -F "$TAB" "\\\
$1 $1"; }',[700,1],"# attributes FILE: where links point, and extended attributes, ACLs, labels and capabilities as far \
as this host can","# tell (getfattr), one entry a line, sorted.",'attributes() { : >"$1" && present attributes_into "$1"\
; }',"attributes_into() {","  list=$1","  shift","  {",`    [ "$tools" != gnu ] || find "$@" -xdev -type l -printf 'link\
 %p -> %l\\0' | lines`,'    ! command -v getfattr >/dev/null || getfattr -R -P -h -d -m - -e hex -- "$@" 2>/dev/null |',
`      awk 'BEGIN { RS = ""; FS = "\\n"; OFS = "\\t" } { $1 = $1; print }'`,'  } | sort >"$list"',[39,1],[700,1],"# sums\
 LIST: the SHA-256 of each file of LIST, in its order.","sums() {",'  if [ "$tools" = gnu ]; then names <"$1" | xargs -0\
 -r sha256sum -z -- | lines; else names <"$1" | xargs -0 -r sha256sum --; fi',[39,1],[700,1],"# pack LIST FILE: archives\
 the listed entries with all their metadata, but for access times, which move by reading,","# and change times, which ca\
nnot be set.",[157,1],'  if [ "$tools" = gnu ]; then','    names <"$1" >"$work/pack" && tar -cf "$2" --format=posix --pa\
x-option=delete=atime,delete=ctime --numeric-owner \\',`      --sparse --xattrs --xattrs-include='*' --acls --selinux --\
no-recursion --null -T "$work/pack"`,[128,1],'    : >"$2" && present tar -cf "$2"',[199,1],[39,1],[700,1],"# unpack DIR \
LIST: the listed entries of the backup appear below DIR, with all their metadata. LIST has the archive's","# order, so o\
ne pass is enough however long it is (tar --same-order).",[162,1],'  if [ ! -s "$2" ]; then',"    return 0",'  elif [ "$\
tools" = gnu ]; then','    names <"$2" >"$work/unpack" && tar -xpf "$tx/backup.tar" -C "$1" --numeric-owner --same-owner\
 --xattrs \\',`      --xattrs-include='*' --acls --selinux --no-recursion --same-order --null -T "$work/unpack"`,[128,1],
'    tar -xpf "$tx/backup.tar" -C "$1"',[199,1],[39,1],[700,1],"# packages: what is installed. A transaction does not ro\
ll packages back; it shows how they differ.","packages() {",[169,2],'  elif [ -n "$root" ]; then :',"  elif command -v r\
pm >/dev/null; then rpm -qa","  elif command -v apk >/dev/null; then apk info -v","  elif command -v pacman >/dev/null; \
then pacman -Q","  fi 2>/dev/null | sort",[39,1],[700,1],[174,1],[700,1],[175,1],"  read_request",`  if [ -z "$id" ] || \
[ -z "$token" ] || [ -z "$track" ]; then fail guard-protocol 'begin needs id, token and track'; fi`,'  mkdir -p "$state/\
tx" || fail host-write-failed "cannot write below $state"',"  lock","  not_quarantined","  claim","  preflight","  back_\
up",'  watchdog_start && boot_recovery_install && lease_write && boot_id | put "$tx/armed" ||',"    abandon host-write-f\
ailed 'the watchdog, or recovery at boot, could not be set up'","  begun",[39,1],[700,1],"# begun: the answer, also for \
a controller that asks again because it lost the first one.","begun() {",'  ok id "$id" guard_version "$VERSION" tools "\
$tools" boot "$(cat "$tx/armed")" \\','    entries "$(wc -l <"$tx/before")" bytes "$(wc -c <"$tx/backup.tar")"',`  sed '\
s/^/warning /' "$tx/warnings"`,[620,2],[700,1],[184,1],[700,1],"# claim: makes this the one open transaction of the host\
, or says who holds it.","claim() {",[600,1],"  other=$state/tx/$held",[192,1],"    mine","    undecided","    begun"," \
   unlock","    exit 0",[194,1],'    left=$(lease_left "$other")','    if [ ! -e "$other/decision" ] && [ "$left" -gt 0 \
]; then',[196,1],"    fi","    unlock",`    by_its_guard "$held" 'the next begin' >/dev/null 2>&1`,"    lock","    not_q\
uarantined",[198,2],'  rm -rf "$tx"','  mkdir -p "$work" && printf %s "$track" >"$tx/tracked" && printf %s "$token" | sh\
a256sum >"$tx/token" &&',[201,1],`    date '+%Y-%m-%dT%H:%M:%SZ' >"$tx/since" && printf %s "$refresh" >"$tx/refresh" && \
printf %s "$probe" >"$tx/probe" &&`,'    echo "$on_conflict" >"$tx/on_conflict" && : >"$tx/warnings" && : >"$tx/absent" \
&& echo "$lease" >"$tx/seconds" &&','    echo "$(boot_id) $(($(uptime) + deadline))" >"$tx/deadline" && lease_write &&',
'    echo "$id" | put "$state/open" || abandon host-write-failed "cannot write below $state"',[39,1],[700,1],"# abandon \
NAME TEXT: ends a begin that did not come as far as `armed`: nothing was changed.","abandon() {","  discard",'  fail "$1\
" "$2"',[39,1],[700,1],"discard() {","  clear_stages",'  [ "$(cat "$state/open" 2>/dev/null)" != "$id" ] || rm -f "$stat\
e/open"','  rm -rf "$tx"',[39,1],[700,1],"# preflight: whatever would stop a rollback later is found now, while nothing \
is changed.","preflight() {","  for tool in awk cat chmod chown cmp comm cp cut date df find grep head mkdir mv rm rmdir\
 sed sha256sum sleep sort \\","    stat sync tail tar touch tr wc xargs; do",'    command -v $tool >/dev/null || abandon\
 host-tools-missing "this host has no $tool, which the guard needs"',[32,1],[217,1],"  if ! find / -maxdepth 0 -printf '\
' 2>/dev/null || ! tar --version 2>/dev/null | grep -q 'GNU tar'; then","    tools=plain",'    [ "$degraded" = yes ] || \
abandon host-degraded \\',[220,1],'    echo "degraded: $lost are not kept" >>"$tx/warnings"',[199,1],'  echo $tools >"$t\
x/tools"','  while IFS= read -r path; do check_place "$path"; done <"$tx/tracked"',[227,1],`  [ "$tools" = gnu ] || ! gr\
ep -q "$SOH" "$tx/before" || abandon host-degraded 'a tracked name holds a line break'`,`  needed=$(awk -F "$TAB" '{ n +\
= $5 + 1536 } END { printf "%d", n / 512 + 4096 }' "$tx/before")`,'  enough "$state"','  while IFS= read -r path; do nea\
rest "$path"; enough "$dir/"; done <"$tx/tracked"',[39,1],[700,1],"# enough DIR: room for the backup and a reserve of it\
s size, or for a staged copy beside the targets.","enough() {",`  free=$(df -Pk "$1" 2>/dev/null | awk 'NR == 2 { print \
$4 }')`,'  [ -z "$free" ] || [ "$free" -ge "$needed" ] ||','    abandon host-no-space "$needed KiB are needed on the fil\
e system of ${1#.}, $free KiB are free"',[39,1],[700,1],"# check_place PATH: it could be renamed over, and it is where i\
ts name says.","check_place() {","  dir=${1%/*} flags=-a",'  while [ -n "$dir" ] && [ ! -e ".$dir" ] && [ ! -L ".$dir" ]\
; do',`    printf '%s\\n' ".$dir" >>"$tx/absent"`,"    dir=${dir%/*}",[32,1],`  straight ".$dir" || abandon path-under-s\
ymlink "$1 is not below a directory of its own name but below '$real'; track that"`,'  mkdir ".$dir/.savepoint.$id" 2>/d\
ev/null && rmdir ".$dir/.savepoint.$id" ||','    abandon path-not-replaceable "$1 cannot be replaced: $dir/ is read-only\
, immutable or not yours"',"  while read -r _ _ _ _ point _; do",'    case $point in *\\\\*) point=$(printf %b "$point") ;\
; esac','    case $point in "${here%/}$1" | "${here%/}$1"/*) abandon path-not-replaceable "$point is a mount point" ;; e\
sac',"  done </proc/self/mountinfo",'  if ! command -v lsattr >/dev/null || [ ! -e ".$1" ] || [ -L ".$1" ]; then return;\
 fi','  [ ! -d ".$1" ] || flags=-aR',`  frozen=$(lsattr $flags ".$1" 2>/dev/null | awk '$1 ~ /^[-a-zA-Z]*[ia]/ && $2 ~ /\
^\\.\\// { print $2; exit }')`,'  [ -z "$frozen" ] || abandon path-not-replaceable "${frozen#.} is immutable or append-o\
nly (see lsattr)"',[39,1],[700,1],"# back_up: the copy, its hashes and the manifest, proved to be what is there and made\
 durable. So are the originals:","# after a power loss, what nobody touched must still be what was there.","back_up() {",
"  tries=0","  while [ $tries -lt 5 ]; do","    tries=$((tries + 1))",`    paths_of <"$tx/before" >"$tx/paths" && only '\
== "f"' <"$tx/before" | paths_of >"$tx/files" &&`,'      pack "$tx/paths" "$tx/backup.tar" && sums "$tx/files" >"$tx/sum\
s" && attributes "$tx/attributes" &&',`      look "$work/again" || abandon host-write-failed 'the backup could not be wr\
itten'`,'    ! cmp -s "$tx/before" "$work/again" || tries=9',`    changing=$(comm -3 "$tx/before" "$work/again" | tr -d \
'\\t' | sed -n '1s|^[^/]*\\./|/|p')`,'    mv -f "$work/again" "$tx/before"',[32,1],'  [ $tries -eq 9 ] || abandon path-c\
hanging "someone is changing $changing while it is being copied"',[265,1],'  head -c "$(($(wc -c <"$tx/backup.tar") + 10\
48576))" /dev/zero >"$tx/reserve" ||',[267,1],'  present left_alone >>"$tx/warnings"','  cp "$tx/before" "$tx/written" &\
& packages >"$tx/packages" && flush "$state" && flush_tracked ||',"    abandon host-write-failed 'the backup could not b\
e made durable'",[39,1],[700,1],"# verify_backup: the archive holds the bytes of the files, by hash; of hard links, thos\
e of the first.","verify_backup() {",'  if [ ! -s "$tx/files" ]; then',"    return 0",'  elif [ "$tools" = gnu ]; then',
`    cut -f1,7,9- "$tx/before" | sort -t "$TAB" -k3 | awk -F "$TAB" '$1 == "f" && !seen[$2]++' | cut -f3- >"$work/firsts\
"`,'    [ "$(names <"$work/firsts" | xargs -0 cat -- | sha256sum)" = "$(tar -xOf "$tx/backup.tar" | sha256sum)" ]',[128,
1],'    mkdir "$work/check" && unpack "$work/check" "$tx/files" && (cd "$work/check" && sums "$tx/files") | cmp -s - "$t\
x/sums"',[199,1],[39,1],[700,1],"left_alone() {",'  find "$@" -xdev \\( -type s -o -type p -o -type b -o -type c \\) -prin\
t0 | lines |',"    sed 's|^\\.|left alone (socket, pipe or device): |'",[39,1],[700,1],"# ---- apply -------------------\
----------------------------------------------------------------------------------------",[700,1],"# apply: lays the tre\
e that follows the request (a tar archive) over the tracked paths, and removes what it was told","# to. New files are st\
aged beside their targets, whole and durable, then renamed.","apply() {","  read_request","  lock","  mine","  undecided",
'  rm -rf "$tx/new" && mkdir -p "$work" "$tx/new" && cd "$tx/new" || fail host-write-failed "cannot write below $tx"',' \
 tar -xpmf - --no-same-owner 2>"$work/log" || fail host-write-failed "the change cannot be unpacked: $(head -n 1 "$work/\
log")"','  find . -type d | sort >"$work/new.dirs" && find . ! -type d | sort >"$work/new.files"',"  odd=$(find . ! -typ\
e d ! -type f ! -type l | head -n 1)","  place",'  [ -z "$odd" ] || fail files-bad-entry "${odd#.} is neither file, dire\
ctory nor symbolic link"',`  printf %s "$remove" | sed 's/^/./' >"$work/removed"`,'  within "$work/new.files" files-outs\
ide-tracked','  within "$work/removed" remove-outside-tracked',"  clear_stages","  each_new_directory stage_new && flush\
_tracked || fail host-write-failed 'the change could not be staged'",'  each_new_directory rename_new && names <"$work/r\
emoved" | xargs -0 -r rm -rf -- && clear_stages && flush_tracked &&',`    look "$tx/written" && compare "$tx/written" ||\
 fail host-write-failed 'the change could not be put into place'`,'  rm -rf "$tx/new"','  ok id "$id"',"  report changed\
 added",[620,1],'  show_diff "$tx/written" a b',[39,1],[700,1],"# within LIST NAME: refuses entries that no tracked path\
 covers.","within() {",`  outside=$(awk 'FILENAME == ARGV[1] { t["." $0]; next } { for (p in t) if ($0 == p || index($0,\
 p "/") == 1) next`,`    print; exit }' "$tx/tracked" "$1")`,`  [ -z "$outside" ] || fail "$2" "\${outside#.} is in none \
of the tracked paths: $(tr '\\n' ' ' <"$tx/tracked")"`,[39,1],[700,1],"# each_new_directory DO: for every directory of t\
he change that is on the host already.","each_new_directory() {","  while IFS= read -r dir; do",'    if [ "$dir" != . ] \
&& [ -L "$dir" ]; then fail path-under-symlink "${dir#.} is a symbolic link on this host"; fi','    [ ! -d "$dir" ] || "\
$1" "$dir" || return 1','  done <"$work/new.dirs"',[39,1],[700,1],"# stage_new DIR: the new entries of DIR, in a stage i\
nside it, so that they get its label and default ACL. One that","# replaces a file keeps that file's owner, mode, ACL, l\
abel and attributes: its bytes are written into a full copy.","stage_new() {","  stage=$1/.savepoint.$id under=$1","  se\
t --",'  for new in "$tx/new/$under"/* "$tx/new/$under"/.[!.]* "$tx/new/$under"/..?*; do',"    name=${new##*/} old=$unde\
r/${new##*/}",'    if [ ! -e "$new" ] && [ ! -L "$new" ]; then continue; fi','    if [ -d "$old" ] && [ ! -L "$old" ]; t\
hen','      [ ! -d "$new" ] || [ -L "$new" ] || continue','      fail files-bad-entry "${old#.} is a directory on this h\
ost"',"    fi",'    mkdir -p "$stage" || return 1','    if [ -f "$new" ] && [ ! -L "$new" ] && [ -f "$old" ] && [ ! -L "\
$old" ]; then set -- "$@" "$name"','    else cp -RPp "$new" "$stage/" || return 1; fi',[32,1],"  [ $# -gt 0 ] || return \
0",`  printf '%s\\n' "$@" | sed "s|^|$under/|" | names | into "$stage" cp -a &&`,`    printf '%s\\n' "$@" | sed "s|^|$tx/\
new/$under/|" | names | into "$stage" cp -P`,[39,1],[700,1],'rename_new() { [ ! -d "$1/.savepoint.$id" ] || move_entries\
 "$1/.savepoint.$id" "$1"; }',[700,1],"# into DIR COMMAND OPTION: COMMAND for the NUL-ended names on standard input, wit\
h DIR as their target.","# shellcheck disable=SC2016 # the inner shell expands these","into() {","  target=$1","  shift",
`  xargs -0 -r sh -c 'd=$1 c=$2 o=$3; shift 3; exec "$c" "$o" -- "$@" "$d"' sh "$target/" "$@"`,[39,1],[700,1],"# move_e\
ntries FROM TO [TEST...]: renames the entries of one directory into another, over what is there.","move_entries() {","  \
from=$1 to=$2","  shift 2",'  find "$from" -mindepth 1 -maxdepth 1 "$@" -print0 >"$work/moving" && into "$to" mv -f <"$w\
ork/moving"',[39,1],[700,1],"# clear_stages: removes what an interrupted guard left beside and below the tracked paths.",
"clear_stages() {","  while IFS= read -r path; do",'    nearest "$path"','    rm -rf "$dir/.savepoint.$id"',[497,1],"  p\
resent clear_stages_in",[343,1],'clear_stages_in() { find "$@" -xdev -type d -name ".savepoint.$id" -prune -exec rm -rf \
-- {} +; }',[700,1],"# ---- comparing ----------------------------------------------------------------------------------\
---------------------",[700,1],"# compare NOW: what differs between the backup and NOW, each a sorted list of paths:","#\
   touched   files and links that are no longer the very ones of then, or are gone","#   added     entries that were not\
 there        lost   directories that are gone, or not one now",[351,1],`  comm -23 "$tx/before" "$1" | only '!= "d"' | \
paths_of >"$work/touched" &&`,'    paths_of <"$1" >"$work/now.paths" && comm -13 "$tx/paths" "$work/now.paths" >"$work/a\
dded" &&',`    only '== "d"' <"$1" | paths_of >"$work/now.dirs" &&`,`    only '== "d"' <"$tx/before" | paths_of | comm -\
23 - "$work/now.dirs" >"$work/lost"`,[39,1],[700,1],"# report TOUCHED ADDED: a line a path, for the answer. What nobody \
touched is not listed.","report() {",'  sed "s|^\\.|path $1 |" "$work/touched"','  sed "s|^\\.|path $2 |" "$work/added"',
[39,1],[700,1],"# show_diff NOW FROM TO: what the job changed (a to b), or what a rollback undoes (b to a). The bytes of\
 a file that","# not everyone may read are never shown: they may hold a password. At most 200 files.","show_diff() {",[395,
1],`  comm -3 "$tx/before" "$1" | sed "s/^$TAB//" | awk -F "$TAB" '$1 != "d" {`,"    path = $0; for (i = 1; i < 9; i++) \
path = substr(path, index(path, FS) + 1)","    seen[path]; if ($2 !~ /[4-7c-f]$/) secret[path] }",`    END { for (path i\
n seen) print (path in secret ? "-" : "+") path }' | sort -k 1.2 | head -n 200 >"$work/shown"`,`  sed -n 's/^+//p' "$wor\
k/shown" | comm -12 - "$tx/paths" >"$work/shown.before"`,'  rm -rf "$work/a" && mkdir "$work/a" && unpack "$work/a" "$wo\
rk/shown.before" || return 0',"  while IFS= read -r path; do",'    named "${path#??}"','    case $path in -*) echo "diff\
 ${path#??}: not everyone may read it, so it is not shown"; continue ;; esac','    readable "$work/a/$name" "$work/link.\
a" && old=$readable && readable "./$name" "$work/link.b" || continue','    if [ "$2" = a ]; then set -- "$1" a b "$old" \
"$readable"; else set -- "$1" b a "$readable" "$old"; fi','    diff -u -L "$2${path#??}" -L "$3${path#??}" -- "$4" "$5" \
2>/dev/null | head -n 400','  done <"$work/shown"',[39,1],[700,1],"# readable FILE LINK: sets readable to FILE, to its t\
arget's name in LINK, or to nothing at all.","readable() {","  readable=/dev/null",'  if [ -L "$1" ]; then readlink "$1"\
 >"$2" && readable=$2; elif [ -f "$1" ]; then readable=$1; fi',[39,1],[700,1],[402,1],[700,1],"# decide WORD WHO: the on\
e write-once record. Linking a synced file either makes it, whole, or finds that someone was","# first. Sets decision an\
d by to what holds. Only exactly `commit` is a commit.","decide() {",[404,3],'    rm -f "$tx/decision.$$"',[199,1],'  sy\
nc "$tx" && read -r decision by <"$tx/decision" || return 1','  [ "$decision" = commit ] || decision=rollback',[39,1],[700,
1],"# commit: what the tracked paths hold by now, whoever wrote it, is made durable, then decided for.","commit() {","  \
read_request","  lock","  mine",'  [ -e "$tx/armed" ] || undecided',[412,1],`  decide commit "\${reason:-controller}" || \
fail host-write-failed 'the decision could not be recorded'`,"  conclude","  answer",[39,1],[700,1],[415,1],"  read_requ\
est",'  rm -f "$tx/reserve"',"  mine","  kill_job","  lock",'  if [ ! -e "$tx/armed" ]; then',"    discard",'    ok id "\
$id" decision rollback by "${reason:-controller}" outcome rolled-back',"    echo","    return",[199,1],`  decide rollbac\
k "\${reason:-controller}" || fail host-write-failed 'the decision could not be recorded'`,"  conclude","  answer",[39,1],
[700,1],"# conclude: what follows from the decision. Anyone may run it, again, after it was killed anywhere.","conclude(\
) {",'  case $(cat "$tx/outcome" 2>/dev/null) in',"    '' | rollback-failed)",'      mkdir -p "$work"','      if [ "$dec\
ision" = rollback ]; then restore; else settle; fi','      packages | comm -3 "$tx/packages" - | sed "s/^$TAB/package + \
/; t','        s/^/package - /" >"$tx/packages.changed"','      echo "$outcome" | put "$tx/outcome" || return 1',"      \
;;",[222,1],"  clear_stages",'  rm -f "$tx/reserve"','  [ "$(cat "$state/open" 2>/dev/null)" != "$id" ] || rm -f "$state\
/open"','  rm -rf "$work" && prune && sync "$state" "$tx"',[39,1],[700,1],"settle() {","  outcome=committed",'  look "$w\
ork/now" && compare "$work/now" && report changed added >"$tx/report" && show_diff "$work/now" a b >"$tx/diff"',[39,1],[
700,1],"answer() {",'  ok id "$id" decision "$decision" by "$by" outcome "$(cat "$tx/outcome")"','  cat "$tx/report" "$t\
x/packages.changed" 2>/dev/null',`  sed 's/^/warning /' "$tx/warnings"`,[620,1],'  cat "$tx/diff" 2>/dev/null',[39,1],[700,
1],"# prune: ended transactions are kept for audit up to a number, an age and a size.","prune() {","  count=0","  # shel\
lcheck disable=SC2012 # the names are ids: a-z, 0-9 and -",'  ls -t "$state/tx" | while IFS= read -r each; do',"    each\
=$state/tx/$each count=$((count + 1))",`    case $(cat "$each/outcome" 2>/dev/null) in '' | rollback-failed) continue ;;\
 esac`,'    if [ $count -gt $KEEP ] || [ -n "$(find "$each/outcome" -mtime +$KEEP_DAYS)" ] ||','      [ "$(du -sk "$stat\
e/tx" | cut -f1)" -gt $KEEP_KIB ]; then [ "$each" = "$tx" ] || rm -rf "$each"; fi',[111,2],[700,1],[448,1],[700,1],"# re\
store: every tracked path as it was, proved by hash and metadata. Sets outcome.","restore() {","  outcome=rollback-faile\
d attempt=0","  while [ $attempt -lt 3 ]; do","    attempt=$((attempt + 1))","    kill_job","    clear_stages",'    look\
 "$work/now" || continue','    [ -e "$tx/diff" ] || { compare "$work/now" && find_edits && report restored removed >"$tx\
/report" &&','      show_diff "$work/now" b a >"$work/diff" && mv -f "$work/diff" "$tx/diff"; } || continue','    [ "$(c\
at "$tx/armed")" = "$(boot_id)" ] && [ $attempt -eq 1 ] && [ -z "${thorough:-}" ] || distrust || continue',"    put_back\
 && restore_directories && flush_tracked && verify || continue","    outcome=rolled-back",'    [ ! -s "$tx/edited" ] || \
outcome=conflict',"    refresh_and_probe",`    [ "$(cut -d ' ' -f 2 2>/dev/null <"$state/quarantine")" != "$id" ] || rm \
-f "$state/quarantine"`,"    return",[32,1],`  why="transaction $id could not be rolled back: $(head -n 3 "$work/differe\
nces" 2>/dev/null | tr '\\n\\t' '; ')"`,'  echo "$why" >>"$tx/warnings"','  echo "$why" | put "$state/quarantine"',[39,1],
[700,1],"# find_edits: what is neither in the backup nor what the transaction wrote was edited by someone else while no \
phase","# ran. Their version is kept in tx/<id>/theirs; the backup wins unless the job said otherwise.","find_edits() {",
'  : >"$tx/edited"','  [ ! -e "$tx/running" ] || return 0',"  {",`    comm -13 "$tx/written" "$work/now" | comm -23 - "$\
tx/before" | only '!= "d"' | paths_of`,'    paths_of <"$tx/written" | comm -23 - "$work/now.paths" | comm -12 - "$tx/pat\
hs"','  } | sort -u >"$work/edited"','  [ -s "$work/edited" ] || return 0','  rm -rf "$tx/theirs" && mkdir "$tx/theirs" \
&& comm -12 "$work/edited" "$work/now.paths" >"$work/theirs" || return 1','  [ "$tools" != gnu ] || { pack "$work/theirs\
" "$work/theirs.tar" && tar -xpf "$work/theirs.tar" -C "$tx/theirs"; } || return 1','  sed "s|^\\.\\(.*\\)|edited by someon\
e else: \\1; their version is $tx/theirs\\1|" "$work/edited" >>"$tx/warnings"','  mv -f "$work/edited" "$tx/edited"',[39,
1],[700,1],"# distrust: after a reboot, or a failed attempt, what a file's times say is no proof of its bytes. Files tha\
t hash","# otherwise than they did are taken for touched. Nothing stays immutable.","distrust() {","  ! command -v chatt\
r >/dev/null || present thaw 2>/dev/null",`  look "$work/now" && comm -12 "$tx/before" "$work/now" | only '== "f"' | pat\
hs_of >"$work/trusted" &&`,'    sums "$work/trusted" | sort >"$work/trusted.sums" && sort "$tx/sums" | comm -13 - "$work\
/trusted.sums" | cut -c67- >"$work/rotten" &&',`    awk -F "$TAB" 'FILENAME == ARGV[1] { rotten[$0]; next } { path = $0;\
 for (i = 1; i < 9; i++) path = substr(path, index(path, FS) + 1)`,`      if (!(path in rotten)) print }' "$work/rotten"\
 "$work/now" >"$work/sound" && mv -f "$work/sound" "$work/now"`,[39,1],'thaw() { find "$@" -xdev \\( -type f -o -type d \\\
) -exec chattr -f -ia -- {} + || :; }',[700,1],"# put_back: the old version of what was touched is staged beside each tr\
acked path, proved by hash, made durable and","# renamed into place; only then what was not there before is removed.","p\
ut_back() {",'  compare "$work/now" || return 1','  if [ "$(cat "$tx/on_conflict")" = keep ] && [ -s "$tx/edited" ]; the\
n','    for list in touched added; do comm -23 "$work/$list" "$tx/edited" >"$work/kept" && mv -f "$work/kept" "$work/$li\
st"; done',[199,1],'  sort "$work/touched" "$work/lost" >"$work/needed"',"  while IFS= read -r path; do",`    awk -v p="\
.$path" '$0 == p || index($0, p "/") == 1' "$work/needed" >"$work/need"`,'    [ -s "$work/need" ] || continue','    (uma\
sk 022 && mkdir -p ".${path%/*}") && nearest "$path" && straight "$dir" && stage=$dir/.savepoint.$id &&','      rm -rf "\
$stage" && mkdir "$stage" && unpack "$stage" "$work/need" && staged_well && flush "$stage/" &&','      make_way && move_\
back && rm -rf "$stage" || return 1',[497,1],"  remove_added",[39,1],[700,1],"# staged_well: what came out of the backup\
 has the bytes that went in.","staged_well() {",'  comm -12 "$work/need" "$tx/files" >"$work/staged" && sort "$tx/sums" \
>"$work/sums" &&','    (cd "$stage" && sums "$work/staged") | sort | comm -12 - "$work/sums" >"$work/good" &&','    [ "$\
(wc -l <"$work/good")" -eq "$(wc -l <"$work/staged")" ]',[39,1],[700,1],"# make_way: what is of another kind than it was\
 (a directory where a file was, a link where a directory was) cannot be","# renamed over. It is moved into the stage, an\
d goes with it.","make_way() {",'  { comm -12 "$work/touched" "$work/now.dirs"; comm -12 "$work/lost" "$work/now.paths";\
 } | sort | comm -12 - "$work/need" >"$work/odd"',"  count=0","  while IFS= read -r line; do","    count=$((count + 1))",
'    named "$line"','    if [ -e "$name" ] || [ -L "$name" ]; then mv -f -T "$name" "$stage/.aside.$count" || return 1; \
fi','  done <"$work/odd"',[39,1],[700,1],"# move_back: renames directories that were lost as a whole, then the files of \
every other one.","move_back() {",'  comm -12 "$work/need" "$work/lost" >"$work/whole"',"  while IFS= read -r line; do",
'    named "$line"','    [ ! -d "$stage/$name" ] || [ -d "$name" ] || mv -f -T "$stage/$name" "$name" || return 1','  do\
ne <"$work/whole"',`  sed 's|/[^/]*$||' "$work/need" | sort -u >"$work/parents"`,"  while IFS= read -r line; do",'    na\
med "$line"','    [ ! -d "$stage/$name" ] || move_entries "$stage/$name" "$name" ! -type d || return 1','  done <"$work/\
parents"',[39,1],[700,1],"# remove_added: what was not there before goes: files, then directories from the inside out.",
"remove_added() {","  # shellcheck disable=SC2016 # the inner shell expands this",'  if [ -s "$work/added" ]; then','   \
 comm -23 "$work/added" "$work/now.dirs" | names | xargs -0 -r rm -f -- 2>/dev/null','    comm -12 "$work/added" "$work/\
now.dirs" | sort -r | while IFS= read -r line; do','      named "$line"',`      if [ -d "$name" ] && [ ! -L "$name" ]; t\
hen printf '%s\\0' "$name"; fi`,'    done >"$work/added.dirs"',`    xargs -0 -r sh -c 'exec find "$@" -xdev ! -type d -e\
xec rm -f -- {} +' sh <"$work/added.dirs" &&`,'      xargs -0 -r rmdir -- <"$work/added.dirs" || return 1',[199,1],'  so\
rt -r "$tx/absent" | names | xargs -0 -r rmdir -- 2>/dev/null',"  :",[39,1],[700,1],"# restore_directories: their owner,\
 mode, times and attributes, last, since a rename inside one moves its times.","# Attributes that were not there are tak\
en off (an archive can only add).","restore_directories() {",'  look "$work/now" && state_of <"$work/now" >"$work/now.st\
ate" && attributes "$work/now.attributes" &&',`    state_of <"$tx/before" | comm -23 - "$work/now.state" | only '== "d"'\
 | cut -f7- >"$work/dirs"`,'  comm -13 "$tx/attributes" "$work/now.attributes" |',`    awk -F "$TAB" '/^# file: / { for \
(i = 2; i <= NF; i++) { sub(/=.*/, "", $i); print $i, substr($1, 9) } }' |`,"    while read -r attribute line; do",'    \
  [ ! -d "$(printf %b "$line")" ] || setfattr -h -x "$attribute" "$(printf %b "$line")"',[107,1],`  comm -23 "$tx/attrib\
utes" "$work/now.attributes" | awk -F "$TAB" '/^# file: / { print "./" substr($1, 9) }' >>"$work/dirs"`,'  if [ "$tools"\
 = gnu ]; then','    sort -u "$work/dirs" | comm -12 - "$tx/paths" >"$work/changed" && unpack . "$work/changed"',[128,1],
"    while IFS= read -r path; do",`      awk -F "$TAB" -v p="$path" '$1 == "d" && $9 == p { print $2, $3 ":" $4, $6 }' "\
$tx/before" >"$work/dir" &&`,'        read -r mode owner time <"$work/dir" && chown "$owner" "$path" &&','        chmod \
"$(printf %o $((0x$mode & 07777)))" "$path" && touch -d "@$time" "$path" || return 1','    done <"$work/dirs"',[199,1],[
39,1],[700,1],"# verify: kind, owner, mode, size and times of everything, link targets and attributes. The bytes of what\
 was restored","# were hashed before they were renamed, those of the rest when they were doubted.","verify() {",'  state\
_of <"$tx/before" >"$work/before.state" && look "$work/now" && state_of <"$work/now" >"$work/now.state" &&','    attribu\
tes "$work/now.attributes" && comm -3 "$work/before.state" "$work/now.state" >"$work/all" &&','    comm -3 "$tx/attribut\
es" "$work/now.attributes" >>"$work/all" || return 1','  if [ "$(cat "$tx/on_conflict")" = keep ] && [ -s "$tx/edited" ]\
; then',`    grep -v -F -f "$tx/edited" "$work/all" | sed "s/^$TAB//" | only '!= "d"' >"$work/differences"`,[128,1],'   \
 mv -f "$work/all" "$work/differences"',[199,1],'  [ ! -s "$work/differences" ]',[39,1],[700,1],"# refresh_and_probe: pa\
ckage caches must keep nothing from the patch's mirror, and the mirrors of the restored","# configuration should answer.",
"refresh_and_probe() {","  for what in refresh probe; do","    while IFS= read -r command; do",'      if [ -n "$command"\
 ] && ! SAVEPOINT_ROOT=${root:-/} sh -c "$command" </dev/null >"$work/log" 2>&1; then',"        outcome=rolled-back-unhe\
althy",`        echo "$what failed: $command: $(tail -n 1 "$work/log" | tr -d '\\r\\001')" >>"$tx/warnings"`,"      fi",
'    done <"$tx/$what"',[111,2],[700,1],[543,1],[700,1],[544,1],'lease_write() { echo "$(boot_id) $(($(uptime) + $(cat "\
$tx/seconds")))" >"$tx/lease.$$" && mv -f "$tx/lease.$$" "$tx/lease"; }',[700,1],"# lease_left TX: seconds until the lea\
se or the deadline ends, whichever is first, or 0.","lease_left() {","  left=0",'  if read -r lease_boot lease_end 2>/de\
v/null <"$1/lease" && read -r _ last 2>/dev/null <"$1/deadline" && [ "$lease_boot" = "$(boot_id)" ]; then','    [ "$leas\
e_end" -lt "$last" ] || lease_end=$last',"    left=$((lease_end - $(uptime)))","    [ $left -gt 0 ] || left=0",[199,1],"\
  echo $left",[39,1],[700,1],"# renew: a sign of life. With `running` it also says that a phase on the controller, which\
 may change tracked paths","# too, begins or has ended.","renew() {","  read_request","  mine","  undecided",'  lease_wr\
ite || fail host-write-failed "cannot write $tx/lease"','  case $running in yes) : >"$tx/running" ;; no) wrote ;; esac',
'  ok id "$id" lease_left "$(lease_left "$tx")"',[620,2],[700,1],"# wrote: what the tracked paths hold now was written b\
y the job, not by someone else.",'wrote() { look "$tx/written.$$" && mv -f "$tx/written.$$" "$tx/written" && rm -f "$tx/\
running"; }',[700,1],"# own_path: where this guard lies. sudo runs it as /dev/fd/N, so $0 is the last resort.",'own_path\
() { if [ -e "$state/guard/$guard/guard" ]; then echo "$state/guard/$guard/guard"; else echo "$0"; fi; }',[700,1],"# wat\
chdog_start: PID 1 owns it where there is systemd, since logind kills what a session leaves behind; elsewhere it","# is \
a process of a session of its own.","watchdog_start() {",'  set -- "$(own_path)" watch "$root" "$state" "$id"',[561,1],'\
    systemd-run --quiet --collect --unit="savepoint-$id" -p Restart=on-failure -p RestartSec=1 -p StartLimitIntervalSec=\
0 \\',`      -p RestartForceExitStatus='SIGTERM SIGHUP SIGINT SIGPIPE' /bin/sh "$@" >/dev/null 2>&1`,[128,1],'    (cd / \
&& exec setsid env -i PATH="$PATH" HOME="${HOME:-/}" /bin/sh "$@" </dev/null >/dev/null 2>&1 &)',[199,1],[39,1],[700,1],
'systemd() { [ -d /run/systemd/system ] && [ "$(id -u)" = 0 ]; }',[700,1],"# boot_recovery_install: what ends open trans\
actions when the host starts, before the network is up and anyone can log","# in. For the host's own root only; it stays\
 for the next transaction.","boot_recovery_install() {",'  if [ -n "$root" ] || [ "$(id -u)" != 0 ]; then return 0; fi',
`  printf 'exec /bin/sh %s boot "" %s\\n' "$(own_path)" "$state" | put "$state/boot" || return 1`,[570,1],[561,1],"    [\
 ! -L $units/sysinit.target.wants/$unit ] || return 0","    mkdir -p $units/sysinit.target.wants && printf '%s\\n' '[Unit\
]' 'Description=End Savepoint transactions open when the host went down' \\",[573,1],`      '[Service]' 'Type=oneshot' "\
ExecStart=/bin/sh $state/boot" '[Install]' 'WantedBy=sysinit.target' | put $units/$unit &&`,[575,1],"  elif [ -d /etc/lo\
cal.d ]; then",`    printf '#!/bin/sh\\n/bin/sh %s/boot\\n' "$state" | put /etc/local.d/savepoint.start && chmod 755 /etc/\
local.d/savepoint.start`,"  elif [ -d /etc/cron.d ]; then",`    printf '@reboot root /bin/sh %s/boot\\n' "$state" | put /\
etc/cron.d/savepoint && chmod 644 /etc/cron.d/savepoint`,[128,1],`    echo 'nothing here starts recovery at boot: after \
a power loss it waits for the next begin or a person' >>"$tx/warnings"`,[199,1],[39,1],[700,1],"# watch: the watchdog. E\
nds with its transaction.","watch() {",'  interval=$(($(cat "$tx/seconds") / 20))',"  [ $interval -gt 0 ] || interval=1",
"  [ $interval -lt 5 ] || interval=5",[583,1],'    if [ -e "$tx/decision" ] || [ "$(lease_left "$tx")" -eq 0 ]; then fin\
ish watchdog; fi',"    sleep $interval",[111,2],[700,1],"# finish WHO: brings the transaction to its end without its con\
troller.","finish() {",'  rm -f "$tx/reserve"','  tools=$(cat "$tx/tools" 2>/dev/null) thorough=yes',"  lock",'  if [ -e\
 "$tx/armed" ] && [ -e "$tx/token" ]; then',"    # Before we had the lock someone may have renewed.",'    if [ "$1" = wa\
tchdog ] && [ ! -e "$tx/decision" ] && [ "$(lease_left "$tx")" -gt 0 ]; then unlock; return; fi','    decide rollback "$\
1" && conclude','  elif [ -d "$tx" ]; then',"    discard",[199,1],"  unlock",[39,1],[700,1],"# by_its_guard ID WHO: a tr\
ansaction is always ended by the very guard that opened it.","by_its_guard() {",'  opener=$state/guard/$(cat "$state/tx/\
$1/guard" 2>/dev/null)/guard','  [ -f "$opener" ] || opener=$0',[597,2],[700,1],"# unfinished: the ids of transactions t\
hat have not come to their end.","unfinished() {",'  for each in "$state"/tx/*; do','    case $(cat "$each/outcome" 2>/d\
ev/null) in',`      '' | rollback-failed) [ ! -d "$each" ] || echo "\${each##*/}" ;;`,'      *) [ "$(cat "$state/open" 2\
>/dev/null)" != "${each##*/}" ] || echo "${each##*/}" ;;',[31,2],[39,1],[700,1],"# recover: what a person asks for: end \
whatever is open here, whoever holds it.","recover() {","  read_request","  ended=$(unfinished)",'  for each in $ended; \
do by_its_guard "$each" "${reason:-recover}" >/dev/null 2>&1; done',"  ok","  for each in $ended; do",'    echo "ended $\
each $(cat "$state/tx/$each/outcome" 2>/dev/null || echo rolled-back)"','    cat "$state/tx/$each/report" 2>/dev/null',`\
    sed 's/^/warning /' "$state/tx/$each/warnings" 2>/dev/null`,[32,1],[620,1],'  for each in $ended; do cat "$state/tx/\
$each/diff" 2>/dev/null; done',[39,1],[700,1],"# status: what is here. Needs no token and changes nothing.","status() {",
"  read_request",[600,1],'  ok guard_version "$VERSION"','  if [ -n "$held" ]; then',`    printf 'open %s\\nlease_left %s\
\\n' "$held" "$(lease_left "$state/tx/$held")"`,'    for what in holder since decision; do sed "s/^/$what /" "$state/tx/\
$held/$what" 2>/dev/null; done',[616,3],'  for each in "$state"/tx/*; do','    [ ! -e "$each/outcome" ] || echo "past ${\
each##*/} $(cat "$each/since") $(cat "$each/outcome") $(cat "$each/holder")"',[32,1],[620,2],[700,1],"# clear: a person \
has looked at the host; it may be used again.","clear() {","  read_request",'  for each in "$state"/tx/*; do',`    [ "$(\
cat "$each/outcome" 2>/dev/null)" != rollback-failed ] || echo 'rollback-failed, cleared' | put "$each/outcome"`,[32,1],
'  rm -f "$state/quarantine" && sync "$state" || fail host-write-failed "cannot write below $state"',"  ok && echo",[39,
1],[700,1],[626,1],[700,1],"# run_phase: runs the shell text that follows the request as the job's user (root only if th\
e login is root), marked so","# that all its descendants can be found. Its output passes through untouched; that it runs\
 and how it ended is said on","# standard error, behind a nonce that the job does not know. Where there is systemd it ge\
ts a scope of its own, which","# logind leaves alone when the session ends.","run_phase() {","  read_request","  lock","\
  mine","  undecided",'  : >"$tx/running"',"  exec 3<&0","  cd / || exit 1",'  umask "$job_umask"',"  user=$(id -un)",' \
 if [ "$user" = root ]; then user=${SUDO_USER:-root}; fi',[663,1],'  if [ "$user" != "$(id -un)" ]; then',`    set -- su\
 -s /bin/sh "$user" -c "exec env SAVEPOINT_TRANSACTION=$id SAVEPOINT_ROOT='\${root:-/}' /bin/sh -s"`,[199,1],'  if syste\
md; then set -- systemd-run --quiet --scope --collect --unit="savepoint-$id-job-$$" -p TimeoutStopSec=$GRACE "$@"; fi',[
642,1],'  "$@" <&3 3<&- &',"  child=$!","  exec 3<&-","  unlock","  wait $child","  code=$?","  umask 077","  place",'  \
if [ ! -e "$tx/decision" ]; then wrote; fi',`  printf '\\n%s %s\\n' "$nonce" $code >&2`,[39,1],[700,1],"# kill_job: noth\
ing of the job may go on writing. TERM, a grace, then KILL, until none is left.","kill_job() {",'  if systemd; then syst\
emctl stop "savepoint-$id-job-*.scope" 2>/dev/null; fi',[677,1],"    waited=0",`    while pids=$(grep -l -F "SAVEPOINT_T\
RANSACTION=$id" /proc/[0-9]*/environ 2>/dev/null | tr -dc '0-9\\n' | grep -v -x $$) &&`,'      [ -n "$pids" ] && [ $wait\
ed -lt $((GRACE * 10)) ]; do',[679,1],"      [ $((waited % 10)) -ne 0 ] || kill -s $signal $pids 2>/dev/null","      wai\
ted=$((waited + 1))","      sleep 0.1",[107,1],[111,2],[700,1],[690,1],[700,1],[691,4],"  watch | finish | boot)","    g\
uard='' root=$2 state=$3 id=${4:-}","    place","    case $1 in","      watch) watch ;;",'      finish) finish "$5" ;;',
'      boot) for each in $(unfinished); do by_its_guard "$each" boot; done ;;',[31,1],"    ;;",[696,5]],"1.0.1":[[701,17],
"unset SAVEPOINT_RUN CDPATH ENV BASH_ENV IFS TMPDIR TAR_OPTIONS POSIXLY_CORRECT LD_PRELOAD LD_LIBRARY_PATH","VERSION=1.0\
.1 PROTOCOL=1",[720,129],'  while true >"$locked" || fail host-write-failed "cannot write $locked"; do',[850,29],"#   ty\
pe mode uid gid size mtime | inode ctime | path",[880,2],'look() { true >"$1" && present list_into "$1"; }',[883,5],`   \
   -printf '%y\\t%m\\t%U\\t%G\\t%s\\t%T@\\t%i\\t%C@\\t%p\\0' >"$list.raw" && lines <"$list.raw" | sort >"$list"`,[128,1],
'    find "$@" -xdev \\( -type d -o -type f -o -type l \\) -print0 >"$list.names" &&','      xargs -0 stat -c "%f$TAB%f$\
TAB%u$TAB%g$TAB%s$TAB%Y$TAB%i$TAB%z$TAB%n" <"$list.names" >"$list.raw" &&',[892,1],`        if ($1 == "d") $5 = $7 = $8 \
= 0; if ($1 == "l") $6 = 0; print }' "$list.raw" | sort >"$list"`,'  fi && rm -f "$list.raw" "$list.names"',[895,9],'att\
ributes() { true >"$1" && present attributes_into "$1"; }',[905,3],'  true >"$list.links" && true >"$list.raw"',`  [ "$t\
ools" != gnu ] || find "$@" -xdev -type l -printf 'link %p -> %l\\0' >"$list.links" || return 1`,'  ! command -v getfatt\
r >/dev/null || getfattr -R -P -h -d -m - -e hex -- "$@" >"$list.raw" 2>/dev/null || return 1',`  { lines <"$list.links"\
; awk 'BEGIN { RS = ""; FS = "\\n"; OFS = "\\t" } { $1 = $1; print }' "$list.raw"; } | sort >"$list" &&`,'    rm -f "$li\
st.links" "$list.raw"',[913,4],[886,1],'    names <"$1" | xargs -0 -r sha256sum -z -- >"$work/hashed" && lines <"$work/h\
ashed"',[128,1],'    names <"$1" | xargs -0 -r sha256sum --',[928,3],[920,7],'    true >"$2" && present tar -cf "$2"',[928,
78],'    echo "$on_conflict" >"$tx/on_conflict" && true >"$tx/warnings" && true >"$tx/absent" && echo "$lease" >"$tx/sec\
onds" &&',[1007,80],"  set_aside || abandon host-no-space 'there is no room for the reserve that a rollback on a full di\
sk needs'",[1089,5],"# set_aside: the blocks and inodes that a rollback needs when the job has filled the disk. Freed fi\
rst thing then.","set_aside() {",'  mkdir "$tx/reserve" && head -c "$(($(wc -c <"$tx/backup.tar") + 1048576))" /dev/zero\
 >"$tx/reserve/bytes" || return 1','  inodes=$(($(wc -l <"$tx/before") + 128))',"  [ $inodes -lt 4096 ] || inodes=4096",
"  while [ $inodes -gt 0 ]; do",'    true >"$tx/reserve/$inodes" || return 1',"    inodes=$((inodes - 1))",[862,3],[1094,
5],`    cut -f1,7- "$tx/before" | sort -t "$TAB" -k4 | awk -F "$TAB" '$1 == "f" && !seen[$2, $3]++' | cut -f4- >"$work/f\
irsts"`,[1100,22],'  find . -type d -print0 >"$work/new.d" && lines <"$work/new.d" | sort >"$work/new.dirs" &&','    fin\
d . ! -type d -print0 >"$work/new.f" && lines <"$work/new.f" | sort >"$work/new.files" || fail host-write-failed "cannot\
 list $tx/new"',[1123,26],[1423,2],'    if [ "$name" != . ] && [ -L "$name" ]; then fail path-under-symlink "${name#.} i\
s a symbolic link on this host"; fi','    [ ! -d "$name" ] || "$1" "$name" || return 1',[1152,17],'    else cp -RPp "$ne\
w" "$stage/$name" || return 1; fi',[1170,2],`  for each; do printf '%s\\0' "$under/$each"; done | into "$stage" cp -a &&`,
`    for each; do printf '%s\\0' "$tx/new/$under/$each"; done | into "$stage" cp -P`,[1174,100],'  rm -rf "$tx/reserve"',
[1275,26],"  # The marker goes last: whatever is left behind until then is found by it.",'  rm -rf "$work" "$tx/new" "$t\
x/reserve" && rm -f "$tx"/*.[0-9]* && prune && sync "$tx" || return 1',[1019,1],'  sync "$state"',[1304,55],'  true >"$t\
x/edited"',[1360,17],'    sums "$work/trusted" >"$work/trusted.now" && sort "$work/trusted.now" >"$work/trusted.sums" &&\
 sort "$tx/sums" | comm -13 - "$work/trusted.sums" | cut -c67- >"$work/rotten" &&',[1378,12],"  # Hard links come back t\
ogether, or not at all: with one of them touched, so are the others.",'  sort "$work/touched" "$work/lost" >"$work/wante\
d"',`  awk -F "$TAB" 'pass == 1 { wanted[$0]; next }`,"    { path = $0; for (i = 1; i < 9; i++) path = substr(path, inde\
x(path, FS) + 1) }",'    pass == 2 { if (path in wanted && $1 == "f") inode[$7, $8]; next }',`    path in wanted || ($1 \
== "f" && ($7, $8) in inode) { print path }' \\`,'    pass=1 "$work/wanted" pass=2 "$tx/before" pass=3 "$tx/before" | so\
rt >"$work/needed"','  true >"$work/groups" || return 1',[1391,3],'    (umask 022 && mkdir -p ".${path%/*}") && nearest \
"$path" && straight "$dir" || return 1','    if [ "$tools" = gnu ]; then key=$(stat -c %m "$dir/"); else key=$path; fi',
`    printf '%s\\t%s\\t%s\\n' "$key" "$dir" "$path" >>"$work/groups" || return 1`,[497,1],'  cut -f1 "$work/groups" | so\
rt -u >"$work/keys"','  while IFS= read -r key; do put_back_group || return 1; done <"$work/keys"',[1398,3],"# put_back_\
group: what is on one mount, from one stage, since a rename cannot leave it.","put_back_group() {",`  awk -F "$TAB" -v k\
="$key" '$1 == k { print "." $3 }' "$work/groups" >"$work/group" &&`,`    awk 'FILENAME == ARGV[1] { t[$0]; next } { for\
 (p in t) if ($0 == p || index($0, p "/") == 1) { print; next } }' \\`,'      "$work/group" "$work/needed" >"$work/need"\
 &&',`    stage=$(awk -F "$TAB" -v k="$key" '$1 == k { print $2; exit }' "$work/groups")/.savepoint.$id &&`,'    rm -rf \
"$stage" && mkdir "$stage" && unpack "$stage" "$work/need" && staged_well && flush "$stage/" && make_way &&','    move_b\
ack && rm -rf "$stage"',[1399,92],"      # Before the network is up a probe would only say so.",'      if [ $what = prob\
e ] && [ "$by" = boot ]; then continue; fi',[1491,31],'  case $running in yes) true >"$tx/running" ;; no) wrote ;; esac',
[1523,58],'  rm -rf "$tx/reserve"',[1582,82],'  true >"$tx/running"',[1665,58]],"1.0.2":[[1723,18],"VERSION=1.0.2 PROTOC\
OL=1",[1742,658],"  # What was written last before a crash may be lost, so after one nobody can say whose an edit was.",
'  [ "$(cat "$tx/armed")" = "$(boot_id)" ] || return 0',[2400,20],"thaw() {",`  ! find "$@" -xdev \\( -type f -o -type d \
\\) -exec lsattr -d -- {} + | grep -q '^[-a-zA-Z]*[ia][-a-zA-Z]* \\./' ||`,'    find "$@" -xdev \\( -type f -o -type d \\)\
 -exec chattr -f -ia -- {} + || :',[751,2],[2422,310],"    # Not through PAM where that can be had: it would move the ph\
ase out of its scope into a session's.",'    if command -v runuser >/dev/null; then set -- runuser -u "$user" --; else s\
et -- su -s /bin/sh "$user"; fi','    [ "$1" = su ] || set -- "$@" /bin/sh',`    set -- "$@" -c "exec env SAVEPOINT_TRAN\
SACTION=$id SAVEPOINT_ROOT='\${root:-/}' /bin/sh -s"`,[1673,50]],"1.1.0":[[0,9],'# shellcheck disable=SC2012,SC2015,SC20\
34 # in "a && b || fail" either is meant; eval uses what seems unused; ids are plain',[713,2],[717,1],[13,1],[1740,1],"V\
ERSION=1.1.0 PROTOCOL=1 POLICY=/var/lib/savepoint/policy",[16,2],[724,1],"' TAB=$(printf '\\t') ODD=$(printf '\\001\\002\\00\
3')",[727,2],[21,5],"    key=${line%% *} value=${line#* }","    case $key in",[27,8],"  case .$fence.$lease.$deadline.$o\
ut.$err.$reboot. in *[!0-9.]* | *..*) fail guard-protocol 'numbers have to be whole' ;; esac",[36,1],'  admit root "$roo\
t$state_dir"',[748,4],[41,1],[755,1],'  tx=$state/tx/$id work=$state/tx/$id/work && read -r tools 2>/dev/null <"$tx/tool\
s" || tools=gnu',[44,4],[49,3],[766,5],[53,1],"mine() { # this verb may act on the transaction: it is here, the token is\
 right, and nobody came later",[55,1],[775,1],[60,2],'  [ "$fence" -eq "$seen" ] || echo "$fence" | put "$tx/fence" || [\
 "${1:-}" = full ] || unwritten "$tx/fence"',[62,4],[787,2],[790,1],'put() { cat >"$1.$$" && sync "$1.$$" && mv -f "$1.$\
$" "$1" && sync "${1%/*}" || { rm -f "$1.$$"; return 1; }; }',[69,1],'flush() { case ${sync_f:=$(sync --help 2>&1)} in *\
-f*) sync -f "$@" ;; *) sync ;; esac; }',"flush_tracked() { # the file systems of the tracked paths. nearest PATH: sets \
dir to the closest directory above PATH","  set -- && last='' && while IFS= read -r path; do",'    nearest "$path" && { \
[ "$dir" = "$last" ] || set -- "$@" "$dir/"; } && last=$dir',[806,3],'nearest() { dir=.${1%/*} && while [ ! -d "$dir" ];\
 do dir=${dir%/*}; done; }',[817,2],[78,3],"lines() { tr '\\n\\000\\t\\003' '\\001\\n\\002\\t'; }",[82,1],"each() { # LI\
ST COMMAND...: runs COMMAND with every name of LIST","  list=$1 && shift && while IFS= read -r name; do",`    case $name\
 in *[$ODD]*) name=$(printf '%s.' "$name" | tr '\\001\\002' '\\n\\t') && name=\${name%.} ;; esac`,'    "$@" "$name" || r\
eturn 1','  done <"$list"',[39,1],'boot_id() { read -r boot </proc/sys/kernel/random/boot_id && echo "$boot"; }',[831,2],
"# life_of PID: what no other process ever has: its number, its start (proc(5), field 22), the boot; nothing for a dead \
one.","life_of() {",[836,2],[96,1],'  case $2 in Z | X) ;; *) echo "$1.${21}.$(boot_id)" ;; esac',[39,1],'alive() { [ -n\
 "$1" ] && [ "$(life_of "${1%%.*}")" = "$1" ]; }',[100,1],'  mkdir -p "$state/lock" || unwritten',"  locked=$state/lock/\
$(life_of $$) tries=0 since=$(uptime)",[103,1],`    holds='' && for other in "$state/lock"/*; do`,[852,1],'      if aliv\
e "${other##*/}"; then holds=${other##*/} && break; else rm -f "$other"; fi',[856,3],'    [ $(($(uptime) - since)) -lt $\
LOCK_WAIT ] || fail host-busy "guard process ${holds%%.*} is at work for over $LOCK_WAIT s"',[110,3],'unlock() { [ -z "$\
{locked:-}" ] || rm -f "$locked" || :; }',[866,2],[115,1],"  given=$# && while IFS= read -r path; do",[873,4],[878,1],"#\
   type mode uid gid size mtime | inode ctime | target of a link | path","# All but inode and ctime comes back. These te\
ll that nobody has touched a file, since no one can set a change time.",'look() { true >"$1" && present look_into "$1"; \
}',"look_into() {",'  list=$1 && shift && set -- "$@" -xdev \\( -type d -o -type f -o -type l \\)',[886,1],`    find "$@\
" -printf '%y\\003%m\\003%U\\003%G\\003%s\\003%T@\\003%i\\003%C@\\003%l\\003%p\\0' >"$list.raw" && lines <"$list.raw" >"$list.line\
s"`,'  else find "$@" -exec stat -c "%F$TAB%a$TAB%u$TAB%g$TAB%s$TAB%Y$TAB%i$TAB%Z$TAB$TAB%n" {} + >"$list.lines"; fi &&',
`    awk -F "$TAB" -v OFS="$TAB" -v tools="$tools" '{ t = substr($1, 1, 1); $1 = t == "r" ? "f" : t == "s" ? "l" : t }`,
`    $1 == "d" { $5 = $7 = $8 = 0 } $1 == "l" && tools == "plain" { $6 = 0 } { print }' "$list.lines" >"$list.raw" &&`,'\
    sort -u "$list.raw" >"$list" && rm -f "$list.raw" "$list.lines"',[39,1],"paths_of() { cut -f10 | sort -u; }",[900,1],
"# standing FILE: all that a rollback must bring back, sorted: of such a list all but inodes and change times, then","# \
extended attributes, ACLs, labels and capabilities as far as this host can tell (getfattr), a line an entry.","standing(\
) { # getfattr passes over a directory it cannot read, and what it could not write: it gets names, and a pipe",'  look "\
$1.list" && cut -f1-6,9,10 "$1.list" >"$1.raw" && cut -f10 "$1.list" >"$1.paths" && names <"$1.paths" >"$1.names" &&',' \
   { { ! command -v getfattr >/dev/null || xargs -0 -r getfattr -P -h -d -m - -e hex -- <"$1.names" 2>/dev/null; } && ec\
ho whole; } |','    cat >"$1.attr" && [ "$(tail -n 1 "$1.attr")" = whole ] &&',`    awk 'FILENAME == ARGV[1] { print; ne\
xt } { gsub(/\\n/, "\\t"); print }' "$1.raw" RS='' "$1.attr" >"$1.all" && sort "$1.all" >"$1" && rm -f "$1".*`,[39,1],"s\
ums() { # LIST: the SHA-256 of each file of LIST, in its order",'  names <"$1" >"$work/names" || return 1','  if [ "$too\
ls" != gnu ]; then xargs -0 -r sha256sum -- <"$work/names"; return; fi','  xargs -0 -r sha256sum -z -- <"$work/names" >"\
$work/hashed" && lines <"$work/hashed"',[39,1],"# pack LIST FILE: archives the listed entries with all metadata but acce\
ss times, which move by reading, and change times,","# which cannot be set. unpack DIR LIST: entries of the backup appea\
r below DIR; LIST has the archive's order (one pass).","metadata='--numeric-owner --xattrs --xattrs-include=* --acls --s\
elinux --no-recursion --null'",[156,2],'  if [ "$tools" != gnu ]; then true >"$2" && present tar -cf "$2"; return; fi','\
  names <"$1" >"$work/pack" && tar -cf "$2" --format=posix --pax-option=delete=atime,delete=ctime --sparse $metadata -T \
"$work/pack"',[160,3],'  [ -s "$2" ] || return 0','  names <"$2" >"$work/unpack" || return 1','  if [ "$tools" != gnu ];\
 then xargs -0 tar -xpf "$tx/backup.tar" -C "$1" <"$work/unpack"; return; fi','  tar -xpf "$tx/backup.tar" -C "$1" --sam\
e-owner --same-order $metadata -T "$work/unpack"',[167,4],"  else for query in 'rpm -qa' 'apk info -v' 'pacman -Q'; do",
'    [ -n "$root" ] || ! command -v "${query%% *}" >/dev/null || $query; done; fi 2>/dev/null | sort',[953,3],[957,2],` \
 [ -n "$id" ] && [ -n "$token" ] && [ -n "$track" ] || fail guard-protocol 'begin needs id, token and track'`,'  admit b\
egin "$track" "$refresh" "$probe"','  mkdir -p "$state/tx" && lock && not_quarantined || unwritten',[963,7],[184,2],[973,
2],`  sed 's/^/warning /' "$tx/warnings" && echo`,[39,1],[190,5],'    left=$(lease_left "$other") && [ -e "$other/decisi\
on" ] || [ "$left" -eq 0 ] ||',[196,1],[996,2],"    lock && not_quarantined",[198,2],'  rm -rf "$tx" && mkdir -p "$work"\
 && printf %s "$track" >"$tx/tracked" && printf %s "$token" | sha256sum >"$tx/token" &&',[1004,2],[203,1],'    echo "$le\
ase" >"$tx/seconds" && until_in "$deadline" deadline && lease_write &&','    sync "$tx/tracked" && echo "$id" | put "$st\
ate/open" || abandon host-write-failed "cannot write below $state"',[39,1],[1011,1],'abandon() { discard; fail "$1" "$2"\
; }',[209,1],'leave() { rm -f "$state"/*.[0-9]*; [ "$(cat "$state/open" 2>/dev/null)" != "$id" ] || rm -f "$state/open";\
 }',[216,1],"  for tool in awk cat chmod chown cmp comm cp cut date df find grep head mkdir mkfifo mv rm rmdir sed sha25\
6sum sleep \\","    sort stat sync tail tar touch tr uniq wc xargs; do command -v $tool >/dev/null ||",'    abandon host\
-tools-missing "this host has no $tool, which the guard needs"; done',[1029,2],[219,2],[1034,2],`  echo $tools >"$tx/too\
ls" && checked='' && while IFS= read -r path; do check_place "$path"; done <"$tx/tracked"`,'  point=$(here=${here%/} awk\
 \'NR == FNR { tracked[$0]; next } { point = $5; gsub(/\\\\040/, " ", point) }',[234,1],`      for (; p != ""; sub(/\\/[^\
\\/]*$/, "", p)) if (p in tracked) { print point; exit } }' "$tx/tracked" /proc/self/mountinfo)`,'  [ -z "$point" ] || a\
bandon path-not-replaceable "$point is a mount point"',"  stuck=$(present frozen)",'  [ -z "$stuck" ] || abandon path-no\
t-replaceable "${stuck#.} is immutable or append-only (see lsattr)"',`  odd=$(present odd_names | tr "$ODD" '???' | head\
 -n 1)`,'  [ -z "$odd" ] || abandon path-not-replaceable "the name ${odd#.} holds a character that the guard cannot keep\
"',[227,1],[1040,1],'  sort -u "$tx/mounts" >"$work/mounts" && enough "$state" && while IFS= read -r path; do enough "$p\
ath"; done <"$work/mounts"',[39,1],[236,1],"# odd_names: names that our lists cannot hold. None may be tracked; a rollba\
ck removes those that came.",'odd_names() { pattern="*[$ODD]*" && [ "$tools" = gnu ] || pattern="*[$ODD$TAB$NL]*"; find \
"$@" -xdev -name "$pattern"; }',[237,1],`  case $1/ in *//* | */./* | */../*) abandon guard-protocol "'$1' is no plain a\
bsolute path" ;; esac`,"  dir=.${1%/*}",`  while [ ! -e "$dir" ] && [ ! -L "$dir" ]; do printf '%s\\n' "$dir" >>"$tx/abse\
nt" && dir=\${dir%/*}; done`,[240,5],[247,3],"enough() { # DIR: room for the backup and a reserve of its size, or for a \
staged copy beside the targets",[1047,1],'  [ "${free:-$needed}" -ge "$needed" ] || abandon host-no-space "$1 has $free \
KiB free on its file system; $needed are needed"',[256,3],[1078,1],'      pack "$tx/paths" "$tx/backup.tar" && sums "$tx\
/files" >"$tx/sums" && standing "$tx/standing" &&',[1080,1],'    ! cmp -s "$tx/before" "$work/again" || break',`    chan\
ging=$(comm -3 "$tx/before" "$work/again" | sed -n '1s|^.*\\./|/|p')`,'    mv -f "$work/again" "$tx/before" && [ $tries \
-lt 5 ] || abandon path-changing "someone is changing $changing as it is copied"',[264,2],[2113,1],'  present left_alone\
 >>"$tx/warnings" && cp "$tx/before" "$tx/written" && packages >"$tx/packages" &&',`    flush "$state" && flush_tracked \
|| abandon host-write-failed 'the backup could not be made durable'`,[39,1],`left_alone() { find "$@" -xdev ! -type d ! \
-type f ! -type l | sed -n 's|^\\./|left alone (socket, pipe or device): /|p'; }`,"verify_backup() { # the archive holds\
 the bytes of the files, by hash; of hard links, those of the first",'  [ -s "$tx/files" ] || return 0',[886,1],`    sor\
t -t "$TAB" -k 10 "$tx/before" | awk -F "$TAB" '$1 == "f" && !seen[$7, $8]++ { print $10 }' >"$work/firsts"`,[1100,1],' \
 else mkdir "$work/check" && unpack "$work/check" "$tx/files" && (cd "$work/check" && sums "$tx/files") | cmp -s - "$tx/\
sums"; fi',[278,2],[2121,1],'  inodes=$(($(wc -l <"$tx/before") + 128)) && inodes=$((inodes < 4096 ? inodes : 4096))',' \
 while [ $inodes -gt 0 ]; do true >"$tx/reserve/$inodes" && inodes=$((inodes - 1)) || return 1; done',[751,2],[283,3],' \
 mkdir "$tx/new.$$" && cd "$tx/new.$$" || unwritten "below $tx"',[287,1],"  lock && mine && undecided # not before: a co\
ntroller that stalls in the middle of its change must not hold the lock",'  rm -rf "$tx/new" && mkdir -p "$work" && mv "\
$tx/new.$$" "$tx/new" && cd "$tx/new" || unwritten "below $tx"','  find . -type d -print0 >"$work/raw.dirs" && lines <"$\
work/raw.dirs" | sort >"$work/new.dirs" &&','    find . ! -type d -print0 >"$work/raw.files" && lines <"$work/raw.files"\
 | sort >"$work/new.files" || unwritten "below $tx"','  odd=$(find . \\( ! -type d ! -type f ! -type l \\) -o -name "*[$OD\
D]*" | head -n 1)','  [ -n "$odd" ] || ! bound || odd=$(find . ! -type l \\( -perm -4000 -o -perm -2000 -o -perm -0002 \\)\
 | head -n 1)',[750,1],'  [ -z "$odd" ] || fail files-bad-entry "${odd#.} has a kind, rights or a name that nothing in a\
 change may have"',[1126,1],'  within "$work/new.files" files-outside-tracked && within "$work/removed" remove-outside-t\
racked',[1018,1],`  each "$work/new.dirs" stage_new && flush_tracked || fail host-write-failed 'the change could not be \
staged'`,'  true >"$tx/running" && each "$work/new.dirs" rename_new && names <"$work/removed" >"$work/names" &&',`    xa\
rgs -0 -r rm -rf -- <"$work/names" && clear_stages && flush_tracked && wrote && compare "$tx/written" || fail host-write\
-failed 'the change could not be put into place'`,'  rm -rf "$tx/new"; ok id "$id" && report changed removed added && ec\
ho',[1137,2],"within() { # LIST NAME: refuses entries that no tracked path covers",`  outside=$(awk 'FILENAME == ARGV[1]\
 { tracked["." $0]; next }`,`    { for (p = $0; p != "" && !(p in tracked); sub(/\\/?[^\\/]*$/, "", p)); if (p == "") { pr\
int; exit } }' "$tx/tracked" "$1")`,[1144,2],[313,2],`  under=$1 stage=$1/.savepoint.$id && if [ "$tools" = gnu ]; then \
copy='cp -a --preserve=xattr'; else copy='cp -a'; fi`,'  [ "$under" = . ] || [ ! -L "$under" ] || fail path-under-symlin\
k "${under#.} is a symbolic link on this host"','  [ -d "$under" ] || return 0','  true >"$work/over" && true >"$work/by\
tes" && true >"$work/fresh" || return 1',[1160,1],"    old=$under/${new##*/}",'    if [ ! -e "$new" ] && [ ! -L "$new" ]\
 || { is_dir "$old" && is_dir "$new"; }; then continue; fi',[325,1],'    if [ -f "$old" ] && [ ! -L "$old" ] && [ -f "$n\
ew" ] && [ ! -L "$new" ]; then',`      printf '%s\\0' "$old" >>"$work/over" && printf '%s\\0' "$new" >>"$work/bytes"`,` \
   else printf '%s\\0' "$new" >>"$work/fresh"; fi || return 1`,[32,1],'  if [ ! -s "$work/over" ] && [ ! -s "$work/fresh\
" ]; then return 0; fi',`  mkdir -p "$stage" && into "$stage" "$copy" <"$work/over" && into "$stage" 'cp -P' <"$work/byt\
es" && into "$stage" 'cp -RPp' <"$work/fresh"`,[39,1],[1176,1],"# into DIR COMMAND: COMMAND, of some words, for the NUL-\
ended names on standard input, with DIR as their target.",[1179,1],`into() { xargs -0 -r sh -c 'to=$1 do=$2; shift 2; ex\
ec $do -- "$@" "$to"' sh "$1/" "$2"; }`,"move_entries() { # FROM TO [TEST...]: renames the entries of one directory into\
 another, over what is there","  from=$1 to=$2 && shift 2",`  find "$from" -mindepth 1 -maxdepth 1 "$@" -print0 >"$work/\
moving" && into "$to" 'mv -f' <"$work/moving"`,[39,1],"clear_stages() { # removes what an interrupted guard left beside \
and below the tracked paths",[341,1],"  present stages_within",[343,2],[1205,4],`  comm -23 "$tx/before" "$1" | only '!=\
 "d"' | paths_of >"$work/touched" && paths_of <"$1" >"$work/now.paths" &&`,`    comm -13 "$tx/paths" "$work/now.paths" >\
"$work/added" && only '== "d"' <"$1" | paths_of >"$work/now.dirs" &&`,[1212,2],"report() { # CHANGED GONE ADDED: a line \
a path, for the answer. What nobody touched is not listed",'  comm -12 "$work/touched" "$work/now.paths" | sed "s|^\\.|pa\
th $1 |"','  comm -23 "$work/touched" "$work/now.paths" | sed "s|^\\.|path $2 |"','  sed "s|^\\.|path $3 |" "$work/added"',
[39,1],"# show_diff NOW FROM TO: what the job changed (a to b), or what a rollback undoes (b to a): 200 files of 1 MiB a\
t most.","# The bytes of a file that not everyone may read are never shown: they may hold a password.",[1223,2],`  sort \
"$tx/before" "$1" | uniq -u | awk -F "$TAB" '$1 == "d" { next } { seen[$10] } $1 == "f" && $2 !~ /[4-7]$/ { secret[$10] \
}`,`    $1 == "l" || $5 > 1048576 { other[$10] } END { for (p in seen) print (p in secret ? "s" : p in other ? "o" : "f"\
) p }' |`,'    sort -k 1.2 | head -n 200 >"$work/shown"',`  sed -n 's/^s\\.\\(.*\\)/diff \\1: not everyone may read it, so i\
t is not shown/p' "$work/shown"`,`  sed -n 's/^f//p' "$work/shown" >"$work/text" && rm -rf "$work/a" "$work/b" && mkdir \
"$work/a" "$work/b" &&`,'    comm -12 "$work/text" "$tx/paths" >"$work/text.a" && comm -12 "$work/text" "$work/now.paths\
" >"$work/text.b" &&',`    unpack "$work/a" "$work/text.a" && names <"$work/text.b" | into "$work/b" 'cp --parents' && (\
cd "$work" && diff -ruN "$2" "$3") |`,'    head -n 20000 | sed "/^diff -ruN /d; s/^\\([-+][-+][-+] [ab]\\/[^$TAB]*\\)$TAB.*\
/\\1/"','  rm -rf "$work/a" "$work/b" # nothing of it may take the room that a rollback needs',[343,1],[1245,2],[403,5],
`  rm -f "$tx/decision.$$" && sync "$tx" && decision='' && { read -r decision by <"$tx/decision" || [ -n "$decision" ]; \
} || return 1`,[1257,2],[410,3],[1267,1],[422,1],[1269,2],[415,1],"  read_request && mine full # the job that filled the\
 disk goes before the reserve is freed",'  kill_job; rm -rf "$tx/reserve"; lock','  if [ ! -e "$tx/armed" ]; then discar\
d; ok id "$id" decision rollback by "${reason:-controller}" outcome rolled-back; echo; return; fi',[1284,1],[422,1],[1269,
2],[425,1],`  case $(cat "$tx/outcome" 2>/dev/null) in '' | rollback-failed)`,'    rm -rf "$tx/reserve" && mkdir -p "$wo\
rk"','    if [ "$decision" = rollback ]; then restore','    else outcome=committed && look "$work/now" && compare "$work\
/now" && report changed removed added >"$tx/report" &&','      show_diff "$work/now" a b >"$tx/diff"; fi','    packages \
| comm -3 "$tx/packages" - | sed "s/^/package - /; s/^package - $TAB/package + /" >"$tx/packages.changed"','    echo "$o\
utcome" | put "$tx/outcome" || return 1 ;;',[222,1],'  clear_stages; rm -rf "$work" "$tx/new" "$tx/reserve" "$tx/run" "$\
tx"/*.[0-9]* && prune && sync "$tx" && leave && sync "$state"',[39,1],[1311,2],'  tell "$tx"; echo; cat "$tx/diff" 2>/de\
v/null',[39,1],`tell() { cat "$1/report" "$1/packages.changed"; sed 's/^/warning /' "$1/warnings"; } 2>/dev/null`,[439,1],
'  left=$(ls "$state/tx" | wc -l) kib=$(du -sk "$state/tx" | cut -f1)','  old=$(find "$state/tx" -mindepth 2 -maxdepth 2\
 -name outcome -mtime +$KEEP_DAYS)','  ls -tr "$state/tx" | while IFS= read -r past; do',`    past=$state/tx/$past && re\
ad -r ended 2>/dev/null <"$past/outcome" || ended=''`,'    case $past:$ended in "$tx":* | *: | *:rollback-failed) contin\
ue ;; esac',[445,1],'    rm -rf "$past" && left=$((left - 1)) kib=$(du -sk "$state/tx" | cut -f1)',[1328,4],[449,2],"   \
 kill_job; clear_stages",'    present remove_odd && look "$work/now" && compare "$work/now" || continue','    [ -e "$tx/\
diff" ] || { find_edits && report restored restored removed >"$tx/report" &&',[1342,1],[454,1],[1344,1],'    if [ -s "$t\
x/edited" ]; then outcome=conflict; else outcome=rolled-back; fi',[1347,4],"  outcome=rollback-failed",`  echo "transact\
ion $id could not be rolled back: $(head -n 3 "$work/differences" 2>/dev/null | tr '\\n\\t' '; ')" >"$work/why"`,'  cat \
"$work/why" >>"$tx/warnings" && put "$state/quarantine" <"$work/why"',[39,1],'same_boot() { [ "$(cat "$tx/armed")" = "$(\
boot_id)" ]; }','keeping() { [ "$(cat "$tx/on_conflict")" = keep ] && [ -s "$tx/edited" ]; }','remove_odd() { odd_names \
"$@" >"$work/odd" && if [ -s "$work/odd" ]; then find "$@" -xdev -depth -name "$pattern" -exec rm -rf -- {} +; fi; }',[472,
2],[2398,1],'  if [ -e "$tx/running" ] || [ -n "${killed:-}" ] || ! same_boot; then return 0; fi',`  { comm -13 "$tx/wri\
tten" "$work/now" | comm -23 - "$tx/before" | only '!= "d"' | paths_of &&`,'    paths_of <"$tx/written" | comm -23 - "$w\
ork/now.paths" | comm -12 - "$tx/paths"; } | sort -u >"$work/edited"',[1365,1],'  comm -12 "$work/edited" "$work/now.pat\
hs" >"$work/theirs" && rm -rf "$tx/theirs" && mkdir "$tx/theirs" || return 1','  kept="; their version is $tx/theirs\\\\1"\
 && [ "$tools" = gnu ] && pack "$work/theirs" "$work/theirs.tar" &&',`    tar -xpf "$work/theirs.tar" -C "$tx/theirs" ||\
 { rm -rf "$tx/theirs" && kept='; their version could not be kept'; }`,'  rm -f "$work/theirs.tar" && sed "s|^\\.\\(.*\\)|e\
dited by someone else: \\1$kept|" "$work/edited" >>"$tx/warnings"',[1369,2],[486,2],'  look "$work/now" && compare "$wor\
k/now" && comm -12 "$tx/files" "$work/now.paths" | comm -23 - "$work/touched" >"$work/same" &&','    sums "$work/same" >\
"$work/same.sums" && sort "$work/same.sums" >"$work/sorted" && sort "$tx/sums" >"$work/sums" &&','    comm -23 "$work/so\
rted" "$work/sums" | cut -c67- | sort - "$work/touched" >"$work/all" && mv -f "$work/all" "$work/touched"',[491,3],'  ! \
keeping || for list in touched added; do comm -23 "$work/$list" "$tx/edited" >"$work/all" && mv -f "$work/all" "$work/$l\
ist"; done',[2429,1],`  sort "$work/touched" "$work/lost" >"$work/wanted" && awk -F "$TAB" 'pass == 1 { wanted[$0]; next\
 }`,'    pass == 2 { if ($10 in wanted && $1 == "f") inode[$7, $8]; next }',`    $10 in wanted || ($1 == "f" && ($7, $8)\
 in inode) { print $10 }' \\`,'    pass=1 "$work/wanted" pass=2 "$tx/before" pass=3 "$tx/before" >"$work/needed" || retu\
rn 1',[494,2],'    [ ! -d "$parent" ] || straight "$parent" || return 1',[497,1],'  clear_way && sort -u "$tx/mounts" >"\
$work/mounts" || return 1','  while IFS= read -r mount; do put_back_on "$mount" || return 1; done <"$work/mounts"',[499,
2],'  { cat "$work/added" && comm -12 "$work/touched" "$work/now.dirs" && comm -12 "$work/lost" "$work/now.paths"; } | s\
ort >"$work/way"','  comm -23 "$work/way" "$work/now.dirs" | names | xargs -0 -r rm -f -- 2>/dev/null','  comm -12 "$wor\
k/way" "$work/now.dirs" >"$work/way.dirs" && each "$work/way.dirs" remove_tree || return 1','  [ ! -s "$tx/absent" ] || \
sort -r "$tx/absent" | names | xargs -0 -r rmdir -- 2>/dev/null || :',[502,2],"put_back_on() { # MOUNT: from one stage o\
n that mount, since a rename cannot leave it",`  mount="$1" awk 'FNR == 1 { file++ } file == 1 { path[FNR] = "." $0; nex\
t } file == 2 { at[path[FNR]] = $0; next }`,`    { for (p = $0; p != "" && !(p in at); sub(/\\/?[^\\/]*$/, "", p)); if (at\
[p] == ENVIRON["mount"]) print p "\\t" $0 }' \\`,'    "$tx/tracked" "$tx/mounts" "$work/needed" >"$work/on" && cut -f2 "\
$work/on" | sort >"$work/need" || return 1','  [ -s "$work/need" ] || return 0','  stage=$(head -n 1 "$work/on" | cut -f\
1) && stage=${stage%/*}/.savepoint.$id','  rm -rf "$stage" && mkdir "$stage" && unpack "$stage" "$work/need" && staged_w\
ell && flush "$stage/" &&',`    comm -12 "$work/need" "$work/lost" >"$work/whole" && sed 's|/[^/]*$||' "$work/need" | so\
rt -u >"$work/parents" &&`,'    each "$work/whole" move_whole && each "$work/parents" move_back && rm -rf "$stage"',[510,
2],'move_back() { [ ! -d "$stage/$1" ] || move_entries "$stage/$1" "$1" ! -type d; }',"staged_well() { # what came out o\
f the backup has the bytes that went in",'  comm -12 "$work/need" "$tx/files" >"$work/staged" && sort "$tx/sums" >"$work\
/sums" && (cd "$stage" && sums "$work/staged") |','    sort | comm -12 - "$work/sums" >"$work/good" && [ "$(wc -l <"$wor\
k/good")" -eq "$(wc -l <"$work/staged")" ]',[39,1],"restore_directories() { # last, since a rename inside one moves its \
times. An archive can only add attributes: others go",'  standing "$work/standing" && comm -13 "$tx/standing" "$work/sta\
nding" |',[1456,1],'    while read -r attribute name; do ! is_dir "$(printf %b "$name")" || setfattr -h -x "$attribute" \
"$(printf %b "$name")"; done',`  comm -23 "$tx/standing" "$work/standing" | awk -F "$TAB" '$1 == "d" { print $8 } /^# fi\
le: / { print "./" substr($1, 9) }' |`,'    sort -u | comm -12 - "$tx/paths" >"$work/dirs"',[517,4],[523,1],'  standing \
"$work/standing" && comm -3 "$tx/standing" "$work/standing" >"$work/differences" || return 1',`  ! keeping || { sed "s/^\
$TAB//" "$work/differences" | awk -F "$TAB" 'FILENAME == ARGV[1] { kept[$0]; next } $1 != "d" && !($8 in kept) &&`,`    \
!("./" substr($1, 9) in kept)' "$tx/edited" - >"$work/all" && mv -f "$work/all" "$work/differences"; }`,[1483,2],[536,3],
"    outcome=rolled-back-unhealthy",`    echo "$what failed: $command: $(tail -n 1 "$work/log" | tr -d '\\r\\001')" >>"$tx\
/warnings"`,[540,3],[1498,2],[544,2],'until_in() { echo "$(boot_id) $(($(uptime) + $1))" >"$tx/$2.$$" && mv -f "$tx/$2.$\
$" "$tx/$2"; }',"lease_left() { # TX: seconds until the lease or the deadline ends, whichever is first, or 0",'  read -r\
 until end 2>/dev/null <"$1/lease" && read -r _ last 2>/dev/null <"$1/deadline" && [ "$until" = "$(boot_id)" ] &&',"    \
left=$(((end < last ? end : last) - $(uptime))) || left=0","  echo $((left > 0 ? left : 0))",[550,2],[285,1],'  lease_wr\
ite || unwritten "$tx/lease"',[2582,1],'  ok id "$id" lease_left "$(lease_left "$tx")" boot "$(boot_id)" && echo',[39,1],
[1527,2],[1530,2],[1545,1],[559,1],[1536,2],[562,5],[1550,13],[580,3],'  read -r nap <"$tx/seconds" && nap=$((nap < 20 ?\
 1 : nap > 100 ? 5 : nap / 20)) || nap=5',[583,1],'    if [ -e "$tx/decision" ] || [ "$(lease_left "$tx")" -eq 0 ]; then\
 (finish watchdog); fi','    sleep "$nap"',[111,2],[586,2],'  kill_job; rm -rf "$tx/reserve"; lock','  if [ ! -e "$tx/ar\
med" ] || [ ! -e "$tx/token" ]; then [ ! -d "$tx" ] || discard; else decide rollback "$1" && conclude; fi',[1591,2],[591,
2],'    echo "$away $((left - away))" | put "$tx/reboot" && until_in "$left" deadline && until_in "$away" lease && watch\
dog_start',[594,2],'  opener=$state/guard/$(cat "$state/tx/$1/guard" 2>/dev/null)/guard && [ -f "$opener" ] || opener=$0',
[597,3],'  for one in "$state"/tx/*; do case $(cat "$one/outcome" 2>/dev/null):$(cat "$state/open" 2>/dev/null) in','   \
 :* | rollback-failed:* | *:"${one##*/}") [ ! -d "$one" ] || echo "${one##*/}" ;;',"  esac; done",[603,3],"  read_reques\
t && ended=$(unfinished)",[607,1],"  ok && for one in $ended; do",'    echo "ended $one $(cat "$state/tx/$one/outcome" 2\
>/dev/null || echo rolled-back)" && tell "$state/tx/$one"',[32,1],[609,5],[1632,5],'  for one in "$state"/tx/*; do [ ! -\
e "$one/outcome" ] ||','    echo "past ${one##*/} $(cat "$one/since") $(cat "$one/outcome") $(cat "$one/holder")"; done',
[620,3],[958,1],'  for one in "$state"/tx/*; do [ "$(cat "$one/outcome" 2>/dev/null)" != rollback-failed ] ||',`    echo\
 'rollback-failed, cleared' | put "$one/outcome"; done`,[624,2],[1652,2],[627,1],"  read_request && lock && mine && unde\
cided","  spool=$tx/run/$phase",[629,1],'    rm -rf "$spool.new" && mkdir -p "$spool.new" && true >"$spool.new/out" && t\
rue >"$spool.new/err" &&','      head -c 4096 /dev/zero >"$spool.new/ended" && true >"$tx/running" && read -r _ last <"$\
tx/deadline" || unwritten "$spool"','    [ "$reboot" -eq 0 ] || echo "$reboot $((last - $(uptime)))" | put "$tx/reboot" \
|| unwritten "$tx/reboot"',[633,1],'    set -- /bin/sh "$(own_path)" supervise "$root" "$state" "$id" "$phase"',[635,2],
'    (umask "$job_umask" && exec env SAVEPOINT_TRANSACTION="$id" PATH="$job_path" "$@" <&3 3<&- >/dev/null 2>>"$spool/er\
r") &','    life_of $! >"$spool/life" && exec 3<&-',[199,1],"  unlock; follow",[640,4],'  tail -c "+$((out + 1))" <&3 &&\
 tail -c "+$((err + 1))" <&4 >&2','  while [ ! -e "$spool/status" ] && alive "$(cat "$spool/life")" && [ "$(cat "$spool/\
follower")" = $$ ]; do',"    naps=$((naps + 1)) && if [ $naps -lt 20 ]; then sleep 0.02; else sleep 0.2; fi","    cat <&\
3 && cat <&4 >&2 || return",[32,1],'  [ "$(cat "$spool/follower")" = $$ ] && cat <&3 && cat <&4 >&2 || return',[649,3],"\
supervise() { # PHASE: runs it as the job's user, marked so that all its descendants can be found",[655,1],'  spool=$tx/\
run/$1 && life_of $$ >"$spool/life.new" && mv -f "$spool/life.new" "$spool/life" && text=$(cat && echo .) || return 1','\
  me=$(id -un) && user=$me && [ "$user" != root ] || user=${SUDO_USER:-root}',[659,6],'  if [ "$user" = "$me" ]; then :',
'  elif command -v runuser >/dev/null; then set -- runuser -u "$user" -- "$@"',[666,1],'  (umask "$job_umask" && cd / &&\
 printf %s "${text%.}" | "$@" >"$spool/1" 2>"$spool/2")',[668,3],'  while [ -n "$(life_of $one)$(life_of $two)" ] && [ $\
naps -lt 40 ]; do naps=$((naps + 1)) && sleep 0.02; done',[672,6],`    waited=0 && while pids=$(grep -l -F "SAVEPOINT_TR\
ANSACTION=$id" /proc/[0-9]*/environ 2>/dev/null | tr -dc '0-9\\n' | grep -v -x $$) &&`,[1694,3],"      killed=yes waited\
=$((waited + 1)) && sleep 0.1",[1699,5],[691,4],'  watch | finish | boot | supervise) guard=\'\' root=$2 state=$3 id=${4:-\
} && place && "$1" "${5:-}" ;;',[696,5]],"1.2.0":[[0,11],[713,1],"job_path=$PATH job_umask=$(umask) && umask 077",[3864,
2],"VERSION=1.2.0 PROTOCOL=1 POLICY=/var/lib/savepoint/policy",[16,2],"TAB=$(printf '\\t') ODD=$(printf '\\001\\002\\003') N\
L=$(printf '\\n.') && NL=${NL%.}",[20,18],[3892,4],`  find='' doubted='' kept='' && cd "$root/" && read -r boot </proc/s\
ys/kernel/random/boot_id || fail host-file-missing "the root $root is not there, or no /proc"`,[43,14],"  latest",'  [ "\
$fence" -eq "$seen" ] || put "$tx/fence" "$fence" || [ "${1:-}" = full ] || unwritten "$tx/fence"',[58,19],[3935,6],[83,
23],[3964,2],[108,1],'    rm -f "$locked" && clock && [ $((now - since)) -lt $LOCK_WAIT ] || fail host-busy "guard proce\
ss ${holds%%.*} is at work for over $LOCK_WAIT s"',[110,15],"  list=$1 && shift",[886,1],[126,1],"      -printf 'other\\0\
03%p\\0' -o -printf '%y\\003%m\\003%U\\003%G\\003%s\\003%T@\\003%i\\003%C@\\003%l\\003%p\\0' \\) && printf 'whole\\0'; } | lines",
[128,1],'    find "$@" -xdev -name "*[$ODD$TAB$NL]*" | sed "s/^/odd$TAB/" && find "$@" -xdev ! -type d ! -type f ! -type\
 l | sed "s/^/other$TAB/" &&','      find "$@" -xdev \\( -type d -o -type f -o -type l \\) -exec stat -c "%F$TAB%a$TAB%u$T\
AB%g$TAB%s$TAB%Y$TAB%i$TAB%Z$TAB$TAB%n" {} + && echo whole',`  fi | awk -F "$TAB" -v OFS="$TAB" -v tools="$tools" -v lis\
t="$list" '$1 == "whole" { whole = 1; next }`,[134,24],'  true >"$2" || return 1','  if [ "$tools" != gnu ]; then presen\
t tar -cf "$2"; elif few "$1"; then on "$1" tar -cf "$2" $posix $metadata --',[159,23],[4041,5],[186,26],'leftovers() { \
set -- "$1"/*.[0-9]* && [ -e "$1" ] || set -- "${1%/*}"/*.[0-9]*; rm -rf -- "$@"; } # DIR: of guards that were killed',[
216,2],"  case $(find / -maxdepth 0 -printf '%y' 2>/dev/null; tar --version 2>/dev/null) in d*'GNU tar'*) ;; *)",[219,14],
'mounted() { here=$(pwd -P) && here=${here%/} awk \'NR == FNR { tracked[$0]; next } { point = $5; gsub(/\\\\040/, " ", poin\
t) }',[234,1],`      for (; p != ""; sub(/\\/[^\\/]*$/, "", p)) if (p in tracked) { print point; exit } }' "$tx/tracked" /\
proc/self/mountinfo; } # the first that is a tracked path or lies in one`,[236,15],`  true >"$tx/files" && awk -F "$TAB"\
 -v list="$tx/files" '{ n += $5 + 1536 } $1 == "f" { files++; print $10 >list }`,`    END { printf "%d %d %d\\n", n / 512\
 + 4096, NR, files }' "$tx/before" >"$work/size" && read -r needed entries count <"$work/size" || return 1`,[253,6],[260,
8],'  packages >"$tx/packages" && flush_tracked "$state" ||',[1091,2],"differing() { # LIST LIST: a path that is not the\
 same in both. Fails when a file has no hash",`  awk -F "$TAB" -v count="$count" 'pass == 0 { sums++; next } pass == 1 {\
 seen[$0] = $10; next } $0 in seen { delete seen[$0]; next }`,[272,27],"permitted() { # STRICT: the first thing that a c\
hange may not have, by the name of the refusal; lists its directories",`  true >"$work/new.dirs" && awk -F "$TAB" -v str\
ict="$1" -v dirs="$work/new.dirs" '`,[301,53],'  written=$tx/written && [ -e "$written" ] || written=$tx/before',`  awk \
-F "$TAB" -v to="$work/" -v find="$find" -v keep="$(keeping && echo yes)" -v changed="$2" -v gone="$3" -v added="$4" -v \
stage="/.savepoint.$id" '`,[356,77],'  clear_stages; rm -rf "$work" "$tx/reserve" "$tx/run" && leftovers "$tx" && { prun\
e; leave; } && sync "$tx" "$state"',[434,8],[443,3],'    forget "$past" && left=$((left - 1)) kib=$(du -sk "$state/tx") \
&& kib=${kib%%[!0-9]*}; done',[447,14],'keeping() { read -r resolve <"$tx/on_conflict" && [ "$resolve" = keep ]; }',[462,
15],'  true >"$tx/edited" && [ -s "$work/edited" ] || return 0',[478,36],'  [ ! -e "$1" ] || { (cd "$stage" && digests "\
$1") >"$work/hashes" && wrong=$(otherwise "$1" "$work/hashes") && [ -z "$wrong" ]; }',[515,10],`  true >"$work/dirs" && \
true >"$work/extra" && look "$work/now" && attributes "$work/now.paths" "$work/attributes" && awk -F "$TAB" -v keep="$(k\
eeping && echo yes)" -v dirs="$work/dirs" -v extra="$work/extra" '`,[526,30],[1527,1],'wrote() { look "$tx/written.$$" &\
& mv -f "$tx/written.$$" "$tx/written" && true >"$tx/running"; }',"# own_path: sets self to where this guard lies. sudo \
runs it as /dev/fd/N, so $0 is the last resort.",'own_path() { self=$state/guard/$guard/guard && [ -e "$self" ] || self=\
$0; }',[4401,2],[560,7],[1550,1],[568,20],[4246,1],'  if [ ! -e "$tx/armed" ] || [ ! -e "$tx/token" ]; then discard; els\
e decide rollback "$1" && conclude; fi; unlock',[590,49],[4493,6],[644,40],"job_pids() { # sets pids to those that have \
the mark of this transaction",[685,1],`  pids='' && for pid in $(grep -l -F "SAVEPOINT_TRANSACTION=$id" "$@" 2>/dev/null\
); do`,[687,14]],"1.2.1":[[0,15],"VERSION=1.2.1 PROTOCOL=1 POLICY=/var/lib/savepoint/policy",[16,235],[4801,19],[270,431]]}},
gate:`#!/bin/sh
# Savepoint gate: all that an SSH key can do whose line in authorized_keys has it as its forced command.
#
# sshd runs it, as the CI user, whatever the key's holder asks for. It reads that command line, never runs it, and
# starts one verb of a guard by sudo, which checks the guard's digest. \`savepoint host setup --forced-command\` puts it
# where only root can change it. Exit 92 and 93 as the loader's (src/guard/bootstrap.ts).
set -u
set -f
PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
export PATH LC_ALL
unset IFS

refuse() {
  printf 'savepoint gate: %s\\n' "$1" >&2
  exit 93
}

asked=\${SSH_ORIGINAL_COMMAND-}
case $asked in
  *' savepoint '*) ;;
  *) refuse 'this key is for the guard of Savepoint and runs nothing else' ;;
esac

# ROOT DIGEST SUDO VERB, as the controller's command line ends.
# shellcheck disable=SC2086 # to be split at blanks; nothing is expanded, see set -f
set -- \${asked##*' savepoint '}
[ $# -eq 4 ] || refuse 'the command line does not end as that of the guard does'
[ "$1" = "''" ] || refuse 'this key works on the host itself only, not below another root'
case $2 in *[!0-9a-f]*) refuse 'that is no digest of a guard' ;; esac
[ \${#2} -eq 64 ] || refuse 'that is no digest of a guard'
case $4 in
  begin | apply | exec | kill | renew | commit | rollback | status | recover) ;;
  *) refuse 'this key may not ask the guard for that' ;;
esac

guard=/var/lib/savepoint/guard/$2/guard
if sudo -n -l "$guard" "$4" >/dev/null 2>&1; then exec sudo -n "$guard" "$4"; fi
list=$(sudo -n -l 2>&1)
printf '%s\\n' "$list" >&2
case $list in *sha256:*/guard/*) exit 93 ;; *) exit 92 ;; esac
`,policy:`#!/bin/sh
# Savepoint policy: what those who reach the guard of this host by sudo may ask it for; everything else is refused.
#
# The guard runs it as root, as \`policy root ROOT\`, \`policy begin TRACK REFRESH PROBE\` (a line each) and \`policy user\`:
# what it prints before it exits with another status than 0 is why the guard refuses. \`savepoint host setup\` writes it,
# and below its last line what it allows; root may edit that. Lines: track PATH, refresh COMMAND, probe COMMAND, and
# user NAME, who phases run as instead of the login.
set -u
allowed() { sed -n "s/^$1 //p" "$0"; }
refuse() {
  printf '%s\\n' "$1"
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
    done | grep -q yes || { printf '.%s\\n' "$asked" && return; }
  done
}

# loose: a directory in, at or above the paths on standard input that others than root may change.
loose() {
  while IFS= read -r path; do
    set -- "$path"
    above=$path
    while above=\${above%/*} && [ -n "$above" ]; do set -- "$@" "$above"; done
    find "$@" -maxdepth 0 -type d \\( ! -user 0 -o -perm -020 -o -perm -002 \\)
    find "$path" -xdev -type d \\( ! -user 0 -o -perm -020 -o -perm -002 \\)
  done 2>/dev/null | head -n 1
}

case \${1:-} in
  root) [ -z "$2" ] || refuse "the host's own root is all that may be asked for, not '$2'" ;;
  user) allowed user | head -n 1 ;;
  begin)
    for kind in track refresh probe; do
      shift
      other=$(printf %s "$1" | unnamed "$kind")
      [ -z "$other" ] || refuse "$kind '\${other#.}' is not allowed; it allows $(allowed "$kind" | tr '\\n' ';')"
      [ "$kind" != track ] || open=$(printf %s "$1" | loose)
      [ -z "$open" ] || refuse "$open can be written to by others"
    done
    ;;
  *) refuse "'\${1:-}' is not known to it" ;;
esac
exit 0
`}}});function entry(code2,errorClass,reason){return{code:code2,class:errorClass,reason}}function asSavepointError(error2){return error2 instanceof
SavepointError?error2:new SavepointError("defect",{message:`${catalogue.defect.reason} ${sentenceOf(error2)}`,hint:"Plea\
se report this with the whole output.",cause:error2})}function causeJson(cause){if(cause instanceof SavepointError)return cause.
toJSON();if(!(cause instanceof Error))return{reason:String(cause)};let code2="code"in cause?{code:cause.code}:{},deeper=cause.
cause===void 0?{}:{causes:[causeJson(cause.cause)]};return{name:cause.name,reason:cause.message,...code2,...deeper}}function sentenceOf(error2){
return error2 instanceof Error?error2.message||error2.name:String(error2)}function describe(error2){let it=asSavepointError(
error2),facts=[];it.place&&facts.push(["at",describePlace(it.place)]),facts.push(...Object.entries(it.details));for(let cause of flatCauses(
it))facts.push(["cause",causeLine(cause)]);it.hint&&facts.push(["hint",it.hint]);let shown=facts.filter(([,value])=>value!==
void 0&&value!==""),width=Math.max(0,...shown.map(([key])=>key.length)),lines2=shown.map(([key,value])=>`  ${key.padEnd(
width)}  ${plain(value)}`);return[`${it.name} (${it.code}): ${plain(it.reason)}`,...lines2].join(`
`)}function describePlace({file,line,column,field}){return[[file,line,line===void 0?void 0:column].filter(part=>part!==void 0).
join(":"),field&&`field ${field}`].filter(Boolean).join(", ")}function flatCauses(error2){return error2.causes.flatMap(cause=>cause instanceof
SavepointError?[cause,...flatCauses(cause)]:cause instanceof Error&&cause.cause!==void 0?[cause,cause.cause]:[cause])}function causeLine(cause){
return cause instanceof SavepointError?`${cause.name} (${cause.code}): ${cause.reason}`:sentenceOf(cause)}function plain(value){
return Array.isArray(value)?value.map(plain).join(", "):(typeof value=="string"?value:JSON.stringify(value)??String(value)).
replace(/[\p{Cc}\p{Bidi_Control}\u2028\u2029]/gu,control=>control===`
`?"\\n":`\\u${control.charCodeAt(0).toString(16).padStart(4,"0")}`)}var exitCodes,catalogue,SavepointError,init_errors=__esm(
{"src/errors.ts"(){"use strict";init_define_SAVEPOINT();exitCodes={job:1,usage:2,host:3,internal:70,recovery:46};catalogue=
{"bad-usage":entry(101,"usage","The command line is not one this command understands."),"bad-input":entry(102,"usage","A\
n input of the action has a value that is not allowed."),"job-file-missing":entry(103,"usage","The job file cannot be re\
ad."),"job-file-syntax":entry(104,"usage","The job file is not valid YAML."),"job-unknown-key":entry(105,"usage","The jo\
b has a key that does not exist."),"job-wrong-type":entry(106,"usage","A field of the job has the wrong type."),"job-bad\
-value":entry(107,"usage","A field of the job has a value that is not allowed."),"job-missing-field":entry(108,"usage","\
The job lacks a field it cannot do without."),"track-relative":entry(109,"usage","A tracked path is not absolute."),"tra\
ck-root":entry(110,"usage","The root directory itself cannot be tracked."),"track-bad-path":entry(111,"usage","A tracked\
 path is not written in its plain form."),"track-unknown-preset":entry(112,"usage","There is no preset of this name."),"\
track-overlap":entry(113,"usage","Two paths that the job names contradict each other."),"track-reserved":entry(114,"usag\
e","The guard's own state cannot be tracked."),"files-missing":entry(115,"usage","A local directory that the job names d\
oes not exist."),"files-outside-tracked":entry(116,"usage","A file to lay over the host is not tracked."),"files-bad-ent\
ry":entry(117,"usage","The files to lay over hold something unsupported."),"remove-outside-tracked":entry(118,"usage","A\
 path to remove is not tracked."),"set-bad":entry(119,"usage","An override is not of the form field=value."),"host-confl\
ict":entry(120,"usage","Two different hosts were asked for."),"key-missing":entry(121,"usage","There is no SSH key to au\
thenticate with."),"key-unreadable":entry(122,"usage","The SSH key file cannot be read."),"key-bad":entry(123,"usage","T\
he SSH key cannot be parsed, or its passphrase is wrong."),"known-hosts-missing":entry(124,"usage","The known_hosts file\
 cannot be read."),"pin-bad":entry(125,"usage","The guard pin is not a version and a SHA-256 digest."),"guard-unavailabl\
e":entry(126,"usage","The guard that is asked for is not to be had."),"state-missing":entry(127,"usage","No transaction \
is recorded here."),"state-bad":entry(128,"usage","The recorded transaction cannot be understood."),"output-unwritable":entry(
129,"usage","The output folder cannot be written to."),"ssh-config-bad":entry(130,"usage","The SSH configuration has som\
ething that cannot be used."),"ssh-config-program":entry(131,"usage","The SSH configuration would run a program here."),
"guard-unproved":entry(132,"usage","No whole proof is recorded for this guard."),"backend-bad":entry(141,"usage","The ba\
ckend of the host cannot be used."),"backend-refused":entry(142,"usage","The backend may not run on this machine."),"pha\
se-failed":entry(201,"job","A command of a phase failed."),"phase-timeout":entry(202,"job","A phase took longer than it \
may."),"check-failed":entry(203,"job","The changed configuration did not pass its check."),"job-cancelled":entry(204,"jo\
b","The job was cancelled."),"outcome-unexpected":entry(205,"job","The job did not end with the outcome it expects."),"a\
ttachment-changed":entry(221,"job","An attachment changed while it was being sent."),"artifact-missing":entry(222,"job",
"The host does not have an artifact."),"artifact-refused":entry(223,"job","What the host sent as an artifact is not allo\
wed."),"host-unreachable":entry(301,"host","The host cannot be reached."),"host-auth-failed":entry(302,"host","The host \
refused every way to log in."),"host-key-unknown":entry(303,"host","The host's key is in no known_hosts that was given."),
"host-key-changed":entry(304,"host","The host's key is not the one that is known for it."),"host-lost":entry(305,"host",
"The connection to the host broke."),"host-file-missing":entry(306,"host","The host has no such file."),"no-sudo":entry(
307,"host","The user may not become root on the host without a password."),"host-busy":entry(308,"host","Another transac\
tion is open on the host."),"host-quarantined":entry(309,"host","An earlier transaction could not be rolled back."),"hos\
t-tools-missing":entry(310,"host","The host lacks a tool that the guard needs."),"host-degraded":entry(311,"host","The h\
ost's tools would lose metadata that it uses."),"host-no-space":entry(312,"host","The host has too little free space for\
 the copies."),"path-not-replaceable":entry(313,"host","A tracked path cannot be renamed over."),"path-under-symlink":entry(
314,"host","A directory above a tracked path is a symbolic link."),"path-changing":entry(315,"host","A tracked path chan\
ged while it was being copied."),"guard-mismatch":entry(316,"host","The guard on the host is not the pinned one."),"guar\
d-refused-by-host":entry(317,"host","The host pins another guard than this one."),"not-open":entry(318,"host","The host \
has no such open transaction."),"bad-token":entry(319,"host","The transaction belongs to somebody else."),fenced:entry(320,
"host","A later controller has taken over this transaction."),"edited-by-others":entry(321,"host","Somebody else edited \
a tracked path meanwhile."),"lease-expired":entry(322,"host","The host heard nothing for too long and rolled back."),"ho\
st-write-failed":entry(323,"host","The host could not write what it had to."),"host-read-failed":entry(324,"host","A fil\
e of the host cannot be read."),"host-key-revoked":entry(325,"host","The host's key is marked as revoked."),"host-reboot\
ed":entry(326,"host","The host restarted unexpectedly and rolled back."),"backend-failed":entry(341,"host","The backend \
of the host failed."),"transfer-refused":entry(351,"host","The login on the host cannot transfer files."),"transfer-fail\
ed":entry(352,"host","Files could not be sent to the host, or fetched."),"rollback-failed":entry(401,"recovery","The hos\
t could not be brought back."),"rolled-back-unhealthy":entry(402,"recovery","Restored, but the host fails its probe."),defect:entry(
901,"internal","Something happened that should be impossible."),"guard-protocol":entry(902,"internal","The guard's answe\
r cannot be understood.")},SavepointError=class extends Error{name;code;class;details;hint;place;constructor(name,options={}){
let{code:code2,class:errorClass,reason}=catalogue[name];super(options.message??reason,options.cause===void 0?void 0:{cause:options.
cause}),this.name=name,this.code=code2,this.class=errorClass,this.details=options.details??{},this.hint=options.hint,this.
place=options.place}get reason(){return this.message}get exitCode(){return exitCodes[this.class]}get causes(){let{cause}=this;
return cause===void 0?[]:cause instanceof AggregateError?[...cause.errors]:[cause]}toJSON(){return{code:this.code,name:this.
name,class:this.class,reason:this.reason,details:this.details,...this.place&&{place:this.place},...this.hint&&{hint:this.
hint},causes:this.causes.map(causeJson)}}}}});var kexAlgorithms,ciphers,macs,hostKeyAlgorithms,init_ssh_algorithms=__esm({"src/host/ssh-algorithms.ts"(){"use strict";
init_define_SAVEPOINT();kexAlgorithms={usual:["curve25519-sha256","curve25519-sha256@libssh.org","ecdh-sha2-nistp256","e\
cdh-sha2-nistp384","ecdh-sha2-nistp521","diffie-hellman-group-exchange-sha256","diffie-hellman-group14-sha256","diffie-h\
ellman-group16-sha512","diffie-hellman-group18-sha512"],legacy:["diffie-hellman-group-exchange-sha1","diffie-hellman-gro\
up14-sha1","diffie-hellman-group1-sha1"]},ciphers={usual:["aes128-gcm@openssh.com","aes256-gcm@openssh.com","aes128-ctr",
"aes192-ctr","aes256-ctr","chacha20-poly1305@openssh.com"],legacy:["aes128-cbc","aes192-cbc","aes256-cbc","3des-cbc"]},macs=
{usual:["hmac-sha2-256-etm@openssh.com","hmac-sha2-512-etm@openssh.com","hmac-sha1-etm@openssh.com","hmac-sha2-256","hma\
c-sha2-512","hmac-sha1"],legacy:["hmac-sha1-96","hmac-md5"]},hostKeyAlgorithms={usual:["ssh-ed25519","ecdsa-sha2-nistp25\
6","ecdsa-sha2-nistp384","ecdsa-sha2-nistp521","rsa-sha2-512","rsa-sha2-256"],legacy:["ssh-rsa"]}}});function parseKnownHosts(text5,source){let hosts=[],unreadable2=[];for(let[index,raw]of text5.split(`
`).entries()){let content=raw.trim();if(content===""||content.startsWith("#"))continue;let entry3=parseLine(content,source,
index+1);entry3?hosts.push(entry3):unreadable2.push(index+1)}return{hosts,unreadable:unreadable2}}function parseLine(content,source,line){
let words=content.split(/[ \t]+/),marker=markers.get(words[0]??"");if(words[0]?.startsWith("@")){if(!marker)return;words.
shift()}let[hosts,type,base642]=words;if(!hosts||!type||!base642||!/^[A-Za-z0-9+/]+={0,2}$/.test(base642))return;let key=Buffer.
from(base642,"base64");if(keyType(key)===type)return{source,line,marker:marker??"none",hosts,type,key}}function keyType(key){
if(key.length<4)return"";let length=key.readUInt32BE(0);return length<key.length-4?key.toString("latin1",4,4+length):""}
function fingerprint(key){return`SHA256:${(0,import_node_crypto.createHash)("sha256").update(key).digest("base64").replace(
/=+$/,"")}`}function knownHostName(name,port){let lower=name.toLowerCase();return port===22?lower:`[${lower}]:${port}`}function matchesHost(entry3,name){
return entry3.hosts.startsWith("|")?matchesHash(entry3.hosts,name):matchesPatterns(entry3.hosts.split(","),name)}function matchesHash(hashed,name){
let[,method,salt,hash]=hashed.split("|");if(method!=="1"||!salt||!hash)return!1;let expected=Buffer.from(hash,"base64"),
actual=(0,import_node_crypto.createHmac)("sha1",Buffer.from(salt,"base64")).update(name).digest();return expected.length===
actual.length&&(0,import_node_crypto.timingSafeEqual)(expected,actual)}function matchesPatterns(patterns,name,letters="a\
ny-case"){let matched=!1;for(let pattern of patterns){let negated=pattern.startsWith("!");if(matchesPattern(negated?pattern.
slice(1):pattern,name,letters)){if(negated)return!1;matched=!0}}return matched}function matchesPattern(pattern,name,letters){
let source=pattern.replace(/[.+^${}()|[\]\\]/g,"\\$&").replaceAll("*",".*").replaceAll("?",".");return new RegExp(`^${source}\
$`,letters==="exact"?"s":"is").test(name)}var import_node_crypto,markers,init_known_hosts=__esm({"src/host/known-hosts.t\
s"(){"use strict";init_define_SAVEPOINT();import_node_crypto=require("node:crypto");markers=new Map([["@revoked","revoke\
d"],["@cert-authority","cert-authority"]])}});function badConfig(place,message,more={}){return problem("ssh-config-bad",place,message,more)}function refusedProgram(place,program,found){
return problem("ssh-config-program",place,`${program} would run a program on this machine.`,{found,hint:`Allow it by its\
 name (--allow-program '${program}', or the input allow-program), or reach the host without it (ProxyJump needs no progr\
am).`})}function problem(name,{file,line},message,more){let{found,allowed,hint,cause}=more;return new SavepointError(name,
{message:`${file}:${line}: ${message}`,place:{file,line},details:{...found!==void 0&&{found},...allowed&&{allowed}},...hint&&
{hint},...cause!==void 0&&{cause}})}var init_problem=__esm({"src/host/ssh-config/problem.ts"(){"use strict";init_define_SAVEPOINT();
init_errors()}});function algorithmsOf(setting,list){let written=setting.words[0]??"",operator=/^[-+^]/.exec(written)?.[0],names=(operator?
written.slice(1):written).split(","),all=[...list.usual,...list.legacy],known=names.filter(name=>all.includes(name)),usualWithout=isLeftOut=>list.
usual.filter(name=>!isLeftOut(name)),chosen=(()=>{switch(operator){case"+":return[...list.usual,...known.filter(name=>!list.
usual.includes(name))];case"-":return usualWithout(name=>matchesPatterns(names,name,"exact"));case"^":return[...known,...usualWithout(
name=>known.includes(name))];default:return known}})();if(chosen.length>0)return chosen;throw badConfig(setting.place,"N\
one of these algorithms is supported.",{found:written,allowed:all.join(",")})}var init_algorithms=__esm({"src/host/ssh-c\
onfig/algorithms.ts"(){"use strict";init_define_SAVEPOINT();init_known_hosts();init_problem()}});function usualConfigFiles(home){let own2=(0,import_node_path3.join)(home,".ssh");return[{path:(0,import_node_path3.join)(
own2,"config"),includeFolder:own2,checkPermissions:!0},{path:"/etc/ssh/ssh_config",includeFolder:"/etc/ssh"}]}async function readConfigFile(file){
try{return file.checkPermissions&&await checkOwner(file.path),await(0,import_promises.readFile)(file.path,"utf8")}catch(error2){
if(error2 instanceof SavepointError)throw error2;if(error2 instanceof Error&&"code"in error2&&error2.code==="ENOENT"&&!file.
required)return;throw new SavepointError("ssh-config-bad",{message:`The SSH configuration ${file.path} cannot be read: ${sentenceOf(
error2)}`,place:{file:file.path},cause:error2})}}async function checkOwner(path){let{uid,mode}=await(0,import_promises.stat)(
path);if(!((uid===0||uid===process.getuid?.())&&(mode&18)===0))throw new SavepointError("ssh-config-bad",{message:`The S\
SH configuration ${path} may be written to by others, so it is not used.`,place:{file:path},details:{owner:uid,mode:(mode&
511).toString(8).padStart(4,"0")},hint:`chmod 600 ${path}`})}async function includedFiles(pattern,folder){let absolute=(0,import_node_path3.isAbsolute)(
pattern)?pattern:(0,import_node_path3.join)(folder,pattern),[,...segments]=absolute.split("/"),found=["/"];for(let segment of segments)
found=(await Promise.all(found.map(path=>matching(path,segment)))).flat();return found}async function matching(folder,segment){
if(!/[*?[]/.test(segment)){let path=(0,import_node_path3.join)(folder,segment);return await(0,import_promises.stat)(path).
catch(()=>{})?[path]:[]}let entries=await(0,import_promises.readdir)(folder).catch(()=>[]),name=globExpression(segment);
return entries.filter(entry3=>name.test(entry3)&&(segment.startsWith(".")||!entry3.startsWith("."))).sort().map(entry3=>(0,import_node_path3.join)(
folder,entry3))}function globExpression(segment){let source=segment.replace(/\[(!?)([^\]]+)\]|[\s\S]/g,(part,not,set)=>set!==
void 0?`[${not?"^":""}${set.replace(/[\\^]/g,"\\$&")}]`:part==="*"?".*":part==="?"?".":part.replace(/[.+^${}()|[\]\\]/,"\
\\$&"));return new RegExp(`^${source}$`,"s")}var import_promises,import_node_path3,init_files=__esm({"src/host/ssh-confi\
g/files.ts"(){"use strict";init_define_SAVEPOINT();import_promises=require("node:fs/promises"),import_node_path3=require("node:path");
init_errors()}});function localUser(env=process.env){let{username,uid}=(0,import_node_os2.userInfo)();return{name:username,home:(0,import_node_os2.homedir)(),
uid,machine:(0,import_node_os2.hostname)(),env}}function expandTokens(value,tokens,place){let{local}=tokens,meanings={"%":"\
%",C:connectionHash(tokens),d:local.home,h:tokens.host,i:String(local.uid),j:tokens.jumps,k:tokens.keyName,L:local.machine.
split(".")[0]??"",l:local.machine,n:tokens.original,p:String(tokens.port),r:tokens.user,u:local.name};return value.replace(
/%(.?)/g,(token,letter)=>{let meaning=meanings[letter];if(meaning!==void 0)return meaning;throw badConfig(place,`The tok\
en ${token} has no meaning here.`,{found:value,allowed:Object.keys(meanings).map(known=>`%${known}`).join(" ")})})}function expandHostName(value,original,place){
return value.replace(/%(.?)/g,(token,letter)=>{if(letter==="h")return original;if(letter==="%")return"%";throw badConfig(
place,`The token ${token} has no meaning in HostName.`,{found:value,allowed:"%h, %%"})})}function expandHome(path,local,place){
if(!path.startsWith("~"))return path;let[user="",...rest]=path.slice(1).split("/");if(user!==""&&user!==local.name)throw badConfig(
place,"Only your own home can be written as ~.",{found:path});return(0,import_node_path4.join)(local.home,...rest)}function expandVariables(value,local,place){
return value.replace(/\$\{([^}]*)\}/g,(_,name)=>{let set=local.env[name];if(set!==void 0)return set;throw badConfig(place,
`The variable ${name} is not set.`,{found:value})})}function connectionHash({local,host,port,user,jumps}){return(0,import_node_crypto2.createHash)(
"sha1").update(`${local.machine}${host}${port}${user}${jumps}`).digest("hex")}var import_node_crypto2,import_node_os2,import_node_path4,
init_tokens=__esm({"src/host/ssh-config/tokens.ts"(){"use strict";init_define_SAVEPOINT();import_node_crypto2=require("node:crypto"),
import_node_os2=require("node:os"),import_node_path4=require("node:path");init_problem()}});function secondsOf({words,place}){let written=words[0]??"",units={"":1,s:1,m:60,h:3600,d:86400,w:604800},parts=[...written.
matchAll(/(\d+)([smhdw]?)/gi)];if(parts.length===0||parts.map(([part])=>part).join("")!==written)throw badConfig(place,"\
This is no time.",{found:written,allowed:"90, 90s, 1m30s"});return parts.reduce((sum,[,count2,unit])=>sum+Number(count2)*
(units[unit?.toLowerCase()??""]??1),0)}function numberOf({words,place},most){let written=words[0]??"",value=Number(written);
if(/^\d+$/.test(written)&&value<=most)return value;throw badConfig(place,"This is no such number.",{found:written,allowed:`\
0 to ${most}`})}function yesOrNo({words,place}){let written=(words[0]??"").toLowerCase();if(written==="yes"||written==="\
true")return!0;if(written==="no"||written==="false")return!1;throw badConfig(place,"This is neither yes nor no.",{found:written,
allowed:"yes, no"})}function familyOf({words,place}){switch(words[0]?.toLowerCase()){case"any":return 0;case"inet":return 4;case"\
inet6":return 6;default:throw badConfig(place,"This is no kind of address.",{found:words[0]??"",allowed:"any, inet, inet\
6"})}}function unlessNone(setting){return setting&&setting.rest.trim().toLowerCase()==="none"?void 0:setting}function jumpsOf({
rest,place}){return rest.split(",").map(text5=>{let match=/^(?:ssh:\/\/)?(?:([^@]+)@)?(?:\[([^\]]+)\]|([^:@/[\]]+))(?::(\d+))?\/?$/.
exec(text5.trim()),host=match?.[2]??match?.[3];if(!match||!host)throw badConfig(place,"ProxyJump has something that is n\
o host.",{found:text5,allowed:"[user@]host[:port], ssh://user@host:port"});let[,user,,,port]=match;return{host,...user&&
{user},...port&&{port:Number(port)}}})}var init_values=__esm({"src/host/ssh-config/values.ts"(){"use strict";init_define_SAVEPOINT();
init_problem()}});function identitiesOf(asked,standing,settings,tokens){let only=settings.single.get("identitiesonly"),agent=asked.agent===
!1?void 0:asked.agent??agentOf(asked,settings.single.get("identityagent"),tokens),common={...agent!==void 0&&{agent},...only&&
{identitiesOnly:yesOrNo(only)}},{key,keyText:keyText2}=asked,named=settings.identityFiles,guessed=standing==="inherited"&&
named.length>0;if(!guessed&&key!==void 0)return{...common,key};if(!guessed&&keyText2!==void 0)return{...common,keyText:keyText2};
let keyFiles=named.length>0?named.filter(unlessNone).map(setting=>pathOf(setting.words[0]??"",setting,tokens)):usualKeys.
map(name=>(0,import_node_path5.join)(tokens.local.home,".ssh",name));return{...common,keyFiles}}function agentOf(asked,setting,tokens){
if(asked.key!==void 0||asked.keyText!==void 0)return;let{env}=tokens.local,written=setting?.words[0]??"SSH_AUTH_SOCK";if(!(setting&&
!unlessNone(setting)))return written==="SSH_AUTH_SOCK"?env.SSH_AUTH_SOCK||void 0:/^\$\w+$/.test(written)?env[written.slice(
1)]||void 0:setting&&pathOf(written,setting,tokens)}function hostKeySources(asked,standing,{single},tokens){let revoked=unlessNone(
single.get("revokedhostkeys")),common=revoked&&{revokedHostKeys:pathOf(revoked.words[0]??"",revoked,tokens)},{knownHosts,
knownHostsFiles}=asked,lines2=knownHosts===void 0?{}:{knownHosts};if((knownHosts!==void 0||knownHostsFiles!==void 0)&&standing===
"own")return{...common,...lines2,knownHostsFiles:knownHostsFiles??[]};let own2=filesOf(single.get("userknownhostsfile"),
tokens)??[(0,import_node_path5.join)(tokens.local.home,".ssh","known_hosts"),(0,import_node_path5.join)(tokens.local.home,
".ssh","known_hosts2")],global2=filesOf(single.get("globalknownhostsfile"),tokens)??["/etc/ssh/ssh_known_hosts","/etc/ss\
h/ssh_known_hosts2"];return{...common,...lines2,knownHostsFiles:[...knownHostsFiles??[],...own2,...global2]}}function filesOf(setting,tokens){
if(setting)return unlessNone(setting)?setting.words.map(word=>pathOf(word,setting,tokens)):[]}function pathOf(word,{place},tokens){
let path=expandHome(word,tokens.local,place);return(0,import_node_path5.resolve)(expandTokens(expandVariables(path,tokens.
local,place),tokens,place))}var import_node_path5,usualKeys,init_places=__esm({"src/host/ssh-config/places.ts"(){"use st\
rict";init_define_SAVEPOINT();import_node_path5=require("node:path");init_tokens();init_values();usualKeys=["id_rsa","id\
_ecdsa","id_ed25519"]}});function programsOf({single},tokens,allowed,usesProxy){let programs={},take=(program,keyword)=>{let setting=unlessNone(single.
get(keyword));if(setting){if(!allowed.has(program))throw refusedProgram(setting.place,program,setting.rest);if(program===
"KnownHostsCommand"&&/%[fKtHI]/.test(setting.rest))throw badConfig(setting.place,"This token is not supported in KnownHo\
stsCommand.",{found:setting.rest});return expandTokens(setting.rest,tokens,setting.place)}},proxy=usesProxy?take("ProxyC\
ommand","proxycommand"):void 0;proxy!==void 0&&(programs.proxyCommand=proxy);let known=take("KnownHostsCommand","knownho\
stscommand");known!==void 0&&(programs.knownHostsCommand=known);let permitted=single.get("permitlocalcommand"),local=permitted&&
yesOrNo(permitted)?take("LocalCommand","localcommand"):void 0;return local!==void 0&&(programs.localCommand=local),programs}
var init_programs=__esm({"src/host/ssh-config/programs.ts"(){"use strict";init_define_SAVEPOINT();init_problem();init_tokens();
init_values()}});var require_node_child_process=__commonJS({"when-used:node:child_process"(exports2){init_define_SAVEPOINT();for(let name of[
"_forkChild","ChildProcess","exec","execFile","execFileSync","execSync","fork","spawn","spawnSync"])exports2[name]=new Proxy(
()=>{},{apply:(_,self2,given2)=>Reflect.apply(require("node:child_process")[name],self2,given2),get:(_,key)=>require("node:child_process")[name][key]})}});function splitLine(line){let content=line.replace(/[ \t\r\n\f]+$/,"").replace(/^[ \t\r\f]+/,"");if(content===""||content.
startsWith("#"))return;let match=/^"?([^ \t"=]*)"?[ \t]*=?[ \t]*(.*)$/.exec(content);return{keyword:(match?.[1]??"").toLowerCase(),
rest:match?.[2]??""}}function splitWords(text5){let words=[],at2=0;for(;;){for(;text5[at2]===" "||text5[at2]==="	";)at2++;
if(at2>=text5.length||text5[at2]==="#")return words;let word="",quote="";for(;at2<text5.length;at2++){let char=text5[at2]??
"",next=text5[at2+1]??"";if(char==="\\"&&(`'"\\`.includes(next)||quote===""&&next===" ")&&next)word+=next,at2++;else{if(quote===
""&&(char===" "||char==="	"))break;quote===""&&(char==='"'||char==="'")?quote=char:char===quote?quote="":word+=char}}if(quote!==
"")return;words.push(word)}}function splitCriteria(text5){let words=[],rest=text5.trim();for(;rest!==""&&!rest.startsWith(
"#");){let match=rest.startsWith('"')?/^"([^"]*)"[ \t]*=?[ \t]*(.*)$/.exec(rest):/^([^ \t"=]+)[ \t]*=?[ \t]*(.*)$/.exec(
rest);if(!match)return;words.push(match[1]??""),rest=match[2]??""}return words}var init_words=__esm({"src/host/ssh-confi\
g/words.ts"(){"use strict";init_define_SAVEPOINT()}});async function matches(line,place,facts){let words=splitCriteria(line);if(!words)throw badConfig(place,"A quote is not c\
losed.",{found:line});if(words.length===0)throw badConfig(place,"Match has no criterion.");let holds=!0;for(let at2=0;at2<
words.length;at2++){let written=words[at2]??"",negated=written.startsWith("!"),criterion=(negated?written.slice(1):written).
toLowerCase();if(criterion==="all")return checkAlone(words,place),holds&&!negated;if(criterion==="final"||criterion==="c\
anonical"){criterion==="final"&&facts.wantFinalPass(),facts.isFinalPass===negated&&(holds=!1);continue}let value=words[++at2];
if(value===void 0)throw badConfig(place,`Match ${written} has no value.`);criterion==="exec"?holds&&await execSucceeds(value,
place,facts)===negated&&(holds=!1):compare(criterion,value,place,facts)===negated&&(holds=!1)}return holds}function checkAlone(words,place){
if(words.filter(word=>!/^!?(all|canonical|final)$/i.test(word)).length>0||words.length>2)throw badConfig(place,"Match al\
l cannot be combined with other criteria.")}function compare(criterion,value,place,facts){let patterns=value.split(",");
switch(criterion){case"host":return matchesPatterns(patterns,facts.host);case"originalhost":return matchesPatterns(patterns,
facts.original);case"user":return matchesPatterns(patterns,facts.user,"exact");case"localuser":return matchesPatterns(patterns,
facts.localUser,"exact");case"tagged":return matchesPatterns(patterns,facts.tag,"exact");default:throw badConfig(place,`\
Match ${criterion} is not supported.`,{allowed:"all, host, originalhost, user, localuser, tagged, final, canonical, exec"})}}
async function execSucceeds(command,place,facts){if(!facts.allowed.has("Match exec"))throw refusedProgram(place,"Match e\
xec",command);return new Promise(resolve3=>{(0,import_node_child_process.execFile)("/bin/sh",["-c",facts.expand(command)],
error2=>resolve3(error2===null))})}var import_node_child_process,init_match=__esm({"src/host/ssh-config/match.ts"(){"use\
 strict";init_define_SAVEPOINT();import_node_child_process=__toESM(require_node_child_process(),1);init_known_hosts();init_problem();
init_words()}});async function readSettings(files,original,local,factsFor){let settings={single:new Map,identityFiles:[]},again2=!1;for(let isFinalPass of[
!1,!0]){if(isFinalPass&&!again2)break;let facts=()=>({...factsFor(settings,isFinalPass),wantFinalPass:()=>{again2=!0}}),
reader=new Reader(settings,original,local,facts);for(let file of files)await reader.read(file,!0,0)}return settings}var deepest,
Reader,init_read=__esm({"src/host/ssh-config/read.ts"(){"use strict";init_define_SAVEPOINT();init_known_hosts();init_files();
init_match();init_problem();init_tokens();init_words();deepest=16;Reader=class{#settings;#original;#local;#facts;constructor(settings,original,local,facts){
this.#settings=settings,this.#original=original,this.#local=local,this.#facts=facts}async read(file,applies,depth){let text5=await readConfigFile(
file),active=applies;for(let[index,line]of(text5??"").split(`
`).entries()){let place={file:file.path,line:index+1},parts=splitLine(line);if(!parts)continue;let{keyword,rest}=parts,words=splitWords(
rest);if(!words)throw badConfig(place,"A quote is not closed.",{found:rest});if(rest==="")throw badConfig(place,`${keyword}\
 has no value.`);keyword==="host"?active=applies&&this.#matchesHost(words):keyword==="match"?active=applies&&await matches(
rest,place,this.#facts()):keyword==="include"?await this.#include(words,file,place,active,depth):active&&this.#set(keyword,
{words,rest,place})}}#matchesHost(patterns){return matchesPatterns(patterns,this.#original,"exact")}async#include(patterns,from,place,active,depth){
if(depth>=deepest)throw badConfig(place,`Include is nested more than ${deepest} deep.`);for(let pattern of patterns){let path=expandHome(
pattern,this.#local,place);for(let found of await includedFiles(path,from.includeFolder))await this.read({...from,path:found,
required:!0},active,depth+1)}}#set(keyword,setting){let{single,identityFiles}=this.#settings;if(keyword==="identityfile"){
let same2=other=>other.words[0]===setting.words[0];identityFiles.some(same2)||identityFiles.push(setting);return}let proxies=[
"proxyjump","proxycommand"];proxies.includes(keyword)&&proxies.some(name=>single.has(name))||single.has(keyword)||single.
set(keyword,setting)}}}});async function resolveTarget(asked,{local=localUser(),files=usualConfigFiles(local.home),allow=[]}={}){return resolve2(asked,
{local,files,allowed:new Set(allow)},"with-jumps",0)}async function resolve2(asked,context,jumping,depth){let settings=await readSettings(
context.files,asked.name,context.local,(read,final)=>({original:asked.name,host:hostNameOf(read,asked),user:userOf(read,
asked,context),localUser:context.local.name,tag:read.single.get("tag")?.words[0]??"",isFinalPass:final,allowed:context.allowed,
wantFinalPass:()=>{},expand:value=>expandTokens(value,tokensOf(read,asked,context),nowhere(asked))})),setting=keyword=>settings.
single.get(keyword);refuseCanonicalization(settings);let tokens=tokensOf(settings,asked,context),standing=depth===0?"own":
"inherited",alias=setting("hostkeyalias")?.words[0],aliveInterval=setting("serveraliveinterval"),aliveCountMax=setting("\
serveralivecountmax"),timeout=unlessNone(setting("connecttimeout")),family=setting("addressfamily"),list=(keyword,known)=>{
let given2=setting(keyword);return given2&&algorithmsOf(given2,known)},direct={type:"ssh",name:tokens.host,port:tokens.port,
user:tokens.user,sudo:asked.sudo??tokens.user!=="root",...given("alias",asked.name===tokens.host?void 0:asked.name),hostKeyCheck:asked.
hostKeyCheck??"strict",connectTimeout:asked.connectTimeout??(timeout&&secondsOf(timeout)||usualTimeout),...identitiesOf(
asked,standing,settings,tokens),...hostKeySources(asked,standing,settings,tokens),...programsOf(settings,tokens,context.
allowed,jumping==="with-jumps"),...given("hostKeyAlias",alias),...given("aliveInterval",aliveInterval&&secondsOf(aliveInterval)),
...given("aliveCountMax",aliveCountMax&&numberOf(aliveCountMax,1e3)),...given("addressFamily",family&&familyOf(family)),
...given("ciphers",list("ciphers",ciphers)),...given("macs",list("macs",macs)),...given("kexAlgorithms",list("kexalgorit\
hms",kexAlgorithms)),...given("hostKeyAlgorithms",list("hostkeyalgorithms",hostKeyAlgorithms))};return jumping==="direct\
ly"?direct:{...direct,...given("jumps",await jumpsTo(asked,settings,context,depth))}}async function jumpsTo(asked,settings,context,depth){
let setting=unlessNone(settings.single.get("proxyjump"));if(!setting)return;let jumps=[];for(let[index,{host,user,port}]of jumpsOf(
setting).entries()){if(depth+jumps.length>=mostJumps)throw badConfig(setting.place,`ProxyJump leads through more than ${mostJumps}\
 hosts.`,{found:setting.rest,hint:"Is one of them a host of the block that says so?"});let{name:_name,port:_port,user:_user,
hostKeyCheck:_check2,...inherited}=asked,hop={...inherited,name:host,...given("user",user),...given("port",port)},jumping=index===
0?"with-jumps":"directly",{jumps:before=[],...target}=await resolve2(hop,context,jumping,depth+1);jumps.push(...before,target)}
return jumps}function hostNameOf(settings,asked){let setting=settings.single.get("hostname");return setting?expandHostName(
setting.words[0]??"",asked.name,setting.place).toLowerCase():asked.name.toLowerCase()}function userOf(settings,asked,{local}){
return asked.user??settings.single.get("user")?.words[0]??local.name}function tokensOf(settings,asked,context){let port=settings.
single.get("port");return{original:asked.name,host:hostNameOf(settings,asked),port:asked.port??(port?numberOf(port,65535):
usualPort),user:userOf(settings,asked,context),keyName:settings.single.get("hostkeyalias")?.words[0]??asked.name,jumps:unlessNone(
settings.single.get("proxyjump"))?.rest??"",local:context.local}}function refuseCanonicalization({single}){let setting=single.
get("canonicalizehostname"),found=setting?.words[0]?.toLowerCase();if(!(!setting||found==="no"||found==="none"||found===
"false"))throw badConfig(setting.place,"CanonicalizeHostname is not supported.",{found:setting.rest,hint:"Write the whol\
e name with HostName."})}function nowhere(asked){return{file:`the configuration of ${asked.name}`,line:0}}function given(name,value){
return value===void 0?{}:{[name]:value}}var usualPort,usualTimeout,mostJumps,init_resolve=__esm({"src/host/ssh-config/re\
solve.ts"(){"use strict";init_define_SAVEPOINT();init_ssh_algorithms();init_algorithms();init_files();init_places();init_problem();
init_programs();init_read();init_tokens();init_values();usualPort=22,usualTimeout=10,mostJumps=10}});function resolveConfigured(asked,config2,allow=[]){if(config2===void 0)return resolveTarget(asked,{allow});if(config2===
"none")return resolveTarget(asked,{allow,files:[]});let file={path:config2,includeFolder:(0,import_node_path6.dirname)(config2),
required:!0};return resolveTarget(asked,{allow,files:[file]})}var import_node_path6,init_configured=__esm({"src/host/ssh\
-config/configured.ts"(){"use strict";init_define_SAVEPOINT();import_node_path6=require("node:path");init_resolve()}});function targetName({user,name,port}){return`${user}@${name.includes(":")?`[${name}]`:name}:${port}`}var init_ssh_target=__esm(
{"src/host/ssh-target.ts"(){"use strict";init_define_SAVEPOINT()}});function hostName(target){return target.type==="local"?"local":target.type==="ssh"?targetName(target):target.backend.id}
function shortName(target){return target.type==="ssh"?target.alias??target.name:hostName(target)}function hostArgument(target){
if(target.type==="local")return"local";if(target.type!=="backend")return`ssh://${target.alias??targetName(target)}`}var init_target=__esm(
{"src/host/target.ts"(){"use strict";init_define_SAVEPOINT();init_ssh_target()}});var optionalVerbs,init_backend=__esm({"src/host/backend/backend.ts"(){"use strict";init_define_SAVEPOINT();optionalVerbs=
["close","revert","reboot"]}});async function capture(running){let[stdout,stderr,exit]=await Promise.all([text2(running.stdout),text2(running.stderr),running.
exit]);return{exit,stdout,stderr}}async function text2(stream){let chunks=[],size=0;for await(let chunk of stream){if(size+=
chunk.length,size>limit)throw new SavepointError("defect",{message:`A command that was to give a short answer wrote more\
 than ${limit} bytes.`});chunks.push(chunk)}return Buffer.concat(chunks).toString("utf8")}var limit,init_capture=__esm({
"src/host/capture.ts"(){"use strict";init_define_SAVEPOINT();init_errors();limit=16*1024*1024}});async function sendThrough(host,from,to,mode=384){let permissions=mode.toString(8).padStart(4,"0"),argv=["sh","-c",sendScript,
"sh",plain3(to),permissions],sent=capture(host.run({argv,stdin:from})),{exit,stderr}=await sent.catch(async error2=>{throw await removePart(
host,to),error2});if(exit.code!==0)throw exit.code!==notCreated&&await removePart(host,to),new SavepointError("host-writ\
e-failed",{message:`The file ${to} cannot be ${exit.code===notCreated?"created":"written"}.`,details:{path:to,exit,said:stderr.
trim()}})}async function removePart(host,path){await capture(host.run({argv:["rm","-f",plain3(path)]})).catch(()=>{})}async function fetchThrough(host,from){
let unwanted=new AbortController,running=host.run({argv:["sh","-c",fetchScript,"sh",plain3(from)],signal:unwanted.signal}),
said="";running.stderr.setEncoding("utf8").on("data",text5=>{said+=text5});let check=async()=>checkFetched(from,await running.
exit,said.trim()),pieces=running.stdout[Symbol.asyncIterator](),first=await pieces.next();return first.done&&await check(),
import_node_stream.Readable.from(verified(first,pieces,check),{objectMode:!1}).once("close",()=>{unwanted.abort(),running.
stdout.destroy()})}async function*verified(first,pieces,check){for(let piece=first;!piece.done;piece=await pieces.next())
yield piece.value;await check()}function checkFetched(path,exit,said){if(exit.code===0)return;let name=exit.code===missing?
"host-file-missing":"host-read-failed";throw new SavepointError(name,{message:exit.code===missing?`The host has no file ${path}\
.`:`The file ${path} of the host cannot be read.`,details:{path,...said&&{said}}})}function plain3(path){return path.startsWith(
"-")?`./${path}`:path}var import_node_stream,missing,notCreated,sendScript,fetchScript,init_ssh_files=__esm({"src/host/s\
sh-files.ts"(){"use strict";init_define_SAVEPOINT();import_node_stream=require("node:stream");init_errors();init_capture();
missing=44,notCreated=45,sendScript=`
umask 077
(set -C && : >"$1") || exit ${notCreated}
cat >"$1" && chmod "$2" "$1"
`,fetchScript=`[ -e "$1" ] || exit ${missing}; exec cat <"$1"`}});var CommandHost,init_command_host=__esm({"src/host/backend/command-host.ts"(){"use strict";init_define_SAVEPOINT();init_errors();
init_ssh_files();CommandHost=class{name;kind="backend";#runner;#running=new Map;#closed=!1;constructor(name,runner){this.
name=name,this.#runner=runner}run(command){if(this.#closed)throw new SavepointError("defect",{message:"A command was sta\
rted on a closed host."});if(!command.signal)return this.#runner.run(command);let stop=new AbortController,signal2=AbortSignal.
any([command.signal,stop.signal]),running=this.#runner.run({...command,signal:signal2});this.#running.set(running.exit,stop);
let forget=()=>this.#running.delete(running.exit);return running.exit.then(forget,forget),running}send(from,to,mode){return sendThrough(
this,from,to,mode)}fetch(from){return fetchThrough(this,from)}async close(){if(!this.#closed){this.#closed=!0;for(let stop of this.#running.
values())stop.abort();await Promise.allSettled(this.#running.keys()),await this.#runner.close?.()}}[Symbol.asyncDispose](){
return this.close()}}}});var util_exports={};__export(util_exports,{BIGINT_FORMAT_RANGES:()=>BIGINT_FORMAT_RANGES,CONSTANT_CATCH:()=>CONSTANT_CATCH,
Class:()=>Class,NUMBER_FORMAT_RANGES:()=>NUMBER_FORMAT_RANGES,aborted:()=>aborted,allowsEval:()=>allowsEval,assert:()=>assert,
assertEqual:()=>assertEqual,assertIs:()=>assertIs,assertNever:()=>assertNever,assertNotEqual:()=>assertNotEqual,assignProp:()=>assignProp,
attachSchema:()=>attachSchema,base64ToUint8Array:()=>base64ToUint8Array,base64urlToUint8Array:()=>base64urlToUint8Array,
cached:()=>cached,captureStackTrace:()=>captureStackTrace,cleanEnum:()=>cleanEnum,cleanRegex:()=>cleanRegex,clone:()=>clone,
cloneDef:()=>cloneDef,codePointLength:()=>codePointLength,constantCatch:()=>constantCatch,createTransparentProxy:()=>createTransparentProxy,
defineLazy:()=>defineLazy,defineLazyInternal:()=>defineLazyInternal,derived:()=>derived,esc:()=>esc,escapeRegex:()=>escapeRegex,
explicitlyAborted:()=>explicitlyAborted,extend:()=>extend,finalizeIssue:()=>finalizeIssue,floatSafeRemainder:()=>floatSafeRemainder,
getElementAtPath:()=>getElementAtPath,getEnumValues:()=>getEnumValues,getLengthableOrigin:()=>getLengthableOrigin,getParsedType:()=>getParsedType,
getSizableOrigin:()=>getSizableOrigin,hexToUint8Array:()=>hexToUint8Array,hide:()=>hide,installLazyProp:()=>installLazyProp,
isObject:()=>isObject,isPlainObject:()=>isPlainObject,issue:()=>issue,joinValues:()=>joinValues,jsonStringifyReplacer:()=>jsonStringifyReplacer,
members:()=>members,merge:()=>merge,mergeDefs:()=>mergeDefs,normalizeParams:()=>normalizeParams,nullish:()=>nullish,numKeys:()=>numKeys,
objectClone:()=>objectClone,omit:()=>omit,optionalKeys:()=>optionalKeys,own:()=>own,parsedType:()=>parsedType,partial:()=>partial,
pick:()=>pick,prefixIssues:()=>prefixIssues,primitiveTypes:()=>primitiveTypes,promiseAllObject:()=>promiseAllObject,propertyKeyTypes:()=>propertyKeyTypes,
randomString:()=>randomString,rawShape:()=>rawShape,required:()=>required,safeExtend:()=>safeExtend,shallowClone:()=>shallowClone,
sizeCaps:()=>sizeCaps,slugify:()=>slugify,stringifyPrimitive:()=>stringifyPrimitive,toZod:()=>toZod,uint8ArrayToBase64:()=>uint8ArrayToBase64,
uint8ArrayToBase64url:()=>uint8ArrayToBase64url,uint8ArrayToHex:()=>uint8ArrayToHex,unwrapMessage:()=>unwrapMessage});function assertEqual(val){
return val}function assertNotEqual(val){return val}function toZod(){return schema=>schema}function assertIs(_arg){}function assertNever(_x){
throw new Error("Unexpected value in exhaustive check")}function assert(_){}function getEnumValues(entries){let numericValues=Object.
values(entries).filter(v=>typeof v=="number");return Object.entries(entries).filter(([k,_])=>numericValues.indexOf(+k)===
-1).map(([_,v])=>v)}function joinValues(array2,separator="|"){return array2.map(val=>stringifyPrimitive(val)).join(separator)}
function jsonStringifyReplacer(_,value){return typeof value=="bigint"?value.toString():value}function cached(getter){return new Cached(
getter)}function nullish(input){return input==null}function cleanRegex(source){let start2=source.startsWith("^")?1:0,end2=source.
endsWith("$")?source.length-1:source.length;return source.slice(start2,end2)}function floatSafeRemainder(val,step){let ratio=val/
step,roundedRatio=Math.round(ratio),tolerance=4*Number.EPSILON*Math.max(Math.abs(ratio),1);return Math.abs(ratio-roundedRatio)<
tolerance?0:ratio-roundedRatio}function defineLazy(object,key,getter){let value;Object.defineProperty(object,key,{get(){
if(value!==EVALUATING)return value===void 0&&(value=EVALUATING,value=getter()),value},set(v){Object.defineProperty(object,
key,{value:v})},configurable:!0})}function objectClone(obj){return Object.create(Object.getPrototypeOf(obj),Object.getOwnPropertyDescriptors(
obj))}function assignProp(target,prop,value){Object.defineProperty(target,prop,{value,writable:!0,enumerable:!0,configurable:!0})}
function rawShape(def){let desc=Object.getOwnPropertyDescriptor(def,"shape");return desc?.get?desc.get.raw:desc?.value}function sourceShape(schema){
return rawShape(schema._zod.def)??schema._zod.def.shape}function deferProp(target,key,getter){Object.defineProperty(target,
key,{get(){let value=getter();return assignProp(this,key,value),value},enumerable:!0,configurable:!0})}function putProp(target,key,value){
key in target?assignProp(target,key,value):target[key]=value}function mirrorShape(target,source,keys,wrap){let raw=sourceShape(
source);for(let key of keys){let desc=Object.getOwnPropertyDescriptor(raw,key);desc.enumerable&&(desc.get?deferProp(target,
key,()=>{let value=source._zod.def.shape[key];return wrap?wrap(value,key):value}):putProp(target,key,wrap?wrap(desc.value,
key):desc.value))}}function mirrorProps(target,source){for(let key of Reflect.ownKeys(source)){let desc=Object.getOwnPropertyDescriptor(
source,key);desc.enumerable&&(desc.get?deferProp(target,key,()=>source[key]):putProp(target,key,desc.value))}}function mergeDefs(...defs){
let mergedDescriptors={};for(let def of defs){let descriptors=Object.getOwnPropertyDescriptors(def);Object.assign(mergedDescriptors,
descriptors)}return Object.defineProperties({},mergedDescriptors)}function cloneDef(schema){return mergeDefs(schema._zod.
def)}function getElementAtPath(obj,path){return path?path.reduce((acc,key)=>acc?.[key],obj):obj}function promiseAllObject(promisesObj){
let keys=Object.keys(promisesObj),promises=keys.map(key=>promisesObj[key]);return Promise.all(promises).then(results=>{let resolvedObj={};
for(let i=0;i<keys.length;i++)resolvedObj[keys[i]]=results[i];return resolvedObj})}function randomString(length=10){let chars="\
abcdefghijklmnopqrstuvwxyz",str="";for(let i=0;i<length;i++)str+=chars[Math.floor(Math.random()*chars.length)];return str}
function esc(str){return JSON.stringify(str)}function slugify(input){return input.toLowerCase().trim().replace(/[^\w\s-]/g,
"").replace(/[\s_-]+/g,"-").replace(/^-+|-+$/g,"")}function isObject(data){return typeof data=="object"&&data!==null&&!Array.
isArray(data)}function isPlainObject(o){if(isObject(o)===!1)return!1;let ctor=o.constructor;if(ctor===void 0||typeof ctor!=
"function")return!0;let prot=ctor.prototype;return!(isObject(prot)===!1||Object.prototype.hasOwnProperty.call(prot,"isPr\
ototypeOf")===!1)}function shallowClone(o){return isPlainObject(o)?{...o}:Array.isArray(o)?[...o]:o instanceof Map?new Map(
o):o instanceof Set?new Set(o):o}function numKeys(data){let keyCount=0;for(let key in data)Object.prototype.hasOwnProperty.
call(data,key)&&keyCount++;return keyCount}function escapeRegex(str){return str.replace(/[.*+?^${}()|[\]\\]/g,"\\$&")}function clone(inst,def,params){
let cl=new inst._zod.constr(def??inst._zod.def);return(!def||params?.parent)&&(cl._zod.parent=inst),cl}function normalizeParams(_params){
let params=_params;if(!params)return{};if(typeof params=="string")return{error:()=>params};if(params?.message!==void 0){
if(params?.error!==void 0)throw new Error("Cannot specify both `message` and `error` params");params.error=params.message}
return delete params.message,typeof params.error=="string"?{...params,error:()=>params.error}:params}function createTransparentProxy(getter){
let target;return new Proxy({},{get(_,prop,receiver){return target??(target=getter()),Reflect.get(target,prop,receiver)},
set(_,prop,value,receiver){return target??(target=getter()),Reflect.set(target,prop,value,receiver)},has(_,prop){return target??
(target=getter()),Reflect.has(target,prop)},deleteProperty(_,prop){return target??(target=getter()),Reflect.deleteProperty(
target,prop)},ownKeys(_){return target??(target=getter()),Reflect.ownKeys(target)},getOwnPropertyDescriptor(_,prop){return target??
(target=getter()),Reflect.getOwnPropertyDescriptor(target,prop)},defineProperty(_,prop,descriptor){return target??(target=
getter()),Reflect.defineProperty(target,prop,descriptor)}})}function stringifyPrimitive(value){return typeof value=="big\
int"?value.toString()+"n":typeof value=="string"?`"${value}"`:`${value}`}function optionalKeys(shape){return Object.keys(
shape).filter(k=>shape[k]._zod.optin!==void 0&&shape[k]._zod.optout==="optional")}function pick(schema,mask){let currDef=schema.
_zod.def,checks=currDef.checks;if(checks&&checks.length>0)throw new Error(".pick() cannot be used on object schemas cont\
aining refinements");let newShape={};return mirrorShape(newShape,schema,maskedKeys(schema,mask)),clone(schema,mergeDefs(
currDef,{shape:newShape,checks:[]}))}function maskedKeys(schema,mask){let raw=sourceShape(schema),keys=[];for(let key of Reflect.
ownKeys(mask)){if(!Object.getOwnPropertyDescriptor(raw,key)?.enumerable)throw new Error(`Unrecognized key: "${String(key)}\
"`);mask[key]&&keys.push(key)}return keys}function omit(schema,mask){let currDef=schema._zod.def,checks=currDef.checks;if(checks&&
checks.length>0)throw new Error(".omit() cannot be used on object schemas containing refinements");let omitted=new Set(maskedKeys(
schema,mask)),newShape={};return mirrorShape(newShape,schema,Reflect.ownKeys(sourceShape(schema)).filter(key=>!omitted.has(
key))),clone(schema,mergeDefs(currDef,{shape:newShape,checks:[]}))}function extend(schema,shape){if(!isPlainObject(shape))
throw new Error("Invalid input to extend: expected a plain object");let checks=schema._zod.def.checks;if(checks&&checks.
length>0){let existingShape=sourceShape(schema);for(let key of Reflect.ownKeys(shape))if(Object.getOwnPropertyDescriptor(
existingShape,key)!==void 0)throw new Error("Cannot overwrite keys on object schemas containing refinements. Use `.safeE\
xtend()` instead.")}return clone(schema,mergeDefs(schema._zod.def,{shape:extended(schema,shape)}))}function extended(schema,shape){
let newShape={};return mirrorShape(newShape,schema,Reflect.ownKeys(sourceShape(schema))),mirrorProps(newShape,shape),newShape}
function safeExtend(schema,shape){if(!isPlainObject(shape))throw new Error("Invalid input to safeExtend: expected a plai\
n object");return clone(schema,mergeDefs(schema._zod.def,{shape:extended(schema,shape)}))}function merge(a,b){if(!b?._zod?.
def)throw new Error("Invalid input to merge: expected an object schema. To merge a plain shape, use `.extend()`.");if(a.
_zod.def.checks?.length)throw new Error(".merge() cannot be used on object schemas containing refinements. Use .safeExte\
nd() instead.");let newShape={};mirrorShape(newShape,a,Reflect.ownKeys(sourceShape(a))),mirrorShape(newShape,b,Reflect.ownKeys(
sourceShape(b)));let def=mergeDefs(a._zod.def,{shape:newShape,get catchall(){return b._zod.def.catchall},checks:b._zod.def.
checks??[]});return clone(a,def)}function partial(Class2,schema,mask,name="partial"){let checks=schema._zod.def.checks;if(checks&&
checks.length>0)throw new Error(`.${name}() cannot be used on object schemas containing refinements`);let selected=mask?
new Set(maskedKeys(schema,mask)):void 0,newShape={};return mirrorShape(newShape,schema,Reflect.ownKeys(sourceShape(schema)),
Class2&&((value,key)=>selected&&!selected.has(key)?value:new Class2({type:"optional",innerType:value}))),clone(schema,mergeDefs(
schema._zod.def,{shape:newShape,checks:[]}))}function required(Class2,schema,mask){let selected=mask?new Set(maskedKeys(
schema,mask)):void 0,newShape={};return mirrorShape(newShape,schema,Reflect.ownKeys(sourceShape(schema)),(value,key)=>selected&&
!selected.has(key)?value:new Class2({type:"nonoptional",innerType:value})),clone(schema,mergeDefs(schema._zod.def,{shape:newShape}))}
function aborted(x,startIndex=0){if(x.aborted===!0)return!0;for(let i=startIndex;i<x.issues.length;i++)if(x.issues[i]?.continue!==
!0)return!0;return!1}function explicitlyAborted(x,startIndex=0){if(x.aborted===!0)return!0;for(let i=startIndex;i<x.issues.
length;i++)if(x.issues[i]?.continue===!1)return!0;return!1}function prefixIssues(path,issues){return issues.map(iss=>{var _a3;
return(_a3=iss).path??(_a3.path=[]),iss.path.unshift(path),iss})}function unwrapMessage(message){return typeof message==
"string"?message:message?.message}function sizeCaps(defChecks){let caps=[];for(let ch of defChecks??[]){let d=ch._zod.def;
if(!/_(length|size)$|_equals$/.test(d.check))break;let max=d.maximum??d.length??d.size;max>=0&&caps.push([max,ch])}return caps}
function attachSchema(issues,start2,inst){var _a3;for(let i=start2;i<issues.length;i++)(_a3=issues[i]).schema??(_a3.schema=
inst)}function finalizeIssue(iss,ctx,config2){var _a3;let traits=iss.inst?._zod?.traits;traits?.has("$ZodType")&&(traits.
has("$ZodCheck")?(_a3=iss).schema??(_a3.schema=iss.inst):iss.schema=iss.inst);let schemaError=iss.schema!==iss.inst?iss.
schema?._zod.def?.error:void 0,message=iss.message?iss.message:unwrapMessage(iss.inst?._zod.def?.error?.(iss))??unwrapMessage(
schemaError?.(iss))??unwrapMessage(ctx?.error?.(iss))??unwrapMessage(config2.customError?.(iss))??unwrapMessage(config2.
localeError?.(iss))??"Invalid input",full={};for(let k of Object.keys(iss))k==="inst"||k==="schema"||k==="continue"||k===
"input"||k==="__proto__"||(full[k]=iss[k]);return full.path??(full.path=[]),full.message=message,ctx?.reportInput&&(full.
input=iss.input),full}function getSizableOrigin(input){return input instanceof Set?"set":input instanceof Map?"map":input instanceof
File?"file":"unknown"}function codePointLength(str){let units=str.length;if(!highSurrogate.test(str))return units;let count2=units;
for(let i=0;i<units-1;i++)(str.charCodeAt(i)&64512)===55296&&(str.charCodeAt(i+1)&64512)===56320&&(count2--,i++);return count2}
function getLengthableOrigin(input){return Array.isArray(input)?"array":typeof input=="string"?"string":"unknown"}function parsedType(data){
let t=typeof data;switch(t){case"number":return Number.isNaN(data)?"nan":"number";case"object":{if(data===null)return"nu\
ll";if(Array.isArray(data))return"array";let obj=data;if(obj&&Object.getPrototypeOf(obj)!==Object.prototype&&"constructo\
r"in obj&&obj.constructor)return obj.constructor.name}}return t}function issue(...args){let[iss,input,inst]=args;return typeof iss==
"string"?{message:iss,code:"custom",input,inst}:{...iss}}function cleanEnum(obj){return Object.entries(obj).filter(([k,_])=>Number.
isNaN(Number.parseInt(k,10))).map(el=>el[1])}function base64ToUint8Array(base642){let binaryString=atob(base642),bytes2=new Uint8Array(
binaryString.length);for(let i=0;i<binaryString.length;i++)bytes2[i]=binaryString.charCodeAt(i);return bytes2}function uint8ArrayToBase64(bytes2){
let binaryString="";for(let i=0;i<bytes2.length;i++)binaryString+=String.fromCharCode(bytes2[i]);return btoa(binaryString)}
function base64urlToUint8Array(base64url2){let base642=base64url2.replace(/-/g,"+").replace(/_/g,"/"),padding2="=".repeat(
(4-base642.length%4)%4);return base64ToUint8Array(base642+padding2)}function uint8ArrayToBase64url(bytes2){return uint8ArrayToBase64(
bytes2).replace(/\+/g,"-").replace(/\//g,"_").replace(/=/g,"")}function hexToUint8Array(hex){let cleanHex=hex.replace(/^0x/,
"");if(cleanHex.length%2!==0)throw new Error("Invalid hex string length");let bytes2=new Uint8Array(cleanHex.length/2);for(let i=0;i<
cleanHex.length;i+=2)bytes2[i/2]=Number.parseInt(cleanHex.slice(i,i+2),16);return bytes2}function uint8ArrayToHex(bytes2){
return Array.from(bytes2).map(b=>b.toString(16).padStart(2,"0")).join("")}function members(proto,table){for(let key in table){
let desc=Object.getOwnPropertyDescriptor(table,key);desc.get?Object.defineProperty(proto,key,{...desc,enumerable:!1}):defineBound(
proto,key,desc.value)}}function own(inst,key,value,enumerable=!0){return Object.defineProperty(inst,key,{configurable:!0,
writable:!0,enumerable,value}),value}function hide(inst,key,value){return own(inst,key,value,!1)}function derived(computes,table){
for(let key in computes){let compute=computes[key];Object.defineProperty(table,key,{configurable:!0,enumerable:!0,get(){
return own(this,key,compute(this))},set(value){own(this,key,value)}})}return table}function defineBound(proto,key,fn){Object.
defineProperty(proto,key,{configurable:!0,get(){return this==null?fn:own(this,key,fn.bind(this))},set(value){own(this,key,
value)}})}function claim(inst,sentinel){let proto=Object.getPrototypeOf(inst);return sentinel in proto?void 0:proto}function defineLazyInternal(inst,key,compute){
let proto=Object.getPrototypeOf(inst._zod);if(key in proto&&installing!==inst._zod){installing=void 0;return}installing=
inst._zod,Object.defineProperty(proto,key,{configurable:!0,get(){Object.defineProperty(this,key,breaker);let outer=broke;
broke=!1;try{let value=compute(this);return broke?delete this[key]:Object.defineProperty(this,key,{configurable:!0,writable:!0,
value}),broke=broke||outer,value}catch(err){throw delete this[key],broke=broke||outer,err}},set(value){Object.defineProperty(
this,key,{configurable:!0,writable:!0,value})}})}function installLazyProp(inst,key,make,enumerable){let proto=claim(inst,
key);proto&&Object.defineProperty(proto,key,{configurable:!0,get(){let desc={configurable:!0,writable:!0,enumerable,value:void 0};
return Object.defineProperty(this,key,desc),desc.value=make(this),Object.defineProperty(this,key,desc),desc.value},set(value){
Object.defineProperty(this,key,{configurable:!0,writable:!0,enumerable,value})}})}function constantCatch(value){let fn=()=>value;
return fn[CONSTANT_CATCH]=!0,fn}var Cached,EVALUATING,captureStackTrace,allowsEval,getParsedType,propertyKeyTypes,primitiveTypes,
NUMBER_FORMAT_RANGES,BIGINT_FORMAT_RANGES,highSurrogate,Class,installing,broke,breaker,CONSTANT_CATCH,init_util=__esm({"\
node_modules/zod/v4/core/util.js"(){init_define_SAVEPOINT();init_core();Cached=class{constructor(getter){this._getter=getter,
this._value=void 0}get value(){let getter=this._getter;return getter!==void 0&&(this._value=getter(),this._getter=void 0),
this._value}};EVALUATING=Symbol("evaluating");captureStackTrace="captureStackTrace"in Error?Error.captureStackTrace:(..._args)=>{};
allowsEval=cached(()=>{if(globalConfig.jitless||typeof navigator<"u"&&navigator?.userAgent?.includes("Cloudflare"))return!1;
try{let F=Function;return new F(""),!0}catch{return!1}});getParsedType=data=>{let t=typeof data;switch(t){case"undefined":
return"undefined";case"string":return"string";case"number":return Number.isNaN(data)?"nan":"number";case"boolean":return"\
boolean";case"function":return"function";case"bigint":return"bigint";case"symbol":return"symbol";case"object":return Array.
isArray(data)?"array":data===null?"null":data.then&&typeof data.then=="function"&&data.catch&&typeof data.catch=="functi\
on"?"promise":typeof Map<"u"&&data instanceof Map?"map":typeof Set<"u"&&data instanceof Set?"set":typeof Date<"u"&&data instanceof
Date?"date":typeof File<"u"&&data instanceof File?"file":"object";default:throw new Error(`Unknown data type: ${t}`)}},propertyKeyTypes=
new Set(["string","number","symbol"]),primitiveTypes=new Set(["string","number","bigint","boolean","symbol","undefined"]);
NUMBER_FORMAT_RANGES={safeint:[Number.MIN_SAFE_INTEGER,Number.MAX_SAFE_INTEGER],int32:[-2147483648,2147483647],uint32:[0,
4294967295],float32:[-34028234663852886e22,34028234663852886e22],float64:[-Number.MAX_VALUE,Number.MAX_VALUE]},BIGINT_FORMAT_RANGES=
{int64:[BigInt("-9223372036854775808"),BigInt("9223372036854775807")],uint64:[BigInt(0),BigInt("18446744073709551615")]};
highSurrogate=/[\uD800-\uDBFF]/;Class=class{constructor(..._args){}};broke=!1,breaker={configurable:!0,get(){broke=!0}};
CONSTANT_CATCH="~constantCatch"}});function newError(Definition){let E=_E;if(E){let saved=E.stackTraceLimit;if(typeof saved=="number"){try{E.stackTraceLimit=
0}catch{return _E=null,new Definition}try{return new Definition}finally{E.stackTraceLimit=saved}}}return new Definition}
function $constructor(name,initializer3,proto,params){let zodProto={};function Internals(def){this.def=def,this.constr=_,
this.traits=new Set}Internals.prototype=zodProto;let protoMembers=proto,initialized=protoMembers&&new WeakSet;function init(inst,def){
if(inst._zod){if(inst._zod.traits.has(name))return}else{_zodDesc.value=new Internals(def);try{Object.defineProperty(inst,
"_zod",_zodDesc)}finally{_zodDesc.value=void 0}}if(inst._zod.traits.add(name),initializer3(inst,def),initialized){let own2=Object.
getPrototypeOf(inst),ctorProto=inst._zod.constr.prototype,up=own2;for(;up&&up!==ctorProto;)up=Object.getPrototypeOf(up);
let target=up??own2;initialized.has(target)||(initialized.add(target),members(target,protoMembers))}let proto2=_.prototype;
for(let k in proto2)Object.prototype.hasOwnProperty.call(proto2,k)&&(k in inst||(inst[k]=proto2[k].bind(inst)))}let Parent=params?.
Parent??Object;class Definition extends Parent{}Object.defineProperty(Definition,"name",{value:name});function _(def){let inst=params?.
Parent?newError(Definition):this;init(inst,def);let deferred=inst._zod.deferred;if(deferred){for(let fn of deferred)fn();
inst._zod.deferred=void 0}let pp=globalThis.__zod_globalConfig?.postProcessor;return pp&&pp(inst),inst}return Object.defineProperty(
_,"init",{value:init}),Object.defineProperty(_,Symbol.hasInstance,{value:inst=>params?.Parent&&inst instanceof params.Parent?
!0:inst?._zod?.traits?.has(name)}),Object.defineProperty(_,"name",{value:name}),_}function config(newConfig){return newConfig&&
Object.assign(globalConfig,newConfig),globalConfig}var _a,_zodDesc,_E,$ZodAsyncError,$ZodEncodeError,globalConfig,init_core=__esm(
{"node_modules/zod/v4/core/core.js"(){init_define_SAVEPOINT();init_util();_zodDesc={value:void 0,enumerable:!1},_E="capt\
ureStackTrace"in Error?Error:null;$ZodAsyncError=class extends Error{constructor(){super("Encountered Promise during syn\
chronous parse. Use .parseAsync() instead.")}},$ZodEncodeError=class extends Error{constructor(name){super(`Encountered \
unidirectional transform during encode: ${name}`),this.name="ZodEncodeError"}};(_a=globalThis).__zod_globalConfig??(_a.__zod_globalConfig=
{});globalConfig=globalThis.__zod_globalConfig}});function _getMessage(){let internals=this._zod;return internals.message??(internals.message=JSON.stringify(internals.def,
jsonStringifyReplacer,2)),internals.message}function _setMessage(value){this._zod.message=value}function node(obj,key,make){
return Object.prototype.hasOwnProperty.call(obj,key)||(key==="__proto__"?Object.defineProperty(obj,key,{value:make(),writable:!0,
enumerable:!0,configurable:!0}):obj[key]=make()),obj[key]}function flattenError(error2,mapper=issue2=>issue2.message){let fieldErrors={},
formErrors=[];for(let sub of error2.issues)sub.path.length>0?node(fieldErrors,sub.path[0],()=>[]).push(mapper(sub)):formErrors.
push(mapper(sub));return{formErrors,fieldErrors}}function formatError(error2,mapper=issue2=>issue2.message){let fieldErrors={
_errors:[]},processError=(error3,path=[])=>{for(let issue2 of error3.issues)if(issue2.code==="invalid_union"&&issue2.errors.
length)issue2.errors.map(issues=>processError({issues},[...path,...issue2.path]));else if(issue2.code==="invalid_key")processError(
{issues:issue2.issues},[...path,...issue2.path]);else if(issue2.code==="invalid_element")processError({issues:issue2.issues},
[...path,...issue2.path]);else{let fullpath=[...path,...issue2.path];if(fullpath.length===0)fieldErrors._errors.push(mapper(
issue2));else{let curr=fieldErrors,i=0;for(;i<fullpath.length;){let el=fullpath[i],terminal=i===fullpath.length-1;if(el===
"_errors"){terminal&&curr._errors.push(mapper(issue2)),i++;continue}Object.prototype.hasOwnProperty.call(curr,el)||Object.
defineProperty(curr,el,{value:{_errors:[]},enumerable:!0,writable:!0,configurable:!0});let node2=curr[el];terminal&&node2.
_errors.push(mapper(issue2)),curr=node2,i++}}}};return processError(error2),fieldErrors}var _messageDesc,_issuesDesc,_installedToString,
initializer,$ZodError,$ZodRealError,init_errors2=__esm({"node_modules/zod/v4/core/errors.js"(){init_define_SAVEPOINT();init_core();
init_util();_messageDesc={get:_getMessage,set:_setMessage,enumerable:!0,configurable:!0},_issuesDesc={value:void 0,enumerable:!1},
_installedToString=new WeakSet([Object.prototype,Error.prototype]),initializer=(inst,def)=>{inst.name="$ZodError",_issuesDesc.
value=def,Object.defineProperty(inst,"issues",_issuesDesc),_issuesDesc.value=void 0,Object.defineProperty(inst,"message",
_messageDesc);let proto=Object.getPrototypeOf(inst);_installedToString.has(proto)||(_installedToString.add(proto),Object.
defineProperty(proto,"toString",{configurable:!0,enumerable:!1,get(){let value=()=>this.message;return Object.defineProperty(
this,"toString",{value,configurable:!0,writable:!0}),value},set(value){Object.defineProperty(this,"toString",{value,configurable:!0,
writable:!0})}}))},$ZodError=$constructor("$ZodError",initializer),$ZodRealError=$constructor("$ZodError",initializer,void 0,
{Parent:Error})}});function finalizeParams(callee,params){return{callee:params?.callee??callee,Err:params?.Err}}function failure2(Err,issues,ctx){
let error2;return{success:!1,get error(){return error2||(error2=new Err(issues.map(iss=>finalizeIssue(iss,ctx,config()))),
issues=void 0,ctx=void 0),error2},set error(e){error2=e,issues=void 0,ctx=void 0}}}function validateFallback(schema,value,_ctx){
let ctx=_ctx?{..._ctx,async:!1,abortEarly:!0}:{async:!1,abortEarly:!0},fallbackRun=schema._zod.bag.fallbackRun,result;if(fallbackRun?
(ctx[COMPILE_FALLBACK]=!0,result=fallbackRun({value,issues:[]},ctx)):result=schema._zod.run({value,issues:[]},ctx),result instanceof
Promise)throw new $ZodAsyncError;return result.issues.length===0}var _parse,_parseAsync,_safeParse,_safeParseAsync,COMPILE_INVALID,
COMPILE_FALLBACK,validate,validateAsync,_encode,_decode,_encodeAsync,_decodeAsync,_safeEncode,_safeDecode,_safeEncodeAsync,
_safeDecodeAsync,init_parse=__esm({"node_modules/zod/v4/core/parse.js"(){init_define_SAVEPOINT();init_core();init_util();
_parse=_Err=>{let fn=(schema,value,_ctx,_params)=>{let ctx=_ctx?{..._ctx,async:!1}:{async:!1},result=schema._zod.run({value,
issues:[]},ctx);if(result instanceof Promise)throw new $ZodAsyncError;if(result.issues.length){let e=new(_params?.Err??_Err)(
result.issues.map(iss=>finalizeIssue(iss,ctx,config())));throw captureStackTrace(e,_params?.callee??fn),e}return result.
value};return fn},_parseAsync=_Err=>{let fn=async(schema,value,_ctx,params)=>{let ctx=_ctx?{..._ctx,async:!0}:{async:!0},
result=schema._zod.run({value,issues:[]},ctx);if(result instanceof Promise&&(result=await result),result.issues.length){
let e=new(params?.Err??_Err)(result.issues.map(iss=>finalizeIssue(iss,ctx,config())));throw captureStackTrace(e,params?.
callee??fn),e}return result.value};return fn},_safeParse=_Err=>(schema,value,_ctx)=>{let ctx=_ctx?{..._ctx,async:!1}:{async:!1},
result=schema._zod.run({value,issues:[]},ctx);if(result instanceof Promise)throw new $ZodAsyncError;return result.issues.
length?failure2(_Err,result.issues,ctx):{success:!0,data:result.value}};_safeParseAsync=_Err=>async(schema,value,_ctx)=>{
let ctx=_ctx?{..._ctx,async:!0}:{async:!0},result=schema._zod.run({value,issues:[]},ctx);return result instanceof Promise&&
(result=await result),result.issues.length?failure2(_Err,result.issues,ctx):{success:!0,data:result.value}},COMPILE_INVALID=
Symbol.for("zod.compile.invalid"),COMPILE_FALLBACK=Symbol.for("zod.compile.fallback"),validate=((schema,value,_ctx)=>{let validator=schema.
_zod.bag.validator;if(validator!==void 0){if(validator(value)!==COMPILE_INVALID)return!0;if(validator.definite===!0&&_ctx===
void 0)return!1}return validateFallback(schema,value,_ctx)});validateAsync=async(schema,value,_ctx)=>{let ctx=_ctx?{..._ctx,
async:!0,abortEarly:!0}:{async:!0,abortEarly:!0},result=schema._zod.run({value,issues:[]},ctx);return result instanceof Promise&&
(result=await result),result.issues.length===0},_encode=_Err=>{let parse2=_parse(_Err),fn=(schema,value,_ctx,_params)=>{
let ctx=_ctx?{..._ctx,direction:"backward"}:{direction:"backward"};return parse2(schema,value,ctx,finalizeParams(fn,_params))};
return fn},_decode=_Err=>{let parse2=_parse(_Err),fn=(schema,value,_ctx,_params)=>parse2(schema,value,_ctx,finalizeParams(
fn,_params));return fn},_encodeAsync=_Err=>{let parseAsync2=_parseAsync(_Err),fn=async(schema,value,_ctx,_params)=>{let ctx=_ctx?
{..._ctx,direction:"backward"}:{direction:"backward"};return await parseAsync2(schema,value,ctx,finalizeParams(fn,_params))};
return fn},_decodeAsync=_Err=>{let parseAsync2=_parseAsync(_Err),fn=async(schema,value,_ctx,_params)=>await parseAsync2(
schema,value,_ctx,finalizeParams(fn,_params));return fn},_safeEncode=_Err=>(schema,value,_ctx)=>{let ctx=_ctx?{..._ctx,direction:"\
backward"}:{direction:"backward"};return _safeParse(_Err)(schema,value,ctx)},_safeDecode=_Err=>(schema,value,_ctx)=>_safeParse(
_Err)(schema,value,_ctx),_safeEncodeAsync=_Err=>async(schema,value,_ctx)=>{let ctx=_ctx?{..._ctx,direction:"backward"}:{
direction:"backward"};return _safeParseAsync(_Err)(schema,value,ctx)},_safeDecodeAsync=_Err=>async(schema,value,_ctx)=>_safeParseAsync(
_Err)(schema,value,_ctx)}});function nanoidOfLength(length){return new RegExp(`^[a-zA-Z0-9_-]{${length}}$`)}function emoji(){return new RegExp(_emoji,
"u")}function anchor(source){return new RegExp(`^${source}$`)}function timeSource(args){let hhmm="(?:[01]\\d|2[0-3]):[0-5\
]\\d";return typeof args.precision=="number"?args.precision===-1?`${hhmm}`:args.precision===0?`${hhmm}:[0-5]\\d`:`${hhmm}\
:[0-5]\\d\\.\\d{${args.precision}}`:args.seconds?`${hhmm}:[0-5]\\d(?:\\.\\d+)?`:`${hhmm}(?::[0-5]\\d(?:\\.\\d+)?)?`}function time(args){
return new RegExp(`^${timeSource(args)}$`)}function datetime(args){let opts=["Z"];args.offset&&opts.push("([+-](?:[01]\\d\
|2[0-3]):[0-5]\\d)");let qualified=`${timeSource({precision:args.precision,seconds:!0})}(?:${opts.join("|")})`,timeRegex=args.
local?`${qualified}|${timeSource({precision:args.precision})}`:qualified;return new RegExp(`^${dateSource}T(?:${timeRegex}\
)$`)}var cuid,cuid2,ulid,xid,ksuid,nanoid,duration2,guid,uuid,email,_emoji,ipv4,ipv6,cidrv4,cidrv6,base64,base64url,httpProtocol,
e164,dateSource,date,anyString,number,boolean,lowercase,uppercase,init_regexes=__esm({"node_modules/zod/v4/core/regexes.\
js"(){init_define_SAVEPOINT();cuid=/^[cC][0-9a-z]{6,}$/,cuid2=/^[0-9a-z]+$/,ulid=/^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$/,
xid=/^[0-9a-vA-V]{20}$/,ksuid=/^[A-Za-z0-9]{27}$/,nanoid=/^[a-zA-Z0-9_-]{21}$/;duration2=/^P(?:(\d+W)|(?!.*W)(?=\d|T\d)(\d+Y)?(\d+M)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+([.,]\d+)?S)?)?)$/,
guid=/^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})$/,uuid=version2=>version2?new RegExp(
`^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-${version2}[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12})$`):/^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}|00000000-0000-0000-0000-000000000000|ffffffff-ffff-ffff-ffff-ffffffffffff)$/,
email=/^(?:[A-Za-z0-9_'+\-]+\.)*[A-Za-z0-9_'+\-]*[A-Za-z0-9_+-]@(?:[A-Za-z0-9][A-Za-z0-9\-]*\.)+[A-Za-z]{2,}$/,_emoji="^\
(?=[\\s\\S]*[\\p{Extended_Pictographic}\\p{Regional_Indicator}\\u20E3])[\\p{Extended_Pictographic}\\p{Emoji_Component}]+$";
ipv4=/^(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])\.){3}(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])$/,
ipv6=/^(([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,7}:|([0-9a-fA-F]{1,4}:){1,6}:[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,5}(:[0-9a-fA-F]{1,4}){1,2}|([0-9a-fA-F]{1,4}:){1,4}(:[0-9a-fA-F]{1,4}){1,3}|([0-9a-fA-F]{1,4}:){1,3}(:[0-9a-fA-F]{1,4}){1,4}|([0-9a-fA-F]{1,4}:){1,2}(:[0-9a-fA-F]{1,4}){1,5}|[0-9a-fA-F]{1,4}:((:[0-9a-fA-F]{1,4}){1,6})|:((:[0-9a-fA-F]{1,4}){1,7}|:))$/,
cidrv4=/^((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9][0-9]|[0-9])\/([0-9]|[1-2][0-9]|3[0-2])$/,
cidrv6=/^(([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,7}:|([0-9a-fA-F]{1,4}:){1,6}:[0-9a-fA-F]{1,4}|([0-9a-fA-F]{1,4}:){1,5}(:[0-9a-fA-F]{1,4}){1,2}|([0-9a-fA-F]{1,4}:){1,4}(:[0-9a-fA-F]{1,4}){1,3}|([0-9a-fA-F]{1,4}:){1,3}(:[0-9a-fA-F]{1,4}){1,4}|([0-9a-fA-F]{1,4}:){1,2}(:[0-9a-fA-F]{1,4}){1,5}|[0-9a-fA-F]{1,4}:((:[0-9a-fA-F]{1,4}){1,6})|:((:[0-9a-fA-F]{1,4}){1,7}|:))\/(12[0-8]|1[01][0-9]|[1-9]?[0-9])$/,
base64=/^$|^(?:[0-9a-zA-Z+/]{4})*(?:(?:[0-9a-zA-Z+/]{2}==)|(?:[0-9a-zA-Z+/]{3}=))?$/,base64url=/^(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-]{2,3})?$/,
httpProtocol=/^https?$/,e164=/^\+[1-9]\d{6,14}$/,dateSource="(?:(?:\\d\\d[2468][048]|\\d\\d[13579][26]|\\d\\d0[48]|[02468][048\
]00|[13579][26]00)-02-29|\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|(?:02)-(\
?:0[1-9]|1\\d|2[0-8])))";date=anchor(dateSource);anyString=/^[\s\S]{0,}$/,number=/^-?\d+(?:\.\d+)?$/,boolean=/^(?:true|false)$/i,
lowercase=/^[^A-Z]*$/,uppercase=/^[^a-z]*$/}});var $ZodCheck,_whenHasLength,numericOriginMap,$ZodCheckLessThan,$ZodCheckGreaterThan,$ZodCheckMultipleOf,$ZodCheckNumberFormat,
$ZodCheckMaxLength,$ZodCheckMinLength,$ZodCheckLengthEquals,$ZodCheckStringFormat,$ZodCheckRegex,$ZodCheckLowerCase,$ZodCheckUpperCase,
$ZodCheckIncludes,$ZodCheckStartsWith,$ZodCheckEndsWith,$ZodCheckOverwrite,init_checks=__esm({"node_modules/zod/v4/core/\
checks.js"(){init_define_SAVEPOINT();init_core();init_regexes();init_util();$ZodCheck=$constructor("$ZodCheck",(inst,def)=>{
var _a3;inst._zod??(inst._zod={}),inst._zod.def=def,(_a3=inst._zod).onattach??(_a3.onattach=[])}),_whenHasLength=payload=>{
let val=payload.value;return!nullish(val)&&val.length!==void 0},numericOriginMap={number:"number",bigint:"bigint",object:"\
date"},$ZodCheckLessThan=$constructor("$ZodCheckLessThan",(inst,def)=>{$ZodCheck.init(inst,def);let origin=numericOriginMap[typeof def.
value];inst._zod.check=payload=>{(def.inclusive?payload.value<=def.value:payload.value<def.value)||payload.issues.push({
origin:numericOriginMap[typeof payload.value]??origin,code:"too_big",maximum:typeof def.value=="object"?def.value.getTime():
def.value,input:payload.value,inclusive:def.inclusive,inst,continue:!def.abort})}}),$ZodCheckGreaterThan=$constructor("$\
ZodCheckGreaterThan",(inst,def)=>{$ZodCheck.init(inst,def);let origin=numericOriginMap[typeof def.value];inst._zod.check=
payload=>{(def.inclusive?payload.value>=def.value:payload.value>def.value)||payload.issues.push({origin:numericOriginMap[typeof payload.
value]??origin,code:"too_small",minimum:typeof def.value=="object"?def.value.getTime():def.value,input:payload.value,inclusive:def.
inclusive,inst,continue:!def.abort})}}),$ZodCheckMultipleOf=$constructor("$ZodCheckMultipleOf",(inst,def)=>{$ZodCheck.init(
inst,def),inst._zod.check=payload=>{if(typeof payload.value!=typeof def.value)throw new Error("Cannot mix number and big\
int in multiple_of check.");(typeof payload.value=="bigint"?def.value!==BigInt(0)&&payload.value%def.value===BigInt(0):floatSafeRemainder(
payload.value,def.value)===0)||payload.issues.push({origin:typeof payload.value,code:"not_multiple_of",divisor:def.value,
input:payload.value,inst,continue:!def.abort})}}),$ZodCheckNumberFormat=$constructor("$ZodCheckNumberFormat",(inst,def)=>{
$ZodCheck.init(inst,def),def.format=def.format||"float64";let isInt=def.format?.includes("int"),origin=isInt?"int":"numb\
er",[minimum,maximum]=NUMBER_FORMAT_RANGES[def.format];inst._zod.check=payload=>{let input=payload.value;if(isInt){if(!Number.
isInteger(input)){payload.issues.push({expected:origin,format:def.format,code:"invalid_type",continue:!1,input,inst});return}
if(!Number.isSafeInteger(input)){input>0?payload.issues.push({input,code:"too_big",maximum:Number.MAX_SAFE_INTEGER,note:"\
Integers must be within the safe integer range.",inst,origin,inclusive:!0,continue:!def.abort}):payload.issues.push({input,
code:"too_small",minimum:Number.MIN_SAFE_INTEGER,note:"Integers must be within the safe integer range.",inst,origin,inclusive:!0,
continue:!def.abort});return}}input<minimum&&payload.issues.push({origin:"number",input,code:"too_small",minimum,inclusive:!0,
inst,continue:!def.abort}),input>maximum&&payload.issues.push({origin:"number",input,code:"too_big",maximum,inclusive:!0,
inst,continue:!def.abort})}}),$ZodCheckMaxLength=$constructor("$ZodCheckMaxLength",(inst,def)=>{var _a3;$ZodCheck.init(inst,
def),(_a3=inst._zod.def).when??(_a3.when=_whenHasLength),inst._zod.check=payload=>{let input=payload.value,units=input.length;
if((typeof input=="string"&&units>def.maximum?codePointLength(input):units)<=def.maximum)return;let origin=getLengthableOrigin(
input);payload.issues.push({origin,code:"too_big",maximum:def.maximum,inclusive:!0,input,inst,continue:!def.abort})}}),$ZodCheckMinLength=
$constructor("$ZodCheckMinLength",(inst,def)=>{var _a3;$ZodCheck.init(inst,def),(_a3=inst._zod.def).when??(_a3.when=_whenHasLength),
inst._zod.check=payload=>{let input=payload.value,units=input.length;if((typeof input=="string"&&units>=def.minimum&&units<
def.minimum*2?codePointLength(input):units)>=def.minimum)return;let origin=getLengthableOrigin(input);payload.issues.push(
{origin,code:"too_small",minimum:def.minimum,inclusive:!0,input,inst,continue:!def.abort})}}),$ZodCheckLengthEquals=$constructor(
"$ZodCheckLengthEquals",(inst,def)=>{var _a3;$ZodCheck.init(inst,def),(_a3=inst._zod.def).when??(_a3.when=_whenHasLength),
inst._zod.check=payload=>{let input=payload.value,units=input.length,length=typeof input=="string"&&units>=def.length&&units<=
def.length*2?codePointLength(input):units;if(length===def.length)return;let origin=getLengthableOrigin(input),tooBig=length>
def.length;payload.issues.push({origin,...tooBig?{code:"too_big",maximum:def.length}:{code:"too_small",minimum:def.length},
inclusive:!0,exact:!0,input:payload.value,inst,continue:!def.abort})}}),$ZodCheckStringFormat=$constructor("$ZodCheckStr\
ingFormat",(inst,def)=>{var _a3,_b;$ZodCheck.init(inst,def),def.pattern?(_a3=inst._zod).check??(_a3.check=payload=>{def.
pattern.lastIndex=0,!def.pattern.test(payload.value)&&payload.issues.push({origin:"string",code:"invalid_format",format:def.
format,input:payload.value,...def.pattern?{pattern:def.pattern.toString()}:{},inst,continue:!def.abort})}):(_b=inst._zod).
check??(_b.check=()=>{})}),$ZodCheckRegex=$constructor("$ZodCheckRegex",(inst,def)=>{$ZodCheckStringFormat.init(inst,def),
inst._zod.check=payload=>{def.pattern.lastIndex=0,!def.pattern.test(payload.value)&&payload.issues.push({origin:"string",
code:"invalid_format",format:"regex",input:payload.value,pattern:def.pattern.toString(),inst,continue:!def.abort})}}),$ZodCheckLowerCase=
$constructor("$ZodCheckLowerCase",(inst,def)=>{def.pattern??(def.pattern=lowercase),$ZodCheckStringFormat.init(inst,def)}),
$ZodCheckUpperCase=$constructor("$ZodCheckUpperCase",(inst,def)=>{def.pattern??(def.pattern=uppercase),$ZodCheckStringFormat.
init(inst,def)}),$ZodCheckIncludes=$constructor("$ZodCheckIncludes",(inst,def)=>{$ZodCheck.init(inst,def);let escapedRegex=escapeRegex(
def.includes),pattern=new RegExp(typeof def.position=="number"?`^.{${def.position},}${escapedRegex}`:escapedRegex);def.pattern=
pattern,inst._zod.check=payload=>{payload.value.includes(def.includes,def.position)||payload.issues.push({origin:"string",
code:"invalid_format",format:"includes",includes:def.includes,input:payload.value,inst,continue:!def.abort})}}),$ZodCheckStartsWith=
$constructor("$ZodCheckStartsWith",(inst,def)=>{$ZodCheck.init(inst,def);let pattern=new RegExp(`^${escapeRegex(def.prefix)}\
.*`);def.pattern??(def.pattern=pattern),inst._zod.check=payload=>{payload.value.startsWith(def.prefix)||payload.issues.push(
{origin:"string",code:"invalid_format",format:"starts_with",prefix:def.prefix,input:payload.value,inst,continue:!def.abort})}}),
$ZodCheckEndsWith=$constructor("$ZodCheckEndsWith",(inst,def)=>{$ZodCheck.init(inst,def);let pattern=new RegExp(`.*${escapeRegex(
def.suffix)}$`);def.pattern??(def.pattern=pattern),inst._zod.check=payload=>{payload.value.endsWith(def.suffix)||payload.
issues.push({origin:"string",code:"invalid_format",format:"ends_with",suffix:def.suffix,input:payload.value,inst,continue:!def.
abort})}}),$ZodCheckOverwrite=$constructor("$ZodCheckOverwrite",(inst,def)=>{$ZodCheck.init(inst,def),inst._zod.check=payload=>{
payload.value=def.tx(payload.value)}})}});var Doc,init_doc=__esm({"node_modules/zod/v4/core/doc.js"(){init_define_SAVEPOINT();Doc=class{constructor(args=[],closed={}){
this.content=[],this.indent=0,this.args=args,this.closed=closed}indented(fn){this.indent+=1;try{fn(this)}finally{this.indent-=
1}}write(arg){if(typeof arg=="function"){arg(this,{execution:"sync"}),arg(this,{execution:"async"});return}let lines2=arg.
split(`
`).filter(x=>x),minIndent=Math.min(...lines2.map(x=>x.length-x.trimStart().length)),dedented=lines2.map(x=>x.slice(minIndent)).
map(x=>" ".repeat(this.indent*2)+x);for(let line of dedented)this.content.push(line)}compile(){let F=Function,content=this?.
content??[""];return new F(...Object.keys(this.closed),`return function (${this.args.join(", ")}) {
${content.join(`
`)}
};`)(...Object.values(this.closed))}}}});var version,init_versions=__esm({"node_modules/zod/v4/core/versions.js"(){init_define_SAVEPOINT();version={major:4,minor:6,
patch:7}}});async function validateAsync2(inst,value){let ctx={async:!0};return toStandardResult(await inst._zod.run({value,issues:[]},
ctx),ctx)}function standardProps(inst){return{validate:value=>{let ctx={async:!1};try{let r=inst._zod.run({value,issues:[]},
ctx);if(!(r instanceof Promise))return toStandardResult(r,ctx)}catch{}return validateAsync2(inst,value)},vendor:"zod",version:1}}
function canParseURL(input){try{return typeof URL<"u"&&typeof URL.canParse=="function"?URL.canParse(input):(new URL(input),
!0)}catch{return!1}}function validateURL(trimmed,def){return!("normalize"in def)&&!("hostname"in def)&&!("protocol"in def)?
canParseURL(trimmed)||URL_UNPARSEABLE:parseURLObject(trimmed,def)}function parseURLObject(trimmed,def){if(!def.normalize&&
def.protocol?.source===httpProtocol.source&&!/^https?:\/\//i.test(trimmed))return URL_BAD_FORMAT;try{if(typeof URL<"u"){
let URLStatic=URL;if(typeof URLStatic.parse=="function")return URLStatic.parse(trimmed)??URL_UNPARSEABLE}return new URL(
trimmed)}catch{return URL_UNPARSEABLE}}function stripTabAndNewline(value){return value.replace(asciiTabOrNewline,"")}function urlHostnameOk(url,hostname2){
return hostname2.lastIndex=0,hostname2.test(url.hostname)}function urlProtocolOk(url,protocol){return protocol.lastIndex=
0,protocol.test(url.protocol.endsWith(":")?url.protocol.slice(0,-1):url.protocol)}function isValidIPv6(value){return ipv6Alphabet.
test(value)?canParseURL(`http://[${value}]`):!1}function isValidCIDRv6(value){let parts=value.split("/");if(parts.length!==
2)return!1;let[address,prefix]=parts;if(!prefix)return!1;let prefixNum=Number(prefix);return`${prefixNum}`!==prefix||prefixNum<
0||prefixNum>128?!1:isValidIPv6(address)}function isValidBase64(data){if(data==="")return!0;if(/\s/.test(data)||data.length%
4!==0)return!1;try{return atob(data),!0}catch{return!1}}function isValidBase64URL(data){if(!base64urlCharset.test(data))
return!1;let base642=data.replace(/[-_]/g,c=>c==="-"?"+":"/"),padded=base642.padEnd(Math.ceil(base642.length/4)*4,"=");return isValidBase64(
padded)}function isValidJWT(token,algorithm=null){try{let tokensParts=token.split(".");if(tokensParts.length!==3)return!1;
let[header2]=tokensParts;if(!header2)return!1;let parsedHeader=JSON.parse(atob(header2));return!("typ"in parsedHeader&&parsedHeader?.
typ!=="JWT"||!parsedHeader.alg||algorithm&&(!("alg"in parsedHeader)||parsedHeader.alg!==algorithm))}catch{return!1}}function capSize(inst,size){
let caps=sizeCaps(inst._zod.def.checks);if(!caps.length)return;let cap=Math.min(...caps.map(c=>c[0])),parse2=inst._zod.parse;
inst._zod.parse=(payload,ctx)=>{let n=size(payload.value);if(n>cap&&!ctx?.skipChecks&&ctx?.direction!=="backward"){for(let[
max,ch]of sizeCaps(inst._zod.def.checks))if(n>max&&ch._zod.def.when(payload)){let start2=payload.issues.length;return ch.
_zod.check(payload),payload.issues[start2].continue=!1,attachSchema(payload.issues,start2,inst),payload}}return parse2(payload,
ctx)}}function handleArrayResult(result,final,index){result.issues.length&&final.issues.push(...prefixIssues(index,result.
issues)),final.value[index]=result.value}function handlePropertyResult(result,final,key,input,optin,optout){let isPresent=key in
input,isOptionalOut=optout==="optional";if(!(!isPresent&&isOptionalOut&&optin==="optional")){if(result.issues.length){if(optin!==
void 0&&isOptionalOut&&!isPresent)return;final.issues.push(...prefixIssues(key,result.issues))}if(!isPresent&&optin===void 0){
result.issues.length||final.issues.push({code:"invalid_type",expected:"nonoptional",input:void 0,path:[key]});return}result.
value===void 0?(isPresent||optin==="defaulted"&&!isOptionalOut)&&(final.value[key]=void 0):final.value[key]=result.value}}
function normalizeDef(def){let keys=Object.keys(def.shape),ownSymbols=Object.getOwnPropertySymbols(def.shape),symbolKeys=ownSymbols.
length?ownSymbols:NO_SYMBOL_KEYS,allKeys=symbolKeys.length?[...keys,...symbolKeys]:keys;for(let k of allKeys)if(!def.shape?.[k]?.
_zod?.traits?.has("$ZodType"))throw new Error(`Invalid element at key "${String(k)}": expected a Zod schema`);let okeys=optionalKeys(
def.shape);return{...def,allKeys,symbolKeys,keySet:new Set(keys),numKeys:keys.length,optionalKeys:new Set(okeys)}}function handleCatchall(proms,input,payload,ctx,def,inst,abortEarly){
let unrecognized=[],keySet=def.keySet,_catchall=def.catchall._zod,t=_catchall.def.type,optin=_catchall.optin,optout=_catchall.
optout,seen=0;for(let key in input){if(abortEarly&&payload.issues.length!==seen){if(aborted(payload,seen))break;seen=payload.
issues.length}if(keySet.has(key))continue;if(key==="__proto__"){t==="never"&&unrecognized.push(key);continue}if(t==="nev\
er"){unrecognized.push(key);continue}let r=_catchall.run({value:input[key],issues:[]},ctx);r instanceof Promise?proms.push(
r.then(r2=>handlePropertyResult(r2,payload,key,input,optin,optout))):handlePropertyResult(r,payload,key,input,optin,optout)}
return unrecognized.length&&payload.issues.push({code:"unrecognized_keys",keys:unrecognized,input,inst,continue:!0}),proms.
length?Promise.all(proms).then(()=>payload):payload}function handleUnionResults(results,final,inst,ctx){for(let result of results)
if(result.issues.length===0)return final.value=result.value,final;let nonaborted=results.filter(r=>!aborted(r));return nonaborted.
length===1?(final.value=nonaborted[0].value,nonaborted[0]):(final.issues.push({code:"invalid_union",input:final.value,inst,
errors:results.map(result=>result.issues.map(iss=>finalizeIssue(iss,ctx,config())))}),final)}function mergeValues(a,b){if(a===
b)return{valid:!0,data:a};if(a instanceof Date&&b instanceof Date&&+a==+b)return{valid:!0,data:a};if(isPlainObject(a)&&isPlainObject(
b)){let bKeys=Object.keys(b),sharedKeys=Object.keys(a).filter(key=>bKeys.indexOf(key)!==-1),newObj={...a,...b};Object.prototype.
hasOwnProperty.call(newObj,"__proto__")&&delete newObj.__proto__;for(let key of sharedKeys){if(key==="__proto__")continue;
let sharedValue=mergeValues(a[key],b[key]);if(!sharedValue.valid)return{valid:!1,mergeErrorPath:[key,...sharedValue.mergeErrorPath]};
newObj[key]=sharedValue.data}return{valid:!0,data:newObj}}if(Array.isArray(a)&&Array.isArray(b)){if(a.length!==b.length)
return{valid:!1,mergeErrorPath:[]};let newArray=[];for(let index=0;index<a.length;index++){let itemA=a[index],itemB=b[index],
sharedValue=mergeValues(itemA,itemB);if(!sharedValue.valid)return{valid:!1,mergeErrorPath:[index,...sharedValue.mergeErrorPath]};
newArray.push(sharedValue.data)}return{valid:!0,data:newArray}}return{valid:!1,mergeErrorPath:[]}}function handleIntersectionResults(result,left,right){
let unrecKeys=new Map,unrecIssue,keyIssues=new Map,collect=(iss,side)=>{let keys;if(iss.code==="unrecognized_keys"&&!iss.
path?.length)unrecIssue??(unrecIssue=iss),keys=iss.keys;else if(iss.code==="invalid_key"&&iss.origin==="record"&&iss.path?.
length===1){let k=String(iss.path[0]);keyIssues.has(k)||keyIssues.set(k,iss),keys=[k]}else return!1;for(let k of keys)unrecKeys.
has(k)||unrecKeys.set(k,{}),unrecKeys.get(k)[side]=!0;return!0};for(let iss of left.issues)collect(iss,"l")||result.issues.
push(iss);for(let iss of right.issues)collect(iss,"r")||result.issues.push(iss);let bothKeys=[...unrecKeys].filter(([,f])=>f.
l&&f.r).map(([k])=>k);if(bothKeys.length){let aggregated=unrecIssue?bothKeys.filter(k=>unrecIssue.keys.includes(k)):[];aggregated.
length&&result.issues.push({...unrecIssue,keys:aggregated});for(let k of bothKeys)!aggregated.includes(k)&&keyIssues.has(
k)&&result.issues.push(keyIssues.get(k))}let merged=mergeValues(left.value,right.value);if(!merged.valid){if(aborted(result))
return result;throw new Error(`Unmergable intersection. Error path: ${JSON.stringify(merged.mergeErrorPath)}`)}return result.
value=merged.data,result}function handleOptionalResult(payload,result){return payload.value=result.issues.length?void 0:
result.value,payload}function handleDefaultResult(payload,def){return payload.value===void 0&&(payload.value=def.defaultValue),
payload}function handleNonOptionalResult(payload,inst){return!payload.issues.length&&payload.value===void 0&&payload.issues.
push({code:"invalid_type",expected:"nonoptional",input:payload.value,inst}),payload}function handleCatchResult(payload,result,def,ctx){
return result.issues.length?(payload.value=def.catchValue({...result,value:payload.value,error:{issues:result.issues.map(
iss=>finalizeIssue(iss,ctx,config()))},input:payload.value}),payload):(payload.value=result.value,result.memo&&(payload.
memo=!0),payload)}function handlePipeResult(left,next,ctx){return left.issues.some(iss=>iss.code!=="unrecognized_keys")?
(left.aborted=!0,left):next._zod.run({value:left.value,issues:left.issues},ctx)}function handleReadonlyResult(payload){return payload.
memo||(payload.value=Object.freeze(payload.value)),payload}function handleRefineResult(result,payload,input,inst){if(!result){
let _iss={code:"custom",input,inst,path:[...inst._zod.def.path??[]],continue:!inst._zod.def.abort};inst._zod.def.params&&
(_iss.params=inst._zod.def.params),payload.issues.push(issue(_iss))}}var $ZodType,toStandardResult,$ZodString,$ZodStringFormat,
$ZodGUID,$ZodUUID,$ZodEmail,URL_BAD_FORMAT,URL_UNPARSEABLE,asciiTabOrNewline,$ZodURL,$ZodEmoji,$ZodNanoID,$ZodCUID,$ZodCUID2,
$ZodULID,$ZodXID,$ZodKSUID,$ZodISODateTime,$ZodISODate,$ZodISOTime,$ZodISODuration,$ZodIPv4,ipv6Alphabet,$ZodIPv6,$ZodCIDRv4,
$ZodCIDRv6,base64Charset,$ZodBase64,base64urlCharset,$ZodBase64URL,$ZodE164,$ZodJWT,$ZodNumber,$ZodNumberFormat,$ZodBoolean,
$ZodUnknown,$ZodNever,arraySize,$ZodArray,NO_SYMBOL_KEYS,$ZodObject,$ZodObjectJIT,$ZodUnion,$ZodIntersection,$ZodEnum,$ZodTransform,
$ZodOptional,$ZodExactOptional,$ZodNullable,$ZodDefault,$ZodPrefault,$ZodNonOptional,$ZodCatch,$ZodPipe,$ZodReadonly,$ZodCustom,
init_schemas=__esm({"node_modules/zod/v4/core/schemas.js"(){init_define_SAVEPOINT();init_checks();init_core();init_doc();
init_regexes();init_util();init_versions();init_util();$ZodType=$constructor("$ZodType",(inst,def)=>{var _a3;inst??(inst=
{}),inst._zod.def=def,inst._zod.bag=inst._zod.bag||{},inst._zod.version=version;let defChecks=inst._zod.def.checks,checks=inst.
_zod.traits.has("$ZodCheck")?[inst,...defChecks??[]]:defChecks?.length?[...defChecks]:[];for(let ch of checks)for(let fn of ch.
_zod.onattach)fn(inst);if(checks.length===0)(_a3=inst._zod).deferred??(_a3.deferred=[]),inst._zod.deferred?.push(()=>{inst.
_zod.run=inst._zod.parse});else{let runChecks=(payload,checks2,ctx)=>{if(payload.memo)return payload;let isAborted=aborted(
payload),asyncResult;for(let ch of checks2){if(ch._zod.def.when){if(explicitlyAborted(payload)||!ch._zod.def.when(payload))
continue}else if(isAborted)continue;let currLen=payload.issues.length,_=ch._zod.check(payload);if(_ instanceof Promise&&
ctx?.async===!1)throw new $ZodAsyncError;if(asyncResult||_ instanceof Promise)asyncResult=(asyncResult??Promise.resolve()).
then(async()=>{await _,payload.issues.length!==currLen&&(attachSchema(payload.issues,currLen,inst),isAborted||(isAborted=
aborted(payload,currLen)))});else{if(payload.issues.length===currLen)continue;attachSchema(payload.issues,currLen,inst),
isAborted||(isAborted=aborted(payload,currLen))}}return asyncResult?asyncResult.then(()=>payload):payload},handleCanaryResult=(canary,payload,ctx)=>{
if(aborted(canary))return canary.aborted=!0,canary;let checkResult=runChecks(payload,checks,ctx);if(checkResult instanceof
Promise){if(ctx.async===!1)throw new $ZodAsyncError;return checkResult.then(checkResult2=>inst._zod.parse(checkResult2,ctx))}
return inst._zod.parse(checkResult,ctx)};inst._zod.run=(payload,ctx)=>{if(ctx.skipChecks)return inst._zod.parse(payload,
ctx);if(ctx.direction==="backward"){let canary=inst._zod.parse({value:payload.value,issues:[]},{...ctx,skipChecks:!0});return canary instanceof
Promise?canary.then(canary2=>handleCanaryResult(canary2,payload,ctx)):handleCanaryResult(canary,payload,ctx)}let result=inst.
_zod.parse(payload,ctx);if(result instanceof Promise){if(ctx.async===!1)throw new $ZodAsyncError;return result.then(result2=>runChecks(
result2,checks,ctx))}return runChecks(result,checks,ctx)}}},{get"~standard"(){return hide(this,"~standard",standardProps(
this))},set"~standard"(value){own(this,"~standard",value)}}),toStandardResult=(r,ctx)=>r.issues.length?{issues:r.issues.
map(iss=>finalizeIssue(iss,ctx,config()))}:{value:r.value};$ZodString=$constructor("$ZodString",(inst,def)=>{$ZodType.init(
inst,def),inst._zod.pattern=def.pattern??anyString,inst._zod.parse=(payload,_)=>{if(def.coerce)try{payload.value=String(
payload.value)}catch{}return typeof payload.value=="string"||payload.issues.push({expected:"string",code:"invalid_type",
input:payload.value,inst}),payload}}),$ZodStringFormat=$constructor("$ZodStringFormat",(inst,def)=>{$ZodCheckStringFormat.
init(inst,def),$ZodString.init(inst,def)}),$ZodGUID=$constructor("$ZodGUID",(inst,def)=>{def.pattern??(def.pattern=guid),
$ZodStringFormat.init(inst,def)}),$ZodUUID=$constructor("$ZodUUID",(inst,def)=>{if(def.version){let v={v1:1,v2:2,v3:3,v4:4,
v5:5,v6:6,v7:7,v8:8}[def.version];if(v===void 0)throw new Error(`Invalid UUID version: "${def.version}"`);def.pattern??(def.
pattern=uuid(v))}else def.pattern??(def.pattern=uuid());$ZodStringFormat.init(inst,def)}),$ZodEmail=$constructor("$ZodEm\
ail",(inst,def)=>{def.pattern??(def.pattern=email),$ZodStringFormat.init(inst,def)}),URL_BAD_FORMAT=1,URL_UNPARSEABLE=2;
asciiTabOrNewline=/[\t\n\r]/g;$ZodURL=$constructor("$ZodURL",(inst,def)=>{$ZodStringFormat.init(inst,def),inst._zod.check=
payload=>{try{let trimmed=payload.value.trim(),url=validateURL(trimmed,def);if(url===URL_BAD_FORMAT){payload.issues.push(
{code:"invalid_format",format:"url",note:"Invalid URL format",input:payload.value,inst,continue:!def.abort});return}if(url===
URL_UNPARSEABLE){payload.issues.push({code:"invalid_format",format:"url",input:payload.value,inst,continue:!def.abort});
return}if(url===!0){payload.value=stripTabAndNewline(trimmed);return}def.hostname&&!urlHostnameOk(url,def.hostname)&&payload.
issues.push({code:"invalid_format",format:"url",note:"Invalid hostname",pattern:def.hostname.source,input:payload.value,
inst,continue:!def.abort}),def.protocol&&!urlProtocolOk(url,def.protocol)&&payload.issues.push({code:"invalid_format",format:"\
url",note:"Invalid protocol",pattern:def.protocol.source,input:payload.value,inst,continue:!def.abort}),payload.value=def.
normalize?url.href:stripTabAndNewline(trimmed);return}catch{payload.issues.push({code:"invalid_format",format:"url",input:payload.
value,inst,continue:!def.abort})}}}),$ZodEmoji=$constructor("$ZodEmoji",(inst,def)=>{def.pattern??(def.pattern=emoji()),
$ZodStringFormat.init(inst,def)}),$ZodNanoID=$constructor("$ZodNanoID",(inst,def)=>{if(def.length!==void 0&&(!Number.isInteger(
def.length)||def.length<1))throw new Error(`Invalid nanoid length: ${def.length}`);def.pattern??(def.pattern=def.length===
void 0?nanoid:nanoidOfLength(def.length)),$ZodStringFormat.init(inst,def)}),$ZodCUID=$constructor("$ZodCUID",(inst,def)=>{
def.pattern??(def.pattern=cuid),$ZodStringFormat.init(inst,def)}),$ZodCUID2=$constructor("$ZodCUID2",(inst,def)=>{def.pattern??
(def.pattern=cuid2),$ZodStringFormat.init(inst,def)}),$ZodULID=$constructor("$ZodULID",(inst,def)=>{def.pattern??(def.pattern=
ulid),$ZodStringFormat.init(inst,def)}),$ZodXID=$constructor("$ZodXID",(inst,def)=>{def.pattern??(def.pattern=xid),$ZodStringFormat.
init(inst,def)}),$ZodKSUID=$constructor("$ZodKSUID",(inst,def)=>{def.pattern??(def.pattern=ksuid),$ZodStringFormat.init(
inst,def)}),$ZodISODateTime=$constructor("$ZodISODateTime",(inst,def)=>{def.pattern??(def.pattern=datetime(def)),$ZodStringFormat.
init(inst,def)}),$ZodISODate=$constructor("$ZodISODate",(inst,def)=>{def.pattern??(def.pattern=date),$ZodStringFormat.init(
inst,def)}),$ZodISOTime=$constructor("$ZodISOTime",(inst,def)=>{def.pattern??(def.pattern=time(def)),$ZodStringFormat.init(
inst,def)}),$ZodISODuration=$constructor("$ZodISODuration",(inst,def)=>{def.pattern??(def.pattern=duration2),$ZodStringFormat.
init(inst,def)}),$ZodIPv4=$constructor("$ZodIPv4",(inst,def)=>{def.pattern??(def.pattern=ipv4),$ZodStringFormat.init(inst,
def)}),ipv6Alphabet=/^[0-9a-fA-F:.]+$/;$ZodIPv6=$constructor("$ZodIPv6",(inst,def)=>{def.pattern??(def.pattern=ipv6),$ZodStringFormat.
init(inst,def),inst._zod.check=payload=>{isValidIPv6(payload.value)||payload.issues.push({code:"invalid_format",format:"\
ipv6",input:payload.value,inst,continue:!def.abort})}}),$ZodCIDRv4=$constructor("$ZodCIDRv4",(inst,def)=>{def.pattern??(def.
pattern=cidrv4),$ZodStringFormat.init(inst,def)});$ZodCIDRv6=$constructor("$ZodCIDRv6",(inst,def)=>{def.pattern??(def.pattern=
cidrv6),$ZodStringFormat.init(inst,def),inst._zod.check=payload=>{isValidCIDRv6(payload.value)||payload.issues.push({code:"\
invalid_format",format:"cidrv6",input:payload.value,inst,continue:!def.abort})}});base64Charset=/^[0-9a-zA-Z+/]*={0,2}$/,
$ZodBase64=$constructor("$ZodBase64",(inst,def)=>{def.pattern??(def.pattern=base64Charset),$ZodStringFormat.init(inst,def),
inst._zod.check=payload=>{isValidBase64(payload.value)||payload.issues.push({code:"invalid_format",format:"base64",input:payload.
value,inst,continue:!def.abort})}}),base64urlCharset=/^[A-Za-z0-9_-]*$/;$ZodBase64URL=$constructor("$ZodBase64URL",(inst,def)=>{
def.pattern??(def.pattern=base64urlCharset),$ZodStringFormat.init(inst,def),inst._zod.check=payload=>{isValidBase64URL(payload.
value)||payload.issues.push({code:"invalid_format",format:"base64url",input:payload.value,inst,continue:!def.abort})}}),
$ZodE164=$constructor("$ZodE164",(inst,def)=>{def.pattern??(def.pattern=e164),$ZodStringFormat.init(inst,def)});$ZodJWT=
$constructor("$ZodJWT",(inst,def)=>{$ZodStringFormat.init(inst,def),inst._zod.check=payload=>{isValidJWT(payload.value,def.
alg)||payload.issues.push({code:"invalid_format",format:"jwt",input:payload.value,inst,continue:!def.abort})}}),$ZodNumber=
$constructor("$ZodNumber",(inst,def)=>{$ZodType.init(inst,def),inst._zod.pattern=number,inst._zod.parse=(payload,_ctx)=>{
if(def.coerce)try{payload.value=Number(payload.value)}catch{}let input=payload.value;if(typeof input=="number"&&!Number.
isNaN(input)&&Number.isFinite(input))return payload;let received=typeof input=="number"?Number.isNaN(input)?"NaN":Number.
isFinite(input)?void 0:String(input):void 0;return payload.issues.push({expected:"number",code:"invalid_type",input,inst,
...received?{received}:{}}),payload}}),$ZodNumberFormat=$constructor("$ZodNumberFormat",(inst,def)=>{$ZodCheckNumberFormat.
init(inst,def),$ZodNumber.init(inst,def)}),$ZodBoolean=$constructor("$ZodBoolean",(inst,def)=>{$ZodType.init(inst,def),inst.
_zod.pattern=boolean,inst._zod.parse=(payload,_ctx)=>{if(def.coerce)try{payload.value=!!payload.value}catch{}let input=payload.
value;return typeof input=="boolean"||payload.issues.push({expected:"boolean",code:"invalid_type",input,inst}),payload}}),
$ZodUnknown=$constructor("$ZodUnknown",(inst,def)=>{$ZodType.init(inst,def),inst._zod.parse=payload=>payload}),$ZodNever=
$constructor("$ZodNever",(inst,def)=>{$ZodType.init(inst,def),inst._zod.parse=(payload,_ctx)=>(payload.issues.push({expected:"\
never",code:"invalid_type",input:payload.value,inst}),payload)});arraySize=input=>Array.isArray(input)?input.length:-1;$ZodArray=
$constructor("$ZodArray",(inst,def)=>{$ZodType.init(inst,def);let memo2=globalConfig.memoizer;memo2?.attach(inst),inst._zod.
parse=(payload,ctx)=>{let input=payload.value;if(!Array.isArray(input))return payload.issues.push({expected:"array",code:"\
invalid_type",input,inst}),payload;payload.value=memo2?memo2.alloc(inst,payload,Array(input.length),ctx):Array(input.length);
let proms=[],abortEarly=ctx?.abortEarly;for(let i=0;i<input.length;i++){let item=input[i],result=def.element._zod.run({value:item,
issues:[]},ctx);if(result instanceof Promise)proms.push(result.then(result2=>handleArrayResult(result2,payload,i)));else if(handleArrayResult(
result,payload,i),abortEarly&&result.issues.length!==0&&aborted(result))break}return proms.length?Promise.all(proms).then(
()=>payload):payload},capSize(inst,arraySize)});NO_SYMBOL_KEYS=[];$ZodObject=$constructor("$ZodObject",(inst,def)=>{$ZodType.
init(inst,def);let desc=Object.getOwnPropertyDescriptor(def,"shape"),sh=desc?.get?desc.get.raw:def.shape??{};if(sh){let get=()=>{
let newSh={...sh};return Object.defineProperty(def,"shape",{value:newSh}),get.raw=newSh,newSh};get.raw=sh,Object.defineProperty(
def,"shape",{get})}let _normalized=cached(()=>normalizeDef(def));defineLazyInternal(inst,"propValues",zod=>{let shape=zod.
def.shape,propValues={};for(let key in shape){let field=shape[key]._zod;if(field.values){Object.prototype.hasOwnProperty.
call(propValues,key)||assignProp(propValues,key,new Set);for(let v of field.values)propValues[key].add(v);field.optin!==
void 0&&propValues[key].add(void 0)}}return propValues});let isObject2=isObject,catchall=def.catchall,value,memo2=globalConfig.
memoizer;memo2?.attach(inst),inst._zod.parse=(payload,ctx)=>{value??(value=_normalized.value);let input=payload.value;if(!isObject2(
input))return payload.issues.push({expected:"object",code:"invalid_type",input,inst}),payload;payload.value=memo2?memo2.
alloc(inst,payload,{},ctx):{};let proms=[],shape=value.shape,abortEarly=ctx?.abortEarly,seen=payload.issues.length;for(let key of value.
allKeys){if(abortEarly&&payload.issues.length!==seen){if(aborted(payload,seen))break;seen=payload.issues.length}if(key===
"__proto__")continue;let el=shape[key],optin=el._zod.optin,optout=el._zod.optout,r=el._zod.run({value:input[key],issues:[]},
ctx);r instanceof Promise?proms.push(r.then(r2=>handlePropertyResult(r2,payload,key,input,optin,optout))):handlePropertyResult(
r,payload,key,input,optin,optout)}return catchall?handleCatchall(proms,input,payload,ctx,_normalized.value,inst,abortEarly===
!0):proms.length?Promise.all(proms).then(()=>payload):payload}}),$ZodObjectJIT=$constructor("$ZodObjectJIT",(inst,def)=>{
$ZodObject.init(inst,def);let superParse=inst._zod.parse,_normalized=cached(()=>normalizeDef(def)),memo2=globalConfig.memoizer,
generateFastpass=shape=>{let normalized=_normalized.value,syms=normalized.symbolKeys,doc=new Doc(["payload","ctx"],{shape,
inst,memo:memo2,syms}),parseStr=k=>`shape[${k}]._zod.run({ value: input[${k}], issues: [] }, ctx)`,prefixStr=(id,k)=>`
          let ${id}_ab = false;
          for (let i = 0; i < ${id}.issues.length; i++) {
            const iss = ${id}.issues[i];
            iss.path = iss.path ? [${k}, ...iss.path] : [${k}];
            payload.issues.push(iss);
            if (iss.continue !== true) ${id}_ab = true;
          }
          if (${id}_ab && ctx && ctx.abortEarly) {
            payload.value = newResult;
            return payload;
          }`;doc.write("const input = payload.value;");let ids=Object.create(null),counter=0;for(let key of normalized.allKeys)
ids[key]=`key_${counter++}`;doc.write(memo2?"const newResult = memo.alloc(inst, payload, {}, ctx);":"const newResult = {\
};");for(let key of normalized.allKeys){if(key==="__proto__")continue;let id=ids[key],k=typeof key=="symbol"?`syms[${syms.
indexOf(key)}]`:esc(key),isPresent=`${k} in input`,schema=shape[key],optin=schema?._zod?.optin,isOptionalIn=optin!==void 0,
isOptionalOut=schema?._zod?.optout==="optional";if(doc.write(`const ${id} = ${parseStr(k)};`),isOptionalIn&&isOptionalOut){
let assign=optin==="optional"?`${id}_present`:`${id}.value !== undefined || ${id}_present`;doc.write(`
        const ${id}_present = ${isPresent};
        if (!${id}.issues.length || ${id}_present) {
          if (${id}.issues.length) {${prefixStr(id,k)}
          }

          if (${assign}) {
            newResult[${k}] = ${id}.value;
          }
        }

      `)}else isOptionalIn?(doc.write(`
        if (${id}.issues.length) {${prefixStr(id,k)}
        }
      `),optin==="defaulted"?doc.write(`newResult[${k}] = ${id}.value;`):doc.write(`
        if (${id}.value !== undefined || ${isPresent}) {
          newResult[${k}] = ${id}.value;
        }
      `)):doc.write(`
        const ${id}_present = ${isPresent};
        if (${id}.issues.length) {${prefixStr(id,k)}
        }
        if (!${id}_present && !${id}.issues.length) {
          payload.issues.push({
            code: "invalid_type",
            expected: "nonoptional",
            input: undefined,
            path: [${k}]
          });
          if (ctx && ctx.abortEarly) {
            payload.value = newResult;
            return payload;
          }
        }

        if (${id}_present) {
          newResult[${k}] = ${id}.value;
        }

      `)}return doc.write("payload.value = newResult;"),doc.write("return payload;"),doc.compile()},fastpass,isObject2=isObject,
jit=!globalConfig.jitless,fastEnabled=jit&&allowsEval.value,catchall=def.catchall,value;inst._zod.parse=(payload,ctx)=>{
value??(value=_normalized.value);let input=payload.value;return isObject2(input)?jit&&fastEnabled&&ctx?.async===!1&&ctx.
jitless!==!0?(fastpass||(fastpass=generateFastpass(def.shape)),payload=fastpass(payload,ctx),catchall?handleCatchall([],
input,payload,ctx,value,inst,ctx?.abortEarly===!0):payload):superParse(payload,ctx):(payload.issues.push({expected:"obje\
ct",code:"invalid_type",input,inst}),payload)}});$ZodUnion=$constructor("$ZodUnion",(inst,def)=>{$ZodType.init(inst,def),
defineLazyInternal(inst,"optin",zod=>zod.def.options.some(o=>o._zod.optin==="defaulted")?"defaulted":zod.def.options.some(
o=>o._zod.optin!==void 0)?"optional":void 0),defineLazyInternal(inst,"optout",zod=>zod.def.options.some(o=>o._zod.optout===
"optional")?"optional":void 0),defineLazyInternal(inst,"values",zod=>{if(zod.def.options.every(o=>o._zod.values))return new Set(
zod.def.options.flatMap(option=>Array.from(option._zod.values)))}),defineLazyInternal(inst,"pattern",zod=>{if(zod.def.options.
every(o=>o._zod.pattern)){let patterns=zod.def.options.map(o=>o._zod.pattern);return new RegExp(`^(${patterns.map(p=>cleanRegex(
p.source)).join("|")})$`)}});let first=def.options.length===1?def.options[0]._zod.run:null;inst._zod.parse=(payload,ctx)=>{
if(first)return first(payload,ctx);let async=!1,results=[];for(let option of def.options){let result=option._zod.run({value:payload.
value,issues:[]},ctx);if(result instanceof Promise)results.push(result),async=!0;else{if(result.issues.length===0)return result;
results.push(result)}}return async?Promise.all(results).then(results2=>handleUnionResults(results2,payload,inst,ctx)):handleUnionResults(
results,payload,inst,ctx)}}),$ZodIntersection=$constructor("$ZodIntersection",(inst,def)=>{$ZodType.init(inst,def),inst.
_zod.parse=(payload,ctx)=>{let input=payload.value,left=def.left._zod.run({value:input,issues:[]},ctx),right=def.right._zod.
run({value:input,issues:[]},ctx);return left instanceof Promise||right instanceof Promise?Promise.all([left,right]).then(
([left2,right2])=>handleIntersectionResults(payload,left2,right2)):handleIntersectionResults(payload,left,right)}});$ZodEnum=
$constructor("$ZodEnum",(inst,def)=>{$ZodType.init(inst,def);let values=getEnumValues(def.entries),valuesSet=new Set(values);
inst._zod.values=valuesSet,defineLazyInternal(inst,"pattern",zod=>{let patternValues=getEnumValues(zod.def.entries).filter(
k=>propertyKeyTypes.has(typeof k));return new RegExp(patternValues.length?`^(${patternValues.map(o=>escapeRegex(o.toString())).
join("|")})$`:"^[^\\s\\S]$")}),inst._zod.parse=(payload,_ctx)=>{let input=payload.value;return valuesSet.has(input)||payload.
issues.push({code:"invalid_value",values,input,inst}),payload}}),$ZodTransform=$constructor("$ZodTransform",(inst,def)=>{
$ZodType.init(inst,def),inst._zod.optin="optional",globalConfig.memoizer?.guard(inst),inst._zod.parse=(payload,ctx)=>{if(ctx.
direction==="backward")throw new $ZodEncodeError(inst.constructor.name);let _out=def.transform(payload.value,payload);if(ctx.
async)return(_out instanceof Promise?_out:Promise.resolve(_out)).then(output3=>(payload.value=output3,payload));if(_out instanceof
Promise)throw new $ZodAsyncError;return payload.value=_out,payload}});$ZodOptional=$constructor("$ZodOptional",(inst,def)=>{
$ZodType.init(inst,def),defineLazyInternal(inst,"optin",zod=>zod.def.innerType._zod.optin==="defaulted"?"defaulted":"opt\
ional"),inst._zod.optout="optional",defineLazyInternal(inst,"values",zod=>{let values=zod.def.innerType._zod.values;return values?
new Set([...values,void 0]):void 0}),defineLazyInternal(inst,"pattern",zod=>{let pattern=zod.def.innerType._zod.pattern;
return pattern?new RegExp(`^(${cleanRegex(pattern.source)})?$`):void 0}),inst._zod.parse=(payload,ctx)=>{if(payload.value===
void 0){if(def.innerType._zod.optin!=="defaulted")return payload;let result=def.innerType._zod.run({value:payload.value,
issues:[]},ctx);return result instanceof Promise?result.then(result2=>handleOptionalResult(payload,result2)):handleOptionalResult(
payload,result)}return def.innerType._zod.run(payload,ctx)}}),$ZodExactOptional=$constructor("$ZodExactOptional",(inst,def)=>{
$ZodOptional.init(inst,def),defineLazyInternal(inst,"values",zod=>zod.def.innerType._zod.values),defineLazyInternal(inst,
"pattern",zod=>zod.def.innerType._zod.pattern),inst._zod.parse=(payload,ctx)=>def.innerType._zod.run(payload,ctx)}),$ZodNullable=
$constructor("$ZodNullable",(inst,def)=>{$ZodType.init(inst,def),defineLazyInternal(inst,"optin",zod=>zod.def.innerType.
_zod.optin),defineLazyInternal(inst,"optout",zod=>zod.def.innerType._zod.optout),defineLazyInternal(inst,"pattern",zod=>{
let pattern=zod.def.innerType._zod.pattern;return pattern?new RegExp(`^(${cleanRegex(pattern.source)}|null)$`):void 0}),
defineLazyInternal(inst,"values",zod=>zod.def.innerType._zod.values?new Set([...zod.def.innerType._zod.values,null]):void 0),
inst._zod.parse=(payload,ctx)=>payload.value===null?payload:def.innerType._zod.run(payload,ctx)}),$ZodDefault=$constructor(
"$ZodDefault",(inst,def)=>{$ZodType.init(inst,def),inst._zod.optin="defaulted",defineLazyInternal(inst,"values",zod=>zod.
def.innerType._zod.values),inst._zod.parse=(payload,ctx)=>{if(ctx.direction==="backward")return def.innerType._zod.run(payload,
ctx);if(payload.value===void 0)return payload.value=def.defaultValue,payload;let result=def.innerType._zod.run(payload,ctx);
return result instanceof Promise?result.then(result2=>handleDefaultResult(result2,def)):handleDefaultResult(result,def)}});
$ZodPrefault=$constructor("$ZodPrefault",(inst,def)=>{$ZodType.init(inst,def),inst._zod.optin="defaulted",defineLazyInternal(
inst,"values",zod=>zod.def.innerType._zod.values),inst._zod.parse=(payload,ctx)=>(ctx.direction==="backward"||payload.value===
void 0&&(payload.value=def.defaultValue),def.innerType._zod.run(payload,ctx))}),$ZodNonOptional=$constructor("$ZodNonOpt\
ional",(inst,def)=>{$ZodType.init(inst,def),defineLazyInternal(inst,"values",zod=>{let v=zod.def.innerType._zod.values;return v?
new Set([...v].filter(x=>x!==void 0)):void 0}),inst._zod.parse=(payload,ctx)=>{let result=def.innerType._zod.run(payload,
ctx);return result instanceof Promise?result.then(result2=>handleNonOptionalResult(result2,inst)):handleNonOptionalResult(
result,inst)}});$ZodCatch=$constructor("$ZodCatch",(inst,def)=>{$ZodType.init(inst,def),defineLazyInternal(inst,"optin",
zod=>zod.def.innerType._zod.optin==="defaulted"?"defaulted":"optional"),defineLazyInternal(inst,"optout",zod=>zod.def.innerType.
_zod.optout),defineLazyInternal(inst,"values",zod=>zod.def.innerType._zod.values),inst._zod.parse=(payload,ctx)=>{if(ctx.
direction==="backward")return def.innerType._zod.run(payload,ctx);let result=def.innerType._zod.run({value:payload.value,
issues:[]},ctx);return result instanceof Promise?result.then(result2=>handleCatchResult(payload,result2,def,ctx)):handleCatchResult(
payload,result,def,ctx)}}),$ZodPipe=$constructor("$ZodPipe",(inst,def)=>{$ZodType.init(inst,def),defineLazyInternal(inst,
"values",zod=>zod.def.in._zod.values),defineLazyInternal(inst,"optin",zod=>zod.def.in._zod.optin),defineLazyInternal(inst,
"optout",zod=>zod.def.out._zod.optout),defineLazyInternal(inst,"propValues",zod=>zod.def.in._zod.propValues),inst._zod.parse=
(payload,ctx)=>{if(ctx.direction==="backward"){let right=def.out._zod.run(payload,ctx);return right instanceof Promise?right.
then(right2=>handlePipeResult(right2,def.in,ctx)):handlePipeResult(right,def.in,ctx)}let left=def.in._zod.run(payload,ctx);
return left instanceof Promise?left.then(left2=>handlePipeResult(left2,def.out,ctx)):handlePipeResult(left,def.out,ctx)}});
$ZodReadonly=$constructor("$ZodReadonly",(inst,def)=>{$ZodType.init(inst,def),defineLazyInternal(inst,"propValues",zod=>zod.
def.innerType._zod.propValues),defineLazyInternal(inst,"values",zod=>zod.def.innerType._zod.values),defineLazyInternal(inst,
"optin",zod=>zod.def.innerType?._zod?.optin),defineLazyInternal(inst,"optout",zod=>zod.def.innerType?._zod?.optout),inst.
_zod.parse=(payload,ctx)=>{if(ctx.direction==="backward")return def.innerType._zod.run(payload,ctx);let result=def.innerType.
_zod.run(payload,ctx);return result instanceof Promise?result.then(handleReadonlyResult):handleReadonlyResult(result)}});
$ZodCustom=$constructor("$ZodCustom",(inst,def)=>{$ZodCheck.init(inst,def),$ZodType.init(inst,def),inst._zod.parse=(payload,_)=>payload,
inst._zod.check=payload=>{let input=payload.value,r=def.fn(input);if(r instanceof Promise)return r.then(r2=>handleRefineResult(
r2,payload,input,inst));handleRefineResult(r,payload,input,inst)}})}});function isRef(value){return value!==null&&typeof value=="object"}function cloneIssues(issues){return issues.map(iss=>iss.
path?{...iss,path:iss.path.slice()}:{...iss})}function isRecursive(inst,stack,resolve3){let cached2=recursive.get(inst);
if(cached2!==void 0)return cached2?PROVEN:NONE;if(stack.has(inst))return PROVEN;stack.add(inst);let result=NONE,check=child=>{
if(result!==PROVEN&&child?._zod){let answer=isRecursive(child,stack,resolve3);answer>result&&(result=answer)}},shape=(sh,spread)=>{
let answer=NONE;for(let key of Reflect.ownKeys(sh)){let desc=Object.getOwnPropertyDescriptor(sh,key);if(spread&&!desc.enumerable)
continue;let child=desc.get?ASSUMED:desc.value?._zod?isRecursive(desc.value,stack,resolve3):NONE;child>answer&&(answer=child)}
return answer},merge3=answer=>{answer>result&&(result=answer)},def=inst._zod.def,kind=def.type;switch(kind){case"object":{
let raw=rawShape(def);merge3(raw?shape(raw,!0):ASSUMED),check(def.catchall);break}case"array":check(def.element);break;case"\
tuple":for(let el of def.items)check(el);check(def.rest);break;case"record":case"map":check(def.keyType),check(def.valueType);
break;case"set":check(def.valueType);break;case"union":for(let el of def.options)check(el);break;case"intersection":check(
def.left),check(def.right);break;case"optional":case"nullable":case"default":case"prefault":case"catch":case"readonly":case"\
nonoptional":case"promise":case"success":check(def.innerType);break;case"pipe":check(def.in),check(def.out);break;case"f\
unction":check(def.input),check(def.output);break;case"lazy":{let inner=def._cachedInner??(resolve3?inst._zod.innerType:
void 0);merge3(inner?isRecursive(inner,stack,!1):ASSUMED);break}case"template_literal":case"string":case"number":case"in\
t":case"boolean":case"bigint":case"symbol":case"undefined":case"null":case"void":case"never":case"any":case"unknown":case"\
date":case"nan":case"enum":case"literal":case"file":case"transform":case"custom":break;default:for(let key in def){let desc=Object.
getOwnPropertyDescriptor(def,key);if(!desc||desc.get)continue;let value=desc.value;if(!(!value||typeof value!="object")){
if(value._zod)check(value);else if(Array.isArray(value))for(let el of value)check(el)}}}return stack.delete(inst),settle(
inst,result)}function settle(inst,answer){return answer!==ASSUMED&&recursive.set(inst,answer===PROVEN),answer}function bucketFor(state,inst){
let bucket=state.buckets.get(inst);return bucket||(bucket=new WeakMap,state.buckets.set(inst,bucket)),bucket}function memoizer(){
return memo}function isBackEdge(ctx,value){let backEdges=ctx[STATE]?.backEdges;return backEdges!==void 0&&isRef(value)&&
backEdges.has(value)}var $ZodCyclicError,STATE,NO_ISSUES,recursive,NONE,ASSUMED,PROVEN,handoff,open,memo,init_memoizer=__esm(
{"node_modules/zod/v4/core/memoizer.js"(){init_define_SAVEPOINT();init_util();$ZodCyclicError=class extends Error{constructor(){
super("Cannot parse a reference cycle that closes through a transform"),this.name="ZodCyclicError"}},STATE="~memo",NO_ISSUES=
[];recursive=new WeakMap,NONE=0,ASSUMED=1,PROVEN=2;open=[],memo={alloc(_inst,payload,empty){let bucket=handoff;if(!bucket)
return empty;handoff=void 0;let entry3={value:empty,issues:null};return bucket.set(payload.value,entry3),open.push(entry3),
empty},guard(inst){var _a3;(_a3=inst._zod).deferred??(_a3.deferred=[]),inst._zod.deferred.push(()=>{let base=inst._zod.parse,
wrapped=(payload,ctx)=>{if(ctx.direction!=="backward"&&isBackEdge(ctx,payload.value))throw new $ZodCyclicError;return base(
payload,ctx)};inst._zod.parse=wrapped,inst._zod.run===base&&(inst._zod.run=wrapped)})},attach(inst){var _a3;let isRecursiveInst,
rechecked=!1,lastCtx,lastBucket;(_a3=inst._zod).deferred??(_a3.deferred=[]),inst._zod.deferred.push(()=>{let base=inst._zod.
parse,wrapped=(payload,ctx)=>{if(isRecursiveInst===void 0){let walked=isRecursive(inst,new Set,!1);if(walked===NONE)return inst.
_zod.parse=base,inst._zod.run===wrapped&&(inst._zod.run=base),base(payload,ctx);walked===PROVEN||rechecked?isRecursiveInst=
!0:rechecked=!0}let input=payload.value;if(!isRef(input))return base(payload,ctx);let state=ctx[STATE];state||(state={buckets:new WeakMap,
backEdges:void 0},ctx[STATE]=state);let bucket;lastCtx===ctx?bucket=lastBucket:(bucket=bucketFor(state,inst),lastCtx=ctx,
lastBucket=bucket);let hit=bucket.get(input);if(hit)return payload.value=hit.value,hit.issues?hit.issues.length&&payload.
issues.push(...cloneIssues(hit.issues)):(payload.memo=!0,state.backEdges??(state.backEdges=new WeakSet),state.backEdges.
add(hit.value)),payload;handoff=bucket;let depth=open.length,result=base(payload,ctx);handoff=void 0;let entry3=open.length>
depth?open.pop():void 0;return result instanceof Promise?result.then(r=>(entry3&&(entry3.issues=r.issues.length?cloneIssues(
r.issues):NO_ISSUES),r)):(entry3&&(entry3.issues=result.issues.length?cloneIssues(result.issues):NO_ISSUES),result)};inst.
_zod.parse=wrapped,inst._zod.run===base&&(inst._zod.run=wrapped)})}}}});function en_default(){return{localeError:error()}}var error,init_en=__esm({"node_modules/zod/v4/locales/en.js"(){init_define_SAVEPOINT();
init_util();error=()=>{let Sizable={string:{unit:"characters",verb:"to have"},file:{unit:"bytes",verb:"to have"},array:{
unit:"items",verb:"to have"},set:{unit:"items",verb:"to have"},map:{unit:"entries",verb:"to have"}};function getSizing(origin){
return Sizable[origin]??null}let FormatDictionary={regex:"input",email:"email address",url:"URL",emoji:"emoji",uuid:"UUI\
D",uuidv4:"UUIDv4",uuidv6:"UUIDv6",nanoid:"nanoid",guid:"GUID",cuid:"cuid",cuid2:"cuid2",ulid:"ULID",xid:"XID",ksuid:"KS\
UID",datetime:"ISO datetime",date:"ISO date",time:"ISO time",duration:"ISO duration",ipv4:"IPv4 address",ipv6:"IPv6 addr\
ess",mac:"MAC address",cidrv4:"IPv4 range",cidrv6:"IPv6 range",base64:"base64-encoded string",base64url:"base64url-encod\
ed string",json_string:"JSON string",e164:"E.164 number",currency_code:"currency code",credit_card:"credit card number",
iban:"IBAN",jwt:"JWT",template_literal:"input"},TypeDictionary={nan:"NaN"};function getTypeName(type,input){return type===
"number"&&typeof input=="number"&&!Number.isFinite(input)?String(input):TypeDictionary[type]??type}return issue2=>{switch(issue2.
code){case"invalid_type":{let expected=getTypeName(issue2.expected),receivedType=parsedType(issue2.input),received=getTypeName(
receivedType,issue2.input);return`Invalid input: expected ${expected}, received ${received}`}case"invalid_value":return issue2.
values.length===1?`Invalid input: expected ${stringifyPrimitive(issue2.values[0])}`:`Invalid option: expected one of ${joinValues(
issue2.values,"|")}`;case"too_big":{let adj=issue2.exact?"exactly ":issue2.inclusive?"<=":"<",sizing=getSizing(issue2.origin);
return sizing?`Too big: expected ${issue2.origin??"value"} to have ${adj}${issue2.maximum.toString()} ${sizing.unit??"el\
ements"}`:`Too big: expected ${issue2.origin??"value"} to be ${adj}${issue2.maximum.toString()}`}case"too_small":{let adj=issue2.
exact?"exactly ":issue2.inclusive?">=":">",sizing=getSizing(issue2.origin);return sizing?`Too small: expected ${issue2.origin}\
 to have ${adj}${issue2.minimum.toString()} ${sizing.unit}`:`Too small: expected ${issue2.origin} to be ${adj}${issue2.minimum.
toString()}`}case"invalid_format":{let _issue=issue2;return _issue.format==="starts_with"?`Invalid string: must start wi\
th "${_issue.prefix}"`:_issue.format==="ends_with"?`Invalid string: must end with "${_issue.suffix}"`:_issue.format==="i\
ncludes"?`Invalid string: must include "${_issue.includes}"`:_issue.format==="regex"?`Invalid string: must match pattern\
 ${_issue.pattern}`:`Invalid ${FormatDictionary[_issue.format]??issue2.format}`}case"not_multiple_of":return`Invalid num\
ber: must be a multiple of ${issue2.divisor}`;case"unrecognized_keys":return`Unrecognized key${issue2.keys.length>1?"s":
""}: ${joinValues(issue2.keys,", ")}`;case"invalid_key":return`Invalid key in ${issue2.origin}`;case"invalid_union":return issue2.
options&&Array.isArray(issue2.options)&&issue2.options.length>0?`Invalid discriminator value. Expected ${issue2.options.
map(o=>`'${o}'`).join(" | ")}`:issue2.inclusive===!1?"Invalid input: more than one option matched":"Invalid input";case"\
invalid_element":return`Invalid value in ${issue2.origin}`;default:return"Invalid input"}}}}});var init_locales=__esm({"node_modules/zod/v4/locales/index.js"(){init_define_SAVEPOINT()}});function registry(){return new $ZodRegistry}var _a2,$ZodRegistry,globalRegistry,init_registries=__esm({"node_modules/zod\
/v4/core/registries.js"(){init_define_SAVEPOINT();$ZodRegistry=class{constructor(){this._map=new WeakMap,this._idmap=new Map}add(schema,..._meta){
let meta2=_meta[0];return this._map.set(schema,meta2),meta2&&typeof meta2=="object"&&"id"in meta2&&this._idmap.set(meta2.
id,schema),this}clear(){return this._map=new WeakMap,this._idmap=new Map,this}remove(schema){let meta2=this._map.get(schema);
return meta2&&typeof meta2=="object"&&"id"in meta2&&this._idmap.delete(meta2.id),this._map.delete(schema),this}get(schema){
let p=schema._zod.parent;if(p){let pm={...this.get(p)??{}};delete pm.id;let f={...pm,...this._map.get(schema)};return Object.
keys(f).length?f:void 0}return this._map.get(schema)}has(schema){return this._map.has(schema)}};(_a2=globalThis).__zod_globalRegistry??
(_a2.__zod_globalRegistry=registry());globalRegistry=globalThis.__zod_globalRegistry}});var init_compile=__esm({"node_modules/zod/v4/core/compile.js"(){init_define_SAVEPOINT()}});function snapshotChecks(def){return def.checks&&(def.checks=[...def.checks]),def}function _string(Class2,params){return new Class2(
snapshotChecks({type:"string",...normalizeParams(params)}))}function _email(Class2,params){return new Class2({type:"stri\
ng",format:"email",check:"string_format",abort:!1,...normalizeParams(params)})}function _guid(Class2,params){return new Class2(
{type:"string",format:"guid",check:"string_format",abort:!1,...normalizeParams(params)})}function _uuid(Class2,params){return new Class2(
{type:"string",format:"uuid",check:"string_format",abort:!1,...normalizeParams(params)})}function _uuidv4(Class2,params){
return new Class2({type:"string",format:"uuid",check:"string_format",abort:!1,version:"v4",...normalizeParams(params)})}
function _uuidv6(Class2,params){return new Class2({type:"string",format:"uuid",check:"string_format",abort:!1,version:"v\
6",...normalizeParams(params)})}function _uuidv7(Class2,params){return new Class2({type:"string",format:"uuid",check:"st\
ring_format",abort:!1,version:"v7",...normalizeParams(params)})}function _url(Class2,params){return new Class2({type:"st\
ring",format:"url",check:"string_format",abort:!1,...normalizeParams(params)})}function _emoji2(Class2,params){return new Class2(
{type:"string",format:"emoji",check:"string_format",abort:!1,...normalizeParams(params)})}function _nanoid(Class2,params){
return new Class2({type:"string",format:"nanoid",check:"string_format",abort:!1,...normalizeParams(params)})}function _cuid(Class2,params){
return new Class2({type:"string",format:"cuid",check:"string_format",abort:!1,...normalizeParams(params)})}function _cuid2(Class2,params){
return new Class2({type:"string",format:"cuid2",check:"string_format",abort:!1,...normalizeParams(params)})}function _ulid(Class2,params){
return new Class2({type:"string",format:"ulid",check:"string_format",abort:!1,...normalizeParams(params)})}function _xid(Class2,params){
return new Class2({type:"string",format:"xid",check:"string_format",abort:!1,...normalizeParams(params)})}function _ksuid(Class2,params){
return new Class2({type:"string",format:"ksuid",check:"string_format",abort:!1,...normalizeParams(params)})}function _ipv4(Class2,params){
return new Class2({type:"string",format:"ipv4",check:"string_format",abort:!1,...normalizeParams(params)})}function _ipv6(Class2,params){
return new Class2({type:"string",format:"ipv6",check:"string_format",abort:!1,...normalizeParams(params)})}function _cidrv4(Class2,params){
return new Class2({type:"string",format:"cidrv4",check:"string_format",abort:!1,...normalizeParams(params)})}function _cidrv6(Class2,params){
return new Class2({type:"string",format:"cidrv6",check:"string_format",abort:!1,...normalizeParams(params)})}function _base64(Class2,params){
return new Class2({type:"string",format:"base64",check:"string_format",abort:!1,...normalizeParams(params)})}function _base64url(Class2,params){
return new Class2({type:"string",format:"base64url",check:"string_format",abort:!1,...normalizeParams(params)})}function _e164(Class2,params){
return new Class2({type:"string",format:"e164",check:"string_format",abort:!1,...normalizeParams(params)})}function _jwt(Class2,params){
return new Class2({type:"string",format:"jwt",check:"string_format",abort:!1,...normalizeParams(params)})}function _isoDateTime(Class2,params){
return new Class2({type:"string",format:"datetime",check:"string_format",offset:!1,local:!1,precision:null,...normalizeParams(
params)})}function _isoDate(Class2,params){return new Class2({type:"string",format:"date",check:"string_format",...normalizeParams(
params)})}function _isoTime(Class2,params){return new Class2({type:"string",format:"time",check:"string_format",precision:null,
...normalizeParams(params)})}function _isoDuration(Class2,params){return new Class2({type:"string",format:"duration",check:"\
string_format",...normalizeParams(params)})}function _int(Class2,params){return new Class2({type:"number",check:"number_\
format",abort:!1,format:"safeint",...normalizeParams(params)})}function _boolean(Class2,params){return new Class2({type:"\
boolean",...normalizeParams(params)})}function _unknown(Class2){return new Class2({type:"unknown"})}function _never(Class2,params){
return new Class2({type:"never",...normalizeParams(params)})}function _lt(value,params){return new $ZodCheckLessThan({check:"\
less_than",...normalizeParams(params),value,inclusive:!1})}function _lte(value,params){return new $ZodCheckLessThan({check:"\
less_than",...normalizeParams(params),value,inclusive:!0})}function _gt(value,params){return new $ZodCheckGreaterThan({check:"\
greater_than",...normalizeParams(params),value,inclusive:!1})}function _gte(value,params){return new $ZodCheckGreaterThan(
{check:"greater_than",...normalizeParams(params),value,inclusive:!0})}function _multipleOf(value,params){return new $ZodCheckMultipleOf(
{check:"multiple_of",...normalizeParams(params),value})}function _maxLength(maximum,params){return new $ZodCheckMaxLength(
{check:"max_length",...normalizeParams(params),maximum})}function _minLength(minimum,params){return new $ZodCheckMinLength(
{check:"min_length",...normalizeParams(params),minimum})}function _length(length,params){return new $ZodCheckLengthEquals(
{check:"length_equals",...normalizeParams(params),length})}function _regex(pattern,params){return new $ZodCheckRegex({check:"\
string_format",format:"regex",...normalizeParams(params),pattern})}function _lowercase(params){return new $ZodCheckLowerCase(
{check:"string_format",format:"lowercase",...normalizeParams(params)})}function _uppercase(params){return new $ZodCheckUpperCase(
{check:"string_format",format:"uppercase",...normalizeParams(params)})}function _includes(includes,params){return new $ZodCheckIncludes(
{check:"string_format",format:"includes",...normalizeParams(params),includes})}function _startsWith(prefix,params){return new $ZodCheckStartsWith(
{check:"string_format",format:"starts_with",...normalizeParams(params),prefix})}function _endsWith(suffix,params){return new $ZodCheckEndsWith(
{check:"string_format",format:"ends_with",...normalizeParams(params),suffix})}function _overwrite(tx){return new $ZodCheckOverwrite(
{check:"overwrite",tx})}function _normalize(form){return _overwrite(input=>input.normalize(form))}function _trim(){return _overwrite(
input=>input.trim())}function _toLowerCase(){return _overwrite(input=>input.toLowerCase())}function _toUpperCase(){return _overwrite(
input=>input.toUpperCase())}function _slugify(){return _overwrite(input=>slugify(input))}function _array(Class2,element,params){
return new Class2({type:"array",element,...normalizeParams(params)})}function _refine(Class2,fn,_params){return new Class2(
{type:"custom",check:"custom",fn,...normalizeParams(_params)})}function _superRefine(fn,params){let ch=_check(payload=>(payload.
addIssue=issue2=>{if(typeof issue2=="string")payload.issues.push(issue(issue2,payload.value,ch._zod.def));else{let _issue=issue2;
_issue.fatal&&(_issue.continue=!1),_issue.code??(_issue.code="custom"),"input"in _issue||(_issue.input=payload.value),_issue.
inst??(_issue.inst=ch),_issue.continue??(_issue.continue=!ch._zod.def.abort),payload.issues.push(issue(_issue))}},fn(payload.
value,payload)),params);return ch}function _check(fn,params){let ch=new $ZodCheck({check:"custom",...normalizeParams(params)});
return ch._zod.check=fn,ch}var init_api=__esm({"node_modules/zod/v4/core/api.js"(){init_define_SAVEPOINT();init_checks();
init_util()}});function assignProps(target,...sources){for(let source of sources)for(let key of Reflect.ownKeys(source))Object.prototype.
propertyIsEnumerable.call(source,key)&&assignProp(target,key,source[key]);return target}function initializeContext(params){
let target=params?.target??"draft-2020-12";return target==="draft-4"&&(target="draft-04"),target==="draft-7"&&(target="d\
raft-07"),{processors:params.processors??{},metadataRegistry:params?.metadata??globalRegistry,target,unrepresentable:params?.
unrepresentable??"throw",override:params?.override??(()=>{}),io:params?.io??"output",counter:0,seen:new Map,sharedDefsExtractedFor:void 0,
sharedEmitDoneFor:void 0,cycles:params?.cycles??"ref",reused:params?.reused??"inline",intersections:[],deferred:[],external:params?.
external??void 0}}function handleUnrepresentable(schema,ctx,json,params,message){let result=typeof ctx.unrepresentable==
"function"?ctx.unrepresentable({zodSchema:schema,path:params.path,message}):ctx.unrepresentable;if(result==="any")return!1;
if(result===void 0||result==="throw")throw new Error(message);return Object.assign(json,result),!0}function processSchema(schema,ctx,_params={
path:[],schemaPath:[]}){var _a3;let def=schema._zod.def,seen=ctx.seen.get(schema);if(seen)return seen.count++,_params.schemaPath.
includes(schema)&&(seen.cycle=_params.path),seen.schema;let result={schema:{},count:1,cycle:void 0,path:_params.path};ctx.
seen.set(schema,result),ctx.sharedDefsExtractedFor=void 0,ctx.sharedEmitDoneFor=void 0;let overrideSchema=schema._zod.toJSONSchema?.();
if(overrideSchema)result.schema=overrideSchema;else{let params={..._params,schemaPath:[..._params.schemaPath,schema],path:_params.
path};if(schema._zod.processJSONSchema)schema._zod.processJSONSchema(ctx,result.schema,params);else{let _json=result.schema,
processor=ctx.processors[def.type];if(!processor)throw new Error(`[toJSONSchema]: Non-representable type encountered: ${def.
type}`);processor(schema,ctx,_json,params)}let parent=schema._zod.parent;parent&&(result.ref||(result.ref=parent),processSchema(
parent,ctx,params),ctx.seen.get(parent).isParent=!0)}let meta2=ctx.metadataRegistry.get(schema);return meta2&&assignProps(
result.schema,meta2),ctx.io==="input"&&isTransforming(schema)&&(delete result.schema.examples,delete result.schema.default),
ctx.io==="input"&&"_prefault"in result.schema&&((_a3=result.schema).default??(_a3.default=result.schema._prefault)),delete result.
schema._prefault,ctx.seen.get(schema).schema}function encodeJSONPointerSegment(segment){return segment.replace(/~/g,"~0").
replace(/\//g,"~1")}function extractDefs(ctx,schema){let root=ctx.seen.get(schema);if(!root)throw new Error("Unprocessed\
 schema. This is a bug in Zod.");if(ctx.external&&ctx.sharedDefsExtractedFor===ctx.external)return;let idToSchema=new Map;
for(let entry3 of ctx.seen.entries()){let id=ctx.metadataRegistry.get(entry3[0])?.id;if(id){let existing=idToSchema.get(
id);if(existing&&existing!==entry3[0])throw new Error(`Duplicate schema id "${id}" detected during JSON Schema conversio\
n. Two different schemas cannot share the same id when converted together.`);idToSchema.set(id,entry3[0])}}let makeURI=entry3=>{
let defsSegment=ctx.target==="draft-2020-12"?"$defs":"definitions";if(ctx.external){let externalId=ctx.external.registry.
get(entry3[0])?.id,uriGenerator=ctx.external.uri??(id2=>id2);if(externalId)return{ref:uriGenerator(externalId)};let id=entry3[1].
defId??entry3[1].schema.id??`schema${ctx.counter++}`;return entry3[1].defId=id,{defId:id,ref:`${uriGenerator("__shared")}\
#/${defsSegment}/${encodeJSONPointerSegment(id)}`}}let uriPrefix="#",defUriPrefix=`${uriPrefix}/${defsSegment}/`;if(entry3[1]===
root&&!entry3[1].schema.id)return{ref:uriPrefix};let defId=entry3[1].schema.id??`__schema${ctx.counter++}`;return{defId,
ref:defUriPrefix+encodeJSONPointerSegment(defId)}},extractToDef=entry3=>{if(entry3[1].schema.$ref)return;let seen=entry3[1],
{ref,defId}=makeURI(entry3);seen.def={...seen.schema},defId&&(seen.defId=defId);let schema2=seen.schema;for(let key in schema2)
delete schema2[key];schema2.$ref=ref};if(ctx.cycles==="throw")for(let entry3 of ctx.seen.entries()){let seen=entry3[1];if(seen.
cycle)throw new Error(`Cycle detected: #/${seen.cycle?.join("/")}/<root>

Set the \`cycles\` parameter to \`"ref"\` to resolve cyclical schemas with defs.`)}for(let entry3 of ctx.seen.entries()){
let seen=entry3[1];if(schema===entry3[0]){extractToDef(entry3);continue}if(ctx.external){let ext=ctx.external.registry.get(
entry3[0])?.id;if(schema!==entry3[0]&&ext){extractToDef(entry3);continue}}if(ctx.metadataRegistry.get(entry3[0])?.id){extractToDef(
entry3);continue}if(seen.cycle){extractToDef(entry3);continue}seen.count>1&&ctx.reused==="ref"&&extractToDef(entry3)}ctx.
external&&(ctx.sharedDefsExtractedFor=ctx.external)}function compactTypeUnion(schema){let options=schema.anyOf;if(!Array.
isArray(options)||options.length===0||schema.type!==void 0)return;let types=[];for(let option of options){if(!option||typeof option!=
"object")return;compactTypeUnion(option);let keys=Object.keys(option);if(keys.length!==1||keys[0]!=="type")return;let type=option.
type;for(let member of Array.isArray(type)?type:[type]){if(typeof member!="string")return;types.includes(member)||types.
push(member)}}delete schema.anyOf,schema.type=types.length===1?types[0]:types}function undeclaredConstraint(member){let extra=member.
additionalProperties;return extra===void 0||extra===!1||typeof extra!="object"||extra===null?null:Object.keys(extra).length?
extra:null}function foldObjects(members3){let objects=[];for(let member of members3){if(typeof member!="object"||member.
type!=="object")return null;for(let key in member)if(!FOLDABLE_KEYS.has(key))return null;objects.push(member)}let properties={},
required2=new Set;for(let object of objects){for(let key in object.properties){if(Object.prototype.hasOwnProperty.call(properties,
key))continue;let parts=[];for(let other of objects){let part=other.properties?.[key]??undeclaredConstraint(other);part!=
null&&(parts.some(seen=>JSON.stringify(seen)===JSON.stringify(part))||parts.push(part))}let merged=parts.length===1?parts[0]:
foldObjects(parts)??{allOf:parts};assignProp(properties,key,merged)}for(let key of object.required??[])required2.add(key)}
let folded={type:"object",properties};if(required2.size&&(folded.required=[...required2]),objects.every(object=>object.additionalProperties===
!1))folded.additionalProperties=!1;else{let constraints=[];for(let object of objects){let constraint=undeclaredConstraint(
object);constraint&&!constraints.some(seen=>JSON.stringify(seen)===JSON.stringify(constraint))&&constraints.push(constraint)}
constraints.length===1?folded.additionalProperties=constraints[0]:constraints.length>1&&(folded.additionalProperties={allOf:constraints})}
return folded}function foldIntersection(json){let allOf2=json.allOf;if(!Array.isArray(allOf2)||allOf2.length<2)return;for(let key of FOLDABLE_KEYS)
if(key in json)return;let unions=allOf2.filter(m=>UNION_KEYS.some(k=>Array.isArray(m[k]))),folded=null;if(!unions.length)
folded=foldObjects(allOf2);else{let union2=unions[0],keyword=UNION_KEYS.find(k=>Array.isArray(union2[k]));if(Object.keys(
union2).length!==1)return;let rest=allOf2.filter(m=>m!==union2),branches=union2[keyword].map(branch=>foldObjects([...rest,
branch]));if(branches.some(b=>!b))return;folded={[keyword]:branches}}folded&&(delete json.allOf,assignProps(json,folded))}
function finalize(ctx,schema){let root=ctx.seen.get(schema);if(!root)throw new Error("Unprocessed schema. This is a bug \
in Zod.");let flattenRef=zodSchema=>{let seen=ctx.seen.get(zodSchema);if(seen.ref===null)return;let schema2=seen.def??seen.
schema,_cached={...schema2},ref=seen.ref;if(seen.ref=null,ref){flattenRef(ref);let refSeen=ctx.seen.get(ref),refSchema=refSeen.
schema;if(refSchema.$ref&&(ctx.target==="draft-07"||ctx.target==="draft-04"||ctx.target==="openapi-3.0")?(schema2.allOf=
schema2.allOf??[],schema2.allOf.push(refSchema)):assignProps(schema2,refSchema),assignProps(schema2,_cached),zodSchema._zod.
parent===ref)for(let key in schema2)key==="$ref"||key==="allOf"||key in _cached||delete schema2[key];if(refSchema.$ref&&
refSeen.def)for(let key in schema2)key==="$ref"||key==="allOf"||key in refSeen.def&&JSON.stringify(schema2[key])===JSON.
stringify(refSeen.def[key])&&delete schema2[key]}let parent=zodSchema._zod.parent;if(parent&&parent!==ref){flattenRef(parent);
let parentSeen=ctx.seen.get(parent);if(parentSeen?.schema.$ref&&(schema2.$ref=parentSeen.schema.$ref,parentSeen.def))for(let key in schema2)
key==="$ref"||key==="allOf"||key in parentSeen.def&&JSON.stringify(schema2[key])===JSON.stringify(parentSeen.def[key])&&
delete schema2[key]}ctx.override({zodSchema,jsonSchema:schema2,path:seen.path??[]})};if(!ctx.external||ctx.sharedEmitDoneFor!==
ctx.external){for(let entry3 of[...ctx.seen.entries()].reverse())flattenRef(entry3[0]);if(ctx.target!=="openapi-3.0")for(let entry3 of ctx.
seen.entries())compactTypeUnion(entry3[1].def??entry3[1].schema);for(let rewrite of ctx.deferred)rewrite();if(ctx.intersections.
length){let carriers=new Map;for(let seen of ctx.seen.values())for(let json of[seen.schema,seen.def]){let allOf2=json?.allOf;
if(!Array.isArray(allOf2))continue;let existing=carriers.get(allOf2);existing?existing.push(json):carriers.set(allOf2,[json])}
for(let allOf2 of ctx.intersections)for(let json of carriers.get(allOf2)??[])foldIntersection(json)}}let result={};if(ctx.
target==="draft-2020-12"?result.$schema="https://json-schema.org/draft/2020-12/schema":ctx.target==="draft-07"?result.$schema=
"http://json-schema.org/draft-07/schema#":ctx.target==="draft-04"?result.$schema="http://json-schema.org/draft-04/schema\
#":ctx.target,ctx.external?.uri){let id=ctx.external.registry.get(schema)?.id;if(!id)throw new Error("Schema is missing \
an `id` property");result.$id=ctx.external.uri(id)}assignProps(result,root.defId?root.schema:root.def??root.schema);let rootMetaId=ctx.
metadataRegistry.get(schema)?.id;rootMetaId!==void 0&&result.id===rootMetaId&&delete result.id;let defs=ctx.external?.defs??
{};if(!ctx.external||ctx.sharedEmitDoneFor!==ctx.external)for(let entry3 of ctx.seen.entries()){let seen=entry3[1];seen.
def&&seen.defId&&(seen.def.id===seen.defId&&delete seen.def.id,assignProp(defs,seen.defId,seen.def))}ctx.external&&(ctx.
sharedEmitDoneFor=ctx.external),ctx.external||Object.keys(defs).length>0&&(ctx.target==="draft-2020-12"?result.$defs=defs:
result.definitions=defs);try{let finalized=JSON.parse(JSON.stringify(result));return Object.defineProperty(finalized,"~s\
tandard",{value:{...schema["~standard"],jsonSchema:{input:createStandardJSONSchemaMethod(schema,"input",ctx.processors),
output:createStandardJSONSchemaMethod(schema,"output",ctx.processors)}},enumerable:!1,writable:!1}),finalized}catch{throw new Error(
"Error converting schema to JSON.")}}function isTransforming(_schema,_ctx){let ctx=_ctx??{seen:new Set};if(ctx.seen.has(
_schema))return!1;ctx.seen.add(_schema);let def=_schema._zod.def;if(def.type==="transform")return!0;if(def.type==="array")
return isTransforming(def.element,ctx);if(def.type==="set")return isTransforming(def.valueType,ctx);if(def.type==="lazy")
return isTransforming(def.getter(),ctx);if(def.type==="promise"||def.type==="optional"||def.type==="nonoptional"||def.type===
"nullable"||def.type==="readonly"||def.type==="default"||def.type==="prefault"||def.type==="catch")return isTransforming(
def.innerType,ctx);if(def.type==="intersection")return isTransforming(def.left,ctx)||isTransforming(def.right,ctx);if(def.
type==="record"||def.type==="map")return isTransforming(def.keyType,ctx)||isTransforming(def.valueType,ctx);if(def.type===
"pipe")return _schema._zod.traits.has("$ZodCodec")?!0:isTransforming(def.in,ctx)||isTransforming(def.out,ctx);if(def.type===
"object"){for(let key in def.shape)if(isTransforming(def.shape[key],ctx))return!0;return!1}if(def.type==="union"){for(let option of def.
options)if(isTransforming(option,ctx))return!0;return!1}if(def.type==="tuple"){for(let item of def.items)if(isTransforming(
item,ctx))return!0;return!!(def.rest&&isTransforming(def.rest,ctx))}return!1}var FOLDABLE_KEYS,UNION_KEYS,createToJSONSchemaMethod,
createStandardJSONSchemaMethod,init_to_json_schema=__esm({"node_modules/zod/v4/core/to-json-schema.js"(){init_define_SAVEPOINT();
init_registries();init_util();FOLDABLE_KEYS=new Set(["type","properties","required","additionalProperties"]),UNION_KEYS=
["oneOf","anyOf"];createToJSONSchemaMethod=(schema,processors={})=>params=>{let ctx=initializeContext({...params,processors});
return processSchema(schema,ctx),extractDefs(ctx,schema),finalize(ctx,schema)},createStandardJSONSchemaMethod=(schema,io,processors={})=>params=>{
let{libraryOptions,target}=params??{},ctx=initializeContext({...libraryOptions??{},target,io,processors});return processSchema(
schema,ctx),extractDefs(ctx,schema),finalize(ctx,schema)}}});function aggregateChecks(schema){let agg={},def=schema._zod.def,list=schema._zod.traits.has("$ZodCheck")?[schema,...def.
checks??[]]:def.checks??[];for(let ch of list)contributors[ch._zod.def.check]?.(agg,ch._zod.def);let bag=schema._zod.bag;
bag.minimum!==void 0&&narrowMin(agg,"minimum",bag.minimum),bag.exclusiveMinimum!==void 0&&narrowMin(agg,"exclusiveMinimu\
m",bag.exclusiveMinimum),bag.maximum!==void 0&&narrowMax(agg,"maximum",bag.maximum),bag.exclusiveMaximum!==void 0&&narrowMax(
agg,"exclusiveMaximum",bag.exclusiveMaximum),bag.multipleOf!==void 0&&addDivisor(agg,bag.multipleOf),bag.format!==void 0&&
(agg.format??(agg.format=bag.format),bag.format.includes("int")&&(agg.isInt=!0)),bag.mime&&intersectMime(agg,bag.mime);for(let pattern of bag.
patterns??[])addPattern(agg,pattern);return agg}function inputOptin(schema){let def=schema._zod.def;return def.type==="p\
ipe"&&def.in._zod.traits.has("$ZodTransform")?inputOptin(def.out):def.type==="catch"?inputOptin(def.innerType):schema._zod.
optin}function serializeDefaultValue(value,schema,ctx,json,params){let unrepresentable=!1,serialized=JSON.stringify(value,
(_,val)=>typeof val!="bigint"?val:(unrepresentable=!0,null));return unrepresentable?(handleUnrepresentable(schema,ctx,json,
params,"BigInt defaults cannot be represented in JSON Schema"),UNREPRESENTABLE_DEFAULT):JSON.parse(serialized)}var narrowMin,
narrowMax,narrowBoth,addDivisor,addPattern,intersectMime,setFormat,minContributor,maxContributor,formatContributor,contributors,
formatMap,exactPatterns,exactPattern,stringProcessor,numberProcessor,booleanProcessor,neverProcessor,unknownProcessor,enumProcessor,
customProcessor,transformProcessor,arrayProcessor,objectProcessor,unionProcessor,intersectionProcessor,nullableProcessor,
nonoptionalProcessor,UNREPRESENTABLE_DEFAULT,defaultProcessor,prefaultProcessor,catchProcessor,pipeProcessor,readonlyProcessor,
optionalProcessor,init_json_schema_processors=__esm({"node_modules/zod/v4/core/json-schema-processors.js"(){init_define_SAVEPOINT();
init_regexes();init_schemas();init_to_json_schema();init_util();narrowMin=(agg,key,value)=>{(agg[key]===void 0||value>agg[key])&&
(agg[key]=value)},narrowMax=(agg,key,value)=>{(agg[key]===void 0||value<agg[key])&&(agg[key]=value)},narrowBoth=(agg,value)=>{
narrowMin(agg,"minimum",value),narrowMax(agg,"maximum",value)},addDivisor=(agg,value)=>{agg.multipleOf??(agg.multipleOf=
[]),agg.multipleOf.includes(value)||agg.multipleOf.push(value)},addPattern=(agg,pattern)=>{agg.patterns??(agg.patterns=new Set),
agg.patterns.add(pattern)},intersectMime=(agg,mime)=>{agg.mime=agg.mime?agg.mime.filter(m=>mime.includes(m)):[...mime]},
setFormat=(agg,format)=>{agg.format=format,format.includes("int")&&(agg.isInt=!0)},minContributor=(agg,def)=>narrowMin(agg,
"minimum",def.minimum),maxContributor=(agg,def)=>narrowMax(agg,"maximum",def.maximum),formatContributor=ranges=>(agg,def)=>{
setFormat(agg,def.format);let[minimum,maximum]=ranges[def.format];narrowMin(agg,"minimum",minimum),narrowMax(agg,"maximu\
m",maximum)},contributors={greater_than:(agg,def)=>narrowMin(agg,def.inclusive?"minimum":"exclusiveMinimum",def.value),less_than:(agg,def)=>narrowMax(
agg,def.inclusive?"maximum":"exclusiveMaximum",def.value),multiple_of:(agg,def)=>addDivisor(agg,def.value),number_format:formatContributor(
NUMBER_FORMAT_RANGES),bigint_format:formatContributor(BIGINT_FORMAT_RANGES),min_length:minContributor,max_length:maxContributor,
length_equals:(agg,def)=>narrowBoth(agg,def.length),min_size:minContributor,max_size:maxContributor,size_equals:(agg,def)=>narrowBoth(
agg,def.size),string_format:(agg,def)=>{setFormat(agg,def.format),def.pattern&&addPattern(agg,def.pattern),(def.format===
"base64"||def.format==="base64url")&&(agg.contentEncoding=def.format),(def.local||def.precision===-1)&&(agg.laxFormat=!0)},
mime_type:(agg,def)=>intersectMime(agg,def.mime)};formatMap={guid:"uuid",url:"uri",datetime:"date-time",json_string:"jso\
n-string",regex:""},exactPatterns=new Map([[base64Charset,base64],[base64urlCharset,base64url]]),exactPattern=p=>exactPatterns.
get(p)??p,stringProcessor=(schema,ctx,_json,_params)=>{let json=_json;json.type="string";let{minimum,maximum,format,patterns,
contentEncoding,laxFormat}=aggregateChecks(schema);if(typeof minimum=="number"&&(json.minLength=minimum),typeof maximum==
"number"&&(json.maxLength=maximum),format&&(json.format=formatMap[format]??format,json.format===""&&delete json.format,(format===
"time"||laxFormat)&&delete json.format),contentEncoding&&(json.contentEncoding=contentEncoding),patterns&&patterns.size>
0){let patternList=[...patterns].map(exactPattern);patternList.length===1?json.pattern=patternList[0].source:patternList.
length>1&&(json.allOf=[...patternList.map(regex=>({...ctx.target==="draft-07"||ctx.target==="draft-04"||ctx.target==="op\
enapi-3.0"?{type:"string"}:{},pattern:regex.source}))])}},numberProcessor=(schema,ctx,_json,params)=>{let json=_json,{minimum,
maximum,multipleOf,exclusiveMaximum,exclusiveMinimum,isInt}=aggregateChecks(schema);json.type=isInt?"integer":"number";let exMin=typeof exclusiveMinimum==
"number"&&exclusiveMinimum>=(minimum??Number.NEGATIVE_INFINITY),exMax=typeof exclusiveMaximum=="number"&&exclusiveMaximum<=
(maximum??Number.POSITIVE_INFINITY),legacy=ctx.target==="draft-04"||ctx.target==="openapi-3.0";if(exMin?legacy?(json.minimum=
exclusiveMinimum,json.exclusiveMinimum=!0):json.exclusiveMinimum=exclusiveMinimum:typeof minimum=="number"&&(json.minimum=
minimum),exMax?legacy?(json.maximum=exclusiveMaximum,json.exclusiveMaximum=!0):json.exclusiveMaximum=exclusiveMaximum:typeof maximum==
"number"&&(json.maximum=maximum),multipleOf){let divisors=new Set;for(let divisor of multipleOf)Number.isFinite(divisor)&&
divisor!==0?divisors.add(Math.abs(divisor)):handleUnrepresentable(schema,ctx,json,params,`A multipleOf divisor of ${divisor}\
 cannot be represented in JSON Schema`);let[first,...rest]=divisors;first!==void 0&&(json.multipleOf=first),rest.length&&
(json.allOf=[...json.allOf??[],...rest.map(m=>({multipleOf:m}))])}},booleanProcessor=(_schema,_ctx,json,_params)=>{json.
type="boolean"},neverProcessor=(_schema,_ctx,json,_params)=>{json.not={}},unknownProcessor=(_schema,_ctx,_json,_params)=>{},
enumProcessor=(schema,_ctx,json,_params)=>{let def=schema._zod.def,values=getEnumValues(def.entries);if(values.length===
0){json.not={};return}values.every(v=>typeof v=="number")&&(json.type="number"),values.every(v=>typeof v=="string")&&(json.
type="string"),json.enum=values},customProcessor=(schema,ctx,json,params)=>{handleUnrepresentable(schema,ctx,json,params,
"Custom types cannot be represented in JSON Schema")},transformProcessor=(schema,ctx,json,params)=>{handleUnrepresentable(
schema,ctx,json,params,"Transforms cannot be represented in JSON Schema")},arrayProcessor=(schema,ctx,_json,params)=>{let json=_json,
def=schema._zod.def,{minimum,maximum}=aggregateChecks(schema);typeof minimum=="number"&&(json.minItems=minimum),typeof maximum==
"number"&&(json.maxItems=maximum),json.type="array",json.items=processSchema(def.element,ctx,{...params,path:[...params.
path,"items"]})};objectProcessor=(schema,ctx,_json,params)=>{let json=_json,def=schema._zod.def,shape=def.shape;if(Object.
getOwnPropertySymbols(shape).length&&handleUnrepresentable(schema,ctx,json,params,"Symbol keys cannot be represented in \
JSON Schema"))return;json.type="object",json.properties={};for(let key in shape)assignProp(json.properties,key,processSchema(
shape[key],ctx,{...params,path:[...params.path,"properties",key]}));let requiredKeys=[];for(let key of Object.keys(shape)){
let field=def.shape[key];(ctx.io==="input"?inputOptin(field)===void 0:field._zod.optout===void 0)&&requiredKeys.push(key)}
requiredKeys.length>0&&(json.required=requiredKeys),def.catchall?._zod.def.type==="never"?json.additionalProperties=!1:def.
catchall?def.catchall&&(json.additionalProperties=processSchema(def.catchall,ctx,{...params,path:[...params.path,"additi\
onalProperties"]})):ctx.io==="output"&&(json.additionalProperties=!1)},unionProcessor=(schema,ctx,json,params)=>{let def=schema.
_zod.def,isExclusive=def.inclusive===!1,options=def.options.map((x,i)=>processSchema(x,ctx,{...params,path:[...params.path,
isExclusive?"oneOf":"anyOf",i]}));isExclusive?json.oneOf=options:json.anyOf=options},intersectionProcessor=(schema,ctx,json,params)=>{
let def=schema._zod.def,a=processSchema(def.left,ctx,{...params,path:[...params.path,"allOf",0]}),b=processSchema(def.right,
ctx,{...params,path:[...params.path,"allOf",1]}),isSimpleIntersection=val=>"allOf"in val&&Object.keys(val).length===1,allOf2=[
...isSimpleIntersection(a)?a.allOf:[a],...isSimpleIntersection(b)?b.allOf:[b]];json.allOf=allOf2,ctx.intersections.push(
allOf2)},nullableProcessor=(schema,ctx,json,params)=>{let def=schema._zod.def,inner=processSchema(def.innerType,ctx,params),
seen=ctx.seen.get(schema);ctx.target==="openapi-3.0"?(seen.ref=def.innerType,json.nullable=!0):json.anyOf=[inner,{type:"\
null"}]},nonoptionalProcessor=(schema,ctx,_json,params)=>{let def=schema._zod.def;processSchema(def.innerType,ctx,params);
let seen=ctx.seen.get(schema);seen.ref=def.innerType},UNREPRESENTABLE_DEFAULT=Symbol();defaultProcessor=(schema,ctx,json,params)=>{
let def=schema._zod.def;processSchema(def.innerType,ctx,params);let seen=ctx.seen.get(schema);seen.ref=def.innerType;let value=serializeDefaultValue(
def.defaultValue,schema,ctx,json,params);value!==UNREPRESENTABLE_DEFAULT&&(json.default=value)},prefaultProcessor=(schema,ctx,json,params)=>{
let def=schema._zod.def;processSchema(def.innerType,ctx,params);let seen=ctx.seen.get(schema);if(seen.ref=def.innerType,
ctx.io!=="input")return;let value=serializeDefaultValue(def.defaultValue,schema,ctx,json,params);value!==UNREPRESENTABLE_DEFAULT&&
(json._prefault=value)},catchProcessor=(schema,ctx,json,params)=>{let def=schema._zod.def;processSchema(def.innerType,ctx,
params);let seen=ctx.seen.get(schema);seen.ref=def.innerType;let catchValue;try{catchValue=def.catchValue(void 0)}catch{
handleUnrepresentable(schema,ctx,json,params,"Dynamic catch values are not supported in JSON Schema");return}json.default=
catchValue},pipeProcessor=(schema,ctx,_json,params)=>{let def=schema._zod.def,inIsTransform=def.in._zod.traits.has("$Zod\
Transform"),innerType=ctx.io==="input"?inIsTransform?def.out:def.in:def.out;processSchema(innerType,ctx,params);let seen=ctx.
seen.get(schema);seen.ref=innerType},readonlyProcessor=(schema,ctx,json,params)=>{let def=schema._zod.def;processSchema(
def.innerType,ctx,params);let seen=ctx.seen.get(schema);seen.ref=def.innerType,json.readOnly=!0},optionalProcessor=(schema,ctx,_json,params)=>{
let def=schema._zod.def;processSchema(def.innerType,ctx,params);let seen=ctx.seen.get(schema);seen.ref=def.innerType}}});var init_json_schema=__esm({"node_modules/zod/v4/core/json-schema.js"(){init_define_SAVEPOINT()}});var init_core2=__esm({"node_modules/zod/v4/core/index.js"(){init_define_SAVEPOINT();init_core();init_parse();init_errors2();
init_schemas();init_memoizer();init_checks();init_versions();init_util();init_regexes();init_locales();init_registries();
init_doc();init_compile();init_api();init_to_json_schema();init_json_schema()}});var init_checks2=__esm({"node_modules/zod/v4/classic/checks.js"(){init_define_SAVEPOINT();init_core2()}});function _lazyMethod(proto,key,make){Object.defineProperty(proto,key,{configurable:!0,enumerable:!1,get(){let value=make(
this);return Object.defineProperty(this,key,{value,configurable:!0,writable:!0}),value},set(value){Object.defineProperty(
this,key,{value,configurable:!0,writable:!0})}})}var _installedErrorProtos,initializer2,ZodRealError,init_errors3=__esm(
{"node_modules/zod/v4/classic/errors.js"(){init_define_SAVEPOINT();init_core2();init_core2();init_util();_installedErrorProtos=
new WeakSet([Object.prototype,Error.prototype]);initializer2=(inst,issues)=>{$ZodError.init(inst,issues),inst.name="ZodE\
rror";let proto=Object.getPrototypeOf(inst);_installedErrorProtos.has(proto)||(_installedErrorProtos.add(proto),_lazyMethod(
proto,"format",self2=>mapper=>formatError(self2,mapper)),_lazyMethod(proto,"flatten",self2=>mapper=>flattenError(self2,mapper)),
_lazyMethod(proto,"addIssue",self2=>issue2=>{self2.issues.push(issue2),self2.message=JSON.stringify(self2.issues,jsonStringifyReplacer,
2)}),_lazyMethod(proto,"addIssues",self2=>issues2=>{self2.issues.push(...issues2),self2.message=JSON.stringify(self2.issues,
jsonStringifyReplacer,2)}),Object.defineProperty(proto,"isEmpty",{configurable:!0,enumerable:!1,get(){return this.issues.
length===0}}))},ZodRealError=$constructor("ZodError",initializer2,void 0,{Parent:Error})}});var parse,parseAsync,safeParse,safeParseAsync,encode,decode,encodeAsync,decodeAsync,safeEncode,safeDecode,safeEncodeAsync,
safeDecodeAsync,init_parse2=__esm({"node_modules/zod/v4/classic/parse.js"(){init_define_SAVEPOINT();init_core2();init_errors3();
init_core2();parse=_parse(ZodRealError),parseAsync=_parseAsync(ZodRealError),safeParse=_safeParse(ZodRealError),safeParseAsync=
_safeParseAsync(ZodRealError),encode=_encode(ZodRealError),decode=_decode(ZodRealError),encodeAsync=_encodeAsync(ZodRealError),
decodeAsync=_decodeAsync(ZodRealError),safeEncode=_safeEncode(ZodRealError),safeDecode=_safeDecode(ZodRealError),safeEncodeAsync=
_safeEncodeAsync(ZodRealError),safeDecodeAsync=_safeDecodeAsync(ZodRealError)}});function _ensureDefaultLocale(){globalConfig.localeError||config(en_default())}function _ensureDefaultMemoizer(){globalConfig.
memoizer||config({memoizer:memoizer()})}function string2(params){return _string(ZodString,params)}function int(params){return _int(
ZodNumberFormat,params)}function boolean2(params){return _boolean(ZodBoolean,params)}function unknown(){return _unknown(
ZodUnknown)}function never(params){return _never(ZodNever,params)}function array(element,params){return _array(ZodArray,
element,params)}function strictObject(shape,params){return new ZodObject({type:"object",shape,catchall:never(),...util_exports.
normalizeParams(params)})}function union(options,params){return new ZodUnion({type:"union",options,...util_exports.normalizeParams(
params)})}function intersection(left,right){return new ZodIntersection({type:"intersection",left,right})}function _enum(values,params){
let entries=Array.isArray(values)?Object.fromEntries(values.map(v=>[v,v])):values;return new ZodEnum({type:"enum",entries,
...util_exports.normalizeParams(params)})}function transform(fn){return new ZodTransform({type:"transform",transform:fn})}
function optional(innerType){return new ZodOptional({type:"optional",innerType})}function exactOptional(innerType){return new ZodExactOptional(
{type:"optional",innerType})}function nullable(innerType){return new ZodNullable({type:"nullable",innerType})}function _default(innerType,defaultValue){
return new ZodDefault({type:"default",innerType,get defaultValue(){return typeof defaultValue=="function"?defaultValue():
util_exports.shallowClone(defaultValue)}})}function prefault(innerType,defaultValue){return new ZodPrefault({type:"prefa\
ult",innerType,get defaultValue(){return typeof defaultValue=="function"?defaultValue():util_exports.shallowClone(defaultValue)}})}
function nonoptional(innerType,params){return new ZodNonOptional({type:"nonoptional",innerType,...util_exports.normalizeParams(
params)})}function _catch(innerType,catchValue){return new ZodCatch({type:"catch",innerType,catchValue:typeof catchValue==
"function"?catchValue:util_exports.constantCatch(catchValue)})}function pipe(in_,out){return new ZodPipe({type:"pipe",in:in_,
out})}function readonly(innerType){return new ZodReadonly({type:"readonly",innerType})}function refine(fn,_params={}){return _refine(
ZodCustom,fn,_params)}function superRefine(fn,params){return _superRefine(fn,params)}var ZodType,_ZodString,ZodString,ZodStringFormat,
ZodISODateTime,ZodISODate,ZodISOTime,ZodISODuration,ZodEmail,ZodGUID,ZodUUID,ZodURL,ZodEmoji,ZodNanoID,ZodCUID,ZodCUID2,
ZodULID,ZodXID,ZodKSUID,ZodIPv4,ZodIPv6,ZodCIDRv4,ZodCIDRv6,ZodBase64,ZodBase64URL,ZodE164,ZodJWT,ZodNumber,ZodNumberFormat,
ZodBoolean,ZodUnknown,ZodNever,ZodArray,ZodObject,ZodUnion,ZodIntersection,ZodEnum,ZodTransform,ZodOptional,ZodExactOptional,
ZodNullable,ZodDefault,ZodPrefault,ZodNonOptional,ZodCatch,ZodPipe,ZodReadonly,ZodCustom,init_schemas2=__esm({"node_modu\
les/zod/v4/classic/schemas.js"(){init_define_SAVEPOINT();init_core2();init_core2();init_json_schema_processors();init_to_json_schema();
init_en();init_checks2();init_parse2();ZodType=$constructor("ZodType",(inst,def)=>(_ensureDefaultLocale(),$ZodType.init(
inst,def),inst.def=def,inst.type=def.type,inst),{check(...chks){let def=this.def;return this.clone(util_exports.mergeDefs(
def,{checks:[...def.checks??[],...chks.map(ch=>typeof ch=="function"?{_zod:{check:ch,def:{check:"custom"},onattach:[]}}:
ch)]}),{parent:!0})},with(...chks){return this.check(...chks)},clone(def,params){return clone(this,def,params)},brand(){
return this},register(reg,meta2){return reg.add(this,meta2),this},refine(check,params){return this.check(refine(check,params))},
superRefine(refinement,params){return this.check(superRefine(refinement,params))},overwrite(fn){return this.check(_overwrite(
fn))},optional(){return optional(this)},exactOptional(){return exactOptional(this)},nullable(){return nullable(this)},nullish(){
return optional(nullable(this))},nonoptional(params){return nonoptional(this,params)},array(){return array(this)},or(arg){
return union([this,arg])},and(arg){return intersection(this,arg)},transform(tx){return pipe(this,transform(tx))},default(d){
return _default(this,d)},prefault(d){return prefault(this,d)},catch(params){return _catch(this,params)},pipe(target){return pipe(
this,target)},readonly(){return readonly(this)},describe(description){let cl=this.clone();return globalRegistry.add(cl,{
description}),cl},meta(...args){if(args.length===0)return globalRegistry.get(this);let cl=this.clone();return globalRegistry.
add(cl,args[0]),cl},isOptional(){return this.safeParse(void 0).success},isNullable(){return this.safeParse(null).success},
apply(fn,...args){return args.length===0?fn(this):fn(this,...args)},get"~standard"(){return util_exports.hide(this,"~sta\
ndard",{...standardProps(this),jsonSchema:{input:createStandardJSONSchemaMethod(this,"input"),output:createStandardJSONSchemaMethod(
this,"output")}})},set"~standard"(value){util_exports.own(this,"~standard",value)},parse:function _parse2(data,params){return parse(
this,data,params,{callee:_parse2})},parseAsync:async function _parseAsync2(data,params){return await parseAsync(this,data,
params,{callee:_parseAsync2})},safeParse(data,params){return safeParse(this,data,params)},async safeParseAsync(data,params){
return safeParseAsync(this,data,params)},get spa(){return this?.safeParseAsync},set spa(value){util_exports.own(this,"sp\
a",value)},validate(data,params){return validate(this,data,params)},validateAsync(data,params){return validateAsync(this,
data,params)},encode:function _encode2(data,params){return encode(this,data,params,{callee:_encode2})},decode:function _decode2(data,params){
return decode(this,data,params,{callee:_decode2})},encodeAsync:async function _encodeAsync2(data,params){return await encodeAsync(
this,data,params,{callee:_encodeAsync2})},decodeAsync:async function _decodeAsync2(data,params){return await decodeAsync(
this,data,params,{callee:_decodeAsync2})},safeEncode(data,params){return safeEncode(this,data,params)},safeDecode(data,params){
return safeDecode(this,data,params)},async safeEncodeAsync(data,params){return safeEncodeAsync(this,data,params)},async safeDecodeAsync(data,params){
return safeDecodeAsync(this,data,params)},toJSONSchema(params){return createToJSONSchemaMethod(this,{})(params)},get description(){
return globalRegistry.get(this)?.description},get _def(){return this._zod.def}}),_ZodString=$constructor("_ZodString",(inst,def)=>{
$ZodString.init(inst,def),ZodType.init(inst,def),inst._zod.processJSONSchema=(ctx,json,params)=>stringProcessor(inst,ctx,
json,params)},util_exports.derived({format:inst=>aggregateChecks(inst).format??null,minLength:inst=>aggregateChecks(inst).
minimum??null,maxLength:inst=>aggregateChecks(inst).maximum??null},{regex(...args){return this.check(_regex(...args))},includes(...args){
return this.check(_includes(...args))},startsWith(...args){return this.check(_startsWith(...args))},endsWith(...args){return this.
check(_endsWith(...args))},min(...args){return this.check(_minLength(...args))},max(...args){return this.check(_maxLength(
...args))},length(...args){return this.check(_length(...args))},nonempty(...args){return this.check(_minLength(1,...args))},
lowercase(params){return this.check(_lowercase(params))},uppercase(params){return this.check(_uppercase(params))},trim(){
return this.check(_trim())},normalize(...args){return this.check(_normalize(...args))},toLowerCase(){return this.check(_toLowerCase())},
toUpperCase(){return this.check(_toUpperCase())},slugify(){return this.check(_slugify())}})),ZodString=$constructor("Zod\
String",(inst,def)=>{$ZodString.init(inst,def),_ZodString.init(inst,def)},{email(params){return this.check(_email(ZodEmail,
params))},url(params){return this.check(_url(ZodURL,params))},jwt(params){return this.check(_jwt(ZodJWT,params))},emoji(params){
return this.check(_emoji2(ZodEmoji,params))},guid(params){return this.check(_guid(ZodGUID,params))},uuid(params){return this.
check(_uuid(ZodUUID,params))},uuidv4(params){return this.check(_uuidv4(ZodUUID,params))},uuidv6(params){return this.check(
_uuidv6(ZodUUID,params))},uuidv7(params){return this.check(_uuidv7(ZodUUID,params))},nanoid(params){return this.check(_nanoid(
ZodNanoID,params))},cuid(params){return this.check(_cuid(ZodCUID,params))},cuid2(params){return this.check(_cuid2(ZodCUID2,
params))},ulid(params){return this.check(_ulid(ZodULID,params))},base64(params){return this.check(_base64(ZodBase64,params))},
base64url(params){return this.check(_base64url(ZodBase64URL,params))},xid(params){return this.check(_xid(ZodXID,params))},
ksuid(params){return this.check(_ksuid(ZodKSUID,params))},ipv4(params){return this.check(_ipv4(ZodIPv4,params))},ipv6(params){
return this.check(_ipv6(ZodIPv6,params))},cidrv4(params){return this.check(_cidrv4(ZodCIDRv4,params))},cidrv6(params){return this.
check(_cidrv6(ZodCIDRv6,params))},e164(params){return this.check(_e164(ZodE164,params))},datetime(params){return this.check(
_isoDateTime(ZodISODateTime,params))},date(params){return this.check(_isoDate(ZodISODate,params))},time(params){return this.
check(_isoTime(ZodISOTime,params))},duration(params){return this.check(_isoDuration(ZodISODuration,params))}});ZodStringFormat=
$constructor("ZodStringFormat",(inst,def)=>{$ZodStringFormat.init(inst,def),_ZodString.init(inst,def)}),ZodISODateTime=$constructor(
"ZodISODateTime",(inst,def)=>{$ZodISODateTime.init(inst,def),ZodStringFormat.init(inst,def)}),ZodISODate=$constructor("Z\
odISODate",(inst,def)=>{$ZodISODate.init(inst,def),ZodStringFormat.init(inst,def)}),ZodISOTime=$constructor("ZodISOTime",
(inst,def)=>{$ZodISOTime.init(inst,def),ZodStringFormat.init(inst,def)}),ZodISODuration=$constructor("ZodISODuration",(inst,def)=>{
$ZodISODuration.init(inst,def),ZodStringFormat.init(inst,def)}),ZodEmail=$constructor("ZodEmail",(inst,def)=>{$ZodEmail.
init(inst,def),ZodStringFormat.init(inst,def)}),ZodGUID=$constructor("ZodGUID",(inst,def)=>{$ZodGUID.init(inst,def),ZodStringFormat.
init(inst,def)}),ZodUUID=$constructor("ZodUUID",(inst,def)=>{$ZodUUID.init(inst,def),ZodStringFormat.init(inst,def)}),ZodURL=
$constructor("ZodURL",(inst,def)=>{$ZodURL.init(inst,def),ZodStringFormat.init(inst,def)}),ZodEmoji=$constructor("ZodEmo\
ji",(inst,def)=>{$ZodEmoji.init(inst,def),ZodStringFormat.init(inst,def)}),ZodNanoID=$constructor("ZodNanoID",(inst,def)=>{
$ZodNanoID.init(inst,def),ZodStringFormat.init(inst,def)}),ZodCUID=$constructor("ZodCUID",(inst,def)=>{$ZodCUID.init(inst,
def),ZodStringFormat.init(inst,def)}),ZodCUID2=$constructor("ZodCUID2",(inst,def)=>{$ZodCUID2.init(inst,def),ZodStringFormat.
init(inst,def)}),ZodULID=$constructor("ZodULID",(inst,def)=>{$ZodULID.init(inst,def),ZodStringFormat.init(inst,def)}),ZodXID=
$constructor("ZodXID",(inst,def)=>{$ZodXID.init(inst,def),ZodStringFormat.init(inst,def)}),ZodKSUID=$constructor("ZodKSU\
ID",(inst,def)=>{$ZodKSUID.init(inst,def),ZodStringFormat.init(inst,def)}),ZodIPv4=$constructor("ZodIPv4",(inst,def)=>{$ZodIPv4.
init(inst,def),ZodStringFormat.init(inst,def)}),ZodIPv6=$constructor("ZodIPv6",(inst,def)=>{$ZodIPv6.init(inst,def),ZodStringFormat.
init(inst,def)}),ZodCIDRv4=$constructor("ZodCIDRv4",(inst,def)=>{$ZodCIDRv4.init(inst,def),ZodStringFormat.init(inst,def)}),
ZodCIDRv6=$constructor("ZodCIDRv6",(inst,def)=>{$ZodCIDRv6.init(inst,def),ZodStringFormat.init(inst,def)}),ZodBase64=$constructor(
"ZodBase64",(inst,def)=>{$ZodBase64.init(inst,def),ZodStringFormat.init(inst,def)}),ZodBase64URL=$constructor("ZodBase64\
URL",(inst,def)=>{$ZodBase64URL.init(inst,def),ZodStringFormat.init(inst,def)}),ZodE164=$constructor("ZodE164",(inst,def)=>{
$ZodE164.init(inst,def),ZodStringFormat.init(inst,def)}),ZodJWT=$constructor("ZodJWT",(inst,def)=>{$ZodJWT.init(inst,def),
ZodStringFormat.init(inst,def)}),ZodNumber=$constructor("ZodNumber",(inst,def)=>{$ZodNumber.init(inst,def),ZodType.init(
inst,def),inst._zod.processJSONSchema=(ctx,json,params)=>numberProcessor(inst,ctx,json,params),inst.isFinite=!0},util_exports.
derived({minValue:inst=>{let{minimum,exclusiveMinimum}=aggregateChecks(inst);return Math.max(minimum??Number.NEGATIVE_INFINITY,
exclusiveMinimum??Number.NEGATIVE_INFINITY)},maxValue:inst=>{let{maximum,exclusiveMaximum}=aggregateChecks(inst);return Math.
min(maximum??Number.POSITIVE_INFINITY,exclusiveMaximum??Number.POSITIVE_INFINITY)},isInt:inst=>{let{isInt,multipleOf}=aggregateChecks(
inst);return!!isInt||!!multipleOf?.some(Number.isSafeInteger)},format:inst=>aggregateChecks(inst).format??null},{gt(value,params){
return this.check(_gt(value,params))},gte(value,params){return this.check(_gte(value,params))},min(value,params){return this.
check(_gte(value,params))},lt(value,params){return this.check(_lt(value,params))},lte(value,params){return this.check(_lte(
value,params))},max(value,params){return this.check(_lte(value,params))},int(params){return this.check(int(params))},safe(params){
return this.check(int(params))},positive(params){return this.check(_gt(0,params))},nonnegative(params){return this.check(
_gte(0,params))},negative(params){return this.check(_lt(0,params))},nonpositive(params){return this.check(_lte(0,params))},
multipleOf(value,params){return this.check(_multipleOf(value,params))},step(value,params){return this.check(_multipleOf(
value,params))},finite(){return this}})),ZodNumberFormat=$constructor("ZodNumberFormat",(inst,def)=>{$ZodNumberFormat.init(
inst,def),ZodNumber.init(inst,def)});ZodBoolean=$constructor("ZodBoolean",(inst,def)=>{$ZodBoolean.init(inst,def),ZodType.
init(inst,def),inst._zod.processJSONSchema=(ctx,json,params)=>booleanProcessor(inst,ctx,json,params)});ZodUnknown=$constructor(
"ZodUnknown",(inst,def)=>{$ZodUnknown.init(inst,def),ZodType.init(inst,def),inst._zod.processJSONSchema=(ctx,json,params)=>unknownProcessor(
inst,ctx,json,params)});ZodNever=$constructor("ZodNever",(inst,def)=>{$ZodNever.init(inst,def),ZodType.init(inst,def),inst.
_zod.processJSONSchema=(ctx,json,params)=>neverProcessor(inst,ctx,json,params)});ZodArray=$constructor("ZodArray",(inst,def)=>{
_ensureDefaultMemoizer(),$ZodArray.init(inst,def),ZodType.init(inst,def),inst._zod.processJSONSchema=(ctx,json,params)=>arrayProcessor(
inst,ctx,json,params),inst.element=def.element},{min(n,params){return this.check(_minLength(n,params))},nonempty(params){
return this.check(_minLength(1,params))},max(n,params){return this.check(_maxLength(n,params))},length(n,params){return this.
check(_length(n,params))},unwrap(){return this.element}});ZodObject=$constructor("ZodObject",(inst,def)=>{_ensureDefaultMemoizer(),
$ZodObjectJIT.init(inst,def),ZodType.init(inst,def),inst._zod.processJSONSchema=(ctx,json,params)=>objectProcessor(inst,
ctx,json,params),util_exports.installLazyProp(inst,"shape",self2=>self2._zod.def.shape,!1)},{keyof(){return _enum(Object.
keys(this._zod.def.shape))},catchall(catchall){return this.clone(util_exports.mergeDefs(this._zod.def,{catchall}))},passthrough(){
return this.clone(util_exports.mergeDefs(this._zod.def,{catchall:unknown()}))},loose(){return this.clone(util_exports.mergeDefs(
this._zod.def,{catchall:unknown()}))},strict(){return this.clone(util_exports.mergeDefs(this._zod.def,{catchall:never()}))},
strip(){return this.clone(util_exports.mergeDefs(this._zod.def,{catchall:void 0}))},extend(incoming){return util_exports.
extend(this,incoming)},safeExtend(incoming){return util_exports.safeExtend(this,incoming)},merge(other){return util_exports.
merge(this,other)},pick(mask){return util_exports.pick(this,mask)},omit(mask){return util_exports.omit(this,mask)},partial(...args){
return util_exports.partial(ZodOptional,this,args[0])},exactPartial(...args){return util_exports.partial(ZodExactOptional,
this,args[0],"exactPartial")},required(...args){return util_exports.required(ZodNonOptional,this,args[0])}});ZodUnion=$constructor(
"ZodUnion",(inst,def)=>{$ZodUnion.init(inst,def),ZodType.init(inst,def),inst._zod.processJSONSchema=(ctx,json,params)=>unionProcessor(
inst,ctx,json,params),inst.options=def.options});ZodIntersection=$constructor("ZodIntersection",(inst,def)=>{$ZodIntersection.
init(inst,def),ZodType.init(inst,def),inst._zod.processJSONSchema=(ctx,json,params)=>intersectionProcessor(inst,ctx,json,
params)});ZodEnum=$constructor("ZodEnum",(inst,def)=>{$ZodEnum.init(inst,def),ZodType.init(inst,def),inst._zod.processJSONSchema=
(ctx,json,params)=>enumProcessor(inst,ctx,json,params),inst.enum=def.entries,inst.options=[...inst._zod.values];let keys=new Set(
Object.keys(def.entries));inst.extract=(values,params)=>{let newEntries={};for(let value of values)if(keys.has(value))newEntries[value]=
def.entries[value];else throw new Error(`Key ${value} not found in enum`);return new ZodEnum({...def,checks:[],...util_exports.
normalizeParams(params),entries:newEntries})},inst.exclude=(values,params)=>{let newEntries={...def.entries};for(let value of values)
if(keys.has(value))delete newEntries[value];else throw new Error(`Key ${value} not found in enum`);return new ZodEnum({...def,
checks:[],...util_exports.normalizeParams(params),entries:newEntries})}});ZodTransform=$constructor("ZodTransform",(inst,def)=>{
_ensureDefaultMemoizer(),$ZodTransform.init(inst,def),ZodType.init(inst,def),inst._zod.processJSONSchema=(ctx,json,params)=>transformProcessor(
inst,ctx,json,params),inst._zod.parse=(payload,_ctx)=>{if(_ctx.direction==="backward")throw new $ZodEncodeError(inst.constructor.
name);payload.addIssue=issue2=>{if(typeof issue2=="string")payload.issues.push(util_exports.issue(issue2,payload.value,def));else{
let _issue=issue2;_issue.fatal&&(_issue.continue=!1),_issue.code??(_issue.code="custom"),"input"in _issue||(_issue.input=
payload.value),_issue.inst??(_issue.inst=inst),payload.issues.push(util_exports.issue(_issue))}};let output2=def.transform(
payload.value,payload);return output2 instanceof Promise?output2.then(output3=>(payload.value=output3,payload)):(payload.
value=output2,payload)}});ZodOptional=$constructor("ZodOptional",(inst,def)=>{$ZodOptional.init(inst,def),ZodType.init(inst,
def),inst._zod.processJSONSchema=(ctx,json,params)=>optionalProcessor(inst,ctx,json,params),inst.unwrap=()=>inst._zod.def.
innerType});ZodExactOptional=$constructor("ZodExactOptional",(inst,def)=>{$ZodExactOptional.init(inst,def),ZodType.init(
inst,def),inst._zod.processJSONSchema=(ctx,json,params)=>optionalProcessor(inst,ctx,json,params),inst.unwrap=()=>inst._zod.
def.innerType});ZodNullable=$constructor("ZodNullable",(inst,def)=>{$ZodNullable.init(inst,def),ZodType.init(inst,def),inst.
_zod.processJSONSchema=(ctx,json,params)=>nullableProcessor(inst,ctx,json,params),inst.unwrap=()=>inst._zod.def.innerType});
ZodDefault=$constructor("ZodDefault",(inst,def)=>{$ZodDefault.init(inst,def),ZodType.init(inst,def),inst._zod.processJSONSchema=
(ctx,json,params)=>defaultProcessor(inst,ctx,json,params),inst.unwrap=()=>inst._zod.def.innerType,inst.removeDefault=inst.
unwrap});ZodPrefault=$constructor("ZodPrefault",(inst,def)=>{$ZodPrefault.init(inst,def),ZodType.init(inst,def),inst._zod.
processJSONSchema=(ctx,json,params)=>prefaultProcessor(inst,ctx,json,params),inst.unwrap=()=>inst._zod.def.innerType});ZodNonOptional=
$constructor("ZodNonOptional",(inst,def)=>{$ZodNonOptional.init(inst,def),ZodType.init(inst,def),inst._zod.processJSONSchema=
(ctx,json,params)=>nonoptionalProcessor(inst,ctx,json,params),inst.unwrap=()=>inst._zod.def.innerType});ZodCatch=$constructor(
"ZodCatch",(inst,def)=>{$ZodCatch.init(inst,def),ZodType.init(inst,def),inst._zod.processJSONSchema=(ctx,json,params)=>catchProcessor(
inst,ctx,json,params),inst.unwrap=()=>inst._zod.def.innerType,inst.removeCatch=inst.unwrap});ZodPipe=$constructor("ZodPi\
pe",(inst,def)=>{$ZodPipe.init(inst,def),ZodType.init(inst,def),inst._zod.processJSONSchema=(ctx,json,params)=>pipeProcessor(
inst,ctx,json,params),inst.in=def.in,inst.out=def.out});ZodReadonly=$constructor("ZodReadonly",(inst,def)=>{$ZodReadonly.
init(inst,def),ZodType.init(inst,def),inst._zod.processJSONSchema=(ctx,json,params)=>readonlyProcessor(inst,ctx,json,params),
inst.unwrap=()=>inst._zod.def.innerType});ZodCustom=$constructor("ZodCustom",(inst,def)=>{$ZodCustom.init(inst,def),ZodType.
init(inst,def),inst._zod.processJSONSchema=(ctx,json,params)=>customProcessor(inst,ctx,json,params)})}});var ZodFirstPartyTypeKind,init_compat=__esm({"node_modules/zod/v4/classic/compat.js"(){init_define_SAVEPOINT();ZodFirstPartyTypeKind||
(ZodFirstPartyTypeKind={})}});var init_iso=__esm({"node_modules/zod/v4/classic/iso.js"(){init_define_SAVEPOINT()}});var init_coerce=__esm({"node_modules/zod/v4/classic/coerce.js"(){init_define_SAVEPOINT()}});var init_external=__esm({"node_modules/zod/v4/classic/external.js"(){init_define_SAVEPOINT();init_core2();init_schemas2();
init_checks2();init_errors3();init_parse2();init_compat();init_locales();init_iso();init_coerce()}});var init_zod=__esm({"node_modules/zod/index.js"(){init_define_SAVEPOINT();init_external()}});var init_backend_name=__esm({"src/job/backend-name.ts"(){"use strict";init_define_SAVEPOINT()}});function hostNameProblem(name){if(name==="")return"It names no host.";if(!/^[A-Za-z0-9_.:%][A-Za-z0-9_.:%-]*$/.test(name))
return`"${name}" cannot be the name of a host.`}function userProblem(user){return/^[^-\s\p{Cc}][^\s\p{Cc}]*$/u.test(user)?
void 0:`"${user}" cannot log in.`}var init_ssh_url=__esm({"src/job/ssh-url.ts"(){"use strict";init_define_SAVEPOINT();init_backend_name()}});function answerSchema(){let hostKey=string2().regex(/^(ssh|ecdsa)-[a-z0-9-]+ [A-Za-z0-9+/]+={0,2}( [^\n\r]*)?$/),endpoint=strictObject(
{host:string2().refine(name=>hostNameProblem(name)===void 0),port:int().min(1).max(65535).optional(),user:string2().refine(
name=>userProblem(name)===void 0).optional(),key:string2().startsWith("/").optional(),hostKey:union([hostKey,array(hostKey).
min(1)]).optional(),sudo:boolean2().optional()});return strictObject({endpoint:endpoint.optional(),state:unknown().optional()})}
function readOpenAnswer(said,{backend,login}){let read=answerSchema().safeParse(said??{});if(!read.success){let[issue2]=read.
error.issues;throw new SavepointError("backend-failed",{message:`The backend ${backend.use} answered open with something\
 that is no endpoint.`,details:{backend:backend.use,field:issue2?.path.join(".")||"the answer",problem:issue2?.message,allowed:"\
{ endpoint: { host, port, user, key, hostKey, sudo }, state }"}})}let{endpoint:found,state}=read.data;return{asked:found&&
askedFor(found,login),state}}function askedFor({host,port,user,key,hostKey:keys,sudo},{sshConfig:_read,...login}){let{keyText:keyText2,
key:given2,agent,...rest}=login,name=knownHostName(host,port??rest.port??22),keysOfJob={...keyText2!==void 0&&{keyText:keyText2},
...given2!==void 0&&{key:given2},...agent!==void 0&&{agent}};return{...rest,name:host,...port!==void 0&&{port},...user!==
void 0&&{user},...sudo!==void 0&&{sudo},...key===void 0?keysOfJob:{key},...keys!==void 0&&{knownHosts:[keys].flat().map(
line=>`${name} ${line}`).join(`
`),knownHostsFiles:[]}}}var init_endpoint=__esm({"src/host/backend/endpoint.ts"(){"use strict";init_define_SAVEPOINT();init_zod();
init_errors();init_ssh_url();init_known_hosts()}});async function feed(from,to,what){let gone=new AbortController,leave=()=>{gone.abort(),from instanceof import_node_stream2.Readable&&
from.destroy()};if(to.on("error",leave).once("close",leave),!(from instanceof import_node_stream2.Readable)){to.end(from);
return}try{let batch=new Batch(to);for await(let chunk of from){let full=batch.add(chunk);to.writableNeedDrain&&await roomOrGone(
to,gone.signal),full&&await(0,import_promises2.setImmediate)()}batch.flush()}catch(error2){if(gone.signal.aborted)return;
throw error2 instanceof SavepointError?error2:new SavepointError("host-write-failed",{message:`The input of ${what} brok\
e off: ${sentenceOf(error2)}`,cause:error2})}to.end()}async function roomOrGone(to,gone){if(!gone.aborted)try{await(0,import_node_events.once)(
to,"drain",{signal:gone})}catch(error2){if(!gone.aborted)throw error2}}var import_node_events,import_node_stream2,import_promises2,
batchSize,Batch,init_feed=__esm({"src/host/feed.ts"(){"use strict";init_define_SAVEPOINT();import_node_events=require("node:events"),
import_node_stream2=require("node:stream"),import_promises2=require("node:timers/promises");init_errors();batchSize=128*
1024;Batch=class{#to;#pieces=[];#size=0;#flushing;constructor(to){this.#to=to}add(chunk){let piece=typeof chunk=="string"?
Buffer.from(chunk):chunk;return this.#pieces.push(piece),this.#size+=piece.length,this.#size>=batchSize?(this.flush(),!0):
(this.#flushing??=setImmediate(()=>this.flush()),!1)}flush(){clearImmediate(this.#flushing),this.#flushing=void 0;let[first,
...rest]=this.#pieces;this.#pieces=[],this.#size=0,!(!first||!this.#to.writable)&&this.#to.write(rest.length===0?first:Buffer.
concat([first,...rest]))}}}});async function sendLocal(from,to,mode=384){let file=await(0,import_promises3.open)(to,"wx",384).catch(error2=>{throw writeFailed(
to,error2)});try{await copy(from,file),await file.chmod(mode),await file.close()}catch(error2){throw await file.close().
catch(()=>{}),await(0,import_promises3.unlink)(to).catch(()=>{}),error2 instanceof SavepointError?error2:writeFailed(to,
error2)}}async function fetchLocal(from){let file=await(0,import_promises3.open)(from,"r").catch(error2=>{throw readFailed(
from,error2)});if((await file.stat()).isDirectory())throw await file.close(),readFailed(from,new Error("It is a director\
y."));return file.createReadStream({highWaterMark:chunkSize})}async function copy(from,file){if(!(from instanceof import_node_stream3.Readable))
return file.writeFile(from);for await(let chunk of from)await file.writeFile(chunk)}function writeFailed(path,cause){return new SavepointError(
"host-write-failed",{message:`The file ${path} cannot be written: ${sentenceOf(cause)}`,details:{path},cause})}function readFailed(path,cause){
let missing2=cause instanceof Error&&"code"in cause&&cause.code==="ENOENT";return new SavepointError(missing2?"host-file\
-missing":"host-read-failed",{message:missing2?`There is no file ${path}.`:`The file ${path} cannot be read: ${sentenceOf(
cause)}`,details:{path},cause})}var import_promises3,import_node_stream3,chunkSize,init_local_files=__esm({"src/host/loc\
al-files.ts"(){"use strict";init_define_SAVEPOINT();import_promises3=require("node:fs/promises"),import_node_stream3=require("node:stream");
init_errors();chunkSize=256*1024}});async function drained(outputs2,stop,fence){let complete=()=>outputs2.every(output2=>output2.finished),count2=()=>outputs2.
reduce((sum,output2)=>sum+output2.chunks,0);for(;!complete();){let before=count2();await fence(),await quietOr(outputs2,
complete),await(0,import_promises4.setImmediate)();let waitsForReader=!stop.aborted&&outputs2.some(output2=>output2.heldBack);
if(count2()===before&&!waitsForReader)for(let output2 of outputs2)output2.finish()}}async function quietOr(outputs2,complete){
let over=new AbortController,check=()=>complete()&&over.abort();for(let output2 of outputs2)output2.on("finished",check);
check();try{await(0,import_promises4.setTimeout)(quietMilliseconds,void 0,{signal:over.signal})}catch(error2){if(!over.signal.
aborted)throw error2}finally{for(let output2 of outputs2)output2.off("finished",check)}}var import_node_stream4,import_promises4,
highWaterMark,quietMilliseconds,Output,init_output=__esm({"src/host/output.ts"(){"use strict";init_define_SAVEPOINT();import_node_stream4=
require("node:stream"),import_promises4=require("node:timers/promises"),highWaterMark=256*1024,quietMilliseconds=250,Output=
class extends import_node_stream4.Readable{#source;#heldBack=!1;chunks=0;finished=!1;constructor(){super({highWaterMark})}attach(source,seen){
this.#source=source,source.on("data",chunk=>{this.chunks++,seen?.(chunk.length),!(this.destroyed||this.finished)&&(this.
push(chunk)||(this.#heldBack=!0,source.pause()))}),source.once("end",()=>this.finish()),source.once("close",()=>this.finish()),
source.once("error",()=>this.finish())}get heldBack(){return this.#heldBack&&!this.finished}finish(){this.finished||(this.
finished=!0,this.push(null),this.emit("finished"))}_read(){this.#heldBack&&(this.#heldBack=!1,this.#source?.resume())}_destroy(error2,done){
this.#heldBack=!1,this.#source?.resume(),done(error2)}}}});function newMark(){return(0,import_node_crypto3.randomBytes)(8).toString("hex")}async function killTree(group,mark){let living=()=>members2(
group,mark);if(signalAll(await living(),"SIGTERM"),!await goneWithin(living,killGrace))for(let spent=0;spent<vanishLimit;spent+=
pollInterval){let left=await living();if(left.length===0)return;signalAll(left,"SIGKILL"),await(0,import_promises6.setTimeout)(
pollInterval)}}async function goneWithin(living,limit2){let end2=performance.now()+limit2;for(;(await living()).length>0;){
if(performance.now()>end2)return!1;await(0,import_promises6.setTimeout)(pollInterval)}return!0}async function members2(group,mark){
let entries=await(0,import_promises5.readdir)("/proc").catch(absent);if(entries===void 0)return groupExists(group)?[-group]:
[];let pids=entries.filter(entry3=>/^\d+$/.test(entry3)).map(Number),matches2=await Promise.all(pids.map(pid=>belongs(pid,
group,mark)));return pids.filter((_,index)=>matches2[index])}async function belongs(pid,group,mark){let[stat3,environment]=await Promise.
all([(0,import_promises5.readFile)(`/proc/${pid}/stat`,"latin1").catch(absent),(0,import_promises5.readFile)(`/proc/${pid}\
/environ`,"latin1").catch(absent)]);if(stat3===void 0)return!1;let[state,,pgrp]=stat3.slice(stat3.lastIndexOf(")")+2).split(
" ");return state==="Z"?!1:Number(pgrp)===group||hasMark(environment,mark)}function hasMark(environment,mark){return mark===
void 0||environment===void 0?!1:environment.split("\0").includes(`${markVariable}=${mark}`)}function absent(){}function groupExists(group){
return signal(-group,0)}function signalAll(pids,name){for(let pid of pids)signal(pid,name)}function signal(pid,name){try{
return process.kill(pid,name)}catch(error2){let code2=error2.code;if(code2==="ESRCH"||code2==="EPERM")return!1;throw error2}}
var import_node_crypto3,import_promises5,import_promises6,markVariable,killGrace,vanishLimit,pollInterval,init_processes=__esm(
{"src/host/processes.ts"(){"use strict";init_define_SAVEPOINT();import_node_crypto3=require("node:crypto"),import_promises5=
require("node:fs/promises"),import_promises6=require("node:timers/promises"),markVariable="SAVEPOINT_RUN",killGrace=2e3,
vanishLimit=2e3,pollInterval=50}});function quoteWord(word){if(word.includes("\0"))throw new SavepointError("defect",{message:"A word of a command holds a \
NUL character, which no argument can.",details:{word}});return plainWord.test(word)?word:`'${word.replaceAll("'","'\\''")}\
'`}function quoteWords(words){return words.map(quoteWord).join(" ")}function commandLine(command,env={}){let{argv,cwd:cwd2}=command,
assignments=Object.entries(env).map(([name,value])=>(checkVariableName(name),quoteWord(`${name}=${value}`))),words=argv[0].
includes("=")?["sh","-c",'exec "$@"',"sh",...argv]:argv,start2=assignments.length>0?`env ${assignments.join(" ")} `:"",line=`${enter(
cwd2)}exec ${start2}${quoteWords(words)}`;if(Buffer.byteLength(line)>=longestWord)throw new SavepointError("defect",{message:`\
The command ${argv[0]} is too long to be started on the host; it belongs on standard input.`,details:{bytes:Buffer.byteLength(
line),limit:longestWord-1}});return line}function checkVariableName(name){if(!variableName.test(name))throw new SavepointError(
"defect",{message:`${JSON.stringify(name)} cannot be the name of an environment variable.`})}function enter(cwd2){return cwd2===
void 0?"":`cd ${quoteWord(cwd2.startsWith("/")?cwd2:`./${cwd2}`)} || exit 126; `}var longestWord,plainWord,variableName,
init_quote=__esm({"src/host/quote.ts"(){"use strict";init_define_SAVEPOINT();init_errors();longestWord=128*1024,plainWord=
/^[A-Za-z0-9_./:@,+-]+$/,variableName=/^[A-Za-z_][A-Za-z0-9_]*$/}});function openLocal(){return new LocalHost}async function execute(command,stdout,stderr,stop){let abort=()=>stop.abort();
try{return command.signal?.aborted?{signal:"SIGTERM"}:(command.signal?.addEventListener("abort",abort),await supervise(command,
stdout,stderr,stop))}finally{command.signal?.removeEventListener("abort",abort),stdout.finish(),stderr.finish()}}async function supervise(command,stdout,stderr,stop){
let mark=command.signal&&newMark(),started=await start(command,mark);if("refusal"in started)return stderr.push(`${started.
refusal}
`),{code:started.code};let{child,pid}=started;child.stdout&&stdout.attach(child.stdout),child.stderr&&stderr.attach(child.
stderr);let failure3,killing,kill2=()=>{killing??=killTree(pid,mark)};stop.signal.addEventListener("abort",kill2),stop.signal.
aborted&&kill2(),child.stdin&&feed(command.stdin,child.stdin,command.argv[0]).catch(error2=>{failure3=error2,kill2()});let exit=await new Promise(
resolve3=>{child.once("exit",(code2,signal2)=>resolve3(signal2===null?{code:code2??0}:{signal:signal2}))});if(await killing,
await drained([stdout,stderr],stop.signal,async()=>{await(0,import_promises8.setImmediate)()}),child.stdout?.destroy(),child.
stderr?.destroy(),failure3!==void 0)throw failure3;return exit}async function start(command,mark){let[file,...args]=command.
argv;for(let name of Object.keys(command.env??{}))checkVariableName(name);command.argv.forEach(quoteWord);try{let child=(0,import_node_child_process2.spawn)(
file,args,{detached:!0,stdio:"pipe",env:{...process.env,...command.env,...mark&&{[markVariable]:mark}},...command.cwd!==
void 0&&{cwd:command.cwd}}),{pid}=child;if(pid!==void 0)return{child,pid};let error2=await new Promise(resolve3=>child.once(
"error",resolve3));return await refusal(command,error2)}catch(error2){return await refusal(command,error2)}}async function refusal(command,error2){
let code2=error2 instanceof Error&&"code"in error2?error2.code:void 0,{argv,cwd:cwd2}=command;if(cwd2!==void 0&&!(await(0,import_promises7.stat)(
cwd2).catch(()=>{}))?.isDirectory())return{refusal:`cd: ${cwd2}: no such directory`,code:126};if(code2==="ENOENT"||code2===
"ENOTDIR")return{refusal:`${argv[0]}: not found`,code:127};if(code2==="EACCES"||code2==="ENOEXEC"||code2==="E2BIG")return{
refusal:`${argv[0]}: ${sentenceOf(error2)}`,code:126};throw typeof code2!="string"||code2.startsWith("ERR_")?asSavepointError(
error2):new SavepointError("host-unreachable",{message:`This machine cannot start ${argv[0]}: ${sentenceOf(error2)}`,cause:error2})}
var import_node_child_process2,import_promises7,import_promises8,LocalHost,init_local=__esm({"src/host/local.ts"(){"use \
strict";init_define_SAVEPOINT();import_node_child_process2=__toESM(require_node_child_process(),1),import_promises7=require("node:fs/promises"),
import_promises8=require("node:timers/promises");init_errors();init_feed();init_local_files();init_output();init_processes();
init_quote();LocalHost=class{name="local";kind="local";#running=new Set;#exits=new Set;#closed=!1;run(command){if(this.#closed)
throw new SavepointError("defect",{message:"A command was started on a closed host."});let stop=new AbortController,stdout=new Output,
stderr=new Output,exit=execute(command,stdout,stderr,stop).finally(()=>{this.#running.delete(stop),this.#exits.delete(exit)});
return exit.catch(()=>{}),this.#running.add(stop),this.#exits.add(exit),{stdout,stderr,exit}}send=sendLocal;fetch=fetchLocal;async close(){
this.#closed=!0;for(let stop of this.#running)stop.abort();await Promise.allSettled(this.#exits)}[Symbol.asyncDispose](){
return this.close()}}}});function killCommand(mark){let roundsUntilKill=String(killGrace/100);return{argv:["sh","-c",script,"sh",`${markVariable}\
=${mark}`,roundsUntilKill]}}var searchLimit,script,init_kill_marked=__esm({"src/host/kill-marked.ts"(){"use strict";init_define_SAVEPOINT();
init_processes();searchLimit=killGrace+5e3,script=`
marked() {
  head -n 100000 /proc/[0-9]*/environ 2>/dev/null | tr '\\000' '\\n' |
    awk -v mark="$1" '$1 == "==>" { file = $2 } $0 == mark { print file }' |
    while read -r environ; do
      if { tr '\\000' '\\n' <"$environ" | grep -qxF "$1"; } 2>/dev/null; then
        pid=\${environ#/proc/}
        echo "\${pid%/environ}"
      fi
    done
}
tell() { for pid in $(marked "$2"); do kill -s "$1" "$pid" 2>/dev/null; done; }
nap() { sleep 0.1 2>/dev/null || sleep 1; }
tell TERM "$1"
round=0
while [ -n "$(marked "$1")" ]; do
  [ "$round" -lt "$2" ] || tell KILL "$1"
  [ "$round" -lt "$(($2 + 10))" ] || exit 1
  round=$((round + 1))
  nap
done
`}});function bySignal(exit){return exit.code===143?{signal:"SIGTERM"}:exit.code===137?{signal:"SIGKILL"}:exit}var import_node_stream5,
requestVariable,ProgramRunner,init_program_runner=__esm({"src/host/backend/program-runner.ts"(){"use strict";init_define_SAVEPOINT();
import_node_stream5=require("node:stream");init_capture();init_kill_marked();init_local();init_processes();init_quote();
requestVariable="SAVEPOINT_REQUEST",ProgramRunner=class{#program;#request;#local=openLocal();constructor(program,request){
this.#program=program,this.#request=request}async check(signal2){let{exit,stderr}=await capture(this.run({argv:["true"],
signal:signal2}));if(exit.code===0)return;let said=stderr.trim().split(`
`).at(-1);throw new Error(said||`running true there ended with ${exit.code??exit.signal}`)}run(command){let{stdin,signal:signal2}=command,
mark=signal2||stdin instanceof import_node_stream5.Readable?newMark():void 0,stop=new AbortController;signal2?.aborted&&
stop.abort();try{let running=this.#start({...command,env:{...command.env,...mark&&{[markVariable]:mark}}},mark?stop.signal:
void 0);if(!mark)return running;let exit=this.#watch(running.exit,mark,stop,signal2);return exit.catch(()=>{}),{...running,
exit}}catch(error2){let exit=Promise.reject(error2);return exit.catch(()=>{}),{stdout:import_node_stream5.Readable.from(
[]),stderr:import_node_stream5.Readable.from([]),exit}}}close(){return this.#local.close()}#start({stdin,env,...command},stop){
return this.#local.run({argv:[this.#program,"run","/bin/sh","-c",commandLine(command,env)],env:{[requestVariable]:this.#request},
cwd:"/",...stdin!==void 0&&{stdin},...stop&&{signal:stop}})}async#watch(running,mark,stop,signal2){let stopping,onAbort=()=>{
stopping=this.#kill(mark).finally(()=>stop.abort())};signal2?.addEventListener("abort",onAbort);try{let exit=await running;
return await stopping,stopping?bySignal(exit):exit}catch(error2){throw await this.#kill(mark),error2}finally{signal2?.removeEventListener(
"abort",onAbort)}}async#kill(mark){let search=this.#start(killCommand(mark),AbortSignal.timeout(searchLimit));await capture(
search).catch(()=>{})}}}});function executableBackend(use){return{capabilities:async request=>{let{capabilities}=await ask(use,"capabilities",request);
if(Array.isArray(capabilities)&&capabilities.every(one=>typeof one=="string"))return capabilities;throw new Error('its a\
nswer has no list "capabilities"')},call:(verb,request)=>ask(use,verb,request),connect:async request=>{let runner=new ProgramRunner(
use,told(request));return await runner.check(request.signal),runner}}}function told({signal:_signal,log:_log,...request}){
return JSON.stringify({protocol:1,...request})}async function ask(use,verb,request){var _stack=[];try{let{signal:signal2,
log}=request;let local=__using(_stack,openLocal(),!0);let{stdout,stderr,exit}=local.run({argv:[use,verb],stdin:`${told(request)}\

`,cwd:"/",signal:signal2});let[answer,,end2]=await Promise.all([limited(stdout),eachLine(stderr,log),exit]);if(end2.code!==
0)throw new Error(`it ended with ${end2.code??end2.signal}`);return objectOf(answer)}catch(_){var _error=_,_hasError=!0}finally{
var _promise=__callDispose(_stack,_error,_hasError);_promise&&await _promise}}async function limited(stream){let size=0,
kept=[];for await(let chunk of stream)size+=chunk.length,size<=largest&&kept.push(chunk);if(size<=largest)return Buffer.
concat(kept).toString("utf8");throw new Error(`its answer has ${size} bytes, and ${largest} are allowed`)}async function eachLine(stream,tell){
for await(let line of(0,import_node_readline2.createInterface)({input:stream}))tell(line)}function objectOf(answer){let value=answer.
trim()===""?{}:parsed2(answer);if(typeof value=="object"&&value!==null&&!Array.isArray(value))return value;throw new Error(
"its answer is no object of JSON")}function parsed2(answer){try{return JSON.parse(answer)}catch{return}}var import_node_readline2,
largest,init_executable=__esm({"src/host/backend/executable.ts"(){"use strict";init_define_SAVEPOINT();import_node_readline2=
require("node:readline");init_local();init_program_runner();largest=1024*1024}});async function loadBackend({use,sha256}){let now=await digestOf(use).catch(()=>"none");if(now!==sha256)throw new SavepointError(
"backend-failed",{message:`The backend ${use} is not what it was when the run began, so it is not run.`,details:{backend:use,
found:now,allowed:sha256},hint:"What it opened is still there: close it by hand."});return isModule(use)?moduleBackend(use):
executableBackend(use)}async function moduleBackend(use){let module2;try{let loaded=await import((0,import_node_url.pathToFileURL)(
use).href);module2=loaded.open?loaded:loaded.default??{}}catch(cause){throw bad(use,`cannot be loaded: ${sentenceOf(cause)}`,
cause)}let{open:open4,connect:connect3}=module2;if(typeof open4!="function")throw bad(use,"does not export the function \
open");return{capabilities:async()=>[...optionalVerbs.filter(verb=>typeof module2[verb]=="function"),...connect3?["run"]:
[]],call:async(verb,request)=>module2[verb]?.(request),...connect3&&{connect:async request=>connect3(request)}}}async function digestOf(file){
return(0,import_node_crypto4.createHash)("sha256").update(await(0,import_promises9.readFile)(file)).digest("hex")}function bad(use,what,cause){
return new SavepointError("backend-bad",{message:`The backend ${use} ${what}.`,place:{field:"host.use"},details:{found:use,
allowed:"an ES module (.mjs, .js) or an executable"},cause})}var import_node_crypto4,import_promises9,import_node_url,isModule,
init_load=__esm({"src/host/backend/load.ts"(){"use strict";init_define_SAVEPOINT();import_node_crypto4=require("node:crypto"),
import_promises9=require("node:fs/promises"),import_node_url=require("node:url");init_errors();init_backend();init_executable();
isModule=file=>/\.[mc]?js$/.test(file)}});async function within(backend,step,{log=()=>{},mask=text5=>text5,signal:signal2},act){let{id,with:told2,state}=backend,said=[],
tell=line=>{let shown=mask(line);said.push(shown),said.length>lastLines2&&said.shift(),log(shown)},late=AbortSignal.timeout(
limits[step]),either=signal2?AbortSignal.any([late,signal2]):late,context={id,with:told2,...state!==void 0&&{state},signal:either},
acting=act({...context,log:tell});try{return await Promise.race([acting,aborted2(either)])}catch(error2){if(!either.aborted)
throw failedBackend(backend,step,mask(sentenceOf(error2)),said);if(await Promise.race([acting.catch(()=>{}),(0,import_promises10.setTimeout)(
grace,void 0,{ref:!1})]),!signal2?.aborted)throw failedBackend(backend,step,"it took too long",said);if(signal2.reason instanceof
SavepointError)throw signal2.reason;let message=`Waiting for ${backend.use} was given up.`;throw new SavepointError("job\
-cancelled",{message})}}function aborted2(signal2){return new Promise((_,reject)=>{let stop=()=>reject(signal2.reason);signal2.
aborted&&stop(),signal2.addEventListener("abort",stop,{once:!0})})}function failedBackend({use},step,why,said=[]){return new SavepointError(
"backend-failed",{message:`The backend ${use} failed at ${step}: ${why}${/[.!?]$/.test(why)?"":"."}`,details:{backend:use,
verb:step,...said.length>0&&{said:[...said]}}})}var import_promises10,limits,grace,lastLines2,init_within=__esm({"src/ho\
st/backend/within.ts"(){"use strict";init_define_SAVEPOINT();import_promises10=require("node:timers/promises");init_errors();
limits={capabilities:6e4,open:30*6e4,connect:6e4,revert:30*6e4,reboot:15*6e4,close:5*6e4},grace=5e3,lastLines2=5}});var open_exports={};__export(open_exports,{callBackend:()=>callBackend,connectBackend:()=>connectBackend,openBackend:()=>openBackend});
async function openBackend(asked,options={}){let loaded=await loadBackend(asked.backend),can=await within(asked.backend,
"capabilities",options,it=>loaded.capabilities(it)),use={...asked.backend,can:optionalVerbs.filter(verb=>can.includes(verb))};
try{let said=await within(use,"open",options,context=>loaded.call("open",context)),{asked:endpoint,state}=readOpenAnswer(
said,asked),backend={...use,opened:!0,...state!==void 0&&{state}};if(!endpoint&&!can.includes("run"))throw failedBackend(
use,"open","it gave no endpoint and runs no commands itself");return{target:endpoint?await resolveConfigured(endpoint,asked.
login.sshConfig??"none"):{...asked,backend},backend}}catch(error2){let{signal:_over,...rest}=options;throw await callBackend(
use,"close",rest).catch(second=>rest.log?.(`Nor could it be closed: ${sentenceOf(second)}`)),error2}}async function callBackend(use,verb,options={}){
let loaded=await loadBackend(use);return(use.opened?use.can:await within(use,"capabilities",options,it=>loaded.capabilities(
it))).includes(verb)?(await within(use,verb,options,context=>loaded.call(verb,context)),!0):!1}async function connectBackend(target,options={}){
let{backend}=target;if(!backend.opened)throw new SavepointError("not-open",{message:`${backend.id} was never made ready.`});
let{connect:connect3}=await loadBackend(backend);if(!connect3)throw failedBackend(backend,"connect","it runs no commands\
 itself");let runner=await within(backend,"connect",options,context=>connect3(context));return new CommandHost(hostName(
target),runner)}var init_open=__esm({"src/host/backend/open.ts"(){"use strict";init_define_SAVEPOINT();init_errors();init_configured();
init_target();init_backend();init_command_host();init_endpoint();init_load();init_within()}});function unreachable(target,why,more={}){let{details,...rest}=more;return new SavepointError("host-unreachable",{message:`${targetName(
target)} cannot be reached: ${why}`,details:{host:targetName(target),...details},...rest})}function authFailed(target,facts,cause){
let{tried,passedOver,accepts,partial:partial2}=facts,onlyOthers=accepts.length>0&&!accepts.includes("publickey");return new SavepointError(
"host-auth-failed",{message:partial2?`${targetName(target)} took the key but wants more to log in: ${accepts.join(", ")}\
.`:`${targetName(target)} refused every key that was offered.`,details:{host:targetName(target),user:target.user,method:"\
publickey",tried,...passedOver.length>0&&{passedOver},...accepts.length>0&&{accepts}},hint:onlyOthers||partial2?"Savepoi\
nt logs in with keys only; allow that on the host.":`Is one of these keys in the authorized_keys of ${target.user}, and \
is that the right user?`,...cause!==void 0&&{cause}})}function lost(target,what,why,details={}){let shown=what.length>shownCommand?
`${what.slice(0,shownCommand)}\u2026`:what;return new SavepointError("host-lost",{message:`The connection to ${targetName(
target)} broke: ${why}`,details:{host:targetName(target),running:shown,...details}})}function clauseOf(error2){let code2=error2 instanceof
Error&&"code"in error2?error2.code:void 0,known=typeof code2=="string"?clauses[code2]:void 0;return known?`${known} (${code2}\
)`:sentenceOf(error2)}var shownCommand,clauses,init_ssh_errors=__esm({"src/host/ssh-errors.ts"(){"use strict";init_define_SAVEPOINT();
init_errors();init_ssh_target();shownCommand=200;clauses={ECONNREFUSED:"nothing listens there",ECONNRESET:"the other sid\
e reset the connection",EHOSTUNREACH:"there is no route to it",ENETUNREACH:"there is no route to its network",ENOTFOUND:"\
no such name is known",EAI_AGAIN:"the name server does not answer",ETIMEDOUT:"no answer in time",EPIPE:"the other side c\
losed the connection"}}});function lendingReads(socket){let buffer4=Buffer.allocUnsafeSlow(262144);return{buffer:buffer4,callback:length=>(socket().
emit("data",buffer4.subarray(0,length)),!0)}}function keepNothingLent(client){let protocol=client._protocol;protocol.parse=
(chunk,from,to)=>{for(let at2=from;at2<to;)if(protocol._decipher?._decipherKey!==void 0)at2=protocol._parse(chunk,at2,to);else{
let own2=Buffer.from(chunk.subarray(at2,to));at2+=protocol._parse(own2,0,own2.length)}}}var init_ssh_reading=__esm({"src\
/host/ssh-reading.ts"(){"use strict";init_define_SAVEPOINT()}});async function dial(target,signal2){let deadline=performance.now()+target.connectTimeout*1e3,addresses=await addressesOf(
target),tried=[];for(let[index,address]of addresses.entries()){let share=(deadline-performance.now())/(addresses.length-
index);try{return await dialAddress(address,target.port,share,signal2)}catch(error2){signal2?.throwIfAborted(),tried.push(
`${address} port ${target.port}: ${clauseOf(error2)}`)}}throw unreachable(target,tried.join("; "),{details:{tried}})}async function addressesOf(target){
if((0,import_node_net.isIP)(target.name)!==0)return[target.name];try{return(await(0,import_promises11.lookup)(target.name,
{all:!0,family:target.addressFamily??0})).map(({address})=>address)}catch(error2){throw unreachable(target,clauseOf(error2),
{cause:error2})}}async function dialAddress(host,port,milliseconds,signal2){let onread=lendingReads(()=>socket),socket=(0,import_node_net.connect)(
{host,port,noDelay:!0,onread});socket.pause();let timeout=AbortSignal.timeout(Math.max(1,Math.ceil(milliseconds)));try{return await(0,import_node_events2.once)(
socket,"connect",{signal:signal2?AbortSignal.any([timeout,signal2]):timeout}),socket}catch(error2){throw socket.destroy(),
timeout.aborted?Object.assign(new Error("no answer in time"),{code:"ETIMEDOUT"}):error2}}var import_promises11,import_node_events2,
import_node_net,init_ssh_dial=__esm({"src/host/ssh-dial.ts"(){"use strict";init_define_SAVEPOINT();import_promises11=require("node:dns/promises"),
import_node_events2=require("node:events"),import_node_net=require("node:net");init_ssh_errors();init_ssh_reading()}});function parseKeysOnce(client){client.on("handshake",()=>{let{_cipher,_decipher}=client._protocol;Buffer.isBuffer(_cipher.
_encKey)&&(_cipher._encKey=(0,import_node_crypto5.createSecretKey)(_cipher._encKey)),Buffer.isBuffer(_decipher._decipherKey)&&
(_decipher._decipherKey=(0,import_node_crypto5.createSecretKey)(_decipher._decipherKey))})}function roundTrip(client){let internals=client;
return new Promise(resolve3=>{internals._callbacks.push(()=>resolve3()),internals._protocol.ping()})}function openSession(client){
let{_chanMgr,_protocol}=client;return new Promise((resolve3,reject)=>{let opened=(error2,channel)=>error2?reject(error2):
resolve3(channel);opened.type="session";let id=_chanMgr.add(opened);id===-1?reject(new Error("there are no free channels")):
_protocol.session(id,usualWindow,packetSize)})}function requestExec(client,channel,line){let internals=channel;return internals.
subtype="exec",internals.allowHalfOpen=!0,new Promise(resolve3=>{internals._callbacks.push(failed=>resolve3(!failed)),client.
_protocol.exec(internals.outgoing.id,line,!0)})}function signAtOnce(client){let protocol=client._protocol,offer=protocol.
authPK.bind(protocol);protocol.authPK=(user,key,algorithm,sign)=>{if(sign||!key.isPrivateKey())return offer(user,key,algorithm,
sign);offer(user,key,algorithm,(data,done)=>{let signature=key.sign(data,algorithm&&hashes[algorithm]);signature instanceof
Error?offer(user,key,algorithm):done(signature)})}}function sendSignal(client,channel,name){let{outgoing}=channel;outgoing.
state!=="open"&&outgoing.state!=="eof"||client._protocol.signal(outgoing.id,name)}function windowGrower(client,channel,roundTrip2){
let most=Math.min(bulkWindow,roundTrip2*bulkWindowEach);if(most<usualWindow)return()=>{};let{incoming,outgoing}=channel,
protocol=client._protocol,received=0;return bytes2=>{if(received+=bytes2,received<bulkAfter||incoming.window>most/2||outgoing.
state!=="open"&&outgoing.state!=="eof")return;let more=Math.floor(most)-incoming.window;incoming.window+=more,protocol.channelWindowAdjust(
outgoing.id,more)}}function endWasSent(client,channel){let{incoming}=channel,broke2=!1,onClose=()=>{broke2=incoming.state===
"open"};return client.once("close",onClose),channel.once("close",()=>client.off("close",onClose)),()=>!broke2}var import_node_crypto5,
bulkWindow,bulkWindowEach,usualWindow,packetSize,bulkAfter,hashes,init_ssh_internals=__esm({"src/host/ssh-internals.ts"(){
"use strict";init_define_SAVEPOINT();import_node_crypto5=require("node:crypto");bulkWindow=8*1024*1024,bulkWindowEach=320*
1024,usualWindow=2*1024*1024,packetSize=32*1024,bulkAfter=4*1024*1024;hashes={"rsa-sha2-256":"sha256","rsa-sha2-512":"sh\
a512"}}});function watchLink(target,client,sock,isDead){let{aliveInterval:interval=usualInterval,aliveCountMax=usualCountMax}=target;
if(interval<=0)return()=>{};let heard=!0,unanswered2=0;sock.on("data",()=>{heard=!0});let timer2=setInterval(()=>{heard?
(heard=!1,unanswered2=0):unanswered2<aliveCountMax?(unanswered2++,roundTrip(client)):isDead(`nothing was heard for ${interval*
(aliveCountMax+1)} s`)},interval*1e3);return()=>clearInterval(timer2)}var usualInterval,usualCountMax,init_ssh_liveness=__esm(
{"src/host/ssh-liveness.ts"(){"use strict";init_define_SAVEPOINT();init_ssh_internals();usualInterval=5,usualCountMax=3}});var require_child_process=__commonJS({"when-used:child_process"(exports2){init_define_SAVEPOINT();for(let name of["_fork\
Child","ChildProcess","exec","execFile","execFileSync","execSync","fork","spawn","spawnSync"])exports2[name]=new Proxy(()=>{},
{apply:(_,self2,given2)=>Reflect.apply(require("node:child_process")[name],self2,given2),get:(_,key)=>require("node:child_process")[name][key]})}});var require_errors=__commonJS({"node_modules/asn1/lib/ber/errors.js"(exports2,module2){init_define_SAVEPOINT();module2.exports=
{newInvalidAsn1Error:function(msg){var e=new Error;return e.name="InvalidAsn1Error",e.message=msg||"",e}}}});var require_types=__commonJS({"node_modules/asn1/lib/ber/types.js"(exports2,module2){init_define_SAVEPOINT();module2.exports=
{EOC:0,Boolean:1,Integer:2,BitString:3,OctetString:4,Null:5,OID:6,ObjectDescriptor:7,External:8,Real:9,Enumeration:10,PDV:11,
Utf8String:12,RelativeOID:13,Sequence:16,Set:17,NumericString:18,PrintableString:19,T61String:20,VideotexString:21,IA5String:22,
UTCTime:23,GeneralizedTime:24,GraphicString:25,VisibleString:26,GeneralString:28,UniversalString:29,CharacterString:30,BMPString:31,
Constructor:32,Context:128}}});var require_safer=__commonJS({"node_modules/safer-buffer/safer.js"(exports2,module2){"use strict";init_define_SAVEPOINT();
var buffer4=require("buffer"),Buffer2=buffer4.Buffer,safer={},key;for(key in buffer4)buffer4.hasOwnProperty(key)&&(key===
"SlowBuffer"||key==="Buffer"||(safer[key]=buffer4[key]));var Safer=safer.Buffer={};for(key in Buffer2)Buffer2.hasOwnProperty(
key)&&(key==="allocUnsafe"||key==="allocUnsafeSlow"||(Safer[key]=Buffer2[key]));safer.Buffer.prototype=Buffer2.prototype;
(!Safer.from||Safer.from===Uint8Array.from)&&(Safer.from=function(value,encodingOrOffset,length){if(typeof value=="numbe\
r")throw new TypeError('The "value" argument must not be of type number. Received type '+typeof value);if(value&&typeof value.
length>"u")throw new TypeError("The first argument must be one of type string, Buffer, ArrayBuffer, Array, or Array-like\
 Object. Received type "+typeof value);return Buffer2(value,encodingOrOffset,length)});Safer.alloc||(Safer.alloc=function(size,fill,encoding){
if(typeof size!="number")throw new TypeError('The "size" argument must be of type number. Received type '+typeof size);if(size<
0||size>=2*(1<<30))throw new RangeError('The value "'+size+'" is invalid for option "size"');var buf=Buffer2(size);return!fill||
fill.length===0?buf.fill(0):typeof encoding=="string"?buf.fill(fill,encoding):buf.fill(fill),buf});if(!safer.kStringMaxLength)
try{safer.kStringMaxLength=process.binding("buffer").kStringMaxLength}catch{}safer.constants||(safer.constants={MAX_LENGTH:safer.
kMaxLength},safer.kStringMaxLength&&(safer.constants.MAX_STRING_LENGTH=safer.kStringMaxLength));module2.exports=safer}});var require_reader=__commonJS({"node_modules/asn1/lib/ber/reader.js"(exports2,module2){init_define_SAVEPOINT();var assert2=require("assert"),
Buffer2=require_safer().Buffer,ASN1=require_types(),errors=require_errors(),newInvalidAsn1Error=errors.newInvalidAsn1Error;
function Reader2(data){if(!data||!Buffer2.isBuffer(data))throw new TypeError("data must be a node Buffer");this._buf=data,
this._size=data.length,this._len=0,this._offset=0}Object.defineProperty(Reader2.prototype,"length",{enumerable:!0,get:function(){
return this._len}});Object.defineProperty(Reader2.prototype,"offset",{enumerable:!0,get:function(){return this._offset}});
Object.defineProperty(Reader2.prototype,"remain",{get:function(){return this._size-this._offset}});Object.defineProperty(
Reader2.prototype,"buffer",{get:function(){return this._buf.slice(this._offset)}});Reader2.prototype.readByte=function(peek){
if(this._size-this._offset<1)return null;var b=this._buf[this._offset]&255;return peek||(this._offset+=1),b};Reader2.prototype.
peek=function(){return this.readByte(!0)};Reader2.prototype.readLength=function(offset){if(offset===void 0&&(offset=this.
_offset),offset>=this._size)return null;var lenB=this._buf[offset++]&255;if(lenB===null)return null;if((lenB&128)===128){
if(lenB&=127,lenB===0)throw newInvalidAsn1Error("Indefinite length not supported");if(lenB>4)throw newInvalidAsn1Error("\
encoding too long");if(this._size-offset<lenB)return null;this._len=0;for(var i=0;i<lenB;i++)this._len=(this._len<<8)+(this.
_buf[offset++]&255)}else this._len=lenB;return offset};Reader2.prototype.readSequence=function(tag){var seq=this.peek();
if(seq===null)return null;if(tag!==void 0&&tag!==seq)throw newInvalidAsn1Error("Expected 0x"+tag.toString(16)+": got 0x"+
seq.toString(16));var o=this.readLength(this._offset+1);return o===null?null:(this._offset=o,seq)};Reader2.prototype.readInt=
function(){return this._readTag(ASN1.Integer)};Reader2.prototype.readBoolean=function(){return this._readTag(ASN1.Boolean)!==
0};Reader2.prototype.readEnumeration=function(){return this._readTag(ASN1.Enumeration)};Reader2.prototype.readString=function(tag,retbuf){
tag||(tag=ASN1.OctetString);var b=this.peek();if(b===null)return null;if(b!==tag)throw newInvalidAsn1Error("Expected 0x"+
tag.toString(16)+": got 0x"+b.toString(16));var o=this.readLength(this._offset+1);if(o===null||this.length>this._size-o)
return null;if(this._offset=o,this.length===0)return retbuf?Buffer2.alloc(0):"";var str=this._buf.slice(this._offset,this.
_offset+this.length);return this._offset+=this.length,retbuf?str:str.toString("utf8")};Reader2.prototype.readOID=function(tag){
tag||(tag=ASN1.OID);var b=this.readString(tag,!0);if(b===null)return null;for(var values=[],value=0,i=0;i<b.length;i++){
var byte=b[i]&255;value<<=7,value+=byte&127,(byte&128)===0&&(values.push(value),value=0)}return value=values.shift(),values.
unshift(value%40),values.unshift(value/40>>0),values.join(".")};Reader2.prototype._readTag=function(tag){assert2.ok(tag!==
void 0);var b=this.peek();if(b===null)return null;if(b!==tag)throw newInvalidAsn1Error("Expected 0x"+tag.toString(16)+":\
 got 0x"+b.toString(16));var o=this.readLength(this._offset+1);if(o===null)return null;if(this.length>4)throw newInvalidAsn1Error(
"Integer too long: "+this.length);if(this.length>this._size-o)return null;this._offset=o;for(var fb=this._buf[this._offset],
value=0,i=0;i<this.length;i++)value<<=8,value|=this._buf[this._offset++]&255;return(fb&128)===128&&i!==4&&(value-=1<<i*8),
value>>0};module2.exports=Reader2}});var require_writer=__commonJS({"node_modules/asn1/lib/ber/writer.js"(exports2,module2){init_define_SAVEPOINT();var assert2=require("assert"),
Buffer2=require_safer().Buffer,ASN1=require_types(),errors=require_errors(),newInvalidAsn1Error=errors.newInvalidAsn1Error,
DEFAULT_OPTS={size:1024,growthFactor:8};function merge3(from,to){assert2.ok(from),assert2.equal(typeof from,"object"),assert2.
ok(to),assert2.equal(typeof to,"object");var keys=Object.getOwnPropertyNames(from);return keys.forEach(function(key){if(!to[key]){
var value=Object.getOwnPropertyDescriptor(from,key);Object.defineProperty(to,key,value)}}),to}function Writer(options){options=
merge3(DEFAULT_OPTS,options||{}),this._buf=Buffer2.alloc(options.size||1024),this._size=this._buf.length,this._offset=0,
this._options=options,this._seq=[]}Object.defineProperty(Writer.prototype,"buffer",{get:function(){if(this._seq.length)throw newInvalidAsn1Error(
this._seq.length+" unended sequence(s)");return this._buf.slice(0,this._offset)}});Writer.prototype.writeByte=function(b){
if(typeof b!="number")throw new TypeError("argument must be a Number");this._ensure(1),this._buf[this._offset++]=b};Writer.
prototype.writeInt=function(i,tag){if(typeof i!="number")throw new TypeError("argument must be a Number");typeof tag!="n\
umber"&&(tag=ASN1.Integer);for(var sz=4;((i&4286578688)===0||(i&4286578688)===-8388608)&&sz>1;)sz--,i<<=8;if(sz>4)throw newInvalidAsn1Error(
"BER ints cannot be > 0xffffffff");for(this._ensure(2+sz),this._buf[this._offset++]=tag,this._buf[this._offset++]=sz;sz-- >
0;)this._buf[this._offset++]=(i&4278190080)>>>24,i<<=8};Writer.prototype.writeNull=function(){this.writeByte(ASN1.Null),
this.writeByte(0)};Writer.prototype.writeEnumeration=function(i,tag){if(typeof i!="number")throw new TypeError("argument\
 must be a Number");return typeof tag!="number"&&(tag=ASN1.Enumeration),this.writeInt(i,tag)};Writer.prototype.writeBoolean=
function(b,tag){if(typeof b!="boolean")throw new TypeError("argument must be a Boolean");typeof tag!="number"&&(tag=ASN1.
Boolean),this._ensure(3),this._buf[this._offset++]=tag,this._buf[this._offset++]=1,this._buf[this._offset++]=b?255:0};Writer.
prototype.writeString=function(s,tag){if(typeof s!="string")throw new TypeError("argument must be a string (was: "+typeof s+
")");typeof tag!="number"&&(tag=ASN1.OctetString);var len=Buffer2.byteLength(s);this.writeByte(tag),this.writeLength(len),
len&&(this._ensure(len),this._buf.write(s,this._offset),this._offset+=len)};Writer.prototype.writeBuffer=function(buf,tag){
if(typeof tag!="number")throw new TypeError("tag must be a number");if(!Buffer2.isBuffer(buf))throw new TypeError("argum\
ent must be a buffer");this.writeByte(tag),this.writeLength(buf.length),this._ensure(buf.length),buf.copy(this._buf,this.
_offset,0,buf.length),this._offset+=buf.length};Writer.prototype.writeStringArray=function(strings){if(!strings instanceof
Array)throw new TypeError("argument must be an Array[String]");var self2=this;strings.forEach(function(s){self2.writeString(
s)})};Writer.prototype.writeOID=function(s,tag){if(typeof s!="string")throw new TypeError("argument must be a string");if(typeof tag!=
"number"&&(tag=ASN1.OID),!/^([0-9]+\.){3,}[0-9]+$/.test(s))throw new Error("argument is not a valid OID string");function encodeOctet(bytes3,octet){
octet<128?bytes3.push(octet):octet<16384?(bytes3.push(octet>>>7|128),bytes3.push(octet&127)):octet<2097152?(bytes3.push(
octet>>>14|128),bytes3.push((octet>>>7|128)&255),bytes3.push(octet&127)):octet<268435456?(bytes3.push(octet>>>21|128),bytes3.
push((octet>>>14|128)&255),bytes3.push((octet>>>7|128)&255),bytes3.push(octet&127)):(bytes3.push((octet>>>28|128)&255),bytes3.
push((octet>>>21|128)&255),bytes3.push((octet>>>14|128)&255),bytes3.push((octet>>>7|128)&255),bytes3.push(octet&127))}var tmp=s.
split("."),bytes2=[];bytes2.push(parseInt(tmp[0],10)*40+parseInt(tmp[1],10)),tmp.slice(2).forEach(function(b){encodeOctet(
bytes2,parseInt(b,10))});var self2=this;this._ensure(2+bytes2.length),this.writeByte(tag),this.writeLength(bytes2.length),
bytes2.forEach(function(b){self2.writeByte(b)})};Writer.prototype.writeLength=function(len){if(typeof len!="number")throw new TypeError(
"argument must be a Number");if(this._ensure(4),len<=127)this._buf[this._offset++]=len;else if(len<=255)this._buf[this._offset++]=
129,this._buf[this._offset++]=len;else if(len<=65535)this._buf[this._offset++]=130,this._buf[this._offset++]=len>>8,this.
_buf[this._offset++]=len;else if(len<=16777215)this._buf[this._offset++]=131,this._buf[this._offset++]=len>>16,this._buf[this.
_offset++]=len>>8,this._buf[this._offset++]=len;else throw newInvalidAsn1Error("Length too long (> 4 bytes)")};Writer.prototype.
startSequence=function(tag){typeof tag!="number"&&(tag=ASN1.Sequence|ASN1.Constructor),this.writeByte(tag),this._seq.push(
this._offset),this._ensure(3),this._offset+=3};Writer.prototype.endSequence=function(){var seq=this._seq.pop(),start2=seq+
3,len=this._offset-start2;if(len<=127)this._shift(start2,len,-2),this._buf[seq]=len;else if(len<=255)this._shift(start2,
len,-1),this._buf[seq]=129,this._buf[seq+1]=len;else if(len<=65535)this._buf[seq]=130,this._buf[seq+1]=len>>8,this._buf[seq+
2]=len;else if(len<=16777215)this._shift(start2,len,1),this._buf[seq]=131,this._buf[seq+1]=len>>16,this._buf[seq+2]=len>>
8,this._buf[seq+3]=len;else throw newInvalidAsn1Error("Sequence too long")};Writer.prototype._shift=function(start2,len,shift){
assert2.ok(start2!==void 0),assert2.ok(len!==void 0),assert2.ok(shift),this._buf.copy(this._buf,start2+shift,start2,start2+
len),this._offset+=shift};Writer.prototype._ensure=function(len){if(assert2.ok(len),this._size-this._offset<len){var sz=this.
_size*this._options.growthFactor;sz-this._offset<len&&(sz+=len);var buf=Buffer2.alloc(sz);this._buf.copy(buf,0,0,this._offset),
this._buf=buf,this._size=sz}};module2.exports=Writer}});var require_ber=__commonJS({"node_modules/asn1/lib/ber/index.js"(exports2,module2){init_define_SAVEPOINT();var errors=require_errors(),
types=require_types(),Reader2=require_reader(),Writer=require_writer();module2.exports={Reader:Reader2,Writer};for(t in types)
types.hasOwnProperty(t)&&(module2.exports[t]=types[t]);var t;for(e in errors)errors.hasOwnProperty(e)&&(module2.exports[e]=
errors[e]);var e}});var require_lib=__commonJS({"node_modules/asn1/lib/index.js"(exports2,module2){init_define_SAVEPOINT();var Ber=require_ber();
module2.exports={Ber,BerReader:Ber.Reader,BerWriter:Ber.Writer}}});var require_nacl_fast=__commonJS({"node_modules/tweetnacl/nacl-fast.js"(exports2){init_define_SAVEPOINT();var{createHash:createHash5}=require("node:crypto");
exports2.lowlevel={crypto_hash(out,message,length){return out.set(createHash5("sha512").update(message.subarray(0,length)).
digest()),0}}}});var require_bcrypt_pbkdf=__commonJS({"node_modules/bcrypt-pbkdf/index.js"(exports2,module2){"use strict";init_define_SAVEPOINT();
var crypto_hash_sha512=require_nacl_fast().lowlevel.crypto_hash,BLF_J=0,Blowfish=function(){this.S=[new Uint32Array([3509652390,
2564797868,805139163,3491422135,3101798381,1780907670,3128725573,4046225305,614570311,3012652279,134345442,2240740374,1667834072,
1901547113,2757295779,4103290238,227898511,1921955416,1904987480,2182433518,2069144605,3260701109,2620446009,720527379,3318853667,
677414384,3393288472,3101374703,2390351024,1614419982,1822297739,2954791486,3608508353,3174124327,2024746970,1432378464,
3864339955,2857741204,1464375394,1676153920,1439316330,715854006,3033291828,289532110,2706671279,2087905683,3018724369,1668267050,
732546397,1947742710,3462151702,2609353502,2950085171,1814351708,2050118529,680887927,999245976,1800124847,3300911131,1713906067,
1641548236,4213287313,1216130144,1575780402,4018429277,3917837745,3693486850,3949271944,596196993,3549867205,258830323,2213823033,
772490370,2760122372,1774776394,2652871518,566650946,4142492826,1728879713,2882767088,1783734482,3629395816,2517608232,2874225571,
1861159788,326777828,3124490320,2130389656,2716951837,967770486,1724537150,2185432712,2364442137,1164943284,2105845187,998989502,
3765401048,2244026483,1075463327,1455516326,1322494562,910128902,469688178,1117454909,936433444,3490320968,3675253459,1240580251,
122909385,2157517691,634681816,4142456567,3825094682,3061402683,2540495037,79693498,3249098678,1084186820,1583128258,426386531,
1761308591,1047286709,322548459,995290223,1845252383,2603652396,3431023940,2942221577,3202600964,3727903485,1712269319,422464435,
3234572375,1170764815,3523960633,3117677531,1434042557,442511882,3600875718,1076654713,1738483198,4213154764,2393238008,
3677496056,1014306527,4251020053,793779912,2902807211,842905082,4246964064,1395751752,1040244610,2656851899,3396308128,445077038,
3742853595,3577915638,679411651,2892444358,2354009459,1767581616,3150600392,3791627101,3102740896,284835224,4246832056,1258075500,
768725851,2589189241,3069724005,3532540348,1274779536,3789419226,2764799539,1660621633,3471099624,4011903706,913787905,3497959166,
737222580,2514213453,2928710040,3937242737,1804850592,3499020752,2949064160,2386320175,2390070455,2415321851,4061277028,
2290661394,2416832540,1336762016,1754252060,3520065937,3014181293,791618072,3188594551,3933548030,2332172193,3852520463,
3043980520,413987798,3465142937,3030929376,4245938359,2093235073,3534596313,375366246,2157278981,2479649556,555357303,3870105701,
2008414854,3344188149,4221384143,3956125452,2067696032,3594591187,2921233993,2428461,544322398,577241275,1471733935,610547355,
4027169054,1432588573,1507829418,2025931657,3646575487,545086370,48609733,2200306550,1653985193,298326376,1316178497,3007786442,
2064951626,458293330,2589141269,3591329599,3164325604,727753846,2179363840,146436021,1461446943,4069977195,705550613,3059967265,
3887724982,4281599278,3313849956,1404054877,2845806497,146425753,1854211946]),new Uint32Array([1266315497,3048417604,3681880366,
3289982499,290971e4,1235738493,2632868024,2414719590,3970600049,1771706367,1449415276,3266420449,422970021,1963543593,2690192192,
3826793022,1062508698,1531092325,1804592342,2583117782,2714934279,4024971509,1294809318,4028980673,1289560198,2221992742,
1669523910,35572830,157838143,1052438473,1016535060,1802137761,1753167236,1386275462,3080475397,2857371447,1040679964,2145300060,
2390574316,1461121720,2956646967,4031777805,4028374788,33600511,2920084762,1018524850,629373528,3691585981,3515945977,2091462646,
2486323059,586499841,988145025,935516892,3367335476,2599673255,2839830854,265290510,3972581182,2759138881,3795373465,1005194799,
847297441,406762289,1314163512,1332590856,1866599683,4127851711,750260880,613907577,1450815602,3165620655,3734664991,3650291728,
3012275730,3704569646,1427272223,778793252,1343938022,2676280711,2052605720,1946737175,3164576444,3914038668,3967478842,
3682934266,1661551462,3294938066,4011595847,840292616,3712170807,616741398,312560963,711312465,1351876610,322626781,1910503582,
271666773,2175563734,1594956187,70604529,3617834859,1007753275,1495573769,4069517037,2549218298,2663038764,504708206,2263041392,
3941167025,2249088522,1514023603,1998579484,1312622330,694541497,2582060303,2151582166,1382467621,776784248,2618340202,3323268794,
2497899128,2784771155,503983604,4076293799,907881277,423175695,432175456,1378068232,4145222326,3954048622,3938656102,3820766613,
2793130115,2977904593,26017576,3274890735,3194772133,1700274565,1756076034,4006520079,3677328699,720338349,1533947780,354530856,
688349552,3973924725,1637815568,332179504,3949051286,53804574,2852348879,3044236432,1282449977,3583942155,3416972820,4006381244,
1617046695,2628476075,3002303598,1686838959,431878346,2686675385,1700445008,1080580658,1009431731,832498133,3223435511,2605976345,
2271191193,2516031870,1648197032,4164389018,2548247927,300782431,375919233,238389289,3353747414,2531188641,2019080857,1475708069,
455242339,2609103871,448939670,3451063019,1395535956,2413381860,1841049896,1491858159,885456874,4264095073,4001119347,1565136089,
3898914787,1108368660,540939232,1173283510,2745871338,3681308437,4207628240,3343053890,4016749493,1699691293,1103962373,
3625875870,2256883143,3830138730,1031889488,3479347698,1535977030,4236805024,3251091107,2132092099,1774941330,1199868427,
1452454533,157007616,2904115357,342012276,595725824,1480756522,206960106,497939518,591360097,863170706,2375253569,3596610801,
1814182875,2094937945,3421402208,1082520231,3463918190,2785509508,435703966,3908032597,1641649973,2842273706,3305899714,
1510255612,2148256476,2655287854,3276092548,4258621189,236887753,3681803219,274041037,1734335097,3815195456,3317970021,1899903192,
1026095262,4050517792,356393447,2410691914,3873677099,3682840055]),new Uint32Array([3913112168,2491498743,4132185628,2489919796,
1091903735,1979897079,3170134830,3567386728,3557303409,857797738,1136121015,1342202287,507115054,2535736646,337727348,3213592640,
1301675037,2528481711,1895095763,1721773893,3216771564,62756741,2142006736,835421444,2531993523,1442658625,3659876326,2882144922,
676362277,1392781812,170690266,3921047035,1759253602,3611846912,1745797284,664899054,1329594018,3901205900,3045908486,2062866102,
2865634940,3543621612,3464012697,1080764994,553557557,3656615353,3996768171,991055499,499776247,1265440854,648242737,3940784050,
980351604,3713745714,1749149687,3396870395,4211799374,3640570775,1161844396,3125318951,1431517754,545492359,4268468663,3499529547,
1437099964,2702547544,3433638243,2581715763,2787789398,1060185593,1593081372,2418618748,4260947970,69676912,2159744348,86519011,
2512459080,3838209314,1220612927,3339683548,133810670,1090789135,1078426020,1569222167,845107691,3583754449,4072456591,1091646820,
628848692,1613405280,3757631651,526609435,236106946,48312990,2942717905,3402727701,1797494240,859738849,992217954,4005476642,
2243076622,3870952857,3732016268,765654824,3490871365,2511836413,1685915746,3888969200,1414112111,2273134842,3281911079,
4080962846,172450625,2569994100,980381355,4109958455,2819808352,2716589560,2568741196,3681446669,3329971472,1835478071,660984891,
3704678404,4045999559,3422617507,3040415634,1762651403,1719377915,3470491036,2693910283,3642056355,3138596744,1364962596,
2073328063,1983633131,926494387,3423689081,2150032023,4096667949,1749200295,3328846651,309677260,2016342300,1779581495,3079819751,
111262694,1274766160,443224088,298511866,1025883608,3806446537,1145181785,168956806,3641502830,3584813610,1689216846,3666258015,
3200248200,1692713982,2646376535,4042768518,1618508792,1610833997,3523052358,4130873264,2001055236,3610705100,2202168115,
4028541809,2961195399,1006657119,2006996926,3186142756,1430667929,3210227297,1314452623,4074634658,4101304120,2273951170,
1399257539,3367210612,3027628629,1190975929,2062231137,2333990788,2221543033,2438960610,1181637006,548689776,2362791313,
3372408396,3104550113,3145860560,296247880,1970579870,3078560182,3769228297,1714227617,3291629107,3898220290,166772364,1251581989,
493813264,448347421,195405023,2709975567,677966185,3703036547,1463355134,2715995803,1338867538,1343315457,2802222074,2684532164,
233230375,2599980071,2000651841,3277868038,1638401717,4028070440,3237316320,6314154,819756386,300326615,590932579,1405279636,
3267499572,3150704214,2428286686,3959192993,3461946742,1862657033,1266418056,963775037,2089974820,2263052895,1917689273,
448879540,3550394620,3981727096,150775221,3627908307,1303187396,508620638,2975983352,2726630617,1817252668,1876281319,1457606340,
908771278,3720792119,3617206836,2455994898,1729034894,1080033504]),new Uint32Array([976866871,3556439503,2881648439,1522871579,
1555064734,1336096578,3548522304,2579274686,3574697629,3205460757,3593280638,3338716283,3079412587,564236357,2993598910,
1781952180,1464380207,3163844217,3332601554,1699332808,1393555694,1183702653,3581086237,1288719814,691649499,2847557200,
2895455976,3193889540,2717570544,1781354906,1676643554,2592534050,3230253752,1126444790,2770207658,2633158820,2210423226,
2615765581,2414155088,3127139286,673620729,2805611233,1269405062,4015350505,3341807571,4149409754,1057255273,2012875353,
2162469141,2276492801,2601117357,993977747,3918593370,2654263191,753973209,36408145,2530585658,25011837,3520020182,2088578344,
530523599,2918365339,1524020338,1518925132,3760827505,3759777254,1202760957,3985898139,3906192525,674977740,4174734889,2031300136,
2019492241,3983892565,4153806404,3822280332,352677332,2297720250,60907813,90501309,3286998549,1016092578,2535922412,2839152426,
457141659,509813237,4120667899,652014361,1966332200,2975202805,55981186,2327461051,676427537,3255491064,2882294119,3433927263,
1307055953,942726286,933058658,2468411793,3933900994,4215176142,1361170020,2001714738,2830558078,3274259782,1222529897,1679025792,
2729314320,3714953764,1770335741,151462246,3013232138,1682292957,1483529935,471910574,1539241949,458788160,3436315007,1807016891,
3718408830,978976581,1043663428,3165965781,1927990952,4200891579,2372276910,3208408903,3533431907,1412390302,2931980059,
4132332400,1947078029,3881505623,4168226417,2941484381,1077988104,1320477388,886195818,18198404,3786409e3,2509781533,112762804,
3463356488,1866414978,891333506,18488651,661792760,1628790961,3885187036,3141171499,876946877,2693282273,1372485963,791857591,
2686433993,3759982718,3167212022,3472953795,2716379847,445679433,3561995674,3504004811,3574258232,54117162,3331405415,2381918588,
3769707343,4154350007,1140177722,4074052095,668550556,3214352940,367459370,261225585,2610173221,4209349473,3468074219,3265815641,
314222801,3066103646,3808782860,282218597,3406013506,3773591054,379116347,1285071038,846784868,2669647154,3771962079,3550491691,
2305946142,453669953,1268987020,3317592352,3279303384,3744833421,2610507566,3859509063,266596637,3847019092,517658769,3462560207,
3443424879,370717030,4247526661,2224018117,4143653529,4112773975,2788324899,2477274417,1456262402,2901442914,1517677493,
1846949527,2295493580,3734397586,2176403920,1280348187,1908823572,3871786941,846861322,1172426758,3287448474,3383383037,
1655181056,3139813346,901632758,1897031941,2986607138,3066810236,3447102507,1393639104,373351379,950779232,625454576,3124240540,
4148612726,2007998917,544563296,2244738638,2330496472,2058025392,1291430526,424198748,50039436,29584100,3605783033,2429876329,
2791104160,1057563949,3255363231,3075367218,3463963227,1469046755,985887462])],this.P=new Uint32Array([608135816,2242054355,
320440878,57701188,2752067618,698298832,137296536,3964562569,1160258022,953160567,3193202383,887688300,3232508343,3380367581,
1065670069,3041331479,2450970073,2306472731])};function F(S,x8,i){return(S[0][x8[i+3]]+S[1][x8[i+2]]^S[2][x8[i+1]])+S[3][x8[i]]}
Blowfish.prototype.encipher=function(x,x8){x8===void 0&&(x8=new Uint8Array(x.buffer),x.byteOffset!==0&&(x8=x8.subarray(x.
byteOffset))),x[0]^=this.P[0];for(var i=1;i<16;i+=2)x[1]^=F(this.S,x8,0)^this.P[i],x[0]^=F(this.S,x8,4)^this.P[i+1];var t=x[0];
x[0]=x[1]^this.P[17],x[1]=t};Blowfish.prototype.decipher=function(x){var x8=new Uint8Array(x.buffer);x.byteOffset!==0&&(x8=
x8.subarray(x.byteOffset)),x[0]^=this.P[17];for(var i=16;i>0;i-=2)x[1]^=F(this.S,x8,0)^this.P[i],x[0]^=F(this.S,x8,4)^this.
P[i-1];var t=x[0];x[0]=x[1]^this.P[0],x[1]=t};function stream2word(data,databytes){var i,temp=0;for(i=0;i<4;i++,BLF_J++)
BLF_J>=databytes&&(BLF_J=0),temp=temp<<8|data[BLF_J];return temp}Blowfish.prototype.expand0state=function(key,keybytes){
var d=new Uint32Array(2),i,k,d8=new Uint8Array(d.buffer);for(i=0,BLF_J=0;i<18;i++)this.P[i]^=stream2word(key,keybytes);for(BLF_J=
0,i=0;i<18;i+=2)this.encipher(d,d8),this.P[i]=d[0],this.P[i+1]=d[1];for(i=0;i<4;i++)for(k=0;k<256;k+=2)this.encipher(d,d8),
this.S[i][k]=d[0],this.S[i][k+1]=d[1]};Blowfish.prototype.expandstate=function(data,databytes,key,keybytes){var d=new Uint32Array(
2),i,k;for(i=0,BLF_J=0;i<18;i++)this.P[i]^=stream2word(key,keybytes);for(i=0,BLF_J=0;i<18;i+=2)d[0]^=stream2word(data,databytes),
d[1]^=stream2word(data,databytes),this.encipher(d),this.P[i]=d[0],this.P[i+1]=d[1];for(i=0;i<4;i++)for(k=0;k<256;k+=2)d[0]^=
stream2word(data,databytes),d[1]^=stream2word(data,databytes),this.encipher(d),this.S[i][k]=d[0],this.S[i][k+1]=d[1];BLF_J=
0};Blowfish.prototype.enc=function(data,blocks){for(var i=0;i<blocks;i++)this.encipher(data.subarray(i*2))};Blowfish.prototype.
dec=function(data,blocks){for(var i=0;i<blocks;i++)this.decipher(data.subarray(i*2))};var BCRYPT_BLOCKS=8,BCRYPT_HASHSIZE=32;
function bcrypt_hash(sha2pass,sha2salt,out){var state=new Blowfish,cdata=new Uint32Array(BCRYPT_BLOCKS),i,ciphertext=new Uint8Array(
[79,120,121,99,104,114,111,109,97,116,105,99,66,108,111,119,102,105,115,104,83,119,97,116,68,121,110,97,109,105,116,101]);
for(state.expandstate(sha2salt,64,sha2pass,64),i=0;i<64;i++)state.expand0state(sha2salt,64),state.expand0state(sha2pass,
64);for(i=0;i<BCRYPT_BLOCKS;i++)cdata[i]=stream2word(ciphertext,ciphertext.byteLength);for(i=0;i<64;i++)state.enc(cdata,
cdata.byteLength/8);for(i=0;i<BCRYPT_BLOCKS;i++)out[4*i+3]=cdata[i]>>>24,out[4*i+2]=cdata[i]>>>16,out[4*i+1]=cdata[i]>>>
8,out[4*i+0]=cdata[i]}function bcrypt_pbkdf(pass,passlen,salt,saltlen,key,keylen,rounds){var sha2pass=new Uint8Array(64),
sha2salt=new Uint8Array(64),out=new Uint8Array(BCRYPT_HASHSIZE),tmpout=new Uint8Array(BCRYPT_HASHSIZE),countsalt=new Uint8Array(
saltlen+4),i,j,amt,stride,dest,count2,origkeylen=keylen;if(rounds<1||passlen===0||saltlen===0||keylen===0||keylen>out.byteLength*
out.byteLength||saltlen>1<<20)return-1;for(stride=Math.floor((keylen+out.byteLength-1)/out.byteLength),amt=Math.floor((keylen+
stride-1)/stride),i=0;i<saltlen;i++)countsalt[i]=salt[i];for(crypto_hash_sha512(sha2pass,pass,passlen),count2=1;keylen>0;count2++){
for(countsalt[saltlen+0]=count2>>>24,countsalt[saltlen+1]=count2>>>16,countsalt[saltlen+2]=count2>>>8,countsalt[saltlen+
3]=count2,crypto_hash_sha512(sha2salt,countsalt,saltlen+4),bcrypt_hash(sha2pass,sha2salt,tmpout),i=out.byteLength;i--;)out[i]=
tmpout[i];for(i=1;i<rounds;i++)for(crypto_hash_sha512(sha2salt,tmpout,tmpout.byteLength),bcrypt_hash(sha2pass,sha2salt,tmpout),
j=0;j<out.byteLength;j++)out[j]^=tmpout[j];for(amt=Math.min(amt,keylen),i=0;i<amt&&(dest=i*stride+(count2-1),!(dest>=origkeylen));i++)
key[dest]=out[i];keylen-=i}return 0}module2.exports={BLOCKS:BCRYPT_BLOCKS,HASHSIZE:BCRYPT_HASHSIZE,hash:bcrypt_hash,pbkdf:bcrypt_pbkdf}}});var require_cpu_features=__commonJS({"native:cpu-features"(){init_define_SAVEPOINT();throw new Error("cpu-features is no\
t part of the bundle")}});var require_constants=__commonJS({"node_modules/ssh2/lib/protocol/constants.js"(exports2,module2){"use strict";init_define_SAVEPOINT();
var crypto=require("crypto"),cpuInfo;try{cpuInfo=require_cpu_features()()}catch{}var{bindingAvailable,CIPHER_INFO,MAC_INFO}=require_crypto(),
eddsaSupported=(()=>{if(typeof crypto.sign=="function"&&typeof crypto.verify=="function"){let key=`-----BEGIN PRIVATE KE\
Y-----\r
MC4CAQAwBQYDK2VwBCIEIHKj+sVa9WcD/q2DJUJaf43Kptc8xYuUQA4bOFj9vC8T\r
-----END PRIVATE KEY-----`,data=Buffer.from("a"),sig,verified2;try{sig=crypto.sign(null,data,key),verified2=crypto.verify(
null,data,key,sig)}catch{}return Buffer.isBuffer(sig)&&sig.length===64&&verified2===!0}return!1})(),curve25519Supported=typeof crypto.
diffieHellman=="function"&&typeof crypto.generateKeyPairSync=="function"&&typeof crypto.createPublicKey=="function",DEFAULT_KEX=[
"ecdh-sha2-nistp256","ecdh-sha2-nistp384","ecdh-sha2-nistp521","diffie-hellman-group-exchange-sha256","diffie-hellman-gr\
oup14-sha256","diffie-hellman-group15-sha512","diffie-hellman-group16-sha512","diffie-hellman-group17-sha512","diffie-he\
llman-group18-sha512"];curve25519Supported&&(DEFAULT_KEX.unshift("curve25519-sha256"),DEFAULT_KEX.unshift("curve25519-sh\
a256@libssh.org"));var SUPPORTED_KEX=DEFAULT_KEX.concat(["diffie-hellman-group-exchange-sha1","diffie-hellman-group14-sh\
a1","diffie-hellman-group1-sha1"]),DEFAULT_SERVER_HOST_KEY=["ecdsa-sha2-nistp256","ecdsa-sha2-nistp384","ecdsa-sha2-nist\
p521","rsa-sha2-512","rsa-sha2-256","ssh-rsa"];eddsaSupported&&DEFAULT_SERVER_HOST_KEY.unshift("ssh-ed25519");var SUPPORTED_SERVER_HOST_KEY=DEFAULT_SERVER_HOST_KEY.
concat(["ssh-dss"]),canUseCipher=(()=>{let ciphers2=crypto.getCiphers();return name=>ciphers2.includes(CIPHER_INFO[name].
sslName)})(),DEFAULT_CIPHER=["aes128-gcm@openssh.com","aes256-gcm@openssh.com","aes128-ctr","aes192-ctr","aes256-ctr"];cpuInfo&&
cpuInfo.flags&&!cpuInfo.flags.aes?bindingAvailable?DEFAULT_CIPHER.unshift("chacha20-poly1305@openssh.com"):DEFAULT_CIPHER.
push("chacha20-poly1305@openssh.com"):bindingAvailable&&cpuInfo&&cpuInfo.arch==="x86"?DEFAULT_CIPHER.splice(4,0,"chacha2\
0-poly1305@openssh.com"):DEFAULT_CIPHER.push("chacha20-poly1305@openssh.com");DEFAULT_CIPHER=DEFAULT_CIPHER.filter(canUseCipher);
var SUPPORTED_CIPHER=DEFAULT_CIPHER.concat(["aes256-cbc","aes192-cbc","aes128-cbc","blowfish-cbc","3des-cbc","aes128-gcm",
"aes256-gcm","arcfour256","arcfour128","cast128-cbc","arcfour"].filter(canUseCipher)),canUseMAC=(()=>{let hashes2=crypto.
getHashes();return name=>hashes2.includes(MAC_INFO[name].sslName)})(),DEFAULT_MAC=["hmac-sha2-256-etm@openssh.com","hmac\
-sha2-512-etm@openssh.com","hmac-sha1-etm@openssh.com","hmac-sha2-256","hmac-sha2-512","hmac-sha1"].filter(canUseMAC),SUPPORTED_MAC=DEFAULT_MAC.
concat(["hmac-md5","hmac-sha2-256-96","hmac-sha2-512-96","hmac-ripemd160","hmac-sha1-96","hmac-md5-96"].filter(canUseMAC)),
DEFAULT_COMPRESSION=["none","zlib@openssh.com","zlib"],SUPPORTED_COMPRESSION=DEFAULT_COMPRESSION.concat([]),COMPAT={BAD_DHGEX:1,
OLD_EXIT:2,DYN_RPORT_BUG:4,BUG_DHGEX_LARGE:8,IMPLY_RSA_SHA2_SIGALGS:16};module2.exports={MESSAGE:{DISCONNECT:1,IGNORE:2,
UNIMPLEMENTED:3,DEBUG:4,SERVICE_REQUEST:5,SERVICE_ACCEPT:6,EXT_INFO:7,KEXINIT:20,NEWKEYS:21,KEXDH_INIT:30,KEXDH_REPLY:31,
KEXDH_GEX_GROUP:31,KEXDH_GEX_INIT:32,KEXDH_GEX_REPLY:33,KEXDH_GEX_REQUEST:34,KEXECDH_INIT:30,KEXECDH_REPLY:31,USERAUTH_REQUEST:50,
USERAUTH_FAILURE:51,USERAUTH_SUCCESS:52,USERAUTH_BANNER:53,USERAUTH_PASSWD_CHANGEREQ:60,USERAUTH_PK_OK:60,USERAUTH_INFO_REQUEST:60,
USERAUTH_INFO_RESPONSE:61,GLOBAL_REQUEST:80,REQUEST_SUCCESS:81,REQUEST_FAILURE:82,CHANNEL_OPEN:90,CHANNEL_OPEN_CONFIRMATION:91,
CHANNEL_OPEN_FAILURE:92,CHANNEL_WINDOW_ADJUST:93,CHANNEL_DATA:94,CHANNEL_EXTENDED_DATA:95,CHANNEL_EOF:96,CHANNEL_CLOSE:97,
CHANNEL_REQUEST:98,CHANNEL_SUCCESS:99,CHANNEL_FAILURE:100},DISCONNECT_REASON:{HOST_NOT_ALLOWED_TO_CONNECT:1,PROTOCOL_ERROR:2,
KEY_EXCHANGE_FAILED:3,RESERVED:4,MAC_ERROR:5,COMPRESSION_ERROR:6,SERVICE_NOT_AVAILABLE:7,PROTOCOL_VERSION_NOT_SUPPORTED:8,
HOST_KEY_NOT_VERIFIABLE:9,CONNECTION_LOST:10,BY_APPLICATION:11,TOO_MANY_CONNECTIONS:12,AUTH_CANCELED_BY_USER:13,NO_MORE_AUTH_METHODS_AVAILABLE:14,
ILLEGAL_USER_NAME:15},DISCONNECT_REASON_STR:void 0,CHANNEL_OPEN_FAILURE:{ADMINISTRATIVELY_PROHIBITED:1,CONNECT_FAILED:2,
UNKNOWN_CHANNEL_TYPE:3,RESOURCE_SHORTAGE:4},TERMINAL_MODE:{TTY_OP_END:0,VINTR:1,VQUIT:2,VERASE:3,VKILL:4,VEOF:5,VEOL:6,VEOL2:7,
VSTART:8,VSTOP:9,VSUSP:10,VDSUSP:11,VREPRINT:12,VWERASE:13,VLNEXT:14,VFLUSH:15,VSWTCH:16,VSTATUS:17,VDISCARD:18,IGNPAR:30,
PARMRK:31,INPCK:32,ISTRIP:33,INLCR:34,IGNCR:35,ICRNL:36,IUCLC:37,IXON:38,IXANY:39,IXOFF:40,IMAXBEL:41,ISIG:50,ICANON:51,
XCASE:52,ECHO:53,ECHOE:54,ECHOK:55,ECHONL:56,NOFLSH:57,TOSTOP:58,IEXTEN:59,ECHOCTL:60,ECHOKE:61,PENDIN:62,OPOST:70,OLCUC:71,
ONLCR:72,OCRNL:73,ONOCR:74,ONLRET:75,CS7:90,CS8:91,PARENB:92,PARODD:93,TTY_OP_ISPEED:128,TTY_OP_OSPEED:129},CHANNEL_EXTENDED_DATATYPE:{
STDERR:1},SIGNALS:["ABRT","ALRM","FPE","HUP","ILL","INT","QUIT","SEGV","TERM","USR1","USR2","KILL","PIPE"].reduce((cur,val)=>({
...cur,[val]:1}),{}),COMPAT,COMPAT_CHECKS:[["Cisco-1.25",COMPAT.BAD_DHGEX],[/^Cisco-1[.]/,COMPAT.BUG_DHGEX_LARGE],[/^[0-9.]+$/,
COMPAT.OLD_EXIT],[/^OpenSSH_5[.][0-9]+/,COMPAT.DYN_RPORT_BUG],[/^OpenSSH_7[.]4/,COMPAT.IMPLY_RSA_SHA2_SIGALGS]],DEFAULT_KEX,
SUPPORTED_KEX,DEFAULT_SERVER_HOST_KEY,SUPPORTED_SERVER_HOST_KEY,DEFAULT_CIPHER,SUPPORTED_CIPHER,DEFAULT_MAC,SUPPORTED_MAC,
DEFAULT_COMPRESSION,SUPPORTED_COMPRESSION,curve25519Supported,eddsaSupported};module2.exports.DISCONNECT_REASON_BY_VALUE=
Array.from(Object.entries(module2.exports.DISCONNECT_REASON)).reduce((obj,[key,value])=>({...obj,[value]:key}),{})}});var require_utils=__commonJS({"node_modules/ssh2/lib/protocol/utils.js"(exports2,module2){"use strict";init_define_SAVEPOINT();
var Ber=require_lib().Ber,DISCONNECT_REASON,FastBuffer=Buffer[Symbol.species],TypedArrayFill=Object.getPrototypeOf(Uint8Array.
prototype).fill;function readUInt32BE(buf,offset){return buf[offset++]*16777216+buf[offset++]*65536+buf[offset++]*256+buf[offset]}
function bufferCopy(src,dest,srcStart,srcEnd,destStart){destStart||(destStart=0),srcEnd>src.length&&(srcEnd=src.length);
let nb=srcEnd-srcStart,destLeft=dest.length-destStart;return nb>destLeft&&(nb=destLeft),dest.set(new Uint8Array(src.buffer,
src.byteOffset+srcStart,nb),destStart),nb}function bufferSlice(buf,start2,end2){return end2===void 0&&(end2=buf.length),
new FastBuffer(buf.buffer,buf.byteOffset+start2,end2-start2)}function makeBufferParser(){let pos=0,buffer4,self2={init:(buf,start2)=>{
buffer4=buf,pos=typeof start2=="number"?start2:0},pos:()=>pos,length:()=>buffer4?buffer4.length:0,avail:()=>buffer4&&pos<
buffer4.length?buffer4.length-pos:0,clear:()=>{buffer4=void 0},readUInt32BE:()=>{if(!(!buffer4||pos+3>=buffer4.length))return buffer4[pos++]*
16777216+buffer4[pos++]*65536+buffer4[pos++]*256+buffer4[pos++]},readUInt64BE:behavior=>{if(!(!buffer4||pos+7>=buffer4.length))
switch(behavior){case"always":return BigInt(`0x${buffer4.hexSlice(pos,pos+=8)}`);case"maybe":if(buffer4[pos]>31)return BigInt(
`0x${buffer4.hexSlice(pos,pos+=8)}`);default:return buffer4[pos++]*72057594037927940+buffer4[pos++]*281474976710656+buffer4[pos++]*
1099511627776+buffer4[pos++]*4294967296+buffer4[pos++]*16777216+buffer4[pos++]*65536+buffer4[pos++]*256+buffer4[pos++]}},
skip:n=>{buffer4&&n>0&&(pos+=n)},skipString:()=>{let len=self2.readUInt32BE();if(len!==void 0)return pos+=len,pos<=buffer4.
length?len:void 0},readByte:()=>{if(buffer4&&pos<buffer4.length)return buffer4[pos++]},readBool:()=>{if(buffer4&&pos<buffer4.
length)return!!buffer4[pos++]},readList:()=>{let list=self2.readString(!0);if(list!==void 0)return list?list.split(","):
[]},readString:(dest,maxLen)=>{typeof dest=="number"&&(maxLen=dest,dest=void 0);let len=self2.readUInt32BE();if(len!==void 0&&
!(buffer4.length-pos<len||typeof maxLen=="number"&&len>maxLen))return dest?Buffer.isBuffer(dest)?bufferCopy(buffer4,dest,
pos,pos+=len):buffer4.utf8Slice(pos,pos+=len):bufferSlice(buffer4,pos,pos+=len)},readRaw:len=>{if(buffer4){if(typeof len!=
"number")return bufferSlice(buffer4,pos,pos+=buffer4.length-pos);if(buffer4.length-pos>=len)return bufferSlice(buffer4,pos,
pos+=len)}}};return self2}function makeError(msg,level,fatal){let err=new Error(msg);return typeof level=="boolean"?(fatal=
level,err.level="protocol"):err.level=level||"protocol",err.fatal=!!fatal,err}function writeUInt32BE(buf,value,offset){return buf[offset++]=
value>>>24,buf[offset++]=value>>>16,buf[offset++]=value>>>8,buf[offset++]=value,offset}var utilBufferParser=makeBufferParser();
module2.exports={bufferCopy,bufferSlice,FastBuffer,bufferFill:(buf,value,start2,end2)=>TypedArrayFill.call(buf,value,start2,
end2),makeError,doFatalError:(protocol,msg,level,reason)=>{let err;return DISCONNECT_REASON===void 0&&({DISCONNECT_REASON}=
require_constants()),msg instanceof Error?(err=msg,typeof level!="number"?reason=DISCONNECT_REASON.PROTOCOL_ERROR:reason=
level):err=makeError(msg,level,!0),typeof reason!="number"&&(reason=DISCONNECT_REASON.PROTOCOL_ERROR),protocol.disconnect(
reason),protocol._destruct(),protocol._onError(err),1/0},readUInt32BE,writeUInt32BE,writeUInt32LE:(buf,value,offset)=>(buf[offset++]=
value,buf[offset++]=value>>>8,buf[offset++]=value>>>16,buf[offset++]=value>>>24,offset),makeBufferParser,bufferParser:makeBufferParser(),
readString:(buffer4,start2,dest,maxLen)=>{typeof dest=="number"&&(maxLen=dest,dest=void 0),start2===void 0&&(start2=0);let left=buffer4.
length-start2;if(start2<0||start2>=buffer4.length||left<4)return;let len=readUInt32BE(buffer4,start2);if(left<4+len||typeof maxLen==
"number"&&len>maxLen)return;start2+=4;let end2=start2+len;return buffer4._pos=end2,dest?Buffer.isBuffer(dest)?bufferCopy(
buffer4,dest,start2,end2):buffer4.utf8Slice(start2,end2):bufferSlice(buffer4,start2,end2)},sigSSHToASN1:(sig,type)=>{switch(type){case"\
ssh-dss":{if(sig.length>40)return sig;let asnWriter=new Ber.Writer;asnWriter.startSequence();let r=sig.slice(0,20),s=sig.
slice(20);if(r[0]&128){let rNew=Buffer.allocUnsafe(21);rNew[0]=0,r.copy(rNew,1),r=rNew}else r[0]===0&&!(r[1]&128)&&(r=r.
slice(1));if(s[0]&128){let sNew=Buffer.allocUnsafe(21);sNew[0]=0,s.copy(sNew,1),s=sNew}else s[0]===0&&!(s[1]&128)&&(s=s.
slice(1));return asnWriter.writeBuffer(r,Ber.Integer),asnWriter.writeBuffer(s,Ber.Integer),asnWriter.endSequence(),asnWriter.
buffer}case"ecdsa-sha2-nistp256":case"ecdsa-sha2-nistp384":case"ecdsa-sha2-nistp521":{utilBufferParser.init(sig,0);let r=utilBufferParser.
readString(),s=utilBufferParser.readString();if(utilBufferParser.clear(),r===void 0||s===void 0)return;let asnWriter=new Ber.
Writer;return asnWriter.startSequence(),asnWriter.writeBuffer(r,Ber.Integer),asnWriter.writeBuffer(s,Ber.Integer),asnWriter.
endSequence(),asnWriter.buffer}default:return sig}},convertSignature:(signature,keyType2)=>{switch(keyType2){case"ssh-ds\
s":{if(signature.length<=40)return signature;let asnReader=new Ber.Reader(signature);asnReader.readSequence();let r=asnReader.
readString(Ber.Integer,!0),s=asnReader.readString(Ber.Integer,!0),rOffset=0,sOffset=0;if(r.length<20){let rNew=Buffer.allocUnsafe(
20);rNew.set(r,1),r=rNew,r[0]=0}if(s.length<20){let sNew=Buffer.allocUnsafe(20);sNew.set(s,1),s=sNew,s[0]=0}r.length>20&&
r[0]===0&&(rOffset=1),s.length>20&&s[0]===0&&(sOffset=1);let newSig=Buffer.allocUnsafe(r.length-rOffset+(s.length-sOffset));
return bufferCopy(r,newSig,rOffset,r.length,0),bufferCopy(s,newSig,sOffset,s.length,r.length-rOffset),newSig}case"ecdsa-\
sha2-nistp256":case"ecdsa-sha2-nistp384":case"ecdsa-sha2-nistp521":{if(signature[0]===0)return signature;let asnReader=new Ber.
Reader(signature);asnReader.readSequence();let r=asnReader.readString(Ber.Integer,!0),s=asnReader.readString(Ber.Integer,
!0);if(r===null||s===null)return;let newSig=Buffer.allocUnsafe(4+r.length+4+s.length);return writeUInt32BE(newSig,r.length,
0),newSig.set(r,4),writeUInt32BE(newSig,s.length,4+r.length),newSig.set(s,8+r.length),newSig}}return signature},sendPacket:(proto,packet,bypass)=>!bypass&&
proto._kexinit!==void 0?(proto._queue===void 0&&(proto._queue=[]),proto._queue.push(packet),proto._debug&&proto._debug("\
Outbound: ... packet queued"),!1):(proto._cipher.encrypt(packet),!0)}}});var require_sshcrypto=__commonJS({"native:./crypto/build/Release/sshcrypto.node"(){init_define_SAVEPOINT();throw new Error(
"./crypto/build/Release/sshcrypto.node is not part of the bundle")}});var require_poly1305=__commonJS({"node_modules/ssh2/lib/protocol/crypto/poly1305.js"(exports2,module2){init_define_SAVEPOINT();
var createPoly1305=(function(){var _scriptDir=typeof document<"u"&&document.currentScript?document.currentScript.src:void 0;
return typeof __filename<"u"&&(_scriptDir=_scriptDir||__filename),(function(createPoly13052){createPoly13052=createPoly13052||
{};var b;b||(b=typeof createPoly13052<"u"?createPoly13052:{});var q,r;b.ready=new Promise(function(a,c){q=a,r=c});var u={},
w;for(w in b)b.hasOwnProperty(w)&&(u[w]=b[w]);var x=typeof window=="object",y=typeof importScripts=="function",z=typeof process==
"object"&&typeof process.versions=="object"&&typeof process.versions.node=="string",B="",C,D,E,F,G;z?(B=y?require("path").
dirname(B)+"/":__dirname+"/",C=function(a,c){var d=H(a);return d?c?d:d.toString():(F||(F=require("fs")),G||(G=require("path")),
a=G.normalize(a),F.readFileSync(a,c?null:"utf8"))},E=function(a){return a=C(a,!0),a.buffer||(a=new Uint8Array(a)),assert2(
a.buffer),a},D=function(a,c,d){var e=H(a);e&&c(e),F||(F=require("fs")),G||(G=require("path")),a=G.normalize(a),F.readFile(
a,function(f,l){f?d(f):c(l.buffer)})},1<process.argv.length&&process.argv[1].replace(/\\/g,"/"),process.argv.slice(2),b.
inspect=function(){return"[Emscripten Module object]"}):(x||y)&&(y?B=self.location.href:typeof document<"u"&&document.currentScript&&
(B=document.currentScript.src),_scriptDir&&(B=_scriptDir),B.indexOf("blob:")!==0?B=B.substr(0,B.lastIndexOf("/")+1):B="",
C=function(a){try{var c=new XMLHttpRequest;return c.open("GET",a,!1),c.send(null),c.responseText}catch(f){if(a=H(a)){c=[];
for(var d=0;d<a.length;d++){var e=a[d];255<e&&(ba&&assert2(!1,"Character code "+e+" ("+String.fromCharCode(e)+")  at off\
set "+d+" not in 0x00-0xFF."),e&=255),c.push(String.fromCharCode(e))}return c.join("")}throw f}},y&&(E=function(a){try{var c=new XMLHttpRequest;
return c.open("GET",a,!1),c.responseType="arraybuffer",c.send(null),new Uint8Array(c.response)}catch(d){if(a=H(a))return a;
throw d}}),D=function(a,c,d){var e=new XMLHttpRequest;e.open("GET",a,!0),e.responseType="arraybuffer",e.onload=function(){
if(e.status==200||e.status==0&&e.response)c(e.response);else{var f=H(a);f?c(f.buffer):d()}},e.onerror=d,e.send(null)}),b.
print||console.log.bind(console);var I=b.printErr||console.warn.bind(console);for(w in u)u.hasOwnProperty(w)&&(b[w]=u[w]);
u=null;var J;b.wasmBinary&&(J=b.wasmBinary);var noExitRuntime=b.noExitRuntime||!0;typeof WebAssembly!="object"&&K("no na\
tive wasm support detected");var L,M=!1;function assert2(a,c){a||K("Assertion failed: "+c)}function N(a){var c=b["_"+a];
return assert2(c,"Cannot call unknown function "+a+", make sure it is exported"),c}function ca(a,c,d,e){var f={string:function(g){
var p=0;if(g!=null&&g!==0){var n=(g.length<<2)+1;p=O(n);var k=p,h=P;if(0<n){n=k+n-1;for(var v=0;v<g.length;++v){var m=g.
charCodeAt(v);if(55296<=m&&57343>=m){var oa=g.charCodeAt(++v);m=65536+((m&1023)<<10)|oa&1023}if(127>=m){if(k>=n)break;h[k++]=
m}else{if(2047>=m){if(k+1>=n)break;h[k++]=192|m>>6}else{if(65535>=m){if(k+2>=n)break;h[k++]=224|m>>12}else{if(k+3>=n)break;
h[k++]=240|m>>18,h[k++]=128|m>>12&63}h[k++]=128|m>>6&63}h[k++]=128|m&63}}h[k]=0}}return p},array:function(g){var p=O(g.length);
return Q.set(g,p),p}},l=N(a),A=[];if(a=0,e)for(var t=0;t<e.length;t++){var aa=f[d[t]];aa?(a===0&&(a=da()),A[t]=aa(e[t])):
A[t]=e[t]}return d=l.apply(null,A),d=(function(g){if(c==="string")if(g){for(var p=P,n=g+NaN,k=g;p[k]&&!(k>=n);)++k;if(16<
k-g&&p.subarray&&ea)g=ea.decode(p.subarray(g,k));else{for(n="";g<k;){var h=p[g++];if(h&128){var v=p[g++]&63;if((h&224)==
192)n+=String.fromCharCode((h&31)<<6|v);else{var m=p[g++]&63;h=(h&240)==224?(h&15)<<12|v<<6|m:(h&7)<<18|v<<12|m<<6|p[g++]&
63,65536>h?n+=String.fromCharCode(h):(h-=65536,n+=String.fromCharCode(55296|h>>10,56320|h&1023))}}else n+=String.fromCharCode(
h)}g=n}}else g="";else g=c==="boolean"?!!g:g;return g})(d),a!==0&&fa(a),d}var ea=typeof TextDecoder<"u"?new TextDecoder(
"utf8"):void 0,ha,Q,P;function ia(){var a=L.buffer;ha=a,b.HEAP8=Q=new Int8Array(a),b.HEAP16=new Int16Array(a),b.HEAP32=new Int32Array(
a),b.HEAPU8=P=new Uint8Array(a),b.HEAPU16=new Uint16Array(a),b.HEAPU32=new Uint32Array(a),b.HEAPF32=new Float32Array(a),
b.HEAPF64=new Float64Array(a)}var R,ja=[],ka=[],la=[];function ma(){var a=b.preRun.shift();ja.unshift(a)}var S=0,T=null,
U=null;b.preloadedImages={},b.preloadedAudios={};function K(a){throw b.onAbort&&b.onAbort(a),I(a),M=!0,a=new WebAssembly.
RuntimeError("abort("+a+"). Build with -s ASSERTIONS=1 for more info."),r(a),a}var V="data:application/octet-stream;base\
64,",W;if(W="data:application/octet-stream;base64,AGFzbQEAAAABIAZgAX8Bf2ADf39/AGABfwBgAABgAAF/YAZ/f39/f38AAgcBAWEBYQAAAw\
sKAAEDAQAAAgQFAgQFAXABAQEFBwEBgAKAgAIGCQF/AUGAjMACCwclCQFiAgABYwADAWQACQFlAAgBZgAHAWcABgFoAAUBaQAKAWoBAAqGTQpPAQJ/QYAIKA\
IAIgEgAEEDakF8cSICaiEAAkAgAkEAIAAgAU0bDQAgAD8AQRB0SwRAIAAQAEUNAQtBgAggADYCACABDwtBhAhBMDYCAEF/C4wFAg5+Cn8gACgCJCEUIAAoAi\
AhFSAAKAIcIREgACgCGCESIAAoAhQhEyACQRBPBEAgAC0ATEVBGHQhFyAAKAIEIhZBBWytIQ8gACgCCCIYQQVsrSENIAAoAgwiGUEFbK0hCyAAKAIQIhpBBW\
ytIQkgADUCACEIIBqtIRAgGa0hDiAYrSEMIBatIQoDQCASIAEtAAMiEiABLQAEQQh0ciABLQAFQRB0ciABLQAGIhZBGHRyQQJ2Qf///x9xaq0iAyAOfiABLw\
AAIAEtAAJBEHRyIBNqIBJBGHRBgICAGHFqrSIEIBB+fCARIAEtAAdBCHQgFnIgAS0ACEEQdHIgAS0ACSIRQRh0ckEEdkH///8fcWqtIgUgDH58IAEtAApBCH\
QgEXIgAS0AC0EQdHIgAS0ADEEYdHJBBnYgFWqtIgYgCn58IBQgF2ogAS8ADSABLQAPQRB0cmqtIgcgCH58IAMgDH4gBCAOfnwgBSAKfnwgBiAIfnwgByAJfn\
wgAyAKfiAEIAx+fCAFIAh+fCAGIAl+fCAHIAt+fCADIAh+IAQgCn58IAUgCX58IAYgC358IAcgDX58IAMgCX4gBCAIfnwgBSALfnwgBiANfnwgByAPfnwiA0\
IaiEL/////D4N8IgRCGohC/////w+DfCIFQhqIQv////8Pg3wiBkIaiEL/////D4N8IgdCGoinQQVsIAOnQf///x9xaiITQRp2IASnQf///x9xaiESIAWnQf\
///x9xIREgBqdB////H3EhFSAHp0H///8fcSEUIBNB////H3EhEyABQRBqIQEgAkEQayICQQ9LDQALCyAAIBQ2AiQgACAVNgIgIAAgETYCHCAAIBI2AhggAC\
ATNgIUCwMAAQu2BAEGfwJAIAAoAjgiBARAIABBPGohBQJAIAJBECAEayIDIAIgA0kbIgZFDQAgBkEDcSEHAkAgBkEBa0EDSQRAQQAhAwwBCyAGQXxxIQhBAC\
EDA0AgBSADIARqaiABIANqLQAAOgAAIAUgA0EBciIEIAAoAjhqaiABIARqLQAAOgAAIAUgA0ECciIEIAAoAjhqaiABIARqLQAAOgAAIAUgA0EDciIEIAAoAj\
hqaiABIARqLQAAOgAAIANBBGohAyAAKAI4IQQgCEEEayIIDQALCyAHRQ0AA0AgBSADIARqaiABIANqLQAAOgAAIANBAWohAyAAKAI4IQQgB0EBayIHDQALCy\
AAIAQgBmoiAzYCOCADQRBJDQEgACAFQRAQAiAAQQA2AjggAiAGayECIAEgBmohAQsgAkEQTwRAIAAgASACQXBxIgMQAiACQQ9xIQIgASADaiEBCyACRQ0AIA\
JBA3EhBCAAQTxqIQVBACEDIAJBAWtBA08EQCACQXxxIQcDQCAFIAAoAjggA2pqIAEgA2otAAA6AAAgBSADQQFyIgYgACgCOGpqIAEgBmotAAA6AAAgBSADQQ\
JyIgYgACgCOGpqIAEgBmotAAA6AAAgBSADQQNyIgYgACgCOGpqIAEgBmotAAA6AAAgA0EEaiEDIAdBBGsiBw0ACwsgBARAA0AgBSAAKAI4IANqaiABIANqLQ\
AAOgAAIANBAWohAyAEQQFrIgQNAAsLIAAgACgCOCACajYCOAsLoS0BDH8jAEEQayIMJAACQAJAAkACQAJAAkACQAJAAkACQAJAAkAgAEH0AU0EQEGICCgCAC\
IFQRAgAEELakF4cSAAQQtJGyIIQQN2IgJ2IgFBA3EEQCABQX9zQQFxIAJqIgNBA3QiAUG4CGooAgAiBEEIaiEAAkAgBCgCCCICIAFBsAhqIgFGBEBBiAggBU\
F+IAN3cTYCAAwBCyACIAE2AgwgASACNgIICyAEIANBA3QiAUEDcjYCBCABIARqIgEgASgCBEEBcjYCBAwNCyAIQZAIKAIAIgpNDQEgAQRAAkBBAiACdCIAQQ\
AgAGtyIAEgAnRxIgBBACAAa3FBAWsiACAAQQx2QRBxIgJ2IgFBBXZBCHEiACACciABIAB2IgFBAnZBBHEiAHIgASAAdiIBQQF2QQJxIgByIAEgAHYiAUEBdk\
EBcSIAciABIAB2aiIDQQN0IgBBuAhqKAIAIgQoAggiASAAQbAIaiIARgRAQYgIIAVBfiADd3EiBTYCAAwBCyABIAA2AgwgACABNgIICyAEQQhqIQAgBCAIQQ\
NyNgIEIAQgCGoiAiADQQN0IgEgCGsiA0EBcjYCBCABIARqIAM2AgAgCgRAIApBA3YiAUEDdEGwCGohB0GcCCgCACEEAn8gBUEBIAF0IgFxRQRAQYgIIAEgBX\
I2AgAgBwwBCyAHKAIICyEBIAcgBDYCCCABIAQ2AgwgBCAHNgIMIAQgATYCCAtBnAggAjYCAEGQCCADNgIADA0LQYwIKAIAIgZFDQEgBkEAIAZrcUEBayIAIA\
BBDHZBEHEiAnYiAUEFdkEIcSIAIAJyIAEgAHYiAUECdkEEcSIAciABIAB2IgFBAXZBAnEiAHIgASAAdiIBQQF2QQFxIgByIAEgAHZqQQJ0QbgKaigCACIBKA\
IEQXhxIAhrIQMgASECA0ACQCACKAIQIgBFBEAgAigCFCIARQ0BCyAAKAIEQXhxIAhrIgIgAyACIANJIgIbIQMgACABIAIbIQEgACECDAELCyABIAhqIgkgAU\
0NAiABKAIYIQsgASABKAIMIgRHBEAgASgCCCIAQZgIKAIASRogACAENgIMIAQgADYCCAwMCyABQRRqIgIoAgAiAEUEQCABKAIQIgBFDQQgAUEQaiECCwNAIA\
IhByAAIgRBFGoiAigCACIADQAgBEEQaiECIAQoAhAiAA0ACyAHQQA2AgAMCwtBfyEIIABBv39LDQAgAEELaiIAQXhxIQhBjAgoAgAiCUUNAEEAIAhrIQMCQA\
JAAkACf0EAIAhBgAJJDQAaQR8gCEH///8HSw0AGiAAQQh2IgAgAEGA/j9qQRB2QQhxIgJ0IgAgAEGA4B9qQRB2QQRxIgF0IgAgAEGAgA9qQRB2QQJxIgB0QQ\
92IAEgAnIgAHJrIgBBAXQgCCAAQRVqdkEBcXJBHGoLIgVBAnRBuApqKAIAIgJFBEBBACEADAELQQAhACAIQQBBGSAFQQF2ayAFQR9GG3QhAQNAAkAgAigCBE\
F4cSAIayIHIANPDQAgAiEEIAciAw0AQQAhAyACIQAMAwsgACACKAIUIgcgByACIAFBHXZBBHFqKAIQIgJGGyAAIAcbIQAgAUEBdCEBIAINAAsLIAAgBHJFBE\
BBACEEQQIgBXQiAEEAIABrciAJcSIARQ0DIABBACAAa3FBAWsiACAAQQx2QRBxIgJ2IgFBBXZBCHEiACACciABIAB2IgFBAnZBBHEiAHIgASAAdiIBQQF2QQ\
JxIgByIAEgAHYiAUEBdkEBcSIAciABIAB2akECdEG4CmooAgAhAAsgAEUNAQsDQCAAKAIEQXhxIAhrIgEgA0khAiABIAMgAhshAyAAIAQgAhshBCAAKAIQIg\
EEfyABBSAAKAIUCyIADQALCyAERQ0AIANBkAgoAgAgCGtPDQAgBCAIaiIGIARNDQEgBCgCGCEFIAQgBCgCDCIBRwRAIAQoAggiAEGYCCgCAEkaIAAgATYCDC\
ABIAA2AggMCgsgBEEUaiICKAIAIgBFBEAgBCgCECIARQ0EIARBEGohAgsDQCACIQcgACIBQRRqIgIoAgAiAA0AIAFBEGohAiABKAIQIgANAAsgB0EANgIADA\
kLIAhBkAgoAgAiAk0EQEGcCCgCACEDAkAgAiAIayIBQRBPBEBBkAggATYCAEGcCCADIAhqIgA2AgAgACABQQFyNgIEIAIgA2ogATYCACADIAhBA3I2AgQMAQ\
tBnAhBADYCAEGQCEEANgIAIAMgAkEDcjYCBCACIANqIgAgACgCBEEBcjYCBAsgA0EIaiEADAsLIAhBlAgoAgAiBkkEQEGUCCAGIAhrIgE2AgBBoAhBoAgoAg\
AiAiAIaiIANgIAIAAgAUEBcjYCBCACIAhBA3I2AgQgAkEIaiEADAsLQQAhACAIQS9qIgkCf0HgCygCAARAQegLKAIADAELQewLQn83AgBB5AtCgKCAgICABD\
cCAEHgCyAMQQxqQXBxQdiq1aoFczYCAEH0C0EANgIAQcQLQQA2AgBBgCALIgFqIgVBACABayIHcSICIAhNDQpBwAsoAgAiBARAQbgLKAIAIgMgAmoiASADTQ\
0LIAEgBEsNCwtBxAstAABBBHENBQJAAkBBoAgoAgAiAwRAQcgLIQADQCADIAAoAgAiAU8EQCABIAAoAgRqIANLDQMLIAAoAggiAA0ACwtBABABIgFBf0YNBi\
ACIQVB5AsoAgAiA0EBayIAIAFxBEAgAiABayAAIAFqQQAgA2txaiEFCyAFIAhNDQYgBUH+////B0sNBkHACygCACIEBEBBuAsoAgAiAyAFaiIAIANNDQcgAC\
AESw0HCyAFEAEiACABRw0BDAgLIAUgBmsgB3EiBUH+////B0sNBSAFEAEiASAAKAIAIAAoAgRqRg0EIAEhAAsCQCAAQX9GDQAgCEEwaiAFTQ0AQegLKAIAIg\
EgCSAFa2pBACABa3EiAUH+////B0sEQCAAIQEMCAsgARABQX9HBEAgASAFaiEFIAAhAQwIC0EAIAVrEAEaDAULIAAiAUF/Rw0GDAQLAAtBACEEDAcLQQAhAQ\
wFCyABQX9HDQILQcQLQcQLKAIAQQRyNgIACyACQf7///8HSw0BIAIQASEBQQAQASEAIAFBf0YNASAAQX9GDQEgACABTQ0BIAAgAWsiBSAIQShqTQ0BC0G4C0\
G4CygCACAFaiIANgIAQbwLKAIAIABJBEBBvAsgADYCAAsCQAJAAkBBoAgoAgAiBwRAQcgLIQADQCABIAAoAgAiAyAAKAIEIgJqRg0CIAAoAggiAA0ACwwCC0\
GYCCgCACIAQQAgACABTRtFBEBBmAggATYCAAtBACEAQcwLIAU2AgBByAsgATYCAEGoCEF/NgIAQawIQeALKAIANgIAQdQLQQA2AgADQCAAQQN0IgNBuAhqIA\
NBsAhqIgI2AgAgA0G8CGogAjYCACAAQQFqIgBBIEcNAAtBlAggBUEoayIDQXggAWtBB3FBACABQQhqQQdxGyIAayICNgIAQaAIIAAgAWoiADYCACAAIAJBAX\
I2AgQgASADakEoNgIEQaQIQfALKAIANgIADAILIAAtAAxBCHENACADIAdLDQAgASAHTQ0AIAAgAiAFajYCBEGgCCAHQXggB2tBB3FBACAHQQhqQQdxGyIAai\
ICNgIAQZQIQZQIKAIAIAVqIgEgAGsiADYCACACIABBAXI2AgQgASAHakEoNgIEQaQIQfALKAIANgIADAELQZgIKAIAIAFLBEBBmAggATYCAAsgASAFaiECQc\
gLIQACQAJAAkACQAJAAkADQCACIAAoAgBHBEAgACgCCCIADQEMAgsLIAAtAAxBCHFFDQELQcgLIQADQCAHIAAoAgAiAk8EQCACIAAoAgRqIgQgB0sNAwsgAC\
gCCCEADAALAAsgACABNgIAIAAgACgCBCAFajYCBCABQXggAWtBB3FBACABQQhqQQdxG2oiCSAIQQNyNgIEIAJBeCACa0EHcUEAIAJBCGpBB3EbaiIFIAggCW\
oiBmshAiAFIAdGBEBBoAggBjYCAEGUCEGUCCgCACACaiIANgIAIAYgAEEBcjYCBAwDCyAFQZwIKAIARgRAQZwIIAY2AgBBkAhBkAgoAgAgAmoiADYCACAGIA\
BBAXI2AgQgACAGaiAANgIADAMLIAUoAgQiAEEDcUEBRgRAIABBeHEhBwJAIABB/wFNBEAgBSgCCCIDIABBA3YiAEEDdEGwCGpGGiADIAUoAgwiAUYEQEGICE\
GICCgCAEF+IAB3cTYCAAwCCyADIAE2AgwgASADNgIIDAELIAUoAhghCAJAIAUgBSgCDCIBRwRAIAUoAggiACABNgIMIAEgADYCCAwBCwJAIAVBFGoiACgCAC\
IDDQAgBUEQaiIAKAIAIgMNAEEAIQEMAQsDQCAAIQQgAyIBQRRqIgAoAgAiAw0AIAFBEGohACABKAIQIgMNAAsgBEEANgIACyAIRQ0AAkAgBSAFKAIcIgNBAn\
RBuApqIgAoAgBGBEAgACABNgIAIAENAUGMCEGMCCgCAEF+IAN3cTYCAAwCCyAIQRBBFCAIKAIQIAVGG2ogATYCACABRQ0BCyABIAg2AhggBSgCECIABEAgAS\
AANgIQIAAgATYCGAsgBSgCFCIARQ0AIAEgADYCFCAAIAE2AhgLIAUgB2ohBSACIAdqIQILIAUgBSgCBEF+cTYCBCAGIAJBAXI2AgQgAiAGaiACNgIAIAJB/w\
FNBEAgAkEDdiIAQQN0QbAIaiECAn9BiAgoAgAiAUEBIAB0IgBxRQRAQYgIIAAgAXI2AgAgAgwBCyACKAIICyEAIAIgBjYCCCAAIAY2AgwgBiACNgIMIAYgAD\
YCCAwDC0EfIQAgAkH///8HTQRAIAJBCHYiACAAQYD+P2pBEHZBCHEiA3QiACAAQYDgH2pBEHZBBHEiAXQiACAAQYCAD2pBEHZBAnEiAHRBD3YgASADciAAcm\
siAEEBdCACIABBFWp2QQFxckEcaiEACyAGIAA2AhwgBkIANwIQIABBAnRBuApqIQQCQEGMCCgCACIDQQEgAHQiAXFFBEBBjAggASADcjYCACAEIAY2AgAgBi\
AENgIYDAELIAJBAEEZIABBAXZrIABBH0YbdCEAIAQoAgAhAQNAIAEiAygCBEF4cSACRg0DIABBHXYhASAAQQF0IQAgAyABQQRxaiIEKAIQIgENAAsgBCAGNg\
IQIAYgAzYCGAsgBiAGNgIMIAYgBjYCCAwCC0GUCCAFQShrIgNBeCABa0EHcUEAIAFBCGpBB3EbIgBrIgI2AgBBoAggACABaiIANgIAIAAgAkEBcjYCBCABIA\
NqQSg2AgRBpAhB8AsoAgA2AgAgByAEQScgBGtBB3FBACAEQSdrQQdxG2pBL2siACAAIAdBEGpJGyICQRs2AgQgAkHQCykCADcCECACQcgLKQIANwIIQdALIA\
JBCGo2AgBBzAsgBTYCAEHICyABNgIAQdQLQQA2AgAgAkEYaiEAA0AgAEEHNgIEIABBCGohASAAQQRqIQAgASAESQ0ACyACIAdGDQMgAiACKAIEQX5xNgIEIA\
cgAiAHayIEQQFyNgIEIAIgBDYCACAEQf8BTQRAIARBA3YiAEEDdEGwCGohAgJ/QYgIKAIAIgFBASAAdCIAcUUEQEGICCAAIAFyNgIAIAIMAQsgAigCCAshAC\
ACIAc2AgggACAHNgIMIAcgAjYCDCAHIAA2AggMBAtBHyEAIAdCADcCECAEQf///wdNBEAgBEEIdiIAIABBgP4/akEQdkEIcSICdCIAIABBgOAfakEQdkEEcS\
IBdCIAIABBgIAPakEQdkECcSIAdEEPdiABIAJyIAByayIAQQF0IAQgAEEVanZBAXFyQRxqIQALIAcgADYCHCAAQQJ0QbgKaiEDAkBBjAgoAgAiAkEBIAB0Ig\
FxRQRAQYwIIAEgAnI2AgAgAyAHNgIAIAcgAzYCGAwBCyAEQQBBGSAAQQF2ayAAQR9GG3QhACADKAIAIQEDQCABIgIoAgRBeHEgBEYNBCAAQR12IQEgAEEBdC\
EAIAIgAUEEcWoiAygCECIBDQALIAMgBzYCECAHIAI2AhgLIAcgBzYCDCAHIAc2AggMAwsgAygCCCIAIAY2AgwgAyAGNgIIIAZBADYCGCAGIAM2AgwgBiAANg\
IICyAJQQhqIQAMBQsgAigCCCIAIAc2AgwgAiAHNgIIIAdBADYCGCAHIAI2AgwgByAANgIIC0GUCCgCACIAIAhNDQBBlAggACAIayIBNgIAQaAIQaAIKAIAIg\
IgCGoiADYCACAAIAFBAXI2AgQgAiAIQQNyNgIEIAJBCGohAAwDC0GECEEwNgIAQQAhAAwCCwJAIAVFDQACQCAEKAIcIgJBAnRBuApqIgAoAgAgBEYEQCAAIA\
E2AgAgAQ0BQYwIIAlBfiACd3EiCTYCAAwCCyAFQRBBFCAFKAIQIARGG2ogATYCACABRQ0BCyABIAU2AhggBCgCECIABEAgASAANgIQIAAgATYCGAsgBCgCFC\
IARQ0AIAEgADYCFCAAIAE2AhgLAkAgA0EPTQRAIAQgAyAIaiIAQQNyNgIEIAAgBGoiACAAKAIEQQFyNgIEDAELIAQgCEEDcjYCBCAGIANBAXI2AgQgAyAGai\
ADNgIAIANB/wFNBEAgA0EDdiIAQQN0QbAIaiECAn9BiAgoAgAiAUEBIAB0IgBxRQRAQYgIIAAgAXI2AgAgAgwBCyACKAIICyEAIAIgBjYCCCAAIAY2AgwgBi\
ACNgIMIAYgADYCCAwBC0EfIQAgA0H///8HTQRAIANBCHYiACAAQYD+P2pBEHZBCHEiAnQiACAAQYDgH2pBEHZBBHEiAXQiACAAQYCAD2pBEHZBAnEiAHRBD3\
YgASACciAAcmsiAEEBdCADIABBFWp2QQFxckEcaiEACyAGIAA2AhwgBkIANwIQIABBAnRBuApqIQICQAJAIAlBASAAdCIBcUUEQEGMCCABIAlyNgIAIAIgBj\
YCACAGIAI2AhgMAQsgA0EAQRkgAEEBdmsgAEEfRht0IQAgAigCACEIA0AgCCIBKAIEQXhxIANGDQIgAEEddiECIABBAXQhACABIAJBBHFqIgIoAhAiCA0ACy\
ACIAY2AhAgBiABNgIYCyAGIAY2AgwgBiAGNgIIDAELIAEoAggiACAGNgIMIAEgBjYCCCAGQQA2AhggBiABNgIMIAYgADYCCAsgBEEIaiEADAELAkAgC0UNAA\
JAIAEoAhwiAkECdEG4CmoiACgCACABRgRAIAAgBDYCACAEDQFBjAggBkF+IAJ3cTYCAAwCCyALQRBBFCALKAIQIAFGG2ogBDYCACAERQ0BCyAEIAs2AhggAS\
gCECIABEAgBCAANgIQIAAgBDYCGAsgASgCFCIARQ0AIAQgADYCFCAAIAQ2AhgLAkAgA0EPTQRAIAEgAyAIaiIAQQNyNgIEIAAgAWoiACAAKAIEQQFyNgIEDA\
ELIAEgCEEDcjYCBCAJIANBAXI2AgQgAyAJaiADNgIAIAoEQCAKQQN2IgBBA3RBsAhqIQRBnAgoAgAhAgJ/QQEgAHQiACAFcUUEQEGICCAAIAVyNgIAIAQMAQ\
sgBCgCCAshACAEIAI2AgggACACNgIMIAIgBDYCDCACIAA2AggLQZwIIAk2AgBBkAggAzYCAAsgAUEIaiEACyAMQRBqJAAgAAsQACMAIABrQXBxIgAkACAACw\
YAIAAkAAsEACMAC4AJAgh/BH4jAEGQAWsiBiQAIAYgBS0AA0EYdEGAgIAYcSAFLwAAIAUtAAJBEHRycjYCACAGIAUoAANBAnZBg/7/H3E2AgQgBiAFKAAGQQ\
R2Qf+B/x9xNgIIIAYgBSgACUEGdkH//8AfcTYCDCAFLwANIQggBS0ADyEJIAZCADcCFCAGQgA3AhwgBkEANgIkIAYgCCAJQRB0QYCAPHFyNgIQIAYgBSgAED\
YCKCAGIAUoABQ2AiwgBiAFKAAYNgIwIAUoABwhBSAGQQA6AEwgBkEANgI4IAYgBTYCNCAGIAEgAhAEIAQEQCAGIAMgBBAECyAGKAI4IgEEQCAGQTxqIgIgAW\
pBAToAACABQQFqQQ9NBEAgASAGakE9aiEEAkBBDyABayIDRQ0AIAMgBGoiAUEBa0EAOgAAIARBADoAACADQQNJDQAgAUECa0EAOgAAIARBADoAASABQQNrQQ\
A6AAAgBEEAOgACIANBB0kNACABQQRrQQA6AAAgBEEAOgADIANBCUkNACAEQQAgBGtBA3EiAWoiBEEANgIAIAQgAyABa0F8cSIBaiIDQQRrQQA2AgAgAUEJSQ\
0AIARBADYCCCAEQQA2AgQgA0EIa0EANgIAIANBDGtBADYCACABQRlJDQAgBEEANgIYIARBADYCFCAEQQA2AhAgBEEANgIMIANBEGtBADYCACADQRRrQQA2Ag\
AgA0EYa0EANgIAIANBHGtBADYCACABIARBBHFBGHIiAWsiA0EgSQ0AIAEgBGohAQNAIAFCADcDGCABQgA3AxAgAUIANwMIIAFCADcDACABQSBqIQEgA0Egay\
IDQR9LDQALCwsgBkEBOgBMIAYgAkEQEAILIAY1AjQhECAGNQIwIREgBjUCLCEOIAAgBjUCKCAGKAIkIAYoAiAgBigCHCAGKAIYIgNBGnZqIgJBGnZqIgFBGn\
ZqIgtBgICAYHIgAUH///8fcSINIAJB////H3EiCCAGKAIUIAtBGnZBBWxqIgFB////H3EiCUEFaiIFQRp2IANB////H3EgAUEadmoiA2oiAUEadmoiAkEadm\
oiBEEadmoiDEEfdSIHIANxIAEgDEEfdkEBayIDQf///x9xIgpxciIBQRp0IAUgCnEgByAJcXJyrXwiDzwAACAAIA9CGIg8AAMgACAPQhCIPAACIAAgD0IIiD\
wAASAAIA4gByAIcSACIApxciICQRR0IAFBBnZyrXwgD0IgiHwiDjwABCAAIA5CGIg8AAcgACAOQhCIPAAGIAAgDkIIiDwABSAAIBEgByANcSAEIApxciIBQQ\
50IAJBDHZyrXwgDkIgiHwiDjwACCAAIA5CGIg8AAsgACAOQhCIPAAKIAAgDkIIiDwACSAAIBAgAyAMcSAHIAtxckEIdCABQRJ2cq18IA5CIIh8Ig48AAwgAC\
AOQhiIPAAPIAAgDkIQiDwADiAAIA5CCIg8AA0gBkIANwIwIAZCADcCKCAGQgA3AiAgBkIANwIYIAZCADcCECAGQgA3AgggBkIANwIAIAZBkAFqJAALpwwBB3\
8CQCAARQ0AIABBCGsiAyAAQQRrKAIAIgFBeHEiAGohBQJAIAFBAXENACABQQNxRQ0BIAMgAygCACIBayIDQZgIKAIASQ0BIAAgAWohACADQZwIKAIARwRAIA\
FB/wFNBEAgAygCCCICIAFBA3YiBEEDdEGwCGpGGiACIAMoAgwiAUYEQEGICEGICCgCAEF+IAR3cTYCAAwDCyACIAE2AgwgASACNgIIDAILIAMoAhghBgJAIA\
MgAygCDCIBRwRAIAMoAggiAiABNgIMIAEgAjYCCAwBCwJAIANBFGoiAigCACIEDQAgA0EQaiICKAIAIgQNAEEAIQEMAQsDQCACIQcgBCIBQRRqIgIoAgAiBA\
0AIAFBEGohAiABKAIQIgQNAAsgB0EANgIACyAGRQ0BAkAgAyADKAIcIgJBAnRBuApqIgQoAgBGBEAgBCABNgIAIAENAUGMCEGMCCgCAEF+IAJ3cTYCAAwDCy\
AGQRBBFCAGKAIQIANGG2ogATYCACABRQ0CCyABIAY2AhggAygCECICBEAgASACNgIQIAIgATYCGAsgAygCFCICRQ0BIAEgAjYCFCACIAE2AhgMAQsgBSgCBC\
IBQQNxQQNHDQBBkAggADYCACAFIAFBfnE2AgQgAyAAQQFyNgIEIAAgA2ogADYCAA8LIAMgBU8NACAFKAIEIgFBAXFFDQACQCABQQJxRQRAIAVBoAgoAgBGBE\
BBoAggAzYCAEGUCEGUCCgCACAAaiIANgIAIAMgAEEBcjYCBCADQZwIKAIARw0DQZAIQQA2AgBBnAhBADYCAA8LIAVBnAgoAgBGBEBBnAggAzYCAEGQCEGQCC\
gCACAAaiIANgIAIAMgAEEBcjYCBCAAIANqIAA2AgAPCyABQXhxIABqIQACQCABQf8BTQRAIAUoAggiAiABQQN2IgRBA3RBsAhqRhogAiAFKAIMIgFGBEBBiA\
hBiAgoAgBBfiAEd3E2AgAMAgsgAiABNgIMIAEgAjYCCAwBCyAFKAIYIQYCQCAFIAUoAgwiAUcEQCAFKAIIIgJBmAgoAgBJGiACIAE2AgwgASACNgIIDAELAk\
AgBUEUaiICKAIAIgQNACAFQRBqIgIoAgAiBA0AQQAhAQwBCwNAIAIhByAEIgFBFGoiAigCACIEDQAgAUEQaiECIAEoAhAiBA0ACyAHQQA2AgALIAZFDQACQC\
AFIAUoAhwiAkECdEG4CmoiBCgCAEYEQCAEIAE2AgAgAQ0BQYwIQYwIKAIAQX4gAndxNgIADAILIAZBEEEUIAYoAhAgBUYbaiABNgIAIAFFDQELIAEgBjYCGC\
AFKAIQIgIEQCABIAI2AhAgAiABNgIYCyAFKAIUIgJFDQAgASACNgIUIAIgATYCGAsgAyAAQQFyNgIEIAAgA2ogADYCACADQZwIKAIARw0BQZAIIAA2AgAPCy\
AFIAFBfnE2AgQgAyAAQQFyNgIEIAAgA2ogADYCAAsgAEH/AU0EQCAAQQN2IgFBA3RBsAhqIQACf0GICCgCACICQQEgAXQiAXFFBEBBiAggASACcjYCACAADA\
ELIAAoAggLIQIgACADNgIIIAIgAzYCDCADIAA2AgwgAyACNgIIDwtBHyECIANCADcCECAAQf///wdNBEAgAEEIdiIBIAFBgP4/akEQdkEIcSIBdCICIAJBgO\
AfakEQdkEEcSICdCIEIARBgIAPakEQdkECcSIEdEEPdiABIAJyIARyayIBQQF0IAAgAUEVanZBAXFyQRxqIQILIAMgAjYCHCACQQJ0QbgKaiEBAkACQAJAQY\
wIKAIAIgRBASACdCIHcUUEQEGMCCAEIAdyNgIAIAEgAzYCACADIAE2AhgMAQsgAEEAQRkgAkEBdmsgAkEfRht0IQIgASgCACEBA0AgASIEKAIEQXhxIABGDQ\
IgAkEddiEBIAJBAXQhAiAEIAFBBHFqIgdBEGooAgAiAQ0ACyAHIAM2AhAgAyAENgIYCyADIAM2AgwgAyADNgIIDAELIAQoAggiACADNgIMIAQgAzYCCCADQQ\
A2AhggAyAENgIMIAMgADYCCAtBqAhBqAgoAgBBAWsiAEF/IAAbNgIACwsLCQEAQYEICwIGUA==",!W.startsWith(V)){var na=W;W=b.locateFile?b.
locateFile(na,B):B+na}function pa(){var a=W;try{if(a==W&&J)return new Uint8Array(J);var c=H(a);if(c)return c;if(E)return E(
a);throw"both async and sync fetching of the wasm failed"}catch(d){K(d)}}function qa(){if(!J&&(x||y)){if(typeof fetch=="\
function"&&!W.startsWith("file://"))return fetch(W,{credentials:"same-origin"}).then(function(a){if(!a.ok)throw"failed t\
o load wasm binary file at '"+W+"'";return a.arrayBuffer()}).catch(function(){return pa()});if(D)return new Promise(function(a,c){
D(W,function(d){a(new Uint8Array(d))},c)})}return Promise.resolve().then(function(){return pa()})}function X(a){for(;0<a.
length;){var c=a.shift();if(typeof c=="function")c(b);else{var d=c.m;typeof d=="number"?c.l===void 0?R.get(d)():R.get(d)(
c.l):d(c.l===void 0?null:c.l)}}}var ba=!1,ra=typeof atob=="function"?atob:function(a){var c="",d=0;a=a.replace(/[^A-Za-z0-9\+\/=]/g,
"");do{var e="ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=".indexOf(a.charAt(d++)),f="ABCDEFGHIJKLM\
NOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=".indexOf(a.charAt(d++)),l="ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmn\
opqrstuvwxyz0123456789+/=".indexOf(a.charAt(d++)),A="ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=".
indexOf(a.charAt(d++));e=e<<2|f>>4,f=(f&15)<<4|l>>2;var t=(l&3)<<6|A;c+=String.fromCharCode(e),l!==64&&(c+=String.fromCharCode(
f)),A!==64&&(c+=String.fromCharCode(t))}while(d<a.length);return c};function H(a){if(a.startsWith(V)){if(a=a.slice(V.length),
typeof z=="boolean"&&z){var c=Buffer.from(a,"base64");c=new Uint8Array(c.buffer,c.byteOffset,c.byteLength)}else try{var d=ra(
a),e=new Uint8Array(d.length);for(a=0;a<d.length;++a)e[a]=d.charCodeAt(a);c=e}catch{throw Error("Converting base64 strin\
g to bytes failed.")}return c}}var sa={a:function(a){var c=P.length;if(a>>>=0,2147483648<a)return!1;for(var d=1;4>=d;d*=
2){var e=c*(1+.2/d);e=Math.min(e,a+100663296),e=Math.max(a,e),0<e%65536&&(e+=65536-e%65536);a:{try{L.grow(Math.min(2147483648,
e)-ha.byteLength+65535>>>16),ia();var f=1;break a}catch{}f=void 0}if(f)return!0}return!1}};(function(){function a(f){b.asm=
f.exports,L=b.asm.b,ia(),R=b.asm.j,ka.unshift(b.asm.c),S--,b.monitorRunDependencies&&b.monitorRunDependencies(S),S==0&&(T!==
null&&(clearInterval(T),T=null),U&&(f=U,U=null,f()))}function c(f){a(f.instance)}function d(f){return qa().then(function(l){
return WebAssembly.instantiate(l,e)}).then(f,function(l){I("failed to asynchronously prepare wasm: "+l),K(l)})}var e={a:sa};
if(S++,b.monitorRunDependencies&&b.monitorRunDependencies(S),b.instantiateWasm)try{return b.instantiateWasm(e,a)}catch(f){
return I("Module.instantiateWasm callback failed with error: "+f),!1}return(function(){return J||typeof WebAssembly.instantiateStreaming!=
"function"||W.startsWith(V)||W.startsWith("file://")||typeof fetch!="function"?d(c):fetch(W,{credentials:"same-origin"}).
then(function(f){return WebAssembly.instantiateStreaming(f,e).then(c,function(l){return I("wasm streaming compile failed\
: "+l),I("falling back to ArrayBuffer instantiation"),d(c)})})})().catch(r),{}})(),b.___wasm_call_ctors=function(){return(b.
___wasm_call_ctors=b.asm.c).apply(null,arguments)},b._poly1305_auth=function(){return(b._poly1305_auth=b.asm.d).apply(null,
arguments)};var da=b.stackSave=function(){return(da=b.stackSave=b.asm.e).apply(null,arguments)},fa=b.stackRestore=function(){
return(fa=b.stackRestore=b.asm.f).apply(null,arguments)},O=b.stackAlloc=function(){return(O=b.stackAlloc=b.asm.g).apply(
null,arguments)};b._malloc=function(){return(b._malloc=b.asm.h).apply(null,arguments)},b._free=function(){return(b._free=
b.asm.i).apply(null,arguments)},b.cwrap=function(a,c,d,e){d=d||[];var f=d.every(function(l){return l==="number"});return c!==
"string"&&f&&!e?N(a):function(){return ca(a,c,d,arguments)}};var Y;U=function ta(){Y||Z(),Y||(U=ta)};function Z(){function a(){
if(!Y&&(Y=!0,b.calledRun=!0,!M)){if(X(ka),q(b),b.onRuntimeInitialized&&b.onRuntimeInitialized(),b.postRun)for(typeof b.postRun==
"function"&&(b.postRun=[b.postRun]);b.postRun.length;){var c=b.postRun.shift();la.unshift(c)}X(la)}}if(!(0<S)){if(b.preRun)
for(typeof b.preRun=="function"&&(b.preRun=[b.preRun]);b.preRun.length;)ma();X(ja),0<S||(b.setStatus?(b.setStatus("Runni\
ng..."),setTimeout(function(){setTimeout(function(){b.setStatus("")},1),a()},1)):a())}}if(b.run=Z,b.preInit)for(typeof b.
preInit=="function"&&(b.preInit=[b.preInit]);0<b.preInit.length;)b.preInit.pop()();return Z(),createPoly13052.ready})})();
typeof exports2=="object"&&typeof module2=="object"?module2.exports=createPoly1305:typeof define=="function"&&define.amd?
define([],function(){return createPoly1305}):typeof exports2=="object"&&(exports2.createPoly1305=createPoly1305)}});var require_crypto=__commonJS({"node_modules/ssh2/lib/protocol/crypto.js"(exports2,module2){"use strict";init_define_SAVEPOINT();
var{createCipheriv,createDecipheriv,createHmac:createHmac2,randomFillSync:randomFillSync2,timingSafeEqual:timingSafeEqual2}=require("crypto"),
{readUInt32BE,writeUInt32BE}=require_utils(),FastBuffer=Buffer[Symbol.species],MAX_SEQNO=2**32-1,EMPTY_BUFFER=Buffer.alloc(
0),BUF_INT=Buffer.alloc(4),DISCARD_CACHE=new Map,MAX_PACKET_SIZE=35e3,binding,AESGCMCipher,ChaChaPolyCipher,GenericCipher,
AESGCMDecipher,ChaChaPolyDecipher,GenericDecipher;try{binding=require_sshcrypto(),{AESGCMCipher,ChaChaPolyCipher,GenericCipher,
AESGCMDecipher,ChaChaPolyDecipher,GenericDecipher}=binding}catch{}var CIPHER_STREAM=1,CIPHER_INFO=(()=>{function info(sslName,blockLen,keyLen,ivLen,authLen,discardLen,flags){
return{sslName,blockLen,keyLen,ivLen:ivLen!==0||flags&CIPHER_STREAM?ivLen:blockLen,authLen,discardLen,stream:!!(flags&CIPHER_STREAM)}}
return{"chacha20-poly1305@openssh.com":info("chacha20",8,64,0,16,0,CIPHER_STREAM),"aes128-gcm":info("aes-128-gcm",16,16,
12,16,0,CIPHER_STREAM),"aes256-gcm":info("aes-256-gcm",16,32,12,16,0,CIPHER_STREAM),"aes128-gcm@openssh.com":info("aes-1\
28-gcm",16,16,12,16,0,CIPHER_STREAM),"aes256-gcm@openssh.com":info("aes-256-gcm",16,32,12,16,0,CIPHER_STREAM),"aes128-cb\
c":info("aes-128-cbc",16,16,0,0,0,0),"aes192-cbc":info("aes-192-cbc",16,24,0,0,0,0),"aes256-cbc":info("aes-256-cbc",16,32,
0,0,0,0),"rijndael-cbc@lysator.liu.se":info("aes-256-cbc",16,32,0,0,0,0),"3des-cbc":info("des-ede3-cbc",8,24,0,0,0,0),"b\
lowfish-cbc":info("bf-cbc",8,16,0,0,0,0),"idea-cbc":info("idea-cbc",8,16,0,0,0,0),"cast128-cbc":info("cast-cbc",8,16,0,0,
0,0),"aes128-ctr":info("aes-128-ctr",16,16,16,0,0,CIPHER_STREAM),"aes192-ctr":info("aes-192-ctr",16,24,16,0,0,CIPHER_STREAM),
"aes256-ctr":info("aes-256-ctr",16,32,16,0,0,CIPHER_STREAM),"3des-ctr":info("des-ede3",8,24,8,0,0,CIPHER_STREAM),"blowfi\
sh-ctr":info("bf-ecb",8,16,8,0,0,CIPHER_STREAM),"cast128-ctr":info("cast5-ecb",8,16,8,0,0,CIPHER_STREAM),arcfour:info("r\
c4",8,16,0,0,1536,CIPHER_STREAM),arcfour128:info("rc4",8,16,0,0,1536,CIPHER_STREAM),arcfour256:info("rc4",8,32,0,0,1536,
CIPHER_STREAM),arcfour512:info("rc4",8,64,0,0,1536,CIPHER_STREAM)}})(),MAC_INFO=(()=>{function info(sslName,len,actualLen,isETM){
return{sslName,len,actualLen,isETM}}return{"hmac-md5":info("md5",16,16,!1),"hmac-md5-96":info("md5",16,12,!1),"hmac-ripe\
md160":info("ripemd160",20,20,!1),"hmac-sha1":info("sha1",20,20,!1),"hmac-sha1-etm@openssh.com":info("sha1",20,20,!0),"h\
mac-sha1-96":info("sha1",20,12,!1),"hmac-sha2-256":info("sha256",32,32,!1),"hmac-sha2-256-etm@openssh.com":info("sha256",
32,32,!0),"hmac-sha2-256-96":info("sha256",32,12,!1),"hmac-sha2-512":info("sha512",64,64,!1),"hmac-sha2-512-etm@openssh.\
com":info("sha512",64,64,!0),"hmac-sha2-512-96":info("sha512",64,12,!1)}})(),NullCipher=class{constructor(seqno,onWrite){
this.outSeqno=seqno,this._onWrite=onWrite,this._dead=!1}free(){this._dead=!0}allocPacket(payloadLen){let pktLen=5+payloadLen,
padLen=8-(pktLen&7);padLen<4&&(padLen+=8),pktLen+=padLen;let packet=Buffer.allocUnsafe(pktLen);return writeUInt32BE(packet,
pktLen-4,0),packet[4]=padLen,randomFillSync2(packet,5+payloadLen,padLen),packet}encrypt(packet){this._dead||(this._onWrite(
packet),this.outSeqno=this.outSeqno+1>>>0)}},POLY1305_ZEROS=Buffer.alloc(32),POLY1305_OUT_COMPUTE=Buffer.alloc(16),POLY1305_WASM_MODULE,
POLY1305_RESULT_MALLOC,poly1305_auth,ChaChaPolyCipherNative=class{constructor(config2){let enc=config2.outbound;this.outSeqno=
enc.seqno,this._onWrite=enc.onWrite,this._encKeyMain=enc.cipherKey.slice(0,32),this._encKeyPktLen=enc.cipherKey.slice(32),
this._dead=!1}free(){this._dead=!0}allocPacket(payloadLen){let pktLen=5+payloadLen,padLen=8-(pktLen-4&7);padLen<4&&(padLen+=
8),pktLen+=padLen;let packet=Buffer.allocUnsafe(pktLen);return writeUInt32BE(packet,pktLen-4,0),packet[4]=padLen,randomFillSync2(
packet,5+payloadLen,padLen),packet}encrypt(packet){if(this._dead)return;POLY1305_OUT_COMPUTE[0]=0,writeUInt32BE(POLY1305_OUT_COMPUTE,
this.outSeqno,12);let polyKey=createCipheriv("chacha20",this._encKeyMain,POLY1305_OUT_COMPUTE).update(POLY1305_ZEROS),pktLenEnc=createCipheriv(
"chacha20",this._encKeyPktLen,POLY1305_OUT_COMPUTE).update(packet.slice(0,4));this._onWrite(pktLenEnc),POLY1305_OUT_COMPUTE[0]=
1;let payloadEnc=createCipheriv("chacha20",this._encKeyMain,POLY1305_OUT_COMPUTE).update(packet.slice(4));this._onWrite(
payloadEnc),poly1305_auth(POLY1305_RESULT_MALLOC,pktLenEnc,pktLenEnc.length,payloadEnc,payloadEnc.length,polyKey);let mac2=Buffer.
allocUnsafe(16);mac2.set(new Uint8Array(POLY1305_WASM_MODULE.HEAPU8.buffer,POLY1305_RESULT_MALLOC,16),0),this._onWrite(mac2),
this.outSeqno=this.outSeqno+1>>>0}},ChaChaPolyCipherBinding=class{constructor(config2){let enc=config2.outbound;this.outSeqno=
enc.seqno,this._onWrite=enc.onWrite,this._instance=new ChaChaPolyCipher(enc.cipherKey),this._dead=!1}free(){this._dead=!0,
this._instance.free()}allocPacket(payloadLen){let pktLen=5+payloadLen,padLen=8-(pktLen-4&7);padLen<4&&(padLen+=8),pktLen+=
padLen;let packet=Buffer.allocUnsafe(pktLen+16);return writeUInt32BE(packet,pktLen-4,0),packet[4]=padLen,randomFillSync2(
packet,5+payloadLen,padLen),packet}encrypt(packet){this._dead||(this._instance.encrypt(packet,this.outSeqno),this._onWrite(
packet),this.outSeqno=this.outSeqno+1>>>0)}},AESGCMCipherNative=class{constructor(config2){let enc=config2.outbound;this.
outSeqno=enc.seqno,this._onWrite=enc.onWrite,this._encSSLName=enc.cipherInfo.sslName,this._encKey=enc.cipherKey,this._encIV=
enc.cipherIV,this._dead=!1}free(){this._dead=!0}allocPacket(payloadLen){let pktLen=5+payloadLen,padLen=16-(pktLen-4&15);
padLen<4&&(padLen+=16),pktLen+=padLen;let packet=Buffer.allocUnsafe(pktLen);return writeUInt32BE(packet,pktLen-4,0),packet[4]=
padLen,randomFillSync2(packet,5+payloadLen,padLen),packet}encrypt(packet){if(this._dead)return;let cipher=createCipheriv(
this._encSSLName,this._encKey,this._encIV);cipher.setAutoPadding(!1);let lenData=packet.slice(0,4);cipher.setAAD(lenData),
this._onWrite(lenData);let encrypted=cipher.update(packet.slice(4));this._onWrite(encrypted);let final=cipher.final();final.
length&&this._onWrite(final);let tag=cipher.getAuthTag();this._onWrite(tag),ivIncrement(this._encIV),this.outSeqno=this.
outSeqno+1>>>0}},AESGCMCipherBinding=class{constructor(config2){let enc=config2.outbound;this.outSeqno=enc.seqno,this._onWrite=
enc.onWrite,this._instance=new AESGCMCipher(enc.cipherInfo.sslName,enc.cipherKey,enc.cipherIV),this._dead=!1}free(){this.
_dead=!0,this._instance.free()}allocPacket(payloadLen){let pktLen=5+payloadLen,padLen=16-(pktLen-4&15);padLen<4&&(padLen+=
16),pktLen+=padLen;let packet=Buffer.allocUnsafe(pktLen+16);return writeUInt32BE(packet,pktLen-4,0),packet[4]=padLen,randomFillSync2(
packet,5+payloadLen,padLen),packet}encrypt(packet){this._dead||(this._instance.encrypt(packet),this._onWrite(packet),this.
outSeqno=this.outSeqno+1>>>0)}},GenericCipherNative=class{constructor(config2){let enc=config2.outbound;this.outSeqno=enc.
seqno,this._onWrite=enc.onWrite,this._encBlockLen=enc.cipherInfo.blockLen,this._cipherInstance=createCipheriv(enc.cipherInfo.
sslName,enc.cipherKey,enc.cipherIV),this._macSSLName=enc.macInfo.sslName,this._macKey=enc.macKey,this._macActualLen=enc.
macInfo.actualLen,this._macETM=enc.macInfo.isETM,this._aadLen=this._macETM?4:0,this._dead=!1;let discardLen=enc.cipherInfo.
discardLen;if(discardLen){let discard=DISCARD_CACHE.get(discardLen);discard===void 0&&(discard=Buffer.alloc(discardLen),
DISCARD_CACHE.set(discardLen,discard)),this._cipherInstance.update(discard)}}free(){this._dead=!0}allocPacket(payloadLen){
let blockLen=this._encBlockLen,pktLen=5+payloadLen,padLen=blockLen-(pktLen-this._aadLen&blockLen-1);padLen<4&&(padLen+=blockLen),
pktLen+=padLen;let packet=Buffer.allocUnsafe(pktLen);return writeUInt32BE(packet,pktLen-4,0),packet[4]=padLen,randomFillSync2(
packet,5+payloadLen,padLen),packet}encrypt(packet){if(this._dead)return;let mac2;if(this._macETM){let lenBytes=new Uint8Array(
packet.buffer,packet.byteOffset,4),encrypted=this._cipherInstance.update(new Uint8Array(packet.buffer,packet.byteOffset+
4,packet.length-4));this._onWrite(lenBytes),this._onWrite(encrypted),mac2=createHmac2(this._macSSLName,this._macKey),writeUInt32BE(
BUF_INT,this.outSeqno,0),mac2.update(BUF_INT),mac2.update(lenBytes),mac2.update(encrypted)}else{let encrypted=this._cipherInstance.
update(packet);this._onWrite(encrypted),mac2=createHmac2(this._macSSLName,this._macKey),writeUInt32BE(BUF_INT,this.outSeqno,
0),mac2.update(BUF_INT),mac2.update(packet)}let digest=mac2.digest();digest.length>this._macActualLen&&(digest=digest.slice(
0,this._macActualLen)),this._onWrite(digest),this.outSeqno=this.outSeqno+1>>>0}},GenericCipherBinding=class{constructor(config2){
let enc=config2.outbound;this.outSeqno=enc.seqno,this._onWrite=enc.onWrite,this._encBlockLen=enc.cipherInfo.blockLen,this.
_macLen=enc.macInfo.len,this._macActualLen=enc.macInfo.actualLen,this._aadLen=enc.macInfo.isETM?4:0,this._instance=new GenericCipher(
enc.cipherInfo.sslName,enc.cipherKey,enc.cipherIV,enc.macInfo.sslName,enc.macKey,enc.macInfo.isETM),this._dead=!1}free(){
this._dead=!0,this._instance.free()}allocPacket(payloadLen){let blockLen=this._encBlockLen,pktLen=5+payloadLen,padLen=blockLen-
(pktLen-this._aadLen&blockLen-1);padLen<4&&(padLen+=blockLen),pktLen+=padLen;let packet=Buffer.allocUnsafe(pktLen+this._macLen);
return writeUInt32BE(packet,pktLen-4,0),packet[4]=padLen,randomFillSync2(packet,5+payloadLen,padLen),packet}encrypt(packet){
this._dead||(this._instance.encrypt(packet,this.outSeqno),this._macActualLen<this._macLen&&(packet=new FastBuffer(packet.
buffer,packet.byteOffset,packet.length-(this._macLen-this._macActualLen))),this._onWrite(packet),this.outSeqno=this.outSeqno+
1>>>0)}},NullDecipher=class{constructor(seqno,onPayload){this.inSeqno=seqno,this._onPayload=onPayload,this._len=0,this._lenBytes=
0,this._packet=null,this._packetPos=0}free(){}decrypt(data,p,dataLen){for(;p<dataLen;){if(this._lenBytes<4){let nb=Math.
min(4-this._lenBytes,dataLen-p);for(this._lenBytes+=nb;nb--;)this._len=(this._len<<8)+data[p++];if(this._lenBytes<4)return;
if(this._len>MAX_PACKET_SIZE||this._len<8||(4+this._len&7)!==0)throw new Error("Bad packet length");if(p>=dataLen)return}
if(this._packetPos<this._len){let nb=Math.min(this._len-this._packetPos,dataLen-p),chunk;if(p!==0||nb!==dataLen?chunk=new Uint8Array(
data.buffer,data.byteOffset+p,nb):chunk=data,nb===this._len?this._packet=chunk:(this._packet||(this._packet=Buffer.allocUnsafe(
this._len)),this._packet.set(chunk,this._packetPos)),p+=nb,this._packetPos+=nb,this._packetPos<this._len)return}let payload=this.
_packet?new FastBuffer(this._packet.buffer,this._packet.byteOffset+1,this._packet.length-this._packet[0]-1):EMPTY_BUFFER;
this.inSeqno=this.inSeqno+1>>>0,this._len=0,this._lenBytes=0,this._packet=null,this._packetPos=0;{let ret=this._onPayload(
payload);if(ret!==void 0)return ret===!1?p:ret}}}},ChaChaPolyDecipherNative=class{constructor(config2){let dec=config2.inbound;
this.inSeqno=dec.seqno,this._onPayload=dec.onPayload,this._decKeyMain=dec.decipherKey.slice(0,32),this._decKeyPktLen=dec.
decipherKey.slice(32),this._len=0,this._lenBuf=Buffer.alloc(4),this._lenPos=0,this._packet=null,this._pktLen=0,this._mac=
Buffer.allocUnsafe(16),this._calcMac=Buffer.allocUnsafe(16),this._macPos=0}free(){}decrypt(data,p,dataLen){for(;p<dataLen;){
if(this._lenPos<4){let nb=Math.min(4-this._lenPos,dataLen-p);for(;nb--;)this._lenBuf[this._lenPos++]=data[p++];if(this._lenPos<
4)return;POLY1305_OUT_COMPUTE[0]=0,writeUInt32BE(POLY1305_OUT_COMPUTE,this.inSeqno,12);let decLenBytes=createDecipheriv(
"chacha20",this._decKeyPktLen,POLY1305_OUT_COMPUTE).update(this._lenBuf);if(this._len=readUInt32BE(decLenBytes,0),this._len>
MAX_PACKET_SIZE||this._len<8||(this._len&7)!==0)throw new Error("Bad packet length")}if(this._pktLen<this._len){if(p>=dataLen)
return;let nb=Math.min(this._len-this._pktLen,dataLen-p),encrypted;if(p!==0||nb!==dataLen?encrypted=new Uint8Array(data.
buffer,data.byteOffset+p,nb):encrypted=data,nb===this._len?this._packet=encrypted:(this._packet||(this._packet=Buffer.allocUnsafe(
this._len)),this._packet.set(encrypted,this._pktLen)),p+=nb,this._pktLen+=nb,this._pktLen<this._len||p>=dataLen)return}{
let nb=Math.min(16-this._macPos,dataLen-p);if(p!==0||nb!==dataLen?this._mac.set(new Uint8Array(data.buffer,data.byteOffset+
p,nb),this._macPos):this._mac.set(data,this._macPos),p+=nb,this._macPos+=nb,this._macPos<16)return}POLY1305_OUT_COMPUTE[0]=
0,writeUInt32BE(POLY1305_OUT_COMPUTE,this.inSeqno,12);let polyKey=createCipheriv("chacha20",this._decKeyMain,POLY1305_OUT_COMPUTE).
update(POLY1305_ZEROS);if(poly1305_auth(POLY1305_RESULT_MALLOC,this._lenBuf,4,this._packet,this._packet.length,polyKey),
this._calcMac.set(new Uint8Array(POLY1305_WASM_MODULE.HEAPU8.buffer,POLY1305_RESULT_MALLOC,16),0),!timingSafeEqual2(this.
_calcMac,this._mac))throw new Error("Invalid MAC");POLY1305_OUT_COMPUTE[0]=1;let packet=createDecipheriv("chacha20",this.
_decKeyMain,POLY1305_OUT_COMPUTE).update(this._packet),payload=new FastBuffer(packet.buffer,packet.byteOffset+1,packet.length-
packet[0]-1);this.inSeqno=this.inSeqno+1>>>0,this._len=0,this._lenPos=0,this._packet=null,this._pktLen=0,this._macPos=0;
{let ret=this._onPayload(payload);if(ret!==void 0)return ret===!1?p:ret}}}},ChaChaPolyDecipherBinding=class{constructor(config2){
let dec=config2.inbound;this.inSeqno=dec.seqno,this._onPayload=dec.onPayload,this._instance=new ChaChaPolyDecipher(dec.decipherKey),
this._len=0,this._lenBuf=Buffer.alloc(4),this._lenPos=0,this._packet=null,this._pktLen=0,this._mac=Buffer.allocUnsafe(16),
this._macPos=0}free(){this._instance.free()}decrypt(data,p,dataLen){for(;p<dataLen;){if(this._lenPos<4){let nb=Math.min(
4-this._lenPos,dataLen-p);for(;nb--;)this._lenBuf[this._lenPos++]=data[p++];if(this._lenPos<4)return;if(this._len=this._instance.
decryptLen(this._lenBuf,this.inSeqno),this._len>MAX_PACKET_SIZE||this._len<8||(this._len&7)!==0)throw new Error("Bad pac\
ket length");if(p>=dataLen)return}if(this._pktLen<this._len){let nb=Math.min(this._len-this._pktLen,dataLen-p),encrypted;
if(p!==0||nb!==dataLen?encrypted=new Uint8Array(data.buffer,data.byteOffset+p,nb):encrypted=data,nb===this._len?this._packet=
encrypted:(this._packet||(this._packet=Buffer.allocUnsafe(this._len)),this._packet.set(encrypted,this._pktLen)),p+=nb,this.
_pktLen+=nb,this._pktLen<this._len||p>=dataLen)return}{let nb=Math.min(16-this._macPos,dataLen-p);if(p!==0||nb!==dataLen?
this._mac.set(new Uint8Array(data.buffer,data.byteOffset+p,nb),this._macPos):this._mac.set(data,this._macPos),p+=nb,this.
_macPos+=nb,this._macPos<16)return}this._instance.decrypt(this._packet,this._mac,this.inSeqno);let payload=new FastBuffer(
this._packet.buffer,this._packet.byteOffset+1,this._packet.length-this._packet[0]-1);this.inSeqno=this.inSeqno+1>>>0,this.
_len=0,this._lenPos=0,this._packet=null,this._pktLen=0,this._macPos=0;{let ret=this._onPayload(payload);if(ret!==void 0)
return ret===!1?p:ret}}}},AESGCMDecipherNative=class{constructor(config2){let dec=config2.inbound;this.inSeqno=dec.seqno,
this._onPayload=dec.onPayload,this._decipherInstance=null,this._decipherSSLName=dec.decipherInfo.sslName,this._decipherKey=
dec.decipherKey,this._decipherIV=dec.decipherIV,this._len=0,this._lenBytes=0,this._packet=null,this._packetPos=0,this._pktLen=
0,this._tag=Buffer.allocUnsafe(16),this._tagPos=0}free(){}decrypt(data,p,dataLen){for(;p<dataLen;){if(this._lenBytes<4){
let nb=Math.min(4-this._lenBytes,dataLen-p);for(this._lenBytes+=nb;nb--;)this._len=(this._len<<8)+data[p++];if(this._lenBytes<
4)return;if(this._len+20>MAX_PACKET_SIZE||this._len<16||(this._len&15)!==0)throw new Error("Bad packet length");this._decipherInstance=
createDecipheriv(this._decipherSSLName,this._decipherKey,this._decipherIV),this._decipherInstance.setAutoPadding(!1),this.
_decipherInstance.setAAD(intToBytes(this._len))}if(this._pktLen<this._len){if(p>=dataLen)return;let nb=Math.min(this._len-
this._pktLen,dataLen-p),decrypted;if(p!==0||nb!==dataLen?decrypted=this._decipherInstance.update(new Uint8Array(data.buffer,
data.byteOffset+p,nb)):decrypted=this._decipherInstance.update(data),decrypted.length&&(nb===this._len?this._packet=decrypted:
(this._packet||(this._packet=Buffer.allocUnsafe(this._len)),this._packet.set(decrypted,this._packetPos)),this._packetPos+=
decrypted.length),p+=nb,this._pktLen+=nb,this._pktLen<this._len||p>=dataLen)return}{let nb=Math.min(16-this._tagPos,dataLen-
p);if(p!==0||nb!==dataLen?this._tag.set(new Uint8Array(data.buffer,data.byteOffset+p,nb),this._tagPos):this._tag.set(data,
this._tagPos),p+=nb,this._tagPos+=nb,this._tagPos<16)return}{this._decipherInstance.setAuthTag(this._tag);let decrypted=this.
_decipherInstance.final();decrypted.length&&(this._packet?this._packet.set(decrypted,this._packetPos):this._packet=decrypted)}
let payload=this._packet?new FastBuffer(this._packet.buffer,this._packet.byteOffset+1,this._packet.length-this._packet[0]-
1):EMPTY_BUFFER;this.inSeqno=this.inSeqno+1>>>0,ivIncrement(this._decipherIV),this._len=0,this._lenBytes=0,this._packet=
null,this._packetPos=0,this._pktLen=0,this._tagPos=0;{let ret=this._onPayload(payload);if(ret!==void 0)return ret===!1?p:
ret}}}},AESGCMDecipherBinding=class{constructor(config2){let dec=config2.inbound;this.inSeqno=dec.seqno,this._onPayload=
dec.onPayload,this._instance=new AESGCMDecipher(dec.decipherInfo.sslName,dec.decipherKey,dec.decipherIV),this._len=0,this.
_lenBytes=0,this._packet=null,this._pktLen=0,this._tag=Buffer.allocUnsafe(16),this._tagPos=0}free(){}decrypt(data,p,dataLen){
for(;p<dataLen;){if(this._lenBytes<4){let nb=Math.min(4-this._lenBytes,dataLen-p);for(this._lenBytes+=nb;nb--;)this._len=
(this._len<<8)+data[p++];if(this._lenBytes<4)return;if(this._len+20>MAX_PACKET_SIZE||this._len<16||(this._len&15)!==0)throw new Error(
`Bad packet length: ${this._len}`)}if(this._pktLen<this._len){if(p>=dataLen)return;let nb=Math.min(this._len-this._pktLen,
dataLen-p),encrypted;if(p!==0||nb!==dataLen?encrypted=new Uint8Array(data.buffer,data.byteOffset+p,nb):encrypted=data,nb===
this._len?this._packet=encrypted:(this._packet||(this._packet=Buffer.allocUnsafe(this._len)),this._packet.set(encrypted,
this._pktLen)),p+=nb,this._pktLen+=nb,this._pktLen<this._len||p>=dataLen)return}{let nb=Math.min(16-this._tagPos,dataLen-
p);if(p!==0||nb!==dataLen?this._tag.set(new Uint8Array(data.buffer,data.byteOffset+p,nb),this._tagPos):this._tag.set(data,
this._tagPos),p+=nb,this._tagPos+=nb,this._tagPos<16)return}this._instance.decrypt(this._packet,this._len,this._tag);let payload=new FastBuffer(
this._packet.buffer,this._packet.byteOffset+1,this._packet.length-this._packet[0]-1);this.inSeqno=this.inSeqno+1>>>0,this.
_len=0,this._lenBytes=0,this._packet=null,this._pktLen=0,this._tagPos=0;{let ret=this._onPayload(payload);if(ret!==void 0)
return ret===!1?p:ret}}}},GenericDecipherNative=class{constructor(config2){let dec=config2.inbound;this.inSeqno=dec.seqno,
this._onPayload=dec.onPayload,this._decipherInstance=createDecipheriv(dec.decipherInfo.sslName,dec.decipherKey,dec.decipherIV),
this._decipherInstance.setAutoPadding(!1),this._block=Buffer.allocUnsafe(dec.macInfo.isETM?4:dec.decipherInfo.blockLen),
this._blockSize=dec.decipherInfo.blockLen,this._blockPos=0,this._len=0,this._packet=null,this._packetPos=0,this._pktLen=
0,this._mac=Buffer.allocUnsafe(dec.macInfo.actualLen),this._macPos=0,this._macSSLName=dec.macInfo.sslName,this._macKey=dec.
macKey,this._macActualLen=dec.macInfo.actualLen,this._macETM=dec.macInfo.isETM,this._macInstance=null;let discardLen=dec.
decipherInfo.discardLen;if(discardLen){let discard=DISCARD_CACHE.get(discardLen);discard===void 0&&(discard=Buffer.alloc(
discardLen),DISCARD_CACHE.set(discardLen,discard)),this._decipherInstance.update(discard)}}free(){}decrypt(data,p,dataLen){
for(;p<dataLen;){if(this._blockPos<this._block.length){let nb=Math.min(this._block.length-this._blockPos,dataLen-p);if(p!==
0||nb!==dataLen||nb<data.length?this._block.set(new Uint8Array(data.buffer,data.byteOffset+p,nb),this._blockPos):this._block.
set(data,this._blockPos),p+=nb,this._blockPos+=nb,this._blockPos<this._block.length)return;let decrypted,need;if(this._macETM?
this._len=need=readUInt32BE(this._block,0):(decrypted=this._decipherInstance.update(this._block),this._len=readUInt32BE(
decrypted,0),need=4+this._len-this._blockSize),this._len>MAX_PACKET_SIZE||this._len<5||(need&this._blockSize-1)!==0)throw new Error(
"Bad packet length");if(this._macInstance=createHmac2(this._macSSLName,this._macKey),writeUInt32BE(BUF_INT,this.inSeqno,
0),this._macInstance.update(BUF_INT),this._macETM?this._macInstance.update(this._block):(this._macInstance.update(new Uint8Array(
decrypted.buffer,decrypted.byteOffset,4)),this._pktLen=decrypted.length-4,this._packetPos=this._pktLen,this._packet=Buffer.
allocUnsafe(this._len),this._packet.set(new Uint8Array(decrypted.buffer,decrypted.byteOffset+4,this._packetPos),0)),p>=dataLen)
return}if(this._pktLen<this._len){let nb=Math.min(this._len-this._pktLen,dataLen-p),encrypted;p!==0||nb!==dataLen?encrypted=
new Uint8Array(data.buffer,data.byteOffset+p,nb):encrypted=data,this._macETM&&this._macInstance.update(encrypted);let decrypted=this.
_decipherInstance.update(encrypted);if(decrypted.length&&(nb===this._len?this._packet=decrypted:(this._packet||(this._packet=
Buffer.allocUnsafe(this._len)),this._packet.set(decrypted,this._packetPos)),this._packetPos+=decrypted.length),p+=nb,this.
_pktLen+=nb,this._pktLen<this._len||p>=dataLen)return}{let nb=Math.min(this._macActualLen-this._macPos,dataLen-p);if(p!==
0||nb!==dataLen?this._mac.set(new Uint8Array(data.buffer,data.byteOffset+p,nb),this._macPos):this._mac.set(data,this._macPos),
p+=nb,this._macPos+=nb,this._macPos<this._macActualLen)return}this._macETM||this._macInstance.update(this._packet);let calculated=this.
_macInstance.digest();if(this._macActualLen<calculated.length&&(calculated=new Uint8Array(calculated.buffer,calculated.byteOffset,
this._macActualLen)),!timingSafeEquals(calculated,this._mac))throw new Error("Invalid MAC");let payload=new FastBuffer(this.
_packet.buffer,this._packet.byteOffset+1,this._packet.length-this._packet[0]-1);this.inSeqno=this.inSeqno+1>>>0,this._blockPos=
0,this._len=0,this._packet=null,this._packetPos=0,this._pktLen=0,this._macPos=0,this._macInstance=null;{let ret=this._onPayload(
payload);if(ret!==void 0)return ret===!1?p:ret}}}},GenericDecipherBinding=class{constructor(config2){let dec=config2.inbound;
this.inSeqno=dec.seqno,this._onPayload=dec.onPayload,this._instance=new GenericDecipher(dec.decipherInfo.sslName,dec.decipherKey,
dec.decipherIV,dec.macInfo.sslName,dec.macKey,dec.macInfo.isETM,dec.macInfo.actualLen),this._block=Buffer.allocUnsafe(dec.
macInfo.isETM||dec.decipherInfo.stream?4:dec.decipherInfo.blockLen),this._blockPos=0,this._len=0,this._packet=null,this.
_pktLen=0,this._mac=Buffer.allocUnsafe(dec.macInfo.actualLen),this._macPos=0,this._macActualLen=dec.macInfo.actualLen,this.
_macETM=dec.macInfo.isETM}free(){this._instance.free()}decrypt(data,p,dataLen){for(;p<dataLen;){if(this._blockPos<this._block.
length){let nb=Math.min(this._block.length-this._blockPos,dataLen-p);if(p!==0||nb!==dataLen||nb<data.length?this._block.
set(new Uint8Array(data.buffer,data.byteOffset+p,nb),this._blockPos):this._block.set(data,this._blockPos),p+=nb,this._blockPos+=
nb,this._blockPos<this._block.length)return;let need;if(this._macETM?this._len=need=readUInt32BE(this._block,0):(this._instance.
decryptBlock(this._block),this._len=readUInt32BE(this._block,0),need=4+this._len-this._block.length),this._len>MAX_PACKET_SIZE||
this._len<5||(need&this._block.length-1)!==0)throw new Error("Bad packet length");if(this._macETM||(this._pktLen=this._block.
length-4,this._pktLen&&(this._packet=Buffer.allocUnsafe(this._len),this._packet.set(new Uint8Array(this._block.buffer,this.
_block.byteOffset+4,this._pktLen),0))),p>=dataLen)return}if(this._pktLen<this._len){let nb=Math.min(this._len-this._pktLen,
dataLen-p),encrypted;if(p!==0||nb!==dataLen?encrypted=new Uint8Array(data.buffer,data.byteOffset+p,nb):encrypted=data,nb===
this._len?this._packet=encrypted:(this._packet||(this._packet=Buffer.allocUnsafe(this._len)),this._packet.set(encrypted,
this._pktLen)),p+=nb,this._pktLen+=nb,this._pktLen<this._len||p>=dataLen)return}{let nb=Math.min(this._macActualLen-this.
_macPos,dataLen-p);if(p!==0||nb!==dataLen?this._mac.set(new Uint8Array(data.buffer,data.byteOffset+p,nb),this._macPos):this.
_mac.set(data,this._macPos),p+=nb,this._macPos+=nb,this._macPos<this._macActualLen)return}this._instance.decrypt(this._packet,
this.inSeqno,this._block,this._mac);let payload=new FastBuffer(this._packet.buffer,this._packet.byteOffset+1,this._packet.
length-this._packet[0]-1);this.inSeqno=this.inSeqno+1>>>0,this._blockPos=0,this._len=0,this._packet=null,this._pktLen=0,
this._macPos=0,this._macInstance=null;{let ret=this._onPayload(payload);if(ret!==void 0)return ret===!1?p:ret}}}};function ivIncrement(iv){
++iv[11]>>>8&&++iv[10]>>>8&&++iv[9]>>>8&&++iv[8]>>>8&&++iv[7]>>>8&&++iv[6]>>>8&&++iv[5]>>>8&&++iv[4]>>>8}var intToBytes=(()=>{
let ret=Buffer.alloc(4);return n=>(ret[0]=n>>>24,ret[1]=n>>>16,ret[2]=n>>>8,ret[3]=n,ret)})();function timingSafeEquals(a,b){
return a.length!==b.length?(timingSafeEqual2(a,a),!1):timingSafeEqual2(a,b)}function createCipher(config2){if(typeof config2!=
"object"||config2===null)throw new Error("Invalid config");if(typeof config2.outbound!="object"||config2.outbound===null)
throw new Error("Invalid outbound");let outbound=config2.outbound;if(typeof outbound.onWrite!="function")throw new Error(
"Invalid outbound.onWrite");if(typeof outbound.cipherInfo!="object"||outbound.cipherInfo===null)throw new Error("Invalid\
 outbound.cipherInfo");if(!Buffer.isBuffer(outbound.cipherKey)||outbound.cipherKey.length!==outbound.cipherInfo.keyLen)throw new Error(
"Invalid outbound.cipherKey");if(outbound.cipherInfo.ivLen&&(!Buffer.isBuffer(outbound.cipherIV)||outbound.cipherIV.length!==
outbound.cipherInfo.ivLen))throw new Error("Invalid outbound.cipherIV");if(typeof outbound.seqno!="number"||outbound.seqno<
0||outbound.seqno>MAX_SEQNO)throw new Error("Invalid outbound.seqno");let forceNative=!!outbound.forceNative;switch(outbound.
cipherInfo.sslName){case"aes-128-gcm":case"aes-256-gcm":return AESGCMCipher&&!forceNative?new AESGCMCipherBinding(config2):
new AESGCMCipherNative(config2);case"chacha20":return ChaChaPolyCipher&&!forceNative?new ChaChaPolyCipherBinding(config2):
new ChaChaPolyCipherNative(config2);default:{if(typeof outbound.macInfo!="object"||outbound.macInfo===null)throw new Error(
"Invalid outbound.macInfo");if(!Buffer.isBuffer(outbound.macKey)||outbound.macKey.length!==outbound.macInfo.len)throw new Error(
"Invalid outbound.macKey");return GenericCipher&&!forceNative?new GenericCipherBinding(config2):new GenericCipherNative(
config2)}}}function createDecipher(config2){if(typeof config2!="object"||config2===null)throw new Error("Invalid config");
if(typeof config2.inbound!="object"||config2.inbound===null)throw new Error("Invalid inbound");let inbound=config2.inbound;
if(typeof inbound.onPayload!="function")throw new Error("Invalid inbound.onPayload");if(typeof inbound.decipherInfo!="ob\
ject"||inbound.decipherInfo===null)throw new Error("Invalid inbound.decipherInfo");if(!Buffer.isBuffer(inbound.decipherKey)||
inbound.decipherKey.length!==inbound.decipherInfo.keyLen)throw new Error("Invalid inbound.decipherKey");if(inbound.decipherInfo.
ivLen&&(!Buffer.isBuffer(inbound.decipherIV)||inbound.decipherIV.length!==inbound.decipherInfo.ivLen))throw new Error("I\
nvalid inbound.decipherIV");if(typeof inbound.seqno!="number"||inbound.seqno<0||inbound.seqno>MAX_SEQNO)throw new Error(
"Invalid inbound.seqno");let forceNative=!!inbound.forceNative;switch(inbound.decipherInfo.sslName){case"aes-128-gcm":case"\
aes-256-gcm":return AESGCMDecipher&&!forceNative?new AESGCMDecipherBinding(config2):new AESGCMDecipherNative(config2);case"\
chacha20":return ChaChaPolyDecipher&&!forceNative?new ChaChaPolyDecipherBinding(config2):new ChaChaPolyDecipherNative(config2);default:{
if(typeof inbound.macInfo!="object"||inbound.macInfo===null)throw new Error("Invalid inbound.macInfo");if(!Buffer.isBuffer(
inbound.macKey)||inbound.macKey.length!==inbound.macInfo.len)throw new Error("Invalid inbound.macKey");return GenericDecipher&&
!forceNative?new GenericDecipherBinding(config2):new GenericDecipherNative(config2)}}}module2.exports={CIPHER_INFO,MAC_INFO,
bindingAvailable:!!binding,init:new Promise(async(resolve3,reject)=>{try{POLY1305_WASM_MODULE=await require_poly1305()(),
POLY1305_RESULT_MALLOC=POLY1305_WASM_MODULE._malloc(16),poly1305_auth=POLY1305_WASM_MODULE.cwrap("poly1305_auth",null,["\
number","array","number","array","number","array"])}catch(ex){return reject(ex)}resolve3()}),NullCipher,createCipher,NullDecipher,
createDecipher}}});var require_keyParser=__commonJS({"node_modules/ssh2/lib/protocol/keyParser.js"(exports2,module2){"use strict";init_define_SAVEPOINT();
var{createDecipheriv,createECDH,createHash:createHash5,createHmac:createHmac2,createSign,createVerify,getCiphers,sign:sign_,
verify:verify_}=require("crypto"),supportedOpenSSLCiphers=getCiphers(),{Ber}=require_lib(),bcrypt_pbkdf=require_bcrypt_pbkdf().
pbkdf,{CIPHER_INFO}=require_crypto(),{eddsaSupported,SUPPORTED_CIPHER}=require_constants(),{bufferSlice,makeBufferParser,
readString,readUInt32BE,writeUInt32BE}=require_utils(),SYM_HASH_ALGO=Symbol("Hash Algorithm"),SYM_PRIV_PEM=Symbol("Priva\
te key PEM"),SYM_PUB_PEM=Symbol("Public key PEM"),SYM_PUB_SSH=Symbol("Public key SSH"),SYM_DECRYPTED=Symbol("Decrypted K\
ey"),CIPHER_INFO_OPENSSL=Object.create(null);{let keys=Object.keys(CIPHER_INFO);for(let i=0;i<keys.length;++i){let cipherName=CIPHER_INFO[keys[i]].
sslName;!cipherName||CIPHER_INFO_OPENSSL[cipherName]||(CIPHER_INFO_OPENSSL[cipherName]=CIPHER_INFO[keys[i]])}}var binaryKeyParser=makeBufferParser();
function makePEM(type,data){data=data.base64Slice(0,data.length);let formatted=data.replace(/.{64}/g,`$&
`);return data.length&63&&(formatted+=`
`),`-----BEGIN ${type} KEY-----
${formatted}-----END ${type} KEY-----`}function combineBuffers(buf1,buf2){let result=Buffer.allocUnsafe(buf1.length+buf2.
length);return result.set(buf1,0),result.set(buf2,buf1.length),result}function skipFields(buf,nfields){let bufLen=buf.length,
pos=buf._pos||0;for(let i=0;i<nfields;++i){let left=bufLen-pos;if(pos>=bufLen||left<4)return!1;let len=readUInt32BE(buf,
pos);if(left<4+len)return!1;pos+=4+len}return buf._pos=pos,!0}function genOpenSSLRSAPub(n,e){let asnWriter=new Ber.Writer;
return asnWriter.startSequence(),asnWriter.startSequence(),asnWriter.writeOID("1.2.840.113549.1.1.1"),asnWriter.writeNull(),
asnWriter.endSequence(),asnWriter.startSequence(Ber.BitString),asnWriter.writeByte(0),asnWriter.startSequence(),asnWriter.
writeBuffer(n,Ber.Integer),asnWriter.writeBuffer(e,Ber.Integer),asnWriter.endSequence(),asnWriter.endSequence(),asnWriter.
endSequence(),makePEM("PUBLIC",asnWriter.buffer)}function genOpenSSHRSAPub(n,e){let publicKey=Buffer.allocUnsafe(15+e.length+
4+n.length);writeUInt32BE(publicKey,7,0),publicKey.utf8Write("ssh-rsa",4,7);let i=11;return writeUInt32BE(publicKey,e.length,
i),publicKey.set(e,i+=4),writeUInt32BE(publicKey,n.length,i+=e.length),publicKey.set(n,i+4),publicKey}var genOpenSSLRSAPriv=(()=>{
function genRSAASN1Buf(n,e,d,p,q,dmp1,dmq1,iqmp){let asnWriter=new Ber.Writer;return asnWriter.startSequence(),asnWriter.
writeInt(0,Ber.Integer),asnWriter.writeBuffer(n,Ber.Integer),asnWriter.writeBuffer(e,Ber.Integer),asnWriter.writeBuffer(
d,Ber.Integer),asnWriter.writeBuffer(p,Ber.Integer),asnWriter.writeBuffer(q,Ber.Integer),asnWriter.writeBuffer(dmp1,Ber.
Integer),asnWriter.writeBuffer(dmq1,Ber.Integer),asnWriter.writeBuffer(iqmp,Ber.Integer),asnWriter.endSequence(),asnWriter.
buffer}function bigIntFromBuffer(buf){return BigInt(`0x${buf.hexSlice(0,buf.length)}`)}function bigIntToBuffer(bn){let hex=bn.
toString(16);if((hex.length&1)!==0)hex=`0${hex}`;else{let sigbit=hex.charCodeAt(0);(sigbit===56||sigbit===57||sigbit>=97&&
sigbit<=102)&&(hex=`00${hex}`)}return Buffer.from(hex,"hex")}return function(n,e,d,iqmp,p,q){let bn_d=bigIntFromBuffer(d),
dmp1=bigIntToBuffer(bn_d%(bigIntFromBuffer(p)-1n)),dmq1=bigIntToBuffer(bn_d%(bigIntFromBuffer(q)-1n));return makePEM("RS\
A PRIVATE",genRSAASN1Buf(n,e,d,p,q,dmp1,dmq1,iqmp))}})();function genOpenSSLDSAPub(p,q,g,y){let asnWriter=new Ber.Writer;
return asnWriter.startSequence(),asnWriter.startSequence(),asnWriter.writeOID("1.2.840.10040.4.1"),asnWriter.startSequence(),
asnWriter.writeBuffer(p,Ber.Integer),asnWriter.writeBuffer(q,Ber.Integer),asnWriter.writeBuffer(g,Ber.Integer),asnWriter.
endSequence(),asnWriter.endSequence(),asnWriter.startSequence(Ber.BitString),asnWriter.writeByte(0),asnWriter.writeBuffer(
y,Ber.Integer),asnWriter.endSequence(),asnWriter.endSequence(),makePEM("PUBLIC",asnWriter.buffer)}function genOpenSSHDSAPub(p,q,g,y){
let publicKey=Buffer.allocUnsafe(15+p.length+4+q.length+4+g.length+4+y.length);writeUInt32BE(publicKey,7,0),publicKey.utf8Write(
"ssh-dss",4,7);let i=11;return writeUInt32BE(publicKey,p.length,i),publicKey.set(p,i+=4),writeUInt32BE(publicKey,q.length,
i+=p.length),publicKey.set(q,i+=4),writeUInt32BE(publicKey,g.length,i+=q.length),publicKey.set(g,i+=4),writeUInt32BE(publicKey,
y.length,i+=g.length),publicKey.set(y,i+4),publicKey}function genOpenSSLDSAPriv(p,q,g,y,x){let asnWriter=new Ber.Writer;
return asnWriter.startSequence(),asnWriter.writeInt(0,Ber.Integer),asnWriter.writeBuffer(p,Ber.Integer),asnWriter.writeBuffer(
q,Ber.Integer),asnWriter.writeBuffer(g,Ber.Integer),asnWriter.writeBuffer(y,Ber.Integer),asnWriter.writeBuffer(x,Ber.Integer),
asnWriter.endSequence(),makePEM("DSA PRIVATE",asnWriter.buffer)}function genOpenSSLEdPub(pub){let asnWriter=new Ber.Writer;
return asnWriter.startSequence(),asnWriter.startSequence(),asnWriter.writeOID("1.3.101.112"),asnWriter.endSequence(),asnWriter.
startSequence(Ber.BitString),asnWriter.writeByte(0),asnWriter._ensure(pub.length),asnWriter._buf.set(pub,asnWriter._offset),
asnWriter._offset+=pub.length,asnWriter.endSequence(),asnWriter.endSequence(),makePEM("PUBLIC",asnWriter.buffer)}function genOpenSSHEdPub(pub){
let publicKey=Buffer.allocUnsafe(19+pub.length);return writeUInt32BE(publicKey,11,0),publicKey.utf8Write("ssh-ed25519",4,
11),writeUInt32BE(publicKey,pub.length,15),publicKey.set(pub,19),publicKey}function genOpenSSLEdPriv(priv){let asnWriter=new Ber.
Writer;return asnWriter.startSequence(),asnWriter.writeInt(0,Ber.Integer),asnWriter.startSequence(),asnWriter.writeOID("\
1.3.101.112"),asnWriter.endSequence(),asnWriter.startSequence(Ber.OctetString),asnWriter.writeBuffer(priv,Ber.OctetString),
asnWriter.endSequence(),asnWriter.endSequence(),makePEM("PRIVATE",asnWriter.buffer)}function genOpenSSLECDSAPub(oid,Q){let asnWriter=new Ber.
Writer;return asnWriter.startSequence(),asnWriter.startSequence(),asnWriter.writeOID("1.2.840.10045.2.1"),asnWriter.writeOID(
oid),asnWriter.endSequence(),asnWriter.startSequence(Ber.BitString),asnWriter.writeByte(0),asnWriter._ensure(Q.length),asnWriter.
_buf.set(Q,asnWriter._offset),asnWriter._offset+=Q.length,asnWriter.endSequence(),asnWriter.endSequence(),makePEM("PUBLI\
C",asnWriter.buffer)}function genOpenSSHECDSAPub(oid,Q){let curveName;switch(oid){case"1.2.840.10045.3.1.7":curveName="n\
istp256";break;case"1.3.132.0.34":curveName="nistp384";break;case"1.3.132.0.35":curveName="nistp521";break;default:return}
let publicKey=Buffer.allocUnsafe(39+Q.length);return writeUInt32BE(publicKey,19,0),publicKey.utf8Write(`ecdsa-sha2-${curveName}`,
4,19),writeUInt32BE(publicKey,8,23),publicKey.utf8Write(curveName,27,8),writeUInt32BE(publicKey,Q.length,35),publicKey.set(
Q,39),publicKey}function genOpenSSLECDSAPriv(oid,pub,priv){let asnWriter=new Ber.Writer;return asnWriter.startSequence(),
asnWriter.writeInt(1,Ber.Integer),asnWriter.writeBuffer(priv,Ber.OctetString),asnWriter.startSequence(160),asnWriter.writeOID(
oid),asnWriter.endSequence(),asnWriter.startSequence(161),asnWriter.startSequence(Ber.BitString),asnWriter.writeByte(0),
asnWriter._ensure(pub.length),asnWriter._buf.set(pub,asnWriter._offset),asnWriter._offset+=pub.length,asnWriter.endSequence(),
asnWriter.endSequence(),asnWriter.endSequence(),makePEM("EC PRIVATE",asnWriter.buffer)}function genOpenSSLECDSAPubFromPriv(curveName,priv){
let tempECDH=createECDH(curveName);return tempECDH.setPrivateKey(priv),tempECDH.getPublicKey()}var BaseKey={sign:typeof sign_==
"function"?function(data,algo){let pem=this[SYM_PRIV_PEM];if(pem===null)return new Error("No private key available");(!algo||
typeof algo!="string")&&(algo=this[SYM_HASH_ALGO]);try{return sign_(algo,data,pem)}catch(ex){return ex}}:function(data,algo){
let pem=this[SYM_PRIV_PEM];if(pem===null)return new Error("No private key available");(!algo||typeof algo!="string")&&(algo=
this[SYM_HASH_ALGO]);let signature=createSign(algo);signature.update(data);try{return signature.sign(pem)}catch(ex){return ex}},
verify:typeof verify_=="function"?function(data,signature,algo){let pem=this[SYM_PUB_PEM];if(pem===null)return new Error(
"No public key available");(!algo||typeof algo!="string")&&(algo=this[SYM_HASH_ALGO]);try{return verify_(algo,data,pem,signature)}catch(ex){
return ex}}:function(data,signature,algo){let pem=this[SYM_PUB_PEM];if(pem===null)return new Error("No public key availa\
ble");(!algo||typeof algo!="string")&&(algo=this[SYM_HASH_ALGO]);let verifier=createVerify(algo);verifier.update(data);try{
return verifier.verify(pem,signature)}catch(ex){return ex}},isPrivateKey:function(){return this[SYM_PRIV_PEM]!==null},getPrivatePEM:function(){
return this[SYM_PRIV_PEM]},getPublicPEM:function(){return this[SYM_PUB_PEM]},getPublicSSH:function(){return this[SYM_PUB_SSH]},
equals:function(key){let parsed3=parseKey(key);return parsed3 instanceof Error?!1:this.type===parsed3.type&&this[SYM_PRIV_PEM]===
parsed3[SYM_PRIV_PEM]&&this[SYM_PUB_PEM]===parsed3[SYM_PUB_PEM]&&this[SYM_PUB_SSH].equals(parsed3[SYM_PUB_SSH])}};function OpenSSH_Private(type,comment,privPEM,pubPEM,pubSSH,algo,decrypted){
this.type=type,this.comment=comment,this[SYM_PRIV_PEM]=privPEM,this[SYM_PUB_PEM]=pubPEM,this[SYM_PUB_SSH]=pubSSH,this[SYM_HASH_ALGO]=
algo,this[SYM_DECRYPTED]=decrypted}OpenSSH_Private.prototype=BaseKey;{let parseOpenSSHPrivKeys=function(data,nkeys,decrypted){
let keys=[];if(data.length<8)return new Error("Malformed OpenSSH private key");let check1=readUInt32BE(data,0),check2=readUInt32BE(
data,4);if(check1!==check2)return decrypted?new Error("OpenSSH key integrity check failed -- bad passphrase?"):new Error(
"OpenSSH key integrity check failed");data._pos=8;let i,oid;for(i=0;i<nkeys;++i){let algo,privPEM,pubPEM,pubSSH,type=readString(
data,data._pos,!0);if(type===void 0)return new Error("Malformed OpenSSH private key");switch(type){case"ssh-rsa":{let n=readString(
data,data._pos);if(n===void 0)return new Error("Malformed OpenSSH private key");let e=readString(data,data._pos);if(e===
void 0)return new Error("Malformed OpenSSH private key");let d=readString(data,data._pos);if(d===void 0)return new Error(
"Malformed OpenSSH private key");let iqmp=readString(data,data._pos);if(iqmp===void 0)return new Error("Malformed OpenSS\
H private key");let p=readString(data,data._pos);if(p===void 0)return new Error("Malformed OpenSSH private key");let q=readString(
data,data._pos);if(q===void 0)return new Error("Malformed OpenSSH private key");pubPEM=genOpenSSLRSAPub(n,e),pubSSH=genOpenSSHRSAPub(
n,e),privPEM=genOpenSSLRSAPriv(n,e,d,iqmp,p,q),algo="sha1";break}case"ssh-dss":{let p=readString(data,data._pos);if(p===
void 0)return new Error("Malformed OpenSSH private key");let q=readString(data,data._pos);if(q===void 0)return new Error(
"Malformed OpenSSH private key");let g=readString(data,data._pos);if(g===void 0)return new Error("Malformed OpenSSH priv\
ate key");let y=readString(data,data._pos);if(y===void 0)return new Error("Malformed OpenSSH private key");let x=readString(
data,data._pos);if(x===void 0)return new Error("Malformed OpenSSH private key");pubPEM=genOpenSSLDSAPub(p,q,g,y),pubSSH=
genOpenSSHDSAPub(p,q,g,y),privPEM=genOpenSSLDSAPriv(p,q,g,y,x),algo="sha1";break}case"ssh-ed25519":{if(!eddsaSupported)return new Error(
`Unsupported OpenSSH private key type: ${type}`);let edpub=readString(data,data._pos);if(edpub===void 0||edpub.length!==
32)return new Error("Malformed OpenSSH private key");let edpriv=readString(data,data._pos);if(edpriv===void 0||edpriv.length!==
64)return new Error("Malformed OpenSSH private key");pubPEM=genOpenSSLEdPub(edpub),pubSSH=genOpenSSHEdPub(edpub),privPEM=
genOpenSSLEdPriv(bufferSlice(edpriv,0,32)),algo=null;break}case"ecdsa-sha2-nistp256":algo="sha256",oid="1.2.840.10045.3.\
1.7";case"ecdsa-sha2-nistp384":algo===void 0&&(algo="sha384",oid="1.3.132.0.34");case"ecdsa-sha2-nistp521":{if(algo===void 0&&
(algo="sha512",oid="1.3.132.0.35"),!skipFields(data,1))return new Error("Malformed OpenSSH private key");let ecpub=readString(
data,data._pos);if(ecpub===void 0)return new Error("Malformed OpenSSH private key");let ecpriv=readString(data,data._pos);
if(ecpriv===void 0)return new Error("Malformed OpenSSH private key");pubPEM=genOpenSSLECDSAPub(oid,ecpub),pubSSH=genOpenSSHECDSAPub(
oid,ecpub),privPEM=genOpenSSLECDSAPriv(oid,ecpub,ecpriv);break}default:return new Error(`Unsupported OpenSSH private key\
 type: ${type}`)}let privComment=readString(data,data._pos,!0);if(privComment===void 0)return new Error("Malformed OpenS\
SH private key");keys.push(new OpenSSH_Private(type,privComment,privPEM,pubPEM,pubSSH,algo,decrypted))}let cnt=0;for(i=data.
_pos;i<data.length;++i)if(data[i]!==++cnt%255)return new Error("Malformed OpenSSH private key");return keys},regexp=/^-----BEGIN OPENSSH PRIVATE KEY-----(?:\r\n|\n)([\s\S]+)(?:\r\n|\n)-----END OPENSSH PRIVATE KEY-----$/;
OpenSSH_Private.parse=(str,passphrase)=>{let m=regexp.exec(str);if(m===null)return null;let ret,data=Buffer.from(m[1],"b\
ase64");if(data.length<31)return new Error("Malformed OpenSSH private key");let magic=data.utf8Slice(0,15);if(magic!=="o\
penssh-key-v1\0")return new Error(`Unsupported OpenSSH key magic: ${magic}`);let cipherName=readString(data,15,!0);if(cipherName===
void 0)return new Error("Malformed OpenSSH private key");if(cipherName!=="none"&&SUPPORTED_CIPHER.indexOf(cipherName)===
-1)return new Error(`Unsupported cipher for OpenSSH key: ${cipherName}`);let kdfName=readString(data,data._pos,!0);if(kdfName===
void 0)return new Error("Malformed OpenSSH private key");if(kdfName!=="none"){if(cipherName==="none")return new Error("M\
alformed OpenSSH private key");if(kdfName!=="bcrypt")return new Error(`Unsupported kdf name for OpenSSH key: ${kdfName}`);
if(!passphrase)return new Error("Encrypted private OpenSSH key detected, but no passphrase given")}else if(cipherName!==
"none")return new Error("Malformed OpenSSH private key");let encInfo,cipherKey,cipherIV;cipherName!=="none"&&(encInfo=CIPHER_INFO[cipherName]);
let kdfOptions=readString(data,data._pos);if(kdfOptions===void 0)return new Error("Malformed OpenSSH private key");if(kdfOptions.
length)switch(kdfName){case"none":return new Error("Malformed OpenSSH private key");case"bcrypt":{let salt=readString(kdfOptions,
0);if(salt===void 0||kdfOptions._pos+4>kdfOptions.length)return new Error("Malformed OpenSSH private key");let rounds=readUInt32BE(
kdfOptions,kdfOptions._pos),gen=Buffer.allocUnsafe(encInfo.keyLen+encInfo.ivLen);if(bcrypt_pbkdf(passphrase,passphrase.length,
salt,salt.length,gen,gen.length,rounds)!==0)return new Error("Failed to generate information to decrypt key");cipherKey=
bufferSlice(gen,0,encInfo.keyLen),cipherIV=bufferSlice(gen,encInfo.keyLen,gen.length);break}}else if(kdfName!=="none")return new Error(
"Malformed OpenSSH private key");if(data._pos+3>=data.length)return new Error("Malformed OpenSSH private key");let keyCount=readUInt32BE(
data,data._pos);if(data._pos+=4,keyCount>0){for(let i=0;i<keyCount;++i){let pubData=readString(data,data._pos);if(pubData===
void 0)return new Error("Malformed OpenSSH private key");if(readString(pubData,0,!0)===void 0)return new Error("Malforme\
d OpenSSH private key")}let privBlob=readString(data,data._pos);if(privBlob===void 0)return new Error("Malformed OpenSSH\
 private key");if(cipherKey!==void 0){if(privBlob.length<encInfo.blockLen||privBlob.length%encInfo.blockLen!==0)return new Error(
"Malformed OpenSSH private key");try{let options={authTagLength:encInfo.authLen},decipher=createDecipheriv(encInfo.sslName,
cipherKey,cipherIV,options);if(decipher.setAutoPadding(!1),encInfo.authLen>0){if(data.length-data._pos<encInfo.authLen)return new Error(
"Malformed OpenSSH private key");decipher.setAuthTag(bufferSlice(data,data._pos,data._pos+=encInfo.authLen))}privBlob=combineBuffers(
decipher.update(privBlob),decipher.final())}catch(ex){return ex}}if(data._pos!==data.length)return new Error("Malformed \
OpenSSH private key");ret=parseOpenSSHPrivKeys(privBlob,keyCount,cipherKey!==void 0)}else ret=[];return ret instanceof Error?
ret:ret[0]}}function OpenSSH_Old_Private(type,comment,privPEM,pubPEM,pubSSH,algo,decrypted){this.type=type,this.comment=
comment,this[SYM_PRIV_PEM]=privPEM,this[SYM_PUB_PEM]=pubPEM,this[SYM_PUB_SSH]=pubSSH,this[SYM_HASH_ALGO]=algo,this[SYM_DECRYPTED]=
decrypted}OpenSSH_Old_Private.prototype=BaseKey;{let regexp=/^-----BEGIN (RSA|DSA|EC) PRIVATE KEY-----(?:\r\n|\n)((?:[^:]+:\s*[\S].*(?:\r\n|\n))*)([\s\S]+)(?:\r\n|\n)-----END (RSA|DSA|EC) PRIVATE KEY-----$/;
OpenSSH_Old_Private.parse=(str,passphrase)=>{let m=regexp.exec(str);if(m===null)return null;let privBlob=Buffer.from(m[3],
"base64"),headers=m[2],decrypted=!1;if(headers!==void 0){headers=headers.split(/\r\n|\n/g);for(let i=0;i<headers.length;++i){
let header2=headers[i],sepIdx=header2.indexOf(":");if(header2.slice(0,sepIdx)==="DEK-Info"){let val=header2.slice(sepIdx+
2);if(sepIdx=val.indexOf(","),sepIdx===-1)continue;let cipherName=val.slice(0,sepIdx).toLowerCase();if(supportedOpenSSLCiphers.
indexOf(cipherName)===-1)return new Error(`Cipher (${cipherName}) not supported for encrypted OpenSSH private key`);let encInfo=CIPHER_INFO_OPENSSL[cipherName];
if(!encInfo)return new Error(`Cipher (${cipherName}) not supported for encrypted OpenSSH private key`);let cipherIV=Buffer.
from(val.slice(sepIdx+1),"hex");if(cipherIV.length!==encInfo.ivLen)return new Error("Malformed encrypted OpenSSH private\
 key");if(!passphrase)return new Error("Encrypted OpenSSH private key detected, but no passphrase given");let ivSlice=bufferSlice(
cipherIV,0,8),cipherKey=createHash5("md5").update(passphrase).update(ivSlice).digest();for(;cipherKey.length<encInfo.keyLen;)
cipherKey=combineBuffers(cipherKey,createHash5("md5").update(cipherKey).update(passphrase).update(ivSlice).digest());cipherKey.
length>encInfo.keyLen&&(cipherKey=bufferSlice(cipherKey,0,encInfo.keyLen));try{let decipher=createDecipheriv(cipherName,
cipherKey,cipherIV);decipher.setAutoPadding(!1),privBlob=combineBuffers(decipher.update(privBlob),decipher.final()),decrypted=
!0}catch(ex){return ex}}}}let type,privPEM,pubPEM,pubSSH,algo,reader,errMsg="Malformed OpenSSH private key";switch(decrypted&&
(errMsg+=". Bad passphrase?"),m[1]){case"RSA":type="ssh-rsa",privPEM=makePEM("RSA PRIVATE",privBlob);try{reader=new Ber.
Reader(privBlob),reader.readSequence(),reader.readInt();let n=reader.readString(Ber.Integer,!0);if(n===null)return new Error(
errMsg);let e=reader.readString(Ber.Integer,!0);if(e===null)return new Error(errMsg);pubPEM=genOpenSSLRSAPub(n,e),pubSSH=
genOpenSSHRSAPub(n,e)}catch{return new Error(errMsg)}algo="sha1";break;case"DSA":type="ssh-dss",privPEM=makePEM("DSA PRI\
VATE",privBlob);try{reader=new Ber.Reader(privBlob),reader.readSequence(),reader.readInt();let p=reader.readString(Ber.Integer,
!0);if(p===null)return new Error(errMsg);let q=reader.readString(Ber.Integer,!0);if(q===null)return new Error(errMsg);let g=reader.
readString(Ber.Integer,!0);if(g===null)return new Error(errMsg);let y=reader.readString(Ber.Integer,!0);if(y===null)return new Error(
errMsg);pubPEM=genOpenSSLDSAPub(p,q,g,y),pubSSH=genOpenSSHDSAPub(p,q,g,y)}catch{return new Error(errMsg)}algo="sha1";break;case"\
EC":{let ecSSLName,ecPriv,ecOID;try{reader=new Ber.Reader(privBlob),reader.readSequence(),reader.readInt(),ecPriv=reader.
readString(Ber.OctetString,!0),reader.readByte();let offset=reader.readLength();if(offset!==null){if(reader._offset=offset,
ecOID=reader.readOID(),ecOID===null)return new Error(errMsg);switch(ecOID){case"1.2.840.10045.3.1.7":ecSSLName="prime256\
v1",type="ecdsa-sha2-nistp256",algo="sha256";break;case"1.3.132.0.34":ecSSLName="secp384r1",type="ecdsa-sha2-nistp384",algo=
"sha384";break;case"1.3.132.0.35":ecSSLName="secp521r1",type="ecdsa-sha2-nistp521",algo="sha512";break;default:return new Error(
`Unsupported private key EC OID: ${ecOID}`)}}else return new Error(errMsg)}catch{return new Error(errMsg)}privPEM=makePEM(
"EC PRIVATE",privBlob);let pubBlob=genOpenSSLECDSAPubFromPriv(ecSSLName,ecPriv);pubPEM=genOpenSSLECDSAPub(ecOID,pubBlob),
pubSSH=genOpenSSHECDSAPub(ecOID,pubBlob);break}}return new OpenSSH_Old_Private(type,"",privPEM,pubPEM,pubSSH,algo,decrypted)}}
function PPK_Private(type,comment,privPEM,pubPEM,pubSSH,algo,decrypted){this.type=type,this.comment=comment,this[SYM_PRIV_PEM]=
privPEM,this[SYM_PUB_PEM]=pubPEM,this[SYM_PUB_SSH]=pubSSH,this[SYM_HASH_ALGO]=algo,this[SYM_DECRYPTED]=decrypted}PPK_Private.
prototype=BaseKey;{let EMPTY_PASSPHRASE=Buffer.alloc(0),PPK_IV=Buffer.from([0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]),PPK_PP1=Buffer.
from([0,0,0,0]),PPK_PP2=Buffer.from([0,0,0,1]),regexp=/^PuTTY-User-Key-File-2: (ssh-(?:rsa|dss))\r?\nEncryption: (aes256-cbc|none)\r?\nComment: ([^\r\n]*)\r?\nPublic-Lines: \d+\r?\n([\s\S]+?)\r?\nPrivate-Lines: \d+\r?\n([\s\S]+?)\r?\nPrivate-MAC: ([^\r\n]+)/;
PPK_Private.parse=(str,passphrase)=>{let m=regexp.exec(str);if(m===null)return null;let cipherName=m[2],encrypted=cipherName!==
"none";if(encrypted&&!passphrase)return new Error("Encrypted PPK private key detected, but no passphrase given");let privBlob=Buffer.
from(m[5],"base64");if(encrypted){let encInfo=CIPHER_INFO[cipherName],cipherKey=combineBuffers(createHash5("sha1").update(
PPK_PP1).update(passphrase).digest(),createHash5("sha1").update(PPK_PP2).update(passphrase).digest());cipherKey.length>encInfo.
keyLen&&(cipherKey=bufferSlice(cipherKey,0,encInfo.keyLen));try{let decipher=createDecipheriv(encInfo.sslName,cipherKey,
PPK_IV);decipher.setAutoPadding(!1),privBlob=combineBuffers(decipher.update(privBlob),decipher.final())}catch(ex){return ex}}
let type=m[1],comment=m[3],pubBlob=Buffer.from(m[4],"base64"),mac2=m[6],typeLen=type.length,cipherNameLen=cipherName.length,
commentLen=Buffer.byteLength(comment),pubLen=pubBlob.length,privLen=privBlob.length,macData=Buffer.allocUnsafe(4+typeLen+
4+cipherNameLen+4+commentLen+4+pubLen+4+privLen),p=0;if(writeUInt32BE(macData,typeLen,p),macData.utf8Write(type,p+=4,typeLen),
writeUInt32BE(macData,cipherNameLen,p+=typeLen),macData.utf8Write(cipherName,p+=4,cipherNameLen),writeUInt32BE(macData,commentLen,
p+=cipherNameLen),macData.utf8Write(comment,p+=4,commentLen),writeUInt32BE(macData,pubLen,p+=commentLen),macData.set(pubBlob,
p+=4),writeUInt32BE(macData,privLen,p+=pubLen),macData.set(privBlob,p+4),passphrase||(passphrase=EMPTY_PASSPHRASE),createHmac2(
"sha1",createHash5("sha1").update("putty-private-key-file-mac-key").update(passphrase).digest()).update(macData).digest(
"hex")!==mac2)return encrypted?new Error("PPK private key integrity check failed -- bad passphrase?"):new Error("PPK pri\
vate key integrity check failed");let pubPEM,pubSSH,privPEM;switch(pubBlob._pos=0,skipFields(pubBlob,1),type){case"ssh-r\
sa":{let e=readString(pubBlob,pubBlob._pos);if(e===void 0)return new Error("Malformed PPK public key");let n=readString(
pubBlob,pubBlob._pos);if(n===void 0)return new Error("Malformed PPK public key");let d=readString(privBlob,0);if(d===void 0)
return new Error("Malformed PPK private key");let p2=readString(privBlob,privBlob._pos);if(p2===void 0)return new Error(
"Malformed PPK private key");let q=readString(privBlob,privBlob._pos);if(q===void 0)return new Error("Malformed PPK priv\
ate key");let iqmp=readString(privBlob,privBlob._pos);if(iqmp===void 0)return new Error("Malformed PPK private key");pubPEM=
genOpenSSLRSAPub(n,e),pubSSH=genOpenSSHRSAPub(n,e),privPEM=genOpenSSLRSAPriv(n,e,d,iqmp,p2,q);break}case"ssh-dss":{let p2=readString(
pubBlob,pubBlob._pos);if(p2===void 0)return new Error("Malformed PPK public key");let q=readString(pubBlob,pubBlob._pos);
if(q===void 0)return new Error("Malformed PPK public key");let g=readString(pubBlob,pubBlob._pos);if(g===void 0)return new Error(
"Malformed PPK public key");let y=readString(pubBlob,pubBlob._pos);if(y===void 0)return new Error("Malformed PPK public \
key");let x=readString(privBlob,0);if(x===void 0)return new Error("Malformed PPK private key");pubPEM=genOpenSSLDSAPub(p2,
q,g,y),pubSSH=genOpenSSHDSAPub(p2,q,g,y),privPEM=genOpenSSLDSAPriv(p2,q,g,y,x);break}}return new PPK_Private(type,comment,
privPEM,pubPEM,pubSSH,"sha1",encrypted)}}function OpenSSH_Public(type,comment,pubPEM,pubSSH,algo){this.type=type,this.comment=
comment,this[SYM_PRIV_PEM]=null,this[SYM_PUB_PEM]=pubPEM,this[SYM_PUB_SSH]=pubSSH,this[SYM_HASH_ALGO]=algo,this[SYM_DECRYPTED]=
!1}OpenSSH_Public.prototype=BaseKey;{let regexp;eddsaSupported?regexp=/^(((?:ssh-(?:rsa|dss|ed25519))|ecdsa-sha2-nistp(?:256|384|521))(?:-cert-v0[01]@openssh.com)?) ([A-Z0-9a-z/+=]+)(?:$|\s+([\S].*)?)$/:
regexp=/^(((?:ssh-(?:rsa|dss))|ecdsa-sha2-nistp(?:256|384|521))(?:-cert-v0[01]@openssh.com)?) ([A-Z0-9a-z/+=]+)(?:$|\s+([\S].*)?)$/,
OpenSSH_Public.parse=str=>{let m=regexp.exec(str);if(m===null)return null;let fullType=m[1],baseType=m[2],data=Buffer.from(
m[3],"base64"),comment=m[4]||"",type=readString(data,data._pos,!0);return type===void 0||type.indexOf(baseType)!==0?new Error(
"Malformed OpenSSH public key"):parseDER(data,baseType,comment,fullType)}}function RFC4716_Public(type,comment,pubPEM,pubSSH,algo){
this.type=type,this.comment=comment,this[SYM_PRIV_PEM]=null,this[SYM_PUB_PEM]=pubPEM,this[SYM_PUB_SSH]=pubSSH,this[SYM_HASH_ALGO]=
algo,this[SYM_DECRYPTED]=!1}RFC4716_Public.prototype=BaseKey;{let regexp=/^---- BEGIN SSH2 PUBLIC KEY ----(?:\r?\n)((?:.{0,72}\r?\n)+)---- END SSH2 PUBLIC KEY ----$/,
RE_DATA=/^[A-Z0-9a-z/+=\r\n]+$/,RE_HEADER=/^([\x21-\x39\x3B-\x7E]{1,64}): ((?:[^\\]*\\\r?\n)*[^\r\n]+)\r?\n/gm,RE_HEADER_ENDS=/\\\r?\n/g;
RFC4716_Public.parse=str=>{let m=regexp.exec(str);if(m===null)return null;let body=m[1],dataStart=0,comment="";for(;m=RE_HEADER.
exec(body);){let headerName=m[1],headerValue=m[2].replace(RE_HEADER_ENDS,"");if(headerValue.length>1024)return RE_HEADER.
lastIndex=0,new Error("Malformed RFC4716 public key");dataStart=RE_HEADER.lastIndex,headerName.toLowerCase()==="comment"&&
(comment=headerValue,comment.length>1&&comment.charCodeAt(0)===34&&comment.charCodeAt(comment.length-1)===34&&(comment=comment.
slice(1,-1)))}let data=body.slice(dataStart);if(!RE_DATA.test(data))return new Error("Malformed RFC4716 public key");data=
Buffer.from(data,"base64");let type=readString(data,0,!0);if(type===void 0)return new Error("Malformed RFC4716 public ke\
y");let pubPEM=null,pubSSH=null;switch(type){case"ssh-rsa":{let e=readString(data,data._pos);if(e===void 0)return new Error(
"Malformed RFC4716 public key");let n=readString(data,data._pos);if(n===void 0)return new Error("Malformed RFC4716 publi\
c key");pubPEM=genOpenSSLRSAPub(n,e),pubSSH=genOpenSSHRSAPub(n,e);break}case"ssh-dss":{let p=readString(data,data._pos);
if(p===void 0)return new Error("Malformed RFC4716 public key");let q=readString(data,data._pos);if(q===void 0)return new Error(
"Malformed RFC4716 public key");let g=readString(data,data._pos);if(g===void 0)return new Error("Malformed RFC4716 publi\
c key");let y=readString(data,data._pos);if(y===void 0)return new Error("Malformed RFC4716 public key");pubPEM=genOpenSSLDSAPub(
p,q,g,y),pubSSH=genOpenSSHDSAPub(p,q,g,y);break}default:return new Error("Malformed RFC4716 public key")}return new RFC4716_Public(
type,comment,pubPEM,pubSSH,"sha1")}}function parseDER(data,baseType,comment,fullType){if(!isSupportedKeyType(baseType))return new Error(
`Unsupported OpenSSH public key type: ${baseType}`);let algo,oid,pubPEM=null,pubSSH=null;switch(baseType){case"ssh-rsa":{
let e=readString(data,data._pos||0);if(e===void 0)return new Error("Malformed OpenSSH public key");let n=readString(data,
data._pos);if(n===void 0)return new Error("Malformed OpenSSH public key");pubPEM=genOpenSSLRSAPub(n,e),pubSSH=genOpenSSHRSAPub(
n,e),algo="sha1";break}case"ssh-dss":{let p=readString(data,data._pos||0);if(p===void 0)return new Error("Malformed Open\
SSH public key");let q=readString(data,data._pos);if(q===void 0)return new Error("Malformed OpenSSH public key");let g=readString(
data,data._pos);if(g===void 0)return new Error("Malformed OpenSSH public key");let y=readString(data,data._pos);if(y===void 0)
return new Error("Malformed OpenSSH public key");pubPEM=genOpenSSLDSAPub(p,q,g,y),pubSSH=genOpenSSHDSAPub(p,q,g,y),algo=
"sha1";break}case"ssh-ed25519":{let edpub=readString(data,data._pos||0);if(edpub===void 0||edpub.length!==32)return new Error(
"Malformed OpenSSH public key");pubPEM=genOpenSSLEdPub(edpub),pubSSH=genOpenSSHEdPub(edpub),algo=null;break}case"ecdsa-s\
ha2-nistp256":algo="sha256",oid="1.2.840.10045.3.1.7";case"ecdsa-sha2-nistp384":algo===void 0&&(algo="sha384",oid="1.3.1\
32.0.34");case"ecdsa-sha2-nistp521":{if(algo===void 0&&(algo="sha512",oid="1.3.132.0.35"),!skipFields(data,1))return new Error(
"Malformed OpenSSH public key");let ecpub=readString(data,data._pos||0);if(ecpub===void 0)return new Error("Malformed Op\
enSSH public key");pubPEM=genOpenSSLECDSAPub(oid,ecpub),pubSSH=genOpenSSHECDSAPub(oid,ecpub);break}default:return new Error(
`Unsupported OpenSSH public key type: ${baseType}`)}return new OpenSSH_Public(fullType,comment,pubPEM,pubSSH,algo)}function isSupportedKeyType(type){
switch(type){case"ssh-rsa":case"ssh-dss":case"ecdsa-sha2-nistp256":case"ecdsa-sha2-nistp384":case"ecdsa-sha2-nistp521":return!0;case"\
ssh-ed25519":if(eddsaSupported)return!0;default:return!1}}function isParsedKey2(val){return val?typeof val[SYM_DECRYPTED]==
"boolean":!1}function parseKey(data,passphrase){if(isParsedKey2(data))return data;let origBuffer;if(Buffer.isBuffer(data))
origBuffer=data,data=data.utf8Slice(0,data.length).trim();else if(typeof data=="string")data=data.trim();else return new Error(
"Key data must be a Buffer or string");if(passphrase!=null){if(typeof passphrase=="string")passphrase=Buffer.from(passphrase);else if(!Buffer.
isBuffer(passphrase))return new Error("Passphrase must be a string or Buffer when supplied")}let ret;if((ret=OpenSSH_Private.
parse(data,passphrase))!==null||(ret=OpenSSH_Old_Private.parse(data,passphrase))!==null||(ret=PPK_Private.parse(data,passphrase))!==
null||(ret=OpenSSH_Public.parse(data))!==null||(ret=RFC4716_Public.parse(data))!==null)return ret;if(origBuffer){binaryKeyParser.
init(origBuffer,0);let type=binaryKeyParser.readString(!0);type!==void 0&&(data=binaryKeyParser.readRaw(),data!==void 0&&
(ret=parseDER(data,type,"",type),ret instanceof Error&&(ret=null))),binaryKeyParser.clear()}return ret||new Error("Unsup\
ported key format")}module2.exports={isParsedKey:isParsedKey2,isSupportedKeyType,parseDERKey:(data,type)=>parseDER(data,
type,"",type),parseKey}}});var require_agent=__commonJS({"node_modules/ssh2/lib/agent.js"(exports2,module2){"use strict";init_define_SAVEPOINT();var{
Socket:Socket2}=require("net"),{Duplex:Duplex2}=require("stream"),{resolve:resolve3}=require("path"),{readFile:readFile6}=require("fs"),
{execFile:execFile3,spawn:spawn3}=require_child_process(),{isParsedKey:isParsedKey2,parseKey}=require_keyParser(),{makeBufferParser,
readUInt32BE,writeUInt32BE,writeUInt32LE}=require_utils();function once3(cb){let called=!1;return(...args)=>{called||(called=
!0,cb(...args))}}function concat(buf1,buf2){let combined=Buffer.allocUnsafe(buf1.length+buf2.length);return buf1.copy(combined,
0),buf2.copy(combined,buf1.length),combined}function noop(){}var EMPTY_BUF=Buffer.alloc(0),binaryParser=makeBufferParser(),
BaseAgent=class{getIdentities(cb){cb(new Error("Missing getIdentities() implementation"))}sign(pubKey,data,options,cb){typeof options==
"function"&&(cb=options),cb(new Error("Missing sign() implementation"))}},OpenSSHAgent=class extends BaseAgent{constructor(socketPath){
super(),this.socketPath=socketPath}getStream(cb){cb=once3(cb);let sock=new Socket2;sock.on("connect",()=>{cb(null,sock)}),
sock.on("close",onFail).on("end",onFail).on("error",onFail),sock.connect(this.socketPath);function onFail(){try{sock.destroy()}catch{}
cb(new Error("Failed to connect to agent"))}}getIdentities(cb){cb=once3(cb),this.getStream((err,stream)=>{function onFail(err2){
if(stream)try{stream.destroy()}catch{}err2||(err2=new Error("Failed to retrieve identities from agent")),cb(err2)}if(err)
return onFail(err);let protocol=new AgentProtocol(!0);protocol.on("error",onFail),protocol.pipe(stream).pipe(protocol),stream.
on("close",onFail).on("end",onFail).on("error",onFail),protocol.getIdentities((err2,keys)=>{if(err2)return onFail(err2);
try{stream.destroy()}catch{}cb(null,keys)})})}sign(pubKey,data,options,cb){typeof options=="function"?(cb=options,options=
void 0):(typeof options!="object"||options===null)&&(options=void 0),cb=once3(cb),this.getStream((err,stream)=>{function onFail(err2){
if(stream)try{stream.destroy()}catch{}err2||(err2=new Error("Failed to sign data with agent")),cb(err2)}if(err)return onFail(
err);let protocol=new AgentProtocol(!0);protocol.on("error",onFail),protocol.pipe(stream).pipe(protocol),stream.on("clos\
e",onFail).on("end",onFail).on("error",onFail),protocol.sign(pubKey,data,options,(err2,sig)=>{if(err2)return onFail(err2);
try{stream.destroy()}catch{}cb(null,sig)})})}},PageantAgent=(()=>{let EXEPATH=resolve3(__dirname,"..","util/pagent.exe"),
ERROR={10:new Error("Invalid pagent.exe arguments"),11:new Error("Pageant is not running"),12:new Error("pagent.exe coul\
d not create an mmap"),13:new Error("pagent.exe could not set mode for stdin"),14:new Error("pagent.exe could not set mo\
de for stdout"),15:new Error("pagent.exe did not get expected input payload")};function destroy(stream){stream.buffer=null,
stream.proc&&(stream.proc.kill(),stream.proc=void 0)}class PageantSocket extends Duplex2{constructor(){super(),this.proc=
void 0,this.buffer=null}_read(n){}_write(data,encoding,cb){if(this.buffer===null)this.buffer=data;else{let newBuffer=Buffer.
allocUnsafe(this.buffer.length+data.length);this.buffer.copy(newBuffer,0),data.copy(newBuffer,this.buffer.length),this.buffer=
newBuffer}if(this.buffer.length<4)return cb();let len=readUInt32BE(this.buffer,0);if(this.buffer.length-4<len)return cb();
if(data=this.buffer.slice(0,4+len),this.buffer.length>4+len)return cb(new Error("Unexpected multiple agent requests"));this.
buffer=null;let error2,proc=this.proc=spawn3(EXEPATH,[data.length]);proc.stdout.on("data",data2=>{this.push(data2)}),proc.
on("error",err=>{error2=err,cb(error2)}),proc.on("close",code2=>{if(this.proc=void 0,!error2){if(error2=ERROR[code2])return cb(
error2);cb()}}),proc.stdin.end(data)}_final(cb){destroy(this),cb()}_destroy(err,cb){destroy(this),cb()}}return class extends OpenSSHAgent{getStream(cb){
cb(null,new PageantSocket)}}})(),CygwinAgent=(()=>{let RE_CYGWIN_SOCK=/^!<socket >(\d+) s ([A-Z0-9]{8}-[A-Z0-9]{8}-[A-Z0-9]{8}-[A-Z0-9]{8})/;
return class extends OpenSSHAgent{getStream(cb){cb=once3(cb);let socketPath=this.socketPath,triedCygpath=!1;readFile6(socketPath,
function readCygsocket(err,data){if(err){if(triedCygpath)return cb(new Error("Invalid cygwin unix socket path"));execFile3(
"cygpath",["-w",socketPath],(err2,stdout,stderr)=>{if(err2||stdout.length===0)return cb(new Error("Invalid cygwin unix s\
ocket path"));triedCygpath=!0,socketPath=stdout.toString().replace(/[\r\n]/g,""),readFile6(socketPath,readCygsocket)});return}
let m=RE_CYGWIN_SOCK.exec(data.toString("ascii"));if(!m)return cb(new Error("Malformed cygwin unix socket file"));let state,
bc=0,isRetrying=!1,inBuf=[],sock,credsBuf=Buffer.alloc(12),port=parseInt(m[1],10),secret=m[2].replace(/-/g,""),secretBuf=Buffer.
allocUnsafe(16);for(let i=0,j=0;j<32;++i,j+=2)secretBuf[i]=parseInt(secret.substring(j,j+2),16);for(let i=0;i<16;i+=4)writeUInt32LE(
secretBuf,readUInt32BE(secretBuf,i),i);tryConnect();function _onconnect(){bc=0,state="secret",sock.write(secretBuf)}function _ondata(data2){
if(bc+=data2.length,state==="secret"){bc===16&&(bc=0,state="creds",sock.write(credsBuf));return}if(state==="creds"&&(isRetrying||
inBuf.push(data2),bc===12)){if(sock.removeListener("connect",_onconnect),sock.removeListener("data",_ondata),sock.removeListener(
"error",onFail),sock.removeListener("end",onFail),sock.removeListener("close",onFail),isRetrying)return cb(null,sock);isRetrying=
!0,credsBuf=Buffer.concat(inBuf),writeUInt32LE(credsBuf,process.pid,0),sock.on("error",()=>{}),sock.destroy(),tryConnect()}}
function onFail(){cb(new Error("Problem negotiating cygwin unix socket security"))}function tryConnect(){sock=new Socket2,
sock.on("connect",_onconnect),sock.on("data",_ondata),sock.on("error",onFail),sock.on("end",onFail),sock.on("close",onFail),
sock.connect(port)}})}}})(),WINDOWS_PIPE_REGEX=/^[/\\][/\\]\.[/\\]pipe[/\\].+/;function createAgent(path){return process.
platform==="win32"&&!WINDOWS_PIPE_REGEX.test(path)?path==="pageant"?new PageantAgent:new CygwinAgent(path):new OpenSSHAgent(
path)}var AgentProtocol=(()=>{function processResponses(protocol){let ret;for(;protocol[SYM_REQS].length;){let nextResponse=protocol[SYM_REQS][0][SYM_RESP];
if(nextResponse===void 0)break;protocol[SYM_REQS].shift(),ret=protocol.push(nextResponse)}return ret}let SYM_TYPE=Symbol(
"Inbound Request Type"),SYM_RESP=Symbol("Inbound Request Response"),SYM_CTX=Symbol("Inbound Request Context");class AgentInboundRequest{constructor(type,ctx){
this[SYM_TYPE]=type,this[SYM_RESP]=void 0,this[SYM_CTX]=ctx}hasResponded(){return this[SYM_RESP]!==void 0}getType(){return this[SYM_TYPE]}getContext(){
return this[SYM_CTX]}}function respond(protocol,req,data){return req[SYM_RESP]=data,processResponses(protocol)}function cleanup(protocol){
if(protocol[SYM_BUFFER]=null,protocol[SYM_MODE]===0){let reqs=protocol[SYM_REQS];if(reqs&&reqs.length){protocol[SYM_REQS]=
[];for(let req of reqs)req.cb(new Error("No reply from server"))}}try{protocol.end()}catch{}setImmediate(()=>{protocol[SYM_ENDED]||
protocol.emit("end"),protocol[SYM_CLOSED]||protocol.emit("close")})}function onClose(){this[SYM_CLOSED]=!0}function onEnd(){
this[SYM_ENDED]=!0}let SYM_REQS=Symbol("Requests"),SYM_MODE=Symbol("Agent Protocol Role"),SYM_BUFFER=Symbol("Agent Proto\
col Buffer"),SYM_MSGLEN=Symbol("Agent Protocol Current Message Length"),SYM_CLOSED=Symbol("Agent Protocol Closed"),SYM_ENDED=Symbol(
"Agent Protocol Ended");return class extends Duplex2{constructor(isClient){super({autoDestroy:!0,emitClose:!1}),this[SYM_MODE]=
isClient?0:1,this[SYM_REQS]=[],this[SYM_BUFFER]=null,this[SYM_MSGLEN]=-1,this.once("end",onEnd),this.once("close",onClose)}_read(n){}_write(data,encoding,cb){
this[SYM_BUFFER]===null?this[SYM_BUFFER]=data:this[SYM_BUFFER]=concat(this[SYM_BUFFER],data);let buffer4=this[SYM_BUFFER],
bufferLen=buffer4.length,p=0;for(;p<bufferLen&&!(bufferLen<5||(this[SYM_MSGLEN]===-1&&(this[SYM_MSGLEN]=readUInt32BE(buffer4,
p)),bufferLen<4+this[SYM_MSGLEN]));){let msgType=buffer4[p+=4];if(++p,this[SYM_MODE]===0){if(this[SYM_REQS].length===0)return cb(
new Error("Received unexpected message from server"));let req=this[SYM_REQS].shift();switch(msgType){case 5:req.cb(new Error(
"Agent responded with failure"));break;case 12:{if(req.type!==11)return cb(new Error("Agent responded with wrong message\
 type"));binaryParser.init(buffer4,p);let numKeys2=binaryParser.readUInt32BE();if(numKeys2===void 0)return binaryParser.
clear(),cb(new Error("Malformed agent response"));let keys=[];for(let i=0;i<numKeys2;++i){let pubKey=binaryParser.readString();
if(pubKey===void 0)return binaryParser.clear(),cb(new Error("Malformed agent response"));let comment=binaryParser.readString(
!0);if(comment===void 0)return binaryParser.clear(),cb(new Error("Malformed agent response"));pubKey=parseKey(pubKey),!(pubKey instanceof
Error)&&(pubKey.comment=pubKey.comment||comment,keys.push(pubKey))}p=binaryParser.pos(),binaryParser.clear(),req.cb(null,
keys);break}case 14:{if(req.type!==13)return cb(new Error("Agent responded with wrong message type"));binaryParser.init(
buffer4,p);let signature=binaryParser.readString();if(p=binaryParser.pos(),binaryParser.clear(),signature===void 0)return cb(
new Error("Malformed agent response"));if(binaryParser.init(signature,0),binaryParser.readString(!0),signature=binaryParser.
readString(),binaryParser.clear(),signature===void 0)return cb(new Error("Malformed OpenSSH signature format"));req.cb(null,
signature);break}default:return cb(new Error("Agent responded with unsupported message type"))}}else switch(msgType){case 11:{
let req=new AgentInboundRequest(msgType);this[SYM_REQS].push(req),this.emit("identities",req);break}case 13:{binaryParser.
init(buffer4,p);let pubKey=binaryParser.readString(),data2=binaryParser.readString(),flagsVal=binaryParser.readUInt32BE();
if(p=binaryParser.pos(),binaryParser.clear(),flagsVal===void 0){let req2=new AgentInboundRequest(msgType);return this[SYM_REQS].
push(req2),this.failureReply(req2)}if(pubKey=parseKey(pubKey),pubKey instanceof Error){let req2=new AgentInboundRequest(
msgType);return this[SYM_REQS].push(req2),this.failureReply(req2)}let flags={hash:void 0},ctx;pubKey.type==="ssh-rsa"&&(flagsVal&
2?(ctx="rsa-sha2-256",flags.hash="sha256"):flagsVal&4&&(ctx="rsa-sha2-512",flags.hash="sha512")),ctx===void 0&&(ctx=pubKey.
type);let req=new AgentInboundRequest(msgType,ctx);this[SYM_REQS].push(req),this.emit("sign",req,pubKey,data2,flags);break}default:{
let req=new AgentInboundRequest(msgType);this[SYM_REQS].push(req),this.failureReply(req)}}if(this[SYM_MSGLEN]=-1,p===bufferLen){
this[SYM_BUFFER]=null;break}else this[SYM_BUFFER]=buffer4=buffer4.slice(p),bufferLen=buffer4.length,p=0}cb()}_destroy(err,cb){
cleanup(this),cb()}_final(cb){cleanup(this),cb()}sign(pubKey,data,options,cb){if(this[SYM_MODE]!==0)throw new Error("Cli\
ent-only method called with server role");typeof options=="function"?(cb=options,options=void 0):(typeof options!="objec\
t"||options===null)&&(options=void 0);let flags=0;if(pubKey=parseKey(pubKey),pubKey instanceof Error)throw new Error("In\
valid public key argument");if(pubKey.type==="ssh-rsa"&&options)switch(options.hash){case"sha256":flags=2;break;case"sha\
512":flags=4;break}pubKey=pubKey.getPublicSSH();let type=13,keyLen=pubKey.length,dataLen=data.length,p=0,buf=Buffer.allocUnsafe(
9+keyLen+4+dataLen+4);return writeUInt32BE(buf,buf.length-4,p),buf[p+=4]=type,writeUInt32BE(buf,keyLen,++p),pubKey.copy(
buf,p+=4),writeUInt32BE(buf,dataLen,p+=keyLen),data.copy(buf,p+=4),writeUInt32BE(buf,flags,p+=dataLen),typeof cb!="funct\
ion"&&(cb=noop),this[SYM_REQS].push({type,cb}),this.push(buf)}getIdentities(cb){if(this[SYM_MODE]!==0)throw new Error("C\
lient-only method called with server role");let type=11,p=0,buf=Buffer.allocUnsafe(5);return writeUInt32BE(buf,buf.length-
4,p),buf[p+=4]=type,typeof cb!="function"&&(cb=noop),this[SYM_REQS].push({type,cb}),this.push(buf)}failureReply(req){if(this[SYM_MODE]!==
1)throw new Error("Server-only method called with client role");if(!(req instanceof AgentInboundRequest))throw new Error(
"Wrong request argument");if(req.hasResponded())return!0;let p=0,buf=Buffer.allocUnsafe(5);return writeUInt32BE(buf,buf.
length-4,p),buf[p+=4]=5,respond(this,req,buf)}getIdentitiesReply(req,keys){if(this[SYM_MODE]!==1)throw new Error("Server\
-only method called with client role");if(!(req instanceof AgentInboundRequest))throw new Error("Wrong request argument");
if(req.hasResponded())return!0;if(req.getType()!==11)throw new Error("Invalid response to request");if(!Array.isArray(keys))
throw new Error("Keys argument must be an array");let totalKeysLen=4,newKeys=[];for(let i=0;i<keys.length;++i){let entry3=keys[i];
if(typeof entry3!="object"||entry3===null)throw new Error(`Invalid key entry: ${entry3}`);let pubKey,comment;if(isParsedKey2(
entry3))pubKey=entry3;else if(isParsedKey2(entry3.pubKey))pubKey=entry3.pubKey;else if(typeof entry3.pubKey!="object"||entry3.
pubKey===null||({pubKey,comment}=entry3.pubKey,pubKey=parseKey(pubKey),pubKey instanceof Error))continue;comment=pubKey.
comment||comment,pubKey=pubKey.getPublicSSH(),totalKeysLen+=4+pubKey.length,comment&&typeof comment=="string"?comment=Buffer.
from(comment):Buffer.isBuffer(comment)||(comment=EMPTY_BUF),totalKeysLen+=4+comment.length,newKeys.push({pubKey,comment})}
let p=0,buf=Buffer.allocUnsafe(5+totalKeysLen);writeUInt32BE(buf,buf.length-4,p),buf[p+=4]=12,writeUInt32BE(buf,newKeys.
length,++p),p+=4;for(let i=0;i<newKeys.length;++i){let{pubKey,comment}=newKeys[i];writeUInt32BE(buf,pubKey.length,p),pubKey.
copy(buf,p+=4),writeUInt32BE(buf,comment.length,p+=pubKey.length),p+=4,comment.length&&(comment.copy(buf,p),p+=comment.length)}
return respond(this,req,buf)}signReply(req,signature){if(this[SYM_MODE]!==1)throw new Error("Server-only method called w\
ith client role");if(!(req instanceof AgentInboundRequest))throw new Error("Wrong request argument");if(req.hasResponded())
return!0;if(req.getType()!==13)throw new Error("Invalid response to request");if(!Buffer.isBuffer(signature))throw new Error(
"Signature argument must be a Buffer");if(signature.length===0)throw new Error("Signature argument must be non-empty");let p=0,
sigFormat=req.getContext(),sigFormatLen=Buffer.byteLength(sigFormat),buf=Buffer.allocUnsafe(13+sigFormatLen+4+signature.
length);return writeUInt32BE(buf,buf.length-4,p),buf[p+=4]=14,writeUInt32BE(buf,4+sigFormatLen+4+signature.length,++p),writeUInt32BE(
buf,sigFormatLen,p+=4),buf.utf8Write(sigFormat,p+=4,sigFormatLen),writeUInt32BE(buf,signature.length,p+=sigFormatLen),signature.
copy(buf,p+=4),respond(this,req,buf)}}})(),SYM_AGENT=Symbol("Agent"),SYM_AGENT_KEYS=Symbol("Agent Keys"),SYM_AGENT_KEYS_IDX=Symbol(
"Agent Keys Index"),SYM_AGENT_CBS=Symbol("Agent Init Callbacks"),AgentContext=class{constructor(agent){if(typeof agent==
"string")agent=createAgent(agent);else if(!isAgent(agent))throw new Error("Invalid agent argument");this[SYM_AGENT]=agent,
this[SYM_AGENT_KEYS]=null,this[SYM_AGENT_KEYS_IDX]=-1,this[SYM_AGENT_CBS]=null}init(cb){if(typeof cb!="function"&&(cb=noop),
this[SYM_AGENT_KEYS]===null)if(this[SYM_AGENT_CBS]===null){this[SYM_AGENT_CBS]=[cb];let doCbs=(...args)=>{process.nextTick(
()=>{let cbs=this[SYM_AGENT_CBS];this[SYM_AGENT_CBS]=null;for(let cb2 of cbs)cb2(...args)})};this[SYM_AGENT].getIdentities(
once3((err,keys)=>{if(err)return doCbs(err);if(!Array.isArray(keys))return doCbs(new Error("Agent implementation failed \
to provide keys"));let newKeys=[];for(let key of keys)key=parseKey(key),!(key instanceof Error)&&newKeys.push(key);this[SYM_AGENT_KEYS]=
newKeys,this[SYM_AGENT_KEYS_IDX]=-1,doCbs()}))}else this[SYM_AGENT_CBS].push(cb);else process.nextTick(cb)}nextKey(){return this[SYM_AGENT_KEYS]===
null||++this[SYM_AGENT_KEYS_IDX]>=this[SYM_AGENT_KEYS].length?!1:this[SYM_AGENT_KEYS][this[SYM_AGENT_KEYS_IDX]]}currentKey(){
return this[SYM_AGENT_KEYS]===null||this[SYM_AGENT_KEYS_IDX]>=this[SYM_AGENT_KEYS].length?null:this[SYM_AGENT_KEYS][this[SYM_AGENT_KEYS_IDX]]}pos(){
return this[SYM_AGENT_KEYS]===null||this[SYM_AGENT_KEYS_IDX]>=this[SYM_AGENT_KEYS].length?-1:this[SYM_AGENT_KEYS_IDX]}reset(){
this[SYM_AGENT_KEYS_IDX]=-1}sign(...args){this[SYM_AGENT].sign(...args)}};function isAgent(val){return val instanceof BaseAgent}
module2.exports={AgentContext,AgentProtocol,BaseAgent,createAgent,CygwinAgent,isAgent,OpenSSHAgent,PageantAgent}}});var require_http_agents=__commonJS({"node_modules/ssh2/lib/http-agents.js"(exports2,module2){init_define_SAVEPOINT();module2.
exports={}}});var require_SFTP=__commonJS({"node_modules/ssh2/lib/protocol/SFTP.js"(exports2,module2){init_define_SAVEPOINT();module2.
exports={}}});var require_zlib=__commonJS({"unused:zlib"(exports2,module2){init_define_SAVEPOINT();module2.exports={constants:{},createInflate:()=>({
_handle:{}})}}});var require_zlib2=__commonJS({"node_modules/ssh2/lib/protocol/zlib.js"(exports2,module2){"use strict";init_define_SAVEPOINT();
var{kMaxLength}=require("buffer"),{createInflate,constants:{DEFLATE,INFLATE,Z_DEFAULT_CHUNK,Z_DEFAULT_COMPRESSION,Z_DEFAULT_MEMLEVEL,
Z_DEFAULT_STRATEGY,Z_DEFAULT_WINDOWBITS,Z_PARTIAL_FLUSH}}=require_zlib(),ZlibHandle=createInflate()._handle.constructor;
function processCallback(){throw new Error("Should not get here")}function zlibOnError(message,errno,code2){let self2=this.
_owner,error2=new Error(message);error2.errno=errno,error2.code=code2,self2._err=error2}function _close(engine){engine._handle&&
(engine._handle.close(),engine._handle=null)}var Zlib=class{constructor(mode){let windowBits=Z_DEFAULT_WINDOWBITS,level=Z_DEFAULT_COMPRESSION,
memLevel=Z_DEFAULT_MEMLEVEL,strategy=Z_DEFAULT_STRATEGY,dictionary=void 0;this._err=void 0,this._writeState=new Uint32Array(
2),this._chunkSize=Z_DEFAULT_CHUNK,this._maxOutputLength=kMaxLength,this._outBuffer=Buffer.allocUnsafe(this._chunkSize),
this._outOffset=0,this._handle=new ZlibHandle(mode),this._handle._owner=this,this._handle.onerror=zlibOnError,this._handle.
init(windowBits,level,memLevel,strategy,this._writeState,processCallback,dictionary)}writeSync(chunk,retChunks){let handle=this.
_handle;if(!handle)throw new Error("Invalid Zlib instance");let availInBefore=chunk.length,availOutBefore=this._chunkSize-
this._outOffset,inOff=0,availOutAfter,availInAfter,buffers,nread=0,state=this._writeState,buffer4=this._outBuffer,offset=this.
_outOffset,chunkSize2=this._chunkSize;for(;;){if(handle.writeSync(Z_PARTIAL_FLUSH,chunk,inOff,availInBefore,buffer4,offset,
availOutBefore),this._err)throw this._err;availOutAfter=state[0],availInAfter=state[1];let inDelta=availInBefore-availInAfter,
have=availOutBefore-availOutAfter;if(have>0){let out=offset===0&&have===buffer4.length?buffer4:buffer4.slice(offset,offset+
have);if(offset+=have,buffers?buffers.push===void 0?buffers=[buffers,out]:buffers.push(out):buffers=out,nread+=out.byteLength,
nread>this._maxOutputLength)throw _close(this),new Error(`Output length exceeded maximum of ${this._maxOutputLength}`)}else if(have!==
0)throw new Error("have should not go down");if((availOutAfter===0||offset>=chunkSize2)&&(availOutBefore=chunkSize2,offset=
0,buffer4=Buffer.allocUnsafe(chunkSize2)),availOutAfter===0)inOff+=inDelta,availInBefore=availInAfter;else break}if(this.
_outBuffer=buffer4,this._outOffset=offset,nread===0&&(buffers=Buffer.alloc(0)),retChunks)return buffers.totalLen=nread,buffers;
if(buffers.push===void 0)return buffers;let output2=Buffer.allocUnsafe(nread);for(let i=0,p=0;i<buffers.length;++i){let buf=buffers[i];
output2.set(buf,p),p+=buf.length}return output2}},ZlibPacketWriter=class{constructor(protocol){this.allocStart=0,this.allocStartKEX=
0,this._protocol=protocol,this._zlib=new Zlib(DEFLATE)}cleanup(){this._zlib&&_close(this._zlib)}alloc(payloadSize,force){
return Buffer.allocUnsafe(payloadSize)}finalize(payload,force){if(this._protocol._kexinit===void 0||force){let output2=this.
_zlib.writeSync(payload,!0),packet=this._protocol._cipher.allocPacket(output2.totalLen);if(output2.push===void 0)packet.
set(output2,5);else for(let i=0,p=5;i<output2.length;++i){let chunk=output2[i];packet.set(chunk,p),p+=chunk.length}return packet}
return payload}},PacketWriter=class{constructor(protocol){this.allocStart=5,this.allocStartKEX=5,this._protocol=protocol}cleanup(){}alloc(payloadSize,force){
return this._protocol._kexinit===void 0||force?this._protocol._cipher.allocPacket(payloadSize):Buffer.allocUnsafe(payloadSize)}finalize(packet,force){
return packet}},ZlibPacketReader=class{constructor(){this._zlib=new Zlib(INFLATE)}cleanup(){this._zlib&&_close(this._zlib)}read(data){
return this._zlib.writeSync(data,!1)}},PacketReader=class{cleanup(){}read(data){return data}};module2.exports={PacketReader,
PacketWriter,ZlibPacketReader,ZlibPacketWriter}}});var require_handlers_misc=__commonJS({"node_modules/ssh2/lib/protocol/handlers.misc.js"(exports2,module2){"use strict";init_define_SAVEPOINT();
var{bufferSlice,bufferParser,doFatalError,sigSSHToASN1,writeUInt32BE}=require_utils(),{CHANNEL_OPEN_FAILURE,COMPAT,MESSAGE,
TERMINAL_MODE}=require_constants(),{parseKey}=require_keyParser(),TERMINAL_MODE_BY_VALUE=Array.from(Object.entries(TERMINAL_MODE)).
reduce((obj,[key,value])=>({...obj,[key]:value}),{});module2.exports={[MESSAGE.DISCONNECT]:(self2,payload)=>{bufferParser.
init(payload,1);let reason=bufferParser.readUInt32BE(),desc=bufferParser.readString(!0),lang=bufferParser.readString();if(bufferParser.
clear(),lang===void 0)return doFatalError(self2,"Inbound: Malformed DISCONNECT packet");self2._debug&&self2._debug(`Inbo\
und: Received DISCONNECT (${reason}, "${desc}")`);let handler=self2._handlers.DISCONNECT;handler&&handler(self2,reason,desc)},
[MESSAGE.IGNORE]:(self2,payload)=>{self2._debug&&self2._debug("Inbound: Received IGNORE")},[MESSAGE.UNIMPLEMENTED]:(self2,payload)=>{
bufferParser.init(payload,1);let seqno=bufferParser.readUInt32BE();if(bufferParser.clear(),seqno===void 0)return doFatalError(
self2,"Inbound: Malformed UNIMPLEMENTED packet");self2._debug&&self2._debug(`Inbound: Received UNIMPLEMENTED (seqno ${seqno}\
)`)},[MESSAGE.DEBUG]:(self2,payload)=>{bufferParser.init(payload,1);let display=bufferParser.readBool(),msg=bufferParser.
readString(!0),lang=bufferParser.readString();if(bufferParser.clear(),lang===void 0)return doFatalError(self2,"Inbound: \
Malformed DEBUG packet");self2._debug&&self2._debug("Inbound: Received DEBUG");let handler=self2._handlers.DEBUG;handler&&
handler(self2,display,msg)},[MESSAGE.SERVICE_REQUEST]:(self2,payload)=>{bufferParser.init(payload,1);let name=bufferParser.
readString(!0);if(bufferParser.clear(),name===void 0)return doFatalError(self2,"Inbound: Malformed SERVICE_REQUEST packe\
t");self2._debug&&self2._debug(`Inbound: Received SERVICE_REQUEST (${name})`);let handler=self2._handlers.SERVICE_REQUEST;
handler&&handler(self2,name)},[MESSAGE.SERVICE_ACCEPT]:(self2,payload)=>{bufferParser.init(payload,1);let name=bufferParser.
readString(!0);if(bufferParser.clear(),name===void 0)return doFatalError(self2,"Inbound: Malformed SERVICE_ACCEPT packet");
self2._debug&&self2._debug(`Inbound: Received SERVICE_ACCEPT (${name})`);let handler=self2._handlers.SERVICE_ACCEPT;handler&&
handler(self2,name)},[MESSAGE.EXT_INFO]:(self2,payload)=>{bufferParser.init(payload,1);let numExts=bufferParser.readUInt32BE(),
exts;if(numExts!==void 0){exts=[];for(let i=0;i<numExts;++i){let name=bufferParser.readString(!0),data=bufferParser.readString();
if(data!==void 0)if(name==="server-sig-algs"){let algs=data.latin1Slice(0,data.length).split(",");exts.push({name,algs});
continue}else continue;exts=void 0;break}}if(bufferParser.clear(),exts===void 0)return doFatalError(self2,"Inbound: Malf\
ormed EXT_INFO packet");self2._debug&&self2._debug("Inbound: Received EXT_INFO");let handler=self2._handlers.EXT_INFO;handler&&
handler(self2,exts)},[MESSAGE.USERAUTH_REQUEST]:(self2,payload)=>{bufferParser.init(payload,1);let user=bufferParser.readString(
!0),service2=bufferParser.readString(!0),method=bufferParser.readString(!0),methodData,methodDesc;switch(method){case"no\
ne":methodData=null;break;case"password":{let isChange=bufferParser.readBool();if(isChange!==void 0&&(methodData=bufferParser.
readString(!0),methodData!==void 0&&isChange)){let newPassword=bufferParser.readString(!0);newPassword!==void 0?methodData=
{oldPassword:methodData,newPassword}:methodData=void 0}break}case"publickey":{let hasSig=bufferParser.readBool();if(hasSig!==
void 0){let keyAlgo=bufferParser.readString(!0),realKeyAlgo=keyAlgo,key=bufferParser.readString(),hashAlgo;switch(keyAlgo){case"\
rsa-sha2-256":realKeyAlgo="ssh-rsa",hashAlgo="sha256";break;case"rsa-sha2-512":realKeyAlgo="ssh-rsa",hashAlgo="sha512";break}
if(hasSig){let blobEnd=bufferParser.pos(),signature=bufferParser.readString();if(signature!==void 0&&(signature.length>4+
keyAlgo.length+4&&signature.utf8Slice(4,4+keyAlgo.length)===keyAlgo&&(signature=bufferSlice(signature,4+keyAlgo.length+4)),
signature=sigSSHToASN1(signature,realKeyAlgo),signature)){let sessionID=self2._kex.sessionID,blob=Buffer.allocUnsafe(4+sessionID.
length+blobEnd);writeUInt32BE(blob,sessionID.length,0),blob.set(sessionID,4),blob.set(new Uint8Array(payload.buffer,payload.
byteOffset,blobEnd),4+sessionID.length),methodData={keyAlgo:realKeyAlgo,key,signature,blob,hashAlgo}}}else methodData={keyAlgo:realKeyAlgo,
key,hashAlgo},methodDesc="publickey -- check"}break}case"hostbased":{let keyAlgo=bufferParser.readString(!0),realKeyAlgo=keyAlgo,
key=bufferParser.readString(),localHostname=bufferParser.readString(!0),localUsername=bufferParser.readString(!0),hashAlgo;
switch(keyAlgo){case"rsa-sha2-256":realKeyAlgo="ssh-rsa",hashAlgo="sha256";break;case"rsa-sha2-512":realKeyAlgo="ssh-rsa",
hashAlgo="sha512";break}let blobEnd=bufferParser.pos(),signature=bufferParser.readString();if(signature!==void 0&&(signature.
length>4+keyAlgo.length+4&&signature.utf8Slice(4,4+keyAlgo.length)===keyAlgo&&(signature=bufferSlice(signature,4+keyAlgo.
length+4)),signature=sigSSHToASN1(signature,realKeyAlgo),signature!==void 0)){let sessionID=self2._kex.sessionID,blob=Buffer.
allocUnsafe(4+sessionID.length+blobEnd);writeUInt32BE(blob,sessionID.length,0),blob.set(sessionID,4),blob.set(new Uint8Array(
payload.buffer,payload.byteOffset,blobEnd),4+sessionID.length),methodData={keyAlgo:realKeyAlgo,key,signature,blob,localHostname,
localUsername,hashAlgo}}break}case"keyboard-interactive":bufferParser.skipString(),methodData=bufferParser.readList();break;default:
method!==void 0&&(methodData=bufferParser.readRaw())}if(bufferParser.clear(),methodData===void 0)return doFatalError(self2,
"Inbound: Malformed USERAUTH_REQUEST packet");methodDesc===void 0&&(methodDesc=method),self2._authsQueue.push(method),self2.
_debug&&self2._debug(`Inbound: Received USERAUTH_REQUEST (${methodDesc})`);let handler=self2._handlers.USERAUTH_REQUEST;
handler&&handler(self2,user,service2,method,methodData)},[MESSAGE.USERAUTH_FAILURE]:(self2,payload)=>{bufferParser.init(
payload,1);let authMethods=bufferParser.readList(),partialSuccess=bufferParser.readBool();if(bufferParser.clear(),partialSuccess===
void 0)return doFatalError(self2,"Inbound: Malformed USERAUTH_FAILURE packet");self2._debug&&self2._debug(`Inbound: Rece\
ived USERAUTH_FAILURE (${authMethods})`),self2._authsQueue.shift();let handler=self2._handlers.USERAUTH_FAILURE;handler&&
handler(self2,authMethods,partialSuccess)},[MESSAGE.USERAUTH_SUCCESS]:(self2,payload)=>{self2._debug&&self2._debug("Inbo\
und: Received USERAUTH_SUCCESS"),self2._authsQueue.shift();let handler=self2._handlers.USERAUTH_SUCCESS;handler&&handler(
self2)},[MESSAGE.USERAUTH_BANNER]:(self2,payload)=>{bufferParser.init(payload,1);let msg=bufferParser.readString(!0),lang=bufferParser.
readString();if(bufferParser.clear(),lang===void 0)return doFatalError(self2,"Inbound: Malformed USERAUTH_BANNER packet");
self2._debug&&self2._debug("Inbound: Received USERAUTH_BANNER");let handler=self2._handlers.USERAUTH_BANNER;handler&&handler(
self2,msg)},60:(self2,payload)=>{if(!self2._authsQueue.length){self2._debug&&self2._debug("Inbound: Received payload typ\
e 60 without auth");return}switch(self2._authsQueue[0]){case"password":{bufferParser.init(payload,1);let prompt=bufferParser.
readString(!0),lang=bufferParser.readString();if(bufferParser.clear(),lang===void 0)return doFatalError(self2,"Inbound: \
Malformed USERAUTH_PASSWD_CHANGEREQ packet");self2._debug&&self2._debug("Inbound: Received USERAUTH_PASSWD_CHANGEREQ");let handler=self2.
_handlers.USERAUTH_PASSWD_CHANGEREQ;handler&&handler(self2,prompt);break}case"publickey":{bufferParser.init(payload,1);let keyAlgo=bufferParser.
readString(!0),key=bufferParser.readString();if(bufferParser.clear(),key===void 0)return doFatalError(self2,"Inbound: Ma\
lformed USERAUTH_PK_OK packet");self2._debug&&self2._debug("Inbound: Received USERAUTH_PK_OK"),self2._authsQueue.shift();
let handler=self2._handlers.USERAUTH_PK_OK;handler&&handler(self2,keyAlgo,key);break}case"keyboard-interactive":{bufferParser.
init(payload,1);let name=bufferParser.readString(!0),instructions=bufferParser.readString(!0);bufferParser.readString();
let numPrompts=bufferParser.readUInt32BE(),prompts;if(numPrompts!==void 0){prompts=new Array(numPrompts);let i;for(i=0;i<
numPrompts;++i){let prompt=bufferParser.readString(!0),echo=bufferParser.readBool();if(echo===void 0)break;prompts[i]={prompt,
echo}}i!==numPrompts&&(prompts=void 0)}if(bufferParser.clear(),prompts===void 0)return doFatalError(self2,"Inbound: Malf\
ormed USERAUTH_INFO_REQUEST packet");self2._debug&&self2._debug("Inbound: Received USERAUTH_INFO_REQUEST");let handler=self2.
_handlers.USERAUTH_INFO_REQUEST;handler&&handler(self2,name,instructions,prompts);break}default:self2._debug&&self2._debug(
"Inbound: Received unexpected payload type 60")}},61:(self2,payload)=>{if(!self2._authsQueue.length){self2._debug&&self2.
_debug("Inbound: Received payload type 61 without auth");return}if(self2._authsQueue[0]!=="keyboard-interactive")return doFatalError(
self2,"Inbound: Received unexpected payload type 61");bufferParser.init(payload,1);let numResponses=bufferParser.readUInt32BE(),
responses;if(numResponses!==void 0){responses=new Array(numResponses);let i;for(i=0;i<numResponses;++i){let response=bufferParser.
readString(!0);if(response===void 0)break;responses[i]=response}i!==numResponses&&(responses=void 0)}if(bufferParser.clear(),
responses===void 0)return doFatalError(self2,"Inbound: Malformed USERAUTH_INFO_RESPONSE packet");self2._debug&&self2._debug(
"Inbound: Received USERAUTH_INFO_RESPONSE");let handler=self2._handlers.USERAUTH_INFO_RESPONSE;handler&&handler(self2,responses)},
[MESSAGE.GLOBAL_REQUEST]:(self2,payload)=>{bufferParser.init(payload,1);let name=bufferParser.readString(!0),wantReply=bufferParser.
readBool(),data;if(wantReply!==void 0)switch(name){case"tcpip-forward":case"cancel-tcpip-forward":{let bindAddr=bufferParser.
readString(!0),bindPort=bufferParser.readUInt32BE();bindPort!==void 0&&(data={bindAddr,bindPort});break}case"streamlocal\
-forward@openssh.com":case"cancel-streamlocal-forward@openssh.com":{let socketPath=bufferParser.readString(!0);socketPath!==
void 0&&(data={socketPath});break}case"no-more-sessions@openssh.com":data=null;break;case"hostkeys-00@openssh.com":{for(data=
[];bufferParser.avail()>0;){let keyRaw=bufferParser.readString();if(keyRaw===void 0){data=void 0;break}let key=parseKey(
keyRaw);key instanceof Error||data.push(key)}break}default:data=bufferParser.readRaw()}if(bufferParser.clear(),data===void 0)
return doFatalError(self2,"Inbound: Malformed GLOBAL_REQUEST packet");self2._debug&&self2._debug(`Inbound: GLOBAL_REQUES\
T (${name})`);let handler=self2._handlers.GLOBAL_REQUEST;handler?handler(self2,name,wantReply,data):self2.requestFailure()},
[MESSAGE.REQUEST_SUCCESS]:(self2,payload)=>{let data=payload.length>1?bufferSlice(payload,1):null;self2._debug&&self2._debug(
"Inbound: REQUEST_SUCCESS");let handler=self2._handlers.REQUEST_SUCCESS;handler&&handler(self2,data)},[MESSAGE.REQUEST_FAILURE]:(self2,payload)=>{
self2._debug&&self2._debug("Inbound: Received REQUEST_FAILURE");let handler=self2._handlers.REQUEST_FAILURE;handler&&handler(
self2)},[MESSAGE.CHANNEL_OPEN]:(self2,payload)=>{bufferParser.init(payload,1);let type=bufferParser.readString(!0),sender=bufferParser.
readUInt32BE(),window2=bufferParser.readUInt32BE(),packetSize2=bufferParser.readUInt32BE(),channelInfo;switch(type){case"\
forwarded-tcpip":case"direct-tcpip":{let destIP=bufferParser.readString(!0),destPort=bufferParser.readUInt32BE(),srcIP=bufferParser.
readString(!0),srcPort=bufferParser.readUInt32BE();srcPort!==void 0&&(channelInfo={type,sender,window:window2,packetSize:packetSize2,
data:{destIP,destPort,srcIP,srcPort}});break}case"forwarded-streamlocal@openssh.com":case"direct-streamlocal@openssh.com":{
let socketPath=bufferParser.readString(!0);socketPath!==void 0&&(channelInfo={type,sender,window:window2,packetSize:packetSize2,
data:{socketPath}});break}case"x11":{let srcIP=bufferParser.readString(!0),srcPort=bufferParser.readUInt32BE();srcPort!==
void 0&&(channelInfo={type,sender,window:window2,packetSize:packetSize2,data:{srcIP,srcPort}});break}default:channelInfo=
{type,sender,window:window2,packetSize:packetSize2,data:{}}}if(bufferParser.clear(),channelInfo===void 0)return doFatalError(
self2,"Inbound: Malformed CHANNEL_OPEN packet");self2._debug&&self2._debug(`Inbound: CHANNEL_OPEN (s:${sender}, ${type})`);
let handler=self2._handlers.CHANNEL_OPEN;handler?handler(self2,channelInfo):self2.channelOpenFail(channelInfo.sender,CHANNEL_OPEN_FAILURE.
ADMINISTRATIVELY_PROHIBITED,"","")},[MESSAGE.CHANNEL_OPEN_CONFIRMATION]:(self2,payload)=>{bufferParser.init(payload,1);let recipient=bufferParser.
readUInt32BE(),sender=bufferParser.readUInt32BE(),window2=bufferParser.readUInt32BE(),packetSize2=bufferParser.readUInt32BE(),
data=bufferParser.avail()?bufferParser.readRaw():void 0;if(bufferParser.clear(),packetSize2===void 0)return doFatalError(
self2,"Inbound: Malformed CHANNEL_OPEN_CONFIRMATION packet");self2._debug&&self2._debug(`Inbound: CHANNEL_OPEN_CONFIRMAT\
ION (r:${recipient}, s:${sender})`);let handler=self2._handlers.CHANNEL_OPEN_CONFIRMATION;handler&&handler(self2,{recipient,
sender,window:window2,packetSize:packetSize2,data})},[MESSAGE.CHANNEL_OPEN_FAILURE]:(self2,payload)=>{bufferParser.init(
payload,1);let recipient=bufferParser.readUInt32BE(),reason=bufferParser.readUInt32BE(),description=bufferParser.readString(
!0),lang=bufferParser.readString();if(bufferParser.clear(),lang===void 0)return doFatalError(self2,"Inbound: Malformed C\
HANNEL_OPEN_FAILURE packet");self2._debug&&self2._debug(`Inbound: CHANNEL_OPEN_FAILURE (r:${recipient})`);let handler=self2.
_handlers.CHANNEL_OPEN_FAILURE;handler&&handler(self2,recipient,reason,description)},[MESSAGE.CHANNEL_WINDOW_ADJUST]:(self2,payload)=>{
bufferParser.init(payload,1);let recipient=bufferParser.readUInt32BE(),bytesToAdd=bufferParser.readUInt32BE();if(bufferParser.
clear(),bytesToAdd===void 0)return doFatalError(self2,"Inbound: Malformed CHANNEL_WINDOW_ADJUST packet");self2._debug&&self2.
_debug(`Inbound: CHANNEL_WINDOW_ADJUST (r:${recipient}, ${bytesToAdd})`);let handler=self2._handlers.CHANNEL_WINDOW_ADJUST;
handler&&handler(self2,recipient,bytesToAdd)},[MESSAGE.CHANNEL_DATA]:(self2,payload)=>{bufferParser.init(payload,1);let recipient=bufferParser.
readUInt32BE(),data=bufferParser.readString();if(bufferParser.clear(),data===void 0)return doFatalError(self2,"Inbound: \
Malformed CHANNEL_DATA packet");self2._debug&&self2._debug(`Inbound: CHANNEL_DATA (r:${recipient}, ${data.length})`);let handler=self2.
_handlers.CHANNEL_DATA;handler&&handler(self2,recipient,data)},[MESSAGE.CHANNEL_EXTENDED_DATA]:(self2,payload)=>{bufferParser.
init(payload,1);let recipient=bufferParser.readUInt32BE(),type=bufferParser.readUInt32BE(),data=bufferParser.readString();
if(bufferParser.clear(),data===void 0)return doFatalError(self2,"Inbound: Malformed CHANNEL_EXTENDED_DATA packet");self2.
_debug&&self2._debug(`Inbound: CHANNEL_EXTENDED_DATA (r:${recipient}, ${data.length})`);let handler=self2._handlers.CHANNEL_EXTENDED_DATA;
handler&&handler(self2,recipient,data,type)},[MESSAGE.CHANNEL_EOF]:(self2,payload)=>{bufferParser.init(payload,1);let recipient=bufferParser.
readUInt32BE();if(bufferParser.clear(),recipient===void 0)return doFatalError(self2,"Inbound: Malformed CHANNEL_EOF pack\
et");self2._debug&&self2._debug(`Inbound: CHANNEL_EOF (r:${recipient})`);let handler=self2._handlers.CHANNEL_EOF;handler&&
handler(self2,recipient)},[MESSAGE.CHANNEL_CLOSE]:(self2,payload)=>{bufferParser.init(payload,1);let recipient=bufferParser.
readUInt32BE();if(bufferParser.clear(),recipient===void 0)return doFatalError(self2,"Inbound: Malformed CHANNEL_CLOSE pa\
cket");self2._debug&&self2._debug(`Inbound: CHANNEL_CLOSE (r:${recipient})`);let handler=self2._handlers.CHANNEL_CLOSE;handler&&
handler(self2,recipient)},[MESSAGE.CHANNEL_REQUEST]:(self2,payload)=>{bufferParser.init(payload,1);let recipient=bufferParser.
readUInt32BE(),type=bufferParser.readString(!0),wantReply=bufferParser.readBool(),data;if(wantReply!==void 0)switch(type){case"\
exit-status":data=bufferParser.readUInt32BE(),self2._debug&&self2._debug(`Inbound: CHANNEL_REQUEST (r:${recipient}, ${type}\
: ${data})`);break;case"exit-signal":{let signal2,coreDumped;if(self2._compatFlags&COMPAT.OLD_EXIT){let num=bufferParser.
readUInt32BE();switch(num){case 1:signal2="HUP";break;case 2:signal2="INT";break;case 3:signal2="QUIT";break;case 6:signal2=
"ABRT";break;case 9:signal2="KILL";break;case 14:signal2="ALRM";break;case 15:signal2="TERM";break;default:num!==void 0&&
(signal2=`UNKNOWN (${num})`)}coreDumped=!1}else signal2=bufferParser.readString(!0),coreDumped=bufferParser.readBool(),coreDumped===
void 0&&(signal2=void 0);let errorMessage=bufferParser.readString(!0);bufferParser.skipString()!==void 0&&(data={signal:signal2,
coreDumped,errorMessage}),self2._debug&&self2._debug(`Inbound: CHANNEL_REQUEST (r:${recipient}, ${type}: ${signal2})`);break}case"\
pty-req":{let term=bufferParser.readString(!0),cols=bufferParser.readUInt32BE(),rows=bufferParser.readUInt32BE(),width=bufferParser.
readUInt32BE(),height=bufferParser.readUInt32BE(),modesBinary=bufferParser.readString();if(modesBinary!==void 0){bufferParser.
init(modesBinary,1);let modes={};for(;bufferParser.avail();){let opcode=bufferParser.readByte();if(opcode===TERMINAL_MODE.
TTY_OP_END)break;let name=TERMINAL_MODE_BY_VALUE[opcode],value=bufferParser.readUInt32BE();if(opcode===void 0||name===void 0||
value===void 0){modes=void 0;break}modes[name]=value}modes!==void 0&&(data={term,cols,rows,width,height,modes})}self2._debug&&
self2._debug(`Inbound: CHANNEL_REQUEST (r:${recipient}, ${type})`);break}case"window-change":{let cols=bufferParser.readUInt32BE(),
rows=bufferParser.readUInt32BE(),width=bufferParser.readUInt32BE(),height=bufferParser.readUInt32BE();height!==void 0&&(data=
{cols,rows,width,height}),self2._debug&&self2._debug(`Inbound: CHANNEL_REQUEST (r:${recipient}, ${type})`);break}case"x1\
1-req":{let single=bufferParser.readBool(),protocol=bufferParser.readString(!0),cookie=bufferParser.readString(),screen=bufferParser.
readUInt32BE();screen!==void 0&&(data={single,protocol,cookie,screen}),self2._debug&&self2._debug(`Inbound: CHANNEL_REQU\
EST (r:${recipient}, ${type})`);break}case"env":{let name=bufferParser.readString(!0),value=bufferParser.readString(!0);
value!==void 0&&(data={name,value}),self2._debug&&self2._debug(`Inbound: CHANNEL_REQUEST (r:${recipient}, ${type}: ${name}\
=${value})`);break}case"shell":data=null,self2._debug&&self2._debug(`Inbound: CHANNEL_REQUEST (r:${recipient}, ${type})`);
break;case"exec":data=bufferParser.readString(!0),self2._debug&&self2._debug(`Inbound: CHANNEL_REQUEST (r:${recipient}, ${type}\
: ${data})`);break;case"subsystem":data=bufferParser.readString(!0),self2._debug&&self2._debug(`Inbound: CHANNEL_REQUEST\
 (r:${recipient}, ${type}: ${data})`);break;case"signal":data=bufferParser.readString(!0),self2._debug&&self2._debug(`In\
bound: CHANNEL_REQUEST (r:${recipient}, ${type}: ${data})`);break;case"xon-xoff":data=bufferParser.readBool(),self2._debug&&
self2._debug(`Inbound: CHANNEL_REQUEST (r:${recipient}, ${type}: ${data})`);break;case"auth-agent-req@openssh.com":data=
null,self2._debug&&self2._debug(`Inbound: CHANNEL_REQUEST (r:${recipient}, ${type})`);break;default:data=bufferParser.avail()?
bufferParser.readRaw():null,self2._debug&&self2._debug(`Inbound: CHANNEL_REQUEST (r:${recipient}, ${type})`)}if(bufferParser.
clear(),data===void 0)return doFatalError(self2,"Inbound: Malformed CHANNEL_REQUEST packet");let handler=self2._handlers.
CHANNEL_REQUEST;handler&&handler(self2,recipient,type,wantReply,data)},[MESSAGE.CHANNEL_SUCCESS]:(self2,payload)=>{bufferParser.
init(payload,1);let recipient=bufferParser.readUInt32BE();if(bufferParser.clear(),recipient===void 0)return doFatalError(
self2,"Inbound: Malformed CHANNEL_SUCCESS packet");self2._debug&&self2._debug(`Inbound: CHANNEL_SUCCESS (r:${recipient})`);
let handler=self2._handlers.CHANNEL_SUCCESS;handler&&handler(self2,recipient)},[MESSAGE.CHANNEL_FAILURE]:(self2,payload)=>{
bufferParser.init(payload,1);let recipient=bufferParser.readUInt32BE();if(bufferParser.clear(),recipient===void 0)return doFatalError(
self2,"Inbound: Malformed CHANNEL_FAILURE packet");self2._debug&&self2._debug(`Inbound: CHANNEL_FAILURE (r:${recipient})`);
let handler=self2._handlers.CHANNEL_FAILURE;handler&&handler(self2,recipient)}}}});var require_handlers=__commonJS({"node_modules/ssh2/lib/protocol/handlers.js"(exports2,module2){"use strict";init_define_SAVEPOINT();
var MESSAGE_HANDLERS=new Array(256);[require_kex().HANDLERS,require_handlers_misc()].forEach(handlers=>{for(let[type,handler]of Object.
entries(handlers))type=+type,isFinite(type)&&type>=0&&type<MESSAGE_HANDLERS.length&&(MESSAGE_HANDLERS[type]=handler)});module2.
exports=MESSAGE_HANDLERS}});var require_kex=__commonJS({"node_modules/ssh2/lib/protocol/kex.js"(exports2,module2){"use strict";init_define_SAVEPOINT();
var{createDiffieHellman,createDiffieHellmanGroup,createECDH,createHash:createHash5,createPublicKey,diffieHellman,generateKeyPairSync,
randomFillSync:randomFillSync2}=require("crypto"),{Ber}=require_lib(),{COMPAT,curve25519Supported,DEFAULT_KEX,DEFAULT_SERVER_HOST_KEY,
DEFAULT_CIPHER,DEFAULT_MAC,DEFAULT_COMPRESSION,DISCONNECT_REASON,MESSAGE}=require_constants(),{CIPHER_INFO,createCipher,
createDecipher,MAC_INFO}=require_crypto(),{parseDERKey}=require_keyParser(),{bufferFill,bufferParser,convertSignature,doFatalError,
FastBuffer,sigSSHToASN1,writeUInt32BE}=require_utils(),{PacketReader,PacketWriter,ZlibPacketReader,ZlibPacketWriter}=require_zlib2(),
MESSAGE_HANDLERS,GEX_MIN_BITS=2048,GEX_MAX_BITS=8192,EMPTY_BUFFER=Buffer.alloc(0);function kexinit(self2){let payload;if(self2.
_compatFlags&COMPAT.BAD_DHGEX){let entry3=self2._offer.lists.kex,kex=entry3.array,found=!1;for(let i=0;i<kex.length;++i)
kex[i].includes("group-exchange")&&(found||(found=!0,kex=kex.slice()),kex.splice(i--,1));if(found){let len=17+self2._offer.
totalSize+1+4,newKexBuf=Buffer.from(kex.join(","));len-=entry3.buffer.length-newKexBuf.length;let all=self2._offer.lists.
all,rest=new Uint8Array(all.buffer,all.byteOffset+4+entry3.buffer.length,all.length-(4+entry3.buffer.length));payload=Buffer.
allocUnsafe(len),writeUInt32BE(payload,newKexBuf.length,17),payload.set(newKexBuf,21),payload.set(rest,21+newKexBuf.length)}}
payload===void 0&&(payload=Buffer.allocUnsafe(17+self2._offer.totalSize+1+4),self2._offer.copyAllTo(payload,17)),self2._debug&&
self2._debug("Outbound: Sending KEXINIT"),payload[0]=MESSAGE.KEXINIT,randomFillSync2(payload,1,16),bufferFill(payload,0,
payload.length-5),self2._kexinit=payload,self2._packetRW.write.allocStart=0;{let p=self2._packetRW.write.allocStartKEX,packet=self2.
_packetRW.write.alloc(payload.length,!0);packet.set(payload,p),self2._cipher.encrypt(self2._packetRW.write.finalize(packet,
!0))}}function handleKexInit(self2,payload){let init={kex:void 0,serverHostKey:void 0,cs:{cipher:void 0,mac:void 0,compress:void 0,
lang:void 0},sc:{cipher:void 0,mac:void 0,compress:void 0,lang:void 0}};if(bufferParser.init(payload,17),(init.kex=bufferParser.
readList())===void 0||(init.serverHostKey=bufferParser.readList())===void 0||(init.cs.cipher=bufferParser.readList())===
void 0||(init.sc.cipher=bufferParser.readList())===void 0||(init.cs.mac=bufferParser.readList())===void 0||(init.sc.mac=
bufferParser.readList())===void 0||(init.cs.compress=bufferParser.readList())===void 0||(init.sc.compress=bufferParser.readList())===
void 0||(init.cs.lang=bufferParser.readList())===void 0||(init.sc.lang=bufferParser.readList())===void 0)return bufferParser.
clear(),doFatalError(self2,"Received malformed KEXINIT","handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);let pos=bufferParser.
pos(),firstFollows=pos<payload.length&&payload[pos]===1;bufferParser.clear();let local=self2._offer,remote=init,localKex=local.
lists.kex.array;if(self2._compatFlags&COMPAT.BAD_DHGEX){let found=!1;for(let i2=0;i2<localKex.length;++i2)localKex[i2].indexOf(
"group-exchange")!==-1&&(found||(found=!0,localKex=localKex.slice()),localKex.splice(i2--,1))}let clientList,serverList,
i,debug=self2._debug;debug&&debug("Inbound: Handshake in progress"),debug&&debug(`Handshake: (local) KEX method: ${localKex}`),
debug&&debug(`Handshake: (remote) KEX method: ${remote.kex}`);let remoteExtInfoEnabled;if(self2._server?(serverList=localKex,
clientList=remote.kex,remoteExtInfoEnabled=clientList.indexOf("ext-info-c")!==-1):(serverList=remote.kex,clientList=localKex,
remoteExtInfoEnabled=serverList.indexOf("ext-info-s")!==-1),self2._strictMode===void 0&&(self2._server?self2._strictMode=
clientList.indexOf("kex-strict-c-v00@openssh.com")!==-1:self2._strictMode=serverList.indexOf("kex-strict-s-v00@openssh.c\
om")!==-1,self2._strictMode&&(debug&&debug("Handshake: strict KEX mode enabled"),self2._decipher.inSeqno!==1)))return debug&&
debug("Handshake: KEXINIT not first packet in strict KEX mode"),doFatalError(self2,"Handshake failed: KEXINIT not first \
packet in strict KEX mode","handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);for(i=0;i<clientList.length&&serverList.indexOf(
clientList[i])===-1;++i);if(i===clientList.length)return debug&&debug("Handshake: no matching key exchange algorithm"),doFatalError(
self2,"Handshake failed: no matching key exchange algorithm","handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);init.kex=
clientList[i],debug&&debug(`Handshake: KEX algorithm: ${clientList[i]}`),firstFollows&&(!remote.kex.length||clientList[i]!==
remote.kex[0])&&(self2._skipNextInboundPacket=!0);let localSrvHostKey=local.lists.serverHostKey.array;for(debug&&debug(`\
Handshake: (local) Host key format: ${localSrvHostKey}`),debug&&debug(`Handshake: (remote) Host key format: ${remote.serverHostKey}`),
self2._server?(serverList=localSrvHostKey,clientList=remote.serverHostKey):(serverList=remote.serverHostKey,clientList=localSrvHostKey),
i=0;i<clientList.length&&serverList.indexOf(clientList[i])===-1;++i);if(i===clientList.length)return debug&&debug("Hands\
hake: No matching host key format"),doFatalError(self2,"Handshake failed: no matching host key format","handshake",DISCONNECT_REASON.
KEY_EXCHANGE_FAILED);init.serverHostKey=clientList[i],debug&&debug(`Handshake: Host key format: ${clientList[i]}`);let localCSCipher=local.
lists.cs.cipher.array;for(debug&&debug(`Handshake: (local) C->S cipher: ${localCSCipher}`),debug&&debug(`Handshake: (rem\
ote) C->S cipher: ${remote.cs.cipher}`),self2._server?(serverList=localCSCipher,clientList=remote.cs.cipher):(serverList=
remote.cs.cipher,clientList=localCSCipher),i=0;i<clientList.length&&serverList.indexOf(clientList[i])===-1;++i);if(i===clientList.
length)return debug&&debug("Handshake: No matching C->S cipher"),doFatalError(self2,"Handshake failed: no matching C->S \
cipher","handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);init.cs.cipher=clientList[i],debug&&debug(`Handshake: C->S Ci\
pher: ${clientList[i]}`);let localSCCipher=local.lists.sc.cipher.array;for(debug&&debug(`Handshake: (local) S->C cipher:\
 ${localSCCipher}`),debug&&debug(`Handshake: (remote) S->C cipher: ${remote.sc.cipher}`),self2._server?(serverList=localSCCipher,
clientList=remote.sc.cipher):(serverList=remote.sc.cipher,clientList=localSCCipher),i=0;i<clientList.length&&serverList.
indexOf(clientList[i])===-1;++i);if(i===clientList.length)return debug&&debug("Handshake: No matching S->C cipher"),doFatalError(
self2,"Handshake failed: no matching S->C cipher","handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);init.sc.cipher=clientList[i],
debug&&debug(`Handshake: S->C cipher: ${clientList[i]}`);let localCSMAC=local.lists.cs.mac.array;if(debug&&debug(`Handsh\
ake: (local) C->S MAC: ${localCSMAC}`),debug&&debug(`Handshake: (remote) C->S MAC: ${remote.cs.mac}`),CIPHER_INFO[init.cs.
cipher].authLen>0)init.cs.mac="",debug&&debug("Handshake: C->S MAC: <implicit>");else{for(self2._server?(serverList=localCSMAC,
clientList=remote.cs.mac):(serverList=remote.cs.mac,clientList=localCSMAC),i=0;i<clientList.length&&serverList.indexOf(clientList[i])===
-1;++i);if(i===clientList.length)return debug&&debug("Handshake: No matching C->S MAC"),doFatalError(self2,"Handshake fa\
iled: no matching C->S MAC","handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);init.cs.mac=clientList[i],debug&&debug(`H\
andshake: C->S MAC: ${clientList[i]}`)}let localSCMAC=local.lists.sc.mac.array;if(debug&&debug(`Handshake: (local) S->C \
MAC: ${localSCMAC}`),debug&&debug(`Handshake: (remote) S->C MAC: ${remote.sc.mac}`),CIPHER_INFO[init.sc.cipher].authLen>
0)init.sc.mac="",debug&&debug("Handshake: S->C MAC: <implicit>");else{for(self2._server?(serverList=localSCMAC,clientList=
remote.sc.mac):(serverList=remote.sc.mac,clientList=localSCMAC),i=0;i<clientList.length&&serverList.indexOf(clientList[i])===
-1;++i);if(i===clientList.length)return debug&&debug("Handshake: No matching S->C MAC"),doFatalError(self2,"Handshake fa\
iled: no matching S->C MAC","handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);init.sc.mac=clientList[i],debug&&debug(`H\
andshake: S->C MAC: ${clientList[i]}`)}let localCSCompress=local.lists.cs.compress.array;for(debug&&debug(`Handshake: (l\
ocal) C->S compression: ${localCSCompress}`),debug&&debug(`Handshake: (remote) C->S compression: ${remote.cs.compress}`),
self2._server?(serverList=localCSCompress,clientList=remote.cs.compress):(serverList=remote.cs.compress,clientList=localCSCompress),
i=0;i<clientList.length&&serverList.indexOf(clientList[i])===-1;++i);if(i===clientList.length)return debug&&debug("Hands\
hake: No matching C->S compression"),doFatalError(self2,"Handshake failed: no matching C->S compression","handshake",DISCONNECT_REASON.
KEY_EXCHANGE_FAILED);init.cs.compress=clientList[i],debug&&debug(`Handshake: C->S compression: ${clientList[i]}`);let localSCCompress=local.
lists.sc.compress.array;for(debug&&debug(`Handshake: (local) S->C compression: ${localSCCompress}`),debug&&debug(`Handsh\
ake: (remote) S->C compression: ${remote.sc.compress}`),self2._server?(serverList=localSCCompress,clientList=remote.sc.compress):
(serverList=remote.sc.compress,clientList=localSCCompress),i=0;i<clientList.length&&serverList.indexOf(clientList[i])===
-1;++i);if(i===clientList.length)return debug&&debug("Handshake: No matching S->C compression"),doFatalError(self2,"Hand\
shake failed: no matching S->C compression","handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);init.sc.compress=clientList[i],
debug&&debug(`Handshake: S->C compression: ${clientList[i]}`),init.cs.lang="",init.sc.lang="",self2._kex&&(self2._kexinit||
kexinit(self2),self2._decipher._onPayload=onKEXPayload.bind(self2,{firstPacket:!1})),self2._kex=createKeyExchange(init,self2,
payload),self2._kex.remoteExtInfoEnabled=remoteExtInfoEnabled,self2._kex.start()}var createKeyExchange=(()=>{function convertToMpint(buf){
let idx=0,length=buf.length;for(;buf[idx]===0;)++idx,--length;let newBuf;return buf[idx]&128?(newBuf=Buffer.allocUnsafe(
1+length),newBuf[0]=0,buf.copy(newBuf,1,idx),buf=newBuf):length!==buf.length&&(newBuf=Buffer.allocUnsafe(length),buf.copy(
newBuf,0,idx),buf=newBuf),buf}class KeyExchange{constructor(negotiated,protocol,remoteKexinit){this._protocol=protocol,this.
sessionID=protocol._kex?protocol._kex.sessionID:void 0,this.negotiated=negotiated,this.remoteExtInfoEnabled=!1,this._step=
1,this._public=null,this._dh=null,this._sentNEWKEYS=!1,this._receivedNEWKEYS=!1,this._finished=!1,this._hostVerified=!1,
this._kexinit=protocol._kexinit,this._remoteKexinit=remoteKexinit,this._identRaw=protocol._identRaw,this._remoteIdentRaw=
protocol._remoteIdentRaw,this._hostKey=void 0,this._dhData=void 0,this._sig=void 0}finish(scOnly){if(this._finished)return!1;
this._finished=!0;let isServer=this._protocol._server,negotiated=this.negotiated,pubKey=this.convertPublicKey(this._dhData),
secret=this.computeSecret(this._dhData);if(secret instanceof Error)return secret.message=`Error while computing DH secre\
t (${this.type}): ${secret.message}`,secret.level="handshake",doFatalError(this._protocol,secret,DISCONNECT_REASON.KEY_EXCHANGE_FAILED);
let hash=createHash5(this.hashName);hashString(hash,isServer?this._remoteIdentRaw:this._identRaw),hashString(hash,isServer?
this._identRaw:this._remoteIdentRaw),hashString(hash,isServer?this._remoteKexinit:this._kexinit),hashString(hash,isServer?
this._kexinit:this._remoteKexinit);let serverPublicHostKey=isServer?this._hostKey.getPublicSSH():this._hostKey;if(hashString(
hash,serverPublicHostKey),this.type==="groupex"){let params=this.getDHParams(),num=Buffer.allocUnsafe(4);writeUInt32BE(num,
this._minBits,0),hash.update(num),writeUInt32BE(num,this._prefBits,0),hash.update(num),writeUInt32BE(num,this._maxBits,0),
hash.update(num),hashString(hash,params.prime),hashString(hash,params.generator)}hashString(hash,isServer?pubKey:this.getPublicKey());
let serverPublicKey=isServer?this.getPublicKey():pubKey;hashString(hash,serverPublicKey),hashString(hash,secret);let exchangeHash=hash.
digest();if(isServer){let hashAlgo;switch(this.negotiated.serverHostKey){case"rsa-sha2-256":hashAlgo="sha256";break;case"\
rsa-sha2-512":hashAlgo="sha512";break}this._protocol._debug&&this._protocol._debug("Generating signature ...");let signature=this.
_hostKey.sign(exchangeHash,hashAlgo);if(signature instanceof Error)return doFatalError(this._protocol,`Handshake failed:\
 signature generation failed for ${this._hostKey.type} host key: ${signature.message}`,"handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);
if(signature=convertSignature(signature,this._hostKey.type),signature===!1)return doFatalError(this._protocol,`Handshake\
 failed: signature conversion failed for ${this._hostKey.type} host key`,"handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);
let sigType=this.negotiated.serverHostKey,sigTypeLen=Buffer.byteLength(sigType),sigLen=4+sigTypeLen+4+signature.length,p=this.
_protocol._packetRW.write.allocStartKEX,packet=this._protocol._packetRW.write.alloc(5+serverPublicHostKey.length+4+serverPublicKey.
length+4+sigLen,!0);if(packet[p]=MESSAGE.KEXDH_REPLY,writeUInt32BE(packet,serverPublicHostKey.length,++p),packet.set(serverPublicHostKey,
p+=4),writeUInt32BE(packet,serverPublicKey.length,p+=serverPublicHostKey.length),packet.set(serverPublicKey,p+=4),writeUInt32BE(
packet,sigLen,p+=serverPublicKey.length),writeUInt32BE(packet,sigTypeLen,p+=4),packet.utf8Write(sigType,p+=4,sigTypeLen),
writeUInt32BE(packet,signature.length,p+=sigTypeLen),packet.set(signature,p+=4),this._protocol._debug){let type;switch(this.
type){case"group":type="KEXDH_REPLY";break;case"groupex":type="KEXDH_GEX_REPLY";break;default:type="KEXECDH_REPLY"}this.
_protocol._debug(`Outbound: Sending ${type}`)}this._protocol._cipher.encrypt(this._protocol._packetRW.write.finalize(packet,
!0))}else{bufferParser.init(this._sig,0);let sigType=bufferParser.readString(!0);if(!sigType)return doFatalError(this._protocol,
"Malformed packet while reading signature","handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);if(sigType!==negotiated.serverHostKey)
return doFatalError(this._protocol,`Wrong signature type: ${sigType}, expected: ${negotiated.serverHostKey}`,"handshake",
DISCONNECT_REASON.KEY_EXCHANGE_FAILED);let sigValue=bufferParser.readString();if(bufferParser.clear(),sigValue===void 0)
return doFatalError(this._protocol,"Malformed packet while reading signature","handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);
if(!(sigValue=sigSSHToASN1(sigValue,sigType)))return doFatalError(this._protocol,"Malformed signature","handshake",DISCONNECT_REASON.
KEY_EXCHANGE_FAILED);let parsedHostKey;{bufferParser.init(this._hostKey,0);let name=bufferParser.readString(!0),hostKey=this.
_hostKey.slice(bufferParser.pos());if(bufferParser.clear(),parsedHostKey=parseDERKey(hostKey,name),parsedHostKey instanceof
Error)return parsedHostKey.level="handshake",doFatalError(this._protocol,parsedHostKey,DISCONNECT_REASON.KEY_EXCHANGE_FAILED)}
let hashAlgo;switch(this.negotiated.serverHostKey){case"rsa-sha2-256":hashAlgo="sha256";break;case"rsa-sha2-512":hashAlgo=
"sha512";break}this._protocol._debug&&this._protocol._debug("Verifying signature ...");let verified2=parsedHostKey.verify(
exchangeHash,sigValue,hashAlgo);if(verified2!==!0)return verified2 instanceof Error?this._protocol._debug&&this._protocol.
_debug(`Signature verification failed: ${verified2.stack}`):this._protocol._debug&&this._protocol._debug("Signature veri\
fication failed"),doFatalError(this._protocol,"Handshake failed: signature verification failed","handshake",DISCONNECT_REASON.
KEY_EXCHANGE_FAILED);this._protocol._debug&&this._protocol._debug("Verified signature")}(isServer||!scOnly)&&trySendNEWKEYS(
this);let hsCipherConfig,hsWrite,completeHandshake=partial2=>{if(hsCipherConfig)return trySendNEWKEYS(this),hsCipherConfig.
outbound.seqno=this._protocol._cipher.outSeqno,this._protocol._cipher.free(),this._protocol._cipher=createCipher(hsCipherConfig),
this._protocol._packetRW.write=hsWrite,hsCipherConfig=void 0,hsWrite=void 0,this._protocol._onHandshakeComplete(negotiated),
!1;this.sessionID||(this.sessionID=exchangeHash);{let newSecret=Buffer.allocUnsafe(4+secret.length);writeUInt32BE(newSecret,
secret.length,0),newSecret.set(secret,4),secret=newSecret}let csCipherInfo=CIPHER_INFO[negotiated.cs.cipher],scCipherInfo=CIPHER_INFO[negotiated.
sc.cipher],csIV=generateKEXVal(csCipherInfo.ivLen,this.hashName,secret,exchangeHash,this.sessionID,"A"),scIV=generateKEXVal(
scCipherInfo.ivLen,this.hashName,secret,exchangeHash,this.sessionID,"B"),csKey=generateKEXVal(csCipherInfo.keyLen,this.hashName,
secret,exchangeHash,this.sessionID,"C"),scKey=generateKEXVal(scCipherInfo.keyLen,this.hashName,secret,exchangeHash,this.
sessionID,"D"),csMacInfo,csMacKey;csCipherInfo.authLen||(csMacInfo=MAC_INFO[negotiated.cs.mac],csMacKey=generateKEXVal(csMacInfo.
len,this.hashName,secret,exchangeHash,this.sessionID,"E"));let scMacInfo,scMacKey;scCipherInfo.authLen||(scMacInfo=MAC_INFO[negotiated.
sc.mac],scMacKey=generateKEXVal(scMacInfo.len,this.hashName,secret,exchangeHash,this.sessionID,"F"));let config2={inbound:{
onPayload:this._protocol._onPayload,seqno:this._protocol._decipher.inSeqno,decipherInfo:isServer?csCipherInfo:scCipherInfo,
decipherIV:isServer?csIV:scIV,decipherKey:isServer?csKey:scKey,macInfo:isServer?csMacInfo:scMacInfo,macKey:isServer?csMacKey:
scMacKey},outbound:{onWrite:this._protocol._onWrite,seqno:this._protocol._cipher.outSeqno,cipherInfo:isServer?scCipherInfo:
csCipherInfo,cipherIV:isServer?scIV:csIV,cipherKey:isServer?scKey:csKey,macInfo:isServer?scMacInfo:csMacInfo,macKey:isServer?
scMacKey:csMacKey}};this._protocol._decipher.free(),hsCipherConfig=config2,this._protocol._decipher=createDecipher(config2);
let rw={read:void 0,write:void 0};switch(negotiated.cs.compress){case"zlib":isServer?rw.read=new ZlibPacketReader:rw.write=
new ZlibPacketWriter(this._protocol);break;case"zlib@openssh.com":if(this._protocol._authenticated){isServer?rw.read=new ZlibPacketReader:
rw.write=new ZlibPacketWriter(this._protocol);break}default:isServer?rw.read=new PacketReader:rw.write=new PacketWriter(
this._protocol)}switch(negotiated.sc.compress){case"zlib":isServer?rw.write=new ZlibPacketWriter(this._protocol):rw.read=
new ZlibPacketReader;break;case"zlib@openssh.com":if(this._protocol._authenticated){isServer?rw.write=new ZlibPacketWriter(
this._protocol):rw.read=new ZlibPacketReader;break}default:isServer?rw.write=new PacketWriter(this._protocol):rw.read=new PacketReader}
return this._protocol._packetRW.read.cleanup(),this._protocol._packetRW.write.cleanup(),this._protocol._packetRW.read=rw.
read,hsWrite=rw.write,this._public=null,this._dh=null,this._kexinit=this._protocol._kexinit=void 0,this._remoteKexinit=void 0,
this._identRaw=void 0,this._remoteIdentRaw=void 0,this._hostKey=void 0,this._dhData=void 0,this._sig=void 0,partial2?!1:
completeHandshake()};if((isServer||scOnly)&&(this.finish=completeHandshake),!isServer)return completeHandshake(scOnly)}start(){
if(!this._protocol._server){if(this._protocol._debug){let type;this.type==="group"?type="KEXDH_INIT":type="KEXECDH_INIT",
this._protocol._debug(`Outbound: Sending ${type}`)}let pubKey=this.getPublicKey(),p=this._protocol._packetRW.write.allocStartKEX,
packet=this._protocol._packetRW.write.alloc(5+pubKey.length,!0);packet[p]=MESSAGE.KEXDH_INIT,writeUInt32BE(packet,pubKey.
length,++p),packet.set(pubKey,p+=4),this._protocol._cipher.encrypt(this._protocol._packetRW.write.finalize(packet,!0))}}getPublicKey(){
this.generateKeys();let key=this._public;if(key)return this.convertPublicKey(key)}convertPublicKey(key){let newKey,idx=0,
len=key.length;for(;key[idx]===0;)++idx,--len;return key[idx]&128?(newKey=Buffer.allocUnsafe(1+len),newKey[0]=0,key.copy(
newKey,1,idx),newKey):(len!==key.length&&(newKey=Buffer.allocUnsafe(len),key.copy(newKey,0,idx),key=newKey),key)}computeSecret(otherPublicKey){
this.generateKeys();try{return convertToMpint(this._dh.computeSecret(otherPublicKey))}catch(ex){return ex}}parse(payload){
let type=payload[0];switch(this._step){case 1:if(this._protocol._server){if(type!==MESSAGE.KEXDH_INIT)return doFatalError(
this._protocol,`Received packet ${type} instead of ${MESSAGE.KEXDH_INIT}`,"handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);
this._protocol._debug&&this._protocol._debug("Received DH Init"),bufferParser.init(payload,1);let dhData=bufferParser.readString();
if(bufferParser.clear(),dhData===void 0)return doFatalError(this._protocol,"Received malformed KEX*_INIT","handshake",DISCONNECT_REASON.
KEY_EXCHANGE_FAILED);this._dhData=dhData;let hostKey=this._protocol._hostKeys[this.negotiated.serverHostKey];Array.isArray(
hostKey)&&(hostKey=hostKey[0]),this._hostKey=hostKey,this.finish()}else{if(type!==MESSAGE.KEXDH_REPLY)return doFatalError(
this._protocol,`Received packet ${type} instead of ${MESSAGE.KEXDH_REPLY}`,"handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);
this._protocol._debug&&this._protocol._debug("Received DH Reply"),bufferParser.init(payload,1);let hostPubKey,dhData,sig;
if((hostPubKey=bufferParser.readString())===void 0||(dhData=bufferParser.readString())===void 0||(sig=bufferParser.readString())===
void 0)return bufferParser.clear(),doFatalError(this._protocol,"Received malformed KEX*_REPLY","handshake",DISCONNECT_REASON.
KEY_EXCHANGE_FAILED);bufferParser.clear(),bufferParser.init(hostPubKey,0);let hostPubKeyType=bufferParser.readString(!0);
if(bufferParser.clear(),hostPubKeyType===void 0)return doFatalError(this._protocol,"Received malformed host public key",
"handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);if(hostPubKeyType!==this.negotiated.serverHostKey)switch(this.negotiated.
serverHostKey){case"rsa-sha2-256":case"rsa-sha2-512":if(hostPubKeyType==="ssh-rsa")break;default:return doFatalError(this.
_protocol,"Host key does not match negotiated type","handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED)}this._hostKey=hostPubKey,
this._dhData=dhData,this._sig=sig;let checked=!1,ret;if(this._protocol._hostVerifier===void 0?(ret=!0,this._protocol._debug&&
this._protocol._debug("Host accepted by default (no verification)")):ret=this._protocol._hostVerifier(hostPubKey,permitted=>{
if(!checked){if(checked=!0,permitted===!1)return this._protocol._debug&&this._protocol._debug("Host denied (verification\
 failed)"),doFatalError(this._protocol,"Host denied (verification failed)","handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);
this._protocol._debug&&this._protocol._debug("Host accepted (verified)"),this._hostVerified=!0,this._receivedNEWKEYS?this.
finish():trySendNEWKEYS(this)}}),ret===void 0){++this._step;return}if(checked=!0,ret===!1)return this._protocol._debug&&
this._protocol._debug("Host denied (verification failed)"),doFatalError(this._protocol,"Host denied (verification failed\
)","handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);this._protocol._debug&&this._protocol._debug("Host accepted (verif\
ied)"),this._hostVerified=!0,trySendNEWKEYS(this)}++this._step;break;case 2:return type!==MESSAGE.NEWKEYS?doFatalError(this.
_protocol,`Received packet ${type} instead of ${MESSAGE.NEWKEYS}`,"handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED):(this.
_protocol._debug&&this._protocol._debug("Inbound: NEWKEYS"),this._receivedNEWKEYS=!0,this._protocol._strictMode&&(this._protocol.
_decipher.inSeqno=0),++this._step,this.finish(!this._protocol._server&&!this._hostVerified));default:return doFatalError(
this._protocol,`Received unexpected packet ${type} after NEWKEYS`,"handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED)}}}class Curve25519Exchange extends KeyExchange{constructor(hashName,...args){
super(...args),this.type="25519",this.hashName=hashName,this._keys=null}generateKeys(){this._keys||(this._keys=generateKeyPairSync(
"x25519"))}getPublicKey(){return this.generateKeys(),this._keys.publicKey.export({type:"spki",format:"der"}).slice(-32)}convertPublicKey(key){
let newKey,idx=0,len=key.length;for(;key[idx]===0;)++idx,--len;return key.length===32||len!==key.length&&(newKey=Buffer.
allocUnsafe(len),key.copy(newKey,0,idx),key=newKey),key}computeSecret(otherPublicKey){this.generateKeys();try{let asnWriter=new Ber.
Writer;return asnWriter.startSequence(),asnWriter.startSequence(),asnWriter.writeOID("1.3.101.110"),asnWriter.endSequence(),
asnWriter.startSequence(Ber.BitString),asnWriter.writeByte(0),asnWriter._ensure(otherPublicKey.length),otherPublicKey.copy(
asnWriter._buf,asnWriter._offset,0,otherPublicKey.length),asnWriter._offset+=otherPublicKey.length,asnWriter.endSequence(),
asnWriter.endSequence(),convertToMpint(diffieHellman({privateKey:this._keys.privateKey,publicKey:createPublicKey({key:asnWriter.
buffer,type:"spki",format:"der"})}))}catch(ex){return ex}}}class ECDHExchange extends KeyExchange{constructor(curveName,hashName,...args){
super(...args),this.type="ecdh",this.curveName=curveName,this.hashName=hashName}generateKeys(){this._dh||(this._dh=createECDH(
this.curveName),this._public=this._dh.generateKeys())}}class DHGroupExchange extends KeyExchange{constructor(hashName,...args){
super(...args),this.type="groupex",this.hashName=hashName,this._prime=null,this._generator=null,this._minBits=GEX_MIN_BITS,
this._prefBits=dhEstimate(this.negotiated),this._protocol._compatFlags&COMPAT.BUG_DHGEX_LARGE&&(this._prefBits=Math.min(
this._prefBits,4096)),this._maxBits=GEX_MAX_BITS}start(){if(this._protocol._server)return;this._protocol._debug&&this._protocol.
_debug("Outbound: Sending KEXDH_GEX_REQUEST");let p=this._protocol._packetRW.write.allocStartKEX,packet=this._protocol._packetRW.
write.alloc(13,!0);packet[p]=MESSAGE.KEXDH_GEX_REQUEST,writeUInt32BE(packet,this._minBits,++p),writeUInt32BE(packet,this.
_prefBits,p+=4),writeUInt32BE(packet,this._maxBits,p+=4),this._protocol._cipher.encrypt(this._protocol._packetRW.write.finalize(
packet,!0))}generateKeys(){!this._dh&&this._prime&&this._generator&&(this._dh=createDiffieHellman(this._prime,this._generator),
this._public=this._dh.generateKeys())}setDHParams(prime,generator){if(!Buffer.isBuffer(prime))throw new Error("Invalid p\
rime value");if(!Buffer.isBuffer(generator))throw new Error("Invalid generator value");this._prime=prime,this._generator=
generator}getDHParams(){if(this._dh)return{prime:convertToMpint(this._dh.getPrime()),generator:convertToMpint(this._dh.getGenerator())}}parse(payload){
let type=payload[0];switch(this._step){case 1:{if(this._protocol._server)return type!==MESSAGE.KEXDH_GEX_REQUEST?doFatalError(
this._protocol,`Received packet ${type} instead of `+MESSAGE.KEXDH_GEX_REQUEST,"handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED):
doFatalError(this._protocol,"Group exchange not implemented for server","handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);
if(type!==MESSAGE.KEXDH_GEX_GROUP)return doFatalError(this._protocol,`Received packet ${type} instead of ${MESSAGE.KEXDH_GEX_GROUP}`,
"handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);this._protocol._debug&&this._protocol._debug("Received DH GEX Group"),
bufferParser.init(payload,1);let prime,gen;if((prime=bufferParser.readString())===void 0||(gen=bufferParser.readString())===
void 0)return bufferParser.clear(),doFatalError(this._protocol,"Received malformed KEXDH_GEX_GROUP","handshake",DISCONNECT_REASON.
KEY_EXCHANGE_FAILED);bufferParser.clear(),this.setDHParams(prime,gen),this.generateKeys();let pubkey=this.getPublicKey();
this._protocol._debug&&this._protocol._debug("Outbound: Sending KEXDH_GEX_INIT");let p=this._protocol._packetRW.write.allocStartKEX,
packet=this._protocol._packetRW.write.alloc(5+pubkey.length,!0);packet[p]=MESSAGE.KEXDH_GEX_INIT,writeUInt32BE(packet,pubkey.
length,++p),packet.set(pubkey,p+=4),this._protocol._cipher.encrypt(this._protocol._packetRW.write.finalize(packet,!0)),++this.
_step;break}case 2:if(this._protocol._server)return type!==MESSAGE.KEXDH_GEX_INIT?doFatalError(this._protocol,`Received \
packet ${type} instead of ${MESSAGE.KEXDH_GEX_INIT}`,"handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED):(this._protocol.
_debug&&this._protocol._debug("Received DH GEX Init"),doFatalError(this._protocol,"Group exchange not implemented for se\
rver","handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED));if(type!==MESSAGE.KEXDH_GEX_REPLY)return doFatalError(this._protocol,
`Received packet ${type} instead of ${MESSAGE.KEXDH_GEX_REPLY}`,"handshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED);this.
_protocol._debug&&this._protocol._debug("Received DH GEX Reply"),this._step=1,payload[0]=MESSAGE.KEXDH_REPLY,this.parse=
KeyExchange.prototype.parse,this.parse(payload)}}}class DHExchange extends KeyExchange{constructor(groupName,hashName,...args){
super(...args),this.type="group",this.groupName=groupName,this.hashName=hashName}start(){if(!this._protocol._server){this.
_protocol._debug&&this._protocol._debug("Outbound: Sending KEXDH_INIT");let pubKey=this.getPublicKey(),p=this._protocol.
_packetRW.write.allocStartKEX,packet=this._protocol._packetRW.write.alloc(5+pubKey.length,!0);packet[p]=MESSAGE.KEXDH_INIT,
writeUInt32BE(packet,pubKey.length,++p),packet.set(pubKey,p+=4),this._protocol._cipher.encrypt(this._protocol._packetRW.
write.finalize(packet,!0))}}generateKeys(){this._dh||(this._dh=createDiffieHellmanGroup(this.groupName),this._public=this.
_dh.generateKeys())}getDHParams(){if(this._dh)return{prime:convertToMpint(this._dh.getPrime()),generator:convertToMpint(
this._dh.getGenerator())}}}return(negotiated,...args)=>{if(typeof negotiated!="object"||negotiated===null)throw new Error(
"Invalid negotiated argument");let kexType=negotiated.kex;if(typeof kexType=="string"){switch(args=[negotiated,...args],
kexType){case"curve25519-sha256":case"curve25519-sha256@libssh.org":if(!curve25519Supported)break;return new Curve25519Exchange(
"sha256",...args);case"ecdh-sha2-nistp256":return new ECDHExchange("prime256v1","sha256",...args);case"ecdh-sha2-nistp38\
4":return new ECDHExchange("secp384r1","sha384",...args);case"ecdh-sha2-nistp521":return new ECDHExchange("secp521r1","s\
ha512",...args);case"diffie-hellman-group1-sha1":return new DHExchange("modp2","sha1",...args);case"diffie-hellman-group\
14-sha1":return new DHExchange("modp14","sha1",...args);case"diffie-hellman-group14-sha256":return new DHExchange("modp1\
4","sha256",...args);case"diffie-hellman-group15-sha512":return new DHExchange("modp15","sha512",...args);case"diffie-he\
llman-group16-sha512":return new DHExchange("modp16","sha512",...args);case"diffie-hellman-group17-sha512":return new DHExchange(
"modp17","sha512",...args);case"diffie-hellman-group18-sha512":return new DHExchange("modp18","sha512",...args);case"dif\
fie-hellman-group-exchange-sha1":return new DHGroupExchange("sha1",...args);case"diffie-hellman-group-exchange-sha256":return new DHGroupExchange(
"sha256",...args)}throw new Error(`Unsupported key exchange algorithm: ${kexType}`)}throw new Error(`Invalid key exchang\
e type: ${kexType}`)}})(),KexInit=(()=>{let KEX_PROPERTY_NAMES=["kex","serverHostKey",["cs","cipher"],["sc","cipher"],["\
cs","mac"],["sc","mac"],["cs","compress"],["sc","compress"],["cs","lang"],["sc","lang"]];return class{constructor(obj){if(typeof obj!=
"object"||obj===null)throw new TypeError("Argument must be an object");let lists={kex:void 0,serverHostKey:void 0,cs:{cipher:void 0,
mac:void 0,compress:void 0,lang:void 0},sc:{cipher:void 0,mac:void 0,compress:void 0,lang:void 0},all:void 0},totalSize=0;
for(let prop of KEX_PROPERTY_NAMES){let base,val,desc,key;if(typeof prop=="string")base=lists,val=obj[prop],desc=key=prop;else{
let parent=prop[0];base=lists[parent],key=prop[1],val=obj[parent][key],desc=`${parent}.${key}`}let entry3={array:void 0,
buffer:void 0};if(Buffer.isBuffer(val))entry3.array=(""+val).split(","),entry3.buffer=val,totalSize+=4+val.length;else{if(typeof val==
"string"&&(val=val.split(",")),Array.isArray(val))entry3.array=val,entry3.buffer=Buffer.from(val.join(","));else throw new TypeError(
`Invalid \`${desc}\` type: ${typeof val}`);totalSize+=4+entry3.buffer.length}base[key]=entry3}let all=Buffer.allocUnsafe(
totalSize);lists.all=all;let allPos=0;for(let prop of KEX_PROPERTY_NAMES){let data;typeof prop=="string"?data=lists[prop].
buffer:data=lists[prop[0]][prop[1]].buffer,allPos=writeUInt32BE(all,data.length,allPos),all.set(data,allPos),allPos+=data.
length}this.totalSize=totalSize,this.lists=lists}copyAllTo(buf,offset){let src=this.lists.all;if(typeof offset!="number")
throw new TypeError(`Invalid offset value: ${typeof offset}`);if(buf.length-offset<src.length)throw new Error("Insuffici\
ent space to copy list");return buf.set(src,offset),src.length}}})(),hashString=(()=>{let LEN=Buffer.allocUnsafe(4);return(hash,buf)=>{
writeUInt32BE(LEN,buf.length,0),hash.update(LEN),hash.update(buf)}})();function generateKEXVal(len,hashName,secret,exchangeHash,sessionID,char){
let ret;if(len){let digest=createHash5(hashName).update(secret).update(exchangeHash).update(char).update(sessionID).digest();
for(;digest.length<len;){let chunk=createHash5(hashName).update(secret).update(exchangeHash).update(digest).digest(),extended2=Buffer.
allocUnsafe(digest.length+chunk.length);extended2.set(digest,0),extended2.set(chunk,digest.length),digest=extended2}digest.
length===len?ret=digest:ret=new FastBuffer(digest.buffer,digest.byteOffset,len)}else ret=EMPTY_BUFFER;return ret}function onKEXPayload(state,payload){
if(payload.length===0){this._debug&&this._debug("Inbound: Skipping empty packet payload");return}if(this._skipNextInboundPacket){
this._skipNextInboundPacket=!1;return}payload=this._packetRW.read.read(payload);let type=payload[0];if(!this._strictMode)
switch(type){case MESSAGE.IGNORE:case MESSAGE.UNIMPLEMENTED:case MESSAGE.DEBUG:return MESSAGE_HANDLERS||(MESSAGE_HANDLERS=
require_handlers()),MESSAGE_HANDLERS[type](this,payload)}switch(type){case MESSAGE.DISCONNECT:return MESSAGE_HANDLERS||(MESSAGE_HANDLERS=
require_handlers()),MESSAGE_HANDLERS[type](this,payload);case MESSAGE.KEXINIT:return state.firstPacket?(state.firstPacket=
!1,handleKexInit(this,payload)):doFatalError(this,"Received extra KEXINIT during handshake","handshake",DISCONNECT_REASON.
KEY_EXCHANGE_FAILED);default:if(type<20||type>49)return doFatalError(this,`Received unexpected packet type ${type}`,"han\
dshake",DISCONNECT_REASON.KEY_EXCHANGE_FAILED)}return this._kex.parse(payload)}function dhEstimate(neg){let csCipher=CIPHER_INFO[neg.
cs.cipher],scCipher=CIPHER_INFO[neg.sc.cipher],bits=Math.max(0,csCipher.sslName==="des-ede3-cbc"?14:csCipher.keyLen,csCipher.
blockLen,csCipher.ivLen,scCipher.sslName==="des-ede3-cbc"?14:scCipher.keyLen,scCipher.blockLen,scCipher.ivLen)*8;return bits<=
112?2048:bits<=128?3072:bits<=192?7680:8192}function trySendNEWKEYS(kex){if(!kex._sentNEWKEYS){kex._protocol._debug&&kex.
_protocol._debug("Outbound: Sending NEWKEYS");let p=kex._protocol._packetRW.write.allocStartKEX,packet=kex._protocol._packetRW.
write.alloc(1,!0);packet[p]=MESSAGE.NEWKEYS,kex._protocol._cipher.encrypt(kex._protocol._packetRW.write.finalize(packet,
!0)),kex._sentNEWKEYS=!0,kex._protocol._strictMode&&(kex._protocol._cipher.outSeqno=0)}}module2.exports={KexInit,kexinit,
onKEXPayload,DEFAULT_KEXINIT_CLIENT:new KexInit({kex:DEFAULT_KEX.concat(["ext-info-c","kex-strict-c-v00@openssh.com"]),serverHostKey:DEFAULT_SERVER_HOST_KEY,
cs:{cipher:DEFAULT_CIPHER,mac:DEFAULT_MAC,compress:DEFAULT_COMPRESSION,lang:[]},sc:{cipher:DEFAULT_CIPHER,mac:DEFAULT_MAC,
compress:DEFAULT_COMPRESSION,lang:[]}}),DEFAULT_KEXINIT_SERVER:new KexInit({kex:DEFAULT_KEX.concat(["kex-strict-s-v00@op\
enssh.com"]),serverHostKey:DEFAULT_SERVER_HOST_KEY,cs:{cipher:DEFAULT_CIPHER,mac:DEFAULT_MAC,compress:DEFAULT_COMPRESSION,
lang:[]},sc:{cipher:DEFAULT_CIPHER,mac:DEFAULT_MAC,compress:DEFAULT_COMPRESSION,lang:[]}}),HANDLERS:{[MESSAGE.KEXINIT]:handleKexInit}}}});var require_package=__commonJS({"node_modules/ssh2/package.json"(exports2,module2){module2.exports={name:"ssh2",version:"\
1.17.0",author:"Brian White <mscdex@mscdex.net>",description:"SSH2 client and server modules written in pure JavaScript \
for node.js",main:"./lib/index.js",engines:{node:">=10.16.0"},dependencies:{asn1:"^0.2.6","bcrypt-pbkdf":"^1.0.2"},devDependencies:{
"@mscdex/eslint-config":"^1.1.0",eslint:"^7.32.0"},optionalDependencies:{"cpu-features":"~0.0.10",nan:"^2.23.0"},scripts:{
install:"node install.js",rebuild:"node install.js",test:"node test/test.js",lint:"eslint --cache --report-unused-disabl\
e-directives --ext=.js .eslintrc.js examples lib test","lint:fix":"npm run lint -- --fix"},keywords:["ssh","ssh2","sftp",
"secure","shell","exec","remote","client"],licenses:[{type:"MIT",url:"http://github.com/mscdex/ssh2/raw/master/LICENSE"}],
repository:{type:"git",url:"http://github.com/mscdex/ssh2.git"}}}});var require_Protocol=__commonJS({"node_modules/ssh2/lib/protocol/Protocol.js"(exports2,module2){"use strict";init_define_SAVEPOINT();
var{inspect}=require("util"),{bindingAvailable,NullCipher,NullDecipher}=require_crypto(),{COMPAT_CHECKS,DISCONNECT_REASON,
eddsaSupported,MESSAGE,SIGNALS,TERMINAL_MODE}=require_constants(),{DEFAULT_KEXINIT_CLIENT,DEFAULT_KEXINIT_SERVER,KexInit,
kexinit,onKEXPayload}=require_kex(),{parseKey}=require_keyParser(),MESSAGE_HANDLERS=require_handlers(),{bufferCopy,bufferFill,
bufferSlice,convertSignature,sendPacket,writeUInt32BE}=require_utils(),{PacketReader,PacketWriter,ZlibPacketReader,ZlibPacketWriter}=require_zlib2(),
MODULE_VER=require_package().version,VALID_DISCONNECT_REASONS=new Map(Object.values(DISCONNECT_REASON).map(n=>[n,1])),IDENT_RAW=Buffer.
from(`SSH-2.0-ssh2js${MODULE_VER}`),IDENT=Buffer.from(`${IDENT_RAW}\r
`),MAX_LINE_LEN=8192,MAX_LINES=1024,PING_PAYLOAD=Buffer.from([MESSAGE.GLOBAL_REQUEST,0,0,0,21,107,101,101,112,97,108,105,
118,101,64,111,112,101,110,115,115,104,46,99,111,109,1]),NO_TERMINAL_MODES_BUFFER=Buffer.from([TERMINAL_MODE.TTY_OP_END]);
function noop(){}var Protocol=class{constructor(config2){let onWrite=config2.onWrite;if(typeof onWrite!="function")throw new Error(
"Missing onWrite function");this._onWrite=data=>{onWrite(data)};let onError=config2.onError;if(typeof onError!="function")
throw new Error("Missing onError function");this._onError=err=>{onError(err)};let debug=config2.debug;this._debug=typeof debug==
"function"?msg=>{debug(msg)}:void 0;let onHeader=config2.onHeader;this._onHeader=typeof onHeader=="function"?(...args)=>{
onHeader(...args)}:noop;let onPacket=config2.onPacket;this._onPacket=typeof onPacket=="function"?()=>{onPacket()}:noop;let onHandshakeComplete=config2.
onHandshakeComplete;typeof onHandshakeComplete!="function"&&(onHandshakeComplete=noop);let firstHandshake;this._onHandshakeComplete=
(...args)=>{this._debug&&this._debug("Handshake completed"),firstHandshake===void 0?firstHandshake=!0:firstHandshake=!1;
let oldQueue=this._queue;if(oldQueue){this._queue=void 0,this._debug&&this._debug(`Draining outbound queue (${oldQueue.length}\
) ...`);for(let i=0;i<oldQueue.length;++i){let data=oldQueue[i],finalized=this._packetRW.write.finalize(data);if(finalized===
data){let packet=this._cipher.allocPacket(data.length);packet.set(data,5),finalized=packet}sendPacket(this,finalized)}this.
_debug&&this._debug("... finished draining outbound queue")}firstHandshake&&this._server&&this._kex.remoteExtInfoEnabled&&
sendExtInfo(this),onHandshakeComplete(...args)},this._queue=void 0;let messageHandlers=config2.messageHandlers;typeof messageHandlers==
"object"&&messageHandlers!==null?this._handlers=messageHandlers:this._handlers={},this._onPayload=onPayload.bind(this),this.
_server=!!config2.server,this._banner=void 0;let greeting;if(this._server){if(typeof config2.hostKeys!="object"||config2.
hostKeys===null)throw new Error("Missing server host key(s)");this._hostKeys=config2.hostKeys,typeof config2.greeting=="\
string"&&config2.greeting.length&&(greeting=config2.greeting.slice(-2)===`\r
`?config2.greeting:`${config2.greeting}\r
`),typeof config2.banner=="string"&&config2.banner.length&&(this._banner=config2.banner.slice(-2)===`\r
`?config2.banner:`${config2.banner}\r
`)}else this._hostKeys=void 0;let offer=config2.offer;typeof offer!="object"||offer===null?offer=this._server?DEFAULT_KEXINIT_SERVER:
DEFAULT_KEXINIT_CLIENT:offer.constructor!==KexInit&&(this._server?offer.kex=offer.kex.concat(["kex-strict-s-v00@openssh.\
com"]):offer.kex=offer.kex.concat(["ext-info-c","kex-strict-c-v00@openssh.com"]),offer=new KexInit(offer)),this._kex=void 0,
this._strictMode=void 0,this._kexinit=void 0,this._offer=offer,this._cipher=new NullCipher(0,this._onWrite),this._decipher=
void 0,this._skipNextInboundPacket=!1,this._packetRW={read:new PacketReader,write:new PacketWriter(this)},this._hostVerifier=
!this._server&&typeof config2.hostVerifier=="function"?config2.hostVerifier:void 0,this._parse=parseHeader,this._buffer=
void 0,this._authsQueue=[],this._authenticated=!1,this._remoteIdentRaw=void 0;let sentIdent;if(typeof config2.ident=="st\
ring")this._identRaw=Buffer.from(`SSH-2.0-${config2.ident}`),sentIdent=Buffer.allocUnsafe(this._identRaw.length+2),sentIdent.
set(this._identRaw,0),sentIdent[sentIdent.length-2]=13,sentIdent[sentIdent.length-1]=10;else if(Buffer.isBuffer(config2.
ident)){let fullIdent=Buffer.allocUnsafe(8+config2.ident.length);fullIdent.latin1Write("SSH-2.0-",0,8),fullIdent.set(config2.
ident,8),this._identRaw=fullIdent,sentIdent=Buffer.allocUnsafe(fullIdent.length+2),sentIdent.set(fullIdent,0),sentIdent[sentIdent.
length-2]=13,sentIdent[sentIdent.length-1]=10}else this._identRaw=IDENT_RAW,sentIdent=IDENT;this._compatFlags=0,this._debug&&
(bindingAvailable?this._debug("Custom crypto binding available"):this._debug("Custom crypto binding not available")),this.
_debug&&this._debug(`Local ident: ${inspect(this._identRaw.toString())}`),this.start=()=>{this.start=void 0,greeting&&this.
_onWrite(greeting),this._onWrite(sentIdent)}}_destruct(reason){this._packetRW.read.cleanup(),this._packetRW.write.cleanup(),
this._cipher&&this._cipher.free(),this._decipher&&this._decipher.free(),(typeof reason!="string"||reason.length===0)&&(reason=
"fatal error"),this.parse=()=>{throw new Error(`Instance unusable after ${reason}`)},this._onWrite=()=>{throw new Error(
`Instance unusable after ${reason}`)},this._destruct=void 0}cleanup(){this._destruct&&this._destruct()}parse(chunk,i,len){
for(;i<len;)i=this._parse(chunk,i,len)}disconnect(reason){let p=this._packetRW.write.allocStartKEX,packet=this._packetRW.
write.alloc(13,!0),end2=p+13;VALID_DISCONNECT_REASONS.has(reason)||(reason=DISCONNECT_REASON.PROTOCOL_ERROR),packet[p]=MESSAGE.
DISCONNECT,writeUInt32BE(packet,reason,++p),packet.fill(0,p+=4,end2),this._debug&&this._debug(`Outbound: Sending DISCONN\
ECT (${reason})`),sendPacket(this,this._packetRW.write.finalize(packet,!0),!0)}ping(){let p=this._packetRW.write.allocStart,
packet=this._packetRW.write.alloc(PING_PAYLOAD.length);packet.set(PING_PAYLOAD,p),this._debug&&this._debug("Outbound: Se\
nding ping (GLOBAL_REQUEST: keepalive@openssh.com)"),sendPacket(this,this._packetRW.write.finalize(packet))}rekey(){this.
_kexinit===void 0?(this._debug&&this._debug("Outbound: Initiated explicit rekey"),this._queue=[],kexinit(this)):this._debug&&
this._debug("Outbound: Ignoring rekey during handshake")}requestSuccess(data){let p=this._packetRW.write.allocStart,packet;
Buffer.isBuffer(data)?(packet=this._packetRW.write.alloc(1+data.length),packet[p]=MESSAGE.REQUEST_SUCCESS,packet.set(data,
++p)):(packet=this._packetRW.write.alloc(1),packet[p]=MESSAGE.REQUEST_SUCCESS),this._debug&&this._debug("Outbound: Sendi\
ng REQUEST_SUCCESS"),sendPacket(this,this._packetRW.write.finalize(packet))}requestFailure(){let p=this._packetRW.write.
allocStart,packet=this._packetRW.write.alloc(1);packet[p]=MESSAGE.REQUEST_FAILURE,this._debug&&this._debug("Outbound: Se\
nding REQUEST_FAILURE"),sendPacket(this,this._packetRW.write.finalize(packet))}channelSuccess(chan){let p=this._packetRW.
write.allocStart,packet=this._packetRW.write.alloc(5);packet[p]=MESSAGE.CHANNEL_SUCCESS,writeUInt32BE(packet,chan,++p),this.
_debug&&this._debug(`Outbound: Sending CHANNEL_SUCCESS (r:${chan})`),sendPacket(this,this._packetRW.write.finalize(packet))}channelFailure(chan){
let p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(5);packet[p]=MESSAGE.CHANNEL_FAILURE,writeUInt32BE(
packet,chan,++p),this._debug&&this._debug(`Outbound: Sending CHANNEL_FAILURE (r:${chan})`),sendPacket(this,this._packetRW.
write.finalize(packet))}channelEOF(chan){let p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(5);packet[p]=
MESSAGE.CHANNEL_EOF,writeUInt32BE(packet,chan,++p),this._debug&&this._debug(`Outbound: Sending CHANNEL_EOF (r:${chan})`),
sendPacket(this,this._packetRW.write.finalize(packet))}channelClose(chan){let p=this._packetRW.write.allocStart,packet=this.
_packetRW.write.alloc(5);packet[p]=MESSAGE.CHANNEL_CLOSE,writeUInt32BE(packet,chan,++p),this._debug&&this._debug(`Outbou\
nd: Sending CHANNEL_CLOSE (r:${chan})`),sendPacket(this,this._packetRW.write.finalize(packet))}channelWindowAdjust(chan,amount){
let p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(9);packet[p]=MESSAGE.CHANNEL_WINDOW_ADJUST,writeUInt32BE(
packet,chan,++p),writeUInt32BE(packet,amount,p+=4),this._debug&&this._debug(`Outbound: Sending CHANNEL_WINDOW_ADJUST (r:${chan}\
, ${amount})`),sendPacket(this,this._packetRW.write.finalize(packet))}channelData(chan,data){let isBuffer=Buffer.isBuffer(
data),dataLen=isBuffer?data.length:Buffer.byteLength(data),p=this._packetRW.write.allocStart,packet=this._packetRW.write.
alloc(9+dataLen);packet[p]=MESSAGE.CHANNEL_DATA,writeUInt32BE(packet,chan,++p),writeUInt32BE(packet,dataLen,p+=4),isBuffer?
packet.set(data,p+=4):packet.utf8Write(data,p+=4,dataLen),this._debug&&this._debug(`Outbound: Sending CHANNEL_DATA (r:${chan}\
, ${dataLen})`),sendPacket(this,this._packetRW.write.finalize(packet))}channelExtData(chan,data,type){let isBuffer=Buffer.
isBuffer(data),dataLen=isBuffer?data.length:Buffer.byteLength(data),p=this._packetRW.write.allocStart,packet=this._packetRW.
write.alloc(13+dataLen);packet[p]=MESSAGE.CHANNEL_EXTENDED_DATA,writeUInt32BE(packet,chan,++p),writeUInt32BE(packet,type,
p+=4),writeUInt32BE(packet,dataLen,p+=4),isBuffer?packet.set(data,p+=4):packet.utf8Write(data,p+=4,dataLen),this._debug&&
this._debug(`Outbound: Sending CHANNEL_EXTENDED_DATA (r:${chan})`),sendPacket(this,this._packetRW.write.finalize(packet))}channelOpenConfirm(remote,local,initWindow,maxPacket){
let p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(17);packet[p]=MESSAGE.CHANNEL_OPEN_CONFIRMATION,
writeUInt32BE(packet,remote,++p),writeUInt32BE(packet,local,p+=4),writeUInt32BE(packet,initWindow,p+=4),writeUInt32BE(packet,
maxPacket,p+=4),this._debug&&this._debug(`Outbound: Sending CHANNEL_OPEN_CONFIRMATION (r:${remote}, l:${local})`),sendPacket(
this,this._packetRW.write.finalize(packet))}channelOpenFail(remote,reason,desc){typeof desc!="string"&&(desc="");let descLen=Buffer.
byteLength(desc),p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(13+descLen+4);packet[p]=MESSAGE.CHANNEL_OPEN_FAILURE,
writeUInt32BE(packet,remote,++p),writeUInt32BE(packet,reason,p+=4),writeUInt32BE(packet,descLen,p+=4),p+=4,descLen&&(packet.
utf8Write(desc,p,descLen),p+=descLen),writeUInt32BE(packet,0,p),this._debug&&this._debug(`Outbound: Sending CHANNEL_OPEN\
_FAILURE (r:${remote})`),sendPacket(this,this._packetRW.write.finalize(packet))}service(name){if(this._server)throw new Error(
"Client-only method called in server mode");let nameLen=Buffer.byteLength(name),p=this._packetRW.write.allocStart,packet=this.
_packetRW.write.alloc(5+nameLen);packet[p]=MESSAGE.SERVICE_REQUEST,writeUInt32BE(packet,nameLen,++p),packet.utf8Write(name,
p+=4,nameLen),this._debug&&this._debug(`Outbound: Sending SERVICE_REQUEST (${name})`),sendPacket(this,this._packetRW.write.
finalize(packet))}authPassword(username,password,newPassword){if(this._server)throw new Error("Client-only method called\
 in server mode");let userLen=Buffer.byteLength(username),passLen=Buffer.byteLength(password),newPassLen=newPassword?Buffer.
byteLength(newPassword):0,p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(5+userLen+4+14+4+8+1+4+passLen+
(newPassword?4+newPassLen:0));packet[p]=MESSAGE.USERAUTH_REQUEST,writeUInt32BE(packet,userLen,++p),packet.utf8Write(username,
p+=4,userLen),writeUInt32BE(packet,14,p+=userLen),packet.utf8Write("ssh-connection",p+=4,14),writeUInt32BE(packet,8,p+=14),
packet.utf8Write("password",p+=4,8),packet[p+=8]=newPassword?1:0,writeUInt32BE(packet,passLen,++p),Buffer.isBuffer(password)?
bufferCopy(password,packet,0,passLen,p+=4):packet.utf8Write(password,p+=4,passLen),newPassword?(writeUInt32BE(packet,newPassLen,
p+=passLen),Buffer.isBuffer(newPassword)?bufferCopy(newPassword,packet,0,newPassLen,p+=4):packet.utf8Write(newPassword,p+=
4,newPassLen),this._debug&&this._debug("Outbound: Sending USERAUTH_REQUEST (changed password)")):this._debug&&this._debug(
"Outbound: Sending USERAUTH_REQUEST (password)"),this._authsQueue.push("password"),sendPacket(this,this._packetRW.write.
finalize(packet))}authPK(username,pubKey,keyAlgo,cbSign){if(this._server)throw new Error("Client-only method called in s\
erver mode");if(pubKey=parseKey(pubKey),pubKey instanceof Error)throw new Error("Invalid key");let keyType2=pubKey.type;
pubKey=pubKey.getPublicSSH(),typeof keyAlgo=="function"&&(cbSign=keyAlgo,keyAlgo=void 0),keyAlgo||(keyAlgo=keyType2);let userLen=Buffer.
byteLength(username),algoLen=Buffer.byteLength(keyAlgo),pubKeyLen=pubKey.length,sessionID=this._kex.sessionID,sesLen=sessionID.
length,payloadLen=(cbSign?4+sesLen:0)+1+4+userLen+4+14+4+9+1+4+algoLen+4+pubKeyLen,packet,p;if(cbSign?(packet=Buffer.allocUnsafe(
payloadLen),p=0,writeUInt32BE(packet,sesLen,p),packet.set(sessionID,p+=4),p+=sesLen):(packet=this._packetRW.write.alloc(
payloadLen),p=this._packetRW.write.allocStart),packet[p]=MESSAGE.USERAUTH_REQUEST,writeUInt32BE(packet,userLen,++p),packet.
utf8Write(username,p+=4,userLen),writeUInt32BE(packet,14,p+=userLen),packet.utf8Write("ssh-connection",p+=4,14),writeUInt32BE(
packet,9,p+=14),packet.utf8Write("publickey",p+=4,9),packet[p+=9]=cbSign?1:0,writeUInt32BE(packet,algoLen,++p),packet.utf8Write(
keyAlgo,p+=4,algoLen),writeUInt32BE(packet,pubKeyLen,p+=algoLen),packet.set(pubKey,p+=4),!cbSign){this._authsQueue.push(
"publickey"),this._debug&&this._debug("Outbound: Sending USERAUTH_REQUEST (publickey -- check)"),sendPacket(this,this._packetRW.
write.finalize(packet));return}cbSign(packet,signature=>{if(signature=convertSignature(signature,keyType2),signature===!1)
throw new Error("Error while converting handshake signature");let sigLen=signature.length;p=this._packetRW.write.allocStart,
packet=this._packetRW.write.alloc(5+userLen+4+14+4+9+1+4+algoLen+4+pubKeyLen+4+4+algoLen+4+sigLen),packet[p]=MESSAGE.USERAUTH_REQUEST,
writeUInt32BE(packet,userLen,++p),packet.utf8Write(username,p+=4,userLen),writeUInt32BE(packet,14,p+=userLen),packet.utf8Write(
"ssh-connection",p+=4,14),writeUInt32BE(packet,9,p+=14),packet.utf8Write("publickey",p+=4,9),packet[p+=9]=1,writeUInt32BE(
packet,algoLen,++p),packet.utf8Write(keyAlgo,p+=4,algoLen),writeUInt32BE(packet,pubKeyLen,p+=algoLen),packet.set(pubKey,
p+=4),writeUInt32BE(packet,4+algoLen+4+sigLen,p+=pubKeyLen),writeUInt32BE(packet,algoLen,p+=4),packet.utf8Write(keyAlgo,
p+=4,algoLen),writeUInt32BE(packet,sigLen,p+=algoLen),packet.set(signature,p+=4),this._authsQueue.push("publickey"),this.
_debug&&this._debug("Outbound: Sending USERAUTH_REQUEST (publickey)"),sendPacket(this,this._packetRW.write.finalize(packet))})}authHostbased(username,pubKey,hostname2,userlocal,keyAlgo,cbSign){
if(this._server)throw new Error("Client-only method called in server mode");if(pubKey=parseKey(pubKey),pubKey instanceof
Error)throw new Error("Invalid key");let keyType2=pubKey.type;pubKey=pubKey.getPublicSSH(),typeof keyAlgo=="function"&&(cbSign=
keyAlgo,keyAlgo=void 0),keyAlgo||(keyAlgo=keyType2);let userLen=Buffer.byteLength(username),algoLen=Buffer.byteLength(keyAlgo),
pubKeyLen=pubKey.length,sessionID=this._kex.sessionID,sesLen=sessionID.length,hostnameLen=Buffer.byteLength(hostname2),userlocalLen=Buffer.
byteLength(userlocal),data=Buffer.allocUnsafe(4+sesLen+1+4+userLen+4+14+4+9+4+algoLen+4+pubKeyLen+4+hostnameLen+4+userlocalLen),
p=0;writeUInt32BE(data,sesLen,p),data.set(sessionID,p+=4),data[p+=sesLen]=MESSAGE.USERAUTH_REQUEST,writeUInt32BE(data,userLen,
++p),data.utf8Write(username,p+=4,userLen),writeUInt32BE(data,14,p+=userLen),data.utf8Write("ssh-connection",p+=4,14),writeUInt32BE(
data,9,p+=14),data.utf8Write("hostbased",p+=4,9),writeUInt32BE(data,algoLen,p+=9),data.utf8Write(keyAlgo,p+=4,algoLen),writeUInt32BE(
data,pubKeyLen,p+=algoLen),data.set(pubKey,p+=4),writeUInt32BE(data,hostnameLen,p+=pubKeyLen),data.utf8Write(hostname2,p+=
4,hostnameLen),writeUInt32BE(data,userlocalLen,p+=hostnameLen),data.utf8Write(userlocal,p+=4,userlocalLen),cbSign(data,signature=>{
if(signature=convertSignature(signature,keyType2),!signature)throw new Error("Error while converting handshake signature");
let sigLen=signature.length,reqDataLen=data.length-sesLen-4;p=this._packetRW.write.allocStart;let packet=this._packetRW.
write.alloc(reqDataLen+4+4+algoLen+4+sigLen);bufferCopy(data,packet,4+sesLen,data.length,p),writeUInt32BE(packet,4+algoLen+
4+sigLen,p+=reqDataLen),writeUInt32BE(packet,algoLen,p+=4),packet.utf8Write(keyAlgo,p+=4,algoLen),writeUInt32BE(packet,sigLen,
p+=algoLen),packet.set(signature,p+=4),this._authsQueue.push("hostbased"),this._debug&&this._debug("Outbound: Sending US\
ERAUTH_REQUEST (hostbased)"),sendPacket(this,this._packetRW.write.finalize(packet))})}authKeyboard(username){if(this._server)
throw new Error("Client-only method called in server mode");let userLen=Buffer.byteLength(username),p=this._packetRW.write.
allocStart,packet=this._packetRW.write.alloc(5+userLen+4+14+4+20+4+4);packet[p]=MESSAGE.USERAUTH_REQUEST,writeUInt32BE(packet,
userLen,++p),packet.utf8Write(username,p+=4,userLen),writeUInt32BE(packet,14,p+=userLen),packet.utf8Write("ssh-connectio\
n",p+=4,14),writeUInt32BE(packet,20,p+=14),packet.utf8Write("keyboard-interactive",p+=4,20),writeUInt32BE(packet,0,p+=20),
writeUInt32BE(packet,0,p+=4),this._authsQueue.push("keyboard-interactive"),this._debug&&this._debug("Outbound: Sending U\
SERAUTH_REQUEST (keyboard-interactive)"),sendPacket(this,this._packetRW.write.finalize(packet))}authNone(username){if(this.
_server)throw new Error("Client-only method called in server mode");let userLen=Buffer.byteLength(username),p=this._packetRW.
write.allocStart,packet=this._packetRW.write.alloc(5+userLen+4+14+4+4);packet[p]=MESSAGE.USERAUTH_REQUEST,writeUInt32BE(
packet,userLen,++p),packet.utf8Write(username,p+=4,userLen),writeUInt32BE(packet,14,p+=userLen),packet.utf8Write("ssh-co\
nnection",p+=4,14),writeUInt32BE(packet,4,p+=14),packet.utf8Write("none",p+=4,4),this._authsQueue.push("none"),this._debug&&
this._debug("Outbound: Sending USERAUTH_REQUEST (none)"),sendPacket(this,this._packetRW.write.finalize(packet))}authInfoRes(responses){
if(this._server)throw new Error("Client-only method called in server mode");let responsesTotalLen=0,responseLens;if(responses){
responseLens=new Array(responses.length);for(let i=0;i<responses.length;++i){let len=Buffer.byteLength(responses[i]);responseLens[i]=
len,responsesTotalLen+=4+len}}let p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(5+responsesTotalLen);
if(packet[p]=MESSAGE.USERAUTH_INFO_RESPONSE,responses){writeUInt32BE(packet,responses.length,++p),p+=4;for(let i=0;i<responses.
length;++i){let len=responseLens[i];writeUInt32BE(packet,len,p),p+=4,len&&(packet.utf8Write(responses[i],p,len),p+=len)}}else
writeUInt32BE(packet,0,++p);this._debug&&this._debug("Outbound: Sending USERAUTH_INFO_RESPONSE"),sendPacket(this,this._packetRW.
write.finalize(packet))}tcpipForward(bindAddr,bindPort,wantReply){if(this._server)throw new Error("Client-only method ca\
lled in server mode");let addrLen=Buffer.byteLength(bindAddr),p=this._packetRW.write.allocStart,packet=this._packetRW.write.
alloc(23+addrLen+4);packet[p]=MESSAGE.GLOBAL_REQUEST,writeUInt32BE(packet,13,++p),packet.utf8Write("tcpip-forward",p+=4,
13),packet[p+=13]=wantReply===void 0||wantReply===!0?1:0,writeUInt32BE(packet,addrLen,++p),packet.utf8Write(bindAddr,p+=
4,addrLen),writeUInt32BE(packet,bindPort,p+=addrLen),this._debug&&this._debug("Outbound: Sending GLOBAL_REQUEST (tcpip-f\
orward)"),sendPacket(this,this._packetRW.write.finalize(packet))}cancelTcpipForward(bindAddr,bindPort,wantReply){if(this.
_server)throw new Error("Client-only method called in server mode");let addrLen=Buffer.byteLength(bindAddr),p=this._packetRW.
write.allocStart,packet=this._packetRW.write.alloc(30+addrLen+4);packet[p]=MESSAGE.GLOBAL_REQUEST,writeUInt32BE(packet,20,
++p),packet.utf8Write("cancel-tcpip-forward",p+=4,20),packet[p+=20]=wantReply===void 0||wantReply===!0?1:0,writeUInt32BE(
packet,addrLen,++p),packet.utf8Write(bindAddr,p+=4,addrLen),writeUInt32BE(packet,bindPort,p+=addrLen),this._debug&&this.
_debug("Outbound: Sending GLOBAL_REQUEST (cancel-tcpip-forward)"),sendPacket(this,this._packetRW.write.finalize(packet))}openssh_streamLocalForward(socketPath,wantReply){
if(this._server)throw new Error("Client-only method called in server mode");let socketPathLen=Buffer.byteLength(socketPath),
p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(41+socketPathLen);packet[p]=MESSAGE.GLOBAL_REQUEST,writeUInt32BE(
packet,31,++p),packet.utf8Write("streamlocal-forward@openssh.com",p+=4,31),packet[p+=31]=wantReply===void 0||wantReply===
!0?1:0,writeUInt32BE(packet,socketPathLen,++p),packet.utf8Write(socketPath,p+=4,socketPathLen),this._debug&&this._debug(
"Outbound: Sending GLOBAL_REQUEST (streamlocal-forward@openssh.com)"),sendPacket(this,this._packetRW.write.finalize(packet))}openssh_cancelStreamLocalForward(socketPath,wantReply){
if(this._server)throw new Error("Client-only method called in server mode");let socketPathLen=Buffer.byteLength(socketPath),
p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(48+socketPathLen);packet[p]=MESSAGE.GLOBAL_REQUEST,writeUInt32BE(
packet,38,++p),packet.utf8Write("cancel-streamlocal-forward@openssh.com",p+=4,38),packet[p+=38]=wantReply===void 0||wantReply===
!0?1:0,writeUInt32BE(packet,socketPathLen,++p),packet.utf8Write(socketPath,p+=4,socketPathLen),this._debug&&this._debug(
"Outbound: Sending GLOBAL_REQUEST (cancel-streamlocal-forward@openssh.com)"),sendPacket(this,this._packetRW.write.finalize(
packet))}directTcpip(chan,initWindow,maxPacket,cfg){if(this._server)throw new Error("Client-only method called in server\
 mode");let srcLen=Buffer.byteLength(cfg.srcIP),dstLen=Buffer.byteLength(cfg.dstIP),p=this._packetRW.write.allocStart,packet=this.
_packetRW.write.alloc(33+srcLen+4+4+dstLen+4);packet[p]=MESSAGE.CHANNEL_OPEN,writeUInt32BE(packet,12,++p),packet.utf8Write(
"direct-tcpip",p+=4,12),writeUInt32BE(packet,chan,p+=12),writeUInt32BE(packet,initWindow,p+=4),writeUInt32BE(packet,maxPacket,
p+=4),writeUInt32BE(packet,dstLen,p+=4),packet.utf8Write(cfg.dstIP,p+=4,dstLen),writeUInt32BE(packet,cfg.dstPort,p+=dstLen),
writeUInt32BE(packet,srcLen,p+=4),packet.utf8Write(cfg.srcIP,p+=4,srcLen),writeUInt32BE(packet,cfg.srcPort,p+=srcLen),this.
_debug&&this._debug(`Outbound: Sending CHANNEL_OPEN (r:${chan}, direct-tcpip)`),sendPacket(this,this._packetRW.write.finalize(
packet))}openssh_directStreamLocal(chan,initWindow,maxPacket,cfg){if(this._server)throw new Error("Client-only method ca\
lled in server mode");let pathLen=Buffer.byteLength(cfg.socketPath),p=this._packetRW.write.allocStart,packet=this._packetRW.
write.alloc(51+pathLen+4+4);packet[p]=MESSAGE.CHANNEL_OPEN,writeUInt32BE(packet,30,++p),packet.utf8Write("direct-streaml\
ocal@openssh.com",p+=4,30),writeUInt32BE(packet,chan,p+=30),writeUInt32BE(packet,initWindow,p+=4),writeUInt32BE(packet,maxPacket,
p+=4),writeUInt32BE(packet,pathLen,p+=4),packet.utf8Write(cfg.socketPath,p+=4,pathLen),bufferFill(packet,0,p+=pathLen,p+
8),this._debug&&this._debug(`Outbound: Sending CHANNEL_OPEN (r:${chan}, direct-streamlocal@openssh.com)`),sendPacket(this,
this._packetRW.write.finalize(packet))}openssh_noMoreSessions(wantReply){if(this._server)throw new Error("Client-only me\
thod called in server mode");let p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(34);packet[p]=MESSAGE.
GLOBAL_REQUEST,writeUInt32BE(packet,28,++p),packet.utf8Write("no-more-sessions@openssh.com",p+=4,28),packet[p+=28]=wantReply===
void 0||wantReply===!0?1:0,this._debug&&this._debug("Outbound: Sending GLOBAL_REQUEST (no-more-sessions@openssh.com)"),sendPacket(
this,this._packetRW.write.finalize(packet))}session(chan,initWindow,maxPacket){if(this._server)throw new Error("Client-o\
nly method called in server mode");let p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(24);packet[p]=
MESSAGE.CHANNEL_OPEN,writeUInt32BE(packet,7,++p),packet.utf8Write("session",p+=4,7),writeUInt32BE(packet,chan,p+=7),writeUInt32BE(
packet,initWindow,p+=4),writeUInt32BE(packet,maxPacket,p+=4),this._debug&&this._debug(`Outbound: Sending CHANNEL_OPEN (r\
:${chan}, session)`),sendPacket(this,this._packetRW.write.finalize(packet))}windowChange(chan,rows,cols,height,width){if(this.
_server)throw new Error("Client-only method called in server mode");let p=this._packetRW.write.allocStart,packet=this._packetRW.
write.alloc(39);packet[p]=MESSAGE.CHANNEL_REQUEST,writeUInt32BE(packet,chan,++p),writeUInt32BE(packet,13,p+=4),packet.utf8Write(
"window-change",p+=4,13),packet[p+=13]=0,writeUInt32BE(packet,cols,++p),writeUInt32BE(packet,rows,p+=4),writeUInt32BE(packet,
width,p+=4),writeUInt32BE(packet,height,p+=4),this._debug&&this._debug(`Outbound: Sending CHANNEL_REQUEST (r:${chan}, wi\
ndow-change)`),sendPacket(this,this._packetRW.write.finalize(packet))}pty(chan,rows,cols,height,width,term,modes,wantReply){
if(this._server)throw new Error("Client-only method called in server mode");(!term||!term.length)&&(term="vt100"),modes&&
!Buffer.isBuffer(modes)&&!Array.isArray(modes)&&typeof modes=="object"&&modes!==null&&(modes=modesToBytes(modes)),(!modes||
!modes.length)&&(modes=NO_TERMINAL_MODES_BUFFER);let termLen=term.length,modesLen=modes.length,p=this._packetRW.write.allocStart,
packet=this._packetRW.write.alloc(21+termLen+4+4+4+4+4+modesLen);if(packet[p]=MESSAGE.CHANNEL_REQUEST,writeUInt32BE(packet,
chan,++p),writeUInt32BE(packet,7,p+=4),packet.utf8Write("pty-req",p+=4,7),packet[p+=7]=wantReply===void 0||wantReply===!0?
1:0,writeUInt32BE(packet,termLen,++p),packet.utf8Write(term,p+=4,termLen),writeUInt32BE(packet,cols,p+=termLen),writeUInt32BE(
packet,rows,p+=4),writeUInt32BE(packet,width,p+=4),writeUInt32BE(packet,height,p+=4),writeUInt32BE(packet,modesLen,p+=4),
p+=4,Array.isArray(modes))for(let i=0;i<modesLen;++i)packet[p++]=modes[i];else Buffer.isBuffer(modes)&&packet.set(modes,
p);this._debug&&this._debug(`Outbound: Sending CHANNEL_REQUEST (r:${chan}, pty-req)`),sendPacket(this,this._packetRW.write.
finalize(packet))}shell(chan,wantReply){if(this._server)throw new Error("Client-only method called in server mode");let p=this.
_packetRW.write.allocStart,packet=this._packetRW.write.alloc(15);packet[p]=MESSAGE.CHANNEL_REQUEST,writeUInt32BE(packet,
chan,++p),writeUInt32BE(packet,5,p+=4),packet.utf8Write("shell",p+=4,5),packet[p+=5]=wantReply===void 0||wantReply===!0?
1:0,this._debug&&this._debug(`Outbound: Sending CHANNEL_REQUEST (r:${chan}, shell)`),sendPacket(this,this._packetRW.write.
finalize(packet))}exec(chan,cmd,wantReply){if(this._server)throw new Error("Client-only method called in server mode");let isBuf=Buffer.
isBuffer(cmd),cmdLen=isBuf?cmd.length:Buffer.byteLength(cmd),p=this._packetRW.write.allocStart,packet=this._packetRW.write.
alloc(18+cmdLen);packet[p]=MESSAGE.CHANNEL_REQUEST,writeUInt32BE(packet,chan,++p),writeUInt32BE(packet,4,p+=4),packet.utf8Write(
"exec",p+=4,4),packet[p+=4]=wantReply===void 0||wantReply===!0?1:0,writeUInt32BE(packet,cmdLen,++p),isBuf?packet.set(cmd,
p+=4):packet.utf8Write(cmd,p+=4,cmdLen),this._debug&&this._debug(`Outbound: Sending CHANNEL_REQUEST (r:${chan}, exec: ${cmd}\
)`),sendPacket(this,this._packetRW.write.finalize(packet))}signal(chan,signal2){if(this._server)throw new Error("Client-\
only method called in server mode");let origSignal=signal2;if(signal2=signal2.toUpperCase(),signal2.slice(0,3)==="SIG"&&
(signal2=signal2.slice(3)),SIGNALS[signal2]!==1)throw new Error(`Invalid signal: ${origSignal}`);let signalLen=signal2.length,
p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(20+signalLen);packet[p]=MESSAGE.CHANNEL_REQUEST,writeUInt32BE(
packet,chan,++p),writeUInt32BE(packet,6,p+=4),packet.utf8Write("signal",p+=4,6),packet[p+=6]=0,writeUInt32BE(packet,signalLen,
++p),packet.utf8Write(signal2,p+=4,signalLen),this._debug&&this._debug(`Outbound: Sending CHANNEL_REQUEST (r:${chan}, si\
gnal: ${signal2})`),sendPacket(this,this._packetRW.write.finalize(packet))}env(chan,key,val,wantReply){if(this._server)throw new Error(
"Client-only method called in server mode");let keyLen=Buffer.byteLength(key),isBuf=Buffer.isBuffer(val),valLen=isBuf?val.
length:Buffer.byteLength(val),p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(17+keyLen+4+valLen);packet[p]=
MESSAGE.CHANNEL_REQUEST,writeUInt32BE(packet,chan,++p),writeUInt32BE(packet,3,p+=4),packet.utf8Write("env",p+=4,3),packet[p+=
3]=wantReply===void 0||wantReply===!0?1:0,writeUInt32BE(packet,keyLen,++p),packet.utf8Write(key,p+=4,keyLen),writeUInt32BE(
packet,valLen,p+=keyLen),isBuf?packet.set(val,p+=4):packet.utf8Write(val,p+=4,valLen),this._debug&&this._debug(`Outbound\
: Sending CHANNEL_REQUEST (r:${chan}, env: ${key}=${val})`),sendPacket(this,this._packetRW.write.finalize(packet))}x11Forward(chan,cfg,wantReply){
if(this._server)throw new Error("Client-only method called in server mode");let protocol=cfg.protocol,cookie=cfg.cookie,
isBufProto=Buffer.isBuffer(protocol),protoLen=isBufProto?protocol.length:Buffer.byteLength(protocol),isBufCookie=Buffer.
isBuffer(cookie),cookieLen=isBufCookie?cookie.length:Buffer.byteLength(cookie),p=this._packetRW.write.allocStart,packet=this.
_packetRW.write.alloc(22+protoLen+4+cookieLen+4);packet[p]=MESSAGE.CHANNEL_REQUEST,writeUInt32BE(packet,chan,++p),writeUInt32BE(
packet,7,p+=4),packet.utf8Write("x11-req",p+=4,7),packet[p+=7]=wantReply===void 0||wantReply===!0?1:0,packet[++p]=cfg.single?
1:0,writeUInt32BE(packet,protoLen,++p),isBufProto?packet.set(protocol,p+=4):packet.utf8Write(protocol,p+=4,protoLen),writeUInt32BE(
packet,cookieLen,p+=protoLen),isBufCookie?packet.set(cookie,p+=4):packet.latin1Write(cookie,p+=4,cookieLen),writeUInt32BE(
packet,cfg.screen||0,p+=cookieLen),this._debug&&this._debug(`Outbound: Sending CHANNEL_REQUEST (r:${chan}, x11-req)`),sendPacket(
this,this._packetRW.write.finalize(packet))}subsystem(chan,name,wantReply){if(this._server)throw new Error("Client-only \
method called in server mode");let nameLen=Buffer.byteLength(name),p=this._packetRW.write.allocStart,packet=this._packetRW.
write.alloc(23+nameLen);packet[p]=MESSAGE.CHANNEL_REQUEST,writeUInt32BE(packet,chan,++p),writeUInt32BE(packet,9,p+=4),packet.
utf8Write("subsystem",p+=4,9),packet[p+=9]=wantReply===void 0||wantReply===!0?1:0,writeUInt32BE(packet,nameLen,++p),packet.
utf8Write(name,p+=4,nameLen),this._debug&&this._debug(`Outbound: Sending CHANNEL_REQUEST (r:${chan}, subsystem: ${name})`),
sendPacket(this,this._packetRW.write.finalize(packet))}openssh_agentForward(chan,wantReply){if(this._server)throw new Error(
"Client-only method called in server mode");let p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(36);
packet[p]=MESSAGE.CHANNEL_REQUEST,writeUInt32BE(packet,chan,++p),writeUInt32BE(packet,26,p+=4),packet.utf8Write("auth-ag\
ent-req@openssh.com",p+=4,26),packet[p+=26]=wantReply===void 0||wantReply===!0?1:0,this._debug&&this._debug(`Outbound: S\
ending CHANNEL_REQUEST (r:${chan}, auth-agent-req@openssh.com)`),sendPacket(this,this._packetRW.write.finalize(packet))}openssh_hostKeysProve(keys){
if(this._server)throw new Error("Client-only method called in server mode");let keysTotal=0,publicKeys=[];for(let key of keys){
let publicKey=key.getPublicSSH();keysTotal+=4+publicKey.length,publicKeys.push(publicKey)}let p=this._packetRW.write.allocStart,
packet=this._packetRW.write.alloc(35+keysTotal);packet[p]=MESSAGE.GLOBAL_REQUEST,writeUInt32BE(packet,29,++p),packet.utf8Write(
"hostkeys-prove-00@openssh.com",p+=4,29),packet[p+=29]=1,++p;for(let buf of publicKeys)writeUInt32BE(packet,buf.length,p),
bufferCopy(buf,packet,0,buf.length,p+=4),p+=buf.length;this._debug&&this._debug("Outbound: Sending GLOBAL_REQUEST (hostk\
eys-prove-00@openssh.com)"),sendPacket(this,this._packetRW.write.finalize(packet))}serviceAccept(svcName){if(!this._server)
throw new Error("Server-only method called in client mode");let svcNameLen=Buffer.byteLength(svcName),p=this._packetRW.write.
allocStart,packet=this._packetRW.write.alloc(5+svcNameLen);if(packet[p]=MESSAGE.SERVICE_ACCEPT,writeUInt32BE(packet,svcNameLen,
++p),packet.utf8Write(svcName,p+=4,svcNameLen),this._debug&&this._debug(`Outbound: Sending SERVICE_ACCEPT (${svcName})`),
sendPacket(this,this._packetRW.write.finalize(packet)),this._server&&this._banner&&svcName==="ssh-userauth"){let banner=this.
_banner;this._banner=void 0;let bannerLen=Buffer.byteLength(banner);p=this._packetRW.write.allocStart;let packet2=this._packetRW.
write.alloc(5+bannerLen+4);packet2[p]=MESSAGE.USERAUTH_BANNER,writeUInt32BE(packet2,bannerLen,++p),packet2.utf8Write(banner,
p+=4,bannerLen),writeUInt32BE(packet2,0,p+=bannerLen),this._debug&&this._debug("Outbound: Sending USERAUTH_BANNER"),sendPacket(
this,this._packetRW.write.finalize(packet2))}}forwardedTcpip(chan,initWindow,maxPacket,cfg){if(!this._server)throw new Error(
"Server-only method called in client mode");let boundAddrLen=Buffer.byteLength(cfg.boundAddr),remoteAddrLen=Buffer.byteLength(
cfg.remoteAddr),p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(36+boundAddrLen+4+4+remoteAddrLen+4);
packet[p]=MESSAGE.CHANNEL_OPEN,writeUInt32BE(packet,15,++p),packet.utf8Write("forwarded-tcpip",p+=4,15),writeUInt32BE(packet,
chan,p+=15),writeUInt32BE(packet,initWindow,p+=4),writeUInt32BE(packet,maxPacket,p+=4),writeUInt32BE(packet,boundAddrLen,
p+=4),packet.utf8Write(cfg.boundAddr,p+=4,boundAddrLen),writeUInt32BE(packet,cfg.boundPort,p+=boundAddrLen),writeUInt32BE(
packet,remoteAddrLen,p+=4),packet.utf8Write(cfg.remoteAddr,p+=4,remoteAddrLen),writeUInt32BE(packet,cfg.remotePort,p+=remoteAddrLen),
this._debug&&this._debug(`Outbound: Sending CHANNEL_OPEN (r:${chan}, forwarded-tcpip)`),sendPacket(this,this._packetRW.write.
finalize(packet))}x11(chan,initWindow,maxPacket,cfg){if(!this._server)throw new Error("Server-only method called in clie\
nt mode");let addrLen=Buffer.byteLength(cfg.originAddr),p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(
24+addrLen+4);packet[p]=MESSAGE.CHANNEL_OPEN,writeUInt32BE(packet,3,++p),packet.utf8Write("x11",p+=4,3),writeUInt32BE(packet,
chan,p+=3),writeUInt32BE(packet,initWindow,p+=4),writeUInt32BE(packet,maxPacket,p+=4),writeUInt32BE(packet,addrLen,p+=4),
packet.utf8Write(cfg.originAddr,p+=4,addrLen),writeUInt32BE(packet,cfg.originPort,p+=addrLen),this._debug&&this._debug(`\
Outbound: Sending CHANNEL_OPEN (r:${chan}, x11)`),sendPacket(this,this._packetRW.write.finalize(packet))}openssh_authAgent(chan,initWindow,maxPacket){
if(!this._server)throw new Error("Server-only method called in client mode");let p=this._packetRW.write.allocStart,packet=this.
_packetRW.write.alloc(39);packet[p]=MESSAGE.CHANNEL_OPEN,writeUInt32BE(packet,22,++p),packet.utf8Write("auth-agent@opens\
sh.com",p+=4,22),writeUInt32BE(packet,chan,p+=22),writeUInt32BE(packet,initWindow,p+=4),writeUInt32BE(packet,maxPacket,p+=
4),this._debug&&this._debug(`Outbound: Sending CHANNEL_OPEN (r:${chan}, auth-agent@openssh.com)`),sendPacket(this,this._packetRW.
write.finalize(packet))}openssh_forwardedStreamLocal(chan,initWindow,maxPacket,cfg){if(!this._server)throw new Error("Se\
rver-only method called in client mode");let pathLen=Buffer.byteLength(cfg.socketPath),p=this._packetRW.write.allocStart,
packet=this._packetRW.write.alloc(54+pathLen+4);packet[p]=MESSAGE.CHANNEL_OPEN,writeUInt32BE(packet,33,++p),packet.utf8Write(
"forwarded-streamlocal@openssh.com",p+=4,33),writeUInt32BE(packet,chan,p+=33),writeUInt32BE(packet,initWindow,p+=4),writeUInt32BE(
packet,maxPacket,p+=4),writeUInt32BE(packet,pathLen,p+=4),packet.utf8Write(cfg.socketPath,p+=4,pathLen),writeUInt32BE(packet,
0,p+=pathLen),this._debug&&this._debug(`Outbound: Sending CHANNEL_OPEN (r:${chan}, forwarded-streamlocal@openssh.com)`),
sendPacket(this,this._packetRW.write.finalize(packet))}exitStatus(chan,status){if(!this._server)throw new Error("Server-\
only method called in client mode");let p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(25);packet[p]=
MESSAGE.CHANNEL_REQUEST,writeUInt32BE(packet,chan,++p),writeUInt32BE(packet,11,p+=4),packet.utf8Write("exit-status",p+=4,
11),packet[p+=11]=0,writeUInt32BE(packet,status,++p),this._debug&&this._debug(`Outbound: Sending CHANNEL_REQUEST (r:${chan}\
, exit-status: ${status})`),sendPacket(this,this._packetRW.write.finalize(packet))}exitSignal(chan,name,coreDumped,msg){
if(!this._server)throw new Error("Server-only method called in client mode");let origSignal=name;if(typeof origSignal!="\
string"||!origSignal)throw new Error(`Invalid signal: ${origSignal}`);let signal2=name.toUpperCase();if(signal2.slice(0,
3)==="SIG"&&(signal2=signal2.slice(3)),SIGNALS[signal2]!==1)throw new Error(`Invalid signal: ${origSignal}`);let nameLen=Buffer.
byteLength(signal2),msgLen=msg?Buffer.byteLength(msg):0,p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(
25+nameLen+1+4+msgLen+4);packet[p]=MESSAGE.CHANNEL_REQUEST,writeUInt32BE(packet,chan,++p),writeUInt32BE(packet,11,p+=4),
packet.utf8Write("exit-signal",p+=4,11),packet[p+=11]=0,writeUInt32BE(packet,nameLen,++p),packet.utf8Write(signal2,p+=4,
nameLen),packet[p+=nameLen]=coreDumped?1:0,writeUInt32BE(packet,msgLen,++p),p+=4,msgLen&&(packet.utf8Write(msg,p,msgLen),
p+=msgLen),writeUInt32BE(packet,0,p),this._debug&&this._debug(`Outbound: Sending CHANNEL_REQUEST (r:${chan}, exit-signal\
: ${name})`),sendPacket(this,this._packetRW.write.finalize(packet))}authFailure(authMethods,isPartial){if(!this._server)
throw new Error("Server-only method called in client mode");if(this._authsQueue.length===0)throw new Error("No auth in p\
rogress");let methods;if(typeof authMethods=="boolean"&&(isPartial=authMethods,authMethods=void 0),authMethods){methods=
[];for(let i=0;i<authMethods.length;++i)authMethods[i].toLowerCase()!=="none"&&methods.push(authMethods[i]);methods=methods.
join(",")}else methods="";let methodsLen=methods.length,p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(
5+methodsLen+1);packet[p]=MESSAGE.USERAUTH_FAILURE,writeUInt32BE(packet,methodsLen,++p),packet.utf8Write(methods,p+=4,methodsLen),
packet[p+=methodsLen]=isPartial===!0?1:0,this._authsQueue.shift(),this._debug&&this._debug("Outbound: Sending USERAUTH_F\
AILURE"),sendPacket(this,this._packetRW.write.finalize(packet))}authSuccess(){if(!this._server)throw new Error("Server-o\
nly method called in client mode");if(this._authsQueue.length===0)throw new Error("No auth in progress");let p=this._packetRW.
write.allocStart,packet=this._packetRW.write.alloc(1);packet[p]=MESSAGE.USERAUTH_SUCCESS,this._authsQueue.shift(),this._authenticated=
!0,this._debug&&this._debug("Outbound: Sending USERAUTH_SUCCESS"),sendPacket(this,this._packetRW.write.finalize(packet)),
this._kex.negotiated.cs.compress==="zlib@openssh.com"&&(this._packetRW.read=new ZlibPacketReader),this._kex.negotiated.sc.
compress==="zlib@openssh.com"&&(this._packetRW.write=new ZlibPacketWriter(this))}authPKOK(keyAlgo,key){if(!this._server)
throw new Error("Server-only method called in client mode");if(this._authsQueue.length===0||this._authsQueue[0]!=="publi\
ckey")throw new Error('"publickey" auth not in progress');let keyAlgoLen=Buffer.byteLength(keyAlgo),keyLen=key.length,p=this.
_packetRW.write.allocStart,packet=this._packetRW.write.alloc(5+keyAlgoLen+4+keyLen);packet[p]=MESSAGE.USERAUTH_PK_OK,writeUInt32BE(
packet,keyAlgoLen,++p),packet.utf8Write(keyAlgo,p+=4,keyAlgoLen),writeUInt32BE(packet,keyLen,p+=keyAlgoLen),packet.set(key,
p+=4),this._authsQueue.shift(),this._debug&&this._debug("Outbound: Sending USERAUTH_PK_OK"),sendPacket(this,this._packetRW.
write.finalize(packet))}authPasswdChg(prompt){if(!this._server)throw new Error("Server-only method called in client mode");
let promptLen=Buffer.byteLength(prompt),p=this._packetRW.write.allocStart,packet=this._packetRW.write.alloc(5+promptLen+
4);packet[p]=MESSAGE.USERAUTH_PASSWD_CHANGEREQ,writeUInt32BE(packet,promptLen,++p),packet.utf8Write(prompt,p+=4,promptLen),
writeUInt32BE(packet,0,p+=promptLen),this._debug&&this._debug("Outbound: Sending USERAUTH_PASSWD_CHANGEREQ"),sendPacket(
this,this._packetRW.write.finalize(packet))}authInfoReq(name,instructions,prompts){if(!this._server)throw new Error("Ser\
ver-only method called in client mode");let promptsLen=0,nameLen=name?Buffer.byteLength(name):0,instrLen=instructions?Buffer.
byteLength(instructions):0;for(let i=0;i<prompts.length;++i)promptsLen+=4+Buffer.byteLength(prompts[i].prompt)+1;let p=this.
_packetRW.write.allocStart,packet=this._packetRW.write.alloc(5+nameLen+4+instrLen+4+4+promptsLen);packet[p]=MESSAGE.USERAUTH_INFO_REQUEST,
writeUInt32BE(packet,nameLen,++p),p+=4,name&&(packet.utf8Write(name,p,nameLen),p+=nameLen),writeUInt32BE(packet,instrLen,
p),p+=4,instructions&&(packet.utf8Write(instructions,p,instrLen),p+=instrLen),writeUInt32BE(packet,0,p),writeUInt32BE(packet,
prompts.length,p+=4),p+=4;for(let i=0;i<prompts.length;++i){let prompt=prompts[i],promptLen=Buffer.byteLength(prompt.prompt);
writeUInt32BE(packet,promptLen,p),p+=4,promptLen&&(packet.utf8Write(prompt.prompt,p,promptLen),p+=promptLen),packet[p++]=
prompt.echo?1:0}this._debug&&this._debug("Outbound: Sending USERAUTH_INFO_REQUEST"),sendPacket(this,this._packetRW.write.
finalize(packet))}},RE_IDENT=/^SSH-(2\.0|1\.99)-([^ ]+)(?: (.*))?$/;function parseHeader(chunk,p,len){let data,chunkOffset;
this._buffer?(data=Buffer.allocUnsafe(this._buffer.length+(len-p)),data.set(this._buffer,0),p===0?data.set(chunk,this._buffer.
length):data.set(new Uint8Array(chunk.buffer,chunk.byteOffset+p,len-p),this._buffer.length),chunkOffset=this._buffer.length,
p=0):(data=chunk,chunkOffset=0);let op=p,start2=p,end2=p,needNL=!1,lineLen=0,lines2=0;for(;p<data.length;++p){let ch=data[p];
if(ch===13){needNL=!0;continue}if(ch===10){if(end2>start2&&end2-start2>4&&data[start2]===83&&data[start2+1]===83&&data[start2+
2]===72&&data[start2+3]===45){let full=data.latin1Slice(op,end2+1),identRaw=start2===op?full:full.slice(start2-op),m=RE_IDENT.
exec(identRaw);if(!m)throw new Error("Invalid identification string");let header2={greeting:start2===op?"":full.slice(0,
start2-op),identRaw,versions:{protocol:m[1],software:m[2]},comments:m[3]};return this._remoteIdentRaw=Buffer.from(identRaw),
this._debug&&this._debug(`Remote ident: ${inspect(identRaw)}`),this._compatFlags=getCompatFlags(header2),this._buffer=void 0,
this._decipher=new NullDecipher(0,onKEXPayload.bind(this,{firstPacket:!0})),this._parse=parsePacket,this._onHeader(header2),
this._destruct?(kexinit(this),p+1-chunkOffset):len}if(this._server)throw new Error("Greetings from clients not permitted");
if(++lines2>MAX_LINES)throw new Error("Max greeting lines exceeded");needNL=!1,start2=p+1,lineLen=0}else{if(needNL)throw new Error(
"Invalid header: expected newline");if(++lineLen>=MAX_LINE_LEN)throw new Error("Header line too long")}end2=p}return this.
_buffer||(this._buffer=bufferSlice(data,op)),p-chunkOffset}function parsePacket(chunk,p,len){return this._decipher.decrypt(
chunk,p,len)}function onPayload(payload){if(this._onPacket(),payload.length===0){this._debug&&this._debug("Inbound: Skip\
ping empty packet payload");return}payload=this._packetRW.read.read(payload);let type=payload[0];type===MESSAGE.USERAUTH_SUCCESS&&
!this._server&&!this._authenticated&&(this._authenticated=!0,this._kex.negotiated.cs.compress==="zlib@openssh.com"&&(this.
_packetRW.write=new ZlibPacketWriter(this)),this._kex.negotiated.sc.compress==="zlib@openssh.com"&&(this._packetRW.read=
new ZlibPacketReader));let handler=MESSAGE_HANDLERS[type];if(handler===void 0){this._debug&&this._debug(`Inbound: Unsupp\
orted message type: ${type}`);return}return handler(this,payload)}function getCompatFlags(header2){let software=header2.
versions.software,flags=0;for(let rule of COMPAT_CHECKS)typeof rule[0]=="string"?software===rule[0]&&(flags|=rule[1]):rule[0].
test(software)&&(flags|=rule[1]);return flags}function modesToBytes(modes){let keys=Object.keys(modes),bytes2=Buffer.allocUnsafe(
5*keys.length+1),b=0;for(let i=0;i<keys.length;++i){let key=keys[i];if(key==="TTY_OP_END")continue;let opcode=TERMINAL_MODE[key];
if(opcode===void 0)continue;let val=modes[key];typeof val=="number"&&isFinite(val)&&(bytes2[b++]=opcode,bytes2[b++]=val>>>
24,bytes2[b++]=val>>>16,bytes2[b++]=val>>>8,bytes2[b++]=val)}return bytes2[b++]=TERMINAL_MODE.TTY_OP_END,b<bytes2.length?
bufferSlice(bytes2,0,b):bytes2}function sendExtInfo(proto){let serverSigAlgs="ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ec\
dsa-sha2-nistp521rsa-sha2-512,rsa-sha2-256,ssh-rsa,ssh-dss";eddsaSupported&&(serverSigAlgs=`ssh-ed25519,${serverSigAlgs}`);
let algsLen=Buffer.byteLength(serverSigAlgs),p=proto._packetRW.write.allocStart,packet=proto._packetRW.write.alloc(28+algsLen);
packet[p]=MESSAGE.EXT_INFO,writeUInt32BE(packet,1,++p),writeUInt32BE(packet,15,p+=4),packet.utf8Write("server-sig-algs",
p+=4,15),writeUInt32BE(packet,algsLen,p+=15),packet.utf8Write(serverSigAlgs,p+=4,algsLen),proto._debug&&proto._debug("Ou\
tbound: Sending EXT_INFO"),sendPacket(proto,proto._packetRW.write.finalize(packet))}module2.exports=Protocol}});var require_Channel=__commonJS({"node_modules/ssh2/lib/Channel.js"(exports2,module2){"use strict";init_define_SAVEPOINT();
var{Duplex:DuplexStream,Readable:ReadableStream,Writable:WritableStream}=require("stream"),{CHANNEL_EXTENDED_DATATYPE:{STDERR}}=require_constants(),
{bufferSlice}=require_utils(),PACKET_SIZE=32*1024,MAX_WINDOW=2*1024*1024,WINDOW_THRESHOLD=MAX_WINDOW/2,ClientStderr=class extends ReadableStream{constructor(channel,streamOpts){
super(streamOpts),this._channel=channel}_read(n){this._channel._waitChanDrain&&(this._channel._waitChanDrain=!1,this._channel.
incoming.window<=WINDOW_THRESHOLD&&windowAdjust(this._channel))}},ServerStderr=class extends WritableStream{constructor(channel){
super({highWaterMark:MAX_WINDOW}),this._channel=channel}_write(data,encoding,cb){let channel=this._channel,protocol=channel.
_client._protocol,outgoing=channel.outgoing,packetSize2=outgoing.packetSize,id=outgoing.id,window2=outgoing.window,len=data.
length,p=0;if(outgoing.state==="open"){for(;len-p>0&&window2>0;){let sliceLen=len-p;sliceLen>window2&&(sliceLen=window2),
sliceLen>packetSize2&&(sliceLen=packetSize2),p===0&&sliceLen===len?protocol.channelExtData(id,data,STDERR):protocol.channelExtData(
id,bufferSlice(data,p,p+sliceLen),STDERR),p+=sliceLen,window2-=sliceLen}if(outgoing.window=window2,len-p>0){window2===0&&
(channel._waitWindow=!0),p>0?channel._chunkErr=bufferSlice(data,p,len):channel._chunkErr=data,channel._chunkcbErr=cb;return}
cb()}}},Channel=class extends DuplexStream{constructor(client,info,opts){let streamOpts={highWaterMark:MAX_WINDOW,allowHalfOpen:!opts||
opts&&opts.allowHalfOpen!==!1,emitClose:!1};super(streamOpts),this.allowHalfOpen=streamOpts.allowHalfOpen;let server=!!(opts&&
opts.server);this.server=server,this.type=info.type,this.subtype=void 0,this.incoming=info.incoming,this.outgoing=info.outgoing,
this._callbacks=[],this._client=client,this._hasX11=!1,this._exit={code:void 0,signal:void 0,dump:void 0,desc:void 0},this.
stdin=this.stdout=this,server?this.stderr=new ServerStderr(this):this.stderr=new ClientStderr(this,streamOpts),this._waitWindow=
!1,this._waitChanDrain=!1,this._chunk=void 0,this._chunkcb=void 0,this._chunkErr=void 0,this._chunkcbErr=void 0,this.on(
"finish",onFinish).on("prefinish",onFinish),this.on("end",onEnd).on("close",onEnd)}_read(n){this._waitChanDrain&&(this._waitChanDrain=
!1,this.incoming.window<=WINDOW_THRESHOLD&&windowAdjust(this))}_write(data,encoding,cb){let protocol=this._client._protocol,
outgoing=this.outgoing,packetSize2=outgoing.packetSize,id=outgoing.id,window2=outgoing.window,len=data.length,p=0;if(outgoing.
state==="open"){for(;len-p>0&&window2>0;){let sliceLen=len-p;sliceLen>window2&&(sliceLen=window2),sliceLen>packetSize2&&
(sliceLen=packetSize2),p===0&&sliceLen===len?protocol.channelData(id,data):protocol.channelData(id,bufferSlice(data,p,p+
sliceLen)),p+=sliceLen,window2-=sliceLen}if(outgoing.window=window2,len-p>0){window2===0&&(this._waitWindow=!0),p>0?this.
_chunk=bufferSlice(data,p,len):this._chunk=data,this._chunkcb=cb;return}cb()}}eof(){this.outgoing.state==="open"&&(this.
outgoing.state="eof",this._client._protocol.channelEOF(this.outgoing.id))}close(){(this.outgoing.state==="open"||this.outgoing.
state==="eof")&&(this.outgoing.state="closing",this._client._protocol.channelClose(this.outgoing.id))}destroy(){return this.
end(),this.close(),this}setWindow(rows,cols,height,width){if(this.server)throw new Error("Client-only method called in s\
erver mode");this.type==="session"&&(this.subtype==="shell"||this.subtype==="exec")&&this.writable&&this.outgoing.state===
"open"&&this._client._protocol.windowChange(this.outgoing.id,rows,cols,height,width)}signal(signalName){if(this.server)throw new Error(
"Client-only method called in server mode");this.type==="session"&&this.writable&&this.outgoing.state==="open"&&this._client.
_protocol.signal(this.outgoing.id,signalName)}exit(statusOrSignal,coreDumped,msg){if(!this.server)throw new Error("Serve\
r-only method called in client mode");this.type==="session"&&this.writable&&this.outgoing.state==="open"&&(typeof statusOrSignal==
"number"?this._client._protocol.exitStatus(this.outgoing.id,statusOrSignal):this._client._protocol.exitSignal(this.outgoing.
id,statusOrSignal,coreDumped,msg))}};function onFinish(){this.eof(),(this.server||!this.allowHalfOpen)&&this.close(),this.
writable=!1}function onEnd(){this.readable=!1}function windowAdjust(self2){if(self2.outgoing.state==="closed")return;let amt=MAX_WINDOW-
self2.incoming.window;amt<=0||(self2.incoming.window+=amt,self2._client._protocol.channelWindowAdjust(self2.outgoing.id,
amt))}module2.exports={Channel,MAX_WINDOW,PACKET_SIZE,windowAdjust,WINDOW_THRESHOLD}}});var require_utils2=__commonJS({"node_modules/ssh2/lib/utils.js"(exports2,module2){"use strict";init_define_SAVEPOINT();var{
SFTP}=require_SFTP(),MAX_CHANNEL=2**32-1;function onChannelOpenFailure(self2,recipient,info,cb){if(self2._chanMgr.remove(
recipient),typeof cb!="function")return;let err;info instanceof Error?err=info:typeof info=="object"&&info!==null?(err=new Error(
`(SSH) Channel open failure: ${info.description}`),err.reason=info.reason):(err=new Error("(SSH) Channel open failure: s\
erver closed channel unexpectedly"),err.reason=""),cb(err)}function onCHANNEL_CLOSE(self2,recipient,channel,err,dead){if(typeof channel==
"function"){onChannelOpenFailure(self2,recipient,err,channel);return}if(typeof channel!="object"||channel===null||channel.
incoming&&channel.incoming.state==="closed"||(self2._chanMgr.remove(recipient),channel.server&&channel.constructor.name===
"Session"))return;channel.incoming.state="closed",channel.readable&&channel.push(null),channel.server?channel.stderr.writable&&
channel.stderr.end():channel.stderr.readable&&channel.stderr.push(null),channel.constructor!==SFTP&&(channel.outgoing.state===
"open"||channel.outgoing.state==="eof")&&!dead&&channel.close(),channel.outgoing.state==="closing"&&(channel.outgoing.state=
"closed");let readState=channel._readableState,writeState=channel._writableState;writeState&&!writeState.ending&&!writeState.
finished&&!dead&&channel.end();let chanCallbacks=channel._callbacks;channel._callbacks=[];for(let i=0;i<chanCallbacks.length;++i)
chanCallbacks[i](!0);if(channel.server)!channel.readable||channel.destroyed||readState&&readState.endEmitted?channel.emit(
"close"):channel.once("end",()=>channel.emit("close"));else{let doClose;switch(channel.type){case"direct-streamlocal@ope\
nssh.com":case"direct-tcpip":doClose=()=>channel.emit("close");break;default:{let exit=channel._exit;doClose=()=>{exit.code===
null?channel.emit("close",exit.code,exit.signal,exit.dump,exit.desc):channel.emit("close",exit.code)}}}!channel.readable||
channel.destroyed||readState&&readState.endEmitted?doClose():channel.once("end",doClose);let errReadState=channel.stderr.
_readableState;!channel.stderr.readable||channel.stderr.destroyed||errReadState&&errReadState.endEmitted?channel.stderr.
emit("close"):channel.stderr.once("end",()=>channel.stderr.emit("close"))}}var ChannelManager=class{constructor(client){
this._client=client,this._channels={},this._cur=-1,this._count=0}add(val){let id;if(this._cur<MAX_CHANNEL)id=++this._cur;else if(this.
_count===0)this._cur=0,id=0;else{let channels2=this._channels;for(let i=0;i<MAX_CHANNEL;++i)if(channels2[i]===void 0){id=
i;break}}return id===void 0?-1:(this._channels[id]=val||!0,++this._count,id)}update(id,val){if(typeof id!="number"||id<0||
id>=MAX_CHANNEL||!isFinite(id))throw new Error(`Invalid channel id: ${id}`);val&&this._channels[id]&&(this._channels[id]=
val)}get(id){if(typeof id!="number"||id<0||id>=MAX_CHANNEL||!isFinite(id))throw new Error(`Invalid channel id: ${id}`);return this.
_channels[id]}remove(id){if(typeof id!="number"||id<0||id>=MAX_CHANNEL||!isFinite(id))throw new Error(`Invalid channel i\
d: ${id}`);this._channels[id]&&(delete this._channels[id],this._count&&--this._count)}cleanup(err){let channels2=this._channels;
this._channels={},this._cur=-1,this._count=0;let chanIDs=Object.keys(channels2),client=this._client;for(let i=0;i<chanIDs.
length;++i){let id=+chanIDs[i],channel=channels2[id];onCHANNEL_CLOSE(client,id,channel._channel||channel,err,!0)}}},isRegExp=(()=>{
let toString=Object.prototype.toString;return val=>toString.call(val)==="[object RegExp]"})();function generateAlgorithmList(algoList,defaultList,supportedList){
if(Array.isArray(algoList)&&algoList.length>0){for(let i=0;i<algoList.length;++i)if(supportedList.indexOf(algoList[i])===
-1)throw new Error(`Unsupported algorithm: ${algoList[i]}`);return algoList}if(typeof algoList=="object"&&algoList!==null){
let keys=Object.keys(algoList),list=defaultList;for(let i=0;i<keys.length;++i){let key=keys[i],val=algoList[key];switch(key){case"\
append":if(Array.isArray(val)||(val=[val]),Array.isArray(val))for(let j=0;j<val.length;++j){let append2=val[j];if(typeof append2==
"string"){if(!append2||list.indexOf(append2)!==-1)continue;if(supportedList.indexOf(append2)===-1)throw new Error(`Unsup\
ported algorithm: ${append2}`);list===defaultList&&(list=list.slice()),list.push(append2)}else if(isRegExp(append2))for(let k=0;k<
supportedList.length;++k){let algo=supportedList[k];if(append2.test(algo)){if(list.indexOf(algo)!==-1)continue;list===defaultList&&
(list=list.slice()),list.push(algo)}}}break;case"prepend":if(Array.isArray(val)||(val=[val]),Array.isArray(val))for(let j=val.
length;j>=0;--j){let prepend=val[j];if(typeof prepend=="string"){if(!prepend||list.indexOf(prepend)!==-1)continue;if(supportedList.
indexOf(prepend)===-1)throw new Error(`Unsupported algorithm: ${prepend}`);list===defaultList&&(list=list.slice()),list.
unshift(prepend)}else if(isRegExp(prepend))for(let k=supportedList.length;k>=0;--k){let algo=supportedList[k];if(prepend.
test(algo)){if(list.indexOf(algo)!==-1)continue;list===defaultList&&(list=list.slice()),list.unshift(algo)}}}break;case"\
remove":if(Array.isArray(val)||(val=[val]),Array.isArray(val))for(let j=0;j<val.length;++j){let search=val[j];if(typeof search==
"string"){if(!search)continue;let idx=list.indexOf(search);if(idx===-1)continue;list===defaultList&&(list=list.slice()),
list.splice(idx,1)}else if(isRegExp(search))for(let k=0;k<list.length;++k)search.test(list[k])&&(list===defaultList&&(list=
list.slice()),list.splice(k,1),--k)}break}}return list}return defaultList}module2.exports={ChannelManager,generateAlgorithmList,
onChannelOpenFailure,onCHANNEL_CLOSE,isWritable:stream=>stream&&stream.writable&&stream._readableState&&stream._readableState.
ended===!1}}});var require_client=__commonJS({"node_modules/ssh2/lib/client.js"(exports2,module2){"use strict";init_define_SAVEPOINT();
var{createHash:createHash5,getHashes,randomFillSync:randomFillSync2}=require("crypto"),{Socket:Socket2}=require("net"),{
lookup:dnsLookup}=require("dns"),EventEmitter=require("events"),HASHES=getHashes(),{COMPAT,CHANNEL_EXTENDED_DATATYPE:{STDERR},
CHANNEL_OPEN_FAILURE,DEFAULT_CIPHER,DEFAULT_COMPRESSION,DEFAULT_KEX,DEFAULT_MAC,DEFAULT_SERVER_HOST_KEY,DISCONNECT_REASON,
DISCONNECT_REASON_BY_VALUE,SUPPORTED_CIPHER,SUPPORTED_COMPRESSION,SUPPORTED_KEX,SUPPORTED_MAC,SUPPORTED_SERVER_HOST_KEY}=require_constants(),
{init:cryptoInit}=require_crypto(),Protocol=require_Protocol(),{parseKey}=require_keyParser(),{SFTP}=require_SFTP(),{bufferCopy,
makeBufferParser,makeError,readUInt32BE,sigSSHToASN1,writeUInt32BE}=require_utils(),{AgentContext,createAgent,isAgent}=require_agent(),
{Channel,MAX_WINDOW,PACKET_SIZE,windowAdjust,WINDOW_THRESHOLD}=require_Channel(),{ChannelManager,generateAlgorithmList,isWritable,
onChannelOpenFailure,onCHANNEL_CLOSE}=require_utils2(),bufferParser=makeBufferParser(),sigParser=makeBufferParser(),RE_OPENSSH=/^OpenSSH_(?:(?![0-4])\d)|(?:\d{2,})/,
noop=err=>{},Client=class extends EventEmitter{constructor(){super(),this.config={host:void 0,port:void 0,localAddress:void 0,
localPort:void 0,forceIPv4:void 0,forceIPv6:void 0,keepaliveCountMax:void 0,keepaliveInterval:void 0,readyTimeout:void 0,
ident:void 0,username:void 0,password:void 0,privateKey:void 0,tryKeyboard:void 0,agent:void 0,allowAgentFwd:void 0,authHandler:void 0,
hostHashAlgo:void 0,hostHashCb:void 0,strictVendor:void 0,debug:void 0},this._agent=void 0,this._readyTimeout=void 0,this.
_chanMgr=void 0,this._callbacks=void 0,this._forwarding=void 0,this._forwardingUnix=void 0,this._acceptX11=void 0,this._agentFwdEnabled=
void 0,this._remoteVer=void 0,this._protocol=void 0,this._sock=void 0,this._resetKA=void 0}connect(cfg){if(this._sock&&isWritable(
this._sock))return this.once("close",()=>{this.connect(cfg)}),this.end(),this;this.config.host=cfg.hostname||cfg.host||"\
localhost",this.config.port=cfg.port||22,this.config.localAddress=typeof cfg.localAddress=="string"?cfg.localAddress:void 0,
this.config.localPort=typeof cfg.localPort=="string"||typeof cfg.localPort=="number"?cfg.localPort:void 0,this.config.forceIPv4=
cfg.forceIPv4||!1,this.config.forceIPv6=cfg.forceIPv6||!1,this.config.keepaliveCountMax=typeof cfg.keepaliveCountMax=="n\
umber"&&cfg.keepaliveCountMax>=0?cfg.keepaliveCountMax:3,this.config.keepaliveInterval=typeof cfg.keepaliveInterval=="nu\
mber"&&cfg.keepaliveInterval>0?cfg.keepaliveInterval:0,this.config.readyTimeout=typeof cfg.readyTimeout=="number"&&cfg.readyTimeout>=
0?cfg.readyTimeout:2e4,this.config.ident=typeof cfg.ident=="string"||Buffer.isBuffer(cfg.ident)?cfg.ident:void 0;let algorithms2={
kex:void 0,serverHostKey:void 0,cs:{cipher:void 0,mac:void 0,compress:void 0,lang:[]},sc:void 0},allOfferDefaults=!0;if(typeof cfg.
algorithms=="object"&&cfg.algorithms!==null&&(algorithms2.kex=generateAlgorithmList(cfg.algorithms.kex,DEFAULT_KEX,SUPPORTED_KEX),
algorithms2.kex!==DEFAULT_KEX&&(allOfferDefaults=!1),algorithms2.serverHostKey=generateAlgorithmList(cfg.algorithms.serverHostKey,
DEFAULT_SERVER_HOST_KEY,SUPPORTED_SERVER_HOST_KEY),algorithms2.serverHostKey!==DEFAULT_SERVER_HOST_KEY&&(allOfferDefaults=
!1),algorithms2.cs.cipher=generateAlgorithmList(cfg.algorithms.cipher,DEFAULT_CIPHER,SUPPORTED_CIPHER),algorithms2.cs.cipher!==
DEFAULT_CIPHER&&(allOfferDefaults=!1),algorithms2.cs.mac=generateAlgorithmList(cfg.algorithms.hmac,DEFAULT_MAC,SUPPORTED_MAC),
algorithms2.cs.mac!==DEFAULT_MAC&&(allOfferDefaults=!1),algorithms2.cs.compress=generateAlgorithmList(cfg.algorithms.compress,
DEFAULT_COMPRESSION,SUPPORTED_COMPRESSION),algorithms2.cs.compress!==DEFAULT_COMPRESSION&&(allOfferDefaults=!1),allOfferDefaults||
(algorithms2.sc=algorithms2.cs)),typeof cfg.username=="string")this.config.username=cfg.username;else if(typeof cfg.user==
"string")this.config.username=cfg.user;else throw new Error("Invalid username");this.config.password=typeof cfg.password==
"string"?cfg.password:void 0,this.config.privateKey=typeof cfg.privateKey=="string"||Buffer.isBuffer(cfg.privateKey)?cfg.
privateKey:void 0,this.config.localHostname=typeof cfg.localHostname=="string"?cfg.localHostname:void 0,this.config.localUsername=
typeof cfg.localUsername=="string"?cfg.localUsername:void 0,this.config.tryKeyboard=cfg.tryKeyboard===!0,typeof cfg.agent==
"string"&&cfg.agent.length?this.config.agent=createAgent(cfg.agent):isAgent(cfg.agent)?this.config.agent=cfg.agent:this.
config.agent=void 0,this.config.allowAgentFwd=cfg.agentForward===!0&&this.config.agent!==void 0;let authHandler=this.config.
authHandler=typeof cfg.authHandler=="function"||Array.isArray(cfg.authHandler)?cfg.authHandler:void 0;this.config.strictVendor=
typeof cfg.strictVendor=="boolean"?cfg.strictVendor:!0;let debug=this.config.debug=typeof cfg.debug=="function"?cfg.debug:
void 0;if(cfg.agentForward===!0&&!this.config.allowAgentFwd)throw new Error("You must set a valid agent path to allow ag\
ent forwarding");let callbacks=this._callbacks=[];this._chanMgr=new ChannelManager(this),this._forwarding={},this._forwardingUnix=
{},this._acceptX11=0,this._agentFwdEnabled=!1,this._agent=this.config.agent?this.config.agent:void 0,this._remoteVer=void 0;
let privateKey;if(this.config.privateKey){if(privateKey=parseKey(this.config.privateKey,cfg.passphrase),privateKey instanceof
Error)throw new Error(`Cannot parse privateKey: ${privateKey.message}`);if(Array.isArray(privateKey)&&(privateKey=privateKey[0]),
privateKey.getPrivatePEM()===null)throw new Error("privateKey value does not contain a (valid) private key")}let hostVerifier;
if(typeof cfg.hostVerifier=="function"){let hashCb=cfg.hostVerifier,hashAlgo;HASHES.indexOf(cfg.hostHash)!==-1&&(hashAlgo=
cfg.hostHash),hostVerifier=(key,verify)=>{hashAlgo&&(key=createHash5(hashAlgo).update(key).digest("hex"));let ret=hashCb(
key,verify);ret!==void 0&&verify(ret)}}let sock=this._sock=cfg.sock||new Socket2,ready=!1,sawHeader=!1;this._protocol&&this.
_protocol.cleanup();let DEBUG_HANDLER=debug?(p,display,msg)=>{debug(`Debug output from server: ${JSON.stringify(msg)}`)}:
void 0,serverSigAlgs,proto=this._protocol=new Protocol({ident:this.config.ident,offer:allOfferDefaults?void 0:algorithms2,
onWrite:data=>{isWritable(sock)&&sock.write(data)},onError:err=>{err.level==="handshake"&&clearTimeout(this._readyTimeout),
proto._destruct||sock.removeAllListeners("data"),this.emit("error",err);try{sock.end()}catch{}},onHeader:header2=>{sawHeader=
!0,this._remoteVer=header2.versions.software,header2.greeting&&this.emit("greeting",header2.greeting)},onHandshakeComplete:negotiated=>{
this.emit("handshake",negotiated),ready||(ready=!0,proto.service("ssh-userauth"))},debug,hostVerifier,messageHandlers:{DEBUG:DEBUG_HANDLER,
DISCONNECT:(p,reason,desc)=>{if(reason!==DISCONNECT_REASON.BY_APPLICATION){desc||(desc=DISCONNECT_REASON_BY_VALUE[reason],
desc===void 0&&(desc=`Unexpected disconnection reason: ${reason}`));let err=new Error(desc);err.code=reason,this.emit("e\
rror",err)}sock.end()},SERVICE_ACCEPT:(p,name)=>{name==="ssh-userauth"&&tryNextAuth()},EXT_INFO:(p,exts)=>{if(serverSigAlgs===
void 0){for(let ext of exts)if(ext.name==="server-sig-algs"){serverSigAlgs=ext.algs;return}serverSigAlgs=null}},USERAUTH_BANNER:(p,msg)=>{
this.emit("banner",msg)},USERAUTH_SUCCESS:p=>{resetKA(),clearTimeout(this._readyTimeout),this.emit("ready")},USERAUTH_FAILURE:(p,authMethods,partialSuccess)=>{
if(curAuth.keyAlgos){let oldKeyAlgo=curAuth.keyAlgos[0][0];if(debug&&debug(`Client: ${curAuth.type} (${oldKeyAlgo}) auth\
 failed`),curAuth.keyAlgos.shift(),curAuth.keyAlgos.length){let[keyAlgo,hashAlgo]=curAuth.keyAlgos[0];switch(curAuth.type){case"\
agent":proto.authPK(curAuth.username,curAuth.agentCtx.currentKey(),keyAlgo);return;case"publickey":proto.authPK(curAuth.
username,curAuth.key,keyAlgo);return;case"hostbased":proto.authHostbased(curAuth.username,curAuth.key,curAuth.localHostname,
curAuth.localUsername,keyAlgo,(buf,cb)=>{let signature=curAuth.key.sign(buf,hashAlgo);if(signature instanceof Error)return signature.
message=`Error while signing with key: ${signature.message}`,signature.level="client-authentication",this.emit("error",signature),
tryNextAuth();cb(signature)});return}}else curAuth.keyAlgos=void 0}if(curAuth.type==="agent"){let pos=curAuth.agentCtx.pos();
return debug&&debug(`Client: Agent key #${pos+1} failed`),tryNextAgentKey()}debug&&debug(`Client: ${curAuth.type} auth f\
ailed`),curPartial=partialSuccess,curAuthsLeft=authMethods,tryNextAuth()},USERAUTH_PASSWD_CHANGEREQ:(p,prompt)=>{curAuth.
type==="password"&&this.emit("change password",prompt,newPassword=>{proto.authPassword(this.config.username,this.config.
password,newPassword)})},USERAUTH_PK_OK:p=>{let keyAlgo,hashAlgo;if(curAuth.keyAlgos&&([keyAlgo,hashAlgo]=curAuth.keyAlgos[0]),
curAuth.type==="agent"){let key=curAuth.agentCtx.currentKey();proto.authPK(curAuth.username,key,keyAlgo,(buf,cb)=>{let opts={
hash:hashAlgo};curAuth.agentCtx.sign(key,buf,opts,(err,signed)=>{if(err)err.level="agent",this.emit("error",err);else return cb(
signed);tryNextAgentKey()})})}else curAuth.type==="publickey"&&proto.authPK(curAuth.username,curAuth.key,keyAlgo,(buf,cb)=>{
let signature=curAuth.key.sign(buf,hashAlgo);if(signature instanceof Error)return signature.message=`Error signing data \
with key: ${signature.message}`,signature.level="client-authentication",this.emit("error",signature),tryNextAuth();cb(signature)})},
USERAUTH_INFO_REQUEST:(p,name,instructions,prompts)=>{if(curAuth.type==="keyboard-interactive"){if((Array.isArray(prompts)?
prompts.length:0)===0){debug&&debug("Client: Sending automatic USERAUTH_INFO_RESPONSE"),proto.authInfoRes();return}curAuth.
prompt(name,instructions,"",prompts,answers=>{proto.authInfoRes(answers)})}},REQUEST_SUCCESS:(p,data)=>{callbacks.length&&
callbacks.shift()(!1,data)},REQUEST_FAILURE:p=>{callbacks.length&&callbacks.shift()(!0)},GLOBAL_REQUEST:(p,name,wantReply,data)=>{
name==="hostkeys-00@openssh.com"?(hostKeysProve(this,data,(err,keys)=>{err||this.emit("hostkeys",keys)}),wantReply&&proto.
requestSuccess()):wantReply&&proto.requestFailure()},CHANNEL_OPEN:(p,info)=>{onCHANNEL_OPEN(this,info)},CHANNEL_OPEN_CONFIRMATION:(p,info)=>{
let channel=this._chanMgr.get(info.recipient);if(typeof channel!="function")return;let isSFTP=channel.type==="sftp",chanInfo={
type:isSFTP?"session":channel.type,incoming:{id:info.recipient,window:MAX_WINDOW,packetSize:PACKET_SIZE,state:"open"},outgoing:{
id:info.sender,window:info.window,packetSize:info.packetSize,state:"open"}},instance=isSFTP?new SFTP(this,chanInfo,{debug}):
new Channel(this,chanInfo);this._chanMgr.update(info.recipient,instance),channel(void 0,instance)},CHANNEL_OPEN_FAILURE:(p,recipient,reason,description)=>{
let channel=this._chanMgr.get(recipient);if(typeof channel!="function")return;onChannelOpenFailure(this,recipient,{reason,
description},channel)},CHANNEL_DATA:(p,recipient,data)=>{let channel=this._chanMgr.get(recipient);if(!(typeof channel!="\
object"||channel===null)&&channel.incoming.window!==0){if(channel.incoming.window-=data.length,channel.push(data)===!1){
channel._waitChanDrain=!0;return}channel.incoming.window<=WINDOW_THRESHOLD&&windowAdjust(channel)}},CHANNEL_EXTENDED_DATA:(p,recipient,data,type)=>{
if(type!==STDERR)return;let channel=this._chanMgr.get(recipient);if(!(typeof channel!="object"||channel===null)&&channel.
incoming.window!==0){if(channel.incoming.window-=data.length,!channel.stderr.push(data)){channel._waitChanDrain=!0;return}
channel.incoming.window<=WINDOW_THRESHOLD&&windowAdjust(channel)}},CHANNEL_WINDOW_ADJUST:(p,recipient,amount)=>{let channel=this.
_chanMgr.get(recipient);typeof channel!="object"||channel===null||(channel.outgoing.window+=amount,channel._waitWindow&&
(channel._waitWindow=!1,channel._chunk?channel._write(channel._chunk,null,channel._chunkcb):channel._chunkcb?channel._chunkcb():
channel._chunkErr?channel.stderr._write(channel._chunkErr,null,channel._chunkcbErr):channel._chunkcbErr&&channel._chunkcbErr()))},
CHANNEL_SUCCESS:(p,recipient)=>{let channel=this._chanMgr.get(recipient);typeof channel!="object"||channel===null||(this.
_resetKA(),channel._callbacks.length&&channel._callbacks.shift()(!1))},CHANNEL_FAILURE:(p,recipient)=>{let channel=this.
_chanMgr.get(recipient);typeof channel!="object"||channel===null||(this._resetKA(),channel._callbacks.length&&channel._callbacks.
shift()(!0))},CHANNEL_REQUEST:(p,recipient,type,wantReply,data)=>{let channel=this._chanMgr.get(recipient);if(typeof channel!=
"object"||channel===null)return;let exit=channel._exit;if(exit.code===void 0){switch(type){case"exit-status":channel.emit(
"exit",exit.code=data);return;case"exit-signal":channel.emit("exit",exit.code=null,exit.signal=`SIG${data.signal}`,exit.
dump=data.coreDumped,exit.desc=data.errorMessage);return}wantReply&&p.channelFailure(channel.outgoing.id)}},CHANNEL_EOF:(p,recipient)=>{
let channel=this._chanMgr.get(recipient);typeof channel!="object"||channel===null||channel.incoming.state==="open"&&(channel.
incoming.state="eof",channel.readable&&channel.push(null),channel.stderr.readable&&channel.stderr.push(null))},CHANNEL_CLOSE:(p,recipient)=>{
onCHANNEL_CLOSE(this,recipient,this._chanMgr.get(recipient))}}});sock.pause();let kainterval=this.config.keepaliveInterval,
kacountmax=this.config.keepaliveCountMax,kacount=0,katimer,sendKA=()=>{if(++kacount>kacountmax){if(clearInterval(katimer),
sock.readable){let err=new Error("Keepalive timeout");err.level="client-timeout",this.emit("error",err),sock.destroy()}return}
isWritable(sock)?(callbacks.push(resetKA),proto.ping()):clearInterval(katimer)};function resetKA(){kainterval>0&&(kacount=
0,clearInterval(katimer),isWritable(sock)&&(katimer=setInterval(sendKA,kainterval)))}this._resetKA=resetKA;let onDone=(()=>{
let called=!1;return()=>{if(!called&&(called=!0,wasConnected&&!sawHeader)){let err=makeError("Connection lost before han\
dshake","protocol",!0);this.emit("error",err)}}})(),onConnect=(()=>{let called=!1;return()=>{called||(called=!0,wasConnected=
!0,debug&&debug("Socket connected"),this.emit("connect"),cryptoInit.then(()=>{proto.start(),sock.on("data",data=>{try{proto.
parse(data,0,data.length)}catch(ex){this.emit("error",ex);try{isWritable(sock)&&sock.end()}catch{}}}),sock.stderr&&typeof sock.
stderr.resume=="function"&&sock.stderr.resume(),sock.resume()}).catch(err=>{this.emit("error",err);try{isWritable(sock)&&
sock.end()}catch{}}))}})(),wasConnected=!1;sock.on("connect",onConnect).on("timeout",()=>{this.emit("timeout")}).on("err\
or",err=>{debug&&debug(`Socket error: ${err.message}`),clearTimeout(this._readyTimeout),err.level="client-socket",this.emit(
"error",err)}).on("end",()=>{debug&&debug("Socket ended"),onDone(),proto.cleanup(),clearTimeout(this._readyTimeout),clearInterval(
katimer),this.emit("end")}).on("close",()=>{debug&&debug("Socket closed"),onDone(),proto.cleanup(),clearTimeout(this._readyTimeout),
clearInterval(katimer),this.emit("close");let callbacks_=callbacks;callbacks=this._callbacks=[];let err=new Error("No re\
sponse from server");for(let i=0;i<callbacks_.length;++i)callbacks_[i](err);this._chanMgr.cleanup(err)});let curAuth,curPartial=null,
curAuthsLeft=null,authsAllowed=["none"];this.config.password!==void 0&&authsAllowed.push("password"),privateKey!==void 0&&
authsAllowed.push("publickey"),this._agent!==void 0&&authsAllowed.push("agent"),this.config.tryKeyboard&&authsAllowed.push(
"keyboard-interactive"),privateKey!==void 0&&this.config.localHostname!==void 0&&this.config.localUsername!==void 0&&authsAllowed.
push("hostbased"),Array.isArray(authHandler)?authHandler=makeSimpleAuthHandler(authHandler):typeof authHandler!="functio\
n"&&(authHandler=makeSimpleAuthHandler(authsAllowed));let hasSentAuth=!1,doNextAuth=nextAuth=>{if(!hasSentAuth){if(hasSentAuth=
!0,nextAuth===!1){let err=new Error("All configured authentication methods failed");err.level="client-authentication",this.
emit("error",err),this.end();return}if(typeof nextAuth=="string"){let type=nextAuth;if(authsAllowed.indexOf(type)===-1)return skipAuth(
`Authentication method not allowed: ${type}`);let username=this.config.username;switch(type){case"password":nextAuth={type,
username,password:this.config.password};break;case"publickey":nextAuth={type,username,key:privateKey};break;case"hostbas\
ed":nextAuth={type,username,key:privateKey,localHostname:this.config.localHostname,localUsername:this.config.localUsername};
break;case"agent":nextAuth={type,username,agentCtx:new AgentContext(this._agent)};break;case"keyboard-interactive":nextAuth=
{type,username,prompt:(...args)=>this.emit("keyboard-interactive",...args)};break;case"none":nextAuth={type,username};break;default:
return skipAuth(`Skipping unsupported authentication method: ${nextAuth}`)}}else{if(typeof nextAuth!="object"||nextAuth===
null)return skipAuth(`Skipping invalid authentication attempt: ${nextAuth}`);{let username=nextAuth.username;if(typeof username!=
"string")return skipAuth(`Skipping invalid authentication attempt: ${nextAuth}`);let type=nextAuth.type;switch(type){case"\
password":{let{password}=nextAuth;if(typeof password!="string"&&!Buffer.isBuffer(password))return skipAuth("Skipping inv\
alid password auth attempt");nextAuth={type,username,password};break}case"publickey":{let key=parseKey(nextAuth.key,nextAuth.
passphrase);if(key instanceof Error)return skipAuth("Skipping invalid key auth attempt");if(!key.isPrivateKey())return skipAuth(
"Skipping non-private key");nextAuth={type,username,key};break}case"hostbased":{let{localHostname,localUsername}=nextAuth,
key=parseKey(nextAuth.key,nextAuth.passphrase);if(key instanceof Error||typeof localHostname!="string"||typeof localUsername!=
"string")return skipAuth("Skipping invalid hostbased auth attempt");if(!key.isPrivateKey())return skipAuth("Skipping non\
-private key");nextAuth={type,username,key,localHostname,localUsername};break}case"agent":{let agent=nextAuth.agent;if(typeof agent==
"string"&&agent.length)agent=createAgent(agent);else if(!isAgent(agent))return skipAuth(`Skipping invalid agent: ${nextAuth.
agent}`);nextAuth={type,username,agentCtx:new AgentContext(agent)};break}case"keyboard-interactive":{let{prompt}=nextAuth;
if(typeof prompt!="function")return skipAuth("Skipping invalid keyboard-interactive auth attempt");nextAuth={type,username,
prompt};break}case"none":nextAuth={type,username};break;default:return skipAuth(`Skipping unsupported authentication met\
hod: ${nextAuth}`)}}}curAuth=nextAuth;try{let username=curAuth.username;switch(curAuth.type){case"password":proto.authPassword(
username,curAuth.password);break;case"publickey":{let keyAlgo;if(curAuth.keyAlgos=getKeyAlgos(this,curAuth.key,serverSigAlgs),
curAuth.keyAlgos)if(curAuth.keyAlgos.length)keyAlgo=curAuth.keyAlgos[0][0];else return skipAuth("Skipping key authentica\
tion (no mutual hash algorithm)");proto.authPK(username,curAuth.key,keyAlgo);break}case"hostbased":{let keyAlgo,hashAlgo;
if(curAuth.keyAlgos=getKeyAlgos(this,curAuth.key,serverSigAlgs),curAuth.keyAlgos)if(curAuth.keyAlgos.length)[keyAlgo,hashAlgo]=
curAuth.keyAlgos[0];else return skipAuth("Skipping hostbased authentication (no mutual hash algorithm)");proto.authHostbased(
username,curAuth.key,curAuth.localHostname,curAuth.localUsername,keyAlgo,(buf,cb)=>{let signature=curAuth.key.sign(buf,hashAlgo);
if(signature instanceof Error)return signature.message=`Error while signing with key: ${signature.message}`,signature.level=
"client-authentication",this.emit("error",signature),tryNextAuth();cb(signature)});break}case"agent":curAuth.agentCtx.init(
err=>{if(err)return err.level="agent",this.emit("error",err),tryNextAuth();tryNextAgentKey()});break;case"keyboard-inter\
active":proto.authKeyboard(username);break;case"none":proto.authNone(username);break}}finally{hasSentAuth=!1}}};function skipAuth(msg){
debug&&debug(msg),process.nextTick(tryNextAuth)}function tryNextAuth(){hasSentAuth=!1;let auth=authHandler(curAuthsLeft,
curPartial,doNextAuth);hasSentAuth||auth===void 0||doNextAuth(auth)}let tryNextAgentKey=()=>{if(curAuth.type==="agent"){
let key=curAuth.agentCtx.nextKey();if(key===!1)debug&&debug("Agent: No more keys left to try"),debug&&debug("Client: age\
nt auth failed"),tryNextAuth();else{let pos=curAuth.agentCtx.pos(),keyAlgo;if(curAuth.keyAlgos=getKeyAlgos(this,key,serverSigAlgs),
curAuth.keyAlgos)if(curAuth.keyAlgos.length)keyAlgo=curAuth.keyAlgos[0][0];else{debug&&debug(`Agent: Skipping key #${pos+
1} (no mutual hash algorithm)`),tryNextAgentKey();return}debug&&debug(`Agent: Trying key #${pos+1}`),proto.authPK(curAuth.
username,key,keyAlgo)}}},startTimeout=()=>{this.config.readyTimeout>0&&(this._readyTimeout=setTimeout(()=>{let err=new Error(
"Timed out while waiting for handshake");err.level="client-timeout",this.emit("error",err),sock.destroy()},this.config.readyTimeout))};
if(cfg.sock)startTimeout(),typeof sock.connecting=="boolean"&&sock.connecting||onConnect();else{let host=this.config.host,
forceIPv4=this.config.forceIPv4,forceIPv6=this.config.forceIPv6;debug&&debug(`Client: Trying ${host} on port ${this.config.
port} ...`);let doConnect=()=>{startTimeout(),sock.connect({host,port:this.config.port,localAddress:this.config.localAddress,
localPort:this.config.localPort}),sock.setMaxListeners(0),sock.setTimeout(typeof cfg.timeout=="number"?cfg.timeout:0)};!forceIPv4&&
!forceIPv6||forceIPv4&&forceIPv6?doConnect():dnsLookup(host,forceIPv4?4:6,(err,address,family)=>{if(err){let type=forceIPv4?
"IPv4":"IPv6",error2=new Error(`Error while looking up ${type} address for '${host}': ${err}`);clearTimeout(this._readyTimeout),
error2.level="client-dns",this.emit("error",error2),this.emit("close");return}host=address,doConnect()})}return this}end(){
return this._sock&&isWritable(this._sock)&&(this._protocol.disconnect(DISCONNECT_REASON.BY_APPLICATION),this._sock.end()),
this}destroy(){return this._sock&&isWritable(this._sock)&&this._sock.destroy(),this}exec(cmd,opts,cb){if(!this._sock||!isWritable(
this._sock))throw new Error("Not connected");typeof opts=="function"&&(cb=opts,opts={});let extraOpts={allowHalfOpen:opts.
allowHalfOpen!==!1};return openChannel(this,"session",extraOpts,(err,chan)=>{if(err){cb(err);return}let todo=[];function reqCb(err2){
if(err2){chan.close(),cb(err2);return}todo.length&&todo.shift()()}(this.config.allowAgentFwd===!0||opts&&opts.agentForward===
!0&&this._agent!==void 0)&&todo.push(()=>reqAgentFwd(chan,reqCb)),typeof opts=="object"&&opts!==null&&(typeof opts.env==
"object"&&opts.env!==null&&reqEnv(chan,opts.env),(typeof opts.pty=="object"&&opts.pty!==null||opts.pty===!0)&&todo.push(
()=>reqPty(chan,opts.pty,reqCb)),(typeof opts.x11=="object"&&opts.x11!==null||opts.x11==="number"||opts.x11===!0)&&todo.
push(()=>reqX11(chan,opts.x11,reqCb))),todo.push(()=>reqExec(chan,cmd,opts,cb)),todo.shift()()}),this}shell(wndopts,opts,cb){
if(!this._sock||!isWritable(this._sock))throw new Error("Not connected");return typeof wndopts=="function"?(cb=wndopts,wndopts=
opts=void 0):typeof opts=="function"&&(cb=opts,opts=void 0),wndopts&&(wndopts.x11!==void 0||wndopts.env!==void 0)&&(opts=
wndopts,wndopts=void 0),openChannel(this,"session",(err,chan)=>{if(err){cb(err);return}let todo=[];function reqCb(err2){
if(err2){chan.close(),cb(err2);return}todo.length&&todo.shift()()}(this.config.allowAgentFwd===!0||opts&&opts.agentForward===
!0&&this._agent!==void 0)&&todo.push(()=>reqAgentFwd(chan,reqCb)),wndopts!==!1&&todo.push(()=>reqPty(chan,wndopts,reqCb)),
typeof opts=="object"&&opts!==null&&(typeof opts.env=="object"&&opts.env!==null&&reqEnv(chan,opts.env),(typeof opts.x11==
"object"&&opts.x11!==null||opts.x11==="number"||opts.x11===!0)&&todo.push(()=>reqX11(chan,opts.x11,reqCb))),todo.push(()=>reqShell(
chan,cb)),todo.shift()()}),this}subsys(name,cb){if(!this._sock||!isWritable(this._sock))throw new Error("Not connected");
return openChannel(this,"session",(err,chan)=>{if(err){cb(err);return}reqSubsystem(chan,name,(err2,stream)=>{if(err2){cb(
err2);return}cb(void 0,stream)})}),this}forwardIn(bindAddr,bindPort,cb){if(!this._sock||!isWritable(this._sock))throw new Error(
"Not connected");let wantReply=typeof cb=="function";return wantReply&&this._callbacks.push((had_err,data)=>{if(had_err){
cb(had_err!==!0?had_err:new Error(`Unable to bind to ${bindAddr}:${bindPort}`));return}let realPort=bindPort;bindPort===
0&&data&&data.length>=4&&(realPort=readUInt32BE(data,0),this._protocol._compatFlags&COMPAT.DYN_RPORT_BUG||(bindPort=realPort)),
this._forwarding[`${bindAddr}:${bindPort}`]=realPort,cb(void 0,realPort)}),this._protocol.tcpipForward(bindAddr,bindPort,
wantReply),this}unforwardIn(bindAddr,bindPort,cb){if(!this._sock||!isWritable(this._sock))throw new Error("Not connected");
let wantReply=typeof cb=="function";return wantReply&&this._callbacks.push(had_err=>{if(had_err){cb(had_err!==!0?had_err:
new Error(`Unable to unbind from ${bindAddr}:${bindPort}`));return}delete this._forwarding[`${bindAddr}:${bindPort}`],cb()}),
this._protocol.cancelTcpipForward(bindAddr,bindPort,wantReply),this}forwardOut(srcIP,srcPort,dstIP,dstPort,cb){if(!this.
_sock||!isWritable(this._sock))throw new Error("Not connected");let cfg={srcIP,srcPort,dstIP,dstPort};return typeof cb!=
"function"&&(cb=noop),openChannel(this,"direct-tcpip",cfg,cb),this}openssh_noMoreSessions(cb){if(!this._sock||!isWritable(
this._sock))throw new Error("Not connected");let wantReply=typeof cb=="function";return!this.config.strictVendor||this.config.
strictVendor&&RE_OPENSSH.test(this._remoteVer)?(wantReply&&this._callbacks.push(had_err=>{if(had_err){cb(had_err!==!0?had_err:
new Error("Unable to disable future sessions"));return}cb()}),this._protocol.openssh_noMoreSessions(wantReply),this):wantReply?
(process.nextTick(cb,new Error("strictVendor enabled and server is not OpenSSH or compatible version")),this):this}openssh_forwardInStreamLocal(socketPath,cb){
if(!this._sock||!isWritable(this._sock))throw new Error("Not connected");let wantReply=typeof cb=="function";return!this.
config.strictVendor||this.config.strictVendor&&RE_OPENSSH.test(this._remoteVer)?(wantReply&&this._callbacks.push(had_err=>{
if(had_err){cb(had_err!==!0?had_err:new Error(`Unable to bind to ${socketPath}`));return}this._forwardingUnix[socketPath]=
!0,cb()}),this._protocol.openssh_streamLocalForward(socketPath,wantReply),this):wantReply?(process.nextTick(cb,new Error(
"strictVendor enabled and server is not OpenSSH or compatible version")),this):this}openssh_unforwardInStreamLocal(socketPath,cb){
if(!this._sock||!isWritable(this._sock))throw new Error("Not connected");let wantReply=typeof cb=="function";return!this.
config.strictVendor||this.config.strictVendor&&RE_OPENSSH.test(this._remoteVer)?(wantReply&&this._callbacks.push(had_err=>{
if(had_err){cb(had_err!==!0?had_err:new Error(`Unable to unbind from ${socketPath}`));return}delete this._forwardingUnix[socketPath],
cb()}),this._protocol.openssh_cancelStreamLocalForward(socketPath,wantReply),this):wantReply?(process.nextTick(cb,new Error(
"strictVendor enabled and server is not OpenSSH or compatible version")),this):this}openssh_forwardOutStreamLocal(socketPath,cb){
if(!this._sock||!isWritable(this._sock))throw new Error("Not connected");return typeof cb!="function"&&(cb=noop),!this.config.
strictVendor||this.config.strictVendor&&RE_OPENSSH.test(this._remoteVer)?(openChannel(this,"direct-streamlocal@openssh.c\
om",{socketPath},cb),this):(process.nextTick(cb,new Error("strictVendor enabled and server is not OpenSSH or compatible \
version")),this)}sftp(env,cb){if(!this._sock||!isWritable(this._sock))throw new Error("Not connected");return typeof env==
"function"&&(cb=env,env=void 0),openChannel(this,"sftp",(err,sftp)=>{if(err){cb(err);return}let reqSubsystemCb=(err2,sftp_)=>{
if(err2){cb(err2);return}function removeListeners(){sftp.removeListener("ready",onReady),sftp.removeListener("error",onError),
sftp.removeListener("exit",onExit),sftp.removeListener("close",onExit)}function onReady(){removeListeners(),cb(void 0,sftp)}
function onError(err3){removeListeners(),cb(err3)}function onExit(code2,signal2){removeListeners();let msg;typeof code2==
"number"?msg=`Received exit code ${code2} while establishing SFTP session`:signal2!==void 0?msg=`Received signal ${signal2}\
 while establishing SFTP session`:msg="Received unexpected SFTP session termination";let err3=new Error(msg);err3.code=code2,
err3.signal=signal2,cb(err3)}sftp.on("ready",onReady).on("error",onError).on("exit",onExit).on("close",onExit),sftp._init()};
typeof env=="object"&&env!==null?reqEnv(sftp,env,err2=>{if(err2){cb(err2);return}reqSubsystem(sftp,"sftp",reqSubsystemCb)}):
reqSubsystem(sftp,"sftp",reqSubsystemCb)}),this}setNoDelay(noDelay){return this._sock&&typeof this._sock.setNoDelay=="fu\
nction"&&this._sock.setNoDelay(noDelay),this}};function openChannel(self2,type,opts,cb){let initWindow=MAX_WINDOW,maxPacket=PACKET_SIZE;
typeof opts=="function"&&(cb=opts,opts={});let wrapper=(err,stream)=>{cb(err,stream)};wrapper.type=type;let localChan=self2.
_chanMgr.add(wrapper);if(localChan===-1){cb(new Error("No free channels available"));return}switch(type){case"session":case"\
sftp":self2._protocol.session(localChan,initWindow,maxPacket);break;case"direct-tcpip":self2._protocol.directTcpip(localChan,
initWindow,maxPacket,opts);break;case"direct-streamlocal@openssh.com":self2._protocol.openssh_directStreamLocal(localChan,
initWindow,maxPacket,opts);break;default:throw new Error(`Unsupported channel type: ${type}`)}}function reqX11(chan,screen,cb){
let cfg={single:!1,protocol:"MIT-MAGIC-COOKIE-1",cookie:void 0,screen:0};typeof screen=="function"?cb=screen:typeof screen==
"object"&&screen!==null&&(typeof screen.single=="boolean"&&(cfg.single=screen.single),typeof screen.screen=="number"&&(cfg.
screen=screen.screen),typeof screen.protocol=="string"&&(cfg.protocol=screen.protocol),typeof screen.cookie=="string"?cfg.
cookie=screen.cookie:Buffer.isBuffer(screen.cookie)&&(cfg.cookie=screen.cookie.hexSlice(0,screen.cookie.length))),cfg.cookie===
void 0&&(cfg.cookie=randomCookie());let wantReply=typeof cb=="function";if(chan.outgoing.state!=="open"){wantReply&&cb(new Error(
"Channel is not open"));return}wantReply&&chan._callbacks.push(had_err=>{if(had_err){cb(had_err!==!0?had_err:new Error("\
Unable to request X11"));return}chan._hasX11=!0,++chan._client._acceptX11,chan.once("close",()=>{chan._client._acceptX11&&
--chan._client._acceptX11}),cb()}),chan._client._protocol.x11Forward(chan.outgoing.id,cfg,wantReply)}function reqPty(chan,opts,cb){
let rows=24,cols=80,width=640,height=480,term="vt100",modes=null;typeof opts=="function"?cb=opts:typeof opts=="object"&&
opts!==null&&(typeof opts.rows=="number"&&(rows=opts.rows),typeof opts.cols=="number"&&(cols=opts.cols),typeof opts.width==
"number"&&(width=opts.width),typeof opts.height=="number"&&(height=opts.height),typeof opts.term=="string"&&(term=opts.term),
typeof opts.modes=="object"&&(modes=opts.modes));let wantReply=typeof cb=="function";if(chan.outgoing.state!=="open"){wantReply&&
cb(new Error("Channel is not open"));return}wantReply&&chan._callbacks.push(had_err=>{if(had_err){cb(had_err!==!0?had_err:
new Error("Unable to request a pseudo-terminal"));return}cb()}),chan._client._protocol.pty(chan.outgoing.id,rows,cols,height,
width,term,modes,wantReply)}function reqAgentFwd(chan,cb){let wantReply=typeof cb=="function";if(chan.outgoing.state!=="\
open"){wantReply&&cb(new Error("Channel is not open"));return}if(chan._client._agentFwdEnabled){wantReply&&cb(!1);return}
chan._client._agentFwdEnabled=!0,chan._callbacks.push(had_err=>{if(had_err){chan._client._agentFwdEnabled=!1,wantReply&&
cb(had_err!==!0?had_err:new Error("Unable to request agent forwarding"));return}wantReply&&cb()}),chan._client._protocol.
openssh_agentForward(chan.outgoing.id,!0)}function reqShell(chan,cb){if(chan.outgoing.state!=="open"){cb(new Error("Chan\
nel is not open"));return}chan._callbacks.push(had_err=>{if(had_err){cb(had_err!==!0?had_err:new Error("Unable to open s\
hell"));return}chan.subtype="shell",cb(void 0,chan)}),chan._client._protocol.shell(chan.outgoing.id,!0)}function reqExec(chan,cmd,opts,cb){
if(chan.outgoing.state!=="open"){cb(new Error("Channel is not open"));return}chan._callbacks.push(had_err=>{if(had_err){
cb(had_err!==!0?had_err:new Error("Unable to exec"));return}chan.subtype="exec",chan.allowHalfOpen=opts.allowHalfOpen!==
!1,cb(void 0,chan)}),chan._client._protocol.exec(chan.outgoing.id,cmd,!0)}function reqEnv(chan,env,cb){let wantReply=typeof cb==
"function";if(chan.outgoing.state!=="open"){wantReply&&cb(new Error("Channel is not open"));return}wantReply&&chan._callbacks.
push(had_err=>{if(had_err){cb(had_err!==!0?had_err:new Error("Unable to set environment"));return}cb()});let keys=Object.
keys(env||{});for(let i=0;i<keys.length;++i){let key=keys[i],val=env[key];chan._client._protocol.env(chan.outgoing.id,key,
val,wantReply)}}function reqSubsystem(chan,name,cb){if(chan.outgoing.state!=="open"){cb(new Error("Channel is not open"));
return}chan._callbacks.push(had_err=>{if(had_err){cb(had_err!==!0?had_err:new Error(`Unable to start subsystem: ${name}`));
return}chan.subtype="subsystem",cb(void 0,chan)}),chan._client._protocol.subsystem(chan.outgoing.id,name,!0)}function onCHANNEL_OPEN(self2,info){
let localChan=-1,reason,accept=()=>{let chanInfo={type:info.type,incoming:{id:localChan,window:MAX_WINDOW,packetSize:PACKET_SIZE,
state:"open"},outgoing:{id:info.sender,window:info.window,packetSize:info.packetSize,state:"open"}},stream=new Channel(self2,
chanInfo);return self2._chanMgr.update(localChan,stream),self2._protocol.channelOpenConfirm(info.sender,localChan,MAX_WINDOW,
PACKET_SIZE),stream},reject=()=>{reason===void 0&&(localChan===-1?reason=CHANNEL_OPEN_FAILURE.RESOURCE_SHORTAGE:reason=CHANNEL_OPEN_FAILURE.
CONNECT_FAILED),localChan!==-1&&self2._chanMgr.remove(localChan),self2._protocol.channelOpenFail(info.sender,reason,"")},
reserveChannel=()=>(localChan=self2._chanMgr.add(),localChan===-1&&(reason=CHANNEL_OPEN_FAILURE.RESOURCE_SHORTAGE,self2.
config.debug&&self2.config.debug("Client: Automatic rejection of incoming channel open: no channels available")),localChan!==
-1),data=info.data;switch(info.type){case"forwarded-tcpip":{let val=self2._forwarding[`${data.destIP}:${data.destPort}`];
if(val!==void 0&&reserveChannel()){data.destPort===0&&(data.destPort=val),self2.emit("tcp connection",data,accept,reject);
return}break}case"forwarded-streamlocal@openssh.com":if(self2._forwardingUnix[data.socketPath]!==void 0&&reserveChannel()){
self2.emit("unix connection",data,accept,reject);return}break;case"auth-agent@openssh.com":if(self2._agentFwdEnabled&&typeof self2.
_agent.getStream=="function"&&reserveChannel()){self2._agent.getStream((err,stream)=>{if(err)return reject();let upstream=accept();
upstream.pipe(stream).pipe(upstream)});return}break;case"x11":if(self2._acceptX11!==0&&reserveChannel()){self2.emit("x11",
data,accept,reject);return}break;default:reason=CHANNEL_OPEN_FAILURE.UNKNOWN_CHANNEL_TYPE,self2.config.debug&&self2.config.
debug(`Client: Automatic rejection of unsupported incoming channel open type: ${info.type}`)}reason===void 0&&(reason=CHANNEL_OPEN_FAILURE.
ADMINISTRATIVELY_PROHIBITED,self2.config.debug&&self2.config.debug("Client: Automatic rejection of unexpected incoming c\
hannel open for: "+info.type)),reject()}var randomCookie=(()=>{let buffer4=Buffer.allocUnsafe(16);return()=>(randomFillSync2(
buffer4,0,16),buffer4.hexSlice(0,16))})();function makeSimpleAuthHandler(authList){if(!Array.isArray(authList))throw new Error(
"authList must be an array");let a=0;return(authsLeft,partialSuccess,cb)=>a===authList.length?!1:authList[a++]}function hostKeysProve(client,keys_,cb){
if(!client._sock||!isWritable(client._sock))return;if(typeof cb!="function"&&(cb=noop),!Array.isArray(keys_))throw new TypeError(
"Invalid keys argument type");let keys=[];for(let key of keys_){let parsed3=parseKey(key);if(parsed3 instanceof Error)throw parsed3;
keys.push(parsed3)}if(!client.config.strictVendor||client.config.strictVendor&&RE_OPENSSH.test(client._remoteVer)){client.
_callbacks.push((had_err,data)=>{if(had_err){cb(had_err!==!0?had_err:new Error("Server failed to prove supplied keys"));
return}let ret=[],keyIdx=0;for(bufferParser.init(data,0);bufferParser.avail()&&keyIdx!==keys.length;){let key=keys[keyIdx++],
keyPublic=key.getPublicSSH(),sigEntry=bufferParser.readString();sigParser.init(sigEntry,0);let type=sigParser.readString(
!0),value=sigParser.readString(),algo;if(type!==key.type)if(key.type==="ssh-rsa")switch(type){case"rsa-sha2-256":algo="s\
ha256";break;case"rsa-sha2-512":algo="sha512";break;default:continue}else continue;let sessionID=client._protocol._kex.sessionID,
verifyData=Buffer.allocUnsafe(37+sessionID.length+4+keyPublic.length),p=0;writeUInt32BE(verifyData,29,p),verifyData.utf8Write(
"hostkeys-prove-00@openssh.com",p+=4,29),writeUInt32BE(verifyData,sessionID.length,p+=29),bufferCopy(sessionID,verifyData,
0,sessionID.length,p+=4),writeUInt32BE(verifyData,keyPublic.length,p+=sessionID.length),bufferCopy(keyPublic,verifyData,
0,keyPublic.length,p+=4),(value=sigSSHToASN1(value,type))&&key.verify(verifyData,value,algo)===!0&&ret.push(key)}sigParser.
clear(),bufferParser.clear(),cb(null,ret)}),client._protocol.openssh_hostKeysProve(keys);return}process.nextTick(cb,new Error(
"strictVendor enabled and server is not OpenSSH or compatible version"))}function getKeyAlgos(client,key,serverSigAlgs){
switch(key.type){case"ssh-rsa":if(client._protocol._compatFlags&COMPAT.IMPLY_RSA_SHA2_SIGALGS&&(Array.isArray(serverSigAlgs)?
serverSigAlgs=["rsa-sha2-256","rsa-sha2-512",...serverSigAlgs]:serverSigAlgs=["rsa-sha2-256","rsa-sha2-512"]),Array.isArray(
serverSigAlgs)){if(serverSigAlgs.indexOf("rsa-sha2-256")!==-1)return[["rsa-sha2-256","sha256"]];if(serverSigAlgs.indexOf(
"rsa-sha2-512")!==-1)return[["rsa-sha2-512","sha512"]];if(serverSigAlgs.indexOf("ssh-rsa")===-1)return[]}return[["ssh-rs\
a","sha1"]]}}module2.exports=Client}});var require_server=__commonJS({"node_modules/ssh2/lib/server.js"(exports2,module2){init_define_SAVEPOINT();module2.exports=
{}}});var require_keygen=__commonJS({"node_modules/ssh2/lib/keygen.js"(exports2,module2){init_define_SAVEPOINT();module2.exports=
{}}});var require_lib2=__commonJS({"node_modules/ssh2/lib/index.js"(exports2,module2){"use strict";init_define_SAVEPOINT();var{
AgentProtocol,BaseAgent,createAgent,CygwinAgent,OpenSSHAgent,PageantAgent}=require_agent(),{SSHTTPAgent:HTTPAgent,SSHTTPSAgent:HTTPSAgent}=require_http_agents(),
{parseKey}=require_keyParser(),{flagsToString,OPEN_MODE,STATUS_CODE,stringToFlags}=require_SFTP();module2.exports={AgentProtocol,
BaseAgent,createAgent,Client:require_client(),CygwinAgent,HTTPAgent,HTTPSAgent,OpenSSHAgent,PageantAgent,Server:require_server(),
utils:{parseKey,...require_keygen(),sftp:{flagsToString,OPEN_MODE,STATUS_CODE,stringToFlags}}}}});function dialThrough(target,command){let child=(0,import_node_child_process3.spawn)(shell,["-c",`exec ${command}`],{stdio:[
"pipe","pipe","inherit"],cwd}),stream=import_node_stream6.Duplex.from({readable:child.stdout,writable:child.stdin});return child.
once("error",error2=>stream.destroy(unreachable(target,sentenceOf(error2),{details:{through:command}}))),stream.once("cl\
ose",()=>child.kill()),stream}async function askForKnownHosts(command){try{let{stdout}=await(0,import_node_util2.promisify)(
import_node_child_process3.execFile)(shell,["-c",command],{cwd});return stdout}catch(error2){throw new SavepointError("k\
nown-hosts-missing",{message:`KnownHostsCommand failed: ${sentenceOf(error2)}`,details:{command},cause:error2})}}async function runLocally(target,command){
try{await(0,import_node_util2.promisify)(import_node_child_process3.execFile)(shell,["-c",command],{cwd})}catch(error2){
throw new SavepointError("host-unreachable",{message:`LocalCommand for ${targetName(target)} failed: ${sentenceOf(error2)}`,
details:{command},cause:error2})}}var import_node_child_process3,import_node_stream6,import_node_util2,shell,cwd,init_ssh_programs=__esm(
{"src/host/ssh-programs.ts"(){"use strict";init_define_SAVEPOINT();import_node_child_process3=__toESM(require_node_child_process(),1),
import_node_stream6=require("node:stream"),import_node_util2=require("node:util");init_errors();init_ssh_errors();init_ssh_target();
shell="/bin/sh",cwd="/"}});async function loadHostKeyCheck(target){if(target.hostKeyCheck==="accept-any")return{algorithms:accepted(target),refuse:()=>{}};
let hosts=[],lookedIn=[],take=(text5,source)=>{let{hosts:found,unreadable:unreadable2}=parseKnownHosts(text5,source);hosts.
push(...found);let bad3=unreadable2.length>0?` (not understood: line ${unreadable2.join(", ")})`:"";lookedIn.push(`${source}${bad3}`)};
target.knownHosts!==void 0&&take(target.knownHosts,"the known-hosts lines given");for(let file of target.knownHostsFiles){
let text5=await readKnownHosts(file);text5===void 0?lookedIn.push(`${file} (absent)`):take(text5,file)}return target.knownHostsCommand!==
void 0&&take(await askForKnownHosts(target.knownHostsCommand),"the output of KnownHostsCommand"),target.revokedHostKeys!==
void 0&&hosts.push(...await readRevoked(target.revokedHostKeys)),checkAgainst(target,hosts,lookedIn)}async function readKnownHosts(file){
try{return await(0,import_promises12.readFile)(file,"utf8")}catch(error2){if(error2 instanceof Error&&"code"in error2&&error2.
code==="ENOENT")return;throw new SavepointError("known-hosts-missing",{message:`The known_hosts file ${file} cannot be r\
ead: ${sentenceOf(error2)}`,details:{file},cause:error2})}}async function readRevoked(file){let text5=await readKnownHosts(
file);if(text5===void 0||text5.startsWith("SSHKRL"))throw new SavepointError("known-hosts-missing",{message:text5?`Revok\
edHostKeys ${file} is a binary revocation list, which is not supported; list the keys as text.`:`RevokedHostKeys ${file}\
 does not exist.`,details:{file}});let marked=text5.replace(/^(?=[^\s#])/gm,"@revoked * ");return parseKnownHosts(marked,
file).hosts}function checkAgainst(target,hosts,lookedIn){let name=target.hostKeyAlias??knownHostName(target.name,target.
port),known=hosts.filter(entry3=>matchesHost(entry3,name)),bare=target.name.toLowerCase(),fallback=target.hostKeyAlias===
void 0&&target.port!==22&&!known.some(isPlain)?hosts.filter(entry3=>matchesHost(entry3,bare)):[];return{algorithms:knownFirst(
accepted(target),[...known,...fallback].filter(isPlain)),refuse:key=>{let shown=`${keyType(key)} ${fingerprint(key)}`,facts={
target,name,shown,lookedIn},same2=entry3=>entry3.key.equals(key),revoked=[...known,...fallback].find(entry3=>isRevoked(entry3)&&
same2(entry3));if(revoked)return revokedKey(facts,revoked);if(known.some(entry3=>isPlain(entry3)&&same2(entry3))||fallback.
some(entry3=>isPlain(entry3)&&same2(entry3)))return;let other=known.filter(isPlain);return other.length>0?changedKey(facts,
other):unknownKey(facts,known.find(isAuthority),fallback.filter(isPlain))}}}function accepted(target){return[...target.hostKeyAlgorithms??
hostKeyAlgorithms.usual]}function knownFirst(algorithms2,known){let types=new Set(known.map(entry3=>entry3.type)),isKnown=algorithm=>types.
has(algorithm.startsWith("rsa-sha2-")?"ssh-rsa":algorithm);return[...algorithms2.filter(isKnown),...algorithms2.filter(algorithm=>!isKnown(
algorithm))]}function unknownKey({target,name,shown,lookedIn},authority,withoutPort){let scan=`\`ssh-keyscan ${target.port===
22?"":`-p ${target.port} `}${target.name}\``;return new SavepointError("host-key-unknown",{message:authority?`${targetName(
target)} is trusted through a certificate authority (${at(authority)}), but host certificates are not supported; its own\
 key is not known.`:`The key of ${targetName(target)} is not in any known_hosts that was looked at.`,details:{host:targetName(
target),name,shown,lookedIn:lookedIn.length>0?lookedIn:["nothing: neither lines nor files were given"],...withoutPort.length>
0&&{knownWithoutPort:withoutPort.map(described)}},hint:`Get the line with ${scan}, compare its fingerprint with one read\
 on the host itself (\`ssh-keygen -lf\` on /etc/ssh/ssh_host_*_key.pub), and add it to known_hosts.`})}function changedKey({
target,name,shown},known){let ofSameType=known.filter(entry3=>shown.startsWith(`${entry3.type} `)),offending=(ofSameType.
length>0?ofSameType:known).map(at);return new SavepointError("host-key-changed",{message:`The key of ${targetName(target)}\
 is not the one that ${offending.join(", ")} has for it.`,details:{host:targetName(target),name,shown,known:known.map(described),
offending},hint:"Either the host was installed anew, or somebody is in between. Find out which before you replace that l\
ine."})}function revokedKey({target,name,shown},revoked){return new SavepointError("host-key-revoked",{message:`The key \
of ${targetName(target)} is marked as revoked in ${at(revoked)}.`,details:{host:targetName(target),name,shown,revoked:at(
revoked)}})}var import_promises12,isPlain,isRevoked,isAuthority,at,described,init_host_key=__esm({"src/host/host-key.ts"(){
"use strict";init_define_SAVEPOINT();import_promises12=require("node:fs/promises");init_errors();init_known_hosts();init_ssh_algorithms();
init_ssh_programs();init_ssh_target();isPlain=entry3=>entry3.marker==="none",isRevoked=entry3=>entry3.marker==="revoked",
isAuthority=entry3=>entry3.marker==="cert-authority";at=({source,line})=>`${source}:${line}`,described=entry3=>`${entry3.
type} ${fingerprint(entry3.key)} (${at(entry3)})`}});function openSshEd25519(key){let{x="",d=""}=key.export({format:"jwk"}),publicPart2=Buffer.from(x,"base64url"),secretPart=Buffer.
from(d,"base64url"),type=string3("ssh-ed25519"),check=Buffer.alloc(8),secret=Buffer.concat([check,type,string3(publicPart2),
string3(Buffer.concat([secretPart,publicPart2])),string3("")]),padding2=Buffer.from([1,2,3,4,5,6,7]).subarray(0,(8-secret.
length%8)%8);return`-----BEGIN OPENSSH PRIVATE KEY-----
${(Buffer.concat([Buffer.from("openssh-key-v1\0","latin1"),string3("none"),string3("none"),string3(""),Buffer.from([0,0,
0,1]),string3(Buffer.concat([type,string3(publicPart2)])),string3(Buffer.concat([secret,padding2]))]).toString("base64").
match(/.{1,70}/g)??[]).join(`
`)}
-----END OPENSSH PRIVATE KEY-----
`}function string3(value){let bytes2=Buffer.from(value),length=Buffer.alloc(4);return length.writeUInt32BE(bytes2.length),
Buffer.concat([length,bytes2])}var init_openssh_ed25519=__esm({"src/host/openssh-ed25519.ts"(){"use strict";init_define_SAVEPOINT()}});async function readKeyFile(path){try{var _stack=[];try{let file=__using(_stack,await(0,import_promises13.open)(path,"r"),
!0);let{mode,uid}=await file.stat();if(uid===process.getuid?.()&&(mode&63)!==0)throw tooOpen(path,mode);return await file.
readFile("utf8")}catch(_){var _error=_,_hasError=!0}finally{var _promise=__callDispose(_stack,_error,_hasError);_promise&&
await _promise}}catch(error2){if(error2 instanceof SavepointError)throw error2;let missing2=error2 instanceof Error&&"co\
de"in error2&&error2.code==="ENOENT";throw new SavepointError(missing2?"key-missing":"key-unreadable",{message:missing2?
`There is no key file ${path}.`:`The key file ${path} cannot be read: ${sentenceOf(error2)}`,details:{file:path},cause:error2})}}
function tooOpen(path,mode){return new SavepointError("key-unreadable",{message:`The key file ${path} may be read by oth\
ers, so it is not used.`,details:{file:path,mode:(mode&511).toString(8).padStart(4,"0")},hint:`chmod 600 ${path}`})}function parsePrivateKey(text5,source,passphrase){
let pem=`${text5.replaceAll("\r","").trim()}
`,format=header.exec(pem)?.[1]??"";if(format.includes("PUBLIC")||/^(ssh|ecdsa|sk)-\S+ AAAA/.test(pem))throw bad2(source,
"is a public key; the private one is needed");if(!format&&!pem.startsWith("PuTTY-User-Key-File-")){let folded=pem.includes(
"\\n")?" (it has \\n where line breaks belong)":"";throw bad2(source,`does not begin as a private key does${folded}`)}if(isEncrypted(
pem,format)&&passphrase===void 0)throw bad2(source,"is encrypted and no passphrase is known",{hint:`Set ${passphraseVariable}\
 in the environment, or use an agent.`});let isOpenSsh=format==="OPENSSH PRIVATE KEY"||format==="",key=import_ssh2.default.
utils.parseKey(isOpenSsh?pem:toOpenSsh(pem,source,passphrase),isOpenSsh?passphrase:void 0),first=Array.isArray(key)?key[0]:
key;if(isParsedKey(first))return first;let encrypted=isEncrypted(pem,format);throw bad2(source,encrypted?"cannot be decr\
ypted":"cannot be parsed",{cause:first,...encrypted&&{hint:`Is the passphrase in ${passphraseVariable} the right one?`}})}
function describeKey(key){return`${key.type} ${fingerprint(key.getPublicSSH())}`}function isParsedKey(key){return typeof key==
"object"&&key!==null&&!(key instanceof Error)&&"sign"in key}function isEncrypted(pem,format){return format==="OPENSSH PR\
IVATE KEY"?openSshCipher(pem)!=="none":format===""?/^Encryption: (?!none)/m.test(pem):format==="ENCRYPTED PRIVATE KEY"||
/^Proc-Type: 4,ENCRYPTED/m.test(pem)}function openSshCipher(pem){let body=Buffer.from(pem.replace(/-----[^\n]*-----/g,""),
"base64"),start2=15;return body.length<start2+4?"none":body.toString("latin1",start2+4,start2+4+body.readUInt32BE(start2))}
function toOpenSsh(pem,source,passphrase){let key;try{key=(0,import_node_crypto6.createPrivateKey)(passphrase===void 0?pem:
{key:pem,passphrase})}catch(error2){throw bad2(source,passphrase===void 0?"cannot be parsed":"cannot be decrypted",{cause:error2,
hint:`Is it whole, and is the passphrase in ${passphraseVariable}, if it needs one, the right one?`})}switch(key.asymmetricKeyType){case"\
rsa":return key.export({type:"pkcs1",format:"pem"}).toString();case"ec":return key.export({type:"sec1",format:"pem"}).toString();case"\
ed25519":return openSshEd25519(key);default:throw bad2(source,`is of the type ${key.asymmetricKeyType}, which SSH has no\
 use for`,{hint:"Use an Ed25519, ECDSA or RSA key."})}}function bad2(source,what,more={}){return new SavepointError("key\
-bad",{message:`The SSH key from ${source} ${what}.`,details:{source},...more})}var import_node_crypto6,import_promises13,
import_ssh2,passphraseVariable,header,init_ssh_keys=__esm({"src/host/ssh-keys.ts"(){"use strict";init_define_SAVEPOINT();
import_node_crypto6=require("node:crypto"),import_promises13=require("node:fs/promises"),import_ssh2=__toESM(require_lib2(),1);
init_errors();init_known_hosts();init_openssh_ed25519();passphraseVariable="SAVEPOINT_KEY_PASSPHRASE",header=/^-----BEGIN ([A-Z0-9 ]+)-----/m}});async function agentKeys(path){let agent=import_ssh22.default.createAgent(path);return(await new Promise((resolve3,reject)=>{
agent.getIdentities((error2,keys)=>{if(!error2)return resolve3(keys??[]);reject(new SavepointError("key-missing",{message:`\
The SSH agent at ${path} does not answer.`,cause:error2}))})})).map(asParsedKey).flatMap(key=>key?[agentKey(agent,path,key)]:
[])}function asParsedKey(key){let parsed3=import_ssh22.default.utils.parseKey(key);return parsed3 instanceof Error?void 0:
parsed3}function agentKey(agent,path,key){return{label:`agent ${path} (${describeKey(key)})`,publicKey:key.getPublicSSH(),
method:username=>({type:"agent",username,agent:reducedTo(agent,key)})}}function reducedTo(agent,key){return Object.assign(
Object.create(agent),{getIdentities:done=>done(void 0,[key])})}var import_ssh22,init_ssh_agent=__esm({"src/host/ssh-agen\
t.ts"(){"use strict";init_define_SAVEPOINT();import_ssh22=__toESM(require_lib2(),1);init_errors();init_ssh_keys()}});async function loadIdentities(target,passphrase){let passedOver=[],agent=await askAgent(target,passedOver),offered=[],takeFile=async file=>{
try{offered.push(ownKey(parsePrivateKey(await readKeyFile(file),file,passphrase),file))}catch(error2){let inAgent=agent.
find(same(await publicPart(file)));if(!inAgent)throw error2;offered.push(inAgent)}};if(target.keyText!==void 0){let source="\
the environment";offered.push(ownKey(parsePrivateKey(target.keyText,source,passphrase),source))}target.key!==void 0&&await takeFile(
target.key);for(let file of target.keyFiles??[])await takeFile(file).catch(error2=>{if(!(error2 instanceof SavepointError))
throw error2;passedOver.push(error2.message)});if(target.identitiesOnly||offered.push(...agent.filter(key=>!offered.includes(
key))),offered.length>0)return{offered,passedOver};throw new SavepointError("key-missing",{message:`There is no key to l\
og in to ${targetName(target)} with.`,details:{host:targetName(target),...passedOver.length>0&&{passedOver}},hint:"Name \
a key file, give the key in the environment, or start an agent that has it."})}async function askAgent(target,passedOver){
if(target.agent===void 0)return[];try{return await agentKeys(target.agent)}catch(error2){if(!(error2 instanceof SavepointError))
throw error2;return passedOver.push(error2.message),[]}}function ownKey(key,source){return{label:`${source} (${describeKey(
key)})`,method:username=>({type:"publickey",username,key})}}async function publicPart(file){for(let candidate of[`${file}\
.pub`,file]){let text5=await(0,import_promises14.readFile)(candidate,"utf8").catch(()=>{});if(text5===void 0||text5.includes(
"PRIVATE KEY"))continue;let key=import_ssh23.default.utils.parseKey(text5);if(!(key instanceof Error))return key.getPublicSSH()}}
function same(publicKey){return key=>publicKey?.equals(key.publicKey)??!1}var import_promises14,import_ssh23,init_ssh_identities=__esm(
{"src/host/ssh-identities.ts"(){"use strict";init_define_SAVEPOINT();import_promises14=require("node:fs/promises"),import_ssh23=
__toESM(require_lib2(),1);init_errors();init_ssh_agent();init_ssh_keys();init_ssh_target()}});function giveBack(bytes2){let{buffer:buffer4,length}=bytes2;length<16384||buffer4.byteLength-length>64||buffer4.transfer?.(
0)}var init_give_back=__esm({"src/host/give-back.ts"(){"use strict";init_define_SAVEPOINT()}});function reusePackets(client){let{_protocol}=client,place=Buffer.allocUnsafeSlow(largest2),random=Buffer.alloc(poolSize),
used=poolSize,pad=padding2=>{used+padding2.length>poolSize&&((0,import_node_crypto7.randomFillSync)(random),used=0),used+=
random.copy(padding2,0,used,used+padding2.length)},allocPacket=payload=>{let least=head-unencrypted+payload+leastPadding,
encrypted=Math.ceil(least/block2)*block2,length=unencrypted+encrypted,packet=payload>=large&&length<=largest2?place.subarray(
0,length):Buffer.allocUnsafe(length);return packet.writeUInt32BE(encrypted),packet.writeUInt8(length-head-payload,unencrypted),
pad(packet.subarray(head+payload)),packet};client.on("handshake",()=>{let{_cipher:cipher}=_protocol;if(cipher._encKey===
void 0)return;cipher.allocPacket=allocPacket;let{_onWrite:write}=cipher;cipher._onWrite=bytes2=>{write(bytes2),giveBack(
bytes2)}})}var import_node_crypto7,head,leastPadding,unencrypted,block2,large,largest2,poolSize,init_ssh_packets=__esm({
"src/host/ssh-packets.ts"(){"use strict";init_define_SAVEPOINT();import_node_crypto7=require("node:crypto");init_give_back();
head=5,leastPadding=4,unencrypted=4,block2=16,large=16*1024,largest2=34*1024,poolSize=4096}});function askAtOnce(client){let internals=client,handlers=internals._protocol._handlers,{SERVICE_ACCEPT:accepted2,EXT_INFO:told2}=handlers,
requested=!1,begun=!1;client.once("handshake",()=>{requested=!0}),handlers.EXT_INFO=(protocol,extensions)=>{told2(protocol,
extensions),!(!requested||begun||!internals._remoteVer?.startsWith("OpenSSH_"))&&(begun=!0,accepted2(protocol,service))},
handlers.SERVICE_ACCEPT=(protocol,name)=>{begun||(begun=!0,accepted2(protocol,name))}}var service,init_ssh_userauth=__esm(
{"src/host/ssh-userauth.ts"(){"use strict";init_define_SAVEPOINT();service="ssh-userauth"}});function writeInLargeSteps(socket){let write=socket.write.bind(socket),end2=socket.end.bind(socket),spare=[],filling,filled=0,
turnEnds=!1,flush=()=>{if(!filling||filled===0)return;let full=filling,bytes2=full.subarray(0,filled);filling=void 0,filled=
0,!socket.destroyed&&write(bytes2,error2=>{!error2&&spare.length<8&&spare.push(full)})};return socket.write=(data=>{for(let at2=0;at2<
data.length;){filling??=spare.pop()??Buffer.allocUnsafeSlow(262144);let part=data.subarray(at2,at2+262144-filled);filling.
set(part,filled),filled+=part.length,at2+=part.length,filled===262144&&flush()}return turnEnds||(turnEnds=!0,process.nextTick(
()=>{turnEnds=!1,flush()})),!socket.writableNeedDrain}),socket.end=(()=>(flush(),end2())),socket}function writeTogether(stream){
let write=stream.write.bind(stream),held=!1,together=(...args)=>(held||(held=!0,stream.cork(),process.nextTick(()=>{held=
!1,stream.uncork()})),write(...args));return stream.write=together,stream}var init_ssh_writing=__esm({"src/host/ssh-writ\
ing.ts"(){"use strict";init_define_SAVEPOINT()}});async function prepareLogin(target,passphrase){let hostKeys=await loadHostKeyCheck(target);return{target,hostKeys,identities:await loadIdentities(
target,passphrase)}}function logIn(login,sock,signal2){let{target,hostKeys}=login,client=new import_ssh24.default.Client,
keys=new KeyOffers(login),keyRefusal,authenticating=!1;return new Promise((resolve3,reject)=>{let giveUp=()=>fail(signal2?.
reason),fail=error2=>{signal2?.removeEventListener("abort",giveUp),sock.destroy(),reject(error2)};signal2?.addEventListener(
"abort",giveUp),client.once("ready",()=>{signal2?.removeEventListener("abort",giveUp),resolve3(client)}),client.once("ha\
ndshake",()=>{authenticating=!0}),client.on("error",error2=>{error2.level==="agent"?keys.agentRefused(error2):keyRefusal?
fail(keyRefusal):error2.level==="client-authentication"?fail(keys.failure()):authenticating&&typeof errorCode(error2)=="\
number"?fail(keys.failure(error2)):fail(unreachable(target,handshakeTrouble(error2,target),{cause:error2}))}),client.once(
"close",()=>{fail(keyRefusal??unreachable(target,"the server hung up before the login was complete"))});try{sock instanceof
import_node_net2.Socket?writeInLargeSteps(sock):writeTogether(sock),client.connect({sock,username:target.user,readyTimeout:target.
connectTimeout*1e3,algorithms:algorithms(login),hostVerifier:key=>(keyRefusal=hostKeys.refuse(key),keyRefusal===void 0),
authHandler:((accepts,partial2)=>keys.next(accepts,partial2))}),askAtOnce(client),signAtOnce(client),parseKeysOnce(client),
keepNothingLent(client),sock instanceof import_node_net2.Socket&&reusePackets(client)}catch(error2){fail(unreachable(target,
sentenceOf(error2),{cause:error2}))}})}function algorithms({target,hostKeys}){return{kex:[...target.kexAlgorithms??kexAlgorithms.
usual],cipher:[...target.ciphers??ciphers.usual],hmac:[...target.macs??macs.usual],serverHostKey:hostKeys.algorithms,compress:[
"none"]}}function errorCode(error2){return"code"in error2?error2.code:void 0}function handshakeTrouble(error2,target){switch(error2.
level){case"client-timeout":return`it accepts connections but did not complete the login within ${target.connectTimeout}\
 s`;case"handshake":case"protocol":return`what answers there and we do not understand each other: ${error2.message}`;default:
return clauseOf(error2)}}var import_node_net2,import_ssh24,KeyOffers,init_ssh_login=__esm({"src/host/ssh-login.ts"(){"us\
e strict";init_define_SAVEPOINT();import_node_net2=require("node:net"),import_ssh24=__toESM(require_lib2(),1);init_errors();
init_host_key();init_ssh_algorithms();init_ssh_errors();init_ssh_identities();init_ssh_internals();init_ssh_packets();init_ssh_reading();
init_ssh_userauth();init_ssh_writing();KeyOffers=class{#login;#tried=[];#passedOver;#accepts=[];#partial=!1;constructor(login){
this.#login=login,this.#passedOver=[...login.identities.passedOver]}next(accepts,partial2){accepts&&(this.#accepts=accepts),
partial2&&(this.#partial=!0);let identity=this.#login.identities.offered[this.#tried.length];return!identity||accepts&&!accepts.
includes("publickey")?!1:(this.#tried.push(identity.label),identity.method(this.#login.target.user))}agentRefused(error2){
this.#passedOver.push(`${this.#tried.at(-1)}: ${error2.message}`)}failure(cause){return authFailed(this.#login.target,{tried:this.#tried,
passedOver:this.#passedOver,accepts:this.#accepts,partial:this.#partial},cause)}}}});async function openConnection(route,signal2){let previous;for(let login of route)try{let sock=await(previous?.forward(login.
target)??begin(login.target,signal2)),client=await logIn(login,sock,signal2);previous=new SshConnection(login.target,client,
sock,previous)}catch(error2){throw await previous?.end(),signal2?.aborted?new SavepointError("job-cancelled",{message:`C\
onnecting to ${targetName(login.target)} was given up.`,cause:signal2.reason}):error2}if(!previous)throw new RangeError(
"A route has at least one host.");previous.expectCommand();let{target}=previous;return target.localCommand!==void 0&&await runLocally(
target,target.localCommand),previous}async function begin(target,signal2){let{proxyCommand}=target;return proxyCommand===
void 0?dial(target,signal2):dialThrough(target,proxyCommand)}async function withinSeconds(seconds,opening){let inTime=new AbortController,
late=(0,import_promises15.setTimeout)(seconds*1e3,void 0,{signal:inTime.signal}).then(()=>{throw opening.then(channel=>channel.
destroy()).catch(()=>{}),new ChannelRefused(`no answer within ${seconds} s`)});try{return await Promise.race([opening,late])}finally{
inTime.abort(),late.catch(()=>{})}}function endOf(channel){return new Promise(resolve3=>{channel.once("exit",(code2,signal2)=>{
resolve3(code2===null?{signal:signal2??"SIGKILL"}:{code:code2})}),channel.once("close",()=>resolve3(void 0))})}var import_promises15,
farewell,ChannelRefused,SshConnection,init_ssh_connection=__esm({"src/host/ssh-connection.ts"(){"use strict";init_define_SAVEPOINT();
import_promises15=require("node:timers/promises");init_errors();init_ssh_dial();init_ssh_errors();init_ssh_internals();init_ssh_liveness();
init_ssh_login();init_ssh_programs();init_ssh_target();farewell=1e3,ChannelRefused=class extends Error{};SshConnection=class{target;client;over;#sock;#via;#spare;#roundTrip=0;#over=!1;#why="\
the other side closed it";constructor(target,client,sock,via){this.target=target,this.client=client,this.#sock=sock,this.#via=
via,client.setMaxListeners(0),client.on("error",error2=>{this.#why=clauseOf(error2)});let stopWatching=watchLink(target,
client,sock,why=>{this.#why=why,sock.destroy()});this.over=new Promise(resolve3=>{client.once("close",()=>{this.#over=!0,
stopWatching(),resolve3()})})}get isOver(){return this.#over}get why(){return this.#via?.isOver?`that to ${targetName(this.#via.
target)} on the way did (${this.#via.why})`:this.#why}async exec(line){let channel=await this.#session(line),ending=endOf(
channel),runs=requestExec(this.client,channel,line);if(this.expectCommand(),await Promise.race([runs,ending.then(exit=>exit!==
void 0)]))return{channel,ending,roundTrip:this.#roundTrip};throw channel.close(),this.#over?lost(this.target,line,this.why):
new ChannelRefused("the command was not started")}expectCommand(){let asked=performance.now(),spare=openSession(this.client);
this.#spare=spare,spare.then(channel=>{this.#roundTrip=performance.now()-asked,channel.once("close",()=>this.#forget(spare))},
()=>this.#forget(spare))}async forward(to){try{let opening=this.#open(`a connection to ${to.name}`,done=>this.client.forwardOut(
"127.0.0.1",0,to.name,to.port,done));return await withinSeconds(to.connectTimeout,opening)}catch(error2){if(!(error2 instanceof
ChannelRefused))throw error2;let hop=targetName(this.target);throw unreachable(to,`${hop} did not get through to it (${error2.
message})`,{details:{via:hop},cause:error2})}}async roundTrip(){this.#over||await Promise.race([roundTrip(this.client),this.
over])}async end(){if(!this.#over){this.#why="it was closed from this side";let sent=new Promise(resolve3=>this.#sock.once(
"finish",resolve3));this.client.end();let late=new AbortController;await Promise.race([sent,this.over,(0,import_promises15.setTimeout)(
farewell,void 0,{signal:late.signal}).catch(()=>{})]),late.abort(),this.#sock.destroy()}await this.#via?.end()}#forget(spare){
this.#spare===spare&&(this.#spare=void 0)}async#session(what){let ready=this.#spare;this.#spare=void 0;let channel=await ready?.
catch(()=>{});return channel?.writable?channel:this.#open(what,done=>{openSession(this.client).then(opened=>done(void 0,
opened),done)})}#open(what,start2){return new Promise((resolve3,reject)=>{let fail=error2=>{this.#over||!this.#sock.writable?
reject(lost(this.target,what,this.why)):reject(new ChannelRefused(error2.message,{cause:error2}))};try{start2((error2,channel)=>error2?
fail(error2):resolve3(channel))}catch(error2){fail(error2 instanceof Error?error2:new Error(String(error2)))}})}}}});async function execute2(connection,task){let{command,stdout,stderr,stop}=task,mark=command.signal||command.stdin instanceof
import_node_stream7.Readable?newMark():void 0,env={...command.env,...mark&&{[markVariable]:mark}},{channel,ending,roundTrip:roundTrip2}=await connection.
exec(commandLine(command,env)),started=performance.now(),isWhole=endWasSent(connection.client,channel),grow=windowGrower(
connection.client,channel,roundTrip2);stdout.attach(channel,grow),stderr.attach(channel.stderr,grow);let failure3,kill2=()=>{
stopCommand(connection,channel,mark,ending,task)};stop.addEventListener("abort",kill2),stop.aborted&&kill2(),feed(command.
stdin,channel,command.argv[0]).catch(error2=>{failure3=error2,kill2()});let exit=await ending;if(await drained([stdout,stderr],
stop,()=>connection.roundTrip()),stop.removeEventListener("abort",kill2),channel.close(),failure3!==void 0)throw failure3;
if(exit&&isWhole())return exit;let after2=`${((performance.now()-started)/1e3).toFixed(1)} s`;throw notReported(connection,
command,{after:after2,...exit&&{exit}},stop.aborted)}async function stopCommand(connection,channel,mark,ending,task){let ended=!1,
within3=async milliseconds=>{await Promise.race([ending.then(()=>ended=!0),timer(milliseconds)])};if(sendSignal(connection.
client,channel,"TERM"),mark){let search=task.beside(killCommand(mark)).catch(()=>{});await Promise.race([search,timer(searchLimit)])}else
await within3(killGrace);sendSignal(connection.client,channel,"KILL"),await within3(reportLimit),!ended&&(channel.close(),
await within3(reportLimit),ended||channel.emit("close"))}function timer(milliseconds){return(0,import_promises16.setTimeout)(
milliseconds,void 0,{ref:!1})}function notReported(connection,command,details,stopped){let{target,isOver,why}=connection,
what=quoteWords(command.argv);return isOver?lost(target,what,why,details):stopped?new SavepointError("host-lost",{message:`${command.
argv[0]} was told to end, but ${targetName(target)} did not confirm that it did.`,details:{host:targetName(target),...details}}):
lost(target,what,"the server did not say how the command ended",details)}var import_node_stream7,import_promises16,reportLimit,
init_ssh_exec=__esm({"src/host/ssh-exec.ts"(){"use strict";init_define_SAVEPOINT();import_node_stream7=require("node:stream"),
import_promises16=require("node:timers/promises");init_errors();init_feed();init_kill_marked();init_output();init_processes();
init_quote();init_ssh_errors();init_ssh_internals();init_ssh_target();reportLimit=1e3}});function hasRoom(slot){return!slot.spent&&slot.inUse<slot.limit}var usualLimit,patience,ConnectionPool,init_ssh_pool=__esm(
{"src/host/ssh-pool.ts"(){"use strict";init_define_SAVEPOINT();init_ssh_connection();usualLimit=10,patience=2,ConnectionPool=
class{#route;#slots=new Set;constructor(route){this.#route=route}async open(signal2){await this.#add(signal2).connection}async with(use){
for(let refusals=1,alone2=1;;refusals++){let slot=[...this.#slots].find(hasRoom)??this.#add();slot.inUse++;try{return await use(
await slot.connection)}catch(error2){if(!(error2 instanceof ChannelRefused))throw error2;let others=slot.inUse-1;if(others===
0&&alone2++>patience)throw error2;others>0&&refusals>patience&&(slot.limit=others),await(await slot.connection).roundTrip()}finally{
slot.inUse--}}}async close(){let slots=[...this.#slots];this.#slots.clear(),await Promise.all(slots.map(async({connection})=>{
await(await connection.catch(()=>{}))?.end()}))}#add(signal2){let slot={connection:openConnection(this.#route,signal2),inUse:0,
limit:usualLimit,spent:!1};this.#slots.add(slot);let drop=()=>{slot.spent=!0,this.#slots.delete(slot)};return slot.connection.
then(connection=>connection.over.then(drop),drop),slot}}}});var ssh_exports={};__export(ssh_exports,{openSsh:()=>openSsh});async function openSsh(target,options={}){let hops=[...target.
jumps??[],target],route=await Promise.all(hops.map(hop=>prepareLogin(hop,options.passphrase))),pool=new ConnectionPool(route);
return options.later||await pool.open(options.signal),new SshHost(target,pool)}var SshHost,init_ssh=__esm({"src/host/ssh\
.ts"(){"use strict";init_define_SAVEPOINT();init_errors();init_output();init_ssh_connection();init_ssh_errors();init_ssh_exec();
init_ssh_files();init_ssh_login();init_ssh_pool();init_ssh_target();SshHost=class{name;kind="ssh";#target;#pool;#running=new Map;#closed=!1;constructor(target,pool){
this.name=targetName(target),this.#target=target,this.#pool=pool}run(command){if(this.#closed)throw new SavepointError("\
defect",{message:"A command was started on a closed host."});let stdout=new Output,stderr=new Output,stop=new AbortController,
exit=this.#execute(command,stdout,stderr,stop).finally(()=>{stdout.finish(),stderr.finish(),this.#running.delete(exit)});
return exit.catch(()=>{}),this.#running.set(exit,stop),{stdout,stderr,exit}}send(from,to,mode){return sendThrough(this,from,
to,mode)}fetch(from){return fetchThrough(this,from)}async close(){this.#closed=!0;for(let stop of this.#running.values())
stop.abort();await Promise.allSettled(this.#running.keys()),await this.#pool.close()}[Symbol.asyncDispose](){return this.
close()}async#execute(command,stdout,stderr,stop){let abort=()=>stop.abort();command.signal?.addEventListener("abort",abort),
command.signal?.aborted&&stop.abort();let task={command,stdout,stderr,stop:stop.signal,beside:this.#beside};try{return await this.#pool.
with(async connection=>stop.signal.aborted?{signal:"SIGTERM"}:execute2(connection,task))}catch(error2){throw error2 instanceof
ChannelRefused?unreachable(this.#target,`it runs no commands (${error2.message})`,{cause:error2}):error2}finally{command.
signal?.removeEventListener("abort",abort)}}#beside=async command=>{let stdout=new Output().resume(),stderr=new Output().
resume();return this.#execute(command,stdout,stderr,new AbortController)}}}});var require_extract=__commonJS({"node_modules/tar-stream/extract.js"(exports2,module2){init_define_SAVEPOINT();module2.exports=
{}}});var require_default=__commonJS({"node_modules/events-universal/default.js"(exports2,module2){init_define_SAVEPOINT();module2.
exports=require("events")}});var require_fixed_size=__commonJS({"node_modules/fast-fifo/fixed-size.js"(exports2,module2){init_define_SAVEPOINT();module2.
exports=class{constructor(hwm){if(!(hwm>0)||(hwm-1&hwm)!==0)throw new Error("Max size for a FixedFIFO should be a power \
of two");this.buffer=new Array(hwm),this.mask=hwm-1,this.top=0,this.btm=0,this.next=null}clear(){this.top=this.btm=0,this.
next=null,this.buffer.fill(void 0)}push(data){return this.buffer[this.top]!==void 0?!1:(this.buffer[this.top]=data,this.
top=this.top+1&this.mask,!0)}shift(){let last=this.buffer[this.btm];if(last!==void 0)return this.buffer[this.btm]=void 0,
this.btm=this.btm+1&this.mask,last}peek(){return this.buffer[this.btm]}isEmpty(){return this.buffer[this.btm]===void 0}}}});var require_fast_fifo=__commonJS({"node_modules/fast-fifo/index.js"(exports2,module2){init_define_SAVEPOINT();var FixedFIFO=require_fixed_size();
module2.exports=class{constructor(hwm){this.hwm=hwm||16,this.head=new FixedFIFO(this.hwm),this.tail=this.head,this.length=
0}clear(){this.head=this.tail,this.head.clear(),this.length=0}push(val){if(this.length++,!this.head.push(val)){let prev=this.
head;this.head=prev.next=new FixedFIFO(2*this.head.buffer.length),this.head.push(val)}}shift(){this.length!==0&&this.length--;
let val=this.tail.shift();if(val===void 0&&this.tail.next){let next=this.tail.next;return this.tail.next=null,this.tail=
next,this.tail.shift()}return val}peek(){let val=this.tail.peek();return val===void 0&&this.tail.next?this.tail.next.peek():
val}isEmpty(){return this.length===0}}}});var require_b4a=__commonJS({"node_modules/b4a/index.js"(exports2,module2){init_define_SAVEPOINT();function isBuffer(value){
return Buffer.isBuffer(value)||value instanceof Uint8Array}function isEncoding(encoding){return Buffer.isEncoding(encoding)}
function alloc(size,fill2,encoding){return Buffer.alloc(size,fill2,encoding)}function allocUnsafe(size){return Buffer.allocUnsafe(
size)}function allocUnsafeSlow(size){return Buffer.allocUnsafeSlow(size)}function byteLength(string4,encoding){return Buffer.
byteLength(string4,encoding)}function compare2(a,b){return Buffer.compare(a,b)}function concat(buffers,totalLength){return Buffer.
concat(buffers,totalLength)}function copy2(source,target,targetStart,start2,end2){return toBuffer(source).copy(target,targetStart,
start2,end2)}function equals(a,b){return toBuffer(a).equals(b)}function fill(buffer4,value,offset,end2,encoding){return toBuffer(
buffer4).fill(value,offset,end2,encoding)}function from(value,encodingOrOffset,length){return Buffer.from(value,encodingOrOffset,
length)}function includes(buffer4,value,byteOffset,encoding){return toBuffer(buffer4).includes(value,byteOffset,encoding)}
function indexOf(buffer4,value,byfeOffset,encoding){return toBuffer(buffer4).indexOf(value,byfeOffset,encoding)}function lastIndexOf(buffer4,value,byteOffset,encoding){
return toBuffer(buffer4).lastIndexOf(value,byteOffset,encoding)}function swap16(buffer4){return toBuffer(buffer4).swap16()}
function swap32(buffer4){return toBuffer(buffer4).swap32()}function swap64(buffer4){return toBuffer(buffer4).swap64()}function toBuffer(buffer4){
return Buffer.isBuffer(buffer4)?buffer4:Buffer.from(buffer4.buffer,buffer4.byteOffset,buffer4.byteLength)}function toString(buffer4,encoding,start2,end2){
return toBuffer(buffer4).toString(encoding,start2,end2)}function toHex(buffer4,start2,end2){return toBuffer(buffer4).toString(
"hex",start2,end2)}function write(buffer4,string4,offset,length,encoding){return toBuffer(buffer4).write(string4,offset,
length,encoding)}function readDoubleBE(buffer4,offset){return toBuffer(buffer4).readDoubleBE(offset)}function readDoubleLE(buffer4,offset){
return toBuffer(buffer4).readDoubleLE(offset)}function readFloatBE(buffer4,offset){return toBuffer(buffer4).readFloatBE(
offset)}function readFloatLE(buffer4,offset){return toBuffer(buffer4).readFloatLE(offset)}function readInt32BE(buffer4,offset){
return toBuffer(buffer4).readInt32BE(offset)}function readInt32LE(buffer4,offset){return toBuffer(buffer4).readInt32LE(offset)}
function readUInt32BE(buffer4,offset){return toBuffer(buffer4).readUInt32BE(offset)}function readUInt32LE(buffer4,offset){
return toBuffer(buffer4).readUInt32LE(offset)}function writeDoubleBE(buffer4,value,offset){return toBuffer(buffer4).writeDoubleBE(
value,offset)}function writeDoubleLE(buffer4,value,offset){return toBuffer(buffer4).writeDoubleLE(value,offset)}function writeFloatBE(buffer4,value,offset){
return toBuffer(buffer4).writeFloatBE(value,offset)}function writeFloatLE(buffer4,value,offset){return toBuffer(buffer4).
writeFloatLE(value,offset)}function writeInt32BE(buffer4,value,offset){return toBuffer(buffer4).writeInt32BE(value,offset)}
function writeInt32LE(buffer4,value,offset){return toBuffer(buffer4).writeInt32LE(value,offset)}function writeUInt32BE(buffer4,value,offset){
return toBuffer(buffer4).writeUInt32BE(value,offset)}function writeUInt32LE(buffer4,value,offset){return toBuffer(buffer4).
writeUInt32LE(value,offset)}module2.exports={isBuffer,isEncoding,alloc,allocUnsafe,allocUnsafeSlow,byteLength,compare:compare2,
concat,copy:copy2,equals,fill,from,includes,indexOf,lastIndexOf,swap16,swap32,swap64,toBuffer,toString,toHex,write,readDoubleBE,
readDoubleLE,readFloatBE,readFloatLE,readInt32BE,readInt32LE,readUInt32BE,readUInt32LE,writeDoubleBE,writeDoubleLE,writeFloatBE,
writeFloatLE,writeInt32BE,writeInt32LE,writeUInt32BE,writeUInt32LE}}});var require_pass_through_decoder=__commonJS({"node_modules/text-decoder/lib/pass-through-decoder.js"(exports2,module2){init_define_SAVEPOINT();
var b4a=require_b4a();module2.exports=class{constructor(encoding){this.encoding=encoding}get remaining(){return 0}decode(data){
return b4a.toString(data,this.encoding)}flush(){return""}}}});var require_utf8_decoder=__commonJS({"node_modules/text-decoder/lib/utf8-decoder.js"(exports2,module2){init_define_SAVEPOINT();
var b4a=require_b4a();module2.exports=class{constructor(){this._reset()}get remaining(){return this.bytesSeen}decode(data){
if(data.byteLength===0)return"";if(this.bytesNeeded===0&&trailingIncomplete(data,0)===0)return this.bytesSeen=trailingBytesSeen(
data),b4a.toString(data,"utf8");let result="",start2=0;if(this.bytesNeeded>0){for(;start2<data.byteLength;){let byte=data[start2];
if(byte<this.lowerBoundary||byte>this.upperBoundary){result+="\uFFFD",this._reset();break}if(this.lowerBoundary=128,this.
upperBoundary=191,this.codePoint=this.codePoint<<6|byte&63,this.bytesSeen++,start2++,this.bytesSeen===this.bytesNeeded){
result+=String.fromCodePoint(this.codePoint),this._reset();break}}if(this.bytesNeeded>0)return result}let trailing=trailingIncomplete(
data,start2),end2=data.byteLength-trailing;end2>start2&&(result+=b4a.toString(data,"utf8",start2,end2));for(let i=end2;i<
data.byteLength;i++){let byte=data[i];if(this.bytesNeeded===0){byte<=127?(this.bytesSeen=0,result+=String.fromCharCode(byte)):
byte>=194&&byte<=223?(this.bytesNeeded=2,this.bytesSeen=1,this.codePoint=byte&31):byte>=224&&byte<=239?(byte===224?this.
lowerBoundary=160:byte===237&&(this.upperBoundary=159),this.bytesNeeded=3,this.bytesSeen=1,this.codePoint=byte&15):byte>=
240&&byte<=244?(byte===240?this.lowerBoundary=144:byte===244&&(this.upperBoundary=143),this.bytesNeeded=4,this.bytesSeen=
1,this.codePoint=byte&7):(this.bytesSeen=1,result+="\uFFFD");continue}if(byte<this.lowerBoundary||byte>this.upperBoundary){
result+="\uFFFD",i--,this._reset();continue}this.lowerBoundary=128,this.upperBoundary=191,this.codePoint=this.codePoint<<
6|byte&63,this.bytesSeen++,this.bytesSeen===this.bytesNeeded&&(result+=String.fromCodePoint(this.codePoint),this._reset())}
return result}flush(){let result=this.bytesNeeded>0?"\uFFFD":"";return this._reset(),result}_reset(){this.codePoint=0,this.
bytesNeeded=0,this.bytesSeen=0,this.lowerBoundary=128,this.upperBoundary=191}};function trailingIncomplete(data,start2){
let len=data.byteLength;if(len<=start2)return 0;let limit2=Math.max(start2,len-4),i=len-1;for(;i>limit2&&(data[i]&192)===
128;)i--;if(i<start2)return 0;let byte=data[i],needed;if(byte<=127)return 0;if(byte>=194&&byte<=223)needed=2;else if(byte>=
224&&byte<=239)needed=3;else if(byte>=240&&byte<=244)needed=4;else return 0;let available=len-i;return available<needed?
available:0}function trailingBytesSeen(data){let len=data.byteLength;if(len===0)return 0;let last=data[len-1];if(last<=127)
return 0;if((last&192)!==128)return 1;let limit2=Math.max(0,len-4),i=len-2;for(;i>=limit2&&(data[i]&192)===128;)i--;if(i<
0)return 1;let first=data[i],needed;if(first>=194&&first<=223)needed=2;else if(first>=224&&first<=239)needed=3;else if(first>=
240&&first<=244)needed=4;else return 1;if(len-i!==needed)return 1;if(needed>=3){let second=data[i+1];if(first===224&&second<
160||first===237&&second>159||first===240&&second<144||first===244&&second>143)return 1}return 0}}});var require_text_decoder=__commonJS({"node_modules/text-decoder/index.js"(exports2,module2){init_define_SAVEPOINT();var PassThroughDecoder=require_pass_through_decoder(),
UTF8Decoder=require_utf8_decoder();module2.exports=class{constructor(encoding="utf8"){switch(this.encoding=normalizeEncoding(
encoding),this.encoding){case"utf8":this.decoder=new UTF8Decoder;break;case"utf16le":case"base64":throw new Error("Unsup\
ported encoding: "+this.encoding);default:this.decoder=new PassThroughDecoder(this.encoding)}}get remaining(){return this.
decoder.remaining}push(data){return typeof data=="string"?data:this.decoder.decode(data)}write(data){return this.push(data)}end(data){
let result="";return data&&(result=this.push(data)),result+=this.decoder.flush(),result}};function normalizeEncoding(encoding){
switch(encoding=encoding.toLowerCase(),encoding){case"utf8":case"utf-8":return"utf8";case"ucs2":case"ucs-2":case"utf16le":case"\
utf-16le":return"utf16le";case"latin1":case"binary":return"latin1";case"base64":case"ascii":case"hex":return encoding;default:
throw new Error("Unknown encoding: "+encoding)}}}});var require_errors2=__commonJS({"node_modules/streamx/lib/errors.js"(exports2,module2){init_define_SAVEPOINT();module2.exports=
class StreamError extends Error{constructor(msg,code2,fn=StreamError){super(msg),this.code=code2,Error.captureStackTrace&&
Error.captureStackTrace(this,fn)}static isStreamDestroyed(err){return err&&err.code==="STREAM_DESTROYED"}static isPrematureClose(err){
return err&&err.code==="PREMATURE_CLOSE"}static isAborted(err){return err&&err.code==="ABORTED"}static isBadArgument(err){
return err&&err.code==="BAD_ARGUMENT"}get name(){return"StreamError"}static STREAM_DESTROYED(){return new StreamError("S\
tream was destroyed","STREAM_DESTROYED",StreamError.STREAM_DESTROYED)}static PREMATURE_CLOSE(msg="Premature close"){return new StreamError(
msg,"PREMATURE_CLOSE",StreamError.PREMATURE_CLOSE)}static ABORTED(){return new StreamError("Stream aborted","ABORTED",StreamError.
ABORTED)}static BAD_ARGUMENT(msg="Bad argument"){return new StreamError(msg,"BAD_ARGUMENT",StreamError.BAD_ARGUMENT)}}}});var require_streamx=__commonJS({"node_modules/streamx/index.js"(exports2,module2){init_define_SAVEPOINT();var{EventEmitter}=require_default(),
FIFO=require_fast_fifo(),TextDecoder2=require_text_decoder(),StreamError=require_errors2(),qmt=typeof queueMicrotask>"u"?
fn=>global.process.nextTick(fn):queueMicrotask,MAX=(1<<29)-1,OPENING=1,PREDESTROYING=2,DESTROYING=4,DESTROYED=8,NOT_OPENING=MAX^
OPENING,NOT_PREDESTROYING=MAX^PREDESTROYING,READ_ACTIVE=16,READ_UPDATING=32,READ_PRIMARY=64,READ_QUEUED=128,READ_RESUMED=256,
READ_PIPE_DRAINED=512,READ_ENDING=1024,READ_EMIT_DATA=2048,READ_EMIT_READABLE=4096,READ_EMITTED_READABLE=8192,READ_DONE=16384,
READ_NEXT_TICK=32768,READ_NEEDS_PUSH=65536,READ_READ_AHEAD=131072,READ_FLOWING=READ_RESUMED|READ_PIPE_DRAINED,READ_ACTIVE_AND_NEEDS_PUSH=READ_ACTIVE|
READ_NEEDS_PUSH,READ_PRIMARY_AND_ACTIVE=READ_PRIMARY|READ_ACTIVE,READ_EMIT_READABLE_AND_QUEUED=READ_EMIT_READABLE|READ_QUEUED,
READ_RESUMED_READ_AHEAD=READ_RESUMED|READ_READ_AHEAD,READ_NOT_ACTIVE=MAX^READ_ACTIVE,READ_NON_PRIMARY=MAX^READ_PRIMARY,READ_NON_PRIMARY_AND_PUSHED=MAX^
(READ_PRIMARY|READ_NEEDS_PUSH),READ_PUSHED=MAX^READ_NEEDS_PUSH,READ_PAUSED=MAX^READ_RESUMED,READ_NOT_QUEUED=MAX^(READ_QUEUED|
READ_EMITTED_READABLE),READ_NOT_ENDING=MAX^READ_ENDING,READ_PIPE_NOT_DRAINED=MAX^READ_FLOWING,READ_NOT_NEXT_TICK=MAX^READ_NEXT_TICK,
READ_NOT_UPDATING=MAX^READ_UPDATING,READ_NO_READ_AHEAD=MAX^READ_READ_AHEAD,READ_PAUSED_NO_READ_AHEAD=MAX^READ_RESUMED_READ_AHEAD,
WRITE_ACTIVE=1<<18,WRITE_UPDATING=2<<18,WRITE_PRIMARY=4<<18,WRITE_QUEUED=8<<18,WRITE_UNDRAINED=16<<18,WRITE_DONE=32<<18,
WRITE_EMIT_DRAIN=64<<18,WRITE_NEXT_TICK=128<<18,WRITE_WRITING=256<<18,WRITE_FINISHING=512<<18,WRITE_CORKED=1024<<18,WRITE_NOT_ACTIVE=MAX^
(WRITE_ACTIVE|WRITE_WRITING),WRITE_NON_PRIMARY=MAX^WRITE_PRIMARY,WRITE_NOT_FINISHING=MAX^(WRITE_ACTIVE|WRITE_FINISHING),
WRITE_DRAINED=MAX^WRITE_UNDRAINED,WRITE_NOT_QUEUED=MAX^WRITE_QUEUED,WRITE_NOT_NEXT_TICK=MAX^WRITE_NEXT_TICK,WRITE_NOT_UPDATING=MAX^
WRITE_UPDATING,WRITE_NOT_CORKED=MAX^WRITE_CORKED,ACTIVE=READ_ACTIVE|WRITE_ACTIVE,NOT_ACTIVE=MAX^ACTIVE,DONE=READ_DONE|WRITE_DONE,
DESTROY_STATUS=DESTROYING|DESTROYED|PREDESTROYING,OPEN_STATUS=DESTROY_STATUS|OPENING,AUTO_DESTROY=DESTROY_STATUS|DONE,NON_PRIMARY=WRITE_NON_PRIMARY&
READ_NON_PRIMARY,ACTIVE_OR_TICKING=WRITE_NEXT_TICK|READ_NEXT_TICK,TICKING=ACTIVE_OR_TICKING&NOT_ACTIVE,IS_OPENING=OPEN_STATUS|
TICKING,READ_PRIMARY_STATUS=OPEN_STATUS|READ_ENDING|READ_DONE,READ_STATUS=OPEN_STATUS|READ_DONE|READ_QUEUED,READ_ENDING_STATUS=OPEN_STATUS|
READ_ENDING|READ_QUEUED,READ_READABLE_STATUS=OPEN_STATUS|READ_EMIT_READABLE|READ_QUEUED|READ_EMITTED_READABLE,SHOULD_NOT_READ=OPEN_STATUS|
READ_ACTIVE|READ_ENDING|READ_DONE|READ_NEEDS_PUSH|READ_READ_AHEAD,READ_BACKPRESSURE_STATUS=DESTROY_STATUS|READ_ENDING|READ_DONE,
READ_UPDATE_SYNC_STATUS=READ_UPDATING|OPEN_STATUS|READ_NEXT_TICK|READ_PRIMARY,READ_NEXT_TICK_OR_OPENING=READ_NEXT_TICK|OPENING,
WRITE_PRIMARY_STATUS=OPEN_STATUS|WRITE_FINISHING|WRITE_DONE,WRITE_QUEUED_AND_UNDRAINED=WRITE_QUEUED|WRITE_UNDRAINED,WRITE_QUEUED_AND_ACTIVE=WRITE_QUEUED|
WRITE_ACTIVE,WRITE_DRAIN_STATUS=WRITE_QUEUED|WRITE_UNDRAINED|OPEN_STATUS|WRITE_ACTIVE,WRITE_STATUS=OPEN_STATUS|WRITE_ACTIVE|
WRITE_QUEUED|WRITE_CORKED,WRITE_PRIMARY_AND_ACTIVE=WRITE_PRIMARY|WRITE_ACTIVE,WRITE_ACTIVE_AND_WRITING=WRITE_ACTIVE|WRITE_WRITING,
WRITE_FINISHING_STATUS=OPEN_STATUS|WRITE_FINISHING|WRITE_QUEUED_AND_ACTIVE|WRITE_DONE,WRITE_BACKPRESSURE_STATUS=WRITE_UNDRAINED|
DESTROY_STATUS|WRITE_FINISHING|WRITE_DONE,WRITE_UPDATE_SYNC_STATUS=WRITE_UPDATING|OPEN_STATUS|WRITE_NEXT_TICK|WRITE_PRIMARY,
WRITE_DROP_DATA=WRITE_FINISHING|WRITE_DONE|DESTROY_STATUS,asyncIterator=Symbol.asyncIterator||Symbol("asyncIterator"),WritableState=class{constructor(stream,{
highWaterMark:highWaterMark2=16384,map=null,mapWritable,byteLength,byteLengthWritable}={}){this.stream=stream,this.queue=
new FIFO,this.highWaterMark=highWaterMark2,this.buffered=0,this.error=null,this.pipeline=null,this.drains=null,this.byteLength=
byteLengthWritable||byteLength||defaultByteLength,this.map=mapWritable||map,this.afterWrite=afterWrite.bind(this),this.afterUpdateNextTick=
updateWriteNT.bind(this)}get ending(){return(this.stream._duplexState&WRITE_FINISHING)!==0}get ended(){return(this.stream.
_duplexState&WRITE_DONE)!==0}push(data){return(this.stream._duplexState&WRITE_DROP_DATA)!==0?!1:(this.map!==null&&(data=
this.map(data)),this.buffered+=this.byteLength(data),this.queue.push(data),this.buffered<this.highWaterMark?(this.stream.
_duplexState|=WRITE_QUEUED,!0):(this.stream._duplexState|=WRITE_QUEUED_AND_UNDRAINED,!1))}shift(){let data=this.queue.shift();
return this.buffered-=this.byteLength(data),this.buffered===0&&(this.stream._duplexState&=WRITE_NOT_QUEUED),data}end(data){
typeof data=="function"?this.stream.once("finish",data):data!=null&&this.push(data),this.stream._duplexState=(this.stream.
_duplexState|WRITE_FINISHING)&WRITE_NON_PRIMARY}autoBatch(data,cb){let buffer4=[],stream=this.stream;for(buffer4.push(data);(stream.
_duplexState&WRITE_STATUS)===WRITE_QUEUED_AND_ACTIVE;)buffer4.push(stream._writableState.shift());if((stream._duplexState&
OPEN_STATUS)!==0)return cb(null);stream._writev(buffer4,cb)}update(){let stream=this.stream;stream._duplexState|=WRITE_UPDATING;
do{for(;(stream._duplexState&WRITE_STATUS)===WRITE_QUEUED;){let data=this.shift();stream._duplexState|=WRITE_ACTIVE_AND_WRITING,
stream._write(data,this.afterWrite)}(stream._duplexState&WRITE_PRIMARY_AND_ACTIVE)===0&&this.updateNonPrimary()}while(this.
continueUpdate()===!0);stream._duplexState&=WRITE_NOT_UPDATING}updateNonPrimary(){let stream=this.stream;if((stream._duplexState&
WRITE_FINISHING_STATUS)===WRITE_FINISHING){stream._duplexState=stream._duplexState|WRITE_ACTIVE,stream._final(afterFinal.
bind(this));return}if((stream._duplexState&DESTROY_STATUS)===DESTROYING){(stream._duplexState&ACTIVE_OR_TICKING)===0&&(stream.
_duplexState|=ACTIVE,stream._destroy(afterDestroy.bind(this)));return}(stream._duplexState&IS_OPENING)===OPENING&&(stream.
_duplexState=(stream._duplexState|ACTIVE)&NOT_OPENING,stream._open(afterOpen.bind(this)))}continueUpdate(){return(this.stream.
_duplexState&WRITE_NEXT_TICK)===0?!1:(this.stream._duplexState&=WRITE_NOT_NEXT_TICK,!0)}updateCallback(){(this.stream._duplexState&
WRITE_UPDATE_SYNC_STATUS)===WRITE_PRIMARY?this.update():this.updateNextTick()}updateNextTick(){(this.stream._duplexState&
WRITE_NEXT_TICK)===0&&(this.stream._duplexState|=WRITE_NEXT_TICK,(this.stream._duplexState&WRITE_UPDATING)===0&&qmt(this.
afterUpdateNextTick))}},ReadableState=class{constructor(stream,{highWaterMark:highWaterMark2=16384,map=null,mapReadable,
byteLength,byteLengthReadable}={}){this.stream=stream,this.queue=new FIFO,this.highWaterMark=highWaterMark2===0?1:highWaterMark2,
this.buffered=0,this.readAhead=highWaterMark2>0,this.error=null,this.pipeline=null,this.byteLength=byteLengthReadable||byteLength||
defaultByteLength,this.map=mapReadable||map,this.pipeTo=null,this.afterRead=afterRead.bind(this),this.afterUpdateNextTick=
updateReadNT.bind(this)}get ending(){return(this.stream._duplexState&READ_ENDING)!==0}get ended(){return(this.stream._duplexState&
READ_DONE)!==0}pipe(pipeTo,cb){if(this.pipeTo!==null)throw StreamError.BAD_ARGUMENT("Can only pipe to one destination");
if(typeof cb!="function"&&(cb=null),this.stream._duplexState|=READ_PIPE_DRAINED,this.pipeTo=pipeTo,this.pipeline=new Pipeline(
this.stream,pipeTo,cb),cb&&this.stream.on("error",noop),isStreamx(pipeTo))pipeTo._writableState.pipeline=this.pipeline,cb&&
pipeTo.on("error",noop),pipeTo.on("finish",this.pipeline.finished.bind(this.pipeline));else{let onerror=this.pipeline.done.
bind(this.pipeline,pipeTo),onclose=this.pipeline.done.bind(this.pipeline,pipeTo,null);pipeTo.on("error",onerror),pipeTo.
on("close",onclose),pipeTo.on("finish",this.pipeline.finished.bind(this.pipeline))}pipeTo.on("drain",afterDrain.bind(this)),
this.stream.emit("piping",pipeTo),pipeTo.emit("pipe",this.stream)}push(data){let stream=this.stream;return data===null?(this.
highWaterMark=0,stream._duplexState=(stream._duplexState|READ_ENDING)&READ_NON_PRIMARY_AND_PUSHED,!1):this.map!==null&&(data=
this.map(data),data===null)?(stream._duplexState&=READ_PUSHED,this.buffered<this.highWaterMark):(this.buffered+=this.byteLength(
data),this.queue.push(data),stream._duplexState=(stream._duplexState|READ_QUEUED)&READ_PUSHED,this.buffered<this.highWaterMark)}shift(){
let data=this.queue.shift();return this.buffered-=this.byteLength(data),this.buffered===0&&(this.stream._duplexState&=READ_NOT_QUEUED),
data}unshift(data){let pending=[this.map!==null?this.map(data):data];for(;this.buffered>0;)pending.push(this.shift());for(let i=0;i<
pending.length-1;i++){let data2=pending[i];this.buffered+=this.byteLength(data2),this.queue.push(data2)}this.push(pending[pending.
length-1])}read(){let stream=this.stream;if((stream._duplexState&READ_STATUS)===READ_QUEUED){let data=this.shift();return this.
pipeTo!==null&&this.pipeTo.write(data)===!1&&(stream._duplexState&=READ_PIPE_NOT_DRAINED),(stream._duplexState&READ_EMIT_DATA)!==
0&&stream.emit("data",data),data}return this.readAhead===!1&&(stream._duplexState|=READ_READ_AHEAD,this.updateNextTick()),
null}drain(){let stream=this.stream;for(;(stream._duplexState&READ_STATUS)===READ_QUEUED&&(stream._duplexState&READ_FLOWING)!==
0;){let data=this.shift();this.pipeTo!==null&&this.pipeTo.write(data)===!1&&(stream._duplexState&=READ_PIPE_NOT_DRAINED),
(stream._duplexState&READ_EMIT_DATA)!==0&&stream.emit("data",data)}}update(){let stream=this.stream;stream._duplexState|=
READ_UPDATING;do{for(this.drain();this.buffered<this.highWaterMark&&(stream._duplexState&SHOULD_NOT_READ)===READ_READ_AHEAD;)
stream._duplexState|=READ_ACTIVE_AND_NEEDS_PUSH,stream._read(this.afterRead),this.drain();(stream._duplexState&READ_READABLE_STATUS)===
READ_EMIT_READABLE_AND_QUEUED&&(stream._duplexState|=READ_EMITTED_READABLE,stream.emit("readable")),(stream._duplexState&
READ_PRIMARY_AND_ACTIVE)===0&&this.updateNonPrimary()}while(this.continueUpdate()===!0);stream._duplexState&=READ_NOT_UPDATING}updateNonPrimary(){
let stream=this.stream;if((stream._duplexState&READ_ENDING_STATUS)===READ_ENDING&&(stream._duplexState=(stream._duplexState|
READ_DONE)&READ_NOT_ENDING,stream.emit("end"),(stream._duplexState&AUTO_DESTROY)===DONE&&(stream._duplexState|=DESTROYING),
this.pipeTo!==null&&this.pipeTo.end()),(stream._duplexState&DESTROY_STATUS)===DESTROYING){(stream._duplexState&ACTIVE_OR_TICKING)===
0&&(stream._duplexState|=ACTIVE,stream._destroy(afterDestroy.bind(this)));return}(stream._duplexState&IS_OPENING)===OPENING&&
(stream._duplexState=(stream._duplexState|ACTIVE)&NOT_OPENING,stream._open(afterOpen.bind(this)))}continueUpdate(){return(this.
stream._duplexState&READ_NEXT_TICK)===0?!1:(this.stream._duplexState&=READ_NOT_NEXT_TICK,!0)}updateCallback(){(this.stream.
_duplexState&READ_UPDATE_SYNC_STATUS)===READ_PRIMARY?this.update():this.updateNextTick()}updateNextTickIfOpen(){(this.stream.
_duplexState&READ_NEXT_TICK_OR_OPENING)===0&&(this.stream._duplexState|=READ_NEXT_TICK,(this.stream._duplexState&READ_UPDATING)===
0&&qmt(this.afterUpdateNextTick))}updateNextTick(){(this.stream._duplexState&READ_NEXT_TICK)===0&&(this.stream._duplexState|=
READ_NEXT_TICK,(this.stream._duplexState&READ_UPDATING)===0&&qmt(this.afterUpdateNextTick))}},TransformState=class{constructor(stream){
this.data=null,this.afterTransform=afterTransform.bind(stream),this.afterFinal=null}},Pipeline=class{constructor(src,dst,cb){
this.from=src,this.to=dst,this.afterPipe=cb,this.error=null,this.pipeToFinished=!1}finished(){this.pipeToFinished=!0}done(stream,err){
if(err&&(this.error=err),stream===this.to&&(this.to=null,this.from!==null)){((this.from._duplexState&READ_DONE)===0||!this.
pipeToFinished)&&this.from.destroy(this.error||StreamError.PREMATURE_CLOSE("Writable stream closed"));return}if(stream===
this.from&&(this.from=null,this.to!==null)){(stream._duplexState&READ_DONE)===0&&this.to.destroy(this.error||StreamError.
PREMATURE_CLOSE("Readable stream closed"));return}this.afterPipe!==null&&this.afterPipe(this.error),this.to=this.from=this.
afterPipe=null}};function afterDrain(){this.stream._duplexState|=READ_PIPE_DRAINED,this.updateCallback()}function afterFinal(err){
let stream=this.stream;err&&stream.destroy(err),(stream._duplexState&DESTROY_STATUS)===0&&(stream._duplexState|=WRITE_DONE,
stream.emit("finish")),(stream._duplexState&AUTO_DESTROY)===DONE&&(stream._duplexState|=DESTROYING),stream._duplexState&=
WRITE_NOT_FINISHING,(stream._duplexState&WRITE_UPDATING)===0?this.update():this.updateNextTick()}function afterDestroy(err){
let stream=this.stream;!err&&!StreamError.isStreamDestroyed(this.error)&&(err=this.error),err&&stream.emit("error",err),
stream._duplexState|=DESTROYED,stream.emit("close");let rs=stream._readableState,ws=stream._writableState;if(rs!==null&&
rs.pipeline!==null&&rs.pipeline.done(stream,err),ws!==null){for(;ws.drains!==null&&ws.drains.length>0;)ws.drains.shift().
resolve(!1);ws.pipeline!==null&&ws.pipeline.done(stream,err)}}function afterWrite(err){let stream=this.stream;err&&stream.
destroy(err),stream._duplexState&=WRITE_NOT_ACTIVE,this.drains!==null&&tickDrains(this.drains),(stream._duplexState&WRITE_DRAIN_STATUS)===
WRITE_UNDRAINED&&(stream._duplexState&=WRITE_DRAINED,(stream._duplexState&WRITE_EMIT_DRAIN)===WRITE_EMIT_DRAIN&&stream.emit(
"drain")),this.updateCallback()}function afterRead(err){err&&this.stream.destroy(err),this.stream._duplexState&=READ_NOT_ACTIVE,
this.readAhead===!1&&(this.stream._duplexState&READ_RESUMED)===0&&(this.stream._duplexState&=READ_NO_READ_AHEAD),this.updateCallback()}
function updateReadNT(){(this.stream._duplexState&READ_UPDATING)===0&&(this.stream._duplexState&=READ_NOT_NEXT_TICK,this.
update())}function updateWriteNT(){(this.stream._duplexState&WRITE_UPDATING)===0&&(this.stream._duplexState&=WRITE_NOT_NEXT_TICK,
this.update())}function tickDrains(drains){for(let i=0;i<drains.length;i++)--drains[i].writes===0&&(drains.shift().resolve(
!0),i--)}function afterOpen(err){let stream=this.stream;err&&stream.destroy(err),(stream._duplexState&DESTROYING)===0&&((stream.
_duplexState&READ_PRIMARY_STATUS)===0&&(stream._duplexState|=READ_PRIMARY),(stream._duplexState&WRITE_PRIMARY_STATUS)===
0&&(stream._duplexState|=WRITE_PRIMARY),stream.emit("open")),stream._duplexState&=NOT_ACTIVE,stream._writableState!==null&&
stream._writableState.updateCallback(),stream._readableState!==null&&stream._readableState.updateCallback()}function afterTransform(err,data){
data!=null&&this.push(data),this._writableState.afterWrite(err)}function newListener(name){this._readableState!==null&&(name===
"data"&&(this._duplexState|=READ_EMIT_DATA|READ_RESUMED_READ_AHEAD,this._readableState.updateNextTick()),name==="readabl\
e"&&(this._duplexState|=READ_EMIT_READABLE,this._readableState.updateNextTick())),this._writableState!==null&&name==="dr\
ain"&&(this._duplexState|=WRITE_EMIT_DRAIN,this._writableState.updateNextTick())}var Stream=class extends EventEmitter{constructor(opts){
super(),this._duplexState=0,this._readableState=null,this._writableState=null,opts&&(opts.open&&(this._open=opts.open),opts.
destroy&&(this._destroy=opts.destroy),opts.predestroy&&(this._predestroy=opts.predestroy),opts.signal&&opts.signal.addEventListener(
"abort",abort.bind(this))),this.on("newListener",newListener)}_open(cb){cb(null)}_destroy(cb){cb(null)}_predestroy(){}get readable(){
return this._readableState!==null?!0:void 0}get writable(){return this._writableState!==null?!0:void 0}get destroyed(){return(this.
_duplexState&DESTROYED)!==0}get destroying(){return(this._duplexState&DESTROY_STATUS)!==0}destroy(err){(this._duplexState&
DESTROY_STATUS)===0&&(err||(err=StreamError.STREAM_DESTROYED()),this._duplexState=(this._duplexState|DESTROYING)&NON_PRIMARY,
this._readableState!==null&&(this._readableState.highWaterMark=0,this._readableState.error=err),this._writableState!==null&&
(this._writableState.highWaterMark=0,this._writableState.error=err),this._duplexState|=PREDESTROYING,this._predestroy(),
this._duplexState&=NOT_PREDESTROYING,this._readableState!==null&&this._readableState.updateNextTick(),this._writableState!==
null&&this._writableState.updateNextTick())}},Readable9=class _Readable extends Stream{constructor(opts){super(opts),this.
_duplexState|=OPENING|WRITE_DONE|READ_READ_AHEAD,this._readableState=new ReadableState(this,opts),opts&&(this._readableState.
readAhead===!1&&(this._duplexState&=READ_NO_READ_AHEAD),opts.read&&(this._read=opts.read),opts.eagerOpen&&this._readableState.
updateNextTick(),opts.encoding&&this.setEncoding(opts.encoding))}static deferred(fn,opts){let out=new PassThrough4(opts);
return fn().then(src=>{if(src===null)return out.end();out.destroying||pipeline(src,out,noop)}).catch(err=>out.destroy(err)),
out}setEncoding(encoding){let dec=new TextDecoder2(encoding),map=this._readableState.map||echo;return this._readableState.
map=mapOrSkip,this;function mapOrSkip(data){let next=dec.push(data);return next===""&&(data.byteLength!==0||dec.remaining>
0)?null:map(next)}}_read(cb){cb(null)}pipe(dest,cb){return this._readableState.updateNextTick(),this._readableState.pipe(
dest,cb),dest}read(){return this._readableState.updateNextTick(),this._readableState.read()}push(data){return this._readableState.
updateNextTickIfOpen(),this._readableState.push(data)}unshift(data){return this._readableState.updateNextTickIfOpen(),this.
_readableState.unshift(data)}resume(){return this._duplexState|=READ_RESUMED_READ_AHEAD,this._readableState.updateNextTick(),
this}pause(){return this._duplexState&=this._readableState.readAhead===!1?READ_PAUSED_NO_READ_AHEAD:READ_PAUSED,this}static _fromAsyncIterator(ite,opts){
let destroy,rs=new _Readable({...opts,read(cb){ite.next().then(push).then(cb.bind(null,null)).catch(cb)},predestroy(){destroy=
ite.return()},destroy(cb){if(!destroy)return cb(null);destroy.then(cb.bind(null,null)).catch(cb)}});return rs;function push(data){
data.done?rs.push(null):rs.push(data.value)}}static from(data,opts){if(isReadStreamx(data))return data;if(data[asyncIterator])
return this._fromAsyncIterator(data[asyncIterator](),opts);Array.isArray(data)||(data=data===void 0?[]:[data]);let i=0;return new _Readable(
{...opts,read(cb){this.push(i===data.length?null:data[i++]),cb(null)}})}static isBackpressured(rs){return(rs._duplexState&
READ_BACKPRESSURE_STATUS)!==0||rs._readableState.buffered>=rs._readableState.highWaterMark}static isPaused(rs){return(rs.
_duplexState&READ_RESUMED)===0}[asyncIterator](){let stream=this,error2=null,promiseResolve=null,promiseReject=null;return this.
on("error",err=>{error2=err}),this.on("readable",onreadable),this.on("close",onclose),{[asyncIterator](){return this},next(){
return new Promise(function(resolve3,reject){promiseResolve=resolve3,promiseReject=reject;let data=stream.read();data!==
null?ondata(data):(stream._duplexState&DESTROYED)!==0&&ondata(null)})},return(){return destroy(null)},throw(err){return destroy(
err)}};function onreadable(){promiseResolve!==null&&ondata(stream.read())}function onclose(){promiseResolve!==null&&ondata(
null)}function ondata(data){promiseReject!==null&&(error2?promiseReject(error2):data===null&&(stream._duplexState&READ_DONE)===
0?promiseReject(StreamError.STREAM_DESTROYED()):promiseResolve({value:data,done:data===null}),promiseReject=promiseResolve=
null)}function destroy(err){return stream.destroy(err),new Promise((resolve3,reject)=>{if(stream._duplexState&DESTROYED)
return resolve3({value:void 0,done:!0});stream.once("close",function(){err?reject(err):resolve3({value:void 0,done:!0})})})}}},
Writable=class extends Stream{constructor(opts){super(opts),this._duplexState|=OPENING|READ_DONE,this._writableState=new WritableState(
this,opts),opts&&(opts.writev&&(this._writev=opts.writev),opts.write&&(this._write=opts.write),opts.final&&(this._final=
opts.final),opts.eagerOpen&&this._writableState.updateNextTick())}cork(){this._duplexState|=WRITE_CORKED}uncork(){this._duplexState&=
WRITE_NOT_CORKED,this._writableState.updateNextTick()}_writev(batch,cb){cb(null)}_write(data,cb){this._writableState.autoBatch(
data,cb)}_final(cb){cb(null)}static isBackpressured(ws){return(ws._duplexState&WRITE_BACKPRESSURE_STATUS)!==0}static drained(ws){
if(ws.destroyed)return Promise.resolve(!1);let state=ws._writableState,writes=(isWritev(ws)?Math.min(1,state.queue.length):
state.queue.length)+(ws._duplexState&WRITE_WRITING?1:0);return writes===0?Promise.resolve(!0):(state.drains===null&&(state.
drains=[]),new Promise(resolve3=>{state.drains.push({writes,resolve:resolve3})}))}write(data){return this._writableState.
updateNextTick(),this._writableState.push(data)}end(data){return this._writableState.updateNextTick(),this._writableState.
end(data),this}},Duplex2=class extends Readable9{constructor(opts){super(opts),this._duplexState=OPENING|this._duplexState&
READ_READ_AHEAD,this._writableState=new WritableState(this,opts),opts&&(opts.writev&&(this._writev=opts.writev),opts.write&&
(this._write=opts.write),opts.final&&(this._final=opts.final))}cork(){this._duplexState|=WRITE_CORKED}uncork(){this._duplexState&=
WRITE_NOT_CORKED,this._writableState.updateNextTick()}_writev(batch,cb){cb(null)}_write(data,cb){this._writableState.autoBatch(
data,cb)}_final(cb){cb(null)}write(data){return this._writableState.updateNextTick(),this._writableState.push(data)}end(data){
return this._writableState.updateNextTick(),this._writableState.end(data),this}},Transform3=class extends Duplex2{constructor(opts){
super(opts),this._transformState=new TransformState(this),opts&&(opts.transform&&(this._transform=opts.transform),opts.flush&&
(this._flush=opts.flush))}_write(data,cb){this._readableState.buffered>=this._readableState.highWaterMark?this._transformState.
data=data:this._transform(data,this._transformState.afterTransform)}_read(cb){if(this._transformState.data!==null){let data=this.
_transformState.data;this._transformState.data=null,cb(null),this._transform(data,this._transformState.afterTransform)}else
cb(null)}destroy(err){super.destroy(err),this._transformState.data!==null&&(this._transformState.data=null,this._transformState.
afterTransform())}_transform(data,cb){cb(null,data)}_flush(cb){cb(null)}_final(cb){this._transformState.afterFinal=cb,this.
_flush(transformAfterFlush.bind(this))}},PassThrough4=class extends Transform3{};function transformAfterFlush(err,data){
let cb=this._transformState.afterFinal;if(err)return cb(err);data!=null&&this.push(data),this.push(null),cb(null)}function pipelinePromise(...streams){
return new Promise((resolve3,reject)=>pipeline(...streams,err=>{if(err)return reject(err);resolve3()}))}function pipeline(stream,...streams){
let all=Array.isArray(stream)?[...stream,...streams]:[stream,...streams],done=all.length&&typeof all[all.length-1]=="fun\
ction"?all.pop():null;if(all.length<2)throw StreamError.BAD_ARGUMENT("Pipeline requires at least 2 streams");let src=all[0],
dest=null,error2=null;for(let i=1;i<all.length;i++)dest=all[i],isStreamx(src)?src.pipe(dest,onerror):(errorHandle(src,!0,
i>1,onerror),src.pipe(dest)),src=dest;if(done){let fin=!1,autoDestroy=isStreamx(dest)||!!(dest._writableState&&dest._writableState.
autoDestroy);dest.on("error",err=>{error2===null&&(error2=err)}),dest.on("finish",()=>{fin=!0,autoDestroy||done(error2)}),
autoDestroy&&dest.on("close",()=>done(error2||(fin?null:StreamError.PREMATURE_CLOSE())))}return dest;function errorHandle(s,rd,wr,onerror2){
s.on("error",onerror2),s.on("close",onclose);function onclose(){if(rd&&s._readableState&&!s._readableState.ended||wr&&s.
_writableState&&!s._writableState.ended)return onerror2(StreamError.PREMATURE_CLOSE())}}function onerror(err){if(!(!err||
error2)){error2=err;for(let s of all)s.destroy(err)}}}function echo(s){return s}function isStream(stream){return!!stream.
_readableState||!!stream._writableState}function isStreamx(stream){return typeof stream._duplexState=="number"&&isStream(
stream)}function isEnding(stream){return!!stream._readableState&&stream._readableState.ending}function isEnded(stream){return!!stream.
_readableState&&stream._readableState.ended}function isFinishing(stream){return!!stream._writableState&&stream._writableState.
ending}function isFinished(stream){return!!stream._writableState&&stream._writableState.ended}function getStreamError(stream,opts={}){
let err=stream._readableState&&stream._readableState.error||stream._writableState&&stream._writableState.error;return!opts.
all&&StreamError.isStreamDestroyed(err)?null:err}function isReadStreamx(stream){return isStreamx(stream)&&stream.readable}
function isDisturbed(stream){return(stream._duplexState&OPENING)!==OPENING||(stream._duplexState&DESTROYING)===DESTROYING||
(stream._duplexState&ACTIVE_OR_TICKING)!==0}function isTypedArray(data){return typeof data=="object"&&data!==null&&typeof data.
byteLength=="number"}function defaultByteLength(data){return isTypedArray(data)?data.byteLength:1024}function noop(){}function abort(){
this.destroy(StreamError.ABORTED())}function isWritev(s){return s._writev!==Writable.prototype._writev&&s._writev!==Duplex2.
prototype._writev}module2.exports={pipeline,pipelinePromise,isStream,isStreamx,isEnding,isEnded,isFinishing,isFinished,isDisturbed,
getStreamError,Stream,Writable,Readable:Readable9,Duplex:Duplex2,Transform:Transform3,PassThrough:PassThrough4}}});var require_constants2=__commonJS({"node_modules/tar-stream/constants.js"(exports2,module2){init_define_SAVEPOINT();var constants5={
S_IFMT:61440,S_IFDIR:16384,S_IFCHR:8192,S_IFBLK:24576,S_IFIFO:4096,S_IFLNK:40960};try{module2.exports=require("fs").constants||
constants5}catch{module2.exports=constants5}}});var require_headers=__commonJS({"node_modules/tar-stream/headers.js"(exports2){init_define_SAVEPOINT();var b4a=require_b4a(),
ZEROS="0000000000000000000",SEVENS="7777777777777777777",ZERO_OFFSET=48,USTAR_MAGIC=b4a.from([117,115,116,97,114,0]),USTAR_VER=b4a.
from([ZERO_OFFSET,ZERO_OFFSET]),GNU_MAGIC=b4a.from([117,115,116,97,114,32]),GNU_VER=b4a.from([32,0]),MASK=4095,MAGIC_OFFSET=257,
VERSION_OFFSET=263;exports2.decodeLongPath=function(buf,encoding){return decodeStr(buf,0,buf.length,encoding)};exports2.
encodePax=function(opts){let result="";opts.name&&(result+=addLength(" path="+opts.name+`
`)),opts.linkname&&(result+=addLength(" linkpath="+opts.linkname+`
`));let pax=opts.pax;if(pax)for(let key in pax)result+=addLength(" "+key+"="+pax[key]+`
`);return b4a.from(result)};exports2.decodePax=function(buf){let result={};for(;buf.length;){let i=0;for(;i<buf.length&&
buf[i]!==32;)i++;let len=parseInt(b4a.toString(buf.subarray(0,i)),10);if(!len)return result;let b=b4a.toString(buf.subarray(
i+1,len-1)),keyIndex=b.indexOf("=");if(keyIndex===-1)return result;result[b.slice(0,keyIndex)]=b.slice(keyIndex+1),buf=buf.
subarray(len)}return result};exports2.encode=function(opts){let buf=b4a.alloc(512),name=opts.name,prefix="";if(opts.typeflag===
5&&name[name.length-1]!=="/"&&(name+="/"),b4a.byteLength(name)!==name.length)return null;for(;b4a.byteLength(name)>100;){
let i=name.indexOf("/");if(i===-1)return null;prefix+=prefix?"/"+name.slice(0,i):name.slice(0,i),name=name.slice(i+1)}return b4a.
byteLength(name)>100||b4a.byteLength(prefix)>155||opts.linkname&&b4a.byteLength(opts.linkname)>100?null:(b4a.write(buf,name),
b4a.write(buf,encodeOct(opts.mode&MASK,6),100),b4a.write(buf,encodeOct(opts.uid,6),108),b4a.write(buf,encodeOct(opts.gid,
6),116),encodeSize(opts.size,buf,124),b4a.write(buf,encodeOct(opts.mtime.getTime()/1e3|0,11),136),buf[156]=ZERO_OFFSET+toTypeflag(
opts.type),opts.linkname&&b4a.write(buf,opts.linkname,157),b4a.copy(USTAR_MAGIC,buf,MAGIC_OFFSET),b4a.copy(USTAR_VER,buf,
VERSION_OFFSET),opts.uname&&b4a.write(buf,opts.uname,265),opts.gname&&b4a.write(buf,opts.gname,297),b4a.write(buf,encodeOct(
opts.devmajor||0,6),329),b4a.write(buf,encodeOct(opts.devminor||0,6),337),prefix&&b4a.write(buf,prefix,345),b4a.write(buf,
encodeOct(cksum(buf),6),148),buf)};exports2.decode=function(buf,filenameEncoding,allowUnknownFormat){let typeflag=buf[156]===
0?0:buf[156]-ZERO_OFFSET,name=decodeStr(buf,0,100,filenameEncoding),mode=decodeOct(buf,100,8),uid=decodeOct(buf,108,8),gid=decodeOct(
buf,116,8),size=decodeOct(buf,124,12),mtime=decodeOct(buf,136,12),type=toType(typeflag),linkname=buf[157]===0?null:decodeStr(
buf,157,100,filenameEncoding),uname=decodeStr(buf,265,32),gname=decodeStr(buf,297,32),devmajor=decodeOct(buf,329,8),devminor=decodeOct(
buf,337,8),c=cksum(buf);if(c===256)return null;if(c!==decodeOct(buf,148,8))throw new Error("Invalid tar header. Maybe th\
e tar is corrupted or it needs to be gunzipped?");if(isUSTAR(buf))buf[345]&&(name=decodeStr(buf,345,155,filenameEncoding)+
"/"+name);else if(!isGNU(buf)){if(!allowUnknownFormat)throw new Error("Invalid tar header: unknown format.")}return typeflag===
0&&name&&name[name.length-1]==="/"&&(typeflag=5),{name,mode,uid,gid,size,byteOffset:0,mtime:new Date(1e3*mtime),type,linkname,
uname,gname,devmajor,devminor,pax:null}};function isUSTAR(buf){return b4a.equals(USTAR_MAGIC,buf.subarray(MAGIC_OFFSET,MAGIC_OFFSET+
6))}function isGNU(buf){return b4a.equals(GNU_MAGIC,buf.subarray(MAGIC_OFFSET,MAGIC_OFFSET+6))&&b4a.equals(GNU_VER,buf.subarray(
VERSION_OFFSET,VERSION_OFFSET+2))}function clamp(index,len,defaultValue){return typeof index!="number"?defaultValue:(index=
~~index,index>=len?len:index>=0||(index+=len,index>=0)?index:0)}function toType(flag){switch(flag){case 0:return"file";case 1:
return"link";case 2:return"symlink";case 3:return"character-device";case 4:return"block-device";case 5:return"directory";case 6:
return"fifo";case 7:return"contiguous-file";case 72:return"pax-header";case 55:return"pax-global-header";case 27:return"\
gnu-long-link-path";case 28:case 30:return"gnu-long-path"}return null}function toTypeflag(flag){switch(flag){case"file":
return 0;case"link":return 1;case"symlink":return 2;case"character-device":return 3;case"block-device":return 4;case"dir\
ectory":return 5;case"fifo":return 6;case"contiguous-file":return 7;case"pax-header":return 72}return 0}function indexOf(block3,num,offset,end2){
for(;offset<end2;offset++)if(block3[offset]===num)return offset;return end2}function cksum(block3){let sum=256;for(let i=0;i<
148;i++)sum+=block3[i];for(let j=156;j<512;j++)sum+=block3[j];return sum}function encodeOct(val,n){return val=val.toString(
8),val.length>n?SEVENS.slice(0,n)+" ":ZEROS.slice(0,n-val.length)+val+" "}function encodeSizeBin(num,buf,off){buf[off]=128;
for(let i=11;i>0;i--)buf[off+i]=num&255,num=Math.floor(num/256)}function encodeSize(num,buf,off){num.toString(8).length>
11?encodeSizeBin(num,buf,off):b4a.write(buf,encodeOct(num,11),off)}function parse256(buf){let positive;if(buf[0]===128)positive=
!0;else if(buf[0]===255)positive=!1;else return null;let tuple=[],i;for(i=buf.length-1;i>0;i--){let byte=buf[i];positive?
tuple.push(byte):tuple.push(255-byte)}let sum=0,l=tuple.length;for(i=0;i<l;i++)sum+=tuple[i]*Math.pow(256,i);return positive?
sum:-1*sum}function decodeOct(val,offset,length){if(val=val.subarray(offset,offset+length),offset=0,val[offset]&128)return parse256(
val);{for(;offset<val.length&&val[offset]===32;)offset++;let end2=clamp(indexOf(val,32,offset,val.length),val.length,val.
length);for(;offset<end2&&val[offset]===0;)offset++;return end2===offset?0:parseInt(b4a.toString(val.subarray(offset,end2)),
8)}}function decodeStr(val,offset,length,encoding){return b4a.toString(val.subarray(offset,indexOf(val,0,offset,offset+length)),
encoding)}function addLength(str){let len=b4a.byteLength(str),digits=Math.floor(Math.log(len)/Math.log(10))+1;return len+
digits>=Math.pow(10,digits)&&digits++,len+digits+str}}});var require_pack=__commonJS({"node_modules/tar-stream/pack.js"(exports2,module2){init_define_SAVEPOINT();var{Readable:Readable9,
Writable,getStreamError}=require_streamx(),b4a=require_b4a(),constants5=require_constants2(),headers=require_headers(),DMODE=493,
FMODE=420,END_OF_TAR=b4a.alloc(1024),Sink=class extends Writable{constructor(pack3,header2,callback){super({mapWritable,
eagerOpen:!0}),this.written=0,this.header=header2,this._callback=callback,this._linkname=null,this._isLinkname=header2.type===
"symlink"&&!header2.linkname,this._isVoid=header2.type!=="file"&&header2.type!=="contiguous-file",this._finished=!1,this.
_pack=pack3,this._openCallback=null,this._pack._stream===null?this._pack._stream=this:this._pack._pending.push(this)}_open(cb){
this._openCallback=cb,this._pack._stream===this&&this._continueOpen()}_continuePack(err){if(this._callback===null)return;
let callback=this._callback;this._callback=null,callback(err)}_continueOpen(){this._pack._stream===null&&(this._pack._stream=
this);let cb=this._openCallback;if(this._openCallback=null,cb!==null){if(this._pack.destroying)return cb(new Error("pack\
 stream destroyed"));if(this._pack._finalized)return cb(new Error("pack stream is already finalized"));this._pack._stream=
this,this._isLinkname||this._pack._encode(this.header),this._isVoid&&(this._finish(),this._continuePack(null)),cb(null)}}_write(data,cb){
if(this._isLinkname)return this._linkname=this._linkname?b4a.concat([this._linkname,data]):data,cb(null);if(this._isVoid)
return data.byteLength>0?cb(new Error("No body allowed for this entry")):cb();if(this.written+=data.byteLength,this._pack.
push(data))return cb();this._pack._drain=cb}_finish(){this._finished||(this._finished=!0,this._isLinkname&&(this.header.
linkname=this._linkname?b4a.toString(this._linkname,"utf-8"):"",this._pack._encode(this.header)),overflow(this._pack,this.
header.size),this._pack._done(this))}_final(cb){if(this.written!==this.header.size)return cb(new Error("Size mismatch"));
this._finish(),cb(null)}_getError(){return getStreamError(this)||new Error("tar entry destroyed")}_predestroy(){this._pack.
destroy(this._getError())}_destroy(cb){this._pack._done(this),this._continuePack(this._finished?null:this._getError()),cb()}},
Pack=class extends Readable9{constructor(opts){super(opts),this._drain=noop,this._finalized=!1,this._finalizing=!1,this.
_pending=[],this._stream=null}entry(header2,buffer4,callback){if(this._finalized||this.destroying)throw new Error("alrea\
dy finalized or destroyed");typeof buffer4=="function"&&(callback=buffer4,buffer4=null),callback||(callback=noop),(!header2.
size||header2.type==="symlink")&&(header2.size=0),header2.type||(header2.type=modeToType(header2.mode)),header2.mode||(header2.
mode=header2.type==="directory"?DMODE:FMODE),header2.uid||(header2.uid=0),header2.gid||(header2.gid=0),header2.mtime||(header2.
mtime=new Date),typeof buffer4=="string"&&(buffer4=b4a.from(buffer4));let sink=new Sink(this,header2,callback);return b4a.
isBuffer(buffer4)?(header2.size=buffer4.byteLength,sink.write(buffer4),sink.end(),sink):(sink._isVoid,sink)}finalize(){if(this.
_stream||this._pending.length>0){this._finalizing=!0;return}this._finalized||(this._finalized=!0,this.push(END_OF_TAR),this.
push(null))}_done(stream){stream===this._stream&&(this._stream=null,this._finalizing&&this.finalize(),this._pending.length&&
this._pending.shift()._continueOpen())}_encode(header2){if(!header2.pax){let buf=headers.encode(header2);if(buf){this.push(
buf);return}}this._encodePax(header2)}_encodePax(header2){let paxHeader=headers.encodePax({name:header2.name,linkname:header2.
linkname,pax:header2.pax}),newHeader={name:"PaxHeader",mode:header2.mode,uid:header2.uid,gid:header2.gid,size:paxHeader.
byteLength,mtime:header2.mtime,type:"pax-header",linkname:header2.linkname&&"PaxHeader",uname:header2.uname,gname:header2.
gname,devmajor:header2.devmajor,devminor:header2.devminor};this.push(headers.encode(newHeader)),this.push(paxHeader),overflow(
this,paxHeader.byteLength),newHeader.size=header2.size,newHeader.type=header2.type,this.push(headers.encode(newHeader))}_doDrain(){
let drain=this._drain;this._drain=noop,drain()}_predestroy(){let err=getStreamError(this);for(this._stream&&this._stream.
destroy(err);this._pending.length;){let stream=this._pending.shift();stream.destroy(err),stream._continueOpen()}this._doDrain()}_read(cb){
this._doDrain(),cb()}};module2.exports=function(opts){return new Pack(opts)};function modeToType(mode){switch(mode&constants5.
S_IFMT){case constants5.S_IFBLK:return"block-device";case constants5.S_IFCHR:return"character-device";case constants5.S_IFDIR:
return"directory";case constants5.S_IFIFO:return"fifo";case constants5.S_IFLNK:return"symlink"}return"file"}function noop(){}
function overflow(self2,size){size&=511,size&&self2.push(END_OF_TAR.subarray(0,512-size))}function mapWritable(buf){return b4a.
isBuffer(buf)?buf:b4a.from(buf)}}});var require_tar_stream=__commonJS({"node_modules/tar-stream/index.js"(exports2){init_define_SAVEPOINT();exports2.extract=
require_extract();exports2.pack=require_pack()}});init_define_SAVEPOINT();init_define_SAVEPOINT();var import_node_fs10=require("node:fs");init_define_SAVEPOINT();init_errors();async function deliver(events,listeners){let listening=new Set(listeners),failures=[],
tell=async act=>{for(let listener of listening)try{await act(listener)}catch(error2){listening.delete(listener),failures.
push(unwritable(error2))}};for await(let event of events)await tell(listener=>listener.on(event));return await tell(listener=>listener.
end?.()),failures}function unwritable(error2){return error2 instanceof SavepointError?error2:new SavepointError("output-\
unwritable",{message:`A report of the job could not be written: ${asSavepointError(error2).causes[0]??error2}`,cause:error2})}init_define_SAVEPOINT();var import_node_fs2=require("node:fs"),import_node_path2=require("node:path"),import_node_readline=require("node:readline");init_define_SAVEPOINT();var import_node_fs=require("node:fs"),import_node_path=require("node:path");init_errors();var fileNames={
events:"events.ndjson",result:"result.json",diff:{applied:"change.diff",commit:"commit.diff",rollback:"rollback.diff"},packages:"\
packages.diff"};function ndjsonFile(folder){let file=(0,import_node_fs.openSync)((0,import_node_path.join)(folder,fileNames.events),"a",
384);return{on:event=>{(0,import_node_fs.writeSync)(file,`${JSON.stringify(event)}
`)},end:()=>(0,import_node_fs.closeSync)(file)}}function diffFiles(folder){let write=(name,text5)=>{text5!==""&&(0,import_node_fs.writeFileSync)(
(0,import_node_path.join)(folder,name),text5.replace(/\n?$/,`
`),{mode:384})};return{on:event=>{if(event.kind==="transaction_applied"&&write(fileNames.diff.applied,event.diff),event.
kind!=="transaction_commit"&&event.kind!=="transaction_rollback")return;let kind=event.kind==="transaction_commit"?"comm\
it":"rollback";write(fileNames.diff[kind],event.diff),write(fileNames.packages,event.packages)}}}function resultFile(folder,fold){
return{on:event=>fold.note(event),end:()=>{let text5=`${JSON.stringify(fold.result(),null,2)}
`;(0,import_node_fs.writeFileSync)((0,import_node_path.join)(folder,fileNames.result),text5,{mode:384})}}}async function replay(folder,fold){let input=(0,import_node_fs2.createReadStream)((0,import_node_path2.join)(folder,fileNames.
events));try{await new Promise((resolve3,reject)=>input.once("open",resolve3).once("error",reject));for await(let line of(0,import_node_readline.createInterface)(
{input,crlfDelay:Number.POSITIVE_INFINITY})){let event=parsed(line);event&&fold.note(event)}return!0}catch{return!1}}function parsed(line){
try{let value=JSON.parse(line);return typeof value=="object"&&value!==null&&"kind"in value?value:void 0}catch{return}}init_define_SAVEPOINT();var import_node_os=require("node:os");init_define_SAVEPOINT();var Tail=class{#limit;#pieces=[];#length=0;#dropped=!1;constructor(limit2){this.#limit=limit2}add(piece){
this.#pieces.push(piece),this.#length+=piece.length,(this.#length>2*this.#limit||this.#pieces.length>this.#limit)&&this.#trim()}text(){
return this.#trim(),(this.#dropped?`[the beginning was left out]
`:"")+this.#pieces.join("")}#trim(){let text5=this.#pieces.join("");text5.length>this.#limit&&(text5=text5.slice(-this.#limit),
this.#dropped=!0),this.#pieces=[text5],this.#length=text5.length}};var LONGEST_TEXT=1024*1024,ResultFold=class{#result={version:1,job:"",status:"running",transaction:{id:"",host:"",root:"\
/",track:[]},changed:[],paths:[],diffs:{},phases:[],warnings:[],errors:[]};#output=new Map;note(event){let result=this.#result;
switch(event.kind){case"job_start":{let{job,transaction:id,host,root,track,time:time2}=event;Object.assign(result,{job,started:time2,
transaction:{id,host,root,track}});break}case"transaction_applied":result.changed=event.changed,result.diffs.change=bounded(
event.diff);break;case"transaction_commit":case"transaction_rollback":this.#noteDecision(event);break;case"phase_start":case"\
phase_success":case"phase_fail":case"phase_skipped":this.#notePhase(event);break;case"progress":{let phase=result.phases.
findLast(({name})=>name===event.phase);phase&&(phase.transferred={entries:event.entries,bytes:event.bytes});break}case"o\
utput":this.#tail(event.phase).add(event.partial?event.line:`${event.line}
`);break;case"warning":result.warnings.push(event.message);break;case"connection_lost":result.warnings.push(event.reason);
break;case"error":result.errors.push(event.error);break;case"job_end":{let{status,outcome,undecided:undecided2,error:error2,
exit,time:time2}=event;Object.assign(result,{status,exit,ended:time2},outcome&&{outcome}),Object.assign(result,undecided2&&
{undecided:undecided2}),error2&&(result.error=error2);break}default:}}result(){let flat={};for(let phase of this.#result.
phases)phase.status==="skipped"||phase.status==="running"||(flat[`${phase.name}_status`]=statusOf(phase),flat[`${phase.name}\
_output`]=this.output(phase.name));return{...this.#result,...flat}}output(phase){return this.#tail(phase).text()}#tail(phase){
let tail=this.#output.get(phase)??new Tail(LONGEST_TEXT);return this.#output.set(phase,tail),tail}#noteDecision(event){let{
outcome,by,reason,paths,diff,packages}=event;Object.assign(this.#result,{outcome,paths,decision:{by,reason}}),packages!==
""&&(this.#result.packages=bounded(packages));let kind=event.kind==="transaction_commit"?"commit":"rollback";this.#result.
diffs[kind]=bounded(diff)}#notePhase(event){let{phases,errors}=this.#result,{phase:name,time:time2}=event;if(event.kind===
"phase_start"){phases.push({name,status:"running",where:event.where,start:time2});return}if(event.kind==="phase_skipped"){
phases.push({name,status:"skipped",reason:event.reason});return}let phase=phases.findLast(it=>it.name===name);if(!phase)
return;let{duration:duration3}=event;if(event.kind==="phase_success"){Object.assign(phase,{status:"success",end:time2,duration:duration3,
exit:event.exit});return}let{exit,signal:signal2,error:error2}=event;errors.push(error2),Object.assign(phase,{status:"fa\
ilure",end:time2,duration:duration3,error:error2}),exit!==void 0&&(phase.exit=exit),signal2!==void 0&&(phase.signal=signal2)}};
function statusOf({exit,signal:signal2,status,error:error2}){if(error2?.name==="phase-timeout")return 124;if(exit!==void 0&&
(status==="success"||exit!==0))return exit;let number3=signal2&&import_node_os.constants.signals[signal2];return number3?
128+number3:1}function bounded(text5){let tail=new Tail(LONGEST_TEXT);return tail.add(text5),tail.text()}init_define_SAVEPOINT();init_define_SAVEPOINT();var import_node_util=require("node:util"),DIRECTIONS=/[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
function plain2(text5){return((0,import_node_util.stripVTControlCharacters)(text5).split(/[\r\n]/).findLast(part=>part.trim()!==
"")??"").replace(/[^\P{Cc}\t]/gu,"").replace(DIRECTIONS,"")}function plainLines(text5){return text5.replace(/\n$/,"").split(
`
`).map(plain2)}init_define_SAVEPOINT();function duration(seconds){if(seconds<10)return`${seconds.toFixed(seconds<1?2:1)} s`;let whole2=Math.round(seconds);if(whole2<
120)return`${whole2} s`;let minutes=Math.round(whole2/60);return minutes<120?`${minutes} min`:`${Math.floor(minutes/60)}\
 h ${minutes%60} min`}function bytes(count2){let units=["B","KiB","MiB","GiB","TiB"],size=count2,unit=0;for(;size>=1024&&
unit<units.length-1;)size/=1024,unit++;let digits=unit>0&&size<10?1:0;return`${size.toFixed(digits)} ${units[unit]}`}function count(number3,one,many=`${one}\
s`){return`${number3} ${number3===1?one:many}`}function failure(error2,end2={}){let commandFailed2=error2.name==="phase-\
failed"||error2.name==="check-failed";return commandFailed2&&end2.exit!==void 0?`exit status ${end2.exit}`:commandFailed2&&
end2.signal?`ended by ${end2.signal}`:`${plain2(error2.reason)} [${error2.code} ${error2.name}]`}var LARGEST_SUMMARY=1024*1024-16*1024,LONGEST_BLOCK=200*1024,LAST_LINES=50;function summaryOf(result,output2){let{transaction,
diffs}=result,parts=[`### Savepoint: ${headline(result)}`,[`Job ${code(result.job)} on ${code(transaction.host)}`,transaction.
root==="/"?"":` below ${code(transaction.root)}`,`, transaction ${code(transaction.id)}.`,result.decision?` Decided beca\
use ${text(result.decision.reason)}.`:""].join(""),phaseTable(result.phases),...result.errors.map(error2=>`- **${error2.
name}** (${error2.code}): ${text(error2.reason)}`),...result.warnings.map(warning=>`- Warning: ${text(warning)}`),pathTable(
result),block("What was changed",diffs.change,"diff"),block("What was undone",diffs.rollback,"diff"),block("Installed pa\
ckages that differ (not undone)",result.packages,"diff"),...result.phases.filter(({status})=>status==="failure").map(({name})=>block(
`Last output of ${name}`,lastLines(output2(name)),"text"))];return truncated(parts.filter(part=>part!==""))}function headline({
outcome,undecided:undecided2,status,error:error2}){let job=status==="running"?"still running":`job ${status}`,why=error2?
`: ${text(failure(error2,error2.details))}`:"";return`${outcome??(status==="running"?"open":undecided2?"undecided":"no t\
ransaction")}, ${job}${why}`}function phaseTable(phases){return phases.length===0?"":["| phase | status | time | |","| -\
-- | --- | --- | --- |",...phases.map(phase=>{let{name,status,reason,error:error2}=phase,note2=reason??(error2?failure(error2,
phase):""),time2=phase.duration===void 0?"":duration(phase.duration);return`| ${text(name)} | ${status} | ${time2} | ${text(
note2)} |`})].join(`
`)}function pathTable({paths}){let touched=paths.filter(({state})=>state!=="unchanged");return touched.length===0?"":["|\
 path | now | |","| --- | --- | --- |",...touched.map(({path,state,note:note2})=>`| ${code(path)} | ${text(state)} | ${text(
note2??"")} |`)].join(`
`)}function block(title,content,language){if(!content)return"";let whole2=plainLines(content).join(`
`),shown=whole2.slice(0,LONGEST_BLOCK),note2=shown.length<whole2.length?`

Cut here; the whole is in the output folder.`:"",runs=[...shown.matchAll(/`+/g)].map(([run])=>run.length),fence="`".repeat(
Math.max(3,...runs.map(length=>length+1))),body=`${fence}${language}
${shown}
${fence}${note2}`;return`<details><summary>${title}</summary>

${body}

</details>`}function lastLines(output2){return output2.trimEnd().split(`
`).slice(-LAST_LINES).join(`
`)}function text(value){return plain2(value.replaceAll(`
`," ")).replace(/[\\`*_{}[\]()<>#+!|~&@:-]/g,character=>`&#${character.codePointAt(0)};`)}function code(value){return`<c\
ode>${text(value)}</code>`}function truncated(parts){let note2="_The summary is longer than GitHub shows; the rest is in\
 the output folder._",kept=[],size=Buffer.byteLength(note2)+2;for(let part of parts){if(size+=Buffer.byteLength(part)+2,
size>LARGEST_SUMMARY)return[...kept,note2,""].join(`

`);kept.push(part)}return[...kept,""].join(`

`)}init_define_SAVEPOINT();init_errors();init_open();init_define_SAVEPOINT();init_errors();init_target();init_define_SAVEPOINT();init_errors();async function explained(error2,fate,lease){let decided=await fate.catch(()=>{});if(decided?.
decision!=="rollback")return error2;let{by}=decided;return by==="watchdog"?new SavepointError("lease-expired",{message:`\
The host heard nothing for longer than the lease of ${lease} s, or met the deadline, and rolled back.`,details:{by},cause:error2}):
by==="boot"?rebooted(error2):error2}function rebooted(cause){return new SavepointError("host-rebooted",{message:"The hos\
t restarted, which no phase had announced, and rolled the change back.",details:{by:"boot"},hint:"A phase that restarts \
its host says `reboot: expected`.",...cause!==void 0&&{cause}})}init_define_SAVEPOINT();init_errors();function errorRecord(error2){return asSavepointError(error2).toJSON()}init_define_SAVEPOINT();async function*meanwhile(news,waited){return yield*news.until(waited),await waited}async function*decide(run,verdict){try{let decided=yield*ask2(run,verdict),{decision,warnings,...rest}=decided;yield{kind:`\
transaction_${decision}`,...rest,reason:verdict.reason};for(let message of warnings)yield{kind:"warning",message};let error2=outcomeError(
decided,verdict);error2&&(yield{kind:"error",error:errorRecord(error2)})}catch(thrown){let error2=asSavepointError(thrown);
if(error2.name==="not-open"&&!run.ledger.opened)return;yield{kind:"error",error:errorRecord(undecided(run,error2))}}}async function*ask2({
transaction},{decision,reason}){let{news}=transaction;if(decision==="rollback")return yield*meanwhile(news,transaction.rollback(
reason));try{return yield*meanwhile(news,transaction.commit())}catch(error2){yield{kind:"error",error:errorRecord(error2)};
let why=`the commit failed: ${sentenceOf(error2)}`;return yield*meanwhile(news,transaction.rollback(why))}}function outcomeError(decided,verdict){
let{outcome,decision,by,warnings}=decided,details={outcome,by,found:warnings};switch(outcome){case"rollback-failed":return new SavepointError(
"rollback-failed",{details,hint:"Mend the host by hand; it refuses further transactions until then."});case"rolled-back-\
unhealthy":return new SavepointError("rolled-back-unhealthy",{details});case"conflict":return new SavepointError("edited\
-by-others",{details});default:}if(verdict.decision==="commit"&&decision==="rollback")return by==="boot"?rebooted():new SavepointError(
"lease-expired",{message:`The change was to be committed, but ${by} had rolled it back.`,details:{by}});if(verdict.decision===
"rollback"&&decision==="commit")return new SavepointError("rollback-failed",{message:`The change was to be rolled back, \
but ${by} had committed it.`,details:{by}})}function undecided({transaction},cause){let{id,host}=transaction.record,where=host.
type==="ssh"?` ${hostArgument(host)}`:"";return new SavepointError(cause.name,{message:`Transaction ${id} could not be d\
ecided: ${cause.reason}`,details:cause.details,hint:cause.hint??`When the host answers again, run \`savepoint recover${where}\
\`.`,cause,...cause.place&&{place:cause.place}})}init_define_SAVEPOINT();function newLedger(){return{seq:0,opened:!1,phases:{},troubles:[]}}var unclearBegins=new Set(["h\
ost-lost","host-read-failed","guard-protocol","defect"]);function mayBeOpen({opened,unclear,troubles,outcome}){return outcome!==
void 0?!1:opened||unclear===!0||troubles.length===0}function note(ledger,event){switch(ledger.seq=event.seq,event.kind){case"transaction_begin":ledger.opened=!0;break;case"\
work_dir":ledger.workDir=event.path;break;case"phase_start":ledger.running={phase:event.phase,since:event.time};break;case"\
phase_success":delete ledger.running,ledger.phases[event.phase]="success";break;case"phase_fail":delete ledger.running,ledger.
phases[event.phase]="failure",ledger.troubles.push({error:event.error,phase:event.phase});break;case"phase_skipped":ledger.
phases[event.phase]="skipped";break;case"error":!ledger.opened&&unclearBegins.has(event.error.name)&&(ledger.unclear=!0),
ledger.troubles.push({error:event.error});break;case"transaction_commit":case"transaction_rollback":ledger.outcome=event.
outcome;break;default:break}}function wasCancelled(ledger){return ledger.troubles.some(({error:error2})=>error2.name==="\
job-cancelled")}function restartOf(backend){if(!backend?.use.can.includes("reboot"))return{};let{use,options}=backend;return{restart:async()=>{
await callBackend(use,"reboot",options)}}}async function*releaseBackend(run){let{backend,ledger}=run;if(!backend)return;
let call=async function*(verb,did){try{let done=await callBackend(backend.use,verb,backend.options);return done&&did&&(yield{
kind:"warning",message:did}),done}catch(thrown){return yield{kind:"error",error:errorRecord(asSavepointError(thrown))},!1}};
ledger.opened&&mayBeOpen(ledger)&&(yield*call("reboot","The backend restarted the host."))&&(yield*decide(run,{decision:"\
rollback",reason:"the host was restarted"})),(ledger.outcome==="rollback-failed"||ledger.opened&&mayBeOpen(ledger))&&(yield*call(
"revert","The backend put the host back to what it was when it was opened.")),yield*call("close","")}init_define_SAVEPOINT();init_errors();init_local();init_define_SAVEPOINT();init_local();async function openHost(config2,options={}){if(config2.type==="local")return openLocal();
if(config2.type==="backend"){let{connectBackend:connectBackend2}=await Promise.resolve().then(()=>(init_open(),open_exports));
return connectBackend2(config2,options.signal?{signal:options.signal}:{})}let{openSsh:openSsh2}=await Promise.resolve().then(()=>(init_ssh(),ssh_exports));
return openSsh2(config2,options)}init_define_SAVEPOINT();var News=class{#items=[];#wake=()=>{};push(item){this.#items.push(item),this.#wake()}take(){let items=this.#items;
return this.#items=[],items}async*until(settled){let over=!1,end2=()=>{over=!0,this.#wake()};for(settled.then(end2,end2);;){
if(yield*this.take(),over)return;await new Promise(wake=>{this.#wake=wake,(over||this.#items.length>0)&&wake()})}}};init_define_SAVEPOINT();var import_promises18=require("node:timers/promises");init_errors();init_define_SAVEPOINT();var import_consumers=require("node:stream/consumers");init_errors();init_define_SAVEPOINT();var loaderExit={notInstalled:90,mismatch:91,noSudo:92,refused:93},STATE2=`
state=$root/var/lib/savepoint
[ -n "$root" ] || [ "$(id -u)" = 0 ] || [ "$sudo" = yes ] || state=\${XDG_STATE_HOME:-$HOME/.local/state}/savepoint`,REFUSE=`\
{
  list=$(sudo -n -l 2>&1); printf '%s\\n' "$list" >&2
  case $list in *sha256:*/guard/*) exit 93 ;; *) exit 92 ;; esac
}`,LOADER=`root=$1 digest=$2 sudo=$3 verb=$4${STATE2}
guard=$state/guard/$digest/guard
check='[ -f "$1" ] || exit 90; [ "$(sha256sum <"$1")" = "$2  -" ] || exit 91; exec /bin/sh "$1" "$3"'
[ "$sudo" = yes ] && [ "$(id -u)" != 0 ] || { set -- "$guard" "$digest" "$verb"; eval "$check"; }
if sudo -n -l /bin/sh -c "$check" >/dev/null 2>&1; then
  exec sudo -n /bin/sh -c "$check" sh "$guard" "$digest" "$verb"
fi
if sudo -n -l "$guard" "$verb" >/dev/null 2>&1; then exec sudo -n "$guard" "$verb"; fi
${REFUSE}`;function loaderLine(words){let{root,guard,sudo,verb}=words;return["/bin/sh","-c",LOADER,"savepoint",root,guard.
sha256,sudo?"yes":"no",verb]}var INSTALLER=`root=$1 digest=$2 sudo=$3${STATE2}
install='umask 077; d=$1/guard/$2
mkdir -p "$d" && cat >"$d/guard.$$" && [ "$(sha256sum <"$d/guard.$$")" = "$2  -" ] || { rm -f "$d/guard.$$"; exit 91; }
chmod 755 "$d/guard.$$" && sync "$d/guard.$$" && mv -f "$d/guard.$$" "$d/guard" && sync "$d"'
[ "$(id -u)" != 0 ] && [ "$sudo" = yes ] || exec /bin/sh -c "$install" sh "$state" "$digest"
sudo -n -l /bin/sh -c "$install" >/dev/null 2>&1 || ${REFUSE}
exec sudo -n /bin/sh -c "$install" sh "$state" "$digest"`;init_define_SAVEPOINT();init_errors();var PROTOCOL=1;function encodeRequest(fields){for(let[key,value]of fields)if(/[\n\r\0]/.
test(value))throw new SavepointError("defect",{message:`The guard's field ${key} cannot hold a line break.`,details:{key,
value}});let lines2=fields.map(([key,value])=>`${key} ${value}
`);return`savepoint ${PROTOCOL}
${lines2.join("")}
`}function scriptField(script2){let trimmed=script2.trim();return/[\n\r]/.test(trimmed)?`eval "$(printf %b '${trimmed.replaceAll(
"\\","\\\\").replaceAll("\r","").replaceAll(`
`,"\\n").replaceAll("'","'\\''")}')"`:trimmed}function decodeAnswer(bytes2,verb){let text5=bytes2.toString("utf8"),end2=text5.
indexOf(`

`),header2=(end2<0?text5:text5.slice(0,end2)).split(`
`),[magic,version2,status,name=""]=(header2[0]??"").split(" ");if(magic!=="savepoint"||version2!==String(PROTOCOL)||end2<
0)throw new SavepointError("guard-protocol",{message:`The guard's answer to ${verb} cannot be understood.`,details:{verb,
answer:text5.slice(0,400)}});let fields=header2.slice(1).map(line=>{let space=line.indexOf(" ");return space<0?[line,""]:
[line.slice(0,space),line.slice(space+1)]});if(status==="ok")return{fields,body:text5.slice(end2+2)};throw answeredError(
name,firstOf(fields,"message")??"",verb)}function firstOf(fields,key){return fields.find(([each])=>each===key)?.[1]}function allOf(fields,key){
return fields.filter(([each])=>each===key).map(([,value])=>value)}function answeredError(name,message,verb){let details={
verb};return Object.hasOwn(catalogue,name)?new SavepointError(name,{message:message.charAt(0).toUpperCase()+message.slice(
1),details}):new SavepointError("guard-protocol",{message:`The guard answered ${verb} with an error this version does no\
t know: ${name}: ${message}`,details})}init_define_SAVEPOINT();init_errors();init_define_SAVEPOINT();var import_node_crypto8=require("node:crypto");init_errors();init_define_SAVEPOINT();var import_node_fs3=require("node:fs");function carried(){if(typeof define_SAVEPOINT_default<"u"){
let{pin,guards}=define_SAVEPOINT_default;return{pin,releases:releasedTexts(pin.version,guards)}}let folder=new URL("../.\
./guard/",__importMetaUrl),read=path=>(0,import_node_fs3.readFileSync)(new URL(path,folder),"utf8"),versions=(0,import_node_fs3.readdirSync)(
new URL("releases/",folder)).sort();return{pin:JSON.parse(read("pin.json")),releases:Object.fromEntries(versions.map(v=>[
v,read(`releases/${v}/guard.sh`)]))}}function releasedTexts(pinned,{order,text:text5,others}){let texts={[pinned]:text5},
known=text5.split(`
`);for(let[version2,parts]of Object.entries(others)){let lines2=parts.flatMap(part=>typeof part=="string"?part:known.slice(
part[0],part[0]+part[1]));texts[version2]=lines2.join(`
`),known.push(...lines2)}return Object.fromEntries(order.map(version2=>[version2,texts[version2]??""]))}function guardInUse(digest){let{pin}=carried(),guards=releasedGuards(),wanted=digest??pin.sha256,guard=guards.find(({sha256})=>sha256===
wanted);if(digest===void 0&&guard?.version!==pin.version)throw new SavepointError("pin-bad",{message:`The pin names guar\
d ${pin.version} with SHA-256 ${pin.sha256}, but ${guard?`that is the digest of ${guard.version}`:"no released guard has\
 this digest"}.`,details:{pin,releases:guards.map(({version:version2,sha256})=>`${version2} ${sha256}`)}});if(!guard)throw new SavepointError(
"guard-unavailable",{message:`No released guard has the SHA-256 ${wanted}.`,details:{wanted,have:guards.map(({version:version2,
sha256})=>`${version2} ${sha256}`)},hint:"Use a digest of this list, or a version of Savepoint that carries that guard."});
return guard}function releasedGuards(){return Object.entries(carried().releases).map(([version2,text5])=>({version:version2,
text:text5,sha256:digestOf2(text5)}))}function versionOf(sha256){return releasedGuards().find(guard=>guard.sha256===sha256)?.
version}function digestOf2(text5){return(0,import_node_crypto8.createHash)("sha256").update(text5).digest("hex")}function refuseLoaderExit(attempt,exit,stderr){let{host,guard}=attempt;if(exit.code===loaderExit.mismatch)throw new SavepointError(
"guard-mismatch",{message:`The guard on ${host.name} does not have the bytes of the pinned ${guard.version} (SHA-256 ${guard.
sha256}); the host did not run it.`,details:{host:host.name,pinned:guard.sha256},hint:`Find out who changed it, then rem\
ove the folder guard/${guard.sha256} below the host's state directory; the next begin puts it there again.`});if(exit.code===
loaderExit.refused)throw refusedByHost(attempt,stderr);if(exit.code===loaderExit.noSudo){let last=stderr.trimEnd().split(
`
`).at(-1);throw new SavepointError("no-sudo",{message:`The login on ${host.name} is not root, and \`sudo -n\` does not let\
 it run the guard${last?`: ${last}`:"."}`,details:{host:host.name},hint:"Log in as root, give the user passwordless sudo\
, or set `sudo: false` to track only what the user owns."})}}function guardsInSudoList(list){let rule=/sha256:([0-9a-f]{64}) (\S+\/guard\/[0-9a-f]{64}\/guard)(?: ([a-z]+)(?![^\s,]))?/g;
return[...list.replace(/\s+/g," ").matchAll(rule)].map(([,sha256="",path="",verb])=>({sha256,path,...verb!==void 0&&{verb}}))}
function refusedByHost({host,guard,root,verb},stderr){let rules=guardsInSudoList(stderr),asked=nameOf(guard.sha256),refuse=(message,hint,more={})=>{
let allowed=[...new Set(rules.map(({sha256})=>nameOf(sha256)))],details={host:host.name,allowed,asked,...more};return new SavepointError(
"guard-refused-by-host",{message,details,hint})};if(rules.length===0)return refuse(`${host.name} did not run the guard: ${stderr.
trimEnd().split(`
`).at(-1)}`,"This login is for the guard alone; log in as root for anything else.");let same2=rules.filter(({sha256})=>sha256===
guard.sha256);if(same2.length===0)return refuse(`${host.name} pins its guard itself, and this is another one.`,"Ask for \
one that it allows by `guard`, or have its owner run `savepoint host setup` for this one.");let below2=root==="/"?"":root;
if(!same2.some(({path})=>path.startsWith(`${below2}/var/lib/savepoint/`)))return refuse(`${host.name} lets this login wo\
rk on the host itself only, not below another root.`,"Leave `root` out, or log in as root.",{root});let verbs=same2.flatMap(
rule=>rule.verb??[]);return verbs.length>0&&!verbs.includes(verb)?refuse(`${host.name} lets this login run the guard, bu\
t not to ${verb}.`,"Log in as root for that.",{verbs}):refuse(`The guard on ${host.name} is missing, or has other bytes \
than its sudoers allow: sudo did not run it.`,"Find out who changed it; then have the owner of the host run `savepoint h\
ost setup` again.")}function nameOf(sha256){let version2=versionOf(sha256);return`${version2===void 0?"":`${version2} `}\
sha256:${sha256}`}async function ask3(site,verb,fields,payload){let request=Buffer.concat([Buffer.from(encodeRequest([...fields,...siteFields(
site)])),payload?.()??Buffer.alloc(0)]),attempt=async()=>{let running=load(site,verb,request),[stdout,stderr,exit]=await Promise.
all([(0,import_consumers.buffer)(running.stdout),(0,import_consumers.text)(running.stderr),running.exit]);return{stdout,
stderr,exit}},result=await attempt();if(result.exit.code===loaderExit.notInstalled&&(await install(site,verb),result=await attempt()),
refuseLoaderExit({...site,verb},result.exit,result.stderr),result.stdout.length===0)throw unanswered(site,verb,result.exit,
result.stderr);return decodeAnswer(result.stdout,verb)}function load({host,guard,root,sudo},verb,stdin){return host.run(
{argv:loaderLine({root:inGuard(root),guard,sudo,verb}),stdin})}function siteFields({guard,root}){return[["guard",guard.sha256],
["root",inGuard(root)]]}async function install(site,verb){let{host,guard,root,sudo}=site,running=host.run({argv:["/bin/s\
h","-c",INSTALLER,"sh",inGuard(root),guard.sha256,sudo?"yes":"no"],stdin:guard.text});running.stdout.resume();let[stderr,
exit]=await Promise.all([(0,import_consumers.text)(running.stderr),running.exit]);if(refuseLoaderExit({...site,verb},exit,
stderr),exit.code!==0)throw new SavepointError("host-write-failed",{message:`The guard could not be put on ${host.name}:\
 ${lastLine(stderr)||`exit ${exit.code??exit.signal}`}`,details:{host:host.name,stderr}})}function unanswered(site,verb,exit,stderr){
return new SavepointError("guard-protocol",{message:`The guard on ${site.host.name} gave no answer to ${verb} (${exit.code===
void 0?exit.signal:`exit ${exit.code}`})${lastLine(stderr)?`: ${lastLine(stderr)}`:"."}`,details:{host:site.host.name,verb,
stderr:stderr.slice(-2e3)}})}function inGuard(root){return root==="/"?"":root}function lastLine(stderr){return stderr.trimEnd().
split(`
`).at(-1)??""}init_define_SAVEPOINT();init_errors();var outcomes=["committed","rolled-back","rolled-back-unhealthy","conflict","rollback-failed"];function begunFrom({fields}){
return{entries:Number(firstOf(fields,"entries")),bytes:Number(firstOf(fields,"bytes")),bootId:firstOf(fields,"boot")??"",
warnings:allOf(fields,"warning").map(readableName)}}function appliedFrom({fields,body}){return{changed:pathsOf(fields).map(
({path,state})=>({path,change:state})),diff:readableName(body)}}function decidedFrom({fields,body}){let outcome=(firstOf(
fields,"outcome")??"").replace(/, cleared$/,"");if(!outcomes.includes(outcome))throw new SavepointError("guard-protocol",
{message:`The guard ended the transaction with the unknown outcome '${outcome}'.`,details:{outcome,known:outcomes}});return{
decision:firstOf(fields,"decision")==="commit"?"commit":"rollback",outcome,by:firstOf(fields,"by")??"",paths:pathsOf(fields),
diff:readableName(body),packages:allOf(fields,"package").map(line=>`${line}
`).join(""),warnings:allOf(fields,"warning").map(readableName)}}function pathsOf(fields){return allOf(fields,"path").map(
line=>{let space=line.indexOf(" ");return{state:line.slice(0,space),path:readableName(line.slice(space+1))}})}function readableName(text5){
return text5.replaceAll("","\\n").replaceAll("","\\t")}init_define_SAVEPOINT();var import_promises17=require("node:timers/promises");init_errors();var FIRST_PAUSE=250,LONGEST_PAUSE=5e3,
Link=class{#options;#heard=performance.now();#away=0;#outage;constructor(options){this.#options=options}renewed(){this.#heard=
performance.now()}allowAway(seconds){let before=this.#away;return this.#away=Math.max(before,seconds),{[Symbol.dispose]:()=>{
this.#away=before}}}async again(attempt,{repeatable=!0,signal:signal2}={}){for(;;)try{return await attempt()}catch(error2){
if(!isOutage(error2)||!repeatable&&error2.name==="host-lost")throw error2;await unless(signal2,this.#restored(error2))}}#restored(first){
if(!this.#outage){let outage=this.#restore(first).finally(()=>{this.#outage=void 0});outage.catch(()=>{}),this.#outage=outage}
return this.#outage}async#restore(first){let lost2=performance.now(),{news,lease,probe,name}=this.#options,end2=()=>Math.
max(this.#heard+lease*1e3,lost2+this.#away*1e3),patience2=(end2()-lost2)/1e3;if(patience2<=0)throw first;news.push({kind:"\
connection_lost",reason:first.reason,patience:rounded(patience2)});let last=first;for(let pause2=FIRST_PAUSE;;pause2=Math.
min(pause2*2,LONGEST_PAUSE)){let wait=Math.min(pause2*(.5+Math.random()/2),end2()-performance.now());wait>0&&await(0,import_promises17.setTimeout)(
wait);let left=end2()-performance.now();if(left<=0)throw givenUp(name,last,patience2);let trouble=await within2(left,probe());
if(trouble==="late")throw givenUp(name,last,patience2);if(trouble===void 0||!isAboutLink(trouble))break;if(!isOutage(trouble))
throw trouble;last=trouble}news.push({kind:"connection_resumed",after:rounded((performance.now()-lost2)/1e3)})}};function isOutage(error2){
return error2 instanceof SavepointError&&(error2.name==="host-lost"||error2.name==="host-unreachable")}function isAboutLink(error2){
return isOutage(error2)?!0:error2 instanceof SavepointError&&linkErrors.has(error2.name)}var linkErrors=new Set(["host-a\
uth-failed","host-key-unknown","host-key-changed","host-key-revoked","key-missing","key-unreadable","key-bad","known-hos\
ts-missing"]);async function within2(milliseconds,asked){let timer2=new AbortController;try{return await Promise.race([asked.
then(()=>{},error2=>error2),(0,import_promises17.setTimeout)(milliseconds,"late",{signal:timer2.signal})])}finally{timer2.
abort()}}async function unless(signal2,waited){if(!signal2)return waited;signal2.throwIfAborted();let ended=new AbortController,
aborted3=new Promise((_,reject)=>{signal2.addEventListener("abort",()=>reject(signal2.reason),{signal:ended.signal})});try{
await Promise.race([waited,aborted3])}finally{ended.abort()}}function givenUp(name,last,patience2){return new SavepointError(
last.name,{message:`${name} did not come back within ${rounded(patience2)} s, after which it rolls back by itself. ${last.
reason}`,details:{...last.details,waited:rounded(patience2)},cause:last})}function rounded(seconds){return Math.round(seconds*
10)/10}init_define_SAVEPOINT();var import_node_fs4=require("node:fs"),import_consumers2=require("node:stream/consumers"),import_tar_stream=__toESM(require_tar_stream(),1);
async function overlayArchive(entries){let archive=(0,import_tar_stream.pack)(),bytes2=(0,import_consumers2.buffer)(archive);
for(let entry3 of entries){let common={name:entry3.path.slice(1),mtime:new Date(0),uid:0,gid:0};entry3.kind==="directory"?
archive.entry({...common,type:"directory",mode:493}):entry3.kind==="symlink"?archive.entry({...common,type:"symlink",linkname:entry3.
target??""}):archive.entry({...common,mode:entry3.executable?493:420},(0,import_node_fs4.readFileSync)(entry3.source))}return archive.
finalize(),await bytes2}init_define_SAVEPOINT();var import_node_crypto10=require("node:crypto");init_define_SAVEPOINT();var import_node_crypto9=require("node:crypto"),import_node_stream9=require("node:stream"),import_consumers3=require("node:stream/consumers");
init_errors();init_define_SAVEPOINT();var import_node_stream8=require("node:stream"),LONGEST_PREAMBLE=64*1024,Trailer=class extends import_node_stream8.Transform{started;lastWord;preamble="";#marker;#comesAgain;#held=Buffer.
alloc(0);#isStarted=!1;#start=()=>{};#end=()=>{};constructor(nonce,comesAgain){super(),this.#comesAgain=comesAgain,this.#marker=
Buffer.from(`
${nonce} `),this.started=new Promise(resolve3=>{this.#start=resolve3}),this.lastWord=new Promise(resolve3=>{this.#end=resolve3}),
this.once("close",()=>this.#ended())}_transform(chunk,_encoding,done){for(this.#held=Buffer.concat([this.#held,chunk]);;){
let at2=this.#held.indexOf(this.#marker);if(at2<0)break;let after2=at2+this.#marker.length,end2=this.#held.indexOf(`
`,after2);if(end2<0){this.#emit(at2),done();return}let word=this.#held.subarray(after2,end2).toString();this.#emit(at2),
this.#held=this.#held.subarray(end2+1-at2),this.#isStarted=!0,this.#start(!0),word!=="started"&&this.#end(word==="lost"?
word:Number(word))}this.#emit(this.#held.length-this.#mayBegin()),done()}_flush(done){this.#isStarted&&this.#comesAgain||
this.#emit(this.#held.length),this.#ended(),done()}#ended(){this.#start(!1),this.#end(void 0)}#emit(length){if(length===
0)return;let bytes2=this.#held.subarray(0,length);this.#held=this.#held.subarray(length),this.#isStarted?this.push(bytes2):
this.preamble=(this.preamble+bytes2.toString()).slice(-LONGEST_PREAMBLE)}#mayBegin(){let longest=Math.min(this.#marker.length-
1,this.#held.length);for(let length=longest;length>0;length--)if(this.#held.subarray(this.#held.length-length).equals(this.#marker.
subarray(0,length)))return length;return 0}};var FRUITLESS=3,Follower=class{stdout=new import_node_stream9.PassThrough;stderr=new import_node_stream9.PassThrough;started;#site;#followed;#key;#begin=()=>{};#isStarted=!1;#sent={
stdout:0,stderr:0};#fruitless=0;constructor(site,followed2){this.#site=site,this.#followed=followed2,this.#key=`${followed2.
phase}.${(0,import_node_crypto9.randomBytes)(8).toString("hex")}`,this.started=new Promise(resolve3=>{this.#begin=resolve3})}get isStarted(){
return this.#isStarted}async attempt(){let{script:script2,nonce,resumable}=this.#followed,{stdout:out,stderr:err}=this.#sent,
fields=[...this.#followed.fields,...siteFields(this.#site),["nonce",nonce],["phase",this.#key],["out",String(out)],["err",
String(err)]],running=load(this.#site,"exec",Buffer.from(encodeRequest(fields)+script2)),trailer=new Trailer(nonce,resumable);
if(running.stderr.on("error",error2=>trailer.destroy(error2)).pipe(trailer),!await Promise.race([trailer.started,running.
exit.then(()=>!1)]))throw await this.#refusal(running,trailer);this.#isStarted||this.stderr.write(trailer.preamble),this.#isStarted=
!0,this.#begin(),await Promise.all([this.#pass(running.stdout,"stdout"),this.#pass(trailer,"stderr")]);let end2=await running.
exit,word=await trailer.lastWord;if(word!==void 0)return word;let moved=this.#sent.stdout>out||this.#sent.stderr>err;this.#fruitless=
moved?0:this.#fruitless+1;let how=end2.code===void 0?end2.signal:`exit ${end2.code}`;throw new SavepointError(this.#fruitless<
FRUITLESS?"host-lost":"guard-protocol",{message:`The phase's command was cut off (${how}) and left no status.`,details:{
end:end2}})}end(){this.stdout.end(),this.stderr.end()}async#pass(from,name){let into=this[name];for await(let chunk of from)
this.#sent[name]+=chunk.length,!into.destroyed&&!into.write(chunk)&&await roomIn(into)}async#refusal(running,{preamble}){
let[stdout,exit]=await Promise.all([(0,import_consumers3.buffer)(running.stdout),running.exit]);if(refuseLoaderExit({...this.#site,
verb:"exec"},exit,preamble),stdout.length>0)try{decodeAnswer(stdout,"exec")}catch(error2){if(error2 instanceof Error)return error2}
let{name}=this.#site.host;return new SavepointError("guard-protocol",{message:`The guard on ${name} did not start the ph\
ase: ${preamble.trim()||"it said nothing"}`,details:{stderr:preamble}})}};function roomIn(into){return new Promise(resolve3=>{
let done=()=>{into.off("drain",done).off("close",done),resolve3()};into.on("drain",done).on("close",done)})}init_define_SAVEPOINT();init_quote();var homeOrRoot='"${HOME:-/}"',early=`trap 'rm -rf "$savepoint_dir"; exit 143' HUP P\
IPE TERM`;function launcher({phase,script:script2,env,cwd:cwd2,nonce,reboot}){let variables=Object.entries(env).map(([name,
value])=>`export ${name}=${quoteWord(value)}
`).join(""),run=script2.startsWith("#!")?'"$savepoint_dir/$savepoint_phase"':'sh -e "$savepoint_dir/$savepoint_phase"';return`\
savepoint_phase=${quoteWord(phase)}
cd ${cwd2===void 0?homeOrRoot:quoteWord(cwd2)} || cd / || exit 126
savepoint_dir=$(mktemp -d "\${TMPDIR:-/tmp}/savepoint.XXXXXXXX") || exit 126
${reboot===void 0?early:"trap : HUP PIPE TERM"}
cat >"$savepoint_dir/$savepoint_phase" <<'${nonce}'
${script2.endsWith(`
`)?script2:`${script2}
`}${nonce}
chmod 700 "$savepoint_dir/$savepoint_phase"
(
${variables}
${run} </dev/null
)
savepoint_status=$?
rm -rf "$savepoint_dir"
${reboot===void 0?"":goingDown}exit "$savepoint_status"
`}var goingDown=`trap '' HUP TERM
case $savepoint_status in 129 | 137 | 143) sleep 15 ;; esac
`,channels=/^(INPUT_|STATE_|ACTIONS_|GITHUB_(ENV|PATH|OUTPUT|STATE|STEP_SUMMARY|TOKEN)$|SAVEPOINT_|NODE_OPTIONS$|CI_JOB_TOKEN$|SSH_AUTH_SOCK$)/;
function controllerEnvironment(env){let kept={};for(let[name,value]of Object.entries(env))value===void 0||channels.test(
name)||/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)&&(kept[name]=value);return kept}async function startPhase(site,credentials,command,link,signal2){let resumable=keepsPhases(site.guard.version),follower=new Follower(
site,followed(site,credentials,command,resumable)),kill2=async()=>{await link.again(()=>ask3(site,"kill",credentials))},
starting=new AbortController,giveUp=()=>{follower.isStarted||starting.abort(signal2?.reason)};signal2?.addEventListener(
"abort",giveUp);let exit=link.again(()=>follower.attempt(),{repeatable:resumable,signal:starting.signal}).finally(()=>{signal2?.
removeEventListener("abort",giveUp),follower.end()});exit.catch(()=>{});try{await Promise.race([follower.started,exit])}catch(error2){
throw starting.signal.aborted&&await kill2(),error2}return{stdout:follower.stdout,stderr:follower.stderr,exit,kill:kill2}}
function keepsPhases(version2){let[major=0,minor=0]=version2.split(".").map(Number);return major>1||major===1&&minor>=1}
function followed(site,credentials,command,resumable){let nonce=(0,import_node_crypto10.randomBytes)(16).toString("hex"),
local=site.host.kind==="local",env=local?{...controllerEnvironment(process.env),...command.env}:command.env,cwd2=local?command.
env.SAVEPOINT_JOB_DIR??process.cwd():void 0;return{phase:command.phase,script:launcher({...command,env,nonce,...cwd2!==void 0&&
{cwd:cwd2}}),fields:[...credentials,...command.reboot===void 0?[]:[["reboot",String(command.reboot)]]],nonce,resumable}}init_define_SAVEPOINT();init_errors();var LOOKS=60;async function exitOf(word,{phase,reboot},host){if(word!=="lost")return{
code:word};for(let look2=0;reboot!==void 0&&look2<LOOKS;look2++){let now=await host.now();if(now&&now!==host.before)return{
rebooted:now};await host.pause()}throw new SavepointError("host-lost",{message:`What watched over the command of phase ${phase}\
 on ${host.name} was killed: nobody knows how it ended.`,details:{host:host.name,phase}})}var LOCK_RETRY=2;function attach(record,host,options={}){return new GuardedTransaction({...record,fence:options.fence??record.
fence},host,options.signal)}var GuardedTransaction=class{record;news=new News;#site;#signal;#link;#boot;#fate;constructor(record,host,signal2){
this.record=record,this.#signal=signal2,this.#site={host,guard:guardInUse(record.guard.sha256),root:record.root,sudo:record.
host.sudo},this.#link=new Link({lease:record.request.lease,probe:()=>this.#renew(),news:this.news,name:host.name})}async begin(){
let{request}=this.record,fields=[["holder",request.holder],["lease",String(request.lease)],["deadline",String(request.deadline)],
["on_conflict",request.onConflict],["degraded",request.degraded?"yes":"no"],...request.track.map(path=>["track",path]),...request.
refresh.map(script2=>["refresh",scriptField(script2)]),...request.probe.map(script2=>["probe",scriptField(script2)])],until=Date.
now()+request.lockTimeout*1e3,told2=!1;for(;;)try{let begun=begunFrom(await this.#ask("begin",fields));return this.#lives(
begun.bootId),begun}catch(error2){if(!(error2 instanceof SavepointError&&error2.name==="host-busy")||Date.now()+LOCK_RETRY*
1e3>until)throw error2;let{lockTimeout:patience2}=request;told2||this.news.push({kind:"host_busy",reason:error2.reason,patience:patience2}),
told2=!0,await pause(LOCK_RETRY,this.#signal)}}async apply(change){let archive=await overlayArchive(change.overlay),remove=change.
remove.map(path=>["remove",path]),asked=()=>this.#ask("apply",remove,archive);return appliedFrom(await this.#over(asked,
{repeatable:!1}))}async exec(command,signal2){command.reboot!==void 0&&this.#boot===void 0&&await this.renew();let host={
name:this.#site.host.name,before:this.#boot,now:async()=>(await this.renew(),this.#boot),pause:()=>(0,import_promises18.setTimeout)(
1e3)},away=this.#link.allowAway(command.reboot??0),end2=()=>away[Symbol.dispose]();try{let starting=startPhase(this.#site,
this.#credentials(),command,this.#link,signal2),process2=await this.#explained(starting),exit=this.#explained(process2.exit).
then(word=>exitOf(word,command,host));return exit.then(end2,end2),{...process2,exit}}catch(error2){throw end2(),error2}}async renew(){
await this.#over(()=>this.#renew())}async running(phase){await this.#over(()=>this.#ask("renew",[["running",phase?"yes":
"no"]]))}async commit(){return decidedFrom(await this.#link.again(()=>this.#ask("commit",[])))}async rollback(reason){let fields=[
["reason",reason.replace(/[^\x20-\x7e]+/g," ").trim().slice(0,200)||"controller"]];return decidedFrom(await this.#link.again(
()=>this.#ask("rollback",fields)))}async#renew(){let{fields}=await this.#ask("renew",[]);this.#lives(firstOf(fields,"boo\
t"))}#lives(boot){this.#link.renewed(),this.#boot=boot??this.#boot??""}#over(attempt,attempts){return this.#explained(this.#link.
again(attempt,attempts))}async#explained(asked){try{return await asked}catch(error2){throw!(this.#boot!==void 0)||!(error2 instanceof
SavepointError&&error2.name==="not-open")?error2:(this.#fate??=this.rollback("the host had ended it"),await explained(error2,
this.#fate,this.record.request.lease))}}get login(){return this.#site.host}#credentials(){let{id,token,fence}=this.record;
return[["id",id],["token",token],["fence",String(fence)]]}#ask(verb,fields,payload){let all=[...this.#credentials(),...fields];
return ask3(this.#site,verb,all,payload&&(()=>payload))}};async function pause(seconds,signal2){try{await(0,import_promises18.setTimeout)(
seconds*1e3,void 0,signal2?{signal:signal2}:{})}catch(error2){throw signal2?.throwIfAborted(),error2}}async function connect2(record,options={}){let{host:config2=record.host,passphrase,restart,...attaching}=options,controller=openLocal(),
host,transaction;try{let open4=()=>openHost(config2,{...passphrase!==void 0&&{passphrase},...options.signal&&{signal:options.
signal},later:options.fence!==void 0&&restart===void 0});host=await open4().catch(async error2=>{if(!(error2 instanceof SavepointError&&
error2.name==="host-unreachable")||!restart)throw error2;return await restart(),open4()}),transaction=attach(record,host,
attaching)}catch(error2){transaction=outOfReach(record,error2)}return{transaction,controller,[Symbol.asyncDispose]:async()=>{
await controller.close(),await host?.close()}}}function outOfReach(record,error2){let fail=()=>Promise.reject(error2),run=()=>{
throw error2};return{record,news:new News,begin:fail,apply:fail,exec:fail,renew:fail,running:fail,commit:fail,rollback:fail,
login:{name:"the host",run}}}init_define_SAVEPOINT();var import_node_os3=require("node:os");init_errors();var ownPhases=new Set(["artifacts","cleanup"]),outcomeErrors=new Set(["edited-by-others","rolled-back-unhealthy","rollba\
ck-failed"]);function jobEnd(job,ledger,told2){let worst=worstOf(job,ledger,ledger.troubles),own2=worst?wasCancelled(ledger)?
"cancelled":"failure":"success";return{kind:"job_end",status:own2==="success"?told2:own2,...ledger.outcome?{outcome:ledger.
outcome}:mayBeOpen(ledger)&&{undecided:!0},...ledger.outcome&&ledger.outcome===job.expect&&{expected:!0},...worst&&{error:worst.
error},exit:worst?exitOf2(worst.error):told2==="success"?0:exitCodes.job}}function exitOfFinish(job,ledger,before){let own2=ledger.troubles.slice(before).filter(({phase})=>phase===void 0||ownPhases.
has(phase)),worst=worstOf(job,ledger,own2);return worst?exitOf2(worst.error):0}function worstOf(job,ledger,troubles){return troubles.
filter(trouble=>!isPardoned(job,ledger,trouble)).sort((a,b)=>severity(a)-severity(b))[0]}function isPardoned(job,ledger,{
error:error2,phase}){return job.expect===void 0||wasCancelled(ledger)||ledger.outcome!==void 0&&ledger.outcome!==job.expect?
!1:outcomeErrors.has(error2.name)?ledger.outcome===job.expect:error2.class==="job"&&phase!==void 0&&!ownPhases.has(phase)&&
job.expect!=="committed"}function severity({error:error2}){return error2.name==="job-cancelled"?4:{recovery:0,internal:1,
host:2,usage:3,job:5}[error2.class]}function exitOf2(error2){let{signal:signal2}=error2.details;if(error2.name==="job-ca\
ncelled"&&typeof signal2=="string"){let number3=import_node_os3.constants.signals[signal2];if(number3!==void 0)return 128+
number3}return exitCodes[error2.class]}init_define_SAVEPOINT();function masker(secrets){let literals=expand(secrets),text5=whole2=>{let stream=new Holder(literals);return stream.push(
whole2)+stream.end()};return{stream:()=>new Holder(literals),text:text5,value:it=>walk(it,text5)}}function expand(secrets){
let all=new Set;for(let secret of secrets){if(secret.trim()==="")continue;all.add(secret);let trimmed=secret.replace(/[\r\n]+$/,
"");all.add(trimmed);let lines2=trimmed.split(/\r?\n/);if(lines2.length!==1)for(let line of lines2)line.trim().length>=4&&
all.add(line)}return[...all].sort((a,b)=>b.length-a.length)}function walk(value,text5){return typeof value=="string"?text5(
value):Array.isArray(value)?value.map(item=>walk(item,text5)):typeof value!="object"||value===null?value:Object.fromEntries(
Object.entries(value).map(([key,item])=>[key,walk(item,text5)]))}var Holder=class{#literals;#held="";#covered=0;constructor(literals){
this.#literals=literals}push(text5){return this.#literals.length===0?text5:(this.#held+=text5,this.#release(this.#held.length-
this.#possibleStart()))}end(){return this.#release(this.#held.length)}#possibleStart(){let longest=0;for(let literal of this.#literals){
let limit2=Math.min(literal.length-1,this.#held.length);for(let length=limit2;length>longest;length--)this.#held.endsWith(
literal.slice(0,length))&&(longest=length)}return longest}#release(cut2){if(cut2===0)return"";let out="",at2=0;for(let[start2,
end2]of this.#intervals()){if(start2>=cut2)break;start2>at2&&(out+=this.#held.slice(at2,start2)),(start2>0||this.#covered===
0)&&(out+="***"),at2=end2}return at2<cut2&&(out+=this.#held.slice(at2,cut2)),this.#held=this.#held.slice(cut2),this.#covered=
Math.max(0,at2-cut2),out}#intervals(){let found=this.#covered>0?[[0,this.#covered]]:[];for(let literal of this.#literals)
for(let at2=this.#held.indexOf(literal);at2>=0;at2=this.#held.indexOf(literal,at2+1))found.push([at2,at2+literal.length]);
found.sort(([a],[b])=>a-b);let merged=[];for(let[start2,end2]of found){let last=merged.at(-1);last&&start2<=last[1]?last[1]=
Math.max(last[1],end2):merged.push([start2,end2])}return merged}};init_define_SAVEPOINT();init_errors();init_target();init_define_SAVEPOINT();init_errors();function keepLease(transaction,onOver){let busy=!1,timer2=setInterval(async()=>{if(!busy){
busy=!0;try{await transaction.renew()}catch(error2){let over=["not-open","fenced","bad-token","lease-expired","host-rebo\
oted"];error2 instanceof SavepointError&&over.includes(error2.name)&&(clearInterval(timer2),onOver(error2))}finally{busy=
!1}}},transaction.record.request.renew*1e3);return timer2.unref(),{[Symbol.dispose]:()=>clearInterval(timer2)}}init_define_SAVEPOINT();init_errors();init_define_SAVEPOINT();var import_promises19=require("node:stream/promises"),import_promises20=require("node:timers/promises");
init_errors();init_define_SAVEPOINT();async function*lines(chunks,masker2){let decoder=new TextDecoder("utf-8",{ignoreBOM:!0}),mask=masker2.stream(),splitter=new Splitter;
for await(let chunk of chunks){let batch=splitter.push(mask.push(decoder.decode(chunk,{stream:!0})));batch.length>0&&(yield batch)}
let rest=splitter.push(mask.push(decoder.decode())+mask.end());rest.push(...splitter.end()),rest.length>0&&(yield rest)}
var Splitter=class{#open="";push(text5){if(!text5.includes(`
`)&&this.#open.length+text5.length<=65536)return this.#open+=text5,[];let pieces=(this.#open+text5).split(`
`);this.#open=pieces.pop()??"";let batch=pieces.flatMap(piece=>{let parts2=cut(piece.endsWith("\r")?piece.slice(0,-1):piece);
return parts2.map((line,index)=>index<parts2.length-1?{line,partial:!0}:{line})}),parts=cut(this.#open);this.#open=parts.
pop()??"";for(let line of parts)batch.push({line,partial:!0});return batch}end(){let line=this.#open;return this.#open="",
line===""?[]:[{line,partial:!0}]}};function cut(line){let parts=[],at2=0;for(;line.length-at2>65536;){let end2=at2+65536;
isHighSurrogate(line.charCodeAt(end2-1))&&end2--,parts.push(line.slice(at2,end2)),at2=end2}return parts.push(line.slice(
at2)),parts}function isHighSurrogate(unit){return unit>=55296&&unit<=56319}init_define_SAVEPOINT();async function*merge2(sources){let ready=[],failures=[],open4=sources.length,wake=()=>{},pump=async source=>{
try{for await(let value of source)await new Promise(taken=>{ready.push({value,taken}),wake()})}catch(error2){failures.push(
error2)}open4--,wake()};for(let source of sources)pump(source);for(;open4>0||ready.length>0;){let next=ready.shift();next?
(yield next.value,next.taken()):await new Promise(resolve3=>{wake=resolve3})}if(failures.length>0)throw failures[0]}var LAST_WORDS=5e3,LONGEST_TIMER=2**31-1;async function*runPhase(phase,{masker:masker2,cancel,news}){var _stack=[];try{yield{
kind:"phase_start",phase:phase.name,where:phase.where};let began=performance.now();let limit2=__using(_stack,new Limit(phase,
cancel));let end2={};let error2;try{let reboots=0;for(let command=0;command<phase.commands&&!limit2.error;){end2={};let starting=phase.
start(command,reboots,limit2.signal),process2=limit2.watch(yield*meanwhile(news,starting)),told2=[...outputs(process2,masker2,
news),progressOf(process2,phase)];for await(let each of merge2(told2))if(!("batch"in each))yield each;else for(let line of each.
batch)yield output(phase,each.stream,line);let exit=yield*meanwhile(news,process2.exit);if(limit2.left(),exit.rebooted===
void 0){if(end2=endOf2(exit),end2.exit!==0)break;command++}else reboots++,yield{kind:"host_rebooted",phase:phase.name,count:reboots,
boot:exit.rebooted},phase.commands>1&&command++,end2={exit:0}}limit2.settled(),error2=end2.exit===0?void 0:phase.failed(
end2)}catch(thrown){error2=asSavepointError(thrown)}finally{await limit2.stopped()}error2=limit2.error??error2;limit2.notKilled&&
(yield{kind:"warning",message:limit2.notKilled});let duration3=Math.round(performance.now()-began)/1e3;error2?yield{kind:"\
phase_fail",phase:phase.name,duration:duration3,...end2,error:errorRecord(error2)}:yield{kind:"phase_success",phase:phase.
name,duration:duration3,exit:0}}catch(_){var _error=_,_hasError=!0}finally{__callDispose(_stack,_error,_hasError)}}function outputs(process2,masker2,news){
let tagged=async function*(stream){for await(let batch of lines(process2[stream],masker2))yield{stream,batch}},over=Promise.
allSettled([(0,import_promises19.finished)(process2.stdout),(0,import_promises19.finished)(process2.stderr)]);return[tagged(
"stdout"),tagged("stderr"),news.until(over)]}async function*progressOf({progress},{name}){for await(let now of progress??
[])yield{kind:"progress",phase:name,...now}}function output({name},stream,line){return{kind:"output",phase:name,stream,...line}}
function endOf2(exit){return exit.code===void 0?{signal:exit.signal}:{exit:exit.code}}var Limit=class{error;#over=new AbortController;notKilled;#phase;#cancel;#timer;#process;#killing;#onCancel=()=>this.#stop(
cancellation(this.#cancel));constructor(phase,cancel){this.#phase=phase,this.#cancel=cancel;let{name,timeout}=phase;if(timeout!==
void 0){let late=()=>new SavepointError("phase-timeout",{message:`Phase ${name} was stopped: it took longer than ${timeout}\
 s.`,details:{phase:name,timeout}}),milliseconds=Math.min(timeout*1e3,LONGEST_TIMER);this.#timer=setTimeout(()=>this.#stop(
late()),milliseconds)}cancel.aborted?this.#onCancel():cancel.addEventListener("abort",this.#onCancel)}watch(process2){return process2.
exit.catch(()=>{}),this.#process=process2,this.error&&this.#kill(),process2}get signal(){return this.#over.signal}left(){
this.#process=void 0}settled(){this[Symbol.dispose]()}async stopped(){this.#process&&this.#kill(),this[Symbol.dispose](),
await this.#killing}[Symbol.dispose](){clearTimeout(this.#timer),this.#cancel.removeEventListener("abort",this.#onCancel)}#stop(error2){
this.error||(this.error=error2,this.#over.abort(error2),this.#process&&this.#kill())}#kill(){this.#killing??=kill(this.#process).
catch(error2=>{this.notKilled=`Phase ${this.#phase.name} could not be killed: ${sentenceOf(error2)}`})}};async function kill(process2){
let{stdout,stderr,exit}=process2;try{await process2.kill();let ends=[exit,(0,import_promises19.finished)(stdout),(0,import_promises19.finished)(
stderr)];await Promise.race([Promise.allSettled(ends),(0,import_promises20.setTimeout)(LAST_WORDS,void 0,{ref:!1})])}finally{
let reason=new Error("The process was killed and its output did not end.");for(let stream of[stdout,stderr])stream.readableEnded||
stream.destroy(reason)}}function cancellation(cancel){let{reason}=cancel;return reason instanceof SavepointError?reason:
new SavepointError("job-cancelled")}init_define_SAVEPOINT();var import_node_path7=require("node:path"),import_node_stream14=require("node:stream"),import_promises25=require("node:stream/promises");
init_errors();init_define_SAVEPOINT();init_define_SAVEPOINT();init_define_SAVEPOINT();function ifThere(tool,script2){return`set -eu
export HOME=/root PATH="$PATH:/usr/local/sbin:/usr/local/bin"
command -v ${tool} >/dev/null 2>&1 || exit 0
${script2}`}var aptUpdate=`out=$(LC_ALL=C apt-get -q -o APT::Update::Error-Mode=any update 2>&1) && status=0 || status=$\
?
printf '%s\\n' "$out"
case $out in *'Failed to fetch'*) exit 100 ;; esac
exit "$status"`,rpmPaths=["/etc/yum.repos.d","/etc/yum.conf","/etc/yum","/etc/pki/rpm-gpg","/etc/pki/consumer","/etc/pki\
/entitlement","/etc/rhsm"],presets={apt:{about:"sources, preferences, proxies, credentials and keyrings of apt",paths:["\
/etc/apt","/usr/share/keyrings"],refresh:ifThere("apt-get",`apt-get clean
find /var/lib/apt/lists -mindepth 1 ! -path '*/lists/lock' ! -path '*/lists/partial' -delete
rm -f /var/cache/apt/pkgcache.bin /var/cache/apt/srcpkgcache.bin`),probe:ifThere("apt-get",aptUpdate)},dnf:{about:"repos\
itories, variables, proxies, keys and entitlements of dnf",paths:["/etc/dnf",...rpmPaths],refresh:ifThere("dnf","dnf -q \
clean all"),probe:ifThere("dnf","dnf -q makecache")},yum:{about:"repositories, variables, proxies, keys and entitlements\
 of yum",paths:rpmPaths,refresh:ifThere("yum",`yum -q clean all
if [ -d /var/cache/yum ]; then find /var/cache/yum -mindepth 1 -delete; fi`),probe:ifThere("yum","yum -q makecache")},zypper:{
about:"repositories, services, credentials and proxies of zypper",paths:["/etc/zypp","/etc/SUSEConnect","/etc/sysconfig/\
proxy","/root/.curlrc"],refresh:ifThere("zypper","zypper --non-interactive --quiet clean --all"),probe:ifThere("zypper",
"zypper --non-interactive --quiet refresh")},apk:{about:"repositories and keys of apk; not its list of wanted packages (\
world)",paths:["/etc/apk/config","/etc/apk/keys","/etc/apk/repositories","/etc/apk/repositories.d"],refresh:ifThere("apk",
"rm -f /var/cache/apk/APKINDEX.* /etc/apk/cache/APKINDEX.*"),probe:ifThere("apk","apk update")},pacman:{about:"repositor\
ies, mirror lists, hooks and keyring of pacman",paths:["/etc/pacman.conf","/etc/pacman.d"],refresh:ifThere("pacman","rm \
-rf /var/lib/pacman/sync"),probe:ifThere("pacman","pacman -Syy --noconfirm")},pip:{about:"indexes, proxies and credentia\
ls of pip, system-wide and root's",paths:["/etc/pip.conf","/etc/xdg/pip","/root/.config/pip","/root/.netrc","/root/.pip",
"/root/.pypirc"],refresh:ifThere("pip3",'# Before pip 20.1 there is no "cache", and no wheel of its own either that is n\
ot in this folder.\npip3 -q cache purge 2>/dev/null || rm -rf "${XDG_CACHE_HOME:-/root/.cache}/pip"'),probe:ifThere("pip\
3",`folder=$(mktemp -d)
pip3 -q --disable-pip-version-check download --no-deps -d "$folder" pip && status=0 || status=$?
rm -rf "$folder"
exit "$status"`)},npm:{about:"registries, proxies and credentials of npm, system-wide and root's",paths:["/etc/npmrc","/\
usr/etc/npmrc","/usr/local/etc/npmrc","/root/.npmrc"],refresh:ifThere("npm","npm --loglevel=error cache clean --force"),
probe:ifThere("npm","npm --loglevel=error ping")},docker:{about:"daemon configuration, registry mirrors, certificates, p\
roxies and credentials of docker",paths:["/etc/default/docker","/etc/docker","/etc/sysconfig/docker","/etc/systemd/syste\
m/docker.service.d","/root/.docker/config.json"],refresh:ifThere("systemctl",`systemctl daemon-reload
if systemctl -q is-active docker; then systemctl reload docker; fi`),probe:ifThere("systemctl","if systemctl -q is-enabl\
ed docker; then docker info >/dev/null; fi")}},presetNames=Object.keys(presets);init_define_SAVEPOINT();var import_node_stream10=require("node:stream"),import_promises21=require("node:stream/promises"),
import_promises22=require("node:timers/promises");init_errors();var PAUSE=1e3,MOST_BREAKS=5;function again(begin2,patience2){
let stderr=new import_node_stream10.PassThrough,stopped=!1,lostSince,breaks=0,current=begin2(),follow=transfer=>{transfer.
stderr.pipe(stderr,{end:!1});let setFollowing=()=>{},following=new Promise(resolve3=>{setFollowing=resolve3});return{exit:(async()=>{
try{return await transfer.exit}catch(error2){if(await(0,import_promises21.finished)(transfer.stderr,{writable:!1}),stopped||
!mayPass(error2)||(stderr.write(`the connection broke: beginning again
`),await(0,import_promises22.setTimeout)(PAUSE),stopped))throw error2;current=begin2();let next=follow(current);return setFollowing(
next.one),await next.exit}finally{setFollowing(void 0)}})(),one:{transfer,following}}},mayPass=error2=>{let name=error2 instanceof
SavepointError?error2.name:void 0;return name==="host-lost"&&(lostSince=performance.now(),breaks++),name!=="host-lost"&&
name!=="host-unreachable"||lostSince===void 0||breaks>MOST_BREAKS?!1:performance.now()-lostSince<patience2*1e3},first=follow(
current),exit=first.exit.finally(()=>stderr.end());return exit.catch(()=>{}),{stderr,exit,progress:progressOfAll(first.one),
kill:async()=>{stopped=!0,await current.kill()}}}async function*progressOfAll(first){for(let one=first;one;one=await one.
following)yield*one.transfer.progress}init_define_SAVEPOINT();var import_node_stream12=require("node:stream");init_errors();init_give_back();init_output();init_define_SAVEPOINT();function byteName(text5){return Buffer.from(text5,"utf8").toString("latin1")}function rawName(name){
return Buffer.from(name,"latin1")}function shownName(name){return rawName(name).toString("utf8")}init_define_SAVEPOINT();var import_node_fs6=require("node:fs");init_errors();init_define_SAVEPOINT();var import_node_fs5=require("node:fs"),ENOUGH=256*1024,GatheredWrites=class{#descriptor;#written;#pieces=[];#size=0;constructor(descriptor,written){
this.#descriptor=descriptor,this.#written=written}add(piece){this.#pieces.push(piece),this.#size+=piece.length,this.#size>=
ENOUGH&&this.flush()}flush(){let all=this.#pieces;this.#pieces=[],this.#size=0;let left=all;for(;left.length>0;)left=after(
left,(0,import_node_fs5.writevSync)(this.#descriptor,left));this.#written?.(all)}};function after(pieces,written){let at2=0;
return pieces.flatMap(piece=>{let rest=piece.subarray(Math.max(0,written-at2));return at2+=piece.length,rest.length>0?[rest]:
[]})}init_define_SAVEPOINT();function partsOf(name){if(name.startsWith("/"))return"has an absolute path";if(name.includes("\0"))
return"has a name with a NUL";let parts=name.split("/").filter(part=>part!==""&&part!==".");return parts.includes("..")?
'has ".." in its path':parts}function leavesFolder(target,depth){if(target.startsWith("/")||target==="")return!0;let parts=target.
split("/").filter(part=>part!==""&&part!=="."),named=parts.findIndex(part=>part!==".."),up=named<0?parts.length:named;return up>
depth||parts.slice(up).includes("..")}init_define_SAVEPOINT();var typeFlag={file:"0",hardLink:"1",symlink:"2",directory:"5",longLink:"K",longName:"L",pax:"x",globalPax:"g"},LONGEST_NAME=100,
LARGEST_OCTAL=8**11-1;function writeHeader(block3,header2){block3.fill(0),block3.write(header2.name,0,LONGEST_NAME,"lati\
n1"),octal(block3,100,8,header2.mode),octal(block3,108,8,0),octal(block3,116,8,0),octal(block3,124,12,header2.size),octal(
block3,136,12,Math.max(0,header2.mtime)),block3.fill(32,148,156),block3.write(header2.type,156,1,"latin1"),block3.write(
header2.link,157,LONGEST_NAME,"latin1"),block3.write("ustar  \0",257,8,"latin1"),octal(block3,148,7,checksum(block3))}function padding(size){
return(512-size%512)%512}function readHeader(block3){if(block3.every(byte=>byte===0))return"zero";if(number2(block3,148,
8)!==checksum(block3))return;let size=number2(block3,124,12),mode=number2(block3,100,8),mtime=number2(block3,136,12);if(size===
void 0||mode===void 0)return;let prefix=block3.toString("latin1",257,263)==="ustar\0"?text4(block3,345,155):"",name=text4(
block3,0,LONGEST_NAME);return{name:prefix===""?name:`${prefix}/${name}`,type:block3[156]===0?typeFlag.file:block3.toString(
"latin1",156,157),size,mode:mode&511,mtime:mtime??0,link:text4(block3,157,LONGEST_NAME)}}function readPax(bytes2){let records=new Map,
at2=0;for(;at2<bytes2.length;){let space=bytes2.indexOf(32,at2),digits=space<0?"":bytes2.toString("latin1",at2,space),length=/^[0-9]{1,9}$/.
test(digits)?Number(digits):0,end2=at2+length;if(length===0||end2>bytes2.length||bytes2[end2-1]!==10)return;let record=bytes2.
toString("latin1",space+1,end2-1),equals=record.indexOf("=");if(equals<1)return;records.set(record.slice(0,equals),record.
slice(equals+1)),at2=end2}return records}function checksum(block3){let sum=256;for(let at2=0;at2<512;at2++)(at2<148||at2>=
156)&&(sum+=block3[at2]);return sum}function octal(block3,at2,length,value){if(length===12&&value>LARGEST_OCTAL){block3[at2]=
128,block3.writeBigUInt64BE(BigInt(value),at2+4);return}block3.write(value.toString(8).padStart(length-1,"0"),at2,length-
1,"latin1")}function number2(block3,at2,length){let first=block3[at2];if(first&128){if(first!==128)return;let value=0;for(let index=at2+
1;index<at2+length;index++)value=value*256+block3[index];return Number.isSafeInteger(value)?value:void 0}let digits=text4(
block3,at2,length).trim();return digits===""?0:/^[0-7]+$/.test(digits)?Number.parseInt(digits,8):void 0}function text4(block3,at2,length){
let end2=block3.indexOf(0,at2);return block3.toString("latin1",at2,end2<0?at2+length:Math.min(end2,at2+length))}var OWNER_READS=256,OWNER_ENTERS=448,refusedKinds={3:"a device",4:"a device",6:"a named pipe"},Extractor=class{entries=0;bytes=0;#options;#directories=new Set;#file;#announced=0;constructor(options){
this.#options=options,this.#directory([])}entry(header2){let{limits:limits2,strip}=this.#options;if(this.entries++,this.
entries>limits2.entries)throw refused(header2,`is more than the ${limits2.entries} entries that may be fetched`,{allowed:`${limits2.
entries} entries`,hint:"Name less in `artifacts`, or raise `artifacts-max-entries`."});if(this.#announced+=header2.size,
this.#announced>limits2.size)throw refused(header2,`makes it more than the ${limits2.size} bytes that may be fetched`,{found:`${this.#announced}\
 bytes`,allowed:`${limits2.size} bytes`,hint:"Name less in `artifacts`, or raise `artifacts-max-size`."});let parts=placeOf(
header2,header2.name,strip);this.#written(header2,()=>this.#make(header2,parts))}content(piece){let file=this.#file;file&&
(this.#written(file.header,()=>file.writes.add(piece)),this.bytes+=piece.length)}done(){let file=this.#file;if(!file)return;
let{descriptor,header:header2,writes}=file;this.#written(header2,()=>{writes.flush(),(0,import_node_fs6.fchmodSync)(descriptor,
header2.mode|OWNER_READS),(0,import_node_fs6.futimesSync)(descriptor,header2.mtime,header2.mtime),(0,import_node_fs6.closeSync)(
descriptor),this.#file=void 0})}[Symbol.dispose](){this.#file&&((0,import_node_fs6.closeSync)(this.#file.descriptor),(0,import_node_fs6.unlinkSync)(
this.#file.path),this.#file=void 0)}#make(header2,parts){let{type,name,link}=header2;if(type===typeFlag.directory||type===
typeFlag.file&&name.endsWith("/")){this.#directory(parts,header2),parts.length>0&&(0,import_node_fs6.chmodSync)(this.#path(
parts),header2.mode|OWNER_ENTERS);return}if(parts.at(-1)===void 0)throw refused(header2,"would take the place of the fol\
der itself");let above=parts.slice(0,-1);this.#directory(above,header2);let path=this.#path(parts);if(type===typeFlag.file||
type==="7"){this.#vacate(path,header2);let{O_WRONLY,O_CREAT,O_EXCL,O_NOFOLLOW}=import_node_fs6.constants,descriptor=(0,import_node_fs6.openSync)(
path,O_WRONLY|O_CREAT|O_EXCL|O_NOFOLLOW,384),writes=new GatheredWrites(descriptor,this.#options.written);this.#file={descriptor,
path,header:header2,writes}}else if(type===typeFlag.symlink){if(leavesFolder(link,above.length))throw refused(header2,`i\
s a link out of the folder, to ${shownName(link)}`,{allowed:"targets in the folder, with .. only at the beginning"});this.#vacate(
path,header2),(0,import_node_fs6.symlinkSync)(rawName(link),path)}else if(type===typeFlag.hardLink){let target=placeOf(header2,
link,this.#options.strip);this.#real(target.slice(0,-1),header2);let original=this.#path(target);if(original.equals(path))
throw refused(header2,"is a link to itself");if(kindAt(original)!=="file")throw refused(header2,`is a link to ${shownName(
link)}, which was not sent as a file`);this.#vacate(path,header2),(0,import_node_fs6.linkSync)(original,path)}else{let kind=refusedKinds[type]??
`of a kind that is not fetched (${shownName(type)})`;throw refused(header2,`is ${kind}`,{allowed:"files, directories and\
 links"})}}#directory(parts,header2){for(let depth=0;depth<=parts.length;depth++){let key=parts.slice(0,depth).join("/");
if(this.#directories.has(key))continue;let path=this.#path(parts.slice(0,depth)),kind=kindAt(path);if(kind!==void 0&&kind!==
"directory")throw header2&&depth>0?refused(header2,`goes through ${shownName(key)}, which is ${article(kind)}`):unwritable2(
this.#options.folder,`it is ${article(kind)}`);kind===void 0&&(0,import_node_fs6.mkdirSync)(path),this.#directories.add(
key)}}#real(parts,header2){for(let depth=1;depth<=parts.length;depth++){let key=parts.slice(0,depth).join("/");if(!this.#directories.
has(key)&&kindAt(this.#path(parts.slice(0,depth)))!=="directory")throw refused(header2,`is a link through ${shownName(key)}\
, which is no directory`)}}#vacate(path,header2){let kind=kindAt(path);if(kind==="directory")throw refused(header2,"woul\
d take the place of a directory");kind!==void 0&&(0,import_node_fs6.unlinkSync)(path)}#path(parts){let below2=parts.map(
part=>`/${part}`).join("");return Buffer.concat([Buffer.from(this.#options.folder),rawName(below2)])}#written(header2,act){
try{act()}catch(error2){throw error2 instanceof SavepointError?error2:unwritable2(this.#options.folder,sentenceOf(error2),
error2,shownName(header2.name))}}};function placeOf(header2,name,strip=""){let parts=partsOf(name);if(typeof parts=="str\
ing")throw refused(header2,parts);let above=strip===""?[]:strip.split("/");return above.every((part,index)=>parts[index]===
part)?parts.slice(above.length):parts}function kindAt(path){let stats=(0,import_node_fs6.lstatSync)(path,{throwIfNoEntry:!1});
if(stats)return stats.isFile()?"file":stats.isDirectory()?"directory":stats.isSymbolicLink()?"link":"other"}function article(kind){
return{file:"a file",directory:"a directory",link:"a link",other:"no directory"}[kind]}function refused({name},why,{hint,
...details}={}){let entry3=shownName(name);return new SavepointError("artifact-refused",{message:`The artifact ${entry3}\
 ${why}; nothing after it was fetched.`,details:{entry:entry3,...details},...hint!==void 0&&{hint}})}function unwritable2(folder,why,cause,entry3){
return new SavepointError("output-unwritable",{message:`Artifacts cannot be written to ${folder}: ${why}`,details:{folder,
...entry3!==void 0&&{entry:entry3}},...cause!==void 0&&{cause}})}init_define_SAVEPOINT();var import_node_stream11=require("node:stream"),import_promises23=require("node:stream/promises"),
AS_JOB_USER=`
if [ "$(id -u)" = 0 ] && [ "\${SUDO_USER:-root}" != root ]; then
  if command -v runuser >/dev/null; then exec runuser -u "$SUDO_USER" -- /bin/sh -c "$@"; fi
  script=$1; shift
  exec su -s /bin/sh "$SUDO_USER" -c "$script" "$@"
fi
exec /bin/sh -c "$@"`;function asJobUser(script2,words){return["/bin/sh","-c",AS_JOB_USER,"sh",script2,"sh",...words]}var noNews=/(due to|delayed from) previous errors$/,
LastWords=class extends import_node_stream11.Transform{#whole;#tail=Buffer.alloc(0);constructor({stderr}){super(),this.#whole=
(0,import_promises23.finished)(stderr,{writable:!1}).catch(()=>{}),stderr.pipe(this,{end:!1})}_transform(chunk,_encoding,done){
this.#tail=Buffer.concat([this.#tail,chunk]).subarray(-4096),done(null,chunk)}async of({code:code2,signal:signal2}){return await this.#whole,
this.#tail.toString("utf8").split(`
`).findLast(one=>one.trim()!==""&&!noNews.test(one))?.trim()||(code2===void 0?`it was ended by ${signal2}`:`exit status ${code2}`)}async close(lines2=[]){
await this.#whole,this.end(lines2.map(line=>`${line}
`).join(""))}};init_define_SAVEPOINT();var import_promises24=require("node:timers/promises"),FIRST=2e3,EVERY=1e3,LATELY=5;async function*progressOf2(counter,over){
let began=performance.now(),ended=over.then(()=>!0,()=>{}),seen=[{at:began,bytes:0}],sample=()=>{let now=performance.now(),
from=seen[0],{bytes:bytes2,entries,total}=counter,rate=(bytes2-from.bytes)/Math.max((now-from.at)/1e3,.001);seen.push({at:now,
bytes:bytes2}),seen.length>LATELY&&seen.shift();let left=total===void 0?void 0:Math.max(0,total-bytes2);return{bytes:bytes2,
entries,...total!==void 0&&{total},elapsed:Math.round(now-began)/1e3,rate:Math.round(rate),...left!==void 0&&rate>0&&{remaining:Math.
round(left/rate)}}};for(let wait=FIRST;;wait=EVERY){let timer2=new AbortController,late=(0,import_promises24.setTimeout)(
wait,!1,{signal:timer2.signal}).catch(()=>!1),end2=await Promise.race([ended,late]);if(timer2.abort(),end2===void 0)return;
if(!end2){yield sample();continue}let last=sample(),{remaining:_over,...rest}=last,average=Math.round(last.bytes/Math.max(
last.elapsed,.001));yield{...rest,rate:average,done:!0};return}}init_define_SAVEPOINT();init_errors();var LONGEST_EXTENSION=1024*1024,LONGEST_END=1024*1024,MOST_EXTENSIONS=8,TarReader=class{#sink;#block=Buffer.alloc(512);#held=0;#content=0;#padding=0;#extension;#extensions=0;#inEntry=!1;#override={};#zeros=0;#afterEnd=0;constructor(sink){
this.#sink=sink}push(bytes2){let at2=0;for(;at2<bytes2.length;){if(this.#ended){if(this.#afterEnd+=bytes2.length-at2,this.#afterEnd>
LONGEST_END)throw broken("it goes on after its end");return}if(this.#content>0){let piece=bytes2.subarray(at2,at2+this.#content);
at2+=piece.length,this.#content-=piece.length,this.#extension?this.#extension.pieces.push(Buffer.from(piece)):this.#sink.
content(piece),this.#content===0&&this.#contentDone()}else if(this.#padding>0){let skipped=Math.min(this.#padding,bytes2.
length-at2);at2+=skipped,this.#padding-=skipped}else{let part=bytes2.subarray(at2,at2+512-this.#held);part.copy(this.#block,
this.#held),at2+=part.length,this.#held+=part.length,this.#held===512&&this.#header()}}}end(){if(!this.#ended)throw new SavepointError(
"transfer-failed",{message:"What the host sent was cut off before its end."})}get#ended(){return this.#zeros===2}#header(){
this.#held=0;let header2=readHeader(this.#block);if(header2===void 0)throw broken("a header in it is damaged");if(header2===
"zero"){this.#zeros++;return}this.#zeros=0;let{longLink,longName,pax,globalPax}=typeFlag;if([longLink,longName,pax,globalPax].
some(type=>type===header2.type)){if(header2.size>LONGEST_EXTENSION)throw broken("a name in it is longer than a name can \
be");if(++this.#extensions>MOST_EXTENSIONS)throw broken("headers in it belong to no entry");this.#extension={type:header2.
type,pieces:[]}}else{let{name=header2.name,link=header2.link,size=header2.size}=this.#override;this.#override={};let whole2={
...header2,name,link,size};whole2.type!==typeFlag.file&&whole2.type!=="7"&&(whole2.size=0),this.#extensions=0,this.#inEntry=
!0,this.#sink.entry(whole2),header2.size=whole2.size}this.#content=header2.size,this.#padding=padding(header2.size),this.#content===
0&&this.#contentDone()}#contentDone(){this.#extension?(this.#extend(this.#extension.type,Buffer.concat(this.#extension.pieces)),
this.#extension=void 0):this.#inEntry&&(this.#inEntry=!1,this.#sink.done())}#extend(type,bytes2){let text5=bytes2.toString(
"latin1").replace(/\0.*$/s,"");if(type===typeFlag.longName&&(this.#override.name=text5),type===typeFlag.longLink&&(this.#override.
link=text5),type!==typeFlag.pax)return;let records=readPax(bytes2);if(!records)throw broken("an extended header in it is\
 damaged");let[name,link,size]=["path","linkpath","size"].map(key=>records.get(key));if(name!==void 0&&(this.#override.name=
name),link!==void 0&&(this.#override.link=link),size===void 0)return;let value=/^[0-9]{1,16}$/.test(size)?Number(size):Number.
NaN;if(!Number.isSafeInteger(value))throw broken(`a size in it is ${shownName(size)}`);this.#override.size=value}};function broken(why){
return new SavepointError("artifact-refused",{message:`What the host sent is no archive that can be used: ${why}.`})}var PACK=`
cd / || exit
count=$# number=0
printf 'savepoint-files 1\\n'
while [ $number -lt $count ]; do
  path=$1 number=$((number + 1)); shift
  if [ -e "$path" ] || [ -L "$path" ]; then set -- "$@" ".$path"; else printf 'missing %s\\n' $number; fi
done
if [ $# -eq 0 ]; then printf '\\n'; exit 0; fi
printf 'total %s\\n\\n' "$(du -sk "$@" 2>/dev/null | { sum=0; while read -r kib _; do sum=$((sum + kib)); done; echo $sum;\
 })"
case $(tar --version 2>/dev/null | head -c 200) in *GNU*) ;; *) exec tar -cf - "$@" ;; esac
tar --format=gnu -b 128 -cf - "$@"
status=$?
[ $status -ne 1 ] || status=0
exit $status`,FIRST_LINE="savepoint-files 1",LONGEST_OPENING=64*1024;function download(login,options){let stop=new AbortController,
running=login.run({argv:asJobUser(PACK,options.paths),env:{SAVEPOINT_TRANSACTION:options.transaction},signal:stop.signal}),
stderr=new LastWords(running),received={entries:0,bytes:0},opening=new Opening(login),exit=fetched(running,stderr,login,
{received,opening,...options}).finally(()=>(stop.abort(),running.stdout.resume(),stderr.close(opening.missingOf(options.
paths).map(path=>`${path} is not there`))));return exit.catch(()=>{}),{stderr,exit,progress:progressOf2(received,exit),kill:async()=>{
stop.abort(),await Promise.allSettled([exit,running.exit])}}}async function fetched(running,stderr,login,{received,opening,
...options}){var _stack=[];try{let{folder,limits:limits2,workDir,paths,required:required2}=options;let strip=byteName(workDir.
slice(1));let written=[];let extractor=__using(_stack,new Extractor({folder,limits:limits2,strip,written:pieces=>written.
push(...pieces)}));let reader=new TarReader(extractor);await eachPiece(running.stdout,piece=>{reader.push(opening.take(piece)),
received.entries=extractor.entries,received.bytes=extractor.bytes,opening.total!==void 0&&(received.total=opening.total),
running.stdout instanceof Output&&written.forEach(giveBack),written=[]});let exit=await running.exit;if(exit.code!==0)throw new SavepointError(
"transfer-failed",{message:`The artifacts cannot be read on ${login.name}: ${await stderr.of(exit)}`,details:{host:login.
name,exit}});let missing2=opening.missingOf(paths);missing2.length<paths.length&&reader.end();if(missing2.length>0&&required2)
throw new SavepointError("artifact-missing",{message:`The host has no ${missing2[0]}, which is to be fetched.`,details:{
host:login.name,missing:missing2}});return{code:0}}catch(_){var _error=_,_hasError=!0}finally{__callDispose(_stack,_error,
_hasError)}}function eachPiece(from,take){return new Promise((resolve3,reject)=>{let onData=piece=>{try{take(piece)}catch(error2){
from.off("data",onData),reject(error2)}};from.on("data",onData),(0,import_node_stream12.finished)(from,{writable:!1},error2=>error2?
reject(error2):resolve3())})}var Opening=class{total;#login;#missing=new Set;#held=Buffer.alloc(0);constructor(login){this.#login=
login}missingOf(paths){return paths.filter((_,index)=>this.#missing.has(index+1))}take(chunk){if(!this.#held)return chunk;
this.#held=Buffer.concat([this.#held,chunk]);let end2=this.#held.indexOf(`

`);if(end2<0&&this.#held.length<LONGEST_OPENING)return Buffer.alloc(0);let[first,...lines2]=this.#held.subarray(0,Math.max(
end2,0)).toString().split(`
`);if(first!==FIRST_LINE)throw new SavepointError("transfer-failed",{message:`What ${this.#login.name} sent instead of t\
he artifacts cannot be understood.`,details:{host:this.#login.name,said:this.#held.subarray(0,400).toString()},hint:"The\
 login shell must print nothing of its own for commands."});for(let line of lines2){let[key,value]=line.split(" ");key===
"missing"&&this.#missing.add(Number(value)),key==="total"&&(this.total=Number(value)*1024)}let rest=this.#held.subarray(
end2+2);return this.#held=void 0,rest}};init_define_SAVEPOINT();var import_node_stream13=require("node:stream");init_errors();init_define_SAVEPOINT();var import_node_fs8=require("node:fs");init_errors();init_define_SAVEPOINT();var import_node_fs7=require("node:fs");init_errors();function*walk2(sources){for(let{local,as}of sources){let path=Buffer.from(local);yield*ancestors(path,byteName(as)),yield*descend(
path,byteName(as),look(path,()=>(0,import_node_fs7.statSync)(path)))}}function survey(sources){let total={entries:0,bytes:0};
for(let found of walk2(sources))found.left||(total.entries++,total.bytes+=found.size);return total}function*ancestors(path,name){
let above=name.split("/").slice(0,-1),mtime=Math.floor(Date.now()/1e3);for(let[depth]of above.entries()){let leading=above.
slice(0,depth+1).join("/");yield{path,name:leading,kind:"directory",mode:493,size:0,mtime,target:""}}}function*descend(path,name,stats){
let mode=stats.mode&511,mtime=Math.floor(stats.mtimeMs/1e3),common={path,name,mode,mtime,size:0,target:""};if(stats.isFile())
yield{...common,kind:"file",size:stats.size};else if(stats.isSymbolicLink()){let target=look(path,()=>(0,import_node_fs7.readlinkSync)(
path,"latin1"));yield{...common,kind:"symlink",target}}else if(stats.isDirectory()){yield{...common,kind:"directory"};for(let inner of look(
path,()=>(0,import_node_fs7.readdirSync)(path,"latin1")).sort()){let below2=Buffer.concat([path,rawName(`/${inner}`)]);yield*descend(
below2,`${name}/${inner}`,look(below2,()=>(0,import_node_fs7.lstatSync)(below2)))}yield{...common,kind:"directory",left:!0}}else
throw new SavepointError("files-bad-entry",{message:`The attachment ${shownName(name)} is neither a file, a directory no\
r a link.`,place:{field:"attachments"},details:{found:path.toString(),allowed:"files, directories and symbolic links"}})}
function look(path,read){try{return read()}catch(cause){throw unreadable(path,cause)}}function unreadable(path,cause){return new SavepointError(
"files-missing",{message:`The attachment ${path} cannot be read.`,place:{field:"attachments"},details:{found:path.toString(),
allowed:"files and directories that can be read"},cause})}var PIECE=512*1024,RECORD=20*512,OPEN_DIRECTORY=448;function*pack2(sources,packed){let out=new Pieces;for(let found of walk2(
sources)){if(found.left){(found.mode&OPEN_DIRECTORY)!==OPEN_DIRECTORY&&(yield*entry2(out,found,found.mode));continue}found.
kind==="directory"?yield*entry2(out,found,found.mode|OPEN_DIRECTORY):yield*entry2(out,found,found.mode),found.kind==="fi\
le"&&(yield*contents(out,found,packed)),packed.entries++}yield*out.zeros(2*512),yield*out.zeros((RECORD-out.total%RECORD)%
RECORD);let rest=out.rest();rest.length>0&&(yield rest)}function*entry2(out,found,mode){let{kind,size,mtime,target}=found,
name=kind==="directory"?`${found.name}/`:found.name;target.length>LONGEST_NAME&&(yield*long(out,typeFlag.longLink,target)),
name.length>LONGEST_NAME&&(yield*long(out,typeFlag.longName,name)),yield*out.room(),writeHeader(out.take(512),{name,type:typeFlag[kind],
size,mode,mtime,link:target})}function*long(out,type,name){let bytes2=rawName(`${name}\0`);yield*out.room(),writeHeader(
out.take(512),{name:"././@LongLink",type,size:bytes2.length,mode:0,mtime:0,link:""});for(let at2=0;at2<bytes2.length;at2+=
512){yield*out.room();let block3=out.take(512).fill(0);bytes2.copy(block3,0,at2,at2+512)}}function*contents(out,found,packed){
let flags=import_node_fs8.constants.O_RDONLY|import_node_fs8.constants.O_NONBLOCK,file=guarded(found,()=>(0,import_node_fs8.openSync)(
found.path,flags));try{let left=found.size;for(;left>0;){yield*out.room();let space=out.space(left),read=guarded(found,()=>(0,import_node_fs8.readSync)(
file,space,0,space.length,null));if(read===0)throw changed(found,found.size-left);out.take(read),packed.bytes+=read,left-=
read}}finally{(0,import_node_fs8.closeSync)(file)}yield*out.zeros(padding(found.size))}function guarded(found,act){try{return act()}catch(cause){
throw unreadable(found.path,cause)}}function changed({path,name,size},now){return new SavepointError("attachment-changed",
{message:`The attachment ${shownName(name)} became shorter while it was being sent.`,details:{path:path.toString(),expected:`${size}\
 bytes`,found:`${now} bytes`}})}var Pieces=class{total=0;#piece=Buffer.allocUnsafe(PIECE);#used=0;*room(){PIECE-this.#used<
512&&(yield this.rest())}space(most){return this.#piece.subarray(this.#used,Math.min(PIECE,this.#used+most))}take(length){
let part=this.#piece.subarray(this.#used,this.#used+length);return this.#used+=length,this.total+=length,part}*zeros(length){
for(let left=length;left>0;){this.#used===PIECE&&(yield this.rest());let part=this.take(Math.min(left,PIECE-this.#used)).
fill(0);left-=part.length}}rest(){let part=this.#piece.subarray(0,this.#used);return this.#piece=Buffer.allocUnsafe(PIECE),
this.#used=0,part}};var UNPACK=`
cd "$1" || exit
umask 0
case $(tar --version 2>/dev/null | head -c 200) in *GNU*) exec tar -b 128 -xpof - ;; esac
exec tar -xpof -`;function upload(login,sources,{into,transaction}){let sent={entries:0,bytes:0,total:totalOf(sources)},
stop=new AbortController,running=login.run({argv:asJobUser(UNPACK,[into]),stdin:import_node_stream13.Readable.from(pack2(
sources,sent)),env:{SAVEPOINT_TRANSACTION:transaction},signal:stop.signal});running.stdout.resume();let stderr=new LastWords(
running),exit=unpacked(running,stderr,login).catch(error2=>{throw changedMeanwhile(error2)}).finally(()=>stderr.close());
return exit.catch(()=>{}),{stderr,exit,progress:progressOf2(sent,exit),kill:async()=>{stop.abort(),await Promise.allSettled(
[exit])}}}function totalOf(sources){try{return survey(sources).bytes}catch(error2){throw changedMeanwhile(error2)}}function changedMeanwhile(error2){
if(!(error2 instanceof SavepointError)||error2.class!=="usage")return error2;let{message,details}=error2;return new SavepointError(
"attachment-changed",{message,details,cause:error2})}async function unpacked(running,stderr,login){let exit=await running.
exit;if(exit.code===0)return exit;throw new SavepointError("transfer-failed",{message:`The attachments cannot be placed \
on ${login.name}: ${await stderr.of(exit)}`,details:{host:login.name,exit}})}init_define_SAVEPOINT();init_errors();init_capture();var REMOVE='rm -rf "$1" 2>/dev/null || { chmod -R u+rwX "$1"; rm -rf "$1"; }';async function removeWorkDir(login,path){await must(login,REMOVE,path,"removed")}async function must(login,script2,path,done){
let{exit,stderr}=await capture(login.run({argv:asJobUser(script2,[path])}));if(exit.code===0)return;let said=stderr.trim().
split(`
`).at(-1)||`exit ${exit.code??exit.signal}`;throw new SavepointError("transfer-failed",{message:`The work directory ${path}\
 cannot be ${done}: ${said}`,details:{host:login.name,path}})}var ARTIFACTS="artifacts";function sourcesOf({transfers}){return transfers?.attachments.map(({local,agent})=>({local,as:agent}))??[]}async function*leavePlace({ledger,transaction}){if(!(ledger.workDir===void 0||ledger.outcome===void 0))try{await removeWorkDir(
transaction.login,ledger.workDir)}catch(error2){yield{kind:"warning",message:sentenceOf(error2)}}}function withAttachments(run,command,phase){
if(phase.name!=="unpack"||sourcesOf(run.job).length===0)return phase;let placed=!1;return{...phase,start:async(...given2)=>{
if(placed)return phase.start(...given2);placed=!0;let sending=startSending(run);return command.run===""?alone(sending):followedBy(
sending,()=>phase.start(...given2))}}}function startSending(run){let{login,record}=run.transaction,into=workDirOf(run);return again(
()=>upload(login,sourcesOf(run.job),{into,transaction:record.id}),record.request.lease)}function startFetching(run){let{
transaction,job,ledger,output:output2}=run,{artifacts:wanted=[],limits:limits2={size:0,entries:0}}=job.transfers??{},workDir=workDirOf(
run),paths=wanted.map(path=>path.startsWith("/")?path:`${workDir}/${path}`),required2=ledger.troubles.length===0&&!run.cancel.
aborted;return alone(again(()=>download(transaction.login,{paths,workDir,folder:(0,import_node_path7.join)(output2,ARTIFACTS),
limits:limits2,transaction:transaction.record.id,required:required2}),transaction.record.request.lease))}function workDirOf({
ledger}){if(ledger.workDir!==void 0)return ledger.workDir;throw new SavepointError("transfer-failed",{message:"There is \
no work directory."})}function alone({stderr,exit,progress,kill:kill2}){return{stdout:import_node_stream14.Readable.from(
[]),stderr,exit,progress,kill:kill2}}function followedBy(sending,command){let stdout=new import_node_stream14.PassThrough,
stderr=new import_node_stream14.PassThrough;sending.stderr.pipe(stderr,{end:!1});let stopped=!1,current=sending,start2=async()=>{
try{return await sending.exit,stopped?void 0:await command()}finally{await(0,import_promises25.finished)(sending.stderr,
{writable:!1})}},exit=(async()=>{let process2=await start2().catch(error2=>{throw stdout.end(),stderr.end(),error2});return process2?
(current=process2,stopped&&await process2.kill(),process2.stdout.on("error",error2=>stdout.destroy(error2)).pipe(stdout),
process2.stderr.on("error",error2=>stderr.destroy(error2)).pipe(stderr),await process2.exit):(stdout.end(),stderr.end(),
{signal:"SIGTERM"})})();return exit.catch(()=>{}),{stdout,stderr,exit,progress:sending.progress,kill:async()=>{stopped=!0,
await current.kill()}}}var FETCH_AFTER_CANCEL=60;async function*fetchArtifacts(run){let{job,ledger,abandon,cancel,cleanupLimit}=run;if(!job.transfers?.
artifacts.length||ledger.phases.artifacts)return;let reason=skipReason(run);if(reason){yield{kind:"phase_skipped",phase:"\
artifacts",reason};return}let phase={name:"artifacts",where:"host",commands:1,...(cancel.aborted||cleanupLimit!==void 0)&&
{timeout:FETCH_AFTER_CANCEL},start:async()=>startFetching(run),failed:()=>new SavepointError("transfer-failed")};yield*runPhase(
phase,{masker:run.masker,cancel:cancel.aborted?abandon:cancel,news:run.transaction.news})}function skipReason({ledger,abandon}){
return ledger.opened?ledger.workDir===void 0?"there is no work directory":abandon.aborted?"the transaction ended early":
void 0:"no transaction was opened"}init_define_SAVEPOINT();function eventName(body){switch(body.kind){case"phase_start":case"phase_success":case"phase_fail":case"\
phase_skipped":return body.kind.replace("phase",body.phase);default:return body.kind}}init_define_SAVEPOINT();init_errors();init_target();init_define_SAVEPOINT();var import_promises26=require("node:fs/promises"),import_node_os4=require("node:os"),import_node_path8=require("node:path");
async function startOnController(local,{script:script2,env},cwd2){let folder=await(0,import_promises26.mkdtemp)((0,import_node_path8.join)(
(0,import_node_os4.tmpdir)(),"savepoint-phase-")),file=(0,import_node_path8.join)(folder,"script");await(0,import_promises26.writeFile)(
file,script2),await(0,import_promises26.chmod)(file,448);let stop=new AbortController,{stdout,stderr,exit}=local.run({argv:script2.
startsWith("#!")?[file]:["sh","-e",file],env,cwd:cwd2,signal:stop.signal}),ended=exit.finally(()=>(0,import_promises26.rm)(
folder,{recursive:!0,force:!0}));return{stdout,stderr,exit:ended,kill:async()=>{stop.abort(),await ended.then(()=>{},()=>{})}}}function phasesOf(job){let names=job.phases.map(({name})=>name),last=names.at(-1)==="cleanup"?-1:names.length;return job.
transfers?.artifacts.length&&names.splice(last,0,"artifacts"),[...job.check?["check"]:[],...names]}async function*runCleanup(run){let cleanup=run.job.phases.find(({name})=>name==="cleanup");if(!cleanup||run.ledger.phases.
cleanup)return;if(!run.ledger.opened){yield{kind:"phase_skipped",phase:"cleanup",reason:"no transaction was opened"};return}
let{timeout=Number.POSITIVE_INFINITY}=cleanup,limit2=Math.min(timeout,run.cleanupLimit??timeout),timed=Number.isFinite(limit2)?
{...cleanup,timeout:limit2}:cleanup;yield*runPhase(phaseRun(run,"cleanup",timed),{...optionsOf(run),cancel:run.abandon})}function optionsOf({masker:masker2,cancel,transaction}){return{masker:masker2,cancel,news:transaction.news}}function phaseRun(run,name,command){return withAttachments(run,command,commandRun(run,name,command))}function commandRun(run,name,command){
let{job,transaction,controller}=run,scripts=[command.run].flat(),{where,timeout,reboot}=command;return{name,where,...timeout!==
void 0&&{timeout},commands:scripts.length,start:(index,reboots,signal2)=>{let count2=reboot===void 0?{}:{SAVEPOINT_REBOOTS:String(
reboots)},start2={phase:name,script:scripts[index],env:{...job.env,...command.env,...ownEnvironment(run),...count2},...reboot!==
void 0&&{reboot}};return where==="controller"?bracketed(transaction,()=>startOnController(controller,start2,job.directory)):
transaction.exec(start2,signal2)},failed:end2=>commandFailed(name,end2)}}async function bracketed(transaction,start2){await transaction.
running(!0);let process2=await start2(),exit=process2.exit.finally(()=>transaction.running(!1));return{...process2,exit}}
function ownEnvironment({job,transaction,ledger}){let{record}=transaction,{workDir}=ledger;return{SAVEPOINT_HOST:shortName(
record.host),SAVEPOINT_ROOT:record.root,SAVEPOINT_TRANSACTION:record.id,SAVEPOINT_JOB_DIR:job.directory,...workDir!==void 0&&
{SAVEPOINT_WORK_DIR:workDir}}}function commandFailed(phase,end2){let how=end2.signal?`was ended by ${end2.signal}`:`fail\
ed with exit status ${end2.exit}`;return phase==="check"?new SavepointError("check-failed",{message:`The check of the ch\
anged configuration ${how}.`,details:{phase,...end2}}):new SavepointError("phase-failed",{message:`Phase ${phase} ${how}\
.`,details:{phase,...end2}})}init_define_SAVEPOINT();function verdictOf(job,ledger,status){let rollback=reason=>({decision:"rollback",reason});if(status==="cancelled"||wasCancelled(
ledger))return rollback("the job was cancelled");let[trouble]=ledger.troubles;if(trouble)return rollback(trouble.phase?`${trouble.
phase} failed`:trouble.error.reason);let missing2=unfinished(job,ledger);return missing2?rollback(`${missing2} did not r\
un`):status==="failure"?rollback("the job failed"):job.onSuccess==="rollback"?rollback("the job asks for it: on-success \
is rollback"):{decision:"commit",reason:"the job succeeded"}}function unfinished(job,ledger){return ledger.opened?[...job.
check?["check"]:[],...job.phases.map(({name})=>name)].find(name=>ledger.phases[name]!=="success"):"the transaction"}async function*finishJob(run,status,asked){var _stack=[];try{yield*published(run,closeInterrupted(run));let lease=__using(
_stack,hold(run));yield*published(run,fetchArtifacts(lease.run));yield*published(run,runCleanup(lease.run));yield*published(
run,end(run,status,asked))}catch(_){var _error=_,_hasError=!0}finally{__callDispose(_stack,_error,_hasError)}}async function*published(run,bodies){
for await(let raw of bodies){let body=raw.kind==="output"?raw:run.masker.value(raw),seq=run.ledger.seq+1,time2=new Date().
toISOString(),event={seq,time:time2,event:eventName(body),...body};note(run.ledger,event),yield event}}function hold(run){if(!run.ledger.opened)return{run,[Symbol.dispose]:()=>{}};let over=new AbortController,lease=keepLease(
run.transaction,error2=>over.abort(error2)),either=signal2=>AbortSignal.any([signal2,over.signal]);return{run:{...run,cancel:either(
run.cancel),abandon:either(run.abandon)},[Symbol.dispose]:()=>lease[Symbol.dispose]()}}async function*end(run,status,asked){
mayBeOpen(run.ledger)&&(yield*decide(run,asked??verdictOf(run.job,run.ledger,status)),yield*leavePlace(run)),yield*releaseBackend(
run);let{expect}=run.job,{outcome}=run.ledger;if(expect&&outcome&&outcome!==expect){let error2=new SavepointError("outco\
me-unexpected",{message:`The job expects the outcome ${expect}, but ended with ${outcome}.`,details:{expected:expect,outcome}});
yield{kind:"error",error:errorRecord(error2)}}yield jobEnd(run.job,run.ledger,status)}async function*closeInterrupted({job,
ledger}){let{running}=ledger;if(running){let{phase,since}=running,error2=new SavepointError("job-cancelled",{message:`Ph\
ase ${phase} was cut off: the process that ran it ended before it did.`,details:{phase}}),duration3=Math.max(0,Date.now()-
Date.parse(since))/1e3;yield{kind:"phase_fail",phase,duration:duration3,error:errorRecord(error2)}}for(let phase of phasesOf(
job))phase==="cleanup"||phase==="artifacts"||ledger.phases[phase]||(yield{kind:"phase_skipped",phase,reason:"nothing had\
 run it when the job ended"})}init_define_SAVEPOINT();var import_promises27=require("node:fs/promises");async function removeScratchRoot(root){root!==void 0&&await(0,import_promises27.rm)(root,{recursive:!0,force:!0})}init_define_SAVEPOINT();var import_node_fs9=require("node:fs");init_errors();init_target();function removeCredentials(folder){(0,import_node_fs9.rmSync)(folder,{recursive:!0,force:!0})}init_define_SAVEPOINT();init_define_SAVEPOINT();var MOST_ANNOTATIONS=10,LONGEST_ANNOTATION=4096;function logGroups(log){return{on:event=>{event.kind==="phase_start"&&log.
command("group",`savepoint: ${event.phase}`),(event.kind==="phase_success"||event.kind==="phase_fail")&&log.command("end\
group")}}}function annotations(log){let left={error:MOST_ANNOTATIONS,warning:MOST_ANNOTATIONS},annotate=(level,title,message)=>{
left[level]--<=0||log.command(level,message.slice(0,LONGEST_ANNOTATION),{title})},sentence=({reason,hint})=>[plain2(reason),
hint&&plain2(hint)].filter(Boolean).join(" ");return{on:event=>{if(event.kind==="warning"&&annotate("warning","Savepoint",
plain2(event.message)),event.kind==="error"&&annotate("error",titleOf(event.error),sentence(event.error)),event.kind==="\
phase_fail"){let message=`${event.phase}: ${failure(event.error,event)}`;annotate("error",titleOf(event.error),message)}}}}
function titleOf({name,code:code2}){return`Savepoint: ${name} (${code2})`}init_define_SAVEPOINT();init_define_SAVEPOINT();function painter(color){let sgr=(on,off)=>text5=>color?`\x1B[${on}m${text5}\x1B[${off}m`:text5,green=sgr(
32,39),red=sgr(31,39);return{bold:sgr(1,22),dim:sgr(2,22),good:green,bad:red,diff:line=>line.startsWith("+")?green(line):
line.startsWith("-")?red(line):line}}init_define_SAVEPOINT();var LINE_EVERY=5e3,LONGEST_BAR=30,SHORTEST_BAR=8,USUAL_WORDS=54;function progressView(screen,say,label){let shown;return event=>{
if(event.done)shown=void 0,say(event.phase,whole(event));else if(screen.status)screen.status(width=>bar(event,`${label(event.
phase)}   `,width));else{let at2=Date.parse(event.time);if(shown?.phase===event.phase&&at2-shown.at<LINE_EVERY)return;shown=
{phase:event.phase,at:at2},say(event.phase,[portion(event),pace(event)].join(", "))}}}function whole({entries,bytes:size,
elapsed,rate}){let speed=elapsed<1?"":` in ${duration(elapsed)}, ${bytes(rate)}/s`;return`${count(entries,"entry","entri\
es")} (${bytes(size)})${speed}`}function portion({bytes:size,total,entries}){return total?`${bytes(size)} of ${bytes(Math.
max(total,size))} (${percent(size,total)} %)`:`${bytes(size)} in ${count(entries,"entry","entries")}`}function pace({rate,
remaining}){let left=remaining?`, ${remaining<120?`${remaining} s`:duration(remaining)} left`:"";return`${bytes(rate)}/s${left}`}
function bar(event,label,width){let words=[portion(event),pace(event)].join(", "),rest=label.length+Math.max(words.length,
USUAL_WORDS)+3,room=Math.min(LONGEST_BAR,width-1-rest);if(!event.total||room<SHORTEST_BAR)return`${label}${words}`.slice(
0,Math.max(0,width-1));let full=Math.round(percent(event.bytes,event.total)/100*room);return`${label}[${"#".repeat(full)}${"\
-".repeat(room-full)}] ${words}`}function percent(size,total){return Math.min(99,Math.floor(size/total*100))}var DIFF_LINES=200,ownLabels=["rollback","warning"];function consoleReport(screen){let paint=painter(screen.color),width=widest(
ownLabels),say=(label,text5)=>screen.line(`${paint.bold(label.padEnd(width))}   ${text5}`),quote=(label,text5)=>screen.line(
`${paint.dim(`${label.padEnd(width)} |`)} ${text5}`),more=text5=>screen.line(`${" ".repeat(width)}   ${text5}`),showDiff=(label,text5,file)=>{
let lines2=text5===""?[]:plainLines(text5);for(let line of lines2.slice(0,DIFF_LINES))quote(label,paint.diff(line));let hidden=lines2.
length-DIFF_LINES;hidden>0&&quote(label,`... ${count(hidden,"more line")}, see ${file}`)},showDecision=event=>{let label=event.
kind==="transaction_commit"?"commit":"rollback";say(label,`because ${plain2(event.reason)}`);for(let{path,state,note:note2}of event.
paths)state!=="unchanged"&&more(plain2(`${state} ${path}${note2?`: ${note2}`:""}`));label==="rollback"&&showDiff(label,event.
diff,"rollback.diff"),event.packages!==""&&(more("installed packages differ, which is not undone:"),showDiff(label,event.
packages,"packages.diff"))},showProgress=progressView(screen,say,label=>label.padEnd(width)),on=event=>{switch(event.kind){case"\
job_start":width=widest([...ownLabels,...event.phases]),say("job",plain2(`${event.job} on ${event.host}${below(event.root)}`)),
more(`transaction ${event.transaction}`);break;case"transaction_begin":say("begin",`copied ${count(event.entries,"entry",
"entries")} (${bytes(event.bytes)})`);break;case"transaction_applied":say("apply",event.changed.length===0?"nothing to c\
hange":"the change is in place");for(let{path,change}of event.changed)more(plain2(`${change} ${path}`));showDiff("apply",
event.diff,"change.diff");break;case"phase_start":say(event.phase,event.where==="controller"?"started on the controller":
"started");break;case"output":quote(event.phase,plain2(event.line));break;case"work_dir":more(plain2(`work directory ${event.
path}`));break;case"progress":showProgress(event);break;case"phase_success":say(event.phase,`${paint.good("passed")} aft\
er ${duration(event.duration)}`);break;case"phase_fail":{let why=failure(event.error,event);say(event.phase,`${paint.bad(
"failed")} after ${duration(event.duration)}: ${why}`);break}case"phase_skipped":say(event.phase,`${paint.dim("skipped")}\
: ${plain2(event.reason)}`);break;case"transaction_commit":case"transaction_rollback":showDecision(event);break;case"war\
ning":say("warning",plain2(event.message));break;case"host_busy":say("begin",`waits, for at most ${duration(event.patience)}\
: ${plain2(event.reason)}`);break;case"connection_lost":say("warning",plain2(event.reason)),more(`trying again for ${duration(
event.patience)}`);break;case"connection_resumed":say("warning",`connected again after ${duration(event.after)}`);break;case"\
host_rebooted":say(event.phase,`the host has restarted (${count(event.count,"time")})`);break;case"error":say("error",paint.
bad(failure(event.error)));for(let[key,value]of Object.entries(event.error.details))more(`${key}: ${plain2(typeof value==
"string"?value:JSON.stringify(value))}`);event.error.hint&&more(`hint: ${plain2(event.error.hint)}`);break;case"job_end":
say("result",`${event.outcome??(event.undecided?"undecided":"no transaction")}${ending(event)}`);break}},ending=({status,
error:error2,expected})=>{let as=expected?" as expected":"";if(status==="success")return`${as}, ${paint.good("job succee\
ded")}`;let how=status==="cancelled"?"job was cancelled":"job failed";return`${as}, ${paint.bad(how)}${error2?`: ${failure(
error2,error2.details)}`:""}`};return{on}}function widest(labels){return Math.max(...labels.map(({length})=>length))}function below(root){
return root==="/"?"":`, below ${root}`}function reports(github,output2,fold){let{log}=github;return[logGroups(log),consoleReport({line:text5=>log.line(text5),color:!1}),
annotations(log),ndjsonFile(output2),diffFiles(output2),resultFile(output2,fold)]}function backendOptions({log},masker2){
return{log:line=>log.line(plain2(`backend: ${line}`)),mask:text5=>masker2.text(text5)}}init_define_SAVEPOINT();function secretsOf({inputs},env,key){let listed=(inputs.mask??"").split(/\r?\n/);return[key??"",
env.SAVEPOINT_KEY_PASSPHRASE??"",...listed].filter(secret=>secret.trim()!=="")}init_define_SAVEPOINT();init_errors();init_define_SAVEPOINT();init_errors();function parseSaved(text5,where){let bad3=(message,cause)=>new SavepointError("state-bad",{message:`What is recorded in ${where}\
 ${message}.`,details:{recorded:where},hint:"The host rolls back by itself when its lease is over; `savepoint recover` d\
oes at once.",...cause!==void 0&&{cause}}),value;try{value=JSON.parse(text5)}catch(error2){throw bad3("is not JSON",error2)}
if(typeof value!="object"||value===null)throw bad3("is not a transaction");if(!("version"in value)||value.version!==1)throw bad3(
"was written by another version of Savepoint");if(!("record"in value&&"job"in value&&"output"in value))throw bad3("is no\
t a transaction");return value}var RUN="savepoint",LEDGER="ledger",LARGEST=96*1024;function loadRun(github){let text5=github.savedState(RUN);return text5===void 0?void 0:parseSaved(text5,"the state of th\
e step")}function loadLedger(github){let text5=github.savedState(LEDGER);if(text5===void 0)return newLedger();try{return JSON.parse(
text5)}catch{return github.log.line("The phases that main ran are not recorded in a form that can be read."),newLedger()}}var CLEANUP_AFTER_CANCEL=120;async function postStage(github,env){let{log}=github,state=loadRun(github);if(!state)return log.
line("No transaction was opened, so there is nothing to finish."),log.close(),0;let fold=new ResultFold;await replay(state.
output,fold)||log.line(`The events of the main step are not in ${state.output} any more.`);try{return await finish(github,
env,state,fold)}finally{github.summarize(summaryOf(fold.result(),phase=>fold.output(phase))),removeCredentials(state.credentials),
await removeScratchRoot(state.scratch),log.close()}}async function finish(github,env,{record,job,output:output2,backend:use},fold){
var _stack=[];try{let{log}=github;let ledger=loadLedger(github);if(!mayBeOpen(ledger))return log.line("No transaction is\
 open, so there is nothing to finish."),0;let before=ledger.troubles.length;let status=jobStatus(github);let key=record.
host.type==="ssh"?keyText(record.host.key):void 0;let masking=masker([...secretsOf(github,env,key),record.token]);let backend=use&&
{use,options:backendOptions(github,masking)};let connection=__using(_stack,await connect2(record,{...restartOf(backend),
fence:record.fence+1,passphrase:env.SAVEPOINT_KEY_PASSPHRASE}),!0);let never2=new AbortController().signal;let run={job,
transaction:connection.transaction,controller:connection.controller,output:output2,masker:masking,ledger,...backend&&{backend},
cancel:never2,abandon:never2,...status==="cancelled"&&{cleanupLimit:CLEANUP_AFTER_CANCEL}};let failures=await deliver(finishJob(
run,status),reports(github,output2,fold));for(let{message}of failures)log.command("error",message);return exitOfFinish(job,
ledger,before)||(failures[0]?.exitCode??0)}catch(_){var _error=_,_hasError=!0}finally{var _promise=__callDispose(_stack,
_error,_hasError);_promise&&await _promise}}function jobStatus({inputs,log}){let status=inputs["job-status"];return status===
"success"||status==="failure"||status==="cancelled"?status:(log.line(`The job's status is not known ("${status??""}"), w\
hich counts as failure.`),"failure")}function keyText(file){return file!==void 0&&(0,import_node_fs10.existsSync)(file)?
(0,import_node_fs10.readFileSync)(file,"utf8"):void 0}init_define_SAVEPOINT();init_define_SAVEPOINT();var ours=/^(INPUT_.*|STATE_.*|ACTIONS_.*|GITHUB_(STATE|OUTPUT|ENV|PATH|STEP_SUMMARY)|SAVEPOINT_KEY_PASSPHRASE)$/i;
function takeEnvironment(env){let all={...env};for(let name of Object.keys(all))ours.test(name)&&delete env[name];return all}init_define_SAVEPOINT();var import_node_os5=require("node:os");init_define_SAVEPOINT();var import_node_crypto11=require("node:crypto"),import_node_fs11=require("node:fs");init_errors();
function appendVariable(file,name,value){let delimiter=`savepoint_${(0,import_node_crypto11.randomUUID)()}`;append(file,
`${name}<<${delimiter}
${value}
${delimiter}
`)}function append(file,text5){try{(0,import_node_fs11.appendFileSync)(file,text5)}catch(error2){throw new SavepointError(
"output-unwritable",{message:`The runner's file ${file} cannot be written: ${sentenceOf(error2)}`,details:{file},cause:error2})}}init_define_SAVEPOINT();var import_node_crypto12=require("node:crypto"),WorkflowLog=class{#write;#token;constructor(write){
this.#write=write}line(text5){this.#token??=this.#stop();let single=text5.replace(/[\r\n]+/g," ");this.#write(`${replaceIgnoringCase(
single,this.#token)}
`)}command(name,message="",properties={}){this.close();let listed=Object.entries(properties).filter(([,value])=>value!==
"").map(([key,value])=>`${key}=${escapeProperty(value)}`).join(",");this.#write(`::${name}${listed&&` ${listed}`}::${escapeData(
message)}
`)}close(){this.#token&&this.#write(`::${this.#token}::
`),this.#token=void 0}#stop(){let token=`savepoint-${(0,import_node_crypto12.randomUUID)()}`;return this.#write(`::stop-\
commands::${token}
`),token}};function replaceIgnoringCase(text5,token){let at2=text5.toLowerCase().indexOf(token);return at2<0?text5:replaceIgnoringCase(
text5.slice(0,at2)+text5.slice(at2+token.length),token)}function escapeData(text5){return text5.replaceAll("%","%25").replaceAll(
"\r","%0D").replaceAll(`
`,"%0A")}function escapeProperty(text5){return escapeData(text5).replaceAll(":","%3A").replaceAll(",","%2C")}function githubActions(env,write){let inputs={};for(let[name,value]of Object.entries(env))name.startsWith("INPUT_")&&value?.
trim()&&(inputs[name.slice(6).toLowerCase()]=value);let file=name=>env[`GITHUB_${name}`]||void 0,variable=kind=>(name,value)=>{
let path=file(kind);path&&appendVariable(path,name,value)};return{inputs,savedState:name=>env[`STATE_${name}`]||void 0,saveState:variable(
"STATE"),setOutput:variable("OUTPUT"),summarize:markdown=>{let path=file("STEP_SUMMARY");path&&append(path,markdown)},log:new WorkflowLog(
write),temp:env.RUNNER_TEMP||(0,import_node_os5.tmpdir)(),workspace:env.GITHUB_WORKSPACE||process.cwd()}}init_define_SAVEPOINT();function ignoreClosedOutput(streams){for(let stream of streams)stream.on("error",()=>{})}init_errors();async function runStage(stage){ignoreClosedOutput([process.stdout,process.stderr]);let env=takeEnvironment(process.env),
github=githubActions(env,text5=>{process.stdout.write(text5)});try{process.exitCode=await stage(github,env)}catch(thrown){
let error2=asSavepointError(thrown);for(let line of plainLines(describe(error2)))github.log.line(line);let{place,details}=error2,
where=place?.field?`${place.field}: `:"",allowed=details.allowed===void 0?"":` Allowed: ${details.allowed}.`;github.log.
command("error",`${where}${error2.reason}${allowed}`,{title:titleOf(errorRecord(error2))}),process.exitCode=error2.exitCode}
github.log.close()}init_define_SAVEPOINT();init_errors();var cancelling=["SIGINT","SIGTERM","SIGHUP"];function ignoreSignals(){for(let signal2 of cancelling)process.on(signal2,()=>{})}ignoreSignals();runStage(postStage);
