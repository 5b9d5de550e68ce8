// Package processors changes the runtime's number of processors (GOMAXPROCS). All changes are made here, because one of
// two concurrent changes would be lost. After the first change, Go no longer follows the CPU limit of a container.
package processors

import (
	"runtime"
	"sync"
)

var (
	mu    sync.Mutex // guards the variables below, and the runtime's number
	kept  int        // added by Add
	users int        // callers of Lend that have not given back
	lent  int        // added for them
)

// Add adds n processors for threads that hold one each while they wait. A negative n removes them.
func Add(n int) {
	mu.Lock()
	defer mu.Unlock()
	kept += n
	change(n)
}

// Lend leaves a processor for calls while the caller works with files, until back is called. A process with one
// processor gets a second one. A long system call holds its processor until the runtime's monitor takes it away, after
// 20 ms at most, and a computing goroutine holds it for 10 ms. Without another processor, calls wait that long. Two
// processors at all times cost 7 % more CPU for a call, because each message wakes a second thread.
//
// A change of the number stops all goroutines for a moment, and first waits for a running garbage collection.
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
