package latch

import (
	"net/netip"
	"slices"
	"time"

	"flowbridge/media/packet"
)

// Mode says how a side's source is found. The zero value is Auto.
type Mode uint8

// The modes.
const (
	// Auto learns the source among the believed addresses and keeps it.
	Auto Mode = iota
	// Strict accepts only the address and port in the SDP.
	Strict
	// Off learns nothing: packets are accepted from every believed address with any port, and sent to the address in the
	// SDP.
	Off
)

const (
	// LearnWindow is how long a source that the SDP does not name may be learned: after an offer or answer, and after
	// Start. Such a source is at the address of the SDP or of the signalling, with any port. Later, only
	// Description.Listed may be learned.
	LearnWindow = 10 * time.Second

	// relockWindow is how long after a lock the source in the SDP may still replace another one. Two sources at the start
	// of a call are usually the peer before and after its change of address, an announcement server beside the endpoint,
	// or a spoofer. Only the source in the SDP also listens there.
	relockWindow = 5 * time.Second

	// RelockSilence is how long a locked source must be silent before another one may replace it.
	RelockSilence = 2 * time.Second

	// StreamSilence is how long the locked stream must be silent (two packets) before another SSRC of the same source may
	// replace it after its proof. Reordered packets would look like a shorter silence. After streamGone no proof is
	// needed: a sender that pauses may restart, and its first words must not be lost.
	StreamSilence = 50 * time.Millisecond
	streamGone    = 200 * time.Millisecond

	// LateWindow is how long the former source is refused after a change of peer, unless the SDP names it. Both peers may
	// be behind one address, for example a carrier's gateway. A late packet of the old peer would attract the new peer's
	// media, permanently if the new peer sends none. An endpoint that keeps its old port although its SDP names another is
	// accepted after this time.
	LateWindow = 2 * time.Second
)

// How many packets in a row prove a source or stream (RFC 3550 §A.1 requires two): the first one, and one that replaces
// another.
const (
	ProofFirst   = 3
	ProofReplace = 5
)

// Verdict is a latch's decision about a packet.
type Verdict uint8

// The verdicts.
const (
	Keep     Verdict = iota // the packet is from the locked source and stream
	Lock                    // lock on the packet's source and stream, then keep it
	Stray                   // the packet is from an address that is not believed, or no longer believed
	Unproven                // the packet is from a believed address that has not sent enough packets in a row
	Foreign                 // the packet is from the locked source, but of another stream
)

// Description is what an offer or answer says about a side.
type Description struct {
	Mode     Mode
	Named    netip.AddrPort // where the side's media is expected; may be invalid
	Held     bool           // the side wants no media
	Believed []netip.Prefix // further sources, with any port; must not be modified
	Listed   []netip.Prefix // sources that are believed at any time; must not be modified
}

// Latch learns the one source and stream from which a side's RTP is accepted. It is a value without clock or I/O: times
// are parameters, as durations since any epoch.
//
//	open --the named source, or proof of a believed one--> locked
//	  ^                                                      |  |
//	  +----------- another source is named ------------------+  |
//	                                                            v
//	   the named source within 5 s, or after 2 s of silence proof of a listed
//	   source: locked on that; after 50 ms proof of another SSRC: on that stream,
//	   until the stream before it continues
//
// Believable sources are the named address and port, its address with any port, and every believed or listed prefix
// with any port. Packets from other addresses change nothing.
type Latch struct {
	mode     Mode
	relocked bool
	next     uint8 // next entry of trials to use
	ssrc     uint32
	named    netip.AddrPort // the address in the SDP; may be invalid
	believed []netip.Prefix // further sources, with any port; never modified
	listed   []netip.Prefix // sources that are believed at any time; never modified
	learnTil time.Duration

	source   netip.AddrPort // invalid while open
	lockedAt time.Duration
	heard    time.Duration // when the last packet was accepted
	missed   time.Duration // part of that time in which no packets were read

	recent netip.AddrPort // the last accepted source, with Off

	former   *former       // nil if the named source has not changed
	streamAt time.Duration // when ssrc was locked
	before   *replaced     // the replaced stream; may be nil

	trials *[4]trial // nil before the first trial
}

// former is the source that was locked when the named source changed.
type former struct {
	source netip.AddrPort
	name   netip.AddrPort // the named source at that time
	until  time.Duration  // until then, late packets of the former source lock nothing
}

