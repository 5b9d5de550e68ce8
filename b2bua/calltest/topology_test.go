package calltest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"flowbridge/b2bua/message"
)

// These texts may be seen by one side only: the side's addresses, and a word in everything
// that the side says about itself.
var (
	carrierOnly = []string{"carriersecret", "192.0.2.10", "10.9.9.9", "198.18.1."}
	agentOnly   = []string{"agentsecret", "192.0.2.20", "10.9.9.9", "198.18.2.", ":32681"}
)

const carrierTells = `Via: SIP/2.0/UDP 198.18.1.1:5060;branch=z9hG4bKother;x=carriersecret
Record-Route: <sip:192.0.2.10:5060;lr;x=carriersecret>
Route: <sip:198.51.100.1;lr;x=carriersecret>
User-Agent: carriersecret 1.0
Organization: carriersecret
Subject: carriersecret
Server: carriersecret
Warning: 399 carriersecret "at 198.18.1.1"
P-Charging-Vector: icid-value=carriersecret;icid-generated-at=198.18.1.1
P-Access-Network-Info: carriersecret
P-Visited-Network-ID: carriersecret
History-Info: <sip:+15075550111@carriersecret.example>;index=1, <sip:+15075785607@198.51.100.1>;index=1.1
Diversion: <sip:+15075550111@carriersecret.example>
P-Asserted-Identity: "Ann Smith" <sip:+15075550100@carriersecret.example>
Remote-Party-ID: <sip:+15075550100@carriersecret.example>
Call-Info: <http://carriersecret.example/ann>
Reply-To: <sip:carriersecret@198.18.1.1>
Identity: carriersecret
X-Secret: carriersecret
Reason: Q.850;cause=16;text="carriersecret"
Supported: 100rel, carriersecret
Timestamp: 54.1
`

// agentTells are headers for the agent's answers and requests, which say something about
// the agent.
var agentTells = []string{
	"Record-Route: <sip:192.0.2.20:32681;lr;x=agentsecret>",
	"Server: agentsecret 1.0", "User-Agent: agentsecret 1.0", `Warning: 399 agentsecret "at 198.18.2.1"`,
	"Retry-After: 4711 (agentsecret)", `Reason: Q.850;cause=17;text="agentsecret"`, "X-Secret: agentsecret",
	"P-Asserted-Identity: <sip:agentsecret@198.18.2.1>", "P-Charging-Vector: icid-value=agentsecret;orig-ioi=198.18.2.1",
	"Organization: agentsecret", "Error-Info: <sip:agentsecret@198.18.2.1>", "Call-Info: <http://agentsecret.example>",
	"Supported: agentsecret", "Allow: INVITE, AGENTSECRET",
}

// telling returns a session description with word in every place that could identify its
// sender.
func telling(word, host, net string) string {
	return strings.ReplaceAll(strings.NewReplacer("WORD", word, "HOST", host, "NET", net).Replace(`v=0
o=WORD 4711 4712 IN IP4 NET1
s=WORD
i=WORD
u=http://WORD.example/
e=WORD@example.com
p=+1 WORD
c=IN IP4 HOST
b=X-WORD:128
t=0 0
k=clear:WORD
a=tool:WORD
a=group:BUNDLE WORD
a=X-WORD:NET1
m=audio 4444 RTP/AVP 0 101
i=WORD
c=IN IP4 HOST
k=clear:WORD
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=fmtp:99 WORD
a=rtcp:4446 IN IP4 NET2
a=candidate:1 1 UDP 1 10.9.9.9 4444 typ host
a=remote-candidates:1 NET3 9
a=ice-ufrag:WORD
a=ice-pwd:WORDWORDWORDWORDWORDWORD
a=fingerprint:sha-256 WORD
a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WORD
a=ssrc:1 cname:WORD@NET1
a=msid:WORD WORD
a=mid:WORD
a=source-filter: incl IN IP4 NET1 NET2
a=X-nat:NET1
a=WORD
a=sendrecv
`), "\n", "\r\n")
}

