package b2bua

import (
	"context"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/call"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/registry"
)

// ErrNoCall means that no live call has the id.
var ErrNoCall = call.ErrOver

// Order gives a command to the live call with this id, and returns the call's state afterwards. The error is
// ErrNoCall, a *bridge.OrderError, or ctx's.
func (s *Server) Order(ctx context.Context, id string, what bridge.Order) (registry.LiveCall, error) {
	if what == bridge.OrderHangup {
		return s.order(ctx, id, nil)
	}
	return s.order(ctx, id, func(c *call.Call) error { return c.Bridge().Obey(what) })
}

// Play plays a sound to a side of the live call with this id. Its errors are those
// of Order.
func (s *Server) Play(ctx context.Context, id string, p bridge.PlayRequest) (registry.LiveCall, error) {
	return s.order(ctx, id, func(c *call.Call) error { return c.Bridge().Sounds.Order(p) })
}

// Listen lets somebody hear the live call with this id. Its errors are those of Order.
func (s *Server) Listen(ctx context.Context, id string, r bridge.ListenRequest) error {
	_, err := s.order(ctx, id, func(c *call.Call) error { return c.Bridge().Listening.Order(r) })
	return err
}

// Press sends keys to a side of the live call with this id. It waits until each key that is sent as INFO is answered.
// Its errors are those of Order.
func (s *Server) Press(ctx context.Context, id string, d bridge.DigitsRequest) (registry.LiveCall, error) {
	result := make(chan error, 1)
	live, err := s.order(ctx, id, func(c *call.Call) error { return c.Bridge().Press(d, result) })
	if err == nil {
		select {
		case err = <-result:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return live, err
}

// SetVariables sets variables of the live call with this id, like outbound.SetVariables. by names who asks. Its errors
// are those of Order.
func (s *Server) SetVariables(ctx context.Context, id, by string, all map[string]string) (registry.LiveCall, error) {
	return s.order(ctx, id, func(c *call.Call) error { return c.SetVariables(by, all) })
}

// Called returns our id of the live call that has the given id, which may also be a leg's Call-ID or an id of a
// platform or carrier. Its errors are those of Order.
func (s *Server) Called(id string) (ours string, err error) {
	c, err := s.called(id)
	if err != nil {
		return "", err
	}
	return c.ID(), nil
}

// called finds a live call by our id, the Call-ID of a leg, or another id that hooks may use.
func (s *Server) called(id string) (*call.Call, error) {
	if c := s.registry.Call(id); c != nil {
		return c, nil
	}
	all := s.registry.Search(id, func(l *call.LegOnWire) bool { return l.CallID() == id })
	switch len(all) {
	case 0:
		return nil, ErrNoCall
	case 1:
		return all[0], nil
	}
	return nil, &bridge.OrderError{
		Problem: "several calls have this id, among them " + all[0].ID() + " and " + all[1].ID(), Remedy: "take one of these",
	}
}

func (s *Server) order(ctx context.Context, id string, do func(*call.Call) error) (registry.LiveCall, error) {
	c, err := s.called(id)
	if err != nil {
		return registry.LiveCall{}, err
	}
	return c.Order(ctx, do)
}

// Transfer starts a transfer of the live call with this id. LiveCall.Transfer shows its progress. It returns the errors
// of Order.
func (s *Server) Transfer(ctx context.Context, id string, r bridge.TransferRequest) (registry.LiveCall, error) {
	return s.order(ctx, id, func(c *call.Call) error { return c.Transfer(&r) })
}

// Originate places a call, and returns the call's state as soon as the first party is being called. The origination's
// ID must be unique. The error is an *outbound.PlaceError, or ctx's.
func (s *Server) Originate(ctx context.Context, o *outbound.Origination) (registry.LiveCall, error) {
	return call.Originate(ctx, &s.host, o)
}
