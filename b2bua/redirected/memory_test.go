package redirected

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A redirected call can be found by its ids for an hour. If several calls have the same id,
// the latest is found. Only a limited number of calls is remembered.
func TestMemory(t *testing.T) {
	r, now := newMemory(rememberFor), time.Unix(1e9, 0)
	first := &entry{IDs: []string{"CA1", "", "sf-1"}, At: now}
	r.add(first)
	find := func(id string, at time.Time) *entry { c, _ := r.find(id, at); return c }
	if find("CA1", now) != first || find("sf-1", now.Add(rememberFor)) != first || find("", now) != nil || find("CA2", now) != nil {
		t.Error("not found by its ids, or by none")
	}
	if find("CA1", now.Add(rememberFor+1)) != nil {
		t.Error("found although it is old")
	}
	second := &entry{IDs: []string{"CA1"}, At: now.Add(rememberFor + time.Second)}
	r.add(second) // drops the first call
	if find("CA1", second.At) != second || find("sf-1", now) != nil || len(r.queue) != 1 || len(r.byID) != 1 {
		t.Errorf("got %d calls, %d ids", len(r.queue), len(r.byID))
	}
	for i := range 2 * maxRemembered {
		r.add(&entry{IDs: []string{fmt.Sprint(i)}, At: second.At})
	}
	if len(r.queue) > maxRemembered || len(r.byID) > maxRemembered || find(fmt.Sprint(2*maxRemembered-1), second.At) == nil || find("0", second.At) != nil {
		t.Errorf("got %d calls, %d ids", len(r.queue), len(r.byID))
	}
}

// If two redirected calls have the same id, the id finds neither. A call that is dialled
// again remains one call.
func TestMemoryOfOneID(t *testing.T) {
	r, now := newMemory(rememberFor), time.Unix(1e9, 0)
	a, b := &entry{Call: Call{ID: "a"}, IDs: []string{"a", "crm-1"}, At: now}, &entry{Call: Call{ID: "b"}, IDs: []string{"b", "crm-1"}, At: now.Add(time.Minute)}
	r.add(a)
	r.add(b)
	if c, err := r.find("crm-1", b.At); !errors.Is(err, ErrSeveralCalls) {
		t.Errorf("got %+v, %v", c, err)
	}
	given := &entry{Call: Call{ID: "c", SIPCallID: "crm-1"}, IDs: []string{"c", "crm-1"}, At: now.Add(-time.Hour)}
	for _, claims := range [][]*entry{{given, a, b}, {a, given, b}, {a, b, given}} {
		r.byID["crm-1"] = claims
		if c, err := r.find("crm-1", now); c != given || err != nil {
			t.Errorf("an id that a call was given, and callers have written: got %+v, %v", c, err)
		}
	}
	r.byID["crm-1"] = []*entry{a, b}
	again := &entry{Call: Call{ID: "b"}, IDs: []string{"b", "crm-1"}, At: b.At}
	r.add(again)
	if c, err := r.find("b", b.At); c != again || err != nil {
		t.Errorf("dialled once more: got %+v, %v", c, err)
	}
	if c, err := r.find("crm-1", now.Add(rememberFor+time.Second)); c != again || err != nil {
		t.Errorf("when the first is too old: got %+v, %v", c, err)
	}
	if _, err := r.find("a", now.Add(rememberFor+time.Second)); !errors.Is(err, ErrUnknownCall) {
		t.Errorf("too old: got %v", err)
	}
}

// A followed call can be found by the id of the platform that currently has the call.
func TestMemoryReported(t *testing.T) {
	r, now := newMemory(rememberFor), time.Unix(1e9, 0)
	add := func(ours, platform, external string, followed bool) {
		c := &entry{IDs: []string{ours, platform, external}, At: now, Followed: followed}
		c.Call.ID, c.Call.SynthflowCallID, c.Call.ExternalID = ours, platform, external
		r.add(c)
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
		if c := r.reported(platform, external, now); c != nil {
			got = c.Call.ID
		}
		if got != want {
			t.Errorf("%q: got %q; want %q", said, got, want)
		}
	}
}
