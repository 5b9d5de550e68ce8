package leg

import (
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
)

// NewUAC makes a leg that calls: the agent's side. localParty and
// remoteParty are From and To without tag.
func NewUAC(o Options, callID, localParty, remoteParty string) *Leg {
	return &Leg{
		Side: o.Side, mint: o.Minter, Local: o.Local, agent: o.Agent, Peer: o.Peer,
		state: legIdle,
		dialog: Dialog{
			CallID:      callID,
			LocalTag:    o.Minter.Tag(),
			LocalParty:  localParty,
			RemoteParty: remoteParty,
			NAT:         o.Peer.NAT,
			Origin:      sdp.NewOrigin(),
		},
	}
}

// NewLost makes a leg for a 2xx to an INVITE of ours whose own leg is gone.
// Stepped with that 2xx it acknowledges it and hangs up (RFC 3261 section
// 13.2.2.4). The dialog is read from the response.
func NewLost(o Options, res *sip.Response) *Leg {
	from, to := res.From(), res.To()
	l := NewUAC(o, res.CallID().Value(),
		message.NameAddr(from.DisplayName, &from.Address, from.Params), message.NameAddr(to.DisplayName, &to.Address, to.Params))
	l.dialog.LocalTag = message.TagOf(from.Params)
	l.InviteSeq = res.CSeq().SeqNo
	l.dialog.LocalSeq = l.InviteSeq + maxPRACKs // past every request that its early dialog may have sent
	l.state = legAbandoned
	return l
}

// sendInvite completes the INVITE and sends it.
func (l *Leg) sendInvite(now time.Time, in Invite) {
	if l.state != legIdle {
		return
	}
	req := in.Request
	l.dialog.LocalSeq = 1
	l.dialog.RemoteTarget = req.Recipient.String()
	l.dialog.Source, l.dialog.Transport = in.Dest, in.Transport
	l.InviteSeq = 1
	l.session.state, l.session.local = offerOurs, message.SDPBody(req)
	req.PrependHeader(l.inviteHeaders()...)
	l.invite, l.inviteHop = req, Hop{Transport: in.Transport, Addr: in.Dest}
	l.digest.auth, l.firstResponse = in.Auth, in.FirstResponse
	l.called(now)
	if in.RingTimeout > 0 {
		l.ringUntil = now.Add(in.RingTimeout)
	}
	l.effects = append(l.effects, SendRequest{Req: req, To: l.inviteHop})
}

// called: an INVITE is on its way, and nothing came back.
func (l *Leg) called(now time.Time) {
	l.state = legCalling
	if l.firstResponse > 0 {
		l.firstAnswerAt = now.Add(l.firstResponse)
	}
}

// inviteAgain answers a challenge to the INVITE with a new one, whose time to
// ring is what is left of the first one's; CauseNone: done.
func (l *Leg) inviteAgain(now time.Time, res *sip.Response) cause.Cause {
	if why := l.digest.learn(res, l.challenged > 0); why != cause.None {
		return why
	}
	if l.challenged++; l.challenged > maxChallenged {
		return cause.AuthRefused
	}
	l.dialog.LocalSeq++
	l.InviteSeq = l.dialog.LocalSeq
	l.invite = l.again(l.invite, l.InviteSeq)
	l.called(now)
	l.effects = append(l.effects, SendRequest{Req: l.invite, To: l.inviteHop})
	return cause.None
}

// inviteLonger sends an INVITE again whose Session-Expires was too short for
// the target (RFC 4028 section 7.3).
func (l *Leg) inviteLonger(now time.Time, res *sip.Response) bool {
	if l.intervals++; l.intervals > maxIntervals || l.Peer.SessionExpires == 0 || !l.timer.lengthen(res) {
		return false
	}
	l.dialog.LocalSeq++
	l.InviteSeq = l.dialog.LocalSeq
	l.invite = l.again(l.invite, l.InviteSeq)
	for l.invite.RemoveHeader("Session-Expires") || l.invite.RemoveHeader("Min-SE") {
	}
	for _, h := range l.timer.askFirst(l.Peer) {
		l.invite.AppendHeader(h)
	}
	l.called(now)
	l.effects = append(l.effects, SendRequest{Req: l.invite, To: l.inviteHop})
	return true
}

// maxIntervals bounds how often a target may find the session too short.
const maxIntervals = 2

