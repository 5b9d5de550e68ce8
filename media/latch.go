package media

import (
	"net/netip"
	"slices"
	"time"
)

// relockWindow is how long after a lock the source that the SDP names exactly
// may still take the place of another believable one. Two sources in the first
// moments of a call are usually the peer before and after its own address
// change, or an announcement server beside the endpoint, or somebody who guesses;
// the one in the SDP is the one that listens.
const relockWindow = 5 * time.Second

// lateWindow is for how long after a change of peer the former source is not
// believed unless it is named. Both may be behind one address, a carrier's
// gateway: a late packet of the old one would draw the media of the new one to
// it, for good if the new one does not send. An endpoint that goes on sending
// from its old port, other than it says, is heard after this time.
const lateWindow = 2 * time.Second

// verdict is what a latch says of a packet's source.
type verdict uint8

const (
	refuse verdict = iota // drop it
	keep                  // the locked source
	lock                  // believable: lock on it if the packet is well formed
)

// latch learns the one source that a port's packets are taken from. It is a
// value without clock or I/O: times are given, as durations since any epoch.
//
//	open --believable packet--> locked --named source within 5 s, once--> locked
//	  ^                           |
//	  +----- named changed -------+
//
// Believable is the named address and port itself, its address with any port,
// and every believed prefix with any port. What is locked stays so; packets from
// anywhere else are refused.
type latch struct {
	named    netip.AddrPort // what the SDP says; may be invalid
	believed []netip.Prefix // further sources, any port; never modified

	source   netip.AddrPort // invalid while open
	lockedAt time.Duration
	relocked bool

	former      netip.AddrPort // what was locked when the name changed
	formerUntil time.Duration  // its late packets lock nothing until then
}

// judge says what to do with a packet from src. It changes nothing: a packet
// that turns out malformed must not lock.
func (l *latch) judge(src netip.AddrPort, now time.Duration) verdict {
	switch {
	case src == l.source:
		return keep
	case !l.source.IsValid():
		if l.believes(src.Addr()) && !l.late(src, now) {
			return lock
		}
	case src == l.named && !l.relocked && now-l.lockedAt < relockWindow:
		return lock
	}
	return refuse
}

// take locks on src.
func (l *latch) take(src netip.AddrPort, now time.Duration) {
	l.relocked = l.source.IsValid()
	l.source, l.lockedAt = src, now
}

// late says that a packet is from the peer before.
func (l *latch) late(src netip.AddrPort, now time.Duration) bool {
	return src == l.former && src != l.named && now < l.formerUntil
}

func (l *latch) believes(a netip.Addr) bool {
	if l.named.IsValid() && l.named.Addr() == a {
		return true
	}
	for _, p := range l.believed {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// rename changes what the latch believes. It opens the latch if the named
// source changed and keeps the lock if not.
func (l *latch) rename(named netip.AddrPort, believed []netip.Prefix, now time.Duration) {
	if named != l.named {
		l.open(named, now)
	}
	l.named, l.believed = named, believed
}

// open forgets what is locked, for a peer of another name. A peer without one
// holds, and is the same.
func (l *latch) open(named netip.AddrPort, now time.Duration) {
	if l.source.IsValid() && named.IsValid() {
		l.former, l.formerUntil = l.source, now+lateWindow
	}
	l.source, l.relocked = netip.AddrPort{}, false
}

// party is where one side's packets come from and go to.
type party struct {
	named Peer // normalised
	rtp   latch
	rtcp  latch
}

// set takes a peer as it was described anew, and says whether its RTP is
// another's or elsewhere.
func (p *party) set(peer Peer, now time.Duration) (moved bool) {
	peer = peer.normal()
	moved = peer.RTP != p.named.RTP
	if moved {
		p.rtcp.open(peer.RTP, now)
	}
	p.named = peer
	p.rtp.rename(peer.RTP, peer.Believed, now)
	believed := peer.Believed
	if a := peer.RTP.Addr(); a.IsValid() {
		believed = append(slices.Clip(believed), netip.PrefixFrom(a, a.BitLen()))
	}
	p.rtcp.rename(peer.RTCP, believed, now)
	return moved
}

func (p *party) latch(k Kind) *latch {
	if k == RTCP {
		return &p.rtcp
	}
	return &p.rtp
}

// dest is where packets for the party go, invalid for nowhere.
//
// RTP: the locked source, else what the SDP says. RTCP: its own locked source;
// else what the SDP says as long as RTP has not come from another address; else
// the port above the locked RTP source.
func (p *party) dest(k Kind) netip.AddrPort {
	switch {
	case !p.named.RTP.IsValid():
		return netip.AddrPort{}
	case p.port(k) != k:
		return p.dest(p.port(k))
	case p.latch(k).source.IsValid():
		return p.latch(k).source
	case k == RTP:
		return p.named.RTP
	case !p.rtp.source.IsValid() || p.rtp.source.Addr() == p.named.RTP.Addr():
		return p.named.RTCP
	}
	return portAbove(p.rtp.source)
}

// normal returns the peer with 4-in-6 addresses unmapped, addresses that
// nothing may be sent to made invalid, RTCP filled in and Believed copied.
func (p Peer) normal() Peer {
	n := p
	n.RTP, n.RTCP, n.Believed = sendable(p.RTP), sendable(p.RTCP), make([]netip.Prefix, 0, len(p.Believed))
	if n.Mux {
		n.RTCP = n.RTP
	}
	if !n.RTCP.IsValid() && n.RTP.IsValid() {
		n.RTCP = portAbove(n.RTP)
	}
	for _, b := range p.Believed {
		if b.IsValid() {
			n.Believed = append(n.Believed, b.Masked())
		}
	}
	return n
}

// sendable returns a without 4-in-6 mapping, or an invalid one if no unicast
// packet can go there: a held call names 0.0.0.0 or port 0.
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
