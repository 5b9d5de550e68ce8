package leg

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/media"
	"flowbridge/sim/siptest"
)

// newUAC returns a leg that has not sent its INVITE yet.
func newUAC(t testing.TB) *legTest {
	t.Helper()
	o := Options{Side: media.SideB, Minter: LegMint, Local: LegLocal, Peer: PeerOptions{Allow: AllowHeader(Methods)}}
	return newLegTest(t, NewUAC(o, "uac-test", "<sip:+15075550100@198.51.100.1>", "<sip:+15075785607@192.0.2.20:32681>"))
}

func inviteOut(headers ...sip.Header) Invite {
	req := sip.NewRequest(sip.INVITE, message.ParseURI("sip:+15075785607@192.0.2.20:32681"))
	mf := sip.MaxForwardsHeader(69)
	req.AppendHeader(&mf)
	for _, h := range headers {
		req.AppendHeader(h)
	}
	req.AppendHeader(ContentSDP)
	req.SetBody([]byte("v=0\r\n"))
	return Invite{Request: req, Offer: req.Body(), Dest: siptest.Agent, FirstResponse: 4 * time.Second, RingTimeout: time.Minute}
}

// answerTo returns a response to the leg's INVITE, parsed from text.
func (lt *legTest) answerTo(code int, tag, body string, headers ...string) ResponseIn {
	lt.t.Helper()
	invite := lt.invite
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d Whatever\nVia: %s\nFrom: %s\nTo: %s\nCall-ID: %s\nCSeq: %s\n", code,
		invite.Via().Value(), invite.From().Value(), message.WithTag(invite.To().Value(), tag), invite.CallID().Value(), invite.CSeq().Value())
	for _, h := range headers {
		b.WriteString(h + "\n")
	}
	if body != "" {
		b.WriteString("Content-Type: application/sdp\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\n\n%s", len(body), body)
	msg, err := sip.ParseMessage([]byte(strings.ReplaceAll(b.String(), "\n", "\r\n")))
	if err != nil {
		lt.t.Fatal(err)
	}
	return ResponseIn{Res: msg.(*sip.Response), Source: siptest.Agent}
}

func (lt *legTest) ok(tag string, headers ...string) ResponseIn {
	lt.t.Helper()
	if len(headers) == 0 {
		headers = []string{"Contact: <sip:agent@192.0.2.20:5099;a=b>"}
	}
	return lt.answerTo(200, tag, "v=0", headers...)
}

var uacStates = []string{"idle", "calling", "proceeding", "owed", "cancelled", "confirmed", "ending", "refused", "hung up"}

// uacIn returns a calling leg in this state.
func uacIn(t testing.TB, state string) *legTest {
	t.Helper()
	return legOf(t, "uac "+state)
}

var uacState = map[string]string{ //nolint:gochecknoglobals // constant
	"idle": "", "calling": "invite", "proceeding": "invite ; 180 agent",
	"owed": "invite ; abandon ring_timeout", "cancelled": "invite ; 180 agent ; abandon ring_timeout",
	"confirmed": "invite ; 200 agent", "ending": "invite ; 200 agent ; hangup caller_hangup",
	"refused": "invite ; 486 agent", "hung up": "invite ; 200 agent ; BYE 5",
}

// agentDialog returns a request of the agent within the dialog, as an input.
func agentDialog(t testing.TB, lt *legTest, method string, seq uint32, headers ...string) RequestIn {
	t.Helper()
	extra := ""
	for _, h := range headers {
		extra += h + "\n"
	}
	return RequestIn{Source: siptest.Agent, Req: siptest.Request(t, fmt.Sprintf(`%[1]s sip:198.51.100.1:5060 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.20:32681;branch=z9hG4bKa%[1]s%[2]d
Max-Forwards: 70
From: <sip:+15075785607@192.0.2.20:32681>;tag=agent
To: <sip:+15075550100@198.51.100.1>;tag=%[3]s
Call-ID: uac-test
CSeq: %[2]d %[1]s
%[4]sContent-Length: 0

`, method, seq, lt.Leg.dialog.LocalTag, extra))}
}

