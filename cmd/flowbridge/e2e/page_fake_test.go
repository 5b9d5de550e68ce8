//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/admin"
	reporting "flowbridge/cmd/flowbridge/compare"
	"flowbridge/store/fleet"
	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

// fakeNode is a node for the page without telephony: the real admin API with its listener, with calls that a test makes
// up.
type fakeNode struct {
	mu      sync.Mutex
	live    map[string]admin.Call
	records []record.Record // newest first
	orders  []string        // call and order
	refuse  *admin.RefusedError
	access  admin.Access
	stats   live.Stats
	targets []live.Target
	ladders map[string]any // by call
	heard   fakeAudio

	events *admin.Events
	fleet  *fleet.Overview
	asked  int // requests for the fleet
	url    string
}

// newFakeNode serves the page at an address.
func newFakeNode(t *testing.T, listen string) *fakeNode {
	t.Helper()
	n := &fakeNode{live: map[string]admin.Call{}, ladders: map[string]any{}, heard: make(fakeAudio, 1), access: admin.Access{Local: admin.RightsOperate}}
	n.events = admin.NewEvents(admin.EventSources{
		Node: "node-1", Version: "v1.4.0", Figures: n, Fleet: true,
	})
	api := admin.New(admin.Options{
		Calls: n, Records: n, Control: n, Events: n.events, Log: zerolog.Nop(), Figures: n, Recordings: n, Nodes: fakeFleet{n},
		Report:   func(by string) (admin.Report, error) { return compared{reporting.New(by)}, nil },
		Operator: fakeOperator{n}, Access: func() admin.Access { n.mu.Lock(); defer n.mu.Unlock(); return n.access },
		Listen: func(context.Context, string, admin.ListenRequest) (admin.Audio, error) { return n.heard, nil },
	})
	mux := http.NewServeMux()
	mux.Handle("/", api)
	mux.HandleFunc("/api/calls/{id}/ladder", func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		l, ok := n.ladders[r.PathValue("id")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			l = map[string]string{"error": "the call has no ladder", "remedy": "ladders are kept for store.ladders, 7d"}
		}
		_ = json.NewEncoder(w).Encode(l)
	})
	listener, err := admin.Listen(t.Context(), admin.Address{TCP: listen})
	must(t, err)
	server := admin.Server(mux, zerolog.Nop())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); n.events.Close(); <-ended })
	n.url = "http://" + listener.Addr().String()
	return n
}

// fakeAudio is a live call in which the caller hums. It takes why its listener has left.
type fakeAudio chan error

func (f fakeAudio) End(why error) {
	select {
	case f <- why:
	default: // it was told already
	}
}

func (fakeAudio) Stream(w io.Writer) {
	part := make([]byte, 44) // the header, which is not read
	frames := bytes.Repeat([]byte{0, 32, 0, 0}, 800)
	for {
		for _, b := range [][]byte{part, frames[:1001], frames[1001:]} { // a network cuts anywhere
			if _, err := w.Write(b); err != nil {
				return
			}
		}
		part = nil
		time.Sleep(100 * time.Millisecond)
	}
}

// The interfaces of the admin API.

// fakeFleet is the fleet of a fakeNode.
type fakeFleet struct{ *fakeNode }

func (n fakeFleet) Overview(context.Context) (any, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.asked++; n.fleet == nil {
		return nil, errors.New("the fleet's database is not reached")
	}
	return n.fleet, nil
}

func (fakeFleet) Where(context.Context, string) (admin.Where, error) {
	return admin.Where{Own: true}, nil
}

func (fakeFleet) Live(context.Context) ([]admin.Call, int, error) { return nil, 0, nil }

func (fakeFleet) Find(context.Context, string) (c admin.Call, ok bool, err error) {
	return c, false, nil
}

func (n *fakeNode) Stats() live.Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stats
}

func (n *fakeNode) Targets() []live.Target {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.targets
}

// compared is the report on the made-up calls.
type compared struct{ groups *reporting.Groups }

func (c compared) Add(r *record.Record) { c.groups.Add(r) }
func (c compared) Groups() any          { return c.groups.All() }

