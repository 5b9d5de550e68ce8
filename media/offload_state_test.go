package media

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

// observed returns an endpoint whose stream has received random packets.
func observed(t *rapid.T) *endpoint {
	var r relay
	r.init(1, [2]netip.AddrPort{}, [2]sockets{{-1, -1}, {-1, -1}}, nil)
	ep := r.heard(SideA)
	ep.stream.SetRate(rapid.SampledFrom([]uint32{0, 8000, 48000}).Draw(t, "rate"))
	h, now := packet.Header{SSRC: 7, Seq: rapid.Uint16().Draw(t, "first")}, time.Second
	for range rapid.IntRange(1, 300).Draw(t, "packets") {
		h.Seq += uint16(rapid.OneOf(rapid.Just(1), rapid.IntRange(-50, 200), rapid.IntRange(0, 65535)).Draw(t, "step"))
		h.Timestamp += uint32(rapid.IntRange(0, 2000).Draw(t, "time"))
		now += time.Duration(rapid.IntRange(0, 100).Draw(t, "ms")) * time.Millisecond
		ep.stream.Observe(h, now)
	}
	_, _ = ep.stream.Figures()
	return ep
}

// A stream's state is the same after it has been to the kernel and back, and packets that are
// counted there are added.
func TestStateGoesToTheKernelAndBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := &offloader{epoch: 5 * time.Hour}
		ep, again := observed(t), observed(t)
		again.stream = stream.Stream{Rate: ep.stream.Rate}
		again.stream.Adopt(ep.stream.SSRC())
		again.offload.by = o
		k := o.state(ep)
		for i := range uint64(3) { // two reads and the final one
			k.Packets, k.Bytes, k.Sent, k.SentBytes, k.Discarded, k.WrongSource, k.WrongSSRC = 10*i, 100*i, 9*i, 90*i, i, 2*i, 3*i
			k.Last = o.epoch + time.Duration(i)*time.Second
			again.takeOver(&k)
		}
		if again.stream != ep.stream {
			t.Errorf("got  %+v\nwant %+v", again.stream, ep.stream)
		}
		c := again.count
		if got := *c.dropped(); got.Discarded.Load() != 2 || got.WrongSource.Load() != 4 || got.WrongSSRC.Load() != 6 {
			t.Errorf("dropped %+v", &got)
		}
		if c.RxPackets.Load() != 20 || c.RxBytes.Load() != 200 || c.TxPackets.Load() != 18 || c.TxBytes.Load() != 180 {
			t.Errorf("received %d of %d bytes, sent %d of %d", c.RxPackets.Load(), c.RxBytes.Load(), c.TxPackets.Load(), c.TxBytes.Load())
		}
		if again.latch().Heard() != 2*time.Second || again.relay.hearing.last != 2*time.Second {
			t.Errorf("last heard at %v, the session at %v", again.latch().Heard(), again.relay.hearing.last)
		}
	})
}
