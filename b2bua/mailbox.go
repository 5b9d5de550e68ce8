package b2bua

import (
	"context"
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

// The sizes of an inbox. Normally it has one or two items.
const (
	inboxProgress = 32  // above this, further provisional responses are dropped
	inboxNormal   = 64  // above this, only items that end something are taken
	inboxHard     = 256 // above this, nothing is taken
)

// queue keeps its array when it is empty, but nothing in it.
type queue[T any] struct {
	all  []T
	next int // of all
}

func (q *queue[T]) push(v T) {
	if q.next > 0 && len(q.all) == cap(q.all) {
		n := copy(q.all, q.all[q.next:])
		clear(q.all[n:])
		q.all, q.next = q.all[:n], 0
	}
	q.all = append(q.all, v)
}

func (q *queue[T]) pop() (v T, ok bool) {
	if q.next == len(q.all) {
		return v, false
	}
	v, q.all[q.next] = q.all[q.next], v
	if q.next++; q.next == len(q.all) {
		q.all, q.next = q.all[:0], 0
	}
	return v, true
}

func (q *queue[T]) len() int { return len(q.all) - q.next }

// left gives what is in the queue.
func (q *queue[T]) left() []T { return q.all[q.next:] }

// item is one thing that was posted to a call: an input for one of its legs,
// an event, a question about its state, or an operator's order.
type item struct {
	line  *legOnWire
	in    leg.Input
	event event
	ask   chan<- LiveCall

	order *order
}

// happening is a fact with its leg, or an event.
type happening struct {
	from  *legOnWire
	fact  leg.Fact
	event event
}

// mailbox holds what a call has still to handle.
type mailbox struct {
	inbox                    // items from other goroutines
	due     queue[item]      // requests whose turn it is
	pending queue[happening] // not yet handled
}

// told adds a fact of a leg.
func (m *mailbox) told(from *legOnWire, f leg.Fact) {
	m.pending.push(happening{from: from, fact: f})
}

// happened adds an event.
func (m *mailbox) happened(e event) { m.pending.push(happening{event: e}) }

// next takes out the next fact or event.
func (m *mailbox) next() (h happening, ok bool) { return m.pending.pop() }

// queue gives requests to a leg their turn.
func (m *mailbox) queue(l *legOnWire, requests []leg.RequestIn) {
	for _, in := range requests {
		m.due.push(item{line: l, in: in})
	}
}

// nextDue takes out the next input whose turn it is.
func (m *mailbox) nextDue() (it item, ok bool) { return m.due.pop() }

// inbox takes items for a call from other goroutines. Posting never blocks:
// provisional responses coalesce, a request that finds no room is refused, and there
// is room for items that end something. An inbox that overflows all the same says
// so, which ends the call.
//
// A call has a goroutine only while it has its turn. Whoever takes the turn from a call
// that rests begins one: a post, or the alarm.
type inbox struct {
	run   func()           // a turn of the call
	turns *transport.Turns // run it

	mu       sync.Mutex // guards what follows
	items    queue[item]
	turn     bool // a goroutine has it
	closed   bool
	overflow bool
	alarm    *time.Timer // for a call that rests; nil: it has had no deadline yet
	alarmAt  time.Time   // zero: the alarm is off
}

// post leaves an item and says whether the call will handle it. A provisional
// response that is dropped counts as handled.
func (b *inbox) post(it item) bool {
	taken, begins := b.put(it)
	if begins {
		b.turns.Begin(b.run)
	}
	return taken
}

// postLast is post by a goroutine that has nothing else to do. It runs the turn that this begins.
func (b *inbox) postLast(it item) {
	if _, begins := b.put(it); begins {
		b.run()
	}
}

// put is post without the turn that it begins, which is the caller's.
func (b *inbox) put(it item) (taken, begins bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, taken, begins := b.items.len(), true, !b.turn
	switch {
	case b.closed:
		return false, false
	case it.ask != nil, it.order != nil: // few, and their senders wait for an answer
		b.items.push(it)
	case n >= inboxProgress && isProgress(it):
	case n >= inboxNormal && isRequest(it) && !isTerminal(it): // it can be refused
		taken = false
	case n >= inboxHard, n >= inboxNormal && !isTerminal(it):
		b.overflow, taken = true, false
	default:
		b.items.push(it)
	}
	b.turn = true
	return taken, begins
}

// rests says whether the call has no turn, and nothing to handle.
func (b *inbox) rests() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.turn && b.items.len() == 0
}

