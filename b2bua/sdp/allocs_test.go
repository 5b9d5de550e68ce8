//go:build !race

package sdp

import (
	"testing"
	"unsafe"
)

// The session descriptions of a call take few allocations: for each description that is
// read, a text, a struct and its formats; for each one that is written, a text and its o=
// line; and for each leg its SRTP state.
func TestAllocations(t *testing.T) {
	d := benchRead(t, benchOffer)
	near := benchRead(t, benchAnswer)
	var o Origin
	text := d.ForTarget(ourSideB, StreamTransport{}, d.Formats(), AsIs)
	for _, c := range []struct {
		name string
		want float64
		do   func()
	}{
		{"read", 3, func() { benchRead(t, benchOffer) }},
		{"write", 1, func() { d.ForTarget(ourSideB, StreamTransport{}, d.Formats(), AsIs) }},
		{"seen by a side with the same numbers", 0, func() { near.InNumbersOf(d).WithEvents(d).Common(d) }},
		{"an answer to what was offered", 0, func() { near.KeepOffered(d.Formats()) }},
		{"the formats that a target takes", 0, func() { d.Usable(benchCodecs) }},
		{"stamped again", 0, func() { o.Stamp(text) }},
		{"offer and answer of a call", 12, func() { offerAnswer(t) }},
	} {
		if got := testing.AllocsPerRun(100, c.do); got > c.want {
			t.Errorf("%s: %v objects; want %v", c.name, got, c.want)
		}
	}
}

// A call keeps its descriptions as long as it lasts, so each must be small.
func TestAllocationsThatStay(t *testing.T) {
	d := benchRead(t, benchOffer)
	kept := int(unsafe.Sizeof(*d)) + len(d.session) + len(d.stream) + cap(d.formats)*int(unsafe.Sizeof(d.formats[0]))
	if len(d.formats) != 3 || cap(d.formats) != 3 || kept > 768 {
		t.Errorf("%d bytes stay of a description of %d", kept, len(benchOffer))
	}
}
