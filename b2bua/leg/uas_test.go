package leg

import (
	"fmt"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/media"
	"flowbridge/sim/siptest"
)

const uasInvite = `INVITE sip:+15075785607@198.51.100.1 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKone
%sMax-Forwards: 70
From: "Ann" <sip:+15075550100@192.0.2.10>;tag=ann
To: <sip:+15075785607@198.51.100.1>;tag=ours
Call-ID: leg-test
CSeq: 10 INVITE
Contact: <sip:ann@192.0.2.10:5070;x=y>
Content-Type: application/sdp
Content-Length: 4

v=0
`

// newUAS returns a leg that got an INVITE with these header lines.
func newUAS(t testing.TB, headers ...string) *legTest {
	t.Helper()
	extra := ""
	for _, h := range headers {
		extra += h + "\n"
	}
	invite := siptest.Request(t, fmt.Sprintf(uasInvite, extra))
	invite.SetSource(siptest.Carrier.String())
	o := Options{Side: media.SideA, Minter: LegMint, Local: LegLocal, Peer: PeerOptions{Allow: AllowHeader(Methods)}}
	return newLegTest(t, NewUAS(o, invite, siptest.Carrier))
}

// inDialog returns a request of the carrier within the dialog, as an input.
func inDialog(t testing.TB, method string, seq uint32, headers ...string) RequestIn {
	t.Helper()
	extra := ""
	for _, h := range headers {
		extra += h + "\n"
	}
	return RequestIn{Source: siptest.Carrier, Req: siptest.Request(t, fmt.Sprintf(`%[1]s sip:198.51.100.1:5060 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK%[1]s%[2]d
Max-Forwards: 70
From: "Ann" <sip:+15075550100@192.0.2.10>;tag=ann
To: <sip:+15075785607@198.51.100.1>;tag=ours
Call-ID: leg-test
CSeq: %[2]d %[1]s
%[3]sContent-Length: 0

`, method, seq, extra))}
}

var uasStates = []string{"proceeding", "ringing", "accepted", "owed", "confirmed", "ending", "refused", "hung up"}

// uasIn returns a called leg in this state.
func uasIn(t testing.TB, state string) *legTest {
	t.Helper()
	return legOf(t, "uas "+state)
}

var uasState = map[string]string{ //nolint:gochecknoglobals // constant
	"proceeding": "", "ringing": "ring 180", "accepted": "answer", "owed": "answer ; hangup agent_hangup",
	"confirmed": "answer ; ACK 10", "ending": "answer ; ACK 10 ; hangup agent_hangup",
	"refused": "refuse 486", "hung up": "answer ; ACK 10 ; BYE 11",
}

// The output of a UAS leg for every state and input: one row for each input, the columns as in uasStates; ".": nothing.
func TestUASEveryStateAndInput(t *testing.T) {
	everyStateAndInput(t, uasIn, uasStates, `
ring 180: 180~INVITE / 180~INVITE / . / . / . / . / . / .
ring 183 sdp: 183~INVITE / 183~INVITE / . / . / . / . / . / .
answer: 200~INVITE / 200~INVITE / . / . / . / . / . / .
refuse 503: 503~INVITE / 503~INVITE / . / . / . / . / . / .
hangup agent_hangup: . / . / . / . / BYE / . / . / .
cancel 10: cancelled / cancelled / cancelled / cancelled / . / . / . / .
lost 10: cancelled / cancelled / cancelled / cancelled / . / . / . / .
ACK 10: . / . / confirmed / confirmed, BYE / . / . / . / .
ACK 11: . / . / . / . / . / . / . / .
BYE 12: cancelled, 200~BYE, 487~INVITE / cancelled, 200~BYE, 487~INVITE / gone caller_hangup by peer, 200~BYE \
/ gone caller_hangup by peer, 200~BYE / gone caller_hangup by peer, 200~BYE / 200~BYE / 200~BYE / 200~BYE
BYE 9: 500~BYE / 500~BYE / 500~BYE / 500~BYE / 500~BYE / 500~BYE / 500~BYE / 500~BYE
INVITE 12: 500~INVITE / 500~INVITE / confirmed, offered INVITE / confirmed, BYE, 481~INVITE / offered INVITE \
/ 481~INVITE / 481~INVITE / 481~INVITE
OPTIONS 12: 200~OPTIONS / 200~OPTIONS / 200~OPTIONS / 200~OPTIONS / 200~OPTIONS / 200~OPTIONS / 481~OPTIONS / 481~OPTIONS
INFO 12: 405~INFO / 405~INFO / 405~INFO / 405~INFO / 405~INFO / 405~INFO / 481~INFO / 481~INFO
OPTIONS 9: 500~OPTIONS / 500~OPTIONS / 500~OPTIONS / 500~OPTIONS / 500~OPTIONS / 500~OPTIONS / 481~OPTIONS / 481~OPTIONS
failed BYE: . / . / . / . / . / . / . / .
due: . / . / . / . / . / . / . / .`)
}

