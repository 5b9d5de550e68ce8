package transport

import (
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"time"

	"flowbridge/b2bua/message"
)

// Tap sees every SIP message that passes the guard, before it is parsed or
// after it was written. It must not block, nor keep Data.
type Tap interface{ Message(TapMessage) }

// TapMessage is one SIP message on the wire.
type TapMessage struct {
	At            time.Time
	Received      bool // else sent
	Local, Remote netip.AddrPort
	Data          []byte // an asterisk for each character of an SRTP key
}

// traceMax bounds the steps that a Trace keeps.
const traceMax = 1000

// Trace is a Tap that keeps messages, to be drawn as a ladder. Any number of
// goroutines may use it.
type Trace struct {
	mu    sync.Mutex
	steps []step
}

// step is one arrow of the ladder.
type step struct {
	at       time.Time
	received bool
	callID   string // SIP; empty: HTTP
	text     string
	detail   string
}

// Message keeps the start line of a SIP message, and its X-EI header.
func (t *Trace) Message(m TapMessage) {
	msg, ok := message.Scan(m.Data)
	if !ok {
		return
	}
	line, rest := message.CutLine(m.Data)
	s := step{at: m.At, received: m.Received, callID: string(msg.CallID), text: summary(string(line), msg)}
	for len(rest) > 0 {
		var h []byte
		if h, rest = message.CutLine(rest); len(h) == 0 {
			break
		}
		if len(h) > 5 && strings.EqualFold(string(h[:5]), "x-ei:") {
			s.detail = string(h)
		}
	}
	t.add(s)
}

// HTTP keeps one message of the exchange with a platform's API.
func (t *Trace) HTTP(at time.Time, received bool, text string) {
	t.add(step{at: at, received: received, text: text})
}

func (t *Trace) add(s step) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.steps) < traceMax {
		t.steps = append(t.steps, s)
	}
}

func summary(line string, msg message.Scanned) string {
	if !msg.Response {
		return strings.TrimSuffix(line, " SIP/2.0")
	}
	return strings.TrimPrefix(line, "SIP/2.0 ")
}

// laneWidth is the width of one side of a ladder, in characters.
const laneWidth = 46

// Ladder draws the messages of one call: the carrier's leg on the left, the
// platform's HTTP exchange and leg on the right.
func (t *Trace) Ladder(w io.Writer, callID, targetCallID string) error {
	t.mu.Lock()
	steps := append([]step(nil), t.steps...)
	t.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "%9s  %-*s%-*s%s\n", "ms", laneWidth, "carrier", laneWidth, "flowbridge", "platform")
	var begin time.Time
	for _, s := range steps {
		left := s.callID == callID
		if !left && s.callID != targetCallID && s.callID != "" {
			continue
		}
		if begin.IsZero() {
			begin = s.at
		}
		fmt.Fprintf(&b, "%9.1f  ", float64(s.at.Sub(begin).Microseconds())/1000)
		// An arrow points right when it goes from the carrier or to the platform.
		lane := arrow(s.text, left == s.received)
		if left {
			fmt.Fprintf(&b, "|%s|%s|\n", lane, strings.Repeat(" ", laneWidth-1))
		} else {
			fmt.Fprintf(&b, "|%s|%s|\n", strings.Repeat(" ", laneWidth-1), lane)
		}
		if s.detail != "" {
			fmt.Fprintf(&b, "%*s  |%s|   %s\n", 9, "", strings.Repeat(" ", laneWidth-1), s.detail)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// arrow is text over a line with a head, exactly one lane wide.
func arrow(text string, right bool) string {
	const room = laneWidth - 1 - 6
	if len(text) > room {
		text = text[:room-1] + "…"
	}
	pad := strings.Repeat("-", room-len([]rune(text)))
	if right {
		return "- " + text + " " + pad + "-> "
	}
	return " <-" + pad + " " + text + " -"
}
