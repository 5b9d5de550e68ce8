package fleet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"flowbridge/internal/pgtest"
	"flowbridge/store/record"
)

// erasing makes the node erase its records as the program does.
func (n *node) erasing() {
	n.fleet.EraseWith(func(ctx context.Context, s Subject) (ids []string, err error) {
		err = record.Each(ctx, n.store, record.Filter{}, func(r record.Record) error {
			if s.Of(&r) {
				ids = append(ids, r.ID)
			}
			return nil
		})
		_, eraseErr := n.store.Erase(ctx, ids)
		return ids, errors.Join(err, eraseErr)
	})
}

// An erasure removes a number everywhere but under a legal hold, and waits for a node that is away without having the
// number in the database.
func TestErase(t *testing.T) {
	url := pgtest.Shared(t).Database()
	const digits = "4930123456"
	a, b := newNode(t, "a"), newNode(t, "b")
	for _, n := range []*node{a, b} {
		n.join(url, nil)
		n.erasing()
	}
	with := func(n *node, id, from string, variables map[string]string) {
		r := finished(id)
		r.From, r.Variables = from, variables
		must(t, n.store.Put(t.Context(), r))
	}
	with(a, "a1", "+4930123456", nil)
	with(a, "a2", "0304711", map[string]string{"back": "+49 (30) 123-456"})
	with(b, "b1", "004930123456", nil)
	with(b, "b2", "+49301234567", nil)
	with(b, "b3", "+4930123456", nil)
	eventually(t, "all records in the database", func() bool { return count(t, url) == 5 })
	must(t, b.fleet.Hold(t.Context(), "b3", true))
	eventually(t, "both are members", func() bool { return pgtest.One[int](t, url, "SELECT count(*) FROM flowbridge_members") == 2 })
	must(t, b.fleet.Close())

	s := Subject{Is: func(d string) bool { return d == digits }}
	if n, _, err := a.fleet.Erase(t.Context(), s, digits, nil, true); n != 3 || err != nil || count(t, url) != 5 {
		t.Errorf("dry: %d, %v, and %d are left", n, err, count(t, url))
	}
	found, err := (*a.fleet.erase.Load())(t.Context(), s)
	if slices.Sort(found); err != nil || !slices.Equal(found, []string{"a1", "a2"}) {
		t.Errorf("at a: %v, %v", found, err)
	}
	if n, _, err := a.fleet.Erase(t.Context(), s, digits, found, false); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if got := pgtest.One[string](t, url, "SELECT string_agg(id, ' ' ORDER BY id) FROM flowbridge_calls"); got != "b2 b3" {
		t.Errorf("left: %s", got)
	}
	if waits, err := a.fleet.Waits(t.Context()); err != nil || !slices.Equal(waits, []string{"b.db"}) {
		t.Errorf("waits for %v, %v", waits, err)
	}
	row := pgtest.One[string](t, url, "SELECT e::text FROM flowbridge_erasures AS e")
	if strings.Contains(row, digits) {
		t.Error("the number waits in the database:", row)
	}
	if _, ok, _ := b.store.Get(t.Context(), "b1"); !ok {
		t.Error("b has erased it already")
	}
	b.join(url, nil)
	b.erasing()
	eventually(t, "b has confirmed", func() bool {
		waits, err := a.fleet.Waits(t.Context())
		return err == nil && len(waits) == 0
	})
	for id, want := range map[string]bool{"b1": false, "b2": true} {
		if _, ok, _ := b.store.Get(t.Context(), id); ok != want {
			t.Errorf("%s at b: %v", id, ok)
		}
	}
	eventually(t, "the hash is gone", func() bool { return pgtest.One[int](t, url, "SELECT count(*) FROM flowbridge_erasures") == 0 })
	if n, _, err := a.fleet.Erase(t.Context(), s, digits, nil, false); n != 0 || err != nil {
		t.Errorf("again: %d, %v", n, err)
	}
}

