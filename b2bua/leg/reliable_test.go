package leg

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// newUASWith is newUAS with options of the trunk.
func newUASWith(t testing.TB, o PeerOptions, headers ...string) *legTest {
	t.Helper()
	lt := newUAS(t, headers...)
	o.Allow = Methods
	lt.Leg.Peer = o
	return lt
}

// carrying gives a request within the dialog a session description.
func carrying(in RequestIn) RequestIn {
	in.Req.RemoveHeader("Content-Length")
	in.Req.AppendHeader(contentSDP())
	in.Req.SetBody([]byte("v=0\r\n"))
	return in
}

// prackOf acknowledges the provisional answer that came out last.
func prackOf(t testing.TB, lt *legTest, seq uint32) RequestIn {
	t.Helper()
	return inDialog(t, "PRACK", seq, fmt.Sprintf("RAck: %s 10 INVITE", message.FirstHeader(lt.response(), "rseq")))
}

func rings(code int, sdp string) Ring {
	r := Ring{Code: code, Reason: "Whatever"}
	if sdp != "" {
		r.SDP = []byte(sdp)
	}
	return r
}

var reliably = PeerOptions{Rel100: config.Rel100Supported} //nolint:gochecknoglobals // constant

// RFC 3262 section 3: which provisional answers are reliable.
func TestWhichAnswersAreReliable(t *testing.T) {
	for _, tt := range []struct {
		mode      config.Rel100Mode
		header    string
		bare, sdp bool // 180, 183 with SDP
	}{
		{config.Rel100Off, "Supported: 100rel", false, false},
		{config.Rel100Supported, "", false, false},
		{config.Rel100Supported, "Supported: timer, 100rel", false, true},
		{config.Rel100Supported, "k: 100rel", false, true},
		{config.Rel100Supported, "Require: 100rel", true, true},
		{config.Rel100Required, "Supported: 100rel", true, true},
	} {
		for _, sdp := range []bool{false, true} {
			var headers []string
			if tt.header != "" {
				headers = []string{tt.header}
			}
			lt := newUASWith(t, PeerOptions{Rel100: tt.mode}, headers...)
			in, want := rings(180, ""), tt.bare
			if sdp {
				in, want = rings(183, "v=0\r\n"), tt.sdp
			}
			lt.do(in)
			if got := message.FirstHeader(lt.response(), "rseq") != "" && message.HasOption(lt.response(), "Require", "100rel"); got != want {
				t.Errorf("%s, %q, SDP %v: reliable %v; want %v", tt.mode, tt.header, sdp, got, want)
			}
		}
	}
}

// RFC 3262 section 3: sent again after T1, twice as late each time without T2,
// until 64*T1, when the INVITE is refused.
func TestReliableAnswerIsSentAgain(t *testing.T) {
	lt := newUASWith(t, reliably, "Supported: 100rel")
	lt.want(lt.do(rings(183, "v=0\r\n")), "183/INVITE")
	first := lt.response().String()
	var at []time.Duration
	for {
		got := lt.deadline()
		if got != "183/INVITE" {
			lt.want(got, "gone no_prack, 504/INVITE")
			break
		}
		if lt.response().String() != first {
			t.Error("the answer changed")
		}
		at = append(at, lt.now.Sub(LegStart)/time.Millisecond)
	}
	if got := fmt.Sprint(at); got != "[500ns 1.5µs 3.5µs 7.5µs 15.5µs 31.5µs]" || lt.now.Sub(LegStart) != 32*time.Second {
		t.Errorf("sent again at %s, given up after %v", got, lt.now.Sub(LegStart))
	}
	lt.want(lt.do(prackOf(t, newRung(t), 11)), "481/PRACK")
}

// newRung is a leg whose reliable answer came out last.
func newRung(t testing.TB) *legTest {
	lt := newUASWith(t, reliably, "Supported: 100rel")
	lt.do(rings(183, "v=0\r\n"))
	return lt
}

