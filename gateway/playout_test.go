package gateway

import (
	"bytes"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// TestPlayout: whatever a bot sends, each mark is answered exactly once and in order, not before the audio in front of
// it was played, what is queued never exceeds 30 seconds, and no audio is changed.
func TestPlayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p playout
		var sent, answered []string
		var dst [frameSize]byte
		model := 0              // bytes queued
		due := map[string]int{} // bytes to be played before a mark
		total, name := 0, 0     // bytes played or dropped
		play := func() {
			speaks, marks := p.frame(&dst)
			for _, m := range marks {
				if due[m] > total {
					t.Fatalf("mark %s came %d bytes early", m, due[m]-total)
				}
			}
			answered = append(answered, marks...)
			if n := model - p.queued(); n < 0 || speaks != (n > 0) {
				t.Fatalf("a frame took %d bytes", n)
			}
			total, model = total+model-p.queued(), p.queued()
		}
		t.Repeat(map[string]func(*rapid.T){
			"media": func(t *rapid.T) {
				n := rapid.OneOf(rapid.IntRange(1, 1000), rapid.IntRange(1, 2*maxQueued)).Draw(t, "bytes")
				dropped := p.add(bytes.Repeat([]byte{0x2a}, n))
				if model += n - dropped; dropped < 0 || dropped > 0 && model != maxQueued {
					t.Fatalf("%d of %d bytes dropped, %d queued", dropped, n, model)
				}
			},
			"silence": func(*rapid.T) { model += frameSize - p.add(bytes.Repeat([]byte{silentByte}, frameSize)) },
			"mark": func(*rapid.T) {
				name++
				m := strconv.Itoa(name)
				if p.mark(m) {
					sent, due[m] = append(sent, m), total+model
				}
			},
			"clear": func(*rapid.T) {
				answered = append(answered, p.clear()...)
				total, model = total+model, 0
				if len(answered) != len(sent) {
					t.Fatalf("%d of %d marks after clear", len(answered), len(sent))
				}
			},
			"frame": func(t *rapid.T) {
				for range rapid.IntRange(1, 50).Draw(t, "frames") {
					play()
				}
			},
			"": func(t *rapid.T) {
				if p.queued() != model || model > maxQueued || !slices.Equal(answered, sent[:len(answered)]) {
					t.Fatalf("%d queued, want %d; marks %v of %v", p.queued(), model, answered, sent)
				}
			},
		})
		for range maxQueued/frameSize + 2 {
			play()
		}
		if !slices.Equal(answered, sent) || p.queued() != 0 {
			t.Fatalf("marks %v of %v", answered, sent)
		}
	})
}

// TestPayBack: after a stall of 100 ms in the middle of speech, the same length of silence is left out, so that a bot
// that sends in real time is as near as before.
func TestPayBack(t *testing.T) {
	var p playout
	var dst [frameSize]byte
	word, pause := bytes.Repeat([]byte{0x2a}, frameSize), bytes.Repeat([]byte{silentByte}, frameSize)
	p.add(word)
	p.frame(&dst)
	for range 5 { // the stall
		p.frame(&dst)
	}
	for range 6 { // what was held up comes at once
		p.add(word)
	}
	for range 6 {
		p.add(pause)
	}
	late := func() int { return p.queued() / frameSize }
	for range 8 {
		p.frame(&dst)
		p.add(pause)
	}
	if before := 12; late() > before-5 {
		t.Errorf("%d frames are late", late())
	}
}

// TestMarkAfterAudio: a mark is answered one frame after the audio in front of it has left.
func TestMarkAfterAudio(t *testing.T) {
	var p playout
	var dst [frameSize]byte
	p.add(make([]byte, 2*frameSize))
	p.mark("x")
	for i, want := range []int{0, 0, 1, 0} {
		if _, marks := p.frame(&dst); len(marks) != want {
			t.Errorf("frame %d: marks %v", i, marks)
		}
	}
}
