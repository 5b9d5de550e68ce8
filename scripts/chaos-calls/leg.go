package main

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"flowbridge/scripts/internal/sip"
)

// fate is how a leg ended.
type fate uint8

const (
	open      fate = iota // it has not
	refused               // never answered: a final answer other than 200, or a CANCEL
	unheard               // never answered: no answer to its INVITE ended it
	hungUp                // our BYE was answered by 200
	gone                  // what we sent was answered by 481
	told                  // we got a BYE
	untold                // our BYE was never answered
	forgotten             // we died, and know nothing of it
)

var fates = [...]string{"open", "refused", "unheard", "hung up", "481", "told by BYE", "BYE not answered", "forgotten"}

func (f fate) String() string { return fates[f] }

// moment is a message of a leg.
type moment struct {
	at   time.Duration
	sent bool
	what string
}

// leg is a dialog of an end, from the INVITE on.
type leg struct {
	side
	end  *end
	kind kind

	local, remote string // values of From and To in our requests
	target        string // URI
	cseq, theirs  int
	version       int // of our session description

	invite  *server // the INVITE that we have to answer
	asking  bool    // a re-INVITE of ours is open
	changed int     // requests of ours to change the session that got a 200
	clients map[string]*client
	servers map[string]*server
	ack     map[int]string // of our INVITEs, by CSeq
	expiry  *time.Timer
	stream  *stream
	moments []moment
}

func (e *end) newLeg(callID, number string, k kind) *leg {
	l := &leg{
		side: side{name: e.name, callID: callID, number: number}, end: e, kind: k,
		clients: map[string]*client{}, servers: map[string]*server{}, ack: map[int]string{},
	}
	e.legs[callID] = l
	e.all = append(e.all, l)
	return l
}

// accept is the leg of an INVITE that came.
func (e *end) accept(m sip.Message) *leg {
	uri := strings.Fields(m.Start())[1]
	number, _, _ := strings.Cut(strings.TrimPrefix(uri, "sip:"), "@")
	l := e.newLeg(m.Header("Call-ID"), number, kindOf(number))
	l.local, l.remote, l.target = m.Header("To")+";tag="+e.unique(), m.Header("From"), m.Contact()
	l.theirs = m.Number()
	return l
}

// dial is the leg of a new call of ours.
func (e *end) dial(number string, k kind) *leg {
	l := e.newLeg(e.unique()+"@"+e.addr.Addr().String(), number, k)
	l.caller, l.target = true, fmt.Sprintf("sip:%s@%v", number, e.peer)
	l.local, l.remote = fmt.Sprintf("<sip:+15075550100@%v>;tag=%s", e.addr.Addr(), e.unique()), "<"+l.target+">"
	return l
}

func (l *leg) note(sent bool, m sip.Message) {
	what, _, _ := strings.Cut(m.Start(), " ")
	if what == "SIP/2.0" {
		what = fmt.Sprintf("%.30s (%s)", strings.TrimPrefix(m.Start(), "SIP/2.0 "), m.Header("CSeq"))
	} else {
		what += " " + strconv.Itoa(m.Number())
	}
	if reason := m.Header("Reason"); reason != "" {
		what += " " + reason
	}
	l.moments = append(l.moments, moment{time.Since(l.end.begun), sent, what})
}

func (l *leg) send(to netip.AddrPort, text string) {
	l.note(true, sip.Message(text))
	l.end.send(to, text)
}

// established says whether the leg has a dialog that lives.
func (l *leg) established() bool { return l.answered && l.fate == open }

// finish notes how the leg ended.
func (l *leg) finish(f fate) {
	if l.fate != open {
		return
	}
	l.fate, l.over = f, time.Since(l.end.begun)
	if l.expiry != nil {
		l.expiry.Stop()
	}
	if l.stream != nil {
		l.stream.stop()
	}
	l.end.after(patience+t2, func() { // nothing comes again after that
		l.clients, l.servers, l.ack, l.invite = nil, nil, nil, nil
	})
}

// text is a request of the leg.
func (l *leg) text(method, branch string, cseq int, more string) string {
	return fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %v;branch=%s;rport\r\nMax-Forwards: 70\r\n"+
		"From: %s\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContact: <sip:%v>\r\n%s",
		method, l.target, l.end.addr, branch, l.local, l.remote, l.callID, cseq, method, l.end.addr, more)
}

// client is a client transaction.
type client struct {
	leg     *leg
	id      string
	text    string
	method  string
	cseq    int
	wait    time.Duration
	so      time.Duration
	heard1  bool // a provisional answer
	settled bool
	done    func(sip.Message) // "": none came
}

// ask sends a request within the leg, or its INVITE. done gets the final answer.
func (l *leg) ask(method, more string, done func(sip.Message)) *client {
	l.cseq++
	branch := "z9hG4bK" + l.end.unique()
	c := &client{leg: l, id: branch, method: method, cseq: l.cseq, wait: t1, done: done}
	c.text = l.text(method, branch, l.cseq, more)
	c.start()
	return c
}

func (c *client) start() {
	c.leg.clients[c.id+c.method] = c
	c.leg.send(c.leg.end.peer, c.text)
	c.again()
}

// again repeats the request: timers A, B, E and F of RFC 3261 17.1.
func (c *client) again() {
	wait := min(c.wait, patience-c.so)
	c.leg.end.after(wait, func() {
		if c.settled || c.leg.clients == nil {
			return
		}
		if c.so += wait; c.so >= patience && (c.method != "INVITE" || !c.heard1) {
			c.settled = true
			c.done("")
			return
		}
		if c.method == "INVITE" {
			if c.heard1 {
				return
			}
			c.wait *= 2
		} else if c.wait = min(2*c.wait, t2); c.heard1 {
			c.wait = t2
		}
		c.leg.send(c.leg.end.peer, c.text)
		c.again()
	})
}

func (c *client) heard(m sip.Message) {
	l, status := c.leg, m.Status()
	if status < 200 {
		c.heard1 = true
		l.rung = l.rung || c.method == "INVITE" && status > 100
		return
	}
	if c.method == "INVITE" {
		l.acknowledge(c, m, status)
	}
	if !c.settled {
		c.settled = true
		c.done(m)
	} else if c.method == "INVITE" && status < 300 && !l.answered { // it was given up
		l.answered, l.fate = true, open
		l.bye("")
	}
}

// acknowledge sends the ACK of a final answer, and of each repeat of it.
func (l *leg) acknowledge(c *client, m sip.Message, status int) {
	late := status < 300 && c.settled && !l.answered // after a refusal, or when it was given up
	if l.ack[c.cseq] == "" || late {
		to, target := l.remote, l.target
		l.remote = m.Header("To")
		if status < 300 {
			l.target = cmp.Or(m.Contact(), l.target)
			l.ack[c.cseq] = l.text("ACK", "z9hG4bK"+l.end.unique(), c.cseq, sip.WithBody(""))
		} else {
			l.ack[c.cseq] = l.text("ACK", c.id, c.cseq, sip.WithBody(""))
			l.remote, l.target = to, target
		}
	}
	l.send(l.end.peer, l.ack[c.cseq])
}

// cancel gives the INVITE up.
func (l *leg) cancel(invite *client) {
	if invite.settled {
		return
	}
	c := &client{leg: l, id: invite.id, method: "CANCEL", cseq: invite.cseq, wait: t1, done: func(sip.Message) {}}
	c.text = l.text("CANCEL", invite.id, invite.cseq, sip.WithBody(""))
	c.start()
	l.end.after(patience, func() { // RFC 3261 9.1
		if !invite.settled {
			invite.settled = true
			invite.done("")
		}
	})
}
