package call

import (
	"time"

	"flowbridge/b2bua/peers"
	"flowbridge/store/record"
)

// cdr returns the call's record so far, or the final record if the call has ended.
func (c *Call) cdr() record.Record {
	if c.ended != nil {
		return *c.ended
	}
	r := c.record.Record()
	if !c.times.answered.IsZero() {
		r.DurationMS = time.Since(c.times.answered).Milliseconds() // of a call that continues
	}
	r.ID, r.Node, r.Route, r.Direction = c.id, c.host.Node, c.vars.Route, c.vars.Direction
	r.From, r.To, r.Lead = c.vars.From.Number, c.vars.To.Number, c.vars.Lead().Number
	r.SIPCallID, r.Codec = c.vars.SIPCallID, c.bridge.Agreement.CodecName
	r.TraceID, r.Traceparent = c.trace.ID(), c.trace.Caller()
	c.bridge.Record(&r)
	return r
}

// noteDestination sets the record's target, or the trunk if the call was placed by a target, from the target of an
// attempt.
func (c *Call) noteDestination(t *peers.Target) {
	switch {
	case c.trunk.Platform == nil:
		c.record.Target = t.Dial.Name
	case t.Trunk != nil:
		c.record.Trunk = t.Dial.Name
	}
}
