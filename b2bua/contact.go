package b2bua

import (
	"context"
	"errors"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/reach"
	"flowbridge/b2bua/transport"
)

var errNotRegistered = errors.New("nothing is registered for the trunk")

// atContact leads an attempt at a trunk that registers here to the best of its Contacts that can be reached.
func (s *Server) atContact(ctx context.Context, t *peers.Target, out reach.Reached) reach.Reached {
	if !t.Dial.Registered || out.Cause != cause.None {
		return out
	}
	user, holder := out.URI.User, "trunk "+t.Dial.Name
	out.Cause, out.Err = cause.TargetUnreachable, errNotRegistered
	for _, b := range s.registrar.Of(holder, time.Now()) {
		by := transport.Registered{Transport: b.Transport, From: b.Received, Flow: b.Flow, Path: b.Path}
		flow, dest, err := s.stack.WayBack(ctx, &by, t.Dial.TLS)
		if err != nil {
			out.Err = err
			if errors.Is(err, transport.ErrFlowGone) {
				s.registrar.Drop(holder, b)
			}
			if ctx.Err() != nil { // the caller has given up
				return out
			}
			continue
		}
		out.URI, out.Flow, out.Dest, out.Route = message.ParseURI(b.Contact), flow, dest, b.Path
		if user != "" {
			out.URI.User = user
		}
		out.Cause, out.Err = cause.None, nil
		return out
	}
	return out
}
