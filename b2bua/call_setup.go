package b2bua

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/store"
)

// admitted: the INVITE has a call. A CANCEL that was there before it ends it
// here: nobody is asked, nothing rings.
func (c *Call) admitted() phase {
	c.phaseName = "preparing"
	for {
		it, ok, _ := c.inbox.take()
		if !ok {
			break
		}
		c.take(it)
	}
	for _, t := range c.pending {
		if f, cancelled := t.fact.(Cancelled); cancelled {
			c.journal()
			return c.cancelledByCaller(f)
		}
	}
	return c.routing()
}

// routing finds the route, reads the offer, opens the media and lets the
// caller hear ringing.
func (c *Call) routing() phase {
	index := c.findRoute()
	if c.route == nil {
		c.journal()
		return c.refuse(404, CauseNoRoute)
	}
	c.takeRoute(index)
	c.nameByIDs()
	if c.route.Record == config.WantedOff {
		c.tape.drop()
		c.tape = nil
	}
	c.maskIfWanted()
	c.journal()
	c.setupUntil = time.Now().Add(c.route.SetupTimeout)
	if p, ok := c.readOffer(); !ok {
		return p
	}
	c.untried = c.peers.destinations(c.route)
	if !slices.ContainsFunc(c.untried, c.sharesCodec) {
		return c.refuse(488, CauseNoCommonCodec, warning("305 no codec in common"))
	}
	if err := c.openMedia(c.source.Addr(), c.untried[0].cfg.Media.Address); err != nil {
		c.log.Warn().Err(err).Msg("no media ports")
		return c.refuse(503, CauseNoPorts, retryAfter())
	}
	sounds := c.route.Ringing == config.RingingSessionProgress
	if c.route.Ringing == config.RingingImmediate || (sounds && !c.soundRinging()) {
		c.sendRinging(Progress{Code: 180, Reason: statusText(180)}, nil)
	}
	return c.nextAttempt()
}

func (c *Call) findRoute() int {
	routes := c.peers.routes
	for i := range routes {
		if mismatch(&routes[i], &c.vars) == "" {
			c.route = &routes[i]
			return i
		}
	}
	return -1
}

// takeRoute notes what the route that was found says of the call.
func (c *Call) takeRoute(index int) {
	c.vars.Route, c.vars.Direction = routeName(index), c.route.Direction
	c.record.Route, c.record.Direction, c.record.Lead = c.vars.Route, c.vars.Direction, c.vars.Lead().Number
}

// mismatch is the first key of a route that a call does not meet: target,
// trunk, to or from; "" when it meets them all. A route without target is not
// for the calls of targets.
func mismatch(r *config.Route, vars *config.Vars) string {
	switch {
	case r.Target != vars.Target:
		return "target"
	case r.Trunk != "" && r.Trunk != vars.Trunk:
		return "trunk"
	case r.To != nil && !r.To.MatchString(vars.To.Number):
		return "to"
	case r.From != nil && !r.From.MatchString(vars.From.Number):
		return "from"
	default:
		return ""
	}
}

// preparing: the platform is asked for an id and its host is looked up.
func (c *Call) preparing() phase {
	c.phaseName = "preparing"
	for {
		switch t := c.next(); f := t.fact.(type) {
		case Ready:
			if f.Attempt == c.attempt.number {
				return c.onReady(f)
			}
		case Cancelled:
			return c.cancelledByCaller(f)
		case Killed:
			return c.killed(f)
		case Expired:
			return c.setupExpired()
		case Gone:
			return c.callerLost(f)
		case Offered, Withdrawn, AnswerReady, OfferRefused, Asked, Replied:
			if c.duringSetup(t); c.finished {
				return nil
			}
		case Progress, Answered, Refused, Confirmed, MediaLost, OneWay, Latched, Keyed, Played:
			// no leg B yet
		}
	}
}

