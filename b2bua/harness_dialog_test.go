package b2bua

import (
	"fmt"
	"strings"
)

// within sends a request of the carrier within its dialog and gives its CSeq.
// With a body, the first header is its Content-Type.
func (p *peer) within(d *dialogue, method, body string, headers ...string) int {
	d.later++
	seq := d.seq + d.later
	p.send(d.inDialog(method, seq, body, headers...))
	return seq
}

// inDialog gives a request of the carrier within its dialog as text.
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

%s`, method, viaTransport(d.transport), d.branch, method, seq, d.from, d.to, d.toTag, d.callID, seq, method,
		transportParam(d.transport), d.extra, extra, len(body), body)
}

// reinvite has the carrier offer another session and gives the CSeq.
func (p *peer) reinvite(d *dialogue, sdp string, headers ...string) int {
	return p.within(d, "INVITE", sdp, append(sdpHeader(sdp), headers...)...)
}

// update is reinvite by UPDATE.
func (p *peer) update(d *dialogue, sdp string, headers ...string) int {
	return p.within(d, "UPDATE", sdp, append(sdpHeader(sdp), headers...)...)
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

// prack acknowledges a provisional answer that was sent reliably, and takes the
// answer to that.
func (p *peer) prack(d *dialogue, m message, sdp string) message {
	p.w.t.Helper()
	d.learn(m)
	p.within(d, "PRACK", sdp, append(sdpHeader(sdp), fmt.Sprintf("RAck: %s %d INVITE", m.value("RSeq"), d.seq))...)
	return p.expect("SIP/2.0 200")
}
