package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"flowbridge/scripts/internal/flowbridge"
	"flowbridge/scripts/internal/report"
)

// part is a part of an outage: how the API behaves, and for how long.
type part struct {
	name  string
	lasts time.Duration
}

// outageOfLength returns parts in which the API works, hangs for six times the length of a round, fails every second
// time, and works.
func outageOfLength(round time.Duration) []part {
	return []part{{"works", round / 2}, {"hangs", 6 * round}, {"half fails", 2 * round}, {"works again", round / 2}}
}

func lengthOf(parts []part) (whole time.Duration) {
	for _, p := range parts {
		whole += p.lasts
	}
	return whole
}

// outageRate is how many calls start per second.
const outageRate = 50

// outageConfig has two targets: one that the API prepares, and one to fall back to.
const outageConfig = `
sip: {listen: ["udp://%[1]v:5060"]}
media: {listen: [%[1]v], ports: 10000-64999}
trunks:
  - {name: carrier, sources: [%[2]v], max_calls: 0, max_cps: 0}
targets:
  - name: synthflow
    kind: synthflow
    uri: "sip:{{.To.Number}}@%[3]v"
    prepare: {api: "http://%[4]v", token_env: BENCH_TOKEN, model_id: bench, timeout: 3s}
    circuit: {failures: %[5]d}
    headers: {X-EI: "S.{{.Prepare.CallID}};"}
  - {name: spare, kind: sip, uri: "sip:{{.To.Number}}@%[3]v", headers: {X-EI: "S.spare;"}}
routes:
  - {targets: [synthflow, spare]}
store: {path: %[6]q}
admin: {listen: "unix://%[7]s"}
log: {level: error}
`

// caller is one call of an outage: when it started, and how long it took until it was answered, in ms. The time is
// negative if it was not answered.
type caller struct {
	At float64 `json:"at_s"`
	MS float64 `json:"ms"`
}

// outagePart summarises the callers of one part.
type outagePart struct {
	Part     string  `json:"part"`
	Calls    int     `json:"calls"`
	Answered int     `json:"answered"`
	P50      float64 `json:"p50_ms"`
	P95      float64 `json:"p95_ms"`
	P99      float64 `json:"p99_ms"`
	Max      float64 `json:"max_ms"`
	Waited   int     `json:"waited"` // waited for more than a second
}

// outage holds what callers experienced in an outage.
type outage struct {
	Circuit bool         `json:"circuit"`
	Parts   []outagePart `json:"parts"`
	Callers []caller     `json:"callers"`

	refusals map[int]int // statuses of unanswered calls, except 503
}

// outages makes the API hang and fail, with circuits and without.
func (b *bench) outages() error {
	var all []outage
	parts := outageOfLength(time.Duration(b.seconds) * time.Second)
	for _, circuit := range []bool{true, false} {
		o, err := b.outage(parts, circuit)
		if err != nil {
			return err
		}
		all = append(all, *o)
		fmt.Fprintf(b.out, "\ncircuit %-5v    calls  answered   p50 ms   p95 ms   p99 ms   max ms  "+
			"waited over 1 s  final answers %v\n", circuit, o.refusals)
		for _, p := range o.Parts {
			fmt.Fprintf(b.out, "%-14s %7d %9d %8.1f %8.1f %8.1f %8.1f %9d\n",
				p.Part, p.Calls, p.Answered, p.P50, p.P95, p.P99, p.Max, p.Waited)
		}
	}
	return report.Write(b.json, all)
}

func (b *bench) outage(parts []part, circuit bool) (*outage, error) {
	api, err := b.startFaultyAPI(parts)
	if err != nil {
		return nil, err
	}
	defer api.stop()
	failures := 0
	if circuit {
		failures = 3
	}
	s, err := b.startConfigured("flowbridge", b.binary, 1, func(s *system, f *flowbridge.Server) string {
		s.carriers, s.media = append(s.carriers, b.at.carrier), append(s.media, s.sut.Addr().String())
		return fmt.Sprintf(outageConfig, s.sut.Addr(), b.at.carrier.Addr(), b.at.agent, b.at.api, failures,
			f.Store(), f.Socket())
	})
	if err != nil {
		return nil, err
	}
	defer s.stop()
	l, err := b.run(s, plan{
		hold: time.Second, steps: []step{{outageRate, lengthOf(parts)}},
		watch: func(at time.Duration, _ *carrier) bool { api.at.Store(int64(at)); return false },
	})
	if err != nil {
		return nil, err
	}
	o := outageOf(parts, circuit, l.carrier.calls)
	o.refusals = l.carrier.causes
	return o, nil
}

func outageOf(parts []part, circuit bool, calls []call) *outage {
	o := &outage{Circuit: circuit}
	var ends time.Duration
	for _, part := range parts {
		ends += part.lasts
		p, waits := outagePart{Part: part.name, Calls: begunBefore(ends, calls)}, []time.Duration(nil)
		for _, c := range calls[:p.Calls] {
			ms := -1.0
			if c.setUp > 0 {
				ms = c.setUp.Seconds() * 1000
				waits = append(waits, c.setUp)
			}
			if c.setUp > time.Second {
				p.Waited++
			}
			o.Callers = append(o.Callers, caller{c.start.Seconds(), ms})
		}
		calls = calls[p.Calls:]
		p.P50, p.P95, p.P99 = delays(waits)
		p.Answered, p.Max = len(waits), at(waits, 1)
		o.Parts = append(o.Parts, p)
	}
	return o
}

// faultyAPI is a platform's API that works, hangs and fails in turns.
type faultyAPI struct {
	parts  []part
	server *http.Server
	at     atomic.Int64 // ns since the load started
	asked  atomic.Int64
}

func (b *bench) startFaultyAPI(parts []part) (*faultyAPI, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", b.at.api.String())
	if err != nil {
		return nil, err
	}
	a := &faultyAPI{parts: parts}
	a.server = &http.Server{Handler: http.HandlerFunc(a.answer), ReadHeaderTimeout: time.Minute}
	go func() { _ = a.server.Serve(l) }()
	return a, nil
}

func (a *faultyAPI) stop() { _ = a.server.Close() }

// answer answers according to the part of the outage.
func (a *faultyAPI) answer(w http.ResponseWriter, r *http.Request) {
	var in map[string]any
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil && !errors.Is(err, context.Canceled) {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	n, at := a.asked.Add(1), time.Duration(a.at.Load())
	for i, p := range a.parts {
		at -= p.lasts
		if at >= 0 && i < len(a.parts)-1 {
			continue
		}
		switch {
		case p.name == "hangs":
			<-r.Context().Done()
			return
		case p.name == "half fails" && n%2 == 0:
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		break
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"call_status":"registered","synthflow_call_id":"00000000-0000-4000-8000-%012d"}`, n)
}
