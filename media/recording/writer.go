package recording

import (
	"slices"
	"sync"
	"time"
)

const (
	// writers is the number of writing goroutines. A slow file delays only the files of the same writer.
	writers = 4

	// writeEvery is how often a writer looks for work. A wake-up for each packet would burden the media.
	writeEvery = 100 * time.Millisecond
)

type writer struct {
	wake chan struct{} // holds one token if there is work

	mu        sync.Mutex // guards the fields below
	recorders []*Recorder
	closed    bool
}

func newWriter() *writer { return &writer{wake: make(chan struct{}, 1)} }

// add gives the writer a recorder, unless the writer is closed.
func (w *writer) add(r *Recorder) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return false
	}
	w.recorders = append(w.recorders, r)
	w.poke()
	return true
}

// poke makes the writer look for work at once.
func (w *writer) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// close ends the writer once it has written everything.
func (w *writer) close() {
	w.mu.Lock()
	w.closed = true
	all := slices.Clone(w.recorders)
	w.mu.Unlock()
	for _, r := range all {
		r.Stop()
	}
	w.poke()
}

func (w *writer) load() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.recorders)
}

// run writes until close is called. It sleeps while no calls are being recorded.
func (w *writer) run(serve func(*Recorder) (over bool)) {
	tick := time.NewTicker(writeEvery)
	defer tick.Stop()
	for {
		w.mu.Lock()
		all, closed := slices.Clone(w.recorders), w.closed
		w.mu.Unlock()
		for _, r := range all {
			if serve(r) {
				w.remove(r)
				close(r.done)
			}
		}
		switch {
		case len(all) > 0:
			select {
			case <-tick.C:
			case <-w.wake:
			}
		case closed:
			return
		default:
			tick.Stop()
			<-w.wake
			tick.Reset(writeEvery)
		}
	}
}

func (w *writer) remove(r *Recorder) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.recorders = slices.DeleteFunc(w.recorders, func(o *Recorder) bool { return o == r })
}
