//go:build !race

package store

import (
	"fmt"
	"testing"

	"flowbridge/store/record"
)

// TestJournalAllocations checks that a state and the end of a call allocate no memory besides the call's
// entry in a map.
func TestJournalAllocations(t *testing.T) {
	j := journalAt(t)
	recs := make([]record.Record, 100)
	for i := range recs {
		recs[i] = sample(fmt.Sprint("call", i))
	}
	ends := make([]*finish, len(recs))
	for i := range ends {
		ends[i] = &finish{id: recs[i].ID}
	}
	got := testing.AllocsPerRun(20, func() {
		for i := range recs {
			j.note(callState, &recs[i], nil, start)
			j.note(callEnded, &recs[i], nil, start)
		}
		j.over(ends)
	})
	if got > 5 { // for 100 calls: buffers are swapped
		t.Errorf("%v allocations for %d calls", got, len(recs))
	}
	must(t, j.close())
}
