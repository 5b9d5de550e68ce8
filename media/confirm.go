package media

import (
	"net/netip"

	"flowbridge/media/packet"
)

// unconfirmedBound is how many bytes an unconfirmed side is sent: a second of G.711 in packets of 20 ms. Early media
// begins at once with it, and many peers are confirmed within that second.
const unconfirmedBound = 50 * (packet.HeaderLen + 160)

// isUnconfirmed reports whether the bound holds for an address of the party.
func (p *party) isUnconfirmed(dest netip.AddrPort) bool {
	return p.named.Unconfirmed && !p.confirmed && dest.IsValid() && !p.named.trusts(dest.Addr())
}

func (r *relay) confirm(side Side) error {
	r.party[side].confirmed = true
	return r.route()
}

// confirmedBy takes a packet that was accepted from a side: one from the address that the side names confirms it.
func (r *relay) confirmedBy(side Side, src netip.AddrPort) {
	if p := &r.party[side]; p.named.Unconfirmed && !p.confirmed && src.Addr() == p.named.RTP.Addr() {
		_ = r.confirm(side)
	}
}

// withholds reports whether a packet of n bytes is beyond the bound for ep's destination, which is unconfirmed.
func (ep *endpoint) withholds(n int) bool {
	side := ep.side.Other()
	p := &ep.relay.party[side]
	// n: of a packet
	p.unconfirmed = min(p.unconfirmed+int32(n), unconfirmedBound+1)
	if p.unconfirmed <= unconfirmedBound {
		return false
	}
	if !ep.relay.stages.Speaks(ep.side) { // it is relayed
		ep.count.dropped().Unconfirmed.Add(1)
	}
	if !p.withheld {
		p.withheld = true
		ep.relay.post(EventWithheld{Side: side})
	}
	return true
}
