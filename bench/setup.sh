#!/usr/bin/env bash
# Installs what the benchmark compares with, on Debian.
set -euo pipefail
packages=(ansible-core openssh-client openssh-server rsync)
as_root=()
[ "$(id -u)" = 0 ] || as_root=(sudo -n)
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${packages[@]}"
