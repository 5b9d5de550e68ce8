// Package inbox has what others leave for a call, and its turns.
package inbox

import (
	"context"
	"sync"
	"time"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/transport"
)

// The sizes of an inbox. Normally it has one or two items.
const (
	roomOrdered  = 16  // above this, no further order is taken: what happens in the call has room
	roomProgress = 32  // above this, further provisional responses are dropped
	roomNormal   = 64  // above this, only items that end something are taken
	roomHard     = 256 // above this, nothing is taken
)

// Kind says what room an item finds.
type Kind int

// The kinds of items.
const (
	Normal   Kind = iota // ends the call if there is no room
	Asked                // is always taken: few come, and their senders wait for an answer
	Ordered              // is refused if others wait: anybody may send many
	Progress             // is dropped if there are several
	Request              // is refused if there is no room
	Ending               // ends something: has room when nothing else has
)

// Item is what is left for a call.
type Item interface{ Kind() Kind }

// Queue keeps its array when it is empty, but nothing in it.
type Queue[T any] struct {
	all  []T
	next int // of all
}

// Push adds v at the end.
func (q *Queue[T]) Push(v T) {
	if q.next > 0 && len(q.all) == cap(q.all) {
		n := copy(q.all, q.all[q.next:])
		clear(q.all[n:])
		q.all, q.next = q.all[:n], 0
	}
	q.all = append(q.all, v)
}

// Pop takes out the oldest; ok is false if there is none.
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

// Len is how many are in the queue.
func (q *Queue[T]) Len() int { return len(q.all) - q.next }

// Left gives what is in the queue.
func (q *Queue[T]) Left() []T { return q.all[q.next:] }

// Inbox takes items for a call from other goroutines. Posting never blocks:
// provisional responses coalesce, a request that finds no room is refused, and there
// is room for items that end something. An inbox that overflows all the same says
// so, which ends the call.
//
// A call has a goroutine only while it has its turn. The goroutine that takes the turn from a call
// that rests begins one: a post, or the alarm.
type Inbox[T Item] struct {
	run   func()           // a turn of the call
	turns *transport.Turns // run it

	mu       sync.Mutex // guards what follows
	items    Queue[T]
	turn     bool   // a goroutine has it
	steps    uint32 // turns begun and items asked for
	closed   bool
	overflow bool
	alarm    *time.Timer // for a call that rests; nil: it has had no deadline yet
	alarmAt  time.Time   // zero: the alarm is off
}

// Open gives the inbox of a call its first turn, which the caller has taken. run is a turn of
// the call.
func (b *Inbox[T]) Open(run func(), turns *transport.Turns) {
	b.run, b.turns, b.turn = run, turns, true
}

// Begin has the first turn run.
func (b *Inbox[T]) Begin() { b.turns.Begin(b.run) }

// Post leaves an item and says whether the call will handle it. A provisional
// response that is dropped counts as handled.
func (b *Inbox[T]) Post(it T) bool {
	taken, begins := b.put(it)
	if begins {
		b.turns.Begin(b.run)
	}
	return taken
}

// PostLast is Post by a goroutine whose other work may wait for a turn. It runs the turn that this begins.
func (b *Inbox[T]) PostLast(it T) {
	if _, begins := b.put(it); begins {
		b.run()
	}
}

// put is Post without the turn that it begins, which is the caller's.
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

// Rests says whether the call has no turn, or its last one, and nothing to handle.
func (b *Inbox[T]) Rests() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed || !b.turn && b.items.Len() == 0
}

// Rest ends the turn of a call until something is posted, or this deadline has come;
// zero: there is none. It refuses where something has been posted already, or where
// the server stops. After true the turn is another goroutine's to take.
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

// setAlarm sets the alarm. An alarm that has gone off in between finds no turn to take, or
// gives the call one in which nothing is due.
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

// ring is the alarm's goroutine: a turn of the call.
func (b *Inbox[T]) ring() {
	b.mu.Lock()
	b.alarmAt = time.Time{}
	b.mu.Unlock()
	if b.takeTurn() {
		b.run()
	}
}

// Rouse gives a call that rests a turn.
func (b *Inbox[T]) Rouse() {
	if b.takeTurn() {
		b.turns.Begin(b.run)
	}
}

// takeTurn takes the turn of a call that rests; false: another goroutine has it, or the
// call is over.
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

// Underway says whether a goroutine has the turn. The number changes while that gets on.
func (b *Inbox[T]) Underway() (step uint64, is bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return uint64(b.steps), b.turn && !b.closed
}

// Take removes the oldest item.
func (b *Inbox[T]) Take() (it T, ok, overflow bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.steps++
	overflow = b.overflow
	b.overflow = false
	it, ok = b.items.Pop()
	return it, ok, overflow
}

// Closed says whether the call is over, and nothing is taken any more.
func (b *Inbox[T]) Closed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// Close refuses items from now on and gives back the items that are left.
func (b *Inbox[T]) Close() []T {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.setAlarm(time.Time{})
	left := b.items.Left()
	b.items = Queue[T]{}
	return left
}

// KindOf says what room an input for a leg finds.
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
		// never left
	}
	return Normal
}
