package turns

import (
	"slices"
	"testing"
	"time"
)

// TestSpans: utterances are the same after they are stored and read, up to the number for which there is room.
func TestSpans(t *testing.T) {
	talk := New(answered)
	listen(talk, said(2000, 4000), said(500, 1700, 4900, 6000, 7300, 9000), 20000)
	spans := talk.Spans()
	for p, want := range [2][]int64{Caller: {2000, 4000}, Agent: {500, 1700, 4900, 6000, 7300, 9000}} {
		var got []int64
		spans[p].Each(func(from, to int64) { got = append(got, from, to) })
		if !slices.Equal(got, want) {
			t.Errorf("party %d: got %v; want %v", p, got, want)
		}
	}
	var s Spans
	for i := range 10_000 {
		s = s.add(time.Duration(i)*time.Second, time.Duration(i)*time.Second+200*ms, time.Duration(i+1)*time.Second)
	}
	n := int64(0)
	s.Each(func(from, to int64) {
		if from != n*1000+200 || to != (n+1)*1000 {
			t.Fatalf("utterance %d: %d to %d", n, from, to)
		}
		n++
	})
	if len(s) > spansMax || n < 500 {
		t.Errorf("%d bytes for %d utterances", len(s), n)
	}
}

// FuzzSpans reads arbitrary bytes. The result must be in order, and reading must end.
func FuzzSpans(f *testing.F) {
	f.Add([]byte{0x98, 7, 0x88, 8, 1})
	f.Fuzz(func(t *testing.T, in []byte) {
		last := int64(0)
		Spans(in).Each(func(from, to int64) {
			if from < last || to < from {
				t.Fatalf("%d to %d after %d", from, to, last)
			}
			last = to
		})
	})
}

// TestUnheard: if an utterance started while the media was not heard, its short pause in between does not count as its
// beginning: it is no barge-in, no cut-off and no answer. An utterance that begins later counts as usual.
func TestUnheard(t *testing.T) {
	for name, c := range map[string]struct {
		caller, agent []int
		want          []string
	}{
		"an interruption that was ignored goes on": {[]int{5350, 7000}, []int{500, 3900, 5000, 12000}, nil},
		"an agent that was interrupted goes on":    {[]int{500, 3900, 5000, 7000}, []int{5350, 12000}, nil},
		"a barge-in":                               {[]int{6000, 8000}, []int{500, 3900, 5000, 6700, 8300, 12000}, []string{"barge-in 6000 700", "answer 8300 300"}},
	} {
		talk := New(answered)
		talk.Unheard(at(4000), at(5000))
		if got := listen(talk, said(c.caller...), said(c.agent...), 12500); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q; want %q", name, got, c.want)
		}
	}
}
