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

// The writer counts as under way, with one step, while it works. Entries that wait for the next try do not
// count.
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
	s.journal.writing = true // for as long as another call's write hangs
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

// hangingLadder blocks its encoding until it is released.
type hangingLadder struct {
	said
	begun, hangs chan struct{}
}

func (l *hangingLadder) Encode(b []byte) []byte {
	close(l.begun)
	<-l.hangs
	return append(b, "x"...)
}

// writingLadders returns ladders whose writer is in the middle of its work until goOn is called.
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

// The ladders' writer counts as under way while it works.
func TestLaddersUnderway(t *testing.T) {
	l, goOn := writingLadders(t)
	first, second := underway(l.Underway), underway(l.Underway)
	goOn()
	if len(first) != 1 || first[0].what != "writer" || len(second) != 1 || first[0] != second[0] {
		t.Errorf("under way %v, then %v; want the writer at one step", first, second)
	}
}

// TestWritersLeaveAProcessor checks that with one processor, a second one is used only while a writer
// works.
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
