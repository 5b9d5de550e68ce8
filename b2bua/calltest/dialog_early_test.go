package calltest

import (
	"strings"
	"testing"
)

// RFC 3262 section 3: the 200 waits until the 183 with SDP has been acknowledged by PRACK. A CANCEL, or a missing
// PRACK, ends the call before that.
func TestReliableEarlyMedia(t *testing.T) {
	tell(t, talkYAML("", ""), `
carrier: calls 15075785607 | Supported: 100rel ; gets 180
agent: gets INVITE ; says 183 (0 101)
carrier: gets 183 | Require: 100rel | RSeq: *
agent: takes

== PRACK
carrier: pracks ; gets 200 bare ; acks ; hangs up on agent

== PRACK with an offer
carrier: says PRACK (:20008) ; gets 200 (0 101) | CSeq: ~PRACK ; gets 200 ; acks ; hears :20008 ; hangs up on agent

== CANCEL
carrier: cancels ; gets 200+487 ; acks
agent: gets BYE ; says 200
record: cancelled caller_cancelled caller

== nothing
carrier: `+strings.Repeat("gets 183 ; ", 6)+`gets 504 ; took 32s ; acks
agent: gets BYE ; says 200
record: failed no_prack system | SIPStatus: 504 | AnsweredAt:

== the agent hangs up
agent: says BYE ; gets 200
carrier: gets 480 ; acks # the 200 is too late
record: no_answer agent_hangup agent | SIPStatus: 480`)

	tell(t, talkYAML("", ""), `
== a caller that never acknowledges is refused while the target still rings, too
carrier: calls 15075785607 | Supported: 100rel ; gets 180
agent: gets INVITE ; says 183 (0 101)
carrier: gets 183`+strings.Repeat(" ; gets 183", 6)+` ; gets 504 ; acks
agent: ceases
record: failed no_prack system | SIPStatus: 504

== early media of several forks goes to the one that was heard last, and in the end to who answers (RFC 3261 section 12.1)
carrier: calls 15075785607 ; gets 180
agent: gets INVITE ; says 183 (0 101) ; hears ; says 183 agent1 (:30002) ; hears :30002
agent: says 183 x (:30004) ; hears :30004 ; says 183 y (:30006) ; hears :30006 ; says 200 (:30008) ; hears :30008 ; gets ACK
carrier: gets 183 ; gets 200 ; acks ; hangs up on agent`)
}

// trunks[].rel100: off refuses Require, and required demands Supported (RFC 3262 section 3, RFC 3261 section 8.2.2.3).
// targets[].rel100: headers of our INVITE, and PRACKs of the answers (RFC 3262 section 4).
func TestRel100(t *testing.T) {
	stories := `
== a trunk's off
with: sources: ["192.0.2.10"] => sources: ["192.0.2.10"], rel100: off
carrier: calls 15075785607 | Require: 100rel ; gets 420 | Unsupported: 100rel ; acks
carrier: calls 15075785607 | Supported: 100rel ; gets 180 | RSeq:
agent: gets INVITE ; busy

== a trunk's supported
with: sources: ["192.0.2.10"] => sources: ["192.0.2.10"], rel100: supported
carrier: calls 15075785607 | Supported: 100rel ; gets 180 | RSeq:
agent: gets INVITE ; busy

== a trunk's required
with: sources: ["192.0.2.10"] => sources: ["192.0.2.10"], rel100: required
carrier: calls 15075785607 | Supported: timer ; gets 421 | Require: 100rel ; acks
carrier: calls 15075785607 | Supported: 100rel ; gets 180 | RSeq: * ; pracks
agent: gets INVITE ; busy
`
	for mode, want := range map[string]string{
		"off": "Supported: timer | Require:", "supported": "Supported: timer, 100rel | Require:",
		"required": "Supported: timer, 100rel | Require: 100rel",
	} {
		stories += "== a target's " + mode + "\nwith: 192.0.2.20:32681\" => 192.0.2.20:32681\", rel100: " + mode + `
carrier: calls 15075785607 ; gets 180
agent: gets INVITE | ` + want + "\n"
		for _, tag := range []string{"a", "b"} { // two forks answer
			stories += strings.ReplaceAll(`
agent: says 183 TAG (0 101) to INVITE | Require: 100rel | RSeq: 5 | Record-Route: <sip:192.0.2.20:32681;lr;TAG>
agent: gets PRACK | RAck: 5 1 INVITE | To: ~tag=TAG | Route: <sip:192.0.2.20:32681;lr;TAG>
agent: says 183 TAG (0 101) to INVITE | Require: 100rel | RSeq: 5 # again
agent: says 200
`, "TAG", tag)
		}
		stories += `
carrier: gets 183
agent: silent 1s ; takes b bare to INVITE | Record-Route: <sip:192.0.2.20:32681;lr;b>
carrier: gets 200 ; acks
agent: says 200 a (0 101) to INVITE ; gets ACK | To: ~tag=a ; gets BYE | To: ~tag=a ; says 200
carrier: hangs up on agent
`
	}
	tell(t, talkYAML("", ""), stories)
}
