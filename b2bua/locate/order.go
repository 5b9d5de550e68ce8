package locate

import (
	"cmp"
	"slices"
)

// ordered returns SRV records in the order in which to try them: by priority, and among equals at random by weight (RFC
// 2782). It changes all.
func ordered(all []record, random func(n int) int) []record {
	slices.SortStableFunc(all, func(a, b record) int { // weight 0 first, so that it also has a small chance
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(min(a.weight, 1), min(b.weight, 1)))
	})
	for i := range all {
		end, sum := i, 0
		for end < len(all) && all[end].priority == all[i].priority {
			sum += int(all[end].weight)
			end++
		}
		at, left := random(sum+1), i
		for ; left < end-1; left++ {
			if at -= int(all[left].weight); at <= 0 {
				break
			}
		}
		chosen := all[left]
		copy(all[i+1:left+1], all[i:left])
		all[i] = chosen
	}
	return all
}