// OpenFile returns a recording of two voices, the caller's on the left, alternating between a second of sound and a
// second of silence.
func (n *fakeNode) OpenFile(name string) (*os.File, error) {
	if name != fakeRecording {
		return nil, fs.ErrNotExist
	}
	const seconds, rate = 60, 8000
	le := binary.LittleEndian
	b := le.AppendUint32([]byte("RIFF"), 36+seconds*rate*4)
	b = append(b, "WAVEfmt "...)
	for _, v := range []uint32{16, 2<<16 | 1, rate, rate * 4, 16<<16 | 4} {
		b = le.AppendUint32(b, v)
	}
	b = le.AppendUint32(append(b, "data"...), seconds*rate*4)
	for i := range seconds * rate {
		for side := range 2 {
			v := 0.
			if i/rate%2 == side {
				v = 12000 * math.Sin(float64(i)/(4+float64(side)*3)) * math.Abs(math.Sin(float64(i)/1700))
			}
			b = le.AppendUint16(b, uint16(int16(v)))
		}
	}
	f, err := os.CreateTemp("", "recording")
	if err != nil {
		return nil, err
	}
	_ = os.Remove(f.Name())
	_, err = f.Write(b)
	return f, errors.Join(err, func() error { _, err := f.Seek(0, 0); return err }())
}

const fakeRecording = "2026/11/20/failed-over.wav"

// History returns an hour, or a day, of made-up figures, up to now.
func (n *fakeNode) History(day bool) live.History {
	n.mu.Lock()
	defer n.mu.Unlock()
	points := func(of func(i float64) float64) (all []*float64) {
		for i := range 360 {
			v := max(0, of(float64(i)))
			if all = append(all, &v); i < 40 {
				all[i] = nil
			}
		}
		return all
	}
	wave := func(base, by float64) []*float64 {
		return points(func(i float64) float64 { return base + by*math.Sin(i/23) + by/3*math.Sin(i/3.1) })
	}
	h := live.History{Start: record.TimeOf(time.Now().Add(-time.Hour)), StepS: 10, Figures: live.Series{
		"calls": wave(100, 25), "calls_per_second": wave(4, 1), "answer_ratio": wave(.95, .03), "post_dial_delay_ms": wave(61, 9), "prepare_ms": wave(700, 250),
		"setup_ms": wave(3300, 300), "loss": wave(.002, .001), "jitter_ms": wave(6, 2), "mos": wave(4.3, .05), "ports": wave(480, 60), "unwritten": wave(0, 0), "rejected": wave(80, 50),
	}}
	if day {
		h.Start, h.StepS = record.TimeOf(time.Now().Add(-24*time.Hour)), 240
	}
	at := func(d time.Duration) record.Time { return record.TimeOf(time.Now().Add(-d)) }
	h.Events = []live.Event{
		{At: at(20 * time.Hour), Kind: "upgrade", Text: "upgraded to v1.4.0"},
		{At: at(40 * time.Minute), Kind: "reload", Text: "the configuration was reloaded"},
		{At: at(12 * time.Minute), Kind: "target", Text: "synthflow is out of use: it fails"},
	}
	for _, t := range n.targets {
		h.Targets = append(h.Targets, live.TargetHistory{Name: t.Name, Series: live.Series{
			"calls": wave(60, 20), "failed": wave(12, 12), "answer_ratio": wave(.95, .04), "prepare_ms": wave(800, 300), "answer_ms": wave(2000, 500), "turns_ms": wave(1800, 600),
		}})
	}
	return h
}

func (n *fakeNode) Live(context.Context) (all []admin.Call) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.live {
		all = append(all, c)
	}
	return all
}

func (n *fakeNode) Find(_ context.Context, id string) (admin.Call, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c, ok := n.live[id]
	return c, ok
}

