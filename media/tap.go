package media

import (
	"net/netip"
	"time"

	"flowbridge/media/packet"
)

// Tap is given the packets that a session accepts, for a recording.
type Tap interface {
	// Packet is called for each accepted packet of RTP and RTCP, in order of arrival, before it is rewritten. Keys of
	// a side with Session.SetMask are masked in it. The caller is an engine goroutine that also carries other calls'
	// media: Packet must not block, must copy what it keeps of Data, and must not call the session.
	Packet(p Tapped)
}

// Tapped is one packet for a tap.
type Tapped struct {
	At     time.Time      // when the engine woke up for it, within a millisecond or so of its arrival
	Side   Side           // that it came from
	Kind   Kind           // RTP or RTCP, which may have come to the RTP port (RFC 5761)
	Source netip.AddrPort // that it came from
	Local  netip.AddrPort // that it came to; the address is unspecified where the engine listens on that
	Data   []byte         // RTP or RTCP, well formed; valid during the call alone
}

// SetTap gives t the packets of both sides from now on and replaces the tap before; nil means none. When it returns,
// the former tap is not called any more. Packets are relayed as without a tap.
func (s *Session) SetTap(t Tap) {
	s.wake()
	_ = s.worker.do(command{op: opTap, relay: &s.relay, tap: t})
}

// show gives a packet that came to ep from src to the session's tap.
func (w *worker) show(ep *endpoint, kind Kind, src netip.AddrPort, pkt []byte) {
	if t := ep.relay.tap; t != nil {
		t.Packet(Tapped{
			At: w.epoch.Add(w.now), Side: ep.side, Kind: kind, Source: src,
			Local: ep.relay.address(ep.side, ep.kind), Data: pkt,
		})
	}
}

// reveal masks keys in an RTP packet, gives the tap what is left, and reports whether to relay it.
func (w *worker) reveal(ep *endpoint, src netip.AddrPort, h packet.Header, pkt []byte) (relay bool) {
	show, relay := true, true
	if ep.masker != nil {
		show, relay = ep.masker.hide(h, pkt, w.now)
	}
	if show {
		w.show(ep, RTP, src, pkt)
	}
	return relay
}
