package audio

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"
	"time"
)

// Rate is the sampling rate of G.711, in Hz.
const Rate = 8000

// Law is one of the two companding laws of G.711.
type Law uint8

// The two laws of G.711.
const (
	ULaw Law = iota // PCMU
	ALaw            // PCMA
)

// Silence returns the code with the smallest magnitude.
func (l Law) Silence() byte {
	if l == ALaw {
		return 0xd5
	}
	return 0xff
}

// Sound is playable audio: mono, 8 kHz, in both laws of G.711. It is never modified, and any number of sessions may
// play it.
type Sound struct{ ulaw, alaw []byte }

const maxSound = 10 * time.Minute

// These are the errors for samples that can't be played as a sound.
var (
	// ErrSound means that there are no samples to play, or too many.
	ErrSound = errors.New("not a sound that can be played")
	// ErrLong is the ErrSound for a sound longer than 10 minutes.
	ErrLong = fmt.Errorf("%w: it is longer than 10 minutes", ErrSound)

	errEmpty = fmt.Errorf("%w: it has no samples", ErrSound)
)

// NewSound creates a sound from 16-bit samples at 8 kHz. The error is ErrSound, or ErrLong if there are too many.
func NewSound(samples []int16) (*Sound, error) {
	n := len(samples)
	switch {
	case n == 0:
		return nil, errEmpty
	case time.Duration(n)*time.Second/Rate > maxSound:
		return nil, ErrLong
	}
	return encode(samples), nil
}

func encode(samples []int16) *Sound {
	s := &Sound{ulaw: make([]byte, len(samples)), alaw: make([]byte, len(samples))}
	for i, v := range samples {
		s.ulaw[i], s.alaw[i] = EncodeULaw(v), EncodeALaw(v)
	}
	return s
}

// Duration returns the length of the sound.
func (s *Sound) Duration() time.Duration {
	return time.Duration(len(s.ulaw)) * time.Second / Rate
}

// In returns the sound in one law of G.711, one byte per sample. The caller must not modify it.
func (s *Sound) In(l Law) []byte {
	if l == ALaw {
		return s.alaw
	}
	return s.ulaw
}

// cadence is a call progress tone: frequencies in Hz that sound together, and alternating durations of tone and pause
// in milliseconds.
type cadence struct {
	hertz  []float64
	onOff  []int
	volume float64 // dBm0 of each frequency
}

// tones has the ringing tones of ITU-T E.180 Supplement 2 by country, and other tones. Each is rendered once.
//
//nolint:gochecknoglobals // constant table, never modified
var tones = map[string]func() *Sound{
	"eu": sync.OnceValue(cadence{hertz: []float64{425}, onOff: []int{1000, 4000}, volume: -13}.sound),
	"us": sync.OnceValue(cadence{hertz: []float64{440, 480}, onOff: []int{2000, 4000}, volume: -19}.sound),
	"uk": sync.OnceValue(cadence{hertz: []float64{400, 450}, onOff: []int{400, 200, 400, 2000}, volume: -16}.sound),
	"au": sync.OnceValue(cadence{hertz: []float64{400, 425, 450}, onOff: []int{400, 200, 400, 2000}, volume: -19}.sound),
	"fr": sync.OnceValue(cadence{hertz: []float64{440}, onOff: []int{1500, 3500}, volume: -13}.sound),
	"jp": sync.OnceValue(cadence{hertz: []float64{384, 416}, onOff: []int{1000, 2000}, volume: -16}.sound),

	// A short soft beep every ten seconds.
	"hold": sync.OnceValue(cadence{hertz: []float64{425}, onOff: []int{200, 9800}, volume: -24}.sound),
	// Signals that the call is recorded (ITU-T E.180 Supplement 2).
	"beep":    sync.OnceValue(cadence{hertz: []float64{1400}, onOff: []int{400}, volume: -16}.sound),
	"silence": sync.OnceValue(cadence{onOff: []int{0, 1000}}.sound),
}

// Tones returns the names that Tone accepts: ringing tones by country or region, and hold, beep and silence.
func Tones() []string { return slices.Sorted(maps.Keys(tones)) }

// Tone returns one of Tones. All except beep are meant to be looped: a ringing tone starts with the tone and ends with
// its pause.
func Tone(name string) (*Sound, bool) {
	tone, ok := tones[name]
	if !ok {
		return nil, false
	}
	return tone(), true
}

// sound renders a cadence. Each tone fades in and out over 5 ms, so that it does not click.
func (c cadence) sound() *Sound {
	const ramp = 5 * Rate / 1000
	amplitude := 32124 * math.Pow(10, (c.volume-3.17)/20) // +3.17 dBm0 is full scale (ITU-T G.711)
	var samples []int16
	for i, ms := range c.onOff {
		n := ms * Rate / 1000
		if i%2 == 1 {
			samples = append(samples, make([]int16, n)...)
			continue
		}
		for t := range n {
			v := 0.0
			for _, hz := range c.hertz {
				v += math.Sin(2 * math.Pi * hz * float64(t) / Rate)
			}
			v *= amplitude * min(1, float64(t)/ramp, float64(n-1-t)/ramp)
			samples = append(samples, int16(math.Round(v)))
		}
	}
	return encode(samples)
}
