package b2bua

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/sdp"
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
		if f, cancelled := t.fact.(leg.Cancelled); cancelled {
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
		return c.refuse(404, cause.NoRoute)
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
	c.untried = c.peers.Destinations(c.route)
	if !slices.ContainsFunc(c.untried, c.sharesCodec) {
		return c.refuse(488, cause.NoCommonCodec, warning("305 no codec in common"))
	}
	if err := c.openMedia(c.source.Addr(), c.untried[0].Config.Media.Address); err != nil {
		c.log.Warn().Err(err).Msg("no media ports")
		return c.refuse(503, cause.NoPorts, leg.RetryAfter())
	}
	sounds := c.route.Ringing == config.RingingSessionProgress
	if c.route.Ringing == config.RingingImmediate || (sounds && !c.soundRinging()) {
		c.sendRinging(leg.Progress{Code: 180, Reason: message.StatusText(180)}, nil)
	}
	return c.nextAttempt()
}

func (c *Call) findRoute() int {
	routes := c.peers.Routes
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
		case leg.Cancelled:
			return c.cancelledByCaller(f)
		case Killed:
			return c.killed(f)
		case Expired:
			return c.setupExpired()
		case leg.Gone:
			return c.callerLost(f)
		case leg.Offered, leg.Withdrawn, leg.AnswerReady, leg.OfferRefused, leg.Asked, leg.Replied:
			if c.duringSetup(t); c.finished {
				return nil
			}
		case leg.Progress, leg.Answered, leg.Refused, leg.Confirmed, MediaLost, OneWay, Latched, Keyed, Played:
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
		c.log.Warn().Err(f.Err).Str("target", a.target.Config.Name).Int("attempt", a.number).Msg("target not ready")
	}
	if f.Cause != cause.None {
		c.failed(outcome{cause: f.Cause})
		return c.nextAttempt()
	}
	cause, err := c.dial(f)
	if errors.Is(err, errWantsTCP) {
		c.connect(f)
		return (*Call).preparing
	}
	if err != nil {
		c.log.Warn().Err(err).Str("target", a.target.Config.Name).Int("attempt", a.number).Msg("target not dialled")
		c.failed(outcome{cause: cause})
		return c.nextAttempt()
	}
	return (*Call).dialing
}

// dial makes leg B and sends its INVITE.
func (c *Call) dial(f Ready) (cause.Cause, error) {
	a := c.attempt
	local, err := c.localToward(f)
	if err != nil {
		return cause.TargetUnreachable, err
	}
	if err = c.mediaToward(f.Dest.Addr()); err != nil {
		return mediaCause(err), err
	}
	at := netip.AddrPortFrom(a.mediaName, c.session.Local(media.SideB).Port())
	leg, invite, why, err := c.outboundLeg(f, local, at)
	if err != nil {
		return why, err
	}
	a.transport = message.TransportName(local.Transport)
	a.line = c.addLeg(leg, local, f.Flow)
	a.line.wire.TLS = a.target.Config.TLS
	a.line.crypto = a.crypto
	if a.reason == "" {
		c.sessionAddr[media.SideB] = a.mediaName
		c.record.TargetSIPCallID = leg.Dialog().CallID
		c.nameOutbound(invite.Request)
		c.record.DialedAt = store.TimeOf(time.Now())
	}
	c.journal()
	c.step(a.line, invite)
	return cause.None, nil
}

// outboundLeg makes leg B and what tells it to send its INVITE: the caller's
// offer with our address at, the configured headers. It sends nothing.
func (c *Call) outboundLeg(f Ready, local leg.Local, at netip.AddrPort) (*leg.Leg, leg.Invite, cause.Cause, error) {
	a := c.attempt
	offer, err := a.offer.WithTransport(a.crypto.Offering()).ForTarget(at, a.formats, c.directionFor(a))
	if err != nil {
		return nil, leg.Invite{}, cause.InternalError, err
	}
	vars := c.varsOf(a)
	if f.AskedAPI && f.Prepared.CallID != "" {
		vars.Prepare = &config.PrepareVars{CallID: f.Prepared.CallID, Body: f.Prepared.Body}
	}
	in := outbound.Inbound{Invite: c.invite, Source: c.invite, Trusted: c.trunk.Config.Trusted, Privacy: outbound.WithheldFrom(vars, c.privacy), Besides: a.headers}
	if a.source != nil {
		in.Source = a.source
	}
	out, err := outbound.Build(a.target.Config, f.URI, vars, in, local, a.target.Options(), offer)
	if err != nil {
		return nil, leg.Invite{}, cause.TemplateFailed, err
	}
	l := leg.NewUAC(c.server.legOptions(media.SideB, local, a.target.Options()), newCallID(), out.LocalParty, out.RemoteParty)
	out.Offer = l.Describe(out.Offer)
	if a.reason == "" {
		out.Parts = message.PartsFor(c.invite, a.target.Config.PassParts)
	}
	if err = c.fit(&out, l, f); err != nil {
		return nil, leg.Invite{}, cause.InviteTooLarge, err
	}
	return l, leg.Invite{
		Request: out.Request(), Dest: f.Dest, Transport: local.Transport,
		FirstResponse: a.target.Config.FirstResponseTimeout, RingTimeout: a.target.Config.RingTimeout,
		Auth: a.target.Config.Auth,
	}, cause.None, nil
}

