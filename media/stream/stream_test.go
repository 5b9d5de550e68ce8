package stream

import (
	"math"
	"testing"
	"time"

	"flowbridge/media/packet"
)

func TestStreamLostAddsUpOverSources(t *testing.T) {
	var s Stream
	if got := s.Lost(); got != 0 {
		t.Errorf("lost %d before the first packet", got)
	}
	for _, h := range []packet.Header{{SSRC: 1, Seq: 1}, {SSRC: 1, Seq: 4}, {SSRC: 2, Seq: 60000}, {SSRC: 2, Seq: 60005}} {
		s.Observe(h, 0)
	}
	if got := s.Lost(); got != 2+4 {
		t.Errorf("lost %d; want 6", got)
	}
}

// A new peer may use the SSRC of the peer before it. It still counts as a new stream.
func TestStreamStartsAnewWithThePeer(t *testing.T) {
	var s Stream
	for i, seq := range []uint16{1, 2, 5} { // two packets are missing
		s.Observe(packet.Header{SSRC: 1, Seq: seq, Timestamp: uint32(i)}, time.Duration(i)*time.Second)
	}
	s.Renew()
	if got := s.Lost(); got != 2 || s.milliseconds(s.jitter) == 0 {
		t.Errorf("lost %d, jitter %.2f ms before the new peer sends; want 2 and some", got, s.milliseconds(s.jitter))
	}
	s.Observe(packet.Header{SSRC: 1, Seq: 1500, Timestamp: 9}, 9*time.Second)
	if got := s.Lost(); got != 2 || s.milliseconds(s.jitter) != 0 {
		t.Errorf("lost %d, jitter %.2f ms; want 2 and 0", got, s.milliseconds(s.jitter))
	}
	s.Observe(packet.Header{SSRC: 1, Seq: 1502, Timestamp: 169}, 9*time.Second)
	if got := s.Lost(); got != 3 {
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
		want    float64 // expected jitter in ms
	}{
		{"steady", 0, 500, func(i int) (uint32, time.Duration) { return uint32(i * 160), time.Duration(i) * frame }, 0},
		{"steady at 48 kHz", 48000, 500, func(i int) (uint32, time.Duration) { return uint32(i * 960), time.Duration(i) * frame }, 0},
		// Every other packet is 4 ms late, so |D| is always 4 ms, and so is its mean.
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
		// The 20th to the 40th packet are one telephone-event with one timestamp.
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
		s := Stream{Rate: int64(tt.rate)}
		for i := range tt.packets {
			ts, at := tt.next(i)
			s.Observe(packet.Header{SSRC: 1, Seq: uint16(i), Timestamp: ts}, at)
		}
		if got := s.milliseconds(s.jitter); math.Abs(got-tt.want) > 0.15 {
			t.Errorf("%s: jitter %.2f ms; want %.2f", tt.name, got, tt.want)
		}
	}
}

func TestStreamJitterStartsAnewWithTheSource(t *testing.T) {
	var s Stream
	for i := range 50 {
		s.Observe(packet.Header{SSRC: 1, Seq: uint16(i), Timestamp: uint32(i * 160)}, time.Duration(i+i%2)*20*time.Millisecond)
	}
	if s.milliseconds(s.jitter) < 10 {
		t.Fatalf("jitter %.2f ms; want some", s.milliseconds(s.jitter))
	}
	s.Observe(packet.Header{SSRC: 2, Seq: 1, Timestamp: 5}, time.Second)
	if s.milliseconds(s.jitter) != 0 {
		t.Errorf("jitter %.2f ms after a new source; want 0", s.milliseconds(s.jitter))
	}
}