// No message toward one side contains a text that only the other side may see.
func TestTopology(t *testing.T) {
	for name, play := range map[string]func(w *world, d *dialogue, invite received){
		"answered, the caller hangs up": func(w *world, d *dialogue, invite received) {
			w.agent.reply(invite, 183, "Session Progress", "agentsecret", telling("agentsecret", "192.0.2.20", "198.18.2."), agentTells...)
			w.carrier.prack(d, w.carrier.expect("SIP/2.0 183"), "")
			w.pickedUp(d, invite)
			w.carrier.within(d, "OPTIONS", "")
			w.carrier.expect("SIP/2.0 200")
			w.carrier.bye(d)
			w.carrier.expect("SIP/2.0 200")
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "", agentTells...)
		},
		"answered, the agent hangs up": func(w *world, d *dialogue, invite received) {
			w.pickedUp(d, invite)
			w.agent.tellingRequest("MESSAGE", invite, 7)
			w.agent.expect("SIP/2.0 405")
			w.agent.tellingRequest("BYE", invite, 8)
			w.agent.expect("SIP/2.0 200")
			w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "", strings.Split(strings.TrimSpace(carrierTells), "\n")[1:]...) // all but the second Via
		},
		"cancelled": func(w *world, d *dialogue, invite received) {
			w.agent.reply(invite, 180, "Ringing", "agentsecret", "", agentTells...)
			synctest.Wait()
			w.carrier.givesUp(d)
			w.agent.reply(w.agent.expect("CANCEL"), 200, "OK", "agentsecret", "", agentTells...)
			w.agent.concludes(invite, 487, "Request Terminated", "agentsecret", "", agentTells...)
		},
		"busy": func(w *world, d *dialogue, invite received) {
			w.agent.concludes(invite, 486, "Busy Here", "agentsecret", "", agentTells...)
			w.carrier.isRefused(d, "486")
		},
		"out of order": func(w *world, d *dialogue, invite received) {
			w.agent.concludes(invite, 503, "Overloaded agentsecret", "agentsecret", "", agentTells...)
			w.carrier.isRefused(d, "503")
		},
		"redirected": func(w *world, d *dialogue, invite received) {
			w.agent.concludes(invite, 302, "Moved", "agentsecret", "", append(agentTells, "Contact: <sip:agentsecret@198.18.2.9>")...)
			w.carrier.isRefused(d, "503")
		},
		"an answer in parts": func(w *world, d *dialogue, invite received) {
			w.agent.multipart(invite)
			w.agent.expect("ACK")
			w.carrier.isAnswered(d)
			w.carrier.bye(d)
			w.carrier.expect("SIP/2.0 200")
			w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "", agentTells...)
		},
	} {
		runIn(t, name, strings.Replace(testConfig, `      X-Empty: "{{.Header \"X-None\"}}"`, `      X-Diverted: "{{.Diversion}}"`, 1), func(w *world) {
			d := w.carrier.newCall("+15075785607")
			d.callID, d.extra = "carriersecret@198.18.1.1", carrierTells
			d.from = `"Ann Smith" <sip:+15075550100@carriersecret.example;x=carriersecret>;tag=carriersecret`
			d.sdp = telling("carriersecret", "192.0.2.10", "198.18.1.")
			invite := w.carrier.ringsAt(w.agent, d)
			if invite.value("X-Diverted") != "+15075550111" {
				w.t.Errorf("INVITE:\n%s", invite.raw)
			}
			play(w, d, invite)
			w.record()
			synctest.Wait()
			telltale(w.t, "agent", w.agent.seen, carrierOnly, "INVITE")
			telltale(w.t, "carrier", w.carrier.seen, agentOnly, "SIP/2.0 180")
		})
	}
}

// telltale checks that none of a side's messages contains a text that only the other side
// may see.
func telltale(t testing.TB, side string, messages, words []string, begins string) {
	t.Helper()
	found := false
	for _, m := range messages {
		found = found || strings.HasPrefix(m, begins)
		for _, word := range words {
			if strings.Contains(strings.ToLower(m), word) {
				t.Errorf("%q in a message to the %s:\n%s", word, side, m)
			}
		}
	}
	if !found {
		t.Errorf("of %d messages to the %s none begins with %s", len(messages), side, begins)
	}
}

// pickedUp makes the agent answer with all headers of agentTells.
func (w *world) pickedUp(d *dialogue, invite received) {
	w.t.Helper()
	w.carrier.isTakenWith(w.agent, invite, "agentsecret", d, telling("agentsecret", "192.0.2.20", "198.18.2."), agentTells...)
}

// tellingRequest sends a request of the agent with all headers of agentTells.
func (p *peer) tellingRequest(method string, invite received, seq int) {
	p.send(strings.NewReplacer("METHOD", method, "SEQ", string(rune('0'+seq)), "URI", message.AddrSpec(invite.value("Contact")),
		"FROM", invite.value("To"), "TO", invite.value("From"), "CALLID", invite.value("Call-ID")).Replace(
		`METHOD URI SIP/2.0
Via: SIP/2.0/UDP 192.0.2.20:32681;branch=z9hG4bKagentsecretSEQ
Max-Forwards: 70
From: FROM;tag=agentsecret
To: TO
Call-ID: CALLID
CSeq: SEQ METHOD
`) + strings.Join(agentTells, "\n") + "\nContent-Length: 0\n\n")
}

// multipart makes a peer answer with SDP that is one part of a multipart body.
func (p *peer) multipart(invite received) {
	body := "--agentsecret\r\nContent-Type: application/sdp\r\n\r\n" + telling("agentsecret", "192.0.2.20", "198.18.2.") +
		"\r\n--agentsecret\r\nContent-Type: text/plain\r\n\r\nagentsecret\r\n--agentsecret--\r\n"
	head := "SIP/2.0 200 OK\r\nContent-Type: multipart/mixed;boundary=agentsecret\r\nContact: <sip:agentsecret@192.0.2.20:32681>\r\n"
	for _, name := range []string{"Via", "From", "To", "Call-ID", "CSeq"} {
		head += name + ": " + invite.value(name)
		if name == "To" {
			head += ";tag=agentsecret"
		}
		head += "\r\n"
	}
	p.send(fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", head, len(body), body))
}
