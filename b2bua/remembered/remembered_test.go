package remembered

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A redirected call is found by its ids for an hour, the latest of those with
// one id, and of very many the latest.
func TestCalls(t *testing.T) {
	r, now := New(For), time.Unix(1e9, 0)
	first := &Entry{IDs: []string{"CA1", "", "sf-1"}, At: now}
	r.Add(first)
	find := func(id string, at time.Time) *Entry { c, _ := r.Find(id, at); return c }
	if find("CA1", now) != first || find("sf-1", now.Add(For)) != first || find("", now) != nil || find("CA2", now) != nil {
		t.Error("not found by its ids, or by none")
	}
	if find("CA1", now.Add(For+1)) != nil {
		t.Error("found although it is old")
	}
	second := &Entry{IDs: []string{"CA1"}, At: now.Add(For + time.Second)}
	r.Add(second) // and forgets the first
	if find("CA1", second.At) != second || find("sf-1", now) != nil || len(r.queue) != 1 || len(r.byID) != 1 {
		t.Errorf("got %d calls, %d ids", len(r.queue), len(r.byID))
	}
	for i := range 2 * most {
		r.Add(&Entry{IDs: []string{fmt.Sprint(i)}, At: second.At})
	}
	if len(r.queue) > most || len(r.byID) > most || find(fmt.Sprint(2*most-1), second.At) == nil || find("0", second.At) != nil {
		t.Errorf("got %d calls, %d ids", len(r.queue), len(r.byID))
	}
}

// An id of two redirected calls is neither's; a call that is dialled once more
// is one call.
func TestCallsOfOneID(t *testing.T) {
	r, now := New(For), time.Unix(1e9, 0)
	a, b := &Entry{Call: Call{ID: "a"}, IDs: []string{"a", "crm-1"}, At: now}, &Entry{Call: Call{ID: "b"}, IDs: []string{"b", "crm-1"}, At: now.Add(time.Minute)}
	r.Add(a)
	r.Add(b)
	if c, err := r.Find("crm-1", b.At); !errors.Is(err, ErrSeveralCalls) {
		t.Errorf("got %+v, %v", c, err)
	}
	again := &Entry{Call: Call{ID: "b"}, IDs: []string{"b", "crm-1"}, At: b.At}
	r.Add(again)
	if c, err := r.Find("b", b.At); c != again || err != nil {
		t.Errorf("dialled once more: got %+v, %v", c, err)
	}
	if c, err := r.Find("crm-1", now.Add(For+time.Second)); c != again || err != nil {
		t.Errorf("when the first is too old: got %+v, %v", c, err)
	}
	if _, err := r.Find("a", now.Add(For+time.Second)); !errors.Is(err, ErrUnknownCall) {
		t.Errorf("too old: got %v", err)
	}
}

// A followed call is found by what a platform calls it, where it is now.
func TestCallsReported(t *testing.T) {
	r, now := New(For), time.Unix(1e9, 0)
	add := func(ours, platform, external string, followed bool) {
		c := &Entry{IDs: []string{ours, platform, external}, At: now, Followed: followed}
		c.Call.ID, c.Call.SynthflowCallID, c.Call.ExternalID = ours, platform, external
		r.Add(c)
	}
	add("1", "sf-1", "", true)
	add("2", "", "ext-2", true)
	add("3", "sf-3", "ext-3", true)
	add("4", "sf-4", "ext-4", false)
	add("5", "sf-5", "ext-5", true)
	add("5", "sf-6", "ext-5", true)
	for said, want := range map[string]string{
		"sf-1 ": "1", " ext-2": "2", "sf-9 ext-2": "2", "sf-3 ext-3": "3", " ext-3": "", "sf-9 ext-3": "", "sf-4 ext-4": "", "sf-5 ext-5": "", "sf-6 ext-5": "5",
		" ": "", "1 1": "",
	} {
		platform, external, _ := strings.Cut(said, " ")
		got := ""
		if c := r.Reported(platform, external, now); c != nil {
			got = c.Call.ID
		}
		if got != want {
			t.Errorf("%q: got %q; want %q", said, got, want)
		}
	}
}