// directionFor is that of an attempt's offer: the caller's, but not what the
// caller was told of an agent that holds it, and nothing where we offer by
// ourselves.
func (c *Call) directionFor(a *attempt) sdp.Direction {
	switch {
	case a.reason == "" && c.late:
		return sdp.SendRecv
	case a.reason == "":
		return a.offer.PassedOn()
	case c.onHold[media.SideA]:
		return sdp.SendOnly
	default:
		return sdp.SendRecv
	}
}

// localToward is what we are called by the target of an attempt.
func (c *Call) localToward(f Ready) (leg.Local, error) {
	if f.Flow != nil {
		return c.server.stack.LocalOver(f.Flow)
	}
	return c.server.stack.LocalFor(config.TransportUDP, f.Dest.Addr())
}

// fit makes an INVITE as small as it has to be, and notes what was left out;
// or says that it wants TCP.
func (c *Call) fit(out *outbound.Draft, leg *leg.Leg, f Ready) error {
	a := c.attempt
	size := func() int { return leg.InviteSize(out.Request()) + outbound.CredentialsSize(a.target.Config) }
	whole := size()
	var err error
	switch over := f.Flow == nil && outbound.OverBudget(a.target.Config, out.Measure(whole)); {
	case over && a.target.Config.Overflow == config.OverflowTCP && !f.TriedTCP:
		return errWantsTCP
	case over:
		err = out.Trim(a.target.Config.Budget, size)
	}
	if a.dropped = out.Dropped; len(a.dropped) > 0 {
		c.log.Warn().Str("target", a.target.Config.Name).Int("attempt", a.number).Strs("headers", a.dropped).
			Int("size", whole).Msg("headers left out")
	}
	return err
}

// dialing: the INVITE to the target has no final answer.
func (c *Call) dialing() phase {
	c.phaseName = "dialing"
	for {
		switch t := c.next(); f := t.fact.(type) {
		case leg.Progress:
			c.onProgress(f)
		case leg.Answered:
			return c.onAnswered(f)
		case leg.Refused:
			return c.onRefused(f)
		case leg.Cancelled:
			return c.cancelledByCaller(f)
		case Killed:
			return c.killed(f)
		case Expired:
			return c.setupExpired()
		case leg.Gone:
			if t.from == c.a {
				return c.callerLost(f)
			}
		case leg.Offered, leg.Withdrawn, leg.AnswerReady, leg.OfferRefused, leg.Asked, leg.Replied:
			if c.duringSetup(t); c.finished {
				return nil
			}
		case Ready, leg.Confirmed, MediaLost, OneWay, Latched, Keyed, Played:
			// of an attempt before, or not possible yet
		}
	}
}

// callerLost: the caller did not acknowledge what it has to.
func (c *Call) callerLost(f leg.Gone) phase {
	c.abandon(f.Cause)
	return c.end(f.Cause, store.EndedBySystem, 504, 0)
}

