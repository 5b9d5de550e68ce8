package b2bua

import (
	"context"
	"fmt"
	"time"

	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registry"
	"flowbridge/store/record"
)

// What others may ask of the calls that are live.

// probed is how many calls Responsive asks.
const probed = 8

// Responsive says whether calls are handled: one of several live calls answers
// before ctx ends. It never returns if a lock is stuck, so only a watchdog should
// call it.
func (s *Server) Responsive(ctx context.Context) error {
	calls := s.registry.All() // in the order of a map, which is by chance
	calls = calls[:min(len(calls), probed)]
	s.admission.IsDraining() // takes its lock
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

// Underway gives the calls that have a turn, each with a number that changes while that gets on.
func (s *Server) Underway(yield func(id string, step uint64)) {
	for _, c := range s.registry.All() {
		if step, is := c.mailbox.Underway(); is {
			yield(c.id, step)
		}
	}
}

// Live gives the calls that are live, in no order. One that is over is none, though it can be found until its record is
// kept.
func (s *Server) Live(ctx context.Context) []registry.LiveCall {
	var all []registry.LiveCall
	for _, c := range s.registry.All() {
		if l, ok := c.ask(ctx); ok && l.Record.EndedAt.IsZero() {
			all = append(all, l)
		}
	}
	return all
}

// Find gives the live call with this id.
func (s *Server) Find(ctx context.Context, id string) (registry.LiveCall, bool) {
	c := s.registry.Call(id)
	if c == nil {
		return registry.LiveCall{}, false
	}
	return c.ask(ctx)
}

// cdr is the call's CDR so far.
func (c *Call) cdr() record.Record {
	if c.ended != nil {
		return *c.ended
	}
	r := c.record.Record()
	if !c.times.answered.IsZero() {
		r.DurationMS = time.Since(c.times.answered).Milliseconds() // so far
	}
	r.ID, r.Node, r.Route, r.Direction = c.id, c.server.node, c.vars.Route, c.vars.Direction
	r.From, r.To, r.Lead = c.vars.From.Number, c.vars.To.Number, c.vars.Lead().Number
	r.SIPCallID, r.Codec = c.vars.SIPCallID, c.bridge.Agreement.CodecName
	r.TraceID, r.Traceparent = c.trace.ID(), c.trace.Caller()
	c.bridge.Record(&r)
	return r
}

// noteDestination notes an attempt's destination in the record. In a call that a
// target has placed, the record's target is that one.
func (c *Call) noteDestination(t *peers.Target) {
	switch {
	case c.trunk.Platform == nil:
		c.record.Target = t.Dial.Name
	case t.Trunk != nil:
		c.record.Trunk = t.Dial.Name
	}
}
