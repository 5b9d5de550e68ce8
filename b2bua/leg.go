package b2bua

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/media"
)

// The timers of RFC 3261 section 17.1.1.1 that are ours; the transactions'
// own are the SIP library's.
const (
	timerT1 = 500 * time.Millisecond
	timerT2 = 4 * time.Second
	// timerGiveUp is 64*T1: an answer nobody acknowledges, a CANCEL nobody
	// heeds.
	timerGiveUp = 64 * timerT1
	// timerProvisional is how often an INVITE that is still pending gets
	// another provisional answer (RFC 3261 section 13.3.1.1).
	timerProvisional = time.Minute
)

// legState is where a leg is in its life. UAS legs begin in legProceeding,
// UAC legs in legIdle.
type legState int

const (
	legIdle       legState = iota // UAC: nothing sent
	legCalling                    // UAC: INVITE sent, nothing came back
	legProceeding                 // INVITE has no final answer
	legAbandoned                  // UAC: given up; CANCEL sent or owed
	legAccepted                   // UAS: 200 sent, no ACK yet
	legConfirmed                  // dialog established
	legEnding                     // BYE sent
	legDone                       // nothing more to do
)

// Leg is one side of a call as a machine without I/O: Step takes what
// happened and gives what the call must know and what goes on the wire. It is
// owned by one goroutine; times are given to it, never asked for.
type Leg struct {
	// constant
	Side  media.Side
	uas   bool
	mint  *Minter
	local Local
	agent string // User-Agent and Server value

	state  legState
	dialog Dialog

	invite    *sip.Request // received (UAS) or sent (UAC)
	inviteHop hop          // UAC: where the INVITE went, for its CANCEL
	inviteSeq uint32

	// UAS
	lastProvisional *sip.Response
	ok              *sip.Response // the 200, until ACK comes
	resend          time.Duration // until the next retransmission of ok
	hangupOwed      Cause         // BYE that waits for the ACK (RFC 3261 section 15)

	answeredBye string // branch of the peer's BYE

	byeBranch string    // of our BYE
	byes      []sentBye // ours, those to forks too, to be sent again when they are challenged

	// UAC
	ack       *sip.Request // sent again with each retransmitted 200
	ackHop    hop
	cancelled bool // CANCEL sent
	why       Cause
	forks     map[string]bool // To tags of 200s that lost

	digest        digestAuth
	challenged    int           // challenges to the INVITE that were answered
	firstResponse time.Duration // to each INVITE; 0: no limit

	// deadlines; zero: none
	resendAt      time.Time // UAS: ok again; or another provisional
	giveUpAt      time.Time // UAS: no ACK; UAC: CANCEL unheeded
	firstAnswerAt time.Time // UAC: nothing heard at all
	ringUntil     time.Time // UAC: no final answer

	facts   []Fact
	effects []Effect
}

// sentBye is a BYE without an answer. The wire has its request: only the branch
// may be looked at until then.
type sentBye struct {
	branch string
	sent   SendRequest
}

// legOptions is what both kinds of leg are made with.
type legOptions struct {
	side  media.Side
	mint  *Minter
	local Local
	agent string
}

// Step gives the leg one input. The slices it returns are good until the next
// Step.
func (l *Leg) Step(now time.Time, in Input) ([]Fact, []Effect) {
	l.facts, l.effects = l.facts[:0], l.effects[:0]
	switch in := in.(type) {
	case RequestIn:
		l.onRequest(now, in)
	case CancelIn:
		l.onCancel()
	case ResponseIn:
		l.onResponse(now, in)
	case RequestFailed:
		l.onRequestFailed(in)
	case FinalLost:
		l.onCancel()
	case DeadlineReached:
		l.onDeadline(now)
	case Ring:
		l.ring(now, in)
	case Answer:
		l.answer(now, in)
	case Refuse:
		l.refuse(in)
	case Invite:
		l.sendInvite(now, in)
	case Abandon:
		l.abandon(now, in.Why)
	case Hangup:
		l.hangup(now, in.Why)
	}
	return l.facts, l.effects
}

