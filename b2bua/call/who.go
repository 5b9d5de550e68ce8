package call

// whoIs says which parties of a call are connected.
type whoIs int

const (
	ringing whoIs = iota // the call is not answered: there is only the caller, or the first party of a placed call
	first                // only the first party of a placed call has answered; there has been no agent yet
	bridged              // the caller and an agent
	beside               // the caller and an agent, while another party is being called
	waiting              // the caller and an agent without media, while another party agrees on its keys
	alone                // only the caller; the agent has left, and another party is being called
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
