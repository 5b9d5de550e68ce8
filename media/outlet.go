package media

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"flowbridge/media/packet"
)

// outletFrame is the assumed length of the packet before the first of our own.
const outletFrame = 20 * time.Millisecond

// overtaken is how long after our own packets late ones from before them are looked for.
const overtaken = time.Second

// timeSlack is how far the timestamps of a resumed stream may be from the expected ones. Clocks drift less in an
// hour; a larger difference means that the timestamps stood still.
const timeSlack = 200 * time.Millisecond

// outlet makes one stream of all the RTP that a side is sent, relayed or our own (digits, sounds): one SSRC, with
// numbers and timestamps that follow each other. Receivers play what they have locked on. Some drop a second source
// that comes beside a recent one, mix it in, or take it for a collision.
//
// The first source is relayed unchanged. A source that comes after our own packets, or after another source, is
// shifted to follow on. outlet is a value without clock or I/O, owned by the worker.
type outlet struct {
	begun bool   // something was sent
	ssrc  uint32 // of all that is sent

	sourced bool   // there is a source that is relayed
	source  uint32 // its SSRC
	shift   rewrite

	// What was sent last: the next relayed packet follows it. It was our own, or of another source.
	owed      bool
	seq       uint16
	timestamp uint32
	at        time.Duration

	// blind: the source has not been heard since a process was killed. What it sent last is estimated, in seq, timestamp
	// and at.
	blind   bool
	unsure  bool          // the timestamps of the source have to be looked at
	edge    uint16        // its number up to which packets come too late
	lateTil time.Duration // when that is forgotten

	folded   eventID // the key that came last beside the source
	foldedAs uint32  // its timestamp here
}

// leave notes where the relayed source stands, before another one follows.
func (o *outlet) leave(s *stream) {
	if !o.sourced || !s.started || o.owed {
		return
	}
	o.owed = true
	if o.blind {
		return
	}
	o.seq = uint16(s.top) + o.shift.SeqOffset
	o.timestamp, o.at = s.timestamp+o.shift.TimeOffset, s.timestampAt
}

// begin prepares for packets of our own.
func (o *outlet) begin(s *stream, now time.Duration) {
	if !o.begun {
		o.begun, o.owed = true, true
		o.ssrc, o.seq, o.timestamp, o.at = rand.Uint32()|1, uint16(rand.Uint32()), rand.Uint32(), now-outletFrame
		return
	}
	o.leave(s)
}

// moment is the timestamp of now, at least a frame later than the last one.
func (o *outlet) moment(rate int64, now time.Duration) uint32 {
	return o.timestamp + units(max(now-o.at, outletFrame), rate)
}

// header writes the RTP header of the next packet of our own.
func (o *outlet) header(pkt []byte, payloadType uint8, first bool, timestamp uint32) {
	o.seq++
	pkt[0], pkt[1] = 0x80, payloadType
	if first {
		pkt[1] |= 0x80 // RFC 3551 §4.1, RFC 4733 §2.2.2
	}
	binary.BigEndian.PutUint16(pkt[2:], o.seq)
	binary.BigEndian.PutUint32(pkt[4:], timestamp)
	binary.BigEndian.PutUint32(pkt[8:], o.ssrc)
}

// end resumes the source behind the numbers that were used. What it lost meanwhile, or what was replaced, is not
// counted as missing.
func (o *outlet) end(s *stream, now time.Duration) {
	if !o.owed || !o.sourced || !s.started || s.ssrc != o.source || o.blind {
		return // the next packet follows on
	}
	o.owed, o.unsure = false, true
	o.shift.SeqOffset = o.seq - uint16(s.top)
	o.edge, o.lateTil = uint16(s.top), now+overtaken
}

// fold makes a telephone-event that came beside the source the next packet of the stream: the shift turns what it
// writes into pkt into the right numbers. The packets of a key have one timestamp (RFC 4733 §2.2.2).
func (o *outlet) fold(h packet.Header, pkt []byte, s *stream, now time.Duration) {
	o.begin(s, now)
	if id := idOf(h); id != o.folded {
		o.folded, o.foldedAs = id, o.moment(s.rate, now)
	}
	o.seq++
	o.end(s, now)
	binary.BigEndian.PutUint16(pkt[2:], o.seq-o.shift.SeqOffset)
	binary.BigEndian.PutUint32(pkt[4:], o.foldedAs-o.shift.TimeOffset)
	binary.BigEndian.PutUint32(pkt[8:], o.ssrc)
}

// pass reports whether to relay a packet, and whether the shift changes with this packet.
func (o *outlet) pass(h packet.Header, rate int64, now time.Duration) (relay, shifted bool) {
	switch {
	case !o.begun:
		o.begun, o.sourced, o.ssrc, o.source = true, true, h.SSRC, h.SSRC
		return true, false
	case o.owed || !o.sourced || h.SSRC != o.source:
		o.follow(h, rate, now)
		return true, true
	}
	o.blind = false
	if now < o.lateTil && o.edge-h.Seq < maxMisorder { // modulo 2^16 on purpose
		return false, false
	}
	return true, o.unsure && o.settle(h, rate, now)
}

// follow makes h the packet after the last one.
func (o *outlet) follow(h packet.Header, rate int64, now time.Duration) {
	o.sourced, o.source, o.owed, o.unsure, o.blind = true, h.SSRC, false, false, false
	o.shift = rewrite{SeqOffset: o.seq + 1 - h.Seq, TimeOffset: o.moment(rate, now) - h.Timestamp}
	if h.SSRC != o.ssrc {
		o.shift.SSRC = o.ssrc
	}
	o.edge, o.lateTil = h.Seq-1, now+overtaken
}

// settle corrects the timestamps of a source that stood still while it was not heard, and reports whether they did.
func (o *outlet) settle(h packet.Header, rate int64, now time.Duration) bool {
	o.unsure = false
	want, got := o.moment(rate, now), h.Timestamp+o.shift.TimeOffset
	off := int32(got - want) // modulo 2^32 on purpose
	slack := int32(units(timeSlack, rate))
	if off >= -slack && off <= slack && int32(got-o.timestamp) > 0 {
		return false
	}
	o.shift.TimeOffset += want - got
	return true
}
