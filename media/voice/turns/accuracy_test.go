//go:build !race

package turns

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/media/voice"
	"flowbridge/sim/conversation"
)

// heldOut are voices and noises that nothing was tuned on.
const heldOut = 101

// follow judges a conversation as a relay does: packets of both sides as they come, and a look each second.
func follow(c *conversation.Conversation, k conversation.Condition, s conversation.Sounds, seed uint64) (*Talk, []Moment) {
	type packet struct {
		conversation.Packet
		from Party
	}
	var all []packet
	for p := range Party(2) {
		for _, pkt := range c.Packets(int(p), k, s, seed) {
			all = append(all, packet{pkt, p})
		}
	}
	slices.SortStableFunc(all, func(a, b packet) int { return cmp.Compare(a.Arrival, b.Arrival) })
	var moments []Moment
	var ears [2]voice.Detector
	t, looked := New(0), time.Duration(0)
	t.Each = func(m Moment) { moments = append(moments, m) }
	look := func(now time.Duration) {
		for p := range ears {
			t.Look(Party(p), ears[p].View(now))
		}
	}
	for _, p := range all {
		if p.Arrival > looked+time.Second {
			looked = p.Arrival
			look(looked)
		}
		if s, ok := ears[p.from].Packet(voice.Packet{
			Arrival: p.Arrival, SSRC: 1, Timestamp: p.Timestamp, Content: voice.ContentOf(p.PayloadType), Payload: p.Payload,
		}); ok {
			t.Hear(p.from, s)
		}
	}
	look(c.End())
	t.Finish(c.End())
	return t, moments
}

// truth are the moments of the words as they were generated.
func truth(c *conversation.Conversation, decibels int) (moments []Moment) {
	t := New(0)
	t.Each = func(m Moment) { moments = append(moments, m) }
	caller, agent := c.Truth(conversation.Caller, decibels), c.Truth(conversation.Agent, decibels)
	for len(caller)+len(agent) > 0 {
		p, from := Caller, &caller
		if len(caller) == 0 || len(agent) > 0 && agent[0].To < caller[0].To {
			p, from = Agent, &agent
		}
		t.Hear(p, voice.Segment{From: (*from)[0].From, To: (*from)[0].To})
		*from = (*from)[1:]
	}
	t.Finish(c.End())
	return moments
}

// errors are the distances of figures from a truth, in milliseconds.
type errors struct {
	turn, barge        []float64
	turns, barges      int // of the truth
	extra, extraBarges int // that were not
}

func (e *errors) compare(was, is []Moment) {
	for _, m := range was {
		var off *[]float64
		switch m.Kind {
		case Answer:
			e.turns, off = e.turns+1, &e.turn
		case BargeIn:
			e.barges, off = e.barges+1, &e.barge
		default:
			continue
		}
		i := slices.IndexFunc(is, func(o Moment) bool { return o.Kind == m.Kind && (o.At-m.At).Abs() < 500*ms })
		if i >= 0 {
			*off = append(*off, math.Abs(float64((is[i].Took - m.Took).Milliseconds())))
			is = slices.Delete(slices.Clone(is), i, i+1)
		}
	}
	for _, o := range is {
		switch o.Kind {
		case Answer:
			e.extra++
		case BargeIn, Ignored, CutOff:
			e.extraBarges++
		case Backchannel, DeadAir:
		}
	}
}

func quantile(s []float64, share float64) float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	slices.Sort(s)
	return s[min(len(s)-1, int(share*float64(len(s))))]
}

func (e *errors) String() string {
	return fmt.Sprintf("%3.0f /%4.0f, %d of %d +%d; %3.0f /%4.0f, %d of %d +%d", quantile(e.turn, 0.5), quantile(e.turn, 0.95), len(e.turn), e.turns,
		e.extra, quantile(e.barge, 0.5), quantile(e.barge, 0.95), len(e.barge), e.barges, e.extraBarges)
}

// TestFiguresOfConversations: the figures of calls that are not marked noisy are exact, and noisy calls are marked.
// -v prints a table: turn latency and barge-in, error in ms at p50 / p95, found of all, and how many were none. The truth of
// the first two columns ends a word 20 dB below its level, that of the others 30 dB.
func TestFiguresOfConversations(t *testing.T) {
	type condition struct {
		truth [2]errors // of calls that are not marked
		noisy int
		wrong int // calls that are not marked, and have a turn that is missing, none, or wrong by 250 ms
	}
	const calls = 16
	var sounds []conversation.Sounds
	for i := range uint64(4) {
		sounds = append(sounds, conversation.Synthetic(heldOut+i))
	}
	for _, k := range conversation.Conditions() {
		var c condition
		for n := range uint64(calls) {
			s := sounds[n%uint64(len(sounds))]
			conv := conversation.New(n, s, 12)
			talk, is := follow(conv, k, s, n)
			if talk.Figures().Confidence == Noisy {
				c.noisy++
				continue
			}
			var one errors
			one.compare(truth(conv, 20), is)
			if one.extra > 0 || len(one.turn) < one.turns || quantile(one.turn, 1) > 250 {
				c.wrong++
			}
			for i, decibels := range []int{20, 30} {
				c.truth[i].compare(truth(conv, decibels), is)
			}
		}
		at20 := &c.truth[0]
		t.Logf("%-18s | %v | %v | noisy %d of %d, wrong %d", k.Name, at20, &c.truth[1], c.noisy, calls, c.wrong)
		p50, p95 := quantile(at20.turn, 0.5), quantile(at20.turn, 0.95)
		switch {
		case strings.HasSuffix(k.Name, "10 dB"):
			if c.noisy*20 < calls*19 {
				t.Errorf("%s: %d of %d calls are marked", k.Name, c.noisy, calls)
			}
		case k.Name == "music 20 dB", k.Name == "street 20 dB": // cars are louder for a while than 20 dB below
			if p50 > 25 {
				t.Errorf("%s: turn latency is wrong by %v ms at p50", k.Name, p50)
			}
		case k.Name == "line 20 dB", k.Name == "babble 20 dB", k.Name == "caller -40 dBm0":
			if p50 > 25 || p95 > 150 {
				t.Errorf("%s: turn latency is wrong by %v ms at p50, %v ms at p95", k.Name, p50, p95)
			}
		default:
			if p50 > 20 || p95 > 40 || len(at20.turn) < at20.turns {
				t.Errorf("%s: turn latency is wrong by %v ms at p50, %v ms at p95, found %d of %d", k.Name, p50, p95, len(at20.turn), at20.turns)
			}
		}
	}
}

// TestConversationsAreRepeatable: equal arguments give equal packets.
func TestConversationsAreRepeatable(t *testing.T) {
	k := conversation.Conditions()[4]
	var was []conversation.Packet
	for range 2 {
		s := conversation.Synthetic(3)
		is := conversation.New(3, s, 2).Packets(conversation.Caller, k, s, 3)
		same := func(a, b conversation.Packet) bool {
			return a.Arrival == b.Arrival && a.Timestamp == b.Timestamp && a.Seq == b.Seq && slices.Equal(a.Payload, b.Payload)
		}
		if was != nil && !slices.EqualFunc(is, was, same) {
			t.Error("two conversations of a seed differ")
		}
		was = is
	}
}
