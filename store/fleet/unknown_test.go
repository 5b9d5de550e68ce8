package fleet

import (
	"slices"
	"testing"
	"time"

	"flowbridge/internal/pgtest"
	"flowbridge/store/record"
)

// A node that comes back has calls in its journal that other nodes have continued or ended, and some that only it
// knows. If a call has no answer, the caller may have repeated its INVITE to the next owner: then it has its record
// there, under another id.
func TestCallsOnlyThisNodeKnows(t *testing.T) {
	t.Parallel()
	url := pgtest.Shared(t).Database()
	a := seated(t, url, "a")
	a.take(false)
	a.keep("goes-on", "state")
	a.put("over", "answered-later")
	eventually(t, "the records are there", func() bool { return count(t, url) == 2 })
	endedUnanswered := finished("ended-unanswered") // by the next owner, while the answer may have been on its way
	endedUnanswered.AnsweredAt = record.Time{}
	must(t, write(t.Context(), a.fleet.pool, []staged{stagedOf(t, &endedUnanswered)}, nil))
	live := []record.Saved{{Record: record.Record{
		ID: "answered-elsewhere", SIPCallID: "sip-live", StartedAt: record.TimeOf(began.Add(time.Second)),
	}}}
	var calls []record.Saved
	call := func(id, callID string, started, answered time.Duration) {
		r := record.Record{ID: id, SIPCallID: callID, StartedAt: record.TimeOf(began.Add(started))}
		if answered > 0 {
			r.AnsweredAt = record.TimeOf(began.Add(started + answered))
		}
		calls = append(calls, record.Saved{Record: r})
	}
	call("goes-on", "sip-goes-on", 0, time.Second)
	call("over", "sip-over", 0, time.Second)
	call("alone", "sip-alone", 0, 0)
	call("alone-answered", "sip-alone-answered", 0, time.Second)
	call("repeated", "sip-answered-later", -3*time.Second, 0)
	call("repeated-live", "sip-live", 0, 0)
	call("billed", "sip-answered-later", 0, time.Second) // an answered call has its record in any case
	call("billed-live", "sip-live", 0, time.Second)
	call("another-call", "sip-answered-later", -inviteLife-time.Second, 0)
	call("another-live", "sip-live", inviteLife+2*time.Second, 0)
	call("without-call-id", "", 0, 0)
	call("ended-unanswered", "sip-ended-unanswered", 0, time.Second) // its 200 may not have left
	calls = append(calls, record.Saved{Record: record.Record{ID: "owes"}, Owed: true})
	got, err := a.fleet.Seat.Unknown(t.Context(), calls, live)
	must(t, err)
	slices.Sort(got)
	want := []string{"alone", "alone-answered", "another-call", "another-live", "billed", "billed-live", "without-call-id"}
	if !slices.Equal(got, want) {
		t.Errorf("%v; want %v", got, want)
	}
}
