package ladder

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"sync"
	"time"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/transport"
)

// Lane is one party to a call: a vertical line of the drawing.
type Lane struct {
	Name string `json:"name"`
	Kind string `json:"kind"` // one of the constants below
}

// The kinds of lanes. The caller's lane is the first, ours the second.
const (
	KindCaller = "caller"
	KindSelf   = "self"
	KindAPI    = "api"
	KindCallee = "callee"
)

const (
	laneCaller = 0
	laneSelf   = 1
	lanesMax   = 64 // lanes of one call; further parties share the last one
)

// usual is memory for the data that most calls have. It is allocated together with the call.
type usual struct {
	first  legOf // the caller's leg
	legs   [2]*legOf
	lanes  [4]Lane // for the caller, us, the API and the target
	ends   [3]ends // for the caller, the API and the target
	points [288]byte
}

// Recorder records the SIP of a call. *recording.Recorder implements it. It keeps the data that it gets.
type Recorder interface {
	Message(at time.Time, from, to netip.AddrPort, data []byte)
}

// Call holds the messages and decisions of one call. Its methods may be called from any goroutine. A nil Call
// keeps nothing.
type Call struct {
	of   *Collector
	legs []*legOf // guarded by of.mu

	mu       sync.Mutex // guards the fields below
	id       string     // Flowbridge's id; empty until known
	trace    string     // the id of its trace; empty if none
	over     bool       // the call has ended, though its legs may not have
	closed   bool
	released bool
	keeps    bool // its entries are stored
	masked   bool // keys are hidden
	lanes    []Lane
	begin    time.Time // time of the first entry
	pages    pages
	ends     []ends

	rec   Recorder  // nil if the call is not being recorded
	until time.Time // keys are also hidden until this time

	failed  string // the end of the last attempt, until it is known what happens next
	asked   int    // number of API requests in the current attempt
	series  series
	figures Figures // nil if there is no media

	usual usual
}

// newCall returns a call with its first leg.
func newCall(s *Collector, callID, tag string) *Call {
	c := &Call{of: s, keeps: true}
	u := &c.usual
	u.first = legOf{call: c, id: callID, tag: tag}
	c.legs, c.lanes, c.ends = u.legs[:0], u.lanes[:0], u.ends[:0]
	c.series.points = u.points[:0]
	c.pages.list, c.pages.held, c.pages.limit = c.pages.room[:0], &s.held, heldMax
	return c
}

// assignID sets the call's id, and the name of its caller. It returns false if the call has an id already.
func (c *Call) assignID(id, caller string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.id != "" || c.closed {
		return false
	}
	c.id, c.lanes = id, append(c.lanes, Lane{Name: caller, Kind: KindCaller}, Lane{Name: "flowbridge", Kind: KindSelf})
	if len(c.of.Followers) > 0 {
		c.eachSIP(func(e entry, at ends) { c.follow(e, at) })
	}
	c.dropUnwanted()
	return true
}

// dropUnwanted drops the entries of a call that is neither stored nor recorded.
func (c *Call) dropUnwanted() {
	c.keeps = c.of.Keep != nil || c.of.Record
	if !c.keeps {
		c.pages.clear()
	}
}

// closeUnclaimed closes the ladder unless a call has claimed it, and reports whether it did.
func (c *Call) closeUnclaimed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.id == "" {
		c.closed = true
		c.pages.clear()
	}
	return c.closed
}

// Traced sets the id of the call's trace.
func (c *Call) Traced(id string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trace = id
}

// ID returns Flowbridge's id of the call.
func (c *Call) ID() string { return c.id }

// Join adds a leg to a target, by its Call-ID and our tag. customer says that the leg goes to the first party of a
// placed call, which gets the caller's lane.
func (c *Call) Join(callID, tag, target string, customer bool) {
	if c == nil {
		return
	}
	lane := laneCaller
	if !customer {
		lane = c.laneOf(target, KindCallee)
	}
	c.of.join(c, callID, tag, lane)
}

// laneOf returns the index of the lane with this name and kind, and adds it if it is new. At the limit of lanes it
// returns the last one instead.
func (c *Call) laneOf(name, kind string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	lane := Lane{Name: name, Kind: kind}
	if i := slices.Index(c.lanes, lane); i >= 0 {
		return i
	}
	if len(c.lanes) < lanesMax {
		c.lanes = append(c.lanes, lane)
	}
	return len(c.lanes) - 1
}

// Unrecorded says that the call will not be recorded.
func (c *Call) Unrecorded() {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of.Keep == nil {
		c.keeps = false
		c.pages.clear()
	}
}

// Attach gives a recorder the messages so far, and those to come. nil ends that.
func (c *Call) Attach(r Recorder) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rec = r
	if r != nil {
		c.eachSIP(c.record)
	}
}

// eachSIP calls see with each SIP message so far. c.mu is held.
func (c *Call) eachSIP(see func(entry, ends)) {
	for i := range c.pages.list {
		for r := (reader{rest: c.pages.list[i].raw()}); len(r.rest) > 0; {
			if e := r.entry(); r.err == nil && e.kind == SIP && e.ends > 0 && e.cut == 0 {
				see(e, c.ends[e.ends-1])
			}
		}
	}
}

// record passes a message to the recorder.
func (c *Call) record(e entry, at ends) {
	from, to := at.local, at.remote
	if e.received {
		from, to = to, from
	}
	c.rec.Message(c.begin.Add(e.at), from, to, bytes.Clone(e.text))
}

// Mask begins or ends the hiding of keys. After its end keys stay hidden for 64*T1,
// because messages may be repeated.
func (c *Call) Mask(on bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.masked, c.until = on, time.Now().Add(leg.GiveUp)
}

