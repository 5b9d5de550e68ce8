package media

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"flowbridge/media/latch"
	"flowbridge/media/packet"
)

// Two sources, either of which may be the side, speak from the first moment on.
func TestRaceOfTwoSources(t *testing.T) {
	const believed, elsewhere = "127.0.3.1:0", "127.0.4.1:0"
	for _, tt := range []struct {
		name  string
		hosts [2]string // empty means the source in the SDP
		wins  int
	}{
		{"the named one is first", [2]string{"", believed}, 0},
		{"the named one is second", [2]string{believed, ""}, 1},
		{"its address with another port is second", [2]string{"", "127.0.1.1:0"}, 0},
		{"its address with another port is first", [2]string{"127.0.1.1:0", ""}, 1},
		{"neither is named", [2]string{believed, elsewhere}, 0},
		{"two ports of one address", [2]string{believed, believed}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			noLeaks(t)
			br := newBridge(t, openEngine(t, nil))
			br.SetPeer(SideA, Peer{RTP: br.a.addr, Believed: prefixes("127.0.3.0/24", "127.0.4.0/24")})
			var from [2]*client
			for i, host := range tt.hosts {
				if from[i] = br.a; host != "" {
					from[i] = newClient(t, host)
				}
			}
			const n = 30
			var payload [2][]byte
			for i := range payload {
				payload[i] = bytes.Repeat([]byte{byte('x' + i)}, 5)
			}
			for seq := range uint16(n) {
				for i, c := range from {
					pkt := sourcePacket(t, uint32(1+i), seq)
					copy(pkt[packet.HeaderLen:], payload[i])
					c.send(br.Local(SideA), pkt)
				}
			}
			await(t, "all packets", func() bool {
				st := br.Stats().A
				return st.RxPackets+st.DroppedTotal == 2*n
			})
			st := br.Stats()
			if st.A.Source != from[tt.wins].addr || st.A.RxPackets < n-2 {
				t.Errorf("%d packets, locked on %v; want %d or more, and %v", st.A.RxPackets, st.A.Source, n-2, from[tt.wins].addr)
			}
			for range st.B.TxPackets {
				got, _ := br.b.read()
				h, _ := packet.ParseRTP(got)
				if loser := bytes.Equal(packet.Payload(got), payload[1-tt.wins]); loser && h.Seq > 10 {
					t.Errorf("number %d of the one who lost is heard", h.Seq)
				}
			}
			pkt := rtpPacket(t, 0, 1, "back")
			br.b.send(br.Local(SideB), pkt)
			from[tt.wins].expect(br.Local(SideA), pkt)
			from[1-tt.wins].expectNothing()
		})
	}
}

// A caller behind NAT answers with 183 and with 200, each with another port. The ports that the
// NAT makes of them are in no SDP. Late packets from the first port lock nothing.
func TestPeerMovesWithItsAnswer(t *testing.T) {
	noLeaks(t)
	br := newBridge(t, openEngine(t, nil))
	early, final := newClient(t, "127.0.3.1:0"), newClient(t, "127.0.3.1:0")
	behind := prefixes("127.0.3.1/32")
	br.SetPeer(SideA, Peer{RTP: netip.MustParseAddrPort("127.0.1.1:30000"), Believed: behind})
	say := func(c *client, ssrc uint32, seq uint16) {
		c.send(br.Local(SideA), sourcePacket(t, ssrc, seq))
	}
	for seq := range uint16(5) {
		say(early, 1, seq)
	}
	for range 3 {
		br.b.read()
	}
	br.SetPeer(SideA, Peer{RTP: netip.MustParseAddrPort("127.0.1.1:30002"), Believed: behind})
	br.Start()
	for seq := range uint16(20) {
		say(early, 1, 5+seq)
		say(final, 2, 900+seq)
	}
	for range 18 {
		br.b.read()
	}
	await(t, "the late ones", func() bool { return br.Stats().A.Dropped.WrongSource == 20 })
	pkt := rtpPacket(t, 0, 1, "back")
	br.b.send(br.Local(SideB), pkt)
	final.expect(br.Local(SideA), pkt)
	early.expectNothing()
	br.b.expectNothing()
	if st := br.Close().A; st.Source != final.addr || st.Dropped != (Drops{WrongSource: 20, Unproven: 4}) {
		t.Errorf("locked on %v, dropped %+v", st.Source, st.Dropped)
	}
}

