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

// offerState is the state of the exchange of session descriptions on a leg (RFC 3264
// section 4, RFC 6337). There is only one exchange at a time.
type offerState int

const (
	offerNone   offerState = iota // the INVITE had no offer
	offerOurs                     // the peer has to answer
	offerTheirs                   // the call has to answer
	offerAgreed
)

// negotiation is the offer/answer state of a leg.
type negotiation struct {
	state    offerState
	pending  *sip.Request // the peer's offer that waits for Accept or Reject
	local    []byte       // this side's description, to which the peer has agreed
	previous *describedAs // the state before the last answer, which a CANCEL may undo; nil if none
	wanted   *wantedOffer // the call's offer while it has no answer; nil if none
	sending  bool         // the leg's re-INVITE has no final answer yet

	giveUpAt time.Time // when the re-INVITE is cancelled, or its CANCEL given up
}

// wantedOffer is an offer that the call wants to make.
type wantedOffer struct {
	sdp     []byte
	passing []sip.Header // headers from the other side to send with it
	ref     int
	tries   int
	retryAt time.Time // when to send it again, after a glare
}

// retryAt returns the time to send the call's offer again, or zero if none is set.
func (n *negotiation) retryAt() time.Time {
	if n.wanted == nil {
		return time.Time{}
	}
	return n.wanted.retryAt
}

// describedAs is an earlier description of this side.
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
		l.acknowledged(now) // another INVITE implies that the peer has the 200; the ACK is late or lost
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

// busy reports whether an INVITE or offer of the peer is not finished yet.
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
		headers := append(l.agreeOnTimer(now, req), sip.NewHeader("Contact", l.Local.contact()), l.Allow(), Supported(l.Peer))
		l.respond(req, 200, message.StatusText(200), headers...)
	}
}

