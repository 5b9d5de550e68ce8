#!/usr/bin/env bash
# Installs what the tests need, runs every test and ends with a line
# "N passed, N failed". Needs Go and, for what is missing, apt.
# As root it raises net.core.netdev_max_backlog until the tests end.
set -uo pipefail
cd "$(dirname "$0")/.."

need=()
PATH=$PATH:/usr/sbin:$(ls -d /usr/lib/postgresql/*/bin 2> /dev/null | tail -1) # where kamailio and postgres are
for tool in sipp:sip-tester baresip:baresip-core kamailio:kamailio tshark:tshark prometheus:prometheus promtool:prometheus \
  chromium:chromium postgres:postgresql ip:iproute2 nft:nftables openssl:openssl ssh-keygen:openssh-client python3:python3 man:man-db; do
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

# The files of whole calls are in memory where that has room: a disk that stalls for minutes is not what their tests are
# about. What Go builds stays on the disk. Since Go 1.26 t.TempDir follows GOTMPDIR, so tests don't get it where their
# results are not cached anyway (with -exec they never are).
in_memory=()
if [ "$(df --output=avail /dev/shm 2> /dev/null | tail -1)" -gt 4000000 ] 2> /dev/null && ! findmnt -no OPTIONS /dev/shm | grep -q noexec; then
  export GOTMPDIR=${TMPDIR:-/tmp} TMPDIR=/dev/shm
  in_memory=(-exec "env -u GOTMPDIR")
fi
work=$(mktemp -d)

# Some tests flood sockets. On a busy machine packets then wait between sockets, where the kernel keeps 1,000 for each
# processor, drops the rest, and takes them from any test. As root, more may wait until the tests end.
backlog=/proc/sys/net/core/netdev_max_backlog waited=
if [ -w $backlog ] && [ "$(< $backlog)" -lt 20000 ]; then
  waited=$(< $backlog)
  if echo 20000 2> /dev/null > $backlog; then
    echo "raising net.core.netdev_max_backlog from $waited to 20000 until the tests end"
  else
    waited=
  fi
fi
ends() {
  rm -rf "$work"
  [ -z "$waited" ] || echo "$waited" > $backlog
}
trap ends EXIT

# What runs without the race detector is built as the program is: with its profile, without cgo. So all of it is compiled once.
flags=${GOFLAGS:-}
export GOFLAGS="$flags -trimpath -pgo=$PWD/cmd/flowbridge/default.pgo" CGO_ENABLED=0
with_race=(env CGO_ENABLED=1 "GOFLAGS=$flags -trimpath -pgo=off")
# SQLite is one goroutine's code: to watch each of its reads would take most of the time of what stores.
watched=(-race '-gcflags=modernc.org/...=-race=false -d=checkptr=0')

# said gives the text of what go test printed as JSON.
said() {
  grep -E '"Action":"(output|build-output)"' | sed -E 's/.*"Output":"(.*)"\}$/\1/; s/\\n$//; s/\\t/\t/g; s/\\"/"/g' |
    grep -vE '^(=== (RUN|PAUSE|CONT|NAME)|--- PASS|ok  |PASS)'
}

# complaints OUT prints why the tests failed whose JSON is in a file. What the tests themselves said comes last: readers
# who see only the end of a log need it most.
complaints() {
  grep -v '^{' "$1" # the compiler's
  local failing test
  grep -v '"Test":' "$1" | said | tail -100 # what did not build, or died
  mapfile -t failing < <(grep -E '"Action":"fail".*"Test":' "$1" | sed -E 's/.*("Package":"[^"]*","Test":"[^"]*").*/\1/')
  for test in "${failing[@]}"; do
    grep -F "$test" "$1" | said | tail -100
  done
  for test in "${failing[@]}"; do
    echo "$test:"
    grep -F "$test" "$1" | said | grep -A 3 -E '^ *[a-z0-9_]+_test\.go:[0-9]+: ' | tail -40 | cut -c1-400
  done
}

