package media

import (
	"testing"
	"time"

	"flowbridge/media/latch"
)

// hears makes side B send this many packets of 20 ms of G.711, and returns how many of them side A
// gets.
func (br *bridge) hears(t *testing.T, packets int) int {
	t.Helper()
	before := br.Stats()
	br.sent += uint16(packets)
	for i := range packets {
		br.b.send(br.Local(SideB), rtpPacket(t, 0, br.sent-uint16(packets)+uint16(i), string(make([]byte, 160))))
	}
	var sum uint64
	await(t, "the packets", func() bool {
		st := br.Stats()
		sum = st.A.TxPackets - before.A.TxPackets
		return sum+st.B.Dropped.Unconfirmed-before.B.Dropped.Unconfirmed == uint64(packets)
	})
	for range sum {
		br.a.read()
	}
	br.a.expectNothing()
	return int(sum)
}

// A side that may not exist gets one second of media until it is confirmed. The bound does not apply
// if the media goes to the address of its signalling, or to a listed network.
func TestUnconfirmedSideGetsOneSecond(t *testing.T) {
	for name, tt := range map[string]struct {
		peer    Peer
		confirm func(br *bridge)
		first   int // packets that arrive out of the first 75
		then    int // packets that arrive out of 75 more
	}{
		"nothing comes": {first: 50},
		"named again": {
			confirm: func(br *bridge) { br.SetPeer(SideA, Peer{RTP: br.a.addr, Unconfirmed: true}) },
			first:   50,
		},
		"confirmed": {
			confirm: func(br *bridge) { br.Confirm(SideA) },
			first:   50, then: 75,
		},
		"confirmed, then named again": {
			confirm: func(br *bridge) { br.Confirm(SideA); br.SetPeer(SideA, Peer{RTP: br.a.addr, Unconfirmed: true}) },
			first:   50, then: 75,
		},
		"its RTP": {
			confirm: func(br *bridge) { br.speak(t, br.a) },
			first:   50, then: 75,
		},
		"its RTP, nothing learned": {
			peer:    Peer{Latch: latch.Off},
			confirm: func(br *bridge) { br.speak(t, br.a) },
			first:   50, then: 75,
		},
		"its RTCP": {
			confirm: func(br *bridge) {
				c := newClient(t, "127.0.1.1:0")
				br.SetPeer(SideA, Peer{RTP: br.a.addr, RTCP: c.addr, Unconfirmed: true})
				c.send(rtcpOf(br.Local(SideA)), rtcpPacket(t, 1))
				await(t, "the report", func() bool { return br.Stats().A.RxRTCP == 1 })
			},
			first: 50, then: 75,
		},
		"RTP of a stranger": {
			confirm: func(br *bridge) {
				newClient(t, "127.0.9.1:0").send(br.Local(SideA), sourcePacket(t, 1, 1))
				await(t, "the stranger's", func() bool { return br.Stats().A.Dropped.WrongSource == 1 })
			},
			first: 50,
		},
		"RTP of its signalling, nothing learned": { // its signalling has another address than its media
			peer:    Peer{Latch: latch.Off, Believed: prefixes("127.0.9.0/24")},
			confirm: func(br *bridge) { br.speak(t, newClient(t, "127.0.9.1:0")) },
			first:   50,
		},
		"where it signals": {peer: Peer{Believed: prefixes("127.0.1.1/32")}, first: 75, then: 75},
		"a listed network": {peer: Peer{Listed: prefixes("127.0.1.0/24")}, first: 75, then: 75},
	} {
		t.Run(name, func(t *testing.T) {
			br := newBridge(t, openEngine(t, nil))
			tt.peer.RTP, tt.peer.Unconfirmed = br.a.addr, true
			br.SetPeer(SideA, tt.peer)
			if got := br.hears(t, 75); got != tt.first {
				t.Errorf("%d packets; want %d", got, tt.first)
			}
			if tt.confirm != nil {
				tt.confirm(br)
			}
			if got := br.hears(t, 75); got != tt.then {
				t.Errorf("then %d packets; want %d", got, tt.then)
			}
		})
	}
}

