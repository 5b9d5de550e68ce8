package answerer_test

import (
	"slices"
	"testing"
	"time"

	"flowbridge/media/answerer"
)

// Whoever falls silent after a greeting of 2 to 10 s waits for the caller's words: call screening, unless a beep follows.
func TestScreening(t *testing.T) {
	beep := tone(400, 1000)
	for _, c := range []struct {
		name  string
		said  [][]float64
		first answerer.Verdict
		after time.Duration // until the first verdict
		last  answerer.Verdict
	}{
		{"a prompt", [][]float64{syllables(4000), pause(20000)}, answerer.Screening, 6000 * ms, answerer.Screening},
		{"in two sentences", [][]float64{syllables(3000), pause(1200), syllables(3000), pause(20000)}, answerer.Screening, 9200 * ms, answerer.Screening},
		{"after a word", [][]float64{syllables(900), pause(650), syllables(3000), pause(20000)}, answerer.Screening, 6550 * ms, answerer.Screening},
		{"the owner answers", [][]float64{syllables(4000), pause(4000), syllables(3000), pause(9000)}, answerer.Screening, 6000 * ms, answerer.Screening},
		{"a silent mailbox", [][]float64{syllables(4000), pause(3000), beep, pause(9000)}, answerer.Screening, 6000 * ms, answerer.Machine},
		{"one that pauses", [][]float64{syllables(4000), pause(2000), syllables(5000), beep, pause(9000)}, answerer.Screening, 6000 * ms, answerer.Machine},
		{"too late", [][]float64{syllables(4000), pause(13000), beep, pause(9000)}, answerer.Screening, 6000 * ms, answerer.Screening},
		{"a mailbox", [][]float64{syllables(4000), pause(1000), beep, pause(9000)}, answerer.Machine, 6150 * ms, answerer.Machine},
		{"one that talks", [][]float64{syllables(9000), pause(1000), syllables(4000), pause(9000)}, answerer.Machine, 10550 * ms, answerer.Machine},
		{"no greeting", [][]float64{beep, pause(9000)}, answerer.Machine, 1150 * ms, answerer.Machine},
		{"ringing and a beep", [][]float64{tone(1000, 425), pause(4000), beep, pause(9000)}, answerer.Unknown, 2500 * ms, answerer.Machine},
		{"a word", [][]float64{syllables(800), pause(9000)}, answerer.Human, 2000 * ms, answerer.Human},
		{"a short greeting", [][]float64{syllables(1500), pause(2000), beep, pause(9000)}, answerer.Unknown, 2700 * ms, answerer.Machine},
		{"a sentence", [][]float64{syllables(1500), pause(9000)}, answerer.Unknown, 2700 * ms, answerer.Unknown},
	} {
		for _, wait := range []time.Duration{0, 20 * time.Second} {
			got := hears(answerer.Limits{Screening: true, Beep: wait}, says(slices.Concat(pause(500), slices.Concat(c.said...))), time.Minute)
			if got.first.Verdict != c.first || (got.first.After-c.after).Abs() > 150*ms || got.answer.Verdict != c.last {
				t.Errorf("%s: first %v after %v, and %v", c.name, got.first, got.first.After, got)
			}
			mailbox := c.last == answerer.Machine &&
				!slices.Contains([]string{"one that talks", "no greeting", "ringing and a beep"}, c.name)
			if got.answer.Mailbox != mailbox || got.first.Mailbox && !mailbox {
				t.Errorf("%s: %+v is a mailbox: %v", c.name, got.answer, got.answer.Mailbox)
			}
			if waits := wait > 0 && c.last == answerer.Machine; (got.beep != nil) != waits {
				t.Errorf("%s: %v", c.name, got)
			}
		}
	}
}

// The end of a word may sound like a short low beep, and a codec lets a beep fade.
func TestBeepOrVoice(t *testing.T) {
	low, fading := tone(110, 400), tone(300, 1400)
	for i := range low {
		low[i] += 0.2 * (tone(110, 800)[i] + tone(110, 1200)[i])
	}
	for i := range fading[:480] {
		fading[len(fading)-1-i] *= 0.1 + 0.9*float64(i/160)/3
	}
	for name, c := range map[string]struct {
		end  []float64
		beep bool
	}{"the end of a word": {low, false}, "a short one": {tone(70, 380), false}, "a short low beep": {tone(110, 400), true}, "a beep that fades": {fading, true}} {
		got := hears(answerer.Limits{Beep: 20 * time.Second}, says(pause(500), syllables(3000), c.end, pause(9000)), time.Minute)
		if got.beep == nil || got.beep.Heard != c.beep {
			t.Errorf("%s: %v", name, got)
		}
	}
}
