package packet

import "encoding/binary"

const (
	// HeaderLen is the length of an RTP header without sources and extension, in bytes.
	HeaderLen = 12

	// HeaderLenRTCP is the length of the header of each packet in a compound.
	HeaderLenRTCP = 4

	// RFC 5761 §4: the packet types that RTCP may use.
	rtcpTypeLow, rtcpTypeHigh = 192, 223

	// RFC 3551 §6: RTP payload types 72 to 76 are reserved, because with the marker set they look like the RTCP packet
	// types 200 to 204.
	rtcpReservedLow, rtcpReservedHigh = 200, 204
)

// Header holds the fields of an RTP header that say where the packet belongs.
type Header struct {
	PayloadType uint8
	Seq         uint16
	Timestamp   uint32
	SSRC        uint32
}

// ParseRTP checks that pkt is an RTP packet with consistent lengths (RFC 3550 §5.1 and §5.3.1).
func ParseRTP(pkt []byte) (Header, bool) {
	if len(pkt) < HeaderLen || pkt[0]>>6 != 2 {
		return Header{}, false
	}
	if pkt[1] >= rtcpReservedLow && pkt[1] <= rtcpReservedHigh {
		return Header{}, false
	}
	size := HeaderLen + 4*int(pkt[0]&0x0f)
	if pkt[0]&0x10 != 0 {
		if len(pkt) < size+4 {
			return Header{}, false
		}
		size += 4 + 4*int(binary.BigEndian.Uint16(pkt[size+2:]))
	}
	if len(pkt) < size {
		return Header{}, false
	}
	if pkt[0]&0x20 != 0 {
		if pad := int(pkt[len(pkt)-1]); pad == 0 || pad > len(pkt)-size {
			return Header{}, false
		}
	}
	return Header{
		PayloadType: pkt[1] & 0x7f,
		Seq:         binary.BigEndian.Uint16(pkt[2:]),
		Timestamp:   binary.BigEndian.Uint32(pkt[4:]),
		SSRC:        binary.BigEndian.Uint32(pkt[8:]),
	}, true
}

// ValidRTCP checks that pkt is a compound of RTCP packets that fill it exactly (RFC 3550 §A.2). The first packet need
// not be a report (RFC 5506).
func ValidRTCP(pkt []byte) bool {
	if len(pkt) < HeaderLenRTCP {
		return false
	}
	for len(pkt) > 0 {
		if len(pkt) < HeaderLenRTCP || pkt[0]>>6 != 2 || pkt[1] < rtcpTypeLow || pkt[1] > rtcpTypeHigh {
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

// IsRTCP distinguishes RTCP from RTP on one port by the packet type (RFC 5761 §4).
func IsRTCP(pkt []byte) bool {
	return len(pkt) >= HeaderLenRTCP && pkt[1] >= rtcpTypeLow && pkt[1] <= rtcpTypeHigh
}

// Payload returns the payload of an RTP packet, without padding. The packet must have passed ParseRTP.
func Payload(pkt []byte) []byte {
	start, end := HeaderLen+4*int(pkt[0]&0x0f), len(pkt)
	if pkt[0]&0x10 != 0 {
		start += 4 + 4*int(binary.BigEndian.Uint16(pkt[start+2:]))
	}
	if pkt[0]&0x20 != 0 {
		end -= int(pkt[end-1])
	}
	return pkt[start:end]
}

// Marker reports whether an RTP packet has the marker bit.
func Marker(pkt []byte) bool { return pkt[1]&0x80 != 0 }

// PayloadSet is a set of RTP payload types, 0 to 127.
type PayloadSet [2]uint64

// Add adds a payload type to the set.
func (p *PayloadSet) Add(payloadType uint8) { p[payloadType>>6&1] |= 1 << (payloadType & 63) }

// Has reports whether a payload type is in the set.
func (p PayloadSet) Has(payloadType uint8) bool {
	return p[payloadType>>6&1]&(1<<(payloadType&63)) != 0
}
