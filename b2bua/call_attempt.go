package b2bua

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/store"
)

// nextAttempt begins with the next target, or ends the call where none is
// left.
func (c *Call) nextAttempt() phase {
	c.vacate(c.attempt)
	c.attempt = nil
	for len(c.untried) > 0 {
		t := c.untried[0]
		c.untried = c.untried[1:]
		c.tried++
		a := &attempt{number: c.tried, target: t, started: time.Now()}
		c.attempt = a
		c.noteDestination(t)
		c.record.TargetSIPCallID, c.record.SynthflowCallID, c.record.ExternalID = "", "", ""
		c.record.PreparedAt, c.record.DialedAt = store.Time{}, store.Time{}
		if c.ready(a) {
			c.prepare(a)
			return (*Call).preparing
		}
	}
	return c.refuse(c.route.Otherwise, c.last.cause)
}

// ready says whether an attempt can be made: there is a codec for it, and room
// at its target.
func (c *Call) ready(a *attempt) bool {
	var err error
	if a.offer, a.formats, err = c.offerFor(a.target); err != nil {
		c.failed(outcome{cause: cause.NoCommonCodec})
		return false
	}
	a.crypto = c.cryptoFor(a.target)
	if a.placed = c.server.admission.Occupy(a.target); !a.placed {
		c.failed(outcome{cause: cause.TargetCapped})
		return false
	}
	return true
}

// varsOf are what templates of an attempt see.
func (c *Call) varsOf(a *attempt) config.Vars {
	vars := c.vars
	if a.vars != nil {
		vars = *a.vars
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
		defer func() { c.inbox.post(item{fact: ready}) }()
		ready = prepare(ctx, number, t, vars, stack)
	})
}

// failed notes how the current attempt ended.
func (c *Call) failed(o outcome) {
	a := c.attempt
	c.last = o
	if a.cancel != nil {
		a.cancel()
	}
	c.noteAttempt(o.cause, o.code)
	c.detachTarget(a)
	c.log.Info().Str("target", a.target.Config.Name).Str("cause", string(o.cause)).Int("code", o.code).
		Int("attempt", a.number).Str("target_sip_call_id", a.callID()).Str("dest", destText(a.dest)).AnErr("err", o.err).Msg("attempt failed")
	c.vacate(a)
}

// detachTarget sees to it that who does not take the call hears and says nothing any
// more: its port may be another call's by now, and the caller hears ringing of
// ours again, where it did.
func (c *Call) detachTarget(a *attempt) {
	if c.session == nil || c.description[media.SideB] == nil || c.b != nil {
		return // nobody was heard, or the agent is, beside a transfer
	}
	if _, t := c.attemptLine(); t != a.target {
		return
	}
	c.session.SetPeer(media.SideB, media.Peer{})
	c.description[media.SideB], c.sentTo[media.SideB], c.voices[media.SideB] = nil, nil, nil
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
	c.record.Attempts = append(c.record.Attempts, c.attemptRecord(cause, code))
}

// attemptRecord is the current attempt as the record has it.
func (c *Call) attemptRecord(cause cause.Cause, code int) store.Attempt {
	a := c.attempt
	return store.Attempt{
		StartedAt: store.TimeOf(a.started),
		Target:    a.target.Config.Name, Reason: a.reason, PrepareMS: a.prepareMS, PrepareStatus: a.prepareStatus,
		SIPStatus: code, Cause: string(cause), MS: time.Since(a.started).Milliseconds(), Transport: a.transport, DroppedHeaders: a.dropped,
		SIPCallID: a.callID(),
	}
}

// callID is the Call-ID of an attempt's INVITE, empty where none went out.
func (a *attempt) callID() string {
	if a.line == nil {
		return ""
	}
	return a.line.callID
}

// errWantsTCP means that an INVITE is over the target's UDP budget and is to go
// over TCP.
var errWantsTCP = errors.New("INVITE is over the UDP budget and goes over TCP")

// connect opens a TCP connection to a target over UDP, in a goroutine that
// posts f again with it, or without where there is none (RFC 3261 section
// 18.1.1).
func (c *Call) connect(f Ready) {
	ctx, cancel := context.WithCancel(c.ctx)
	c.attempt.cancel()
	c.attempt.cancel = cancel
	stack, t := c.server.stack, c.attempt.target.Config
	c.server.calls.Go(func() {
		defer c.server.recovered("connect")
		f.TriedTCP, f.Err = true, nil
		defer func() { c.inbox.post(item{fact: f}) }()
		f.Flow, f.Err = stack.ConnectTCP(ctx, t, f.URI, f.Dest)
	})
}

// noteDestination writes down where an attempt goes. The target of a call that
// a target has placed is that one.
func (c *Call) noteDestination(t *peers.Target) {
	switch {
	case c.trunk.Caller == nil:
		c.record.Target = t.Config.Name
	case t.Callee != nil:
		c.record.Trunk = t.Config.Name
	}
}
