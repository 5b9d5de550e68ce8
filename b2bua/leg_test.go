package b2bua

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"flowbridge/internal/siptest"

	"github.com/emiago/sipgo/sip"
)

var (
	legStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	legLocal = Local{Listen: siptest.Ours, Host: "198.51.100.1", Port: 5060}
	legMint  = NewMinter([32]byte{1, 2, 3})
)

// legTest drives one leg by hand and checks after every step what holds for
// any leg.
type legTest struct {
	t     testing.TB
	leg   *Leg
	now   time.Time
	fed   map[string]int  // requests given to the leg, by method and CSeq
	final map[string]int  // final answers that came out, by method and CSeq
	codes map[string]int  // code of the final answer to the INVITE
	seqs  map[string]int  // CSeq of our last request, by To tag
	acked map[string]bool // To tags that got ACK
	ours  map[int]bool    // CSeqs of INVITEs of ours

	cancelled map[string]bool        // INVITEs of the peer within the dialog
	twice     map[*sip.Response]bool // 200s to those, which are sent again
	last      []Effect
}

func newLegTest(t testing.TB, leg *Leg) *legTest {
	return &legTest{
		t: t, leg: leg, now: legStart, fed: map[string]int{}, final: map[string]int{}, codes: map[string]int{},
		seqs: map[string]int{}, acked: map[string]bool{}, ours: map[int]bool{},
		cancelled: map[string]bool{}, twice: map[*sip.Response]bool{},
	}
}

// do gives the leg inputs and shows what comes out of the last one.
func (lt *legTest) do(inputs ...Input) string {
	lt.t.Helper()
	shown := ""
	for _, in := range inputs {
		was := lt.leg.state
		if r, ok := in.(RequestIn); ok {
			lt.fed[key(r.Req.Method, r.Req.CSeq().SeqNo)]++
		}
		facts, effects := lt.leg.Step(lt.now, in)
		lt.last = append([]Effect(nil), effects...)
		lt.check(was, in, facts, effects)
		shown = show(facts, effects)
	}
	return shown
}

// deadline lets the time come that the leg waits for.
func (lt *legTest) deadline() string {
	lt.t.Helper()
	d := lt.leg.Deadline()
	if d.IsZero() {
		lt.t.Fatalf("leg in state %v waits for nothing", lt.leg.state)
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

// request is the request or ACK that came out last.
func (lt *legTest) request(method sip.RequestMethod) (*sip.Request, hop) {
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
	return nil, hop{}
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

// check holds for every leg after every step.
func (lt *legTest) check(was legState, in Input, facts []Fact, effects []Effect) {
	t, l := lt.t, lt.leg
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
			lt.acked[tagOf(e.Req.To().Params)] = true
		case SendResponse:
			lt.checkResponse(was, e)
		case Acknowledged, Forgotten:
		}
	}
}

func (lt *legTest) checkRequest(req *sip.Request) {
	t, l := lt.t, lt.leg
	t.Helper()
	if _, err := sip.ParseMessage([]byte(req.String())); err != nil {
		t.Errorf("our request does not parse: %v\n%s", err, req)
	}
	branch, _ := req.Via().Params.Get("branch")
	if !legMint.MintedBranch([]byte(branch)) {
		t.Errorf("%s has branch %q, which is not ours", req.Method, branch)
	}
	if tagOf(req.From().Params) != l.dialog.LocalTag || req.CallID().Value() != l.dialog.CallID ||
		req.MaxForwards() == nil || req.CSeq().MethodName != req.Method {
		t.Errorf("request is not of the dialog:\n%s", req)
	}
	tag, seq := tagOf(req.To().Params), int(req.CSeq().SeqNo)
	switch req.Method {
	case sip.ACK, sip.CANCEL:
		if seq != int(l.inviteSeq) && !lt.ours[seq] {
			t.Errorf("%s has CSeq %d; the INVITE's is %d", req.Method, seq, l.inviteSeq)
		}
	default:
		if seq <= lt.seqs[tag] {
			t.Errorf("%s has CSeq %d after %d", req.Method, seq, lt.seqs[tag])
		}
		lt.seqs[tag] = seq
		lt.ours[seq] = lt.ours[seq] || req.Method == sip.INVITE
	}
	if req.Method == sip.BYE && !l.uas && !lt.acked[tag] {
		t.Errorf("BYE to tag %q before the ACK", tag)
	}
}

func (lt *legTest) checkResponse(was legState, e SendResponse) {
	t := lt.t
	t.Helper()
	if _, err := sip.ParseMessage([]byte(e.Res.String())); err != nil {
		t.Errorf("our response does not parse: %v\n%s", err, e.Res)
	}
	k := key(e.Method, e.Seq)
	first := lt.leg.uas && k == key(sip.INVITE, lt.leg.inviteSeq) && lt.fed[k] == 0
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

// show is what came out of a step in few words.
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
		case Acknowledged, Forgotten:
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
	case Ready, MediaLost, OneWay, Latched, Killed, Expired, Keyed, Played: // not of a leg
	}
	return fmt.Sprintf("%T", f)
}