// Done says that nothing is owed to the peer any more; what still may come is
// the transactions' business.
func (l *Leg) Done() bool { return l.state == legDone }

// Deadline is when the leg wants a DeadlineReached; zero: never.
func (l *Leg) Deadline() time.Time {
	return earliest(l.resendAt, l.giveUpAt, l.firstAnswerAt, l.ringUntil)
}

// Dialog gives a copy of the leg's dialog.
func (l *Leg) Dialog() Dialog { return l.dialog }

func (l *Leg) onDeadline(now time.Time) {
	due := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	switch {
	case due(l.giveUpAt):
		l.giveUp(now)
	case due(l.ringUntil):
		l.fact(Refused{Cause: CauseRingTimeout})
		l.abandon(now, CauseRingTimeout)
	case due(l.firstAnswerAt):
		l.fact(Refused{Cause: CauseTargetSilent})
		l.abandon(now, CauseTargetSilent)
	case due(l.resendAt):
		l.resendAnswer(now)
	}
}

// giveUp ends what was waited for in vain: an ACK (RFC 3261 section
// 13.3.1.4: BYE), the end of an abandoned INVITE (section 9.1), the answer to
// a BYE.
func (l *Leg) giveUp(now time.Time) {
	if l.state == legAccepted {
		l.fact(Gone{Cause: CauseNoACK})
		l.sendBye(now, CauseNoACK)
		return
	}
	l.done()
}

// onRequest is a request within the dialog, ACK and BYE among them.
func (l *Leg) onRequest(now time.Time, in RequestIn) {
	req, cseq := in.Req, in.Req.CSeq()
	if req.Method == sip.ACK {
		l.onACK(now, cseq.SeqNo)
		return
	}
	// A dialog is Call-ID and both tags (RFC 3261 section 12). Before the 200
	// to an INVITE of ours the peer's may be any.
	early := !l.uas && l.dialog.RemoteTag == ""
	stranger := !early && tagOf(req.From().Params) != l.dialog.RemoteTag
	if stranger || (l.state == legDone && req.Method != sip.BYE) {
		l.respond(req, 481, statusText(481))
		return
	}
	if cseq.SeqNo < l.dialog.RemoteSeq { // RFC 3261 section 12.2.2
		l.respond(req, 500, "CSeq Out Of Order")
		return
	}
	if !early { // another early dialog may be the one that counts
		l.dialog.RemoteSeq = cseq.SeqNo
	}
	switch req.Method {
	case sip.BYE:
		l.onBye(req)
	case sip.INVITE:
		l.onReinvite(req)
	case sip.OPTIONS:
		l.respond(req, 200, statusText(200), capabilities()...)
	default:
		code := notTaken(req.Method)
		l.respond(req, code, statusText(code), allowHeaders()...)
	}
}

// onBye answers the peer's BYE in any state (RFC 3261 section 15.1.2). From a
// caller that we have not answered yet it takes the INVITE with it.
func (l *Leg) onBye(req *sip.Request) {
	l.respond(req, 200, statusText(200))
	l.answeredBye = branchOf(req)
	switch l.state {
	case legProceeding:
		if !l.uas {
			return // not allowed; its INVITE still wants a final answer
		}
		l.respondInvite(487, "Request Terminated", nil)
		l.fact(Cancelled{})
		l.done()
	case legAccepted, legConfirmed: // a BYE before the ACK stands for it
		l.fact(Gone{Cause: l.hangupCause(), ByPeer: true, Q850: reasonQ850(req)})
		l.done()
	case legEnding: // crossed ours
		l.done()
	case legIdle, legCalling, legAbandoned, legDone:
	}
}

func (l *Leg) hangupCause() Cause {
	if l.Side == media.SideA {
		return CauseCallerHangup
	}
	return CauseAgentHangup
}

