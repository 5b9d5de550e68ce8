package b2bua

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// A redirected call is found by its ids for an hour, the latest of those with
// one id, and of very many the latest.
func TestRemembered(t *testing.T) {
	r, now := newRemembered(), time.Unix(1e9, 0)
	first := &remembered{ids: []string{"CA1", "", "sf-1"}, at: now}
	r.add(first)
	find := func(id string, at time.Time) *remembered { c, _ := r.find(id, at); return c }
	if find("CA1", now) != first || find("sf-1", now.Add(rememberFor)) != first || find("", now) != nil || find("CA2", now) != nil {
		t.Error("not found by its ids, or by none")
	}
	if find("CA1", now.Add(rememberFor+1)) != nil {
		t.Error("found although it is old")
	}
	second := &remembered{ids: []string{"CA1"}, at: now.Add(rememberFor + time.Second)}
	r.add(second) // and forgets the first
	if find("CA1", second.at) != second || find("sf-1", now) != nil || len(r.queue) != 1 || len(r.byID) != 1 {
		t.Errorf("got %d calls, %d ids", len(r.queue), len(r.byID))
	}
	for i := range 2 * maxRemembered {
		r.add(&remembered{ids: []string{fmt.Sprint(i)}, at: second.at})
	}
	if len(r.queue) > maxRemembered || len(r.byID) > maxRemembered || find(fmt.Sprint(2*maxRemembered-1), second.at) == nil || find("0", second.at) != nil {
		t.Errorf("got %d calls, %d ids", len(r.queue), len(r.byID))
	}
}

// An id of two redirected calls is neither's; a call that is dialled once more
// is one call.
func TestRememberedOfOneID(t *testing.T) {
	r, now := newRemembered(), time.Unix(1e9, 0)
	a, b := &remembered{call: RedirectedCall{ID: "a"}, ids: []string{"a", "crm-1"}, at: now}, &remembered{call: RedirectedCall{ID: "b"}, ids: []string{"b", "crm-1"}, at: now.Add(time.Minute)}
	r.add(a)
	r.add(b)
	if c, err := r.find("crm-1", b.at); !errors.Is(err, ErrSeveralCalls) {
		t.Errorf("got %+v, %v", c, err)
	}
	again := &remembered{call: RedirectedCall{ID: "b"}, ids: []string{"b", "crm-1"}, at: b.at}
	r.add(again)
	if c, err := r.find("b", b.at); c != again || err != nil {
		t.Errorf("dialled once more: got %+v, %v", c, err)
	}
	if c, err := r.find("crm-1", now.Add(rememberFor+time.Second)); c != again || err != nil {
		t.Errorf("when the first is too old: got %+v, %v", c, err)
	}
	if _, err := r.find("a", now.Add(rememberFor+time.Second)); !errors.Is(err, ErrUnknownCall) {
		t.Errorf("too old: got %v", err)
	}
}