func (n *fakeNode) List(_ context.Context, f record.Filter) (found []record.Record, next string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	from := 0
	_, _ = fmt.Sscan(f.Cursor, &from)
	for i := from; i < len(n.records); i++ {
		r := n.records[i]
		if f.Disposition != "" && r.Disposition != f.Disposition || f.Target != "" && r.Target != f.Target || f.Trunk != "" && r.Trunk != f.Trunk ||
			f.Cause != "" && r.Cause != f.Cause || f.ID != "" && r.ID != f.ID || f.Number != "" && !strings.Contains(r.From+" "+r.To, f.Number) ||
			!f.Since.IsZero() && r.StartedAt.Before(f.Since) || !f.Until.IsZero() && !r.StartedAt.Before(f.Until) {
			continue
		}
		if len(found) == f.Limit {
			return found, fmt.Sprint(i), nil
		}
		found = append(found, r)
	}
	return found, "", nil
}

func (n *fakeNode) Get(_ context.Context, id string) (record.Record, bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	i := slices.IndexFunc(n.records, func(r record.Record) bool { return r.ID == id })
	if i < 0 {
		return record.Record{}, false, nil
	}
	return n.records[i], true, nil
}

func (n *fakeNode) Originate(_ context.Context, o admin.Origination) (admin.Call, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.orders = append(n.orders, "call "+o.To+" over "+o.Trunk)
	return admin.Call{}, &admin.RefusedError{Status: http.StatusConflict, Problem: n.refuse.Problem, Remedy: n.refuse.Remedy}
}

func (n *fakeNode) Play(context.Context, string, admin.PlayRequest) (admin.Call, error) {
	return admin.Call{}, admin.ErrNoCall
}

func (n *fakeNode) Order(_ context.Context, id string, o admin.Order) (admin.Call, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	c, ok := n.live[id]
	switch {
	case !ok:
		return c, admin.ErrNoCall
	case n.refuse != nil:
		return c, n.refuse
	}
	n.orders = append(n.orders, id+" "+string(o))
	switch o {
	case admin.OrderHangup:
		c.Phase, c.EndedAt, c.EndedBy, c.Cause, c.Disposition = "ended", now(), "operator", "operator_hangup", "answered"
		c.DurationMS = c.EndedAt.Sub(c.AnsweredAt.Time).Milliseconds()
		delete(n.live, id)
		n.records = append([]record.Record{c.Record}, n.records...)
		n.events.Ended(c.Record)
		return c, nil
	case admin.OrderRecord:
		c.Recording = "on"
	case admin.OrderStop:
		c.Recording = "off"
	case admin.OrderPause, admin.OrderResume, admin.OrderHold, admin.OrderUnhold:
	case admin.OrderMask, admin.OrderUnmask:
		c.Masked = o == admin.OrderMask
	}
	n.live[id] = c
	n.events.Changed(c.Record)
	return c, nil
}

// add adds a live call, or changes it.
func (n *fakeNode) add(c admin.Call) {
	n.mu.Lock()
	n.live[c.ID] = c
	n.mu.Unlock()
	n.events.Changed(c.Record)
}

// end removes a call.
func (n *fakeNode) end(c admin.Call) {
	n.mu.Lock()
	delete(n.live, c.ID)
	n.mu.Unlock()
	c.EndedAt = now()
	n.events.Ended(c.Record)
}

func now() record.Time { return record.TimeOf(time.Now()) }

// liveCallOf returns a made-up live call.
func liveCallOf(i int) admin.Call {
	began := time.Now().Add(-time.Duration(i%3600) * time.Second)
	r := record.Record{
		ID: fmt.Sprintf("0193a5d2-%04x-7000-8000-%012x", i%0xffff, i), Node: "node-1", Trunk: []string{"carrier", "pbx", "twilio"}[i%3],
		Route: "routes[0]", Target: []string{"synthflow", "vapi"}[i%2], Direction: "inbound",
		From: fmt.Sprintf("+1507555%04d", i%10000), To: fmt.Sprintf("+1507578%04d", i*7%10000), SIPCallID: fmt.Sprintf("%x@carrier.example", i*7919),
		StartedAt: record.TimeOf(began), RingingAt: record.TimeOf(began.Add(20 * time.Millisecond)),
		PreparedAt: record.TimeOf(began.Add(300 * time.Millisecond)), DialedAt: record.TimeOf(began.Add(310 * time.Millisecond)),
		AnsweredAt: record.TimeOf(began.Add(1900 * time.Millisecond)), SetupMS: 1900, Codec: "PCMU",
		Attempts: []record.Attempt{{Target: "synthflow", PrepareMS: 280, PrepareStatus: 200, SIPStatus: 200, MS: 1600}},
	}
	r.Media.A = record.MediaSide{Rx: 5000, Tx: 5000, JitterMS: 1.2, MOS: 4.3, Codec: "PCMU"}
	r.Media.B = r.Media.A
	r.Media.MOS = record.Score(4.3 - float64(i%13)/8)
	r.Media.A.Lost = int64(i % 7 * 40)
	speaks := [][]string{nil, {"caller"}, {"agent"}, {"agent"}, {"caller", "agent"}}[i%5]
	return admin.Call{Record: r, Phase: "bridged", Recording: "off", Speaks: speaks}
}

