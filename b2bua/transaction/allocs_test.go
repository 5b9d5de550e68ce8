//go:build !race

package transaction

import "testing"

// A client transaction allocates nothing, because it is part of its user. A server
// transaction allocates its struct, and the bytes of an answer that it stores. This test
// runs without the race detector (scripts/test.sh), which empties pools at random.
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
		for range 200 { // so that the table has grown before measuring
			next().serves(table)
		}
		if n := testing.AllocsPerRun(200, func() { next().serves(table) }); n > tt.server {
			t.Errorf("a server's %s allocates %v times; want %v", tt.method, n, tt.server)
		}
	}
}
