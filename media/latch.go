package media

import (
	"net/netip"
	"time"

	"flowbridge/media/packet"
)

// LatchMode says how a side's source is found.
type LatchMode uint8

// The modes of Peer.Latch.
const (
	// LatchAuto learns the source among the believed ones and keeps it.
	LatchAuto LatchMode = iota
	// LatchStrict accepts only the address and port that the SDP names.
	LatchStrict
	// LatchOff learns nothing: packets are accepted from every believed address with any port, and sent where the SDP
	// says.
	LatchOff
)

const (
	// learnWindow is how long after an offer or answer, and after Start, a source may be learned that the SDP does
	// not name: the address of the SDP or of the signalling, with any port. Later only Peer.Listed may be learned.
	learnWindow = 10 * time.Second

	// relockWindow is how long after a lock the source that the SDP names may still replace another one. Two sources
	// at the start of a call are usually the peer before and after its change of address, an announcement server
	// beside the endpoint, or a spoofer. The source in the SDP is the one that listens.
	relockWindow = 5 * time.Second

	// relockSilence is how long a locked source must be silent before another one may replace it.
	relockSilence = 2 * time.Second

	// streamSilence is how long the locked stream must be silent, two packets, before another SSRC of the same source
	// may replace it after its proof. A shorter time would be met by reordered packets. After streamGone no proof is
	// needed: a sender that pauses may restart, and its first words count.
	streamSilence = 50 * time.Millisecond
	streamGone    = 200 * time.Millisecond

	// lateWindow is how long after a change of peer the former source is refused unless it is named. Both peers may
	// be behind one address, a carrier's gateway. A late packet of the old peer would attract the new peer's media,
	// for good if the new peer does not send. An endpoint that keeps its old port against its own SDP is heard after
	// this time.
	lateWindow = 2 * time.Second
)

// How many packets in a row show that a source, or stream, is one (RFC 3550
// §A.1 has two): those that come first, and those that take another's place.
const (
	proofFirst   = 3
	proofReplace = 5
)

// verdict is what a latch says of a packet.
type verdict uint8

const (
	keep     verdict = iota // of the locked source and stream
	lock                    // lock on its source and stream, then keep it
	stray                   // of an address that is not believed, or not now
	unproven                // of a believed address that has not sent enough in a row
	foreign                 // of the locked source, but another stream
)

