//go:build !race

package sdp

import "testing"

// What descriptions cost a call: a text, a struct and its formats for each that is
// read, a text and its o= line for each that is written, and the SRTP state of each leg.
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
