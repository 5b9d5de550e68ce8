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

// These are the timers of RFC 3261 section 17.1.1.1 that a leg runs itself. Package transaction runs the timers of
// transactions.
const (
	// T1 is the first interval between retransmissions.
	T1      = 500 * time.Millisecond
	timerT2 = 4 * time.Second
	// GiveUp is 64*T1, the time limit for an ACK, and for a CANCEL to take effect.
	GiveUp = 64 * T1
	// timerProvisional is how often a provisional answer to a pending INVITE is repeated (RFC 3261 section 13.3.1.1).
	timerProvisional = time.Minute
)

// legState is the state of a leg. UAS legs start in legProceeding, UAC legs in legIdle.
type legState int32

const (
	legIdle       legState = iota // UAC: nothing sent
	legCalling                    // UAC: INVITE sent, no response yet
	legProceeding                 // the INVITE has no final response
	legAbandoned                  // UAC: INVITE given up; CANCEL sent, or waits for a provisional response
	legAccepted                   // UAS: 200 sent, no ACK yet
	legConfirmed                  // dialog established
	legEnding                     // BYE sent
	legDone                       // nothing more to do
)

// Leg is one side of a call as a state machine without I/O: Step takes an event and returns facts for the call and
// effects for the wire. A Leg belongs to one goroutine. It never reads the clock.
type Leg struct {
	// Small fields stand together to save memory.
	state     legState
	InviteSeq uint32 // CSeq of the INVITE
	updates   bool   // the peer accepts UPDATE (RFC 3311)
	Untyped   bool   // SDP of the peer was accepted although it had no Content-Type

	// constant
	UAS   bool // the peer sent the INVITE
	side  media.Side
	mint  *message.Minter
	Local Local
	Peer  PeerOptions

	dialog Dialog

	*setup          // nil once the set-up is over, see releaseSetup
	invited invited // UAC: the parts of the INVITE that are still needed

	session negotiation
	timer   sessionTimer

	ok             *unacknowledged
	hangupDeferred *deferredHangup
	asked          []*sip.Request // the peer's requests that have no final response yet
	held           []Send         // requests to the peer that wait for the ACK

	AnsweredBye string // branch of the peer's BYE; empty before it comes
	acked       string // branch of the last INVITE of the peer whose 200 was acknowledged

	sent []sentRequest // our requests within the dialog and to forks that have no final response

	// UAS
	reliable *reliable // nil until the first reliable provisional answer

	// UAC
	acks  []ACK                   // needed if their 200 is repeated
	early map[string]*earlyDialog // by To tag
	forks map[string]bool         // To tags of forks whose 200 came too late

	digest Digest

	giveUpAt time.Time // when a CANCEL or BYE counts as failed; zero if none

	*outcome // result of the last Step; nil once the call has handled it
}

// outcome is the result of a Step.
type outcome struct {
	facts   []Fact
	effects []Effect
}

// outcomes holds the memory of results that were handled, for the next Step of any leg.
var outcomes message.Spare[outcome]

// deferredHangup is a BYE that waits for an ACK (RFC 3261 section 15), or for the answer to a NOTIFY.
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

// IsIdle reports whether every request of the leg and of its peer is answered.
func (l *Leg) IsIdle() bool {
	return l.state == legConfirmed && l.session.pending == nil && l.session.wanted == nil && !l.session.sending &&
		len(l.asked) == 0 && len(l.held) == 0 && len(l.sent) == 0 && l.hangupDeferred == nil || l.Done()
}

// Calls reports whether the leg's INVITE has no final response, and has got no SDP answer yet.
func (l *Leg) Calls() bool {
	return !l.UAS && (l.state == legCalling || l.state == legProceeding) && l.session.state == offerOurs
}

// AwaitsResponse reports whether the leg's INVITE waits for its first response, with a time limit.
func (l *Leg) AwaitsResponse() bool { return !l.deadlines().firstAnswerAt.IsZero() }

