package b2bua

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/snapshot"
	"flowbridge/b2bua/transport"
	"flowbridge/media"
	"flowbridge/store/record"
)

// This file hands calls over to a process that replaces this one. The calls continue unchanged, because no message is
// missed, unlike when a process is killed.

// Freeze stops the SIP of the server until Thaw, and calls freeze once to stop the media. It returns an error, and the
// server continues, if ctx ends first or a call can't be handed over.
func (s *Server) Freeze(ctx context.Context, freeze func()) error {
	err := s.stack.Freeze(ctx, func() error {
		if s.writes() { // wait with the media running, until the last records are written
			return errRecords
		}
		if freeze != nil {
			freeze()
			freeze = nil
		}
		return s.unready()
	})
	if err != nil {
		return err
	}
	if err = s.settled(true); err != nil {
		s.Thaw()
	}
	return err
}

// Thaw undoes Freeze and HandOver, so that the server continues.
func (s *Server) Thaw() {
	for _, again := range s.undoHandOver {
		again()
	}
	s.undoHandOver = nil
	s.stack.Serve()
}

var (
	errRecords = errors.New("records of calls are being written")
	errMailbox = errors.New("it has something to do")
)

// unready returns an error if a call can't be handed over. Calls that only write their records do not count.
func (s *Server) unready() error {
	if s.writes() {
		return errRecords
	}
	for _, c := range s.registry.Open() {
		if !c.mailbox.Rests() {
			return fmt.Errorf("call %s: %w", c.id, errMailbox)
		}
	}
	return nil
}

// Settled returns nil if every call can be handed over now. Otherwise its error names the first call that can't be and
// its reason, and says how many calls can't be. If again is set, calls whose set-up can restart in the other process
// don't count.
func (s *Server) Settled(ctx context.Context, again bool) (err error) {
	late := s.stack.Turns().Exclusive(ctx, func() { err = s.settled(again) })
	return errors.Join(late, err)
}

// settled is Settled for a caller that ensures that no call has a turn.
func (s *Server) settled(again bool) (first error) {
	waiting := 0
	for _, c := range s.registry.Open() {
		why := c.unready()
		if again && s.leaves.Load() != nil && c.times.answered.IsZero() {
			why = nil
		}
		if why != nil && (!again || !errors.Is(why, errSetUp)) {
			if waiting++; first == nil {
				first = fmt.Errorf("call %s: %w", c.id, why)
			}
		}
	}
	if first != nil {
		return fmt.Errorf("%d calls are being changed; %w", waiting, first)
	}
	return nil
}

var (
	errSetUp    = errors.New("it is being set up")
	errEarly    = errors.New("it is being set up, and the caller hears the target already")
	errPlaced   = errors.New("it is being placed")
	errTransfer = errors.New("a transfer is under way")
	errExchange = errors.New("a change of its media is under way")
	errRequest  = errors.New("a request has no answer yet")
	// errConnection means that the caller waits for an answer over a TLS connection, which can't be handed over.
	errConnection = errors.New("it is being set up over a connection that does not go over")
)

// unready returns why a call can't be handed over, or nil if it can. No call may have a turn meanwhile.
func (c *Call) unready() error {
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
	case c.bridge.Waits(), c.mailbox.due.Len() > 0, c.mailbox.pending.Len() > 0:
		return errRequest
	}
	if slices.ContainsFunc(c.legs, (*legOnWire).busy) {
		return errRequest
	}
	return nil
}

// busy reports whether a request of the leg or its peer waits for an answer.
func (l *legOnWire) busy() bool {
	return !l.Leg.IsIdle() || !l.wire.IsIdle() || !l.sequence.Until.IsZero()
}

// restarts reports whether a new process would set this call up again, from the caller's INVITE.
func (c *Call) restarts() bool { return c.whoIs() == ringing && c.a != nil && c.a.Leg.UAS }

