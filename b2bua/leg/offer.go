package leg

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
)

// This file handles changes to an established session from either side: re-INVITE (RFC 3261 section 14) and UPDATE
// (RFC 3311).

// offerState is the state of the offer/answer exchange on a leg (RFC 3264 section 4, RFC 6337). There is at most
// one exchange at a time.
type offerState int

const (
	offerNone   offerState = iota // the INVITE had no offer, and none was made
	offerOurs                     // we made an offer, which the peer has to answer
	offerTheirs                   // the peer made an offer, which the call has to answer
	offerAgreed
)

// negotiation is the offer/answer state of a leg.
type negotiation struct {
	state   offerState
	pending *sip.Request // the peer's request that waits for Accept or Reject; nil if none does
	local   []byte       // our description that the peer has agreed to
	// previous is our description before the last answer, for the case that a CANCEL undoes the answer; nil if there is
	// none.
	previous *describedAs
	wanted   *wantedOffer // the offer that the call wants to make, until it is answered; nil if there is none
	sending  bool         // our re-INVITE has no final response yet

	giveUpAt time.Time // when to cancel the re-INVITE, or to give up after its CANCEL
}

// wantedOffer is an offer that the call wants to make.
type wantedOffer struct {
	sdp     []byte
	passing []sip.Header // headers of the other side to send with the offer
	ref     int
	tries   int
	retryAt time.Time // when to send the offer again after the peer was busy; zero means no wait
}

// retryAt returns the time to send the call's offer again, or zero if none is set.
func (n *negotiation) retryAt() time.Time {
	if n.wanted == nil {
		return time.Time{}
	}
	return n.wanted.retryAt
}

// describedAs is a session description that we have sent earlier.
type describedAs struct {
	local  []byte
	origin sdp.Origin
}

// maxOfferTries bounds the attempts to send an offer to a busy peer.
const maxOfferTries = 6

// onReinvite handles an INVITE within the dialog.
func (l *Leg) onReinvite(now time.Time, in RequestIn) {
	req, sdp := in.Req, message.SDPBody(in.Req)
	if l.ok.res != nil && !l.ok.offers {
		l.acknowledged(now) // a peer that sends another INVITE has got the 200; its ACK is late or lost
	}
	switch {
	case l.state == legEnding:
		l.respond(req, 481, message.StatusText(481))
	case l.state == legCalling || (l.state == legProceeding && !l.UAS) || l.session.sending:
		l.respond(req, 491, message.StatusText(491)) // RFC 3261 section 14.2
	case l.busy():
		l.respond(req, 500, "Request Pending", retryShortly())
	case !l.soundRequest(req):
	default:
		l.retarget(in)
		l.session.pending = req
		if sdp != nil {
			l.session.state = offerTheirs
		}
		l.fact(Offered{Method: sip.INVITE, SDP: sdp, Headers: req.Headers()})
	}
}

// busy reports whether an INVITE or an offer is still in progress, so that no other may start.
func (l *Leg) busy() bool {
	return l.state == legProceeding || l.ok.res != nil || l.session.pending != nil || l.session.state != offerAgreed
}

// onUpdate handles an UPDATE (RFC 3311 section 5.2): with an offer, or to refresh the
// target and the session timer.
func (l *Leg) onUpdate(now time.Time, in RequestIn) {
	req, sdp := in.Req, message.SDPBody(in.Req)
	l.agreedEarly(req)
	switch {
	case l.state == legEnding:
		l.respond(req, 481, message.StatusText(481))
	case sdp != nil && (l.session.sending || l.session.state == offerOurs):
		l.respond(req, 491, message.StatusText(491))
	case sdp != nil && (l.session.state == offerTheirs || l.session.pending != nil || l.session.state == offerNone):
		l.respond(req, 500, "Request Pending", retryShortly())
	case !l.soundRequest(req):
	case sdp != nil:
		l.retarget(in)
		l.session.pending, l.session.state = req, offerTheirs
		l.fact(Offered{Method: sip.UPDATE, SDP: sdp, Headers: req.Headers()})
	default:
		l.retarget(in)
		headers := append(l.agreeOnTimer(now, req),
			sip.NewHeader("Contact", l.Local.contact()), l.Peer.Allow, Supported(l.Peer))
		l.respond(req, 200, message.StatusText(200), headers...)
	}
}

// soundRequest reports whether a request can be accepted. If it can't, soundRequest refuses it: because of an
// unknown extension, a session timer that is too short (RFC 4028 section 9), or a body that is not SDP.
func (l *Leg) soundRequest(req *sip.Request) bool {
	o := l.Peer
	if o.Rel100 == config.Rel100Required { // only the first INVITE of a call must support 100rel
		o.Rel100 = config.Rel100Supported
	}
	code, reason, headers := Unsupported(req, o)
	if code == 0 {
		code, reason, headers = message.BodyRefusal(req)
	}
	if code != 0 {
		l.respond(req, code, reason, headers...)
	}
	return code == 0
}