func (c *Call) onReady(f Ready) phase {
	a := c.attempt
	a.prepareStatus, a.dest = f.Prepared.Status, f.Dest
	if f.AskedAPI && !f.TriedTCP {
		a.prepareMS = f.Elapsed.Milliseconds()
		if f.Prepared.CallID != "" {
			c.record.PreparedAt = store.TimeOf(time.Now())
			c.record.SynthflowCallID = f.Prepared.CallID
			c.name(f.Prepared.CallID)
			if f.Prepared.Shared {
				c.log.Warn().Str("synthflow_call_id", f.Prepared.CallID).Msg("the API gives each call the same id: it may be a stub, and the platform may take calls for one another")
			}
		}
	}
	if f.Err != nil {
		c.log.Warn().Err(f.Err).Str("target", a.target.cfg.Name).Int("attempt", a.number).Msg("target not ready")
	}
	if f.Cause != CauseNone {
		c.failed(outcome{cause: f.Cause})
		return c.nextAttempt()
	}
	cause, err := c.dial(f)
	if errors.Is(err, errWantsTCP) {
		c.connect(f)
		return (*Call).preparing
	}
	if err != nil {
		c.log.Warn().Err(err).Str("target", a.target.cfg.Name).Int("attempt", a.number).Msg("target not dialled")
		c.failed(outcome{cause: cause})
		return c.nextAttempt()
	}
	return (*Call).dialing
}

// dial makes leg B and sends its INVITE.
func (c *Call) dial(f Ready) (Cause, error) {
	a := c.attempt
	local, err := c.localToward(f)
	if err != nil {
		return CauseTargetUnreachable, err
	}
	if err = c.mediaToward(f.Dest.Addr()); err != nil {
		return mediaCause(err), err
	}
	at := netip.AddrPortFrom(a.mediaName, c.session.Local(media.SideB).Port())
	leg, invite, cause, err := c.outboundLeg(f, local, at)
	if err != nil {
		return cause, err
	}
	a.transport = transportName(local.Transport)
	a.line = c.addLeg(leg, local, f.Flow)
	a.line.wire.tls = a.target.cfg.TLS
	a.line.crypto = a.crypto
	if a.reason == "" {
		c.sessionAddr[media.SideB] = a.mediaName
		c.record.TargetSIPCallID = leg.Dialog().CallID
		c.nameOutbound(invite.Request)
		c.record.DialedAt = store.TimeOf(time.Now())
	}
	c.journal()
	c.step(a.line, invite)
	return CauseNone, nil
}

// outboundLeg makes leg B and what tells it to send its INVITE: the caller's
// offer with our address at, the configured headers. It sends nothing.
func (c *Call) outboundLeg(f Ready, local Local, at netip.AddrPort) (*Leg, Invite, Cause, error) {
	a := c.attempt
	offer, err := a.offer.withTransport(a.crypto.offering()).forTarget(at, a.formats, c.directionFor(a))
	if err != nil {
		return nil, Invite{}, CauseInternalError, err
	}
	vars := c.varsOf(a)
	if f.AskedAPI && f.Prepared.CallID != "" {
		vars.Prepare = &config.PrepareVars{CallID: f.Prepared.CallID, Body: f.Prepared.Body}
	}
	in := inbound{invite: c.invite, source: c.invite, trusted: c.trunk.cfg.Trusted, privacy: withheldFrom(vars, c.privacy), besides: a.headers}
	if a.source != nil {
		in.source = a.source
	}
	out, err := buildOutbound(a.target.cfg, f.URI, vars, in, local, a.target.options(), offer)
	if err != nil {
		return nil, Invite{}, CauseTemplateFailed, err
	}
	leg := newUACLeg(c.server.legOptions(media.SideB, local, a.target.options()), newCallID(), out.localParty, out.remoteParty)
	out.offer = leg.describe(out.offer)
	if a.reason == "" {
		out.parts = partsFor(c.invite, a.target.cfg.PassParts)
	}
	if err = c.fit(&out, leg, f); err != nil {
		return nil, Invite{}, CauseInviteTooLarge, err
	}
	return leg, Invite{
		Request: out.request(), Dest: f.Dest, Transport: local.Transport,
		FirstResponse: a.target.cfg.FirstResponseTimeout, RingTimeout: a.target.cfg.RingTimeout,
		Auth: a.target.cfg.Auth,
	}, CauseNone, nil
}

// directionFor is that of an attempt's offer: the caller's, but not what the
// caller was told of an agent that holds it, and nothing where we offer by
// ourselves.
func (c *Call) directionFor(a *attempt) direction {
	switch {
	case a.reason == "" && c.late:
		return dirSendRecv
	case a.reason == "":
		return a.offer.passedOn()
	case c.onHold[media.SideA]:
		return dirSendOnly
	default:
		return dirSendRecv
	}
}

