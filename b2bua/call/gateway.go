package call

import (
	"strings"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
)

// resumer is a Preparer that has the agent's end of calls itself: the gateway of bots. It must be told that a call goes
// on here, and why a bot has left is its word.
type resumer interface {
	Resume(id, callID, contact string)
}

// gateway returns the agent's end if it is the gateway of bots, or nil.
func (c *Call) gateway() resumer {
	if c.b == nil || c.connected == nil {
		return nil
	}
	r, _ := c.connected.target.Preparer.(resumer)
	return r
}

// resumeAgent tells the gateway at once that the call continues. Others are asked later, if they are silent.
func (c *Call) resumeAgent() {
	if r := c.gateway(); r != nil {
		d := c.b.Leg.Dialog()
		r.Resume(c.id, d.CallID, d.RemoteTarget)
	}
}

// withGatewaysWord returns a fact with the cause that the gateway of bots gives in its BYE. From other peers the same
// words mean nothing.
func (c *Call) withGatewaysWord(from *LegOnWire, f leg.Fact) leg.Fact {
	gone, is := f.(leg.Gone)
	if !is || !gone.ByPeer || from != c.b || c.gateway() == nil {
		return f
	}
	var reasons []string
	for _, h := range gone.Headers {
		if strings.EqualFold(h.Name(), "Reason") {
			reasons = append(reasons, h.Value())
		}
	}
	gone.Cause = cause.OfGateway(reasons)
	return gone
}
