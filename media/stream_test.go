package media

import (
	"cmp"
	"math"
	"slices"
	"testing"
	"time"

	"flowbridge/media/packet"
	"flowbridge/media/quality"
)

func TestStreamLostAddsUpOverSources(t *testing.T) {
	var s stream
	if got := s.lost(); got != 0 {
		t.Errorf("lost %d before the first packet", got)
	}
	for _, h := range []packet.Header{{SSRC: 1, Seq: 1}, {SSRC: 1, Seq: 4}, {SSRC: 2, Seq: 60000}, {SSRC: 2, Seq: 60005}} {
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
		s.observe(packet.Header{SSRC: 1, Seq: seq, Timestamp: uint32(i)}, time.Duration(i)*time.Second)
	}
	s.renew()
	if got := s.lost(); got != 2 || s.jitterMS() == 0 {
		t.Errorf("lost %d, jitter %.2f ms before the new peer sends; want 2 and some", got, s.jitterMS())
	}
	s.observe(packet.Header{SSRC: 1, Seq: 1500, Timestamp: 9}, 9*time.Second)
	if got := s.lost(); got != 2 || s.jitterMS() != 0 {
		t.Errorf("lost %d, jitter %.2f ms; want 2 and 0", got, s.jitterMS())
	}
	s.observe(packet.Header{SSRC: 1, Seq: 1502, Timestamp: 169}, 9*time.Second)
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
			s.observe(packet.Header{SSRC: 1, Seq: uint16(i), Timestamp: ts}, at)
		}
		if got := s.jitterMS(); math.Abs(got-tt.want) > 0.15 {
			t.Errorf("%s: jitter %.2f ms; want %.2f", tt.name, got, tt.want)
		}
	}
}

