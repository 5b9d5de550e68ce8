package fleet

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"flowbridge/internal/pgtest"
)

// all waits until the database has this number of records and the outbox is empty.
func (n *node) all(url string, records int) {
	n.t.Helper()
	eventually(n.t, "all records are there", func() bool { return n.waiting() == 0 })
	if got := count(n.t, url); got != records {
		n.t.Errorf("%d records; want %d", got, records)
	}
	if n.log.Count(pgtest.Password) != 0 {
		n.t.Errorf("the log has the password:\n%s", n.log)
	}
}

// A record that the database refuses is set aside with a log line. The other records are still sent.
func TestDrainRefused(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	n := newNode(t, "one")
	n.join(url, nil)
	pgtest.Exec(t, url, `ALTER TABLE flowbridge_calls ADD CONSTRAINT no CHECK (id NOT LIKE '%-00013' AND id NOT LIKE '%-00700')`)
	n.put(ids("a", 1000)...)
	eventually(t, "the others are there", func() bool { return count(t, url) == 998 })
	eventually(t, "two wait", func() bool { return n.waiting() == 2 && n.log.Count("set aside") == 2 })
	if n.log.Count(`"call":"a-00013"`) != 1 || n.log.Count("they wait") != 0 {
		t.Errorf("log:\n%s", n.log)
	}
	if items, err := n.store.Outbox(t.Context(), Consumer, 10); err != nil || len(items) != 0 {
		t.Errorf("due already: %+v, %v", items, err)
	}
}

// If the database refuses every record, that is an outage and not a fault of the records.
func TestDrainAllRefused(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	n := newNode(t, "one")
	n.join(url, nil)
	pgtest.Exec(t, url, `ALTER TABLE flowbridge_calls ADD CONSTRAINT no CHECK (false)`)
	n.put(ids("a", 20)...)
	eventually(t, "noticed", func() bool { return n.log.Count("they wait") == 1 })
	if n.log.Count("set aside") > 1 { // the first one may have been alone
		t.Errorf("log:\n%s", n.log)
	}
	pgtest.Exec(t, url, `ALTER TABLE flowbridge_calls DROP CONSTRAINT no`)
	eventually(t, "there again", func() bool { return count(t, url) >= 19 })
}

// Characters that PostgreSQL's text type does not allow don't delay a record.
func TestDrainText(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	n := newNode(t, "one")
	n.join(url, nil)
	r := finished("odd")
	r.From, r.To = "a\x00b\\u0000", "\xff\u202e<script>"+strings.Repeat("x", 20_000)
	r.SIPCallID, r.Attempts = strings.Repeat("y", 10_000), nil
	must(t, n.store.Put(t.Context(), r))
	eventually(t, "out", func() bool { return n.waiting() == 0 || n.log.Count("set aside") > 0 })
	got, ok, err := n.fleet.Get(t.Context(), "odd")
	if err != nil || !ok || got.From != "a\ufffdb\\u0000" || !strings.HasPrefix(got.To, "\ufffd\u202e<script>x") {
		t.Errorf("got %.80q, %.80q, %v, %v\n%s", got.From, got.To, ok, err, n.log)
	}
}

// A database that is too slow for a batch gets smaller batches.
func TestDrainSlow(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	n := newNode(t, "one")
	f, err := Open(t.Context(), n.options(url))
	must(t, err)
	if err := f.ready(t.Context()); err != nil { // creates the tables
		t.Fatal(err)
	}
	f.Close()
	// The database refuses more than 200 rows as too slow, so that the machine's speed does not matter.
	pgtest.Exec(t, url, `CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
		DECLARE rows int := coalesce(nullif(current_setting('slow.rows', true), ''), '0')::int + 1;
		BEGIN
			IF rows > 200 THEN RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = '57014'; END IF;
			PERFORM set_config('slow.rows', rows::text, true);
			RETURN NEW;
		END $$`)
	pgtest.Exec(t, url, `CREATE TRIGGER slow BEFORE INSERT ON flowbridge_calls FOR EACH ROW EXECUTE FUNCTION slow()`)
	n.put(ids("a", 300)...)
	n.join(url, nil)
	n.all(url, 300)
	if n.log.Count("they wait") != 1 || n.log.Count("57014") != 1 {
		t.Errorf("log:\n%s", n.log)
	}
}

