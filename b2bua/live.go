package b2bua

import (
	"context"
	"fmt"

	"flowbridge/b2bua/registry"
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
			_, ok := c.Ask(ctx)
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
		if step, is := c.Underway(); is {
			yield(c.ID(), step)
		}
	}
}

// Live returns the live calls, in no particular order. A finished call is not among them, although Find returns it
// until its record is stored.
func (s *Server) Live(ctx context.Context) []registry.LiveCall {
	var all []registry.LiveCall
	for _, c := range s.registry.All() {
		if l, ok := c.Ask(ctx); ok && l.Record.EndedAt.IsZero() {
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
	return c.Ask(ctx)
}
