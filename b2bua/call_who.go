package b2bua

// whoIs says which parties are on the sides of a call.
type whoIs int

const (
	ringing whoIs = iota // the caller, or the first party of a call that we place; the call is not answered
	first                // only the first party of a placed call; there was no agent yet
	bridged              // caller and agent
	beside               // caller and agent, and another party is being called
	waiting              // caller and agent, but the agent has no media while another party is tried
	alone                // only the caller; the agent has gone, and another party is being called
)

func (c *Call) whoIs() whoIs {
	switch {
	case c.times.answered.IsZero():
		return ringing
	case c.connected == nil:
		return first
	case c.replacements.waiting() != nil:
		return waiting
	case c.b == nil:
		return alone
	case c.replacements.underway():
		return beside
	}
	return bridged
}