// rest ends the turn of a call until something is posted, or this deadline has come;
// zero: there is none. It refuses where something has been posted already, or where
// the server stops. After true the turn is another goroutine's to take.
func (b *inbox) rest(server context.Context, until time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.items.len() > 0 || b.overflow || server.Err() != nil {
		return false
	}
	b.turn = false
	b.setAlarm(until)
	return true
}

// setAlarm sets the alarm. One that has gone off meanwhile finds no turn to take, or
// gives the call one in which nothing is due.
func (b *inbox) setAlarm(at time.Time) {
	switch {
	case at.Equal(b.alarmAt):
		return
	case at.IsZero():
		b.alarm.Stop()
	case b.alarm == nil:
		b.alarm = time.AfterFunc(time.Until(at), b.ring)
	default:
		b.alarm.Reset(time.Until(at))
	}
	b.alarmAt = at
}

// ring is the alarm's goroutine: a turn of the call.
func (b *inbox) ring() {
	b.mu.Lock()
	b.alarmAt = time.Time{}
	b.mu.Unlock()
	if b.takeTurn() {
		b.run()
	}
}

// rouse gives a call that rests a turn.
func (b *inbox) rouse() {
	if b.takeTurn() {
		b.turns.Begin(b.run)
	}
}

// takeTurn takes the turn of a call that rests; false: another goroutine has it, or the
// call is over.
func (b *inbox) takeTurn() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.turn || b.closed {
		return false
	}
	b.turn = true
	return true
}

// take removes the oldest item.
func (b *inbox) take() (it item, ok, overflow bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	overflow = b.overflow
	b.overflow = false
	it, ok = b.items.pop()
	return it, ok, overflow
}

// close refuses items from now on and gives back those that are left.
func (b *inbox) close() []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.setAlarm(time.Time{})
	left := b.items.left()
	b.items = queue[item]{}
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

// event happens to a call beside the facts of its legs: from work that it started,
// from its media, from outside. The set is closed: only this file adds to it, and
// each phase of the call handles every member.
//
//sumtype:decl
type event interface{ isEvent() }

// Ready is the result of an attempt's preparation: API call and name lookup.
type Ready struct {
	Attempt  int
	Prepared peers.Prepared
	URI      sip.Uri
	Dest     netip.AddrPort
	Flow     *transport.Stream // the connection to dial over; nil: UDP
	TriedTCP bool              // an INVITE over the budget asked for a connection; no Flow: it could not be opened
	Cause    cause.Cause       // cause.None: ready to dial
	Err      error
	Elapsed  time.Duration // of the API call
	AskedAPI bool
}

// MediaLost says that no RTP came from either side for media.timeout, or, if none
// has come since the answer, for media.start_timeout.
type MediaLost struct {
	For   time.Duration
	Never bool
}

// OneWay says that no RTP comes from a side while the other side sends, or, with
// Over, that it comes after all.
type OneWay struct {
	Side media.Side
	Over bool
}

// Latched says that a side's real RTP source is known.
type Latched struct {
	Side   media.Side
	Source netip.AddrPort
}

// Changed says that the state of the media on file is worth nothing any more.
type Changed struct{}

// Withheld says that the caller is sent no more media until it is confirmed.
type Withheld struct{}

// Keyed is a digit that a side sent as telephone-events, which the relay kept back.
type Keyed struct {
	Side     media.Side
	Digit    byte
	Duration time.Duration
}

// Played says that one of our sounds to a side has come to its end.
type Played struct {
	Side media.Side
	ID   uint64 // of the media.Play
}

// Killed is a command to end the call now.
type Killed struct {
	Cause cause.Cause
	By    string // store.EndedBy…
}

// status is the final answer to a caller who has none yet.
func (k Killed) status() int {
	if k.Cause == cause.OperatorHangup {
		return 480 // 503 would have the carrier think that its next calls fail, too
	}
	return 503
}

// Expired says that the set-up or the call has taken as long as it may.
type Expired struct{ Cause cause.Cause }

func (Ready) isEvent() {}

func (MediaLost) isEvent() {}

func (OneWay) isEvent() {}

func (Latched) isEvent() {}

func (Withheld) isEvent() {}
func (Changed) isEvent()  {}

func (Keyed) isEvent() {}

func (Played) isEvent() {}

func (Killed) isEvent() {}

func (Expired) isEvent() {}
