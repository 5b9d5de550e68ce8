package ladder

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"flowbridge/media/voice/turns"
)

// Speech is the times in which each side spoke: from and to, in milliseconds since the answer.
type Speech struct {
	Start  string     `json:"start"` // time of the answer
	Caller [][2]int64 `json:"caller"`
	Agent  [][2]int64 `json:"agent"`
}

// talk returns an entry with the speech of both parties so far. c.mu is held.
func (c *Call) talk() (e entry, ok bool) {
	f, ok := c.figures.(interface {
		Speech() (time.Time, [2]turns.Spans, bool)
	})
	if !ok {
		return entry{}, false
	}
	answered, said, ok := f.Speech()
	if !ok {
		return entry{}, false
	}
	text := binary.AppendUvarint(nil, uint64(len(said[turns.Caller])))
	text = append(append(text, said[turns.Caller]...), said[turns.Agent]...)
	return entry{at: max(c.since(answered), 0), kind: Talk, lane: laneSelf, text: text}, true
}

// speechOf reads an entry of the kind Talk.
func speechOf(e entry, begin time.Time) *Speech {
	r := reader{rest: e.text}
	caller := turns.Spans(r.bytes())
	return &Speech{Start: stamp(begin.Add(e.at)), Caller: spansOf(caller), Agent: spansOf(r.rest)}
}

func spansOf(said turns.Spans) [][2]int64 {
	all := [][2]int64{}
	said.Each(func(from, to int64) { all = append(all, [2]int64{from, to}) })
	return all
}

// DrawTalk draws who spoke when, with a line for each party, for a terminal with a width in characters; 0 means
// DefaultWidth. It draws nothing if that was not measured.
func (l *Ladder) DrawTalk(w io.Writer, width int) error {
	if l.Talk == nil {
		return nil
	}
	if width <= 0 {
		width = DefaultWidth
	}
	b := &strings.Builder{}
	end := int64(1)
	for _, said := range [][][2]int64{l.Talk.Caller, l.Talk.Agent} {
		if n := len(said); n > 0 {
			end = max(end, said[n-1][1])
		}
	}
	columns := max(width-timeWidth, laneMin)
	step := float64(end) / float64(columns)
	fmt.Fprintf(b, "who spoke, %v from the answer, %v a character\n", short(end), short(int64(step)))
	for _, p := range []struct {
		name   string
		letter byte
		said   [][2]int64
	}{{"caller", 'C', l.Talk.Caller}, {"agent", 'A', l.Talk.Agent}} {
		line := []byte(strings.Repeat(".", columns))
		for _, s := range p.said {
			first := min(int(float64(s[0])/step), columns-1)
			for i := first; i < columns && (i == first || float64(i)*step < float64(s[1])); i++ {
				line[i] = p.letter
			}
		}
		fmt.Fprintf(b, "%-*s%s\n", timeWidth, p.name, line)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func short(ms int64) time.Duration {
	return (time.Duration(ms) * time.Millisecond).Round(10 * time.Millisecond)
}