// Some inputs change the leg's state without showing it in the output. This test checks the state.
func TestUASStateAfter(t *testing.T) {
	plays(t, `
uas proceeding
refuse 486 ; done

uas proceeding
cancel 10 ; done

uas ringing
hangup shutdown ; state proceeding

uas accepted
lost 10 ; done

uas accepted
hangup shutdown ; state accepted

uas ending
failed BYE ; done

uas confirmed
failed BYE ; state confirmed`)
}

func TestUASStopsSendingWithACK(t *testing.T) {
	plays(t, `
uas accepted
deadline ; ACK 11 ; waits 1s # an ACK of something else
ACK 10 -> confirmed ; no deadline
ACK 10 -> nothing # of a retransmitted 200`)
}

// RFC 3261 section 15: a UAS does not send BYE before the ACK, but after
// 64*T1 without one it may.
func TestUASHangupOwedUntilACK(t *testing.T) {
	plays(t, `
uas owed
deadline -> 200/INVITE
hangup shutdown -> nothing
ACK 10 -> confirmed, BYE
200 to BYE -> nothing ; done

uas owed
+32s ; due -> gone no_ack, BYE`)
}

// RFC 3261 section 13.3.1.1: a provisional answer each minute keeps proxies from giving
// up the INVITE.
func TestUASRepeatsProvisionalEachMinute(t *testing.T) {
	plays(t, `
uas
no deadline
ring 180 ; deadline 1m0s -> 180/INVITE
deadline 2m0s -> 180/INVITE
deadline 3m0s -> 180/INVITE
+10s ; ring 183 sdp ; deadline -> 183/INVITE
183 has SDP: v=0
refuse 486 ; no deadline`)
}

func TestUASAnswerForm(t *testing.T) {
	const form = " has Tag: ours | Contact: <sip:198.51.100.1:5060> | Record-Route: <sip:p1.example;lr>, <sip:p2.example;lr>, <sip:p3.example;lr>"
	plays(t, `
uas | Record-Route: <sip:p1.example;lr>, <sip:p2.example;lr> | Record-Route: <sip:p3.example;lr>
ring 180 ; 180`+form+`
answer ; 200`+form+` | Content-Type: application/sdp`)
	lt := newUAS(t)
	lt.do(Refuse{Code: 503, Reason: "No", Headers: []sip.Header{RetryAfter()}})
	lt.play("503 has Contact:  | Retry-After: 5")
}

// Our BYE to the carrier follows the route set in the order of Record-Route (RFC 3261 section 12.1.1), loosely or by way of a strict
// router (section 12.2.1.1); see also TestRoutingWithinDialogs.
func TestUASRequestRouting(t *testing.T) {
	const contact = "sip:ann@192.0.2.10:5070;x=y"
	for _, tt := range []struct{ name, headers, want string }{
		{"no route", "", "URI: " + contact + " | Route:  | Hop: 192.0.2.10:5070"},
		{
			"several values in one header", " | Record-Route: <sip:p1.example:5080;lr;a=b>, <sip:p2.example;lr>",
			"URI: " + contact + " | Route: <sip:p1.example:5080;lr;a=b>, <sip:p2.example;lr> | Hop: p1.example:5080",
		},
		{
			"strict alone", " | Record-Route: <sip:192.0.2.1>",
			"URI: sip:192.0.2.1 | Route: <" + contact + "> | Hop: 192.0.2.1:5060",
		},
	} {
		t.Run(tt.name, func(t *testing.T) { // our CSeqs are counted separately
			plays(t, "uas"+tt.headers+"\nanswer ; ACK 10 ; hangup agent_hangup -> BYE\nBYE has CSeq: 1 BYE | "+tt.want)
		})
	}
}

// A re-INVITE implies the ACK that it has overtaken. A re-INVITE that comes before the last one is answered gets 500
// with a time to try again (RFC 3261 section 14.2).
func TestUASReinvitePending(t *testing.T) {
	plays(t, `
uas accepted
INVITE 11 -> confirmed, offered INVITE
ACK 10 -> nothing
INVITE 12 -> 500/INVITE
500 has Retry-After: *
reject 488 -> 488/INVITE
INVITE 13 -> offered INVITE
reject 488 -> 488/INVITE
ACK 13 -> nothing
OPTIONS 12 -> 500/OPTIONS # older than the re-INVITE
OPTIONS 14 -> 200/OPTIONS
200 has Allow: `+Methods)
}

func TestByeReasonIsRead(t *testing.T) {
	lt := uasIn(t, "confirmed")
	in := inDialog(t, "BYE", 11, `Reason: SIP;cause=200;text="x"`, `Reason: Q.850;cause=19;text="no answer"`)
	facts, _ := lt.Leg.Step(lt.now, in)
	if g, ok := facts[0].(Gone); !ok || g.Q850 != 19 || !g.ByPeer {
		t.Errorf("facts %+v", facts)
	}
}
