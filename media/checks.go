package media

import (
	"net/netip"

	"flowbridge/media/ice"
	"flowbridge/media/latch"
)

// The connectivity checks of a side with ICE. A checked address is for the latch what the address in the SDP is for
// other sides. Nothing else is believed.

// proved returns a side's new description with the address that is proved by checks, and prepares the side's agent.
func (p *party) proved(peer *Peer) *Peer {
	if peer.ICE == nil {
		p.ice = nil
		return peer
	}
	at := netip.AddrPort{}
	if p.ice == nil {
		p.ice = ice.New(peer.ICE)
	} else {
		p.ice.Set(peer.ICE)
		at = p.dest(RTP)
	}
	return peer.provedAt(at)
}

// provedAt returns the description of a side with ICE whose address is known by checks. at is invalid before that.
func (p *Peer) provedAt(at netip.AddrPort) *Peer {
	is := *p
	is.RTP, is.RTCP, is.Mux, is.Latch, is.Believed, is.Listed = at, at, true, latch.Strict, nil, nil
	return &is
}

// takesCheck handles STUN from a side with ICE. It returns false for anything else.
func (w *worker) takesCheck(ep *endpoint, src netip.AddrPort, pkt []byte) bool {
	r, p := ep.relay, &ep.relay.party[ep.side]
	if p.ice == nil || !ice.IsMessage(pkt) {
		return false
	}
	if r.own(src) {
		ep.count.dropped().BadCheck.Add(1)
		return true
	}
	answer, v := p.ice.Take(src, p.dest(RTP), r.secure[ep.side].in.keyed(), pkt, w.sealed[:0], w.now)
	if answer != nil {
		var to sockaddr
		to.set(src)
		_ = w.transmit(ep, answer, &to)
	}
	switch v {
	case ice.Refused:
		ep.count.dropped().BadCheck.Add(1)
	case ice.Nominated:
		_ = r.confirm(ep.side)
		w.moveTo(ep, src)
	case ice.Checked:
		_ = r.confirm(ep.side)
	case ice.Unproved:
	}
	return true
}

// follow moves a side to the source of an authentic packet if the side has nominated it.
func (w *worker) follow(ep *endpoint, src netip.AddrPort) {
	if p := &ep.relay.party[ep.side]; p.ice != nil && p.ice.Wishes(src) {
		p.ice.Moved()
		w.moveTo(ep, src)
	}
}

func (w *worker) moveTo(ep *endpoint, src netip.AddrPort) {
	r := ep.relay
	if p := &r.party[ep.side]; p.dest(RTP) != src {
		_ = r.apply(ep.side, p.named.provedAt(src), w.now)
		r.outdated()
	}
}

// wishes reports whether a side with ICE has nominated an address where it is not yet.
func (p *party) wishes(src netip.AddrPort) bool { return p.ice != nil && p.ice.Wishes(src) }
