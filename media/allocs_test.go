package media

import "testing"

// allocations is what a call of f allocates at least. testing.AllocsPerRun counts for all goroutines, and those of engines of
// other tests end when they end; so the least of several counts is f's own.
func allocations(runs int, f func()) float64 {
	least := testing.AllocsPerRun(runs, f)
	for range 4 {
		if least == 0 {
			break
		}
		least = min(least, testing.AllocsPerRun(runs, f))
	}
	return least
}
