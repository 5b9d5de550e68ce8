package call

import (
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/store/record"
)

// bridgeCall implements bridge.Call.
type bridgeCall struct{ call *Call }

var _ bridge.Call = bridgeCall{}

// Half returns the leg on a side, or nil. On side B it is the leg connected to the caller, or, if there is none, the
// leg of the current attempt.
func (b bridgeCall) Half(side media.Side) *bridge.Half {
	switch c := b.call; {
	case side == media.SideA:
		return halfOf(c.a)
	case c.b != nil:
		return halfOf(c.b)
	case c.attempts.current != nil && c.attempts.current.side() == side:
		return halfOf(c.attempts.current.line)
	}
	return nil
}

// Connected returns the leg that is connected to the caller, or nil.
func (b bridgeCall) Connected() *bridge.Half { return halfOf(b.call.b) }

func halfOf(l *LegOnWire) *bridge.Half {
	if l == nil {
		return nil
	}
	return &l.Half
}

// Called returns the target that Half(media.SideB) calls, or nil.
func (b bridgeCall) Called() *peers.Target {
	switch c := b.call; {
	case c.b != nil:
		return c.connected.target
	case c.attempts.current != nil && c.attempts.current.side() == media.SideB:
		return c.attempts.current.target
	}
	return nil
}

// Policy returns the configuration of the platform that placed the call, or else of the target that the caller is,
// was last, or will be connected to. It is empty if there is none: no target has taken the call.
func (b bridgeCall) Policy() *peers.Policy {
	switch c := b.call; {
	case c.connected == nil && b.Called() != nil:
		return &b.Called().Dial.Policy
	case c.connected == nil && len(c.attempts.plan.Targets) > 0:
		return &c.attempts.plan.Targets[0].Dial.Policy
	case c.connected == nil:
		return &peers.Policy{}
	case c.trunk.Platform != nil:
		return c.trunk.Platform
	default:
		return &c.connected.target.Dial.Policy
	}
}

// Route returns the call's route.
func (b bridgeCall) Route() *config.Route { return b.call.route }

// Moment returns a summary of the call's state for the bridge.
func (b bridgeCall) Moment() bridge.Moment {
	c, who := b.call, b.call.whoIs()
	calls := c.replacements.underway()
	return bridge.Moment{
		Answered: who != ringing, Transfer: calls, AgentLeft: calls && (who == alone || who == first),
		Rescue: c.replacements.lost(), First: who == first,
		Apart: calls || who == first || who != ringing && c.connected.plan.Reason == record.ReasonTransfer,
	}
}

// Post puts an event of the bridge into the call's inbox.
func (b bridgeCall) Post(e bridge.Event) { b.call.mailbox.Post(item{event: inBridge{e}}) }
