//go:build !race

package answerer_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/media/answerer"
)

// heldOut is the seed of voices that were not used for tuning the detector.
const heldOut = 2026

// kind is a kind of party that may answer a call.
type kind struct {
	name   string
	want   answerer.Verdict
	beep   bool // whether the party beeps
	least  int  // the least percentage of right verdicts
	signal func(rng *rand.Rand, s *sounds) []float64
}

func one(rng *rand.Rand, all [][]float64) []float64 { return all[rng.IntN(len(all))] }

func lead(rng *rand.Rand, most int) []float64 { return pause(100 + rng.IntN(most)) }

// speech returns sentences until they take some seconds.
func speech(rng *rand.Rand, s *sounds, seconds float64) (all []float64) {
	for all = one(rng, s.long); float64(len(all)) < seconds*rate; {
		all = slices.Concat(all, pause(150+rng.IntN(600)), one(rng, s.long))
	}
	return all
}

func any1(rng *rand.Rand, of ...float64) float64 { return of[rng.IntN(len(of))] }

var verdicts = []answerer.Verdict{answerer.Human, answerer.Machine, answerer.Screening, answerer.Fax, answerer.SIT, answerer.Unknown}

func kinds() []kind {
	beep := func(rng *rand.Rand) []float64 {
		return tone(any1(rng, 110, 150, 200, 400, 600, 850), any1(rng, 440, 480, 750, 850, 941, 1000, 1100, 1209, 1400, 1800, 2000))
	}
	sit := func(rng *rand.Rand) []float64 {
		var out []float64
		for i, f := range [][]float64{{913.8, 985.2, 950}, {1370.6, 1428.5, 1400}, {1776.7, 1776.7, 1800}} {
			out = append(out, tone(any1(rng, 276, 330, 380), f[rng.IntN(len(f))])...)
			if i < 2 {
				out = append(out, pause(rng.IntN(31))...)
			}
		}
		return out
	}
	return []kind{
		{"person", answerer.Human, false, 90, func(rng *rand.Rand, s *sounds) []float64 {
			return slices.Concat(lead(rng, 1500), one(rng, s.short), pause(4000))
		}},
		{"greeting that goes on", answerer.Machine, false, 85, func(rng *rand.Rand, s *sounds) []float64 {
			return slices.Concat(lead(rng, 1500), speech(rng, s, 13), pause(4000))
		}},
		{"greeting, silence, beep", answerer.Machine, true, 80, func(rng *rand.Rand, s *sounds) []float64 {
			return slices.Concat(lead(rng, 1500), speech(rng, s, 1), pause(1000+rng.IntN(2000)), beep(rng), pause(4000))
		}},
		{"call screening", answerer.Screening, false, 90, func(rng *rand.Rand, s *sounds) []float64 {
			said := speech(rng, s, 6*rng.Float64())
			said = said[:min(len(said), 8*rate)] // then the owner
			return slices.Concat(lead(rng, 1500), said, pause(2000+rng.IntN(12000)), one(rng, s.short), pause(4000))
		}},
		{"greeting, beep", answerer.Machine, true, 80, func(rng *rand.Rand, s *sounds) []float64 {
			return slices.Concat(lead(rng, 1500), one(rng, s.long), pause(20+rng.IntN(900)), beep(rng), pause(4000))
		}},
		{"short greeting, beep", answerer.Machine, true, 80, func(rng *rand.Rand, s *sounds) []float64 {
			return slices.Concat(lead(rng, 1500), one(rng, s.short), pause(20+rng.IntN(300)), beep(rng), pause(4000))
		}},
		{"fax CED", answerer.Fax, false, 90, func(rng *rand.Rand, _ *sounds) []float64 {
			return slices.Concat(pause(200+rng.IntN(2300)), tone(3000, 2085+30*rng.Float64()), pause(2000))
		}},
		{"fax ANSam", answerer.Fax, false, 90, func(rng *rand.Rand, _ *sounds) []float64 { // ITU-T V.8 §2.2
			sweep := tone(3000, 2100)
			for i := range sweep {
				sweep[i] *= float64(1-i/3600%2*2) * (1 + 0.2*math.Sin(2*math.Pi*15*float64(i)/rate))
			}
			return slices.Concat(pause(200+rng.IntN(2300)), sweep, pause(2000))
		}},
		{"fax CNG", answerer.Fax, false, 90, func(rng *rand.Rand, _ *sounds) []float64 {
			return slices.Concat(lead(rng, 1500), repeat(3, tone(500, 1065+70*rng.Float64()), pause(3000)))
		}},
		{"information tones", answerer.SIT, false, 90, func(rng *rand.Rand, s *sounds) []float64 {
			return slices.Concat(lead(rng, 1500), sit(rng), pause(100), one(rng, s.long), pause(2000))
		}},
		{"ringing, busy", answerer.Unknown, false, 90, func(rng *rand.Rand, _ *sounds) []float64 {
			return slices.Concat(lead(rng, 500), [][]float64{
				repeat(3, tone(1000, 425), pause(4000)), repeat(2, tone(2000, 440, 480), pause(4000)),
				repeat(4, tone(400, 400, 450), pause(200), tone(400, 400, 450), pause(2000)), repeat(4, tone(1000, 384, 416), pause(2000)),
				repeat(3, tone(1500, 440), pause(3500)), repeat(12, tone(500, 425), pause(500)), repeat(25, tone(250, 425), pause(250)),
				repeat(12, tone(500, 480, 620), pause(500)), repeat(25, tone(250, 480, 620), pause(250)), tone(12000, 425),
				tone(12000, 350, 440), repeat(15, tone(375, 400), pause(375)), repeat(3, tone(400, 400, 425, 450), pause(200), tone(400, 400, 425, 450), pause(2000)),
			}[rng.IntN(13)])
		}},
		{"keys", answerer.Unknown, false, 90, func(rng *rand.Rand, _ *sounds) []float64 {
			key := func() []float64 {
				return tone(any1(rng, 80, 120, 400), any1(rng, 697, 770, 852, 941), any1(rng, 1209, 1336, 1477, 1633))
			}
			return slices.Concat(lead(rng, 500), key(), pause(120), key(), pause(120), key(), pause(80), key(), pause(5000))
		}},
		{"nobody", answerer.Unknown, false, 90, func(*rand.Rand, *sounds) []float64 { return pause(8000) }},
	}
}