// fakeStats returns figures of a node with calls.
func fakeStats(calls int) live.Stats {
	spread := func(p50, p95, p99 float64) *live.Percentiles { return &live.Percentiles{P50: p50, P95: p95, P99: p99} }
	return live.Stats{
		Media: live.Media{Engine: "kernel", Detail: "tcx on eth0"},
		At:    now(), Calls: calls, Phases: live.Phases{Preparing: calls / 100, Dialing: calls / 40, Bridged: calls - calls/100 - calls/40},
		CallsPerSecond: 4.2, WindowS: 300, Ended: 1260, Answered: 1197, Decided: 1260, AnswerRatio: new(0.95),
		PostDialDelay: spread(24, 61, 140), Prepare: spread(290, 812, 2100), Setup: spread(1900, 3400, 6100),
		Loss: new(0.0012), Jitter: spread(1.4, 6.2, 18), MOS: &live.MOS{P50: 4.31, P5: 3.92},
		Ports: live.Ports{InUse: 4 * calls, Limit: 22768}, Capacity: live.Capacity{Calls: calls, Limit: 5692},
		Rejected: map[string]uint64{"full": 3, "unknown_source": 112},
		Changes:  3, Machine: live.Machine{
			StartedAt: record.TimeOf(time.Now().Add(-75 * time.Hour)), CPU: 0.31, CPUs: 2, Memory: 128 << 20, DiskFree: 31 << 30, DiskSize: 80 << 30,
		},
		Causes: map[string]uint64{"caller_hangup": 901, "agent_hangup": 296, "prepare_failed": 31, "target_busy": 20, "caller_cancelled": 12},
		Troubles: []live.Trouble{
			{Code: live.TroubleFailing, Of: "synthflow", Severity: live.SeverityBad, Since: now(), Text: "synthflow fails: its API answered 503 Service Unavailable"},
			{Code: live.TroubleSplitPinned, Of: "main", Severity: live.SeverityWarn, Since: now(), Text: "80 : 20 (synthflow, vapi) of main, pinned at 12:12 UTC on 28 November by local"},
		},
	}
}

func fakeTargets(call string) []live.Target {
	pair := func(p50, p95 float64) *live.Latency { return &live.Latency{P50: p50, P95: p95} }
	return []live.Target{
		{
			Name: "synthflow", Kind: "synthflow", Address: "sip:…@sipin.synthflow.ai:32681", Health: live.HealthFailing, Calls: 81, MaxCalls: 200,
			Attempts: 804, Failed: 31, AnswerRatio: new(0.961), Prepare: pair(290, 2812), Answer: pair(1400, 3100), Turns: pair(900, 2100), LastAnsweredAt: now(),
			LastError: &live.TargetError{At: now(), Cause: "prepare_failed", PrepareStatus: 503, Call: call, Text: "prepare_inbound: 503 after 2 tries"},
		},
		{
			Name: "vapi", Kind: "vapi", Address: "sip:…@sip.vapi.ai", Health: live.HealthOK, Calls: 40,
			Attempts: 456, AnswerRatio: new(1.0), Prepare: pair(210, 480), Answer: pair(900, 1500), LastAnsweredAt: now(),
			Shares: []live.Share{{Route: "main", Weight: 20, Of: 100, Moved: "pinned at 12:12 UTC on 28 November by local", MovedAt: now(), Pinned: true}},
		},
		{Name: "spare", Kind: "sip", Address: "sip:…@pbx.example", Health: live.HealthIdle, MaxCalls: 10},
		{Name: "pbx", Kind: "trunk", Address: "sip:…@203.0.113.9", Health: live.HealthIdle},
	}
}

