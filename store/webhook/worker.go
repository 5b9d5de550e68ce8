package webhook

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	"flowbridge/internal/rest"
	"flowbridge/store/record"
)

const (
	// idle is how often the outbox is read for postponed items.
	idle = 15 * time.Second
	// settle is how long a worker waits so that several changes come together.
	settle = 100 * time.Millisecond
	// storeTime bounds waiting for the store.
	storeTime = 10 * time.Second
	// firstWait and lastWait bound the time between tries of one item. firstPause and lastPause bound the time between
	// tries of a failing receiver.
	firstWait, lastWait   = 10 * time.Second, time.Hour
	firstPause, lastPause = time.Second, time.Minute
	// batch is how many items a worker takes per request that may be in progress.
	batch = 16
)

// newTransport returns a transport that limits the cost of an answer.
func newTransport() http.RoundTripper {
	return &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 8, IdleConnTimeout: 60 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second, MaxResponseHeaderBytes: 64 << 10, DisableCompression: true,
	}
}

// worker sends to one receiver.
type worker struct {
	*Sender

	hook   Hook
	client http.Client
	stop   context.CancelFunc
	ended  chan struct{}
	news   chan news

	// Owned by run.
	done  map[int64]bool // delivered items that the store still has
	fails int            // rounds in a row without a success

	mu    sync.Mutex
	stats Stats
}

func (s *Sender) start(h Hook) *worker {
	ctx, stop := context.WithCancel(context.Background())
	w := &worker{
		Sender: s, hook: h, stop: stop, ended: make(chan struct{}), done: map[int64]bool{}, stats: Stats{Name: h.Name},
		news: make(chan news, maxNews),
		client: http.Client{
			Transport: s.Transport, Timeout: h.Timeout,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	go func() {
		defer close(w.ended)
		var both sync.WaitGroup
		both.Go(func() { w.tellNews(ctx) })
		w.run(ctx)
		both.Wait()
	}()
	return w
}

func (w *worker) figures() Stats {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stats
}

// run delivers until ctx ends.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		changed := w.Outbox.OutboxChanged()
		more, asked, err := w.round(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			w.Log.Warn().Err(err).Str("webhook", w.hook.Name).Msg("webhook can't use the outbox")
			pause(ctx, idle, nil)
		case w.fails > 0 && asked:
			pause(ctx, backOff(firstPause, lastPause, 2, w.fails-1), nil)
		case !more:
			pause(ctx, idle, changed)
			pause(ctx, settle, nil)
		}
	}
}

// pause waits for a duration, or until changed is closed.
func pause(ctx context.Context, d time.Duration, changed <-chan struct{}) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed:
	case <-ctx.Done():
	}
}

// backOff returns a wait that grows with the tries, with a random part so that the waits differ.
func backOff(first, last time.Duration, factor, tries int) time.Duration {
	d := first
	for range tries {
		d *= time.Duration(factor)
		if d >= last {
			d = last
			break
		}
	}
	return d - time.Duration(rand.Int64N(int64(d)/4)) // at least 4ns
}

// round delivers the items that are due now, as many as fit into one round. more reports that there may be more items.
// asked reports that a request was sent.
func (w *worker) round(ctx context.Context) (more, asked bool, err error) {
	if err := w.settleDone(ctx); err != nil {
		return false, false, err
	}
	limit := w.hook.Concurrent * batch
	if w.fails > 0 {
		limit = 1
	}
	items, err := w.Outbox.Outbox(ctx, w.hook.Consumer(), limit)
	if err != nil || len(items) == 0 {
		return false, false, err
	}
	results := make([]result, len(items))
	places := make(chan struct{}, w.hook.Concurrent)
	var all sync.WaitGroup
	for i, item := range items {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			results[i] = w.deliver(ctx, item)
		})
	}
	all.Wait()
	if ctx.Err() != nil { // a request that was cut off did not fail
		for i, r := range results {
			if r.sent {
				w.done[items[i].Seq] = true
			}
		}
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTime)
		defer cancel()
		return false, true, w.settleDone(last)
	}
	asked = slices.ContainsFunc(results, func(r result) bool { return r.asked })
	return len(items) == limit, asked, w.note(ctx, items, results)
}

// result is the outcome of one item.
type result struct {
	sent   bool // delivered, or the receiver does not want this item
	asked  bool // a request was sent
	gone   bool // the receiver does not want it: never retry
	reason string
	wait   time.Duration // wait that the receiver asked for
	err    error         // error of the store
}

