package calltest

import "testing"

// lateCall returns an INVITE without a session description.
func (w *world) lateCall(to, extra string) (d *dialogue) {
	w.t.Helper()
	d = w.carrier.newCall(to)
	d.sdp, d.extra = "", extra
	w.carrier.invite(d)
	d.extra = ""
	return d
}

const lateOffers = `
== the target is offered its codecs, the caller in the 200 what was chosen, and answers in its ACK
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [PCMA, PCMU]
carrier: calls 15075785607 late ; gets 180
agent: gets INVITE (8 0 101 sendrecv) ; says 183 (8 101) # which is no held call
carrier: gets 183 bare # an offer that may be lost
agent: takes (8 101)
carrier: gets 200 (8 0 101) ; acks (8 101) ; hears :20000 ; says INVITE (8 101 :20002 sendonly) ; gets 200 ; acks
carrier: hangs up on agent | Codec: PCMA

== a caller that has the other kind of G.711 only is offered that, too
carrier: calls 15075785607 late ; gets 180
agent: gets INVITE ; takes (0 101)
carrier: gets 200 (0 8 101) ; acks (8 101) ; hears :20000 ; changed 8a>0
agent: changed 0u>8
carrier: says INVITE (8 101 :20002 sendonly) ; gets 200 (8 101) ; acks
agent: silent 1s
carrier: hangs up on agent | Codec: PCMA

== and one with both may send both
carrier: calls 15075785607 late ; gets 180
agent: gets INVITE ; takes (0 101)
carrier: gets 200 (0 8 101) ; acks (0 8 101) ; changed 8a>0 ; says INVITE (0 8 101) ; gets 200 ; acks
agent: changed ; silent 1s
carrier: hangs up on agent | Codec: PCMU

== with 100rel the offer is in the reliable 183, its answer in PRACK (RFC 3262 section 5)
carrier: calls 15075785607 late | Supported: 100rel ; gets 180
agent: gets INVITE ; says 183 (0 101)
carrier: gets 183 (0 8 101) ; pracks (0 101) ; hears :20000
agent: takes bare
carrier: gets 200 bare ; acks ; says INVITE (:20002) ; gets 200 ; acks ; hangs up on agent

== the second target is offered its own codecs
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [PCMU, PCMA]
carrier: calls 15085785607 late | Supported: 100rel
agent: gets INVITE (0 8 101) ; says 500 ; gets ACK
spare: gets INVITE (8 101) ; takes (8 101)
carrier: gets 200 (8 0 101) ; acks (8 101) ; hangs up on spare

== and what the caller was told stays
with: 192.0.2.20:32681" => 192.0.2.20:32681", codecs: [PCMU, PCMA]
carrier: calls 15085785607 late | Supported: 100rel
agent: gets INVITE (0 8 101) ; says 183 (8 101)
carrier: gets 183 ; pracks (8 101)
agent: says 500 to INVITE ; gets ACK
spare: gets INVITE (8 101) ; takes (8 101)
carrier: gets 200 bare ; acks ; hangs up on spare
`

// RFC 3261 section 13.2.1: an INVITE may have no offer. Then our answer has the offer, and
// the ACK has the caller's answer.
func TestLateOffer(t *testing.T) {
	stories := lateOffers
	for _, ack := range []string{"", " (18)", " (nonsense)", " (0 :0)", " (0 homeless)"} {
		stories += `
== the call ends for an ACK with` + ack + `
carrier: calls 15075785607 late ; gets 180
agent: gets INVITE ; takes
carrier: gets 200 ; acks` + ack + ` ; is left for bad_ack
agent: is left for bad_ack
record: answered bad_ack system
`
	}
	for _, prack := range []string{"", " (18)"} {
		stories += `
== the set-up ends for a PRACK with` + prack + `
carrier: calls 15075785607 late | Supported: 100rel ; gets 180
agent: gets INVITE ; says 183 (0 101)
carrier: gets 183 ; pracks` + prack + ` ; gets 488 ; acks
agent: ceases
record: failed bad_answer system
`
	}
	tell(t, talkYAML("", ""), stories)
	tellEnds(t, talkYAML("", ""), `
== a re-INVITE without offer gets one of the session as it is; without an answer in its ACK the call ends
e: says INVITE ; gets 200 (0 101 sendrecv)
far: says UPDATE (:40000) ; gets 200
e: says UPDATE (:40000) ; gets 491 # our offer has no answer
e: acks late (:40002 inactive) ; hears :40002 held
far: silent 1s
e: says INVITE ; gets 200 ; acks ; is left for bad_ack
far: is left for bad_ack
record: answered bad_ack system`)
}
