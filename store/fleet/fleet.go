package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"
)

// Options are what Open needs.
type Options struct {
	// URL is that of the database.
	URL string
	// Node is this node's name; Version is that of the program.
	Node, Version string
	// Key is the signalling key of the node's own database, by which the node is known again.
	Key [32]byte
	// Outbox is the node's own database.
	Outbox Outbox
	// Notes keeps what the node must know before it reaches the database. It may be nil.
	Notes Notes
	Log   zerolog.Logger
}

// Notes keeps small texts over a restart.
type Notes interface {
	Note(ctx context.Context, name, value string) error
	Noted(ctx context.Context, name string) (string, error)
}

// Fleet is this node's part in a fleet. Its methods may be called from any goroutine.
type Fleet struct {
	*Reader

	// Constant after Join.
	log       zerolog.Logger
	pool      *pgxpool.Pool // a connection for each goroutine
	outbox    Outbox
	notes     Notes
	write     func(context.Context, []staged) error
	admission Admission // nil: the caps are each node's own
	stop      context.CancelFunc
	running   sync.WaitGroup

	// Owned by the goroutine of renewals after Join.
	member  member
	permits *permits
	twin    string

	preparing sync.Mutex // guards prepared
	prepared  bool       // the tables are of this version, as far as is known

	drainOutage, renewOutage outage

	// Atomic.
	delivered, renewed atomic.Pointer[time.Time]
	drained            atomic.Int64
	nodes              atomic.Int64
}

// noteNodes is the name of the note of how many nodes there were last.
const noteNodes = "fleet_nodes"

// Open makes the node's part of a fleet. It does not wait for the database. Join begins.
func Open(ctx context.Context, o Options) (*Fleet, error) {
	application := "flowbridge " + o.Node
	pool, err := openPool(o.URL, application, 2)
	if err != nil {
		return nil, err
	}
	reader, err := OpenReader(o.URL, application)
	if err != nil {
		pool.Close()
		return nil, err
	}
	id := sha256.Sum256(append([]byte("fleet\x00"), o.Key[:]...)) // the key itself is a secret
	f := &Fleet{
		Reader: reader, log: o.Log, pool: pool, outbox: o.Outbox, notes: o.Notes,
		member: member{id: hex.EncodeToString(id[:16]), process: uuid.NewString(), name: o.Node, version: o.Version},
		drainOutage: outage{
			log: o.Log, began: "fleet's database takes no records: they wait",
			over: "fleet's database takes records again",
		},
		renewOutage: outage{
			log: o.Log, began: "fleet's database not reached: this node goes on alone",
			over: "fleet's database reached again",
		},
	}
	f.write = func(ctx context.Context, batch []staged) error { return write(ctx, f.pool, batch) }
	nodes := 1
	if o.Notes != nil {
		text, err := o.Notes.Noted(ctx, noteNodes)
		if n, bad := strconv.Atoi(text); err == nil && bad == nil {
			nodes = max(1, n)
		}
	}
	f.permits = newPermits(nodes)
	f.nodes.Store(int64(nodes))
	return f, nil
}

// Join takes part from now on. admission is who keeps to the caps of the fleet; nil: the caps are each node's own. It
// waits for a first lease, but not for long: without the database the node begins with its share.
func (f *Fleet) Join(admission Admission) {
	f.admission = admission
	if admission != nil {
		admission.Allot(Quotas{Nodes: f.permits.nodes})
	}
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	_, _ = f.renewOnce(ctx) // an outage is logged
	f.running.Go(func() { f.runRenew(ctx) })
	f.running.Go(func() { f.runDrain(ctx) })
}

// lastTry bounds what Close waits for.
const lastTry = 3 * time.Second

// Close sends the last records, if the database takes them, and gives the permits back.
func (f *Fleet) Close() error {
	if f.stop != nil {
		f.stop()
		f.running.Wait()
		f.farewell()
	}
	f.pool.Close()
	f.Reader.Close()
	return nil
}

func (f *Fleet) farewell() {
	ctx, cancel := context.WithTimeout(context.Background(), lastTry)
	defer cancel()
	if f.drainOutage.state() == nil {
		for n := 1; n > 0; {
			var err error
			if n, err = f.drainOnce(ctx, maxBatch); err != nil {
				f.log.Info().Err(err).Msg("records for the fleet's database wait until the next start")
				break
			}
		}
	}
	if err := f.member.leave(ctx, f.pool); err != nil {
		f.log.Info().Err(explain(err)).Msg("this node's permits in the fleet's database expire by themselves")
	}
}

// ready makes or updates the tables, once for as long as the database is there.
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

// unready has the node connect anew, and look at the tables again: it may be another database when it comes back.
func (f *Fleet) unready() {
	f.pool.Reset()
	f.preparing.Lock()
	defer f.preparing.Unlock()
	f.prepared = false
}

// remember notes the number of nodes for a start without the database.
func (f *Fleet) remember(ctx context.Context, nodes int) {
	if f.notes == nil {
		return
	}
	if err := f.notes.Note(ctx, noteNodes, strconv.Itoa(nodes)); err != nil && !errors.Is(err, context.Canceled) {
		f.log.Debug().Err(err).Msg("number of nodes not noted")
	}
}

// Status is how a node's part in a fleet goes.
type Status struct {
	// Delivered is when the outbox was empty or a batch was taken last; zero: never yet.
	Delivered time.Time
	// Drained is how many records were taken since the start.
	Drained int64
	// Renewed is when the leases were renewed last; zero: never yet.
	Renewed time.Time
	// Nodes is how many nodes there were then.
	Nodes int
	// Leased says that the permits are leased; else the node goes by its share.
	Leased bool
	// DrainError and RenewError are why the database takes no records or renewals at the moment; nil: it does.
	DrainError, RenewError error
}

// Status returns the state. It does not ask the database.
func (f *Fleet) Status() Status {
	s := Status{Drained: f.drained.Load(), Nodes: int(f.nodes.Load())}
	if at := f.delivered.Load(); at != nil {
		s.Delivered = *at
	}
	if at := f.renewed.Load(); at != nil {
		s.Renewed = *at
		s.Leased = time.Since(*at) < leaseFor-leaseMargin
	}
	s.DrainError = f.drainOutage.state()
	s.RenewError = f.renewOutage.state()
	return s
}
