package conversation

import (
	"fmt"
	"math"
	"slices"
	"time"

	"flowbridge/media/voice"
	"flowbridge/media/voice/turns"
)

// Moments returns the moments of the conversation as it was spoken. An utterance ends at a number of decibels below
// its level, 20 or 30.
func (c *Conversation) Moments(decibels int) (moments []turns.Moment) {
	spans := [2][]Span{c.Truth(Caller, decibels), c.Truth(Agent, decibels)}
	return MomentsOf(spans, c.End())
}

// MomentsOf returns the moments of both sides' utterances until the end of a call.
func MomentsOf(spans [2][]Span, end time.Duration) (moments []turns.Moment) {
	t := turns.New(0)
	t.Each = func(m turns.Moment) { moments = append(moments, m) }
	for len(spans[Caller])+len(spans[Agent]) > 0 {
		side := Caller
		if len(spans[Caller]) == 0 || len(spans[Agent]) > 0 && spans[Agent][0].To < spans[Caller][0].To {
			side = Agent
		}
		t.Hear(turns.Party(side), voice.Segment{From: spans[side][0].From, To: spans[side][0].To})
		spans[side] = spans[side][1:]
	}
	t.Finish(end)
	return moments
}

// Score collects how far measurements are from the truth, in milliseconds.
type Score struct {
	Turn, Barge             []float64
	Turns, Barges           int // number in the truth
	ExtraTurns, ExtraBarges int // number measured that are not in the truth
}

// Compare adds the measurements of a call.
func (s *Score) Compare(truth, measured []turns.Moment) {
	for _, m := range truth {
		var off *[]float64
		switch m.Kind {
		case turns.Answer:
			s.Turns, off = s.Turns+1, &s.Turn
		case turns.BargeIn:
			s.Barges, off = s.Barges+1, &s.Barge
		default:
			continue
		}
		i := slices.IndexFunc(measured, func(o turns.Moment) bool {
			return o.Kind == m.Kind && (o.At-m.At).Abs() < 500*time.Millisecond
		})
		if i >= 0 {
			*off = append(*off, math.Abs(float64((measured[i].Took - m.Took).Milliseconds())))
			measured = slices.Delete(slices.Clone(measured), i, i+1)
		}
	}
	for _, o := range measured {
		switch o.Kind {
		case turns.Answer:
			s.ExtraTurns++
		case turns.BargeIn, turns.Ignored, turns.CutOff:
			s.ExtraBarges++
		case turns.Backchannel, turns.DeadAir:
		}
	}
}

// Quantile returns the value at a share of all values, 0 to 1. It returns NaN if there are no values.
func Quantile(all []float64, share float64) float64 {
	if len(all) == 0 {
		return math.NaN()
	}
	slices.Sort(all)
	return all[min(len(all)-1, int(share*float64(len(all))))]
}

// String returns the errors of turn latency at p50 and p95, how many of all turns were found, how many measured turns
// did not exist, and the same for barge-ins.
func (s *Score) String() string {
	of := func(off []float64, all, extra int) string {
		return fmt.Sprintf("%3.0f /%4.0f, %d of %d +%d", Quantile(off, 0.5), Quantile(off, 0.95), len(off), all, extra)
	}
	return of(s.Turn, s.Turns, s.ExtraTurns) + "; " + of(s.Barge, s.Barges, s.ExtraBarges)
}
