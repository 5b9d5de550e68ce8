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

	"flowbridge/admin"
	"flowbridge/b2bua"
	"flowbridge/config"
	"flowbridge/internal/httpd"
	"flowbridge/store"
	"flowbridge/store/fleet"
	"flowbridge/store/record"
	"flowbridge/telemetry"
)

// A node with a seat (fleet.takeover) serves while it has the seat's addresses and its lease. Without them it stands
// by. If it loses an address or the lease, another node may continue its calls. So the node sends nothing more and
// restarts as a standby, by exec, as if it had been killed.

// standbyEvery is how often a standby that has the addresses asks for the lease.
const standbyEvery = 100 * time.Millisecond

// errLostMeanwhile ends a process that lost its seat before it served.
var errLostMeanwhile = errors.New("another node has taken the seat before this one has served: start again")

// errNoSeat refuses an upgrade.
var errNoSeat = errors.New("fleet.takeover names another seat than before: drain and restart instead")

// errCopied ends a node that could be mistaken for another one.
var errCopied = errors.New("another node has the same database: give each machine a store.path of its own, empty at first")

// errStoodBy ends a standby that was told to stop.
var errStoodBy = errors.New("stopped while it stood by")

// seat is a node's side of its seat.
type seat struct {
	*fleet.Seat

	options   Options
	log       zerolog.Logger
	fleet     *fleet.Fleet
	store     *store.Store
	rtp       *rtp
	server    *b2bua.Server // nil while the node stands by
	standing  *sync.Mutex   // held while the node stands still
	pause     *httpd.Pause
	bots      *bots
	addresses []netip.Addr
	changes   <-chan struct{} // signals changes of the machine's addresses and links
	asked     chan chan error // requests to take the seat now, each with a channel for the result
	served    chan struct{}   // closed when the node has the seat
	serving   atomic.Bool     // the server takes calls
	leaving   atomic.Bool     // the seat is being moved to another node
	silent    sync.Once       // makes this node fall silent

	// show serves the admin API of a standby. ready returns what the standby waits for.
	show  func(ready func() error) error
	shown bool

	left  []record.Saved              // the calls that the node continues
	bound map[string][]record.Binding // registrations, by holder; nil if this node's store has them

	// stale says that the standby had the addresses before it fell silent, and that another node has them now.
	stale bool
}

// openSeat waits until the node has its seat, if there is one.
func (n *Node) openSeat(ctx context.Context) error {
	if n.fleet == nil || n.fleet.Seat == nil {
		return nil
	}
	s := &seat{
		Seat: n.fleet.Seat, options: n.Options, log: n.log.With().Str("seat", n.fleet.Seat.Name()).Logger(),
		fleet: n.fleet, store: n.store, rtp: &n.rtp, standing: &n.standing, pause: &n.pause,
		bots:      &n.bots,
		addresses: n.config().Addresses(), asked: make(chan chan error),
		served: make(chan struct{}), stale: os.Getenv(silenced) != "",
		show: func(ready func() error) error {
			return n.answer(ctx, admin.Options{Calls: noCalls{}, Ready: ready})
		},
	}
	s.changes = watchNetwork(ctx, s.log)
	n.seat = s
	n.store.Replicate(s)
	begin := func() {
		s.serving.Store(true)
		go s.guard(ctx)
	}
	n.add(part{gauges: s.gauges, begin: begin, close: func() error { return s.giveUp(ctx) }})
	if n.before == nil {
		return s.take(ctx)
	}
	if !s.Resume(ctx) { // the seat goes over together with the calls
		return errNoSeat
	}
	return nil
}

// take waits for the seat, and finds the calls that the node must continue.
func (s *seat) take(ctx context.Context) error {
	taken, err := s.standBy(ctx)
	if err != nil {
		return err
	}
	close(s.served)
	if s.shown { // requests now wait until the node is complete
		paused, cancel := context.WithTimeout(ctx, requestPatience)
		_ = s.pause.Hold(paused)
		cancel()
	}
	_ = os.Unsetenv(silenced)
	s.fleet.Serve()
	s.left = s.store.Left
	if !taken.Own {
		if err := s.takeCalls(ctx, taken); err != nil {
			return err
		}
	}
	s.Has(callsOf(s.left))
	return nil
}

// standBy waits for the addresses and the lease.
func (s *seat) standBy(ctx context.Context) (fleet.Taken, error) {
	if why := s.missing(); why != nil && !errors.Is(why, errLinkDown) { // so others need not wait for our lease to end
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
		if !s.shown {
			if other := s.Copied(ctx); other != "" {
				return t, fmt.Errorf("%w: node %s", errCopied, other)
			}
			s.log.Info().Str("reason", err.Error()).Msg("standing by")
			s.fleet.Stand()
			if err = s.show(s.whyStandby); err != nil {
				return t, err
			}
			s.shown = true
			if s.options.standsBy != nil {
				s.options.standsBy(s.Name())
			}
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
		case <-s.options.signals:
			return t, errStoodBy
		}
	}
}

