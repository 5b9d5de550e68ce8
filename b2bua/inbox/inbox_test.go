package inbox

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/transport"
)

// item is an item of an inbox with nothing but its kind.
type item struct {
	kind   Kind
	number int
}

func (it item) Kind() Kind { return it.kind }

// busy returns the inbox of a call whose turn is running.
func busy() *Inbox[item] { return &Inbox[item]{turn: true} }

// drain takes all items out of the inbox.
func drain(b *Inbox[item]) (items []item, overflow bool) {
	for {
		it, ok, over := b.Take()
		overflow = overflow || over
		if !ok {
			return items, overflow
		}
		items = append(items, it)
	}
}

func TestInboxKeepsOrder(t *testing.T) {
	b := busy()
	for code := 200; code < 210; code++ {
		if !b.Post(item{kind: Ending, number: code}) {
			t.Fatal("refused")
		}
	}
	items, overflow := drain(b)
	if len(items) != 10 || overflow {
		t.Fatalf("%d items, overflow %v", len(items), overflow)
	}
	for i, it := range items {
		if got := it.number; got != 200+i {
			t.Errorf("item %d has code %d", i, got)
		}
	}
	if _, ok, _ := b.Take(); ok {
		t.Error("something is left")
	}
}

// However many provisional answers come, they do not end the call.
func TestInboxCoalescesProgress(t *testing.T) {
	b := busy()
	for range 10_000 {
		b.Post(item{kind: Progress})
	}
	b.Post(item{kind: Ending, number: 200})
	items, overflow := drain(b)
	if len(items) != roomProgress+1 || overflow {
		t.Errorf("%d items, overflow %v; want %d without overflow", len(items), overflow, roomProgress+1)
	}
	if items[len(items)-1].number != 200 {
		t.Error("the final answer is lost")
	}
}

// An item that ends something is still accepted when the inbox is full.
func TestInboxRoomForTheEnd(t *testing.T) {
	b := busy()
	for range roomNormal {
		b.Post(item{kind: Request})
	}
	if _, overflow := func() (item, bool) { it, _, o := b.Take(); return it, o }(); overflow {
		t.Error("overflow before it is full")
	}
	b.Post(item{kind: Request})
	const ends = 11
	for range ends {
		b.Post(item{kind: Ending})
	}
	if b.Post(item{kind: Request}) {
		t.Error("a request for which there is no room was taken")
	}
	items, overflow := drain(b)
	if overflow {
		t.Error("what can be refused ends the call")
	}
	if got, want := len(items), roomNormal+ends; got != want {
		t.Errorf("%d items; want %d", got, want)
	}
}

func TestInboxHardLimit(t *testing.T) {
	b := busy()
	for range 10 * roomHard {
		b.Post(item{kind: Ending}) // the number of these items is limited as well
	}
	items, overflow := drain(b)
	if len(items) != roomHard || !overflow {
		t.Errorf("%d items, overflow %v; want %d and overflow", len(items), overflow, roomHard)
	}
	if _, again := drain(b); again {
		t.Error("the same overflow was reported twice")
	}
}

// Posting never blocks, even if no items are taken out.
func TestInboxPostNeverBlocks(t *testing.T) {
	b := busy()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				b.Post(item{kind: Progress})
				b.Post(item{kind: Ending})
			}
		})
	}
	wg.Wait() // no items were taken out until here
	if items, overflow := drain(b); len(items) != roomHard || !overflow {
		t.Errorf("%d items, overflow %v", len(items), overflow)
	}
}

func TestInboxClosed(t *testing.T) {
	b := busy()
	b.Post(item{kind: Ending})
	b.Post(item{kind: Asked})
	left := b.Close()
	if len(left) != 2 || left[1].kind != Asked {
		t.Errorf("%d items are given back; want 2", len(left))
	}
	if b.Post(item{kind: Ending}) {
		t.Error("a closed inbox takes something")
	}
	if again := b.Close(); len(again) != 0 {
		t.Errorf("%d items are given back again", len(again))
	}
	if _, ok, _ := b.Take(); ok {
		t.Error("something is left after close")
	}
}

func TestClosedInboxReturnsItsOnlyItem(t *testing.T) {
	b := busy()
	b.Post(item{kind: Ending, number: 200})
	if left := b.Close(); len(left) != 1 || left[0].number != 200 {
		t.Errorf("left %v", left)
	}
}

// If the inbox is full, a question to the call is either refused or answered. It must not
// be accepted and then dropped.
func TestFullInboxTakesQuestions(t *testing.T) {
	b := busy()
	for range roomNormal {
		b.Post(item{kind: Request})
	}
	if !b.Post(item{kind: Asked}) {
		return
	}
	items, _ := drain(b)
	if items[len(items)-1].kind != Asked {
		t.Error("post took the question and lost it")
	}
}

// If the inbox is full, it reports that it refuses a request, which then gets 503.
// Otherwise the request would wait for ever: the transaction of a request other than INVITE
// has no timer before its final answer (RFC 3261 section 17.2.2).
func TestFullInboxRefusesRequests(t *testing.T) {
	b := busy()
	for range roomNormal {
		b.Post(item{kind: Request})
	}
	if b.Post(item{kind: Request}) {
		t.Error("post took a request that it dropped")
	}
}

