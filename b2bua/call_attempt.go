package b2bua

import (
	"context"
	"net/netip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/store"
)

// try begins an attempt at the next target of a plan that there can be one at, and
// says whether there was any. Those that can't be tried are in the record.
func (c *Call) try(p *plan) bool {
	for a := c.attempts.next(p); a != nil; a = c.attempts.next(p) {
		if !p.isTransfer() {
			c.noteDestination(a.target)
			c.record.TargetSIPCallID, c.record.SynthflowCallID, c.record.ExternalID = "", "", ""
			c.record.PreparedAt, c.record.DialedAt = store.Time{}, store.Time{}
		}
		if c.possible(a) {
			c.prepare(a)
			return true
		}
	}
	return false
}

// possible says whether an attempt can be made: there is a codec for it, and
// a place at its target.
func (c *Call) possible(a *attempt) bool {
	var err error
	if a.offer, a.formats, err = c.agreement.offerFor(a.target.Dial, c.eventsFor(a.target)); err != nil {
		c.failed(attemptEnd{cause: cause.NoCommonCodec})
		return false
	}
	a.crypto = c.attempts.cryptoFor(a.target)
	if a.placed = c.server.admission.Occupy(a.target); !a.placed {
		c.failed(attemptEnd{cause: cause.TargetCapped})
		return false
	}
	return true
}

// varsOf are what templates of an attempt see.
func (c *Call) varsOf(a *attempt) config.Vars {
	vars := c.vars
	if a.plan.vars != nil {
		vars = *a.plan.vars
	}
	vars.Attempt = a.number
	return vars
}

// prepare starts what an attempt needs before its INVITE.
func (c *Call) prepare(a *attempt) {
	ctx, cancel := context.WithCancel(c.ctx)
	a.cancel = cancel
	vars, stack, number, t := c.varsOf(a), c.server.stack, a.number, a.target
	c.server.calls.Go(func() {
		defer c.server.recovered("prepare")
		ready := Ready{Attempt: number, Cause: cause.InternalError}
		defer func() { c.mailbox.post(item{event: ready}) }()
		ready = prepare(ctx, number, t, vars, stack)
	})
}

// failed notes how the current attempt ended.
func (c *Call) failed(o attemptEnd) {
	a := c.attempts.current
	c.attempts.last = o
	if a.cancel != nil {
		a.cancel()
	}
	c.noteAttempt(o.cause, o.code)
	c.detachTarget(a)
	c.log.Info().Str("target", a.target.Dial.Name).Str("cause", string(o.cause)).Int("code", o.code).
		Int("attempt", a.number).Str("target_sip_call_id", a.callID()).Str("dest", destText(a.dest)).AnErr("err", o.err).Msg("attempt failed")
	c.server.vacate(a)
}

// detachTarget sees to it that who does not take the call hears and says nothing any
// more: its port may be another call's by now, and the caller hears ringing of
// ours again, where it did.
func (c *Call) detachTarget(a *attempt) {
	if c.media.session == nil || c.agreement.description[media.SideB] == nil || c.b != nil {
		return // nobody was heard, or the agent is, beside a transfer
	}
	if _, t := c.attemptLine(); t != a.target {
		return
	}
	c.media.session.SetPeer(media.SideB, media.Peer{})
	c.agreement.description[media.SideB], c.agreement.sentTo[media.SideB], c.sounds.voices[media.SideB] = nil, nil, nil
	c.updateSounds()
}

// destText is an address in the log, empty where there is none yet.
func destText(dest netip.AddrPort) string {
	if !dest.IsValid() {
		return ""
	}
	return dest.String()
}

func (c *Call) noteAttempt(cause cause.Cause, code int) {
	c.record.Attempts = append(c.record.Attempts, c.attempts.current.recordOf(cause, code))
}

// noteDestination writes down where an attempt goes. The target of a call that
// a target has placed is that one.
func (c *Call) noteDestination(t *peers.Target) {
	switch {
	case c.trunk.Platform == nil:
		c.record.Target = t.Dial.Name
	case t.Trunk != nil:
		c.record.Trunk = t.Dial.Name
	}
}