// localToward is what we are called by the target of an attempt.
func (c *Call) localToward(f Ready) (Local, error) {
	if f.Flow != nil {
		return c.server.stack.localOver(f.Flow)
	}
	return c.server.stack.localFor(config.TransportUDP, f.Dest.Addr())
}

// fit makes an INVITE as small as it has to be, and notes what was left out;
// or says that it wants TCP.
func (c *Call) fit(out *draft, leg *Leg, f Ready) error {
	a := c.attempt
	size := func() int { return leg.inviteSize(out.request()) + credentialsSize(a.target.cfg) }
	whole := size()
	var err error
	switch over := f.Flow == nil && overBudget(a.target.cfg, out.measure(whole)); {
	case over && a.target.cfg.Overflow == config.OverflowTCP && !f.TriedTCP:
		return errWantsTCP
	case over:
		err = out.trim(a.target.cfg.Budget, size)
	}
	if a.dropped = out.dropped; len(a.dropped) > 0 {
		c.log.Warn().Str("target", a.target.cfg.Name).Int("attempt", a.number).Strs("headers", a.dropped).
			Int("size", whole).Msg("headers left out")
	}
	return err
}

// dialing: the INVITE to the target has no final answer.
func (c *Call) dialing() phase {
	c.phaseName = "dialing"
	for {
		switch t := c.next(); f := t.fact.(type) {
		case Progress:
			c.onProgress(f)
		case Answered:
			return c.onAnswered(f)
		case Refused:
			return c.onRefused(f)
		case Cancelled:
			return c.cancelledByCaller(f)
		case Killed:
			return c.killed(f)
		case Expired:
			return c.setupExpired()
		case Gone:
			if t.from == c.a {
				return c.callerLost(f)
			}
		case Offered, Withdrawn, AnswerReady, OfferRefused, Asked, Replied:
			if c.duringSetup(t); c.finished {
				return nil
			}
		case Ready, Confirmed, MediaLost, OneWay, Latched, Keyed, Played:
			// of an attempt before, or not possible yet
		}
	}
}

// callerLost: the caller did not acknowledge what it has to.
func (c *Call) callerLost(f Gone) phase {
	c.abandon(f.Cause)
	return c.end(f.Cause, store.EndedBySystem, 504, 0)
}

// onProgress passes ringing on as the route says, and early media always.
func (c *Call) onProgress(f Progress) {
	if f.SDP != nil {
		if err := c.takeAnswer(f.SDP); err != nil {
			c.peerLog.Warn().Err(err).Msg("early media not usable")
			return
		}
		c.sendEarlyMedia(f)
		return
	}
	if c.route.Ringing == config.RingingOnTarget && !c.ringSent {
		c.sendRinging(f, nil)
	}
}

// sendEarlyMedia passes a provisional answer with SDP on, once. As a 180 is
// not repeated, and not sent at all where the route says none, it is 183 then.
func (c *Call) sendEarlyMedia(f Progress) {
	if c.earlySent {
		return
	}
	c.earlySent = true
	if f.Code == 180 && (c.ringSent || c.route.Ringing == config.RingingNone) {
		f.Code, f.Reason = 183, statusText(183)
	}
	c.sendRinging(f, c.answer)
}

func (c *Call) sendRinging(f Progress, sdp []byte) {
	if f.Code == 180 {
		c.ringSent = true
	}
	if c.record.RingingAt.IsZero() {
		c.record.RingingAt = store.TimeOf(time.Now())
	}
	c.step(c.a, Ring{Code: f.Code, Reason: f.Reason, SDP: sdp, Headers: c.passed(f.Headers)})
}