// sip adds a SIP message to the ladder.
func (c *Call) sip(m transport.TapMessage, lane int) {
	at := ends{local: m.Local, remote: m.Remote, transport: m.Transport}
	if at.local.Addr().IsUnspecified() {
		if name, err := c.of.Source(m.Remote.Addr()); err == nil {
			at.local = netip.AddrPortFrom(name, at.local.Port())
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !c.keeps && len(c.of.Followers) == 0 {
		return
	}
	e := entry{at: c.since(m.At), kind: SIP, received: m.Received, lane: lane, text: m.Data}
	hide := c.masked || m.At.Before(c.until)
	kept := false
	if c.keeps && (!c.pages.full() || !c.repeated(e)) {
		e.ends = c.endsOf(at)
		if len(e.text) > textMax {
			e.text, e.cut = e.text[:textMax], len(e.text)-textMax
		}
		if text := c.pages.add(e); text != nil {
			e.text, kept = text, true
			message.Redact(e.text, hide)
		}
	}
	if c.rec == nil && (c.id == "" || len(c.of.Followers) == 0) {
		return
	}
	if !kept || e.cut > 0 {
		e.text = bytes.Clone(m.Data)
		message.Redact(e.text, hide)
	}
	if c.rec != nil {
		c.record(e, at)
	}
	if c.id != "" {
		c.follow(e, at)
	}
}

// repeated reports whether a message is a copy of one in the last pages. It counts copies
// as dropped.
func (c *Call) repeated(e entry) bool {
	text := bytes.Clone(e.text[:min(len(e.text), textMax)])
	message.Redact(text, c.masked)
	for i := max(0, len(c.pages.list)-4); i < len(c.pages.list); i++ {
		for r := (reader{rest: c.pages.list[i].raw()}); len(r.rest) > 0; {
			if was := r.entry(); was.kind == SIP && was.received == e.received && was.lane == e.lane &&
				bytes.Equal(was.text, text) {
				c.pages.dropped++
				return true
			}
		}
	}
	return false
}

// since returns a time in the form that entries use. The first call sets the ladder's beginning.
func (c *Call) since(at time.Time) time.Duration {
	if c.begin.IsZero() {
		c.begin = at
	}
	return at.Sub(c.begin)
}

// endsOf returns the index of a pair of addresses, from 1, or 0 if there are too many.
func (c *Call) endsOf(at ends) int {
	if i := slices.Index(c.ends, at); i >= 0 {
		return i + 1
	}
	if len(c.ends) >= endsMax {
		return 0
	}
	c.ends = append(c.ends, at)
	return len(c.ends)
}

// http adds one message of an exchange with an API to the ladder.
func (c *Call) http(at time.Time, received bool, lane int, between ends, text []byte, cut int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !c.keeps {
		return
	}
	if !received {
		c.asked++
	}
	e := entry{at: c.since(at), kind: HTTP, received: received, lane: lane, cut: cut, text: text}
	if between.remote.IsValid() {
		e.ends = c.endsOf(between)
	}
	c.pages.add(e)
}

// decides reports whether decisions are stored.
func (c *Call) decides() bool { return c != nil && c.of.Keep != nil }

// Decide adds a decision: what was decided, and why.
func (c *Call) Decide(format string, args ...any) {
	if !c.decides() {
		return
	}
	var room [128]byte
	c.decided(fmt.Appendf(room[:0], format, args...))
}

// decided adds a decision.
func (c *Call) decided(text []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flush("")
	c.note(text)
}

// note adds an entry for a decision.
func (c *Call) note(text []byte) {
	if c.closed {
		return
	}
	if len(text) > noteMax {
		text = text[:noteMax]
	}
	c.pages.add(entry{at: c.since(time.Now()), kind: Decision, lane: laneSelf, text: text})
}

// noteMax bounds a decision's text, in bytes.
const noteMax = 1024

// Close tells the ladder that the call and its legs are over. The ladder is handed over a
// little later, so that it includes the peers' last messages: the ACK of a refusal, or
// retransmissions.
func (c *Call) Close() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.over, c.rec, c.figures = true, nil, nil
	c.mu.Unlock()
	if c.of.Keep == nil || !c.of.later(c) {
		c.finish()
	}
}

// finish ends the collecting of messages, and hands the ladder over.
func (c *Call) finish() {
	c.mu.Lock()
	was, id := c.closed, c.id
	c.flush("")
	c.closed = true
	c.mu.Unlock()
	if was {
		return
	}
	if c.of.Keep != nil {
		c.of.Keep(c) // before it disappears from the live calls
	}
	c.of.drop(c, id)
	if c.of.Keep == nil {
		c.Release()
	}
}

// Discard ends the collecting, and drops the ladder.
func (c *Call) Discard() {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.closed = true
	id := c.id
	c.mu.Unlock()
	c.of.drop(c, id)
	c.Release()
}

// Release frees the memory of a call that was kept.
func (c *Call) Release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.released = true
	c.pages.clear()
}

type contextKey struct{}

// Context returns a context that makes HTTP requests part of the ladder, as requests to
// the API of a target. It begins an attempt.
func (c *Call) Context(ctx context.Context, target string) context.Context {
	if !c.decides() {
		return ctx
	}
	h := &httpLane{call: c, lane: c.laneOf(target+" API", KindAPI)}
	c.mu.Lock()
	c.asked = 0
	c.mu.Unlock()
	h.trace.GotConn = h.connected
	return httptrace.WithClientTrace(context.WithValue(ctx, contextKey{}, h), &h.trace)
}
