package recording

import (
	"bytes"
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

func (c *pcapng) packet(p tapped) error {
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
	if len(data) > MaxDatagram {
		return nil
	}
	c.id++
	c.buf = AppendDatagram(c.buf[:0], c.id, from, to, data)
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
