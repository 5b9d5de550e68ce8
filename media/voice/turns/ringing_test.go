//go:build !race

package turns_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/voice"
	"flowbridge/media/voice/turns"
	"flowbridge/sim"
	"flowbridge/sim/conversation"
)

const rate = 8000

// line plays sounds to a Talk as a relay does. see gets what Waiting says every 100 ms.
func line(sides [2][]float64, see func(now time.Duration, who turns.Party, waited time.Duration, rings bool)) *turns.Talk {
	t := turns.New(0)
	var ears [2]voice.Detector
	for i := 0; i+160 <= len(sides[0]); i += 160 {
		now := time.Duration(i+160) * time.Second / rate
		for p := range turns.Party(2) {
			var b [160]byte
			for j := range b {
				b[j] = audio.EncodeULaw(int16(32767 * max(-1, min(1, sides[p][i+j]))))
			}
			if s, ok := ears[p].Packet(voice.Packet{Arrival: now, SSRC: 1, Timestamp: uint32(i), Content: voice.ContentOf(0), Payload: b[:]}); ok {
				t.Hear(p, s)
			}
			t.Look(p, ears[p].View(now))
		}
		if i%800 == 0 {
			if who, since, ok := t.Waiting(); ok {
				see(now, who, now-since, t.State().Sides[turns.Agent].Rings == 3)
			}
		}
	}
	t.Finish(time.Duration(len(sides[0])) * time.Second / rate)
	return t
}

// cadence returns a tone that is on and off for these times in turn.
func cadence(length time.Duration, one, other float64, times ...time.Duration) []float64 {
	out := make([]float64, int(length.Seconds()*rate))
	for at, k := 0, 0; at < len(out); k++ {
		n := int(times[k%len(times)].Seconds() * rate)
		for i := at; k%2 == 0 && i < min(at+n, len(out)); i++ {
			x := 2 * math.Pi * float64(i) / rate
			out[i] = 0.05 * (math.Sin(one*x) + math.Sin(other*x))
		}
		at += n
	}
	return out
}

// put adds sound to a side of the line from a time on.
func put(to []float64, at time.Duration, sound []float64) time.Duration {
	from := int(at.Seconds() * rate)
	for i, x := range sound[:max(0, min(len(sound), len(to)-from))] {
		to[from+i] += x
	}
	return at + time.Duration(len(sound))*time.Second/rate
}

// empty returns a line with faint noise and no speech.
func empty(rng *rand.Rand) (sides [2][]float64) {
	for p := range sides {
		sides[p] = make([]float64, 60*rate)
		for i := range sides[p] {
			sides[p][i] = rng.NormFloat64() * 0.001
		}
	}
	return sides
}

// A tone in bursts does not hold off a rescue: after three of them the caller waits for the agent. It is not the agent
// that is waited for if it spoke after the caller, and not any more when it speaks.
func TestRingingIsSilence(t *testing.T) {
	const ms = time.Millisecond
	inOne := []time.Duration{400 * ms, 190 * ms, 400 * ms, 2010 * ms}
	for _, tone := range []struct {
		name       string
		one, other float64
		times      []time.Duration
		known      time.Duration // the latest end of the third burst
	}{
		{"ringing in Britain", 400, 450, []time.Duration{400 * ms, 200 * ms, 400 * ms, 2000 * ms}, 7 * time.Second},
		{"ringing in Britain, the second one in two parts", 400, 450, slices.Concat(
			inOne, []time.Duration{400 * ms, 215 * ms, 400 * ms, 1985 * ms}, slices.Repeat(inOne, 8)), 13 * time.Second},
		{"ringing in Britain, once only", 400, 450, []time.Duration{400 * ms, 2000 * ms}, 6 * time.Second},
		{"busy in Britain", 400, 400, []time.Duration{375 * ms, 375 * ms}, 2 * time.Second},
		{"busy in France", 440, 440, []time.Duration{500 * ms, 500 * ms}, 3 * time.Second},
		{"no line", 480, 620, []time.Duration{250 * ms, 250 * ms}, 2 * time.Second},
	} {
		for seed := range uint64(2) {
			rng := rand.New(rand.NewPCG(seed, 9))
			voices := conversation.Synthetic(heldOut + seed)
			for _, last := range []turns.Party{turns.Caller, turns.Agent} {
				sides := empty(rng)
				asked := put(sides[turns.Caller], time.Second, voices.Caller[0])
				if last == turns.Agent {
					asked = put(sides[turns.Agent], asked+time.Second, voices.Agent[0])
				}
				rings := asked + time.Duration(500+rng.IntN(1000))*ms
				put(sides[turns.Agent], rings, cadence(30*time.Second, tone.one, tone.other, tone.times...))
				speaks := put(sides[turns.Agent], rings+31*time.Second, voices.Agent[1])
				var longest, after time.Duration
				line(sides, func(now time.Duration, who turns.Party, waited time.Duration, _ bool) {
					if who != turns.Agent || now < asked {
						return
					}
					if longest = max(longest, waited); now > speaks {
						after = max(after, waited)
					}
				})
				if want := 29*time.Second - tone.known; last == turns.Caller && longest < want || last == turns.Agent && longest > 0 || after > 0 {
					t.Errorf("%s, %d: the agent is waited for for %v, after its speech %v; want %v", tone.name, seed, longest, after, want)
				}
			}
		}
	}
}

