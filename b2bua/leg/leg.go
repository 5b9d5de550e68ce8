package leg

import (
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/media"
)

// The timers of RFC 3261 section 17.1.1.1 that a leg runs. Package transaction runs the timers of transactions.
const (
	// T1 is the first interval of retransmissions.
	T1      = 500 * time.Millisecond
	timerT2 = 4 * time.Second
	// GiveUp is 64*T1, the limit for an ACK to come and for a CANCEL to take effect.
	GiveUp = 64 * T1
	// timerProvisional is the interval at which the peer of a pending INVITE gets another provisional answer (RFC 3261
	// section 13.3.1.1).
	timerProvisional = time.Minute
)

// legState is the state of a leg. UAS legs begin in legProceeding, UAC legs in legIdle.
type legState int32

const (
	legIdle       legState = iota // UAC: nothing sent
	legCalling                    // UAC: INVITE sent, no response yet
	legProceeding                 // INVITE has no final answer
	legAbandoned                  // UAC: given up; CANCEL sent or to be sent
	legAccepted                   // UAS: the first 200 sent, no ACK yet
	legConfirmed                  // dialog established
	legEnding                     // BYE sent
	legDone                       // nothing more to do
)

// Leg is one side of a call as a state machine without I/O: Step takes an event and
// returns facts for the call and effects for the wire. One goroutine owns a Leg. A Leg
// never reads the clock.
type Leg struct {
	// small fields stand together to save memory
	state     legState
	InviteSeq uint32 // CSeq of the INVITE
	updates   bool   // the peer accepts UPDATE (RFC 3311)
	Untyped   bool   // a session description of the peer was accepted although it had no Content-Type

	// constant
	UAS   bool // the peer sent the INVITE
	side  media.Side
	mint  *message.Minter
	Local Local
	agent string // User-Agent and Server value
	Peer  PeerOptions

	dialog Dialog

	*setup          // nil once the INVITE is over, see releaseSetup
	invited invited // UAC: the parts of the INVITE that are still needed

	session negotiation
	timer   sessionTimer

	ok             *unacknowledged
	hangupDeferred *deferredHangup
	asked          []*sip.Request // the peer's requests that have no final answer yet
	held           []Send         // requests from the other side that wait for the ACK

	AnsweredBye string // branch of the peer's BYE
	acked       string // branch of the last INVITE of the peer whose 200 has its ACK

	sent []sentRequest // the leg's requests within the dialog, and to forks, without a final answer

	// UAS
	reliable *reliable // nil until a provisional answer is sent reliably

	// UAC
	acks  []sentACK               // sent again if their 200 comes again
	early map[string]*earlyDialog // by To tag
	forks map[string]bool         // To tags of 200s that came too late

	digest Digest

	giveUpAt time.Time // when a CANCEL or BYE counts as failed; zero if none

	*outcome // result of the last Step; nil once it is handled and the INVITE is over
}

// outcome holds the result of a Step. Its memory is reused only during the set-up.
type outcome struct {
	facts   []Fact
	effects []Effect
}

// deferredHangup is a BYE that waits for the ACK (RFC 3261 section 15), or for the answer to a NOTIFY.
type deferredHangup struct {
	in Hangup
	at time.Time // send it now even if a NOTIFY has no answer; zero means never
}

// byeAt returns the deadline of a deferred BYE, or zero if there is none.
func (l *Leg) byeAt() time.Time {
	if l.hangupDeferred == nil {
		return time.Time{}
	}
	return l.hangupDeferred.at
}

// IsIdle reports whether no request of the leg or its peer waits for an answer.
func (l *Leg) IsIdle() bool {
	return l.state == legConfirmed && l.session.pending == nil && l.session.wanted == nil && !l.session.sending &&
		len(l.asked) == 0 && len(l.held) == 0 && len(l.sent) == 0 && l.hangupDeferred == nil || l.Done()
}

// Calls reports whether the leg's INVITE has no final answer and no session description of the peer yet.
func (l *Leg) Calls() bool {
	return !l.UAS && (l.state == legCalling || l.state == legProceeding) && l.session.state == offerOurs
}

