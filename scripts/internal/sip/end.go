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

// End is a user agent that follows RFC 3261: repeats, timers, 481 for unknown dialogs. It has no lock: only one
// goroutine may use it at a time.
type End struct {
	Name       string // prefix of its branches, tags and Call-IDs; unique to the end
	Addr, Peer netip.AddrPort
	Via        string // further parameters of its Via
	Send       func(text string, to netip.AddrPort)
	After      func(time.Duration, func())
	Impatient  bool // a ringing INVITE is also given up, after the same time as one without any answer

	// These functions tell the user of the end about events. Each may be nil.
	Arrive func(*Dialog, *Server)                      // a call arrives; if nil, all calls are refused
	Asked  func(*Dialog, *Server)                      // a request within a dialog; if nil, it gets 200, an INVITE 488
	Acked  func(*Dialog)                               // the ACK of a 200 came
	Ended  func(d *Dialog, by string)                  // by the other side's BYE or CANCEL; "ACK" if a 200 got none
	Saw    func(d *Dialog, sent bool, message Message) // a message of a dialog

	Repeats    int // repeated requests, sent or received
	Repeats200 int // repeated 200s of an INVITE, sent or received

	dialogs map[string]*Dialog // by Call-ID
	next    int
}

// Unique returns a unique part for a branch or a tag.
func (e *End) Unique() string {
	e.next++
	return e.Name + strconv.Itoa(e.next)
}

// Heard handles an incoming message.
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

// accept returns the dialog of an incoming INVITE.
func (e *End) accept(m Message) *Dialog {
	return e.add(&Dialog{
		End: e, CallID: strings.Clone(m.Header("Call-ID")), tag: e.Unique(), local: strings.Clone(m.Header("To")),
		remote: strings.Clone(m.Header("From")), target: strings.Clone(m.Contact()), routes: m.routes(false),
		theirs: m.Number(),
	})
}

// Dial returns the dialog of an outgoing call, for its INVITE.
func (e *End) Dial(from, to string) *Dialog {
	target := "sip:" + to + "@" + e.Peer.String()
	return e.Open(target, "<sip:"+from+"@"+e.Addr.Addr().String()+">", "<"+target+">")
}

// Open returns an outgoing dialog. It may also be used just for the Call-ID, From and To of some requests.
func (e *End) Open(target, from, to string) *Dialog {
	return e.add(&Dialog{
		End: e, CallID: e.Unique() + "@" + e.Addr.Addr().String(), tag: e.Unique(), target: target, local: from, remote: to,
	})
}

// routes returns the Route lines of a dialog whose INVITE, or 200 to us, passed through proxies: in the order of the
// Record-Route in a request, and in reverse order for an answer (RFC 3261 12.1).
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
