package webhook

import (
	"context"
	"strconv"
	"sync"
	"time"

	"flowbridge/store/record"
)

// Messages about the progress of a placed call, the end of an ordered transfer, and the head of the receipts. Unlike
// the outbox's items, such a message is sent once, and is lost if the receiver does not take it. The call's later
// record, or the next head, has the same information.

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

// EventHead says which receipt of what callers were told is the newest one.
const EventHead = "told.head"

// HeadMessage is the body of a request with EventHead. Who keeps it can tell later whether receipts are missing.
type HeadMessage struct {
	Event     string      `json:"event"`
	ID        string      `json:"id"`
	CreatedAt record.Time `json:"created_at"`
	Node      string      `json:"node"`
	// Receipts is how many the node's chain has had.
	Receipts int64 `json:"receipts"`
	// SHA256 is the hash of the newest one.
	SHA256 string `json:"sha256"`
	// At is when it was the newest one.
	At record.Time `json:"at"`
}

// TellHead queues the head of a node's receipts for all receivers. It does not block.
func (s *Sender) TellHead(node string, receipts int64, sha256 string) {
	now := record.TimeOf(time.Now())
	m := HeadMessage{
		Event: EventHead, ID: node + "." + EventHead + "." + sha256, CreatedAt: now, Node: node,
		Receipts: receipts, SHA256: sha256, At: now,
	}
	s.tell(news{event: m.Event, id: m.ID, body: &m})
}

// news is a message that is sent once. call and state are for the log.
type news struct {
	event, id, call string
	state           Progress
	body            any
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
	m := ProgressMessage{
		Message: Message{
			Event: EventProgress, ID: r.ID + "." + string(state) + which, CreatedAt: record.TimeOf(time.Now()), Record: r,
		},
		State: state, Transfer: t,
	}
	s.tell(news{event: m.Event, id: m.ID, call: r.ID, state: state, body: &m})
}

func (s *Sender) tell(m news) {
	s.mu.Lock()
	defer s.mu.Unlock()
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
			w.tellOne(ctx, m)
		case <-ctx.Done():
			return
		}
	}
}

func (w *worker) tellOne(ctx context.Context, m news) {
	req, err := w.hook.request(ctx, m.event, m.id, w.UserAgent, m.body, time.Now())
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
	w.Log.Debug().Str("webhook", w.hook.Name).Str("call", m.call).Str("event", m.event).Str("state", string(m.state)).
		Bool("sent", r.sent).Str("reason", r.reason).Msg("webhook request")
}
