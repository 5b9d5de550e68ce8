package stage

import (
	"encoding/binary"
	"time"

	"flowbridge/media/opus"
	"flowbridge/media/packet"
)

// outward turns the G.711 that is sent to a side, in packets of any length, into Opus packets of 20 ms. A lost packet
// stays lost: the receiver conceals it better than we could. Telephone-events are converted to the side's clock.
//
// The timestamps are six times those of the incoming stream, which is continuous even where 32 bits wrap. The sequence
// numbers start at those of that stream, and equal them as long as its packets are of 20 ms. Stages.Ahead returns the
// difference, with which they continue after a hand-over. After a kill they continue only if the difference is zero.
type outward struct {
	edge   *transcoder
	order  order
	budget budget

	begun  bool
	fresh  bool   // whether the next frame is the first of a stream
	seq    uint16 // the last sequence number sent
	end    uint32 // timestamp of the next sample
	marked bool   // whether the next packet begins after a pause
	made   bool   // whether a packet was made of the last one
	failed bool   // whether something of it was not sent, except a pause by DTX
	key    longEvent

	samples [frameLen]int16 // an incomplete frame, before end
	wait    int
	pkt     [packet.HeaderLen + opus.MaxPacket]byte
}

// take handles a packet for the side, and reports whether the packets made from it were sent.
func (out *outward) take(pkt []byte, now time.Duration) bool {
	h, ok := packet.ParseRTP(pkt)
	if !ok {
		return false
	}
	out.made, out.failed = false, false
	out.order.take(pieceOf(pkt, h), now)
	return !out.failed
}

func (out *outward) begin(p piece, _ time.Duration) {
	if !out.begun {
		out.seq = p.Seq - 1
	}
	out.begun, out.fresh, out.end, out.wait, out.marked = true, true, p.Timestamp, 0, true
}

// pass handles a packet whose turn it is.
func (out *outward) pass(p piece, now time.Duration) {
	c := &out.edge.config
	switch {
	case out.edge.broken:
	case c.Events.Has(p.PayloadType):
		out.event(p, now)
	case p.PayloadType == c.Number:
		out.audio(p, now)
	}
}

// audio encodes a packet of G.711.
func (out *outward) audio(p piece, now time.Duration) {
	if gap := int32(p.Timestamp - out.end); gap != 0 { // modulo 2^32 on purpose
		out.flush(now)
		if out.order.lost > 0 && gap > 0 {
			out.seq += uint16(min(gap/frameLen, orderJump))
		} else {
			out.marked = true
		}
		out.end = p.Timestamp
	}
	out.marked = out.marked || p.marker
	law := out.edge.config.law()
	for payload := p.payload; len(payload) > 0; {
		n := law.Decode(out.samples[out.wait:], payload)
		payload, out.wait, out.end = payload[n:], out.wait+n, out.end+uint32(n)
		if out.wait == frameLen {
			out.encode(now)
		}
	}
}

// flush completes the waiting frame with silence, and encodes it.
func (out *outward) flush(now time.Duration) {
	if out.wait > 0 {
		clear(out.samples[out.wait:])
		out.end += uint32(frameLen - out.wait)
		out.encode(now)
	}
}

// overtaken counts a packet that came after its turn.
func (out *outward) overtaken() { out.edge.way.session.Cut(out.edge.way.side.Other(), Overtaken) }

// encode sends a frame if the other side's budget allows it.
func (out *outward) encode(now time.Duration) {
	codec := out.edge.config.codec.encoder
	out.wait = 0
	if !out.budget.affords(frameLen, out.fresh, now) {
		out.marked, out.failed = true, true
		out.edge.way.session.Cut(out.edge.way.side.Other(), Ahead)
		return
	}
	if out.fresh && out.edge.broke(codec.Reset()) {
		return
	}
	out.fresh = false
	n, err := codec.Encode(out.samples[:], out.pkt[packet.HeaderLen:])
	if out.edge.broke(err) {
		return
	}
	if err != nil || n == 0 { // a pause by DTX
		out.marked, out.failed = true, out.failed || err != nil
		return
	}
	timestamp := (out.end - frameLen) * opus.Scale
	out.put(packet.Header{PayloadType: out.edge.config.Opus, Timestamp: timestamp}, out.marked, n)
	out.marked = false
}

// event passes a telephone-event on, after the audio that waits before it.
func (out *outward) event(p piece, now time.Duration) {
	if len(p.payload) > opus.MaxPacket {
		return
	}
	out.flush(now)
	out.seq += uint16(min(out.order.lost, orderJump))
	n, h := copy(out.pkt[packet.HeaderLen:], p.payload), p.Header
	h.Timestamp *= opus.Scale
	if e, ok := packet.ParseEvent(p.payload); ok && out.edge.config.Scaled.Has(p.PayloadType) {
		h.Timestamp, e.Duration = out.key.convert(p.Header, p.marker, e, h.Timestamp, opus.Scale, 1)
		binary.BigEndian.PutUint16(out.pkt[packet.HeaderLen+2:], e.Duration)
	}
	out.put(h, p.marker, n)
}

// put sends a packet with n bytes of payload. h has its timestamp.
func (out *outward) put(h packet.Header, marker bool, n int) {
	out.seq++
	h.Seq, h.SSRC = out.seq, out.order.ssrc
	putHeader(out.pkt[:], h, marker)
	sent := out.edge.way.session.Put(out.edge.way.side, out.pkt[:packet.HeaderLen+n])
	out.made, out.failed = true, out.failed || !sent
}
