package calltest

import "testing"

const returning = `
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [G722, PCMU, PCMA]
e: says METHOD (9 101 :42000)
far: gets INVITE (9 101) ; takes (9 101)
e: gets 200 (9 101) ; acks ; says METHOD (0 :42000 sendonly)
far: gets INVITE (0 101) ; takes (0 101 recvonly)
e: gets 200 (0 recvonly) ; acks

== the other side is asked for the codec again
e: says METHOD (9 0 101 :42000)
far: gets INVITE (9 0 101 sendrecv) ; takes (9 101)
e: gets 200 (9 101 sendrecv) ; acks ; says METHOD (9 0 101 :42000 sendonly) ; gets 200 (9 101 recvonly) ; acks
far: silent 1s

== also for the side's second choice
e: says METHOD (0 9 101 :42000)
far: gets INVITE (0 9 101) ; takes (9 0 101)
e: gets 200 (9 0 101) ; acks

== only once, if it chooses otherwise
e: says METHOD (9 0 101 :42000)
far: gets INVITE (9 0 101) ; takes (0 101)
e: gets 200 (0 101) ; acks ; says METHOD (9 0 101 :42000) ; gets 200 (0 101) ; acks
far: silent 1s

== or refuses: the codec stays, and the hold ends
e: says METHOD (9 0 101 :42000)
far: gets INVITE (9 0 101) ; says 488 ; gets ACK
e: gets 200 (0 101 sendrecv) ; acks ; says METHOD (9 0 101 :42000) ; gets 200 (0 101) ; acks
far: silent 1s

== or does not answer in time
e: says UPDATE (9 0 101 :42000)
far: gets INVITE (9 0 101) ; says 100
e: gets 200 (0 101 sendrecv) ; took 24s
far: takes (9 101) ; gets INVITE (0 101) ; takes
e: says METHOD (9 0 101 :42000) ; gets 200 (0 101) ; acks
far: silent 1s

== or answers what can't be used
e: says METHOD (9 0 101 :42000)
far: gets INVITE (9 0 101) ; takes (18 :44000)
e: gets 200 (0 101 sendrecv) ; acks
far: gets INVITE (0 101) ; takes

== also after a hold with a third codec
e: says METHOD (8 :42000 sendonly)
far: gets INVITE (8 101) ; takes (8 101)
e: gets 200 (8 recvonly) ; acks ; says METHOD (9 8 101 :42000)
far: gets INVITE (9 8 101) ; takes (9 101)
e: gets 200 (9 101) ; acks

== not for an offer that lacks the codec, nor for one of the other side
e: says METHOD (0 101 :42000) ; gets 200 (0 101) ; acks
far: says METHOD (9 0 101 :44000) ; gets 200 (0 101) ; acks
e: silent 1s

== not where the other side has brought the codec back
far: says METHOD (9 101 :44000)
e: gets INVITE (9 101) ; takes (9 101)
far: gets 200 (9 101) ; acks
e: says METHOD (9 101 :42000 sendonly) ; gets 200 (9 101 recvonly) ; acks
far: silent 1s

== after an upgrade and a kill
server: is replaced ; restarts
e: says METHOD (9 0 101 :42000)
far: gets INVITE (9 0 101) ; takes (9 101)
e: gets 200 (9 101) ; acks

== always with reinvite: relay
with: PCMU, PCMA] => PCMU, PCMA], reinvite: relay
e: says METHOD (9 0 101 :42000)
far: gets INVITE (9 0 101) ; takes (0 101)
e: gets 200 (0 101) ; acks ; says METHOD (9 0 101 :42000)
far: gets INVITE (9 0 101) ; takes (9 101)
e: gets 200 (9 101) ; acks
`

// A side that lists a codec again after a change without it gets the codec back, if the other side still wants it
// (RFC 3264 section 8.3.2).
func TestCodecReturns(t *testing.T) { tellEnds(t, talkYAML("", ""), returning) }

// A caller's Opus comes back, too, though G.711 could stand for it.
func TestOpusReturns(t *testing.T) {
	tell(t, talkYAML("", ""), `
== Opus
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [opus, PCMU]
up: agent
carrier: says INVITE (111 110 :42000)
agent: gets INVITE (111 110) ; takes (111 110)
carrier: gets 200 (111 110) ; acks ; transcoded ; says INVITE (0 :42000 sendonly)
agent: gets INVITE (0 101) ; takes (0 101)
carrier: gets 200 (0 recvonly) ; acks ; says INVITE (111 0 110 101 :42000)
agent: gets INVITE (111 0 110 101) ; takes (111 110)
carrier: gets 200 (111 110) ; acks ; transcoded
agent: transcoded
carrier: hangs up on agent
`)
}