// replaced is a stream that was replaced. If it continues, it becomes the locked stream again, and the other stream of
// the same source can't return. Of several replaced streams, the one with the longest history is kept, so that short
// streams do not make the latch forget it.
type replaced struct {
	source netip.AddrPort
	ssrc   uint32
	lived  time.Duration
	trial  trial // separate, so that other packets can't displace it
}

// trial is a source that has begun to prove itself.
type trial struct {
	source netip.AddrPort
	ssrc   uint32
	seq    uint16
	count  uint8
	at     time.Duration
}

// Source returns the locked source, or an invalid address if there is none.
func (l *Latch) Source() netip.AddrPort { return l.source }

// SSRC returns the SSRC of the locked stream.
func (l *Latch) SSRC() uint32 { return l.ssrc }

// Named returns the address that the SDP names as the source of the side's media. It may be invalid.
func (l *Latch) Named() netip.AddrPort { return l.named }

// Mode returns the side's mode.
func (l *Latch) Mode() Mode { return l.mode }

// LockedAt returns when the source was locked.
func (l *Latch) LockedAt() time.Duration { return l.lockedAt }

// Recent returns the last accepted source with Off. In other modes it is invalid.
func (l *Latch) Recent() netip.AddrPort { return l.recent }

// Heard returns when the last packet was accepted.
func (l *Latch) Heard() time.Duration { return l.heard }

// Hear records when a packet of the locked stream was accepted.
func (l *Latch) Hear(at time.Duration) { l.heard, l.missed = at, 0 }

// Miss excludes a time in which no packets were read. The packets of that time are still to come: in order of arrival,
// but long after it. So a source whose packets wait behind a stray's does not count as silent, and a late packet of the
// former source may have arrived early in that time.
func (l *Latch) Miss(missed time.Duration) {
	l.missed += missed
	if l.former != nil {
		l.former.until += missed
	}
}

// Steady reports whether the latch accepts only the locked stream as long as packets of it arrive.
func (l *Latch) Steady(now time.Duration) bool {
	return l.mode != Off && l.source.IsValid() && (l.source == l.named || now-l.lockedAt >= relockWindow)
}

// Adopt locks on the known source and stream of the side, as if they had been locked for so long that no other source
// may replace them.
func (l *Latch) Adopt(src netip.AddrPort, ssrc uint32, now time.Duration) {
	l.source, l.ssrc, l.lockedAt, l.streamAt = src, ssrc, now-relockWindow, now
}

// Admits reports whether the latch considers packets from src.
func (l *Latch) Admits(src netip.AddrPort, now time.Duration) bool {
	switch {
	case !src.IsValid():
		return false
	case src == l.source, src == l.named:
		return true
	case l.mode == Strict, l.former != nil && src == l.former.source && now < l.former.until:
		return false
	case l.Lists(src.Addr()):
		return true
	}
	return (l.mode == Off || now < l.learnTil) && l.Believes(src.Addr())
}

// Judge decides about an RTP packet from an admitted source.
func (l *Latch) Judge(src netip.AddrPort, h packet.Header, now time.Duration) Verdict {
	switch {
	case l.mode == Off:
		return l.judgeAny(src, h, now)
	case src == l.source:
		return l.judgeStream(h, now)
	case !l.source.IsValid() && src == l.named:
		return Lock
	case !l.source.IsValid():
		return l.proof(src, h, now, ProofFirst)
	case src == l.named && l.yields(now):
		return l.proof(src, h, now, ProofFirst)
	case now-l.heard-l.missed >= RelockSilence:
		return l.proof(src, h, now, ProofReplace)
	}
	return Stray
}

// judgeAny is Judge for Off. It locks no source, but one stream, because two at once would be unintelligible.
func (l *Latch) judgeAny(src netip.AddrPort, h packet.Header, now time.Duration) Verdict {
	if l.recent.IsValid() && h.SSRC != l.ssrc && now-l.heard < streamGone {
		return Foreign
	}
	l.recent, l.ssrc = src, h.SSRC
	return Keep
}

// yields reports whether the locked source gives way to the named one although its packets still arrive. It does for a
// while after the lock, unless it is a listed source elsewhere that replaced a silent one.
func (l *Latch) yields(now time.Duration) bool {
	a := l.source.Addr()
	tookOver := l.relocked && a != l.named.Addr() && l.Lists(a)
	return !tookOver && now-l.lockedAt < relockWindow
}

