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
	// maxWaitingLog is how much of the log waits for who reads it, in bytes.
	maxWaitingLog = 1 << 20
	// flushLog is how long the end of the process waits for that.
	flushLog = time.Second
)

// lines writes the log, and lets no call wait for who reads it. A line is written by whoever logs it: to hand each one
// to a goroutine would cost more than all that is logged. A pipe or socket that is full does not take it, so it waits,
// and a goroutine writes it when there is room. A file on a disk that hangs makes its writer wait, and nobody else:
// what others log meanwhile is written after it.
type lines struct {
	write func([]byte) (int, error) // waits for room
	try   func([]byte) (int, error) // does not: EAGAIN

	mu      sync.Mutex // guards what follows; not held while somebody writes
	writing bool
	steps   uint64 // writes begun
	blind   bool   // try can't be used with this file
	waiting []byte // whole lines, behind what is being written
	dropped int64  // lines for which there was no room
}

// linesTo writes to a file.
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

// begin writes lines. full: there was no room for what is left of them.
func (l *lines) begin(p []byte) (left []byte, full bool, err error) {
	if !l.blind {
		n, err := l.outside(l.try, p)
		switch {
		case err == nil && n == len(p):
			return nil, false, nil
		case err == nil, errors.Is(err, unix.EAGAIN):
			return p[max(n, 0):], true, nil
		case errors.Is(err, unix.EINTR):
		default: // the file can't tell: EOPNOTSUPP, or ENOSYS of an old kernel
			l.blind = true
		}
	}
	_, err = l.outside(l.write, p)
	return nil, false, err
}

// finish writes what waits.
func (l *lines) finish() {
	for len(l.waiting) > 0 {
		b := l.waiting
		l.waiting = nil
		_, _ = l.outside(l.write, b) // there is nobody to tell
	}
	l.writing = false
}

// outside writes without the lock.
func (l *lines) outside(write func([]byte) (int, error), p []byte) (int, error) {
	l.steps++
	l.mu.Unlock()
	defer l.mu.Lock()
	return write(p)
}

// state says how many lines were dropped, and whether somebody writes.
func (l *lines) state() (dropped int64, writing bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.dropped, l.writing
}

// flush waits until what was logged before is written, but not for long.
func (l *lines) flush() {
	for until := time.Now().Add(flushLog); time.Now().Before(until); time.Sleep(flushLog / 100) {
		if _, writing := l.state(); !writing {
			return
		}
	}
}
