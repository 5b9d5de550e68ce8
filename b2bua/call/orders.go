package call

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
	"flowbridge/media"
	"flowbridge/store/record"
)

// ErrOver is the answer to an order for a call that is over.
var ErrOver = errors.New("no such call is live")

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

// Order has the call carry out a command in one of its turns, and returns the call's state afterwards. If do is nil,
// the call ends. The error is do's, ErrOver, a *bridge.OrderError, or ctx's.
func (c *Call) Order(ctx context.Context, do func(*Call) error) (registry.LiveCall, error) {
	reply := make(chan ordered, 1)
	switch posted := c.mailbox.Post(item{order: &order{do, reply}}); {
	case !posted && do == nil:
		return c.snapshot(), nil // the state of a call that is over no longer changes
	case !posted && !c.mailbox.Closed():
		return registry.LiveCall{}, &bridge.OrderError{
			Problem: "too many orders wait for the call", Remedy: "give one at a time", Code: 429,
		}
	case !posted:
		return registry.LiveCall{}, ErrOver
	}
	select {
	case done := <-reply:
		return done.live, done.err
	case <-ctx.Done():
		return registry.LiveCall{}, ctx.Err()
	}
}

// Bridge returns the call's bridge, for an order.
func (c *Call) Bridge() *bridge.Bridge { return &c.bridge }

// On passes an event of the call's media to its bridge, from any goroutine.
func (c *Call) On(e media.Event) { c.bridge.Media.On(e) }

// carryOut carries out a command and answers it.
func (c *Call) carryOut(o *order) {
	err := ErrOver
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

// SetVariables sets variables of a settled call, for an order. Before the caller has confirmed the answer it returns an
// error, because the caller's INVITE must not change.
func (c *Call) SetVariables(by string, all map[string]string) error {
	if c.invite != nil {
		return &bridge.OrderError{
			Problem: "the call has no agent yet, or its caller has not confirmed the answer", Remedy: "ask again in a moment",
		}
	}
	text, set, err := outbound.SetVariables(c.caller, c.record.Variables, all)
	if err != nil {
		return bridge.Refusal(err)
	}
	c.keepHeaders(text)
	c.record.setVariables(set)
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
