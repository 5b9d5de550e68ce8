//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"text/template"
)

// script has the template functions for the scenarios of dialogs. They write the messages that are
// the same everywhere, for the side that plays the scenario. The contents of a message are header
// lines and a body.
//
//	{{invite "Supported: timer" (sdp 7 "0 101" "")}}   the carrier's INVITE
//	{{dialog 183}}                                     it awaits what makes a dialog
//	{{reliable 183}}                                   the same, which needs PRACK
//	{{called}}                                         the agent awaits the INVITE
//	{{request "INVITE" 2 (sdp 8 "0 101" "sendonly")}}  a request within the dialog
//	{{ack 2}}
//	{{respond "200 OK"}}                               to what was received last
//	{{begin "200 OK"}}                                 to the INVITE, through proxies
//	{{answer "200 OK"}}                                to the INVITE, whatever came since
//	{{cue}}                                            the driver says when to go on
type script struct{ agent bool }

// body is a message body with its type.
type body struct{ kind, text string }

// render turns the text of a file into a SIPp scenario.
func render(t *testing.T, file, text string) string {
	t.Helper()
	s := script{agent: strings.HasSuffix(file, "/uas.xml")}
	tmpl, err := template.New(file).Funcs(template.FuncMap{
		"invite": s.invite, "dialog": s.dialog, "called": s.called, "reliable": s.reliable, "request": s.request, "change": s.change,
		"ack": s.ack, "respond": s.respond, "answer": s.answer, "begin": s.begin, "hangup": s.hangup, "hungup": s.hungup,
		"cue": func() string { return `<recv request="INFO"/>` },
		"sdp": s.sdp, "body": func(kind, text string) body { return body{kind, text} },
	}).Parse(text)
	must(t, err)
	var out strings.Builder
	must(t, tmpl.Execute(&out, nil))
	return out.String()
}

// send returns a message that SIPp sends, with its first lines and contents.
func (script) send(options string, head []string, contents []any) string {
	text := ""
	for _, c := range contents {
		switch c := c.(type) {
		case string:
			head = append(head, c)
		case body:
			head, text = append(head, "Content-Type: "+c.kind), c.text
		}
	}
	lines := append(head, "Content-Length: [len]", "", text)
	return "<send" + options + "><![CDATA[\n\n" + strings.Join(lines, "\n") + "\n]]></send>"
}

const (
	retransmitted = ` retrans="500"`
	carrierFrom   = `From: "E2E Caller" <sip:` + caller + `@[local_ip]:[local_port]>;tag=c[pid]x[call_number]`
	agentTag      = ";tag=a[pid]x[call_number]"
	contact       = "Contact: <sip:e2e@[local_ip]:[local_port]>"
)

// via returns a Via. Its branch is derived from the transaction, so that ACK and CANCEL can have
// the INVITE's branch.
func (script) via(method string, seq int) string {
	return fmt.Sprintf("Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=z9hG4bK[pid]x[call_number]n%d%s", seq, method)
}

func (s script) invite(contents ...any) string {
	return s.send(retransmitted, append(s.initial("INVITE", " <sip:[service]@[remote_ip]:[remote_port]>"), contact), contents)
}

// initial returns the first lines of a request that belongs to the carrier's INVITE.
func (s script) initial(method, to string) []string {
	return []string{
		method + " sip:[service]@[remote_ip]:[remote_port] SIP/2.0", s.via("INVITE", 1), "Max-Forwards: 70", carrierFrom,
		"To:" + to, "Call-ID: [call_id]", "CSeq: 1 " + method,
	}
}

// dialog awaits an answer that makes a dialog. Answers that may come before it must be written as
// optional.
func (script) dialog(status int) string {
	return fmt.Sprintf(`<recv response="%d" rrs="true"><action>
  <ereg regexp=".*" search_in="hdr" header="To:" assign_to="peer"/>
</action></recv>`, status)
}

func (script) reliable(status int) string {
	return fmt.Sprintf(`<recv response="%d" rrs="true"><action>
  <ereg regexp=".*" search_in="hdr" header="To:" assign_to="peer"/>
  <ereg regexp=".*" search_in="hdr" header="RSeq:" assign_to="rseq"/>
</action></recv>`, status)
}

