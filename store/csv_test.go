package store

import (
	"encoding/csv"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
)

// rows is what a CSV reader makes of records.
func rows(t testing.TB, records ...Record) []map[string]string {
	t.Helper()
	var b strings.Builder
	c := NewCSV(&b)
	for i := range records {
		if err := c.Write(&records[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	lines, err := csv.NewReader(strings.NewReader(b.String())).ReadAll()
	if err != nil || len(lines) != len(records)+1 {
		t.Fatalf("%d lines, %v: %s", len(lines), err, b.String())
	}
	var all []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, name := range lines[0] {
			row[name] = line[i]
		}
		all = append(all, row)
	}
	return all
}

func TestCSV(t *testing.T) {
	r := sample("one")
	r.Report = &Report{CallID: "p"}
	got := rows(t, r, Record{ID: "bare"})
	for name, want := range map[string]string{
		"id": "one", "from": "+15550100001", "started_at": "2026-11-20T08:00:00.123Z", "duration_ms": "60000", "a_jitter_ms": "1.5", "b_mos": "3.2",
		"a_mos": "", "mos": "4.3", "one_way": "b", "trace_id": r.TraceID,
	} {
		if got[0][name] != want {
			t.Errorf("%s: got %q; want %q", name, got[0][name], want)
		}
	}
	for _, name := range []string{"attempts", "recordings", "report"} {
		if c := got[0][name]; !strings.Contains("[{", c[:1]) {
			t.Errorf("%s: %q", name, c)
		}
		if c, ok := got[1][name]; c != "" || !ok {
			t.Errorf("%s of a bare call: %q", name, c)
		}
	}
	if got := rows(t); got != nil {
		t.Errorf("nothing: %v", got)
	}
}

// What a caller puts into a number is text, whatever opens it.
func TestCSVIsSafe(t *testing.T) {
	for in, want := range map[string]string{
		"+15550100001":             "+15550100001",
		"+":                        "'+",
		"+1+cmd|' /C calc'!A0":     "'+1+cmd|' /C calc'!A0",
		"=HYPERLINK(\"http://x\")": "'=HYPERLINK(\"http://x\")",
		"-1":                       "'-1",
		"@SUM(1)":                  "'@SUM(1)",
		"\t=1":                     `\u0009=1`,
		"\r\n=1":                   `\u000d\u000a=1`,
		"a\x00b\x1b[31m":           `a\u0000b\u001b[31m`,
		"\u202e123":                `\u202e123`,
		"\xff":                     `\ufffd`,
		"a,b;\"c\"":                "a,b;\"c\"",
		"日本":                       "日本",
		"":                         "",
	} {
		r := sample("x")
		r.From = in
		if got := rows(t, r)[0]["from"]; got != want {
			t.Errorf("%q: got %q; want %q", in, got, want)
		}
	}
}

func FuzzCSV(f *testing.F) {
	f.Add("+1", "=x\n\"", "\u202e")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		r := sample(a)
		r.From, r.To, r.Attempts[0].Cause = b, c, b
		for name, cell := range rows(t, r)[0] {
			if strings.ContainsFunc(cell, unicode.IsControl) {
				t.Errorf("%s: %q has a control character", name, cell)
			}
			if cell == "" || !strings.ContainsRune("=+-@", rune(cell[0])) {
				continue
			}
			if cell[0] != '+' || strings.Trim(cell[1:], "0123456789") != "" || len(cell) == 1 {
				t.Errorf("%s: %q may be a formula", name, cell)
			}
		}
	})
}

// BenchmarkSearch measures searches among a million calls: go test ./store -run - -bench Search -benchtime 3x
func BenchmarkSearch(b *testing.B) {
	calls := 1_000_000
	if testing.Short() {
		calls = 10_000
	}
	path := filepath.Join(b.TempDir(), "f.db")
	s := openTest(b, path)
	mustPut(b, s, sample("template"))
	db, err := openRaw(path)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(b.Context(), `PRAGMA synchronous = OFF`); err != nil {
		b.Fatal(err)
	}
	const fill = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
		INSERT INTO calls (` + columnList + `) SELECT printf('%012d', n.i), node, trunk, route, target, direction, printf('+1555%07d', n.i * 7919 % 10000000), "to",
		printf('%d@carrier', n.i), printf('%d@us', n.i), printf('p%d', n.i), strftime('%Y-%m-%dT%H:%M:%fZ', 1790000000 + n.i * 3, 'unixepoch'),
		ringing_at, prepared_at, dialed_at, answered_at, ended_at, setup_ms, duration_ms, disposition, sip_status, q850, cause, ended_by, codec,
		attempts, media, recordings, lead, printf('e%d', n.i), printf('%032x', n.i) FROM n, calls WHERE calls.id = 'template'`
	begun := time.Now()
	if _, err := db.ExecContext(b.Context(), fill, calls); err != nil {
		b.Fatal(err)
	}
	if _, err := db.ExecContext(b.Context(), `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d calls made in %v", calls, time.Since(begun))
	for name, f := range map[string]Filter{
		"newest": {}, "rare cause": {Cause: "prepare_failed"}, "other trunk": {Trunk: "pbx"}, "rare number": {Number: "5550007919"}, "no number": {Number: "99999999999"},
		"common number": {Number: "555"}, "Call-ID": {ID: "77@carrier"}, "no id": {ID: "none"}, "oldest day": {Until: time.Unix(1790080000, 0)},
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				if _, _, err := s.List(b.Context(), f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("purge of half", func(b *testing.B) {
		for range b.N {
			slowest := make(chan time.Duration, 1)
			stop := make(chan struct{})
			go func() {
				var worst time.Duration
				defer func() { slowest <- worst }()
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
					}
					at := time.Now()
					r := sample("during-" + time.Now().String())
					r.StartedAt = TimeOf(time.Now().Add(time.Hour * 24 * 365))
					if err := s.Put(b.Context(), r); err != nil {
						b.Error(err)
					}
					worst = max(worst, time.Since(at))
				}
			}()
			n, err := s.Purge(b.Context(), time.Unix(1790000000+int64(calls)*3/2, 0))
			close(stop)
			b.Logf("%d purged, %v; the slowest call waited %v", n, err, <-slowest)
		}
	})
}
