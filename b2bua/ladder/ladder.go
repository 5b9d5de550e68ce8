package ladder

import (
	"strings"
	"time"
	"unicode"
)

// Ladder holds the messages and decisions of a call, in the form of the API.
type Ladder struct {
	ID       string    `json:"id"`
	TraceID  string    `json:"trace_id"` // empty if none
	Lanes    []Lane    `json:"lanes"`
	Messages []Message `json:"messages"` // in chronological order
	Dropped  int       `json:"dropped"`  // number of dropped messages
	Live     bool      `json:"live"`     // the call is not over
	Streams  *Streams  `json:"streams"`  // null if no media, or shorter than the first interval
	Talk     *Speech   `json:"talk"`     // null if not measured
}

// Message is one message or decision. From and To are lanes.
type Message struct {
	At             string  `json:"at"`
	MS             float64 `json:"ms"`   // time since the first message
	Kind           string  `json:"kind"` // sip, http, decision
	From           int     `json:"from"`
	To             int     `json:"to"`
	Local          string  `json:"local,omitempty"`
	Remote         string  `json:"remote,omitempty"`
	Transport      string  `json:"transport,omitempty"`
	Summary        string  `json:"summary"`
	SIPCallID      string  `json:"sip_call_id,omitempty"`
	Method         string  `json:"method,omitempty"`
	Status         int     `json:"status"`
	CSeq           string  `json:"cseq,omitempty"`
	Retransmission bool    `json:"retransmission"`
	Text           string  `json:"text,omitempty"` // with its secrets hidden
	Cut            int     `json:"cut"`            // bytes of the text that were cut off

	raw  []byte
	ends ends
	at   time.Time
}

// Streams holds the figures of the media over time.
type Streams struct {
	Interval int64   `json:"interval_ms"`
	Start    string  `json:"start"`
	Points   []Point `json:"points"`
}

// Point holds the figures since the previous point.
type Point struct {
	MS int64  `json:"ms"` // since the start
	A  Figure `json:"a"`  // the caller's side
	B  Figure `json:"b"`
}

// of returns the figures of a side.
func (p *Point) of(side int) *Figure {
	if side == 0 {
		return &p.A
	}
	return &p.B
}

// Figure is one side's packets.
type Figure struct {
	Rx     int     `json:"rx"`
	Tx     int     `json:"tx"`
	Lost   int     `json:"lost"` // packets lost
	Jitter float64 `json:"jitter_ms"`
}

// stamp returns a time as in JSON: UTC, with milliseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

// clean makes a peer's text valid UTF-8.
func clean(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

// oneLine returns a peer's text without anything that moves a cursor or turns the
// direction of text.
func oneLine(b []byte) string { return harmless(string(b), false) }

// harmless replaces characters that a terminal would act on. lines says whether line ends
// and tabs stay.
func harmless(s string, lines bool) string {
	return strings.Map(func(r rune) rune {
		switch {
		case lines && (r == '\n' || r == '\t'):
			return r
		case !unicode.IsPrint(r):
			return '\ufffd'
		}
		return r
	}, clean(s))
}
