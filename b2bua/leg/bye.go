package leg

import (
	"slices"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/media"
)

// onBye answers the peer's BYE in any state, and then the peer's requests that have no answer yet
// (RFC 3261 section 15.1.2). A caller's BYE before the final answer also ends its INVITE.
func (l *Leg) onBye(req *sip.Request) {
	l.respond(req, 200, message.StatusText(200))
	l.AnsweredBye = strings.Clone(message.BranchOf(req))
	switch l.state {
	case legCalling:
		l.leftEarly = message.TagOf(req.From().Params)
	case legProceeding:
		if !l.UAS { // RFC 3261 section 15 forbids this BYE; a later 200 will not make a call
			l.leftEarly = message.TagOf(req.From().Params)
			return
		}
		l.respondInvite(487, message.StatusText(487), nil)
		l.fact(Cancelled{})
		l.done()
	case legAccepted, legConfirmed: // a peer that sends BYE has got the 200
		l.fact(Gone{Cause: l.hangupCause(), ByPeer: true, Q850: reasonQ850(req), Headers: req.Headers()})
		l.done()
	case legEnding: // the BYEs crossed
		l.done()
	case legIdle, legAbandoned, legDone:
	}
}

func (l *Leg) hangupCause() cause.Cause {
	if l.side == media.SideA {
		return cause.CallerHangup
	}
	return cause.AgentHangup
}

// hangup sends BYE, or stores it for later: a UAS may not send BYE before the ACK of its 200 (RFC
// 3261 section 15).
func (l *Leg) hangup(now time.Time, in Hangup) {
	switch l.state {
	case legAccepted:
		l.hangupDeferred = &deferredHangup{in: in}
	case legConfirmed:
		if l.reporting() { // the peer must get the NOTIFY first
			l.hangupDeferred = &deferredHangup{in, now.Add(reportPatience)}
			return
		}
		l.sendBye(now, in)
	case legProceeding:
		if l.AnswerWaits() { // the 200 waits for a PRACK, so the INVITE can still be refused
			l.refuse(Refuse{Code: 480, Reason: message.StatusText(480), Headers: in.Headers})
		}
	case legIdle, legCalling, legAbandoned, legEnding, legDone:
	}
}

// reportPatience bounds how long a BYE waits for the answer to a NOTIFY.
const reportPatience = 2 * time.Second

// reporting reports whether a NOTIFY of the leg has not been answered yet.
func (l *Leg) reporting() bool {
	return slices.ContainsFunc(l.sent, func(r sentRequest) bool { return r.method == sip.NOTIFY })
}

func (l *Leg) sendBye(now time.Time, in Hangup) {
	l.closeAsked()
	headers := in.Headers
	if v := cause.ReasonValue(in.Why, in.Q850); v != "" {
		headers = append([]sip.Header{sip.NewHeader("Reason", v)}, headers...)
	}
	req, to := l.request(&l.dialog, sip.BYE, headers...)
	l.clearDeadlines()
	l.state = legEnding
	l.giveUpAt = now.Add(GiveUp) // like Timer F of the BYE
	l.send(req, to)
}

func reasonQ850(msg sip.Message) int { return cause.Q850In(message.RawValues(msg, "reason", "reason")) }
