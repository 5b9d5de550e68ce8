package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/internal/testlog"
	"flowbridge/store"
	"flowbridge/store/record"
)

// receiver plays a receiver: it stores what is sent and answers as the test says.
type receiver struct {
	mu     sync.Mutex
	got    []delivery
	answer func(n int, d delivery) (*http.Response, error) // n counts from 0; nil means 204
	open   int                                             // number of requests in progress
	most   int
}

type delivery struct {
	Message

	header http.Header
	body   []byte
	at     time.Time
	cut    <-chan struct{} // closed when the sender gives up the request
}

// RoundTrip receives a request.
func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	d := delivery{header: req.Header, body: body, at: time.Now(), cut: req.Context().Done()}
	if err := json.Unmarshal(body, &d.Message); err != nil {
		return nil, err
	}
	r.mu.Lock()
	n, answer := len(r.got), r.answer
	r.got = append(r.got, d)
	r.open++
	r.most = max(r.most, r.open)
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.open--
	}()
	if answer == nil {
		return status(204), nil
	}
	return answer(n, d)
}

// answers sets how the receiver answers from now on.
func (r *receiver) answers(how func(n int, d delivery) (*http.Response, error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = how
}

// events returns the events sent so far, as "call event".
func (r *receiver) events() (all []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.got {
		all = append(all, d.Record.ID+" "+d.Event)
	}
	return all
}

// deliveries returns all requests so far.
func (r *receiver) deliveries() []delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func status(code int) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}
}

// stage is a store, a sender and a receiver.
type stage struct {
	*receiver

	t      *testing.T
	store  *store.Store
	sender *Sender
	log    testlog.Log
}

func hook(change ...func(*Hook)) Hook {
	h := Hook{Name: "crm", URL: "https://crm.test/calls?key=hidden", Secret: "s3cret", Timeout: 10 * time.Second, GiveUp: 24 * time.Hour, Concurrent: 2}
	for _, c := range change {
		c(&h)
	}
	return h
}

// newStage returns a stage. The caller must be in a synctest bubble.
func newStage(t *testing.T, hooks ...Hook) *stage {
	t.Helper()
	s := &stage{receiver: &receiver{}, t: t}
	var err error
	if s.store, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "f.db")); err != nil {
		t.Fatal(err)
	}
	s.sender = New(Options{Outbox: s.store, UserAgent: "flowbridge/test", Log: zerolog.New(&s.log), Transport: s.receiver})
	s.set(hooks...)
	return s
}

// set sets the receivers.
func (s *stage) set(hooks ...Hook) {
	s.t.Helper()
	var names []string
	for _, h := range hooks {
		names = append(names, h.Consumer())
	}
	if _, err := s.store.SetConsumers(context.Background(), names...); err != nil {
		s.t.Fatal(err)
	}
	s.sender.Set(hooks)
}

func (s *stage) close() {
	if err := errors.Join(s.sender.Close(), s.store.Close()); err != nil {
		s.t.Error(err)
	}
}

func (s *stage) put(records ...record.Record) {
	s.t.Helper()
	for _, r := range records {
		if err := s.store.Put(context.Background(), r); err != nil {
			s.t.Fatal(err)
		}
	}
}

// left returns the number of waiting items.
func (s *stage) left() (n int64) {
	s.t.Helper()
	sizes, err := s.store.OutboxSize(context.Background())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, k := range sizes {
		n += k
	}
	return n
}

func call(id string) record.Record {
	return record.Record{ID: id, Trunk: "carrier", Target: "agent", From: "+1<b>", EndedAt: record.TimeOf(time.Now())}
}

