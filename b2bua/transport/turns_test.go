package transport

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fakeMessage is a message with the time that it waited in the socket and the turn that it starts.
type fakeMessage struct {
	waited time.Duration
	turn   func()
}

// fakeSocket reads messages like a udpEndpoint.
type fakeSocket struct {
	t      *testing.T
	turns  *Turns
	reader *reader
	in     chan fakeMessage
	inside atomic.Int32 // number of goroutines that read at the moment
	waited time.Duration
	ended  chan struct{}
}

func newFakeSocket(t *testing.T, turns *Turns) *fakeSocket {
	d := &fakeSocket{t: t, turns: turns, in: make(chan fakeMessage, 64), ended: make(chan struct{})}
	d.reader = turns.newReader(d.serve)
	turns.Go(d.serve)
	return d
}

func (d *fakeSocket) serve() {
	for d.next() {
		if !d.reader.run(d.waited) {
			return
		}
	}
	close(d.ended)
}

func (d *fakeSocket) next() bool {
	if d.inside.Add(1) != 1 {
		d.t.Error("two goroutines read")
	}
	defer d.inside.Add(-1)
	m, ok := <-d.in
	if d.waited = m.waited; ok {
		d.reader.startMessage()
		d.turns.Begin(m.turn)
	}
	return ok
}

// post adds messages that start these turns.
func (d *fakeSocket) post(turns ...func()) {
	for _, turn := range turns {
		d.in <- fakeMessage{turn: turn}
	}
}

func (d *fakeSocket) close() {
	close(d.in)
	<-d.ended
}

// idlers returns the number of goroutines that wait for work.
func (t *Turns) idlers() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.idle)
}

// onFakeSocket runs a test in a bubble. When the test ends, no goroutine may be left.
func onFakeSocket(t *testing.T, test func(t *testing.T, d *fakeSocket)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := newFakeSocket(t, &Turns{})
		defer d.turns.Close()
		defer d.close()
		test(t, d)
	})
}

// The goroutine that reads a message also runs the turn that the message starts, and then continues to read. No other
// goroutine is woken.
func TestReaderRunsTurns(t *testing.T) {
	onFakeSocket(t, func(t *testing.T, d *fakeSocket) {
		var order []int // no lock needed, because only one goroutine writes it
		for i := range 100 {
			d.post(func() { time.Sleep(longTurn - 1); order = append(order, i) })
		}
		time.Sleep(100 * longTurn)
		synctest.Wait()
		if len(order) != 100 || !slices.IsSorted(order) {
			t.Errorf("the turns ran in the order %v", order)
		}
		if n := d.turns.idlers(); n != 0 {
			t.Errorf("%d other goroutines were there", n)
		}
	})
}

// If a turn does not end, another goroutine takes over reading within 2*longTurn, each time, so that other messages are
// handled. Each turn runs once, and the goroutines of long turns are reused.
func TestLongTurn(t *testing.T) {
	onFakeSocket(t, func(t *testing.T, d *fakeSocket) {
		held := make(chan struct{})
		release := sync.OnceFunc(func() { close(held) })
		defer release()
		var began, ended, after atomic.Int32
		for range 3 {
			d.post(func() { began.Add(1); <-held; ended.Add(1) })
		}
		d.post(func() { after.Add(1) })
		for i := range int32(3) {
			synctest.Wait()
			if began.Load() != i+1 || after.Load() != 0 {
				t.Fatalf("%d turns have begun; want %d", began.Load(), i+1)
			}
			time.Sleep(2 * longTurn)
		}
		if synctest.Wait(); after.Load() != 1 {
			t.Fatal("three long turns stop the reading")
		}
		release()
		synctest.Wait()
		if ended.Load() != 3 {
			t.Errorf("%d of the long turns have ended", ended.Load())
		}
		if n := d.turns.idlers(); n != 3 {
			t.Errorf("%d goroutines wait; want those of the long turns", n)
		}
		d.post(func() { after.Add(1) })
		if synctest.Wait(); after.Load() != 2 {
			t.Error("nobody reads")
		}
	})
}

