package b2bua

import (
	"context"
	"fmt"
	"time"

	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registry"
	"flowbridge/store/record"
)

// probed is the number of calls that Responsive probes.
const probed = 8

// Responsive returns nil if one of several live calls answers before ctx ends, so calls are being handled. It
// blocks forever if a lock is stuck, so only a watchdog should call it.
func (s *Server) Responsive(ctx context.Context) error {
	calls := s.registry.All() // a random sample, because the order of a map is random
	calls = calls[:min(len(calls), probed)]
	s.admission.IsDraining() // blocks if the lock of the limits is stuck
	if len(calls) == 0 {
		return nil
	}
	answers := make(chan bool, len(calls))
	for _, c := range calls {
		go func() { // ends with ctx at the latest
			_, ok := c.ask(ctx)
			answers <- ok
		}()
	}
	for range calls {
		if <-answers {
			return nil
		}
	}
	return fmt.Errorf("none of %d calls answers: %w", len(calls), context.Cause(ctx))
}

// Underway yields the calls that have a turn now. step changes whenever the turn makes progress.
func (s *Server) Underway(yield func(id string, step uint64)) {
	for _, c := range s.registry.All() {
		if step, is := c.mailbox.Underway(); is {
			yield(c.id, step)
		}
	}
}

// Live returns the live calls, in no particular order. A finished call is not among them, although Find returns it
// until its record is stored.
func (s *Server) Live(ctx context.Context) []registry.LiveCall {
	var all []registry.LiveCall
	for _, c := range s.registry.All() {
		if l, ok := c.ask(ctx); ok && l.Record.EndedAt.IsZero() {
			all = append(all, l)
		}
	}
	return all
}

// Find returns the live call with this id.
func (s *Server) Find(ctx context.Context, id string) (registry.LiveCall, bool) {
	c := s.registry.Call(id)
	if c == nil {
		return registry.LiveCall{}, false
	}
	return c.ask(ctx)
}

// cdr returns the call's record so far, or the final record if the call has ended.
func (c *Call) cdr() record.Record {
	if c.ended != nil {
		return *c.ended
	}
	r := c.record.Record()
	if !c.times.answered.IsZero() {
		r.DurationMS = time.Since(c.times.answered).Milliseconds() // of a call that continues
	}
	r.ID, r.Node, r.Route, r.Direction = c.id, c.server.node, c.vars.Route, c.vars.Direction
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
