package fleet

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

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
		r.Node, r.From, r.Variables = n.fleet.Node(), from, variables
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
