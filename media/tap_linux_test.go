package media

import (
	"bytes"
	"sync"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/packet"
	"flowbridge/media/stage"
)

// witness is a tap that keeps what it sees.
type witness struct {
	mu  sync.Mutex
	all []Tapped
}

func (n *witness) Packet(p Tapped) {
	p.Data = bytes.Clone(p.Data)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, p)
}

func (n *witness) taken() []Tapped {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]Tapped(nil), n.all...)
}

// TestTapSeesPacketsAsTheyCame: the tap sees RTP and RTCP of both sides, before
// rewriting, in order, with both addresses. It does not see refused packets. No
// packet is missing on either side if the tap is attached and removed in
// mid-call.
func TestTapSeesPacketsAsTheyCame(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	br.SetPayloads(SideA, []PayloadChange{{From: 0, To: 8}})
	tap := &witness{}
	begin := time.Now()
	type step struct {
		side Side
		kind Kind
	}
	var want []Tapped
	send := func(s step, seq uint16, tapped bool) {
		t.Helper()
		c, other := br.a, br.b
		if s.side == SideB {
			c, other = br.b, br.a
		}
		pkt, to := sourcePacket(t, 0xcafe, seq), br.Local(s.side)
		if s.kind == RTCP {
			pkt = rtcpPacket(t, 0xcafe)
			to = rtcpOf(to)
		}
		c.send(to, pkt)
		if s.kind == RTP {
			got, _ := other.read()
			h, _ := packet.ParseRTP(got)
			if want := map[Side]uint8{SideA: 8}[s.side]; h.Seq != seq || h.PayloadType != want {
				t.Fatalf("relayed as number %d of type %d; want %d of %d", h.Seq, h.PayloadType, seq, want)
			}
		}
		if tapped {
			want = append(want, Tapped{Side: s.side, Kind: s.kind, Source: c.addr, Local: to, Data: pkt})
			await(t, "the tap is shown it", func() bool { return len(tap.taken()) == len(want) })
		}
	}
	send(step{SideA, RTP}, 1, false)
	send(step{SideB, RTP}, 1, false)
	br.SetTap(tap)
	for seq := uint16(2); seq < 20; seq++ {
		send(step{SideA, RTP}, seq, true)
		send(step{SideB, RTP}, seq, true)
	}
	send(step{SideB, RTCP}, 0, true)
	newClient(t, "127.0.3.1:0").send(br.Local(SideA), sourcePacket(t, 1, 1)) // from a stranger
	br.a.send(br.Local(SideA), []byte("no RTP"))
	send(step{SideA, RTP}, 20, true)
	br.SetTap(nil)
	send(step{SideA, RTP}, 21, false)
	br.SetTap(tap)
	send(step{SideA, RTP}, 22, true)
	br.Close()
	got := tap.taken()
	if len(got) != len(want) {
		t.Fatalf("the tap was shown %d packets; want %d", len(got), len(want))
	}
	last := begin
	for i, p := range got {
		if p.At.Before(last) || p.At.After(time.Now()) {
			t.Errorf("packet %d is of %v, after one of %v", i, p.At, last)
		}
		last = p.At
		if w := want[i]; p.Side != w.Side || p.Kind != w.Kind || p.Source != w.Source || p.Local != w.Local || !bytes.Equal(p.Data, w.Data) {
			t.Errorf("packet %d: got %+v; want %+v", i, p, w)
		}
	}
}

// TestTapOfMuxedReports: RTCP that arrives at the RTP port is shown as RTCP.
func TestTapOfMuxedReports(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	br.SetPeer(SideA, Peer{RTP: br.a.addr, Mux: true})
	tap := &witness{}
	br.SetTap(tap)
	br.a.send(br.Local(SideA), sourcePacket(t, 0xa, 1))
	br.b.read()
	report := rtcpPacket(t, 0xa)
	br.a.send(br.Local(SideA), report)
	await(t, "the tap is shown both", func() bool { return len(tap.taken()) == 2 })
	if p := tap.taken()[1]; p.Kind != RTCP || p.Side != SideA || p.Local != br.Local(SideA) || p.Source != br.a.addr || !bytes.Equal(p.Data, report) {
		t.Errorf("got %+v", p)
	}
}

func TestTapOfAClosedSession(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	br.Close()
	br.SetTap(&witness{})
	br.SetMask(SideA, Mask{On: true})
}

