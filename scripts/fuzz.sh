#!/usr/bin/env bash
# fuzz.sh TIME: runs every fuzz target for TIME (30s).
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s}
grep -rl '^func Fuzz' --include='*_test.go' . | while read -r file; do
  grep -o '^func Fuzz[A-Za-z0-9]*' "$file" | while read -r _ target; do
    echo "== $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "./$(dirname "$file")"
  done
done
