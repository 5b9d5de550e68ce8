package receipt

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"flowbridge/store/record"
)

// Chain writes receipts.
type Chain struct {
	dir, node string
	log       zerolog.Logger
	key       ed25519.PrivateKey
	now       func() time.Time
	sync      func(*os.File) error

	mu      sync.Mutex // guards pending
	pending []*entry

	commit sync.Mutex // held while receipts are written; guards the fields below
	lock   *os.File   // the directory; nil after Close
	tail   tail
}

// entry is a receipt that waits for the disk. The goroutine that commits it fills in done and err.
type entry struct {
	receipt Receipt
	done    bool
	err     error
}

// maxBatch is how many receipts are written at a time. They fit into tailSize.
const maxBatch = 128

var errClosed = errors.New("receipts are closed")

// Open opens the chain in a directory, or begins one. Another process may have it open, too.
func Open(dir, node string, log zerolog.Logger) (*Chain, error) {
	c := &Chain{dir: dir, node: node, log: log, now: time.Now, sync: (*os.File).Sync}
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		c.lock, err = os.Open(dir)
	}
	if err == nil {
		if err = c.locked(c.begin); err != nil {
			err = errors.Join(err, c.lock.Close())
		}
	}
	if err != nil {
		return nil, fmt.Errorf("receipts %s: %w", dir, err)
	}
	return c, nil
}

// begin reads the key and the end of the chain.
func (c *Chain) begin() (err error) {
	if c.key, err = readKey(c.dir); err != nil {
		return err
	}
	if err = c.catchUp(); err == nil && c.tail.name == "" {
		err = c.rotate()
	}
	return err
}