func TestStreamIrregularities(t *testing.T) {
	type counts struct{ lost, runs, longest, duplicates, reordered, wraps uint64 }
	run := func(from, to int) (s []uint16) {
		for i := from; i <= to; i++ {
			s = append(s, uint16(i))
		}
		return s
	}
	for _, tt := range []struct {
		name string
		seqs [][]uint16
		want counts
	}{
		{"in order", [][]uint16{run(0, 500)}, counts{}},
		{"one", [][]uint16{{7}}, counts{}},
		{"across the wrap", [][]uint16{run(65530, 65535), run(0, 5)}, counts{wraps: 1}},
		{"a gap across the wrap", [][]uint16{run(65530, 65533), run(2, 5)}, counts{lost: 4, runs: 1, longest: 4, wraps: 1}},
		{"one before the first", [][]uint16{{5, 4, 6}}, counts{reordered: 1}},
		{"a stray number", [][]uint16{{1, 2, 30000, 3, 4}}, counts{}},
		{"a restart", [][]uint16{run(1, 10), run(13, 20), run(30000, 30010), {30012}}, counts{lost: 3, runs: 2, longest: 2}},
		{"two gaps", [][]uint16{run(0, 9), run(12, 20), run(22, 30)}, counts{lost: 3, runs: 2, longest: 2}},
		{"two gaps, long ago", [][]uint16{run(0, 9), run(12, 20), run(22, 900)}, counts{lost: 3, runs: 2, longest: 2}},
		{"a gap longer than the window", [][]uint16{run(0, 9), run(1010, 1500)}, counts{lost: 1000, runs: 1, longest: 1000}},
		{"a gap of exactly the window", [][]uint16{run(0, 9), run(138, 400)}, counts{lost: 128, runs: 1, longest: 128}},
		{"every other one", [][]uint16{{0, 2, 4, 6, 8}}, counts{lost: 4, runs: 4, longest: 1}},
		{"a late one fills its hole", [][]uint16{{1, 2, 4, 3, 5}}, counts{reordered: 1}},
		{"a late one splits a burst", [][]uint16{{1, 2, 6, 4, 7}}, counts{lost: 2, runs: 2, longest: 1, reordered: 1}},
		{"late, 90 behind", [][]uint16{run(0, 9), run(11, 100), {10}, run(101, 400)}, counts{reordered: 1}},
		{"late across the wrap", [][]uint16{{65534, 0, 65535, 1}}, counts{reordered: 1, wraps: 1}},
		{"twice", [][]uint16{{1, 1, 2, 3, 3, 3}}, counts{duplicates: 3}},
		{"late and twice", [][]uint16{{1, 3, 2, 2}}, counts{duplicates: 1, reordered: 1}},
		{"duplicates hide no loss", [][]uint16{{1, 1, 1, 4, 4, 5}}, counts{lost: 2, runs: 1, longest: 2, duplicates: 3}},
		{"what came before the first hides none", [][]uint16{{10, 8, 9, 13}}, counts{lost: 2, runs: 1, longest: 2, reordered: 2}},
		{"twice round", [][]uint16{run(0, 65535), run(0, 65535), run(0, 9)}, counts{wraps: 2}},
		{"a restart keeps what was", [][]uint16{run(0, 9), run(12, 20), run(30000, 30010)}, counts{lost: 2, runs: 1, longest: 2}},
		{"a burst ends with its stream", [][]uint16{{1, 3}, run(30000, 30003), {30005}}, counts{lost: 2, runs: 2, longest: 1}},
	} {
		var s Stream
		for _, part := range tt.seqs {
			for _, seq := range part {
				s.Observe(packet.Header{Seq: seq, SSRC: 9}, 0)
			}
		}
		runs, longest := s.losses.Bursts()
		got := counts{s.Lost(), runs, longest, s.duplicates, s.reordered, s.wraps()}
		if got != tt.want {
			t.Errorf("%s: got %+v; want %+v", tt.name, got, tt.want)
		}
	}
}

func TestStreamSSRCChanges(t *testing.T) {
	var s Stream
	for _, ssrc := range []uint32{1, 1, 2, 2, 1} {
		s.Observe(packet.Header{SSRC: ssrc}, 0)
	}
	s.Renew()
	s.Observe(packet.Header{SSRC: 7}, 0) // another peer, so this is not a change of SSRC
	s.Observe(packet.Header{SSRC: 7, Seq: 1}, 0)
	if s.ssrcChanges != 2 {
		t.Errorf("got %d; want 2", s.ssrcChanges)
	}
}

func TestStreamJitterMaximumAndMean(t *testing.T) {
	var s Stream
	at := func(i int, late time.Duration) {
		s.Observe(packet.Header{SSRC: 1, Seq: uint16(i), Timestamp: uint32(i * 160)}, time.Duration(i)*20*time.Millisecond+late)
	}
	for i := range 400 {
		late := time.Duration(0)
		if i >= 100 && i < 200 {
			late = time.Duration(i%2) * 8 * time.Millisecond
		}
		at(i, late)
	}
	check := func() {
		t.Helper()
		if now, mean, most := s.Jitter(); now > 1 || most < 7.5 || most > 8.1 || mean < 1.8 || mean > 2.3 {
			t.Errorf("now %.2f, at most %.2f, mean %.2f ms; want less than 1, 8 and 2", now, most, mean)
		}
	}
	check()
	s.SetRate(48000) // the same time in other units
	check()
}

// FuzzStream compares the window with a complete list of all packets.
func FuzzStream(f *testing.F) {
	f.Add(uint16(0), []byte{1, 1, 1, 3, 255, 1})
	f.Add(uint16(65530), []byte{1, 127, 127, 127, 200, 0, 0, 1})
	f.Fuzz(func(t *testing.T, first uint16, steps []byte) {
		var s Stream
		base := 1<<20 + int(first)
		top, came := base, map[int]bool{base: true}
		var duplicates, reordered uint64
		s.Observe(packet.Header{Seq: first}, 0)
		for _, b := range steps {
			n := top + max(int(int8(b)), 1-MaxMisorder)
			s.Observe(packet.Header{Seq: uint16(n)}, 0)
			switch {
			case n < base:
				reordered++
			case came[n]:
				duplicates++
			default:
				if came[n] = true; n < top {
					reordered++
				}
			}
			top = max(top, n)
		}
		var lost, runs, longest, run uint64
		for n := base; n <= top; n++ {
			if came[n] {
				run = 0
				continue
			}
			if run == 0 {
				runs++
			}
			run++
			lost++
			longest = max(longest, run)
		}
		gotRuns, gotLongest := s.losses.Bursts()
		if s.Lost() != lost || gotRuns != runs || gotLongest != longest || s.duplicates != duplicates || s.reordered != reordered {
			t.Errorf("got lost %d, bursts %d up to %d, duplicates %d, reordered %d; want %d, %d up to %d, %d, %d", s.Lost(), gotRuns, gotLongest,
				s.duplicates, s.reordered, lost, runs, longest, duplicates, reordered)
		}
	})
}
