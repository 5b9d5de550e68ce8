package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/config"
	"flowbridge/store"
	"flowbridge/store/fleet"
	"flowbridge/store/record"
	"flowbridge/telemetry"
)

// A node with a seat (fleet.takeover) serves while it has the seat's addresses and its lease. Without them it stands
// by. Where it loses one of them, another node may go on with its calls. So it says nothing more: it begins anew as a
// standby, by exec, as if it had been killed.

// standbyEvery is how often a standby that has the addresses asks for the lease.
const standbyEvery = 100 * time.Millisecond

// errLostMeanwhile ends a process whose seat was taken before it served.
var errLostMeanwhile = errors.New("another node has taken the seat before this one has served: start again")

// errNoSeat refuses an upgrade.
var errNoSeat = errors.New("fleet.takeover names another seat than before: drain and restart instead")

// errCopied ends a node that another one would be taken for.
var errCopied = errors.New("another node has the same database: give each machine a store.path of its own, empty at first")

// errStoodBy ends a standby that was told to end.
var errStoodBy = errors.New("stopped while it stood by")

// seat is a node's part in its seat.
type seat struct {
	*fleet.Seat

	log       zerolog.Logger
	addresses []netip.Addr
	changes   <-chan struct{}  // of the machine's addresses and links
	asked     chan chan error  // who wants the seat taken now, for an answer
	served    chan struct{}    // closed when the node has the seat
	leaving   atomic.Bool      // it is to go to another node
	silent    sync.Once        // this node has fallen silent
	begin     func(why string) // has the process begin anew, silent

	// Of a standby: its addresses were here before it fell silent, and are another node's now.
	stale bool
}

func (n *Node) newSeat(ctx context.Context, o Options) *seat {
	s := &seat{
		Seat: n.fleet.Seat, log: n.log.With().Str("seat", n.fleet.Seat.Name()).Logger(),
		addresses: n.config().Addresses(), asked: make(chan chan error),
		served: make(chan struct{}), stale: os.Getenv(silenced) != "",
		begin: func(why string) {
			n.seat.silent.Do(func() { n.fallSilent(why, o) })
		},
	}
	s.changes = watchNetwork(ctx, s.log)
	return s
}

// takeSeat waits until the node has its seat, and finds the calls with which it goes on. Without a seat there is
// nothing to wait for.
func (n *Node) takeSeat(ctx context.Context, o Options) error {
	n.left = n.before.left(n.store)
	if n.fleet == nil || n.fleet.Seat == nil {
		return nil
	}
	n.seat = n.newSeat(ctx, o)
	n.store.Replicate(n.seat)
	n.add(part{gauges: n.seatGauges})
	n.add(part{begin: func() { go n.guardSeat(ctx) }, close: func() error { return n.leaveSeat(ctx) }})
	if n.before != nil { // the seat goes over with the calls
		if !n.seat.Resume(ctx) {
			return errNoSeat
		}
		return nil
	}
	taken, err := n.standBy(ctx, o)
	if err != nil {
		return err
	}
	close(n.seat.served)
	if n.api != nil { // who asks waits until the node is whole
		paused, cancel := context.WithTimeout(ctx, requestPatience)
		_ = n.pause.Hold(paused)
		cancel()
	}
	_ = os.Unsetenv(silenced)
	n.fleet.Serve()
	if !taken.Own {
		unknown, err := n.seat.Unknown(ctx, idsOf(n.left))
		if err != nil {
			n.log.Warn().Err(err).Msg("not known which calls of this node's journal went on elsewhere")
		}
		if calls := n.store.Disown(unknown); calls > 0 {
			n.log.Info().Int("calls", calls).Int("ended", len(unknown)).Msg("calls of this node's journal went on elsewhere")
		}
		n.left = nil
		if err := n.takeCalls(ctx, taken, o); err != nil {
			return err
		}
	}
	n.seat.has(n.left)
	return nil
}

// standBy waits for the addresses and the lease.
func (n *Node) standBy(ctx context.Context, o Options) (fleet.Taken, error) {
	s := n.seat
	if why := s.missing(); why != nil && !errors.Is(why, errLinkDown) { // nobody need wait for the end of our lease
		_ = s.Leave(ctx, "")
	}
	t, force := fleet.Taken{}, false
	var answer chan error
	for {
		err := s.tryTake(ctx, force, &t)
		if answer != nil {
			answer <- err
			answer = nil
		}
		if err == nil {
			return t, nil
		}
		if n.api == nil {
			if other := s.Copied(ctx); other != "" {
				return t, fmt.Errorf("%w: node %s", errCopied, other)
			}
			if err = n.showStandby(ctx, o, err); err != nil {
				return t, err
			}
			o.standsBy(s.Name())
		}
		wait := time.Second
		if s.missing() == nil {
			wait = standbyEvery
		}
		force = false
		select {
		case <-s.changes:
		case <-time.After(wait):
		case answer = <-s.asked:
			force = true
		case <-o.signals:
			return t, errStoodBy
		}
	}
}

