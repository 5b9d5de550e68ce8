package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A disk that is full takes no entry, and a kill then restores states of before. So the journal has room on its disk before it
// needs it: what its file may still grow by, and the next file with what the live calls take. A file that was left is used
// again, so that there is no moment at which somebody else could take its room.

const (
	// roomStep is what a file's room grows by, in bytes, and what is left of it when a file that can't get more is left for the
	// next one.
	roomStep = 4 << 20
	// roomEvery is how often room is asked for where the disk has none.
	roomEvery = time.Second
)

// errNoPreallocation is told once a file system has said that it can't give room ahead.
var errNoPreallocation = errors.New("the file system gives no room ahead")

// grow gives a file room up to a size, in steps. Without an error it has it.
func (s *journalSegment) grow(size int64) error {
	size = (size + roomStep - 1) / roomStep * roomStep
	if size <= s.room || s.roomless {
		return nil
	}
	switch err := allocate(s.f, s.room, size-s.room); {
	case err == nil:
		s.room = size
		return nil
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS):
		s.roomless = true
		return errNoPreallocation
	default:
		return err
	}
}

// allocate gives a file room on the disk behind its end, which stays where it is.
func allocate(f *os.File, at, size int64) error {
	for {
		if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, at, size); !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fallocate", err)
		}
	}
}

// reserve sees that there is room. It gives the lock away meanwhile. Without room the journal goes on.
func (j *journal) reserve() {
	now := time.Now()
	if j.file.f == nil || now.Before(j.roomAt) {
		return
	}
	file, next := j.file, j.next
	beyond := min(max(journalFile, 4*j.size), file.end+journalFile) + roomStep
	whole := j.size + journalFile + roomStep
	if file.room >= beyond && (j.old != nil || next != nil && next.room >= whole) {
		return
	}
	j.mu.Unlock()
	err := file.grow(beyond)
	if err == nil && j.old == nil {
		if next == nil {
			next, err = openSegment(j.otherName(file))
		}
		if err == nil {
			err = next.grow(whole)
		}
	}
	j.mu.Lock()
	if j.old == nil {
		j.next = next
	}
	if err != nil {
		j.roomAt = now.Add(roomEvery)
	}
	if errors.Is(err, errNoPreallocation) {
		j.roomAt = now.Add(time.Hour)
	}
}

// runsOutOfRoom says whether the file has little room left, and the next one has enough.
func (j *journal) runsOutOfRoom() bool {
	return j.next != nil && j.file.room > 0 && j.file.end+roomStep > j.file.room && j.next.room >= j.size+roomStep && j.file.written > j.size+roomStep
}

// otherName is the name of the other file.
func (j *journal) otherName(file *journalSegment) string {
	names := journalNames(j.path)
	if file.name == names[0] {
		return names[1]
	}
	return names[0]
}

// openSegment makes a file that has nothing yet.
func openSegment(name string) (*journalSegment, error) {
	_ = os.Remove(name) // a new file: who has the old one open goes on with it
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrNotExist) { // it was there at the start
		return nil, fmt.Errorf("journal: the file was removed with its directory: %w; make its directory again", err)
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w; check the directory of store.path and its rights", err)
	}
	return &journalSegment{name: name, f: f}, nil
}

// inPlace says whether the file is where its name says.
func (s *journalSegment) inPlace() bool {
	held, err := s.f.Stat()
	if err != nil {
		return false
	}
	st, err := os.Stat(s.name)
	return err == nil && os.SameFile(st, held)
}

// recycle empties a file that nothing needs any more, and gives it as the next one; nil: it is removed.
func (s *journalSegment) recycle() (next *journalSegment, err error) {
	if s.room > 0 && s.inPlace() && s.f.Truncate(0) == nil {
		next = &journalSegment{name: s.name, f: s.f}
		if err = next.grow(journalFile); err == nil {
			return next, nil
		}
	}
	if err = os.Remove(s.name); errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		_ = s.f.Close() // it was only read
	}
	return nil, err
}