// A NAT that forgets a mapping gives the side another port. The new port is accepted after the
// next offer or answer, even one that changes nothing, and without one if the configuration
// lists the address.
func TestRebindingInMidCall(t *testing.T) {
	for name, tt := range map[string]struct {
		offer, listed bool
		heard         int
	}{
		"without an offer":     {false, false, 0},
		"with an offer":        {true, false, 100 - latch.ProofReplace + 1},
		"a listed source":      {false, true, 100 - latch.ProofReplace + 1},
		"listed, and an offer": {true, true, 100 - latch.ProofReplace + 1},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t)
			peer := *l.r.party[SideA].named
			if tt.listed {
				peer.Listed = []netip.Prefix{netip.PrefixFrom(relayV4, 32)}
			}
			describe := func() {
				must(t, l.r.setPeer(SideA, peer, l.w.now))
			}
			describe()
			seq := l.talkOn(speaker, 1, int(latch.LearnWindow/(20*ms)))
			l.pass(latch.RelockSilence)
			l.take()
			if tt.offer {
				describe()
			}
			rebound := newClient(t, "127.77.0.1:0")
			for range 100 {
				l.talkFrom(rebound, speaker, seq)
				l.pass(20 * ms)
				seq++
			}
			if got := l.take(); len(got) != tt.heard {
				t.Errorf("%d packets heard; want %d", len(got), tt.heard)
			}
		})
	}
}

// A side is held, and resumes at another port. Packets that it still sends from the old port
// are late, whichever way it was held.
func TestResumeAtAnotherPort(t *testing.T) {
	for name, hold := range map[string]func(Peer) Peer{
		"sendonly": func(p Peer) Peer { p.Held = true; return p },
		"RFC 2543": func(Peer) Peer {
			return Peer{RTP: netip.MustParseAddrPort("0.0.0.0:4000"), Held: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t)
			peer := *l.r.party[SideA].named
			set := func(p Peer) {
				must(t, l.r.setPeer(SideA, p, l.w.now))
			}
			set(peer)
			seq := l.talkOn(speaker, 1, 10)
			set(hold(peer))
			l.pass(time.Minute)
			resumed := newClient(t, "127.77.0.1:0")
			peer.RTP, peer.RTCP = resumed.addr, netip.AddrPort{}
			set(peer)
			l.take()
			seq = l.talkOn(speaker, seq, 10)
			if got := l.take(); len(got) != 0 {
				t.Errorf("%d packets heard of the old port; want none", len(got))
			}
			if d := l.r.party[SideA].dest(RTP); d != resumed.addr {
				t.Errorf("media goes to %v; want %v", d, resumed.addr)
			}
			for i := range uint16(10) {
				l.talkFrom(resumed, 0x12, 100+i)
				l.talk(speaker, seq+i)
				l.pass(20 * ms)
			}
			got := l.take()
			if len(got) != 10 {
				t.Errorf("%d packets heard; want 10 of the new port", len(got))
			}
			checkOrder(t, got)
		})
	}
}

// Behind NAT, the address in the SDP is not the locked source. If the same address is named
// again after a hold, it is the same side, which is heard at once.
func TestResumeBehindNAT(t *testing.T) {
	l := newLine(t)
	set := func(named string, held bool) {
		p := Peer{RTP: addr(named), Believed: []netip.Prefix{netip.PrefixFrom(relayV4, 32)}, Held: held}
		must(t, l.r.setPeer(SideA, p, l.w.now))
	}
	set("192.168.1.2:4000", false)
	seq := l.talkOn(speaker, 1, 10)
	set("0.0.0.0:4000", true)
	l.pass(time.Minute)
	l.take()
	set("192.168.1.2:4000", false)
	l.talkOn(speaker, seq, 10)
	if got := l.take(); len(got) != 10 {
		t.Errorf("%d packets heard; want all 10", len(got))
	}
}

