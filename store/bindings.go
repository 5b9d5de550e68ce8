package store

import (
	"context"
	"crypto/cipher"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strings"
	"sync"
	"time"

	"flowbridge/store/record"
)

// keptBinding is a binding as stored in the file. Its times are by the wall clock at that moment.
type keptBinding struct {
	record.Binding
	moment
}

// withMonotonicTimes returns b with times that do not move when the wall clock is set.
func withMonotonicTimes(b record.Binding, now time.Time) record.Binding {
	b.Registered, b.Expires = now.Add(b.Registered.Sub(now)), now.Add(b.Expires.Sub(now))
	return b
}

// asOf returns the binding as of a later moment, even if the wall clock was set in between.
func (k *keptBinding) asOf(now moment) record.Binding {
	set := now.Wall.Sub(k.Wall) - now.since(k.moment)
	set = set.Round(time.Second) // smaller differences do not mean that the clock was set
	k.Registered, k.Expires = k.Registered.Add(set), k.Expires.Add(set)
	return withMonotonicTimes(k.Binding, now.Wall)
}

// bindings holds the bindings that the database does not have yet. They are in the journal.
type bindings struct {
	store *Store
	left  map[string]string // bindings from an earlier process, by holder, as JSON; constant after Open

	mu      sync.Mutex        // guards the fields below
	pending map[string]string // by holder, as JSON
	asked   bool              // the writer has been asked to write pending
}

// KeepBindings replaces the bindings of a holder. When it returns, they are in the journal, like the states of calls
// after Journal. Alive retries bindings that the database did not take.
func (b *bindings) KeepBindings(holder string, all []record.Binding) {
	now, list := b.store.journal.moment(time.Now()), make([]keptBinding, len(all))
	for i := range all {
		list[i] = keptBinding{withMonotonicTimes(all[i], now.Wall), now}
	}
	text, err := json.Marshal(list)
	if err != nil { // can't happen: all fields can be encoded
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.store.journal.placeSealed(holderBound, record.BoundMark+holder, text)
	if b.pending == nil {
		b.pending = map[string]string{}
	}
	b.pending[holder] = string(text)
	if !b.asked {
		b.asked = b.store.queue.ask(job{run: b.writeBindings, done: make(chan error, 1)}) == nil
	}
}

// takeBound takes over the bindings that an earlier process had only in its journal. Their entries stay until Alive has
// written them to the database, which it does after LaterBindings has read what the database has.
func (b *bindings) takeBound(seal cipher.AEAD, states, stay map[string]lastState) {
	left := map[string]string{}
	for id, l := range states {
		if holder, ok := strings.CutPrefix(id, record.BoundMark); ok && l.kind == holderBound {
			if text := openState(seal, id, l.state); text != nil { // nil if it is damaged, or sealed with another key
				left[holder], stay[id] = string(text), l
			}
		}
	}
	b.left, b.pending = left, maps.Clone(left)
}

func (b *bindings) writeBindings(ctx context.Context, c *sql.Conn) error {
	b.mu.Lock()
	all := b.pending
	b.pending, b.asked = nil, false
	b.mu.Unlock()
	if len(all) == 0 {
		return nil
	}
	err := inTx(ctx, c, func(tx *sql.Tx) error {
		for holder, text := range all {
			_, err := tx.ExecContext(ctx, `DELETE FROM registrations WHERE holder = ?`, holder)
			if err == nil && text != noBindings {
				_, err = tx.ExecContext(ctx, insertBindings, holder, text)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending == nil {
		b.pending = map[string]string{}
	}
	for holder, text := range all {
		if _, newer := b.pending[holder]; newer {
			delete(all, holder)
		} else if err != nil {
			b.pending[holder] = text
		}
	}
	if err == nil {
		b.store.journal.hasBound(maps.Keys(all))
	}
	return err
}

const (
	selectBindings = `SELECT holder, bindings FROM registrations`
	insertBindings = `INSERT INTO registrations (holder, bindings) VALUES (?, ?)`
	// noBindings is the JSON of an empty list of bindings.
	noBindings = "[]"
)

// Bindings returns the registrations at the time when the old process ended, by holder. It omits rows that can't be
// read: the next REGISTER replaces them. It does not wait for the writer, and can read a file whose disk is full or
// read-only.
func (b *bindings) Bindings(ctx context.Context) (map[string][]record.Binding, error) {
	err := b.store.ready(ctx)
	var all map[string][]record.Binding
	if err == nil {
		all, err = b.bindingsIn(ctx, dsn(b.store.path, "rw", "query_only(1)"))
	}
	if err != nil && refusesWrites(err) {
		for _, name := range withoutIndex(b.store.path) {
			if all, failed := b.bindingsIn(ctx, name); failed == nil {
				return all, nil
			}
		}
	}
	if err != nil {
		return nil, fmt.Errorf("bindings: %w", err)
	}
	return all, nil
}

// LaterBindings replaces Bindings after Bindings has failed. wait returns the bindings that the writer reads as soon as
// it can. The writer reads them before it writes any that are kept after this call.
func (b *bindings) LaterBindings() (wait func(context.Context) (map[string][]record.Binding, error)) {
	var all map[string][]record.Binding
	done := make(chan error, 1)
	asked := b.store.queue.ask(job{done: done, run: func(ctx context.Context, c *sql.Conn) (err error) {
		all, err = b.readBindings(ctx, c)
		return err
	}})
	return func(ctx context.Context) (map[string][]record.Binding, error) {
		if asked != nil {
			return nil, asked
		}
		if err := b.store.wait(ctx, done, "bindings"); err != nil {
			return nil, err
		}
		return all, nil
	}
}

// withoutIndex returns names of the file for connections that need no index of its log: a full or read-only disk has no
// room for one. With the first name, the index is kept in memory and all other connections are locked out. With the
// second one, the log is ignored, so it is offered only if the log is empty.
func withoutIndex(path string) []string {
	names := []string{dsn(path, "rw", "locking_mode(exclusive)", "query_only(1)")}
	log, err := os.Stat(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) || err == nil && log.Size() == 0 {
		names = append(names, unchanging(path))
	}
	return names
}

// bindingsIn reads the bindings over a separate connection: a connection opened while the disk was read-only shares its
// index with all later ones, which then can't write.
func (b *bindings) bindingsIn(ctx context.Context, name string) (map[string][]record.Binding, error) {
	db, err := openDB(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }() // it was only used for reading
	return b.readBindings(ctx, db)
}

func (b *bindings) readBindings(ctx context.Context, from querier) (map[string][]record.Binding, error) {
	all, now := map[string][]record.Binding{}, b.store.journal.moment(time.Now())
	take := func(holder, text string) {
		var of []keptBinding
		_ = json.Unmarshal([]byte(text), &of) // of stays empty if the text can't be read
		for i := range of {
			all[holder] = append(all[holder], of[i].asOf(now))
		}
	}
	var holder, text string
	err := eachRow(ctx, from, []any{&holder, &text}, func() { take(holder, text) }, selectBindings)
	if err != nil {
		return nil, err
	}
	for holder, text = range b.left {
		delete(all, holder)
		take(holder, text)
	}
	return all, nil
}