// PostLast runs the turn that it starts. If a turn is already running, or the call is over,
// it runs none.
func TestPostLastRunsTheTurn(t *testing.T) {
	b := &Inbox[item]{}
	turns := 0
	b.run = func() { turns++ } // PostLast must run it itself: the inbox has no goroutines, so anything else would panic
	b.PostLast(item{kind: Ending})
	if items, _ := drain(b); turns != 1 || len(items) != 1 {
		t.Fatalf("%d turns, %d items", turns, len(items))
	}
	b.PostLast(item{kind: Ending}) // the first turn is still running
	if items, _ := drain(b); turns != 1 || len(items) != 1 {
		t.Fatalf("%d turns, %d items", turns, len(items))
	}
	b.Close()
	b.turn = false
	if b.PostLast(item{kind: Ending}); turns != 1 {
		t.Error("a turn of a call that is over")
	}
}

// rested returns an inbox whose call waits without a goroutine.
func rested(t *testing.T, run func(b *Inbox[item]), until time.Time) *Inbox[item] {
	t.Helper()
	b := &Inbox[item]{turn: true, turns: &transport.Turns{}}
	t.Cleanup(b.turns.Close)
	b.run = func() { run(b) }
	if !b.Rest(t.Context(), until) {
		t.Fatal("it does not rest")
	}
	return b
}

// If an item is posted after the last check of the inbox, the call runs another turn before
// it rests.
func TestNoPostIsLostBeforeRest(t *testing.T) {
	b := &Inbox[item]{turn: true, run: func() { t.Error("a second turn") }}
	if _, ok, _ := b.Take(); ok {
		t.Fatal("there is something")
	}
	b.Post(item{kind: Ending})
	if b.Rest(t.Context(), time.Time{}) {
		t.Fatal("it rests with an item")
	}
	if _, ok, _ := b.Take(); !ok {
		t.Fatal("the item is gone")
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if b.Rest(stopped, time.Time{}) {
		t.Error("it rests while the server stops")
	}
	if !b.Rest(t.Context(), time.Time{}) {
		t.Error("it does not rest without an item")
	}
}

// An alarm that goes off during a turn does not prevent the next alarm, even one at the
// same time.
func TestNoAlarmIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := 0
		b := rested(t, func(*Inbox[item]) { turns++ }, time.Now().Add(time.Second))
		begin := time.Now()
		if !b.takeTurn() { // another event has started a turn
			t.Fatal("no turn")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if turns != 0 {
			t.Fatal("two turns at once")
		}
		if !b.Rest(t.Context(), begin.Add(time.Second)) {
			t.Fatal("no rest")
		}
		synctest.Wait()
		if turns != 1 {
			t.Fatalf("%d turns; want one for the deadline that has come", turns)
		}
		b.Rest(t.Context(), begin.Add(time.Hour))
		b.takeTurn()
		b.Rest(t.Context(), begin.Add(time.Minute))
		time.Sleep(time.Minute)
		synctest.Wait()
		if turns != 2 {
			t.Errorf("%d turns; want one for the earlier deadline", turns)
		}
		b.Close()
		b.Rouse()
		if synctest.Wait(); turns != 2 {
			t.Error("a turn of a call that is over")
		}
	})
}

// However posts, alarms and rests coincide, two turns never run at once, and a resting call
// has no items in its inbox.
func TestOneTurnAtATime(t *testing.T) {
	const posters, each = 8, 2000
	var (
		running atomic.Int32
		taken   int // only the turn writes it, so the race detector would notice two turns at once
		all     sync.WaitGroup
	)
	all.Add(posters * each)
	turn := func(b *Inbox[item]) {
		for {
			if running.Add(1) != 1 {
				t.Error("two turns at once")
			}
			for {
				_, ok, _ := b.Take()
				if !ok {
					break
				}
				taken++
				all.Done()
			}
			running.Add(-1)
			if b.Rest(t.Context(), time.Now().Add(10*time.Microsecond)) {
				return
			}
		}
	}
	b := rested(t, turn, time.Now())
	for range posters {
		go func() {
			for range each {
				for !b.Post(item{kind: Ending}) {
					runtime.Gosched() // the inbox is full now
				}
			}
		}()
	}
	all.Wait()
	b.Close()
	for !b.isIdle() {
		runtime.Gosched()
	}
	if taken != posters*each {
		t.Errorf("%d items; want %d", taken, posters*each)
	}
}

// isIdle reports whether no turn is running.
func (b *Inbox[item]) isIdle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.turn
}

// A queue that has outgrown its own memory keeps nothing there.
func TestQueueKeepsNoItems(t *testing.T) {
	var q Queue[*int]
	for range 2 {
		q.Push(new(int))
	}
	q.Pop()
	q.Pop()
	if q.room[0] != nil {
		t.Error("an item is kept")
	}
}
