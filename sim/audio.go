package sim

import (
	"hash/fnv"
	"math/rand/v2"
	"time"

	"flowbridge/sim/speech"
)

// SampleRate is the sample rate of all audio in this package, in Hz.
const SampleRate = speech.Rate

const (
	frameSamples = 160 // 20 ms
	frameTime    = 20 * time.Millisecond

	greetingLength = 2 * time.Second
	wordsLength    = 5 * time.Second

	loudest = 31000 // of the samples
)

// Greeting is the audio of an agent's greeting. The text selects it, for example
// the id of the call.
func Greeting(text string) []int16 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return SpeechLike(h.Sum64(), greetingLength)
}

// Words is the audio that a caller with this seed repeats.
func Words(seed uint64) []int16 { return SpeechLike(seed, wordsLength) }

// SpeechLike makes mono audio at 8 kHz with the rhythm and the spectrum of
// speech: syllables of a voiced and sometimes an unvoiced part, with pauses.
// Equal arguments give equal audio; two seeds give unrelated audio. The pauses
// hold faint noise, so that no two frames are equal.
func SpeechLike(seed uint64, d time.Duration) []int16 {
	rng := rand.New(rand.NewPCG(seed, 0x5eed_0f_5ee7))
	n := int(d * SampleRate / time.Second)
	out := make([]int16, 0, n+SampleRate)
	for speaker := speech.New(rng); len(out) < n; {
		for _, v := range speaker.Say(rng, 3+rng.IntN(12)) {
			out = append(out, int16(min(max(700*v, -loudest), loudest)+48*(rng.Float64()-0.5)))
		}
	}
	return out[:n]
}