// fill adds calls of every kind to the node, as in the pictures of docs/guides/page.md.
func (n *fakeNode) fill() {
	at := time.Date(2026, 11, 20, 2, 13, 0, 123e6, time.UTC)
	r, l := failedOver(at)
	n.mu.Lock()
	n.ladders[r.ID] = l
	n.records = append(n.records, r)
	n.stats, n.targets = fakeStats(121), fakeTargets(r.ID)
	for i := range 250 {
		c := liveCallOf(i).Record
		c.ID = strings.Replace(c.ID, "8000", "9000", 1)
		c.StartedAt = record.TimeOf(at.Add(-time.Duration(i) * 37 * time.Second))
		c.Disposition, c.Cause, c.EndedBy, c.DurationMS, c.SIPStatus = "answered", "caller_hangup", "caller", int64(i%9)*21000+3000, 200
		c.EndedAt, c.Media.MOS = record.TimeOf(c.StartedAt.Add(time.Minute)), 4.2
		switch i % 11 {
		case 3:
			c.Disposition, c.Cause, c.EndedBy, c.SIPStatus, c.AnsweredAt = "failed", "prepare_failed", "system", 503, record.Time{}
			c.Attempts[0] = record.Attempt{Target: c.Target, Cause: "prepare_failed", PrepareStatus: 503, PrepareMS: 812, MS: 815}
			c.Media = record.Media{}
		case 5:
			c.Cause, c.EndedBy = "agent_hangup", "agent"
		case 7:
			c.Disposition, c.Cause, c.SIPStatus, c.AnsweredAt, c.Media = "busy", "target_busy", 486, record.Time{}, record.Media{}
			c.EndedBy = "agent"
		}
		n.records = append(n.records, c)
	}
	n.mu.Unlock()
	for i := range 121 {
		c := liveCallOf(i)
		switch {
		case i == 3:
			c.Phase, c.DialedAt, c.AnsweredAt, c.Media, c.Speaks = "preparing", record.Time{}, record.Time{}, record.Media{}, nil
		case i < 6:
			c.Phase, c.AnsweredAt, c.Media, c.Speaks = "dialing", record.Time{}, record.Media{}, nil
		case i%17 == 0:
			c.Recording = "on"
		}
		n.add(c)
	}
}

// TestPageByHand serves the page with made-up calls at the address in PAGE, until a file named stop appears in the
// working directory; without PAGE it does nothing. It is for looking at the page while changing it.
func TestPageByHand(t *testing.T) {
	at := os.Getenv("PAGE")
	if at == "" {
		return
	}
	n := newFakeNode(t, at)
	n.fill()
	for i := 0; ; i++ {
		time.Sleep(100 * time.Millisecond)
		if _, err := os.Stat("stop"); err == nil {
			return
		}
		n.mu.Lock()
		n.stats = fakeStats(121 + i%7)
		n.mu.Unlock()
	}
}

func (n *fakeNode) Press(context.Context, string, admin.DigitsRequest) (admin.Call, error) {
	return admin.Call{}, admin.ErrNoCall
}

func (n *fakeNode) Transfer(context.Context, string, string, admin.TransferRequest) (admin.Call, error) {
	return admin.Call{}, admin.ErrNoCall
}

func (n *fakeNode) SetVariables(context.Context, string, string, map[string]string) (admin.Call, error) {
	return admin.Call{}, admin.ErrNoCall
}

func (n *fakeNode) Called(string) (string, error) { return "", admin.ErrNoCall }

func (n *fakeNode) Variables(context.Context, string) (any, error) { return nil, admin.ErrNoCall }
