// Package processors changes the number of the runtime's processors (GOMAXPROCS).
package processors

import (
	"runtime"
	"sync"
)

var (
	mu   sync.Mutex
	kept int // by Add
)

// Add adds n processors for threads that keep one for themselves; a negative n takes them back.
func Add(n int) {
	mu.Lock()
	defer mu.Unlock()
	kept += n
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
}

var lent int

func Lend() (back func()) {
	mu.Lock()
	defer mu.Unlock()
	if lent == 0 && runtime.GOMAXPROCS(0)-kept > 1 {
		return func() {}
	}
	if lent++; lent == 1 {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 1)
	}
	return func() {
		mu.Lock()
		defer mu.Unlock()
		if lent--; lent == 0 {
			runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) - 1)
		}
	}
}
