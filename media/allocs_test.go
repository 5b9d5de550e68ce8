package media

import "testing"

// allocationCounts is the number of counts that allocations takes at most.
const allocationCounts = 5

// allocations returns the least number of allocations that a call of f was seen to make. testing.AllocsPerRun counts for all
// goroutines, and goroutines of other tests' engines may still be ending: then it counts again. So f is called between runs+1 and
// allocationCounts*(runs+1) times.
func allocations(runs int, f func()) float64 {
	least := testing.AllocsPerRun(runs, f)
	for range allocationCounts - 1 {
		if least == 0 {
			break
		}
		least = min(least, testing.AllocsPerRun(runs, f))
	}
	return least
}
