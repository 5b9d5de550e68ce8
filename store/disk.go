package store

import (
	"context"
	"os"
	"sync"
	"time"
)

// ground is what a database depends on: its file system, and SQLite's memory-mapped index of the log. A thread that
// waits for a mapped page keeps its processor, and at the next garbage collection all other threads wait for it. So
// before each use of SQLite, a system call checks that the file system takes changes.
type ground struct {
	path  string
	touch func(path string) // sets the file's time; blocks while the file system is frozen

	mu    sync.Mutex
	shm   os.FileInfo   // the index as last seen, or nil
	looks chan struct{} // closed at the end of the check under way; nil if there is none
}

func newGround(path string) *ground {
	return &ground{path: path, touch: func(path string) {
		_ = os.Chtimes(path, time.Time{}, time.Now()) // later steps report an error
	}}
}

// await returns when the file system takes changes. It blocks while the file system is frozen, for example for a
// snapshot.
func (g *ground) await() {
	g.touch(g.path)
	g.mend()
}

// mend restores the size of the index if it was truncated, because touching a missing page would kill the process.
// SQLite finds the index invalid and rebuilds it from the log.
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

// awaitFor is like await, but returns an error when ctx ends.
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
