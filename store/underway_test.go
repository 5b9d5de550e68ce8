package store

import (
	"context"
	"database/sql"
	"path/filepath"
	"runtime"
	"testing"
)

type step struct {
	what string
	at   uint64
}

func underway(look func(func(string, uint64))) (all []step) {
	look(func(what string, at uint64) { all = append(all, step{what, at}) })
	return all
}

// The writer is under way while it works, and at one step. What waits for the next try is not under way.
func TestUnderway(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	hangs, begun, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		done <- s.do(t.Context(), "test", func(context.Context, *sql.Conn) error {
			close(begun)
			<-hangs
			return nil
		})
	}()
	<-begun
	first, second := underway(s.Underway), underway(s.Underway)
	if len(first) != 1 || first[0].what != "writer" || len(second) != 1 || first[0] != second[0] {
		t.Errorf("under way %v, then %v; want the writer at one step", first, second)
	}
	close(hangs)
	must(t, <-done)
	mustPut(t, s, sample("1"))
	s.Journal(sample("2"), nil)
	s.journal.mu.Lock()
	s.journal.writing = true // as long as another call's write hangs
	s.journal.mu.Unlock()
	s.Journal(sample("3"), nil)
	first = underway(s.Underway)
	s.Journal(sample("4"), nil)
	if second = underway(s.Underway); len(first) != 1 || first[0].what != "journal" || len(second) != 1 || first[0] != second[0] {
		t.Errorf("under way %v, then %v; want the journal at one step", first, second)
	}
	s.journal.mu.Lock()
	s.journal.writing = false
	s.journal.mu.Unlock()
	s.Journal(sample("5"), nil)
	if all := underway(s.Underway); len(all) != 0 {
		t.Errorf("under way %v; want nothing", all)
	}
}

// hangingLadder is encoded only when it may be.
type hangingLadder struct {
	said
	begun, hangs chan struct{}
}

func (l *hangingLadder) Encode(b []byte) []byte {
	close(l.begun)
	<-l.hangs
	return append(b, "x"...)
}

// writingLadders is a writer of ladders in the middle of its work, which goes on at goOn.
func writingLadders(t *testing.T) (l *Ladders, goOn func()) {
	t.Helper()
	l, _, err := OpenLadders(t.Context(), LadderOptions{Path: filepath.Join(t.TempDir(), "f.db"), Keep: 1, MaxSize: 1 << 30})
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	d := &hangingLadder{begun: make(chan struct{}), hangs: make(chan struct{})}
	l.Put(d)
	<-d.begun
	return l, func() { close(d.hangs) }
}

// So is the ladders' writer.
func TestLaddersUnderway(t *testing.T) {
	l, goOn := writingLadders(t)
	first, second := underway(l.Underway), underway(l.Underway)
	goOn()
	if len(first) != 1 || first[0].what != "writer" || len(second) != 1 || first[0] != second[0] {
		t.Errorf("under way %v, then %v; want the writer at one step", first, second)
	}
}

// TestWritersLeaveAProcessor: on one processor there is a second one while a writer works, and not longer.
func TestWritersLeaveAProcessor(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() {
		if n := runtime.GOMAXPROCS(before); n != 1 {
			t.Errorf("%d processors after the work", n)
		}
	})
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	must(t, s.do(t.Context(), "test", func(context.Context, *sql.Conn) error {
		if n := runtime.GOMAXPROCS(0); n != 2 {
			t.Errorf("%d processors while the writer works", n)
		}
		return nil
	}))
	_, goOn := writingLadders(t)
	if n := runtime.GOMAXPROCS(0); n < 2 {
		t.Errorf("%d processors while the ladders' writer works", n)
	}
	goOn()
}