// RFC 3262 section 3: one after the other, RSeq rising by one; a PRACK of
// something else is refused and changes nothing.
func TestReliableAnswersQueue(t *testing.T) {
	lt := newUASWith(t, reliably, "Require: 100rel")
	lt.want(lt.do(rings(180, "")), "180/INVITE")
	first, _ := message.ParseRSeq(message.FirstHeader(lt.response(), "rseq"))
	prack := prackOf(t, lt, 20)
	lt.want(lt.do(rings(183, "v=0\r\n")), "")
	lt.want(lt.do(rings(181, "")), "")
	for i, bad := range []string{"", "RAck: x", "RAck: 1 10 INVITE", fmt.Sprintf("RAck: %d 11 INVITE", first), fmt.Sprintf("RAck: %d 10 BYE", first)} {
		in := inDialog(t, "PRACK", uint32(11+i))
		if bad != "" {
			in = inDialog(t, "PRACK", uint32(11+i), bad)
		}
		lt.want(lt.do(in), "481/PRACK")
	}
	lt.want(lt.do(prack), "200/PRACK, 183/INVITE")
	if got, _ := message.ParseRSeq(message.FirstHeader(lt.last[1].(SendResponse).Res, "rseq")); got != first+1 {
		t.Errorf("RSeq %d after %d", got, first)
	}
	lt.want(lt.do(inDialog(t, "PRACK", 21, fmt.Sprintf("RAck: %d 10 INVITE", first))), "481/PRACK") // again
	lt.want(lt.do(inDialog(t, "PRACK", 22, fmt.Sprintf("RAck: %d 10 INVITE", first+1))), "200/PRACK, 181/INVITE")
	lt.want(lt.do(Answer{SDP: []byte("v=0\r\n")}), "200/INVITE") // it has no SDP: it is not waited for
	if message.SDPBody(lt.response()) != nil {
		t.Error("the 200 repeats the answer (RFC 3261 section 13.2.1)")
	}
	lt.want(lt.do(inDialog(t, "PRACK", 23, fmt.Sprintf("RAck: %d 10 INVITE", first+2))), "200/PRACK")
	lt.want(lt.do(inDialog(t, "ACK", 10)), "confirmed")
	lt.wantNoDeadline("confirmed")
}

// RFC 3262 section 3: the 200 waits for the PRACK of a 183 with SDP. What ends
// the call meanwhile is not lost.
func TestAnswerWaitsForPRACK(t *testing.T) {
	answer := Answer{SDP: []byte("v=0\r\n")}
	lt := newRung(t)
	prack := prackOf(t, lt, 11)
	lt.want(lt.do(answer), "")
	lt.want(lt.do(prack), "200/PRACK, 200/INVITE")
	lt.want(lt.do(inDialog(t, "ACK", 10)), "confirmed")

	lt = newRung(t)
	prack = prackOf(t, lt, 11)
	lt.want(lt.do(answer), "")
	lt.want(lt.do(Hangup{Why: cause.AgentHangup}), "480/INVITE") // the other side did not wait
	lt.want(lt.do(prack), "481/PRACK")

	lt = newRung(t)
	lt.do(answer)
	lt.want(lt.do(CancelIn{Seq: 10}), "cancelled")
	lt.wantDone("after that")

	lt = newRung(t)
	lt.do(answer)
	lt.want(lt.do(inDialog(t, "BYE", 11)), "cancelled, 200/BYE, 487/INVITE")

	lt = newRung(t)
	lt.do(answer)
	lt.now = lt.now.Add(32 * time.Second)
	lt.want(lt.do(DeadlineReached{}), "gone no_prack, 504/INVITE")
}

// RFC 3262 section 5: an offer in PRACK is answered in its 200, before the 200
// of the INVITE, which has no SDP.
func TestOfferInPRACK(t *testing.T) {
	for _, accepts := range []bool{true, false} {
		lt := newRung(t)
		prack := carrying(prackOf(t, lt, 11))
		lt.do(Answer{SDP: []byte("v=0\r\n")})
		lt.want(lt.do(prack), "offered PRACK+sdp")
		lt.want(lt.do(carrying(inDialog(t, "UPDATE", 12))), "500/UPDATE")
		if accepts {
			lt.want(lt.do(Accept{SDP: []byte("v=0\r\n")}), "200/PRACK, 200/INVITE")
			if message.SDPBody(lt.response()) == nil {
				t.Error("the PRACK has no answer")
			}
		} else {
			lt.want(lt.do(Reject{Code: 488, Reason: "No"}), "488/PRACK, 200/INVITE")
		}
		if message.SDPBody(lt.last[1].(SendResponse).Res) != nil {
			t.Error("the 200 has SDP")
		}
		lt.want(lt.do(inDialog(t, "ACK", 10)), "confirmed")
		lt.want(lt.do(inDialog(t, "INVITE", 13)), "offered INVITE")
	}
}

