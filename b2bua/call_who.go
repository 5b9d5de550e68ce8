package b2bua

// whoIs is who is on which side of a call.
type whoIs int

const (
	ringing whoIs = iota // the caller, or the customer of a call that we place, and the call is not answered
	first                // the customer, and there was no agent yet
	bridged              // the caller and its agent
	beside               // and somebody else is called
	waiting              // the caller and its agent, who has no media while somebody else is tried
	alone                // the caller, whose agent has gone, and somebody else is called
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
