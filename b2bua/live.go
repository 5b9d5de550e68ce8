package b2bua

import (
	"context"
	"fmt"

	"flowbridge/b2bua/registry"
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

// Reading gives the SIP sockets whose reader handles a message, as Underway gives calls.
func (s *Server) Reading(yield func(socket string, step uint64)) { s.stack.Reading(yield) }

// Live gives the calls that are live, in no order.
func (s *Server) Live(ctx context.Context) []registry.LiveCall {
	var all []registry.LiveCall
	for _, c := range s.registry.All() {
		if l, ok := c.ask(ctx); ok {
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