// AwaitsResponse reports whether the leg's INVITE has no response at all yet.
func (l *Leg) AwaitsResponse() bool { return !l.deadlines().firstAnswerAt.IsZero() }

// AwaitsPRACK reports whether a provisional answer has no PRACK yet.
func (l *Leg) AwaitsPRACK() bool { return l.awaited().res != nil }

// setup is the state of the INVITE that begins the dialog, until its 200 is acknowledged.
type setup struct {
	invite *sip.Request // received (UAS) or sent (UAC)

	// UAS
	lastProvisional *Ring

	// UAC
	inviteHop  Hop          // the INVITE's hop, needed for its CANCEL
	added      []sip.Header // headers that the leg adds to an INVITE not sent yet
	shorten    func(more int) (*sip.Request, bool)
	report     func(code int)
	cancelled  bool   // CANCEL sent
	leftEarly  string // To tag of a peer that sent BYE before its 200
	why        cause.Cause
	caller     cause.Reasons
	challenged int // number of answered challenges to the INVITE

	answeredEarly []byte // the SDP answer that an old process got reliably before the 200
	noResponse    bool   // the INVITE has had no response yet

	intervals int // number of answered 422s

	firstResponse time.Duration // limit for each INVITE; 0 means no limit

	first unacknowledged // UAS: the 200, as Leg.ok

	setupDeadlines
}

// setupDeadlines are the deadlines of the set-up. A zero time means none.
type setupDeadlines struct {
	ringAt        time.Time // UAS: another provisional answer is due
	firstAnswerAt time.Time // UAC: limit for the first response
	ringUntil     time.Time // UAC: limit for the final answer
}

// deadlines returns the deadlines of the set-up. s is nil once the set-up is over.
func (s *setup) deadlines() setupDeadlines {
	if s == nil {
		return setupDeadlines{}
	}
	return s.setupDeadlines
}

// PeerOptions is the configuration of a leg's peer.
type PeerOptions struct {
	Rel100         config.Rel100Mode // empty means off
	SessionExpires time.Duration     // the session timer to ask for; 0 means only if the peer asks
	Allow          string            // the methods in Allow
	NAT            config.NATMode    // decides where requests within the dialog go; empty means off
}

// Options are the arguments of both kinds of leg.
type Options struct {
	Side   media.Side
	Minter *message.Minter
	Local  Local
	Agent  string
	Peer   PeerOptions
}

// Step handles one input. The returned slices are valid until the next Step.
func (l *Leg) Step(now time.Time, in Input) ([]Fact, []Effect) {
	if l.outcome == nil {
		l.outcome = &outcome{}
	}
	l.facts, l.effects = l.facts[:0], l.effects[:0]
	switch in := in.(type) {
	case RequestIn:
		l.onRequest(now, in)
	case CancelIn:
		l.onCancel(in.Seq, in.Why)
	case ResponseIn:
		l.onResponse(now, in)
	case RequestFailed:
		l.onRequestFailed(now, in)
	case FinalLost:
		l.onCancel(in.Seq, cause.Reasons{})
	case MediaReceived:
		l.onMediaReceived(now)
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
		l.abandon(now, in.Why, in.Caller)
	case Hangup:
		l.hangup(now, in)
	case Offer:
		l.offer(in)
	case Accept:
		l.accept(now, in.SDP, in.Headers)
	case Reject:
		l.reject(now, in)
	case Send:
		l.sendFor(in)
	case Reply:
		l.replyTo(in)
	}
	l.sendWaiting(now)
	return l.facts, l.effects
}

// Handled says that the call has handled the results of the last Step, so that the leg can release the messages in
// them.
func (l *Leg) Handled() {
	if l.setup == nil || l.outcome == nil {
		l.outcome = nil
		return
	}
	clear(l.facts)
	clear(l.effects)
}

// Done reports whether the leg has nothing more to send. Transactions handle later
// messages.
func (l *Leg) Done() bool { return l.state == legDone }

