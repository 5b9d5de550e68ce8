//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/store/record"
)

// matrixCall is a carrier that makes one call and notes what it gets, and when.
type matrixCall struct {
	*rawCarrier
	id    string
	waits bool // for the agent to hang up

	responses []seenResponse // to the INVITE
	ended     time.Duration  // since the INVITE; 0: it is not
	err       string
}

type seenResponse struct {
	message
	at time.Duration // since the INVITE
}

// code is the status, and s where there is SDP.
func (r seenResponse) code() string {
	code := strings.Fields(r.first())[1]
	if r.body() != "" {
		code += "s"
	}
	return code
}

// play makes the call. It ends with a refusal, or with a BYE of either side.
func (c *matrixCall) play(uri string) {
	begin := time.Now()
	c.send(c.inviteTo(uri, c.id))
	for c.ended == 0 {
		m := message{raw: c.receive(patience - time.Since(begin))}
		at := time.Since(begin)
		_, method, _ := strings.Cut(m.header("CSeq"), " ")
		switch {
		case m.raw == "":
			c.err = "the call does not end"
			return
		case method == "INVITE":
			c.onResponse(uri, seenResponse{m, at})
		case method == "BYE" && strings.HasPrefix(m.raw, "SIP/2.0 200 "):
			c.ended = at
		case method == "BYE" && strings.HasPrefix(m.raw, "BYE "):
			c.send(okTo(m))
			c.ended = at
			if !c.waits {
				c.err = "the agent hung up"
			}
		default:
			c.err = "unexpected: " + m.first()
		}
	}
}

func (c *matrixCall) onResponse(uri string, r seenResponse) {
	repeated := slices.ContainsFunc(c.responses, func(old seenResponse) bool { return old.raw == r.raw })
	if !repeated {
		c.responses = append(c.responses, r)
	}
	switch r.code()[0] {
	case '1':
	case '2':
		c.send(c.within("ACK", 1, r.raw))
		if !repeated && !c.waits {
			c.send(c.within("BYE", 2, r.raw))
		}
	default:
		c.send(sameBranch.Replace(c.write("ACK", uri, r.header("To"), c.id, 1, "")))
		c.ended = r.at
	}
}

// okTo answers a request.
func okTo(m message) string {
	head, _, _ := strings.Cut(m.raw, "\r\n\r\n")
	out := "SIP/2.0 200 OK\r\n"
	for _, line := range strings.Split(head, "\r\n")[1:] {
		name, _, _ := strings.Cut(line, ":")
		if slices.Contains([]string{"Via", "From", "To", "Call-ID", "CSeq"}, name) {
			out += line + "\r\n"
		}
	}
	return out + "Content-Length: 0\r\n\r\n"
}

// check compares what the carrier of a cell got.
func (c *cell) check(t *testing.T) {
	t.Helper()
	if c.call.err != "" {
		t.Errorf("the carrier: %s", c.call.err)
	}
	var codes, tags []string
	var early message
	for _, r := range c.call.responses {
		code := r.code()
		codes = append(codes, code)
		if code != "100" {
			tags = append(tags, tag(r.header("To")))
		}
		switch {
		case code == "183s":
			early = r.message
		case code == "200s" && early.raw != "" && r.body() != early.body():
			t.Errorf("the answer changed:\n%s\n%s", early.body(), r.body())
		}
	}
	if got, expected := strings.Join(codes, " "), c.responses(); got != expected {
		t.Fatalf("the carrier got %s; want %s", got, expected)
	}
	if slices.Sort(tags); len(slices.Compact(tags)) != 1 {
		t.Errorf("the answers have the To tags %q", tags)
	}
	final := c.call.responses[len(codes)-1]
	if final.at < c.earliest() {
		t.Errorf("%s after %v; want %v at least", codes[len(codes)-1], final.at, c.earliest())
	}
	// The 503 of caps has it; this one is the route's.
	if retry := final.header("Retry-After"); retry != "" {
		t.Errorf("Retry-After %s", retry)
	}
}

// checkRinging checks when the carrier was told of ringing, by the clock of the
// B2BUA: before anything is done for the call, or not before a target rings.
func (c *cell) checkRinging(t *testing.T, r record.Record) {
	t.Helper()
	if r.RingingAt.IsZero() {
		return // which of the calls have it, the responses say
	}
	first, rings := r.EndedAt, r.DialedAt
	for _, at := range []record.Time{r.PreparedAt, r.DialedAt, r.AnsweredAt} {
		if !at.IsZero() && at.Before(first.Time) {
			first = at
		}
	}
	if c.failsOver() && (c.row.rings || c.row.early) { // the record says when the last target was dialled
		rings = r.Attempts[0].StartedAt
	}
	switch {
	case c.ringing == "immediate" && r.RingingAt.After(first.Time):
		t.Errorf("ringing at %v; want it at once, which is before %v", r.RingingAt, first)
	case c.ringing == "on-target" && r.RingingAt.Before(rings.Time):
		t.Errorf("ringing at %v; want it from a target, which was tried at %v", r.RingingAt, rings)
	}
}
