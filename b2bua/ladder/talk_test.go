package ladder

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"flowbridge/media/voice/turns"
)

// talking is media with a measured conversation.
type talking struct {
	counted
	answered time.Time
	said     [2]turns.Spans
}

func (s *talking) Speech() (time.Time, [2]turns.Spans, bool) {
	return s.answered, s.said, true
}

// TestTalk: the ladder of a live call shows who has spoken when so far, and the ladder of a finished call shows all of
// it.
func TestTalk(t *testing.T) {
	said := turns.Spans{}
	for _, ms := range []uint64{920, 1390, 3000, 500} {
		said = binary.AppendUvarint(said, ms)
	}
	answered := time.Now().Add(time.Minute).Truncate(time.Millisecond).Add(time.Millisecond / 2)
	figures := &talking{answered: answered, said: [2]turns.Spans{turns.Agent: said[:4:4]}}
	var k kept
	s := collector(&k)
	c := begun(s, "a", 1)
	c.Watch(figures)
	want := &Speech{Start: stamp(answered), Caller: [][2]int64{}, Agent: [][2]int64{{920, 2310}}}
	l, err := c.Ladder()
	if diff := cmp.Diff(want, l.Talk); err != nil || diff != "" {
		t.Errorf("live: %v, want - got +\n%s", err, diff)
	}
	if got, err := Decode(c.Plain(nil)); err != nil || !cmp.Equal(want, got.Talk) {
		t.Errorf("not compressed: %+v, %v; want %+v", got, err, want)
	}
	next := begun(s, "b", 2)
	next.Continue(c.Encode(nil)) // the next process measures the rest
	next.Close()
	figures.said = [2]turns.Spans{said[:4], said}
	c.Unwatch(figures.Stats())
	c.Close()
	s.Shut()
	want.Caller, want.Agent = want.Agent, append(want.Agent, [2]int64{5310, 5810})
	if l = k.ladder(t, "a"); !cmp.Equal(want, l.Talk) || len(l.Messages) == 0 {
		t.Errorf("over: got %+v, %d messages; want %+v", l.Talk, len(l.Messages), want)
	}
	if got := k.ladder(t, "b").Talk; got != nil {
		t.Errorf("taken up: %+v", got)
	}
	var drawn strings.Builder
	must(t, l.Draw(&drawn, 40))
	if got := drawn.String(); !strings.Contains(got, "\ncaller     ....CCCCCCCC.................\nagent      ....AAAAAAAA..............AAA\n") {
		t.Errorf("drawn as\n%s", got)
	}
}
