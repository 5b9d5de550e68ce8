package leg

import (
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
)

// NewUAC returns a leg that will send an INVITE. localParty and remoteParty are the values of From and To without tags.
func NewUAC(o Options, callID, localParty, remoteParty string) *Leg {
	return &Leg{
		side: o.Side, mint: o.Minter, Local: o.Local, Peer: o.Peer,
		state: legIdle, ok: &acknowledgedAll,
		setup: &setup{},
		dialog: Dialog{
			CallID:      callID,
			LocalTag:    o.Minter.Tag(),
			localParty:  localParty,
			RemoteParty: remoteParty,
			nat:         o.Peer.NAT,
			own:         o.Local.addr(),
			origin:      sdp.NewOrigin(),
		},
	}
}

// RetryOf makes a new leg the continuation of a leg whose INVITE failed at another address: it gets the same Call-ID
// and tag. So it sends the same INVITE in a new transaction (RFC 3263 section 4.3), and a proxy that both addresses
// lead to can tell that it has the INVITE already (RFC 3261 section 8.2.2.2).
func (l *Leg) RetryOf(failed *Leg) {
	l.dialog.CallID, l.dialog.LocalTag, l.added = failed.dialog.CallID, failed.dialog.LocalTag, nil
}

// NewLost returns a leg for a 2xx to an INVITE whose own leg no longer exists. When Step gets that 2xx, the leg
// acknowledges it and hangs up (RFC 3261 section 13.2.2.4). The dialog is read from the response.
func NewLost(o Options, res *sip.Response) *Leg {
	from, to := res.From(), res.To()
	l := NewUAC(o, res.CallID().Value(),
		message.NameAddr(from.DisplayName, &from.Address, from.Params),
		message.NameAddr(to.DisplayName, &to.Address, to.Params))
	l.dialog.LocalTag = message.TagOf(from.Params)
	l.InviteSeq = res.CSeq().SeqNo
	l.dialog.localSeq = l.InviteSeq + maxPRACKs // higher than any CSeq that the early dialog may have used
	l.state = legAbandoned
	return l
}

// sendInvite adds the leg's headers to the INVITE and sends it.
func (l *Leg) sendInvite(now time.Time, in Invite) {
	if l.state != legIdle {
		return
	}
	req := in.Request
	l.dialog.localSeq = 1
	l.dialog.RemoteTarget = message.URIText(&req.Recipient)
	l.dialog.Source, l.dialog.transport = in.Dest, in.Transport
	l.InviteSeq = 1
	l.session.state, l.session.local = offerOurs, in.Offer
	req.PrependHeader(l.inviteHeaders()...)
	l.added = nil
	l.invite, l.inviteHop = req, Hop{Transport: in.Transport, Addr: in.Dest}
	l.digest.auth, l.firstResponse, l.shorten, l.report = in.Auth, in.FirstResponse, in.Shorten, in.OnResponse
	l.inviteSent(now)
	if in.RingTimeout > 0 {
		l.ringUntil = now.Add(in.RingTimeout)
	}
	l.effects = append(l.effects, SendRequest{Req: req, To: l.inviteHop})
}

// inviteSent starts the wait for the first response to an INVITE.
func (l *Leg) inviteSent(now time.Time) {
	l.state = legCalling
	if l.firstResponse > 0 {
		l.firstAnswerAt = now.Add(l.firstResponse)
	}
}

// retryInvite answers a challenge to the INVITE with a new INVITE, and returns cause.None. The time limit for ringing
// continues to run. If the challenge can't be answered, retryInvite returns the cause.
func (l *Leg) retryInvite(now time.Time, res *sip.Response) cause.Cause {
	if why := l.digest.Learn(res, l.challenged > 0); why != cause.None {
		return why
	}
	if l.challenged++; l.challenged > maxChallenged {
		return cause.AuthRefused
	}
	if !l.renewInvite() {
		return cause.InviteTooLarge
	}
	l.resendInvite(now)
	return cause.None
}

