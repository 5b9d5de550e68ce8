package sim

import (
	"testing"
	"time"
)

func TestOneWayDelays(t *testing.T) {
	var sent, heard []PacketMark
	for i := range 100 {
		m := PacketMark{Sum: uint32(1000 + i%60), At: int64(i) * 20e6}
		sent = append(sent, m)
		m.At += int64(1+i) * 1e6
		if i == 50 {
			continue
		}
		heard = append(heard, m)
	}
	d := PooledDelays([]MarkPair{{sent, heard}})
	if d.Packets != 99 || d.Min != time.Millisecond || d.P50 != 50*time.Millisecond || d.P99 != 100*time.Millisecond || d.Max != 100*time.Millisecond {
		t.Errorf("got %+v", d)
	}
	if d := PooledDelays([]MarkPair{{sent, nil}}); d != (Delays{}) {
		t.Errorf("got %+v", d)
	}
}