// counter is a tap that only counts.
type counter struct{ packets, bytes int }

func (c *counter) Packet(p Tapped) { c.packets++; c.bytes += len(p.Data) }

func TestTapAllocatesNothing(t *testing.T) {
	b := newBench(t, 8)
	b.offer(b.from)
	b.carry() // locking a source allocates
	b.collect()
	tap := &counter{}
	for _, r := range b.relays {
		must(t, b.w.perform(command{op: opOrder, relay: r, order: stage.Tapping{Tap: tap, Epoch: b.w.epoch, Local: r.local}}))
		mask := Mask{On: true, Always: true}
		mask.ULaw.Add(0)
		b.gives(r, SideA, mask)
	}
	rounds := 0
	if n := allocations(100, func() { rounds++; b.offer(b.from); b.carry(); b.collect() }); n != 0 {
		t.Errorf("%v allocations for 8 packets; want 0", n)
	}
	if tap.packets != 8*rounds {
		t.Errorf("the tap was shown %d packets in %d rounds of 8; want %d", tap.packets, rounds, 8*rounds)
	}
}

// BenchmarkRelayTapped is BenchmarkRelay with a tap on each session. The tap does
// nothing.
func BenchmarkRelayTapped(b *testing.B) {
	r := newBench(b, 32)
	for _, relay := range r.relays {
		r.gives(relay, SideA, stage.Tapping{Tap: &counter{}})
	}
	r.measure(b)
}

// TestMaskedKeysStayHere: with real sockets, a masked key is not relayed, speech
// during it becomes silence, and the tap sees neither.
func TestMaskedKeysStayHere(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	br.SetTelephoneEvents(SideA, TelephoneEvents{On: true, PayloadType: 101})
	tap := &witness{}
	br.SetTap(tap)
	mask := Mask{On: true, Always: true} // so that the result does not depend on timing
	mask.Events.Add(101)
	mask.ULaw.Add(0)
	br.a.send(br.Local(SideA), sourcePacket(t, 0xa, 1))
	br.b.expect(br.Local(SideB), sourcePacket(t, 0xa, 1))
	br.SetMask(SideA, mask)
	if ev, ok := br.event(t).(EventLatched); !ok {
		t.Fatalf("got %v; want the lock", ev)
	}
	br.a.send(br.Local(SideA), keyPacket(t, 2, 7, 0, true))
	br.a.send(br.Local(SideA), sourcePacket(t, 0xa, 3))
	muted, _ := br.b.read()
	if h, _ := packet.ParseRTP(muted); h.Seq != 3 || !bytes.Equal(packet.Payload(muted), bytes.Repeat([]byte{audio.ULaw.Silence()}, 5)) {
		t.Errorf("speech beside a key: got % x", muted)
	}
	br.b.send(br.Local(SideB), sourcePacket(t, 0xb, 1))
	br.a.expect(br.Local(SideA), sourcePacket(t, 0xb, 1)) // the other side is not masked
	br.event(t)                                           // wait for the other side's lock
	for _, p := range tap.taken() {
		h, _ := packet.ParseRTP(p.Data)
		switch payload := packet.Payload(p.Data); {
		case h.PayloadType == 101 && payload[0] != maskCode:
			t.Errorf("the tap was shown key %d", payload[0])
		case p.Side == SideA && h.Seq == 3 && !bytes.Equal(p.Data, muted):
			t.Errorf("the tap was shown % x", p.Data)
		}
	}
	stats := br.Close()
	if stats.A.Dropped.Masked != 1 || stats.A.DroppedTotal != 1 {
		t.Errorf("dropped: %+v; want 1 masked", stats.A.Dropped)
	}
	select {
	case ev := <-br.events:
		t.Errorf("got %+v; want no digit", ev)
	default:
	}
}

// keyPacket returns a packet of a telephone-event that began at timestamp 1000.
func keyPacket(tb testing.TB, seq uint16, code byte, flags byte, first bool) []byte {
	tb.Helper()
	pkt := rtpPacket(tb, 101, seq, string([]byte{code, flags | 10, 0, 160}))
	if first {
		pkt[1] |= 0x80
	}
	copy(pkt[4:], []byte{0, 0, 3, 0xe8, 0, 0, 0, 0xa})
	return pkt
}