// latch learns the one source and stream that a side's RTP is accepted from. It is a value without clock or I/O:
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
type latch struct {
	mode     LatchMode
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

	recent netip.AddrPort // the last source that was taken, with LatchOff

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

// admits reports whether the latch looks at packets from src.
func (l *latch) admits(src netip.AddrPort, now time.Duration) bool {
	switch {
	case !src.IsValid():
		return false
	case src == l.source, src == l.named:
		return true
	case l.mode == LatchStrict, l.former != nil && src == l.former.source && now < l.former.until:
		return false
	case l.lists(src.Addr()):
		return true
	}
	return (l.mode == LatchOff || now < l.learnTil) && l.believes(src.Addr())
}

// judge decides on an RTP packet of an admitted source.
func (l *latch) judge(src netip.AddrPort, h packet.Header, now time.Duration) verdict {
	switch {
	case l.mode == LatchOff:
		return l.judgeAny(src, h, now)
	case src == l.source:
		return l.judgeStream(h, now)
	case !l.source.IsValid() && src == l.named:
		return lock
	case !l.source.IsValid():
		return l.proof(src, h, now, proofFirst)
	case src == l.named && l.yields(now):
		return l.proof(src, h, now, proofFirst)
	case now-l.heard >= relockSilence:
		return l.proof(src, h, now, proofReplace)
	}
	return stray
}

// judgeAny is judge for LatchOff. It keeps no source but one stream: two at once would be unintelligible.
func (l *latch) judgeAny(src netip.AddrPort, h packet.Header, now time.Duration) verdict {
	if l.recent.IsValid() && h.SSRC != l.ssrc && now-l.heard < streamGone {
		return foreign
	}
	l.recent, l.ssrc = src, h.SSRC
	return keep
}

// yields reports whether the locked source gives way to the named one while it is still heard: for a while after the
// lock, unless it is a listed source elsewhere that replaced a silent one.
func (l *latch) yields(now time.Duration) bool {
	a := l.source.Addr()
	tookOver := l.relocked && a != l.named.Addr() && l.lists(a)
	return !tookOver && now-l.lockedAt < relockWindow
}

func (l *latch) judgeStream(h packet.Header, now time.Duration) verdict {
	if h.SSRC == l.ssrc {
		return keep
	}
	silent := now - l.heard
	free := silent >= streamSilence || l.wasReplaced(l.source, h.SSRC)
	if silent >= streamGone || (l.proof(l.source, h, now, proofFirst) == lock && free) {
		return lock
	}
	return foreign
}

// proof notes a packet of a source that is not locked. It returns lock when enough packets came in a row, of one SSRC
// with rising numbers.
func (l *latch) proof(src netip.AddrPort, h packet.Header, now time.Duration, needed uint8) verdict {
	t := l.trial(src, h.SSRC)
	if step := h.Seq - t.seq; t.count == 0 || step == 0 || step > 16 || now-t.at > time.Second {
		t.count = 0
	}
	t.seq, t.at = h.Seq, now
	if t.count = min(t.count+1, proofReplace); t.count < needed {
		return unproven
	}
	return lock
}

// trial returns the trial of a source and SSRC. A new one replaces the oldest.
func (l *latch) trial(src netip.AddrPort, ssrc uint32) *trial {
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

// take locks on the source and stream of a packet.
func (l *latch) take(src netip.AddrPort, h packet.Header, now time.Duration) {
	l.streamAt = now - l.replace(src, h.SSRC)
	if src != l.source {
		l.relocked, l.lockedAt = l.source.IsValid(), now
	}
	l.source, l.ssrc, l.trials = src, h.SSRC, nil
	l.heard = now
}

// replace notes the locked stream as replaced and returns the age of the new one: a stream that returns keeps its
// age.
func (l *latch) replace(src netip.AddrPort, ssrc uint32) (age time.Duration) {
	switch lived := l.heard - l.streamAt; {
	case !l.source.IsValid():
	case l.wasReplaced(src, ssrc):
		age, l.before = l.before.lived, nil
	case l.before == nil || lived > l.before.lived:
		l.before = &replaced{source: l.source, ssrc: l.ssrc, lived: lived}
	}
	return age
}

func (l *latch) wasReplaced(src netip.AddrPort, ssrc uint32) bool {
	return l.before != nil && l.before.source == src && l.before.ssrc == ssrc
}

// believes reports whether an address may be learned.
func (l *latch) believes(a netip.Addr) bool {
	return (l.named.IsValid() && l.named.Addr() == a) || contains(l.believed, a)
}

func (l *latch) lists(a netip.Addr) bool { return contains(l.listed, a) }

func contains(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// describe takes what an offer or answer says of the side. It opens the latch only if the named source changed. A
// side that holds in the old way, by an address of zeros, stays where it was and may play music.
func (l *latch) describe(p Peer, now time.Duration) {
	if p.Held && !p.RTP.IsValid() {
		p.RTP = l.named
	}
	if p.RTP != l.named || p.Latch != l.mode {
		l.open(p.RTP, now)
	}
	l.mode, l.named, l.believed, l.listed = p.Latch, p.RTP, p.Believed, p.Listed
	l.learn(now)
}

func (l *latch) learn(now time.Duration) { l.learnTil = now + learnWindow }

// open forgets the lock. A peer without a name holds, and is the same peer. If the name differs from the one before,
// the locked source becomes the former one.
func (l *latch) open(named netip.AddrPort, now time.Duration) {
	if l.source.IsValid() {
		f := &former{source: l.source, name: l.named}
		if l.former != nil {
			f.until = l.former.until
		}
		l.former = f
	}
	if f := l.former; f != nil && named.IsValid() && named != f.source && named != f.name {
		f.until = now + lateWindow
	}
	l.source, l.recent = netip.AddrPort{}, netip.AddrPort{}
	l.relocked, l.before, l.trials = false, nil, nil
}
