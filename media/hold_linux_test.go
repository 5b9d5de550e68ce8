package media

import (
	"net/netip"
	"testing"
	"time"

	"flowbridge/media/packet"
)

func TestHeldSideGetsNoRTP(t *testing.T) {
	e := openEngine(t, nil)
	br := newBridge(t, e)
	aRTCP, bRTCP := newClient(t, "127.0.1.1:0"), newClient(t, "127.0.2.1:0")
	toA, toB := Peer{RTP: br.a.addr, RTCP: aRTCP.addr}, Peer{RTP: br.b.addr, RTCP: bRTCP.addr}
	br.SetPeer(SideA, toA)
	br.SetPeer(SideB, toB)
	speech, music, report := rtpPacket(t, 0, 1, "speech"), rtpPacket(t, 0, 9, "music"), rtcpPacket(t, 1)
	br.carries(speech)
	br.b.send(br.Local(SideB), music)
	br.a.expect(br.Local(SideA), music)

	toB.Held = true
	br.SetPeer(SideB, toB)
	br.a.send(br.Local(SideA), speech)
	await(t, "the drop", func() bool { return br.Stats().A.Dropped.Held == 1 })
	br.b.send(br.Local(SideB), music)
	br.a.expect(br.Local(SideA), music)
	aRTCP.send(rtcpOf(br.Local(SideA)), report)
	bRTCP.expect(rtcpOf(br.Local(SideB)), report)
	br.b.expectNothing()
	if got := br.Stats().B.Source; got != br.b.addr {
		t.Errorf("held side's source %v; want %v", got, br.b.addr)
	}

	toB.Held = false
	br.SetPeer(SideB, toB)
	br.carries(speech)
	st := br.Close()
	if st.A.Dropped != (Drops{Held: 1}) || st.A.RxPackets != 3 || st.A.DroppedTotal != 1 {
		t.Errorf("got %+v; want 3 received and one held back", st.A)
	}
	for _, want := range []Event{EventLatched{SideA, br.a.addr}, EventLatched{SideB, br.b.addr}} {
		if ev := br.event(t); ev != want {
			t.Errorf("got %+v; want %+v", ev, want)
		}
	}
	if len(br.events) != 0 {
		t.Errorf("one more event: %+v", <-br.events)
	}
}

// An address of zeros means hold (RFC 2543). The resume names the same address
// as before, or another one.
func TestHoldByAddressIsLearnedAnew(t *testing.T) {
	for name, host := range map[string]string{"same": "", "other": "127.0.2.9:0"} {
		t.Run(name, func(t *testing.T) {
			br := newBridge(t, openEngine(t, nil))
			after := br.b
			if host != "" {
				after = newClient(t, host)
			}
			pkt := rtpPacket(t, 0, 1, "x")
			br.b.send(br.Local(SideB), pkt)
			br.a.expect(br.Local(SideA), pkt)
			br.SetPeer(SideB, Peer{RTP: netip.MustParseAddrPort("0.0.0.0:4000"), Held: true})
			br.a.send(br.Local(SideA), pkt)
			await(t, "the drop", func() bool { return br.Stats().A.Dropped.Held == 1 })
			br.SetPeer(SideB, Peer{RTP: after.addr})
			br.a.send(br.Local(SideA), pkt)
			after.expect(br.Local(SideB), pkt)
			after.send(br.Local(SideB), rtpPacket(t, 0, 2, "y"))
			if got, _ := br.a.read(); string(packet.Payload(got)) != "y" {
				t.Errorf("got % x", got)
			}
			if got := br.Close().B.Source; got != after.addr {
				t.Errorf("source %v; want %v", got, after.addr)
			}
		})
	}
}

func TestHoldPutsSilenceOff(t *testing.T) {
	const timeout = time.Minute
	b := newBench(t, 1)
	r := b.relays[0]
	silent := 0
	r.onEvent = func(e Event) {
		if _, ok := e.(EventSilent); ok {
			silent++
		}
	}
	hold := func(side Side, held bool, at time.Duration) {
		t.Helper()
		p := *r.party[side].named
		p.Held = held
		must(t, r.setPeer(side, p, at))
	}
	check := func(when string, at time.Duration, want int) {
		t.Helper()
		if r.judge(at, silenceLimits{start: timeout, mid: timeout}); silent != want {
			t.Errorf("%s: reported %d times; want %d", when, silent, want)
		}
	}
	must(t, b.w.perform(command{op: opStart, relay: r}))
	hold(SideA, true, time.Second)
	check("one side held", time.Hour, 0)
	hold(SideB, true, time.Hour)
	hold(SideA, false, 2*time.Hour)
	check("the other side held", 3*time.Hour, 0)
	hold(SideB, false, 3*time.Hour)
	check("just before a timeout after the hold", 3*time.Hour+timeout-1, 0)
	hold(SideB, false, 3*time.Hour+timeout-1) // no hold has ended
	check("a timeout after the hold", 3*time.Hour+timeout, 1)
}
