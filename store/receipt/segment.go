package receipt

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const segmentEnding = ".jsonl"

// segmentName returns the name of the segment whose first receipt has a number. Names sort in the order of the chain.
func segmentName(n int64) string { return fmt.Sprintf("%012d%s", n, segmentEnding) }

// segments returns the names of a directory's segments, the oldest first.
func segments(dir string) (names []string, err error) {
	all, err := os.ReadDir(dir) // sorted
	for _, e := range all {
		if strings.HasSuffix(e.Name(), segmentEnding) {
			names = append(names, e.Name())
		}
	}
	return names, err
}

// tail is the end of a chain.
type tail struct {
	name     string // of the newest segment; empty if there is none
	size     int64  // of that segment
	began    time.Time
	receipts int64 // in that segment
	n        int64 // number of the newest receipt
	hash     string
}

func (t *tail) add(r *Receipt, line []byte) {
	t.size += int64(len(line)) + 1
	t.n, t.hash = r.N, hashOf(line)
	t.receipts++
}

// tailSize is how much of a segment's end is searched for a whole line, in bytes. A torn write has at most half.
const tailSize = 2 * maxBatch * (maxLine + 1)

var errNoLine = errors.New("its end has no line that is signed with the key; put the directory back from a backup, " +
	"or move it away and restart: new receipts then begin a chain of their own")

// readTail reads the end of a segment, and cuts off what follows the last line that is whole.
func readTail(file string, key ed25519.PublicKey) (t tail, cut int64, err error) {
	f, err := os.OpenFile(file, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return t, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return t, 0, err
	}
	first, err := bufio.NewReaderSize(io.NewSectionReader(f, 0, size), maxLine+1).ReadSlice('\n')
	if err != nil {
		return t, 0, fmt.Errorf("its first line: %w", errors.Join(errLine, err))
	}
	s, err := openStart(first[:len(first)-1])
	if err != nil {
		return t, 0, fmt.Errorf("its first line: %w", err)
	}
	if !bytes.Equal(s.Key, key) {
		return t, 0, errKey
	}
	begin := max(int64(len(first)), size-tailSize)
	text := make([]byte, size-begin)
	if _, err := f.ReadAt(text, begin); err != nil {
		return t, 0, err
	}
	t = tail{name: filepath.Base(file), size: int64(len(first)), began: s.At.Time, n: s.After, hash: s.Prev}
	whole, r, line := lastReceipt(text, key)
	switch {
	case r != nil:
		t.size = begin + int64(whole)
		t.n, t.hash, t.receipts = r.N, hashOf(line), r.N-s.After
	case begin > int64(len(first)):
		return t, 0, errNoLine
	}
	if cut = size - t.size; cut > 0 {
		err = errors.Join(f.Truncate(t.size), f.Sync())
	}
	return t, cut, err
}

// lastReceipt returns the last receipt of a text that is whole, and where it ends. r is nil if there is none.
func lastReceipt(text []byte, key ed25519.PublicKey) (end int, r *Receipt, line []byte) {
	for end = len(text); ; end-- {
		if end = bytes.LastIndexByte(text[:end], '\n'); end < 0 {
			return 0, nil, nil
		}
		line = text[bytes.LastIndexByte(text[:end], '\n')+1 : end]
		r = &Receipt{}
		if open(line, key, r) == nil {
			return end + 1, r, line
		}
	}
}

// each calls do with every receipt of a segment that can be read, and with the segment's key. It does not verify them.
func each(file string, do func(line []byte, key ed25519.PublicKey, r *Receipt)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only used for reading
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxLine+1)
	var s start
	for lines.Scan() {
		var r Receipt
		if isStart(lines.Bytes()) {
			s, _ = openStart(lines.Bytes()) // without it no line is signed
		} else if open(lines.Bytes(), nil, &r) == nil {
			do(lines.Bytes(), s.Key, &r)
		}
	}
	return lines.Err()
}

// Found is a receipt as a file has it.
type Found struct {
	Receipt

	// Line is its line without the line feed, and SHA256 is the hash of that.
	Line   []byte
	SHA256 string
	// Signed says that the key in the first line of its segment has signed it.
	Signed bool
}

// Find returns the receipts of a call in a directory, the oldest first. There may be several, because a call that a
// kill has interrupted is told again.
func Find(dir, call string) (found []Found, err error) {
	names, err := segments(dir)
	for _, name := range names {
		err = errors.Join(err, each(filepath.Join(dir, name), func(line []byte, key ed25519.PublicKey, r *Receipt) {
			if r.Call == call {
				found = append(found, Found{
					Receipt: *r, Line: slices.Clone(line), SHA256: hashOf(line),
					Signed: len(key) > 0 && open(line, key, &Receipt{}) == nil,
				})
			}
		}))
	}
	return found, err
}

// OpenReader opens a file of receipts, or all segments of a directory as one file. The caller closes it.
func OpenReader(name string) (io.ReadCloser, error) {
	st, err := os.Stat(name)
	if err != nil || !st.IsDir() {
		return os.Open(name)
	}
	names, err := segments(name)
	if err != nil {
		return nil, err
	}
	all := &files{}
	for _, segment := range names {
		f, err := os.Open(filepath.Join(name, segment))
		if err != nil {
			return nil, errors.Join(err, all.Close())
		}
		all.open = append(all.open, f)
	}
	var readers []io.Reader
	for _, f := range all.open {
		readers = append(readers, f)
	}
	all.Reader = io.MultiReader(readers...)
	return all, nil
}

// files are several files that are read as one.
type files struct {
	io.Reader

	open []*os.File
}

func (f *files) Close() (err error) {
	for _, one := range f.open {
		err = errors.Join(err, one.Close())
	}
	return err
}
