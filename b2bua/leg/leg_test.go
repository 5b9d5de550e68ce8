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
	"flowbridge/sim/siptest"
)

var (
	LegStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	LegLocal = Local{Listen: siptest.Ours, Host: "198.51.100.1", Port: 5060}
	LegMint  = message.NewMinter([32]byte{1, 2, 3})
)

// legTest drives one leg. After every step it checks the rules that hold for any leg.
type legTest struct {
	t     testing.TB
	Leg   *Leg
	now   time.Time
	fed   map[string]int  // number of requests that the leg got, by method and CSeq
	final map[string]int  // number of final answers that the leg sent, by method and CSeq
	codes map[string]int  // status of the final answer to the INVITE
	seqs  map[string]int  // CSeq of the leg's last request, by To tag
	acked map[string]bool // To tags whose 200 got an ACK
	ours  map[int]bool    // CSeqs of the leg's own INVITEs

	cancelled map[string]bool        // the peer's re-INVITEs that were cancelled
	twice     map[*sip.Response]bool // repeated 200s to the peer's re-INVITEs
	last      []Effect
	invite    *sip.Request                       // the leg's last INVITE
	sent      map[sip.RequestMethod]*sip.Request // the leg's last request of each method
	sentFirst map[sip.RequestMethod]*sip.Request
	rseq      uint32 // RSeq of the leg's first reliable answer
}

func newLegTest(t testing.TB, leg *Leg) *legTest {
	return &legTest{
		t: t, Leg: leg, now: LegStart, fed: map[string]int{}, final: map[string]int{}, codes: map[string]int{},
		seqs: map[string]int{}, acked: map[string]bool{}, ours: map[int]bool{},
		cancelled: map[string]bool{}, twice: map[*sip.Response]bool{}, sent: map[sip.RequestMethod]*sip.Request{}, sentFirst: map[sip.RequestMethod]*sip.Request{},
	}
}

// step gives the leg one input, and returns its output. It remembers the leg's INVITE, because the leg does not.
func (lt *legTest) step(in Input) ([]Fact, []Effect) {
	facts, effects := lt.Leg.Step(lt.now, in)
	if lt.Leg.setup != nil && lt.Leg.invite != nil {
		lt.invite = lt.Leg.invite
	}
	return facts, effects
}

// do gives the leg several inputs, and returns the output of the last one as text.
func (lt *legTest) do(inputs ...Input) string {
	lt.t.Helper()
	shown := ""
	for _, in := range inputs {
		was := lt.Leg.state
		if r, ok := in.(RequestIn); ok {
			lt.fed[key(r.Req.Method, r.Req.CSeq().SeqNo)]++
		}
		facts, effects := lt.step(in)
		lt.last = append([]Effect(nil), effects...)
		lt.check(was, in, facts, effects)
		shown = show(facts, effects)
	}
	return shown
}

// deadline advances the time to the leg's deadline, and returns the output as text.
func (lt *legTest) deadline() string {
	lt.t.Helper()
	d := lt.Leg.Deadline()
	if d.IsZero() {
		lt.t.Fatalf("leg in state %v waits for nothing", lt.Leg.state)
	}
	if d.After(lt.now) {
		lt.now = d
	}
	return lt.do(DeadlineReached{})
}

func (lt *legTest) want(got, want string) {
	lt.t.Helper()
	if got != want {
		lt.t.Errorf("got %q; want %q", got, want)
	}
}

// request returns the last request with this method that the leg sent, and its destination.
func (lt *legTest) request(method sip.RequestMethod) (*sip.Request, Hop) {
	lt.t.Helper()
	for _, e := range lt.last {
		switch e := e.(type) {
		case SendRequest:
			if e.Req.Method == method {
				return e.Req, e.To
			}
		case SendACK:
			if method == sip.ACK {
				return e.Req, e.To
			}
		case SendResponse, Acknowledged, Forgotten:
		}
	}
	lt.t.Fatalf("no %s among %s", method, show(nil, lt.last))
	return nil, Hop{}
}

func (lt *legTest) response() *sip.Response {
	lt.t.Helper()
	for _, e := range lt.last {
		if r, ok := e.(SendResponse); ok {
			return r.Res
		}
	}
	lt.t.Fatalf("no response among %s", show(nil, lt.last))
	return nil
}

// check checks the rules that must hold for every leg after every step.
func (lt *legTest) check(was legState, in Input, facts []Fact, effects []Effect) {
	t, l := lt.t, lt.Leg
	t.Helper()
	if l.Done() && !l.Deadline().IsZero() {
		t.Errorf("done leg has a deadline after %T", in)
	}
	_, offers := in.(Offer)
	_, sends := in.(Send)
	if was == legDone && len(facts) > 0 && !offers && !sends {
		t.Errorf("done leg told %s after %T", show(facts, nil), in)
	}
	for _, e := range effects {
		switch e := e.(type) {
		case SendRequest:
			lt.checkRequest(e.Req)
			if (was == legEnding || was == legDone) && e.Req.Method != sip.BYE {
				t.Errorf("%s after the BYE", e.Req.Method)
			}
		case SendACK:
			lt.checkRequest(e.Req)
			lt.acked[message.TagOf(e.Req.To().Params)] = true
		case SendResponse:
			lt.checkResponse(was, e)
		case Acknowledged, Forgotten:
		}
	}
}