// Deadline returns the time at which the leg wants a DeadlineReached, or zero for never.
func (l *Leg) Deadline() time.Time {
	s := l.deadlines()
	r := l.awaited()
	return Earliest(s.ringAt, l.giveUpAt, s.firstAnswerAt, s.ringUntil, l.ok.resendAt, l.ok.giveUpAt,
		r.resendAt, r.giveUpAt, l.byeAt(), l.session.retryAt(), l.session.giveUpAt, l.timer.refreshAt, l.timer.expireAt)
}

// Described returns this side's session description that the peer has agreed to.
func (l *Leg) Described() []byte { return l.session.local }

// AnswerWaits reports whether the 200 waits for a PRACK.
func (l *Leg) AnswerWaits() bool { return l.awaited().answer != nil }

// Dialog returns a copy of the leg's dialog.
func (l *Leg) Dialog() Dialog { return l.dialog }

func (l *Leg) onDeadline(now time.Time) {
	due := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	s := l.deadlines()
	switch {
	case due(l.giveUpAt):
		l.done()
	case due(l.byeAt()):
		l.sendBye(now, l.hangupDeferred.in)
	case due(l.ok.giveUpAt): // RFC 3261 section 13.3.1.4
		l.end(now, cause.NoACK)
	case due(l.awaited().giveUpAt):
		l.unacknowledgedProvisional()
	case due(l.timer.expireAt):
		l.end(now, cause.SessionExpired)
	case due(l.session.giveUpAt):
		l.giveUpOffer(now)
	case due(s.ringUntil):
		l.fact(Refused{Cause: cause.RingTimeout})
		l.abandon(now, cause.RingTimeout, cause.Reasons{})
	case due(s.firstAnswerAt):
		l.fact(Refused{Cause: cause.TargetSilent})
		l.abandon(now, cause.TargetSilent, cause.Reasons{})
	case due(l.ok.resendAt):
		l.resendAnswer(now)
	case due(l.awaited().resendAt):
		l.resendReliable(now)
	case due(s.ringAt):
		l.resendRinging(now)
	case due(l.timer.refreshAt):
		l.refresh(now)
	case due(l.session.retryAt()):
		l.session.wanted.retryAt = time.Time{} // sendWaiting sends the offer
	}
}

// end ends a dialog with BYE, because the peer violates the protocol.
func (l *Leg) end(now time.Time, why cause.Cause) {
	l.fact(Gone{Cause: why})
	l.sendBye(now, Hangup{Why: why})
}

// onRequest handles a request within the dialog, including ACK and BYE.
func (l *Leg) onRequest(now time.Time, in RequestIn) {
	req, cseq := in.Req, in.Req.CSeq()
	if req.Method == sip.ACK {
		l.onACK(now, req)
		return
	}
	if req.Method == sip.BYE && l.AnsweredBye != "" && message.BranchOf(req) == l.AnsweredBye {
		l.respond(req, 200, message.StatusText(200)) // the first answer was lost
		return
	}
	if req.Method == sip.INVITE && l.answerRetransmission(req) {
		return
	}
	// Call-ID and both tags identify a dialog (RFC 3261 section 12). Before the 200 to the
	// leg's INVITE, any tag of the peer is allowed.
	d := l.dialogOf(req)
	if d == nil || (l.state == legDone && req.Method != sip.BYE) {
		l.respond(req, 481, message.StatusText(481))
		return
	}
	switch {
	case cseq.SeqNo < d.remoteSeq, cseq.SeqNo == d.remoteSeq && d.requestSeen && !d.mayRepeat(req.Method):
		// RFC 3261 section 12.2.2
		l.respond(req, 500, "CSeq Out Of Order")
		return
	}
	d.remoteSeq, d.requestSeen, d.unsure = cseq.SeqNo, true, false
	switch req.Method {
	case sip.BYE:
		l.onBye(req)
	case sip.INVITE:
		l.onReinvite(now, in)
	case sip.UPDATE:
		l.onUpdate(now, in)
	case sip.PRACK:
		l.onPRACK(now, req)
	case sip.OPTIONS:
		l.respond(req, 200, message.StatusText(200), l.capabilities()...)
	default:
		l.onOther(req)
	}
}

