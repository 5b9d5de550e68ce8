package leg

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// chooser draws a number below n, from a seeded generator or from a property testing
// library that shrinks.
type chooser func(n int) int

const modelSteps = 60

// A leg that gets a call lives through random inputs. legTest checks every step; this test
// checks the rules for the leg's whole life.
func TestModelUAS(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			modelUAS(t, r.IntN)
		})
	}
}

// A leg that places a call lives through random inputs.
func TestModelUAC(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			modelUAC(t, r.IntN)
		})
	}
}

// FuzzModel runs the models with the fuzzer's bytes as choices.
func FuzzModel(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add([]byte{2, 3, 9, 1, 0, 7, 7, 7, 11, 12, 13})
	f.Fuzz(func(t *testing.T, choices []byte) {
		at := 0
		choose := func(n int) int {
			if at >= len(choices) {
				return 0
			}
			at++
			return int(choices[at-1]) % n
		}
		if choose(2) == 0 {
			modelUAS(t, choose)
		} else {
			modelUAC(t, choose)
		}
	})
}

// life counts the facts that may occur at most once in a leg's life.
type life struct {
	ends     int // number of Gone, Cancelled and Refused facts
	confirms int // number of Confirmed and Answered facts
}

func (l *life) see(t *testing.T, in Input, facts []Fact) {
	t.Helper()
	for _, f := range facts {
		switch f.(type) {
		case Gone, Cancelled, Refused:
			if l.ends++; l.ends > 1 {
				t.Errorf("%T ends the leg again: %s", in, showFact(f))
			}
		case Confirmed, Answered:
			if l.confirms++; l.confirms > 1 || l.ends > 0 {
				t.Errorf("%T confirms the leg after %d ends and %d confirms", in, l.ends, l.confirms-1)
			}
		case Offered, Withdrawn, AnswerReady, OfferRefused, Asked, Replied, Progress:
		}
	}
}

// modelStep gives the leg one input, and checks the rules of legTest and of life.
func (lt *legTest) modelStep(t *testing.T, l *life, in Input) []Effect {
	t.Helper()
	was := lt.Leg.state
	if r, ok := in.(RequestIn); ok {
		lt.fed[key(r.Req.Method, r.Req.CSeq().SeqNo)]++
	}
	facts, effects := lt.step(in)
	lt.last = append([]Effect(nil), effects...)
	lt.check(was, in, facts, effects)
	lt.settled(t, in)
	l.see(t, in, facts)
	return lt.last
}

// failed returns an input that says that our last request with this method got no answer.
func (lt *legTest) failed(method sip.RequestMethod) RequestFailed {
	in := RequestFailed{Method: method, Seq: lt.Leg.InviteSeq, Cause: cause.TargetSilent}
	for _, r := range lt.Leg.sent {
		if r.method == method {
			in.Seq = r.seq
		}
	}
	return in
}

// pass lets time pass, usually until the leg's deadline.
func (lt *legTest) pass(choose chooser) {
	d := lt.Leg.Deadline()
	if d.IsZero() || choose(4) == 0 {
		lt.now = lt.now.Add(time.Duration(choose(40_000)) * time.Millisecond)
		return
	}
	if d.After(lt.now) {
		lt.now = d
	}
}

func modelUAS(t *testing.T, choose chooser) {
	lt := newUASWith(t, PeerOptions{Rel100: config.Rel100Supported, SessionExpires: time.Duration(choose(2)) * 90 * time.Second}, "Supported: 100rel, timer", "Allow: UPDATE")
	lt.Leg.Peer.Allow = AllowHeader(Methods + ", INFO")
	l := &life{}
	seq := uint32(11)
	request := func(method string, headers ...string) RequestIn { return inDialog(t, method, seq, headers...) }
	for range modelSteps {
		var in Input
		switch choose(23) {
		default:
			if in = lt.within(choose, request); in == nil {
				continue
			}
		case 0, 1, 2:
			lt.pass(choose)
			in = DeadlineReached{}
		case 3:
			in = Ring{Code: 180 + 3*choose(2), Reason: "Ringing", SDP: [][]byte{nil, []byte("v=0\r\n")}[choose(2)]}
		case 4:
			in = Answer{SDP: []byte("v=0")}
		case 5:
			in = Refuse{Code: 400 + choose(200), Reason: "No"}
		case 6:
			in = Hangup{Why: cause.AgentHangup}
		case 7:
			in = inDialog(t, "ACK", 10+uint32(choose(2)))
		case 8:
			in = inDialog(t, "BYE", seq-uint32(choose(2)))
		case 9:
			in = inDialog(t, []string{"INVITE", "OPTIONS", "INFO", "UPDATE"}[choose(4)], seq)
		case 10:
			if lt.Leg.state != legProceeding && lt.Leg.state != legAccepted {
				continue
			}
			in = CancelIn{Seq: 10}
		case 11:
			if lt.Leg.state != legAccepted {
				continue // this input is about our final answer
			}
			in = FinalLost{Seq: 10}
		case 12:
			in = lt.failed(sip.BYE)
		}
		if _, ok := in.(RequestIn); ok {
			seq++
		}
		owed := lt.Leg.state == legAccepted
		begun := lt.Leg.ok.giveUpAt
		effects := lt.modelStep(t, l, in)
		for _, e := range effects {
			r, isRequest := e.(SendRequest)
			if !isRequest {
				continue
			}
			req, isIn := in.(RequestIn)
			// A new INVITE implies that the peer has got the 200; the ACK is late or lost.
			acked := isIn && (req.Req.Method == sip.ACK || req.Req.Method == sip.INVITE)
			if r.Req.Method == sip.BYE && owed && !acked && lt.now.Before(begun) {
				t.Errorf("BYE before ACK and before the leg gave up, after %T", in)
			}
		}
	}
	lt.exhaust(t, l)
	lt.allAnswered(t)
}