// A finished call is sent once, signed and with an id. Its recordings and its report follow.
func TestDeliveredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, hook())
		defer s.close()
		r := call("1")
		r.Recordings = []record.Recording{{File: "a.wav"}}
		s.put(r)
		time.Sleep(time.Second)
		if _, err := s.store.PutReport(t.Context(), "1", record.Report{CallID: "p", ReceivedAt: record.TimeOf(time.Now())}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if got := s.events(); !slices.Equal(got, []string{"1 call.ended", "1 recording.finished", "1 call.reported"}) {
			t.Fatalf("got %v", got)
		}
		seen := map[string]bool{}
		for _, d := range s.deliveries() {
			h := d.header
			if h.Get(HeaderSignature) != Sign("s3cret", h.Get(HeaderTimestamp), d.body) || h.Get(HeaderTimestamp) != fmt.Sprint(d.at.Unix()) {
				t.Errorf("signature %q of %q", h.Get(HeaderSignature), h.Get(HeaderTimestamp))
			}
			if h.Get(HeaderEvent) != d.Event || h.Get(HeaderDelivery) != d.ID || seen[d.ID] || d.ID == "" || h.Get("Content-Type") != "application/json" || h.Get("User-Agent") != "flowbridge/test" {
				t.Errorf("headers %v", h)
			}
			seen[d.ID] = true
		}
		if s.deliveries()[0].Record.From != "+1<b>" || s.deliveries()[2].Record.Report == nil || s.left() != 0 {
			t.Errorf("got %+v, left %d", s.deliveries()[2].Record, s.left())
		}
	})
}

// renumbered is a store that renumbers its items and forgets which were delivered, as if its database had been set
// aside.
type renumbered struct {
	*store.Store

	by atomic.Int64
}

func (r *renumbered) Outbox(ctx context.Context, consumer string, limit int) ([]record.OutboxItem, error) {
	items, err := r.Store.Outbox(ctx, consumer, limit)
	for i := range items {
		items[i].Seq += r.by.Add(1)
	}
	return items, err
}

func (r *renumbered) Delivered(context.Context, []int64) error { return nil }

// A message that is sent again keeps its id, even if its item's number has changed. Two reports of a call are two
// messages.
func TestIDStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		s.sender = New(Options{Outbox: &renumbered{Store: s.store}, Log: zerolog.New(&s.log), Transport: s.receiver})
		s.set(hook())
		s.put(call("1"))
		time.Sleep(time.Hour)
		ids := map[string]int{}
		for _, d := range s.deliveries() {
			ids[d.ID]++
		}
		if len(ids) != 1 || ids["1.call"] < 2 {
			t.Errorf("got %v", ids)
		}
	})
	first := record.OutboxItem{CallID: "1", Kind: record.OutboxReport, CreatedAt: record.TimeOf(time.Unix(1, 0))}
	second := first
	if second.CreatedAt = record.TimeOf(time.Unix(2, 0)); idOf(&first) == idOf(&second) {
		t.Error(idOf(&first))
	}
}

// If an event of a call can't be delivered, the later events of that call wait. Other calls' events do not.
func TestOrderOfOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, hook())
		defer s.close()
		s.answers(func(n int, d delivery) (*http.Response, error) {
			if d.Record.ID == "1" && d.Event == EventEnded && n < 4 {
				return status(500), nil
			}
			return status(200), nil
		})
		first, second := call("1"), call("2")
		first.Recordings, second.Recordings = []record.Recording{{File: "a.wav"}}, []record.Recording{{File: "b.wav"}}
		s.put(first, second)
		time.Sleep(time.Hour)
		var one, two []string
		for _, e := range s.events() {
			if strings.HasPrefix(e, "1") {
				one = append(one, e)
			} else {
				two = append(two, e)
			}
		}
		if len(one) < 3 || one[len(one)-1] != "1 recording.finished" || slices.Index(one, "1 recording.finished") != len(one)-1 {
			t.Errorf("got %v", one)
		}
		if !slices.Equal(two, []string{"2 call.ended", "2 recording.finished"}) || s.left() != 0 {
			t.Errorf("got %v, left %d", two, s.left())
		}
	})
}