func (script) called() string {
	return `<recv request="INVITE" rrs="true"><action>
  <ereg regexp=".*" search_in="hdr" header="Via:" assign_to="via"/>
  <ereg regexp=".*" search_in="hdr" header="From:" assign_to="peer"/>
  <ereg regexp=".*" search_in="hdr" header="To:" assign_to="me"/>
  <ereg regexp=".*" search_in="hdr" header="CSeq:" assign_to="cseq"/>
</action></recv>
<Reference variables="via,peer,me,cseq"/>`
}

// within returns the first lines of a request within the dialog.
func (s script) within(method, branch string, seq int) []string {
	from := carrierFrom
	if s.agent {
		from = "From:[$me]" + agentTag
	}
	return []string{
		method + " [next_url] SIP/2.0", s.via(branch, seq), "[routes]", "Max-Forwards: 70", from, "To:[$peer]",
		"Call-ID: [call_id]", fmt.Sprintf("CSeq: %d %s", seq, method),
	}
}

func (s script) request(method string, seq int, contents ...any) string {
	head := s.within(method, method, seq)
	if method != "BYE" && method != "PRACK" {
		head = append(head, contact)
	}
	return s.send(retransmitted, head, contents)
}

func (s script) ack(seq int, contents ...any) string {
	return s.send("", s.within("ACK", "ACK", seq), contents)
}

// change returns a request that changes the session, and is accepted.
func (s script) change(method string, seq int, contents ...any) string {
	out := s.request(method, seq, contents...) + `
<recv response="100" optional="true"/>
<recv response="200"/>
`
	if method == "INVITE" {
		out += s.ack(seq)
	}
	return out
}

func (s script) respond(status string, contents ...any) string {
	return s.send("", []string{"SIP/2.0 " + status, "[last_Via:]", "[last_From:]", "[last_To:]", "[last_Call-ID:]", "[last_CSeq:]", contact}, contents)
}

// begin returns an answer to the INVITE that was received last.
func (s script) begin(status string, contents ...any) string {
	return s.send(repeated(status), []string{
		"SIP/2.0 " + status, "[last_Via:]", "[last_Record-Route:]", "[last_From:]", "[last_To:]" + agentTag, "[last_Call-ID:]", "[last_CSeq:]", contact,
	}, contents)
}

// repeated repeats a final answer until its ACK comes.
func repeated(status string) string {
	if strings.HasPrefix(status, "1") {
		return ""
	}
	return retransmitted
}

// answer returns an answer to an INVITE that came without a proxy.
func (s script) answer(status string, contents ...any) string {
	return s.send(repeated(status), []string{
		"SIP/2.0 " + status, "Via:[$via]", "From:[$peer]", "To:[$me]" + agentTag, "Call-ID: [call_id]", "CSeq:[$cseq]", contact,
	}, contents)
}

func (s script) hangup(seq int, contents ...any) string {
	return s.request("BYE", seq, contents...) + "\n" + `<recv response="200"/>`
}

func (s script) hungup() string { return `<recv request="BYE"/>` + "\n" + s.respond("200 OK") }

// sdp returns a session description with this version, formats and direction, at the phone's port,
// and at another address if one is given.
func (s script) sdp(version int, formats, direction string, where ...string) body {
	address := append(where, "[media_ip]")[0]
	lines := []string{
		"v=0", fmt.Sprintf("o=e2e 7 %d IN IP[media_ip_type] [media_ip]", version), "s=e2e", "c=IN IP[media_ip_type] " + address, "t=0 0",
		"m=audio [rtp_port] RTP/AVP " + formats,
	}
	for format := range strings.FieldsSeq(formats) {
		switch format {
		case "0":
			lines = append(lines, "a=rtpmap:0 PCMU/8000")
		case "8":
			lines = append(lines, "a=rtpmap:8 PCMA/8000")
		case "101":
			lines = append(lines, "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15")
		}
	}
	if direction != "" {
		lines = append(lines, "a="+direction)
	}
	return body{"application/sdp", strings.Join(lines, "\n") + "\n"}
}
