#!/usr/bin/env bash
# Installs what the tests need, runs every test and ends with a line
# "N passed, N failed". Needs Go and, for what is missing, apt.
set -uo pipefail
cd "$(dirname "$0")/.."

need=()
PATH=$PATH:/usr/sbin:$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | tail -1) # where kamailio and postgres are
for tool in sipp:sip-tester baresip:baresip-core kamailio:kamailio tshark:tshark prometheus:prometheus promtool:prometheus \
  chromium:chromium postgres:postgresql ip:iproute2 nft:nftables openssl:openssl python3:python3 man:man-db; do
  command -v "${tool%%:*}" > /dev/null || need+=("${tool##*:}")
done
if [ ${#need[@]} -gt 0 ]; then
  echo "installing ${need[*]}"
  root=()
  [ "$(id -u)" -eq 0 ] || root=(sudo)
  "${root[@]}" apt-get update -qq && "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${need[@]}" > /dev/null || {
    echo "apt-get could not install ${need[*]}" >&2
    exit 1
  }
fi

# The tests' files are in memory where that has room: a disk that stalls for minutes is not what they are about.
if [ "$(df --output=avail /dev/shm 2> /dev/null | tail -1)" -gt 4000000 ] 2> /dev/null && ! findmnt -no OPTIONS /dev/shm | grep -q noexec; then
  export GOTMPDIR=${TMPDIR:-/tmp} TMPDIR=/dev/shm
fi
out=$(mktemp)
trap 'rm -f "$out"' EXIT
passed=0 failed=0

# count adds up the results in the JSON that go test printed.
count() {
  local ok=0 bad=0
  ok=$(grep -c '"Action":"pass".*"Test":' "$out")
  bad=$(grep -c '"Action":"fail".*"Test":' "$out")
  [ "$1" -eq 0 ] || [ "$bad" -gt 0 ] || bad=1 # it did not build, or died
  passed=$((passed + ok)) failed=$((failed + bad))
}

# said gives the text of what go test printed as JSON.
said() {
  grep -E '"Action":"(output|build-output)"' | sed -E 's/.*"Output":"(.*)"\}$/\1/; s/\\n$//; s/\\t/\t/g; s/\\"/"/g' |
    grep -vE '^(=== (RUN|PAUSE|CONT|NAME)|--- PASS|ok  |PASS)'
}

# suite NAME COMMAND...: one run of go test -json.
suite() {
  local began=$SECONDS
  echo "== $1"
  shift
  "$@" > "$out" 2>&1
  local status=$?
  echo "   $((SECONDS - began)) s"
  count $status
  if [ $status -ne 0 ]; then
    grep -v '^{' "$out" # the compiler's
    local failing
    mapfile -t failing < <(grep -E '"Action":"fail".*"Test":' "$out" | sed -E 's/.*("Package":"[^"]*","Test":"[^"]*").*/\1/')
    for test in "${failing[@]}"; do
      grep -F "$test" "$out" | said | grep -E '^ *[a-z0-9_]+_test\.go:[0-9]+: ' | tail -20 | cut -c1-300
      grep -F "$test" "$out" | said | tail -100
    done
    grep -v '"Test":' "$out" | said | tail -100 # what did not build, or died
  fi
}

# step NAME COMMAND...: a command that counts as one test.
step() {
  local began=$SECONDS
  echo "== $1"
  shift
  if "$@" > "$out" 2>&1; then
    passed=$((passed + 1))
  else
    tail -50 "$out"
    failed=$((failed + 1))
  fi
  echo "   $((SECONDS - began)) s"
}

# A test that hangs ends itself, or its package here. No machine is too slow for that.
limit="-timeout=1h"

step "vet" go vet ./...
step "vet, end to end" go vet -tags e2e ./cmd/flowbridge/e2e
step "vet, beside other systems" go vet -tags "e2e interop talk" ./cmd/flowbridge/e2e
step "vet, scripts" go -C scripts vet ./...
step "vet, the chart" go -C scripts/helm vet ./...
# Twice as many packages at once as there are processors: tests wait a lot.
suite "unit and protocol tests, with the race detector" go test -race -p $((2 * $(nproc))) "$limit" -json ./...
suite "the programs that load" go -C scripts test -race "$limit" -json ./...
suite "the chart for Kubernetes" go -C scripts/helm test "$limit" -json ./...
# What counts allocations, and what computes for long in one goroutine.
mapfile -t raceless < <(grep -rlE --include='*_test.go' '^func Test.*(Allocat|Conversations)' . | xargs -n1 dirname | sort -u)
suite "without the race detector" go test -count=1 -run 'Allocat|Conversations' "$limit" -json "${raceless[@]}"
suite "end to end: SIPp, baresip and Kamailio against the real binary" go test -tags e2e -count=1 "$limit" -json ./cmd/flowbridge/e2e
# How many calls a machine can take is what scripts/bench and scripts/load.sh say,
# not what is tested: any machine takes these.
step "demo: 20 calls at once" go run ./cmd/flowbridge demo --calls 20
step "load: 10 calls per second" env SIP=', max_delay: 1m' scripts/load.sh 10 30
step "bench: 20 calls a second" env SYSTEMS=flowbridge ROUNDS=1 SECONDS_PER_STEP=1 scripts/bench signalling -held "" 20
if unshare -n true 2> /dev/null; then # it makes network namespaces
  step "bench: the RTP of 20 calls" env SYSTEMS=userspace,forward ROUNDS=1 SECONDS_PER_STEP=1 scripts/bench media 20
fi

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
