package fleet

import (
	"context"
	"crypto/cipher"
	"encoding/json"
	"maps"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"flowbridge/store/record"
)

// A node's own database has the bindings at the node. The copies in the fleet's database are for the other nodes and
// the seat's next owner. They are written soon after the 200 to the REGISTER, which does not wait for them.

const (
	// As with states, a node that has lost its seat writes nothing.
	shareBindings = `WITH mine AS (SELECT FROM flowbridge_seats WHERE seat = $1 AND owner = $2 AND epoch = $3 FOR KEY SHARE)
		INSERT INTO flowbridge_registrations (place, node, holder, bindings, written_at)
		SELECT $4, $5, u.holder, u.bindings, clock_timestamp() FROM unnest($6::text[], $7::bytea[]) AS u(holder, bindings)
		WHERE $1 = '' OR EXISTS (SELECT FROM mine)
		ON CONFLICT (holder, place) DO UPDATE SET (node, bindings, written_at) =
			(excluded.node, excluded.bindings, excluded.written_at)`
	readBindings = `SELECT holder, place, node, bindings FROM flowbridge_registrations
		WHERE octet_length(holder) + octet_length(place) + octet_length(node) <= 4096
			AND octet_length(bindings) <= 1 << 20 AND `
)

// registrations holds the bindings at this node that the database does not have yet.
type registrations struct {
	seal cipher.AEAD // the same for all seats with this secret; nil if this node has none
	wake chan struct{}

	mu      sync.Mutex                  // guards the fields below
	waiting map[string][]record.Binding // by holder
}

// KeepBindings replaces the bindings of a holder at this node in the database. It does not block.
func (f *Fleet) KeepBindings(holder string, all []record.Binding) {
	f.registered.mu.Lock()
	defer f.registered.mu.Unlock()
	f.registered.waiting[holder] = all
	wake(f.registered.wake)
}

// share writes the waiting bindings. After an error they wait again, unless there are newer ones.
func (f *Fleet) share(ctx context.Context) error {
	f.beating.Lock() // guards the member, and prevents a second write for the same holder
	defer f.beating.Unlock()
	r := &f.registered
	r.mu.Lock()
	some := r.waiting
	r.waiting = map[string][]record.Binding{}
	r.mu.Unlock()
	if len(some) == 0 {
		return nil
	}
	err := f.writeBindings(ctx, some)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		maps.Copy(some, r.waiting)
		r.waiting = some
	}
	return explain(err)
}

func (f *Fleet) writeBindings(ctx context.Context, some map[string][]record.Binding) error {
	ctx, cancel := context.WithTimeout(ctx, f.beatWithin)
	defer cancel()
	if err := f.ready(ctx); err != nil {
		return err
	}
	place, seat, epoch := "node "+f.member.id, "", int64(0)
	if f.Seat != nil {
		place, seat, epoch = f.Seat.name, f.Seat.name, f.Seat.epoch.Load()
	}
	var holders []string
	var texts [][]byte
	for holder, all := range some {
		text, _ := json.Marshal(all) // all fields can be encoded
		if f.registered.seal != nil {
			text = f.registered.seal.Seal(nil, nil, text, bound(place, holder))
		}
		holders, texts = append(holders, holder), append(texts, text)
	}
	_, err := f.pool.Exec(ctx, shareBindings, seat, f.member.id, epoch, place, f.member.name, holders, texts)
	return err
}

// Bindings returns the bindings of a holder at other nodes, including recently removed ones. Each has its node's
// name. The error is an AwayError.
func (f *Fleet) Bindings(ctx context.Context, holder string) ([]record.Binding, error) {
	if err := f.beatOutage.state(); err != nil { // so that callers don't wait for the database
		return nil, err
	}
	all, err := f.bindings(ctx, `node <> $1 AND holder = $2`, f.member.name, holder)
	return all[holder], err
}

// Bindings returns the registrations at the seat, by holder, for the seat's new owner. The error is an AwayError.
func (s *Seat) Bindings(ctx context.Context) (map[string][]record.Binding, error) {
	return s.fleet.bindings(ctx, `place = $1`, s.name)
}

// bindings reads the bindings that match a condition, except those sealed with another secret.
func (f *Fleet) bindings(ctx context.Context, condition string, args ...any) (map[string][]record.Binding, error) {
	rows, _ := f.Reader.pool.Query(ctx, readBindings+condition, args...) // the rows return the error
	all, now := map[string][]record.Binding{}, time.Now()
	var holder, place, node string
	var text []byte
	_, err := pgx.ForEachRow(rows, []any{&holder, &place, &node, &text}, func() error {
		if f.Seat != nil && place == f.Seat.name { // the seat belongs to this node now
			node = ""
		}
		all[holder] = append(all[holder], bindingsOf(f.registered.seal, place, holder, node, text, now)...)
		return nil
	})
	return all, explain(err)
}

// bindingsOf decodes the bindings at a node. Their times do not change when the wall clock is set. It returns none
// if the text can't be read.
func bindingsOf(seal cipher.AEAD, place, holder, node string, text []byte, now time.Time) (all []record.Binding) {
	if seal != nil {
		text, _ = seal.Open(nil, nil, text, bound(place, holder)) // if this fails, text is not JSON
	}
	if json.Unmarshal(text, &all) != nil {
		return nil
	}
	for i := range all {
		b := &all[i]
		b.Node, b.Registered, b.Expires = node, now.Add(b.Registered.Sub(now)), now.Add(b.Expires.Sub(now))
	}
	return all
}
