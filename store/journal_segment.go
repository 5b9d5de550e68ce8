package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// journalSegment is one of the journal's two files.
type journalSegment struct {
	name    string
	number  uint64
	f       *os.File // nil if there is no file yet
	written int64    // bytes in the file
	end     int64    // written plus the length of the waiting entries
}

// reopen opens the files of an earlier process. If they can't be written, entries wait.
func (j *journal) reopen() error {
	for _, s := range []*journalSegment{j.old, j.file} {
		if s == nil || s.f != nil {
			continue
		}
		f, err := openOwn(s.name, os.O_RDWR)
		if err != nil {
			return fmt.Errorf("journal: %w; check the directory of store.path and its rights", err)
		}
		s.f = f
	}
	j.unopened = false
	return nil
}

// oldSegment opens an existing file.
func oldSegment(name string) (*journalSegment, error) {
	f, err := openOwn(name, os.O_RDWR)
	if err != nil {
		return nil, fmt.Errorf("journal: %w; check the directory of store.path and its rights", err)
	}
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("journal: %w", err), f.Close())
	}
	head := make([]byte, headSize)
	n, _ := f.ReadAt(head, 0) // a file without a header counts as the older one
	return &journalSegment{name: name, number: fileNumber(head[:n]), f: f, written: end, end: end}, nil
}

// newSegment creates a file with only a header.
func newSegment(name string, number uint64) (*journalSegment, error) {
	_ = os.Remove(name) // a process that has the old file open continues with it
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrNotExist) { // the directory existed at the start
		return nil, fmt.Errorf("journal: the file was removed with its directory: %w; make its directory again", err)
	}
	if err != nil {
		return nil, fmt.Errorf("journal: %w; check the directory of store.path and its rights", err)
	}
	if _, err := f.WriteAt(binary.LittleEndian.AppendUint64([]byte(journalMagic), number), 0); err != nil {
		return nil, errors.Join(fmt.Errorf("journal: %w", err), f.Close())
	}
	return &journalSegment{name: name, number: number, f: f, written: int64(headSize), end: int64(headSize)}, nil
}

// removed reports whether the file is no longer where its name says. It unlocks j.mu while it
// checks.
func (j *journal) removed() bool {
	file := j.file
	j.mu.Unlock()
	defer j.mu.Lock()
	return !file.inPlace()
}

// turn starts the other file, which gets the entries that could not be written to this one.
func (j *journal) turn() {
	if j.writing { // a write to this file is in progress: retried next time
		return
	}
	now := j.file
	j.mu.Unlock()
	next, err := newSegment(j.otherName(now), now.number+1)
	j.mu.Lock()
	switch {
	case err != nil:
		j.err = err
		return
	case j.writing: // a write to the old file has started: retried next time
		j.mu.Unlock()
		_ = next.remove() // it is empty, and will be created again
		j.mu.Lock()
		return
	}
	for id, p := range j.live {
		if p.in == now && p.at >= now.written {
			j.live[id] = place{in: next, at: p.at - now.written + next.written, size: p.size}
		}
	}
	next.end += now.end - now.written
	now.end = now.written
	j.file, j.renews = next, false
	if now.f != nil {
		j.old = now
	}
	j.write()
}

// move copies the last entries of live calls out of the old file and removes that file.
func (j *journal) move() {
	ids := make([]string, 0, len(j.live))
	for id, p := range j.live {
		if p.in == j.old {
			ids = append(ids, id)
		}
	}
	for i, id := range ids {
		if i%moveStep == moveStep-1 { // let waiting callers in
			j.write()
			j.mu.Unlock()
			j.mu.Lock()
		}
		p, ok := j.live[id]
		if !ok || p.in != j.old {
			continue
		}
		from := len(j.waiting)
		j.waiting = append(j.waiting, make([]byte, p.size)...)
		if _, err := j.old.f.ReadAt(j.waiting[from:], p.at); err != nil {
			j.waiting = j.waiting[:from]
			// The file was truncated, or the disk can't read it. Don't wait for lost entries.
			if isAny(err, io.EOF, unix.EIO) {
				j.unread++
				delete(j.live, id)
				j.size -= int64(p.size)
				continue
			}
			j.err = fmt.Errorf("journal: %w", err)
			return
		}
		j.placed(id, p.size)
	}
	if j.write(); j.writing || len(j.waiting) > 0 {
		return // retried next time
	}
	old, file := j.old, j.file
	j.mu.Unlock()
	err := file.f.Sync() // a power failure must not take both the copies and the old file
	if err == nil {
		err = old.remove()
	}
	j.mu.Lock()
	if err != nil {
		j.err = fmt.Errorf("journal: %w", err)
		return
	}
	j.old = nil
}

func (j *journal) closeFiles() error {
	var errs []error
	for _, s := range []*journalSegment{j.old, j.file} {
		if s != nil && s.f != nil {
			errs = append(errs, s.f.Close())
		}
	}
	j.file, j.old = nil, nil
	return errors.Join(errs...)
}

// otherName returns the name of the other file.
func (j *journal) otherName(file *journalSegment) string {
	names := journalNames(j.path)
	if file.name == names[0] {
		return names[1]
	}
	return names[0]
}

// inPlace reports whether the file is still where its name says.
func (s *journalSegment) inPlace() bool {
	held, err := s.f.Stat()
	return err == nil && isAt(s.name, held)
}

// remove removes a file that is no longer needed.
func (s *journalSegment) remove() error {
	if err := os.Remove(s.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = s.f.Close() // it was only used for reading
	return nil
}
