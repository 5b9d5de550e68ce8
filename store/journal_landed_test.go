package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// noteLater notes a call while another call's write is in progress.
func noteLater(j *journal, id string) (noted <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := sample(id)
		j.note(callState, &r, nil, time.Now())
	}()
	return done
}

func isOver(done <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// An entry that waits behind another call's write is in the file before its call continues, because the call then
// answers a peer.
func TestNoteIsOnFileBeforeItsCallGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	synctest.Test(t, func(t *testing.T) {
		j := openJournal(path, nil)
		j.writing = true
		first, second := noteLater(j, "1"), noteLater(j, "2")
		if isOver(first) || isOver(second) {
			t.Fatal("the calls go on while the entries are in memory")
		}
		j.mu.Lock()
		j.writing = false // the other call's write has ended
		j.write()
		j.mu.Unlock()
		if !isOver(first) || !isOver(second) {
			t.Fatal("the calls wait for ever")
		}
		files, err := readJournal(path)
		if states := files.lastStates(); err != nil || len(states) != 2 {
			t.Errorf("%d states, %v", len(states), err)
		}
		must(t, j.close())
	})
}

// A write that hangs delays one other call for a moment, and no further calls.
func TestHangingWriteHoldsUpOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := openJournal(filepath.Join(t.TempDir(), "f.db"), nil)
		j.writing = true
		r := sample("1")
		for i, want := range []time.Duration{journalPatience, 0, 0} {
			began := time.Now()
			j.note(callState, &r, nil, began)
			if took := time.Since(began); took != want {
				t.Errorf("call %d waited %v; want %v", i, took, want)
			}
		}
		j.mu.Lock()
		j.writing = false
		j.write()
		j.writing = true // the next write is waited for again
		j.mu.Unlock()
		began := time.Now()
		j.note(callState, &r, nil, began)
		if took := time.Since(began); took != journalPatience {
			t.Errorf("behind the next write: %v; want %v", took, journalPatience)
		}
		j.mu.Lock()
		j.writing = false
		j.mu.Unlock()
		must(t, j.close())
	})
}

// A caller whose time limit ends together with the write does not affect the next write.
func TestLateIsOfItsWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJournal("", nil)
		j.writing = true
		enough, done := make(chan time.Time), make(chan struct{})
		go func() {
			defer close(done)
			j.mu.Lock()
			defer j.mu.Unlock()
			j.untilLanded(enough)
		}()
		synctest.Wait()
		j.mu.Lock()
		enough <- time.Now() // the caller waits for the lock while the writer finishes and starts again
		close(j.landed)
		j.landed = nil
		j.mu.Unlock()
		<-done
		if j.late {
			t.Error("the next write is late before anybody has waited for it")
		}
	})
}

// Flush waits only for entries that were noted before it, and only up to its time limit.
func TestFlushOnASlowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := openJournal(filepath.Join(t.TempDir(), "f.db"), nil)
		j.writing = true
		r := sample("1")
		j.note(callState, &r, nil, time.Now())
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if err := j.wait(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 2*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		done := make(chan error, 1)
		go func() { done <- j.wait(t.Context()) }()
		synctest.Wait()
		j.mu.Lock()
		j.writing = false
		j.write()
		j.writing = true // other calls continue
		j.mu.Unlock()
		must(t, <-done)
		j.mu.Lock()
		j.writing = false
		j.mu.Unlock()
		must(t, j.close())
	})
}