func (lt *legTest) checkRequest(req *sip.Request) {
	t, l := lt.t, lt.Leg
	t.Helper()
	if _, err := sip.ParseMessage([]byte(req.String())); err != nil {
		t.Errorf("our request does not parse: %v\n%s", err, req)
	}
	branch, _ := req.Via().Params.Get("branch")
	if !LegMint.OwnsBranch([]byte(branch), []byte(l.dialog.LocalTag)) {
		t.Errorf("%s has branch %q, which is not ours", req.Method, branch)
	}
	if message.TagOf(req.From().Params) != l.dialog.LocalTag || req.CallID().Value() != l.dialog.CallID ||
		req.MaxForwards() == nil || req.CSeq().MethodName != req.Method {
		t.Errorf("request is not of the dialog:\n%s", req)
	}
	tag, seq := message.TagOf(req.To().Params), int(req.CSeq().SeqNo)
	if lt.sent[req.Method] = req; lt.sentFirst[req.Method] == nil {
		lt.sentFirst[req.Method] = req
	}
	lt.checkOfInvite(req)
	switch req.Method {
	case sip.ACK, sip.CANCEL:
		if seq != int(l.InviteSeq) && !lt.ours[seq] {
			t.Errorf("%s has CSeq %d; the INVITE's is %d", req.Method, seq, l.InviteSeq)
		}
	default:
		if seq <= lt.seqs[tag] {
			t.Errorf("%s has CSeq %d after %d", req.Method, seq, lt.seqs[tag])
		}
		lt.seqs[tag] = seq
		lt.ours[seq] = lt.ours[seq] || req.Method == sip.INVITE
	}
	if req.Method == sip.BYE && !l.UAS && !lt.acked[tag] {
		t.Errorf("BYE to tag %q before the ACK", tag)
	}
}

// checkOfInvite compares a CANCEL, and the ACK of a 200, with the INVITE that began the call: a CANCEL belongs to its
// transaction (RFC 3261 section 9.1) and has no credentials. An ACK does not belong to it (17.1.1.3), but has its
// credentials (22.1).
func (lt *legTest) checkOfInvite(req *sip.Request) {
	lt.t.Helper()
	invite := lt.invite
	if lt.Leg.UAS || invite == nil || req.CSeq().SeqNo != invite.CSeq().SeqNo || req.Method == sip.INVITE {
		return
	}
	same, other := []string{"Via", "From", "To", "Call-ID", "Route"}, []string{"Authorization", "Proxy-Authorization"}
	if req.Method == sip.ACK {
		same, other = other, []string{"Via"}
	} else if req.Recipient.String() != invite.Recipient.String() {
		lt.t.Errorf("%s to %s; the INVITE's is %s", req.Method, req.Recipient.String(), invite.Recipient.String())
	}
	values := func(req *sip.Request, name string) (all []string) {
		for _, h := range req.GetHeaders(name) {
			all = append(all, h.Value())
		}
		return all
	}
	for _, name := range same {
		if got, want := values(req, name), values(invite, name); !slices.Equal(got, want) {
			lt.t.Errorf("%s has %s %q; the INVITE has %q", req.Method, name, got, want)
		}
	}
	for _, name := range other {
		if got := values(req, name); len(got) > 0 && (req.Method == sip.CANCEL || slices.Equal(got, values(invite, name))) {
			lt.t.Errorf("%s has the INVITE's %s %q", req.Method, name, got)
		}
	}
}

func (lt *legTest) checkResponse(was legState, e SendResponse) {
	t := lt.t
	t.Helper()
	if _, err := sip.ParseMessage([]byte(e.Res.String())); err != nil {
		t.Errorf("our response does not parse: %v\n%s", err, e.Res)
	}
	k := key(e.Method, e.Seq)
	first := lt.Leg.UAS && k == key(sip.INVITE, lt.Leg.InviteSeq) && lt.fed[k] == 0
	if n, err := message.ParseRSeq(message.FirstHeader(e.Res, "rseq")); err == nil && lt.rseq == 0 {
		lt.rseq = n
	}
	if e.Res.StatusCode < 200 {
		if lt.codes[k] != 0 || was != legProceeding {
			t.Errorf("%d after the final answer", e.Res.StatusCode)
		}
		return
	}
	if first {
		if old := lt.codes[k]; old != 0 && (old != 200 || e.Res.StatusCode != 200) {
			t.Errorf("INVITE was answered with %d and now with %d", old, e.Res.StatusCode)
		}
		lt.codes[k] = e.Res.StatusCode
		return
	}
	if e.Method == sip.INVITE && lt.twice[e.Res] {
		return
	}
	lt.twice[e.Res] = true
	if lt.final[k]++; lt.final[k] > lt.fed[k] {
		t.Errorf("%d final answers to %s, which came %d times", lt.final[k], k, lt.fed[k])
	}
}