// What a phone's jitter buffer would drop counts as late, and as lost in the MOS. A delay that stays is none of that, and
// neither are a slow clock, a pause of the sender, or a key beside the audio.
func TestStreamLate(t *testing.T) {
	const frame, ms = 20 * time.Millisecond, time.Millisecond
	type arrival struct {
		h  packet.Header
		at time.Duration
	}
	audio := func(n int, delay func(i int) time.Duration) (all []arrival) {
		for i := range n {
			all = append(all, arrival{packet.Header{Seq: uint16(i), Timestamp: uint32(i * 160)}, time.Duration(i)*frame + delay(i)})
		}
		return all
	}
	steady := func(int) time.Duration { return 0 }
	// held is the delay of packets that the network holds back for long and lets go at once.
	held := func(i, from int, long time.Duration) time.Duration {
		if i < from {
			return 0
		}
		return max(0, long-time.Duration(i-from)*frame)
	}
	drift := func(ppm int) []arrival {
		return audio(90000, func(i int) time.Duration {
			return time.Second + time.Duration(i*ppm)*frame/1e6 + time.Duration(i*7%20)*ms
		})
	}
	reset := func(by int) []arrival {
		all := audio(3000, steady)
		for i := range all[1000:] {
			all[1000+i].h.Timestamp += uint32(by)
		}
		return all
	}
	twice := audio(3000, steady)
	for i := range 1000 {
		twice = append(twice, arrival{twice[2*i].h, twice[2*i].at + 300*ms})
	}
	keys := audio(6000, steady) // each second one is of a telephone-event
	for i := range keys {
		long := 1 + i%2*39 // in frames
		keys[i].h.Timestamp, keys[i].at = uint32(i/2/long*long*160), time.Duration(i/2)*frame
	}
	for _, tt := range []struct {
		name         string
		packets      []arrival
		late, bursts uint64
		mos          [2]float64 // from, to
	}{
		{"steady", audio(3000, steady), 0, 0, [2]float64{4.39, 4.5}},
		{"a buffer holds it", audio(3000, func(i int) time.Duration { return time.Duration(i*37%190) * ms }), 0, 0, [2]float64{4, 4.5}},
		{"a burst of 300 ms", audio(3000, func(i int) time.Duration { return held(i, 1000, 300*ms) }), 5, 1, [2]float64{4.3, 4.39}},
		{"every tenth 300 ms late", audio(3000, func(i int) time.Duration { return time.Duration(i%10/9) * 300 * ms }), 298, 298, [2]float64{3, 4}}, // after the last two none comes
		{"stalls of 2.5 s in the network", audio(3000, func(i int) time.Duration { return held(i%500, 100, 2500*ms) }), 6 * 115, 6, [2]float64{1, 2}},
		{"a delay that stays", audio(3000, func(i int) time.Duration { return time.Duration(i/1000) * 300 * ms }), 0, 0, [2]float64{4.39, 4.5}},
		{"pauses of the sender", audio(3000, func(i int) time.Duration { return time.Duration(i/40) * 1500 * ms }), 0, 0, [2]float64{4, 4.5}},
		{"a slow clock", drift(200), 0, 0, [2]float64{4.3, 4.5}},
		{"a fast clock", drift(-200), 0, 0, [2]float64{4.3, 4.5}},
		{"later timestamps", reset(1e6), 0, 0, [2]float64{4.39, 4.5}},
		{"earlier timestamps", reset(-1e6), 0, 0, [2]float64{4.39, 4.5}},
		{"copies that come later", twice, 0, 0, [2]float64{4.39, 4.5}},
		{"keys beside the audio", keys, 0, 0, [2]float64{4.39, 4.5}},
	} {
		var s stream
		var l ledger
		c := &l.flow[SideA][RTP]
		l.codec[SideA].Store(quality.ImpairmentOf("PCMU"))
		slices.SortStableFunc(tt.packets, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
		for _, p := range tt.packets {
			s.observe(p.h, p.at)
			c.RxPackets.Add(1)
			c.ofRTP().keep(&s, p.h)
		}
		st := l.side(SideA, time.Time{})
		if st.Late != tt.late || s.delays.Bursts != tt.bursts || st.MOS < tt.mos[0] || st.MOS > tt.mos[1] {
			t.Errorf("%s: %d late in %d bursts, MOS %.2f; want %d in %d, %v", tt.name, st.Late, s.delays.Bursts, st.MOS, tt.late, tt.bursts, tt.mos)
		}
	}
}

func TestStreamJitterStartsAnewWithTheSource(t *testing.T) {
	var s stream
	for i := range 50 {
		s.observe(packet.Header{SSRC: 1, Seq: uint16(i), Timestamp: uint32(i * 160)}, time.Duration(i+i%2)*20*time.Millisecond)
	}
	if s.jitterMS() < 10 {
		t.Fatalf("jitter %.2f ms; want some", s.jitterMS())
	}
	s.observe(packet.Header{SSRC: 2, Seq: 1, Timestamp: 5}, time.Second)
	if s.jitterMS() != 0 {
		t.Errorf("jitter %.2f ms after a new source; want 0", s.jitterMS())
	}
}

func TestDropsTotal(t *testing.T) {
	var l ledger
	for _, kind := range []Kind{RTP, RTCP} {
		for i, n := range l.flow[SideA][kind].dropped().all() {
			n.Store(1 << i)
		}
	}
	if d, total := l.dropped(SideA); d.WrongSource != 2 || d.Masked != 1<<15 || d.Unconfirmed != 1<<16 || total != 1<<17-2 {
		t.Errorf("got %d of %+v; want %d", total, d, 1<<17-2)
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
		var s stream
		for _, part := range tt.seqs {
			for _, seq := range part {
				s.observe(packet.Header{Seq: seq, SSRC: 9}, 0)
			}
		}
		runs, longest := s.losses.Bursts()
		got := counts{s.lost(), runs, longest, s.duplicates, s.reordered, s.wraps()}
		if got != tt.want {
			t.Errorf("%s: got %+v; want %+v", tt.name, got, tt.want)
		}
	}
}

func TestStreamSSRCChanges(t *testing.T) {
	var s stream
	for _, ssrc := range []uint32{1, 1, 2, 2, 1} {
		s.observe(packet.Header{SSRC: ssrc}, 0)
	}
	s.renew()
	s.observe(packet.Header{SSRC: 7}, 0) // another peer: no change of its own
	s.observe(packet.Header{SSRC: 7, Seq: 1}, 0)
	if s.ssrcChanges != 2 {
		t.Errorf("got %d; want 2", s.ssrcChanges)
	}
}

func TestStreamJitterMaximumAndMean(t *testing.T) {
	var s stream
	at := func(i int, late time.Duration) {
		s.observe(packet.Header{SSRC: 1, Seq: uint16(i), Timestamp: uint32(i * 160)}, time.Duration(i)*20*time.Millisecond+late)
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
		if now, most, mean := s.jitterMS(), s.jitterMaxMS(), s.jitterMeanMS(); now > 1 || most < 7.5 || most > 8.1 || mean < 1.8 || mean > 2.3 {
			t.Errorf("now %.2f, at most %.2f, mean %.2f ms; want less than 1, 8 and 2", now, most, mean)
		}
	}
	check()
	s.setRate(48000) // the same time in other units
	check()
}

// FuzzStream compares the window with a memory of everything.
func FuzzStream(f *testing.F) {
	f.Add(uint16(0), []byte{1, 1, 1, 3, 255, 1})
	f.Add(uint16(65530), []byte{1, 127, 127, 127, 200, 0, 0, 1})
	f.Fuzz(func(t *testing.T, first uint16, steps []byte) {
		var s stream
		base := 1<<20 + int(first)
		top, came := base, map[int]bool{base: true}
		var duplicates, reordered uint64
		s.observe(packet.Header{Seq: first}, 0)
		for _, b := range steps {
			n := top + max(int(int8(b)), 1-maxMisorder)
			s.observe(packet.Header{Seq: uint16(n)}, 0)
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
		if s.lost() != lost || gotRuns != runs || gotLongest != longest || s.duplicates != duplicates || s.reordered != reordered {
			t.Errorf("got lost %d, bursts %d up to %d, duplicates %d, reordered %d; want %d, %d up to %d, %d, %d", s.lost(), gotRuns, gotLongest,
				s.duplicates, s.reordered, lost, runs, longest, duplicates, reordered)
		}
	})
}
