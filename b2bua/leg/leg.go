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

// The timers of RFC 3261 section 17.1.1.1 that are ours; the transactions'
// own are the SIP library's.
const (
	T1      = 500 * time.Millisecond
	timerT2 = 4 * time.Second
	// GiveUp is 64*T1: an answer nobody acknowledges, a CANCEL nobody
	// heeds.
	GiveUp = 64 * T1
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
	legAccepted                   // UAS: the first 200 sent, no ACK yet
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
	UAS   bool
	mint  *message.Minter
	Local Local
	agent string // User-Agent and Server value
	Peer  PeerOptions

	state  legState
	dialog Dialog

	invite    *sip.Request // that the dialog begins with: received (UAS) or sent (UAC)
	inviteHop Hop          // UAC: where the INVITE went, for its CANCEL
	InviteSeq uint32

	session negotiation
	timer   sessionTimer
	updates bool // the peer takes UPDATE (RFC 3311)

	ok         unacknowledged
	hangupOwed *Hangup        // BYE that waits for the ACK (RFC 3261 section 15), or a NOTIFY's answer
	asked      []*sip.Request // the peer's requests without a final answer
	held       []Send         // requests of the other side that wait for the ACK

	AnsweredBye string // branch of the peer's BYE
	acked       string // branch of its last INVITE whose 200 it has acknowledged

	sent []sentRequest // ours within the dialog, and to forks, without a final answer

	// UAS
	lastProvisional *Ring
	reliable        reliable

	// UAC
	acks      []sentACK // sent again with each 200 that comes again
	cancelled bool      // CANCEL sent
	leftEarly string    // To tag of who hung up before its 200
	why       cause.Cause
	caller    cause.Reasons
	early     map[string]*earlyDialog // by To tag
	forks     map[string]bool         // To tags of 200s that lost

	digest        digestAuth
	challenged    int           // challenges to the INVITE that were answered
	intervals     int           // 422s that were
	firstResponse time.Duration // to each INVITE; 0: no limit

	// deadlines; zero: none
	ringAt        time.Time // UAS: another provisional
	giveUpAt      time.Time // CANCEL or BYE unheeded
	byeAt         time.Time // hangupOwed, although a NOTIFY has no answer
	firstAnswerAt time.Time // UAC: nothing heard at all
	ringUntil     time.Time // UAC: no final answer

	facts   []Fact
	effects []Effect
}

// PeerOptions are what is configured of a leg's peer.
type PeerOptions struct {
	Rel100         config.Rel100Mode // empty: off
	SessionExpires time.Duration     // of the session, that we ask for; 0: only the peer's
	MinSE          time.Duration     // the least that we take
	Allow          string            // the methods of Allow
	Parts          []string          // types of body parts that somebody takes
	NAT            config.NATMode    // where requests within the dialog go; empty: off
}

// Options is what both kinds of leg are made with.
type Options struct {
	Side   media.Side
	Minter *message.Minter
	Local  Local
	Agent  string
	Peer   PeerOptions
}

// Step gives the leg one input. The slices it returns are good until the next
// Step.
func (l *Leg) Step(now time.Time, in Input) ([]Fact, []Effect) {
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
		l.accept(now, in.SDP)
	case Reject:
		l.reject(now, in)
	case Send:
		l.sendFor(in)
	case Reply:
		l.replyTo(in)
	}
	l.goOn(now)
	return l.facts, l.effects
}

// Done says that nothing is owed to the peer any more; what still may come is
// the transactions' business.
func (l *Leg) Done() bool { return l.state == legDone }

// Deadline is when the leg wants a DeadlineReached; zero: never.
func (l *Leg) Deadline() time.Time {
	return Earliest(l.ringAt, l.giveUpAt, l.firstAnswerAt, l.ringUntil, l.ok.resendAt, l.ok.giveUpAt,
		l.reliable.resendAt, l.reliable.giveUpAt, l.byeAt, l.session.retryAt, l.session.giveUpAt, l.timer.refreshAt, l.timer.expireAt)
}

// Described is what the peer was told of the session and has agreed to.
func (l *Leg) Described() []byte { return l.session.local }

// AnswerWaits says that the 200 waits for a PRACK.
func (l *Leg) AnswerWaits() bool { return l.reliable.answer != nil }

// Dialog gives a copy of the leg's dialog.
func (l *Leg) Dialog() Dialog { return l.dialog }