// onAnswered: the target said 200 and has its ACK; now the carrier gets its
// own.
func (c *Call) onAnswered(f Answered) phase {
	if f.SDP == nil {
		return c.badAnswer(errNoAudio)
	}
	if err := c.takeAnswer(f.SDP); err != nil {
		return c.badAnswer(err)
	}
	now := time.Now()
	c.setupUntil = time.Time{}
	if limit := c.maxDuration(); limit > 0 {
		c.durationUntil = now.Add(limit)
	}
	c.bridge, c.b, c.target = c.attempt, c.attempt.line, c.attempt.target
	c.session.Start()
	c.listenForDigits()
	c.answered = now
	c.updateSounds()
	c.server.admission.answered()
	c.record.AnsweredAt = store.TimeOf(now)
	c.record.SetupMS = now.Sub(c.started).Milliseconds()
	c.recordIfWanted()
	c.noteAttempt(CauseNone, 200)
	c.journal()
	c.step(c.a, Answer{SDP: c.answer, Headers: c.passed(f.Headers)})
	return (*Call).bridged
}

// badAnswer hangs up a target whose answer can't be relayed.
func (c *Call) badAnswer(err error) phase {
	c.log.Warn().Err(err).Str("target", c.attempt.target.cfg.Name).Msg("target's SDP answer not usable")
	c.step(c.attempt.line, Hangup{Why: CauseBadAnswer})
	c.failed(outcome{code: 200, cause: causeOfAnswer(err)})
	c.triesPlainAfter(err)
	return c.nextAttempt()
}

// onRefused is the next target's turn, or the carrier gets the target's own
// answer.
func (c *Call) onRefused(f Refused) phase {
	if c.refusedBy(f, c.route.FailoverOn) {
		return c.nextAttempt()
	}
	c.step(c.a, Refuse{Code: f.Code, Reason: f.Reason, Headers: c.passed(f.Headers)})
	return c.end(f.Cause, store.EndedByAgent, f.Code, f.Q850)
}

// refusedBy notes how an attempt ended, and says whether it is the next one's
// turn.
func (c *Call) refusedBy(f Refused, failoverOn []int) bool {
	if f.Cause == CauseTargetSilent {
		c.attempt.line.wire.distrust()
	}
	c.failed(outcome{code: f.Code, reason: f.Reason, cause: f.Cause, q850: f.Q850, err: f.Err})
	return (refusesSRTP(f.Code) && c.triesPlain()) || f.Code == 0 || nextTarget(f.Code, failoverOn)
}

// passed picks the headers of a target's answer that the carrier gets.
func (c *Call) passed(headers []sip.Header) []sip.Header {
	out, dropped := passed(headers, c.trunk.cfg.PassHeaders)
	if len(dropped) > 0 {
		c.peerLog.Warn().Str("target", c.attempt.target.cfg.Name).Strs("headers", dropped).Msg("headers not passed on")
	}
	return out
}

// refuse gives the carrier a final answer of our own and ends the call.
func (c *Call) refuse(code int, cause Cause, headers ...sip.Header) phase {
	c.step(c.a, Refuse{Code: code, Reason: statusText(code), Headers: headers})
	return c.end(cause, store.EndedBySystem, code, c.last.q850)
}

// cancelledByCaller gives up the target; the carrier has its 487 already.
func (c *Call) cancelledByCaller(f Cancelled) phase {
	c.abandonFor(CauseCallerCancelled, f.Why)
	return c.end(CauseCallerCancelled, store.EndedByCaller, 487, f.Why.q850)
}

func (c *Call) setupExpired() phase {
	c.abandon(CauseSetupTimeout)
	return c.refuse(c.route.Otherwise, CauseSetupTimeout)
}

func (c *Call) killed(f Killed) phase {
	c.abandon(f.Cause)
	c.step(c.a, Refuse{Code: 503, Reason: statusText(503)})
	return c.end(f.Cause, f.By, 503, 0)
}

// abandon stops the current attempt, in whatever it is doing.
func (c *Call) abandon(why Cause) { c.abandonFor(why, reasons{}) }

// abandonFor is abandon for what the caller says.
func (c *Call) abandonFor(why Cause, caller reasons) {
	a := c.attempt
	if a == nil {
		return
	}
	c.last = outcome{cause: why} // whatever another target said before
	a.cancel()
	if a.line != nil {
		c.step(a.line, Abandon{Why: why, Caller: caller})
	}
	c.noteAttempt(why, 0)
}

// warning is a Warning header (RFC 3261 section 20.43) that names nobody.
func warning(text string) sip.Header {
	code, what := text[:3], text[4:]
	return sip.NewHeader("Warning", code+" flowbridge "+quoted(what))
}
