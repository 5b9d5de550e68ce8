package audio

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"
)

// level returns the power of a frequency in a sound, in dBm0.
func level(s *Sound, hertz float64, from, to time.Duration) float64 {
	var re, im float64
	a, b := int(from*Rate/time.Second), int(to*Rate/time.Second)
	for i, code := range s.In(ULaw)[a:b] {
		v, phase := float64(DecodeULaw(code)), 2*math.Pi*hertz*float64(i)/Rate
		re, im = re+v*math.Cos(phase), im+v*math.Sin(phase)
	}
	amplitude := 2 * math.Hypot(re, im) / float64(b-a)
	return 20*math.Log10(amplitude/32124) + 3.17
}

func TestTones(t *testing.T) {
	for _, tt := range []struct {
		name   string
		hertz  []float64
		dBm0   float64
		on     time.Duration
		length time.Duration
	}{
		{"us", []float64{440, 480}, -19, 2 * time.Second, 6 * time.Second},
		{"eu", []float64{425}, -13, time.Second, 5 * time.Second},
		{"uk", []float64{400, 450}, -16, 400 * time.Millisecond, 3 * time.Second},
		{"hold", []float64{425}, -24, 200 * time.Millisecond, 10 * time.Second},
		{"beep", []float64{1400}, -16, 400 * time.Millisecond, 400 * time.Millisecond},
	} {
		s, ok := Tone(tt.name)
		if !ok || s.Duration() != tt.length {
			t.Errorf("%s: %v, %v long; want %v", tt.name, ok, s.Duration(), tt.length)
			continue
		}
		for _, hz := range tt.hertz {
			if got := level(s, hz, 10*time.Millisecond, tt.on-10*time.Millisecond); math.Abs(got-tt.dBm0) > 0.5 {
				t.Errorf("%s: %v Hz at %.1f dBm0; want %v", tt.name, hz, got, tt.dBm0)
			}
		}
		for _, law := range []Law{ULaw, ALaw} {
			codes := s.In(law)
			silent := codes[int(tt.on*Rate/time.Second):]
			if slices.ContainsFunc(silent[:min(len(silent), Rate/10)], func(c byte) bool { return c != law.Silence() && c != law.Silence()^0x80 }) {
				t.Errorf("%s in law %d: the pause is not silent", tt.name, law)
			}
		}
	}
	if s, ok := Tone("silence"); !ok || s.Duration() != time.Second || s.In(ALaw)[0]|0x80 != ALaw.Silence() {
		t.Error("no silence")
	}
	if _, ok := Tone("xx"); ok {
		t.Error("a tone xx")
	}
	if names := Tones(); len(names) != len(tones) || !slices.IsSorted(names) {
		t.Errorf("tones %v", names)
	}
}

func TestNewSoundBounds(t *testing.T) {
	for n, want := range map[int]error{0: ErrSound, 1: nil, 600 * Rate: nil, 600*Rate + Rate: ErrSound} {
		if _, err := NewSound(make([]int16, n)); !errors.Is(err, want) {
			t.Errorf("%d samples: %v; want %v", n, err, want)
		}
	}
}

func TestMix(t *testing.T) {
	for _, tt := range []struct{ a, b, want int16 }{
		{0, 1000, 1000}, {1000, 1000, 2000}, {-4000, 1000, -3132}, {30000, 30000, 32124}, {-30000, -30000, -32124},
	} {
		codes := []byte{EncodeULaw(tt.a), 0x7f}
		ULaw.Mix(codes, []byte{EncodeULaw(tt.b)})
		if got := DecodeULaw(codes[0]); math.Abs(float64(got)-float64(tt.want)) > 0.04*math.Abs(float64(tt.want)) || codes[1] != 0x7f {
			t.Errorf("%d and %d: %d; want about %d", tt.a, tt.b, got, tt.want)
		}
	}
	codes := []byte{EncodeALaw(1000)}
	ALaw.Mix(codes, []byte{EncodeALaw(1000), EncodeALaw(7)})
	if got := DecodeALaw(codes[0]); got < 1900 || got > 2100 {
		t.Errorf("A-law: %d", got)
	}
}

// Both laws are made of each other sample by sample, with the noise of two
// quantisations that are not independent of each other.
func TestLawsOfEachOther(t *testing.T) {
	var original []int16
	for i := range Rate {
		original = append(original, int16(8000*math.Sin(2*math.Pi*1013*float64(i)/Rate)))
	}
	s, err := NewSound(original)
	if err != nil {
		t.Fatal(err)
	}
	toA, toU := slices.Clone(s.In(ULaw)), slices.Clone(s.In(ALaw))
	ToALaw(toA)
	ToULaw(toU)
	for name, decoded := range map[string]func(i int) int16{
		"PCMU to PCMA": func(i int) int16 { return DecodeALaw(toA[i]) },
		"PCMA to PCMU": func(i int) int16 { return DecodeULaw(toU[i]) },
	} {
		var signal, noise float64
		for i, v := range original {
			d := float64(v) - float64(decoded(i))
			signal, noise = signal+float64(v)*float64(v), noise+d*d
		}
		if snr := 10 * math.Log10(signal/noise); snr < 31 {
			t.Errorf("%s: %.1f dB", name, snr)
		}
	}
}
