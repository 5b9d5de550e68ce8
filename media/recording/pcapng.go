package recording

import (
	"net/netip"
	"time"
)

// pcapngBatch is how many bytes are written at a time.
const pcapngBatch = 16 << 10

// pcapng is a capture that is being written: SIP messages and received packets, as UDP datagrams over IP.
type pcapng struct {
	began time.Time
	sink  *sink
	whole []byte        // complete blocks not written yet
	local [2]netip.Addr // the addresses to show for ours, by side; if invalid, the real ones are shown
	buf   []byte
	id    uint16 // of the last IPv4 packet

	flushed time.Duration // when whole was last written
}

func newPcapng(s *sink, began time.Time, local [2]netip.Addr) (*pcapng, error) {
	c := &pcapng{began: began, sink: s, whole: AppendCaptureHead(nil), local: local}
	return c, c.flush()
}

func (c *pcapng) packet(p tapped) error {
	if name := c.local[p.side]; name.IsValid() {
		p.local = netip.AddrPortFrom(name, p.local.Port())
	}
	return c.write(p.at, p.source, p.local, p.data)
}

func (c *pcapng) message(m message) error { return c.write(m.at, m.from, m.to, m.data) }

// tick writes waiting blocks once a second.
func (c *pcapng) tick(now time.Duration) error {
	if now-c.flushed < time.Second {
		return nil
	}
	c.flushed = now
	return c.flush()
}

func (c *pcapng) finish(time.Duration) error { return c.flush() }

func (c *pcapng) close() error { return nil }

// write writes one datagram. It drops data that is too long for IP.
func (c *pcapng) write(at time.Duration, from, to netip.AddrPort, data []byte) error {
	if len(data) > MaxDatagram {
		return nil
	}
	c.id++
	c.buf = AppendDatagram(c.buf[:0], c.id, from, to, data)
	c.whole = AppendPacket(c.whole, c.began.Add(at), c.buf)
	if len(c.whole) < pcapngBatch {
		return nil
	}
	return c.flush()
}

// flush writes the waiting blocks. A block is never split.
func (c *pcapng) flush() (err error) {
	if len(c.whole) > 0 {
		_, err = c.sink.Write(c.whole)
	}
	c.whole = c.whole[:0]
	return err
}
