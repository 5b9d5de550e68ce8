package media

import "net/netip"

// affordable is how many bytes a side that is not confirmed is sent: a second of G.711 in packets of 20 ms. Early
// media begins at once with it, and most peers are confirmed within that second.
const affordable = 50 * (rtpHeaderLen + 160)

// bounds reports whether only a second's worth may go to an address of the party.
func (p *party) bounds(dest netip.AddrPort) bool {
	return p.named.Unconfirmed && !p.confirmed && dest.IsValid() &&
		!contains(p.named.Believed, dest.Addr()) && !contains(p.named.Listed, dest.Addr())
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

// affords reports whether a packet of n bytes may still go to ep's destination, which is not confirmed.
func (ep *endpoint) affords(n int) bool {
	side := ep.side.Other()
	p := &ep.relay.party[side]
	if p.spent += n; p.spent <= affordable {
		return true
	}
	if !ep.speaks() { // it is relayed
		ep.count.Unconfirmed.Add(1)
	}
	if !p.withheld {
		p.withheld = true
		ep.relay.post(EventWithheld{Side: side})
	}
	return false
}
