#!/bin/sh
# What a job on a host with a broken mirror trips over: an update with the real apt, here on the
# scratch root. By itself apt-get only warns about a mirror that is dead.
set -eu
if ! command -v apt-get >/dev/null; then
  echo 'This example needs apt-get, which Debian and Ubuntu have.' >&2
  exit 69
fi
cd "$SAVEPOINT_ROOT"
APT_CONFIG=$SAVEPOINT_JOB_DIR/apt.conf
LC_ALL=C.UTF-8
export APT_CONFIG LC_ALL
apt-get -q --error-on=any update
apt-cache policy lab-tools
