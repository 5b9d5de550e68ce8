package media

import (
	"net/netip"
	"slices"
	"time"

	"flowbridge/media/ice"
	"flowbridge/media/latch"
)

// party holds the addresses that one side's packets come from and go to.
type party struct {
	named *Peer // normalised, never modified: a new session shares it
	rtp   latch.Latch
	rtcp  reports
	ice   *ice.Agent // nil if the side has no ICE

	confirmed   bool  // the side has been confirmed; never reset
	withheld    bool  // bytes were withheld while it was unconfirmed
	unconfirmed int32 // bytes for it while unconfirmed, sent or not
}

// reports tracks the source of a side's RTCP: the address in the SDP, or a source at the address of the side's RTP
// whose report is about that RTP. RTCP is too rare to be proved by several packets in a row. The source of RTCP has
// no effect on RTP.
type reports struct {
	source netip.AddrPort // invalid if none is locked
}

// undescribed is a side before its first description.
var undescribed Peer //nolint:gochecknoglobals // a constant

// set applies a new, normalised description, and reports whether it names another RTP address.
func (p *party) set(peer *Peer, now time.Duration) (moved bool) {
	moved = peer.RTP != p.named.RTP
	if moved || peer.RTCP != p.named.RTCP {
		p.rtcp.source = netip.AddrPort{}
	}
	p.named = peer
	p.rtp.Describe(latch.Description{
		Mode: peer.Latch, Named: peer.RTP, Held: peer.Held, Believed: peer.Believed,
		Listed: peer.Listed,
	}, now)
	return moved
}

func (p *party) judgeReport(src netip.AddrPort) latch.Verdict {
	r, rtp := &p.rtcp, &p.rtp
	switch {
	case src == r.source:
		return latch.Keep
	case src == p.named.RTCP:
		return latch.Lock
	case rtp.Mode() == latch.Strict, r.source.IsValid():
		return latch.Stray
	case rtp.Mode() == latch.Off && (rtp.Believes(src.Addr()) || rtp.Lists(src.Addr())):
		return latch.Keep
	case rtp.Source().IsValid() && src.Addr() == rtp.Source().Addr():
		return latch.Lock
	}
	return latch.Stray
}

// source returns the accepted source, or an invalid address if it is unknown.
func (p *party) source(k Kind) netip.AddrPort {
	if k == RTCP {
		return p.rtcp.source
	}
	return p.rtp.Source()
}

// dest returns the address that packets for the party are sent to. The address is invalid if they must not be sent.
//
// RTP goes to the locked source, or else to the address in the SDP. RTCP goes to its own locked source. Without one,
// it goes to the address in the SDP if RTP has not come from another address, and otherwise to the port above the
// locked RTP source.
func (p *party) dest(k Kind) netip.AddrPort {
	switch {
	case !p.named.RTP.IsValid():
		return netip.AddrPort{}
	case p.port(k) != k:
		return p.dest(p.port(k))
	case p.source(k).IsValid():
		return p.source(k)
	case k == RTP:
		return p.named.RTP
	case !p.rtp.Source().IsValid() || p.rtp.Source().Addr() == p.named.RTP.Addr():
		return p.named.RTCP
	}
	return portAbove(p.rtp.Source())
}

// trusts reports whether the address is in Believed or Listed.
func (p *Peer) trusts(a netip.Addr) bool {
	has := func(n netip.Prefix) bool { return n.Contains(a) }
	return slices.ContainsFunc(p.Believed, has) || slices.ContainsFunc(p.Listed, has)
}

// normal unmaps 4-in-6 addresses, makes unusable addresses invalid, fills in RTCP and copies the lists.
func (p Peer) normal() Peer {
	p.RTP, p.RTCP = sendable(p.RTP), sendable(p.RTCP)
	if p.Mux {
		p.RTCP = p.RTP
	}
	if !p.RTCP.IsValid() && p.RTP.IsValid() {
		p.RTCP = portAbove(p.RTP)
	}
	p.Believed, p.Listed = masked(p.Believed), masked(p.Listed)
	return p
}

func masked(list []netip.Prefix) []netip.Prefix {
	out := slices.DeleteFunc(slices.Clone(list), func(p netip.Prefix) bool { return !p.IsValid() })
	for i, p := range out {
		out[i] = p.Masked()
	}
	return out
}

// sendable returns a without 4-in-6 mapping, or an invalid address if it can't receive unicast: a held call names
// 0.0.0.0 or port 0.
func sendable(a netip.AddrPort) netip.AddrPort {
	ip := a.Addr().Unmap()
	if !ip.IsValid() || ip.IsUnspecified() || ip.IsMulticast() || a.Port() == 0 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(ip.WithZone(""), a.Port())
}

func portAbove(a netip.AddrPort) netip.AddrPort {
	if a.Port() == 65535 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Addr(), a.Port()+1)
}
