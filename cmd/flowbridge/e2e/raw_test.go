//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// rawCarrier sends SIP that no SIP stack would send: requests of strangers, and repeated requests.
type rawCarrier struct {
	*stage
	conn *net.UDPConn
	got  []string // all answers so far
}

func (s *stage) newRawCarrier(addr netip.Addr) *rawCarrier {
	s.Helper()
	conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)), net.UDPAddrFromAddrPort(s.server.sip))
	must(s, err)
	s.Cleanup(func() { conn.Close() })
	return &rawCarrier{stage: s, conn: conn}
}

func (c *rawCarrier) send(text string) {
	c.Helper()
	if _, err := c.conn.Write([]byte(text)); err != nil {
		c.Fatal(err)
	}
}

// receive returns the next datagram, or "" if none comes in time.
func (c *rawCarrier) receive(limit time.Duration) string {
	c.Helper()
	must(c, c.conn.SetReadDeadline(time.Now().Add(limit)))
	buf := make([]byte, 4096)
	n, err := c.conn.Read(buf)
	if err != nil {
		return ""
	}
	c.got = append(c.got, string(buf[:n]))
	return string(buf[:n])
}

// await returns the next datagram that begins with start and contains this line.
func (c *rawCarrier) await(start, line string) string {
	c.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if got := c.receive(time.Until(end)); strings.HasPrefix(got, start) && strings.Contains(got, line) {
			return got
		}
	}
	c.Fatalf("no %q with %q among %q", start, line, c.got)
	return ""
}

func (c *rawCarrier) invite(callID string) string {
	host := c.conn.LocalAddr().(*net.UDPAddr).IP
	return c.write("INVITE", c.to(), "<"+c.to()+">", callID, 1, fmt.Sprintf(
		"v=0\r\no=- 1 1 IN IP4 %[1]s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n", host))
}

// within returns a request in the dialog that an answer made.
func (c *rawCarrier) within(method string, seq int, answer string) string {
	m := message{raw: answer}
	contact := strings.Trim(m.header("Contact"), "<>")
	return c.write(method, contact, m.header("To"), m.header("Call-ID"), seq, "")
}

func (c *rawCarrier) write(method, uri, to, callID string, seq int, sdp string) string {
	kind := ""
	if sdp != "" {
		kind = "Content-Type: application/sdp\r\n"
	}
	me := c.conn.LocalAddr()
	return fmt.Sprintf("%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s%s\r\nMax-Forwards: 70\r\n"+
		"From: <sip:%s@%s>;tag=raw\r\nTo: %s\r\nCall-ID: %s\r\nCSeq: %d %s\r\nContact: <sip:raw@%s>\r\n%sContent-Length: %d\r\n\r\n%s",
		method, uri, me, method, callID, caller, me, to, callID, seq, method, me, kind, len(sdp), sdp)
}
