package b2bua

import (
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// newUACLeg makes a leg that calls: the agent's side. localParty and
// remoteParty are From and To without tag.
func newUACLeg(o legOptions, callID, localParty, remoteParty string) *Leg {
	return &Leg{
		Side: o.side, mint: o.mint, local: o.local, agent: o.agent,
		state: legIdle,
		dialog: Dialog{
			CallID:      callID,
			LocalTag:    o.mint.Tag(),
			LocalParty:  localParty,
			RemoteParty: remoteParty,
			NAT:         config.NATOff,
		},
	}
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
	l.inviteSeq = 1
	req.PrependHeader(l.inviteHeaders()...)
	l.invite, l.inviteHop = req, hop{transport: in.Transport, addr: in.Dest}
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
func (l *Leg) inviteAgain(now time.Time, res *sip.Response) Cause {
	if cause := l.digest.learn(res, l.challenged > 0); cause != CauseNone {
		return cause
	}
	if l.challenged++; l.challenged > maxChallenged {
		return CauseAuthRefused
	}
	l.dialog.LocalSeq++
	l.inviteSeq = l.dialog.LocalSeq
	l.invite = l.again(l.invite, l.inviteSeq)
	l.called(now)
	l.effects = append(l.effects, SendRequest{Req: l.invite, To: l.inviteHop})
	return CauseNone
}

// byeAgain answers a challenge to a BYE, once.
func (l *Leg) byeAgain(now time.Time, res *sip.Response) bool {
	branch := branchOf(res)
	i := slices.IndexFunc(l.byes, func(b sentBye) bool { return b.branch == branch })
	if i < 0 {
		return false
	}
	old := l.byes[i].sent
	l.byes = slices.Delete(l.byes, i, i+1)
	if !isChallenge(res.StatusCode) || l.digest.learn(res, false) != CauseNone {
		return false
	}
	req := l.again(old.Req, old.Req.CSeq().SeqNo+1)
	if branch == l.byeBranch {
		l.byeBranch = branchOf(req)
		l.dialog.LocalSeq++
		l.giveUpAt = now.Add(timerGiveUp)
	}
	l.effects = append(l.effects, SendRequest{Req: req, To: old.To})
	return true
}

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
		sip.NewHeader("From", withTag(l.dialog.LocalParty, l.dialog.LocalTag)),
		sip.NewHeader("To", l.dialog.RemoteParty),
		&callID,
		&sip.CSeqHeader{SeqNo: 1, MethodName: sip.INVITE},
		sip.NewHeader("Contact", l.local.contact()),
	}
}

