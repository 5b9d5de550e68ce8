// Package processors changes the number of the runtime's processors (GOMAXPROCS). All changes are made here, because
// of two at once one would be lost. After the first, Go no longer follows the CPU limit of a container.
package processors

import (
	"runtime"
	"sync"
)

var (
	mu    sync.Mutex // guards what follows, and the runtime's number
	kept  int        // what Add has added
	users int        // of Lend that have not given back
	lent  int        // what they have got
)

// Add adds n processors for threads that keep one each while they wait. A negative n takes them back.
func Add(n int) {
	mu.Lock()
	defer mu.Unlock()
	kept += n
	change(n)
}

// Lend has a processor left for calls while the caller works with files, until back is called. A process with one
// gets a second one. A system call that lasts holds its processor until the runtime's monitor takes it away, after 20
// ms at most, and a goroutine that computes has it for 10 ms. Calls wait that long if there is no other processor. Two
// processors at all times cost 7 % more CPU for a call, because each message wakes a second thread.
//
// A change of the number stops all goroutines for a moment, and first waits for a garbage collection that runs.
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
