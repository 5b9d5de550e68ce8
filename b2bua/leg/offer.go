package leg

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
)

// Changes of a session that is up: re-INVITE (RFC 3261 section 14) and UPDATE
// (RFC 3311), from either side.

// offerState is how far an exchange of session descriptions on a leg has come
// (RFC 3264 section 4, RFC 6337): there is one at a time.
type offerState int

const (
	offerNone   offerState = iota // the INVITE had no offer
	offerOurs                     // the peer owes an answer
	offerTheirs                   // we owe one
	offerAgreed
)

// negotiation is a leg's part in agreeing on a session.
type negotiation struct {
	state   offerState
	pending *sip.Request // the peer's, that waits for Accept or Reject
	local   []byte       // our description that the peer has agreed to
	before  struct {     // the last answer of ours, in case that it loses to a CANCEL
		local  []byte
		origin sdp.Origin
	}
	wanted  []byte    // an offer of ours that is not answered
	ref     int       // and its Ref
	sending bool      // our re-INVITE has no final answer
	tries   int       // of wanted
	retryAt time.Time // when it is sent again, after a glare

	giveUpAt time.Time // our re-INVITE is cancelled, or its CANCEL was not heeded
}

// MaxOfferTries bounds how often an offer is sent again because the peer was
// busy.
const MaxOfferTries = 6

// onReinvite is an INVITE within the dialog.
func (l *Leg) onReinvite(now time.Time, in RequestIn) {
	req, sdp := in.Req, message.SDPBody(in.Req)
	if l.ok.res != nil && !l.ok.offers {
		l.acknowledged(now) // who sends another one has the 200: it has overtaken its ACK, or that was lost
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
		l.fact(Offered{Method: sip.INVITE, SDP: sdp})
	}
}

// busy says whether something that the peer began is not finished yet.
func (l *Leg) busy() bool {
	return l.state == legProceeding || l.ok.res != nil || l.session.pending != nil || l.session.state != offerAgreed
}

// onUpdate is an UPDATE (RFC 3311 section 5.2): with an offer, or to refresh
// target and time.
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
		l.fact(Offered{Method: sip.UPDATE, SDP: sdp})
	default:
		l.retarget(in)
		headers := append(l.agreeOnTimer(now, req), sip.NewHeader("Contact", l.Local.contact()), l.Allow(), Supported(l.Peer))
		l.respond(req, 200, message.StatusText(200), headers...)
	}
}

// soundRequest refuses an extension that we don't have, a time for the session
// that is too short (RFC 4028 section 9), and a body that is no session
// description.
func (l *Leg) soundRequest(req *sip.Request) bool {
	o := l.Peer
	if o.Rel100 == config.Rel100Required { // that was for the INVITE that began the call
		o.Rel100 = config.Rel100Supported
	}
	code, reason, headers := Unsupported(req, o)
	if code == 0 {
		code, reason, headers = message.BodyRefusal(req, nil)
	}
	if code != 0 {
		l.respond(req, code, reason, headers...)
	}
	return code == 0
}

// retarget takes the peer's new Contact: INVITE and UPDATE refresh the target
// (RFC 3261 section 12.2.2).
func (l *Leg) retarget(in RequestIn) {
	d := l.dialogOf(in.Req)
	if c := in.Req.Contact(); c != nil && c.Address.Host != "" {
		d.RemoteTarget = c.Address.String()
	}
	if in.Source.IsValid() {
		d.Source = in.Source
	}
	if in.Req.GetHeader("Allow") != nil {
		l.updates = message.Allows(in.Req, string(sip.UPDATE))
	}
}

