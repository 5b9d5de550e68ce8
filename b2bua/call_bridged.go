package b2bua

import (
	"flowbridge/store"
)

// bridged: both legs are answered and media flows.
func (c *Call) bridged() phase {
	c.phaseName = "bridged"
	for {
		switch t := c.next(); f := t.fact.(type) {
		case Gone:
			return c.onGone(t.from, f)
		case Cancelled:
			return c.lostToCancel()
		case MediaLost:
			c.log.Warn().Int64("silent_ms", f.For.Milliseconds()).Msg("no media")
			return c.hangup(CauseMediaTimeout, store.EndedBySystem)
		case Killed:
			return c.hangup(f.Cause, f.By)
		case Expired:
			return c.hangup(f.Cause, store.EndedBySystem)
		case Latched:
			c.log.Debug().Stringer("side", f.Side).Stringer("source", f.Source).Msg("media source learned")
		case Confirmed:
			c.log.Debug().Msg("call confirmed")
		case Progress, Answered, Refused, Ready:
			// of an attempt before
		}
	}
}

// onGone: one side hung up, or its dialog broke; the other one is hung up.
func (c *Call) onGone(from *line, f Gone) phase {
	by, other := store.EndedBySystem, c.a
	if from == c.a {
		other = c.attempt.line
	}
	if f.ByPeer {
		if by = store.EndedByAgent; from == c.a {
			by = store.EndedByCaller
		}
	}
	c.step(other, Hangup{Why: f.Cause})
	return c.end(f.Cause, by, 200, f.Q850)
}

// hangup ends both legs.
func (c *Call) hangup(why Cause, by string) phase {
	c.step(c.a, Hangup{Why: why})
	c.step(c.attempt.line, Hangup{Why: why})
	return c.end(why, by, 200, 0)
}

// lostToCancel: the carrier's CANCEL was faster than our 200, which never
// went out. To the target the call was answered: it gets BYE.
func (c *Call) lostToCancel() phase {
	c.step(c.attempt.line, Hangup{Why: CauseCallerCancelled})
	c.record.AnsweredAt = store.Time{}
	c.record.SetupMS = 0
	return c.end(CauseCallerCancelled, store.EndedByCaller, 487, 0)
}
