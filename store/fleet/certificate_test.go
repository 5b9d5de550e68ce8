package fleet

import (
	"bytes"
	"testing"
	"time"

	"flowbridge/internal/pgtest"
)

// Nodes with one secret share a certificate, whatever their seats are, and one of them orders it at a time. The database
// has it sealed: another secret, or another row, does not open it.
func TestCertificatesAreShared(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	certificate := func(name, secret string, domains ...string) *Certificate {
		n := newNode(t, name)
		o := n.options(url)
		o.Seat = &SeatOptions{Name: name, Secret: secret, Patience: time.Second}
		f, err := Open(t.Context(), o)
		must(t, err)
		f.beatWithin = patience // even on a slow machine
		t.Cleanup(func() { f.Close() })
		c, err := f.Seat.Certificate(domains)
		must(t, err)
		return c
	}
	const secret, other = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	a, b := certificate("a", secret, "sip.example.com", "b.example.com"), certificate("b", secret, "sip.example.com", "b.example.com")
	stranger, elsewhere := certificate("c", other, "sip.example.com", "b.example.com"), certificate("d", secret, "other.example.com")
	reads := func(c *Certificate, want string, fails bool) {
		t.Helper()
		got, err := c.Certificate(t.Context())
		if string(got) != want || (err != nil) != fails {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
	turn := func(c *Certificate, d time.Duration, want bool) {
		t.Helper()
		if mine, err := c.Turn(t.Context(), d); mine != want || err != nil {
			t.Errorf("the turn: %t, %v; want %t", mine, err, want)
		}
	}
	reads(a, "", false)
	turn(a, time.Hour, true)
	turn(b, time.Hour, false)
	turn(elsewhere, time.Hour, true)
	reads(b, "", false) // an order is no certificate
	must(t, a.Publish(t.Context(), []byte("one")))
	reads(b, "one", false)
	must(t, b.Publish(t.Context(), []byte("two")))
	reads(a, "two", false)
	reads(stranger, "", true)
	reads(elsewhere, "", false)
	sealed := pgtest.One[[]byte](t, url, `SELECT sealed FROM flowbridge_certificates WHERE domains LIKE 'sip%'`)
	if bytes.Contains(sealed, []byte("two")) {
		t.Error("the database has it as plain text")
	}
	pgtest.Exec(t, url, `UPDATE flowbridge_certificates SET sealed = o.sealed FROM flowbridge_certificates o
		WHERE flowbridge_certificates.domains = 'other.example.com' AND o.domains LIKE 'sip%'`)
	reads(elsewhere, "", true)
	pgtest.Exec(t, url, `UPDATE flowbridge_certificates SET sealed = 'garbage', orders_until = now() - interval '1 s' WHERE domains LIKE 'sip%'`)
	reads(a, "", true)
	turn(b, time.Minute, true)
	pgtest.Exec(t, url, `UPDATE flowbridge_certificates SET orders_until = 'infinity'`) // forged
	turn(a, time.Minute, true)
}