// Whoever may write into the database can order no erasure of other calls with a proof that is there, and make no node
// read a large row.
func TestForgedErasures(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a := newNode(t, "a")
	a.join(url, nil)
	for _, id := range []string{"ordered", "forged", "huge"} {
		must(t, a.store.Put(t.Context(), finished(id)))
	}
	eventually(t, "the records are there, and a is a member", func() bool {
		return count(t, url) == 3 && a.fleet.ready(t.Context()) == nil
	})
	insert := func(e erasure) {
		pgtest.Exec(t, url, `INSERT INTO flowbridge_erasures VALUES ($1, $2, $3, $4, NULL, ARRAY[$5])`,
			uuid.New(), e.Calls, e.Salt, e.Proof, a.fleet.own)
	}
	e := erasure{Calls: []string{"ordered"}, Salt: make([]byte, 32)}
	for len(e.Calls) < MaxErased {
		e.Calls = append(e.Calls, uuid.NewString())
	}
	e.Proof = a.fleet.proof(&e)
	forged := e
	forged.Calls = []string{"forged"}
	insert(forged)
	insert(e)
	huge := erasure{Calls: []string{"huge", strings.Repeat("x", 2_000_000)}, Salt: make([]byte, 32)}
	huge.Proof = a.fleet.proof(&huge)
	insert(huge)
	a.erasing()
	a.fleet.eraseOthers(t.Context())
	for id, want := range map[string]bool{"ordered": false, "forged": true, "huge": true} {
		if _, ok, err := a.store.Get(t.Context(), id); ok != want || err != nil {
			t.Errorf("%s is there: %v, %v", id, ok, err)
		}
	}
	left, said := pgtest.One[int](t, url, `SELECT count(*) FROM flowbridge_erasures`), a.log.count("its row was changed")
	if left > 2 || said == 0 {
		t.Errorf("%d erasures are left, %d lines of log", left, said)
	}
}

// Many rows of another password, all older, keep no erasure from being carried out.
func TestManyForgedErasures(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a := newNode(t, "a")
	a.join(url, nil)
	must(t, a.store.Put(t.Context(), finished("ordered")))
	eventually(t, "the record is there, and a is a member", func() bool {
		return count(t, url) == 1 && a.fleet.ready(t.Context()) == nil
	})
	e := erasure{Calls: []string{"ordered"}, Salt: make([]byte, 32)}
	e.Proof = a.fleet.proof(&e)
	pgtest.Exec(t, url, `INSERT INTO flowbridge_erasures (id, calls, salt, proof, waits, at)
		SELECT gen_random_uuid(), $1, $2, $2, ARRAY[$3], now() - interval '1 day' FROM generate_series(1, 1100)`,
		e.Calls, e.Salt, a.fleet.own)
	pgtest.Exec(t, url, `INSERT INTO flowbridge_erasures (id, calls, salt, proof, waits) VALUES ($1, $2, $3, $4, ARRAY[$5])`,
		uuid.New(), e.Calls, e.Salt, e.Proof, a.fleet.own)
	a.erasing()
	eventually(t, "it is carried out", func() bool {
		a.fleet.eraseOthers(t.Context())
		_, is, err := a.store.Get(t.Context(), "ordered")
		must(t, err)
		return !is
	})
}

// A node with another password can't read a number, says so, and does not confirm.
func TestEraseOtherPassword(t *testing.T) {
	url := pgtest.Shared(t).Database()
	a, b := newNode(t, "a"), newNode(t, "b")
	a.join(url, nil)
	pgtest.Exec(t, url, "CREATE ROLE other SUPERUSER LOGIN PASSWORD 'other'")
	b.join(strings.Replace(url, "postgres:"+pgtest.Password, "other:other", 1), nil)
	b.erasing()
	eventually(t, "b is a member", func() bool {
		return pgtest.One[int](t, url, "SELECT count(*) FROM flowbridge_members WHERE name = 'b.db'") == 1
	})
	_, _, err := a.fleet.Erase(t.Context(), Subject{Is: func(string) bool { return false }}, "123", nil, false)
	must(t, err)
	eventually(t, "b says so", func() bool { return b.log.count("another password") > 0 })
	if waits, err := a.fleet.Waits(t.Context()); err != nil || !slices.Contains(waits, "b.db") {
		t.Errorf("waits for %v, %v", waits, err)
	}

	// Without a password and a takeover's secret, no hash of a number is left, and the nodes that are not told are named.
	a.fleet.hashKey = nil
	_, alone, err := a.fleet.Erase(t.Context(), Subject{Is: func(string) bool { return false }}, "123", nil, false)
	rows := pgtest.One[int](t, url, "SELECT count(*) FROM flowbridge_erasures")
	if err != nil || !slices.Equal(alone, []string{"b.db"}) || rows != 1 {
		t.Errorf("not told: %v, %v, and %d erasures", alone, err, rows)
	}
	for password, want := range map[string]int{"": 32, "x": 1} {
		if key, err := hashKey(password, &SeatOptions{Secret: "secret"}); len(key) != want || err != nil {
			t.Errorf("key of %q: %d bytes, %v", password, len(key), err)
		}
	}
}
