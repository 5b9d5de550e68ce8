package voice

import (
	"bytes"
	"math"
	"testing"

	"flowbridge/media/audio"
)

// tone returns a sine of 20 ms, whose peak is some dB below the overload point.
func tone(decibels float64, law Content) []byte {
	codes := make([]byte, blockLen)
	for i := range codes {
		x := int16(math.Round(32124 * math.Pow(10, -decibels/20) * math.Sin(float64(i)*2*math.Pi*440/8000)))
		if codes[i] = audio.EncodeULaw(x); law == ALaw {
			codes[i] = audio.EncodeALaw(x)
		}
	}
	return codes
}

// TestLevel: the level increases with the peak, is within one decibel of it, and is the same for both laws as far as
// their resolution permits.
func TestLevel(t *testing.T) {
	was := int64(LevelMax)
	for db := 0.0; db <= 54; db += 3 {
		µ, a := level(tone(db, MuLaw), MuLaw), level(tone(db, ALaw), ALaw)
		if µ > was || µ < 0 {
			t.Errorf("-%v dB: level %d after %d", db, µ, was)
		}
		was = µ
		if got := Decibels(float64(µ)) - overload; db <= 42 && math.Abs(got+db) > 1.5 {
			t.Errorf("-%v dB is told as %.1f", db, got)
		}
		if max(µ-a, a-µ) > 2*16 {
			t.Errorf("-%v dB: level %d, in A-law %d", db, µ, a)
		}
	}
	for law, silence := range map[Content]byte{MuLaw: 0xff, ALaw: 0xd5} {
		if got := level(bytes.Repeat([]byte{silence}, blockHalf), law); got != 0 {
			t.Errorf("silence in law %d has level %d", law, got)
		}
	}
	if got := level(bytes.Repeat([]byte{0x80}, blockLen), MuLaw); got != LevelMax {
		t.Errorf("the highest code has level %d", got)
	}
}

// TestLevelIsThatOfItsLanes compares the fast computation of the level with one that adds up code by code.
func TestLevelIsThatOfItsLanes(t *testing.T) {
	codes := make([]byte, blockLen)
	for seed := range 500 {
		x := uint32(seed)*2654435761 + 1
		for i := range codes {
			x = x*1664525 + 1013904223
			codes[i] = byte(x >> 24)
		}
		var lanes [8]int64
		for i, c := range codes {
			if i%32 < 16 {
				lanes[i%8] = max(lanes[i%8], int64(^c&0x7f))
			}
		}
		want := int64(0)
		for _, l := range lanes {
			want += 2 * l
		}
		if got := level(codes, MuLaw); got != want {
			t.Fatalf("seed %d: level %d; want %d", seed, got, want)
		}
	}
}
