package main

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// Timers of RFC 3261 17.1.1.1.
const (
	t1       = 500 * time.Millisecond
	t2       = 4 * time.Second
	patience = 64 * t1 // timers B and F
)

// outcome is what became of a call.
type outcome uint8

const (
	pending outcome = iota // still under way
	good                   // answered, held and ended as it should, audio relayed
	refused                // 503
	failed                 // another final answer, ended by the other side, or audio not relayed
	lost                   // no final answer to the INVITE or the BYE
)

// call is a call of the carrier. Times are since the load began.
type call struct {
	start    time.Duration // first INVITE
	setUp    time.Duration // from there to the 200; 0: none
	state    state
	outcome  outcome
	anchored bool          // the audio is relayed
	wait     time.Duration // before the next repeat
	request  []byte        // what is repeated: INVITE or BYE
	ack      []byte        // of the 200
}

type state uint8

const (
	calling state = iota
	proceeding
	up
	ending
	over
)

// carrier is the near end of all calls.
type carrier struct {
	l      *load
	ports  []*port  // calls have them in turn
	bodies []string // the ends of INVITEs from each
	target string   // Request-URI of an INVITE
	series string   // of calls: a part of their ids
	plan   plan
	calls  []call
	open   int  // calls that are under way
	up     int  // calls that are held
	hangUp bool // end all that are up

	repeats int             // of INVITE and BYE
	causes  map[int]int     // finals of failed calls; 200: audio not relayed; 0: a BYE of the other side
	ended   [lost + 1]int   // calls by what became of them
	setUps  []time.Duration // of those that were answered since somebody looked
	m       message
}

func newCarrier(l *load, ports []*port, p plan) *carrier {
	c := &carrier{
		l: l, ports: ports, target: fmt.Sprintf("sip:+15075785607@%v", p.sut), series: series(), plan: p,
		causes: map[int]int{},
	}
	for _, p := range ports {
		contact := fmt.Sprintf("Contact: <sip:load@%v>\r\nMax-Forwards: 70\r\n", p.at)
		c.bodies = append(c.bodies, withBody(contact, description(p.at.Addr().String(), 20000)))
	}
	return c
}

// send sends a datagram of call i.
func (c *carrier) send(i int, b []byte) { c.ports[i%len(c.ports)].send(b, c.plan.sut) }

// request is a request of call i up to its CSeq. What differs from request to
// request is the branch, the To and the routes.
func (c *carrier) request(method, target string, i int, cseq int, to, routes []byte) []byte {
	at := c.ports[i%len(c.ports)].at
	b := make([]byte, 0, 1000)
	b = fmt.Appendf(b, "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %v;branch=z9hG4bK%s-%d-%s\r\n",
		method, target, at, c.series, i, method)
	b = append(b, routes...)
	b = fmt.Appendf(b, "From: \"Load\" <sip:+1507%07d@%v>;tag=%s-%d\r\n", i%1e7, at, c.series, i)
	b = append(append(b, to...), crlf...)
	return fmt.Appendf(b, "Call-ID: %s-%d@%v\r\nCSeq: %d %s\r\n", c.series, i, at.Addr(), cseq, method)
}

// begin sends the INVITE of a further call.
func (c *carrier) begin() {
	i := len(c.calls)
	c.calls = append(c.calls, call{wait: t1})
	p := &c.calls[i]
	p.request = append(c.request("INVITE", c.target, i, 1, []byte("To: <"+c.target+">"), nil),
		c.bodies[i%len(c.bodies)]...)
	p.start = c.l.now()
	c.open++
	c.send(i, p.request)
	c.again(i, calling, 0)
}

// again repeats the request of a call until it is answered: timers A, B, E and F
// of RFC 3261 17.1.
func (c *carrier) again(i int, during state, so time.Duration) {
	after := c.calls[i].wait
	c.l.after(after, func() {
		p := &c.calls[i]
		if p.state != during && (during != calling || p.state != proceeding) {
			return
		}
		if so += after; so >= patience {
			c.end(i, lost)
			return
		}
		if p.state != proceeding {
			c.repeats++
			c.send(i, p.request)
		}
		p.wait = 2 * after
		if during == ending {
			p.wait = min(p.wait, t2)
		}
		p.wait = min(p.wait, patience-so)
		c.again(i, during, so)
	})
}

