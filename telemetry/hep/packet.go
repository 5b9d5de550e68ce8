package hep

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// These are the types of chunks, all of vendor 0 (HEP3 section 4).
const (
	chunkFamily      = 0x0001
	chunkProtocol    = 0x0002
	chunkSource4     = 0x0003
	chunkDest4       = 0x0004
	chunkSource6     = 0x0005
	chunkDest6       = 0x0006
	chunkSourcePort  = 0x0007
	chunkDestPort    = 0x0008
	chunkSeconds     = 0x0009
	chunkMicros      = 0x000a
	chunkType        = 0x000b
	chunkCaptureID   = 0x000c
	chunkPayload     = 0x000f
	chunkCorrelation = 0x0011
)

// These are the values of chunkType that are sent.
const (
	typeSIP  = 1
	typeRTCP = 5
)

// These are the values of chunkFamily, as in Linux, and of chunkProtocol.
const (
	familyIPv4 = 2
	familyIPv6 = 10
	protoTCP   = 6
	protoUDP   = 17
)

// maxPayload limits the payload of a packet, in bytes, so that the payload and the other chunks fit
// into one datagram.
const maxPayload = 64<<10 - 1024

// maxText bounds the correlation id, in bytes.
const maxText = 256

type packet struct {
	at          time.Time
	from, to    netip.AddrPort
	stream      bool // true for TCP or TLS, false for UDP
	kind        byte // typeSIP or typeRTCP
	captureID   uint32
	correlation string
	payload     []byte
}

// append appends the packet's bytes to b. It cuts texts that are too long.
func (p *packet) append(b []byte) []byte {
	begin := len(b)
	b = append(b, "HEP3\x00\x00"...)
	from, to := p.from.Addr().Unmap(), p.to.Addr().Unmap()
	protocol := byte(protoUDP)
	if p.stream {
		protocol = protoTCP
	}
	if from.Is4() && to.Is4() {
		b = append8(b, chunkFamily, familyIPv4)
		b = append8(b, chunkProtocol, protocol)
		source, dest := from.As4(), to.As4()
		b = append(appendHead(b, chunkSource4, 4), source[:]...)
		b = append(appendHead(b, chunkDest4, 4), dest[:]...)
	} else {
		b = append8(b, chunkFamily, familyIPv6)
		b = append8(b, chunkProtocol, protocol)
		source, dest := as16(from), as16(to)
		b = append(appendHead(b, chunkSource6, 16), source[:]...)
		b = append(appendHead(b, chunkDest6, 16), dest[:]...)
	}
	b = binary.BigEndian.AppendUint16(appendHead(b, chunkSourcePort, 2), p.from.Port())
	b = binary.BigEndian.AppendUint16(appendHead(b, chunkDestPort, 2), p.to.Port())
	b = append32(b, chunkSeconds, uint32(p.at.Unix()))
	b = append32(b, chunkMicros, uint32(p.at.Nanosecond()/1000))
	b = append8(b, chunkType, p.kind)
	b = append32(b, chunkCaptureID, p.captureID)
	if p.correlation != "" {
		b = appendText(b, chunkCorrelation, p.correlation)
	}
	payload := p.payload[:min(len(p.payload), maxPayload)]
	b = append(appendHead(b, chunkPayload, len(payload)), payload...)
	binary.BigEndian.PutUint16(b[begin+4:], uint16(len(b)-begin))
	return b
}

// as16 returns an address as IPv6; an invalid one becomes ::.
func as16(a netip.Addr) [16]byte {
	if !a.IsValid() {
		return [16]byte{}
	}
	return a.As16()
}

// appendHead starts a chunk whose value has size bytes.
func appendHead(b []byte, kind uint16, size int) []byte {
	b = binary.BigEndian.AppendUint16(b, 0) // vendor: generic
	b = binary.BigEndian.AppendUint16(b, kind)
	return binary.BigEndian.AppendUint16(b, uint16(6+size))
}

func append8(b []byte, kind uint16, value byte) []byte {
	return append(appendHead(b, kind, 1), value)
}

func append32(b []byte, kind uint16, value uint32) []byte {
	return binary.BigEndian.AppendUint32(appendHead(b, kind, 4), value)
}

func appendText(b []byte, kind uint16, text string) []byte {
	text = text[:min(len(text), maxText)]
	return append(appendHead(b, kind, len(text)), text...)
}
