package b2bua

import (
	"context"
	"fmt"
)

// probed is how many calls are asked for a sign of life.
const probed = 8

// Responsive says whether calls are handled: of some that are live, one
// answers before ctx ends. It does not return at all where the tables can't be
// read, so it belongs to a watchdog.
func (s *Server) Responsive(ctx context.Context) error {
	calls := s.registry.some(probed)
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
