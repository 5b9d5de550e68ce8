package calltest

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

// eachEnd runs a test twice: for a re-INVITE of the carrier, and for one of the agent. The
// test must hang up the call.
func eachEnd(t *testing.T, test func(c *talk, e, far *end)) {
	t.Helper()
	for _, who := range []string{"carrier", "agent"} {
		runIn(t, who, talkYAML("", ""), func(w *world) {
			c := w.talk(nil, nil)
			if who == "agent" {
				test(c, c.agent, c.carrier)
			} else {
				test(c, c.carrier, c.agent)
			}
		})
	}
}

// finals expects one final answer for each code, in any order, and returns the answers
// sorted by code.
func (e *end) finals(codes ...string) []received {
	e.p.w.t.Helper()
	got := make([]received, len(codes))
	for range codes {
		m := e.p.expect("SIP/2.0 ")
		for strings.HasPrefix(m.raw, "SIP/2.0 1") {
			m = e.p.expect("SIP/2.0 ")
		}
		i := slices.Index(codes, strconv.Itoa(m.res().StatusCode))
		if i < 0 || got[i].Message != nil {
			e.p.w.t.Fatalf("waits for %v, got\n%s", codes, m.raw)
		}
		got[i] = m
	}
	return got
}

const waitingReinvites = `
== who only ever says 183 gets CANCEL after 64*T1; the change is refused, the session stands (RFC 3261 sections 9.1, 14.1)
e: says INVITE (8 101 :42000)
far: gets INVITE ; says 183 ; +10s ; says 183 ; +10s ; says 183 ; +10s ; says 183 ; gets CANCEL ; took 2s
e: gets 488 ; acks
far: says 200 to CANCEL ; +8s ; says 183 ; says 487 ; gets ACK
e: says INVITE (:40002) ; gets 200 ; acks
far: says INVITE (:40002) ; gets 200 ; acks
e: says INVITE (8 101 :42000) # another one is possible
far: gets INVITE ; says 488 ; gets ACK
e: gets 488 ; acks ; +1m

== a 200 that crosses our CANCEL has made the change: the side gets the session back (RFC 3261 section 9.1)
e: says INVITE (8 101 :42000)
far: gets INVITE ; says 183 ; gets CANCEL
e: gets 488 ; acks
far: says 200 to CANCEL ; takes (8 101 :44000) ; gets INVITE (0 101) ; takes (:44002) ; hears :44002

== and where another change waits, that one is made, or the side gets the session back if it refuses
e: says INVITE (8 101 :42000)
far: gets INVITE ; says 183 ; gets CANCEL
e: gets 488 ; acks ; says INVITE (8 101 :42002)
far: says 200 to CANCEL ; takes (8 101 :44000) ; gets INVITE (8 101) ; takes (8 101 :44002)
e: gets 200 (8 101) ; acks ; hears :42002
far: silent 1s ; hears :44002

== and if it refuses
e: says INVITE (8 101 :42000)
far: gets INVITE ; says 183 ; gets CANCEL
e: gets 488 ; acks ; says INVITE (8 101 :42002)
far: says 200 to CANCEL ; takes (8 101 :44000) ; gets INVITE (8 101) ; says 488 ; gets ACK
e: gets 488 ; acks
far: gets INVITE (0 101) ; takes (:44002) ; hears :44002

== if it refuses to have the session back, the change that it has answered is agreed (RFC 3261 section 14.1)
e: says INVITE (8 101 :42000)
far: gets INVITE ; says 183 ; gets CANCEL
e: gets 488 ; acks
far: says 200 to CANCEL ; takes (8 101 :44000) ; gets INVITE (0 101) ; says 488 ; gets ACK ; hears :44000 ; changed 8a>0
e: hears ; changed 0u>8 ; says INVITE (:40002) ; gets 200 (0 101) ; acks
far: says INVITE (8 101 :44002) ; gets 200 (8 101) ; acks ; hears :44002

== and where another change has waited, which it refuses, too
e: says INVITE (8 101 :42000)
far: gets INVITE ; says 183 ; gets CANCEL
e: gets 488 ; acks ; says INVITE (8 101 :42002)
far: says 200 to CANCEL ; takes (8 101 :44000) ; gets INVITE (8 101) ; says 500 ; gets ACK
e: gets 488 ; acks
far: gets INVITE (0 101) ; says 500 ; gets ACK ; hears :44000
e: hears ; changed 0u>8

== 491 only delays the old session
e: says INVITE (8 101 :42000)
far: gets INVITE ; says 183 ; gets CANCEL
e: gets 488 ; acks
far: says 200 to CANCEL ; takes (8 101 :44000) ; gets INVITE (0 101) ; says 491 ; gets ACK
far: gets INVITE (0 101) ; takes (:44002) ; hears :44002
e: changed

== the same where the change came too late for an UPDATE
e: says UPDATE (8 101 :42000)
far: gets INVITE ; says 100
e: gets 504
far: takes (8 101 :44000) ; gets INVITE (0 101) ; says 488 ; gets ACK ; hears :44000 ; changed 8a>0

== or was cancelled by its sender
e: says INVITE (8 101 :42000)
far: gets INVITE
e: cancels ; gets 200+487 ; acks
far: takes (8 101 :44000) ; gets INVITE (0 101) ; says 488 ; gets ACK ; hears :44000 ; changed 8a>0
e: hears ; changed 0u>8

== a side that keeps a codec that the other side can't have is lost
with: @192.0.2.20:32681" => @192.0.2.20:32681", codecs: [PCMU, PCMA, G722]
e: says INVITE (9 101 :42000)
far: gets INVITE ; says 183 ; gets CANCEL
e: gets 488 ; acks
far: says 200 to CANCEL ; takes (9 101 :44000) ; gets INVITE (0 101) ; says 488 ; gets ACK ; is left for dialog_lost
e: is left for dialog_lost
record: answered dialog_lost system

== a CANCEL that is not heeded either: the dialog is lost
e: says INVITE (8 101 :42000)
far: gets INVITE ; says 183 ; gets CANCEL ; says 200 to CANCEL
e: gets 488 ; acks
far: is left for dialog_lost
e: is left for dialog_lost
record: answered dialog_lost system

== one that is cancelled gets 487, the other side gets the session back if it had agreed (RFC 3261 section 9.2)
e: says INVITE (8 101 :42000)
far: gets INVITE
e: cancels ; gets 200+487 ; acks
far: takes (8 101 :44000) ; gets INVITE (0 101) ; takes (:44002)
e: hears ; says INVITE (:40002) ; gets 200 ; acks

== and nothing if it had not
e: says INVITE (8 101 :42000)
far: gets INVITE
e: cancels ; gets 200+487 ; acks
far: says 488 ; gets ACK
e: hears ; says INVITE (:40002) ; gets 200 ; acks

== a BYE of the asking end: its pending request gets 487 (RFC 3261 section 15.1.2)
e: says INVITE (8 101 :42000)
far: gets INVITE
e: says BYE ; gets 200+487 ; acks
far: gets BYE ; says 200 ; says 487 to INVITE ; gets ACK
record: hung up by e

== a BYE of the asking end, and the other end has sent 183
e: says INVITE (8 101 :42000)
far: gets INVITE ; says 183
e: says BYE ; gets 200+487 ; acks
far: gets BYE ; says 200 ; says 487 to INVITE ; gets ACK
record: hung up by e

== BYE of who is asked
e: says INVITE (8 101 :42000)
far: gets INVITE ; says BYE ; gets 200
e: gets 487 ; acks ; gets BYE ; says 200
far: says 487 to INVITE ; gets ACK
record: hung up by far

== BYE of who is asked, and has said 183
e: says INVITE (8 101 :42000)
far: gets INVITE ; says 183 ; says BYE ; gets 200
e: gets 487 ; acks ; gets BYE ; says 200
far: says 487 to INVITE ; gets ACK
record: hung up by far

== the 200 to a re-INVITE of ours gets its ACK also where our BYE has crossed it (RFC 3261 section 13.2.2.4)
e: says INVITE (8 101 :42000)
far: gets INVITE
e: says BYE ; gets 200+487 ; acks
far: gets BYE ; says 200 (8 101) to INVITE ; gets ACK ; says 200 to BYE
record: hung up by e

== and where it comes after the call
e: says INVITE (8 101 :42000)
far: gets INVITE ; says BYE ; gets 200
e: gets 487 ; acks ; gets BYE ; says 200
far: says 200 (8 101) to INVITE ; gets ACK ; gets BYE ; says 200 # of a dialog that is not known any more
record: hung up by far

== an UPDATE is answered in time; a change that the other side accepts too late is undone (RFC 3311 section 5.2)
e: says UPDATE (8 101 :42000)
far: gets INVITE ; says 100
e: gets 504 ; lasted 24s
far: takes (8 101) ; gets INVITE (0 101) ; takes

== a new offer replaces the last one of ours, whose answer is not its answer (RFC 3261 section 14.1)
e: says INVITE (8 101 :42000)
far: gets INVITE ; takes (18 :44000) # not usable: it gets the session back
e: gets 488 ; acks
far: gets INVITE
e: says INVITE (8 101 :42002)
far: takes (0 101 :44004) ; gets INVITE (8 101) ; takes (8 101 :44006)
e: gets 200 (8 101) ; acks`

// A re-INVITE waits while the other side answers an earlier change.
func TestReinvitesThatWait(t *testing.T) {
	tellEnds(t, talkYAML("", ""), waitingReinvites)
}
