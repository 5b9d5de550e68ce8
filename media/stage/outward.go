package stage

import (
	"errors"

	"flowbridge/media/opus"
	"flowbridge/media/packet"
)

// outward makes packets of Opus, of 20 ms, from the G.711 that a side is sent, in packets of any length. A lost packet
// stays lost: the receiver conceals it better than we could. Telephone-events pass with the other clock.
//
// The timestamps are those of the stream that comes, six times, which is continuous also where 32 bits wrap. The
// numbers begin with those of that stream, and are the same as long as its packets have 20 ms. So they go on after a
// kill.
type outward struct {
	edge  *edge
	order order

	begun  bool
	seq    uint16 // last
	end    uint32 // timestamp of the next sample to come
	marked bool   // the next packet begins after a pause
	sent   bool   // the last packet was

	samples [frameLen]int16 // less than a frame, before end
	wait    int
	pkt     [packet.HeaderLen + opus.MaxPacket]byte
}

// take handles a packet for the side, and reports whether what became of it was sent.
func (out *outward) take(pkt []byte) bool {
	h, ok := packet.ParseRTP(pkt)
	if !ok {
		return false
	}
	o, payload, marker := &out.order, packet.Payload(pkt), packet.Marker(pkt)
	if o.begins(h) {
		out.begin(h)
	}
	out.sent = true
	if o.isFar(h) {
		out.drain(true)
		if o.isFar(h) {
			o.skip(h)
		}
	}
	if o.due(h, marker, payload, 0) {
		out.pass(h, marker, payload)
	}
	out.drain(false)
	return out.sent
}

func (out *outward) begin(h packet.Header) {
	if out.begun {
		if err := out.edge.codec.encoder.Reset(); err != nil {
			out.edge.fail(err)
		}
	} else {
		out.seq = h.Seq - 1
	}
	out.begun, out.end, out.wait, out.marked = true, h.Timestamp, 0, true
}

func (out *outward) drain(all bool) {
	for p := out.order.pop(0, all); p != nil; p = out.order.pop(0, all) {
		out.pass(p.Header, p.marker, p.payload[:p.size])
	}
}

// pass handles a packet whose turn it is.
func (out *outward) pass(h packet.Header, marker bool, payload []byte) {
	c := &out.edge.config
	switch {
	case out.edge.broken:
	case c.Events.Has(h.PayloadType):
		out.event(h, marker, payload)
	case h.PayloadType == c.Number:
		out.audio(h, marker, payload)
	}
	out.order.lost = 0
}

// audio encodes a packet of G.711.
func (out *outward) audio(h packet.Header, marker bool, payload []byte) {
	if gap := int32(h.Timestamp - out.end); gap != 0 { // modulo 2^32 on purpose
		out.flush()
		if out.order.lost > 0 && gap > 0 {
			out.seq += uint16(min(gap/frameLen, orderJump))
		} else {
			out.marked = true
		}
		out.end = h.Timestamp
	}
	out.marked = out.marked || marker
	law := out.edge.config.law()
	for len(payload) > 0 {
		n := law.Decode(out.samples[out.wait:], payload)
		payload, out.wait, out.end = payload[n:], out.wait+n, out.end+uint32(n)
		if out.wait == frameLen {
			out.encode()
		}
	}
}

// flush encodes what waits, with silence behind it.
func (out *outward) flush() {
	if out.wait > 0 {
		clear(out.samples[out.wait:])
		out.end += uint32(frameLen - out.wait)
		out.encode()
	}
}

func (out *outward) encode() {
	e := out.edge
	out.wait = 0
	n, err := e.codec.encoder.Encode(out.samples[:], out.pkt[packet.HeaderLen:])
	switch {
	case errors.Is(err, opus.ErrBroken):
		e.fail(err)
		return
	case err != nil, n == 0: // a pause by DTX
		out.marked = true
		return
	}
	out.put(packet.Header{PayloadType: e.config.Opus, Timestamp: out.end - frameLen}, out.marked, n)
	out.marked = false
}

// event passes a telephone-event on. What waits before it comes first.
func (out *outward) event(h packet.Header, marker bool, payload []byte) {
	if len(payload) > opus.MaxPacket {
		return
	}
	out.flush()
	if out.order.lost > 0 {
		out.seq += uint16(min(out.order.lost, orderJump))
	}
	n := copy(out.pkt[packet.HeaderLen:], payload)
	if out.edge.config.Scaled.Has(h.PayloadType) {
		scaled(out.pkt[packet.HeaderLen:packet.HeaderLen+n], opus.Scale)
	}
	out.put(h, marker, n)
}

// put sends a packet with n bytes of payload. The header has the timestamp of the stream that comes.
func (out *outward) put(h packet.Header, marker bool, n int) {
	out.seq++
	h.Seq, h.SSRC, h.Timestamp = out.seq, out.order.ssrc, h.Timestamp*opus.Scale
	putHeader(out.pkt[:], h, marker)
	out.sent = out.edge.way.session.Put(out.edge.way.side, out.pkt[:packet.HeaderLen+n])
}
