package b2bua

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/call"
	"flowbridge/b2bua/transport"
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
		if !c.Rests() {
			return fmt.Errorf("call %s: %w", c.ID(), errMailbox)
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
		why := c.Unready()
		if again && s.leaves.Load() != nil && !c.Answered() {
			why = nil
		}
		if why != nil && (!again || !errors.Is(why, call.ErrSetUp)) {
			if waiting++; first == nil {
				first = fmt.Errorf("call %s: %w", c.ID(), why)
			}
		}
	}
	if first != nil {
		return fmt.Errorf("%d calls are being changed; %w", waiting, first)
	}
	return nil
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
		if c.Checkpoint() {
			answered++
		}
	}
	return answered
}

// HandOver hands over the calls of a frozen server. It returns the INVITEs of the calls that the other process sets up
// again. They are sorted by the calls' ages, so that the call that has waited longest for a target is served first. An
// error means that a call can't be handed over.
func (s *Server) HandOver(each call.Giving) (invites []transport.HeldState, err error) {
	// All calls share this time limit for writing their recordings: no audio flows until they are written.
	ctx, cancel := context.WithTimeout(s.ctx, bridge.SettleWait)
	defer cancel()
	all := s.registry.Open()
	slices.SortFunc(all, func(a, b *call.Call) int { return strings.Compare(a.ID(), b.ID()) })
	for _, c := range all {
		invite, undo, err := c.HandOver(ctx, each)
		if undo != nil {
			s.undoHandOver = append(s.undoHandOver, undo)
		}
		if err != nil {
			return nil, fmt.Errorf("call %s: %w", c.ID(), err)
		}
		if invite != nil {
			invites = append(invites, *invite)
		}
	}
	return invites, nil
}
