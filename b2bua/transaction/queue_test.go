package transaction

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The queue returns deadlines in order, however they were moved before.
func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queue
		var all [20]Server
		for _, move := range rapid.SliceOfN(rapid.IntRange(0, 20*100-1), 0, 200).Draw(t, "moves") {
			q.move(&all[move%20], instant(move/20%50)) // half of them soon; 0 removes the deadline
		}
		var want, got []instant
		for i := range all {
			if all[i].at != 0 {
				want = append(want, all[i].at)
			}
			if all[i].at != 0 && q.members[all[i].place] != member(&all[i]) {
				t.Fatalf("%d is not where it thinks", i)
			}
		}
		slices.Sort(want)
		for q.first() != 0 {
			got = append(got, q.first())
			q.move(q.members[0], 0)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%v; want %v", got, want)
		}
	})
}
