package leg

import (
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
)

// This file handles requests within a dialog: the leg's requests and their answers, and the peer's requests that the
// call answers. Requests that change the session are in offer.go.

// sentRequest is a request of the leg until its final response. The message itself belongs to the wire, so its branch
// and CSeq are copied here.
type sentRequest struct {
	method      sip.RequestMethod
	seq         uint32
	branch      string
	fork        bool // belongs to the dialog of another fork
	ref         int  // Ref of the Send
	offer       int  // Ref of the Offer in it
	refresh     bool // refreshes the session timer, without an offer
	retried     bool // was repeated after a challenge
	provisional bool // a provisional response has come
	givenUp     bool // a CANCEL was sent
	sent        SendRequest
}

// request returns a request within one of the leg's dialogs with these additional headers, and its next hop.
func (l *Leg) request(d *Dialog, method sip.RequestMethod, headers ...sip.Header) (*sip.Request, Hop) {
	var room [16]sip.Header
	return d.request(method, 0, l.via(), append(append(room[:0], headers...), UserAgent)...)
}

// send sends a request, with credentials for the realms that have asked for them.
func (l *Leg) send(req *sip.Request, to Hop) *sentRequest {
	l.digest.Authorize(req)
	sent := SendRequest{Req: req, To: to}
	l.effects = append(l.effects, sent)
	l.sent = append(l.sent, sentRequest{
		method: req.Method, seq: req.CSeq().SeqNo,
		branch: message.BranchOf(req), sent: sent,
	})
	return &l.sent[len(l.sent)-1]
}

// take removes and returns the sent request for which is returns true. It returns false if there is none.
func (l *Leg) take(is func(*sentRequest) bool) (sentRequest, bool) {
	for i := range l.sent {
		if is(&l.sent[i]) {
			r := l.sent[i]
			l.sent = slices.Delete(l.sent, i, i+1)
			return r, true
		}
	}
	return sentRequest{}, false
}

// answered handles the final response to a request of the leg. res is nil if no response came.
func (l *Leg) answered(now time.Time, r sentRequest, res *sip.Response) {
	if l.isCurrent(r) && res != nil && isChallenge(res.StatusCode) && l.challengedAgain(now, r, res) {
		return
	}
	switch {
	case r.fork:
	case l.state == legConfirmed || l.state == legAccepted:
		l.answeredWithin(now, r, res)
	case l.state == legEnding && r.method == sip.BYE:
		l.done()
	case l.state == legEnding && r.method == sip.INVITE && res != nil && res.IsSuccess():
		l.sendACK(&l.dialog, r.seq)
	}
}

// isCurrent reports whether the leg still waits for the answer to a request: it has not given the request up, and the
// dialog has not ended.
func (l *Leg) isCurrent(r sentRequest) bool {
	return !r.givenUp && (r.method == sip.BYE || l.state != legEnding && l.state != legDone)
}

// answeredWithin handles the final response to a request while the dialog continues.
func (l *Leg) answeredWithin(now time.Time, r sentRequest, res *sip.Response) {
	switch r.method {
	case sip.INVITE:
		l.onOfferAnswered(now, r, res)
	case sip.UPDATE:
		l.onRefreshed(now, r, res)
	case sip.PRACK, sip.BYE:
	case sip.NOTIFY:
		if l.hangupDeferred != nil && !l.reporting() {
			l.sendBye(now, l.hangupDeferred.in)
			return
		}
		l.fact(replied(r.ref, res))
	// INFO belongs to the call itself; for other methods, 481 ends only their usage of the dialog (RFC 5057 section
	// 5.1).
	case sip.INFO:
		l.fact(replied(r.ref, res))
		if res != nil && res.StatusCode == 481 {
			l.end(now, cause.DialogLost)
		}
	default:
		l.fact(replied(r.ref, res))
	}
}

// replied returns the fact for the response to a request of Send. A nil response counts as 408 (RFC 3261 section
// 8.1.3.1).
func replied(ref int, res *sip.Response) Replied {
	if res == nil {
		return Replied{Ref: ref, Code: 408, Reason: message.StatusText(408)}
	}
	r := Replied{
		Ref: ref, Code: res.StatusCode, Reason: message.Phrase(res.Reason),
		Content: Content{Headers: res.Headers()},
	}
	if ct := res.ContentType(); ct != nil && len(res.Body()) > 0 {
		r.ContentType, r.Body = ct.Value(), res.Body()
	}
	return r
}

