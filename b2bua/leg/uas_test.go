package leg

import (
	"fmt"
	"net/netip"
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

// newUAS is a leg that an INVITE with these header lines made.
func newUAS(t testing.TB, headers ...string) *legTest {
	t.Helper()
	extra := ""
	for _, h := range headers {
		extra += h + "\n"
	}
	invite := siptest.Request(t, fmt.Sprintf(uasInvite, extra))
	invite.SetSource(siptest.Carrier.String())
	o := Options{Side: media.SideA, Minter: LegMint, Local: LegLocal, Agent: "Flowbridge", Peer: PeerOptions{Allow: Methods}}
	return newLegTest(t, NewUAS(o, invite, siptest.Carrier))
}

// inDialog is a request of the carrier within the dialog.
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

// uasIn brings a leg into a state.
func uasIn(t testing.TB, state string) *legTest {
	t.Helper()
	lt := newUAS(t)
	answer, ack, hangup := Answer{SDP: []byte("v=0")}, inDialog(t, "ACK", 10), Hangup{Why: cause.AgentHangup}
	switch state {
	case "proceeding":
	case "ringing":
		lt.do(Ring{Code: 180, Reason: "Ringing"})
	case "accepted":
		lt.do(answer)
	case "owed":
		lt.do(answer, hangup)
	case "confirmed":
		lt.do(answer, ack)
	case "ending":
		lt.do(answer, ack, hangup)
	case "refused":
		lt.do(Refuse{Code: 486, Reason: "Busy Here"})
	case "hung up":
		lt.do(answer, ack, inDialog(t, "BYE", 11))
	default:
		t.Fatalf("no state %q", state)
	}
	return lt
}

// What comes out of a UAS leg for every state and input: one row for each
// input, the columns as in uasStates.
func TestUASEveryStateAndInput(t *testing.T) {
	const same = "" // nothing comes out
	rows := []struct {
		name  string
		input func(t *testing.T) Input
		want  [8]string
	}{
		{
			"180", func(*testing.T) Input { return Ring{Code: 180, Reason: "Ringing"} },
			[8]string{"180/INVITE", "180/INVITE", same, same, same, same, same, same},
		},
		{
			"183 with SDP", func(*testing.T) Input { return Ring{Code: 183, Reason: "Session Progress", SDP: []byte("v=0")} },
			[8]string{"183/INVITE", "183/INVITE", same, same, same, same, same, same},
		},
		{
			"answer", func(*testing.T) Input { return Answer{SDP: []byte("v=0")} },
			[8]string{"200/INVITE", "200/INVITE", same, same, same, same, same, same},
		},
		{
			"refuse", func(*testing.T) Input { return Refuse{Code: 503, Reason: "Service Unavailable"} },
			[8]string{"503/INVITE", "503/INVITE", same, same, same, same, same, same},
		},
		{
			"hangup", func(*testing.T) Input { return Hangup{Why: cause.AgentHangup} },
			[8]string{same, same, same, same, "BYE", same, same, same},
		},
		{
			"CANCEL", func(*testing.T) Input { return CancelIn{Seq: 10} },
			[8]string{"cancelled", "cancelled", "cancelled", "cancelled", same, same, same, same},
		},
		{
			"final answer lost", func(*testing.T) Input { return FinalLost{Seq: 10} },
			[8]string{"cancelled", "cancelled", "cancelled", "cancelled", same, same, same, same},
		},
		{
			"ACK", func(t *testing.T) Input { return inDialog(t, "ACK", 10) },
			[8]string{same, same, "confirmed", "confirmed, BYE", same, same, same, same},
		},
		{
			"ACK with another CSeq", func(t *testing.T) Input { return inDialog(t, "ACK", 11) },
			[8]string{same, same, same, same, same, same, same, same},
		},
		{
			"BYE", func(t *testing.T) Input { return inDialog(t, "BYE", 12) },
			[8]string{
				"cancelled, 200/BYE, 487/INVITE", "cancelled, 200/BYE, 487/INVITE",
				"gone caller_hangup by peer, 200/BYE", "gone caller_hangup by peer, 200/BYE",
				"gone caller_hangup by peer, 200/BYE", "200/BYE", "200/BYE", "200/BYE",
			},
		},
		{
			"BYE with a lower CSeq", func(t *testing.T) Input { return inDialog(t, "BYE", 9) },
			[8]string{"500/BYE", "500/BYE", "500/BYE", "500/BYE", "500/BYE", "500/BYE", "500/BYE", "500/BYE"},
		},
		{
			"re-INVITE", func(t *testing.T) Input { return inDialog(t, "INVITE", 12) },
			[8]string{
				"500/INVITE", "500/INVITE", "confirmed, offered INVITE", "confirmed, BYE, 481/INVITE", "offered INVITE", "481/INVITE", "481/INVITE", "481/INVITE",
			},
		},
		{
			"OPTIONS", func(t *testing.T) Input { return inDialog(t, "OPTIONS", 12) },
			[8]string{
				"200/OPTIONS", "200/OPTIONS", "200/OPTIONS", "200/OPTIONS", "200/OPTIONS", "200/OPTIONS", "481/OPTIONS", "481/OPTIONS",
			},
		},
		{
			"INFO", func(t *testing.T) Input { return inDialog(t, "INFO", 12) },
			[8]string{"405/INFO", "405/INFO", "405/INFO", "405/INFO", "405/INFO", "405/INFO", "481/INFO", "481/INFO"},
		},
		{
			"OPTIONS with a lower CSeq", func(t *testing.T) Input { return inDialog(t, "OPTIONS", 9) },
			[8]string{
				"500/OPTIONS", "500/OPTIONS", "500/OPTIONS", "500/OPTIONS", "500/OPTIONS", "500/OPTIONS", "481/OPTIONS", "481/OPTIONS",
			},
		},
		{
			"our BYE failed", func(*testing.T) Input { return RequestFailed{Method: sip.BYE, Seq: 1, Cause: cause.TargetSilent} },
			[8]string{same, same, same, same, same, same, same, same},
		},
		{
			"deadline of nothing", func(*testing.T) Input { return DeadlineReached{} },
			[8]string{same, same, same, same, same, same, same, same},
		},
	}
	for _, row := range rows {
		for i, state := range uasStates {
			t.Run(row.name+"/"+state, func(t *testing.T) {
				lt := uasIn(t, state)
				lt.want(lt.do(row.input(t)), row.want[i])
			})
		}
	}
}

// The state after an input, where it is not plain from what came out.
func TestUASStateAfter(t *testing.T) {
	for _, tt := range []struct {
		state string
		input Input
		want  legState
	}{
		{"proceeding", Refuse{Code: 486}, legDone},
		{"proceeding", CancelIn{Seq: 10}, legDone},
		{"ringing", Hangup{Why: cause.Shutdown}, legProceeding},
		{"accepted", FinalLost{Seq: 10}, legDone},
		{"accepted", Hangup{Why: cause.Shutdown}, legAccepted},
		{"ending", RequestFailed{Method: sip.BYE, Seq: 1}, legDone},
		{"confirmed", RequestFailed{Method: sip.BYE, Seq: 1}, legConfirmed},
	} {
		lt := uasIn(t, tt.state)
		lt.do(tt.input)
		if lt.Leg.state != tt.want {
			t.Errorf("%s, %T: state %d; want %d", tt.state, tt.input, lt.Leg.state, tt.want)
		}
	}
}

// RFC 3261 section 13.3.1.4: the 200 is sent at T1, doubled up to T2, until
// 64*T1, when the dialog ends with BYE.
func TestUASSends200AgainUntilACK(t *testing.T) {
	lt := newUAS(t)
	lt.want(lt.do(Answer{SDP: []byte("v=0")}), "200/INVITE")
	var at []time.Duration
	for {
		got := lt.deadline()
		since := lt.now.Sub(LegStart)
		if got != "200/INVITE" {
			lt.want(got, "gone no_ack, BYE")
			if since != 32*time.Second {
				t.Errorf("BYE after %v; want 32s", since)
			}
			break
		}
		at = append(at, since/time.Millisecond)
	}
	want := []time.Duration{500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500}
	if !slices.Equal(at, want) {
		t.Errorf("200 again at %v ms; want %v", at, want)
	}
	bye, _ := lt.request(sip.BYE)
	if got := bye.GetHeader("Reason"); got == nil || !strings.Contains(got.Value(), "no_ack") {
		t.Errorf("Reason %v", got)
	}
	lt.want(lt.do(inDialog(t, "ACK", 10)), "") // too late
}

func TestUASStopsSendingWithACK(t *testing.T) {
	lt := uasIn(t, "accepted")
	lt.deadline()
	lt.do(inDialog(t, "ACK", 11)) // of something else
	if lt.Leg.Deadline().IsZero() {
		t.Error("an ACK with another CSeq stopped the 200")
	}
	lt.want(lt.do(inDialog(t, "ACK", 10)), "confirmed")
	lt.wantNoDeadline("confirmed")
	lt.want(lt.do(inDialog(t, "ACK", 10)), "") // of a retransmitted 200
}

// RFC 3261 section 15: a UAS does not send BYE before the ACK, but after
// 64*T1 without one it may.
func TestUASHangupOwedUntilACK(t *testing.T) {
	lt := uasIn(t, "owed")
	lt.want(lt.deadline(), "200/INVITE")
	lt.want(lt.do(Hangup{Why: cause.Shutdown}), "")
	lt.want(lt.do(inDialog(t, "ACK", 10)), "confirmed, BYE")
	lt.want(lt.do(responseTo(t, lt, sip.BYE, 200, "OK")), "")
	lt.wantDone("after the answer to its BYE")

	lt = uasIn(t, "owed")
	lt.now = lt.now.Add(32 * time.Second)
	lt.want(lt.do(DeadlineReached{}), "gone no_ack, BYE")
}

// RFC 3261 section 13.3.1.1: a provisional answer each minute keeps proxies
// from giving the INVITE up.
func TestUASRepeatsProvisionalEachMinute(t *testing.T) {
	lt := newUAS(t)
	if !lt.Leg.Deadline().IsZero() {
		t.Error("leg without provisional answer waits for something")
	}
	lt.do(Ring{Code: 180, Reason: "Ringing"})
	for i := 1; i <= 3; i++ {
		lt.want(lt.deadline(), "180/INVITE")
		if got, want := lt.now.Sub(LegStart), time.Duration(i)*time.Minute; got != want {
			t.Errorf("180 again after %v; want %v", got, want)
		}
	}
	lt.now = lt.now.Add(10 * time.Second)
	lt.do(Ring{Code: 183, Reason: "Session Progress", SDP: []byte("v=0")})
	lt.want(lt.deadline(), "183/INVITE")
	if string(lt.response().Body()) != "v=0" {
		t.Error("the 183 came again without its SDP")
	}
	lt.do(Refuse{Code: 486, Reason: "Busy Here"})
	if !lt.Leg.Deadline().IsZero() {
		t.Error("a refused INVITE still waits")
	}
}

func TestUASAnswerForm(t *testing.T) {
	lt := newUAS(t, "Record-Route: <sip:p1.example;lr>, <sip:p2.example;lr>", "Record-Route: <sip:p3.example;lr>")
	lt.do(Ring{Code: 180, Reason: "Ringing"})
	for _, code := range []int{180, 200} {
		if code == 200 {
			lt.do(Answer{SDP: []byte("v=0\r\n")})
			if got := lt.response().ContentType(); got == nil || got.Value() != "application/sdp" {
				t.Errorf("Content-Type %v", got)
			}
		}
		res := lt.response()
		if got := message.TagOf(res.To().Params); got != "ours" {
			t.Errorf("%d has To tag %q", code, got)
		}
		if got := res.Contact(); got == nil || got.Value() != "<sip:198.51.100.1:5060>" {
			t.Errorf("%d has Contact %v", code, got)
		}
		var routes []string
		for _, h := range res.GetHeaders("record-route") {
			routes = append(routes, h.Value())
		}
		if want := []string{"<sip:p1.example;lr>", "<sip:p2.example;lr>", "<sip:p3.example;lr>"}; !slices.Equal(routes, want) {
			t.Errorf("%d has Record-Route %v; want %v", code, routes, want)
		}
	}
	lt = newUAS(t)
	lt.do(Refuse{Code: 503, Reason: "Service Unavailable", Headers: []sip.Header{RetryAfter()}})
	res := lt.response()
	if res.Contact() != nil || res.GetHeader("Retry-After").Value() != "5" {
		t.Errorf("503:\n%s", res)
	}
}

// Our BYE to the carrier follows the route set in the order of Record-Route
// (RFC 3261 section 12.1.1), loosely or by way of a strict router (section
// 12.2.1.1).
func TestUASRequestRouting(t *testing.T) {
	contact := "sip:ann@192.0.2.10:5070;x=y"
	for _, tt := range []struct {
		name      string
		headers   []string
		recipient string
		routes    []string
		to        Hop
	}{
		{"no route", nil, contact, nil, Hop{Addr: netip.MustParseAddrPort("192.0.2.10:5070")}},
		{
			"loose",
			[]string{"Record-Route: <sip:192.0.2.1;lr>", "Record-Route: <sip:p2.example;lr>"},
			contact,
			[]string{"<sip:192.0.2.1;lr>", "<sip:p2.example;lr>"},
			Hop{Addr: netip.MustParseAddrPort("192.0.2.1:5060")},
		},
		{
			"several values in one header",
			[]string{"Record-Route: <sip:p1.example:5080;lr;a=b>, <sip:p2.example;lr>"},
			contact,
			[]string{"<sip:p1.example:5080;lr;a=b>", "<sip:p2.example;lr>"},
			Hop{Host: "p1.example", Port: 5080},
		},
		{
			"strict",
			[]string{"Record-Route: <sip:192.0.2.1:5090>, <sip:p2.example;lr>"},
			"sip:192.0.2.1:5090",
			[]string{"<sip:p2.example;lr>", "<" + contact + ">"},
			Hop{Addr: netip.MustParseAddrPort("192.0.2.1:5090")},
		},
		{
			"strict alone",
			[]string{"Record-Route: <sip:192.0.2.1>"},
			"sip:192.0.2.1",
			[]string{"<" + contact + ">"},
			Hop{Addr: netip.MustParseAddrPort("192.0.2.1:5060")},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			lt := newUAS(t, tt.headers...)
			lt.do(Answer{SDP: []byte("v=0")}, inDialog(t, "ACK", 10))
			lt.want(lt.do(Hangup{Why: cause.AgentHangup}), "BYE")
			bye, to := lt.request(sip.BYE)
			checkRouting(t, bye, to, tt.recipient, tt.routes, tt.to)
			if got := bye.CSeq().SeqNo; got != 1 {
				t.Errorf("CSeq %d; want 1: ours are counted by themselves", got)
			}
		})
	}
}

