package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"flowbridge/internal/pgtest"
	"flowbridge/store/record"
)

// The fleet's database answers every filter like the node's own store, page by page.
func TestListLikeStore(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	n := newNode(t, "one")
	n.join(url, nil)
	for i := range 60 {
		r := finished(fmt.Sprintf("c-%02d", i*7%60)) // the ids are in a different order than the times
		r.StartedAt = record.TimeOf(began.Add(time.Duration(i/3) * time.Minute))
		r.Trunk, r.Target = fmt.Sprint("t", i%2), fmt.Sprint("a", i%3)
		r.Route, r.Cause = fmt.Sprintf("routes[%d]", i%2), []string{"caller_hangup", "prepare_failed"}[i%5/4]
		r.Disposition = record.Dispositions()[i%len(record.Dispositions())]
		r.Direction = record.Directions()[i%2]
		r.From, r.To, r.Lead = fmt.Sprintf("+1507555%04d", i), fmt.Sprintf("+4930%d", i%4), []string{"", "100%_'"}[i%7/6]
		r.SynthflowCallID, r.ExternalID = []string{"", fmt.Sprint("p", i)}[i%2], []string{"", fmt.Sprint("x", i)}[i%3/2]
		r.Attempts = []record.Attempt{{Target: "a", SIPCallID: fmt.Sprint("lost-", i)}, {Target: "b", SIPCallID: r.TargetSIPCallID}}
		must(t, n.store.Put(t.Context(), r))
	}
	if _, err := n.store.PutReport(t.Context(), "c-07", record.Report{CallID: "report-7", ReceivedAt: record.TimeOf(began)}); err != nil {
		t.Fatal(err)
	}
	n.all(url, 60)
	rapid.Check(t, func(rt *rapid.T) {
		some := func(name string, values ...string) string {
			return rapid.SampledFrom(append([]string{"", "", ""}, values...)).Draw(rt, name)
		}
		at := func(name string) time.Time {
			if rapid.IntRange(0, 2).Draw(rt, name+"?") > 0 {
				return time.Time{}
			}
			return began.Add(time.Duration(rapid.IntRange(-1, 21*60).Draw(rt, name)) * time.Second)
		}
		f := record.Filter{
			Since: at("since"), Until: at("until"), Trunk: some("trunk", "t0", "t1", "t9"), Target: some("target", "a0", "a1"),
			Route: some("route", "routes[0]"), Direction: some("direction", record.Directions()...),
			Disposition: some("disposition", record.Dispositions()...), Cause: some("cause", "prepare_failed", "caller_hangup"),
			Number: some("number", "1507", "49301", "5550012", "%", "_", "'"),
			ID:     some("id", "c-07", "sip-c-21", "b-c-03", "p11", "x5", "lost-9", "report-7", "nothing"),
			Limit:  rapid.IntRange(0, 20).Draw(rt, "limit"),
		}
		for {
			want, next, err1 := n.store.List(t.Context(), f)
			got, cursor, err2 := n.fleet.List(t.Context(), f)
			if err1 != nil || err2 != nil || next != cursor {
				rt.Fatalf("%v, %v; next %q and %q", err1, err2, next, cursor)
			}
			if len(want)+len(got) > 0 {
				if diff := compareAll(want, got); diff != "" {
					rt.Fatalf("%+v: want - got +\n%s", f, diff)
				}
			}
			if f.Cursor = next; next == "" {
				return
			}
		}
	})
	if _, _, err := n.fleet.List(t.Context(), record.Filter{Cursor: "?"}); !errors.Is(err, record.ErrCursor) {
		t.Errorf("got %v; want ErrCursor", err)
	}
	if _, ok, err := n.fleet.Get(t.Context(), "nothing"); ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
}

// A row whose record this version can't read, for example a newer version's, is left out and reported. The other rows
// are listed page by page, even if the unreadable rows are the last of a page or a whole page.
func TestListLeavesOutOtherShapes(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	n := newNode(t, "one")
	n.join(url, nil)
	n.put(ids("a", 9)...)
	n.all(url, 9)
	pgtest.Exec(t, url, `UPDATE flowbridge_calls SET record = jsonb_set(record, '{attempts}', '{"0": "agent"}') WHERE id = 'a-00006'`)
	pgtest.Exec(t, url, `UPDATE flowbridge_calls SET record = jsonb_set(record, '{duration_ms}', '"1m"') WHERE id IN ('a-00004', 'a-00005')`)
	pgtest.Exec(t, url, `UPDATE flowbridge_calls SET record = '"v9"' WHERE id = 'a-00001'`)
	pgtest.Exec(t, url, `UPDATE flowbridge_calls SET record = 'null' WHERE id = 'a-00000'`)
	want := []string{"a-00008", "a-00007", "a-00003", "a-00002"}
	for _, limit := range []int{1, 2, 3, 100} {
		var got []string
		for f := (record.Filter{Limit: limit}); ; {
			records, next, err := n.fleet.List(t.Context(), f)
			must(t, err)
			for _, r := range records {
				got = append(got, r.ID)
			}
			if f.Cursor = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("with %d a page: %v; want %v", limit, got, want)
		}
	}
	if got := n.fleet.Unreadable(); !slices.Equal(got, []string{"a-00000", "a-00001", "a-00004", "a-00005", "a-00006"}) {
		t.Errorf("named are %v", got)
	}
	var away *AwayError
	if _, _, err := n.fleet.Get(t.Context(), "a-00004"); !errors.As(err, &away) || !strings.Contains(away.Remedy, "update this node") {
		t.Errorf("one of them: %v", err)
	}
}

func FuzzWithoutNUL(f *testing.F) {
	for _, s := range []string{"", "a", "\x00", "\\u0000", "\\\x00", "\\\\\x00\\", "\xff\x00\u202e", `"\`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, err := json.Marshal(s)
		must(t, err)
		var got string
		if err := json.Unmarshal(withoutNUL(text), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		want := make([]rune, 0, len(s))
		for _, r := range s {
			if r == 0 {
				r = utf8.RuneError
			}
			want = append(want, r)
		}
		if got != string(want) {
			t.Errorf("%q: got %q", s, got)
		}
	})
}