// exhaust lets time pass until nothing happens any more. A leg that has ended, or that was
// told to end, must be done by then, provided that its transactions end.
func (lt *legTest) exhaust(t *testing.T, l *life) {
	t.Helper()
	if lt.Leg.UAS {
		lt.modelStep(t, l, Refuse{Code: 503, Reason: "Service Unavailable"})
	} else {
		lt.modelStep(t, l, Abandon{Why: cause.Shutdown})
	}
	lt.modelStep(t, l, Hangup{Why: cause.Shutdown})
	for range 80 {
		if lt.Leg.Done() {
			return
		}
		if d := lt.Leg.Deadline(); !d.IsZero() {
			lt.now = d
			lt.modelStep(t, l, DeadlineReached{})
			continue
		}
		lt.modelStep(t, l, lt.failed(sip.BYE))
		lt.modelStep(t, l, lt.failed(sip.INVITE))
	}
	if !lt.Leg.Done() {
		t.Errorf("never done: state %d", lt.Leg.state)
	}
}

func modelUAC(t *testing.T, choose chooser) {
	lt := newUAC(t)
	lt.Leg.Peer = PeerOptions{Rel100: config.Rel100Supported, SessionExpires: time.Duration(choose(2)) * 90 * time.Second, Allow: AllowHeader(Methods + ", INFO")}
	l := &life{}
	lt.modelStep(t, l, inviteWithAuth())
	var byes []*sip.Request
	seq := uint32(1)
	request := func(method string, headers ...string) RequestIn { return agentDialog(t, lt, method, seq, headers...) }
	tags := []string{"agent", "fork1", "fork2"}
	for range modelSteps {
		var in Input
		ok := false
		switch choose(24) {
		default:
			if in = lt.within(choose, request); in == nil {
				continue
			}
			if _, is := in.(RequestIn); is {
				if lt.Leg.state != legConfirmed && lt.Leg.state != legEnding && lt.Leg.state != legDone {
					continue
				}
				seq++
			}
		case 0, 1, 2:
			lt.pass(choose)
			in = DeadlineReached{}
		case 3:
			in = lt.answerTo(100, "", "")
		case 4:
			in = lt.answerTo(180+3*choose(2), tags[choose(3)], "")
			if choose(2) == 0 {
				in = reliableTo(lt, tags[choose(3)], 1+choose(3), []string{"", "v=0\r\n"}[choose(2)])
			}
		case 5:
			in, ok = lt.ok(tags[choose(3)]), true
		case 6:
			in = lt.answerTo(300+choose(400), tags[choose(3)], "")
		case 7:
			in = Abandon{Why: cause.CallerCancelled}
		case 8:
			in = Hangup{Why: cause.CallerHangup}
		case 9:
			// Not in an early dialog, because a callee sends no requests there.
			if lt.Leg.state != legConfirmed && lt.Leg.state != legEnding && lt.Leg.state != legDone {
				continue
			}
			seq++
			in = agentDialog(t, lt, []string{"BYE", "OPTIONS", "INVITE"}[choose(3)], seq)
		case 10:
			in = lt.failed([]sip.RequestMethod{sip.INVITE, sip.CANCEL, sip.BYE}[choose(3)])
		case 11:
			in = inviteOut() // the call sends only one INVITE
		case 12:
			ask := strings.Replace(askTarget, "n1", fmt.Sprint("n", choose(3)), 1)
			in = lt.answerTo(401, tags[choose(3)], "", ask+[]string{"", ", stale=true"}[choose(2)])
		case 13:
			if len(byes) == 0 {
				continue
			}
			res := responseToBye(byes[choose(len(byes))], []int{200, 401, 401, 407}[choose(4)])
			res.Res.AppendHeader(sip.NewHeader("WWW-Authenticate", strings.TrimPrefix(askTarget, "WWW-Authenticate: ")))
			in = res
		}
		effects := lt.modelStep(t, l, in)
		for _, e := range effects {
			if r, isRequest := e.(SendRequest); isRequest && r.Req.Method == sip.BYE {
				if byes = append(byes, r.Req); len(byes) > 20 {
					t.Errorf("%d BYEs", len(byes))
				}
			}
		}
		if !ok {
			continue
		}
		acks := 0
		for _, e := range effects {
			if a, isACK := e.(SendACK); isACK {
				acks++
				if got, want := message.TagOf(a.Req.To().Params), message.TagOf(in.(ResponseIn).Res.To().Params); got != want {
					t.Errorf("the 200 of %q gets the ACK of %q", want, got)
				}
			}
		}
		if acks != 1 {
			t.Errorf("a 200 in state %d gets %d ACKs", lt.Leg.state, acks)
		}
	}
	lt.exhaust(t, l)
	lt.allAnswered(t)
}
