package transaction

import (
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

// AnsweredState is an answered request of a peer in the form that is saved. Another process uses it to answer copies
// of the request. Durations count from the time at which the state was made.
type AnsweredState struct {
	Answer   []byte        `cbor:"1,keyasint,omitempty"`
	Source   string        `cbor:"2,keyasint,omitempty"` // where the request came from
	Over     string        `cbor:"3,keyasint,omitempty"` // name of the socket or connection that the request came by
	To       string        `cbor:"4,keyasint,omitempty"`
	Reliable bool          `cbor:"5,keyasint,omitempty"`
	State    uint8         `cbor:"6,keyasint,omitempty"`
	Interval time.Duration `cbor:"7,keyasint,omitempty"`
	Again    time.Duration `cbor:"8,keyasint,omitempty"`
	End      time.Duration `cbor:"9,keyasint,omitempty"`
}

// Answered returns the answered requests whose answer is still stored. name returns the name of a sender, or "" if it
// is not handed over to another process.
func (t *Table) Answered(name func(Sender) string) (all []AnsweredState) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for _, s := range t.servers {
		if a, ok := s.answered(now, name); ok {
			all = append(all, a)
		}
	}
	return all
}

// Answered returns the state of a request, or false if Table.Answered would not include it.
func (s *Server) Answered(name func(Sender) string) (AnsweredState, bool) {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	return s.answered(s.table.now(), name)
}

func (s *Server) answered(now instant, name func(Sender) string) (a AnsweredState, ok bool) {
	if (s.state != completed && s.state != confirmed) || len(s.text) == 0 {
		return a, false
	}
	over := name(s.way.Over)
	if over == "" {
		return a, false
	}
	a = AnsweredState{
		Answer: append([]byte(nil), s.text...), Source: s.key.source.String(), Over: over, To: s.way.To.String(),
		Reliable: s.reliable,
		State:    uint8(s.state), Interval: s.interval, End: time.Duration(s.end - now),
	}
	if s.resendAt != 0 {
		a.Again = time.Duration(s.resendAt - now)
	}
	return a, true
}

// Restore adds a request that another process has answered. It returns nil if the state is invalid.
func (t *Table) Restore(a *AnsweredState, over Sender) *Server {
	msg, err := message.Parse(a.Answer)
	res, ok := msg.(*sip.Response)
	source, bad := netip.ParseAddr(a.Source)
	to, bad2 := netip.ParseAddrPort(a.To)
	was := state(a.State)
	if err != nil || !ok || bad != nil || bad2 != nil || (was != completed && was != confirmed) {
		return nil
	}
	key, ok := keyOf(res, source, a.Reliable)
	if !ok {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.servers[key] != nil {
		return nil
	}
	now := t.now()
	at := func(after time.Duration) instant { return now + instant(min(max(after, 1), Patience+time.Second)) }
	s := &Server{key: key, seq: res.CSeq().SeqNo, transaction: transaction{
		table: t, way: Way{Over: over, To: to, Reliable: a.Reliable},
		machine: machine{
			kind: otherServer, state: was, reliable: a.Reliable, interval: min(max(a.Interval, T1), T2), end: at(a.End),
		},
	}}
	if key.method == sip.INVITE {
		s.kind = inviteServer
	}
	if a.Again != 0 {
		s.resendAt = at(a.Again)
	}
	t.servers[key] = s
	t.keep(&s.transaction, a.Answer)
	t.settle(s)
	return s
}
