package fleet

import (
	"crypto/rand"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"flowbridge/internal/pgtest"
	"flowbridge/store/record"
)

// seated returns a node that stands by for a seat.
func seated(t *testing.T, url, name string) *node {
	t.Helper()
	n := newNode(t, name)
	o := n.options(url)
	o.Seat = &SeatOptions{Name: "east", Secret: "0123456789abcdef0123456789abcdef", Patience: patience}
	f, err := Open(t.Context(), o)
	must(t, err)
	f.Seat.lease, f.Seat.promise = patience, patience
	f.beatWithin, f.within = patience, patience // even on a slow machine
	n.fleet = f
	t.Cleanup(func() { f.Close() })
	return n
}

// take takes the seat and starts to serve.
func (n *node) take(force bool) Taken {
	n.t.Helper()
	got, owner, err := n.fleet.Seat.Take(n.t.Context(), force)
	must(n.t, err)
	if got.Epoch == 0 {
		n.t.Fatalf("the seat is %+v's", owner)
	}
	n.fleet.Join(nil)
	return got
}

// lapse makes the owner's lease expire.
func lapse(t *testing.T, url string) {
	t.Helper()
	pgtest.Exec(t, url, `UPDATE flowbridge_seats SET renewed_at = renewed_at - interval '3 minutes'`)
}

// keep stores a state in the database and waits until it is there.
func (n *node) keep(id, text string) {
	n.t.Helper()
	n.fleet.Seat.Keep(id, []byte(text), true)
	landed := make(chan struct{})
	if n.fleet.Seat.Await(id, func() { close(landed) }) {
		<-landed
	}
	must(n.t, n.fleet.Seat.Flush(n.t.Context()))
}

func (n *node) states() map[string]string {
	n.t.Helper()
	all, unreadable, err := n.fleet.Seat.States(n.t.Context())
	must(n.t, err)
	if unreadable > 0 {
		n.t.Errorf("%d states can't be read", unreadable)
	}
	got := map[string]string{}
	for _, s := range all {
		got[s.ID] = string(s.Text)
	}
	return got
}

// A seat belongs to one node. Another node takes it once the lease has expired, and finds the calls. The first node
// learns of this, and its later writes are refused or withheld.
func TestSeatGoesOver(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a, b := seated(t, url, "a"), seated(t, url, "b")
	if got := a.take(false); got.Epoch != 1 || got.Own || got.Before.Node != "" {
		t.Errorf("first: %+v", got)
	}
	a.keep("live", "newer")
	a.keep("live", "newest")
	a.keep("over", "state")
	if got, owner, err := b.fleet.Seat.Take(t.Context(), false); err != nil || got.Epoch != 0 || owner.Node != "a.db" {
		t.Fatalf("taken from its owner: %+v %+v %v", got, owner, err)
	}
	a.put("over")
	eventually(t, "the record has taken the place of the state", func() bool {
		return pgtest.One[int](t, url, `SELECT count(*) FROM flowbridge_states`) == 1 && count(t, url) == 1
	})
	a.fleet.beating.Lock() // stops the node's heartbeats
	a.fleet.Seat.states.mu.Lock()
	eventually(t, "the seat is taken", func() bool {
		lapse(t, url)
		got, _, err := b.fleet.Seat.Take(t.Context(), false)
		return err == nil && got.Epoch == 2 && got.Before.Node == "a.db" && !got.Own
	})
	a.fleet.Seat.states.mu.Unlock()
	a.fleet.beating.Unlock()
	if got := b.states(); len(got) != 1 || got["live"] != "newest" {
		t.Errorf("states %v", got)
	}
	b.fleet.Join(nil)
	if owner := <-a.fleet.Seat.Lost(); owner.Node != "b.db" || owner.Epoch != 2 {
		t.Errorf("lost to %+v", owner)
	}
	a.fleet.Seat.Keep("late", []byte("of an old epoch"), true)
	a.put("live") // it ended the call as if the peers were gone
	eventually(t, "the record is withheld", func() bool { return a.waiting() == 0 })
	if got := b.states(); len(got) != 1 || got["live"] != "newest" {
		t.Errorf("states %v after the old owner has written", got)
	}
	if n := count(t, url); n != 1 {
		t.Errorf("%d records", n)
	}
	restored := finished("live")
	restored.Restored, restored.Cause = 1, "agent_hangup"
	must(t, b.store.Put(t.Context(), restored))
	eventually(t, "the new owner's record", func() bool { return count(t, url) == 2 })
	a.put("again")
	old := finished("live")
	old.Cause = "media_timeout"
	must(t, write(t.Context(), a.fleet.pool, []staged{stagedOf(t, &old)}, a.fleet.Seat))
	if got := pgtest.One[string](t, url, `SELECT cause FROM flowbridge_calls WHERE id = 'live'`); got != "agent_hangup" {
		t.Errorf("the old owner's record has replaced the newer one: %s", got)
	}
	if a.log.Count("records left to the node that has the seat now") == 0 {
		t.Error("not told of the record")
	}
}

