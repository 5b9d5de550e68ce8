package media

import (
	"math"
	"testing"
	"time"
)

func TestStreamLost(t *testing.T) {
	run := func(from, to int) (s []uint16) {
		for i := from; i <= to; i++ {
			s = append(s, uint16(i))
		}
		return s
	}
	join := func(parts ...[]uint16) (s []uint16) {
		for _, p := range parts {
			s = append(s, p...)
		}
		return s
	}
	for _, tt := range []struct {
		name string
		seqs []uint16
		want uint64
	}{
		{"nothing", nil, 0},
		{"one", run(7, 7), 0},
		{"in order", run(0, 99), 0},
		{"a gap", join(run(0, 9), run(15, 20)), 5},
		{"across the wrap", join(run(65530, 65535), run(0, 5)), 0},
		{"a gap across the wrap", join(run(65530, 65533), run(2, 5)), 4},
		{"twice round", join(run(0, 65535), run(0, 65535), run(0, 9)), 0},
		{"late", []uint16{1, 2, 4, 3, 5}, 0},
		{"late across the wrap", []uint16{65534, 0, 65535, 1}, 0},
		{"twice the same is not negative", []uint16{1, 1, 1, 2, 2}, 0},
		{"one before the first", []uint16{5, 4, 6}, 0},
		{"a stray number", []uint16{1, 2, 30000, 3, 4}, 0},
		{"a restart", join(run(1, 10), run(13, 20), run(30000, 30010), run(30012, 30012)), 3},
	} {
		var s stream
		for i, seq := range tt.seqs {
			s.observe(rtpHeader{seq: seq, ssrc: 9, timestamp: uint32(i)}, 0)
		}
		if got := s.lost(); got != tt.want {
			t.Errorf("%s: lost %d; want %d", tt.name, got, tt.want)
		}
	}
}

func TestStreamLostAddsUpOverSources(t *testing.T) {
	var s stream
	for _, h := range []rtpHeader{{ssrc: 1, seq: 1}, {ssrc: 1, seq: 4}, {ssrc: 2, seq: 60000}, {ssrc: 2, seq: 60005}} {
		s.observe(h, 0)
	}
	if got := s.lost(); got != 2+4 {
		t.Errorf("lost %d; want 6", got)
	}
}

// Another peer may use the SSRC of the one before.
func TestStreamStartsAnewWithThePeer(t *testing.T) {
	var s stream
	for i, seq := range []uint16{1, 2, 5} { // two missing
		s.observe(rtpHeader{ssrc: 1, seq: seq, timestamp: uint32(i)}, time.Duration(i)*time.Second)
	}
	s.renew()
	if got := s.lost(); got != 2 || s.jitterMS() == 0 {
		t.Errorf("lost %d, jitter %.2f ms before the new peer sends; want 2 and some", got, s.jitterMS())
	}
	s.observe(rtpHeader{ssrc: 1, seq: 1500, timestamp: 9}, 9*time.Second)
	if got := s.lost(); got != 2 || s.jitterMS() != 0 {
		t.Errorf("lost %d, jitter %.2f ms; want 2 and 0", got, s.jitterMS())
	}
	s.observe(rtpHeader{ssrc: 1, seq: 1502, timestamp: 169}, 9*time.Second)
	if got := s.lost(); got != 3 {
		t.Errorf("lost %d; want 3", got)
	}
}

func TestStreamJitter(t *testing.T) {
	const frame = 20 * time.Millisecond
	for _, tt := range []struct {
		name    string
		rate    uint32
		packets int
		next    func(i int) (timestamp uint32, arrival time.Duration)
		want    float64 // ms
	}{
		{"steady", 0, 500, func(i int) (uint32, time.Duration) { return uint32(i * 160), time.Duration(i) * frame }, 0},
		{"steady at 48 kHz", 48000, 500, func(i int) (uint32, time.Duration) { return uint32(i * 960), time.Duration(i) * frame }, 0},
		// Every other packet 4 ms late: |D| is always 4 ms, and so is its mean.
		{"alternating", 0, 500, func(i int) (uint32, time.Duration) {
			return uint32(i * 160), time.Duration(i)*frame + time.Duration(i%2)*4*time.Millisecond
		}, 4},
		{"alternating at 48 kHz", 48000, 500, func(i int) (uint32, time.Duration) {
			return uint32(i * 960), time.Duration(i)*frame + time.Duration(i%2)*4*time.Millisecond
		}, 4},
		{"timestamps wrap", 0, 100, func(i int) (uint32, time.Duration) {
			return math.MaxUint32 - 5000 + uint32(i*160), time.Duration(i) * frame
		}, 0},
		{"days after the start", 48000, 100, func(i int) (uint32, time.Duration) {
			return uint32(i * 960), 300*24*time.Hour + time.Duration(i)*frame
		}, 0},
		// From the 20th to the 40th packet one telephone-event with one timestamp.
		{"telephone-event", 0, 60, func(i int) (uint32, time.Duration) {
			ts := i
			if i >= 20 && i < 40 {
				ts = 20
			}
			return uint32(ts * 160), time.Duration(i) * frame
		}, 0},
		{"timestamps set anew", 0, 60, func(i int) (uint32, time.Duration) {
			return uint32(i*160 + i/30*1e6), time.Duration(i) * frame
		}, 0},
	} {
		s := stream{rate: int64(tt.rate)}
		for i := range tt.packets {
			ts, at := tt.next(i)
			s.observe(rtpHeader{ssrc: 1, seq: uint16(i), timestamp: ts}, at)
		}
		if got := s.jitterMS(); math.Abs(got-tt.want) > 0.15 {
			t.Errorf("%s: jitter %.2f ms; want %.2f", tt.name, got, tt.want)
		}
	}
}

func TestStreamJitterStartsAnewWithTheSource(t *testing.T) {
	var s stream
	for i := range 50 {
		s.observe(rtpHeader{ssrc: 1, seq: uint16(i), timestamp: uint32(i * 160)}, time.Duration(i+i%2)*20*time.Millisecond)
	}
	if s.jitterMS() < 10 {
		t.Fatalf("jitter %.2f ms; want some", s.jitterMS())
	}
	s.observe(rtpHeader{ssrc: 2, seq: 1, timestamp: 5}, time.Second)
	if s.jitterMS() != 0 {
		t.Errorf("jitter %.2f ms after a new source; want 0", s.jitterMS())
	}
}

func TestDropsTotal(t *testing.T) {
	d := Drops{WrongSource: 1, Malformed: 2, NoDestination: 4, Oversize: 8, SendError: 16, Held: 32, Diverted: 64, Replaced: 128}
	if got := d.plus(d).Total(); got != 510 {
		t.Errorf("got %d; want 510", got)
	}
}