// inviteSize is how many bytes the INVITE will have on the wire, with what the
// leg adds. A branch is as long as any other.
func (l *Leg) inviteSize(req *sip.Request) int {
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
func (l *Leg) abandon(now time.Time, why Cause) {
	if l.uas {
		return
	}
	switch l.state {
	case legIdle:
		l.done()
	case legCalling:
		l.clearDeadlines()
		l.state, l.why = legAbandoned, why
		l.giveUpAt = now.Add(timerGiveUp)
	case legProceeding:
		l.clearDeadlines()
		l.state, l.why = legAbandoned, why
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
	l.giveUpAt = now.Add(timerGiveUp)
	req := sip.NewRequest(sip.CANCEL, l.invite.Recipient)
	req.AppendHeader(sip.HeaderClone(l.invite.Via()))
	maxForwards := sip.MaxForwardsHeader(70)
	req.AppendHeader(&maxForwards)
	for _, name := range []string{"From", "To", "Call-ID", "Route"} {
		sip.CopyHeaders(name, l.invite, req)
	}
	req.AppendHeader(&sip.CSeqHeader{SeqNo: l.inviteSeq, MethodName: sip.CANCEL})
	if v := reasonValue(l.why); v != "" {
		req.AppendHeader(sip.NewHeader("Reason", v))
	}
	req.SetBody(nil)
	l.effects = append(l.effects, SendRequest{Req: req, To: l.inviteHop})
}

func (l *Leg) onResponse(now time.Time, in ResponseIn) {
	res, cseq := in.Res, in.Res.CSeq()
	if cseq == nil || res.To() == nil {
		return
	}
	switch cseq.MethodName {
	case sip.INVITE:
		if l.uas || cseq.SeqNo != l.inviteSeq {
			return
		}
		switch {
		case res.StatusCode < 200:
			l.onProvisional(now, res)
		case res.StatusCode < 300:
			l.onInvite2xx(now, in)
		default:
			l.onInviteRefused(now, res)
		}
	case sip.BYE:
		// Whatever the answer but a challenge, the dialog is over (RFC 3261
		// section 15.1.1). That of a fork's BYE has another branch.
		if res.StatusCode >= 200 && !l.byeAgain(now, res) && l.state == legEnding && branchOf(res) == l.byeBranch {
			l.done()
		}
	default: // CANCEL: what counts is the INVITE's own answer
	}
}

func (l *Leg) onProvisional(now time.Time, res *sip.Response) {
	l.firstAnswerAt = time.Time{}
	switch l.state {
	case legCalling, legProceeding:
		l.state = legProceeding
		if res.StatusCode > 100 {
			l.fact(Progress{Code: res.StatusCode, Reason: phrase(res.Reason), SDP: sdpBody(res), Headers: res.Headers()})
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
	tag := tagOf(res.To().Params)
	switch l.state {
	case legCalling, legProceeding:
		l.confirm(in)
		l.sendACK()
		l.state = legConfirmed
		l.fact(Answered{SDP: sdpBody(res), Headers: res.Headers()})
	case legAbandoned:
		l.confirm(in)
		l.sendACK()
		l.sendBye(now, l.why)
	case legConfirmed, legEnding, legDone:
		switch {
		case tag == l.dialog.RemoteTag && l.ack != nil:
			l.sendACK()
		case l.forks[tag]:
			l.dropFork(in, false)
		default:
			l.dropFork(in, true)
		}
	case legIdle, legAccepted:
	}
}

// confirm takes the dialog's state from the 200 (RFC 3261 section 12.1.2).
func (l *Leg) confirm(in ResponseIn) {
	l.clearDeadlines()
	l.dialog.establish(in)
	l.ack, l.ackHop = l.newACK(&l.dialog)
}

// newACK acknowledges the INVITE's 200 in one of its dialogs, with the
// INVITE's credentials (RFC 3261 section 22.1).
func (l *Leg) newACK(d *Dialog) (*sip.Request, hop) {
	ack, to := d.request(sip.ACK, l.inviteSeq)
	ack.PrependHeader(l.via())
	if l.invite != nil { // not where the leg is of a call that is over
		sip.CopyHeaders("Authorization", l.invite, ack)
		sip.CopyHeaders("Proxy-Authorization", l.invite, ack)
	}
	return ack, to
}

func (l *Leg) sendACK() {
	l.effects = append(l.effects, SendACK{Req: l.ack.Clone(), To: l.ackHop})
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
	fork.LocalSeq = l.inviteSeq
	fork.RemoteTarget = l.invite.Recipient.String()
	fork.establish(in)
	if l.forks == nil {
		l.forks = map[string]bool{}
	}
	l.forks[fork.RemoteTag] = true
	ack, to := l.newACK(&fork)
	l.effects = append(l.effects, SendACK{Req: ack, To: to})
	if !bye {
		return
	}
	req, to := fork.request(sip.BYE, 0)
	req.AppendHeader(sip.NewHeader("Reason", reasonValue(causeAnotherAnswered)))
	l.send(req, to)
}

// onInviteRefused ends the leg, unless it is a challenge that can be answered.
func (l *Leg) onInviteRefused(now time.Time, res *sip.Response) {
	switch l.state {
	case legCalling, legProceeding:
		cause := causeOfStatus(res.StatusCode)
		if isChallenge(res.StatusCode) {
			if cause = l.inviteAgain(now, res); cause == CauseNone {
				return
			}
		}
		l.fact(Refused{
			Code: res.StatusCode, Reason: phrase(res.Reason), Cause: cause, Q850: reasonQ850(res),
			Headers: res.Headers(),
		})
		l.done()
	case legAbandoned:
		l.done()
	case legIdle, legAccepted, legConfirmed, legEnding, legDone:
	}
}

// onRequestFailed: a request of ours has no answer and will have none.
func (l *Leg) onRequestFailed(in RequestFailed) {
	switch in.Method {
	case sip.INVITE:
		if l.uas {
			return
		}
		if l.state == legCalling || l.state == legProceeding {
			l.fact(Refused{Cause: in.Cause, Err: in.Err})
		}
		if l.state != legConfirmed && l.state != legEnding {
			l.done()
		}
	case sip.BYE:
		if l.state == legEnding {
			l.done()
		}
	default:
	}
}