func stagedOf(t *testing.T, r *record.Record) staged {
	t.Helper()
	text, err := textOf(r)
	must(t, err)
	return staged{id: r.ID, text: text}
}

// A node that comes back gets its seat at once, as it left it, unless another node has had the seat since.
func TestSeatAfterRestart(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a, b := seated(t, url, "a"), seated(t, url, "b")
	a.take(false)
	a.die()
	a.fleet.Close()
	restart := func() *Seat {
		o := a.options(url)
		o.Seat = &SeatOptions{Name: "east", Secret: "0123456789abcdef0123456789abcdef"}
		f, err := Open(t.Context(), o)
		must(t, err)
		t.Cleanup(func() { f.Close() })
		f.Seat.lease = patience
		return f.Seat
	}
	if got, _, err := restart().Take(t.Context(), false); err != nil || !got.Own || got.Epoch != 2 {
		t.Errorf("again: %+v %v", got, err)
	}
	if got := b.take(true); got.Own || got.Epoch != 3 {
		t.Errorf("by force: %+v", got)
	}
	again := restart()
	if got, owner, err := again.Take(t.Context(), false); err != nil || got.Epoch != 0 || owner.Node != "b.db" {
		t.Errorf("while b has it: %+v %+v %v", got, owner, err)
	}
	if got, _, err := again.Take(t.Context(), true); err != nil || got.Own || got.Epoch != 4 {
		t.Errorf("by force, after another: %+v %v", got, err)
	}
}

// A seat that was left to a certain node is closed to all others for some seconds, including the node that left it.
// That node can take it back explicitly.
func TestSeatIsLeft(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a, b, c := seated(t, url, "a"), seated(t, url, "b"), seated(t, url, "c")
	must1 := func(n *node, want int64) {
		t.Helper()
		if got, _, err := n.fleet.Seat.Take(t.Context(), false); err != nil || got.Epoch != want {
			t.Errorf("%s: %+v %v; want epoch %d", n.fleet.Seat.node, got, err, want)
		}
	}
	must1(a, 1)
	must(t, a.fleet.Seat.Leave(t.Context(), "b.db"))
	must1(a, 0)
	must1(c, 0)
	must(t, a.fleet.Seat.Stay(t.Context()))
	must1(b, 0)
	must(t, a.fleet.Seat.Leave(t.Context(), "b.db"))
	must1(b, 2)
	if err := a.fleet.Seat.Stay(t.Context()); err == nil {
		t.Error("taken back from its new owner")
	}
	must(t, b.fleet.Seat.Leave(t.Context(), "a.db"))
	pgtest.Exec(t, url, `UPDATE flowbridge_seats SET renewed_at = renewed_at - interval '3 minutes'`)
	must1(c, 3) // the node has not come
	must(t, c.fleet.Seat.Leave(t.Context(), ""))
	must1(a, 4)
}

