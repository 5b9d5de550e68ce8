package call

import (
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/media"
	"flowbridge/store/record"
)

// bridged is the phase in which both legs are answered and media flows. A transfer may be in
// progress at the same time. A placed call is in this phase once its first party has answered.
func (c *Call) bridged() phase {
	c.enter("bridged")
	for !c.finished {
		h, ok := c.next()
		if !ok {
			return (*Call).bridged
		}
		switch _, handled := c.dispatch(h); {
		case handled:
		case h.event != nil:
			c.eventInBridge(h.event)
		default:
			c.factInBridge(h.from, h.fact)
		}
		c.checkpoint.after(h)
	}
	return (*Call).linger
}

// factInBridge handles what a leg reports while the call is bridged.
func (c *Call) factInBridge(from *LegOnWire, f leg.Fact) {
	switch f := f.(type) {
	case leg.Gone:
		c.onGone(from, f)
	case leg.Cancelled:
		// The carrier's CANCEL arrived before our 200 was sent. The target has answered, so it gets a
		// BYE.
		c.neverAnswered(cause.CallerCancelled, record.EndedByCaller, 487)
	case leg.Offered:
		c.bridge.Exchanges.Offered(&from.Half, f)
	case leg.Withdrawn:
		c.bridge.Exchanges.Withdrawn(&from.Half)
	case leg.AnswerReady:
		if err := c.bridge.Exchanges.AnswerReady(&from.Half, f); err != nil {
			c.log.Warn().Err(err).Stringer("side", from.Side).Msg("no usable answer in ACK")
			c.ladder.Decide("the answer in the ACK can't be used: %v", err)
			c.hangup(cause.BadACK, record.EndedBySystem)
		}
	case leg.OfferRefused:
		if err := c.bridge.Exchanges.OfferRefused(&from.Half, f); err != nil {
			c.ladder.Decide("side %v keeps a change that the other side does not have: %v", from.Side, err)
			c.hangup(cause.DialogLost, record.EndedBySystem)
		}
	case leg.Asked:
		c.asked(from, f.Req)
	case leg.Replied:
		if !c.bridge.Relays.Replied(f) {
			c.onAnsweredAsk(f)
		}
	case leg.Confirmed:
		c.settle()
		c.log.Debug().Msg("call confirmed")
	case leg.Progress, leg.Answered, leg.Refused:
		// of an earlier attempt, so ignored
	}
}

// eventInBridge handles an event while the call is bridged.
func (c *Call) eventInBridge(e event) {
	switch e := e.(type) {
	case ready:
		if a := c.attempts.current; a == nil || e.Attempt != a.number { // of an earlier attempt
			c.attempts.late(e)
		} else {
			c.replacements.prepared(e)
		}
	case inBridge:
		c.bridgeInBridge(e.Event)
	case killed:
		c.hangup(e.Cause, e.By)
	case expired:
		c.hangup(e.Cause, record.EndedBySystem)
	case ofPart: // parts handle these events themselves
	}
}

// bridgeInBridge handles an event that the bridge posts while the call is bridged.
func (c *Call) bridgeInBridge(e bridge.Event) {
	switch e := e.(type) {
	case media.EventSilent:
		c.onMediaLost(e)
	case media.EventFailed:
		c.bridge.Tell(e)
		c.hangup(cause.InternalError, record.EndedBySystem)
	case media.EventGone:
		c.onSideGone(e)
	case bridge.HandshakeOver:
		c.securedInBridge(e)
	default:
		c.bridge.Tell(e)
	}
}

// asked answers a request within a leg's dialog, or passes it to the other leg.
func (c *Call) asked(from *LegOnWire, req *sip.Request) {
	c.bridge.Asked(&from.Half, req)
}

