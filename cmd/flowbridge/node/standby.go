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

// showStandby serves the admin API of a node that stands by: it has no calls. why says what it waits for.
func (n *Node) showStandby(ctx context.Context, o Options, why error) error {
	n.log.Info().Str("seat", n.seat.Name()).Str("reason", why.Error()).Msg("standing by")
	n.fleet.Stand()
	options := admin.Options{
		Calls: noCalls{}, Records: n.store, Log: n.log, Metrics: n.metrics.Handler(n.log), Ladders: apiLadders{n},
		Operator: o.operator, Access: n.access, Seats: seats{n}, Ready: func() error { return n.whyStandby() },
	}
	n.showOthers(&options)
	if n.archive != nil {
		options.Recordings = n.archive
	}
	return n.answer(ctx, admin.New(options))
}

// whyStandby says whose the seat is.
func (n *Node) whyStandby() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	text := "standing by for the seat " + n.seat.Name()
	owners, err := n.fleet.Seats(ctx)
	if err != nil {
		return fmt.Errorf("%s; whose it is can't be read: %w", text, err)
	}
	for i := range owners {
		if o := &owners[i]; o.Seat == n.seat.Name() && o.Holds() {
			text += fmt.Sprintf(", which is node %s's since %s", o.Node, o.Since.UTC().Format(time.RFC3339))
			return errors.New(text) //nolint:err113 // shown, not handled
		}
	}
	return errors.New(text + ", which is nobody's at the moment") //nolint:err113 // as above
}

// access is who may use the admin API.
func (n *Node) access() admin.Access {
	now := &n.config().Admin
	return admin.Access{Tokens: tokensOf(now), Local: rightsOf(now.Local)}
}

// noCalls are those of a standby.
type noCalls struct{}

func (noCalls) Live(context.Context) []admin.Call                       { return nil }
func (noCalls) Find(context.Context, string) (c admin.Call, found bool) { return c, false }

// seats carries out what the admin API is asked of the node's seat.
type seats struct{ node *Node }

// Reasons why a seat stays where it is.
var (
	errOtherSeat = errors.New("this node has another seat")
	errHasSeat   = errors.New("this node has the seat already")
	errStandsBy  = errors.New("this node stands by: ask the one that has the seat")
	errLeaving   = errors.New("the seat is being moved already")
	errSecret    = errors.New("that node has another secret of the seat: give all its nodes the same fleet.takeover.key_file")
	errNotThere  = errors.New("no node of this name stands by for the seat: flowbridge fleet lists them")
)

// Take has a standby take its seat now, whatever the lease of another node says.
func (s seats) Take(ctx context.Context, name string) error {
	switch n := s.node; {
	case name != n.seat.Name():
		return fmt.Errorf("%w: %s", errOtherSeat, n.seat.Name())
	case n.seat.Serves():
		return errHasSeat
	default:
		answer := make(chan error, 1)
		select {
		case n.seat.asked <- answer:
			return <-answer
		case <-n.seat.served: // it has come by itself
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Move leaves the seat to another node: what the calls need is in the database, nothing is said any more, and RTP flows
// until the address has gone.
func (s seats) Move(ctx context.Context, name, to string) (moved admin.SeatMoved, err error) {
	n := s.node
	switch {
	case name != n.seat.Name():
		return moved, fmt.Errorf("%w: %s", errOtherSeat, n.seat.Name())
	case !n.seat.Serves():
		return moved, errStandsBy
	}
	members, err := n.fleet.Members(ctx)
	if err != nil {
		return moved, err
	}
	i := slices.IndexFunc(members, func(m fleet.Member) bool {
		return m.Live() && m.Standby && m.Seat == name && m.Name == to
	})
	if i < 0 {
		return moved, fmt.Errorf("%w: %s", errNotThere, to)
	}
	if !n.seat.SameSecret(&members[i]) {
		return moved, fmt.Errorf("%w: %s", errSecret, to)
	}
	return n.moveSeat(ctx, to)
}

// movePatience bounds the waits for the database and for the move of the addresses, and moveSetups that for calls which
// are being set up: it is for as long that new calls wait.
const (
	movePatience = 3 * time.Second
	moveSetups   = 1500 * time.Millisecond
)

func (n *Node) moveSeat(ctx context.Context, to string) (moved admin.SeatMoved, err error) {
	if !n.seat.leaving.CompareAndSwap(false, true) {
		return moved, errLeaving
	}
	n.standing.Lock()
	defer n.standing.Unlock()
	n.server.Leave(func() bool { return n.store.Err() != nil })
	h := &handing{node: n, setups: moveSetups, leaves: true}
	defer func() {
		if err != nil {
			h.thaw()
		}
	}()
	h.thaws = append(h.thaws, func() {
		n.seat.leaving.Store(false)
		n.server.Leave(nil)
	}, n.server.Thaw)
	if err := h.still(ctx); err != nil {
		return moved, err
	}
	moved.Calls = n.server.NoteAll()
	n.store.LeaveUnwritten()
	bounded, cancel := context.WithTimeout(ctx, movePatience)
	defer cancel()
	if err := n.seat.Flush(bounded); err != nil {
		return moved, err
	}
	if err := n.seat.Leave(ctx, to); err != nil {
		return moved, err
	}
	moved.PauseMS = time.Since(h.frozen).Milliseconds()
	go n.goWith(ctx, to, h)
	return moved, nil
}

// goWith has the process begin anew once an address has gone. Where none goes, the node goes on.
func (n *Node) goWith(ctx context.Context, to string, h *handing) {
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for late := time.Now().Add(movePatience); time.Now().Before(late); <-tick.C {
		if n.seat.missing() != nil {
			n.seat.begin("the seat has gone to node " + to)
			return
		}
	}
	if err := n.seat.Stay(context.WithoutCancel(ctx)); err != nil {
		n.seat.begin("the seat was left to node " + to + ", and it is not known who has it: " + err.Error())
		return
	}
	n.log.Error().Str("seat", n.seat.Name()).Str("other", to).
		Msg("the seat's addresses have not moved: this node goes on")
	h.thaw()
}
