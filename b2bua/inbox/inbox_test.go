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

// item is an item with only a kind.
type item struct {
	kind   Kind
	number int
}

func (it item) Kind() Kind { return it.kind }

// busy returns the inbox of a call during a turn.
func busy() *Inbox[item] { return &Inbox[item]{turn: true} }

// drain takes out all items.
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

// Any number of provisional answers does not end the call.
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

// Items that end something are taken when nothing else is.
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
		b.Post(item{kind: Ending}) // even items that end something are bounded
	}
	items, overflow := drain(b)
	if len(items) != roomHard || !overflow {
		t.Errorf("%d items, overflow %v; want %d and overflow", len(items), overflow, roomHard)
	}
	if _, again := drain(b); again {
		t.Error("the same overflow was reported twice")
	}
}

// Posting never blocks, even if nothing is taken out.
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
	wg.Wait() // nothing was taken out
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

// A question to a call whose inbox is full is refused or answered. It is never
// taken and dropped.
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

// A full inbox reports that it refuses a request, so that the request gets 503. The
// transaction of a request other than INVITE has no timer before its final answer (RFC
// 3261 section 17.2.2).
func TestFullInboxRefusesRequests(t *testing.T) {
	b := busy()
	for range roomNormal {
		b.Post(item{kind: Request})
	}
	if b.Post(item{kind: Request}) {
		t.Error("post took a request that it dropped")
	}
}

// PostLast runs the turn that it begins, and runs nothing if a turn is running or the
// call is over.
func TestPostLastRunsTheTurn(t *testing.T) {
	b := &Inbox[item]{}
	turns := 0
	b.run = func() { turns++ } // at once: without goroutines to run it, any other way would panic
	b.PostLast(item{kind: Ending})
	if items, _ := drain(b); turns != 1 || len(items) != 1 {
		t.Fatalf("%d turns, %d items", turns, len(items))
	}
	b.PostLast(item{kind: Ending}) // the first turn has not ended
	if items, _ := drain(b); turns != 1 || len(items) != 1 {
		t.Fatalf("%d turns, %d items", turns, len(items))
	}
	b.Close()
	b.turn = false
	if b.PostLast(item{kind: Ending}); turns != 1 {
		t.Error("a turn of a call that is over")
	}
}

// rested returns an inbox whose call rests.
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

// An item that is posted after the last check of the inbox keeps the call from resting.
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

// An alarm that goes off during a turn does not keep the next one from going off, even at
// the same time.
func TestNoAlarmIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := 0
		b := rested(t, func(*Inbox[item]) { turns++ }, time.Now().Add(time.Second))
		begin := time.Now()
		if !b.takeTurn() { // something else has given the call a turn
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

// However posts, alarms and rests coincide, no two turns run at once, and no item stays
// in the inbox of a resting call.
func TestOneTurnAtATime(t *testing.T) {
	const posters, each = 8, 2000
	var (
		running atomic.Int32
		taken   int // owned by the turn, so that the race detector sees two turns at once
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
					runtime.Gosched() // the inbox is full at the moment
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

// isIdle reports whether no goroutine has the turn.
func (b *Inbox[item]) isIdle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.turn
}
