package leg

import (
	"fmt"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/sim/siptest"
)

// within draws an input for a leg within its dialog: a request or an answer of the peer, or
// a command of the call. It returns nil if no such input is possible at this moment.
func (lt *legTest) within(choose chooser, request func(method string, headers ...string) RequestIn) Input {
	l := lt.Leg
	switch choose(13) {
	case 0:
		return Offer{Ref: 1, SDP: []byte(fmt.Sprintf("v=0\r\no=- 0 0 IN IP4 192.0.2.1\r\ns=%d\r\n", choose(3)))}
	case 1, 2:
		return Accept{SDP: []byte("v=0\r\no=- 0 0 IN IP4 192.0.2.1\r\n")}
	case 3:
		return Reject{Code: 488, Reason: "No"}
	case 4:
		return Send{Ref: choose(100), Method: sip.INFO}
	case 5:
		if len(l.asked) == 0 {
			return Reply{Method: sip.INFO, Seq: 1, Code: 200}
		}
		req := l.asked[choose(len(l.asked))]
		return Reply{Method: req.Method, Seq: req.CSeq().SeqNo, Code: 200 + 200*choose(2), Reason: "Whatever"}
	case 6:
		in := request("ACK")
		in.Req.CSeq().SeqNo = l.ok.seq
		return lt.maybeSDP(choose, in)
	case 7:
		return lt.maybeSDP(choose, request("PRACK", fmt.Sprintf("RAck: %d %d INVITE", max(l.awaited().last, 1)+uint32(choose(2)), l.InviteSeq)))
	case 8, 9:
		headers := []string{"Supported: timer", "Contact: <sip:peer@192.0.2.10>", "Allow: " + []string{"UPDATE", "INVITE"}[choose(2)]}
		if choose(3) == 0 {
			headers = append(headers, fmt.Sprintf("Session-Expires: %d", 60+30*choose(4)))
		}
		return lt.maybeSDP(choose, request([]string{"INVITE", "UPDATE", "INFO"}[choose(3)], headers...))
	case 10, 11:
		return lt.answerAny(choose)
	case 12:
		switch p := l.session.pending; {
		case p != nil && p.Method == sip.INVITE && choose(2) == 0:
			lt.cancelled[key(sip.INVITE, p.CSeq().SeqNo)] = true
			return CancelIn{Seq: p.CSeq().SeqNo}
		case l.ok.res != nil && l.state == legConfirmed:
			return FinalLost{Seq: l.ok.seq}
		}
	}
	return nil
}

func (lt *legTest) maybeSDP(choose chooser, in RequestIn) RequestIn {
	if choose(2) == 0 {
		return carrying(in)
	}
	return in
}

// answerAny draws an answer to one of our requests that have no final answer yet.
func (lt *legTest) answerAny(choose chooser) Input {
	if len(lt.Leg.sent) == 0 {
		return nil
	}
	r := lt.Leg.sent[choose(len(lt.Leg.sent))]
	if choose(8) == 0 {
		return RequestFailed{Method: r.method, Seq: r.seq, Cause: cause.TargetSilent}
	}
	code := []int{100, 183, 200, 200, 200, 401, 405, 408, 422, 481, 487, 488, 491, 491, 500, 503}[choose(16)]
	res := sip.NewResponseFromRequest(r.sent.Req, code, "Whatever", nil)
	switch {
	case code == 401:
		res.AppendHeader(sip.NewHeader("WWW-Authenticate", strings.TrimPrefix(askTarget, "WWW-Authenticate: ")))
	case code == 422:
		res.AppendHeader(sip.NewHeader("Min-SE", fmt.Sprint(90+100*choose(3))))
	case code == 500 && choose(2) == 0:
		res.AppendHeader(sip.NewHeader("Retry-After", fmt.Sprint(choose(20))))
	case code == 200 && choose(2) == 0:
		res.AppendHeader(sip.NewHeader("Session-Expires", "90;refresher="+[]string{"uac", "uas"}[choose(2)]))
	}
	if code == 200 && choose(2) == 0 {
		res.AppendHeader(ContentSDP)
		res.SetBody([]byte("v=0\r\n"))
	}
	return ResponseIn{Res: res, Source: siptest.Agent}
}

// settled checks the leg's open requests after each step.
func (lt *legTest) settled(t *testing.T, in Input) {
	t.Helper()
	l := lt.Leg
	reinvites := 0
	for _, r := range l.sent {
		if r.method == sip.INVITE && !r.fork {
			reinvites++
		}
	}
	if reinvites > 1 {
		t.Errorf("%d re-INVITEs of ours are pending after %T", reinvites, in)
	}
	if l.session.sending != (reinvites == 1) && l.state == legConfirmed {
		t.Errorf("sending is %v with %d re-INVITEs after %T", l.session.sending, reinvites, in)
	}
	if l.state != legConfirmed {
		return
	}
	if l.session.wanted != nil && !l.session.sending && l.session.retryAt().IsZero() && !l.busy() {
		t.Errorf("an offer is forgotten after %T", in)
	}
	if l.timer.waiting && !l.session.sending && !l.busy() {
		t.Errorf("a refresh is forgotten after %T", in)
	}
	if l.session.sending && l.session.giveUpAt.IsZero() {
		t.Errorf("nothing bounds the re-INVITE after %T", in)
	}
}

// allAnswered checks that each request of the peer got one final answer.
func (lt *legTest) allAnswered(t *testing.T) {
	t.Helper()
	for k, n := range lt.fed {
		if strings.HasSuffix(k, " ACK") || lt.cancelled[k] {
			continue
		}
		if lt.final[k] != n {
			t.Errorf("%s came %d times and got %d final answers", k, n, lt.final[k])
		}
	}
}
