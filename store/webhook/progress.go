package webhook

import (
	"context"
	"strconv"
	"sync"
	"time"

	"flowbridge/store/record"
)

// Messages about the progress of a placed call and the end of an ordered transfer. Unlike the outbox's items, such a
// message is sent once, and is lost if the receiver does not take it. The call's later record has the same
// information.

// EventProgress says that a placed call has made progress, or that an ordered transfer is over.
const EventProgress = "call.progress"

// Progress is how far a call has come.
type Progress string

// The steps of a call that is placed.
const (
	ProgressDialing  Progress = "dialing"
	ProgressRinging  Progress = "ringing"  // the customer's phone rings
	ProgressAnswered Progress = "answered" // the customer has answered
	ProgressBridged  Progress = "bridged"  // the customer is connected to an agent

	progressTransfer = "transfer_" // followed by the state of a transfer, for any call
)

// ProgressMessage is the body of a request with EventProgress.
type ProgressMessage struct {
	Message
	State Progress `json:"state"`
	// Transfer is the transfer that has ended.
	Transfer *record.Transfer `json:"transfer,omitempty"`
}

// maxNews bounds the messages that wait for a slow receiver. Further messages are dropped.
const maxNews = 256

// Reporter tells receivers about the progress of placed calls. It watches the journal.
type Reporter struct {
	Sender *Sender

	mu   sync.Mutex
	said map[string]Progress // the last reported step of each live call
}

// Changed tells receivers about a live call that has made progress.
func (p *Reporter) Changed(r record.Record) {
	if !r.IsPlaced() {
		return
	}
	now := progressOf(&r)
	p.mu.Lock()
	defer p.mu.Unlock()
	before, known := p.said[r.ID]
	if before == now {
		return
	}
	if p.said == nil {
		p.said = map[string]Progress{}
	}
	p.said[r.ID] = now
	if known || now == ProgressDialing { // otherwise the old process has told them
		p.Sender.tellAs(now, nil, r, "")
	}
}

// Ended forgets a call that is over.
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

// TellTransfer tells receivers how a transfer has ended. A call may have several.
func (s *Sender) TellTransfer(t record.Transfer, r record.Record) {
	s.tellAs(progressTransfer+Progress(t.State), &t, r, "."+strconv.Itoa(len(r.Attempts)))
}

// tellAs queues a step of a call for all receivers. It does not block.
func (s *Sender) tellAs(state Progress, t *record.Transfer, r record.Record, which string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := ProgressMessage{
		Message: Message{
			Event: EventProgress, ID: r.ID + "." + string(state) + which, CreatedAt: record.TimeOf(time.Now()), Record: r,
		},
		State: state, Transfer: t,
	}
	for _, w := range s.workers {
		select {
		case w.news <- m:
		default:
			w.count(func(s *Stats) { s.GivenUp++ })
		}
	}
}

// tellNews sends these messages until ctx ends.
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