func key(method sip.RequestMethod, seq uint32) string { return fmt.Sprintf("%d %s", seq, method) }

// show describes the output of a step in a few words.
func show(facts []Fact, effects []Effect) string {
	var out []string
	for _, f := range facts {
		out = append(out, showFact(f))
	}
	for _, e := range effects {
		switch e := e.(type) {
		case SendRequest:
			out = append(out, string(e.Req.Method))
		case SendACK:
			out = append(out, "ACK")
		case SendResponse:
			out = append(out, fmt.Sprintf("%d/%s", e.Res.StatusCode, e.Method))
		case Forgotten:
			out = append(out, "forgotten")
		case Acknowledged:
		}
	}
	return strings.Join(out, ", ")
}

func showFact(f Fact) string {
	withSDP := func(s string, sdp []byte) string {
		if sdp != nil {
			s += "+sdp"
		}
		return s
	}
	switch f := f.(type) {
	case Progress:
		return withSDP(fmt.Sprintf("progress %d", f.Code), f.SDP)
	case Answered:
		return withSDP("answered", f.SDP)
	case Refused:
		return fmt.Sprintf("refused %d %s", f.Code, f.Cause)
	case Gone:
		if f.ByPeer {
			return fmt.Sprintf("gone %s by peer", f.Cause)
		}
		return fmt.Sprintf("gone %s", f.Cause)
	case Cancelled:
		return "cancelled"
	case Confirmed:
		return "confirmed"
	case Offered:
		return withSDP("offered "+string(f.Method), f.SDP)
	case Withdrawn:
		return "withdrawn"
	case AnswerReady:
		return withSDP("answer", f.SDP)
	case OfferRefused:
		return fmt.Sprintf("offer refused %d", f.Code)
	case Asked:
		return "asked " + string(f.Req.Method)
	case Replied:
		return fmt.Sprintf("replied %d", f.Code)
	}
	return fmt.Sprintf("%T", f)
}

// A leg ignores inputs that are meant for the other kind: a called leg those of a calling leg, and the reverse. A peer
// can cause the first case: a 200 that matches no transaction is assigned to a leg by its From tag, and the carrier
// knows the tag of leg A. If leg A took it for an answer, it would report Answered and send ACK, and the carrier's
// INVITE would never get a final response (RFC 3261 section 13.3.1).
func TestInputsOfTheOtherKind(t *testing.T) {
	res := sip.NewResponseFromRequest(uasIn(t, "proceeding").Leg.invite, 200, "OK", nil)
	for _, in := range []Input{ResponseIn{Res: res, Source: siptest.Carrier}, Abandon{Why: cause.Shutdown}, RequestFailed{Method: sip.INVITE, Seq: 10}} {
		leg := uasIn(t, "proceeding").Leg
		if got := show(leg.Step(LegStart, in)); got != "" || leg.state != legProceeding {
			t.Errorf("%T to a leg that was called: %q, state %d", in, got, leg.state)
		}
	}
	for _, in := range []Input{Ring{Code: 180}, Answer{}, Refuse{Code: 486}, CancelIn{Seq: 10}, FinalLost{Seq: 10}} {
		leg := uacIn(t, "proceeding").Leg
		if got := show(leg.Step(LegStart, in)); got != "" || leg.state != legProceeding {
			t.Errorf("%T to a leg that calls: %q, state %d", in, got, leg.state)
		}
	}
}

func responseToBye(bye *sip.Request, code int) ResponseIn {
	return ResponseIn{Res: sip.NewResponseFromRequest(bye, code, "Whatever", nil), Source: siptest.Agent}
}

// The leg reports every provisional answer to the call, even a 100, which is not reported as Progress.
func TestHeard(t *testing.T) {
	lt, heard := newUAC(t), 0
	in := inviteOut()
	in.OnResponse = func(int) { heard++ }
	lt.do(in)
	lt.want(lt.do(lt.answerTo(100, "", "")), "")
	if heard != 1 {
		t.Errorf("heard %d times after the 100", heard)
	}
	lt.do(lt.answerTo(180, "a", ""), lt.answerTo(486, "a", ""), lt.answerTo(180, "a", ""))
	if heard != 2 { // the final answer is not reported this way, but as a fact
		t.Errorf("heard %d times; want once for each provisional answer", heard)
	}
}