// Speech is not taken for a tone in bursts: the agent is waited for no more once it has begun to answer. Where it only
// says one word again and again, it is waited for after the third, for less than the least of a rescue.
func TestWordsAreNoRinging(t *testing.T) {
	const ms, least = time.Millisecond, 3 * time.Second
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 10))
		voices := conversation.Synthetic(heldOut + seed)
		words, same := voices.Caller, voices.Caller[0]
		for _, again := range []bool{false, true} {
			sides, answer := empty(rng), []time.Duration{}
			for at := time.Second; at < 50*time.Second; at += time.Second {
				at = put(sides[turns.Caller], at, voices.Caller[rng.IntN(len(voices.Caller))])
				at += time.Duration(300+rng.IntN(1500)) * ms
				answer = append(answer, at)
				for n := range 6 {
					word := words[rng.IntN(len(words))]
					if again && n < 4 {
						word = same
					}
					at = put(sides[turns.Agent], at, word) + time.Duration(250+rng.IntN(300))*ms
				}
				answer = append(answer, at)
			}
			line(sides, func(now time.Duration, who turns.Party, waited time.Duration, rings bool) {
				for i := 0; i < len(answer); i += 2 {
					speaks := now > answer[i]+500*ms && now < answer[i+1]
					if speaks && rings && who == turns.Agent && (!again || waited >= least) {
						t.Errorf("%d, a word again %v: at %v the agent is waited for for %v, and answers since %v", seed, again, now, waited, answer[i])
					}
				}
			})
		}
	}
}

// The product's own voices are speech to its own ear: the caller of scripts/load.sh and of the demo says its words again
// and again, the stand-in greets, and an agent of a test answers.
func TestOwnVoicesAreSpeech(t *testing.T) {
	float := func(pcm []int16) (out []float64) {
		for _, x := range pcm {
			out = append(out, float64(x)/32768)
		}
		return out
	}
	for seed := range uint64(12) {
		sides := [2][]float64{make([]float64, 25*rate), make([]float64, 25*rate)}
		put(sides[turns.Agent], 200*time.Millisecond, float(sim.Greeting(strconv.FormatUint(seed, 10))))
		words, answers := float(sim.Words(seed)), float(sim.SpeechLike(seed, 12*time.Second))
		for at := 2500 * time.Millisecond; at < 25*time.Second; {
			asked := at + 3*time.Second
			at = put(sides[turns.Caller], at, words)
			put(sides[turns.Agent], asked+600*time.Millisecond, answers[:rate])
			answers = answers[2*rate:]
		}
		f := line(sides, func(time.Duration, turns.Party, time.Duration, bool) {}).Figures()
		if f.Confidence != turns.Good || f.Latency.N != 4 {
			t.Errorf("%d: %s %q, %d answers", seed, f.Confidence, f.Reason, f.Latency.N)
		}
	}
}
