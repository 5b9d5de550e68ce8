package sim

import (
	"testing"
	"time"
)

func TestOneWayDelays(t *testing.T) {
	var sent, same, rewritten []PacketMark
	for i := range 100 {
		m := PacketMark{SSRC: 1, Seq: uint16(i), Sum: uint32(1000 + i%60), At: int64(i) * 20e6}
		sent = append(sent, m)
		m.At += int64(1+i) * 1e6
		if i == 50 {
			continue
		}
		same = append(same, m)
		m.SSRC, m.Seq = 2, m.Seq+777
		rewritten = append(rewritten, m)
	}
	for name, heard := range map[string][]PacketMark{"same": same, "rewritten": rewritten} {
		d := PooledDelays([]MarkPair{{sent, heard}})
		if d.Packets != 99 || d.Min != time.Millisecond || d.P50 != 50*time.Millisecond || d.P99 != 100*time.Millisecond || d.Max != 100*time.Millisecond {
			t.Errorf("%s: got %+v", name, d)
		}
	}
	if d := PooledDelays([]MarkPair{{sent, nil}}); d != (Delays{}) {
		t.Errorf("got %+v", d)
	}
}
