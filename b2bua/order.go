package b2bua

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/registry"
	"flowbridge/store/record"
)

// ErrNoCall means that no live call has the id.
var ErrNoCall = errors.New("no such call is live")

// order is an order on its way to a call.
type order struct {
	do    func(*Call) error // nil for an order to end the call
	reply chan<- ordered
}

// ordered is the result of an order.
type ordered struct {
	live registry.LiveCall
	err  error
}

// Order makes the live call with this id carry out an order, and returns its state
// afterwards. The error is ErrNoCall, a *bridge.OrderError, or ctx's.
func (s *Server) Order(ctx context.Context, id string, what bridge.Order) (registry.LiveCall, error) {
	if what == bridge.OrderHangup {
		return s.order(ctx, id, nil)
	}
	return s.order(ctx, id, func(c *Call) error { return c.bridge.Obey(what) })
}

// Play plays a sound to a side of the live call with this id. Its errors are those
// of Order.
func (s *Server) Play(ctx context.Context, id string, p bridge.PlayRequest) (registry.LiveCall, error) {
	return s.order(ctx, id, func(c *Call) error { return c.bridge.Sounds.Order(p) })
}

// Listen lets somebody hear the live call with this id. Its errors are those of Order.
func (s *Server) Listen(ctx context.Context, id string, r bridge.ListenRequest) error {
	_, err := s.order(ctx, id, func(c *Call) error { return c.bridge.Listening.Order(r) })
	return err
}

// Press sends keys to a side of the live call with this id, and waits until each key that is sent as INFO has its
// answer. It returns the errors of Order.
func (s *Server) Press(ctx context.Context, id string, d bridge.DigitsRequest) (registry.LiveCall, error) {
	result := make(chan error, 1)
	live, err := s.order(ctx, id, func(c *Call) error { return c.bridge.Press(d, result) })
	if err == nil {
		select {
		case err = <-result:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	return live, err
}

// SetVariables is outbound.SetVariables for the live call with this id. Its errors are those of Order.
func (s *Server) SetVariables(ctx context.Context, id, by string, all map[string]string) (registry.LiveCall, error) {
	return s.order(ctx, id, func(c *Call) error { return c.setVariables(by, all) })
}

// Called returns our id of the call that has an id of any origin. Its errors are those of Order.
func (s *Server) Called(id string) (ours string, err error) {
	c, err := s.called(id)
	if err != nil {
		return "", err
	}
	return c.id, nil
}

// called finds a live call by our id, the Call-ID of a leg, or another id that hooks may use.
func (s *Server) called(id string) (*Call, error) {
	if c := s.registry.Call(id); c != nil {
		return c, nil
	}
	all := s.registry.Search(id, func(l *legOnWire) bool { return l.callID == id })
	switch len(all) {
	case 0:
		return nil, ErrNoCall
	case 1:
		return all[0], nil
	}
	return nil, &bridge.OrderError{
		Problem: "several calls have this id, among them " + all[0].id + " and " + all[1].id, Remedy: "take one of these",
	}
}

func (s *Server) order(ctx context.Context, id string, do func(*Call) error) (registry.LiveCall, error) {
	c, err := s.called(id)
	if err != nil {
		return registry.LiveCall{}, err
	}
	reply := make(chan ordered, 1)
	switch posted := c.mailbox.Post(item{order: &order{do, reply}}); {
	case !posted && do == nil:
		return c.snapshot(), nil // the call is over, so its state no longer changes
	case !posted && !c.mailbox.Closed():
		return registry.LiveCall{}, &bridge.OrderError{
			Problem: "too many orders wait for the call", Remedy: "give one at a time", Code: 429,
		}
	case !posted:
		return registry.LiveCall{}, ErrNoCall
	}
	select {
	case done := <-reply:
		return done.live, done.err
	case <-ctx.Done():
		return registry.LiveCall{}, ctx.Err()
	}
}

// carryOut carries out an operator's order.
func (c *Call) carryOut(o *order) {
	err := ErrNoCall
	switch {
	case o.do == nil:
		c.orderedToEnd(o)
		return
	case !c.finished:
		err = o.do(c)
	}
	if err == nil { // an operator who is told that keys are masked relies on it, even if this process dies
		c.checkpoint.flush(true)
	}
	o.reply <- ordered{c.snapshot(), err}
}

// setVariables sets variables of a settled call. It fails before the call is settled, because the caller's INVITE must
// not change.
func (c *Call) setVariables(by string, all map[string]string) error {
	if c.invite != nil {
		return &bridge.OrderError{
			Problem: "the call has no agent yet, or its caller has not confirmed the answer", Remedy: "ask again in a moment",
		}
	}
	text, set, err := outbound.SetVariables(c.caller, c.record.Variables, all)
	if err != nil {
		return bridge.Refusal(err)
	}
	c.caller, c.record.Variables, c.vars.HeaderFunc = text, set, text.Value
	c.ladder.Decide("%s sets variables of the call: %s", by, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
	return nil
}

// orderedToEnd ends the call. The answer to the order waits for the end.
func (c *Call) orderedToEnd(o *order) {
	if c.finished {
		o.reply <- ordered{c.snapshot(), nil}
		return
	}
	c.orders.hangups = append(c.orders.hangups, o.reply)
	c.mailbox.happened(killed{Cause: cause.OperatorHangup, By: record.EndedByOperator})
}

// orders has the orders that wait for the call's end.
type orders struct {
	idle
	hangups []chan<- ordered
}

// release answers the orders.
func (os *orders) release() {
	for _, reply := range os.hangups {
		reply <- ordered{os.call.snapshot(), nil}
	}
	os.hangups = nil
}
