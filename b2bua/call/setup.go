package call

import (
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/report"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/store/record"
)

// admitted is the first phase of a new call. If a CANCEL has arrived already, it ends the call before the platform is
// asked or any target rings.
func (c *Call) admitted() phase {
	c.enter("preparing")
	for {
		it, ok, _ := c.mailbox.Take()
		if !ok {
			break
		}
		c.take(it)
	}
	for _, t := range c.mailbox.pending.Left() {
		if f, cancelled := t.fact.(leg.Cancelled); cancelled {
			return c.cancelledByCaller(f)
		}
	}
	if why, status := c.limited(); why != cause.None {
		return c.refuse(status, why)
	}
	return c.identity.verify()
}

// routing finds the route, reads the offer, opens the media and sends ringing to
// the caller.
func (c *Call) routing() phase {
	index := c.peers.FirstRoute(&c.vars, c.times.started)
	if index < 0 {
		for _, why := range report.Mismatches(c.peers, &c.vars, c.times.started) {
			c.ladder.Decide("%s", why)
		}
		c.checkpoint.flush(true) // the record shows what is known of the caller
		return c.refuse(404, cause.NoRoute)
	}
	c.takeRoute(index)
	c.nameByIDs()
	c.bridge.Tell(bridge.Routed{})
	c.a.Trying()
	c.times.limit(setup, time.Now(), c.route.SetupTimeout)
	if p, ok := c.readOffer(); !ok {
		return p
	}
	targets, share := c.peers.DestinationsFor(c.route, &c.vars)
	c.ladder.Routed(c.vars.Route, c.vars.To.Number, peers.NamesOf(targets))
	c.ladder.Split(targets[0].Dial.Name, share, c.route.Total(), c.route.Moved)
	c.attempts.follow(&outbound.Plan{Targets: targets, Shared: share > 0, FailoverOn: c.route.FailoverOn})
	if !slices.ContainsFunc(targets, c.bridge.Agreement.SharesCodec) {
		return c.refuse(488, cause.NoCommonCodec, message.Warning("305 no codec in common"))
	}
	if c.progressSent.earlyMedia {
		return c.resumeEarlyMedia()
	}
	if err := c.bridge.Media.Open(c.source.Addr(), targets[0].Dial.Media.Address); err != nil {
		c.log.Warn().Err(err).Msg("no media ports")
		return c.refuse(503, cause.NoPorts, leg.RetryAfter())
	}
	sounds := c.route.Ringing == config.RingingSessionProgress
	if c.route.Ringing == config.RingingImmediate || (sounds && !c.ring(targets)) {
		c.sendRinging(leg.Progress{Code: 180, Reason: message.StatusText(180)}, nil)
	}
	return c.nextAttempt()
}

// ring answers the caller's offer in a 183, so that the caller hears our ringing. It returns false if that is not
// possible.
func (c *Call) ring(targets []*peers.Target) bool {
	if !c.bridge.Sounds.Ring(targets) {
		return false
	}
	c.progressSent.earlyMedia = true
	c.sendRinging(leg.Progress{Code: 183, Reason: message.StatusText(183)}, c.bridge.Agreement.Answer)
	c.bridge.Media.SetPeer(media.SideA, c.bridge.Agreement.Offer)
	return true
}

// resumeEarlyMedia continues with a caller that got a 183 with an SDP answer, and hears a sound, from the old process.
// The 183 is repeated for proxies (RFC 3261 section 13.3.1.1).
func (c *Call) resumeEarlyMedia() phase {
	c.sendRinging(leg.Progress{Code: 183, Reason: message.StatusText(183)}, c.bridge.Agreement.Answer)
	return c.nextAttempt()
}

// preparing is the phase before the INVITE: the platform is asked for an id, and its host is looked up.
func (c *Call) preparing() phase { return c.setUp("preparing", (*Call).preparing) }

// dialing is the phase in which the target has got an INVITE, and has sent no final response.
func (c *Call) dialing() phase { return c.setUp("dialing", (*Call).dialing) }

// setUp handles facts and events before the answer, for the phase same with this name. It returns the next phase.
func (c *Call) setUp(name string, same phase) phase {
	c.enter(name)
	for {
		h, ok := c.next()
		if !ok {
			return same
		}
		next, handled := c.dispatch(h)
		switch {
		case handled:
		case h.event != nil:
			next = c.setUpEvent(h.event)
		default:
			next = c.setUpFact(h.from, h.fact)
		}
		if next != nil {
			return next
		}
	}
}

