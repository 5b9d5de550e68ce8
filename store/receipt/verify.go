package receipt

import (
	"bufio"
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"

	"flowbridge/store/record"
)

// Summary is what a chain has.
type Summary struct {
	Node string
	// Key is the public key in the first line.
	Key ed25519.PublicKey
	// Receipts is how many receipts there are; First and Last are the numbers of the first and the last one, From and To
	// their times.
	Receipts, First, Last int64
	From, To              record.Time
	// Head is the hash of the last receipt, or of the one before the first if there is none.
	Head string
	// Torn is how many bytes follow the last whole line: a write that is under way, or that a kill has cut off.
	Torn int
}

// BrokenError says where a chain is not whole.
type BrokenError struct {
	// Line counts from 1.
	Line int
	What string
}

func (e *BrokenError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.What) }

// Verify reads a chain, and returns a BrokenError if a receipt was changed or is missing. If pub is nil, the key in the
// first line counts. Unless head is empty, a receipt with that hash must be there, or the chain continue after it. A
// file may have several segments, one after the other.
func Verify(r io.Reader, pub ed25519.PublicKey, head string) (s Summary, err error) {
	v := verifier{Summary: Summary{Key: pub}, seen: head == ""}
	lines := bufio.NewReaderSize(r, maxLine+1)
	for {
		line, err := lines.ReadSlice('\n')
		switch {
		case errors.Is(err, io.EOF):
			v.Torn = len(line)
			return v.Summary, v.end(head)
		case errors.Is(err, bufio.ErrBufferFull):
			return v.Summary, &BrokenError{v.line + 1, fmt.Sprintf("it has more than %d bytes, so it is no receipt", maxLine)}
		case err != nil:
			return v.Summary, err
		}
		v.line++
		if what := v.next(line[:len(line)-1]); what != "" {
			return v.Summary, &BrokenError{v.line, what}
		}
		v.seen = v.seen || v.Head == head
	}
}

// verifier is a chain as read so far.
type verifier struct {
	Summary

	line  int
	began bool // a first line was read
	seen  bool // the head that is looked for was there
}

// next takes a line. It returns what is wrong, or "".
func (v *verifier) next(line []byte) (what string) {
	if isStart(line) {
		return v.segment(line)
	}
	if !v.began {
		return "it is no first line of receipts: the beginning is missing, or was changed"
	}
	var r Receipt
	if err := open(line, v.Key, &r); err != nil {
		return fmt.Sprintf("it was changed: %v", err)
	}
	if what := v.follows(r.N, v.Last+1, r.Prev); what != "" {
		return what
	}
	if v.Receipts++; v.Receipts == 1 {
		v.First, v.From = r.N, r.At
	}
	v.Last, v.To, v.Head = r.N, r.At, hashOf(line)
	return ""
}

// segment takes the first line of a segment.
func (v *verifier) segment(line []byte) (what string) {
	s, err := openStart(line)
	if err != nil {
		return fmt.Sprintf("it was changed: %v", err)
	}
	if v.Key != nil && !bytes.Equal(s.Key, v.Key) {
		return "it was signed with another key"
	}
	if !v.began {
		v.began, v.Key, v.Node, v.Last, v.Head = true, s.Key, s.Node, s.After, s.Prev
		return ""
	}
	return v.follows(s.After+1, v.Last+1, s.Prev)
}

// follows says what is missing before a line with a number and the hash of the receipt before.
func (v *verifier) follows(n, due int64, prev string) (what string) {
	switch {
	case n == due+1:
		return fmt.Sprintf("receipt %d is missing before it", due)
	case n > due:
		return fmt.Sprintf("receipts %d to %d are missing before it", due, n-1)
	case n < due:
		return fmt.Sprintf("receipt %d should be here, and receipt %d is", due, n)
	case prev != v.Head:
		return "it follows another receipt than the one before it, which was replaced"
	}
	return ""
}

// end checks that the head that somebody has kept was there.
func (v *verifier) end(head string) error {
	switch {
	case !v.began:
		return &BrokenError{v.line + 1, "there is no whole first line of receipts"}
	case !v.seen:
		return &BrokenError{v.line, "no receipt has the hash " + head + ": receipts are missing after this line, " +
			"or the hash is of another chain or of a receipt that is older than the first line"}
	}
	return nil
}
