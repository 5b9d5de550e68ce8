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
	// Auto learns the source among the believed ones and keeps it.
	Auto Mode = iota
	// Strict accepts only the address and port that the SDP names.
	Strict
	// Off learns nothing: packets are accepted from every believed address with any port, and sent where the SDP
	// says.
	Off
)

const (
	// LearnWindow is how long after an offer or answer, and after Start, a source may be learned that the SDP does
	// not name: the address of the SDP or of the signalling, with any port. Later only Description.Listed may be learned.
	LearnWindow = 10 * time.Second

	// relockWindow is how long after a lock the source that the SDP names may still replace another one. Two sources
	// at the start of a call are usually the peer before and after its change of address, an announcement server
	// beside the endpoint, or a spoofer. The source in the SDP is the one that listens.
	relockWindow = 5 * time.Second

	// RelockSilence is how long a locked source must be silent before another one may replace it.
	RelockSilence = 2 * time.Second

	// StreamSilence is how long the locked stream must be silent, two packets, before another SSRC of the same source
	// may replace it after its proof. A shorter time would be met by reordered packets. After streamGone no proof is
	// needed: a sender that pauses may restart, and its first words count.
	StreamSilence = 50 * time.Millisecond
	streamGone    = 200 * time.Millisecond

	// LateWindow is how long after a change of peer the former source is refused unless it is named. Both peers may
	// be behind one address, a carrier's gateway. A late packet of the old peer would attract the new peer's media,
	// for good if the new peer does not send. An endpoint that keeps its old port against its own SDP is heard after
	// this time.
	LateWindow = 2 * time.Second
)

// How many packets in a row show that a source, or stream, is one (RFC 3550
// §A.1 has two): those that come first, and those that take another's place.
const (
	ProofFirst   = 3
	ProofReplace = 5
)

// Verdict is what a latch says of a packet.
type Verdict uint8

// The verdicts.
const (
	Keep     Verdict = iota // of the locked source and stream
	Lock                    // lock on its source and stream, then keep it
	Stray                   // of an address that is not believed, or not now
	Unproven                // of a believed address that has not sent enough in a row
	Foreign                 // of the locked source, but another stream
)

// Description is what an offer or answer says of a side.
type Description struct {
	Mode     Mode
	Named    netip.AddrPort // where the side's media is expected; invalid: nowhere
	Held     bool           // the side wants no media
	Believed []netip.Prefix // further sources, any port; not modified afterwards
	Listed   []netip.Prefix // those that are believed at any time; not modified afterwards
}

// Latch learns the one source and stream that a side's RTP is accepted from. It is a value without clock or I/O:
// times are parameters, as durations since any epoch.
//
//	open --the named source, or proof of a believed one--> locked
//	  ^                                                      |  |
//	  +--------------- another is named ---------------------+  |
//	                                                            v
//	   the named source within 5 s, or after 2 s of silence proof of a listed
//	   one: locked on that; after 50 ms proof of another SSRC: on that stream,
//	   until the one before it goes on
//
// Believable are the named address and port, its address with any port, and every believed or listed prefix with any
// port. Packets from other addresses change nothing.
type Latch struct {
	mode     Mode
	relocked bool
	next     uint8 // of trials, to be used
	ssrc     uint32
	named    netip.AddrPort // what the SDP says; may be invalid
	believed []netip.Prefix // further sources, any port; never modified
	listed   []netip.Prefix // those that are believed at any time; never modified
	learnTil time.Duration

	source   netip.AddrPort // invalid while open
	lockedAt time.Duration
	heard    time.Duration // the last packet that was taken
	missed   time.Duration // since then, in which nobody read packets

	recent netip.AddrPort // the last source that was taken, with Off

	former   *former       // nil: the name has not changed
	streamAt time.Duration // when ssrc was locked
	before   *replaced     // nil: there is none

	trials *[4]trial // nil: there is none
}

