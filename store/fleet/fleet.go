package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"flowbridge/store/record"
)

// Options are the options of Open.
type Options struct {
	// URL is the URL of the database.
	URL string
	// Node is this node's name; Version is the program's.
	Node, Version string
	// API is the URL at which other nodes reach the node's admin API. It is empty if they can't.
	API string
	// Numbers returns the current Member.Numbers. If it is nil, the node has no table.
	Numbers func() string
	// Peers returns where other nodes are configured to be, and Addresses where others may be configured to find this
	// one. Both may be nil.
	Peers, Addresses func() []netip.AddrPort
	// Key is the signalling key of the node's own database. It identifies the node.
	Key [32]byte
	// Outbox is the node's own database.
	Outbox Outbox
	// Seat is the seat that the node has or stands by for; nil if there is none.
	Seat *SeatOptions
	Log  zerolog.Logger
}

// Fleet is this node's connection to a fleet. Its methods may be called from any goroutine.
type Fleet struct {
	*Reader

	// Constant.
	Seat    *Seat // may be nil
	log     zerolog.Logger
	rows    zerolog.Logger // log for lines about single nodes
	pool    *pgxpool.Pool  // one connection for each goroutine
	outbox  Outbox
	write   func(context.Context, []staged) error
	numbers func() string
	keys    *proofKeys
	own     string // the node's id, as far as no other process has a copy of its database

	peers, addresses func() []netip.AddrPort // see Options; may be nil

	ctx     context.Context // ends with Close
	stop    context.CancelFunc
	started sync.Once
	running sync.WaitGroup

	beating   sync.Mutex // guards the fields below
	admission Admission  // if nil, each node has its own caps
	member    member     // its id changes if another process takes it
	census    census
	twin      bool // another node has the same name as this one
	// toldOthers holds the last warnings about differing tables of numbers or secrets, by subject and the node's id.
	toldOthers map[string]string

	preparing sync.Mutex // guards prepared
	prepared  bool       // the tables have this version's schema, as far as is known

	drainOutage, beatOutage outage

	draining sync.Mutex // held while records are sent or erased

	looking     sync.Mutex // held while erasures are looked for; guards the fields below
	lookedTo    uuid.UUID  // the last row of the last look, or zero
	toldRefused time.Time

	registered registrations
	beatWithin time.Duration // limit for heartbeats and small writes: beatTimeout, or longer in tests for slow machines

	// Atomic.
	delivered      atomic.Pointer[time.Time]
	erase          atomic.Pointer[EraseFunc]
	drained        atomic.Int64
	nodes, missing atomic.Int64
}

// notePlace names the note of this node's last place.
const notePlace = "fleet_place"

// Open returns the node's connection to a fleet, without waiting for the database. Join starts it.
func Open(ctx context.Context, o Options) (*Fleet, error) {
	application := "flowbridge " + o.Node
	pool, err := openPool(o.URL, application, 3)
	if err != nil {
		return nil, err
	}
	reader, err := OpenReader(o.URL, application)
	if err != nil {
		pool.Close()
		return nil, err
	}
	id := sha256.Sum256(append([]byte("fleet\x00"), o.Key[:]...)) // hashed, because the key itself is secret
	f := &Fleet{
		Reader: reader, log: o.Log, rows: ofRows(o.Log), pool: pool, outbox: o.Outbox,
		numbers: o.Numbers, peers: o.Peers, addresses: o.Addresses, beatWithin: beatTimeout,
		member: member{
			id: hex.EncodeToString(id[:16]), process: uuid.NewString(), name: o.Node, version: o.Version, api: o.API,
		},
		own: hex.EncodeToString(id[:16]),
		drainOutage: outage{
			log: o.Log, began: "fleet's database takes no records: they wait",
			over: "fleet's database takes records again",
		},
		beatOutage: outage{
			log: o.Log, began: "fleet's database not reached: this node goes on with its part of the caps",
			over: "fleet's database reached again",
		},
		registered: registrations{wake: make(chan struct{}, 1), waiting: map[string][]record.Binding{}},
	}
	if f.numbers == nil {
		f.numbers = func() string { return NoNumbers }
	}
	f.ctx, f.stop = context.WithCancel(context.Background())
	if f.keys, err = newProofKeys(pool.Config().ConnConfig.Password, o.Seat); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	f.write = func(ctx context.Context, batch []staged) error { return write(ctx, f.pool, batch, f.Seat) }
	if o.Seat != nil {
		seat, err := newSeat(f, o.Seat)
		if err == nil {
			f.registered.seal, err = seat.sealFor("")
		}
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
		f.Seat = seat
		f.member.seat, f.member.standby, f.member.seatKey = o.Seat.Name, true, seat.print
		f.member.proof = seat.proofOf(o.Node, o.API)
	}
	f.census.place = f.remembered(ctx)
	return f, nil
}