// resendInvite sends the INVITE that renewInvite has prepared.
func (l *Leg) resendInvite(now time.Time) {
	l.inviteSent(now)
	l.effects = append(l.effects, SendRequest{Req: l.invite, To: l.inviteHop})
}

// Resend returns the effects that repeat the INVITE of a restored leg, if it has had no response: the peer may not have
// the INVITE, so it must not get a CANCEL before it responds.
func (l *Leg) Resend() []Effect {
	if l.setup == nil || !l.noResponse {
		return nil
	}
	l.state = legCalling
	return []Effect{SendRequest{Req: l.invite, To: l.inviteHop}}
}

// retryOf returns a copy of a request with credentials. Call-ID, From and To stay the same; CSeq and branch change (RFC
// 3261 section 8.1.3.5).
func (l *Leg) retryOf(old *sip.Request, seq uint32) *sip.Request {
	req := sip.NewRequest(old.Method, *old.Recipient.Clone())
	req.AppendHeader(l.via())
	for _, h := range old.Headers() {
		switch h := h.(type) {
		case *sip.ViaHeader:
		case *sip.CSeqHeader:
			req.AppendHeader(&sip.CSeqHeader{SeqNo: seq, MethodName: h.MethodName})
		default:
			if !isCredentials(h) {
				req.AppendHeader(sip.HeaderClone(h))
			}
		}
	}
	req.SetBody(old.Body())
	l.digest.Authorize(req)
	return req
}

// inviteHeaders returns the headers that the leg adds to its INVITE. They are cached, so that InviteSize measures
// exactly what is sent.
func (l *Leg) inviteHeaders() []sip.Header {
	if l.added == nil {
		own := &struct { // in one allocation
			all    [6]sip.Header
			callID sip.CallIDHeader
			seq    sip.CSeqHeader
		}{callID: sip.CallIDHeader(l.dialog.CallID), seq: sip.CSeqHeader{SeqNo: 1, MethodName: sip.INVITE}}
		own.all = [...]sip.Header{
			l.via(),
			sip.NewHeader("From", message.WithTag(l.dialog.localParty, l.dialog.LocalTag)),
			sip.NewHeader("To", l.dialog.RemoteParty),
			&own.callID,
			&own.seq,
			sip.NewHeader("Contact", l.Local.contact()),
		}
		l.added = own.all[:]
	}
	return l.added
}

// InviteSize returns the size of the INVITE on the wire in bytes, including the headers
// that the leg adds. All branches have the same length.
func (l *Leg) InviteSize(req *sip.Request) int {
	b := message.TakeBuffer()
	defer b.Release()
	b.Append(req)
	b.AppendHeaders(l.inviteHeaders())
	return len(b.Bytes)
}

// companion returns a request with these headers, and the CSeq, of our INVITE or its refusal.
func companion(method sip.RequestMethod, uri sip.Uri, via sip.Header, of sip.Message, names ...string) *sip.Request {
	req := sip.NewRequest(method, uri)
	req.AppendHeader(via)
	maxForwards := sip.MaxForwardsHeader(70)
	req.AppendHeader(&maxForwards)
	for _, name := range names {
		sip.CopyHeaders(name, of, req)
	}
	req.AppendHeader(&sip.CSeqHeader{SeqNo: of.CSeq().SeqNo, MethodName: method})
	req.SetBody(nil)
	return req
}

func (l *Leg) onResponse(now time.Time, in ResponseIn) {
	res, cseq := in.Res, in.Res.CSeq()
	if cseq == nil || res.To() == nil {
		return
	}
	if !l.UAS && cseq.MethodName == sip.INVITE && cseq.SeqNo == l.InviteSeq {
		switch {
		case res.StatusCode < 200:
			l.onProvisional(now, in)
		case res.StatusCode < 300:
			l.onInvite2xx(now, in)
		default:
			l.onInviteRefused(now, res)
		}
		return
	}
	branch := message.BranchOf(res)
	if res.StatusCode < 200 {
		for i := range l.sent {
			l.sent[i].provisional = l.sent[i].provisional || l.sent[i].branch == branch && l.sent[i].method == cseq.MethodName
		}
		return
	}
	if r, ok := l.take(func(r *sentRequest) bool { return r.branch == branch && r.method == cseq.MethodName }); ok {
		l.answered(now, r, res)
		return
	}
	switch {
	case cseq.MethodName == sip.CANCEL:
		l.onCancelAnswered(now, res)
	case cseq.MethodName == sip.INVITE && res.StatusCode < 300 && l.isPeer(res):
		l.ackLate(cseq.SeqNo)
	} // repeated responses are ignored
}

