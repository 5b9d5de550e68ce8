package b2bua

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/kept"
	"flowbridge/internal/parallel"
	"flowbridge/media"
	"flowbridge/store/record"
)

// The calls of a process that another one replaces. Unlike those of a killed process they
// continue as they are, because no message was missed.

// Freeze has the server stand still until Thaw, and the media by freeze, once. If ctx ends
// before, or a call can't be handed over, the server goes on.
func (s *Server) Freeze(ctx context.Context, freeze func()) error {
	err := s.stack.Freeze(ctx, func() error {
		if s.writes() { // the media flow on while the last records are written
			return errRecords
		}
		if freeze != nil {
			freeze()
			freeze = nil
		}
		return s.rested()
	})
	if err != nil {
		return err
	}
	if err = s.settled(true); err != nil {
		s.Thaw()
	}
	return err
}

// Thaw undoes Freeze and HandOver.
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

// rested returns what the calls still have to do, of which no record is being written; nil: nothing.
func (s *Server) rested() error {
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

// Settled says that every call could be handed over; if not, it says what the first waits for, and how many do.
// again: calls in set-up may begin again, if their state allows it.
func (s *Server) Settled(ctx context.Context, again bool) (err error) {
	late := s.stack.Turns().Apart(ctx, func() { err = s.settled(again) })
	return errors.Join(late, err)
}

// settled is Settled while no call has a turn.
func (s *Server) settled(again bool) (first error) {
	waiting := 0
	for _, c := range s.registry.Open() {
		why := c.restless()
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
	// errConnection: the caller waits for an answer over TLS, and that connection ends with the process.
	errConnection = errors.New("it is being set up over a connection that does not go over")
)

// restless says why a call can't be handed over; nil: it can. No call has a turn.
func (c *Call) restless() error {
	switch {
	case c.finished:
		return nil
	case c.customer != nil:
		return c.restlessCustomer()
	case c.times.answered.IsZero():
		return c.restlessInSetUp()
	case c.b == nil, c.a == nil:
		return errTransfer
	case c.transfers.current != nil, c.attempts.current != nil && c.attempts.current != c.connected:
		return errTransfer
	case c.bridge.Exchanges.Underway(), c.a.Crypto.Agrees(), c.b.Crypto.Agrees():
		return errExchange
	case c.bridge.Relays.Open() > 0, c.notes.shares, c.mailbox.due.Len() > 0, c.mailbox.pending.Len() > 0:
		return errRequest
	}
	if slices.ContainsFunc(c.legs, (*legOnWire).busy) {
		return errRequest
	}
	return nil
}

// busy reports whether something that the leg or its peer has asked for waits.
func (l *legOnWire) busy() bool {
	return !l.Leg.Rests() || !l.wire.Rests() || !l.sequence.Until.IsZero()
}

// restlessInSetUp is restless for a call without an answer.
func (c *Call) restlessInSetUp() error {
	switch {
	case c.told.earlyMedia && c.bridge.Agreement.Description[media.SideB] != nil:
		return errEarly
	case c.a.Leg.AwaitsPRACK() || c.a.Crypto.Agrees():
		return errRequest
	case !c.a.wire.Passes():
		return errConnection
	}
	return errSetUp
}

// Leave has calls without an answer not be waited for in the end, nor records while full says that the disk takes none:
// another machine ends and writes them. nil undoes it.
func (s *Server) Leave(full func() bool) {
	if s.leaves.Store(nil); full != nil {
		s.leaves.Store(&full)
	}
}

// writes says whether there are records to wait for.
func (s *Server) writes() bool {
	full := s.leaves.Load()
	return s.unwritten.Load() > 0 && (full == nil || !(*full)())
}

// NoteAll notes the state of every call, and returns how many are answered. The server stands still.
func (s *Server) NoteAll() (answered int) {
	for _, c := range s.registry.Open() {
		if !c.finished {
			c.notes.write(nil)
			if !c.times.answered.IsZero() {
				answered++
			}
		}
	}
	return answered
}

// HandOver gives the calls of a server that stands still. An error means that one can't go.
func (s *Server) HandOver(each func(kept.Handed) error) error {
	// bounds the wait for all recordings: no audio flows until they are done
	ctx, cancel := context.WithTimeout(s.ctx, bridge.RecordingWait)
	defer cancel()
	for _, c := range s.registry.Open() {
		h, err := c.handOver(ctx)
		if err == nil && h != nil {
			err = each(*h)
		}
		if err != nil {
			return fmt.Errorf("call %s: %w", c.id, err)
		}
	}
	return nil
}

// handOver is the call as it goes to another process; nil: nothing is left of it.
func (c *Call) handOver(ctx context.Context) (*kept.Handed, error) {
	if c.finished {
		return c.handOverLegs()
	}
	switch err := c.restless(); {
	case errors.Is(err, errSetUp) && c.customer == nil:
		return c.handOverInvite()
	case err != nil && !errors.Is(err, errSetUp):
		return nil, err
	}
	h := &kept.Handed{}
	state := &kept.Sheet{}
	if c.notes.state(state); c.customer != nil {
		c.customerState(state)
	}
	h.Sockets = c.bridge.HandOver(state)
	if state.Recording {
		c.server.undoHandOver = append(c.server.undoHandOver, func() { c.bridge.Recordings.GoOn(&state.Call) })
	}
	h.Record = c.cdr()
	h.Record.Recordings = c.bridge.Recordings.Settled()(ctx)
	var err error
	h.State, err = state.Encode()
	return h, err
}

// handOverInvite is a call that is being set up: the other process cancels what was dialled, and begins again. The
// caller's INVITE gets the same To tag there, so it hears nothing of that. A sound of ours that it hears goes on, on
// the same ports.
func (c *Call) handOverInvite() (*kept.Handed, error) {
	again, ok := c.a.wire.Again(c.invite, c.source)
	if !ok {
		return nil, errSetUp
	}
	noted, owed := &kept.Sheet{}, &kept.Sheet{}
	c.notes.state(noted)
	noted.Masked, noted.Placed = c.bridge.Masking.On, !c.waits() && c.attempts.current != nil && c.attempts.current.placed
	noted.Part(owed)
	owed.Ended = string(cause.ProcessRestart)
	h := &kept.Handed{Record: c.cdr(), Owed: true, Again: &again, Tag: c.a.Tag}
	if c.told.earlyMedia {
		c.bridge.StateOfRinging(noted)
		h.Sockets = c.bridge.HandOver(noted)
	}
	var err error
	if h.Noted, err = noted.Encode(); err == nil {
		h.State, err = owed.Encode()
	}
	return h, err
}

func (c *Call) handOverLegs() (*kept.Handed, error) {
	if len(c.legs) == 0 {
		return nil, nil
	}
	state := &kept.Sheet{}
	c.notes.owed(state)
	text, err := state.Encode()
	return &kept.Handed{State: text, Record: record.Record{ID: c.id}, Owed: true}, err
}

// replace takes up what another process has handed over. An error means that the other one has to go on.
func (su *successor) replace(before kept.Predecessor) error {
	if err := su.server.stack.Freeze(su.server.ctx, nil); err != nil {
		return err
	}
	if err := before.Restore(su.server.stack); err != nil {
		return err
	}
	all := before.Calls()
	su.server.stack.HoldFirst(kept.Invites(all))
	return parallel.Do(len(all), func(i int) error {
		if err := su.server.safely(func() error { return su.takeOver(all[i]) }); err != nil {
			return fmt.Errorf("call %s: %w", all[i].Record.ID, err)
		}
		return nil
	})
}

func (su *successor) takeOver(h kept.Handed) error {
	k, err := kept.DecodeNow(h.State, su.server.machine)
	if err != nil {
		return err
	}
	k.Handed = true
	if h.Again != nil && !su.server.stack.Knows(h.Again) ||
		slices.ContainsFunc(k.Legs, func(l kept.Leg) bool { return !su.server.stack.Bound(l.State.At()) }) {
		return errGoneSocket
	}
	if h.Noted != nil { // a kill before it has begun again leaves it to the next process
		if err = su.toBegin(&h); err != nil {
			return err
		}
		su.server.sink.Journal(h.Record, h.Noted)
		h.Record = record.Record{ID: record.NewID()} // of the legs to targets
		k.ID = h.Record.ID
	}
	l := &record.Left{Record: h.Record, State: h.State, Owed: h.Owed}
	if h.Owed {
		return su.finishLeft(k, l)
	}
	return su.goOn(k, l, h.Sockets)
}

// handed is the first turn of a call that another process has handed over.
func (v *reviving) handed() phase {
	c := v.Call
	c.ladder.Decide("the process was replaced, and another one goes on with the call")
	v.nameAgain()
	if c.customer != nil {
		return v.handedCustomer()
	}
	v.bridge.SoundAgain(v.k)
	c.rescues.listen()
	if v.k.Asks {
		c.askLater()
	}
	return (*Call).bridged
}
