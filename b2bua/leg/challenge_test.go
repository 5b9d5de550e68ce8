package leg

import (
	"fmt"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/sim/siptest"
)

func inviteWithAuth(headers ...sip.Header) Invite {
	in := inviteOut(headers...)
	in.Auth = &config.Auth{Username: "bob", Password: "zanzibar"}
	return in
}

const (
	askTarget = `WWW-Authenticate: Digest realm="agents", nonce="n1", qop="auth", algorithm=SHA-256, opaque="o"`
	askProxy  = `Proxy-Authenticate: Digest realm="proxy", nonce="p1", qop="auth"`
)

// challenges has short words for scripts: a challenge from the target, one from the proxy, one with another nonce, and
// one with another realm.
var challenges = strings.NewReplacer( //nolint:gochecknoglobals // constant
	"TARGET2-STALE", strings.Replace(askTarget, "n1", "n2", 1)+", stale=true",
	"TARGET3-STALE", strings.Replace(askTarget, "n1", "n3", 1)+", stale=true",
	"TARGET4-STALE", strings.Replace(askTarget, "n1", "n4", 1)+", stale=true",
	"TARGET2", strings.Replace(askTarget, "n1", "n2", 1), "TARGET", askTarget,
	"OTHERS", strings.Replace(askTarget, "agents", "others", 1),
	"PROXY2-STALE", strings.Replace(askProxy, "p1", "p2", 1)+", stale=true", "PROXY", askProxy,
)

// challenge401 returns a leg in state "uac auth" that has got its first challenge.
func challenge401(t testing.TB) *legTest {
	t.Helper()
	lt := legOf(t, "uac auth")
	lt.want(lt.do(lt.answerTo(401, "agent", "", askTarget)), "INVITE")
	return lt
}

// RFC 3261 section 8.1.3.5: the INVITE that answers a challenge equals the first one except for Via, CSeq and
// credentials. Its ACK has the same credentials (checkOfInvite), and its BYE has credentials with the next nonce count.
func TestUACAnswersChallenge(t *testing.T) {
	for _, tt := range []struct {
		code                 int
		ask, name, now, then string
	}{
		{401, askTarget, "Authorization", "agents n1 1", "agents n1 2"},
		{407, askProxy, "Proxy-Authorization", "proxy p1 1", "proxy p1 2"},
		{401, strings.Replace(askTarget, "SHA-256", "SHA-512-256-sess", 1), "Authorization", "agents n1 1", "agents n1 2"},
		{401, strings.Replace(askTarget, `qop="auth"`, `qop="auth-int"`, 1), "Authorization", "agents n1 1", "agents n1 2"},
		{401, strings.Replace(askTarget, `qop="auth", `, "", 1), "Authorization", "agents n1 0", "agents n1 0"},
	} {
		lt := legOf(t, "uac auth | X-EI: S.1; | Content-Type: application/sdp | x-Two: a | x-Two: b")
		lt.play("INVITE has Authorization:")
		first, to := lt.request(sip.INVITE)
		lt.play(fmt.Sprintf("100\n%d agent | %s -> INVITE\nINVITE has CSeq: 2 INVITE | Tag:  | %s: * | Digest: %s", tt.code, tt.ask, tt.name, tt.now))
		second, again := lt.request(sip.INVITE)
		if again != to || message.BranchOf(second) == message.BranchOf(first) {
			t.Errorf("goes to %+v; want %+v and a new branch:\n%s", again, to, second)
		}
		if rest, want := withoutHop(second), withoutHop(first); rest != want {
			t.Errorf("the second INVITE is\n%s\nwant\n%s", rest, want)
		}
		lt.play("200 agent -> answered+sdp, ACK\nACK has CSeq: 2 ACK\nhangup caller_hangup -> BYE\nBYE has CSeq: 3 BYE | Digest: " + tt.then)
	}
}

// withoutHop returns a request without the parts that may change when it is sent again.
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

// If both a proxy and the target send a challenge, one after the other or at once (a proxy that forks), the leg sends
// credentials for both.
func TestUACAnswersProxyAndTarget(t *testing.T) {
	plays(t, challenges.Replace(`
uac auth
407 p | PROXY -> INVITE
401 agent | TARGET -> INVITE
INVITE has CSeq: 3 INVITE | Digest: agents n1 1, proxy p1 2
200 agent -> answered+sdp, ACK

uac auth
401 p | PROXY | TARGET | OTHERS -> INVITE
INVITE has Digest: agents n1 1, others n1 1, proxy p1 1`))
}

// If a realm has several challenges, the topmost supported one counts (RFC 8760 section
// 2.4).
func TestUACTakesTopmostChallenge(t *testing.T) {
	lt := legOf(t, "uac auth")
	lt.do(lt.answerTo(401, "agent", "", `WWW-Authenticate: Digest realm="r", nonce="0", algorithm=SHA-512`,
		`WWW-Authenticate: Digest realm="r", nonce="1", algorithm=SHA-512-256, Digest realm="r", nonce="2", algorithm=MD5`))
	req, _ := lt.request(sip.INVITE)
	if c := siptest.SentCredentials(t, req, "Authorization"); len(c) != 1 || c[0].Nonce != "1" || c[0].Algorithm != "SHA-512-256" {
		t.Errorf("credentials %+v; want nonce 1 and SHA-512-256", c)
	}
}

