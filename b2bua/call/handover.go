package call

import (
	"context"
	"errors"
	"slices"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/snapshot"
	"flowbridge/b2bua/transport"
	"flowbridge/media"
	"flowbridge/store/record"
)

// This file hands a call over to a process that replaces this one.

var (
	// ErrSetUp means that the call can only be handed over by setting it up again.
	ErrSetUp    = errors.New("it is being set up")
	errEarly    = errors.New("it is being set up, and the caller hears the target already")
	errPlaced   = errors.New("it is being placed")
	errTransfer = errors.New("a transfer is under way")
	errExchange = errors.New("a change of its media is under way")
	// errConnection means that the caller waits for an answer over a TLS connection, which can't be handed over.
	errConnection = errors.New("it is being set up over a connection that does not go over")
)

// Unready returns why a call can't be handed over, or nil if it can. No call may have a turn meanwhile.
func (c *Call) Unready() error {
	if c.finished {
		return nil
	}
	for _, p := range c.all() {
		if err := p.busy(); err != nil {
			return err
		}
	}
	switch {
	case c.restarts():
		return c.unreadyInSetUp()
	case c.whoIs() == ringing: // a placed call: its first party keeps ringing
		return nil
	case c.b == nil, c.a == nil, c.attempts.current != nil && c.attempts.current != c.connected:
		return errTransfer
	case c.bridge.Exchanges.Underway(), c.a.Crypto.Agrees(), c.b.Crypto.Agrees():
		return errExchange
	case c.mailbox.due.Len() > 0, c.mailbox.pending.Len() > 0:
		return bridge.ErrRequest
	}
	if slices.ContainsFunc(c.legs, (*LegOnWire).busy) {
		return bridge.ErrRequest
	}
	return c.bridge.Busy()
}

// busy reports whether a request of the leg or its peer waits for an answer.
func (l *LegOnWire) busy() bool {
	return !l.Leg.IsIdle() || !l.wire.IsIdle() || !l.sequence.Until.IsZero()
}

// restarts reports whether a new process would set this call up again, from the caller's INVITE.
func (c *Call) restarts() bool { return c.whoIs() == ringing && c.a != nil && c.a.Leg.UAS }

// unreadyInSetUp is Unready for a call that would restart. It returns ErrSetUp if the restart is possible.
func (c *Call) unreadyInSetUp() error {
	switch {
	case c.progressSent.earlyMedia && c.bridge.Agreement.Description[media.SideB] != nil:
		return errEarly
	case c.a.Leg.AwaitsPRACK() || c.a.Crypto.Agrees():
		return bridge.ErrRequest
	case !c.a.wire.CanHandOver():
		return errConnection
	}
	return ErrSetUp
}

// Giving is a function that passes a call's record and state to another process, with the sockets of its media, or nil
// if it has none.
type Giving = func(record.Saved, *media.Sockets) error

// HandOver hands over the call of a frozen server. It returns the call's INVITE if the other process sets the call up
// again. undo, if it is not nil, has the call continue here, even after an error.
func (c *Call) HandOver(ctx context.Context, each Giving) (invite *transport.HeldState, undo func(), err error) {
	switch {
	case c.finished:
		return nil, nil, c.handOverOwed(record.Record{ID: c.id}, c.checkpoint.outstanding, each)
	case c.restarts() && errors.Is(c.Unready(), ErrSetUp):
		invite, err := c.handOverSetUp(each)
		return &invite, nil, err
	}
	undo, err = c.handOver(ctx, each)
	return nil, undo, err
}

// handOver hands over a call that continues unchanged.
func (c *Call) handOver(ctx context.Context, each Giving) (undo func(), err error) {
	if err := c.Unready(); err != nil && !errors.Is(err, ErrSetUp) {
		return nil, err
	}
	state := &snapshot.Sheet{Handed: true}
	c.save(state)
	sockets := c.bridge.HandOver(state)
	undo = func() {
		c.bridge.Tell(bridge.Undone{})
		if c.bridge.Settled() != nil { // the handover has stopped a recording, and the record names its file
			c.checkpoint.markDirty()
		}
	}
	l := record.Saved{Record: c.cdr()}
	if settled := c.bridge.Settled(); settled != nil {
		settled(ctx, &l.Record)
	}
	if l.State, err = state.Encode(); err != nil {
		return undo, err
	}
	return undo, each(l, sockets)
}

// handOverSetUp hands over a call that is being set up. The other process cancels the attempt, and sets the call up
// again from the caller's INVITE. It uses the same To tag, so the caller does not notice. A sound that we play to the
// caller continues, on the same ports.
func (c *Call) handOverSetUp(each Giving) (invite transport.HeldState, err error) {
	invite, ok := c.a.wire.HeldInvite(c.invite, c.source)
	if !ok {
		return invite, ErrSetUp
	}
	state := &snapshot.Sheet{Handed: true}
	c.save(state)
	owes := func(owed *snapshot.Sheet) {
		state.Part(owed)
		owed.Ended = string(cause.ProcessRestart)
	}
	if err = c.handOverOwed(record.Record{ID: record.NewID()}, owes, each); err != nil {
		return invite, err
	}
	var sockets *media.Sockets
	if c.progressSent.earlyMedia {
		sockets = c.bridge.HandOver(state)
	}
	l := record.Saved{Record: c.cdr()}
	if l.State, err = state.Encode(); err == nil {
		err = each(l, sockets)
	}
	return invite, err
}

// handOverOwed hands over the legs that still have messages to send. owes adds them to a sheet. If it adds none,
// nothing is handed over.
func (c *Call) handOverOwed(of record.Record, owes func(*snapshot.Sheet), each Giving) error {
	state := &snapshot.Sheet{}
	owes(state)
	state.ID = of.ID
	if len(state.Legs) == 0 {
		return nil
	}
	text, err := state.Encode()
	if err != nil {
		return err
	}
	return each(record.Saved{Record: of, State: text, Owed: true}, nil)
}

// Rests reports whether the call has nothing left to handle.
func (c *Call) Rests() bool { return c.mailbox.Rests() }

// Answered reports whether the call is answered.
func (c *Call) Answered() bool { return !c.times.answered.IsZero() }

// Checkpoint writes a checkpoint of a call that has not ended, and reports whether it is answered. The server must be
// frozen.
func (c *Call) Checkpoint() (answered bool) {
	if c.finished {
		return false
	}
	c.checkpoint.write()
	return c.Answered()
}
