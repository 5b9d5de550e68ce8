package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/store"
	"flowbridge/store/record"
)

// A restart or a change of the configuration loses nothing.
func TestChangedReceivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, hook())
		defer s.close()
		var answers atomic.Bool
		s.answers(func(_ int, d delivery) (*http.Response, error) {
			if !answers.Load() {
				<-d.cut
				return nil, context.Canceled
			}
			return status(200), nil
		})
		s.put(call("1"))
		time.Sleep(time.Second)
		before := s.sender.workers[0]
		s.sender.Set([]Hook{hook()})
		if s.sender.workers[0] != before {
			t.Error("an unchanged receiver began anew")
		}
		time.Sleep(time.Second)
		answers.Store(true)
		s.sender.Set([]Hook{hook(func(h *Hook) { h.Secret = "new" })})
		time.Sleep(time.Minute)
		if n := len(s.deliveries()); n < 2 || s.left() != 0 || s.deliveries()[n-1].header.Get(HeaderSignature) != Sign("new", s.deliveries()[n-1].header.Get(HeaderTimestamp), s.deliveries()[n-1].body) {
			t.Errorf("got %v, left %d", s.events(), s.left())
		}
	})
}

// deaf is an outbox whose items can't be marked as delivered.
type deaf struct {
	*store.Store

	mu   sync.Mutex
	deaf bool
}

func (d *deaf) Delivered(ctx context.Context, seqs []int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.deaf {
		return errors.New("disk is full")
	}
	return d.Store.Delivered(ctx, seqs)
}

// While the database can't be written, delivered items are not delivered again.
func TestBrokenDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		box := &deaf{Store: s.store, deaf: true}
		s.sender.Outbox = box
		s.set(hook())
		s.put(call("1"))
		time.Sleep(10 * time.Minute)
		box.mu.Lock()
		box.deaf = false
		box.mu.Unlock()
		time.Sleep(time.Minute)
		if len(s.deliveries()) != 1 || s.left() != 0 {
			t.Errorf("got %v, left %d", s.events(), s.left())
		}
	})
}

// forgetful is a store that can't read the record of one call for some time.
type forgetful struct {
	*store.Store

	broken atomic.Bool
}

func (f *forgetful) Get(ctx context.Context, id string) (record.Record, bool, error) {
	if id == "1" && f.broken.Load() {
		return record.Record{}, false, errors.New("disk I/O error")
	}
	return f.Store.Get(ctx, id)
}

// A record that can't be read does not cause other records to be sent again.
func TestRecordThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		outbox := &forgetful{Store: s.store}
		outbox.broken.Store(true)
		s.sender.Outbox = outbox
		s.set(hook())
		s.put(call("1"), call("2"))
		time.Sleep(time.Minute)
		outbox.broken.Store(false)
		time.Sleep(time.Minute)
		if got := s.events(); fmt.Sprint(got) != "[2 call.ended 1 call.ended]" || s.left() != 0 {
			t.Errorf("%v were sent, %d are left", got, s.left())
		}
	})
}

// A closed sender has no receivers, whatever is configured later.
func TestClosed(t *testing.T) {
	s := New(Options{})
	_ = s.Close()
	if s.Set([]Hook{hook()}); len(s.Stats()) != 0 {
		t.Error("it goes on")
	}
}
