package stream

import (
	"cmp"
	"encoding/binary"
	"math/rand/v2"
	"time"

	"flowbridge/media/packet"
)

// frame is the assumed length of the packet before the first of our own packets.
const frame = 20 * time.Millisecond

// Overtaken is how long after our own packets a late packet from before them is recognised.
const Overtaken = time.Second

// TimeSlack is how far the timestamps of a resumed stream may be from the expected ones. Clocks drift less in an hour;
// a larger difference means that the timestamps stood still.
const TimeSlack = 200 * time.Millisecond

// Shift is the change made to each packet of a source. The zero value changes nothing.
type Shift struct {
	SSRC       uint32 // the new SSRC; 0 keeps the old one
	TimeOffset uint32 // added to the timestamp, modulo 2^32
	SeqOffset  uint16 // added to the sequence number, modulo 2^16
}

// Outlet merges all RTP that a side is sent, relayed or our own (digits, sounds), into one stream: one SSRC with
// consecutive numbers and timestamps. Receivers play the stream they have locked on. Some drop a second source beside a
// recent one, mix it in, or take it for a collision.
//
// The first source is relayed unchanged. A source that comes after our own packets, or after another source, is shifted
// to continue the stream. Outlet is a value without clock or I/O, owned by the worker.
type Outlet struct {
	begun bool   // something was sent
	ssrc  uint32 // SSRC of the sent stream

	sourced bool   // a source is being relayed
	source  uint32 // its SSRC
	Shift   Shift

	// The last packet sent, which was our own or of another source: the next relayed packet continues from it.
	owed      bool
	seq       uint16
	timestamp uint32
	at        time.Duration

	// blind says that the source has not been heard since a process was killed. seq, timestamp and at are estimates of its
	// last packet.
	blind   bool
	unsure  bool          // the timestamps of the source must be checked
	edge    uint16        // source packets up to this number come too late
	lateTil time.Duration // when edge expires

	folded   packet.EventID // the latest key sent beside the source
	foldedAs uint32         // its timestamp in the sent stream
}

// Leave records how far the relayed source has come, before another source follows.
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

// Begin prepares the stream for packets of our own.
func (o *Outlet) Begin(s *Stream, now time.Duration) {
	if !o.begun {
		o.begun, o.owed = true, true
		o.ssrc, o.seq, o.timestamp, o.at = rand.Uint32()|1, uint16(rand.Uint32()), rand.Uint32(), now-frame
		return
	}
	o.Leave(s)
}

// Moment returns the timestamp for now, at least one frame after the last one.
func (o *Outlet) Moment(rate int64, now time.Duration) uint32 {
	return o.timestamp + Units(max(now-o.at, frame), rate)
}

// After returns the timestamp that is this many units after the last one.
func (o *Outlet) After(units int) uint32 { return o.timestamp + uint32(units) }

// Due returns when a packet behind the last one is due, which was our own or kept.
func (o *Outlet) Due() time.Duration { return o.at + frame }

// SSRC returns the SSRC of the stream, if it has begun.
func (o *Outlet) SSRC() (ssrc uint32, begun bool) { return o.ssrc, o.begun }

// Put writes the RTP header of the next packet of our own, which has the timestamp for the time at.
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

// End lets the source continue after our own packets. Packets that it lost during that time, or that were replaced, do
// not count as missing.
func (o *Outlet) End(s *Stream, now time.Duration) {
	if !o.owed || !o.sourced || !s.started || s.ssrc != o.source || o.blind {
		return // the next packet continues from the last one
	}
	o.owed, o.unsure = false, true
	o.Shift.SeqOffset = o.seq - uint16(s.top)
	o.edge, o.lateTil = uint16(s.top), now+Overtaken
}

// Fold makes a telephone-event that the side sends beside its stream the next packet of the stream: it writes numbers
// into pkt that the shift turns into the right ones.
func (o *Outlet) Fold(h packet.Header, pkt []byte, s *Stream, now time.Duration) {
	o.Begin(s, now)
	o.key(h, s.Rate, now)
	o.seq++
	o.End(s, now)
	o.number(pkt, o.foldedAs)
}

// key sets foldedAs for a packet of a key. The packets of a key have one timestamp (RFC 4733 §2.2.2).
func (o *Outlet) key(h packet.Header, rate int64, now time.Duration) {
	if id := h.EventID(); id != o.folded {
		o.folded, o.foldedAs = id, o.Moment(rate, now)
	}
}