// A database that never answers delays neither calls nor their records.
func TestDrainFrozen(t *testing.T) {
	t.Parallel()
	pg := pgtest.Start(t)
	url := pg.Database()
	n := newNode(t, "one")
	n.joinWithin(beatTimeout, url, nil)
	n.put("a-1")
	n.all(url, 1)
	pg.Freeze()
	n.put(ids("b", 10)...)
	eventually(t, "noticed", func() bool { return n.fleet.Status().BeatError != nil && n.log.Count("goes on with its part") > 0 })
	if _, _, err := n.fleet.Get(t.Context(), "x"); err == nil {
		t.Error("a frozen database answers")
	}
	pg.Thaw()
	n.all(url, 11)
}

// Each mistake of an operator has a clear message, and the records wait until it is corrected.
func TestDrainFaults(t *testing.T) {
	t.Parallel()
	pg := pgtest.Shared(t)
	for name, tt := range map[string]struct {
		broken, mended func(url string)
		with           func(url string) string // returns the node's URL
		says           string
	}{
		"read-only": {
			broken: func(url string) {
				pgtest.Exec(t, url, `ALTER DATABASE `+nameOf(url)+` SET default_transaction_read_only = on`)
			},
			mended: func(url string) {
				pgtest.Exec(t, pg.URL("postgres"), `ALTER DATABASE `+nameOf(url)+` SET default_transaction_read_only = off`)
			},
			says: "25006",
		},
		"wrong password": {
			with: func(url string) string {
				return strings.Replace(url, "postgres:"+pgtest.Password, "clerk_"+nameOf(url)+":wrong-"+pgtest.Password, 1)
			},
			broken: func(url string) {
				pgtest.Exec(t, pg.URL("postgres"), `CREATE ROLE clerk_`+nameOf(url)+` LOGIN SUPERUSER PASSWORD 'right'`)
			},
			mended: func(url string) {
				pgtest.Exec(t, pg.URL("postgres"), `ALTER ROLE clerk_`+nameOf(url)+` PASSWORD 'wrong-`+pgtest.Password+`'`)
			},
			says: "check user and password",
		},
		"no database": {
			with:   func(url string) string { return strings.Replace(url, nameOf(url), "later_"+nameOf(url), 1) },
			mended: func(url string) { pgtest.Exec(t, pg.URL("postgres"), `CREATE DATABASE later_`+nameOf(url)) },
			says:   "3D000",
		},
		"no rights": {
			with: func(url string) string {
				return strings.Replace(url, "postgres:"+pgtest.Password, "poor_"+nameOf(url)+":x", 1)
			},
			broken: func(url string) {
				pgtest.Exec(t, pg.URL("postgres"), `CREATE ROLE poor_`+nameOf(url)+` LOGIN PASSWORD 'x'`)
			},
			mended: func(url string) { pgtest.Exec(t, url, `GRANT CREATE, USAGE ON SCHEMA public TO poor_`+nameOf(url)) },
			says:   "42501",
		},
		"newer schema": {
			broken: func(url string) {
				pgtest.Exec(t, url, `CREATE TABLE flowbridge_version AS SELECT 1 AS id, 99::bigint AS version_id, true AS is_applied`)
			},
			mended: func(url string) { pgtest.Exec(t, url, `DROP TABLE flowbridge_version`) },
			says:   fmt.Sprintf("has schema 99, and this version knows %d; update this node", newestSchema()),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := pg.Database()
			if tt.broken != nil {
				tt.broken(url)
			}
			n := newNode(t, "one")
			n.put("before")
			with := url
			if tt.with != nil {
				with = tt.with(url)
			}
			n.join(with, nil)
			n.put(ids("a", 5)...)
			eventually(t, "noticed", func() bool { return n.log.Count("they wait") == 1 })
			if n.log.Count(tt.says) == 0 {
				t.Errorf("log lacks %q:\n%s", tt.says, n.log)
			}
			_, _, err := n.fleet.Get(t.Context(), "a")
			if away := (*AwayError)(nil); err != nil && (!errors.As(err, &away) || away.Remedy == "") {
				t.Errorf("reading: %v", err)
			}
			tt.mended(url)
			if name == "no database" {
				url = with
			}
			n.all(url, 6)
		})
	}
}

func nameOf(url string) string {
	name := url[strings.LastIndexByte(url, '/')+1:]
	name, _, _ = strings.Cut(name, "?")
	return name
}

