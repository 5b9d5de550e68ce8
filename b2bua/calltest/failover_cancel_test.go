package calltest

import (
	"strings"
	"testing"
)

func (p *peer) refuses(code int) {
	p.w.t.Helper()
	p.concludes(p.expect("INVITE"), code, "No", "x", "")
}

const cancelStages = `
with: ringing: on-target => ringing: RINGING

== the first is prepared
platform: takes 1h
carrier: calls 15085785607 ; GIVES-UP | attempts: agent caller_cancelled

== the first's name is looked up
with: 192.0.2.20:32681 => hangs.test:32681
carrier: calls 15085785607 ; GIVES-UP | attempts: agent caller_cancelled

== the first is connected to
with: {name: agent, => {name: agent, transport: tcp,
connections: held
carrier: calls 15085785607 ; GIVES-UP | attempts: agent caller_cancelled
connections: released

== the first says nothing, then 180: only then CANCEL may be sent (RFC 3261 section 9.1)
carrier: calls 15085785607
agent: gets INVITE
carrier: GIVES-UP | attempts: agent caller_cancelled
agent: says 180 ; ceases

== the first says nothing, then 200
carrier: calls 15085785607
agent: gets INVITE
carrier: GIVES-UP | attempts: agent caller_cancelled
agent: takes ; gets BYE ; says 200

== the first said 100
carrier: calls 15085785607
agent: gets INVITE ; says 100
carrier: GIVES-UP | attempts: agent caller_cancelled
agent: ceases

== the first rings
carrier: calls 15085785607
agent: gets INVITE ; says 180
carrier: GIVES-UP | attempts: agent caller_cancelled
agent: ceases

== the first rings, and its 200 crosses the CANCEL
carrier: calls 15085785607
agent: gets INVITE ; says 180
carrier: GIVES-UP | attempts: agent caller_cancelled
agent: gets CANCEL ; takes ; gets BYE | URI: sip:agent@192.0.2.20:32681 ; says 200 ; says 481 to CANCEL

== the first has early media
carrier: calls 15085785607
agent: gets INVITE ; says 183 (0 101)
carrier: GIVES-UP | attempts: agent caller_cancelled
agent: ceases

== the first has challenged
with: {name: agent, => {name: agent, auth: {username: bob, password_env: PASSWORD},
carrier: calls 15085785607
agent: gets INVITE ; says 401 | WWW-Authenticate: Digest realm="r", nonce="n1" ; gets ACK ; gets INVITE ; says 180
carrier: GIVES-UP | attempts: agent caller_cancelled
agent: ceases

== the second is prepared
with: kind: sip, uri: "sip:{{.To.Number}}@192.0.2.21:32681" => BOTH-PREPARE
carrier: calls 15085785607
agent: gets INVITE
platform: takes 1h
agent: says 503 ; gets ACK
carrier: GIVES-UP | attempts: agent target_error, spare caller_cancelled

== the second's name is looked up
with: 192.0.2.21:32681 => hangs.test:32681
carrier: calls 15085785607
agent: gets INVITE ; says 503 ; gets ACK
carrier: GIVES-UP | attempts: agent target_error, spare caller_cancelled

== the second rings
carrier: calls 15085785607
agent: gets INVITE ; says 503 ; gets ACK
spare: gets INVITE ; says 180
carrier: GIVES-UP | attempts: agent target_error, spare caller_cancelled
spare: ceases

== the second rings after early media of the first
carrier: calls 15085785607
agent: gets INVITE ; says 183 (0 101) ; says 503 ; gets ACK
spare: gets INVITE ; says 180
carrier: GIVES-UP | attempts: agent target_error, spare caller_cancelled
spare: ceases

== the first, which rang for too long, is still to answer its CANCEL
with: timeout: 3s} => timeout: 3s}, ring_timeout: 5s
carrier: calls 15085785607
agent: gets INVITE ; says 180 ; gets CANCEL
spare: gets INVITE ; says 180
carrier: GIVES-UP | attempts: agent ring_timeout, spare caller_cancelled
spare: ceases
agent: takes ; gets BYE ; says 200 ; says 481 to CANCEL # crossed it
`

// The caller may cancel at any moment of a set-up over two targets. It gets one 487, there is one record, and no target
// keeps ringing.
func TestCancelAtEveryStage(t *testing.T) {
	for _, ringing := range []string{"immediate", "none"} {
		tell(t, cancelConfig, strings.NewReplacer(
			"GIVES-UP", "gives up\nrecord: cancelled caller_cancelled caller | SIPStatus: 487 | Q850: 31", "RINGING", ringing,
			"BOTH-PREPARE", `kind: synthflow, uri: "sip:{{.To.Number}}@192.0.2.21:32681", prepare: {api: "https://api.test", token_env: TOKEN}`,
		).Replace(cancelStages))
	}
}

// cancelConfig is a route over two targets; the server also listens on TCP.
const cancelConfig = `
sip: {listen: ["udp://198.51.100.1:5060", "tcp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"]}
targets:
  - {name: agent, kind: synthflow, uri: "sip:{{.To.Number}}@192.0.2.20:32681", prepare: {api: "https://api.test", token_env: TOKEN, model_id: m, timeout: 3s}}
  - {name: spare, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.21:32681"}
routes:
  - {targets: [agent, spare], ringing: on-target}
`
