package stage

import (
	"testing"
	"time"

	"flowbridge/media/opus"
	"flowbridge/media/packet"
)

// BenchmarkStages measures what the stages of a call that is followed cost for a packet, in a call in which nothing is
// held back and in one in which something was.
func BenchmarkStages(b *testing.B) {
	b.Run("never", func(b *testing.B) { benchStages(b) })
	b.Run("held back before", func(b *testing.B) { benchStages(b, HoldBack(true), HoldBack(false)) })
}

func benchStages(b *testing.B, orders ...Order) {
	b.Helper()
	e := &edges{}
	e.Init(e)
	for _, o := range append([]Order{Conversation{Agent: SideB}}, orders...) {
		if err := e.Order(SideA, o, 0); err != nil {
			b.Fatal(err)
		}
	}
	pkt := rtpOf(0, 0, 0, make([]byte, opus.Frame))
	p := Packet{Header: packet.Header{SSRC: 7}, Data: pkt}
	b.ReportAllocs()
	for b.Loop() {
		p.Seq, p.Timestamp, p.Now = p.Seq+1, p.Timestamp+opus.Frame, p.Now+20*time.Millisecond
		if e.Packet(SideA, &p) != Relay {
			b.Fatal("not relayed")
		}
	}
}