// onProgress passes ringing on as the route says, and early media always.
func (c *Call) onProgress(f leg.Progress) {
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
func (c *Call) sendEarlyMedia(f leg.Progress) {
	if c.earlySent {
		return
	}
	c.earlySent = true
	if f.Code == 180 && (c.ringSent || c.route.Ringing == config.RingingNone) {
		f.Code, f.Reason = 183, message.StatusText(183)
	}
	c.sendRinging(f, c.answer)
}

func (c *Call) sendRinging(f leg.Progress, sdp []byte) {
	if f.Code == 180 {
		c.ringSent = true
	}
	if c.record.RingingAt.IsZero() {
		c.record.RingingAt = store.TimeOf(time.Now())
	}
	c.step(c.a, leg.Ring{Code: f.Code, Reason: f.Reason, SDP: sdp, Headers: c.passed(f.Headers)})
}

// onAnswered: the target said 200 and has its ACK; now the carrier gets its
// own.
func (c *Call) onAnswered(f leg.Answered) phase {
	if f.SDP == nil {
		return c.badAnswer(sdp.ErrNoAudio)
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
	c.server.admission.Answered()
	c.record.AnsweredAt = store.TimeOf(now)
	c.record.SetupMS = now.Sub(c.started).Milliseconds()
	c.recordIfWanted()
	c.noteAttempt(cause.None, 200)
	c.journal()
	c.step(c.a, leg.Answer{SDP: c.answer, Headers: c.passed(f.Headers)})
	return (*Call).bridged
}

// badAnswer hangs up a target whose answer can't be relayed.
func (c *Call) badAnswer(err error) phase {
	c.log.Warn().Err(err).Str("target", c.attempt.target.Config.Name).Msg("target's SDP answer not usable")
	c.step(c.attempt.line, leg.Hangup{Why: cause.BadAnswer})
	c.failed(outcome{code: 200, cause: causeOfAnswer(err)})
	c.triesPlainAfter(err)
	return c.nextAttempt()
}

// onRefused is the next target's turn, or the carrier gets the target's own
// answer.
func (c *Call) onRefused(f leg.Refused) phase {
	if c.refusedBy(f, c.route.FailoverOn) {
		return c.nextAttempt()
	}
	c.step(c.a, leg.Refuse{Code: f.Code, Reason: f.Reason, Headers: c.passed(f.Headers)})
	return c.end(f.Cause, store.EndedByAgent, f.Code, f.Q850)
}

// refusedBy notes how an attempt ended, and says whether it is the next one's
// turn.
func (c *Call) refusedBy(f leg.Refused, failoverOn []int) bool {
	if f.Cause == cause.TargetSilent {
		c.attempt.line.wire.Distrust()
	}
	c.failed(outcome{code: f.Code, reason: f.Reason, cause: f.Cause, q850: f.Q850, err: f.Err})
	return (refusesSRTP(f.Code) && c.triesPlain()) || f.Code == 0 || cause.NextTarget(f.Code, failoverOn)
}

// passed picks the headers of a target's answer that the carrier gets.
func (c *Call) passed(headers []sip.Header) []sip.Header {
	out, dropped := outbound.Passed(headers, c.trunk.Config.PassHeaders)
	if len(dropped) > 0 {
		c.peerLog.Warn().Str("target", c.attempt.target.Config.Name).Strs("headers", dropped).Msg("headers not passed on")
	}
	return out
}

// refuse gives the carrier a final answer of our own and ends the call.
func (c *Call) refuse(code int, cause cause.Cause, headers ...sip.Header) phase {
	c.step(c.a, leg.Refuse{Code: code, Reason: message.StatusText(code), Headers: headers})
	return c.end(cause, store.EndedBySystem, code, c.last.q850)
}

// cancelledByCaller gives up the target; the carrier has its 487 already.
func (c *Call) cancelledByCaller(f leg.Cancelled) phase {
	c.abandonFor(cause.CallerCancelled, f.Why)
	return c.end(cause.CallerCancelled, store.EndedByCaller, 487, f.Why.Q850)
}

func (c *Call) setupExpired() phase {
	c.abandon(cause.SetupTimeout)
	return c.refuse(c.route.Otherwise, cause.SetupTimeout)
}

func (c *Call) killed(f Killed) phase {
	c.abandon(f.Cause)
	c.step(c.a, leg.Refuse{Code: 503, Reason: message.StatusText(503)})
	return c.end(f.Cause, f.By, 503, 0)
}

// abandon stops the current attempt, in whatever it is doing.
func (c *Call) abandon(why cause.Cause) { c.abandonFor(why, cause.Reasons{}) }

// abandonFor is abandon for what the caller says.
func (c *Call) abandonFor(why cause.Cause, caller cause.Reasons) {
	a := c.attempt
	if a == nil {
		return
	}
	c.last = outcome{cause: why} // whatever another target said before
	a.cancel()
	if a.line != nil {
		c.step(a.line, leg.Abandon{Why: why, Caller: caller})
	}
	c.noteAttempt(why, 0)
}

// warning is a Warning header (RFC 3261 section 20.43) that names nobody.
func warning(text string) sip.Header {
	code, what := text[:3], text[4:]
	return sip.NewHeader("Warning", code+" flowbridge "+message.Quote(what))
}
