#!/usr/bin/env bash
# fuzz.sh TIME: runs every fuzz target for TIME (30s).
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s}
grep -rl '^func Fuzz' --include='*_test.go' . | while read -r file; do
  grep -o '^func Fuzz[A-Za-z0-9]*' "$file" | while read -r _ target; do
    echo "== $target"
    # Minimising what is merely new would take all the time where goroutines make coverage vary.
    go test -run '^$' -fuzz "^$target\$" -fuzzminimizetime 10x -fuzztime "$time" "./$(dirname "$file")"
  done
done
