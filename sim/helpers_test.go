package sim

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

const number = "+15075785607"

// openHouse is a platform that accepts every call. The user of the Request-URI selects the
// greeting.
type openHouse struct {
	*Agent
	asks   *Challenger
	settle func() // called before the answer, to wait for something; may be nil

	mu    sync.Mutex
	calls []*Incoming
}

func (h *openHouse) Challenger(Invite) *Challenger { return h.asks }

func (h *openHouse) NewCall(in *Incoming) Handler {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, in)
	return guest{in, h.settle}
}

// guest is a call to an openHouse.
type guest struct {
	in     *Incoming
	settle func()
}

func (g guest) Admit() (int, string) { g.in.Greets = g.in.To.User; return 0, "" }

func (g guest) Settle(context.Context) (int, string) {
	if g.settle != nil {
		g.settle()
	}
	return 0, ""
}

func (guest) Describe(*zerolog.Event)          {}
func (guest) Over()                            {}
func (h *openHouse) target(user string) string { return "sip:" + user + "@" + h.SIPAddr().String() }

func (h *openHouse) call(user string) CarrierCall {
	return CarrierCall{To: h.target(user), From: "+15550100001", Hold: 1, Seed: 7}
}

// all returns the calls so far.
func (h *openHouse) all() []*Incoming {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.calls)
}

// ended waits until the last call is over and returns it.
func (h *openHouse) ended(t *testing.T) AgentCall {
	t.Helper()
	all := h.all()
	if len(all) == 0 {
		t.Fatal("no INVITE came")
	}
	in := all[len(all)-1]
	<-in.Ended()
	return in.Seen()
}

// start opens and serves a house for a test. The functions in before change it before it serves.
func start(t *testing.T, o AgentOptions, before ...func(*openHouse)) *openHouse {
	t.Helper()
	o.Name = "house"
	a, err := OpenAgent(context.Background(), o)
	must(t, err)
	h := &openHouse{Agent: a}
	for _, f := range before {
		f(h)
	}
	a.Serve(h)
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("close agent: %v", err)
		}
	})
	return h
}

func startCarrier(t *testing.T) *Carrier {
	t.Helper()
	c, err := StartCarrier(context.Background(), CarrierOptions{})
	must(t, err)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close carrier: %v", err)
		}
	})
	return c
}

func place(t *testing.T, c *Carrier, cc CarrierCall) CarrierResult {
	t.Helper()
	r, err := c.Call(t.Context(), cc)
	must(t, err)
	return r
}

// placeUntil places a call and hangs up when enough returns true. It has no time limit.
func placeUntil(t *testing.T, c *Carrier, cc CarrierCall, enough func(o *outgoing) bool) CarrierResult {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cc.Hold = 0
	cc.OnAnswer = func(callID string) {
		go func() {
			defer cancel()
			for o := callOf(c, callID); o != nil && !enough(o); o = callOf(c, callID) {
				<-time.After(frameTime)
			}
		}()
	}
	r, err := c.Call(ctx, cc)
	must(t, err)
	return r
}

// callOf returns an active call of a carrier, or nil if the call is over.
func callOf(c *Carrier, callID string) *outgoing {
	c.dialogs.mu.Lock()
	defer c.dialogs.mu.Unlock()
	for _, o := range c.dialogs.calls {
		if o.res.SIPCallID == callID {
			return o
		}
	}
	return nil
}

// untilRinging returns a function that waits until the carrier's call has its 180. Without the
// wait, the answer could overtake it.
func untilRinging(c *Carrier) func() {
	return func() {
		for !slices.ContainsFunc(underWay(c), func(o *outgoing) bool {
			o.mu.Lock()
			defer o.mu.Unlock()
			return !o.res.RingingAt.IsZero()
		}) {
			<-time.After(time.Millisecond)
		}
	}
}

// underWay returns the active calls of a carrier.
func underWay(c *Carrier) []*outgoing {
	c.dialogs.mu.Lock()
	defer c.dialogs.mu.Unlock()
	return slices.Collect(maps.Values(c.dialogs.calls))
}

// goroutines returns the number of goroutines, after those of earlier tests have ended.
func goroutines() int {
	n := runtime.NumGoroutine()
	for range 1000 {
		runtime.Gosched()
		n = min(n, runtime.NumGoroutine())
	}
	return n
}

// settle waits until no more goroutines run than before. If that never happens, the test's timeout
// shows the remaining ones.
func settle(before int) {
	for runtime.NumGoroutine() > before {
		<-time.After(time.Millisecond)
	}
}

// must fails the test at once if there is an error.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
