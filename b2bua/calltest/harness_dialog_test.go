package calltest

import (
	"fmt"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

func (m received) req() *sip.Request  { return m.Message.(*sip.Request) }
func (m received) res() *sip.Response { return m.Message.(*sip.Response) }

// value returns the first value of a header as it stands on the wire, or "" if the header
// is missing.
func (m received) value(name string) string {
	for _, v := range m.values(name) {
		return v
	}
	return ""
}

func (m received) values(name string) (all []string) {
	for line := range strings.SplitSeq(m.raw, "\r\n") {
		if n, v, ok := strings.Cut(line, ": "); ok && strings.EqualFold(n, name) {
			all = append(all, v)
		}
	}
	return all
}

// within sends a request of the carrier within its dialog and returns its CSeq. With a
// body, the first header is its Content-Type.
func (p *peer) within(d *dialogue, method, body string, headers ...string) int {
	d.later++
	seq := d.seq + d.later
	p.send(d.inDialog(method, seq, body, headers...))
	return seq
}

// inDialog returns a request of the carrier within its dialog as text.
func (d *dialogue) inDialog(method string, seq int, body string, headers ...string) string {
	extra := ""
	for _, h := range headers {
		extra += h + "\n"
	}
	body = strings.ReplaceAll(strings.ReplaceAll(body, "\r\n", "\n"), "\n", "\r\n")
	return fmt.Sprintf(`%s sip:198.51.100.1:5060 SIP/2.0
Via: SIP/2.0/%s 192.0.2.10:5060;branch=%s%s%d;rport
Max-Forwards: 70
From: %s
To: <sip:%s@198.51.100.1>;tag=%s
Call-ID: %s
CSeq: %d %s
Contact: <sip:ann@192.0.2.10:5060%s>
%s%sContent-Length: %d

%s`, method, message.ViaTransport(d.transport), d.branch, method, seq, d.from, d.to, d.toTag, d.callID, seq, method,
		transportParam(d.transport), d.extra, extra, len(body), body)
}

// reinvite makes the carrier offer another session and returns the CSeq.
func (p *peer) reinvite(d *dialogue, sdp string, headers ...string) int {
	return p.within(d, "INVITE", sdp, append(sdpHeader(sdp), headers...)...)
}

func sdpHeader(sdp string) []string {
	if sdp == "" {
		return nil
	}
	return []string{"Content-Type: application/sdp"}
}

// ackOf acknowledges the 200 to a re-INVITE with this CSeq.
func (p *peer) ackOf(d *dialogue, seq int, sdp string) {
	p.send(d.inDialog("ACK", seq, sdp, sdpHeader(sdp)...))
}

// prack acknowledges a reliable provisional answer, and returns the answer to the PRACK.
func (p *peer) prack(d *dialogue, m received, sdp string) received {
	p.w.t.Helper()
	d.learn(m)
	p.within(d, "PRACK", sdp, append(sdpHeader(sdp), fmt.Sprintf("RAck: %s %d INVITE", m.value("RSeq"), d.seq))...)
	return p.expect("SIP/2.0 200")
}

// agentRequest sends a request of the agent within its dialog.
func (p *peer) agentRequest(method string, invite received, tag string, seq int, headers ...string) {
	p.agentSends(method, invite, tag, seq, "", headers...)
}

// agentSends is agentRequest with a body, which is a session description unless the headers
// say otherwise.
func (p *peer) agentSends(method string, invite received, tag string, seq int, sdp string, headers ...string) {
	if sdp != "" && !strings.Contains(strings.Join(headers, "\n"), "Content-Type: ") {
		headers = append(headers, "Content-Type: application/sdp")
	}
	extra := ""
	for _, h := range headers {
		extra += h + "\n"
	}
	sdp = strings.ReplaceAll(strings.ReplaceAll(sdp, "\r\n", "\n"), "\n", "\r\n")
	p.send(fmt.Sprintf(`%s %s SIP/2.0
Via: SIP/2.0/%s %s;branch=z9hG4bKagent%s%d
Max-Forwards: 70
From: %s;tag=%s
To: %s
Call-ID: %s
CSeq: %d %s
Contact: <sip:agent@%s%s>
%sContent-Length: %d

%s`, method, message.AddrSpec(invite.value("Contact")), message.ViaTransport(p.transport()), p.conn.LocalAddr(), method, seq, invite.value("To"), tag,
		invite.value("From"), invite.value("Call-ID"), seq, method, p.conn.LocalAddr(), transportParam(p.transport()), extra, len(sdp), sdp))
}

const testSDP = `v=0
o=peer 1 1 IN IP4 %[1]s
s=peer's own name
c=IN IP4 %[1]s
t=0 0
m=audio %[2]d RTP/AVP 0 8 101
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=candidate:1 1 UDP 1 10.9.9.9 4444 typ host
a=rtcp:%[2]d
a=sendrecv
`

func sdpAt(host string, port int) string {
	return strings.ReplaceAll(fmt.Sprintf(testSDP, host, port), "\n", "\r\n")
}

// withoutAddress removes the c= line.
func withoutAddress(sdp string) string {
	before, after, _ := strings.Cut(sdp, "\nc=")
	_, after, _ = strings.Cut(after, "\n")
	return before + "\n" + after
}

func agentSDP() string { return sdpAt("192.0.2.20", 30000) }