// onGone ends the call because one side hung up or its dialog failed.
func (c *Call) onGone(from *LegOnWire, f leg.Gone) {
	by := record.EndedBySystem
	switch {
	case f.ByPeer && from == c.a:
		by = record.EndedByCaller
	case f.ByPeer:
		by = record.EndedByAgent
	}
	if f.Cause == cause.NoPRACK && from == c.a {
		c.neverAnswered(f.Cause, record.EndedBySystem, 504)
		return
	}
	c.replacements.stop(f.Cause)
	status := c.heardByCaller()
	why := leg.Hangup{Why: f.Cause, Q850: f.Q850}
	if other := c.bridge.Other(&from.Half); other != nil {
		why.Headers = c.bridge.PassedTo(other, f.Headers)
		other.Step(why)
	}
	c.end(f.Cause, by, status, f.Q850)
}

// hangup sends both sides a BYE and ends the call.
func (c *Call) hangup(why cause.Cause, by string) {
	c.replacements.stop(why)
	status := c.heardByCaller()
	for _, l := range []*LegOnWire{c.a, c.b} {
		if l != nil {
			c.step(l, leg.Hangup{Why: why})
		}
	}
	c.end(why, by, status, 0)
}

// heardByCaller returns the final status that the caller got: 200, or 480 if our 200 still waits
// for a PRACK when the call ends. In the second case, it also removes the answer from the record.
func (c *Call) heardByCaller() int {
	if !c.a.Leg.AnswerWaits() {
		return 200
	}
	c.record.unanswered()
	return 480
}

// neverAnswered ends a call whose target answered, but whose caller got another
// final status.
func (c *Call) neverAnswered(why cause.Cause, by string, status int) {
	c.replacements.stop(why)
	if c.b != nil {
		c.step(c.b, leg.Hangup{Why: why})
	}
	c.record.unanswered()
	c.end(why, by, status, 0)
}

// limitDuration shortens the call's time limit if the call was transferred to a trunk with a
// shorter limit.
func (c *Call) limitDuration() {
	if t := c.connected.target.Trunk; t != nil && t.MaxDuration > 0 {
		c.times.shorten(duration, time.Now(), t.MaxDuration)
	}
}

// securedInBridge handles the end of a DTLS handshake. It hangs up if the handshake of a connected
// side failed.
func (c *Call) securedInBridge(e bridge.HandshakeOver) {
	if err := c.bridge.Keying.TakeKeys(e); !c.replacements.secured(e, err) && err != nil {
		c.hangup(cause.DTLSFailed, record.EndedBySystem)
	}
}

// onSideGone ends a call whose side is gone: as by its BYE, if it has closed its media, and otherwise as by a side that
// can't be reached. A caller whose agent can't be reached is rescued if the route says so.
func (c *Call) onSideGone(e media.EventGone) {
	c.log.Info().Stringer("side", e.Side).Bool("closed", e.Closed).Msg("side gone")
	why, by := cause.ConsentExpired, record.EndedBySystem
	switch {
	case e.Closed && e.Side == media.SideA:
		why, by = cause.CallerHangup, record.EndedByCaller
	case e.Closed:
		why, by = cause.AgentHangup, record.EndedByAgent
	case e.Side == media.SideB && c.replacements.busy() == nil && c.rescues.replace(why):
		return
	}
	c.ladder.Decide("side %v is gone: %s", e.Side, why.Words())
	c.hangup(why, by)
}

// onMediaLost hangs up a call whose media has stopped.
func (c *Call) onMediaLost(f media.EventSilent) {
	c.log.Warn().Int64("silent_ms", f.Since.Milliseconds()).Bool("never", f.Never).Msg("no media")
	c.ladder.Decide("no RTP from either side for %d s", int(f.Since.Seconds()))
	why := cause.MediaTimeout
	if f.Never {
		why = cause.NoMedia
	}
	if c.invite != nil && c.a.Leg.UAS && c.connected != nil { // the same network fault may block the ACK and the media
		why = cause.NoACK
		c.ladder.Decide("the 200 was never acknowledged")
	}
	c.hangup(why, record.EndedBySystem)
}
