#!/usr/bin/env bash
# transaction.sh over one connection: the first ssh becomes the master of the others.
set -euo pipefail
folder=$(mktemp -d)
SSH_OPTIONS+=$'\n'"-oControlPath=$folder/master"$'\n'-oControlMaster=auto$'\n'-oControlPersist=60
export SSH_OPTIONS
status=0
bash "$(dirname "$0")/transaction.sh" "$@" || status=$?
mapfile -t options <<<"$SSH_OPTIONS"
ssh "${options[@]}" -O exit -- "$HOST" 2>/dev/null
rm -rf "$folder"
exit "$status"