// retarget stores the peer's new Contact and source, which INVITE and UPDATE refresh (RFC 3261 section 12.2.2).
func (l *Leg) retarget(in RequestIn) {
	d := l.dialogOf(in.Req)
	d.retarget(in.Req.Contact())
	if in.Source.IsValid() {
		d.Source = in.Source
	}
	if in.Req.GetHeader("Allow") != nil {
		l.updates = message.Allows(in.Req, string(sip.UPDATE))
	}
}

// accept answers the peer's offer, or makes an offer if the peer's INVITE had none.
func (l *Leg) accept(now time.Time, sdp []byte, headers []sip.Header) {
	req := l.session.pending
	if req == nil {
		return // the peer has withdrawn its request
	}
	late := l.session.state != offerTheirs
	l.session.previous = &describedAs{l.session.local, l.dialog.origin}
	sdp = l.Describe(sdp)
	l.session.pending = nil
	l.session.state, l.session.local = offerAgreed, sdp
	if late {
		l.session.state = offerOurs
	}
	res := l.responseWith(req, 200, message.StatusText(200), sdp, append(l.agreeOnTimer(now, req), headers...))
	l.respondWith(req, res)
	l.keepEarly(req)
	if req.Method == sip.INVITE {
		l.awaitACK(now, res, req.CSeq().SeqNo, late)
	}
	l.afterPRACK(now)
}

// reject refuses the peer's offer.
func (l *Leg) reject(now time.Time, in Reject) {
	req := l.session.pending
	if req == nil {
		return
	}
	l.session.pending = nil
	l.session.state = offerAgreed // the state before: only in this state may the peer make an offer
	l.respond(req, in.Code, in.Reason, in.Headers...)
	l.afterPRACK(now)
}

// offer stores an offer that the call wants to make. sendWaiting sends it as soon as a re-INVITE is allowed.
func (l *Leg) offer(in Offer) {
	switch l.state {
	case legConfirmed, legAccepted:
	case legIdle, legCalling, legProceeding, legAbandoned, legEnding, legDone:
		l.fact(OfferRefused{Ref: in.Ref})
		return
	}
	if l.session.wanted = nil; in.SDP != nil {
		l.session.wanted = &wantedOffer{sdp: in.SDP, ref: in.Ref, passing: in.Headers}
	}
}

// sendWaiting sends the refresh of the session timer, or the offer, that had to wait, if it is allowed now.
func (l *Leg) sendWaiting(now time.Time) {
	if l.state != legConfirmed {
		return
	}
	if l.timer.waiting {
		l.refresh(now)
	}
	l.sendOffer(now)
}

// sendOffer sends the wanted offer, unless another exchange is in progress (RFC 3261 section 14.1). Then it is
// sent when that exchange has ended.
func (l *Leg) sendOffer(now time.Time) {
	w := l.session.wanted
	if w == nil || l.session.sending || l.state != legConfirmed || l.busy() || !w.retryAt.IsZero() {
		return
	}
	w.tries++
	l.reinvite(now, w.sdp, w.passing...).offer = w.ref
}

// reinvite sends a re-INVITE with this description. It also refreshes the session timer.
func (l *Leg) reinvite(now time.Time, sdp []byte, passing ...sip.Header) *sentRequest {
	headers := append([]sip.Header{sip.NewHeader("Contact", l.Local.contact()), l.Peer.Allow, Supported(l.Peer)},
		l.timer.ask()...)
	req, to := l.request(&l.dialog, sip.INVITE, append(append(headers, ContentSDP), passing...)...)
	// Restamped, because another description may have been sent since.
	req.SetBody(l.Describe(l.dialog.origin.Restamp(sdp)))
	l.session.sending, l.session.state = true, offerOurs
	l.session.giveUpAt = now.Add(GiveUp)
	return l.send(req, to)
}

