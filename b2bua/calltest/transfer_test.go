package calltest

import (
	"strings"
	"testing"
	"testing/synctest"

	"flowbridge/b2bua/cause"
	"flowbridge/media"
	"flowbridge/store/record"
)

// transferConfig lets the agent transfer callers: to numbers, through the caller's carrier
// or a separate route, and directly to one host.
const transferConfig = `
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"], country: "1", uri: "sip:{{.To.Number}}@192.0.2.10:5060", pass_headers: ["X-*"]}
  - {name: pbx, sources: ["192.0.2.21"], uri: "sip:{{.To.Number}}@192.0.2.21:32681"}
targets:
  - name: agent
    kind: sip
    uri: "sip:{{.To.Number}}@192.0.2.20:32681"
    transfer: local
    transfer_numbers: ["^\\+1507", "^[0-9]{4}$"]
    transfer_hosts: [192.0.2.21, "192.0.2.21:32681"]
routes:
  - {trunk: carrier, targets: [agent]}
  - {target: agent, to: "^4", trunks: [pbx, carrier]}
`

// notified expects a NOTIFY with this sipfrag and subscription state, and answers it.
func (p *peer) notified(sipfrag, state string) received {
	p.w.t.Helper()
	m := p.expect("NOTIFY")
	if !strings.Contains(m.raw, "\r\n\r\nSIP/2.0 "+sipfrag) || !strings.HasPrefix(m.value("Subscription-State"), state) ||
		m.value("Event") == "" || !strings.HasPrefix(m.value("Content-Type"), "message/sipfrag") {
		p.w.t.Errorf("want a NOTIFY of %s, %s; got:\n%s", sipfrag, state, m.raw)
	}
	p.reply(m, 200, "OK", "", "")
	return m
}