// A call that waits for the database is told once: when the database has the state, when that takes too long, or when
// the database is away. During the outage no call waits. Afterwards all states are there.
func TestStatesWithoutDatabase(t *testing.T) {
	t.Parallel()
	pg := pgtest.Start(t)
	url := pg.Database()
	a := seated(t, url, "a")
	a.take(false)
	a.keep("first", "1")
	pg.Freeze()
	a.fleet.Seat.states.patience = time.Millisecond
	told := make(chan struct{}, 2)
	a.fleet.Seat.Keep("slow", []byte("2"), true)
	if !a.fleet.Seat.Await("slow", func() { told <- struct{}{} }) {
		t.Error("nobody waits")
	}
	<-told
	if waits, n := a.fleet.Seat.Await("slow", func() {}), a.fleet.Seat.NotAwaited(); waits || n != 1 {
		t.Errorf("a call waits after another one waited in vain: %t; %d states were not waited for; want 1", waits, n)
	}
	pg.Thaw()
	must(t, a.fleet.Seat.Flush(t.Context()))
	pg.Stop()
	var all sync.WaitGroup
	for _, id := range ids("away", 300) {
		a.fleet.Seat.Keep(id, []byte("older"), true)
		all.Go(func() { a.fleet.Seat.Keep(id, []byte("newer"), true) })
	}
	all.Wait()
	eventually(t, "the database is away", func() bool {
		a.fleet.Seat.Keep("last", []byte("x"), true)
		return !a.fleet.Seat.Await("last", func() {})
	})
	eventually(t, "the calls are unprotected for too long", func() bool {
		_, unprotected := a.fleet.Seat.states.counts()
		return unprotected == 301
	})
	pg.Run()
	must(t, a.fleet.Seat.Flush(t.Context()))
	if protected, unprotected := a.fleet.Seat.states.counts(); protected != 303 || unprotected != 0 {
		t.Errorf("%d protected, %d not", protected, unprotected)
	}
	got := a.states()
	for _, id := range ids("away", 300) {
		if got[id] != "newer" {
			t.Errorf("%s: %q", id, got[id])
		}
	}
	if n := a.log.Count("answered calls are unprotected"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

// The state of an ended call is replaced by its record until the record is written. Nothing is kept for states that
// never reached the database, so they do not pile up during an outage.
func TestStatesOfEndedCalls(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a := seated(t, url, "a")
	a.take(false)
	a.keep("live", "state")
	a.fleet.Seat.Over("live", []byte("record"))
	told := make(chan struct{})
	a.fleet.Seat.states.mu.Lock() // prevents writes until the unlock
	a.fleet.Seat.states.waiting["short"] = &waitingState{text: []byte("state"), told: []func(){func() { close(told) }}}
	a.fleet.Seat.states.mu.Unlock()
	a.fleet.Seat.Over("short", []byte("record"))
	<-told
	must(t, a.fleet.Seat.Flush(t.Context()))
	if got := a.states(); len(got) != 1 || got["live"] != "record" {
		t.Errorf("states %v", got)
	}
	if protected, unprotected := a.fleet.Seat.states.counts(); protected != 0 || unprotected != 0 {
		t.Errorf("%d protected, %d not", protected, unprotected)
	}
}

// A state can be opened only for its call and its seat, and only with the secret.
func TestStatesAreSealed(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a := seated(t, url, "a")
	a.take(false)
	a.keep("one", "keys of SRTP")
	pgtest.Exec(t, url, `INSERT INTO flowbridge_states (id, seat, state) SELECT 'two', seat, state FROM flowbridge_states`)
	pgtest.Exec(t, url, `INSERT INTO flowbridge_states (id, seat, state) VALUES ('three', 'east', 'x')`)
	if all, unreadable, err := a.fleet.Seat.States(t.Context()); err != nil || len(all) != 1 || unreadable != 2 {
		t.Errorf("%v, %d unreadable, %v", all, unreadable, err)
	}
	if n := pgtest.One[int](t, url, `SELECT count(*) FROM flowbridge_states`); n != 1 {
		t.Errorf("%d states are there; want that which can be read", n)
	}
	for _, o := range []SeatOptions{{Name: "east", Secret: "another secret of 32 characters!"}, {Name: "west", Secret: "0123456789abcdef0123456789abcdef"}} {
		s, err := newSeat(a.fleet, &o)
		must(t, err)
		sealed := pgtest.One[[]byte](t, url, `SELECT state FROM flowbridge_states WHERE id = 'one'`)
		if s.states.opened(s.states.seal, s.name, "one", sealed) != nil || s.Key() == a.fleet.Seat.Key() {
			t.Errorf("%+v opens it", o)
		}
	}
	pgtest.Exec(t, url, `UPDATE flowbridge_states SET state = 'x'`)
	_, unreadable, err := a.fleet.Seat.States(t.Context())
	must(t, err)
	if n := pgtest.One[int](t, url, `SELECT count(*) FROM flowbridge_states`); unreadable != 1 || n != 1 {
		t.Errorf("%d unreadable, %d there: who can read none may have the wrong secret, and removes none", unreadable, n)
	}
}

// A state is stored in its row, unless it is larger than that of any real call: storing it outside the row costs
// several times as much. Renewing a lease does not wait for a disk.
func TestStatesAreCheap(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a := seated(t, url, "a")
	a.take(false)
	random := make([]byte, 20_000)
	_, _ = rand.Read(random)
	const beside = `SELECT pg_relation_size(reltoastrelid) > 0 FROM pg_class WHERE oid = 'flowbridge_states'::regclass`
	for size, want := range map[int]bool{6_000: false, len(random): true} {
		a.keep("call", string(random[:size]))
		if got := pgtest.One[bool](t, url, beside); got != want || a.states()["call"] != string(random[:size]) {
			t.Errorf("%d bytes: beside the row %t; want %t, and the same bytes", size, got, want)
		}
		pgtest.Exec(t, url, `TRUNCATE flowbridge_states`)
	}
	must(t, pgx.BeginFunc(t.Context(), a.fleet.pool, func(tx pgx.Tx) (err error) {
		var commit string
		s := a.fleet.Seat
		if _, err = tx.Exec(t.Context(), renewSeat, s.name, s.id, s.epoch.Load(), 0, 0); err == nil {
			err = tx.QueryRow(t.Context(), `SHOW synchronous_commit`).Scan(&commit)
		}
		if commit != "off" {
			t.Errorf("a renewal is committed with %q", commit)
		}
		return err
	}))
}

// A write is followed at once by another one if some states did not fit or if it failed. States that arrived during the
// write wait for more.
func TestStatesGoTogether(t *testing.T) {
	all := &states{seat: &Seat{fleet: &Fleet{}}, waiting: map[string]*waitingState{}, there: map[string]bool{}}
	all.lag = time.AfterFunc(time.Hour, func() {})
	for id := range maxStates + 1 {
		all.keep(fmt.Sprint(id), []byte("state"), true)
	}
	for n, want := range []struct {
		err  error
		more bool
	}{{errState, true}, {nil, true}, {nil, false}} {
		if !all.take() {
			t.Fatalf("write %d: nothing waits", n)
		}
		all.keep("meanwhile", []byte("state"), true)
		if more := all.settle(want.err); more != want.more {
			t.Errorf("write %d: more is due %t; want %t", n, more, want.more)
		}
	}
	if len(all.there) < maxStates || all.waiting["meanwhile"] == nil || !all.lags {
		t.Errorf("%d there, %d wait, the timer runs %t", len(all.there), len(all.waiting), all.lags)
	}
}

// A clone of a machine with the same store.path has the same id. It gets the seat like any other node, and finds the
// calls in the database.
func TestSeatOfACopy(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a := seated(t, url, "a")
	if other := a.fleet.Seat.Copied(t.Context()); other != "" {
		t.Errorf("without any seat: %q", other)
	}
	a.take(false)
	o := a.options(url)
	o.Node, o.Seat = "b.db", &SeatOptions{Name: "east", Secret: "0123456789abcdef0123456789abcdef"}
	b, err := Open(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { b.Close() })
	b.Seat.lease = patience
	if got, owner, err := b.Seat.Take(t.Context(), false); err != nil || got.Epoch != 0 || owner.Node != "a.db" {
		t.Errorf("taken while the lease holds: %+v %+v %v", got, owner, err)
	}
	if other := b.Seat.Copied(t.Context()); other != "a.db" {
		t.Errorf("a copy of %q; want a.db", other)
	}
	if other := a.fleet.Seat.Copied(t.Context()); other != "" {
		t.Errorf("its owner: a copy of %q", other)
	}
	b.Seat.epoch.Store(1) // the epoch that the copy has
	must(t, b.Seat.Leave(t.Context(), ""))
	b.Seat.epoch.Store(0)
	if got, owner, err := b.Seat.Take(t.Context(), false); err != nil || got.Epoch != 0 || !owner.Holds() {
		t.Errorf("left by a copy: %+v %+v %v", got, owner, err)
	}
	if got, _, err := b.Seat.Take(t.Context(), true); err != nil || got.Own || got.Epoch != 2 {
		t.Errorf("by force: %+v %v", got, err)
	}
}

// Nodes of a seat detect whether they have the same secret.
func TestSeatSecretsAreCompared(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a, b, c := seated(t, url, "a"), seated(t, url, "b"), newNode(t, "c")
	o := c.options(url)
	o.Seat = &SeatOptions{Name: "east", Secret: "another secret of 32 characters.", Patience: patience}
	var err error
	c.fleet, err = Open(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { c.fleet.Close() })
	for _, n := range []*node{a, b, c} {
		n.fleet.beatOnce(t.Context())
	}
	members, err := a.fleet.Members(t.Context())
	must(t, err)
	for i := range members {
		if m := &members[i]; a.fleet.Seat.SameSecret(m) != (m.Name != "c.db") {
			t.Errorf("%s has the key %q", m.Name, m.SeatKey)
		}
	}
	if n := c.log.Count("another secret"); n != 2 || len(members) != 3 {
		t.Errorf("%d members; told %d times; want 2:\n%s", len(members), n, c.log)
	}
	if n := a.log.Count("another secret"); n != 0 {
		t.Errorf("a was alone, and told %d times", n)
	}
}

// FuzzState parses any text as a sealed state.
func FuzzState(f *testing.F) {
	fl := &Fleet{}
	s, err := newSeat(fl, &SeatOptions{Name: "east", Secret: "0123456789abcdef0123456789abcdef"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("id", []byte("state"))
	f.Fuzz(func(t *testing.T, id string, text []byte) {
		s.states.opened(s.states.seal, s.name, id, text)
		if text == nil {
			return
		}
		if got := s.states.opened(s.states.seal, s.name, id, s.states.sealed(id, text)); string(got) != string(text) {
			t.Errorf("%q", got)
		}
	})
}