// The output of a UAC leg for every state and input: one row for each input, the columns as in uacStates; ".": nothing.
// "-": a request within a dialog that the peer can't know of yet, an answer to an INVITE that was not sent.
func TestUACEveryStateAndInput(t *testing.T) {
	everyStateAndInput(t, uacIn, uacStates, `
invite: INVITE / . / . / . / . / . / . / . / .
100: - / . / . / CANCEL / . / . / . / . / .
180 agent: - / progress 180 / progress 180 / CANCEL / . / . / . / . / .
183 agent sdp: - / progress 183+sdp / progress 183+sdp / CANCEL / . / . / . / . / .
200 agent: - / answered+sdp, ACK / answered+sdp, ACK / ACK, BYE / ACK, BYE / ACK / ACK / ACK, BYE / ACK
200 fork: - / answered+sdp, ACK / answered+sdp, ACK / ACK, BYE / ACK, BYE / ACK, BYE / ACK, BYE / ACK, BYE / ACK, BYE
486 agent: - / refused 486 target_busy / refused 486 target_busy / . / . / . / . / . / .
failed INVITE target_unreachable: . / refused 0 target_unreachable / refused 0 target_unreachable / . / . / . / . / . / .
failed CANCEL: . / . / . / . / . / . / . / . / .
failed BYE: . / . / . / . / . / . / . / . / .
abandon caller_cancelled: . / . / CANCEL / . / . / . / . / . / .
hangup caller_hangup: . / . / . / . / . / BYE / . / . / .
INVITE 6: - / - / 491~INVITE / - / - / offered INVITE / 481~INVITE / 481~INVITE / 481~INVITE
OPTIONS 6: - / - / 200~OPTIONS / - / - / 200~OPTIONS / 200~OPTIONS / 481~OPTIONS / 481~OPTIONS
UPDATE 6: - / - / 200~UPDATE / - / - / 200~UPDATE / 481~UPDATE / 481~UPDATE / 481~UPDATE
due: . / . / . / . / . / . / . / . / .`)
}

func TestUACBye(t *testing.T) {
	plays(t, `
uac confirmed
BYE 7 -> gone agent_hangup by peer, 200/BYE ; done

uac ending
BYE 7 -> 200/BYE ; done

uac refused
BYE 7 -> 200/BYE ; done

uac hung up
BYE 7 -> 200/BYE ; done

uac confirmed
OPTIONS 7 ; BYE 6 -> 500/BYE`)
}

func TestUACInviteForm(t *testing.T) {
	lt := newUAC(t)
	lt.do(inviteOut(sip.NewHeader("X-EI", "S.1;"), ContentSDP))
	req, to := lt.request(sip.INVITE)
	if to != (Hop{Addr: siptest.Agent}) {
		t.Errorf("goes to %+v", to)
	}
	for name, want := range map[string]string{
		"From": "<sip:+15075550100@198.51.100.1>;tag=" + lt.Leg.dialog.LocalTag, "To": "<sip:+15075785607@192.0.2.20:32681>",
		"Call-ID": "uac-test", "CSeq": "1 INVITE", "Contact": "<sip:198.51.100.1:5060>", "Max-Forwards": "69", "X-EI": "S.1;",
	} {
		h := req.GetHeaders(name)
		if len(h) != 1 || h[0].Value() != want {
			t.Errorf("%s: %v; want %q once", name, h, want)
		}
	}
	via := req.Via()
	if _, ok := via.Params.Get("rport"); !ok || via.Host != "198.51.100.1" || via.Port != 5060 {
		t.Errorf("Via %s", via.Value())
	}
	if !LegMint.OwnsTag([]byte(lt.Leg.dialog.LocalTag)) {
		t.Error("our tag is not minted")
	}
}

// RFC 3261 section 9.1: a CANCEL equals the INVITE in all parts that identify the transaction, and has the same Route
// (checkOfInvite).
func TestUACCancelForm(t *testing.T) {
	plays(t, `
uac called | Route: <sip:192.0.2.99;lr> | Route: <sip:p2.example;lr>
183 agent sdp ; abandon ring_timeout -> CANCEL
CANCEL has CSeq: 1 CANCEL | Tag:  | Route: <sip:192.0.2.99;lr>, <sip:p2.example;lr> | Require:  | Proxy-Require:  | Contact:  | Content-Type:
180 agent -> nothing
487 agent -> nothing ; done`)
}

