package leg

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/internal/siptest"
	"flowbridge/media"
)

// newUAC is a leg that has not called yet.
func newUAC(t testing.TB) *legTest {
	t.Helper()
	o := Options{Side: media.SideB, Minter: LegMint, Local: LegLocal, Agent: "Flowbridge", Peer: PeerOptions{Allow: Methods}}
	return newLegTest(t, NewUAC(o, "uac-test", "<sip:+15075550100@198.51.100.1>", "<sip:+15075785607@192.0.2.20:32681>"))
}

func inviteOut(headers ...sip.Header) Invite {
	req := sip.NewRequest(sip.INVITE, message.ParseURI("sip:+15075785607@192.0.2.20:32681"))
	mf := sip.MaxForwardsHeader(69)
	req.AppendHeader(&mf)
	for _, h := range headers {
		req.AppendHeader(h)
	}
	req.AppendHeader(contentSDP())
	req.SetBody([]byte("v=0\r\n"))
	return Invite{Request: req, Offer: req.Body(), Dest: siptest.Agent, FirstResponse: 4 * time.Second, RingTimeout: time.Minute}
}

// answerTo is a response to the leg's INVITE as it comes from the wire.
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

// uacIn brings a leg into a state.
func uacIn(t testing.TB, state string) *legTest {
	t.Helper()
	lt := newUAC(t)
	if state == "idle" {
		return lt
	}
	lt.do(inviteOut())
	switch state {
	case "calling":
	case "proceeding":
		lt.do(lt.answerTo(180, "agent", ""))
	case "owed":
		lt.do(Abandon{Why: cause.RingTimeout})
	case "cancelled":
		lt.do(lt.answerTo(180, "agent", ""), Abandon{Why: cause.RingTimeout})
	case "confirmed":
		lt.do(lt.ok("agent"))
	case "ending":
		lt.do(lt.ok("agent"), Hangup{Why: cause.CallerHangup})
	case "refused":
		lt.do(lt.answerTo(486, "agent", ""))
	case "hung up":
		lt.do(lt.ok("agent"), agentDialog(t, lt, "BYE", 5))
	default:
		t.Fatalf("no state %q", state)
	}
	return lt
}

// agentDialog is a request of the agent within the dialog.
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

// What comes out of a UAC leg for every state and input: one row for each
// input, the columns as in uacStates.
func TestUACEveryStateAndInput(t *testing.T) {
	const same = ""
	type inputOf func(lt *legTest) Input
	rows := []struct {
		name  string
		input inputOf
		want  [9]string
	}{
		{
			"invite", func(*legTest) Input { return inviteOut() },
			[9]string{"INVITE", same, same, same, same, same, same, same, same},
		},
		{
			"100", func(lt *legTest) Input { return lt.answerTo(100, "", "") },
			[9]string{"", same, same, "CANCEL", same, same, same, same, same},
		},
		{
			"180", func(lt *legTest) Input { return lt.answerTo(180, "agent", "") },
			[9]string{"", "progress 180", "progress 180", "CANCEL", same, same, same, same, same},
		},
		{
			"183 with SDP", func(lt *legTest) Input { return lt.answerTo(183, "agent", "v=0") },
			[9]string{"", "progress 183+sdp", "progress 183+sdp", "CANCEL", same, same, same, same, same},
		},
		{
			"200", func(lt *legTest) Input { return lt.ok("agent") },
			[9]string{"", "answered+sdp, ACK", "answered+sdp, ACK", "ACK, BYE", "ACK, BYE", "ACK", "ACK", "ACK, BYE", "ACK"},
		},
		{
			"200 of a fork", func(lt *legTest) Input { return lt.ok("fork") },
			[9]string{"", "answered+sdp, ACK", "answered+sdp, ACK", "ACK, BYE", "ACK, BYE", "ACK, BYE", "ACK, BYE", "ACK, BYE", "ACK, BYE"},
		},
		{
			"486", func(lt *legTest) Input { return lt.answerTo(486, "agent", "") },
			[9]string{"", "refused 486 target_busy", "refused 486 target_busy", same, same, same, same, same, same},
		},
		{"INVITE failed", func(*legTest) Input {
			return RequestFailed{Method: sip.INVITE, Seq: 1, Cause: cause.TargetUnreachable}
		}, [9]string{same, "refused 0 target_unreachable", "refused 0 target_unreachable", same, same, same, same, same, same}},
		{
			"CANCEL failed", func(*legTest) Input { return RequestFailed{Method: sip.CANCEL, Seq: 1, Cause: cause.TargetSilent} },
			[9]string{same, same, same, same, same, same, same, same, same},
		},
		{
			"BYE failed", func(*legTest) Input { return RequestFailed{Method: sip.BYE, Seq: 2, Cause: cause.TargetSilent} },
			[9]string{same, same, same, same, same, same, same, same, same},
		},
		{
			"abandon", func(*legTest) Input { return Abandon{Why: cause.CallerCancelled} },
			[9]string{same, same, "CANCEL", same, same, same, same, same, same},
		},
		{
			"hangup", func(*legTest) Input { return Hangup{Why: cause.CallerHangup} },
			[9]string{same, same, same, same, same, "BYE", same, same, same},
		},
		{
			"re-INVITE", func(lt *legTest) Input { return agentDialog(lt.t, lt, "INVITE", 6) },
			[9]string{"", "", "491/INVITE", "", "", "offered INVITE", "481/INVITE", "481/INVITE", "481/INVITE"},
		},
		{
			"OPTIONS", func(lt *legTest) Input { return agentDialog(lt.t, lt, "OPTIONS", 6) },
			[9]string{"", "", "200/OPTIONS", "", "", "200/OPTIONS", "200/OPTIONS", "481/OPTIONS", "481/OPTIONS"},
		},
		{
			"UPDATE", func(lt *legTest) Input { return agentDialog(lt.t, lt, "UPDATE", 6) },
			[9]string{"", "", "200/UPDATE", "", "", "200/UPDATE", "481/UPDATE", "481/UPDATE", "481/UPDATE"},
		},
		{
			"deadline of nothing", func(*legTest) Input { return DeadlineReached{} },
			[9]string{same, same, same, same, same, same, same, same, same},
		},
	}
	// A request within a dialog that the peer can't know of yet is left out.
	skip := func(row, state string) bool {
		early := state == "idle" || state == "calling" || state == "owed" || state == "cancelled"
		in := row == "re-INVITE" || row == "OPTIONS" || row == "UPDATE"
		answer := row == "100" || row == "180" || row == "183 with SDP" || row == "200" || row == "200 of a fork" || row == "486"
		return early && in || state == "idle" && answer
	}
	for _, row := range rows {
		for i, state := range uacStates {
			if skip(row.name, state) {
				continue
			}
			t.Run(row.name+"/"+state, func(t *testing.T) {
				lt := uacIn(t, state)
				lt.want(lt.do(row.input(lt)), row.want[i])
			})
		}
	}
}