// isPeer reports whether a response belongs to the leg's own dialog, and not to another fork's.
func (l *Leg) isPeer(res *sip.Response) bool {
	return message.TagOf(res.To().Params) == l.dialog.remoteTag
}

func (l *Leg) onProvisional(now time.Time, in ResponseIn) {
	res := in.Res
	if l.setup != nil {
		l.firstAnswerAt = time.Time{}
	}
	if res.StatusCode > 100 {
		l.earlyOf(in)
	}
	switch l.state {
	case legCalling, legProceeding:
		l.state = legProceeding
		l.reportResponse(res.StatusCode)
		if res.StatusCode > 100 && l.early100rel(in) {
			l.fact(Progress{
				Code: res.StatusCode, Reason: message.Phrase(res.Reason), SDP: l.earlySDP(in),
				Headers: res.Headers(),
			})
		}
	case legAbandoned:
		l.reportResponse(res.StatusCode)
		l.sendCancel(now)
	case legIdle, legAccepted, legConfirmed, legEnding, legDone: // it came after the final response
	}
}

// reportResponse passes the status of a response to the INVITE to Invite.OnResponse.
func (l *Leg) reportResponse(code int) {
	if l.setup != nil && l.report != nil {
		l.report(code)
	}
}

// onInvite2xx acknowledges every 200 (RFC 3261 section 13.2.2.4). The first 200 establishes the dialog, and a repeated
// 200 gets its ACK again. If a 200 comes from another fork, or after the leg gave up, its dialog is ended at once.
func (l *Leg) onInvite2xx(now time.Time, in ResponseIn) {
	res := in.Res
	tag := message.TagOf(res.To().Params)
	switch l.state {
	case legCalling, legProceeding:
		if tag == l.leftEarly && tag != "" { // the peer sent BYE before its 200, which is not allowed
			l.confirm(in)
			l.fact(Refused{Cause: l.hangupCause()})
			l.sendBye(now, Hangup{Why: l.hangupCause()})
			return
		}
		sdp := l.answerIn(res)
		l.confirm(in)
		l.state = legConfirmed
		l.session.state = offerAgreed
		l.timer.taken(now, res)
		l.fact(Answered{SDP: sdp, Headers: res.Headers()})
	case legAbandoned:
		why := l.why
		l.giveUpAt = time.Time{}
		l.reportResponse(res.StatusCode)
		l.confirm(in)
		l.sendBye(now, Hangup{Why: why})
	case legConfirmed, legEnding, legDone:
		switch {
		case tag == l.dialog.remoteTag && l.resendACK(l.InviteSeq):
		case l.forks[tag]:
			l.dropFork(in, false)
		default:
			l.dropFork(in, true)
		}
	case legIdle, legAccepted:
	}
}

// confirm establishes the dialog with a 200 (RFC 3261 section 12.1.2), starting from its early dialog if there was one,
// and acknowledges the 200.
func (l *Leg) confirm(in ResponseIn) {
	l.firstAnswerAt, l.ringUntil = time.Time{}, time.Time{}
	if e := l.early[message.TagOf(in.Res.To().Params)]; e != nil {
		origin, seq := l.dialog.origin, l.dialog.localSeq
		l.dialog = e.dialog
		l.dialog.origin, l.dialog.localSeq = origin, max(seq, e.dialog.localSeq)
	}
	if delete(l.early, message.TagOf(in.Res.To().Params)); len(l.early) == 0 {
		l.early = nil
	}
	l.dialog.establish(in)
	l.updates = message.Allows(in.Res, string(sip.UPDATE))
	l.releaseSetup()
	l.sendACK(&l.dialog, l.InviteSeq)
}

