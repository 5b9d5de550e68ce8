package webhook

import (
	"context"
	"sync"
	"time"

	"flowbridge/store/record"
)

// How far a call has come that a request has ordered. Unlike the outbox's items, such a message is sent once, and only
// while it is news: what a receiver misses is in the record that follows.

// EventProgress says that a call that a request has ordered has come further.
const EventProgress = "call.progress"

// Progress is how far a call has come.
type Progress string

// The steps of a call that is placed.
const (
	ProgressDialing  Progress = "dialing"
	ProgressRinging  Progress = "ringing"  // at the customer's
	ProgressAnswered Progress = "answered" // by the customer
	ProgressBridged  Progress = "bridged"  // to an agent
)

// ProgressMessage is the body of a request with EventProgress.
type ProgressMessage struct {
	Message
	State Progress `json:"state"`
}

// maxNews is how many such messages wait for a receiver that is slow. Further ones are lost.
const maxNews = 256

// Reporter sends how far placed calls have come. It is told of calls as a watcher of the journal is.
type Reporter struct {
	Sender *Sender

	mu   sync.Mutex
	said map[string]Progress // of live calls
}

// Changed has the record of a live call so far.
func (p *Reporter) Changed(r record.Record) {
	if !r.IsPlaced() {
		return
	}
	now := progressOf(&r)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.said[r.ID] == now {
		return
	}
	if p.said == nil {
		p.said = map[string]Progress{}
	}
	p.said[r.ID] = now
	p.Sender.tell(now, r)
}

// Ended has the record of a call that is over.
func (p *Reporter) Ended(r record.Record) {
	if r.IsPlaced() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.said, r.ID)
	}
}

func progressOf(r *record.Record) Progress {
	switch {
	case r.IsConnected():
		return ProgressBridged
	case !r.AnsweredAt.IsZero():
		return ProgressAnswered
	case !r.RingingAt.IsZero():
		return ProgressRinging
	}
	return ProgressDialing
}

// tell has all receivers told. It does not block.
func (s *Sender) tell(state Progress, r record.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := ProgressMessage{
		Message: Message{
			Event: EventProgress, ID: r.ID + "." + string(state), CreatedAt: record.TimeOf(time.Now()), Record: r,
		},
		State: state,
	}
	for _, w := range s.workers {
		select {
		case w.news <- m:
		default:
			w.count(func(s *Stats) { s.GivenUp++ })
		}
	}
}

// tellNews sends what the channel has until ctx ends.
func (w *worker) tellNews(ctx context.Context) {
	for {
		select {
		case m := <-w.news:
			w.tellOne(ctx, &m)
		case <-ctx.Done():
			return
		}
	}
}

func (w *worker) tellOne(ctx context.Context, m *ProgressMessage) {
	req, err := w.hook.request(ctx, m.Event, m.ID, w.UserAgent, m, time.Now())
	if err != nil {
		return
	}
	r := w.send(req)
	if ctx.Err() != nil {
		return
	}
	w.count(func(s *Stats) {
		if r.sent {
			s.Delivered++
		} else {
			s.Failed, s.Reason = s.Failed+1, r.reason
		}
	})
	w.Log.Debug().Str("webhook", w.hook.Name).Str("call", m.Record.ID).Str("event", m.Event).Str("state", string(m.State)).
		Bool("sent", r.sent).Str("reason", r.reason).Msg("webhook request")
}