// One node updates the tables of an earlier version while others also start. The tables keep their records.
func TestOlderSchema(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	pool, err := openPool(url, "test", 2)
	must(t, err)
	defer pool.Close()
	must(t, prepare(t.Context(), pool))
	r := finished("old")
	r.Attempts[0].SIPCallID = "lost-attempt"
	text, err := textOf(&r)
	must(t, err)
	must(t, write(t.Context(), pool, []staged{{id: "old", text: text}}, nil))
	pgtest.Exec(t, url, `DROP TABLE flowbridge_other_ids`)
	pgtest.Exec(t, url, `ALTER TABLE flowbridge_nodes ADD COLUMN expires_at timestamptz`)
	pgtest.Exec(t, url, `CREATE TABLE flowbridge_leases (permits integer)`)
	pgtest.Exec(t, url, `ALTER TABLE flowbridge_nodes DROP COLUMN seat, DROP COLUMN standby, DROP COLUMN api,
		DROP COLUMN numbers, DROP COLUMN seat_key`)
	pgtest.Exec(t, url, `DROP TABLE flowbridge_seats, flowbridge_states, flowbridge_registrations, flowbridge_erasures,
		flowbridge_holds, flowbridge_members, flowbridge_certificates, flowbridge_weights, flowbridge_salt`)
	pgtest.Exec(t, url, `DELETE FROM flowbridge_version WHERE version_id > 1`)
	var nodes []*node
	for _, name := range []string{"a", "b", "c", "d"} {
		n := newNode(t, name)
		n.put(name)
		nodes = append(nodes, n)
	}
	var all sync.WaitGroup
	for _, n := range nodes {
		all.Go(func() { n.join(url, nil) })
	}
	all.Wait()
	eventually(t, "five records", func() bool { return count(t, url) == 5 })
	if got := pgtest.One[string](t, url, `SELECT id FROM flowbridge_other_ids WHERE other = 'lost-attempt'`); got != "old" {
		t.Errorf("the other id is of %q", got)
	}
	for _, n := range nodes {
		if n.log.String() != "" {
			t.Error(n.log)
		}
	}
}

// If a newer node updates the schema while this node runs, this node notices it at the next batch.
func TestNewerMeanwhile(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	n := newNode(t, "one")
	n.join(url, nil)
	n.put("a")
	n.all(url, 1)
	newer := newestSchema() + 1
	pgtest.Exec(t, url, `INSERT INTO flowbridge_version (version_id, is_applied) VALUES ($1, true)`, newer)
	n.put("b")
	eventually(t, "noticed", func() bool { return n.log.Count(fmt.Sprint("has schema ", newer)) >= 1 })
	if got := count(t, url); got != 1 {
		t.Errorf("%d records were written into tables that are not known", got)
	}
	pgtest.Exec(t, url, `DELETE FROM flowbridge_version WHERE version_id = $1`, newer)
	n.all(url, 2)
}

// While the disk is full, records wait.
func TestDrainFull(t *testing.T) {
	t.Parallel()
	pg := pgtest.Start(t)
	dir := filepath.Join(pg.Dir(), "small")
	root(t, "mkdir", "-p", dir)
	root(t, "mount", "-t", "tmpfs", "-o", "size=24m,mode=0777", "tmpfs", dir)
	// The other processes end some time after the first one.
	t.Cleanup(func() { pg.Kill(); root(t, "umount", "-l", dir) })
	pg.Exec("mkdir", "-m", "0700", filepath.Join(dir, "space"))
	pgtest.Exec(t, pg.URL("postgres"), `CREATE TABLESPACE small LOCATION '`+filepath.Join(dir, "space")+`'`)
	pgtest.Exec(t, pg.URL("postgres"), `CREATE DATABASE tight TABLESPACE small`)
	url := pg.URL("tight")
	n := newNode(t, "one")
	n.join(url, nil)
	n.put("a")
	n.all(url, 1)
	ballast := filepath.Join(dir, "ballast")
	out, _ := exec.Command("dd", "if=/dev/zero", "of="+ballast, "bs=64k").CombinedOutput() // fails once the disk is full
	if !strings.Contains(string(out), "No space left") {
		t.Fatalf("dd: %s", out)
	}
	n.put(ids("b", 500)...)
	eventually(t, "noticed", func() bool { return n.log.Count("53100") == 1 })
	if n.log.Count("make room") != 1 {
		t.Errorf("log:\n%s", n.log)
	}
	must(t, os.Remove(ballast))
	n.all(url, 501)
}

// root runs a command as root.
func root(t *testing.T, args ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		args = append([]string{"sudo", "-n"}, args...)
	}
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}
