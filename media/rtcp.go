package media

import (
	"encoding/binary"
	"math"
	"time"
)

// The packet types that are looked into: RFC 3550 §12.1, RFC 4585 §6.1, RFC 3611 §2.
const (
	rtcpSR = 200 + iota
	rtcpRR
	rtcpSDES
	rtcpBYE
	rtcpAPP
	rtcpRTPFB
	rtcpPSFB
	rtcpXR
)

const (
	senderInfoLen  = 24 // of an SR, from its SSRC to its first report block
	reportBlockLen = 24
	genericNACK    = 1 // the FMT of it (RFC 4585 §6.2.1)

	// roundTripMax is the longest round trip that is accepted.
	roundTripMax = 10 * time.Second

	// reportsKept is how many sender reports are remembered per direction. They come every five seconds, and
	// receivers refer to the last.
	reportsKept = 8

	// roundTripShare is the weight of a new measurement in the smoothed value.
	roundTripShare = 8
)

// controlPacket is one packet of a valid compound.
type controlPacket struct {
	kind  uint8
	count int    // of report blocks, chunks or sources; FMT of feedback
	body  []byte // behind the header, without padding
}

// nextRTCP splits the first packet off a compound. If the padding is inconsistent, the body is empty, so that it is
// not read.
func nextRTCP(compound []byte) (p controlPacket, rest []byte) {
	size := 4 * (1 + int(binary.BigEndian.Uint16(compound[2:])))
	p = controlPacket{kind: compound[1], count: int(compound[0] & 0x1f), body: compound[rtcpHeaderLen:size]}
	if compound[0]&0x20 != 0 && len(p.body) > 0 {
		pad := int(p.body[len(p.body)-1])
		if pad == 0 || pad%4 != 0 || pad > len(p.body) {
			pad = len(p.body)
		}
		p.body = p.body[:len(p.body)-pad]
	}
	return p, compound[size:]
}

// reports returns the report blocks of an SR or RR, none if they do not fit.
func (p controlPacket) reports() []byte {
	start := 4
	switch p.kind {
	case rtcpSR:
		start = senderInfoLen
	case rtcpRR:
	default:
		return nil
	}
	end := start + reportBlockLen*p.count
	if end > len(p.body) {
		return nil
	}
	return p.body[start:end]
}

// reportsOf reports whether a compound begins with a report of this source and has no goodbye.
func reportsOf(compound []byte, ssrc uint32) bool {
	p, rest := nextRTCP(compound)
	if (p.kind != rtcpSR && p.kind != rtcpRR) || len(p.body) < 4 || binary.BigEndian.Uint32(p.body) != ssrc {
		return false
	}
	for len(rest) > 0 {
		if p, rest = nextRTCP(rest); p.kind == rtcpBYE {
			return false
		}
	}
	return true
}

// sent returns when a sender report was sent, as the middle 32 bits of the NTP timestamp (RFC 3550 §4), or 0.
func (p controlPacket) sent() uint32 {
	if p.kind != rtcpSR || len(p.body) < senderInfoLen {
		return 0
	}
	return binary.BigEndian.Uint32(p.body[6:])
}

// relayedReport is a sender report that was relayed.
type relayedReport struct {
	ntp uint32 // 0: none
	at  time.Duration
}

// roundTrip measures the distance to a side. It remembers when it relayed each sender report to the side. It is a
// value owned by the worker.
type roundTrip struct {
	relayed  *[reportsKept]relayedReport // nil before the first
	next     int
	smoothed time.Duration // 0: not measured
}

func (t *roundTrip) note(ntp uint32, now time.Duration) {
	if ntp == 0 {
		return
	}
	if t.relayed == nil {
		t.relayed = &[reportsKept]relayedReport{}
	}
	t.relayed[t.next] = relayedReport{ntp: ntp, at: now}
	t.next = (t.next + 1) % reportsKept
}

// measure takes LSR and DLSR of a report block that came at now. RTT is the time since the report was relayed, less
// DLSR (RFC 3550 §6.4.1). Impossible values are ignored.
func (t *roundTrip) measure(lsr, dlsr uint32, now time.Duration) {
	if lsr == 0 || t.relayed == nil {
		return
	}
	for i := range t.relayed {
		r := &t.relayed[(t.next-1-i+2*reportsKept)%reportsKept] // the last first
		if r.ntp != lsr {
			continue
		}
		rtt := now - r.at - time.Duration(dlsr)*time.Second/65536
		switch {
		case rtt <= 0 || rtt > roundTripMax:
		case t.smoothed == 0:
			t.smoothed = rtt
		default:
			t.smoothed += (rtt - t.smoothed) / roundTripShare
		}
		return
	}
}

// readReports reads a compound of a side before it is rewritten.
func (r *relay) readReports(from Side, compound []byte, now time.Duration) {
	for len(compound) > 0 {
		var p controlPacket
		p, compound = nextRTCP(compound)
		r.roundTrip[from.Other()].note(p.sent(), now)
		for blocks := p.reports(); len(blocks) > 0; blocks = blocks[reportBlockLen:] {
			r.readReport(from, blocks[:reportBlockLen], now)
		}
	}
}

func (r *relay) readReport(from Side, block []byte, now time.Duration) {
	c := r.ledger.flow[from][RTCP].ofRTCP()
	r.roundTrip[from].measure(binary.BigEndian.Uint32(block[16:]), binary.BigEndian.Uint32(block[20:]), now)
	c.RTT.Store(int64(r.roundTrip[from].smoothed))
	heard := r.alias(from.Other())
	if !heard.known || binary.BigEndian.Uint32(block) != heard.to {
		return // of a stream that we know nothing of
	}
	lost := int32(binary.BigEndian.Uint32(block[4:])<<8) >> 8 // 24 bits, signed
	jitter := binary.BigEndian.Uint32(block[12:])
	c.RemoteLost.Store(int64(lost))
	c.RemoteLoss.Store(math.Float64bits(float64(block[4]) / 256))
	c.RemoteJitter.Store(math.Float64bits(float64(jitter) * 1000 / float64(r.endpoint[from.Other()][RTP].stream.clock())))
	c.Reports.Add(1)
}

// alias says how the other side knows the stream that comes from a side. The stream has no alias before its first
// packet is relayed.
func (r *relay) alias(from Side) alias {
	ep := &r.endpoint[from][RTP]
	if ep.rtpState == nil {
		return alias{}
	}
	s, o := &ep.stream, &ep.outlet
	a := alias{
		known: s.started && o.sourced && s.ssrc == o.source,
		from:  s.ssrc, to: s.ssrc, time: o.shift.TimeOffset, seq: o.shift.SeqOffset, top: s.top,
	}
	if o.shift.SSRC != 0 {
		a.to = o.shift.SSRC
	}
	a.seq += r.secure[from.Other()].shift(a.to)
	return a
}