func TestUACBye(t *testing.T) {
	for state, want := range map[string]string{
		"confirmed": "gone agent_hangup by peer, 200/BYE", "ending": "200/BYE", "refused": "200/BYE", "hung up": "200/BYE",
	} {
		lt := uacIn(t, state)
		lt.want(lt.do(agentDialog(t, lt, "BYE", 7)), want)
		if !lt.Leg.Done() {
			t.Errorf("%s: not done after BYE", state)
		}
	}
	lt := uacIn(t, "confirmed")
	lt.do(agentDialog(t, lt, "OPTIONS", 7))
	lt.want(lt.do(agentDialog(t, lt, "BYE", 6)), "500/BYE")
}

func TestUACInviteForm(t *testing.T) {
	lt := newUAC(t)
	lt.do(inviteOut(sip.NewHeader("X-EI", "S.1;"), contentSDP()))
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

// RFC 3261 section 9.1: a CANCEL is the INVITE's in all that makes the
// transaction, with its Route.
func TestUACCancelForm(t *testing.T) {
	lt := newUAC(t)
	lt.do(inviteOut(sip.NewHeader("Route", "<sip:192.0.2.99;lr>"), sip.NewHeader("Route", "<sip:p2.example;lr>")))
	invite, inviteTo := lt.request(sip.INVITE)
	lt.do(lt.answerTo(183, "agent", "v=0"))
	lt.want(lt.do(Abandon{Why: cause.RingTimeout}), "CANCEL")
	cancel, to := lt.request(sip.CANCEL)
	if to != inviteTo {
		t.Errorf("CANCEL goes to %+v, the INVITE went to %+v", to, inviteTo)
	}
	if cancel.Recipient.String() != invite.Recipient.String() {
		t.Errorf("Request-URI %s; want %s", cancel.Recipient.String(), invite.Recipient.String())
	}
	for _, name := range []string{"Via", "From", "To", "Call-ID", "Route"} {
		var got, want []string
		for _, h := range cancel.GetHeaders(name) {
			got = append(got, h.Value())
		}
		for _, h := range invite.GetHeaders(name) {
			want = append(want, h.Value())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s %v; want %v", name, got, want)
		}
	}
	if got := cancel.CSeq(); got.SeqNo != 1 || got.MethodName != sip.CANCEL {
		t.Errorf("CSeq %s", got.Value())
	}
	if message.TagOf(cancel.To().Params) != "" {
		t.Error("CANCEL has the To tag of a provisional answer")
	}
	for _, name := range []string{"Require", "Proxy-Require", "Contact", "Content-Type"} {
		if h := cancel.GetHeader(name); h != nil {
			t.Errorf("CANCEL has %s: %s", h.Name(), h.Value())
		}
	}
	lt.want(lt.do(lt.answerTo(180, "agent", "")), "") // no second CANCEL
	lt.want(lt.do(lt.answerTo(487, "agent", "")), "")
	lt.wantDone("after 487")
}

// Before the first provisional answer a CANCEL may not be sent.
func TestUACCancelOwed(t *testing.T) {
	for _, code := range []int{100, 180} {
		lt := uacIn(t, "calling")
		lt.want(lt.do(Abandon{Why: cause.SetupTimeout}), "")
		lt.now = lt.now.Add(7 * time.Second)
		lt.want(lt.do(lt.answerTo(code, "", "")), "CANCEL")
	}
	lt := uacIn(t, "owed")
	lt.want(lt.do(lt.answerTo(404, "x", "")), "")
	lt.wantDone("after the final answer to an INVITE that was given up")
	lt = uacIn(t, "owed")
	lt.do(RequestFailed{Method: sip.INVITE, Seq: 1, Cause: cause.TargetSilent})
	lt.wantDone("after the INVITE timed out")
}

// A CANCEL that nobody heeds ends the waiting after 64*T1 (RFC 3261 section
// 9.1).
func TestUACCancelUnheeded(t *testing.T) {
	lt := uacIn(t, "proceeding")
	lt.now = lt.now.Add(5 * time.Second)
	begin := lt.now
	lt.do(Abandon{Why: cause.CallerCancelled})
	lt.want(lt.deadline(), "")
	if got := lt.now.Sub(begin); got != 32*time.Second || !lt.Leg.Done() {
		t.Errorf("given up after %v, done %v; want 32s", got, lt.Leg.Done())
	}
	lt.want(lt.do(lt.ok("agent")), "ACK, BYE") // even then
}

func TestUACFirstAnswerAndRingTimers(t *testing.T) {
	lt := uacIn(t, "calling")
	lt.want(lt.deadline(), "refused 0 target_silent")
	if got := lt.now.Sub(LegStart); got != 4*time.Second {
		t.Errorf("silent after %v; want 4s", got)
	}
	lt.want(lt.do(lt.answerTo(100, "", "")), "CANCEL")

	for _, first := range []int{100, 180} {
		lt = uacIn(t, "calling")
		lt.now = lt.now.Add(3 * time.Second)
		lt.do(lt.answerTo(first, "", ""))
		lt.want(lt.deadline(), "refused 0 ring_timeout, CANCEL")
		if got := lt.now.Sub(LegStart); got != time.Minute {
			t.Errorf("rang for %v; want 1m", got)
		}
	}

	lt = newUAC(t)
	in := inviteOut()
	in.FirstResponse, in.RingTimeout = 0, 0
	lt.do(in)
	lt.wantNoDeadline("without limits")

	lt = newUAC(t)
	in = inviteOut()
	in.FirstResponse, in.RingTimeout = 10*time.Second, 5*time.Second
	lt.do(in)
	lt.want(lt.deadline(), "refused 0 ring_timeout")

	lt = uacIn(t, "confirmed")
	lt.wantNoDeadline("confirmed")
}

// Whatever answers our BYE, the dialog is over (RFC 3261 section 15.1.1).
func TestUACByeAnswered(t *testing.T) {
	for code, done := range map[int]bool{100: false, 200: true, 404: true, 408: true, 481: true, 503: true} {
		lt := uacIn(t, "confirmed")
		lt.do(Hangup{Why: cause.CallerHangup})
		bye, _ := lt.request(sip.BYE)
		lt.want(lt.do(responseToBye(bye, code)), "")
		if lt.Leg.Done() != done {
			t.Errorf("after %d done is %v", code, lt.Leg.Done())
		}
	}
	lt := uacIn(t, "ending")
	lt.do(RequestFailed{Method: sip.BYE, Seq: 2, Cause: cause.TargetSilent})
	lt.wantDone("after a BYE without an answer")
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

// A body that is no SDP is none.
func TestUACAnswerWithOtherBody(t *testing.T) {
	lt := uacIn(t, "calling")
	in := lt.ok("agent")
	in.Res.RemoveHeader("Content-Type")
	in.Res.AppendHeader(sip.NewHeader("Content-Type", "text/plain"))
	lt.want(lt.do(in), "answered, ACK")
}

// RFC 3261 section 9.1: a given-up INVITE whose CANCEL is still owed has no
// deadline. Its transaction stops its own timers with the first response, also
// one that the leg ignores (another CSeq, no To), and then the leg, its
// goroutine and the transaction stay for ever.
func TestOwedCancelHasNoDeadline(t *testing.T) {
	lt := uacIn(t, "owed")
	if lt.Leg.Deadline().IsZero() {
		t.Error("a leg that owes a CANCEL waits for nothing")
	}
}

// RFC 3261 section 8.2.6.2: a target whose 200 has no To tag (RFC 2543) may
// answer BYE with one. The leg takes that for the answer to a fork's BYE, has
// no deadline and stays for ever.
func TestAnswerToByeWithNewTag(t *testing.T) {
	lt := uacIn(t, "calling")
	lt.do(lt.ok(""), Hangup{Why: cause.CallerHangup})
	in := responseTo(t, lt, "BYE", 200, "OK") // the library adds a tag, as a peer would
	lt.do(in)
	lt.wantDone("after the answer to BYE")
}
