package node

import (
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/config"
	"flowbridge/internal/pgtest"
	"flowbridge/internal/testlog"
	"flowbridge/store"
	"flowbridge/store/fleet"
	"flowbridge/store/record"
)

// seatedConfig is the configuration of a node with the seat east, whose files are in dir.
func seatedConfig(t *testing.T, dir, url string) *config.Config {
	t.Helper()
	files := t.TempDir()
	for name, text := range map[string]string{"dsn": url, "key": "0123456789abcdef0123456789abcdef"} {
		must(t, os.WriteFile(filepath.Join(files, name), []byte(text+"\n"), 0o600))
	}
	cfg, err := config.Parse("f.yaml", fmt.Appendf(nil, `
sip: {listen: ["udp://127.0.0.1:0"]}
media: {listen: [127.0.0.1], engine: userspace}
trunks: [{name: carrier, sources: [127.0.0.2]}]
store: {path: %s/calls.db}
admin: {listen: "unix://%s/admin.sock"}
fleet: {dsn_file: %[3]s/dsn, node: a, takeover: {seat: east, key_file: %[3]s/key}}
`, dir, dir, files), nil)
	must(t, err)
	return cfg
}

// A node whose seat another one has taken restarts. It says so, waits for the database, shows
// whose the seat is, and ends when it is told.
func TestSeatTakenByAnother(t *testing.T) {
	url, dir, log := pgtest.Shared(t).Database(), t.TempDir(), &testlog.Log{}
	anew := make(chan struct{})
	n, err := Start(t.Context(), seatedConfig(t, dir, url), zerolog.New(log), Options{beginAnew: func() { close(anew) }})
	must(t, err)
	if epoch, _, _ := n.seat.Figures(); epoch != 1 {
		t.Errorf("epoch %d", epoch)
	}
	pgtest.Exec(t, url, `UPDATE flowbridge_seats SET owner = 'other', node = 'b', epoch = 2, renewed_at = clock_timestamp() + interval '4 seconds'`)
	// It stays b's, as if b renewed it, however slow this test is.
	pgtest.Exec(t, url, `CREATE FUNCTION stays() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`)
	pgtest.Exec(t, url, `CREATE TRIGGER stays BEFORE UPDATE ON flowbridge_seats FOR EACH ROW WHEN (new.node <> 'b') EXECUTE FUNCTION stays()`)
	<-anew
	if !strings.Contains(log.String(), "the seat is node b's since") || os.Getenv(silenced) == "" {
		t.Error("it does not say why it falls silent, or not that it has")
	}
	t.Cleanup(func() { _ = os.Unsetenv(silenced) })
	must(t, n.Close())
	signals := make(chan os.Signal, 1)
	o := Options{signals: signals, standsBy: func(string) {
		client := http.Client{Transport: &http.Transport{DialContext: dialSocket(dir + "/admin.sock")}}
		for path, want := range map[string]string{
			"/readyz": "which is node b's since", "/metrics": "flowbridge_seat_epoch{seat=\"east\"} 0", "/api/calls": `"items":[]`,
		} {
			waitFor(t, path+" says "+want, func() bool {
				pgtest.Exec(t, url, `UPDATE flowbridge_seats SET renewed_at = clock_timestamp()`)
				res, err := client.Get("http://flowbridge" + path)
				must(t, err)
				defer res.Body.Close()
				text, err := io.ReadAll(res.Body)
				must(t, err)
				return strings.Contains(string(text), want)
			})
		}
		signals <- syscall.SIGTERM
	}}
	if _, err := Start(t.Context(), seatedConfig(t, dir, url), zerolog.New(log), o); !errors.Is(err, errStoodBy) {
		t.Error(err)
	}
}

// A node that has the lease, and whose server does not take calls yet, moves no seat.
func TestSeatMovesOnceItServes(t *testing.T) {
	url, dir := pgtest.Shared(t).Database(), t.TempDir()
	n, err := Start(t.Context(), seatedConfig(t, dir, url), zerolog.Nop(), Options{})
	must(t, err)
	defer n.Close()
	begins := &seat{Seat: n.seat.Seat, fleet: n.fleet}
	if _, err := (seats{begins}).Move(t.Context(), "east", "b"); !errors.Is(err, errStandsBy) || begins.leaving.Load() {
		t.Errorf("%v, leaving %v; want %v", err, begins.leaving.Load(), errStandsBy)
	}
	if _, err := (seats{n.seat}).Move(t.Context(), "east", "b"); !errors.Is(err, errNotThere) {
		t.Errorf("a node that serves: %v; want %v", err, errNotThere)
	}
}

// Without the database, the node that had the seat last serves, but not if it has fallen silent: then it waits.
func TestSeatWithoutDatabase(t *testing.T) {
	pg := pgtest.Start(t)
	url, dir, log := pg.Database(), t.TempDir(), &testlog.Log{}
	n, err := Start(t.Context(), seatedConfig(t, dir, url), zerolog.New(log), Options{})
	must(t, err)
	pg.Stop()
	must(t, n.Close())
	n, err = Start(t.Context(), seatedConfig(t, dir, url), zerolog.New(log), Options{})
	must(t, err)
	if epoch, _, _ := n.seat.Figures(); epoch != 1 || !strings.Contains(log.String(), "this node had it last, and serves") {
		t.Errorf("epoch %d", epoch)
	}
	must(t, n.Close())
	t.Setenv(silenced, "1")
	waits := make(chan struct{})
	served := make(chan *Node)
	go func() {
		n, err := Start(t.Context(), seatedConfig(t, dir, url), zerolog.New(log), Options{standsBy: func(string) { close(waits) }})
		if err != nil {
			t.Error(err)
		}
		served <- n
	}()
	<-waits
	pg.Run()
	n = <-served
	if epoch, _, _ := n.seat.Figures(); epoch != 2 {
		t.Errorf("epoch %d", epoch)
	}
	must(t, n.Close())
}

