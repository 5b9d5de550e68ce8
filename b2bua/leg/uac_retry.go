package leg

import (
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
)

// inviteLonger repeats the INVITE with a longer Session-Expires, because the target refused it as
// too short (RFC 4028 section 7.3). It returns cause.None if the INVITE was sent, and otherwise the
// cause.
func (l *Leg) inviteLonger(now time.Time, res *sip.Response) cause.Cause {
	if l.intervals++; l.intervals > maxIntervals || l.Peer.SessionExpires == 0 || !l.timer.lengthen(res) {
		return cause.OfStatus(res.StatusCode)
	}
	if !l.renewInvite() {
		return cause.InviteTooLarge
	}
	l.resendInvite(now)
	return cause.None
}

// maxIntervals bounds how often we lengthen a session timer that a target refuses.
const maxIntervals = 2

// renewInvite replaces the INVITE by a new request with the next CSeq. It returns false if that
// would be too large.
func (l *Leg) renewInvite() bool {
	base := l.invite
	if l.shorten != nil {
		shorter, fits := l.shorten(l.addedBytes())
		if !fits {
			return false
		}
		if shorter != nil {
			shorter.PrependHeader(l.inviteHeaders()...)
			base = shorter
		}
	}
	l.dialog.localSeq++
	l.InviteSeq = l.dialog.localSeq
	l.invite = l.retryOf(base, l.InviteSeq)
	if l.intervals > 0 {
		for l.invite.RemoveHeader("Session-Expires") || l.invite.RemoveHeader("Min-SE") {
		}
		for _, h := range l.timer.askFirst(l.Peer) {
			l.invite.AppendHeader(h)
		}
	}
	return true
}

// addedBytes returns by how many bytes credentials and a longer session timer make the INVITE
// larger than the first one.
func (l *Leg) addedBytes() int {
	probe := sip.NewRequest(sip.INVITE, *l.invite.Recipient.Clone())
	// A copy, so that the real nonce counts do not change.
	d := Digest{auth: l.digest.auth, realms: slices.Clone(l.digest.realms)}
	d.Authorize(probe)
	all := slices.DeleteFunc(probe.Headers(), func(h sip.Header) bool { return !isCredentials(h) })
	n := 0
	if l.intervals > 0 {
		all = append(all, l.timer.askFirst(l.Peer)...)
		n -= len("Session-Expires: \r\n") + len(message.SessionExpires{Interval: l.Peer.SessionExpires}.String())
	}
	b := message.TakeBuffer()
	defer b.Release()
	b.AppendHeaders(all)
	return n + len(b.Bytes)
}