// tryTake takes the seat, or returns why it can't. The last owner continues even if the database can't be reached.
func (s *seat) tryTake(ctx context.Context, force bool, t *fleet.Taken) error {
	if why := s.missing(); why != nil {
		s.stale = s.stale && errors.Is(why, errLinkDown)
		return fmt.Errorf("%w: the seat goes where its addresses are", why)
	}
	got, owner, err := s.Take(ctx, force)
	switch {
	case err != nil && os.Getenv(silenced) == "" && s.Resume(ctx):
		s.log.Warn().Err(err).Msg("seat not confirmed: this node had it last, and serves")
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
	line.Msg("this node has the seat")
	*t = got
	return nil
}

// takeCalls replaces the calls of this node's journal by the previous owner's.
func (s *seat) takeCalls(ctx context.Context, t fleet.Taken) error {
	states, unreadable, err := s.readCalls(ctx)
	if err != nil {
		return err
	}
	live, now := make([]record.Saved, 0, len(states)), time.Now()
	for i := range states {
		l, over, err := store.FromReplica(states[i].ID, states[i].Text, now)
		if err != nil {
			unreadable++
			continue
		}
		l.Owed = over // the call's owner died before the record reached the database
		live = append(live, l)
	}
	s.disown(ctx, live)
	s.left = nil
	for i := range live {
		switch l := &live[i]; {
		case s.Ended(ctx, l.Record.ID, l.Interrupted.EndedAt.Time):
			s.log.Warn().Str("call", l.Record.ID).Msg("ignoring the state of an ended call that came back in the fleet's database")
		case l.Owed:
			s.store.Keep(ctx, &l.Record, nil, func(error) {})
		default:
			l.Alive = t.Alive
			s.left = append(s.left, *l)
		}
	}
	if unreadable > 0 {
		s.log.Error().Int("calls", unreadable).
			Msg("states of the seat's calls can't be read: is fleet.takeover.key_file the same on all nodes? these calls end")
	}
	s.log.Info().Int("calls", len(s.left)).Str("other", t.Before.Node).Msg("taking over calls")
	return nil
}

// readCalls reads the states of the seat's calls as soon as the database lets it, and the registrations.
func (s *seat) readCalls(ctx context.Context) (states []fleet.State, unreadable int, err error) {
	for told := false; ; told = true {
		if states, unreadable, err = s.States(ctx); err == nil {
			s.bound, err = s.Bindings(ctx)
		}
		if err == nil {
			return states, unreadable, nil
		}
		if !told {
			s.log.Warn().Err(err).Msg("can't read the seat's calls yet")
		}
		select {
		case <-time.After(standbyEvery):
		case <-s.Lost():
			return nil, 0, errLostMeanwhile
		case <-s.options.signals:
			return nil, 0, errStoodBy
		}
	}
}

// disown drops the calls of this node's journal. live has the calls of the seat.
func (s *seat) disown(ctx context.Context, live []record.Saved) {
	unknown, err := s.Unknown(ctx, s.store.Left, live)
	if err != nil {
		s.log.Warn().Err(err).Msg("can't tell which calls of this node's journal continued elsewhere")
	}
	if calls := s.store.Disown(unknown); calls > 0 {
		s.log.Info().Int("calls", calls).Int("ended", len(unknown)).Msg("calls of this node's journal continued elsewhere")
	}
}

// giveUp lets another node take the seat at once.
func (s *seat) giveUp(ctx context.Context) error {
	if err := s.Leave(context.WithoutCancel(ctx), ""); err != nil {
		s.log.Info().Err(err).Msg("could not release the seat: another node takes it when the lease ends")
	}
	return nil
}

// callsOf returns the calls that may continue, by id, and whether each is answered.
func callsOf(left []record.Saved) map[string]bool {
	calls := map[string]bool{}
	for i := range left {
		if !left[i].Owed {
			calls[left[i].Record.ID] = !left[i].Record.AnsweredAt.IsZero()
		}
	}
	return calls
}

func (s *seat) gauges(add telemetry.Add) {
	epoch, protected, unprotected := s.Figures()
	gaugesOfSeat(add, s.Name(), epoch, protected, unprotected, s.NotAwaited())
}

func gaugesOfSeat(add telemetry.Add, name string, epoch int64, protected, unprotected int, notAwaited int64) {
	add("seat_epoch", "How often the seat was taken until this node had it; 0: it stands by.", float64(epoch), "seat", name)
	add("calls_protected", "Answered calls with which another node could go on.", float64(protected))
	add("calls_unprotected", "Answered calls whose state the fleet's database has lacked for more than a second.",
		float64(unprotected))
	add("states_not_awaited_total", "States that the fleet's database did not have yet when their calls went on: it took longer than patience, or was away.",
		float64(notAwaited))
}

// seatOptions returns the options of the configured seat, or nil if there is none.
func seatOptions(t *config.Takeover) *fleet.SeatOptions {
	if !t.On() {
		return nil
	}
	return &fleet.SeatOptions{Name: t.Seat, Secret: t.Key.Reveal(), Patience: t.Patience}
}
