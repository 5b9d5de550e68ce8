package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Ladder holds the messages of one call.
type Ladder interface {
	ID() string
	// Encode appends the encoded messages to b. After Release it appends nothing.
	Encode(b []byte) []byte
	// Release is called when the ladder has been written or dropped.
	Release()
}

// LadderOptions say where ladders are kept, and for how long.
type LadderOptions struct {
	Path    string        // path of the file
	Keep    time.Duration // how long a ladder is kept; above 0
	MaxSize int64         // maximum size of the file, in bytes; above 0

	Held func() ([]string, error) // returns the calls under a legal hold, whose ladders stay; may be nil
}

// LaddersPath returns the name of the ladders' file beside the records' file: flowbridge-ladders.db for flowbridge.db.
func LaddersPath(path string) string {
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + "-ladders" + ext
}

const (
	// laddersPending is how many ladders may wait for the disk.
	laddersPending = 4_000
	// laddersEvery is the time between two transactions.
	laddersEvery = time.Second
	// laddersBackOff is the first pause after a failure; laddersBackOffMax is the longest.
	laddersBackOff    = time.Second
	laddersBackOffMax = 30 * time.Second
)

// Ladders stores the ladders of calls in a separate file, with a separate writer. Callers never wait for it: if the
// disk is slow, ladders are dropped. Its methods may be called from any goroutine.
type Ladders struct {
	LadderOptions

	kick    chan struct{} // holds one token while ladders are pending
	closing chan struct{}
	done    chan struct{} // closed when the writer has ended

	mu      sync.Mutex // guards the fields below
	pending map[string]Ladder
	order   []Ladder // the pending ladders, oldest first
	closed  bool
	files   *ladderFile // nil if not open

	writing work
	ground  *ground // constant
	dropped atomic.Int64
	broken  atomic.Pointer[error]
}

// OpenLadders opens or creates the file. If the file is damaged, OpenLadders sets it aside, returns its new name, and
// starts a new file. An error says what to do. After an error the file is tried again from time to time, unless a newer
// version wrote it.
func OpenLadders(ctx context.Context, o LadderOptions) (l *Ladders, setAside string, err error) {
	l, setAside, err = newLadders(ctx, o)
	go l.write(newLadderWriter(l))
	return l, setAside, err
}

func newLadders(ctx context.Context, o LadderOptions) (l *Ladders, setAside string, err error) {
	l = &Ladders{
		LadderOptions: o, kick: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}),
		pending: map[string]Ladder{},
	}
	l.ground = newGround(o.Path)
	l.files, setAside, err = openLadderFile(ctx, o.Path)
	if err != nil {
		l.broken.Store(&err)
	}
	return l, setAside, err
}

// Put queues a ladder for writing. It never blocks.
func (l *Ladders) Put(d Ladder) {
	l.mu.Lock()
	full := l.closed || len(l.order) >= laddersPending
	if !full {
		l.pending[d.ID()] = d
		l.order = append(l.order, d)
	}
	l.mu.Unlock()
	if full {
		l.dropped.Add(1)
		d.Release()
		return
	}
	wake(l.kick)
}

// Get returns the encoded ladder of a call, or nil if there is none.
func (l *Ladders) Get(ctx context.Context, id string) ([]byte, error) {
	l.mu.Lock()
	d, f := l.pending[id], l.files
	l.mu.Unlock()
	if d != nil {
		if b := d.Encode(nil); len(b) > 0 {
			return b, nil
		}
	}
	if f == nil {
		return nil, fmt.Errorf("ladders %s: %w", l.Path, cmp.Or(l.Err(), errClosed))
	}
	var data []byte
	if err := l.ground.awaitFor(ctx); err != nil {
		return nil, fmt.Errorf("ladders %s: %w", l.Path, err)
	}
	err := f.read.QueryRowContext(ctx, `SELECT data FROM ladders WHERE id = ?`, id).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ladders %s: %w", l.Path, err)
	}
	return data, nil
}

// Dropped returns how many ladders were dropped because the disk was too slow or the file could not be used.
func (l *Ladders) Dropped() int64 { return l.dropped.Load() }

// Err returns the current write error, or nil if the last transaction was committed.
func (l *Ladders) Err() error {
	if p := l.broken.Load(); p != nil {
		return *p
	}
	return nil
}

// Close tries once to write the pending ladders, and closes the file.
func (l *Ladders) Close() error {
	l.mu.Lock()
	was := l.closed
	l.closed = true
	l.mu.Unlock()
	if !was {
		close(l.closing)
	}
	<-l.done
	return nil
}

// take returns the pending ladders, oldest first.
func (l *Ladders) take() []Ladder {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.order)
}

// written forgets the ladders of a batch, which are now in the file.
func (l *Ladders) written(batch []Ladder) {
	l.mu.Lock()
	for _, d := range batch {
		delete(l.pending, d.ID())
	}
	l.order = slices.Clone(l.order[len(batch):])
	l.mu.Unlock()
	for _, d := range batch {
		d.Release()
	}
}
