package store

import (
	"cmp"
	"database/sql"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// spoil overwrites pages of a closed database that a query of dbstat finds, and returns their number.
func spoil(t *testing.T, path, where string) (pages int) {
	t.Helper()
	db, err := openRaw(path)
	if err != nil {
		t.Fatal(err)
	}
	var list sql.NullString
	err = db.QueryRowContext(t.Context(), `SELECT group_concat(pageno) FROM (SELECT pageno FROM dbstat WHERE `+where+`)`).Scan(&list)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for number := range strings.SplitSeq(list.String, ",") {
		if n, err := strconv.ParseInt(number, 10, 64); err == nil {
			if _, err := f.WriteAt(make([]byte, 512), (n-1)*4096); err != nil {
				t.Fatal(err)
			}
			pages++
		}
	}
	return pages
}

// misnumber has the branches of the tree of calls name other rows than are there.
func misnumber(t *testing.T, path string) {
	t.Helper()
	db, err := openRaw(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var page int64
	err = db.QueryRowContext(t.Context(), `SELECT pageno FROM dbstat WHERE name = 'calls' AND path = '/'`).Scan(&page)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 4096)
	if _, err := f.ReadAt(b, (page-1)*4096); err != nil {
		t.Fatal(err)
	}
	for cell := range binary.BigEndian.Uint16(b[3:]) { // https://sqlite.org/fileformat2.html#b_tree_pages: a page number, then that of a row
		at := binary.BigEndian.Uint16(b[12+2*cell:])
		if b[at+4]&0x80 == 0 || b[at+5]&0x80 != 0 {
			t.Fatalf("a number that is not of two bytes: %x", b[at:at+8])
		}
		b[at+4], b[at+5] = 0x80, 0x01
	}
	if _, err := f.WriteAt(b, (page-1)*4096); err != nil {
		t.Fatal(err)
	}
}

// What can be read of a damaged database is in the new one, also where a process was killed between.
func TestSalvage(t *testing.T) {
	const records = 2000
	for name, tt := range map[string]struct {
		where string // pages
		lost  int    // at most
		gaps  bool
	}{
		"nothing":     {"0", 0, false},
		"some leaves": {"name = 'calls' AND pagetype = 'leaf' AND pageno % 40 = 0", 200, true},
		"its last leaf and another": {`name = 'calls' AND pagetype = 'leaf' AND (path = (SELECT max(path) FROM dbstat WHERE name = 'calls' AND pagetype = 'leaf')
			OR path = (SELECT min(path) FROM dbstat WHERE name = 'calls' AND pagetype = 'leaf' AND path LIKE '/001/%'))`, 10, true},
		"a page of its branches":  {"name = 'calls' AND pagetype = 'internal' AND path <> '/' ORDER BY path LIMIT 1", 1000, true},
		"numbers of its branches": {"", 0, false},
		"all indexes":             {"name LIKE 'calls\\_%' ESCAPE '\\' OR name LIKE 'sqlite_autoindex_calls%'", 0, false},
		"the reports":             {"name LIKE '%reports%'", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f.db")
			s, err := Open(t.Context(), path, "hook")
			if err != nil {
				t.Fatal(err)
			}
			for i := range records {
				r := sample(fmt.Sprint(i))
				r.Recordings, r.Codec = nil, strings.Repeat("x", 1500) // a tree of three levels
				s.Keep(t.Context(), &r, nil, func(error) {})
			}
			if _, err := s.PutReport(t.Context(), "1", Report{CallID: "platform's", Status: "completed"}); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			spoiled := spoil(t, path, cmp.Or(tt.where, "0"))
			if tt.where == "" {
				misnumber(t, path)
			}
			if spoiled == 0 && tt.where != "0" && tt.where != "" {
				t.Fatal("there are no such pages")
			}
			if s, err = Open(t.Context(), path, "hook"); err != nil {
				t.Fatal(err)
			}
			s.condemned.Store(true)
			late := sample("new")
			late.Recordings = nil
			mustPut(t, s, late)
			aside := s.SetAside()
			if err := s.Close(); err != nil { // before anything was taken over
				t.Fatal(err)
			}
			if s, err = Open(t.Context(), path, "hook"); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			got, err := s.Salvage(t.Context())
			if err != nil || got.File != aside || got.Records < records-tt.lost || got.Gaps > 0 != tt.gaps && spoiled > 0 {
				t.Errorf("%+v, %v; want %d records but %d, of %s", got, err, records, tt.lost, aside)
			}
			n := 0
			if err := Each(t.Context(), s, Filter{}, func(Record) error { n++; return nil }); err != nil || n != got.Records+1 {
				t.Errorf("%d records are listed, %v", n, err)
			}
			if r, _, err := s.Get(t.Context(), "1"); name == "nothing" && (err != nil || r.Report == nil || r.Report.Status != "completed") {
				t.Errorf("a report: %+v, %v", r.Report, err)
			}
			if size, err := s.OutboxSize(t.Context()); err != nil || int64(got.Items)+1 != size["hook"] || got.Items != records+1 {
				t.Errorf("items: %v, %d of them taken over, %v", size, got.Items, err)
			}
			if again, err := s.Salvage(t.Context()); err != nil || again != (Salvaged{}) {
				t.Errorf("again: %+v, %v", again, err)
			}
		})
	}
}