// RFC 3311 section 5.2: an UPDATE before the call is answered.
func TestEarlyUpdateUAS(t *testing.T) {
	lt := newUASWith(t, reliably, "Supported: 100rel")
	lt.want(lt.do(carrying(inDialog(t, "UPDATE", 11))), "500/UPDATE") // the INVITE's offer has no answer
	lt.do(rings(183, "v=0\r\n"))
	prack := prackOf(t, lt, 12)
	lt.do(prack)
	lt.want(lt.do(carrying(inDialog(t, "UPDATE", 13))), "offered UPDATE+sdp")
	lt.want(lt.do(Answer{SDP: []byte("v=0\r\n")}), "") // it would overtake the answer to the UPDATE
	lt.want(lt.do(Accept{SDP: []byte("v=0\r\n")}), "200/UPDATE, 200/INVITE")
	lt.want(lt.do(inDialog(t, "ACK", 10)), "confirmed")

	lt = newUASWith(t, PeerOptions{Rel100: config.Rel100Supported, SessionExpires: 90 * time.Second}, "Supported: 100rel, timer")
	lt.want(lt.do(inDialog(t, "UPDATE", 11, "Supported: timer", "Session-Expires: 90")), "200/UPDATE")
	lt.wantNoDeadline("before there is a session")
}

// RFC 3261 section 13.2.1: an offer is in a provisional answer only if that is
// reliable; its answer is in PRACK.
func TestLateOfferUAS(t *testing.T) {
	late := func(headers ...string) *legTest {
		lt := newUASWith(t, reliably, headers...)
		lt.Leg.invite.SetBody(nil)
		lt.Leg.session = negotiation{}
		return lt
	}
	lt := late()
	lt.do(rings(183, "v=0\r\n"))
	if message.SDPBody(lt.response()) != nil {
		t.Error("183 that may be lost has the offer")
	}
	lt.want(lt.do(Answer{SDP: []byte("v=0\r\n")}), "200/INVITE")
	if message.SDPBody(lt.response()) == nil {
		t.Error("200 without offer")
	}
	lt.want(lt.do(carrying(inDialog(t, "UPDATE", 11))), "491/UPDATE")
	lt.want(lt.do(carrying(inDialog(t, "ACK", 10))), "confirmed, answer+sdp")

	lt = late()
	lt.do(Answer{SDP: []byte("v=0\r\n")})
	lt.want(lt.do(inDialog(t, "ACK", 10)), "confirmed, answer")

	lt = late("Supported: 100rel")
	lt.do(rings(183, "v=0\r\n"))
	if message.SDPBody(lt.response()) == nil {
		t.Error("reliable 183 without offer")
	}
	lt.want(lt.do(carrying(prackOf(t, lt, 11))), "answer+sdp, 200/PRACK")
	lt.want(lt.do(Answer{SDP: []byte("v=0\r\n")}), "200/INVITE")
	if message.SDPBody(lt.response()) != nil {
		t.Error("200 has an offer again")
	}
	lt.want(lt.do(inDialog(t, "ACK", 10)), "confirmed")
}

// reliableTo is a reliable provisional answer of the target.
func reliableTo(lt *legTest, tag string, rseq int, sdp string, headers ...string) ResponseIn {
	headers = append([]string{"Require: 100rel", fmt.Sprintf("RSeq: %d", rseq), "Contact: <sip:" + tag + "@192.0.2.20:5099>"}, headers...)
	return lt.answerTo(183, tag, sdp, headers...)
}