// accept answers what the peer offered, or gives it the offer that it wants.
func (l *Leg) accept(now time.Time, sdp []byte) {
	req := l.session.pending
	if req == nil {
		return // withdrawn meanwhile
	}
	late := l.session.state != offerTheirs
	l.session.before.local, l.session.before.origin = l.session.local, l.dialog.Origin
	sdp = l.Describe(sdp)
	l.session.pending = nil
	l.session.state, l.session.local = offerAgreed, sdp
	if late {
		l.session.state = offerOurs
	}
	res := l.responseWith(req, 200, message.StatusText(200), sdp, l.agreeOnTimer(now, req))
	l.respondWith(req, res)
	l.keepEarly(req)
	if req.Method == sip.INVITE {
		l.awaitACK(now, res, req.CSeq().SeqNo, late)
	}
	l.afterPRACK(now)
}

// reject refuses it.
func (l *Leg) reject(now time.Time, in Reject) {
	req := l.session.pending
	if req == nil {
		return
	}
	l.session.pending = nil
	l.session.state = offerAgreed // as it was: it is not looked at in another state
	l.respond(req, in.Code, in.Reason, in.Headers...)
	l.afterPRACK(now)
}

// offer has a re-INVITE sent as soon as one may be.
func (l *Leg) offer(in Offer) {
	switch l.state {
	case legConfirmed, legAccepted:
	case legIdle, legCalling, legProceeding, legAbandoned, legEnding, legDone:
		l.fact(OfferRefused{Ref: in.Ref})
		return
	}
	l.session.wanted, l.session.ref, l.session.tries = in.SDP, in.Ref, 0
	l.session.retryAt = time.Time{}
}

// goOn does what had to wait for something that is over now: a refresh of the
// session's time, or an offer.
func (l *Leg) goOn(now time.Time) {
	if l.state != legConfirmed {
		return
	}
	if l.timer.waiting {
		l.refresh(now)
	}
	l.sendOffer(now)
}

// sendOffer sends the offer that is wanted, unless something else is under way
// (RFC 3261 section 14.1), which sends it when it is over.
func (l *Leg) sendOffer(now time.Time) {
	if l.session.wanted == nil || l.session.sending || l.state != legConfirmed || l.busy() || !l.session.retryAt.IsZero() {
		return
	}
	l.session.tries++
	l.reinvite(now, l.session.wanted).offer = l.session.ref
}

// reinvite sends a re-INVITE with a description, which refreshes the session's
// time too.
func (l *Leg) reinvite(now time.Time, sdp []byte) *sentRequest {
	req, to := l.dialog.request(sip.INVITE, 0)
	req.AppendHeader(sip.NewHeader("Contact", l.Local.contact()))
	req.AppendHeader(l.Allow())
	req.AppendHeader(Supported(l.Peer))
	for _, h := range l.timer.ask() {
		req.AppendHeader(h)
	}
	req.AppendHeader(contentSDP())
	req.SetBody(l.Describe(l.dialog.Origin.Again(sdp))) // another one may have been said meanwhile
	l.session.sending, l.session.state = true, offerOurs
	l.session.giveUpAt = now.Add(GiveUp)
	return l.send(req, to)
}

// giveUpOffer cancels a re-INVITE of ours that got nothing but provisional
// answers for 64*T1: it counts as refused with 408 (RFC 3261 section 9.1). Where
// the CANCEL is not heeded either, the dialog is over (section 14.1). One that
// got nothing at all is its transaction's to end.
func (l *Leg) giveUpOffer(now time.Time) {
	l.session.giveUpAt = time.Time{}
	i := slices.IndexFunc(l.sent, func(r sentRequest) bool { return r.method == sip.INVITE && !r.fork })
	switch {
	case i < 0:
		return
	case !l.sent[i].heard: // unless it is heard at the last moment
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
		l.fact(OfferRefused{Ref: r.offer, Code: 408, Reason: message.StatusText(408)})
	}
}

