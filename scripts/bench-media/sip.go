package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"flowbridge/scripts/internal/namespace"
)

// ends are a carrier and an agent, as far as it takes to set calls up one after
// the other and to leave them up. They share this machine with who is called:
// what is lost, is lost for a reason.
type ends struct {
	to             netip.AddrPort
	carrier, agent *net.UDPConn
	invites        []string // to the agent, by call
}

const sipPatience = 5 * time.Second

func newEnds(n *network, to netip.AddrPort) (*ends, error) {
	e := &ends{to: to}
	for _, c := range []struct {
		conn **net.UDPConn
		in   namespace.Namespace
		addr netip.Addr
	}{{&e.carrier, n.carrier, carrierAddr}, {&e.agent, n.agent, agentAddr}} {
		if err := c.in.Do(func() (err error) {
			*c.conn, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.addr, 5060)))
			return err
		}); err != nil {
			e.close()
			return nil, err
		}
	}
	return e, nil
}

func (e *ends) close() {
	for _, c := range []*net.UDPConn{e.carrier, e.agent} {
		if c != nil {
			_ = c.Close()
		}
	}
}

// call sets a call up (RFC 3261 §13): the carrier's INVITE, the agent's 200, the
// carrier's ACK.
func (e *ends) call(n int, a, b netip.AddrPort) (forA, forB netip.AddrPort, err error) {
	number := fmt.Sprintf("+1507%07d", n)
	head := func(method string, toTag string) string {
		return fmt.Sprintf("%s sip:%s@%v SIP/2.0\r\nVia: SIP/2.0/UDP %v:5060;branch=z9hG4bK%s%d\r\nMax-Forwards: 70\r\n"+
			"From: <sip:+15075550100@%v>;tag=a%d\r\nTo: <sip:%s@%v>%s\r\nCall-ID: bench-%d\r\nCSeq: 1 %s\r\nContact: <sip:%v:5060>\r\n",
			method, number, e.to, carrierAddr, method, n, carrierAddr, n, number, systemAddr, toTag, n, method, carrierAddr)
	}
	if err = say(e.carrier, e.to, head("INVITE", "")+withSDP(a)); err != nil {
		return forA, forB, err
	}
	invite, from, err := await(e.agent, "INVITE sip:"+number)
	if err != nil {
		return forA, forB, fmt.Errorf("agent: %w", err)
	}
	if err = say(e.agent, from, answerOf(invite, fmt.Sprintf("b%d", n), b)); err != nil {
		return forA, forB, err
	}
	e.invites = append(e.invites, invite)
	answer, _, err := await(e.carrier, "SIP/2.0 200")
	if err != nil {
		return forA, forB, fmt.Errorf("carrier: %w", err)
	}
	_, tag, _ := strings.Cut(lines(answer, "To"), ";tag=")
	if err = say(e.carrier, e.to, head("ACK", ";tag="+strings.TrimSpace(tag))+"Content-Length: 0\r\n\r\n"); err != nil {
		return forA, forB, err
	}
	if _, _, err = await(e.agent, "ACK"); err != nil {
		return forA, forB, fmt.Errorf("agent: %w", err)
	}
	if forA, err = mediaOf(answer); err != nil {
		return forA, forB, err
	}
	forB, err = mediaOf(invite)
	return forA, forB, err
}

// answerOf is the agent's 200 to an INVITE.
func answerOf(invite, tag string, media netip.AddrPort) string {
	return "SIP/2.0 200 OK\r\n" + lines(invite, "Via", "Record-Route", "From", "Call-ID", "CSeq") +
		strings.TrimSuffix(lines(invite, "To"), "\r\n") + fmt.Sprintf(";tag=%s\r\nContact: <sip:%v:5060>\r\n", tag, agentAddr) + withSDP(media)
}

func say(conn *net.UDPConn, to netip.AddrPort, text string) error {
	_, err := conn.WriteToUDPAddrPort([]byte(text), to)
	return err
}

// await gives the first message that begins with start. Provisional answers and
// what is repeated are passed over; a refusal is an error.
func await(conn *net.UDPConn, start string) (text string, from netip.AddrPort, err error) {
	if err = conn.SetReadDeadline(time.Now().Add(sipPatience)); err != nil {
		return "", from, err
	}
	var b [65536]byte
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b[:])
		if err != nil {
			return "", from, fmt.Errorf("waits for %s: %w", start, err)
		}
		text = string(b[:n])
		if strings.HasPrefix(text, start) {
			return text, from, nil
		}
		if status, refused := strings.CutPrefix(text, "SIP/2.0 "); refused && status[0] > '2' {
			line, _, _ := strings.Cut(text, "\r\n")
			return "", from, errors.New(line)
		}
	}
}

// lines gives the header lines of these names, in the order of the message.
func lines(message string, names ...string) (all string) {
	head, _, _ := strings.Cut(message, "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		for _, name := range names {
			if strings.HasPrefix(line, name+": ") {
				all += line + "\r\n"
			}
		}
	}
	return all
}

// withSDP is the rest of a message with a session description of PCMU.
func withSDP(at netip.AddrPort) string {
	body := sdpOf(at)
	return fmt.Sprintf("Content-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func sdpOf(at netip.AddrPort) string {
	return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %[1]v\r\ns=-\r\nc=IN IP4 %[1]v\r\nt=0 0\r\nm=audio %[2]d RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n",
		at.Addr(), at.Port())
}

// mediaOf reads the one c= and m= line of a session description.
func mediaOf(message string) (netip.AddrPort, error) {
	_, c, _ := strings.Cut(message, "\nc=IN IP4 ")
	_, m, _ := strings.Cut(message, "\nm=audio ")
	host, _, _ := strings.Cut(c, "\r\n")
	port, _, _ := strings.Cut(m, " ")
	at, err := netip.ParseAddrPort(host + ":" + port)
	if err != nil {
		return at, fmt.Errorf("no address for RTP: %w in %q", err, message)
	}
	return at, nil
}
