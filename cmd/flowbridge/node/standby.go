package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"flowbridge/admin"
	"flowbridge/store/fleet"
)

// whyStandby says which node has the seat.
func (s *seat) whyStandby() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	text := "standing by for the seat " + s.Name()
	owners, err := s.fleet.Seats(ctx)
	if err != nil {
		return fmt.Errorf("%s; whose it is can't be read: %w", text, err)
	}
	for i := range owners {
		if o := &owners[i]; o.Seat == s.Name() && o.Holds() {
			text += fmt.Sprintf(", which is node %s's since %s", o.Node, o.Since.UTC().Format(time.RFC3339))
			return errors.New(text) //nolint:err113 // shown, not handled
		}
	}
	return errors.New(text + ", which is nobody's at the moment") //nolint:err113 // as above
}

// noCalls is a standby's list of calls, which is empty.
type noCalls struct{}

func (noCalls) Live(context.Context) []admin.Call                       { return nil }
func (noCalls) Find(context.Context, string) (c admin.Call, found bool) { return c, false }

// seats carries out the admin API's orders about the node's seat.
type seats struct{ *seat }

// Reasons why a seat stays where it is.
var (
	errOtherSeat = errors.New("this node has another seat")
	errHasSeat   = errors.New("this node has the seat already")
	errStandsBy  = errors.New("this node stands by: ask the one that has the seat")
	errLeaving   = errors.New("the seat is being moved already")
	errSecret    = errors.New("that node has another secret of the seat: give all its nodes the same fleet.takeover.key_file")
	errNotThere  = errors.New("no node of this name stands by for the seat: flowbridge fleet lists them")
)

// Take makes a standby take its seat now, even if another node holds the lease.
func (s seats) Take(ctx context.Context, name string) error {
	switch {
	case name != s.Name():
		return fmt.Errorf("%w: %s", errOtherSeat, s.Name())
	case s.Serves():
		return errHasSeat
	default:
		answer := make(chan error, 1)
		select {
		case s.asked <- answer:
			return <-answer
		case <-s.served: // the node has got the seat in the meantime
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Move leaves the seat to another node. By then the database has the state of the calls, and this node sends no more
// SIP. RTP flows until the address has gone.
func (s seats) Move(ctx context.Context, name, to string) (moved admin.SeatMoved, err error) {
	switch {
	case name != s.Name():
		return moved, fmt.Errorf("%w: %s", errOtherSeat, s.Name())
	case !s.Serves() || !s.serving.Load():
		return moved, errStandsBy
	}
	members, err := s.fleet.Members(ctx)
	if err != nil {
		return moved, err
	}
	i := slices.IndexFunc(members, func(m fleet.Member) bool {
		return m.Live() && m.Standby && m.Seat == name && m.Name == to
	})
	if i < 0 {
		return moved, fmt.Errorf("%w: %s", errNotThere, to)
	}
	if !s.SameSecret(&members[i]) {
		return moved, fmt.Errorf("%w: %s", errSecret, to)
	}
	return s.move(ctx, to)
}

// movePatience bounds waiting for the database and for the move of the addresses. moveSetups bounds waiting for calls
// that are being set up; new calls wait during that time.
const (
	movePatience = 3 * time.Second
	moveSetups   = 1500 * time.Millisecond
)

func (s *seat) move(ctx context.Context, to string) (moved admin.SeatMoved, err error) {
	if !s.leaving.CompareAndSwap(false, true) {
		return moved, errLeaving
	}
	s.standing.Lock()
	defer s.standing.Unlock()
	s.server.Leave(func() bool { return s.store.Err() != nil })
	h := &standstill{server: s.server, engine: s.rtp.engine, store: s.store, setups: moveSetups, leaves: true}
	defer func() {
		if err != nil {
			h.thaw()
		}
	}()
	h.thaws = append(h.thaws, func() {
		s.leaving.Store(false)
		s.server.Leave(nil)
	}, s.bots.mute(), s.server.Thaw)
	if err := h.still(ctx); err != nil {
		return moved, err
	}
	moved.Calls = s.server.NoteAll()
	s.store.LeaveUnwritten()
	bounded, cancel := context.WithTimeout(ctx, movePatience)
	defer cancel()
	if err := s.Flush(bounded); err != nil {
		return moved, err
	}
	if err := s.Leave(ctx, to); err != nil {
		return moved, err
	}
	moved.PauseMS = time.Since(h.frozen).Milliseconds()
	go s.goWith(ctx, to, h)
	return moved, nil
}

// goWith restarts the process once an address has gone. If all addresses stay, the node continues.
func (s *seat) goWith(ctx context.Context, to string, h *standstill) {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for late := time.Now().Add(movePatience); time.Now().Before(late); <-tick.C {
		if s.missing() != nil {
			s.fallSilent("the seat has gone to node " + to)
			return
		}
	}
	if err := s.Stay(context.WithoutCancel(ctx)); err != nil {
		s.fallSilent("the seat was left to node " + to + ", and it is not known who has it: " + err.Error())
		return
	}
	s.log.Error().Str("other", to).
		Msg("the seat's addresses have not moved: this node goes on")
	h.thaw()
}
