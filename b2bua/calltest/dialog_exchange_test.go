package calltest

import (
	"strings"
	"testing"
	"time"

	"flowbridge/sim/siptest"
)

// pcma returns an offer that changes the codec of a talk, so that it is passed on to the other side.
func (e *end) pcma() string { return siptest.SessionAt(e.address, 42000, "8 101") }

// takes makes an end accept the next INVITE with this session description, and returns the INVITE.
func (e *end) takes(sdp string) received {
	e.p.w.t.Helper()
	in := e.p.expect("INVITE")
	e.p.concludes(in, 200, "OK", "", sdp)
	return in
}

// refuses makes an end refuse the next INVITE, and returns the INVITE.
func (e *end) refuses(code int, headers ...string) received {
	e.p.w.t.Helper()
	in := e.p.expect("INVITE")
	e.p.concludes(in, code, "No", "", "", headers...)
	return in
}

const exchanges = `
== another codec is asked for on the other side, whose answer is the answer (RFC 3264 section 8.3.2)
e: says METHOD (8 101 :42000)
far: gets INVITE (8 101) | Contact: * | Allow: * | Supported: * ; takes (8 101 :44000)
e: gets 200 (8 101) ; acks ; hears :42000
far: hears :44000
e: says METHOD (8 101 :42002 sendonly) ; gets 200 ; acks # the new codec is that of the call
far: silent 1s

== a hold that comes with another codec stays here, and so does the other side's own
e: says METHOD (8 101 :42000 sendonly)
far: gets INVITE (8 101 sendrecv) ; takes (8 101 inactive)
e: gets 200 (8 101 recvonly) ; acks ; says METHOD (8 101 :42000) ; gets 200 (8 101 sendrecv) ; acks
far: says METHOD (8 101 :44000) ; gets 200 (8 101 sendrecv) ; acks ; hears :44000

== an answer that can't be used is refused, and who gave it gets the session back
e: says METHOD (8 101 :42000)
far: gets INVITE ; takes (18 :44000)
e: gets 488 ; acks
far: gets INVITE (0 101) ; takes (:44002) ; hears :44002

== hold is passed on with reinvite: relay, and holds all the same where it is refused
with: 192.0.2.20:32681" => 192.0.2.20:32681", reinvite: relay
e: says METHOD (:40000 sendonly)
far: gets INVITE (sendonly) ; takes (recvonly)
e: gets 200 (recvonly) ; acks ; says METHOD (:40000 host=0.0.0.0 sendrecv)
far: gets INVITE (sendonly) ; takes (recvonly)
e: gets 200 (recvonly) ; acks ; says METHOD (:40000 inactive)
far: gets INVITE (inactive) ; takes (inactive)
e: gets 200 (inactive) ; acks ; says METHOD (:40000 sendrecv)
far: gets INVITE (sendrecv) ; takes (sendrecv)
e: gets 200 (sendrecv) ; acks ; says METHOD (:40000 sendonly)
far: gets INVITE ; says 488 ; gets ACK
e: gets 200 (recvonly) ; acks

== reinvite: absorb never asks
with: 192.0.2.20:32681" => 192.0.2.20:32681", reinvite: absorb
e: says METHOD (8 101 :42000) ; gets 488 ; acks ; says METHOD (0 96 :40000 sendonly) ; gets 200 ; acks
far: silent 1m

== another payload type for telephone-events is a matter of one side: the relay renumbers
e: says METHOD (0 96 :40000) ; gets 200 (0 96) ; acks ; changed 96>101
far: silent 1s ; changed 101>96

== a hold that lists one codec takes no keys away: they come back (RFC 3264 section 8.3.2)
e: says METHOD (0 96 :40000) ; gets 200 (0 96) ; acks ; says METHOD (0 :40000 sendonly) ; gets 200 (0 recvonly) ; acks ; changed 96>101
far: silent 1s ; says METHOD (0 101 :44000) ; gets 200 (0 101) ; acks
e: says METHOD (0 96 :40000) ; gets 200 (0 96) ; acks ; changed 96>101
far: silent 1s ; changed 101>96

== comfort noise as well
far: says METHOD (0 13 101 :44000) ; gets 200 (0 101) ; acks
e: says METHOD (0 13 101 :40000) ; gets 200 (0 101 13) ; acks
far: says METHOD (0 :44000 sendonly) ; gets 200 (0) ; acks
e: says METHOD (0 13 101 :40000) ; gets 200 (0 101 13) ; acks

== also over a change of codec, for which the other side is asked with the keys
e: says METHOD (8 :42000 sendonly)
far: gets INVITE (8 101) ; takes (8 101)
e: gets 200 (8) ; acks ; says METHOD (8 101 :42000) ; gets 200 (8 101) ; acks
far: silent 1s

== who does not want keys with the other codec has none
e: says METHOD (8 :42000 sendonly)
far: gets INVITE (8 101) ; takes (8)
e: gets 200 (8) ; acks ; says METHOD (8 101 :42000) ; gets 200 (8) ; acks

== our own offer has the keys that the side left out
e: says METHOD (0 :40000 sendonly) ; gets 200 (0) ; acks ; says INVITE ; gets 200 (0 101) ; acks late (:40000)

== formats that may come back outlive an upgrade and a kill
e: says METHOD (0 :40000 sendonly) ; gets 200 (0) ; acks
server: is replaced ; restarts
e: says METHOD (0 101 :40000) ; gets 200 (0 101) ; acks

== with reinvite: relay the other side is offered the keys all the time
with: 192.0.2.20:32681" => 192.0.2.20:32681", reinvite: relay
e: says METHOD (0 :40000 sendonly)
far: gets INVITE (0 101 sendonly) ; takes (0 101 recvonly)
e: gets 200 (0 recvonly) ; acks ; says METHOD (0 101 :40000)
far: gets INVITE (0 101) ; takes
e: gets 200 (0 101) ; acks

== digits that become INFO come back, too, under the number that they have now
with: 192.0.2.20:32681" => 192.0.2.20:32681", dtmf: info
e: says METHOD (8 :42000 sendonly)
far: gets INVITE ; takes (8 101)
e: gets 200 (8) ; acks ; says METHOD (8 96 :42000) ; gets 200 (8 96) ; acks
far: silent 1s

== a re-INVITE that says when to come back is sent again then (RFC 3261 section 14.2)
e: says METHOD (8 101 :42000)
far: gets INVITE ; says 500 | Retry-After: 7 ; gets ACK ; gets INVITE ; took 7s ; takes (8 101 :44000)
e: gets 200 ; acks

== offers cross: 491, or 500 before the last one is answered (RFC 3261 section 14.2, RFC 3311 section 5.2)
e: says METHOD (8 101 :42000)
far: gets INVITE ; says INVITE (8 101 :42000) ; gets 491 ; acks
e: says INVITE (:40000) ; gets 500 | Retry-After: <=10 ; acks
far: says UPDATE (8 101 :42000) ; gets 491
e: says UPDATE (:40000) ; gets 500 | Retry-After: <=10 ; says UPDATE ; gets 200 # without an offer it crosses nothing
far: says UPDATE ; gets 200 ; takes (8 101 :44000)
e: gets 200 ; acks ; says METHOD (8 101 :40004) ; gets 200 ; acks

== a re-INVITE stands for the ACK of the last one, which comes late
e: says INVITE (8 101 :42000)
far: gets INVITE ; takes (8 101 :44000)
e: gets 200 ; says INVITE (8 101 :40000) ; gets 200 ; acks ; acks late ; says INVITE (8 101 :40004) ; gets 200 ; acks

== a re-INVITE that is answered 481 ends the dialog (RFC 3261 section 12.2.1.2)
e: says INVITE (8 101 :42000)
far: gets INVITE ; says 481 ; gets ACK
e: gets 487 ; acks ; is left for dialog_lost
far: is left for dialog_lost
record: answered dialog_lost system

== and so does 408
e: says INVITE (8 101 :42000)
far: gets INVITE ; says 408 ; gets ACK
e: gets 487 ; acks ; is left for dialog_lost
far: is left for dialog_lost
record: answered dialog_lost system

== and no answer
e: says INVITE (8 101 :42000)
far: drains 31.6s
e: gets 487 ; acks ; is left for dialog_lost
far: is left for dialog_lost
record: answered dialog_lost system

== the 200 to a re-INVITE is sent until its ACK comes, or for 64*T1 (RFC 3261 section 13.3.1.4)
e: says INVITE (:40000 sendonly)ELEVEN ; gets BYE | Reason: ~no_ack ; took 32s ; says 200
far: is left for no_ack
record: answered no_ack system

== a 200 to a re-INVITE of ours that comes again gets its ACK again, also late (RFC 3261 section 13.2.2.4)
e: says METHOD (8 101 :42000)
far: gets INVITE ; takes (8 101 :44000)
e: gets 200 ; acks
far: +3s ; says 200 (8 101 :44000) ; gets ACK again ; +3s ; says 200 (8 101 :44000) ; gets ACK again ; +3s
far: says 200 (8 101 :44000) ; gets ACK again ; +3s ; says 200 (8 101 :44000) ; gets ACK again ; +3s`

