//go:build !race

package turns_test

import (
	"cmp"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/media/voice"
	"flowbridge/media/voice/turns"
	"flowbridge/sim/conversation"
)

// heldOut is the seed of voices and noises that were not used for tuning.
const heldOut = 101

// follow measures a conversation as a relay does: it gets the packets of both sides in the order of arrival, and now
// and then looks at the figures.
func follow(c *conversation.Conversation, k conversation.Condition, s conversation.Sounds, seed uint64, every func() time.Duration) (*turns.Talk, []turns.Moment) {
	type packet struct {
		conversation.Packet
		from turns.Party
	}
	var all []packet
	for p := range turns.Party(2) {
		for _, pkt := range c.Packets(int(p), k, s, seed) {
			all = append(all, packet{pkt, p})
		}
	}
	slices.SortStableFunc(all, func(a, b packet) int { return cmp.Compare(a.Arrival, b.Arrival) })
	var moments []turns.Moment
	var ears [2]voice.Detector
	t, next := turns.New(0), every()
	t.Each = func(m turns.Moment) { moments = append(moments, m) }
	look := func(now time.Duration) {
		for p := range ears {
			t.Look(turns.Party(p), ears[p].View(now))
		}
	}
	for _, p := range all {
		if p.Arrival > next {
			look(p.Arrival)
			_, _, _ = t.Waiting()
			_, _ = t.Speaking(), t.Figures()
			next = p.Arrival + every()
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

// TestFiguresOfConversations: the figures of calls that are not marked noisy are right, and noisy calls are marked. -v
// prints a table with turn latency and barge-in: error in ms at p50 / p95, how many were found, and how many found ones
// were wrong. In the first two columns a word ends where it is 20 dB below its level, in the other columns 30 dB.
func TestFiguresOfConversations(t *testing.T) {
	if testing.Short() {
		t.Skip("computes for long")
	}
	type condition struct {
		truth [2]conversation.Score // scores of the calls that are not marked noisy
		noisy int
		wrong int // calls not marked noisy in which a turn is missing, invented, or wrong by 250 ms
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
			talk, is := follow(conv, k, s, n, func() time.Duration { return time.Second })
			if talk.Figures().Confidence == turns.Noisy {
				c.noisy++
				continue
			}
			var one conversation.Score
			one.Compare(conv.Moments(20), is)
			if one.ExtraTurns > 0 || len(one.Turn) < one.Turns || conversation.Quantile(one.Turn, 1) > 250 {
				c.wrong++
			}
			for i, decibels := range []int{20, 30} {
				c.truth[i].Compare(conv.Moments(decibels), is)
			}
		}
		at20 := &c.truth[0]
		t.Logf("%-18s | %v | %v | noisy %d of %d, wrong %d", k.Name, at20, &c.truth[1], c.noisy, calls, c.wrong)
		p50, p95 := conversation.Quantile(at20.Turn, 0.5), conversation.Quantile(at20.Turn, 0.95)
		switch {
		case k.Name == "line 10 dB": // an even noise hides the weak ends of words, but not when somebody speaks
			if p50 > 30 {
				t.Errorf("%s: turn latency is wrong by %v ms at p50", k.Name, p50)
			}
		case strings.HasSuffix(k.Name, "10 dB"):
			if c.noisy*4 < calls*3 {
				t.Errorf("%s: %d of %d calls are marked", k.Name, c.noisy, calls)
			}
		case k.Name == "music 20 dB", k.Name == "street 20 dB": // cars are sometimes louder than 20 dB below the voice
			if p50 > 25 {
				t.Errorf("%s: turn latency is wrong by %v ms at p50", k.Name, p50)
			}
		case k.Name == "line 20 dB", k.Name == "babble 20 dB", k.Name == "caller -40 dBm0":
			if p50 > 25 || p95 > 150 {
				t.Errorf("%s: turn latency is wrong by %v ms at p50, %v ms at p95", k.Name, p50, p95)
			}
		default:
			at30 := &c.truth[1] // on a quiet line, the weak end of a word is heard as well
			p50, p95 := conversation.Quantile(at30.Turn, 0.5), conversation.Quantile(at30.Turn, 0.95)
			if p50 > 20 || p95 > 40 || len(at20.Turn) < at20.Turns {
				t.Errorf("%s: turn latency is wrong by %v ms at p50, %v ms at p95, found %d of %d", k.Name, p50, p95, len(at20.Turn), at20.Turns)
			}
		}
	}
}

// TestLooksChangeNothing: looking at a call's figures, at any time, does not change the final figures.
func TestLooksChangeNothing(t *testing.T) {
	s := conversation.Synthetic(heldOut)
	for _, k := range conversation.Conditions() {
		for seed := range uint64(2) {
			rng := rand.New(rand.NewPCG(seed, 8))
			c := conversation.New(seed, s, 5)
			never, want := follow(c, k, s, seed, func() time.Duration { return time.Hour })
			often, got := follow(c, k, s, seed, func() time.Duration { return time.Duration(rng.IntN(500)) * time.Millisecond })
			if !slices.Equal(got, want) || !reflect.DeepEqual(often.Figures(), never.Figures()) {
				t.Errorf("%s, call %d: a look changes\n%v\n%+v to\n%v\n%+v", k.Name, seed, want, never.Figures(), got, often.Figures())
			}
		}
	}
}

// TestConversationsAreRepeatable: the same arguments give the same packets.
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