func (l *Latch) judgeStream(h packet.Header, now time.Duration) Verdict {
	if h.SSRC == l.ssrc {
		return Keep
	}
	silent := now - l.heard
	free := silent >= StreamSilence || l.wasReplaced(l.source, h.SSRC)
	if silent >= streamGone || (l.proof(l.source, h, now, ProofFirst) == Lock && free) {
		return Lock
	}
	return Foreign
}

// proof records a packet of a source that is not locked. It returns Lock when enough packets came in a row, with one
// SSRC and increasing numbers.
func (l *Latch) proof(src netip.AddrPort, h packet.Header, now time.Duration, needed uint8) Verdict {
	t := l.trial(src, h.SSRC)
	if step := h.Seq - t.seq; t.count == 0 || step == 0 || step > 16 || now-t.at > time.Second {
		t.count = 0
	}
	t.seq, t.at = h.Seq, now
	if t.count = min(t.count+1, ProofReplace); t.count < needed {
		return Unproven
	}
	return Lock
}

// trial returns the trial of a source and SSRC. A new trial replaces the oldest.
func (l *Latch) trial(src netip.AddrPort, ssrc uint32) *trial {
	if l.wasReplaced(src, ssrc) {
		return &l.before.trial
	}
	if l.trials == nil {
		l.trials = &[4]trial{}
	}
	for i := range l.trials {
		if t := &l.trials[i]; t.source == src && t.ssrc == ssrc {
			return t
		}
	}
	t := &l.trials[l.next]
	l.next = (l.next + 1) % uint8(len(l.trials))
	*t = trial{source: src, ssrc: ssrc}
	return t
}

// Take locks on the source and stream of a packet.
func (l *Latch) Take(src netip.AddrPort, h packet.Header, now time.Duration) {
	l.streamAt = now - l.replace(src, h.SSRC)
	if src != l.source {
		l.relocked, l.lockedAt = l.source.IsValid(), now
	}
	l.source, l.ssrc, l.trials = src, h.SSRC, nil
	l.Hear(now)
}

// replace records the locked stream as replaced and returns the age of the new stream. A returning stream keeps its
// age.
func (l *Latch) replace(src netip.AddrPort, ssrc uint32) (age time.Duration) {
	switch lived := l.heard - l.streamAt; {
	case !l.source.IsValid():
	case l.wasReplaced(src, ssrc):
		age, l.before = l.before.lived, nil
	case l.before == nil || lived > l.before.lived:
		l.before = &replaced{source: l.source, ssrc: l.ssrc, lived: lived}
	}
	return age
}

func (l *Latch) wasReplaced(src netip.AddrPort, ssrc uint32) bool {
	return l.before != nil && l.before.source == src && l.before.ssrc == ssrc
}

// Believes reports whether an address may be learned.
func (l *Latch) Believes(a netip.Addr) bool {
	return (l.named.IsValid() && l.named.Addr() == a) || contains(l.believed, a)
}

// Lists reports whether an address is in Description.Listed, so that it may take over from a silent source at any time.
func (l *Latch) Lists(a netip.Addr) bool { return contains(l.listed, a) }

func contains(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Describe applies an offer's or answer's description of the side. It opens the latch only if the named source changed.
// A side that holds in the old way, with an address of zeros, keeps its source and may play music.
func (l *Latch) Describe(d Description, now time.Duration) {
	if d.Held && !d.Named.IsValid() {
		d.Named = l.named
	}
	if d.Named != l.named || d.Mode != l.mode {
		l.open(d.Named, now)
	}
	l.mode, l.named, l.believed, l.listed = d.Mode, d.Named, d.Believed, d.Listed
	l.Learn(now)
}

// Learn opens the window in which any believed source may be learned.
func (l *Latch) Learn(now time.Duration) { l.learnTil = now + LearnWindow }

// open forgets the lock. A peer without a named source is on hold and counts as the same peer. If the named source
// differs from the previous one, the locked source becomes the former one.
func (l *Latch) open(named netip.AddrPort, now time.Duration) {
	if l.source.IsValid() {
		f := &former{source: l.source, name: l.named}
		if l.former != nil {
			f.until = l.former.until
		}
		l.former = f
	}
	if f := l.former; f != nil && named.IsValid() && named != f.source && named != f.name {
		f.until = now + LateWindow
	}
	l.source, l.recent = netip.AddrPort{}, netip.AddrPort{}
	l.relocked, l.before, l.trials = false, nil, nil
}
