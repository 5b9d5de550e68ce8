package stage

import (
	"errors"
	"net/netip"
	"time"

	"flowbridge/media/opus"
	"flowbridge/media/packet"
	"flowbridge/media/stream"
)

const (
	// fillAfter is how long after a packet its stream counts as pausing: by DTX, which sends a packet every 400 ms (RFC
	// 7587 section 3.1.3), by loss or by jitter. The pause is filled until fillUntil after the packet.
	fillAfter = 60 * time.Millisecond
	fillUntil = 500 * time.Millisecond

	fillEvery = 20 * time.Millisecond

	// budgetMost is how much more than real time a side may send at once, in samples. What is above it is dropped.
	budgetMost = 2 * opus.Rate

	frameLen = opus.Frame
)

// inward makes packets of G.711, of 20 ms, from the Opus that a side sends: one stream without a hole, with its own
// numbers and timestamps of 8 kHz. Telephone-events pass in it.
type inward struct {
	edge   *edge
	order  order
	stream stream.Stream // what it has made
	source netip.AddrPort

	seq    uint16 // last
	clock  uint32 // timestamp of the next sample to come
	marked bool   // the next packet begins after a pause
	begun  bool
	heard  bool // audio of this stream was decoded
	last   time.Duration
	due    time.Duration
	filled bool // nothing more is filled until a packet comes

	base8, base48 uint32 // timestamps of the same moment
	budget        int64  // samples that may be decoded
	at            time.Duration

	samples [opus.Longest]int16
	waiting [frameLen]int16 // less than a frame, before clock
	wait    int
	pkt     [packet.HeaderLen + frameLen]byte
	made    Packet // of pkt
}

// take handles a packet of the side.
func (in *inward) take(p *Packet) {
	o, payload := &in.order, packet.Payload(p.Data)
	events := in.edge.config.Events.Has(p.PayloadType)
	if events && o.started && p.SSRC != o.ssrc { // beside the stream
		in.event(p.Header, packet.Marker(p.Data), payload, p.Now, p.Source)
		return
	}
	if o.begins(p.Header) {
		in.begin(p.Header, p.Now)
	}
	in.source = p.Source
	if o.isFar(p.Header) {
		in.drain(p.Now, true)
		if o.isFar(p.Header) {
			o.skip(p.Header)
		}
	}
	if o.due(p.Header, packet.Marker(p.Data), payload, p.Now) {
		in.pass(p.Header, packet.Marker(p.Data), payload, p.Now)
	}
	in.drain(p.Now, false)
	in.last, in.filled = p.Now, false
	in.schedule()
}

// begin starts with the first packet of a stream, or continues the numbers of a sender that has restarted.
func (in *inward) begin(h packet.Header, now time.Duration) {
	if in.heard {
		in.check(in.edge.codec.decoder.Reset())
	}
	if !in.begun {
		in.budget, in.at = budgetMost, now
	}
	if !in.begun || in.stream.SSRC() != h.SSRC {
		in.stream.Renew()
		in.begun, in.seq, in.clock = true, h.Seq-1, h.Timestamp/opus.Scale
	} else {
		in.clock += uint32(in.passed(now)) // at most an hour
	}
	in.wait, in.marked, in.heard = 0, true, false
	in.base8, in.base48, in.last = in.clock, h.Timestamp, now
}

// passed returns the time since the last packet, in samples.
func (in *inward) passed(now time.Duration) int64 {
	return min(now-in.last, time.Hour).Microseconds() * opus.Rate / 1e6
}

func (in *inward) drain(now time.Duration, all bool) {
	for p := in.order.pop(now, all); p != nil; p = in.order.pop(now, all) {
		in.pass(p.Header, p.marker, p.payload[:p.size], now)
	}
}

// schedule sets when attend is called without a packet.
func (in *inward) schedule() {
	in.due = stream.Never
	if in.heard && !in.filled {
		in.due = in.last + fillAfter
	}
	if in.order.count > 0 {
		in.due = min(in.due, in.order.since+orderWait)
	}
}

// attend fills a pause, and gives up packets that were waited for.
func (in *inward) attend(now time.Duration) {
	if in.edge.broken {
		in.due = stream.Never
		return
	}
	in.drain(now, false)
	if in.filled = now-in.last >= fillUntil; in.heard && !in.filled && now-in.last >= fillAfter {
		in.conceal(frameLen, nil, now)
		in.due = now + fillEvery
		return
	}
	in.schedule()
}

// pass handles a packet whose turn it is.
func (in *inward) pass(h packet.Header, marker bool, payload []byte, now time.Duration) {
	c := &in.edge.config
	switch {
	case c.Events.Has(h.PayloadType):
		in.event(h, marker, payload, now, in.source)
	case c.Takes.Has(h.PayloadType):
		in.audio(h, payload, now)
	}
	in.order.lost = 0
}

// inner converts a timestamp of the side.
func (in *inward) inner(timestamp uint32) uint32 {
	return in.base8 + uint32(int32(timestamp-in.base48)/opus.Scale) // modulo 2^32 on purpose
}