// tryTake takes the seat, or says why it can't. A node that had it last goes on without the database.
func (s *seat) tryTake(ctx context.Context, force bool, t *fleet.Taken) error {
	if why := s.missing(); why != nil {
		s.stale = s.stale && errors.Is(why, errLinkDown)
		return fmt.Errorf("%w: the seat goes where its addresses are", why)
	}
	got, owner, err := s.Take(ctx, force)
	switch {
	case err != nil && os.Getenv(silenced) == "" && s.Resume(ctx):
		s.log.Warn().Err(err).Msg("the seat is not confirmed: this node had it last, and serves")
		*t = fleet.Taken{Own: true}
		return nil
	case err != nil:
		return err
	case got.Epoch == 0:
		if s.stale && owner.Holds() {
			s.takeOff(owner.Node)
		}
		return fmt.Errorf("the seat %s is node %s's since %s, and its lease holds", s.Name(), owner.Node,
			owner.Since.UTC().Format(time.RFC3339))
	}
	line := s.log.Info().Int64("epoch", got.Epoch)
	if got.Before.Node != "" {
		line = line.Str("other", got.Before.Node)
	}
	line.Msg("the seat is this node's")
	*t = got
	return nil
}

// takeCalls finds the calls of the seat's owner before.
func (n *Node) takeCalls(ctx context.Context, t fleet.Taken, o Options) error {
	var states []fleet.State
	var unreadable int
	var err error
	for told := false; ; told = true {
		if states, unreadable, err = n.seat.States(ctx); err == nil {
			n.bound, err = n.seat.Bindings(ctx)
		}
		if err == nil {
			break
		}
		if !told {
			n.log.Warn().Err(err).Msg("the calls of the seat can't be read yet")
		}
		select {
		case <-time.After(standbyEvery):
		case <-n.seat.Lost():
			return errLostMeanwhile
		case <-o.signals:
			return errStoodBy
		}
	}
	now := time.Now()
	for _, s := range states {
		l, over, err := store.FromReplica(s.ID, s.Text, now)
		switch {
		case err != nil:
			unreadable++
		case over: // its owner has died before its record was here
			n.store.Keep(ctx, &l.Record, nil, func(error) {})
		default:
			l.Alive = t.Alive
			n.left = append(n.left, l)
		}
	}
	if unreadable > 0 {
		n.log.Error().Int("calls", unreadable).
			Msg("states of the seat's calls can't be read: is fleet.takeover.key_file the same on all nodes? these calls end")
	}
	n.log.Info().Int("calls", len(n.left)).Str("other", t.Before.Node).Msg("calls are taken over")
	return nil
}

// leaveSeat lets another node take the seat at once.
func (n *Node) leaveSeat(ctx context.Context) error {
	if err := n.seat.Leave(context.WithoutCancel(ctx), ""); err != nil {
		n.log.Info().Err(err).Msg("the seat could not be given up: another node takes it when the lease ends")
	}
	return nil
}

func idsOf(left []record.Left) (ids []string) {
	for i := range left {
		if !left[i].Owed {
			ids = append(ids, left[i].Record.ID)
		}
	}
	return ids
}

// has notes with which calls the node goes on: the database has their states.
func (s *seat) has(left []record.Left) {
	calls := map[string]bool{}
	for i := range left {
		if !left[i].Owed {
			calls[left[i].Record.ID] = !left[i].Record.AnsweredAt.IsZero()
		}
	}
	s.Has(calls)
}

// seatGauges show the seat.
func (n *Node) seatGauges() []telemetry.Gauge {
	epoch, protected, unprotected := n.seat.Figures()
	return gaugesOfSeat(n.seat.Name(), epoch, protected, unprotected)
}

func gaugesOfSeat(name string, epoch int64, protected, unprotected int) []telemetry.Gauge {
	return []telemetry.Gauge{
		{
			Name: "seat_epoch", Help: "How often the seat was taken until this node had it; 0: it stands by.",
			Labels: []string{"seat", name}, Value: float64(epoch),
		},
		{Name: "calls_protected", Help: "Answered calls with which another node could go on.", Value: float64(protected)},
		{Name: "calls_unprotected", Help: "Answered calls whose state the fleet's database has lacked for more than a second.", Value: float64(unprotected)},
	}
}

// seatKey is the signalling key of the seat, or of the node's own database.
func (n *Node) seatKey() [32]byte {
	if n.seat != nil {
		return n.seat.Key()
	}
	return n.store.Key()
}

// await is for b2bua.Options.Await.
func (n *Node) await() func(id string, told func()) bool {
	if n.seat == nil {
		return nil
	}
	return n.seat.Await
}

// seatOptions are those of the configuration; nil: there is no seat.
func seatOptions(t *config.Takeover) *fleet.SeatOptions {
	if !t.On() {
		return nil
	}
	return &fleet.SeatOptions{Name: t.Seat, Secret: t.Key.Reveal(), Patience: t.Patience}
}
