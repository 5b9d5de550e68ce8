package b2bua

import (
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/store/record"
)

// bridged: both legs are answered and media flows. A transfer may be under way
// beside it.
func (c *Call) bridged() phase {
	c.phase = "bridged"
	for !c.finished {
		h, ok := c.next()
		switch {
		case !ok:
			return (*Call).bridged
		case h.event != nil:
			c.eventInBridge(h.event)
		case c.transfers.isLine(h.from):
			c.transfers.on(h.from, h.fact)
		default:
			c.factInBridge(h.from, h.fact)
		}
	}
	return (*Call).linger
}

// factInBridge handles a fact of one of the two legs.
func (c *Call) factInBridge(from *legOnWire, f leg.Fact) {
	switch f := f.(type) {
	case leg.Gone:
		c.onGone(from, f)
	case leg.Cancelled:
		// The carrier's CANCEL was faster than our 200, which never went out. To the
		// target the call was answered: it gets BYE.
		c.neverAnswered(cause.CallerCancelled, record.EndedByCaller, 487)
	case leg.Offered:
		c.exchanges.offered(from, f)
	case leg.Withdrawn:
		c.exchanges.withdrawn(from)
		c.notes.mark()
	case leg.AnswerReady:
		if err := c.exchanges.answerReady(from, f); err != nil {
			c.log.Warn().Err(err).Stringer("side", c.side(from)).Msg("no usable answer in ACK")
			c.hangup(cause.BadACK, record.EndedBySystem)
		}
		c.notes.mark()
	case leg.OfferRefused:
		c.exchanges.offerRefused(from, f)
		c.notes.mark()
	case leg.Asked:
		c.relays.asked(from, f.Req)
	case leg.Replied:
		c.relays.replied(f)
	case leg.Confirmed:
		if c.settle(); message.IsStream(from.leg.Local.Transport) { // only over UDP the peer repeats it
			c.notes.mark()
		} else {
			c.notes.soon()
		}
		c.log.Debug().Msg("call confirmed")
	case leg.Progress, leg.Answered, leg.Refused:
		// of an attempt before
	}
}

// eventInBridge handles an event of a call that is answered.
func (c *Call) eventInBridge(e event) {
	switch e := e.(type) {
	case ready:
		switch a := c.attempts.current; {
		case a == nil || e.Attempt != a.number: // of an attempt before
			c.attempts.late(e)
		case c.transfers.current != nil && c.attempts.dialPrepared(e) == notDialled:
			c.transfers.next()
		}
	case mediaLost:
		c.onMediaLost(e)
	case oneWay:
		c.media.onOneWay(e)
	case withheld:
		c.media.onWithheld()
	case changed:
		c.notes.soon()
	case handshakeOver:
		c.securedInBridge(e)
	case killed:
		c.hangup(e.Cause, e.By)
	case expired:
		c.hangup(e.Cause, record.EndedBySystem)
	case keyed:
		c.onKeyed(e)
	case played:
		c.sounds.onPlayed(e)
	case called: // it has had its place for long
	case verified, lags: // before there was a bridge
	case latched:
		c.log.Debug().Stringer("side", e.Side).Stringer("source", e.Source).Msg("media source learned")
	}
}

// onGone: one side hung up, or its dialog broke. The call ends, unless the agent has
// gone during its transfer.
func (c *Call) onGone(from *legOnWire, f leg.Gone) {
	by := record.EndedBySystem
	switch {
	case f.ByPeer && from == c.a:
		by = record.EndedByCaller
	case f.ByPeer:
		by = record.EndedByAgent
	}
	if from == c.b && c.transfers.current != nil {
		c.transfers.agentLeft(f)
		return
	}
	if from == c.b && c.rescues.isDead(f) && c.rescues.begin(loss{cause: f.Cause, by: by, q850: f.Q850}) {
		return
	}
	if f.Cause == cause.NoPRACK && from == c.a {
		c.neverAnswered(f.Cause, record.EndedBySystem, 504)
		return
	}
	c.transfers.stop(f.Cause)
	status := c.heardByCaller()
	why := leg.Hangup{Why: f.Cause, Q850: f.Q850}
	if other := c.other(from); other != nil {
		why.Headers = c.passedTo(other, f.Headers)
		c.step(other, why)
	}
	c.end(f.Cause, by, status, f.Q850)
}

// hangup ends both legs.
func (c *Call) hangup(why cause.Cause, by string) {
	c.transfers.stop(why)
	status := c.heardByCaller()
	for _, l := range []*legOnWire{c.a, c.b} {
		if l != nil {
			c.step(l, leg.Hangup{Why: why})
		}
	}
	c.end(why, by, status, 0)
}

// heardByCaller is the final answer that the caller has: 200, or 480 if our 200
// still waits for a PRACK when the call ends.
func (c *Call) heardByCaller() int {
	if !c.a.leg.AnswerWaits() {
		return 200
	}
	c.unanswered()
	return 480
}

// unanswered takes the answer out of the record: the caller never got it.
func (c *Call) unanswered() {
	c.record.answeredAt = record.Time{}
	c.record.setupMS = 0
}

// neverAnswered ends a call whose target answered, but whose caller got another
// final status.
func (c *Call) neverAnswered(why cause.Cause, by string, status int) {
	c.transfers.stop(why)
	if c.b != nil {
		c.step(c.b, leg.Hangup{Why: why})
	}
	c.unanswered()
	c.end(why, by, status, 0)
}

// maxDuration is how long the call may last after its answer: the shorter limit
// where two trunks have one.
func (c *Call) maxDuration() time.Duration {
	limit := c.trunk.Caller.MaxDuration
	if t := c.attempts.current.target.Trunk; t != nil && t.MaxDuration > 0 && (limit <= 0 || t.MaxDuration < limit) {
		limit = t.MaxDuration
	}
	return limit
}

// limitDuration shortens the limit of a call that has been transferred to a trunk
// with a limit of its own.
func (c *Call) limitDuration() {
	if t := c.bridge.target.Trunk; t != nil && t.MaxDuration > 0 {
		c.times.durationUntil = leg.Earliest(c.times.durationUntil, time.Now().Add(t.MaxDuration))
	}
}

// securedInBridge goes on with the target of a transfer, or with the next one. It ends the call of another side that can't be heard.
func (c *Call) securedInBridge(e handshakeOver) {
	a, ok := c.attempts.current, c.media.takeKeys(e)
	switch tried := c.transfers.current != nil && a != c.bridge && e.leg == a.crypto; {
	case !ok && tried:
		c.transfers.tryFailed(cause.DTLSFailed, e.err)
	case !ok:
		c.hangup(cause.DTLSFailed, record.EndedBySystem)
	case tried && a.answer != nil && !a.crypto.Awaits():
		c.transfers.answered(*a.answer)
	}
}

// onMediaLost hangs up a call without media.
func (c *Call) onMediaLost(f mediaLost) {
	c.log.Warn().Int64("silent_ms", f.For.Milliseconds()).Bool("never", f.Never).Msg("no media")
	c.ladder.Decide("no RTP from either side for %d s", int(f.For.Seconds()))
	why := cause.MediaTimeout
	if f.Never {
		why = cause.NoMedia
	}
	c.hangup(why, record.EndedBySystem)
}
