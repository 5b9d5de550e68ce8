package leg

import (
	"net/netip"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
)

// NewUAS returns a leg for a received INVITE. The INVITE must have all headers of RFC 3261 section
// 8.1.1, and our tag in To.
func NewUAS(o Options, invite *sip.Request, source netip.AddrPort) *Leg {
	from, to := invite.From(), invite.To()
	l := &Leg{
		side: o.Side, UAS: true, mint: o.Minter, Local: o.Local, Peer: o.Peer,
		state: legProceeding, ok: &acknowledgedAll,
		setup:     &setup{invite: invite},
		InviteSeq: invite.CSeq().SeqNo,
		updates:   message.Allows(invite, string(sip.UPDATE)),
		dialog: Dialog{
			CallID:      strings.Clone(invite.CallID().Value()),
			LocalTag:    message.TagOf(to.Params),
			remoteTag:   message.TagOf(from.Params),
			localParty:  message.NameAddr(to.DisplayName, &to.Address, to.Params),
			RemoteParty: message.NameAddr(from.DisplayName, &from.Address, from.Params),
			remoteSeq:   invite.CSeq().SeqNo,
			requestSeen: true,
			Source:      source,
			transport:   o.Local.Transport,
			nat:         o.Peer.NAT,
			own:         o.Local.addr(),
			origin:      sdp.NewOrigin(),
		},
	}
	if message.SDPBody(invite) != nil {
		l.session.state = offerTheirs
	}
	if c := invite.Contact(); c != nil {
		l.dialog.RemoteTarget = message.TargetText(c)
	}
	l.dialog.setRoutes(message.RawValues(invite, "record-route", "record-route"), false)
	l.Local.secure = l.dialog.wantsSIPS(invite.Recipient.Scheme)
	return l
}

// ring sends a provisional answer, which creates an early dialog. It is reliable if wantsReliable
// says so.
func (l *Leg) ring(now time.Time, in Ring) {
	if !l.UAS || l.state != legProceeding || l.AnswerWaits() {
		return
	}
	l.lastProvisional = Ring{Code: in.Code, Reason: in.Reason, Headers: in.Headers}
	if l.wantsReliable(in) {
		l.ringReliably(now, in)
		return
	}
	if l.session.state == offerNone { // an offer is only allowed in a reliable answer (RFC 3261 section 13.2.1)
		in.SDP = nil
	}
	l.lastProvisional.SDP = in.SDP
	l.sendProvisional(l.inviteResponse(in.Code, in.Reason, l.Describe(in.SDP), in.Headers))
	l.ringAt = now.Add(timerProvisional)
}

// resendRinging repeats the last provisional answer, so that proxies do not give up on the INVITE
// (RFC 3261 section 13.3.1.1).
func (l *Leg) resendRinging(now time.Time) {
	l.ringAt = time.Time{}
	if l.state == legProceeding && l.lastProvisional.Code != 0 {
		l.ring(now, l.lastProvisional)
	}
}

func (l *Leg) sendProvisional(res *sip.Response) {
	l.effects = append(l.effects, SendResponse{Method: sip.INVITE, Seq: l.InviteSeq, Res: res})
}

// answer sends the 200, which is repeated until its ACK comes. The 200 has no SDP if a reliable
// provisional answer had it (RFC 3261 section 13.2.1).
func (l *Leg) answer(now time.Time, in Answer) {
	if !l.UAS || l.state != legProceeding || l.AnswerWaits() {
		return
	}
	if r := l.awaited(); r.res != nil && r.described || l.session.pending != nil { // RFC 3262 sections 3 and 5
		l.await().answer = &in
		return
	}
	var sdp []byte
	late := l.session.state == offerNone
	switch l.session.state {
	case offerAgreed, offerOurs: // an earlier answer had the SDP
	case offerTheirs:
		sdp = l.Describe(in.SDP)
		l.session.state, l.session.local = offerAgreed, sdp
	case offerNone:
		sdp = l.Describe(in.SDP)
		l.session.state, l.session.local = offerOurs, sdp
	}
	headers := append(l.timer.answer(now, l.invite, l.Peer), in.Headers...)
	res := l.inviteResponse(200, message.StatusText(200), sdp, headers)
	l.sendProvisional(res)
	l.state = legAccepted
	l.lastProvisional, l.ringAt = Ring{}, time.Time{}
	if r := l.reliable; r != nil { // not repeated any more, but its PRACK may still come (RFC 3262 section 3)
		r.queue, r.resendAt, r.giveUpAt = nil, time.Time{}, time.Time{}
	}
	l.awaitACK(now, res, l.InviteSeq, late)
}

// refuse refuses the INVITE. The transaction handles retransmissions and the ACK.
func (l *Leg) refuse(in Refuse) {
	if !l.UAS || l.state != legProceeding {
		return
	}
	l.respondInvite(in.Code, in.Reason, in.Headers)
	l.done()
}

func (l *Leg) respondInvite(code int, reason string, headers []sip.Header) {
	l.sendProvisional(l.inviteResponse(code, reason, nil, headers))
}

func (l *Leg) inviteResponse(code int, reason string, sdp []byte, headers []sip.Header) *sip.Response {
	return l.responseWith(l.invite, code, reason, sdp, headers)
}

// onCancel handles a CANCEL of the peer's INVITE, which the transaction has answered with 487.
// After the final answer was sent, a CANCEL has no effect (RFC 3261 section 9.2); if the CANCEL
// came before the answer was sent, FinalLost tells the leg.
func (l *Leg) onCancel(seq uint32, why cause.Reasons) {
	switch {
	case !l.UAS || seq != l.InviteSeq:
		l.onCancelWithin(seq)
	case l.state == legProceeding || l.state == legAccepted:
		l.fact(Cancelled{Why: why})
		l.done()
	}
}

// onCancelWithin handles the CANCEL of a re-INVITE. The session stays as it was before.
func (l *Leg) onCancelWithin(seq uint32) {
	pending := l.session.pending
	switch {
	case pending != nil && pending.Method == sip.INVITE && pending.CSeq().SeqNo == seq:
		l.session.pending = nil
	case l.ok.res != nil && l.ok.seq == seq && l.session.previous == nil:
		// The old process has sent the answer, so the CANCEL is too late.
		return
	case l.ok.res != nil && l.ok.seq == seq:
		l.ok = &acknowledgedAll
		// The peer has never seen our latest description.
		l.session.local, l.dialog.origin = l.session.previous.local, l.session.previous.origin
	default:
		return
	}
	l.session.state = offerAgreed
	l.effects = append(l.effects, Forgotten{Seq: seq})
	l.fact(Withdrawn{})
}