// number writes numbers into pkt that the shift turns into those of the last packet.
func (o *Outlet) number(pkt []byte, timestamp uint32) {
	binary.BigEndian.PutUint16(pkt[2:], o.seq-o.Shift.SeqOffset)
	binary.BigEndian.PutUint32(pkt[4:], timestamp-o.Shift.TimeOffset)
	binary.BigEndian.PutUint32(pkt[8:], o.ssrc)
}

// Carry makes a packet of a source that was kept the next one of the stream, with the timestamp for the time at. It
// writes numbers into pkt that the shift turns into the right ones. Begin must come first.
func (o *Outlet) Carry(pkt []byte, timestamp uint32, at time.Duration) {
	o.seq++
	o.timestamp, o.at = timestamp, at
	o.number(pkt, timestamp)
}

// CarryKey is Carry for a packet of a key, which the audio of the stream does not wait for.
func (o *Outlet) CarryKey(h packet.Header, pkt []byte, rate int64, at time.Duration) {
	o.key(h, rate, at)
	o.seq++
	o.number(pkt, o.foldedAs)
}

// Continue lets a source continue behind the last packet, which was h of the source or stands for it.
func (o *Outlet) Continue(h packet.Header, now time.Duration) {
	o.join(h, o.seq, o.timestamp, now)
	o.unsure = true // it may have paused
}

// Pass reports whether to relay a packet of the source, and whether the shift changes with it.
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

// follow sets the shift so that h becomes the next packet after the last one.
func (o *Outlet) follow(h packet.Header, rate int64, now time.Duration) {
	o.join(h, o.seq+1, o.Moment(rate, now), now)
	o.edge = h.Seq - 1
}

// join sets the shift so that h has this number and timestamp. Packets up to h come too late.
func (o *Outlet) join(h packet.Header, seq uint16, timestamp uint32, now time.Duration) {
	o.sourced, o.source, o.owed, o.unsure, o.blind = true, h.SSRC, false, false, false
	o.Shift = Shift{SeqOffset: seq - h.Seq, TimeOffset: timestamp - h.Timestamp}
	if h.SSRC != o.ssrc {
		o.Shift.SSRC = o.ssrc
	}
	o.edge, o.lateTil = h.Seq, now+Overtaken
}

// settle corrects the timestamps of a source that stood still during a pause, and reports whether they did.
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

// Restart says that the source restarts: its next packet continues from the last one that was sent.
func (o *Outlet) Restart() { o.owed = o.begun }

// Convert says that the timestamps of this outlet have another unit from now on: time converts them, modulo 2^32. s is
// the relayed stream. The source continues from the last packet.
func (o *Outlet) Convert(s *Stream, time func(timestamp uint32) uint32) {
	o.Leave(s)
	o.Restart()
	o.timestamp, o.foldedAs = time(o.timestamp), time(o.foldedAs)
}

// Advance says that the receiver has been sent n more numbers than passed through this outlet, modulo 2^16. The source
// continues after them.
func (o *Outlet) Advance(n uint16) { o.seq, o.Shift.SeqOffset = o.seq+n, o.Shift.SeqOffset+n }

// Steady reports whether the source is relayed and its shift is settled.
func (o *Outlet) Steady(now time.Duration) bool {
	return o.sourced && !o.owed && !o.unsure && now >= o.lateTil
}

// Relays reports whether the SSRC is that of the relayed source.
func (o *Outlet) Relays(ssrc uint32) bool { return ssrc == o.source }

// Adopt records that another process or the kernel has relayed a source with this shift.
func (o *Outlet) Adopt(ssrc uint32, shift Shift) {
	*o = Outlet{begun: true, ssrc: cmp.Or(shift.SSRC, ssrc), sourced: true, source: ssrc, Shift: shift}
}

// Alias returns the identity under which the receiver knows a relayed stream. A stream has no alias before its first
// packet.
func (o *Outlet) Alias(s *Stream) packet.Alias {
	return packet.Alias{
		Known: s.started && o.sourced && s.ssrc == o.source,
		From:  s.ssrc, To: cmp.Or(o.Shift.SSRC, s.ssrc), Time: o.Shift.TimeOffset, Seq: o.Shift.SeqOffset, Top: s.top,
	}
}