// RFC 3262 section 4: PRACK goes within the early dialog of its answer, in
// order, once; what comes out of order is ignored.
func TestPRACKOfUAC(t *testing.T) {
	lt := uacIn(t, "calling")
	lt.want(lt.do(reliableTo(lt, "a", 7, "", "Record-Route: <sip:192.0.2.2;lr>")), "progress 183, PRACK")
	req, to := lt.request(sip.PRACK)
	if req.Recipient.String() != "sip:a@192.0.2.20:5099" || message.TagOf(req.To().Params) != "a" || req.Route() == nil || req.CSeq().SeqNo != 2 ||
		message.FirstHeader(req, "rack") != "7 1 INVITE" || to.Addr.String() != "192.0.2.2:5060" {
		t.Errorf("PRACK to %+v:\n%s", to, req)
	}
	lt.want(lt.do(reliableTo(lt, "a", 7, "")), "")                           // again
	lt.want(lt.do(reliableTo(lt, "a", 9, "")), "")                           // a gap
	lt.want(lt.do(reliableTo(lt, "a", 8, "v=0")), "progress 183+sdp, PRACK") // in order
	lt.want(lt.do(reliableTo(lt, "b", 100, "")), "progress 183, PRACK")
	if req, _ = lt.request(sip.PRACK); req.CSeq().SeqNo != 2 || message.FirstHeader(req, "rack") != "100 1 INVITE" || req.Route() != nil {
		t.Errorf("PRACK of the other fork:\n%s", req)
	}
	lt.want(lt.do(lt.answerTo(183, "a", "", "Require: 100rel")), "")
	lt.want(lt.do(lt.answerTo(183, "a", "", "Require: 100rel", "RSeq: 0")), "")
	ok := lt.answerTo(200, "a", "", "Contact: <sip:a@192.0.2.20:5099>", "Record-Route: <sip:192.0.2.2;lr>")
	lt.want(lt.do(ok), "answered+sdp, ACK") // the answer of the 183
	lt.do(Hangup{Why: cause.CallerHangup})
	if bye, _ := lt.request(sip.BYE); bye.CSeq().SeqNo != 4 {
		t.Errorf("BYE after two PRACKs has CSeq %d", bye.CSeq().SeqNo)
	}
}

// RFC 3261 section 22.2: a PRACK that is challenged is sent again with the next
// CSeq of its early dialog.
func TestPRACKChallenged(t *testing.T) {
	lt := newUAC(t)
	lt.do(inviteWithAuth())
	lt.do(reliableTo(lt, "a", 1, ""))
	lt.do(reliableTo(lt, "a", 2, ""))
	prack, _ := lt.request(sip.PRACK)
	res := responseToBye(prack, 401)
	res.Res.AppendHeader(sip.NewHeader("WWW-Authenticate", strings.TrimPrefix(askTarget, "WWW-Authenticate: ")))
	lt.want(lt.do(res), "PRACK")
	if again, _ := lt.request(sip.PRACK); again.CSeq().SeqNo != 4 || again.GetHeader("Authorization") == nil {
		t.Errorf("again:\n%s", again)
	}
	lt.do(reliableTo(lt, "a", 3, ""))
	if next, _ := lt.request(sip.PRACK); next.CSeq().SeqNo != 5 {
		t.Errorf("the next has CSeq %d", next.CSeq().SeqNo)
	}
}

// RFC 3311 section 5.2: the target may offer in an early dialog whose answer
// came reliably; what it offered stands for the answer of a 200 without one.
func TestEarlyUpdateUAC(t *testing.T) {
	update := func(lt *legTest, seq uint32) RequestIn {
		return carrying(agentDialog(t, lt, "UPDATE", seq))
	}
	lt := uacIn(t, "calling")
	lt.do(lt.answerTo(183, "agent", "v=0"))
	lt.want(lt.do(update(lt, 5)), "491/UPDATE")
	lt.do(reliableTo(lt, "agent", 1, "v=0"))
	lt.Leg.Peer.SessionExpires = time.Hour
	lt.want(lt.do(update(lt, 6)), "offered UPDATE+sdp")
	lt.want(lt.do(Accept{SDP: []byte("v=0\r\n")}), "200/UPDATE")
	facts, _ := lt.Leg.Step(lt.now, lt.answerTo(200, "agent", "", "Contact: <sip:a@192.0.2.20:5099>"))
	if a, is := facts[0].(Answered); !is || string(a.SDP) != "v=0\r\n" {
		t.Errorf("a 200 without SDP gives %s", show(facts, nil))
	}
}

// RFC 3262 section 3 speaks of the INVITE that begins a call: a re-INVITE need
// not say that it can 100rel.
func TestReinviteWithout100rel(t *testing.T) {
	lt := newUASWith(t, PeerOptions{Rel100: config.Rel100Required}, "Supported: 100rel")
	lt.do(Answer{SDP: []byte("v=0")}, inDialog(t, "ACK", 10))
	lt.want(lt.do(inDialog(t, "INVITE", 11)), "offered INVITE")
	lt.do(Reject{Code: 488, Reason: "No"})
	lt.want(lt.do(inDialog(t, "INVITE", 12, "Require: nonsense")), "420/INVITE")
	lt.want(lt.do(inDialog(t, "INVITE", 13, "Supported: timer", "Session-Expires: 60")), "422/INVITE")
	if got := message.FirstHeader(lt.response(), "min-se"); got != "90" {
		t.Errorf("Min-SE %q", got)
	}
}
