package b2bua

import (
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/media"
)

// SRTP whose keys come from a DTLS handshake (RFC 5763). It runs beside the call, for each association that the
// descriptions of a side agree on, and posts one event.

// shakeHands begins the handshake that a side needs, if it does. It ends with the side's media.
func (m *callMedia) shakeHands(side media.Side) {
	c := m.call
	l := m.secured[side].leg
	if l == nil {
		return
	}
	h, needed := l.Handshake()
	if !needed {
		return
	}
	way, e := m.session.Datagrams(side), handshakeOver{Side: side, leg: l, of: h}
	c.server.beside(func() {
		defer c.server.recovered("dtls")
		e.err = c.server.identity.Agree(c.server.ctx, way, h.With, func(keys media.Crypto) {
			c.mailbox.Post(item{event: handshakeOver{Side: side, leg: l, of: h, keys: keys}})
		})
		if e.err != nil {
			c.mailbox.Post(item{event: e})
		}
	})
}

// takeKeys gives a side's media its keys. False: there are none, and the side can't be heard.
func (m *callMedia) takeKeys(e handshakeOver) bool {
	c := m.call
	if e.leg != m.secured[e.Side].leg || !e.leg.IsCurrent(e.of) || m.session == nil {
		return true // of an association that was given up
	}
	if e.err == nil {
		e.leg.Agreed(e.keys)
		e.err = m.session.SetCrypto(e.Side, e.keys)
	}
	if e.err != nil {
		c.log.Warn().Err(e.err).Stringer("side", e.Side).Msg("no SRTP keys by DTLS")
		c.ladder.Decide("side %v: no SRTP keys by DTLS: %v", e.Side, e.err)
		return false
	}
	c.ladder.Decide("side %v: SRTP keys by DTLS, %s", e.Side, e.leg.Suite())
	if t := c.transfers.current; e.Side == media.SideA || t == nil || t.waiting == nil { // else the target's bridge is noted next
		c.notes.mark()
	}
	return true
}

// drop ends an attempt whose target may have answered.
func (all *attempts) drop(a *attempt, why cause.Cause, err error) {
	all.call.step(a.line, leg.Abandon{Why: why})
	all.call.step(a.line, leg.Hangup{Why: why})
	all.failed(attemptEnd{code: a.status(), cause: why, err: err})
}

// tryOut has a transfer's target agree on its keys before it takes the agent's place: a failure is the next target's turn. An
// agent that is still there waits meanwhile, without media. False: the keys are there.
func (tr *transfers) tryOut(f leg.Answered, answer *sdp.Description) (waits bool) {
	c := tr.call
	a := c.attempts.current
	a.answer = &f
	if agent := c.b; agent != nil {
		if x := c.exchanges.current; x != nil && x.from == agent {
			c.exchanges.refuse(x, 491)
		}
		c.exchanges.drop()
		c.relays.drop(agent)
		c.agreement.KeepBefore(media.SideB, false)
		tr.current.held, tr.current.waiting, c.b = c.agreement.Description[media.SideB].Held(), agent, nil
	}
	c.agreement.SentTo[media.SideB] = a.formats
	c.media.setPeer(media.SideB, answer)
	return a.crypto.Awaits()
}

// tryFailed: the target of a transfer can't be heard, or has gone before it could be. An agent that has waited goes on with the
// caller, and is offered the session again: what it has said of it meanwhile was not taken.
func (tr *transfers) tryFailed(why cause.Cause, err error) {
	c := tr.call
	t := tr.current
	c.attempts.drop(c.attempts.current, why, err)
	if before := c.agreement.Before[media.SideB]; t.waiting != nil {
		c.b, t.waiting, t.held, c.agreement.Before[media.SideB] = t.waiting, nil, false, nil
		tr.plugBack(before.Description, before.Terms.SentTo[media.SideB])
		c.exchanges.restore(c.b)
	}
	t.early, t.code, t.reason = nil, 488, message.StatusText(488)
	tr.next()
}

// plugBack gives side B back to the agent that has waited, as it was before.
func (tr *transfers) plugBack(d *sdp.Description, sentTo []sdp.Format) {
	tr.call.agreement.SentTo[media.SideB] = sentTo
	tr.call.media.setPeer(media.SideB, d)
}

// goneInTry: the target of a transfer has gone while its answer waits, or the agent that waits with it.
func (tr *transfers) goneInTry(from *legOnWire, f leg.Gone) {
	c := tr.call
	if from != tr.current.waiting {
		tr.tryFailed(f.Cause, nil)
		return
	}
	tr.current.waiting, tr.current.left = nil, true
	c.sounds.update()
	c.server.vacate(c.bridge)
}