// locked calls do while no other process writes. The caller holds c.commit, except in Open.
func (c *Chain) locked(do func() error) (err error) {
	if c.lock == nil {
		return errClosed
	}
	for {
		if err = unix.Flock(int(c.lock.Fd()), unix.LOCK_EX); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	defer func() { err = errors.Join(err, unix.Flock(int(c.lock.Fd()), unix.LOCK_UN)) }()
	return do()
}

// Key returns the public key with which the receipts can be verified.
func (c *Chain) Key() ed25519.PublicKey { return c.key.Public().(ed25519.PublicKey) }

// Write adds the receipt of a call, and returns when it is on the disk. After an error the chain has no receipt of it,
// and the next Write tries again.
func (c *Chain) Write(id string, at time.Time, t record.Told) error {
	e := &entry{receipt: Receipt{Call: id, At: record.TimeOf(at), Node: c.node, Told: t}}
	c.mu.Lock()
	c.pending = append(c.pending, e)
	c.mu.Unlock()
	c.commit.Lock()
	defer c.commit.Unlock()
	for !e.done { // otherwise the goroutine that had the lock has written it, too
		c.mu.Lock()
		batch := c.pending[:min(len(c.pending), maxBatch)]
		c.pending = c.pending[len(batch):]
		c.mu.Unlock()
		err := c.locked(func() error { return c.write(batch) })
		for _, e := range batch {
			e.done = true
			if e.err == nil && err != nil {
				e.err = fmt.Errorf("receipts %s: %w", c.dir, err)
			}
		}
	}
	return e.err
}

// write writes a batch. It either writes all receipts that can be written at all, or none.
func (c *Chain) write(batch []*entry) error {
	err := c.catchUp()
	if err == nil && c.tail.receipts > 0 && !sameDay(c.tail.began, c.now()) {
		err = c.rotate()
	}
	if err != nil {
		return err
	}
	next, text := c.tail, []byte(nil)
	for _, e := range batch {
		r := e.receipt
		r.N, r.Prev = next.n+1, next.hash
		line, err := sign(&r, c.key)
		if err != nil {
			e.err = fmt.Errorf("receipt of call %s: %w", r.Call, err)
			continue
		}
		next.add(&r, line)
		text = append(append(text, line...), '\n')
	}
	if err := c.append(text); err != nil {
		return err
	}
	c.tail = next
	return nil
}

// append writes to the end of the segment. After an error the segment is as before, or the next catchUp repairs it.
func (c *Chain) append(text []byte) error {
	f, err := os.OpenFile(filepath.Join(c.dir, c.tail.name), os.O_WRONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(text, c.tail.size); err == nil {
		err = c.sync(f)
	}
	if err != nil {
		_ = f.Truncate(c.tail.size) // if that fails, catchUp reads what is there
	}
	return errors.Join(err, f.Close())
}

// catchUp reads the end of the chain if it is not where this process has left it.
func (c *Chain) catchUp() error {
	names, err := segments(c.dir)
	if err != nil || len(names) == 0 {
		c.tail = tail{}
		return err
	}
	last := names[len(names)-1]
	if st, err := os.Stat(filepath.Join(c.dir, last)); err == nil && last == c.tail.name && st.Size() == c.tail.size {
		return nil
	}
	t, cut, err := readTail(filepath.Join(c.dir, last), c.Key())
	if err != nil {
		return fmt.Errorf("%s: %w", last, err)
	}
	if cut > 0 {
		c.log.Info().Str("file", filepath.Join(c.dir, last)).Int64("bytes", cut).Msg("torn end of receipts cut off")
	}
	c.tail = t
	return nil
}

// rotate begins a new segment.
func (c *Chain) rotate() error {
	s := start{
		Receipts: format, Node: c.node, At: record.TimeOf(c.now()), Key: c.Key(), After: c.tail.n, Prev: c.tail.hash,
	}
	line, err := sign(&s, c.key)
	if err != nil {
		return err
	}
	name := segmentName(s.After + 1)
	if err := writeFile(c.dir, name, append(line, '\n')); err != nil {
		return err
	}
	c.tail = tail{name: name, size: int64(len(line)) + 1, n: s.After, hash: s.Prev, began: s.At.Time}
	return nil
}

// Head returns the hash of the newest receipt, and how many the chain has had. Without a receipt the hash is empty.
func (c *Chain) Head() (hash string, n int64) {
	c.commit.Lock()
	defer c.commit.Unlock()
	_ = c.locked(c.catchUp) // if it fails, the newest one that this process knows counts
	return c.tail.hash, c.tail.n
}

// Purge removes the segments whose receipts are all older than limit, from the oldest on, up to one that has a call of
// kept. It returns the number of receipts that are gone.
func (c *Chain) Purge(limit time.Time, kept func(call string) bool) (gone int64, err error) {
	c.commit.Lock()
	defer c.commit.Unlock()
	err = c.locked(func() error {
		if err := c.catchUp(); err != nil {
			return err
		}
		names, err := segments(c.dir)
		for _, name := range names {
			if err != nil {
				break
			}
			var n int64
			if n, err = c.purge(name, limit, kept); n == 0 {
				break
			}
			gone += n
		}
		return err
	})
	if err != nil {
		err = fmt.Errorf("receipts %s: %w", c.dir, err)
	}
	return gone, err
}

// purge removes a segment if it is old, and returns how many receipts it had.
func (c *Chain) purge(name string, limit time.Time, kept func(call string) bool) (n int64, err error) {
	file := filepath.Join(c.dir, name)
	young := false
	err = each(file, func(_ []byte, _ ed25519.PublicKey, r *Receipt) {
		n++
		young = young || !r.At.Before(limit) || kept(r.Call)
	})
	if err != nil || young || n == 0 {
		return 0, err
	}
	if name == c.tail.name { // the chain continues after it
		if err := c.rotate(); err != nil {
			return 0, err
		}
	}
	if err := os.Remove(file); err != nil {
		return 0, err
	}
	return n, syncDir(c.dir)
}

// Close closes the chain. Writes that are under way end first.
func (c *Chain) Close() error {
	c.commit.Lock()
	defer c.commit.Unlock()
	if c.lock == nil {
		return nil
	}
	err := c.lock.Close()
	c.lock = nil
	return err
}

func sameDay(a, b time.Time) bool {
	return a.UTC().Truncate(24 * time.Hour).Equal(b.UTC().Truncate(24 * time.Hour))
}