// again is a request of ours with credentials, which is a new one: Call-ID,
// From and To are the same, CSeq and branch are not (RFC 3261 section
// 8.1.3.5).
func (l *Leg) again(old *sip.Request, seq uint32) *sip.Request {
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
	l.digest.authorize(req)
	return req
}

// inviteHeaders are what the leg adds to its INVITE.
func (l *Leg) inviteHeaders() []sip.Header {
	callID := sip.CallIDHeader(l.dialog.CallID)
	return []sip.Header{
		l.via(),
		sip.NewHeader("From", message.WithTag(l.dialog.LocalParty, l.dialog.LocalTag)),
		sip.NewHeader("To", l.dialog.RemoteParty),
		&callID,
		&sip.CSeqHeader{SeqNo: 1, MethodName: sip.INVITE},
		sip.NewHeader("Contact", l.Local.contact()),
	}
}

// InviteSize is how many bytes the INVITE will have on the wire, with what the
// leg adds. A branch is as long as any other.
func (l *Leg) InviteSize(req *sip.Request) int {
	var n byteCount
	req.StringWrite(&n)
	for _, h := range l.inviteHeaders() {
		h.StringWrite(&n)
		n += byteCount(len("\r\n"))
	}
	return int(n)
}

// byteCount counts what is written to it.
type byteCount int

func (n *byteCount) WriteString(s string) (int, error) {
	*n += byteCount(len(s))
	return len(s), nil
}

// abandon gives up the INVITE. CANCEL may only follow a provisional answer
// (RFC 3261 section 9.1); until then it is owed.
func (l *Leg) abandon(now time.Time, why cause.Cause, caller cause.Reasons) {
	if l.UAS {
		return
	}
	switch l.state {
	case legIdle:
		l.done()
	case legCalling:
		l.clearDeadlines()
		l.state, l.why, l.caller = legAbandoned, why, caller
		l.giveUpAt = now.Add(GiveUp)
	case legProceeding:
		l.clearDeadlines()
		l.state, l.why, l.caller = legAbandoned, why, caller
		l.sendCancel(now)
	case legAbandoned, legAccepted, legConfirmed, legEnding, legDone:
	}
}

// sendCancel sends a CANCEL that names the INVITE's transaction: same Via,
// Request-URI, Call-ID, To, From and CSeq number (RFC 3261 section 9.1).
func (l *Leg) sendCancel(now time.Time) {
	if l.cancelled {
		return
	}
	l.cancelled = true
	l.giveUpAt = now.Add(GiveUp)
	req := cancelOf(l.invite)
	if v := l.caller.Value(); v != "" {
		req.AppendHeader(sip.NewHeader("Reason", v))
	} else if v := cause.ReasonValue(l.why, 0); v != "" {
		req.AppendHeader(sip.NewHeader("Reason", v))
	}
	l.effects = append(l.effects, SendRequest{Req: req, To: l.inviteHop})
}

// cancelOf is the CANCEL of an INVITE.
func cancelOf(invite *sip.Request) *sip.Request {
	req := sip.NewRequest(sip.CANCEL, invite.Recipient)
	req.AppendHeader(sip.HeaderClone(invite.Via()))
	maxForwards := sip.MaxForwardsHeader(70)
	req.AppendHeader(&maxForwards)
	for _, name := range []string{"From", "To", "Call-ID", "Route"} {
		sip.CopyHeaders(name, invite, req)
	}
	req.AppendHeader(&sip.CSeqHeader{SeqNo: invite.CSeq().SeqNo, MethodName: sip.CANCEL})
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
			l.sent[i].heard = l.sent[i].heard || l.sent[i].branch == branch && l.sent[i].method == cseq.MethodName
		}
		return
	}
	if r, ok := l.take(func(r *sentRequest) bool { return r.branch == branch && r.method == cseq.MethodName }); ok {
		l.answered(now, r, res)
		return
	}
	if cseq.MethodName == sip.INVITE && res.StatusCode < 300 && l.isPeer(res) {
		l.ackLate(cseq.SeqNo)
	} // others: CANCEL, whose INVITE has an answer of its own; what comes again
}

// isPeer says whether a response is of the leg's own dialog.
func (l *Leg) isPeer(res *sip.Response) bool {
	return message.TagOf(res.To().Params) == l.dialog.RemoteTag
}