// keepInvited stores the parts of the INVITE that later ACKs need. The leg of NewLost has no INVITE.
func (l *Leg) keepInvited() {
	if l.UAS || l.setup == nil || l.invite == nil || l.invited.uri != "" {
		return
	}
	l.invited.uri = message.URIText(&l.invite.Recipient)
	for _, h := range l.invite.Headers() {
		if isCredentials(h) {
			l.invited.credentials = append(l.invited.credentials, h)
		}
	}
}

// maxForks bounds how many forks of one INVITE the leg answers: more would be an attack.
const maxForks = 16

// dropFork acknowledges the 200 of a fork that came too late. If bye is set, it also hangs up.
func (l *Leg) dropFork(in ResponseIn, bye bool) {
	if bye && len(l.forks) >= maxForks {
		return
	}
	l.keepInvited() // not done yet if the INVITE was refused
	fork := l.dialog
	fork.localSeq = l.InviteSeq
	if e := l.early[message.TagOf(in.Res.To().Params)]; e != nil {
		fork.localSeq = e.dialog.localSeq
	}
	fork.RemoteTarget = l.invited.uri
	fork.establish(in)
	if l.forks == nil {
		l.forks = map[string]bool{}
	}
	l.forks[fork.remoteTag] = true
	ack, to := l.newACK(&fork, l.InviteSeq, l.mint.Branch(fork.LocalTag))
	l.effects = append(l.effects, SendACK{Req: ack, To: to})
	if !bye {
		return
	}
	l.send(l.request(&fork, sip.BYE, sip.NewHeader("Reason", cause.ReasonValue(cause.AnotherAnswered, 0)))).fork = true
}

// onInviteRefused ends the leg, unless the INVITE can be repeated: with credentials after a challenge, or with a longer
// session timer.
func (l *Leg) onInviteRefused(now time.Time, res *sip.Response) {
	switch l.state {
	case legCalling, legProceeding:
		why := cause.OfStatus(res.StatusCode)
		if isChallenge(res.StatusCode) {
			if why = l.retryInvite(now, res); why == cause.None {
				return
			}
		}
		if res.StatusCode == 422 {
			if why = l.inviteLonger(now, res); why == cause.None {
				return
			}
		}
		if tag := message.TagOf(res.To().Params); tag != "" && tag == l.leftEarly {
			why = l.hangupCause()
		}
		l.fact(Refused{
			Code: res.StatusCode, Reason: message.Phrase(res.Reason), Cause: why, Q850: reasonQ850(res),
			Headers: res.Headers(),
		})
		l.done()
	case legAbandoned:
		l.reportResponse(res.StatusCode)
		l.done()
	case legIdle, legAccepted, legConfirmed, legEnding, legDone:
	}
}

// onRequestFailed handles a request of the leg that will get no final response.
func (l *Leg) onRequestFailed(now time.Time, in RequestFailed) {
	if !l.UAS && in.Method == sip.INVITE && in.Seq == l.InviteSeq {
		if l.state == legCalling || l.state == legProceeding {
			l.fact(Refused{Cause: in.Cause, Err: in.Err})
		}
		if l.state != legConfirmed && l.state != legEnding {
			l.done()
		}
		return
	}
	is := func(r *sentRequest) bool { return r.method == in.Method && r.seq == in.Seq }
	if r, ok := l.take(is); ok {
		l.answered(now, r, nil)
	}
}

// HangupLost returns the ACK and BYE for a 2xx whose leg no longer exists. Each is sent without a transaction, because
// a repeated 2xx leads to another call of HangupLost.
func HangupLost(now time.Time, o Options, in ResponseIn) []Effect {
	_, effects := NewLost(o, in.Res).Step(now, in)
	for i, e := range effects {
		if bye, ok := e.(SendRequest); ok {
			effects[i] = SendACK(bye)
		}
	}
	return effects
}