// AwaitsPRACK reports whether a reliable provisional answer waits for its PRACK.
func (l *Leg) AwaitsPRACK() bool { return l.awaited().res != nil }

// setup is the state that a leg needs only until the dialog is established.
type setup struct {
	invite *sip.Request // received (UAS) or sent (UAC)

	// UAS
	lastProvisional Ring // zero if none was sent

	// UAC
	inviteHop  Hop          // where the INVITE was sent; its CANCEL must go there as well
	added      []sip.Header // headers that the leg adds to its INVITE; cached by inviteHeaders
	shorten    func(more int) (*sip.Request, bool)
	report     func(code int)
	cancelled  bool   // CANCEL sent
	restored   bool   // the INVITE was sent by an old process, which may have got more responses
	taken      string // To tag of a peer that may have the call although it answered the CANCEL; empty if none
	leftEarly  string // To tag of a peer that has sent BYE before its 200; empty if none has
	why        cause.Cause
	caller     cause.Reasons
	challenged int // how many challenges to the INVITE were answered

	answeredEarly []byte // the SDP answer that an old process got reliably before the 200
	noResponse    bool   // the INVITE has got no response yet

	intervals int // how many 422s were answered

	firstResponse time.Duration // Invite.FirstResponse

	first unacknowledged // UAS: memory for Leg.ok

	setupDeadlines
}

// setupDeadlines are the deadlines of the set-up. A zero time means none.
type setupDeadlines struct {
	ringAt        time.Time // UAS: when to repeat the provisional answer
	firstAnswerAt time.Time // UAC: time limit for the first response
	ringUntil     time.Time // UAC: time limit for the final response
}

// deadlines returns the deadlines of the set-up, or none if s is nil, because the set-up is over.
func (s *setup) deadlines() setupDeadlines {
	if s == nil {
		return setupDeadlines{}
	}
	return s.setupDeadlines
}

// PeerOptions is the configuration of a leg's peer.
type PeerOptions struct {
	Rel100         config.Rel100Mode // empty means off
	SessionExpires time.Duration     // the session timer that we ask for; 0 means that only the peer may ask for one
	Allow          sip.Header        // the Allow header to the peer
	NAT            config.NATMode    // decides where requests within the dialog are sent; empty means off
}

// Options are the arguments that NewUAC, NewUAS and Restore have in common.
type Options struct {
	Side   media.Side
	Minter *message.Minter
	Local  Local
	Peer   PeerOptions
}

