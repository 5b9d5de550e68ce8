package b2bua

import (
	"context"
	"errors"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/store/record"
)

// Order is an operator's command to a live call.
type Order int

// The orders.
const (
	OrderRecord Order = iota // begin a recording
	OrderStop                // end the recording
	OrderPause               // pause the recording
	OrderResume              // resume the recording
	OrderMask                // begin to mask the caller's keys
	OrderUnmask              // end masking
	OrderHangup              // end the call. It may be repeated, and does nothing to a call that is over.
)

// ErrNoCall means that no live call has the id.
var ErrNoCall = errors.New("no such call is live")

// OrderError says why a call can't carry out an order.
type OrderError = bridge.OrderError

// PlayRequest is a sound for a side of a live call.
type PlayRequest = bridge.PlayRequest

// order is an Order on its way to a call.
type order struct {
	what  Order
	play  *PlayRequest // instead of what; nil: none
	reply chan<- ordered
}

// ordered is the result of an order.
type ordered struct {
	live LiveCall
	err  error
}

// Order has the live call with this id carry out an order, and gives its state
// afterwards. The error is ErrNoCall, an *OrderError, or ctx's.
func (s *Server) Order(ctx context.Context, id string, what Order) (LiveCall, error) {
	return s.order(ctx, id, order{what: what})
}

// Play plays a sound to a side of the live call with this id. Its errors are those
// of Order.
func (s *Server) Play(ctx context.Context, id string, p PlayRequest) (LiveCall, error) {
	return s.order(ctx, id, order{play: &p})
}

func (s *Server) order(ctx context.Context, id string, o order) (LiveCall, error) {
	c := s.registry.Call(id)
	if c == nil {
		return LiveCall{}, ErrNoCall
	}
	reply := make(chan ordered, 1)
	o.reply = reply
	switch posted := c.mailbox.Post(item{order: &o}); {
	case !posted && o.what == OrderHangup && o.play == nil:
		return c.snapshot(), nil // it is over, and nothing writes its state any more
	case !posted:
		return LiveCall{}, ErrNoCall
	}
	select {
	case done := <-reply:
		return done.live, done.err
	case <-ctx.Done():
		return LiveCall{}, ctx.Err()
	}
}

// carryOut carries out an operator's order.
func (c *Call) carryOut(o *order) {
	err := ErrNoCall
	switch {
	case o.play == nil && o.what == OrderHangup:
		c.orderedToEnd(o)
		return
	case c.finished:
	case o.play != nil:
		err = c.bridge.Sounds.Order(*o.play)
	default:
		err = c.obey(o.what)
	}
	if err == nil { // who is told that keys are masked relies on it, whatever becomes of this process
		c.notes.before(true)
	}
	o.reply <- ordered{c.snapshot(), err}
}

func (c *Call) obey(what Order) error {
	switch what {
	case OrderRecord:
		return c.bridge.Recordings.OrderStart()
	case OrderStop:
		return c.bridge.Recordings.OrderStop()
	case OrderPause:
		return c.bridge.Recordings.Pause(true)
	case OrderResume:
		return c.bridge.Recordings.Pause(false)
	case OrderMask:
		return c.bridge.Masking.Order(true)
	case OrderUnmask:
		return c.bridge.Masking.Order(false)
	case OrderHangup: // carryOut has it
	}
	return nil
}

// orderedToEnd ends the call. The order's answer waits for that.
func (c *Call) orderedToEnd(o *order) {
	if c.finished {
		o.reply <- ordered{c.snapshot(), nil}
		return
	}
	c.hangups = append(c.hangups, o.reply)
	c.mailbox.happened(killed{Cause: cause.OperatorHangup, By: record.EndedByOperator})
}

// answerHangups answers the orders that wait for the call's end.
func (c *Call) answerHangups() {
	for _, reply := range c.hangups {
		reply <- ordered{c.snapshot(), nil}
	}
	c.hangups = nil
}
