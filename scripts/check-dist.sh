#!/usr/bin/env bash
# Fails when dist/ is not what the sources build to, byte for byte.
set -euo pipefail
cd "$(dirname "$0")/.."
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
node scripts/build.mjs --out "$fresh"
diff -rq dist "$fresh" || { echo 'dist/ is not current: run npm run build and commit it.' >&2; exit 1; }
