package leg

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/internal/siptest"
)

func inviteWithAuth(headers ...sip.Header) Invite {
	in := inviteOut(headers...)
	in.Auth = &config.Auth{Username: "bob", Password: "zanzibar"}
	return in
}

// uacAuth is a leg with credentials that has called.
func uacAuth(t testing.TB) *legTest {
	t.Helper()
	lt := newUAC(t)
	lt.do(inviteWithAuth())
	return lt
}

const (
	askTarget = `WWW-Authenticate: Digest realm="agents", nonce="n1", qop="auth", algorithm=SHA-256, opaque="o"`
	askProxy  = `Proxy-Authenticate: Digest realm="proxy", nonce="p1", qop="auth"`
)

// challenge401 is uacAuth after the first challenge.
func challenge401(t testing.TB) *legTest {
	t.Helper()
	lt := uacAuth(t)
	lt.want(lt.do(lt.answerTo(401, "agent", "", askTarget)), "INVITE")
	return lt
}

// RFC 3261 section 8.1.3.5: the INVITE that answers a challenge is the first
// one but for Via, CSeq and credentials.
func TestUACAnswersChallenge(t *testing.T) {
	for _, tt := range []struct {
		code         int
		ask, name    string
		realm, nonce string
	}{
		{401, askTarget, "Authorization", "agents", "n1"},
		{407, askProxy, "Proxy-Authorization", "proxy", "p1"},
		{401, strings.Replace(askTarget, "SHA-256", "SHA-512-256-sess", 1), "Authorization", "agents", "n1"},
		{401, strings.Replace(askTarget, `qop="auth"`, `qop="auth-int"`, 1), "Authorization", "agents", "n1"},
		{401, strings.Replace(askTarget, `qop="auth", `, "", 1), "Authorization", "agents", "n1"},
	} {
		lt := newUAC(t)
		lt.do(inviteWithAuth(sip.NewHeader("X-EI", "S.1;"), contentSDP(), sip.NewHeader("x-Two", "a"), sip.NewHeader("x-Two", "b")))
		first, to := lt.request(sip.INVITE)
		if len(first.GetHeaders("Authorization")) != 0 {
			t.Error("credentials before they were asked for")
		}
		lt.do(lt.answerTo(100, "", ""))
		lt.want(lt.do(lt.answerTo(tt.code, "agent", "", tt.ask)), "INVITE")
		second, again := lt.request(sip.INVITE)
		if again != to || message.BranchOf(second) == message.BranchOf(first) || second.CSeq().SeqNo != 2 || message.TagOf(second.To().Params) != "" {
			t.Errorf("goes to %+v:\n%s", again, second)
		}
		got := siptest.SentCredentials(t, second, tt.name)
		if len(got) != 1 || got[0].Realm != tt.realm || got[0].Nonce != tt.nonce {
			t.Fatalf("credentials of\n%s", second)
		}
		siptest.CheckCredentials(t, second, got[0], "bob", "zanzibar")
		if rest, want := withoutHop(second), withoutHop(first); rest != want {
			t.Errorf("the second INVITE is\n%s\nwant\n%s", rest, want)
		}
		lt.want(lt.do(lt.ok("agent")), "answered+sdp, ACK")
		ack, _ := lt.request(sip.ACK)
		for _, name := range []string{"Authorization", "Proxy-Authorization"} { // RFC 3261 section 22.1
			if !slices.EqualFunc(ack.GetHeaders(name), second.GetHeaders(name), func(a, b sip.Header) bool { return a.Value() == b.Value() }) {
				t.Errorf("ACK without the INVITE's credentials:\n%s", ack)
			}
		}
		if ack.CSeq().SeqNo != 2 {
			t.Errorf("ACK has CSeq %d", ack.CSeq().SeqNo)
		}
		lt.want(lt.do(Hangup{Why: cause.CallerHangup}), "BYE")
		bye, _ := lt.request(sip.BYE)
		c := siptest.SentCredentials(t, bye, tt.name)
		if len(c) != 1 || (c[0].QOP != "" && c[0].Nc != 2) || bye.CSeq().SeqNo != 3 {
			t.Fatalf("BYE with\n%s", bye)
		}
		siptest.CheckCredentials(t, bye, c[0], "bob", "zanzibar")
	}
}