const transfers = `
up: agent

== the caller is connected to the number that the agent names, by the carrier's own uri (RFC 3892)
agent: says REFER | Refer-To: <sip:+15075550177@198.51.100.1?User-to-User=abc%3Bencoding%3Dhex&X-Why=billing&From=evil> | Referred-By: <sip:agent@192.0.2.20>
agent: gets 202 | Contact: * ; notified 100 active
carrier: gets INVITE | URI: sip:+15075550177@192.0.2.10:5060 | Referred-By: <sip:agent@192.0.2.20> | User-to-User: abc;encoding=hex | X-Why: billing | P-Asserted-Identity: <sip:+15075550100@198.51.100.1>
carrier: says 180
agent: notified 180 active
carrier: takes (:40000 host=192.0.2.11)
agent: notified 200 terminated ; gets BYE ; says 200
media: 192.0.2.11:40000
carrier: hangs up on carrier | reached: agent 200, carrier 200 transfer

== one that fails leaves the caller with the agent, who is told why
agent: refers to tel:4711;phone-context=example.com
spare: gets INVITE | URI: sip:4711@192.0.2.21:32681 ; says 503 ; gets ACK
carrier: gets INVITE | URI: sip:4711@192.0.2.10:5060 ; says 486 ; gets ACK
agent: gets NOTIFY | text: ~SIP/2.0 486 Said So | Subscription-State: ~terminated ; says 200
media: 192.0.2.20:30000
carrier: hangs up on agent | reached: agent 200, pbx 503 transfer, carrier 486 transfer

== an agent that no longer knows its REFER keeps the caller (RFC 5057 section 5.1)
agent: refers to tel:4711
spare: gets INVITE ; says 503 ; gets ACK
carrier: gets INVITE ; says 486 ; gets ACK
agent: gets NOTIFY ; says 481
carrier: silent 1s ; hangs up on agent

== an agent hangs up as soon as its REFER is accepted: the caller is not dropped, and hears the called side's early media
agent: says REFER | Refer-To: <sip:bob@192.0.2.21:32681> | Refer-Sub: false ; gets 202 | Refer-Sub: false ; says BYE ; gets 200
spare: gets INVITE | URI: sip:bob@192.0.2.21:32681 ; says 183 (:41000)
media: 192.0.2.21:41000
spare: takes (:41000) ; +1s ; hangs up on carrier

== who is called while the caller's music on hold lists one codec is offered the keys that come back with the caller
carrier: says INVITE (0 sendonly) ; gets 200 (0) ; acks
agent: refers to sip:bob@192.0.2.21:32681
spare: gets INVITE (0 101) ; takes (0 101)
agent: notified 200 terminated ; gets BYE ; says 200
carrier: says INVITE (0 101) ; gets 200 (0 101) ; acks ; hangs up on spare

== the caller was told that the agent holds, and the agent hangs up: the new party does not hold
with: transfer: local => transfer: local\n    reinvite: relay
agent: says INVITE (0 101 sendonly)
carrier: gets INVITE (0 101 sendonly) ; takes (0 101 recvonly)
agent: gets 200 (0 101 recvonly) ; acks ; refers to sip:bob@192.0.2.21:32681 ; says BYE ; gets 200
spare: gets INVITE ; takes (:41000)
carrier: gets INVITE (0 101) ; takes (0 101)
carrier: hangs up on spare

== and where the called side refuses, the call ends
agent: says REFER | Refer-To: <sip:bob@192.0.2.21:32681> | Refer-Sub: false ; gets 202 | Refer-Sub: false ; says BYE ; gets 200
spare: gets INVITE ; says 183 (:41000)
media: 192.0.2.21:41000
spare: says 603 ; gets ACK
carrier: gets BYE ; says 200
record: answered transfer_failed system

== the caller hangs up while it is under way
agent: refers to tel:4711
spare: gets INVITE ; says 180
agent: notified 180 active
carrier: says BYE ; gets 200
spare: ceases
agent: notified 487 terminated ; gets BYE ; says 200
record: hung up by carrier

== transfer: relay has the carrier's side carry it out, and its reports go back
with: transfer: local => transfer: relay
agent: says REFER | Refer-To: <tel:+15075550177> | Referred-By: <sip:agent@192.0.2.20>
carrier: gets REFER | Refer-To: <sip:+15075550177@192.0.2.10:5060> | Referred-By: <sip:agent@192.0.2.20> ; says 202
agent: gets 202
carrier: says NOTIFY {SIP/2.0 100 Trying\n} | Content-Type: message/sipfrag | Event: refer | Subscription-State: active;expires=60
agent: notified 100 active;expires=60
carrier: gets 200 ; says NOTIFY {SIP/2.0 200 OK\n} | Content-Type: message/sipfrag | Event: refer | Subscription-State: terminated;reason=noresource
agent: notified 200 terminated
carrier: gets 200 ; hangs up on agent

== a report may come before the answer (RFC 6665 section 4.1.2.4); one of another event is none of the agent's
with: transfer: local => transfer: relay
agent: says REFER | Refer-To: <tel:+15075550177>
carrier: gets REFER ; says NOTIFY {SIP/2.0 100 Trying\n} | Content-Type: message/sipfrag | Event: refer | Subscription-State: active
agent: notified 100 active
carrier: gets 200 ; says NOTIFY | Event: presence | Subscription-State: active ; gets 405 ; says 603
agent: gets 603
carrier: says NOTIFY | Event: refer | Subscription-State: active ; gets 405 ; hangs up on agent

== what the agent was asked is answered when it hands the caller over
carrier: says INFO | Info-Package: x
agent: gets INFO ; says REFER | Refer-To: <sip:bob@192.0.2.21:32681> | Refer-Sub: false ; gets 202
spare: gets INVITE | URI: sip:bob@192.0.2.21:32681 ; takes
carrier: gets 480
agent: gets BYE ; says 200 ; drains 1m # INFO goes on
carrier: hangs up on spare

== and when it goes at once
carrier: says INFO | Info-Package: x
agent: gets INFO ; says REFER | Refer-To: <sip:bob@192.0.2.21:32681> | Refer-Sub: false ; gets 202
spare: gets INVITE
agent: says BYE ; gets 200
carrier: gets 480
spare: takes
agent: drains 1m
carrier: hangs up on spare

== and what it is asked meanwhile; later requests go to the new target
agent: refers to <tel:4711>
spare: gets INVITE
carrier: says INFO | Info-Package: x
agent: gets INFO
spare: takes
carrier: gets 480 | CSeq: 2 INFO
agent: notified 200 terminated ; says 200 to INFO ; gets BYE ; says 200
carrier: says INFO | Info-Package: x
spare: gets INFO ; says 200
carrier: gets 200 ; hangs up on spare

== a hold that the caller has asked for is refused when the agent leaves, and may be tried again
with: transfer: local => transfer: local\n    reinvite: relay
carrier: says INVITE (sendonly)
agent: gets INVITE (sendonly) ; says REFER | Refer-To: <tel:4711> | Refer-Sub: false ; gets 202
spare: gets INVITE
agent: says BYE ; gets 200
carrier: gets 491 ; acks ; lasted 0s
spare: takes (:41000)
carrier: hangs up on spare

== a hold of an agent that leaves is undone at the caller, which may have accepted it
with: transfer: local => transfer: local\n    reinvite: relay
agent: says INVITE (sendonly)
carrier: gets INVITE (sendonly)
agent: says REFER | Refer-To: <tel:4711> | Refer-Sub: false ; gets 202
spare: gets INVITE
agent: says BYE ; gets 200+487 ; acks
carrier: takes (recvonly) ; gets INVITE (sendrecv) ; takes
spare: takes (:41000)
carrier: hears ; hangs up on spare

== a human that is called is not put on hold because the agent holds the caller
with: transfer: local => transfer: local\n    reinvite: relay
agent: says INVITE (sendonly)
carrier: gets INVITE ; takes (recvonly)
agent: gets 200 ; acks ; refers to <tel:4711>
spare: gets INVITE (sendrecv) ; takes (:41000)
agent: notified 200 terminated ; gets BYE ; says 200
carrier: gets INVITE ; takes ; hears
spare: hears :41000
carrier: hangs up on spare

== nor because the caller holds
carrier: says INVITE (:20000 inactive) ; gets 200 (inactive) ; acks
agent: refers to <tel:4711>
spare: gets INVITE (sendrecv) ; takes
agent: notified 200 terminated ; gets BYE ; says 200
carrier: says INVITE (:20000) ; gets 200 (sendrecv) ; acks ; hears
spare: silent 1s
carrier: hangs up on spare

== while somebody is called the codec stays as it was offered
agent: refers to <tel:4711>
spare: gets INVITE
agent: says INVITE (8 101) ; gets 491 ; acks
spare: takes
agent: notified 200 terminated ; gets BYE ; says 200
carrier: hangs up on spare

== a destination that media can't reach fails the attempt, and the agent's session keeps its address
with: transfer_hosts: [192.0.2.21, "192.0.2.21:32681"] => transfer_hosts: ["2001:db8::7"]
with: listen: ["udp://198.51.100.1:5060"] => listen: ["udp://198.51.100.1:5060", "udp://[2001:db8::1]:5060"]
agent: refers to <sip:bob@[2001:db8::7]> ; notified 503 terminated ; says INVITE ; gets 200 (sendrecv) ; acks (0 101)
carrier: hangs up on agent

== transfer: relay sends the number that is on the list, and nothing that came with it; an agent sets no header that names the call
with: transfer: local => transfer: relay
agent: says REFER | Refer-To: <sip:+15075550177;rn=+19005550100;npdi@x.example?X-EI=S.1&X-a=b>
carrier: gets REFER | Refer-To: <sip:+15075550177@192.0.2.10:5060?X-a=b> ; says 202
agent: gets 202 ; says REFER | Refer-To: <sip:+15075550177@x.example?X-a%250d=v> ; gets 400
agent: says REFER | Refer-To: <tel:+15075550177> | Require: nothing ; gets 420
carrier: hangs up on agent

== what an agent adds to an allowed number is not dialled, either
with: country: "1", uri: "sip:{{.To.Number}}@ => country: "1", uri: "sip:{{.To.User}}@
agent: says REFER | Refer-To: <sip:+15075550177;rn=+19005550100@x.example> | Refer-Sub: false ; gets 202
carrier: gets INVITE | URI: sip:+15075550177@192.0.2.10:5060 ; says 486 ; gets ACK ; hangs up on agent

== one that has failed is over for the next process, too: nobody is told again
agent: refers to <tel:4711>
spare: gets INVITE ; says 503 ; gets ACK
carrier: gets INVITE ; says 486 ; gets ACK
agent: notified 486 terminated
server: restarts
agent: silent 0s
carrier: silent 0s ; hangs up on agent

== an agent that has left meanwhile is not there for the next process: the call ends, because nobody has the caller
agent: refers to <tel:4711>
spare: gets INVITE ; says 180
agent: notified 180 active ; says BYE ; gets 200
server: restarts
carrier: gets BYE ; says 200
spare: ceases
agent: silent 0s
record: interrupted process_restart system

== only parameters that are known go along to a host
agent: refers to <sip:bob@192.0.2.21:32681;maddr=203.0.113.66;user=phone;x=y?User-to-User=`

