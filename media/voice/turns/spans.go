package turns

import (
	"encoding/binary"
	"time"
)

// spansMax limits Spans, in bytes. It is enough for about five hundred utterances of a party.
const spansMax = 2048

// Spans are a party's utterances, for display. For each utterance they have the time from the end of the previous
// one, or from the answer, to its start, and its length. Both are milliseconds as variable-length numbers
// (encoding/binary). Utterances beyond 2 KB are left out.
type Spans []byte

// add appends an utterance. The previous one ended at last.
func (s Spans) add(last, from, to time.Duration) Spans {
	if len(s) > spansMax-2*binary.MaxVarintLen32 {
		return s
	}
	s = binary.AppendUvarint(s, uint64(from.Milliseconds()-last.Milliseconds()))
	return binary.AppendUvarint(s, uint64(to.Milliseconds()-from.Milliseconds()))
}

// Each calls see with each utterance, in milliseconds since the answer. It stops at an invalid number.
func (s Spans) Each(see func(from, to int64)) {
	for at := int64(0); len(s) > 0; {
		gap, n := binary.Uvarint(s)
		took, m := binary.Uvarint(s[max(n, 0):])
		if n <= 0 || m <= 0 || max(gap, took) > uint64(lifetime/time.Millisecond) {
			return
		}
		see(at+int64(gap), at+int64(gap+took))
		at += int64(gap + took)
		s = s[n+m:]
	}
}

// Spans returns the finished utterances of both parties.
func (t *Talk) Spans() (all [2]Spans) {
	for p := range all {
		all[p] = append(Spans(nil), t.s.Sides[p].Spans...)
	}
	return all
}