func (l *Leg) onDeadline(now time.Time) {
	due := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	switch {
	case due(l.giveUpAt):
		l.done()
	case due(l.byeAt):
		l.sendBye(now, *l.hangupOwed)
	case due(l.ok.giveUpAt): // RFC 3261 section 13.3.1.4
		l.end(now, cause.NoACK)
	case due(l.reliable.giveUpAt):
		l.unacknowledgedProvisional()
	case due(l.timer.expireAt):
		l.end(now, cause.SessionExpired)
	case due(l.session.giveUpAt):
		l.giveUpOffer(now)
	case due(l.ringUntil):
		l.fact(Refused{Cause: cause.RingTimeout})
		l.abandon(now, cause.RingTimeout, cause.Reasons{})
	case due(l.firstAnswerAt):
		l.fact(Refused{Cause: cause.TargetSilent})
		l.abandon(now, cause.TargetSilent, cause.Reasons{})
	case due(l.ok.resendAt):
		l.resendAnswer(now)
	case due(l.reliable.resendAt):
		l.resendReliable(now)
	case due(l.ringAt):
		l.ringAgain(now)
	case due(l.timer.refreshAt):
		l.refresh(now)
	case due(l.session.retryAt):
		l.session.retryAt = time.Time{} // goOn sends it
	}
}

// end gives up a dialog whose peer does not do what it must, with BYE.
func (l *Leg) end(now time.Time, why cause.Cause) {
	l.fact(Gone{Cause: why})
	l.sendBye(now, Hangup{Why: why})
}

// onRequest is a request within the dialog, ACK and BYE among them.
func (l *Leg) onRequest(now time.Time, in RequestIn) {
	req, cseq := in.Req, in.Req.CSeq()
	if req.Method == sip.ACK {
		l.onACK(now, req)
		return
	}
	if req.Method == sip.BYE && l.AnsweredBye != "" && message.BranchOf(req) == l.AnsweredBye {
		l.respond(req, 200, message.StatusText(200)) // our answer was lost
		return
	}
	if req.Method == sip.INVITE && l.cameBefore(req) {
		return
	}
	// A dialog is Call-ID and both tags (RFC 3261 section 12). Before the 200
	// to an INVITE of ours the peer's may be any.
	d := l.dialogOf(req)
	if d == nil || (l.state == legDone && req.Method != sip.BYE) {
		l.respond(req, 481, message.StatusText(481))
		return
	}
	switch {
	case cseq.SeqNo < d.RemoteSeq, cseq.SeqNo == d.RemoteSeq && d.Heard: // RFC 3261 section 12.2.2
		l.respond(req, 500, "CSeq Out Of Order")
		return
	}
	d.RemoteSeq, d.Heard = cseq.SeqNo, true
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

// cameBefore sees to a re-INVITE that comes again when its transaction is over
// (RFC 6026 section 7.1): late on its way, or because our answer was lost.
func (l *Leg) cameBefore(req *sip.Request) bool {
	switch branch := message.BranchOf(req); {
	case branch == "":
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

// onOther is a request that the call decides about.
func (l *Leg) onOther(req *sip.Request) {
	unknown := missing(req, l.Peer)
	if req.Method == sip.REFER && strings.EqualFold(unknown, "norefersub") {
		unknown = "" // RFC 4488 section 5
	}
	switch {
	case unknown != "":
		l.respond(req, 420, "Bad Extension", sip.NewHeader("Unsupported", unknown))
	case !Allowed(l.Peer.Allow, req.Method):
		code := NotTaken(req.Method)
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

// maxAsked bounds the requests of a peer that wait for the other side.
const maxAsked = 16

func (l *Leg) via() *sip.ViaHeader {
	via := &sip.ViaHeader{
		ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: message.ViaTransport(l.Local.Transport),
		Host: l.Local.Host, Port: int(l.Local.Port),
	}
	via.Params.Add("branch", l.mint.Branch())
	via.Params.Add("rport", "") // RFC 3581
	return via
}

func (l *Leg) fact(f Fact) { l.facts = append(l.facts, f) }

func (l *Leg) done() {
	l.closeAsked()
	l.clearDeadlines()
	l.state = legDone
	l.lastProvisional, l.sent = nil, nil // not the early dialogs: the 200 of a fork may be on its way
}

// clearDeadlines ends everything that waits for its time, retransmissions among
// them.
func (l *Leg) clearDeadlines() {
	l.ringAt, l.giveUpAt, l.firstAnswerAt, l.ringUntil, l.byeAt = time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	l.ok, l.reliable = unacknowledged{}, reliable{}
	l.session = negotiation{}
	l.timer.stop()
}

// Earliest is the first of the times that are set; zero if none is.
func Earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}
