package packet

import "encoding/binary"

// The packet types that are parsed: RFC 3550 §12.1, RFC 4585 §6.1, RFC 3611 §2.
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
	senderInfoLen = 24 // length of an SR from its SSRC to its first report block
	genericNACK   = 1  // the FMT of a generic NACK (RFC 4585 §6.2.1)
)

// ReportBlockLen is the length of a report block of an SR or RR, in bytes (RFC 3550 §6.4.1).
const ReportBlockLen = 24

// Control is one packet of a valid compound.
type Control struct {
	kind  uint8
	count int    // number of report blocks, chunks or sources; for feedback, the FMT
	body  []byte // the rest after the header, without padding
}

// NextRTCP splits the first packet off a valid compound. If the padding is inconsistent, the body is empty, so that it
// is not parsed.
func NextRTCP(compound []byte) (p Control, rest []byte) {
	size := 4 * (1 + int(binary.BigEndian.Uint16(compound[2:])))
	p = Control{kind: compound[1], count: int(compound[0] & 0x1f), body: compound[HeaderLenRTCP:size]}
	if compound[0]&0x20 != 0 && len(p.body) > 0 {
		pad := int(p.body[len(p.body)-1])
		if pad == 0 || pad%4 != 0 || pad > len(p.body) {
			pad = len(p.body)
		}
		p.body = p.body[:len(p.body)-pad]
	}
	return p, compound[size:]
}

// Reports returns the report blocks of an SR or RR, or none if they do not fit.
func (p Control) Reports() []byte {
	start := 4
	switch p.kind {
	case rtcpSR:
		start = senderInfoLen
	case rtcpRR:
	default:
		return nil
	}
	end := start + ReportBlockLen*p.count
	if end > len(p.body) {
		return nil
	}
	return p.body[start:end]
}

// ReportsOf reports whether a compound starts with a report from this source and has no goodbye.
func ReportsOf(compound []byte, ssrc uint32) bool {
	p, rest := NextRTCP(compound)
	if (p.kind != rtcpSR && p.kind != rtcpRR) || len(p.body) < 4 || binary.BigEndian.Uint32(p.body) != ssrc {
		return false
	}
	for len(rest) > 0 {
		p, rest = NextRTCP(rest)
		if p.kind == rtcpBYE {
			return false
		}
	}
	return true
}

// Sent returns when a sender report was sent, as the middle 32 bits of the NTP timestamp (RFC 3550 §4), or 0.
func (p Control) Sent() uint32 {
	if p.kind != rtcpSR || len(p.body) < senderInfoLen {
		return 0
	}
	return binary.BigEndian.Uint32(p.body[6:])
}
