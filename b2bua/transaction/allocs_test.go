//go:build !race

package transaction

import "testing"

// A transaction allocates only itself: a client transaction nothing, because its user has
// it; a server transaction its struct, and the bytes of a stored answer. The race
// detector empties pools at random, so this runs without it (scripts/test.sh).
func TestTransactionsAllocate(t *testing.T) {
	for _, tt := range []struct {
		method         string
		client, server float64
	}{{"INVITE", 0, 1}, {"BYE", 0, 2}} {
		all := exchanges(tt.method, 500)
		table, c := NewTable(), &Client{}
		defer table.Close()
		i := 0
		next := func() *exchange { i = (i + 1) % len(all); return &all[i] }
		for range 10 {
			next().asks(table, c)
		}
		if n := testing.AllocsPerRun(200, func() { next().asks(table, c) }); n > tt.client {
			t.Errorf("a client's %s allocates %v times; want %v", tt.method, n, tt.client)
		}
		for range 200 { // the table grows
			next().serves(table)
		}
		if n := testing.AllocsPerRun(200, func() { next().serves(table) }); n > tt.server {
			t.Errorf("a server's %s allocates %v times; want %v", tt.method, n, tt.server)
		}
	}
}