// withoutHop is a request without what may change when it is sent again.
func withoutHop(req *sip.Request) string {
	var kept []string
	for line := range strings.SplitSeq(req.String(), "\r\n") {
		switch name, _, _ := strings.Cut(line, ":"); name {
		case "Via", "CSeq", "Authorization", "Proxy-Authorization":
		default:
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// A proxy and the target both ask: the credentials of both go along.
func TestUACAnswersProxyAndTarget(t *testing.T) {
	lt := uacAuth(t)
	lt.want(lt.do(lt.answerTo(407, "p", "", askProxy)), "INVITE")
	lt.want(lt.do(lt.answerTo(401, "agent", "", askTarget)), "INVITE")
	third, _ := lt.request(sip.INVITE)
	proxy, target := siptest.SentCredentials(t, third, "Proxy-Authorization"), siptest.SentCredentials(t, third, "Authorization")
	if len(proxy) != 1 || len(target) != 1 || proxy[0].Nc != 2 || target[0].Nc != 1 || third.CSeq().SeqNo != 3 {
		t.Fatalf("the third INVITE:\n%s", third)
	}
	siptest.CheckCredentials(t, third, proxy[0], "bob", "zanzibar")
	siptest.CheckCredentials(t, third, target[0], "bob", "zanzibar")
	lt.want(lt.do(lt.ok("agent")), "answered+sdp, ACK")

	lt = uacAuth(t) // both at once, from a proxy that forks
	lt.want(lt.do(lt.answerTo(401, "p", "", askProxy, askTarget, strings.Replace(askTarget, "agents", "others", 1))), "INVITE")
	second, _ := lt.request(sip.INVITE)
	if len(second.GetHeaders("Authorization")) != 2 || len(second.GetHeaders("Proxy-Authorization")) != 1 {
		t.Errorf("the second INVITE:\n%s", second)
	}
}

// Of several challenges of a realm the topmost that is supported counts (RFC
// 8760 section 2.4).
func TestUACTakesTopmostChallenge(t *testing.T) {
	lt := uacAuth(t)
	lt.do(lt.answerTo(401, "agent", "", `WWW-Authenticate: Digest realm="r", nonce="0", algorithm=SHA-512`,
		`WWW-Authenticate: Digest realm="r", nonce="1", algorithm=SHA-512-256, Digest realm="r", nonce="2", algorithm=MD5`))
	req, _ := lt.request(sip.INVITE)
	if c := siptest.SentCredentials(t, req, "Authorization"); len(c) != 1 || c[0].Nonce != "1" || c[0].Algorithm != "SHA-512-256" {
		t.Errorf("credentials %+v", c)
	}
}

func TestUACChallengeIsFinal(t *testing.T) {
	stale := strings.Replace(askTarget, "n1", "n2", 1) + ", stale=true"
	lt := uacIn(t, "calling")
	lt.want(lt.do(lt.answerTo(401, "agent", "", askTarget)), "refused 401 auth_missing")

	for _, headers := range [][]string{nil, {`WWW-Authenticate: Basic realm="x"`}, {strings.Replace(askTarget, "SHA-256", "X", 1)}} {
		lt = uacAuth(t)
		lt.want(lt.do(lt.answerTo(407, "agent", "", headers...)), "refused 407 auth_unsupported")
		lt.wantDone("after that")
	}
	lt = challenge401(t)
	lt.want(lt.do(lt.answerTo(401, "agent", "", askTarget)), "refused 401 auth_refused")
	lt = challenge401(t) // another nonce says nothing
	lt.want(lt.do(lt.answerTo(401, "agent", "", strings.TrimSuffix(stale, ", stale=true"))), "refused 401 auth_refused")
	lt.wantDone("after that")

	lt = challenge401(t)
	lt.want(lt.do(lt.answerTo(401, "agent", "", stale)), "INVITE")
	req, _ := lt.request(sip.INVITE)
	if c := siptest.SentCredentials(t, req, "Authorization"); len(c) != 1 || c[0].Nonce != "n2" || c[0].Nc != 1 {
		t.Errorf("credentials %+v", c)
	}
	lt.want(lt.do(lt.answerTo(401, "agent", "", strings.Replace(stale, "n2", "n3", 1))), "INVITE")
	lt.want(lt.do(lt.answerTo(401, "agent", "", strings.Replace(stale, "n2", "n4", 1))), "refused 401 auth_refused")

	lt = uacAuth(t) // a realm that is new each time
	for i := range maxChallenged {
		lt.want(lt.do(lt.answerTo(401, "agent", "", strings.Replace(askTarget, "agents", fmt.Sprint(i), 1))), "INVITE")
	}
	lt.want(lt.do(lt.answerTo(401, "agent", "", strings.Replace(askTarget, "agents", "last", 1))), "refused 401 auth_refused")
}

// Each INVITE has a first_response_timeout of its own; ring_timeout is for all.
func TestUACChallengeTimers(t *testing.T) {
	lt := uacAuth(t)
	lt.now = lt.now.Add(3 * time.Second)
	lt.do(lt.answerTo(401, "agent", "", askTarget))
	lt.want(lt.deadline(), "refused 0 target_silent")
	if got := lt.now.Sub(LegStart); got != 7*time.Second {
		t.Errorf("silent after %v; want 4s after the second INVITE", got)
	}
	lt.want(lt.do(lt.answerTo(100, "", "")), "CANCEL")

	lt = uacAuth(t)
	lt.now = lt.now.Add(10 * time.Second)
	lt.do(lt.answerTo(180, "agent", ""), lt.answerTo(401, "agent", "", askTarget))
	lt.do(lt.answerTo(180, "agent", ""))
	lt.want(lt.deadline(), "refused 0 ring_timeout, CANCEL")
	if got := lt.now.Sub(LegStart); got != time.Minute {
		t.Errorf("rang for %v; want 1m", got)
	}
}

// A CANCEL is that of the last INVITE, waits for its provisional answer, and
// has no credentials (RFC 3261 section 22.1).
func TestUACCancelAfterChallenge(t *testing.T) {
	lt := challenge401(t)
	second, _ := lt.request(sip.INVITE)
	lt.want(lt.do(Abandon{Why: cause.CallerCancelled}), "")
	lt.want(lt.do(lt.answerTo(100, "", "")), "CANCEL")
	cancel, _ := lt.request(sip.CANCEL)
	if message.BranchOf(cancel) != message.BranchOf(second) || cancel.CSeq().SeqNo != 2 || len(cancel.GetHeaders("Authorization")) != 0 {
		t.Errorf("CANCEL:\n%s", cancel)
	}
	lt.want(lt.do(lt.answerTo(487, "agent", "")), "")
	lt.wantDone("after 487")

	lt = uacAuth(t) // given up before the challenge: nothing more is sent
	lt.do(Abandon{Why: cause.CallerCancelled})
	lt.want(lt.do(lt.answerTo(401, "agent", "", askTarget)), "")
	lt.wantDone("after the final answer to an INVITE that was given up")

	lt = challenge401(t) // the 200 crosses
	lt.do(Abandon{Why: cause.CallerCancelled})
	lt.want(lt.do(lt.ok("agent")), "ACK, BYE")
	bye, _ := lt.request(sip.BYE)
	if c := siptest.SentCredentials(t, bye, "Authorization"); len(c) != 1 || c[0].Nc != 2 {
		t.Errorf("BYE:\n%s", bye)
	}
}

// What belongs to the first INVITE says nothing of the second.
func TestUACIgnoresFirstInviteAfterChallenge(t *testing.T) {
	lt := uacAuth(t)
	var late []Input
	for _, code := range []int{100, 180, 200, 401, 486} {
		late = append(late, lt.answerTo(code, "agent", "", askTarget))
	}
	lt.do(lt.answerTo(401, "agent", "", askTarget))
	for _, in := range late {
		lt.want(lt.do(in), "")
	}
	if lt.Leg.state != legCalling {
		t.Errorf("state %d", lt.Leg.state)
	}
	lt.want(lt.do(lt.ok("agent")), "answered+sdp, ACK")
	for _, in := range late {
		lt.want(lt.do(in), "")
	}
}

// Every fork gets the INVITE's credentials in its ACK, and fresh ones in its
// BYE.
func TestUACForksAfterChallenge(t *testing.T) {
	lt := challenge401(t)
	invite, _ := lt.request(sip.INVITE)
	lt.do(lt.ok("agent"))
	lt.want(lt.do(lt.ok("fork")), "ACK, BYE")
	ack, _ := lt.request(sip.ACK)
	bye, _ := lt.request(sip.BYE)
	if a := ack.GetHeader("Authorization"); a == nil || a.Value() != invite.GetHeader("Authorization").Value() || ack.CSeq().SeqNo != 2 {
		t.Errorf("ACK:\n%s", ack)
	}
	if c := siptest.SentCredentials(t, bye, "Authorization"); len(c) != 1 || c[0].Nc != 2 || bye.CSeq().SeqNo != 3 {
		t.Errorf("BYE:\n%s", bye)
	}
	in := responseToBye(bye, 401)
	in.Res.AppendHeader(sip.NewHeader("WWW-Authenticate", `Digest realm="agents", nonce="n2", stale=true`))
	lt.want(lt.do(in), "BYE")
	again, _ := lt.request(sip.BYE)
	if c := siptest.SentCredentials(t, again, "Authorization"); len(c) != 1 || c[0].Nonce != "n2" || again.CSeq().SeqNo != 4 ||
		message.TagOf(again.To().Params) != "fork" || again.Recipient.String() != bye.Recipient.String() {
		t.Errorf("BYE:\n%s", again)
	}
	lt.want(lt.do(in), "")
	if lt.Leg.state != legConfirmed {
		t.Errorf("state %d", lt.Leg.state)
	}
}

// A BYE that is challenged is sent again, once.
func TestUACByeChallenged(t *testing.T) {
	challenged := func(bye *sip.Request, header string) ResponseIn {
		in := responseToBye(bye, 401)
		name, value, _ := strings.Cut(header, ": ")
		in.Res.AppendHeader(sip.NewHeader(name, value))
		return in
	}
	for name, known := range map[string]bool{"known realm": true, "new realm": false} {
		lt := uacAuth(t)
		if known {
			lt.do(lt.answerTo(401, "agent", "", askTarget))
		}
		lt.do(lt.ok("agent"), Hangup{Why: cause.CallerHangup})
		bye, to := lt.request(sip.BYE)
		lt.now = lt.now.Add(10 * time.Second)
		lt.want(lt.do(challenged(bye, strings.Replace(askTarget, "n1", "n2", 1))), "BYE")
		again, hop := lt.request(sip.BYE)
		c := siptest.SentCredentials(t, again, "Authorization")
		if len(c) != 1 || c[0].Nonce != "n2" || c[0].Nc != 1 || hop != to || again.CSeq().SeqNo != bye.CSeq().SeqNo+1 ||
			again.GetHeader("Reason").Value() != bye.GetHeader("Reason").Value() || message.TagOf(again.To().Params) != "agent" {
			t.Errorf("%s:\n%s", name, again)
		}
		siptest.CheckCredentials(t, again, c[0], "bob", "zanzibar")
		lt.want(lt.do(challenged(bye, askTarget)), "") // repeated
		if lt.Leg.Done() || lt.Leg.Deadline().Sub(lt.now) != GiveUp {
			t.Errorf("%s: done %v, deadline in %v", name, lt.Leg.Done(), lt.Leg.Deadline().Sub(lt.now))
		}
		lt.want(lt.do(challenged(again, strings.Replace(askTarget, "n1", "n3", 1)+", stale=true")), "")
		if !lt.Leg.Done() {
			t.Errorf("%s: not done after the second challenge", name)
		}
	}
	for _, header := range []string{`WWW-Authenticate: Basic realm="x"`, "X-None: 1"} {
		lt := challenge401(t)
		lt.do(lt.ok("agent"), Hangup{Why: cause.CallerHangup})
		bye, _ := lt.request(sip.BYE)
		lt.want(lt.do(challenged(bye, header)), "")
		lt.wantDone("after a challenge that can't be answered")
	}
}

// A header that is configured stays; credentials of ours don't pile up.
func TestUACChallengeKeepsOtherCredentials(t *testing.T) {
	lt := newUAC(t)
	lt.do(inviteWithAuth(sip.NewHeader("Authorization", "Bearer x")))
	lt.do(lt.answerTo(407, "p", "", askProxy))
	lt.do(lt.answerTo(407, "p", "", strings.Replace(askProxy, "p1", "p2", 1)+", stale=true"))
	req, _ := lt.request(sip.INVITE)
	if h := req.GetHeaders("Authorization"); len(h) != 1 || h[0].Value() != "Bearer x" {
		t.Errorf("Authorization %v", h)
	}
	if c := siptest.SentCredentials(t, req, "Proxy-Authorization"); len(c) != 1 || c[0].Nonce != "p2" {
		t.Errorf("Proxy-Authorization %+v", c)
	}
}