// unreadyInSetUp is unready for a call that would restart. It returns errSetUp if the restart is possible.
func (c *Call) unreadyInSetUp() error {
	switch {
	case c.progressSent.earlyMedia && c.bridge.Agreement.Description[media.SideB] != nil:
		return errEarly
	case c.a.Leg.AwaitsPRACK() || c.a.Crypto.Agrees():
		return errRequest
	case !c.a.wire.CanHandOver():
		return errConnection
	}
	return errSetUp
}

// Leave stops the shutdown from waiting for unanswered calls, because another machine ends them. While full reports
// that the disk is full, the shutdown does not wait for records either, because the other machine writes them.
// Leave(nil) undoes this.
func (s *Server) Leave(full func() bool) {
	if s.leaves.Store(nil); full != nil {
		s.leaves.Store(&full)
	}
}

// writes reports whether the shutdown has to wait for records.
func (s *Server) writes() bool {
	full := s.leaves.Load()
	return s.unwritten.Load() > 0 && (full == nil || !(*full)())
}

// NoteAll writes a checkpoint of every call that has not ended, and returns how many of them are answered. The server
// must be frozen.
func (s *Server) NoteAll() (answered int) {
	for _, c := range s.registry.Open() {
		if !c.finished {
			c.checkpoint.write()
			if !c.times.answered.IsZero() {
				answered++
			}
		}
	}
	return answered
}

// giving is a function that passes a call's record and state to another process, with the sockets of its media, or nil
// if it has none.
type giving = func(record.Saved, *media.Sockets) error

// HandOver hands over the calls of a frozen server. It returns the INVITEs of the calls that the other process sets up
// again. They are sorted by the calls' ages, so that the call that has waited longest for a target is served first. An
// error means that a call can't be handed over.
func (s *Server) HandOver(each giving) (invites []transport.HeldState, err error) {
	// All calls share this time limit for writing their recordings: no audio flows until they are written.
	ctx, cancel := context.WithTimeout(s.ctx, bridge.SettleWait)
	defer cancel()
	all := s.registry.Open()
	slices.SortFunc(all, func(a, b *Call) int { return strings.Compare(a.id, b.id) })
	for _, c := range all {
		switch {
		case c.finished:
			err = c.handOverOwed(record.Record{ID: c.id}, c.checkpoint.outstanding, each)
		case c.restarts() && errors.Is(c.unready(), errSetUp):
			var invite transport.HeldState
			invite, err = c.handOverSetUp(each)
			invites = append(invites, invite)
		default:
			err = c.handOver(ctx, each)
		}
		if err != nil {
			return nil, fmt.Errorf("call %s: %w", c.id, err)
		}
	}
	return invites, nil
}

// handOver hands over a call that continues unchanged.
func (c *Call) handOver(ctx context.Context, each giving) error {
	if err := c.unready(); err != nil && !errors.Is(err, errSetUp) {
		return err
	}
	state := &snapshot.Sheet{Handed: true}
	c.save(state)
	sockets := c.bridge.HandOver(state)
	c.server.undoHandOver = append(c.server.undoHandOver, func() {
		c.bridge.Tell(bridge.Undone{})
		if c.bridge.Settled() != nil { // the handover has stopped a recording, and the record names its file
			c.checkpoint.markDirty()
		}
	})
	l := record.Saved{Record: c.cdr()}
	if settled := c.bridge.Settled(); settled != nil {
		settled(ctx, &l.Record)
	}
	var err error
	if l.State, err = state.Encode(); err != nil {
		return err
	}
	return each(l, sockets)
}

// handOverSetUp hands over a call that is being set up. The other process cancels the attempt, and sets the call up
// again from the caller's INVITE. It uses the same To tag, so the caller does not notice. A sound that we play to the
// caller continues, on the same ports.
func (c *Call) handOverSetUp(each giving) (invite transport.HeldState, err error) {
	invite, ok := c.a.wire.HeldInvite(c.invite, c.source)
	if !ok {
		return invite, errSetUp
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
func (c *Call) handOverOwed(of record.Record, owes func(*snapshot.Sheet), each giving) error {
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
