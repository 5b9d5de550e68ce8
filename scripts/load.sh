#!/usr/bin/env bash
# load.sh RATE CALLS [HOLD_MS]: SIPp as carrier and as agent, the real binary
# between them, the simulator's HTTP API for prepare_inbound. Prints how many
# calls failed, and what a call costs in CPU and memory. SIP has further keys for
# the section sip, like ', max_delay: 1m'.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 2 ] || { echo "usage: scripts/load.sh RATE CALLS [HOLD_MS]" >&2; exit 2; }
rate=$1 calls=$2 hold=${3:-1000}
command -v sipp >/dev/null || { echo "sipp is missing: apt-get install sip-tester" >&2; exit 1; }

dir=$(mktemp -d)
pids=()
cleanup() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
  rm -rf "$dir"
}
trap cleanup EXIT

go build -o "$dir/flowbridge" ./cmd/flowbridge
cat > "$dir/load.yaml" <<Y
sip: {listen: ["udp://127.0.5.1:5060"]${SIP:-}}
media: {listen: [127.0.5.1]}
trunks:
  - {name: carrier, sources: [127.0.5.2]}
targets:
  - name: synthflow
    kind: synthflow
    uri: "sip:{{.To.Number}}@127.0.5.3:32681"
    prepare: {api: "http://127.0.5.3:8090", token_env: LOAD_TOKEN, model_id: load}
    headers: {X-EI: "S.{{.Prepare.CallID}};"}
routes:
  - {trunk: carrier, targets: [synthflow]}
store: {path: $dir/load.db}
admin: {listen: "127.0.5.1:8080"}
log: {level: warn}
Y
"$dir/flowbridge" simulate synthflow --http 127.0.5.3:8090 --sip 127.0.5.3:0 --token load > /dev/null 2>&1 &
pids+=($!)
LOAD_TOKEN=load "$dir/flowbridge" serve --config "$dir/load.yaml" 2> "$dir/serve.log" &
server=$!
pids+=($server)
sipp -sf scripts/sipp/agent.xml -i 127.0.5.3 -p 32681 -mp 30000 -nostdin -buff_size 4194304 -trace_err -error_file "$dir/agent.err" > /dev/null 2>&1 &
pids+=($!)
for _ in $(seq 100); do "$dir/flowbridge" healthcheck --url http://127.0.5.1:8080/readyz > /dev/null 2>&1 && break; sleep 0.1; done

ticks() { awk '{print $14 + $15}' "/proc/$server/stat"; } # user and system time of the server
rss() { awk '/^VmRSS/ {print $2}' "/proc/$server/status"; }
idle=$(rss) before=$(ticks) begin=$(date +%s.%N)
echo "$calls calls at $rate/s, held for $hold ms"
sipp -sf scripts/sipp/carrier.xml -i 127.0.5.2 -p 5060 -mp 20000 -nostdin -r "$rate" -m "$calls" -d "$hold" -l 10000 \
  -buff_size 4194304 -trace_err -error_file "$dir/carrier.err" -trace_stat -stf "$dir/stat.csv" -fd 1 127.0.5.1:5060 > "$dir/carrier.out" 2>&1 &
sipp=$! peak=$idle
while kill -0 "$sipp" 2>/dev/null; do
  now=$(rss); [ "$now" -gt "$peak" ] && peak=$now
  sleep 0.5
done
wait "$sipp" && status=0 || status=$?
after=$(ticks) end=$(date +%s.%N)

field() { # a column of the last line of SIPp's statistics
  awk -F';' -v name="$1" 'NR==1 {for (i=1; i<=NF; i++) if ($i==name) c=i} END {print $c}' "$dir/stat.csv"
}
ok=$(field 'SuccessfulCall(C)') failed=$(field 'FailedCall(C)') again=$(field 'Retransmissions(C)')
awk -v t=$((after - before)) -v hz="$(getconf CLK_TCK)" -v n="$ok" -v wall="$(echo "$end $begin" | awk '{print $1-$2}')" \
    -v idle="$idle" -v peak="$peak" -v up="$(awk -v r="$rate" -v h="$hold" -v n="$calls" 'BEGIN {u = r*h/1000; print u < n ? u : n}')" \
    -v failed="$failed" -v again="$again" 'BEGIN {
  printf "succeeded        %d\nfailed           %d\nretransmissions  %d\nwall             %.1f s\n", n, failed, again, wall
  printf "CPU per call     %.3f ms (server, user and system)\n", n ? 1000*t/hz/n : 0
  printf "memory           %.1f MB idle, %.1f MB at the peak: %.1f KB per call made\n", idle/1024, peak/1024, n ? (peak-idle)/n : 0
  if (up >= n) printf "                 all %d calls were up at once: %.1f KB per call up\n", n, (peak-idle)/n
}'
kill "$server" && wait "$server" # it stops when every record is written
records=$("$dir/flowbridge" cdr list --db "$dir/load.db" --disposition answered --limit 1000 --json | awk '/^      "id"/ {n++} END {print n+0}')
wanted=$((calls < 1000 ? calls : 1000))
echo "records          $records of $wanted answered calls, in a list of at most 1000"
[ "$status" -eq 0 ] && [ "$failed" -eq 0 ] && [ "$records" -eq "$wanted" ] || { head -5 "$dir/carrier.err" "$dir/serve.log" 2>/dev/null; exit 1; }
