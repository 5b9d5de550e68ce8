package fleet

import (
	"cmp"
	"slices"
)

// claim is what a member wants of a cap.
type claim struct {
	node string
	want int
}

// allot shares a limit out: those who want less than the others get it, the others equal parts, and what nobody wants
// is shared equally. Every node comes to the same result for the same claims.
func allot(limit int, claims []claim) map[string]int {
	order := slices.SortedFunc(slices.Values(claims), func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.want, b.want), cmp.Compare(a.node, b.node))
	})
	got := map[string]int{}
	left := max(0, limit)
	for i, c := range order {
		got[c.node] = min(max(0, c.want), left/(len(order)-i))
		left -= got[c.node]
	}
	// The last ones wanted most, so what can't be divided is theirs.
	for i, c := range slices.Backward(order) {
		part := (left + i) / (i + 1)
		got[c.node] += part
		left -= part
	}
	return got
}
