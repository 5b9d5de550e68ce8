package media

import (
	"net/netip"

	"flowbridge/media/packet"
)

// unconfirmedBound is how many bytes may be sent to an unconfirmed side: one second of G.711 in packets of 20 ms.
// Early media can start at once, and most peers are confirmed within that second.
const unconfirmedBound = 50 * (packet.HeaderLen + 160)

// isUnconfirmed reports whether the bound applies to packets sent to dest.
func (p *party) isUnconfirmed(dest netip.AddrPort) bool {
	return p.named.Unconfirmed && !p.confirmed && dest.IsValid() && !p.named.trusts(dest.Addr())
}

func (r *relay) confirm(side Side) error {
	r.party[side].confirmed = true
	return r.route()
}

// confirmedBy confirms a side if src, the source of an accepted packet, is the address in the side's SDP.
func (r *relay) confirmedBy(side Side, src netip.AddrPort) {
	if p := &r.party[side]; p.named.Unconfirmed && !p.confirmed && src.Addr() == p.named.RTP.Addr() {
		_ = r.confirm(side)
	}
}

// withholds counts n more bytes toward ep's unconfirmed destination, and reports whether they exceed the bound, so that
// the packet must not be sent. The first time, it also posts an event.
func (ep *endpoint) withholds(n int) bool {
	side := ep.side.Other()
	p := &ep.relay.party[side]
	// n is the length of one packet.
	p.unconfirmed = min(p.unconfirmed+int32(n), unconfirmedBound+1)
	if p.unconfirmed <= unconfirmedBound {
		return false
	}
	if !ep.relay.stages.Inserts(ep.side) { // it is a relayed packet; packets of our own are not counted as dropped
		ep.count.dropped().Unconfirmed.Add(1)
	}
	if !p.withheld {
		p.withheld = true
		ep.relay.post(EventWithheld{Side: side})
	}
	return true
}