// A file of which nothing can be read is told once; so is one that somebody has moved away.
func TestSalvageNothing(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"zeros":             func(path string) error { return os.WriteFile(path, make([]byte, 8192), 0o600) },
		"removed":           os.Remove,
		"an empty database": func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f.db")
			s := openTest(t, path)
			mustPut(t, s, sample("old"))
			s.condemned.Store(true)
			mustPut(t, s, sample("new"))
			if err := spoil(s.SetAside()); err != nil {
				t.Fatal(err)
			}
			_ = os.Remove(s.SetAside() + "-wal")
			if got, err := s.Salvage(t.Context()); err == nil && got.Gaps == 0 || got.File != s.SetAside() || got.Records > 0 {
				t.Errorf("%+v, %v", got, err)
			}
			if got, err := s.Salvage(t.Context()); err != nil || got.File != "" {
				t.Errorf("again: %+v, %v", got, err)
			}
		})
	}
}

// What an earlier version has written is taken over, with what that did not know as it is by default.
func TestSalvageEarlierSchema(t *testing.T) {
	for version := range int64(9) {
		version++
		path := filepath.Join(t.TempDir(), "f.db")
		s := openTest(t, path)
		want := sample("old")
		want.Restored, want.QueuedMS, want.Verstat, want.Attest, want.OrigID = 1, 2, "TN-Validation-Passed", "A", "o"
		mustPut(t, s, want)
		forgetEnded(t, s.path)
		s.condemned.Store(true)
		mustPut(t, s, sample("new"))
		db, err := openRaw(s.SetAside())
		if err != nil {
			t.Fatal(err)
		}
		p, err := provider(db)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.DownTo(t.Context(), version); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if version < 9 {
			want.Verstat, want.Attest, want.OrigID = "", "", ""
		}
		if version < 8 {
			want.QueuedMS = 0
		}
		if version < 6 {
			want.Restored = 0
		}
		if version < 4 {
			want.TraceID = ""
		}
		if version < 3 {
			want.Lead, want.ExternalID = "", ""
		}
		if version < 2 {
			want.Recordings = nil
		}
		if got, err := s.Salvage(t.Context()); err != nil || got.Records != 1 || got.Gaps != 0 {
			t.Errorf("schema %d: %+v, %v", version, got, err)
		}
		got, _, err := s.Get(t.Context(), "old")
		if version < 2 && len(got.Recordings) == 0 {
			got.Recordings = nil
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("schema %d: %v\n got %+v\nwant %+v", version, err, got, want)
		}
	}
}

// A file whose tables this version can't read stays noted, for another one.
func TestSalvageUnknownSchema(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	mustPut(t, s, sample("old"))
	forgetEnded(t, s.path)
	s.condemned.Store(true)
	mustPut(t, s, sample("new"))
	db, err := openRaw(s.SetAside())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, step := range []struct {
		alter   string
		records int
	}{{`ALTER TABLE calls RENAME COLUMN node TO nodes`, 0}, {`ALTER TABLE calls RENAME COLUMN nodes TO node`, 1}} {
		if _, err := db.ExecContext(t.Context(), step.alter); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Salvage(t.Context()); err == nil != (step.records == 1) || got.Records != step.records || got.File != s.SetAside() {
			t.Errorf("%s: %+v, %v", step.alter, got, err)
		}
	}
}

// An item is delivered once, also if the process is killed when a part of the file is taken over.
func TestSalvageDeliversOnce(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "f.db"), "hook")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustPut(t, s, sample("old"))
	s.condemned.Store(true)
	mustPut(t, s, sample("new"))
	delivered := map[string]int{}
	v := &salvage{s: s, Salvaged: Salvaged{File: s.SetAside()}}
	if _, err := v.run(t.Context()); err != nil || v.Items == 0 { // and then a kill
		t.Fatalf("%+v, %v", v.Salvaged, err)
	}
	deliverAll(t, s, delivered)
	if got, err := s.Salvage(t.Context()); err != nil || got.Items != 0 {
		t.Errorf("again: %+v, %v", got, err)
	}
	deliverAll(t, s, delivered)
	want := map[string]int{"old call": 1, "old recording": 1, "new call": 1, "new recording": 1}
	if size, err := s.OutboxSize(t.Context()); err != nil || len(size) > 0 || !maps.Equal(delivered, want) {
		t.Errorf("delivered %v, left %v, %v", delivered, size, err)
	}
}

// Files that are set aside in the same moment, or with the clock set back, have names of their own.
func TestAsideName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f.db")
	for range 5 {
		name := asideName(path)
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if all, err := filepath.Glob(path + ".damaged-*"); err != nil || len(all) != 5 {
		t.Errorf("%q, %v", all, err)
	}
}

// A reader that has begun on a damaged file speaks of that, and not of the new one; what is whole is not set aside.
func TestLateWordOfDamage(t *testing.T) {
	for _, renewed := range []bool{true, false} {
		s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
		mustPut(t, s, sample("old"))
		s.condemned.Store(renewed)
		mustPut(t, s, sample("new"))
		aside := s.SetAside()
		for i := range 3 {
			s.damaged.Store(true)
			mustPut(t, s, sample(fmt.Sprint(i)))
		}
		if got := s.SetAside(); got != aside || renewed == (aside == "") {
			t.Errorf("set aside: %q, and then %q", aside, got)
		}
	}
}

// A list that is being read when the damaged file is set aside reads on, and whoever asks next reads the new one.
func TestListOverASetAside(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	mustPut(t, s, sample("old"))
	var open []*sql.Conn // all that there may be
	for range readers {
		c, err := s.pool().Conn(t.Context())
		if err != nil || c.PingContext(t.Context()) != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	forgetEnded(t, s.path)
	s.condemned.Store(true)
	mustPut(t, s, sample("new"))
	for _, c := range open {
		n := 0
		if err := c.QueryRowContext(t.Context(), `SELECT count(*) FROM calls`).Scan(&n); n != 1 || err != nil {
			t.Errorf("%d records, %v", n, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	for range 2 * readers {
		if _, ok, err := s.Get(t.Context(), "new"); !ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
	}
	if got, err := s.Salvage(t.Context()); err != nil || got.Records != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}
