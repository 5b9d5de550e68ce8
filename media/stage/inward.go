package stage

import (
	"encoding/binary"
	"net/netip"
	"time"

	"flowbridge/media/opus"
	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

// inward turns the Opus that a side sends into G.711 packets of 20 ms, or of 10 ms: one stream without gaps, with its
// own sequence numbers and with timestamps at 8 kHz. Telephone-events pass within this stream.
type inward struct {
	edge   *transcoder
	order  order
	budget budget
	stream stream.Stream // the stream of G.711 that it produces
	source netip.AddrPort

	seq    uint16 // the last sequence number sent
	clock  uint32 // timestamp of the next sample
	marked bool   // the next packet begins after a pause
	begun  bool
	heard  bool // whether audio of this stream was decoded
	last   time.Duration
	key    longEvent
	pauses

	base8, base48 uint32 // timestamps of the same moment in the two clocks

	samples [opus.Longest]int16
	waiting [frameLen]int16 // an incomplete frame, before clock
	wait    int
	pkt     [packet.HeaderLen + frameLen]byte
	made    Packet // of pkt
}

// take handles a packet from the side.
func (in *inward) take(p *Packet) {
	in.source = p.Source
	o, is := &in.order, pieceOf(p.Data, p.Header)
	if o.started && p.SSRC != o.ssrc && in.edge.config.Events.Has(p.PayloadType) { // beside the stream
		in.event(is, p.Now)
		return
	}
	if o.take(is, p.Now) {
		in.last, in.filled = p.Now, false
	}
}

// begin starts a stream with its first packet, or continues the numbers of a sender that has restarted.
func (in *inward) begin(p piece, now time.Duration) {
	if !in.begun || in.stream.SSRC() != p.SSRC {
		in.stream.Renew()
		in.begun, in.seq, in.clock = true, p.Seq-1, p.Timestamp/opus.Scale
	} else {
		in.clock += uint32(in.passed(now)) // at most an hour
	}
	in.wait, in.marked, in.heard, in.pauses = 0, true, false, pauses{}
	in.base8, in.base48, in.last = in.clock, p.Timestamp, now
}

// passed returns the time since the last packet, in samples, up to an hour.
func (in *inward) passed(now time.Duration) int64 { return inSamples(min(now-in.last, time.Hour)) }

func inSamples(t time.Duration) int64 { return t.Microseconds() * opus.Rate / 1e6 }

// pass handles a packet whose turn it is.
func (in *inward) pass(p piece, now time.Duration) {
	c := &in.edge.config
	switch {
	case in.edge.broken:
	case c.Events.Has(p.PayloadType):
		in.event(p, now)
	case c.Takes.Has(p.PayloadType):
		in.audio(p, now)
	}
}

// inner converts a timestamp of the side to the inner clock, modulo 2^32. It rounds down, even for timestamps before
// the last one: up times Scale is above 2^31, so no negative number is divided.
func (in *inward) inner(timestamp uint32) uint32 {
	const up = 1 << 29
	return in.base8 + uint32((int64(int32(timestamp-in.base48))+up*opus.Scale)/opus.Scale-up)
}

// audio decodes a packet of Opus, after making up for packets missing before it.
func (in *inward) audio(p piece, now time.Duration) {
	n := opus.Samples(p.payload)
	if n == 0 {
		return // the next packet treats it as missing
	}
	if !in.budget.affords(n, !in.heard, now) {
		in.edge.way.session.Cut(in.edge.way.side, Ahead)
		return
	}
	is := in.inner(p.Timestamp)
	in.base8, in.base48 = is, p.Timestamp
	gap := int(int32(is - in.clock)) // modulo 2^32 on purpose
	silent, again := in.judge(p, gap)
	gap = in.shifted(gap, silent)
	switch {
	case int64(gap) > in.passed(now)+2*opus.Rate, gap < -in.ahead-opus.Longest, // the sender's clock has jumped
		p.marker && gap <= -in.ahead: // or has stood still
		in.base8 = in.clock
	case gap > 0:
		in.bridge(gap, n, p.payload, now)
	}
	codec := in.edge.config.codec.decoder
	if !in.heard && in.edge.broke(codec.Reset()) || in.edge.broken {
		return
	}
	samples, err := codec.Decode(p.payload, in.samples[:])
	if in.edge.broke(err) || err != nil {
		return
	}
	in.heard, in.fill = true, stream.Never
	in.place(in.samples[:samples], silent, now)
	if silent {
		in.fill = now + stream.Span(uint64(samples+in.early), opus.Rate) + in.patience(again)
	}
}

// bridge fills the gap before a packet of n samples. A gap longer than any packet is a pause.
func (in *inward) bridge(gap, n int, next []byte, now time.Duration) {
	missing := min(gap, opus.Longest) / 20 * 20 // the codec wants multiples of 2.5 ms
	lost := in.order.lost > 0
	if in.heard && (lost || gap <= opus.Longest) && in.budget.affords(missing, false, now) {
		last := 0
		if lost {
			last = min(n, missing)
		}
		in.conceal(missing-last, nil, now)
		in.conceal(last, next, now)
	}
	if gap > opus.Longest || !in.heard {
		in.flush(now)
		in.clock, in.marked = in.base8, true
	}
}

// conceal makes up n samples, with the help of the packet behind them if there is one.
func (in *inward) conceal(n int, next []byte, now time.Duration) {
	for n > 0 {
		samples := in.samples[:min(n, frameLen)]
		if next != nil {
			samples = in.samples[:n]
		}
		if in.edge.broke(in.edge.config.codec.decoder.Recover(next, samples)) {
			return
		}
		n -= len(samples)
		in.push(samples, now)
	}
}

// push passes samples on, in whole frames.
func (in *inward) push(samples []int16, now time.Duration) {
	frame := in.edge.config.frame()
	for len(samples) > 0 {
		n := copy(in.waiting[min(in.wait, frame):frame], samples)
		samples, in.wait, in.clock = samples[n:], in.wait+n, in.clock+uint32(n)
		if in.wait >= frame { // more than that may have waited for a longer frame
			in.send(now)
		}
	}
}

// flush completes the waiting frame with silence, and sends it.
func (in *inward) flush(now time.Duration) {
	if in.wait > 0 {
		whole := max(in.edge.config.frame(), in.wait)
		clear(in.waiting[in.wait:whole])
		in.wait, in.clock = whole, in.clock+uint32(whole-in.wait)
		in.send(now)
	}
}

func (in *inward) send(now time.Duration) {
	c := &in.edge.config
	in.seq++
	h := packet.Header{
		PayloadType: c.Number, Seq: in.seq, Timestamp: in.clock - uint32(in.wait), SSRC: in.order.ssrc,
	}
	pkt := in.pkt[:packet.HeaderLen+in.wait]
	putHeader(pkt, h, in.marked)
	c.law().Encode(packet.Payload(pkt), in.waiting[:in.wait])
	in.wait, in.marked = 0, false
	in.hand(h, pkt, now)
}

// event passes a telephone-event on. The audio continues behind it, unless it is beside the stream.
func (in *inward) event(p piece, now time.Duration) {
	e, ok := packet.ParseEvent(p.payload)
	if !ok || len(p.payload) > len(in.pkt)-packet.HeaderLen {
		return
	}
	h := p.Header
	h.Timestamp = in.inner(h.Timestamp)
	if in.edge.config.Scaled.Has(p.PayloadType) {
		h.Timestamp, e.Duration = in.key.convert(p.Header, p.marker, e, h.Timestamp, 1, opus.Scale)
	}
	if h.SSRC == in.order.ssrc {
		in.flush(now)
		if in.fill != stream.Never {
			in.fill = now + fillAfter
		}
		in.seq++
		h.Seq = in.seq
		if end := h.Timestamp + uint32(e.Duration); int32(end-in.clock) > 0 { // modulo 2^32 on purpose
			in.clock = end
		}
	}
	pkt := in.pkt[:packet.HeaderLen+copy(in.pkt[packet.HeaderLen:], p.payload)]
	putHeader(pkt, h, p.marker)
	binary.BigEndian.PutUint16(packet.Payload(pkt)[2:], e.Duration)
	in.hand(h, pkt, now)
}

// hand gives a packet to the stages.
func (in *inward) hand(h packet.Header, pkt []byte, now time.Duration) {
	e := in.edge
	if h.SSRC == in.order.ssrc {
		in.stream.Observe(h, now)
	}
	in.made = Packet{Header: h, Data: pkt, Now: now, Source: in.source, Key: e.config.Events.Has(h.PayloadType)}
	e.way.session.Pass(e.way.side, &in.made)
}
