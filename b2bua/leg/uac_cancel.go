package leg

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
)

// abandon gives up the INVITE. If there has been no provisional response, CANCEL waits for one (RFC 3261 section 9.1).
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

// sendCancel sends the CANCEL of the INVITE, unless it was sent before. It has the INVITE's Via, Request-URI, Call-ID,
// To, From and CSeq number (RFC 3261 section 9.1).
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

// cancelOf returns the CANCEL for an INVITE.
func cancelOf(invite *sip.Request) *sip.Request {
	return companion(sip.CANCEL, invite.Recipient, sip.HeaderClone(invite.Via()), invite, "From", "To", "Call-ID", "Route")
}

// onCancelAnswered shortens the wait for the final response to the INVITE of a restored leg. None comes if the peer has
// answered, and the old process has sent the ACK: then the CANCEL has no effect, and the peer keeps the call until it
// gets a BYE. None comes either if a proxy answers the CANCEL itself (RFC 3261 section 16.10), because it does not know
// this process: then the peer rings or answers on. A peer without the call refuses the INVITE at once, and a peer
// without the ACK repeats its 200 within T2.
func (l *Leg) onCancelAnswered(now time.Time, res *sip.Response) {
	tag := message.TagOf(res.To().Params)
	if l.state == legAbandoned && l.restored && (res.IsSuccess() && tag != "" || len(l.early) > 0) {
		l.taken, l.giveUpAt = strings.Clone(tag), now.Add(timerT2)
	}
}

// giveUp ends a leg whose CANCEL or BYE had no effect in time. If a restored leg's peer may have the call, the peer
// gets a BYE: in each early dialog that is known (RFC 3261 section 15), or else in the one whose tag is in the answer
// to the CANCEL, which should be the dialog's (section 9.2).
func (l *Leg) giveUp(now time.Time) {
	switch {
	case l.state == legAbandoned && l.restored && len(l.early) > 0:
		l.byeEarly(now)
	case l.state == legAbandoned && l.taken != "":
		l.byeTaken(now)
	default:
		l.done()
	}
}

// byeEarly ends each early dialog with BYE. The leg has ended when the last one is answered.
func (l *Leg) byeEarly(now time.Time) {
	tags := slices.Sorted(maps.Keys(l.early))
	for i, tag := range tags {
		d := &l.early[tag].dialog
		d.localSeq = max(d.localSeq, l.InviteSeq)
		l.send(l.request(d, sip.BYE, l.reasonWhy()...)).fork = i < len(tags)-1
		l.dialog.remoteTag, l.dialog.localSeq = tag, d.localSeq
	}
	l.releaseSetup()
	l.state, l.giveUpAt = legEnding, now.Add(GiveUp)
}

// reasonWhy returns the Reason header with the cause of giving the INVITE up, or nil if it has none.
func (l *Leg) reasonWhy() []sip.Header {
	if v := cause.ReasonValue(l.why, 0); v != "" {
		return []sip.Header{sip.NewHeader("Reason", v)}
	}
	return nil
}

// byeTaken ends the dialog with the tag in the answer to the CANCEL. The BYE goes the way of the INVITE, because the
// peer's Contact and routes are unknown.
func (l *Leg) byeTaken(now time.Time) {
	invite, to := l.invite, l.inviteHop
	l.dialog.remoteTag = l.taken
	l.dialog.localSeq = max(l.dialog.localSeq, l.InviteSeq) + 1
	bye := companion(sip.BYE, invite.Recipient, l.via(), invite, "From", "Call-ID", "Route")
	bye.AppendHeader(sip.NewHeader("To", message.WithTag(l.dialog.RemoteParty, l.taken)))
	bye.CSeq().SeqNo = l.dialog.localSeq
	for _, h := range l.reasonWhy() {
		bye.AppendHeader(h)
	}
	l.releaseSetup()
	l.state, l.giveUpAt = legEnding, now.Add(GiveUp)
	l.send(bye, to)
}
