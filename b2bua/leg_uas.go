package b2bua

import (
	"net/netip"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// newUASLeg makes the leg of an INVITE that has come: the carrier's side. The
// INVITE has all headers that RFC 3261 section 8.1.1 wants, and our tag in To.
func newUASLeg(o legOptions, invite *sip.Request, source netip.AddrPort, nat config.NATMode) *Leg {
	from, to := invite.From(), invite.To()
	l := &Leg{
		Side: o.side, uas: true, mint: o.mint, local: o.local, agent: o.agent,
		state:     legProceeding,
		invite:    invite,
		inviteSeq: invite.CSeq().SeqNo,
		dialog: Dialog{
			CallID:      invite.CallID().Value(),
			LocalTag:    tagOf(to.Params),
			RemoteTag:   tagOf(from.Params),
			LocalParty:  partyOf(to.DisplayName, &to.Address, to.Params),
			RemoteParty: partyOf(from.DisplayName, &from.Address, from.Params),
			RemoteSeq:   invite.CSeq().SeqNo,
			Source:      source,
			Transport:   o.local.Transport,
			NAT:         nat,
		},
	}
	if c := invite.Contact(); c != nil {
		l.dialog.RemoteTarget = c.Address.String()
	}
	l.dialog.setRoutes(invite.GetHeaders("record-route"), false)
	l.local.Secure = l.dialog.wantsSIPS(invite.Recipient.Scheme)
	return l
}

// ring sends a provisional answer that makes an early dialog.
func (l *Leg) ring(now time.Time, in Ring) {
	if !l.uas || l.state != legProceeding {
		return
	}
	l.lastProvisional = l.inviteResponse(in.Code, in.Reason, in.SDP, in.Headers)
	l.effects = append(l.effects, SendResponse{Method: sip.INVITE, Seq: l.inviteSeq, Res: l.lastProvisional})
	l.resendAt = now.Add(timerProvisional)
}

// answer sends 200 and waits for its ACK.
func (l *Leg) answer(now time.Time, in Answer) {
	if !l.uas || l.state != legProceeding {
		return
	}
	l.ok = l.inviteResponse(200, "OK", in.SDP, in.Headers)
	l.effects = append(l.effects, SendResponse{Method: sip.INVITE, Seq: l.inviteSeq, Res: l.ok})
	l.state = legAccepted
	l.lastProvisional = nil
	l.resend = timerT1
	l.resendAt = now.Add(timerT1)
	l.giveUpAt = now.Add(timerGiveUp)
}

// resendAnswer sends the 200 again until it is acknowledged, twice as late
// each time up to T2 (RFC 3261 section 13.3.1.4), or the last provisional.
func (l *Leg) resendAnswer(now time.Time) {
	switch {
	case l.state == legAccepted && l.ok != nil:
		l.effects = append(l.effects, SendResponse{Method: sip.INVITE, Seq: l.inviteSeq, Res: l.ok})
		l.resend = min(2*l.resend, timerT2)
		if l.resendAt = l.resendAt.Add(l.resend); l.resendAt.Before(now) { // not from now: lateness would add up
			l.resendAt = now.Add(l.resend)
		}
	case l.state == legProceeding && l.lastProvisional != nil:
		l.effects = append(l.effects, SendResponse{Method: sip.INVITE, Seq: l.inviteSeq, Res: l.lastProvisional})
		l.resendAt = now.Add(timerProvisional)
	default:
		l.resendAt = time.Time{}
	}
}

// refuse sends a final answer; its retransmission and ACK are the
// transaction's.
func (l *Leg) refuse(in Refuse) {
	if !l.uas || l.state != legProceeding {
		return
	}
	l.respondInvite(in.Code, in.Reason, in.Headers)
	l.done()
}

func (l *Leg) respondInvite(code int, reason string, headers []sip.Header) {
	l.effects = append(l.effects, SendResponse{
		Method: sip.INVITE, Seq: l.inviteSeq, Res: l.inviteResponse(code, reason, nil, headers),
	})
}

// inviteResponse makes an answer to the INVITE. What makes or keeps a dialog
// carries Contact and Record-Route (RFC 3261 section 12.1.1).
func (l *Leg) inviteResponse(code int, reason string, sdp []byte, headers []sip.Header) *sip.Response {
	res := sip.NewResponseFromRequest(l.invite, code, reason, sdp)
	if code < 300 {
		res.AppendHeader(sip.NewHeader("Contact", l.local.contact()))
		res.AppendHeader(sip.NewHeader("Allow", allowed))
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

// onCancel: the caller gave up and the transaction has answered 487. A CANCEL
// that comes after our final answer changes nothing (RFC 3261 section 9.2);
// FinalLost says that the answer did not get out after all.
func (l *Leg) onCancel() {
	if !l.uas || (l.state != legProceeding && l.state != legAccepted) {
		return
	}
	l.fact(Cancelled{})
	l.done()
}

func (l *Leg) onACK(now time.Time, seq uint32) {
	if l.state != legAccepted || seq != l.inviteSeq {
		return // of an earlier retransmission
	}
	l.clearDeadlines()
	l.ok = nil
	l.state = legConfirmed
	l.fact(Confirmed{})
	if l.hangupOwed != CauseNone {
		l.sendBye(now, l.hangupOwed)
	}
}