// A seat leaves a node whose disk is full. The records that the disk refused move with the seat, even those of calls
// that the database had never heard of.
func TestSeatLeavesAFullDisk(t *testing.T) {
	url, dir, log := pgtest.Shared(t).Database(), t.TempDir(), &testlog.Log{}
	anew := make(chan struct{})
	n, err := Start(t.Context(), seatedConfig(t, dir, url), zerolog.New(log), Options{beginAnew: func() { close(anew) }})
	must(t, err)
	t.Cleanup(func() { _ = os.Unsetenv(silenced) })
	disk, err := sql.Open("sqlite", "file:"+dir+"/calls.db?_pragma=busy_timeout(5000)") // the node writes, too
	must(t, err)
	defer func() { _ = disk.Close() }()
	_, err = disk.ExecContext(t.Context(), `CREATE TRIGGER full BEFORE INSERT ON calls BEGIN SELECT RAISE(ABORT, 'disk is full'); END`)
	must(t, err)
	now := record.TimeOf(time.Now())
	live := record.Record{ID: "live", Trunk: "carrier", StartedAt: now, DialedAt: now, AnsweredAt: now}
	n.store.Journal(live, []byte("state"))
	known := live
	known.ID = "known"
	n.store.Journal(known, []byte("state"))
	must(t, n.seat.Flush(t.Context()))
	known.Cause, known.EndedAt = "caller_hangup", now
	n.store.Keep(t.Context(), &known, nil, func(error) {})
	refused := newOptionsPhone(t, n.SIPAddr().String())
	refused.calls()
	waitFor(t, "the disk takes no records", func() bool { return n.store.Err() != nil && n.server.Unwritten() == 1 })
	_, err = n.seat.move(t.Context(), "b")
	must(t, err)
	other := openOther(t, url, "b")
	var taken fleet.Taken
	waitFor(t, "the database answers in time", func() bool {
		taken, _, err = other.Seat.Take(t.Context(), false)
		return err == nil
	})
	if taken.Epoch != 2 {
		t.Fatal(taken)
	}
	states, unreadable, err := other.Seat.States(t.Context())
	must(t, err)
	over := map[string]bool{}
	for _, s := range states {
		l, isOver, err := store.FromReplica(s.ID, s.Text, time.Now())
		must(t, err)
		if over[l.Record.Cause+" "+l.Record.Trunk] = isOver; isOver && l.Record.EndedAt.IsZero() {
			t.Errorf("not whole: %+v", l.Record)
		}
	}
	if len(states) != 3 || unreadable != 0 || over[" carrier"] || !over["caller_hangup carrier"] || !over["no_route carrier"] {
		t.Errorf("%d states, %d unreadable, over: %v", len(states), unreadable, over)
	}
	<-anew
	_, err = disk.ExecContext(t.Context(), `DROP TRIGGER full`)
	must(t, err)
	must(t, n.Close())
}

// A node is cut off before its answer to an INVITE has reached the caller, which repeats the INVITE to the next owner. The
// call has the record that the next owner writes, and no other one, when the node has the seat again.
func TestRepeatedInviteHasOneRecord(t *testing.T) {
	url, dir := pgtest.Shared(t).Database(), t.TempDir()
	now := record.TimeOf(time.Now())
	call := func(id, callID string) record.Record {
		return record.Record{ID: id, Trunk: "carrier", SIPCallID: callID, StartedAt: now, DialedAt: now}
	}
	cutOff, err := store.Open(t.Context(), dir+"/calls.db")
	must(t, err)
	cutOff.Journal(call("first", "repeated"), []byte("state"))
	cutOff.Journal(call("alone", "not repeated"), []byte("state"))
	journal, err := os.ReadFile(dir + "/calls.db.live-a")
	must(t, err)
	must(t, cutOff.Close())
	must(t, os.WriteFile(dir+"/calls.db.live-a", journal, 0o600)) // as if it was killed

	other := openOther(t, url, "b")
	waitFor(t, "b has the seat", func() bool {
		taken, _, err := other.Seat.Take(t.Context(), false)
		return err == nil && taken.Epoch > 0
	})
	other.Join(nil)
	next, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "next.db"))
	must(t, err)
	next.Replicate(other.Seat)
	next.Journal(call("second", "repeated"), []byte("state"))
	must(t, other.Seat.Flush(t.Context()))
	must(t, next.Close())
	must(t, other.Seat.Leave(t.Context(), ""))

	n, err := Start(t.Context(), seatedConfig(t, dir, url), zerolog.Nop(), Options{})
	must(t, err)
	must(t, n.store.Flush(t.Context()))
	for id, want := range map[string]bool{"first": false, "alone": true, "second": true} {
		if _, got, err := n.store.Get(t.Context(), id); err != nil || got != want {
			t.Errorf("call %s has a record: %t, %v; want %t", id, got, err, want)
		}
	}
	must(t, n.Close())
}

// openOther opens another node's part in the seat east.
func openOther(t *testing.T, url, name string) *fleet.Fleet {
	t.Helper()
	kept, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "calls.db"))
	must(t, err)
	t.Cleanup(func() { must(t, kept.Close()) })
	other, err := fleet.Open(t.Context(), fleet.Options{
		URL: url, Node: name, Version: "test", Key: kept.Key(), Outbox: kept, Log: zerolog.Nop(),
		Seat: &fleet.SeatOptions{Name: "east", Secret: "0123456789abcdef0123456789abcdef"},
	})
	must(t, err)
	t.Cleanup(func() { must(t, other.Close()) })
	return other
}
