package voice

import (
	"testing"
	"time"
)

// TestSegmentsMakeSense: a segment has a possible length, level and background, even if loud noise turns into silence,
// a speaker continues for a minute, or the path becomes faster. Only a segment of keys has no length.
func TestSegmentsMakeSense(t *testing.T) {
	check := func(name string, delays func(at time.Duration) time.Duration, l *line) {
		t.Helper()
		var d Detector
		told := 0
		for _, p := range l.packets(20 * ms) {
			p.Arrival += delays(p.Arrival - time.Hour)
			s, ok := d.Packet(p)
			if !ok {
				continue
			}
			told++
			if s.To <= s.From || s.Level < 1 || s.Level > LevelMax || s.Noise < 0 || s.Noise > LevelMax || d.Swing < 0 {
				t.Errorf("%s: %+v, swing %d", name, s, d.Swing)
			}
		}
		if told == 0 {
			t.Errorf("%s: nothing was told", name)
		}
	}
	none := func(time.Duration) time.Duration { return 0 }
	loud := newLine()
	for range 50 {
		loud.codes = append(loud.codes, tone(12, MuLaw)...)
	}
	for range 15 * 160 {
		loud.codes = append(loud.codes, 0xff)
	}
	check("a tone, then silence", none, loud.speech(time.Second).quiet(time.Second))
	check("noise, then a gate", none, newLine().noise(5*time.Second, 800).noise(500*ms, 1).speech(time.Second).quiet(time.Second))
	for lead := range 40 {
		check("a minute", none, newLine().quiet(time.Second).speech(59*time.Second+time.Duration(lead)*20*ms).quiet(time.Second))
	}
	words := newLine().quiet(time.Second)
	for range 30 {
		words.speech(200 * ms).quiet(300 * ms)
	}
	check("a faster path", func(at time.Duration) time.Duration {
		if at < 7500*ms {
			return 1500 * ms
		}
		return 0
	}, words)
}