// onOfferAnswered is the final answer to a re-INVITE of ours. nil: there is none.
func (l *Leg) onOfferAnswered(now time.Time, r sentRequest, res *sip.Response) {
	l.session.sending, l.session.state, l.session.giveUpAt = false, offerAgreed, time.Time{}
	code, reason := 408, message.StatusText(408)
	if res != nil {
		code, reason = res.StatusCode, message.Phrase(res.Reason)
	}
	switch {
	case code < 300:
		l.offerTaken(now, r, res)
	case r.refresh && (code == 408 || code == 481): // RFC 4028 section 10
		l.end(now, cause.SessionExpired)
	case code == 408 || code == 481: // RFC 3261 section 14.1: the dialog is over
		l.end(now, cause.DialogLost)
	case r.givenUp && !r.refresh: // it was refused before
	case !r.refresh && !l.asWanted(r): // another one has replaced it
	case r.refresh:
		l.onRefreshed(now, r, res)
	case (code == 491 || code == 500 && res.GetHeader("Retry-After") != nil) && l.session.tries < MaxOfferTries:
		l.session.retryAt = now.Add(l.backOff(code, res))
	case code == 422 && l.session.tries < MaxOfferTries && l.timer.lengthen(res):
	default:
		l.session.wanted = nil
		l.fact(OfferRefused{Ref: r.offer, Code: code, Reason: reason})
	}
}

// asWanted says whether a re-INVITE of ours has the offer that is wanted still.
func (l *Leg) asWanted(r sentRequest) bool {
	return l.session.wanted != nil && r.offer == l.session.ref
}

// offerTaken is a 2xx to a re-INVITE.
func (l *Leg) offerTaken(now time.Time, r sentRequest, res *sip.Response) {
	if c := res.Contact(); c != nil && c.Address.Host != "" {
		l.dialog.RemoteTarget = c.Address.String()
	}
	l.sendACK(&l.dialog, r.seq)
	l.session.local = r.sent.Req.Body()
	l.timer.taken(now, res)
	wanted := !r.refresh && l.asWanted(r)
	answer := AnswerReady{SDP: message.SDPBody(res), Overtook: r.givenUp && !r.refresh}
	if wanted {
		answer.Ref, l.session.wanted = r.offer, nil
	}
	l.fact(answer)
}

// backOff is how long an offer waits that crossed one of the peer's: the side
// that owns the Call-ID waits longer (RFC 3261 section 14.1), in units of
// 10 ms; or for what the peer says.
func (l *Leg) backOff(code int, res *sip.Response) time.Duration {
	if code == 491 {
		if l.UAS {
			return time.Duration(rand.IntN(201)) * 10 * time.Millisecond
		}
		return time.Duration(210+rand.IntN(191)) * 10 * time.Millisecond
	}
	seconds, _ := strconv.Atoi(res.GetHeader("Retry-After").Value())
	return time.Duration(min(max(seconds, 0), 10)) * time.Second
}

// responseWith is an answer that makes, keeps or changes a dialog: it carries
// Contact and what we can do (RFC 3261 section 12.1.1).
func (l *Leg) responseWith(req *sip.Request, code int, reason string, sdp []byte, headers []sip.Header) *sip.Response {
	res := sip.NewResponseFromRequest(req, code, reason, sdp)
	if code < 300 {
		res.AppendHeader(sip.NewHeader("Contact", l.Local.contact()))
		res.AppendHeader(l.Allow())
		res.AppendHeader(Supported(l.Peer))
	}
	for _, h := range headers {
		res.AppendHeader(h)
	}
	res.AppendHeader(sip.NewHeader("Server", l.agent))
	if sdp != nil {
		res.AppendHeader(contentSDP())
	}
	return res
}

// contentSDP is the header of a message with an SDP body.
func contentSDP() sip.Header { return sip.NewHeader("Content-Type", message.SDPType) }

// Describe gives a description of ours the o= line that it has on this leg: a
// version of its own, unless it says the same as the last one (RFC 3264
// section 8).
func (l *Leg) Describe(sdp []byte) []byte {
	if sdp == nil {
		return nil
	}
	return l.dialog.Origin.Stamp(sdp)
}
