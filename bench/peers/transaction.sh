#!/usr/bin/env bash
# The peer that a careful person writes: back up, lay the change over it, run the test, and put
# everything back whatever happens. One ssh for each step, host key checked, nothing left behind.
#
#   transaction.sh FILES ROOT TRACKED TEST   (TRACKED: absolute path of a directory below ROOT)
#
# How to reach the host comes in HOST and SSH_OPTIONS (one option a line).
set -euo pipefail

files=$1 root=$2 tracked=$3 test=$4
backup=$root/var/tmp/backup.$$.$RANDOM
lock=$root/var/lock/transaction
mapfile -t options <<<"$SSH_OPTIONS"

on_host() { ssh "${options[@]}" -- "$HOST" "$@"; }

# The host's shell splits what ssh sends: everything that is not ours is quoted.
printf -v target %q "$root$tracked"
printf -v q_root %q "$root"
printf -v q_backup %q "$backup"
printf -v q_lock %q "$lock"

roll_back() {
  trap - EXIT
  on_host "set -e
    rm -rf $target.new
    cp -a $q_backup $target.new
    rm -rf $target
    mv $target.new $target
    diff -r $q_backup $target
    rm -rf $q_backup
    rmdir $q_lock"
}

# The lock is taken first and given back last, so nobody else's backup holds our change.
on_host "set -e
  mkdir -p ${q_lock%/*} ${q_backup%/*}
  mkdir $q_lock || { echo 'another job holds this host' >&2; exit 1; }
  cp -a $target $q_backup"
trap roll_back EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

tar -C "$files" -cf - . | on_host "tar -C $q_root -xpf - --no-same-owner"
on_host "$test"
