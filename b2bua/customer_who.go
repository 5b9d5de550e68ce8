package b2bua

import (
	"math"
	"slices"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/answerer"
	"flowbridge/store/record"
)

// trunks[].originate.answer: who answered a call that we place.

// asksWhoAnswers has the media find out who answered, if the trunk wants that. It reports whether the agent is called
// only when that is known.
func (c *Call) asksWhoAnswers() (waits bool) {
	wanted := c.trunk.Caller.Originate.WhoAnswers()
	if wanted == nil {
		return false
	}
	c.bridge.Media.DetectAnswer(media.SideA, bridge.LimitsOf(wanted))
	return wanted.Machine != config.MachineBridge
}

// answeredBy hangs up on a customer that is no person, or calls the agent that has waited for the verdict.
func (c *Call) answeredBy(e bridge.AnsweredBy) {
	if c.customer != nil && c.customer.machine { // another process has judged it: only its beep is listened for
		return
	}
	who, wanted := e.Verdict, c.trunk.Caller.Originate.Answer
	c.noteWho(e.Answer)
	machine := who == answerer.Machine && wanted.Machine != config.MachineBridge
	switch waits := c.connected == nil && !c.replacements.underway(); {
	case who == answerer.Fax, who == answerer.SIT, machine && wanted.Machine == config.MachineHangup:
		c.hangup(cause.AnsweredByMachine, record.EndedBySystem)
	case machine: // its beep is waited for
		c.customer.machine = true
	case waits:
		c.callAgent()
	}
}

// noteWho writes who answered into the log, the ladder and the record.
func (c *Call) noteWho(e answerer.Answer) {
	c.log.Info().Stringer("answered_by", e).Float64("confidence", e.Confidence).Int64("after_ms", e.After.Milliseconds()).
		Msg("who answered")
	c.ladder.Decide("answered by: %s, confidence %.2f, after %d ms", e, e.Confidence, e.After.Milliseconds())
	c.record.Attempts = slices.Clone(c.record.Attempts) // the journal may have the former ones
	if a := record.AnsweredCustomer(c.record.Attempts); a != nil {
		a.AnsweredBy, a.Confidence = string(e.Verdict), math.Round(e.Confidence*100)/100
	}
}

// beeped plays the sound to a machine that has beeped, or that has not beeped in time.
func (c *Call) beeped(e bridge.Beeped) {
	c.ladder.Decide("beep heard: %v, after %d ms", e.Heard, e.After.Milliseconds())
	if c.connected != nil || c.replacements.underway() { // it was not known to be a machine, and the agent was called
		return
	}
	sound := ""
	if wanted := c.trunk.Caller.Originate.WhoAnswers(); wanted != nil {
		sound = wanted.Play
	}
	if err := c.bridge.Sounds.Order(bridge.PlayRequest{Side: media.SideA, Sound: sound}); err != nil {
		c.log.Warn().Err(err).Str("sound", sound).Msg("no sound for the answering machine")
		c.hangup(cause.AnsweredByMachine, record.EndedBySystem)
		return
	}
	c.customer.playing = true
}

// played hangs up on a machine that has heard its sound.
func (c *Call) played(e bridge.Played) {
	c.bridge.Handle(e)
	if c.customer != nil && c.customer.playing && e.Side == media.SideA && c.bridge.Sounds.Heard(media.SideA) == "" {
		c.hangup(cause.AnsweredByMachine, record.EndedBySystem)
	}
}