func (l *Leg) onProvisional(now time.Time, in ResponseIn) {
	res := in.Res
	l.firstAnswerAt = time.Time{}
	switch l.state {
	case legCalling, legProceeding:
		l.state = legProceeding
		if res.StatusCode > 100 && l.early100rel(in) {
			l.fact(Progress{Code: res.StatusCode, Reason: message.Phrase(res.Reason), SDP: l.earlySDP(in), Headers: res.Headers()})
		}
	case legAbandoned:
		l.sendCancel(now)
	case legIdle, legAccepted, legConfirmed, legEnding, legDone: // overtaken by the final answer
	}
}

// onInvite2xx acknowledges every 200: the first makes the dialog, a repeated
// one gets its ACK again, and one from another fork, or after we gave up, is
// hung up at once (RFC 3261 section 13.2.2.4).
func (l *Leg) onInvite2xx(now time.Time, in ResponseIn) {
	res := in.Res
	tag := message.TagOf(res.To().Params)
	switch l.state {
	case legCalling, legProceeding:
		if tag == l.leftEarly && tag != "" { // it hung up before, which it may not
			l.confirm(in)
			l.fact(Refused{Cause: cause.AgentHangup})
			l.sendBye(now, Hangup{Why: cause.AgentHangup})
			return
		}
		sdp := l.answerIn(res)
		l.confirm(in)
		l.state = legConfirmed
		l.session.state = offerAgreed
		l.timer.taken(now, res)
		l.fact(Answered{SDP: sdp, Headers: res.Headers()})
	case legAbandoned:
		l.giveUpAt = time.Time{}
		l.confirm(in)
		l.sendBye(now, Hangup{Why: l.why})
	case legConfirmed, legEnding, legDone:
		switch {
		case tag == l.dialog.RemoteTag && l.ackAgain(l.InviteSeq):
		case l.forks[tag]:
			l.dropFork(in, false)
		default:
			l.dropFork(in, true)
		}
	case legIdle, legAccepted:
	}
}

// confirm takes the dialog's state from the 200 (RFC 3261 section 12.1.2),
// going on from that of the early dialog, and acknowledges it.
func (l *Leg) confirm(in ResponseIn) {
	l.firstAnswerAt, l.ringUntil = time.Time{}, time.Time{}
	if e := l.early[message.TagOf(in.Res.To().Params)]; e != nil {
		origin := l.dialog.Origin
		l.dialog = e.dialog
		l.dialog.Origin = origin
	}
	delete(l.early, message.TagOf(in.Res.To().Params))
	l.dialog.establish(in)
	l.updates = message.Allows(in.Res, string(sip.UPDATE))
	l.sendACK(&l.dialog, l.InviteSeq)
}

// maxForks bounds the forks of one INVITE that are answered: more is no
// forking, but somebody who makes us send.
const maxForks = 16

// dropFork acknowledges the 200 of a fork that lost and, the first time,
// hangs it up.
func (l *Leg) dropFork(in ResponseIn, bye bool) {
	if bye && len(l.forks) >= maxForks {
		return
	}
	fork := l.dialog
	fork.LocalSeq = l.InviteSeq
	if e := l.early[message.TagOf(in.Res.To().Params)]; e != nil {
		fork.LocalSeq = e.dialog.LocalSeq
	}
	fork.RemoteTarget = l.invite.Recipient.String()
	fork.establish(in)
	if l.forks == nil {
		l.forks = map[string]bool{}
	}
	l.forks[fork.RemoteTag] = true
	ack, to := l.newACK(&fork, l.InviteSeq)
	l.effects = append(l.effects, SendACK{Req: ack, To: to})
	if !bye {
		return
	}
	req, to := fork.request(sip.BYE, 0)
	req.AppendHeader(sip.NewHeader("Reason", cause.ReasonValue(cause.AnotherAnswered, 0)))
	l.send(req, to).fork = true
}

// onInviteRefused ends the leg, unless it is a challenge that can be answered.
func (l *Leg) onInviteRefused(now time.Time, res *sip.Response) {
	switch l.state {
	case legCalling, legProceeding:
		why := cause.OfStatus(res.StatusCode)
		if isChallenge(res.StatusCode) {
			if why = l.inviteAgain(now, res); why == cause.None {
				return
			}
		}
		if res.StatusCode == 422 && l.inviteLonger(now, res) {
			return
		}
		l.fact(Refused{
			Code: res.StatusCode, Reason: message.Phrase(res.Reason), Cause: why, Q850: reasonQ850(res),
			Headers: res.Headers(),
		})
		l.done()
	case legAbandoned:
		l.done()
	case legIdle, legAccepted, legConfirmed, legEnding, legDone:
	}
}

// onRequestFailed: a request of ours has no answer and will have none.
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
