package leg

import (
	"fmt"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/internal/siptest"
)

// answerWithin answers the request of ours that came out last.
func (lt *legTest) answerWithin(method sip.RequestMethod, code int, headers ...string) ResponseIn {
	lt.t.Helper()
	in := responseTo(lt.t, lt, method, code, "Whatever")
	for _, h := range headers {
		name, value := splitLine(h)
		in.Res.AppendHeader(sip.NewHeader(name, value))
	}
	return in
}

func splitLine(line string) (name, value string) {
	for i := range line {
		if line[i] == ':' {
			return line[:i], line[i+2:]
		}
	}
	return line, ""
}

// RFC 4028 section 9: what a UAS makes of a request, by its table, and who
// refreshes; the interval may be shortened, but not below Min-SE.
func TestSessionTimerOfUAS(t *testing.T) {
	for _, tt := range []struct {
		headers []string
		expiry  time.Duration
		want    string // Session-Expires of the 200
		require bool
		ours    bool
	}{
		{nil, 0, "", false, false},
		{nil, 1800 * time.Second, "1800;refresher=uas", false, true},
		{[]string{"Supported: timer"}, 1800 * time.Second, "1800;refresher=uac", true, false},
		{[]string{"Session-Expires: 300"}, 0, "300;refresher=uas", false, true},
		{[]string{"Session-Expires: 300;refresher=uas"}, 0, "300;refresher=uas", false, true},
		{[]string{"Session-Expires: 20"}, 0, "90;refresher=uas", false, true}, // a proxy's, which 422 would not reach
		{[]string{"Supported: timer", "Session-Expires: 300"}, 0, "300;refresher=uac", true, false},
		{[]string{"Supported: timer", "x: 300"}, 0, "300;refresher=uac", true, false},
		{[]string{"Supported: timer", "Session-Expires: 300;refresher=uac"}, 0, "300;refresher=uac", true, false},
		{[]string{"Supported: timer", "Session-Expires: 300;refresher=uas"}, 0, "300;refresher=uas", false, true},
		{[]string{"Supported: timer", "Session-Expires: 3600"}, 600 * time.Second, "600;refresher=uac", true, false},
		{[]string{"Supported: timer", "Session-Expires: 3600", "Min-SE: 1200"}, 600 * time.Second, "1200;refresher=uac", true, false},
		{[]string{"Supported: timer", "Session-Expires: nonsense"}, 0, "", false, false},
	} {
		lt := newUASWith(t, PeerOptions{SessionExpires: tt.expiry}, tt.headers...)
		lt.want(lt.do(Answer{SDP: []byte("v=0")}), "200/INVITE")
		res := lt.response()
		if got := message.FirstHeader(res, "session-expires"); got != tt.want || message.HasOption(res, "Require", "timer") != tt.require {
			t.Errorf("%q, we want %v: Session-Expires %q, Require %v", tt.headers, tt.expiry, got, message.FirstHeader(res, "require"))
		}
		lt.do(inDialog(t, "ACK", 10))
		interval, _ := askedFor(res)
		if !lt.Leg.timer.expireAt.IsZero() != (tt.want != "") || !lt.Leg.timer.refreshAt.IsZero() != tt.ours {
			t.Errorf("%q: refresh at %v, end at %v", tt.headers, lt.Leg.timer.refreshAt, lt.Leg.timer.expireAt)
		}
		if tt.want != "" && lt.Leg.timer.expireAt.Sub(lt.now) != interval-min(32*time.Second, interval/3) {
			t.Errorf("%q: ends after %v", tt.headers, lt.Leg.timer.expireAt.Sub(lt.now))
		}
	}
}

// RFC 4028 section 7.2: what a UAC makes of a 2xx.
func TestSessionTimerOfUAC(t *testing.T) {
	for _, tt := range []struct {
		headers []string
		runs    time.Duration
		ours    bool
	}{
		{nil, 0, false},
		{[]string{"Session-Expires: 300;refresher=uac", "Require: timer"}, 300 * time.Second, true},
		{[]string{"Session-Expires: 300;refresher=uas"}, 300 * time.Second, false},
		{[]string{"Session-Expires: 300"}, 300 * time.Second, true},
	} {
		lt := uacIn(t, "calling")
		lt.do(lt.ok("agent", append([]string{"Contact: <sip:agent@192.0.2.20:5099>"}, tt.headers...)...))
		if lt.Leg.timer.interval != tt.runs || !lt.Leg.timer.refreshAt.IsZero() != tt.ours {
			t.Errorf("%q: %+v", tt.headers, lt.Leg.timer)
		}
	}
}