func TestUACChallengeIsFinal(t *testing.T) {
	plays(t, challenges.Replace(`
uac calling
401 agent | TARGET -> refused 401 auth_missing

uac auth
407 agent -> refused 407 auth_unsupported ; done

uac auth
407 agent | WWW-Authenticate: Basic realm="x" -> refused 407 auth_unsupported ; done

uac auth
407 agent | WWW-Authenticate: Digest realm="agents", nonce="n1", algorithm=X -> refused 407 auth_unsupported ; done

uac auth
401 agent | TARGET -> INVITE
401 agent | TARGET -> refused 401 auth_refused

uac auth
401 agent | TARGET -> INVITE
401 agent | TARGET2 -> refused 401 auth_refused ; done # another nonce says nothing

uac auth
401 agent | TARGET -> INVITE
401 agent | TARGET2-STALE -> INVITE
INVITE has Digest: agents n2 1
401 agent | TARGET3-STALE -> INVITE
401 agent | TARGET4-STALE -> refused 401 auth_refused`))

	lt := legOf(t, "uac auth") // each challenge has a new realm
	for i := range maxChallenged {
		lt.want(lt.do(lt.answerTo(401, "agent", "", strings.Replace(askTarget, "agents", fmt.Sprint(i), 1))), "INVITE")
	}
	lt.want(lt.do(lt.answerTo(401, "agent", "", strings.Replace(askTarget, "agents", "last", 1))), "refused 401 auth_refused")
}

// first_response_timeout restarts with each INVITE. ring_timeout covers all INVITEs together.
func TestUACChallengeTimers(t *testing.T) {
	plays(t, challenges.Replace(`
uac auth
+3s ; 401 agent | TARGET ; deadline 7s -> refused 0 target_silent
100 -> CANCEL

uac auth
+10s ; 180 agent ; 401 agent | TARGET ; 180 agent ; deadline 1m0s -> refused 0 ring_timeout, CANCEL`))
}

// After a challenge, a CANCEL is for the last INVITE. It waits for a provisional answer to this INVITE, and has no
// credentials (RFC 3261 section 22.1; checkOfInvite). A cancelled INVITE is not sent again. A 200 may cross the CANCEL.
func TestUACCancelAfterChallenge(t *testing.T) {
	plays(t, challenges.Replace(`
uac auth
401 agent | TARGET -> INVITE
abandon caller_cancelled -> nothing
100 -> CANCEL
CANCEL has CSeq: 2 CANCEL | Authorization:
487 agent -> nothing ; done

uac auth
abandon caller_cancelled
401 agent | TARGET -> nothing ; done

uac auth
401 agent | TARGET -> INVITE
abandon caller_cancelled ; 200 agent -> ACK, BYE
BYE has Digest: agents n1 2`))
}

// Responses to the first INVITE do not affect the second.
func TestUACIgnoresFirstInviteAfterChallenge(t *testing.T) {
	lt := legOf(t, "uac auth")
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

// Every fork gets the INVITE's credentials in its ACK (checkOfInvite), and fresh ones in its BYE.
func TestUACForksAfterChallenge(t *testing.T) {
	plays(t, challenges.Replace(`
uac auth
401 agent | TARGET ; 200 agent
200 fork -> ACK, BYE
ACK has CSeq: 2 ACK | Authorization: *
BYE has CSeq: 3 BYE | Digest: agents n1 2 | URI: sip:agent@192.0.2.20:5099;a=b
401 to BYE | WWW-Authenticate: Digest realm="agents", nonce="n2", stale=true -> BYE
BYE has CSeq: 4 BYE | Digest: agents n2 0 | Tag: fork | URI: sip:agent@192.0.2.20:5099;a=b
401 to BYE | WWW-Authenticate: Digest realm="agents", nonce="n2", stale=true -> nothing ; state confirmed`))
}

// A BYE that is challenged is sent once more with credentials, whether its realm is known or new.
func TestUACByeChallenged(t *testing.T) {
	for begin, seq := range map[string]int{"401 agent | TARGET ; ": 3, "": 2} {
		plays(t, challenges.Replace(`
uac auth
`+begin+`200 agent ; hangup caller_hangup
BYE has CSeq: `+fmt.Sprint(seq)+` BYE
+10s ; 401 to BYE | TARGET2 -> BYE
BYE has CSeq: `+fmt.Sprint(seq+1)+` BYE | Digest: agents n2 1 | Tag: agent | Reason: Q.850;cause=16;text="caller_hangup" | Hop: 192.0.2.20:5099
401 to first BYE | TARGET -> nothing ; not done ; waits 32s # repeated
401 to BYE | TARGET3-STALE -> nothing ; done`))
	}
	plays(t, challenges.Replace(`
uac auth
401 agent | TARGET ; 200 agent ; hangup caller_hangup
401 to BYE | WWW-Authenticate: Basic realm="x" -> nothing ; done

uac auth
401 agent | TARGET ; 200 agent ; hangup caller_hangup
401 to BYE | X-None: 1 -> nothing ; done`))
}

// A header with credentials from the configuration stays in the INVITE. Our own credentials replace those of the INVITE
// before.
func TestUACChallengeKeepsOtherCredentials(t *testing.T) {
	lt := legOf(t, "uac auth | Authorization: Bearer x")
	lt.play(challenges.Replace("407 p | PROXY\n407 p | PROXY2-STALE\nINVITE has Authorization: Bearer x"))
	req, _ := lt.request(sip.INVITE)
	if c := siptest.SentCredentials(t, req, "Proxy-Authorization"); len(c) != 1 || c[0].Nonce != "p2" {
		t.Errorf("Proxy-Authorization %+v; want one with nonce p2", c)
	}
}
