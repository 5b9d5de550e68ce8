package stream

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"flowbridge/media/packet"
)

// frame is the assumed length of the packet before the first of our own.
const frame = 20 * time.Millisecond

// Overtaken is how long after our own packets late ones from before them are looked for.
const Overtaken = time.Second

// TimeSlack is how far the timestamps of a resumed stream may be from the expected ones. Clocks drift less in an
// hour; a larger difference means that the timestamps stood still.
const TimeSlack = 200 * time.Millisecond

// Shift is what is changed in each packet of a source. The zero value changes nothing.
type Shift struct {
	SSRC       uint32 // the new SSRC; 0 leaves it
	TimeOffset uint32 // added to the timestamp, modulo 2^32
	SeqOffset  uint16 // added to the sequence number, modulo 2^16
}

// Outlet makes one stream of all the RTP that a side is sent, relayed or our own (digits, sounds): one SSRC, with
// numbers and timestamps that follow each other. Receivers play what they have locked on. Some drop a second source
// that comes beside a recent one, mix it in, or take it for a collision.
//
// The first source is relayed unchanged. A source that comes after our own packets, or after another source, is
// shifted to follow on. Outlet is a value without clock or I/O, owned by the worker.
type Outlet struct {
	begun bool   // something was sent
	ssrc  uint32 // of all that is sent

	sourced bool   // there is a source that is relayed
	source  uint32 // its SSRC
	Shift   Shift

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

	folded   packet.EventID // the key that came last beside the source
	foldedAs uint32         // its timestamp here
}

// Leave notes where the relayed source stands, before another one follows.
func (o *Outlet) Leave(s *Stream) {
	if !o.sourced || !s.started || o.owed {
		return
	}
	o.owed = true
	if o.blind {
		return
	}
	o.seq = uint16(s.top) + o.Shift.SeqOffset
	o.timestamp, o.at = s.timestamp+o.Shift.TimeOffset, s.timestampAt
}

// Begin prepares for packets of our own.
func (o *Outlet) Begin(s *Stream, now time.Duration) {
	if !o.begun {
		o.begun, o.owed = true, true
		o.ssrc, o.seq, o.timestamp, o.at = rand.Uint32()|1, uint16(rand.Uint32()), rand.Uint32(), now-frame
		return
	}
	o.Leave(s)
}

// Moment is the timestamp of now, at least a frame later than the last one.
func (o *Outlet) Moment(rate int64, now time.Duration) uint32 {
	return o.timestamp + Units(max(now-o.at, frame), rate)
}

// After is a timestamp that is so many units after the last one.
func (o *Outlet) After(units int) uint32 { return o.timestamp + uint32(units) }

// Put writes the RTP header of the next packet of our own, whose timestamp is that of a moment.
func (o *Outlet) Put(pkt []byte, payloadType uint8, first bool, timestamp uint32, at time.Duration) {
	o.seq++
	o.timestamp, o.at = timestamp, at
	pkt[0], pkt[1] = 0x80, payloadType
	if first {
		pkt[1] |= 0x80 // RFC 3551 §4.1, RFC 4733 §2.2.2
	}
	binary.BigEndian.PutUint16(pkt[2:], o.seq)
	binary.BigEndian.PutUint32(pkt[4:], timestamp)
	binary.BigEndian.PutUint32(pkt[8:], o.ssrc)
}

// End resumes the source behind the numbers that were used. What it lost meanwhile, or what was replaced, is not
// counted as missing.
func (o *Outlet) End(s *Stream, now time.Duration) {
	if !o.owed || !o.sourced || !s.started || s.ssrc != o.source || o.blind {
		return // the next packet follows on
	}
	o.owed, o.unsure = false, true
	o.Shift.SeqOffset = o.seq - uint16(s.top)
	o.edge, o.lateTil = uint16(s.top), now+Overtaken
}

// Fold makes a telephone-event that came beside the source the next packet of the stream: the shift turns what it
// writes into pkt into the right numbers. The packets of a key have one timestamp (RFC 4733 §2.2.2).
func (o *Outlet) Fold(h packet.Header, pkt []byte, s *Stream, now time.Duration) {
	o.Begin(s, now)
	if id := h.EventID(); id != o.folded {
		o.folded, o.foldedAs = id, o.Moment(s.Rate, now)
	}
	o.seq++
	o.End(s, now)
	binary.BigEndian.PutUint16(pkt[2:], o.seq-o.Shift.SeqOffset)
	binary.BigEndian.PutUint32(pkt[4:], o.foldedAs-o.Shift.TimeOffset)
	binary.BigEndian.PutUint32(pkt[8:], o.ssrc)
}

// Pass reports whether to relay a packet, and whether the shift changes with this packet.
func (o *Outlet) Pass(h packet.Header, rate int64, now time.Duration) (relay, shifted bool) {
	switch {
	case !o.begun:
		o.begun, o.sourced, o.ssrc, o.source = true, true, h.SSRC, h.SSRC
		return true, false
	case o.owed || !o.sourced || h.SSRC != o.source:
		o.follow(h, rate, now)
		return true, true
	}
	o.blind = false
	if now < o.lateTil && o.edge-h.Seq < MaxMisorder { // modulo 2^16 on purpose
		return false, false
	}
	return true, o.unsure && o.settle(h, rate, now)
}

// follow makes h the packet after the last one.
func (o *Outlet) follow(h packet.Header, rate int64, now time.Duration) {
	o.sourced, o.source, o.owed, o.unsure, o.blind = true, h.SSRC, false, false, false
	o.Shift = Shift{SeqOffset: o.seq + 1 - h.Seq, TimeOffset: o.Moment(rate, now) - h.Timestamp}
	if h.SSRC != o.ssrc {
		o.Shift.SSRC = o.ssrc
	}
	o.edge, o.lateTil = h.Seq-1, now+Overtaken
}

// settle corrects the timestamps of a source that stood still while it was not heard, and reports whether they did.
func (o *Outlet) settle(h packet.Header, rate int64, now time.Duration) bool {
	o.unsure = false
	want, got := o.Moment(rate, now), h.Timestamp+o.Shift.TimeOffset
	off := int32(got - want) // modulo 2^32 on purpose
	slack := int32(Units(TimeSlack, rate))
	if off >= -slack && off <= slack && int32(got-o.timestamp) > 0 {
		return false
	}
	o.Shift.TimeOffset += want - got
	return true
}

// Steady reports whether the source is relayed and sent as it is shifted now.
func (o *Outlet) Steady(now time.Duration) bool {
	return o.sourced && !o.owed && !o.unsure && now >= o.lateTil
}

// Relays reports whether an SSRC is that of the source.
func (o *Outlet) Relays(ssrc uint32) bool { return ssrc == o.source }

// Adopt says that somebody else has sent a source as it is shifted.
func (o *Outlet) Adopt(ssrc uint32, shift Shift) {
	*o = Outlet{begun: true, ssrc: cmp.Or(shift.SSRC, ssrc), sourced: true, source: ssrc, Shift: shift}
}

// Alias says how the receiver knows a stream that is relayed. It has no alias before its first packet.
func (o *Outlet) Alias(s *Stream) packet.Alias {
	return packet.Alias{
		Known: s.started && o.sourced && s.ssrc == o.source,
		From:  s.ssrc, To: cmp.Or(o.Shift.SSRC, s.ssrc), Time: o.Shift.TimeOffset, Seq: o.Shift.SeqOffset, Top: s.top,
	}
}
