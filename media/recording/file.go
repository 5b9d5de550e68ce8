package recording

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"time"
)

// The formats of recordings.
const (
	FormatWAV    = "wav"
	FormatPcapng = "pcapng"
)

// File is the state of one file of a recording.
type File struct {
	Name string // path below the archive's directory, with slashes; empty if the file was not started, see Err;
	// an encrypted file's ends in .age
	Format    string    // FormatWAV or FormatPcapng
	StartedAt time.Time // when the recording began
	EndedAt   time.Time // zero while it is being recorded
	Bytes     int64     // bytes written so far
	Dropped   int64     // packets and SIP messages lost because the disk was too slow
	Err       string    // why the recording ended early or was not started; otherwise empty
}

// partSuffix ends the name of a file that is being written.
const partSuffix = ".part"

// namePattern matches the names of files. Calls are named by their ids, which are UUIDs.
var namePattern = regexp.MustCompile(
	`^\d{4}/\d{2}/\d{2}/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?:-[1-9]\d{0,3})?\.(?:wav|pcapng)(?:\.age)?$`)

// fileName returns the name of a call's recording with an ending. The first recording is named after the call;
// later ones also have a number.
func fileName(began time.Time, call string, part int, ending string) string {
	name := call
	if part > 1 {
		name = fmt.Sprintf("%s-%d", call, part)
	}
	return path.Join(began.UTC().Format("2006/01/02"), name+"."+ending)
}

// errFull means that a file has reached its maximum size.
var errFull = errors.New("the file is as long as one may be")

// medium is what a file is written to, such as an *os.File.
type medium interface {
	io.Writer
	io.WriterAt
	io.Closer
	Truncate(size int64) error
}

// maxFile is more than a file ever has, in bytes.
const maxFile = 1 << 62

type sink struct {
	medium
	size, limit int64 // in bytes, before encryption
}

// bytes returns how many bytes the file has.
func (s *sink) bytes() int64 {
	if m, ok := s.medium.(*sealed); ok {
		return m.file.size
	}
	return s.size
}

// grows reports whether the file can only grow, because it is encrypted.
func (s *sink) grows() bool {
	_, ok := s.medium.(*sealed)
	return ok
}

// Write appends all of b or nothing, because the end of a file must be readable.
func (s *sink) Write(b []byte) (int, error) {
	if s.size+int64(len(b)) > s.limit {
		return 0, errFull
	}
	if _, err := s.medium.Write(b); err != nil {
		_ = s.Truncate(s.size) // a full disk may have taken a part of b
		return 0, err
	}
	s.size += int64(len(b))
	return len(b), nil
}

// reasonOf returns a disk error without the file's name.
func reasonOf(err error) string {
	if pe := (*os.PathError)(nil); errors.As(err, &pe) {
		return pe.Op + ": " + pe.Err.Error()
	}
	if le := (*os.LinkError)(nil); errors.As(err, &le) {
		return le.Op + ": " + le.Err.Error()
	}
	return err.Error()
}
