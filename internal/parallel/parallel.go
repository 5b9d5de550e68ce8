// Package parallel does the same for each of many things on all processors: what a process that takes up the calls of another
// one does while nobody hears anything.
package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Do calls do with each of 0 to n-1, from as many goroutines as there are processors, in no order. It returns when all have
// returned, with the error of the lowest number; the others are done all the same.
func Do(n int, do func(i int) error) error {
	var next atomic.Int64
	var all sync.WaitGroup
	var mu sync.Mutex
	var first error
	lowest := n
	for range min(runtime.NumCPU(), n) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					mu.Lock()
					if i < lowest {
						lowest, first = i, err
					}
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return first
}
