package testcall

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/sim"
)

// RingLimit is how long a test call may ring.
const RingLimit = 60 * time.Second

type message struct {
	at       time.Time
	received bool
	line     string // the first line
	text     string
}

// maxMessages bounds the messages that are kept.
const maxMessages = 200

// Messages collects the SIP messages of a call.
type Messages struct {
	mu  sync.Mutex
	all []message
}

// Add collects a message.
func (m *Messages) Add(d sim.Datagram) {
	text := string(d.Data)
	line, _, ok := strings.Cut(text, "\r\n")
	if !ok {
		return // a keep-alive
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.all) < maxMessages {
		m.all = append(m.all, message{d.At, d.Received, line, text})
	}
}

// arrowWidth is the distance between the two sides of a ladder.
const arrowWidth = 60

// lines returns the messages with a Call-ID.
func (m *Messages) lines(callID string) []OneLine {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := []OneLine{}
	var begin time.Time
	for _, x := range m.all {
		if callID == "" || !strings.Contains(x.text, callID) {
			continue
		}
		if begin.IsZero() {
			begin = x.at
		}
		all = append(all, OneLine{float64(x.at.Sub(begin).Microseconds()) / 1000, x.received, cli.ASCII(x.line)})
	}
	return all
}

// Ladder draws the messages with a Call-ID.
func (m *Messages) Ladder(w io.Writer, callID string) {
	fmt.Fprintf(w, "%9s  %-*s%s\n", "ms", arrowWidth+1, "here", "there")
	for _, x := range m.lines(callID) {
		what := strings.TrimPrefix(strings.TrimSuffix(x.Line, " SIP/2.0"), "SIP/2.0 ")
		if len(what) > arrowWidth-7 {
			what = what[:arrowWidth-7]
		}
		pad := strings.Repeat("-", arrowWidth-6-len(what))
		if x.Received {
			what = " <-" + pad + " " + what + " -"
		} else {
			what = "- " + what + " " + pad + "-> "
		}
		fmt.Fprintf(w, "%9.1f |%s|\n", x.MS, what)
	}
	fmt.Fprintln(w)
}

// Report prints the result of a call. Its error says that the call was not answered or that no audio came back.
func Report(w io.Writer, r sim.CarrierResult) error {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	if r.AnsweredAt.IsZero() {
		if r.Status == 0 {
			return errors.New("not answered")
		}
		if len(r.Provisional) == 0 && r.Reason == "no response" {
			row("answer", "none: nothing came back; is the address right, and does it take calls from here?")
			return errors.New("not answered: nothing came back")
		}
		row("answer", "%d %s", r.Status, cli.ASCII(r.Reason))
		if r.Status == 401 || r.Status == 407 {
			return fmt.Errorf("not answered: %d %s; it wants credentials: are --user and --password-env right?", r.Status,
				cli.ASCII(r.Reason))
		}
		return fmt.Errorf("not answered: %d %s", r.Status, cli.ASCII(r.Reason))
	}
	row("answer", "after %v; %s", rounded(r.AnsweredAt.Sub(r.InvitedAt)), ringing(r))
	row("talked", "%v, ended by %s", rounded(r.EndedAt.Sub(r.AnsweredAt)), endedBy(r))
	q := r.RTP
	row("sent", "%d packets of %s to %v", q.Sent, q.Codec, q.Remote)
	expected := q.Received + q.Lost
	if q.Received > 0 {
		row("received", "%d packets from %v, %d lost (%.1f %%), %d out of order, %d twice; jitter %.1f ms; the first %v after the answer",
			q.Received, q.Source, q.Lost, 100*float64(q.Lost)/float64(expected), q.OutOfOrder, q.Duplicates,
			float64(q.Jitter.Microseconds())/1000, rounded(r.MediaDelay))
		if q.Source != q.Remote {
			row("note", "RTP comes from %v, but the SDP says %v: a NAT is in the way, or the SDP is wrong", q.Source, q.Remote)
		}
	}
	verdict, failed := audioOf(r)
	row("audio", "%s", verdict)
	if n := len(r.Answers); n > 0 {
		row("answers", "%d, p50 %.2f s from the end of our words to the other side's", n, r.Answers[(n-1)/2].Seconds())
	}
	if r.Repeated > 1 { // one repetition may have crossed the ACK
		row("ack", "the ACK went to %s, the Contact of the 200, and does not arrive: the 200 came %d times more. Nothing of this call answers there; for a Flowbridge set sip.advertise",
			r.AckTo, r.Repeated)
		return errors.New("answered, but the ACK does not arrive")
	}
	if failed {
		return errors.New("answered, but no audio came back")
	}
	return nil
}

// rounded returns a duration in whole milliseconds.
func rounded(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

func ringing(r sim.CarrierResult) string {
	if r.RingingAt.IsZero() {
		return "it did not ring before"
	}
	return "it rang after " + rounded(r.RingingAt.Sub(r.InvitedAt)).String()
}

func endedBy(r sim.CarrierResult) string {
	switch {
	case r.EndedBy == sim.SideAgent:
		return "the other side"
	case r.ByeStatus == 0:
		return "us; our BYE got no answer"
	default:
		return fmt.Sprintf("us; our BYE got %d", r.ByeStatus)
	}
}

// quiet is the largest sample, of 32767, that counts as silence.
const quiet = 64

// audioOf says in words whether the other side was heard.
func audioOf(r sim.CarrierResult) (verdict string, failed bool) {
	q := r.RTP
	switch {
	case q.Received == 0 && q.Foreign > 0:
		return fmt.Sprintf("one-way: %d packets came, but none of a codec that was agreed on", q.Foreign), true
	case q.Received == 0 && q.Sent == 0:
		return "none in either direction", true
	case q.Received == 0:
		return fmt.Sprintf("one-way: we sent to %v, and nothing came back to %v; a firewall or NAT drops it, the other side has "+
			"another address for us, or it says nothing", q.Remote, q.Local), true
	}
	for _, sample := range r.Heard {
		if sample > quiet || sample < -quiet {
			return "we hear the other side; whether it hears us can't be told from here", false
		}
	}
	return "packets came back, but there is only silence in them", false
}
