package admin

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

// The bounds of /api/events.
const (
	maxReaders = 32       // readers at a time
	maxPending = 16 << 10 // events waiting for one reader; with more, it is dropped
	frame      = time.Second / perSecond
	perSecond  = 4 // how often per second a reader gets changes
	heartbeat  = 15 * time.Second
	callsChunk = 256 // live calls in one event
)

// EventSources are the sources of events other than calls.
type EventSources struct {
	Node, Version string
	// Fleet says that records of other nodes can be read, too.
	Fleet bool
	// Figures are sent each second. If it is nil, they are not sent.
	Figures Figures
}

// Events sends changes to the readers of /api/events. Changed and Ended are cheap and never wait for a reader.
// Successive changes of a call become one event, which is encoded once for all readers. Without readers, Events keeps
// no data.
type Events struct {
	from EventSources

	mu      sync.Mutex
	readers map[*reader]struct{}
	calls   Calls             // live calls, with more data than records; set by the first reader
	changed map[string]change // by call, since the last frame
	order   []string          // the calls of changed, in the order of their first change
	stop    chan struct{}     // stops the frames; nil if there are no readers
	closed  bool
}

// change is a call's latest change.
type change struct {
	call  Call
	ended bool
}

// NewEvents returns Events without readers.
func NewEvents(from EventSources) *Events {
	return &Events{from: from, readers: map[*reader]struct{}{}, changed: map[string]change{}}
}

// Changed takes the record of a live call so far.
func (e *Events) Changed(r record.Record) {
	e.note(change{call: Call{Record: r, Phase: live.PhaseOf(&r), Recording: recordingOf(&r)}})
}

// Ended takes the record of a finished call.
func (e *Events) Ended(r record.Record) {
	e.note(change{call: Call{Record: r, Phase: phaseEnded}, ended: true})
}

func (e *Events) note(c change) {
	id := c.call.ID
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.readers) == 0 {
		return
	}
	before, known := e.changed[id]
	if before.ended && !c.ended {
		return
	}
	if !known {
		e.order = append(e.order, id)
	}
	e.changed[id] = c
}

// recordingOf returns the recording state of a live call, according to its record.
func recordingOf(r *record.Record) string {
	for _, rec := range r.Recordings {
		if rec.EndedAt.IsZero() && rec.Error == "" && rec.Format != record.FormatLive {
			return "on"
		}
	}
	return "off"
}

// Close removes all readers and refuses new ones.
func (e *Events) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	for r := range e.readers {
		e.remove(r)
	}
	return nil
}

// join adds a reader for a sender. It returns nil if there are too many readers and none gives way, or if Events is
// closed.
func (e *Events) join(calls Calls, wantsCalls bool, who sender) *reader {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || len(e.readers) >= maxReaders && !e.makeRoom(who) {
		return nil
	}
	r := &reader{
		who: who, calls: wantsCalls, wake: make(chan struct{}, 1), done: make(chan struct{}),
		at: map[string]int{},
	}
	e.readers[r] = struct{}{}
	if e.stop == nil {
		e.calls, e.stop = calls, make(chan struct{})
		go e.run(e.stop)
	}
	return r
}

// makeRoom removes a reader in favour of a sender, if one has to give way: a reader with fewer rights, or a reader of
// a sender that has at least two more readers. Among these it chooses the readers with the fewest rights, and among
// those one of the sender with the most readers. The caller holds e.mu.
func (e *Events) makeRoom(who sender) bool {
	of := map[sender]int{}
	for r := range e.readers {
		of[r.who]++
	}
	var last *reader
	for r := range e.readers {
		yields := r.who.rights < who.rights || r.who.rights == who.rights && of[r.who] >= of[who]+2
		if yields && (last == nil || r.who.rights < last.who.rights ||
			r.who.rights == last.who.rights && of[r.who] > of[last.who]) {
			last = r
		}
	}
	if last != nil {
		e.remove(last)
	}
	return last != nil
}

func (e *Events) leave(r *reader) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.remove(r)
}

// remove removes a reader. The caller holds e.mu.
func (e *Events) remove(r *reader) {
	if _, ok := e.readers[r]; !ok {
		return
	}
	delete(e.readers, r)
	close(r.done)
	if len(e.readers) == 0 {
		close(e.stop)
		e.stop = nil
		e.changed, e.order = map[string]change{}, nil
	}
}

// run sends the frames while there are readers.
func (e *Events) run(stop <-chan struct{}) {
	tick := time.NewTicker(frame)
	defer tick.Stop()
	var targets string
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-stop:
			return
		}
		e.offer(e.changes(), true)
		if e.from.Figures == nil || n%perSecond != 0 {
			continue
		}
		figures := e.figures()
		if now := string(figures[1].text); now == targets {
			figures = figures[:1]
		} else {
			targets = now
		}
		e.offer(figures, false)
	}
}

// offer passes events to the readers, and removes those that are too slow.
func (e *Events) offer(events []event, ofCalls bool) {
	if len(events) == 0 {
		return
	}
	e.mu.Lock()
	readers := slices.Collect(maps.Keys(e.readers))
	e.mu.Unlock()
	for _, r := range readers {
		if (r.calls || !ofCalls) && !r.offer(events) {
			e.leave(r)
		}
	}
}

// changes returns an event for each call that has changed since the last frame.
func (e *Events) changes() []event {
	e.mu.Lock()
	changed, order, calls := e.changed, e.order, e.calls
	if len(order) > 0 {
		e.changed, e.order = make(map[string]change, len(changed)), nil
	}
	e.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), frame)
	defer cancel()
	events := make([]event, 0, len(order))
	for _, id := range order {
		c := changed[id]
		if c.ended {
			events = append(events, encoded("ended", id, whole(c.call).Record))
			continue
		}
		if now, ok := calls.Find(ctx, id); ok { // the live call has more data than its record
			c.call = now
		}
		events = append(events, encoded("call", id, whole(c.call)))
	}
	return events
}

// figures returns the events stats and targets, in this order, if there is a source.
func (e *Events) figures() []event {
	from := e.from.Figures
	if from == nil {
		return nil
	}
	return []event{encoded("stats", "stats", from.Stats()), encoded("targets", "targets", from.Targets())}
}

// event is an encoded server-sent event. A newer one with the same key replaces it.
type event struct {
	key  string
	text []byte
}

// encoded returns an event with a value as JSON.
func encoded(name, key string, v any) event {
	body, err := json.Marshal(v)
	if err != nil {
		body = []byte("null") // can't happen: all values are plain data
	}
	return event{key, []byte("event: " + name + "\ndata: " + string(body) + "\n\n")}
}

// reader is a client that reads /api/events.
type reader struct {
	who   sender
	calls bool
	wake  chan struct{} // signals that events are pending
	done  chan struct{} // closed when the reader is removed

	mu      sync.Mutex
	pending []event
	at      map[string]int // index in pending of the event with a key
	lagged  bool
}

// offer queues events. It returns false if too many are waiting.
func (r *reader) offer(events []event) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ev := range events {
		if i, ok := r.at[ev.key]; ok {
			r.pending[i] = ev
			continue
		}
		if len(r.pending) >= maxPending {
			r.pending, r.at, r.lagged = nil, nil, true
			return false
		}
		r.at[ev.key] = len(r.pending)
		r.pending = append(r.pending, ev)
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return true
}

// take returns the pending events.
func (r *reader) take() (events []event, lagged bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	events, r.pending, r.at = r.pending, nil, map[string]int{}
	return events, r.lagged
}
