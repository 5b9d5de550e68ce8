package calltest

import (
	"strings"
	"testing"
)

const overStreams = `
== a call over TCP
agent: listens
carrier: connects ; calls 15075785607 ; gets 180 | Contact: <sip:198.51.100.1:5060;transport=tcp>
agent: accepts ; gets INVITE | Via: ~SIP/2.0/TCP 198.51.100.1:5060; | Contact: <sip:198.51.100.1:5060;transport=tcp> ; takes
carrier: gets 200 ; acks
agent: hangs up on carrier

== a connection that dies while the phone rings: the answer goes to where the Via says (RFC 3261 section 18.2.2)
carrier: listens ; connects ; calls 15095785607 ; gets 180
spare: gets INVITE
carrier: resets ; +1ms
spare: takes
carrier: accepts ; gets 200 ; acks ; hangs up on spare

== a caller that can't be connected to, but connects again, gets its answer over the new connection
carrier: connects ; calls 15095785607 ; gets 180
spare: gets INVITE ; says 180
carrier: resets ; connects ; pings ; gets 200
spare: takes
carrier: gets 200 ; acks
spare: hangs up on carrier

== and its CANCEL works there, too
carrier: connects ; calls 15095785607 ; gets 180
spare: gets INVITE ; says 180
carrier: resets ; connects ; gives up
spare: ceases
record: cancelled caller_cancelled caller

== connections that die in mid-call are replaced when we hang up
agent: listens
carrier: listens ; connects ; calls 15075785607
agent: accepts ; gets INVITE ; takes
carrier: gets 180 ; gets 200 ; acks ; resets
agent: resets ; +10m
server: hangs up
carrier: accepts ; is left for shutdown
agent: accepts ; is left for shutdown
record: answered shutdown system

== the target's dies while it rings: the INVITE goes over another, where it is a retransmission
agent: listens
carrier: calls 15075785607 ; gets 180
agent: accepts ; gets INVITE ; says 180 ; resets ; accepts ; gets INVITE again ; takes
carrier: gets 200 ; acks ; hangs up on agent

== and a refusal is acknowledged
agent: listens
carrier: calls 15075785607 ; gets 180
agent: accepts ; gets INVITE ; says 180 ; resets ; accepts ; gets INVITE again ; busy

== a target that dies for good while it rings is the next target's turn
agent: listens
carrier: calls 15085785607 ; gets 180
agent: accepts ; gets INVITE ; says 180 ; leaves ; resets
spare: gets INVITE ; takes
carrier: gets 200 ; acks ; hangs up on spare | attempts: agent target_unreachable, spare

== a connection over which a target said nothing is not used for the next call: its end may be gone without a word
agent: listens
carrier: calls 15075785607 ; gets 180
agent: accepts ; gets INVITE
carrier: gets 503 ; acks
record: failed target_silent system
carrier: calls 15075785607 ; gets 180
agent: accepts ; gets INVITE
carrier: gets 503 ; acks
record: failed target_silent system

== a CANCEL over UDP of an INVITE over TCP: branch and address count, each is answered where it came from (RFC 3261 section 9.2)
carrier: connects ; calls 15095785607 ; gets 180
spare: gets INVITE ; says 180
carrier: has UDP ; cancels ; gets 200 ; has TCP ; gets 487 ; acks
spare: ceases
record: cancelled caller_cancelled caller

== ACK and BYE over UDP are answered where they came from
carrier: connects ; calls 15095785607 ; gets 180
spare: gets INVITE ; takes
carrier: gets 200 ; has UDP ; acks ; hangs up on spare ; has TCP ; silent 1m

== ACK and BYE over another connection are answered there
carrier: connects ; calls 15095785607 ; gets 180
spare: gets INVITE ; takes
carrier: gets 200 ; connects ; acks ; hangs up on spare ; has another ; silent 1m

== a target answers over connections that it opens to our Via, as one does that closes each after a message
agent: listens
carrier: calls 15075785607 ; gets 180
agent: accepts ; gets INVITE ; connects ; says 200 (0 101) | Contact: <sip:agent@192.0.2.20:32681;transport=tcp>
agent: has another ; gets ACK ; has TCP ; closes
carrier: gets 200 ; acks
agent: connects ; says BYE ; gets 200 ; closes
carrier: gets BYE ; says 200
record: hung up by agent

== a target closes the connection after each of its answers: the call goes on
agent: listens
carrier: calls 15075785607 ; gets 180
agent: accepts ; gets INVITE ; says 180 ; closes # as often as a connection is replaced
agent: accepts ; gets INVITE ; says 180 ; closes
agent: accepts ; gets INVITE ; says 180 ; closes
agent: accepts ; gets INVITE ; reads no more # an ACK that came between the answer and the end would be lost
agent: says 200 (0 101) | Contact: <sip:agent@192.0.2.20:32681;transport=tcp> ; closes ; accepts ; gets ACK ; closes
carrier: gets 200 ; acks ; says BYE ; gets 200
agent: accepts ; gets BYE ; says 200 ; closes
record: hung up by carrier

== a target's Contact asks for UDP
agent: listens
carrier: calls 15075785607 ; gets 180
agent: accepts ; gets INVITE ; says 200 (0 101) | Contact: <sip:agent@192.0.2.20:32681;transport=udp>
agent: has UDP ; gets ACK | Via: ~SIP/2.0/UDP 198.51.100.1:5060;
carrier: gets 200 ; acks ; hangs up on agent

== and for TCP
spare: listens
carrier: calls 15095785607 ; gets 180
spare: gets INVITE ; says 200 (0 101) | Contact: <sip:agent@192.0.2.21:32681;transport=tcp>
spare: accepts ; gets ACK | Via: ~SIP/2.0/TCP 198.51.100.1:5060;
carrier: gets 200 ; acks ; hangs up on spare`

// Calls over connections work, even when connections break.
func TestStreams(t *testing.T) {
	tell(t, streamConfig, overStreams)

	// A server without UDP carries calls. If a Contact asks for UDP, requests to it use the call's connection.
	for _, transport := range []string{"", ";transport=tcp", ";transport=udp"} {
		tell(t, tcpOnly, strings.ReplaceAll(`
== without UDP, Contacts with TRANSPORT
agent: listens
carrier: connects ; calls 15075785607 at <sip:ann@192.0.2.10:5060TRANSPORT> ; gets 180
agent: accepts ; gets INVITE ; says 200 (0 101) | Contact: <sip:agent@192.0.2.20:32681TRANSPORT> ; gets ACK
carrier: gets 200 ; acks
server: hangs up
carrier: is left for shutdown
agent: is left for shutdown
record: answered shutdown system`, "TRANSPORT", transport))
	}
}
