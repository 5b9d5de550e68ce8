package b2bua

import (
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/peers"
	"flowbridge/config/template"
)

// partiesOf are the numbers for whose limits a call counts.
func partiesOf(vars *template.Vars) peers.Parties {
	return peers.Parties{From: vars.From.Number, To: vars.To.Number}
}

// limited says which limit of the trunk a new call is over, and what the caller gets.
// Not 503: the carrier would hold back all its calls, instead of the calls of one number.
func (c *Call) limited() (why cause.Cause, status int) {
	if c.again {
		c.server.admission.Reclaim(c.trunk, partiesOf(&c.vars))
		c.claimed = true
		return cause.None, 0
	}
	switch over := c.server.admission.Claim(c.trunk, partiesOf(&c.vars)); over {
	case peers.LimitCaller:
		return over.Cause(), 403
	case peers.LimitDestination:
		return over.Cause(), 486
	case peers.LimitNone, peers.LimitCap, peers.LimitCircuit, peers.LimitQueue, peers.LimitWait, peers.LimitClosed:
		// Claim judges none of these but the first
		c.claimed = true
	}
	return cause.None, 0
}