// An agent's REFER has the right effect, and the agent gets its reports (RFC 3515).
func TestTransfers(t *testing.T) {
	stories := transfers + strings.Repeat("a", 900) + `>
spare: gets INVITE | text: ~INVITE sip:bob@192.0.2.21:32681;user=phone SIP/2.0 ; takes
agent: notified 200 terminated ; gets BYE ; says 200
carrier: hangs up on spare
`
	// Forbidden and malformed requests of the agent are refused, and the call continues.
	for name, tt := range map[string]struct{ to, status string }{
		"no Refer-To":       {"", "400"},
		"two":               {"| Refer-To: <sip:4711@198.51.100.1> | Refer-To: <sip:4712@198.51.100.1>", "400"},
		"another scheme":    {"| Refer-To: <http://example.com/>", "416"},
		"a number":          {"| Refer-To: <tel:+19005550100>", "403"},
		"a host":            {"| Refer-To: <sip:bob@203.0.113.7>", "403"},
		"not a call":        {"| Refer-To: <sip:4711@198.51.100.1;method=BYE>", "400"},
		"number, Replaces":  {"| Refer-To: <sip:4711@198.51.100.1?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>", "501"},
		"host over TLS URI": {"| Refer-To: <sips:bob@192.0.2.21>", "416"},
	} {
		stories += "\n== refused: " + name + "\nagent: says REFER " + tt.to + " ; gets " + tt.status + "\ncarrier: hangs up on agent\n"
	}
	tell(t, transferConfig, stories)
}