func checkRouting(t *testing.T, req *sip.Request, to Hop, recipient string, routes []string, next Hop) {
	t.Helper()
	if got := req.Recipient.String(); got != recipient {
		t.Errorf("Request-URI %s; want %s", got, recipient)
	}
	var got []string
	for _, h := range req.GetHeaders("route") {
		got = append(got, h.Value())
	}
	if !slices.Equal(got, routes) {
		t.Errorf("Route %v; want %v", got, routes)
	}
	if to.back = nil; to != next {
		t.Errorf("goes to %+v; want %+v", to, next)
	}
}

// responseTo answers the request of ours that came out last.
func responseTo(t testing.TB, lt *legTest, method sip.RequestMethod, code int, reason string) ResponseIn {
	t.Helper()
	req, _ := lt.request(method)
	return ResponseIn{Res: sip.NewResponseFromRequest(req, code, reason, nil), Source: siptest.Carrier}
}

// A re-INVITE stands for the ACK that it has overtaken; one that comes before
// the last is answered is told when to try again (RFC 3261 section 14.2).
func TestUASReinvitePending(t *testing.T) {
	lt := uasIn(t, "accepted")
	lt.want(lt.do(inDialog(t, "INVITE", 11)), "confirmed, offered INVITE")
	lt.want(lt.do(inDialog(t, "ACK", 10)), "")
	lt.want(lt.do(inDialog(t, "INVITE", 12)), "500/INVITE")
	if lt.response().GetHeader("Retry-After") == nil {
		t.Error("500 without Retry-After")
	}
	lt.want(lt.do(Reject{Code: 488, Reason: "Not Acceptable Here"}), "488/INVITE")
	lt.want(lt.do(inDialog(t, "INVITE", 13)), "offered INVITE")
	lt.want(lt.do(Reject{Code: 488, Reason: "Not Acceptable Here"}), "488/INVITE")
	lt.want(lt.do(inDialog(t, "ACK", 13)), "")
	lt.want(lt.do(inDialog(t, "OPTIONS", 12)), "500/OPTIONS") // older than the re-INVITE
	lt.want(lt.do(inDialog(t, "OPTIONS", 14)), "200/OPTIONS")
	if got := lt.response().GetHeader("Allow"); got == nil || got.Value() != Methods {
		t.Errorf("Allow %v", got)
	}
}

func TestByeReasonIsRead(t *testing.T) {
	lt := uasIn(t, "confirmed")
	in := inDialog(t, "BYE", 11, `Reason: SIP;cause=200;text="x"`, `Reason: Q.850;cause=19;text="no answer"`)
	facts, _ := lt.Leg.Step(lt.now, in)
	if g, ok := facts[0].(Gone); !ok || g.Q850 != 19 || !g.ByPeer {
		t.Errorf("facts %+v", facts)
	}
}