// A long turn is detected even after a pause without messages.
func TestLongTurnAfterPause(t *testing.T) {
	for pause := time.Duration(0); pause < 3*longTurn; pause += longTurn / 4 {
		onFakeSocket(t, func(t *testing.T, d *fakeSocket) {
			release := make(chan struct{})
			defer close(release)
			d.post(func() {})
			time.Sleep(pause)
			after := false
			d.post(func() { <-release }, func() { after = true })
			time.Sleep(2 * longTurn)
			if synctest.Wait(); !after {
				t.Errorf("after a pause of %v a long turn stops the reading", pause)
			}
		})
	}
}

// While no messages come, no check for long turns runs.
func TestLookoutEnds(t *testing.T) {
	onFakeSocket(t, func(t *testing.T, d *fakeSocket) {
		d.post(func() {})
		time.Sleep(2 * longTurn)
		synctest.Wait()
		d.turns.mu.Lock()
		defer d.turns.mu.Unlock()
		if d.turns.checkSet {
			t.Error("the lookout goes on")
		}
	})
}

// If further messages wait in the socket, another goroutine takes over reading before the turn runs.
func TestReaderBehind(t *testing.T) {
	onFakeSocket(t, func(t *testing.T, d *fakeSocket) {
		release := make(chan struct{})
		var began atomic.Int32
		for range 5 {
			d.in <- fakeMessage{waited: behind, turn: func() { began.Add(1); <-release }}
		}
		if synctest.Wait(); began.Load() != 5 {
			t.Errorf("%d turns run at once; want 5", began.Load())
		}
		close(release)
		synctest.Wait()
		if n := d.turns.idlers(); n != 5 {
			t.Errorf("%d goroutines wait; want 5", n)
		}
	})
}

// A reader runs at most one turn per message. Turns that other goroutines start are not queued for the reader, and a
// turn that it can't run is passed on.
func TestTurnsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var (
			turns Turns
			ran   atomic.Int32
		)
		turn := func() { ran.Add(1) }
		r := turns.newReader(func() {})
		turns.Begin(turn)
		if synctest.Wait(); ran.Load() != 1 {
			t.Error("a turn waits although no reader handles a message")
		}
		r.startMessage()
		turns.Begin(turn)
		turns.Begin(turn)
		if synctest.Wait(); ran.Load() != 2 {
			t.Errorf("%d turns have run; want all but one", ran.Load())
		}
		if !r.run(0) || ran.Load() != 3 {
			t.Error("the reader has not run its turn")
		}
		r.startMessage()
		turns.Begin(turn)
		time.Sleep(2 * longTurn)
		if synctest.Wait(); ran.Load() != 4 {
			t.Error("a turn waits for a reader that does not come")
		}
		if !r.run(0) || ran.Load() != 4 {
			t.Error("the reader has run it again")
		}
		turns.Close()
	})
}

// However long turns take, only one goroutine reads at a time, and each turn runs once.
func TestReadersRelieved(t *testing.T) {
	const sockets, each = 3, 400
	var (
		turns Turns
		all   sync.WaitGroup
		ran   atomic.Int32
	)
	for range sockets {
		d := newFakeSocket(t, &turns)
		all.Go(func() {
			for i := range each {
				m := fakeMessage{turn: func() { ran.Add(1) }}
				switch i % 40 {
				case 0:
					m.waited = behind
				case 1: // as long as the interval of checkReaders
					m.turn = func() { time.Sleep(2 * longTurn); ran.Add(1) }
				}
				d.in <- m
			}
			d.close()
		})
	}
	all.Wait()
	turns.Close()
	if n := ran.Load(); n != sockets*each {
		t.Errorf("%d turns have run; want %d", n, sockets*each)
	}
}