// setUpEvent handles an event before the answer, and returns the next phase, or nil to stay in this one.
func (c *Call) setUpEvent(e event) phase {
	switch e := e.(type) {
	case ready:
		if a := c.attempts.current; a != nil && e.Attempt == a.number { // else it belongs to an earlier attempt
			return c.onReady(e)
		}
		c.attempts.late(e)
	case killed:
		c.attempts.abandon(e.Cause, cause.Reasons{})
		c.step(c.a, refusal(e.status()))
		return c.end(e.Cause, e.By, e.status(), 0)
	case expired:
		if e.Cause == cause.Expired {
			c.attempts.abandon(e.Cause, cause.Reasons{})
			return c.refuse(487, e.Cause)
		}
		c.attempts.abandon(cause.SetupTimeout, cause.Reasons{})
		return c.refuse(c.route.Otherwise, cause.SetupTimeout)
	case inBridge:
		return c.bridgeInSetUp(e.Event)
	case ofPart: // parts handle these events themselves
	}
	return nil
}

// setUpFact handles what a leg reports before the answer, and returns the next phase, or nil to stay in this one. Only
// the leg of the current attempt reports facts.
func (c *Call) setUpFact(from *LegOnWire, f leg.Fact) phase {
	switch f := f.(type) {
	case leg.Progress:
		c.onProgress(f)
	case leg.Answered:
		return c.onAnswered(f)
	case leg.Refused:
		return c.onRefused(f)
	case leg.Cancelled:
		return c.cancelledByCaller(f)
	case leg.Gone:
		if from == c.a { // the caller has not acknowledged a reliable provisional response or our 200
			c.attempts.abandon(f.Cause, cause.Reasons{})
			return c.end(f.Cause, record.EndedBySystem, 504, 0)
		}
		if a := c.attempts.current; from == a.line { // the target hung up while its answer waited for keys
			c.attempts.drop(a, f.Cause, nil)
			return c.nextAttempt()
		}
	case leg.Offered:
		c.bridge.Exchanges.OfferedEarly(&from.Half, f)
	case leg.Asked:
		c.bridge.Reply(&from.Half, f.Req, 480)
	case leg.AnswerReady: // the caller's PRACK answers our offer
		if err := c.bridge.Exchanges.OwnOfferAnswered(&from.Half, f); err != nil {
			c.attempts.abandon(cause.BadAnswer, cause.Reasons{})
			return c.refuse(488, cause.BadAnswer, message.Warning("304 "+err.Error()))
		}
	case leg.Withdrawn, leg.OfferRefused, leg.Replied, leg.Confirmed: // these can't happen before the answer
	}
	return nil
}

// nextAttempt tries the next target. If none is left, the call waits in the route's queue or the caller is refused.
func (c *Call) nextAttempt() phase {
	if next := c.telling.tellFirst(); next != nil {
		return next
	}
	if c.attempts.try(c.attempts.plan) {
		return (*Call).preparing
	}
	if next := c.queue.join(); next != nil {
		return next
	}
	if why := c.attempts.last.cause; why.Passes() {
		return c.refuse(c.route.Otherwise, why, leg.RetryAfter())
	}
	return c.refuse(c.route.Otherwise, c.attempts.last.cause)
}

func (c *Call) onReady(f ready) phase {
	switch c.attempts.dialPrepared(f) {
	case notDialled:
		return c.nextAttempt()
	case dialled:
		return (*Call).dialing
	case waitsForTCP:
	}
	return (*Call).preparing
}

// onProgress passes early media to the caller, and the target's ringing if the route wants that.
func (c *Call) onProgress(f leg.Progress) {
	c.attempts.current.judge(cause.None, f.Code)
	if f.SDP != nil && !c.telling.underway() { // a caller that is told something hears no early media
		if err := c.attempts.takeAnswer(f.SDP); err != nil {
			c.peerLog.Warn().Err(err).Msg("early media not usable")
			return
		}
		c.sendEarlyMedia(f)
		return
	}
	if c.route.Ringing == config.RingingOnTarget && !c.progressSent.ringing {
		c.sendRinging(f, nil)
	}
}

// progressSent records which provisional responses the caller has got.
type progressSent struct {
	ringing    bool // 180
	earlyMedia bool // one with an SDP answer
}

// sendEarlyMedia passes a provisional response with SDP to the caller, unless the caller has got one. It sends 183
// instead of 180 if the caller has got a 180, or if the route sends no ringing.
func (c *Call) sendEarlyMedia(f leg.Progress) {
	if c.progressSent.earlyMedia {
		return
	}
	c.progressSent.earlyMedia = true
	if f.Code == 180 && (c.progressSent.ringing || c.route.Ringing == config.RingingNone) {
		f.Code, f.Reason = 183, message.StatusText(183)
	}
	c.sendRinging(f, c.bridge.Agreement.Answer)
}

func (c *Call) sendRinging(f leg.Progress, sdp []byte) {
	if f.Code == 180 {
		c.progressSent.ringing = true
	}
	c.record.rings()
	c.step(c.a, leg.Ring{Code: f.Code, Reason: f.Reason, SDP: sdp, Headers: c.passed(f.Headers)})
}