// end notes what became of a call.
func (c *carrier) end(i int, o outcome) {
	p := &c.calls[i]
	if p.state == over {
		return
	}
	if p.state == up {
		c.up--
	}
	p.state, p.outcome = over, o
	c.ended[o]++
	p.request = nil
	c.l.after(patience, func() { c.calls[i].ack = nil }) // until then, a late 200 is a repeat
	c.open--
}

// heard takes a datagram that came to a port at a time.
func (c *carrier) heard(at *port, b []byte, from netip.AddrPort, came time.Duration) {
	m := &c.m
	if !m.parse(b) {
		return
	}
	i, ours := c.index(m.callID)
	switch {
	case m.status == 0 && string(m.method) == "ACK":
	case m.status == 0:
		at.send(m.answer("200 OK", "", noBody), from)
		if ours && string(m.method) == "BYE" {
			c.causes[0]++
			c.end(i, failed)
		}
	case ours && string(m.method) == "INVITE":
		c.invited(i, b, came)
	case ours && string(m.method) == "BYE" && m.status >= 200 && c.calls[i].state == ending:
		if m.status == 200 && c.calls[i].anchored {
			c.end(i, good)
		} else {
			c.causes[m.status]++
			c.end(i, failed)
		}
	}
}

// index is the number in the Call-ID of a call of ours.
func (c *carrier) index(id []byte) (int, bool) {
	rest, ok := bytes.CutPrefix(id, []byte(c.series+"-"))
	number, _, _ := bytes.Cut(rest, []byte("@"))
	i, err := strconv.Atoi(string(number))
	return i, ok && err == nil && i >= 0 && i < len(c.calls)
}

// invited takes an answer to an INVITE.
func (c *carrier) invited(i int, b []byte, came time.Duration) {
	p, m := &c.calls[i], &c.m
	switch {
	case m.status < 200:
		if p.state == calling {
			p.state = proceeding
		}
	case m.status >= 300:
		c.send(i, append(c.ackOf(i, m.to), noBody...))
		if p.state > proceeding {
			return
		}
		if m.status == 503 {
			c.end(i, refused)
		} else {
			c.causes[m.status]++
			c.end(i, failed)
		}
	case p.ack != nil: // a repeat
		c.l.repeats200++
		c.send(i, p.ack)
	default:
		c.answered(i, came)
		p.anchored = anchored(b, c.plan.media)
	}
}

// ackOf is the ACK of an answer other than 200, which is part of the INVITE's
// transaction (RFC 3261 17.1.1.3).
func (c *carrier) ackOf(i int, to []byte) []byte {
	b := c.request("ACK", c.target, i, 1, to, nil)
	return bytes.Replace(b, []byte("-ACK\r\n"), []byte("-INVITE\r\n"), 1)
}

// answered acknowledges the 200, and ends the call after its hold.
func (c *carrier) answered(i int, came time.Duration) {
	p, m := &c.calls[i], &c.m
	target, to := string(m.target), slices.Clone(m.to)
	var routes []byte
	for _, r := range slices.Backward(m.routes) { // RFC 3261 12.1.2
		routes = append(append(append(routes, "Route: "...), r...), crlf...)
	}
	p.ack = append(c.request("ACK", target, i, 1, to, routes), "Max-Forwards: 70\r\n"+noBody...)
	p.request = append(c.request("BYE", target, i, 2, to, routes), "Max-Forwards: 70\r\n"+noBody...)
	c.send(i, p.ack)
	if p.state == over { // given up before
		c.send(i, p.request)
		p.request = nil
		return
	}
	p.state, p.setUp = up, max(came-p.start, 1)
	c.up++
	c.setUps = append(c.setUps, p.setUp)
	c.l.after(c.hold(i), func() { c.bye(i) })
}

// hold is how long call i is held.
func (c *carrier) hold(i int) time.Duration {
	if share := c.plan.share; math.Floor(float64(i)*share) < math.Floor(float64(i+1)*share) {
		return c.plan.long
	}
	return c.plan.hold
}

func (c *carrier) bye(i int) {
	p := &c.calls[i]
	if p.state != up {
		return
	}
	c.up--
	p.state, p.wait = ending, t1
	c.send(i, p.request)
	c.again(i, ending, 0)
}

// byeAll ends the calls that are up, some at a time.
func (c *carrier) byeAll() {
	n := 0
	for i := range c.calls {
		if c.calls[i].state == up {
			c.bye(i)
			if n++; n == 5 { // each tick
				return
			}
		}
	}
}
