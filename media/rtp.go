package media

import "encoding/binary"

const (
	rtpHeaderLen  = 12
	rtcpHeaderLen = 4

	// RFC 5761 §4: the packet types that RTCP may use.
	rtcpTypeLow, rtcpTypeHigh = 192, 223

	// RFC 3551 §6: RTP payload types 72 to 76 are reserved, because with the
	// marker set they look like the RTCP packet types 200 to 204.
	rtcpReservedLow, rtcpReservedHigh = 200, 204
)

type rtpHeader struct {
	payloadType uint8
	seq         uint16
	timestamp   uint32
	ssrc        uint32
}

// parseRTP checks that pkt is an RTP packet with consistent lengths (RFC 3550 §5.1 and §5.3.1).
func parseRTP(pkt []byte) (rtpHeader, bool) {
	if len(pkt) < rtpHeaderLen || pkt[0]>>6 != 2 {
		return rtpHeader{}, false
	}
	if pkt[1] >= rtcpReservedLow && pkt[1] <= rtcpReservedHigh {
		return rtpHeader{}, false
	}
	size := rtpHeaderLen + 4*int(pkt[0]&0x0f)
	if pkt[0]&0x10 != 0 {
		if len(pkt) < size+4 {
			return rtpHeader{}, false
		}
		size += 4 + 4*int(binary.BigEndian.Uint16(pkt[size+2:]))
	}
	if len(pkt) < size {
		return rtpHeader{}, false
	}
	if pkt[0]&0x20 != 0 {
		if pad := int(pkt[len(pkt)-1]); pad == 0 || pad > len(pkt)-size {
			return rtpHeader{}, false
		}
	}
	return rtpHeader{
		payloadType: pkt[1] & 0x7f,
		seq:         binary.BigEndian.Uint16(pkt[2:]),
		timestamp:   binary.BigEndian.Uint32(pkt[4:]),
		ssrc:        binary.BigEndian.Uint32(pkt[8:]),
	}, true
}

// validRTCP checks that pkt is a compound of RTCP packets that fill it exactly (RFC 3550 §A.2). The first one need
// not be a report: RFC 5506 allows others.
func validRTCP(pkt []byte) bool {
	if len(pkt) < rtcpHeaderLen {
		return false
	}
	for len(pkt) > 0 {
		if len(pkt) < rtcpHeaderLen || pkt[0]>>6 != 2 || pkt[1] < rtcpTypeLow || pkt[1] > rtcpTypeHigh {
			return false
		}
		size := 4 * (1 + int(binary.BigEndian.Uint16(pkt[2:])))
		if size > len(pkt) {
			return false
		}
		pkt = pkt[size:]
	}
	return true
}

// isRTCP distinguishes RTCP from RTP on one port by the packet type (RFC 5761 §4).
func isRTCP(pkt []byte) bool {
	return len(pkt) >= rtcpHeaderLen && pkt[1] >= rtcpTypeLow && pkt[1] <= rtcpTypeHigh
}

// Payload returns what an RTP packet carries, without padding. The packet must be well formed, as Tapped.Data is.
func Payload(pkt []byte) []byte {
	start, end := rtpHeaderLen+4*int(pkt[0]&0x0f), len(pkt)
	if pkt[0]&0x10 != 0 {
		start += 4 + 4*int(binary.BigEndian.Uint16(pkt[start+2:]))
	}
	if pkt[0]&0x20 != 0 {
		end -= int(pkt[end-1])
	}
	return pkt[start:end]
}

func marker(pkt []byte) bool { return pkt[1]&0x80 != 0 }
