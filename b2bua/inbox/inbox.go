// Package inbox holds the items that are posted to a call, and runs the call's turns.
package inbox

import (
	"context"
	"slices"
	"sync"
	"time"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/transport"
)

// These are the sizes of an inbox, which normally holds one or two items.
const (
	roomOrdered  = 16  // above this, commands are refused, so that the call's own events have room
	roomProgress = 32  // above this, provisional responses are dropped
	roomNormal   = 64  // above this, only items that end something are accepted
	roomHard     = 256 // above this, no item is accepted
)

// Kind says what happens to an item if the inbox is nearly full.
type Kind int

// The kinds of items.
const (
	Normal   Kind = iota // if there is no room, the call ends
	Asked                // always accepted, because there are few and their senders wait for an answer
	Ordered              // refused if others wait, because an operator or a tool may send many
	Progress             // dropped if there are several
	Request              // refused if there is no room
	Ending               // accepted even if other items are not, because it ends something
)

// Item is an item for a call.
type Item interface{ Kind() Kind }

// Queue is a queue. When it is empty it keeps its array, but no references in it.
type Queue[T any] struct {
	all  []T
	next int  // index in all
	room [1]T // initial memory of all
}

// Push adds v at the end.
func (q *Queue[T]) Push(v T) {
	if q.all == nil {
		q.all = q.room[:0]
	}
	if q.next > 0 && len(q.all) == cap(q.all) {
		n := copy(q.all, q.all[q.next:])
		clear(q.all[n:])
		q.all, q.next = q.all[:n], 0
	}
	q.all = append(q.all, v)
	if len(q.all) > len(q.room) { // it has left the room
		clear(q.room[:])
	}
}

// Pop removes and returns the oldest item. ok is false if there is none.
func (q *Queue[T]) Pop() (v T, ok bool) {
	if q.next == len(q.all) {
		return v, false
	}
	v, q.all[q.next] = q.all[q.next], v
	if q.next++; q.next == len(q.all) {
		q.all, q.next = q.all[:0], 0
	}
	return v, true
}

// Len returns the length of the queue.
func (q *Queue[T]) Len() int { return len(q.all) - q.next }

// Left returns the items in the queue.
func (q *Queue[T]) Left() []T { return q.all[q.next:] }

// Inbox accepts items for a call from other goroutines. Posting never blocks: excess provisional responses are
// dropped, a request without room is refused, and there is room for items that end something. If an inbox overflows
// nevertheless, Take reports that, and the call ends.
//
// A call has a goroutine only during a turn. If the call has no turn, a post or the alarm starts one.
type Inbox[T Item] struct {
	run   func()           // runs a turn of the call
	turns *transport.Turns // run the turns

	mu       sync.Mutex // guards the fields below
	items    Queue[T]
	turn     bool   // the call has a turn
	steps    uint32 // number of turns started and of items taken
	closed   bool
	overflow bool
	alarm    *time.Timer // wakes a call that has no turn; nil until the call has had a deadline
	alarmAt  time.Time   // zero if the alarm is not set
}

// Open initializes the inbox of a call. Afterwards the call has a turn, which its caller must start. run runs a turn
// of the call.
func (b *Inbox[T]) Open(run func(), turns *transport.Turns) {
	b.run, b.turns, b.turn = run, turns, true
}

// Begin starts the first turn.
func (b *Inbox[T]) Begin() { b.turns.Begin(b.run) }

// Post adds an item and reports whether the call will handle it. A dropped provisional
// response counts as handled.
func (b *Inbox[T]) Post(it T) bool {
	taken, begins := b.put(it)
	if begins {
		b.turns.Begin(b.run)
	}
	return taken
}

// PostLast is Post for a goroutine that has nothing urgent left to do. If the post starts a turn, PostLast runs it.
func (b *Inbox[T]) PostLast(it T) {
	if _, begins := b.put(it); begins {
		b.run()
	}
}

// put adds an item like Post. If begins is true, the caller must run the turn that this has started.
func (b *Inbox[T]) put(it T) (taken, begins bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	kind, n, taken, begins := it.Kind(), b.items.Len(), true, !b.turn
	switch {
	case b.closed:
		return false, false
	case kind == Asked:
		b.items.Push(it)
	case n >= roomOrdered && kind == Ordered:
		taken = false
	case n >= roomProgress && kind == Progress:
	case n >= roomNormal && kind == Request:
		taken = false
	case n >= roomHard, n >= roomNormal && kind != Ending:
		b.overflow, taken = true, false
	default:
		b.items.Push(it)
	}
	b.turn = true
	if begins {
		b.steps++
	}
	return taken, begins
}

// Rests reports whether the call is over, or has no turn and nothing to handle.
func (b *Inbox[T]) Rests() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed || !b.turn && b.items.Len() == 0
}

// Rest ends the turn of a call until something is posted, or until the deadline; zero means no deadline. It returns
// false, and the turn continues, if something has been posted already, or if the server stops. After true, another
// goroutine may run the next turn.
func (b *Inbox[T]) Rest(server context.Context, until time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.items.Len() > 0 || b.overflow || server.Err() != nil {
		return false
	}
	b.turn = false
	b.setAlarm(until)
	return true
}

// setAlarm sets the alarm. If the old alarm has just gone off, it does no harm: it starts no turn, or a turn in which
// nothing is due.
func (b *Inbox[T]) setAlarm(at time.Time) {
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

// ring is called when the alarm goes off. It runs a turn of the call.
func (b *Inbox[T]) ring() {
	b.mu.Lock()
	b.alarmAt = time.Time{}
	b.mu.Unlock()
	if b.takeTurn() {
		b.run()
	}
}

// Rouse starts a turn of the call if it has none.
func (b *Inbox[T]) Rouse() {
	if b.takeTurn() {
		b.turns.Begin(b.run)
	}
}

// takeTurn starts a turn. It returns false if the call has a turn, or is over.
func (b *Inbox[T]) takeTurn() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.turn || b.closed {
		return false
	}
	b.turn = true
	b.steps++
	return true
}

// Underway reports whether the call has a turn. step changes when the turn makes progress.
func (b *Inbox[T]) Underway() (step uint64, is bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return uint64(b.steps), b.turn && !b.closed
}

// Take removes and returns the oldest item. overflow is true one time, if an item was lost for lack of room.
func (b *Inbox[T]) Take() (it T, ok, overflow bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.steps++
	overflow = b.overflow
	b.overflow = false
	it, ok = b.items.Pop()
	return it, ok, overflow
}

// Closed reports whether the call is over and the inbox takes no more items.
func (b *Inbox[T]) Closed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// Close closes the inbox and returns the remaining items.
func (b *Inbox[T]) Close() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.setAlarm(time.Time{})
	left := slices.Clone(b.items.Left()) // they may be in the queue's own memory
	b.items = Queue[T]{}
	return left
}

// KindOf returns the kind of an input for a leg.
func KindOf(in leg.Input) Kind {
	switch in := in.(type) {
	case leg.ResponseIn:
		if in.Res.StatusCode < 200 {
			return Progress
		}
		return Ending
	case leg.RequestIn:
		if in.Req.IsAck() || in.Req.Method == "BYE" {
			return Ending
		}
		return Request
	case leg.CancelIn, leg.FinalLost, leg.RequestFailed:
		return Ending
	case leg.DeadlineReached, leg.MediaReceived, leg.Ring, leg.Answer, leg.Refuse, leg.Invite, leg.Abandon, leg.Hangup,
		leg.Offer, leg.Accept, leg.Reject, leg.Send, leg.Reply:
		// never posted
	}
	return Normal
}
