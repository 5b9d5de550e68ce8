package recording

import (
	"slices"
	"sync"
	"time"
)

const (
	// writers is how many goroutines write: a file that the system is slow with
	// holds up those of the same writer only.
	writers = 4

	// writeEvery is how often a writer looks what there is to write. Nobody tells
	// it: that would cost the media a wake-up for each packet.
	writeEvery = 100 * time.Millisecond
)

// writer writes the files of some recorders.
type writer struct {
	wake chan struct{} // 1 item: something is to be done now

	mu        sync.Mutex // guards what follows
	recorders []*Recorder
	closed    bool
}

func newWriter() *writer { return &writer{wake: make(chan struct{}, 1)} }

// add gives the writer a recorder, unless it is closed.
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

// poke has the writer look at once.
func (w *writer) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// close ends the writer when it has written everything.
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

// load is how many recorders the writer has.
func (w *writer) load() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.recorders)
}

// run writes until close. As long as nothing is recorded, it sleeps.
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
