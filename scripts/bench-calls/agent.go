package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"time"
)

// agent is the far end of all calls: it rings and answers at once (180, 200), repeats the 200 until the
// ACK (RFC 3261 13.3.1.4), and answers a BYE. It takes no INVITE without an X-EI, unless the
// system prepares no call, and none whose audio is not relayed.
type agent struct {
	l       *load
	port    *port
	calls   map[string]*answered // by Call-ID
	ringing string
	media   []string // the system's addresses
	bare    bool     // it prepares no call
	body    string
	m       message

	taken   int // calls
	repeats int // of requests
}

type answered struct {
	ok    []byte // the 200
	from  netip.AddrPort
	acked bool
}

var xei = []byte("\r\nX-EI: S.")

func newAgent(l *load, p *port, of plan) *agent {
	contact := fmt.Sprintf("Contact: <sip:agent@%v>\r\n", p.at)
	return &agent{
		l: l, port: p, calls: map[string]*answered{}, ringing: contact + noBody, media: of.media, bare: of.bare,
		body: withBody(contact, description(p.at.Addr().String(), 30000)),
	}
}

// heard takes a datagram. Requests that are no part of a call get a 200.
func (a *agent) heard(b []byte, from netip.AddrPort) {
	m := &a.m
	if !m.parse(b) || m.status != 0 {
		return
	}
	switch string(m.method) {
	case "INVITE":
		a.invite(b, from)
	case "ACK":
		if c := a.calls[string(m.callID)]; c != nil {
			c.acked = true
			c.ok = nil
		}
	case "BYE":
		c := a.calls[string(m.callID)]
		if c == nil {
			a.repeats++
		}
		delete(a.calls, string(m.callID))
		fallthrough
	default:
		a.port.send(m.answer("200 OK", "agent", noBody), from)
	}
}

func (a *agent) invite(b []byte, from netip.AddrPort) {
	if !a.bare && !bytes.Contains(b, xei) || !anchored(b, a.media) {
		a.port.send(a.m.answer("488 Not Acceptable Here", "unfit", noBody), from)
		return
	}
	id := string(a.m.callID)
	if c := a.calls[id]; c != nil {
		a.repeats++
		if c.ok != nil {
			a.port.send(c.ok, c.from)
		}
		return
	}
	a.taken++
	tag := fmt.Sprint("a", a.taken)
	a.port.send(a.m.answer("180 Ringing", tag, a.ringing), from)
	c := &answered{ok: a.m.answer("200 OK", tag, a.body), from: from}
	a.port.send(c.ok, from)
	a.calls[id] = c
	a.again(id, c, t1, 0)
}

// again repeats the 200 after a while unless the ACK has come, and for 64*T1 in all.
func (a *agent) again(id string, c *answered, after, so time.Duration) {
	a.l.after(after, func() {
		if c.acked || a.calls[id] != c {
			return
		}
		if so += after; so >= 64*t1 {
			delete(a.calls, id)
			return
		}
		a.l.repeats200++
		a.port.send(c.ok, c.from)
		a.again(id, c, min(2*after, t2), so)
	})
}
