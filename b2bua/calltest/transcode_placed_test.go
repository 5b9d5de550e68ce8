package calltest

import (
	"strings"
	"testing"
)

// TestTranscodingOfPlacedCalls: the person called first is offered the agents' codecs, and then those that can be made
// of them. The person's answer decides.
func TestTranscodingOfPlacedCalls(t *testing.T) {
	yaml := strings.Replace(originateConfig, "max_calls: 2", "max_calls: 2\n    codecs: [opus, PCMU, PCMA]", 1)
	tell(t, yaml, `
== Opus alone
operator: calls
carrier: gets INVITE (0 8 96 101 106) ; takes (111 110)
agent: gets INVITE (0 8 110) ; takes (0 101)
places: 1
carrier: transcoded 111 as 0 takes 96 keys 106 keys 110 ; says BYE ; gets 200
agent: gets BYE ; says 200

== PCMU: no transcoder is taken
operator: calls
carrier: gets INVITE (0 8 96 101 106)
places: 0
carrier: takes (0 101)
agent: gets INVITE (0 101) ; takes (0 101)
places: 0
carrier: says BYE ; gets 200
agent: gets BYE ; says 200

== PCMA for an agent with PCMU
with: kind: synthflow => kind: synthflow\n    codecs: [PCMU]
with: targets: [agent, spare] => targets: [agent]
operator: calls
carrier: gets INVITE (0 8 96 101 106) ; takes (8 101)
agent: gets INVITE (0 101) ; takes (0 101) ; changed 0u>8
places: 0
carrier: changed 8a>0 ; says BYE ; gets 200
agent: gets BYE ; says 200

== no transcoder is free
with: media: { => media: {transcode: off, 
operator: calls
carrier: gets INVITE (0 8 101) ; takes (0 101)
agent: gets INVITE (0 101) ; takes (0 101)
carrier: says BYE ; gets 200
agent: gets BYE ; says 200

== G.711 for an agent with Opus
with: kind: synthflow => kind: synthflow\n    codecs: [opus]
with: targets: [agent, spare] => targets: [agent]
operator: calls
carrier: gets INVITE (96 0 8 106 101) ; takes (8 101)
agent: gets INVITE (96 101) ; takes (111 110) ; transcoded 111 as 8 takes 96 keys 101 keys 110
carrier: says BYE ; gets 200
agent: gets BYE ; says 200
`)
}

// TestRelayedChangesOfMadeCodec: with reinvite: relay, a change is passed on to a transcoded side as well, with an
// offer of only the codec that this side uses.
func TestRelayedChangesOfMadeCodec(t *testing.T) {
	tell(t, talkYAML("", "reinvite: relay"), `
== a caller with PCMU holds an agent with Opus
`+opusAgent+`carrier: calls 15075785607 (0 101) ; gets 180
agent: gets INVITE (96 101) ; takes (111 110) ; transcoded 111 as 0 takes 96 keys 101 keys 110
carrier: gets 200 (0 101) ; acks ; says INVITE (0 101 sendonly)
agent: gets INVITE (111 110 sendonly) ; takes (111 110 recvonly)
carrier: gets 200 (0 101 recvonly) ; acks ; says INVITE (0 101)
agent: gets INVITE (111 110) ; takes (111 110) ; transcoded 111 as 0 keys 110
carrier: gets 200 (0 101) ; acks
places: 1
carrier: hangs up on agent | Codec: PCMU

== and an agent with PCMU one with Opus
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [PCMU]
carrier: calls 15075785607 (111 110) ; gets 180
agent: gets INVITE (0 110) ; takes (0 101)
carrier: gets 200 (111 110) ; acks
agent: says INVITE (0 101 sendonly)
carrier: gets INVITE (111 110 sendonly) ; takes (111 110 recvonly)
agent: gets 200 (0 101 recvonly) ; acks
carrier: transcoded 111 as 0 keys 110 ; hangs up on agent | Codec: opus
`)
}
