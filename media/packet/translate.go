package packet

import "encoding/binary"

// Alias is the identity under which the receiver knows a rewritten stream: the SSRC, timestamps and numbers.
type Alias struct {
	Known    bool   // there is a stream
	From, To uint32 // SSRC as received and as relayed
	Time     uint32 // added to timestamps
	Seq      uint16 // added to sequence numbers
	Top      uint64 // the highest number received, extended by the cycles
}

// name replaces the SSRC in a field, if it is the stream's own, by the relayed one. It reports whether it was.
func (a *Alias) name(field []byte) bool {
	if !a.Known || binary.BigEndian.Uint32(field) != a.From {
		return false
	}
	binary.BigEndian.PutUint32(field, a.To)
	return true
}

// unname is the inverse of name.
func (a *Alias) unname(field []byte) bool {
	if !a.Known || binary.BigEndian.Uint32(field) != a.To {
		return false
	}
	binary.BigEndian.PutUint32(field, a.From)
	return true
}

func (a *Alias) shiftTime(field []byte) {
	binary.BigEndian.PutUint32(field, binary.BigEndian.Uint32(field)+a.Time)
}

// unshift converts a relayed sequence number in a field to the received one.
func (a *Alias) unshift(field []byte) {
	binary.BigEndian.PutUint16(field, binary.BigEndian.Uint16(field)-a.Seq)
}

// unshiftExtended is like unshift, for an extended number. The receiver counts cycles by the shifted numbers, which
// wrap at other moments. So the result is assumed to be near the highest received number, and not above it: higher
// numbers belong to our own packets.
func (a *Alias) unshiftExtended(field []byte) {
	if a.Seq == 0 {
		return
	}
	seq := uint16(binary.BigEndian.Uint32(field)) - a.Seq
	extended := int64(a.Top) + int64(int16(seq-uint16(a.Top)))
	binary.BigEndian.PutUint32(field, uint32(min(max(extended, 0), int64(a.Top))))
}

// Translate changes a side's compound packet in place so that it matches the relayed RTP. Statements about the side's
// own stream become statements about the stream that the other side gets. Statements about the stream that the side
// hears become statements about the stream that the other side sends. Lengths stay. References to other streams stay
// unchanged.
func Translate(compound []byte, own, heard Alias) {
	for len(compound) > 0 {
		var p Control
		p, compound = NextRTCP(compound)
		switch p.kind {
		case rtcpSDES:
			p.translateChunks(&own)
			continue
		case rtcpBYE:
			for i := 0; i < p.count && 4*i+4 <= len(p.body); i++ {
				own.name(p.body[4*i:])
			}
			continue
		}
		if p.kind < rtcpSR || p.kind > rtcpXR || len(p.body) < 4 {
			continue
		}
		mine := own.name(p.body) // in all other types of packets the sender's SSRC comes first
		switch p.kind {
		case rtcpSR, rtcpRR:
			if mine && p.kind == rtcpSR && len(p.body) >= senderInfoLen {
				own.shiftTime(p.body[12:])
			}
			for blocks := p.Reports(); len(blocks) > 0; blocks = blocks[ReportBlockLen:] {
				if heard.unname(blocks) {
					heard.unshiftExtended(blocks[8:])
				}
			}
		case rtcpRTPFB, rtcpPSFB:
			p.translateFeedback(&heard)
		case rtcpXR:
			p.translateExtended(&heard)
		}
	}
}

// Retime converts a compound to another clock, in place. It passes the timestamps of sender reports (RFC 3550 section
// 6.4.1) to times, and report blocks to convert.
func Retime(compound []byte, times func(units uint32) uint32, convert func(block []byte)) {
	for len(compound) > 0 {
		var p Control
		p, compound = NextRTCP(compound)
		if p.kind == rtcpSR && len(p.body) >= senderInfoLen {
			at := p.body[12:]
			binary.BigEndian.PutUint32(at, times(binary.BigEndian.Uint32(at)))
		}
		for blocks := p.Reports(); len(blocks) > 0; blocks = blocks[ReportBlockLen:] {
			convert(blocks[:ReportBlockLen])
		}
	}
}

// translateChunks rewrites the sources of SDES chunks (RFC 3550 §6.5).
func (p Control) translateChunks(own *Alias) {
	at := 0
	for i := 0; i < p.count && at+4 <= len(p.body); i++ {
		own.name(p.body[at:])
		at += 4
		for at < len(p.body) && p.body[at] != 0 { // an item: type, length, text
			if at+1 == len(p.body) {
				return
			}
			at += 2 + int(p.body[at+1])
		}
		at = (at + 4) &^ 3 // at least one null byte ends the items
	}
}

// translateFeedback rewrites the stream that feedback is about (RFC 4585 §6.1), and the packets that a NACK requests.
func (p Control) translateFeedback(heard *Alias) {
	if len(p.body) < 8 || !heard.unname(p.body[4:]) || p.kind != rtcpRTPFB || p.count != genericNACK {
		return
	}
	for at := 8; at+4 <= len(p.body); at += 4 {
		heard.unshift(p.body[at:])
	}
}

// translateExtended rewrites the streams that extended reports are about (RFC 3611 §4).
func (p Control) translateExtended(heard *Alias) {
	for at := 4; at+4 <= len(p.body); {
		size := 4 * (1 + int(binary.BigEndian.Uint16(p.body[at+2:])))
		if at+size > len(p.body) {
			return
		}
		block := p.body[at : at+size]
		at += size
		switch block[0] {
		case 1, 2, 3, 6: // loss, duplicates, receipt times, summary: for a range of packets
			if size >= 12 && heard.unname(block[4:]) {
				heard.unshift(block[8:])
				heard.unshift(block[10:])
			}
		case 5: // DLRR: per receiver
			for sub := 4; sub+12 <= size; sub += 12 {
				heard.unname(block[sub:])
			}
		case 7: // VoIP metrics
			if size >= 8 {
				heard.unname(block[4:])
			}
		}
	}
}
