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

// order is a command of an operator or a tool that is posted to a call.
type order struct {
	do    func(*Call) error // nil means that the call should end
	reply chan<- ordered
}

// ordered is the result of an operator's command.
type ordered struct {
	live registry.LiveCall
	err  error
}

// Order gives a command to the live call with this id, and returns the call's state afterwards. The error is
// ErrNoCall, a *bridge.OrderError, or ctx's.
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

// Press sends keys to a side of the live call with this id. It waits until each key that is sent as INFO is answered.
// Its errors are those of Order.
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

// SetVariables sets variables of the live call with this id, like outbound.SetVariables. by names who asks. Its errors
// are those of Order.
func (s *Server) SetVariables(ctx context.Context, id, by string, all map[string]string) (registry.LiveCall, error) {
	return s.order(ctx, id, func(c *Call) error { return c.setVariables(by, all) })
}

// Called returns our id of the live call that has the given id, which may also be a leg's Call-ID or an id of a
// platform or carrier. Its errors are those of Order.
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
		return c.snapshot(), nil // the state of a call that is over no longer changes
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

// carryOut carries out a command and answers it.
func (c *Call) carryOut(o *order) {
	err := ErrNoCall
	switch {
	case o.do == nil:
		c.orderedToEnd(o)
		return
	case !c.finished:
		err = o.do(c)
	}
	if err == nil { // if this answer says that keys are masked, they must stay masked even if this process dies
		c.checkpoint.flush(true)
	}
	o.reply <- ordered{c.snapshot(), err}
}

// setVariables sets variables of a settled call. Before the caller has confirmed the answer it returns an error,
// because the caller's INVITE must not change.
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

// orderedToEnd ends the call. The command is answered when the call has ended.
func (c *Call) orderedToEnd(o *order) {
	if c.finished {
		o.reply <- ordered{c.snapshot(), nil}
		return
	}
	c.orders.hangups = append(c.orders.hangups, o.reply)
	c.mailbox.happened(killed{Cause: cause.OperatorHangup, By: record.EndedByOperator})
}

// orders holds the commands to end the call. They are answered when it has ended.
type orders struct {
	idle
	hangups []chan<- ordered
}

// release answers the commands to end the call.
func (os *orders) release() {
	for _, reply := range os.hangups {
		reply <- ordered{os.call.snapshot(), nil}
	}
	os.hangups = nil
}
