package media

import (
	"net/netip"
	"slices"
	"time"

	"flowbridge/media/ice"
	"flowbridge/media/latch"
)

// The connectivity checks of a side with ICE. A checked address is for the latch what the address in the SDP is for
// other sides. No other address is believed.

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

// saveChecks and resumeChecks hand the agent on to the next process. The address in use is in the latch's state.
func (p *party) saveChecks(s *SideState) {
	if p.ice != nil {
		s.ICE = p.ice.State()
	}
}

func (p *party) resumeChecks(s *SideState, is Peer, now time.Duration) Peer {
	if is.ICE == nil {
		return is
	}
	p.ice = ice.Resume(is.ICE, s.ICE, now)
	return *is.provedAt(sendable(s.Latch.Named))
}

// checkable returns the setup of a side's checks with the candidates that we may send checks to: of our address family,
// and none on this machine, unless the side's signalling comes from there.
func (e *Engine) checkable(p *Peer, local netip.Addr) *ice.Setup {
	s := *p.ICE
	s.Candidates = nil
	for _, at := range p.ICE.Candidates {
		at = sendable(at)
		loops := at.Addr().IsLoopback() &&
			!slices.ContainsFunc(p.Believed, func(n netip.Prefix) bool { return n.Addr().IsLoopback() })
		if at.IsValid() && at.Addr().Is4() == local.Is4() && !loops && !e.forbids(*p, at) {
			s.Candidates = append(s.Candidates, at)
		}
	}
	s.Candidates = s.Candidates[:min(len(s.Candidates), ice.CandidatesMost)]
	return &s
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
		w.sendTo(ep, answer, src)
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
	if in := r.secure[ep.side].in; in != nil && in.datagrams != nil && in.datagrams.waits != nil {
		w.sendTo(ep, in.datagrams.waits, src)
		in.datagrams.waits = nil
	}
}

func (w *worker) sendTo(ep *endpoint, pkt []byte, dest netip.AddrPort) {
	if ep.fd != noSocket && dest.Addr().Is4() == ep.relay.local[ep.side].Addr().Is4() {
		var to sockaddr
		to.set(dest)
		_ = w.transmit(ep, pkt, &to)
	}
}

// hearsOf notes an authentic packet of a side.
func (p *party) hearsOf(now time.Duration) {
	if p.ice != nil {
		p.ice.Hear(now)
	}
}

// miss leaves out a time in which no packets were read.
func (p *party) miss(missed time.Duration) {
	p.rtp.Miss(missed)
	if p.ice != nil {
		p.ice.Miss(missed)
	}
}

// mayClose notes a record by which a side may close its DTLS association (RFC 5246 §7.2.1). What is in it can be read
// only by the process that has made the handshake.
func (w *worker) mayClose(ep *endpoint, pkt []byte) {
	p := &ep.relay.party[ep.side]
	if p.ice != nil && pkt[0] == alertRecord && !begins(pkt) && w.from.addrPort() == p.dest(RTP) {
		p.ice.Closes(p.named.DTX || ep.relay.excused(), w.now)
	}
}

// probe sends the checks that are due toward sides that make none, and reports a side that is gone. While our own
// network may have failed, no time passes for the sides.
func (r *relay) probe(now time.Duration) {
	for side := range r.party {
		p, ep := &r.party[side], &r.endpoint[side][RTP]
		if p.ice == nil || r.worker == nil {
			continue
		}
		if to, datagram := p.ice.Due(p.dest(RTP), r.worker.sealed[:0], now); datagram != nil {
			r.worker.sendTo(ep, datagram, to)
		}
		if r.worker.isCutOff() {
			p.ice.Miss(r.worker.tick)
		}
		if gone, closed := p.ice.Gone(now); gone {
			r.post(EventGone{Side: Side(side), Closed: closed})
		}
	}
}

// wishes reports whether a side with ICE has nominated an address where it is not yet.
func (p *party) wishes(src netip.AddrPort) bool { return p.ice != nil && p.ice.Wishes(src) }

// hasProved reports whether a side with ICE has made a valid check from an address.
func (p *party) hasProved(src netip.AddrPort) bool { return p.ice != nil && p.ice.Admits(src) }
