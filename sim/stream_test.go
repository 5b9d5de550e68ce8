package sim

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

func packet(seq uint16, ts uint32, ssrc uint32, kind byte, payload []byte) []byte {
	b := make([]byte, rtpHeader, rtpHeader+len(payload))
	b[0], b[1] = 0x80, kind
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], ts)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	return append(b, payload...)
}

func TestReceptionCounts(t *testing.T) {
	var r reception
	now := time.Unix(0, 0)
	frame := func(v byte) []byte {
		f := make([]byte, frameSamples)
		for i := range f {
			f[i] = v
		}
		return f
	}
	u, _ := codecFor(payloadPCMU)
	peer := &remoteMedia{codec: u, event: 101}
	in := func(seq int, v byte) { r.take(packet(uint16(seq), uint32(seq)*160, 1, 0, frame(v)), peer, now) }
	in(65534, 1)
	in(65535, 2)
	in(65536+1, 4) // past the wrap, one packet late
	in(65536, 3)
	in(65536, 3)   // a duplicate
	in(65536+4, 7) // two packets lost
	r.take([]byte("no rtp at all"), peer, now)
	r.take(packet(9, 9, 1, 96, frame(0)), peer, now)
	r.take(packet(5, 65540*160, 1, 101, []byte{5, 0, 0, 80}), peer, now)
	r.take(packet(6, 65540*160, 1, 101, []byte{5, 0x80, 0, 160}), peer, now)
	if got := r.lost(); r.stats.Received != 7 || got != 2 || r.stats.OutOfOrder != 1 || r.stats.Duplicates != 1 || r.stats.Foreign != 2 {
		t.Errorf("got %+v, lost %d", r.stats, got)
	}
	for i, want := range []byte{1, 2, 3, 4, 0xff, 0xff, 7} {
		if got := r.heard[i*frameSamples]; got != want {
			t.Errorf("frame %d: got %d; want %d", i, got, want)
		}
	}
	// A new source continues where the first one ended.
	r.take(packet(100, 5, 2, 8, frame(0xd5)), peer, now)
	if len(r.heard) != 8*frameSamples || r.lost() != 2 {
		t.Errorf("got %d samples, %d lost", len(r.heard), r.lost())
	}
}

// The echo arrives after its delay, frame by frame. The greeting replaces the echo while it plays.
func TestEchoIsDelayed(t *testing.T) {
	now := time.Unix(0, 0)
	frame := func(v byte) []byte { return bytes.Repeat([]byte{v}, frameSamples) }
	s := &stream{over: newSignal()}
	s.repeat(&echoQueue{delay: 3 * frameTime})
	s.say(frame(9), false)
	for i := range byte(3) {
		s.echo.push(frame(i+1), now.Add(time.Duration(i)*frameTime))
	}
	s.echo.push([]byte("short"), now)
	got := make([]byte, frameSamples)
	for i, want := range []byte{9, 0xff, 0xff, 1, 2, 3, 0xff} {
		s.fill(got, 0xff, now.Add(time.Duration(i)*frameTime))
		if !bytes.Equal(got, frame(want)) {
			t.Errorf("frame %d: got %d; want %d", i, got[0], want)
		}
	}
	for range 2 * echoMargin {
		s.echo.push(frame(1), now)
	}
	if n := len(s.echo.frames); n != echoMargin+3 {
		t.Errorf("%d frames are queued", n)
	}
}

// The caller's words are echoed whole after a pause, but not after a short one. Words that are left over are dropped
// when the caller speaks again.
func TestAnswerWaitsForAPause(t *testing.T) {
	u, _ := codecFor(payloadPCMU)
	for seed := range uint64(20) {
		s := &stream{over: newSignal()}
		s.repeat(&echoQueue{delay: defaultAnswerAfter, waits: true, codec: u})
		words := u.encodeAll(Words(seed))
		const pause = int(sentenceLength / frameTime)
		var last, begins, ends int // the last loud frame of the sentence, and the frames of the answer
		got := make([]byte, frameSamples)
		for i := range 2 * len(words) / frameSamples {
			now := time.Unix(0, 0).Add(time.Duration(i) * frameTime)
			frame := words[i*frameSamples%len(words):][:frameSamples]
			s.echo.push(frame, now)
			if i < pause && u.loud(frame) {
				last = i
			}
			s.fill(got, 0xff, now)
			if u.loud(got) && begins == 0 {
				begins = i
			}
			if u.loud(got) && i < 2*pause {
				ends = i
			}
		}
		if begins != last+30 || ends > len(words)/frameSamples+10 {
			t.Errorf("seed %d: it answers at frame %d to %d; the caller spoke until %d and again at %d", seed, begins, ends, last, len(words)/frameSamples)
		}
		for range 2 * echoMargin {
			s.echo.push(words[last*frameSamples:][:frameSamples], time.Now())
		}
		if n := len(s.echo.frames); n != echoMargin+30 {
			t.Errorf("%d frames are queued", n)
		}
	}
}
