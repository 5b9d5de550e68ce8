// Package processors changes the number of the runtime's processors (GOMAXPROCS).
package processors

import (
	"runtime"
	"sync"
)

var (
	mu   sync.Mutex // guards what follows, and the runtime's number
	kept int        // by Add
	lent int        // how many have one that Lend gave; they share it
)

// Add adds n processors for threads that keep one each while they wait. A negative n takes them back.
func Add(n int) {
	mu.Lock()
	defer mu.Unlock()
	kept += n
	change(n)
}

// Lend gives a process with one processor a second one, for work with files, until back is called. A system call that
// lasts holds its processor until the runtime's monitor takes it away, after 20 ms at most, and a goroutine that
// computes has it for 10 ms. Calls wait that long if there is no other. Always two would take 7 % more for a call,
// because each message wakes a second thread.
func Lend() (back func()) {
	mu.Lock()
	defer mu.Unlock()
	if lent == 0 && runtime.GOMAXPROCS(0)-kept > 1 {
		return func() {}
	}
	if lent++; lent == 1 {
		change(1)
	}
	return func() {
		mu.Lock()
		defer mu.Unlock()
		if lent--; lent == 0 {
			change(-1)
		}
	}
}

func change(n int) { runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n) }
