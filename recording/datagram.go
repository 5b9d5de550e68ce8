package recording

import (
	"encoding/binary"
	"net/netip"
)

const (
	ipv4Header  = 20
	ipv6Header  = 40
	udpHeader   = 8
	maxDatagram = 65535 - ipv4Header - udpHeader
	protocolUDP = 17
	hops        = 64
)

// appendDatagram appends a UDP datagram with its IP header: IPv4 where both
// addresses are (RFC 791), otherwise IPv6 (RFC 8200). data is at most maxDatagram
// long.
func appendDatagram(b []byte, id uint16, from, to netip.AddrPort, data []byte) []byte {
	be := binary.BigEndian
	start := len(b)
	length := udpHeader + len(data)
	var pseudo uint32 // sum of the pseudo header's addresses
	if from.Addr().Is4() && to.Addr().Is4() {
		src, dst := from.Addr().As4(), to.Addr().As4()
		b = append(b, 0x45, 0)
		b = be.AppendUint16(b, uint16(ipv4Header+length))
		b = be.AppendUint16(b, id)
		b = append(b, 0x40, 0, hops, protocolUDP, 0, 0) // not to be fragmented
		b = append(append(b, src[:]...), dst[:]...)
		be.PutUint16(b[start+10:], ^fold(sum(b[start:start+ipv4Header], 0)))
		pseudo = sum(dst[:], sum(src[:], 0))
	} else {
		src, dst := from.Addr().As16(), to.Addr().As16()
		b = append(b, 0x60, 0, 0, 0)
		b = be.AppendUint16(b, uint16(length))
		b = append(b, protocolUDP, hops)
		b = append(append(b, src[:]...), dst[:]...)
		pseudo = sum(dst[:], sum(src[:], 0))
	}
	udp := len(b)
	b = be.AppendUint16(b, from.Port())
	b = be.AppendUint16(b, to.Port())
	b = be.AppendUint16(b, uint16(length))
	b = append(b, 0, 0)
	b = append(b, data...)
	check := ^fold(sum(b[udp:], pseudo+protocolUDP+uint32(length)))
	if check == 0 { // which would say that there is none (RFC 768)
		check = 0xffff
	}
	be.PutUint16(b[udp+6:], check)
	return b
}

// sum adds the 16-bit words of b to a sum (RFC 1071), which 64 KB can't overflow.
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
