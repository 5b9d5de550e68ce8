package store

import (
	"bytes"
	"context"
	"database/sql"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"flowbridge/store/record"
)

// A change of the wall clock does not move the end of a binding, whether or not a process is running at the time.
func TestBindingsClockSet(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	begun := time.Now()
	b := record.Binding{Registered: begun.Add(-time.Minute), Expires: begun.Add(time.Hour)}
	up, boot := time.Hour, uint64(7)
	machine := func() (time.Duration, uint64) { return up, boot }
	s.journal.machine = machine
	kept := keptBinding{withMonotonicTimes(b, begun), s.journal.moment(begun)}
	for name, tt := range map[string]struct {
		set  time.Duration
		boot uint64
		want time.Duration // how far the change moves the binding's end on the wall clock
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

// The next process finds the registrations, but not the removed ones. A row that can't be read affects no other row.
func TestBindings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	s, err := Open(t.Context(), path)
	must(t, err)
	at := time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)
	one := []record.Binding{{
		Contact: "sip:a@10.0.0.5", Instance: "<urn:uuid:1>", Q: 500, CallID: "c", CSeq: 7, Path: []string{"<sip:p;lr>"},
		Received: netip.MustParseAddrPort("[2001:db8::1]:5060"), Transport: "tls", Agent: "phone", Registered: at, Expires: at.Add(time.Hour),
	}}
	s.KeepBindings("trunk gone", one)
	s.KeepBindings("trunk phone", nil)
	s.KeepBindings("trunk phone", one)
	s.KeepBindings("trunk gone", nil)
	must(t, s.Flush(t.Context()))
	err = s.do(t.Context(), "spoil", func(ctx context.Context, c *sql.Conn) error {
		_, err := c.ExecContext(ctx, `INSERT INTO registrations VALUES ('trunk odd', '{')`)
		return err
	})
	must(t, err)
	must(t, s.Close())
	s, err = Open(t.Context(), path)
	must(t, err)
	defer s.Close()
	got, err := s.Bindings(t.Context())
	for i, b := range got["trunk phone"] {
		if !strings.Contains(b.Expires.String(), " m=") {
			t.Errorf("who sets the wall clock now moves its end: %v", b.Expires)
		}
		got["trunk phone"][i].Registered, got["trunk phone"][i].Expires = b.Registered.UTC(), b.Expires.UTC()
	}
	if want := map[string][]record.Binding{"trunk phone": one}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

// Registrations and removals just before a kill are known to the next process, even if its disk takes no writes, and to
// the one after that from the database alone.
func TestBindingsSurviveAKill(t *testing.T) {
	for name, start := range map[string]func(t *testing.T, path string) *Store{
		"a disk that takes everything": func(t *testing.T, path string) *Store { t.Helper(); return openTest(t, path) },
		"a disk that takes nothing": func(t *testing.T, path string) *Store {
			t.Helper()
			s, err := openWithout(t.Context(), path, errNotThere, nil)
			must(t, err)
			t.Cleanup(func() { _ = s.Close() })
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			path, s := openNew(t)
			binding := func(contact string) []record.Binding {
				return []record.Binding{{Contact: contact, Registered: time.Now(), Expires: time.Now().Add(time.Hour)}}
			}
			s.KeepBindings("trunk gone", binding("sip:gone@10.0.0.5"))
			s.KeepBindings("trunk moved", binding("sip:old@10.0.0.5"))
			must(t, s.Flush(t.Context()))
			held, goOn := make(chan struct{}), make(chan struct{})
			letGo := sync.OnceFunc(func() { close(goOn) })
			go func() {
				_ = s.do(context.Background(), "hold", func(context.Context, *sql.Conn) error {
					close(held)
					<-goOn
					return nil
				})
			}()
			<-held
			s.KeepBindings("trunk gone", nil)
			s.KeepBindings("trunk moved", binding("sip:on its way@10.0.0.5"))
			s.KeepBindings("trunk moved", binding("sip:moved@10.0.0.5"))
			s.KeepBindings("trunk new", binding("sip:new@10.0.0.5"))
			for range 2 { // at the second kill, the database has the bindings
				path = filesAt(t, path)
				letGo()
				s = start(t, path)
				all, err := s.Bindings(t.Context())
				if err != nil || len(all) != 2 || len(all["trunk moved"]) != 1 || all["trunk moved"][0].Contact != "sip:moved@10.0.0.5" || len(all["trunk new"]) != 1 {
					t.Errorf("%+v, %v", all, err)
				}
				must(t, s.Flush(t.Context()))
				if states, err := statesAt(path); err != nil || len(states) > 0 {
					t.Errorf("the journal still has %d, %v", len(states), err)
				}
			}
		})
	}
}

// filesAt copies a store's files to a new directory in the state in which a kill would leave them now.
func filesAt(t *testing.T, path string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.CopyFS(dir, os.DirFS(filepath.Dir(path))))
	if err := os.Remove(filepath.Join(dir, filepath.Base(path)+"-shm")); err != nil { // the index of the log, which is made anew
		t.Fatal(err)
	}
	return filepath.Join(dir, filepath.Base(path))
}

// The registrations of a damaged file are in the new file, as far as they can be read.
func TestBindingsOfADamagedFile(t *testing.T) {
	path, _ := filled(t)
	s := openTest(t, path)
	s.KeepBindings("trunk phone", []record.Binding{{Contact: "sip:phone@10.0.0.5", Registered: time.Now(), Expires: time.Now().Add(time.Hour)}})
	must(t, s.Close())
	b, err := os.ReadFile(path)
	must(t, err)
	for at := 4096; at < len(b); at += 4096 {
		if page := b[at : at+4096]; !bytes.Contains(page, []byte("sip:phone@")) && !bytes.Contains(page, []byte("CREATE TABLE")) {
			copy(page, bytes.Repeat([]byte("damage! "), 512))
		}
	}
	must(t, os.WriteFile(path, b, 0o600))
	s = openTest(t, path)
	if all, err := s.Bindings(t.Context()); err != nil || s.SetAside() == "" || len(all["trunk phone"]) != 1 {
		t.Errorf("%+v, %v, set aside as %q", all, err, s.SetAside())
	}
}

// Registrations in the journal are sealed. An entry that is unsealed or damaged replaces nothing.
func TestBindingsInTheJournalAreSealed(t *testing.T) {
	j := journalAt(t)
	j.placeSealed(holderBound, record.BoundMark+"trunk new", []byte(`[{"contact":"sip:new@10.0.0.5"}]`))
	j.mu.Lock()
	j.place(holderBound, record.BoundMark+"trunk plain", []byte(`[{"contact":"sip:plain@10.0.0.5"}]`))
	j.place(holderBound, record.BoundMark+"trunk damaged", []byte("sealed by another key"))
	j.write()
	j.mu.Unlock()
	text, err := os.ReadFile(j.file.name)
	if err != nil || bytes.Contains(text, []byte("sip:new")) {
		t.Errorf("%q, %v", text, err)
	}
	states, err := statesAt(j.path)
	must(t, err)
	var s Store
	stay := map[string]lastState{}
	s.takeBound(testSeal, states, stay)
	want := map[string]string{"trunk new": `[{"contact":"sip:new@10.0.0.5"}]`}
	if !reflect.DeepEqual(s.left, want) || len(stay) != len(want) {
		t.Errorf("%q, of which %d stay", s.left, len(stay))
	}
}