// sum adds up the verdicts about one kind of party.
type sum struct {
	got   map[answerer.Verdict]int
	heard int // number of beeps that were found
	after []time.Duration
}

// sure counts right and wrong verdicts by their confidence.
type sure map[string][2]int

func (s sure) add(a answerer.Answer, want answerer.Verdict) {
	level := "below 0.6"
	switch {
	case a.Verdict == answerer.Unknown:
		return
	case a.Confidence >= 0.8:
		level = "0.8 and more"
	case a.Confidence >= 0.6:
		level = "0.6 to 0.8"
	}
	n := s[level]
	if n[0]++; a.Verdict != want {
		n[1]++
	}
	s[level] = n
}

// TestAnswererFigures judges every kind of party under every condition, with voices that were not used for tuning. -v
// prints tables. A verdict of Unknown does not count as wrong.
func TestAnswererFigures(t *testing.T) {
	const each, all = 6, 6 * 14
	voices := []*sounds{soundsOf(heldOut), soundsOf(heldOut + 1), soundsOf(heldOut + 2)}
	byWay, confidence, changed := map[string][2]int{}, sure{}, 0
	var table strings.Builder
	for _, k := range kinds() {
		total := sum{got: map[answerer.Verdict]int{}}
		for wi, w := range ways() {
			for i := range each {
				rng, s := rand.New(rand.NewPCG(heldOut+uint64(wi), uint64(i))), voices[i%len(voices)]
				signal := k.signal(rng, s)
				length := time.Duration(len(signal)) * time.Second / rate
				got := hears(answerer.Limits{Beep: 20 * time.Second, Screening: true}, w.packets(signal, s, rng), length+time.Minute)
				total.got[got.answer.Verdict]++
				if got.first.Verdict == answerer.Screening && got.answer.Verdict == answerer.Machine {
					changed++
				}
				if k.want == answerer.Screening && got.answer.Verdict == answerer.Machine {
					t.Errorf("%s, %s, %d: a person is lost: %v", k.name, w.name, i, got)
				}
				total.after = append(total.after, got.answer.After)
				if heard := got.beep != nil && got.beep.Heard; heard {
					total.heard++
				}
				n := byWay[w.name]
				if v := got.answer.Verdict; v == k.want {
					n[0]++
				} else if v != answerer.Unknown {
					n[1]++
					t.Logf("%s, %s, %d: %v", k.name, w.name, i, got)
				}
				byWay[w.name] = n
				confidence.add(got.answer, k.want)
			}
		}
		slices.Sort(total.after)
		fmt.Fprintf(&table, "| %s |", k.name)
		for _, v := range verdicts {
			fmt.Fprintf(&table, " %d |", total.got[v])
		}
		fmt.Fprintf(&table, " %d | %v | %v |\n", total.heard, total.after[all/2], total.after[all-1])
		wrong := all - total.got[k.want] - total.got[answerer.Unknown]
		if k.want == answerer.Unknown {
			wrong = all - total.got[k.want]
		}
		if wrong > all/10 || total.got[k.want] < all*k.least/100 {
			t.Errorf("%s: %d of %d are wrong, %d right: %v", k.name, wrong, all, total.got[k.want], total.got)
		}
		if !k.beep && total.heard > all/25 || k.beep && total.heard < all*95/100 {
			t.Errorf("%s: %d beeps in %d", k.name, total.heard, all)
		}
	}
	t.Logf("\n| answered by | %v | beeps | p50 | longest |\n%s", verdicts, table.String())
	for _, w := range ways() {
		t.Logf("| %s | right %d | wrong %d |", w.name, byWay[w.name][0], byWay[w.name][1])
	}
	t.Logf("machines that were call screening until their beep: %d", changed)
	t.Logf("confidence: verdicts and how many are wrong: %v", confidence)
}