// onAnswered handles the 200 of the target. The caller gets its 200 at once, or when the target's DTLS handshake is
// over.
func (c *Call) onAnswered(f leg.Answered) phase {
	err := sdp.ErrNoAudio
	if f.SDP != nil {
		err = c.attempts.takeAnswer(f.SDP)
	}
	if err != nil {
		c.attempts.badAnswer(err)
		return c.nextAttempt()
	}
	c.attempts.current.noteAnswerTime()
	c.telling.noteAgentAnswer()
	if a := c.attempts.current; c.telling.holdsAnswer() || a.crypto.Awaits() {
		a.answer = &f
		return (*Call).dialing
	}
	return c.bridgeTo(f)
}

// bridgeTo connects the caller to the target that has answered.
func (c *Call) bridgeTo(f leg.Answered) phase {
	now := time.Now()
	c.connect(c.attempts.current)
	c.bridge.Media.Start()
	c.times.answer(now, c.attempts.current.target.MaxDuration(c.trunk))
	c.host.Admission.Answered(c.trunk)
	c.record.answered(&c.times)
	c.bridge.Tell(bridge.Answered{})
	c.hasAgent()
	c.attempts.note(cause.None, 200)
	c.ladder.Decide("target %s answers after %d ms with %s", c.connected.target.Dial.Name, time.Since(c.connected.started).
		Milliseconds(), c.bridge.Agreement.CodecName)
	c.step(c.a, leg.Answer{SDP: c.bridge.Agreement.Answer, Headers: c.passed(f.Headers)})
	return (*Call).bridged
}

// onRefused handles the target's refusal. It tries the target's next address or the next target, or passes the refusal
// to the caller.
func (c *Call) onRefused(f leg.Refused) phase {
	if c.attempts.elsewhere(f) {
		return (*Call).preparing
	}
	if c.attempts.refusedBy(f) {
		return c.nextAttempt()
	}
	c.step(c.a, leg.Refuse{Code: f.Code, Reason: f.Reason, Headers: c.passed(f.Headers)})
	return c.end(f.Cause, record.EndedByAgent, f.Code, f.Q850)
}

// passed returns the headers of a target's response that the trunk's configuration passes to the caller.
func (c *Call) passed(headers []sip.Header) []sip.Header {
	out, dropped := outbound.Passed(headers, c.trunk.Caller.PassHeaders)
	if len(dropped) > 0 {
		c.peerLog.Warn().Str("target", c.attempts.current.target.Dial.Name).Strs("headers", dropped).
			Msg("headers not passed on")
	}
	return out
}

// refuse sends the caller a final response with a status that we chose, and ends the call.
func (c *Call) refuse(code int, cause cause.Cause, headers ...sip.Header) phase {
	c.ladder.Decide("the caller is refused with %d %s: %s", code, message.StatusText(code), cause.Words())
	c.checkpoint.flush(c.checkpoint.invite == "") // true if nothing was sent to the caller yet
	c.step(c.a, refusal(code, headers...))
	return c.end(cause, record.EndedBySystem, code, c.attempts.last.q850)
}

// refusal returns the refusal of an INVITE with a status that we chose.
func refusal(code int, headers ...sip.Header) leg.Refuse {
	return leg.Refuse{Code: code, Reason: message.StatusText(code), Headers: headers}
}

// cancelledByCaller ends the current attempt and the call. The leg has already sent the caller its 487.
func (c *Call) cancelledByCaller(f leg.Cancelled) phase {
	c.attempts.abandon(cause.CallerCancelled, f.Why)
	return c.end(cause.CallerCancelled, record.EndedByCaller, 487, f.Why.Q850)
}

// bridgeInSetUp handles an event of the bridge before the answer, and returns the next phase, or nil to stay in this
// one. A target that answers has to complete its DTLS handshake before it is bridged, so that the next target can still
// be tried.
func (c *Call) bridgeInSetUp(event bridge.Event) phase {
	e, is := event.(bridge.HandshakeOver)
	if !is {
		c.bridge.Tell(event)
		if gone, is := event.(media.EventGone); is && gone.Side == media.SideA {
			c.attempts.abandon(cause.ConsentExpired, cause.Reasons{})
			return c.refuse(480, cause.ConsentExpired)
		}
		if _, failed := event.(media.EventFailed); failed {
			c.attempts.abandon(cause.InternalError, cause.Reasons{})
			return c.refuse(500, cause.InternalError)
		}
		return nil
	}
	a := c.attempts.current
	if e.Side == media.SideB && (a == nil || e.Leg != a.crypto) {
		return nil // of an earlier attempt
	}
	err := c.bridge.Keying.TakeKeys(e)
	switch {
	case err != nil && e.Side == media.SideA:
		c.attempts.abandon(cause.DTLSFailed, cause.Reasons{})
		return c.refuse(488, cause.DTLSFailed)
	case err != nil:
		c.attempts.drop(a, cause.DTLSFailed, err)
		return c.nextAttempt()
	case a != nil && a.answer != nil && !a.crypto.Awaits() && !c.telling.underway():
		return c.bridgeTo(*a.answer)
	}
	return nil
}
