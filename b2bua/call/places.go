package call

import (
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/circuit"
	"flowbridge/b2bua/peers"
	"flowbridge/media"
)

// places records which limits a call counts against.
type places struct {
	counted    bool     // the call counts against the limits of its numbers
	readmitted bool     // an old process has admitted the call, so limits no longer apply
	hadPlace   bool     // the call had a place at a target in the old process, and has not taken one here yet
	kept       *attempt // holds a place for the call's next attempt at its target; nil if none is reserved
}

// limited counts a new call against its trunk's limits. If a limit is exceeded, it returns the cause and the status for
// the caller. Otherwise it returns cause.None.
func (c *Call) limited() (why cause.Cause, status int) {
	if c.readmitted {
		c.host.Admission.Reclaim(c.trunk, peers.PartiesOf(&c.vars))
		c.counted = true
		return cause.None, 0
	}
	over := c.host.Admission.Claim(c.trunk, peers.PartiesOf(&c.vars))
	c.counted = over == peers.LimitNone
	return over.Cause(), over.Status(0)
}

// keepPlace reserves the place that the call has at a target, and perhaps a try of its circuit breaker, for the
// call's next attempt there.
func (c *Call) keepPlace(at *peers.Target, try circuit.Try) {
	c.kept = &attempt{target: at, try: try, placed: true, parties: peers.PartiesOf(&c.vars)}
}

// reserve reserves the place that an attempt has at its target for the call's next attempt there.
func (p *places) reserve(a *attempt) { p.kept = a }

// countPlace notes that a placed call counts against the limits of its numbers.
func (p *places) countPlace() { p.counted = true }

// give gives an attempt the place that is reserved for it, if there is one.
func (p *places) give(a *attempt) {
	if k := p.kept; k != nil && k.target == a.target && a.side() == media.SideB {
		a.try, a.placed, p.kept = k.try, true, nil
	}
}

// placeTaken notes that the call has a place at a target in this process.
func (p *places) placeTaken() { p.hadPlace = false }

// vacateKept releases the place that is reserved for the next attempt.
func (c *Call) vacateKept() {
	c.host.vacate(c.kept)
	c.kept = nil
}
