package leg

import (
	"fmt"
	"testing"
	"time"

	"flowbridge/b2bua/message"
)

// newUASWith returns a leg like newUAS, with these options of the trunk.
func newUASWith(t testing.TB, o PeerOptions, headers ...string) *legTest {
	t.Helper()
	lt := newUAS(t, headers...)
	o.Allow = AllowHeader(Methods)
	lt.Leg.Peer = o
	return lt
}

// carrying adds a session description to a request within the dialog.
func carrying(in RequestIn) RequestIn {
	in.Req.RemoveHeader("Content-Length")
	in.Req.AppendHeader(ContentSDP)
	in.Req.SetBody([]byte("v=0\r\n"))
	return in
}

func rings(code int, sdp string) Ring {
	r := Ring{Code: code, Reason: "Whatever"}
	if sdp != "" {
		r.SDP = []byte(sdp)
	}
	return r
}

// RFC 3262 section 3: a provisional answer is reliable or not depending on the INVITE, the trunk's option and the
// answer.
func TestWhichAnswersAreReliable(t *testing.T) {
	const reliable, not = " has Require: 100rel | RSeq: *", " has Require:  | RSeq:"
	for _, tt := range []struct{ leg, bare, sdp string }{
		{"uas | Supported: 100rel", not, not},
		{"uas rel100", not, not},
		{"uas rel100 | Supported: timer, 100rel", not, reliable},
		{"uas rel100 | k: 100rel", not, reliable},
		{"uas rel100 | Require: 100rel", reliable, reliable},
		{"uas required | Supported: 100rel", reliable, reliable},
	} {
		plays(t, tt.leg+"\nring 180 ; 180"+tt.bare+"\n\n"+tt.leg+"\nring 183 sdp ; 183"+tt.sdp)
	}
}

// RFC 3262 section 3: reliable answers are sent one after the other, and RSeq increases by one. A PRACK for another
// answer is refused and changes nothing. The 200 has no SDP if a reliable answer had it (RFC 3261 section 13.2.1), and
// does not wait for the PRACK of an answer without SDP.
func TestReliableAnswersQueue(t *testing.T) {
	plays(t, `
uas rel100 | Require: 100rel
ring 180 -> 180/INVITE
ring 183 sdp -> nothing
ring 181 -> nothing
PRACK 11 -> 481/PRACK
PRACK 12 | RAck: x -> 481/PRACK
PRACK 13 | RAck: 1 10 INVITE -> 481/PRACK
PRACK 14 | RAck: $rseq+0 11 INVITE -> 481/PRACK
PRACK 15 | RAck: $rseq+0 10 BYE -> 481/PRACK
PRACK 20 | RAck: $rseq+0 10 INVITE -> 200/PRACK, 183/INVITE
183 has RSeq: $rseq+1
PRACK 21 | RAck: $rseq+0 10 INVITE -> 481/PRACK # again
PRACK 22 | RAck: $rseq+1 10 INVITE -> 200/PRACK, 181/INVITE
answer -> 200/INVITE
200 has SDP:
PRACK 23 | RAck: $rseq+2 10 INVITE -> 200/PRACK
ACK 10 -> confirmed ; no deadline`)
}

// RFC 3262 section 3: the 200 waits for the PRACK of a 183 with SDP. If an event ends the call before the PRACK comes,
// it still ends the call.
func TestAnswerWaitsForPRACK(t *testing.T) {
	plays(t, `
uas rel100 | Supported: 100rel
ring 183 sdp ; answer -> nothing
PRACK 11 | RAck: $rseq+0 10 INVITE -> 200/PRACK, 200/INVITE
ACK 10 -> confirmed

uas rel100 | Supported: 100rel
ring 183 sdp ; answer -> nothing
hangup agent_hangup -> 480/INVITE # the other side did not wait
PRACK 11 | RAck: $rseq+0 10 INVITE -> 481/PRACK

uas rel100 | Supported: 100rel
ring 183 sdp ; answer ; cancel 10 -> cancelled ; done

uas rel100 | Supported: 100rel
ring 183 sdp ; answer ; BYE 11 -> cancelled, 200/BYE, 487/INVITE

uas rel100 | Supported: 100rel
ring 183 sdp ; answer ; +32s ; due -> gone no_prack, 504/INVITE`)
}

// RFC 3262 section 5: an offer in a PRACK is answered in the 200 to the PRACK, which is sent before the 200 to the
// INVITE. The latter has no SDP.
func TestOfferInPRACK(t *testing.T) {
	for answer, then := range map[string]string{"accept": "200/PRACK, 200/INVITE", "reject 488": "488/PRACK, 200/INVITE"} {
		lt := legOf(t, "uas rel100 | Supported: 100rel")
		lt.play(`
ring 183 sdp ; answer
PRACK 11 | RAck: $rseq+0 10 INVITE sdp -> offered PRACK+sdp
UPDATE 12 sdp -> 500/UPDATE
` + answer + " -> " + then)
		if prack := lt.response(); (answer == "accept") != (message.SDPBody(prack) != nil) || message.SDPBody(lt.last[1].(SendResponse).Res) != nil {
			t.Errorf("after %s: SDP %q in the answer to the PRACK, and in the 200:\n%s", answer, prack.Body(), lt.last[1].(SendResponse).Res)
		}
		lt.play("ACK 10 -> confirmed ; INVITE 13 -> offered INVITE")
	}
}