// giveUpOffer cancels a re-INVITE that got only provisional answers for 64*T1. The call is told that it was
// refused with 408 (RFC 3261 section 9.1). If the CANCEL has no effect either, the dialog has ended (section
// 14.1). A re-INVITE without any answer is ended by its transaction.
func (l *Leg) giveUpOffer(now time.Time) {
	l.session.giveUpAt = time.Time{}
	i := slices.IndexFunc(l.sent, func(r sentRequest) bool { return r.method == sip.INVITE && !r.fork })
	switch {
	case i < 0:
		return
	case !l.sent[i].provisional: // its transaction still waits for a first answer
		l.session.giveUpAt = now.Add(timerT2)
		return
	}
	r := &l.sent[i]
	if r.givenUp {
		l.end(now, cause.DialogLost)
		return
	}
	r.givenUp = true
	l.session.giveUpAt = now.Add(GiveUp)
	l.effects = append(l.effects, SendRequest{Req: cancelOf(r.sent.Req), To: r.sent.To})
	if !r.refresh {
		l.session.wanted = nil
		l.fact(OfferRefused{Ref: r.offer, Code: 408})
	}
}

// onOfferAnswered handles the final response to the leg's re-INVITE. res is nil if no response came.
func (l *Leg) onOfferAnswered(now time.Time, r sentRequest, res *sip.Response) {
	l.session.sending, l.session.state, l.session.giveUpAt = false, offerAgreed, time.Time{}
	switch code := statusOf(res); {
	case code < 300:
		l.offerTaken(now, r, res)
	case r.refresh:
		l.onRefreshed(now, r, res)
	case code == 408 || code == 481: // RFC 3261 section 14.1: these end the dialog
		l.end(now, cause.DialogLost)
	case r.givenUp: // already reported as refused
	case l.asWanted(r):
		l.onOfferRefused(now, r, res)
	}
}

// statusOf returns the status of a final response. A nil response counts as 408 (RFC 3261 section 8.1.3.1).
func statusOf(res *sip.Response) int {
	if res == nil {
		return 408
	}
	return res.StatusCode
}

// onOfferRefused schedules another attempt if the peer was busy or wants a longer session timer. Otherwise it
// reports the refusal to the call.
func (l *Leg) onOfferRefused(now time.Time, r sentRequest, res *sip.Response) {
	code := res.StatusCode
	if w := l.session.wanted; w.tries < maxOfferTries {
		switch {
		case code == 491, code == 500 && res.GetHeader("Retry-After") != nil:
			w.retryAt = now.Add(l.backOff(code, res))
			return
		case code == 422 && l.timer.lengthen(res):
			return
		}
	}
	l.session.wanted = nil
	l.fact(OfferRefused{Ref: r.offer, Code: code})
}

// asWanted reports whether a re-INVITE has the offer that the call still wants to make.
func (l *Leg) asWanted(r sentRequest) bool {
	return l.session.wanted != nil && r.offer == l.session.wanted.ref
}

// offerTaken handles a 2xx to the leg's re-INVITE.
func (l *Leg) offerTaken(now time.Time, r sentRequest, res *sip.Response) {
	l.dialog.retarget(res.Contact())
	l.sendACK(&l.dialog, r.seq)
	l.session.local = r.sent.Req.Body()
	l.timer.taken(now, res)
	wanted := !r.refresh && l.asWanted(r)
	answer := AnswerReady{SDP: l.answerSDP(res), Overtook: r.givenUp && !r.refresh, Headers: res.Headers()}
	if wanted {
		answer.Ref, l.session.wanted = r.offer, nil
	}
	l.fact(answer)
}

// backOff returns how long to wait before an offer is sent again. After a glare (491), the side that owns the
// Call-ID waits longer (RFC 3261 section 14.1), and the wait is random in steps of 10 ms. Otherwise the wait is
// the peer's Retry-After, at most 10 s.
func (l *Leg) backOff(code int, res *sip.Response) time.Duration {
	if code == 491 {
		if l.UAS {
			return time.Duration(rand.IntN(201)) * 10 * time.Millisecond
		}
		return time.Duration(210+rand.IntN(191)) * 10 * time.Millisecond
	}
	return min(message.RetryAfter(res.Headers()), 10*time.Second)
}

// responseWith returns a response to a request that creates or refreshes a dialog. A status below 300 comes with
// Contact and our capabilities (RFC 3261 section 12.1.1).
func (l *Leg) responseWith(req *sip.Request, code int, reason string, sdp []byte, headers []sip.Header) *sip.Response {
	var room [16]sip.Header
	all := room[:0]
	if code < 300 {
		all = append(all, sip.NewHeader("Contact", l.Local.contact()), l.Peer.Allow, Supported(l.Peer))
	}
	all = append(append(all, headers...), Server)
	if sdp != nil {
		all = append(all, ContentSDP)
	}
	return message.Reply(req, code, reason, sdp, all...)
}

// Describe returns a session description with the leg's o= line. Its version is new unless the description equals
// the last one (RFC 3264 section 8).
func (l *Leg) Describe(sdp []byte) []byte {
	if sdp == nil {
		return nil
	}
	return l.dialog.origin.Stamp(sdp)
}
