package media

import "testing"

// allocationCounts is how often allocations counts at most.
const allocationCounts = 5

// allocations returns the smallest number of allocations that it has counted for a call of f. testing.AllocsPerRun
// counts those of all goroutines, and goroutines of other tests' engines may still be running; then allocations counts
// again. So f is called between runs+1 and allocationCounts*(runs+1) times.
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
