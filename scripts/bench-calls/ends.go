package main

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"flowbridge/scripts/internal/batch"
	"flowbridge/scripts/internal/sip"
)

// outcome is how a call ended.
type outcome uint8

const (
	pending outcome = iota // still in progress
	good                   // the call was answered, held and ended as planned, and its audio was relayed
	refused                // 503
	failed                 // another final answer, ended by the other side, or its audio was not relayed
	lost                   // no final answer to the INVITE or the BYE
)

// call is a call of the carrier. Times count from the start of the load.
type call struct {
	start    time.Duration // when the first INVITE was sent
	setUp    time.Duration // from start to the 200; 0 if there was none
	outcome  outcome
	up       bool // the call is held
	anchored bool // the audio is relayed
	dialog   *sip.Dialog
}

// carrier is the near end of all calls.
type carrier struct {
	l       *load
	ends    []*sip.End // used by the calls in turn
	plan    plan
	calls   []call
	came    time.Duration   // arrival time of the message being read
	open    int             // calls in progress
	up      int             // calls that are held
	hangUp  bool            // end all calls that are up
	causes  map[int]int     // final answers of failed calls; 200: audio not relayed; 0: a BYE from the other side
	ended   [lost + 1]int   // calls by outcome
	setUps  []time.Duration // of the calls answered since they were last read
	offered []string        // session descriptions, by end
}

// newEnd returns an end at a port of the load.
func (l *load) newEnd(p *batch.Port, peer netip.AddrPort) *sip.End {
	return &sip.End{Name: series() + "-", Addr: p.At, Peer: peer, Send: p.Queue, After: l.after, Impatient: true}
}

func newCarrier(l *load, ports []*batch.Port, p plan) *carrier {
	c := &carrier{l: l, plan: p, causes: map[int]int{}}
	for _, port := range ports {
		e := l.newEnd(port, p.sut)
		e.Ended = func(d *sip.Dialog, _ string) {
			c.causes[0]++
			c.end(d.Of.(int), failed)
		}
		c.ends, c.offered = append(c.ends, e), append(c.offered, description(port.At.Addr(), 20000))
	}
	return c
}

// description returns an offer, or an answer that accepts it: G.711 and telephone events, as in scripts/sipp.
func description(at netip.Addr, port uint16) string {
	return sip.WithBody(strings.Replace(sip.Description(netip.AddrPortFrom(at, port)), "AVP 0\r\n", "AVP 0 101\r\n", 1) +
		"a=rtpmap:101 telephone-event/8000\r\n")
}

// begin sends the INVITE of another call.
func (c *carrier) begin() {
	i := len(c.calls)
	n := i % len(c.ends)
	target := fmt.Sprintf("sip:+15075785607@%v", c.plan.sut)
	d := c.ends[n].Open(target, fmt.Sprintf(`"Load" <sip:+1507%07d@%v>`, i%1e7, c.ends[n].Addr), "<"+target+">")
	d.Of = i
	c.calls = append(c.calls, call{start: c.l.now(), dialog: d})
	c.open++
	d.Ask("INVITE", c.offered[n], func(m sip.Message) {
		if c.calls[i].outcome == pending {
			c.invited(i, m)
		} else { // the carrier has given up
			d.Ask("BYE", sip.Empty, func(sip.Message) {})
		}
	})
}

// end records how a call ended.
func (c *carrier) end(i int, o outcome) {
	p := &c.calls[i]
	if p.outcome != pending {
		return
	}
	c.down(p)
	p.outcome = o
	c.ended[o]++
	c.open--
	p.dialog.Finish()
	p.dialog = nil
}

// down records that a call is no longer held.
func (c *carrier) down(p *call) {
	if p.up {
		c.up--
	}
	p.up = false
}

// invited handles the final answer to an INVITE, and ends the call after its hold.
func (c *carrier) invited(i int, m sip.Message) {
	p := &c.calls[i]
	switch status := m.Status(); {
	case status == 0:
		c.end(i, lost)
	case status == 503:
		c.end(i, refused)
	case status >= 300:
		c.causes[status]++
		c.end(i, failed)
	default:
		p.up, p.anchored, p.setUp = true, anchored(m, c.plan.media), max(c.came-p.start, 1)
		c.up++
		c.setUps = append(c.setUps, p.setUp)
		c.l.after(c.hold(i), func() { c.bye(i) })
	}
}

// hold returns how long call i is held.
func (c *carrier) hold(i int) time.Duration {
	if share := c.plan.share; math.Floor(float64(i)*share) < math.Floor(float64(i+1)*share) {
		return c.plan.long
	}
	return c.plan.hold
}

func (c *carrier) bye(i int) {
	p := &c.calls[i]
	if !p.up {
		return
	}
	c.down(p)
	p.dialog.Ask("BYE", sip.Empty, func(m sip.Message) {
		switch status := m.Status(); {
		case status == 0:
			c.end(i, lost)
		case status == 200 && c.calls[i].anchored:
			c.end(i, good)
		case c.calls[i].outcome == pending:
			c.causes[status]++
			c.end(i, failed)
		}
	})
}

// byeAll ends the calls that are up, several per tick.
func (c *carrier) byeAll() {
	n := 0
	for i := range c.calls {
		if c.calls[i].up {
			c.bye(i)
			if n++; n == 5 { // in each tick
				return
			}
		}
	}
}

// agent is the far end of all calls. It rings and answers at once (180, 200). It rejects an INVITE without an X-EI,
// unless the system does not prepare calls, and an INVITE whose audio is not relayed.
type agent struct {
	*sip.End
	taken, open int // all calls, and those in progress
}

func newAgent(l *load, p *batch.Port, of plan) *agent {
	a := &agent{End: l.newEnd(p, of.sut)}
	body := description(p.At.Addr(), 30000)
	a.Arrive = func(d *sip.Dialog, s *sip.Server) {
		if !of.bare && !strings.Contains(string(s.Request), "\r\nX-EI: S.") || !anchored(s.Request, of.media) {
			s.Refuse("488 Not Acceptable Here")
			return
		}
		a.taken++
		a.open++
		contact := fmt.Sprintf("Contact: <sip:agent@%v>\r\n", p.At)
		s.Respond("180 Ringing", contact+sip.Empty)
		s.Accept(contact + body)
	}
	a.Ended = func(d *sip.Dialog, _ string) {
		if d.Answered {
			a.open--
			d.Finish()
		}
	}
	return a
}

// anchored reports whether the audio in a message's session description goes through one of the system's addresses.
func anchored(m sip.Message, media []string) bool {
	return slices.Contains(media, sip.Host(m.Body()))
}