// referred makes the agent send a REFER, which must be accepted.
func (w *world) referred(invite received, to string, headers ...string) {
	w.t.Helper()
	w.agent.agentRequest("REFER", invite, "agent1", 10, append(headers, "Refer-To: "+to)...)
	w.agent.expect("SIP/2.0 202")
	w.agent.notified("100", "active")
}

// takenByPBX makes the PBX accept the call, and the agent take the report and the BYE.
func (w *world) takenByPBX(called received) {
	w.t.Helper()
	w.agent2.concludes(called, 200, "OK", "human", sdpAt("192.0.2.21", 41000))
	w.agent.notified("200", "terminated")
	w.agent.reply(w.agent.expect("BYE"), 200, "OK", "", "")
	synctest.Wait()
}

// An agent that has hung up gets no more messages, and its place at the target is free. The
// caller can then hear early media of the transfer's target that came before.
func TestTransferGoesOnWithoutAgent(t *testing.T) {
	for name, early := range map[string]bool{"early media": true, "none": false} {
		runIn(t, name, transferConfig, func(w *world) {
			_, invite := w.established()
			w.referred(invite, "<tel:4711>")
			called := w.agent2.expect("INVITE")
			want := media.Peer{}.RTP
			if early {
				w.agent2.reply(called, 183, "Session Progress", "human", sdpAt("192.0.2.21", 41000))
				w.agent.notified("183", "active")
			}
			w.agent.agentRequest("BYE", invite, "agent1", 11)
			w.agent.expect("SIP/2.0 200")
			if got := w.relay.sessions[0].peers[media.SideB].RTP; (got != want) != early || (early && got.Port() != 41000) {
				w.t.Errorf("media of side B goes to %v", got)
			}
			w.hears(ringing)
			if n := w.admission.Open().Targets["agent"]; n != 0 {
				w.t.Errorf("the agent has %d calls", n)
			}
			w.agent2.concludes(called, 486, "Busy Here", "human", "")
			w.carrier.reply(w.carrier.expect("BYE"), 200, "OK", "", "")
			w.wantRecord(record.DispositionAnswered, cause.TransferFailed, record.EndedBySystem)
		})
	}
}
