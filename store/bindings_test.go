package store

import (
	"context"
	"database/sql"
	"net/netip"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Who sets the clock, with a process or without, does not move the end of a binding.
func TestBindingsClockSet(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	begun := time.Now()
	b := Binding{Registered: begun.Add(-time.Minute), Expires: begun.Add(time.Hour)}
	up, boot := time.Hour, uint64(7)
	machine := func() (time.Duration, uint64) { return up, boot }
	s.journal.machine = machine
	kept := keptBinding{b.withMonotonicTimes(begun), s.journal.moment(begun)}
	for name, tt := range map[string]struct {
		set  time.Duration
		boot uint64
		want time.Duration // how far the binding is moved by the wall clock
	}{
		"not set":         {boot: 7},
		"forth":           {set: 48 * time.Hour, boot: 7, want: 48 * time.Hour},
		"back":            {set: -48 * time.Hour, boot: 7, want: -48 * time.Hour},
		"another machine": {set: 48 * time.Hour, boot: 8},
		"not known":       {set: 48 * time.Hour},
	} {
		up, boot = time.Hour+time.Minute, tt.boot
		again := kept
		got := again.asOf(s.journal.moment(begun.Round(0).Add(tt.set + time.Minute)))
		if !got.Expires.Equal(b.Expires.Add(tt.want)) || !got.Registered.Equal(b.Registered.Add(tt.want)) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// What has registered is there for the next process; what is removed is not, and a row that can't be read costs nothing else.
func TestBindings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	s, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)
	one := []Binding{{
		Contact: "sip:a@10.0.0.5", Instance: "<urn:uuid:1>", Q: 500, CallID: "c", CSeq: 7, Path: []string{"<sip:p;lr>"},
		Received: netip.MustParseAddrPort("[2001:db8::1]:5060"), Transport: "tls", Agent: "phone", Registered: at, Expires: at.Add(time.Hour),
	}}
	s.KeepBindings("trunk gone", one)
	s.KeepBindings("trunk phone", nil)
	s.KeepBindings("trunk phone", one)
	s.KeepBindings("trunk gone", nil)
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	err = s.do(t.Context(), "spoil", func(ctx context.Context, c *sql.Conn) error {
		_, err := c.ExecContext(ctx, `INSERT INTO registrations VALUES ('trunk odd', '{')`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	got, err := s.Bindings(t.Context())
	for i, b := range got["trunk phone"] {
		if !strings.Contains(b.Expires.String(), " m=") {
			t.Errorf("who sets the wall clock now moves its end: %v", b.Expires)
		}
		got["trunk phone"][i].Registered, got["trunk phone"][i].Expires = b.Registered.UTC(), b.Expires.UTC()
	}
	if want := map[string][]Binding{"trunk phone": one}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}
