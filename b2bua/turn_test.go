package b2bua

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/transport"
	"flowbridge/store"
)

// turnsUnderWay counts the goroutines that run a call.
func turnsUnderWay() int {
	buf := make([]byte, 1<<20)
	return strings.Count(string(buf[:runtime.Stack(buf, true)]), "b2bua.(*Call).run(")
}

// A call that waits has no goroutine: while it is prepared, dialled and bridged, and
// while a leg lingers.
func TestCallThatWaitsHasNoGoroutine(t *testing.T) {
	inWorld(t, func(w *world) {
		none := func(when string) {
			t.Helper()
			synctest.Wait()
			if n := turnsUnderWay(); n != 0 {
				t.Errorf("%s: %d goroutines", when, n)
			}
		}
		d := w.carrier.newCall("+15075785607")
		w.carrier.invite(d)
		d.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent.expect("INVITE")
		none("dialing")
		w.agent.answer(invite, "agent1")
		w.agent.expect("ACK")
		w.carrier.expect("SIP/2.0 200")
		none("before the ACK")
		w.carrier.ack(d)
		none("bridged")
		time.Sleep(30 * time.Minute)
		none("bridged for long")
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		bye := w.agent.expect("BYE")
		none("in linger")
		w.agent.reply(bye, 200, "OK", "", "")
		w.wantRecord("answered", cause.CallerHangup, store.EndedByCaller)
	})
}

// A server that stops gives every call that rests its turn.
func TestStopRousesCalls(t *testing.T) {
	inWorld(t, func(w *world) {
		w.established()
		synctest.Wait()
		w.server.stopCalls()
		w.wantRecord("answered", cause.Shutdown, store.EndedBySystem)
		for _, p := range []*peer{w.carrier, w.agent} {
			p.reply(p.expect("BYE"), 200, "OK", "", "")
		}
	})
}

// A call whose turn waits for something stops no other call, although the goroutine that reads
// the socket runs it.
func TestTurnThatWaits(t *testing.T) {
	inWorld(t, func(w *world) {
		hold := make(chan struct{})
		release := sync.OnceFunc(func() { close(hold) })
		defer release()
		w.relay.hold = hold
		stuck := w.carrier.newCall("+15075785607")
		w.carrier.invite(stuck)
		w.carrier.expect("SIP/2.0 100")
		synctest.Wait()
		began := time.Now()
		d, _ := w.established()
		if took := time.Since(began); took > 50*time.Millisecond {
			t.Errorf("another call took %v", took)
		}
		w.carrier.cancel(stuck)
		w.carrier.expect("SIP/2.0 200")
		release()
		w.carrier.expect("SIP/2.0 487")
		w.carrier.ackRefused(stuck)
		w.wantRecord("cancelled", cause.CallerCancelled, store.EndedByCaller)
		w.callerHangsUp(d)
	})
}

// rested is an inbox whose call rests.
func rested(t *testing.T, run func(b *inbox), until time.Time) *inbox {
	t.Helper()
	b := &inbox{turn: true, turns: &transport.Turns{}}
	t.Cleanup(b.turns.Close)
	b.run = func() { run(b) }
	if !b.rest(t.Context(), until) {
		t.Fatal("it does not rest")
	}
	return b
}

// What is posted after the last look into the inbox keeps the call from its rest.
func TestNoPostIsLostBeforeRest(t *testing.T) {
	b := &inbox{turn: true, run: func() { t.Error("a second turn") }}
	if _, ok, _ := b.take(); ok {
		t.Fatal("there is something")
	}
	b.post(itemRequest(sip.BYE))
	if b.rest(t.Context(), time.Time{}) {
		t.Fatal("it rests with an item")
	}
	if _, ok, _ := b.take(); !ok {
		t.Fatal("the item is gone")
	}
	stopped, stop := context.WithCancel(t.Context())
	stop()
	if b.rest(stopped, time.Time{}) {
		t.Error("it rests while the server stops")
	}
	if !b.rest(t.Context(), time.Time{}) {
		t.Error("it does not rest without an item")
	}
}

// An alarm that goes off during a turn does not keep the next one from going off, also
// for the same moment.
func TestNoAlarmIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := 0
		b := rested(t, func(*inbox) { turns++ }, time.Now().Add(time.Second))
		begin := time.Now()
		if !b.takeTurn() { // something else has roused the call
			t.Fatal("no turn")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if turns != 0 {
			t.Fatal("two turns at once")
		}
		if !b.rest(t.Context(), begin.Add(time.Second)) {
			t.Fatal("no rest")
		}
		synctest.Wait()
		if turns != 1 {
			t.Fatalf("%d turns; want one for the deadline that has come", turns)
		}
		b.rest(t.Context(), begin.Add(time.Hour))
		b.takeTurn()
		b.rest(t.Context(), begin.Add(time.Minute))
		time.Sleep(time.Minute)
		synctest.Wait()
		if turns != 2 {
			t.Errorf("%d turns; want one for the earlier deadline", turns)
		}
		b.close()
		b.rouse()
		if synctest.Wait(); turns != 2 {
			t.Error("a turn of a call that is over")
		}
	})
}

// However posts, alarms and rests meet: no two turns run at once, and nothing stays in
// the inbox of a call that rests.
func TestOneTurnAtATime(t *testing.T) {
	const posters, each = 8, 2000
	var (
		running atomic.Int32
		taken   int // of the turn: the race detector sees two at once
		all     sync.WaitGroup
	)
	all.Add(posters * each)
	turn := func(b *inbox) {
		for {
			if running.Add(1) != 1 {
				t.Error("two turns at once")
			}
			for {
				it, ok, _ := b.take()
				if !ok {
					break
				}
				if it.in != nil {
					taken++
					all.Done()
				}
			}
			running.Add(-1)
			if b.rest(t.Context(), time.Now().Add(10*time.Microsecond)) {
				return
			}
		}
	}
	b := rested(t, turn, time.Now())
	for range posters {
		go func() {
			for range each {
				for !b.post(item{line: &legOnWire{}, in: leg.FinalLost{}}) {
					runtime.Gosched() // it is full for the moment
				}
			}
		}()
	}
	all.Wait()
	b.close()
	for !b.isIdle() {
		runtime.Gosched()
	}
	if taken != posters*each {
		t.Errorf("%d items; want %d", taken, posters*each)
	}
}

// isIdle says whether no goroutine has the turn.
func (b *inbox) isIdle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.turn
}
