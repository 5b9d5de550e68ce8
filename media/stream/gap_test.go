package stream

import (
	"testing"
	"time"

	"flowbridge/media/packet"
	"flowbridge/media/quality"
)

// TestGap: the packets that a side sent while no process was running count as lost, estimated by the time. Packets that
// the old process relayed after its state was saved do not count as lost.
func TestGap(t *testing.T) {
	const second = time.Second
	type sent struct {
		seq  uint16
		ts   uint32
		ssrc uint32
		at   time.Duration
	}
	for _, tt := range []struct {
		name               string
		packets            []sent
		gap                time.Duration
		lost, bursts, seen uint64
	}{
		{"as before", []sent{{600, 80000, 7, 12 * second}, {601, 80160, 7, 12*second + 20*time.Millisecond}}, 2 * second, 100, 1, 399},
		{"30 ms", []sent{{600, 80000, 7, 12 * second}, {601, 80240, 7, 12*second + 30*time.Millisecond}}, 2 * second, 66, 1, 433},
		{"a key is pressed", []sent{{600, 80000, 7, 12 * second}, {601, 80000, 7, 12 * second}, {602, 80160, 7, 12 * second}}, 2 * second, 100, 1, 399},
		{"another stream", []sent{{9, 5, 8, 12 * second}, {10, 165, 8, 12 * second}}, 2 * second, 100, 1, 0},
		{"an answer", []sent{{600, 80000, 7, 13 * second}, {601, 80160, 7, 13*second + 20*time.Millisecond}}, 2 * second, 100, 1, 399},
		{"silent before", []sent{{101, 80000, 7, 12 * second}, {102, 80160, 7, 12*second + 20*time.Millisecond}}, 0, 0, 0, 0},
		{"silent until later", []sent{{600, 80000, 7, 15 * second}, {601, 80160, 7, 15*second + 20*time.Millisecond}}, 0, 0, 0, 0},
		{"nothing", nil, 0, 0, 0, 0},
	} {
		var was Stream
		for i := range uint16(100) {
			was.Observe(packet.Header{SSRC: 7, Seq: 1 + i, Timestamp: 160 * uint32(i)}, time.Duration(i)*20*time.Millisecond)
		}
		var st State
		was.Save(&st, Clock{})
		var s Stream
		s.Restore(&st, false, Clock{Now: 12 * second})
		s.missed, s.MissedBy = 2*second, 12*second+2*time.Second
		seen := uint64(0)
		for _, p := range tt.packets {
			seen += s.Observe(packet.Header{SSRC: p.ssrc, Seq: p.seq, Timestamp: p.ts}, p.at)
		}
		runs, _ := s.losses.Bursts()
		if s.gap != tt.gap || s.Lost() != tt.lost || runs != tt.bursts || seen != tt.seen {
			t.Errorf("%s: gap %v, lost %d in %d, seen %d; want %v, %d in %d, %d", tt.name, s.gap, s.Lost(), runs, seen, tt.gap, tt.lost, tt.bursts, tt.seen)
		}
		if tt.gap > 0 {
			heard := quality.Heard{Received: 1000, Lost: s.Lost(), Bursts: runs}
			if mos := heard.MOS(quality.ImpairmentOf("PCMU")); mos > 4.1 {
				t.Errorf("%s: MOS %.2f", tt.name, mos)
			}
		}
	}
}