// RFC 3311 section 5.2: a caller sends UPDATE before the call is answered. While the INVITE's offer has no answer, the
// UPDATE is refused, because its 200 would overtake that answer.
func TestEarlyUpdateUAS(t *testing.T) {
	plays(t, `
uas rel100 | Supported: 100rel
UPDATE 11 sdp -> 500/UPDATE
ring 183 sdp ; PRACK 12 | RAck: $rseq+0 10 INVITE
UPDATE 13 sdp -> offered UPDATE+sdp
answer -> nothing
accept -> 200/UPDATE, 200/INVITE
ACK 10 -> confirmed

uas rel100 expires | Supported: 100rel, timer
UPDATE 11 | Supported: timer | Session-Expires: 90 -> 200/UPDATE ; no deadline # there is no session yet`)
}

// RFC 3261 section 13.2.1: if the INVITE has no offer, a provisional answer has our offer only if it is reliable. Then
// the PRACK has the caller's answer.
func TestLateOfferUAS(t *testing.T) {
	plays(t, `
uas rel100 late
ring 183 sdp
183 has SDP:
answer -> 200/INVITE
200 has SDP: v=0
UPDATE 11 sdp -> 491/UPDATE
ACK 10 sdp -> confirmed, answer+sdp

uas rel100 late
answer ; ACK 10 -> confirmed, answer

uas rel100 late | Supported: 100rel
ring 183 sdp
183 has SDP: v=0
PRACK 11 | RAck: $rseq+0 10 INVITE sdp -> answer+sdp, 200/PRACK
answer -> 200/INVITE
200 has SDP:
ACK 10 -> confirmed`)
}

// reliableTo returns the target's reliable provisional answer to our INVITE.
func reliableTo(lt *legTest, tag string, rseq int, sdp string, headers ...string) ResponseIn {
	headers = append([]string{"Require: 100rel", fmt.Sprintf("RSeq: %d", rseq), "Contact: <sip:" + tag + "@192.0.2.20:5099>"}, headers...)
	return lt.answerTo(183, tag, sdp, headers...)
}

// RFC 3262 section 4: each reliable answer gets one PRACK, within the early dialog of the answer, in order. An answer
// that comes out of order is ignored. If the 200 has no SDP, the SDP in the 183 counts. Each early dialog has its own
// CSeqs.
func TestPRACKOfUAC(t *testing.T) {
	plays(t, `
uac calling
183 a rseq=7 | Record-Route: <sip:192.0.2.2;lr> -> progress 183, PRACK
PRACK has URI: sip:a@192.0.2.20:5099 | Tag: a | Route: <sip:192.0.2.2;lr> | CSeq: 2 PRACK | RAck: 7 1 INVITE | Hop: 192.0.2.2:5060
183 a rseq=7 -> nothing # again
183 a rseq=9 -> nothing # a gap
183 a rseq=8 sdp -> progress 183+sdp, PRACK
183 b rseq=100 -> progress 183, PRACK
PRACK has CSeq: 2 PRACK | RAck: 100 1 INVITE | Route:
183 a | Require: 100rel -> nothing
183 a | Require: 100rel | RSeq: 0 -> nothing
200 a bare | Record-Route: <sip:192.0.2.2;lr> -> answered+sdp, ACK
hangup caller_hangup
BYE has CSeq: 4 BYE`)
}

// RFC 3261 section 22.2: a challenged PRACK is sent again with the next CSeq of its early
// dialog.
func TestPRACKChallenged(t *testing.T) {
	plays(t, `
uac auth
183 a rseq=1 ; 183 a rseq=2
401 to PRACK | `+askTarget+` -> PRACK
PRACK has CSeq: 4 PRACK | Digest: agents n1 1
183 a rseq=3
PRACK has CSeq: 5 PRACK`)
}

// RFC 3311 section 5.2: after a reliable answer, the target may send an offer in an early dialog. If the 200 has no
// SDP, that offer counts as the target's answer.
func TestEarlyUpdateUAC(t *testing.T) {
	lt := uacIn(t, "calling")
	lt.play("183 agent sdp ; UPDATE 5 sdp -> 491/UPDATE ; 183 agent rseq=1 sdp")
	lt.Leg.Peer.SessionExpires = time.Hour
	lt.play("UPDATE 6 sdp -> offered UPDATE+sdp ; accept -> 200/UPDATE")
	facts, _ := lt.Leg.Step(lt.now, lt.answerTo(200, "agent", "", "Contact: <sip:a@192.0.2.20:5099>"))
	if a, is := facts[0].(Answered); !is || string(a.SDP) != "v=0\r\n" {
		t.Errorf("a 200 without SDP gives %s; want the answer v=0", show(facts, nil))
	}
}

// RFC 3262 section 3 applies to the INVITE that begins a call: even if the trunk requires 100rel,
// a re-INVITE need not support it.
func TestReinviteWithout100rel(t *testing.T) {
	plays(t, `
uas required | Supported: 100rel
answer ; ACK 10
INVITE 11 -> offered INVITE
reject 488
INVITE 12 | Require: nonsense -> 420/INVITE
INVITE 13 | Supported: timer | Session-Expires: 60 -> 422/INVITE
422 has Min-SE: 90`)
}
