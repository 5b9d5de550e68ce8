package leg

import (
	"math/rand/v2"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// Reliable provisional answers (RFC 3262) to a caller; early.go handles those from a
// target. They belong to one leg and are not passed through.

// reliable is a provisional answer that waits for its PRACK, and the answers that wait
// behind it. Only one at a time waits for a PRACK (RFC 3262 section 3).
type reliable struct {
	last      uint32        // RSeq of the last reliable answer
	res       *sip.Response // the answer that waits for PRACK; nil if none
	described bool          // it has SDP
	offers    bool          // the SDP is an offer; the PRACK has the answer
	queue     []Ring
	answer    *Answer // the final answer, which waits for the PRACK
	resend    time.Duration
	resendAt  time.Time
	giveUpAt  time.Time
}

// awaited returns the state of reliable answers. It must not be modified.
func (l *Leg) awaited() *reliable {
	if l.reliable == nil {
		return &reliable{}
	}
	return l.reliable
}

// await returns the state of reliable answers, and creates it if needed.
func (l *Leg) await() *reliable {
	if l.reliable == nil {
		l.reliable = &reliable{}
	}
	return l.reliable
}

// maxQueued bounds the provisional answers that wait for a PRACK.
const maxQueued = 8

// wantsReliable reports whether to send a provisional answer reliably: if the caller
// requires it, or if the caller supports it and either the answer has SDP or the
// configuration requires it.
func (l *Leg) wantsReliable(in Ring) bool {
	switch {
	case l.Peer.Rel100 == "" || l.Peer.Rel100 == config.Rel100Off:
		return false
	case message.HasOption(l.invite, "Require", "100rel"):
		return true
	case !message.HasOption(l.invite, "Supported", "100rel"):
		return false
	default:
		return in.SDP != nil || l.Peer.Rel100 == config.Rel100Required
	}
}

// ringReliably sends a provisional answer, after earlier ones, and repeats it until its
// PRACK comes.
func (l *Leg) ringReliably(now time.Time, in Ring) {
	r := l.await()
	if r.res != nil {
		if len(r.queue) < maxQueued || in.SDP != nil {
			r.queue = append(r.queue, in)
		}
		return
	}
	if r.last++; r.last == 1 {
		r.last += rand.Uint32N(1<<31 - 1) // section 3
	}
	var sdp []byte
	switch l.session.state {
	case offerTheirs:
		if sdp = l.Describe(in.SDP); sdp != nil {
			l.session.state, l.session.local = offerAgreed, sdp
		}
	case offerNone:
		if sdp = l.Describe(in.SDP); sdp != nil {
			l.session.state, l.session.local = offerOurs, sdp
			r.offers = true
		}
	case offerOurs, offerAgreed: // sent in an earlier answer
	}
	headers := append([]sip.Header{
		sip.NewHeader("Require", "100rel"), sip.NewHeader("RSeq", message.FormatRSeq(r.last)),
	}, in.Headers...)
	r.res, r.described = l.inviteResponse(in.Code, in.Reason, sdp, headers), sdp != nil
	r.resend, r.resendAt, r.giveUpAt = T1, now.Add(T1), now.Add(GiveUp)
	l.ringAt = time.Time{}
	l.sendProvisional(r.res)
}

// resendReliable sends the answer again. The interval doubles each time, without T2 as an
// upper limit.
func (l *Leg) resendReliable(now time.Time) {
	r := l.reliable
	l.sendProvisional(r.res)
	r.resend *= 2
	r.resendAt = now.Add(r.resend)
}

// unacknowledgedProvisional refuses the INVITE of a caller that sent no PRACK for 64*T1
// (section 3).
func (l *Leg) unacknowledgedProvisional() {
	l.respondInvite(504, message.StatusText(504), nil)
	l.fact(Gone{Cause: cause.NoPRACK})
	l.done()
}

// onPRACK handles a PRACK, which may have an SDP answer or another offer (RFC 3262
// section 5).
func (l *Leg) onPRACK(now time.Time, req *sip.Request) {
	r := l.awaited()
	of, err := message.ParseRAck(message.FirstHeader(req, "rack"))
	if err != nil || r.res == nil || of != (message.RAck{RSeq: r.last, CSeq: l.InviteSeq, Method: string(sip.INVITE)}) {
		l.respond(req, 481, message.StatusText(481))
		return
	}
	sdp := message.SDPBody(req)
	offered := r.offers
	r.res, r.offers, r.described = nil, false, false
	r.resendAt, r.giveUpAt = time.Time{}, time.Time{}
	if l.state == legProceeding {
		l.ringAt = now.Add(timerProvisional)
	}
	switch {
	case offered:
		l.respond(req, 200, message.StatusText(200))
		l.session.state = offerAgreed
		l.fact(AnswerReady{SDP: l.answerSDP(req), Late: true})
	case sdp != nil && l.session.state == offerAgreed && l.session.pending == nil:
		l.session.pending, l.session.state = req, offerTheirs
		l.fact(Offered{Method: sip.PRACK, SDP: sdp})
	case sdp != nil:
		l.respond(req, 488, message.StatusText(488))
	default:
		l.respond(req, 200, message.StatusText(200))
	}
	l.afterPRACK(now)
}

// afterPRACK sends the answers that waited for the PRACK and for the answer to its
// offer.
func (l *Leg) afterPRACK(now time.Time) {
	r := l.awaited()
	if r.res != nil || l.session.pending != nil { // the call must first answer the offer in a PRACK or UPDATE
		return
	}
	if answer := r.answer; answer != nil {
		r.answer, r.queue = nil, nil
		l.answer(now, *answer)
		return
	}
	if len(r.queue) > 0 {
		next := r.queue[0]
		r.queue = r.queue[1:]
		l.ringReliably(now, next)
	}
}
