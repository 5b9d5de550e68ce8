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

// keptBinding is a binding on file. Its times are by the wall clock of the moment.
type keptBinding struct {
	record.Binding
	moment
}

// withMonotonicTimes gives a binding with times that setting the wall clock does not move.
func withMonotonicTimes(b record.Binding, now time.Time) record.Binding {
	b.Registered, b.Expires = now.Add(b.Registered.Sub(now)), now.Add(b.Expires.Sub(now))
	return b
}

// asOf gives the binding as it is at a later moment, even if the wall clock was set in between.
func (k *keptBinding) asOf(now moment) record.Binding {
	set := now.Wall.Sub(k.Wall) - now.since(k.moment)
	set = set.Round(time.Second) // else it was not set
	k.Registered, k.Expires = k.Registered.Add(set), k.Expires.Add(set)
	return withMonotonicTimes(k.Binding, now.Wall)
}

// bindings are the bindings that the database does not have yet. The journal has them.
type bindings struct {
	store *Store
	left  map[string]string // what an earlier process has left there, by holder, as JSON; constant after Open

	mu      sync.Mutex        // guards what follows
	pending map[string]string // by holder, as JSON
	asked   bool              // the writer is to come for them
}

// KeepBindings keeps the bindings of a holder in place of those before. They are in the journal when it returns, as
// Journal has the states of calls there. What the database does not take is tried again by Alive.
func (b *bindings) KeepBindings(holder string, all []record.Binding) {
	now, list := b.store.journal.moment(time.Now()), make([]keptBinding, len(all))
	for i := range all {
		list[i] = keptBinding{withMonotonicTimes(all[i], now.Wall), now}
	}
	text, err := json.Marshal(list)
	if err != nil { // never: it has nothing that can't be encoded
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

// takeBound takes up the bindings that an earlier process had only in its journal. Their entries stay until the
// database has them. Alive sees to that, after LaterBindings has read what is there.
func (b *bindings) takeBound(seal cipher.AEAD, states, stay map[string]lastState) {
	left := map[string]string{}
	for id, l := range states {
		if holder, ok := strings.CutPrefix(id, record.BoundMark); ok && l.kind == holderBound {
			if text := openState(seal, id, l.state); text != nil { // else it is damaged, or another key's
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
	// noBindings is the JSON of no bindings.
	noBindings = "[]"
)

// Bindings gives what was registered when the old process ended, by holder. A row that can't be read is left out:
// the next REGISTER replaces it. It does not wait for the writer, and reads the file also where its disk is full or
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

// LaterBindings is Bindings where that has failed: wait returns what the writer reads once it can, before it writes
// what is kept after this call.
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

// withoutIndex names the file for connections that need no index of its log, which a full or read-only disk has no room
// for. The first keeps it in memory, and all others out meanwhile. The second reads no log, so it is there only where
// nothing is in one.
func withoutIndex(path string) []string {
	names := []string{dsn(path, "rw", "locking_mode(exclusive)", "query_only(1)")}
	log, err := os.Stat(path + "-wal")
	if errors.Is(err, fs.ErrNotExist) || err == nil && log.Size() == 0 {
		names = append(names, unchanging(path))
	}
	return names
}

// bindingsIn reads them by a connection of its own: one that was opened while the disk was read-only shares its index
// with all that come later, which then can't write.
func (b *bindings) bindingsIn(ctx context.Context, name string) (map[string][]record.Binding, error) {
	db, err := openDB(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = db.Close() }() // it was only read
	return b.readBindings(ctx, db)
}

func (b *bindings) readBindings(ctx context.Context, from querier) (map[string][]record.Binding, error) {
	all, now := map[string][]record.Binding{}, b.store.journal.moment(time.Now())
	take := func(holder, text string) {
		var of []keptBinding
		_ = json.Unmarshal([]byte(text), &of) // a text that can't be read has none
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
