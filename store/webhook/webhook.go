package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/store/record"
)

// The events.
const (
	// EventEnded says that a call is over.
	EventEnded = "call.ended"
	// EventRecorded says that the recordings of a finished call are complete.
	EventRecorded = "recording.finished"
	// EventReported says that the platform's report of a finished call has arrived.
	EventReported = "call.reported"
)

// eventOf returns the event of an item's kind.
func eventOf(kind string) string {
	switch kind {
	case record.OutboxRecording:
		return EventRecorded
	case record.OutboxReport:
		return EventReported
	}
	return EventEnded
}

// Hook is one receiver.
type Hook struct {
	Name   string // for the log; it also identifies the receiver's items in the outbox
	URL    string
	Secret string
	// Timeout is the time limit for one request with its answer.
	Timeout time.Duration
	// GiveUp is the age at which an item is given up.
	GiveUp time.Duration
	// Concurrent is how many requests may be under way at a time.
	Concurrent int
}

// Consumer returns the receiver's name as a consumer of the outbox.
func (h *Hook) Consumer() string { return consumerPrefix + h.Name }

// consumerPrefix starts the name of each consumer that is a webhook.
const consumerPrefix = "webhook:"

// The headers of a request, in addition to Content-Type and User-Agent.
const (
	HeaderEvent     = "Flowbridge-Event"
	HeaderDelivery  = "Flowbridge-Delivery"
	HeaderTimestamp = "Flowbridge-Timestamp"
	HeaderSignature = "Flowbridge-Signature"
)

// Message is the body of a request.
type Message struct {
	Event string `json:"event"`
	// ID is the same each time the message is sent.
	ID string `json:"id"`
	// CreatedAt is when the event happened.
	CreatedAt record.Time `json:"created_at"`
	// Record is the call's record as it is now.
	Record record.Record `json:"record"`
}

// Sign returns the value of HeaderSignature: "v1=" and the HMAC-SHA256, in hexadecimal, of the timestamp, a dot and the
// body.
func Sign(secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return "v1=" + hex.EncodeToString(mac.Sum(nil))
}

// request returns a signed request.
func (h *Hook) request(ctx context.Context, event, id, userAgent string, m any, now time.Time) (*http.Request, error) {
	body, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	at := strconv.FormatInt(now.Unix(), 10)
	for name, value := range map[string]string{
		"Content-Type": "application/json", "User-Agent": userAgent, HeaderEvent: event, HeaderDelivery: id,
		HeaderTimestamp: at,
		HeaderSignature: Sign(h.Secret, at, body),
	} {
		req.Header.Set(name, value)
	}
	return req, nil
}

// Options apply to all receivers.
type Options struct {
	Outbox    record.Outbox
	UserAgent string
	Log       zerolog.Logger
	Transport http.RoundTripper // if nil, a new one is used
}

// Sender sends to all receivers.
type Sender struct {
	Options

	mu      sync.Mutex
	workers []*worker
	closed  bool
}

// New returns a Sender without receivers.
func New(o Options) *Sender {
	if o.Transport == nil {
		o.Transport = newTransport()
	}
	return &Sender{Options: o}
}

// Set replaces the receivers. Requests to receivers that are changed or gone are cut off; their items are sent again.
// After Close it has no effect.
func (s *Sender) Set(hooks []Hook) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	var kept, gone []*worker
	for _, w := range s.workers {
		if slices.Contains(hooks, w.hook) {
			kept = append(kept, w)
		} else {
			w.stop()
			gone = append(gone, w)
		}
	}
	for _, w := range gone { // at the same time, because each may wait for the store
		<-w.ended
	}
	for _, h := range hooks {
		if !slices.ContainsFunc(kept, func(w *worker) bool { return w.hook == h }) {
			kept = append(kept, s.start(h))
		}
	}
	s.workers = kept
}

// Close ends all requests, and returns when all goroutines have ended.
func (s *Sender) Close() error {
	s.Set(nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// Stats are the figures of one receiver since the start of the process.
type Stats struct {
	Name      string
	Delivered int64
	Failed    int64 // requests
	GivenUp   int64 // items
	// Failing is the time since which no request has succeeded; zero if the last one did.
	Failing time.Time
	// Reason says why the last request failed.
	Reason string
}

// Stats returns the figures of all receivers. It does not count waiting items: see OutboxSize.
func (s *Sender) Stats() []Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Stats
	for _, w := range s.workers {
		all = append(all, w.figures())
	}
	return all
}
