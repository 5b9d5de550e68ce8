package media

import "net/netip"

// control reads RTCP of a side, a valid compound, and makes it fit the RTP that
// is relayed.
func (w *worker) control(ep *endpoint, pkt []byte) {
	r := ep.relay
	r.readReports(ep.side, pkt, w.now)
	if r.endpoint[SideA][RTP].rewrites || r.endpoint[SideB][RTP].rewrites || r.secure[SideA].out != nil || r.secure[SideB].out != nil {
		translate(pkt, r.alias(ep.side), r.alias(ep.side.Other()))
	}
}

// relayMuxed relays RTCP that came to the RTP port of a side, from the source of
// its RTP. It locks nothing: that is for RTP to do.
func (w *worker) relayMuxed(rtp *endpoint, src netip.AddrPort, pkt []byte) {
	ep, l := &rtp.relay.endpoint[rtp.side][RTCP], rtp.latch
	if src != l.source && src != l.named && l.mode != LatchOff {
		ep.count.WrongSource.Add(1)
		return
	}
	if ep.relay.secure[ep.side].in != nil {
		if pkt = w.unprotect(ep, pkt); pkt == nil {
			return
		}
	}
	if !validRTCP(pkt) {
		ep.count.Malformed.Add(1)
		return
	}
	ep.count.RxPackets.Add(1)
	ep.count.RxBytes.Add(uint64(len(pkt)))
	if tap := ep.relay.tap; tap != nil {
		w.show(rtp, RTCP, tap, src, pkt)
	}
	w.control(ep, pkt)
	w.forward(ep, pkt)
}

// outlet is the endpoint whose socket a flow leaves from.
func (r *relay) outlet(f Flow) *endpoint {
	to := f.ID.From.Other()
	if f.Out == r.address(to, RTP) {
		return &r.endpoint[to][RTP]
	}
	return &r.endpoint[to][RTCP]
}

// port is the kind whose port packets for the party leave from and go to.
func (p *party) port(k Kind) Kind {
	if p.named.Mux {
		return RTP
	}
	return k
}
