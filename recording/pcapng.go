package recording

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// pcapngBatch is how many bytes are written at a time.
const pcapngBatch = 16 << 10

// pcapng is a capture that is being written: SIP messages and received packets, as UDP datagrams over IP.
type pcapng struct {
	began time.Time
	sink  *sink
	whole bytes.Buffer     // blocks that are not written yet
	out   *pcapgo.NgWriter // to whole
	local [2]netip.Addr    // what our media addresses are called; invalid: by themselves
	buf   []byte
	id    uint16 // of the last IPv4 packet

	flushed time.Duration // when it was written
}

func newPcapng(s *sink, began time.Time, local [2]netip.Addr) (*pcapng, error) {
	c := &pcapng{began: began, sink: s, local: local}
	var err error
	c.out, err = pcapgo.NewNgWriterInterface(&c.whole,
		pcapgo.NgInterface{Name: "call", LinkType: layers.LinkTypeRaw, TimestampResolution: 9},
		pcapgo.NgWriterOptions{SectionInfo: pcapgo.NgSectionInfo{Application: "Flowbridge"}})
	if err != nil {
		return nil, err
	}
	return c, c.flush()
}

func (c *pcapng) packet(p packet) error {
	if name := c.local[p.side]; name.IsValid() {
		p.local = netip.AddrPortFrom(name, p.local.Port())
	}
	return c.write(p.at, p.source, p.local, p.data)
}

func (c *pcapng) message(m message) error { return c.write(m.at, m.from, m.to, m.data) }

// tick writes what waits, once a second.
func (c *pcapng) tick(now time.Duration) error {
	if now-c.flushed < time.Second {
		return nil
	}
	c.flushed = now
	return c.flush()
}

func (c *pcapng) finish(time.Duration) error { return c.flush() }

func (c *pcapng) close() error { return nil }

// write writes one datagram. It leaves out one that is too long for IP.
func (c *pcapng) write(at time.Duration, from, to netip.AddrPort, data []byte) error {
	if len(data) > maxDatagram {
		return nil
	}
	c.id++
	c.buf = appendDatagram(c.buf[:0], c.id, from, to, data)
	err := c.out.WritePacket(gopacket.CaptureInfo{
		Timestamp: c.began.Add(at), CaptureLength: len(c.buf), Length: len(c.buf),
	}, c.buf)
	if err == nil && c.whole.Len() >= pcapngBatch {
		err = c.flush()
	}
	return err
}

// flush writes the waiting blocks, each of them whole.
func (c *pcapng) flush() error {
	err := c.out.Flush()
	if err == nil && c.whole.Len() > 0 {
		_, err = c.sink.Write(c.whole.Bytes())
	}
	c.whole.Reset()
	return err
}

const (
	ipv4Header  = 20
	ipv6Header  = 40
	udpHeader   = 8
	maxDatagram = 65535 - ipv4Header - udpHeader
	protocolUDP = 17
	hops        = 64
)

// appendDatagram appends a UDP datagram with its IP header: IPv4 if both addresses are (RFC 791), otherwise IPv6 (RFC
// 8200). data has at most maxDatagram bytes.
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
	if check == 0 { // 0 means no checksum (RFC 768)
		check = 0xffff
	}
	be.PutUint16(b[udp+6:], check)
	return b
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
