package media

import (
	"net/netip"
	"time"
)

// Tap is given the packets that a session accepts, for a recording.
type Tap interface {
	// Packet is called for each packet of RTP and RTCP that was accepted from a
	// side, in order of arrival, before anything is rewritten. Keys of a side with
	// Session.SetMask are masked in it. It is called from an engine goroutine
	// that carries other calls' media too: it must not block, and must copy what
	// it keeps of Data. It must not call the session.
	Packet(p Tapped)
}

// Tapped is one packet as a tap gets it.
type Tapped struct {
	At     time.Time      // when the engine woke up for it, within a millisecond or so of its arrival
	Side   Side           // that it came from
	Kind   Kind           // RTP or RTCP
	Source netip.AddrPort // that it came from
	Local  netip.AddrPort // that it came to; the address is unspecified where the engine listens on that
	Data   []byte         // RTP or RTCP, well formed; valid during the call alone
}

// SetTap has t given the packets of both sides from now on, instead of the tap
// before; nil: nobody. When it returns, the tap before is not called any more.
// Packets are relayed as without a tap.
func (s *Session) SetTap(t Tap) { _ = s.worker.do(command{op: opTap, relay: s.relay, tap: t}) }

// show gives a packet that came to ep from src to the session's tap.
func (w *worker) show(ep *endpoint, kind Kind, t Tap, src netip.AddrPort, pkt []byte) {
	t.Packet(Tapped{
		At: w.epoch.Add(w.now), Side: ep.side, Kind: kind, Source: src,
		Local: ep.relay.address(ep.side, ep.kind), Data: pkt,
	})
}

// reveal masks what an RTP packet says of a key, gives the tap what is left, and
// says whether to relay it.
func (w *worker) reveal(ep *endpoint, src netip.AddrPort, h rtpHeader, pkt []byte) (relay bool) {
	show, relay := true, true
	if ep.masker != nil {
		show, relay = ep.masker.hide(h, pkt, w.now)
	}
	if tap := ep.relay.tap; tap != nil && show {
		w.show(ep, RTP, tap, src, pkt)
	}
	return relay
}
