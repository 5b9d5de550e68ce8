#!/usr/bin/env bash
# model.sh [MINUTES] [SEED]: whole calls at random (TestCallModel) for MINUTES (60),
# each round with a seed that it prints. The process dies and is restored in them, at any
# step. Stops at the first that fails.
set -euo pipefail
cd "$(dirname "$0")/.."
minutes=${1:-60}
seed=${2:-$((RANDOM * 32768 * 32768 + RANDOM * 32768 + RANDOM + 1))}
binary=$(mktemp)
trap 'rm -f "$binary"' EXIT
go test -c -o "$binary" ./b2bua/calltest
cd b2bua/calltest
end=$((SECONDS + minutes * 60)) cases=0
while [ $SECONDS -lt $end ]; do
  echo "seed $seed, $cases cases so far"
  MODEL_DIE=1 "$binary" -test.run '^TestCallModel$' -rapid.checks 5000 -rapid.seed "$seed"
  cases=$((cases + 5000))
  seed=$((seed + 1000000007))
done
echo "$cases cases passed"