// soundRequest reports whether a request can be accepted. If not, it refuses the request:
// for an unknown extension, a session timer that is too short (RFC 4028 section 9), or a
// body other than a session description.
func (l *Leg) soundRequest(req *sip.Request) bool {
	o := l.Peer
	if o.Rel100 == config.Rel100Required { // only the call's first INVITE must require it
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

// retarget adopts the peer's new Contact: INVITE and UPDATE refresh the target (RFC 3261
// section 12.2.2).
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

// accept answers the peer's offer, or makes the offer that it asked for.
func (l *Leg) accept(now time.Time, sdp []byte, headers []sip.Header) {
	req := l.session.pending
	if req == nil {
		return // it was withdrawn
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
	l.session.state = offerAgreed // the state before the peer's offer: a pending offer is allowed in no other state
	l.respond(req, in.Code, in.Reason, in.Headers...)
	l.afterPRACK(now)
}

// offer stores an offer of the call. sendWaiting sends it as soon as a re-INVITE is
// allowed.
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

// sendWaiting sends a refresh of the session timer, or an offer, that had to wait, if it
// may be sent now.
func (l *Leg) sendWaiting(now time.Time) {
	if l.state != legConfirmed {
		return
	}
	if l.timer.waiting {
		l.refresh(now)
	}
	l.sendOffer(now)
}

// sendOffer sends the wanted offer, unless another exchange is under way (RFC 3261
// section 14.1). Then the offer is sent at that exchange's end.
func (l *Leg) sendOffer(now time.Time) {
	w := l.session.wanted
	if w == nil || l.session.sending || l.state != legConfirmed || l.busy() || !w.retryAt.IsZero() {
		return
	}
	w.tries++
	l.reinvite(now, w.sdp, w.passing...).offer = w.ref
}

// reinvite sends a re-INVITE with a description. It refreshes the session timer, too.
func (l *Leg) reinvite(now time.Time, sdp []byte, passing ...sip.Header) *sentRequest {
	headers := append([]sip.Header{sip.NewHeader("Contact", l.Local.contact()), l.Allow(), Supported(l.Peer)},
		l.timer.ask()...)
	req, to := l.request(&l.dialog, sip.INVITE, append(append(headers, contentSDP()), passing...)...)
	req.SetBody(l.Describe(l.dialog.origin.Restamp(sdp))) // another description may have been sent since
	l.session.sending, l.session.state = true, offerOurs
	l.session.giveUpAt = now.Add(GiveUp)
	return l.send(req, to)
}

// giveUpOffer cancels a re-INVITE that got only provisional answers for 64*T1. It counts
// as refused with 408 (RFC 3261 section 9.1). If the CANCEL has no effect either, the
// dialog is over (section 14.1). A re-INVITE without any answer is ended by its
// transaction.
func (l *Leg) giveUpOffer(now time.Time) {
	l.session.giveUpAt = time.Time{}
	i := slices.IndexFunc(l.sent, func(r sentRequest) bool { return r.method == sip.INVITE && !r.fork })
	switch {
	case i < 0:
		return
	case !l.sent[i].provisional: // its transaction still waits for any answer
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

// onOfferAnswered handles the final answer to the leg's re-INVITE. res is nil if no
// answer came.
func (l *Leg) onOfferAnswered(now time.Time, r sentRequest, res *sip.Response) {
	l.session.sending, l.session.state, l.session.giveUpAt = false, offerAgreed, time.Time{}
	switch code := statusOf(res); {
	case code < 300:
		l.offerTaken(now, r, res)
	case r.refresh:
		l.onRefreshed(now, r, res)
	case code == 408 || code == 481: // RFC 3261 section 14.1: the dialog is over
		l.end(now, cause.DialogLost)
	case r.givenUp: // it counts as refused already
	case l.asWanted(r):
		l.onOfferRefused(now, r, res)
	}
}

// statusOf returns the status of a final answer. No answer counts as 408 (RFC 3261
// section 8.1.3.1).
func statusOf(res *sip.Response) int {
	if res == nil {
		return 408
	}
	return res.StatusCode
}

// onOfferRefused schedules another attempt if the peer was busy or wants a longer session
// timer. Otherwise it reports the refusal.
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

// asWanted reports whether a re-INVITE carries the offer that the call wants now.
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

// backOff returns the wait before an offer is sent again. If two offers crossed, the side
// that owns the Call-ID waits longer (RFC 3261 section 14.1), in units of 10 ms.
// Otherwise the peer names the time.
func (l *Leg) backOff(code int, res *sip.Response) time.Duration {
	if code == 491 {
		if l.UAS {
			return time.Duration(rand.IntN(201)) * 10 * time.Millisecond
		}
		return time.Duration(210+rand.IntN(191)) * 10 * time.Millisecond
	}
	return min(message.RetryAfter(res.Headers()), 10*time.Second)
}

// responseWith returns an answer that creates or refreshes a dialog, with Contact and
// capabilities (RFC 3261 section 12.1.1).
func (l *Leg) responseWith(req *sip.Request, code int, reason string, sdp []byte, headers []sip.Header) *sip.Response {
	var room [16]sip.Header
	all := room[:0]
	if code < 300 {
		all = append(all, sip.NewHeader("Contact", l.Local.contact()), l.Allow(), Supported(l.Peer))
	}
	all = append(append(all, headers...), sip.NewHeader("Server", l.agent))
	if sdp != nil {
		all = append(all, contentSDP())
	}
	return message.Reply(req, code, reason, sdp, all...)
}

// contentSDP returns the Content-Type of a session description. All messages share it.
func contentSDP() sip.Header { return sdpType }

var sdpType = sip.NewHeader("Content-Type", message.SDPType)

// Describe returns a description with the leg's o= line. The version is new unless the
// description equals the last one (RFC 3264 section 8).
func (l *Leg) Describe(sdp []byte) []byte {
	if sdp == nil {
		return nil
	}
	return l.dialog.origin.Stamp(sdp)
}