// note writes the results to the store, and logs when a receiver starts or stops failing. Deliveries are noted even if
// the store fails. It returns the store's first error.
func (w *worker) note(ctx context.Context, items []record.OutboxItem, results []result) (broken error) {
	good, bad, last := 0, 0, result{}
	for i, r := range results {
		item := items[i]
		switch {
		case r.err != nil:
			broken = cmp.Or(broken, r.err)
			continue
		case r.sent:
			w.done[item.Seq] = true
			if r.asked {
				good++
			}
			continue
		case r.gone || time.Since(item.CreatedAt.Time) >= w.hook.GiveUp:
			w.Log.Error().Str("webhook", w.hook.Name).Str("call", item.CallID).Str("event", eventOf(item.Kind)).
				Int("tries", item.Tries+1).
				Str("reason", r.reason).Msg("webhook given up")
			w.count(func(s *Stats) { s.GivenUp++ })
			w.done[item.Seq] = true
		case broken == nil: // otherwise the item comes again unchanged
			wait := max(r.wait, backOff(firstWait, lastWait, 3, item.Tries))
			bounded, cancel := context.WithTimeout(ctx, storeTime)
			broken = w.Outbox.Postpone(bounded, []int64{item.Seq}, time.Now().Add(wait), r.reason)
			cancel()
		}
		bad, last = bad+1, r
	}
	w.judge(good, bad, last)
	return cmp.Or(broken, w.settleDone(ctx))
}

// judge decides whether a receiver is failing.
func (w *worker) judge(good, bad int, last result) {
	switch {
	case good > 0 && w.fails > 0:
		w.Log.Info().Str("webhook", w.hook.Name).Msg("webhook delivering again")
		w.fails = 0
	case good == 0 && bad > 0:
		if w.fails++; w.fails == 1 {
			w.Log.Warn().Str("webhook", w.hook.Name).Str("reason", last.reason).Msg("webhook failing: its items wait")
		}
	}
	w.count(func(s *Stats) {
		s.Delivered += int64(good)
		s.Failed += int64(bad)
		if bad > 0 {
			s.Reason = last.reason
		}
		switch {
		case w.fails == 0:
			s.Failing = time.Time{}
		case s.Failing.IsZero():
			s.Failing = time.Now()
		}
	})
}

func (w *worker) count(add func(s *Stats)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	add(&w.stats)
}

// settleDone tells the store which items are delivered. It remembers the items that it could not report, so that they
// are not sent again.
func (w *worker) settleDone(ctx context.Context) error {
	if len(w.done) == 0 {
		return nil
	}
	bounded, cancel := context.WithTimeout(ctx, storeTime)
	defer cancel()
	if err := w.Outbox.Delivered(bounded, slices.Sorted(maps.Keys(w.done))); err != nil {
		return err
	}
	clear(w.done)
	return nil
}

func (w *worker) deliver(ctx context.Context, item record.OutboxItem) result {
	record, found, err := w.Outbox.Get(ctx, item.CallID)
	if err != nil {
		return result{err: err}
	}
	if !found { // the record is older than store.keep
		return result{sent: true}
	}
	event, id := eventOf(item.Kind), idOf(&item)
	req, err := w.hook.request(ctx, event, id, w.UserAgent,
		Message{Event: event, ID: id, CreatedAt: item.CreatedAt, Record: record}, time.Now())
	if err != nil {
		return result{reason: "the request can't be made"}
	}
	r := w.send(req)
	w.Log.Debug().Str("webhook", w.hook.Name).Str("call", item.CallID).Str("event", event).Bool("sent", r.sent).
		Str("reason", r.reason).Msg("webhook request")
	return r
}

// idOf returns the id of an item's message. It does not contain the item's number, which changes when a damaged
// database is set aside. A call has one item of each kind, but two reports if the first was not confirmed.
func idOf(item *record.OutboxItem) string {
	id := item.CallID + "." + item.Kind
	if item.Kind == record.OutboxReport {
		id += "." + item.CreatedAt.Format("20060102T150405.000")
	}
	return id
}

// send sends a request and evaluates the answer.
func (w *worker) send(req *http.Request) result {
	res, err := w.client.Do(req)
	if err != nil {
		return result{asked: true, reason: reasonOf(err, req.URL.Host, w.hook.Timeout)}
	}
	rest.WithoutUpgrade(res)
	// If the body is short, reading it keeps the connection for the next request. A longer body closes the connection.
	_, _ = io.CopyN(io.Discard, res.Body, 4<<10)
	_ = res.Body.Close()
	switch {
	case res.StatusCode/100 == 2:
		return result{asked: true, sent: true}
	case res.StatusCode == http.StatusGone:
		return result{asked: true, gone: true, reason: "410 Gone"}
	case res.StatusCode/100 == 3:
		return result{
			asked:  true,
			reason: fmt.Sprintf("%d: it redirects, and redirects are not followed: write the new address", res.StatusCode),
		}
	}
	wait, _ := rest.RetryAfter(res.Header.Get("Retry-After"))
	return result{
		asked: true, wait: min(wait, lastWait),
		reason: fmt.Sprintf("%d %s", res.StatusCode, http.StatusText(res.StatusCode)),
	}
}

// reasonOf says why there was no answer. It leaves out the URL, which may contain a secret.
func reasonOf(err error, host string, timeout time.Duration) string {
	var late interface{ Timeout() bool }
	if errors.As(err, &late) && late.Timeout() {
		return fmt.Sprintf("no answer within %v", timeout)
	}
	return rest.Reason(err, host)
}