// speak makes a socket send an RTP packet to side A. The packet is relayed.
func (br *bridge) speak(t *testing.T, from *client) {
	t.Helper()
	from.send(br.Local(SideA), sourcePacket(t, 1, 1))
	br.b.read()
}

// A learned source gets media as always.
func TestUnconfirmedSideBehindNAT(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	nat := newClient(t, "127.0.9.1:0")
	br.SetPeer(SideA, Peer{RTP: br.a.addr, Believed: prefixes("127.0.9.1/32"), Unconfirmed: true})
	for seq := range uint16(latch.ProofFirst) {
		nat.send(br.Local(SideA), sourcePacket(t, 1, seq))
	}
	br.b.read()
	br.a = nat
	if got := br.hears(t, 75); got != 75 {
		t.Errorf("%d packets; want 75", got)
	}
}

// RTCP counts, too. EventWithheld is posted once.
func TestUnconfirmedSideIsTold(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	br.SetPeer(SideA, Peer{RTP: br.a.addr, Unconfirmed: true})
	br.hears(t, 60)
	br.hears(t, 60)
	if got := br.event(t); got != (EventLatched{Side: SideB, Source: br.b.addr}) {
		t.Errorf("first event %+v", got)
	}
	if got := br.event(t); got != (EventWithheld{Side: SideA}) {
		t.Errorf("second event %+v", got)
	}
	reporter := newClient(t, "127.0.2.1:0")
	br.SetPeer(SideB, Peer{RTP: br.b.addr, RTCP: reporter.addr})
	reporter.send(rtcpOf(br.Local(SideB)), rtcpPacket(t, 1))
	await(t, "the report", func() bool { return br.Stats().B.Dropped.Unconfirmed == 71 })
	if n := len(br.events); n != 0 {
		t.Errorf("%d more events", n)
	}
	if st := br.Close(); st.A.TxRTCP != 0 || st.A.TxBytes != unconfirmedBound {
		t.Errorf("%d bytes and %d reports were sent; want %d and none", st.A.TxBytes, st.A.TxRTCP, unconfirmedBound)
	}
}

// The bound also holds for our own sounds. A withheld sound continues, and its packets do not count
// as dropped packets of the other side.
func TestUnconfirmedSideHearsOneSecondOfSound(t *testing.T) {
	l := newLine(t)
	p := *l.r.party[SideB].named
	p.Unconfirmed = true
	must(t, l.r.setPeer(SideB, p, l.w.now))
	l.play(Play{Sound: counted(t, 500), Loop: true})
	if n := len(l.runs(3 * time.Second)); n != 50 {
		t.Errorf("%d packets; want 50", n)
	}
	if n := l.ep.count.dropped().Unconfirmed.Load(); n != 0 {
		t.Errorf("%d packets count as dropped", n)
	}
	must(t, l.r.confirm(SideB))
	if n := len(l.runs(time.Second)); n != 50 {
		t.Errorf("%d packets in the second after it was confirmed; want 50", n)
	}
}

func TestBoundAllocatesNothing(t *testing.T) {
	b := newBench(t, 8)
	for _, r := range b.relays {
		p := *r.party[SideB].named
		p.Unconfirmed = true
		must(t, r.setPeer(SideB, p, b.w.now))
	}
	b.offer(b.from)
	b.carry() // locking a source allocates
	for _, r := range b.relays {
		r.party[SideB].unconfirmed = unconfirmedBound
	}
	b.offer(b.from)
	b.carry() // posting the event allocates
	if n := allocations(100, func() { b.offer(b.from); b.carry() }); n != 0 {
		t.Errorf("%v allocations for 8 packets; want 0", n)
	}
	if n := b.relays[0].ledger.flow[SideA][RTP].dropped().Unconfirmed.Load(); n == 0 {
		t.Error("nothing was withheld")
	}
}
