#!/usr/bin/env bash
# Installs what the tests need (Debian packages, npm packages) and runs everything: the linters, the
# compiler, a rebuild of dist/ that must give the committed bytes, and the whole test suite.
# The last line is vitest's own count: "N passed, N failed", and ", N skipped" where there are any.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  acl attr busybox e2fsprogs libcap2-bin mksh procps util-linux xfsprogs # the guard on real file systems and shells
  gcc libc6-dev                                                         # the tracer of the crash tests
  openssh-client openssh-server sudo                                    # hosts over SSH
  apt createrepo-c dnf rpm                                              # real package managers
  iproute2 mmdebstrap systemd-container user-mode-linux                 # whole machines with systemd
  git shellcheck strace
)

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null | grep -q '^ii' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  install="apt-get install -y --no-install-recommends ${missing[*]}"
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    sudo -n true || { echo "The tests need packages that only root can install: sudo $install" >&2; exit 1; }
    as_root=(sudo -n)
  fi
  echo "Installing: ${missing[*]}"
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update -qq
  # shellcheck disable=SC2086 # words of a command
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive $install >/dev/null
fi

npm ci --no-audit --no-fund --loglevel=error
npm run --silent lint
npm run --silent typecheck
shellcheck --shell=sh guard/*.sh guard/releases/*/guard.sh
shellcheck scripts/*.sh .ci/run
npm run --silent check:dist
npm run --silent check:guard

report=$(mktemp)
trap 'rm -f "$report"' EXIT
status=0
npm run --silent test -- --reporter=default --reporter=json --outputFile.json="$report" || status=$?
node scripts/count.mjs "$report" || status=1
exit "$status"
