package b2bua

import (
	"context"
	"errors"
	"time"

	"flowbridge/b2bua/redirected"
	"flowbridge/b2bua/registry"
)

// errNoAnswer means that the call with this id did not answer within askFor.
var errNoAnswer = errors.New("the call with this id does not answer")

// askFor limits the wait for a call's answer.
const askFor = 500 * time.Millisecond

// FindNamed returns the live call with an id, which may be ours, a leg's Call-ID, the platform's or an external one.
// The error is redirected.ErrUnknownCall, redirected.ErrSeveralCalls or errNoAnswer.
func (s *Server) FindNamed(ctx context.Context, id string) (registry.LiveCall, error) {
	calls := s.registry.Named(id)
	switch len(calls) {
	case 0:
		return registry.LiveCall{}, redirected.ErrUnknownCall
	case 1:
	default:
		return registry.LiveCall{}, redirected.ErrSeveralCalls
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	if l, ok := calls[0].Ask(ctx); ok {
		return l, nil
	}
	return registry.LiveCall{}, errNoAnswer
}
