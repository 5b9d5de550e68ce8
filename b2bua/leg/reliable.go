package leg

import (
	"math/rand/v2"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// This file sends reliable provisional answers (RFC 3262) to a caller; early.go handles those of a
// target. They belong to one leg and are not passed through.

// reliable is the provisional answer that waits for its PRACK, and the answers that are queued
// behind it. Only one answer may wait for a PRACK at a time (RFC 3262 section 3).
type reliable struct {
	last      uint32        // RSeq of the last reliable answer
	res       *sip.Response // the answer that waits for its PRACK; nil if none does
	described bool          // res has SDP
	offers    bool          // the SDP in res is an offer; the PRACK has the answer
	queue     []Ring
	answer    *Answer // the final answer, if it waits for the PRACK
	resend    time.Duration
	resendAt  time.Time
	giveUpAt  time.Time
}

// awaited returns the state of reliable answers, for reading only.
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

// wantsReliable reports whether to send a provisional answer reliably. It is sent reliably if the
// caller requires that. It also is if the caller supports that and either the answer has SDP or the
// configuration requires reliable answers.
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

// ringReliably sends a provisional answer and repeats it until its PRACK comes. If an earlier
// answer still waits for its PRACK, the new one is queued.
func (l *Leg) ringReliably(now time.Time, in Ring) {
	r := l.await()
	if r.res != nil {
		if len(r.queue) < maxQueued || in.SDP != nil {
			r.queue = append(r.queue, in)
		}
		return
	}
	if r.last++; r.last == 1 {
		r.last += rand.Uint32N(1<<31 - 1) // RFC 3262 section 3: the first RSeq is random
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
	case offerOurs, offerAgreed: // an earlier answer had the SDP
	}
	headers := append([]sip.Header{
		sip.NewHeader("Require", "100rel"), sip.NewHeader("RSeq", message.FormatRSeq(r.last)),
	}, in.Headers...)
	r.res, r.described = l.inviteResponse(in.Code, in.Reason, sdp, headers), sdp != nil
	r.resend, r.resendAt, r.giveUpAt = T1, now.Add(T1), now.Add(GiveUp)
	l.ringAt = time.Time{}
	l.sendProvisional(r.res)
}

// resendReliable repeats the answer that waits for its PRACK. The interval doubles each time, and
// T2 does not limit it.
func (l *Leg) resendReliable(now time.Time) {
	r := l.reliable
	l.sendProvisional(r.res)
	r.resend *= 2
	r.resendAt = now.Add(r.resend)
}

// unacknowledgedProvisional refuses the INVITE of a caller that has sent no PRACK for 64*T1 (RFC
// 3262 section 3).
func (l *Leg) unacknowledgedProvisional() {
	l.respondInvite(504, message.StatusText(504), nil)
	l.fact(Gone{Cause: cause.NoPRACK})
	l.done()
}

// onPRACK handles a PRACK, which may contain an SDP answer or a new offer (RFC 3262 section 5).
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

// afterPRACK sends the final answer or the next provisional answer that waited for a PRACK, unless
// the call still has to answer an offer.
func (l *Leg) afterPRACK(now time.Time) {
	r := l.awaited()
	if r.res != nil || l.session.pending != nil { // the call must first answer the offer in the PRACK or UPDATE
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