// A CANCEL waits for the first provisional answer, because RFC 3261 allows it only after that.
func TestUACCancelOwed(t *testing.T) {
	plays(t, `
uac calling
abandon setup_timeout -> nothing
+7s ; 100 -> CANCEL

uac calling
abandon setup_timeout -> nothing
+7s ; 180 -> CANCEL

uac owed
404 x -> nothing ; done

uac owed
failed INVITE ; done`)
}

// If a CANCEL has no effect, the leg waits for 64*T1 (RFC 3261 section 9.1). A 200 is acknowledged even after that.
func TestUACCancelUnheeded(t *testing.T) {
	plays(t, `
uac proceeding
+5s ; abandon caller_cancelled ; deadline 37s -> nothing ; done
200 agent -> ACK, BYE`)
}

func TestUACFirstAnswerAndRingTimers(t *testing.T) {
	plays(t, `
uac calling
deadline 4s -> refused 0 target_silent
100 -> CANCEL

uac calling
+3s ; 100 ; deadline 1m0s -> refused 0 ring_timeout, CANCEL

uac calling
+3s ; 180 ; deadline 1m0s -> refused 0 ring_timeout, CANCEL

uac
invite first=0s ring=0s ; no deadline

uac
invite first=10s ring=5s ; deadline 5s -> refused 0 ring_timeout

uac confirmed
no deadline`)
}

// The dialog ends with our BYE, whatever the answer to the BYE is (RFC 3261 section 15.1.1).
func TestUACByeAnswered(t *testing.T) {
	for _, code := range []int{200, 404, 408, 481, 503} {
		uacIn(t, "ending").play(fmt.Sprintf("100 to BYE -> nothing ; not done ; %d to BYE -> nothing ; done", code))
	}
	uacIn(t, "ending").play("failed BYE ; done")
}

func TestUACIgnoresResponsesToOthers(t *testing.T) {
	lt := uacIn(t, "proceeding")
	in := lt.ok("agent")
	in.Res.CSeq().SeqNo = 2
	lt.want(lt.do(in), "")
	in = lt.ok("agent")
	in.Res.CSeq().MethodName = sip.OPTIONS
	lt.want(lt.do(in), "")
	in = lt.ok("agent")
	in.Res.RemoveHeader("CSeq")
	lt.want(lt.do(in), "")
	in = lt.ok("agent")
	in.Res.RemoveHeader("To")
	lt.want(lt.do(in), "")
	if lt.Leg.state != legProceeding {
		t.Errorf("state %d", lt.Leg.state)
	}
}

func TestUACRefusedCarriesReason(t *testing.T) {
	lt := uacIn(t, "proceeding")
	in := lt.answerTo(480, "agent", "", "Reason: Q.850;cause=20")
	facts, _ := lt.Leg.Step(lt.now, in)
	want := Refused{Code: 480, Reason: "Whatever", Cause: cause.TargetRefused, Q850: 20, Headers: in.Res.Headers()}
	if len(facts) != 1 || !reflect.DeepEqual(facts[0], Fact(want)) {
		t.Errorf("facts %+v; want %+v", facts, want)
	}
}

// A body in the answer that is not SDP is ignored.
func TestUACAnswerWithOtherBody(t *testing.T) {
	lt := uacIn(t, "calling")
	in := lt.ok("agent")
	in.Res.RemoveHeader("Content-Type")
	in.Res.AppendHeader(sip.NewHeader("Content-Type", "text/plain"))
	lt.want(lt.do(in), "answered, ACK")
}

// RFC 3261 section 9.1: an abandoned INVITE whose CANCEL is still to be sent has a deadline. Its transaction stops its
// timers with the first response, even one that the leg ignores (another CSeq, no To), so without a deadline the leg
// would stay for ever.
func TestOwedCancelHasDeadline(t *testing.T) { plays(t, "uac owed\nwaits 32s") }

// RFC 3261 section 8.2.6.2: a target whose 200 has no To tag (RFC 2543) may answer BYE with one. That must not be taken
// for an answer to a fork's BYE, or the leg would stay for ever.
func TestAnswerToByeWithNewTag(t *testing.T) {
	plays(t, "uac calling\n200 ; hangup caller_hangup ; 200 to BYE ; done") // the library adds a tag, as a peer may
}