// Step handles one input. The returned slices are valid until the next Step, or until Handled.
func (l *Leg) Step(now time.Time, in Input) ([]Fact, []Effect) {
	if l.outcome == nil {
		l.outcome = outcomes.Take()
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

// Handled tells the leg that the call has handled the result of the last Step, so that the messages in it can be
// freed and its memory reused.
func (l *Leg) Handled() {
	clear(l.facts)
	clear(l.effects)
	outcomes.Put(l.outcome)
	l.outcome = nil
}

// Done reports whether the leg has nothing more to send. Its transactions handle later messages.
func (l *Leg) Done() bool { return l.state == legDone }

// Deadline returns the time at which the leg wants a DeadlineReached, or zero if it wants none.
func (l *Leg) Deadline() time.Time {
	s := l.deadlines()
	r := l.awaited()
	return Earliest(s.ringAt, l.giveUpAt, s.firstAnswerAt, s.ringUntil, l.ok.resendAt, l.ok.giveUpAt,
		r.resendAt, r.giveUpAt, l.byeAt(), l.session.retryAt(), l.session.giveUpAt, l.timer.refreshAt, l.timer.expireAt)
}

// Described returns our session description that the peer has agreed to.
func (l *Leg) Described() []byte { return l.session.local }

// AnswerWaits reports whether the 200 to the peer's INVITE waits for a PRACK.
func (l *Leg) AnswerWaits() bool { return l.awaited().answer != nil }

// Dialog returns a copy of the leg's dialog.
func (l *Leg) Dialog() Dialog { return l.dialog }

func (l *Leg) onDeadline(now time.Time) {
	due := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	s := l.deadlines()
	switch {
	case due(l.giveUpAt):
		l.giveUp(now)
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

// end ends the dialog with BYE and reports Gone.
func (l *Leg) end(now time.Time, why cause.Cause) {
	l.fact(Gone{Cause: why})
	l.sendBye(now, Hangup{Why: why})
}

// onRequest handles a request within the dialog.
func (l *Leg) onRequest(now time.Time, in RequestIn) {
	req, cseq := in.Req, in.Req.CSeq()
	if req.Method == sip.ACK {
		l.onACK(now, req)
		return
	}
	if req.Method == sip.BYE && l.AnsweredBye != "" && message.BranchOf(req) == l.AnsweredBye {
		l.respond(req, 200, message.StatusText(200)) // the answer to this BYE was lost
		return
	}
	if req.Method == sip.INVITE && l.answerRetransmission(req) {
		return
	}
	// Call-ID and both tags identify a dialog (RFC 3261 section 12). Before the 200 to the leg's INVITE, the peer may use
	// any tag.
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
		l.respond(req, 200, message.StatusText(200), Capabilities(l.Peer)...)
	default:
		l.onOther(req)
	}
}

// answerRetransmission handles a re-INVITE that comes again after its transaction has ended (RFC 6026 section 7.1),
// because the copy is late or our answer was lost. It returns false for any other request.
func (l *Leg) answerRetransmission(req *sip.Request) bool {
	switch branch := message.BranchOf(req); {
	case branch == "", req.CSeq().SeqNo > l.dialog.remoteSeq: // a new request, even if it uses an old branch
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

// mayRepeat reports whether the peer may repeat its last request, because the old process may have ended before it
// answered. Only an UPDATE may be repeated: the state is saved before the UPDATE is answered, and handling the UPDATE
// twice does no harm. For an INVITE, the saved state includes the answer.
func (d *Dialog) mayRepeat(m sip.RequestMethod) bool { return d.unsure && m == sip.UPDATE }

// onOther reports a request to the call, which must answer it, or refuses the request.
func (l *Leg) onOther(req *sip.Request) {
	unknown := missing(req, l.Peer)
	if req.Method == sip.REFER && strings.EqualFold(unknown, "norefersub") {
		unknown = "" // RFC 4488 section 5
	}
	switch {
	case unknown != "":
		l.respond(req, 420, "Bad Extension", sip.NewHeader("Unsupported", unknown))
	case !Allowed(l.Peer.Allow.Value(), req.Method):
		code := StatusOfMethod(req.Method)
		l.respond(req, code, message.StatusText(code), l.Peer.Allow)
	case l.state == legEnding:
		l.respond(req, 481, message.StatusText(481))
	case len(l.asked) >= maxAsked:
		l.respond(req, 500, "Too Many Requests Pending", retryShortly())
	default:
		l.asked = append(l.asked, req)
		l.fact(Asked{Req: req})
	}
}

// maxAsked bounds the peer's requests that wait for an answer of the call.
const maxAsked = 16

// via returns the Via header of a new request.
func (l *Leg) via() *sip.ViaHeader { return l.Local.Via(l.mint.Branch(l.dialog.LocalTag)) }

// invited is the part of the INVITE that a UAC needs after the 200: for ACKs, and for forks that answer later.
type invited struct {
	uri         string
	credentials []sip.Header // usually empty
}

// releaseSetup releases the state that is needed only until the dialog is established. It copies the rest, so that the
// messages of the set-up can be freed.
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
		l.lastProvisional = Ring{}
	}
	l.sent = nil // early is kept: the 200 of a fork may still come
}

// clearDeadlines stops all timers, and forgets the exchanges that they belong to.
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