// former is what was locked last when the name changed.
type former struct {
	source netip.AddrPort
	name   netip.AddrPort // then
	until  time.Duration  // its late packets lock nothing until then
}

// replaced is a stream that another one replaced. If it goes on, it takes its place back from another stream of the
// same source, which then can't return. Of several, it is the one that was heard for longest, so that short streams
// do not make the latch forget it.
type replaced struct {
	source netip.AddrPort
	ssrc   uint32
	lived  time.Duration
	trial  trial // its own: other packets can't displace it
}

// trial is a source that has begun to prove itself.
type trial struct {
	source netip.AddrPort
	ssrc   uint32
	seq    uint16
	count  uint8
	at     time.Duration
}

// Source is the locked source; invalid while there is none.
func (l *Latch) Source() netip.AddrPort { return l.source }

// SSRC is the locked stream.
func (l *Latch) SSRC() uint32 { return l.ssrc }

// Named is where the SDP says that the side's media comes from; it may be invalid.
func (l *Latch) Named() netip.AddrPort { return l.named }

// Mode is the side's mode.
func (l *Latch) Mode() Mode { return l.mode }

// LockedAt is when the source was locked.
func (l *Latch) LockedAt() time.Duration { return l.lockedAt }

// Recent is the last source that was taken with Off; else it is invalid.
func (l *Latch) Recent() netip.AddrPort { return l.recent }

// Heard is when a packet was taken last.
func (l *Latch) Heard() time.Duration { return l.heard }

// Hear notes when a packet of the locked stream was taken.
func (l *Latch) Hear(at time.Duration) { l.heard, l.missed = at, 0 }

// Miss leaves out a time in which nobody read packets, and whose packets are still to come. They come in the order in
// which they arrived, but long after it: a source is not silent whose packets wait behind those of a stray, and a late
// packet of the former source may have come early in that time.
func (l *Latch) Miss(missed time.Duration) {
	l.missed += missed
	if l.former != nil {
		l.former.until += missed
	}
}

// Steady reports whether the latch takes nothing but the locked stream, as long as that is heard.
func (l *Latch) Steady(now time.Duration) bool {
	return l.mode != Off && l.source.IsValid() && (l.source == l.named || now-l.lockedAt >= relockWindow)
}

// Adopt locks on what is known to be the side's source and stream, for longer than another one could replace it.
func (l *Latch) Adopt(src netip.AddrPort, ssrc uint32, now time.Duration) {
	l.source, l.ssrc, l.lockedAt, l.streamAt = src, ssrc, now-relockWindow, now
}

// Admits reports whether the latch looks at packets from src.
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

// Judge decides on an RTP packet of an admitted source.
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

// judgeAny is Judge for Off. It keeps no source but one stream: two at once would be unintelligible.
func (l *Latch) judgeAny(src netip.AddrPort, h packet.Header, now time.Duration) Verdict {
	if l.recent.IsValid() && h.SSRC != l.ssrc && now-l.heard < streamGone {
		return Foreign
	}
	l.recent, l.ssrc = src, h.SSRC
	return Keep
}

// yields reports whether the locked source gives way to the named one while it is still heard: for a while after the
// lock, unless it is a listed source elsewhere that replaced a silent one.
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

// proof notes a packet of a source that is not locked. It returns Lock when enough packets came in a row, of one SSRC
// with rising numbers.
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

// trial returns the trial of a source and SSRC. A new one replaces the oldest.
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

// replace notes the locked stream as replaced and returns the age of the new one: a stream that returns keeps its
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

// Lists reports whether an address is believed at any time.
func (l *Latch) Lists(a netip.Addr) bool { return contains(l.listed, a) }

func contains(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

// Describe takes what an offer or answer says of the side. It opens the latch only if the named source changed. A
// side that holds in the old way, by an address of zeros, stays where it was and may play music.
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

// open forgets the lock. A peer without a name holds, and is the same peer. If the name differs from the one before,
// the locked source becomes the former one.
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
