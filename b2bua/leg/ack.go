package leg

import (
	"slices"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

// unacknowledged is the leg's 200 to an INVITE, until its ACK comes. A leg has at most one at a time.
type unacknowledged struct {
	res      *sip.Response // nil if no 200 waits for its ACK
	seq      uint32
	offers   bool          // the SDP in the 200 is an offer; the ACK has the answer
	resend   time.Duration // time until the next retransmission
	resendAt time.Time
	giveUpAt time.Time
}

// acknowledgedAll is the value of Leg.ok if no 200 waits for its ACK.
var acknowledgedAll unacknowledged //nolint:gochecknoglobals // a constant

// awaitACK stores a 200, which is then repeated until its ACK comes.
func (l *Leg) awaitACK(now time.Time, res *sip.Response, seq uint32, offers bool) {
	if l.ok = new(unacknowledged); l.setup != nil {
		l.ok = &l.first
	}
	*l.ok = unacknowledged{
		res: res, seq: seq, offers: offers,
		resend: T1, resendAt: now.Add(T1), giveUpAt: now.Add(GiveUp),
	}
}

// resendAnswer repeats the 200. The interval doubles each time, up to T2 (RFC 3261 section 13.3.1.4).
func (l *Leg) resendAnswer(now time.Time) {
	l.effects = append(l.effects, SendResponse{Method: sip.INVITE, Seq: l.ok.seq, Res: l.ok.res})
	l.ok.resend = min(2*l.ok.resend, timerT2)
	if l.ok.resendAt = l.ok.resendAt.Add(l.ok.resend); l.ok.resendAt.Before(now) { // so that delays don't add up
		l.ok.resendAt = now.Add(l.ok.resend)
	}
}

// onACK handles the ACK of the leg's 200.
func (l *Leg) onACK(now time.Time, ack *sip.Request) {
	if l.ok.res == nil || ack.CSeq().SeqNo != l.ok.seq {
		return // it acknowledges another INVITE, or was repeated
	}
	if l.ok.offers {
		l.session.state = offerAgreed
		defer l.fact(AnswerReady{SDP: l.answerSDP(ack), Late: true})
	}
	l.acknowledged(now)
}

// onMediaReceived treats RTP from the peer as the ACK of a 200 that another process has sent, unless the 200 had an
// offer. A peer behind NAT that has lost its connection can't get the 200 again, and so would never repeat its ACK.
func (l *Leg) onMediaReceived(now time.Time) {
	if l.state == legAccepted && !l.ok.offers {
		l.acknowledged(now)
	}
}

// acknowledged records that the peer has got the leg's 200.
func (l *Leg) acknowledged(now time.Time) {
	l.effects = append(l.effects, Acknowledged{Seq: l.ok.seq})
	l.acked = strings.Clone(message.BranchOf(l.ok.res))
	l.ok = &acknowledgedAll
	if l.state == legAccepted {
		l.state = legConfirmed
		l.releaseSetup()
		l.fact(Confirmed{})
	}
	if l.hangupDeferred != nil {
		l.sendBye(now, l.hangupDeferred.in)
	}
	l.sendHeld()
}

// maxACKs bounds the stored ACKs: the ACK of the call's first INVITE, and the latest ones of re-INVITEs.
const maxACKs = 3

// sendACK acknowledges the 200 to the leg's INVITE with this CSeq.
func (l *Leg) sendACK(d *Dialog, seq uint32) {
	ack, to := l.newACK(d, seq, l.mint.Branch(l.dialog.LocalTag))
	if len(l.acks) == maxACKs {
		l.acks = slices.Delete(l.acks, 1, 2)
	}
	l.acks = append(l.acks, ACK{seq, message.BranchOf(ack)})
	l.effects = append(l.effects, SendACK{Req: ack, To: to})
}

// resendACK repeats the ACK of the INVITE with this CSeq. It returns false if that ACK is no longer stored.
func (l *Leg) resendACK(seq uint32) bool {
	for _, a := range l.acks {
		if a.Seq == seq {
			ack, to := l.newACK(&l.dialog, seq, a.Branch)
			l.effects = append(l.effects, SendACK{Req: ack, To: to})
			return true
		}
	}
	return false
}

// ackLate acknowledges a late or repeated 200 to a re-INVITE (RFC 3261 section 13.2.2.4).
func (l *Leg) ackLate(seq uint32) {
	if !l.resendACK(seq) && seq <= l.dialog.localSeq && (l.UAS || seq > l.InviteSeq) {
		l.sendACK(&l.dialog, seq)
	}
}

// newACK returns the ACK of the 200 to an INVITE in one of its dialogs, with the INVITE's credentials (RFC 3261
// section 22.1), and the hop to send the ACK to.
func (l *Leg) newACK(d *Dialog, seq uint32, branch string) (*sip.Request, Hop) {
	return d.request(sip.ACK, seq, l.Local.Via(branch), l.invited.credentials...)
}

// AckOfRefusal returns the ACK of a refusal of our INVITE. uri is the INVITE's Request-URI (RFC 3261 section
// 17.1.1.3).
func AckOfRefusal(res *sip.Response, uri sip.Uri) *sip.Request {
	via := res.Via().Clone()
	via.Params = sip.HeaderParams{{K: "branch", V: message.BranchOf(res)}, {K: "rport"}}
	return companion(sip.ACK, *uri.Clone(), via, res, "From", "To", "Call-ID")
}