// answerRetransmission handles a re-INVITE that comes again after its transaction's end
// (RFC 6026 section 7.1), because the copy is late or our answer was lost. It returns
// false for other requests.
func (l *Leg) answerRetransmission(req *sip.Request) bool {
	switch branch := message.BranchOf(req); {
	case branch == "", req.CSeq().SeqNo > l.dialog.remoteSeq: // not a copy, even if the branch was used before
		return false
	case branch == l.acked:
		l.effects = append(l.effects, Acknowledged{Seq: req.CSeq().SeqNo})
		return true
	case l.ok.res != nil && branch == message.BranchOf(l.ok.res):
		l.effects = append(l.effects, SendResponse{Method: sip.INVITE, Seq: l.ok.seq, Res: l.ok.res})
		return true
	}
	return false
}

// mayRepeat reports whether the peer may repeat its last request, because a process ended, or was replaced, before its
// answer was sent. That is so for an UPDATE: the checkpoint comes before the answer, and repeating the UPDATE does the
// same again. The answer to an INVITE is in the checkpoint.
func (d *Dialog) mayRepeat(m sip.RequestMethod) bool { return d.unsure && m == sip.UPDATE }

// onOther handles a request that the call must answer.
func (l *Leg) onOther(req *sip.Request) {
	unknown := missing(req, l.Peer)
	if req.Method == sip.REFER && strings.EqualFold(unknown, "norefersub") {
		unknown = "" // RFC 4488 section 5
	}
	switch {
	case unknown != "":
		l.respond(req, 420, "Bad Extension", sip.NewHeader("Unsupported", unknown))
	case !Allowed(l.Peer.Allow, req.Method):
		code := StatusOfMethod(req.Method)
		l.respond(req, code, message.StatusText(code), l.Allow())
	case l.state == legEnding:
		l.respond(req, 481, message.StatusText(481))
	case len(l.asked) >= maxAsked:
		l.respond(req, 500, "Too Many Requests Pending", retryShortly())
	default:
		l.asked = append(l.asked, req)
		l.fact(Asked{Req: req})
	}
}

// maxAsked bounds the peer's requests that wait for the other side's answer.
const maxAsked = 16

// via returns the Via of a new request.
func (l *Leg) via() *sip.ViaHeader { return l.viaOf(l.mint.Branch(l.dialog.LocalTag)) }

func (l *Leg) viaOf(branch string) *sip.ViaHeader { return l.Local.Via(branch) }

// invited is the part of the INVITE that a UAC needs after a 200: for the ACKs, and for
// forks that answer later.
type invited struct {
	uri         string
	credentials []sip.Header // usually none
}

// releaseSetup releases the state that only the set-up of the dialog needed. It copies
// the rest, so that the messages of the set-up can be freed.
func (l *Leg) releaseSetup() {
	l.keepInvited()
	l.setup = nil
	l.dialog.copyTexts()
}

func (l *Leg) fact(f Fact) { l.facts = append(l.facts, f) }

func (l *Leg) done() {
	l.closeAsked()
	l.clearDeadlines()
	l.state = legDone
	if l.setup != nil {
		l.lastProvisional = nil
	}
	l.sent = nil // early stays: the 200 of a fork may be on its way
}

// clearDeadlines stops all timers, including retransmissions.
func (l *Leg) clearDeadlines() {
	if l.setup != nil {
		l.setupDeadlines = setupDeadlines{}
	}
	l.giveUpAt = time.Time{}
	if l.hangupDeferred != nil {
		l.hangupDeferred.at = time.Time{}
	}
	l.ok, l.reliable = &acknowledgedAll, nil
	l.session = negotiation{}
	l.timer.stop()
}

// Earliest returns the earliest of the times that are not zero, or zero if all are.
func Earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}
