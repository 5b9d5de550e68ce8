package b2bua

import (
	"net/netip"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/transport"
	"flowbridge/media"
)

// The sizes of an inbox. A call of normal life has one or two items in it.
const (
	inboxProgress = 32  // above this, further provisional responses are dropped
	inboxNormal   = 64  // above this, only what ends something is taken
	inboxHard     = 256 // above this, nothing is
)

// item is one thing that was posted to a call: an input for one of its legs,
// an event, a question about its state, or an operator's order.
type item struct {
	line  *legOnWire
	in    leg.Input
	event event
	ask   chan<- LiveCall

	order *order
}

// happening is a fact and the leg that tells it, or an event: one of the two.
type happening struct {
	from  *legOnWire
	fact  leg.Fact
	event event
}

// mailbox is what a call has still to look at.
type mailbox struct {
	*inbox              // what others leave
	due     []item      // requests that have their turn
	pending []happening // not yet handled
	timer   *time.Timer // set to the earliest deadline
}

// told adds a fact of a leg.
func (m *mailbox) told(from *legOnWire, f leg.Fact) {
	m.pending = append(m.pending, happening{from: from, fact: f})
}

// happened adds an event.
func (m *mailbox) happened(e event) { m.pending = append(m.pending, happening{event: e}) }

// next gives what is to be handled next.
func (m *mailbox) next() (h happening, ok bool) {
	if len(m.pending) == 0 {
		return h, false
	}
	h, m.pending = m.pending[0], m.pending[1:]
	return h, true
}

// queue gives requests to a leg their turn.
func (m *mailbox) queue(l *legOnWire, requests []leg.RequestIn) {
	for _, in := range requests {
		m.due = append(m.due, item{line: l, in: in})
	}
}

// nextDue gives the next input that has its turn.
func (m *mailbox) nextDue() (it item, ok bool) {
	if len(m.due) == 0 {
		return it, false
	}
	it = m.due[0]
	if m.due = m.due[1:]; len(m.due) == 0 {
		m.due = nil
	}
	return it, true
}

// inbox is where other goroutines leave what concerns a call. Posting never
// blocks: provisional responses coalesce, a request that finds no room is refused,
// what ends something has room, and an inbox that overflows all the same says so,
// which ends the call.
type inbox struct {
	wake chan struct{} // 1 item: something was posted

	mu       sync.Mutex
	items    []item
	closed   bool
	overflow bool
}

func newInbox() *inbox { return &inbox{wake: make(chan struct{}, 1)} }

// post leaves an item and says whether somebody will look at it. A provisional
// response that is dropped counts as seen.
func (b *inbox) post(it item) bool {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return false
	}
	n, taken := len(b.items), true
	switch {
	case it.ask != nil, it.order != nil: // few, and somebody waits for the answer
		b.items = append(b.items, it)
	case n >= inboxProgress && isProgress(it):
	case n >= inboxNormal && isRequest(it) && !isTerminal(it): // it can be refused
		taken = false
	case n >= inboxHard, n >= inboxNormal && !isTerminal(it):
		b.overflow, taken = true, false
	default:
		b.items = append(b.items, it)
	}
	b.mu.Unlock()
	select {
	case b.wake <- struct{}{}:
	default:
	}
	return taken
}

// take removes the oldest item.
func (b *inbox) take() (it item, ok, overflow bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	overflow = b.overflow
	b.overflow = false
	if len(b.items) == 0 {
		return item{}, false, overflow
	}
	it = b.items[0]
	b.items[0] = item{}
	if b.items = b.items[1:]; len(b.items) == 0 {
		b.items = nil
	}
	return it, true, overflow
}

// close refuses what comes from now on and gives back what nobody looked at.
func (b *inbox) close() []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	left := b.items
	b.items = nil
	return left
}

func isRequest(it item) bool {
	_, ok := it.in.(leg.RequestIn)
	return ok
}

func isProgress(it item) bool {
	r, ok := it.in.(leg.ResponseIn)
	return ok && r.Res.StatusCode < 200
}

func isTerminal(it item) bool {
	switch in := it.in.(type) {
	case nil:
		return it.event != nil
	case leg.ResponseIn:
		return in.Res.StatusCode >= 200
	case leg.RequestIn:
		return in.Req.Method == sip.BYE || in.Req.Method == sip.ACK
	case leg.CancelIn, leg.FinalLost, leg.RequestFailed:
		return true
	case leg.DeadlineReached, leg.Ring, leg.Answer, leg.Refuse, leg.Invite, leg.Abandon, leg.Hangup, leg.Offer, leg.Accept, leg.Reject, leg.Send, leg.Reply: // never posted
		return false
	}
	return false
}

// event is what else happens to a call than what its legs tell: from what it
// started, from its media, from outside. The set is closed: only this file adds to
// it, and each phase of the call has an answer to every member.
//
//sumtype:decl
type event interface{ isEvent() }

// Ready is what an attempt's preparation came to: API call and name lookup.
type Ready struct {
	Attempt  int
	Prepared peers.Prepared
	URI      sip.Uri
	Dest     netip.AddrPort
	Flow     *transport.Stream // the connection to dial over; nil: UDP
	TriedTCP bool              // an INVITE over the budget asked for a connection; without Flow there is none
	Cause    cause.Cause       // CauseNone: ready to dial
	Err      error
	Elapsed  time.Duration // of the API call
	AskedAPI bool
}

// MediaLost says that no RTP came from either side for media.timeout, or, if
// there never was any since the answer, for media.start_timeout.
type MediaLost struct {
	For   time.Duration
	Never bool
}

// OneWay says that nothing is heard from a side while the other one speaks,
// or, when that is over, that it is heard after all.
type OneWay struct {
	Side media.Side
	Over bool
}

// Latched says that a side's real RTP source is known.
type Latched struct {
	Side   media.Side
	Source netip.AddrPort
}

// Keyed is a digit that a side sent as telephone-events, which were kept.
type Keyed struct {
	Side     media.Side
	Digit    byte
	Duration time.Duration
}

// Played says that a sound of ours that a side heard has come to its end.
type Played struct {
	Side media.Side
	ID   uint64 // of the media.Play
}

// Killed is a command to end the call now.
type Killed struct {
	Cause cause.Cause
	By    string // store.EndedBy…
}

// Expired says that the set-up or the call has taken as long as it may.
type Expired struct{ Cause cause.Cause }

func (Ready) isEvent() {}

func (MediaLost) isEvent() {}

func (OneWay) isEvent() {}

func (Latched) isEvent() {}

func (Keyed) isEvent() {}

func (Played) isEvent() {}

func (Killed) isEvent() {}

func (Expired) isEvent() {}
