package ladder

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"

	"flowbridge/media/recording"
)

// Pcapng writes the messages for Wireshark. A SIP message becomes a UDP datagram, even if
// it went over a connection. An HTTP message becomes a TCP segment to port 80, because on
// the port of TLS it would be taken for damaged TLS. Messages without addresses are left
// out.
func (l *Ladder) Pcapng(w io.Writer) error {
	out := recording.AppendCaptureHead(nil)
	c := capture{streams: map[netip.AddrPort]*[2]uint32{}}
	for i := range l.Messages {
		m := &l.Messages[i]
		if m.Kind == Decision.String() || !m.ends.local.IsValid() || !m.ends.remote.IsValid() {
			continue
		}
		if packet := c.packet(m); packet != nil {
			out = recording.AppendPacket(out, m.at, packet)
		}
	}
	_, err := w.Write(out)
	return err
}

// capture holds the sequence numbers of a capture's packets.
type capture struct {
	id      uint16
	streams map[netip.AddrPort]*[2]uint32 // bytes sent so far, by our end: by us, by the peer
}

// packet returns the packet for a message, or nil if there is none.
func (c *capture) packet(m *Message) []byte {
	from, to := m.ends.local, m.ends.remote
	if m.Kind == HTTP.String() {
		to = netip.AddrPortFrom(to.Addr(), httpPort)
	}
	sent := c.streams[from]
	if sent == nil {
		sent = &[2]uint32{1, 1}
		c.streams[from] = sent
	}
	mine, theirs := &sent[0], &sent[1]
	if m.From != laneSelf {
		from, to, mine, theirs = to, from, theirs, mine
	}
	c.id++
	switch text := m.raw[:min(len(m.raw), recording.MaxDatagram)]; {
	case m.Kind == SIP.String():
		return recording.AppendDatagram(nil, c.id, from, to, text)
	case m.Method == "" && m.Status == 0: // there was no answer
		return nil
	default:
		text = withLength(text)
		seq := *mine
		*mine += uint32(len(text))
		return recording.AppendSegment(nil, c.id, from, to, seq, *theirs, text)
	}
}

// withLength returns an HTTP message with the length of its body, without which a dissector would wait for more. The
// HTTP client removes the header if the body was compressed or chunked.
func withLength(text []byte) []byte {
	head, body, found := bytes.Cut(text, []byte("\r\n\r\n"))
	if !found || bytes.Contains(head, []byte("\r\nContent-Length:")) {
		return text
	}
	out := fmt.Appendf(bytes.Clone(head), "\r\nContent-Length: %d\r\n\r\n", len(body))
	out = append(out, body...)
	return out[:min(len(out), recording.MaxDatagram)]
}

// httpPort is the port of HTTP in a capture.
const httpPort = 80
