package store

import (
	"bytes"
	"runtime"
	"testing"
	"time"

	"flowbridge/store/record"
)

// heldTexts is a replica that keeps the newest text of each call.
type heldTexts map[string][]byte

func (h heldTexts) Keep(id string, text []byte, _ bool) { h[id] = text }
func (h heldTexts) Over(id string, text []byte)         { h[id] = text }

// A replica receives the states of calls and the records of finished ones, and all of them can be read back.
func TestReplica(t *testing.T) {
	_, s := openNew(t)
	held := heldTexts{}
	s.Replicate(held)
	began := time.Date(2026, 11, 24, 23, 0, 0, 0, time.UTC)
	r := record.Record{ID: "call", Trunk: "carrier", StartedAt: record.TimeOf(began)}
	s.Journal(r, nil)
	if len(held) != 0 {
		t.Errorf("given %d calls without a state", len(held))
	}
	s.Journal(r, []byte("in set-up"))
	r.AnsweredAt = record.TimeOf(began.Add(time.Second))
	s.Journal(r, nil)
	s.Journal(r, []byte("answered"))
	s.Journal(r, []byte("settled"))
	got, over, err := FromReplica("call", held["call"], began.Add(time.Hour))
	if err != nil || over {
		t.Fatal(over, err)
	}
	if string(got.State) != "settled" || got.Record.Trunk != "carrier" || !got.Record.AnsweredAt.Equal(r.AnsweredAt.Time) || got.Owed {
		t.Errorf("%+v", got)
	}
	if i := got.Interrupted; i.Disposition != record.DispositionInterrupted || time.Since(i.EndedAt.Time) > time.Hour {
		t.Errorf("interrupted: %+v", i)
	}
	if _, _, err := FromReplica("other", held["call"], began); err == nil {
		t.Error("it is another call's")
	}
	r.Cause = "caller_hangup"
	mustPut(t, s, r)
	if got, over, err := FromReplica("call", held["call"], began); err != nil || !over || got.Record.Cause != r.Cause || len(got.State) != 0 {
		t.Errorf("over: %+v, %v, %v", got, over, err)
	}
}

// Records that the disk does not accept are left to another machine, including those of calls that the replica
// does not know.
func TestLeaveUnwritten(t *testing.T) {
	path, s := openNew(t)
	held := heldTexts{}
	s.Replicate(onlyKept{held})
	mend := breakDisk(t, path)
	wrote := make(chan error, 2)
	for _, id := range []string{"one", "two"} {
		r := sample(id)
		s.Keep(t.Context(), &r, nil, func(err error) { wrote <- err })
	}
	for s.Err() == nil {
		runtime.Gosched()
	}
	s.LeaveUnwritten()
	for _, id := range []string{"one", "two"} {
		if got, over, err := FromReplica(id, held[id], time.Now()); err != nil || !over || got.Record.Cause != sample(id).Cause {
			t.Errorf("%s: %+v, %v, %v", id, got, over, err)
		}
	}
	mend()
	must(t, <-wrote)
	must(t, <-wrote)
	clear(held)
	s.LeaveUnwritten()
	if len(held) != 0 {
		t.Errorf("%d records are left that the disk has taken", len(held))
	}
}

// onlyKept is a replica without the states of calls.
type onlyKept struct{ heldTexts }

func (onlyKept) Over(string, []byte) {}

// A node that was not the last owner of its seat drops the calls in its journal, so its next process does not
// find them either.
func TestDisown(t *testing.T) {
	path, s := openNew(t)
	r := record.Record{ID: "call", StartedAt: record.TimeOf(time.Now()), AnsweredAt: record.TimeOf(time.Now())}
	s.Journal(r, []byte("state"))
	s.Owe("owes", []byte("BYE"))
	unknown := r
	unknown.ID = "unknown"
	s.Journal(unknown, []byte("that reached no other machine"))
	kill(t, s)
	s = openTest(t, path)
	if len(s.Left) != 3 {
		t.Fatalf("%d left", len(s.Left))
	}
	if calls := s.Disown([]string{"unknown"}); calls != 1 || len(s.Left) != 0 {
		t.Errorf("%d dropped, %d left", calls, len(s.Left))
	}
	must(t, s.Flush(t.Context()))
	if got, ok, err := s.Get(t.Context(), "unknown"); err != nil || !ok || got.Disposition != record.DispositionInterrupted {
		t.Errorf("the record of a call that no machine has: %v %v %+v", ok, err, got)
	}
	kill(t, s)
	s = openTest(t, path)
	if len(s.Left) != 0 || len(s.Interrupted) != 0 {
		t.Errorf("the next process has %d calls, and closed %d", len(s.Left), len(s.Interrupted))
	}
}

// FuzzReplica parses any text as the contents of a replica.
func FuzzReplica(f *testing.F) {
	held := heldTexts{}
	s := &Store{replica: held}
	at := record.TimeOf(time.Unix(1e9, 0))
	r := record.Record{ID: "call", AnsweredAt: at}
	s.replicate(callState, &r, record.AppendRecord(at.AppendTo(nil), &r), []byte("state"))
	f.Add(held["call"])
	f.Fuzz(func(t *testing.T, text []byte) {
		l, _, err := FromReplica("call", bytes.Clone(text), time.Unix(2e9, 0))
		if err == nil && l.Record.ID != "call" {
			t.Errorf("%+v", l)
		}
	})
}