// One end changes the session in a way that also concerns the other end.
func TestExchanges(t *testing.T) {
	tellEnds(t, talkYAML("", ""), strings.Replace(exchanges, "ELEVEN", strings.Repeat(" ; gets 200", 11), 1))
}

// RFC 3261 section 14.1: if the other side refuses a change, we refuse it, too. The session stays as it was, and the
// next change works.
func TestCodecChangeRefused(t *testing.T) {
	story := "== refused\ne: says METHOD (:40010) ; gets 200 ; acks\n"
	for code, want := range map[string]string{"488": "488", "486": "486", "403": "488", "503": "488", "606": "606"} {
		story += strings.NewReplacer("CODE", code, "WANT", want).Replace(`
e: says METHOD (8 101 :42000)
far: gets INVITE ; says CODE ; gets ACK
e: gets WANT ; acks ; hears :40010 ; says METHOD (:40010) ; gets 200 ; acks
`)
	}
	tellEnds(t, talkYAML("", ""), story+`
e: says METHOD (8 101 :42000)
far: gets INVITE ; takes (8 101 :44000)
e: gets 200 ; acks`)
}

// RFC 3261 section 14.1: after a 491 we try again, but not without end. If we own the Call-ID, as toward the agent, the
// retry comes after 2.1 to 4 s, otherwise within 2 s.
func TestGlareIsTriedAgain(t *testing.T) {
	bothEnds(t, "", "", func(c *talk, e *end, method string) {
		far := c.other(e)
		least, most := time.Duration(0), 2*time.Second
		if far == c.agent {
			least, most = 2100*time.Millisecond, 4*time.Second
		}
		e.offers(method, e.pcma())
		last := time.Time{}
		for i := range 6 {
			far.refuses(491)
			if d := time.Since(last); i > 0 && (d < least || d > most) {
				t0(c).Errorf("tried again after %v; want %v to %v", d, least, most)
			}
			last = time.Now()
		}
		m := e.p.expect("SIP/2.0 491")
		e.settlesRefused(method, m)
		far.p.silent(time.Minute)
	})
}