// uacTimed is a confirmed leg of a target that we refresh.
func uacTimed(t *testing.T, headers ...string) *legTest {
	t.Helper()
	lt := uacIn(t, "calling")
	headers = append([]string{"Contact: <sip:agent@192.0.2.20:5099>", "Session-Expires: 90;refresher=uac"}, headers...)
	lt.do(lt.ok("agent", headers...))
	return lt
}

// RFC 4028 sections 7.4 and 10: a refresh at half the time, by UPDATE where
// that is allowed, else by re-INVITE with what was agreed.
func TestRefresh(t *testing.T) {
	lt := uacTimed(t, "Allow: INVITE, UPDATE")
	lt.want(lt.deadline(), "UPDATE")
	req, _ := lt.request(sip.UPDATE)
	if lt.now.Sub(LegStart) != 45*time.Second || message.FirstHeader(req, "session-expires") != "90;refresher=uac" || len(req.Body()) > 0 ||
		!message.HasOption(req, "Supported", "timer") || req.Contact() == nil {
		t.Errorf("after %v:\n%s", lt.now.Sub(LegStart), req)
	}
	lt.want(lt.do(lt.answerWithin(sip.UPDATE, 200, "Session-Expires: 90;refresher=uac")), "")
	if got := lt.Leg.Deadline().Sub(lt.now); got != 45*time.Second {
		t.Errorf("the next refresh after %v", got)
	}
	lt.deadline()
	lt.want(lt.do(lt.answerWithin(sip.UPDATE, 405)), "INVITE") // then never again UPDATE
	req, _ = lt.request(sip.INVITE)
	if string(req.Body()) != string(lt.invite.Body()) || message.FirstHeader(req, "session-expires") != "90;refresher=uac" {
		t.Errorf("refresh:\n%s", req)
	}
	lt.want(lt.do(lt.answerWithin(sip.INVITE, 200, "Session-Expires: 120;refresher=uas")), "answer, ACK")
	if lt.Leg.timer.ours || lt.Leg.timer.interval != 120*time.Second {
		t.Errorf("%+v", lt.Leg.timer)
	}
	lt.want(lt.deadline(), "gone session_expired, BYE") // which it does not do
}

// What a refusal of a refresh leads to (RFC 4028 sections 7.3, 7.4 and 10, RFC
// 3261 section 14.1).
func TestRefreshRefused(t *testing.T) {
	for _, allow := range []string{"Allow: UPDATE", "Allow: INVITE"} {
		method := sip.UPDATE
		if allow == "Allow: INVITE" {
			method = sip.INVITE
		}
		for _, code := range []int{491, 500, 503, 488} {
			lt := uacTimed(t, allow)
			lt.deadline()
			lt.want(lt.do(lt.answerWithin(method, code)), "")
			lt.want(lt.deadline(), string(method)) // later
			if d := lt.now.Sub(LegStart); d <= 45*time.Second || d > 60*time.Second {
				t.Errorf("%d: again after %v", code, d)
			}
		}
		for _, code := range []int{408, 481} {
			lt := uacTimed(t, allow)
			lt.deadline()
			lt.want(lt.do(lt.answerWithin(method, code)), "gone session_expired, BYE")
			if bye, _ := lt.request(sip.BYE); cause.Q850In([]string{message.FirstHeader(bye, "reason")}) != 102 {
				t.Errorf("Reason %q", message.FirstHeader(bye, "reason"))
			}
		}
		lt := uacTimed(t, allow)
		lt.deadline()
		lt.want(lt.do(lt.failed(method)), "gone session_expired, BYE")

		lt = uacTimed(t, allow)
		lt.deadline()
		lt.want(lt.do(lt.answerWithin(method, 422, "Min-SE: 200")), string(method))
		req, _ := lt.request(method)
		if message.FirstHeader(req, "session-expires") != "200;refresher=uac" || message.FirstHeader(req, "min-se") != "200" {
			t.Errorf("after 422:\n%s", req)
		}
		lt.want(lt.do(lt.answerWithin(method, 422, "Min-SE: 200")), "") // it has no point
		lt = uacTimed(t, allow)
		lt.deadline()
		lt.want(lt.deadline(), "gone session_expired, BYE") // no answer until the end
		if d := lt.now.Sub(LegStart); d != 60*time.Second {
			t.Errorf("BYE after %v; want 60s", d)
		}
	}
}

