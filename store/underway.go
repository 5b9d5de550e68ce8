package store

import "sync/atomic"

// work counts the starts and ends of a goroutine's pieces of work. The number is odd while one is in progress.
type work struct{ steps atomic.Uint64 }

func (w *work) begin() { w.steps.Add(1) }

func (w *work) end() { w.steps.Add(1) }

// give yields the current piece of work, if there is one.
func (w *work) give(what string, yield func(what string, step uint64)) {
	if step := w.steps.Load(); step%2 == 1 {
		yield(what, step)
	}
}

// Underway yields the work that waits for the disk: of the writer, and of the call that writes the journal. Each
// has a number that changes as the work progresses.
func (s *Store) Underway(yield func(what string, step uint64)) {
	s.writing.give("writer", yield)
	if written, is := s.journal.underway(); is {
		yield("journal", written)
	}
}

// underway reports whether a call is writing. written changes with each write.
func (j *journal) underway() (written uint64, is bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.writing || j.file == nil {
		return 0, false
	}
	return j.file.number<<32 + uint64(j.file.written), true
}

// Underway is like Store.Underway, for the ladders' writer.
func (l *Ladders) Underway(yield func(what string, step uint64)) { l.writing.give("writer", yield) }
