package recording

import (
	"encoding/binary"
	"net/netip"
)

// MaxDatagram is the maximum number of data bytes in a datagram or segment.
const MaxDatagram = 65535 - ipv4Header - tcpHeader

const (
	ipv4Header  = 20
	ipv6Header  = 40
	udpHeader   = 8
	tcpHeader   = 20
	protocolUDP = 17
	protocolTCP = 6
	hops        = 64
)

// AppendDatagram appends a UDP datagram with its IP header: IPv4 if both addresses are IPv4 (RFC 791), otherwise IPv6
// (RFC 8200). data has at most MaxDatagram bytes.
func AppendDatagram(b []byte, id uint16, from, to netip.AddrPort, data []byte) []byte {
	length := udpHeader + len(data)
	b, pseudo := appendIP(b, id, from.Addr(), to.Addr(), protocolUDP, length)
	udp := len(b)
	be := binary.BigEndian
	b = be.AppendUint16(b, from.Port())
	b = be.AppendUint16(b, to.Port())
	b = be.AppendUint16(b, uint16(length))
	b = append(b, 0, 0)
	b = append(b, data...)
	check := ^fold(sum(b[udp:], pseudo))
	if check == 0 { // 0 means no checksum (RFC 768)
		check = 0xffff
	}
	be.PutUint16(b[udp+6:], check)
	return b
}

// AppendSegment appends a TCP segment of a connection with its IP header (RFC 9293): seq and ack count the bytes of
// each direction. data has at most MaxDatagram bytes.
func AppendSegment(b []byte, id uint16, from, to netip.AddrPort, seq, ack uint32, data []byte) []byte {
	b, pseudo := appendIP(b, id, from.Addr(), to.Addr(), protocolTCP, tcpHeader+len(data))
	tcp := len(b)
	be := binary.BigEndian
	b = be.AppendUint16(b, from.Port())
	b = be.AppendUint16(b, to.Port())
	b = be.AppendUint32(b, seq)
	b = be.AppendUint32(b, ack)
	const pushed = 0x18 // PSH, ACK
	b = append(b, tcpHeader/4<<4, pushed, 0xff, 0xff, 0, 0, 0, 0)
	b = append(b, data...)
	be.PutUint16(b[tcp+16:], ^fold(sum(b[tcp:], pseudo)))
	return b
}

// appendIP appends the header of a packet, and returns the sum of its pseudo header.
func appendIP(b []byte, id uint16, from, to netip.Addr, protocol byte, length int) (_ []byte, pseudo uint32) {
	be := binary.BigEndian
	start := len(b)
	if from.Is4() && to.Is4() {
		src, dst := from.As4(), to.As4()
		b = append(b, 0x45, 0)
		b = be.AppendUint16(b, uint16(ipv4Header+length))
		b = be.AppendUint16(b, id)
		b = append(b, 0x40, 0, hops, protocol, 0, 0) // don't fragment
		b = append(append(b, src[:]...), dst[:]...)
		be.PutUint16(b[start+10:], ^fold(sum(b[start:start+ipv4Header], 0)))
		pseudo = sum(dst[:], sum(src[:], 0))
	} else {
		src, dst := from.As16(), to.As16()
		b = append(b, 0x60, 0, 0, 0)
		b = be.AppendUint16(b, uint16(length))
		b = append(b, protocol, hops)
		b = append(append(b, src[:]...), dst[:]...)
		pseudo = sum(dst[:], sum(src[:], 0))
	}
	return b, pseudo + uint32(protocol) + uint32(length)
}

// sum adds the 16-bit words of b to a sum (RFC 1071). 64 KB can't overflow it.
func sum(b []byte, to uint32) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		to += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		to += uint32(b[0]) << 8
	}
	return to
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}