// Join makes the node a member from now on. admission enforces the fleet's caps; if it is nil, each node has its own
// caps. Join waits briefly for a first look at the nodes. Without the database the node starts with its last place.
func (f *Fleet) Join(admission Admission) {
	f.beating.Lock()
	f.admission, f.member.standby = admission, false
	f.take(f.census.place)
	f.beating.Unlock()
	f.beatOnce(f.ctx) // it logs an outage
	f.start()
	f.Serve()
}

// Serve starts to write states and, if there is a seat, to renew its lease.
func (f *Fleet) Serve() {
	if f.Seat != nil {
		f.Seat.begun.Do(func() {
			f.running.Go(func() { f.Seat.run(f.ctx) })
			f.running.Go(func() { f.Seat.states.run(f.ctx) })
		})
	}
}

// Stand makes the node a member without calls and without a part of the caps, until Join.
func (f *Fleet) Stand() {
	f.beatOnce(f.ctx)
	f.start()
}

func (f *Fleet) start() {
	f.started.Do(func() {
		f.running.Go(func() { f.runBeat(f.ctx) })
		f.running.Go(func() { f.runDrain(f.ctx) })
	})
}

// lastTry bounds how long Close waits.
const lastTry = 3 * time.Second

// Close sends the last records, if the database takes them, and removes the node from the list.
func (f *Fleet) Close() error {
	f.stop()
	joined := true
	f.started.Do(func() { joined = false })
	if f.running.Wait(); joined {
		f.farewell()
	}
	if f.Seat != nil {
		f.Seat.states.pool.Close()
	}
	f.pool.Close()
	f.Reader.Close()
	return nil
}

func (f *Fleet) farewell() {
	ctx, cancel := context.WithTimeout(context.Background(), lastTry)
	defer cancel()
	if f.drainOutage.state() == nil {
		_ = f.share(ctx) // if it fails, the next REGISTER makes up for it
		for n := 1; n > 0; {
			var err error
			if n, err = f.drainOnce(ctx, maxBatch); err != nil {
				f.log.Info().Err(err).Msg("records for the fleet's database wait until the next start")
				break
			}
		}
	}
	if _, err := f.pool.Exec(ctx, leave, f.member.id, f.member.process); err != nil {
		f.log.Info().Err(explain(err)).Msg("could not tell the fleet that this node leaves: it will count as vanished")
	}
}

// ready creates or updates the tables, unless that was done since the database last failed.
func (f *Fleet) ready(ctx context.Context) error {
	f.preparing.Lock()
	defer f.preparing.Unlock()
	if f.prepared {
		return nil
	}
	err := prepare(ctx, f.pool)
	f.prepared = err == nil
	return explain(err)
}

// unready makes the node reconnect and check the tables again, because it may get another database when the
// connection is back.
func (f *Fleet) unready(err error) {
	reset(f.pool, err)
	f.preparing.Lock()
	defer f.preparing.Unlock()
	f.prepared = false
}

// remember notes the node's place for a start without the database.
func (f *Fleet) remember(ctx context.Context, p Place) {
	err := f.outbox.Note(ctx, notePlace, fmt.Sprintf("%d/%d", p.Index, p.Nodes))
	if err != nil && !errors.Is(err, context.Canceled) {
		f.log.Debug().Err(err).Msg("share of this node not saved")
	}
}

// remembered returns the noted place. A node that has never seen the fleet counts as the only one.
func (f *Fleet) remembered(ctx context.Context) (p Place) {
	text, err := f.outbox.Noted(ctx, notePlace)
	if err == nil {
		_, err = fmt.Sscanf(text, "%d/%d", &p.Index, &p.Nodes)
	}
	if err != nil || p.Nodes < 1 {
		return Place{0, 1}
	}
	return p
}

// Status describes a node's membership in a fleet.
type Status struct {
	// Delivered is when the outbox was last empty or the database last took a batch; zero if neither has happened.
	Delivered time.Time
	// Drained is how many records the database has taken since the start.
	Drained int64
	// Nodes is how many nodes share the caps.
	Nodes int
	// Missing is how many nodes have vanished and are neither back nor forgotten.
	Missing int
	// DrainError and BeatError say why the database takes no records or heartbeats at the moment. They are nil if it
	// does.
	DrainError, BeatError error
}

// Status returns the status without asking the database.
func (f *Fleet) Status() Status {
	s := Status{Drained: f.drained.Load(), Nodes: int(f.nodes.Load()), Missing: int(f.missing.Load())}
	if at := f.delivered.Load(); at != nil {
		s.Delivered = *at
	}
	s.DrainError = f.drainOutage.state()
	s.BeatError = f.beatOutage.state()
	return s
}