# suite NAME COMMAND...: one run of go test -json. Two suites may run at a time, so each prints all of its lines at its end.
suite() {
  local name=$1 began=$SECONDS out ok bad why=
  out=$(mktemp -p "$work")
  shift
  "$@" > "$out" 2>&1
  local status=$?
  ok=$(grep -c '"Action":"pass".*"Test":' "$out")
  bad=$(grep -c '"Action":"fail".*"Test":' "$out")
  [ $status -eq 0 ] || why=$(complaints "$out")
  [ $status -eq 0 ] || [ "$bad" -gt 0 ] || bad=1 # it did not build, or died
  echo "$ok $bad" >> "$work/counts"
  printf '== %s\n   %d s\n%s' "$name" $((SECONDS - began)) "${why:+$why$'\n'}"
}

# step NAME COMMAND...: a command that counts as one test.
step() {
  local name=$1 began=$SECONDS out why= bad=0
  out=$(mktemp -p "$work")
  shift
  "$@" > "$out" 2>&1 || { bad=1 why=$(tail -50 "$out"); }
  echo "$((1 - bad)) $bad" >> "$work/counts"
  printf '== %s\n   %d s\n%s' "$name" $((SECONDS - began)) "${why:+$why$'\n'}"
}

# A test that hangs ends itself, or its package here. No machine is too slow for that. make quick and the linter vet.
test=(go test -vet=off -timeout=1h -json)

raceless_tests='Allocat|Conversations|CallModel|Rollover|CounterBegins|UsedOnce'
# These take a minute or more, and wait a lot: they begin first.
slow=(./store ./store/fleet ./cmd/flowbridge ./media ./cmd/flowbridge/node ./b2bua/calltest)
# A package is sequential if neither it nor its tests start a goroutine: the race detector would find nothing in it.
sequential=() concurrent=() raceless=()
for dir in $(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}' ./...); do
  if ! grep -qE '^\s*(defer )?go (func|[a-zA-Z_])|synctest|t\.Parallel\(\)|httptest|\.Go\(|AfterFunc' "$dir"/*.go; then
    sequential+=("$dir")
    continue
  fi
  concurrent+=("$dir")
  # What counts allocations, and what computes for long in one goroutine, runs without the race detector too.
  if grep -qE "^func Test.*($raceless_tests)" "$dir"/*_test.go; then raceless+=("$dir"); fi
done

with_goroutines() {
  # A tenth of the random calls of TestCallModel.
  suite "unit and protocol tests, with the race detector" "${with_race[@]}" RAPID_CHECKS=100 "${test[@]}" "${watched[@]}" "${slow[@]}" "${concurrent[@]}"
  # Not beside the same packages: they have the same ports.
  suite "without the race detector" "${test[@]}" -count=1 -run "$raceless_tests" "${raceless[@]}"
  suite "the programs that load" "${with_race[@]}" go -C scripts test -vet=off -timeout=1h -json "${watched[@]}" ./...
}

without() {
  suite "end to end: SIPp, baresip and Kamailio against the real binary" "${test[@]}" "${in_memory[@]}" -count=1 -tags e2e ./cmd/flowbridge/e2e
  suite "unit tests of sequential packages" "${test[@]}" "${sequential[@]}"
  suite "the chart for Kubernetes" go -C scripts/helm test -vet=off -timeout=1h -json ./...
  # How many calls a machine can take is what scripts/bench and scripts/load.sh say, not what is tested: any machine takes these.
  step "demo: 20 calls at once" go run ./cmd/flowbridge demo --calls 20
  step "load: 10 calls per second" env SIP=', max_delay: 1m' scripts/load.sh 10 30
  step "bench: 20 calls a second" env SYSTEMS=flowbridge ROUNDS=1 SECONDS_PER_STEP=1 scripts/bench signalling -held "" 20
  if unshare -n true 2> /dev/null; then # it makes network namespaces
    step "bench: the RTP of 20 calls" env SYSTEMS=userspace,forward ROUNDS=1 SECONDS_PER_STEP=1 scripts/bench media 20
  fi
}

# One of the two waits for processes while the other computes.
with_goroutines &
without
wait

awk '{ok += $1; bad += $2} END {print ok " passed, " bad " failed"; exit bad > 0}' "$work/counts"
