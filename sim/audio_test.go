package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

func through(c codec, pcm []int16) []int16 { return c.decodeAll(c.encodeAll(pcm)) }

func TestSpeechLikeIsDeterministic(t *testing.T) {
	a, b := SpeechLike(1, time.Second), SpeechLike(1, time.Second)
	if !slices.Equal(a, b) || len(a) != SampleRate {
		t.Error("same seed, other audio")
	}
	if longer := SpeechLike(1, 2*time.Second); !slices.Equal(longer[:SampleRate], a) {
		t.Error("the longer one begins differently")
	}
	if slices.Equal(a, SpeechLike(2, time.Second)) {
		t.Error("other seed, same audio")
	}
	loudest := 0
	for _, v := range a {
		loudest = max(loudest, int(v), -int(v))
	}
	if loudest < 2000 || loudest >= 32000 {
		t.Errorf("loudest sample %d", loudest)
	}
	for i := 0; i+frameSamples <= len(a); i += frameSamples {
		u, _ := codecFor(payloadPCMU)
		if payloadSum(u.encodeAll(a[i:i+frameSamples])) == 0 {
			t.Errorf("frame at %d is constant", i)
		}
	}
}

func TestMatch(t *testing.T) {
	u, _ := codecFor(payloadPCMU)
	a, _ := codecFor(payloadPCMA)
	ref := SpeechLike(42, 2*time.Second)
	noise := SpeechLike(99, 5*time.Second)
	quiet := make([]int16, 700*SampleRate/1000+13)
	lossy := through(u, ref)
	for _, frame := range []int{10, 11, 40, 77} {
		clear(lossy[frame*frameSamples : (frame+1)*frameSamples])
	}
	shifted := slices.Concat(quiet, through(u, ref), noise[:SampleRate])
	for _, tt := range []struct {
		name   string
		heard  []int16
		low    float64
		high   float64
		offset time.Duration
	}{
		{"same", ref, 0.999, 1.001, 0},
		{"ulaw", through(u, ref), 0.99, 1.001, 0},
		{"alaw", through(a, ref), 0.99, 1.001, 0},
		{"both", through(a, through(u, ref)), 0.99, 1.001, 0},
		{"loss", lossy, 0.9, 1.001, 0},
		{"shifted", shifted, 0.99, 1.001, time.Duration(len(quiet)) * time.Second / SampleRate},
		{"beginning lost", through(u, ref[333:]), 0.99, 1.001, -333 * time.Second / SampleRate},
		{"end lost", through(u, ref[:3*SampleRate/2]), 0.99, 1.001, 0},
		{"other seed", through(u, noise), 0, 0.3, -1},
		{"silence", make([]int16, 3*SampleRate), 0, 0.01, -1},
		{"nothing", nil, 0, 0, -1},
		{"too short", ref[:SampleRate/4], 0, 0.3, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			offset, score := Match(tt.heard, ref)
			if score < tt.low || score > tt.high {
				t.Errorf("score %.3f; want %.2f to %.2f", score, tt.low, tt.high)
			}
			if tt.offset >= 0 || tt.name == "beginning lost" {
				if offset != tt.offset {
					t.Errorf("offset %v; want %v", offset, tt.offset)
				}
			}
		})
	}
}

func TestSeedsDoNotMatch(t *testing.T) {
	t.Parallel()
	worst := 0.0
	for seed := range uint64(30) {
		_, score := Match(SpeechLike(seed, 4*time.Second), SpeechLike(seed+1000, greetingLength))
		worst = max(worst, score)
	}
	t.Logf("worst score %.3f", worst)
	if worst >= 0.3 {
		t.Errorf("worst score of two seeds %.3f", worst)
	}
}

// A long pause with more speech after the wanted greeting does not hide the greeting. One in 600 of these greetings
// was not found.
func TestMatchBeforeAPause(t *testing.T) {
	for _, seed := range []uint64{422, 712, 1626, 1684, 2598} {
		greeting := Greeting(fmt.Sprint("call-", seed))
		heard := slices.Concat(greeting, make([]int16, 3600*SampleRate/1000), SpeechLike(seed, 1600*time.Millisecond))
		if offset, score := Match(heard, greeting); offset != 0 || score < 0.95 {
			t.Errorf("greeting %d: found at %v, likeness %.2f", seed, offset, score)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	heard, ref := SpeechLike(1, 3*time.Second), SpeechLike(1, 2*time.Second)
	for b.Loop() {
		Match(heard, ref)
	}
}

func BenchmarkSpeechLike(b *testing.B) {
	for b.Loop() {
		SpeechLike(1, time.Second)
	}
}
