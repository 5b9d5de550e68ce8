package call

import (
	"math"
	"time"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/answerer"
	"flowbridge/store/record"
)

// This file implements trunks[].originate.answer: it finds out who answered a placed call.

// heard says what an answering machine gets to hear.
type heard int

const (
	nothing heard = iota // the default, also if no machine was detected
	tillBeep
	sound // the sound is played, and the call ends after it
)

// whoAnswered handles an event if it is about who answered, and reports whether it is.
func (cu *customer) whoAnswered(event bridge.Event) bool {
	if e, is := event.(media.EventAnsweredBy); is {
		cu.answeredBy(e)
		return true
	}
	if e, is := event.(media.EventBeep); is {
		cu.beeped(e)
		return true
	}
	e, is := event.(media.EventPlayed)
	if is {
		cu.played(e)
	}
	return is
}

// asksWhoAnswers starts to detect who answered, if the trunk wants that. It reports whether the agent is called
// only after the result.
func (cu *customer) asksWhoAnswers() (waits bool) {
	c := cu.call
	wanted := c.trunk.Caller.Originate.WhoAnswers()
	if wanted == nil {
		return false
	}
	c.bridge.Media.DetectAnswer(media.SideA, limitsOf(wanted))
	return wanted.Machine != config.MachineBridge || wanted.Screening != config.MachineBridge
}

// beepWithin limits the wait for a machine's beep.
const beepWithin = 40 * time.Second

// limitsOf returns the time limits for the detection from a trunk's configuration.
func limitsOf(wanted *config.WhoAnswers) (l answerer.Limits) {
	l.Screening = true
	if wanted.Machine == config.MachinePlay {
		l.Beep = beepWithin
	}
	return l
}

// answeredBy handles the result of the detection. It hangs up on a machine or fax, waits for a machine's beep to
// play a sound after it, or calls the agent if that has waited for the result. A later beep revokes the result: the
// call to the agent, or the sound, then ends.
func (cu *customer) answeredBy(e media.EventAnsweredBy) {
	c := cu.call
	if cu.placement != nil && cu.heard == tillBeep { // an old process handled this result; here only the beep is awaited
		return
	}
	who, does := e.Verdict, cu.does(e.Verdict)
	if cu.noteWho(e.Answer) {
		if e.Mailbox || does != config.MachineBridge {
			c.telling.stopForMachine(does == config.MachineBridge)
		}
		cu.recall(does)
	}
	switch waits := c.whoIs() == first && !c.replacements.underway() && !c.telling.underway(); {
	case does == config.MachineHangup:
		c.hangup(cause.AnsweredByMachine, record.EndedBySystem)
	case does == config.MachinePlay && who == answerer.Machine: // the sound is played after its beep
		cu.heard = tillBeep
	case does == config.MachinePlay:
		cu.play()
	case waits:
		if e.Mailbox {
			c.telling.skipForMailbox()
		}
		cu.goOn()
	}
}

// does returns what the trunk's configuration does with a verdict.
func (cu *customer) does(who answerer.Verdict) config.MachineMode {
	wanted := cu.call.trunk.Caller.Originate.Answer
	switch who {
	case answerer.Fax, answerer.SIT:
		return config.MachineHangup
	case answerer.Machine:
		return wanted.Machine
	case answerer.Screening:
		return wanted.Screening
	case answerer.Human, answerer.Unknown:
	}
	return config.MachineBridge
}

// recall undoes the action of a verdict that a beep has revoked. It stops the sound, and ends the agent's call if the
// machine gets a sound instead. Then the call has had no agent, except in the record.
func (cu *customer) recall(does config.MachineMode) {
	c := cu.call
	if cu.placement != nil && cu.heard == sound {
		cu.heard = nothing
		_ = c.bridge.Sounds.Order(bridge.PlayRequest{Side: media.SideA, Sound: bridge.SoundNone}) // can't fail
	}
	if does != config.MachinePlay || c.whoIs() == first && !c.replacements.underway() {
		return
	}
	c.replacements.stop(cause.AnsweredByMachine)
	agent, was := c.forgetAgent()
	if agent != nil {
		c.step(agent, leg.Hangup{Why: cause.AnsweredByMachine})
		c.bridge.Tell(bridge.Left{Leg: &agent.Half})
	}
	if was != nil {
		c.unsettle()
		c.attempts.follow(&outbound.Plan{Targets: []*peers.Target{was.target}})
	}
	c.host.vacate(was)
	c.rescues.end()
	c.attempts.back(nil)
	c.bridge.Media.Detach()
	cu.waits(&placement{})
}

// noteWho adds the result to the log, the ladder and the record. It reports whether it replaces an earlier one.
func (cu *customer) noteWho(e answerer.Answer) (again bool) {
	c := cu.call
	c.log.Info().Stringer("answered_by", e).Float64("confidence", e.Confidence).Int64("after_ms", e.After.Milliseconds()).
		Msg("who answered")
	c.ladder.Decide("answered by: %s, confidence %.2f, after %d ms", e, e.Confidence, e.After.Milliseconds())
	return c.record.answeredBy(string(e.Verdict), math.Round(e.Confidence*100)/100)
}

// beeped plays the sound to a machine that has beeped, or whose beep has not come in time.
func (cu *customer) beeped(e media.EventBeep) {
	c := cu.call
	c.ladder.Decide("beep heard: %v, after %d ms", e.Heard, e.After.Milliseconds())
	if c.whoIs() != first || c.replacements.underway() { // the agent was called before the machine was recognized
		return
	}
	cu.play()
}

// play plays the sound to a machine or to call screening. If it can't be played, it hangs up.
func (cu *customer) play() {
	c := cu.call
	wants := ""
	if wanted := c.trunk.Caller.Originate.WhoAnswers(); wanted != nil {
		wants = wanted.Play
	}
	if err := c.bridge.Sounds.Order(bridge.PlayRequest{Side: media.SideA, Sound: wants}); err != nil {
		c.log.Warn().Err(err).Str("sound", wants).Msg("can't play the sound to the answering machine")
		c.hangup(cause.AnsweredByMachine, record.EndedBySystem)
		return
	}
	cu.heard = sound
}

// played hangs up on a machine once the sound has been played to it.
func (cu *customer) played(e media.EventPlayed) {
	c := cu.call
	c.bridge.Tell(e)
	if cu.placement != nil && cu.heard == sound && e.Side == media.SideA && c.bridge.Sounds.Heard(media.SideA) == "" {
		c.hangup(cause.AnsweredByMachine, record.EndedBySystem)
	}
}
