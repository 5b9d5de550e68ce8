package b2bua

import (
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
)

// partiesOf are the numbers for whose limits a call counts.
func partiesOf(vars *config.Vars) peers.Parties {
	return peers.Parties{From: vars.From.Number, To: vars.To.Number}
}

// limited says which limit of the trunk a new call is over, and what the caller gets.
// Not 503: the carrier would hold back all its calls, and not those of one number.
func (c *Call) limited() (why cause.Cause, status int) {
	switch got := c.server.admission.Claim(c.trunk, partiesOf(&c.vars)); got {
	case peers.CapacityFree:
		c.claimed = true
		return cause.None, 0
	case peers.CapacityCaller:
		return causeOfLimit(got), 403
	default:
		return causeOfLimit(got), 486
	}
}

// causeOfLimit is the cause of a call, or an attempt, that found no room.
func causeOfLimit(why peers.Capacity) cause.Cause {
	switch why {
	case peers.CapacityCaller:
		return cause.CallerLimited
	case peers.CapacityDestination:
		return cause.DestinationLimited
	default:
		return cause.TargetCapped
	}
}