// onReinvite refuses to change the session, which goes on as it was (RFC 3261
// section 14.2).
func (l *Leg) onReinvite(req *sip.Request) {
	if l.state == legProceeding || l.state == legAccepted {
		l.respond(req, 500, "Request Pending", sip.NewHeader("Retry-After", strconv.Itoa(rand.IntN(11))))
		return
	}
	l.respond(req, 488, statusText(488), allowHeaders()...)
}

// hangup sends BYE, at once or when the caller has acknowledged the 200: a
// UAS may not send it before (RFC 3261 section 15).
func (l *Leg) hangup(now time.Time, why Cause) {
	switch l.state {
	case legAccepted:
		l.hangupOwed = why
	case legConfirmed:
		l.sendBye(now, why)
	case legIdle, legCalling, legProceeding, legAbandoned, legEnding, legDone:
	}
}

func (l *Leg) sendBye(now time.Time, why Cause) {
	req, to := l.dialog.request(sip.BYE, 0)
	if v := reasonValue(why); v != "" {
		req.AppendHeader(sip.NewHeader("Reason", v))
	}
	l.clearDeadlines()
	l.ok = nil
	l.state = legEnding
	l.giveUpAt = now.Add(timerGiveUp) // as Timer F would
	l.send(req, to)
	l.byeBranch = branchOf(req)
}

// branchOf is the branch of the topmost Via.
func branchOf(msg sip.Message) string {
	via := msg.Via()
	if via == nil {
		return ""
	}
	branch, _ := via.Params.Get("branch")
	return branch
}

// send starts a request of ours with a Via of its own, and with credentials
// for the realms that have asked for them.
func (l *Leg) send(req *sip.Request, to hop) {
	req.PrependHeader(l.via())
	l.digest.authorize(req)
	req.AppendHeader(sip.NewHeader("User-Agent", l.agent))
	sent := SendRequest{Req: req, To: to}
	if req.Method == sip.BYE && l.digest.auth != nil {
		l.byes = append(l.byes, sentBye{branchOf(req), sent})
	}
	l.effects = append(l.effects, sent)
}

func (l *Leg) via() *sip.ViaHeader {
	via := &sip.ViaHeader{
		ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: viaTransport(l.local.Transport),
		Host: l.local.Host, Port: int(l.local.Port),
	}
	via.Params.Add("branch", l.mint.Branch())
	via.Params.Add("rport", "") // RFC 3581
	return via
}

// respond answers an in-dialog request.
func (l *Leg) respond(req *sip.Request, code int, reason string, headers ...sip.Header) {
	res := sip.NewResponseFromRequest(req, code, reason, nil)
	for _, h := range headers {
		res.AppendHeader(h)
	}
	res.AppendHeader(sip.NewHeader("Server", l.agent))
	l.effects = append(l.effects, SendResponse{Method: req.Method, Seq: req.CSeq().SeqNo, Res: res})
}

func (l *Leg) fact(f Fact) { l.facts = append(l.facts, f) }

func (l *Leg) done() {
	l.clearDeadlines()
	l.state = legDone
	l.ok, l.lastProvisional, l.byes = nil, nil, nil
}

func (l *Leg) clearDeadlines() {
	l.resendAt, l.giveUpAt, l.firstAnswerAt, l.ringUntil = time.Time{}, time.Time{}, time.Time{}, time.Time{}
}

// earliest is the first of the times that are set; zero if none is.
func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

func reasonQ850(msg sip.Message) int {
	for _, h := range msg.GetHeaders("reason") {
		if n := parseQ850(h.Value()); n > 0 {
			return n
		}
	}
	return 0
}

// allowed lists the methods that we answer with more than 405.
const allowed = "INVITE, ACK, CANCEL, BYE, OPTIONS"

func allowHeaders() []sip.Header { return []sip.Header{sip.NewHeader("Allow", allowed)} }

// contentSDP is the header of a message with an SDP body.
func contentSDP() sip.Header { return sip.NewHeader("Content-Type", sdpType) }

// retryAfter asks a peer that was refused for lack of room to come back
// later (RFC 3261 section 20.33).
func retryAfter() sip.Header { return sip.NewHeader("Retry-After", retrySeconds) }

const retrySeconds = "5"