// A receiver that fails for hours gets few requests, however much waits. It gets everything once it works again.
func TestReceiverThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, hook())
		defer s.close()
		var up atomic.Bool
		s.answers(func(int, delivery) (*http.Response, error) {
			if !up.Load() {
				return nil, errors.New("connection refused")
			}
			return status(200), nil
		})
		const calls = 200
		for i := range calls {
			s.put(call(fmt.Sprint(i)))
		}
		time.Sleep(3 * time.Hour)
		tried := len(s.events())
		if tried < 100 || tried > 600 { // one a minute, and two rounds at the start
			t.Errorf("%d requests in three hours", tried)
		}
		if st := s.sender.Stats(); len(st) != 1 || st[0].Failed != int64(tried) || st[0].Delivered != 0 || time.Since(st[0].Failing) < 2*time.Hour || st[0].Reason != "connection refused" {
			t.Errorf("got %+v", st)
		}
		up.Store(true)
		time.Sleep(2 * time.Hour)
		told := map[string]int{}
		for _, e := range s.events()[tried:] {
			told[e]++
		}
		if len(told) != calls || len(s.events()) != tried+calls || s.left() != 0 {
			t.Errorf("%d calls told by %d requests, left %d", len(told), len(s.events())-tried, s.left())
		}
		if n := strings.Count(s.log.String(), "webhook failing"); n != 1 || !strings.Contains(s.log.String(), "delivering again") || strings.Contains(s.log.String(), "hidden") {
			t.Errorf("log: %s", &s.log)
		}
	})
}

// An item that the receiver can't process does not delay others, and is finally given up.
func TestOneItemThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, hook(func(h *Hook) { h.GiveUp = time.Hour }))
		defer s.close()
		s.answers(func(_ int, d delivery) (*http.Response, error) {
			if d.Record.ID == "bad" {
				return status(500), nil
			}
			return status(200), nil
		})
		s.put(call("bad"))
		for i := range 6 {
			s.put(call(fmt.Sprint(i)))
			time.Sleep(6 * time.Minute)
			if got := s.events(); !slices.Contains(got, fmt.Sprint(i)+" call.ended") {
				t.Errorf("call %d waits: %v", i, got)
			}
		}
		if n := strings.Count(fmt.Sprint(s.events()), "bad"); n > 12 || n < 4 {
			t.Errorf("%d tries in 36 minutes", n)
		}
		time.Sleep(90 * time.Minute)
		if s.left() != 0 || strings.Count(s.log.String(), `"webhook given up"`) != 1 || s.sender.Stats()[0].GivenUp != 1 || s.sender.Stats()[0].Delivered != 6 {
			t.Errorf("left %d, %+v, log %s", s.left(), s.sender.Stats(), &s.log)
		}
	})
}

// A 410 Gone ends the attempts for an item at once.
func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, hook())
		defer s.close()
		s.answers(func(int, delivery) (*http.Response, error) { return status(410), nil })
		s.put(call("1"), call("2"))
		time.Sleep(time.Hour)
		if len(s.events()) != 2 || s.left() != 0 || strings.Count(s.log.String(), "410 Gone") < 2 {
			t.Errorf("%v, left %d, %s", s.events(), s.left(), &s.log)
		}
	})
}

// A receiver that sends Retry-After gets no request before that time.
func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, hook())
		defer s.close()
		s.answers(func(n int, _ delivery) (*http.Response, error) {
			res := status(429)
			res.Header.Set("Retry-After", "1800")
			if n > 0 {
				res = status(200)
			}
			return res, nil
		})
		s.put(call("1"))
		time.Sleep(time.Hour)
		if len(s.deliveries()) != 2 || s.deliveries()[1].at.Sub(s.deliveries()[0].at) < 30*time.Minute || s.deliveries()[0].ID != s.deliveries()[1].ID {
			t.Errorf("got %v", s.events())
		}
	})
}

// The number of concurrent requests stays within the limit, and a slow receiver delays no other receiver.
func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t)
		defer s.close()
		var quick atomic.Int64
		s.sender.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "quick.test" {
				quick.Add(1)
				return status(200), nil
			}
			select {
			case <-time.After(9 * time.Second):
				return s.RoundTrip(r)
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		})
		s.set(hook(), hook(func(h *Hook) { h.Name, h.URL = "quick", "https://quick.test/" }))
		for i := range 20 {
			s.put(call(fmt.Sprint(i)))
		}
		time.Sleep(3 * time.Second)
		if n := quick.Load(); n != 20 {
			t.Errorf("the quick receiver has %d", n)
		}
		time.Sleep(10 * time.Minute)
		if s.most > 2 || len(s.events()) != 20 {
			t.Errorf("%d at a time, %d in all", s.most, len(s.events()))
		}
	})
}

type roundTripper func(r *http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