// Strict: only the address and port in the SDP are accepted, also for RTCP.
func TestStrictSource(t *testing.T) {
	noLeaks(t)
	c := newAttacked(t, openEngine(t, nil))
	strict := Peer{RTP: c.a.addr, RTCP: c.aRTCP.addr, Latch: latch.Strict, Believed: prefixes("127.0.3.0/24"), Listed: prefixes("127.0.4.0/24")}
	c.SetPeer(SideA, strict)
	others := []*client{newClient(t, "127.0.1.1:0"), newClient(t, "127.0.3.1:0"), newClient(t, "127.0.4.1:0"), newClient(t, "127.0.9.1:0")}
	strays := uint64(0)
	try := func() {
		for i := range uint16(10) {
			for _, o := range others {
				o.send(c.Local(SideA), sourcePacket(t, ssrcA, c.seq+1+i))
				o.send(rtcpOf(c.Local(SideA)), rtcpPacket(t, ssrcA))
				strays += 2
			}
		}
	}
	try()
	c.undisturbed(strays)
	for range 5 {
		c.speak()
		c.report()
		try()
	}
	c.SetPeer(SideA, strict) // another offer, which changes nothing
	c.Start()
	try()
	c.speak()
	c.report()
	c.undisturbed(strays)
	for _, o := range others {
		o.expectNothing()
	}
}

// Off: packets of one stream are accepted from every believed address and any port, also in
// turn. Media goes to the address in the SDP. Other addresses are still refused.
func TestAnySource(t *testing.T) {
	noLeaks(t)
	c := newAttacked(t, openEngine(t, nil))
	c.SetPeer(SideA, Peer{
		RTP: c.a.addr, RTCP: c.aRTCP.addr, Latch: latch.Off, Believed: prefixes("127.0.3.0/24"), Listed: prefixes("127.0.4.0/24"),
	})
	sources := []*client{c.a, newClient(t, "127.0.1.1:0"), newClient(t, "127.0.3.1:0"), newClient(t, "127.0.4.1:0")}
	stranger := newClient(t, "127.0.9.1:0")
	const rounds = 10
	var before packet.Header
	for round := range uint16(rounds) {
		for i, from := range sources {
			stranger.send(c.Local(SideA), sourcePacket(t, ssrcA, round))
			stranger.send(rtcpOf(c.Local(SideA)), rtcpPacket(t, ssrcA))
			from.send(c.Local(SideA), sourcePacket(t, ssrcA, uint16(len(sources))*round+uint16(i)))
			got, _ := c.b.read()
			h, _ := packet.ParseRTP(got)
			if first := round == 0 && i == 0; !first && (h.SSRC != before.SSRC || h.Seq != before.Seq+1) {
				t.Errorf("got %+v after %+v; want one stream", h, before)
			}
			before = h
			back := sourcePacket(t, ssrcB, uint16(len(sources))*round+uint16(i))
			c.b.send(c.Local(SideB), back)
			c.a.expect(c.Local(SideA), back)
			report := rtcpPacket(t, ssrcA)
			from.send(rtcpOf(c.Local(SideA)), report)
			c.bRTCP.read()
		}
	}
	sources[1].send(c.Local(SideA), sourcePacket(t, 0xbad, 7)) // two streams at once would be unintelligible
	await(t, "the other stream is refused", func() bool { return c.Stats().A.Dropped.WrongSSRC == 1 })
	if d := c.Stats().A.Dropped.WrongSource; d != 2*rounds*uint64(len(sources)) {
		t.Errorf("%d strays", d)
	}
	for _, s := range append(sources[1:], stranger) {
		s.expectNothing()
	}
	if st := c.Close().A; st.Source.IsValid() {
		t.Errorf("locked on %v", st.Source)
	}
}
