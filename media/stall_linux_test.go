package media

import (
	"net/netip"
	"testing"
)

// TestStallIsNoSilence: the machine stalls, and packets wait. A source does not count as silent because its
// packets wait behind a stranger's, and late packets of a former source still count as late.
func TestStallIsNoSilence(t *testing.T) {
	const strays = 6 // more than prove a source
	for name, moves := range map[string]bool{"in mid-call": false, "in a transfer": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 1)
			r := b.relays[0]
			l, peer := &r.party[SideA].rtp, *r.party[SideA].named
			peer.Listed = prefixes("127.77.0.1/32") // an address that the latch may always learn
			must(t, r.setPeer(SideA, peer, b.w.now))
			speak := func(from int32, ssrc uint32, packets uint16) {
				for seq := range packets {
					b.packet = sourcePacket(t, ssrc, seq)
					b.offer(from)
				}
			}
			carry := func(packets uint64) {
				for end := b.handledAll() + packets; b.handledAll() < end; {
					b.w.turn()
				}
			}
			speak(b.from, 1, 1)
			carry(1)
			locked, stray := l.Source(), b.to
			if moves { // the side moves to another port of its address
				locked, stray = netip.AddrPort{}, b.from
				peer.RTP = netip.AddrPortFrom(relayV4, 9) // no socket gets this port
				must(t, r.setPeer(SideA, peer, b.w.now))
			}
			b.w.epoch = b.w.epoch.Add(-3 * sec)
			speak(stray, 2, strays)
			carry(strays)
			if l.Source() != locked {
				t.Errorf("after a stall the source is %v; want %v", l.Source(), locked)
			}
			for range 40 { // ten seconds without a stall
				b.w.epoch = b.w.epoch.Add(-stall / 2)
				speak(stray, 2, 1)
				carry(1)
			}
			speak(stray, 2, strays)
			carry(strays)
			if l.Source() == locked {
				t.Errorf("after a silence the source is still %v", locked)
			}
		})
	}
}

// handledAll is handled, plus the packets that have not proved their source yet.
func (b *bench) handledAll() uint64 {
	return b.handled() + b.relays[0].ledger.flow[SideA][RTP].dropped().Unproven.Load()
}
