package media

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"flowbridge/media/packet"
	"flowbridge/media/quality"
	"flowbridge/media/stage"
	"flowbridge/media/stream"
)

// A packet that a phone's jitter buffer would drop counts as late, and as lost in the MOS. A lasting delay does not
// count as late, and neither do a slow clock, a pause of the sender, or a key beside the audio.
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
	// held returns the delay of packets that the network holds back for the time long and then releases at once.
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
	keys := audio(6000, steady) // every second packet is a telephone-event
	for i := range keys {
		long := 1 + i%2*39 // length in frames
		keys[i].h.Timestamp, keys[i].at = uint32(i/2/long*long*160), time.Duration(i/2)*frame
	}
	for _, tt := range []struct {
		name         string
		packets      []arrival
		late, bursts uint64
		mos          [2]float64 // lowest and highest allowed
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
		var s stream.Stream
		var l ledger
		c := &l.flow[SideA][RTP]
		l.codec[SideA].Store(quality.ImpairmentOf("PCMU"))
		slices.SortStableFunc(tt.packets, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
		for _, p := range tt.packets {
			s.Observe(p.h, p.at)
			c.RxPackets.Add(1)
			c.ofRTP().keep(&s, p.h)
		}
		st := l.side(SideA, time.Time{})
		if st.Late != tt.late || c.ofRTP().LateBursts.Load() != tt.bursts || st.MOS < tt.mos[0] || st.MOS > tt.mos[1] {
			t.Errorf("%s: %d late in %d bursts, MOS %.2f; want %d in %d, %v", tt.name, st.Late, c.ofRTP().LateBursts.Load(), st.MOS, tt.late, tt.bursts, tt.mos)
		}
	}
}

func TestDropsTotal(t *testing.T) {
	var l ledger
	for _, kind := range []Kind{RTP, RTCP} {
		for i, n := range l.flow[SideA][kind].dropped().all() {
			n.Store(1 << i)
		}
	}
	if d, total := l.dropped(SideA); d.WrongSource != 2 || d.Masked != 1<<15 || d.Unconfirmed != 1<<16 || d.Ahead != 1<<18 || d.BadCheck != 1<<19 || total != 1<<20-2 {
		t.Errorf("got %d of %+v; want %d", total, d, 1<<20-2)
	}
}

// TestCutSpeechLowersMOS: packets that a transcoder cut off count as lost in the MOS, once if they are late for a phone
// as well.
func TestCutSpeechLowersMOS(t *testing.T) {
	mos := func(overtaken, ahead, late uint64) float64 {
		var l ledger
		l.codec[SideA].Store(quality.ImpairmentOf("opus"))
		c := &l.flow[SideA][RTP]
		c.RxPackets.Store(1000)
		c.ofRTP().Late.Store(late)
		c.ofRTP().LateBursts.Store(late)
		for range overtaken {
			c.stopped(stage.Overtaken)
		}
		for range ahead {
			c.stopped(stage.Ahead)
		}
		return l.side(SideA, time.Time{}).MOS
	}
	whole, cut := mos(0, 0, 0), mos(50, 0, 0)
	if whole < 4.3 || cut > 4 || mos(0, 50, 0) != cut || mos(25, 25, 50) != cut {
		t.Errorf("whole %.2f, cut off %.2f, ahead %.2f, late as well %.2f", whole, cut, mos(0, 50, 0), mos(25, 25, 50))
	}
}
