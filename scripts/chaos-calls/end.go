package main

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/sip"
)

// Timers of RFC 3261 17.1.1.1.
const (
	t1       = 500 * time.Millisecond
	t2       = 4 * time.Second
	patience = 64 * t1 // timers B, F and H
)

// end is a user agent of the carrier or of a target. It does as RFC 3261 says, so that what it was told can be judged.
// Its lock is that of its legs, too.
type end struct {
	name  string
	conn  *net.UDPConn
	addr  netip.AddrPort
	peer  netip.AddrPort // Flowbridge
	media netip.AddrPort // where its RTP comes to
	begun time.Time
	audio *audio
	heard int                              // as of the world
	set   func(callID, number string) bool // sets a variable of a call; nil: none is set

	twice atomic.Bool // everything is sent twice

	mu     sync.Mutex
	legs   map[string]*leg // by Call-ID
	all    []*leg
	strays int // requests within dialogs that it does not have
	next   int // for branches and tags
	arrive func(*leg)
}

func newEnd(name string, in namespace.Namespace, at, peer netip.AddrPort) (e *end, err error) {
	e = &end{name: name, addr: at, peer: peer, legs: map[string]*leg{}}
	e.conn, err = in.ListenUDP(at)
	return e, err
}

func (e *end) close() { _ = e.conn.Close() }

// read takes what comes until the end is closed.
func (e *end) read() {
	b := make([]byte, 65536)
	for {
		n, from, err := e.conn.ReadFromUDPAddrPort(b)
		if err != nil {
			if strings.Contains(err.Error(), "closed") {
				return
			}
			continue
		}
		m := sip.Message(string(b[:n]))
		e.mu.Lock()
		if strings.HasPrefix(string(m), "SIP/2.0 ") {
			e.response(m)
		} else {
			e.request(m, from)
		}
		e.mu.Unlock()
	}
}

func (e *end) send(to netip.AddrPort, text string) {
	_, _ = e.conn.WriteToUDPAddrPort([]byte(text), to)
	if e.twice.Load() {
		_, _ = e.conn.WriteToUDPAddrPort([]byte(text), to)
	}
}

// after has f called with the lock held.
func (e *end) after(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		f()
	})
}

// unique is a part of a branch or a tag that nothing else has.
func (e *end) unique() string {
	e.next++
	return fmt.Sprintf("%s%d", e.name, e.next)
}

func (e *end) response(m sip.Message) {
	l := e.legs[m.Header("Call-ID")]
	if l == nil {
		return
	}
	l.note(false, m)
	if t := l.clients[m.Branch()+m.Method()]; t != nil {
		t.heard(m)
	}
}

func (e *end) request(m sip.Message, from netip.AddrPort) {
	l := e.legs[m.Header("Call-ID")]
	method := m.Method()
	switch {
	case l == nil && method == "INVITE" && m.Tag("To") == "" && e.arrive != nil:
		l = e.accept(m)
		l.note(false, m)
		l.invite = l.serve(m, from)
		l.respond(l.invite, "100 Trying", sip.WithBody(""))
		e.arrive(l)
		return
	case l == nil && method != "ACK":
		e.strays++
		e.send(from, m.Answer("481 Call/Transaction Does Not Exist", "stray", sip.WithBody("")))
		return
	case l == nil:
		return
	}
	l.note(false, m)
	l.requested(m, from)
}
