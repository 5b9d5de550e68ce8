package media

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// Closing a session waits until the worker's turn is over, and the worker gets no turn afterwards.
func TestLastTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r relay
		if !r.enter() {
			t.Fatal("the worker has no turn at an open session")
		}
		over := false
		go func() {
			r.end()
			over = true
		}()
		time.Sleep(time.Second)
		synctest.Wait()
		if over {
			t.Error("the session was closed during the worker's turn")
		}
		r.leave()
		time.Sleep(time.Second)
		synctest.Wait()
		if !over {
			t.Error("the session is not closed after the worker's turn")
		}
		if r.enter() {
			t.Error("the worker has a turn at a closed session")
		}
	})
}

// A waiting worker is woken once, and only for commands that can't wait for the next packet.
func TestWorkerIsWokenOnce(t *testing.T) {
	b := newBench(t, 1)
	w, r := b.w, b.relays[0]
	w.asleep.Store(true)
	for range 3 {
		must(t, w.post(command{op: opStart, relay: r}, false))
	}
	if !w.asleep.Load() {
		t.Error("the worker was woken for what can wait")
	}
	for range 3 {
		must(t, w.post(command{op: opStart, relay: r}, true))
	}
	var writes [8]byte
	if _, err := unix.Read(w.wakefd, writes[:]); err != nil || binary.NativeEndian.Uint64(writes[:]) != 1 {
		t.Errorf("woken %d times, %v; want once", binary.NativeEndian.Uint64(writes[:]), err)
	}
	// A command that was sent before the worker sleeps keeps it from sleeping, and is carried out
	// before a later packet.
	b.offer(b.from)
	b.carry()
	b.collect()
	if !r.hearing.started || len(w.commands) != 0 || w.pending.Load() {
		t.Errorf("started %v, %d commands wait", r.hearing.started, len(w.commands))
	}
}

// If there are more commands than there is room for, the worker is woken, so that the sender does
// not have to wait.
func TestManyCommandsWakeTheWorker(t *testing.T) {
	e := openEngine(t, nil)
	s := newSession(t, e, SessionConfig{})
	for range 5 * cap(s.worker.commands) {
		s.Confirm(SideA)
	}
	must(t, s.worker.do(command{op: opSync}))
}