// challengedAgain repeats a challenged request with credentials, at most one time, and reports whether it did.
func (l *Leg) challengedAgain(now time.Time, r sentRequest, res *sip.Response) bool {
	if r.retried || l.digest.Learn(res, false) != cause.None {
		return false
	}
	seq := r.seq + 1
	d := &l.dialog
	if e := l.early[message.TagOf(r.sent.Req.To().Params)]; e != nil && !r.fork {
		d = &e.dialog
	}
	if !r.fork {
		d.localSeq++
		seq = d.localSeq
	}
	req := l.retryOf(r.sent.Req, seq)
	r.sent.Req, r.seq, r.branch, r.retried, r.provisional = req, seq, message.BranchOf(req), true, false
	l.sent = append(l.sent, r)
	l.effects = append(l.effects, r.sent)
	if r.method == sip.INVITE {
		l.session.giveUpAt = now.Add(GiveUp)
	}
	if r.method == sip.BYE && !r.fork {
		l.giveUpAt = now.Add(GiveUp)
	}
	return true
}

// sendFor sends a request that the call wants to send. Before the ACK of the leg's 200 the request waits, because a
// caller may not know the dialog yet.
func (l *Leg) sendFor(in Send) {
	if l.state == legAccepted && len(l.held) < maxAsked {
		l.held = append(l.held, in)
		return
	}
	switch {
	case l.state != legConfirmed:
		l.fact(Replied{Ref: in.Ref, Code: 480, Reason: message.StatusText(480)})
		return
	case len(l.sent) >= maxSent: // the peer seems to answer no request
		l.fact(Replied{Ref: in.Ref, Code: 503, Reason: message.StatusText(503)})
		return
	}
	req, to := l.request(&l.dialog, in.Method, sip.NewHeader("Contact", l.Local.contact()))
	in.addTo(req)
	l.send(req, to).ref = in.Ref
}

// maxSent bounds the leg's requests without an answer.
const maxSent = 32

// sendHeld sends the requests that waited for the ACK, or refuses them.
func (l *Leg) sendHeld() {
	held := l.held
	l.held = nil
	for _, in := range held {
		l.sendFor(in)
	}
}

// addTo adds the content to a message.
func (c Content) addTo(msg interface {
	AppendHeader(sip.Header)
	SetBody([]byte)
},
) {
	for _, h := range c.Headers {
		msg.AppendHeader(h)
	}
	if c.ContentType != "" {
		msg.AppendHeader(sip.NewHeader("Content-Type", c.ContentType))
		msg.SetBody(c.Body)
	}
}

// replyTo answers a request of the peer that was reported as Asked.
func (l *Leg) replyTo(in Reply) {
	i := slices.IndexFunc(l.asked, func(r *sip.Request) bool { return r.Method == in.Method && r.CSeq().SeqNo == in.Seq })
	if i < 0 {
		return // it was answered when the dialog ended
	}
	req := l.asked[i]
	l.asked = slices.Delete(l.asked, i, i+1)
	res := message.Reply(req, in.Code, in.Reason, nil)
	if in.Code < 300 && message.RefreshesTarget(req.Method) {
		res.AppendHeader(sip.NewHeader("Contact", l.Local.contact()))
	}
	res.AppendHeader(Server)
	in.addTo(res)
	l.respondWith(req, res)
}

// closeAsked answers the peer's remaining requests with 487 when the dialog ends (RFC 3261 section 15.1.2), and
// reports the requests that were not sent as failed.
func (l *Leg) closeAsked() {
	for _, req := range l.asked {
		l.respond(req, 487, message.StatusText(487))
	}
	l.asked = nil
	for _, in := range l.held {
		l.fact(Replied{Ref: in.Ref, Code: 480, Reason: message.StatusText(480)})
	}
	l.held = nil
	if req := l.session.pending; req != nil {
		l.session.pending = nil
		l.respond(req, 487, message.StatusText(487))
	}
}

// respond answers a request within the dialog, without a body.
func (l *Leg) respond(req *sip.Request, code int, reason string, headers ...sip.Header) {
	var room [16]sip.Header
	all := append(append(room[:0], headers...), Server)
	l.respondWith(req, message.Reply(req, code, reason, nil, all...))
}

func (l *Leg) respondWith(req *sip.Request, res *sip.Response) {
	l.effects = append(l.effects, SendResponse{Method: req.Method, Seq: req.CSeq().SeqNo, Res: res})
}

// ReportOfRefer returns the NOTIFY that reports the progress of a REFER. id is appended to "refer" in its Event
// header (RFC 3515 section 2.4.4).
func ReportOfRefer(id string, code int, reason string) Send {
	state := "active;expires=180"
	if code >= 200 {
		state = "terminated;reason=noresource"
	}
	return Send{Method: sip.NOTIFY, Content: Content{
		Headers:     []sip.Header{sip.NewHeader("Event", "refer"+id), sip.NewHeader("Subscription-State", state)},
		ContentType: "message/sipfrag;version=2.0", Body: message.Sipfrag(code, reason),
	}}
}
