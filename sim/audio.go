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
	frameSamples    = 160 // 20 ms
	sentenceSamples = int(sentenceLength / time.Second * SampleRate)
	frameTime       = 20 * time.Millisecond

	greetingLength = 2 * time.Second
	sentenceLength = 3 * time.Second
	pauseLength    = 2 * time.Second

	loudest = 31000 // bounds the samples
)

// Greeting returns the audio of an agent's greeting. It is selected by a text, for example the id of the call.
func Greeting(text string) []int16 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return SpeechLike(h.Sum64(), greetingLength)
}

// Words returns the audio that the caller with this seed repeats: a sentence, and a pause in which it waits for an
// answer.
func Words(seed uint64) []int16 {
	return append(speechLike(seed, sentenceLength, 30, 1), speechLike(seed, pauseLength, 0, 1)...)
}

// SpeechLike returns mono audio at 8 kHz with the rhythm and the spectrum of speech: syllables with a voiced and
// sometimes an unvoiced part, and pauses. Equal arguments give equal audio; different seeds give unrelated audio. The
// pauses contain faint noise, so that no two frames are equal.
func SpeechLike(seed uint64, d time.Duration) []int16 { return speechLike(seed, d, 3, 12) }

// speechLike is like SpeechLike, with sentences of least to least+spread-1 syllables.
func speechLike(seed uint64, d time.Duration, least, spread int) []int16 {
	rng := rand.New(rand.NewPCG(seed, 0x5eed_0f_5ee7))
	n := int(d * SampleRate / time.Second)
	out := make([]int16, 0, n+SampleRate)
	for speaker := speech.New(rng); len(out) < n; {
		for _, v := range speaker.Say(rng, least+rng.IntN(spread)) {
			out = append(out, int16(min(max(700*v, -loudest), loudest)+48*(rng.Float64()-0.5)))
		}
	}
	return out[:n]
}
