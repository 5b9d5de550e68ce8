package node

import (
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxWaitingLog bounds the log lines that wait to be read, in bytes.
	maxWaitingLog = 1 << 20
	// flushLog bounds how long the end of the process waits for these lines.
	flushLog = time.Second
)

// lines writes the log in such a way that no call waits for the log's reader. The goroutine that logs a line writes
// it: passing each line to another goroutine would cost more than the logging itself. If a pipe or socket is full,
// the line waits, and a separate goroutine writes it when there is room. If a disk hangs, only the goroutine that is
// writing waits; later lines of other goroutines are queued behind its line.
type lines struct {
	write func([]byte) (int, error) // waits for room
	try   func([]byte) (int, error) // does not wait: returns EAGAIN if there is no room

	mu      sync.Mutex // guards the fields below; not held during a write
	writing bool
	steps   uint64 // number of writes started
	blind   bool   // try can't be used with this file
	waiting []byte // whole lines that follow the current write
	dropped int64  // lines dropped for lack of room
}

// linesTo returns a lines that writes to file.
func linesTo(file *os.File) *lines {
	fd := int(file.Fd())
	return &lines{write: file.Write, try: func(p []byte) (int, error) {
		return unix.Pwritev2(fd, [][]byte{p}, -1, unix.RWF_NOWAIT)
	}}
}

// Write takes one or more whole lines.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writing {
		if len(l.waiting)+len(p) > maxWaitingLog {
			l.dropped++
		} else {
			l.waiting = append(l.waiting, p...)
		}
		return len(p), nil
	}
	l.writing = true
	left, full, err := l.begin(p)
	if full {
		l.waiting = slices.Concat(left, l.waiting)
		go func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.finish()
		}()
		return len(p), nil
	}
	l.finish()
	return len(p), err
}

// begin writes lines. full reports that there was no room for left.
func (l *lines) begin(p []byte) (left []byte, full bool, err error) {
	if !l.blind {
		n, err := l.outside(l.try, p)
		switch {
		case err == nil && n == len(p):
			return nil, false, nil
		case err == nil, errors.Is(err, unix.EAGAIN):
			return p[max(n, 0):], true, nil
		case errors.Is(err, unix.EINTR):
		default: // not supported by the file: EOPNOTSUPP, or ENOSYS of an old kernel
			l.blind = true
		}
	}
	_, err = l.outside(l.write, p)
	return nil, false, err
}

// finish writes the waiting lines.
func (l *lines) finish() {
	for len(l.waiting) > 0 {
		b := l.waiting
		l.waiting = nil
		_, _ = l.outside(l.write, b) // an error could not be reported anywhere
	}
	l.writing = false
}

// outside writes without holding the lock.
func (l *lines) outside(write func([]byte) (int, error), p []byte) (int, error) {
	l.steps++
	l.mu.Unlock()
	defer l.mu.Lock()
	return write(p)
}

// state returns how many lines were dropped, and whether a write is under way.
func (l *lines) state() (dropped int64, writing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped, l.writing
}

// flush waits briefly until all lines logged so far are written.
func (l *lines) flush() {
	for until := time.Now().Add(flushLog); time.Now().Before(until); time.Sleep(flushLog / 100) {
		if _, writing := l.state(); !writing {
			return
		}
	}
}