// A refresh waits while an exchange of the peer's is under way, and so does an
// offer of ours while a refresh is; neither is forgotten.
func TestRefreshWaits(t *testing.T) {
	invite := func(lt *legTest, seq uint32) RequestIn { return carrying(agentDialog(t, lt, "INVITE", seq)) }
	lt := uacTimed(t)
	lt.now = lt.now.Add(40 * time.Second)
	lt.want(lt.do(invite(lt, 7)), "offered INVITE+sdp")
	lt.want(lt.deadline(), "")
	lt.want(lt.do(Reject{Code: 488, Reason: "No"}), "488/INVITE, INVITE")
	lt.want(lt.do(Offer{Ref: 1, SDP: []byte("v=0\r\no=- 0 0 X")}), "")
	lt.want(lt.do(lt.answerWithinSent(sip.INVITE, 488)), "INVITE")
	if req, _ := lt.request(sip.INVITE); string(req.Body()) == string(lt.invite.Body()) {
		t.Error("the refresh again instead of the offer")
	}

	lt = uacTimed(t)
	lt.now = lt.now.Add(40 * time.Second)
	lt.do(invite(lt, 7))
	lt.deadline()
	lt.want(lt.do(CancelIn{Seq: 7}), "withdrawn, INVITE")
	lt.do(Offer{Ref: 1, SDP: []byte("v=0\r\no=- 0 0 X")})
	lt.want(lt.do(lt.answerWithinSent(sip.INVITE, 200)), "answer, ACK, INVITE")

	lt = uacTimed(t)
	lt.do(Offer{Ref: 1, SDP: []byte("v=0\r\no=- 0 0 X")})
	lt.now = lt.now.Add(20 * time.Second)
	sent := lt.Leg.sent[0].sent.Req
	in := ResponseIn{Res: sip.NewResponseFromRequest(sent, 183, "Progress", nil), Source: siptest.Agent}
	lt.do(in)
	lt.want(lt.deadline(), "offer refused 408, CANCEL")
	lt.want(lt.deadline(), "") // the refresh is due
	in.Res = sip.NewResponseFromRequest(sent, 487, "Request Terminated", nil)
	lt.want(lt.do(in), "INVITE") // the refresh
}

// answerWithinSent answers the only request of ours of a method that is open.
func (lt *legTest) answerWithinSent(method sip.RequestMethod, code int) ResponseIn {
	for _, r := range lt.Leg.sent {
		if r.method == method {
			return ResponseIn{Res: sip.NewResponseFromRequest(r.sent.Req, code, "Whatever", nil), Source: siptest.Agent}
		}
	}
	lt.t.Fatalf("no %s is open", method)
	return ResponseIn{}
}

// RFC 4028 section 7.3: an INVITE that asks for too short a session is sent
// again with what the target takes, twice at most.
func TestInvite422(t *testing.T) {
	lt := newUAC(t)
	lt.Leg.Peer.SessionExpires = 90 * time.Second
	lt.do(inviteOut(sip.NewHeader("Session-Expires", "90")))
	first := lt.Leg.invite
	for _, least := range []int{300, 600} {
		lt.want(lt.do(lt.answerTo(422, "x", "", fmt.Sprintf("Min-SE: %d", least))), "INVITE")
		req, _ := lt.request(sip.INVITE)
		if message.FirstHeader(req, "session-expires") != fmt.Sprint(least) || message.FirstHeader(req, "min-se") != fmt.Sprint(least) || len(req.GetHeaders("session-expires")) != 1 {
			t.Errorf("again:\n%s", req)
		}
	}
	lt.want(lt.do(lt.answerTo(422, "x", "", "Min-SE: 900")), "refused 422 target_refused")
	if message.FirstHeader(first, "session-expires") != "90" {
		t.Error("the INVITE was changed that is on its way")
	}
	lt = newUAC(t)
	lt.do(inviteOut())
	lt.want(lt.do(lt.answerTo(422, "x", "", "Min-SE: 300")), "refused 422 target_refused")
}

// RFC 4028 section 4: no session is shorter than 90 s, whatever a target says.
func TestShortSessionOfTarget(t *testing.T) {
	lt := uacIn(t, "calling")
	lt.do(lt.ok("agent", "Contact: <sip:agent@192.0.2.20:5099>", "Session-Expires: 1;refresher=uac"))
	if lt.Leg.timer.interval != 90*time.Second {
		t.Errorf("interval %v", lt.Leg.timer.interval)
	}
}
