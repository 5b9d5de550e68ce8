package store

import (
	"context"
	"os"
	"sync"
	"time"
)

// ground is what a database stands on: its file system, and SQLite's index of the log, which is mapped. A thread that
// touches a mapped page keeps its processor, and all others with the next cycle of the collector, until it has the
// page. So before SQLite is used, a system call finds out whether the file system takes changes.
type ground struct {
	path  string
	touch func(path string) // changes the file's time; it waits while the file system is frozen

	mu    sync.Mutex
	shm   os.FileInfo   // the index, as it was seen last; nil: never
	looks chan struct{} // closed at the end of the look under way; nil: there is none
}

func newGround(path string) *ground {
	return &ground{path: path, touch: func(path string) {
		_ = os.Chtimes(path, time.Time{}, time.Now()) // an error is told by what follows
	}}
}

// await returns when the file system takes changes. While it is frozen for a snapshot, for example, it waits.
func (g *ground) await() {
	g.touch(g.path)
	g.mend()
}

// mend gives the index its size again if somebody has truncated it. To touch a page that is not there any more would
// end the process. SQLite finds it wrong, and makes it again from the log.
func (g *ground) mend() {
	g.mu.Lock()
	defer g.mu.Unlock()
	name := g.path + "-shm"
	now, err := os.Stat(name)
	if err != nil {
		return
	}
	if g.shm != nil && os.SameFile(now, g.shm) && now.Size() < g.shm.Size() {
		_ = os.Truncate(name, g.shm.Size())
		return
	}
	g.shm = now
}

// awaitFor is await for one who has not much time.
func (g *ground) awaitFor(ctx context.Context) error {
	g.mu.Lock()
	looks := g.looks
	if looks == nil {
		looks = make(chan struct{})
		g.looks = looks
		go func() {
			g.await()
			g.mu.Lock()
			defer g.mu.Unlock()
			g.looks = nil
			close(looks)
		}()
	}
	g.mu.Unlock()
	select {
	case <-looks:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
