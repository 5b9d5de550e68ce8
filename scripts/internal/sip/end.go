package sip

import (
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Timers of RFC 3261 17.1.1.1.
const (
	T1       = 500 * time.Millisecond
	T2       = 4 * time.Second
	Patience = 64 * T1 // timers B, F and H
)

// Empty ends a message without a body.
const Empty = "Content-Length: 0\r\n\r\n"

const noDialog = "481 Call/Transaction Does Not Exist"

// End is a user agent, which does as RFC 3261 says: repeats, timers, 481 to what it does not know. It has no lock: one
// goroutine uses it at a time.
type End struct {
	Name       string // the beginning of its branches, tags and Call-IDs: no other end has it
	Addr, Peer netip.AddrPort
	Via        string // further parameters of its Via
	Send       func(text string, to netip.AddrPort)
	After      func(time.Duration, func())
	Impatient  bool // an INVITE that rings is given up, too, after as long as one without any answer

	// Who uses the end is told by these. Those that are nil are not called.
	Arrive func(*Dialog, *Server)                      // a call comes; nil: none is taken
	Asked  func(*Dialog, *Server)                      // a request within a dialog; nil: 200, to an INVITE 488
	Acked  func(*Dialog)                               // the ACK of a 200 came
	Ended  func(d *Dialog, by string)                  // by the other side's BYE or CANCEL; ACK: a 200 had none
	Saw    func(d *Dialog, sent bool, message Message) // a message of a dialog

	Repeats    int // requests that were sent or came again
	Repeats200 int // 200s of an INVITE that were sent or came again

	dialogs map[string]*Dialog // by Call-ID
	next    int
}

// Unique is a part of a branch or a tag that nothing else has.
func (e *End) Unique() string {
	e.next++
	return e.Name + strconv.Itoa(e.next)
}

// Heard takes a message that came.
func (e *End) Heard(m Message, from netip.AddrPort) {
	d, method := e.dialogs[m.Header("Call-ID")], m.Method()
	if d != nil {
		d.saw(false, m)
	}
	switch status := m.Status(); {
	case status != 0:
		if d != nil {
			d.response(m, method, status)
		}
	case d != nil:
		d.request(m, method, from)
	case method == "INVITE" && m.Tag("To") == "" && e.Arrive != nil:
		d = e.accept(m)
		d.saw(false, m)
		e.Arrive(d, d.serve(m, method, from))
	case method == "OPTIONS":
		e.Send(m.Answer("200 OK", "stray", Empty), from)
	case method != "ACK":
		e.Send(m.Answer(noDialog, "stray", Empty), from)
	}
}

func (e *End) add(d *Dialog) *Dialog {
	if e.dialogs == nil {
		e.dialogs = map[string]*Dialog{}
	}
	e.dialogs[d.CallID] = d
	return d
}

// accept is the dialog of an INVITE that came.
func (e *End) accept(m Message) *Dialog {
	return e.add(&Dialog{
		End: e, CallID: strings.Clone(m.Header("Call-ID")), tag: e.Unique(), local: strings.Clone(m.Header("To")),
		remote: strings.Clone(m.Header("From")), target: strings.Clone(m.Contact()), routes: m.routes(false),
		theirs: m.Number(),
	})
}

// Dial is the dialog of a call of ours, which its INVITE begins.
func (e *End) Dial(from, to string) *Dialog {
	target := "sip:" + to + "@" + e.Peer.String()
	return e.Open(target, "<sip:"+from+"@"+e.Addr.Addr().String()+">", "<"+target+">")
}

// Open is a dialog of ours, or the Call-ID, From and To that some requests have.
func (e *End) Open(target, from, to string) *Dialog {
	return e.add(&Dialog{
		End: e, CallID: e.Unique() + "@" + e.Addr.Addr().String(), tag: e.Unique(), target: target, local: from, remote: to,
	})
}

// routes are the Route lines of a dialog whose INVITE, or 200 of ours, has been sent through proxies: in the order of
// the Record-Route of a request, and in the reverse one of an answer (RFC 3261 12.1).
func (m Message) routes(answer bool) (all string) {
	for line := range strings.SplitSeq(m.Lines("Record-Route"), "\r\n") {
		if _, value, ok := strings.Cut(line, ":"); ok && answer {
			all = "Route:" + value + "\r\n" + all
		} else if ok {
			all += "Route:" + value + "\r\n"
		}
	}
	return all
}
