package b2bua

import (
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/media"
	"flowbridge/store"
)

// SRTP whose keys come from a DTLS handshake (RFC 5763). It runs beside the call, for each association that the
// descriptions of a side agree on, and posts one event.

// shakeHands begins the handshake that a side needs, if it does. It ends with the side's media.
func (c *Call) shakeHands(side media.Side) {
	l := c.media.secured[side].leg
	if l == nil {
		return
	}
	h, needed := l.Handshake()
	if !needed {
		return
	}
	way, e := c.media.session.Datagrams(side), Secured{Side: side, leg: l, of: h}
	c.server.beside(func() {
		defer c.server.recovered("dtls")
		e.err = c.server.identity.Agree(c.server.ctx, way, h.With, func(keys media.Crypto) {
			c.mailbox.Post(item{event: Secured{Side: side, leg: l, of: h, keys: keys}})
		})
		if e.err != nil {
			c.mailbox.Post(item{event: e})
		}
	})
}

// onSecured gives a side's media its keys. False: there are none, and the side can't be heard.
func (c *Call) onSecured(e Secured) bool {
	if e.leg != c.media.secured[e.Side].leg || !e.leg.IsCurrent(e.of) || c.media.session == nil {
		return true // of an association that was given up
	}
	if e.err == nil {
		e.leg.Agreed(e.keys)
		e.err = c.media.session.SetCrypto(e.Side, e.keys)
	}
	if e.err != nil {
		c.log.Warn().Err(e.err).Stringer("side", e.Side).Msg("no SRTP keys by DTLS")
		c.ladder.Decide("side %v: no SRTP keys by DTLS: %v", e.Side, e.err)
		return false
	}
	c.ladder.Decide("side %v: SRTP keys by DTLS, %s", e.Side, e.leg.Suite())
	c.journal()
	return true
}

// securedInSetUp goes on with a target that has answered, or with the next one; nil: nothing changes. An answer of a target
// waits until it can be heard, so that the next one can be tried.
func (c *Call) securedInSetUp(e Secured) phase {
	a := c.attempts.current
	if e.Side == media.SideB && (a == nil || e.leg != a.crypto) {
		return nil // of an attempt before
	}
	ok := c.onSecured(e)
	switch {
	case !ok && e.Side == media.SideA:
		c.abandon(cause.DTLSFailed, cause.Reasons{})
		return c.refuse(488, cause.DTLSFailed)
	case !ok:
		c.dropAttempt(a, cause.DTLSFailed, e.err)
		return c.nextAttempt()
	case a != nil && a.answer != nil && !a.crypto.Awaits():
		return c.bridgeTo(*a.answer)
	}
	return nil
}

// dropAttempt ends an attempt whose target may have answered.
func (c *Call) dropAttempt(a *attempt, why cause.Cause, err error) {
	code := 0
	if a.answer != nil {
		code = 200
	}
	c.step(a.line, leg.Abandon{Why: why})
	c.step(a.line, leg.Hangup{Why: why})
	c.failed(attemptEnd{code: code, cause: why, err: err})
}

// securedInBridge ends a call whose side can't be heard.
func (c *Call) securedInBridge(e Secured) {
	if !c.onSecured(e) {
		c.hangup(cause.DTLSFailed, store.EndedBySystem)
	}
}
