package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/sip"
)

// ends are a carrier and an agent, as far as it takes to set calls up one after
// the other and to leave them up. They share this machine with who is called:
// what is lost, is lost for a reason.
type ends struct {
	carrier, agent *net.UDPConn
	invites        []sip.Message // to the agent, by call
}

const sipPatience = 5 * time.Second

// The addresses of SIP.
var (
	systemSIP  = netip.AddrPortFrom(namespace.RelayAddr, 5060)
	carrierSIP = netip.AddrPortFrom(namespace.CarrierAddr, 5060)
	agentSIP   = netip.AddrPortFrom(namespace.AgentAddr, 5060)
)

func newEnds(n network) (e *ends, err error) {
	e = &ends{}
	if e.carrier, err = n.Carrier.ListenUDP(carrierSIP); err == nil {
		e.agent, err = n.Agent.ListenUDP(agentSIP)
	}
	if err != nil {
		e.close()
		return nil, err
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
	request := func(method, toTag, body string) error {
		return say(e.carrier, systemSIP, fmt.Sprintf("%[1]s sip:%[2]s@%[3]v SIP/2.0\r\n"+
			"Via: SIP/2.0/UDP %[4]v;branch=z9hG4bK%[1]s%[5]d\r\nMax-Forwards: 70\r\n"+
			"From: <sip:+15075550100@%[4]v>;tag=a%[5]d\r\nTo: <sip:%[2]s@%[3]v>%[6]s\r\nCall-ID: bench-%[5]d\r\n"+
			"CSeq: 1 %[1]s\r\nContact: <sip:%[4]v>\r\n%[7]s",
			method, number, systemSIP, carrierSIP, n, toTag, sip.WithBody(body)))
	}
	if err = request("INVITE", "", sip.Description(a)); err != nil {
		return forA, forB, err
	}
	invite, from, err := await(e.agent, "INVITE sip:"+number)
	if err != nil {
		return forA, forB, fmt.Errorf("agent: %w", err)
	}
	if err = say(e.agent, from, accept(invite, fmt.Sprintf("b%d", n), b)); err != nil {
		return forA, forB, err
	}
	e.invites = append(e.invites, invite)
	answer, _, err := await(e.carrier, "SIP/2.0 200")
	if err != nil {
		return forA, forB, fmt.Errorf("carrier: %w", err)
	}
	if err = request("ACK", ";tag="+answer.Tag("To"), ""); err != nil {
		return forA, forB, err
	}
	if _, _, err = await(e.agent, "ACK"); err != nil {
		return forA, forB, fmt.Errorf("agent: %w", err)
	}
	return media(answer.Body(), invite.Body())
}

// media reads where each end of a call has to send.
func media(toA, toB string) (forA, forB netip.AddrPort, err error) {
	forA, forB = sip.Media(toA), sip.Media(toB)
	if !forA.IsValid() || !forB.IsValid() {
		err = fmt.Errorf("no address for RTP in %q or %q", toA, toB)
	}
	return forA, forB, err
}

// accept is the agent's 200 to an INVITE.
func accept(invite sip.Message, tag string, media netip.AddrPort) string {
	contact := fmt.Sprintf("Contact: <sip:%v>\r\n", agentSIP)
	return invite.Answer("200 OK", tag, contact+sip.WithBody(sip.Description(media)))
}

func say(conn *net.UDPConn, to netip.AddrPort, text string) error {
	_, err := conn.WriteToUDPAddrPort([]byte(text), to)
	return err
}

// await gives the first message that begins with start. Provisional answers and
// what is repeated are passed over; a refusal is an error.
func await(conn *net.UDPConn, start string) (m sip.Message, from netip.AddrPort, err error) {
	if err = conn.SetReadDeadline(time.Now().Add(sipPatience)); err != nil {
		return "", from, err
	}
	var b [65536]byte
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b[:])
		if err != nil {
			return "", from, fmt.Errorf("waits for %s: %w", start, err)
		}
		m = sip.Message(b[:n])
		if strings.HasPrefix(string(m), start) {
			return m, from, nil
		}
		if m.Status() >= 300 {
			return "", from, errors.New(m.Start())
		}
	}
}
