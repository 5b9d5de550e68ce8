// Package processors changes the runtime's number of processors (GOMAXPROCS). All changes must be made here, because if
// two were made concurrently, one would be lost. After the first change, Go no longer follows the CPU limit of a
// container.
package processors

import (
	"runtime"
	"sync"
)

var (
	mu    sync.Mutex // guards the variables below, and GOMAXPROCS
	kept  int        // added by Add
	users int        // current callers of Lend
	lent  int        // number added for them
)

// Count returns the number of processors that the process has without those of Add and Lend.
func Count() int {
	mu.Lock()
	defer mu.Unlock()
	return runtime.GOMAXPROCS(0) - kept - lent
}

// Add adds n processors, for threads that each occupy one while they wait. A negative n removes processors.
func Add(n int) {
	mu.Lock()
	defer mu.Unlock()
	kept += n
	change(n)
}

// Lend leaves a processor for calls while the caller works with files, until back is called. A process with one
// processor gets a second one. A long system call occupies its processor until the runtime's monitor takes it away,
// after 20 ms at most, and a computing goroutine occupies it for 10 ms. Without another processor, calls wait that
// long. Having two processors all the time costs 7 % more CPU per call, because each message wakes a second thread.
//
// Changing the number stops all goroutines for a moment, and first waits for a running garbage collection.
func Lend() (back func()) {
	use(1)
	return func() { use(-1) }
}

func use(n int) {
	mu.Lock()
	defer mu.Unlock()
	users += n
	found := runtime.GOMAXPROCS(0) - kept - lent
	more := max(users+1-found, 0) - lent
	lent += more
	change(more)
}

func change(n int) {
	if n != 0 {
		runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + n)
	}
}