// audio decodes a packet of Opus, after what is missing before it.
func (in *inward) audio(h packet.Header, payload []byte, now time.Duration) {
	n := opus.Samples(payload)
	if !in.affords(int64(max(n, frameLen)), now) {
		return
	}
	is := in.inner(h.Timestamp)
	in.base8, in.base48 = is, h.Timestamp
	gap := int32(is - in.clock) // modulo 2^32 on purpose
	switch {
	case int64(gap) > in.passed(now)+2*opus.Rate || gap < -2*opus.Rate: // the sender's clock has jumped
		in.base8 = in.clock
	case gap > 0:
		in.bridge(int(gap), n, payload, now)
	case gap < -opus.Longest: // what was filled stands for it
		return
	}
	if in.edge.broken {
		return
	}
	samples, err := in.edge.codec.decoder.Decode(payload, in.samples[:])
	if errors.Is(err, opus.ErrBroken) {
		in.edge.fail(err)
		return
	}
	if err != nil {
		in.conceal(max(n, frameLen), nil, now)
		return
	}
	in.heard = true
	in.push(in.samples[:samples], now)
}

// affords reports whether so many samples may be decoded: at most a quarter more than real time for long.
func (in *inward) affords(samples int64, now time.Duration) bool {
	passed := min(now-in.at, time.Second).Microseconds() * opus.Rate / 1e6
	in.budget, in.at = min(in.budget+passed*5/4, budgetMost), now
	if in.budget < samples {
		return false
	}
	in.budget -= samples
	return true
}

// bridge fills the gap before a packet of n samples. A longer one than a packet can be is a pause.
func (in *inward) bridge(gap, n int, next []byte, now time.Duration) {
	missing := min(gap, opus.Longest) / 20 * 20 // the codec wants multiples of 2.5 ms
	if in.heard && (in.order.lost > 0 || gap <= opus.Longest) {
		last := 0
		if in.order.lost > 0 {
			last = min(n, missing)
		}
		in.conceal(missing-last, nil, now)
		in.conceal(last, next, now)
	}
	if gap > opus.Longest || !in.heard {
		in.flush(now)
		in.clock, in.marked = in.inner(in.base48), true
	}
}

// conceal makes up samples, from the packet behind them if there is one.
func (in *inward) conceal(n int, next []byte, now time.Duration) {
	for n > 0 && !in.edge.broken {
		samples := in.samples[:min(n, frameLen)]
		if next != nil {
			samples = in.samples[:n]
			in.check(in.edge.codec.decoder.Recover(next, samples))
		} else {
			in.check(in.edge.codec.decoder.Conceal(samples))
		}
		n -= len(samples)
		in.push(samples, now)
	}
}

// check ends the audio if the codec has failed. Any other error is about one packet.
func (in *inward) check(err error) {
	if errors.Is(err, opus.ErrBroken) {
		in.edge.fail(err)
	}
}

// push sends samples on, in whole frames.
func (in *inward) push(samples []int16, now time.Duration) {
	for len(samples) > 0 {
		n := copy(in.waiting[in.wait:], samples)
		samples, in.wait, in.clock = samples[n:], in.wait+n, in.clock+uint32(n)
		if in.wait == frameLen {
			in.send(now)
		}
	}
}

// flush sends what waits, with silence behind it.
func (in *inward) flush(now time.Duration) {
	if in.wait > 0 {
		clear(in.waiting[in.wait:])
		in.clock += uint32(frameLen - in.wait)
		in.send(now)
	}
}

func (in *inward) send(now time.Duration) {
	c := &in.edge.config
	in.seq++
	h := packet.Header{
		PayloadType: c.Number, Seq: in.seq, Timestamp: in.clock - frameLen, SSRC: in.order.ssrc,
	}
	putHeader(in.pkt[:], h, in.marked)
	c.law().Encode(in.pkt[packet.HeaderLen:], in.waiting[:])
	in.wait, in.marked = 0, false
	in.hand(h, in.pkt[:], now, in.source)
}

// event passes a telephone-event on. The audio continues behind it.
func (in *inward) event(h packet.Header, marker bool, payload []byte, now time.Duration, source netip.AddrPort) {
	e, ok := packet.ParseEvent(payload)
	if !ok || len(payload) > len(in.pkt)-packet.HeaderLen {
		return
	}
	beside := h.SSRC != in.order.ssrc
	if !beside {
		in.flush(now)
		in.seq++
		h.Seq = in.seq
	}
	factor := 1
	if in.edge.config.Scaled.Has(h.PayloadType) {
		factor = opus.Scale
	}
	h.Timestamp = in.inner(h.Timestamp)
	if end := h.Timestamp + uint32(e.Duration)/uint32(factor); int32(end-in.clock) > 0 { // modulo 2^32 on purpose
		in.clock = end
	}
	pkt := in.pkt[:packet.HeaderLen+copy(in.pkt[packet.HeaderLen:], payload)]
	putHeader(pkt, h, marker)
	scaled(packet.Payload(pkt), -factor)
	in.hand(h, pkt, now, source)
}

// hand gives a packet to the stages.
func (in *inward) hand(h packet.Header, pkt []byte, now time.Duration, source netip.AddrPort) {
	e := in.edge
	if h.SSRC == in.order.ssrc {
		in.stream.Observe(h, now)
	}
	in.made = Packet{Header: h, Data: pkt, Now: now, Source: source, Key: e.config.Events.Has(h.PayloadType)}
	e.way.session.Pass(e.way.side, &in.made)
}
